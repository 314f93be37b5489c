//! The steps of a start, which [`Engine::open`](crate::Engine::open) lists in their order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sluicebox_checkpoint::records::{Commit, Metadata, Offsets};
use sluicebox_checkpoint::recovery::{Recovery, goes_on};
use sluicebox_checkpoint::{Checkpoint, CheckpointError, RunLock};
use sluicebox_core::Scope;
use sluicebox_durable as durable;
use sluicebox_durable::fault::What;
use sluicebox_evolve::adopt::{self, Adopted};
use sluicebox_evolve::{Logs, Stage, folders_check, named, refresh};
use sluicebox_pipeline::options::EventTimeOptions;
use sluicebox_runtime::graph::{ClauseSettings, Runner};
use sluicebox_runtime::outputs::{Held, Outputs};
use sluicebox_runtime::state_writer;
use sluicebox_sinks::{Owner, owner};
use sluicebox_upkeep::compact;

use crate::config::{Config, SourceBinding};
use crate::{EngineError, topics};

/// Removes what a crash of an earlier run left unfinished, and tells of records that no run makes. Only who holds the lock alone.
pub(crate) fn tidy(checkpoint: &Checkpoint, lock: &RunLock) -> Result<(), EngineError> {
    if lock.exclusive() {
        checkpoint.sweep_temporaries()?;
        for path in checkpoint.strange_numbers()? {
            tracing::warn!("{} is passed over: no run gives a record such a number", path.display());
        }
    }
    Ok(())
}

/// The folders that the run writes to, which lie apart.
pub(crate) fn outputs(config: &Config) -> Result<Outputs, EngineError> {
    let outputs = Outputs::try_new(&config.graph, &config.working_dir, &config.data_dir, &config.sinks)?;
    outputs.refuse_shared(config.checkpoint.root())?;
    Ok(match &config.change.stage {
        Stage::Fill { tables, .. } => outputs.only(tables),
        _ => outputs,
    })
}

/// Does a full refresh that is asked for, or goes on with one that was begun.
pub(crate) fn refreshed(config: &Config, outputs: &Outputs, lock: &RunLock, logs: &Logs) -> Result<(), EngineError> {
    let opening = config.opening();
    if refresh::is_due(&opening)? {
        refresh::run(&opening, outputs, lock, logs)?;
    }
    Ok(())
}

/// Whose checkpoint it is: this pipeline's, of the logs that its sources read.
pub(crate) fn metadata(config: &Config, outputs: &Outputs, logs: &Logs, epoch: u64) -> Result<Metadata, EngineError> {
    let metadata = match config.checkpoint.metadata()? {
        Some(metadata) => metadata,
        None => first_metadata(config, outputs, logs.clone(), epoch)?,
    };
    check_identity(config, &metadata, logs)?;
    Ok(metadata)
}

/// The newest records of a checkpoint.
pub(crate) struct Newest {
    /// The newest commit.
    pub(crate) last: Option<Commit>,
    /// The plan that waits to be replayed.
    pub(crate) replay: Option<Offsets>,
    /// The plan of the newest batch.
    pub(crate) plan: Option<Offsets>,
}

/// Reads and judges what a start goes on from, before it writes anything: a start that is refused for a record has not even said in
/// the marks where the checkpoint lies now. A run acts on no record of a later run.
pub(crate) fn newest(
    config: &Config,
    metadata: &Metadata,
    logs: &Logs,
    recovery: Recovery,
    epoch: u64,
) -> Result<Newest, EngineError> {
    let checkpoint = &config.checkpoint;
    let (last, replay) = match recovery {
        Recovery::Start => (None, None),
        Recovery::Publish { publish } => (Some(checkpoint.commit(publish)?), None),
        Recovery::Replay { replay: 0 } => (None, Some(checkpoint.offsets(0)?)),
        Recovery::Replay { replay } => (Some(checkpoint.commit(replay - 1)?), Some(checkpoint.offsets(replay)?)),
    };
    refuse_later_records(last.as_ref(), replay.as_ref(), epoch)?;
    let plan = match (&replay, &last) {
        (Some(offsets), _) => Some(offsets.clone()),
        (None, Some(commit)) => Some(checkpoint.offsets(commit.batch_id)?),
        (None, None) => None,
    };
    for source in &config.sources {
        checkpoint.source_start(&source.name)?;
    }
    for (source, log) in logs {
        topics::check(checkpoint, metadata, Scope::name_of(source), log)?;
    }
    refuse_repin(config, replay.as_ref())?;
    Ok(Newest { last, replay, plan })
}

