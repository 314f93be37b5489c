//! Kafka as a source, through librdkafka.
//!
//! The source assigns partitions explicitly, each from a position. It uses no subscription, no rebalancing and no offset of librdkafka's
//! choice. One client asks about topics and offsets, another one fetches: see [`fetch`].

mod answers;
mod ask;
mod client;
mod fetch;
mod outage;
mod seats;
mod setup;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sluicebox_core::{Clock, OffsetRange, PartitionId, SystemClock};

use crate::buffer::{Feed, PrefetchBuffer};
use crate::error::{Result, SourceError, is_unlisted};
use crate::options::KafkaOptions;
use crate::source::{Bounds, Buffered, KnownEnd, LogIdentity, Proof, Source, Taken, check_ends};
use ask::{Asker, FIRST_PAUSE, LONGEST_PAUSE};
use client::{Client, Context, Outage};
use fetch::Fetcher;
use setup::Purpose;

/// How often what waits for events looks whether the brokers have been away for too long.
const LOOK: Duration = Duration::from_secs(1);
/// How long the end of a source waits for librdkafka to tell the broker of the last offsets and to let go of its client.
const FAREWELL: Duration = Duration::from_secs(10);

/// Reads topics of a Kafka cluster.
///
/// The buffer holds `prefetch_bytes`; librdkafka's own queues hold up to half as much again, unless `kafka.*` options say
/// otherwise.
///
/// **A topic made anew** while it is read would go on to be fetched at the same offsets, which mean other events there:
/// librdkafka follows the name. So the id of each topic is asked for before the first fetch, and again after the events of
/// a range are all there: the answer is their [`Proof`]. Ids never come back: the same id says that all of them were the
/// topic's own.
pub struct KafkaSource {
    options: KafkaOptions,
    group_id: String,
    prefetch_bytes: u64,
    context: Context,
    asker: Asker,
    buffer: PrefetchBuffer,
    /// The id of each topic as it was when this source first heard of it; topics without one are not there.
    topic_ids: BTreeMap<String, String>,
    /// Topics that are read and that the brokers did not list when they were last asked.
    unlisted: BTreeSet<String>,
    fetching: Option<Fetching>,
}

struct Fetching {
    /// The thread's own: it is the thread that destroys it.
    client: Weak<Client>,
    feeds: mpsc::Sender<Feed>,
    /// Disconnected when the thread has destroyed the client. Never locked: a source is `Sync`, a receiver alone is not.
    ended: Mutex<mpsc::Receiver<Infallible>>,
}

