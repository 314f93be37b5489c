//! A topic of the embedded log as a sink, read back by the log's own source.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::AsArray;
use sluicebox_core::raw::column;
use sluicebox_core::secret::Pieces;
use sluicebox_core::{Blamed, OffsetRange, PartitionId, Retry, SystemClock};
use sluicebox_sources::{EmbeddedLog, KafkaOptions, LogSource, Source, TopicOptions};

use crate::kafka::{EventFormat, KafkaSink, KafkaSinkOptions, Place, Unknown};
use crate::testing::{QUERY, Subject, conforms, key, owner, rows, schema};
use crate::{Check, LakeError, Outbox, RemoteError, Rows, Sink, Staged};

/// A topic of a log of its own, and the checkpoint whose outbox has what waits for it.
struct Topic {
    dir: tempfile::TempDir,
    name: String,
}

impl Topic {
    fn new(name: &str) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), name: name.to_owned() }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn log(&self) -> EmbeddedLog {
        EmbeddedLog::open(self.root(), Arc::new(SystemClock::new())).unwrap()
    }

    fn sink_with(&self, unknown: Unknown) -> Arc<dyn Sink> {
        let options = KafkaSinkOptions {
            table: "t".to_owned(),
            place: Place::Log { root: self.root(), clock: Arc::new(SystemClock::new()) },
            topic: self.name.clone(),
            properties: BTreeMap::new(),
            secrets: Pieces::default(),
            format: EventFormat::Json,
            key_columns: vec!["region".to_owned()],
            header_columns: vec!["day".to_owned()],
            unknown,
        };
        let outbox = Outbox::new(self.dir.path().join("checkpoint"), "t");
        Arc::new(KafkaSink::try_new(options, schema(), outbox).unwrap())
    }

    fn segment(&self) -> PathBuf {
        self.root().join(&self.name).join("0/00000000000000000000.log")
    }
}

impl Subject for Topic {
    fn sink(&self) -> Arc<dyn Sink> {
        self.sink_with(Unknown::Stop)
    }

    fn seen(&self) -> Vec<i64> {
        let (log, name) = (self.log(), self.name.clone());
        // On a thread of its own, since the suite is in a runtime.
        std::thread::spawn(move || ids(&log, &name)).join().unwrap()
    }
}

/// The ids of the rows that the log's source hands out.
fn ids(log: &EmbeddedLog, topic: &str) -> Vec<i64> {
    if log.topic(topic).unwrap().is_none() {
        return Vec::new();
    }
    let pairs = [("subscribe".to_owned(), topic.to_owned())];
    let options = KafkaOptions::from_options("s", &pairs, &|_| None).unwrap();
    let mut source = LogSource::new("s", log.clone(), options, 1 << 20).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let bounds = source.bounds().await.unwrap();
        let starts: BTreeMap<PartitionId, i64> = bounds.iter().map(|(id, b)| (id.clone(), b.earliest)).collect();
        source.start(&starts).await.unwrap();
        let there = bounds.into_iter().filter(|(_, b)| b.latest > b.earliest);
        let ranges: BTreeMap<PartitionId, OffsetRange> =
            there.map(|(id, b)| (id, OffsetRange::new(b.earliest, b.latest))).collect();
        let mut ids = Vec::new();
        if ranges.is_empty() {
            return ids;
        }
        for piece in source.take(&ranges).await.unwrap().events {
            for value in piece.events.column(column::VALUE).as_binary::<i32>() {
                let row: serde_json::Value = serde_json::from_slice(value.unwrap()).unwrap();
                ids.push(row["id"].as_i64().unwrap());
            }
        }
        ids
    })
}

fn stage(sink: &Arc<dyn Sink>, batch: u64, epoch: u64, first: i64) -> Staged {
    sink.stage(&key(batch, epoch), Rows::All(&[rows(first, &[(Some("NA"), Some(1)); 10])])).unwrap().unwrap()
}

#[tokio::test]
async fn a_topic_of_the_embedded_log_conforms() {
    let made = Cell::new(0);
    conforms(|| {
        made.set(made.get() + 1);
        Topic::new(&format!("out-{}", made.get()))
    })
    .await;
}

