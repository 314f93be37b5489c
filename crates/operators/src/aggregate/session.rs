//! `GROUP BY session_window(time, gap), keys`: any DataFusion aggregate over sessions.
//!
//! A row is a session from its event time to its end, a gap later; sessions of equal keys that overlap or touch are one, from the
//! first start to the last end. State is **fragments**: what rows of one batch make, with DataFusion's partial-aggregate columns. As for
//! [windows](super), a batch never looks a key up, but adds a run of fragments in the order of (keys, start):
//!
//! ```text
//! process   rows ──> sort by (keys, time), put together ──> Partial by (keys, start) ──> a run
//! settle    many runs ──> merge in the order of (keys, start), put together ──> PartialReduce ──> one run
//! close(W)  all runs ──> the same ──> those that end in (last W, W] ──> Final ──> rows
//! ```
//!
//! **Closing.** A row that is not late comes after the watermark, and so after the end of every session that is closed: what a session is
//! does not depend on where batches were cut. A close would have to look through all runs; instead it finds, each time that it does so,
//! all sessions that end a little later as well, and lets the next closes take from these. A fragment that comes takes out
//! what it touches; a merge takes out all, for what a state is to the last bit depends on the tree of merges. So what a close gives follows
//! from the state and the watermarks alone.
//!
//! **Order.** Rows of one batch reach the aggregates in the order of their event times, the fragments of a session in the order of their
//! starts. Output rows are in the order of (keys, start), ascending, NULL first.
//!
//! **State format.** One row a fragment: `g0`.. the keys, then its start, `a<i>_s<j>` the state columns of aggregate i, the last of which
//! is the fragment's end, and `since`: NULL in a run that was merged, else the watermark up to which sessions were closed when the
//! rows came, the least number if none was. Runs are merged when their number and sizes say so, which a restored operator does at
//! the same places: it knows from `since` what was over then. A merge leaves out what is over; a session that has been given stays
//! in the runs until then.
//!
//! **Segments** hold fragments without `since`. A fold merges what is in memory with those stored runs that are not larger, and leaves out
//! what is over if it merges all.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::execution::SessionState;
use datafusion::logical_expr::Expr;
use futures::{StreamExt, TryStreamExt};
use sluicebox_core::provenance;
use sluicebox_pipeline::bind::with_computed;
use sluicebox_pipeline::graph::{AggregateNode, Assigner, SessionEnd};

use super::emit::Output;
use super::plans::Plans;
use super::run::Run;
use super::stored::{self, Stored};
use super::{SMALL, sort};
use crate::error::{Error, Result};
use crate::operator::{Closed, Operator, Processed, RowStream, State, Step};
use crate::order::in_offset_order;
use crate::segment::{Segment, Work};

mod chain;
mod due;
mod fold;
mod held;

pub(super) use chain::Chain;
use chain::{Keys, ends, starts};
use due::{Due, some};
use held::{Held, Origin, Part};

/// So many sessions are given at once, at most, and so many that end soon are held beside the state: whether a close is streamed does not
/// depend on where it takes its rows from.
const AT_ONCE: usize = 1 << 19;

/// So many sessions that end soon may be held however little memory there is.
const LEAST: usize = 1 << 10;

/// How far ahead sessions are looked for, where no gap has been seen: a minute.
const AHEAD: i64 = 60_000_000;

/// The operator. See the module's page.
#[derive(Debug)]
pub struct SessionAggregate {
    id: String,
    end: SessionEnd,
    /// What the end of a row's own session is, in words.
    end_words: String,
    plans: Arc<Plans>,
    output: Arc<Output>,
    /// Where the event time stands among the input's columns, and the end of a row's own session, if it is one.
    event_time: usize,
    end_column: Option<usize>,
    held: Held,
    due: Due,
    /// How long rows last, on an average of those that came last.
    typical: Option<i64>,
    /// The watermark of the last `close`: sessions that end at or before it have been given.
    closed: Option<i64>,
    /// The run of this batch, until `delta` takes it.
    gained: Option<RecordBatch>,
    /// [`AT_ONCE`], but for tests.
    at_once: usize,
    /// So many sessions that end soon are held, at most: fewer when there was no memory for them.
    ahead: usize,
}

