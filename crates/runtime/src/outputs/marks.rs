//! The marks of the folders: claims, checks and updates them.

use std::fs::File;
use std::path::{Path, PathBuf};

use sluicebox_checkpoint::hostname;
use sluicebox_sinks::{LakeError, Owner, owner};

use super::{OutputFolder, Outputs};
use crate::RuntimeError;

/// Folders with their marks, which are locked as long as the files are open.
pub type Held = Vec<(PathBuf, File)>;

impl Outputs {
    /// Makes every folder, proves that files can be published in it, and marks it as this query's. Gives the marks, locked
    /// until they are dropped; those that a run passed by `take_over` holds are left to it.
    ///
    /// # Errors
    /// When a folder is another's, holds files of nobody, is written to by a living run, or cannot be written.
    pub fn claim(
        &self,
        query_id: &str,
        generation: u64,
        checkpoint: &Path,
        take_over: bool,
    ) -> Result<Held, RuntimeError> {
        let mut held = Held::new();
        // A start that one of the folders refuses leaves nothing in the others.
        for folder in self.folders() {
            owner::check_claim(&folder.location, &self.owner(&folder, query_id, generation, checkpoint))?;
            let there = sluicebox_sinks::existing(&folder.location)?;
            if there != folder.location {
                sluicebox_sinks::try_out(there)?;
            }
        }
        for folder in self.folders() {
            sluicebox_sinks::prepare(&folder.location)?;
            owner::claim(&folder.location, &self.owner(&folder, query_id, generation, checkpoint))?;
            match owner::hold(&folder.location) {
                Ok(mark) => held.extend(mark.map(|mark| (folder.location, mark))),
                Err(LakeError::HeldFolder { .. }) if take_over => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(held)
    }

    /// The mark of `folder`.
    #[must_use]
    pub fn owner(&self, folder: &OutputFolder, query_id: &str, generation: u64, checkpoint: &Path) -> Owner {
        self.owner_of(&folder.output.in_mark(), query_id, generation, checkpoint)
    }

    /// The owner of a table, or of what stands beside one, by its name in a mark.
    #[must_use]
    pub fn owner_of(&self, table: &str, query_id: &str, generation: u64, checkpoint: &Path) -> Owner {
        Owner {
            query_id: query_id.to_owned(),
            generation,
            pipeline: self.pipeline.clone(),
            table: table.to_owned(),
            checkpoint: checkpoint.display().to_string(),
            host: hostname(),
        }
    }

    /// Lets the marks say where the checkpoint is now: it may have been moved since they were made. Only those that this run
    /// holds; the new one is held before the old one is let go.
    ///
    /// # Errors
    /// When a mark cannot be read or replaced, or another run was faster to hold the new one.
    pub fn tell_place(
        &self,
        held: &mut [(PathBuf, File)],
        query_id: &str,
        generation: u64,
        checkpoint: &Path,
    ) -> Result<(), RuntimeError> {
        for folder in self.folders() {
            let wanted = self.owner(&folder, query_id, generation, checkpoint);
            let Some((_, mark)) = held.iter_mut().find(|(location, _)| *location == folder.location) else { continue };
            let found = owner::read(&folder.location)?;
            if found.is_some_and(|found| found.is_same(&wanted) && !found.is_at(&wanted)) {
                owner::replace(&folder.location, &wanted)?;
                if let Some(new) = owner::hold(&folder.location)? {
                    *mark = new;
                }
            }
        }
        Ok(())
    }
}
