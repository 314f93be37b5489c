//! The loop: waits for data, decides what to read, reads it, makes the plan durable, runs the batch, reports it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::select_all;
use sluicebox_checkpoint::CheckpointError;
use sluicebox_checkpoint::records::PlannedRange;
use sluicebox_core::PartitionId;
use sluicebox_evolve::Stage;
use sluicebox_sources::Buffered;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Engine;
use crate::admit::{Admission, Limits, admit};
use crate::config::Trigger;
use crate::progress::Status;
use crate::shutdown::unless_left;
use crate::{EngineError, Observer, Totals, begin, topics};

/// How long to wait for a change before looking again whether a partition has become idle.
const TICK: Duration = Duration::from_secs(1);
/// The shortest time between batches of the default trigger, once caught up.
const CAUGHT_UP: Duration = Duration::from_secs(1);
/// How often new partitions are looked for.
const DISCOVERY: Duration = Duration::from_secs(10);
/// How many batches go by between two purges of the checkpoint.
const PURGE_EVERY: u64 = 10;

/// What the loop found to do.
enum Next {
    Run(Admission),
    Finish,
    Wait,
    Done,
}

impl Engine {
    /// Runs until `stop` turns true (the batch in progress is finished) or, for available-now, until all that was there
    /// is done. Gives the totals of the run.
    ///
    /// # Errors
    /// What ended the run. The checkpoint is as the last commit left it.
    pub async fn run(
        &mut self,
        stop: watch::Receiver<bool>,
        observer: &mut dyn Observer,
    ) -> Result<Totals, EngineError> {
        let (pipeline, batch) = (&self.config.graph.pipeline.name, self.next_batch);
        match self.resumes_at() {
            Some(_) => tracing::info!(pipeline, batch, "the run goes on"),
            None => tracing::info!(pipeline, "the run starts"),
        }
        let ended = self.run_loop(stop, observer).await;
        self.journal.tell();
        let Totals { batches, events, dead_letters, .. } = self.progress;
        match &ended {
            Ok(_) => tracing::info!(batches, events, dead_letters, "the run stops"),
            Err(error) => tracing::info!(batches, events, dead_letters, code = error.code(), "the run fails"),
        }
        // A run that was passed finds its staging swept, or other things gone: it is told that it was passed.
        ended.map_err(|error| {
            let passed = self.config.checkpoint.refuse_later_epochs(self.lock.epoch.epoch);
            passed.map_or_else(EngineError::from, |()| error)
        })
    }

    async fn run_loop(
        &mut self,
        mut stop: watch::Receiver<bool>,
        observer: &mut dyn Observer,
    ) -> Result<Totals, EngineError> {
        if !self.open_sinks(&stop).await? {
            return Ok(self.progress.clone());
        }
        if let Some(offsets) = self.replay.take()
            && !self.one_batch(offsets, &stop, observer).await?
        {
            return Ok(self.progress.clone());
        }
        if matches!(self.config.change.stage, Stage::Finish { .. }) {
            return Ok(self.progress.clone());
        }
        if self.is_live() && self.available_now() {
            let mut stopped = stop.clone();
            self.run_end = tokio::select! {
                end = self.find_end(true) => Some(end?),
                Ok(_) = stopped.wait_for(|stop| *stop) => return Ok(self.progress.clone()),
            };
        }
        self.looks_ahead = true;
        let mut resumed_end = self.is_live() && self.run_end.is_some() && self.unfinished_end().is_some();
        let mut purge: Option<JoinHandle<Result<(), CheckpointError>>> = None;
        let mut discovered = self.config.clock.monotonic();
        let mut waits_since = None;
        while !*stop.borrow() {
            let now = self.config.clock.monotonic();
            if self.run_end.is_none() && now.saturating_sub(discovered) >= DISCOVERY {
                discovered = now;
                // A broker that is away is waited for in there: whoever stops the run then has nothing to finish.
                tokio::select! {
                    found = self.discover() => found?,
                    Ok(_) = stop.wait_for(|stop| *stop) => break,
                }
            }
            self.compact_between().await?;
            match self.next().await? {
                Next::Run(admission) => {
                    self.goal.begin(self.config.clock.monotonic(), self.interval(), &admission.ranges);
                    self.plan_and_run(&admission.ranges, false, &stop, observer).await?;
                    self.start_purge(&mut purge).await?;
                    // It may have read less than it was to.
                    let ran = self.last_offsets.as_ref().map_or(&[][..], |offsets| offsets.ranges.as_slice());
                    let more = admission.limited || self.goal.is_left_by(ran);
                    if !more && self.run_end.is_none() {
                        self.pause(&mut stop).await;
                    }
                }
                Next::Finish => {
                    let ranges = self.idle_ranges().await?;
                    self.plan_and_run(&ranges, true, &stop, observer).await?;
                }
                Next::Wait => {
                    self.refuse_stalled(&mut waits_since)?;
                    self.wait(&mut stop, observer).await;
                    continue;
                }
                Next::Done if resumed_end => {
                    resumed_end = false;
                    let Some(end) = unless_left(&stop, self.find_end(false)).await else { break };
                    self.run_end = Some(end?);
                }
                Next::Done => break,
            }
            waits_since = None;
        }
        if let Some(purge) = purge {
            purge.await??;
        }
        let stopped = *stop.borrow();
        self.compact_at_end(stopped).await?;
        Ok(self.progress.clone())
    }

