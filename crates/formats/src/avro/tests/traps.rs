//! Each trap that a decoder of registry events has met, as a test: the bad event costs itself alone.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use arrow::array::AsArray;
use arrow::datatypes::Int32Type;
use serde_json::json;
use sluicebox_core::raw::Large;

use crate::framing::frame;
use crate::testing::{Body, Fixture, letters, raw, rows};

const EVENT: &str = r#"{"type":"record","name":"E","fields":[
    {"name":"id","type":"long"},{"name":"name","type":"string"},{"name":"amount","type":"double"}]}"#;

fn event(id: i64, name: &str) -> Vec<u8> {
    Body::default().long(id).text(name).double(1.5).0
}

/// The class that a body of `schema` gets between two good events of [`EVENT`], which must not notice.
fn class_of(schema: &str, body: &[u8]) -> String {
    let reader = Fixture::new(schema, &[(1, schema)]);
    let alone = reader.one(1, body).unwrap_err();
    let among = Fixture::new(EVENT, &[(1, EVENT), (2, schema)]);
    let decoded = among.decode(&[Some(frame(1, &event(1, "a"))), Some(frame(2, body)), Some(frame(1, &event(3, "c")))]);
    assert_eq!(rows(&decoded).iter().map(|r| r["id"].clone()).collect::<Vec<_>>(), [json!(1), json!(3)]);
    assert_eq!(letters(&decoded).len(), 1);
    alone.0
}

