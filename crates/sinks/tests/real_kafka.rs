//! The Kafka sink on a real broker: what it promises rests on what brokers do.
//!
//! `scripts/servers.sh up` starts a broker and names it in the environment; `scripts/test.sh` does, and runs these.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sluicebox_core::secret::Pieces;
use sluicebox_core::{Blamed, Clock, Retry, SystemClock};
use sluicebox_sinks::kafka::{EventFormat, KafkaSink, KafkaSinkOptions, Place, Unknown};
use sluicebox_sinks::testing::{QUERY, Subject, conforms, key, owner, rows, schema};
use sluicebox_sinks::{Check, LakeError, Outbox, Owner, RemoteError, Rows, Sink};

const PATIENCE: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 3;

/// A topic, and a checkpoint whose outbox has the rows that wait for it.
struct Topic {
    brokers: String,
    name: String,
    checkpoint: tempfile::TempDir,
}

impl Topic {
    fn sink_with(&self, unknown: Unknown) -> Arc<dyn Sink> {
        let options = KafkaSinkOptions {
            table: "t".to_owned(),
            place: Place::Brokers(self.brokers.clone()),
            topic: self.name.clone(),
            properties: BTreeMap::new(),
            secrets: Pieces::default(),
            format: EventFormat::Json,
            key_columns: vec!["region".to_owned()],
            header_columns: vec!["day".to_owned()],
            unknown,
        };
        let outbox = Outbox::new(self.checkpoint.path(), "t");
        Arc::new(KafkaSink::try_new(options, schema(), outbox).unwrap())
    }

    fn reader(&self, isolation: &str, group: &str) -> BaseConsumer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("group.id", group).set("isolation.level", isolation);
        config.set("enable.auto.commit", "false").set("enable.partition.eof", "true").create().unwrap()
    }
}

impl Subject for Topic {
    fn sink(&self) -> Arc<dyn Sink> {
        self.sink_with(Unknown::Stop)
    }

    fn seen(&self) -> Vec<i64> {
        let (all, committed) = (self.reader("read_uncommitted", "seen"), self.reader("read_committed", "seen"));
        let mut assigned = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            assigned.add_partition_offset(&self.name, partition, Offset::Beginning).unwrap();
            // The end of a transaction is told before it is in every partition.
            let end = all.fetch_watermarks(&self.name, partition, PATIENCE).unwrap().1;
            let mut tries = 0;
            while committed.fetch_watermarks(&self.name, partition, PATIENCE).unwrap().1 < end {
                tries += 1;
                assert!(tries < 10_000, "a transaction is not over");
            }
        }
        committed.assign(&assigned).unwrap();
        let (mut ended, mut ids) = (BTreeSet::new(), Vec::new());
        while !(0..PARTITIONS).all(|partition| ended.contains(&partition)) {
            match committed.poll(PATIENCE) {
                Some(Ok(event)) => {
                    let row: serde_json::Value = serde_json::from_slice(event.payload().unwrap()).unwrap();
                    ids.push(row["id"].as_i64().unwrap());
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    ended.insert(partition);
                }
                Some(Err(error)) => panic!("{error}"),
                None => panic!("the broker does not answer"),
            }
        }
        ids
    }
}

/// A broker that is there to be thrown away.
struct Broker {
    brokers: String,
    admin: AdminClient<DefaultClientContext>,
}

impl Broker {
    fn given() -> Self {
        // The second variable is set by `scripts/servers.sh` alone, so that nobody's own broker is written to.
        let (Ok(brokers), Ok(_)) = (std::env::var("KAFKA_BOOTSTRAP_SERVERS"), std::env::var("SLUICEBOX_KAFKA_PID"))
        else {
            panic!("no broker of scripts/servers.sh in the environment");
        };
        let admin = ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap();
        Self { brokers, admin }
    }

