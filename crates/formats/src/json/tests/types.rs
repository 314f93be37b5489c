//! What a value becomes in a column of each type.

use arrow::datatypes::{DataType, Field};
use serde_json::{Value as Json, json};

use super::{column, list, map, of, one, record, timestamp};
use crate::json::{Extra, JsonOptions, RESCUED, Timestamps};

/// What `value` becomes in a column of `data_type`.
fn value(data_type: &DataType, value: &str, options: &JsonOptions) -> Result<Json, String> {
    let decoder = of(vec![column("v", data_type.clone())], options);
    one(&decoder, format!("{{\"v\":{value}}}")).map(|mut row| row["v"].take()).map_err(|(class, _)| class)
}

fn plain(data_type: &DataType, text: &str) -> Result<Json, String> {
    value(data_type, text, &JsonOptions::default())
}

#[test]
fn whole_numbers_fit_their_type_or_are_dead_letters() {
    for (data_type, least, most) in [
        (DataType::Int8, i64::from(i8::MIN), i64::from(i8::MAX)),
        (DataType::Int16, i64::from(i16::MIN), i64::from(i16::MAX)),
        (DataType::Int32, i64::from(i32::MIN), i64::from(i32::MAX)),
        (DataType::Int64, i64::MIN, i64::MAX),
    ] {
        for fits in [0, -1, least, most] {
            assert_eq!(plain(&data_type, &fits.to_string()), Ok(json!(fits)), "{data_type}");
        }
        for beyond in [i128::from(least) - 1, i128::from(most) + 1, 10_i128.pow(30)] {
            assert_eq!(plain(&data_type, &beyond.to_string()), Err("OUT_OF_RANGE".to_owned()), "{data_type} {beyond}");
        }
        for other in ["1.0", "1e2", "\"1\"", "true", "[1]", "{}"] {
            assert_eq!(plain(&data_type, other), Err("WRONG_TYPE".to_owned()), "{data_type} {other}");
        }
        assert_eq!(plain(&data_type, "null"), Ok(Json::Null));
    }
}

#[test]
fn floats_are_the_nearest_and_never_infinite_by_overflow() {
    let double = |text: &str| plain(&DataType::Float64, text);
    assert_eq!(double("0.1"), Ok(json!("0.1")));
    assert_eq!(double("12"), Ok(json!("12.0")));
    assert_eq!(double("-1.5e-3"), Ok(json!("-0.0015")));
    assert_eq!(double("-0"), Ok(json!("0.0")));
    assert_eq!(double("\"NaN\""), Ok(json!("NaN")));
    assert_eq!(double("\"-Infinity\""), Ok(json!("-inf")));
    for (text, class) in
        [("1e309", "OUT_OF_RANGE"), ("-1e309", "OUT_OF_RANGE"), ("\"1\"", "WRONG_TYPE"), ("NaN", "NOT_JSON")]
    {
        assert_eq!(double(text), Err(class.to_owned()), "{text}");
    }
    assert_eq!(plain(&DataType::Float32, "0.1"), Ok(json!("0.1")));
    assert_eq!(plain(&DataType::Float32, "1e39"), Err("OUT_OF_RANGE".to_owned()));
}

#[test]
fn decimals_are_exact_or_dead_letters() {
    let decimal = |text: &str| plain(&DataType::Decimal128(5, 2), text);
    assert_eq!(decimal("123.45"), Ok(json!("12345")));
    assert_eq!(decimal("\"123.45\""), Ok(json!("12345")));
    assert_eq!(decimal("-1.5e1"), Ok(json!("-1500")));
    assert_eq!(decimal("1.100"), Ok(json!("110")));
    for (text, class) in [
        ("123.456", "OUT_OF_RANGE"),
        ("1234.5", "OUT_OF_RANGE"),
        ("1e999999999", "OUT_OF_RANGE"),
        ("\"1,5\"", "WRONG_TYPE"),
        ("\"\"", "WRONG_TYPE"),
        ("true", "WRONG_TYPE"),
    ] {
        assert_eq!(decimal(text), Err(class.to_owned()), "{text}");
    }
    let nines = "9".repeat(38);
    assert_eq!(plain(&DataType::Decimal128(38, 0), &nines), Ok(json!(nines)));
}

