//! The bounded buffer between the thread that fetches and the engine, shared by all sources.
//!
//! One [`PrefetchBuffer`] a source; one [`Feed`] a partition, held by the fetching thread. A partition is in one of two
//! states: *fetching* from where its feed stands, or *failed* with an error that the next `take` or `buffered` hands
//! over, after which it is fetched anew from its position. Everything that was fetched for an older *generation* (before a
//! seek) is refused at the door.
//!
//! What to fetch and whether a range is done are pure functions, in [`plan`].

pub(crate) mod plan;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;

use sluicebox_core::raw::RawEvents;
use sluicebox_core::{OffsetRange, PartitionId};
use tokio::sync::watch;

use crate::chunk::{OpenChunk, Sealed};
use crate::error::{Result, SourceError};
use crate::source::{Buffered, Chunk, Taken};
use plan::Budget;

/// The engine's side.
pub(crate) struct PrefetchBuffer {
    shared: Arc<Shared>,
    seen: watch::Receiver<u64>,
}

struct Shared {
    partitions: Mutex<BTreeMap<PartitionId, Arc<Mutex<Partition>>>>,
    limit: u64,
    total: AtomicU64,
    count: AtomicUsize,
    changes: watch::Sender<u64>,
    /// The thread that fetches; it parks when nothing wants to be fetched.
    fetcher: Mutex<Option<Thread>>,
    stopping: AtomicBool,
}

