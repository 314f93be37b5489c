//! Dead letters: their columns, taken from the event; only the head of a long key or value is kept.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow::compute::{cast, nullif};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use sluicebox_core::raw::{HEAD, Large, column, head};

use crate::class::ErrorClass;
use crate::events::{Events, Pick, headers, numbers, timestamp, topics};

/// The schema of dead letters:
///
/// | column | |
/// |---|---|
/// | `topic`, `partition`, `offset` | where the event is |
/// | `timestamp` | in microseconds; NULL if the event has none |
/// | `key`, `value` | as they came, or the first [`HEAD`] bytes |
/// | `headers` | as they came; NULL if there are none, or they have more than [`HEAD`] bytes |
/// | `schema_id` | the id it names; NULL if its framing cannot be read, or names a GUID |
/// | `error_class` | the text of an [`ErrorClass`] |
/// | `message` | what is wrong with it, for people |
/// | `value_bytes`, `key_bytes` | how long value and key were; NULL where they are |
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
        Field::new("value_bytes", DataType::Int64, true),
        Field::new("key_bytes", DataType::Int64, true),
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
            heads(events.column(column::KEY), &rows, &pick)?,
            heads(events.column(column::VALUE), &rows, &pick)?,
            few_headers(&pick.from(events.column(column::HEADERS))?)?,
            Arc::new(letters.iter().map(|letter| letter.schema_id).collect::<Int32Array>()),
            Arc::new(StringArray::from_iter_values(letters.iter().map(|letter| letter.class.as_str()))),
            Arc::new(StringArray::from_iter_values(letters.iter().map(|letter| &letter.message))),
            self.lengths(events.column(column::VALUE), &rows, |large| large.value),
            self.lengths(events.column(column::KEY), &rows, |large| large.key),
        ];
        RecordBatch::try_new(dead_letter_schema(), columns)
    }

    /// How long the values of `column` were at `rows`, of events that were not taken whole by `of`.
    fn lengths(&self, column: &ArrayRef, rows: &[usize], of: impl Fn(&Large) -> u64) -> ArrayRef {
        let bytes = column.as_binary::<i32>();
        let length = |row: &usize| {
            let here = bytes.is_valid(*row).then(|| bytes.value(*row).len() as u64)?;
            i64::try_from(self.large(*row).map_or(here, &of)).ok()
        };
        Arc::new(rows.iter().map(length).collect::<Int64Array>())
    }
}

/// The bytes of `column` at `rows`, which `pick` picks, and of what is long the head.
fn heads(column: &ArrayRef, rows: &[usize], pick: &Pick) -> Result<ArrayRef, ArrowError> {
    let bytes = column.as_binary::<i32>();
    if rows.iter().all(|row| bytes.value(*row).len() <= HEAD) {
        return pick.from(column);
    }
    let kept = |row: &usize| bytes.is_valid(*row).then(|| head(bytes.value(*row)));
    Ok(Arc::new(rows.iter().map(kept).collect::<BinaryArray>()))
}

/// `lists` of headers, NULL where they have many bytes.
fn few_headers(lists: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let rows = lists.as_list::<i32>();
    let entries = rows.values().as_struct();
    let (keys, values) = (entries.column(0).as_string::<i32>(), entries.column(1).as_binary::<i32>());
    let most = i32::try_from(HEAD).unwrap_or(i32::MAX);
    let is_long = |ends: &[i32]| {
        let [from, to] = [ends[0], ends[1]].map(|end| usize::try_from(end).unwrap_or_default());
        let span = |offsets: &[i32]| offsets[to] - offsets[from];
        span(keys.value_offsets()).saturating_add(span(values.value_offsets())) > most
    };
    let long: BooleanArray = rows.value_offsets().windows(2).map(|ends| Some(is_long(ends))).collect();
    if long.true_count() == 0 { Ok(Arc::clone(lists)) } else { nullif(lists, &long) }
}
