//! The bounded buffer between the thread that fetches and the engine. All sources share it.
//!
//! A source has one [`PrefetchBuffer`]. The fetching thread holds one [`Feed`] for each partition. A partition is either *fetching* from
//! the position of its feed, or *failed*: the next `take` or `buffered` reports the error, and the partition is then fetched again from its
//! position. The buffer refuses events of an older *generation*: those that were fetched before a seek.
//!
//! What to fetch and whether a range is complete are pure functions, in [`plan`].

mod hearing;
mod partition;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use sluicebox_core::{Clock, OffsetRange, PartitionId, SystemClock};
use tokio::sync::watch;

use crate::error::{Result, SourceError};
use crate::source::{Bounds, Buffered, LossReason, Taken};
pub(crate) use hearing::LONGEST;
pub(crate) use partition::Fill;
use partition::Partition;
use plan::Budget;

/// The engine's side.
pub(crate) struct PrefetchBuffer {
    shared: Arc<Shared>,
    seen: watch::Receiver<u64>,
    /// What each partition held when it was last asked for.
    known: BTreeMap<PartitionId, Bounds>,
    /// And when that was.
    asked: BTreeMap<PartitionId, Duration>,
}

struct Shared {
    partitions: Mutex<BTreeMap<PartitionId, Arc<Mutex<Partition>>>>,
    limit: u64,
    /// How far apart two confirmations of an end may be.
    longest: Duration,
    clock: SystemClock,
    total: AtomicU64,
    count: AtomicUsize,
    changes: watch::Sender<u64>,
    /// The thread that fetches; it parks when nothing wants to be fetched.
    fetcher: Mutex<Option<Thread>>,
    stopping: AtomicBool,
}

/// The fetching thread's side of one partition.
#[derive(Clone)]
pub(crate) struct Feed {
    shared: Arc<Shared>,
    id: PartitionId,
    partition: Arc<Mutex<Partition>>,
}

/// What the fetching thread is to do next for a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Want {
    /// To be given back with what was fetched.
    pub(crate) generation: u64,
    /// The next offset needed.
    pub(crate) next: i64,
    /// Whether there is room for it.
    pub(crate) room: bool,
    /// Offsets below this one are waited for; those at or past `next`, urgently.
    pub(crate) demand: i64,
    /// The newest known end.
    pub(crate) log_end: i64,
}