impl SessionAggregate {
    /// The operator of `node`, with no row in it; see [`super::WindowAggregate::try_new`].
    ///
    /// # Errors
    /// As there.
    pub fn try_new(node: &AggregateNode, session: &SessionState) -> Result<Self> {
        let wrong = |detail: String| Error::Input { operator: node.id.clone(), detail };
        let Assigner::Session(end) = node.window.assigner else {
            return Err(wrong("its windows are no sessions".to_owned()));
        };
        let input = node.input_schema.as_arrow();
        let event_time = input.index_of(provenance::EVENT_TIME);
        let event_time =
            event_time.map_err(|_| wrong(format!("its input has no column {}", provenance::EVENT_TIME)))?;
        let end_column = match (end, node.session_end()) {
            (SessionEnd::After(_), _) => None,
            (SessionEnd::InColumn, Some(value)) => {
                let column = with_computed(value.clone(), &node.computed);
                let column = column.map_err(Error::datafusion(&node.id, "find the end of sessions"))?;
                let found = match &column {
                    Expr::Column(column) => input.index_of(&column.name).ok(),
                    _ => None,
                };
                Some(found.ok_or_else(|| wrong("its input has no column with the end of sessions".to_owned()))?)
            }
            (SessionEnd::InColumn, None) => return Err(wrong("nothing says where its sessions end".to_owned())),
        };
        let plans = Arc::new(Plans::try_new(node, session)?);
        let output = Arc::new(Output::try_new(node)?);
        let columns = plans.key_columns();
        let types: Vec<DataType> =
            plans.state_schema().fields().iter().take(columns).map(|f| f.data_type().clone()).collect();
        Ok(Self {
            id: node.id.clone(),
            end,
            end_words: match end {
                SessionEnd::After(gap) => format!("{gap} us after it"),
                SessionEnd::InColumn => node.session_end().map(ToString::to_string).unwrap_or_default(),
            },
            plans,
            output,
            event_time,
            end_column,
            held: Held::default(),
            due: Due::new(Keys::try_new(&types)?),
            typical: None,
            closed: None,
            gained: None,
            at_once: AT_ONCE,
            ahead: AT_ONCE,
        })
    }

    /// The same, in steps of few rows.
    #[cfg(test)]
    pub(super) fn in_small_steps(mut self, session: &SessionState) -> Self {
        (self.at_once, self.ahead) = (3, 3);
        if let Some(plans) = Arc::get_mut(&mut self.plans) {
            plans.set_batch_rows(3, session);
        }
        self
    }

    /// Takes the rows of one batch that are not late: call it once a batch.
    ///
    /// # Errors
    /// As [`super::WindowAggregate::process`].
    pub async fn process(&mut self, rows: &[RecordBatch]) -> Result<Processed> {
        if self.gained.is_some() {
            let detail = "a second call for one batch: its rows could not be told apart in the state".to_owned();
            return Err(Error::Input { operator: self.id.clone(), detail });
        }
        self.settle().await?;
        let mut processed = Processed::default();
        let mut raw = Vec::with_capacity(rows.len());
        for batch in &in_offset_order(rows.to_vec())? {
            let (rows, nulls) = (batch.num_rows() as u64, self.times(batch, self.event_time)?.null_count() as u64);
            let batch = self.with_sessions(batch)?;
            let absorbed = batch.num_rows() as u64;
            processed.absorbed += absorbed;
            processed.filtered_null_event_time += nulls;
            processed.filtered_without_window += rows - absorbed - nulls;
            if absorbed > 0 {
                raw.push(batch);
            }
        }
        if let Some(first) = raw.first() {
            let raw = concat_batches(&first.schema(), &raw).map_err(Error::arrow("put rows together"))?;
            if let Some(run) = self.plans.partial(&[self.joined(&raw)?]).await? {
                self.refuse_closed(&run)?;
                self.due.touch(&run)?;
                self.gained = Some(self.with_since(&run, Origin::Batch(self.closed))?);
                self.held.arrive(Part::in_memory(vec![run], Origin::Batch(self.closed)));
            }
        }
        self.settle().await?;
        Ok(processed)
    }

