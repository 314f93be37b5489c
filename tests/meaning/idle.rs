//! Runs that wait for events, and partitions that are silent: `idleTimeout` decides when W no longer waits for one, and what
//! it brings later at or before W is late.
//!
//! How a topic is cut into batches counts here, and when: the model is told of each batch what it read and what its clock
//! showed, as its plan says, and works out from the page on semantics alone where W is then, which rows are late by it,
//! and whether a batch without data is due. A run is stopped when the model finds that it has nothing left to do; one that
//! does not do what the model finds due is told from one that is busy by how often it says that it is idle.

use proptest::prelude::*;
use sluicebox_core::Clock;
use sluicebox_engine::progress::{Progress, Status};
use sluicebox_engine::{Observer, Trigger};
use tokio::sync::watch;

use crate::events::{Content, Step};
use crate::harness::{Job, Watch, World};
use crate::model::{Clause, Model};
use crate::{Case, PARTITIONS, case_of, config, first, ledger, oracle, replay, shapes};

const SECOND: i64 = 1_000_000;

/// How time passes.
#[derive(Debug, Clone)]
struct Pace {
    /// `idleTimeout`.
    timeout: i64,
    /// After each batch.
    batch: i64,
    /// Before what a step appends is read, by step; and whether each partition gets its events in this step, or in the next.
    steps: Vec<(i64, [bool; PARTITIONS])>,
}

/// Often exactly as long as the timeout, or a second less.
fn pace() -> impl Strategy<Value = Pace> {
    let batch = prop::sample::select(vec![0, 0, 1, 3, 11]);
    let before = prop::sample::select(vec![0, 1, 2, 2, 3, 3]);
    let steps = prop::collection::vec((before, any::<[bool; PARTITIONS]>()), 3);
    (prop::sample::select(vec![5, 10]), batch, steps).prop_map(
        |(timeout, batch, steps): (i64, i64, Vec<(usize, _)>)| {
            let before = [0, timeout - 1, timeout, 25];
            let steps = steps.into_iter().map(|(at, brings)| (before[at] * SECOND, brings)).collect();
            Pace { timeout: timeout * SECOND, batch: batch * SECOND, steps }
        },
    )
}

/// Holds back what partitions get that are silent in a step.
fn silenced(log: Vec<Step>, pace: &Pace) -> Vec<Step> {
    let mut held: Step = vec![Vec::new(); PARTITIONS];
    let last = log.len() - 1;
    let one = |(at, step): (usize, Step)| {
        let brings = if at == last { [true; PARTITIONS] } else { pace.steps[at].1 };
        let partition = |(held, (content, brings)): (&mut Vec<Content>, (Vec<Content>, bool))| {
            held.extend(content);
            if brings { std::mem::take(held) } else { Vec::new() }
        };
        held.iter_mut().zip(step.into_iter().zip(brings)).map(partition).collect()
    };
    log.into_iter().enumerate().map(one).collect()
}

impl Clause {
    /// W after a batch whose clock is `self.clock`: the lowest mark of the partitions that are waited for, or the highest of
    /// all when none is. `at_end` says of which ones all has been read.
    fn after_batch(&mut self, at_end: [bool; PARTITIONS], timeout: i64) -> Option<i64> {
        let now = self.clock;
        // Silence counts from the first batch of all for one that never brought anything.
        let silent = self.brought.each_mut().map(|brought| now - *brought.get_or_insert(now) >= timeout);
        let marks: Vec<Option<i64>> = self.marks().collect();
        let waited: Vec<Option<i64>> =
            (0..PARTITIONS).filter(|p| !(at_end[*p] && silent[*p])).map(|p| marks[p]).collect();
        let reached =
            if waited.is_empty() { marks.into_iter().flatten().max() } else { waited.into_iter().min().flatten() };
        self.watermark.max(reached)
    }
}

/// A run that is followed by the model, batch by batch.
struct Follower<'a> {
    model: &'a mut Model,
    job: &'a Job,
    /// All that was appended so far.
    log: &'a Step,
    pace: &'a Pace,
    /// The first batch that the model has not read.
    next: u64,
    stop: watch::Sender<bool>,
    /// How often the run said that it had nothing to do.
    idle: u32,
    place: String,
}

