//! Isolates rows that a query cannot compute: a bad CAST, a division by zero, a number that does not fit.
//!
//! A plan first runs as DataFusion compiled it, and stops at the first such row of a batch. Only then the batch is computed again here. The
//! guard walks the plan node by node and evaluates each expression on all rows at once. If that fails, it evaluates halves of the rows,
//! down to those that fail. Such a row gets a [`RowError`] and NULL for the value that could not be computed. It passes every condition, so
//! that it reaches the end and can be reported. If the table's rows keep that NULL (`on.error` = `null`), the errors are reported apart,
//! and conditions judge the rows like any others.
//!
//! So a batch without such rows costs nothing more, and the fate of a row depends on that row alone, wherever batches were cut. There is
//! one exception. The memory of all values of a batch, beyond the rows that they are computed from, is limited
//! ([`room`](sluicebox_pipeline::room)). When the limit is reached, a row that grows further cannot be computed.
//!
//! The guard merges projections and filters between two other nodes first ([`chain`]). A condition or an output column is evaluated as if
//! it were written over the rows below, and each condition on the rows that passed the ones before it. DataFusion's rewrites (common
//! expressions computed beforehand, conditions pushed below projections) therefore cannot make a row fail that would not fail in the query
//! as written.

mod chain;
mod evaluate;
mod over;
mod sql;
#[cfg(test)]
mod tests;
mod unnest;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, StringArray, new_null_array,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::metrics::{Metric, MetricValue, MetricsSet};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::future::BoxFuture;
use sluicebox_core::provenance::ERROR;
use sluicebox_pipeline::leaf::collect_in_order;
use sluicebox_pipeline::room::Room;
use sluicebox_quality::RowError;

type Result<T> = std::result::Result<T, DataFusionError>;

/// Some rows, and what is wrong with each: a [`RowError`] as JSON, NULL of rows that are computed. Every visible column may
/// be NULL, whatever the plan says.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    pub batch: RecordBatch,
    /// `None` when all of them are computed.
    pub errors: Option<StringArray>,
}

impl Rows {
    /// The batch with the errors as its last column, [`ERROR`].
    fn with_errors(&self) -> Result<RecordBatch> {
        let rows = self.batch.num_rows();
        let errors: ArrayRef = match &self.errors {
            Some(errors) => Arc::new(errors.clone()),
            None => new_null_array(&DataType::Utf8, rows),
        };
        let mut columns = self.batch.columns().to_vec();
        columns.push(errors);
        Ok(batch_of(&with_error(&self.batch.schema()), columns, rows)?)
    }

    /// What [`Rows::with_errors`] put together.
    fn without_errors(batch: &RecordBatch, schema: &SchemaRef) -> Result<Self> {
        let last = batch.num_columns().saturating_sub(1);
        let errors = batch.columns().get(last).and_then(|c| c.as_any().downcast_ref::<StringArray>());
        let errors = errors.filter(|errors| errors.null_count() < errors.len()).cloned();
        let rows = batch.num_rows();
        Ok(Self { batch: batch_of(schema, batch.columns()[..last].to_vec(), rows)?, errors })
    }
}

/// Whether a plan that failed with `error` may do so for some of its rows.
pub(super) fn may_be_rows(error: &DataFusionError) -> bool {
    let root = error.find_root();
    let memory = matches!(root, DataFusionError::ArrowError(e, _) if matches!(**e, ArrowError::MemoryError(_)));
    !memory && !matches!(root, DataFusionError::ResourcesExhausted(_) | DataFusionError::ExecutionJoin(_))
}

/// What [`compute`] gives.
#[derive(Debug, Default)]
pub(super) struct Computed {
    /// The rows that come out.
    pub rows: Vec<Rows>,
    /// Rows to be told of that go on with NULL, as they were when that was found, and those that a condition has left out which
    /// cannot be computed.
    pub told: Vec<Rows>,
    /// How many rows conditions have left out.
    pub filtered: u64,
}

/// What `plan` makes of its rows, row by row. The leaves of the plan hold them. `nulls` says whether a row goes on with NULL for
/// what cannot be computed. A row that becomes more than is left of `room` cannot be computed.
///
/// # Errors
/// What is not the fault of a row.
pub(super) async fn compute(
    plan: &Arc<dyn ExecutionPlan>,
    context: &Arc<TaskContext>,
    nulls: bool,
    room: Room,
) -> Result<Computed> {
    let aside = Aside { nulls, room, told: Mutex::default(), filtered: AtomicU64::default() };
    let rows = walk(plan, context, &aside).await?;
    let told = aside.told.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Computed { rows, told, filtered: aside.filtered.into_inner() })
}

