//! `sluicebox compact`: compacts and retires everything that is due, without a run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sluicebox_checkpoint::records::{Commit, Metadata, Why};
use sluicebox_checkpoint::recovery::{Recovery, decide};
use sluicebox_checkpoint::{Checkpoint, CheckpointError};
use sluicebox_core::Clock;
use sluicebox_evolve::{Decision, Prepared, Stage, adopt, folders_check};
use sluicebox_pipeline::graph::Graph;
use sluicebox_runtime::outputs::Outputs;
use sluicebox_sinks::parquet::compact::{self, Folder, Input};
use sluicebox_sinks::{LakeError, Sinks, Upkeep};

use super::decide::{Kept, Policy, due};
use super::settle::settle;
use super::work::{Table, facts};
use crate::UpkeepError;

/// How long the old files of a folder stay after it was exchanged: a reader that has opened the folder just before lists
/// them still, and finds by their names that they are gone from the table. Were they removed at once it would list nothing.
const LINGER: Duration = Duration::from_secs(1);

/// Why a table without PARTITIONED BY stays as it is, and the way out.
pub const UNPARTITIONED: &str = "it has no PARTITIONED BY. Sluicebox exchanges folders of partitions whole, and cannot exchange \
     LOCATION itself, where a run stages files. Partition it, by the day of a timestamp or by a constant as in \
     PARTITIONED BY (part) AS SELECT ..., 'all' AS part; `run` then asks to fill it anew";

/// What [`run`] needs of a pipeline.
#[derive(Debug)]
pub struct Config {
    /// The checked pipeline.
    pub graph: Graph,
    /// Its checkpoint.
    pub checkpoint: Checkpoint,
    /// The folder to which relative locations are relative, absolute.
    pub working_dir: PathBuf,
    /// The folder of everything beside the tables, absolute.
    pub data_dir: PathBuf,
    /// Where the rows of each table are.
    pub sinks: Sinks,
    /// What each table wants of its partitions.
    pub policies: BTreeMap<String, Policy>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The pipeline compared with the checkpoint; a dry run needs none.
    pub change: Option<Prepared>,
}

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Only these tables; all if empty.
    pub tables: BTreeSet<String>,
    /// Only partitions to which nothing was written for so long, in microseconds. Retention does not ask.
    pub older_than_micros: i64,
    /// Tell only what would be done.
    pub dry_run: bool,
}

/// What was done to a folder, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The table.
    pub table: String,
    /// The partition's folder below its location.
    pub folder: String,
    /// Compacted, or retained no longer.
    pub why: Why,
    /// Its rows.
    pub rows: u64,
    /// Files and bytes before.
    pub before: (usize, u64),
    /// Files and bytes now; of a dry run the files that there would be, about, and no bytes.
    pub after: (usize, Option<u64>),
}

/// A table or folder that stays as it is although it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The table.
    pub table: String,
    /// The partition's folder below its location; none for all of the table.
    pub folder: Option<String>,
    /// Why.
    pub why: String,
}

/// Compacts and retires what is due; tells of each folder as soon as it is done. Blocking.
///
/// # Errors
/// When another run holds the checkpoint, a change of the SQL waits for a run, folders cannot be exchanged, or a file is
/// not what was committed. What was told is done; the folder that the error is about is as it was.
pub fn run(config: &Config, request: &Request, mut tell: impl FnMut(Result<Done, Skipped>)) -> Result<(), UpkeepError> {
    let metadata = metadata(config)?;
    let outputs = Outputs::try_new(&config.graph, &config.working_dir, &config.data_dir, &config.sinks)?;
    outputs.refuse_shared(config.checkpoint.root())?;
    let run = Run { config, request, outputs: &outputs, metadata: &metadata };
    if request.dry_run {
        return run.look(&mut tell);
    }
    let checkpoint = &config.checkpoint;
    checkpoint.prepare()?;
    let lock = checkpoint.lock(false, &uuid::Uuid::new_v4().to_string(), config.clock.now_micros())?;
    let epoch = lock.epoch.epoch;
    if lock.exclusive() {
        checkpoint.sweep_temporaries()?;
    }
    let done = run.work(epoch, &mut tell);
    done.map_err(|error| checkpoint.refuse_later_epochs(epoch).map_or_else(UpkeepError::from, |()| error))?;
    Ok(checkpoint.forget_epochs(epoch)?)
}

