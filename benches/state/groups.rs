//! How a window bears its groups: `--groups 10000000 --memory-limit 268435456`.
//!
//! First the groups come, each row a new one; then as many rows again change groups at random; then the state is restored as
//! at a start, and the window is closed into a Parquet table. Each line is a process of its own; the first one has no limit
//! worth the name.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringBuilder, TimestampMicrosecondArray};
use serde::{Deserialize, Serialize};
use sluicebox_core::provenance;
use sluicebox_engine::EngineError;
use sluicebox_engine::checkpoint::Checkpoint;
use sluicebox_engine::graph::{TableOutput, TableSink, Way};
use sluicebox_lake::{BatchKey, ParquetOptions, ParquetTable, StagedFile, TableFormat};
use sluicebox_pipeline::graph::Graph;
use tokio::task::JoinHandle;

use crate::{Args, Job, STEP, bytes, graph, restored, running, schema, status};

/// What one line took.
#[derive(Debug, Serialize, Deserialize)]
pub struct Measured {
    filling: f64,
    alive: f64,
    batch_p50: f64,
    batch_p99: f64,
    batch_max: f64,
    state_bytes_most: u64,
    resident_bytes_most: u64,
    checkpoint_bytes: u64,
    committed_bytes: u64,
    segments: usize,
    deltas: usize,
    restart: f64,
    restored: u64,
    closing: f64,
    closed: u64,
    resident_bytes_closing: u64,
}

/// All lines.
pub fn section(args: &Args) -> anyhow::Result<()> {
    println!("{} rows a batch, one window; times in milliseconds, memory in MiB", args.rows);
    println!(
        "    groups   limit  rows/s filling  rows/s alive  of unlimited  p50   p99    max  state  resident  \
         checkpoint (named)  segments+deltas  restart s  close s  (resident)"
    );
    for groups in &args.groups {
        let mut base = None;
        for limit in [u64::MAX, args.memory_limit] {
            if limit == u64::MAX && *groups > args.unlimited {
                continue;
            }
            let m = run(args, *groups, limit)?;
            let of = base.map_or_else(|| "-".to_owned(), |base: f64| format!("{:.2}", m.alive / base));
            base.get_or_insert(m.alive);
            let mib = |bytes: u64| bytes >> 20;
            let limit = if limit == u64::MAX { "none".to_owned() } else { mib(limit).to_string() };
            let segments = format!("{}+{}", m.segments, m.deltas);
            println!(
                "{groups:>10} {limit:>7} {:>15.0} {:>13.0} {of:>13} {:>4.0} {:>5.0} {:>6.0} {:>6} {:>9} {:>11} ({:>5}) \
                 {segments:>16} {:>10.2} {:>8.1} {:>11}",
                m.filling,
                m.alive,
                m.batch_p50,
                m.batch_p99,
                m.batch_max,
                mib(m.state_bytes_most),
                mib(m.resident_bytes_most),
                mib(m.checkpoint_bytes),
                mib(m.committed_bytes),
                m.restart,
                m.closing,
                format!("({})", mib(m.resident_bytes_closing)),
            );
        }
    }
    Ok(())
}

