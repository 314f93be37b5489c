//! The errors of upkeep.

use sluicebox_checkpoint::CheckpointError;
use sluicebox_core::{Blame, Blamed};
use sluicebox_durable::FileError;
use sluicebox_evolve::EvolveError;
use sluicebox_runtime::RuntimeError;
use sluicebox_sinks::LakeError;
use thiserror::Error;

/// What keeps upkeep from being done.
#[derive(Debug, Error)]
pub enum UpkeepError {
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A table's files.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// A folder cannot be listed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The pipeline's folders do not lie apart.
    #[error(transparent)]
    Runtime(RuntimeError),
    /// What lies in the folders does not fit the checkpoint.
    #[error(transparent)]
    Evolve(Box<EvolveError>),
    /// A background task ended without a result.
    #[error("a background task was lost: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// A compaction that has to wait for a run.
    #[error("{0}: run the pipeline first, `sluicebox run`, with `--trigger available-now` if it is to end by itself")]
    RunFirst(String),
}

impl From<RuntimeError> for UpkeepError {
    fn from(error: RuntimeError) -> Self {
        match error {
            RuntimeError::Checkpoint(error) => Self::Checkpoint(error),
            RuntimeError::Lake(error) => Self::Lake(error),
            other => Self::Runtime(other),
        }
    }
}

impl From<EvolveError> for UpkeepError {
    fn from(error: EvolveError) -> Self {
        match error {
            EvolveError::Checkpoint(error) => Self::Checkpoint(error),
            EvolveError::Lake(error) => Self::Lake(error),
            EvolveError::File(error) => Self::File(error),
            EvolveError::Runtime(error) => error.into(),
            other => Self::Evolve(Box::new(other)),
        }
    }
}

impl Blamed for UpkeepError {
    fn blame(&self) -> Blame {
        match self {
            Self::Checkpoint(e) => e.blame(),
            Self::Lake(e) => e.blame(),
            Self::File(e) => e.blame(),
            Self::Runtime(e) => e.blame(),
            Self::Evolve(e) => e.blame(),
            Self::RunFirst(_) => Blame::User,
            Self::Task(_) => Blame::Us,
        }
    }
}
