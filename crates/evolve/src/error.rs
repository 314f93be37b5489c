//! The errors that stop a changed pipeline, or one that starts from the beginning.

use std::path::PathBuf;

use sluicebox_checkpoint::CheckpointError;
use sluicebox_core::{Blame, Blamed, OutputId, columns};
use sluicebox_durable::FileError;
use sluicebox_runtime::RuntimeError;
use sluicebox_sinks::LakeError;
use sluicebox_sources::SourceError;
use thiserror::Error;

use crate::verdict::{Changes, Verdict};

/// What keeps a changed pipeline, or one that begins anew, from going on.
#[derive(Debug, Error)]
pub enum EvolveError {
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A table's files.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// A file of a full refresh.
    #[error(transparent)]
    File(#[from] FileError),
    /// The pipeline cannot be made ready, or its folders do not lie apart.
    #[error(transparent)]
    Runtime(RuntimeError),
    /// Rows that are read back cannot be put in order.
    #[error(transparent)]
    Operator(#[from] sluicebox_operators::Error),
    /// Columns that do not fit.
    #[error("columns do not fit: {}", columns::in_words(.0))]
    Arrow(#[from] arrow::error::ArrowError),
    /// Files of batches that the checkpoint does not know.
    #[error(
        "{} is a file of batch {batch}, and the newest batch that the checkpoint {} knows as committed is {}: it is older than \
         its tables, or has lost `commits/{batch}`. Put the newest copy of the checkpoint there; or move the files of all \
         batches from {} on out of this pipeline's folders (their names begin with the batch, or they lie in `batch_id=` of \
         it), and the batches are read and written again; or start from the beginning with `--full-refresh`, which deletes \
         this pipeline's tables first",
        file.display(),
        checkpoint.display(),
        newest.map_or_else(|| "none".to_owned(), |n| n.to_string()),
        newest.map_or(0, |n| n + 1)
    )]
    NewerFiles {
        /// One of the files.
        file: PathBuf,
        /// Its batch.
        batch: u64,
        /// The checkpoint.
        checkpoint: PathBuf,
        /// The newest committed batch.
        newest: Option<u64>,
    },
    /// A table's folder that was deleted.
    #[error(
        "the folder {} of {output} is gone or empty, and batch {batch} wrote files to it. Run with `--full-refresh={}`, which \
         computes the table again, if the topic still has its events; or restore the folder from a backup; or start from the \
         beginning with `--full-refresh`, which deletes this pipeline's tables first",
        location.display(),
        output.table().unwrap_or("TABLE")
    )]
    LostFolder {
        /// The output.
        output: OutputId,
        /// Its folder.
        location: PathBuf,
        /// A batch that has files in it.
        batch: u64,
    },
    /// The SQL was changed so that somebody has to say how to go on; or what is asked for cannot be done with it.
    #[error("{}", changed(changes, problems))]
    Changed {
        /// What has changed, with the ways on.
        changes: Box<Changes>,
        /// What is to be decided, a line each.
        problems: String,
    },
    /// The checkpoint is older than the records of its SQL, and the SQL has changed.
    #[error(
        "the checkpoint {checkpoint} was made by a version that did not keep its SQL, and the SQL is not the one that it \
         last ran (checksum {pinned}, this text has {found}): what has changed cannot be told. Run the old text once, so \
         that the checkpoint keeps it, then this one; or start from the beginning with `--full-refresh`, which deletes \
         this pipeline's tables first"
    )]
    Undescribed {
        /// The folder.
        checkpoint: String,
        /// The checksum of the text that it ran last.
        pinned: String,
        /// The checksum of this text.
        found: String,
    },
    /// The checkpoint is not what it was when the run was prepared.
    #[error("another run has changed the checkpoint while this one started: run it again")]
    Moved,
    /// A row of a file that is read back does not say where it comes from.
    #[error(
        "cannot fill a table from {}: its rows have no {column}, which tells their order. Fill it from the topic: \
         `--full-refresh=TABLE --backfill=TABLE=topic`",
        file.display()
    )]
    NoPlace {
        /// The file.
        file: PathBuf,
        /// The column.
        column: String,
    },
    /// A row of a file that is read back says that it comes from where the pipeline has not been.
    #[error(
        "cannot fill a table from {}: it has a row of {what} of what the pipeline has read. Fill it from the topic: \
         `--full-refresh=TABLE --backfill=TABLE=topic`",
        file.display()
    )]
    BeyondEnd {
        /// The file.
        file: PathBuf,
        /// The place.
        what: String,
    },
    /// Two rows of one event in a table that is read back.
    #[error(
        "cannot fill a table from the files of {table}: two of its rows are of offset {offset} of one partition, so their \
         order is not known. Fill it from the topic: `--full-refresh=TABLE --backfill=TABLE=topic`"
    )]
    TwoRows {
        /// The table that is read back.
        table: String,
        /// The offset.
        offset: i64,
    },
    /// A full refresh beside a living run.
    #[error(
        "a full refresh cannot start while another run of the checkpoint lives ({}): stop it first, `--take-over` does not \
         pass it",
        if epochs.is_empty() { "it is just starting".to_owned() } else { format!("epochs {epochs:?}") }
    )]
    RefreshBesideRun {
        /// The epochs that live.
        epochs: Vec<u64>,
    },
    /// A promise that Sluicebox itself did not keep.
    #[error("{0}")]
    Bug(String),
}

/// What stands in the way of a run: what has to be decided of the SQL, or what was asked for and cannot be done.
fn changed(changes: &Changes, problems: &str) -> String {
    if changes.verdict <= Verdict::Safe {
        return format!("what was asked for cannot be done. Nothing was touched.\n\n{problems}");
    }
    format!("the SQL has changed, and the run cannot simply go on. Nothing was touched.\n\n{changes}\n{problems}")
}

impl From<RuntimeError> for EvolveError {
    fn from(error: RuntimeError) -> Self {
        match error {
            RuntimeError::Checkpoint(error) => Self::Checkpoint(error),
            RuntimeError::Lake(error) => Self::Lake(error),
            other => Self::Runtime(other),
        }
    }
}

impl Blamed for EvolveError {
    fn blame(&self) -> Blame {
        match self {
            Self::Checkpoint(e) => e.blame(),
            Self::Source(e) => e.blame(),
            Self::Lake(e) => e.blame(),
            Self::File(e) => e.blame(),
            Self::Runtime(e) => e.blame(),
            Self::Operator(e) => e.blame(),
            Self::Arrow(error) => columns::blame_of(error),
            Self::Changed { .. } | Self::Undescribed { .. } => Blame::User,
            Self::NewerFiles { .. }
            | Self::LostFolder { .. }
            | Self::RefreshBesideRun { .. }
            | Self::NoPlace { .. }
            | Self::BeyondEnd { .. }
            | Self::TwoRows { .. }
            | Self::Moved => Blame::Outside,
            Self::Bug(_) => Blame::Us,
        }
    }
}
