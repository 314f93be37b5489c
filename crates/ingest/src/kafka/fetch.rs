//! The thread that fetches: one librdkafka consumer, one queue a partition, polled in turn while there is room.
//!
//! A partition whose share of the buffer is full is simply not polled; librdkafka then stops fetching it when its own
//! small queue is full. No partition is ever paused, and none waits for another.
//!
//! **How the end is known.** librdkafka reports a partition's end ("EOF") without saying at which offset. Two things do:
//! the consumer's position, which transaction markers move, and the moment of assignment: an end reported after it lies at
//! or past every end that was known before it. So when the known end stays ahead of what was seen though the end was
//! reported (compaction may leave a log without its last records), the partition is assigned anew and the next report
//! settles it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sluicebox_core::station::{self, Station};
use sluicebox_core::{Clock, OffsetRange, SystemClock};

use super::client::{self, Client, Context, Outage, PATIENCE};
use crate::buffer::{Feed, Fill, Stopping, Want};
use crate::error::{SourceError, is_passing, is_unlisted};
use crate::source::LossReason;

/// Messages taken in one run, so that the lock on the columns is given back now and then.
const RUN: usize = 1024;
/// The longest rest: events wake the thread earlier.
const REST: Duration = Duration::from_millis(50);
/// How long a known end may stay ahead of a reported one before the partition is assigned anew.
const SETTLE: Duration = Duration::from_millis(300);

pub(crate) struct Fetcher {
    pub(crate) client: Arc<Client>,
    pub(crate) outage: Arc<Outage>,
    pub(crate) fail_on_data_loss: bool,
    pub(crate) new_feeds: mpsc::Receiver<Feed>,
    pub(crate) stopping: Stopping,
    pub(crate) queues: Vec<FedQueue>,
    pub(crate) clock: SystemClock,
}

pub(crate) struct FedQueue {
    feed: Feed,
    queue: Option<PartitionQueue<Context>>,
    /// Whether something may be in the queue.
    ready: Arc<AtomicBool>,
    generation: u64,
    /// The newest end known when the partition was assigned.
    floor: i64,
    /// Whether the end was reported after the last message.
    at_end: bool,
    /// Since when the known end is ahead though the end was reported.
    behind_since: Option<Duration>,
}

/// How a run over a queue ended.
enum Run {
    More,
    Empty,
    End,
    Failed(KafkaError),
}

