//! A trigger reads everything that was in the log when it fired, in as many batches as that takes, before the run waits for the next one.
//!
//! A partition whose broker is unreachable delays the others by at most one trigger: when the next trigger is due it fires, whatever is
//! left.

use std::collections::BTreeMap;
use std::time::Duration;

use sluicebox_checkpoint::records::PlannedRange;
use sluicebox_core::PartitionId;

/// What the trigger that fired last is to read.
#[derive(Debug, Default)]
pub(crate) struct Goal {
    /// When that was, by the clock that never goes back.
    fired: Option<Duration>,
    /// What was in the log then: the offset behind it, by partition.
    ends: BTreeMap<PartitionId, i64>,
}

impl Goal {
    /// Whether a batch that would read `ranges` may begin at `now`: unless something is left of the trigger before that it
    /// would not touch.
    pub fn allows(&self, now: Duration, interval: Duration, ranges: &[PlannedRange]) -> bool {
        let wanted = |range: &&PlannedRange| self.is_left(range, range.range.from);
        let mut left = ranges.iter().filter(wanted).peekable();
        left.peek().is_none() || left.any(|range| !range.range.is_empty()) || self.rest(now, interval).is_zero()
    }

    /// Notes that a batch of `ranges` begins at `now`: a trigger fires, if nothing is left of the one before or its time is
    /// over.
    pub fn begin(&mut self, now: Duration, interval: Duration, ranges: &[PlannedRange]) {
        let left = ranges.iter().any(|range| self.is_left(range, range.range.from));
        if !left || self.rest(now, interval).is_zero() {
            self.fired = Some(now);
            self.ends = ranges.iter().map(|range| (range.partition.clone(), range.log_end)).collect();
        }
    }

    /// Whether a batch of `ranges` leaves something of it.
    pub fn is_left_by(&self, ranges: &[PlannedRange]) -> bool {
        ranges.iter().any(|range| self.is_left(range, range.range.to))
    }

    /// How long it is from `now` to the next trigger.
    pub fn rest(&self, now: Duration, interval: Duration) -> Duration {
        self.fired.map_or(Duration::ZERO, |fired| (fired + interval).saturating_sub(now))
    }

    fn is_left(&self, range: &PlannedRange, position: i64) -> bool {
        self.ends.get(&range.partition).is_some_and(|end| position < *end)
    }
}

#[cfg(test)]
mod tests {
    use sluicebox_core::OffsetRange;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Partitions 0, 1, ... as (from, to, end of the log).
    fn ranges(parts: &[(i64, i64, i64)]) -> Vec<PlannedRange> {
        let range = |(number, &(from, to, log_end))| PlannedRange {
            partition: PartitionId::new("s", "t", number),
            range: OffsetRange::new(from, to),
            log_end,
            heard_since: None,
        };
        (0..).zip(parts).map(range).collect()
    }

    #[test]
    fn what_was_there_is_read_before_the_next_trigger() {
        let mut goal = Goal::default();
        let first = ranges(&[(0, 10, 15), (0, 5, 5)]);
        assert!(goal.allows(at(0), HOUR, &first));
        goal.begin(at(0), HOUR, &first);
        assert!(goal.is_left_by(&first), "5 of 15 are left");
        // What came since is read with what is left, and makes no new goal.
        let second = ranges(&[(10, 20, 30), (5, 9, 9)]);
        assert!(goal.allows(at(1), HOUR, &second));
        goal.begin(at(1), HOUR, &second);
        assert!(!goal.is_left_by(&second));
        assert_eq!(goal.rest(at(2), HOUR), at(3598), "from when it fired");
        let third = ranges(&[(20, 25, 30), (9, 9, 9)]);
        goal.begin(at(3600), HOUR, &third);
        assert!(goal.is_left_by(&third), "the next has a goal of its own");
    }

    #[test]
    fn a_partition_that_is_left_is_waited_for_but_not_longer_than_a_trigger() {
        let mut goal = Goal::default();
        let first = ranges(&[(0, 10, 10), (0, 0, 7)]);
        goal.begin(at(0), HOUR, &first);
        assert!(goal.is_left_by(&first));
        let without = ranges(&[(10, 12, 12), (0, 0, 7)]);
        assert!(!goal.allows(at(5), HOUR, &without), "a batch that reads nothing of what is left");
        assert!(goal.allows(at(5), HOUR, &ranges(&[(10, 12, 12), (0, 3, 7)])));
        assert!(goal.allows(at(3600), HOUR, &without));
        goal.begin(at(3600), HOUR, &without);
        assert_eq!(goal.rest(at(3600), HOUR), HOUR);
        // And then it holds up the others no more than before.
        assert!(!goal.allows(at(3601), HOUR, &ranges(&[(12, 13, 13), (0, 0, 7)])));
    }

    #[test]
    fn a_trigger_without_an_interval_never_waits() {
        let mut goal = Goal::default();
        let first = ranges(&[(0, 10, 10), (0, 0, 7)]);
        goal.begin(at(0), Duration::ZERO, &first);
        assert!(goal.allows(at(0), Duration::ZERO, &ranges(&[(10, 11, 11), (0, 0, 7)])));
        assert_eq!(goal.rest(at(0), Duration::ZERO), Duration::ZERO);
    }

    /// A partition that is new is no part of a goal that was set before it came.
    #[test]
    fn a_new_partition_waits_for_the_next_trigger() {
        let mut goal = Goal::default();
        goal.begin(at(0), HOUR, &ranges(&[(0, 10, 10)]));
        assert!(!goal.is_left_by(&ranges(&[(0, 10, 10), (0, 0, 5)])));
    }
}
