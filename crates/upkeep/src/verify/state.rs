//! The files of each operator's state from commit to commit: whether a run can have left those that a commit names, whether they follow
//! from those of the commit before, and whether they agree with the report of their batch.
//!
//! A batch may change the files of an operator in these ways: it adds one delta, its own; it folds the first deltas, and the snapshot
//! before them, into a segment behind all others; it replaces all of that by a snapshot; it replaces segments by the one that they were
//! merged into; and it releases segments. The rows in the files are not computed again.

use std::collections::{BTreeMap, BTreeSet};

use sluicebox_checkpoint::Checkpoint;
use sluicebox_checkpoint::records::{Commit, OperatorState, SegmentRecord, StateFile};
use sluicebox_core::Scope;
use sluicebox_pipeline::graph::OperatorKind;

use super::Verdict;
use super::ledger::Absorbed;
use super::records::Records;

/// State by operator.
type States = BTreeMap<String, OperatorState>;

/// Looks at the state of every commit, and at what `absorbed`, by the reports, went into it.
pub(super) fn check(checkpoint: &Checkpoint, records: &Records, absorbed: &Absorbed, verdict: &mut Verdict) {
    let none = States::new();
    let mut windows: BTreeMap<u64, BTreeMap<String, String>> = BTreeMap::new();
    let mut told = BTreeSet::new();
    let mut before: Option<&Commit> = None;
    for commit in records.commits.values() {
        let id = commit.batch_id;
        for (operator, state) in &commit.state {
            // What is wrong is so in each commit that goes on with it.
            let found = alone(operator, state, (id, commit.epoch)).map(|why| problem(operator, &why));
            verdict.problems.extend(found.filter(|found| told.insert(found.clone())));
        }
        let known = match before {
            // With another SQL state may begin anew.
            Some(before) if before.batch_id + 1 == id && before.pipeline == commit.pipeline => Some(&before.state),
            None if id == 0 => Some(&none),
            _ => None,
        };
        if let Some(known) = known {
            let of = windows.entry(commit.pipeline).or_insert_with(|| only_windows(checkpoint, commit.pipeline));
            let found = step(known, commit, of, absorbed);
            verdict.problems.extend(found.into_iter().map(|found| format!("batch {id}: {found}")));
        }
        before = Some(commit);
    }
    if before.is_some_and(|newest| newest.state.values().any(|state| state.files().next().is_some())) {
        verdict.unproved.push(
            "what the rows in state files say: only that the files are those that were committed, and follow from each other"
                .to_owned(),
        );
    }
}

fn problem(operator: &str, why: &str) -> String {
    format!("the state of {operator} {why}; --full-refresh of its table computes both again")
}

/// The operators of the windows whose rows reports count apart, by table: those of tables with no other window.
fn only_windows(checkpoint: &Checkpoint, pipeline: u64) -> BTreeMap<String, String> {
    // Checkpoints that are older than these records have none.
    let Ok(record) = checkpoint.pipeline(pipeline) else { return BTreeMap::new() };
    let mut found = BTreeMap::new();
    for (table, shape) in record.shape.tables {
        let mut windows = shape.operators.into_iter().filter(|(_, operator)| absorbs(&operator.kind));
        if let (Some((operator, _)), None) = (windows.next(), windows.next()) {
            found.insert(table, operator);
        }
    }
    found
}

/// What is wrong with the state of `commit` after that of the commit `before`; `windows` are operators by table.
fn step(before: &States, commit: &Commit, windows: &BTreeMap<String, String>, absorbed: &Absorbed) -> Vec<String> {
    let key = (commit.batch_id, commit.epoch);
    let fresh = OperatorState::default();
    // What fills a table is forgotten when it is full.
    let gone = before.keys().filter(|id| !commit.state.contains_key(*id) && Scope::of(id).is_live());
    let mut found: Vec<String> = gone.map(|id| problem(id, "is named no more")).collect();
    for (operator, after) in &commit.state {
        let before = before.get(operator).unwrap_or(&fresh);
        found.extend(follows(operator, before, after, key).map(|why| problem(operator, &why)));
    }
    for (table, operator) in windows {
        let rows = absorbed.get(&(commit.batch_id, table.clone()));
        if let (Some(rows), Some(after)) = (rows, commit.state.get(operator)) {
            let before = before.get(operator).unwrap_or(&fresh);
            found.extend(counted(operator, before, after, key, *rows).map(|why| problem(operator, &why)));
        }
    }
    found
}

/// The name of a state file, taken apart.
struct Named {
    kind: &'static str,
    batch: u64,
    epoch: u64,
}

