//! The computation of a batch: the checked graph with its state, and the jobs that stage its output.
//!
//! ```text
//! rows of the sources ──> graph (tables in topological order, operators with state) ──> TableOutput of each table
//!                                                │                                             │
//!                                                └─> deltas, segments, snapshots               └─> jobs: staged files
//! ```
//!
//! **Owns** the walk of a batch through the graph ([`graph`]), the output folders and the staging of rows ([`outputs`], [`Stager`]), the
//! decision when state is folded into segments ([`segments`]), and the writing and restoring of state ([`state_writer`]).
//!
//! **May not know** where events come from or how they are decoded, when a batch is planned, committed or published, or that the SQL may
//! change.
//!
//! **States of a runner**: as of a commit (new or restored), in a batch (its operators have taken rows in), after a batch (its changes wait
//! to be written). A runner whose batch has failed cannot be used again: the next start restores another one.
//!
//! **Invariants**: 4 (plans have one partition, rows keep their order, a job depends on nothing but its rows), 5 (the output does not
//! depend on where batches are cut), 6 (state stays under its budget, and the rows of a large close are passed on a few at a time), 7 (a
//! row that cannot be computed costs itself alone).
//!
//! **A crash** leaves staged files and state files that no commit names. A later start sweeps them.

pub mod graph;
pub mod outputs;
pub mod segments;
pub mod state_writer;

mod error;
mod stager;

pub use error::RuntimeError;
pub use graph::ClauseSettings;
pub use stager::{Held, Stager, StagingJobs};