/// The rows that the conditions of `plan`, which has been run to its end, have left out.
pub(super) fn left_out(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    let ratio = |metric: &Arc<Metric>| match metric.value() {
        MetricValue::Ratio { name, ratio_metrics } if name == "selectivity" => {
            ratio_metrics.total().saturating_sub(ratio_metrics.part()) as u64
        }
        _ => 0,
    };
    let own = if plan.is::<FilterExec>() { plan.metrics() } else { None };
    let own: u64 = own.iter().flat_map(MetricsSet::iter).map(ratio).sum();
    own + plan.children().into_iter().map(left_out).sum::<u64>()
}

/// What does not come out with the rows.
#[derive(Debug)]
struct Aside {
    nulls: bool,
    room: Room,
    told: Mutex<Vec<Rows>>,
    filtered: AtomicU64,
}

impl Aside {
    /// Counts rows that a condition has left out.
    fn count(&self, rows: usize) {
        self.filtered.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// `rows`, without errors if they go on with NULL. Those of which a condition cannot be computed do not.
    fn settle(&self, rows: Rows) -> Result<Rows> {
        let Some(errors) = rows.errors.as_ref().filter(|_| self.nulls) else { return Ok(rows) };
        let failed = arrow::compute::is_not_null(errors)?;
        let mut goes_on = vec![true; errors.len()];
        let read = read(errors).map_err(|e| DataFusionError::External(Box::new(e)))?;
        read.iter().for_each(|(row, error)| goes_on[*row] = !error.condition);
        let told = filter_record_batch(&rows.batch, &failed)?;
        let why = arrow::compute::filter(errors, &failed)?;
        let why = why.as_string_opt::<i32>().cloned();
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(Rows { batch: told, errors: why });
        let goes_on = BooleanArray::from(goes_on);
        self.count(goes_on.false_count());
        Ok(Rows { batch: filter_record_batch(&rows.batch, &goes_on)?, errors: None })
    }
}

fn walk<'a>(
    plan: &'a Arc<dyn ExecutionPlan>,
    context: &'a Arc<TaskContext>,
    aside: &'a Aside,
) -> BoxFuture<'a, Result<Vec<Rows>>> {
    Box::pin(async move {
        if plan.is::<ProjectionExec>() || plan.is::<FilterExec>() {
            let chain = chain::Chain::of(plan)?;
            let rows = walk(&chain.base, context, aside).await?;
            return rows.into_iter().map(|rows| aside.settle(chain.apply(rows, aside)?)).collect();
        }
        if plan.is::<CooperativeExec>()
            && let [input] = plan.children().as_slice()
        {
            return walk(input, context, aside).await;
        }
        if let Some(union) = plan.downcast_ref::<UnionExec>() {
            let schema = relaxed(&plan.schema());
            let mut all = Vec::new();
            for input in union.inputs() {
                for rows in walk(input, context, aside).await? {
                    let count = rows.batch.num_rows();
                    let batch = batch_of(&schema, rows.batch.columns().to_vec(), count)?;
                    all.push(Rows { batch, ..rows });
                }
            }
            return Ok(all);
        }
        if let Some(unnest) = plan.downcast_ref::<UnnestExec>() {
            let rows = walk(unnest.input(), context, aside).await?;
            return unnest::run(unnest, rows, context, aside).await;
        }
        if over::is(plan)
            && let Some(input) = over::input(plan)
        {
            let rows = walk(input, context, aside).await?;
            return over::run(plan, rows, context).await;
        }
        if !plan.children().is_empty() && plan.output_partitioning().partition_count() > 0 {
            return Err(DataFusionError::Internal(format!("rows of {} cannot be told apart", plan.name())));
        }
        let schema = relaxed(&plan.schema());
        let rows = collect_in_order(Arc::clone(plan), context).await?;
        let rows = rows.into_iter().map(|batch| {
            let batch = batch_of(&schema, batch.columns().to_vec(), batch.num_rows())?;
            Ok(Rows { batch, errors: None })
        });
        rows.collect()
    })
}

/// `schema`, of which any column may be NULL.
pub(super) fn relaxed(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// `schema` with the errors behind.
pub(super) fn with_error(schema: &Schema) -> SchemaRef {
    let mut fields = schema.fields().to_vec();
    fields.push(Arc::new(Field::new(ERROR, DataType::Utf8, true)));
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn batch_of(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> std::result::Result<RecordBatch, ArrowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows)).with_match_field_names(false);
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

/// The errors of all rows that have one, of a column [`ERROR`].
///
/// # Errors
/// When the text is none of [`compute`]'s.
pub(super) fn read(errors: &StringArray) -> std::result::Result<Vec<(usize, RowError)>, serde_json::Error> {
    let all = errors.iter().enumerate();
    all.filter_map(|(row, text)| Some((row, text?))).map(|(row, text)| Ok((row, serde_json::from_str(text)?))).collect()
}
