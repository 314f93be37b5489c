//! The table's folder: created and tried before the first batch, swept after the first commit.

use std::ffi::OsStr;
use std::fs::DirEntry;
use std::io;
use std::path::{Component, Path, PathBuf};

use sluicebox_durable::fault::What;
use sluicebox_durable::{self as durable, DurableFile, FileError, Own};

use crate::error::{LakeError, Result};
use crate::{layout, owner};

/// Makes `location` and its staging folder, durable, and proves with a file of its own that a staged file can be
/// published: that the folder is writable, and that staging and table are one filesystem with hard links. To be called
/// at every start, since a folder that is found may be the work of a killed run that nobody made durable.
///
/// # Errors
/// When the folder cannot be made, is read-only, its filesystem cannot publish, or the staging folder is a link.
pub fn prepare(location: &Path) -> Result<()> {
    if !location.is_absolute() {
        return Err(LakeError::NotAbsolute { location: location.to_path_buf() });
    }
    owner::forget(location)?;
    // What is staged is removed again: behind a link it would be done to what is another's.
    Own::given(location).folder(layout::STAGING).map_err(|e| not_writable(location, e))?;
    let staging = location.join(layout::STAGING);
    durable::create_dir_durable(What::Table, &staging).map_err(|e| not_writable(location, e))?;
    let target = durable::temporary_name(&location.join("trial"));
    let staged = staging.join(target.file_name().unwrap_or_default());
    DurableFile::create_new(What::Table, &staged).map_err(|e| not_writable(location, e))?;
    let linked = durable::link(What::Table, &staged, &target);
    // Of this process alone: no other makes such names.
    for folder in [staging.as_path(), location] {
        Own::given(folder).tidy(What::Table, target.file_name().unwrap_or_default())?;
    }
    linked.map_err(|e| cannot_publish(location, e))?;
    durable::sync_dir(What::Table, location)?;
    sync_above(location);
    Ok(())
}

/// The folder itself, or the first one above it that is there.
///
/// # Errors
/// When that is no folder, so that nothing can be made in it.
pub fn existing(location: &Path) -> Result<&Path> {
    let there = location.ancestors().find(|path| path.symlink_metadata().is_ok()).unwrap_or(Path::new("/"));
    if there.is_dir() {
        return Ok(there);
    }
    Err(FileError::new("make a folder of", there, io::Error::from(io::ErrorKind::NotADirectory)).into())
}

/// Proves what [`prepare`] will need of `folder`, which is there: that it is writable, and its filesystem has hard links.
/// Nothing is left behind.
///
/// # Errors
/// When it is read-only, or its filesystem cannot publish.
pub fn try_out(folder: &Path) -> Result<()> {
    let trial = durable::temporary_name(&folder.join("trial"));
    let name = trial.file_name().unwrap_or_default();
    durable::make_dir(What::Table, &trial).map_err(|e| not_writable(folder, e))?;
    let (staged, target) = (trial.join("staged"), trial.join("target"));
    let tried =
        DurableFile::create_new(What::Table, &staged).and_then(|_| durable::link(What::Table, &staged, &target));
    Own::given(folder).remove_tree(What::Table, name)?;
    tried.map_err(|e| cannot_publish(folder, e))
}

/// Makes the names of the folders above `location` durable. A run that was killed may have made them and not come to it.
/// Those that cannot be synced are not ours: they were there before any run.
fn sync_above(location: &Path) {
    for folder in location.ancestors().skip(1) {
        if let Err(error) = durable::sync_dir(What::Table, folder) {
            tracing::debug!(folder = %folder.display(), %error, "a folder above a table cannot be synced");
            return;
        }
    }
}

fn cannot_publish(location: &Path, error: FileError) -> LakeError {
    match error.source.raw_os_error() {
        // EPERM, EXDEV, EMLINK, ENOSYS, EOPNOTSUPP: what filesystems without hard links say.
        Some(1 | 18 | 31 | 38 | 95) => {
            LakeError::CannotPublish { location: location.to_path_buf(), source: error.source }
        }
        _ => not_writable(location, error),
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
    let own = Own::given(location);
    if let Some(staging) = own.folder(layout::STAGING)? {
        for entry in staging.list(What::Sweep)? {
            let name = entry.file_name();
            let older = name.to_str().and_then(layout::epoch_of).is_some_and(|of| of < epoch);
            if older && is_folder(&entry)? {
                remove_epoch(What::Sweep, &staging, &name)?;
            }
        }
        durable::sweep_temporaries(What::Sweep, &staging)?;
    }
    durable::sweep_temporaries(What::Sweep, &own)?;
    owner::move_out(location)?;
    sweep_marks(location)?;
    Ok(())
}

/// Removes what a run has staged in the folder `name` of its epoch in `staging`, and the folder if nothing else is in it.
pub(crate) fn remove_epoch(what: What, staging: &Own, name: &OsStr) -> Result<(), FileError> {
    let Some(folder) = staging.folder(name)? else { return Ok(()) };
    let mut nothing_is_left = true;
    for entry in folder.list(what)? {
        let staged = entry.file_name().to_str().is_some_and(layout::is_staged_name);
        if staged && !is_folder(&entry)? {
            folder.remove(what, entry.file_name())?;
        } else {
            nothing_is_left = false;
        }
    }
    if nothing_is_left {
        staging.remove_dir(what, name)?;
    }
    Ok(())
}

/// Removes temporary names of this folder's mark, which lie beside the folder.
fn sweep_marks(location: &Path) -> Result<()> {
    let mark = owner::mark(location);
    let (Some(parent), Some(name)) = (mark.parent(), mark.file_name()) else { return Ok(()) };
    if parent == location {
        return Ok(());
    }
    let name = name.to_string_lossy();
    let beside = Own::given(parent);
    for entry in beside.list(What::Sweep)? {
        let found = entry.file_name().to_string_lossy().into_owned();
        if found.starts_with(durable::TEMPORARY_PREFIX) && found.ends_with(&format!("-{name}")) {
            beside.tidy(What::Sweep, entry.file_name())?;
        }
    }
    Ok(())
}

/// The folder that `location` leads to, links followed. What of it is not there yet stands as it is; `..` after it leads back.
///
/// # Errors
/// When a part that is there cannot be read.
pub fn real_path(location: &Path) -> Result<PathBuf> {
    let mut missing: Vec<Component<'_>> = Vec::new();
    for folder in location.ancestors() {
        match folder.canonicalize() {
            Ok(mut real) => {
                let mut went_up = false;
                for part in missing.iter().rev() {
                    if *part == Component::ParentDir {
                        went_up = true;
                        real.pop();
                    } else {
                        real.push(part);
                    }
                }
                // What lies beside a folder that is missing may be there, and be a link.
                return if went_up { real_path(&real) } else { Ok(real) };
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => missing.extend(folder.components().next_back()),
            Err(e) => return Err(FileError::new("read", folder, e).into()),
        }
    }
    Ok(location.to_path_buf())
}

/// Whether a link that leads to no file has the place of a partition's folder. Its rows would be seen by some readers and
/// not by others, and neither be compacted nor deleted.
pub(crate) fn is_linked_partition(path: &Path) -> bool {
    let named = path.file_name().is_some_and(|name| name.to_string_lossy().contains('='));
    named && path.is_symlink() && !path.is_file()
}

/// Whether the entry is a folder, not following links: a link to a folder is none of ours.
pub(crate) fn is_folder(entry: &DirEntry) -> Result<bool, FileError> {
    entry.file_type().map(|t| t.is_dir()).map_err(|e| FileError::new("read", entry.path(), e))
}
