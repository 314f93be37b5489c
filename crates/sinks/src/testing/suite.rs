//! The suite that every sink must pass, whatever its store is.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use sluicebox_core::blame::{Blamed, Retry};

use super::{Subject, key, owner, rows};
use crate::output::Staged;
use crate::publish::Check;
use crate::sink::{Rows, Sink};
use crate::staged::BatchKey;

/// Rows of a batch of the suite.
const MANY: i64 = 9_000;

/// Tries all promises of [`Sink`], each over a store of its own, which `make` makes.
///
/// # Panics
/// When one is not kept.
pub async fn conforms<S: Subject>(make: impl Fn() -> S) {
    nothing_shows_before_publish(&make()).await;
    publishing_is_repeatable(&make()).await;
    the_next_run_publishes_what_a_killed_one_has_committed(&make()).await;
    batches_follow_each_other(&make()).await;
    a_replay_stages_the_same(&make()).await;
    rows_that_come_in_pieces_are_all_of_them(&make()).await;
    no_rows_are_nothing(&make()).await;
    a_run_that_was_passed_adds_nothing(&make()).await;
    a_sweep_spares_its_own_epoch(&make()).await;
    what_another_has_staged_is_refused(&make(), &make()).await;
}

/// Rows with these ids, in batches of a few thousand.
fn batch(ids: Range<i64>) -> Vec<RecordBatch> {
    let mut found = Vec::new();
    let mut first = ids.start;
    while first < ids.end {
        let n = usize::try_from((ids.end - first).min(4_000)).unwrap();
        let values: Vec<(Option<&str>, Option<i32>)> =
            (0..n).map(|i| ([Some("NA"), Some("a/b"), None][i % 3], [Some(1), None][i % 2])).collect();
        found.push(rows(first, &values));
        first += i64::try_from(n).unwrap();
    }
    found
}

async fn open(sink: &Arc<dyn Sink>, epoch: u64) {
    sink.open(&owner(), epoch).await.unwrap();
}

fn stage(sink: &Arc<dyn Sink>, key: &BatchKey<'_>, ids: Range<i64>) -> Staged {
    sink.stage(key, Rows::All(&batch(ids))).unwrap().unwrap()
}

