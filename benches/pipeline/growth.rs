//! What grows with the number of partitions, tables and batches, and should not.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use sluicebox_core::{Clock, SystemClock};

use crate::measure::{Measured, Stations, percentile, run_pipeline};
use crate::place::{Place, Topic, Workspace, files};
use crate::{Out, pipeline};

/// Numbers of partitions and of tables.
const STEPS: [u64; 4] = [1, 4, 16, 64];
/// Events of a batch of the section on batches.
const EVENTS_A_BATCH: u64 = 10;
/// A mark of that section is described by so many batches before it.
const LOOK_BACK: usize = 200;

/// The cost of an event by the number of partitions of its topic.
pub fn partitions(place: Place, events: u64, options: &[String], out: &mut Out) -> anyhow::Result<()> {
    let sql = pipeline(3)?;
    println!("\npartitions, from {}: all layers with DQ, {events} events", place.title());
    heading("/ first");
    let mut first = None;
    for count in STEPS {
        let topic = Topic::filled(place, events, &["--partitions", &count.to_string()])?;
        let (measured, _) = run_pipeline(&topic, &sql, options)?;
        line("partitions", count, events, &measured, &mut first, place, out)?;
    }
    Ok(())
}

/// The cost of a row by the number of tables of the pipeline, each of which has all rows of a quarter of the events.
pub fn tables(place: Place, events: u64, options: &[String], out: &mut Out) -> anyhow::Result<()> {
    let events = events / 4;
    println!(
        "\ntables, from {}: each with all of {events} events; rows a second, and the cost of a row",
        place.title()
    );
    heading("/ first");
    let mut first = None;
    let topic = Topic::filled(place, events, &[])?;
    for count in STEPS {
        let (measured, _) = run_pipeline(&topic, &copies(count)?, options)?;
        line("tables", count, events * count, &measured, &mut first, place, out)?;
    }
    Ok(())
}

/// The source of the sales pipeline, and `count` tables of all its rows.
fn copies(count: u64) -> anyhow::Result<String> {
    let mut sql = pipeline(0)?;
    for table in 0..count {
        writeln!(
            sql,
            "CREATE STREAMING TABLE bronze_copy_{table} (CONSTRAINT has_id EXPECT (event_id IS NOT NULL)) \
             AS SELECT * FROM STREAM sales_events;"
        )?;
    }
    Ok(sql)
}

fn heading(ratio: &str) {
    println!(
        "{:>10} {:>10} {:>9} {:>8} {:>9} {:>8} {:>13}",
        "", "a second", "CPU us", ratio, "peak MiB", "batches", "fsyncs/batch"
    );
}

fn line(
    what: &str,
    count: u64,
    rows: u64,
    measured: &Measured,
    first: &mut Option<f64>,
    place: Place,
    out: &mut Out,
) -> anyhow::Result<()> {
    let cpu = measured.cpu_micros / rows as f64;
    let ratio = cpu / *first.get_or_insert(cpu);
    let speed = measured.whole * rows as f64 / measured.events as f64;
    let peak = measured.peak_bytes as f64 / 1_048_576.0;
    let (fsyncs, _) = measured.stations.fsyncs();
    println!("{count:>10} {speed:>10.0} {cpu:>9.2} {ratio:>8.2} {peak:>9.0} {:>8} {fsyncs:>13.0}", measured.batches);
    out.add(&json!({
        "section": what, "from": place.name(), "count": count, "cpuMicros": cpu, "peakMiB": peak, "perSecond": speed,
    }))
}

/// What a batch, a start and the folders become with the number of batches: the sales pipeline over the embedded log, ten
/// events a batch.
pub fn batches(last: u64, options: &[String], out: &mut Out) -> anyhow::Result<()> {
    let topic = Topic::filled(Place::Embedded, last * EVENTS_A_BATCH, &[])?;
    let workspace = topic.workspace()?;
    std::fs::write(workspace.path().join("bench.sql"), pipeline(3)?)?;
    println!("\nbatches of {EVENTS_A_BATCH} events, from the embedded log: all layers with DQ");
    println!(
        "{:>8} {:>9} {:>9} {:>9} {:>12} {:>11} {:>10} {:>12}",
        "batches", "p50 ms", "p95 ms", "CPU ms", "fsyncs/batch", "start ms", "checkpoint", "data files"
    );
    let mut marks: Vec<u64> =
        std::iter::successors(Some(last), |mark| Some(mark / 10)).take_while(|m| *m >= 100).collect();
    marks.reverse();
    let mut run = Run::start(&topic, &workspace, options)?;
    for mark in marks {
        let lines = run.until(mark)?;
        run.stop()?;
        let seen = lines.get(lines.len().saturating_sub(LOOK_BACK)..).unwrap_or_default();
        run = Run::start(&topic, &workspace, options)?;
        let start = run.first()?;
        mark_line(mark, seen, start, &workspace, out)?;
    }
    run.stop()?;
    Ok(())
}

