//! Watermarks: which rows are late, and how far event time has come.
//!
//! # The two questions
//!
//! A [`Watermark`] belongs to one `WATERMARK` clause and answers two questions in each batch, by two different values:
//!
//! - *Is this row late?* It is asked row by row ([`Watermark::judge`]). The answer depends on the row's own partition: the highest event
//!   time before the row, in offset order, less the delay. A row at or before that is late. Offsets are fixed in the log, so the answer
//!   depends neither on how the log is cut into batches nor on which partition is read first.
//! - *What may be closed?* It is asked at a batch's end ([`Watermark::end_batch`]). The answer is W, the lowest of the partitions' marks:
//!   no partition will bring a row at or before it that is not late.
//!
//! So a row that is not late never meets what W has closed. There is one exception: a partition that W did not wait for, because it was
//! idle or new. Its rows at or before W are late too, and counted apart ([`Lateness::Clause`]).
//!
//! # Who holds W
//!
//! | partition | effect on W |
//! |---|---|
//! | has backlog, has event times | W at most its mark |
//! | has backlog, no event time yet | W stays |
//! | at its end, brought event time lately | as if it had backlog |
//! | at its end, silent for the idle timeout (at once when finishing) | idle: none |
//!
//! Silence is time in which the log confirmed that the partition had nothing more. It counts from the last usable event time, and no
//! earlier than from when the partition's end is known without a gap ([`AtEnd::HeardSince`]). Time in which the log could not be asked is
//! no silence.
//!
//! If all are idle, W is the highest of their marks: no partition is left to wait for. W never goes backwards, and is unknown until some
//! partition has brought an event time.
//!
//! # What does not count
//!
//! A NULL event time is never late and moves nothing. Neither does one further ahead of the batch's clock than `max_future`, which is
//! counted: one device with a wrong clock must not make all other rows late.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, TimestampMicrosecondArray, UInt8Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{Field, Schema};
use serde::{Deserialize, Serialize};
use sluicebox_core::PartitionId;
use sluicebox_core::provenance::{self, Lateness};

use crate::error::{Error, Result};

mod columns;
mod decide;
#[cfg(test)]
mod tests;

pub use columns::to_event_time;
pub use decide::{Observed, WatermarkPolicy, advance, holder};

/// The rules of one `WATERMARK` clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClauseConfig {
    /// The clause's id in the pipeline.
    pub id: String,
    /// `DELAY OF`, in microseconds; not negative.
    pub delay_micros: i64,
    /// How long, by the batch's clock, a partition that is at its end may bring no event time before it is idle.
    pub idle_timeout_micros: i64,
    /// How far ahead of the batch's clock an event time may be and still move the watermark.
    pub max_future_micros: i64,
}

/// Whether a partition's range in a batch reached the log's end: under available-now the end taken at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtEnd {
    /// There was no more to read.
    Reached,
    /// There was no more to read. That is known without a gap since this clock alone; before it the log could not be heard.
    HeardSince(i64),
    /// So many offsets were left.
    Backlog(u64),
}

/// What a clause says of the rows of a batch: one entry a row, in the rows' order.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// The event times as `Timestamp(us, UTC)`, see [`to_event_time`].
    pub event_time: ArrayRef,
    /// A [`Lateness`] each.
    pub late: UInt8Array,
    /// How many of what.
    pub counts: Counts,
}

/// Numbers of rows in a [`Judgement`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// At or before their own partition's mark.
    pub late_partition: u64,
    /// Ahead of their partition's mark, at or before W.
    pub late_clause: u64,
    /// Without event time.
    pub null: u64,
    /// Too far ahead of the clock to move anything. They may be late besides.
    pub future: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.late_partition += other.late_partition;
        self.late_clause += other.late_clause;
        self.null += other.null;
        self.future += other.future;
    }
}

/// What a clause remembers between batches; part of a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkState {
    /// W, in microseconds since 1970; none until known.
    pub watermark: Option<i64>,
    /// The partitions, in order.
    pub partitions: Vec<PartitionState>,
}

/// What a clause remembers of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    /// Which one.
    pub partition: PartitionId,
    /// The highest event time so far, in microseconds since 1970, before the delay is taken off.
    pub max_event_time: Option<i64>,
    /// The clock of the batch that brought its last usable event time; while there is none, of the batch that first saw
    /// the partition.
    pub last_brought: i64,
    /// Whether W did not wait for it in the last batch.
    pub idle: bool,
}

