//! Lists the tables below a root: `query` makes each of them a view.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use sluicebox_durable::FileError;

use crate::error::Result;
use crate::folder::is_folder;
use crate::layout;
use crate::owner;

/// The folders below the root in which a folder of Parquet files is a table, whoever wrote it. Elsewhere below the root one is a
/// table when it has an owner's mark.
pub const LAYERS: [&str; 4] = ["bronze", "silver", "gold", "tables"];

/// The layer of a table that lies directly below the root.
pub const NO_LAYER: &str = "data";

/// The folders below the root that hold, for each pipeline, a folder for each table or source that has rows there.
pub const BESIDE_LAYERS: [&str; 3] = ["quarantine", "dead_letters", "late"];

/// The folder below the root that holds, for each pipeline, the folders of [`REPORTS`].
pub const REPORT_LAYER: &str = "dq";

/// The tables of a pipeline's reports.
pub const REPORTS: [&str; 2] = ["metrics", "samples"];

/// What the folder of a batch begins with.
pub(crate) const BATCH: &str = "batch_id=";

/// A folder of Parquet files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableFolder {
    /// The folder below the root that it lies in, one of [`BESIDE_LAYERS`] or [`REPORT_LAYER`] among them; else [`NO_LAYER`].
    pub layer: String,
    /// The table's name: its folder's; further down, those of the folders on the way too, with `_` between. For reports `<pipeline>_metrics` and `<pipeline>_samples`. Of one beside the tables it is
    /// `<pipeline>_<name>` when several pipelines have one of this name.
    pub table: String,
    /// The folder; its Parquet files are at any depth below, or in folders of batches: [`TableFolder::is_beside`].
    pub path: PathBuf,
    /// Where an earlier version put rows of the same.
    pub older: Option<PathBuf>,
}

impl TableFolder {
    /// All folders that hold its rows.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        [Some(self.path.as_path()), self.older.as_deref()].into_iter().flatten()
    }

    /// Whether it stands beside the tables. Then its rows lie in folders of batches alone: in an older place, folders of another
    /// table may lie beside those.
    #[must_use]
    pub fn is_beside(&self) -> bool {
        BESIDE_LAYERS.contains(&self.layer.as_str())
    }
}

/// The tables below `root` (`data/` of a project) that hold at least one published Parquet file, in order of layer and
/// name, and those of which that cannot be told. Tables with a LOCATION elsewhere are not found. A root that is not there has
/// none. The folder of a layer that cannot be listed is left out with a warning: it keeps nobody from the others.
///
/// # Errors
/// When the root cannot be listed.
pub fn list_tables(root: &Path) -> Result<Vec<TableFolder>> {
    // One that cannot be looked into is told when it is asked for, and keeps nobody from the others.
    let mut tables: Vec<TableFolder> =
        own(root)?.into_iter().filter(|table| has_parquet(&table.path).unwrap_or(true)).collect();
    for layer in BESIDE_LAYERS {
        tables.extend(beside(root, layer));
    }
    for (pipeline, path) in of_layer(&root.join(REPORT_LAYER)) {
        for report in REPORTS {
            let path = path.join(report);
            if has_parquet(&path).unwrap_or(true) {
                let (layer, table) = (REPORT_LAYER.to_owned(), format!("{pipeline}_{report}"));
                tables.push(TableFolder { layer, table, path, older: None });
            }
        }
    }
    Ok(tables)
}

/// The tables below `root` that have an owner and no published Parquet file yet, each as layer and name.
///
/// # Errors
/// As [`list_tables`].
pub fn list_without_rows(root: &Path) -> Result<Vec<(String, String)>> {
    let empty = |table: &TableFolder| owner::is_marked(&table.path) && !has_parquet(&table.path).unwrap_or(true);
    Ok(own(root)?.into_iter().filter(empty).map(|table| (table.layer, table.table)).collect())
}

