//! Which pipeline a run is of, made durable before its first batch; and what of the newest commit is still true then.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sluicebox_checkpoint::backfill::{original, prefix};
use sluicebox_checkpoint::records::{Commit, Metadata, Position, SourceStart};
use sluicebox_checkpoint::{Checkpoint, PipelineRecord, RunLock};
use sluicebox_core::PartitionId;
use sluicebox_runtime::outputs::{self, OutputFolder, Outputs};
use sluicebox_sinks::{Check, Publisher, owner};
use sluicebox_sources::LogIdentity;

use crate::EngineError;
use crate::change::{self, Adoption, Decision, Stage, fill_ends};
use crate::config::{Config, RowsOf, SourceBinding};
use crate::named::{self, Named};

/// The pipeline of a run.
#[derive(Debug)]
pub(crate) struct Adopted {
    /// Its number: commits name it.
    pub number: u64,
    /// The tables that commits name as not filled yet.
    pub pending: BTreeSet<String>,
    /// The operators of tables that have just been filled, with the watermark that their state stands at: that of the
    /// living pipeline may be further, and what lies between is still to be closed.
    pub filled: BTreeMap<String, Option<i64>>,
}

/// Says which rows are not in the files of `tables`, from which others are filled.
pub(crate) fn warn_of_retired(checkpoint: &Checkpoint, tables: &[&str]) -> Result<(), EngineError> {
    for (table, gone) in change::retired(checkpoint)?.iter().filter(|(table, _)| tables.contains(&table.as_str())) {
        tracing::warn!(
            "what is filled from the files of {table} lacks what {table} has retired: {gone}. --backfill=TABLE=topic fills it with \
             all that its topic has"
        );
    }
    Ok(())
}

/// Publishes `commit`, the newest one of the query `query_id`, again; what a refresh that was begun deletes is left out, and
/// what a compaction has put into other files since it was published.
pub(crate) fn publish(
    checkpoint: &Checkpoint,
    outputs: &Outputs,
    query_id: &str,
    commit: &Commit,
) -> Result<(), EngineError> {
    let record = format!("commits/{}", commit.batch_id);
    for output in &commit.files {
        named::refuse_strange(checkpoint, &record, Path::new(&output.location), outputs, query_id)?;
    }
    let newest = checkpoint.newest_pipeline()?.filter(|r| r.number > commit.pipeline);
    let mut files: Vec<_> = match newest {
        Some(record) => commit.files.iter().filter(|f| !record.cleared(&f.output)).cloned().collect(),
        None => commit.files.clone(),
    };
    let replaced = checkpoint.replaced_of_newest(commit.batch_id)?;
    if !replaced.is_empty() {
        for output in &mut files {
            let folder = |target: &str| target.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
            let location = &output.location;
            output.files.retain(|file| !replaced.contains(&(location.clone(), folder(&file.target))));
        }
    }
    Ok(outputs::publish(&mut Publisher::default(), &files, Check::Content)?)
}

