//! Dates and timestamps of years that Arrow's calendar does not have.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, TimeUnit};
use sluicebox_pipeline::ask;

/// Days and timestamps further than this from 1970 may be of years that Arrow's calendar does not have: those past 262,142.
const FAR_DAYS: i64 = 95_000_000;

/// `batch` with its dates and timestamps as text where some are of years that Arrow cannot print: it would say so in their place, or stop.
pub fn printable(batch: &RecordBatch) -> anyhow::Result<RecordBatch> {
    let columns: Vec<Option<ArrayRef>> = batch.columns().iter().map(far_times).collect::<anyhow::Result<_>>()?;
    if columns.iter().all(Option::is_none) {
        return Ok(batch.clone());
    }
    let (mut fields, mut all) = (Vec::with_capacity(columns.len()), Vec::with_capacity(columns.len()));
    for ((field, column), text) in batch.schema_ref().fields().iter().zip(batch.columns()).zip(columns) {
        let column = text.unwrap_or_else(|| Arc::clone(column));
        fields.push(retyped(field, &column));
        all.push(column);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), all)?)
}

/// `field` with the type of `column`.
fn retyped(field: &FieldRef, column: &ArrayRef) -> FieldRef {
    Arc::new(Field::new(field.name(), column.data_type().clone(), field.is_nullable()))
}

/// `values` with text in the place of times of which some are far, in lists, structs and maps too; `None` if there are none.
fn far_times(values: &ArrayRef) -> anyhow::Result<Option<ArrayRef>> {
    let rebuilt: ArrayRef = match values.data_type() {
        DataType::Date32 | DataType::Timestamp(..) => {
            let text = is_far(values)?.then(|| ask::time_text(values)).flatten();
            return Ok(text.map(|text| Arc::new(text) as ArrayRef));
        }
        DataType::Struct(fields) => {
            let values = values.as_struct();
            let children = values.columns().iter().map(far_times).collect::<anyhow::Result<Vec<_>>>()?;
            if children.iter().all(Option::is_none) {
                return Ok(None);
            }
            let children: Vec<ArrayRef> = children
                .into_iter()
                .zip(values.columns())
                .map(|(far, as_is)| far.unwrap_or_else(|| Arc::clone(as_is)))
                .collect();
            let fields: Vec<FieldRef> = fields.iter().zip(&children).map(|(f, child)| retyped(f, child)).collect();
            Arc::new(StructArray::try_new(fields.into(), children, values.nulls().cloned())?)
        }
        DataType::List(field) => {
            let list = values.as_list::<i32>();
            let Some(items) = far_times(list.values())? else { return Ok(None) };
            Arc::new(ListArray::try_new(retyped(field, &items), list.offsets().clone(), items, list.nulls().cloned())?)
        }
        DataType::Map(field, ordered) => {
            let map = values.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            let Some(entries) = far_times(&entries)? else { return Ok(None) };
            let (field, pairs) = (retyped(field, &entries), entries.as_struct().clone());
            Arc::new(MapArray::try_new(field, map.offsets().clone(), pairs, map.nulls().cloned(), *ordered)?)
        }
        _ => return Ok(None),
    };
    Ok(Some(rebuilt))
}

/// Whether some of the times are far.
fn is_far(times: &ArrayRef) -> anyhow::Result<bool> {
    let (numbers, a_day) = match times.data_type() {
        DataType::Date32 => (cast(&cast(times, &DataType::Int32)?, &DataType::Int64)?, 1),
        DataType::Timestamp(unit, _) => {
            let a_second = match unit {
                TimeUnit::Second => 1,
                TimeUnit::Millisecond => 1_000,
                TimeUnit::Microsecond => 1_000_000,
                TimeUnit::Nanosecond => 1_000_000_000,
            };
            (cast(times, &DataType::Int64)?, 86_400 * a_second)
        }
        _ => return Ok(false),
    };
    Ok(numbers.as_primitive::<Int64Type>().iter().flatten().any(|number| (number / a_day).abs() > FAR_DAYS))
}
