//! Runs one flow of one table over one batch: a walk down its nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, UInt8Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use futures::TryStreamExt;
use futures::future::BoxFuture;
use sluicebox_core::columns::{self, Unfit};
use sluicebox_core::provenance::{ERROR, EVENT_TIME, LATE, Lateness};
use sluicebox_core::station::{self, Station};
use sluicebox_core::{Clock, Fates, Masked, masked};
use sluicebox_operators::{Closed, in_offset_order};
use sluicebox_pipeline::bind::checked::checked_plan;
use sluicebox_pipeline::bind::clock::bind_clock;
use sluicebox_pipeline::graph::OnError;
use sluicebox_pipeline::leaf::collect_in_order;
use sluicebox_pipeline::room::{self, Room};
use sluicebox_quality::{Errors, Quarantine, RowError};

use super::compile::{RunClause, RunNode, RunOperator, RunPlan, lowest};
use super::late::{self, LateRows};
use super::{BatchInput, guard};
use crate::RuntimeError;

/// What a table's flows read and count while a batch runs.
pub(super) struct FlowContext<'a> {
    pub session: &'a SessionState,
    /// For durations.
    pub clock: &'a dyn Clock,
    pub input: &'a BatchInput,
    /// Rows of the sources and of the tables above, with their hidden columns.
    pub rows: &'a BTreeMap<String, Vec<RecordBatch>>,
    pub clauses: &'a mut BTreeMap<String, RunClause>,
    pub fates: Fates,
    /// Whether the rows have come out of the query, so that what an operator takes out of them is of `rows_out`.
    pub out: bool,
    /// Late rows.
    pub late: LateRows,
    /// Rows ahead of the clock by more than `maxFuture`.
    pub future: u64,
    /// What becomes of rows that cannot be computed.
    pub on_error: OnError,
    /// What could not be computed.
    pub errors: Errors,
    /// Makes rows for the quarantine.
    pub quarantine: Quarantine,
    /// Rows for the quarantine that could not be computed.
    pub quarantined: Vec<RecordBatch>,
}

