//! Checks that the folders of a pipeline do not overlap: with each other, with those that runs reserve for themselves, and with every
//! checkpoint. Symbolic links are resolved first, since a run that deletes follows the links above its own folders.

use std::path::{Path, PathBuf};

use sluicebox_checkpoint::has_records;
use sluicebox_sinks::{owner, real_path};
use thiserror::Error;

use super::{OutputFolder, Outputs};
use crate::RuntimeError;

/// What the folder of a checkpoint is to people.
pub const CHECKPOINT: &str = "the checkpoint";
/// What the working directory is to them.
pub const PROJECT: &str = "the working directory";

/// Folders that do not lie apart, or cannot be named.
#[derive(Debug, Error)]
pub enum ApartError {
    /// Two outputs of a pipeline in one folder.
    #[error(
        "{} would be written to {}, and {} to {}, which is the same folder or one around it: readers would take the rows of one \
         for the other's. Give one of them another LOCATION",
        second.output,
        second.location.display(),
        first.output,
        first.location.display()
    )]
    Shared {
        /// The one.
        first: OutputFolder,
        /// The other.
        second: OutputFolder,
    },
    /// A folder that runs keep for themselves, and one that lies in it or around it.
    #[error(
        "{} would be written to {}, and {} is {}: it is the same folder, or the one lies in the other. Runs delete what is over in \
         the folders that they keep for themselves, and readers take every file of a table's folder for rows. Give the table \
         another LOCATION, or the checkpoint another folder by `--checkpoint`",
        output.name,
        output.location.display(),
        kept.name,
        kept.location.display()
    )]
    Kept {
        /// What would be written.
        output: NamedFolder,
        /// What runs keep.
        kept: NamedFolder,
    },
    /// An output in a checkpoint, maybe another project's.
    #[error(
        "{} would be written to {}, which lies in the checkpoint {}: the runs of that one delete what is over in it, and a full \
         refresh all of it. Give the table another LOCATION",
        output.output,
        output.location.display(),
        checkpoint.display()
    )]
    InCheckpoint {
        /// What would be written.
        output: OutputFolder,
        /// The checkpoint.
        checkpoint: PathBuf,
    },
    /// A checkpoint in a folder that has the mark of a table.
    #[error(
        "the checkpoint {} would lie in {}, which is the folder of a table: readers take every file in it for rows. Name another \
         folder with `--checkpoint`",
        checkpoint.display(),
        table.display()
    )]
    InTable {
        /// The checkpoint.
        checkpoint: PathBuf,
        /// The table's folder.
        table: PathBuf,
    },
    /// A folder that records and marks would not name whole.
    #[error(
        "the path of {}, {:?}, is no UTF-8: records of the checkpoint and marks of tables name folders as text, by which nobody \
         would find it again. Nothing was touched. Give it a path that is UTF-8",
        folder.name,
        folder.location
    )]
    NoText {
        /// The folder.
        folder: NamedFolder,
    },
    /// The folder of a table in what a full refresh deletes.
    #[error(
        "{} is the folder of a table and lies in the checkpoint {}, of which a full refresh deletes all records. Nothing was \
         touched. Give that table another LOCATION and let its pipeline begin anew there, with `--full-refresh`; then remove the \
         folder, and run again",
        table.display(),
        checkpoint.display()
    )]
    Holds {
        /// The table's folder.
        table: PathBuf,
        /// The checkpoint.
        checkpoint: PathBuf,
    },
}

/// A folder, and what it is to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFolder {
    /// `table bronze_sales`, `the checkpoint`, ...
    pub name: String,
    /// The folder, absolute.
    pub location: PathBuf,
}

impl From<&OutputFolder> for NamedFolder {
    fn from(folder: &OutputFolder) -> Self {
        Self { name: folder.output.to_string(), location: folder.location.clone() }
    }
}

