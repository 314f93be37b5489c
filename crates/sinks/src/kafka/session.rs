//! One open sink: a producer that has initialised its transactions, and the marker that it read then.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, PurgeConfig};
use rdkafka::topic_partition_list::Offset;
use sluicebox_core::Certainty;
use sluicebox_core::secret::Pieces;
use sluicebox_core::shown::cut;
use sluicebox_core::threads;

use super::encode::{Encoder, Events};
use super::marker::{Marker, Todo};
use super::{BATCH_HEADER, KafkaSinkOptions, Opened, config, forgotten, name_of, trouble};
use crate::error::{RemoteError, Result};
use crate::outbox::Outbox;
use crate::output::StagedRows;
use crate::owner::Owner;

/// How long one question to the brokers may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the end of a transaction may take, the delivery of its events with it.
const COMMIT: Duration = Duration::from_secs(120);
/// How long is waited for room in the client's queue.
const ROOM: Duration = Duration::from_millis(10);
/// How long what is not to be sent any more may take to be taken back.
const BACK: Duration = Duration::from_secs(1);

/// What the client says beside its answers.
struct Context {
    secrets: Pieces,
    /// Why the first event was not delivered.
    undelivered: Mutex<Option<KafkaError>>,
}

impl Context {
    fn new(options: &KafkaSinkOptions) -> Self {
        Self { secrets: options.secrets.clone(), undelivered: Mutex::default() }
    }

    fn take_undelivered(&self) -> Option<KafkaError> {
        self.undelivered.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let message = cut(&self.secrets.hide(message));
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(target: "librdkafka", "{facility}: {message}");
            }
            // What becomes of a call is told by the call.
            _ => tracing::debug!(target: "librdkafka", "{facility}: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", "{error}: {}", cut(&self.secrets.hide(reason)));
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: Self::DeliveryOpaque) {
        // What was purged was given up because of another error.
        let purged = |error: &KafkaError| {
            matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight))
        };
        if let Err((error, _)) = result
            && !purged(error)
        {
            let mut undelivered = self.undelivered.lock().unwrap_or_else(PoisonError::into_inner);
            undelivered.get_or_insert_with(|| error.clone());
        }
    }
}

/// Makes a client. Nobody is asked yet.
fn client<C>(doing: &str, options: &KafkaSinkOptions, config: ClientConfig) -> Result<C>
where
    C: FromClientConfigAndContext<Context> + Send + 'static,
{
    let context = Context::new(options);
    let brokers = config.get("bootstrap.servers").map_or(0, |brokers| brokers.split(',').count());
    // librdkafka's own two, one for each broker and one for the coordinator. It waits for ever for those that are not to be had.
    let count = 2 + brokers + 1;
    let make = move || C::from_config_and_context(&config, context);
    threads::starting("kafka-client", count, make)
        .map_err(|e| RemoteError::Threads { doing: doing.to_owned(), why: e.to_string() })?
        .map_err(|error| trouble::of(doing, &error, &options.secrets, Certainty::Unknown).into())
}

