//! Produces events to a topic of the broker at an even pace, on a thread of its own.
//!
//! Event time runs faster than the clock: the events of the whole soak lie in the six hours before its start, so that windows close all the
//! time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow};
use sluicebox_core::{Clock, SystemClock};
use sluicebox_samples::register;
use sluicebox_samples::sales::{SALES_SCHEMA, SalesConfig, SalesGenerator, Shares};
use sluicebox_samples::sink::{KafkaSink, KafkaTarget, Produced, fill};

use crate::servers::Servers;

/// The event time between the first event and the last.
pub const SPAN_MICROS: i64 = 6 * 3_600_000_000;
const PARTITIONS: i32 = 4;
const TICK: Duration = Duration::from_millis(50);

/// Appends events until all are there, or it is stopped.
#[derive(Debug)]
pub struct Producer {
    thread: JoinHandle<Result<Produced>>,
    stop: Arc<AtomicBool>,
    /// The id of the events' schema.
    pub schema_id: u32,
}

impl Producer {
    /// Makes the topic and starts to fill it with `events` events over `time`; returns when the first are there.
    pub fn start(servers: &Servers, topic: &str, seed: u64, events: u64, time: Duration) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let target = KafkaTarget {
            brokers: servers.brokers.clone(),
            topic: topic.to_owned(),
            partitions: PARTITIONS,
            ..Default::default()
        };
        let (schema_id, mut sink) = runtime.block_on(async {
            let id = register(&servers.registry, topic, SALES_SCHEMA).await?;
            anyhow::Ok((id, KafkaSink::connect(&target).await?))
        })?;
        let clock = SystemClock::new();
        let mut config = SalesConfig::new(seed, clock.now_micros());
        config.schema_id = schema_id;
        config.partitions = PARTITIONS;
        config.backlog = events;
        config.backlog_span_micros = SPAN_MICROS;
        config.shares = Shares { late: 0.02, duplicate: 0.03, invalid: 0.02, malformed: 0.01 };
        let generator = SalesGenerator::new(config)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let first = events.min(1000);
        let mut produced = fill(&generator, &mut sink, 0..first, |_| {})?;
        let thread = std::thread::spawn(move || {
            let mut next = first;
            while next < events && !stopped.load(Ordering::Relaxed) {
                let due = due(events, clock.monotonic(), time);
                if due > next {
                    add(&mut produced, fill(&generator, &mut sink, next..due, |_| {})?);
                    next = due;
                }
                std::thread::sleep(TICK);
            }
            // The client's threads end with the runtime that made them.
            drop(runtime);
            Ok(produced)
        });
        Ok(Self { thread, stop, schema_id })
    }

    /// Whether all events are there.
    pub fn is_done(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the last event, or for the one being made when `early`.
    pub fn finish(self, early: bool) -> Result<Produced> {
        self.stop.store(early, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the producer panicked"))?
    }
}

/// How many of `events` are due when `elapsed` of `time` is over.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a pace, far below 2^53"
)]
fn due(events: u64, elapsed: Duration, time: Duration) -> u64 {
    let part = (elapsed.as_secs_f64() / time.as_secs_f64()).min(1.0);
    (events as f64 * part) as u64
}

fn add(sum: &mut Produced, more: Produced) {
    sum.events += more.events;
    sum.bytes += more.bytes;
    sum.late += more.late;
    sum.duplicate += more.duplicate;
    sum.invalid += more.invalid;
    sum.malformed += more.malformed;
}