/// Publishes as the engine does: after an error that may pass, the sink is opened again and asked what it holds.
async fn publish(sink: &Arc<dyn Sink>, key: &BatchKey<'_>, staged: &Staged) {
    for _ in 0..10 {
        match sink.publish(key, staged, Check::Content).await {
            Ok(()) => return,
            Err(error) if error.retry() == Retry::WithBackoff => {
                open(sink, key.epoch).await;
                if sink.published().await.unwrap().is_some_and(|newest| newest >= key.batch_id) {
                    return;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("it cannot be published");
}

fn sees(subject: &impl Subject, ids: Range<i64>) {
    let mut seen = subject.seen();
    seen.sort_unstable();
    assert_eq!(seen.len(), usize::try_from(ids.end - ids.start).unwrap(), "rows are missing, or there twice");
    assert!(seen.into_iter().eq(ids), "other rows than those that were published");
}

async fn nothing_shows_before_publish(subject: &impl Subject) {
    let sink = subject.sink();
    open(&sink, 1).await;
    assert_eq!(sink.published().await.unwrap(), None);
    let staged = stage(&sink, &key(0, 1), 0..2 * MANY);
    assert_eq!(staged.rows(), 18_000);
    sees(subject, 0..0);
    publish(&sink, &key(0, 1), &staged).await;
    sees(subject, 0..2 * MANY);
    assert_eq!(sink.published().await.unwrap(), Some(0));
}

async fn publishing_is_repeatable(subject: &impl Subject) {
    let sink = subject.sink();
    open(&sink, 1).await;
    let staged = stage(&sink, &key(0, 1), 0..10);
    for _ in 0..3 {
        publish(&sink, &key(0, 1), &staged).await;
        sees(subject, 0..10);
    }
    let other = subject.sink();
    open(&other, 2).await;
    publish(&other, &key(0, 2), &staged).await;
    sees(subject, 0..10);
}

async fn the_next_run_publishes_what_a_killed_one_has_committed(subject: &impl Subject) {
    let killed = subject.sink();
    open(&killed, 1).await;
    let first = stage(&killed, &key(0, 1), 0..10);
    publish(&killed, &key(0, 1), &first).await;
    let staged = stage(&killed, &key(1, 1), 10..MANY);
    drop(killed);
    let next = subject.sink();
    open(&next, 2).await;
    assert_eq!(next.published().await.unwrap(), Some(0));
    publish(&next, &key(1, 2), &staged).await;
    sees(subject, 0..MANY);
    // And what that one has published before it was killed too is not there twice.
    drop(next);
    let last = subject.sink();
    open(&last, 3).await;
    assert_eq!(last.published().await.unwrap(), Some(1));
    publish(&last, &key(1, 3), &staged).await;
    sees(subject, 0..MANY);
}

async fn batches_follow_each_other(subject: &impl Subject) {
    let sink = subject.sink();
    open(&sink, 1).await;
    // Batches without rows are no batches of this table.
    for (n, id) in [0_u64, 3, 4, 12].into_iter().enumerate() {
        let first = i64::try_from(n).unwrap() * 10;
        let staged = stage(&sink, &key(id, 1), first..first + 10);
        publish(&sink, &key(id, 1), &staged).await;
        assert_eq!(sink.published().await.unwrap(), Some(id));
    }
    sees(subject, 0..40);
}

/// What is staged, without where.
fn content(staged: &Staged) -> Vec<(String, u64, u64, String)> {
    match staged {
        Staged::Files(staged) => {
            staged.files.iter().map(|f| (f.target.clone(), f.rows, f.bytes, f.checksum.clone())).collect()
        }
        Staged::Rows(staged) => vec![(staged.sink.clone(), staged.rows, staged.bytes, staged.checksum.clone())],
    }
}

async fn a_replay_stages_the_same(subject: &impl Subject) {
    let (killed, next) = (subject.sink(), subject.sink());
    open(&killed, 1).await;
    let first = stage(&killed, &key(5, 1), 0..MANY);
    let again = stage(&killed, &key(5, 1), 0..MANY);
    assert_eq!(first, again);
    open(&next, 2).await;
    let replayed = stage(&next, &key(5, 2), 0..MANY);
    assert_eq!(content(&first), content(&replayed));
    publish(&next, &key(5, 2), &replayed).await;
    sees(subject, 0..MANY);
}

async fn rows_that_come_in_pieces_are_all_of_them(subject: &impl Subject) {
    let sink = subject.sink();
    open(&sink, 1).await;
    let mut pieces = batch(0..2 * MANY).into_iter();
    let staged = sink.stage(&key(0, 1), Rows::Stream(&mut pieces)).unwrap().unwrap();
    assert_eq!(staged.rows(), 18_000);
    publish(&sink, &key(0, 1), &staged).await;
    sees(subject, 0..2 * MANY);
}

async fn no_rows_are_nothing(subject: &impl Subject) {
    let sink = subject.sink();
    open(&sink, 1).await;
    assert_eq!(sink.stage(&key(0, 1), Rows::All(&[])).unwrap(), None);
    assert_eq!(sink.stage(&key(0, 1), Rows::All(&[rows(0, &[])])).unwrap(), None);
    assert_eq!(sink.stage(&key(0, 1), Rows::Stream(&mut std::iter::empty())).unwrap(), None);
    sees(subject, 0..0);
}

async fn a_run_that_was_passed_adds_nothing(subject: &impl Subject) {
    let (zombie, next) = (subject.sink(), subject.sink());
    open(&zombie, 1).await;
    let committed = stage(&zombie, &key(0, 1), 0..10);
    open(&next, 2).await;
    publish(&next, &key(0, 2), &committed).await;
    let second = stage(&next, &key(1, 2), 10..20);
    publish(&next, &key(1, 2), &second).await;
    // It wakes up in the middle of publishing: an error, or nothing to do.
    let woken = zombie.publish(&key(0, 1), &committed, Check::Size).await;
    sees(subject, 0..20);
    if woken.is_err() {
        // Even if it comes so far as to open the sink again.
        drop(zombie.open(&owner(), 1).await);
        drop(zombie.publish(&key(0, 1), &committed, Check::Size).await);
        sees(subject, 0..20);
    }
    let third = stage(&next, &key(2, 2), 20..30);
    publish(&next, &key(2, 2), &third).await;
    sees(subject, 0..30);
}

async fn a_sweep_spares_its_own_epoch(subject: &impl Subject) {
    let (killed, next) = (subject.sink(), subject.sink());
    open(&killed, 1).await;
    stage(&killed, &key(0, 1), 0..10);
    open(&next, 2).await;
    let own = stage(&next, &key(0, 2), 0..10);
    next.sweep(2).unwrap();
    publish(&next, &key(0, 2), &own).await;
    sees(subject, 0..10);
}

async fn what_another_has_staged_is_refused(subject: &impl Subject, other: &impl Subject) {
    let (sink, foreign) = (subject.sink(), other.sink());
    open(&sink, 1).await;
    open(&foreign, 1).await;
    let staged = stage(&foreign, &key(0, 1), 0..10);
    if sink.identity() != foreign.identity() {
        let refused = sink.publish(&key(0, 1), &staged, Check::Size).await.unwrap_err();
        assert_eq!(refused.retry(), Retry::No, "{refused}");
    }
    sees(subject, 0..0);
}
