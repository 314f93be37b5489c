//! Kafka as a source, through librdkafka.
//!
//! Partitions are assigned explicitly, each from a position; there is no subscription, no rebalancing and no offset that
//! librdkafka decides on. One client asks about topics and offsets, another fetches: see [`fetch`].

mod client;
mod fetch;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sluicebox_core::{OffsetRange, PartitionId, SystemClock};

use crate::buffer::{Feed, PrefetchBuffer};
use crate::error::{Result, SourceError, is_passing, is_unlisted};
use crate::options::KafkaOptions;
use crate::source::{Bounds, Buffered, LogIdentity, Source, Taken, check_ends};
use client::{Client, Context, Outage, Purpose};
use fetch::Fetcher;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Reads topics of a Kafka cluster.
///
/// The buffer holds `prefetch_bytes`; librdkafka's own queues hold up to half as much again, unless `kafka.*` options say
/// otherwise. Topic ids are not known: librdkafka has no safe call for them. A topic that was deleted and made anew shows
/// when a position lies past its end.
pub struct KafkaSource {
    name: String,
    options: KafkaOptions,
    brokers: String,
    group_id: String,
    prefetch_bytes: u64,
    context: Context,
    asking: Arc<Client>,
    buffer: PrefetchBuffer,
    /// The ends that [`Source::bounds`] found last.
    ends: BTreeMap<PartitionId, i64>,
    fetching: Option<Fetching>,
}

struct Fetching {
    client: Arc<Client>,
    feeds: mpsc::Sender<Feed>,
    thread: JoinHandle<()>,
}

impl KafkaSource {
    /// A source named `name` that reads what `options` select, ahead by `prefetch_bytes` at most. Lag tools see it as the
    /// group [`KafkaOptions::group_id`] of `pipeline`. Nothing is sent to the brokers yet.
    ///
    /// # Errors
    /// When there are no brokers, or librdkafka does not take a `kafka.*` property.
    pub fn new(name: impl Into<String>, options: KafkaOptions, pipeline: &str, prefetch_bytes: u64) -> Result<Self> {
        let name = name.into();
        let Some(brokers) = options.brokers.clone() else {
            let accepted = format!("brokers as host:port,..., here or in {}", crate::options::BROKERS_ENV);
            return Err(SourceError::option(&name, "kafka.bootstrap.servers", "absent", accepted));
        };
        let buffer = PrefetchBuffer::new(prefetch_bytes);
        let context = Context::new(&name, &options, Outage::new(&name, &brokers), buffer.ends());
        let asking = Arc::new(client::create(&name, &options, Purpose::Ask, context.clone())?);
        let group_id = options.group_id(pipeline);
        let ends = BTreeMap::new();
        Ok(Self { name, options, brokers, group_id, prefetch_bytes, context, asking, buffer, ends, fetching: None })
    }

