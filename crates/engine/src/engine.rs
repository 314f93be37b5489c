//! Opening a pipeline: lock, identity, ownership, state; then it stands where its last run left it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sluicebox_checkpoint::backfill::original;
use sluicebox_checkpoint::records::{Commit, Metadata, Offsets, Position, SourceStart};
use sluicebox_checkpoint::recovery::{Recovery, decide, goes_on};
use sluicebox_checkpoint::{CheckpointError, RunLock, envelope};
use sluicebox_core::PartitionId;
use sluicebox_core::station::{self, AllSpent};
use sluicebox_durable as durable;
use sluicebox_durable::fault::What;
use sluicebox_evolve::adopt::{self, Adopted};
use sluicebox_evolve::{Logs, Stage, named, presence, refresh};
use sluicebox_runtime::graph::{ClauseSettings, Runner};
use sluicebox_runtime::outputs::{Held, Outputs};
use sluicebox_runtime::segments::Segments;
use sluicebox_runtime::state_writer;
use sluicebox_sinks::{Owner, Publisher, owner};
use sluicebox_sources::Bounds;
use sluicebox_upkeep::compact;

use crate::begin::Begin;
use crate::config::{Config, RowsOf, SourceBinding, Trigger};
use crate::goal::Goal;
use crate::journal::Journal;
use crate::letters::Letters;
use crate::preflight::{self, Learned};
use crate::read::Ahead;
use crate::report::Identity;
use crate::{EngineError, topics};

mod batch;
mod compacting;
mod planned;
mod reading;
mod run;

/// A pipeline that holds its checkpoint and is ready to run.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    lock: RunLock,
    /// The marks of the output folders, locked: so that a run of a copied checkpoint is refused.
    _held: Held,
    metadata: Metadata,
    outputs: Outputs,
    publisher: Publisher,
    runner: Runner,
    /// State that is on its way to disk.
    segments: Segments,
    /// The first offset not read, by partition.
    positions: BTreeMap<PartitionId, i64>,
    /// The newest commit.
    last: Option<Commit>,
    /// The plan of the newest batch.
    last_offsets: Option<Offsets>,
    /// A batch that was planned and must be replayed first.
    replay: Option<Offsets>,
    next_batch: u64,
    /// Where an available-now run stops.
    run_end: Option<BTreeMap<PartitionId, i64>>,
    /// What the trigger that fired last is to read.
    goal: Goal,
    /// Whether the next batch may be decided on before this one is over.
    looks_ahead: bool,
    /// The next batch, as far as it was read ahead.
    ahead: Option<Ahead>,
    /// Whether this run has removed what older ones left staged.
    swept: bool,
    identity: Identity,
    progress: crate::progress::Totals,
    journal: Journal,
    /// What the stations had taken at the end of the last batch.
    spent: AllSpent,
    /// What the log has been told of rows in this run.
    told: crate::report::Told,
    /// What is compacted between batches.
    compaction: compact::Live,
    /// The pipeline that its commits name.
    adopted: Adopted,
    /// Where its sources began or went on.
    begins: Vec<Begin>,
    /// What its sources have given since it began.
    letters: Letters,
}

impl Engine {
    /// Takes the checkpoint's lock and the next epoch, proves that checkpoint, log and tables belong together, restores
    /// the state, publishes what was committed and maybe not published.
    ///
    /// # Errors
    /// When another run holds the checkpoint, or something in it, in the tables or in the log is not what it must be.
    pub async fn open(mut config: Config) -> Result<Self, EngineError> {
        let checkpoint = config.checkpoint.clone();
        // A first start that is refused leaves nothing, and one that waits for a broker has nothing to leave.
        let learned = preflight::first_start(&mut config).await?;
        checkpoint.prepare()?;
        let run_id = uuid::Uuid::new_v4().to_string();
        let lock = checkpoint.lock(config.take_over, &run_id, config.clock.now_micros())?;
        let epoch = lock.epoch.epoch;
        // What a run that was passed meanwhile stumbles over is another's doing: it is told who.
        Box::pin(Self::open_locked(config, lock, &run_id, learned))
            .await
            .map_err(|error| checkpoint.refuse_later_epochs(epoch).map_or_else(EngineError::from, |()| error))
    }