/// This program again, for one line.
fn run(args: &Args, groups: u64, limit: u64) -> anyhow::Result<Measured> {
    let mut command = Command::new(std::env::current_exe()?);
    let job = groups.to_string();
    command.args(["--job", &job, "--groups", &job, "--memory-limit", &limit.to_string()]);
    command.args(["--rows", &args.rows.to_string()]).arg("--folder").arg(&args.folder);
    let output = command.output()?;
    if !output.status.success() {
        bail!("{groups} groups: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// An hour holds more rows than are ever asked for.
const WINDOW: u64 = 3_600_000_000;

fn pipeline() -> anyhow::Result<Graph> {
    graph(
        "CREATE STREAMING TABLE gold_e AS SELECT window.start AS window_start, event_id, count(*) AS events, \
         sum(length(event_id)) AS letters, max(event_time) AS latest \
         FROM STREAM e WATERMARK event_time DELAY OF INTERVAL '1 minute' \
         GROUP BY window(event_time, INTERVAL '1 hour'), event_id;",
    )
}

/// Rows of the groups `ids`, the first at `time` steps.
fn rows(ids: impl Iterator<Item = u64>, time: u64) -> anyhow::Result<RecordBatch> {
    let mut text = StringBuilder::new();
    for n in ids {
        text.append_value(format!("evt-{:016x}-{n:012}", n.wrapping_mul(0xd134_2543_de82_ef95)));
    }
    let text = text.finish();
    let at = |row: usize| (time + row as u64).cast_signed();
    let count = arrow::array::Array::len(&text);
    let times = TimestampMicrosecondArray::from_iter_values((0..count).map(|row| at(row) * STEP.cast_signed()));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(text),
        Arc::new(times.with_timezone("UTC")),
        Arc::new(Int32Array::from_iter_values((0..count).map(|_| 0))),
        Arc::new(Int64Array::from_iter_values((0..count).map(at))),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

/// Writes the rows of a close as they come.
struct ToTable<'a> {
    table: &'a Arc<ParquetTable>,
    job: &'a mut Option<JoinHandle<Result<Vec<StagedFile>, sluicebox_lake::LakeError>>>,
    collected: &'a mut Vec<RecordBatch>,
}

impl TableSink for ToTable<'_> {
    fn table(&mut self, output: &TableOutput) -> Result<(), EngineError> {
        self.collected.extend(output.rows.iter().cloned());
        Ok(())
    }

    fn way(&mut self, _: &str) -> Result<Way, EngineError> {
        let (to, mut from) = tokio::sync::mpsc::channel::<RecordBatch>(2);
        let table = Arc::clone(self.table);
        *self.job = Some(tokio::task::spawn_blocking(move || {
            let rows = std::iter::from_fn(|| provenance::visible(&from.blocking_recv()?).ok());
            table.stage_stream(&BatchKey { batch_id: 0, query_id: "bench", epoch: 1 }, rows)
        }));
        Ok(Way::Send(to))
    }
}

/// One line.
pub async fn measure(args: &Args, groups: u64) -> anyhow::Result<Measured> {
    let folder = tempfile::Builder::new().prefix("state-bench-").tempdir_in(&args.folder)?;
    let root = std::path::absolute(folder.path())?;
    let checkpoint = Checkpoint::new(&root);
    checkpoint.prepare()?;
    let graph = pipeline()?;
    let mut job = Job::new(running(&graph)?, args.memory_limit, &checkpoint);
    ensure!(2 * groups * STEP < WINDOW - 120_000_000, "so many groups do not fit into the window");
    let (mut filling, mut alive) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < 2 * groups {
        let to = (at + args.rows).min(2 * groups);
        let group = |n: u64| if n < groups { n } else { n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % groups };
        let rows = rows((at..to).map(group), at)?;
        let took = Box::pin(job.batch(rows, |_: &TableOutput| Ok(()))).await?;
        if at < groups {
            filling.push(took)
        } else {
            alive.push(took)
        }
        at = to;
    }
    let sum = |batches: &[Duration]| batches.iter().sum::<Duration>().as_secs_f64();
    let (rate_filling, rate_alive) = (groups as f64 / sum(&filling), groups as f64 / sum(&alive));
    let mut all = [filling, alive].concat();
    all.sort_unstable();
    let nth = |percent: usize| all[(all.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    let commit = job.last.clone().context("no batch")?;
    let (resident_bytes_most, state_bytes_most) = (status("VmHWM:")?, job.most);
    let (restart, restored) = restored(running(&graph)?, &checkpoint, &commit)?;
    ensure!(restored >= groups, "{restored} rows were restored");
    let state = commit.state.values().next().context("no state")?;
    let checkpoint_bytes = bytes(&root)?;

    let table = graph.tables.first().context("no table")?;
    let location = root.join("table");
    let table = ParquetTable::try_new(&location, Arc::clone(&table.schema), Vec::new(), ParquetOptions::default())?;
    table.prepare()?;
    let (table, mut staging, mut collected) = (Arc::new(table), None, Vec::new());
    // Ahead of the window's end by more than the delay.
    let later = rows(std::iter::once(0), (WINDOW + 120_000_000) / STEP)?;
    let at = sluicebox_core::Clock::monotonic(&job.clock);
    let sink = ToTable { table: &table, job: &mut staging, collected: &mut collected };
    Box::pin(job.batch(later, sink)).await?;
    let files = match staging {
        Some(staging) => staging.await??,
        None => {
            let rows = collected.iter().map(provenance::visible).collect::<Result<Vec<_>, _>>()?;
            table.stage(&BatchKey { batch_id: 0, query_id: "bench", epoch: 1 }, &rows)?
        }
    };
    let closing = (sluicebox_core::Clock::monotonic(&job.clock) - at).as_secs_f64();
    let closed = files.iter().map(|file| file.rows).sum();
    ensure!(closed == groups, "{closed} rows of {groups} groups");
    Ok(Measured {
        filling: rate_filling,
        alive: rate_alive,
        batch_p50: nth(50),
        batch_p99: nth(99),
        batch_max: nth(100),
        state_bytes_most,
        resident_bytes_most,
        checkpoint_bytes,
        committed_bytes: state.files().map(|f| f.bytes).sum(),
        segments: state.segments.len(),
        deltas: state.deltas.len(),
        restart,
        restored,
        closing,
        closed,
        resident_bytes_closing: status("VmHWM:")?,
    })
}
