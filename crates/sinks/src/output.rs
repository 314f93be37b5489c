//! What an output has staged of a batch: a commit names it, and publishing reads it.

use serde::{Deserialize, Serialize};

use crate::error::RemoteError;
use crate::staged::StagedFile;

/// What one output has staged of a batch. The commit holds it as JSON: `docs/formats.md` specifies the fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Staged {
    /// Files with their final content, of a naming sink: publishing gives them their final names.
    Files(StagedFiles),
    /// Rows in a file of the checkpoint, of a transactional sink: publishing sends them in one transaction.
    Rows(StagedRows),
}

impl Staged {
    /// The rows in it; 0 for files that have none.
    #[must_use]
    pub fn rows(&self) -> u64 {
        match self {
            Self::Files(staged) => staged.files.iter().map(|file| file.rows).sum(),
            Self::Rows(staged) => staged.rows,
        }
    }

    /// The rows that wait for the transactional sink of this identity.
    ///
    /// # Errors
    /// [`RemoteError::Mixed`] when another sink has staged it.
    pub fn rows_for(&self, sink: &str) -> Result<&StagedRows, RemoteError> {
        let given = match self {
            Self::Rows(rows) if rows.sink == sink => return Ok(rows),
            Self::Rows(rows) => &rows.sink,
            Self::Files(files) => &files.location,
        };
        Err(RemoteError::Mixed { sink: sink.to_owned(), given: given.clone() })
    }
}

/// The staged files of one folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedFiles {
    /// The folder: absolute in memory. A checkpoint may name it relative to itself.
    pub location: String,
    /// Its files.
    pub files: Vec<StagedFile>,
}

/// Staged rows that wait for their transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedRows {
    /// Where they go, as [`Sink::identity`](crate::Sink::identity) says it: no other sink may publish them.
    pub sink: String,
    /// The Arrow stream with the rows, below the checkpoint.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// The checksum over its content, as [`sluicebox_durable::checksum`] gives it.
    pub checksum: String,
}