fn field(kind: &str) -> String {
    format!(r#"{{"type":"record","name":"E","fields":[{{"name":"x","type":{kind}}}]}}"#)
}

#[test]
fn a_truncated_event_is_a_dead_letter_and_the_next_one_a_row() {
    let fixture = Fixture::new(EVENT, &[(1, EVENT)]);
    let whole = event(2, "bb");
    for len in 0..whole.len() {
        let values = [Some(frame(1, &event(1, "a"))), Some(frame(1, &whole[..len])), Some(frame(1, &event(3, "c")))];
        let decoded = fixture.decode(&values);
        assert_eq!(letters(&decoded), [(102, "TRUNCATED".to_owned())], "cut at {len}");
        assert_eq!(rows(&decoded).len(), 2);
    }
}

#[test]
fn bytes_that_are_no_text_cost_their_event_alone() {
    let mut body = event(2, "bb");
    body[2] = 0xff;
    assert_eq!(class_of(EVENT, &body), "INVALID_UTF8");
    // Two halves of a character, each in its own event, make no whole one.
    let fixture = Fixture::new(&field(r#""string""#), &[(1, &field(r#""string""#))]);
    let half = |bytes: &[u8]| Some(frame(1, &Body::default().bytes(bytes).0));
    let decoded = fixture.decode(&[half(&[0xc3]), half(&[0xa4]), half("ä".as_bytes())]);
    assert_eq!(rows(&decoded), [json!({ "x": "ä" })]);
}

#[test]
fn a_byte_too_many_makes_no_row() {
    let mut body = event(2, "bb");
    body.push(7);
    let fixture = Fixture::new(EVENT, &[(1, EVENT)]);
    assert_eq!(fixture.one(1, &body).unwrap_err().0, "TRAILING_BYTES");
    assert_eq!(class_of(EVENT, &body), "TRAILING_BYTES");
}

#[test]
fn an_unknown_id_costs_its_events_and_is_asked_for_again() {
    let fixture = Fixture::new(EVENT, &[(1, EVENT)]);
    let values = [Some(frame(9, &event(1, "a"))), Some(frame(1, &event(2, "b")))];
    assert_eq!(letters(&fixture.decode(&values)), [(100, "UNKNOWN_SCHEMA_ID".to_owned())]);
    fixture.registry.schemas.lock().unwrap().insert(9, sluicebox_registry::SchemaText::new(EVENT));
    assert_eq!(rows(&fixture.decode(&values)).len(), 2, "registered late, found in the next batch");
    assert_eq!(*fixture.registry.asked.lock().unwrap(), [1, 9, 9]);
}

#[test]
fn lengths_that_lie_are_refused_at_once() {
    let long = |value| Body::default().long(1).long(value).raw(&[0; 20]).0;
    assert_eq!(class_of(EVENT, &long(-5)), "NEGATIVE_LENGTH");
    assert_eq!(class_of(EVENT, &long(i64::MAX)), "TRUNCATED");
    assert_eq!(class_of(EVENT, &long(i64::MIN)), "NEGATIVE_LENGTH");
}

#[test]
fn few_bytes_do_not_become_many_items() {
    let nulls = field(r#"{"type":"array","items":"null"}"#);
    let items = |count| Body::default().long(count).long(0).0;
    assert_eq!(class_of(&nulls, &items(1 << 28)), "TOO_MANY_ITEMS");
    assert_eq!(class_of(&nulls, &items(i64::MAX)), "TOO_MANY_ITEMS");
    let fixture = Fixture::new(&nulls, &[(1, &nulls)]);
    assert_eq!(fixture.one(1, &items(3)).unwrap(), json!({ "x": [null, null, null] }));
    let longs = field(r#"{"type":"array","items":"long"}"#);
    assert_eq!(class_of(&longs, &items(1 << 28)), "TRUNCATED");
    let empty = field(r#"{"type":"array","items":{"type":"record","name":"Z","fields":[{"name":"n","type":"null"}]}}"#);
    assert_eq!(class_of(&empty, &items(1 << 28)), "TOO_MANY_ITEMS");
}

#[test]
fn a_null_does_not_become_many_columns_without_limit() {
    let many: Vec<String> = (0..2_000).map(|i| format!(r#"{{"name":"f{i}","type":"long"}}"#)).collect();
    let wide = format!(r#"["null",{{"type":"record","name":"W","fields":[{}]}}]"#, many.join(","));
    let schema = field(&format!(r#"{{"type":"array","items":{wide}}}"#));
    let body = Body::default().long(100_000).raw(&[0; 100_001]).0;
    assert_eq!(class_of(&schema, &body), "TOO_MANY_ITEMS");
}

#[test]
fn skipped_fields_are_no_way_around_the_limits() {
    // Each level doubles the values of the one below, none has a byte.
    let mut kind = r#"{"type":"record","name":"L0","fields":[{"name":"n","type":"null"}]}"#.to_owned();
    for level in 1..40 {
        let below = format!("L{}", level - 1);
        kind = format!(
            r#"{{"type":"record","name":"L{level}","fields":[{{"name":"a","type":{kind}}},{{"name":"b","type":"{below}"}}]}}"#
        );
    }
    let writer = field(&kind);
    let fixture = Fixture::new(
        &field(r#""long""#).replace("\"x\"", "\"y\"").replace("\"long\"", "\"long\",\"default\":1"),
        &[(1, &writer)],
    );
    assert_eq!(fixture.one(1, &[]).unwrap_err().0, "TOO_MANY_ITEMS");
    // As a reader schema it would have more columns than anyone can count.
    assert!(Fixture::try_new(&writer, &[]).is_err());
}

#[test]
fn a_writer_s_recursion_ends_at_the_limit() {
    let node = r#"{"type":"record","name":"N","fields":[{"name":"next","type":["null","N"]}]}"#;
    let writer = format!(
        r#"{{"type":"record","name":"E","fields":[{{"name":"id","type":"long"}},{{"name":"list","type":{node}}}]}}"#
    );
    let fixture = Fixture::new(&field(r#""long""#).replace("\"x\"", "\"id\""), &[(1, &writer)]);
    let list = |length| Body::default().long(5).raw(&vec![2; length]).long(0).0;
    assert_eq!(fixture.one(1, &list(50)).unwrap(), json!({ "id": 5 }));
    assert_eq!(fixture.one(1, &list(100_000)).unwrap_err().0, "TOO_DEEP");
    let endless = r#"{"type":"record","name":"E","fields":[{"name":"id","type":"long"},{"name":"me","type":"E"}]}"#;
    let fixture = Fixture::new(&field(r#""long""#).replace("\"x\"", "\"id\""), &[(1, endless)]);
    assert_eq!(fixture.one(1, &[0; 1000]).unwrap_err().0, "TOO_DEEP");
}

#[test]
fn numbers_keep_to_their_size() {
    let long = field(r#""long""#);
    let overlong = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
    assert_eq!(class_of(&long, &overlong), "OVERLONG_VARINT");
    assert_eq!(class_of(&long, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]), "OVERLONG_VARINT");
    assert_eq!(class_of(&long, &[0xff; 5]), "TRUNCATED");
    let fixture = Fixture::new(&long, &[(1, &long)]);
    let least = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(fixture.one(1, &least).unwrap(), json!({ "x": i64::MIN }));
    let int = field(r#""int""#);
    assert_eq!(class_of(&int, &Body::default().long(i64::from(i32::MAX) + 1).0), "OVERLONG_VARINT");
    assert_eq!(class_of(&int, &[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), "OVERLONG_VARINT");
}

#[test]
fn numbers_of_branches_symbols_and_booleans_must_exist() {
    let union = field(r#"["null","long"]"#);
    assert_eq!(class_of(&union, &Body::default().long(2).long(0).0), "INVALID_UNION_BRANCH");
    assert_eq!(class_of(&union, &Body::default().long(-1).0), "INVALID_UNION_BRANCH");
    let symbols = field(r#"{"type":"enum","name":"C","symbols":["A","B"]}"#);
    assert_eq!(class_of(&symbols, &Body::default().long(2).0), "INVALID_ENUM");
    assert_eq!(class_of(&symbols, &Body::default().long(-1).0), "INVALID_ENUM");
    assert_eq!(class_of(&field(r#""boolean""#), &[2]), "INVALID_BOOLEAN");
}

#[test]
fn a_block_has_the_size_that_it_says() {
    let longs = field(r#"{"type":"array","items":"long"}"#);
    let fixture = Fixture::new(&longs, &[(1, &longs)]);
    let sized = |size| Body::default().long(-2).long(size).long(1).long(2).long(0).0;
    assert_eq!(fixture.one(1, &sized(2)).unwrap(), json!({ "x": [1, 2] }));
    assert_eq!(class_of(&longs, &sized(1)), "INVALID_BLOCK");
    assert_eq!(class_of(&longs, &sized(3)), "INVALID_BLOCK");
    assert_eq!(class_of(&longs, &sized(100)), "INVALID_BLOCK");
    assert_eq!(class_of(&longs, &sized(-1)), "INVALID_BLOCK");
    assert_eq!(class_of(&longs, &Body::default().long(i64::MIN).long(0).0), "TRUNCATED");
}

#[test]
fn a_decimal_has_its_precision() {
    let decimal = field(r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#);
    let fixture = Fixture::new(&decimal, &[(1, &decimal)]);
    let bytes = |bytes: &[u8]| Body::default().bytes(bytes).0;
    assert_eq!(fixture.one(1, &bytes(&9999_i16.to_be_bytes())).unwrap(), json!({ "x": "9999" }));
    assert_eq!(fixture.one(1, &bytes(&[0xff; 40])).unwrap(), json!({ "x": "-1" }));
    assert_eq!(fixture.one(1, &bytes(&(-9999_i16).to_be_bytes())).unwrap(), json!({ "x": "-9999" }));
    for bad in [&10_000_i16.to_be_bytes()[..], &(-10_000_i16).to_be_bytes(), &[], &[1; 17], &[0x7f; 33]] {
        assert_eq!(class_of(&decimal, &bytes(bad)), "INVALID_DECIMAL");
    }
    let mut sign_lost = [0; 17];
    sign_lost[1] = 0x80;
    assert_eq!(class_of(&decimal, &bytes(&sign_lost)), "INVALID_DECIMAL");
}

#[test]
fn ids_that_alternate_stay_in_one_batch_and_in_order() {
    let second = r#"{"type":"record","name":"E","fields":[{"name":"name","type":"string"},{"name":"id","type":"int"},
        {"name":"amount","type":"float"},{"name":"extra","type":"string"}]}"#;
    let fixture = Fixture::new(EVENT, &[(1, EVENT), (2, second)]);
    let values: Vec<_> = (0..100)
        .map(|i| match i % 2 {
            0 => Some(frame(1, &event(i, "x"))),
            _ => Some(frame(2, &Body::default().text("y").long(i).raw(&2.5_f32.to_le_bytes()).text("more").0)),
        })
        .collect();
    let decoded = fixture.decode(&values);
    assert_eq!(decoded.rows.len(), 1);
    let ids: Vec<i64> = rows(&decoded).iter().map(|r| r["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, (0..100).collect::<Vec<_>>());
    let uses: Vec<(u64, Vec<String>)> = decoded.schemas.into_iter().map(|u| (u.rows, u.ignored_fields)).collect();
    assert_eq!(uses, [(50, vec![]), (50, vec!["extra".to_owned()])]);
}

#[test]
fn a_null_that_is_the_second_branch_may_be_the_default() {
    let reader = EVENT.replace(
        r#"{"name":"amount","type":"double"}"#,
        r#"{"name":"amount","type":"double"},{"name":"x","type":["int","null"],"default":null},
           {"name":"y","type":["int","null"],"default":4}"#,
    );
    let fixture = Fixture::new(&reader, &[(1, EVENT)]);
    let row = fixture.one(1, &event(1, "a")).unwrap();
    assert_eq!((&row["x"], &row["y"]), (&json!(null), &json!(4)));
}

#[test]
fn a_record_of_another_name_is_refused_unless_an_alias_says_so() {
    let other = EVENT.replace("\"E\"", "\"Other\"");
    let fixture = Fixture::new(&other, &[(1, EVENT)]);
    let (class, message) = fixture.one(1, &event(1, "a")).unwrap_err();
    assert_eq!(class, "UNRESOLVABLE");
    assert!(message.contains("'E'") && message.contains("'Other'"), "{message}");
    let alias = EVENT.replace("\"E\"", "\"Other\",\"aliases\":[\"E\"]");
    assert!(Fixture::new(&alias, &[(1, EVENT)]).one(1, &event(1, "a")).is_ok());
    let moved = EVENT.replace("\"E\"", "\"E\",\"namespace\":\"other.place\"");
    assert!(Fixture::new(&moved, &[(1, EVENT)]).one(1, &event(1, "a")).is_ok(), "namespaces do not count");
}

#[test]
fn a_field_that_can_be_no_column_costs_itself_and_not_the_source() {
    let fields = r#"{"name":"v","type":"int"},
        {"name":"next","type":["null","N"]},
        {"name":"wide","type":{"type":"bytes","logicalType":"decimal","precision":80,"scale":2}},
        {"name":"w","type":"string"}"#;
    let node = format!(r#"{{"type":"record","name":"N","fields":[{fields}]}}"#);
    let fixture = Fixture::new(&node, &[(1, &node)]);
    // v, next: another N (v, no next, wide, w), wide, w.
    let inner = Body::default().long(2).long(0).long(1).raw(&[9]).long(1).raw(b"i");
    let body = Body::default().long(1).long(1).raw(&inner.0).long(1).raw(&[7]).long(1).raw(b"o").0;
    assert_eq!(fixture.one(1, &body).unwrap(), json!({ "v": 1, "w": "o" }));
}

#[test]
fn a_reader_schema_of_which_nothing_is_left_is_refused_with_its_path() {
    let node = r#"{"type":"record","name":"N","fields":[{"name":"next","type":["null","N"]}]}"#;
    let error = Fixture::try_new(node, &[]).err().unwrap().to_string();
    assert!(
        error.contains("N.next") && error.contains("recursive") && error.contains("value.schema.version"),
        "{error}"
    );
}

#[test]
fn of_a_map_s_key_that_is_named_twice_the_last_value_counts() {
    let schema = field(r#"{"type":"map","values":"int"}"#);
    let fixture = Fixture::new(&schema, &[(1, &schema)]);
    let entry = |body: Body, key: &str, value: i64| body.long(1).long(key.len() as i64).raw(key.as_bytes()).long(value);
    // Two blocks, as Avro's encoding allows, and then one of two entries.
    let body = entry(entry(entry(Body::default(), "k", 1), "k", 2), "j", 3).long(0).0;
    assert_eq!(fixture.one(1, &body).unwrap(), json!({ "x": { "k": 2, "j": 3 } }));
    let body = Body::default().long(2).long(1).raw(b"k").long(1).long(1).raw(b"k").long(5).long(0).0;
    assert_eq!(fixture.one(1, &body).unwrap(), json!({ "x": { "k": 5 } }));
}

#[test]
fn a_writer_s_schema_that_cannot_be_used_costs_its_events() {
    let unresolved = r#"{"type":"record","name":"E","fields":[{"name":"x","type":"com.x.Address"}]}"#;
    let fixture = Fixture::new(EVENT, &[(1, EVENT), (2, unresolved), (3, "not json")]);
    let (class, message) = fixture.one(2, &[]).unwrap_err();
    assert_eq!(class, "UNSUPPORTED_SCHEMA");
    assert!(message.contains("E.x") && message.contains("com.x.Address"), "{message}");
    assert_eq!(fixture.one(3, &[]).unwrap_err().0, "UNSUPPORTED_SCHEMA");
}

#[test]
fn framing_that_cannot_be_read_is_a_dead_letter() {
    let fixture = Fixture::new(EVENT, &[(1, EVENT)]);
    let decoded = fixture.decode(&[Some(vec![]), Some(vec![0, 0, 0]), Some(b"{}".to_vec()), None]);
    let classes: Vec<String> = letters(&decoded).into_iter().map(|(_, class)| class).collect();
    assert_eq!(classes, ["INCOMPLETE_HEADER", "INCOMPLETE_HEADER", "INVALID_MAGIC_BYTE"]);
    assert_eq!(decoded.tombstones, 1);
}

#[test]
fn an_event_that_was_not_taken_whole_is_a_letter_whatever_its_head_says() {
    let fixture = Fixture::new(EVENT, &[(1, EVENT)]);
    let mut events =
        raw(0, &[Some(frame(1, &event(1, "a"))), Some(frame(1, &event(2, "b"))), Some(frame(9, &[])), None]);
    let large = |offset, value| Large { offset, key: 8, value };
    events.large = vec![large(102, 20 << 20), large(104, 17 << 20), large(106, 0)];
    let writers = fixture.prepare(std::slice::from_ref(&events)).unwrap();
    assert_eq!(*fixture.registry.asked.lock().unwrap(), [1], "for its schema nobody needs to be asked");
    let decoded = fixture.decoder.decode(&writers, std::slice::from_ref(&events), &[0]).unwrap();
    assert_eq!(rows(&decoded).len(), 1);
    assert_eq!(decoded.tombstones, 1);
    assert_eq!(letters(&decoded), [(102, "TOO_LARGE".to_owned()), (104, "TOO_LARGE".to_owned())]);
    let ids = decoded.dead_letters.column(7).as_primitive::<Int32Type>();
    assert_eq!(ids.values(), &[1, 9]);
    let message = decoded.dead_letters.column(9).as_string::<i32>().value(0);
    assert!(message.contains("20971520 bytes"), "{message}");
}

#[test]
fn nullable_items_and_records_in_unions_keep_their_shape() {
    let schema = field(
        r#"{"type":"array","items":["null",{"type":"record","name":"P","fields":[{"name":"q","type":["long","null"]}]}]}"#,
    );
    let fixture = Fixture::new(&schema, &[(1, &schema)]);
    let body = Body::default().long(3).long(0).long(1).long(0).long(8).long(1).long(1).long(0).0;
    assert_eq!(fixture.one(1, &body).unwrap(), json!({ "x": [null, { "q": 8 }, { "q": null }] }));
}

/// A query that met such a time would fail, and with it every event of the batch, again at every restart.
#[test]
fn a_time_that_no_calendar_has_costs_its_event_alone() {
    let typed = |kind: &str, logical: &str| field(&format!(r#"{{"type":"{kind}","logicalType":"{logical}"}}"#));
    let body = |value| Body::default().long(value).0;
    let most = 8_000_000_000_000_000_000_i64;
    for (kind, logical, good, bad) in [
        ("long", "timestamp-micros", [most, -most], [most + 1, i64::MIN]),
        ("long", "local-timestamp-micros", [most, -most], [i64::MAX, -most - 1]),
        ("long", "timestamp-millis", [most / 1000, -most / 1000], [most / 1000 + 1, i64::MIN]),
        ("long", "timestamp-nanos", [i64::MAX, i64::MIN], [0, 0]),
        ("int", "date", [92_592_592, -92_592_592], [92_592_593, i64::from(i32::MIN)]),
        ("int", "time-millis", [0, 86_399_999], [-1, 86_400_000]),
        ("long", "time-micros", [0, 86_399_999_999], [-1, 86_400_000_000]),
    ] {
        let schema = typed(kind, logical);
        let fixture = Fixture::new(&schema, &[(1, &schema)]);
        for value in good {
            assert!(fixture.one(1, &body(value)).is_ok(), "{logical} {value}");
        }
        for value in bad.into_iter().filter(|bad| *bad != 0) {
            assert_eq!(class_of(&schema, &body(value)), "OUT_OF_RANGE", "{logical} {value}");
        }
    }
    // Scaled to another unit it is held to what that unit may be.
    let (millis, micros) = (typed("long", "timestamp-millis"), typed("long", "timestamp-micros"));
    let fixture = Fixture::new(&micros, &[(1, &millis)]);
    assert!(fixture.one(1, &body(most / 1000)).is_ok());
    assert_eq!(fixture.one(1, &body(most / 1000 + 1)).unwrap_err().0, "OUT_OF_RANGE");
}
