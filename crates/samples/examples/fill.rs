//! Makes sales and says how fast: `fill kafka TOPIC EVENTS [SEED]`, `fill embedded FOLDER EVENTS [SEED]` (the sample of a
//! source), `fill nowhere - EVENTS [SEED]`. Brokers and registry come from the environment.

use std::sync::Arc;

use sluicebox_core::{Clock, SystemClock};
use sluicebox_samples::feeder::SampleFeeder;
use sluicebox_samples::sales::{GeneratedEvent, SALES_SCHEMA, SalesConfig, SalesGenerator};
use sluicebox_samples::sink::{EventSink, KafkaSink, KafkaTarget, fill};
use sluicebox_samples::{Result, register};
use sluicebox_sources::EmbeddedLog;

struct Nowhere;

impl EventSink for Nowhere {
    fn partitions(&self) -> i32 {
        3
    }
    fn append(&mut self, _: i32, _: &[GeneratedEvent]) -> Result<()> {
        Ok(())
    }
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, name, events, rest @ ..] = arguments.as_slice() else {
        return Err("usage: fill kafka|embedded|nowhere TOPIC|FOLDER EVENTS [SEED]".into());
    };
    let events: u64 = events.parse()?;
    let seed: u64 = rest.first().map_or(Ok(42), |n| n.parse())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut config = SalesConfig { backlog: events, ..SalesConfig::new(seed, clock.now_micros()) };
    let start = clock.monotonic();
    if kind == "embedded" {
        let log = EmbeddedLog::open(name, Arc::clone(&clock))?;
        let mut feeder = SampleFeeder::open(&log, "sales.events.v1", config, Arc::clone(&clock)).await?;
        println!("{:?}", feeder.ensure_backlog().await?);
    } else {
        let mut sink: Box<dyn EventSink> = Box::new(Nowhere);
        if kind == "kafka" {
            config.schema_id = register(&std::env::var("SCHEMA_REGISTRY_URL")?, name, SALES_SCHEMA).await?;
            let brokers = std::env::var("KAFKA_BOOTSTRAP_SERVERS")?;
            let target = KafkaTarget { brokers, topic: name.clone(), partitions: 3, ..KafkaTarget::default() };
            sink = Box::new(KafkaSink::connect(&target).await?);
        }
        config.partitions = sink.partitions();
        println!("{:?}", fill(&SalesGenerator::new(config)?, sink.as_mut(), 0..events, |_| {})?);
    }
    let took = clock.monotonic() - start;
    println!("{took:.2?}: {} events/s", u128::from(events) * 1_000_000 / took.as_micros().max(1));
    Ok(())
}