/// Why W is where it is, for the live status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explanation {
    /// W.
    pub watermark: Option<i64>,
    /// The partition that W waits for; none when all are idle or there is none.
    pub held_by: Option<Holder>,
}

/// The partition that holds a watermark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Which one.
    pub partition: PartitionId,
    /// Its mark: the highest event time less the delay; none while it has brought no event time.
    pub mark: Option<i64>,
    /// Offsets that it has not been read to, at the end of the last batch.
    pub backlog: u64,
}

/// The watermark of one clause. See the module's page.
#[derive(Debug, Clone)]
pub struct Watermark {
    config: ClauseConfig,
    watermark: Option<i64>,
    partitions: BTreeMap<PartitionId, Mark>,
    held_by: Option<Holder>,
}

/// One partition, see [`PartitionState`].
#[derive(Debug, Clone, Copy)]
struct Mark {
    max: Option<i64>,
    last_brought: i64,
    idle: bool,
    /// The offset of its last row in this batch.
    last_offset: Option<i64>,
}

impl Watermark {
    /// The watermark of a clause that has seen no row.
    #[must_use]
    pub fn new(config: ClauseConfig) -> Self {
        Self::restore(config, WatermarkState::default())
    }

    /// The watermark of a clause as it was when [`Watermark::state`] was taken. `config` may differ from the one then:
    /// W stays, and the new rules hold from the next row on.
    #[must_use]
    pub fn restore(config: ClauseConfig, state: WatermarkState) -> Self {
        let partitions = state.partitions.into_iter().map(|p| {
            (p.partition, Mark { max: p.max_event_time, last_brought: p.last_brought, idle: p.idle, last_offset: None })
        });
        Self { config, watermark: state.watermark, partitions: partitions.collect(), held_by: None }
    }

    /// What to commit.
    #[must_use]
    pub fn state(&self) -> WatermarkState {
        let partitions = self.partitions.iter().map(|(partition, mark)| PartitionState {
            partition: partition.clone(),
            max_event_time: mark.max,
            last_brought: mark.last_brought,
            idle: mark.idle,
        });
        WatermarkState { watermark: self.watermark, partitions: partitions.collect() }
    }

    /// The clause's rules.
    #[must_use]
    pub fn config(&self) -> &ClauseConfig {
        &self.config
    }

    /// W as of the end of the last batch, in microseconds since 1970.
    #[must_use]
    pub fn watermark(&self) -> Option<i64> {
        self.watermark
    }

    /// Why W is where it is, as of the last [`Watermark::end_batch`].
    #[must_use]
    pub fn explain(&self) -> Explanation {
        Explanation { watermark: self.watermark, held_by: self.held_by.clone() }
    }

    /// Judges `rows` and moves their partitions' marks. Call it for all rows that enter the clause, before any filter,
    /// each partition's in offset order (see [`in_offset_order`](crate::in_offset_order)); `event_time` is the clause's column, one value a row, `parts` the batch's
    /// partitions that the rows' `__sb_part` points into, `batch_clock` the batch's clock in microseconds since 1970.
    ///
    /// # Errors
    /// [`Error::EventTimeType`] when the column is no timestamp or date; [`Error::OutOfOrder`] and [`Error::Input`] when
    /// the rows are not as promised.
    pub fn judge(
        &mut self,
        rows: &RecordBatch,
        event_time: &ArrayRef,
        parts: &[PartitionId],
        batch_clock: i64,
    ) -> Result<Judgement> {
        let times = to_event_time(event_time)?;
        let input = columns::Provenance::of(rows, &self.config.id)?;
        if times.len() != rows.num_rows() {
            let detail = format!("{} event times for {} rows", times.len(), rows.num_rows());
            return Err(Error::Input { operator: self.config.id.clone(), detail });
        }
        let mut late = vec![Lateness::InTime as u8; times.len()];
        let mut counts = Counts::default();
        for run in input.runs() {
            let (part, range) = run;
            let partition = input.partition(part, parts, &self.config.id)?;
            let mark = match self.partitions.get_mut(partition) {
                Some(mark) => mark,
                None => self.partitions.entry(partition.clone()).or_insert(Mark::unknown(batch_clock)),
            };
            mark.last_offset = input.last_in_order(partition, range.clone(), mark.last_offset)?;
            let rules = decide::Rules {
                delay: self.config.delay_micros,
                watermark: self.watermark,
                latest: batch_clock.saturating_add(self.config.max_future_micros),
            };
            let nulls = times.nulls().map(|n| n.slice(range.start, range.len()));
            let seen = rules.judge(&times.values()[range.clone()], nulls.as_ref(), &mut mark.max, &mut late[range]);
            if seen.usable {
                mark.last_brought = batch_clock;
            }
            counts += seen.counts;
        }
        Ok(Judgement { event_time: Arc::new(times), late: UInt8Array::from(late), counts })
    }

