//! Tests for the sources of this crate, beside the suite of every source ([`crate::testing`]): topics of several partitions, options in
//! Kafka's words, record batches.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use bytes::Bytes;
use sluicebox_core::raw::{RawEvents, column};
use sluicebox_core::{Clock, OffsetRange, PartitionId, SystemClock};

use crate::buffer::LONGEST;
pub(crate) use crate::testing::soon;
use crate::{LossReason, LostRange, Record, Source, Taken};

pub(crate) mod logs;

/// A log to which the suite can write, and sources that read it.
pub(crate) trait Bench {
    /// Creates a topic that does not exist.
    fn create(&mut self, topic: &str, partitions: i32);

    /// Appends `records` to a partition of a topic that [`create`](Self::create) made.
    fn append(&mut self, topic: &str, partition: i32, records: Vec<Record>);

    /// Makes a source named `s`, not started, that fetches `prefetch_bytes` ahead. `options` are those of a `kafka` source: [`conforms`]
    /// gives `subscribe` with one topic, and `startingOffsets`.
    fn source(&self, options: &[(&str, &str)], prefetch_bytes: u64) -> Box<dyn Source>;
}

/// An event, as the suite compares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its offset.
    pub(crate) offset: i64,
    /// Its contents.
    pub(crate) record: Record,
}

const NAME: &str = "s";
const PREFETCH: u64 = 4 << 20;

/// Partition `partition` of `topic`, as the suite's source reads it.
pub(crate) fn id(topic: &str, partition: i32) -> PartitionId {
    PartitionId::new(NAME, topic, partition)
}

/// The ranges `(topic, partition, from, to)` of `list`.
pub(crate) fn ranges(list: &[(&str, i32, i64, i64)]) -> BTreeMap<PartitionId, OffsetRange> {
    list.iter().map(|(t, p, from, to)| (id(t, *p), OffsetRange::new(*from, *to))).collect()
}

/// Offsets `from..to` of partition 0 of topic `t` that the log no longer holds.
pub(crate) fn deleted(from: i64, to: i64) -> LostRange {
    LostRange { partition: id("t", 0), range: OffsetRange::new(from, to), reason: LossReason::Deleted }
}

/// The events of one partition.
///
/// # Panics
/// When what a source took breaks a rule of their order.
pub(crate) fn events_of(taken: &Taken, partition: &PartitionId) -> Vec<Event> {
    assert!(taken.events.is_sorted_by_key(|e| e.partition.clone()), "partitions ascend");
    let mut out = Vec::new();
    for piece in taken.events.iter().filter(|e| e.partition == *partition) {
        assert!(piece.events.num_rows() > 0 && piece.events.num_rows() <= crate::CHUNK_EVENTS);
        assert_eq!(piece.events.schema(), sluicebox_core::raw::raw_schema());
        out.extend((0..piece.events.num_rows()).map(|row| event(piece, row)));
    }
    assert!(out.is_sorted_by(|a, b| a.offset < b.offset), "offsets ascend");
    out
}

fn event(piece: &RawEvents, row: usize) -> Event {
    let columns = &piece.events;
    let binary = |at: usize| {
        let array = columns.column(at).as_binary::<i32>();
        array.is_valid(row).then(|| Bytes::copy_from_slice(array.value(row)))
    };
    let timestamps = columns.column(column::TIMESTAMP).as_primitive::<TimestampMillisecondType>();
    let lists = columns.column(column::HEADERS).as_list::<i32>();
    let mut headers = Vec::new();
    if lists.is_valid(row) {
        let items = lists.value(row);
        let items = items.as_struct();
        assert!(!items.is_empty(), "no headers are NULL, not an empty list");
        let (keys, values) = (items.column(0).as_string::<i32>(), items.column(1).as_binary::<i32>());
        for i in 0..items.len() {
            let value = values.is_valid(i).then(|| Bytes::copy_from_slice(values.value(i)));
            headers.push((keys.value(i).to_owned(), value));
        }
    }
    Event {
        offset: columns.column(column::OFFSET).as_primitive::<Int64Type>().value(row),
        record: Record {
            timestamp_ms: timestamps.is_valid(row).then(|| timestamps.value(row)),
            key: binary(column::KEY),
            value: binary(column::VALUE),
            headers,
        },
    }
}