    async fn open_locked(
        mut config: Config,
        lock: RunLock,
        run_id: &str,
        learned: Option<Learned>,
    ) -> Result<Self, EngineError> {
        let checkpoint = config.checkpoint.clone();
        if lock.exclusive() {
            checkpoint.sweep_temporaries()?;
            for path in checkpoint.strange_numbers()? {
                tracing::warn!("{} is passed over: no run gives a record such a number", path.display());
            }
        }
        let outputs = Outputs::try_new(&config.graph, &config.working_dir, &config.data_dir, &config.parquet)?;
        outputs.refuse_shared(checkpoint.root())?;
        let outputs = match &config.change.stage {
            Stage::Fill { tables, .. } => outputs.only(tables),
            _ => outputs,
        };
        let (logs, first) = match learned {
            Some(learned) => (learned.logs, learned.begins),
            None => (identities(&mut config.sources).await?, BTreeMap::new()),
        };
        if refresh::is_due(&config.opening())? {
            refresh::run(&config.opening(), &outputs, &lock, &logs)?;
        }
        let observed = checkpoint.observe()?;
        let recovery = decide(observed)?;
        let metadata = match checkpoint.metadata()? {
            Some(metadata) => metadata,
            None => first_metadata(&config, &outputs, logs.clone(), lock.epoch.epoch)?,
        };
        check_identity(&config, &metadata, &logs)?;
        presence::refuse_lost_folders(&checkpoint, &outputs, &config.change.anew())?;
        let mut held = outputs.claim(&metadata.id, metadata.generation, checkpoint.root(), config.take_over)?;
        compact::settle(&checkpoint, &outputs, &metadata.id, lock.epoch.epoch)?;
        presence::refuse_newer_files(&checkpoint, &outputs, &metadata.id, recovery.committed())?;
        // Not that of a copy, which is refused for being older than its tables.
        outputs.tell_place(&mut held, &metadata.id, metadata.generation, checkpoint.root())?;
        for (source, log) in &logs {
            topics::check_and_pin(&checkpoint, &metadata, original(source).unwrap_or(source), log)?;
        }

        let mut runner = new_runner(&config)?;
        let (mut last, replay) = match recovery {
            Recovery::Start => (None, None),
            Recovery::Publish { publish } => (Some(checkpoint.commit(publish)?), None),
            Recovery::Replay { replay: 0 } => (None, Some(checkpoint.offsets(0)?)),
            Recovery::Replay { replay } => (Some(checkpoint.commit(replay - 1)?), Some(checkpoint.offsets(replay)?)),
        };
        refuse_later_records(last.as_ref(), replay.as_ref(), lock.epoch.epoch)?;
        repin(&config, replay.as_ref(), lock.epoch.epoch)?;
        if let (Recovery::Publish { .. }, Some(commit)) = (recovery, &last) {
            adopt::publish(&checkpoint, &outputs, &metadata.id, commit)?;
        }
        // What cannot be read stops the run before the SQL is adopted.
        config.sources.iter().try_for_each(|s| config.checkpoint.source_start(&s.name).map(drop))?;
        let adopted = adopt::adopt(&config.opening(), &outputs, &lock, &metadata, &logs, &mut last)?;
        if let Some(commit) = &last {
            restore(&config, &mut runner, commit, &adopted)?;
            if let Some(plan) = &replay {
                // Another SQL may begin watermarks anew.
                let same = plan.sql_hash == durable::checksum(config.graph.pipeline.resolved.as_bytes());
                let watermarks = if same { runner.watermarks() } else { BTreeMap::new() };
                goes_on(commit, plan, &watermarks).map_err(|why| {
                    let path = checkpoint.root().join("offsets").join(plan.batch_id.to_string());
                    CheckpointError::Damaged { path, why }
                })?;
            }
        }
        let last_offsets = match (&replay, &last) {
            (Some(offsets), _) => Some(offsets.clone()),
            (None, Some(commit)) => Some(checkpoint.offsets(commit.batch_id)?),
            (None, None) => None,
        };
        let (positions, begins) =
            positions(&mut config, last.as_ref(), last_offsets.as_ref(), first, lock.epoch.epoch).await?;
        let next_batch = last.as_ref().map_or(0, |c| c.batch_id + 1);
        let identity = Identity::new(&config, &metadata, run_id);
        let fill_end =
            adopt::fill_end(&config.change.stage, config.sources.iter().map(|s| s.name.as_str()), last.as_ref());
        Ok(Self {
            compaction: compact::Live::new(outputs.tables(), &config.policies),
            adopted,
            begins,
            letters: Letters::default(),
            segments: Segments::new(config.memory_limit, config.state_deltas),
            config,
            lock,
            _held: held,
            metadata,
            outputs,
            publisher: Publisher::default(),
            runner,
            positions,
            last,
            last_offsets,
            replay,
            next_batch,
            run_end: fill_end,
            goal: Goal::default(),
            looks_ahead: false,
            ahead: None,
            swept: false,
            identity,
            progress: crate::progress::Totals::default(),
            journal: Journal::default(),
            spent: station::spent(),
            told: crate::report::Told::default(),
        })
    }

