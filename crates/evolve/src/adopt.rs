//! Adopts a pipeline: makes it durable before the run's first batch, and keeps what is still valid of the newest commit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sluicebox_checkpoint::records::{Commit, Metadata, OutputFiles, Position, SourceStart};
use sluicebox_checkpoint::{Checkpoint, PipelineRecord, RunLock};
use sluicebox_core::{OutputId, PartitionId, Scope};
use sluicebox_runtime::outputs::{OutputFolder, Outputs};
use sluicebox_sinks::{Check, Publisher, StagedFile, owner};
use sluicebox_sources::{LogIdentity, Source};

use crate::named::{self, Named};
use crate::observe::fill_ends;
use crate::{Adoption, Decision, EvolveError, Logs, Opening, Stage};

/// The pipeline of a run.
#[derive(Debug)]
pub struct Adopted {
    /// Its number: commits name it.
    pub number: u64,
    /// The tables that commits name as not filled yet.
    pub pending: BTreeSet<String>,
    /// The operators of tables that have just been filled, with the watermark that their state stands at: that of the
    /// living pipeline may be further, and what lies between is still to be closed.
    pub filled: BTreeMap<String, Option<i64>>,
}

/// Says which rows are not in the files of `tables`, from which others are filled.
///
/// # Errors
/// When the records of what was retired cannot be read.
pub fn warn_of_retired(checkpoint: &Checkpoint, tables: &[&str]) -> Result<(), EvolveError> {
    for (table, gone) in crate::retired(checkpoint)?.iter().filter(|(table, _)| tables.contains(&table.as_str())) {
        tracing::warn!(
            "what is filled from the files of {table} lacks what {table} has retired: {gone}. --backfill=TABLE=topic fills it with \
             all that its topic has"
        );
    }
    Ok(())
}

/// Publishes `commit`, the newest one of the query `query_id`, again; what a refresh that was begun deletes is left out, and
/// what a compaction has put into other files since it was published. Files alone: rows of transactional sinks follow when the
/// run has opened these.
///
/// # Errors
/// When a record is damaged, names a folder that is not the pipeline's, or a file is lost or another is in its way.
pub fn publish(checkpoint: &Checkpoint, outputs: &Outputs, query_id: &str, commit: &Commit) -> Result<(), EvolveError> {
    let record = format!("commits/{}", commit.batch_id);
    for output in commit.files() {
        named::refuse_strange(checkpoint, &record, Path::new(output.location), outputs, query_id)?;
    }
    let newest = checkpoint.newest_pipeline()?.filter(|r| r.number > commit.pipeline);
    let is_cleared = |id: &OutputId| newest.as_ref().is_some_and(|record| record.cleared(id));
    let replaced = checkpoint.replaced_of_newest(commit.batch_id)?;
    let left = |output: OutputFiles<'_>| -> Vec<StagedFile> {
        let folder = |target: &str| target.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let is_left = |file: &&StagedFile| !replaced.contains(&(output.location.to_owned(), folder(&file.target)));
        output.files.iter().filter(is_left).cloned().collect()
    };
    let files: Vec<(&Path, Vec<StagedFile>)> =
        commit.files().filter(|o| !is_cleared(o.output)).map(|o| (Path::new(o.location), left(o))).collect();
    let manifest: Vec<(&Path, &[StagedFile])> =
        files.iter().map(|(location, files)| (*location, files.as_slice())).collect();
    Ok(Publisher::default().publish(&manifest, Check::Content)?)
}