/// A range that is waited for.
type Wanted = (PartitionId, OffsetRange, Arc<Mutex<Partition>>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while the lock was held cannot leave a state worse than an error does.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PrefetchBuffer {
    /// A buffer that holds `limit` bytes at most, plus what one run of events adds.
    pub(crate) fn new(limit: u64) -> Self {
        Self::hearing(limit, LONGEST)
    }

    /// The same, where an end is known for `longest` after it was confirmed.
    pub(crate) fn hearing(limit: u64, longest: Duration) -> Self {
        let (changes, seen) = watch::channel(0);
        let shared = Shared {
            partitions: Mutex::default(),
            limit,
            longest,
            clock: SystemClock::new(),
            total: AtomicU64::new(0),
            count: AtomicUsize::new(0),
            changes,
            fetcher: Mutex::default(),
            stopping: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared), seen, known: BTreeMap::new(), asked: BTreeMap::new() }
    }

    /// Takes note of what partitions hold.
    pub(crate) fn learn(&mut self, bounds: &BTreeMap<PartitionId, Bounds>) {
        let (ends, now) = (self.ends(), self.shared.clock.monotonic());
        for (id, held) in bounds {
            ends.learn(id, held.latest);
            ends.confirm(id, Duration::ZERO);
            self.known.insert(id.clone(), *held);
            self.asked.insert(id.clone(), now);
        }
    }

    /// Those of `ids` of which it is not known what they hold.
    pub(crate) fn unknown<'a>(
        &self,
        ids: impl Iterator<Item = &'a PartitionId>,
    ) -> impl Iterator<Item = &'a PartitionId> {
        ids.filter(|id| !self.known.contains_key(*id))
    }

    /// What each partition held when it was last asked for.
    pub(crate) fn known(&self) -> &BTreeMap<PartitionId, Bounds> {
        &self.known
    }

    /// The `positions` whose partitions are known to be there.
    pub(crate) fn there<'a>(
        &'a self,
        positions: &'a BTreeMap<PartitionId, i64>,
    ) -> impl Iterator<Item = (&'a PartitionId, i64)> {
        positions.iter().filter(|(id, _)| self.known.contains_key(*id)).map(|(id, position)| (id, *position))
    }

    /// Adds the partitions that are not there yet, to be fetched from their positions. One of which nothing is known is
    /// gone: an error, or, where loss is allowed, a partition that has nothing to give any more.
    pub(crate) fn begin(&self, positions: &BTreeMap<PartitionId, i64>, fail_on_data_loss: bool) -> Result<Vec<Feed>> {
        let mut feeds = Vec::new();
        for (id, position) in positions {
            match self.known.get(id) {
                Some(held) => feeds.extend(self.add(id, *position, held.latest)),
                None if fail_on_data_loss => {
                    return Err(SourceError::Gone { partition: id.clone(), position: *position });
                }
                None => {
                    if let Some(feed) = self.add(id, *position, *position) {
                        feed.gone(0);
                    }
                }
            }
        }
        Ok(feeds)
    }

    /// Adds a partition to be fetched from `position`, whose end is known to be `end`; `None` if it is there already.
    fn add(&self, id: &PartitionId, position: i64, end: i64) -> Option<Feed> {
        let mut partitions = lock(&self.shared.partitions);
        if partitions.contains_key(id) {
            return None;
        }
        let mut fresh = Partition { log_end: end.max(position), ..Partition::at(position) };
        if let Some(asked) = self.asked.get(id) {
            fresh.hearing.confirm(*asked, self.shared.longest);
        }
        let partition = Arc::new(Mutex::new(fresh));
        partitions.insert(id.clone(), Arc::clone(&partition));
        self.shared.count.store(partitions.len(), Ordering::Relaxed);
        Some(Feed { shared: Arc::clone(&self.shared), id: id.clone(), partition })
    }

    /// Names the thread to be woken when there is room or a seek.
    pub(crate) fn set_fetcher(&self, thread: Thread) {
        *lock(&self.shared.fetcher) = Some(thread);
    }

    /// Tells the fetching thread to end.
    pub(crate) fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.wake();
    }

    /// A view for the fetching thread.
    pub(crate) fn stopping(&self) -> Stopping {
        Stopping(Arc::clone(&self.shared))
    }

    /// Where to tell newly known ends.
    pub(crate) fn ends(&self) -> Ends {
        Ends(Arc::clone(&self.shared))
    }

    /// As [`Source::changed`](crate::Source::changed).
    pub(crate) async fn changed(&mut self) {
        // The sender lives as long as this buffer.
        let _ = self.seen.changed().await;
    }

    /// As [`Source::buffered`](crate::Source::buffered).
    pub(crate) fn buffered(&self) -> Result<Vec<Buffered>> {
        let partitions = lock(&self.shared.partitions).clone();
        let mut out = Vec::with_capacity(partitions.len());
        for (id, partition) in partitions {
            let mut partition = lock(&partition);
            partition.check(&self.shared)?;
            out.push(partition.buffered(id));
        }
        Ok(out)
    }

    /// Whether a range ends behind the newest known end of its partition.
    pub(crate) fn end_unknown(&self, ranges: &BTreeMap<PartitionId, OffsetRange>) -> bool {
        let partitions = lock(&self.shared.partitions);
        let unknown = |p: &Partition, end: i64| p.log_end < end && !p.gone;
        ranges.iter().any(|(id, range)| partitions.get(id).is_some_and(|p| unknown(&lock(p), range.to)))
    }

    /// Wakes the fetching thread.
    pub(crate) fn wake(&self) {
        self.shared.wake();
    }

    /// As [`Source::take`](crate::Source::take), for ranges that end at or before their partitions' known ends.
    pub(crate) async fn take(&self, ranges: &BTreeMap<PartitionId, OffsetRange>) -> Result<Taken> {
        let mut changes = self.shared.changes.subscribe();
        let wanted = self.demand(ranges)?;
        loop {
            changes.borrow_and_update();
            let mut done = true;
            for (_, range, partition) in &wanted {
                let mut partition = lock(partition);
                partition.check(&self.shared)?;
                done &= plan::is_complete(*range, partition.proven);
            }
            if done {
                break;
            }
            // The sender lives as long as this buffer.
            let _ = changes.changed().await;
        }
        let mut taken = Taken::default();
        for (id, range, partition) in wanted {
            lock(&partition).take(&self.shared, id, range, &mut taken)?;
        }
        self.shared.wake();
        Ok(taken)
    }

    /// Moves every partition to where its range begins and asks for the range.
    fn demand(&self, ranges: &BTreeMap<PartitionId, OffsetRange>) -> Result<Vec<Wanted>> {
        let partitions = lock(&self.shared.partitions);
        let mut wanted = Vec::with_capacity(ranges.len());
        for (id, range) in ranges.iter().filter(|(_, r)| !r.is_empty()) {
            let partition =
                partitions.get(id).ok_or_else(|| SourceError::NotStarted { partition: id.clone() })?.clone();
            let mut state = lock(&partition);
            if state.position != range.from {
                state.seek(&self.shared, range.from);
            }
            state.demand = range.to;
            if state.gone {
                state.lose(range.to, LossReason::TopicGone);
            }
            drop(state);
            wanted.push((id.clone(), *range, partition));
        }
        drop(partitions);
        self.shared.wake();
        Ok(wanted)
    }
}

