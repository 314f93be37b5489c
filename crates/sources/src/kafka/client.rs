//! The librdkafka client: its queries and the errors that it reports. Calls here block.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sluicebox_core::PartitionId;
use sluicebox_core::secret::Pieces;
use sluicebox_core::shown::cut;
use sluicebox_librdkafka::topic_ids;

use super::answers::answered;
pub(crate) use super::outage::Outage;
use crate::buffer::Ends;
use crate::options::{KafkaOptions, Selection};
use crate::source::Bounds;

pub(crate) type Client = BaseConsumer<Context>;

/// How long one question to a broker may take before it counts as failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// The same for a question whose answer may as well come another time.
const IMPATIENCE: Duration = Duration::from_secs(1);

/// The facility of errors that have nobody but the log to be told to. When events are taken many at a time, those are among
/// them by which librdkafka says that a partition is not there any more (`rd_kafka_poll_cb`, of `RD_KAFKA_OP_ERR`).
const UNTOLD: &str = "ERROR";

/// What librdkafka reports outside of answers.
#[derive(Clone)]
pub(crate) struct Context {
    source: String,
    pub(crate) outage: Arc<Outage>,
    ends: Ends,
    read_committed: bool,
    /// What librdkafka may quote of its properties, and nobody is to read.
    secrets: Arc<Pieces>,
    /// Whether this client is listened to all the time: what another reports may be long over.
    fetches: bool,
    /// Whether librdkafka told an error of some partition to its log alone.
    untold: Arc<AtomicBool>,
}

impl Context {
    pub(crate) fn new(source: &str, options: &KafkaOptions, outage: Outage, ends: Ends) -> Self {
        let isolation = options.properties.get("isolation.level");
        let read_committed = isolation.is_some_and(|level| level == "read_committed");
        Self {
            source: source.to_owned(),
            outage: Arc::new(outage),
            ends,
            read_committed,
            secrets: Arc::new(options.secrets()),
            fetches: false,
            untold: Arc::default(),
        }
    }

    /// Whether the end of a partition is its last stable offset.
    pub(crate) fn reads_committed(&self) -> bool {
        self.read_committed
    }

    /// Whether something was wrong with a partition, of which nothing but that is known; asked once for each time.
    pub(crate) fn has_untold_error(&self) -> bool {
        self.untold.load(Ordering::Relaxed) && self.untold.swap(false, Ordering::Relaxed)
    }

    /// What librdkafka says, without secrets. Of what a broker says in it, the beginning is enough.
    fn told(&self, said: &str) -> String {
        cut(&self.secrets.hide(said))
    }

    /// For the client that fetches.
    pub(crate) fn of_fetching(&self) -> Self {
        Self { fetches: true, untold: Arc::default(), ..self.clone() }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == UNTOLD {
            self.untold.store(true, Ordering::Relaxed);
        }
        // Lost connections are told once, by `Outage`; librdkafka repeats them at every attempt.
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(target: "librdkafka", "{facility}: {}", self.told(message));
            }
            RDKafkaLogLevel::Warning if facility != "FAIL" => {
                tracing::warn!(target: "librdkafka", "{facility}: {}", self.told(message))
            }
            _ => tracing::debug!(target: "librdkafka", "{facility}: {}", self.told(message)),
        }
    }

    /// Every answer to a fetch tells the partition's end; librdkafka hands it on in its statistics. They come whether there are
    /// answers or not: an end is confirmed by those that its broker gave last.
    fn stats(&self, statistics: Statistics) {
        let answered = answered(&statistics);
        for (name, topic) in statistics.topics {
            for partition in topic.partitions.into_values().filter(|p| p.partition >= 0) {
                let end = if self.read_committed { partition.ls_offset } else { partition.hi_offset };
                if end >= 0 {
                    let id = PartitionId::new(&self.source, &name, partition.partition);
                    self.ends.learn(&id, end);
                    // The broker that it is fetched from; none while its leader is away.
                    if let Some(ago) = answered.get(&partition.broker).filter(|_| partition.fetch_state == "active") {
                        self.ends.confirm(&id, *ago);
                    }
                }
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        use RDKafkaErrorCode as C;
        tracing::debug!(target: "librdkafka", "{error}: {}", self.told(reason));
        let outage = &self.outage;
        match error.rdkafka_error_code() {
            // librdkafka says "0/1 brokers are down" while it connects anew.
            Some(C::AllBrokersDown) if !self.fetches || reason.starts_with("0/") => {}
            Some(C::AllBrokersDown) => outage.begins("all brokers are down"),
            // Behind the reason stands how long librdkafka was in which of its states.
            Some(C::BrokerTransportFailure | C::Resolve) => {
                outage.note(&self.told(reason.split_once(" (after ").map_or(reason, |(reason, _)| reason)));
            }
            Some(C::Authentication | C::SaslAuthenticationFailed | C::SSL | C::UnsupportedSASLMechanism) => {
                outage.note(&self.told(reason));
                *outage.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
            Some(C::CriticalSystemResource) if reason.contains("thread") => {
                *outage.lacking.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.told(reason));
            }
            _ => {}
        }
    }
}

impl ConsumerContext for Context {
    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        match result {
            Ok(()) => self.outage.commit_failed.store(false, Ordering::Relaxed),
            Err(error) => {
                if !self.outage.commit_failed.swap(true, Ordering::Relaxed) {
                    let source = &self.outage.source;
                    tracing::warn!("source {source}: lag tools will show old offsets, committing them failed: {error}");
                }
            }
        }
    }
}