    /// Asks the brokers, again and again while they are down.
    async fn ask<T: Send + 'static>(
        &self,
        doing: &str,
        call: impl Fn(&Client) -> KafkaResult<T> + Clone + Send + 'static,
    ) -> Result<T> {
        let mut pause = FIRST_PAUSE;
        loop {
            let (client, call) = (Arc::clone(&self.asking), call.clone());
            let asked = tokio::task::spawn_blocking(move || {
                let answer = call(&client);
                client::drain(&client, answer.is_err());
                answer
            });
            let answer = asked
                .await
                .map_err(|e| SourceError::Internal { source_name: self.name.clone(), what: e.to_string() })?;
            let outage = &self.context.outage;
            match answer {
                Ok(answer) => {
                    outage.is_over();
                    return Ok(answer);
                }
                Err(error) if is_passing(&error) => {
                    if let Some(refusal) = outage.refusal() {
                        let why = outage.trouble().map(|t| format!(" ({t})")).unwrap_or_default();
                        return Err(SourceError::kafka(format!("{doing} from {}{why}", self.brokers), refusal));
                    }
                    outage.begins(&error.to_string());
                }
                Err(error) => return Err(SourceError::kafka(format!("{doing} from {}", self.brokers), error)),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn topics(&self) -> Result<BTreeMap<String, i32>> {
        let selection = self.options.selection.clone();
        self.ask("learn the topics", move |client| client::topics(client, &selection)).await
    }

    fn begin(&mut self, partitions: usize) -> Result<&Fetching> {
        let purpose = Purpose::Fetch { group_id: &self.group_id, partitions, prefetch_bytes: self.prefetch_bytes };
        let client = Arc::new(client::create(&self.name, &self.options, purpose, self.context.of_fetching())?);
        let (feeds, new_feeds) = mpsc::channel();
        let fetcher = Fetcher {
            client: Arc::clone(&client),
            outage: Arc::clone(&self.context.outage),
            fail_on_data_loss: self.options.fail_on_data_loss,
            new_feeds,
            stopping: self.buffer.stopping(),
            queues: Vec::new(),
            clock: SystemClock::new(),
        };
        let thread =
            std::thread::Builder::new().name(format!("fetch-{}", self.name)).spawn(move || fetcher.run()).map_err(
                |e| SourceError::Internal { source_name: self.name.clone(), what: format!("no thread to fetch: {e}") },
            )?;
        self.buffer.set_fetcher(thread.thread().clone());
        Ok(self.fetching.insert(Fetching { client, feeds, thread }))
    }
}

#[async_trait]
impl Source for KafkaSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn identity(&mut self) -> Result<LogIdentity> {
        let found = self.topics().await?;
        let selected = self.options.selection.select(&self.name, &self.brokers, &found)?;
        let log = self
            .ask("learn the cluster's id", |client| Ok(client.client().fetch_cluster_id(client::PATIENCE)))
            .await?
            .unwrap_or_default();
        Ok(LogIdentity { log, topics: selected.into_iter().map(|id| (id.topic, None)).collect() })
    }

    async fn bounds(&mut self) -> Result<BTreeMap<PartitionId, Bounds>> {
        let mut pause = FIRST_PAUSE;
        let bounds = loop {
            let found = self.topics().await?;
            let selected = self.options.selection.select(&self.name, &self.brokers, &found)?;
            match self.ask("learn the offsets", move |client| client::bounds(client, &selected)).await {
                // Brokers hear of a topic's end, or of its beginning, one after the other: what one lists, the next does
                // not know. The list is asked for again, and if the topic is gone it says so.
                Err(SourceError::Kafka { source, .. }) if is_unlisted(&source) => {
                    self.context.outage.begins(&source.to_string());
                }
                answer => break answer?,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        let ends = self.buffer.ends();
        for (id, held) in &bounds {
            ends.learn(id, held.latest);
            self.ends.insert(id.clone(), held.latest);
        }
        Ok(bounds)
    }

    async fn starting_offsets(&mut self) -> Result<BTreeMap<PartitionId, i64>> {
        let bounds = self.bounds().await?;
        self.options.starting_offsets.resolve(&self.name, &bounds)
    }

    async fn start(&mut self, positions: &BTreeMap<PartitionId, i64>) -> Result<()> {
        if positions.keys().any(|id| !self.ends.contains_key(id)) {
            self.bounds().await?;
        }
        if self.fetching.is_none() {
            self.begin(positions.len())?;
        }
        let Some(fetching) = &self.fetching else { return Ok(()) };
        for (id, position) in positions {
            let end = self.ends.get(id).copied().unwrap_or(*position);
            if let Some(feed) = self.buffer.add(id, *position, end) {
                fetching.feeds.send(feed).map_err(|_| SourceError::Internal {
                    source_name: self.name.clone(),
                    what: "the thread that fetches has ended".to_owned(),
                })?;
            }
        }
        self.buffer.wake();
        Ok(())
    }

    async fn buffered(&mut self) -> Result<Vec<Buffered>> {
        self.buffer.buffered()
    }

    async fn changed(&mut self) {
        self.buffer.changed().await;
    }

    async fn take(&mut self, ranges: &BTreeMap<PartitionId, OffsetRange>) -> Result<Taken> {
        if self.buffer.end_unknown(ranges) {
            let bounds = self.bounds().await?;
            check_ends(ranges, &bounds)?;
        }
        self.buffer.take(ranges).await
    }

    async fn committed(&mut self, ends: &BTreeMap<PartitionId, i64>) -> Result<()> {
        let Some(fetching) = &self.fetching else { return Ok(()) };
        let doing = || format!("commit offsets of group {}", self.group_id);
        let mut list = TopicPartitionList::with_capacity(ends.len());
        for (id, end) in ends {
            list.add_partition_offset(&id.topic, id.partition, Offset::Offset(*end))
                .map_err(|e| SourceError::kafka(doing(), e))?;
        }
        match fetching.client.commit(&list, CommitMode::Async) {
            // Nothing new to commit is no failure.
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => Ok(()),
            Err(error) => Err(SourceError::kafka(doing(), error)),
        }
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.buffer.stop();
        if let Some(fetching) = self.fetching.take() {
            // A panic of the thread was reported when it happened.
            let _ = fetching.thread.join();
        }
    }
}
