//! What a run writes to its log at level `info`: start, commits, new schemas of writers, stop.

use std::time::Duration;

use crate::batch::BatchOutcome;

/// At most one line about commits in this time: a run may commit many times a second.
const EVERY: Duration = Duration::from_secs(10);

/// What was committed since the last line.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    told: Option<Duration>,
    batches: u64,
    events: u64,
    rows: u64,
    dead_letters: u64,
    newest: u64,
}

impl Journal {
    /// A batch was committed at `now`, by the clock that never goes back.
    pub(crate) fn committed(&mut self, outcome: &BatchOutcome, now: Duration) {
        self.batches += 1;
        self.newest = outcome.offsets.batch_id;
        self.events += outcome.sources.iter().map(|s| s.read).sum::<u64>();
        self.dead_letters += outcome.sources.iter().map(crate::report::SourceReport::dead_letters).sum::<u64>();
        self.rows += outcome.tables.iter().map(|t| t.fates.written).sum::<u64>();
        if self.told.is_none_or(|told| now.saturating_sub(told) >= EVERY) {
            self.tell();
            self.told = Some(now);
        }
    }

    /// Tells what has not been told.
    pub(crate) fn tell(&mut self) {
        if self.batches == 0 {
            return;
        }
        let Self { batches, events, rows, dead_letters, newest, .. } = *self;
        if batches == 1 {
            tracing::info!(batch = newest, events, rows, dead_letters, "committed");
        } else {
            tracing::info!(batch = newest, batches, events, rows, dead_letters, "committed, with those before it");
        }
        *self = Self { told: self.told, ..Self::default() };
    }
}
