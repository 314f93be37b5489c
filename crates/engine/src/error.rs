//! The errors that end a run.

use std::time::Duration;

use sluicebox_checkpoint::CheckpointError;
use sluicebox_core::digits::rows as counted;
use sluicebox_core::{Blame, Blamed};
use sluicebox_durable::FileError;
use sluicebox_evolve::EvolveError;
use sluicebox_formats::FormatError;
use sluicebox_pipeline::bind::in_words;
use sluicebox_quality::QualityError;
use sluicebox_runtime::RuntimeError;
use sluicebox_sinks::LakeError;
use sluicebox_sources::SourceError;
use sluicebox_upkeep::UpkeepError;
use thiserror::Error;

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
    Format(#[from] FormatError),
    /// A table's files.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// Expectations or the report.
    #[error(transparent)]
    Quality(#[from] QualityError),
    /// Computing a batch, staging it, or writing its state; what other crates have an error of their own for is that.
    #[error(transparent)]
    Runtime(RuntimeError),
    /// A changed SQL, a full refresh, or what fills a table; as there.
    #[error(transparent)]
    Evolve(Box<EvolveError>),
    /// Compaction or retention; as there.
    #[error(transparent)]
    Upkeep(UpkeepError),
    /// A file of the engine's own.
    #[error(transparent)]
    File(#[from] FileError),
    /// A plan cannot be made or run.
    #[error("a query failed: {}", in_words(.0))]
    DataFusion(#[from] datafusion::error::DataFusionError),
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
    /// The checkpoint's plans have another number of partitions.
    #[error(
        "the plans of the checkpoint {checkpoint} have {pinned} partitions, those of this version {found}: a batch that is run \
         again would have its rows in another order. Go on with the version that made the checkpoint; or start from the \
         beginning with `--full-refresh`, which deletes this pipeline's tables first"
    )]
    OtherPartitions {
        /// The folder.
        checkpoint: String,
        /// The partitions in the checkpoint.
        pinned: usize,
        /// Those of this run's plans.
        found: usize,
    },
    /// Committed rows of a table that goes elsewhere now.
    #[error(
        "table `{table}`: batch {batch_id} is committed and maybe not yet in {sink}, and the SQL no longer sends the table there. \
         Run the SQL once as it was, which publishes the batch; then change it"
    )]
    Unpublished {
        /// The table.
        table: String,
        /// The batch.
        batch_id: u64,
        /// Where its rows belong.
        sink: String,
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

impl From<RuntimeError> for EngineError {
    fn from(error: RuntimeError) -> Self {
        match error {
            RuntimeError::Checkpoint(error) => Self::Checkpoint(error),
            RuntimeError::Lake(error) => Self::Lake(error),
            RuntimeError::Quality(error) => Self::Quality(error),
            RuntimeError::DataFusion(error) => Self::DataFusion(error),
            other => Self::Runtime(other),
        }
    }
}

impl From<EvolveError> for EngineError {
    fn from(error: EvolveError) -> Self {
        match error {
            EvolveError::Checkpoint(error) => Self::Checkpoint(error),
            EvolveError::Source(error) => Self::Source(error),
            EvolveError::Lake(error) => Self::Lake(error),
            EvolveError::File(error) => Self::File(error),
            EvolveError::Runtime(error) => error.into(),
            other => Self::Evolve(Box::new(other)),
        }
    }
}

impl From<UpkeepError> for EngineError {
    fn from(error: UpkeepError) -> Self {
        match error {
            UpkeepError::Checkpoint(error) => Self::Checkpoint(error),
            UpkeepError::Lake(error) => Self::Lake(error),
            UpkeepError::File(error) => Self::File(error),
            UpkeepError::Runtime(error) => error.into(),
            UpkeepError::Evolve(error) => (*error).into(),
            UpkeepError::Task(error) => Self::Task(error),
            UpkeepError::RunFirst(_) => Self::Upkeep(error),
        }
    }
}

impl Blamed for EngineError {
    fn blame(&self) -> Blame {
        match self {
            Self::Checkpoint(e) => e.blame(),
            Self::Source(e) => e.blame(),
            Self::Format(e) => e.blame(),
            Self::Lake(e) => e.blame(),
            Self::Quality(e) => e.blame(),
            Self::Runtime(e) => e.blame(),
            Self::Evolve(e) => e.blame(),
            Self::Upkeep(e) => e.blame(),
            Self::File(e) => e.blame(),
            Self::OtherLog { .. }
            | Self::OtherPartitions { .. }
            | Self::Unpublished { .. }
            | Self::RepinBeforeReplay { .. } => Blame::User,
            Self::TooManyLetters { .. } | Self::Stalled { .. } | Self::FailUpdate { .. } | Self::FailRow { .. } => {
                Blame::Outside
            }
            // Memory, most likely.
            Self::DataFusion(_) => Blame::Outside,
            Self::Task(_) | Self::Bug(_) => Blame::Us,
        }
    }
}
