//! Each class of dead letter, which an event has whatever stands around it.

use arrow::datatypes::{DataType, Field};

use super::{batch, column, list, map, of, one, record};
use crate::json::{Extra, JsonOptions};
use crate::testing::{conforms, letters, rows};
use crate::{DecoderOptions, ErrorClass, Limits, SourceDecoder};

fn columns() -> Vec<Field> {
    vec![
        Field::new("id", DataType::Int64, false),
        column("name", DataType::Utf8),
        column("tags", list(DataType::Utf8)),
        column("at", super::timestamp(Some("UTC"))),
        column("price", DataType::Decimal128(6, 2)),
        column("props", map(DataType::Int32)),
        column("address", record(vec![Field::new("city", DataType::Utf8, false)])),
    ]
}

fn decoder() -> SourceDecoder {
    of(columns(), &JsonOptions { extra: Extra::Letter, max_depth: 5, max_bytes: 300, ..JsonOptions::default() })
}

/// Values that become rows.
fn good() -> Vec<Vec<u8>> {
    let texts = [
        r#"{"id":1}"#,
        r#"{"name":"ä \ud83d\ude00","id":-2,"tags":["a",null,""],"at":"2026-11-30T18:33:00Z"}"#,
        "\n{ \"id\" : 3 , \"price\" : 12.50 , \"props\" : { \"k\" : 1 } }\r\n",
        r#"{"address":{"city":"Trier"},"id":9223372036854775807}"#,
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// Values that do not, each with its class.
fn bad() -> Vec<(Vec<u8>, ErrorClass)> {
    let long = format!(r#"{{"id":1,"name":"{}"}}"#, "x".repeat(300));
    let mut all: Vec<(Vec<u8>, ErrorClass)> = [
        ("", ErrorClass::NotJson),
        (" ", ErrorClass::NotJson),
        ("{", ErrorClass::NotJson),
        (r#"{"id":1"#, ErrorClass::NotJson),
        (r#"{"id":1,}"#, ErrorClass::NotJson),
        (r#"{"id":01}"#, ErrorClass::NotJson),
        (r#"{id:1}"#, ErrorClass::NotJson),
        (r#"{'id':1}"#, ErrorClass::NotJson),
        (r#"{"id":1} x"#, ErrorClass::NotJson),
        (r#"{"id":1},{"id":2}"#, ErrorClass::NotJson),
        (r#"{"id":NaN}"#, ErrorClass::NotJson),
        (r#"{"id":1,"tags":["a" "b"]}"#, ErrorClass::NotJson),
        (r#"{"id":1,"tags":["a",]}"#, ErrorClass::NotJson),
        ("{\"id\":1,\"name\":\"a\u{1}\"}", ErrorClass::NotJson),
        ("{\"id\":1,\"name\":\"a\u{0}\"}", ErrorClass::NotJson),
        (r#"{"id":1,"name":"\x"}"#, ErrorClass::NotJson),
        ("\u{feff}{\"id\":1}", ErrorClass::NotJson),
        ("plain text", ErrorClass::NotJson),
        (r#"{"id":1}{"id":2}"#, ErrorClass::SeveralValues),
        ("{\"id\":1}\n{\"id\":2}", ErrorClass::SeveralValues),
        (r#"{"id":1} null"#, ErrorClass::SeveralValues),
        ("null", ErrorClass::NotAnObject),
        (r#"[{"id":1}]"#, ErrorClass::NotAnObject),
        ("\"text\"", ErrorClass::NotAnObject),
        ("12", ErrorClass::NotAnObject),
        (r#"{"id":1,"id":1}"#, ErrorClass::DuplicateKey),
        (r#"{"id":1,"\u0069d":1}"#, ErrorClass::DuplicateKey),
        (r#"{"id":1,"props":{"k":1,"k":2}}"#, ErrorClass::DuplicateKey),
        (r#"{"id":1,"other":1,"other":2}"#, ErrorClass::DuplicateKey),
        (r#"{"id":1,"other":[{"k":1,"k":2}]}"#, ErrorClass::DuplicateKey),
        (r#"{"id":1,"tags":[[[[[]]]]]}"#, ErrorClass::TooDeep),
        (r#"{"id":1,"other":[[[[[]]]]]}"#, ErrorClass::TooDeep),
        (long.as_str(), ErrorClass::TooLarge),
        ("{}", ErrorClass::MissingField),
        (r#"{"id":1,"address":{}}"#, ErrorClass::MissingField),
        (r#"{"id":null}"#, ErrorClass::NullField),
        (r#"{"id":1,"address":{"city":null}}"#, ErrorClass::NullField),
        (r#"{"id":"1"}"#, ErrorClass::WrongType),
        (r#"{"id":1.0}"#, ErrorClass::WrongType),
        (r#"{"id":1,"tags":{}}"#, ErrorClass::WrongType),
        (r#"{"id":1,"address":[]}"#, ErrorClass::WrongType),
        (r#"{"id":9223372036854775808}"#, ErrorClass::OutOfRange),
        (r#"{"id":1,"props":{"k":2147483648}}"#, ErrorClass::OutOfRange),
        (r#"{"id":1,"price":0.001}"#, ErrorClass::OutOfRange),
        (r#"{"id":1,"at":"30.11.2026"}"#, ErrorClass::InvalidTimestamp),
        (r#"{"id":1,"other":1}"#, ErrorClass::ExtraField),
        (r#"{"id":1,"name":"\ud83d"}"#, ErrorClass::InvalidUtf8),
        (r#"{"id":1,"name":"\ude00\ud83d"}"#, ErrorClass::InvalidUtf8),
    ]
    .map(|(text, class)| (text.as_bytes().to_vec(), class))
    .to_vec();
    all.push((b"{\"id\":1,\"name\":\"\xff\"}".to_vec(), ErrorClass::InvalidUtf8));
    all.push((b"\x00\x00\x00\x00\x01{\"id\":1}".to_vec(), ErrorClass::NotJson));
    all
}

#[test]
fn every_class_costs_its_own_event_alone() {
    conforms(&decoder(), &good(), &bad());
}

/// What is wrong with the text comes before what is wrong with its values, wherever they stand.
#[test]
fn the_class_does_not_depend_on_the_order_of_fields() {
    for (event, class) in [
        (r#"{"id":"x","name"}"#, "NOT_JSON"),
        (r#"{"other":1,"id":1} {}"#, "SEVERAL_VALUES"),
        (r#"{"id":"x","name":"a","name":"b"}"#, "DUPLICATE_KEY"),
        (r#"{"name":"a","name":"b","id":"x"}"#, "DUPLICATE_KEY"),
        (r#"{"at":"never","name":"\ud800","id":1}"#, "INVALID_UTF8"),
        (r#"["#, "NOT_JSON"),
    ] {
        assert_eq!(one(&decoder(), event).unwrap_err().0, class, "{event}");
    }
}

#[test]
fn messages_say_where_it_is_and_what_is_wanted() {
    let said = |event: &str| one(&decoder(), event).unwrap_err().1;
    assert_eq!(
        said(r#"{"id":1,"name":"a","#),
        "the value ends where a name in double quotes should stand (at byte 19 of the body)"
    );
    assert_eq!(said(r#"{"id":true}"#), "field id: it is a boolean, and BIGINT is wanted (at byte 6 of the body)");
    assert_eq!(said("[1]"), "the event is a list, and an object is wanted (at byte 0 of the body)");
    assert!(said(&format!(r#"{{"id":{}}}"#, "9".repeat(200))).len() < 200, "what is long is cut");
}

/// A few bytes of an event never become much memory: an empty object in a list can be thousands of columns.
#[test]
fn items_are_counted_by_the_columns_that_they_fill() {
    let wide = record((0..1_000).map(|n| column(&format!("c{n}"), DataType::Int64)).collect());
    let limits = Limits { values: 100_000, ..Limits::default() };
    let options = DecoderOptions { limits, ..DecoderOptions::new("events") };
    let fields = vec![column("l", list(wide))].into();
    let decoder = super::decoder(&options, &fields, &JsonOptions::default()).unwrap();
    let event = |count: usize| format!(r#"{{"l":[{}]}}"#, vec!["{}"; count].join(","));
    assert!(one(&decoder, event(99)).is_ok());
    assert_eq!(one(&decoder, event(100)).unwrap_err().0, "TOO_MANY_ITEMS");
}

/// What compares each name with all before it, or goes back over what it has read, takes minutes here.
#[test]
fn large_events_are_read_in_a_time_that_grows_with_their_size_alone() {
    use sluicebox_registry::testing::quickly;
    let names: Vec<String> = (0..200_000).map(|n| format!("\"key{n}\":{n}")).collect();
    let escapes = format!("{{\"name\":\"{}\"}}", "\\\"".repeat(2_000_000));
    let events = [
        format!("{{{}}}", names.join(",")),
        format!("{{\"m\":{{{}}}}}", names.join(",")),
        escapes,
        format!("{{\"other\":{}1{}}}", "[".repeat(90), "]".repeat(90)),
        "[".repeat(5_000_000),
        format!("{{\"n\":{}}}", "9".repeat(5_000_000)),
    ];
    let columns = vec![column("m", map(DataType::Int64)), column("name", DataType::Utf8), column("n", DataType::Int64)];
    let decoder = of(columns, &JsonOptions::default());
    let events: Vec<Vec<u8>> = events.into_iter().map(String::into_bytes).collect();
    let decoded = quickly(|| batch(&decoder, &events));
    assert_eq!(rows(&decoded).len(), 4);
    let classes: Vec<String> = letters(&decoded).into_iter().map(|(_, class)| class).collect();
    assert_eq!(classes, ["TOO_DEEP", "OUT_OF_RANGE"]);
}

#[test]
fn columns_that_json_cannot_be_read_into_are_refused_before_anything_is_read() {
    let time = DataType::Time64(arrow::datatypes::TimeUnit::Microsecond);
    let refused =
        super::decoder(&DecoderOptions::new("events"), &vec![column("t", time)].into(), &JsonOptions::default());
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("'events'") && said.contains("'t'") && said.contains("json"), "{said}");
    let taken = |name: &str, extra| {
        let options = JsonOptions { extra, ..JsonOptions::default() };
        super::decoder(&DecoderOptions::new("events"), &vec![column(name, DataType::Utf8)].into(), &options).is_err()
    };
    assert!(taken("_offset", Extra::Ignore) && taken("_rescued", Extra::Rescue));
    assert!(!taken("_rescued", Extra::Ignore));
}
