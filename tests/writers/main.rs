//! One writer, one owner: of two runs one wins, and the other stops with a message, whenever it wakes up.
//!
//! - `owners`: two runs, copied checkpoints, shared and nested folders, by links too; always built.
//! - `stalled`: a run is stopped at each named effect (`SLUICEBOX_STOP_AT`), another takes over and goes on, the first wakes.
//! - `refreshed`: a full refresh is killed at each of its effects and finished by a plain run or another refresh.
//! - `topics`: a run whose table is a topic of the embedded log is stopped and passed; who reads the topic sees each row once.
//!
//! The last three need the feature `faults`. `SLUICEBOX_TEST_SEED` chooses the samples, `SLUICEBOX_WRITERS=all` tries every
//! effect instead.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

#[path = "../support/mod.rs"]
mod support;

mod owners;
#[cfg(feature = "faults")]
mod refreshed;
#[cfg(feature = "faults")]
mod stalled;
#[cfg(feature = "faults")]
mod topics;

use std::process::{Command, Stdio};

use support::Workspace;

/// The pipeline of the README.
const GOLD: &str = "sql/gold_revenue.sql";
/// Its checkpoint.
const CHECKPOINT: &str = "checkpoints/revenue_5m";

/// A run to the end in batches of `cut` events, its messages kept.
fn run(job: &Workspace, cut: u32, more: &[&str]) -> Command {
    let cut = format!("sales_events.maxOffsetsPerTrigger={cut}");
    let mut args = vec!["run", GOLD, "--trigger", "available-now", "--set", &cut];
    args.extend(more);
    let mut command = job.command(&args);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// How many times a run reaches each effect, and each in the order of its first time.
#[cfg(feature = "faults")]
fn effects(mut run: Command, job: &Workspace) -> Vec<(String, u64)> {
    let log = job.path().join("effects.log");
    assert!(run.env("SLUICEBOX_FAULT_LOG", &log).output().unwrap().status.success());
    let mut effects: Vec<(String, u64)> = Vec::new();
    for line in std::fs::read_to_string(log).unwrap().lines() {
        match effects.iter_mut().find(|(name, _)| name == line) {
            Some((_, count)) => *count += 1,
            None => effects.push((line.to_owned(), 1)),
        }
    }
    effects
}

/// The seed of all samples.
#[cfg(feature = "faults")]
fn seed() -> u64 {
    let seed = std::env::var("SLUICEBOX_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_121);
    println!("SLUICEBOX_TEST_SEED={seed}");
    seed
}

/// Whether everything is to be tried, not only samples.
#[cfg(feature = "faults")]
fn everything() -> bool {
    std::env::var("SLUICEBOX_WRITERS").is_ok_and(|value| value == "all")
}
