//! Runs one batch, from its durable plan to its published files.
//!
//! ```text
//! read ─> offsets/<id> durable ─> tables ─> stage, while the tables below compute ─> state ─> report
//!    ─> the log has proven the events to be its own ─> commits/<id> durable ─> publish ─> tell the log
//! ```
//!
//! A crash before `commits/<id>` leaves staged files that no commit names. A crash after it leaves files that the next start publishes.

use std::collections::BTreeMap;
use std::sync::Arc;

use sluicebox_checkpoint::records::{
    Commit, Offsets, OperatorState, PlannedRange, Position, SeenSchemas, StagedOutput, Totals,
};
use sluicebox_core::PartitionId;
use sluicebox_core::station::{self, AllSpent, Station};
use sluicebox_durable::fault::{self, Effect, Phase, What};
use sluicebox_operators::AtEnd;
use sluicebox_runtime::graph::{BatchInput, OperatorChange, TableOutput};
use sluicebox_runtime::{Stager, StagingJobs, outputs, state_writer};
use sluicebox_sinks::Check;
use sluicebox_sources::Proof;
use tokio::sync::watch;

use super::Engine;
use crate::EngineError;
use crate::outcome::BatchOutcome;
use crate::read::Read;
use crate::report::{self, SourceTally};
use crate::shutdown::unless_left;

