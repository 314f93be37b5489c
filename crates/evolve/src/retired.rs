//! The partitions that retention removed from tables. Their rows are in no file any more, so nothing is filled with them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use sluicebox_checkpoint::records::{Compaction, Why};
use sluicebox_checkpoint::{Checkpoint, Settled, settled};
use sluicebox_sinks::parquet::compact::names_in;

use crate::EvolveError;

/// What of a table was retired.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retired {
    /// The partitions' folders below its location, in their order. One may be there again, with rows that came later.
    folders: Vec<String>,
    /// The rows.
    rows: u64,
}

impl fmt::Display for Retired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(first), Some(last)) = (self.folders.first(), self.folders.last()) else {
            return write!(f, "nothing");
        };
        match self.folders.len() {
            1 => write!(f, "the partition {first}, {} rows", self.rows),
            n => write!(f, "{n} partitions from {first} to {last}, {} rows", self.rows),
        }
    }
}

impl Retired {
    /// That these folders were retired, with so many rows in all.
    #[must_use]
    pub fn new(folders: &[&str], rows: u64) -> Self {
        let mut folders: Vec<String> = folders.iter().map(|folder| (*folder).to_owned()).collect();
        folders.sort();
        folders.dedup();
        Self { folders, rows }
    }
}

/// What each table has retired, as far as the records tell: a damaged one is for `checkpoint verify` to name.
///
/// # Errors
/// When the records cannot be listed, or a pipeline's is damaged.
pub fn retired(checkpoint: &Checkpoint) -> Result<BTreeMap<String, Retired>, EvolveError> {
    let numbers = checkpoint.compaction_numbers()?;
    let mut records: Vec<Compaction> = numbers.iter().filter_map(|n| checkpoint.compaction(*n).ok()).collect();
    if let Some(newest) = records.last()
        && settled(newest, &names_in(&Path::new(&newest.location).join(&newest.folder))?) == Settled::NotDone
    {
        records.pop();
    }
    records.retain(|record| record.why == Why::Retain);
    leave_cleared(checkpoint, &mut records)?;
    let mut found: BTreeMap<String, Vec<&Compaction>> = BTreeMap::new();
    for record in &records {
        if let Some(table) = record.output.table() {
            found.entry(table.to_owned()).or_default().push(record);
        }
    }
    let sum = |of: Vec<&Compaction>| {
        let folders: Vec<&str> = of.iter().map(|record| record.folder.as_str()).collect();
        Retired::new(&folders, of.iter().map(|record| record.batches.rows()).sum())
    };
    Ok(found.into_iter().map(|(table, of)| (table, sum(of))).collect())
}

/// Leaves out what was done to tables before they were cleared, to be filled anew.
///
/// # Errors
/// When a pipeline's record is damaged.
pub fn leave_cleared(checkpoint: &Checkpoint, records: &mut Vec<Compaction>) -> Result<(), EvolveError> {
    for number in checkpoint.pipeline_numbers()? {
        let pipeline = checkpoint.pipeline(number)?;
        records.retain(|record| record.pipeline >= pipeline.number || !pipeline.cleared(&record.output));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_retired_is_told_by_its_ends() {
        assert_eq!(Retired::default().to_string(), "nothing");
        assert_eq!(Retired::new(&["d=1"], 7).to_string(), "the partition d=1, 7 rows");
        let more = Retired::new(&["d=2", "d=1", "d=3", "d=2"], 9);
        assert_eq!(more.to_string(), "3 partitions from d=1 to d=3, 9 rows");
    }
}
