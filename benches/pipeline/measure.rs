//! Runs a process to its end and says what it took.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sluicebox_core::{Clock, SystemClock};

use crate::jobs::Job;
use crate::place::{Topic, Workspace};

/// What a line of the table took.
#[derive(Debug, Default)]
pub struct Measured {
    /// Events read.
    pub events: u64,
    /// Events a second without the start: of a pipeline, after its first batch.
    pub steady: f64,
    /// Events a second of the whole process.
    pub whole: f64,
    /// Microseconds of processor time, user and system.
    pub cpu_micros: f64,
    /// The most memory that was resident.
    pub peak_bytes: u64,
    /// What it left on the disk.
    pub bytes_written: u64,
    /// Batches with events.
    pub batches: usize,
    /// Their median, in milliseconds.
    pub batch_p50: u64,
    /// Milliseconds by step, over all batches, the longest first.
    pub steps: Vec<(String, f64)>,
    /// The share of the time after the first batch in which no batch ran: it waited for events.
    pub between: f64,
    /// What its stations took.
    pub stations: Stations,
    /// Seconds of each part of a job that does several things at once.
    pub parts: Vec<(String, f64)>,
}

/// What a job prints about itself.
#[derive(Debug, Serialize, Deserialize)]
pub struct JobReport {
    /// Events read.
    pub events: u64,
    /// Seconds of the part that counts.
    pub seconds: f64,
    /// Microseconds of processor time of that part; `None`: of the whole process.
    pub cpu_micros: Option<f64>,
    /// Bytes written.
    pub bytes: u64,
    /// Seconds of each part, if it does several things at once.
    pub parts: Vec<(String, f64)>,
}

/// This program again, with one job.
pub fn run_job(job: Job, topic: &Topic, data: &Path) -> anyhow::Result<Measured> {
    let workspace = topic.workspace()?;
    let mut command = topic.command(std::env::current_exe()?, workspace.path());
    command.args(["--job", job.name(), "--from", topic.place.name(), "--topic", &topic.name, "--data"]);
    command.arg(data);
    let mut report: Option<JobReport> = None;
    let process = watch(command, |line, _| report = serde_json::from_str(line).ok())?;
    let report = report.with_context(|| format!("job {} told nothing", job.name()))?;
    let rate = report.events as f64 / report.seconds;
    Ok(Measured {
        events: report.events,
        steady: rate,
        whole: report.events as f64 / process.wall.as_secs_f64(),
        cpu_micros: report.cpu_micros.unwrap_or(process.cpu_micros),
        peak_bytes: process.peak_bytes,
        bytes_written: report.bytes,
        parts: report.parts,
        ..Measured::default()
    })
}

/// `sluicebox run` over everything in the topic, and the folder that it left.
pub fn run_pipeline(topic: &Topic, sql: &str, options: &[String]) -> anyhow::Result<(Measured, Workspace)> {
    let workspace = topic.workspace()?;
    std::fs::write(workspace.path().join("bench.sql"), sql)?;
    let mut command = topic.command(env!("CARGO_BIN_EXE_sluicebox"), workspace.path());
    command.args(["run", "bench.sql", "--trigger", "available-now", "--progress", "json", "--set"]);
    command.arg(format!("sales_events.subscribe={}", topic.name)).args(options);
    let mut batches: Vec<(Duration, u64, Value)> = Vec::new();
    let mut stations = Stations::default();
    let process = watch(command, |line, at| {
        if let Ok(progress) = serde_json::from_str::<Value>(line) {
            stations.add(&progress);
            batches.push((at, progress["numInputRows"].as_u64().unwrap_or(0), progress));
        }
    })?;
    let busy: f64 = batches.iter().filter_map(|(_, _, p)| p["batchDuration"].as_f64()).sum();
    let between = match batches.as_slice() {
        [first, .., last] => {
            let first_took = first.2["batchDuration"].as_f64().unwrap_or(0.0);
            let span = last.0.saturating_sub(first.0).as_secs_f64() * 1e3;
            1.0 - (busy - first_took) / span.max(1.0)
        }
        _ => 0.0,
    };
    batches.retain(|(_, events, _)| *events > 0);
    let events = batches.iter().map(|(_, events, _)| events).sum();
    let steady = match batches.as_slice() {
        [first, .., last] => (events - first.1) as f64 / last.0.saturating_sub(first.0).as_secs_f64(),
        _ => events as f64 / process.wall.as_secs_f64(),
    };
    let mut lengths: Vec<u64> = batches.iter().filter_map(|(_, _, p)| p["batchDuration"].as_u64()).collect();
    let measured = Measured {
        events,
        steady,
        whole: events as f64 / process.wall.as_secs_f64(),
        cpu_micros: process.cpu_micros,
        peak_bytes: process.peak_bytes,
        bytes_written: workspace.bytes(),
        batches: batches.len(),
        batch_p50: percentile(&mut lengths, 50),
        steps: steps(&batches),
        between: between.max(0.0),
        stations,
        ..Measured::default()
    };
    Ok((measured, workspace))
}

