//! What a start puts back, of state whose files have an order: small cases, each run beginning with what the one before has
//! left. The pipelines that are chosen at random have aggregates that are the same in any order, and seldom keep a key twice.

use sluicebox_checkpoint::records::OperatorState;
use sluicebox_upkeep::verify::verify;

use crate::PARTITIONS;
use crate::events::{Content, Row, START, Step};
use crate::harness::{Cut, Job, World};
use crate::tables::table_rows;

const MINUTE: i64 = 60_000_000;
const SOURCE: &str =
    "CREATE TABLE e USING kafka OPTIONS ('subscribe' = 'e', 'value.format' = 'avro', 'startingOffsets' = 'earliest');";
/// No memory at all: all state is in segments when a batch ends.
const NONE: u64 = 1;
const PLENTY: u64 = 256 << 20;

/// Events of one key, by `seq` and minute, in one partition. Those without `qty` are left out by the queries that ask for it,
/// and move the watermark all the same.
fn step(events: &[(i64, i64, Option<i32>)]) -> Step {
    let row = |&(seq, minute, qty): &(i64, i64, Option<i32>)| {
        let (key, time) = (Some("k".to_owned()), Some(START + minute * MINUTE));
        Content::Row(Row { seq, key, time, qty, ..Row::default() })
    };
    let mut step: Step = vec![Vec::new(); PARTITIONS];
    step[0] = events.iter().map(row).collect();
    step
}

fn cut(memory_limit: u64, state_deltas: usize) -> Cut {
    Cut { max_offsets: None, batch_bytes: 16 << 20, memory_limit, state_deltas, threads: 1, cancels: Vec::new() }
}

/// Appends each of `steps` and lets a run read it, whose last batch moves the watermark behind it. `look` is shown what the run
/// left, and what its newest commit says of the only operator.
fn run_after_each(sql: &str, cut: &Cut, steps: &[Step], mut look: impl FnMut(&Job, &OperatorState)) {
    let world = World::new();
    let job = world.job(0);
    for step in steps {
        world.append(step);
        job.run(&format!("{SOURCE}\n{sql}"), cut);
        let states = job.newest().unwrap().state;
        assert_eq!(states.len(), 1, "one operator: {:?}", states.keys());
        states.values().for_each(|state| look(&job, state));
    }
}

/// Windows of ten minutes.
fn windows(aggregate: &str, delay: i64) -> String {
    format!(
        "CREATE STREAMING TABLE gold_e AS SELECT window.start AS wstart, {aggregate} AS x
         FROM STREAM e WATERMARK event_time DELAY OF INTERVAL '{delay} minutes' WHERE qty > 0
         GROUP BY window(event_time, INTERVAL '10 minutes');"
    )
}

#[test]
fn a_snapshot_is_put_back_before_the_deltas_that_came_after_it() {
    let mut steps: Vec<Step> = (0..6).map(|n| step(&[(n, n, Some(1))])).collect();
    steps.push(step(&[(6, 30, None)]));
    let (mut both, mut found) = (0, Vec::new());
    run_after_each(&windows("array_agg(seq)", 1), &cut(PLENTY, 2), &steps, |job, state| {
        both += u32::from(state.snapshot.is_some() && !state.deltas.is_empty());
        found = table_rows(&job.path("data/gold/e"), &["x"]);
    });
    assert!(both > 0, "no start met both");
    assert_eq!(found, ["[0, 1, 2, 3, 4, 5]"]);
}

/// What it would name otherwise does no harm to tables, since a start leaves closed windows out; but it does not follow from what
/// the commit before named, and would never be purged.
#[test]
fn a_state_that_is_written_whole_and_is_empty_names_no_file() {
    // The last batch of the second run closes the window, and finds a delta to be written whole with all the rest.
    let steps = [step(&[(0, 0, Some(1))]), step(&[(1, 1, Some(1)), (2, 20, None)]), step(&[(3, 40, None)])];
    let mut run = 0;
    run_after_each(&windows("array_agg(seq)", 1), &cut(PLENTY, 1), &steps, |job, state| {
        run += 1;
        let verdict = verify(&job.checkpoint(), &*job.clock).unwrap();
        assert!(verdict.problems.is_empty(), "run {run}: {verdict}");
        if run == 1 {
            assert!(state.snapshot.is_some() && state.deltas.is_empty(), "{state:?}");
            return;
        }
        assert!(state.files().next().is_none(), "run {run}: {state:?}");
        assert_eq!(table_rows(&job.path("data/gold/e"), &["x"]), ["[0, 1]"], "run {run}");
    });
}

#[test]
fn a_key_that_was_kept_again_is_put_back_with_its_later_time() {
    let sql = "CREATE STREAMING TABLE silver_e AS SELECT DISTINCT ON (key) seq, key, event_time
               FROM STREAM e WATERMARK event_time DELAY OF INTERVAL '8 minutes';";
    // The second is too late to be a copy of the first, the third is one of the second.
    let steps = [step(&[(0, 0, None)]), step(&[(1, 9, None)]), step(&[(2, 9, None)])];
    let (mut segments, mut found) = (0, Vec::new());
    run_after_each(sql, &cut(NONE, 1), &steps, |job, state| {
        segments = segments.max(state.segments.len());
        found = table_rows(&job.path("data/silver/e"), &["seq"]);
    });
    assert_eq!((segments, found), (2, vec!["0".to_owned(), "1".to_owned()]));
}

#[test]
fn a_run_of_an_older_segment_stays_replaced_by_that_of_a_newer_one() {
    // What the first segment has of the second window is in no other: so it is still there when what it has of the first is not
    // worth keeping apart any more.
    let steps = [step(&[(0, 0, Some(1)), (1, 12, Some(1))]), step(&[(2, 1, Some(1))]), step(&[(3, 60, None)])];
    let (mut segments, mut found) = (0, Vec::new());
    run_after_each(&windows("count(*)", 15), &cut(NONE, 1), &steps, |job, state| {
        segments = segments.max(state.segments.len());
        found = table_rows(&job.path("data/gold/e"), &["x"]);
    });
    assert_eq!((segments, found), (2, vec!["1".to_owned(), "2".to_owned()]));
}