/// Claims the folders, and holds what lies in them against what the checkpoint knows. The newest compaction is settled between:
/// who claims the folders has proved that they are the query's.
pub(crate) fn hold(
    config: &Config,
    outputs: &Outputs,
    metadata: &Metadata,
    recovery: Recovery,
    epoch: u64,
) -> Result<Held, EngineError> {
    let checkpoint = &config.checkpoint;
    folders_check::refuse_lost_folders(checkpoint, outputs, &config.change.anew())?;
    let mut held = outputs.claim(&metadata.id, metadata.generation, checkpoint.root(), config.take_over)?;
    compact::settle(checkpoint, outputs, &metadata.id, epoch)?;
    folders_check::refuse_newer_files(checkpoint, outputs, &metadata.id, recovery.committed())?;
    // Not that of a copy, which is refused for being older than its tables.
    outputs.tell_place(&mut held, &metadata.id, metadata.generation, checkpoint.root())?;
    Ok(held)
}

/// Pins the topics that are new to the checkpoint; one that was made anew is refused.
pub(crate) fn pin_topics(checkpoint: &Checkpoint, metadata: &Metadata, logs: &Logs) -> Result<(), EngineError> {
    for (source, log) in logs {
        topics::check_and_pin(checkpoint, metadata, Scope::name_of(source), log)?;
    }
    Ok(())
}

/// Publishes the newest commit again, if nothing proves that it was.
pub(crate) fn published(
    checkpoint: &Checkpoint,
    outputs: &Outputs,
    metadata: &Metadata,
    recovery: Recovery,
    last: Option<&Commit>,
) -> Result<(), EngineError> {
    if let (Recovery::Publish { .. }, Some(commit)) = (recovery, last) {
        adopt::publish(checkpoint, outputs, &metadata.id, commit)?;
    }
    Ok(())
}

/// Adopts the run's pipeline, and takes out of `last` what does not go on under it.
pub(crate) fn adopted(
    config: &Config,
    outputs: &Outputs,
    lock: &RunLock,
    metadata: &Metadata,
    logs: &Logs,
    last: &mut Option<Commit>,
) -> Result<Adopted, EngineError> {
    Ok(adopt::adopt(&config.opening(), outputs, lock, metadata, logs, last)?)
}

/// The runner as of the newest commit: watermarks and operators put back. A plan that is to be replayed must go on there.
pub(crate) fn restored(
    config: &Config,
    last: Option<&Commit>,
    replay: Option<&Offsets>,
    adopted: &Adopted,
    mut runner: Runner,
) -> Result<Runner, EngineError> {
    let checkpoint = &config.checkpoint;
    let Some(commit) = last else { return Ok(runner) };
    runner.restore_watermarks(&commit.watermarks);
    state_writer::read(checkpoint, &mut runner, &commit.state, &adopted.filled)?;
    if let Some(plan) = replay {
        // Another SQL may begin watermarks anew.
        let same = plan.sql_hash == durable::checksum(config.graph.pipeline.resolved.as_bytes());
        let watermarks = if same { runner.watermarks() } else { BTreeMap::new() };
        goes_on(commit, plan, &watermarks).map_err(|why| {
            let path = checkpoint.root().join("offsets").join(plan.batch_id.to_string());
            CheckpointError::Damaged { path, why }
        })?;
    }
    Ok(runner)
}

/// The log that each source reads now.
pub(crate) async fn identities(sources: &mut [SourceBinding]) -> Result<Logs, EngineError> {
    let mut logs = BTreeMap::new();
    for binding in sources {
        logs.insert(binding.name.clone(), binding.source.identity().await?);
    }
    Ok(logs)
}