    /// Stops a run that reads what was there and waits for it in vain; `since` is since when it waits.
    fn refuse_stalled(&self, since: &mut Option<Duration>) -> Result<(), EngineError> {
        let (Some(ends), Some(limit)) = (&self.run_end, self.config.give_up_after) else { return Ok(()) };
        let now = self.config.clock.monotonic();
        let waited = now.saturating_sub(*since.get_or_insert(now));
        let behind = ends.iter().find(|(p, end)| self.positions.get(p).is_some_and(|at| at < end));
        match behind {
            Some((partition, end)) if waited > limit => {
                Err(EngineError::Stalled { partition: partition.to_string(), end: *end, waited })
            }
            _ => Ok(()),
        }
    }

    async fn next(&mut self) -> Result<Next, EngineError> {
        if let Some(ahead) = &self.ahead {
            return Ok(Next::Run(Admission { ranges: ahead.ranges.clone(), limited: true, full: true }));
        }
        let mut admission = self.admission(self.next_batch).await?;
        if !admission.is_empty() {
            let allowed = self.run_end.is_some()
                || self.goal.allows(self.config.clock.monotonic(), self.interval(), &admission.ranges);
            return Ok(if allowed { Next::Run(admission) } else { Next::Wait });
        }
        // A table has been filled when a batch of the whole pipeline says so.
        if self.is_live() && self.last.as_ref().is_some_and(|commit| !commit.pending.is_empty()) {
            return Ok(Next::Run(admission));
        }
        let clock = self.config.clock.now_micros();
        self.note_ends(clock, &mut admission.ranges);
        let at_end = super::batch::at_end(&admission.ranges);
        match &self.run_end {
            Some(ends) if ends.iter().all(|(p, end)| self.positions.get(p).is_none_or(|at| at >= end)) => {
                // A backfill ends where the living pipeline stands: nothing is closed for being at the end.
                let wanted = self.is_live() && self.runner.wants_empty_batch(clock, &at_end, true);
                Ok(if wanted { Next::Finish } else { Next::Done })
            }
            Some(_) => Ok(Next::Wait),
            None if self.runner.wants_empty_batch(clock, &at_end, false) => Ok(Next::Run(admission)),
            None => Ok(Next::Wait),
        }
    }

    /// What the batch of number `turn` would read if it were planned now.
    pub(super) async fn admission(&mut self, turn: u64) -> Result<Admission, EngineError> {
        let buffered = self.buffered().await?;
        let max_offsets =
            self.config.sources.iter().filter_map(|s| s.max_offsets.map(|max| (s.name.clone(), max))).collect();
        let limits = Limits { bytes: self.config.batch_bytes, max_offsets, run_end: self.run_end.clone(), turn };
        Ok(admit(&buffered, &limits))
    }

    /// Writes into `ranges`, of a batch whose clock is `clock`, what is known now of the ends of their partitions: what they were
    /// decided by may be older. A run that reads to an end of its own looks at no other.
    pub(super) fn note_ends(&mut self, clock: i64, ranges: &mut [PlannedRange]) {
        if self.run_end.is_some() {
            return;
        }
        let ends = self.config.sources.iter().flat_map(|binding| binding.source.ends()).collect();
        self.hearing.look(ends, clock, self.config.clock.monotonic());
        self.hearing.note(ranges);
    }

    async fn buffered(&mut self) -> Result<Vec<Buffered>, EngineError> {
        let mut buffered = Vec::new();
        for binding in &mut self.config.sources {
            buffered.extend(binding.source.buffered().await?);
        }
        self.progress.backlog = buffered.iter().map(|b| u64::try_from(b.log_end - b.position).unwrap_or(0)).sum();
        Ok(buffered)
    }

    /// Empty ranges at the positions of all partitions, each at its end.
    async fn idle_ranges(&mut self) -> Result<Vec<PlannedRange>, EngineError> {
        let buffered = self.buffered().await?;
        let run_end = Some(self.run_end.clone().unwrap_or_default());
        let limits = Limits { bytes: 0, max_offsets: BTreeMap::new(), run_end, turn: self.next_batch };
        Ok(admit(&buffered, &limits).ranges)
    }

