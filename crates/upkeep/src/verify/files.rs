//! Compares table files with the commits that name them, and the folders' marks with the metadata.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sluicebox_checkpoint::Checkpoint;
use sluicebox_checkpoint::records::{Commit, Metadata};
use sluicebox_core::OutputId;
use sluicebox_durable::FileError;
use sluicebox_sinks::owner;
use sluicebox_sinks::parquet::inspect::{FileName, FoundFile, inspect, rows_in};

use super::Verdict;
use super::found::{Found, differs};
use super::records::Records;
use crate::UpkeepError;

/// Checks the files that commits name, then every folder for files that none does.
pub(super) fn check(
    checkpoint: &Checkpoint,
    metadata: &Metadata,
    records: &Records,
    verdict: &mut Verdict,
) -> Result<Found, UpkeepError> {
    let mut found = Found::default();
    for commit in records.commits.values() {
        check_named(commit, records, &mut found, verdict);
    }
    records.compactions.check(|batch| records.has(batch), &mut found, verdict);
    let folders = folders(checkpoint, metadata, records, verdict)?;
    for (location, output) in &folders {
        check_mark(location, metadata, verdict);
        check_folder(location, output, metadata, records, &mut found, verdict)?;
    }
    Ok(found)
}

fn check_named(commit: &Commit, records: &Records, found: &mut Found, verdict: &mut Verdict) {
    let newest = commit.batch_id == records.newest;
    let mut waits = 0;
    for output in commit.files() {
        for file in output.files {
            let location = Path::new(output.location);
            let target = location.join(&file.target);
            if records.compactions.replaced(output.location, &file.target, commit.batch_id) {
                *found.rows.entry((output.output.clone(), commit.batch_id)).or_default() += file.rows;
                if target.exists() {
                    let path = target.display();
                    verdict.problems.push(format!(
                        "{path} is there, and so are its rows in a compacted file, or they were retired"
                    ));
                }
                continue;
            }
            let staged = newest && !target.exists() && location.join(&file.staged).exists();
            waits += u64::from(staged);
            let path = if staged { location.join(&file.staged) } else { target };
            verdict.files += 1;
            verdict.rows += file.rows;
            verdict.bytes += file.bytes;
            *found.rows.entry((output.output.clone(), commit.batch_id)).or_default() += file.rows;
            if let Some(problem) = differs(&path, file.bytes, &file.checksum) {
                verdict.problems.push(format!("batch {}, {}: {problem}", commit.batch_id, output.output));
            }
        }
    }
    for (output, rows) in commit.rows() {
        verdict.rows += rows.rows;
        *found.rows.entry((output.clone(), commit.batch_id)).or_default() += rows.rows;
        found.outputs.insert(output.clone());
    }
    if waits > 0 {
        verdict.notes.push(format!(
            "batch {} is committed and {waits} of its files not published: the next run publishes them",
            commit.batch_id
        ));
    }
}

/// The folders that commits name, and those around the reports that have this query's mark.
fn folders(
    checkpoint: &Checkpoint,
    metadata: &Metadata,
    records: &Records,
    verdict: &mut Verdict,
) -> Result<BTreeMap<PathBuf, OutputId>, UpkeepError> {
    let mut folders = BTreeMap::new();
    let outputs = || records.commits.values().flat_map(Commit::files);
    for output in outputs() {
        folders.insert(PathBuf::from(output.location), output.output.clone());
    }
    // Reports lie in <data>/dq/<pipeline>/metrics.
    let reports = outputs().find(|o| *o.output == OutputId::Reports).map(|o| PathBuf::from(o.location));
    match reports.as_deref().and_then(|r| r.ancestors().nth(3)) {
        Some(data) => marked(data, metadata, &mut folders, 0)?,
        None => verdict.unproved.push(format!(
            "folders that the last batches of {} did not write to: no commit names the reports",
            checkpoint.root().display()
        )),
    }
    Ok(folders)
}

