//! A full refresh: it deletes the pipeline's tables and records, and begins its next generation.
//!
//! ```text
//! nobody else lives ─> all that goes is ours ─> refresh durable ─> nobody else has come ─> records gone ─> tables cleared
//!    ─> metadata and marks of the new generation ─> refresh removed
//! ```
//!
//! If a refresh is killed after its own record is durable, the next start resumes it, whatever that start was asked for. Records are
//! deleted before tables: if somebody removes `refresh` by hand half-way, a start finds files that no record knows, or gaps in the records,
//! and stops. Obstacles are found before anything is deleted, also by a start that resumes.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use sluicebox_checkpoint::records::{Metadata, Refresh};
use sluicebox_checkpoint::{CheckpointError, RunLock};
use sluicebox_durable::fault::What;
use sluicebox_durable::{self as durable, Own};
use sluicebox_runtime::RuntimeError;
use sluicebox_runtime::outputs::{ApartError, Outputs};
use sluicebox_sinks::owner::{self, Home};
use sluicebox_sinks::parquet::compact;
use sluicebox_sinks::{LakeError, OUTBOX, Owner};

use crate::named::{self, Named};
use crate::{EvolveError, Logs, Opening};

/// The folders of the checkpoint that a refresh empties of what runs have put there. The plans go before the commits: a commit
/// without its plan is refused.
const RECORDS: [&str; 7] = ["offsets", "commits", OUTBOX, "compactions", "state", "sources", "pipelines"];

/// The name of its own record in the checkpoint.
const RECORD: &str = "refresh";

/// Whether the run has a refresh to do or to finish.
///
/// # Errors
/// When the record of one that was begun is damaged.
pub fn is_due(opening: &Opening<'_>) -> Result<bool, EvolveError> {
    Ok(opening.full_refresh || opening.checkpoint.refresh()?.is_some())
}

/// Does the refresh, or goes on with one that was killed.
///
/// # Errors
/// When another run lives, a folder or a record stands in the way, or a file cannot be removed. What stands in the way is told
/// before anything is deleted.
pub fn run(opening: &Opening<'_>, outputs: &Outputs, lock: &RunLock, logs: &Logs) -> Result<(), EvolveError> {
    let checkpoint = opening.checkpoint;
    let root = checkpoint.root();
    refuse_others(opening, lock)?;
    // Held to the end: a run of a copied checkpoint, which the locks of this one do not know, writes to no table meanwhile.
    let held = hold_all(outputs)?;
    let (record, new) = record(opening, outputs)?;
    let cleared = check_all(opening, outputs, &record, lock.epoch.epoch)?;
    // One that is damaged, or that does not name all, may be there still.
    let replaces = new && root.join(RECORD).exists();
    if replaces {
        remove_record(root)?;
    }
    if new {
        checkpoint.write_refresh(&record)?;
    }
    // A run that passed the lock with --take-over either sees the record and is refused, or is seen here.
    if let Err(error) = refuse_others(opening, lock) {
        if new && !replaces {
            remove_record(root)?;
        }
        return Err(error);
    }
    for folder in RECORDS {
        checkpoint.remove_records(What::Refresh, folder)?;
    }
    for folder in &cleared {
        owner::clear(folder, &record.queries())?;
        for query in record.queries() {
            compact::Staging::of(folder, query, lock.epoch.epoch)?.sweep()?;
        }
    }
    checkpoint.prepare()?;
    checkpoint.replace_metadata(&Metadata {
        id: record.id.clone(),
        generation: record.generation,
        pipeline: opening.pipeline.name.clone(),
        created_micros: opening.clock.now_micros(),
        plan_partitions: opening.plan_partitions,
        logs: logs.clone(),
    })?;
    let named = locations(&record);
    // One of an older place is empty now, and keeps its mark: who put it there looks for it.
    for folder in outputs.folders().into_iter().chain(outputs.older(&record.queries())) {
        // A folder that the text names only since the refresh was begun is claimed like any other, and may be another's.
        if named.contains(&folder.location) {
            sluicebox_sinks::prepare(&folder.location)?;
            owner::replace(&folder.location, &outputs.owner(&folder, &record.id, record.generation, root))?;
        }
    }
    drop(held);
    remove_record(root)
}

