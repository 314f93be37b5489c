//! The feeder: the `sample` option of a source. It fills a topic of the embedded log with generated events, and keeps filling it.
//!
//! The properties of the topic hold the seed, the birth and everything else that determines event `i`. So they are durable from the same
//! instant as the topic. **The feeder asks the log itself what was written**: the last event of a partition gives its own index (no two
//! events of one millisecond are equal), and the events of a partition are in the order of their indexes. So after a crash at any point, or
//! a torn append, each partition continues with its next event: no event is written twice, and none of the backlog is left out. The feeder
//! skips events that others append to the topic.
//!
//! After a downtime the feeder continues from now: event `i` belongs to a time, and events whose time passed meanwhile are never generated.
//! It catches up on a gap of less than ten seconds.
//!
//! One process feeds a topic at a time. It holds a lock on `@sample` in the topic's folder until it ends. Others wait, and take over then.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMillisecondType;
use sluicebox_core::raw::{RawEvents, column};
use sluicebox_core::{Clock, OffsetRange};
use sluicebox_durable::FileError;
use sluicebox_sources::{EmbeddedLog, Fsync, KafkaOptions, LogSource, Source, TopicOptions};

use crate::error::{ProduceError, Result};
use crate::sales::{SalesConfig, SalesGenerator};
use crate::sink::{EmbeddedSink, EventSink, STRETCH, Stretch, due};

/// The property of the topic that holds the configuration.
const PROPERTY: &str = "sample.sales";
const LOCK_FILE: &str = "@sample";
/// How many of a partition's last events are looked at together.
const LOOK: i64 = 1000;
const LOOK_BYTES: u64 = 4 << 20;
/// Between two appends: often enough to look alive, and seldom enough that a batch holds more than one event.
const FEED: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_millis(100);

/// What [`SampleFeeder::ensure_backlog`] found or did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backlog {
    /// It is complete, and this process feeds the topic.
    Ours,
    /// It is complete, and another process feeds the topic.
    Others,
    /// The topic was there without a sample: it holds what somebody put there, and nothing is added.
    Foreign,
}

/// Fills a topic of the embedded log.
#[derive(Debug)]
pub struct SampleFeeder {
    log: EmbeddedLog,
    topic: String,
    generator: Option<Arc<SalesGenerator>>,
    clock: Arc<dyn Clock>,
    /// Shared with the append in progress, which goes on when the call that began it is dropped.
    held: Arc<Mutex<Option<Held>>>,
}

/// What only the process that feeds has.
#[derive(Debug)]
struct Held {
    /// Of each partition the first event that is not in it yet.
    next: Vec<u64>,
    /// Ends with it.
    _lock: File,
}

impl SampleFeeder {
    /// A feeder of `topic`. A topic that is not there is made, from `config`: that is its birth. One that is there goes
    /// on as it was born, whatever `config` says.
    ///
    /// # Errors
    /// When the configuration makes no sense, the log cannot be read or written, or the topic was fed by a version that
    /// did it otherwise.
    pub async fn open(log: &EmbeddedLog, topic: &str, config: SalesConfig, clock: Arc<dyn Clock>) -> Result<Self> {
        let (root, name, its_clock) = (log.root().to_path_buf(), topic.to_owned(), Arc::clone(&clock));
        let made = blocking(move || {
            // A handle of its own, without a sync for each append: readers sync what they read.
            let log = EmbeddedLog::open_with(root, its_clock, Fsync::OnFlush)?;
            let generator = birth(&log, &name, &config)?;
            Ok((log, generator))
        });
        let (log, generator) = made.await?;
        let topic = topic.to_owned();
        Ok(Self { log, topic, generator: generator.map(Arc::new), clock, held: Arc::default() })
    }

    /// What event `i` of the topic is; `None` for a topic without a sample.
    #[must_use]
    pub fn generator(&self) -> Option<&SalesGenerator> {
        self.generator.as_deref()
    }

