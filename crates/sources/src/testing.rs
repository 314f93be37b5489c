//! For tests of sources: the suite that every implementation runs, also one from outside (feature `testing`).
//!
//! Implement [`Subject`] for a log of yours, and hand it to [`conforms`].

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

mod pack;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use sluicebox_core::raw::{column, raw_schema};
use sluicebox_core::{OffsetRange, PartitionId};

pub use pack::pack;

use crate::{Buffered, CHUNK_EVENTS, Source, SourceError, Taken};

/// So long is waited for what is to happen at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// Events of the suite.
const MANY: i64 = 10_000;

/// A log, as the suite meets it: empty, with one partition whose events have the offsets 0, 1, 2 and so on.
///
/// ```
/// use std::sync::Arc;
///
/// use sluicebox_core::{ManualClock, PartitionId};
/// use sluicebox_sources::testing::{Subject, conforms};
/// use sluicebox_sources::{EmbeddedLog, KafkaOptions, LogSource, Record, Source, TopicOptions};
///
/// struct Log(EmbeddedLog);
///
/// impl Subject for Log {
///     fn partition(&self) -> PartitionId {
///         PartitionId::new("s", "t", 0)
///     }
///
///     fn append(&mut self, values: &[Vec<u8>]) {
///         let record = |value: &Vec<u8>| Record { value: Some(value.clone().into()), ..Record::default() };
///         self.0.append("t", 0, &values.iter().map(record).collect::<Vec<_>>()).unwrap();
///     }
///
///     fn source(&self) -> Box<dyn Source> {
///         let options = [("subscribe", "t"), ("startingOffsets", "earliest")];
///         let options = options.map(|(key, value)| (key.to_owned(), value.to_owned()));
///         let options = KafkaOptions::from_options("s", &options, &|_| None).unwrap();
///         Box::new(LogSource::new("s", self.0.clone(), options, 1 << 20).unwrap())
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// let log = EmbeddedLog::open(folder.path().join("log"), Arc::new(ManualClock::at(0)))?;
/// log.create_topic("t", 1, TopicOptions::default())?;
/// let mut log = Log(log);
/// // A test awaits this on a runtime of tokio.
/// let suite = conforms(&mut log);
/// # drop(suite);
/// # Ok(())
/// # }
/// ```
pub trait Subject {
    /// The partition.
    fn partition(&self) -> PartitionId;

    /// Appends events of these values, which have no line end.
    fn append(&mut self, values: &[Vec<u8>]);

    /// A source over it as a new process would make it, which starts at the first event.
    fn source(&self) -> Box<dyn Source>;
}

/// Runs the suite: the same events for a range however it is fetched, by this process or another, in pieces cut anywhere, and again;
/// new ones are seen; and a position of another log is refused.
///
/// # Panics
/// When the source does not keep a promise of [`Source`].
pub async fn conforms(subject: &mut dyn Subject) {
    an_empty_log_begins_at_its_end(subject).await;
    subject.append(&values(0..MANY));
    a_range_gives_the_same_events_however_it_is_fetched(subject).await;
    another_process_goes_on_where_one_has_stood(subject).await;
    what_is_buffered_can_be_taken(subject).await;
    what_is_not_there_is_refused_and_does_no_harm(subject).await;
    new_events_are_seen(subject).await;
}

/// What `future` gives, if that does not take for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not happen within {PATIENCE:?}"),
    }
}

/// The values of events, no two the same.
fn values(events: Range<i64>) -> Vec<Vec<u8>> {
    events.map(|i| format!("value {i}").into_bytes()).collect()
}

/// The values of what was taken of `partition`, by their offsets; with every rule of their order checked.
fn taken_of(taken: &Taken, partition: &PartitionId) -> BTreeMap<i64, Vec<u8>> {
    assert!(taken.lost.is_empty() && taken.gap_offsets.is_empty(), "nothing of the log is lost");
    let mut found = BTreeMap::new();
    let mut last = -1;
    for piece in &taken.events {
        assert_eq!(piece.partition, *partition);
        assert_eq!(piece.events.schema(), raw_schema());
        assert!((1..=CHUNK_EVENTS).contains(&piece.events.num_rows()), "a piece has 1 to {CHUNK_EVENTS} events");
        let offsets = piece.events.column(column::OFFSET).as_primitive::<Int64Type>();
        let values = piece.events.column(column::VALUE).as_binary::<i32>();
        for row in 0..piece.events.num_rows() {
            assert!(offsets.value(row) > last, "offsets ascend");
            assert!(values.is_valid(row), "the events have values");
            last = offsets.value(row);
            found.insert(last, values.value(row).to_vec());
        }
    }
    found
}

fn expected(events: Range<i64>) -> BTreeMap<i64, Vec<u8>> {
    events.clone().zip(values(events)).collect()
}

async fn take(source: &mut dyn Source, partition: &PartitionId, range: Range<i64>) -> BTreeMap<i64, Vec<u8>> {
    let ranges = BTreeMap::from([(partition.clone(), OffsetRange::new(range.start, range.end))]);
    taken_of(&soon("a take", source.take(&ranges)).await.unwrap(), partition)
}

async fn start(source: &mut dyn Source, position: i64, partition: &PartitionId) {
    let positions = BTreeMap::from([(partition.clone(), position)]);
    soon("a start", source.start(&positions)).await.unwrap();
}