/// What `file` is by its name; none if that is no name of a file of `operator`.
fn named(operator: &str, file: &StateFile) -> Option<Named> {
    let name = file.path.strip_prefix("state/")?.strip_prefix(operator)?.strip_prefix('/')?;
    let (batch, rest) = name.split_once('-')?;
    let (epoch, ending) = rest.split_once(['-', '.'])?;
    let kind = match ending {
        "delta.arrow" => "delta",
        "snapshot.arrow" => "snapshot",
        _ => {
            ending.strip_suffix(".segment")?.parse::<u64>().ok()?;
            "segment"
        }
    };
    Some(Named { kind, batch: batch.parse().ok()?, epoch: epoch.parse().ok()? })
}

/// Why no run has put `state`, of `operator`, into the commit `(batch, epoch)`, whatever stood before; none if one may have.
fn alone(operator: &str, state: &OperatorState, (batch, epoch): (u64, u64)) -> Option<String> {
    let segments = state.segments.iter().map(|segment| (&segment.file, "segment"));
    let snapshot = state.snapshot.iter().map(|file| (file, "snapshot"));
    let deltas = state.deltas.iter().map(|file| (file, "delta"));
    let mut seen = BTreeSet::new();
    for (file, kind) in segments.chain(snapshot).chain(deltas) {
        let fits = named(operator, file).is_some_and(|n| n.kind == kind && n.batch <= batch && n.epoch <= epoch);
        if !fits {
            return Some(format!("names {:?} as a {kind}, which it cannot be", file.path));
        }
        if !seen.insert(file.path.as_str()) {
            return Some(format!("names {} twice", file.path));
        }
    }
    let of = |file: &StateFile| named(operator, file).map(|n| n.batch);
    if let Some(two) = state.deltas.windows(2).find(|two| of(&two[0]) >= of(&two[1])) {
        return Some(format!("names {} behind {}: deltas are in the order of their batches", two[1].path, two[0].path));
    }
    match (&state.snapshot, state.deltas.first()) {
        (Some(snapshot), Some(delta)) if of(delta) <= of(snapshot) => {
            Some(format!("names {} and {}: rows that are in both would be counted twice", snapshot.path, delta.path))
        }
        _ => None,
    }
}

/// Why the batch of the commit `key`, `(batch, epoch)`, has not made `after` of `before`; none if it may have.
fn follows(operator: &str, before: &OperatorState, after: &OperatorState, key: (u64, u64)) -> Option<String> {
    let is_own = |file: &StateFile| named(operator, file).is_some_and(|n| (n.batch, n.epoch) == key);
    let whole = after.snapshot.as_ref().filter(|_| after.snapshot != before.snapshot);
    if let Some(strange) = whole.filter(|snapshot| !is_own(snapshot)) {
        return Some(foreign(strange));
    }
    let (kept, own) = match after.deltas.split_last() {
        Some((last, kept)) if is_own(last) => (kept, true),
        _ => (after.deltas.as_slice(), false),
    };
    let mut folds = false;
    // Beside a new snapshot stands no delta, which is seen without the commit before.
    if whole.is_none() {
        if let Some(why) = misses(&before.deltas, kept) {
            return Some(why);
        }
        let deltas = &before.deltas[..before.deltas.len() - kept.len()];
        if let (Some(snapshot), Some(delta)) = (&after.snapshot, deltas.first()) {
            return Some(format!("names {} no more, and {}, which is older", delta.path, snapshot.path));
        }
        let gone = before.snapshot.iter().filter(|_| after.snapshot.is_none()).chain(deltas).next();
        let segment = after.segments.iter().any(|segment| is_own(&segment.file));
        if let Some(gone) = gone.filter(|_| !after.deltas.is_empty() && !segment && !gives_up_at_once(operator)) {
            return Some(format!("names {} no more, and no segment that it was folded into", gone.path));
        }
        // Of a delta that is folded by its own batch no commit knows.
        folds = gone.is_some() || !own;
    }
    misplaced(&before.segments, &after.segments, is_own, folds)
}

/// A deduplication may give up a segment in the batch that was to name it: the watermark has passed all that went into it.
fn gives_up_at_once(operator: &str) -> bool {
    OperatorKind::of_id(operator).is_some_and(|kind| kind.gives_up_at_once)
}

/// Whether the rows that an operator of this kind takes go into its state, and others come out.
fn absorbs(kind: &str) -> bool {
    OperatorKind::named(kind).is_some_and(|kind| !kind.keeps_rows)
}

fn foreign(file: &StateFile) -> String {
    format!("names {}, which is of another batch and was not named before", file.path)
}

