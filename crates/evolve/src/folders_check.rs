//! Compares the output folders with the checkpoint, before a run acts on either.
//!
//! A run resumes from the newest records of a checkpoint. If they are lost, or the whole checkpoint is an older copy, the remaining records
//! are complete and wrong. Only the tables show it: a file gets its final name after its commit, so a file of a batch that the checkpoint
//! does not know as committed proves that a commit is missing.

use std::collections::BTreeSet;
use std::path::Path;

use sluicebox_checkpoint::{Checkpoint, CheckpointError};
use sluicebox_core::OutputId;
use sluicebox_runtime::outputs::{OutputFolder, Outputs};
use sluicebox_sinks::{LakeError, contents, contents_after, owner};

use crate::EvolveError;

/// How many foreign files are named one by one.
const NAMED: usize = 3;

/// Stops a run whose folders hold files of batches after `committed` or links in the place of partitions, and warns of files
/// that no run wrote; `query_id` is the run's.
///
/// # Errors
/// When there are such files or links, or a folder cannot be listed.
pub fn refuse_newer_files(
    checkpoint: &Checkpoint,
    outputs: &Outputs,
    query_id: &str,
    committed: Option<u64>,
) -> Result<(), EvolveError> {
    for folder in outputs.folders().into_iter().chain(outputs.older(&[query_id])) {
        let seen = match folder.output.table().is_some() {
            true => contents(&folder.location)?,
            false => contents_after(&folder.location, committed)?,
        };
        if let Some(link) = seen.links.first() {
            return Err(LakeError::linked(link).into());
        }
        if let Some((batch, file)) = seen.newest
            && committed.is_none_or(|newest| batch > newest)
        {
            let checkpoint = checkpoint.root().to_owned();
            return Err(EvolveError::NewerFiles { file, batch, checkpoint, newest: committed });
        }
        for file in seen.foreign.iter().take(NAMED) {
            tracing::warn!(
                "{} was not written by this pipeline, and readers of {} see it: move it away",
                file.display(),
                folder.output
            );
        }
    }
    Ok(())
}

/// Whether there is nothing in the folder, not even the place for staged files.
fn is_empty(location: &Path) -> bool {
    location.read_dir().is_ok_and(|mut entries| entries.next().is_none())
}

/// Stops a run one of whose tables has lost its folder, when some commit names files in it. Folders beside the tables may
/// be removed by whoever needs them no more; so may those of `anew`, the tables that begin without rows.
///
/// # Errors
/// When there is such a table, or a record or folder cannot be read.
pub fn refuse_lost_folders(
    checkpoint: &Checkpoint,
    outputs: &Outputs,
    anew: &BTreeSet<String>,
) -> Result<(), EvolveError> {
    let mut unmarked: Vec<OutputFolder> = outputs.folders();
    let kept = |output: &OutputId| output.table().is_some_and(|table| !anew.contains(table));
    unmarked.retain(|f| kept(&f.output) && (!owner::is_marked(&f.location) || is_empty(&f.location)));
    if unmarked.is_empty() {
        return Ok(());
    }
    for id in checkpoint.commit_ids()?.into_iter().rev() {
        let commit = match checkpoint.commit(id) {
            // Older ones are not needed for anything else, and the newest is judged where it is.
            Err(CheckpointError::Damaged { .. }) => continue,
            commit => commit?,
        };
        for output in commit.files().filter(|o| !o.files.is_empty()) {
            let lost = unmarked.iter().find(|f| f.location.display().to_string() == output.location);
            if let Some(OutputFolder { output, location }) = lost
                && contents(location)? == sluicebox_sinks::Contents::default()
            {
                return Err(EvolveError::LostFolder { output: output.clone(), location: location.clone(), batch: id });
            }
        }
    }
    Ok(())
}