    /// Closes the sessions that end at or before `watermark` and gives their rows, see the module's page for the order.
    ///
    /// # Errors
    /// As [`super::WindowAggregate::close`].
    pub async fn close(&mut self, watermark: i64) -> Result<Vec<RecordBatch>> {
        match self.close_rows(watermark).await? {
            Closed::Rows(rows) => Ok(rows),
            Closed::Stream(rows) => rows.try_collect().await,
        }
    }

    /// As [`SessionAggregate::close`]; many rows are made as they are asked for.
    ///
    /// # Errors
    /// As there; some come with the rows.
    pub async fn close_rows(&mut self, watermark: i64) -> Result<Closed> {
        if self.closed.is_some_and(|closed| watermark <= closed) {
            return Ok(Closed::Rows(Vec::new()));
        }
        self.settle().await?;
        let closed = if self.held.is_over(self.closed) {
            Closed::Rows(Vec::new())
        } else if self.due.knows(watermark) {
            let ended = self.due.take(watermark)?;
            Closed::Rows(finished(&self.plans, &self.output, &ended).await?)
        } else {
            self.look_through(watermark).await?
        };
        self.closed = Some(watermark);
        self.held.forget(watermark);
        Ok(closed)
    }

    /// Looks through all runs for the sessions that end in (last close, `watermark`], whose rows it gives, and for those that end soon after.
    async fn look_through(&mut self, watermark: i64) -> Result<Closed> {
        let ahead = self.typical.map_or(AHEAD, |gap| (gap / 4).max(1));
        let mut horizon = watermark.saturating_add(ahead);
        let (mut ended, mut soon) = (Vec::new(), Vec::new());
        let (mut ended_rows, mut soon_rows) = (0, 0);
        let mut sessions = self.plans.sessions(self.held.runs())?;
        while let Some(rows) = sessions.next().await {
            let rows = rows.map_err(Error::datafusion(&self.id, "put sessions together"))?;
            let rows = self.plans.positional(&rows)?;
            let now = ending(&rows, self.closed, watermark);
            ended_rows += now.len();
            if ended_rows <= self.at_once {
                ended.extend(some(&rows, &now)?);
            }
            let later = ending(&rows, Some(watermark), horizon);
            soon_rows += later.len();
            soon.extend(some(&rows, &later)?);
            if soon_rows > self.ahead {
                (soon, horizon) = nearer(&soon, watermark)?;
                soon_rows = soon.iter().map(RecordBatch::num_rows).sum();
            }
        }
        self.due.fill(soon, horizon)?;
        if ended_rows <= self.at_once {
            return Ok(Closed::Rows(finished(&self.plans, &self.output, &ended).await?));
        }
        self.ended_stream(watermark).map(Closed::Stream)
    }

    /// The rows of the sessions that end in (last close, `watermark`], as they are asked for.
    fn ended_stream(&self, watermark: i64) -> Result<RowStream> {
        let (plans, output, id, closed) =
            (Arc::clone(&self.plans), Arc::clone(&self.output), self.id.clone(), self.closed);
        let sessions = self.plans.sessions(self.held.runs())?;
        let rows = sessions.then(move |rows| {
            let (plans, output) = (Arc::clone(&plans), Arc::clone(&output));
            let rows = rows.map_err(Error::datafusion(&id, "put sessions together"));
            async move {
                let rows = plans.positional(&rows?)?;
                let ended = some(&rows, &ending(&rows, closed, watermark))?;
                finished(&plans, &output, ended.as_slice()).await
            }
        });
        let rows = rows.map_ok(|rows| futures::stream::iter(rows.into_iter().map(Ok::<_, Error>))).try_flatten();
        Ok(Box::pin(rows))
    }

