//! How a deduplication bears the keys that it remembers: 1 and 10 million of them, with `--keys 100000000` a hundred, under a
//! budget of memory; and with `--groups` a window its groups (see `groups.rs`).
//!
//! Batches of made-up rows go through the engine's own graph (watermark, DISTINCT ON) and the writing of its state and
//! commits; no log, no decoding and no table files. First the keys come, all of them new but one in twenty; then the same
//! goes on with that many keys alive, while the watermark moves and as many are forgotten as come. Then the state is
//! restored as at a start. Each line is a process of its own, so that its memory is its own; the first line of each size has
//! no limit worth the name: that is what the others are compared with.

mod groups;
mod line;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringBuilder, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use clap::Parser;
use line::{Measured, again, limit_text, limits, mib};
use serde::{Deserialize, Serialize};
use sluicebox_checkpoint::Checkpoint;
use sluicebox_checkpoint::records::{Commit, OperatorState};
use sluicebox_core::{Clock, PartitionId, SystemClock, provenance};
use sluicebox_pipeline::graph::Graph;
use sluicebox_pipeline::{bind, parse};
use sluicebox_runtime::graph::{AtEnd, BatchInput, Runner, TableOutput, TableSink};
use sluicebox_runtime::segments::{DELTAS, Segments};
use sluicebox_runtime::{ClauseSettings, state_writer};

