#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod files;
mod transactions;

use std::fs::OpenOptions;
use std::io::Write;

use sluicebox_core::ManualClock;
use tempfile::TempDir;

use super::*;
use crate::conformance::Bench;
use crate::conformance::logs::{self, Batches};
use crate::{KafkaOptions, Source};

struct LogBench {
    log: EmbeddedLog,
    _dir: TempDir,
}

impl LogBench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { log: open(&dir), _dir: dir }
    }
}

fn open(dir: &TempDir) -> EmbeddedLog {
    EmbeddedLog::open_with(dir.path().join("log"), Arc::new(ManualClock::at(0)), Fsync::OnFlush).unwrap()
}

fn options(pairs: &[(&str, &str)]) -> KafkaOptions {
    let pairs: Vec<(String, String)> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    KafkaOptions::from_options("s", &pairs, &|_| None).unwrap()
}

impl Bench for LogBench {
    fn create(&mut self, topic: &str, partitions: i32) {
        self.log.create_topic(topic, partitions, TopicOptions::default()).unwrap();
    }

    fn append(&mut self, topic: &str, partition: i32, records: Vec<Record>) {
        self.log.append(topic, partition, &records).unwrap();
    }

    fn source(&self, pairs: &[(&str, &str)], prefetch_bytes: u64) -> Box<dyn Source> {
        Box::new(LogSource::new("s", self.log.clone(), options(pairs), prefetch_bytes).unwrap())
    }
}

impl Batches for LogBench {
    fn append_batch(&mut self, topic: &str, partition: i32, mut batch: Vec<u8>) {
        let end = self.log.bounds(topic, partition).unwrap().latest;
        batch[..8].copy_from_slice(&end.to_be_bytes());
        let dir = self.log.partition_dir(topic, partition);
        let last = segment::list(&dir).unwrap().last().copied().unwrap_or(end);
        let mut file = OpenOptions::new().create(true).append(true).open(segment::path(&dir, last)).unwrap();
        file.write_all(&batch).unwrap();
    }
}

#[tokio::test]
async fn it_conforms() {
    logs::all(&mut LogBench::new()).await;
}
