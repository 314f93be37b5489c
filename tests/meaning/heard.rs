//! Partitions that cannot be heard for a while, as when their brokers are away or the process was stopped: what they bring then
//! is not late, however long it took.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use sluicebox_core::{OffsetRange, PartitionId};
use sluicebox_engine::progress::{Progress, Status};
use sluicebox_engine::{Observer, SourceBinding, Trigger};
use sluicebox_sources::{Bounds, Buffered, KnownEnd, LogIdentity, Source, SourceError, Taken};
use tokio::sync::watch;

use crate::events::{Content, Row, START, Step};
use crate::harness::{Cut, Job, Watch, World};
use crate::tables::table_rows;
use crate::{PARTITIONS, replay};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
/// `idleTimeout`.
const TIMEOUT: i64 = 10 * SECOND;
const SQL: &str = "
    CREATE TABLE e USING kafka OPTIONS ('subscribe' = 'e', 'value.format' = 'avro', 'startingOffsets' = 'earliest');
    CREATE STREAMING TABLE silver_e AS SELECT DISTINCT ON (key) seq, key, event_time
    FROM STREAM e WATERMARK event_time DELAY OF INTERVAL '1 minutes';";

/// A source that says of its ends what it is told to: whether they are heard, and how many gaps there were.
struct Muffled {
    source: Box<dyn Source>,
    heard: Arc<Mutex<(bool, u64)>>,
}

#[async_trait]
impl Source for Muffled {
    fn name(&self) -> &str {
        self.source.name()
    }

    async fn identity(&mut self) -> Result<LogIdentity, SourceError> {
        self.source.identity().await
    }

    async fn partitions(&mut self) -> Result<BTreeSet<PartitionId>, SourceError> {
        self.source.partitions().await
    }

    async fn bounds(&mut self) -> Result<BTreeMap<PartitionId, Bounds>, SourceError> {
        self.source.bounds().await
    }

    async fn starting_offsets(&mut self) -> Result<BTreeMap<PartitionId, i64>, SourceError> {
        self.source.starting_offsets().await
    }

    async fn start(&mut self, positions: &BTreeMap<PartitionId, i64>) -> Result<(), SourceError> {
        self.source.start(positions).await
    }

    async fn buffered(&mut self) -> Result<Vec<Buffered>, SourceError> {
        self.source.buffered().await
    }

    fn ends(&self) -> BTreeMap<PartitionId, KnownEnd> {
        let (heard, gaps) = *self.heard.lock().unwrap();
        let told = |(id, end): (PartitionId, KnownEnd)| (id, KnownEnd { heard, gaps, ..end });
        self.source.ends().into_iter().map(told).collect()
    }

    async fn changed(&mut self) {
        self.source.changed().await;
    }

    async fn take(&mut self, ranges: &BTreeMap<PartitionId, OffsetRange>) -> Result<Taken, SourceError> {
        self.source.take(ranges).await
    }

    async fn committed(&mut self, ends: &BTreeMap<PartitionId, i64>) -> Result<(), SourceError> {
        self.source.committed(ends).await
    }
}

/// An event of each of `partitions`, at a minute.
fn step(seq: i64, partitions: &[usize], minute: i64) -> Step {
    let mut step: Step = vec![Vec::new(); PARTITIONS];
    for (number, partition) in (seq..).zip(partitions) {
        let (key, time) = (Some(format!("k{number}")), Some(START + minute * MINUTE));
        step[*partition].push(Content::Row(Row { seq: number, key, time, ..Row::default() }));
    }
    step
}

/// What happens, in its order: each when all that was appended before has been read.
struct Story<'a> {
    world: &'a World,
    job: &'a Job,
    heard: Arc<Mutex<(bool, u64)>>,
    stop: watch::Sender<bool>,
    chapter: usize,
    /// With which it ends.
    last: usize,
    appended: i64,
}

