//! What one batch read from one source.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use sluicebox_checkpoint::records::PlannedRange;
use sluicebox_core::provenance::{OFFSET, PART};
use sluicebox_core::raw::RawEvents;
use sluicebox_core::{OffsetRange, PartitionId};
use sluicebox_formats::{Decoded, ErrorClass, SchemaUse};
use sluicebox_registry::SchemaKey;
use sluicebox_sources::{LostRange, Taken};

use crate::EngineError;

/// What one source gave to one batch; its ledger is read = tombstones + dead letters + rows.
#[derive(Debug, Clone)]
pub struct SourceTally {
    /// The source.
    pub source: String,
    /// Its planned ranges, all partitions.
    pub ranges: Vec<PlannedRange>,
    /// Events read, by partition.
    pub records: BTreeMap<PartitionId, u64>,
    /// Events read.
    pub read: u64,
    /// Events without a value.
    pub tombstones: u64,
    /// Events that became rows.
    pub rows: u64,
    /// Dead letters by class.
    pub by_class: BTreeMap<ErrorClass, u64>,
    /// The writer schemas seen.
    pub schemas: BTreeMap<SchemaKey, SchemaUse>,
    /// Ranges that the log no longer held.
    pub lost: Vec<LostRange>,
    /// Offsets that never held an event for a reader.
    pub gap_offsets: BTreeMap<PartitionId, u64>,
}

impl SourceTally {
    /// What was taken from `source`, before decoding.
    #[must_use]
    pub fn new(source: &str, ranges: &[PlannedRange], taken: &Taken) -> Self {
        let mut records: BTreeMap<PartitionId, u64> = BTreeMap::new();
        for events in &taken.events {
            *records.entry(events.partition.clone()).or_default() += events.events.num_rows() as u64;
        }
        Self {
            source: source.to_owned(),
            ranges: ranges.iter().filter(|r| r.partition.source == source).cloned().collect(),
            read: records.values().sum(),
            records,
            tombstones: 0,
            rows: 0,
            by_class: BTreeMap::new(),
            schemas: BTreeMap::new(),
            lost: taken.lost.clone(),
            gap_offsets: taken.gap_offsets.clone(),
        }
    }

    /// Adds what became of some of the events.
    pub fn add(&mut self, decoded: &Decoded) {
        self.tombstones += decoded.tombstones;
        self.rows += decoded.rows.iter().map(|r| r.num_rows() as u64).sum::<u64>();
        for (class, count) in &decoded.by_class {
            *self.by_class.entry(*class).or_default() += count;
        }
        for schema in &decoded.schemas {
            match self.schemas.entry(schema.key) {
                Entry::Occupied(mut own) => {
                    own.get_mut().rows += schema.rows;
                    own.get_mut().dead_letters += schema.dead_letters;
                }
                Entry::Vacant(new) => {
                    new.insert(schema.clone());
                }
            }
        }
    }

    /// Takes `events`, the last ones of each of their partitions, out of what the source gave to this batch, before they were
    /// decoded; gives them with what lies among them, as the source gives it to a batch.
    pub(crate) fn give_back(&mut self, events: Vec<RawEvents>) -> Taken {
        let mut behind: BTreeMap<PartitionId, (i64, u64)> = BTreeMap::new();
        for raw in &events {
            let Some(first) = raw.first_offset() else { continue };
            behind.entry(raw.partition.clone()).or_insert((first, 0)).1 += raw.events.num_rows() as u64;
        }
        let is_before = |lost: &LostRange| behind.get(&lost.partition).is_none_or(|(end, _)| lost.range.from < *end);
        let (before, lost) = std::mem::take(&mut self.lost).into_iter().partition(is_before);
        self.lost = before;
        let mut rest = Taken { events, lost, ..Taken::default() };
        let mut ranges = std::mem::take(&mut self.ranges);
        for planned in &mut ranges {
            let partition = &planned.partition;
            let Some((end, count)) = behind.get(partition) else { continue };
            planned.range.to = *end;
            self.read -= count;
            let records = self.records.remove(partition).unwrap_or(0).saturating_sub(*count);
            let gaps = planned.range.len().saturating_sub(records + self.lost_offsets(Some(partition)));
            let all = self.gap_offsets.remove(partition).unwrap_or(0);
            for (gaps, of) in [(gaps, &mut self.gap_offsets), (all.saturating_sub(gaps), &mut rest.gap_offsets)] {
                if gaps > 0 {
                    of.insert(partition.clone(), gaps);
                }
            }
            if records > 0 {
                self.records.insert(partition.clone(), records);
            }
        }
        self.ranges = ranges;
        rest
    }