/// Looks at all that the refresh would delete, before it deletes anything; gives the folders of tables that it has to clear.
fn check_all(
    opening: &Opening<'_>,
    outputs: &Outputs,
    record: &Refresh,
    epoch: u64,
) -> Result<Vec<PathBuf>, EvolveError> {
    for folder in RECORDS {
        if let Some(table) = opening.checkpoint.table_in(What::Refresh, folder)? {
            let checkpoint = opening.checkpoint.root().to_owned();
            return Err(RuntimeError::from(ApartError::Holds { table, checkpoint }).into());
        }
        opening.checkpoint.check_removal(What::Refresh, folder)?;
    }
    let mut cleared = Vec::new();
    for location in locations(record) {
        match named::whose(&location, outputs, &record.id, &record.taken)? {
            Named::Ours => refuse_living(&location, record, opening.checkpoint.root())?,
            Named::Absent | Named::Empty => continue,
            Named::Strange => return Err(strange(opening, &location)),
        }
        match owner::check_clear(&location, &record.queries()) {
            // It has been given another LOCATION since the refresh was begun, maybe for this.
            Err(error @ LakeError::Nested { .. }) if !outputs.folders().iter().any(|f| f.location == location) => {
                tracing::warn!("{} is not cleared, since no output is there any more: {error}", location.display());
                continue;
            }
            checked => checked?,
        }
        for query in record.queries() {
            compact::Staging::of(&location, query, epoch)?.removable()?;
        }
        cleared.push(location);
    }
    Ok(cleared)
}

fn locations(record: &Refresh) -> BTreeSet<PathBuf> {
    record.locations.iter().map(PathBuf::from).collect()
}

fn strange(opening: &Opening<'_>, location: &Path) -> EvolveError {
    let why = format!("it names {}, which has no mark of this pipeline", location.display());
    damaged(opening, &why).into()
}

fn damaged(opening: &Opening<'_>, why: &str) -> CheckpointError {
    let why = format!("{why}. If nobody asked for a full refresh, remove the file");
    CheckpointError::Damaged { path: opening.checkpoint.root().join(RECORD), why }
}

/// Stops a refresh beside another run, or one that a later run has passed.
fn refuse_others(opening: &Opening<'_>, lock: &RunLock) -> Result<(), EvolveError> {
    let own = lock.epoch.epoch;
    let living = opening.checkpoint.living_epochs(own)?;
    if !living.is_empty() || !lock.exclusive() {
        return Err(EvolveError::RefreshBesideRun { epochs: living });
    }
    Ok(opening.checkpoint.refuse_later_epochs(own)?)
}

fn hold_all(outputs: &Outputs) -> Result<Vec<File>, EvolveError> {
    let mut held = Vec::new();
    for folder in outputs.folders() {
        held.extend(owner::hold(&folder.location)?);
    }
    Ok(held)
}

/// The record of the refresh that was begun, or that of a new one, which is still to be written; and whether it is new.
///
/// Whoever asks for a full refresh gives up what the checkpoint says: a damaged record or damaged metadata do not keep it
/// from starting, they count as lost.
fn record(opening: &Opening<'_>, outputs: &Outputs) -> Result<(Refresh, bool), EvolveError> {
    let checkpoint = opening.checkpoint;
    let old = match checkpoint.metadata() {
        Err(CheckpointError::Damaged { .. }) => None,
        other => other?,
    };
    let name = &opening.pipeline.name;
    if let Some(other) = old.as_ref().filter(|m| m.pipeline != *name) {
        return Err(CheckpointError::OtherPipeline {
            checkpoint: checkpoint.root().display().to_string(),
            pinned: other.pipeline.clone(),
            found: name.clone(),
        }
        .into());
    }
    let begun = match begun(opening, outputs, old.as_ref()) {
        Err(EvolveError::Checkpoint(CheckpointError::Damaged { .. })) if opening.full_refresh => None,
        begun => begun?,
    };
    let mut record = match (begun, old) {
        (Some(begun), old) => {
            let Some(error) = missed(&begun, outputs, checkpoint.root())? else { return Ok((begun, false)) };
            if !opening.full_refresh {
                return Err(error.into());
            }
            // What it was to delete is deleted too, whatever the text names now.
            let next = old.map_or(1, |metadata| metadata.generation.saturating_add(1));
            Refresh { generation: begun.generation.max(next), ..begun }
        }
        (None, Some(Metadata { id, generation, .. })) => first(id, generation.saturating_add(1)),
        (None, None) => match of_marks(opening, outputs)? {
            Some((id, generation)) => first(id, generation.saturating_add(1)),
            None => first(uuid::Uuid::new_v4().to_string(), 1),
        },
    };
    record.taken.extend(refuse_foreign(outputs, &record.id, checkpoint.root(), opening.take_tables)?);
    let named = outputs.folders().into_iter().chain(outputs.older(&record.queries()));
    record.locations.extend(named.map(|folder| folder.location.display().to_string()));
    Ok((record, true))
}

/// A record that names no folders yet.
fn first(id: String, generation: u64) -> Refresh {
    Refresh { id, generation, locations: Vec::new(), taken: Vec::new() }
}

