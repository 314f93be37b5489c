//! A pipeline that runs beside a steady stream of events.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use sluicebox_core::{Clock, SystemClock};
use sluicebox_samples::register;
use sluicebox_samples::sales::{SALES_SCHEMA, SalesConfig, SalesGenerator};
use sluicebox_samples::sink::{EmbeddedSink, EventSink, KafkaSink, KafkaTarget};
use tokio::runtime::Runtime;

use crate::place::{Place, Topic, embedded_log};

/// Between two appends: what an event waits for its producer at most.
const TICK: Duration = Duration::from_millis(2);

/// The run, and what writes its events. The working directory is that of both, and is there as long as this is.
pub struct Live {
    pub clock: SystemClock,
    running: Running,
    progress: Option<JoinHandle<Vec<Value>>>,
    generator: SalesGenerator,
    sink: Box<dyn EventSink>,
    _runtime: Runtime,
    _topic: Topic,
}

/// The run that is measured; it ends with the section, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail when it has ended, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Live {
    /// Starts `sql` on a new topic with no event in it.
    pub fn start(place: Place, rate: u64, sql: &str, trigger: &str, options: &[String]) -> anyhow::Result<Self> {
        let topic = Topic::new(place, "latency")?;
        std::env::set_current_dir(topic.base())?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (sink, config) = runtime.block_on(sink(&topic, rate))?;
        let generator = SalesGenerator::new(config)?;
        std::fs::write("bench.sql", sql)?;
        let mut command = topic.command(env!("CARGO_BIN_EXE_sluicebox"), topic.base());
        command.args(["run", "bench.sql", "--trigger", trigger, "--progress", "json", "--set"]);
        command.arg(format!("sales_events.subscribe={}", topic.name)).args(options);
        let mut running = Running(command.stdout(Stdio::piped()).spawn()?);
        let stdout = running.0.stdout.take().context("a piped output")?;
        let progress = std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).filter_map(|l| serde_json::from_str(&l).ok()).collect()
        });
        Ok(Self {
            clock: SystemClock::new(),
            running,
            progress: Some(progress),
            generator,
            sink,
            _runtime: runtime,
            _topic: topic,
        })
    }

    /// The run's process.
    pub fn process(&self) -> &Child {
        &self.running.0
    }

    /// Appends each event when its time has come, for `length`; gives the time of the first.
    pub fn produce(&mut self, length: Duration) -> anyhow::Result<i64> {
        // Events that came due while the pipeline started are not made.
        let started = self.clock.now_micros();
        let end = started + i64::try_from(length.as_micros())?;
        let mut next = self.generator.index_at(started);
        while self.clock.now_micros() < end {
            let to = self.generator.index_at(self.clock.now_micros()).max(next);
            let mut parts = std::collections::BTreeMap::<i32, Vec<_>>::new();
            for event in (next..to).map(|index| self.generator.event(index)) {
                parts.entry(event.partition).or_default().push(event);
            }
            for (partition, events) in &parts {
                self.sink.append(*partition, events)?;
            }
            next = to;
            std::thread::sleep(TICK);
            if let Some(status) = self.running.0.try_wait()? {
                bail!("sluicebox run ended: {status}");
            }
        }
        self.sink.flush()?;
        Ok(started)
    }

    /// Ends the run as Ctrl-C does; gives its progress.
    pub fn stop(&mut self) -> anyhow::Result<Vec<Value>> {
        let stopped = Command::new("kill").args(["-TERM", &self.running.0.id().to_string()]).status()?;
        let status = self.running.0.wait()?;
        if !stopped.success() || !status.success() {
            bail!("sluicebox run: {status}");
        }
        Ok(self.progress.take().and_then(|progress| progress.join().ok()).unwrap_or_default())
    }
}

async fn sink(topic: &Topic, rate: u64) -> anyhow::Result<(Box<dyn EventSink>, SalesConfig)> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut config = SalesConfig::new(7, clock.now_micros());
    (config.rate, config.backlog) = (rate as f64, 0);
    let sink: Box<dyn EventSink> = match topic.place {
        Place::Kafka => {
            config.schema_id = register(&std::env::var("SCHEMA_REGISTRY_URL")?, &topic.name, SALES_SCHEMA).await?;
            let mut target = KafkaTarget {
                brokers: std::env::var("KAFKA_BOOTSTRAP_SERVERS")?,
                topic: topic.name.clone(),
                partitions: 3,
                ..KafkaTarget::default()
            };
            target.properties.insert("linger.ms".to_owned(), "0".to_owned());
            Box::new(KafkaSink::connect(&target).await?)
        }
        Place::Embedded => {
            // One event made by the command registers the schema and makes the topic.
            let status = topic
                .command(env!("CARGO_BIN_EXE_sluicebox"), topic.base())
                .args(["produce", "sales", "--topic", &topic.name, "--events", "1"])
                .stderr(Stdio::null())
                .status()?;
            if !status.success() {
                bail!("sluicebox produce: {status}");
            }
            Box::new(EmbeddedSink::open(embedded_log()?, &topic.name, 3)?)
        }
    };
    Ok((sink, config))
}
