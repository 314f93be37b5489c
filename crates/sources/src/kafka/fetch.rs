//! The thread that fetches: one librdkafka consumer with one queue for each partition, which it polls in turn while there is room.
//!
//! The thread does not poll a partition whose share of the buffer is full. librdkafka then stops fetching it when its own small queue is
//! full. That queue holds at least a whole record batch, so the thread assigns partitions that are far behind to librdkafka a few at a
//! time: see [`seats`](super::seats). Partitions at their ends are always assigned, and wait for no other.
//!
//! Record batches arrive as the broker sent them. The thread unpacks them here as there is room: see [`waiting`](super::waiting).
//!
//! **How the end is known.** librdkafka reports the end of a partition ("EOF") with its offset, behind transaction markers and other
//! offsets without an event. An end that is reported after an assignment is at or behind every end that was known before it. So if the
//! known end stays ahead of what was seen although the end was reported, the thread assigns the partition again, and the next report
//! settles it.
//!
//! The thread polls many batches at a time. Some batches hold one event, and a single poll costs as much as everything this thread does
//! with the event.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sluicebox_core::station::{self, Station};
use sluicebox_core::{Clock, OffsetRange, PartitionId, SystemClock};
use sluicebox_librdkafka::{Polled, Queue};

use super::client::{self, Client, Context, Outage, PATIENCE};
use super::seats::{self, Guest};
use super::waiting::Waiting;
use crate::buffer::{Feed, Stopping, Want};
use crate::error::{SourceError, is_passing, is_unlisted};
use crate::source::LossReason;

/// Events taken in one run, so that the lock on the columns is given back now and then.
const RUN: u64 = 1024;
/// The longest rest: events wake the thread earlier.
const REST: Duration = Duration::from_millis(50);
/// How long a known end may stay ahead of a reported one before the partition is assigned anew.
const SETTLE: Duration = Duration::from_millis(300);
/// Events that a partition gives before it leaves its seat: assigning costs two calls that wait for librdkafka's thread.
pub(super) const TURN: u64 = 8 * 1024;
/// After so many it leaves even when something of it is left in librdkafka, which is fetched again then.
const LONGEST_TURN: u64 = 4 * TURN;
/// How long one that gives nothing keeps its seat: its broker may be away, or far, and it holds nothing.
const SILENCE: Duration = Duration::from_millis(250);
/// A partition with more events than this ahead of it needs a seat.
const BEHIND: i64 = 1024;

pub(crate) struct Fetcher {
    pub(crate) client: Arc<Client>,
    pub(crate) outage: Arc<Outage>,
    pub(crate) fail_on_data_loss: bool,
    pub(crate) new_feeds: mpsc::Receiver<Feed>,
    pub(crate) stopping: Stopping,
    pub(crate) queues: Vec<FedQueue>,
    /// The queue after the one that got the last seat, and whether seats are wanted by others than those who have them.
    pub(crate) turn: usize,
    pub(crate) wanted: bool,
    pub(crate) clock: SystemClock,
}

pub(crate) struct FedQueue {
    feed: Feed,
    queue: Option<Queue<Context>>,
    /// Whether something may be in the queue.
    ready: Arc<AtomicBool>,
    generation: u64,
    /// The newest end known when the partition was assigned.
    floor: i64,
    /// Whether the end was reported after the last message.
    at_end: bool,
    /// Since when the known end is ahead though the end was reported.
    behind_since: Option<Duration>,
    /// Events that came since it was assigned, and when the last of them did, or when it was assigned.
    given: u64,
    given_at: Duration,
    /// Whether librdkafka had nothing of it for long.
    silent: bool,
    /// What was taken from the queue, and there was no room for.
    waiting: Waiting,
}

impl Fetcher {
    pub(crate) fn run(mut self) {
        while !self.stopping.is_set() {
            let new: Vec<Feed> = self.new_feeds.try_iter().collect();
            for feed in new {
                self.queues.push(FedQueue::new(feed));
            }
            let at_work = station::begin(Station::Fetch);
            let mut more = self.serve_client();
            more |= self.give_seats();
            let mut queues = std::mem::take(&mut self.queues);
            if self.client.context().has_untold_error() {
                queues.iter_mut().filter(|queue| queue.queue.is_some()).for_each(|queue| self.unlisted(queue));
            }
            for queue in &mut queues {
                more |= self.serve(queue);
            }
            self.queues = queues;
            drop(at_work);
            if !more {
                std::thread::park_timeout(REST);
            }
        }
    }

    /// Handles what is not a partition's: errors, commits, and messages that came before a partition had its queue.
    fn serve_client(&mut self) -> bool {
        let mut more = false;
        while let Some(event) = self.client.poll(Duration::ZERO) {
            match event {
                Ok(message) => {
                    more = true;
                    let (topic, partition) = (message.topic(), message.partition());
                    let is_owner = |id: &PartitionId| id.topic == topic && id.partition == partition;
                    let owner = self.queues.iter_mut().find(|q| q.queue.is_some() && is_owner(q.feed.id()));
                    if let (Some(queue), Some(found)) = (owner, Polled::of(&message)) {
                        queue.waiting.push(found);
                    }
                }
                Err(KafkaError::MessageConsumptionFatal(code)) => {
                    for queue in &self.queues {
                        let error = KafkaError::MessageConsumptionFatal(code);
                        queue.feed.fail(queue.generation, SourceError::kafka("fetch", error));
                    }
                }
                Err(error) => tracing::debug!(target: "librdkafka", "{error}"),
            }
        }
        more
    }

