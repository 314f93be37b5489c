//! How a window bears its groups: `--groups 10000000 --memory-limit 268435456`.
//!
//! First the groups come, each row a new one; then as many rows again change groups at random; then the state is restored as
//! at a start, and the window is closed into a Parquet table. Each line is a process of its own; the first one has no limit
//! worth the name.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringBuilder, TimestampMicrosecondArray};
use serde::{Deserialize, Serialize};
use sluicebox_checkpoint::Checkpoint;
use sluicebox_core::provenance;
use sluicebox_pipeline::graph::Graph;
use sluicebox_runtime::RuntimeError;
use sluicebox_runtime::graph::{Route, TableOutput, TableSink};
use sluicebox_sinks::{BatchKey, ParquetOptions, ParquetTable, StagedFile, prepare};
use tokio::task::JoinHandle;

use crate::line::{Measured, again, limit_text, limits, mib};
use crate::{Args, Job, STEP, bytes, graph, restored, running, schema, status};

/// What a line of groups took.
#[derive(Debug, Serialize, Deserialize)]
pub struct Groups {
    #[serde(flatten)]
    line: Measured,
    /// Seconds from the event that closes the window until its rows are in their files.
    closing: f64,
    /// The rows.
    closed: u64,
    /// The process in memory then, at its most.
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
        for limit in limits(args, *groups) {
            let Groups { line: m, closing, resident_bytes_closing, .. } =
                again(args, *groups, limit, &["--groups", &groups.to_string()])?;
            let of = base.map_or_else(|| "-".to_owned(), |base: f64| format!("{:.2}", m.alive / base));
            base.get_or_insert(m.alive);
            let segments = format!("{}+{}", m.segments, m.deltas);
            println!(
                "{groups:>10} {:>7} {:>15.0} {:>13.0} {of:>13} {:>4.0} {:>5.0} {:>6.0} {:>6} {:>9} {:>11} ({:>5}) \
                 {segments:>16} {:>10.2} {closing:>8.1} {:>11}",
                limit_text(limit),
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
                format!("({})", mib(resident_bytes_closing)),
            );
        }
    }
    Ok(())
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
    job: &'a mut Option<JoinHandle<Result<Vec<StagedFile>, sluicebox_sinks::LakeError>>>,
    collected: &'a mut Vec<RecordBatch>,
}

impl TableSink for ToTable<'_> {
    fn table(&mut self, output: &TableOutput) -> Result<(), RuntimeError> {
        self.collected.extend(output.rows.iter().cloned());
        Ok(())
    }

    fn route(&mut self, _: &str) -> Result<Route, RuntimeError> {
        let (to, mut from) = tokio::sync::mpsc::channel::<RecordBatch>(2);
        let table = Arc::clone(self.table);
        *self.job = Some(tokio::task::spawn_blocking(move || {
            let rows = std::iter::from_fn(|| provenance::visible(&from.blocking_recv()?).ok());
            table.stage_stream(&BatchKey { batch_id: 0, query_id: "bench", epoch: 1 }, rows)
        }));
        Ok(Route::Send(to))
    }
}

/// One line.
pub async fn measure(args: &Args, groups: u64) -> anyhow::Result<Groups> {
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
    let mut line = Measured::of(&job, (rate_filling, rate_alive), &mut all)?;
    let commit = job.last.clone().context("no batch")?;
    (line.restart, line.restored) = restored(running(&graph)?, &checkpoint, &commit)?;
    ensure!(line.restored >= groups, "{} rows were restored", line.restored);
    line.checkpoint_bytes = bytes(&root)?;

    let table = graph.tables.first().context("no table")?;
    let location = root.join("table");
    let table = ParquetTable::try_new(&location, Arc::clone(&table.schema), Vec::new(), ParquetOptions::default())?;
    prepare(table.location())?;
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
            table.stage_files(&BatchKey { batch_id: 0, query_id: "bench", epoch: 1 }, &rows)?
        }
    };
    let closing = (sluicebox_core::Clock::monotonic(&job.clock) - at).as_secs_f64();
    let closed = files.iter().map(|file| file.rows).sum();
    ensure!(closed == groups, "{closed} rows of {groups} groups");
    Ok(Groups { line, closing, closed, resident_bytes_closing: status("VmHWM:")? })
}
