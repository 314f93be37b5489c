#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod cluster;
mod troubles;
mod wide;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use super::*;
use crate::Record;
use crate::conformance::Bench;
use crate::conformance::logs::{self, Batches};

pub(super) type Cluster = MockCluster<'static, DefaultProducerContext>;
type TestProducer = ThreadedProducer<rdkafka::producer::DefaultProducerContext>;

struct KafkaBench {
    producer: TestProducer,
    brokers: String,
    cluster: Cluster,
}

impl KafkaBench {
    fn new() -> Self {
        let cluster = MockCluster::new(2).unwrap();
        let brokers = cluster.bootstrap_servers();
        let producer = ClientConfig::new().set("bootstrap.servers", &brokers).set("linger.ms", "0").create().unwrap();
        Self { producer, brokers, cluster }
    }
}

fn options(brokers: &str, pairs: &[(&str, &str)]) -> KafkaOptions {
    let pairs: Vec<(String, String)> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    KafkaOptions::from_options("s", &pairs, &|_| Some(brokers.to_owned())).unwrap()
}

/// A source over the cluster, not started.
fn source(bench: &KafkaBench, pairs: &[(&str, &str)]) -> KafkaSource {
    KafkaSource::new("s", options(&bench.brokers, pairs), "p", 1 << 20).unwrap()
}

impl Bench for KafkaBench {
    fn create(&mut self, topic: &str, partitions: i32) {
        self.cluster.create_topic(topic, partitions, 1).unwrap();
    }

    fn append(&mut self, topic: &str, partition: i32, records: Vec<Record>) {
        for record in &records {
            loop {
                let mut base = BaseRecord::<[u8], [u8]>::to(topic).partition(partition);
                base = base.timestamp(record.timestamp_ms.unwrap_or(0));
                if let Some(key) = &record.key {
                    base = base.key(key);
                }
                if let Some(value) = &record.value {
                    base = base.payload(value);
                }
                if !record.headers.is_empty() {
                    let mut headers = OwnedHeaders::new();
                    for (key, value) in &record.headers {
                        headers = headers.insert(Header { key, value: value.as_deref() });
                    }
                    base = base.headers(headers);
                }
                match self.producer.send(base) {
                    Ok(()) => break,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                        self.producer.flush(Duration::from_secs(10)).unwrap();
                    }
                    Err((error, _)) => unreachable!("{error}"),
                }
            }
        }
        self.producer.flush(Duration::from_secs(30)).unwrap();
    }

    fn source(&self, pairs: &[(&str, &str)], prefetch_bytes: u64) -> Box<dyn Source> {
        Box::new(KafkaSource::new("s", options(&self.brokers, pairs), "p", prefetch_bytes).unwrap())
    }
}

impl Batches for KafkaBench {
    fn append_batch(&mut self, topic: &str, partition: i32, batch: Vec<u8>) {
        produce(&self.brokers, topic, partition, &batch);
    }
}

/// Hands a record batch to the broker that takes it, by a request of our own: no client writes whatever it is told to.
pub(super) fn produce(brokers: &str, topic: &str, partition: i32, batch: &[u8]) {
    let mut request = Vec::new();
    // Produce, version 3, number 7, no client's name, no transaction, as the leader has it, within a second.
    for number in [0_i16, 3, 0, 7, -1, -1, 1, 0, 1_000] {
        request.extend(number.to_be_bytes());
    }
    // One topic, one partition.
    request.extend(1_i32.to_be_bytes());
    request.extend(i16::try_from(topic.len()).unwrap().to_be_bytes());
    request.extend(topic.as_bytes());
    for number in [1, partition, i32::try_from(batch.len()).unwrap()] {
        request.extend(number.to_be_bytes());
    }
    request.extend(batch);
    let taken = brokers.split(',').any(|broker| {
        let mut stream = TcpStream::connect(broker).unwrap();
        stream.write_all(&u32::try_from(request.len()).unwrap().to_be_bytes()).unwrap();
        stream.write_all(&request).unwrap();
        let mut size = [0; 4];
        stream.read_exact(&mut size).unwrap();
        let mut answer = vec![0; u32::from_be_bytes(size) as usize];
        stream.read_exact(&mut answer).unwrap();
        // Behind the number, the counts and names of topics and partitions there is the error.
        answer[4 + 4 + 2 + topic.len() + 4 + 4..].starts_with(&[0, 0])
    });
    assert!(taken, "no broker takes it");
}

#[tokio::test]
async fn it_conforms() {
    logs::all(&mut KafkaBench::new()).await;
}