/// An opened sink. After any error it is dropped, and another one opened.
pub(super) struct Session {
    producer: BaseProducer<Context>,
    group: ConsumerGroupMetadata,
    options: KafkaSinkOptions,
    encoder: Encoder,
    marker: Option<Marker>,
    epoch: u64,
    /// What the header of an event says before the batch.
    of: String,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("marker", &self.marker).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Session {
    /// Ends the transactions of earlier runs, and reads the marker; blocking. Where nothing waits to be published (`is_first`) and
    /// there is no marker, one is set: from then on a marker that is missing has been lost.
    ///
    /// # Errors
    /// When the brokers cannot be asked, refuse, or a later run has published.
    pub fn open(
        options: &KafkaSinkOptions,
        encoder: Encoder,
        owner: &Owner,
        epoch: u64,
        is_first: bool,
    ) -> Result<Self> {
        let (name, doing) = (name_of(owner), format!("open {}", options.described()));
        let trouble = |error: KafkaError| trouble::of(&doing, &error, &options.secrets, Certainty::Unknown);
        let reader: BaseConsumer<Context> = client(&doing, options, config::reader(options, &name))?;
        find_topic(&reader, &options.topic).map_err(trouble)?;
        let producer: BaseProducer<Context> = client(&doing, options, config::producer(options, &name))?;
        producer.init_transactions(PATIENCE).map_err(trouble)?;
        // Only now: no earlier producer of this name commits any more, so this is the last word.
        let marker = read_marker(&reader, &options.topic).map_err(trouble)?;
        if let Some(Marker { epoch: theirs, .. }) = marker.filter(|marker| marker.epoch > epoch) {
            return Err(RemoteError::Passed { sink: options.described(), ours: epoch, theirs }.into());
        }
        let group = reader.group_metadata().ok_or_else(|| RemoteError::away(&doing, "there is no consumer group"))?;
        let of = format!("{}.{}.", owner.query_id, owner.generation);
        let options = options.clone();
        let mut session = Self { producer, group, options, encoder, marker, epoch, of };
        // What is read is written again: brokers forget the offsets of a group after a time.
        if session.marker.is_some() || is_first {
            let batch = session.newest();
            session.transact(&doing, batch, |_| Ok(()))?;
        }
        Ok(session)
    }

    /// One transaction: what `work` sends, and the marker.
    fn transact(&mut self, doing: &str, batch: Option<u64>, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.producer.begin_transaction().map_err(|e| self.trouble(doing, &e, Certainty::NotDone))?;
        if let Err(error) = work(self) {
            return Err(self.aborted(error));
        }
        let marker = Marker { batch, epoch: self.epoch };
        if let Err(error) = self.mark(marker) {
            let error = self.trouble(doing, &error, Certainty::NotDone);
            return Err(self.aborted(error.into()));
        }
        match self.producer.commit_transaction(COMMIT) {
            Ok(()) => {
                self.marker = Some(marker);
                Ok(())
            }
            // The brokers were not asked to commit, or have said that they do not.
            Err(error) if is_not_done(&error) => {
                let error = self.trouble(doing, &error, Certainty::NotDone);
                Err(self.aborted(error.into()))
            }
            Err(error) => Err(self.trouble(doing, &error, Certainty::Unknown).into()),
        }
    }

    /// Ends the transaction without a trace, as far as that can be done now: opening the sink again does it in any case.
    fn aborted(&self, error: crate::LakeError) -> crate::LakeError {
        // The abort waits for events under way, whose fates are told by the queue that nobody serves meanwhile.
        self.producer.purge(PurgeConfig::default().queue().inflight());
        let aborted = self.producer.flush(BACK).and_then(|()| self.producer.abort_transaction(PATIENCE));
        if let Err(abort) = aborted {
            tracing::debug!("a transaction is aborted by the next one: {abort}");
        }
        error
    }

    fn send(&self, doing: &str, events: &Events, row: usize, id: &str) -> Result<()> {
        let mut headers = OwnedHeaders::new().insert(Header { key: BATCH_HEADER, value: Some(id) });
        for (key, value) in events.headers(row) {
            headers = headers.insert(Header { key, value });
        }
        let mut record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(&self.options.topic).payload(events.value(row)).headers(headers);
        if let Some(key) = events.key(row) {
            record = record.key(key);
        }
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    self.producer.poll(ROOM);
                    if self.undelivered().is_some() {
                        // It is told when the transaction ends.
                        return Ok(());
                    }
                }
                Err((error, _)) => return Err(self.trouble(doing, &error, Certainty::NotDone).into()),
            }
        }
    }

    fn mark(&self, marker: Marker) -> KafkaResult<()> {
        let mut offsets = TopicPartitionList::new();
        let mut offset = offsets.add_partition(&self.options.topic, 0);
        offset.set_offset(Offset::Offset(marker.offset()))?;
        offset.set_metadata(marker.metadata());
        self.producer.send_offsets_to_transaction(&offsets, &self.group, PATIENCE)
    }

    fn undelivered(&self) -> Option<KafkaError> {
        let held = &self.producer.client().context().undelivered;
        held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The error of `doing`; why an event was not delivered says more than that a transaction failed.
    fn trouble(&self, doing: &str, error: &KafkaError, certainty: Certainty) -> RemoteError {
        let undelivered = self.producer.client().context().take_undelivered();
        trouble::of(doing, undelivered.as_ref().unwrap_or(error), &self.options.secrets, certainty)
    }
}

impl Opened for Session {
    fn newest(&self) -> Option<u64> {
        self.marker.and_then(|marker| marker.batch)
    }

    fn publish(&mut self, doing: &str, batch: u64, staged: &StagedRows, outbox: &Outbox) -> Result<()> {
        let id = format!("{}{batch}", self.of);
        let is_ours = Outbox::epoch_of(staged) == Some(self.epoch);
        match Marker::decide(self.marker, batch, is_ours, self.options.unknown) {
            Todo::Nothing => Ok(()),
            Todo::Refuse => {
                let gone = "the offset of the group that tells it is gone, as after 'offsets.retention.minutes' without a batch, or \
                            with a topic that was made anew";
                Err(forgotten(&self.options, batch, &id, gone).into())
            }
            Todo::Mark => self.transact(doing, Some(batch), |_| Ok(())),
            Todo::Send => {
                let rows = outbox.read(staged)?;
                self.transact(doing, Some(batch), |session| {
                    for rows in rows {
                        let events = session.encoder.events(&rows?)?;
                        for row in 0..events.count() {
                            session.send(doing, &events, row, &id)?;
                        }
                    }
                    Ok(())
                })
            }
        }
    }
}

/// Whether the transaction is not committed for sure: librdkafka asks for its abort.
fn is_not_done(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.txn_requires_abort(),
        // Events are flushed before anything is asked of the coordinator.
        KafkaError::Flush(_) => true,
        _ => false,
    }
}

/// Fails where the topic is not there.
fn find_topic(reader: &BaseConsumer<Context>, topic: &str) -> KafkaResult<()> {
    let metadata = reader.fetch_metadata(Some(topic), PATIENCE)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    match found.map(|found| (found.error(), found.partitions().len())) {
        Some((None, 1..)) => Ok(()),
        Some((Some(code), _)) => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::from(code))),
        Some((None, _)) | None => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition)),
    }
}

fn read_marker(reader: &BaseConsumer<Context>, topic: &str) -> KafkaResult<Option<Marker>> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition(topic, 0);
    let committed = reader.committed_offsets(asked, PATIENCE)?;
    let Some(found) = committed.find_partition(topic, 0) else { return Ok(None) };
    found.error()?;
    let offset = match found.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    };
    Ok(Marker::read(offset, found.metadata()))
}
