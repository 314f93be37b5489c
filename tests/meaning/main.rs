//! What tables mean: events, disorder, cuts, crashes and pipelines chosen at random, compared with an oracle.
//!
//! A case is a pipeline out of a family ([`pipeline`]), events ([`events`]), how they are appended in several steps, and two
//! ways to read them ([`harness`]): other batches, another number of threads, cancelled at other moments. After each step
//! every table of both must equal the oracle: a model of lateness, deduplication and windows in plain loops ([`model`]),
//! which shares no code with the engine, and DataFusion's own batch aggregation over all rows at once ([`oracle`]). The
//! ledger of every batch is computed again from the files ([`ledger`]), and the newest batch is taken back and replayed,
//! which must give the same bytes ([`replay`]).
//!
//! A store that fails at any call gets every row once ([`stores`]).
//!
//! Two more properties: a batch that FAIL UPDATE stops leaves nothing ([`failing`]), and partitions that are silent for
//! `idleTimeout` are not waited for ([`idle`]). What cannot be heard is not silent ([`heard`]). What chance seldom comes to is tried as it stands ([`restored`]).
//!
//! `PROPTEST_CASES` chooses how many cases a property tries. The first case that fails is printed at once
//! ([`first`]), then made smaller, and kept in `tests/meaning/regressions.txt`, which is tried first the next time.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

mod broken;
mod events;
mod failing;
mod first;
mod harness;
mod heard;
mod idle;
mod ledger;
mod model;
mod oracle;
mod pipeline;
mod replay;
mod restored;
mod shapes;
mod stores;
mod tables;

#[cfg(feature = "duckdb")]
mod by_duckdb;

use events::{Event, Step, log_of};
use harness::{Cut, World};
use model::Model;
use pipeline::Shape;
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence};

/// Partitions of the topic.
pub const PARTITIONS: usize = 3;

/// One case.
#[derive(Debug, Clone)]
pub struct Case {
    /// The pipeline.
    pub shape: Shape,
    /// What is appended before each run.
    steps: Vec<Vec<Event>>,
    /// Two ways to read it.
    pub cuts: [Cut; 2],
}

impl Case {
    /// What each step appends, by partition.
    pub fn log(&self) -> Vec<Step> {
        log_of(&self.steps, self.shape.copies_cross_partitions())
    }
}

/// Any case of the pipelines `shape`.
pub fn case(shape: impl Strategy<Value = Shape>) -> impl Strategy<Value = Case> {
    case_of(shape, 1)
}

/// Any case of the pipelines `shape` that has so many steps at least, and three at most.
pub fn case_of(shape: impl Strategy<Value = Shape>, least: usize) -> impl Strategy<Value = Case> {
    let steps = prop::collection::vec(prop::collection::vec(events::event(), 0..60), least..4);
    (shape, steps, [harness::cut(), harness::cut()]).prop_map(|(shape, steps, cuts)| Case { shape, steps, cuts })
}

/// Runs the case in both ways and compares after each step.
fn try_case(case: &Case) {
    let world = World::new();
    let sql = case.shape.sql();
    let logs = case.log();
    let mut models = [Model::new(&case.shape), Model::new(&case.shape)];
    for (step, events) in logs.iter().enumerate() {
        world.append(events);
        for (way, (cut, model)) in case.cuts.iter().zip(&mut models).enumerate() {
            let place = format!("step {step}, way {way}");
            let job = world.job(way);
            job.run(&sql, cut);
            model.read(events);
            model.end_run(job.watermark(&place));
            oracle::compare(model, &job, &place);
            ledger::check(model, &job, &place);
        }
        assert_eq!(models[0].watermark(), models[1].watermark(), "step {step}: the watermark depends on the cut");
    }
    for (way, cut) in case.cuts.iter().enumerate() {
        replay::check(&world.job(way), &sql, cut);
    }
}

/// `cases`, unless the environment says how many.
pub fn config(cases: u32) -> Config {
    let mut config = Config::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if std::env::var_os("PROPTEST_MAX_SHRINK_ITERS").is_none() {
        config.max_shrink_iters = 200;
    }
    config.failure_persistence = Some(Box::new(FileFailurePersistence::Direct("tests/meaning/regressions.txt")));
    config
}

proptest! {
    #![proptest_config(config(40))]

    #[test]
    fn rows_and_copies_are_what_a_batch_query_gives(case in case(shapes::without_windows())) {
        first::told(&case, || try_case(&case));
    }

    #[test]
    fn windows_are_what_a_batch_query_gives(case in case(shapes::with_windows())) {
        first::told(&case, || try_case(&case));
    }
}
