//! A store with transactions that fails, loses answers, or is away: it gets every row of its table once, and no commit is lost.
//!
//! Two tables have one query. The rows of the one go to a store, those of the other to files: after each run both hold the
//! same, whatever the calls to the store did, wherever the run was dropped, and however the topic was cut.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sluicebox_core::waiting;
use sluicebox_engine::{EngineError, Trigger};
use sluicebox_sinks::testing::{Fault, RemoteStore};
use sluicebox_sinks::{LakeError, RemoteError};
use tokio::sync::watch;

use crate::events::{self, log_of};
use crate::harness::{self, Cut, Job, Watch, World};
use crate::{config, tables};

const SQL: &str = "
CREATE TABLE e USING kafka OPTIONS ('subscribe' = 'e', 'value.format' = 'avro', 'startingOffsets' = 'earliest');
CREATE STREAMING TABLE sent AS SELECT CAST(_offset AS BIGINT) AS o, CAST(_partition AS INT) AS p FROM STREAM e;
CREATE STREAMING TABLE kept AS SELECT CAST(_offset AS BIGINT) AS o, CAST(_partition AS INT) AS p FROM STREAM e;
";

/// A job whose table `sent` goes to a store.
fn job(world: &World, name: &str) -> (Job, RemoteStore) {
    let mut job = world.job(0);
    let columns = vec![Field::new("o", DataType::Int64, true), Field::new("p", DataType::Int32, true)];
    let store = RemoteStore::new(name, job.checkpoint().root(), Arc::new(Schema::new(columns)));
    job.stores.insert("sent".to_owned(), store.clone());
    (job, store)
}

fn same(job: &Job, store: &RemoteStore, place: &str) {
    let sent = tables::rows(&store.rows(), &["p", "o"]);
    let kept = tables::table_rows(&job.path("data/tables/kept"), &["p", "o"]);
    assert_eq!(sent, kept, "{place}");
}

/// Reads all at once, on the thread of the test.
fn plain() -> Cut {
    Cut {
        max_offsets: None,
        batch_bytes: 16 << 20,
        memory_limit: 256 << 20,
        state_deltas: 5,
        threads: 1,
        cancels: Vec::new(),
    }
}

/// A topic with some events.
fn world() -> World {
    let world = World::new();
    let some = prop::collection::vec(events::event(), 30);
    let events = some.new_tree(&mut TestRunner::deterministic()).unwrap().current();
    log_of(&[events], true).iter().for_each(|step| world.append(step));
    world
}

/// One run to its end, or to that of `stop`.
fn attempt(job: &Job, stop: watch::Receiver<bool>) -> Result<(), EngineError> {
    let watch = Watch { trigger: Trigger::AvailableNow, polls: None, stop, observer: &mut harness::Nobody };
    job.attempt(SQL, &plain(), watch).unwrap()
}

proptest! {
    #![proptest_config(config(16))]

    #[test]
    fn every_row_is_in_the_store_once(
        steps in prop::collection::vec(prop::collection::vec(events::event(), 0..40), 1..3),
        cut in harness::cut(),
        faults in prop::collection::vec(prop::sample::select(vec![Fault::Done, Fault::Done, Fault::NotDone, Fault::Cut, Fault::Lost]), 0..8),
    ) {
        let world = World::new();
        let (job, store) = job(&world, "s");
        for (step, events) in log_of(&steps, true).iter().enumerate() {
            world.append(events);
            store.fail(&faults);
            job.run(SQL, &cut);
            same(&job, &store, &format!("step {step}"));
        }
    }
}

#[test]
fn a_batch_that_is_refused_is_committed_all_the_same_and_published_by_the_next_run() {
    let world = world();
    let (job, store) = job(&world, "refusing");
    store.fail(&[Fault::Done, Fault::Refused]);
    let (_stop, never) = watch::channel(false);
    let ended = attempt(&job, never.clone());
    assert!(matches!(ended, Err(EngineError::Lake(LakeError::Remote(RemoteError::Refused { .. })))), "{ended:?}");
    let batch = job.newest().unwrap().batch_id;
    assert_eq!(store.newest(), None);

    // Not by a run that sends the table elsewhere.
    let ended = attempt(&world.job(0), never.clone());
    assert!(matches!(&ended, Err(EngineError::Unpublished { table, .. }) if table == "sent"), "{ended:?}");

    attempt(&job, never).unwrap();
    assert!(store.newest().is_some_and(|newest| newest >= batch));
    same(&job, &store, "after the next run");
}

#[test]
fn a_run_that_is_stopped_while_its_store_is_away_ends_and_loses_nothing() {
    let world = world();
    let (job, store) = job(&world, "away");
    store.fail(&[Fault::Done]);
    store.fail(&[Fault::NotDone; 1_000]);
    let (sender, stop) = watch::channel(false);
    let watching = {
        let store = store.clone();
        std::thread::spawn(move || {
            while store.calls() < 4 {
                std::thread::yield_now();
            }
            let told =
                waiting::now().into_iter().any(|w| w.what == "the store away" && w.why.contains("the store is away"));
            sender.send_replace(true);
            told
        })
    };
    attempt(&job, stop).unwrap();
    assert!(watching.join().unwrap(), "the status says what is waited for");
    assert!(waiting::now().iter().all(|w| w.what != "the store away"), "nobody waits any more");
    assert_eq!((job.newest().map(|commit| commit.batch_id), store.newest()), (Some(0), None));
    store.heal();
    let (_stop, never) = watch::channel(false);
    attempt(&job, never).unwrap();
    same(&job, &store, "after the next run");
}
