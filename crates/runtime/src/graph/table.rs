//! Runs one table over one batch: its flows, then its expectations, then its deduplication.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use datafusion::execution::SessionState;
use sluicebox_core::station::{self, Station};
use sluicebox_core::{Fates, masked};
use sluicebox_pipeline::bind::bind_expectation;
use sluicebox_quality::{Errors, Judge, Quarantine};

use super::BatchInput;
use super::compile::{RunTable, Runner, lowest};
use super::flow::{FlowContext, count};
use super::late::LateRows;
use super::sink::{TableOutput, TableSink};
use super::stream::{FlowRows, TableRows};
use crate::RuntimeError;

impl Runner {
    /// Runs every table over one batch, and hands each output to `sink` as soon as it is there, so that files can be
    /// written while the tables below are computed.
    ///
    /// # Errors
    /// When a plan or an operator fails, or `sink` does. The runner is of no use then.
    pub async fn run_batch(
        &mut self,
        input: BatchInput,
        sink: impl FnMut(&TableOutput) -> Result<(), RuntimeError> + Send,
    ) -> Result<Vec<TableOutput>, RuntimeError> {
        self.run_batch_into(input, sink).await
    }

    /// The same, into a sink that may take rows as they are made.
    ///
    /// # Errors
    /// As there.
    pub async fn run_batch_into(
        &mut self,
        mut input: BatchInput,
        mut sink: impl TableSink,
    ) -> Result<Vec<TableOutput>, RuntimeError> {
        let mut rows: BTreeMap<String, Vec<RecordBatch>> = std::mem::take(&mut input.rows);
        let mut outputs = Vec::with_capacity(self.tables.len());
        for at in 0..self.tables.len() {
            sink.ready().await;
            let output = self.run_table(at, &input, &rows, &mut sink).await;
            let mut output = output.map_err(|error| error.of_table(&self.tables[at].name))?;
            sink.table(&output)?;
            if !self.tables[at].alone {
                rows.insert(output.table.clone(), output.rows.clone());
            }
            if sink.lets_go() {
                output.forget_rows();
            }
            outputs.push(output);
        }
        Ok(outputs)
    }

    async fn run_table(
        &mut self,
        at: usize,
        input: &BatchInput,
        rows: &BTreeMap<String, Vec<RecordBatch>>,
        sink: &mut impl TableSink,
    ) -> Result<TableOutput, RuntimeError> {
        let table = &mut self.tables[at];
        let quarantine = Quarantine::new(&table.name, &table.schema, &input.partitions);
        let mut judge =
            judge_of(table, input, &self.session)?.with_samples(self.samples).with_quarantine(quarantine.clone());
        let mut context = FlowContext {
            session: &self.session,
            clock: self.clock.as_ref(),
            input,
            rows,
            clauses: &mut self.clauses,
            fates: Fates::default(),
            out: false,
            late: LateRows::default(),
            future: 0,
            on_error: table.on_error,
            errors: Errors::new(table.on_error, self.samples),
            quarantine,
            quarantined: Vec::new(),
        };
        let mut kept = TableRows::new();
        for flow in &mut table.flows {
            let mut stream = None;
            let mut candidates = if table.alone && flow.dedup.is_none() {
                match context.open(&mut flow.candidates).await? {
                    FlowRows::Rows(rows) => Some(masked::whole(rows)),
                    FlowRows::Stream(mut rows) => {
                        kept.stream_to(sink, &table.name).await?;
                        let first = context.next(&mut flow.candidates, &mut rows).await?;
                        stream = Some(rows);
                        first.map(masked::whole)
                    }
                }
            } else {
                Some(context.candidates(&mut flow.candidates).await?)
            };
            while let Some(rows) = candidates.take() {
                context.fates.rows_out += rows.iter().map(|rows| rows.count() as u64).sum::<u64>();
                context.out = true;
                let rows = context.take_errors(rows)?;
                let judged = station::spend(Station::Judge, || judge.judge(rows))?;
                context.fates.quarantined += count(&judged.quarantined);
                context.fates.dropped += judged.dropped;
                context.quarantined.extend(judged.quarantined);
                match &mut flow.dedup {
                    Some(dedup) => kept.extend(context.operate_on_masked(dedup, judged.kept).await?).await,
                    None => kept.extend(station::spend(Station::Judge, || masked::into_rows(judged.kept))?).await,
                }
                context.out = false;
                if let Some(stream) = &mut stream {
                    candidates = context.next(&mut flow.candidates, stream).await?.map(masked::whole);
                }
            }
        }
        context.fates.written += kept.written;
        output(table, context, kept, judge)
    }
}

/// The judge of `table`'s candidates in one batch.
fn judge_of(table: &RunTable, input: &BatchInput, session: &SessionState) -> Result<Judge, RuntimeError> {
    let bound = table.expectations.iter().map(|e| bind_expectation(e, input.clock_micros));
    let expectations = bound.collect::<Result<Vec<_>, _>>()?;
    Ok(station::spend(Station::Plan, || Judge::try_new(&expectations, table.schema.clone(), session))?)
}

/// What `table` gave, when all its flows have run.
fn output(
    table: &RunTable,
    context: FlowContext<'_>,
    kept: TableRows,
    judge: Judge,
) -> Result<TableOutput, RuntimeError> {
    let verdict = judge.finish();
    Ok(TableOutput {
        table: table.name.clone(),
        late: context.late.finish(&table.late, &context.input.partitions)?,
        quarantined: context.quarantined,
        ledger: table.ledger,
        fates: context.fates,
        event_time: kept.event_time,
        watermark: lowest(context.clauses, &table.clauses),
        future: context.future,
        rows: kept.rows,
        expectations: verdict.results,
        failed: verdict.failed,
        errors: context.errors.finish(),
    })
}
