//! Unnests lists into rows where some rows could not be computed, or exceed the room.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, LargeListArray, ListArray, RecordBatch, StringBuilder, UInt32Array,
    UInt64Array, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{interleave, is_not_null, nullif, take};
use arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::unnest::{ListUnnest, UnnestExec};
use sluicebox_core::provenance::is_hidden;
use sluicebox_functions::size;
use sluicebox_pipeline::leaf::collect_in_order;
use sluicebox_pipeline::room::{FREE, LARGEST, Room, TIMES, pieces, too_large, unnested};
use sluicebox_quality::{RowError, row_as_json};

use super::chain::as_written;
use super::{Aside, Result, Rows, batch_of, relaxed, sql, with_error};

/// What `unnest` makes of `rows`. A row that could not be computed, or for which there is no room, comes out once, whatever its lists
/// hold; where rows go on with NULL, its lists are NULL.
pub(super) async fn run(
    unnest: &UnnestExec,
    rows: Vec<Rows>,
    context: &Arc<TaskContext>,
    aside: &Aside,
) -> Result<Vec<Rows>> {
    let below = with_error(&relaxed(&unnest.input().schema()));
    let schema = relaxed(&unnest.schema());
    let mut batches = Vec::with_capacity(rows.len());
    for rows in rows {
        let rows = within(unnest, rows, &aside.room)?;
        let rows = if aside.nulls { aside.settle(without_lists(unnest, rows)?)? } else { rows };
        let batch = once(unnest, &rows)?;
        let batch = batch_of(&below, batch.columns().to_vec(), batch.num_rows())?;
        batches.extend(pieces(&batch, unnest.list_column_indices())?);
    }
    let source = MemorySourceConfig::try_new_exec(&[batches], below, None)?;
    let (lists, structs) = (unnest.list_column_indices().to_vec(), unnest.struct_column_indices().to_vec());
    let above = with_error(&schema);
    let plan = UnnestExec::new(source, lists, structs, above, unnest.options().clone())?;
    let made = collect_in_order(Arc::new(plan), context).await?;
    made.iter().map(|batch| Rows::without_errors(batch, &schema)).collect()
}

/// `rows`, with an error for each that would become too much.
fn within(unnest: &UnnestExec, rows: Rows, room: &Room) -> Result<Rows> {
    let Rows { batch, errors } = rows;
    let lists = unnest.list_column_indices();
    if lists.is_empty() {
        return Ok(Rows { batch, errors });
    }
    let mut all = StringBuilder::new();
    for (row, made) in unnested(&batch, lists).into_iter().enumerate() {
        if let Some(known) = errors.as_ref().filter(|errors| errors.is_valid(row)) {
            all.append_value(known.value(row));
            continue;
        }
        let before: usize = batch.columns().iter().map(|column| size::row(column, row)).sum();
        let grown = made.saturating_sub(FREE * batch.num_columns()).saturating_sub(TIMES * before);
        let why = if made > LARGEST {
            Some(too_large(made))
        } else if room.take(grown) {
            None
        } else {
            Some(room.why().to_string())
        };
        all.append_option(why.map(|why| told(unnest, &batch, row, why)).transpose()?);
    }
    let all = all.finish();
    let errors = (all.null_count() < all.len()).then_some(all);
    Ok(Rows { batch, errors })
}

/// `rows` with NULL for the lists of rows that have an error.
fn without_lists(unnest: &UnnestExec, rows: Rows) -> Result<Rows> {
    let Some(errors) = &rows.errors else { return Ok(rows) };
    let failed = is_not_null(errors)?;
    let mut columns = rows.batch.columns().to_vec();
    for list in unnest.list_column_indices() {
        columns[list.index_in_input_schema] = nullif(&columns[list.index_in_input_schema], &failed)?;
    }
    let batch = batch_of(&rows.batch.schema(), columns, rows.batch.num_rows())?;
    Ok(Rows { batch, ..rows })
}

/// What is told of `row` of `batch`, which becomes too much.
fn told(unnest: &UnnestExec, batch: &RecordBatch, row: usize, message: String) -> Result<String> {
    let lists = unnest.list_column_indices();
    let is_list = |at: usize| lists.iter().any(|list| list.index_in_input_schema == at);
    let projection = unnest.input().downcast_ref::<ProjectionExec>();
    let of = |list: &ListUnnest| {
        let expr = projection.and_then(|projection| projection.expr().get(list.index_in_input_schema));
        let column = || sql::written(batch.schema().field(list.index_in_input_schema).name());
        expr.map_or_else(column, |e| sql::text(&e.expr))
    };
    let expression = format!("unnest({})", lists.iter().map(of).collect::<Vec<_>>().join(", "));
    // By what else is in the row it can be found; its lists are what is too large to show.
    let shown: Vec<usize> =
        (0..batch.num_columns()).filter(|at| !is_list(*at) && !is_hidden(batch.schema().field(*at).name())).collect();
    let shown = as_written(&batch.slice(row, 1).project(&shown)?)?;
    let value = row_as_json(&shown, 0).map_err(|e| DataFusionError::External(Box::new(e)))?;
    let error = RowError { column: None, expression, value, message, condition: false };
    serde_json::to_string(&error).map_err(|e| DataFusionError::External(Box::new(e)))
}

/// `rows` with lists of one NULL in rows that have an error, of one element where they cannot hold NULL.
fn once(unnest: &UnnestExec, rows: &Rows) -> Result<RecordBatch> {
    let Some(errors) = &rows.errors else { return rows.with_errors() };
    let count = rows.batch.num_rows();
    let short: Vec<bool> = (0..count).map(|row| errors.is_valid(row)).collect();
    let mut columns = rows.batch.columns().to_vec();
    for list in unnest.list_column_indices() {
        let column = &columns[list.index_in_input_schema];
        columns[list.index_in_input_schema] = match one_null(column.data_type(), list.depth)? {
            Some(one) => {
                let from: Vec<(usize, usize)> =
                    short.iter().enumerate().map(|(row, short)| if *short { (1, 0) } else { (0, row) }).collect();
                interleave(&[column.as_ref(), one.as_ref()], &from)?
            }
            None => shortened(column, &short, list.depth)?,
        };
    }
    let batch = batch_of(&rows.batch.schema(), columns, count)?;
    Rows { batch, errors: Some(errors.clone()) }.with_errors()
}

/// `column` with no more than the first element of the lists that are to be `short`, `depth` lists deep.
fn shortened(column: &ArrayRef, short: &[bool], depth: usize) -> Result<ArrayRef> {
    let DataType::List(item) = column.data_type() else { return Ok(Arc::clone(column)) };
    let list: &ListArray = column.as_list();
    let (mut kept, mut kept_short, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(list.len()));
    for (row, ends) in list.value_offsets().windows(2).enumerate() {
        let end = if short[row] { ends[1].min(ends[0] + 1) } else { ends[1] };
        kept.extend((ends[0]..end).map(|at| u32::try_from(at).unwrap_or_default()));
        kept_short.resize(kept.len(), short[row]);
        lengths.push(usize::try_from(end - ends[0]).unwrap_or_default());
    }
    let values = take(list.values(), &UInt32Array::from(kept), None)?;
    let values = if depth > 1 { shortened(&values, &kept_short, depth - 1)? } else { values };
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, list.nulls().cloned())?))
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
            let items = take(&inner, &nulls, None)?;
            Arc::new(FixedSizeListArray::try_new(Arc::clone(item), *size, items, None)?)
        }
        _ => return Ok(None),
    }))
}
