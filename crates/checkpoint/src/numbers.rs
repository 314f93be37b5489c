//! Records that are named by number.

use std::fs;
use std::path::{Path, PathBuf};

use sluicebox_durable as durable;
use sluicebox_durable::fault::What;

use crate::{Checkpoint, CheckpointError, judge};

/// The folders whose records have numbers for names.
pub(super) const NUMBERED: [&str; 5] = ["epochs", "pipelines", "offsets", "commits", "compactions"];

impl Checkpoint {
    /// The ids of the records in `folder`, in no order.
    pub(crate) fn ids(&self, what: What, folder: &str) -> Result<Vec<u64>, CheckpointError> {
        let entries = durable::list(what, &self.root.join(folder))?;
        Ok(entries.iter().filter_map(|entry| id_of(&entry.file_name().to_string_lossy())).collect())
    }

    /// The numbers in the folders of records, as paths, that no run gives a record: everybody passes them over.
    ///
    /// # Errors
    /// When a folder cannot be listed.
    pub fn strange_numbers(&self) -> Result<Vec<PathBuf>, CheckpointError> {
        let mut strange = Vec::new();
        for folder in NUMBERED {
            for entry in durable::list(What::Checkpoint, &self.root.join(folder))? {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.bytes().all(|byte| byte.is_ascii_digit()) && id_of(&name).is_none() {
                    strange.push(entry.path());
                }
            }
        }
        Ok(strange)
    }
}

/// Whether `folder` has a file that is called as a record is. What cannot be read has none.
pub fn has_records(folder: &Path) -> bool {
    let is_record = |entry: fs::DirEntry| {
        id_of(&entry.file_name().to_string_lossy()).is_some() && entry.file_type().is_ok_and(|kind| kind.is_file())
    };
    folder.read_dir().is_ok_and(|entries| entries.flatten().any(is_record))
}

/// The id in the name of a record. A name that parses to it and is another, as `+7` and `007`, is none of ours; nor is a number
/// that no run gets to.
pub(super) fn id_of(name: &str) -> Option<u64> {
    name.parse().ok().filter(|id: &u64| id.to_string() == name && *id <= judge::MOST)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn numbers_that_no_run_gives_a_record_are_passed_over_and_told() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(dir.path());
        checkpoint.prepare().unwrap();
        let mut strange = Vec::new();
        for folder in NUMBERED {
            for name in ["18446744073709551615", "18446744073709551614", "99999999999999999999", "007"] {
                let path = dir.path().join(folder).join(name);
                std::fs::write(&path, "").unwrap();
                strange.push(path);
            }
        }
        let mut told = checkpoint.strange_numbers().unwrap();
        told.sort();
        strange.sort();
        assert_eq!(told, strange);
        assert_eq!((checkpoint.observe().unwrap().commit, checkpoint.next_compaction().unwrap()), (None, 1));
        // Each finds the epoch after the one before it, and a name that is free.
        for epoch in 1..3 {
            assert_eq!(checkpoint.lock(false, "run", 0).unwrap().epoch.epoch, epoch);
        }
    }

    /// An epoch above those that count would be seen by no later run.
    #[test]
    fn there_is_no_run_after_the_highest_epoch() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(dir.path());
        checkpoint.prepare().unwrap();
        std::fs::write(dir.path().join("epochs").join(judge::MOST.to_string()), "").unwrap();
        let refused = checkpoint.lock(false, "run", 0).map(|lock| lock.epoch).unwrap_err();
        assert!(refused.to_string().contains("the highest epoch that there can be"), "{refused}");
    }
}
