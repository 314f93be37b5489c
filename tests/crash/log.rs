//! The embedded log and the embedded registry, written by a process of its own that is crashed.
//!
//! What was acknowledged must be there afterwards, in order and once where it was acknowledged; what was not may be.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::AsArray;
use bytes::Bytes;
use sluicebox_core::raw::column;
use sluicebox_core::{OffsetRange, PartitionId, SystemClock};
use sluicebox_registry::store::{NewSchema, RegistryStore};
use sluicebox_sources::{EmbeddedLog, KafkaOptions, LogSource, Record, Source, TopicOptions};

const ACKNOWLEDGED: &str = "acknowledged";
const APPENDS: usize = 8;
/// The topics of `topic.sql`.
const WRITTEN: [&str; 2] = ["sent", "counted"];

fn open(dir: &Path) -> EmbeddedLog {
    EmbeddedLog::open(dir.join("data/.log"), Arc::new(SystemClock::new())).unwrap()
}

fn schema(version: usize) -> NewSchema {
    let fields: Vec<String> =
        (0..version).map(|n| format!(r#"{{"name": "f{n}", "type": ["null", "int"], "default": null}}"#)).collect();
    NewSchema::new(format!(r#"{{"type": "record", "name": "R", "fields": [{}]}}"#, fields.join(",")))
}

/// Not a test: the process that writes, started by [`crate::world::World::run`]. What it has done it goes on from.
#[test]
#[ignore = "started by the other tests"]
fn writer() {
    if std::env::var_os("SLUICEBOX_CRASH_WRITER").is_none() {
        return;
    }
    let dir = std::env::current_dir().unwrap();
    let acknowledge = |what: &str| {
        let path = dir.join(ACKNOWLEDGED);
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(format!("{what}\n").as_bytes()).unwrap();
    };
    let done = acknowledged(&dir);
    let log = open(&dir);
    let registry = RegistryStore::open(dir.join("data/.registry")).unwrap();
    for version in 1..4 {
        registry.register("kept-value", &schema(version)).unwrap();
        acknowledge(&format!("schema {version}"));
    }
    let small = TopicOptions { segment_bytes: 400, ..TopicOptions::default() };
    let partitions = log.topic("kept").unwrap().map_or(2, |t| t.partitions);
    log.create_topic("kept", partitions, small.clone()).unwrap();
    log.create_topic("short", 1, TopicOptions { retention_bytes: Some(300), ..small }).unwrap();
    for at in 0..APPENDS {
        if done.contains(&format!("append {at}")) {
            continue;
        }
        let records: Vec<Record> =
            (0..5).map(|n| Record { value: Some(Bytes::from(format!("{at}-{n}"))), ..Record::default() }).collect();
        log.append("kept", i32::try_from(at % 2).unwrap(), &records).unwrap();
        log.append("short", 0, &records).unwrap();
        acknowledge(&format!("append {at}"));
    }
    log.add_partitions("kept", 3).unwrap();
    acknowledge("partitions");
    log.create_topic("gone", 1, TopicOptions::default()).unwrap();
    log.append("gone", 0, &[Record { value: Some(Bytes::from_static(b"x")), ..Record::default() }]).unwrap();
    log.delete_topic("gone").unwrap();
    acknowledge("deleted");
}

fn acknowledged(dir: &Path) -> Vec<String> {
    std::fs::read_to_string(dir.join(ACKNOWLEDGED)).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Checks the log and the registry in `dir` against what was acknowledged there.
pub fn check(dir: &Path) -> Result<(), String> {
    let done = acknowledged(dir);
    let has = |what: &str| done.iter().any(|d| d == what);
    let log = open(dir);
    let registry = RegistryStore::open(dir.join("data/.registry")).map_err(|e| e.to_string())?;
    for version in (1..4).filter(|v| has(&format!("schema {v}"))) {
        let found = registry.register("kept-value", &schema(version)).map_err(|e| e.to_string())?;
        if found.version != i32::try_from(version).unwrap() {
            return Err(format!("schema {version} was acknowledged and is now version {}", found.version));
        }
    }
    if has("partitions") && log.topic("kept").map_err(|e| e.to_string())?.is_none_or(|t| t.partitions != 3) {
        return Err("the third partition was acknowledged".to_owned());
    }
    let appends: Vec<usize> = (0..APPENDS).filter(|at| has(&format!("append {at}"))).collect();
    if appends.is_empty() {
        return Ok(());
    }
    let values = read(&log, "kept")?;
    for at in appends {
        let values = values.get(&i32::try_from(at % 2).unwrap()).map(Vec::as_slice).unwrap_or_default();
        let wanted: Vec<String> = (0..5).map(|n| format!("{at}-{n}")).collect();
        // An append that was not acknowledged is made again: its records may be there twice.
        if !values.windows(wanted.len()).any(|window| window == wanted) {
            return Err(format!("append {at} was acknowledged and is not there; there is {values:?}"));
        }
    }
    Ok(())
}

/// What readers see in the topics that tables are written to, as `topic/<name>`.
pub fn written(dir: &Path) -> Result<BTreeMap<String, Vec<String>>, String> {
    WRITTEN.iter().map(|topic| Ok((format!("topic/{topic}"), values(dir, topic)?))).collect()
}

/// The values that readers see in a topic of the log in `dir`; none if it is not there.
fn values(dir: &Path, topic: &str) -> Result<Vec<String>, String> {
    if !dir.join("data/.log").join(topic).is_dir() {
        return Ok(Vec::new());
    }
    let log = open(dir);
    match log.topic(topic).map_err(|e| e.to_string())? {
        Some(_) => Ok(read(&log, topic)?.into_values().flatten().collect()),
        None => Ok(Vec::new()),
    }
}

/// The values of a topic, by partition, as the log's source hands them out.
fn read(log: &EmbeddedLog, topic: &str) -> Result<BTreeMap<i32, Vec<String>>, String> {
    let pairs = [("subscribe", topic), ("startingOffsets", "earliest")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let options = KafkaOptions::from_options("e", &pairs, &|_| None).map_err(|e| e.to_string())?;
    let mut source = LogSource::new("e", log.clone(), options, 1 << 20).map_err(|e| e.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let bounds = source.bounds().await.map_err(|e| e.to_string())?;
        let starts: BTreeMap<PartitionId, i64> = bounds.iter().map(|(p, b)| (p.clone(), b.earliest)).collect();
        if let Some((p, b)) = bounds.iter().find(|(_, b)| b.earliest != 0) {
            return Err(format!("{p} begins at {}", b.earliest));
        }
        source.start(&starts).await.map_err(|e| e.to_string())?;
        let ranges: BTreeMap<PartitionId, OffsetRange> = bounds
            .into_iter()
            .filter(|(_, b)| b.latest > 0)
            .map(|(p, b)| (p, OffsetRange { from: 0, to: b.latest }))
            .collect();
        if ranges.is_empty() {
            return Ok(BTreeMap::new());
        }
        let taken = source.take(&ranges).await.map_err(|e| e.to_string())?;
        let mut found: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        for events in taken.events {
            let values = events.events.column(column::VALUE).as_binary::<i32>();
            let values = values.iter().map(|v| v.unwrap_or_default().escape_ascii().to_string());
            found.entry(events.partition.partition).or_default().extend(values);
        }
        Ok(found)
    })
}
