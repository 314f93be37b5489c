//! Changing the SQL of a pipeline that has a checkpoint.
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

mod canonical;
mod compare;
mod files;
mod observe;
mod retired;
mod shape;
mod subgraph;
mod table;
mod text;
mod ways;

#[cfg(test)]
mod tests;

pub use compare::{Change, Changes, Difference, Facts, Kind, Matter, Subject, Verdict, compare};
pub(crate) use files::PLACE;
pub use files::readable;
pub(crate) use observe::fill_ends;
pub use observe::{Decision, Prepared, Stage, prepare, read_only};
pub(crate) use retired::leave_cleared;
pub use retired::{Retired, retired};
pub use shape::shape_of;
pub use subgraph::{part, part_from_files, without};
pub use ways::{Adoption, Backfill, Request, Way, resolve};
