//! Lists the files in a table's partition folders, by names, sizes and times.

use std::collections::BTreeSet;
use std::fs::DirEntry;
use std::path::Path;
use std::time::UNIX_EPOCH;

use sluicebox_durable::fault::What;
use sluicebox_durable::{self as durable, FileError};

use crate::error::Result;
use crate::folder::is_folder;
use crate::layout;

/// A published file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// The batch in the name.
    pub batch: u64,
    /// The compaction in the name.
    pub compaction: Option<u64>,
    /// The part in the name.
    pub part: u64,
    /// Its size.
    pub bytes: u64,
    /// When it was written, microseconds since 1970 UTC, by the machine's clock.
    pub written_micros: i64,
}

/// The folder of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Its path below the location, with `/` between the parts.
    pub path: String,
    /// Its files, in the order of their rows: by batch, compaction and part.
    pub parts: Vec<Part>,
    /// Something in it that this query did not write, hidden or not: the folder must stay as it is.
    pub alien: Option<String>,
}

impl Folder {
    /// When the newest file was written; none without files.
    #[must_use]
    pub fn written_micros(&self) -> Option<i64> {
        self.parts.iter().map(|part| part.written_micros).max()
    }

    /// The sizes of all files together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}

/// The folders of all partitions of the table at `location`, `columns` deep, in the order of their paths: those that hold
/// something. `query` is the id whose files are the table's. A table without partition columns has none.
///
/// # Errors
/// When a folder cannot be listed or a file not looked at.
pub fn folders(location: &Path, columns: usize, query: &str) -> Result<Vec<Folder>> {
    let mut found = Vec::new();
    if columns > 0 {
        walk(location, "", columns, &layout::query_of(query), &mut found)?;
    }
    Ok(found)
}

/// The names of all entries of `folder`; none if it is not there.
///
/// # Errors
/// When it cannot be listed.
pub fn names_in(folder: &Path) -> Result<BTreeSet<String>> {
    let entries = durable::list(What::Swap, folder)?;
    Ok(entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

fn walk(dir: &Path, path: &str, depth: usize, query: &str, found: &mut Vec<Folder>) -> Result<()> {
    for entry in durable::list(What::Swap, dir)? {
        let name = entry.file_name().to_string_lossy().into_owned();
        // Links to folders are none of ours, and hive folders have no other names.
        if layout::is_hidden(&name) || !name.contains('=') || !is_folder(&entry)? {
            continue;
        }
        let path = if path.is_empty() { name } else { format!("{path}/{name}") };
        if depth > 1 {
            walk(&entry.path(), &path, depth - 1, query, found)?;
        } else if let Some(folder) = leaf(&entry.path(), path, query)? {
            found.push(folder);
        }
    }
    Ok(())
}

fn leaf(dir: &Path, path: String, query: &str) -> Result<Option<Folder>> {
    let mut folder = Folder { path, parts: Vec::new(), alien: None };
    for entry in durable::list(What::Swap, dir)? {
        match part(&entry, query)? {
            Some(part) => folder.parts.push(part),
            None => folder.alien = Some(entry.file_name().to_string_lossy().into_owned()),
        }
    }
    folder.parts.sort_by_key(|part| (part.batch, part.compaction, part.part));
    Ok((!folder.parts.is_empty() || folder.alien.is_some()).then_some(folder))
}

fn part(entry: &DirEntry, query: &str) -> Result<Option<Part>> {
    let looked = |e| FileError::new("look at", entry.path(), e);
    let name = entry.file_name().to_string_lossy().into_owned();
    let Some(numbers) = layout::numbers_of(&name).filter(|numbers| numbers.query == query) else { return Ok(None) };
    let metadata = entry.metadata().map_err(looked)?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let written = metadata.modified().map_err(looked)?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Some(Part {
        batch: numbers.batch,
        compaction: numbers.compaction,
        part: numbers.part,
        bytes: metadata.len(),
        written_micros: i64::try_from(written.as_micros()).unwrap_or(i64::MAX),
        name,
    }))
}
