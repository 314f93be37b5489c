//! Decides who may have a folder, from what was seen of it: pure functions.

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

/// What was seen of the checkpoint that a mark names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// It is there, and of the mark's query.
    Living,
    /// Something is there that is damaged or cannot be read: it may be the query's.
    Unclear,
    /// The mark, of a version that took any path, does not say it whole: it was no UTF-8. So nobody can look there.
    Unnamed,
    /// Nothing of the query is there.
    Lost,
    /// Nothing of the query is there, and the mark was written on another machine.
    Elsewhere,
}

/// Decides whether a run of `pipeline` that starts without a checkpoint may go on. `home` is what was seen of the owner's
/// checkpoint, if there is an owner.
///
/// # Errors
/// When the folder has an owner or files.
pub fn decide_unowned(location: &Path, seen: &Observed, pipeline: &str, home: Home) -> Result<()> {
    match (&seen.owner, &seen.example) {
        (Some(found), _) if found.pipeline != pipeline => Err(LakeError::OwnedByAnother {
            location: location.to_path_buf(),
            found: Box::new(found.clone()),
            pipeline: pipeline.to_owned(),
        }),
        (Some(found), _) => decide_foreign(location, found, home, false),
        (None, Some(example)) => {
            Err(LakeError::FilesButNoCheckpoint { location: location.to_path_buf(), example: example.clone() })
        }
        (None, None) => Ok(()),
    }
}

/// Decides whether a full refresh may delete what is of another query whose pipeline has the same name: a name is not an
/// identity. `take` is whether it was told to take what belongs to checkpoints that are lost.
///
/// # Errors
/// When the query's checkpoint lives, or may, or the refresh was not told.
pub fn decide_foreign(location: &Path, found: &Owner, home: Home, take: bool) -> Result<()> {
    let (location, found) = (location.to_path_buf(), Box::new(found.clone()));
    match home {
        Home::Living | Home::Unclear | Home::Unnamed => Err(LakeError::OwnedByLiving { location, found, home }),
        Home::Lost | Home::Elsewhere if take => Ok(()),
        Home::Lost | Home::Elsewhere => Err(LakeError::OwnedByLost { location, found, home }),
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
