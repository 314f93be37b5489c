//! Schema resolution, case by case of the specification.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use serde_json::{Value as Json, json};

use crate::testing::{Body, Fixture};

fn record(kind: &str) -> String {
    format!(r#"{{"type":"record","name":"E","fields":[{{"name":"x","type":{kind}}}]}}"#)
}

/// A body of `writer` read as `reader`.
fn read(writer: &str, reader: &str, body: &[u8]) -> Result<Json, String> {
    let fixture = Fixture::new(&record(reader), &[(1, &record(writer))]);
    fixture.one(1, body).map(|row| row["x"].clone()).map_err(|(class, message)| format!("{class}: {message}"))
}

fn long(value: i64) -> Vec<u8> {
    Body::default().long(value).0
}

#[test]
fn numbers_and_texts_are_promoted() {
    for (writer, reader, expected) in [
        ("\"int\"", "\"long\"", json!(3)),
        ("\"int\"", "\"float\"", json!("3.0")),
        ("\"int\"", "\"double\"", json!("3.0")),
        ("\"long\"", "\"float\"", json!("3.0")),
        ("\"long\"", "\"double\"", json!("3.0")),
    ] {
        assert_eq!(read(writer, reader, &long(3)), Ok(expected), "{writer} as {reader}");
    }
    assert_eq!(read("\"float\"", "\"double\"", &1.5_f32.to_le_bytes()), Ok(json!("1.5")));
    assert_eq!(read("\"string\"", "\"bytes\"", &Body::default().text("ab").0), Ok(json!("6162")));
    assert_eq!(read("\"bytes\"", "\"string\"", &Body::default().text("ab").0), Ok(json!("ab")));
    assert!(
        read("\"bytes\"", "\"string\"", &Body::default().bytes(&[0xff]).0).unwrap_err().starts_with("INVALID_UTF8")
    );
    for (writer, reader) in
        [("\"long\"", "\"int\""), ("\"double\"", "\"float\""), ("\"string\"", "\"int\""), ("\"boolean\"", "\"int\"")]
    {
        let error = read(writer, reader, &long(0)).unwrap_err();
        assert!(error.starts_with("UNRESOLVABLE") && error.contains("field x"), "{error}");
    }
}

#[test]
fn fields_come_by_name_by_alias_or_from_their_default() {
    let writer = r#"{"type":"record","name":"E","fields":[
        {"name":"a","type":"int"},{"name":"gone","type":{"type":"array","items":"string"}},{"name":"old","type":"string"}]}"#;
    let reader = r#"{"type":"record","name":"E","fields":[
        {"name":"new","type":"string","aliases":["older","old"]},
        {"name":"added","type":{"type":"map","values":"int"},"default":{"k":1}},
        {"name":"nested","type":{"type":"record","name":"P","fields":[
            {"name":"q","type":"int","default":5},{"name":"r","type":"bytes","default":"\u00ff"}]},"default":{"q":6}},
        {"name":"a","type":"double"}]}"#;
    let fixture = Fixture::new(reader, &[(1, writer)]);
    let body = Body::default().long(1).long(1).text("skip").long(0).text("kept").0;
    let expected = json!({ "new": "kept", "added": { "k": 1 }, "nested": { "q": 6, "r": "ff" }, "a": "1.0" });
    assert_eq!(fixture.one(1, &body).unwrap(), expected);

    let without = reader.replace(r#","default":{"k":1}"#, "");
    let (class, message) = Fixture::new(&without, &[(1, writer)]).one(1, &body).unwrap_err();
    assert_eq!(class, "UNRESOLVABLE");
    assert!(message.contains("field added") && message.contains("default"), "{message}");
}

#[test]
fn an_unknown_symbol_is_the_default_or_a_dead_letter() {
    let writer = r#"{"type":"enum","name":"C","symbols":["Z","B","A"]}"#;
    let with = r#"{"type":"enum","name":"C","symbols":["A","B"],"default":"A"}"#;
    let without = r#"{"type":"enum","name":"C","symbols":["A","B"]}"#;
    assert_eq!(read(writer, with, &long(0)), Ok(json!("A")));
    assert_eq!(read(writer, with, &long(1)), Ok(json!("B")));
    assert_eq!(read(writer, without, &long(2)), Ok(json!("A")));
    let error = read(writer, without, &long(0)).unwrap_err();
    assert!(error.starts_with("UNRESOLVABLE: field x: symbol 'Z'"), "{error}");
}