/// Makes the run's pipeline the one in force, durably, and takes out of `last` what does not go on under it. The newest
/// commit must have been published.
///
/// # Errors
/// When another run was faster, or lives beside rows that are to be deleted; a folder is another's; or a record cannot be read or
/// made durable.
pub fn adopt(
    opening: &Opening<'_>,
    outputs: &Outputs,
    lock: &RunLock,
    metadata: &Metadata,
    logs: &Logs,
    last: &mut Option<Commit>,
) -> Result<Adopted, EvolveError> {
    let (checkpoint, planned) = (opening.checkpoint, opening.change);
    let decision = match planned.decision {
        // A run that was faster between the look and the lock has begun what this one takes for not begun.
        Decision::First if checkpoint.newest_pipeline()?.is_some() => return Err(EvolveError::Moved),
        Decision::First => Decision::Adopt(1, Adoption::default()),
        _ => {
            // Another run may have been faster between the look and the lock.
            let text = &opening.pipeline.resolved;
            let now = crate::prepare(checkpoint, planned.shape.clone(), text, planned.request.clone())?;
            if (&now.decision, &now.stage) != (&planned.decision, &planned.stage) {
                return Err(EvolveError::Moved);
            }
            now.decision
        }
    };
    let record = match decision {
        Decision::Keep(number) => checkpoint.pipeline(number)?,
        Decision::First => return Err(EvolveError::Bug("a pipeline that is adopted has a number".to_owned())),
        Decision::Adopt(number, adoption) => {
            let record = record(opening, outputs, lock, metadata, logs, number, adoption);
            if !record.clears.is_empty() {
                refuse_beside(opening, lock)?;
                claim_cleared(outputs, metadata, opening, &record)?;
            }
            checkpoint.write_pipeline(&record)?;
            record
        }
    };
    let committed = last.as_ref().map_or(0, |c| c.pipeline);
    if record.number > committed && !record.clears.is_empty() {
        refuse_beside(opening, lock)?;
        clear(checkpoint, outputs, &metadata.id, &record)?;
    }
    let mut filled = BTreeMap::new();
    if let Some(last) = last {
        if record.number > committed {
            last.state.retain(|id, _| !record.forgets.contains(id));
            last.watermarks.retain(|id, _| !record.forgets.contains(id));
            // What was deleted counts no more.
            if let Some(totals) = &mut last.totals {
                totals.tables.retain(|table, _| !record.clears.contains_key(table));
            }
        }
        if planned.stage == Stage::Live {
            filled = filled_at(last, &record);
            settle(last);
        }
    }
    let pending = match planned.stage {
        Stage::Live => BTreeSet::new(),
        Stage::Finish { .. } if record.number > committed => record.backfills,
        Stage::Finish { .. } => last.as_ref().map(|c| c.pending.clone()).unwrap_or_default(),
        Stage::Fill { ref tables, .. } => tables.clone(),
    };
    Ok(Adopted { number: record.number, pending, filled })
}

fn record(
    opening: &Opening<'_>,
    outputs: &Outputs,
    lock: &RunLock,
    metadata: &Metadata,
    logs: &Logs,
    number: u64,
    adoption: Adoption,
) -> PipelineRecord {
    let shape = opening.change.shape.clone();
    let folders = |table: &String| {
        let own = shape.tables.get(table).and_then(|t| t.folder()).map(|folder| folder.display().to_string());
        let beside =
            outputs.beside(table, &metadata.id).into_iter().map(|folder| folder.location.display().to_string());
        (table.clone(), own.into_iter().chain(beside).collect())
    };
    let known = logs.iter().map(|(source, log)| (Scope::name_of(source).to_owned(), log.clone()));
    let mut pinned: BTreeMap<String, LogIdentity> = known.collect();
    pinned.extend(metadata.logs.clone());
    PipelineRecord {
        number,
        epoch: lock.epoch.epoch,
        adopted_micros: opening.clock.now_micros(),
        file: opening.pipeline.file.clone(),
        text: opening.pipeline.resolved.to_string(),
        logs: pinned,
        forgets: adoption.forgets,
        backfills: adoption.backfills,
        from_files: adoption.from_files,
        clears: adoption.clears.iter().map(folders).collect(),
        shape,
    }
}

/// What deletes rows waits for whoever might still write some.
fn refuse_beside(opening: &Opening<'_>, lock: &RunLock) -> Result<(), EvolveError> {
    let living = opening.checkpoint.living_epochs(lock.epoch.epoch)?;
    if living.is_empty() { Ok(()) } else { Err(EvolveError::RefreshBesideRun { epochs: living }) }
}

/// Proves that the folders that are cleared are this pipeline's, before anything says that they will be.
fn claim_cleared(
    outputs: &Outputs,
    metadata: &Metadata,
    opening: &Opening<'_>,
    record: &PipelineRecord,
) -> Result<(), EvolveError> {
    for (table, folders) in &record.clears {
        let beside = outputs.beside(table, &metadata.id);
        for location in folders.iter().map(PathBuf::from) {
            let known = beside.iter().find(|folder| folder.location == location);
            let output = known.map_or_else(|| OutputId::Table(table.clone()), |folder| folder.output.clone());
            let folder = OutputFolder { output, location };
            sluicebox_sinks::prepare(&folder.location)?;
            let mark = outputs.owner(&folder, &metadata.id, metadata.generation, opening.checkpoint.root());
            owner::claim(&folder.location, &mark)?;
        }
    }
    Ok(())
}

/// Empties the folders of the tables that `record` clears. All of them are looked at before the first is touched.
fn clear(
    checkpoint: &Checkpoint,
    outputs: &Outputs,
    query_id: &str,
    record: &PipelineRecord,
) -> Result<(), EvolveError> {
    let mut ours = Vec::new();
    for location in record.clears.values().flatten().map(Path::new) {
        match named::whose(location, outputs, query_id, &[])? {
            Named::Ours => ours.push(location),
            Named::Absent | Named::Empty => {}
            Named::Strange => {
                return Err(named::strange(checkpoint, &format!("pipelines/{}", record.number), location));
            }
        }
    }
    ours.iter().try_for_each(|location| owner::check_clear(location, &[query_id]))?;
    for location in ours {
        owner::clear(location, &[query_id])?;
        // The place for staged files went too.
        sluicebox_sinks::prepare(location)?;
    }
    Ok(())
}