    /// Looks at the runs that have come, one by one, and merges where that is due.
    async fn settle(&mut self) -> Result<()> {
        while let Some(origin) = self.held.look_at_next() {
            if let Origin::Batch(closed) = origin
                && let Some(parts) = self.held.take_many()
            {
                // What else is stored may go on with a session that seems to be over.
                let over = if self.held.has_stored() { None } else { closed };
                let runs: Vec<Run> = parts.into_iter().map(|part| part.run).collect();
                let mut merged = Vec::new();
                let mut sessions = self.plans.sessions(runs)?;
                while let Some(rows) = sessions.next().await {
                    let rows = rows.map_err(Error::datafusion(&self.id, "put sessions together"))?;
                    let rows = self.plans.positional(&rows)?;
                    merged.extend(some(&rows, &ending(&rows, over, i64::MAX))?);
                }
                self.held.put(Part::in_memory(merged, Origin::Merged));
                self.due.clear();
            }
        }
        if let Some(closed) = self.closed {
            self.held.forget(closed);
        }
        Ok(())
    }

    fn times<'a>(&self, batch: &'a RecordBatch, at: usize) -> Result<&'a TimestampMicrosecondArray> {
        let column = batch.columns().get(at).and_then(|column| column.as_primitive_opt());
        column.ok_or_else(|| Error::Input {
            operator: self.id.clone(),
            detail: format!("rows whose column {at} is no time in microseconds"),
        })
    }

    /// The rows that are sessions, with start and end as the last columns.
    fn with_sessions(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let times = self.times(batch, self.event_time)?;
        let ends: Int64Array = match (self.end, self.end_column) {
            (SessionEnd::After(gap), _) => times.iter().map(|time| time?.checked_add(gap)).collect(),
            (SessionEnd::InColumn, at) => {
                let ends = self.times(batch, at.unwrap_or(self.event_time))?;
                times.iter().zip(ends).map(|(time, end)| end.filter(|end| Some(*end) > time)).collect()
            }
        };
        let starts: Int64Array = times.iter().zip(&ends).map(|(time, end)| end.and(time)).collect();
        let gaps = starts.iter().zip(&ends).filter_map(|(start, end)| end?.checked_sub(start?));
        let (sum, rows) = gaps.fold((0_i128, 0_i128), |(sum, rows), gap| (sum + i128::from(gap), rows + 1));
        if rows > 0 {
            self.typical = i64::try_from(sum / rows).ok();
        }
        let keep = starts.nulls().map(|nulls| BooleanArray::new(nulls.inner().clone(), None));
        let mut columns = batch.columns().to_vec();
        columns.extend([Arc::new(starts) as ArrayRef, Arc::new(ends)]);
        let batch = self.plans.raw(columns)?;
        match keep.filter(|keep| keep.has_false()) {
            None => Ok(batch),
            Some(keep) => filter_record_batch(&batch, &keep).map_err(Error::arrow("leave out rows without a session")),
        }
    }

    /// The rows of a batch in the order of (keys, time), with the start of the session that they make.
    fn joined(&self, raw: &RecordBatch) -> Result<RecordBatch> {
        let at = raw.num_columns() - 2;
        let mut order = self.plans.keys(raw)?;
        order.push(Arc::clone(raw.column(at)));
        let order = sort::order(&order, |_| sort::ORDER)?;
        let raw = sort::copy(raw, &order.indices)?;
        let keys = self.plans.keys(&raw)?;
        let types: Vec<DataType> = keys.iter().map(|key| key.data_type().clone()).collect();
        let starts = Chain::try_new(&types)?.starts(&keys, starts(&raw, at), ends(&raw))?;
        let mut columns = raw.columns().to_vec();
        columns[at] = Arc::new(starts);
        self.plans.raw(columns)
    }

    /// A session that ends at or before the last close would have been given.
    fn refuse_closed(&self, run: &RecordBatch) -> Result<()> {
        let Some(watermark) = self.closed else { return Ok(()) };
        let starts = starts(run, self.plans.key_columns());
        let mut late = ends(run).values().iter().zip(starts.values().iter()).filter(|(end, _)| **end <= watermark);
        match late.next() {
            Some((_, &pane)) => Err(Error::ClosedWindow { operator: self.id.clone(), pane, watermark }),
            None => Ok(()),
        }
    }

    /// State rows with the column `since`.
    fn with_since(&self, rows: &RecordBatch, origin: Origin) -> Result<RecordBatch> {
        let since = match origin {
            Origin::Merged => None,
            Origin::Batch(closed) => Some(closed.unwrap_or(i64::MIN)),
        };
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(std::iter::repeat_n(since, rows.num_rows()).collect::<Int64Array>()));
        RecordBatch::try_new(self.state_schema(), columns).map_err(Error::arrow("say since when rows are there"))
    }

    /// State rows as they were written, without the column `since`, and what it says.
    fn without_since(&self, rows: &RecordBatch) -> Result<(RecordBatch, Origin)> {
        let wrong = |detail: String| Error::StateShape { operator: self.id.clone(), detail };
        let (has, needs) = (rows.num_columns(), self.state_schema().fields().len());
        if has != needs {
            return Err(wrong(format!("it has {has} columns where the query needs {needs}")));
        }
        let since: Option<&Int64Array> = rows.column(has - 1).as_primitive_opt();
        let since = since.ok_or_else(|| wrong("it does not say since when rows are there".to_owned()))?;
        let origin = match since.iter().next().flatten() {
            None => Origin::Merged,
            Some(closed) => Origin::Batch((closed != i64::MIN).then_some(closed)),
        };
        let columns: Vec<usize> = (0..has - 1).collect();
        let rows = rows.project(&columns).map_err(Error::arrow("take state rows"))?;
        Ok((self.plans.adopt(&rows)?, origin))
    }
}

