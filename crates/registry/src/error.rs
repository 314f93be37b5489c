//! The errors of a folder of schemas: the cache's or the embedded registry's.

use std::path::PathBuf;

use sluicebox_core::{Blame, Blamed, Retry};
use sluicebox_durable::FileError;
use sluicebox_durable::sealed::Broken;
use thiserror::Error;

/// A file of the schema cache or of the embedded registry that cannot be used.
#[derive(Debug, Error)]
pub enum SchemaFileError {
    /// It is not as it was written.
    #[error("{}: {problem}; {way_out}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        way_out: &'static str,
    },
    /// A newer Sluicebox wrote it.
    #[error("{}: {what}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version and the way out.
        what: Broken,
    },
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Blamed for SchemaFileError {
    fn blame(&self) -> Blame {
        match self {
            Self::Newer { .. } => Blame::User,
            Self::Damaged { .. } => Blame::Outside,
            Self::File(e) => e.blame(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::File(e) => e.retry(),
            Self::Damaged { .. } | Self::Newer { .. } => Retry::No,
        }
    }
}
