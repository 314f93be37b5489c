//! Emptying a folder, for a full refresh.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sluicebox_core::durable::{self, Own};
use sluicebox_core::fault::What;

use super::{is_of_another, mark, read, visible_file};
use crate::error::{LakeError, Result};
use crate::folder::is_folder;
use crate::layout;

/// Makes sure that [`clear`] will be taken. Nothing is changed.
///
/// # Errors
/// As [`clear`].
pub fn check_clear(location: &Path, queries: &[&str]) -> Result<()> {
    found(location, queries).map(drop)
}

/// Deletes what the table of one of `queries` holds, staged files first, then table files, and syncs every folder it deleted
/// from. The mark, other hidden names, and files that no pipeline wrote stay. Only for a full refresh by the owner, when no
/// other process of the query lives; killed in between, it is called again. A folder that is not there is clear, and so is
/// one without a mark in which readers see nothing.
///
/// # Errors
/// When the mark names another query, or there are files and no mark, or a table of its own lies inside, or the staging folder
/// is a link: nothing is deleted then. When something cannot be removed.
pub fn clear(location: &Path, queries: &[&str]) -> Result<()> {
    let Some(files) = found(location, queries)? else { return Ok(()) };
    // The folder of staged files stays, so that a folder that was cleared is not taken for one that somebody emptied.
    let own = Own::given(location);
    if let Some(staging) = own.folder(layout::STAGING)? {
        for entry in staging.list(What::Clear)? {
            if is_folder(&entry)? {
                staging.remove_tree(What::Clear, entry.file_name())?;
            } else {
                staging.remove(What::Clear, entry.file_name())?;
            }
        }
    }
    let below = |path: &Path| path.strip_prefix(location).unwrap_or(path).to_path_buf();
    let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
    for file in files {
        own.remove(What::Clear, below(&file))?;
        folders.extend(file.ancestors().skip(1).take_while(|f| f.starts_with(location)).map(Path::to_path_buf));
    }
    if location.is_dir() {
        folders.insert(location.to_path_buf());
    }
    // Empty partition folders may go too, but need not: a folder that still holds a hidden file stays.
    for folder in folders.iter().rev() {
        durable::sync_dir(What::Clear, folder)?;
        if folder != location && durable::list(What::Clear, folder)?.is_empty() {
            own.remove_dir(What::Clear, below(folder))?;
        }
    }
    Ok(())
}

/// The files that [`clear`] deletes, but staged ones; `None` when there is nothing of any query.
fn found(location: &Path, queries: &[&str]) -> Result<Option<Vec<PathBuf>>> {
    if !location.is_dir() {
        return Ok(None);
    }
    match read(location)? {
        Some(owner) if queries.contains(&owner.query_id.as_str()) => {}
        Some(owner) => {
            return Err(LakeError::NotToClear { location: location.to_path_buf(), found: Box::new(owner) });
        }
        None => {
            let Some(example) = visible_file(location, location)? else { return Ok(None) };
            let mark = mark(location);
            return Err(LakeError::FilesButNoOwner { location: location.to_path_buf(), example, mark });
        }
    }
    Own::given(location).folder(layout::STAGING)?;
    let mut files = Vec::new();
    collect(location, location, &mut files)?;
    Ok(Some(files))
}

/// All files below `folder` that some pipeline published there, by their names. Others are not ours to delete.
fn collect(location: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in durable::list(What::Clear, folder)? {
        if layout::is_hidden(&entry.file_name().to_string_lossy()) {
            continue;
        }
        if is_folder(&entry)? {
            if !is_of_another(location, &entry.path())? {
                collect(location, &entry.path(), files)?;
            }
        } else if layout::batch_of(&entry.path()).is_some() {
            files.push(entry.path());
        } else {
            tracing::warn!("{} was not written by Sluicebox and stays: move it away", entry.path().display());
        }
    }
    Ok(())
}