/// The query and the newest generation that the marks of the tables name, for a checkpoint that is there and has lost its
/// metadata. Only when all name one query of this very checkpoint.
fn of_marks(opening: &Opening<'_>, outputs: &Outputs) -> Result<Option<(String, u64)>, EvolveError> {
    let root = opening.checkpoint.root();
    let seen = opening.checkpoint.observe()?;
    if !seen.metadata && seen.offsets.is_none() && seen.commit.is_none() && !root.join(RECORD).exists() {
        return Ok(None);
    }
    let mut found: Option<(String, u64)> = None;
    for folder in outputs.folders() {
        let Some(owner) = owner::read(&folder.location)? else { continue };
        let here = owner.checkpoint == root.display().to_string() && named::is_here(&owner);
        let before = found.take().unwrap_or_else(|| (owner.query_id.clone(), 0));
        if !here || owner.pipeline != outputs.pipeline() || owner.query_id != before.0 {
            return Ok(None);
        }
        found = Some((before.0, before.1.max(owner.generation)));
    }
    Ok(found)
}

/// The record of the refresh that was begun, if one was. Somebody may have changed it, or put another's there.
fn begun(
    opening: &Opening<'_>,
    outputs: &Outputs,
    metadata: Option<&Metadata>,
) -> Result<Option<Refresh>, EvolveError> {
    let Some(record) = opening.checkpoint.refresh()? else { return Ok(None) };
    if let Some(Metadata { id, generation, .. }) = metadata {
        if record.id != *id {
            return Err(
                damaged(opening, &format!("it is of the query {}, and the checkpoint of {id}", record.id)).into()
            );
        }
        // The metadata are replaced half-way.
        if ![*generation, generation.saturating_add(1)].contains(&record.generation) {
            let begins = record.generation;
            let why = format!("it begins generation {begins}, and the checkpoint is of generation {generation}");
            return Err(damaged(opening, &why).into());
        }
    }
    for location in locations(&record) {
        if named::whose(&location, outputs, &record.id, &record.taken)? == Named::Strange {
            return Err(strange(opening, &location));
        }
    }
    Ok(Some(record))
}

/// Why the tables would not agree after the refresh of `record`: the text names a folder now of which it knows nothing, and
/// which an earlier generation has written.
fn missed(record: &Refresh, outputs: &Outputs, root: &Path) -> Result<Option<LakeError>, EvolveError> {
    let named = locations(record);
    for folder in outputs.folders().into_iter().filter(|folder| !named.contains(&folder.location)) {
        let Some(found) = owner::read(&folder.location)? else { continue };
        if found.query_id == record.id && found.generation != record.generation {
            let wanted = Box::new(outputs.owner(&folder, &record.id, record.generation, root));
            let (location, found) = (folder.location, Box::new(found));
            return Ok(Some(LakeError::OtherGeneration { location, found, wanted }));
        }
    }
    Ok(None)
}

fn remove_record(root: &Path) -> Result<(), EvolveError> {
    Own::given(root).remove(What::Refresh, RECORD)?;
    Ok(durable::sync_dir(What::Refresh, root)?)
}

/// A refresh deletes only what is this query's: folders without an owner must be empty, and what is of another query of this
/// pipeline's name is left to it while its checkpoint lives. One that was lost leaves tables under its id: with `take` they are
/// deleted too. Gives the ids of such queries.
///
/// # Errors
/// When a folder is another's.
pub fn refuse_foreign(
    outputs: &Outputs,
    query_id: &str,
    root: &Path,
    take: bool,
) -> Result<BTreeSet<String>, EvolveError> {
    let mut taken = BTreeSet::new();
    for folder in outputs.folders() {
        match owner::read(&folder.location)? {
            Some(owner) if owner.query_id == query_id => {}
            Some(owner) if owner.pipeline == outputs.pipeline() => {
                owner::decide_foreign(&folder.location, &owner, named::home(&owner, root), take)?;
                taken.insert(owner.query_id);
            }
            Some(_) => {
                let home = |owner: &Owner| named::home(owner, root);
                owner::check_unowned(&folder.location, outputs.pipeline(), home)?;
            }
            None => owner::check_unmarked(&folder.location)?,
        }
    }
    // In an older place another's may lie: nothing is written there.
    for (_, owner) in outputs.older_marked().into_iter().filter(|(_, owner)| take && owner.query_id != query_id) {
        if matches!(named::home(&owner, root), Home::Lost | Home::Elsewhere) {
            taken.insert(owner.query_id);
        }
    }
    Ok(taken)
}

/// Stops before the folder of a query is cleared that the refresh has taken for lost, and that lives.
fn refuse_living(location: &Path, record: &Refresh, root: &Path) -> Result<(), EvolveError> {
    match owner::read(location)?.filter(|owner| record.taken.contains(&owner.query_id)) {
        Some(owner) => Ok(owner::decide_foreign(location, &owner, named::home(&owner, root), true)?),
        None => Ok(()),
    }
}
