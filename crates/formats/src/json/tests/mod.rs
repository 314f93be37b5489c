//! Tests of JSON: what each type becomes, what each class of dead letter is, and properties over random rows and bytes.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod classes;
mod properties;
mod theirs;
mod types;

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use futures::executor::block_on;
use serde_json::Value as Json;

use super::{JsonOptions, decoder};
use crate::testing::{raw, value_json};
use crate::{Decoded, DecoderOptions, SourceDecoder};

/// A column that may be NULL.
fn column(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn list(of: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", of, true)))
}

fn map(of: DataType) -> DataType {
    let pair = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", of, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair), false)), false)
}

fn record(fields: Vec<Field>) -> DataType {
    DataType::Struct(Fields::from(fields))
}

fn timestamp(zone: Option<&str>) -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into))
}

fn of(columns: Vec<Field>, options: &JsonOptions) -> SourceDecoder {
    decoder(&DecoderOptions::new("events"), &Fields::from(columns), options).unwrap()
}

/// What becomes of a batch of these events.
fn batch(decoder: &SourceDecoder, events: &[Vec<u8>]) -> Decoded {
    let events = [raw(0, &events.iter().cloned().map(Some).collect::<Vec<_>>())];
    let prepared = block_on(decoder.prepare(&events)).unwrap();
    decoder.decode(&prepared, &events, &[0]).unwrap()
}

/// What becomes of one event: its row, or the class and message of its dead letter.
fn one(decoder: &SourceDecoder, event: impl AsRef<[u8]>) -> Result<Json, (String, String)> {
    let decoded = batch(decoder, &[event.as_ref().to_vec()]);
    if let Some(rows) = decoded.rows.first() {
        return Ok(value_json(rows).remove(0));
    }
    let text = |name: &str| decoded.dead_letters.column_by_name(name).unwrap().as_string::<i32>().value(0).to_owned();
    Err((text("error_class"), text("message")))
}
