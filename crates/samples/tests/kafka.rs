//! Fills a topic of a real broker, when the environment names one.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sluicebox_core::{Clock, SystemClock};
use sluicebox_samples::register;
use sluicebox_samples::sales::{SALES_SCHEMA, SalesConfig, SalesGenerator};
use sluicebox_samples::sink::{EventSink, KafkaSink, KafkaTarget, fill, live};

/// `scripts/servers.sh up` names them.
fn servers() -> (String, String) {
    let named = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: scripts/servers.sh up"));
    (named("KAFKA_BOOTSTRAP_SERVERS"), named("SCHEMA_REGISTRY_URL"))
}

#[tokio::test]
#[ignore = "needs a real broker and registry: scripts/test.sh starts them and runs it"]
async fn what_is_filled_is_what_a_consumer_reads() {
    let (brokers, registry) = servers();
    let clock = SystemClock::new();
    let topic = format!("testkit-{}", clock.now_micros());
    let schema_id = register(&registry, &topic, SALES_SCHEMA).await.unwrap();
    assert_eq!(register(&registry, &topic, SALES_SCHEMA).await.unwrap(), schema_id);
    let target = KafkaTarget { brokers: brokers.clone(), topic: topic.clone(), partitions: 4, ..Default::default() };
    let mut sink = KafkaSink::connect(&target).await.unwrap();
    let again = KafkaSink::connect(&KafkaTarget { partitions: 9, ..target }).await.unwrap();
    assert_eq!((sink.partitions(), again.partitions()), (4, 4), "a topic that is there keeps its partitions");

    let config = SalesConfig { schema_id, partitions: 4, ..SalesConfig::new(9, clock.now_micros()) };
    let generator = SalesGenerator::new(SalesConfig { backlog: 10_000, rate: 2_000.0, ..config }).unwrap();
    let filled = fill(&generator, &mut sink, 0..10_000, |_| {}).unwrap();
    assert_eq!(filled.events, 10_000);
    let first = generator.index_at(clock.now_micros());
    let lived = live(&generator, &mut sink, &clock, first, Some(500), std::future::pending(), |_| {}).await.unwrap();
    assert_eq!(lived.events, 500);

    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &brokers).set("group.id", "testkit").create().unwrap();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..4 {
        assignment.add_partition_offset(&topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut expected = vec![Vec::new(); 4];
    for index in (0..10_000).chain(first..first + 500) {
        let event = generator.event(index);
        expected[usize::try_from(event.partition).unwrap()].push(event);
    }
    let mut read = [0_usize; 4];
    for _ in 0..10_500 {
        let message = match consumer.poll(Duration::from_secs(20)) {
            Some(message) => message.unwrap(),
            None => panic!("events are missing: read {read:?}"),
        };
        let partition = usize::try_from(message.partition()).unwrap();
        let event = &expected[partition][read[partition]];
        assert_eq!(message.payload(), Some(event.value.as_slice()));
        assert_eq!(message.key(), Some(event.key.as_slice()));
        assert_eq!(message.timestamp().to_millis(), Some(event.timestamp_ms));
        read[partition] += 1;
    }
}
