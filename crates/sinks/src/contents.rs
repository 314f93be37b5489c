//! The contents of a table's folder, by file names. A start compares them with the checkpoint.

use std::path::{Path, PathBuf};

use sluicebox_durable as durable;
use sluicebox_durable::fault::What;

use crate::error::Result;
use crate::folder::{is_folder, is_linked_partition};
use crate::layout;

/// What [`contents`] saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The highest batch of a published file, with such a file.
    pub newest: Option<(u64, PathBuf)>,
    /// Files that readers see and no run published, in the order of paths.
    pub foreign: Vec<PathBuf>,
    /// Links in the place of partition folders, in the order of paths: some readers follow them, a run does not.
    pub links: Vec<PathBuf>,
}

/// Looks at the names of all files below `location` that readers would see. A link to a folder is not followed: where no
/// partition has its name it counts as a foreign file. A folder that is not there holds nothing.
///
/// # Errors
/// When a folder cannot be listed.
pub fn contents(location: &Path) -> Result<Contents> {
    let mut seen = Contents::default();
    each_file(location, &|_| false, &mut |path| seen.add(location, path))?;
    Ok(seen)
}

/// [`contents`] of a folder that has a folder for each batch, without those of batches up to `committed`: there are as many as
/// there were batches, and a file of a later batch is in none of them.
///
/// # Errors
/// When a folder cannot be listed.
pub fn contents_after(location: &Path, committed: Option<u64>) -> Result<Contents> {
    let mut seen = Contents::default();
    let is_over =
        |name: &str| committed.is_some_and(|newest| layout::batch_folder(name).is_some_and(|batch| batch <= newest));
    each_file(location, &is_over, &mut |path| seen.add(location, path))?;
    Ok(seen)
}

impl Contents {
    fn add(&mut self, location: &Path, path: PathBuf) {
        match layout::batch_below(location, &path) {
            None if is_linked_partition(&path) => self.links.push(path),
            None => self.foreign.push(path),
            Some(batch) if self.newest.as_ref().is_none_or(|(newest, _)| batch > *newest) => {
                self.newest = Some((batch, path));
            }
            Some(_) => {}
        }
    }
}

/// Gives `see` every file below `folder` that readers would see, but for those that are in, or are, an entry whose name is
/// one to `skip`. Links to folders count as files.
pub(crate) fn each_file(folder: &Path, skip: &dyn Fn(&str) -> bool, see: &mut dyn FnMut(PathBuf)) -> Result<()> {
    for entry in durable::list(What::Owner, folder)? {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if layout::is_hidden(&name) || skip(&name) {
            continue;
        }
        if is_folder(&entry)? {
            each_file(&entry.path(), skip, see)?;
        } else {
            see(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::fs;

    use super::*;

    #[test]
    fn folders_of_committed_batches_are_left_out_and_later_ones_seen() {
        let dir = tempfile::tempdir().unwrap();
        for batch in [7, 8, 9] {
            let folder = dir.path().join(format!("batch_id={batch}"));
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("report.json"), "").unwrap();
            fs::write(folder.join("mine.txt"), "").unwrap();
        }
        let seen = contents_after(dir.path(), Some(8)).unwrap();
        let newest = dir.path().join("batch_id=9");
        assert_eq!(seen.newest, Some((9, newest.join("report.json"))));
        assert_eq!(seen.foreign, [newest.join("mine.txt")]);
        assert_eq!(contents_after(dir.path(), Some(9)).unwrap(), Contents::default());
        assert_eq!(contents_after(dir.path(), None).unwrap(), contents(dir.path()).unwrap());
        assert_eq!(contents(dir.path()).unwrap().foreign.len(), 3);
    }

    #[test]
    fn a_link_with_the_name_of_a_partition_is_told_from_a_foreign_file() {
        let dir = tempfile::tempdir().unwrap();
        let (table, elsewhere) = (dir.path().join("t"), dir.path().join("k=1"));
        fs::create_dir_all(table.join("k=2")).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let links = [("k=1", "../k=1"), ("k=2/d=1", "/nowhere"), ("linked", "../k=1"), ("k=3.txt", "../file")];
        for (name, to) in links {
            std::os::unix::fs::symlink(to, table.join(name)).unwrap();
        }
        let seen = contents(&table).unwrap();
        assert_eq!(seen.links, [table.join("k=1"), table.join("k=2/d=1")]);
        assert_eq!(seen.foreign, [table.join("k=3.txt"), table.join("linked")]);
    }
}
