//! Empties a folder, for a full refresh.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sluicebox_durable::fault::What;
use sluicebox_durable::{self as durable, Own};

use super::{is_of_another, mark, read, visible_file};
use crate::error::{LakeError, Result};
use crate::folder::{is_folder, is_linked_partition, remove_epoch};
use crate::layout;

/// Makes sure that [`clear`] will be taken. Nothing is changed.
///
/// # Errors
/// As [`clear`].
pub fn check_clear(location: &Path, queries: &[&str]) -> Result<()> {
    found(location, queries).map(drop)
}

/// Deletes what the table of one of `queries` holds, staged files first, then table files, and syncs every folder it deleted
/// from. The mark, other hidden names, and files that no pipeline wrote stay, among staged ones too. Only for a full refresh by
/// the owner, when no other process of the query lives; killed in between, it is called again. A folder that is not there is
/// clear, and so is one without a mark in which readers see nothing.
///
/// # Errors
/// When the mark names another query, or there are files and no mark, or a table of its own lies inside, or the staging folder
/// or a partition's is a link: nothing is deleted then. When something cannot be removed.
pub fn clear(location: &Path, queries: &[&str]) -> Result<()> {
    let Some(Found { files, foreign }) = found(location, queries)? else { return Ok(()) };
    for path in foreign {
        // What is no UTF-8 in a name is told by its bytes.
        let name = path.to_str().map_or_else(|| format!("{path:?}"), str::to_owned);
        tracing::warn!("{name} was not written by Sluicebox and stays: move it away");
    }
    // The folder of staged files stays, so that a folder that was cleared is not taken for one that somebody emptied.
    let own = Own::given(location);
    if let Some(staging) = own.folder(layout::STAGING)? {
        for entry in staging.list(What::Clear)? {
            let name = entry.file_name();
            let text = name.to_str().unwrap_or_default();
            let of_epoch = layout::epoch_of(text).is_some();
            if is_folder(&entry)? {
                if of_epoch {
                    remove_epoch(What::Clear, &staging, &name)?;
                }
            } else if of_epoch || durable::is_temporary(text) {
                // A link in the place of a folder goes as such.
                staging.remove(What::Clear, &name)?;
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

/// What lies in a folder that is to be cleared, but staged files.
#[derive(Default)]
struct Found {
    /// Those that some pipeline published there, by their names.
    files: Vec<PathBuf>,
    /// Those that are not ours to delete.
    foreign: Vec<PathBuf>,
}

/// What [`clear`] finds; `None` when there is nothing of any query.
fn found(location: &Path, queries: &[&str]) -> Result<Option<Found>> {
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
    let mut found = Found::default();
    collect(location, location, &mut found)?;
    Ok(Some(found))
}

/// Adds all files below `folder`.
fn collect(location: &Path, folder: &Path, found: &mut Found) -> Result<()> {
    for entry in durable::list(What::Clear, folder)? {
        if layout::is_hidden(&entry.file_name().to_string_lossy()) {
            continue;
        }
        if is_folder(&entry)? {
            if !is_of_another(location, &entry.path())? {
                collect(location, &entry.path(), found)?;
            }
        } else if is_linked_partition(&entry.path()) {
            return Err(LakeError::linked(&entry.path()));
        } else if layout::batch_below(location, &entry.path()).is_some() {
            found.files.push(entry.path());
        } else {
            found.foreign.push(entry.path());
        }
    }
    Ok(())
}
