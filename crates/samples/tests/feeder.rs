//! The sample of the embedded log: whatever happens to whoever feeds it, a topic holds each event once, in order.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::AsArray;
use sluicebox_core::raw::column;
use sluicebox_core::{Clock, ManualClock, OffsetRange};
use sluicebox_samples::feeder::{Backlog, SampleFeeder};
use sluicebox_samples::sales::{GeneratedEvent, SalesConfig, SalesGenerator};
use sluicebox_samples::sink::{EmbeddedSink, EventSink, fill};
use sluicebox_sources::{EmbeddedLog, KafkaOptions, LogSource, Record, Source};

const BIRTH: i64 = 1_750_000_000_000_000;
const TOPIC: &str = "sales.events.v1";

fn config() -> SalesConfig {
    SalesConfig { backlog: 6_000, ..SalesConfig::new(5, BIRTH) }
}

fn log(dir: &Path, clock: &Arc<ManualClock>) -> EmbeddedLog {
    EmbeddedLog::open(dir.join("log"), Arc::clone(clock) as Arc<dyn Clock>).unwrap()
}

async fn feeder(log: &EmbeddedLog, clock: &Arc<ManualClock>) -> SampleFeeder {
    SampleFeeder::open(log, TOPIC, config(), Arc::clone(clock) as Arc<dyn Clock>).await.unwrap()
}

/// The values of each partition.
async fn read(log: &EmbeddedLog) -> Vec<Vec<Vec<u8>>> {
    let options = [("subscribe".to_owned(), TOPIC.to_owned())];
    let options = KafkaOptions::from_options("read", &options, &|_| None).unwrap();
    let mut source = LogSource::new("read", log.clone(), options, 64 << 20).unwrap();
    let bounds = source.bounds().await.unwrap();
    let ranges: BTreeMap<_, _> = bounds.iter().map(|(id, b)| (id.clone(), OffsetRange::new(0, b.latest))).collect();
    source.start(&bounds.keys().map(|id| (id.clone(), 0)).collect()).await.unwrap();
    let mut out = vec![Vec::new(); bounds.len()];
    for events in source.take(&ranges).await.unwrap().events {
        let values = events.events.column(column::VALUE).as_binary::<i32>();
        let partition = usize::try_from(events.partition.partition).unwrap();
        out[partition].extend(values.iter().map(|v| v.unwrap().to_vec()));
    }
    out
}

/// The values that a stream gives each partition.
fn expected(indexes: impl Iterator<Item = u64>) -> Vec<Vec<Vec<u8>>> {
    let generator = SalesGenerator::new(config()).unwrap();
    let mut out = vec![Vec::new(); 3];
    for index in indexes {
        let event = generator.event(index);
        out[usize::try_from(event.partition).unwrap()].push(event.value);
    }
    out
}

#[tokio::test]
async fn a_backlog_cut_anywhere_is_completed() {
    for cut in [0_u64, 1, 4_096, 5_999] {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(BIRTH));
        let log = log(dir.path(), &clock);
        // A feeder that died: its partitions are unequally far.
        let dead = feeder(&log, &clock).await;
        let generator = dead.generator().unwrap().clone();
        drop(dead);
        let mut sink = EmbeddedSink::open(log.clone(), TOPIC, 9).unwrap();
        assert_eq!(sink.partitions(), 3);
        fill(&generator, &mut sink, 0..cut, |_| {}).unwrap();
        let ahead: Vec<GeneratedEvent> =
            (cut..cut + 300).map(|i| generator.event(i)).filter(|e| e.partition == 1 && e.index < 6_000).collect();
        sink.append(1, &ahead).unwrap();
        // Much later another goes on with it.
        clock.advance(3_600_000_000);
        let mut feeder = feeder(&log, &clock).await;
        assert_eq!(feeder.ensure_backlog().await.unwrap(), Backlog::Ours);
        assert_eq!(feeder.ensure_backlog().await.unwrap(), Backlog::Ours);
        assert!(read(&log).await == expected(0..6_000), "cut at {cut}");
    }
}