    /// Returns when the topic holds the whole backlog. Dropped and called again, it goes on where it was.
    ///
    /// # Errors
    /// When the log cannot be read or written.
    pub async fn ensure_backlog(&mut self) -> Result<Backlog> {
        let Some(generator) = self.generator.clone() else { return Ok(Backlog::Foreign) };
        let mut expected = None;
        while !self.try_lock().await? {
            // Another feeds. Its backlog is there when each partition has as many events as the backlog gives it.
            let expected = match &expected {
                Some(expected) => expected,
                None => expected.insert(count_backlog(Arc::clone(&generator)).await?),
            };
            if self.holds(expected.clone()).await? {
                return Ok(Backlog::Others);
            }
            tokio::time::sleep(PATIENCE).await;
        }
        let from = self.first_missing().unwrap_or(0);
        let to = generator.config().backlog;
        let mut at = from;
        while at < to {
            let end = to.min(at + STRETCH);
            self.append(&generator, at..end).await?;
            at = end;
        }
        if from < to {
            let log = self.log.clone();
            blocking(move || Ok(log.flush()?)).await?;
        }
        Ok(Backlog::Ours)
    }

    /// Appends each event when its time comes, until `stop` is ready. While another process feeds, it waits to take over.
    /// A topic without a sample is left alone.
    ///
    /// # Errors
    /// When the log cannot be read or written. It may be called again.
    pub async fn live(&mut self, stop: impl Future<Output = ()>) -> Result<()> {
        tokio::pin!(stop);
        let Some(generator) = self.generator.clone() else {
            stop.await;
            return Ok(());
        };
        let mut ticks = tokio::time::interval(FEED);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut stop => return Ok(()),
                _ = ticks.tick() => {}
            }
            if self.first_missing().is_none() && self.ensure_backlog().await? != Backlog::Ours {
                tokio::select! {
                    () = &mut stop => return Ok(()),
                    () = tokio::time::sleep(PATIENCE * 5) => continue,
                }
            }
            let next = self.first_missing().unwrap_or(0);
            let range = due(&generator, next, self.clock.now_micros());
            if !range.is_empty() {
                self.append(&generator, range).await?;
            }
        }
    }

    /// The first event that is missing in a partition; `None` when this process does not feed.
    fn first_missing(&self) -> Option<u64> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().and_then(|held| held.next.iter().copied().min())
    }

    /// Takes the lock and learns what the log holds. False: another process has it.
    async fn try_lock(&mut self) -> Result<bool> {
        if self.first_missing().is_some() {
            return Ok(true);
        }
        let Some(generator) = self.generator.clone() else { return Ok(false) };
        let path = self.log.root().join(&self.topic).join(LOCK_FILE);
        let locked = blocking(move || {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
            let file = file.map_err(|e| FileError::new("open", &path, e))?;
            match file.try_lock() {
                Ok(()) => Ok(Some(file)),
                Err(TryLockError::WouldBlock) => Ok(None),
                Err(TryLockError::Error(e)) => Err(FileError::new("lock", &path, e).into()),
            }
        });
        let Some(lock) = locked.await? else { return Ok(false) };
        let next = self.look(&generator).await?;
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(Held { next, _lock: lock });
        Ok(true)
    }

    /// Of each partition the first event that is not in it.
    async fn look(&self, generator: &SalesGenerator) -> Result<Vec<u64>> {
        let options = [("subscribe".to_owned(), self.topic.clone()), ("failOnDataLoss".to_owned(), "false".to_owned())];
        let options = KafkaOptions::from_options("sample", &options, &|_| None)?;
        let mut source = LogSource::new("sample", self.log.clone(), options, LOOK_BYTES)?;
        let all = source.bounds().await?;
        let near_ends =
            all.iter().map(|(id, bounds)| (id.clone(), bounds.earliest.max(bounds.latest - LOOK))).collect();
        source.start(&near_ends).await?;
        let mut next = Vec::new();
        for (partition, bounds) in all {
            let mut to = bounds.latest;
            let mut newest = None;
            while newest.is_none() && to > bounds.earliest {
                let from = bounds.earliest.max(to - LOOK);
                let range = BTreeMap::from([(partition.clone(), OffsetRange::new(from, to))]);
                newest = source.take(&range).await?.events.iter().rev().find_map(|events| newest_of(generator, events));
                to = from;
            }
            next.push(match newest {
                Some(index) => index + 1,
                // Retention took all there was: the backlog was complete long ago.
                None if bounds.earliest > 0 => generator.config().backlog,
                None => 0,
            });
        }
        Ok(next)
    }

    /// Appends the events of `range` that are not in their partition yet.
    async fn append(&self, generator: &Arc<SalesGenerator>, range: Range<u64>) -> Result<()> {
        let (generator, log, topic) = (Arc::clone(generator), self.log.clone(), self.topic.clone());
        let held = Arc::clone(&self.held);
        blocking(move || {
            let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(holding) = held.as_mut() else { return Ok(()) };
            let end = range.end;
            let appended = append_missing(&generator, log, &topic, range, &holding.next);
            match appended {
                Ok(()) => holding.next.iter_mut().for_each(|next| *next = end.max(*next)),
                // How much of it is in the log is unknown: it is asked again, under a new lock.
                Err(_) => *held = None,
            }
            appended
        })
        .await
    }

    /// Whether each partition has at least as many events as `expected` says.
    async fn holds(&self, expected: Vec<i64>) -> Result<bool> {
        let (log, topic) = (self.log.clone(), self.topic.clone());
        blocking(move || {
            for (partition, count) in (0..).zip(expected) {
                if log.bounds(&topic, partition)?.latest < count {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await
    }
}

/// Makes the topic, unless it is there; returns the generator that it was born with.
fn birth(log: &EmbeddedLog, topic: &str, config: &SalesConfig) -> Result<Option<SalesGenerator>> {
    let found = match log.topic(topic)? {
        Some(found) => found,
        None => {
            config.check()?;
            let text = serde_json::to_string(config).map_err(|e| ProduceError::Internal(e.to_string()))?;
            let properties = BTreeMap::from([(PROPERTY.to_owned(), text)]);
            log.create_topic(topic, config.partitions, TopicOptions { properties, ..TopicOptions::default() })?
        }
    };
    let Some(text) = found.properties.get(PROPERTY) else { return Ok(None) };
    let sample =
        |reason: String| ProduceError::Sample { log: log.root().to_path_buf(), topic: topic.to_owned(), reason };
    let born: SalesConfig = serde_json::from_str(text).map_err(|e| sample(e.to_string()))?;
    if born.partitions != found.partitions {
        let now = found.partitions;
        return Err(sample(format!("it was born with {} partitions and has {now}", born.partitions)));
    }
    if born.schema_id != config.schema_id {
        let (theirs, ours) = (born.schema_id, config.schema_id);
        return Err(sample(format!(
            "its events carry schema id {theirs}, and the registry knows their schema as {ours}"
        )));
    }
    Ok(Some(SalesGenerator::new(born)?))
}

/// Appends those events of `range` that are not before `next` in their partition.
fn append_missing(
    generator: &SalesGenerator,
    log: EmbeddedLog,
    topic: &str,
    range: Range<u64>,
    next: &[u64],
) -> Result<()> {
    let mut sink = EmbeddedSink::open(log, topic, generator.config().partitions)?;
    let mut stretch = Stretch::new(generator.config().partitions);
    stretch.make(generator, range, |event| {
        let first = usize::try_from(event.partition).ok().and_then(|p| next.get(p));
        first.is_some_and(|first| event.index >= *first)
    });
    stretch.parts().try_for_each(|(partition, events)| sink.append(partition, events))
}

/// The index of the last of `events` that the generator made.
fn newest_of(generator: &SalesGenerator, events: &RawEvents) -> Option<u64> {
    let batch = &events.events;
    let timestamps = batch.column(column::TIMESTAMP).as_primitive_opt::<TimestampMillisecondType>()?;
    let keys = batch.column(column::KEY).as_binary_opt::<i32>()?;
    let values = batch.column(column::VALUE).as_binary_opt::<i32>()?;
    (0..batch.num_rows())
        .rev()
        .find_map(|row| generator.find(timestamps.value(row), keys.value(row), values.value(row)))
}

/// How many events of the backlog each partition gets.
async fn count_backlog(generator: Arc<SalesGenerator>) -> Result<Vec<i64>> {
    blocking(move || {
        let mut counts = vec![0; usize::try_from(generator.config().partitions).unwrap_or(0)];
        let mut event = generator.event(0);
        for index in 0..generator.config().backlog {
            generator.event_into(index, &mut event);
            if let Some(count) = usize::try_from(event.partition).ok().and_then(|p| counts.get_mut(p)) {
                *count += 1;
            }
        }
        Ok(counts)
    })
    .await
}

/// Runs `work` where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(ProduceError::Internal(format!("the sample's feeder ended: {e}"))),
    }
}
