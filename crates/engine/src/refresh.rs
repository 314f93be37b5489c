//! A full refresh: the pipeline's tables and records are deleted, and its next generation begins.
//!
//! ```text
//! nobody else lives ─> refresh durable ─> nobody else has come ─> records gone ─> tables cleared
//!    ─> metadata and marks of the new generation ─> refresh removed
//! ```
//!
//! Killed anywhere after its own record is durable, the next start goes on with it, whatever it was asked for. The records
//! go before the tables: should somebody remove `refresh` by hand half-way, a start finds files that no record knows, or
//! records with gaps, and stops.

use std::fs::File;
use std::path::Path;

use sluicebox_core::durable::{self, Own};
use sluicebox_core::fault::What;
use sluicebox_lake::{compact, owner};

use crate::EngineError;
use crate::checkpoint::records::{Metadata, Refresh};
use crate::checkpoint::{CheckpointError, RunLock};
use crate::config::Config;
use crate::engine::Logs;
use crate::outputs::Outputs;

/// The folders of the checkpoint that a refresh empties. The plans go before the commits: a commit without its plan is
/// refused.
const RECORDS: [&str; 6] = ["offsets", "commits", "compactions", "state", "sources", "pipelines"];

/// Whether the run has a refresh to do or to finish.
pub(crate) fn is_due(config: &Config) -> Result<bool, EngineError> {
    Ok(config.full_refresh || config.checkpoint.refresh()?.is_some())
}

/// Does the refresh, or goes on with one that was killed.
pub(crate) fn run(config: &Config, outputs: &Outputs, lock: &RunLock, logs: &Logs) -> Result<(), EngineError> {
    let checkpoint = &config.checkpoint;
    let root = checkpoint.root();
    refuse_others(config, lock)?;
    // Held to the end: a run of a copied checkpoint, which the locks of this one do not know, writes to no table meanwhile.
    let held = hold_all(outputs)?;
    let (record, new) = record(config, outputs)?;
    // A run that passed the lock with --take-over either sees the record and is refused, or is seen here.
    if let Err(error) = refuse_others(config, lock) {
        if new {
            remove_record(root)?;
        }
        return Err(error);
    }
    for folder in RECORDS {
        Own::given(root).remove_tree(What::Refresh, folder)?;
        durable::sync_dir(What::Refresh, root)?;
    }
    for folder in &record.locations {
        owner::clear(Path::new(folder))?;
        compact::Staging::of(Path::new(folder), &record.id, lock.epoch.epoch)?.sweep()?;
    }
    checkpoint.prepare()?;
    checkpoint.replace_metadata(&Metadata {
        id: record.id.clone(),
        generation: record.generation,
        pipeline: config.graph.pipeline.name.clone(),
        created_micros: config.clock.now_micros(),
        plan_partitions: 1,
        logs: logs.clone(),
    })?;
    // One of an older place is empty now, and keeps its mark: who put it there looks for it.
    for folder in outputs.folders().into_iter().chain(outputs.older()) {
        // A folder that the text names only since the refresh was begun is claimed like any other, and may be another's.
        if record.locations.contains(&folder.location.display().to_string()) {
            sluicebox_lake::prepare(&folder.location)?;
            owner::replace(&folder.location, &outputs.owner(&folder, &record.id, record.generation, root))?;
        }
    }
    drop(held);
    remove_record(root)
}

/// Stops a refresh beside another run, or one that a later run has passed.
fn refuse_others(config: &Config, lock: &RunLock) -> Result<(), EngineError> {
    let own = lock.epoch.epoch;
    let living = config.checkpoint.living_epochs(own)?;
    if !living.is_empty() || !lock.exclusive() {
        return Err(EngineError::RefreshBesideRun { epochs: living });
    }
    Ok(config.checkpoint.refuse_later_epochs(own)?)
}

fn hold_all(outputs: &Outputs) -> Result<Vec<File>, EngineError> {
    let mut held = Vec::new();
    for folder in outputs.folders() {
        held.extend(owner::hold(&folder.location)?);
    }
    Ok(held)
}

/// The record of the refresh that was begun, or a new one, durable; and whether it is new.
///
/// Whoever asks for a full refresh gives up what the checkpoint says: a damaged record or damaged metadata do not keep it
/// from starting, they count as lost.
fn record(config: &Config, outputs: &Outputs) -> Result<(Refresh, bool), EngineError> {
    let checkpoint = &config.checkpoint;
    match checkpoint.refresh() {
        Ok(Some(record)) => return Ok((record, false)),
        Ok(None) => {}
        Err(CheckpointError::Damaged { .. }) if config.full_refresh => remove_record(checkpoint.root())?,
        Err(error) => return Err(error.into()),
    }
    let old = match checkpoint.metadata() {
        Err(CheckpointError::Damaged { .. }) => None,
        other => other?,
    };
    let name = &config.graph.pipeline.name;
    if let Some(other) = old.as_ref().filter(|m| m.pipeline != *name) {
        return Err(EngineError::OtherPipeline {
            checkpoint: checkpoint.root().display().to_string(),
            pinned: other.pipeline.clone(),
            found: name.clone(),
        });
    }
    let record = Refresh {
        id: old.as_ref().map_or_else(|| uuid::Uuid::new_v4().to_string(), |m| m.id.clone()),
        generation: old.map_or(1, |m| m.generation + 1),
        locations: outputs.folders().iter().chain(&outputs.older()).map(|f| f.location.display().to_string()).collect(),
    };
    refuse_foreign(outputs, &record.id)?;
    checkpoint.write_refresh(&record)?;
    Ok((record, true))
}

fn remove_record(root: &Path) -> Result<(), EngineError> {
    Own::given(root).remove(What::Refresh, "refresh")?;
    Ok(durable::sync_dir(What::Refresh, root)?)
}

/// A refresh deletes only what is this pipeline's, by query or by name: folders without an owner must be empty.
pub(crate) fn refuse_foreign(outputs: &Outputs, query_id: &str) -> Result<(), EngineError> {
    for folder in outputs.folders() {
        match owner::read(&folder.location)? {
            // A checkpoint that was lost leaves tables of this pipeline under another query's id.
            Some(owner) if owner.query_id == query_id || owner.pipeline == outputs.pipeline() => {}
            Some(_) => owner::check_unowned(&folder.location, outputs.pipeline())?,
            None => owner::check_unmarked(&folder.location)?,
        }
    }
    Ok(())
}
