//! `compactions/<n>`: the partition folders that were exchanged.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sluicebox_durable::fault::What;
use sluicebox_durable::{self as durable, Created, Own};

use crate::folder::taken;
use crate::records::Compaction;
use crate::{Checkpoint, CheckpointError, judge};

const FOLDER: &str = "compactions";

impl Checkpoint {
    fn compaction_path(&self, number: u64) -> PathBuf {
        self.root.join(FOLDER).join(number.to_string())
    }

    /// The numbers of all compactions of which there is a record, ascending.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn compaction_numbers(&self) -> Result<Vec<u64>, CheckpointError> {
        let mut numbers = self.ids(What::Compaction, FOLDER)?;
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The number of the next compaction.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn next_compaction(&self) -> Result<u64, CheckpointError> {
        Ok(self.compaction_numbers()?.last().copied().unwrap_or(0) + 1)
    }

    /// `compactions/<n>`.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn compaction(&self, number: u64) -> Result<Compaction, CheckpointError> {
        let mut found: Compaction = self.required(What::Compaction, &format!("{FOLDER}/{number}"))?;
        self.of_its_name(FOLDER, number, found.number)?;
        judge::compaction(&found).map_err(|why| self.damaged(FOLDER, number, why))?;
        found.location = self.location_of(&found.location);
        found.staging = self.location_of(&found.staging);
        Ok(found)
    }

    /// Makes the record durable, before anything of the exchange is done. A run that was passed makes none: what it has written
    /// anew since then the later run has not found beside the table, and would not take from it.
    ///
    /// # Errors
    /// When another run has made one of this number: this one has been taken over.
    pub fn write_compaction(&self, compaction: &Compaction) -> Result<(), CheckpointError> {
        let path = self.compaction_path(compaction.number);
        let mut stored = compaction.clone();
        stored.location = self.name_of(&stored.location);
        stored.staging = self.name_of(&stored.staging);
        match self.create_fenced(What::Compaction, &path, &stored, compaction.epoch)? {
            Created::New => Ok(()),
            Created::Exists => Err(taken(path, compaction.epoch, self.compaction(compaction.number)?.epoch)),
        }
    }

    /// Removes records, durably: of exchanges that did not happen, or for which another record stands.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn forget_compactions(&self, numbers: &[u64]) -> Result<(), CheckpointError> {
        for number in numbers {
            Own::given(&self.root).remove(What::Compaction, Path::new(FOLDER).join(number.to_string()))?;
        }
        if !numbers.is_empty() {
            durable::sync_dir(What::Compaction, &self.root.join(FOLDER))?;
        }
        Ok(())
    }

    /// The partition folders, as (location, folder), that hold none of the files any more that batch `id` put there, `id`
    /// being the newest that is committed. The newest compaction must have been settled.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn replaced_of_newest(&self, id: u64) -> Result<BTreeSet<(String, String)>, CheckpointError> {
        let mut replaced = BTreeSet::new();
        for number in self.compaction_numbers()?.into_iter().rev() {
            let compaction = self.compaction(number)?;
            // An earlier one cannot have met a file of the batch.
            if compaction.after < id {
                break;
            }
            if compaction.batches.0.contains_key(&id) {
                replaced.insert((compaction.location, compaction.folder));
            }
        }
        Ok(replaced)
    }
}

/// What became of the newest compaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The folders were exchanged.
    Done,
    /// They were not: the partition is as it was.
    NotDone,
}

/// Tells it by the names that are in the partition's folder: all of the one kind or all of the other, since folders are
/// exchanged whole, and what a batch has written since bears other names.
#[must_use]
pub fn settled(compaction: &Compaction, present: &BTreeSet<String>) -> Settled {
    let old = compaction.inputs.iter().any(|file| present.contains(&file.name));
    let new = compaction.outputs.iter().any(|file| present.contains(&file.name));
    if old && !new { Settled::NotDone } else { Settled::Done }
}

#[cfg(test)]
mod tests {
    use sluicebox_core::OutputId;
    use sluicebox_sinks::parquet::compact::FileSum;

    use super::*;
    use crate::records::{BatchRows, Why};

    #[test]
    fn the_names_in_the_folder_tell_what_became_of_a_compaction() {
        let files = |names: &[&str]| -> Vec<FileSum> {
            let file = |name: &&str| FileSum { name: (*name).to_owned(), rows: 1, bytes: 1, checksum: String::new() };
            names.iter().map(file).collect()
        };
        let mut compaction = Compaction {
            number: 1,
            epoch: 1,
            after: 1,
            pipeline: 1,
            at_micros: 0,
            why: Why::Compact,
            output: OutputId::Table("t".to_owned()),
            location: "/t".to_owned(),
            folder: "d=1".to_owned(),
            staging: "/s".to_owned(),
            inputs: files(&["a", "b"]),
            outputs: files(&["c"]),
            batches: BatchRows::default(),
            replaces: Vec::new(),
        };
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        assert_eq!(settled(&compaction, &names(&["a", "b"])), Settled::NotDone);
        assert_eq!(settled(&compaction, &names(&["c"])), Settled::Done);
        assert_eq!(settled(&compaction, &names(&["c", "later"])), Settled::Done);
        assert_eq!(settled(&compaction, &names(&[])), Settled::Done, "its table was deleted");
        compaction.outputs.clear();
        assert_eq!(settled(&compaction, &names(&["a", "b"])), Settled::NotDone);
        assert_eq!(settled(&compaction, &names(&["later"])), Settled::Done);
    }
}
