//! Changing the SQL of a pipeline that has a checkpoint, and beginning it anew.
//!
//! ```text
//! shape      what of a pipeline matters to its files and its state         a pure function of the checked graph
//! compare    old and new shape -> a verdict for each table, with reasons    pure
//! ways       verdicts and what was asked for -> what is done, or what to ask for   pure
//! observe    what a checkpoint says, read without touching it
//! subgraph   the part of a graph that fills tables anew, beside the rest    pure
//! files      whose rows can be read back instead, in their order and whole  pure
//! retired    which of them are there no more, by the checkpoint's records
//! ```
//!
//! `pipelines/<n>` ([`PipelineRecord`](sluicebox_checkpoint::PipelineRecord)) has the text and the shape under which batches ran:
//! created if absent, never changed.
//!
//! **The pipeline in force** is the one that the newest commit names. Another one is adopted in this order: compared, then
//! its record made durable, then the first batch under it planned; that batch's commit names it. A crash before the commit
//! leaves a record that no commit names: the next start compares again with the pipeline in force, and goes on with the
//! record when it is about the same pipeline.
//!
//! A batch that was planned and not committed has not happened, so it is replayed under the new SQL: same offsets, same
//! clock. `docs/decisions` says why.
//!
//! **Owns** the comparison of two versions of a pipeline, its verdicts and the ways on ([`compare()`], [`resolve`], [`prepare`]),
//! adoption ([`adopt`]), the full refresh ([`refresh`]), the rows of files that fill tables ([`FileRows`]), and what is found in
//! the folders before a run acts on a checkpoint ([`folders_check`], [`named`]).
//!
//! **May not know** how events become rows, how a batch is run or when it is committed.
//!
//! **States of a pipeline**: in force (the newest commit names it), adopted (its record is durable, no commit names it yet), being
//! filled (the newest commit names tables as pending), given up (a later record is there).
//!
//! **Invariants**: 3 (an adoption or a refresh that was cut off is gone on with), 8 (what stands in the way is told before
//! anything is touched; nothing that is another's is deleted).
//!
//! **A crash** in an adoption leaves a record that no commit names; in a refresh the record `refresh`, with which every start goes
//! on.

#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "tests make and damage files by hand"))]

pub mod adopt;
mod canonical;
mod compare;
mod error;
mod files;
mod fill;
pub mod folders_check;
pub mod named;
mod observe;
mod opening;
pub mod refresh;
mod retired;
mod shape;
mod subgraph;
mod table;
mod text;
mod verdict;
mod ways;

#[cfg(test)]
mod tests;

pub use compare::compare;
pub use error::EvolveError;
pub use files::readable;
pub use fill::{FileRows, FileSource};
pub use observe::{Decision, Prepared, Stage, prepare, read_only};
pub use opening::{Logs, Opening};
pub use retired::{Retired, leave_cleared, retired};
pub use shape::shape_of;
pub use subgraph::{part, part_from_files, without};
pub use verdict::{Change, ChangeFacts, ChangeKind, Changes, Difference, Matter, Subject, Verdict, Way};
pub use ways::{Adoption, Backfill, Request, resolve};
