//! Dead letters: the columns that they take from the events that could not become rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use sluicebox_core::raw::column;

use crate::class::ErrorClass;
use crate::decode::events::{Events, Pick, headers, numbers, timestamp, topics};

/// The schema of dead letters:
///
/// | column | |
/// |---|---|
/// | `topic`, `partition`, `offset` | where the event is |
/// | `timestamp`, `key`, `value`, `headers` | the event as it came; `timestamp` in microseconds, NULL if it has none |
/// | `schema_id` | the id it names; NULL if its framing cannot be read, or names a GUID |
/// | `error_class` | the text of an [`ErrorClass`] |
/// | `message` | what is wrong with it, for people |
#[must_use]
pub fn dead_letter_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("topic", DataType::Utf8, false),
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("timestamp", timestamp(), true),
        Field::new("key", DataType::Binary, true),
        Field::new("value", DataType::Binary, true),
        Field::new("headers", headers(), true),
        Field::new("schema_id", DataType::Int32, true),
        Field::new("error_class", DataType::Utf8, false),
        Field::new("message", DataType::Utf8, false),
    ]))
}

/// An event that could not become a row.
#[derive(Debug)]
pub(crate) struct DeadLetter {
    pub(crate) row: usize,
    pub(crate) schema_id: Option<i32>,
    pub(crate) class: ErrorClass,
    pub(crate) message: String,
}

impl Events<'_> {
    /// The batch of dead letters.
    pub(crate) fn dead_letters(&self, letters: &[DeadLetter]) -> Result<RecordBatch, ArrowError> {
        let rows: Vec<usize> = letters.iter().map(|letter| letter.row).collect();
        let pick = Pick::of(&rows);
        let events = &self.raw.events;
        let places = [(self.place(), rows.len())];
        let columns: Vec<ArrayRef> = vec![
            Arc::new(topics(&places)),
            numbers(&places, |place| place.partition),
            pick.from(events.column(column::OFFSET))?,
            cast(&pick.from(events.column(column::TIMESTAMP))?, &timestamp())?,
            pick.from(events.column(column::KEY))?,
            pick.from(events.column(column::VALUE))?,
            pick.from(events.column(column::HEADERS))?,
            Arc::new(letters.iter().map(|letter| letter.schema_id).collect::<Int32Array>()),
            Arc::new(StringArray::from_iter_values(letters.iter().map(|letter| letter.class.as_str()))),
            Arc::new(StringArray::from_iter_values(letters.iter().map(|letter| &letter.message))),
        ];
        RecordBatch::try_new(dead_letter_schema(), columns)
    }
}
