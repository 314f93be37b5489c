//! Lists the files in a table's folder and parses their names, for `verify`.
//!
//! It changes nothing and judges nothing: checkpoints say what should be there.

use std::io;
use std::path::{Path, PathBuf};

use parquet::file::reader::{FileReader, SerializedFileReader};
use sluicebox_durable::fault::What;
use sluicebox_durable::{self as durable, FileError, open_regular};

use crate::error::Result;
use crate::layout;
use crate::owner::{is_marked, may_hold_others};

/// What lies in a table's folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The files that readers see, in the order of their paths.
    pub files: Vec<FoundFile>,
    /// Staged files, relative to the folder, in order.
    pub staged: Vec<String>,
    /// Folders inside that have an owner's mark of their own and may not, absolute.
    pub nested: Vec<PathBuf>,
}

/// A file that readers see.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FoundFile {
    /// Relative to the folder, with `/` between the parts.
    pub path: String,
    /// What its name says.
    pub name: FileName,
}

/// What a file's name says of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileName {
    /// A part of a batch, as [`layout::file_name`] makes them.
    Part {
        /// The batch.
        batch: u64,
        /// The first letters of the query's id.
        query: String,
    },
    /// A part of a compaction, as [`layout::compacted_name`] makes them.
    Compacted {
        /// The compaction.
        number: u64,
        /// The first letters of the query's id.
        query: String,
    },
    /// A file of a batch's own folder, such as a report.
    OfBatch {
        /// The batch.
        batch: u64,
    },
    /// None that a pipeline writes.
    Foreign,
}

/// Lists the folder. One that is not there is empty.
///
/// # Errors
/// When a folder in it cannot be listed.
pub fn inspect(location: &Path) -> Result<Inspection> {
    let mut found = Inspection::default();
    walk(location, location, &mut found)?;
    staged(location, &location.join(layout::STAGING), &mut found.staged)?;
    found.files.sort();
    found.staged.sort();
    Ok(found)
}

/// How many rows a Parquet file says that it has.
///
/// # Errors
/// When it cannot be read or is no Parquet file.
pub fn rows_in(path: &Path) -> Result<u64> {
    let open = || {
        let reader = SerializedFileReader::new(open_regular(path)?).map_err(io::Error::other)?;
        u64::try_from(reader.metadata().file_metadata().num_rows()).map_err(io::Error::other)
    };
    Ok(open().map_err(|e| FileError::new("read the footer of", path, e))?)
}

fn relative(location: &Path, path: &Path) -> String {
    path.strip_prefix(location).unwrap_or(path).to_string_lossy().into_owned()
}

fn walk(location: &Path, folder: &Path, found: &mut Inspection) -> Result<()> {
    for entry in durable::list(What::Owner, folder)? {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if layout::is_hidden(&name) {
            continue;
        }
        let is_folder = entry.file_type().map_err(|e| FileError::new("look at", &path, e))?.is_dir();
        if is_folder && is_marked(&path) {
            if !may_hold_others(location) {
                found.nested.push(path);
            }
        } else if is_folder {
            walk(location, &path, found)?;
        } else {
            let path = relative(location, &path);
            found.files.push(FoundFile { name: name_of(&path), path });
        }
    }
    Ok(())
}

fn staged(location: &Path, folder: &Path, files: &mut Vec<String>) -> Result<()> {
    for entry in durable::list(What::Owner, folder)? {
        let path = entry.path();
        if path.is_dir() {
            staged(location, &path, files)?;
        } else {
            files.push(relative(location, &path));
        }
    }
    Ok(())
}

/// What the path of a file says.
#[must_use]
pub fn name_of(path: &str) -> FileName {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    if let Some(part) = layout::numbers_of(name).filter(|part| !part.query.is_empty()) {
        let query = part.query.to_owned();
        return match part.compaction {
            Some(number) => FileName::Compacted { number, query },
            None => FileName::Part { batch: part.batch, query },
        };
    }
    match folder.strip_prefix("batch_id=").and_then(|batch| batch.parse().ok()) {
        Some(batch) if name == "report.json" => FileName::OfBatch { batch },
        _ => FileName::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_made() {
        let name = layout::file_name(42, 1, "0f-3a9c1e22-77", "parquet");
        let part = FileName::Part { batch: 42, query: "0f3a9c1e".to_owned() };
        assert_eq!(name_of(&name), part);
        assert_eq!(name_of(&format!("day=2026-01-01/{name}")), part);
        let compacted = layout::compacted_name(42, 7, 1, "0f-3a9c1e22-77");
        assert_eq!(name_of(&compacted), FileName::Compacted { number: 7, query: "0f3a9c1e".to_owned() });
        assert_eq!(name_of("batch_id=7/report.json"), FileName::OfBatch { batch: 7 });
        for foreign in
            ["x.parquet", "000000042-001-.parquet", "42-001-ab.parquet", "000000042-001-ab.json", "report.json"]
        {
            assert_eq!(name_of(foreign), FileName::Foreign, "{foreign}");
        }
    }
}
