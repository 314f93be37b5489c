//! The errors of a checkpoint, each with its remedy.

use std::path::PathBuf;

use sluicebox_core::{Blame, Blamed};
use sluicebox_durable::sealed::Broken;
use sluicebox_durable::{FileError, is_no_file};
use thiserror::Error;

/// What can be wrong with a checkpoint.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// A file cannot be read or made durable.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file's content is not what was written.
    #[error(
        "the checkpoint file {} is damaged: {why}. Restore the checkpoint from a copy, or start from the beginning with \
         `--full-refresh`, which deletes this pipeline's tables first",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A newer Sluicebox wrote a file.
    #[error("the checkpoint file {} cannot be read: {what}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version and the way out.
        what: Broken,
    },
    /// A file that must be there is not.
    #[error(
        "the checkpoint has no `{name}`, which other files in it refer to. Restore the checkpoint from a copy, or start \
         from the beginning with `--full-refresh`, which deletes this pipeline's tables first"
    )]
    Missing {
        /// Path below the checkpoint.
        name: String,
    },
    /// A folder of somebody else is named as the checkpoint.
    #[error(
        "{} is no checkpoint: it has no `metadata` that can be read, and {} is nothing that a run puts into one. Nothing was touched. \
         Name another folder with `--checkpoint`; or, if it is a checkpoint that has lost its `metadata`, restore it from a copy, or \
         move what is not its own away",
        checkpoint.display(),
        example.display()
    )]
    NoCheckpoint {
        /// The folder.
        checkpoint: PathBuf,
        /// Something in it.
        example: PathBuf,
    },
    /// Another run holds the checkpoint.
    #[error(
        "another run ({holder}) uses the checkpoint {}. Stop it first; if it hangs and cannot be stopped, `--take-over` \
         goes on in its place",
        path.display()
    )]
    Held {
        /// The checkpoint.
        path: PathBuf,
        /// The holder's process and machine.
        holder: String,
    },
    /// A later run has taken over.
    #[error(
        "a later run (epoch {theirs}) has taken this checkpoint over from this one (epoch {ours}), as `--take-over` asks; this \
         run stops, and the later one goes on. Nothing is lost and there is nothing to do"
    )]
    TakenOver {
        /// This run's epoch.
        ours: u64,
        /// The later one.
        theirs: u64,
    },
    /// A record of an earlier run came in while this one, which holds the checkpoint, worked.
    #[error(
        "the checkpoint file {} of epoch {theirs} was put there while this run (epoch {ours}) held the checkpoint: something \
         else writes into it. Find out what, then run again: nothing of this batch was written",
        path.display()
    )]
    Intruder {
        /// The file.
        path: PathBuf,
        /// This run's epoch.
        ours: u64,
        /// The epoch in the record.
        theirs: u64,
    },
    /// The checkpoint belongs to another pipeline.
    #[error(
        "the checkpoint {checkpoint} belongs to the pipeline `{pinned}`, this one is `{found}`: name another folder with \
         `--checkpoint`, or set 'pipeline.name' back"
    )]
    OtherPipeline {
        /// The folder.
        checkpoint: String,
        /// The pipeline in the checkpoint.
        pinned: String,
        /// This pipeline.
        found: String,
    },
    /// An operator cannot put the content of a segment together.
    #[error(transparent)]
    Operator(#[from] sluicebox_operators::Error),
    /// A record cannot be written as JSON.
    #[error("a checkpoint record cannot be encoded: {0}. This is a bug in Sluicebox")]
    Encode(#[source] serde_json::Error),
    /// Batches of state cannot be written or read.
    #[error("state of `{operator}` cannot be encoded or decoded: {source}")]
    State {
        /// The operator.
        operator: String,
        /// What Arrow said.
        source: arrow::error::ArrowError,
    },
}

impl CheckpointError {
    /// Of a file that was to be read: what is no file in the place of one is damage like any other.
    pub(crate) fn unread(error: FileError) -> Self {
        if is_no_file(&error.source) {
            return Self::Damaged { why: error.source.to_string(), path: error.path };
        }
        Self::File(error)
    }
}

impl Blamed for CheckpointError {
    fn blame(&self) -> Blame {
        match self {
            Self::Encode(_) => Blame::Us,
            Self::NoCheckpoint { .. } | Self::Newer { .. } | Self::OtherPipeline { .. } => Blame::User,
            Self::Operator(error) => error.blame(),
            _ => Blame::Outside,
        }
    }
}
