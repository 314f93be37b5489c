//! The trait that every source implements, and the types of its arguments and results.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use sluicebox_core::raw::RawEvents;
use sluicebox_core::{OffsetRange, PartitionId};

use crate::error::{Result, SourceError};

/// Which log a source reads. Pinned in the checkpoint's metadata: positions of one log mean nothing in another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogIdentity {
    /// Kafka's cluster id, or the embedded log's id. Empty when the cluster tells none.
    pub log: String,
    /// The id of each topic, which changes when the topic is deleted and made anew; `None` where the broker tells none
    /// (Kafka before 2.8): a topic made anew then shows as positions past its end, or not at all.
    pub topics: BTreeMap<String, Option<String>>,
}

/// The offsets that a partition holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// The first offset in the log.
    pub earliest: i64,
    /// The offset after the last one a reader may see: the high watermark, or the last stable offset with
    /// `kafka.isolation.level` = `read_committed`.
    pub latest: i64,
}

/// What is in the buffer for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffered {
    /// The partition.
    pub partition: PartitionId,
    /// The first offset not taken yet. The first chunk starts here.
    pub position: i64,
    /// What is there, ascending and without holes: each chunk starts where the one before it ends.
    pub chunks: Vec<Chunk>,
    /// The newest known end of the partition; at least the end of the last chunk.
    pub log_end: i64,
}

impl Buffered {
    /// The end of what is buffered: a range from `position` to here can be taken without waiting.
    #[must_use]
    pub fn end(&self) -> i64 {
        self.chunks.last().map_or(self.position, |c| c.to)
    }
}

/// What is known of a partition's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownEnd {
    /// The newest known end.
    pub log_end: i64,
    /// Whether the log confirmed it just now. If not, there may be more: the log cannot be heard, or this process was stopped.
    pub heard: bool,
    /// How often that was not so. While this number stays the same and `heard` holds, the end was known all the time.
    pub gaps: u64,
}

/// A piece of a partition's buffer. Ranges may also end inside a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// The offset after the chunk's last one.
    pub to: i64,
    /// Bytes of its keys, values and headers; 0 when its offsets hold no event (transaction markers, compaction, lost
    /// offsets).
    pub bytes: u64,
}

/// What [`Source::take`] hands over.
#[derive(Debug, Default)]
pub struct Taken {
    /// The events, sorted by partition, then offset; a partition's events come in one or several pieces of at most
    /// [`CHUNK_EVENTS`] rows. Partitions without an event have none.
    pub events: Vec<RawEvents>,
    /// Ranges that the log no longer holds, sorted, which there are only with `failOnDataLoss` = `false`; and those that it holds and
    /// that cannot be read, whatever that says.
    pub lost: Vec<LostRange>,
    /// Offsets inside the ranges that hold no event and were never one for a reader (transaction markers, aborted
    /// transactions, compaction). Only partitions that have some.
    pub gap_offsets: BTreeMap<PartitionId, u64>,
    /// Must have come true before anything that the events lead to is committed.
    pub proof: Proof,
}

/// What a log has yet to say about events that it gave: that they are of the topic they were asked of. It takes a question
/// and its answer, which need not keep the events waiting.
#[derive(Default)]
pub struct Proof(Option<BoxFuture<'static, Result<()>>>);

impl Proof {
    /// Comes true when `check` does. It is asked at once.
    pub(crate) fn new(check: impl Future<Output = Result<()>> + Send + 'static) -> Self {
        let mut check = check.boxed();
        // Once it has been polled, the question is on its way.
        match (&mut check).now_or_never() {
            Some(Ok(())) => Self(None),
            Some(Err(error)) => Self(Some(std::future::ready(Err(error)).boxed())),
            None => Self(Some(check)),
        }
    }

    /// Waits for the answer; while the log cannot be reached, until it can. May be dropped.
    ///
    /// # Errors
    /// [`SourceError::MadeAnew`] when the events may be those of another topic of the same name.
    pub async fn holds(self) -> Result<()> {
        match self.0 {
            Some(check) => check.await,
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Proof(asked)" } else { "Proof(holds)" })
    }
}

/// Offsets that were to be read and cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostRange {
    /// The partition.
    pub partition: PartitionId,
    /// The offsets.
    pub range: OffsetRange,
    /// What took them.
    pub reason: LossReason,
}

/// What took offsets that were to be read. The list is closed for readers of reports: add, never rename.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossReason {
    /// The log begins after them now: retention, or somebody deleted records.
    Deleted,
    /// Their topic is gone.
    TopicGone,
    /// They are in the log, in a record batch that cannot be unpacked or whose records are none.
    Unreadable,
}

