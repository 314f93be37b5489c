//! State larger than memory: decides when an operator folds its memory into a segment, and when it merges segments.
//!
//! The operators share the budget, `memory.limit`, equally. So whether one folds depends on its own history alone. When its state and a
//! second copy of what it would fold take three quarters of its share, an operator evicts what it also has in segments, and folds the rest.
//! The segment is written beside the next batches, and the first batch that finds it done adopts it. A batch waits for a fold only if it
//! would end above the share, or if the operator has twice as many deltas as start a fold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sluicebox_checkpoint::records::OperatorState;
use sluicebox_checkpoint::{Checkpoint, CheckpointError, StagedSegment};
use sluicebox_operators::Work;
use tokio::task::JoinHandle;

use crate::RuntimeError;
use crate::graph::Runner;

/// After so many deltas a run folds the state of an operator into a segment, or writes it whole.
pub const DELTAS: usize = 100;

/// So many segments of an operator are too many to look into: its batches wait for the merge that is under way.
const SEGMENTS: usize = 64;

type Task = JoinHandle<Result<Option<StagedSegment>, CheckpointError>>;

/// A segment that is being written.
#[derive(Debug)]
struct Job {
    /// What it takes the place of; of a fold the number of deltas.
    replaces: Replaced,
    wait: bool,
    task: Task,
}

#[derive(Debug)]
enum Replaced {
    Deltas(usize),
    Segments(Vec<String>),
}

/// The segments that are being written. They end with it.
#[derive(Debug)]
pub struct Segments {
    limit: usize,
    /// So many deltas of an operator start a fold.
    deltas: usize,
    /// By operator; a fold and a merge may go on side by side.
    folds: BTreeMap<String, Job>,
    merges: BTreeMap<String, Job>,
    stop: Arc<AtomicBool>,
    warned: bool,
}

impl Drop for Segments {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// How an operator stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Held {
    memory: usize,
    foldable: usize,
    /// Deltas that a fold would take the place of; of an operator that writes snapshots none.
    deltas: usize,
    segments: usize,
    folding: bool,
    merging: bool,
    /// Whether it has let go of what it can in this batch.
    evicted: bool,
    /// Whether it has been asked to fold in this batch.
    asked: bool,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Evict,
    Fold,
    AwaitFold,
    AwaitMerge,
    Nothing,
}

/// Decides the next step of an operator whose share of the budget is `share`, and which is folded after `most` deltas.
fn due(share: usize, most: usize, held: &Held) -> Due {
    // While it is folded it is there twice; and a hash table takes thrice as much for a moment when it grows.
    let pressed = held.memory.saturating_add(held.foldable) > share / 4 * 3;
    // A fold that frees next to nothing would only make small files: filters and indexes stay in memory.
    let worth = held.foldable > 0 && held.foldable >= share / 16;
    if pressed && !held.evicted {
        Due::Evict
    } else if !held.folding && !held.asked && (held.deltas >= most || (pressed && worth)) {
        Due::Fold
    } else if held.folding && (held.memory > share || held.deltas >= 2 * most) {
        Due::AwaitFold
    } else if held.merging && held.segments >= SEGMENTS {
        Due::AwaitMerge
    } else {
        Due::Nothing
    }
}

/// The batch whose commit will name what is adopted.
#[derive(Debug)]
struct Batch<'a> {
    checkpoint: &'a Checkpoint,
    /// Its id, and the epoch.
    key: (u64, u64),
    states: &'a mut BTreeMap<String, OperatorState>,
    /// How many segments of each operator it has named.
    named: BTreeMap<String, usize>,
}