/// Why `kept` is not the end of `before`; none if it is.
fn misses(before: &[StateFile], kept: &[StateFile]) -> Option<String> {
    if before.ends_with(kept) {
        return None;
    }
    let there: BTreeSet<&str> = before.iter().map(|delta| delta.path.as_str()).collect();
    if let Some(strange) = kept.iter().find(|delta| !there.contains(delta.path.as_str())) {
        return Some(foreign(strange));
    }
    let first = kept.first()?;
    let from = before.iter().position(|delta| delta.path == first.path)?;
    let after = kept.iter().map(Some).chain(std::iter::repeat(None));
    let (lost, _) = before[from..].iter().zip(after).find(|(was, is)| Some(*was) != *is)?;
    Some(format!("does not name {} as the commit before does, and names what came before it", lost.path))
}

/// Which of the segments `after` stands where it cannot, if that is so; `folds`: something may have been folded in the batch.
fn misplaced(
    before: &[SegmentRecord],
    after: &[SegmentRecord],
    is_own: impl Fn(&StateFile) -> bool,
    folds: bool,
) -> Option<String> {
    let places: BTreeMap<&str, usize> = before.iter().map(|s| s.file.path.as_str()).zip(0..).collect();
    // The first place that is behind all those that have stayed so far, and the new segment that stands there.
    let (mut next, mut new) = (0, None);
    for segment in after {
        let path = &segment.file.path;
        match places.get(path.as_str()) {
            None if is_own(&segment.file) => new = Some(path),
            None => return Some(foreign(&segment.file)),
            Some(at) if *at < next => return Some(format!("names {path} behind segments that are newer")),
            Some(at) if before[*at] != *segment => {
                return Some(format!("names {path}, and means another file than before"));
            }
            Some(at) => {
                // A fold stands behind all; what was merged stands for some that are gone.
                if let Some(new) = new.take().filter(|_| *at == next) {
                    return Some(format!(
                        "names {new} before {path}, where no segment is gone that it could stand for"
                    ));
                }
                next = at + 1;
            }
        }
    }
    let new = new.filter(|_| !folds && next == before.len())?;
    Some(format!("names {new} as the newest segment, and nothing was folded"))
}