    /// Counts what was read back from files: each offset of `ranges` of which there is a row, in one table or in several, is
    /// an event that was read and became a row, the others are gaps.
    ///
    /// # Errors
    /// When the rows do not say of which of `partitions` they are.
    pub(crate) fn add_read_back<'b>(
        &mut self,
        partitions: &[PartitionId],
        ranges: &BTreeMap<PartitionId, OffsetRange>,
        rows: impl Iterator<Item = &'b RecordBatch>,
    ) -> Result<(), EngineError> {
        let mut places: Vec<(i32, i64)> = Vec::new();
        for batch in rows {
            let parts = batch.column_by_name(PART).and_then(|c| c.as_primitive_opt::<Int32Type>());
            let offsets = batch.column_by_name(OFFSET).and_then(|c| c.as_primitive_opt::<Int64Type>());
            let (Some(parts), Some(offsets)) = (parts, offsets) else {
                return Err(EngineError::Bug("rows were read back without provenance".to_owned()));
            };
            places.extend(parts.values().iter().copied().zip(offsets.values().iter().copied()));
        }
        places.sort_unstable();
        places.dedup();
        for places in places.chunk_by(|a, b| a.0 == b.0) {
            let part = places.first().and_then(|(part, _)| usize::try_from(*part).ok());
            let partition = part.and_then(|at| partitions.get(at));
            let partition = partition.ok_or_else(|| EngineError::Bug("a row of no partition".to_owned()))?;
            self.records.insert(partition.clone(), places.len() as u64);
        }
        for (partition, range) in ranges {
            let gaps = range.len() - self.records.get(partition).copied().unwrap_or(0).min(range.len());
            if gaps > 0 {
                self.gap_offsets.insert(partition.clone(), gaps);
            }
        }
        self.read = places.len() as u64;
        self.rows = self.read;
        Ok(())
    }

    /// Offsets of one partition that were lost, or of all of them.
    #[must_use]
    pub fn lost_offsets(&self, partition: Option<&PartitionId>) -> u64 {
        let of = |lost: &&LostRange| partition.is_none_or(|p| lost.partition == *p);
        self.lost.iter().filter(of).map(|lost| lost.range.len()).sum()
    }

    /// Dead letters of all classes.
    #[must_use]
    pub fn dead_letters(&self) -> u64 {
        self.by_class.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use sluicebox_core::{Clock, SystemClock};
    use sluicebox_formats::dead_letter_schema;
    use sluicebox_sources::LossReason;

    use super::*;
    use crate::decoding::tests::events;

    fn decoded(ids: impl Iterator<Item = i32>) -> Decoded {
        let of = |id| SchemaUse { key: SchemaKey::Id(id), rows: 0, dead_letters: 1, ignored_fields: Vec::new() };
        Decoded {
            taken: 0,
            bytes: 0,
            rows: Vec::new(),
            dead_letters: RecordBatch::new_empty(dead_letter_schema()),
            tombstones: 0,
            by_class: BTreeMap::new(),
            schemas: ids.map(of).collect(),
        }
    }

    #[test]
    fn what_is_given_back_is_told_by_the_batch_that_gets_it_and_each_ledger_balances() {
        let [first, second] = [0, 1].map(|n| PartitionId::new("s", "t", n));
        let planned = |partition: &PartitionId, from, to| PlannedRange {
            partition: partition.clone(),
            range: OffsetRange::new(from, to),
            log_end: 50,
            heard_since: None,
        };
        let lost = |from, to| LostRange {
            partition: first.clone(),
            range: OffsetRange::new(from, to),
            reason: LossReason::Deleted,
        };
        let taken = Taken {
            events: vec![
                events(&first, &[10, 12, 14], b"v"),
                events(&first, &[20, 22], b"v"),
                events(&second, &[3], b"v"),
            ],
            lost: vec![lost(15, 18), lost(24, 26)],
            gap_offsets: BTreeMap::from([(first.clone(), 10), (second.clone(), 4)]),
            ..Taken::default()
        };
        let balances = |report: &SourceTally| {
            report.ranges.iter().all(|planned| {
                let of = |map: &BTreeMap<PartitionId, u64>| map.get(&planned.partition).copied().unwrap_or(0);
                let lost = report.lost_offsets(Some(&planned.partition));
                planned.range.len() == of(&report.records) + of(&report.gap_offsets) + lost
            })
        };
        let mut report = SourceTally::new("s", &[planned(&first, 10, 30), planned(&second, 0, 5)], &taken);
        assert!(balances(&report));
        let rest = report.give_back(vec![events(&first, &[20, 22], b"v")]);
        assert!(balances(&report), "{report:?}");
        assert_eq!(report.ranges, [planned(&first, 10, 20), planned(&second, 0, 5)]);
        assert_eq!((report.read, report.lost.len()), (4, 1));
        let next = SourceTally::new("s", &[planned(&first, 20, 30), planned(&second, 5, 5)], &rest);
        assert!(balances(&next), "{next:?}");
        assert_eq!((next.read, next.lost.len()), (2, 1));
        // All of a partition: what comes before the first event stays.
        let rest = report.give_back(vec![events(&first, &[12, 14], b"v"), events(&second, &[3], b"v")]);
        assert!(balances(&report), "{report:?}");
        assert_eq!(report.ranges, [planned(&first, 10, 12), planned(&second, 0, 3)]);
        assert_eq!((report.read, report.records.len(), rest.lost.len()), (1, 1, 1));
    }

    /// Noise names as many ids as there are events: what compares each with all takes half a minute here.
    #[test]
    fn many_ids_of_a_batch_are_added_each_at_once_and_stand_in_order() {
        let mut report = SourceTally::new("s", &[], &Taken::default());
        let clock = SystemClock::new();
        for portion in 0..6 {
            report.add(&decoded((0..20_000).map(|n| (n * 3 + portion) % 90_000)));
        }
        assert!(clock.monotonic().as_secs() < 12, "{:?}", clock.monotonic());
        assert_eq!(report.schemas.values().map(|s| s.dead_letters).sum::<u64>(), 120_000);
        assert!(report.schemas.values().is_sorted_by_key(|s| s.key));
        assert_eq!(report.schemas.len(), 60_003);
    }
}