    /// The time between two triggers.
    fn interval(&self) -> Duration {
        match self.config.trigger {
            Trigger::Default => CAUGHT_UP,
            Trigger::Interval(interval) => interval,
            Trigger::AvailableNow => Duration::ZERO,
        }
    }

    fn until_trigger(&self) -> Duration {
        self.goal.rest(self.config.clock.monotonic(), self.interval())
    }

    /// After a batch that took all there was: until the next trigger, or the run is to stop.
    async fn pause(&self, stop: &mut watch::Receiver<bool>) {
        let left = self.until_trigger();
        if !left.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// Until something new is buffered, the next trigger is due, a second has passed (a partition may have become idle), or
    /// the run is to stop.
    async fn wait(&mut self, stop: &mut watch::Receiver<bool>, observer: &mut dyn Observer) {
        let left = self.until_trigger();
        let tick = if left.is_zero() { TICK } else { left.min(TICK) };
        let ticked = {
            let changes = self.config.sources.iter_mut().map(|s| Box::pin(s.source.changed()));
            tokio::select! {
                _ = select_all(changes) => false,
                () = tokio::time::sleep(tick) => true,
                _ = stop.changed() => false,
            }
        };
        if ticked {
            tracing::debug!(
                batch = self.next_batch,
                behind = self.progress.backlog,
                "waits for events, or for a trigger"
            );
            let status = self.status();
            observer.idle(&status);
        }
    }

    /// Looks for new partitions and starts them at offset 0: what they no longer hold of it was never read, and is lost.
    async fn discover(&mut self) -> Result<(), EngineError> {
        let known: BTreeSet<(&str, &str)> =
            self.positions.keys().map(|p| (p.source.as_str(), p.topic.as_str())).collect();
        let mut found = BTreeMap::new();
        for binding in &mut self.config.sources {
            let new: BTreeMap<PartitionId, i64> = binding
                .source
                .partitions()
                .await?
                .into_iter()
                .filter(|partition| !self.positions.contains_key(partition))
                .map(|partition| (partition, 0))
                .collect();
            if new.keys().any(|p| !known.contains(&(p.source.as_str(), p.topic.as_str()))) {
                let log = binding.source.identity().await?;
                topics::check_and_pin(&self.config.checkpoint, &self.metadata, &binding.name, &log)?;
            }
            if !new.is_empty() {
                binding.source.start(&new).await?;
                found.extend(new);
            }
        }
        self.positions.extend(found);
        Ok(())
    }

    /// Where an available-now run stops. One that an earlier run began and did not finish is finished first.
    async fn find_end(&mut self, resume: bool) -> Result<BTreeMap<PartitionId, i64>, EngineError> {
        if resume && let Some(ends) = self.unfinished_end() {
            return Ok(ends);
        }
        self.discover().await?;
        let mut ends = BTreeMap::new();
        for binding in &mut self.config.sources {
            ends.extend(binding.source.bounds().await?.into_iter().map(|(p, bounds)| (p, bounds.latest)));
        }
        Ok(ends)
    }

    fn unfinished_end(&self) -> Option<BTreeMap<PartitionId, i64>> {
        let last = self.last_offsets.as_ref().filter(|offsets| !offsets.finishing)?;
        let ends = last.run_end.as_ref()?;
        Some(ends.iter().map(|p| (p.partition.clone(), p.offset)).collect())
    }

    /// Removes old records off the batch's path; at most one purge runs.
    async fn start_purge(
        &self,
        running: &mut Option<JoinHandle<Result<(), CheckpointError>>>,
    ) -> Result<(), EngineError> {
        let Some(commit) = self.last.as_ref().filter(|c| c.batch_id % PURGE_EVERY == 0) else { return Ok(()) };
        if let Some(purge) = running.take() {
            purge.await??;
        }
        let (checkpoint, commit) = (self.config.checkpoint.clone(), commit.clone());
        *running = Some(tokio::task::spawn_blocking(move || checkpoint.purge(&commit)));
        Ok(())
    }

    /// What the live status shows.
    pub(super) fn status(&mut self) -> Status {
        let topicless = self.config.sources.iter().filter_map(|binding| {
            let pattern = binding.starting.pattern.as_ref()?;
            let found = self.positions.keys().any(|p| p.source == binding.name);
            (!found).then(|| format!("source {}: {}", binding.name, begin::no_topic(pattern)))
        });
        let waits = topicless.collect();
        let all = self.last.as_ref().and_then(|commit| commit.totals.as_ref());
        let status = crate::report::status(&self.progress, all, &mut self.runner);
        Status { waits, ignored_fields: self.letters.fields(), ..status }
    }
}
