//! Why JSON is not read by arrow-json (decision 26): it accepts events that are dead letters here. If one of these tests fails, that crate
//! refuses them: look at the decision again.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use arrow::util::display::array_value_to_string;

use super::{column, list, of, one, timestamp};
use crate::json::JsonOptions;

/// What arrow-json makes of `event`, which has a field `a` of `data_type`.
fn theirs(data_type: &DataType, event: &str) -> Result<String, ArrowError> {
    let schema = Arc::new(Schema::new(vec![column("a", data_type.clone())]));
    let mut decoder = ReaderBuilder::new(schema).build_decoder()?;
    decoder.decode(event.as_bytes())?;
    let rows = decoder.flush()?.unwrap();
    array_value_to_string(rows.column(0), 0)
}

#[test]
fn it_gives_other_values_than_the_producers_in_silence() {
    for (data_type, event, given, class) in [
        (DataType::Int32, r#"{"a":1.9}"#, "1", "WRONG_TYPE"),
        (DataType::Int32, r#"{"a":"12"}"#, "12", "WRONG_TYPE"),
        (DataType::Int64, r#"{"a":9007199254740993.0}"#, "9007199254740992", "WRONG_TYPE"),
        (DataType::Float64, r#"{"a":1e999}"#, "inf", "OUT_OF_RANGE"),
        (DataType::Int32, r#"{"a":1,"a":2}"#, "2", "DUPLICATE_KEY"),
        (list(DataType::Int32), r#"{"a":[1,,2]}"#, "[1, 2]", "NOT_JSON"),
        (DataType::Utf8, "{\"a\":\"\u{1}\"}", "\u{1}", "NOT_JSON"),
        (timestamp(None), r#"{"a":1.7}"#, "1970-01-01T00:00:00.000001", "WRONG_TYPE"),
    ] {
        assert_eq!(theirs(&data_type, event).ok().as_deref(), Some(given), "{event}");
        let ours = one(&of(vec![column("a", data_type)], &JsonOptions::default()), event);
        assert_eq!(ours.unwrap_err().0, class, "{event}");
    }
}

#[test]
fn one_bad_event_fails_all_that_are_decoded_with_it() {
    assert!(theirs(&DataType::Int32, "{\"a\":1}\n{\"a\":true}").is_err());
}