/// What is buffered of the partition once `enough` holds of it.
async fn until(source: &mut dyn Source, enough: impl Fn(&Buffered) -> bool) -> Buffered {
    let wait = async {
        loop {
            let mut buffered = source.buffered().await.unwrap();
            assert_eq!(buffered.len(), 1, "one partition was started");
            if let Some(found) = buffered.pop().filter(&enough) {
                return found;
            }
            source.changed().await;
        }
    };
    soon("what is waited for in the buffer", wait).await
}

async fn an_empty_log_begins_at_its_end(subject: &mut dyn Subject) {
    let (mut source, partition) = (subject.source(), subject.partition());
    assert_eq!(source.name(), partition.source);
    let log = soon("identity", source.identity()).await.unwrap();
    assert!(!log.log.is_empty() && log.topics.contains_key(&partition.topic), "{log:?}");
    assert_eq!(log, soon("identity", subject.source().identity()).await.unwrap(), "it is one log");
    let bounds = soon("bounds", source.bounds()).await.unwrap();
    assert_eq!(bounds.keys().collect::<Vec<_>>(), [&partition]);
    assert_eq!((bounds[&partition].earliest, bounds[&partition].latest), (0, 0));
    let starting = soon("starting offsets", source.starting_offsets()).await.unwrap();
    assert_eq!(starting, BTreeMap::from([(partition.clone(), 0)]));
    start(source.as_mut(), 0, &partition).await;
    assert!(source.buffered().await.unwrap().iter().all(|buffered| buffered.chunks.is_empty()));
}

async fn a_range_gives_the_same_events_however_it_is_fetched(subject: &mut dyn Subject) {
    let (mut source, partition) = (subject.source(), subject.partition());
    let source = source.as_mut();
    let bounds = soon("bounds", source.bounds()).await.unwrap();
    assert_eq!((bounds[&partition].earliest, bounds[&partition].latest), (0, MANY));
    start(source, 0, &partition).await;
    for _ in 0..2 {
        assert!(take(source, &partition, 0..MANY).await == expected(0..MANY), "the whole log, and again");
    }
    for (from, to) in [(0, 1), (1, 4097), (4097, 4097), (4097, 9_999), (9_999, MANY), (5, 7), (0, MANY)] {
        assert!(take(source, &partition, from..to).await == expected(from..to), "{from}..{to}");
    }
}

async fn another_process_goes_on_where_one_has_stood(subject: &mut dyn Subject) {
    let (mut source, partition) = (subject.source(), subject.partition());
    let source = source.as_mut();
    start(source, 7_000, &partition).await;
    assert!(take(source, &partition, 7_000..MANY).await == expected(7_000..MANY));
    let buffered = until(source, |buffered| buffered.position == MANY).await;
    assert!(buffered.chunks.is_empty() && buffered.log_end == MANY, "{buffered:?}");
    // A batch that was planned before is taken as it was planned.
    assert!(take(source, &partition, 6_500..7_100).await == expected(6_500..7_100));
}

async fn what_is_buffered_can_be_taken(subject: &mut dyn Subject) {
    let (mut source, partition) = (subject.source(), subject.partition());
    let source = source.as_mut();
    start(source, 0, &partition).await;
    let mut position = 0;
    while position < MANY {
        let buffered = until(source, |buffered| !buffered.chunks.is_empty()).await;
        assert_eq!(buffered.position, position, "what was taken is passed");
        assert!(buffered.chunks.is_sorted_by(|a, b| a.to < b.to), "chunks ascend");
        assert!(buffered.log_end >= buffered.end(), "the log reaches as far as what is buffered");
        let to = buffered.chunks.first().map_or(position, |chunk| chunk.to);
        assert!(take(source, &partition, position..to).await == expected(position..to), "{position}..{to}");
        position = to;
    }
}

async fn what_is_not_there_is_refused_and_does_no_harm(subject: &mut dyn Subject) {
    let (mut source, partition) = (subject.source(), subject.partition());
    let source = source.as_mut();
    let range = |to| BTreeMap::from([(partition.clone(), OffsetRange::new(0, to))]);
    let error = soon("a take", source.take(&range(1))).await.unwrap_err();
    assert!(matches!(error, SourceError::NotStarted { .. }), "a take before the start: {error}");
    let past = BTreeMap::from([(partition.clone(), MANY + 1)]);
    let error = soon("a start", source.start(&past)).await.unwrap_err();
    assert!(matches!(error, SourceError::PastEnd { .. }), "a position of another log: {error}");
    let (mut source, partition) = (subject.source(), subject.partition());
    let source = source.as_mut();
    start(source, 0, &partition).await;
    let error = soon("a take", source.take(&range(MANY + 1))).await.unwrap_err();
    assert!(matches!(error, SourceError::PastEnd { .. }), "a range of another log: {error}");
    assert!(take(source, &partition, 0..1).await == expected(0..1), "it is as good as before");
}

async fn new_events_are_seen(subject: &mut dyn Subject) {
    let (mut source, partition) = (subject.source(), subject.partition());
    let source = source.as_mut();
    start(source, MANY, &partition).await;
    for end in MANY + 1..MANY + 4 {
        subject.append(&values(end - 1..end));
        until(source, |buffered| buffered.end() == end && buffered.log_end >= end).await;
        assert!(take(source, &partition, end - 1..end).await == expected(end - 1..end), "event {end}");
    }
}
