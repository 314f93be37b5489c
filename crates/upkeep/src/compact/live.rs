//! Compaction during a run: a partition is rewritten beside the batches, and exchanged between two of them.
//!
//! A task lists the folders and rewrites one. It touches nothing that readers or batches see. When it is done and no batch is under way,
//! the folder is exchanged, if nothing was written to it since the task listed it: one listing, one small record and a few syncs. A folder
//! that got new files is left alone, and considered again later.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sluicebox_checkpoint::Checkpoint;
use sluicebox_checkpoint::records::{Commit, Why};
use sluicebox_core::Clock;
use sluicebox_sinks::parquet::compact::{self, Folder};
use sluicebox_sinks::{LakeError, Sink, Sinks, Upkeep};
use tokio::task::JoinHandle;

use super::decide::{Policy, due};
use super::work::{Ready, Table};
use crate::UpkeepError;

/// The longest time between two looks at the folders.
const LOOK: Duration = Duration::from_secs(60);
/// How long the files of a folder that was exchanged stay, for readers that have opened it just before.
const LINGER: Duration = Duration::from_secs(10);
/// The same at the end of a run that ends by itself.
const LINGER_AT_END: Duration = Duration::from_secs(1);
/// How many small files of a partition are worth it.
const LEAST: usize = 4;

/// The compactions of a run.
#[derive(Debug, Default)]
pub struct Live {
    /// The tables that want it, by name.
    tables: BTreeMap<String, (Arc<dyn Sink>, Policy)>,
    task: Option<JoinHandle<Result<Found, UpkeepError>>>,
    /// Turns true when the task is to end.
    stop: Arc<AtomicBool>,
    looked: Option<Duration>,
    /// Old folders, and when they were exchanged.
    old: Vec<(Duration, PathBuf)>,
    /// Tables whose folders can be exchanged.
    tried: BTreeSet<String>,
    /// Folders that cannot be rewritten.
    left: BTreeSet<(String, String)>,
}

/// What a run that compacts between its batches knows of itself.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    /// Its checkpoint.
    pub checkpoint: &'a Checkpoint,
    /// The query whose tables they are.
    pub query_id: &'a str,
    /// The epoch of the run.
    pub epoch: u64,
    /// The time.
    pub clock: &'a dyn Clock,
    /// The newest commit.
    pub newest: Option<&'a Commit>,
    /// Whether all that it names is published and of the pipeline that runs: else nothing is looked for.
    pub is_settled: bool,
}

/// What a task found.
#[derive(Debug)]
enum Found {
    Nothing,
    Ready(String, Box<Ready>),
    /// The folder, or all of the table, stays as it is in this run.
    Left(String, Option<String>, LakeError),
}

/// What a task works on.
struct Task {
    checkpoint: Checkpoint,
    tables: BTreeMap<String, (Arc<dyn Sink>, Policy)>,
    tried: BTreeSet<String>,
    left: BTreeSet<(String, String)>,
    query_id: String,
    epoch: u64,
    now: i64,
    stop: Arc<AtomicBool>,
    old: Vec<PathBuf>,
}

impl Live {
    /// That of a run that writes `tables`.
    #[must_use]
    pub fn new(tables: &Sinks, policies: &BTreeMap<String, Policy>) -> Self {
        let wanted = |name: &String| policies.get(name).copied().filter(|p| p.auto || p.retain.is_some());
        let can = |sink: &Arc<dyn Sink>| sink.upkeep().is_some_and(|table| table.partition_columns() > 0);
        let tables = tables.iter().filter(|(_, sink)| can(sink));
        let tables = tables.filter_map(|(name, sink)| Some((name.clone(), (Arc::clone(sink), wanted(name)?))));
        Self { tables: tables.collect(), ..Self::default() }
    }

    /// How often the folders are looked at.
    fn interval(&self) -> Duration {
        let after = |policy: &Policy| Duration::from_micros(u64::try_from(policy.after_micros).unwrap_or(0));
        self.tables.values().map(|(_, policy)| if policy.auto { after(policy) } else { LOOK }).fold(LOOK, Duration::min)
    }

    /// Leaves a folder as it is from now on, or all of the table. Where it is only that readers would miss a partition, those
    /// that are too old go all the same.
    fn leave(&mut self, table: String, folder: Option<String>, error: &LakeError) {
        match (folder, self.tables.get_mut(&table)) {
            (Some(folder), _) => drop(self.left.insert((table, folder))),
            (None, Some((_, policy))) if policy.retain.is_some() && matches!(error, LakeError::TornLists { .. }) => {
                policy.auto = false;
            }
            (None, _) => drop(self.tables.remove(&table)),
        }
    }

    /// The old folders that no reader can have opened before they were exchanged.
    fn over(&mut self, now: Duration, linger: Duration) -> Vec<PathBuf> {
        let (over, young) = std::mem::take(&mut self.old).into_iter().partition(|(since, _)| now >= *since + linger);
        self.old = young;
        over.into_iter().map(|(_, folder): (Duration, PathBuf)| folder).collect()
    }

    /// Between two batches: exchanges what is ready, and lets a task look for more.
    ///
    /// # Errors
    /// When a folder cannot be exchanged, a file is not what was committed, or a later run has taken over.
    pub async fn between(&mut self, run: &Writer<'_>) -> Result<(), UpkeepError> {
        if self.tables.is_empty() || !run.is_settled {
            return Ok(());
        }
        if self.task.as_ref().is_some_and(JoinHandle::is_finished) {
            self.finish(run).await?;
        }
        let now = run.clock.monotonic();
        let interval = self.interval();
        let due = self.looked.is_none_or(|looked| now.saturating_sub(looked) >= interval);
        if due && self.task.is_none() {
            self.start(run);
        }
        Ok(())
    }

