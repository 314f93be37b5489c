//! Checks who owns the folders that the checkpoint's records name, and where the checkpoint is that a folder's mark names. Neither a record
//! that was edited by hand nor a pipeline of the same name leads a run to somebody else's files.

use std::path::Path;

use sluicebox_checkpoint::{Checkpoint, CheckpointError, hostname};
use sluicebox_runtime::outputs::Outputs;
use sluicebox_sinks::owner::{self, Home, Observed};
use sluicebox_sinks::{LakeError, Owner};

use crate::EvolveError;

/// A folder that a record names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// The pipeline's: its text names it, or it has the query's mark.
    Ours,
    /// Nothing is there.
    Absent,
    /// It has no mark, and readers see nothing in it.
    Empty,
    /// Another's, or nobody's and not empty.
    Strange,
}

/// Looks whose the folder `location` is, for the query `query_id`; of `taken` queries what lies where this pipeline writes is
/// its own too.
///
/// # Errors
/// When a mark or the folder cannot be read.
pub fn whose(location: &Path, outputs: &Outputs, query_id: &str, taken: &[String]) -> Result<Named, EvolveError> {
    let queries: Vec<&str> = taken.iter().map(String::as_str).chain([query_id]).collect();
    if outputs.folders().iter().chain(&outputs.older(&queries)).any(|folder| folder.location == location) {
        return Ok(Named::Ours);
    }
    if location.symlink_metadata().is_err() {
        return Ok(Named::Absent);
    }
    if !location.is_dir() {
        return Ok(Named::Strange);
    }
    if let Some(owner) = owner::read(location)? {
        return Ok(if owner.query_id == query_id { Named::Ours } else { Named::Strange });
    }
    match owner::observe(location) {
        Ok(Observed { example: None, .. }) => Ok(Named::Empty),
        Ok(_) | Err(LakeError::Nested { .. }) => Ok(Named::Strange),
        Err(error) => Err(error.into()),
    }
}

/// Whether this machine wrote the mark `found`. One that names none is taken for its own.
#[must_use]
pub fn is_here(found: &Owner) -> bool {
    found.host.is_empty() || found.host == hostname()
}

/// Looks at the checkpoint that the mark `found` names, for a run whose own is in `root`. That its own has the same path tells
/// nothing: two containers may both say `/app/checkpoints/p`.
#[must_use]
pub fn home(found: &Owner, root: &Path) -> Home {
    let there = Checkpoint::new(&found.checkpoint);
    let lost = if is_here(found) { Home::Lost } else { Home::Elsewhere };
    match there.metadata() {
        Ok(Some(metadata)) if metadata.id == found.query_id => Home::Living,
        // Versions that took a path which is no UTF-8 put this character for what was none: it may live, and not there.
        _ if found.checkpoint.contains(char::REPLACEMENT_CHARACTER) => Home::Unnamed,
        Ok(Some(_)) => lost,
        // What this run's own has lost, nobody else has.
        _ if there.root() == root => lost,
        Ok(None) if there.is_new().unwrap_or(false) => lost,
        Ok(None) | Err(_) => Home::Unclear,
    }
}

/// The error of the record `record`, a path below the checkpoint, that names the folder `location`.
#[must_use]
pub fn strange(checkpoint: &Checkpoint, record: &str, location: &Path) -> EvolveError {
    let why = format!("it names {}, which is no folder of this pipeline", location.display());
    CheckpointError::Damaged { path: checkpoint.root().join(record), why }.into()
}

/// Stops before anything is written to, or made in, a folder that the record `record` names and that is not the pipeline's.
///
/// # Errors
/// When it is not, or a mark cannot be read.
pub fn refuse_strange(
    checkpoint: &Checkpoint,
    record: &str,
    location: &Path,
    outputs: &Outputs,
    query_id: &str,
) -> Result<(), EvolveError> {
    match whose(location, outputs, query_id, &[])? {
        // In what is not there nothing is made.
        Named::Ours | Named::Absent => Ok(()),
        Named::Empty | Named::Strange => Err(strange(checkpoint, record, location)),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;

    use sluicebox_checkpoint::records::Metadata;

    use super::*;

    #[test]
    fn a_checkpoint_that_a_mark_names_lives_or_is_lost_or_cannot_be_told() {
        let dir = tempfile::tempdir().unwrap();
        let (own, there) = (dir.path().join("own"), Checkpoint::new(dir.path().join("there")));
        let seen = |host: &str, root: &Path| {
            let owner = Owner {
                query_id: "q".to_owned(),
                generation: 1,
                pipeline: "p".to_owned(),
                table: "t".to_owned(),
                checkpoint: there.root().display().to_string(),
                host: host.to_owned(),
            };
            home(&owner, root)
        };
        let of = |id: &str| {
            let (id, pipeline) = (id.to_owned(), "p".to_owned());
            let metadata =
                Metadata { id, generation: 1, pipeline, created_micros: 0, plan_partitions: 1, logs: BTreeMap::new() };
            there.replace_metadata(&metadata).unwrap();
        };
        assert_eq!(seen("", &own), Home::Lost, "nothing is there");
        assert_eq!(seen(&hostname(), &own), Home::Lost);
        assert_eq!(seen("another machine", &own), Home::Elsewhere);
        there.prepare().unwrap();
        assert_eq!(seen("", &own), Home::Lost, "no run has begun there");
        of("q");
        assert_eq!(seen("another machine", &own), Home::Living);
        of("other");
        assert_eq!(seen("", &own), Home::Lost, "another query is there");
        assert_eq!(seen("", there.root()), Home::Lost, "the same path in another container");
        fs::write(there.root().join("metadata"), "torn").unwrap();
        assert_eq!(seen("", &own), Home::Unclear);
        assert_eq!(seen("", there.root()), Home::Lost, "what the run's own has lost");
        fs::remove_file(there.root().join("metadata")).unwrap();
        fs::write(there.root().join("offsets/0"), "").unwrap();
        assert_eq!(seen("", &own), Home::Unclear, "records without metadata");
    }

    #[test]
    fn a_checkpoint_whose_path_the_mark_does_not_say_whole_is_never_lost() {
        let dir = tempfile::tempdir().unwrap();
        // As a version wrote it that took any path.
        let path = dir.path().join(std::ffi::OsStr::from_bytes(b"ck\xff"));
        let mut owner = Owner {
            query_id: "q".to_owned(),
            generation: 1,
            pipeline: "p".to_owned(),
            table: "t".to_owned(),
            checkpoint: path.display().to_string(),
            host: hostname(),
        };
        assert_eq!(home(&owner, &dir.path().join("own")), Home::Unnamed);
        assert_eq!(home(&owner, Path::new(&owner.checkpoint)), Home::Unnamed, "nor for who has the path that it says");
        owner.host = "another machine".to_owned();
        assert_eq!(home(&owner, &dir.path().join("own")), Home::Unnamed);
    }
}
