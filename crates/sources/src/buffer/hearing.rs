//! Whether a partition's end is known without a gap: the log confirmed it again and again, at most [`LONGEST`] apart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sluicebox_core::{Clock, PartitionId};

use super::{Ends, Feed, Partition, PrefetchBuffer, lock};
use crate::source::KnownEnd;

/// How far apart two confirmations of an end may be, beyond what a broker is told to wait with its answers: longer than the
/// pauses of a busy machine, and far shorter than it takes to be idle.
pub(crate) const LONGEST: Duration = Duration::from_secs(2);

/// When the log last confirmed the end of a partition, by the clock that never goes back. Pure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Hearing {
    last: Option<Duration>,
    gaps: u64,
}

impl Hearing {
    /// The log confirmed the end at `at`. Older news than the last change nothing.
    pub(super) fn confirm(&mut self, at: Duration, longest: Duration) {
        match self.last {
            Some(last) if at <= last => return,
            Some(last) if at - last > longest => self.gaps += 1,
            _ => {}
        }
        self.last = Some(at);
    }

    /// Notes that it could not be heard before.
    pub(super) fn miss(&mut self) {
        self.gaps += 1;
    }

    /// Whether the last confirmation is new enough at `now` for the end to be known.
    pub(super) fn lasts(&self, now: Duration, longest: Duration) -> bool {
        self.last.is_some_and(|last| now.saturating_sub(last) <= longest)
    }

    /// How often it was not heard for too long.
    pub(super) fn gaps(&self) -> u64 {
        self.gaps
    }
}

impl PrefetchBuffer {
    /// As [`Source::ends`](crate::Source::ends).
    pub(crate) fn known_ends(&self) -> BTreeMap<PartitionId, KnownEnd> {
        let partitions = lock(&self.shared.partitions).clone();
        let (now, longest) = (self.shared.clock.monotonic(), self.shared.longest);
        let known = |partition: &Partition| KnownEnd {
            log_end: partition.log_end.max(partition.proven),
            heard: partition.gone || partition.hearing.lasts(now, longest),
            gaps: partition.hearing.gaps(),
        };
        partitions.into_iter().map(|(id, partition)| (id, known(&lock(&partition)))).collect()
    }
}

impl Ends {
    /// Notes that the log confirmed the end of `id`, `ago`.
    pub(crate) fn confirm(&self, id: &PartitionId, ago: Duration) {
        let partition = lock(&self.0.partitions).get(id).cloned();
        if let Some(partition) = partition {
            Feed { shared: Arc::clone(&self.0), id: id.clone(), partition }.confirm(ago);
        }
    }
}

impl Feed {
    /// Notes that the log confirmed, `ago`, that the newest known end is the partition's end.
    pub(crate) fn confirm(&self, ago: Duration) {
        let at = self.shared.clock.monotonic().saturating_sub(ago);
        lock(&self.partition).hearing.confirm(at, self.shared.longest);
    }

    /// Notes that the log could not be heard for a while.
    pub(crate) fn miss(&self) {
        lock(&self.partition).hearing.miss();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn an_end_is_known_while_it_is_confirmed_again_and_again() {
        let mut hearing = Hearing::default();
        assert!(!hearing.lasts(seconds(0), LONGEST), "nobody has confirmed anything");
        for at in [7, 8, 10, 12] {
            hearing.confirm(seconds(at), LONGEST);
            assert!(hearing.lasts(seconds(at), LONGEST) && hearing.lasts(seconds(at + 2), LONGEST));
            assert!(!hearing.lasts(seconds(at + 3), LONGEST));
        }
        assert_eq!(hearing.gaps(), 0);
        // Whoever asks in between, or nobody, the gap is counted.
        hearing.confirm(seconds(15), LONGEST);
        assert_eq!((hearing.gaps(), hearing.lasts(seconds(16), LONGEST)), (1, true));
    }

    #[test]
    fn old_news_prove_nothing() {
        let mut hearing = Hearing::default();
        hearing.confirm(seconds(10), LONGEST);
        // What was said before a pause and is heard after it.
        hearing.confirm(seconds(4), LONGEST);
        assert!(!hearing.lasts(seconds(13), LONGEST));
        hearing.confirm(seconds(13), LONGEST);
        assert_eq!(hearing.gaps(), 1);
        hearing.miss();
        assert_eq!(hearing.gaps(), 2);
    }
}
