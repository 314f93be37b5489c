//! A steady stream: how long a batch takes, and how long it is from an event to the file that shows it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use sluicebox_core::{Clock, SystemClock};
use sluicebox_testkit::register;
use sluicebox_testkit::sales::{SALES_SCHEMA, SalesConfig, SalesGenerator};
use sluicebox_testkit::sink::{EmbeddedSink, EventSink, KafkaSink, KafkaTarget};

use crate::measure::{Stations, cpu_micros_of, percentile};
use crate::place::{Place, Topic, embedded_log};
use crate::{Out, visible};

/// Between two appends: what an event waits for its producer at most.
const TICK: Duration = Duration::from_millis(2);
/// The first batches plan, open files and fill caches for the first time.
const WARM_UP: Duration = Duration::from_secs(3);
/// So many batches count for the warming up.
const FIRST_BATCHES: usize = 5;

/// The windows of the section, in microseconds: short, so that many close while it lasts.
const WINDOW: i64 = 1_000_000;
/// How far its watermark trails the events, in microseconds: more than they are out of order.
const DELAY: i64 = 5_000_000;
/// A partition that brings nothing for so long is idle; what that closes is closed before idleness is measured.
const IDLE: Duration = Duration::from_secs(12);

/// How long the section lasts.
#[derive(Debug, Clone, Copy)]
pub struct Length {
    /// Seconds of events.
    pub seconds: u64,
    /// Seconds without, afterwards.
    pub idle: u64,
}

/// All layers, with windows of [`WINDOW`] and a delay of [`DELAY`].
fn short_windows() -> anyhow::Result<String> {
    let text = crate::pipeline(3)?;
    let changed = text
        .replace("DELAY OF INTERVAL '10 minutes'", "DELAY OF INTERVAL '5 seconds'")
        .replace("window(event_time, INTERVAL '5 minutes')", "window(event_time, INTERVAL '1 second')");
    if changed.matches("INTERVAL '5 seconds'").count() + changed.matches("INTERVAL '1 second'").count() != 2 {
        bail!("sql/gold_revenue.sql has no window of 5 minutes or no delay of 10 any more");
    }
    Ok(changed)
}

/// Prints the section.
pub fn section(place: Place, rate: u64, length: Length, options: &[String], out: &mut Out) -> anyhow::Result<()> {
    let topic = Topic::new(place, "latency")?;
    std::env::set_current_dir(topic.base())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (mut sink, config) = runtime.block_on(sink(&topic, rate))?;
    let clock = SystemClock::new();
    let generator = SalesGenerator::new(config)?;
    // The topic is there now, with no event in it.
    std::fs::write("bench.sql", short_windows()?)?;
    let mut command = topic.command(env!("CARGO_BIN_EXE_sluicebox"), topic.base());
    command.args(["run", "bench.sql", "--trigger", "0 seconds", "--progress", "json", "--set"]);
    command.arg(format!("sales_events.subscribe={}", topic.name)).args(options);
    let mut child = Running(command.stdout(Stdio::piped()).spawn()?);
    let stdout = child.0.stdout.take().context("a piped output")?;
    let reader = std::thread::spawn(move || {
        BufReader::new(stdout).lines().map_while(Result::ok).filter_map(|l| serde_json::from_str(&l).ok()).collect()
    });
    let ended = || Ok(child.0.try_wait()?);
    let first = produce(&generator, sink.as_mut(), &clock, Duration::from_secs(length.seconds), ended)?;
    std::thread::sleep(Duration::from_secs(1));
    let idle = idle(&child, &clock, length.idle)?;
    drop(sink);
    let stopped = std::process::Command::new("kill").args(["-TERM", &child.0.id().to_string()]).status()?;
    let status = child.0.wait()?;
    if !stopped.success() || !status.success() {
        bail!("sluicebox run: {status}");
    }
    let progress: Vec<Value> = reader.join().unwrap_or_default();
    println!("\nlatency, from {}: {rate} events/s for {} s", place.title(), length.seconds);
    let record = report(&progress, first, idle)?;
    out.add(&json!({"section": "latency", "from": place.name(), "rate": rate, "values": record}))
}

/// The share of a core that the run takes while nothing comes in; `None` without a time to look.
fn idle(child: &Running, clock: &SystemClock, seconds: u64) -> anyhow::Result<Option<f64>> {
    if seconds == 0 {
        return Ok(None);
    }
    std::thread::sleep(IDLE);
    let (started, before) = (clock.monotonic(), cpu_micros_of(&child.0)?);
    std::thread::sleep(Duration::from_secs(seconds));
    let (ended, after) = (clock.monotonic(), cpu_micros_of(&child.0)?);
    Ok(Some((after - before) / 1e6 / ended.saturating_sub(started).as_secs_f64()))
}