fn mark_line(mark: u64, seen: &[Value], start: Duration, workspace: &Workspace, out: &mut Out) -> anyhow::Result<()> {
    let mut stations = Stations::default();
    seen.iter().for_each(|progress| stations.add(progress));
    let mut lengths: Vec<u64> = seen.iter().filter_map(|p| p["batchDuration"].as_u64()).collect();
    let (p50, p95) = (percentile(&mut lengths, 50), percentile(&mut lengths, 95));
    let cpu = stations.shares(1.0).iter().filter(|(name, _)| name != "the rest").map(|(_, micros)| micros).sum::<f64>();
    let cpu = cpu / 1e3 / (seen.len() as f64).max(1.0);
    let checkpoint = files(&workspace.path().join("checkpoints"), &|_| true);
    let size: u64 = checkpoint.iter().filter_map(|path| path.metadata().ok()).map(|m| m.len()).sum();
    // The log is a link, which is not followed.
    let data = files(&workspace.path().join("data"), &|_| true).len();
    let (fsyncs, _) = stations.fsyncs();
    let start = start.as_secs_f64() * 1e3;
    println!(
        "{mark:>8} {p50:>9} {p95:>9} {cpu:>9.1} {fsyncs:>12.1} {start:>11.0} {:>10} {data:>12}",
        format!("{} / {:.1} MB", checkpoint.len(), size as f64 / 1e6)
    );
    out.add(&json!({
        "section": "batches", "count": mark, "p50": p50, "p95": p95, "cpuMillis": cpu, "startMillis": start,
        "checkpointFiles": checkpoint.len(), "checkpointBytes": size, "dataFiles": data,
    }))
}

/// A run of the pipeline, one batch at a time.
struct Run {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    clock: SystemClock,
}

impl Run {
    fn start(topic: &Topic, workspace: &Workspace, options: &[String]) -> anyhow::Result<Self> {
        let clock = SystemClock::new();
        let mut command = topic.command(env!("CARGO_BIN_EXE_sluicebox"), workspace.path());
        command.args(["run", "bench.sql", "--trigger", "available-now", "--progress", "json"]);
        command.arg(format!("--set=sales_events.subscribe={}", topic.name));
        command.arg(format!("--set=sales_events.maxOffsetsPerTrigger={EVENTS_A_BATCH}")).args(options);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().context("a piped output")?).lines();
        Ok(Self { child, lines, clock })
    }

    fn next(&mut self) -> anyhow::Result<Option<Value>> {
        Ok(match self.lines.next() {
            Some(line) => Some(serde_json::from_str(&line?)?),
            None => None,
        })
    }

    /// From its start to the end of its first batch.
    fn first(&mut self) -> anyhow::Result<Duration> {
        self.next()?;
        Ok(self.clock.monotonic())
    }

    /// The progress of the batches up to number `mark`.
    fn until(&mut self, mark: u64) -> anyhow::Result<Vec<Value>> {
        let mut seen = std::collections::VecDeque::with_capacity(LOOK_BACK);
        while let Some(progress) = self.next()? {
            let number = progress["batchId"].as_u64().unwrap_or(0) + 1;
            if seen.len() == LOOK_BACK {
                seen.pop_front();
            }
            seen.push_back(progress);
            if number >= mark {
                break;
            }
        }
        Ok(seen.into())
    }

    /// Asks it to stop, and waits.
    fn stop(&mut self) -> anyhow::Result<()> {
        // It may have come to the end of the topic by itself.
        let _ = std::process::Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .stderr(Stdio::null())
            .status()?;
        while self.next()?.is_some() {}
        let status = self.child.wait()?;
        if !status.success() {
            bail!("sluicebox run: {status}");
        }
        Ok(())
    }
}
