//! What a batch computes: the checked graph with its state, and the jobs that stage what it gives.
//!
//! ```text
//! rows of the sources ──> graph (tables in topological order, operators with state) ──> TableOutput of each table
//!                                                │                                             │
//!                                                └─> deltas, segments, snapshots               └─> jobs: staged files
//! ```
//!
//! **Owns** the walk of a batch through the graph ([`graph`]), the folders and the staging of what it gives ([`outputs`],
//! [`Stager`]), when state is folded into segments and how it is written and put back ([`segments`], [`state_writer`]).
//!
//! **May not know** where events come from or how they are decoded, when a batch is planned, committed or published, or that the
//! SQL may change.
//!
//! **States of a runner**: as of a commit (new or restored), in a batch (its operators have taken rows in), after a batch (its
//! changes wait to be written). A runner whose batch has failed is of no use: the start restores another one.
//!
//! **Invariants**: 4 (plans have one partition, rows keep their order, a job depends on nothing but its rows), 5 (where batches
//! are cut shows nowhere), 6 (state stays under its budget, rows of a large close go on a few at a time), 7 (a row that cannot be
//! computed costs itself).
//!
//! **A crash** leaves staged files and state files that no commit names: a later start sweeps them.

pub mod graph;
pub mod outputs;
pub mod segments;
pub mod state_writer;

mod error;
mod stager;

pub use error::RuntimeError;
pub use graph::ClauseSettings;
pub use stager::{Held, Stager, StagingJobs};