#[test]
fn unions_resolve_branch_by_branch() {
    // Into a union: the branch of its own type before a promotion, whatever the order.
    assert_eq!(read("\"long\"", r#"["double","long"]"#, &long(3)), Ok(json!({ "double": null, "long": 3 })));
    assert_eq!(read("\"int\"", r#"["null","long"]"#, &long(3)), Ok(json!(3)));
    assert_eq!(
        read("\"int\"", r#"["string","double","null"]"#, &long(3)),
        Ok(json!({ "string": null, "double": "3.0" }))
    );
    assert_eq!(read("\"null\"", r#"["string","double","null"]"#, &[]), Ok(Json::Null));
    assert!(read("\"boolean\"", r#"["null","long"]"#, &[1]).unwrap_err().starts_with("UNRESOLVABLE"));
    // Out of a union: what cannot be read fails only the events that have it.
    let union = r#"["null","string","int"]"#;
    assert_eq!(read(union, "\"long\"", &Body::default().long(2).long(8).0), Ok(json!(8)));
    assert!(read(union, "\"long\"", &long(0)).unwrap_err().starts_with("UNRESOLVABLE"));
    assert!(read(union, "\"boolean\"", &long(0)).unwrap_err().contains("does not resolve"));
    // From one union to another of another order.
    let reordered = r#"["long","null","string"]"#;
    assert_eq!(
        read(union, reordered, &Body::default().long(1).text("t").0),
        Ok(json!({ "long": null, "string": "t" }))
    );
    assert_eq!(read(union, reordered, &Body::default().long(2).long(4).0), Ok(json!({ "long": 4, "string": null })));
    assert_eq!(read(union, reordered, &long(0)), Ok(Json::Null));
    // A nullable writer whose null is second, into the reader's whose null is first.
    assert_eq!(read(r#"["int","null"]"#, r#"["null","long"]"#, &long(1)), Ok(Json::Null));
    assert_eq!(read(r#"["int","null"]"#, r#"["null","long"]"#, &Body::default().long(0).long(2).0), Ok(json!(2)));
}

#[test]
fn records_in_unions_are_told_apart_by_name() {
    let of = |name: &str, field: &str| {
        format!(r#"{{"type":"record","name":"{name}","fields":[{{"name":"{field}","type":"int","default":0}}]}}"#)
    };
    let writer = format!("[{},{}]", of("n.A", "a"), of("n.B", "b"));
    let reader = format!("[{},{},\"null\"]", of("n.B", "b"), of("n.A", "a"));
    let body = Body::default().long(1).long(5).0;
    assert_eq!(read(&writer, &reader, &body), Ok(json!({ "B": { "b": 5 }, "A": null })));
}

#[test]
fn times_of_other_units_are_converted() {
    let time = |kind: &str, logical: &str| format!(r#"{{"type":"{kind}","logicalType":"{logical}"}}"#);
    let timestamp = |unit: &str| time("long", &format!("timestamp-{unit}"));
    assert_eq!(read(&timestamp("millis"), &timestamp("micros"), &long(-5)), Ok(json!(-5_000)));
    assert_eq!(read(&timestamp("millis"), &timestamp("nanos"), &long(5)), Ok(json!(5_000_000)));
    assert_eq!(read(&timestamp("micros"), &timestamp("millis"), &long(-1)), Ok(json!(-1)), "rounds down");
    assert!(read(&timestamp("millis"), &timestamp("nanos"), &long(i64::MAX)).unwrap_err().starts_with("OUT_OF_RANGE"));
    assert_eq!(read(&time("int", "time-millis"), &time("long", "time-micros"), &long(7)), Ok(json!(7_000)));
    assert_eq!(read("\"long\"", &timestamp("micros"), &long(7)), Ok(json!(7)), "a plain long is what the reader says");
    assert_eq!(read(&timestamp("micros"), "\"long\"", &long(7)), Ok(json!(7)));
    assert!(read(&time("int", "date"), &timestamp("millis"), &long(7)).unwrap_err().starts_with("UNRESOLVABLE"));
}

#[test]
fn decimals_may_gain_digits_but_not_lose_them() {
    let decimal = |precision, scale| {
        format!(r#"{{"type":"bytes","logicalType":"decimal","precision":{precision},"scale":{scale}}}"#)
    };
    let body = Body::default().bytes(&[0x7b]).0;
    assert_eq!(read(&decimal(9, 2), &decimal(12, 4), &body), Ok(json!("12300")));
    assert_eq!(read(&decimal(9, 2), &decimal(40, 3), &body), Ok(json!("1230")));
    assert!(
        read(&decimal(9, 2), &decimal(4, 3), &Body::default().bytes(&[0x7f, 0]).0)
            .unwrap_err()
            .starts_with("INVALID_DECIMAL")
    );
    assert!(read(&decimal(9, 2), &decimal(9, 1), &body).unwrap_err().starts_with("UNRESOLVABLE"));
    let fixed = r#"{"type":"fixed","name":"M","size":1,"logicalType":"decimal","precision":2,"scale":2}"#;
    assert_eq!(read(fixed, &decimal(9, 3), &[0x7b]), Ok(json!("1230")), "whichever bytes carry them");
}

#[test]
fn fixed_must_have_the_same_name_and_size() {
    let fixed = |name: &str, size| format!(r#"{{"type":"fixed","name":"{name}","size":{size}}}"#);
    assert_eq!(read(&fixed("F", 2), &fixed("other.F", 2), &[1, 2]), Ok(json!("0102")));
    for other in [fixed("G", 2), fixed("F", 3), "\"bytes\"".to_owned()] {
        assert!(read(&fixed("F", 2), &other, &[1, 2]).unwrap_err().starts_with("UNRESOLVABLE"));
    }
}
