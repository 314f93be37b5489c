//! One flow of one table over one batch: a walk down its nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, UInt8Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::SchemaRef;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use futures::TryStreamExt;
use futures::future::BoxFuture;
use sluicebox_core::provenance::{EVENT_TIME, LATE, Lateness};
use sluicebox_core::station::{self, Station};
use sluicebox_core::{Chosen, Clock, Fates, chosen};
use sluicebox_operators::{Closed, in_offset_order};
use sluicebox_pipeline::bind::clock::bind_clock;
use sluicebox_pipeline::leaf::collect_in_order;

use super::BatchInput;
use super::compile::{OperatorKind, RunClause, RunNode, RunOperator, RunPlan, lowest};
use crate::EngineError;

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
    /// Late rows, with their hidden columns.
    pub late: Vec<RecordBatch>,
    /// Rows ahead of the clock by more than `maxFuture`.
    pub future: u64,
}

impl FlowContext<'_> {
    /// Runs `node` and everything below it.
    pub(super) fn run<'s>(&'s mut self, node: &'s mut RunNode) -> BoxFuture<'s, Result<Vec<RecordBatch>, EngineError>> {
        Box::pin(async move {
            match node {
                RunNode::Stream { upstream, clause, schema } => self.stream(upstream, clause.as_ref(), schema),
                RunNode::Plan(plan) => self.plan(plan).await,
                RunNode::Late(_) => Ok(chosen::into_rows(self.candidates(node).await?)?),
                RunNode::Operator(input, operator) => {
                    let rows = self.run(input).await?;
                    self.operate(operator, &rows).await
                }
            }
        })
    }

    /// As [`run`](Self::run), but that rows which were taken out may still stand among the others: those that follow take out
    /// more of them, and all are left out at once.
    pub(super) async fn candidates(&mut self, node: &mut RunNode) -> Result<Vec<Chosen>, EngineError> {
        match node {
            RunNode::Late(input) => {
                let rows = self.run(input).await?;
                station::spend(Station::Watermark, || self.split_late(rows))
            }
            other => Ok(chosen::whole(self.run(other).await?)),
        }
    }

    fn stream(
        &mut self,
        upstream: &str,
        clause: Option<&(String, String)>,
        schema: &SchemaRef,
    ) -> Result<Vec<RecordBatch>, EngineError> {
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
    ) -> Result<Vec<RecordBatch>, EngineError> {
        let clause = self.clauses.get_mut(id).ok_or_else(|| EngineError::Bug(format!("no watermark clause `{id}`")))?;
        let mut judged = Vec::with_capacity(rows.len());
        // Rows of an upstream with several flows, or a UNION, stand flow by flow.
        for batch in in_offset_order(rows)? {
            let event_time = batch
                .column_by_name(column)
                .ok_or_else(|| EngineError::Bug(format!("no column `{column}` for the watermark `{id}`")))?;
            let judgement =
                clause.watermark.judge(&batch, event_time, &self.input.partitions, self.input.clock_micros)?;
            self.future += judgement.counts.future;
            let columns = schema
                .fields()
                .iter()
                .map(|field| match field.name().as_str() {
                    EVENT_TIME => Ok(Arc::clone(&judgement.event_time)),
                    LATE => Ok(Arc::new(judgement.late.clone()) as _),
                    name => column_of(&batch, name),
                })
                .collect::<Result<Vec<_>, _>>()?;
            judged.push(RecordBatch::try_new(Arc::clone(schema), columns)?);
        }
        let at_end = clause.watched(&self.input.at_end);
        clause.watermark.end_batch(self.input.clock_micros, &at_end, self.input.finishing);
        Ok(judged)
    }

    async fn plan(&mut self, plan: &mut RunPlan) -> Result<Vec<RecordBatch>, EngineError> {
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
    ) -> Result<Vec<RecordBatch>, EngineError> {
        let mut rows_in = 0;
        for ((leaf, _), rows) in plan.inputs.iter().zip(inputs) {
            rows_in += count(&rows);
            leaf.set(rows)?;
        }
        if rows_in == 0 {
            // No stateless plan makes rows out of none, and planning one for nothing costs more than all else.
            return Ok(Vec::new());
        }
        let clock = plan.uses_clock.then_some(self.input.clock_micros);
        let physical = station::timed(Station::Plan, physical_plan(self.session, &plan.plan, clock)).await?;
        let rows = station::timed(Station::Query, collect_in_order(physical, &self.session.task_ctx())).await?;
        let rows = rows
            .into_iter()
            .filter(|batch| batch.num_rows() > 0)
            .map(|batch| in_shape(&batch, &plan.schema))
            .collect::<Result<Vec<_>, _>>()?;
        if plan.counts_filtered {
            self.fates.filtered += rows_in - count(&rows);
        }
        Ok(rows)
    }

    /// Takes the late rows out.
    fn split_late(&mut self, rows: Vec<RecordBatch>) -> Result<Vec<Chosen>, EngineError> {
        let mut in_time = Vec::with_capacity(rows.len());
        for batch in rows {
            let verdicts = batch
                .column_by_name(LATE)
                .and_then(|c| c.as_any().downcast_ref::<UInt8Array>())
                .ok_or_else(|| EngineError::Bug("late rows are looked for where no watermark judged".to_owned()))?;
            let of = |lateness: Lateness| {
                let verdict = |row| verdicts.is_valid(row) && verdicts.value(row) == lateness as u8;
                BooleanBuffer::collect_bool(verdicts.len(), verdict)
            };
            let chosen = Chosen::new(batch.clone(), of(Lateness::InTime));
            let count = batch.num_rows() - chosen.count();
            if count > 0 {
                self.fates.late += count as u64;
                self.fates.late_clause += of(Lateness::Clause).count_set_bits() as u64;
                let late = Chosen::new(batch.clone(), !&of(Lateness::InTime));
                self.late.push(late.into_rows()?);
            }
            if chosen.count() > 0 {
                in_time.push(chosen);
            }
        }
        Ok(in_time)
    }

    /// Lets an operator take `rows`, then close what the watermark after this batch closes.
    pub(super) async fn operate(
        &mut self,
        run: &mut RunOperator,
        rows: &[RecordBatch],
    ) -> Result<Vec<RecordBatch>, EngineError> {
        self.operate_on_chosen(run, chosen::whole(rows.to_vec())).await
    }

    /// The same, of rows among others.
    pub(super) async fn operate_on_chosen(
        &mut self,
        run: &mut RunOperator,
        rows: Vec<Chosen>,
    ) -> Result<Vec<RecordBatch>, EngineError> {
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
        rows: Vec<Chosen>,
    ) -> Result<(Vec<RecordBatch>, Closed), EngineError> {
        let kind = match run.kind {
            OperatorKind::Dedup => Station::Dedup,
            OperatorKind::WindowAggregate => Station::Aggregate,
        };
        let started = self.clock.monotonic();
        // An operator may have done all its work before the future that it gives is awaited.
        let processed = station::timed(kind, async { run.operator.process_chosen(rows).await }).await?;
        run.updates = self.clock.monotonic().saturating_sub(started);
        self.fates.absorbed += processed.absorbed;
        self.fates.duplicate += processed.duplicate;
        self.fates.filtered += processed.filtered_null_event_time + processed.filtered_without_window;
        self.fates.filtered_null_event_time += processed.filtered_null_event_time;
        let held = run.operator.rows();
        let started = self.clock.monotonic();
        let closed = match lowest(self.clauses, &run.clauses) {
            Some(w) => station::timed(kind, async { run.operator.close_rows(w).await }).await?,
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
) -> Result<Arc<dyn ExecutionPlan>, EngineError> {
    let planner = session.query_planner();
    let Some(clock_micros) = clock_micros else { return Ok(planner.create_physical_plan(plan, session).await?) };
    let bound = session.optimize(&bind_clock(plan.clone(), clock_micros)?)?;
    Ok(planner.create_physical_plan(&bound, session).await?)
}

/// The columns of `schema` from `batch`, by name, under `schema`.
fn in_shape(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, EngineError> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let columns = schema.fields().iter().map(|field| column_of(batch, field.name())).collect::<Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

fn column_of(batch: &RecordBatch, name: &str) -> Result<arrow::array::ArrayRef, EngineError> {
    batch.column_by_name(name).cloned().ok_or_else(|| EngineError::Bug(format!("rows without a column `{name}`")))
}

/// The number of rows in `batches`.
pub(super) fn count(batches: &[RecordBatch]) -> u64 {
    batches.iter().map(|b| b.num_rows() as u64).sum()
}
