//! What tables there are below a root: for `query`, which makes each a view.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use sluicebox_core::durable::FileError;

use crate::error::Result;
use crate::folder::is_folder;
use crate::layout;

/// The folders below the root that hold a folder a table.
pub const LAYERS: [&str; 7] = ["bronze", "silver", "gold", "tables", "quarantine", "dead_letters", "late"];

/// The folder below the root that holds, for each pipeline, the folders of [`REPORTS`].
pub const REPORT_LAYER: &str = "dq";

/// The tables of a pipeline's reports.
pub const REPORTS: [&str; 2] = ["metrics", "samples"];

/// A folder of Parquet files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableFolder {
    /// One of [`LAYERS`], or [`REPORT_LAYER`].
    pub layer: String,
    /// The table's name; for reports `<pipeline>_metrics` and `<pipeline>_samples`.
    pub table: String,
    /// The folder; its Parquet files are at any depth below.
    pub path: PathBuf,
}

/// The tables below `root` (`data/` of a project) that hold at least one published Parquet file, in order of layer and
/// name, and those of which that cannot be told. Tables with a LOCATION elsewhere are not found. A root that is not there has
/// none.
///
/// # Errors
/// When the folder of a layer cannot be listed.
pub fn list_tables(root: &Path) -> Result<Vec<TableFolder>> {
    let mut tables = Vec::new();
    for layer in LAYERS {
        for (table, path) in folders(&root.join(layer))? {
            tables.push(TableFolder { layer: layer.to_owned(), table, path });
        }
    }
    for (pipeline, path) in folders(&root.join(REPORT_LAYER))? {
        for report in REPORTS {
            let path = path.join(report);
            tables.push(TableFolder { layer: REPORT_LAYER.to_owned(), table: format!("{pipeline}_{report}"), path });
        }
    }
    let mut found = Vec::with_capacity(tables.len());
    for table in tables {
        // One that cannot be looked into is told when it is asked for, and keeps nobody from the others.
        if has_parquet(&table.path).unwrap_or(true) {
            found.push(table);
        }
    }
    Ok(found)
}

/// The visible folders in `folder`, by name.
fn folders(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in list(folder)? {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !layout::is_hidden(&name) && entry.path().is_dir() {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}

/// The entries of a folder by name; none if it is not there. A look from outside: no effect of a run.
fn list(folder: &Path) -> Result<Vec<DirEntry>, FileError> {
    let listed = |e| FileError::new("list", folder, e);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(listed(e)),
    };
    let mut entries = entries.collect::<io::Result<Vec<_>>>().map_err(listed)?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

fn has_parquet(folder: &Path) -> Result<bool> {
    for entry in list(folder)? {
        let name = entry.file_name();
        if layout::is_hidden(&name.to_string_lossy()) {
            continue;
        }
        let path = entry.path();
        if is_folder(&entry)? {
            if has_parquet(&path)? {
                return Ok(true);
            }
        } else if path.extension().is_some_and(|e| e == "parquet") {
            return Ok(true);
        }
    }
    Ok(false)
}
