//! Decides what a start does first, given what the checkpoint holds: a pure function (section "Recovery" of `docs/semantics.md`).

use std::collections::BTreeMap;

use crate::CheckpointError;
use crate::records::{Commit, Offsets};

/// The newest records of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// Whether `metadata` is there.
    pub metadata: bool,
    /// The highest id in `offsets/`.
    pub offsets: Option<u64>,
    /// The highest id in `commits/`.
    pub commit: Option<u64>,
}

/// What a run does before its first new batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Nothing was ever planned: batch 0 is next.
    Start,
    /// `publish` was committed, and maybe not published: publish it again, then plan the batch after it.
    Publish {
        /// The committed batch.
        publish: u64,
    },
    /// `replay` was planned and not committed: run it again as planned. The batch before it, if there is one, is
    /// published, for else `offsets/<replay>` would not exist.
    Replay {
        /// The planned batch.
        replay: u64,
    },
}

impl Recovery {
    /// The newest committed batch.
    #[must_use]
    pub fn committed(self) -> Option<u64> {
        match self {
            Self::Start => None,
            Self::Publish { publish } => Some(publish),
            Self::Replay { replay } => replay.checked_sub(1),
        }
    }
}

/// Decides; see [`Recovery`].
///
/// # Errors
/// When records that must be there are not: a commit without its plan, a plan whose predecessor has no commit, records
/// without `metadata`.
pub fn decide(observed: Observed) -> Result<Recovery, CheckpointError> {
    let missing = |name: String| Err(CheckpointError::Missing { name });
    if !observed.metadata && (observed.offsets.is_some() || observed.commit.is_some()) {
        return missing("metadata".to_owned());
    }
    match (observed.offsets, observed.commit) {
        (None, None) => Ok(Recovery::Start),
        (Some(0), None) => Ok(Recovery::Replay { replay: 0 }),
        (Some(planned), None) => missing(format!("commits/{}", planned - 1)),
        (None, Some(committed)) => missing(format!("offsets/{committed}")),
        (Some(planned), Some(committed)) if planned == committed => Ok(Recovery::Publish { publish: committed }),
        (Some(planned), Some(committed)) if planned == committed + 1 => Ok(Recovery::Replay { replay: planned }),
        (Some(planned), Some(committed)) if planned < committed => missing(format!("offsets/{committed}")),
        (Some(planned), Some(_)) => missing(format!("commits/{}", planned - 1)),
    }
}

/// Whether `plan`, which is to be replayed, goes on where `commit` ended: at its positions, and under the `watermarks` by
/// clause that were restored from it. A clause or partition that only one of them knows was added or left out since.
///
/// # Errors
/// What is not as it was planned.
pub fn goes_on(commit: &Commit, plan: &Offsets, watermarks: &BTreeMap<String, Option<i64>>) -> Result<(), String> {
    let before = commit.batch_id;
    for range in &plan.ranges {
        let at = commit.positions.iter().find(|p| p.partition == range.partition).map(|p| p.offset);
        if let Some(at) = at.filter(|at| *at != range.range.from) {
            let (partition, from) = (&range.partition, range.range.from);
            return Err(format!("it reads {partition} from offset {from}, and commits/{before} ended at {at}"));
        }
    }
    for (clause, w) in watermarks.iter().filter(|(clause, _)| commit.watermarks.contains_key(*clause)) {
        if plan.watermarks.get(clause) != Some(w) {
            return Err(format!("it was not planned under the watermark of {clause} that commits/{before} left"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use sluicebox_core::{OffsetRange, PartitionId};
    use sluicebox_operators::WatermarkState;

    use super::*;
    use crate::records::{PlannedRange, Position};

    fn decided(offsets: Option<u64>, commit: Option<u64>) -> Result<Recovery, CheckpointError> {
        decide(Observed { metadata: true, offsets, commit })
    }

    #[test]
    fn a_committed_batch_is_published_and_a_planned_one_replayed() {
        assert_eq!(decided(None, None).unwrap(), Recovery::Start);
        assert_eq!(decided(Some(0), None).unwrap(), Recovery::Replay { replay: 0 });
        assert_eq!(decided(Some(7), Some(7)).unwrap(), Recovery::Publish { publish: 7 });
        assert_eq!(decided(Some(8), Some(7)).unwrap(), Recovery::Replay { replay: 8 });
    }

    #[test]
    fn a_missing_record_stops_the_run_with_its_name() {
        let name = |r: Result<Recovery, CheckpointError>| r.unwrap_err().to_string();
        assert!(name(decided(Some(9), Some(7))).contains("commits/8"));
        assert!(name(decided(Some(6), Some(7))).contains("offsets/7"));
        assert!(name(decided(None, Some(7))).contains("offsets/7"));
        assert!(name(decided(Some(3), None)).contains("commits/2"));
        assert!(name(decide(Observed { metadata: false, offsets: Some(0), commit: None })).contains("metadata"));
    }

    #[test]
    fn a_plan_goes_on_at_the_positions_and_under_the_watermarks_of_the_commit_before_it() {
        let partition = PartitionId::new("s", "t", 0);
        let clause = "silver/events".to_owned();
        let state = WatermarkState { watermark: Some(7), partitions: Vec::new() };
        let commit = Commit {
            totals: None,
            pipeline: 1,
            pending: std::collections::BTreeSet::new(),
            batch_id: 3,
            epoch: 1,
            outputs: Vec::new(),
            positions: vec![Position { partition: partition.clone(), offset: 10 }],
            watermarks: BTreeMap::from([(clause.clone(), state)]),
            state: BTreeMap::new(),
            schemas: BTreeMap::new(),
        };
        let plan = |from, watermarks: &[(&String, Option<i64>)]| Offsets {
            batch_id: 4,
            epoch: 1,
            clock_micros: 0,
            finishing: false,
            watermarks: watermarks.iter().map(|(c, w)| ((*c).clone(), *w)).collect(),
            ranges: vec![PlannedRange {
                partition: partition.clone(),
                range: OffsetRange::new(from, 20),
                log_end: 20,
                heard_since: None,
            }],
            run_end: None,
            sql_hash: String::new(),
        };
        let restored = BTreeMap::from([(clause.clone(), Some(7)), ("added".to_owned(), None)]);
        let check = |plan: &Offsets| goes_on(&commit, plan, &restored);
        check(&plan(10, &[(&clause, Some(7))])).unwrap();
        assert!(check(&plan(11, &[(&clause, Some(7))])).unwrap_err().contains("from offset 11"));
        assert!(check(&plan(10, &[(&clause, Some(6))])).unwrap_err().contains(&clause));
        assert!(check(&plan(10, &[])).unwrap_err().contains(&clause), "a dropped watermark");
    }
}