/// Memory, batch time, checkpoint and restart of a deduplication by the number of keys that it remembers
#[derive(Debug, Parser)]
struct Args {
    /// Keys alive at a time; several lines for several
    #[arg(long, default_values_t = [1_000_000, 10_000_000])]
    keys: Vec<u64>,
    /// Measure windows of so many groups, in place of keys; several lines for several
    #[arg(long)]
    groups: Vec<u64>,
    /// Bytes of memory for the state
    #[arg(long, default_value_t = 1 << 30)]
    memory_limit: u64,
    /// Sizes up to which there is a line without limit
    #[arg(long, default_value_t = 10_000_000)]
    unlimited: u64,
    /// Rows of a batch
    #[arg(long, default_value_t = 100_000)]
    rows: u64,
    /// Where the checkpoint goes while it is needed; 100 million keys take up to 15 GB
    #[arg(long, default_value = ".")]
    folder: std::path::PathBuf,
    /// Measure one size and print what it took: how the program calls itself
    #[arg(long, hide = true)]
    job: Option<u64>,
    /// Cargo says so to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// What a line of keys took.
#[derive(Debug, Serialize, Deserialize)]
struct Keys {
    #[serde(flatten)]
    line: Measured,
    /// The state in memory at the end.
    state_bytes: u64,
    /// The process in memory then.
    resident_bytes: u64,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(keys) = args.job {
        let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
        if !args.groups.is_empty() {
            println!("{}", serde_json::to_string(&runtime.block_on(groups::measure(&args, keys))?)?);
            return Ok(());
        }
        println!("{}", serde_json::to_string(&runtime.block_on(measure(&args, keys))?)?);
        return Ok(());
    }
    if !args.groups.is_empty() {
        return groups::section(&args);
    }
    println!("{} rows a batch, one in twenty a copy; times in milliseconds, memory in MiB", args.rows);
    println!(
        "      keys      limit  rows/s filling  rows/s alive  of unlimited  p50  p99   max  state (most)  resident (most)  \
         checkpoint (named)  segments+deltas  restart s"
    );
    for keys in &args.keys {
        let mut base = None;
        for limit in limits(&args, *keys) {
            let took: Keys = again(&args, *keys, limit, &[])?;
            let of = base.map_or_else(|| "-".to_owned(), |base: f64| format!("{:.2}", took.line.alive / base));
            base.get_or_insert(took.line.alive);
            print_line(*keys, limit, &of, &took);
        }
    }
    Ok(())
}

fn print_line(keys: u64, limit: u64, of: &str, took: &Keys) {
    let Keys { line: m, state_bytes, resident_bytes } = took;
    println!(
        "{keys:>10} {:>10} {:>15.0} {:>13.0} {of:>13} {:>4.0} {:>4.0} {:>5.0} {:>7} ({:>4}) {:>9} ({:>5}) {:>10} ({:>5}) \
         {:>12} {:>13.2}",
        limit_text(limit),
        m.filling,
        m.alive,
        m.batch_p50,
        m.batch_p99,
        m.batch_max,
        mib(*state_bytes),
        mib(m.state_bytes_most),
        mib(*resident_bytes),
        mib(m.resident_bytes_most),
        mib(m.checkpoint_bytes),
        mib(m.committed_bytes),
        format!("{}+{}", m.segments, m.deltas),
        m.restart,
    );
}

/// Event time between two rows, in microseconds.
const STEP: u64 = 10;

fn schema() -> SchemaRef {
    let visible =
        [Field::new("event_id", DataType::Utf8, false), Field::new("event_time", provenance::event_time_type(), false)];
    let fields = visible.into_iter().map(Arc::new).chain(provenance::provenance_fields());
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn runner(keys: u64) -> anyhow::Result<Runner> {
    // So long that the rows of the delay hold that many keys.
    let delay = keys * STEP * 20 / 19 / 1_000;
    let table = format!(
        "CREATE STREAMING TABLE silver_e AS SELECT DISTINCT ON (event_id) event_id, event_time
         FROM STREAM e WATERMARK event_time DELAY OF INTERVAL '{delay} milliseconds';"
    );
    running(&graph(&table)?)
}

/// The pipeline of one table over `e`.
fn graph(table: &str) -> anyhow::Result<Graph> {
    let source = "CREATE TABLE e USING kafka OPTIONS ('subscribe' = 'e', 'value.format' = 'avro');";
    let pipeline = parse("state.sql", &format!("{source} {table}"), &[]);
    let pipeline = pipeline.map_err(|e| anyhow::anyhow!(e.render(false)))?;
    let bound = bind::bind(pipeline, &BTreeMap::from([("e".to_owned(), schema())]));
    bound.map_err(|e| anyhow::anyhow!(e.render(false)))
}

fn running(graph: &Graph) -> anyhow::Result<Runner> {
    let settings = |_: &_| ClauseSettings { idle_timeout_micros: i64::MAX, max_future_micros: i64::MAX };
    let session = bind::functions::session_state(1);
    Ok(Runner::try_new(graph, session, 0, Arc::new(SystemClock::new()), settings)?)
}

/// Row `n` of the stream; each twentieth is a copy of one that came up to a delay before.
fn rows(from: u64, to: u64, keys: u64) -> anyhow::Result<RecordBatch> {
    let mut ids = StringBuilder::with_capacity(0, 0);
    for n in from..to {
        let copied = if n % 20 == 0 { n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % keys.min(n).max(1) + 1 } else { 0 };
        let n = n.saturating_sub(copied);
        ids.append_value(format!("evt-{:016x}-{n:012}", n.wrapping_mul(0xd134_2543_de82_ef95)));
    }
    let times = TimestampMicrosecondArray::from_iter_values((from..to).map(|n| (n * STEP).cast_signed()));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(ids.finish()),
        Arc::new(times.with_timezone("UTC")),
        Arc::new(Int32Array::from_iter_values((from..to).map(|_| 0))),
        Arc::new(Int64Array::from_iter_values((from..to).map(u64::cast_signed))),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

struct Job {
    runner: Runner,
    segments: Segments,
    checkpoint: Checkpoint,
    clock: SystemClock,
    states: BTreeMap<String, OperatorState>,
    last: Option<Commit>,
    batches: u64,
    most: u64,
    state_bytes: u64,
    purge: Option<tokio::task::JoinHandle<anyhow::Result<()>>>,
}

impl Job {
    fn new(runner: Runner, memory_limit: u64, checkpoint: &Checkpoint) -> Self {
        Self {
            runner,
            segments: Segments::new(memory_limit, DELTAS),
            checkpoint: checkpoint.clone(),
            clock: SystemClock::new(),
            states: BTreeMap::new(),
            last: None,
            batches: 0,
            most: 0,
            state_bytes: 0,
            purge: None,
        }
    }

    /// One batch; how long it took without making up its rows.
    async fn batch(&mut self, rows: RecordBatch, sink: impl TableSink) -> anyhow::Result<Duration> {
        let partition = PartitionId::new("e", "e", 0);
        let at = self.clock.monotonic();
        let input = BatchInput {
            clock_micros: i64::MAX / 4,
            partitions: vec![partition.clone()],
            at_end: BTreeMap::from([(partition, AtEnd::Backlog(1))]),
            finishing: false,
            rows: BTreeMap::from([("e".to_owned(), vec![rows])]),
        };
        drop(self.runner.run_batch_into(input, sink).await?);
        let mut changes = self.runner.changes()?;
        self.state_bytes = changes.iter().map(|c| c.memory_bytes as u64).sum();
        self.most = self.most.max(self.state_bytes);
        let (key, states) = ((self.batches, 1), &mut self.states);
        let (runner, segments) = (&mut self.runner, &mut self.segments);
        state_writer::write(&self.checkpoint, key, runner, &mut changes, segments, states, &self.clock).await?;
        let commit = Commit {
            totals: None,
            batch_id: self.batches,
            epoch: 1,
            outputs: Vec::new(),
            positions: Vec::new(),
            watermarks: self.runner.watermark_states(),
            schemas: BTreeMap::new(),
            state: self.states.clone(),
            pipeline: 1,
            pending: std::collections::BTreeSet::new(),
        };
        self.checkpoint.write_commit(&commit)?;
        let took = self.clock.monotonic() - at;
        // As a run does it: every tenth batch, beside those after it.
        if self.batches.is_multiple_of(10) {
            if let Some(purge) = self.purge.take() {
                purge.await??;
            }
            let (checkpoint, commit) = (self.checkpoint.clone(), commit.clone());
            self.purge = Some(tokio::task::spawn_blocking(move || Ok(checkpoint.purge(&commit)?)));
        }
        self.last = Some(commit);
        self.batches += 1;
        Ok(took)
    }
}

async fn measure(args: &Args, keys: u64) -> anyhow::Result<Keys> {
    let folder = tempfile::Builder::new().prefix("state-bench-").tempdir_in(&args.folder)?;
    let checkpoint = Checkpoint::new(folder.path());
    checkpoint.prepare()?;
    let mut job = Job::new(runner(keys)?, args.memory_limit, &checkpoint);
    // So many rows bring that many keys; then half as many again, but enough batches for a percentile.
    let full = keys * 20 / 19;
    let end = full + (full / 2).max(50 * args.rows).min(200 * args.rows);
    let (mut filling, mut alive) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < end {
        let to = (at + args.rows).min(end);
        let took = job.batch(rows(at, to, keys)?, |_: &TableOutput| Ok(())).await?;
        if at < full {
            filling.push(took)
        } else {
            alive.push(took)
        }
        at = to;
    }
    let rate = |batches: &[Duration]| {
        (batches.len() as u64 * args.rows) as f64 / batches.iter().sum::<Duration>().as_secs_f64()
    };
    let (filling, rate_alive) = (rate(&filling), rate(&alive));
    let resident_bytes = status("VmRSS:")?;
    let (commit, state_bytes) = (job.last.take().context("no batch")?, job.state_bytes);
    if let Some(purge) = job.purge.take() {
        purge.await??;
    }
    let mut line = Measured::of(&job, (filling, rate_alive), &mut alive)?;
    drop(job);
    (line.restart, line.restored) = restart(&checkpoint, &commit, keys)?;
    // The most of this process includes what it put back.
    line.resident_bytes_most = status("VmHWM:")?;
    line.checkpoint_bytes = bytes(folder.path())?;
    Ok(Keys { line, state_bytes, resident_bytes })
}

/// Restores the state of `commit`: the seconds that it takes, and the keys.
fn restart(checkpoint: &Checkpoint, commit: &Commit, keys: u64) -> anyhow::Result<(f64, u64)> {
    let (took, restored) = restored(runner(keys)?, checkpoint, commit)?;
    ensure!(restored >= keys * 9 / 10, "{restored} keys were restored");
    Ok((took, restored))
}

/// Puts the state of `commit` back: the seconds that it takes, and the rows.
fn restored(mut runner: Runner, checkpoint: &Checkpoint, commit: &Commit) -> anyhow::Result<(f64, u64)> {
    let clock = SystemClock::new();
    let at = clock.monotonic();
    let commit = checkpoint.commit(commit.batch_id)?;
    runner.restore_watermarks(&commit.watermarks);
    state_writer::read(checkpoint, &mut runner, &commit.state, &BTreeMap::new())?;
    let took = (clock.monotonic() - at).as_secs_f64();
    Ok((took, runner.changes()?.iter().map(|c| c.rows).sum()))
}

/// A line of what Linux says of this process, in bytes.
fn status(name: &str) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib << 10)
}

/// Bytes of all files below `folder`.
fn bytes(folder: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        sum += if entry.file_type()?.is_dir() { bytes(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(sum)
}