impl Fetcher {
    pub(crate) fn run(mut self) {
        while !self.stopping.is_set() {
            let new: Vec<Feed> = self.new_feeds.try_iter().collect();
            for feed in new {
                let generation = feed.want().generation;
                let ready = Arc::new(AtomicBool::new(true));
                let queue =
                    FedQueue { feed, queue: None, ready, generation, floor: 0, at_end: false, behind_since: None };
                self.queues.push(queue);
            }
            let at_work = station::begin(Station::Fetch);
            let mut more = self.serve_client();
            let mut queues = std::mem::take(&mut self.queues);
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
                    let owner =
                        self.queues.iter().find(|q| q.feed.id().topic == topic && q.feed.id().partition == partition);
                    if let Some(queue) = owner {
                        queue.feed.fill(queue.generation, |fill| push(fill, &message));
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

    /// Fetches on in one partition; true when there is more to do at once.
    fn serve(&self, queue: &mut FedQueue) -> bool {
        let want = queue.feed.want();
        if queue.queue.is_none() || want.generation != queue.generation || self.must_settle(queue, want) {
            queue.generation = want.generation;
            self.assign(queue, want);
            return true;
        }
        if !want.room {
            return false;
        }
        let Some(polled) = &queue.queue else { return false };
        // Cleared first: what arrives from here on sets it again.
        queue.ready.store(false, Ordering::Release);
        let outage = &self.outage;
        let mut fetched = false;
        let ran = queue.feed.fill(want.generation, |fill| {
            for _ in 0..RUN {
                if !fill.has_room() {
                    return Run::More;
                }
                match polled.poll(Duration::ZERO) {
                    None => return Run::Empty,
                    Some(Ok(message)) => {
                        push(fill, &message);
                        fetched = true;
                    }
                    Some(Err(KafkaError::PartitionEOF(_))) => return Run::End,
                    Some(Err(error)) => return Run::Failed(error),
                }
            }
            Run::More
        });
        if fetched {
            outage.is_over();
            queue.at_end = false;
        }
        match ran {
            None | Some(Run::More) => true,
            Some(Run::Empty) => queue.ready.load(Ordering::Acquire),
            Some(Run::End) => {
                self.at_end(queue);
                true
            }
            Some(Run::Failed(error)) => self.failed(queue, error),
        }
    }

    /// The end was reported: everything before it was seen.
    fn at_end(&self, queue: &mut FedQueue) {
        self.outage.is_over();
        queue.at_end = true;
        let id = queue.feed.id();
        let position = self.client.position().ok().and_then(|all| {
            let found = all.find_partition(&id.topic, id.partition)?.offset();
            if let Offset::Offset(offset) = found { Some(offset) } else { None }
        });
        let proven = position.unwrap_or(0).max(queue.floor);
        queue.feed.fill(queue.generation, |fill| fill.prove(proven));
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
        if let Err(error) = self.try_assign(queue, want) {
            let doing = format!("fetch {} from offset {}", queue.feed.id(), want.next);
            queue.feed.fail(queue.generation, SourceError::kafka(doing, error));
        }
    }

    fn try_assign(&self, queue: &mut FedQueue, want: Want) -> KafkaResult<()> {
        let id = queue.feed.id().clone();
        (queue.floor, queue.at_end, queue.behind_since) = (want.log_end, false, None);
        // The old queue takes its callback along, so it goes before the new one comes.
        let assigned = queue.queue.take().is_some();
        if assigned {
            let mut list = TopicPartitionList::with_capacity(1);
            list.add_partition(&id.topic, id.partition);
            self.client.incremental_unassign(&list)?;
        }
        // Split before it is assigned: nothing of it then ever reaches the common queue.
        let mut split = self
            .client
            .split_partition_queue(&id.topic, id.partition)
            .ok_or_else(|| KafkaError::Subscription(format!("no queue for {id}")))?;
        let (ready, thread) = (Arc::clone(&queue.ready), std::thread::current());
        split.set_nonempty_callback(move || {
            ready.store(true, Ordering::Release);
            thread.unpark();
        });
        queue.queue = Some(split);
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(&id.topic, id.partition, Offset::Offset(want.next))?;
        self.client.incremental_assign(&list)
    }

    /// Decides what an error of one partition means; true when there is more to do at once.
    fn failed(&self, queue: &mut FedQueue, error: KafkaError) -> bool {
        use RDKafkaErrorCode as C;
        match error.rdkafka_error_code() {
            Some(C::AutoOffsetReset | C::OffsetOutOfRange) => self.out_of_range(queue),
            _ if is_unlisted(&error) => self.unlisted(queue),
            // librdkafka goes on by itself.
            _ if is_passing(&error) => tracing::debug!(target: "librdkafka", "{}: {error}", queue.feed.id()),
            _ => {
                let doing = format!("fetch {}", queue.feed.id());
                queue.feed.fail(queue.generation, SourceError::kafka(doing, error));
            }
        }
        true
    }

    /// The broker did not know the partition for longer than it takes brokers to hear of one.
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

fn push(fill: &mut Fill<'_>, message: &BorrowedMessage<'_>) {
    let (offset, key, value) = (message.offset(), message.key(), message.payload());
    let timestamp = message.timestamp().to_millis().filter(|t| *t >= 0);
    match message.headers() {
        None => fill.push(offset, timestamp, key, value, std::iter::empty()),
        Some(headers) => {
            let headers: Vec<_> = (0..headers.count()).map(|i| header(headers, i)).collect();
            fill.push(offset, timestamp, key, value, headers.iter().map(|h| (h.key, h.value)));
        }
    }
}

/// One header. rdkafka panics on a key that is not UTF-8; such a header is shown with a replacement character and no
/// value, since its bytes cannot be had.
fn header<H: Headers>(headers: &H, index: usize) -> Header<'_, &[u8]> {
    let read = std::panic::AssertUnwindSafe(|| headers.get(index));
    std::panic::catch_unwind(read).unwrap_or(Header { key: "\u{fffd}", value: None })
}
