//! Since when the end of each partition is known: only time in which it was known without a gap may count as silence. Pure.
//!
//! A gap has two causes. The source could not confirm the end for a while, because its broker was unreachable or this process was stopped.
//! Or the batches' clock advanced while the monotonic clock did not, because the machine slept.

use std::collections::BTreeMap;
use std::time::Duration;

use sluicebox_checkpoint::records::PlannedRange;
use sluicebox_core::PartitionId;
use sluicebox_sources::KnownEnd;

/// How much further than the clock that never goes back the batches' clock may go at once, in microseconds: clocks are
/// corrected by less.
const JUMP: i64 = 2_000_000;

/// What this run has heard.
#[derive(Debug, Default)]
pub(crate) struct Hearing {
    partitions: BTreeMap<PartitionId, Heard>,
    /// Both clocks at the last look.
    looked: Option<(i64, Duration)>,
}

#[derive(Debug)]
struct Heard {
    log_end: i64,
    gaps: u64,
    /// The clock since which there was no gap; none if there was none in this run.
    since: Option<i64>,
}

impl Hearing {
    /// Takes note of what is known of the ends when the batches' clock shows `clock`, and the one that never goes back
    /// `monotonic`.
    pub fn look(&mut self, ends: BTreeMap<PartitionId, KnownEnd>, clock: i64, monotonic: Duration) {
        let jumped = self.looked.replace((clock, monotonic)).is_some_and(|(then, at)| {
            let passed = i64::try_from(monotonic.saturating_sub(at).as_micros()).unwrap_or(i64::MAX);
            clock.saturating_sub(then).saturating_sub(passed) > JUMP
        });
        for (partition, end) in ends {
            let before = self.partitions.get(&partition);
            let without_gap = end.heard && !jumped && end.gaps == before.map_or(0, |heard| heard.gaps);
            let since = if without_gap {
                // A clock that was set back since counts from now.
                before.and_then(|heard| heard.since).map(|since| since.min(clock))
            } else {
                Some(clock)
            };
            self.partitions.insert(partition, Heard { log_end: end.log_end, gaps: end.gaps, since });
        }
    }

    /// Writes into `ranges` what is known of their partitions' ends.
    pub fn note(&self, ranges: &mut [PlannedRange]) {
        for range in ranges {
            let Some(heard) = self.partitions.get(&range.partition) else { continue };
            range.log_end = range.log_end.max(heard.log_end);
            range.heard_since = heard.since;
        }
    }
}

#[cfg(test)]
mod tests {
    use sluicebox_core::OffsetRange;

    use super::*;

    const SECOND: i64 = 1_000_000;

    fn partition() -> PartitionId {
        PartitionId::new("s", "t", 0)
    }

    /// Since when the partition is heard after a look at `second` at which the source says so.
    fn look(hearing: &mut Hearing, second: i64, heard: bool, gaps: u64) -> Option<i64> {
        let monotonic = Duration::from_secs(u64::try_from(second).unwrap_or(0));
        look_at(hearing, second, monotonic, KnownEnd { log_end: 7, heard, gaps })
    }

    fn look_at(hearing: &mut Hearing, second: i64, monotonic: Duration, end: KnownEnd) -> Option<i64> {
        hearing.look(BTreeMap::from([(partition(), end)]), second * SECOND, monotonic);
        let range = OffsetRange::new(3, 5);
        let mut ranges = [PlannedRange { partition: partition(), range, log_end: 5, heard_since: None }];
        hearing.note(&mut ranges);
        assert_eq!((ranges[0].range, ranges[0].log_end), (range, end.log_end.max(5)));
        ranges[0].heard_since.map(|since| since / SECOND)
    }

    #[test]
    fn without_a_gap_silence_counts_from_before_this_run() {
        let mut hearing = Hearing::default();
        for second in [100, 101, 160] {
            assert_eq!(look(&mut hearing, second, true, 0), None);
        }
    }

    #[test]
    fn an_end_that_is_not_confirmed_is_heard_from_now_and_from_when_it_is_again() {
        let mut hearing = Hearing::default();
        assert_eq!(look(&mut hearing, 100, true, 0), None);
        assert_eq!(look(&mut hearing, 101, false, 0), Some(101));
        assert_eq!(look(&mut hearing, 113, false, 0), Some(113));
        assert_eq!(look(&mut hearing, 114, true, 1), Some(114));
        assert_eq!(look(&mut hearing, 130, true, 1), Some(114));
        // Nobody looked while it was not heard.
        assert_eq!(look(&mut hearing, 150, true, 2), Some(150));
    }

    #[test]
    fn an_outage_before_the_first_look_is_a_gap() {
        assert_eq!(look(&mut Hearing::default(), 100, true, 1), Some(100));
        assert_eq!(look(&mut Hearing::default(), 100, false, 0), Some(100));
    }

    #[test]
    fn a_machine_that_slept_has_heard_nobody_meanwhile() {
        let end = KnownEnd { log_end: 2, heard: true, gaps: 0 };
        let mut hearing = Hearing::default();
        assert_eq!(look_at(&mut hearing, 100, Duration::from_secs(10), end), None);
        assert_eq!(look_at(&mut hearing, 102, Duration::from_secs(11), end), None, "a clock that is corrected");
        assert_eq!(look_at(&mut hearing, 3_700, Duration::from_secs(12), end), Some(3_700));
        assert_eq!(look_at(&mut hearing, 3_720, Duration::from_secs(32), end), Some(3_700));
        // Set back, it counts from then.
        assert_eq!(look_at(&mut hearing, 90, Duration::from_secs(33), end), Some(90));
        assert_eq!(look_at(&mut hearing, 95, Duration::from_secs(38), end), Some(90));
    }

    #[test]
    fn a_partition_whose_end_needs_nobody_is_as_it_is() {
        let mut ranges =
            [PlannedRange { partition: partition(), range: OffsetRange::new(3, 5), log_end: 5, heard_since: None }];
        Hearing::default().note(&mut ranges);
        assert_eq!((ranges[0].log_end, ranges[0].heard_since), (5, None));
    }
}
