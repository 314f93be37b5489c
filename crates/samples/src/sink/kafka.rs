//! A topic of a Kafka broker.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

use super::EventSink;
use crate::error::{ProduceError, Result};
use crate::sales::GeneratedEvent;

const WAIT: Duration = Duration::from_secs(30);

/// Which topic of which brokers.
#[derive(Clone, Default)]
pub struct KafkaTarget {
    /// `host:port`, several by comma.
    pub brokers: String,
    /// The topic. It is created when it is not there.
    pub topic: String,
    /// The partitions that a topic gets when it is created.
    pub partitions: i32,
    /// How long brokers that do not answer are waited for; without it 30 seconds.
    pub wait: Option<Duration>,
    /// Further properties of librdkafka: security, compression, ... They win over the ones chosen here.
    pub properties: BTreeMap<String, String>,
}

/// Shows everything but the values of properties, which may be secret.
impl fmt::Debug for KafkaTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaTarget")
            .field("brokers", &self.brokers)
            .field("topic", &self.topic)
            .field("partitions", &self.partitions)
            .field("wait", &self.wait)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl KafkaTarget {
    fn wait(&self) -> Duration {
        self.wait.unwrap_or(WAIT)
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        for (name, value) in [
            ("client.id", "sluicebox-produce"),
            ("enable.idempotence", "true"),
            ("compression.type", "lz4"),
            ("linger.ms", "20"),
            ("batch.size", "1000000"),
            ("queue.buffering.max.messages", "500000"),
            ("queue.buffering.max.kbytes", "262144"),
        ] {
            config.set(name, value);
        }
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }
}

/// Counts what the broker did not take.
#[derive(Debug, Default)]
struct Failures {
    count: AtomicU64,
    first: Mutex<Option<KafkaError>>,
}

#[derive(Debug, Clone)]
struct Delivery(Arc<Failures>);

impl ClientContext for Delivery {}

impl ProducerContext for Delivery {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.count.fetch_add(1, Ordering::Relaxed);
            let mut first = self.0.first.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| error.clone());
        }
    }
}

/// Appends to a topic of a Kafka broker, idempotently.
pub struct KafkaSink {
    producer: ThreadedProducer<Delivery>,
    failures: Arc<Failures>,
    topic: String,
    partitions: i32,
}

impl fmt::Debug for KafkaSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSink").field("topic", &self.topic).field("partitions", &self.partitions).finish()
    }
}

impl KafkaSink {
    /// Connects to the brokers, and creates the topic when it is not there.
    ///
    /// # Errors
    /// When the properties are refused, no broker answers, or the topic cannot be created.
    pub async fn connect(target: &KafkaTarget) -> Result<Self> {
        let client = |source| ProduceError::Client { brokers: target.brokers.clone(), source: Box::new(source) };
        let admin: AdminClient<DefaultClientContext> = target.config().create().map_err(client)?;
        create_topic(&admin, target).await?;
        let failures = Arc::new(Failures::default());
        let producer: ThreadedProducer<Delivery> =
            target.config().create_with_context(Delivery(Arc::clone(&failures))).map_err(client)?;
        let partitions = partition_count(&producer, target).await?;
        Ok(Self { producer, failures, topic: target.topic.clone(), partitions })
    }

    fn failed(&self) -> Result<()> {
        let failed = self.failures.count.load(Ordering::Relaxed);
        if failed == 0 {
            return Ok(());
        }
        let first = self.failures.first.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = first.as_ref().map_or_else(String::new, ToString::to_string);
        Err(ProduceError::Delivery { topic: self.topic.clone(), failed, reason })
    }
}

async fn create_topic(admin: &AdminClient<DefaultClientContext>, target: &KafkaTarget) -> Result<()> {
    let topic = NewTopic::new(&target.topic, target.partitions.max(1), TopicReplication::Fixed(-1));
    let options = AdminOptions::new().operation_timeout(Some(target.wait())).request_timeout(Some(target.wait()));
    let results = admin.create_topics([&topic], &options).await.map_err(|source| ProduceError::Metadata {
        brokers: target.brokers.clone(),
        topic: target.topic.clone(),
        source: Box::new(source),
    })?;
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            // Whoever may not create topics may still write to one that is there: asking for it tells.
            Err((_, RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed)) => {}
            Err((topic, code)) => return Err(ProduceError::CreateTopic { topic, reason: code.to_string() }),
        }
    }
    Ok(())
}

/// How many partitions the topic has. A topic that was just created may take a moment to show.
async fn partition_count(producer: &ThreadedProducer<Delivery>, target: &KafkaTarget) -> Result<i32> {
    let mut tries = 0;
    loop {
        let metadata = producer.client().fetch_metadata(Some(&target.topic), target.wait()).map_err(|source| {
            ProduceError::Metadata {
                brokers: target.brokers.clone(),
                topic: target.topic.clone(),
                source: Box::new(source),
            }
        })?;
        let count = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        if count > 0 {
            return Ok(i32::try_from(count).unwrap_or(i32::MAX));
        }
        tries += 1;
        if tries > 200 {
            let reason = "it was created, and the broker does not show it".to_owned();
            return Err(ProduceError::CreateTopic { topic: target.topic.clone(), reason });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl EventSink for KafkaSink {
    fn partitions(&self) -> i32 {
        self.partitions
    }

    fn append(&mut self, partition: i32, events: &[GeneratedEvent]) -> Result<()> {
        for event in events {
            let mut record = BaseRecord::to(&self.topic)
                .partition(partition)
                .key(&event.key)
                .payload(&event.value)
                .timestamp(event.timestamp_ms);
            loop {
                match self.producer.send(record) {
                    Ok(()) => break,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                        self.failed()?;
                        // The queue empties into the network; its own thread polls.
                        std::thread::sleep(Duration::from_millis(2));
                        record = back;
                    }
                    Err((source, _)) => {
                        return Err(ProduceError::Send {
                            topic: self.topic.clone(),
                            partition,
                            source: Box::new(source),
                        });
                    }
                }
            }
        }
        self.failed()
    }

    fn flush(&mut self) -> Result<()> {
        // librdkafka gives up on an event by itself, after message.timeout.ms; then the flush ends too.
        while let Err(source) = self.producer.flush(Duration::from_secs(5)) {
            if !matches!(source.rdkafka_error_code(), Some(RDKafkaErrorCode::OperationTimedOut)) {
                return Err(ProduceError::Send { topic: self.topic.clone(), partition: -1, source: Box::new(source) });
            }
            self.failed()?;
        }
        self.failed()
    }
}
