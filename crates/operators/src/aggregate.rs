//! `GROUP BY window(...), keys`: any DataFusion aggregate over windows of event time.
//!
//! State is rows of group keys and DataFusion's own partial-aggregate columns, by **pane**: a stretch of event time of length gcd(size,
//! slide). Every window consists of whole panes. A tumbling window, or one of a time zone, is one pane. The panes of cumulating windows have
//! the length of their step. [`SessionAggregate`] computes sessions, which have no panes. A batch's step runs stock DataFusion operators:
//!
//! ```text
//! process   rows ──> pane of each row ──> Partial by (pane, keys) ──> sort ──> a run for each pane touched
//! settle    a pane with many runs, or complete ──> PartialReduce ──> fewer runs
//! close(W)  panes of the windows that end in (last W, W] ──> Final by (window, keys) ──> sort ──> rows
//! ```
//!
//! So a row is aggregated into one pane, however many windows hold it. A batch costs what it touches, and not what the state holds. A
//! window that no row fell into does not exist.
//!
//! **Order.** Rows reach Partial in (partition, offset) order. Runs of a pane are merged in batch order, and panes of a window in time
//! order. An aggregate with ORDER BY sorts its input itself. One that depends on the order of its input and names none (`array_agg(x)`,
//! `first_value(x)`) sees the order above: that of the rows, if the window is one pane. Output rows are in the order of (window end,
//! keys), ascending, NULL first.
//!
//! **Memory.** Small work is done at once. A pane of many rows is reduced, and a window of many rows closed, as a merge of streams in the
//! order of (pane, keys), in the memory of a few batches a run. The same happens if the session's memory pool has no room for the whole.
//! Only a group that alone is larger than the pool is an error. If the state exceeds its share of memory, `fold` stores all runs in memory
//! in one segment: one run for each pane, merged with its stored runs that are not larger. From then on they are read from the segment,
//! when their window closes or a later fold merges them.
//!
//! **State format.** One row for each (pane, group): `g0` is the pane's start in microseconds, `g1`.. are the other group keys, `a<i>_s<j>`
//! are the state columns of aggregate i, by position, since DataFusion's own names are not unique. Each batch of rows has any pane at most
//! once, panes ascending. The runs and the watermark alone determine when runs are reduced. So a restored operator reduces as the other one
//! did, and floating-point sums are the same to the last bit.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::SchemaRef;
use datafusion::execution::SessionState;
use futures::{StreamExt, TryStreamExt};
use sluicebox_core::provenance;
use sluicebox_pipeline::graph::{AggregateNode, Assigner};

use crate::error::{Error, Result};
use crate::operator::{Closed, Operator, Processed, State, Step};
use crate::order::in_offset_order;
use crate::segment::{Segment, Work};

mod emit;
mod pane;
mod plans;
mod run;
mod runs;
mod session;
mod sort;
mod store;
mod stored;
#[cfg(test)]
mod tests;

use emit::Output;
use pane::Panes;
use plans::{Level, Plans};
use run::Run;
use runs::Runs;
pub use session::SessionAggregate;
use stored::Stored;

/// State rows that are merged in memory at most; more are merged as streams.
const ROWS_AT_ONCE: usize = 1 << 18;

/// Bytes of a state that is written as a whole, as long as nothing of it is in segments.
const SMALL: usize = 8 << 20;

/// The operator of `node`, with no row in it.
///
/// # Errors
/// As [`WindowAggregate::try_new`].
pub fn operator(node: &AggregateNode, session: &SessionState) -> Result<Box<dyn Operator>> {
    let operator: Box<dyn Operator> = match node.window.assigner {
        Assigner::Session(_) => Box::new(SessionAggregate::try_new(node, session)?),
        Assigner::Hopping { .. } | Assigner::Cumulating { .. } | Assigner::Calendar(_) => {
            Box::new(WindowAggregate::try_new(node, session)?)
        }
    };
    Ok(operator)
}

