//! What each Avro type becomes.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use arrow::datatypes::{DataType, Field, TimeUnit};
use serde_json::{Value as Json, json};

use crate::testing::{Body, Fixture};

fn schema(kind: &str) -> String {
    format!(r#"{{"type":"record","name":"E","fields":[{{"name":"x","type":{kind}}}]}}"#)
}

/// The column of a field of type `kind`, and its value for `body`.
fn decoded(kind: &str, body: &[u8]) -> (Field, Json) {
    let text = schema(kind);
    let fixture = Fixture::new(&text, &[(1, &text)]);
    let row = fixture.one(1, body).unwrap();
    (fixture.decoder.schema().field(0).clone(), row["x"].clone())
}

fn logical(kind: &str, logical: &str) -> String {
    format!(r#"{{"type":"{kind}","logicalType":"{logical}"}}"#)
}

#[test]
fn times_have_their_unit_and_zone() {
    let utc = || Some("UTC".into());
    let cases = [
        (logical("int", "date"), DataType::Date32),
        (logical("int", "time-millis"), DataType::Time32(TimeUnit::Millisecond)),
        (logical("long", "time-micros"), DataType::Time64(TimeUnit::Microsecond)),
        (logical("long", "timestamp-millis"), DataType::Timestamp(TimeUnit::Millisecond, utc())),
        (logical("long", "timestamp-micros"), DataType::Timestamp(TimeUnit::Microsecond, utc())),
        (logical("long", "timestamp-nanos"), DataType::Timestamp(TimeUnit::Nanosecond, utc())),
        (logical("long", "local-timestamp-millis"), DataType::Timestamp(TimeUnit::Millisecond, None)),
        (logical("long", "local-timestamp-micros"), DataType::Timestamp(TimeUnit::Microsecond, None)),
        (logical("long", "local-timestamp-nanos"), DataType::Timestamp(TimeUnit::Nanosecond, None)),
    ];
    for (kind, data_type) in cases {
        let (field, value) = decoded(&kind, &Body::default().long(86_399_999).0);
        assert_eq!(field, Field::new("x", data_type, false), "{kind}");
        assert_eq!(value, json!(86_399_999));
    }
}

#[test]
fn decimals_stay_decimals() {
    let decimal = |precision, scale| {
        format!(r#"{{"type":"bytes","logicalType":"decimal","precision":{precision},"scale":{scale}}}"#)
    };
    let body = Body::default().bytes(&(-12_345_i32).to_be_bytes()).0;
    let (field, value) = decoded(&decimal(9, 2), &body);
    assert_eq!((field.data_type(), value), (&DataType::Decimal128(9, 2), json!("-12345")));
    let (field, value) = decoded(&decimal(39, 0), &body);
    assert_eq!((field.data_type(), value), (&DataType::Decimal256(39, 0), json!("-12345")));
    let fixed = r#"{"type":"fixed","name":"M","size":4,"logicalType":"decimal","precision":9,"scale":2}"#;
    let (field, value) = decoded(fixed, &(-12_345_i32).to_be_bytes());
    assert_eq!((field.data_type(), value), (&DataType::Decimal128(9, 2), json!("-12345")));
    // A second use by name is the same decimal.
    let twice =
        format!(r#"{{"type":"record","name":"P","fields":[{{"name":"a","type":{fixed}}},{{"name":"b","type":"M"}}]}}"#);
    let body = [(-1_i32).to_be_bytes(), 1_i32.to_be_bytes()].concat();
    assert_eq!(decoded(&twice, &body).1, json!({ "a": "-1", "b": "1" }));
    // More digits than the fixed can hold: not a decimal, says the specification.
    let (field, _) = decoded(&fixed.replace("\"precision\":9", "\"precision\":10"), &[0; 4]);
    assert_eq!(field.data_type(), &DataType::FixedSizeBinary(4));
    let error = Fixture::try_new(&schema(&decimal(77, 2)), &[]).err().unwrap().to_string();
    assert!(error.contains("E.x") && error.contains("77"), "{error}");
}

#[test]
fn uuids_enums_and_durations_are_readable() {
    let text = "89791762-2336-4186-9674-299B90A802E2";
    let (field, value) = decoded(&logical("string", "uuid"), &Body::default().text(text).0);
    assert_eq!((field.data_type(), value), (&DataType::Utf8, json!(text)), "as it came");
    let bytes = [0x89, 0x79, 0x17, 0x62, 0x23, 0x36, 0x41, 0x86, 0x96, 0x74, 0x29, 0x9b, 0x90, 0xa8, 0x02, 0xe2];
    let (field, value) = decoded(r#"{"type":"fixed","name":"U","size":16,"logicalType":"uuid"}"#, &bytes);
    assert_eq!((field.data_type(), value), (&DataType::Utf8, json!(text.to_lowercase())));
    let (field, value) = decoded(r#"{"type":"enum","name":"C","symbols":["A","B"]}"#, &[2]);
    assert_eq!((field.data_type(), value), (&DataType::Utf8, json!("B")));
    let duration = r#"{"type":"fixed","name":"D","size":12,"logicalType":"duration"}"#;
    let body = [u32::MAX.to_le_bytes(), 2_u32.to_le_bytes(), 3_u32.to_le_bytes()].concat();
    assert_eq!(decoded(duration, &body).1, json!({ "months": u32::MAX, "days": 2, "millis": 3 }));
}

#[test]
fn a_union_is_its_branch_or_a_struct_of_members() {
    let (field, value) = decoded(r#"["null","long"]"#, &Body::default().long(1).long(5).0);
    assert_eq!((field, value), (Field::new("x", DataType::Int64, true), json!(5)));
    let (field, value) = decoded(r#"["long","null"]"#, &Body::default().long(1).0);
    assert_eq!((field, value), (Field::new("x", DataType::Int64, true), Json::Null));
    let (field, _) = decoded(r#"["long"]"#, &Body::default().long(0).long(5).0);
    assert_eq!(field, Field::new("x", DataType::Int64, false));

    let record = r#"{"type":"record","name":"a.P","fields":[{"name":"q","type":"int"}]}"#;
    let general = format!(r#"["string",{record},{{"type":"array","items":"long"}}]"#);
    let (field, value) = decoded(&general, &Body::default().long(1).long(7).0);
    assert_eq!(value, json!({ "string": null, "P": { "q": 7 }, "array": null }));
    let DataType::Struct(members) = field.data_type() else { unreachable!() };
    assert!(!field.is_nullable() && members.iter().all(|m| m.is_nullable()));

    let with_null = r#"["string","null","long"]"#;
    let (field, value) = decoded(with_null, &Body::default().long(1).0);
    assert!(field.is_nullable());
    assert_eq!(value, Json::Null);
    assert_eq!(decoded(with_null, &Body::default().long(2).long(9).0).1, json!({ "string": null, "long": 9 }));

    let twins = r#"[{"type":"fixed","name":"a.F","size":1},{"type":"fixed","name":"b.F","size":1}]"#;
    assert_eq!(decoded(twins, &[2, 0xab]).1, json!({ "a.F": null, "b.F": "ab" }));
}

#[test]
fn lists_maps_and_bytes() {
    let (field, value) = decoded(
        r#"{"type":"map","values":["null","int"]}"#,
        &Body::default().long(2).text("a").long(0).text("b").long(1).long(4).long(0).0,
    );
    assert_eq!(value, json!({ "a": null, "b": 4 }));
    assert!(matches!(field.data_type(), DataType::Map(..)));
    let blocks = Body::default().long(1).long(5).long(2).long(6).long(7).long(0).0;
    assert_eq!(decoded(r#"{"type":"array","items":"int"}"#, &blocks).1, json!([5, 6, 7]));
    assert_eq!(decoded(r#""bytes""#, &Body::default().bytes(&[0xff, 0]).0).1, json!("ff00"));
    assert_eq!(decoded(r#"{"type":"fixed","name":"F","size":2}"#, &[1, 2]).1, json!("0102"));
    assert_eq!(decoded(r#"{"type":"fixed","name":"F","size":0}"#, &[]).1, json!(""));
    assert_eq!(decoded(r#""null""#, &[]).1, Json::Null);
    assert_eq!(decoded(r#"{"type":"record","name":"Z","fields":[]}"#, &[]).1, json!({}));
}

#[test]
fn a_schema_that_is_no_record_has_one_column() {
    let fixture = Fixture::new(r#"["null","string"]"#, &[(1, r#""string""#)]);
    assert_eq!(fixture.one(1, &Body::default().text("hi").0).unwrap(), json!({ "value": "hi" }));
    assert_eq!(fixture.decoder.schema().field(0), &Field::new("value", DataType::Utf8, true));
}

#[test]
fn names_of_metadata_columns_are_taken() {
    for name in sluicebox_core::provenance::METADATA.into_iter().chain(["__sb_offset"]) {
        let text = schema("\"int\"").replace("\"x\"", &format!("\"{name}\""));
        let error = Fixture::try_new(&text, &[]).err().unwrap().to_string();
        assert!(error.contains(name) && error.contains("alias"), "{error}");
    }
}