    /// The folders that the run writes to, for the first lines that a user sees.
    #[must_use]
    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// Where each source began or went on, in the order of the text; none of what fills a table.
    #[must_use]
    pub fn begins(&self) -> &[Begin] {
        &self.begins
    }

    /// Whether this run goes on from a batch of an earlier one.
    #[must_use]
    pub fn resumes_at(&self) -> Option<u64> {
        self.last.as_ref().map(|commit| commit.batch_id + 1)
    }

    /// Whether batches are those of an available-now run.
    fn available_now(&self) -> bool {
        self.config.trigger == Trigger::AvailableNow
    }

    /// Whether the whole pipeline runs, and not a part that brings it to where it can.
    fn is_live(&self) -> bool {
        self.config.change.stage == Stage::Live
    }
}

pub(crate) async fn identities(sources: &mut [SourceBinding]) -> Result<Logs, EngineError> {
    let mut logs = BTreeMap::new();
    for binding in sources {
        logs.insert(binding.name.clone(), binding.source.identity().await?);
    }
    Ok(logs)
}

/// The metadata of a first start. Tables that hold files, or are another's, stop it before anything is written.
fn first_metadata(config: &Config, outputs: &Outputs, logs: Logs, epoch: u64) -> Result<Metadata, EngineError> {
    for folder in outputs.folders() {
        let home = |owner: &Owner| named::home(owner, config.checkpoint.root());
        owner::check_unowned(&folder.location, outputs.pipeline(), home)?;
    }
    let metadata = Metadata {
        id: uuid::Uuid::new_v4().to_string(),
        generation: 1,
        pipeline: config.graph.pipeline.name.clone(),
        created_micros: config.clock.now_micros(),
        plan_partitions: 1,
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
    // A source that came later is pinned by the pipeline that brought it; a backfill reads the log of its source.
    let adopted = config.checkpoint.newest_pipeline()?.map(|r| r.logs).unwrap_or_default();
    for (source, found) in logs {
        let name = original(source).unwrap_or(source);
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

pub(crate) fn new_runner(config: &Config) -> Result<Runner, EngineError> {
    let settings = |sources: &BTreeSet<String>| {
        let mut settings = config.sources.iter().filter(|s| sources.contains(&s.name)).map(|s| s.clauses);
        let first = settings
            .next()
            .unwrap_or(ClauseSettings { idle_timeout_micros: 10_000_000, max_future_micros: 3_600_000_000 });
        settings.fold(first, |a, b| ClauseSettings {
            idle_timeout_micros: a.idle_timeout_micros.max(b.idle_timeout_micros),
            max_future_micros: a.max_future_micros.min(b.max_future_micros),
        })
    };
    let (session, clock) = (config.session.clone(), Arc::clone(&config.clock));
    Ok(Runner::try_new(&config.graph, session, config.samples, clock, settings)?)
}

/// Puts the operators and watermarks back as of `commit`.
fn restore(config: &Config, runner: &mut Runner, commit: &Commit, adopted: &Adopted) -> Result<(), EngineError> {
    runner.restore_watermarks(&commit.watermarks);
    Ok(state_writer::read(&config.checkpoint, runner, &commit.state, &adopted.filled)?)
}

/// A run acts on no record of a later run: it has been passed.
fn refuse_later_records(last: Option<&Commit>, plan: Option<&Offsets>, ours: u64) -> Result<(), EngineError> {
    match last.map(|c| c.epoch).max(plan.map(|p| p.epoch)) {
        Some(theirs) if theirs > ours => Err(CheckpointError::TakenOver { ours, theirs }.into()),
        _ => Ok(()),
    }
}

/// Where each partition goes on: from the commit, or from the starting offsets, resolved once and durable before the
/// first fetch; `first` has those that were asked for already. And the same in words, by source.
async fn positions(
    config: &mut Config,
    last: Option<&Commit>,
    plan: Option<&Offsets>,
    mut first: BTreeMap<String, Begin>,
    epoch: u64,
) -> Result<(BTreeMap<PartitionId, i64>, Vec<Begin>), EngineError> {
    let mut positions = BTreeMap::new();
    let mut firsts = BTreeMap::new();
    for binding in &mut config.sources {
        let start = match config.checkpoint.source_start(&binding.name)? {
            // Only a pattern finds no partition: where topics are named now, nothing of them has begun.
            Some(start)
                if start.positions.is_empty() && is_named(binding) && last.is_none_or(|l| !has_read(l, binding)) =>
            {
                let begin = Begin::first(binding.source.as_mut(), &binding.starting).await?;
                let start = begun(&begin);
                config.checkpoint.replace_source_start(&binding.name, &start, epoch)?;
                firsts.insert(binding.name.clone(), begin);
                start
            }
            Some(start) => start,
            // Resolved anew they might be others, and the reader schema beside them too.
            None if plan.is_some_and(|p| p.ranges.iter().any(|r| r.partition.source == binding.name)) => {
                return Err(CheckpointError::Missing { name: format!("sources/{}/start", binding.name) }.into());
            }
            None => {
                let start = if original(&binding.name).is_some() {
                    let of = (binding.name.as_str(), matches!(binding.rows, RowsOf::Files(_)));
                    adopt::fill_start(&config.checkpoint, of, binding.source.as_mut(), last).await?
                } else {
                    let begin = match first.remove(&binding.name) {
                        Some(begin) => begin,
                        None => Begin::first(binding.source.as_mut(), &binding.starting).await?,
                    };
                    let start = begun(&begin);
                    firsts.insert(binding.name.clone(), begin);
                    start
                };
                pin_reader(config.checkpoint.source_dir(&binding.name).as_path(), &binding.reader)?;
                config.checkpoint.write_source_start(&binding.name, &start)?;
                start
            }
        };
        positions.extend(start.positions.into_iter().map(|p| (p.partition, p.offset)));
        if let RowsOf::Files(rows) = &binding.rows {
            adopt::warn_of_retired(&config.checkpoint, &rows.tables())?;
            let (rows, ends) = (Arc::clone(rows), adopt::ends_of(&binding.name, last));
            tokio::task::spawn_blocking(move || rows.look(ends)).await??;
        }
    }
    if let Some(commit) = last {
        positions.extend(commit.positions.iter().map(|p| (p.partition.clone(), p.offset)));
    }
    let begins = start_all(config, &positions, firsts).await?;
    Ok((positions, begins))
}

/// Whether a source, none of a backfill, reads a log, and topics that it names.
fn is_named(binding: &SourceBinding) -> bool {
    let is_log = binding.starting.at.is_some() && original(&binding.name).is_none();
    is_log && binding.starting.pattern.is_none()
}

fn has_read(last: &Commit, binding: &SourceBinding) -> bool {
    last.positions.iter().any(|p| p.partition.source == binding.name)
}

fn begun(begin: &Begin) -> SourceStart {
    let found = begin.positions.iter();
    SourceStart { positions: found.map(|(p, offset)| Position { partition: p.clone(), offset: *offset }).collect() }
}

/// Starts every source at its positions.
async fn start_all(
    config: &mut Config,
    positions: &BTreeMap<PartitionId, i64>,
    mut firsts: BTreeMap<String, Begin>,
) -> Result<Vec<Begin>, EngineError> {
    let mut begins = Vec::with_capacity(config.sources.len());
    for binding in &mut config.sources {
        let own: BTreeMap<PartitionId, i64> =
            positions.iter().filter(|(p, _)| p.source == binding.name).map(|(p, o)| (p.clone(), *o)).collect();
        binding.source.start(&own).await?;
        if original(&binding.name).is_some() {
            continue;
        }
        begins.push(match firsts.remove(&binding.name) {
            Some(begin) => begin,
            // Topics may have come since.
            None if binding.starting.pattern.is_some() => {
                Begin::next(binding.source.as_mut(), &binding.starting, own).await?
            }
            None => {
                // The ends are known since it was started.
                let held = binding.source.buffered().await?.into_iter();
                let bounds = held.map(|b| (b.partition, Bounds { earliest: b.position, latest: b.log_end })).collect();
                Begin::at(&binding.name, &binding.starting, false, own, &bounds)
            }
        });
    }
    Ok(begins)
}

/// Pins the reader schema beside the starting offsets.
fn pin_reader(dir: &std::path::Path, reader: &sluicebox_registry::PinnedSchema) -> Result<(), EngineError> {
    durable::create_dir_durable(What::Source, dir)?;
    envelope::create(What::Source, &dir.join("reader"), reader)?;
    Ok(())
}

/// Replaces the reader schemas that the run was asked to replace. Not while a planned batch waits to be replayed: it is
/// replayed as it was planned.
fn repin(config: &Config, replay: Option<&Offsets>, epoch: u64) -> Result<(), EngineError> {
    for binding in config.sources.iter().filter(|s| config.repin.contains(&s.name)) {
        if let Some(offsets) = replay {
            return Err(EngineError::RepinBeforeReplay {
                source_name: binding.name.clone(),
                batch_id: offsets.batch_id,
            });
        }
        let dir = config.checkpoint.source_dir(&binding.name);
        durable::create_dir_durable(What::Source, &dir)?;
        config.checkpoint.replace_fenced(What::Source, &dir.join("reader"), &binding.reader, epoch)?;
    }
    Ok(())
}
