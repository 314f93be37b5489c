//! Window functions (OVER), where some rows below could not be computed: they see the others alone.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, new_null_array};
use arrow::compute::{filter_record_batch, is_not_null, is_null};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions};
use sluicebox_pipeline::leaf::collect_in_order;

use super::{Result, Rows, batch_of, relaxed};

/// Whether `plan` computes window functions.
pub(super) fn is(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<WindowAggExec>() || plan.is::<BoundedWindowAggExec>()
}

/// What gives the rows of `plan`, which [`is`] one, before they are sorted for it.
pub(super) fn input(plan: &Arc<dyn ExecutionPlan>) -> Option<&Arc<dyn ExecutionPlan>> {
    let mut input = only(plan)?;
    while input.is::<SortExec>() {
        input = only(input)?;
    }
    Some(input)
}

fn only(plan: &Arc<dyn ExecutionPlan>) -> Option<&Arc<dyn ExecutionPlan>> {
    match plan.children().as_slice() {
        [input] => Some(*input),
        _ => None,
    }
}

/// What `plan` makes of `rows`, those of its [`input`]. Those that could not be computed come out with NULL in its columns.
pub(super) async fn run(
    plan: &Arc<dyn ExecutionPlan>,
    rows: Vec<Rows>,
    context: &Arc<TaskContext>,
) -> Result<Vec<Rows>> {
    let Some(input) = input(plan) else { return Ok(rows) };
    let below = relaxed(&input.schema());
    let schema = relaxed(&plan.schema());
    let (mut computed, mut failed) = (Vec::with_capacity(rows.len()), Vec::new());
    for Rows { batch, errors } in rows {
        let batch = batch_of(&below, batch.columns().to_vec(), batch.num_rows())?;
        let Some(errors) = errors else {
            computed.push(batch);
            continue;
        };
        computed.push(filter_record_batch(&batch, &is_null(&errors)?)?);
        let with: BooleanArray = is_not_null(&errors)?;
        let bad = filter_record_batch(&batch, &with)?;
        let mut columns = bad.columns().to_vec();
        let own = schema.fields().iter().skip(columns.len());
        columns.extend(own.map(|field| new_null_array(field.data_type(), bad.num_rows())).collect::<Vec<_>>());
        let errors = arrow::compute::filter(&errors, &with)?;
        let errors = errors.as_string_opt::<i32>().cloned();
        failed.push(Rows { batch: batch_of(&schema, columns, bad.num_rows())?, errors });
    }
    let source: Arc<dyn ExecutionPlan> = MemorySourceConfig::try_new_exec(&[computed], below, None)?;
    let made = collect_in_order(over(plan, source)?, context).await?;
    let made = made.into_iter().map(|batch| {
        let batch = batch_of(&schema, batch.columns().to_vec(), batch.num_rows())?;
        Ok(Rows { batch, errors: None })
    });
    made.chain(failed.into_iter().map(Ok)).collect()
}

/// `plan`, and the sorting below it, over `source`. Where rows come sorted from below, as they do from window functions of the same order,
/// `plan` has no sorting of its own. `source` does not tell of its order, so it is sorted here.
fn over(plan: &Arc<dyn ExecutionPlan>, source: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let below: Arc<dyn ExecutionPlan> = match only(plan) {
        Some(input) if input.is::<SortExec>() => over(input, source)?,
        _ => match plan.required_input_ordering().into_iter().flatten().next() {
            Some(order) => Arc::new(SortExec::new(order.into_single().into(), source)),
            None => source,
        },
    };
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Arc::clone(plan).replace_children(vec![below], options)
}
