//! Decides which offsets a batch reads, from what is buffered and the limits: a pure function.
//!
//! A batch takes what is buffered, up to a budget of bytes, shared over partitions by what each has buffered, and up to
//! `maxOffsetsPerTrigger`, shared by backlog. So a backlog of any size costs the same memory, and a partition with a large backlog does not
//! starve the others: every partition with something buffered gets a share of every batch. If there are more of them than a batch may take
//! offsets, they take turns.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use sluicebox_checkpoint::records::PlannedRange;
use sluicebox_core::{OffsetRange, PartitionId};
use sluicebox_sources::Buffered;

/// What bounds a batch.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of raw keys and values of a batch, over all sources.
    pub bytes: u64,
    /// `maxOffsetsPerTrigger` of each source that has one.
    pub max_offsets: BTreeMap<String, u64>,
    /// Where an available-now run stops, by partition; other partitions are not read by it.
    pub run_end: Option<BTreeMap<PartitionId, i64>>,
    /// The number of the batch: whose turn it is where not every partition can have a share.
    pub turn: u64,
}

/// What a batch will read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// A range per partition, in the order of partitions; some or all may be empty.
    pub ranges: Vec<PlannedRange>,
    /// Whether the next batch should follow at once: a limit left out something that was buffered, or more is left in the log
    /// than this batch takes, so that the run has not caught up.
    pub limited: bool,
    /// Whether a limit left out something that was buffered: the batch would be no larger if it were decided on later.
    pub full: bool,
}

impl Admission {
    /// Whether nothing will be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.iter().all(|r| r.range.is_empty())
    }
}

/// Decides the ranges of the next batch.
#[must_use]
pub fn admit(buffered: &[Buffered], limits: &Limits) -> Admission {
    let mut offers: Vec<Offer> = buffered.iter().map(|b| Offer::new(b, limits.run_end.as_ref())).collect();
    offers.sort_by(|a, b| a.partition.cmp(&b.partition));
    let total: u64 = offers.iter().map(Offer::bytes).sum();
    let mut limited = false;
    if total > limits.bytes {
        limited = true;
        for offer in &mut offers {
            offer.keep_bytes(share(limits.bytes, offer.bytes(), total));
        }
    }
    for (source, max) in &limits.max_offsets {
        let own = offers.iter_mut().filter(|o| o.partition.source == *source).collect();
        limited |= keep_offsets(own, *max, limits.turn);
    }
    let ranges: Vec<PlannedRange> = offers.into_iter().map(Offer::into_range).collect();
    let taken: u64 = ranges.iter().map(|r| r.range.len()).sum();
    let left: u64 = ranges.iter().map(|r| length(r.range.to, r.log_end)).sum();
    let behind = left > taken && taken > 0;
    Admission { ranges, limited: limited || behind, full: limited }
}

/// What a partition has to offer.
struct Offer {
    partition: PartitionId,
    from: i64,
    /// Ends and bytes, ascending, none past the run's end.
    chunks: Vec<(i64, u64)>,
    log_end: i64,
}

impl Offer {
    fn new(buffered: &Buffered, run_end: Option<&BTreeMap<PartitionId, i64>>) -> Self {
        let stop = match run_end {
            // A partition that came after the start of the run is left to the next run.
            Some(ends) => ends.get(&buffered.partition).copied().unwrap_or(buffered.position),
            None => i64::MAX,
        };
        let mut chunks = Vec::new();
        for chunk in &buffered.chunks {
            if chunk.to >= stop {
                if stop > buffered.position {
                    chunks.push((stop, chunk.bytes));
                }
                break;
            }
            chunks.push((chunk.to, chunk.bytes));
        }
        Self {
            partition: buffered.partition.clone(),
            from: buffered.position,
            chunks,
            log_end: buffered.log_end.min(stop).max(buffered.position),
        }
    }

    fn bytes(&self) -> u64 {
        self.chunks.iter().map(|(_, bytes)| bytes).sum()
    }

    fn to(&self) -> i64 {
        self.chunks.last().map_or(self.from, |(to, _)| *to)
    }

