//! Reads a batch: takes the one that was read ahead, or asks the sources.

use std::sync::Arc;

use futures::FutureExt;
use sluicebox_checkpoint::records::PlannedRange;
use sluicebox_durable::fault::{self, Effect, Phase, What};
use sluicebox_sources::Taken;
use tokio::sync::watch;

use super::Engine;
use crate::read::{Part, Read, ReadAhead, Reading, ranges_of, reading};
use crate::shutdown::unless_left;
use crate::{EngineError, decoding};

impl Engine {
    /// Reads the batch of `ranges`, as far as its rows fit `budget` bytes; `None` when the run is to stop and the log or the registry
    /// keeps it waiting.
    pub(super) async fn read(
        &mut self,
        ranges: &[PlannedRange],
        budget: usize,
        stop: &watch::Receiver<bool>,
    ) -> Result<Option<Read>, EngineError> {
        let clock = Arc::clone(&self.config.clock);
        let began = clock.monotonic();
        let Some(reading) = unless_left(stop, self.begin_or_go_on(ranges, budget)).await else { return Ok(None) };
        let (reading, taken) = (reading?, clock.monotonic());
        let Some(read) = unless_left(stop, reading).await else { return Ok(None) };
        let mut read = read?;
        read.durations.insert("getBatch", taken.saturating_sub(began));
        read.durations.insert("decode", clock.monotonic().saturating_sub(taken));
        Ok(Some(read))
    }

    /// Begins to read the batch of `ranges`, unless that is what was begun already.
    async fn begin_or_go_on(&mut self, ranges: &[PlannedRange], budget: usize) -> Result<Reading, EngineError> {
        match self.ahead.take() {
            Some(ahead) if ahead.ranges == ranges => Ok(ahead.reading),
            _ => self.begin_reading(ranges, budget).await,
        }
    }

    /// Begins to read the batch after the one that is computed now, if there is enough for a full one. What was left over by this one
    /// waits: with its rows there would be twice the budget of such rows.
    pub(super) async fn look_ahead(&mut self) -> Result<(), EngineError> {
        if !self.looks_ahead || self.ahead.is_some() {
            return Ok(());
        }
        let admission = self.admission(self.next_batch + 1).await?;
        if admission.full && !admission.is_empty() {
            let budget = decoding::budget(self.config.batch_bytes);
            let mut reading = self.begin_reading(&admission.ranges, budget).await?;
            // Once it has been polled, other threads are at work on it.
            if let Some(read) = (&mut reading).now_or_never() {
                reading = std::future::ready(read).boxed();
            }
            self.ahead = Some(ReadAhead { ranges: admission.ranges, reading });
        }
        Ok(())
    }

    async fn begin_reading(&mut self, ranges: &[PlannedRange], budget: usize) -> Result<Reading, EngineError> {
        let mut parts = Vec::with_capacity(self.config.sources.len());
        let mut proofs = Vec::new();
        for binding in &mut self.config.sources {
            let own = ranges_of(&binding.name, ranges);
            let mut taken = if own.is_empty() {
                Taken::default()
            } else {
                fault::reach(What::Events, Effect::Fetch, Phase::Before);
                let taken = binding.source.take(&own).await?;
                fault::reach(What::Events, Effect::Fetch, Phase::After);
                taken
            };
            proofs.push(std::mem::take(&mut taken.proof));
            parts.push(Part { source: binding.name.clone(), rows: binding.rows.clone(), taken });
        }
        parts.sort_by(|a, b| a.source.cmp(&b.source));
        Ok(reading(parts, ranges.to_vec(), proofs, budget))
    }
}