/// The watermarks at which the operators of the tables that were filled stand: of clauses above the tables those of the
/// backfill.
fn filled_at(last: &Commit, record: &PipelineRecord) -> BTreeMap<String, Option<i64>> {
    let scope = Scope::Backfill(record.number);
    let at = |clause: &String| {
        let state = last.watermarks.get(&scope.id(clause)).or_else(|| last.watermarks.get(clause));
        state.and_then(|s| s.watermark)
    };
    let tables = last.pending.iter().filter_map(|t| record.shape.tables.get(t));
    let operators = tables.flat_map(|t| &t.operators);
    operators.map(|(id, operator)| (id.clone(), operator.clauses.iter().map(at).min().flatten())).collect()
}

/// Ends a backfill: what its tables remember goes on under the living pipeline's sources, the rest of it is forgotten.
fn settle(last: &mut Commit) {
    last.state.retain(|id, _| Scope::of(id).is_live());
    last.watermarks.retain(|id, _| Scope::of(id).is_live());
    last.positions.retain(|p| Scope::of(&p.partition.source).is_live());
    last.schemas.retain(|source, _| Scope::of(source).is_live());
    for clause in last.watermarks.values_mut() {
        for partition in &mut clause.partitions {
            partition.partition.source = Scope::name_of(&partition.partition.source).to_owned();
        }
        clause.partitions.sort_by(|a, b| a.partition.cmp(&b.partition));
        clause.partitions.dedup_by(|a, b| a.partition == b.partition);
    }
}

/// Where `source` starts, which fills tables under the name `name`: where the pipeline started, or where the log now begins if that
/// is later; never past where the living pipeline stands. Files hold what they hold, `from_files`, from the first offset on.
///
/// # Errors
/// When the source is of no backfill, a record is damaged, or the log cannot be asked.
pub async fn fill_start(
    checkpoint: &Checkpoint,
    (name, from_files): (&str, bool),
    source: &mut dyn Source,
    last: Option<&Commit>,
) -> Result<SourceStart, EvolveError> {
    let (Scope::Backfill(_), living) = Scope::split(name) else {
        return Err(EvolveError::Bug(format!("source {name} is of no backfill")));
    };
    let ends = ends_of(name, last);
    let first = checkpoint.source_start(living)?.map(|s| s.positions).unwrap_or_default();
    let first: BTreeMap<(String, i32), i64> =
        first.into_iter().map(|p| ((p.partition.topic, p.partition.partition), p.offset)).collect();
    let bounds = if ends.is_empty() || from_files { BTreeMap::new() } else { source.bounds().await? };
    let mut positions = Vec::new();
    for (partition, end) in ends {
        let earliest = if from_files { 0 } else { bounds.get(&partition).map_or(end, |b| b.earliest) };
        // A partition that came later was read from its first offset.
        let began = first.get(&(partition.topic.clone(), partition.partition)).copied().unwrap_or(earliest);
        if earliest > began {
            tracing::warn!(
                "{partition} no longer holds the offsets {began} to {earliest}: what is filled from it begins at {earliest}"
            );
        }
        positions.push(Position { offset: began.max(earliest).min(end), partition });
    }
    Ok(SourceStart { positions })
}

/// Where the source `name` of a backfill ends: where the living pipeline stands.
#[must_use]
pub fn ends_of(name: &str, last: Option<&Commit>) -> BTreeMap<PartitionId, i64> {
    let (scope @ Scope::Backfill(_), living) = Scope::split(name) else { return BTreeMap::new() };
    last.map(|l| fill_ends(l, scope, &BTreeSet::from([living.to_owned()]))).unwrap_or_default()
}

/// Where a run of `stage` over `sources` ends, if that is where the living pipeline stands.
pub fn fill_end<'s>(
    stage: &Stage,
    sources: impl Iterator<Item = &'s str>,
    last: Option<&Commit>,
) -> Option<BTreeMap<PartitionId, i64>> {
    let Stage::Fill { number, .. } = stage else { return None };
    let names = sources.map(Scope::split).filter(|(scope, _)| !scope.is_live());
    let names = names.map(|(_, name)| name.to_owned()).collect();
    Some(last.map(|l| fill_ends(l, Scope::Backfill(*number), &names)).unwrap_or_default())
}