impl Story<'_> {
    /// Adds a step; no more is to be read before it is there.
    fn append(&mut self, step: &Step) {
        self.appended += step.iter().map(|events| i64::try_from(events.len()).unwrap()).sum::<i64>();
        self.world.append(step);
    }

    fn stands_at(&self, minute: i64) {
        let place = format!("in chapter {}", self.chapter);
        assert_eq!(self.job.watermark(&place), Some(START + minute * MINUTE), "{place}");
    }
}

impl Observer for Story<'_> {
    fn batch(&mut self, _: &Progress, _: &Status) {
        let read: i64 = self.job.newest().unwrap().positions.iter().map(|position| position.offset).sum();
        if read < self.appended {
            return;
        }
        match self.chapter {
            0 => {
                self.stands_at(-1);
                // Nobody can be heard for longer than the timeout; then one partition is the first.
                *self.heard.lock().unwrap() = (false, 0);
                self.job.clock.advance(TIMEOUT + 2 * SECOND);
                self.append(&step(3, &[1], 30));
            }
            1 => {
                self.stands_at(-1);
                self.append(&step(4, &[0, 2], 15));
            }
            2 => {
                self.stands_at(14);
                // They are heard again. By the clock alone they have been silent for long.
                *self.heard.lock().unwrap() = (true, 1);
                self.job.clock.advance(TIMEOUT);
                self.append(&step(6, &[1], 60));
            }
            3 => {
                self.stands_at(14);
                if self.last > 3 {
                    // Now they are.
                    self.job.clock.advance(TIMEOUT);
                    self.append(&step(7, &[1], 90));
                }
            }
            _ => self.stands_at(89),
        }
        if self.chapter == self.last {
            self.stop.send_replace(true);
        }
        self.chapter += 1;
    }
}

/// Lets the story happen until the chapter `last` is over.
fn tell(world: &World, job: &Job, last: usize) {
    let (stop, stopped) = watch::channel(false);
    let heard = Arc::new(Mutex::new((true, 0)));
    let mut story = Story { world, job, heard: Arc::clone(&heard), stop, chapter: 0, last, appended: 0 };
    story.append(&step(0, &[0, 1, 2], 0));
    let trigger = Trigger::Interval(Duration::ZERO);
    let watch = Watch { trigger, polls: None, stop: stopped, observer: &mut story };
    let muffled = |binding: SourceBinding| {
        let source = Muffled { source: binding.source, heard: Arc::clone(&heard) };
        SourceBinding { source: Box::new(source), ..binding }
    };
    let ended = job.attempt_changed(SQL, &cut(), watch, |config| {
        config.sources = std::mem::take(&mut config.sources).into_iter().map(muffled).collect();
    });
    ended.unwrap().unwrap();
    assert_eq!(story.chapter, last + 1, "the story is over");
}

fn cut() -> Cut {
    Cut {
        max_offsets: None,
        batch_bytes: 16 << 20,
        memory_limit: 256 << 20,
        state_deltas: 5,
        threads: 1,
        cancels: Vec::new(),
    }
}

#[test]
fn what_a_partition_brings_that_could_not_be_heard_is_not_late() {
    let world = World::new();
    let job = world.job_that_waits(0, TIMEOUT);
    tell(&world, &job, 4);
    let mut found: Vec<i64> =
        table_rows(&job.path("data/silver/e"), &["seq"]).iter().map(|seq| seq.parse().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, (0..8).collect::<Vec<i64>>(), "every row is in time");
}

/// When a batch is replayed, its log is heard as well as can be.
#[test]
fn a_replayed_batch_waits_for_whom_it_waited_before() {
    let world = World::new();
    let job = world.job_that_waits(0, TIMEOUT);
    tell(&world, &job, 3);
    let before = job.newest().unwrap();
    replay::check(&job, SQL, &cut());
    let again = job.checkpoint().commit(before.batch_id).unwrap();
    assert_eq!(again.watermarks, before.watermarks);
}
