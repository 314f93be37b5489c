//! Merges adjacent projections and filters into conditions and output columns over the rows below them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, StringBuilder};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::split_conjunction;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use sluicebox_core::provenance::is_hidden;
use sluicebox_functions::keeping_patterns;
use sluicebox_quality::{RowError, row_as_json};

use super::evaluate::{Narrow, Values};
use super::{Aside, Result, Rows, batch_of, relaxed, sql};

/// Parts of an expression that is put together from those below it, beyond which a new chain begins: one that is used twice by
/// each of many subqueries would double with every one of them.
const MAX_PARTS: usize = 10_000;

/// Projections and filters put together.
pub(super) struct Chain {
    /// What gives the rows.
    pub base: Arc<dyn ExecutionPlan>,
    /// In the order in which they are judged.
    conditions: Vec<Arc<dyn PhysicalExpr>>,
    outputs: Vec<Arc<dyn PhysicalExpr>>,
    /// Of the outputs, nullable.
    schema: SchemaRef,
}

impl Chain {
    /// `plan` and the projections and filters below it.
    pub fn of(plan: &Arc<dyn ExecutionPlan>) -> Result<Self> {
        let own = |below: Self| Self::on(plan, below);
        let Some(input) = input_of(plan) else { return Ok(Self::bare(plan)) };
        match own(Self::of(input)?)? {
            Some(chain) => Ok(chain),
            None => own(Self::bare(input))?
                .ok_or_else(|| DataFusionError::ResourcesExhausted("an expression of too many parts".to_owned())),
        }
    }

    /// The rows of `base` as they are.
    fn bare(base: &Arc<dyn ExecutionPlan>) -> Self {
        let schema = base.schema();
        let columns = schema.fields().iter().enumerate();
        let outputs = columns.map(|(at, f)| Arc::new(Column::new(f.name(), at)) as Arc<dyn PhysicalExpr>).collect();
        Self { base: Arc::clone(base), conditions: Vec::new(), outputs, schema: relaxed(&schema) }
    }