/// Adds the folders below `folder` whose mark names this query.
fn marked(
    folder: &Path,
    metadata: &Metadata,
    folders: &mut BTreeMap<PathBuf, OutputId>,
    depth: usize,
) -> Result<(), UpkeepError> {
    if let Ok(Some(found)) = owner::read(folder)
        && found.query_id == metadata.id
    {
        let output = OutputId::of_mark(&found.table);
        // In a folder of an older place the newer ones may lie.
        let beside = output.is_beside();
        folders.entry(folder.to_owned()).or_insert(output);
        if !beside {
            return Ok(());
        }
    }
    if depth > 8 {
        return Ok(());
    }
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(FileError::new("list", folder, e).into()),
    };
    for entry in entries {
        let path = entry.map_err(|e| FileError::new("list", folder, e))?.path();
        // Names with `=` are partitions of somebody's table.
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() && !name.starts_with(['.', '_']) && !name.contains('=') {
            marked(&path, metadata, folders, depth + 1)?;
        }
    }
    Ok(())
}

fn check_mark(location: &Path, metadata: &Metadata, verdict: &mut Verdict) {
    let wanted = format!("query {}, generation {}", metadata.id, metadata.generation);
    match owner::read(location) {
        Ok(Some(found)) if found.query_id == metadata.id && found.generation == metadata.generation => {}
        Ok(Some(found)) => {
            verdict.problems.push(format!("{} belongs to {found}, the checkpoint to {wanted}", location.display()));
        }
        Ok(None) => verdict.problems.push(format!("{} has no owner's mark; it must name {wanted}", location.display())),
        Err(e) => verdict.problems.push(e.to_string()),
    }
}

fn check_folder(
    location: &Path,
    output: &OutputId,
    metadata: &Metadata,
    records: &Records,
    found: &mut Found,
    verdict: &mut Verdict,
) -> Result<(), UpkeepError> {
    found.outputs.insert(output.clone());
    let inspection = inspect(location)?;
    let named = named(location, records);
    let compacted = records.compactions.named(location);
    let query: String = metadata.id.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    for nested in inspection.nested {
        verdict.problems.push(format!("{} lies in {}, which is another table's", nested.display(), location.display()));
    }
    for file in &inspection.files {
        if named.contains(file.path.as_str()) || compacted.contains(&file.path) {
            continue;
        }
        let path = location.join(&file.path);
        match older(file, &query, records) {
            Ok(batch) => {
                verdict.older_files += 1;
                count_older(&path, output, batch, file, found, verdict);
            }
            Err(why) => verdict.problems.push(format!("{}: {why}", path.display())),
        }
    }
    let staged = inspection.staged.iter().filter(|path| !named.contains(path.as_str())).count();
    if staged > 0 {
        verdict.notes.push(format!(
            "{staged} staged files in {} that no commit names: of a batch that was not committed, swept later",
            location.display()
        ));
    }
    Ok(())
}

/// The final and staged paths in `location` that commits name.
fn named<'r>(location: &Path, records: &'r Records) -> BTreeSet<&'r str> {
    let outputs = records.commits.values().flat_map(Commit::files);
    let here = outputs.filter(|output| Path::new(output.location) == location);
    here.flat_map(|output| output.files).flat_map(|file| [file.target.as_str(), file.staged.as_str()]).collect()
}

/// The batch of a file that no commit names, if its commit may have been removed; else why it should not be there.
fn older(file: &FoundFile, query: &str, records: &Records) -> Result<u64, String> {
    let batch = match &file.name {
        FileName::Part { batch, query: theirs } if theirs == query => *batch,
        FileName::Part { query: theirs, .. } => return Err(format!("it is of another query, `{theirs}`")),
        FileName::Compacted { number, .. } => {
            return Err(format!("it says that it is of compaction {number}, which does not name it"));
        }
        FileName::OfBatch { batch } => *batch,
        FileName::Foreign => {
            return Err("no pipeline writes a file of this name: somebody else put it there".to_owned());
        }
    };
    if batch > records.newest {
        return Err(format!("it is of batch {batch}, and the newest committed is {}", records.newest));
    }
    if records.has(batch) {
        return Err(format!("it says that it is of batch {batch}, whose commit does not name it"));
    }
    Ok(batch)
}

fn count_older(path: &Path, output: &OutputId, batch: u64, file: &FoundFile, found: &mut Found, verdict: &mut Verdict) {
    if file.name == (FileName::OfBatch { batch }) {
        found.reports.insert(batch, path.to_owned());
        return;
    }
    match rows_in(path) {
        // A footer may count what nobody wrote.
        Ok(rows) => {
            let all = found.rows.entry((output.clone(), batch)).or_default();
            *all = all.saturating_add(rows);
        }
        Err(e) => verdict.problems.push(e.to_string()),
    }
}