/// Records that their offsets `range` tell apart.
pub(crate) fn numbered(range: std::ops::Range<i64>) -> Vec<Record> {
    range
        .map(|i| Record {
            timestamp_ms: Some(1_700_000_000_000 + i),
            key: Some(Bytes::from(format!("k{i}"))),
            value: Some(Bytes::from(format!("value {i}"))),
            headers: Vec::new(),
        })
        .collect()
}

/// The events that [`numbered`] records become at the offsets `range`.
pub(crate) fn expected(range: std::ops::Range<i64>) -> Vec<Event> {
    range.clone().zip(numbered(range)).map(|(offset, record)| Event { offset, record }).collect()
}

/// Waits until `enough` holds of what is buffered in one partition.
///
/// # Panics
/// When it does not within a minute.
pub(crate) async fn until(source: &mut dyn Source, partition: &PartitionId, enough: impl Fn(&crate::Buffered) -> bool) {
    let wait = async {
        loop {
            let buffered = source.buffered().await.unwrap();
            if buffered.iter().any(|b| b.partition == *partition && enough(b)) {
                return;
            }
            source.changed().await;
        }
    };
    soon("what is waited for in the buffer", wait).await;
}

async fn started(source: &mut dyn Source) -> BTreeMap<PartitionId, i64> {
    let positions = soon("starting offsets", source.starting_offsets()).await.unwrap();
    source.start(&positions).await.unwrap();
    positions
}

/// Tries what every source of this crate promises on the sources of `bench`. Await it on a runtime of tokio.
///
/// # Panics
/// When a source breaks a promise.
pub(crate) async fn conforms(bench: &mut dyn Bench) {
    order_resume_and_replay(bench).await;
    contents_are_kept(bench).await;
    starting_offsets_in_each_form(bench).await;
    new_data_wakes(bench).await;
    ends_are_known(bench).await;
    memory_is_bounded(bench).await;
    mistakes_are_reported(bench).await;
}

async fn order_resume_and_replay(bench: &mut dyn Bench) {
    bench.create("order", 2);
    bench.append("order", 0, numbered(0..10_000));
    bench.append("order", 1, numbered(0..3));
    let options = [("subscribe", "order"), ("startingOffsets", "earliest")];
    let mut source = bench.source(&options, PREFETCH);
    assert_eq!(source.name(), NAME);
    let identity = soon("identity", source.identity()).await.unwrap();
    assert!(!identity.log.is_empty() && identity.topics.contains_key("order"));
    let bounds = soon("bounds", source.bounds()).await.unwrap();
    assert_eq!(bounds.values().map(|b| (b.earliest, b.latest)).collect::<Vec<_>>(), [(0, 10_000), (0, 3)]);
    started(source.as_mut()).await;

    let whole = ranges(&[("order", 0, 0, 10_000), ("order", 1, 0, 3)]);
    let first = soon("the whole topic", source.take(&whole)).await.unwrap();
    assert_eq!(events_of(&first, &id("order", 0)), expected(0..10_000));
    assert_eq!(events_of(&first, &id("order", 1)), expected(0..3));
    assert!(first.lost.is_empty() && first.gap_offsets.is_empty());

    // The same range again, and in pieces cut anywhere.
    let again = soon("the same range", source.take(&whole)).await.unwrap();
    assert_eq!(events_of(&again, &id("order", 0)), expected(0..10_000));
    for (from, to) in [(0, 1), (1, 4097), (4097, 4097), (4097, 9_999), (9_999, 10_000), (5, 7)] {
        let piece = soon("a piece", source.take(&ranges(&[("order", 0, from, to)]))).await.unwrap();
        assert_eq!(events_of(&piece, &id("order", 0)), expected(from..to), "{from}..{to}");
    }
    drop(source);

    // Another process goes on at a position, with the range that was planned before.
    let mut source = bench.source(&options, PREFETCH);
    source.start(&BTreeMap::from([(id("order", 0), 7_000), (id("order", 1), 3)])).await.unwrap();
    let resumed = soon("the rest", source.take(&ranges(&[("order", 0, 7_000, 10_000)]))).await.unwrap();
    assert_eq!(events_of(&resumed, &id("order", 0)), expected(7_000..10_000));
    let buffered = source.buffered().await.unwrap();
    assert_eq!(buffered.iter().map(|b| b.position).collect::<Vec<_>>(), [10_000, 3]);
}

