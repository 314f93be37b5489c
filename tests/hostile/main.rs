//! What a producer, or whoever registers schemas, can send to make a run swell: a few bytes that become many. Each case is a process
//! that may have two gigabytes of addresses and keeps below 240 MB of memory of its own, and nothing is missing at its end.
//!
//! - `rows`: events of a few bytes whose rows are large, by defaults and by NULL in many columns.
//! - `large`: events that are large.
//! - `replay`: a batch that was cut by what its rows take, killed and replayed.
//!
//! Addresses are limited by `ulimit -v` of `sh`; memory is what Linux says of the process, looked at after each batch: the most that was
//! resident (`VmHWM`) without the pages of files (`RssFile`). Those are the binary's, which Linux may drop, and depend on how it was built.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

#[path = "../support/mod.rs"]
mod support;

mod large;
#[cfg(feature = "faults")]
mod replay;
mod rows;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use sluicebox_core::SystemClock;
use sluicebox_formats::framing::frame;
use sluicebox_registry::store::{NewSchema, RegistryStore};
use sluicebox_sources::{EmbeddedLog, Record, TopicOptions};

use support::{Workspace, within};

/// Kilobytes of addresses.
const ADDRESSES: u64 = 2_000_000;
/// Kilobytes of memory that no input passes.
const MEMORY: u64 = 240_000;

const PIPELINE: &str = "
CREATE TABLE src USING kafka OPTIONS ('subscribe' = 't', 'startingOffsets' = 'earliest');
CREATE STREAMING TABLE bronze_t LOCATION 'data/bronze/t' AS SELECT * FROM STREAM src;
";

/// The schema of all writers: one number.
const WRITER: &str = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#;

/// A project whose topic `t` has one partition, and whose reader schema has `fields` beside the writers' number.
struct Bench {
    job: Workspace,
    log: EmbeddedLog,
    /// The id of [`WRITER`].
    id: i32,
}

impl Bench {
    fn new(fields: &str) -> Self {
        let reader = (!fields.is_empty()).then(|| WRITER.replace("]}", &format!(",{fields}]}}")));
        Self::between(WRITER, reader.as_deref())
    }

    /// Events of `writer`, read by `reader`, or by the same.
    fn between(writer: &str, reader: Option<&str>) -> Self {
        let job = Workspace::new();
        job.write("p.sql", PIPELINE);
        let log = EmbeddedLog::open(job.path().join("data/.log"), Arc::new(SystemClock::new())).unwrap();
        log.create_topic("t", 1, TopicOptions::default()).unwrap();
        let registry = RegistryStore::open(job.path().join("data/.log/registry")).unwrap();
        let id = registry.register("t-value", &NewSchema::new(writer)).unwrap().id;
        if let Some(reader) = reader {
            registry.register("t-value", &NewSchema::new(reader)).unwrap();
        }
        Self { job, log, id }
    }

    /// Appends `count` events of six bytes.
    fn events(&self, count: usize) {
        self.values(count, &[14]);
    }

    /// Appends `count` events with that body.
    fn values(&self, count: usize, body: &[u8]) {
        self.append(&vec![Record { value: Some(frame(self.id, body).into()), ..Record::default() }; count]);
    }

    fn append(&self, records: &[Record]) {
        self.log.append("t", 0, records).unwrap();
    }

    /// A run that reads all there is.
    fn command(&self, more: &[&str]) -> Command {
        self.job.command(&[&["run", "p.sql", "--trigger", "available-now", "--progress", "json"], more].concat())
    }

    /// Lets it run with few addresses; it must come to its end, and keep below [`MEMORY`]. Gives how many batches there were.
    fn run(&self, more: &[&str]) -> usize {
        let limit = format!("ulimit -v {ADDRESSES} && exec \"$@\"");
        let mut command = within(&["sh", "-c", &limit, "sh"], &self.command(more));
        let said = std::fs::File::create(self.job.path().join("said")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(said).spawn().unwrap();
        let (mut peak, mut batches) = (0, 0);
        // It prints a line after each batch.
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            peak = peak.max(memory(child.id()));
            batches += usize::from(line.unwrap().starts_with('{'));
        }
        let status = child.wait().unwrap();
        let said = std::fs::read_to_string(self.job.path().join("said")).unwrap();
        assert!(status.success(), "{status}, after {batches} batches and {peak} kB: {said}");
        assert!(peak > 0, "nobody looked at its memory");
        println!("{peak} kB, {batches} batches");
        assert!(peak < MEMORY, "{peak} kB at its peak, in {batches} batches");
        batches
    }

    /// That each of `count` events is a row once, and that what the checkpoint says is there.
    fn has_rows(&self, count: i64) {
        let sql = "SELECT count(*), count(DISTINCT _offset), min(_offset), max(_offset), sum(a) FROM bronze.t";
        let expected = format!("{count},{count},0,{},{}", count - 1, 7 * count);
        assert_eq!(self.job.rows(sql), [expected]);
        self.job.ok(&["checkpoint", "verify", "checkpoints/p"]);
    }
}

/// The most memory of its own that the process had so far, in kilobytes; 0 when it is over.
fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kilobytes = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    let peak = kilobytes("VmHWM:").unwrap_or(0);
    peak.saturating_sub(kilobytes("RssFile:").unwrap_or(0))
}

/// `count` fields of a type that the writers lack, NULL by default.
fn nullable(count: usize) -> String {
    let field = |n: usize| format!(r#"{{"name":"c{n}","type":["null","string"],"default":null}}"#);
    (0..count).map(field).collect::<Vec<_>>().join(",")
}

/// A field with a default of so many bytes.
fn with_default(bytes: usize) -> String {
    format!(r#"{{"name":"s","type":"string","default":"{}"}}"#, "x".repeat(bytes))
}