/// The rows of `rows` that end after `after` and at or before `until`.
fn ending(rows: &RecordBatch, after: Option<i64>, until: i64) -> Vec<u32> {
    let within = |end: &i64| *end <= until && after.is_none_or(|after| *end > after);
    let ends = ends(rows).values().iter().enumerate();
    ends.filter(|(_, end)| within(end)).map(|(at, _)| at as u32).collect()
}

/// About the half of the rows of `soon` that ends first, and a horizon that they all reach; all end after `watermark`.
fn nearer(soon: &[RecordBatch], watermark: i64) -> Result<(Vec<RecordBatch>, i64)> {
    let mut all: Vec<i64> = soon.iter().flat_map(|rows| ends(rows).values().iter().copied()).collect();
    let middle = all.len() / 2;
    let (_, horizon, _) = all.select_nth_unstable(middle);
    // Those that end with the middle one may be most of them.
    let horizon = (*horizon - 1).max(watermark);
    let kept = soon.iter().map(|rows| some(rows, &ending(rows, None, horizon)));
    Ok((kept.filter_map(Result::transpose).collect::<Result<_>>()?, horizon))
}

/// The output rows of sessions that have ended.
async fn finished(plans: &Plans, output: &Output, ended: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
    if ended.is_empty() {
        return Ok(Vec::new());
    }
    let named = ended.iter().map(|rows| plans.named(rows.columns().to_vec())).collect::<Result<Vec<_>>>()?;
    let Some(groups) = plans.finish(&named).await? else { return Ok(Vec::new()) };
    let keys = plans.key_columns();
    let (starts, ends) = (starts(&groups, keys), ends(&groups));
    let values = &groups.columns()[keys + 1..groups.num_columns() - 1];
    Ok(vec![output.laid_out(starts.values(), ends.values(), &groups.columns()[..keys], values)?])
}

impl State for SessionAggregate {
    fn id(&self) -> &str {
        &self.id
    }

    fn state_schema(&self) -> SchemaRef {
        let state = self.plans.state_schema();
        let since = Arc::new(Field::new("since", DataType::Int64, true));
        Arc::new(Schema::new(state.fields().iter().cloned().chain([since]).collect::<Vec<_>>()))
    }

    /// The fragments of the batch.
    fn delta(&mut self) -> Result<Option<RecordBatch>> {
        Ok(self.gained.take())
    }

    /// Each run in memory as one batch.
    fn snapshot(&self) -> Result<Vec<RecordBatch>> {
        if self.held.is_over(self.closed) {
            return Ok(Vec::new());
        }
        let schema = self.plans.state_schema();
        let whole = |part: &Part| {
            let rows = part.run.batches().collect::<Result<Vec<_>>>()?;
            let rows = concat_batches(&schema, &rows).map_err(Error::arrow("put state rows together"))?;
            self.with_since(&rows, part.origin)
        };
        self.held.in_memory().map(whole).collect()
    }

