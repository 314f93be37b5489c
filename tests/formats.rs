//! Sources whose events are not Avro: their columns, their dead letters, and a checkpoint that knows how they are read. No registry is
//! there, and none is asked, but for keys of Avro.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use std::sync::Arc;

use serde_json::{Value, json};
use sluicebox_core::SystemClock;
use sluicebox_core::raw::LONGEST_EVENT;
use sluicebox_formats::framing::frame;
use sluicebox_registry::store::{NewSchema, RegistryStore};
use sluicebox_sources::{EmbeddedLog, Record, TopicOptions};
use support::Workspace;

/// A key and a value; an event without a value is a tombstone.
type Event<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// A project whose topic `e` has these events in one partition.
fn project(sql: &str, events: &[Event<'_>]) -> Workspace {
    let project = Workspace::new();
    let log = EmbeddedLog::open(project.path().join("data/.log"), Arc::new(SystemClock::new())).unwrap();
    log.create_topic("e", 1, TopicOptions::default()).unwrap();
    append(&project, events);
    project.write("p.sql", sql);
    project
}

fn append(project: &Workspace, events: &[Event<'_>]) {
    let log = EmbeddedLog::open(project.path().join("data/.log"), Arc::new(SystemClock::new())).unwrap();
    let record = |(key, value): &Event<'_>| Record {
        key: key.map(|key| key.to_vec().into()),
        value: value.map(|value| value.to_vec().into()),
        ..Record::default()
    };
    log.append("e", 0, &events.iter().map(record).collect::<Vec<_>>()).unwrap();
}

fn run(project: &Workspace) {
    project.ok(&["run", "p.sql", "--trigger", "available-now"]);
}

/// The rows of a query, by the names of its columns.
fn rows(project: &Workspace, sql: &str) -> Vec<Value> {
    let printed = project.ok(&["query", sql, "--format", "json"]);
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const JSON: &str = "
CREATE TABLE e (id BIGINT NOT NULL, at TIMESTAMP, tags ARRAY<STRING>, `shop` STRUCT<city: STRING>, price DECIMAL(6, 2)) USING kafka
OPTIONS ('subscribe' = 'e', 'value.format' = 'json', 'json.timestamps' = 'epoch_millis', 'json.extraFields' = 'rescue');
CREATE STREAMING TABLE bronze_e AS SELECT * FROM STREAM e;";

#[test]
fn json_becomes_the_listed_columns_and_each_bad_event_a_dead_letter_of_its_class() {
    let good: [&[u8]; 2] = [
        br#"{"id": 1, "at": 1700000000123, "tags": ["a", null], "shop": {"city": "Trier"}, "price": 12.50}"#,
        br#"{"more": {"x": 1}, "id": 2}"#,
    ];
    let bad: [&[u8]; 4] = [b"{\"id\":", b"{\"id\":1}{\"id\":2}", b"{\"id\":\"1\"}", b"{\"at\":1}"];
    let of = |values: &[&'static [u8]]| values.iter().map(|value| (None, Some(*value))).collect::<Vec<Event<'_>>>();
    let project = project(JSON, &[of(&good[..1]), of(&bad), vec![(None, None)], of(&good[1..])].concat());
    run(&project);
    let rows = project.rows("SELECT id, date_part('year', e.at), shop['city'], price, _rescued, _offset FROM bronze.e");
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows[0].starts_with("1,2023,Trier,12.50,"), "{rows:?}");
    assert!(rows[1].starts_with("2,") && rows[1].contains("more") && rows[1].ends_with(",6"), "{rows:?}");
    let letters = project.rows("SELECT \"offset\", error_class FROM dead_letters.e");
    assert_eq!(letters, ["1,NOT_JSON", "2,SEVERAL_VALUES", "3,WRONG_TYPE", "4,MISSING_FIELD"]);
    let pin = std::fs::read_to_string(project.path().join("checkpoints/p/sources/e/reader")).unwrap();
    assert!(pin.contains("\"format\": \"json\""), "{pin}");
    // A restart goes on where it was.
    append(&project, &of(&[b"{\"id\":3}"]));
    run(&project);
    assert_eq!(project.rows("SELECT id FROM bronze.e"), ["1", "2", "3"]);
}

const STRICT: &str = "
CREATE TABLE e (id BIGINT NOT NULL, n INT, ts TIMESTAMP, tags ARRAY<STRING>, shop STRUCT<city: STRING NOT NULL>) USING kafka
OPTIONS ('subscribe' = 'e', 'value.format' = 'json', 'json.extraFields' = 'letter', 'json.maxDepth' = '4', 'key.format' = 'text');
CREATE STREAMING TABLE bronze_e AS SELECT * FROM STREAM e;";

#[test]
fn each_bad_event_among_good_ones_is_a_dead_letter_of_its_class_and_costs_no_other() {
    let many = format!("{{\"id\":1,\"tags\":[{}1]}}", "1,".repeat(1 << 20));
    let large = format!("{{\"id\":1,\"tags\":[\"{}\"]}}", "x".repeat(LONGEST_EVENT));
    let bad: &[(&[u8], &str)] = &[
        (b"", "NOT_JSON"),
        (b"{\"id\":1", "NOT_JSON"),
        (b"{\"id\":1,}", "NOT_JSON"),
        (b"\0\0\0\0\x01{\"id\":1}", "NOT_JSON"),
        (b"{\"id\":1}\n{\"id\":2}", "SEVERAL_VALUES"),
        (b"[{\"id\":1}]", "NOT_AN_OBJECT"),
        (b"null", "NOT_AN_OBJECT"),
        (b"{\"id\":1,\"id\":1}", "DUPLICATE_KEY"),
        (b"{\"id\":1,\"tags\":[[[[1]]]]}", "TOO_DEEP"),
        (many.as_bytes(), "TOO_MANY_ITEMS"),
        (large.as_bytes(), "TOO_LARGE"),
        (b"{}", "MISSING_FIELD"),
        (b"{\"id\":1,\"shop\":{}}", "MISSING_FIELD"),
        (b"{\"id\":null}", "NULL_FIELD"),
        (b"{\"id\":\"1\"}", "WRONG_TYPE"),
        (b"{\"id\":1,\"n\":1.0}", "WRONG_TYPE"),
        (b"{\"id\":1,\"n\":2147483648}", "OUT_OF_RANGE"),
        (b"{\"id\":1,\"ts\":\"30.11.2026\"}", "INVALID_TIMESTAMP"),
        (b"{\"id\":1,\"more\":1}", "EXTRA_FIELD"),
        (b"{\"id\":1,\"tags\":[\"\xff\"]}", "INVALID_UTF8"),
    ];
    let good: Vec<String> = (0..=bad.len()).map(|n| format!("{{\"id\":{n},\"tags\":[\"t{n}\"]}}")).collect();
    let (mut events, mut letters): (Vec<Event<'_>>, Vec<String>) = (Vec::new(), Vec::new());
    for (good, (bad, class)) in good.iter().zip(bad) {
        events.push((Some(b"k"), Some(good.as_bytes())));
        letters.push(format!("{},{class}", events.len()));
        events.push((Some(b"k"), Some(bad)));
    }
    letters.push(format!("{},INVALID_KEY", events.len()));
    events.push((Some(b"\xff"), Some(b"{\"id\":1}")));
    events.push((None, Some(good[bad.len()].as_bytes())));
    letters.sort();
    let project = project(STRICT, &events);
    run(&project);
    assert_eq!(project.rows("SELECT \"offset\", error_class FROM dead_letters.e"), letters);
    let found = rows(&project, "SELECT id, tags, key FROM bronze.e ORDER BY id");
    let key = |n: usize| (n < bad.len()).then_some("k");
    let wanted: Vec<Value> =
        (0..=bad.len()).map(|n| json!({"id": n, "tags": [format!("t{n}")], "key": key(n)})).collect();
    assert_eq!(found, wanted);
    // What is kept of a dead letter is the event as it came.
    let kept = project.rows("SELECT hex(value), hex(key) FROM dead_letters.e WHERE error_class = 'EXTRA_FIELD'");
    assert_eq!(kept, ["7B226964223A312C226D6F7265223A317D,6B"]);
}

#[test]
fn nested_values_come_out_as_they_went_in() {
    let sql = "
        CREATE TABLE e (id BIGINT NOT NULL, items ARRAY<STRUCT<sku: STRING NOT NULL, n: INT>>, counts MAP<STRING, BIGINT>,
          shop STRUCT<city: STRING, point: STRUCT<x: DOUBLE, y: DOUBLE>>, flags ARRAY<BOOLEAN>)
        USING kafka OPTIONS ('subscribe' = 'e', 'value.format' = 'json');
        CREATE STREAMING TABLE bronze_e AS SELECT * FROM STREAM e;";
    let full = json!({
        "id": 1, "items": [{"sku": "a", "n": 2}, {"sku": "b", "n": null}], "counts": {"k": 1, "l": -2},
        "shop": {"city": "Trier", "point": {"x": 0.5, "y": -1.25}}, "flags": [true, null, false],
    });
    let empty = json!({"id": 2, "items": [], "counts": {}, "shop": {"city": null, "point": null}, "flags": []});
    let none = json!({"id": 3, "items": null, "counts": null, "shop": null, "flags": null});
    let events = [full.to_string(), empty.to_string(), "{\"id\":3}".to_owned()];
    let events: Vec<Event<'_>> = events.iter().map(|event| (None, Some(event.as_bytes()))).collect();
    let project = project(sql, &events);
    run(&project);
    let found = rows(&project, "SELECT id, items, counts, shop, flags FROM bronze.e ORDER BY id");
    assert_eq!(found, [full, empty, none]);
}

#[test]
fn fields_that_are_not_listed_are_passed_over_kept_or_refused() {
    let ways = [("passed", "ignore"), ("kept", "rescue"), ("refused", "letter")];
    let source = |(name, extra): (&str, &str)| {
        format!(
            "CREATE TABLE {name} (id BIGINT, shop STRUCT<city: STRING>) USING kafka
             OPTIONS ('subscribe' = 'e', 'value.format' = 'json', 'json.extraFields' = '{extra}');"
        )
    };
    let table =
        |(name, _): (&str, &str)| format!("CREATE STREAMING TABLE bronze_{name} AS SELECT * FROM STREAM {name};");
    let sql: String = ways.into_iter().map(source).chain(ways.into_iter().map(table)).collect();
    let events: [Event<'_>; 2] = [
        (None, Some(b"{\"id\":1, \"shop\": {\"city\":\"Trier\", \"zip\":\"54290\"}, \"x\": [ 1 ]}")),
        (None, Some(b"{\"id\":2}")),
    ];
    let project = project(&sql, &events);
    run(&project);
    let kept = rows(&project, "SELECT id, _rescued FROM bronze.kept ORDER BY id");
    let rescued = "{\"shop.zip\":\"54290\",\"x\":[1]}";
    assert_eq!(kept, [json!({"id": 1, "_rescued": rescued}), json!({"id": 2, "_rescued": null})]);
    assert_eq!(project.rows("SELECT id, coalesce(shop['city'], '-') FROM bronze.passed"), ["1,Trier", "2,-"]);
    let passed = rows(&project, "SELECT * FROM bronze.passed");
    assert!(passed.iter().all(|row| row.get("id").is_some() && row.get("_rescued").is_none()), "{passed:?}");
    assert_eq!(project.rows("SELECT id FROM bronze.refused"), ["2"]);
    assert_eq!(project.rows("SELECT \"offset\", error_class FROM dead_letters.refused"), ["0,EXTRA_FIELD"]);
    for none in ["passed", "kept"] {
        assert!(!project.rows_exist(&format!("dead_letters.{none}")), "a dead letter of {none}");
    }
}

#[test]
fn a_key_of_json_is_of_the_type_that_is_listed_for_it() {
    let sql = "
        CREATE TABLE e (id BIGINT, key STRUCT<id: STRING NOT NULL>)
        USING kafka OPTIONS ('subscribe' = 'e', 'value.format' = 'json', 'key.format' = 'json');
        CREATE STREAMING TABLE bronze_e AS SELECT * FROM STREAM e;";
    let events: [Event<'_>; 4] = [
        (Some(b"{\"id\":\"a\"}"), Some(b"{\"id\":1}")),
        (None, Some(b"{\"id\":2}")),
        (Some(b"{}"), Some(b"{\"id\":3}")),
        (Some(b"a"), Some(b"{\"id\":4}")),
    ];
    let project = project(sql, &events);
    run(&project);
    let found = rows(&project, "SELECT id, key FROM bronze.e ORDER BY id");
    assert_eq!(found, [json!({"id": 1, "key": {"id": "a"}}), json!({"id": 2, "key": null})]);
    let letters = project.rows("SELECT \"offset\", error_class FROM dead_letters.e");
    assert_eq!(letters, ["2,INVALID_KEY", "3,INVALID_KEY"]);
}

#[test]
fn a_key_of_avro_is_read_by_a_schema_of_its_own_which_the_checkpoint_pins() {
    let sql = "
        CREATE TABLE e (id BIGINT) USING kafka OPTIONS ('subscribe' = 'e', 'value.format' = 'json', 'key.format' = 'avro');
        CREATE STREAMING TABLE bronze_e AS SELECT * FROM STREAM e;";
    let field = r#"{"name": "id", "type": "string"}"#;
    let schema = |fields: &str| NewSchema::new(format!(r#"{{"type": "record", "name": "K", "fields": [{fields}]}}"#));
    let project = project(sql, &[]);
    let said = project.fails(2, &["plan", "p.sql"]);
    assert!(said.contains("no schema of it"), "{said}");
    let registry = RegistryStore::open(project.path().join("data/.log/registry")).unwrap();
    registry.register("other", &schema(field)).unwrap();
    let said = project.fails(1, &["plan", "p.sql"]);
    assert!(said.contains("does not know subject e-key") && said.contains("'key.subject'"), "{said}");
    let first = registry.register("e-key", &schema(field)).unwrap().id;
    let (good, cut, unknown) = (frame(first, b"\x02a"), frame(first, b"\x02"), frame(99, b"\x02a"));
    append(
        &project,
        &[
            (Some(&good), Some(b"{\"id\":0}")),
            (None, Some(b"{\"id\":1}")),
            (Some(b"a"), Some(b"{\"id\":2}")),
            (Some(&cut), Some(b"{\"id\":3}")),
            (Some(&unknown), Some(b"{\"id\":4}")),
            (Some(&unknown), None),
        ],
    );
    run(&project);
    let pinned = |version: u32| {
        let pin = std::fs::read_to_string(project.path().join("checkpoints/p/sources/e/reader")).unwrap();
        assert!(pin.contains("\"format\": \"json\"") && pin.contains("\"subject\": \"e-key\""), "{pin}");
        assert!(pin.contains(&format!("\"version\": {version}")), "{pin}");
    };
    pinned(1);
    // A newer schema is read by the pinned one, until the run is asked for it.
    let more = format!(r#"{field}, {{"name": "n", "type": "int", "default": 7}}"#);
    let second = registry.register("e-key", &schema(&more)).unwrap().id;
    append(&project, &[(Some(&frame(second, b"\x02b\x04")), Some(b"{\"id\":6}"))]);
    run(&project);
    pinned(1);
    let found = rows(&project, "SELECT id, key FROM bronze.e ORDER BY id");
    let wanted =
        [json!({"id": 0, "key": {"id": "a"}}), json!({"id": 1, "key": null}), json!({"id": 6, "key": {"id": "b"}})];
    assert_eq!(found, wanted);
    let letters = project.rows("SELECT \"offset\", error_class FROM dead_letters.e");
    assert_eq!(letters, ["2,INVALID_KEY", "3,INVALID_KEY", "4,INVALID_KEY"]);
}

#[test]
fn another_format_is_adopted_by_a_repin_and_counts_from_the_next_batch_on() {
    let sql = |format: &str| {
        format!(
            "CREATE TABLE e USING kafka OPTIONS ('subscribe' = 'e', 'value.format' = '{format}');
             CREATE STREAMING TABLE bronze_e AS SELECT _offset AS place FROM STREAM e;"
        )
    };
    let events: [Event<'_>; 2] = [(None, Some(b"a")), (None, Some(b"\xff"))];
    let project = project(&sql("text"), &events);
    run(&project);
    append(&project, &events);
    project.write("p.sql", &sql("binary"));
    project.fails(2, &["run", "p.sql", "--trigger", "available-now"]);
    project.ok(&["run", "p.sql", "--trigger", "available-now", "--repin", "e"]);
    assert_eq!(project.rows("SELECT place FROM bronze.e"), ["0", "2", "3"]);
    assert_eq!(project.rows("SELECT \"offset\", error_class FROM dead_letters.e"), ["1,INVALID_UTF8"]);
}

#[test]
fn a_checkpoint_is_read_in_the_format_that_it_began_with_until_it_is_repinned() {
    let project = project(JSON, &[(None, Some(b"{\"id\":1}"))]);
    run(&project);
    let text = "CREATE TABLE e USING kafka OPTIONS ('subscribe' = 'e', 'value.format' = 'text');
        CREATE STREAMING TABLE bronze_e AS SELECT length(value) AS id FROM STREAM e;";
    project.write("p.sql", text);
    for command in ["run", "plan"] {
        let said = project.fails(2, &[command, "p.sql"]);
        assert!(said.contains("format 'json'") && said.contains("--repin e"), "{said}");
    }
    project.write("p.sql", JSON);
    run(&project);
}

#[test]
fn text_and_bytes_are_one_column_and_keys_another() {
    let events: [Event<'_>; 4] = [
        (Some(b"k"), Some("ä".as_bytes())),
        (None, Some(b"\xff")),
        (Some(b"\xff"), Some(b"b")),
        (Some(b"7"), Some(b"c")),
    ];
    let sql = |format: &str| {
        format!(
            "CREATE TABLE e USING kafka OPTIONS ('subscribe' = 'e', 'value.format' = '{format}', 'key.format' = 'text');
             CREATE STREAMING TABLE bronze_e AS SELECT * FROM STREAM e;"
        )
    };
    let letters = "SELECT \"offset\", error_class FROM dead_letters.e";
    let text = project(&sql("text"), &events);
    run(&text);
    assert_eq!(text.rows("SELECT value, key, _offset FROM bronze.e"), ["c,7,3", "ä,k,0"]);
    assert_eq!(text.rows(letters), ["1,INVALID_UTF8", "2,INVALID_KEY"]);
    let bytes = project(&sql("binary"), &events);
    run(&bytes);
    assert_eq!(bytes.rows("SELECT coalesce(key, '-'), _offset FROM bronze.e"), ["-,1", "7,3", "k,0"]);
    assert_eq!(bytes.rows(letters), ["2,INVALID_KEY"]);
}

#[test]
fn a_sample_of_avro_is_refused_for_another_format() {
    let project = project(&JSON.replace("'subscribe' = 'e'", "'subscribe' = 'e', 'sample' = 'sales'"), &[]);
    let said = project.fails(2, &["plan", "p.sql"]);
    assert!(said.contains("`sample` is of events in 'avro'"), "{said}");
}