/// Tells the fetching thread when to end.
pub(crate) struct Stopping(Arc<Shared>);

impl Stopping {
    pub(crate) fn is_set(&self) -> bool {
        self.0.stopping.load(Ordering::Acquire)
    }
}

/// Takes note of ends that are learnt outside of fetching.
#[derive(Clone)]
pub(crate) struct Ends(Arc<Shared>);

impl Ends {
    /// Notes the end of `id`; a partition that was not added is passed over.
    pub(crate) fn learn(&self, id: &PartitionId, end: i64) {
        let partition = lock(&self.0.partitions).get(id).cloned();
        if let Some(partition) = partition {
            Feed { shared: Arc::clone(&self.0), id: id.clone(), partition }.log_end(end);
        }
    }
}

impl Shared {
    fn wake(&self) {
        if let Some(thread) = lock(&self.fetcher).as_ref() {
            thread.unpark();
        }
    }

    fn budget(&self) -> Budget {
        Budget {
            limit: self.limit,
            total: self.total.load(Ordering::Relaxed),
            partitions: self.count.load(Ordering::Relaxed) as u64,
        }
    }

    fn announce(&self) {
        self.changes.send_modify(|n| *n = n.wrapping_add(1));
    }
}

impl Feed {
    pub(crate) fn id(&self) -> &PartitionId {
        &self.id
    }

    pub(crate) fn want(&self) -> Want {
        let partition = lock(&self.partition);
        let room = partition.failed.is_none()
            && !partition.gone
            && (partition.proven < partition.demand || self.shared.budget().has_room(partition.bytes));
        Want {
            generation: partition.generation,
            next: partition.proven,
            room,
            demand: partition.demand,
            log_end: partition.log_end,
        }
    }

    /// Adds a run of events, unless there was a seek since `generation`: then `None`. One lock a run.
    pub(crate) fn fill<R>(&self, generation: u64, run: impl FnOnce(&mut Fill<'_>) -> R) -> Option<R> {
        let mut partition = lock(&self.partition);
        if partition.generation != generation {
            return None;
        }
        let room =
            if partition.proven < partition.demand { u64::MAX } else { self.shared.budget().room(partition.bytes) };
        let before = (partition.proven, partition.log_end);
        let mut fill = Fill { partition: &mut partition, id: &self.id, added: 0, room };
        let result = run(&mut fill);
        let added = fill.added;
        partition.bytes += added;
        self.shared.total.fetch_add(added, Ordering::Relaxed);
        partition.log_end = partition.log_end.max(partition.proven);
        let moved = before != (partition.proven, partition.log_end) || partition.failed.is_some();
        drop(partition);
        if moved {
            self.shared.announce();
        }
        Some(result)
    }

    /// Notes the newest known end.
    pub(crate) fn log_end(&self, end: i64) {
        let mut partition = lock(&self.partition);
        if end > partition.log_end {
            partition.log_end = end;
            drop(partition);
            self.shared.announce();
        }
    }

    /// Notes that the partition's topic is gone, and with it all that was known to be there and was not fetched.
    pub(crate) fn gone(&self, generation: u64) {
        let (source, id) = (&self.id.source, &self.id);
        let position = lock(&self.partition).proven;
        tracing::warn!("source {source}: {id} is gone, and with it whatever it held from offset {position} on");
        self.fill(generation, |fill| {
            fill.partition.gone = true;
            fill.lose(fill.partition.log_end, LossReason::TopicGone);
        });
    }

    /// Hands `error` to the next call of the engine; the partition rests until then.
    pub(crate) fn fail(&self, generation: u64, error: SourceError) {
        self.fill(generation, |fill| fill.partition.failed = Some(error));
    }
}
