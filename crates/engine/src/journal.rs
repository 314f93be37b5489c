//! The run's log: start, commits, new writer schemas and stop at level `info`; each batch with its steps at level `debug`, which shows
//! where a run waits.

use std::time::Duration;

use sluicebox_checkpoint::records::Offsets;

use crate::outcome::BatchOutcome;

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
        self.dead_letters += outcome.sources.iter().map(crate::report::SourceTally::dead_letters).sum::<u64>();
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

/// Tells what a batch is to read, before it is made durable.
pub(crate) fn planned(plan: &Offsets) {
    let (batch, partitions) = (plan.batch_id, plan.ranges.iter().filter(|r| !r.range.is_empty()).count());
    let offsets: u64 = plan.ranges.iter().map(|r| r.range.len()).sum();
    tracing::debug!(batch, partitions, offsets, "a batch begins");
}

/// Tells of a batch that was committed what it read and wrote, and what each of its steps took.
pub(crate) fn detail(outcome: &BatchOutcome) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let batch = outcome.offsets.batch_id;
    for source in &outcome.sources {
        let (read, tombstones, dead_letters) = (source.read, source.tombstones, source.dead_letters());
        tracing::debug!(batch, source = %source.source, read, tombstones, dead_letters, rows = source.rows, "was read");
    }
    for table in &outcome.tables {
        let (written, quarantined, late) = (table.fates.written, table.fates.quarantined, table.fates.late);
        tracing::debug!(batch, table = %table.table, written, quarantined, late, "was computed");
    }
    let steps = steps(outcome.durations.iter().map(|(step, took)| (*step, *took)));
    tracing::debug!(batch, "took {steps}");
}

/// `getBatch 3 ms, decode 12 ms`, in the names that `--progress json` has.
fn steps(durations: impl Iterator<Item = (&'static str, Duration)>) -> String {
    durations.map(|(step, took)| format!("{step} {} ms", took.as_millis())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sluicebox_checkpoint::records::Offsets;
    use sluicebox_core::station::AllSpent;

    use super::*;

    fn outcome(batch_id: u64) -> BatchOutcome {
        BatchOutcome {
            offsets: Offsets {
                batch_id,
                epoch: 1,
                clock_micros: 0,
                finishing: false,
                watermarks: BTreeMap::new(),
                ranges: Vec::new(),
                run_end: None,
                sql_hash: String::new(),
            },
            sources: Vec::new(),
            tables: Vec::new(),
            operators: Vec::new(),
            watermarks_after: BTreeMap::new(),
            durations: BTreeMap::new(),
            spent: AllSpent::default(),
        }
    }

    #[test]
    fn commits_that_come_fast_share_a_line_and_one_after_a_pause_has_its_own() {
        let mut journal = Journal::default();
        // How many commits wait for a line after each.
        let waiting: Vec<u64> = [0, 1, 5_000, 9_999, 10_000, 10_001, 60_000, 60_001]
            .into_iter()
            .zip(0..)
            .map(|(millis, batch)| {
                journal.committed(&outcome(batch), Duration::from_millis(millis));
                journal.batches
            })
            .collect();
        assert_eq!(waiting, [0, 1, 2, 3, 0, 1, 0, 1]);
        // The end tells the rest.
        journal.tell();
        assert_eq!(journal.batches, 0);
    }
}