/// The folders of the tables themselves, in order of layer ([`LAYERS`] first) and name.
fn own(root: &Path) -> Result<Vec<TableFolder>> {
    let mut tables = Vec::new();
    for (layer, path) in folders(root)? {
        if BESIDE_LAYERS.contains(&layer.as_str()) || layer == REPORT_LAYER {
            continue;
        }
        if owner::is_marked(&path) {
            tables.push(TableFolder { layer: NO_LAYER.to_owned(), table: layer, path, older: None });
            continue;
        }
        for (name, path) in of_layer(&path) {
            let mut found = Vec::new();
            marked(&name, &path, &mut found);
            if found.is_empty() && LAYERS.contains(&layer.as_str()) {
                found.push((name, path));
            }
            tables.extend(found.into_iter().map(|(table, path)| {
                let layer = layer.clone();
                TableFolder { layer, table, path, older: None }
            }));
        }
    }
    let place = |layer: &str| LAYERS.iter().position(|l| *l == layer).unwrap_or(LAYERS.len());
    tables.sort_by(|a, b| (place(&a.layer), a).cmp(&(place(&b.layer), b)));
    // Where two names would be one, those from further down keep the slashes of their paths, which no other name has.
    let names: Vec<(String, String)> = tables.iter().map(|t| (t.layer.clone(), t.table.clone())).collect();
    for (table, name) in tables.iter_mut().zip(&names) {
        let path = table.path.strip_prefix(root.join(&table.layer)).map(|path| path.to_string_lossy().into_owned());
        if let Ok(path) = path
            && names.iter().filter(|other| *other == name).count() > 1
        {
            table.table = path;
        }
    }
    Ok(tables)
}

/// Collects the folders with an owner's mark, `path`, called `name`, or below it: no table lies in another.
fn marked(name: &str, path: &Path, found: &mut Vec<(String, PathBuf)>) {
    if owner::is_marked(path) {
        found.push((name.to_owned(), path.to_path_buf()));
        return;
    }
    // One that cannot be looked into keeps nobody from the others.
    for (inner, path) in folders(path).unwrap_or_default() {
        // A folder of a partition holds no tables.
        if !inner.contains('=') {
            marked(&format!("{name}_{inner}"), &path, found);
        }
    }
}

/// What lies below a layer beside the tables: `<pipeline>/<name>/batch_id=<id>`, and of earlier versions
/// `<name>/batch_id=<id>`, whose mark tells the pipeline.
fn beside(root: &Path, layer: &str) -> Vec<TableFolder> {
    let (mut newer, mut older) = (BTreeMap::new(), BTreeMap::new());
    for (outer, path) in of_layer(&root.join(layer)) {
        // One that cannot be looked into keeps nobody from the others.
        let inside = folders(&path).unwrap_or_default();
        if inside.iter().any(|(name, _)| name.starts_with(BATCH)) && has_parquet(&path).unwrap_or(true) {
            let owner = owner::read(&path).ok().flatten().map(|owner| owner.pipeline);
            older.insert((outer.clone(), owner.unwrap_or_default()), path);
        }
        for (name, path) in inside.into_iter().filter(|(name, _)| !name.starts_with(BATCH)) {
            if has_parquet(&path).unwrap_or(true) {
                newer.insert((name, outer.clone()), path);
            }
        }
    }
    let keys: BTreeSet<(String, String)> = newer.keys().chain(older.keys()).cloned().collect();
    let several = |name: &str| keys.iter().filter(|(other, _)| other == name).count() > 1;
    let mut table = |key: &(String, String)| {
        let (name, pipeline) = key;
        let table = if several(name) && !pipeline.is_empty() { format!("{pipeline}_{name}") } else { name.clone() };
        let (path, older) = match (newer.remove(key), older.remove(key)) {
            (Some(newer), older) => (newer, older),
            (None, older) => (older?, None),
        };
        Some(TableFolder { layer: layer.to_owned(), table, path, older })
    };
    let mut tables: Vec<TableFolder> = keys.iter().filter_map(&mut table).collect();
    tables.sort();
    tables
}

/// The visible folders in that of a layer; none, and a warning, when it cannot be listed.
fn of_layer(folder: &Path) -> Vec<(String, PathBuf)> {
    folders(folder).unwrap_or_else(|error| {
        tracing::warn!("{} is left out: {error}", folder.display());
        Vec::new()
    })
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
