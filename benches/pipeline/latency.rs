//! A steady stream: how long a batch takes, and how long it is from an event to the file that shows it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use sluicebox_core::{Clock, SystemClock};
use sluicebox_testkit::register;
use sluicebox_testkit::sales::{SALES_SCHEMA, SalesConfig, SalesGenerator};
use sluicebox_testkit::sink::{EmbeddedSink, EventSink, KafkaSink, KafkaTarget};

use crate::measure::percentile;
use crate::place::{Place, Topic, embedded_log, files};

/// Between two appends: what an event waits for its producer at most.
const TICK: Duration = Duration::from_millis(2);
/// The first batches plan, open files and fill caches for the first time.
const WARM_UP: Duration = Duration::from_secs(3);

/// Prints the section.
pub fn section(place: Place, rate: u64, seconds: u64, options: &[String]) -> anyhow::Result<()> {
    let topic = Topic::new(place, "latency")?;
    std::env::set_current_dir(topic.base())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (mut sink, config) = runtime.block_on(sink(&topic, rate))?;
    let clock = SystemClock::new();
    let generator = SalesGenerator::new(config)?;
    // The topic is there now, with no event in it.
    std::fs::write("bench.sql", crate::pipeline(3)?)?;
    let mut command = topic.command(env!("CARGO_BIN_EXE_sluicebox"), topic.base());
    command.args(["run", "bench.sql", "--trigger", "0 seconds", "--progress", "json", "--set"]);
    command.arg(format!("sales_events.subscribe={}", topic.name)).args(options);
    let mut child = Running(command.stdout(Stdio::piped()).spawn()?);
    let stdout = child.0.stdout.take().context("a piped output")?;
    let reader = std::thread::spawn(move || {
        BufReader::new(stdout).lines().map_while(Result::ok).filter_map(|l| serde_json::from_str(&l).ok()).collect()
    });
    let first = produce(&generator, sink.as_mut(), &clock, Duration::from_secs(seconds), || Ok(child.0.try_wait()?))?;
    drop(sink);
    std::thread::sleep(Duration::from_secs(1));
    let stopped = std::process::Command::new("kill").args(["-TERM", &child.0.id().to_string()]).status()?;
    let status = child.0.wait()?;
    if !stopped.success() || !status.success() {
        bail!("sluicebox run: {status}");
    }
    let progress: Vec<Value> = reader.join().unwrap_or_default();
    report(place, (rate, seconds), &progress, first)
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

fn report(place: Place, (rate, seconds): (u64, u64), progress: &[Value], first: i64) -> anyhow::Result<()> {
    println!("\nlatency from {}: {rate} events/s for {seconds} s, --trigger '0 seconds', all layers", place.title());
    let mut batches: Vec<u64> = progress
        .iter()
        .filter(|p| p["numInputRows"].as_u64().unwrap_or(0) > 0)
        .skip(5)
        .filter_map(|p| p["batchDuration"].as_u64())
        .collect();
    let visible = visible(Path::new("data/silver/sales"), first)?;
    let mut millis: Vec<i64> = visible.iter().map(|micros| micros / 1000).collect();
    println!("{:<40} {:>8} {:>8} {:>8} {:>8}", "", "n", "p50 ms", "p95 ms", "p99 ms");
    let row = |name: &str, values: &mut [i64]| {
        let of = |values: &mut [i64], p| percentile(values, p);
        println!("{name:<40} {:>8} {:>8} {:>8} {:>8}", values.len(), of(values, 50), of(values, 95), of(values, 99));
    };
    let mut lengths: Vec<i64> = batches.drain(..).filter_map(|ms| i64::try_from(ms).ok()).collect();
    row("batch", &mut lengths);
    row("event to visible silver file", &mut millis);
    let mut fsyncs = fsyncs()?;
    println!(
        "an fsync of a new 4 KiB file here: p50 {:.2} ms, p95 {:.2} ms",
        percentile(&mut fsyncs, 50) as f64 / 1e3,
        percentile(&mut fsyncs, 95) as f64 / 1e3
    );
    Ok(())
}

/// Of every row of silver whose event is not older than `first`: microseconds from its event to its file. A file is
/// visible when it has been linked to its name, which its change time tells (removing the staged name moves it a little).
fn visible(folder: &Path, first: i64) -> anyhow::Result<Vec<i64>> {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut latencies = Vec::new();
    for path in files(folder, &|p| p.extension().is_some_and(|e| e == "parquet")) {
        let metadata = std::fs::metadata(&path)?;
        let changed = metadata.ctime() * 1_000_000 + metadata.ctime_nsec() / 1000;
        let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&path)?)?.build()?;
        for batch in reader {
            let batch = batch?;
            let times = cast(batch.column_by_name("_timestamp").context("column _timestamp")?, &micros)?;
            let times = cast(&times, &DataType::Int64)?;
            latencies.extend(
                times.as_primitive::<Int64Type>().iter().flatten().filter(|t| *t >= first).map(|t| changed - t),
            );
        }
    }
    if latencies.is_empty() {
        bail!("no silver row became visible");
    }
    Ok(latencies)
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