    /// At the end of a run. One that was stopped leaves what is not ready; one that ends by itself, `to_end`, does all that is
    /// due, and waits for readers of the old files.
    ///
    /// # Errors
    /// As [`Live::between`].
    pub async fn at_end(&mut self, run: &Writer<'_>, stopped: bool, to_end: bool) -> Result<(), UpkeepError> {
        if self.tables.is_empty() {
            return Ok(());
        }
        self.stop.store(stopped, Ordering::Relaxed);
        let mut again = !stopped && to_end && run.is_settled;
        while again || self.task.is_some() {
            if self.task.is_none() {
                self.start(run);
            }
            again &= self.finish(run).await?;
        }
        let linger = if stopped { LINGER } else { LINGER_AT_END };
        if !stopped && !self.old.is_empty() {
            tokio::time::sleep(linger).await;
        }
        // What stays is removed by the next start.
        for folder in self.over(run.clock.monotonic(), linger) {
            compact::remove(&folder)?;
        }
        for table in self.tables.values().filter_map(|(sink, _)| sink.upkeep()) {
            compact::Staging::of(table.location(), run.query_id, run.epoch)?.tidy();
        }
        Ok(())
    }

    fn start(&mut self, run: &Writer<'_>) {
        self.looked = Some(run.clock.monotonic());
        let task = Task {
            checkpoint: run.checkpoint.clone(),
            old: self.over(run.clock.monotonic(), LINGER),
            tables: self.tables.clone(),
            tried: self.tried.clone(),
            left: self.left.clone(),
            query_id: run.query_id.to_owned(),
            epoch: run.epoch,
            now: run.clock.now_micros(),
            stop: Arc::clone(&self.stop),
        };
        self.task = Some(tokio::task::spawn_blocking(move || task.run()));
    }

    /// Waits for the task and does what it made ready; false when there is nothing more to do.
    async fn finish(&mut self, run: &Writer<'_>) -> Result<bool, UpkeepError> {
        let Some(task) = self.task.take() else { return Ok(false) };
        let found = task.await??;
        let Some(newest) = run.newest else { return Ok(false) };
        match found {
            Found::Nothing => Ok(false),
            Found::Left(table, folder, error) => {
                tracing::warn!("{error}");
                self.leave(table, folder, &error);
                Ok(true)
            }
            Found::Ready(name, ready) => {
                let Some((sink, policy)) = self.tables.get(&name) else { return Ok(false) };
                let Some(table) = sink.upkeep() else { return Ok(false) };
                let of = Table {
                    checkpoint: run.checkpoint,
                    table,
                    name: &name,
                    query_id: run.query_id,
                    epoch: run.epoch,
                    target_bytes: policy.target_bytes,
                };
                if let Some(done) = of.exchange(*ready, newest, run.clock.now_micros())? {
                    let (files, into) = (done.record.inputs.len(), done.record.outputs.len());
                    tracing::info!(table = name, folder = done.record.folder, files, into, "a partition was exchanged");
                    self.old.push((run.clock.monotonic(), done.old));
                }
                self.tried.insert(name);
                // There may be more.
                self.looked = None;
                Ok(true)
            }
        }
    }
}

impl Task {
    /// Removes what is over, then rewrites the first folder that is due.
    fn run(self) -> Result<Found, UpkeepError> {
        for folder in &self.old {
            compact::remove(folder)?;
        }
        for (name, (sink, policy)) in &self.tables {
            let Some(table) = sink.upkeep() else { continue };
            for folder in compact::folders(table.location(), table.partition_columns(), &self.query_id)? {
                if self.stop.load(Ordering::Relaxed) {
                    return Ok(Found::Nothing);
                }
                let left = self.left.contains(&(name.clone(), folder.path.clone()));
                let why = due(&folder, policy, self.now, policy.after_micros, LEAST).ok();
                let Some(why) = why.filter(|why| !left && (policy.auto || *why == Why::Retain)) else { continue };
                if let Some(found) = self.rewrite(name, table, policy, &folder, why)? {
                    return Ok(found);
                }
            }
        }
        Ok(Found::Nothing)
    }

    fn rewrite(
        &self,
        name: &str,
        table: &dyn Upkeep,
        policy: &Policy,
        folder: &Folder,
        why: Why,
    ) -> Result<Option<Found>, UpkeepError> {
        let of = Table {
            checkpoint: &self.checkpoint,
            table,
            name,
            query_id: &self.query_id,
            epoch: self.epoch,
            target_bytes: policy.target_bytes,
        };
        let left = |folder: Option<String>, error| Ok(Some(Found::Left(name.to_owned(), folder, error)));
        if !self.tried.contains(name) {
            match compact::try_exchange(table.location(), &of.staging()?) {
                Err(error @ LakeError::CannotExchange { .. }) => return left(None, error),
                Ok(false) if why == Why::Compact => {
                    return left(None, LakeError::TornLists { location: table.location().to_owned() });
                }
                tried => tried?,
            };
        }
        let number = self.checkpoint.next_compaction()?;
        let go_on = || !self.stop.load(Ordering::Relaxed);
        match of.prepare(folder, number, why, &of.committed()?, &go_on) {
            Ok(ready) => Ok(ready.map(|ready| Found::Ready(name.to_owned(), Box::new(ready)))),
            Err(UpkeepError::Lake(error @ LakeError::DamagedInput { .. })) => left(Some(folder.path.clone()), error),
            Err(error) => Err(error),
        }
    }
}