/// The operator of windows that lie where time says. See the module's page.
#[derive(Debug)]
pub struct WindowAggregate {
    id: String,
    panes: Panes,
    plans: Arc<Plans>,
    output: Arc<Output>,
    /// Where the event time stands among the input's columns.
    event_time: usize,
    runs: Runs,
    /// The watermark of the last `close`: windows that end at or before it have been given.
    closed: Option<i64>,
    /// The run of this batch, until `delta` takes it.
    gained: Option<RecordBatch>,
    /// [`ROWS_AT_ONCE`], but for tests.
    rows_at_once: usize,
}

impl WindowAggregate {
    /// The operator of `node`, with no row in it. Functions are looked up, expressions simplified and plans run with
    /// what `session` has: its configuration, execution time, runtime and memory pool.
    ///
    /// # Errors
    /// [`Error::DataFusion`] when an expression cannot be planned, [`Error::Unsupported`] and [`Error::KeyType`] for what
    /// cannot be held as state, [`Error::Input`] when the node does not hang together.
    pub fn try_new(node: &AggregateNode, session: &SessionState) -> Result<Self> {
        let panes = Panes::try_new(node.window.assigner)
            .map_err(|what| Error::Unsupported { operator: node.id.clone(), what })?;
        let plans = Arc::new(Plans::try_new(node, session)?);
        let output = Arc::new(Output::try_new(node)?);
        let event_time = node.input_schema.as_arrow().index_of(provenance::EVENT_TIME);
        let event_time = event_time.map_err(|_| Error::Input {
            operator: node.id.clone(),
            detail: format!("its input has no column {}", provenance::EVENT_TIME),
        })?;
        let runs = Runs::default();
        let (id, rows_at_once) = (node.id.clone(), ROWS_AT_ONCE);
        Ok(Self { id, panes, plans, output, event_time, runs, closed: None, gained: None, rows_at_once })
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
            let (rows, nulls) = (batch.num_rows() as u64, self.event_times(batch)?.null_count() as u64);
            let batch = self.with_panes(batch)?;
            let absorbed = batch.num_rows() as u64;
            processed.absorbed += absorbed;
            processed.filtered_null_event_time += nulls;
            processed.filtered_without_window += rows - absorbed - nulls;
            if batch.num_rows() > 0 {
                raw.push(batch);
            }
        }
        if !raw.is_empty()
            && let Some(run) = self.plans.partial(&raw).await?
        {
            for (pane, rows) in runs::by_pane(&run, &self.id, self.plans.batch_rows())? {
                self.refuse_closed(pane)?;
                self.runs.arrive(pane, Run::in_memory(rows));
            }
            self.gained = Some(run);
        }
        self.settle(self.closed).await?;
        Ok(processed)
    }

    /// Closes the windows that end at or before `watermark` and gives their rows, see the module's page for the order.
    ///
    /// # Errors
    /// [`Error::DataFusion`] when an aggregate cannot be finished, [`Error::Segment`] when stored state cannot be read.
    pub async fn close(&mut self, watermark: i64) -> Result<Vec<RecordBatch>> {
        match self.close_rows(watermark).await? {
            Closed::Rows(rows) => Ok(rows),
            Closed::Stream(rows) => rows.try_collect().await,
        }
    }

    /// As [`WindowAggregate::close`]; the rows of large windows are made as they are asked for.
    ///
    /// # Errors
    /// As there; some come with the rows.
    pub async fn close_rows(&mut self, watermark: i64) -> Result<Closed> {
        if self.closed.is_some_and(|closed| watermark <= closed) {
            return Ok(Closed::Rows(Vec::new()));
        }
        self.settle(Some(watermark)).await?;
        let mut levels = Vec::new();
        for end in self.runs.windows_due(&self.panes, self.closed, watermark) {
            runs::add_levels(&mut levels, self.runs.range(self.panes.start(end)..end), Some(end));
        }
        let finished = if self.is_small(&levels) { unless_too_large(self.finish(&levels).await)? } else { None };
        let closed = if let Some(rows) = finished {
            Closed::Rows(rows)
        } else {
            let (output, panes, id) = (Arc::clone(&self.output), self.panes, self.id.clone());
            let groups = self.plans.finish_stream(levels)?;
            let rows = groups
                .map(move |groups| output.rows(&groups.map_err(Error::datafusion(&id, "finish windows"))?, &panes));
            Closed::Stream(Box::pin(rows))
        };
        self.runs.drop_closed(&self.panes, watermark);
        self.closed = Some(watermark);
        Ok(closed)
    }

    /// Whether `levels` are in memory and few.
    fn is_small(&self, levels: &[Level]) -> bool {
        let runs = || levels.iter().flatten().map(|piece| &piece.run);
        runs().all(|run| run.segment().is_none()) && runs().map(Run::rows).sum::<usize>() <= self.rows_at_once
    }

    /// The rows of the windows that `levels` make up, of which there are few.
    async fn finish(&self, levels: &[Level]) -> Result<Vec<RecordBatch>> {
        let mut rows = Vec::new();
        for piece in levels.iter().flatten() {
            for batch in piece.run.batches() {
                rows.push(emit::at_window(&batch?, piece.window, &self.plans)?);
            }
        }
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let groups = self.plans.finish(&rows).await?;
        groups.map(|groups| self.output.rows(&groups, &self.panes)).into_iter().collect()
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
            let mut levels = Vec::new();
            let mut size = 0;
            while size < self.rows_at_once
                && let Some((pane, from)) = due.next()
            {
                let runs = self.runs.take_from(pane, from);
                size += runs.iter().map(Run::rows).sum::<usize>();
                runs::add_levels(&mut levels, runs.iter(), None);
            }
            let few = if size <= self.rows_at_once { unless_too_large(self.reduce_few(&levels).await)? } else { None };
            let reduced = match few {
                Some(reduced) => reduced,
                None => self.reduce_many(levels).await?,
            };
            for (pane, rows) in reduced {
                self.runs.put(pane, Run::in_memory(rows));
            }
        }
        Ok(())
    }

    async fn reduce_few(&self, levels: &[Level]) -> Result<Vec<(i64, Vec<RecordBatch>)>> {
        let batches = levels.iter().flatten().flat_map(|piece| piece.run.batches());
        match self.plans.reduce(&batches.collect::<Result<Vec<_>>>()?).await? {
            Some(reduced) => runs::by_pane(&reduced, &self.id, self.plans.batch_rows()),
            None => Ok(Vec::new()),
        }
    }

    async fn reduce_many(&self, levels: Vec<Level>) -> Result<Vec<(i64, Vec<RecordBatch>)>> {
        let mut reduced: BTreeMap<i64, Vec<RecordBatch>> = BTreeMap::new();
        let mut batches = self.plans.reduce_stream(levels)?;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(Error::datafusion(&self.id, "reduce state"))?;
            let batch = self.plans.positional(&batch)?;
            for (pane, rows) in runs::by_pane(&batch, &self.id, self.plans.batch_rows())? {
                reduced.entry(pane).or_default().extend(rows);
            }
        }
        Ok(reduced.into_iter().collect())
    }

    fn event_times<'a>(&self, batch: &'a RecordBatch) -> Result<&'a TimestampMicrosecondArray> {
        let column = batch.columns().get(self.event_time);
        column.and_then(|column| column.as_primitive_opt()).ok_or_else(|| Error::Input {
            operator: self.id.clone(),
            detail: format!("rows without the column {} of microseconds", provenance::EVENT_TIME),
        })
    }

    /// The rows that have a pane, with its start as the last column.
    fn with_panes(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let panes = self.panes.of(self.event_times(batch)?);
        let keep = panes.nulls().map(|nulls| BooleanArray::new(nulls.inner().clone(), None));
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(panes) as ArrayRef);
        let batch = self.plans.raw(columns)?;
        match keep.filter(|keep| keep.has_false()) {
            None => Ok(batch),
            Some(keep) => filter_record_batch(&batch, &keep).map_err(Error::arrow("leave out rows without a window")),
        }
    }

    /// Every row of the pane is behind the watermark that was closed at, if the pane ends at or before it.
    fn refuse_closed(&self, pane: i64) -> Result<()> {
        match self.closed {
            Some(watermark) if self.panes.pane_end(pane) <= i128::from(watermark) => {
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
        let together = |runs: Vec<&Run>| {
            let rows = runs.into_iter().flat_map(Run::batches).collect::<Result<Vec<_>>>()?;
            concat_batches(&schema, &rows).map_err(Error::arrow("put state rows together"))
        };
        self.runs.levels(self.rows_at_once).into_iter().map(together).collect()
    }

    fn restore(&mut self, batches: Vec<RecordBatch>, watermark: Option<i64>) -> Result<()> {
        self.runs = Runs::default();
        self.gained = None;
        self.closed = watermark;
        for batch in batches {
            let batch = self.plans.adopt(&batch)?;
            for (pane, rows) in runs::by_pane(&batch, &self.id, self.plans.batch_rows())? {
                if is_open(&self.panes, watermark, pane) {
                    self.runs.arrive(pane, Run::in_memory(rows));
                }
            }
        }
        Ok(())
    }

    /// Once there are any, or the state is large: a small one is better off in one file that is read at the start.
    fn has_segments(&self) -> bool {
        self.runs.has_segments() || self.runs.bytes() > SMALL
    }

    fn attach(&mut self, segments: Vec<Segment>) -> Result<()> {
        for segment in segments {
            let stored = Stored::open(&self.id, segment, &self.state_schema())?;
            let (panes, closed) = (self.panes, self.closed);
            self.runs.attach(&stored, |pane| is_open(&panes, closed, pane));
        }
        Ok(())
    }

    fn foldable_bytes(&self) -> usize {
        if stored::unfit(&self.state_schema()).is_some() { 0 } else { self.runs.bytes() }
    }

    /// Everything in memory, as one run a pane. The operator goes on when it has adopted the segment: what it would
    /// otherwise take in meanwhile had to be told apart.
    fn fold(&mut self) -> Result<Option<Work>> {
        let (levels, keeps) = self.runs.to_store();
        if levels.is_empty() {
            return Ok(None);
        }
        let content = store::Content::new(Arc::clone(&self.plans), &self.id, levels, keeps);
        Ok(Some(Work { replaces: Vec::new(), content: Box::new(content), wait: true }))
    }

    fn adopt(&mut self, segment: Option<Segment>, _: &[String]) -> Result<()> {
        self.runs.forget_memory();
        self.attach(segment.into_iter().collect())
    }

    fn release(&mut self) -> Vec<String> {
        self.runs.release()
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

/// What was done at once; `None` if there is no memory for all groups at once, so that they are to be merged as streams.
fn unless_too_large<T>(done: Result<T>) -> Result<Option<T>> {
    match done {
        Err(error) if error.is_out_of_memory() => Ok(None),
        done => done.map(Some),
    }
}

/// Whether windows that end after `closed` need the pane.
fn is_open(panes: &Panes, closed: Option<i64>, pane: i64) -> bool {
    closed.is_none_or(|watermark| panes.last_end(pane) > i128::from(watermark))
}

impl Operator for WindowAggregate {
    fn process<'a>(&'a mut self, rows: &'a [RecordBatch]) -> Step<'a, Processed> {
        Box::pin(Self::process(self, rows))
    }

    fn close(&mut self, watermark: i64) -> Step<'_, Vec<RecordBatch>> {
        Box::pin(Self::close(self, watermark))
    }

    fn close_rows(&mut self, watermark: i64) -> Step<'_, Closed> {
        Box::pin(Self::close_rows(self, watermark))
    }

    fn next_close(&self) -> Option<i64> {
        self.runs.first().map(|pane| self.panes.next_end(pane.max(self.closed.unwrap_or(pane))))
    }
}
