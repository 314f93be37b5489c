//! Crashes, several writers, segments, retention, damage.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use sluicebox_core::OffsetRange;

use super::*;
use crate::conformance::{deleted, events_of, expected, id, numbered, ranges, soon, until};
use crate::{Bounds, SourceError, Taken};

fn small_segments(retention_bytes: Option<u64>, retention_ms: Option<i64>) -> TopicOptions {
    TopicOptions { segment_bytes: 2_000, retention_bytes, retention_ms, ..TopicOptions::default() }
}

fn segments(log: &EmbeddedLog) -> Vec<PathBuf> {
    let dir = log.partition_dir("t", 0);
    segment::list(&dir).unwrap().into_iter().map(|base| segment::path(&dir, base)).collect()
}

fn append_in_tens(log: &EmbeddedLog, range: std::ops::Range<i64>) {
    for from in range.clone().step_by(10) {
        assert_eq!(log.append("t", 0, &numbered(from..(from + 10).min(range.end))).unwrap(), from);
    }
}

fn source(log: &EmbeddedLog, pairs: &[(&str, &str)]) -> LogSource {
    LogSource::new("s", log.clone(), options(pairs), 1 << 20).unwrap()
}

async fn started_at(log: &EmbeddedLog, position: i64, pairs: &[(&str, &str)]) -> LogSource {
    let mut source = source(log, pairs);
    source.start(&BTreeMap::from([(id("t", 0), position)])).await.unwrap();
    source
}

async fn take(source: &mut LogSource, from: i64, to: i64) -> crate::Result<Taken> {
    soon("a take", source.take(&ranges(&[("t", 0, from, to)]))).await
}

#[tokio::test]
async fn segments_are_read_across_and_resumed_within() {
    let bench = LogBench::new();
    bench.log.create_topic("t", 1, small_segments(None, None)).unwrap();
    append_in_tens(&bench.log, 0..1_000);
    assert!(segments(&bench.log).len() > 10);
    for from in [0, 1, 37, 500, 999] {
        let mut source = started_at(&bench.log, from, &[("subscribe", "t")]).await;
        let taken = take(&mut source, from, 1_000).await.unwrap();
        assert_eq!(events_of(&taken, &id("t", 0)), expected(from..1_000));
    }
}

#[tokio::test]
async fn what_a_crashed_writer_left_is_passed_over_and_cut_off() {
    let bench = LogBench::new();
    bench.log.create_topic("t", 1, TopicOptions::default()).unwrap();
    append_in_tens(&bench.log, 0..20);
    let path = segments(&bench.log).remove(0);
    let mut whole = Vec::new();
    std::fs::File::open(&path).unwrap().read_to_end(&mut whole).unwrap();
    let second = whole.len() / 2;

    let mut source = started_at(&bench.log, 0, &[("subscribe", "t")]).await;
    take(&mut source, 0, 20).await.unwrap();
    let mut next = 20;
    // A batch cut short anywhere, zeros, and garbage that claims to be long.
    for torn in [
        &whole[second..second + 5],
        &whole[second..second + 70],
        &whole[second..whole.len() - 1],
        &[0; 200],
        &[0xff; 90],
    ] {
        OpenOptions::new().append(true).open(&path).unwrap().write_all(torn).unwrap();
        assert_eq!(bench.log.bounds("t", 0).unwrap(), Bounds { earliest: 0, latest: next });
        // Another process comes upon it, and this one's reader goes on.
        let other = EmbeddedLog::open(bench.log.root(), Arc::new(ManualClock::at(0))).unwrap();
        assert_eq!(other.append("t", 0, &numbered(next..next + 1)).unwrap(), next);
        let taken = take(&mut source, next, next + 1).await.unwrap();
        assert_eq!(events_of(&taken, &id("t", 0)), expected(next..next + 1));
        next += 1;
    }
    append_in_tens(&bench.log, next..next + 10);
    let mut fresh = started_at(&bench.log, 0, &[("subscribe", "t")]).await;
    let taken = take(&mut fresh, 0, next + 10).await.unwrap();
    assert_eq!(events_of(&taken, &id("t", 0)), expected(0..next + 10));
}

