//! A topic of the embedded log with events that are easy to write down, and a pipeline run over it by the binary.

use std::path::Path;
use std::sync::Arc;

use sluicebox_core::SystemClock;
use sluicebox_formats::framing::frame;
use sluicebox_registry::store::{NewSchema, RegistryStore};
use sluicebox_samples::avro::{bytes, long};
use sluicebox_sources::{EmbeddedLog, Record, TopicOptions};

use crate::support::{Workspace, within};

const SCHEMA: &str = r#"{"type": "record", "name": "E", "fields": [
    {"name": "id", "type": "long"},
    {"name": "ts", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]},
    {"name": "k", "type": "string"},
    {"name": "v", "type": ["null", "string"]},
    {"name": "n", "type": "long"},
    {"name": "m", "type": "int"},
    {"name": "tags", "type": {"type": "array", "items": "string"}}]}"#;

/// The source of every pipeline here.
const SOURCE: &str = "CREATE TABLE e USING kafka OPTIONS ('subscribe' = 'e', 'startingOffsets' = 'earliest');\n";

/// An event; minutes are since the hour at which the topic begins.
#[derive(Debug, Clone)]
pub struct Event {
    pub id: i64,
    pub minute: Option<i64>,
    pub k: &'static str,
    pub v: Option<&'static str>,
    pub n: i64,
    pub m: i32,
    pub tags: Vec<&'static str>,
    pub key: Option<&'static [u8]>,
}

/// An event that every query here can compute.
pub fn event(id: i64) -> Event {
    Event { id, minute: Some(0), k: "a", v: Some("1"), n: 1, m: 1, tags: vec!["x"], key: None }
}

/// A working directory with the topic `e` of two partitions.
pub struct Topic {
    pub job: Workspace,
    log: EmbeddedLog,
}

impl Topic {
    pub fn new(events: [&[Event]; 2]) -> Self {
        let job = Workspace::new();
        let root = job.path().join("data/.log");
        let log = EmbeddedLog::open(&root, Arc::new(SystemClock::new())).unwrap();
        log.create_topic("e", 2, TopicOptions::default()).unwrap();
        let registry = RegistryStore::open(root.join("registry")).unwrap();
        assert_eq!(registry.register("e-value", &NewSchema::new(SCHEMA)).unwrap().id, 1);
        let topic = Self { job, log };
        for (partition, events) in events.into_iter().enumerate() {
            topic.append(i32::try_from(partition).unwrap(), events);
        }
        topic
    }

    pub fn append(&self, partition: i32, events: &[Event]) {
        let records: Vec<Record> = events.iter().map(record).collect();
        if !records.is_empty() {
            self.log.append("e", partition, &records).unwrap();
        }
    }

    /// The same topic in a directory where nothing has run.
    pub fn again(&self) -> Self {
        let job = Workspace::with_log_of(&self.job);
        let log = EmbeddedLog::open(job.path().join("data/.log"), Arc::new(SystemClock::new())).unwrap();
        Self { job, log }
    }

    /// Runs `sql` over all that is there; the checkpoint must then verify. Gives what the run said.
    pub fn run(&self, sql: &str, more: &[&str]) -> String {
        let output = self.output(sql, more);
        let said = crate::support::text(&output.stderr);
        assert!(output.status.success(), "{sql}: {}\n{said}", output.status);
        self.job.ok(&["checkpoint", "verify", "checkpoints/p"]);
        said
    }

    /// As [`Topic::run`], of a run that must end with `code`.
    pub fn fails(&self, code: i32, sql: &str) -> String {
        let output = self.output(sql, &[]);
        let said = crate::support::text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{sql}: {said}");
        said
    }

    /// As [`Topic::run`], with so much address space; set by `prlimit` (util-linux).
    pub fn run_in(&self, kibibytes: u64, sql: &str, more: &[&str]) -> String {
        let around = ["prlimit".to_owned(), format!("--as={}", kibibytes * 1024)];
        let output = within(&around.each_ref().map(String::as_str), &self.command(sql, more)).output().unwrap();
        let said = crate::support::text(&output.stderr);
        assert!(output.status.success(), "{sql}: {}\n{said}", output.status);
        self.job.ok(&["checkpoint", "verify", "checkpoints/p"]);
        said
    }

    fn output(&self, sql: &str, more: &[&str]) -> std::process::Output {
        self.command(sql, more).output().unwrap()
    }

    fn command(&self, sql: &str, more: &[&str]) -> std::process::Command {
        self.job.write("p.sql", &format!("{SOURCE}{sql}"));
        let mut args = vec!["run", "p.sql", "--trigger", "available-now"];
        args.extend(more);
        self.job.command(&args)
    }

    /// A number of a table, over all batches.
    pub fn fate(&self, table: &str, fate: &str) -> i64 {
        let sum = format!(
            "SELECT CAST(coalesce(sum(value), 0) AS BIGINT) FROM dq.p_metrics \
             WHERE kind = 'table' AND dataset = '{table}' AND metric = '{fate}'"
        );
        self.job.value(&sum)
    }

    pub fn path(&self, below: &str) -> std::path::PathBuf {
        Path::new(self.job.path()).join(below)
    }
}

/// Microseconds since 1970 of the hour at which the topic begins.
pub const START: i64 = 1_700_000_000_000_000 / 3_600_000_000 * 3_600_000_000;

fn record(event: &Event) -> Record {
    let mut body = Vec::new();
    long(event.id, &mut body);
    match event.minute {
        None => long(0, &mut body),
        Some(minute) => {
            long(1, &mut body);
            long(START + minute * 60_000_000, &mut body);
        }
    }
    bytes(event.k.as_bytes(), &mut body);
    match event.v {
        None => long(0, &mut body),
        Some(v) => {
            long(1, &mut body);
            bytes(v.as_bytes(), &mut body);
        }
    }
    long(event.n, &mut body);
    long(i64::from(event.m), &mut body);
    if !event.tags.is_empty() {
        long(i64::try_from(event.tags.len()).unwrap(), &mut body);
        event.tags.iter().for_each(|tag| bytes(tag.as_bytes(), &mut body));
    }
    long(0, &mut body);
    Record { key: event.key.map(Into::into), value: Some(frame(1, &body).into()), ..Record::default() }
}
