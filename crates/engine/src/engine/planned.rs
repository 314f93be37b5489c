//! One batch: reads it, makes its plan durable, runs it, and reports it.

use std::collections::BTreeMap;
use std::time::Duration;

use sluicebox_checkpoint::records::{Offsets, PlannedRange, Position};
use sluicebox_core::shown::cut;
use sluicebox_core::station::{self, Station};
use tokio::sync::watch;

use super::Engine;
use crate::outcome::BatchOutcome;
use crate::progress::Observer;
use crate::read::Read;
use crate::{EngineError, decoding, journal};

impl Engine {
    /// Reads `ranges`, makes a batch durable of them or of the part that its rows have room for, runs it, and tells of it.
    pub(super) async fn plan_and_run(
        &mut self,
        ranges: &[PlannedRange],
        finishing: bool,
        stop: &watch::Receiver<bool>,
        observer: &mut dyn Observer,
    ) -> Result<(), EngineError> {
        let started = self.config.clock.monotonic();
        let budget = decoding::budget(self.config.batch_bytes);
        let Some(mut read) = self.read(ranges, budget, stop).await? else {
            let id = self.next_batch;
            tracing::warn!(
                "batch {id} waits for the log or the registry and is left before it is planned; the next start reads from where \
                 the one before ended"
            );
            return Ok(());
        };
        self.ahead = read.rest.take();
        let clock_micros = self.config.clock.now_micros();
        self.note_ends(clock_micros, &mut read.ranges);
        let offsets = Offsets {
            batch_id: self.next_batch,
            epoch: self.lock.epoch.epoch,
            clock_micros,
            finishing,
            watermarks: self.watermarks(),
            ranges: std::mem::take(&mut read.ranges),
            // The end of a backfill is where the living pipeline stands: nobody has to be told.
            run_end: self.run_end.as_ref().filter(|_| self.is_live()).map(|ends| {
                ends.iter().map(|(p, offset)| Position { partition: p.clone(), offset: *offset }).collect()
            }),
            sql_hash: self.identity.sql_hash.clone(),
        };
        journal::planned(&offsets);
        let read_all = self.config.clock.monotonic();
        station::spend(Station::Commit, || self.config.checkpoint.write_offsets(&offsets))?;
        read.durations.insert("walCommit", self.config.clock.monotonic().saturating_sub(read_all));
        self.observed_batch(offsets, read, started, stop, observer).await?;
        Ok(())
    }

    /// Reads the batch of `offsets`, which is durable, whole, whatever its rows take; runs it, and tells of it. False when the run is
    /// to stop and the batch was left.
    pub(super) async fn one_batch(
        &mut self,
        offsets: Offsets,
        stop: &watch::Receiver<bool>,
        observer: &mut dyn Observer,
    ) -> Result<bool, EngineError> {
        let started = self.config.clock.monotonic();
        let Some(mut read) = self.read(&offsets.ranges, usize::MAX, stop).await? else {
            left(offsets.batch_id);
            return Ok(false);
        };
        read.durations.insert("walCommit", Duration::ZERO);
        self.observed_batch(offsets, read, started, stop, observer).await
    }

    /// Runs a batch and tells of it; false when the run is to stop and the batch was left.
    async fn observed_batch(
        &mut self,
        offsets: Offsets,
        read: Read,
        started: Duration,
        stop: &watch::Receiver<bool>,
        observer: &mut dyn Observer,
    ) -> Result<bool, EngineError> {
        let previous = self.progress.last_start.replace(started);
        let batch_id = offsets.batch_id;
        let Some(mut outcome) = self.run_batch(offsets, read, stop).await? else {
            left(batch_id);
            return Ok(false);
        };
        let ended = self.config.clock.monotonic();
        outcome.durations.insert("triggerExecution", ended.saturating_sub(started));
        let spent = station::spent();
        outcome.spent = spent.since(&std::mem::replace(&mut self.spent, spent));
        self.count(&outcome);
        self.journal.committed(&outcome, ended);
        journal::detail(&outcome);
        self.told.tell(&outcome);
        self.letters.count(&outcome.sources);
        for (source, schema, field) in self.letters.new_fields(&outcome.sources) {
            let field = cut(&field);
            tracing::warn!(
                "source {source}: events of schema {schema} have the field `{field}`, which the reader schema lacks: no table has it; \
                 `--repin {source}` adopts the latest schema"
            );
        }
        let progress = crate::report::progress(&self.identity, &outcome, previous.map(|p| started.saturating_sub(p)));
        let status = self.status();
        observer.batch(&progress, &status);
        Ok(true)
    }

    fn count(&mut self, outcome: &BatchOutcome) {
        let totals = &mut self.progress;
        totals.batches += 1;
        for source in &outcome.sources {
            totals.events += source.read;
            totals.tombstones += source.tombstones;
            // What fills a table reads again what others have written already.
            if self.outputs.writes(&source.source) {
                totals.dead_letters += source.dead_letters();
            }
            totals.lost_offsets += source.lost_offsets(None);
        }
        for table in &outcome.tables {
            *totals.tables.entry(table.table.clone()).or_default() += table.fates;
        }
        totals.backlog =
            outcome.offsets.ranges.iter().map(|r| u64::try_from(r.log_end - r.range.to).unwrap_or(0)).sum();
    }

    /// The watermarks in force, also those of a part of the pipeline that does not run.
    fn watermarks(&self) -> BTreeMap<String, Option<i64>> {
        let last = self.last.iter().flat_map(|commit| &commit.watermarks);
        let mut watermarks: BTreeMap<String, Option<i64>> = last.map(|(id, w)| (id.clone(), w.watermark)).collect();
        watermarks.extend(self.runner.watermarks());
        watermarks
    }
}

/// Tells that the planned batch `id` was left: before its commit, or with rows that a sink has not taken yet.
fn left(id: u64) {
    tracing::warn!("batch {id} waits for the log, the registry or a sink and is left; the next start goes on with it");
}
