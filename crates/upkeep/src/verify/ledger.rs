//! Computes the ledger of every batch again: by the report's own equations, by the rows in the files, and by the offsets, which continue
//! from report to report without a gap.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use sluicebox_checkpoint::Checkpoint;
use sluicebox_checkpoint::records::Commit;
use sluicebox_core::fate::{Ledger, sum};
use sluicebox_core::{OutputId, PartitionId, Scope};
use sluicebox_durable::read_regular;
use sluicebox_quality::BatchReport;

use super::Verdict;
use super::found::Found;
use super::records::Records;

/// The rows that went into windows, by batch and table, of batches with records.
pub(super) type Absorbed = BTreeMap<(u64, String), u64>;

/// Checks every report from batch 0 to the newest. Gives what they say of windows.
pub(super) fn check(
    checkpoint: &Checkpoint,
    newest: &Commit,
    records: &Records,
    found: &Found,
    verdict: &mut Verdict,
) -> Absorbed {
    let mut absorbed = Absorbed::new();
    let paths = paths(records, found);
    let mut ends: BTreeMap<PartitionId, i64> = BTreeMap::new();
    let mut missing = Missing::default();
    let mut whole = true;
    // From one that is there to the next, for whoever edits the newest commit may put its number as high as they like.
    let mut next = 0;
    for (&batch, path) in paths.range(..=newest.batch_id) {
        if batch > next {
            missing.add(next..batch, records);
            whole = false;
            ends.clear();
        }
        next = batch + 1;
        let Some(report) = read(path, verdict) else { continue };
        verdict.reports += 1;
        verdict.older_batches += u64::from(!records.has(batch));
        if report.batch_id != batch {
            verdict.problems.push(format!("{} is the report of batch {}", path.display(), report.batch_id));
            continue;
        }
        if batch == 0 {
            ends = starts(checkpoint, &report);
        }
        if records.commits.contains_key(&batch) {
            absorbed.extend(report.tables.iter().map(|of| ((batch, of.table.clone()), of.fates.absorbed)));
        }
        check_ranges(&report, &mut ends, verdict);
        check_balance(&report, verdict);
        check_rows(&report, records, found, verdict);
    }
    if next <= newest.batch_id {
        missing.add(next..newest.batch_id + 1, records);
        whole = false;
    }
    if let Some((first, last)) = missing.ends {
        verdict.unproved.push(format!(
            "ledgers and ranges of {} batches from {first} to {last}: their reports are gone",
            missing.count
        ));
    }
    if whole {
        check_ends(newest, &ends, verdict);
    }
    absorbed
}

/// Batches of which neither records nor a report are there.
#[derive(Default)]
struct Missing {
    count: u64,
    /// The first and the last one.
    ends: Option<(u64, u64)>,
}

impl Missing {
    /// Adds those of `batches` that have no records: of one with records the commit names a report, and that it is gone has
    /// been said.
    fn add(&mut self, batches: Range<u64>, records: &Records) {
        let mut from = batches.start;
        let end = batches.end.min(records.kept_from).max(from);
        let known = records.commits.range(from..end).map(|(id, _)| *id);
        for to in known.chain([end]) {
            if from < to {
                self.count += to - from;
                self.ends = Some((self.ends.map_or(from, |(first, _)| first), to - 1));
            }
            from = to + 1;
        }
    }
}

/// The report of each batch: as its commit names it, or as it was found.
fn paths(records: &Records, found: &Found) -> BTreeMap<u64, PathBuf> {
    let mut paths = found.reports.clone();
    for (id, commit) in &records.commits {
        for output in commit.files().filter(|o| *o.output == OutputId::Reports) {
            let json = output.files.iter().find(|file| file.target.ends_with(".json"));
            paths.extend(json.map(|file| {
                let (target, staged) = (file.target.as_str(), file.staged.as_str());
                let path = Path::new(output.location).join(target);
                (*id, if path.exists() { path } else { Path::new(output.location).join(staged) })
            }));
        }
    }
    paths
}

fn read(path: &Path, verdict: &mut Verdict) -> Option<BatchReport> {
    let read = read_regular(path).map_err(|e| e.to_string());
    match read.and_then(|text| BatchReport::from_json(&text).map_err(|e| e.to_string())) {
        Ok(report) => Some(report),
        Err(e) => {
            verdict.problems.push(format!("the report {} cannot be read: {e}", path.display()));
            None
        }
    }
}

