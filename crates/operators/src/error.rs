//! The errors of an operator, and whose fault each is.

use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use sluicebox_core::{Blame, Blamed, PartitionId, columns};
use sluicebox_pipeline::bind::in_words;
use sluicebox_pipeline::room::is_full;
use thiserror::Error;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operator's failure. The batch has failed with it; the operator's state is then undefined and must be restored.
#[derive(Debug, Error)]
pub enum Error {
    /// The column of a WATERMARK clause is not a time.
    #[error("a column of type {data_type} cannot be an event time; cast it to TIMESTAMP in the query above")]
    EventTimeType {
        /// The column's type.
        data_type: DataType,
    },
    /// A key has a type that cannot be compared.
    #[error("{operator}: a value of type {data_type} cannot be a key; cast it, or leave it out of the keys")]
    KeyType {
        /// The operator's id.
        operator: String,
        /// The key's type.
        data_type: DataType,
    },
    /// The query asks for what a stream cannot give.
    #[error("{operator}: {what}")]
    Unsupported {
        /// The operator's id.
        operator: String,
        /// What cannot be done, and the way out.
        what: String,
    },
    /// Saved state does not fit the operator.
    #[error("{operator}: the saved state does not fit the query: {detail}; start again with --full-refresh")]
    StateShape {
        /// The operator's id.
        operator: String,
        /// What differs.
        detail: String,
    },
    /// A segment of the state cannot be read, or is not as it was written.
    #[error(
        "{operator}: the state file {name} cannot be used: {why}. Restore the checkpoint from a copy, or start from the \
         beginning with `--full-refresh`, which deletes this pipeline's tables first"
    )]
    Segment {
        /// The operator's id.
        operator: String,
        /// The file's path below the checkpoint.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// A segment cannot be written.
    #[error("{operator}: a state file cannot be written: {source}")]
    SegmentWrite {
        /// The operator's id.
        operator: String,
        /// What the file said.
        source: std::io::Error,
    },
    /// Rows of a partition came in the wrong order.
    #[error("rows of {partition} are out of order: offset {after} follows {before}")]
    OutOfOrder {
        /// The partition.
        partition: PartitionId,
        /// The offset of the earlier row.
        before: i64,
        /// The offset of the later row, which is lower.
        after: i64,
    },
    /// The rows that an operator was given are not those it was promised.
    #[error("{operator}: {detail}")]
    Input {
        /// The operator's id.
        operator: String,
        /// What is wrong with the rows.
        detail: String,
    },
    /// A row that was not late met a window that is closed.
    #[error(
        "{operator}: a row that is not late belongs to windows that closed at watermark {watermark}: \
         its event time is soon after {pane} (both in microseconds since 1970)"
    )]
    ClosedWindow {
        /// The operator's id.
        operator: String,
        /// The start of the row's pane.
        pane: i64,
        /// The watermark that closed its windows.
        watermark: i64,
    },
    /// DataFusion failed.
    #[error("{operator}: cannot {doing}: {}", in_words(source))]
    DataFusion {
        /// The operator's id.
        operator: String,
        /// What was being done.
        doing: &'static str,
        /// What DataFusion said.
        source: Box<DataFusionError>,
    },
    /// Arrow failed.
    #[error("cannot {doing}: {}", columns::in_words(source))]
    Arrow {
        /// What was being done.
        doing: &'static str,
        /// What Arrow said.
        source: ArrowError,
    },
}

impl Error {
    /// Whether it is about memory that the query may not have: the pool of the session has no more.
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::DataFusion { source, .. } if is_full(source))
    }

    /// For `map_err`: an Arrow error that happened while `doing`.
    pub(crate) fn arrow(doing: &'static str) -> impl Fn(ArrowError) -> Self {
        move |source| Self::Arrow { doing, source }
    }

    /// For `map_err`: a DataFusion error of `operator` that happened while `doing`.
    pub(crate) fn datafusion(operator: &str, doing: &'static str) -> impl Fn(DataFusionError) -> Self {
        move |source| {
            let source = match source {
                // An error of ours that came through a plan.
                DataFusionError::External(error) => match error.downcast::<Self>() {
                    Ok(own) => return *own,
                    Err(other) => DataFusionError::External(other),
                },
                other => other,
            };
            Self::DataFusion { operator: operator.to_owned(), doing, source: Box::new(source) }
        }
    }
}

impl Blamed for Error {
    fn blame(&self) -> Blame {
        match self {
            Self::EventTimeType { .. } | Self::KeyType { .. } | Self::Unsupported { .. } | Self::StateShape { .. } => {
                Blame::User
            }
            Self::Segment { .. } | Self::SegmentWrite { .. } => Blame::Outside,
            Self::OutOfOrder { .. } | Self::Input { .. } | Self::ClosedWindow { .. } => Blame::Us,
            Self::Arrow { source, .. } => columns::blame_of(source),
            Self::DataFusion { source, .. } => match source.find_root() {
                DataFusionError::Internal(_) => Blame::Us,
                DataFusionError::ResourcesExhausted(_) | DataFusionError::IoError(_) => Blame::Outside,
                // What is left is a query that cannot be planned, or a value that an expression of it cannot take.
                _ => Blame::User,
            },
        }
    }
}
