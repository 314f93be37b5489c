//! Sources whose events are not Avro: their columns, their dead letters, and a checkpoint that knows how they are read. No registry is
//! there, and none is asked.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use std::sync::Arc;

use sluicebox_core::SystemClock;
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
    let rows = project.rows("SELECT id, date_part('year', at), shop['city'], price, _rescued, _offset FROM bronze.e");
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
