//! Decides which records and state files may be removed.
//!
//! The last [`KEEP`] batches stay, so that their records can be inspected. A state file is removed only when no commit that stays names it,
//! and only after the commit that stopped naming it is durable; the purge runs after a commit, so that holds. A file without the name of a
//! state file, outside every operator's folder, or in a table's folder is not a run's: it stays.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Once;

use sluicebox_core::Scope;
use sluicebox_durable::Own;
use sluicebox_durable::fault::What;
use sluicebox_operators::OperatorKind;
use sluicebox_sinks::owner;

use crate::ours::remove_source;
use crate::records::Commit;
use crate::{Checkpoint, CheckpointError};

/// How many batches' records stay.
const KEEP: u64 = 100;

/// The lowest id whose records stay, when `newest` has been committed.
#[must_use]
pub fn keep_from(newest: u64) -> u64 {
    newest.saturating_sub(KEEP - 1)
}

/// Whether `name` is that of a state file of a batch up to `newest`. A purge runs beside the batches after it, whose files no
/// commit names yet: they, and what is not whole, are left alone.
fn is_over(name: &str, newest: u64) -> bool {
    batch_of(name).is_some_and(|batch| batch <= newest)
}

/// The batch in the name of a state file, in exactly the forms that their writers give: `<batch>-<epoch>.delta.arrow`,
/// `<batch>-<epoch>.snapshot.arrow` and `<batch>-<epoch>-<n>.segment`. Files of tables begin with their batch too.
pub(super) fn batch_of(name: &str) -> Option<u64> {
    let number = |text: &str| text.parse().ok().filter(|n: &u64| n.to_string() == text);
    let (batch, rest) = name.split_once('-')?;
    let id = batch.parse::<u64>().ok().filter(|id| format!("{id:09}") == batch)?;
    let whole = rest.strip_suffix(".delta.arrow").or_else(|| rest.strip_suffix(".snapshot.arrow"));
    match (whole, rest.strip_suffix(".segment")) {
        (Some(epoch), _) => number(epoch)?,
        (None, segment) => segment?.split_once('-').and_then(|(epoch, nth)| number(epoch).and(number(nth)))?,
    };
    Some(id)
}

/// Whether operators have ids of the form of `name`.
pub(super) fn is_operator(name: &str) -> bool {
    OperatorKind::of_id(name).is_some()
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

    /// Removes what the sources of backfills have pinned, once their tables are filled. A folder in which a table lies stays, and what
    /// no run has put there.
    ///
    /// # Errors
    /// When a folder cannot be listed or removed.
    pub fn forget_backfills(&self) -> Result<(), CheckpointError> {
        let Some(sources) = self.removable("sources")? else { return Ok(()) };
        for source in folders(What::Sweep, &sources)? {
            let is_over = !Scope::of(&source).is_live();
            if is_over && self.table_in(What::Sweep, Path::new("sources").join(&source))?.is_none() {
                remove_source(What::Sweep, &sources, &source)?;
            }
        }
        Ok(())
    }

    fn remove_state_but(&self, named: &BTreeSet<String>, newest: &Commit) -> Result<(), CheckpointError> {
        let Some(state) = self.removable("state")? else { return Ok(()) };
        let known: BTreeSet<&str> = named.iter().filter_map(|path| path.split('/').nth(1)).collect();
        for operator in folders(What::Purge, &state)? {
            // Whatever else lies there is no state.
            if !known.contains(operator.as_str()) && !is_operator(&operator) {
                continue;
            }
            let Some(dir) = state.folder(&operator)? else { continue };
            if owner::is_marked(dir.path()) {
                tell_of_table(dir.path());
                continue;
            }
            for entry in dir.list(What::Purge)? {
                let name = entry.file_name().to_string_lossy().into_owned();
                if is_over(&name, newest.batch_id) && !named.contains(&format!("state/{operator}/{name}")) {
                    dir.remove(What::Purge, entry.file_name())?;
                }
            }
        }
        Ok(())
    }

    /// The first folder that has the mark of a table, of what is deleted with the folder `name` of the checkpoint: itself, or one
    /// below it. Behind links nothing is deleted.
    ///
    /// # Errors
    /// When it, or a folder on the way to it, is a link or no folder; or one cannot be listed.
    pub fn table_in(&self, what: What, name: impl AsRef<Path>) -> Result<Option<PathBuf>, CheckpointError> {
        match Own::given(&self.root).folder(name)? {
            Some(folder) => marked(what, &folder),
            None => Ok(None),
        }
    }
}