/// The metadata of a first start. Tables that hold files, or are another's, stop it before anything is written; so does a later run.
fn first_metadata(config: &Config, outputs: &Outputs, logs: Logs, epoch: u64) -> Result<Metadata, EngineError> {
    for folder in outputs.folders() {
        let home = |owner: &Owner| named::home(owner, config.checkpoint.root());
        if let Err(error) = owner::check_unowned(&folder.location, outputs.pipeline(), home) {
            // Files of a run that has taken over meanwhile are no stranger's.
            config.checkpoint.refuse_later_epochs(epoch)?;
            return Err(error.into());
        }
    }
    let metadata = Metadata {
        id: uuid::Uuid::new_v4().to_string(),
        generation: 1,
        pipeline: config.graph.pipeline.name.clone(),
        created_micros: config.clock.now_micros(),
        plan_partitions: config.plan_partitions(),
        logs,
    };
    config.checkpoint.create_metadata(&metadata, epoch)?;
    Ok(metadata)
}

fn check_identity(config: &Config, metadata: &Metadata, logs: &Logs) -> Result<(), EngineError> {
    let name = &config.graph.pipeline.name;
    if metadata.pipeline != *name {
        return Err(CheckpointError::OtherPipeline {
            checkpoint: config.checkpoint.root().display().to_string(),
            pinned: metadata.pipeline.clone(),
            found: name.clone(),
        }
        .into());
    }
    if metadata.plan_partitions != config.plan_partitions() {
        return Err(EngineError::OtherPartitions {
            checkpoint: config.checkpoint.root().display().to_string(),
            pinned: metadata.plan_partitions,
            found: config.plan_partitions(),
        });
    }
    // A source that came later is pinned by the pipeline that brought it; a backfill reads the log of its source.
    let adopted = config.checkpoint.newest_pipeline()?.map(|r| r.logs).unwrap_or_default();
    for (source, found) in logs {
        let name = Scope::name_of(source);
        let Some(pinned) = metadata.logs.get(name).or_else(|| adopted.get(name)) else { continue };
        if pinned.log != found.log {
            return Err(EngineError::OtherLog {
                name: source.clone(),
                pinned: pinned.log.clone(),
                found: found.log.clone(),
            });
        }
    }
    Ok(())
}

/// The graph made ready, with empty state.
pub(crate) fn new_runner(config: &Config) -> Result<Runner, EngineError> {
    let settings = |sources: &BTreeSet<String>| {
        let mut settings = config.sources.iter().filter(|s| sources.contains(&s.name)).map(|s| s.clauses);
        let EventTimeOptions { idle_timeout_micros, max_future_micros } = EventTimeOptions::default();
        let first = settings.next().unwrap_or(ClauseSettings { idle_timeout_micros, max_future_micros });
        settings.fold(first, |a, b| ClauseSettings {
            idle_timeout_micros: a.idle_timeout_micros.max(b.idle_timeout_micros),
            max_future_micros: a.max_future_micros.min(b.max_future_micros),
        })
    };
    let (session, clock) = (config.session.clone(), Arc::clone(&config.clock));
    Ok(Runner::try_new(&config.graph, session, config.samples, clock, settings)?)
}

/// A run acts on no record of a later run: it has been passed.
fn refuse_later_records(last: Option<&Commit>, plan: Option<&Offsets>, ours: u64) -> Result<(), EngineError> {
    match last.map(|c| c.epoch).max(plan.map(|p| p.epoch)) {
        Some(theirs) if theirs > ours => Err(CheckpointError::TakenOver { ours, theirs }.into()),
        _ => Ok(()),
    }
}

/// Replaces the reader schemas that the run was asked to replace.
pub(crate) fn repin(config: &Config, epoch: u64) -> Result<(), EngineError> {
    for binding in config.repinned() {
        let dir = config.checkpoint.source_dir(&binding.name);
        durable::create_dir_durable(What::Source, &dir)?;
        config.checkpoint.replace_fenced(What::Source, &dir.join("reader"), &binding.pin, epoch)?;
    }
    Ok(())
}

/// No reader schema is replaced while a planned batch waits to be replayed: it is replayed as it was planned.
fn refuse_repin(config: &Config, replay: Option<&Offsets>) -> Result<(), EngineError> {
    match (config.repinned().next(), replay) {
        (Some(binding), Some(offsets)) => {
            Err(EngineError::RepinBeforeReplay { source_name: binding.name.clone(), batch_id: offsets.batch_id })
        }
        _ => Ok(()),
    }
}