    /// Keeps about `bytes`, but at least one offset, so that every partition goes on. A chunk is cut as if its bytes were
    /// spread evenly over its offsets.
    fn keep_bytes(&mut self, bytes: u64) {
        let mut left = bytes;
        let mut start = self.from;
        for (to, chunk) in &self.chunks {
            if *chunk > left {
                let part = share(length(start, *to), left, *chunk);
                let keep = if start == self.from { part.max(1) } else { part };
                self.cut_at(start + i64::try_from(keep).unwrap_or(i64::MAX));
                return;
            }
            left -= chunk;
            start = *to;
        }
    }

    fn cut_at(&mut self, to: i64) {
        let whole = self.chunks.iter().take_while(|(end, _)| *end <= to).count();
        let rest = self.chunks.get(whole).map(|(_, bytes)| *bytes);
        self.chunks.truncate(whole);
        if let Some(bytes) = rest
            && to > self.to()
        {
            self.chunks.push((to, bytes));
        }
    }

    fn into_range(self) -> PlannedRange {
        let range = OffsetRange::new(self.from, self.to());
        PlannedRange { partition: self.partition, range, log_end: self.log_end.max(range.to), heard_since: None }
    }
}

/// Cuts the offers of one source to `max` offsets in all. Whoever has something on offer gets some of them; where they are more
/// than `max`, they take turns.
fn keep_offsets(offers: Vec<&mut Offer>, max: u64, turn: u64) -> bool {
    let offered: Vec<u64> = offers.iter().map(|o| length(o.from, o.to())).collect();
    if offered.iter().sum::<u64>() <= max {
        return false;
    }
    let offering: u64 = offered.iter().map(|n| (*n).min(1)).sum();
    let keeps = if offering > max {
        by_turns(&offered, max, turn)
    } else {
        let backlogs: Vec<u64> = offers.iter().map(|o| length(o.from, o.log_end.max(o.to()))).collect();
        by_backlog(&offered, &backlogs, max)
    };
    for (offer, keep) in offers.into_iter().zip(keeps) {
        offer.cut_at(offer.from + i64::try_from(keep).unwrap_or(i64::MAX));
    }
    true
}

/// One offset each for `max` of those that have something on offer. The turn says from which partition on they are looked for:
/// each begins `max` partitions behind the one before, whatever these have. So every partition is met within one round, whoever
/// else has something meanwhile.
fn by_turns(offered: &[u64], max: u64, turn: u64) -> Vec<u64> {
    let all = offered.len() as u64;
    let first = usize::try_from((turn % all) * (max % all) % all).unwrap_or(0);
    let amount = usize::try_from(max).unwrap_or(usize::MAX);
    let mut keeps = vec![0; offered.len()];
    for at in (first..offered.len()).chain(0..first).filter(|at| offered[*at] > 0).take(amount) {
        keeps[at] = 1;
    }
    keeps
}

/// One offset for each that has something on offer, and the rest of `max` by backlog. What somebody cannot use goes to the
/// others, so that nothing of `max` is left while there is something on offer.
fn by_backlog(offered: &[u64], backlogs: &[u64], max: u64) -> Vec<u64> {
    let mut keeps: Vec<u64> = offered.iter().map(|n| (*n).min(1)).collect();
    let mut left = max - keeps.iter().sum::<u64>();
    loop {
        let mut open: Vec<usize> = (0..keeps.len()).filter(|at| keeps[*at] < offered[*at]).collect();
        let whole: u64 = open.iter().map(|at| backlogs[*at]).sum();
        let shared = left;
        for at in &open {
            let more = share(shared, backlogs[*at], whole).min(offered[*at] - keeps[*at]);
            keeps[*at] += more;
            left -= more;
        }
        if left == shared {
            // Nobody's part is a whole offset: fewer are left than there are takers, and the largest backlogs get one each.
            open.sort_by_key(|at| Reverse(backlogs[*at]));
            for at in open.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
                keeps[at] += 1;
            }
            return keeps;
        }
    }
}

/// `part / whole` of `budget`, rounded down.
fn share(budget: u64, part: u64, whole: u64) -> u64 {
    if whole == 0 {
        return 0;
    }
    u64::try_from(u128::from(budget) * u128::from(part) / u128::from(whole)).unwrap_or(u64::MAX)
}