#[test]
fn texts_are_texts_and_anything_else_is_the_text_of_its_json() {
    let text = |json: &str| plain(&DataType::Utf8, json);
    assert_eq!(text(r#""a\"\\\/\b\f\n\r\tb\u00e4\ud83d\ude00ä""#), Ok(json!("a\"\\/\u{8}\u{c}\n\r\tbä😀ä")));
    assert_eq!(text("\"\""), Ok(json!("")));
    assert_eq!(text("12.50"), Ok(json!("12.50")));
    assert_eq!(text("true"), Ok(json!("true")));
    assert_eq!(text("{ \"a\" : [ 1, \"x y\" ] }"), Ok(json!("{\"a\":[1,\"x y\"]}")));
    assert_eq!(plain(&DataType::Binary, "\"AQL/\""), Ok(json!("0102ff")));
    assert_eq!(plain(&DataType::Binary, "\"AQL\""), Err("WRONG_TYPE".to_owned()));
    assert_eq!(plain(&DataType::Boolean, "false"), Ok(json!(false)));
    assert_eq!(plain(&DataType::Boolean, "0"), Err("WRONG_TYPE".to_owned()));
    assert_eq!(plain(&DataType::Boolean, "\"true\""), Err("WRONG_TYPE".to_owned()));
}

#[test]
fn times_are_what_the_option_says_and_nothing_is_guessed() {
    let (utc, local) = (timestamp(Some("UTC")), timestamp(None));
    assert_eq!(plain(&utc, "\"1970-01-01T01:00:00.5+01:00\""), Ok(json!(500_000)));
    assert_eq!(plain(&local, "\"1970-01-01T00:00:01\""), Ok(json!(1_000_000)));
    assert_eq!(plain(&local, "\"1970-01-01T00:00:01Z\""), Err("INVALID_TIMESTAMP".to_owned()));
    assert_eq!(plain(&utc, "\"yesterday\""), Err("INVALID_TIMESTAMP".to_owned()));
    assert_eq!(plain(&utc, "1700000000"), Err("WRONG_TYPE".to_owned()));
    assert_eq!(plain(&DataType::Date32, "\"1970-01-31\""), Ok(json!(30)));
    assert_eq!(plain(&DataType::Date32, "\"1970-01-31T00:00:00\""), Err("INVALID_TIMESTAMP".to_owned()));
    assert_eq!(plain(&DataType::Date32, "30"), Err("WRONG_TYPE".to_owned()));
    for (timestamps, text, micros) in [
        (Timestamps::EpochSeconds, "1.5", 1_500_000),
        (Timestamps::EpochMillis, "1500", 1_500_000),
        (Timestamps::EpochMicros, "1500000", 1_500_000),
        (Timestamps::EpochMicros, "-8000000000000000000", -8_000_000_000_000_000_000_i64),
    ] {
        let options = JsonOptions { timestamps, ..JsonOptions::default() };
        for data_type in [&utc, &local] {
            assert_eq!(value(data_type, text, &options), Ok(json!(micros)), "{timestamps:?}");
            let iso = value(data_type, "\"1970-01-01T00:00:00Z\"", &options);
            assert_eq!(iso, Err("WRONG_TYPE".to_owned()), "{timestamps:?}");
        }
        let beyond = value(&utc, "9000000000000000000", &options);
        assert_eq!(beyond, Err("OUT_OF_RANGE".to_owned()), "{timestamps:?}");
    }
}

#[test]
fn nested_values_are_read_and_their_faults_are_named_with_their_field() {
    let item = record(vec![Field::new("sku", DataType::Utf8, false), column("count", DataType::Int32)]);
    let columns = vec![
        column("items", list(item)),
        column("counts", map(DataType::Int64)),
        column("address", record(vec![column("city", DataType::Utf8), column("zip", DataType::Utf8)])),
    ];
    let decoder = of(columns, &JsonOptions::default());
    let event = r#" { "address" : {"zip":"1"} , "counts":{"b":2,"a":null}, "items":[{"count":1,"sku":"x"}, {"sku":"y"}, null] } "#;
    let expected = json!({
        "items": [{"sku": "x", "count": 1}, {"sku": "y", "count": null}, null],
        "counts": {"a": null, "b": 2},
        "address": {"city": null, "zip": "1"},
    });
    assert_eq!(one(&decoder, event), Ok(expected));
    let empty = json!({"items": [], "counts": {}, "address": null});
    assert_eq!(one(&decoder, r#"{"items":[],"counts":{}}"#), Ok(empty));
    let (class, message) = one(&decoder, r#"{"items":[{"sku":"x","count":"many"}]}"#).unwrap_err();
    assert_eq!(class, "WRONG_TYPE");
    assert!(message.starts_with("field items.count: it is a text, and INT is wanted"), "{message}");
    let (class, message) = one(&decoder, r#"{"items":[{"count":1}]}"#).unwrap_err();
    assert_eq!(class, "MISSING_FIELD");
    assert!(message.starts_with("field items.sku: "), "{message}");
}

#[test]
fn fields_that_are_not_declared_are_ignored_kept_or_refused() {
    let columns = || vec![column("id", DataType::Int64), column("a", record(vec![column("b", DataType::Int64)]))];
    let with = |extra| of(columns(), &JsonOptions { extra, ..JsonOptions::default() });
    let event = r#"{"id":1,"x y":[1, 2],"a":{"b":2,"c\"":"t"},"z":null}"#;
    let row = json!({"id": 1, "a": {"b": 2}});
    assert_eq!(one(&with(Extra::Ignore), event), Ok(row.clone()));
    let (class, message) = one(&with(Extra::Letter), event).unwrap_err();
    assert_eq!(class, "EXTRA_FIELD");
    assert!(message.contains("'x y'"), "{message}");
    assert_eq!(one(&with(Extra::Letter), r#"{"a":{"b":2},"id":1}"#), Ok(row));
    let kept = json!({"id": 1, "a": {"b": 2}, RESCUED: r#"{"x y":[1,2],"a.c\"":"t","z":null}"#});
    assert_eq!(one(&with(Extra::Rescue), event), Ok(kept));
    let none = json!({"id": 1, "a": null, RESCUED: null});
    assert_eq!(one(&with(Extra::Rescue), r#"{"id":1}"#), Ok(none));
}

#[test]
fn what_is_kept_of_lists_and_maps_stands_under_its_place() {
    let item = record(vec![column("n", DataType::Int64)]);
    let columns = vec![column("l", list(item.clone())), column("m", map(item))];
    let decoder = of(columns, &JsonOptions { extra: Extra::Rescue, ..JsonOptions::default() });
    let row = one(&decoder, r#"{"l":[{},{"x":1}],"m":{"k":{"y":2,"n":3}}}"#).unwrap();
    assert_eq!(row[RESCUED], json!(r#"{"l[1].x":1,"m.k.y":2}"#));
}
