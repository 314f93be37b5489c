//! Refuses records that somebody edited by hand: their checksum is right, but they name what no run names. A run joins the names in a
//! record to a folder, so a name that leads out of that folder counts as damage.

use std::path::{Component, Path};

use sluicebox_sinks::{is_outbox_path, layout};

use crate::records::{Commit, Compaction, OperatorState, Totals};

/// No run counts more rows or bytes in a file, or rows of a batch, nor gives a record a higher number. So those of all files can
/// be added up, and every number has one after it.
pub(super) const MOST: u64 = 1 << 48;
/// Nor do all runs count more together. So the counts of a batch can be added.
const MOST_OF_ALL: u64 = 1 << 60;

/// Finds the first name or count in `commit` that no run writes.
///
/// # Errors
/// What is wrong with it, to follow the record's name.
pub(super) fn commit(commit: &Commit) -> Result<(), String> {
    for file in commit.files().flat_map(|output| output.files) {
        if !layout::is_target(&file.target) {
            return Err(format!("it names {:?}, which is no path of a file in a table's folder", file.target));
        }
        if !layout::is_staged(&file.staged) {
            return Err(format!("it names {:?}, which is no path of a staged file", file.staged));
        }
    }
    if let Some((_, rows)) = commit.rows().find(|(_, rows)| !is_outbox_path(&rows.path)) {
        return Err(format!("it names {:?}, which is no path of rows that wait", rows.path));
    }
    let state = commit.state.values();
    if let Some(file) = state.clone().flat_map(OperatorState::files).find(|file| !is_state(&file.path)) {
        return Err(format!("it names {:?}, which is no path of a state file", file.path));
    }
    let files = commit.files().flat_map(|output| output.files).flat_map(|file| [file.rows, file.bytes]);
    let rows = commit.rows().flat_map(|(_, rows)| [rows.rows, rows.bytes]);
    let segments = state.clone().flat_map(|of| &of.segments).flat_map(|segment| [segment.rows, segment.tail_bytes]);
    counts(files.chain(rows).chain(segments).chain(state.flat_map(OperatorState::files).map(|file| file.bytes)), MOST)?;
    commit.totals.as_ref().map_or(Ok(()), totals)
}

fn totals(totals: &Totals) -> Result<(), String> {
    counts([totals.events, totals.dead_letters].into_iter(), MOST_OF_ALL)?;
    let fates = totals.tables.values().flat_map(|fates| fates.named().map(|(_, count)| count));
    counts(fates, MOST_OF_ALL)
}

fn counts(mut numbers: impl Iterator<Item = u64>, most: u64) -> Result<(), String> {
    match numbers.find(|number| *number > most) {
        Some(number) => Err(format!("it counts {number} rows, bytes or events, which no run has done")),
        None => Ok(()),
    }
}

/// Finds out whether the folder in `compaction` is that of a partition, and its counts are some.
///
/// # Errors
/// What is wrong with it, to follow the record's name.
pub(super) fn compaction(compaction: &Compaction) -> Result<(), String> {
    let folder = &compaction.folder;
    if !layout::is_target(folder) || !folder.split('/').all(|part| part.contains('=')) {
        return Err(format!("it names {folder:?}, which is no folder of a partition"));
    }
    let files = compaction.inputs.iter().chain(&compaction.outputs).flat_map(|file| [file.rows, file.bytes]);
    counts(files.chain(compaction.batches.0.values().copied()), MOST)
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
    use std::collections::BTreeMap;

    use sluicebox_core::Fates;

    use super::{MOST, MOST_OF_ALL, Totals, counts, is_state, totals};

    #[test]
    fn counts_can_be_added_up() {
        assert_eq!(counts([0, MOST].into_iter(), MOST), Ok(()));
        assert!(counts([1, MOST + 1].into_iter(), MOST).is_err_and(|why| why.contains("281474976710657")));
    }

    #[test]
    fn what_all_batches_did_can_be_counted_on() {
        let of = |fates: Fates| Totals { tables: BTreeMap::from([("t".to_owned(), fates)]), ..Totals::default() };
        assert_eq!(totals(&of(Fates { written: MOST_OF_ALL, ..Fates::default() })), Ok(()));
        for edited in [
            Totals { events: u64::MAX, ..Totals::default() },
            Totals { dead_letters: u64::MAX, ..Totals::default() },
            of(Fates { rows_out: u64::MAX, ..Fates::default() }),
        ] {
            assert!(totals(&edited).is_err_and(|why| why.contains("18446744073709551615")), "{edited:?}");
        }
    }

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
