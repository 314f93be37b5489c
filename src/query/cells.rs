//! The texts of a result, changed before they are printed.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};

/// `batch` with what `change` makes of each text, the names of columns among them.
pub fn mapped(batch: &RecordBatch, change: fn(&str) -> Cow<'_, str>) -> anyhow::Result<RecordBatch> {
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let mut column = Arc::clone(column);
        if is_text(column.data_type()) {
            let texts = cast(&column, &DataType::Utf8)?;
            let texts: StringArray = texts.as_string::<i32>().iter().map(|text| text.map(change)).collect();
            column = Arc::new(texts) as ArrayRef;
        }
        fields.push(Field::new(change(field.name()), column.data_type().clone(), true));
        columns.push(column);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}
