//! Who may have a folder, given what was seen of it: pure decisions.

use std::path::{Path, PathBuf};

use super::{Owner, mark};
use crate::error::{LakeError, Result};

/// What was seen of a folder before a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Who the mark names.
    pub owner: Option<Owner>,
    /// A file in the folder that readers would see, if there is one.
    pub example: Option<PathBuf>,
}

/// What a claim has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Set the mark.
    Mark,
    /// Nothing: the folder is ours.
    Ours,
}

/// Decides whether a run of `pipeline` that starts without a checkpoint may go on.
///
/// # Errors
/// When the folder has an owner or files.
pub fn decide_unowned(location: &Path, seen: &Observed, pipeline: &str) -> Result<()> {
    let location = location.to_path_buf();
    match (&seen.owner, &seen.example) {
        (Some(found), _) if found.pipeline != pipeline => {
            Err(LakeError::OwnedByAnother { location, found: Box::new(found.clone()), pipeline: pipeline.to_owned() })
        }
        (Some(found), _) => Err(LakeError::OwnedButNoCheckpoint { location, found: Box::new(found.clone()) }),
        (None, Some(example)) => Err(LakeError::FilesButNoCheckpoint { location, example: example.clone() }),
        (None, None) => Ok(()),
    }
}

/// Decides what a claim by `wanted` has to do.
///
/// # Errors
/// When the folder belongs to somebody else, or has files and no mark.
pub fn decide_claim(location: &Path, seen: &Observed, wanted: &Owner) -> Result<Claim> {
    match (&seen.owner, &seen.example) {
        (Some(found), _) if found.is_same(wanted) => Ok(Claim::Ours),
        (Some(found), _) if found.query_id == wanted.query_id => Err(LakeError::OtherGeneration {
            location: location.to_path_buf(),
            found: Box::new(found.clone()),
            wanted: Box::new(wanted.clone()),
        }),
        (Some(found), _) => Err(LakeError::NotOwner {
            location: location.to_path_buf(),
            found: Box::new(found.clone()),
            wanted: Box::new(wanted.clone()),
        }),
        (None, Some(example)) => Err(LakeError::FilesButNoOwner {
            location: location.to_path_buf(),
            example: example.clone(),
            mark: mark(location),
        }),
        (None, None) => Ok(Claim::Mark),
    }
}