fn metadata(config: &Config) -> Result<Metadata, UpkeepError> {
    let checkpoint = &config.checkpoint;
    if checkpoint.refresh()?.is_some() {
        return Err(UpkeepError::RunFirst("a full refresh was begun and is to be finished".to_owned()));
    }
    let metadata = checkpoint.metadata()?.ok_or_else(|| {
        UpkeepError::RunFirst(format!("nothing was ever written under the checkpoint {}", checkpoint.root().display()))
    })?;
    if metadata.pipeline != config.graph.pipeline.name {
        return Err(CheckpointError::OtherPipeline {
            checkpoint: checkpoint.root().display().to_string(),
            pinned: metadata.pipeline,
            found: config.graph.pipeline.name.clone(),
        }
        .into());
    }
    let changed = |c: &Prepared| !matches!(c.decision, Decision::Keep(_)) || c.stage != Stage::Live;
    if config.change.as_ref().is_some_and(changed) {
        return Err(UpkeepError::RunFirst("the SQL has changed since the last run".to_owned()));
    }
    Ok(metadata)
}

/// The newest commit of the query `query_id`, published. `None` before the first.
fn published(
    checkpoint: &Checkpoint,
    outputs: &Outputs,
    query_id: &str,
    recovery: Recovery,
) -> Result<Option<Commit>, UpkeepError> {
    let last = match recovery.committed() {
        None => return Ok(None),
        Some(id) => checkpoint.commit(id)?,
    };
    let adopted = checkpoint.newest_pipeline()?.map_or(0, |record| record.number);
    if adopted > last.pipeline || !last.pending.is_empty() {
        return Err(UpkeepError::RunFirst("a change of the SQL waits for its first batch".to_owned()));
    }
    if matches!(recovery, Recovery::Publish { .. }) {
        adopt::publish(checkpoint, outputs, query_id, &last)?;
    }
    Ok(Some(last))
}

struct Run<'a> {
    config: &'a Config,
    request: &'a Request,
    outputs: &'a Outputs,
    metadata: &'a Metadata,
}

type Tell<'t> = &'t mut dyn FnMut(Result<Done, Skipped>);

