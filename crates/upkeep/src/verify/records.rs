//! Compares plans and commits with each other, from batch to batch, and with the state files that they name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sluicebox_checkpoint::records::{Commit, Offsets};
use sluicebox_checkpoint::{Checkpoint, keep_from};
use sluicebox_core::{OutputId, PartitionId, Scope};
use sluicebox_durable::FileError;

use super::Verdict;
use super::compactions::Compactions;
use super::found::differs;
use crate::UpkeepError;

/// The records that are there and can be read, by batch.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub commits: BTreeMap<u64, Commit>,
    pub plans: BTreeMap<u64, Offsets>,
    /// The first batch whose records must be there.
    pub kept_from: u64,
    pub newest: u64,
    /// Outputs that a refresh of their table has emptied, with the first batch after it.
    pub emptied: BTreeMap<OutputId, u64>,
    pub compactions: Compactions,
    /// Outputs whose rows are in no files, under some pipeline that was adopted.
    pub sent: BTreeSet<OutputId>,
}

impl Records {
    pub fn read(checkpoint: &Checkpoint, newest: &Commit, verdict: &mut Verdict) -> Result<Self, UpkeepError> {
        let mut records = Self { kept_from: keep_from(newest.batch_id), newest: newest.batch_id, ..Self::default() };
        for id in checkpoint.commit_ids()? {
            match checkpoint.commit(id) {
                Ok(commit) => drop(records.commits.insert(id, commit)),
                Err(e) => verdict.problems.push(e.to_string()),
            }
            match checkpoint.offsets(id) {
                Ok(plan) => drop(records.plans.insert(id, plan)),
                // A purge that was killed may have removed the one and not the other.
                Err(_) if id < records.kept_from => {}
                Err(e) => verdict.problems.push(e.to_string()),
            }
        }
        records.forget_cleared(checkpoint)?;
        records.compactions = Compactions::read(checkpoint, verdict)?;
        let there: BTreeSet<u64> = checkpoint.commit_ids()?.into_iter().collect();
        for id in records.kept_from..records.newest {
            if !there.contains(&id) {
                verdict.problems.push(format!("commits/{id} is missing: the records of the last 100 batches are kept"));
            }
        }
        if records.kept_from > 0 {
            verdict.unproved.push(format!(
                "checksums of files of batches before {}: their records were removed, as those of all but the last 100 are",
                records.commits.keys().next().copied().unwrap_or(records.kept_from)
            ));
        }
        Ok(records)
    }

    /// What a refresh of a table has deleted is gone for good: commits before it name it no more.
    fn forget_cleared(&mut self, checkpoint: &Checkpoint) -> Result<(), UpkeepError> {
        for number in checkpoint.pipeline_numbers()? {
            let pipeline = checkpoint.pipeline(number)?;
            let sent = pipeline.shape.tables.iter().filter(|(_, table)| table.sink.is_some());
            self.sent.extend(sent.map(|(table, _)| OutputId::Table(table.clone())));
            let first = self.commits.values().find(|c| c.pipeline >= number).map_or(self.newest + 1, |c| c.batch_id);
            for commit in self.commits.values_mut().filter(|c| c.pipeline < number) {
                commit.outputs.retain(|output| !pipeline.cleared(&output.id));
            }
            for table in pipeline.clears.keys() {
                self.emptied.extend(OutputId::all_of_table(table).map(|output| (output, first)));
            }
        }
        Ok(())
    }

    /// Whether there is, or must be, a record of `batch`. Of those before the ones that are kept, a purge that was cut off
    /// may have left some between others that are gone.
    pub fn has(&self, batch: u64) -> bool {
        batch >= self.kept_from || self.commits.contains_key(&batch)
    }

    /// The first batch that has a commit.
    pub fn first(&self) -> u64 {
        self.commits.keys().next().copied().unwrap_or(self.newest)
    }
}

/// Each plan and commit, and each commit and the one before.
pub(super) fn check_chain(checkpoint: &Checkpoint, records: &Records, verdict: &mut Verdict) {
    let mut starts = BTreeMap::new();
    if records.first() == 0 {
        starts = source_starts(checkpoint, records, verdict);
    }
    let mut before: Option<&Commit> = None;
    for (id, commit) in &records.commits {
        verdict.batches += 1;
        let known = before.filter(|b| b.batch_id + 1 == *id);
        match known {
            Some(before) => {
                starts = before.positions.iter().map(|p| (p.partition.clone(), p.offset)).collect();
            }
            None if *id > 0 => starts.clear(),
            None => {}
        }
        if let Some(plan) = records.plans.get(id) {
            check_plan(plan, commit, &starts, verdict);
            // With another SQL, watermarks may begin anew.
            if let Some(before) = known.filter(|b| b.pipeline == commit.pipeline) {
                check_watermarks(plan, before, commit, verdict);
            }
        }
        if let Some(before) = known {
            check_order(before, commit, verdict);
        }
        before = Some(commit);
    }
}

