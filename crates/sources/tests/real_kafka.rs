//! The Kafka source on a real broker: what the mock cluster does not have (transactions, new partitions, topics made anew).
//!
//! `scripts/servers.sh up` starts a broker and names it in the environment; `scripts/test.sh` does, and runs these.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::{AsArray, BooleanArray};
use arrow::datatypes::Int64Type;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sluicebox_core::raw::column;
use sluicebox_core::{Clock, OffsetRange, PartitionId, SystemClock};
use sluicebox_sources::{Buffered, KafkaOptions, KafkaSource, LossReason, Source, SourceError, Taken};

const PATIENCE: Duration = Duration::from_secs(60);

struct Broker {
    brokers: String,
    admin: AdminClient<DefaultClientContext>,
    topic: String,
}

impl Broker {
    /// A topic of one partition on a broker that is there to be thrown away.
    async fn with_topic(name: &str) -> Self {
        Self::with_partitions(name, 1).await
    }

    async fn with_partitions(name: &str, partitions: i32) -> Self {
        // The second variable is set by `scripts/servers.sh` alone, so that nobody's own broker is written to.
        let (Ok(brokers), Ok(_)) = (std::env::var("KAFKA_BOOTSTRAP_SERVERS"), std::env::var("SLUICEBOX_KAFKA_PID"))
        else {
            panic!("no broker of scripts/servers.sh in the environment");
        };
        let admin = ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap();
        let topic = format!("ingest-{name}-{}", SystemClock::new().now_micros());
        let broker = Self { brokers, admin, topic };
        broker.create(partitions).await;
        broker
    }

    async fn create(&self, partitions: i32) {
        let topic = NewTopic::new(&self.topic, partitions, TopicReplication::Fixed(1));
        // A topic that is being deleted keeps its name for a moment.
        let mut tries = 0;
        while let Err((_, code)) = self.admin.create_topics([&topic], &AdminOptions::new()).await.unwrap().remove(0) {
            tries += 1;
            assert!(tries < 10_000, "{code}");
            tokio::task::yield_now().await;
        }
    }

    fn source(&self, more: &[(&str, &str)]) -> KafkaSource {
        let mut pairs = vec![("subscribe".to_owned(), self.topic.clone())];
        pairs.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let options = KafkaOptions::from_options("s", &pairs, &|_| Some(self.brokers.clone())).unwrap();
        KafkaSource::new("s", options, "real", 4 << 20).unwrap()
    }

    fn id(&self, partition: i32) -> PartitionId {
        PartitionId::new("s", &self.topic, partition)
    }

    fn range(&self, partition: i32, from: i64, to: i64) -> BTreeMap<PartitionId, OffsetRange> {
        BTreeMap::from([(self.id(partition), OffsetRange::new(from, to))])
    }

