//! Reads a topic to its end and says how fast: `drain kafka BROKERS TOPIC` (after `drain fill BROKERS TOPIC EVENTS`), or `drain log FOLDER TOPIC [FILL]`, where FILL
//! events of 100 bytes are appended first. With `raw` in place of `kafka`, librdkafka alone polls and drops: the ceiling.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sluicebox_core::{Clock, OffsetRange, SystemClock};
use sluicebox_sources::{EmbeddedLog, KafkaOptions, KafkaSource, LogSource, Record, Source, TopicOptions};

type Failure = Box<dyn std::error::Error>;
const PREFETCH: u64 = 16 << 20;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [kind, place, topic, ..] = &args[..] else { return Err("drain kafka|raw|log PLACE TOPIC [FILL]".into()) };
    let clock = SystemClock::new();
    let options = |brokers: Option<&str>| {
        let pairs = [("subscribe".to_owned(), topic.clone()), ("startingOffsets".to_owned(), "earliest".to_owned())];
        KafkaOptions::from_options("drain", &pairs, &|_| brokers.map(str::to_owned))
    };
    let mut source: Box<dyn Source> = match kind.as_str() {
        "raw" => return raw(place, topic, &clock),
        "fill" => return produce(place, topic, args.get(3).map_or(Ok(0), |n| n.parse())?, &clock),
        "kafka" => Box::new(KafkaSource::new("drain", options(Some(place))?, "drain", PREFETCH)?),
        _ => {
            let log = EmbeddedLog::open(place.clone(), Arc::new(clock.clone()))?;
            fill(&log, topic, args.get(3).map_or(Ok(0), |n| n.parse())?, &clock)?;
            Box::new(LogSource::new("drain", log, options(None)?, PREFETCH)?)
        }
    };
    let ends = source.bounds().await?;
    let positions = source.starting_offsets().await?;
    let started = clock.monotonic();
    source.start(&positions).await?;
    let (mut events, mut batches) = (0, 0);
    loop {
        let buffered = source.buffered().await?;
        if buffered.iter().all(|b| b.position >= ends[&b.partition].latest) {
            break;
        }
        let ranges: BTreeMap<_, _> = buffered
            .iter()
            .filter(|b| b.end() > b.position)
            .map(|b| (b.partition.clone(), OffsetRange::new(b.position, b.end())))
            .collect();
        if ranges.is_empty() {
            source.changed().await;
            continue;
        }
        let taken = source.take(&ranges).await?;
        events += taken.events.iter().map(|e| e.events.num_rows() as u64).sum::<u64>();
        batches += 1;
        // An engine computes meanwhile; this leaves the core to the thread that fetches.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    report(kind, events, clock.monotonic().saturating_sub(started));
    println!("{batches} batches");
    Ok(())
}

fn report(what: &str, events: u64, took: Duration) {
    println!("{what}: {events} events in {took:?}, {:.0} a second", events as f64 / took.as_secs_f64());
}

fn fill(log: &EmbeddedLog, topic: &str, events: u64, clock: &SystemClock) -> Result<(), Failure> {
    if events == 0 {
        return Ok(());
    }
    log.create_topic(topic, 3, TopicOptions::default())?;
    let record = |i: u64| Record {
        timestamp_ms: Some(1_700_000_000_000 + i as i64),
        key: Some(Bytes::from(format!("{i:08}"))),
        value: Some(Bytes::from(vec![b'x'; 100])),
        headers: Vec::new(),
    };
    let started = clock.monotonic();
    for chunk in 0..events.div_ceil(10_000) {
        let records: Vec<Record> = (chunk * 10_000..events.min((chunk + 1) * 10_000)).map(record).collect();
        log.append(topic, (chunk % 3) as i32, &records)?;
    }
    report("append", events, clock.monotonic().saturating_sub(started));
    Ok(())
}

fn produce(brokers: &str, topic: &str, events: u64, clock: &SystemClock) -> Result<(), Failure> {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("linger.ms", "20")
        .set("batch.size", "200000")
        .set("queue.buffering.max.messages", "1000000")
        .create()?;
    let value = [b'x'; 100];
    let started = clock.monotonic();
    for i in 0..events {
        let key = format!("{i:08}");
        while producer.send(BaseRecord::to(topic).key(&key).payload(&value[..])).is_err() {
            producer.flush(Duration::from_secs(60))?;
        }
    }
    producer.flush(Duration::from_secs(60))?;
    report("produce", events, clock.monotonic().saturating_sub(started));
    Ok(())
}

fn raw(brokers: &str, topic: &str, clock: &SystemClock) -> Result<(), Failure> {
    let client: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "drain")
        .set("enable.auto.commit", "false")
        .create()?;
    let metadata = client.fetch_metadata(Some(topic), Duration::from_secs(10))?;
    let (mut list, mut total) = (TopicPartitionList::new(), 0);
    for partition in metadata.topics().iter().flat_map(|t| t.partitions()) {
        let (low, high) = client.fetch_watermarks(topic, partition.id(), Duration::from_secs(10))?;
        total += (high - low) as u64;
        list.add_partition_offset(topic, partition.id(), Offset::Offset(low))?;
    }
    let started = clock.monotonic();
    client.assign(&list)?;
    let mut events = 0;
    while events < total {
        if let Some(message) = client.poll(Duration::from_secs(1)) {
            message?;
            events += 1;
        }
    }
    report("raw", events, clock.monotonic().saturating_sub(started));
    Ok(())
}