impl Fetching {
    /// Waits until the client is gone, for `at_most`: librdkafka hangs for ever when a client is destroyed while it still has to
    /// handle an offset that is out of range (it takes the partition's lock twice). Then the thread is left to itself, and
    /// false returned; the events are safe, the broker may not hear of the last offsets.
    fn end(self, at_most: Duration) -> bool {
        drop(self.feeds);
        let ended = self.ended.into_inner().unwrap_or_else(PoisonError::into_inner);
        ended.recv_timeout(at_most) != Err(mpsc::RecvTimeoutError::Timeout)
    }
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
            let remedy = format!("write brokers as host:port,..., here or in {}", crate::options::BROKERS_ENV);
            return Err(SourceError::option(&name, "kafka.bootstrap.servers", "absent", remedy));
        };
        let buffer = PrefetchBuffer::hearing(prefetch_bytes, answers::longest_silence(&options));
        let context = Context::new(&name, &options, Outage::new(&name, &brokers), buffer.ends());
        let asker = Asker {
            client: Arc::new(setup::create(&name, &options, Purpose::Ask, context.clone())?),
            outage: Arc::clone(&context.outage),
            source: name,
            brokers,
            informant: Arc::default(),
            give_up_after: options.give_up_after,
        };
        let group_id = options.group_id(pipeline);
        let (topic_ids, unlisted, fetching) = (BTreeMap::new(), BTreeSet::new(), None);
        Ok(Self { options, group_id, prefetch_bytes, context, asker, buffer, topic_ids, unlisted, fetching })
    }

    /// Makes sure, without asking anybody, that librdkafka takes the `kafka.*` properties of `options`, and that the files
    /// which they name can be read.
    ///
    /// # Errors
    /// [`SourceError::Option`] with the property.
    pub fn check(name: &str, options: &KafkaOptions) -> Result<()> {
        setup::check(name, options)
    }

    async fn topics(&self) -> Result<BTreeMap<String, i32>> {
        let selection = self.options.selection.clone();
        self.asker.ask("learn the topics", move |client| client::topics(client, &selection)).await
    }

    /// Takes note of the ids of topics that were not heard of before.
    async fn learn_ids(&mut self, names: impl Iterator<Item = &String> + Send) -> Result<()> {
        let new: BTreeSet<String> = names.filter(|name| !self.topic_ids.contains_key(*name)).cloned().collect();
        if !new.is_empty() {
            let found = self.asker.ids_now(new).await?;
            self.topic_ids.extend(found);
        }
        Ok(())
    }

    /// That the topics of `ids` are still those that this source began to read.
    fn proof<'a>(&self, ids: impl Iterator<Item = &'a PartitionId>) -> Proof {
        let known = ids.filter_map(|id| self.topic_ids.get_key_value(&id.topic)).map(|(t, i)| (t.clone(), i.clone()));
        Proof::new(self.asker.clone().check_ids(known.collect()))
    }

    async fn selected(&self) -> Result<BTreeSet<PartitionId>> {
        let found = self.topics().await?;
        self.options.selection.select(&self.asker.source, &self.asker.brokers, &found)
    }

    /// Asks for the ends of `ids` beside all else, once: nobody waits, and a broker that does not answer is none's trouble.
    /// librdkafka does not always go on after a broker was away; an end that is ahead of what it reports makes the fetcher
    /// assign the partition anew.
    fn refresh_ends(&self, ids: BTreeSet<PartitionId>) {
        let (client, ends) = (Arc::clone(&self.asker.client), self.buffer.ends());
        tokio::task::spawn_blocking(move || {
            for (id, end) in client::ends(&client, &ids).unwrap_or_default() {
                ends.learn(&id, end);
                ends.confirm(&id, Duration::ZERO);
            }
        });
    }

    /// Tells, once, of topics that are read and are not among `selected`. librdkafka waits half a minute before it gives one up:
    /// brokers hear of new topics one after the other.
    fn note_unlisted(&mut self, selected: &BTreeSet<PartitionId>) {
        let listed: BTreeSet<&String> = selected.iter().map(|id| &id.topic).collect();
        let read = self.buffer.known().keys().map(|id| &id.topic);
        let unlisted: BTreeSet<String> = read.filter(|topic| !listed.contains(topic)).cloned().collect();
        for topic in unlisted.difference(&self.unlisted) {
            tracing::warn!(
                "source {}: the brokers list topic '{topic}' no more: it was deleted, or they do not know it for a moment. It is waited \
                 for until they have refused it for a while",
                self.asker.source
            );
        }
        self.unlisted = unlisted;
    }

    /// What the partitions hold that are there and `wanted`.
    async fn bounds_of(
        &mut self,
        wanted: impl Fn(&PartitionId) -> bool + Send,
    ) -> Result<BTreeMap<PartitionId, Bounds>> {
        let mut pause = FIRST_PAUSE;
        let (clock, doing) = (SystemClock::new(), "learn the offsets");
        let began = clock.monotonic();
        let bounds = loop {
            let selected: BTreeSet<_> = self.selected().await?.into_iter().filter(&wanted).collect();
            match self.asker.ask(doing, move |client| client::bounds(client, &selected)).await {
                // Brokers hear of a topic's end, or of its beginning, one after the other: what one lists, the next does
                // not know. The list is asked for again, and if the topic is gone it says so.
                Err(SourceError::Kafka { source, .. }) if is_unlisted(&source) => {
                    let waited = clock.monotonic().saturating_sub(began);
                    if self.options.give_up_after.is_some_and(|limit| waited > limit) {
                        return Err(self.asker.unreachable(doing, waited, &source.to_string()));
                    }
                    self.context.outage.begins(&source.to_string());
                }
                answer => break answer?,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        self.buffer.learn(&bounds);
        Ok(bounds)
    }

    /// Makes sure that no position lies behind the end of its partition.
    async fn check_positions(&self, ends: &BTreeMap<PartitionId, i64>) -> Result<()> {
        let Err(past) = check_ends(self.buffer.there(ends), self.buffer.known()) else { return Ok(()) };
        if !self.context.reads_committed() {
            return Err(past);
        }
        // Behind the last stable offset lie events of a transaction that is still open, which a run that reads uncommitted
        // ones may have taken before. The end of the log is what the others see.
        let mut options = self.options.clone();
        options.properties.insert("isolation.level".to_owned(), "read_uncommitted".to_owned());
        let all = Arc::new(setup::create(&self.asker.source, &options, Purpose::Ask, self.context.clone())?);
        let ids: BTreeSet<PartitionId> = self.buffer.there(ends).map(|(id, _)| id.clone()).collect();
        let bounds = Asker { client: all, ..self.asker.clone() }
            .ask("learn the offsets", move |client| client::bounds(client, &ids))
            .await?;
        check_ends(self.buffer.there(ends), &bounds)
    }

    fn begin(&mut self, partitions: usize) -> Result<&Fetching> {
        let purpose = Purpose::Fetch { group_id: &self.group_id, partitions, prefetch_bytes: self.prefetch_bytes };
        let client = Arc::new(setup::create(&self.asker.source, &self.options, purpose, self.context.of_fetching())?);
        let (feeds, new_feeds) = mpsc::channel();
        let (alive, ended) = mpsc::channel();
        let kept = Arc::downgrade(&client);
        let fetcher = Fetcher {
            client,
            outage: Arc::clone(&self.context.outage),
            fail_on_data_loss: self.options.fail_on_data_loss,
            new_feeds,
            stopping: self.buffer.stopping(),
            queues: Vec::new(),
            turn: 0,
            wanted: false,
            clock: SystemClock::new(),
        };
        let thread = std::thread::Builder::new()
            .name(format!("fetch-{}", self.asker.source))
            .spawn(move || {
                let _until_the_client_is_gone: mpsc::Sender<Infallible> = alive;
                fetcher.run();
            })
            .map_err(|e| SourceError::Threads { source_name: self.asker.source.clone(), why: e.to_string() })?;
        self.buffer.set_fetcher(thread.thread().clone());
        Ok(self.fetching.insert(Fetching { client: kept, feeds, ended: Mutex::new(ended) }))
    }
}

#[async_trait]
impl Source for KafkaSource {
    fn name(&self) -> &str {
        &self.asker.source
    }

    async fn identity(&mut self) -> Result<LogIdentity> {
        let selected = self.selected().await?;
        let log = self
            .asker
            .ask("learn the cluster's id", |client| Ok(client.client().fetch_cluster_id(client::PATIENCE)))
            .await?
            .unwrap_or_default();
        let names: BTreeSet<String> = selected.into_iter().map(|id| id.topic).collect();
        self.learn_ids(names.iter()).await?;
        let topics = names.into_iter().map(|name| (name.clone(), self.topic_ids.get(&name).cloned())).collect();
        Ok(LogIdentity { log, topics })
    }

    async fn partitions(&mut self) -> Result<BTreeSet<PartitionId>> {
        let selected = self.selected().await?;
        self.note_unlisted(&selected);
        self.refresh_ends(selected.clone());
        Ok(selected)
    }

    async fn bounds(&mut self) -> Result<BTreeMap<PartitionId, Bounds>> {
        self.bounds_of(|_| true).await
    }

    async fn starting_offsets(&mut self) -> Result<BTreeMap<PartitionId, i64>> {
        let bounds = self.bounds().await?;
        self.options.starting_offsets.resolve(&self.asker.source, &bounds)
    }

    async fn start(&mut self, positions: &BTreeMap<PartitionId, i64>) -> Result<()> {
        // Only of those that are new: one whose leader is away must not hold up the others.
        let unknown: BTreeSet<PartitionId> = self.buffer.unknown(positions.keys()).cloned().collect();
        if !unknown.is_empty() {
            self.bounds_of(|id| unknown.contains(id)).await?;
        }
        self.check_positions(positions).await?;
        self.learn_ids(positions.keys().map(|id| &id.topic)).await?;
        if self.fetching.is_none() {
            self.begin(positions.len())?;
        }
        let Some(fetching) = &self.fetching else { return Ok(()) };
        for feed in self.buffer.begin(positions, self.options.fail_on_data_loss)? {
            if self.context.outage.was() {
                feed.miss();
            }
            fetching.feeds.send(feed).map_err(|_| SourceError::Internal {
                source_name: self.asker.source.clone(),
                what: "the thread that fetches has ended".to_owned(),
            })?;
        }
        self.buffer.wake();
        Ok(())
    }

    async fn buffered(&mut self) -> Result<Vec<Buffered>> {
        self.asker.give_up("fetch")?;
        self.buffer.buffered()
    }

    fn ends(&self) -> BTreeMap<PartitionId, KnownEnd> {
        self.buffer.known_ends()
    }

    async fn changed(&mut self) {
        self.buffer.changed().await;
    }

    async fn take(&mut self, ranges: &BTreeMap<PartitionId, OffsetRange>) -> Result<Taken> {
        if self.buffer.end_unknown(ranges) {
            self.bounds_of(|id| ranges.contains_key(id)).await?;
            self.check_positions(&ranges.iter().map(|(id, range)| (id.clone(), range.to)).collect()).await?;
        }
        let taken = {
            let taking = self.buffer.take(ranges);
            tokio::pin!(taking);
            loop {
                tokio::select! {
                    taken = &mut taking => break taken?,
                    () = tokio::time::sleep(LOOK) => self.asker.give_up("fetch")?,
                }
            }
        };
        Ok(Taken { proof: self.proof(ranges.keys()), ..taken })
    }

    async fn committed(&mut self, ends: &BTreeMap<PartitionId, i64>) -> Result<()> {
        let Some(client) = self.fetching.as_ref().and_then(|fetching| fetching.client.upgrade()) else { return Ok(()) };
        let doing = || format!("commit offsets of group {}", self.group_id);
        let mut list = TopicPartitionList::with_capacity(ends.len());
        for (id, end) in ends {
            list.add_partition_offset(&id.topic, id.partition, Offset::Offset(*end))
                .map_err(|e| SourceError::kafka(doing(), e))?;
        }
        match client.commit(&list, CommitMode::Async) {
            // Nothing new to commit is no failure.
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => Ok(()),
            Err(error) => Err(SourceError::kafka(doing(), error)),
        }
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.buffer.stop();
        if self.fetching.take().is_some_and(|fetching| !fetching.end(FAREWELL)) {
            tracing::warn!(
                "source {}: the Kafka client did not end within {FAREWELL:?}, and is left",
                self.asker.source
            );
        }
    }
}