#[tokio::test]
async fn a_torn_append_is_made_good() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(BIRTH));
    let written = log(dir.path(), &clock);
    assert_eq!(feeder(&written, &clock).await.ensure_backlog().await.unwrap(), Backlog::Ours);
    drop(written);
    let segment = dir.path().join("log").join(TOPIC).join("2");
    let segment = std::fs::read_dir(segment).unwrap().map(|e| e.unwrap().path());
    let segment = segment.filter(|p| p.extension().is_some_and(|e| e == "log")).max().unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&segment).unwrap();
    file.set_len(file.metadata().unwrap().len() - 70_000).unwrap();
    let log = log(dir.path(), &clock);
    assert!(read(&log).await != expected(0..6_000));
    assert_eq!(feeder(&log, &clock).await.ensure_backlog().await.unwrap(), Backlog::Ours);
    assert!(read(&log).await == expected(0..6_000));
}

#[tokio::test]
async fn live_events_come_when_their_time_does_and_those_of_downtime_never() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(BIRTH));
    let log = log(dir.path(), &clock);
    let mut first = feeder(&log, &clock).await;
    first.ensure_backlog().await.unwrap();
    let run = async |feeder: &mut SampleFeeder, count: i64| {
        let wait = async {
            while (0..3).map(|p| log.bounds(TOPIC, p).unwrap().latest).sum::<i64>() < count {
                tokio::task::yield_now().await;
            }
        };
        feeder.live(wait).await.unwrap();
    };
    // 50 a second: event 6,000 + k at k / 50 seconds.
    clock.advance(4_000_001);
    run(&mut first, 6_201).await;
    assert!(read(&log).await == expected(0..6_201));
    drop(first);
    // Five seconds away: made up for.
    clock.advance(5_000_000);
    let mut second = feeder(&log, &clock).await;
    run(&mut second, 6_451).await;
    assert!(read(&log).await == expected(0..6_451));
    drop(second);
    // An hour away: on from now.
    clock.advance(3_600_000_000);
    let now = 6_000 + 3_609 * 50;
    let mut third = feeder(&log, &clock).await;
    run(&mut third, 6_452).await;
    let after: Vec<u64> = (0..6_451).chain(now - 2..=now).collect();
    let got = read(&log).await;
    assert!(got == expected(after.into_iter()), "{}", got.iter().map(Vec::len).sum::<usize>());
}

#[tokio::test]
async fn of_two_one_feeds_and_the_other_takes_over() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(BIRTH));
    let log = log(dir.path(), &clock);
    let (mut one, mut two) = (feeder(&log, &clock).await, feeder(&log, &clock).await);
    assert_eq!(one.ensure_backlog().await.unwrap(), Backlog::Ours);
    assert_eq!(two.ensure_backlog().await.unwrap(), Backlog::Others);
    drop(one);
    assert_eq!(two.ensure_backlog().await.unwrap(), Backlog::Ours);
    assert!(read(&log).await == expected(0..6_000));
}

#[tokio::test]
async fn a_topic_that_somebody_else_made_is_left_alone_and_strangers_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(BIRTH));
    let log = log(dir.path(), &clock);
    EmbeddedSink::open(log.clone(), TOPIC, 3).unwrap();
    assert_eq!(feeder(&log, &clock).await.ensure_backlog().await.unwrap(), Backlog::Foreign);
    log.delete_topic(TOPIC).unwrap();

    assert_eq!(feeder(&log, &clock).await.ensure_backlog().await.unwrap(), Backlog::Ours);
    let stranger = Record { timestamp_ms: Some(BIRTH / 1000), value: None, ..Record::default() };
    log.append(TOPIC, 0, &vec![stranger; 2_500]).unwrap();
    assert_eq!(feeder(&log, &clock).await.ensure_backlog().await.unwrap(), Backlog::Ours);
    let count: usize = (0..3).map(|p| usize::try_from(log.bounds(TOPIC, p).unwrap().latest).unwrap()).sum();
    assert_eq!(count, 8_500, "nothing was written twice");
}