    /// The name of a new topic.
    async fn topic(&self, name: &str) -> String {
        let name = format!("sink-{name}-{}", SystemClock::new().now_micros());
        let topic = NewTopic::new(&name, PARTITIONS, TopicReplication::Fixed(1));
        self.admin.create_topics([&topic], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
        // Known to the one who made it is not known to everybody.
        let mut tries = 0;
        while !self.has(&name) {
            tries += 1;
            assert!(tries < 10_000, "{name} does not appear");
        }
        name
    }

    fn has(&self, topic: &str) -> bool {
        let metadata = self.admin.inner().fetch_metadata(Some(topic), PATIENCE).unwrap();
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        partitions.filter(|partition| partition.error().is_none() && partition.leader() >= 0).count() == 3
    }

    fn over(&self, name: String) -> Topic {
        Topic { brokers: self.brokers.clone(), name, checkpoint: tempfile::tempdir().unwrap() }
    }
}

#[tokio::test]
#[ignore = "needs a broker of its own: scripts/test.sh starts one and runs it"]
async fn a_topic_conforms() {
    let broker = Broker::given();
    let mut names = Vec::new();
    // More than the suite has stores.
    for n in 0..20 {
        names.push(broker.topic(&format!("conforms-{n}")).await);
    }
    let next = Cell::new(0);
    conforms(|| {
        let name = names[next.get()].clone();
        next.set(next.get() + 1);
        broker.over(name)
    })
    .await;
}

/// What becomes of a batch that a killed run has committed, when the number of the last one is gone.
async fn forgotten(broker: &Broker, topic: &Topic, owner: &Owner, unknown: Unknown) -> Result<(), LakeError> {
    let killed = topic.sink_with(unknown);
    killed.open(owner, 1).await.unwrap();
    let staged = killed.stage(&key(0, 1), Rows::All(&[rows(0, &[(Some("NA"), None); 10])])).unwrap().unwrap();
    let group = format!("sluicebox-{QUERY}-{}-{}", owner.generation, owner.table);
    let mut marker = TopicPartitionList::new();
    marker.add_partition(&topic.name, 0);
    // Waits for the end of the transaction that has set it.
    let found = topic.reader("read_committed", &group).committed_offsets(marker, PATIENCE).unwrap();
    assert_eq!(found.find_partition(&topic.name, 0).unwrap().offset(), Offset::Offset(0));
    drop(killed);
    broker.admin.delete_groups(&[group.as_str()], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    let next = topic.sink_with(unknown);
    next.open(owner, 2).await.unwrap();
    next.publish(&key(0, 2), &staged, Check::Content).await?;
    assert_eq!(next.published().await.unwrap(), Some(0));
    // What is published does not wait any more; and the number is there again.
    let last = topic.sink_with(Unknown::Stop);
    last.open(owner, 3).await.unwrap();
    last.publish(&key(0, 3), &staged, Check::Content).await
}

#[tokio::test]
#[ignore = "needs a broker of its own: scripts/test.sh starts one and runs it"]
async fn a_batch_that_kafka_has_forgotten_is_what_the_user_says_it_is() {
    let broker = Broker::given();
    for (n, (unknown, rows)) in [(Unknown::Publish, 10), (Unknown::Skip, 0), (Unknown::Stop, 0)].into_iter().enumerate()
    {
        let topic = broker.over(broker.topic("forgotten").await);
        // Of its own: the suite runs beside it, and producers of one name fence each other.
        let owner = Owner { generation: 100 + u64::try_from(n).unwrap(), ..owner() };
        let done = forgotten(&broker, &topic, &owner, unknown).await;
        match (unknown, done) {
            (Unknown::Stop, Err(LakeError::Remote(error @ RemoteError::Forgotten { .. }))) => {
                assert_eq!(error.retry(), Retry::No);
                let header = format!("{QUERY}.{}.0", owner.generation);
                assert!(error.to_string().contains(&header), "{error}");
            }
            (Unknown::Stop, other) => panic!("{other:?}"),
            (_, done) => done.unwrap(),
        }
        assert_eq!(topic.seen().len(), rows, "{unknown:?}");
    }
}

#[tokio::test]
#[ignore = "needs a broker of its own: scripts/test.sh starts one and runs it"]
async fn a_topic_that_is_not_there_is_not_waited_for() {
    let broker = Broker::given();
    let topic = broker.over(format!("sink-missing-{}", SystemClock::new().now_micros()));
    let error = topic.sink().open(&Owner { generation: 200, ..owner() }, 1).await.unwrap_err();
    assert_eq!(error.retry(), Retry::No);
    assert!(error.to_string().contains("create the topic"), "{error}");
}
