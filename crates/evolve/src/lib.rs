//! Changes the SQL of a pipeline that has a checkpoint, and starts a pipeline from the beginning.
//!
//! ```text
//! shape      the parts of a pipeline that matter to its files and its state        a pure function of the checked graph
//! compare    old and new shape -> a verdict for each table, with reasons           pure
//! ways       verdicts and the request -> what to do, or what to ask for            pure
//! observe    what a checkpoint says, read without touching it
//! subgraph   the part of a graph that fills tables again, beside the rest          pure
//! files      the tables whose rows can be read back instead, in order and complete pure
//! retired    the rows of those that retention removed, by the checkpoint's records
//! ```
//!
//! `pipelines/<n>` ([`PipelineRecord`](sluicebox_checkpoint::PipelineRecord)) holds the text and the shape under which batches ran. It is
//! created if absent, and never changed.
//!
//! **The pipeline in force** is the one that the newest commit names. A run adopts another one in this order: it compares them, makes a
//! record durable, and plans the first batch under it; that batch's commit names the record. A crash before the commit leaves a record that
//! no commit names. The next start compares with the pipeline in force again, and uses the record if it describes the same pipeline.
//!
//! A batch that was planned and not committed has not happened, so it is replayed under the new SQL, with the same offsets and the same
//! clock. `docs/decisions` says why.
//!
//! **Owns** the comparison of two versions of a pipeline, its verdicts and their remedies ([`compare()`], [`resolve`], [`prepare`]),
//! adoption ([`adopt`]), the full refresh ([`refresh`]), the rows of files that fill tables ([`FileRows`]), and the check of the folders
//! before a run acts on a checkpoint ([`folders_check`], [`named`]).
//!
//! **May not know** how events become rows, how a batch is run or when it is committed.
//!
//! **States of a pipeline**: in force (the newest commit names it), adopted (its record is durable, no commit names it yet), being filled
//! (the newest commit names tables as pending), given up (a later record exists).
//!
//! **Invariants**: 3 (the next start resumes an adoption or a refresh that was interrupted), 8 (obstacles are reported before anything is
//! changed; nothing that belongs to somebody else is deleted).
//!
//! **A crash** in an adoption leaves a record that no commit names. A crash in a refresh leaves the record `refresh`, and every start
//! resumes it.

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
