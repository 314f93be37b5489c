//! `GROUP BY window(...), keys`: any DataFusion aggregate over windows of event time.
//!
//! State is rows of group keys and DataFusion's own partial-aggregate columns, by **pane**: a stretch of event time of
//! length gcd(size, slide) into which all windows can be cut. A tumbling window is one pane. A batch's step is made of
//! stock DataFusion operators:
//!
//! ```text
//! process   rows ──> pane of each row ──> Partial by (pane, keys) ──> sort ──> a run for each pane touched
//! settle    a pane with many runs, or complete ──> PartialReduce ──> fewer runs
//! close(W)  panes of the windows that end in (last W, W] ──> Final by (window, keys) ──> sort ──> rows
//! ```
//!
//! So a row is aggregated into one pane however many windows hold it, a batch costs what it touched and not what is held,
//! and a window that no row fell into does not exist.
//!
//! **Order.** Rows reach Partial in (partition, offset) order, runs of a pane are merged in batch order, panes of a window
//! in time order. An aggregate with ORDER BY sorts for itself; one that depends on the order of its input without saying which
//! (`array_agg(x)`, `first_value(x)`) sees that one: as rows came if the window is one pane. Output rows are in the order of
//! (window start, keys), ascending, NULL first.
//!
//! **State format.** One row a (pane, group): `g0` the pane's start in microseconds, `g1`.. the other group keys, `a<i>_s<j>`
//! the state columns of aggregate i, by position since DataFusion's own names are not unique. Each batch of rows has any
//! pane at most once, panes ascending. When runs are reduced is a function of the runs and the watermark alone, so that a restored operator
//! reduces as the other did and floating-point sums come out the same to the last bit.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::SchemaRef;
use datafusion::execution::SessionState;
use sluicebox_core::provenance;
use sluicebox_pipeline::graph::AggregateNode;

use crate::error::{Error, Result};
use crate::operator::{Operator, Processed, State, Step};
use crate::order::in_offset_order;

mod emit;
mod pane;
mod plans;
mod runs;
mod sort;
#[cfg(test)]
mod tests;

use emit::Output;
use pane::Panes;
use plans::Plans;
use runs::Runs;

/// State rows that one plan takes at most, unless a single window has more: bounds what closing many windows at once
/// needs beside the state.
const ROWS_AT_ONCE: usize = 1 << 18;

/// The operator. See the module's page.
#[derive(Debug)]
pub struct WindowAggregate {
    id: String,
    panes: Panes,
    plans: Plans,
    output: Output,
    /// Where the event time stands among the input's columns.
    event_time: usize,
    runs: Runs,
    /// The watermark of the last `close`: windows that end at or before it have been given.
    closed: Option<i64>,
    /// The run of this batch, until `delta` takes it.
    gained: Option<RecordBatch>,
}

impl WindowAggregate {
    /// The operator of `node`, with no row in it. Functions are looked up, expressions simplified and plans run with
    /// what `session` has: its configuration, execution time, runtime and memory pool.
    ///
    /// # Errors
    /// [`Error::DataFusion`] when an expression cannot be planned, [`Error::Unsupported`] and [`Error::KeyType`] for what
    /// cannot be held as state, [`Error::Input`] when the node does not hang together.
    pub fn try_new(node: &AggregateNode, session: &SessionState) -> Result<Self> {
        let panes =
            Panes::try_new(&node.window).map_err(|what| Error::Unsupported { operator: node.id.clone(), what })?;
        let plans = Plans::try_new(node, session)?;
        let output = Output::try_new(node)?;
        let event_time = node.input_schema.as_arrow().index_of(provenance::EVENT_TIME);
        let event_time = event_time.map_err(|_| Error::Input {
            operator: node.id.clone(),
            detail: format!("its input has no column {}", provenance::EVENT_TIME),
        })?;
        let runs = Runs::default();
        Ok(Self { id: node.id.clone(), panes, plans, output, event_time, runs, closed: None, gained: None })
    }

