//! FAIL UPDATE: a run goes as far as no row breaks the expectation, leaves nothing of the batch in which one does, and fails
//! on the same batch again until the SQL is another.
//!
//! Every step is read with FAIL UPDATE first. If the model has no row that breaks it, the run must come to its end. If it
//! has one, the run must fail: what is committed then is what the model gives for the offsets that were committed, the batch
//! that failed holds such a row, and the next try fails on it in the same way with not a byte changed. Then another action
//! stands in its place, and the run must come to the end: all tables are what they would be had it always been that one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use sluicebox_engine::EngineError;

use crate::events::Step;
use crate::harness::{Cut, Job, World};
use crate::model::{Model, Placed};
use crate::oracle::broken_groups;
use crate::pipeline::{Action, Condition};
use crate::{Case, case, config, first, ledger, oracle, replay, shapes};

/// What an expectation with FAIL UPDATE stopped.
#[derive(Debug, PartialEq)]
struct Stopped {
    batch: u64,
    table: String,
    expectation: String,
    rows: u64,
    samples: String,
}

/// Runs the case in both ways, with `action` where FAIL UPDATE has stopped a run.
fn try_case(case: &Case, action: Action) {
    let world = World::new();
    let relaxed = case.shape.relaxed(action);
    let (strict, loose) = (case.shape.sql(), relaxed.sql());
    let mut models = [Model::new(&relaxed), Model::new(&relaxed)];
    let mut sql = [&strict; 2];
    for (step, events) in case.log().iter().enumerate() {
        world.append(events);
        for (way, (cut, model)) in case.cuts.iter().zip(&mut models).enumerate() {
            let place = format!("step {step}, way {way}");
            let job = world.job(way);
            let before = model.clone();
            model.read(events);
            sql[way] = &strict;
            if let Some(stopped) = run(&job, &strict, cut) {
                check(&stopped, case, &before, events, &job, &place);
                let left = contents(&job.path("data"));
                assert_eq!(run(&job, &strict, cut), Some(stopped), "{place}: the next try");
                assert!(contents(&job.path("data")) == left, "{place}: the next try has changed a file");
                job.run(&loose, cut);
                sql[way] = &loose;
            } else {
                assert_eq!(broken(case, &before, model, model.end_of_run()), 0, "{place}: the run did not fail");
            }
            model.end_run(job.watermark(&place));
            oracle::compare(model, &job, &place);
            ledger::check(model, &job, &place);
        }
        assert_eq!(models[0].watermark(), models[1].watermark(), "step {step}: the watermark depends on the cut");
    }
    for (way, cut) in case.cuts.iter().enumerate() {
        replay::check(&world.job(way), sql[way], cut);
    }
}

fn run(job: &Job, sql: &str, cut: &Cut) -> Option<Stopped> {
    match job.try_run(sql, cut) {
        Ok(()) => None,
        Err(EngineError::FailUpdate { table, expectation, rows, batch_id, samples }) => {
            Some(Stopped { batch: batch_id, table, expectation, rows, samples })
        }
        Err(error) => panic!("{error}\n{sql}"),
    }
}

/// How many rows break what has FAIL UPDATE, of those that `after` has and `before` has not; of gold those that come out
/// until the watermark is at `to`.
fn broken(case: &Case, before: &Model, after: &Model, to: Option<i64>) -> usize {
    match condition(case) {
        Some(condition) => breaking(condition, &after.judged[before.judged.len()..]).count(),
        None => broken_groups(after, case.shape.gold.as_ref().unwrap(), before.watermark(), to).len(),
    }
}

/// The condition of silver that has FAIL UPDATE; none when that of gold has it.
fn condition(case: &Case) -> Option<Condition> {
    let failing = case.shape.silver.expectations.iter().find(|(_, action)| *action == Action::Fail);
    failing.map(|(condition, _)| *condition)
}

fn breaking(condition: Condition, judged: &[Placed]) -> impl Iterator<Item = &Placed> {
    judged.iter().filter(move |placed| !condition.holds(&placed.row))
}