#[tokio::test]
async fn writers_and_readers_share_a_partition() {
    const WRITERS: i64 = 4;
    const EACH: i64 = 150;
    let bench = LogBench::new();
    bench.log.create_topic("t", 1, small_segments(None, None)).unwrap();
    let mut source = started_at(&bench.log, 0, &[("subscribe", "t")]).await;
    let root = bench.log.root().to_owned();
    let writers: Vec<_> = (0..WRITERS)
        .map(|w| {
            let root = root.clone();
            std::thread::spawn(move || {
                // A log of its own: what a process knows of the others is only what is in the files.
                let log = EmbeddedLog::open_with(root, Arc::new(ManualClock::at(0)), Fsync::OnFlush).unwrap();
                for i in 0..EACH {
                    log.append("t", 0, &numbered(w * EACH + i..w * EACH + i + 1)).unwrap();
                }
            })
        })
        .collect();
    let taken = {
        until(&mut source, &id("t", 0), |b| b.end() == WRITERS * EACH).await;
        take(&mut source, 0, WRITERS * EACH).await.unwrap()
    };
    writers.into_iter().for_each(|w| w.join().unwrap());
    let events = events_of(&taken, &id("t", 0));
    assert!(events.iter().map(|e| e.offset).eq(0..WRITERS * EACH));
    let mut keys: Vec<_> = events.into_iter().map(|e| e.record.value.unwrap()).collect();
    keys.sort();
    let mut wanted: Vec<_> = numbered(0..WRITERS * EACH).into_iter().map(|r| r.value.unwrap()).collect();
    wanted.sort();
    assert_eq!(keys, wanted, "every record once");
}

#[tokio::test]
async fn retention_deletes_whole_segments_and_what_is_lost_is_said() {
    let bench = LogBench::new();
    bench.log.create_topic("t", 1, small_segments(Some(6_000), None)).unwrap();
    append_in_tens(&bench.log, 0..1_000);
    let held = bench.log.bounds("t", 0).unwrap();
    assert!(held.earliest > 0 && held.latest == 1_000, "{held:?}");

    let mut strict = started_at(&bench.log, 5, &[("subscribe", "t")]).await;
    let error = take(&mut strict, 5, 1_000).await.unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, SourceError::DataLoss { lost, .. } if lost == OffsetRange::new(5, held.earliest)));
    assert!(
        message.contains("t/0") && message.contains("failOnDataLoss") && message.contains("--full-refresh"),
        "{message}"
    );

    let mut lax = started_at(&bench.log, 5, &[("subscribe", "t"), ("failOnDataLoss", "false")]).await;
    // A range that is wholly lost, one that is lost in part, and one that is all there.
    let gone = take(&mut lax, 5, 7).await.unwrap();
    assert_eq!(gone.lost, [deleted(5, 7)]);
    assert!(gone.events.is_empty() && gone.gap_offsets.is_empty());
    let partly = take(&mut lax, 7, held.earliest + 5).await.unwrap();
    assert_eq!(partly.lost, [deleted(7, held.earliest)]);
    assert_eq!(events_of(&partly, &id("t", 0)), expected(held.earliest..held.earliest + 5));
    let whole = take(&mut lax, held.earliest + 5, 1_000).await.unwrap();
    assert!(whole.lost.is_empty());
    assert_eq!(events_of(&whole, &id("t", 0)), expected(held.earliest + 5..1_000));
}

#[test]
fn retention_by_age_looks_at_the_records_times() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(1_700_000_000_000_000));
    let log = EmbeddedLog::open_with(dir.path(), clock.clone(), Fsync::OnFlush).unwrap();
    log.create_topic("t", 1, small_segments(None, Some(1_000))).unwrap();
    append_in_tens(&log, 0..500);
    assert_eq!(log.bounds("t", 0).unwrap().earliest, 0, "the records are of now");
    clock.advance(10_000_000);
    append_in_tens(&log, 500..600);
    let earliest = log.bounds("t", 0).unwrap().earliest;
    assert!((450..600).contains(&earliest), "{earliest}");
}

#[tokio::test]
async fn the_end_is_known_though_the_buffer_is_full() {
    let mut bench = LogBench::new();
    bench.create("t", 1);
    let large = |from| {
        let with = |r: Record| Record { value: Some(vec![1; 10_000].into()), ..r };
        numbered(from..from + 300).into_iter().map(with).collect::<Vec<_>>()
    };
    bench.log.append("t", 0, &large(0)).unwrap();
    // The buffer takes 1 MiB of the 3.
    let mut source = started_at(&bench.log, 0, &[("subscribe", "t")]).await;
    until(&mut source, &id("t", 0), |b| b.log_end == 300 && b.end() > 0).await;
    bench.log.append("t", 0, &large(300)).unwrap();
    until(&mut source, &id("t", 0), |b| b.log_end == 600).await;
    assert!(source.buffered().await.unwrap()[0].end() < 300);
}