    /// Takes the rows of one batch that are not late: call it once a batch. Rows with provenance are taken in
    /// (partition, offset) order, others in theirs.
    ///
    /// # Errors
    /// [`Error::DataFusion`] when an expression fails on a row, [`Error::ClosedWindow`] when a row was late after all,
    /// [`Error::Input`] when it is called again before [`State::delta`] or the rows are not of the promised columns.
    pub async fn process(&mut self, rows: &[RecordBatch]) -> Result<Processed> {
        if self.gained.is_some() {
            let detail = "a second call for one batch: its rows could not be told apart in the state".to_owned();
            return Err(Error::Input { operator: self.id.clone(), detail });
        }
        let mut processed = Processed::default();
        let mut raw = Vec::with_capacity(rows.len());
        for batch in &in_offset_order(rows.to_vec())? {
            let (batch, filtered) = self.with_panes(batch)?;
            processed.absorbed += batch.num_rows() as u64;
            processed.filtered_null_event_time += filtered;
            if batch.num_rows() > 0 {
                raw.push(batch);
            }
        }
        if !raw.is_empty()
            && let Some(run) = self.plans.partial(&raw).await?
        {
            for (pane, rows) in runs::by_pane(&run, &self.id)? {
                self.refuse_closed(pane)?;
                self.runs.arrive(pane, rows);
            }
            self.gained = Some(run);
        }
        self.settle(self.closed).await?;
        Ok(processed)
    }

    /// Closes the windows that end at or before `watermark` and gives their rows, see the module's page for the order.
    ///
    /// # Errors
    /// [`Error::DataFusion`] when an aggregate cannot be finished.
    pub async fn close(&mut self, watermark: i64) -> Result<Vec<RecordBatch>> {
        if self.closed.is_some_and(|closed| watermark <= closed) {
            return Ok(Vec::new());
        }
        self.settle(Some(watermark)).await?;
        let mut rows = Vec::new();
        let mut pending = Vec::new();
        let mut size = 0;
        for start in self.runs.windows_due(&self.panes, self.closed, watermark) {
            let panes = self.runs.range(start..self.panes.end(start));
            for run in panes {
                size += run.num_rows();
                pending.push(emit::at_window(run, start, &self.plans)?);
            }
            if size >= ROWS_AT_ONCE {
                self.finish(&mut pending, &mut rows).await?;
                size = 0;
            }
        }
        self.finish(&mut pending, &mut rows).await?;
        self.runs.drop_closed(&self.panes, watermark);
        self.closed = Some(watermark);
        Ok(rows)
    }

    /// Finishes the windows whose runs are `pending` and appends their rows.
    async fn finish(&self, pending: &mut Vec<RecordBatch>, rows: &mut Vec<RecordBatch>) -> Result<()> {
        if pending.is_empty() {
            return Ok(());
        }
        if let Some(groups) = self.plans.finish(pending).await? {
            rows.push(self.output.rows(&groups, &self.panes)?);
        }
        pending.clear();
        Ok(())
    }

    /// Puts the runs that have arrived behind those that are there, one a pane and round, and reduces as it goes; then
    /// makes each pane that `watermark` has passed one run, if more windows will ask for it.
    async fn settle(&mut self, watermark: Option<i64>) -> Result<()> {
        while let Some(due) = self.runs.next_round() {
            self.reduce(due).await?;
        }
        let complete = watermark.map(|watermark| self.runs.complete(&self.panes, watermark));
        self.reduce(complete.unwrap_or_default()).await
    }

    /// Makes one run of the runs of each of these panes, from the given one on.
    async fn reduce(&mut self, due: Vec<(i64, usize)>) -> Result<()> {
        let mut due = due.into_iter().peekable();
        while due.peek().is_some() {
            let mut taken = Vec::new();
            let mut size = 0;
            while size < ROWS_AT_ONCE
                && let Some((pane, from)) = due.next()
            {
                let runs = self.runs.take_from(pane, from);
                size += runs.iter().map(RecordBatch::num_rows).sum::<usize>();
                taken.extend(runs);
            }
            if let Some(reduced) = self.plans.reduce(&taken).await? {
                for (pane, rows) in runs::by_pane(&reduced, &self.id)? {
                    self.runs.put(pane, rows);
                }
            }
        }
        Ok(())
    }

