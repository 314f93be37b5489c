//! Disks that misbehave: whatever becomes of a file, a run stops with its name and the way out, or goes on exactly right.
//!
//! - `matrix`: every file of the checkpoint, of the marks in table folders and of the embedded log, found by walking, is
//!   removed, cut, changed in a bit, or replaced by another of its kind or by a FIFO.
//! - `compactions`: the same of the records of exchanged folders, and what else may lie beside them.
//! - `folders`: foreign files in table folders, table folders and published files that go, also under a run, lost
//!   and old checkpoints.
//! - `fifos`: FIFOs among published files, in the place of a mark and of a pipeline.
//! - `limits`: few open files, short files, few threads.
//! - `places`: tables in checkpoints, and checkpoints in tables.
//! - `links`: links in the place of folders in which a run deletes, full refreshes that failed half-way.
//! - `records`: records of the checkpoint that somebody edited and sealed again.
//! - `strangers`: folders of somebody else in the place of a checkpoint, what others put into one, paths that are no text.
//! - `clock`: the machine's clock goes backwards (with the feature `faults`).
//! - `effects`: a full disk, a broken one, a read-only one, at every effect of a batch (with the feature `faults`).
//!
//! `SLUICEBOX_TEST_SEED` chooses the samples, `SLUICEBOX_DISKS=all` tries everything there is instead of samples.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "faults")]
mod clock;
mod compactions;
#[cfg(feature = "faults")]
mod effects;
mod fifos;
mod folders;
mod kinds;
mod limits;
mod links;
mod matrix;
mod places;
mod records;
mod scene;
mod strangers;

/// The pipeline of the README.
pub const GOLD: &str = "sql/gold_revenue.sql";

/// The seed of all samples.
pub fn seed() -> u64 {
    let seed = std::env::var("SLUICEBOX_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_121);
    println!("SLUICEBOX_TEST_SEED={seed}");
    seed
}

/// Whether everything is to be tried, not only samples.
pub fn everything() -> bool {
    std::env::var("SLUICEBOX_DISKS").is_ok_and(|value| value == "all")
}