/// Where the first batch must begin, as far as it is known.
fn starts(checkpoint: &Checkpoint, report: &BatchReport) -> BTreeMap<PartitionId, i64> {
    let starts = report.sources.iter().filter_map(|s| checkpoint.source_start(&s.source).ok().flatten());
    starts.flat_map(|start| start.positions).map(|p| (p.partition, p.offset)).collect()
}

/// The ranges go on where the batch before ended, and every offset in them is an event, a gap or lost.
fn check_ranges(report: &BatchReport, ends: &mut BTreeMap<PartitionId, i64>, verdict: &mut Verdict) {
    let id = report.batch_id;
    for source in &report.sources {
        for (topic, partition, range) in source.ranges() {
            let partition = PartitionId::new(&source.source, topic, partition);
            if let Some(end) = ends.insert(partition.clone(), range.end)
                && end != range.start
            {
                verdict.problems.push(format!(
                    "batch {id}: the report has {partition} from offset {}, the one before ended at {end}",
                    range.start
                ));
            }
            let known = sum([range.records, range.gap_offsets, range.lost_offsets]);
            if u128::try_from(i128::from(range.end) - i128::from(range.start)) != Ok(known) {
                verdict.problems.push(format!(
                    "batch {id}: {partition} from {} to {} holds {} events, {} gaps and {} lost offsets, which do not add up",
                    range.start, range.end, range.records, range.gap_offsets, range.lost_offsets
                ));
            }
        }
    }
}

/// The equations, whatever the report says of itself.
fn check_balance(report: &BatchReport, verdict: &mut Verdict) {
    let id = report.batch_id;
    for source in &report.sources {
        let classes = sum(source.dead_letters_by_class.values().copied());
        let records = sum(source.ranges().map(|(_, _, range)| range.records));
        let read = sum([source.read]);
        if read != sum([source.tombstones, source.dead_letters, source.rows])
            || read != records
            || sum([source.dead_letters]) != classes
        {
            verdict.problems.push(format!("batch {id}: the ledger of source {} does not balance", source.source));
        }
    }
    for table in &report.tables {
        let holds = Ledger::holds(&table.ledger.equation, &table.fates).unwrap_or(false);
        if !holds {
            verdict.problems.push(format!("batch {id}: the ledger of table {} does not balance", table.table));
        }
    }
}

/// What the report counts is what the files hold.
fn check_rows(report: &BatchReport, records: &Records, found: &Found, verdict: &mut Verdict) {
    let id = report.batch_id;
    let mut compare = |output: OutputId, told: u64| {
        let emptied = records.emptied.get(&output).is_some_and(|first| id < *first);
        // Of a batch without records nobody knows what was sent elsewhere.
        let elsewhere = records.sent.contains(&output) && !records.commits.contains_key(&id);
        if emptied || elsewhere || (told == 0 && !found.outputs.contains(&output)) {
            return;
        }
        let held = found.rows.get(&(output.clone(), id)).copied().unwrap_or(0);
        if held != told {
            verdict.problems.push(format!("batch {id}: {output} holds {held} rows, its report counts {told}"));
        }
    };
    // Dead letters are the living pipeline's: what fills a table meets them again.
    for source in report.sources.iter().filter(|s| Scope::of(&s.source).is_live()) {
        compare(OutputId::DeadLetters(source.source.clone()), source.dead_letters);
    }
    for table in &report.tables {
        compare(OutputId::Table(table.table.clone()), table.fates.written);
        compare(OutputId::Late(table.table.clone()), table.fates.late);
        compare(OutputId::Quarantine(table.table.clone()), table.fates.quarantined);
    }
}

/// The newest commit stands where the last report ended.
fn check_ends(newest: &Commit, ends: &BTreeMap<PartitionId, i64>, verdict: &mut Verdict) {
    for position in &newest.positions {
        let end = ends.get(&position.partition);
        if end.is_some_and(|end| *end != position.offset) {
            verdict.problems.push(format!(
                "{} is committed to offset {}, the reports end at {}",
                position.partition,
                position.offset,
                end.copied().unwrap_or_default()
            ));
        }
    }
}