impl LossReason {
    /// The word in reports: `deleted`, `topic_gone` or `unreadable`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::TopicGone => "topic_gone",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Events of a chunk at most.
pub const CHUNK_EVENTS: usize = 4096;
/// Bytes at which a chunk is closed: keys, values, headers. A chunk passes it by at most one event.
pub const CHUNK_BYTES: u64 = 256 * 1024;

/// Where events come from. Positions belong to the caller, who keeps them in its checkpoint: a source remembers nothing
/// that is not in the log itself.
///
/// The calls in order: `identity`, then `starting_offsets` at the very first start only, then `start` with the positions,
/// then `changed`, `buffered`, `take`, `committed` again and again; `partitions` and `bounds` at any time, and `start`
/// again for the partitions that are found to be new. Those begin at offset 0: what they no longer hold of it is lost as anything else is.
///
/// A log that cannot be reached is waited for inside each call, with one warning; such a call may be dropped. Other errors
/// are returned.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::Arc;
///
/// use sluicebox_core::{ManualClock, OffsetRange, PartitionId};
/// use sluicebox_sources::{EmbeddedLog, KafkaOptions, LogSource, Record, Source, Taken, TopicOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// let log = EmbeddedLog::open(folder.path().join("log"), Arc::new(ManualClock::at(0)))?;
/// log.create_topic("orders", 1, TopicOptions::default())?;
/// let record = |value: &'static str| Record { value: Some(value.into()), ..Record::default() };
/// log.append("orders", 0, &[record("a"), record("b")])?;
///
/// let options = [("subscribe", "orders"), ("startingOffsets", "earliest")];
/// let options = options.map(|(key, value)| (key.to_owned(), value.to_owned()));
/// let options = KafkaOptions::from_options("events", &options, &|_| None)?;
/// let mut source = LogSource::new("events", log, options, 1 << 20)?;
/// let positions = source.starting_offsets().await?;
/// source.start(&positions).await?;
///
/// let range = BTreeMap::from([(PartitionId::new("events", "orders", 0), OffsetRange::new(0, 2))]);
/// let events = |taken: &Taken| taken.events.iter().map(|piece| piece.events.num_rows()).sum::<usize>();
/// assert_eq!(events(&source.take(&range).await?), 2);
/// // A replay takes the same range again.
/// assert_eq!(events(&source.take(&range).await?), 2);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Source: Send {
    /// The source's name in the pipeline.
    fn name(&self) -> &str;

    /// Which log and topics these are.
    async fn identity(&mut self) -> Result<LogIdentity>;

    /// Every partition that there is now, those that are new included. No partition's own trouble keeps it waiting.
    async fn partitions(&mut self) -> Result<BTreeSet<PartitionId>>;

    /// What every partition that there is now holds, those that are new included.
    async fn bounds(&mut self) -> Result<BTreeMap<PartitionId, Bounds>>;

    /// Where the option `startingOffsets` says to begin, as numbers. For the very first start: the caller makes them
    /// durable and never asks again.
    async fn starting_offsets(&mut self) -> Result<BTreeMap<PartitionId, i64>>;

    /// Begins to fetch each partition from its position into the bounded buffer. Called again, it adds the partitions
    /// that are not being fetched yet and leaves the others alone.
    ///
    /// # Errors
    /// [`SourceError::PastEnd`] when a position lies behind the log's end, [`SourceError::Gone`] when its partition is not
    /// there and `failOnDataLoss` is on (else the partition has nothing to give any more).
    async fn start(&mut self, positions: &BTreeMap<PartitionId, i64>) -> Result<()>;

    /// What can be taken now, sorted by partition.
    async fn buffered(&mut self) -> Result<Vec<Buffered>>;

    /// What is known now of the ends of the partitions that are fetched. Of one that is not named, and by default of all, the end is
    /// known without asking anybody: what [`Source::buffered`] says.
    fn ends(&self) -> BTreeMap<PartitionId, KnownEnd> {
        BTreeMap::new()
    }

    /// Returns when something was buffered, or a known end moved, since the last return. Dropping the future loses nothing.
    async fn changed(&mut self);

    /// Hands over the events of `ranges` and moves the positions to the ranges' ends. Waits until each range is wholly
    /// fetched: an event at or past its end, or the partition's end at or past it, was seen. A range that does not begin
    /// at the position (a replay) is fetched anew, so taking a range twice gives the same rows twice.
    ///
    /// # Errors
    /// [`SourceError::DataLoss`] when offsets of a range are gone and `failOnDataLoss` is
    /// on, [`SourceError::PastEnd`] when a range ends behind the log's end. Nothing is taken
    /// then, and the call may be repeated.
    async fn take(&mut self, ranges: &BTreeMap<PartitionId, OffsetRange>) -> Result<Taken>;

    /// Tells the log how far a pipeline has committed, for lag tools. Nothing depends on it.
    async fn committed(&mut self, ends: &BTreeMap<PartitionId, i64>) -> Result<()>;
}

/// Refuses positions behind the log's end: they were taken in another log.
pub(crate) fn check_ends<'a>(
    ends: impl IntoIterator<Item = (&'a PartitionId, i64)>,
    bounds: &BTreeMap<PartitionId, Bounds>,
) -> Result<()> {
    for (id, offset) in ends {
        let latest = bounds.get(id).map_or(0, |b| b.latest);
        if offset > latest {
            return Err(SourceError::PastEnd { partition: id.clone(), offset, latest });
        }
    }
    Ok(())
}