fn steps(batches: &[(Duration, u64, Value)]) -> Vec<(String, f64)> {
    let mut sums = BTreeMap::<String, f64>::new();
    for (_, _, progress) in batches {
        for (step, ms) in progress["durationMs"].as_object().into_iter().flatten() {
            if step != "triggerExecution" {
                *sums.entry(step.clone()).or_default() += ms.as_f64().unwrap_or(0.0);
            }
        }
    }
    let mut steps: Vec<(String, f64)> = sums.into_iter().collect();
    steps.sort_by(|a, b| b.1.total_cmp(&a.1));
    steps
}

/// What the stations of the road took, by the progress of batches.
#[derive(Debug, Clone, Default)]
pub struct Stations {
    stations: BTreeMap<String, Station>,
    batches: u64,
}

/// What one station took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Station {
    /// How often it was at work.
    pub times: f64,
    /// Microseconds over all threads.
    pub wall: f64,
    /// Microseconds of a processor.
    pub cpu: f64,
}

impl Stations {
    /// Adds those of a batch.
    pub fn add(&mut self, progress: &Value) {
        self.batches += 1;
        for (name, took) in progress["observedMetrics"]["sluicebox.stations"].as_object().into_iter().flatten() {
            let sum = self.stations.entry(name.clone()).or_default();
            let of = |key: &str| took[key].as_f64().unwrap_or(0.0);
            *sum = Station {
                times: sum.times + of("times"),
                wall: sum.wall + of("wallMicros"),
                cpu: sum.cpu + of("cpuMicros"),
            };
        }
    }

    /// The station of that name.
    pub fn of(&self, name: &str) -> Station {
        self.stations.get(name).copied().unwrap_or_default()
    }

    /// Fsyncs a batch, and how long one took at the mean, in milliseconds.
    pub fn fsyncs(&self) -> (f64, f64) {
        let sync = self.of("sync");
        (sync.times / (self.batches as f64).max(1.0), sync.wall / sync.times.max(1.0) / 1e3)
    }

    /// The share of each station in `cpu_micros` of processor time, the largest first, and what no station had.
    pub fn shares(&self, cpu_micros: f64) -> Vec<(String, f64)> {
        let mut shares: Vec<(String, f64)> =
            self.stations.iter().map(|(name, took)| (name.clone(), took.cpu / cpu_micros)).collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        let sum: f64 = shares.iter().map(|(_, share)| share).sum();
        shares.push(("the rest".to_owned(), 1.0 - sum));
        shares
    }
}

/// The value below which `percent` of `values` lie; 0 of none.
pub fn percentile<T: Ord + Copy + Default>(values: &mut [T], percent: usize) -> T {
    values.sort_unstable();
    let at = (values.len() * percent).div_ceil(100).saturating_sub(1);
    values.get(at).copied().unwrap_or_default()
}

/// What a process took.
struct Process {
    wall: Duration,
    cpu_micros: f64,
    peak_bytes: u64,
}

/// Runs `command` and hands each line of its output to `line`, with the time since its start.
fn watch(mut command: Command, mut line: impl FnMut(&str, Duration)) -> anyhow::Result<Process> {
    let clock = SystemClock::new();
    let cpu_before = cpu_micros(true)?;
    let start = clock.monotonic();
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().context("a piped output")?;
    let done = Arc::new(AtomicBool::new(false));
    let peak = watch_memory(&child, Arc::clone(&done));
    for text in BufReader::new(stdout).lines() {
        line(&text?, clock.monotonic().saturating_sub(start));
    }
    let status = child.wait()?;
    let wall = clock.monotonic().saturating_sub(start);
    done.store(true, Ordering::Relaxed);
    let peak_bytes = peak.join().unwrap_or(0);
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(Process { wall, cpu_micros: cpu_micros(true)? - cpu_before, peak_bytes })
}

/// The most memory of `child`, which the kernel keeps, looked at until the child is gone.
fn watch_memory(child: &Child, done: Arc<AtomicBool>) -> std::thread::JoinHandle<u64> {
    let process = child.id();
    std::thread::spawn(move || {
        let mut peak = 0;
        while !done.load(Ordering::Relaxed) {
            peak = peak.max(memory_of(process, "VmHWM:").unwrap_or(0));
            std::thread::sleep(Duration::from_millis(20));
        }
        peak
    })
}

/// Bytes of `process` that are resident.
pub fn resident_of(process: &Child) -> anyhow::Result<u64> {
    memory_of(process.id(), "VmRSS:").context("a process that runs")
}

/// Bytes, by the line of its status that begins with `what`; `None` when it is gone.
fn memory_of(process: u32, what: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(what))?;
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Microseconds of processor time of this process, or of all its children that have ended.
pub fn cpu_micros(children: bool) -> anyhow::Result<f64> {
    cpu_of("self", children)
}

/// [`cpu_micros`] of another process.
pub fn cpu_micros_of(process: &Child) -> anyhow::Result<f64> {
    cpu_of(&process.id().to_string(), false)
}

fn cpu_of(process: &str, children: bool) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // After the name, which may hold anything up to the last parenthesis, utime is the 12th field.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let at = if children { 13 } else { 11 };
    let ticks =
        |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).context("a number in /proc/<process>/stat");
    // Linux shows 100 ticks a second to programs, whatever the kernel's own.
    Ok((ticks(at)? + ticks(at + 1)?) * 10_000.0)
}

/// Nanoseconds that this thread has been on a processor.
pub fn thread_nanos() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}