    /// Whether the clock was set so far back that partitions would seem to have brought rows in the future. A batch that
    /// ends at `clock` mends it; without one, nobody would be idle until the clock has caught up.
    #[must_use]
    pub fn clock_went_back(&self, clock: i64) -> bool {
        let limit = clock.saturating_add(self.config.idle_timeout_micros);
        self.partitions.values().any(|mark| mark.last_brought > limit)
    }

    /// Ends the batch whose clock is `batch_clock` and gives W. `progress` has every partition that the clause reads, also
    /// those that brought nothing; `finishing` is true under available-now, where who has reached its end is idle at once.
    ///
    /// A partition that is known from before and not in `progress` is gone, and waited for no more.
    pub fn end_batch(
        &mut self,
        batch_clock: i64,
        progress: &BTreeMap<PartitionId, AtEnd>,
        finishing: bool,
    ) -> Option<i64> {
        for partition in progress.keys() {
            if !self.partitions.contains_key(partition) {
                self.partitions.insert(partition.clone(), Mark::unknown(batch_clock));
            }
        }
        let mut observed = Vec::with_capacity(self.partitions.len());
        for (partition, mark) in &mut self.partitions {
            mark.last_offset = None;
            // A clock that was set back: silence counts from now, not from a time that is long to come.
            mark.last_brought = mark.last_brought.min(batch_clock);
            let timeout = self.config.idle_timeout_micros;
            mark.idle = match progress.get(partition) {
                Some(end) => end.is_idle(mark.last_brought, batch_clock, timeout, finishing),
                None => true,
            };
            let mark_at = mark.max.map(|max| max.saturating_sub(self.config.delay_micros));
            observed.push(Observed { mark: mark_at, idle: mark.idle });
        }
        self.watermark = advance(self.watermark, &observed);
        self.held_by =
            holder(&observed).and_then(|at| self.partitions.keys().nth(at).map(|p| (at, p))).map(|(at, partition)| {
                Holder {
                    partition: partition.clone(),
                    mark: observed[at].mark,
                    backlog: match progress.get(partition) {
                        Some(AtEnd::Backlog(offsets)) => *offsets,
                        _ => 0,
                    },
                }
            });
        self.watermark
    }
}

impl Mark {
    fn unknown(batch_clock: i64) -> Self {
        Self { max: None, last_brought: batch_clock, idle: false, last_offset: None }
    }
}

impl Judgement {
    /// `rows` with the two hidden columns of the judgement behind the others.
    ///
    /// # Errors
    /// None for the rows that were judged.
    pub fn attach(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let mut fields: Vec<Arc<Field>> = rows.schema_ref().fields().to_vec();
        fields.extend(provenance::watermark_fields());
        let mut columns = rows.columns().to_vec();
        columns.extend([Arc::clone(&self.event_time), Arc::new(self.late.clone()) as ArrayRef]);
        let schema = Arc::new(Schema::new_with_metadata(fields, rows.schema_ref().metadata().clone()));
        RecordBatch::try_new(schema, columns).map_err(Error::arrow("attach event times"))
    }
}

/// The verdicts `late` after an operator at watermark `watermark` (of the batch before) has looked too: rows that were in
/// time and are at or before it become [`Lateness::Clause`]; their number is given. Only where streams meet under
/// [`WatermarkPolicy::Max`] can there be any.
#[must_use]
pub fn late_at(event_time: &TimestampMicrosecondArray, late: &UInt8Array, watermark: Option<i64>) -> (UInt8Array, u64) {
    let Some(watermark) = watermark else { return (late.clone(), 0) };
    let nulls: Option<&NullBuffer> = event_time.nulls();
    let mut more = 0;
    let verdicts = late.values().iter().zip(event_time.values()).enumerate().map(|(row, (&verdict, &time))| {
        let valid = nulls.is_none_or(|n| n.is_valid(row));
        if verdict == Lateness::InTime as u8 && valid && time <= watermark {
            more += 1;
            return Lateness::Clause as u8;
        }
        verdict
    });
    let verdicts = UInt8Array::from_iter_values(verdicts);
    (verdicts, more)
}
