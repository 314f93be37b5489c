//! Whose the folders are that records of the checkpoint name. A record that was changed by hand must not lead a run to what
//! is another's.

use std::path::Path;

use sluicebox_lake::owner::{self, Observed};
use sluicebox_lake::{LakeError, Owner};

use crate::EngineError;
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::outputs::Outputs;

/// A folder that a record names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    /// The pipeline's: its text names it, or it has the query's mark.
    Ours,
    /// Nothing is there.
    Absent,
    /// It has no mark, and readers see nothing in it.
    Empty,
    /// Another's, or nobody's and not empty.
    Strange,
}

/// Looks whose the folder `location` is, for the query `query_id`.
pub(crate) fn whose(location: &Path, outputs: &Outputs, query_id: &str) -> Result<Named, EngineError> {
    if outputs.folders().iter().chain(&outputs.older()).any(|folder| folder.location == location) {
        return Ok(Named::Ours);
    }
    if location.symlink_metadata().is_err() {
        return Ok(Named::Absent);
    }
    if !location.is_dir() {
        return Ok(Named::Strange);
    }
    Ok(match owner::observe(location) {
        Ok(Observed { owner: Some(Owner { query_id: found, .. }), .. }) if found == query_id => Named::Ours,
        Ok(Observed { owner: None, example: None }) => Named::Empty,
        Ok(_) | Err(LakeError::Nested { .. }) => Named::Strange,
        Err(error) => return Err(error.into()),
    })
}

/// The error of the record `record`, a path below the checkpoint, that names the folder `location`.
pub(crate) fn strange(checkpoint: &Checkpoint, record: &str, location: &Path) -> EngineError {
    let why = format!("it names {}, which is no folder of this pipeline", location.display());
    CheckpointError::Damaged { path: checkpoint.root().join(record), why }.into()
}

/// Stops before anything is written to, or made in, a folder that the record `record` names and that is not the pipeline's.
pub(crate) fn refuse_strange(
    checkpoint: &Checkpoint,
    record: &str,
    location: &Path,
    outputs: &Outputs,
    query_id: &str,
) -> Result<(), EngineError> {
    match whose(location, outputs, query_id)? {
        // In what is not there nothing is made.
        Named::Ours | Named::Absent => Ok(()),
        Named::Empty | Named::Strange => Err(strange(checkpoint, record, location)),
    }
}