    /// Assigns the partitions whose turn it is; true when there are any.
    fn give_seats(&mut self) -> bool {
        let guests: Vec<Guest> = self.queues.iter().map(FedQueue::guest).collect();
        let seating = seats::next(&guests, self.turn);
        let mut queues = std::mem::take(&mut self.queues);
        for left in &seating.leave {
            self.unassign(&mut queues[*left]);
        }
        for entered in &seating.enter {
            let want = queues[*entered].feed.want();
            self.assign(&mut queues[*entered], want);
        }
        self.queues = queues;
        (self.turn, self.wanted) = (seating.turn, seating.wanted);
        !seating.enter.is_empty()
    }

    /// Fetches on in one partition; true when there is more to do at once.
    fn serve(&self, queue: &mut FedQueue) -> bool {
        if queue.queue.is_none() {
            return false;
        }
        let want = queue.feed.want();
        if want.generation != queue.generation || self.must_settle(queue, want) {
            self.assign(queue, want);
            return true;
        }
        if !want.room {
            return false;
        }
        let Some(polled) = &queue.queue else { return false };
        // Cleared first: what arrives from here on sets it again.
        queue.ready.store(false, Ordering::Release);
        // One whose turn is over is emptied at one go: till the next look librdkafka would have fetched more.
        let over = self.wanted && queue.given >= TURN;
        let most = if over { 16 * RUN } else { RUN };
        let (floor, waiting) = (queue.floor, &mut queue.waiting);
        let Some(ran) = queue.feed.fill(want.generation, |fill| waiting.take(polled, fill, most, floor)) else {
            return true;
        };
        if ran.events > 0 || ran.at_end {
            self.outage.is_over();
            queue.feed.confirm(Duration::ZERO);
            queue.at_end = ran.at_end;
        }
        if ran.events > 0 {
            tracing::debug!(partition = %queue.feed.id(), events = ran.events, "a poll gave events");
            queue.given += ran.events;
            (queue.given_at, queue.silent) = (self.clock.monotonic(), false);
        }
        if !ran.errors.is_empty() {
            ran.errors.into_iter().for_each(|(error, offset)| self.failed(queue, error, offset));
            return true;
        }
        if ran.empty {
            return self.drained(queue, ran.events) || ran.at_end;
        }
        // It was never found empty. In the middle of a batch it stays: all of it before would have to be unpacked again.
        if over && queue.given >= LONGEST_TURN && !queue.waiting.is_amid() {
            self.unassign(queue);
        }
        true
    }

    /// All that librdkafka had was taken over: the moment to leave a seat that others want. True when there is more.
    fn drained(&self, queue: &mut FedQueue, fetched: u64) -> bool {
        queue.silent =
            fetched == 0 && (queue.silent || self.clock.monotonic().saturating_sub(queue.given_at) >= SILENCE);
        if self.wanted && queue.given >= TURN && queue.guest().behind {
            self.unassign(queue);
            return true;
        }
        queue.ready.load(Ordering::Acquire)
    }

    /// Whether the known end stayed ahead of the reported one for so long that a new report is needed.
    fn must_settle(&self, queue: &mut FedQueue, want: Want) -> bool {
        if !queue.at_end || want.log_end <= want.next.max(queue.floor) {
            queue.behind_since = None;
            return false;
        }
        let now = self.clock.monotonic();
        now.saturating_sub(*queue.behind_since.get_or_insert(now)) >= SETTLE
    }

    /// Begins to fetch a partition at the next offset needed.
    fn assign(&self, queue: &mut FedQueue, want: Want) {
        tracing::debug!(partition = %queue.feed.id(), offset = want.next, end = want.log_end, "begins to fetch");
        queue.generation = want.generation;
        (queue.given, queue.given_at, queue.silent) = (0, self.clock.monotonic(), false);
        if let Err(error) = self.try_assign(queue, want) {
            let doing = format!("fetch {} from offset {}", queue.feed.id(), want.next);
            queue.feed.fail(queue.generation, SourceError::kafka(doing, error));
        }
    }

    /// Takes a partition from librdkafka; what that holds of it is fetched again.
    fn unassign(&self, queue: &mut FedQueue) {
        if let Err(error) = self.try_unassign(queue) {
            let doing = format!("rest from fetching {}", queue.feed.id());
            queue.feed.fail(queue.generation, SourceError::kafka(doing, error));
        }
    }