impl Outputs {
    /// Stops a pipeline of which two outputs would write to one folder, or one inside the other's; or one of which an output
    /// would write to what runs keep for themselves, or to a checkpoint, or around them: its own in `checkpoint`, or any other.
    /// By whatever links. And one of whose folders records and marks would not name whole.
    ///
    /// # Errors
    /// When there are such outputs or folders, or a folder above them cannot be read.
    pub fn refuse_shared(&self, checkpoint: &Path) -> Result<(), RuntimeError> {
        let beside = ("the folder of what stands beside the tables", self.data_dir.as_path());
        refuse_no_text(&[(PROJECT, self.working_dir.as_path()), (CHECKPOINT, checkpoint), beside])?;
        let mut real: Vec<(PathBuf, OutputFolder)> = Vec::new();
        for folder in self.folders() {
            real.push((real_path(&folder.location)?, folder));
        }
        real.sort_by(|a, b| a.0.cmp(&b.0));
        // In order of paths an inner folder comes after its outer one, maybe with others of the outer one between.
        for (at, (outer, first)) in real.iter().enumerate() {
            if let Some((_, second)) = real.iter().skip(at + 1).take_while(|(path, _)| path.starts_with(outer)).next() {
                return Err(ApartError::Shared { first: first.clone(), second: second.clone() }.into());
            }
        }
        let named = |name: &str, location: PathBuf| NamedFolder { name: name.to_owned(), location };
        let own = named(CHECKPOINT, checkpoint.to_owned());
        let log = named("the embedded log", self.data_dir.join(".log"));
        let around = named("the folder of checkpoints", self.working_dir.join("checkpoints"));
        let own_path = real_path(&own.location)?;
        for kept in [&own, &log, &around] {
            let path = real_path(&kept.location)?;
            let overlaps = |other: &Path| other.starts_with(&path) || path.starts_with(other);
            if let Some((_, output)) = real.iter().find(|(other, _)| overlaps(other)) {
                return Err(ApartError::Kept { output: output.into(), kept: kept.clone() }.into());
            }
            if kept == &log && overlaps(&own_path) {
                return Err(ApartError::Kept { output: own.clone(), kept: kept.clone() }.into());
            }
        }
        for (path, output) in real {
            if let Some(checkpoint) = path.ancestors().find(|folder| is_checkpoint(folder)) {
                return Err(ApartError::InCheckpoint { checkpoint: checkpoint.to_owned(), output }.into());
            }
        }
        Ok(())
    }
}

/// Stops a pipeline one of whose `folders` has a path that is no UTF-8.
///
/// # Errors
/// When one has.
pub fn refuse_no_text(folders: &[(&str, &Path)]) -> Result<(), RuntimeError> {
    match folders.iter().find(|(_, location)| location.to_str().is_none()) {
        Some((name, location)) => {
            let folder = NamedFolder { name: (*name).to_owned(), location: location.to_path_buf() };
            Err(ApartError::NoText { folder }.into())
        }
        None => Ok(()),
    }
}

/// Stops before a checkpoint is made in the folder of a table, by whatever links.
///
/// # Errors
/// When it would be, or a folder above it cannot be read.
pub fn refuse_in_table(checkpoint: &Path) -> Result<(), RuntimeError> {
    let path = real_path(checkpoint)?;
    match path.ancestors().find(|folder| owner::is_marked(folder)) {
        Some(table) => Err(ApartError::InTable { checkpoint: checkpoint.to_owned(), table: table.to_owned() }.into()),
        None => Ok(()),
    }
}

/// Whether a run has begun with this folder as its checkpoint. One that has lost its metadata, or a folder of its records, is one still:
/// whoever puts it right wants no table in it.
fn is_checkpoint(folder: &Path) -> bool {
    let has_begun = folder.join("metadata").is_file() && folder.join("epochs").is_dir();
    let of_records = ["epochs", "pipelines", "offsets", "commits"];
    has_begun || of_records.iter().filter(|name| has_records(&folder.join(name))).count() > 1
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    #![expect(clippy::disallowed_methods, reason = "tests make files by hand")]
    use std::fs;

    use super::is_checkpoint;

    #[test]
    fn a_checkpoint_that_has_lost_a_part_is_one_still() {
        let dir = tempfile::tempdir().unwrap();
        let of = |name: &str, files: &[&str]| {
            let folder = dir.path().join(name);
            for file in files {
                let path = folder.join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            }
            is_checkpoint(&folder)
        };
        assert!(of("whole", &["metadata", "epochs/1", "pipelines/1", "offsets/0", "commits/0"]));
        assert!(of("begun", &["metadata", "epochs/.tmp-1-2"]));
        assert!(of("no_metadata", &["epochs/3", "pipelines/1", "offsets/7", "commits/7"]));
        assert!(of("before_its_first_batch", &["epochs/1", "pipelines/1"]));
        assert!(of("no_epochs", &["offsets/7", "commits/7"]));
        assert!(!of("a_table", &["part-0.parquet", "day=1/part-0.parquet"]));
        assert!(!of("other_names", &["epochs/readme", "commits/007", "offsets/day=1/1"]));
        assert!(!of("of_somebody_else", &["epochs/1", "notes"]));
    }
}
