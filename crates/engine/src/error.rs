//! Everything that can end a run.

use std::path::PathBuf;
use std::time::Duration;

use sluicebox_checkpoint::CheckpointError;
use sluicebox_core::digits::rows as counted;
use sluicebox_core::{Blame, Blamed, columns};
use sluicebox_durable::FileError;
use sluicebox_formats::AvroError;
use sluicebox_pipeline::bind::in_words;
use sluicebox_quality::QualityError;
use sluicebox_runtime::RuntimeError;
use sluicebox_sinks::LakeError;
use sluicebox_sources::SourceError;
use thiserror::Error;

use crate::change::Verdict;

/// What ended a run, or kept it from starting.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The registry or the decoder.
    #[error(transparent)]
    Avro(#[from] AvroError),
    /// A table's files.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// Expectations or the report.
    #[error(transparent)]
    Quality(#[from] QualityError),
    /// An operator with state.
    #[error(transparent)]
    Operator(#[from] sluicebox_operators::Error),
    /// Computing a batch, staging it, or writing its state; what other crates have an error of their own for is that.
    #[error(transparent)]
    Runtime(RuntimeError),
    /// A file of the engine's own.
    #[error(transparent)]
    File(#[from] FileError),
    /// A plan cannot be made or run.
    #[error("a query failed: {}", in_words(.0))]
    DataFusion(#[from] datafusion::error::DataFusionError),
    /// Columns that do not fit.
    #[error("columns do not fit: {}", columns::in_words(.0))]
    Arrow(#[from] arrow::error::ArrowError),
    /// An expectation with FAIL UPDATE stopped the run.
    #[error(
        "expectation `{expectation}` of table `{table}` failed on {} of batch {batch_id}; nothing of the batch was \
         written. The rows are in {samples}. Ways on: correct the events at their source, change 'startingOffsets' and start \
         over with `--full-refresh`; or let the expectation warn, drop or quarantine instead of FAIL UPDATE, and run again: the \
         batch is tried again",
        counted(*rows)
    )]
    FailUpdate {
        /// The table.
        table: String,
        /// The expectation.
        expectation: String,
        /// Rows that broke it.
        rows: u64,
        /// The batch.
        batch_id: u64,
        /// The folder with the rows.
        samples: String,
    },
    /// A row that cannot be computed stopped the run.
    #[error(
        "table `{table}`: {} of batch {batch_id} cannot be computed for {what}. The first{}: {message}; it reads \
         {value}. Nothing of the batch was written, because 'on.error' is 'fail'. Ways on: correct the query; or let \
         TBLPROPERTIES ('on.error' = 'quarantine') or 'null' take such rows; and run again: the batch is tried again",
        counted(*rows),
        place.as_ref().map_or_else(String::new, |place| format!(", {place}"))
    )]
    FailRow {
        /// The table.
        table: String,
        /// The column and its expression, or the condition.
        what: String,
        /// How many rows failed there.
        rows: u64,
        /// The batch.
        batch_id: u64,
        /// What went wrong with the first.
        message: Box<str>,
        /// What the expression reads of the first.
        value: Box<str>,
        /// Topic, partition and offset of the first, if it has them.
        place: Option<Box<str>>,
    },
    /// More of a source's events became dead letters than its options allow.
    #[error(
        "source `{source_name}`: {letters} of the {events} events read since the run began became dead letters, more than \
         'dead.letters.max.ratio' = {limit} allows; nothing of batch {batch_id} was written. The first of it: {example}. Ways on: \
         correct the producer, the registry or 'value.subject' and run again: the batch is tried again; or allow more of them"
    )]
    TooManyLetters {
        /// The source.
        source_name: String,
        /// Dead letters since the run began, those of the batch too.
        letters: u64,
        /// Events read since then.
        events: u64,
        /// The share that is allowed.
        limit: f64,
        /// The batch.
        batch_id: u64,
        /// Its first dead letter.
        example: String,
    },
    /// What is known to be in the log does not come.
    #[error(
        "{partition} has events up to offset {end}, and none came for {} s, though its broker answers: it may have no leader. \
         Check the cluster's health, and run again; `--wait` says how long events are waited for",
        waited.as_secs()
    )]
    Stalled {
        /// A partition that is behind.
        partition: String,
        /// The offset after the last event that is to be read.
        end: i64,
        /// For how long.
        waited: Duration,
    },
    /// The checkpoint was made with another log.
    #[error(
        "source `{name}`: this checkpoint reads the log `{pinned}`, and this one is `{found}`: its offsets mean nothing \
         here. Point the source at the old log, use another checkpoint and other tables, or start from the beginning \
         with `--full-refresh`, which deletes this pipeline's tables first"
    )]
    OtherLog {
        /// The source.
        name: String,
        /// The log in the checkpoint.
        pinned: String,
        /// The log that was found.
        found: String,
    },
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
        output.strip_prefix("table ").unwrap_or("TABLE")
    )]
    LostFolder {
        /// The output.
        output: String,
        /// Its folder.
        location: PathBuf,
        /// A batch that has files in it.
        batch: u64,
    },
    /// The SQL was changed so that somebody has to say how to go on; or what is asked for cannot be done with it.
    #[error("{}", changed(changes, problems))]
    Changed {
        /// What has changed, with the ways on.
        changes: Box<crate::change::Changes>,
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
    /// A compaction that has to wait for a run.
    #[error("{0}: run the pipeline first, `sluicebox run`, with `--trigger available-now` if it is to end by itself")]
    RunFirst(String),
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
    /// A new reader schema while a batch waits to be replayed.
    #[error(
        "source `{source_name}`: batch {batch_id} was planned with the old schema and waits to be replayed; run once without \
         --repin, then with it"
    )]
    RepinBeforeReplay {
        /// The source.
        source_name: String,
        /// The batch.
        batch_id: u64,
    },
    /// A background task ended without a result.
    #[error("a background task was lost: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// A promise that Sluicebox itself did not keep.
    #[error("{0}")]
    Bug(String),
}