/// Where batch 0 must begin.
fn source_starts(checkpoint: &Checkpoint, records: &Records, verdict: &mut Verdict) -> BTreeMap<PartitionId, i64> {
    let sources: BTreeSet<&String> =
        records.plans.values().flat_map(|p| p.ranges.iter().map(|r| &r.partition.source)).collect();
    // What fills a table pins its start for as long as it takes.
    let sources = sources.into_iter().filter(|source| Scope::of(source).is_live());
    let mut starts = BTreeMap::new();
    for source in sources {
        match checkpoint.source_start(source) {
            Ok(Some(start)) => starts.extend(start.positions.into_iter().map(|p| (p.partition, p.offset))),
            Ok(None) => {
                verdict.problems.push(format!("sources/{source}/start is missing: where the first run started"))
            }
            Err(e) => verdict.problems.push(e.to_string()),
        }
    }
    starts
}

/// The plan's ranges begin where the batch before ended, and the commit's positions are their ends.
fn check_plan(plan: &Offsets, commit: &Commit, starts: &BTreeMap<PartitionId, i64>, verdict: &mut Verdict) {
    let id = commit.batch_id;
    let ends: BTreeMap<_, _> = commit.positions.iter().map(|p| (&p.partition, p.offset)).collect();
    for range in &plan.ranges {
        let partition = &range.partition;
        let end = ends.get(partition);
        if end != Some(&range.range.to) {
            let end = end.map_or_else(|| "nothing".to_owned(), ToString::to_string);
            verdict.problems.push(format!(
                "batch {id}: {partition} was planned to offset {} and committed to {end}",
                range.range.to
            ));
        }
        if let Some(start) = starts.get(partition)
            && *start != range.range.from
        {
            verdict.problems.push(format!(
                "batch {id}: {partition} starts at offset {}, the batch before ended at {start}",
                range.range.from
            ));
        }
        if range.range.from > range.range.to {
            verdict.problems.push(format!("batch {id}: {partition} is planned backwards"));
        }
    }
}

/// The plan holds the watermarks that the batch before left. A clause that only one of the two commits knows was added
/// or taken away between them.
fn check_watermarks(plan: &Offsets, before: &Commit, commit: &Commit, verdict: &mut Verdict) {
    for (clause, left) in before.watermarks.iter().filter(|(clause, _)| commit.watermarks.contains_key(*clause)) {
        let planned = plan.watermarks.get(clause);
        if planned != Some(&left.watermark) {
            verdict.problems.push(format!(
                "batch {}: the watermark of {clause} is planned as {planned:?}, the batch before left {:?}",
                plan.batch_id, left.watermark
            ));
        }
    }
}

/// Nothing goes back: epochs, positions, watermarks.
fn check_order(before: &Commit, commit: &Commit, verdict: &mut Verdict) {
    let id = commit.batch_id;
    if commit.epoch < before.epoch {
        verdict.problems.push(format!("batch {id} is of epoch {}, the one before of {}", commit.epoch, before.epoch));
    }
    let ends: BTreeMap<_, _> = commit.positions.iter().map(|p| (&p.partition, p.offset)).collect();
    // What filled a table is forgotten when it is full.
    for position in before.positions.iter().filter(|p| Scope::of(&p.partition.source).is_live()) {
        if ends.get(&position.partition).is_none_or(|end| *end < position.offset) {
            verdict.problems.push(format!(
                "batch {id}: {} was at offset {}, and is not any more",
                position.partition, position.offset
            ));
        }
    }
    for (clause, state) in before.watermarks.iter().filter(|_| before.pipeline == commit.pipeline) {
        if let Some(after) = commit.watermarks.get(clause)
            && after.watermark < state.watermark
        {
            verdict.problems.push(format!("batch {id}: the watermark of {clause} went back"));
        }
    }
}

/// The state files that the newest commit names, by content; those of the commits before, that they are there; and
/// those that nobody names.
pub(super) fn check_state(
    checkpoint: &Checkpoint,
    records: &Records,
    verdict: &mut Verdict,
) -> Result<(), UpkeepError> {
    let mut named = BTreeMap::new();
    for commit in records.commits.values().filter(|c| c.batch_id >= records.kept_from) {
        for state in commit.state.values() {
            named.extend(state.files().map(|file| (file.path.as_str(), file)));
        }
    }
    for file in named.values() {
        verdict.state_files += 1;
        if let Some(problem) = differs(&checkpoint.root().join(&file.path), file.bytes, &file.checksum) {
            verdict.problems.push(problem);
        }
    }
    let mut unnamed = 0;
    let state = checkpoint.root().join("state");
    for operator in list(&state)? {
        for file in list(&operator)? {
            let path = file.strip_prefix(checkpoint.root()).unwrap_or(&file).to_string_lossy().into_owned();
            unnamed += u64::from(!named.contains_key(path.as_str()));
        }
    }
    if unnamed > 0 {
        verdict.notes.push(format!(
            "{unnamed} state files that no commit names: of killed runs, of batches long ago, or folded at once"
        ));
    }
    Ok(())
}

fn list(folder: &Path) -> Result<Vec<std::path::PathBuf>, UpkeepError> {
    match std::fs::read_dir(folder) {
        Ok(entries) => Ok(entries
            .map(|e| e.map(|e| e.path()))
            .collect::<Result<_, _>>()
            .map_err(|e| FileError::new("list", folder, e))?),
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(e) => Err(FileError::new("list", folder, e).into()),
    }
}