/// Warns, of the first one that is met, that the state files of an operator stay in `folder`, which has the mark of a table.
fn tell_of_table(folder: &Path) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        tracing::warn!(
            "{} is the folder of a table too: the state files in it stay, since nothing is deleted that may be a table's. Give that \
             table another LOCATION, and remove the mark {} when no pipeline writes here",
            folder.display(),
            owner::mark(folder).display()
        );
    });
}

/// The first folder that has a mark: `folder`, or one below it.
fn marked(what: What, folder: &Own) -> Result<Option<PathBuf>, CheckpointError> {
    if owner::is_marked(folder.path()) {
        return Ok(Some(folder.path().to_owned()));
    }
    for name in folders(what, folder)? {
        if let Some(inner) = folder.folder(name)?
            && let Some(found) = marked(what, &inner)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
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
    use crate::records::{OperatorState, SegmentRecord, StateFile};

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
            outputs: Vec::new(),
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
        assert!(fs::read(dir.path().join("commits/8")).unwrap().starts_with(b"v3 "), "older readers would forget");
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

    /// Commits `newest` over state files of batch 0 that it does not name, purges, and gives what is left below `state/`.
    fn left_of(files: &[&str]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(dir.path());
        checkpoint.prepare().unwrap();
        let state = dir.path().join("state");
        for file in files {
            fs::create_dir_all(state.join(file).parent().unwrap()).unwrap();
            fs::write(state.join(file), "").unwrap();
        }
        let newest = commit(8, "state/op/000000008-1-0.segment", &[]);
        checkpoint.write_commit(&newest).unwrap();
        checkpoint.purge(&newest).unwrap();
        checkpoint.sweep_temporaries().unwrap();
        files.iter().filter(|file| state.join(file).exists()).map(|file| (*file).to_owned()).collect()
    }

    #[test]
    fn a_purge_takes_state_files_of_operators_and_nothing_else() {
        let over = [
            "op/000000001-1.delta.arrow",
            "op/000000001-12.snapshot.arrow",
            "gold.a.b.aggregate.0/000000001-1-0.segment",
            "backfill-4.silver.dedup.12/000000001-1.delta.arrow",
            "silver.dedup.0/.tmp-1-2-segment",
        ];
        assert_eq!(left_of(&over), [""; 0]);
        let stays = [
            "op/000000001-000-5a1e9c2b.parquet",
            "op/000000001-1.parquet",
            "op/000000001-1.arrow",
            "op/000000001-1.segment",
            "op/000000001-1-0.delta.arrow",
            "op/000000001-01.delta.arrow",
            "op/000000001-x.delta.arrow",
            "op/1-1.delta.arrow",
            "op/0000000001-1.delta.arrow",
            "op/day=1/000000001-1.delta.arrow",
            "table/000000001-1.delta.arrow",
            "silver.dedup.x/000000001-1.delta.arrow",
            "dedup.0/000000001-1.delta.arrow",
            "000000001-1.delta.arrow",
        ];
        assert_eq!(left_of(&stays), stays);
    }

    #[test]
    fn what_lies_in_a_folder_with_a_mark_is_no_state() {
        let mut files = ["op/000000001-1.delta.arrow", "op/.tmp-1-2-segment", ".op_sluicebox_owner"];
        assert_eq!(left_of(&files), files);
        files[2] = "op/_sluicebox_owner";
        assert_eq!(left_of(&files), files);
    }

    #[test]
    fn a_table_in_the_folder_of_a_backfill_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(dir.path());
        checkpoint.prepare().unwrap();
        let sources = dir.path().join("sources");
        for folder in ["backfill-1.orders/topics", "backfill-2.orders/topics/t", "orders"] {
            fs::create_dir_all(sources.join(folder)).unwrap();
        }
        fs::write(sources.join("backfill-2.orders/topics/.t_sluicebox_owner"), "").unwrap();
        checkpoint.forget_backfills().unwrap();
        let there = |name: &str| sources.join(name).exists();
        assert!(!there("backfill-1.orders") && there("backfill-2.orders/topics/t") && there("orders"));
    }
}
