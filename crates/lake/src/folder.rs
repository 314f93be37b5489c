//! The table's folder: made and tried before the first batch, swept after the first commit.

use std::fs;
use std::io;
use std::path::Path;

use sluicebox_core::durable::{self, FileError};
use sluicebox_core::fault;

use crate::error::{LakeError, Result};
use crate::layout;

/// Makes `location` and its staging folder, durable, and proves with a file of its own that a staged file can be
/// published: that the folder is writable, and that staging and table are one filesystem with hard links. To be called
/// at every start, since a folder that is found may be the work of a killed run that nobody made durable.
///
/// # Errors
/// When the folder cannot be made, is read-only, or its filesystem cannot publish.
pub fn prepare(location: &Path) -> Result<()> {
    if !location.is_absolute() {
        return Err(LakeError::NotAbsolute { location: location.to_path_buf() });
    }
    let staging = location.join(layout::STAGING);
    durable::create_dir_durable(&staging).map_err(|e| not_writable(location, e))?;
    let trial = format!("{}trial-{}", durable::TEMPORARY_PREFIX, std::process::id());
    let (staged, target) = (staging.join(&trial), location.join(&trial));
    // Left by a run of the same process id that was killed in its trial.
    let _ = (fs::remove_file(&staged), fs::remove_file(&target));
    fs::write(&staged, []).map_err(|e| not_writable(location, FileError::new("create", &staged, e)))?;
    let linked = fs::hard_link(&staged, &target);
    for path in [&staged, &target] {
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(FileError::new("remove", path, e).into()),
            _ => {}
        }
    }
    linked.map_err(|source| LakeError::CannotPublish { location: location.to_path_buf(), source })?;
    durable::sync_dir(location)?;
    sync_above(location);
    Ok(())
}

/// Makes the names of the folders above `location` durable. A run that was killed may have made them and not come to it.
/// Those that cannot be synced are not ours: they were there before any run.
fn sync_above(location: &Path) {
    for folder in location.ancestors().skip(1) {
        if let Err(error) = durable::sync_dir(folder) {
            tracing::debug!(folder = %folder.display(), %error, "a folder above a table cannot be synced");
            return;
        }
    }
}

fn not_writable(location: &Path, error: FileError) -> LakeError {
    match error.source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            LakeError::NotWritable { location: location.to_path_buf(), source: error.source }
        }
        _ => error.into(),
    }
}

/// Removes the staging folders of epochs older than `epoch`, and temporary files. Only for a run of `epoch` after its own
/// first commit: until then a commit of an older epoch may still have to be published from there.
///
/// # Errors
/// When a folder cannot be listed or something in it not removed.
pub fn sweep(location: &Path, epoch: u64) -> Result<()> {
    let staging = location.join(layout::STAGING);
    for entry in list(&staging)? {
        let name = entry.file_name();
        let older = name.to_str().and_then(|n| n.parse::<u64>().ok()).is_some_and(|of| of < epoch);
        if older {
            remove_tree(&entry.path())?;
            fault::point("sweep.removed");
        }
    }
    durable::sweep_temporaries(&staging)?;
    durable::sweep_temporaries(location)?;
    Ok(())
}

/// The entries of a folder; none if it is not there.
pub(crate) fn list(folder: &Path) -> Result<Vec<fs::DirEntry>, FileError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(FileError::new("list", folder, e)),
    };
    let mut entries = entries.collect::<io::Result<Vec<_>>>().map_err(|e| FileError::new("list", folder, e))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    Ok(entries)
}

/// Removes a folder with all that is in it. What somebody else removes meanwhile is gone as well.
pub(crate) fn remove_tree(folder: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(FileError::new("remove", folder, e)),
        _ => Ok(()),
    }
}

/// Whether the entry is a folder, not following links: a link to a folder is none of ours.
pub(crate) fn is_folder(entry: &fs::DirEntry) -> Result<bool, FileError> {
    entry.file_type().map(|t| t.is_dir()).map_err(|e| FileError::new("read", entry.path(), e))
}
