//! Which records and state files may go.
//!
//! The last [`KEEP`] batches stay, so that one can look back. A state file goes only when no commit that stays names
//! it, and only after the commit that stopped naming it is durable, which holds because this runs after a commit.

use std::collections::BTreeSet;
use std::sync::Once;

use sluicebox_core::durable::Own;
use sluicebox_core::fault::What;

use super::records::Commit;
use super::{Checkpoint, CheckpointError};

/// How many batches' records stay.
const KEEP: u64 = 100;

/// The lowest id whose records stay, when `newest` has been committed.
#[must_use]
pub fn keep_from(newest: u64) -> u64 {
    newest.saturating_sub(KEEP - 1)
}

/// Whether the state file `name` is of a batch up to `newest`. A purge runs beside the batches after it, whose files no
/// commit names yet: they, and what is not whole, are left alone.
fn is_over(name: &str, newest: u64) -> bool {
    name.split_once('-').and_then(|(batch, _)| batch.parse::<u64>().ok()).is_some_and(|batch| batch <= newest)
}

impl Checkpoint {
    /// Removes the records of batches before [`keep_from`] `(newest.batch_id)`, and the state files that neither
    /// `newest` nor any commit that stays names.
    ///
    /// # Errors
    /// When a folder cannot be listed or a file not removed.
    pub fn purge(&self, newest: &Commit) -> Result<(), CheckpointError> {
        let keep = keep_from(newest.batch_id);
        if let Some(named) = self.named_state(keep, newest)? {
            self.remove_state_but(&named, newest)?;
        }
        for folder in ["offsets", "commits"] {
            let Some(own) = self.removable(folder)? else { continue };
            for id in self.ids(What::Purge, folder)?.into_iter().filter(|id| *id < keep) {
                own.remove(What::Purge, id.to_string())?;
            }
        }
        Ok(())
    }

    /// The folder `name` of the checkpoint, for removing what is over in it; `None` if there is none. Nor is there when it is
    /// a link: it serves as a folder, but behind a link nothing is removed, and the first one that is met is told.
    ///
    /// # Errors
    /// When it cannot be looked at, or is no folder.
    pub(super) fn removable(&self, name: &str) -> Result<Option<Own>, CheckpointError> {
        static TOLD: Once = Once::new();
        let path = self.root.join(name);
        if path.is_symlink() {
            TOLD.call_once(|| {
                tracing::warn!(
                    "{} is a link: what is over in it stays, since nothing behind a link is deleted. To have the checkpoint \
                     elsewhere, link its own folder, not one in it",
                    path.display()
                );
            });
            return Ok(None);
        }
        Ok(Own::given(&self.root).folder(name)?)
    }

    /// The state files that the commits from `keep` on name. `None` when one of those commits is damaged: nothing depends
    /// on it but what may be removed, so the run goes on, and no state file goes until that commit is old enough to go.
    fn named_state(&self, keep: u64, newest: &Commit) -> Result<Option<BTreeSet<String>>, CheckpointError> {
        let mut named = BTreeSet::new();
        for id in self.commit_ids()?.into_iter().filter(|id| *id >= keep) {
            let commit = if id == newest.batch_id { Ok(newest.clone()) } else { self.commit(id) };
            let commit = match commit {
                Ok(commit) => commit,
                Err(damaged @ CheckpointError::Damaged { .. }) => {
                    tracing::warn!("old state files are kept for now: {damaged}");
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            for state in commit.state.into_values() {
                named.extend(state.files().map(|f| f.path.clone()));
            }
        }
        Ok(Some(named))
    }

    /// Removes what the sources of backfills have pinned, once their tables are filled.
    ///
    /// # Errors
    /// When a folder cannot be listed or removed.
    pub fn forget_backfills(&self) -> Result<(), CheckpointError> {
        let Some(sources) = self.removable("sources")? else { return Ok(()) };
        for source in folders(What::Sweep, &sources)? {
            if crate::change::original(&source).is_some() {
                sources.remove_tree(What::Sweep, source)?;
            }
        }
        Ok(())
    }

    fn remove_state_but(&self, named: &BTreeSet<String>, newest: &Commit) -> Result<(), CheckpointError> {
        let Some(state) = self.removable("state")? else { return Ok(()) };
        for operator in folders(What::Purge, &state)? {
            let Some(dir) = state.folder(&operator)? else { continue };
            for entry in dir.list(What::Purge)? {
                let name = entry.file_name().to_string_lossy().into_owned();
                if is_over(&name, newest.batch_id) && !named.contains(&format!("state/{operator}/{name}")) {
                    dir.remove(What::Purge, entry.file_name())?;
                }
            }
        }
        Ok(())
    }
}

/// The names of the folders in `folder`; a link is none.
fn folders(what: What, folder: &Own) -> Result<Vec<String>, CheckpointError> {
    let entries = folder.list(what)?.into_iter().filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir()));
    Ok(entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;
    use crate::checkpoint::records::{OperatorState, SegmentRecord, StateFile};

    fn commit(batch_id: u64, segment: &str, deltas: &[&str]) -> Commit {
        let file = |path: &str| StateFile { path: path.to_owned(), bytes: 0, checksum: String::new() };
        let segment = SegmentRecord { file: file(segment), rows: 1, tail_bytes: 0, tail_checksum: String::new() };
        let state = OperatorState {
            deltas: deltas.iter().map(|path| file(path)).collect(),
            segments: vec![segment],
            ..OperatorState::default()
        };
        Commit {
            totals: None,
            batch_id,
            epoch: 1,
            files: Vec::new(),
            positions: Vec::new(),
            watermarks: BTreeMap::new(),
            schemas: BTreeMap::new(),
            state: BTreeMap::from([("op".to_owned(), state)]),
            pipeline: 1,
            pending: BTreeSet::new(),
        }
    }

    #[test]
    fn a_purge_leaves_what_commits_name_and_what_the_next_batch_is_writing() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(dir.path());
        checkpoint.prepare().unwrap();
        let state = dir.path().join("state/op");
        fs::create_dir(&state).unwrap();
        let names = [
            "000000003-1-0.segment",
            "000000004-1-0.segment",
            "000000007-1.delta.arrow",
            "000000008-1.delta.arrow",
            "000000009-1-0.segment",
            "000000009-1.delta.arrow",
            ".tmp-1-2-segment",
        ];
        for name in names {
            fs::write(state.join(name), "").unwrap();
        }
        let newest = commit(8, "state/op/000000004-1-0.segment", &["state/op/000000008-1.delta.arrow"]);
        checkpoint.write_commit(&newest).unwrap();
        assert!(fs::read(dir.path().join("commits/8")).unwrap().starts_with(b"v2 "), "older readers would forget");
        assert_eq!(checkpoint.commit(8).unwrap(), newest);
        checkpoint.purge(&newest).unwrap();
        let mut left: Vec<String> =
            fs::read_dir(&state).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        left.sort();
        let stays = [4, 8, 9, 9].into_iter().zip(["-0.segment", ".delta.arrow", "-0.segment", ".delta.arrow"]);
        let mut stays: Vec<String> = stays.map(|(batch, end)| format!("00000000{batch}-1{end}")).collect();
        stays.insert(0, ".tmp-1-2-segment".to_owned());
        assert_eq!(left, stays);
    }
}