impl Engine {
    /// Runs the batch of `offsets`, which is durable and of which `read` was read; `None` when the run is to stop and the log keeps
    /// the batch waiting: then nothing has happened, and the next start runs it; or when a sink keeps it waiting after its commit:
    /// then the next start publishes it. The run must end after `None`. On an error the operators' state is
    /// undefined: the run must end.
    pub(super) async fn run_batch(
        &mut self,
        offsets: Offsets,
        read: Read,
        stop: &watch::Receiver<bool>,
    ) -> Result<Option<BatchOutcome>, EngineError> {
        let clock = Arc::clone(&self.config.clock);
        let Read { reports: sources, rows, dead_letters, proofs, mut durations, .. } = read;
        let mut mark = clock.monotonic();
        let mut lap = |name: &'static str| {
            let now = clock.monotonic();
            durations.insert(name, now.saturating_sub(mark));
            mark = now;
        };
        self.letters.judge(
            offsets.batch_id,
            |name: &str| self.config.sources.iter().find(|s| s.name == name).and_then(|s| s.max_letters),
            &sources,
            &dead_letters,
        )?;
        let mut staging = StagingJobs::new();
        for (source, rows) in dead_letters.into_iter().filter(|(source, _)| self.outputs.writes(source)) {
            self.stager(&offsets, &mut staging).start(self.outputs.dead_letter_job(&source, rows));
        }
        let partitions: Vec<PartitionId> = offsets.ranges.iter().map(|r| r.partition.clone()).collect();
        let input = BatchInput {
            clock_micros: offsets.clock_micros,
            partitions,
            at_end: at_end(&offsets.ranges),
            finishing: offsets.finishing,
            rows,
        };
        let mut tables = self.run_tables(&offsets, input, &mut staging).await?;
        lap("addBatch");
        let mut changes = self.runner.changes()?;
        station::spend(Station::Report, || self.stage_report(&offsets, &sources, &tables, &mut staging))?;
        // What is computed for others alone, as when a table is filled, is told of nowhere.
        tables.retain(|table| self.outputs.writes(&table.table));
        // After all that is to be staged, since threads take up work in the order in which it came.
        // What goes wrong with the next batch ends the run when this one is safe.
        let ahead = unless_left(stop, self.look_ahead()).await;
        let state = station::timed(Station::State, self.write_state(&offsets, &mut changes)).await?;
        let outputs = staged(staging).await?;
        // Staged files are nothing yet; from here on the events are taken for those of the topic.
        let Some(proven) = unless_left(stop, proven(proofs)).await else { return Ok(None) };
        proven?;
        lap("stage");
        let totals = self.totals_after(&offsets, &sources, &tables);
        let commit = Commit { totals: Some(totals), ..self.commit_record(&offsets, &sources, outputs, state) };
        station::spend(Station::Commit, || self.config.checkpoint.write_commit(&commit))?;
        lap("commitOffsets");
        station::spend(Station::Publish, || outputs::publish(&mut self.publisher, &commit, Check::Size))?;
        if !self.publish_rows(&commit, stop).await? {
            return Ok(None);
        }
        lap("publish");
        for range in &offsets.ranges {
            self.positions.insert(range.partition.clone(), range.range.to);
        }
        self.tell_logs().await;
        self.sweep_once().await?;
        self.last = Some(commit);
        self.last_offsets = Some(offsets.clone());
        self.next_batch = offsets.batch_id + 1;
        if let Some(Err(error)) = ahead {
            return Err(error);
        }
        Ok(Some(BatchOutcome {
            offsets,
            sources,
            tables,
            operators: changes,
            watermarks_after: self.runner.watermarks(),
            durations,
            spent: AllSpent::default(),
        }))
    }

    /// Runs the tables; each one's files are staged while the next one computes.
    async fn run_tables(
        &mut self,
        offsets: &Offsets,
        input: BatchInput,
        staging: &mut StagingJobs,
    ) -> Result<Vec<TableOutput>, EngineError> {
        let stager = Stager {
            outputs: &self.outputs,
            query_id: self.metadata.id.clone(),
            epoch: self.lock.epoch.epoch,
            batch_id: offsets.batch_id,
            staging,
            held: Arc::default(),
        };
        let partitions = input.partitions.clone();
        let tables =
            self.runner.run_batch_into(input, stager).await.map_err(|error| error.of_batch(offsets.batch_id))?;
        if let Some(error) = report::failed_row(&tables, offsets.batch_id, &partitions) {
            return Err(error);
        }
        match report::failed_update(&tables, offsets.batch_id, &self.outputs.failed())? {
            Some(error) => Err(error),
            None => Ok(tables),
        }
    }

    fn stager<'s>(&'s self, offsets: &Offsets, staging: &'s mut StagingJobs) -> Stager<'s> {
        let (query_id, epoch) = (self.metadata.id.clone(), self.lock.epoch.epoch);
        Stager { outputs: &self.outputs, query_id, epoch, batch_id: offsets.batch_id, staging, held: Arc::default() }
    }

    /// Writes what the batch changed in each operator, and names what was folded meanwhile: so that a restart reads little,
    /// and the state may be larger than memory.
    async fn write_state(
        &mut self,
        offsets: &Offsets,
        changes: &mut [OperatorChange],
    ) -> Result<BTreeMap<String, OperatorState>, EngineError> {
        let mut states = self.last.as_ref().map(|c| c.state.clone()).unwrap_or_default();
        let batch = (offsets.batch_id, self.lock.epoch.epoch);
        let (checkpoint, clock) = (&self.config.checkpoint, self.config.clock.as_ref());
        let (runner, segments) = (&mut self.runner, &mut self.segments);
        state_writer::write(checkpoint, batch, runner, changes, segments, &mut states, clock).await?;
        Ok(states)
    }

    /// Makes the report, proves the ledger, and starts to stage it.
    fn stage_report(
        &self,
        offsets: &Offsets,
        sources: &[SourceTally],
        tables: &[TableOutput],
        staging: &mut StagingJobs,
    ) -> Result<(), EngineError> {
        let none = SeenSchemas::new();
        let seen = self.last.as_ref().map_or(&none, |commit| &commit.schemas);
        let tables: Vec<&TableOutput> = tables.iter().filter(|t| self.outputs.writes(&t.table)).collect();
        let report = report::build(&self.identity, offsets, sources, &tables, seen)?;
        for job in self.outputs.report_jobs(report.json, report.rows, report.samples) {
            self.stager(offsets, staging).start(job);
        }
        Ok(())
    }

    fn commit_record(
        &self,
        offsets: &Offsets,
        sources: &[SourceTally],
        outputs: Vec<StagedOutput>,
        state: BTreeMap<String, OperatorState>,
    ) -> Commit {
        let mut positions = self.positions.clone();
        positions.extend(offsets.ranges.iter().map(|r| (r.partition.clone(), r.range.to)));
        let mut schemas = self.last.as_ref().map(|commit| commit.schemas.clone()).unwrap_or_default();
        for source in sources {
            // Foreign bytes name ids at random: only those that gave rows are kept, so that commits do not grow.
            let keys = source.schemas.values().filter(|s| s.rows > 0).map(|s| s.key.to_string());
            let seen = schemas.entry(source.source.clone()).or_default();
            for schema in keys {
                let (batch, name) = (offsets.batch_id, &source.source);
                if seen.insert(schema.clone()) {
                    tracing::info!(batch, source = %name, %schema, "a schema that no event had before");
                }
            }
        }
        // What a part of the pipeline does not run stays as it is.
        let mut watermarks = self.last.as_ref().map(|commit| commit.watermarks.clone()).unwrap_or_default();
        watermarks.extend(self.runner.watermark_states());
        Commit {
            schemas,
            pipeline: self.adopted.number,
            pending: self.adopted.pending.clone(),
            batch_id: offsets.batch_id,
            epoch: self.lock.epoch.epoch,
            outputs,
            positions: positions.into_iter().map(|(partition, offset)| Position { partition, offset }).collect(),
            watermarks,
            state,
            totals: None,
        }
    }

    /// What all batches did, this one included.
    fn totals_after(&self, offsets: &Offsets, sources: &[SourceTally], tables: &[TableOutput]) -> Totals {
        let before = self.last.as_ref().and_then(|commit| commit.totals.clone());
        let mut totals = before.unwrap_or_else(|| Totals { since: offsets.batch_id, ..Totals::default() });
        // What fills a table reads events again, and gives rows to that table alone.
        if self.is_live() {
            totals.events += sources.iter().map(|s| s.read).sum::<u64>();
            totals.dead_letters += sources.iter().map(SourceTally::dead_letters).sum::<u64>();
        }
        for table in tables.iter().filter(|t| self.outputs.writes(&t.table)) {
            *totals.tables.entry(table.table.clone()).or_default() += table.fates;
        }
        totals
    }

    /// After the run's first commit no commit of an older epoch can need its staging any more: it goes, and the records
    /// of runs that are over with it.
    async fn sweep_once(&mut self) -> Result<(), EngineError> {
        if std::mem::replace(&mut self.swept, true) {
            return Ok(());
        }
        let (epoch, checkpoint) = (self.lock.epoch.epoch, self.config.checkpoint.clone());
        let folders: Vec<_> =
            self.outputs.folders().into_iter().chain(self.outputs.older(&[&self.metadata.id])).collect();
        let others: Vec<_> = self.outputs.tables().values().filter(|sink| sink.folder().is_none()).cloned().collect();
        let live = self.is_live();
        let sweep = tokio::task::spawn_blocking(move || {
            for folder in folders {
                sluicebox_sinks::sweep(&folder.location, epoch)?;
            }
            others.iter().try_for_each(|sink| sink.sweep(epoch))?;
            checkpoint.forget_epochs(epoch)?;
            if live {
                checkpoint.forget_backfills()?;
            }
            Ok::<_, EngineError>(())
        });
        sweep.await?
    }

    /// Tells each log how far the pipeline is, for lag tools. Nothing depends on it.
    async fn tell_logs(&mut self) {
        if !self.is_live() {
            return;
        }
        for binding in &mut self.config.sources {
            let own =
                self.positions.iter().filter(|(p, _)| p.source == binding.name).map(|(p, o)| (p.clone(), *o)).collect();
            fault::reach(What::Group, Effect::Call, Phase::Before);
            let told = binding.source.committed(&own).await;
            fault::reach(What::Group, Effect::Call, Phase::After);
            if let Err(error) = told {
                tracing::warn!(
                    "group offsets of source `{}` were not committed, lag tools show old ones: {error}",
                    binding.name
                );
            }
        }
    }
}

pub(super) fn at_end(ranges: &[PlannedRange]) -> BTreeMap<PartitionId, AtEnd> {
    ranges
        .iter()
        .map(|r| {
            let end = match (u64::try_from(r.log_end - r.range.to).unwrap_or(0), r.heard_since) {
                (0, None) => AtEnd::Reached,
                (0, Some(since)) => AtEnd::HeardSince(since),
                (left, _) => AtEnd::Backlog(left),
            };
            (r.partition.clone(), end)
        })
        .collect()
}

async fn proven(proofs: Vec<Proof>) -> Result<(), EngineError> {
    for proof in proofs {
        proof.holds().await?;
    }
    Ok(())
}

/// Waits for all staging, and puts the tables before what stands beside them, in a fixed order.
async fn staged(staging: StagingJobs) -> Result<Vec<StagedOutput>, EngineError> {
    let mut outputs = Vec::with_capacity(staging.len());
    for task in staging {
        outputs.extend(task.await??);
    }
    Ok(outputs)
}
