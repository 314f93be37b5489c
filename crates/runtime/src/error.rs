//! The errors of computing and staging a batch, and of writing its state.

use sluicebox_checkpoint::CheckpointError;
use sluicebox_core::{Blame, Blamed, columns};
use sluicebox_pipeline::bind::in_words;
use sluicebox_pipeline::room::is_full;
use sluicebox_quality::QualityError;
use sluicebox_sinks::LakeError;
use thiserror::Error;

use crate::outputs::ApartError;

/// What went wrong while a batch was computed and staged, or its state was written.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A table's files.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// Expectations or rows for the quarantine.
    #[error(transparent)]
    Quality(#[from] QualityError),
    /// An operator with state.
    #[error(transparent)]
    Operator(#[from] sluicebox_operators::Error),
    /// A table's query failed as a whole, not for one of its rows.
    #[error("table `{table}`: its query failed{}: {}", in_batch(*batch_id), in_words(source))]
    Query {
        /// The table.
        table: String,
        /// The batch; `None` when the query was made ready, before any.
        batch_id: Option<u64>,
        /// What DataFusion said.
        source: Box<datafusion::error::DataFusionError>,
    },
    /// A table's query holds more at once than it may.
    #[error(
        "table `{table}`: {why}. Nothing of the batch was written. Ways on: allow its queries more, as in SET 'query.memory' = \
         '1 GiB'; or let this one hold less, by smaller windows or more keys, or without an aggregate that keeps every value, \
         such as collect_list, listagg or percentile; and run again: the batch is tried again"
    )]
    OutOfMemory {
        /// The table.
        table: String,
        /// What takes too much.
        why: String,
    },
    /// A plan cannot be made or run.
    #[error("a query failed: {}", in_words(.0))]
    DataFusion(#[from] datafusion::error::DataFusionError),
    /// What is told of a row that cannot be computed cannot be put into text or read back.
    #[error("what is told of a row cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Columns that do not fit.
    #[error("columns do not fit: {}", columns::in_words(.0))]
    Arrow(#[from] arrow::error::ArrowError),
    /// An operator's state was made by another query.
    #[error(
        "the state of `{operator}` in the checkpoint was made by another query or another version of DataFusion, and \
         cannot go on with this one. Put the query back, or start from the beginning with `--full-refresh`, which deletes \
         this pipeline's tables first"
    )]
    OtherState {
        /// The operator.
        operator: String,
    },
    /// Folders that do not lie apart.
    #[error(transparent)]
    Apart(#[from] ApartError),
    /// A background task ended without a result.
    #[error("a background task was lost: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// A promise that Sluicebox itself did not keep.
    #[error("{0}")]
    Bug(String),
}

fn in_batch(id: Option<u64>) -> String {
    id.map_or_else(String::new, |id| format!(" in batch {id}"))
}

impl RuntimeError {
    /// The same, of the query of `table`.
    #[must_use]
    pub(crate) fn of_table(self, table: &str) -> Self {
        match self {
            Self::DataFusion(source) if is_full(&source) => {
                Self::OutOfMemory { table: table.to_owned(), why: in_words(&source) }
            }
            Self::Operator(error) if error.is_out_of_memory() => {
                let why = "its aggregate needs more memory than 'query.memory' allows, most likely for one group";
                Self::OutOfMemory { table: table.to_owned(), why: why.to_owned() }
            }
            Self::DataFusion(source) => {
                Self::Query { table: table.to_owned(), batch_id: None, source: Box::new(source) }
            }
            other => other,
        }
    }

    /// The same, of what happened in batch `id`.
    #[must_use]
    pub fn of_batch(self, id: u64) -> Self {
        match self {
            Self::Query { table, source, .. } => Self::Query { table, batch_id: Some(id), source },
            other => other,
        }
    }
}

impl Blamed for RuntimeError {
    fn blame(&self) -> Blame {
        match self {
            Self::Checkpoint(e) => e.blame(),
            Self::Lake(e) => e.blame(),
            Self::Quality(e) => e.blame(),
            Self::Operator(e) => e.blame(),
            Self::OtherState { .. } | Self::Apart(_) => Blame::User,
            // Memory, most likely.
            Self::OutOfMemory { .. } | Self::Query { .. } | Self::DataFusion(_) => Blame::Outside,
            Self::Arrow(error) => columns::blame_of(error),
            Self::Json(_) | Self::Task(_) | Self::Bug(_) => Blame::Us,
        }
    }
}
