//! Records that somebody changed by hand: whole by their checksum, and naming what no run does. Whoever acts on a name in a
//! record joins it to a folder, so a name that leads out of that folder is damage like any other.

use std::path::{Component, Path};

use sluicebox_lake::layout;

use super::records::{Commit, Compaction, OperatorState};

/// Finds the first name in `commit` that no run writes.
///
/// # Errors
/// What is wrong with it, to follow the record's name.
pub(super) fn commit(commit: &Commit) -> Result<(), String> {
    for file in commit.files.iter().flat_map(|output| &output.files) {
        if !layout::is_target(&file.target) {
            return Err(format!("it names {:?}, which is no path of a file in a table's folder", file.target));
        }
        if !layout::is_staged(&file.staged) {
            return Err(format!("it names {:?}, which is no path of a staged file", file.staged));
        }
    }
    match commit.state.values().flat_map(OperatorState::files).find(|file| !is_state(&file.path)) {
        Some(file) => Err(format!("it names {:?}, which is no path of a state file", file.path)),
        None => Ok(()),
    }
}

/// Finds out whether the folder in `compaction` is that of a partition.
///
/// # Errors
/// What is wrong with it, to follow the record's name.
pub(super) fn compaction(compaction: &Compaction) -> Result<(), String> {
    let folder = &compaction.folder;
    if layout::is_target(folder) && folder.split('/').all(|part| part.contains('=')) {
        return Ok(());
    }
    Err(format!("it names {folder:?}, which is no folder of a partition"))
}

/// Whether `path` is `state/<operator>/<name>`.
fn is_state(path: &str) -> bool {
    let path = Path::new(path);
    path.starts_with("state")
        && path.components().count() > 2
        && path.components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::is_state;

    #[test]
    fn a_state_file_lies_in_the_folder_of_an_operator() {
        assert!(is_state("state/t.dedup.0/000000004-1.delta.arrow"));
        for path in
            ["", "state", "state/x", "/state/o/x", "../state/o/x", "state/../o/x", "state/o/../../x", "other/o/x"]
        {
            assert!(!is_state(path), "{path}");
        }
    }
}
