//! The decisions of a watermark, as pure functions: which rows are late, where W is, who holds it.

use arrow::buffer::NullBuffer;
use sluicebox_core::provenance::Lateness;

use super::{AtEnd, Counts};

/// What is known of a partition at the end of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// Its highest event time less the delay; none while it has brought none.
    pub mark: Option<i64>,
    /// Whether W need not wait for it.
    pub idle: bool,
}

impl AtEnd {
    /// Whether W need not wait for a partition that stands so at the end of a batch whose clock is `clock`, when `last_brought`
    /// is the clock of the batch that brought its last usable event time. When finishing, nothing more is to be heard.
    pub(super) fn is_idle(self, last_brought: i64, clock: i64, timeout: i64, finishing: bool) -> bool {
        let silent_since = match self {
            Self::Backlog(_) => return false,
            Self::Reached => last_brought,
            Self::HeardSince(heard) => last_brought.max(heard),
        };
        finishing || clock.saturating_sub(silent_since) >= timeout
    }
}

/// W after a batch, from W before it and the partitions at its end: the lowest mark of those that are not idle, or the
/// highest mark of all if all are idle; never lower than before. A partition that is not idle and has no mark keeps W.
#[must_use]
pub fn advance(previous: Option<i64>, partitions: &[Observed]) -> Option<i64> {
    let mut active = partitions.iter().filter(|p| !p.idle).peekable();
    let reached = if active.peek().is_some() {
        // `None` is lower than any `Some`, so that one unknown mark makes the minimum unknown.
        active.map(|p| p.mark).min().flatten()
    } else {
        partitions.iter().filter_map(|p| p.mark).max()
    };
    previous.max(reached)
}

/// Which partition W waits for, as an index: of those that are not idle the one with the lowest mark, the first of equals.
#[must_use]
pub fn holder(partitions: &[Observed]) -> Option<usize> {
    partitions.iter().enumerate().filter(|(_, p)| !p.idle).min_by_key(|(_, p)| p.mark).map(|(at, _)| at)
}

/// How the watermarks of several clauses become one, where their rows meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WatermarkPolicy {
    /// The lowest: nobody's rows are lost. Unknown while any is.
    #[default]
    Min,
    /// The highest: nobody is waited for. Rows at or before it are late, see [`late_at`](super::late_at).
    Max,
}

impl WatermarkPolicy {
    /// The watermark of an operator whose rows have passed clauses with these watermarks. None for no clause.
    #[must_use]
    pub fn combine(self, watermarks: &[Option<i64>]) -> Option<i64> {
        match self {
            Self::Min => watermarks.iter().copied().min().flatten(),
            Self::Max => watermarks.iter().copied().max().flatten(),
        }
    }
}

/// What a row is judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// The clause's delay.
    pub delay: i64,
    /// W of the batch before.
    pub watermark: Option<i64>,
    /// The highest event time that may move a mark.
    pub latest: i64,
}

/// What a run of rows was.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Whether some event time could move a mark.
    pub usable: bool,
    /// How many of what.
    pub counts: Counts,
}

/// Stands for "no event time yet". The one time that is as low counts as a microsecond more.
const UNKNOWN: i64 = i64::MIN;

impl Rules {
    /// Judges consecutive rows of one partition whose highest event time so far is `max`, and moves it. `late` gets a
    /// verdict for each row; rows without event time keep theirs.
    pub fn judge(&self, times: &[i64], nulls: Option<&NullBuffer>, max: &mut Option<i64>, late: &mut [u8]) -> Seen {
        let mut at = max.unwrap_or(UNKNOWN);
        let seen = match nulls.filter(|n| n.null_count() > 0) {
            None => self.walk(times, |_| true, &mut at, late),
            Some(nulls) => self.walk(times, |row| nulls.is_valid(row), &mut at, late),
        };
        *max = (at != UNKNOWN).then_some(at);
        seen
    }

    /// The loop over the rows, made once for columns with NULLs and once for those without. It has no branch that
    /// depends on a time: only the running maximum is carried from row to row.
    #[inline]
    fn walk(&self, times: &[i64], valid: impl Fn(usize) -> bool, max: &mut i64, late: &mut [u8]) -> Seen {
        let (watermark, known) = (self.watermark.unwrap_or(UNKNOWN), self.watermark.is_some());
        let (mut by_partition, mut by_clause, mut future, mut present) = (0u64, 0u64, 0u64, 0u64);
        let mut highest = *max;
        for (row, (&time, verdict)) in times.iter().zip(late.iter_mut()).enumerate() {
            if !valid(row) {
                continue;
            }
            let time = time.max(UNKNOWN + 1);
            let behind = (highest != UNKNOWN) & (time <= highest.saturating_sub(self.delay));
            let closed = !behind & known & (time <= watermark);
            let ahead = time > self.latest;
            *verdict = u8::from(behind) * Lateness::Partition as u8 + u8::from(closed) * Lateness::Clause as u8;
            by_partition += u64::from(behind);
            by_clause += u64::from(closed);
            future += u64::from(ahead);
            present += 1;
            highest = if ahead { highest } else { highest.max(time) };
        }
        *max = highest;
        let null = times.len() as u64 - present;
        let counts = Counts { late_partition: by_partition, late_clause: by_clause, null, future };
        Seen { usable: present > future, counts }
    }
}