#[tokio::test]
async fn whatever_a_crash_leaves_of_a_batch_it_is_there_once_when_it_is_published_again() {
    let whole = Topic::new("out");
    let sink = whole.sink();
    sink.open(&owner(), 1).await.unwrap();
    let first = stage(&sink, 0, 1, 0);
    sink.publish(&key(0, 1), &first, Check::Size).await.unwrap();
    let before = std::fs::read(whole.segment()).unwrap().len();
    let second = stage(&sink, 1, 1, 10);
    // It is gone from the outbox once it is published.
    let Staged::Rows(staged) = &second else { panic!("{second:?}") };
    let waiting = std::fs::read(whole.dir.path().join("checkpoint").join(&staged.path)).unwrap();
    sink.publish(&key(1, 1), &second, Check::Size).await.unwrap();
    let bytes = std::fs::read(whole.segment()).unwrap();
    for cut in (before..bytes.len()).step_by(40).chain([bytes.len() - 1, bytes.len()]) {
        std::fs::write(whole.segment(), &bytes[..cut]).unwrap();
        let path = whole.dir.path().join("checkpoint").join(&staged.path);
        std::fs::write(path, &waiting).unwrap();
        let is_there = cut == bytes.len();
        let seen = if is_there { 20 } else { 10 };
        assert!(whole.seen().into_iter().eq(0..seen), "cut at {cut}, before the next start");
        let next = whole.sink();
        next.open(&owner(), 2).await.unwrap();
        assert_eq!(next.published().await.unwrap(), Some(u64::from(is_there)));
        next.publish(&key(1, 2), &second, Check::Content).await.unwrap();
        assert!(whole.seen().into_iter().eq(0..20), "cut at {cut}");
    }
}

#[tokio::test]
async fn events_have_the_key_the_headers_and_the_batch_of_their_row() {
    let topic = Topic::new("out");
    let sink = topic.sink();
    sink.open(&owner(), 1).await.unwrap();
    let staged = stage(&sink, 7, 1, 0);
    sink.publish(&key(7, 1), &staged, Check::Size).await.unwrap();
    let bytes = std::fs::read(topic.segment()).unwrap();
    let has = |text: &str| bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count();
    assert_eq!(has(&format!("{QUERY}.1.7")), 10);
    assert_eq!(has("1970-01-02"), 20, "a day in the value and in the header");
    // Of the mark of the start and of the batch.
    assert_eq!(has(&format!("sluicebox-{QUERY}-1-t")), 2);
}

#[tokio::test]
async fn a_topic_of_several_partitions_is_refused_with_the_way_out() {
    let topic = Topic::new("out");
    topic.log().create_topic("out", 3, TopicOptions::default()).unwrap();
    let error = topic.sink().open(&owner(), 1).await.unwrap_err();
    assert_eq!(error.retry(), Retry::No);
    assert!(error.to_string().contains("3 partitions"), "{error}");
}

#[tokio::test]
async fn a_batch_that_the_topic_has_forgotten_is_what_the_user_says_it_is() {
    for (unknown, there) in [(Unknown::Publish, 10), (Unknown::Skip, 0), (Unknown::Stop, 0)] {
        let topic = Topic::new("out");
        let killed = topic.sink_with(unknown);
        killed.open(&owner(), 1).await.unwrap();
        let staged = stage(&killed, 0, 1, 0);
        drop(killed);
        topic.log().delete_topic("out").unwrap();
        let next = topic.sink_with(unknown);
        next.open(&owner(), 2).await.unwrap();
        let done = next.publish(&key(0, 2), &staged, Check::Content).await;
        match (unknown, done) {
            (Unknown::Stop, Err(LakeError::Remote(error @ RemoteError::Forgotten { .. }))) => {
                assert!(error.to_string().contains(&format!("{QUERY}.1.0")), "{error}");
            }
            (Unknown::Stop, other) => panic!("{other:?}"),
            (_, done) => {
                done.unwrap();
                assert_eq!(next.published().await.unwrap(), Some(0));
                let last = topic.sink();
                last.open(&owner(), 3).await.unwrap();
                assert_eq!(last.published().await.unwrap(), Some(0), "the number is there again");
            }
        }
        assert_eq!(topic.seen().len(), there, "{unknown:?}");
    }
}

#[tokio::test]
async fn a_partition_that_a_stopped_process_holds_is_waited_for() {
    let topic = Topic::new("out");
    topic.log().create_topic("out", 1, TopicOptions::default()).unwrap();
    let lock = topic.root().join("out/0/@lock");
    let held = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(lock).unwrap();
    held.lock().unwrap();
    let sink = topic.sink();
    let error = sink.open(&owner(), 1).await.unwrap_err();
    assert_eq!(error.retry(), Retry::WithBackoff, "{error}");
    drop(held);
    sink.open(&owner(), 1).await.unwrap();
}

/// A folder that is no log's has nothing that a sink could be opened on.
#[tokio::test]
async fn a_log_that_cannot_be_made_is_told_as_what_it_is() {
    let topic = Topic::new("out");
    std::fs::write(topic.root(), "no folder").unwrap();
    let error = topic.sink().open(&owner(), 1).await.unwrap_err();
    assert!(matches!(error, LakeError::File(_)), "{error}");
}