fn length(from: i64, to: i64) -> u64 {
    u64::try_from(to - from).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sluicebox_sources::Chunk;

    use super::*;

    fn limits(bytes: u64) -> Limits {
        Limits { bytes, max_offsets: BTreeMap::new(), run_end: None, turn: 0 }
    }

    fn buffered(partition: i32, position: i64, chunks: &[(i64, u64)], log_end: i64) -> Buffered {
        Buffered {
            partition: PartitionId::new("s", "t", partition),
            position,
            chunks: chunks.iter().map(|&(to, bytes)| Chunk { to, bytes }).collect(),
            log_end,
        }
    }

    fn tos(admission: &Admission) -> Vec<i64> {
        admission.ranges.iter().map(|r| r.range.to).collect()
    }

    #[test]
    fn all_is_taken_while_it_fits() {
        let admission = admit(&[buffered(1, 5, &[(9, 10)], 9), buffered(0, 0, &[(3, 10), (4, 10)], 7)], &limits(30));
        assert_eq!((tos(&admission), admission.limited), (vec![4, 9], false));
    }

    /// The buffer holds no more than a batch may take, so in a backlog a batch may take all of it and hit no limit.
    #[test]
    fn a_batch_that_leaves_more_than_it_takes_is_followed_at_once() {
        let of = |bytes, log_end| {
            let admission = admit(&[buffered(0, 0, &[(10, bytes)], log_end)], &limits(100));
            (tos(&admission), admission.limited, admission.full)
        };
        assert_eq!(of(100, 20), (vec![10], false, false), "as much is left as is taken");
        assert_eq!(of(100, 21), (vec![10], true, false));
        let nothing = admit(&[buffered(0, 0, &[], 21)], &limits(100));
        assert!(!nothing.limited && !nothing.full);
    }

    #[test]
    fn bytes_are_shared_by_what_is_there_and_every_partition_goes_on() {
        let big: Vec<_> = (1..=10).map(|i| (i * 100, 100)).collect();
        let admission = admit(&[buffered(0, 0, &big, 5000), buffered(1, 0, &[(1, 90)], 1)], &limits(500));
        assert_eq!((tos(&admission), admission.limited), (vec![458, 1], true));
        assert!(admission.full);
    }

    #[test]
    fn max_offsets_are_shared_by_backlog() {
        let mut limits = limits(1 << 30);
        limits.max_offsets.insert("s".to_owned(), 100);
        let admission = admit(&[buffered(0, 0, &[(900, 9)], 900), buffered(1, 50, &[(150, 9)], 150)], &limits);
        assert_eq!((tos(&admission), admission.limited), (vec![90, 60], true));
    }

    /// Their watermarks would stand still, and with them every window.
    #[test]
    fn beside_a_large_backlog_every_partition_goes_on_with_every_batch() {
        let mut parts = vec![buffered(0, 0, &[(1_000_000, 9)], 1_000_000)];
        parts.extend((1..10).map(|n| buffered(n, 0, &[(50, 9)], 50)));
        for (max, first) in [(10, 1), (20, 11)] {
            let mut limits = limits(1 << 30);
            limits.max_offsets.insert("s".to_owned(), max);
            let mut expected = vec![first];
            expected.extend([1; 9]);
            assert_eq!(tos(&admit(&parts, &limits)), expected, "{max} offsets");
        }
    }

    #[test]
    fn what_a_partition_has_not_buffered_of_its_share_goes_to_the_others() {
        let mut limits = limits(1 << 30);
        limits.max_offsets.insert("s".to_owned(), 100);
        let parts = [buffered(0, 0, &[(5, 9)], 900), buffered(1, 0, &[], 5000), buffered(2, 0, &[(150, 9)], 150)];
        assert_eq!(tos(&admit(&parts, &limits)), vec![5, 0, 95]);
    }

    #[test]
    fn more_partitions_than_a_batch_may_take_offsets_have_their_turns() {
        let parts: Vec<Buffered> = (0..5).map(|n| buffered(n, 0, &[(9, 9)], 9)).collect();
        let mut limits = limits(1 << 30);
        limits.max_offsets.insert("s".to_owned(), 2);
        let mut turns = Vec::new();
        for turn in 0..3 {
            limits.turn = turn;
            turns.push(tos(&admit(&parts, &limits)));
        }
        assert_eq!(turns, vec![vec![1, 1, 0, 0, 0], vec![0, 0, 1, 1, 0], vec![1, 0, 0, 0, 1]]);
    }

    #[test]
    fn an_available_now_run_stops_at_its_end_and_leaves_new_partitions_out() {
        let mut limits = limits(1 << 30);
        limits.run_end = Some(BTreeMap::from([(PartitionId::new("s", "t", 0), 7)]));
        let admission = admit(&[buffered(0, 3, &[(5, 1), (20, 1)], 20), buffered(1, 0, &[(9, 1)], 9)], &limits);
        assert_eq!(tos(&admission), vec![7, 0]);
        assert_eq!(admission.ranges.iter().map(|r| r.log_end).collect::<Vec<_>>(), vec![7, 0]);
    }

    proptest! {
        #[test]
        fn a_batch_stays_within_what_is_there_and_goes_on(
            parts in prop::collection::vec((0i64..100, prop::collection::vec((1i64..50, 0u64..5000), 0..6)), 1..6),
            bytes in 1u64..20_000, max in prop::option::of(1u64..400), turn in 0u64..1000,
        ) {
            let buffered: Vec<Buffered> = parts.iter().enumerate().map(|(i, (position, chunks))| {
                let mut to = *position;
                let chunks: Vec<(i64, u64)> = chunks.iter().map(|(n, b)| { to += n; (to, *b) }).collect();
                buffered(i32::try_from(i).unwrap_or(0), *position, &chunks, to)
            }).collect();
            let taken = |admission: &Admission| -> u64 { admission.ranges.iter().map(|r| r.range.len()).sum() };
            let mut limits = Limits { turn, ..limits(bytes) };
            let offered = taken(&admit(&buffered, &limits));
            if let Some(max) = max { limits.max_offsets.insert("s".to_owned(), max); }
            let admission = admit(&buffered, &limits);
            let taken = taken(&admission);
            let there: i64 = buffered.iter().map(|b| b.log_end - b.position).sum();
            prop_assert_eq!(there > 0, taken > 0, "a batch with something buffered reads something");
            for (range, b) in admission.ranges.iter().zip(&buffered) {
                prop_assert!(range.range.from == b.position && range.range.to <= b.log_end);
            }
            prop_assert_eq!(taken, max.map_or(offered, |max| max.min(offered)), "no more than is allowed, and no less");
            let offering = buffered.iter().filter(|b| b.end() > b.position).count() as u64;
            if max.is_none_or(|max| max >= offering) {
                for (range, b) in admission.ranges.iter().zip(&buffered) {
                    prop_assert_eq!(range.range.is_empty(), b.end() == b.position, "everyone gets something: {:?}", range);
                }
            }
        }

        #[test]
        fn whoever_has_something_buffered_gets_something_within_a_round(
            mut ends in prop::collection::vec(0i64..60, 1..13), max in 1u64..12, first in 0u64..1000,
            refills in prop::collection::vec((0usize..12, 1i64..40), 1..80),
        ) {
            let partitions = ends.len();
            let round = (partitions as u64).div_ceil(max);
            let mut positions = vec![0i64; partitions];
            let mut waits = vec![0u64; partitions];
            for (turn, (at, more)) in (first..).zip(refills) {
                ends[at % partitions] += more;
                let parts: Vec<Buffered> = (0..partitions).map(|p| {
                    let chunk = [(ends[p], 9u64)];
                    let chunks: &[(i64, u64)] = if ends[p] > positions[p] { &chunk } else { &[] };
                    buffered(i32::try_from(p).unwrap_or(0), positions[p], chunks, ends[p])
                }).collect();
                let mut limits = Limits { turn, ..limits(1 << 30) };
                limits.max_offsets.insert("s".to_owned(), max);
                for (p, range) in admit(&parts, &limits).ranges.iter().enumerate() {
                    let passed_over = range.range.is_empty() && ends[p] > positions[p];
                    waits[p] = if passed_over { waits[p] + 1 } else { 0 };
                    prop_assert!(waits[p] < round, "partition {} of {} waits for {} batches", p, partitions, waits[p]);
                    positions[p] = range.range.to;
                }
            }
        }
    }
}
