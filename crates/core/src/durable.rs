//! The file operations on which exactly-once rests: each is durable when it returns, and none shows unfinished content.
//!
//! Every function names its fault points, so that a crash can be tried before, between and after its steps.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use crate::blame::{Blame, Blamed};
use crate::fault;

/// A file operation that failed, with the path.
#[derive(Debug, Error)]
#[error("cannot {operation} {}: {source}", path.display())]
pub struct FileError {
    /// What was tried: `create`, `sync`, `rename`, ...
    pub operation: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// What the operating system said.
    pub source: io::Error,
}

impl FileError {
    /// An error of `operation` on `path`.
    pub fn new(operation: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self { operation, path: path.into(), source }
    }
}

impl Blamed for FileError {
    fn blame(&self) -> Blame {
        Blame::Outside
    }
}

/// What became of a create-if-absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The file is there now, with the given content, durable.
    New,
    /// A file of that name was there before; it is untouched, and its folder has been synced.
    Exists,
}

/// Makes the entries of folder `dir` durable.
///
/// # Errors
/// When the folder cannot be opened or synced.
pub fn sync_dir(dir: &Path) -> Result<(), FileError> {
    let file = File::open(dir).map_err(|e| FileError::new("open", dir, e))?;
    file.sync_all().map_err(|e| FileError::new("sync", dir, e))?;
    fault::point("dir.synced");
    Ok(())
}

/// Creates `dir` and every missing folder above it, each made durable in its parent.
///
/// # Errors
/// When a folder cannot be made or synced.
pub fn create_dir_durable(dir: &Path) -> Result<(), FileError> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|p| !p.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_dir_durable(parent)?;
    }
    match fs::create_dir(dir) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(FileError::new("create folder", dir, e)),
    }
    sync_dir(parent.unwrap_or(Path::new(".")))
}

/// Makes `content` the content of `path` if no file of that name is there: writes and syncs a temporary file, links it
/// to the name, syncs the folder. The name never shows unfinished content, and of two callers one gets
/// [`Created::New`]. The folder must exist.
///
/// # Errors
/// When a step fails; the name is then absent, or another's.
pub fn create_if_absent(path: &Path, content: &[u8]) -> Result<Created, FileError> {
    let dir = parent_of(path);
    let temporary = temporary_name(path);
    write_synced(&temporary, content)?;
    fault::point("create.before_link");
    let linked = fs::hard_link(&temporary, path);
    fault::point("create.linked");
    // The link is what counts; a temporary file that stays behind is swept at the next start.
    let _ = fs::remove_file(&temporary);
    let created = match linked {
        Ok(()) => Created::New,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Created::Exists,
        Err(e) => return Err(FileError::new("create", path, e)),
    };
    sync_dir(dir)?;
    Ok(created)
}

/// Makes `content` the content of `path`, replacing what was there at once: a reader sees the old content or the new.
///
/// # Errors
/// When a step fails; the old content is then still there.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let temporary = temporary_name(path);
    write_synced(&temporary, content)?;
    fault::point("replace.before_rename");
    fs::rename(&temporary, path).map_err(|e| FileError::new("rename", path, e))?;
    sync_dir(parent_of(path))
}

/// Removes the temporary files that a crash left in `dir`. A folder that is not there has none.
///
/// # Errors
/// When the folder cannot be listed or a file not removed.
pub fn sweep_temporaries(dir: &Path) -> Result<(), FileError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(FileError::new("list", dir, e)),
    };
    for entry in entries {
        let entry = entry.map_err(|e| FileError::new("list", dir, e))?;
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX) {
            fs::remove_file(entry.path()).map_err(|e| FileError::new("remove", entry.path(), e))?;
        }
    }
    Ok(())
}

/// What the names of temporary files start with: hidden from every glob.
pub const TEMPORARY_PREFIX: &str = ".tmp-";

fn write_synced(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).open(path).map_err(|e| FileError::new("create", path, e))?;
    fault::point("create.opened");
    file.write_all(content).map_err(|e| FileError::new("write", path, e))?;
    fault::point("create.written");
    file.sync_all().map_err(|e| FileError::new("sync", path, e))
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn temporary_name(path: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    parent_of(path).join(format!("{TEMPORARY_PREFIX}{}-{n}-{name}", std::process::id()))
}

/// The checksum that manifests carry: xxh3-64 over the content, as 16 hexadecimal digits.
#[must_use]
pub fn checksum(content: &[u8]) -> String {
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(content))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn the_first_creator_wins_and_nothing_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("7");
        assert_eq!(create_if_absent(&path, b"one").unwrap(), Created::New);
        assert_eq!(create_if_absent(&path, b"two").unwrap(), Created::Exists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_sweep_removes_temporaries_only() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(".tmp-1-0-x"), "torn").unwrap();
        fs::write(dir.path().join("x"), "whole").unwrap();
        sweep_temporaries(dir.path()).unwrap();
        assert!(dir.path().join("x").exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
