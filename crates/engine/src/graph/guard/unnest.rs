//! Lists made rows, where some rows could not be computed.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, FixedSizeListArray, LargeListArray, ListArray, RecordBatch, UInt64Array, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::interleave;
use arrow::datatypes::DataType;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::unnest::UnnestExec;
use sluicebox_pipeline::leaf::collect_in_order;

use super::{Result, Rows, batch_of, relaxed, with_error};

/// What `unnest` makes of `rows`. A row that could not be computed comes out once, whatever its lists hold.
pub(super) async fn run(unnest: &UnnestExec, rows: Vec<Rows>, context: &Arc<TaskContext>) -> Result<Vec<Rows>> {
    let below = with_error(&relaxed(&unnest.input().schema()));
    let schema = relaxed(&unnest.schema());
    let mut batches = Vec::with_capacity(rows.len());
    for rows in &rows {
        let batch = once(unnest, rows)?;
        batches.push(batch_of(&below, batch.columns().to_vec(), batch.num_rows())?);
    }
    let source = MemorySourceConfig::try_new_exec(&[batches], below, None)?;
    let (lists, structs) = (unnest.list_column_indices().to_vec(), unnest.struct_column_indices().to_vec());
    let above = with_error(&schema);
    let plan = UnnestExec::new(source, lists, structs, above, unnest.options().clone())?;
    let made = collect_in_order(Arc::new(plan), context).await?;
    made.iter().map(|batch| Rows::without_errors(batch, &schema)).collect()
}

/// `rows` with lists of one NULL in rows that could not be computed.
fn once(unnest: &UnnestExec, rows: &Rows) -> Result<RecordBatch> {
    let Some(errors) = &rows.errors else { return rows.with_errors() };
    let count = rows.batch.num_rows();
    let mut columns = rows.batch.columns().to_vec();
    for list in unnest.list_column_indices() {
        let column = &columns[list.index_in_input_schema];
        let Some(one) = one_null(column.data_type(), list.depth)? else { continue };
        let from: Vec<(usize, usize)> =
            (0..count).map(|row| if errors.is_valid(row) { (1, 0) } else { (0, row) }).collect();
        columns[list.index_in_input_schema] = interleave(&[column.as_ref(), one.as_ref()], &from)?;
    }
    let batch = batch_of(&rows.batch.schema(), columns, count)?;
    Rows { batch, errors: Some(errors.clone()) }.with_errors()
}

/// A list of one NULL, or of one such list where lists in lists are unnested; `None` of a type that cannot hold one.
fn one_null(list: &DataType, depth: usize) -> Result<Option<ArrayRef>> {
    let (DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _)) = list else {
        return Ok(None);
    };
    let inner = if depth > 1 { one_null(item.data_type(), depth - 1)? } else { None };
    if inner.is_none() && !item.is_nullable() {
        return Ok(None);
    }
    let inner = inner.unwrap_or_else(|| new_null_array(item.data_type(), 1));
    Ok(Some(match list {
        DataType::List(_) => {
            Arc::new(ListArray::try_new(Arc::clone(item), OffsetBuffer::from_lengths([1]), inner, None)?)
        }
        DataType::LargeList(_) => {
            Arc::new(LargeListArray::try_new(Arc::clone(item), OffsetBuffer::from_lengths([1]), inner, None)?)
        }
        DataType::FixedSizeList(_, size) => {
            let nulls = UInt64Array::from(vec![0; usize::try_from(*size).unwrap_or(0)]);
            let items = arrow::compute::take(&inner, &nulls, None)?;
            Arc::new(FixedSizeListArray::try_new(Arc::clone(item), *size, items, None)?)
        }
        _ => return Ok(None),
    }))
}
