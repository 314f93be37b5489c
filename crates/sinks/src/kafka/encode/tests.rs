#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, TimeUnit};
use sluicebox_core::secret::Pieces;

use super::super::{Place, Unknown};
use super::*;

fn options(format: EventFormat, keys: &[&str], headers: &[&str]) -> KafkaSinkOptions {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    KafkaSinkOptions {
        table: "orders".to_owned(),
        place: Place::Brokers("localhost:9092".to_owned()),
        topic: "orders_out".to_owned(),
        properties: BTreeMap::new(),
        secrets: Pieces::default(),
        format,
        key_columns: owned(keys),
        header_columns: owned(headers),
        unknown: Unknown::Stop,
    }
}

fn rows() -> RecordBatch {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let fields = vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("price", DataType::Decimal128(20, 2), true),
        Field::new("at", utc, true),
        Field::new("day", DataType::Date32, true),
        Field::new("ok", DataType::Boolean, true),
        Field::new("ratio", DataType::Float64, true),
        Field::new("raw", DataType::Binary, true),
    ];
    let prices = Decimal128Array::from(vec![Some(123_456_789_012_345_678), None]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![9_007_199_254_740_993, -1])),
        Arc::new(StringArray::from(vec![Some("two\nlines \"and\" ünï"), None])),
        Arc::new(prices.with_precision_and_scale(20, 2).unwrap()),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(1_767_262_500_123_456), None]).with_timezone("UTC")),
        Arc::new(Date32Array::from(vec![Some(20_454), None])),
        Arc::new(BooleanArray::from(vec![Some(true), None])),
        Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(0.1)])),
        Arc::new(BinaryArray::from(vec![Some(&[0_u8, 255][..]), None])),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_row_is_an_object_with_every_column_and_no_digit_lost() {
    let rows = rows();
    let encoding = Encoding::try_new(&options(EventFormat::Json, &[], &[]), &rows.schema()).unwrap();
    let events = encoding.of_schema(None).unwrap().events(&rows).unwrap();
    assert_eq!(events.count(), 2);
    assert_eq!(
        text(events.value(0)),
        r#"{"id":9007199254740993,"name":"two\nlines \"and\" ünï","price":1234567890123456.78,"at":"2026-01-01T10:15:00.123456Z","day":"2026-01-01","ok":true,"ratio":null,"raw":"AP8="}"#
    );
    assert_eq!(
        text(events.value(1)),
        r#"{"id":-1,"name":null,"price":null,"at":null,"day":null,"ok":null,"ratio":0.1,"raw":null}"#
    );
    assert_eq!(events.key(0), None);
}

#[test]
fn a_key_is_text_or_a_list_and_a_null_alone_is_no_key() {
    let rows = rows();
    let key = |names: &[&str], row: usize| {
        let encoding = Encoding::try_new(&options(EventFormat::Json, names, &[]), &rows.schema()).unwrap();
        let events = encoding.of_schema(None).unwrap().events(&rows).unwrap();
        events.key(row).map(|key| text(key).to_owned())
    };
    assert_eq!(key(&["id"], 0).as_deref(), Some("9007199254740993"));
    assert_eq!(key(&["name"], 0).as_deref(), Some("two\nlines \"and\" ünï"));
    assert_eq!(key(&["name"], 1), None);
    assert_eq!(key(&["ok", "id"], 0).as_deref(), Some("[true,9007199254740993]"));
    assert_eq!(key(&["name", "id"], 1).as_deref(), Some("[null,-1]"));
}

#[test]
fn headers_are_texts() {
    let rows = rows();
    let encoding = Encoding::try_new(&options(EventFormat::Json, &[], &["day", "name"]), &rows.schema()).unwrap();
    let events = encoding.of_schema(None).unwrap().events(&rows).unwrap();
    let first: Vec<_> = events.headers(0).collect();
    assert_eq!(first, [("day", Some("2026-01-01")), ("name", Some("two\nlines \"and\" ünï"))]);
    assert_eq!(events.headers(1).collect::<Vec<_>>(), [("day", None), ("name", None)]);
}

#[test]
fn the_avro_schema_is_a_record_of_the_tables_name() {
    let schema = avro_schema("orders", &rows().schema()).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    assert_eq!((&schema["type"], &schema["name"]), (&"record".into(), &"orders".into()));
    let logical = |at: usize| {
        let kind = &schema["fields"][at]["type"];
        kind.as_array().map_or(kind, |union| union.iter().find(|part| part.is_object()).unwrap())["logicalType"].clone()
    };
    assert_eq!([logical(2), logical(3), logical(4)], ["decimal", "timestamp-micros", "date"]);
    for (table, column) in [("or-ders", "id"), ("orders", "a b"), ("orders", "1st")] {
        let columns = Schema::new(vec![Field::new(column, DataType::Int64, true)]);
        assert!(avro_schema(table, &columns).is_err(), "{table}.{column}");
    }
}

#[test]
fn a_column_that_is_not_there_is_told() {
    let error = Encoding::try_new(&options(EventFormat::Json, &["nr"], &[]), &rows().schema()).unwrap_err();
    assert!(error.to_string().contains("`nr`") && error.to_string().contains("orders_out"), "{error}");
}