    /// `plan` on the chain of its input; `None` when its expressions become too large.
    fn on(plan: &Arc<dyn ExecutionPlan>, below: Self) -> Result<Option<Self>> {
        let schema = relaxed(&plan.schema());
        if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
            let outputs =
                projection.expr().iter().map(|e| below.inline(&e.expr)).collect::<Result<Option<Vec<_>>>>()?;
            return Ok(outputs.map(|outputs| Self { outputs, schema, ..below }));
        }
        let Some(filter) = plan.downcast_ref::<FilterExec>() else { return Ok(Some(below)) };
        let conditions = split_conjunction(filter.predicate()).into_iter().map(|e| below.inline(e));
        let Some(own) = conditions.collect::<Result<Option<Vec<_>>>>()? else { return Ok(None) };
        let outputs = match filter.projection() {
            Some(kept) => kept.iter().map(|at| Arc::clone(&below.outputs[*at])).collect(),
            None => below.outputs,
        };
        let conditions = below.conditions.into_iter().chain(own).collect();
        Ok(Some(Self { base: below.base, conditions, outputs, schema }))
    }

    /// `expr`, which is over the outputs, over the base.
    fn inline(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let inlined = Arc::clone(expr).transform_up(|e| {
            let Some(column) = e.downcast_ref::<Column>() else { return Ok(Transformed::no(e)) };
            let of = self.outputs.get(column.index());
            let of = of.ok_or_else(|| DataFusionError::Internal(format!("no column {column}")))?;
            Ok(Transformed::yes(Arc::clone(of)))
        })?;
        let mut parts = 0;
        inlined.data.apply(|_| {
            parts += 1;
            Ok(if parts > MAX_PARTS { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        Ok((parts <= MAX_PARTS).then_some(inlined.data))
    }

    /// What becomes of `rows`, which the base gave. Those that a condition leaves out are counted `aside`.
    pub fn apply(&self, rows: Rows, aside: &Aside) -> Result<Rows> {
        // Each expression meets a row in ever smaller parts of the batch: what is costly to make of it is made once.
        keeping_patterns(|| self.applied(rows, aside))
    }

    fn applied(&self, rows: Rows, aside: &Aside) -> Result<Rows> {
        let mut faults = Faults::of(rows.errors.as_ref());
        let mut batch = rows.batch;
        for condition in &self.conditions {
            let narrow = Narrow::new(condition, &batch.schema())?;
            let count = batch.num_rows();
            let judged = BooleanBuffer::collect_bool(count, |row| !faults.has(row));
            let read = narrow.read(&batch)?;
            let meant = if faults.is_empty() { read } else { filter_record_batch(&read, &mask(judged.clone()))? };
            let Values { values, failed } = narrow.evaluate(&meant, None)?;
            let holds = truths(&values);
            let places: Vec<usize> = judged.set_indices().collect();
            for (at, why) in failed {
                let error = row_error(None, condition, &meant, at, why, true)?;
                faults.add(places[at], &error)?;
            }
            let mut kept = vec![false; count];
            places.iter().zip(holds.iter()).for_each(|(row, holds)| kept[*row] = holds);
            let kept = BooleanBuffer::collect_bool(count, |row| kept[row] || faults.has(row));
            let left = count - kept.count_set_bits();
            if left > 0 {
                aside.count(left);
                faults = faults.of_kept(&kept);
                batch = filter_record_batch(&batch, &mask(kept))?;
            }
        }
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.outputs.len());
        for (expr, field) in self.outputs.iter().zip(self.schema.fields()) {
            if let Some(column) = expr.downcast_ref::<Column>() {
                columns.push(Arc::clone(batch.column(column.index())));
                continue;
            }
            let narrow = Narrow::new(expr, &batch.schema())?;
            let read = narrow.read(&batch)?;
            let Values { values, failed } = narrow.evaluate(&read, Some(&aside.room))?;
            for (row, why) in failed {
                if !faults.has(row) {
                    faults.add(row, &row_error(Some(field.name()), expr, &read, row, why, false)?)?;
                }
            }
            columns.push(values);
        }
        let count = batch.num_rows();
        Ok(Rows { batch: batch_of(&self.schema, columns, count)?, errors: faults.into_column(count) })
    }
}

fn input_of(plan: &Arc<dyn ExecutionPlan>) -> Option<&Arc<dyn ExecutionPlan>> {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        return Some(projection.input());
    }
    plan.downcast_ref::<FilterExec>().map(FilterExec::input)
}

fn mask(of: BooleanBuffer) -> BooleanArray {
    BooleanArray::new(of, None)
}

/// Where a condition is true.
fn truths(values: &ArrayRef) -> BooleanBuffer {
    match values.as_boolean_opt() {
        Some(values) => match values.nulls() {
            Some(nulls) => values.values() & nulls.inner(),
            None => values.values().clone(),
        },
        // A NULL literal has a type of its own.
        None => BooleanBuffer::new_unset(values.len()),
    }
}

/// What is told of row `row` of `read`, the columns that `expr` reads.
fn row_error(
    column: Option<&String>,
    expr: &Arc<dyn PhysicalExpr>,
    read: &RecordBatch,
    row: usize,
    message: String,
    condition: bool,
) -> Result<RowError> {
    let value = row_as_json(&as_written(read)?, row).map_err(|e| DataFusionError::External(Box::new(e)))?;
    // Names that DataFusion made up say nothing to a reader of the query.
    let column = column.filter(|name| !is_hidden(name) && !name.starts_with("__")).cloned();
    Ok(RowError { column, expression: sql::text(expr), value, message, condition })
}

/// `read` with the names that people know its columns by.
pub(super) fn as_written(read: &RecordBatch) -> Result<RecordBatch> {
    let schema = read.schema();
    let fields: Vec<Field> =
        schema.fields().iter().map(|f| f.as_ref().clone().with_name(sql::written(f.name()))).collect();
    Ok(batch_of(&Arc::new(Schema::new(fields)), read.columns().to_vec(), read.num_rows())?)
}

/// What is wrong with some rows of a batch, as JSON.
struct Faults(BTreeMap<usize, String>);

impl Faults {
    fn of(errors: Option<&StringArray>) -> Self {
        let all = errors.iter().flat_map(|errors| errors.iter().enumerate());
        Self(all.filter_map(|(row, text)| Some((row, text?.to_owned()))).collect())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn has(&self, row: usize) -> bool {
        self.0.contains_key(&row)
    }

    fn add(&mut self, row: usize, error: &RowError) -> Result<()> {
        let text = serde_json::to_string(error).map_err(|e| DataFusionError::External(Box::new(e)))?;
        self.0.entry(row).or_insert(text);
        Ok(())
    }

    /// After the rows of `kept` alone are left, which are all that something is wrong with, and others.
    fn of_kept(self, kept: &BooleanBuffer) -> Self {
        let numbered = kept.set_indices().enumerate().map(|(after, before)| (before, after));
        let after: BTreeMap<usize, usize> = if self.0.is_empty() {
            BTreeMap::new()
        } else {
            numbered.filter(|(row, _)| self.0.contains_key(row)).collect()
        };
        Self(self.0.into_iter().filter_map(|(row, text)| Some((*after.get(&row)?, text))).collect())
    }

    fn into_column(self, rows: usize) -> Option<StringArray> {
        if self.0.is_empty() {
            return None;
        }
        let mut errors = StringBuilder::new();
        (0..rows).for_each(|row| errors.append_option(self.0.get(&row)));
        Some(errors.finish())
    }
}
