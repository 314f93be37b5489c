//! The embedded log as a source.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use sluicebox_core::station::{self, Station};
use sluicebox_core::{OffsetRange, PartitionId};

use super::EmbeddedLog;
use super::reader::{self, Reader, Run, TailCursor};
use crate::buffer::{Feed, PrefetchBuffer, Stopping};
use crate::error::{Result, SourceError};
use crate::options::{KafkaOptions, Selection};
use crate::source::{Bounds, Buffered, KnownEnd, LogIdentity, LossReason, Source, Taken, check_ends};

/// How soon the ends of files are looked at again when there was nothing to read: one `stat` a partition.
const POLL: Duration = Duration::from_millis(10);
/// How soon at most, when there has been nothing for a while: each look wakes a core that could sleep.
const IDLE_POLL: Duration = Duration::from_millis(50);

/// Reads topics of an [`EmbeddedLog`].
///
/// A thread of its own reads ahead into the bounded buffer; it ends when the source is dropped. Options that speak of
/// brokers are not looked at.
pub struct LogSource {
    name: String,
    log: EmbeddedLog,
    options: KafkaOptions,
    buffer: PrefetchBuffer,
    tails: Arc<Mutex<BTreeMap<PartitionId, TailCursor>>>,
    feeds: mpsc::Sender<Feed>,
    thread: Option<JoinHandle<()>>,
}

impl LogSource {
    /// A source named `name` that reads what `options` select from `log`, ahead by `prefetch_bytes` at most.
    ///
    /// # Errors
    /// When the thread that reads cannot be started.
    pub fn new(name: impl Into<String>, log: EmbeddedLog, options: KafkaOptions, prefetch_bytes: u64) -> Result<Self> {
        let name = name.into();
        let buffer = PrefetchBuffer::new(prefetch_bytes);
        let (feeds, new_feeds) = mpsc::channel();
        let fetcher = Fetcher {
            log: log.clone(),
            fail_on_data_loss: options.fail_on_data_loss,
            new_feeds,
            stopping: buffer.stopping(),
            readers: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name(format!("fetch-{name}"))
            .spawn(move || fetcher.run())
            .map_err(|e| SourceError::Threads { source_name: name.clone(), why: e.to_string() })?;
        buffer.set_fetcher(thread.thread().clone());
        Ok(Self { name, log, options, buffer, tails: Arc::default(), feeds, thread: Some(thread) })
    }

    /// Runs `work` where it may block.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(e) => Err(SourceError::Internal { source_name: self.name.clone(), what: e.to_string() }),
        }
    }
}

#[async_trait]
impl Source for LogSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn identity(&mut self) -> Result<LogIdentity> {
        let (log, name, selection) = (self.log.clone(), self.name.clone(), self.options.selection.clone());
        self.blocking(move || {
            let topics = log.topics()?;
            let counts = topics.iter().map(|(t, m)| (t.clone(), m.partitions)).collect();
            let selected = selection.select(&name, &describe(&log), &counts)?;
            let id_of = |id: PartitionId| topics.get(&id.topic).map(|t| (id.topic.clone(), Some(t.topic_id.clone())));
            Ok(LogIdentity { log: log.id().to_owned(), topics: selected.into_iter().filter_map(id_of).collect() })
        })
        .await
    }

    async fn partitions(&mut self) -> Result<BTreeSet<PartitionId>> {
        let (log, name, selection) = (self.log.clone(), self.name.clone(), self.options.selection.clone());
        self.blocking(move || selected(&log, &name, &selection)).await
    }

    async fn bounds(&mut self) -> Result<BTreeMap<PartitionId, Bounds>> {
        let (log, name, selection) = (self.log.clone(), self.name.clone(), self.options.selection.clone());
        let tails = Arc::clone(&self.tails);
        let bounds = self
            .blocking(move || {
                let selected = selected(&log, &name, &selection)?;
                let mut tails = tails.lock().unwrap_or_else(PoisonError::into_inner);
                let mut out = BTreeMap::new();
                for id in selected {
                    let dir = log.partition_dir(&id.topic, id.partition);
                    let tail = tails.entry(id.clone()).or_insert_with(|| TailCursor::new(dir));
                    out.insert(id, tail.bounds()?);
                }
                Ok(out)
            })
            .await?;
        self.buffer.learn(&bounds);
        Ok(bounds)
    }

    async fn starting_offsets(&mut self) -> Result<BTreeMap<PartitionId, i64>> {
        let bounds = self.bounds().await?;
        self.options.starting_offsets.resolve(&self.name, &bounds)
    }

    async fn start(&mut self, positions: &BTreeMap<PartitionId, i64>) -> Result<()> {
        if self.buffer.unknown(positions.keys()).next().is_some() {
            self.bounds().await?;
        }
        check_ends(self.buffer.there(positions), self.buffer.known())?;
        for feed in self.buffer.begin(positions, self.options.fail_on_data_loss)? {
            self.feeds.send(feed).map_err(|_| ended(&self.name))?;
        }
        self.buffer.wake();
        Ok(())
    }

    async fn buffered(&mut self) -> Result<Vec<Buffered>> {
        self.buffer.buffered()
    }

    fn ends(&self) -> BTreeMap<PartitionId, KnownEnd> {
        self.buffer.known_ends()
    }

    async fn changed(&mut self) {
        self.buffer.changed().await;
    }

    async fn take(&mut self, ranges: &BTreeMap<PartitionId, OffsetRange>) -> Result<Taken> {
        if self.buffer.end_unknown(ranges) {
            let bounds = self.bounds().await?;
            check_ends(ranges.iter().map(|(id, range)| (id, range.to)), &bounds)?;
        }
        self.buffer.take(ranges).await
    }

    async fn committed(&mut self, _ends: &BTreeMap<PartitionId, i64>) -> Result<()> {
        // No lag tool reads the embedded log.
        Ok(())
    }
}