async fn contents_are_kept(bench: &mut dyn Bench) {
    let text = |s: &'static str| Some(Bytes::from_static(s.as_bytes()));
    let records = vec![
        Record { timestamp_ms: Some(1), key: None, value: text("no key"), headers: vec![] },
        Record { timestamp_ms: Some(1_700_000_000_123), key: text("tombstone"), value: None, headers: vec![] },
        Record { timestamp_ms: Some(5), key: text(""), value: text(""), headers: vec![] },
        Record {
            timestamp_ms: Some(2),
            key: Some(Bytes::from_static(&[0, 255, 10])),
            value: Some(Bytes::from(vec![7; 300_000])),
            headers: vec![("a".into(), text("1")), ("b".into(), None), ("größe".into(), text(""))],
        },
        Record { timestamp_ms: Some(3), key: None, value: None, headers: vec![] },
        Record { timestamp_ms: Some(4), key: None, value: text("z"), headers: vec![("a".into(), text("2"))] },
    ];
    bench.create("contents", 1);
    bench.append("contents", 0, records.clone());
    let mut source = bench.source(&[("subscribe", "contents"), ("startingOffsets", "earliest")], PREFETCH);
    started(source.as_mut()).await;
    let to = records.len() as i64;
    let taken = soon("all records", source.take(&ranges(&[("contents", 0, 0, to)]))).await.unwrap();
    let wanted: Vec<Event> = (0..).zip(records).map(|(offset, record)| Event { offset, record }).collect();
    assert_eq!(events_of(&taken, &id("contents", 0)), wanted);
}