/// The run that is measured; it ends with the section, however that ends.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail when it has ended, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
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

/// Appends each event when its time has come, for `length`; gives the time from which on latencies count.
fn produce(
    generator: &SalesGenerator,
    sink: &mut dyn EventSink,
    clock: &SystemClock,
    length: Duration,
    mut ended: impl FnMut() -> anyhow::Result<Option<std::process::ExitStatus>>,
) -> anyhow::Result<i64> {
    // Events that came due while the pipeline started are not made.
    let started = clock.now_micros();
    let end = started + i64::try_from((WARM_UP + length).as_micros())?;
    let mut next = generator.index_at(started);
    while clock.now_micros() < end {
        let to = generator.index_at(clock.now_micros()).max(next);
        let mut parts = std::collections::BTreeMap::<i32, Vec<_>>::new();
        for event in (next..to).map(|index| generator.event(index)) {
            parts.entry(event.partition).or_default().push(event);
        }
        for (partition, events) in &parts {
            sink.append(*partition, events)?;
        }
        next = to;
        std::thread::sleep(TICK);
        if let Some(status) = ended()? {
            bail!("sluicebox run ended: {status}");
        }
    }
    sink.flush()?;
    Ok(started + i64::try_from(WARM_UP.as_micros())?)
}

/// Prints the lines, and gives them by name: p50, p95 and p99 in milliseconds.
fn report(progress: &[Value], first: i64, idle: Option<f64>) -> anyhow::Result<Value> {
    let batches: Vec<&Value> =
        progress.iter().filter(|p| p["numInputRows"].as_u64().unwrap_or(0) > 0).skip(FIRST_BATCHES).collect();
    let mut stations = Stations::default();
    batches.iter().for_each(|batch| stations.add(batch));
    let lengths: Vec<i64> = batches.iter().filter_map(|p| p["batchDuration"].as_i64()).map(|ms| ms * 1000).collect();
    let fsyncs = fsyncs()?.into_iter().filter_map(|micros| i64::try_from(micros).ok()).collect();
    let (bronze, gold) = (Path::new("data/bronze/sales"), Path::new("data/gold/revenue_5m"));
    println!("{:<40} {:>8} {:>8} {:>8} {:>8}", "", "n", "p50 ms", "p95 ms", "p99 ms");
    let mut record = serde_json::Map::new();
    for (name, mut values) in [
        ("batch", lengths.clone()),
        ("event to visible bronze file", visible::rows(bronze, first)?),
        ("event to visible silver file", visible::rows(Path::new("data/silver/sales"), first)?),
        ("closing event to visible gold file", visible::windows(bronze, gold, WINDOW, DELAY, first)?),
        ("an fsync of a new 4 KiB file here", fsyncs),
    ] {
        let [p50, p95, p99] = [50, 95, 99].map(|p| percentile(&mut values, p) as f64 / 1e3);
        println!("{name:<40} {:>8} {p50:>8.1} {p95:>8.1} {p99:>8.1}", values.len());
        record.insert(name.to_owned(), json!([p50, p95, p99]));
    }
    let (syncs, millis) = stations.fsyncs();
    let total: f64 = lengths.iter().map(|micros| *micros as f64).sum();
    let plan = stations.of("plan").wall / total.max(1.0);
    println!("{syncs:.1} fsyncs a batch, {millis:.2} ms each; planning is {:.1} % of a batch", 100.0 * plan);
    record.insert("fsyncs a batch".to_owned(), json!(syncs));
    record.insert("planning".to_owned(), json!(plan));
    if let Some(idle) = idle {
        println!("idle, it takes {:.2} % of a core", 100.0 * idle);
        record.insert("idle".to_owned(), json!(idle));
    }
    Ok(Value::Object(record))
}

/// Microseconds of each of some fsyncs in the working directory.
fn fsyncs() -> anyhow::Result<Vec<u64>> {
    let clock = SystemClock::new();
    let mut took = Vec::new();
    for i in 0..200 {
        let path = format!("fsync-{i}");
        let mut file = std::fs::File::create(&path)?;
        file.write_all(&[0; 4096])?;
        let started = clock.monotonic();
        file.sync_all()?;
        took.push(u64::try_from(clock.monotonic().saturating_sub(started).as_micros())?);
        std::fs::remove_file(path)?;
    }
    Ok(took)
}
