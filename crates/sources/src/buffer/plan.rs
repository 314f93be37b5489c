//! The decisions of the buffer, as pure functions.

use sluicebox_core::OffsetRange;

use crate::source::{Chunk, LossReason};

/// Offsets that are gone, and what took them.
pub(crate) type Loss = (OffsetRange, LossReason);

/// How full the buffer is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// Bytes that may be held.
    pub(crate) limit: u64,
    /// Bytes that are held.
    pub(crate) total: u64,
    /// Partitions that share it.
    pub(crate) partitions: u64,
}

impl Budget {
    /// How many more bytes a partition that holds `held` may fetch. Half of the limit is shared by whoever comes first, so
    /// that one partition with a backlog runs at full speed; the other half is divided into equal shares, so that no
    /// partition starves. The sum never passes the limit.
    pub(crate) fn room(&self, held: u64) -> u64 {
        let pool = self.limit / 2;
        let share = (self.limit - pool) / self.partitions.max(1);
        // A partition that holds nothing may always fetch an event, however large.
        let own = share.saturating_sub(held).max(u64::from(held == 0));
        own.max(pool.saturating_sub(self.total))
    }

    /// Whether a partition that holds `held` may fetch.
    pub(crate) fn has_room(&self, held: u64) -> bool {
        self.room(held) > 0
    }
}

/// Whether `range` is wholly fetched when every offset below `proven` was seen.
pub(crate) fn is_complete(range: OffsetRange, proven: i64) -> bool {
    proven >= range.to
}

/// Extends `chunks` over the offsets up to `proven` that hold no event, so that a range can end at the log's end even
/// where its last offsets are a transaction's marker.
pub(crate) fn extend_to_proven(position: i64, proven: i64, chunks: &mut Vec<Chunk>) {
    match chunks.last_mut() {
        Some(last) => last.to = last.to.max(proven),
        None if proven > position => chunks.push(Chunk { to: proven, bytes: 0 }),
        None => {}
    }
}

/// The parts of `lost` that lie in `range`.
pub(crate) fn lost_in(range: OffsetRange, lost: &[Loss]) -> Vec<Loss> {
    let clip = |(l, reason): &Loss| {
        let (from, to) = (l.from.max(range.from), l.to.min(range.to));
        (from < to).then(|| (OffsetRange::new(from, to), *reason))
    };
    lost.iter().filter_map(clip).collect()
}

/// The offsets of `range` that neither held one of its `events` nor were `lost`.
pub(crate) fn gap_offsets(range: OffsetRange, events: u64, lost: &[Loss]) -> u64 {
    let lost: u64 = lost.iter().map(|(l, _)| l.len()).sum();
    range.len().saturating_sub(events + lost)
}
