//! What to do first, given what a checkpoint holds: a pure decision (section "Recovery" of `docs/semantics.md`).

use super::CheckpointError;

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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

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
}