impl Follower<'_> {
    /// Lets the model read the batches that were committed since.
    fn follow(&mut self) {
        let newest = self.job.newest().map_or(0, |commit| commit.batch_id + 1);
        while self.next < newest {
            let id = self.next;
            let (plan, commit) =
                (self.job.checkpoint().offsets(id).unwrap(), self.job.checkpoint().commit(id).unwrap());
            let place = format!("{}, batch {id}", self.place);
            assert!(!plan.finishing, "{place}: a run that waits does not finish");
            let reads = plan.ranges.iter().any(|r| !r.range.is_empty());
            assert!(reads || self.closes_at(plan.clock_micros), "{place}: a batch without data, and nothing to close");
            self.model.clause.clock = plan.clock_micros;
            for planned in &plan.ranges {
                let at = usize::try_from(planned.partition.partition).unwrap();
                assert_eq!(planned.range.from, self.model.offsets[at], "{place}: where partition {at} begins");
                let [from, to] = [planned.range.from, planned.range.to].map(|offset| usize::try_from(offset).unwrap());
                self.model.take(at, &self.log[at][from..to]);
            }
            let expected = if self.model.has_clause() {
                let at_end = self.at_end();
                // A machine so busy that the topic was not looked at for seconds: what was not heard is no silence.
                for planned in plan.ranges.iter().filter(|planned| planned.heard_since.is_some()) {
                    let brought = &mut self.model.clause.brought[usize::try_from(planned.partition.partition).unwrap()];
                    *brought = (*brought).max(planned.heard_since);
                }
                self.model.clause.after_batch(at_end, self.pace.timeout)
            } else {
                None
            };
            for state in commit.watermarks.values() {
                assert_eq!(state.watermark, expected, "{place}: the watermark; {:?}", self.model.clause);
            }
            self.model.clause.watermark = expected;
            self.next += 1;
        }
    }

    fn at_end(&self) -> [bool; PARTITIONS] {
        std::array::from_fn(|at| self.model.offsets[at] == i64::try_from(self.log[at].len()).unwrap())
    }

    /// Whether a batch without data whose clock shows `clock` would close something.
    fn closes_at(&self, clock: i64) -> bool {
        let before = self.model.clause.watermark;
        let mut clause = Clause { clock, ..self.model.clause.clone() };
        let after = clause.after_batch(self.at_end(), self.pace.timeout);
        after.is_some_and(|after| self.model.has_open_window(before, after))
    }

    /// Whether there is nothing to do until events come or time passes.
    fn is_done(&self) -> bool {
        self.at_end() == [true; PARTITIONS] && !self.closes_at(self.job.clock.now_micros())
    }
}

impl Observer for Follower<'_> {
    fn batch(&mut self, _: &Progress, _: &Status) {
        self.idle = 0;
        self.follow();
        self.job.clock.advance(self.pace.batch);
        if self.is_done() {
            self.stop.send_replace(true);
        }
    }

    fn idle(&mut self, _: &Status) {
        self.idle += 1;
        assert!(self.idle < 30, "{}: the run waits, and there is something to do", self.place);
    }
}

/// Runs the case in both ways, each followed by a model of its own: when a partition is idle depends on the batches.
fn try_case(case: &Case, pace: &Pace) {
    let world = World::new();
    let sql = case.shape.sql();
    let jobs: Vec<Job> = (0..2).map(|way| world.job_that_waits(way, pace.timeout)).collect();
    let mut models = [Model::new(&case.shape), Model::new(&case.shape)];
    let mut batches = [0; 2];
    let mut log: Step = vec![Vec::new(); PARTITIONS];
    for (step, events) in silenced(case.log(), pace).into_iter().enumerate() {
        world.append(&events);
        log.iter_mut().zip(events).for_each(|(log, events)| log.extend(events));
        for (way, (job, model)) in jobs.iter().zip(&mut models).enumerate() {
            let place = format!("step {step}, way {way}");
            job.clock.advance(pace.steps[step].0);
            let cut = &case.cuts[way];
            for polls in cut.cancels.iter().copied().map(Some).chain([None]) {
                let (stop, stopped) = watch::channel(false);
                let next = batches[way];
                let mut follower = Follower { model, job, log: &log, pace, next, stop, idle: 0, place: place.clone() };
                if !follower.is_done() {
                    let trigger = Trigger::Interval(std::time::Duration::ZERO);
                    let ended =
                        job.attempt(&sql, cut, Watch { trigger, polls, stop: stopped, observer: &mut follower });
                    ended.transpose().unwrap_or_else(|error| panic!("{place}: {error}\n{sql}"));
                    follower.follow();
                }
                batches[way] = follower.next;
            }
            oracle::compare(model, job, &place);
            ledger::check(model, job, &place);
        }
    }
    for (job, cut) in jobs.iter().zip(&case.cuts) {
        replay::check(job, &sql, cut);
    }
}

proptest! {
    #![proptest_config(config(10))]

    #[test]
    fn silent_partitions_are_waited_for_as_long_as_the_page_says(
        case in case_of(prop_oneof![2 => shapes::with_windows().boxed(), 1 => shapes::without_windows().boxed()], 3),
        pace in pace(),
    ) {
        first::told(&(&case, &pace), || try_case(&case, &pace));
    }
}