/// What is known of one partition.
struct Partition {
    /// Counts seeks.
    generation: u64,
    /// The first offset not taken.
    position: i64,
    sealed: VecDeque<Sealed>,
    open: OpenChunk,
    /// Every offset below this one was seen: its event is here or was taken, or it holds none.
    proven: i64,
    log_end: i64,
    /// Offsets below this one are waited for, whatever the budget.
    demand: i64,
    lost: Vec<OffsetRange>,
    bytes: u64,
    failed: Option<SourceError>,
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

/// Access to a partition's columns for a run of events.
pub(crate) struct Fill<'a> {
    partition: &'a mut Partition,
    source: &'a str,
    added: u64,
    room: u64,
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
        let (changes, seen) = watch::channel(0);
        let shared = Shared {
            partitions: Mutex::default(),
            limit,
            total: AtomicU64::new(0),
            count: AtomicUsize::new(0),
            changes,
            fetcher: Mutex::default(),
            stopping: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared), seen }
    }

    /// Adds a partition to be fetched from `position`, whose end is known to be `end`; `None` if it is there already.
    pub(crate) fn add(&self, id: &PartitionId, position: i64, end: i64) -> Option<Feed> {
        let mut partitions = lock(&self.shared.partitions);
        if partitions.contains_key(id) {
            return None;
        }
        let fresh = Partition { log_end: end.max(position), ..Partition::at(position) };
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
        ranges.iter().any(|(id, range)| partitions.get(id).is_some_and(|p| lock(p).log_end < range.to))
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

impl Partition {
    fn at(position: i64) -> Self {
        Self {
            generation: 0,
            position,
            sealed: VecDeque::new(),
            open: OpenChunk::new(),
            proven: position,
            log_end: position,
            demand: i64::MIN,
            lost: Vec::new(),
            bytes: 0,
            failed: None,
        }
    }

    /// Forgets what is buffered and begins again at `position`.
    fn seek(&mut self, shared: &Shared, position: i64) {
        shared.total.fetch_sub(self.bytes, Ordering::Relaxed);
        let fresh = Self { generation: self.generation + 1, log_end: self.log_end, ..Self::at(position) };
        *self = fresh;
    }

    /// Hands over the error of a failed partition; it is fetched anew after that.
    fn check(&mut self, shared: &Shared) -> Result<()> {
        match self.failed.take() {
            None => Ok(()),
            Some(error) => {
                self.seek(shared, self.position);
                shared.wake();
                Err(error)
            }
        }
    }

    fn buffered(&self, id: PartitionId) -> Buffered {
        let mut chunks: Vec<Chunk> = self.sealed.iter().map(|s| Chunk { to: s.next, bytes: s.bytes }).collect();
        if !self.open.is_empty() {
            chunks.push(Chunk { to: self.open.next(), bytes: self.open.bytes() });
        }
        plan::extend_to_proven(self.position, self.proven, &mut chunks);
        Buffered { partition: id, position: self.position, chunks, log_end: self.log_end.max(self.proven) }
    }

    fn seal(&mut self, source: &str) -> Result<()> {
        let sealed = self.open.seal().map_err(|e| SourceError::Internal {
            source_name: source.to_owned(),
            what: format!("cannot build columns: {e}"),
        })?;
        self.sealed.push_back(sealed);
        Ok(())
    }

    fn take(&mut self, shared: &Shared, id: PartitionId, range: OffsetRange, taken: &mut Taken) -> Result<()> {
        if !self.open.is_empty() && self.sealed.back().is_none_or(|s| s.next < range.to) {
            self.seal(&id.source)?;
        }
        let mut events = 0;
        while let Some(chunk) = self.sealed.pop_front() {
            let (head, tail) = chunk.cut(range.to);
            if let Some(head) = head {
                events += head.events.num_rows() as u64;
                self.bytes -= head.bytes;
                shared.total.fetch_sub(head.bytes, Ordering::Relaxed);
                taken.events.push(RawEvents { partition: id.clone(), events: head.events });
            }
            if let Some(tail) = tail {
                self.sealed.push_front(tail);
                break;
            }
        }
        let lost = plan::lost_in(range, &self.lost);
        self.lost.retain(|l| l.to > range.to);
        let gap = plan::gap_offsets(range, events, &lost);
        taken.lost.extend(lost.into_iter().map(|l| (id.clone(), l)));
        if gap > 0 {
            taken.gap_offsets.insert(id, gap);
        }
        self.position = range.to;
        self.demand = i64::MIN;
        Ok(())
    }
}

impl Feed {
    pub(crate) fn id(&self) -> &PartitionId {
        &self.id
    }

    pub(crate) fn want(&self) -> Want {
        let partition = lock(&self.partition);
        let room = partition.failed.is_none()
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
        let mut fill = Fill { partition: &mut partition, source: &self.id.source, added: 0, room };
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

    /// Hands `error` to the next call of the engine; the partition rests until then.
    pub(crate) fn fail(&self, generation: u64, error: SourceError) {
        self.fill(generation, |fill| fill.partition.failed = Some(error));
    }
}

impl Fill<'_> {
    /// Whether the run may go on.
    pub(crate) fn has_room(&self) -> bool {
        self.added < self.room
    }

    /// The next offset needed.
    pub(crate) fn next(&self) -> i64 {
        self.partition.proven
    }

    /// Adds an event. One that is here already (a log hands out whole batches) is passed over.
    pub(crate) fn push<'h>(
        &mut self,
        offset: i64,
        timestamp_ms: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'h str, Option<&'h [u8]>)>,
    ) {
        if offset < self.partition.proven {
            return;
        }
        self.added += self.partition.open.push(offset, timestamp_ms, key, value, headers);
        self.partition.proven = offset + 1;
        if self.partition.open.is_full()
            && let Err(error) = self.partition.seal(self.source)
        {
            self.partition.failed = Some(error);
        }
    }

    /// Notes that every offset below `offset` was seen.
    pub(crate) fn prove(&mut self, offset: i64) {
        self.partition.proven = self.partition.proven.max(offset);
    }

    /// Notes that the offsets up to `to` are gone from the log.
    pub(crate) fn lose(&mut self, to: i64) {
        let from = self.partition.proven;
        if from < to {
            self.partition.lost.push(OffsetRange::new(from, to));
            self.partition.proven = to;
        }
    }
}