impl Segments {
    /// None, under a budget of `limit` bytes of memory for all state; an operator is folded after so many `deltas`, at least
    /// one.
    #[must_use]
    pub fn new(limit: u64, deltas: usize) -> Self {
        Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            deltas: deltas.max(1),
            folds: BTreeMap::new(),
            merges: BTreeMap::new(),
            stop: Arc::default(),
            warned: false,
        }
    }

    /// After so many deltas an operator is folded, or written whole.
    pub(crate) fn deltas(&self) -> usize {
        self.deltas
    }

    /// Adopts what is written, and starts what is due, after the deltas of the batch `key` have been put into `states`.
    pub(crate) async fn settle(
        &mut self,
        runner: &mut Runner,
        checkpoint: &Checkpoint,
        key: (u64, u64),
        states: &mut BTreeMap<String, OperatorState>,
    ) -> Result<(), RuntimeError> {
        let mut batch = Batch { checkpoint, key, states, named: BTreeMap::new() };
        let ids = runner.operator_ids();
        let share = self.limit / ids.len().max(1);
        for id in &ids {
            release(runner, &mut batch, id)?;
            for jobs in [&mut self.folds, &mut self.merges] {
                if let Some(job) = jobs.remove(id) {
                    if job.task.is_finished() {
                        adopt(runner, &mut batch, id, job).await?;
                    } else {
                        jobs.insert(id.clone(), job);
                    }
                }
            }
            self.settle_one(runner, &mut batch, id, share).await?;
            release(runner, &mut batch, id)?;
        }
        self.warn(runner);
        Ok(())
    }

    async fn settle_one(
        &mut self,
        runner: &mut Runner,
        batch: &mut Batch<'_>,
        id: &str,
        share: usize,
    ) -> Result<(), RuntimeError> {
        let (mut asked, mut evicted) = (false, false);
        loop {
            match due(share, self.deltas, &self.held(runner, batch, id, (asked, evicted))?) {
                Due::Evict => {
                    runner.operator_mut(id)?.evict();
                    evicted = true;
                }
                Due::Fold => {
                    self.start_fold(runner, batch, id).await?;
                    asked = true;
                }
                Due::AwaitFold => {
                    if let Some(job) = self.folds.remove(id) {
                        adopt(runner, batch, id, job).await?;
                    }
                    evicted = false;
                }
                Due::AwaitMerge => {
                    if let Some(job) = self.merges.remove(id) {
                        adopt(runner, batch, id, job).await?;
                    }
                }
                Due::Nothing => break,
            }
        }
        if !self.merges.contains_key(id) {
            self.start_merge(runner, batch, id).await?;
        }
        Ok(())
    }

    fn held(
        &self,
        runner: &mut Runner,
        batch: &Batch<'_>,
        id: &str,
        (asked, evicted): (bool, bool),
    ) -> Result<Held, RuntimeError> {
        let state = batch.states.get(id);
        let operator = runner.operator_mut(id)?;
        Ok(Held {
            memory: operator.memory_bytes(),
            foldable: operator.foldable_bytes(),
            deltas: state.filter(|_| operator.has_segments()).map_or(0, |s| s.deltas.len()),
            segments: state.map_or(0, |s| s.segments.len()),
            folding: self.folds.contains_key(id),
            merging: self.merges.contains_key(id),
            evicted,
            asked,
        })
    }

    async fn start_fold(&mut self, runner: &mut Runner, batch: &mut Batch<'_>, id: &str) -> Result<(), RuntimeError> {
        let work = runner.operator_mut(id)?.fold()?;
        let Some(state) = batch.states.get_mut(id) else { return Ok(()) };
        let Some(work) = work else {
            state.fold(state.deltas.len(), None);
            return Ok(());
        };
        let job = self.start(batch.checkpoint, id, work, Replaced::Deltas(state.deltas.len()));
        if job.wait {
            return adopt(runner, batch, id, job).await;
        }
        self.folds.insert(id.to_owned(), job);
        Ok(())
    }

    async fn start_merge(&mut self, runner: &mut Runner, batch: &mut Batch<'_>, id: &str) -> Result<(), RuntimeError> {
        let Some(work) = runner.operator_mut(id)?.merge()? else { return Ok(()) };
        let replaces = work.replaces.clone();
        let job = self.start(batch.checkpoint, id, work, Replaced::Segments(replaces));
        if job.wait {
            return adopt(runner, batch, id, job).await;
        }
        self.merges.insert(id.to_owned(), job);
        Ok(())
    }

    fn start(&self, checkpoint: &Checkpoint, id: &str, work: Work, replaces: Replaced) -> Job {
        let (checkpoint, id, stop) = (checkpoint.clone(), id.to_owned(), Arc::clone(&self.stop));
        let task = tokio::task::spawn_blocking(move || checkpoint.stage_segment(&id, work.content, &stop));
        Job { replaces, wait: work.wait, task }
    }

    /// Says once that the budget cannot be kept.
    fn warn(&mut self, runner: &mut Runner) {
        let bytes = runner.memory_bytes();
        if bytes > self.limit && self.folds.is_empty() && !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(
                "the state takes {bytes} bytes of memory, and memory.limit is {}: what of it can be on disk is there. Raise \
                 the limit, or let a watermark with a shorter delay forget earlier",
                self.limit
            );
        }
    }
}

