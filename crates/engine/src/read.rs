//! Reads a batch: takes its events from the sources and decodes them.
//!
//! Reading changes nothing durable, so it comes before the plan. The plan names what was decoded, which may be less than what was taken
//! ([`decoding`]). The rest is kept, and the next batch begins with it.
//!
//! Reading need not wait for the batch before. While that batch's files are staged, committed and published, the next one is already
//! decoded (`Engine::look_ahead`). Only a batch that a limit cuts ([`Admission::full`](crate::admit::Admission::full)) is read ahead: any
//! other would miss the events that arrive meanwhile.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use futures::FutureExt;
use futures::future::BoxFuture;
use sluicebox_checkpoint::records::PlannedRange;
use sluicebox_core::{OffsetRange, PartitionId};
use sluicebox_sources::{Proof, Taken};

use crate::config::RowsOf;
use crate::report::SourceTally;
use crate::{EngineError, decoding};

/// What the sources gave to a batch.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// What was read: what was asked for, or the first part of it.
    pub ranges: Vec<PlannedRange>,
    /// One a source.
    pub reports: Vec<SourceTally>,
    /// Rows by source, or by the table whose rows were read back, in the order of (partition, offset).
    pub rows: BTreeMap<String, Vec<RecordBatch>>,
    /// Dead letters by source; only sources that have some.
    pub dead_letters: Vec<(String, Vec<RecordBatch>)>,
    /// Of the events: must hold before the batch is committed.
    pub proofs: Vec<Proof>,
    /// Time by step.
    pub durations: BTreeMap<&'static str, Duration>,
    /// What was taken beyond `ranges`.
    pub rest: Option<ReadAhead>,
}

/// A batch that is being decoded.
pub(crate) type Reading = BoxFuture<'static, Result<Read, EngineError>>;

/// The next batch, as far as it is known before its plan.
pub(crate) struct ReadAhead {
    /// What it reads, or a part of it.
    pub ranges: Vec<PlannedRange>,
    /// Its rows, once they are there.
    pub reading: Reading,
}

impl fmt::Debug for ReadAhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadAhead").field("ranges", &self.ranges).finish_non_exhaustive()
    }
}

/// What a batch takes of one source.
pub(crate) struct Part {
    pub source: String,
    pub rows: RowsOf,
    pub taken: Taken,
}

/// The ranges of `source` that hold something.
pub(crate) fn ranges_of(source: &str, ranges: &[PlannedRange]) -> BTreeMap<PartitionId, OffsetRange> {
    let own = ranges.iter().filter(|r| r.partition.source == source && !r.range.is_empty());
    own.map(|r| (r.partition.clone(), r.range)).collect()
}

/// As [`rows_of`], which gives such a future itself.
pub(crate) fn reading(parts: Vec<Part>, ranges: Vec<PlannedRange>, proofs: Vec<Proof>, budget: usize) -> Reading {
    rows_of(parts, ranges, proofs, budget).boxed()
}

/// The rows of `parts`, as far as they fit `budget` bytes.
async fn rows_of(
    parts: Vec<Part>,
    ranges: Vec<PlannedRange>,
    proofs: Vec<Proof>,
    budget: usize,
) -> Result<Read, EngineError> {
    let partitions: Arc<[PartitionId]> = ranges.iter().map(|r| r.partition.clone()).collect();
    let mut read = Read { proofs, ..Read::default() };
    let (mut left, mut rest, mut ends) = (budget, Vec::with_capacity(parts.len()), BTreeMap::new());
    for Part { source, rows, mut taken } in parts {
        let mut report = SourceTally::new(&source, &ranges, &taken);
        let mut over = Taken::default();
        match &rows {
            RowsOf::Events(decoder) => {
                let events = std::mem::take(&mut taken.events);
                let done = decoding::decode(&mut report, decoder, events, &partitions, &mut left).await?;
                read.rows.entry(source.clone()).or_default().extend(done.rows);
                if !done.dead_letters.is_empty() {
                    read.dead_letters.push((source.clone(), done.dead_letters));
                }
                over = report.give_back(done.rest);
                ends.extend(
                    over.events.iter().rev().filter_map(|raw| Some((raw.partition.clone(), raw.first_offset()?))),
                );
            }
            RowsOf::Files(files) => {
                let (files, all, wanted) = (Arc::clone(files), Arc::clone(&partitions), ranges_of(&source, &ranges));
                let own = wanted.clone();
                let tables = tokio::task::spawn_blocking(move || files.read(&wanted, &all)).await??;
                report.add_read_back(&partitions, &own, tables.values().flatten())?;
                read.rows.extend(tables);
            }
        }
        read.reports.push(report);
        rest.push(Part { source, rows, taken: over });
    }
    let (ranges, behind) = cut(ranges, &ends);
    read.ranges = ranges;
    // What proves the events of this batch proves these: they were taken together.
    read.rest = (!ends.is_empty())
        .then(|| ReadAhead { reading: reading(rest, behind.clone(), Vec::new(), budget), ranges: behind });
    Ok(read)
}

/// The ranges before `ends`, and what is behind them; of a partition that has none, all is before.
fn cut(mut ranges: Vec<PlannedRange>, ends: &BTreeMap<PartitionId, i64>) -> (Vec<PlannedRange>, Vec<PlannedRange>) {
    let mut behind = ranges.clone();
    for (before, behind) in ranges.iter_mut().zip(&mut behind) {
        let end = ends.get(&before.partition).copied().unwrap_or(before.range.to);
        (before.range.to, behind.range.from) = (end, end);
    }
    (ranges, behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_is_cut_and_the_one_behind_it_are_what_was_to_be_read() {
        let planned = |partition, from, to| PlannedRange {
            partition: PartitionId::new("s", "t", partition),
            range: OffsetRange::new(from, to),
            log_end: 90,
            heard_since: None,
        };
        let ends = BTreeMap::from([(PartitionId::new("s", "t", 1), 7)]);
        let (before, behind) = cut(vec![planned(0, 3, 9), planned(1, 4, 12), planned(2, 6, 6)], &ends);
        assert_eq!(before, [planned(0, 3, 9), planned(1, 4, 7), planned(2, 6, 6)]);
        assert_eq!(behind, [planned(0, 9, 9), planned(1, 7, 12), planned(2, 6, 6)]);
    }
}
