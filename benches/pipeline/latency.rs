//! A steady stream: how long a batch takes, and how long it is from an event to the file that shows it.

use std::io::Write;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use anyhow::bail;
use serde_json::{Value, json};
use sluicebox_core::{Clock, SystemClock};

use crate::live::Live;
use crate::measure::{Stations, cpu_micros_of, percentile};
use crate::place::Place;
use crate::{Out, visible};

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
pub fn short_windows() -> anyhow::Result<String> {
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
    let mut live = Live::start(place, rate, &short_windows()?, "0 seconds", options)?;
    let started = live.produce(WARM_UP + Duration::from_secs(length.seconds))?;
    let first = started + i64::try_from(WARM_UP.as_micros())?;
    std::thread::sleep(Duration::from_secs(1));
    let idle = idle(live.process(), &live.clock, length.idle)?;
    let progress = live.stop()?;
    println!("\nlatency, from {}: {rate} events/s for {} s", place.title(), length.seconds);
    let record = report(&progress, first, idle)?;
    out.add(&json!({"section": "latency", "from": place.name(), "rate": rate, "values": record}))
}

/// The share of a core that the run takes while nothing comes in; `None` without a time to look.
fn idle(child: &Child, clock: &SystemClock, seconds: u64) -> anyhow::Result<Option<f64>> {
    if seconds == 0 {
        return Ok(None);
    }
    std::thread::sleep(IDLE);
    let (started, before) = (clock.monotonic(), cpu_micros_of(child)?);
    std::thread::sleep(Duration::from_secs(seconds));
    let (ended, after) = (clock.monotonic(), cpu_micros_of(child)?);
    Ok(Some((after - before) / 1e6 / ended.saturating_sub(started).as_secs_f64()))
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