    fn send(&self, producer: &BaseProducer, partition: i32, count: i32) {
        for i in 0..count {
            let (key, value) = (i.to_string(), format!("value {i}"));
            producer.send(BaseRecord::to(&self.topic).partition(partition).key(&key).payload(&value)).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    }

    fn producer(&self, transactional: bool) -> BaseProducer {
        let mut config = ClientConfig::new();
        // Idempotent: a batch that has to be sent again keeps its place.
        config.set("bootstrap.servers", &self.brokers).set("enable.idempotence", "true");
        if transactional {
            config.set("transactional.id", &self.topic);
        }
        let producer: BaseProducer = config.create().unwrap();
        if transactional {
            producer.init_transactions(PATIENCE).unwrap();
        }
        producer
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => unreachable!("{what} did not happen within {PATIENCE:?}"),
    }
}

async fn until(source: &mut KafkaSource, enough: impl Fn(&Buffered) -> bool) -> Buffered {
    let wait = async {
        loop {
            let buffered = source.buffered().await.unwrap();
            if let Some(found) = buffered.into_iter().find(|b| enough(b)) {
                return found;
            }
            source.changed().await;
        }
    };
    soon("what is waited for in the buffer", wait).await
}

fn offsets(taken: &Taken) -> Vec<i64> {
    let column = |e: &sluicebox_core::raw::RawEvents| e.events.column(0).as_primitive::<Int64Type>().values().to_vec();
    taken.events.iter().flat_map(column).collect()
}

/// Offsets 0..3 committed, 3 a marker, 4..8 aborted, 8 a marker, 9..11 committed, 11 a marker, 12..13 open.
fn transactions(broker: &Broker) -> BaseProducer {
    let producer = broker.producer(true);
    for (count, commit) in [(3, true), (4, false), (2, true)] {
        producer.begin_transaction().unwrap();
        broker.send(&producer, 0, count);
        if commit { producer.commit_transaction(PATIENCE) } else { producer.abort_transaction(PATIENCE) }.unwrap();
    }
    producer.begin_transaction().unwrap();
    broker.send(&producer, 0, 1);
    producer
}

#[tokio::test]
#[ignore = "needs a broker of its own: scripts/test.sh starts one and runs it"]
async fn committed_transactions_are_read_and_markers_are_gaps() {
    let broker = Broker::with_topic("committed").await;
    let open = transactions(&broker);
    let mut source = broker.source(&[("kafka.isolation.level", "read_committed"), ("startingOffsets", "earliest")]);
    let bounds = soon("bounds", source.bounds()).await.unwrap();
    assert_eq!(bounds[&broker.id(0)].latest, 12, "the last stable offset, not the high watermark");
    let positions = source.starting_offsets().await.unwrap();
    source.start(&positions).await.unwrap();
    let buffered = until(&mut source, |b| b.end() == 12).await;
    assert_eq!(buffered.log_end, 12);
    let taken = soon("a take", source.take(&broker.range(0, 0, 12))).await.unwrap();
    assert_eq!(offsets(&taken), [0, 1, 2, 9, 10]);
    assert_eq!(taken.gap_offsets, BTreeMap::from([(broker.id(0), 7)]));
    // Ranges that end and begin inside gaps.
    for (from, to, wanted) in [(0, 4, &[0, 1, 2][..]), (4, 9, &[]), (9, 12, &[9, 10]), (11, 12, &[]), (2, 10, &[2, 9])]
    {
        let taken = soon("a take", source.take(&broker.range(0, from, to))).await.unwrap();
        assert_eq!(offsets(&taken), wanted, "{from}..{to}");
    }
    // The open transaction becomes visible when it is committed, its marker with it.
    let taken = soon("a take", source.take(&broker.range(0, 11, 12))).await.unwrap();
    assert!(offsets(&taken).is_empty());
    open.commit_transaction(PATIENCE).unwrap();
    until(&mut source, |b| b.end() == 14).await;
    let taken = soon("a take", source.take(&broker.range(0, 12, 14))).await.unwrap();
    assert_eq!(offsets(&taken), [12]);
}

#[tokio::test]
#[ignore = "needs a broker of its own: scripts/test.sh starts one and runs it"]
async fn uncommitted_reading_sees_all_but_markers() {
    let broker = Broker::with_topic("uncommitted").await;
    let _open = transactions(&broker);
    let mut source = broker.source(&[("startingOffsets", "earliest")]);
    let positions = soon("starting offsets", source.starting_offsets()).await.unwrap();
    source.start(&positions).await.unwrap();
    until(&mut source, |b| b.end() == 13).await;
    let taken = soon("a take", source.take(&broker.range(0, 0, 13))).await.unwrap();
    assert_eq!(offsets(&taken), [0, 1, 2, 4, 5, 6, 7, 9, 10, 12]);
}

#[tokio::test]
#[ignore = "needs a broker of its own: scripts/test.sh starts one and runs it"]
async fn a_range_may_end_with_an_aborted_transaction() {
    let broker = Broker::with_topic("aborted").await;
    let producer = broker.producer(true);
    producer.begin_transaction().unwrap();
    broker.send(&producer, 0, 5);
    producer.abort_transaction(PATIENCE).unwrap();
    let mut source = broker.source(&[("kafka.isolation.level", "read_committed"), ("startingOffsets", "earliest")]);
    source.start(&BTreeMap::from([(broker.id(0), 0)])).await.unwrap();
    let buffered = until(&mut source, |b| b.end() == 6).await;
    assert_eq!(buffered.chunks.iter().map(|c| (c.to, c.bytes)).collect::<Vec<_>>(), [(6, 0)]);
    let taken = soon("a take", source.take(&broker.range(0, 0, 6))).await.unwrap();
    assert!(offsets(&taken).is_empty());
    assert_eq!(taken.gap_offsets[&broker.id(0)], 6);
}

#[tokio::test]
#[ignore = "needs a broker of its own: scripts/test.sh starts one and runs it"]
async fn partitions_added_while_running_are_found() {
    let broker = Broker::with_topic("partitions").await;
    let mut source = broker.source(&[]);
    source.start(&BTreeMap::from([(broker.id(0), 0)])).await.unwrap();
    let more = NewPartitions::new(&broker.topic, 3);
    broker.admin.create_partitions([&more], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    let told = async {
        // A producer that hears of the topic before the broker has heard of its partitions refuses what is sent to them.
        while soon("the partitions", source.partitions()).await.unwrap().len() < 3 {}
    };
    soon("the new partitions", told).await;
    broker.send(&broker.producer(false), 2, 10);
    let find = async {
        loop {
            let bounds = source.bounds().await.unwrap();
            if bounds.get(&broker.id(2)).is_some_and(|b| b.latest == 10) {
                return bounds;
            }
        }
    };
    let bounds = soon("the new partitions", find).await;
    assert_eq!(bounds.len(), 3);
    let positions = bounds.iter().map(|(id, b)| (id.clone(), b.earliest)).collect();
    source.start(&positions).await.unwrap();
    let taken = soon("a take", source.take(&broker.range(2, 0, 10))).await.unwrap();
    assert_eq!(offsets(&taken), (0..10).collect::<Vec<_>>());
    let keys = taken.events[0].events.column(2).as_binary::<i32>();
    assert_eq!(BooleanArray::from_unary(keys, |k| !k.is_empty()).true_count(), 10);
}

#[tokio::test]
#[ignore = "needs a broker of its own: scripts/test.sh starts one and runs it"]
async fn a_topic_that_goes_away_and_comes_back_is_noticed() {
    let broker = Broker::with_topic("anew").await;
    broker.send(&broker.producer(false), 0, 10);
    let mut source = broker.source(&[]);
    let before = soon("identity", source.identity()).await.unwrap();
    assert!(!before.log.is_empty());
    broker.admin.delete_topics(&[&broker.topic], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    let gone = async {
        loop {
            if let Err(error) = source.bounds().await {
                return error;
            }
        }
    };
    let error = soon("the topic's end", gone).await;
    assert!(matches!(error, SourceError::UnknownTopic { .. }), "{error}");
    broker.create(1).await;
    let mut source = broker.source(&[]);
    let back = async {
        // Brokers tell of a new topic a moment later.
        while let Err(SourceError::UnknownTopic { .. }) = source.bounds().await {}
    };
    soon("the topic", back).await;
    let error = source.start(&BTreeMap::from([(broker.id(0), 10)])).await.unwrap_err();
    assert!(matches!(error, SourceError::PastEnd { offset: 10, latest: 0, .. }), "{error}");
    let after = soon("identity", source.identity()).await.unwrap();
    assert_eq!(after.log, before.log);
    assert_ne!(after.topics[&broker.topic], before.topics[&broker.topic]);
    assert!(after.topics[&broker.topic].is_some());
}

#[tokio::test]
#[ignore = "needs a broker of its own: scripts/test.sh starts one and runs it"]
async fn a_topic_made_anew_while_it_is_read_gives_nothing() {
    let broker = Broker::with_topic("swapped").await;
    broker.send(&broker.producer(false), 0, 10);
    let mut source = broker.source(&[("failOnDataLoss", "false")]);
    source.start(&BTreeMap::from([(broker.id(0), 0)])).await.unwrap();
    let taken = soon("a take", source.take(&broker.range(0, 0, 10))).await.unwrap();
    assert_eq!(offsets(&taken).len(), 10);
    broker.admin.delete_topics(&[&broker.topic], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    broker.create(1).await;
    // More events than the position: fetching goes on at offset 10 as if nothing had happened.
    broker.send(&broker.producer(false), 0, 30);
    let buffered = async {
        loop {
            match source.buffered().await {
                Ok(found) if found[0].end() > 10 => return Some(found[0].end()),
                Ok(_) => source.changed().await,
                // It was seen in between, when it was gone or held less.
                Err(SourceError::Gone { .. } | SourceError::PastEnd { .. }) => return None,
                Err(error) => panic!("{error}"),
            }
        }
    };
    if let Some(end) = soon("events of the other topic", buffered).await {
        let taken = soon("a take", source.take(&broker.range(0, 10, end))).await.unwrap();
        let error = soon("the proof", taken.proof.holds()).await.unwrap_err();
        assert!(matches!(&error, SourceError::MadeAnew { topic, .. } if *topic == broker.topic), "{error}");
        assert!(error.to_string().contains("--full-refresh"), "{error}");
    }
}

#[tokio::test]
#[ignore = "needs a broker of its own: scripts/test.sh starts one and runs it"]
async fn records_that_were_deleted_are_lost_and_a_replay_says_the_same() {
    let broker = Broker::with_topic("deleted").await;
    broker.send(&broker.producer(false), 0, 100);
    let mut lax = broker.source(&[("failOnDataLoss", "false")]);
    lax.start(&BTreeMap::from([(broker.id(0), 0)])).await.unwrap();
    let taken = soon("a take", lax.take(&broker.range(0, 0, 30))).await.unwrap();
    assert_eq!(offsets(&taken).len(), 30);
    let mut until = TopicPartitionList::new();
    until.add_partition_offset(&broker.topic, 0, Offset::Offset(60)).unwrap();
    broker.admin.delete_records(&until, &AdminOptions::new()).await.unwrap();
    // A batch that was planned from 20 to 70 and is replayed after a restart.
    for _ in 0..2 {
        let mut strict = broker.source(&[]);
        strict.start(&BTreeMap::from([(broker.id(0), 20)])).await.unwrap();
        let error = soon("a take", strict.take(&broker.range(0, 20, 70))).await.unwrap_err();
        let SourceError::DataLoss { lost, earliest: 60, latest: 100, .. } = error else { panic!("{error}") };
        assert_eq!((lost.from, lost.to), (20, 60));
        let taken = soon("a take", lax.take(&broker.range(0, 20, 70))).await.unwrap();
        assert_eq!(offsets(&taken), (60..70).collect::<Vec<_>>());
        let lost: Vec<_> = taken.lost.iter().map(|l| (l.range.from, l.range.to, l.reason)).collect();
        assert_eq!(lost, [(20, 60, LossReason::Deleted)]);
        assert!(taken.gap_offsets.is_empty());
    }
}

/// Takes all that is buffered, checks that it is what was sent, and moves `positions` on.
async fn take_what_is_there(source: &mut KafkaSource, positions: &mut BTreeMap<PartitionId, i64>) {
    until(source, |b| !b.chunks.is_empty()).await;
    let buffered = source.buffered().await.unwrap().into_iter().filter(|b| !b.chunks.is_empty());
    let ranges: BTreeMap<_, _> =
        buffered.map(|b| (b.partition.clone(), OffsetRange::new(b.position, b.end()))).collect();
    let taken = soon("what is there", source.take(&ranges)).await.unwrap();
    for piece in taken.events {
        let position = positions.get_mut(&piece.partition).unwrap();
        let offsets = piece.events.column(column::OFFSET).as_primitive::<Int64Type>();
        for (offset, value) in offsets.values().iter().zip(piece.events.column(column::VALUE).as_binary::<i32>()) {
            let expected = format!("value {position}");
            assert_eq!((*offset, value), (*position, Some(expected.as_bytes())), "{}", piece.partition);
            *position += 1;
        }
    }
}

#[tokio::test]
#[ignore = "needs a broker of its own: scripts/test.sh starts one and runs it"]
async fn a_wide_topic_comes_whole_and_in_order_though_partitions_take_turns() {
    let (partitions, events) = (24, 25_000);
    let broker = Broker::with_partitions("wide", partitions).await;
    let producer = broker.producer(false);
    for partition in 0..partitions {
        broker.send(&producer, partition, events);
    }
    let mut positions: BTreeMap<PartitionId, i64> = (0..partitions).map(|p| (broker.id(p), 0)).collect();
    // A second run goes on where the first was when a third of all had been read.
    for share in [3, 1] {
        let mut source = broker.source(&[("startingOffsets", "earliest")]);
        soon("bounds", source.bounds()).await.unwrap();
        soon("the start", source.start(&positions)).await.unwrap();
        while positions.values().sum::<i64>() < i64::from(partitions * events / share) {
            take_what_is_there(&mut source, &mut positions).await;
        }
        // The group's offsets are those of partitions that are not assigned at the moment, too.
        soon("the commit", source.committed(&positions)).await.unwrap();
    }
    assert!(positions.values().all(|position| *position == i64::from(events)), "{positions:?}");
}
