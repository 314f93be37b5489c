//! The errors of judging and reporting.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use sluicebox_core::blame::{Blame, Blamed};
use sluicebox_pipeline::bind::in_words;
use thiserror::Error;

/// What the calls of this crate return.
pub type Result<T, E = QualityError> = std::result::Result<T, E>;

/// A judgement or a report that could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum QualityError {
    /// A condition that cannot be evaluated on any row.
    #[error("expectation {name}: the condition {text} cannot be evaluated: {}", in_words(source))]
    Condition {
        /// The expectation.
        name: String,
        /// The condition as it was written.
        text: String,
        /// What DataFusion said.
        source: Box<DataFusionError>,
    },
    /// Rows that do not have the columns that the judge was made for.
    #[error("rows to judge do not have the table's columns: {0}")]
    Rows(String),
    /// Rows could not be filtered or put together.
    #[error("cannot divide rows by verdict: {0}")]
    Arrow(#[from] ArrowError),
    /// Fates that do not add up: some row was lost or counted twice.
    #[error("the ledger of {dataset} in batch {batch_id} does not balance: {equation}; counted {numbers}")]
    Ledger {
        /// The source or table.
        dataset: String,
        /// The batch.
        batch_id: u64,
        /// The equation that does not hold.
        equation: String,
        /// The counts.
        numbers: String,
    },
    /// A report that could not be put into text.
    #[error("cannot write a report: {0}")]
    Json(#[from] serde_json::Error),
}

impl Blamed for QualityError {
    fn blame(&self) -> Blame {
        match self {
            Self::Condition { .. } => Blame::User,
            Self::Rows(_) | Self::Arrow(_) | Self::Ledger { .. } | Self::Json(_) => Blame::Us,
        }
    }
}