impl FlowContext<'_> {
    /// Runs `node` and everything below it.
    pub(super) fn run<'s>(
        &'s mut self,
        node: &'s mut RunNode,
    ) -> BoxFuture<'s, Result<Vec<RecordBatch>, RuntimeError>> {
        Box::pin(async move {
            match node {
                RunNode::Stream { upstream, clause, schema } => self.stream(upstream, clause.as_ref(), schema),
                RunNode::Plan(plan) => self.plan(plan).await,
                RunNode::Late(_) => Ok(masked::into_rows(self.candidates(node).await?)?),
                RunNode::Operator(input, operator) => {
                    let rows = self.run(input).await?;
                    let rows = self.take_errors(masked::whole(rows))?;
                    self.operate_on_masked(operator, rows).await
                }
            }
        })
    }

    /// Like [`run`](Self::run), but returns masked batches, so that consecutive filters copy the rows once.
    pub(super) async fn candidates(&mut self, node: &mut RunNode) -> Result<Vec<Masked>, RuntimeError> {
        match node {
            RunNode::Late(input) => {
                let rows = self.run(input).await?;
                station::spend(Station::Watermark, || self.split_late(rows))
            }
            other => Ok(masked::whole(self.run(other).await?)),
        }
    }

    fn stream(
        &mut self,
        upstream: &str,
        clause: Option<&(String, String)>,
        schema: &SchemaRef,
    ) -> Result<Vec<RecordBatch>, RuntimeError> {
        let rows = self.rows.get(upstream).cloned().unwrap_or_default();
        self.fates.rows_in += count(&rows);
        let judged = match clause {
            Some((id, column)) => station::spend(Station::Watermark, || self.judge(id, column, rows, schema))?,
            None => rows.into_iter().map(|batch| in_shape(&batch, schema)).collect::<Result<Vec<_>, _>>()?,
        };
        Ok(judged)
    }

    /// Lets the clause `id` judge `rows`, then moves its watermark to the end of the batch.
    fn judge(
        &mut self,
        id: &str,
        column: &str,
        rows: Vec<RecordBatch>,
        schema: &SchemaRef,
    ) -> Result<Vec<RecordBatch>, RuntimeError> {
        let clause =
            self.clauses.get_mut(id).ok_or_else(|| RuntimeError::Bug(format!("no watermark clause `{id}`")))?;
        let mut judged = Vec::with_capacity(rows.len());
        // Rows of an upstream with several flows, or a UNION, stand flow by flow.
        for batch in in_offset_order(rows)? {
            let event_time = batch
                .column_by_name(column)
                .ok_or_else(|| RuntimeError::Bug(format!("no column `{column}` for the watermark `{id}`")))?;
            let judgement =
                clause.watermark.judge(&batch, event_time, &self.input.partitions, self.input.clock_micros)?;
            self.future += judgement.counts.future;
            let late: ArrayRef = Arc::new(self.late.remember(id, &batch, &judgement.late)?);
            let columns = schema
                .fields()
                .iter()
                .map(|field| match field.name().as_str() {
                    EVENT_TIME => Ok(Arc::clone(&judgement.event_time)),
                    LATE => Ok(Arc::clone(&late)),
                    name => column_of(&batch, name),
                })
                .collect::<Result<Vec<_>, _>>()?;
            judged.push(RecordBatch::try_new(Arc::clone(schema), columns)?);
        }
        let at_end = clause.watched(&self.input.at_end);
        clause.watermark.end_batch(self.input.clock_micros, &at_end, self.input.finishing);
        Ok(judged)
    }

    async fn plan(&mut self, plan: &mut RunPlan) -> Result<Vec<RecordBatch>, RuntimeError> {
        let mut inputs = Vec::with_capacity(plan.inputs.len());
        for (_, input) in &mut plan.inputs {
            inputs.push(self.run(input).await?);
        }
        self.apply(plan, inputs).await
    }

    /// What `plan` makes of `rows`, one for each of its inputs.
    pub(super) async fn apply(
        &mut self,
        plan: &mut RunPlan,
        inputs: Vec<Vec<RecordBatch>>,
    ) -> Result<Vec<RecordBatch>, RuntimeError> {
        let mut rows_in = 0;
        for ((leaf, _), rows) in plan.inputs.iter().zip(&inputs) {
            rows_in += count(rows);
            leaf.set(rows.clone())?;
        }
        if rows_in == 0 {
            // No stateless plan makes rows out of none, and planning one for nothing costs more than all else.
            return Ok(Vec::new());
        }
        let clock = plan.uses_clock.then_some(self.input.clock_micros);
        let physical = station::timed(Station::Plan, physical_plan(self.session, &plan.plan, clock)).await?;
        let physical = room::watched(physical, &Arc::new(Room::of(self.session)))?;
        let context = self.session.task_ctx();
        let (rows, left_out) =
            match station::timed(Station::Query, collect_in_order(Arc::clone(&physical), &context)).await {
                Ok(rows) => {
                    let rows = rows.into_iter().filter(|batch| batch.num_rows() > 0);
                    let rows = rows.map(|batch| in_shape(&batch, &plan.schema)).collect::<Result<Vec<_>, _>>()?;
                    (rows, guard::left_out(&physical))
                }
                Err(error) if guard::may_be_rows(&error) => self.row_by_row(plan, inputs, error).await?,
                Err(error) => return Err(error.into()),
            };
        if plan.counts_filtered {
            // Where each row that comes out is one that went in, that is the count; else there are only the conditions.
            let filtered = if plan.row_by_row { rows_in - count(&rows) } else { left_out };
            self.fates.filtered += filtered;
            self.fates.filtered_in += filtered;
        }
        Ok(rows)
    }

    /// The same, of rows on which the plan has failed with `error`: those that it can compute, in its shape, and those that it
    /// cannot, apart, with [`ERROR`]; and how many its conditions have left out. Under `on.error` = `null` those that it cannot
    /// compute are told of here.
    async fn row_by_row(
        &mut self,
        plan: &mut RunPlan,
        inputs: Vec<Vec<RecordBatch>>,
        error: DataFusionError,
    ) -> Result<(Vec<RecordBatch>, u64), RuntimeError> {
        for ((leaf, _), rows) in plan.inputs.iter().zip(inputs) {
            leaf.set(rows)?;
        }
        let clock = plan.uses_clock.then_some(self.input.clock_micros);
        let physical = physical_plan(self.session, &plan.plan, clock).await?;
        let context = self.session.task_ctx();
        let nulls = self.on_error == OnError::Null;
        let room = Room::of(self.session);
        let computed = station::timed(Station::Query, guard::compute(&physical, &context, nulls, room)).await;
        // What it says of the whole is about the plan, as DataFusion runs it.
        let computed = computed.map_err(|_| error)?;
        for guard::Rows { batch, errors } in &computed.told {
            for (row, error) in errors.as_ref().map(guard::read).transpose()?.unwrap_or_default() {
                // A late row is late, computed or not.
                if !late::is_late(batch, row) {
                    self.errors.record(batch, row, &error);
                }
            }
        }
        let mut rows = Vec::new();
        for part in computed.rows.into_iter().filter(|part| part.batch.num_rows() > 0) {
            rows.extend(told_apart(part, &plan.schema)?);
        }
        Ok((rows, computed.filtered))
    }

    /// Takes the rows out that could not be computed, for the quarantine.
    pub(super) fn take_errors(&mut self, rows: Vec<Masked>) -> Result<Vec<Masked>, RuntimeError> {
        let (failed, rows): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|rows| rows.all().column_by_name(ERROR).is_some());
        for batch in masked::into_rows(failed)? {
            let errors = batch.column_by_name(ERROR).and_then(|c| c.as_any().downcast_ref::<StringArray>());
            let errors = errors.ok_or_else(|| RuntimeError::Bug("errors of rows are not text".to_owned()))?;
            let errors: Vec<RowError> = guard::read(errors)?.into_iter().map(|(_, error)| error).collect();
            errors.iter().enumerate().for_each(|(row, error)| self.errors.record(&batch, row, error));
            self.fates.quarantined += errors.len() as u64;
            if !self.out {
                self.fates.quarantined_in += errors.len() as u64;
            }
            self.quarantined.push(self.quarantine.failing(&batch, &errors)?);
        }
        Ok(rows)
    }

    /// Takes the late rows out.
    fn split_late(&mut self, rows: Vec<RecordBatch>) -> Result<Vec<Masked>, RuntimeError> {
        let mut in_time = Vec::with_capacity(rows.len());
        for batch in rows {
            let verdicts = batch
                .column_by_name(LATE)
                .and_then(|c| c.as_any().downcast_ref::<UInt8Array>())
                .ok_or_else(|| RuntimeError::Bug("late rows are looked for where no watermark judged".to_owned()))?;
            let of = |lateness: Lateness| {
                let verdict = |row| verdicts.is_valid(row) && late::verdict(verdicts, row) == lateness as u8;
                BooleanBuffer::collect_bool(verdicts.len(), verdict)
            };
            let chosen = Masked::new(batch.clone(), of(Lateness::InTime));
            let count = batch.num_rows() - chosen.count();
            if count > 0 {
                let late = Masked::new(batch.clone(), !&of(Lateness::InTime));
                let found = self.late.find(&late.into_rows()?)?;
                self.fates.late += found.rows;
                self.fates.late_clause += found.clause;
            }
            if chosen.count() > 0 {
                in_time.push(chosen);
            }
        }
        Ok(in_time)
    }

    /// Lets an operator take `rows`, some of others, then close what the watermark after this batch closes.
    pub(super) async fn operate_on_masked(
        &mut self,
        run: &mut RunOperator,
        rows: Vec<Masked>,
    ) -> Result<Vec<RecordBatch>, RuntimeError> {
        let (mut out, closed) = self.step(run, rows).await?;
        match closed {
            Closed::Rows(rows) => out.extend(rows),
            Closed::Stream(rows) => out.extend(rows.try_collect::<Vec<_>>().await?),
        }
        Ok(out)
    }

    /// The same, with the rows that were closed apart.
    pub(super) async fn step(
        &mut self,
        run: &mut RunOperator,
        rows: Vec<Masked>,
    ) -> Result<(Vec<RecordBatch>, Closed), RuntimeError> {
        let at = Station::Operator { place: run.kind.place(), name: run.kind.word };
        let started = self.clock.monotonic();
        // An operator may have done all its work before the future that it gives is awaited.
        let processed = station::timed(at, async { run.operator.process_masked(rows).await }).await?;
        run.updates = self.clock.monotonic().saturating_sub(started);
        self.fates.absorbed += processed.absorbed;
        self.fates.duplicate += processed.duplicate;
        self.fates.filtered += processed.filtered_null_event_time + processed.filtered_without_window;
        self.fates.filtered_null_event_time += processed.filtered_null_event_time;
        if !self.out {
            self.fates.duplicate_in += processed.duplicate;
            self.fates.filtered_in += processed.filtered_null_event_time + processed.filtered_without_window;
        }
        let held = run.operator.rows();
        let started = self.clock.monotonic();
        let closed = match lowest(self.clauses, &run.clauses) {
            Some(w) => station::timed(at, async { run.operator.close_rows(w).await }).await?,
            None => Closed::Rows(Vec::new()),
        };
        run.removals = self.clock.monotonic().saturating_sub(started);
        run.removed = held.saturating_sub(run.operator.rows());
        Ok((processed.rows, closed))
    }
}

