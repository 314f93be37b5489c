//! Fills a topic with sales and says how fast: `fill_kafka TOPIC EVENTS [SEED]`. With `-` for the topic the events are
//! made and thrown away. Brokers and registry come from the environment.

use sluicebox_core::{Clock, SystemClock};
use sluicebox_testkit::sales::{SALES_SCHEMA, SalesConfig, SalesGenerator};
use sluicebox_testkit::sink::{EventSink, KafkaSink, KafkaTarget, fill};
use sluicebox_testkit::{Result, register};

struct Nowhere;

impl EventSink for Nowhere {
    fn partitions(&self) -> i32 {
        3
    }
    fn append(&mut self, _: i32, _: &[sluicebox_testkit::sales::GeneratedEvent]) -> Result<()> {
        Ok(())
    }
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let topic = arguments.first().ok_or("usage: fill_kafka TOPIC|- EVENTS [SEED]")?.clone();
    let events: u64 = arguments.get(1).map_or(Ok(2_000_000), |n| n.parse())?;
    let seed: u64 = arguments.get(2).map_or(Ok(42), |n| n.parse())?;
    let clock = SystemClock::new();
    let mut config = SalesConfig { backlog: events, ..SalesConfig::new(seed, clock.now_micros()) };
    let mut sink: Box<dyn EventSink> = if topic == "-" {
        Box::new(Nowhere)
    } else {
        config.schema_id = register(&std::env::var("SCHEMA_REGISTRY_URL")?, &topic, SALES_SCHEMA).await?;
        let brokers = std::env::var("KAFKA_BOOTSTRAP_SERVERS")?;
        let target = KafkaTarget { brokers, topic, partitions: 3, ..KafkaTarget::default() };
        Box::new(KafkaSink::connect(&target).await?)
    };
    config.partitions = sink.partitions();
    let generator = SalesGenerator::new(config)?;
    let start = clock.monotonic();
    let produced = fill(&generator, sink.as_mut(), 0..events, |_| {})?;
    let took = clock.monotonic() - start;
    let rate = u128::from(produced.events) * 1_000_000 / took.as_micros().max(1);
    println!("{produced:?} in {took:.2?}: {rate} events/s");
    Ok(())
}