/// Makes the run's pipeline the one in force, durably, and takes out of `last` what does not go on under it. The newest
/// commit must have been published.
pub(crate) fn adopt(
    config: &Config,
    outputs: &Outputs,
    lock: &RunLock,
    metadata: &Metadata,
    logs: &BTreeMap<String, LogIdentity>,
    last: &mut Option<Commit>,
) -> Result<Adopted, EngineError> {
    let (checkpoint, planned) = (&config.checkpoint, &config.change);
    let decision = match planned.decision {
        // A run that was faster between the look and the lock has begun what this one takes for not begun.
        Decision::First if checkpoint.newest_pipeline()?.is_some() => return Err(EngineError::Moved),
        Decision::First => Decision::Adopt(1, Adoption::default()),
        _ => {
            // Another run may have been faster between the look and the lock.
            let text = &config.graph.pipeline.resolved;
            let now = change::prepare(checkpoint, planned.shape.clone(), text, planned.request.clone())?;
            if (&now.decision, &now.stage) != (&planned.decision, &planned.stage) {
                return Err(EngineError::Moved);
            }
            now.decision
        }
    };
    let record = match decision {
        Decision::Keep(number) => checkpoint.pipeline(number)?,
        Decision::First => return Err(EngineError::Bug("a pipeline that is adopted has a number".to_owned())),
        Decision::Adopt(number, adoption) => {
            let record = record(config, outputs, lock, metadata, logs, number, adoption);
            if !record.clears.is_empty() {
                refuse_beside(config, lock)?;
                claim_cleared(outputs, metadata, config, &record)?;
            }
            checkpoint.write_pipeline(&record)?;
            record
        }
    };
    let committed = last.as_ref().map_or(0, |c| c.pipeline);
    if record.number > committed && !record.clears.is_empty() {
        refuse_beside(config, lock)?;
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
    config: &Config,
    outputs: &Outputs,
    lock: &RunLock,
    metadata: &Metadata,
    logs: &BTreeMap<String, LogIdentity>,
    number: u64,
    adoption: Adoption,
) -> PipelineRecord {
    let shape = config.change.shape.clone();
    let folders = |table: &String| {
        let own = shape.tables.get(table).map(|t| t.location.clone());
        let beside =
            outputs.beside(table, &metadata.id).into_iter().map(|folder| folder.location.display().to_string());
        (table.clone(), own.into_iter().chain(beside).collect())
    };
    let known = logs.iter().map(|(source, log)| (original(source).unwrap_or(source).to_owned(), log.clone()));
    let mut pinned: BTreeMap<String, LogIdentity> = known.collect();
    pinned.extend(metadata.logs.clone());
    PipelineRecord {
        number,
        epoch: lock.epoch.epoch,
        adopted_micros: config.clock.now_micros(),
        file: config.graph.pipeline.file.clone(),
        text: config.graph.pipeline.resolved.to_string(),
        logs: pinned,
        forgets: adoption.forgets,
        backfills: adoption.backfills,
        from_files: adoption.from_files,
        clears: adoption.clears.iter().map(folders).collect(),
        shape,
    }
}

/// What deletes rows waits for whoever might still write some.
fn refuse_beside(config: &Config, lock: &RunLock) -> Result<(), EngineError> {
    let living = config.checkpoint.living_epochs(lock.epoch.epoch)?;
    if living.is_empty() { Ok(()) } else { Err(EngineError::RefreshBesideRun { epochs: living }) }
}

/// Proves that the folders that are cleared are this pipeline's, before anything says that they will be.
fn claim_cleared(
    outputs: &Outputs,
    metadata: &Metadata,
    config: &Config,
    record: &PipelineRecord,
) -> Result<(), EngineError> {
    for (table, folders) in &record.clears {
        let beside = outputs.beside(table, &metadata.id);
        for location in folders.iter().map(PathBuf::from) {
            let known = beside.iter().find(|folder| folder.location == location);
            let output = known.map_or_else(|| format!("table {table}"), |folder| folder.output.clone());
            let folder = OutputFolder { output, location };
            sluicebox_sinks::prepare(&folder.location)?;
            let mark = outputs.owner(&folder, &metadata.id, metadata.generation, config.checkpoint.root());
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
) -> Result<(), EngineError> {
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
    let prefix = prefix(record.number);
    let at = |clause: &String| {
        let state = last.watermarks.get(&format!("{prefix}{clause}")).or_else(|| last.watermarks.get(clause));
        state.and_then(|s| s.watermark)
    };
    let tables = last.pending.iter().filter_map(|t| record.shape.tables.get(t));
    let operators = tables.flat_map(|t| &t.operators);
    operators.map(|(id, operator)| (id.clone(), operator.clauses.iter().map(at).min().flatten())).collect()
}

/// Ends a backfill: what its tables remember goes on under the living pipeline's sources, the rest of it is forgotten.
fn settle(last: &mut Commit) {
    last.state.retain(|id, _| original(id).is_none());
    last.watermarks.retain(|id, _| original(id).is_none());
    last.positions.retain(|p| original(&p.partition.source).is_none());
    last.schemas.retain(|source, _| original(source).is_none());
    for clause in last.watermarks.values_mut() {
        for partition in &mut clause.partitions {
            if let Some(source) = original(&partition.partition.source) {
                partition.partition.source = source.to_owned();
            }
        }
        clause.partitions.sort_by(|a, b| a.partition.cmp(&b.partition));
        clause.partitions.dedup_by(|a, b| a.partition == b.partition);
    }
}

/// Where the source of a backfill starts: where the pipeline started, or where the log now begins if that is later; never
/// past where the living pipeline stands.
pub(crate) async fn fill_start(
    checkpoint: &Checkpoint,
    binding: &mut SourceBinding,
    last: Option<&Commit>,
) -> Result<SourceStart, EngineError> {
    let Some(name) = original(&binding.name).map(str::to_owned) else {
        return Err(EngineError::Bug(format!("source {} is of no backfill", binding.name)));
    };
    let ends = ends_of(binding, last);
    let first = checkpoint.source_start(&name)?.map(|s| s.positions).unwrap_or_default();
    let first: BTreeMap<(String, i32), i64> =
        first.into_iter().map(|p| ((p.partition.topic, p.partition.partition), p.offset)).collect();
    let from_files = matches!(binding.rows, RowsOf::Files(_));
    let bounds = if ends.is_empty() || from_files { BTreeMap::new() } else { binding.source.bounds().await? };
    let mut positions = Vec::new();
    for (partition, end) in ends {
        // Files hold what they hold, from the first offset on.
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

/// Where the source of a backfill ends: where the living pipeline stands.
pub(crate) fn ends_of(binding: &SourceBinding, last: Option<&Commit>) -> BTreeMap<PartitionId, i64> {
    let Some(name) = original(&binding.name) else { return BTreeMap::new() };
    let prefix = binding.name.strip_suffix(name).unwrap_or_default();
    last.map(|l| fill_ends(l, prefix, &BTreeSet::from([name.to_owned()]))).unwrap_or_default()
}

/// Where a run of `stage` ends, if that is where the living pipeline stands.
pub(crate) fn fill_end(
    stage: &Stage,
    sources: &[SourceBinding],
    last: Option<&Commit>,
) -> Option<BTreeMap<PartitionId, i64>> {
    let Stage::Fill { number, .. } = stage else { return None };
    let names = sources.iter().filter_map(|s| original(&s.name).map(str::to_owned)).collect();
    Some(last.map(|l| fill_ends(l, &prefix(*number), &names)).unwrap_or_default())
}