#[tokio::test]
async fn damage_in_the_middle_stops_reader_and_writer() {
    let bench = LogBench::new();
    bench.log.create_topic("t", 1, TopicOptions::default()).unwrap();
    append_in_tens(&bench.log, 0..50);
    let mut source = source(&bench.log, &[("subscribe", "t")]);
    source.bounds().await.unwrap();
    let path = segments(&bench.log).remove(0);
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(100)).unwrap();
    file.write_all(b"\xde\xad").unwrap();
    source.start(&BTreeMap::from([(id("t", 0), 0)])).await.unwrap();
    let wait = async {
        loop {
            if let Err(error) = source.buffered().await {
                return error;
            }
            source.changed().await;
        }
    };
    let error = soon("the damage", wait).await;
    assert!(matches!(&error, SourceError::Damaged { path: p, byte: 0, .. } if *p == path), "{error}");
    let other = EmbeddedLog::open(bench.log.root(), Arc::new(ManualClock::at(0))).unwrap();
    assert!(matches!(other.append("t", 0, &numbered(50..51)).unwrap_err(), SourceError::Damaged { .. }));
}

#[tokio::test]
async fn a_topic_made_anew_has_another_identity_and_refuses_old_positions() {
    let mut bench = LogBench::new();
    bench.create("t", 1);
    append_in_tens(&bench.log, 0..30);
    let mut source = source(&bench.log, &[("subscribe", "t")]);
    let before = source.identity().await.unwrap();
    bench.log.delete_topic("t").unwrap();
    assert!(matches!(source.identity().await.unwrap_err(), SourceError::UnknownTopic { .. }));
    bench.create("t", 1);
    let after = source.identity().await.unwrap();
    assert_eq!(before.log, after.log);
    assert_ne!(before.topics, after.topics);
    let mut source = self::source(&bench.log, &[("subscribe", "t")]);
    let error = source.start(&BTreeMap::from([(id("t", 0), 30)])).await.unwrap_err();
    assert!(matches!(error, SourceError::PastEnd { offset: 30, latest: 0, .. }), "{error}");
}

#[tokio::test]
async fn partitions_added_while_running_are_found() {
    let mut bench = LogBench::new();
    bench.create("t", 1);
    let mut source = source(&bench.log, &[("subscribe", "t"), ("startingOffsets", "earliest")]);
    let first = source.starting_offsets().await.unwrap();
    source.start(&first).await.unwrap();
    bench.log.add_partitions("t", 2).unwrap();
    bench.log.append("t", 1, &numbered(0..3)).unwrap();
    let bounds = source.bounds().await.unwrap();
    assert_eq!(bounds.len(), 2);
    source.start(&BTreeMap::from([(id("t", 0), 0), (id("t", 1), bounds[&id("t", 1)].earliest)])).await.unwrap();
    let taken = soon("the new partition", source.take(&ranges(&[("t", 1, 0, 3)]))).await.unwrap();
    assert_eq!(events_of(&taken, &id("t", 1)), expected(0..3));
}

#[test]
fn wrong_use_is_told() {
    let bench = LogBench::new();
    let log = &bench.log;
    log.create_topic("t", 2, TopicOptions::default()).unwrap();
    for (result, part) in [
        (log.create_topic("a/b", 1, TopicOptions::default()).map(|_| 0), "249"),
        (log.create_topic("..", 1, TopicOptions::default()).map(|_| 0), "249"),
        (log.create_topic("z", 0, TopicOptions::default()).map(|_| 0), "at least 1"),
        (log.create_topic("t", 3, TopicOptions::default()).map(|_| 0), "2 partitions, not 3"),
        (log.append("nope", 0, &[]), "does not exist"),
        (log.append("t", 2, &[]), "0 to 1"),
    ] {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
    let twice = Record { headers: vec![("h".into(), None), ("h".into(), None)], ..Record::default() };
    assert!(log.append("t", 0, &[twice]).unwrap_err().to_string().contains("two headers 'h'"));
    assert_eq!(log.append("t", 0, &[]).unwrap(), 0);
    let again = log.create_topic("t", 2, TopicOptions::default()).unwrap();
    assert_eq!(Some(again), log.topic("t").unwrap());
}

#[test]
fn a_damaged_description_stops_with_the_files_name() {
    let bench = LogBench::new();
    bench.log.create_topic("t", 1, TopicOptions::default()).unwrap();
    let path = bench.log.topic_dir("t").join("@topic.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let other = text.replace("\"partitions\": 1", "\"partitions\": 9");
    assert_ne!(text, other);
    std::fs::write(&path, other).unwrap();
    let message = bench.log.topics().unwrap_err().to_string();
    assert!(message.contains("@topic.json") && message.contains("checksum"), "{message}");
    std::fs::write(&path, text.replacen("v1", "v9", 1)).unwrap();
    let message = bench.log.topics().unwrap_err().to_string();
    assert!(message.contains("@topic.json") && message.contains("newer Sluicebox"), "{message}");
    // The log keeps its id.
    let again = EmbeddedLog::open(bench.log.root(), Arc::new(ManualClock::at(0))).unwrap();
    assert_eq!(again.id(), bench.log.id());
}