    /// The rows that have a pane, with its start as the last column, and the number of those that have none.
    fn with_panes(&self, batch: &RecordBatch) -> Result<(RecordBatch, u64)> {
        let column = batch.columns().get(self.event_time);
        let times: Option<&TimestampMicrosecondArray> = column.and_then(|column| column.as_primitive_opt());
        let times = times.ok_or_else(|| Error::Input {
            operator: self.id.clone(),
            detail: format!("rows without the column {} of microseconds", provenance::EVENT_TIME),
        })?;
        let panes = self.panes.of(times);
        let mut columns = batch.columns().to_vec();
        let filtered = panes.null_count();
        columns.push(Arc::new(panes) as ArrayRef);
        let batch = self.plans.raw(columns)?;
        if filtered == 0 {
            return Ok((batch, 0));
        }
        let panes: &Int64Array = batch.column(batch.num_columns() - 1).as_primitive();
        let keep = panes.nulls().map(|nulls| BooleanArray::new(nulls.inner().clone(), None));
        let keep = keep.unwrap_or_else(|| BooleanArray::from(vec![true; batch.num_rows()]));
        let kept = filter_record_batch(&batch, &keep).map_err(Error::arrow("leave out rows without event time"))?;
        Ok((kept, filtered as u64))
    }

    /// Every row of the pane is behind the watermark that was closed at, if the pane ends at or before it.
    fn refuse_closed(&self, pane: i64) -> Result<()> {
        match self.closed {
            Some(watermark) if self.panes.pane_end(pane) <= watermark => {
                Err(Error::ClosedWindow { operator: self.id.clone(), pane, watermark })
            }
            _ => Ok(()),
        }
    }
}

impl State for WindowAggregate {
    fn id(&self) -> &str {
        &self.id
    }

    fn state_schema(&self) -> SchemaRef {
        self.plans.state_schema()
    }

    /// The batch's rows, aggregated by pane and keys.
    fn delta(&mut self) -> Result<Option<RecordBatch>> {
        Ok(self.gained.take())
    }

    /// The first run of every pane, then the second of every pane that has one, and so on; each in batches of bounded size.
    fn snapshot(&self) -> Result<Vec<RecordBatch>> {
        let schema = self.state_schema();
        let together =
            |runs: Vec<&RecordBatch>| concat_batches(&schema, runs).map_err(Error::arrow("put state rows together"));
        self.runs.levels(ROWS_AT_ONCE).into_iter().map(together).collect()
    }

    fn restore(&mut self, batches: Vec<RecordBatch>, watermark: Option<i64>) -> Result<()> {
        self.runs = Runs::default();
        self.gained = None;
        self.closed = watermark;
        for batch in batches {
            let batch = self.plans.adopt(&batch)?;
            for (pane, rows) in runs::by_pane(&batch, &self.id)? {
                if watermark.is_none_or(|watermark| self.panes.last_end(pane) > watermark) {
                    self.runs.arrive(pane, rows);
                }
            }
        }
        Ok(())
    }

    fn fingerprint(&self) -> String {
        format!("window aggregate v1; {}; {}", self.panes, self.plans.fingerprint())
    }

    fn memory_bytes(&self) -> usize {
        self.runs.bytes() + self.gained.as_ref().map_or(0, RecordBatch::get_array_memory_size)
    }

    fn rows(&self) -> u64 {
        self.runs.rows()
    }
}

impl Operator for WindowAggregate {
    fn process<'a>(&'a mut self, rows: &'a [RecordBatch]) -> Step<'a, Processed> {
        Box::pin(Self::process(self, rows))
    }

    fn close(&mut self, watermark: i64) -> Step<'_, Vec<RecordBatch>> {
        Box::pin(Self::close(self, watermark))
    }

    fn next_close(&self) -> Option<i64> {
        self.runs.first().map(|pane| self.panes.next_end(pane.max(self.closed.unwrap_or(pane))))
    }
}