/// The plan as it runs; one that reads the batch's clock is bound to `clock_micros`.
async fn physical_plan(
    session: &SessionState,
    plan: &LogicalPlan,
    clock_micros: Option<i64>,
) -> Result<Arc<dyn ExecutionPlan>, RuntimeError> {
    let planner = session.query_planner();
    let physical = match clock_micros {
        None => planner.create_physical_plan(plan, session).await?,
        Some(clock_micros) => {
            let bound = session.optimize(&bind_clock(plan.clone(), clock_micros)?)?;
            planner.create_physical_plan(&bound, session).await?
        }
    };
    Ok(checked_plan(physical)?)
}

/// Rows that are computed in the shape of `schema`, and those that are not, with [`ERROR`] behind.
fn told_apart(part: guard::Rows, schema: &SchemaRef) -> Result<Vec<RecordBatch>, RuntimeError> {
    let Some(errors) = part.errors else { return Ok(vec![in_shape(&part.batch, schema)?]) };
    let fine = arrow::compute::is_null(&errors)?;
    let failed = arrow::compute::not(&fine)?;
    let mut rows = Vec::with_capacity(2);
    if fine.true_count() > 0 {
        rows.push(in_shape(&filter_record_batch(&part.batch, &fine)?, schema)?);
    }
    let batch = in_shape(&filter_record_batch(&part.batch, &failed)?, &guard::relaxed(schema))?;
    let mut columns = batch.columns().to_vec();
    columns.push(arrow::compute::filter(&errors, &failed)?);
    rows.push(RecordBatch::try_new(guard::with_error(&batch.schema()), columns)?);
    Ok(rows)
}

/// The columns of `schema` from `batch`, by name, under `schema`.
fn in_shape(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, RuntimeError> {
    columns::fitted(batch, schema).map_err(|unfit| match unfit {
        Unfit::Missing(name) => without(&name),
        Unfit::Arrow(error) => error.into(),
    })
}

fn column_of(batch: &RecordBatch, name: &str) -> Result<ArrayRef, RuntimeError> {
    batch.column_by_name(name).cloned().ok_or_else(|| without(name))
}

fn without(name: &str) -> RuntimeError {
    RuntimeError::Bug(format!("rows without a column `{name}`"))
}

/// The number of rows in `batches`.
pub(super) fn count(batches: &[RecordBatch]) -> u64 {
    batches.iter().map(|b| b.num_rows() as u64).sum()
}
