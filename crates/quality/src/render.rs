//! Rows as text for people.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Value};

use crate::error::Result;

/// Characters of a value's text beyond which it is cut: a sample shows what is wrong, it is no archive.
const MAX_VALUE_CHARS: usize = 256;

/// One row as a JSON object, its columns in order: NULL, booleans and integers as such, everything else as text, long values
/// cut.
///
/// # Errors
/// When a column is of a type that has no text.
pub fn row_as_json(batch: &RecordBatch, row: usize) -> Result<String> {
    let options = FormatOptions::default().with_display_error(true);
    let mut object = Map::with_capacity(batch.num_columns());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let value = if column.data_type() == &DataType::Null || column.is_null(row) {
            Value::Null
        } else {
            let text = ArrayFormatter::try_new(column.as_ref(), &options)?.value(row).to_string();
            match column.data_type() {
                DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
                t if t.is_integer() => text.parse::<i64>().map_or(Value::String(text), Value::from),
                _ => Value::String(cut(text)),
            }
        };
        object.insert(field.name().clone(), value);
    }
    Ok(serde_json::to_string(&object)?)
}

fn cut(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(MAX_VALUE_CHARS) {
        text.truncate(at);
        text.push('…');
    }
    text
}