impl Drop for LogSource {
    fn drop(&mut self) {
        self.buffer.stop();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

fn selected(log: &EmbeddedLog, source_name: &str, selection: &Selection) -> Result<BTreeSet<PartitionId>> {
    let counts = log.topics()?.into_iter().map(|(topic, meta)| (topic, meta.partitions)).collect();
    selection.select(source_name, &describe(log), &counts)
}

fn describe(log: &EmbeddedLog) -> String {
    format!("the embedded log {}", log.root().display())
}

fn ended(source_name: &str) -> SourceError {
    SourceError::Internal { source_name: source_name.to_owned(), what: "the thread that fetches has ended".to_owned() }
}

/// The thread that reads ahead.
struct Fetcher {
    log: EmbeddedLog,
    fail_on_data_loss: bool,
    new_feeds: mpsc::Receiver<Feed>,
    stopping: Stopping,
    readers: Vec<FedReader>,
}

struct FedReader {
    feed: Feed,
    reader: Reader,
    /// Looks for the end while it is not read up to.
    tail: TailCursor,
    generation: u64,
    /// Where the next read began when it was last asked.
    at: i64,
}

impl Fetcher {
    fn run(mut self) {
        let mut rest = POLL;
        while !self.stopping.is_set() {
            for feed in self.new_feeds.try_iter() {
                let dir = self.log.partition_dir(&feed.id().topic, feed.id().partition);
                let generation = feed.want().generation;
                let (reader, tail) = (Reader::new(dir.clone()), TailCursor::new(dir));
                self.readers.push(FedReader { feed, reader, tail, generation, at: 0 });
            }
            let mut more = false;
            let at_work = station::begin(Station::Fetch);
            for reader in &mut self.readers {
                more |= reader.run(self.fail_on_data_loss);
            }
            drop(at_work);
            if self.readers.iter_mut().any(FedReader::has_moved) {
                rest = POLL;
            }
            if !more {
                std::thread::park_timeout(rest);
                rest = (rest * 6 / 5).min(IDLE_POLL);
            }
        }
    }
}

impl FedReader {
    /// Reads on; true when there is more to do at once.
    fn run(&mut self, fail_on_data_loss: bool) -> bool {
        let want = self.feed.want();
        if want.generation != self.generation {
            self.reader.seek();
            self.generation = want.generation;
        }
        if !want.room {
            self.look_for_end();
            return false;
        }
        let reader = &mut self.reader;
        let ran = self.feed.fill(want.generation, |fill| {
            let run = reader.read(fill)?;
            match run {
                Run::Lost(held) if !fail_on_data_loss => {
                    fill.lose(held.earliest, LossReason::Deleted);
                    Ok(Run::More)
                }
                run => Ok(run),
            }
        });
        match ran {
            Some(Ok(run)) => match reader::out_of_range(run, self.feed.id(), want.next) {
                Some(error) => self.fail(error),
                None if run == Run::More => {
                    self.look_for_end();
                    true
                }
                None => {
                    self.feed.confirm(Duration::ZERO);
                    false
                }
            },
            Some(Err(error)) => self.fail(error),
            // There was a seek meanwhile.
            None => true,
        }
    }

    /// Whether something was read since it was last asked.
    fn has_moved(&mut self) -> bool {
        let next = self.feed.want().next;
        std::mem::replace(&mut self.at, next) != next
    }

    /// Tells how far the log reaches, when that is farther than what was read.
    fn look_for_end(&mut self) {
        // What is wrong with the end is reported when it is read.
        if let Ok(end) = self.tail.end() {
            self.feed.log_end(end);
            self.feed.confirm(Duration::ZERO);
        }
    }

    fn fail(&mut self, error: SourceError) -> bool {
        self.feed.fail(self.generation, error);
        false
    }
}