async fn starting_offsets_in_each_form(bench: &mut dyn Bench) {
    bench.create("starting", 2);
    bench.append("starting", 0, numbered(0..5));
    for (text, wanted) in [
        ("earliest", [0, 0]),
        ("latest", [5, 0]),
        (r#"{"starting":{"0":3,"1":-2}}"#, [3, 0]),
        (r#"{"starting":{"0":-1,"1":0}}"#, [5, 0]),
    ] {
        let mut source = bench.source(&[("subscribe", "starting"), ("startingOffsets", text)], PREFETCH);
        let positions = soon("starting offsets", source.starting_offsets()).await.unwrap();
        assert_eq!(positions.into_values().collect::<Vec<_>>(), wanted, "{text}");
    }
    let mut source =
        bench.source(&[("subscribe", "starting"), ("startingOffsets", r#"{"starting":{"0":9,"1":0}}"#)], PREFETCH);
    let error = soon("starting offsets", source.starting_offsets()).await.unwrap_err();
    assert!(error.to_string().contains("0 to 5"), "{error}");
}

async fn new_data_wakes(bench: &mut dyn Bench) {
    bench.create("wake", 1);
    let mut source = bench.source(&[("subscribe", "wake")], PREFETCH);
    started(source.as_mut()).await;
    for round in 0..3 {
        bench.append("wake", 0, numbered(round..round + 1));
        until(source.as_mut(), &id("wake", 0), |b| b.end() == round + 1 && b.log_end > round).await;
        let taken = soon("the event", source.take(&ranges(&[("wake", 0, round, round + 1)]))).await.unwrap();
        assert_eq!(events_of(&taken, &id("wake", 0)), expected(round..round + 1));
    }
    // A range that is not all there yet is waited for.
    bench.append("wake", 0, numbered(3..4));
    let wait = ranges(&[("wake", 0, 3, 4)]);
    let taken = soon("an event asked for", source.take(&wait)).await.unwrap();
    assert_eq!(events_of(&taken, &id("wake", 0)), expected(3..4));
}

/// At its end, with nothing to read, a partition's end is known from moment to moment.
async fn ends_are_known(bench: &mut dyn Bench) {
    bench.create("known", 2);
    bench.append("known", 0, numbered(0..5));
    let mut source = bench.source(&[("subscribe", "known"), ("startingOffsets", "earliest")], PREFETCH);
    started(source.as_mut()).await;
    soon("the events", source.take(&ranges(&[("known", 0, 0, 5)]))).await.unwrap();
    for (partition, wanted) in [(0, 5), (1, 0)] {
        // Longer than one confirmation is good for.
        let began = SystemClock::new();
        let heard = async {
            loop {
                if known_end(source.as_mut(), partition).await == Some(wanted) && began.monotonic() > 2 * LONGEST {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        soon("that the end is known", heard).await;
    }
}

/// The end of a partition of the topic `known`, if the log confirms it. A source that confirms none knows it from what is buffered.
async fn known_end(source: &mut dyn Source, partition: i32) -> Option<i64> {
    let partition = id("known", partition);
    if let Some(end) = source.ends().get(&partition) {
        return end.heard.then_some(end.log_end);
    }
    let buffered = source.buffered().await.unwrap();
    buffered.iter().find(|b| b.partition == partition).map(|b| b.log_end)
}

async fn memory_is_bounded(bench: &mut dyn Bench) {
    const LIMIT: u64 = 1 << 19;
    // Below the 5 MB of a partition that the mock cluster keeps.
    const EVENTS: i64 = 8_000;
    let large = |range: std::ops::Range<i64>| -> Vec<Record> {
        let with_value = |r: Record| Record { value: Some(Bytes::from(vec![1; 500])), ..r };
        numbered(range).into_iter().map(with_value).collect()
    };
    bench.create("memory", 2);
    for partition in 0..2 {
        bench.append("memory", partition, large(0..EVENTS));
    }
    let mut source = bench.source(&[("subscribe", "memory"), ("startingOffsets", "earliest")], LIMIT);
    started(source.as_mut()).await;
    let ends = source.buffered().await.unwrap().into_iter().map(|b| b.log_end);
    assert!(ends.eq([EVENTS, EVENTS]), "the ends are known from the start");
    let mut positions = [0, 0];
    while positions != [EVENTS, EVENTS] {
        let busy = if positions[0] < EVENTS { 0 } else { 1 };
        until(source.as_mut(), &id("memory", busy), |b| !b.chunks.is_empty()).await;
        let buffered = source.buffered().await.unwrap();
        let held: u64 = buffered.iter().flat_map(|b| &b.chunks).map(|c| c.bytes).sum();
        assert!(held <= LIMIT + crate::CHUNK_BYTES * 20, "{held} bytes are held");
        let mut batch = BTreeMap::new();
        for b in &buffered {
            let Some(chunk) = b.chunks.first() else { continue };
            assert!(b.chunks.is_sorted_by(|x, y| x.to < y.to));
            batch.insert(b.partition.clone(), OffsetRange::new(b.position, chunk.to));
        }
        let taken = soon("a chunk", source.take(&batch)).await.unwrap();
        for (partition, range) in batch {
            assert_eq!(events_of(&taken, &partition).len() as u64, range.len());
            positions[partition.partition as usize] = range.to;
        }
    }
    // A range larger than the budget is fetched all the same, past other partitions that fill the buffer.
    let whole = ranges(&[("memory", 1, 0, EVENTS)]);
    let taken = soon("a range larger than the budget", source.take(&whole)).await.unwrap();
    assert_eq!(events_of(&taken, &id("memory", 1)).len() as i64, EVENTS);
}

async fn mistakes_are_reported(bench: &mut dyn Bench) {
    let mut source = bench.source(&[("subscribe", "no-such-topic")], PREFETCH);
    let error = soon("bounds", source.bounds()).await.unwrap_err();
    assert!(matches!(error, crate::SourceError::UnknownTopic { .. }), "{error}");

    let mut source = bench.source(&[("subscribe", "order")], PREFETCH);
    let error = soon("a take", source.take(&ranges(&[("order", 0, 0, 1)]))).await.unwrap_err();
    assert!(matches!(error, crate::SourceError::NotStarted { .. }), "{error}");
    source.start(&BTreeMap::from([(id("order", 0), 0)])).await.unwrap();
    let error = soon("a take", source.take(&ranges(&[("order", 0, 0, 20_000)]))).await.unwrap_err();
    assert!(matches!(error, crate::SourceError::PastEnd { latest: 10_000, .. }), "{error}");
    // The source is as good as before.
    let taken = soon("a take", source.take(&ranges(&[("order", 0, 0, 1)]))).await.unwrap();
    assert_eq!(events_of(&taken, &id("order", 0)), expected(0..1));
}