impl Run<'_> {
    /// Tells what would be done.
    fn look(&self, tell: Tell<'_>) -> Result<(), UpkeepError> {
        for (name, table, policy) in self.tables(tell) {
            for (folder, why) in self.due(name, table, &policy, tell)? {
                let dir = table.location().join(&folder.path);
                let inputs: Vec<Input> =
                    folder.parts.iter().map(|part| Input::footer(&dir, part)).collect::<Result<_, _>>()?;
                let facts = facts(&inputs);
                let pieces = compact::plan(&facts, policy.target_bytes);
                let after = match why {
                    Why::Retain => 0,
                    Why::Compact => compact::files_after(&facts, &pieces, policy.target_bytes),
                };
                if after < folder.parts.len() {
                    let rows = inputs.iter().map(|input| input.file.rows).sum();
                    let before = (folder.parts.len(), folder.bytes());
                    tell(Ok(Done {
                        table: name.to_owned(),
                        folder: folder.path,
                        why,
                        rows,
                        before,
                        after: (after, None),
                    }));
                }
            }
        }
        Ok(())
    }

    fn work(&self, epoch: u64, tell: Tell<'_>) -> Result<(), UpkeepError> {
        let checkpoint = &self.config.checkpoint;
        let recovery = decide(checkpoint.observe()?)?;
        folders_check::refuse_lost_folders(checkpoint, self.outputs, &BTreeSet::new())?;
        let _held = self.outputs.claim(&self.metadata.id, self.metadata.generation, checkpoint.root(), false)?;
        settle(checkpoint, self.outputs, &self.metadata.id, epoch)?;
        folders_check::refuse_newer_files(checkpoint, self.outputs, &self.metadata.id, recovery.committed())?;
        let newest = published(checkpoint, self.outputs, &self.metadata.id, recovery)?;
        let Some(newest) = newest else { return Ok(()) };
        let mut old = Vec::new();
        for (name, table, policy) in self.tables(tell) {
            let of = Table {
                checkpoint,
                table,
                name,
                query_id: &self.metadata.id,
                epoch,
                target_bytes: policy.target_bytes,
            };
            self.table(&of, &policy, &newest, &mut old, tell)?;
        }
        if !old.is_empty() {
            std::thread::sleep(LINGER);
        }
        for folder in &old {
            compact::remove(folder)?;
        }
        for table in self.outputs.tables().values().filter_map(|sink| sink.upkeep()) {
            compact::Staging::of(table.location(), &self.metadata.id, epoch)?.tidy();
        }
        Ok(())
    }

    fn table(
        &self,
        of: &Table<'_>,
        policy: &Policy,
        newest: &Commit,
        old: &mut Vec<PathBuf>,
        tell: Tell<'_>,
    ) -> Result<(), UpkeepError> {
        let checkpoint = &self.config.checkpoint;
        let mut due = self.due(of.name, of.table, policy, tell)?;
        if due.is_empty() {
            return Ok(());
        }
        if !compact::try_exchange(of.table.location(), &of.staging()?)? && due.iter().any(|d| d.1 == Why::Compact) {
            let why = LakeError::TornLists { location: of.table.location().to_owned() }.to_string();
            tell(Err(Skipped { table: of.name.to_owned(), folder: None, why }));
            due.retain(|(_, why)| *why == Why::Retain);
        }
        let committed = of.committed()?;
        for (folder, why) in due {
            let number = checkpoint.next_compaction()?;
            let Some(ready) = of.prepare(&folder, number, why, &committed, &|| true)? else { continue };
            let Some(done) = of.exchange(ready, newest, self.config.clock.now_micros())? else { continue };
            let bytes = done.record.outputs.iter().map(|file| file.bytes).sum();
            tell(Ok(Done {
                table: of.name.to_owned(),
                folder: folder.path.clone(),
                why,
                rows: done.record.batches.rows(),
                before: (folder.parts.len(), folder.bytes()),
                after: (done.record.outputs.len(), Some(bytes)),
            }));
            old.push(done.old);
        }
        Ok(())
    }

    /// The tables that are asked for, and that can be compacted.
    fn tables(&self, tell: Tell<'_>) -> Vec<(&str, &dyn Upkeep, Policy)> {
        let mut tables = Vec::new();
        for (name, sink) in self.outputs.tables() {
            if !self.request.tables.is_empty() && !self.request.tables.contains(name) {
                continue;
            }
            let Some(table) = sink.upkeep() else {
                let why = format!("its rows are in {}, which keeps itself in order", sink.identity());
                tell(Err(Skipped { table: name.clone(), folder: None, why }));
                continue;
            };
            if table.partition_columns() == 0 {
                let why = UNPARTITIONED.to_owned();
                tell(Err(Skipped { table: name.clone(), folder: None, why }));
                continue;
            }
            tables.push((name.as_str(), table, self.config.policies.get(name).copied().unwrap_or_default()));
        }
        tables
    }

    fn due(
        &self,
        name: &str,
        table: &dyn Upkeep,
        policy: &Policy,
        tell: Tell<'_>,
    ) -> Result<Vec<(Folder, Why)>, UpkeepError> {
        let folders = compact::folders(table.location(), table.partition_columns(), &self.metadata.id)?;
        let now = self.config.clock.now_micros();
        let mut found = Vec::new();
        for folder in folders {
            match due(&folder, policy, now, self.request.older_than_micros, 2) {
                Ok(why) => found.push((folder, why)),
                Err(Kept::Alien(file)) => {
                    let why = format!("{file} in it was not written by this pipeline: move it away");
                    tell(Err(Skipped { table: name.to_owned(), folder: Some(folder.path), why }));
                }
                Err(Kept::Open | Kept::Few) => {}
            }
        }
        Ok(found)
    }
}
