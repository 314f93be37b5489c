//! Compacted and retired partitions: which files hold which rows since then.

use std::collections::BTreeSet;
use std::path::Path;

use sluicebox_checkpoint::records::{Compaction, Why};
use sluicebox_checkpoint::{Checkpoint, Settled, settled};
use sluicebox_evolve::leave_cleared;
use sluicebox_sinks::parquet::compact::names_in;

use super::Verdict;
use super::found::{Found, differs};
use crate::UpkeepError;

/// The compactions that stand: done, and no other stands for them.
#[derive(Debug, Default)]
pub(super) struct Compactions {
    records: Vec<Compaction>,
}

impl Compactions {
    pub fn read(checkpoint: &Checkpoint, verdict: &mut Verdict) -> Result<Self, UpkeepError> {
        let mut records = Vec::new();
        for number in checkpoint.compaction_numbers()? {
            match checkpoint.compaction(number) {
                Ok(record) => records.push(record),
                Err(e) => verdict.problems.push(e.to_string()),
            }
        }
        // That there is a later record proves all but the newest.
        if let Some(newest) = records.last() {
            let names = names_in(&Path::new(&newest.location).join(&newest.folder))?;
            if settled(newest, &names) == Settled::NotDone {
                verdict.notes.push(format!(
                    "the compaction {} of {} in {} was begun and not done: the next run takes it back",
                    newest.number, newest.folder, newest.location
                ));
                records.pop();
            }
        }
        leave_cleared(checkpoint, &mut records)?;
        let replaced: BTreeSet<u64> = records.iter().flat_map(|record| record.replaces.iter().copied()).collect();
        records.retain(|record| !replaced.contains(&record.number));
        Ok(Self { records })
    }

    /// Whether the file `target` of batch `batch` in `location` was compacted or retired.
    pub fn replaced(&self, location: &str, target: &str, batch: u64) -> bool {
        let folder = target.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut here = self.records.iter().filter(|r| r.location == location && r.folder == folder);
        here.any(|record| record.batches.0.contains_key(&batch))
    }

    /// The paths of compacted files in `location`.
    pub fn named(&self, location: &Path) -> BTreeSet<String> {
        let here = self.records.iter().filter(|record| Path::new(&record.location) == location);
        here.flat_map(|r| r.outputs.iter().map(|file| format!("{}/{}", r.folder, file.name))).collect()
    }

    /// Compares the compacted files, and counts the rows of batches that have no record of their own any more, which
    /// `has_record` says.
    pub fn check(&self, has_record: impl Fn(u64) -> bool, found: &mut Found, verdict: &mut Verdict) {
        for record in &self.records {
            let of = format!("compaction {} of {}", record.number, record.output);
            for file in &record.outputs {
                verdict.compacted += 1;
                let path = Path::new(&record.location).join(&record.folder).join(&file.name);
                if let Some(problem) = differs(&path, file.bytes, &file.checksum) {
                    verdict.problems.push(format!("{of}: {problem}"));
                }
            }
            let (kept, rows): (u64, u64) = (record.outputs.iter().map(|f| f.rows).sum(), record.batches.rows());
            match record.why {
                Why::Compact if kept != rows => {
                    verdict
                        .problems
                        .push(format!("{of}: {rows} rows were in {}, its files hold {kept}", record.folder));
                }
                Why::Compact => {}
                Why::Retain => verdict.retired += rows,
            }
            for (batch, rows) in record.batches.0.iter().filter(|(batch, _)| !has_record(**batch)) {
                *found.rows.entry((record.output.clone(), *batch)).or_default() += rows;
            }
        }
    }
}