    fn try_unassign(&self, queue: &mut FedQueue) -> KafkaResult<()> {
        // The old queue takes its callback along, so it goes before a new one comes.
        let Some(old) = queue.queue.take() else { return Ok(()) };
        queue.waiting = Waiting::default();
        let id = queue.feed.id();
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&id.topic, id.partition);
        self.client.incremental_unassign(&list)?;
        // What is left in it is outdated now. librdkafka would keep that until the partition is assigned again; a poll
        // drops it.
        old.clear();
        Ok(())
    }

    fn try_assign(&self, queue: &mut FedQueue, want: Want) -> KafkaResult<()> {
        let id = queue.feed.id().clone();
        (queue.floor, queue.at_end, queue.behind_since) = (want.log_end, false, None);
        self.try_unassign(queue)?;
        // Split before it is assigned: nothing of it then ever reaches the common queue.
        let (ready, thread) = (Arc::clone(&queue.ready), std::thread::current());
        let nonempty = move || {
            ready.store(true, Ordering::Release);
            thread.unpark();
        };
        let split = Queue::split_batches(&self.client, &id.topic, id.partition, nonempty);
        queue.queue = Some(split.ok_or_else(|| KafkaError::Subscription(format!("no queue for {id}")))?);
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(&id.topic, id.partition, Offset::Offset(want.next))?;
        self.client.incremental_assign(&list)
    }

    /// Decides what an error of one partition means, which was met at `offset`.
    fn failed(&self, queue: &mut FedQueue, error: KafkaError, offset: i64) {
        use RDKafkaErrorCode as C;
        match error.rdkafka_error_code() {
            Some(C::AutoOffsetReset | C::OffsetOutOfRange) => self.out_of_range(queue),
            // Of messages older than batches, which librdkafka unpacks, and does not go on behind: the offset is that of the last.
            Some(C::BadCompression) if offset >= queue.feed.want().next => {
                queue.feed.fill(queue.generation, |fill| fill.unreadable(offset + 1, &error.to_string()));
                let want = queue.feed.want();
                self.assign(queue, want);
            }
            _ if is_unlisted(&error) => self.unlisted(queue),
            // librdkafka goes on by itself.
            _ if is_passing(&error) => tracing::debug!(target: "librdkafka", "{}: {error}", queue.feed.id()),
            _ => {
                let doing = format!("fetch {}", queue.feed.id());
                queue.feed.fail(queue.generation, SourceError::kafka(doing, error));
            }
        }
    }

    /// The broker did not know the partition for longer than it takes brokers to hear of one; or so it may be.
    fn unlisted(&self, queue: &mut FedQueue) {
        let id = queue.feed.id().clone();
        let want = queue.feed.want();
        match client::has(&self.client, &id) {
            Ok(false) if self.fail_on_data_loss => {
                queue.feed.fail(queue.generation, SourceError::Gone { partition: id, position: want.next });
            }
            Ok(false) => queue.feed.gone(queue.generation),
            // It is there after all, or nobody answers now: ask again by fetching again.
            Ok(true) | Err(_) => self.assign(queue, want),
        }
    }

    /// The next offset is not in the log any more, or not yet.
    fn out_of_range(&self, queue: &mut FedQueue) {
        let id = queue.feed.id().clone();
        let want = queue.feed.want();
        if want.generation != queue.generation {
            return;
        }
        let Ok((earliest, latest)) = self.client.fetch_watermarks(&id.topic, id.partition, PATIENCE) else {
            // Not to be known now: ask again by fetching again.
            self.assign(queue, want);
            return;
        };
        let next = want.next;
        if next > latest {
            queue.feed.fail(want.generation, SourceError::PastEnd { partition: id, offset: next, latest });
        } else if next >= earliest {
            // The end was before it, or its leader epoch was not that of the log: librdkafka has one code for both.
            tracing::warn!(
                "source {}: the broker refused offset {next} of {id}, and has it now: the log was cut and has grown since, as by \
                 an unclean leader election. What was read before may not be what the log holds; --full-refresh reads that",
                id.source
            );
            self.assign(queue, want);
        } else if self.fail_on_data_loss {
            let lost = OffsetRange::new(next, earliest);
            queue.feed.fail(want.generation, SourceError::DataLoss { partition: id, lost, earliest, latest });
        } else {
            tracing::warn!("source {}: offsets {next}..{earliest} of {id} are gone from the log, and lost", id.source);
            queue.feed.fill(want.generation, |fill| fill.lose(earliest, LossReason::Deleted));
            self.assign(queue, queue.feed.want());
        }
    }
}

impl FedQueue {
    fn new(feed: Feed) -> Self {
        Self {
            generation: feed.want().generation,
            feed,
            queue: None,
            ready: Arc::new(AtomicBool::new(true)),
            floor: 0,
            at_end: false,
            behind_since: None,
            given: 0,
            given_at: Duration::ZERO,
            silent: false,
            waiting: Waiting::default(),
        }
    }

    fn guest(&self) -> Guest {
        let want = self.feed.want();
        let idle = self.queue.is_some() && (self.at_end || self.silent);
        Guest {
            assigned: self.queue.is_some(),
            behind: !idle && want.log_end.saturating_sub(want.next) > BEHIND,
            urgent: want.next < want.demand,
        }
    }
}
