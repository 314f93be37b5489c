//! A line of the tables: a process of its own, and what it says that it took.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sluicebox_checkpoint::records::OperatorState;

use crate::{Args, Job, status};

/// What is measured of every state, before the restart and what is special to it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Measured {
    /// Rows a second while the state grows.
    pub filling: f64,
    /// The same when it does not any more.
    pub alive: f64,
    /// Milliseconds of the batch in the middle.
    pub batch_p50: f64,
    /// Those of the one that 99 of 100 are not slower than.
    pub batch_p99: f64,
    /// Those of the slowest.
    pub batch_max: f64,
    /// The state in memory, at its most.
    pub state_bytes_most: u64,
    /// The process in memory, at its most before it starts again.
    pub resident_bytes_most: u64,
    /// All files of the checkpoint.
    pub checkpoint_bytes: u64,
    /// Those that the newest commit names.
    pub committed_bytes: u64,
    /// The segments among them.
    pub segments: usize,
    /// The deltas.
    pub deltas: usize,
    /// Seconds that the restart took.
    pub restart: f64,
    /// What it put back.
    pub restored: u64,
}

impl Measured {
    /// Of `job`, with what is still to be filled in: the checkpoint's bytes and the restart. `batches` are those whose
    /// times count; they are sorted.
    pub fn of(job: &Job, (filling, alive): (f64, f64), batches: &mut [Duration]) -> anyhow::Result<Self> {
        batches.sort_unstable();
        let nth = |percent: usize| batches[(batches.len() - 1) * percent / 100].as_secs_f64() * 1e3;
        let state: &OperatorState = job.states.values().next().context("no state")?;
        Ok(Self {
            filling,
            alive,
            batch_p50: nth(50),
            batch_p99: nth(99),
            batch_max: nth(100),
            state_bytes_most: job.most,
            resident_bytes_most: status("VmHWM:")?,
            checkpoint_bytes: 0,
            committed_bytes: state.files().map(|f| f.bytes).sum(),
            segments: state.segments.len(),
            deltas: state.deltas.len(),
            restart: 0.0,
            restored: 0,
        })
    }
}

/// This program again, for one line of `size` and `more` that chooses what is measured.
pub fn again<T: DeserializeOwned>(args: &Args, size: u64, limit: u64, more: &[&str]) -> anyhow::Result<T> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--job", &size.to_string(), "--memory-limit", &limit.to_string(), "--rows", &args.rows.to_string()]);
    let output = command.args(more).arg("--folder").arg(&args.folder).output()?;
    if !output.status.success() {
        bail!("a line of {size}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The limits of the lines of `size`: none worth the name first, which the other is compared with.
pub fn limits(args: &Args, size: u64) -> impl Iterator<Item = u64> {
    [u64::MAX, args.memory_limit].into_iter().skip(usize::from(size > args.unlimited))
}

/// A limit as the tables show it.
pub fn limit_text(limit: u64) -> String {
    if limit == u64::MAX { "none".to_owned() } else { mib(limit).to_string() }
}

/// Whole MiB.
pub fn mib(bytes: u64) -> u64 {
    bytes >> 20
}