/// What stands in the way of a run: what has to be decided of the SQL, or what was asked for and cannot be done.
fn changed(changes: &crate::change::Changes, problems: &str) -> String {
    if changes.verdict <= Verdict::Safe {
        return format!("what was asked for cannot be done. Nothing was touched.\n\n{problems}");
    }
    format!("the SQL has changed, and the run cannot simply go on. Nothing was touched.\n\n{changes}\n{problems}")
}

impl From<RuntimeError> for EngineError {
    fn from(error: RuntimeError) -> Self {
        match error {
            RuntimeError::Checkpoint(error) => Self::Checkpoint(error),
            RuntimeError::Lake(error) => Self::Lake(error),
            RuntimeError::Quality(error) => Self::Quality(error),
            RuntimeError::DataFusion(error) => Self::DataFusion(error),
            RuntimeError::Operator(error) => Self::Operator(error),
            RuntimeError::Arrow(error) => Self::Arrow(error),
            other => Self::Runtime(other),
        }
    }
}

impl Blamed for EngineError {
    fn blame(&self) -> Blame {
        match self {
            Self::Checkpoint(e) => e.blame(),
            Self::Source(e) => e.blame(),
            Self::Avro(e) => e.blame(),
            Self::Lake(e) => e.blame(),
            Self::Quality(e) => e.blame(),
            Self::Runtime(e) => e.blame(),
            Self::Operator(e) => e.blame(),
            Self::File(e) => e.blame(),
            Self::OtherLog { .. }
            | Self::Changed { .. }
            | Self::Undescribed { .. }
            | Self::RunFirst(_)
            | Self::RepinBeforeReplay { .. } => Blame::User,
            Self::NewerFiles { .. }
            | Self::LostFolder { .. }
            | Self::RefreshBesideRun { .. }
            | Self::NoPlace { .. }
            | Self::BeyondEnd { .. }
            | Self::TwoRows { .. }
            | Self::Moved
            | Self::TooManyLetters { .. }
            | Self::Stalled { .. }
            | Self::FailUpdate { .. }
            | Self::FailRow { .. } => Blame::Outside,
            // Memory, most likely.
            Self::DataFusion(_) => Blame::Outside,
            Self::Arrow(error) => columns::blame_of(error),
            Self::Task(_) | Self::Bug(_) => Blame::Us,
        }
    }
}
