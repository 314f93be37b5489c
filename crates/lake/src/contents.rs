//! What a table's folder holds, by the names of its files: for a start, which compares it with the checkpoint.

use std::path::{Path, PathBuf};

use sluicebox_core::durable;
use sluicebox_core::fault::What;

use crate::error::Result;
use crate::folder::is_folder;
use crate::layout;

/// What [`contents`] saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The highest batch of a published file, with such a file.
    pub newest: Option<(u64, PathBuf)>,
    /// Files that readers see and no run published, in the order of paths.
    pub foreign: Vec<PathBuf>,
}

/// Looks at the names of all files below `location` that readers would see. A link to a folder is not followed, and
/// counts as a foreign file. A folder that is not there holds nothing.
///
/// # Errors
/// When a folder cannot be listed.
pub fn contents(location: &Path) -> Result<Contents> {
    let mut seen = Contents::default();
    walk(location, &mut seen)?;
    Ok(seen)
}

fn walk(folder: &Path, seen: &mut Contents) -> Result<()> {
    for entry in durable::list(What::Owner, folder)? {
        if layout::is_hidden(&entry.file_name().to_string_lossy()) {
            continue;
        }
        let path = entry.path();
        if is_folder(&entry)? {
            walk(&path, seen)?;
            continue;
        }
        match layout::batch_of(&path) {
            None => seen.foreign.push(path),
            Some(batch) if seen.newest.as_ref().is_none_or(|(newest, _)| batch > *newest) => {
                seen.newest = Some((batch, path));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