    fn restore(&mut self, batches: Vec<RecordBatch>, watermark: Option<i64>) -> Result<()> {
        self.held = Held::default();
        self.due.clear();
        self.gained = None;
        self.closed = watermark;
        for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
            let (rows, origin) = self.without_since(batch)?;
            self.held.arrive(Part::in_memory(vec![rows], origin));
        }
        Ok(())
    }

    /// Once there are any, or the state is large: a small one is better off in one file that is read at the start.
    fn has_segments(&self) -> bool {
        self.held.has_segments() || self.held.bytes() > SMALL
    }

    fn attach(&mut self, segments: Vec<Segment>) -> Result<()> {
        for segment in segments {
            self.held.attach(&Stored::open(&self.id, segment, &self.plans.state_schema())?);
        }
        Ok(())
    }

    fn foldable_bytes(&self) -> usize {
        if stored::unfit(&self.plans.state_schema()).is_some() { 0 } else { self.held.bytes() }
    }

    /// Everything in memory, together with the stored runs that are not larger, as one run.
    fn fold(&mut self) -> Result<Option<Work>> {
        if self.held.in_memory().next().is_none() {
            return Ok(None);
        }
        let keep = self.held.keep();
        let over = if keep == 0 { self.closed } else { None };
        let content = fold::Content::new(Arc::clone(&self.plans), &self.id, self.held.runs_from(keep), keep, over);
        Ok(Some(Work { replaces: Vec::new(), content: Box::new(content), wait: true }))
    }

    fn adopt(&mut self, segment: Option<Segment>, _: &[String]) -> Result<()> {
        self.held.forget_memory();
        self.due.clear();
        if segment.is_none() {
            self.held.forget_stored();
        }
        self.attach(segment.into_iter().collect())
    }

    fn release(&mut self) -> Vec<String> {
        self.held.release()
    }

    /// Forgets what ends soon, and looks less far ahead from now on.
    fn evict(&mut self) {
        if let Some(rows) = self.due.rows() {
            self.ahead = self.ahead.min((rows / 2).max(LEAST));
        }
        self.due.clear();
    }

    fn fingerprint(&self) -> String {
        format!("session aggregate v1; a row is a session until {}; {}", self.end_words, self.plans.fingerprint())
    }

    fn memory_bytes(&self) -> usize {
        self.held.bytes() + self.due.bytes() + self.gained.as_ref().map_or(0, RecordBatch::get_array_memory_size)
    }

    fn rows(&self) -> u64 {
        if self.held.is_over(self.closed) { 0 } else { self.held.rows() }
    }
}

impl Operator for SessionAggregate {
    fn process<'a>(&'a mut self, rows: &'a [RecordBatch]) -> Step<'a, Processed> {
        Box::pin(Self::process(self, rows))
    }

    fn close(&mut self, watermark: i64) -> Step<'_, Vec<RecordBatch>> {
        Box::pin(Self::close(self, watermark))
    }

    fn close_rows(&mut self, watermark: i64) -> Step<'_, Closed> {
        Box::pin(Self::close_rows(self, watermark))
    }

    /// No session ends before the first end of a fragment that has not been given. Of stored ones that is not known.
    fn next_close(&self) -> Option<i64> {
        if self.held.is_over(self.closed) {
            return None;
        }
        if self.held.has_stored() {
            return Some(self.closed.map_or(i64::MIN, |closed| closed.saturating_add(1)));
        }
        let ends = self.held.in_memory().flat_map(|part| part.run.batches()).flatten();
        let first = |rows: RecordBatch| {
            let open = ends_of(&rows).filter(|end| self.closed.is_none_or(|closed| *end > closed));
            open.min()
        };
        ends.filter_map(first).min()
    }
}

fn ends_of(rows: &RecordBatch) -> impl Iterator<Item = i64> + '_ {
    ends(rows).values().iter().copied()
}