/// Whether the run had to stop there, and has left what it must.
fn check(stopped: &Stopped, case: &Case, before: &Model, events: &Step, job: &Job, place: &str) {
    // What was committed.
    let mut so_far = before.clone();
    read_to(&mut so_far, before, events, &positions(job));
    let slowest = so_far.clause.watermark.max(so_far.clause.marks().min().flatten());
    let ends = so_far.end_of_run();
    let found = job.watermark(place);
    let all_read = so_far.read_total() == before.read_total() + events.iter().map(|e| e.len() as u64).sum::<u64>();
    let expected = so_far.has_clause().then_some(slowest).flatten();
    assert!(found == expected || all_read && found == ends, "{place}: {found:?} and not {expected:?}");
    so_far.clause.watermark = found;
    assert_eq!(broken(case, before, &so_far, found), 0, "{place}: it was committed all the same");
    oracle::compare(&so_far, job, &format!("{place}, as far as it came"));
    // What was planned and failed.
    assert_eq!(stopped.batch, job.newest().map_or(0, |commit| commit.batch_id + 1), "{place}: the batch that failed");
    let plan = job.checkpoint().offsets(stopped.batch).unwrap();
    let to = plan.ranges.iter().map(|r| (usize::try_from(r.partition.partition).unwrap(), r.range.to)).collect();
    let mut with_it = so_far.clone();
    read_to(&mut with_it, before, events, &to);
    match condition(case) {
        Some(condition) => {
            let rows: Vec<_> = breaking(condition, &with_it.judged[so_far.judged.len()..]).collect();
            assert_eq!(
                (stopped.table.as_str(), stopped.expectation.as_str()),
                ("silver_e", condition.name()),
                "{place}"
            );
            assert_eq!(stopped.rows, rows.len() as u64, "{place}: rows of the batch that break it");
            assert!(!rows.is_empty(), "{place}: the run has failed without a reason");
            let samples = std::fs::read_to_string(&stopped.samples).unwrap();
            assert_eq!(samples.lines().count(), rows.len().min(3), "{place}: {samples}");
            for sample in samples.lines() {
                let row: serde_json::Value = serde_json::from_str(sample).unwrap();
                assert!(rows.iter().any(|placed| row["seq"] == placed.row.seq), "{place}: {sample}");
            }
        }
        None => {
            assert_eq!((stopped.table.as_str(), stopped.expectation.as_str()), ("gold_e", "small"), "{place}");
            // The watermark after it: where the slowest partition is, or, if the run ends with it, the fastest.
            let slowest = found.max(with_it.clause.marks().min().flatten());
            let to = if plan.finishing { with_it.end_of_run() } else { slowest };
            let gold = case.shape.gold.as_ref().unwrap();
            let groups = broken_groups(&with_it, gold, found, to);
            assert_eq!(stopped.rows, groups.len() as u64, "{place}: groups that break it: {groups:?}");
            assert!(!groups.is_empty(), "{place}: the run has failed without a reason");
        }
    }
}

/// The first offset that is in no commit, by partition.
fn positions(job: &Job) -> BTreeMap<usize, i64> {
    let positions = job.newest().map(|commit| commit.positions).unwrap_or_default();
    positions.into_iter().map(|p| (usize::try_from(p.partition.partition).unwrap(), p.offset)).collect()
}

/// Takes what `events` has up to the offsets `to`, where the first event is the one that `before` has not read.
fn read_to(model: &mut Model, before: &Model, events: &Step, to: &BTreeMap<usize, i64>) {
    for (partition, contents) in events.iter().enumerate() {
        let first = before.offsets[partition];
        let at = |offset: i64| usize::try_from(offset - first).unwrap();
        let from = model.offsets[partition];
        let end = to.get(&partition).map_or(from, |to| (*to).max(from));
        model.take(partition, &contents[at(from)..at(end)]);
    }
}

/// Every file below `dir` but staged ones.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.iter().any(|part| part == "_staging") {
                // Of the batch that failed; each try has an epoch of its own.
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                let content = std::fs::read(&path).unwrap();
                found.insert(path, content);
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(config(10))]

    #[test]
    fn fail_update_stops_before_the_first_row_that_breaks_it_and_leaves_nothing_of_its_batch(
        case in case(shapes::failing()), action in shapes::action(),
    ) {
        first::told(&(&case, action), || try_case(&case, action));
    }
}
