//! Finishes the newest compaction at a start.

use std::path::Path;

use sluicebox_checkpoint::{Checkpoint, Settled, settled};
use sluicebox_evolve::named;
use sluicebox_runtime::outputs::Outputs;
use sluicebox_sinks::parquet::compact::{self, Staging};

use crate::UpkeepError;

/// Finds out whether the newest compaction was done, and removes its record if it was not; then removes what earlier runs
/// left beside the tables. No earlier run exchanges anything after this.
///
/// # Errors
/// When its record is damaged or names a folder that is not the pipeline's, or a folder cannot be removed.
pub fn settle(checkpoint: &Checkpoint, outputs: &Outputs, query_id: &str, epoch: u64) -> Result<(), UpkeepError> {
    if let Some(number) = checkpoint.compaction_numbers()?.last().copied() {
        let record = checkpoint.compaction(number)?;
        let location = Path::new(&record.location);
        named::refuse_strange(checkpoint, &format!("compactions/{number}"), location, outputs, query_id)?;
        let partition = location.join(&record.folder);
        let taken = compact::take(&Staging::of(location, query_id, epoch)?, number, &partition)?;
        match settled(&record, &compact::names_in(&partition)?) {
            Settled::Done => {
                // This record stands for these, and the next one of the folder will stand for this one alone: of those
                // that are left nobody would know then that their files are gone on purpose.
                checkpoint.forget_compactions(&record.replaces)?;
                if record.outputs.is_empty() {
                    remove_if_empty(location, &record.folder);
                }
            }
            Settled::NotDone => checkpoint.forget_compactions(&[number])?,
        }
        if let Some(folder) = taken {
            compact::remove(&folder)?;
        }
    }
    for table in outputs.tables().values().filter_map(|sink| sink.upkeep()) {
        Staging::of(table.location(), query_id, epoch)?.sweep()?;
    }
    Ok(())
}

/// Removes the folder of a partition that was retired. Later rows may be in it, which make it again.
pub(super) fn remove_if_empty(location: &Path, folder: &str) {
    if let Err(error) = compact::remove_partition(location, folder) {
        tracing::debug!(folder, %error, "a partition's folder stays");
    }
}