/// Takes the segments out of the record that the operator needs no more.
fn release(runner: &mut Runner, batch: &mut Batch<'_>, id: &str) -> Result<(), RuntimeError> {
    let gone = runner.operator_mut(id)?.release();
    if let Some(state) = batch.states.get_mut(id) {
        state.segments.retain(|s| !gone.contains(&s.file.path));
    }
    Ok(())
}

/// Waits for `job` and puts its segment in place of what it replaces.
async fn adopt(runner: &mut Runner, batch: &mut Batch<'_>, id: &str, job: Job) -> Result<(), RuntimeError> {
    let staged = job.task.await??;
    let nth = batch.named.entry(id.to_owned()).or_default();
    let named = staged.map(|staged| batch.checkpoint.name_segment(id, batch.key, *nth, staged)).transpose()?;
    *nth += 1;
    let (record, segment) = named.unzip();
    let Some(state) = batch.states.get_mut(id) else {
        return Err(RuntimeError::Bug(format!("a segment of `{id}`, which has no state")));
    };
    let replaces = match job.replaces {
        Replaced::Deltas(deltas) => {
            state.fold(deltas, record);
            Vec::new()
        }
        Replaced::Segments(names) => {
            state.merge(&names, record);
            names
        }
    };
    runner.operator_mut(id)?.adopt(segment, &replaces)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(memory: usize, foldable: usize) -> Held {
        Held { memory, foldable, ..Held::default() }
    }

    /// What is due in a run.
    fn due(share: usize, held: &Held) -> Due {
        super::due(share, DELTAS, held)
    }

    #[test]
    fn what_could_be_there_twice_and_fit_stays() {
        assert_eq!(due(1600, &held(600, 600)), Due::Nothing);
        assert_eq!(due(1600, &held(601, 600)), Due::Evict);
        assert_eq!(due(1600, &held(1200, 0)), Due::Nothing);
    }

    #[test]
    fn an_operator_folds_once_a_batch_and_only_if_it_is_worth_it() {
        let evicted = Held { evicted: true, ..held(1600, 100) };
        assert_eq!(due(1600, &evicted), Due::Fold);
        assert_eq!(due(1600, &Held { asked: true, ..evicted.clone() }), Due::Nothing);
        assert_eq!(due(1600, &Held { folding: true, ..evicted.clone() }), Due::Nothing);
        assert_eq!(due(1600, &Held { foldable: 99, ..evicted }), Due::Nothing);
    }

    #[test]
    fn a_batch_waits_for_a_fold_only_above_the_share_or_with_too_many_deltas() {
        let folding = Held { folding: true, evicted: true, ..held(1600, 0) };
        assert_eq!(due(1600, &folding), Due::Nothing);
        assert_eq!(due(1599, &folding), Due::AwaitFold);
        assert_eq!(due(1 << 20, &Held { deltas: 2 * DELTAS, ..folding }), Due::AwaitFold);
    }

    #[test]
    fn a_hundred_deltas_are_folded_and_too_many_segments_wait_for_their_merge() {
        let many = Held { deltas: DELTAS, ..held(1, 0) };
        assert_eq!(due(1 << 20, &many), Due::Fold);
        assert_eq!(due(1 << 20, &Held { segments: SEGMENTS, merging: true, ..held(1, 0) }), Due::AwaitMerge);
    }
}