/// Handles what librdkafka has to report, so that the reason of a failure is known. The client that fetches does this in
/// its loop.
pub(crate) fn drain(client: &Client, failed: bool) {
    // Without a timeout a poll ends at the first log line, whatever else is there. Of a broker that is down there is
    // always more to report, so there is a limit too.
    let (polls, wait) = if failed { (20, Duration::from_millis(5)) } else { (5, Duration::from_millis(1)) };
    for _ in 0..polls {
        if client.poll(wait).is_none() {
            break;
        }
    }
}

/// The partition counts of the topics that `selection` may mean: the named ones that are there, or all.
pub(crate) fn topics(client: &Client, selection: &Selection) -> KafkaResult<BTreeMap<String, i32>> {
    let mut out = BTreeMap::new();
    let mut ask = |topic: Option<&str>| -> KafkaResult<()> {
        let metadata = client.fetch_metadata(topic, PATIENCE)?;
        for found in metadata.topics() {
            match found.error().map(RDKafkaErrorCode::from) {
                None | Some(RDKafkaErrorCode::NoError) => {
                    let count = i32::try_from(found.partitions().len()).unwrap_or(i32::MAX);
                    out.insert(found.name().to_owned(), count);
                }
                Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {}
                // Of topics that nobody asked for, the trouble is nobody's.
                Some(_) if topic.is_none() => {}
                Some(code) => return Err(KafkaError::MetadataFetch(code)),
            }
        }
        Ok(())
    };
    match selection.named_topics() {
        None => ask(None)?,
        Some(names) => {
            for name in &names {
                ask(Some(name))?;
            }
            if names.iter().any(|n| !out.contains_key(*n)) {
                // The error names the topics that there are.
                let client_topics = client.fetch_metadata(None, PATIENCE)?;
                for found in client_topics.topics().iter().filter(|t| t.error().is_none()) {
                    out.entry(found.name().to_owned()).or_insert(found.partitions().len() as i32);
                }
            }
        }
    }
    Ok(out)
}

/// The broker that is asked for topic ids: one that is there, and after a failure the next.
#[derive(Debug, Default)]
pub(crate) struct Informant {
    /// Its number and one; 0 while none is chosen.
    chosen: AtomicI32,
    turn: AtomicUsize,
}

impl Informant {
    /// The ids that `topics` have now; a topic that is gone, or has none, is left out.
    pub(crate) fn topic_ids(&self, client: &Client, topics: &[&str]) -> KafkaResult<BTreeMap<String, String>> {
        if self.chosen.load(Ordering::Relaxed) == 0 {
            // The answer lists the brokers that live.
            let metadata = client.fetch_metadata(topics.first().copied(), PATIENCE)?;
            let brokers = metadata.brokers();
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % brokers.len().max(1);
            let broker = brokers.get(turn).ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::AllBrokersDown))?;
            self.chosen.store(broker.id() + 1, Ordering::Relaxed);
        }
        let answer = topic_ids(client.client(), self.chosen.load(Ordering::Relaxed) - 1, topics, PATIENCE);
        if answer.is_err() {
            self.chosen.store(0, Ordering::Relaxed);
        }
        answer
    }
}

/// Whether the cluster has this partition.
pub(crate) fn has(client: &Client, id: &PartitionId) -> KafkaResult<bool> {
    let metadata = client.fetch_metadata(Some(&id.topic), PATIENCE)?;
    let found = metadata.topics().iter().find(|t| t.name() == id.topic);
    match found.and_then(|t| t.error()).map(RDKafkaErrorCode::from) {
        None => Ok(found.is_some_and(|t| t.partitions().iter().any(|p| p.id() == id.partition))),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(false),
        Some(code) => Err(KafkaError::MetadataFetch(code)),
    }
}

/// What each partition holds: one question a broker for the starts and one for the ends. The end is the last stable
/// offset under `read_committed`: librdkafka asks with the client's isolation level.
pub(crate) fn bounds(client: &Client, ids: &BTreeSet<PartitionId>) -> KafkaResult<BTreeMap<PartitionId, Bounds>> {
    let earliest = offsets(client, ids, Offset::Beginning, PATIENCE)?;
    let latest = offsets(client, ids, Offset::End, PATIENCE)?;
    let one = |id: &PartitionId| {
        let key = (id.topic.clone(), id.partition);
        let (earliest, latest) = (*earliest.get(&key)?, *latest.get(&key)?);
        Some((id.clone(), Bounds { earliest, latest: latest.max(earliest) }))
    };
    Ok(ids.iter().filter_map(one).collect())
}

/// The ends of `ids`, if they are to be had at once.
pub(crate) fn ends(client: &Client, ids: &BTreeSet<PartitionId>) -> KafkaResult<BTreeMap<PartitionId, i64>> {
    let mut latest = offsets(client, ids, Offset::End, IMPATIENCE)?;
    let one = |id: &PartitionId| Some((id.clone(), latest.remove(&(id.topic.clone(), id.partition))?));
    Ok(ids.iter().filter_map(one).collect())
}

fn offsets(
    client: &Client,
    ids: &BTreeSet<PartitionId>,
    which: Offset,
    patience: Duration,
) -> KafkaResult<BTreeMap<(String, i32), i64>> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut asked = TopicPartitionList::with_capacity(ids.len());
    for id in ids {
        asked.add_partition_offset(&id.topic, id.partition, which)?;
    }
    // Where a timestamp would stand, Kafka's protocol takes -2 and -1 for the start and the end.
    let answered = client.offsets_for_times(asked, patience)?;
    let mut out = BTreeMap::new();
    for element in answered.elements() {
        element.error()?;
        match element.offset() {
            Offset::Offset(offset) => out.insert((element.topic().to_owned(), element.partition()), offset),
            _ => return Err(KafkaError::OffsetFetch(RDKafkaErrorCode::LeaderNotAvailable)),
        };
    }
    Ok(out)
}