/// What state and report say otherwise of the batch of `key`, by which `absorbed` rows went into the state of the only window
/// of a table; none if they agree.
fn counted(
    operator: &str,
    before: &OperatorState,
    after: &OperatorState,
    key: (u64, u64),
    absorbed: u64,
) -> Option<String> {
    let own = after.deltas.last().filter(|delta| named(operator, delta).is_some_and(|n| n.batch == key.0));
    // Where something was folded or written whole, it was all that there was.
    let is_same = before.snapshot == after.snapshot && before.segments == after.segments;
    let is_held = after.snapshot.is_some() || !after.deltas.is_empty();
    match (own, absorbed) {
        (Some(delta), 0) => Some(format!("names {}, and by its report the batch put no row there", delta.path)),
        (None, 1..) if is_same && is_held => {
            Some(format!("names no delta of the batch, which by its report put {absorbed} rows there"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATOR: &str = "t.aggregate.0";

    /// The batch that is looked at, and its epoch.
    const KEY: (u64, u64) = (7, 1);

    fn file(batch: u64, ending: &str) -> StateFile {
        StateFile { path: format!("state/{OPERATOR}/{batch:09}-1{ending}"), bytes: 1, checksum: String::new() }
    }

    /// Segments, snapshot and deltas, by the batches that named them first.
    fn state(segments: &[u64], snapshot: Option<u64>, deltas: &[u64]) -> OperatorState {
        let segment = |batch: &u64| SegmentRecord {
            file: file(*batch, "-0.segment"),
            rows: 1,
            tail_bytes: 1,
            tail_checksum: String::new(),
        };
        OperatorState {
            fingerprint: String::new(),
            snapshot: snapshot.map(|batch| file(batch, ".snapshot.arrow")),
            deltas: deltas.iter().map(|batch| file(*batch, ".delta.arrow")).collect(),
            segments: segments.iter().map(segment).collect(),
        }
    }

    fn found(before: &OperatorState, after: &OperatorState) -> String {
        let found = alone(OPERATOR, after, KEY).or_else(|| follows(OPERATOR, before, after, KEY));
        found.unwrap_or_default()
    }

    #[test]
    fn what_a_batch_may_do_to_state_is_no_problem() {
        let plain = state(&[], None, &[5, 6]);
        let whole = state(&[], Some(4), &[5, 6]);
        let many = state(&[1, 2, 3, 4, 5], None, &[6]);
        for (before, after) in [
            (OperatorState::default(), state(&[], None, &[7])),
            (OperatorState::default(), state(&[7], None, &[])),
            (plain.clone(), plain.clone()),
            (plain.clone(), state(&[], None, &[5, 6, 7])),
            (plain.clone(), state(&[7], None, &[6, 7])),
            (plain.clone(), state(&[7], None, &[])),
            (plain.clone(), state(&[], Some(7), &[])),
            (plain, OperatorState::default()),
            (whole.clone(), state(&[], Some(4), &[5, 6, 7])),
            (whole.clone(), state(&[], Some(7), &[])),
            (whole, state(&[7], None, &[7])),
            (many.clone(), state(&[7], None, &[6, 7])),
            (many.clone(), state(&[7, 5], None, &[6, 7])),
            (many.clone(), state(&[1, 7], None, &[6, 7])),
            (many.clone(), state(&[3, 4, 5], None, &[6])),
            (many, state(&[2, 3, 4, 5, 7], None, &[7])),
        ] {
            assert_eq!(found(&before, &after), "", "{before:#?} {after:#?}");
        }
        assert!(gives_up_at_once("t.dedup.0") && !gives_up_at_once(OPERATOR));
    }

    #[test]
    fn what_no_batch_does_to_state_is_named() {
        let plain = state(&[], None, &[3, 4, 5]);
        let whole = state(&[], Some(2), &[3, 4, 5]);
        let many = state(&[1, 2, 3, 4, 5], None, &[6]);
        for (before, after, said) in [
            (
                &plain,
                state(&[], Some(7), &[7]),
                "000000007-1.delta.arrow: rows that are in both would be counted twice",
            ),
            (&whole, state(&[], Some(5), &[7]), "000000005-1.snapshot.arrow, which is of another batch"),
            (&plain, state(&[], None, &[3, 5, 7]), "does not name state/t.aggregate.0/000000004-1.delta.arrow"),
            (&plain, state(&[], None, &[3, 4]), "does not name state/t.aggregate.0/000000005-1.delta.arrow"),
            (&plain, state(&[], None, &[5, 7]), "000000003-1.delta.arrow no more, and no segment"),
            (&whole, state(&[], None, &[3, 4, 5]), "000000002-1.snapshot.arrow no more, and no segment"),
            (&whole, state(&[], Some(2), &[5]), "000000003-1.delta.arrow no more, and"),
            (&plain, state(&[], None, &[4, 3, 5]), "deltas are in the order of their batches"),
            (&plain, state(&[], None, &[3, 4, 5, 6]), "000000006-1.delta.arrow, which is of another batch"),
            (&plain, state(&[], None, &[3, 4, 5, 8]), "as a delta, which it cannot be"),
            (&many, state(&[2, 3, 4, 5, 1], None, &[6]), "behind segments that are newer"),
            (&many, state(&[5, 7], None, &[6, 7]), "as the newest segment, and nothing was folded"),
            (&many, state(&[1, 2, 3, 7, 4, 5], None, &[6, 7]), "where no segment is gone"),
            (&many, state(&[6, 5], None, &[6]), "000000006-1-0.segment, which is of another batch"),
            (&many, state(&[1, 2, 3, 4, 5, 5], None, &[6]), "twice"),
        ] {
            let found = found(before, &after);
            assert!(found.contains(said), "{said}: {found}\n{before:#?} {after:#?}");
        }
        let mut strange = state(&[], None, &[7]);
        strange.snapshot = Some(file(6, ".delta.arrow"));
        assert!(found(&plain, &strange).contains("as a snapshot, which it cannot be"));
        let mut other = many.clone();
        other.segments[2].rows = 9;
        assert!(found(&many, &other).contains("means another file than before"));
    }

    #[test]
    fn a_batch_that_took_rows_in_has_changed_the_state_and_no_other_has() {
        let (before, added) = (state(&[], None, &[5, 6]), state(&[], None, &[5, 6, 7]));
        let said = |after: &OperatorState, rows| counted(OPERATOR, &before, after, KEY, rows).unwrap_or_default();
        assert_eq!((said(&added, 3), said(&before, 0)), (String::new(), String::new()));
        assert!(said(&before, 3).contains("names no delta of the batch, which by its report put 3 rows there"));
        assert!(said(&added, 0).contains("000000007-1.delta.arrow, and by its report the batch put no row there"));
        for all in [state(&[7], None, &[]), state(&[], Some(7), &[]), OperatorState::default()] {
            assert_eq!(said(&all, 3), "", "{all:#?}");
        }
    }
}
