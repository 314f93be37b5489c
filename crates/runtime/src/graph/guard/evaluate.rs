//! Evaluates one expression on many rows, some of which fail.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Schema};
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use sluicebox_functions::size;
use sluicebox_pipeline::room::{FREE, Room, TIMES};
use sluicebox_quality::reason;

use super::{Result, batch_of, may_be_rows};

/// An expression over the columns that it reads, and those alone: rows are cut again and again.
pub(super) struct Narrow {
    expr: Arc<dyn PhysicalExpr>,
    columns: Vec<usize>,
    data_type: DataType,
}

/// What an expression gave.
pub(super) struct Values {
    /// One a row; NULL where it failed.
    pub values: ArrayRef,
    /// Rows on which it failed, ascending, and why.
    pub failed: Vec<(usize, String)>,
}

impl Narrow {
    /// Of an expression over rows of `schema`.
    pub fn new(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Self> {
        let data_type = expr.data_type(schema)?;
        let mut columns: Vec<usize> = collect_columns(expr).iter().map(Column::index).collect();
        columns.sort_unstable();
        columns.dedup();
        let expr = Arc::clone(expr).transform_up(|e| {
            let Some(column) = e.downcast_ref::<Column>() else { return Ok(Transformed::no(e)) };
            let Ok(at) = columns.binary_search(&column.index()) else { return Ok(Transformed::no(e)) };
            Ok(Transformed::yes(Arc::new(Column::new(column.name(), at)) as Arc<dyn PhysicalExpr>))
        })?;
        Ok(Self { expr: expr.data, columns, data_type })
    }

    /// The columns of `rows` that the expression reads.
    pub fn read(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let schema = Arc::new(rows.schema().project(&self.columns)?);
        let columns = self.columns.iter().map(|at| Arc::clone(rows.column(*at))).collect();
        Ok(batch_of(&schema, columns, rows.num_rows())?)
    }

    /// The expression on `rows`, which [`Narrow::read`] gave. If its values are kept, a row whose value there is no `room` for
    /// fails; one of about the size of what it is computed of always fits.
    ///
    /// # Errors
    /// What is not the fault of a row: memory, and what fails on no rows too.
    pub fn evaluate(&self, rows: &RecordBatch, room: Option<&Room>) -> Result<Values> {
        let count = rows.num_rows();
        if self.columns.is_empty() && count > 1 {
            return self.constant(&rows.slice(0, 1), count);
        }
        let mut pieces: Vec<ArrayRef> = Vec::new();
        let mut failed: Vec<(usize, String)> = Vec::new();
        // Rows at the end of what has been seen that failed: they become one piece.
        let mut nulls = 0;
        let mut rest = vec![(0, count)];
        while let Some((start, len)) = rest.pop() {
            let part = rows.slice(start, len);
            let error = match self.whole(&part) {
                Ok(values) if room.is_none_or(|room| room.take(growth(&values, &part))) => {
                    self.append_nulls(&mut pieces, &mut nulls);
                    pieces.push(values);
                    continue;
                }
                Ok(_) => None,
                Err(error) => Some(error),
            };
            if len > 1 {
                let half = len / 2;
                rest.push((start + half, len - half));
                rest.push((start, half));
                continue;
            }
            let why = match error {
                Some(error) => self.refuse_other(error, rows)?,
                None => room.map(|room| room.why().to_string()).unwrap_or_default(),
            };
            failed.push((start, why));
            nulls += len;
        }
        self.append_nulls(&mut pieces, &mut nulls);
        let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
        let values = if pieces.is_empty() { new_null_array(&self.data_type, 0) } else { concat(&pieces)? };
        Ok(Values { values, failed })
    }

    /// The same of an expression that reads no column: all rows fail, or none.
    fn constant(&self, row: &RecordBatch, count: usize) -> Result<Values> {
        let one = self.evaluate(row, None)?;
        match one.failed.into_iter().next() {
            Some((_, why)) => {
                let values = new_null_array(&self.data_type, count);
                Ok(Values { values, failed: (0..count).map(|row| (row, why.clone())).collect() })
            }
            None => {
                let values =
                    datafusion::common::ScalarValue::try_from_array(&one.values, 0)?.to_array_of_size(count)?;
                Ok(Values { values, failed: Vec::new() })
            }
        }
    }

    fn whole(&self, rows: &RecordBatch) -> Result<ArrayRef> {
        self.expr.evaluate(rows)?.into_array(rows.num_rows())
    }

    fn append_nulls(&self, pieces: &mut Vec<ArrayRef>, nulls: &mut usize) {
        let count = std::mem::take(nulls);
        if count > 0 {
            pieces.push(new_null_array(&self.data_type, count));
        }
    }

    /// Why one row failed; the error itself when that is not the row's fault.
    fn refuse_other(&self, error: DataFusionError, rows: &RecordBatch) -> Result<String> {
        let suspicious = matches!(
            error.find_root(),
            DataFusionError::Internal(_)
                | DataFusionError::NotImplemented(_)
                | DataFusionError::Plan(_)
                | DataFusionError::SchemaError(..)
        );
        let of_all = suspicious && !self.columns.is_empty() && self.whole(&rows.slice(0, 0)).is_err();
        if of_all || !may_be_rows(&error) { Err(error) } else { Ok(reason(&error)) }
    }
}

/// What `values` take that is counted, of those that were computed of `rows`.
fn growth(values: &ArrayRef, rows: &RecordBatch) -> usize {
    let read: usize = rows.columns().iter().map(|column| size::of(column)).sum();
    size::of(values).saturating_sub(FREE * rows.num_rows()).saturating_sub(TIMES * read)
}
