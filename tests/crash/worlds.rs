//! The folders that scenarios begin with.

use std::cell::OnceCell;
use std::sync::Arc;

use sluicebox_core::SystemClock;
use sluicebox_sources::{EmbeddedLog, Record, TopicOptions};

use crate::support::register_newer;
use crate::world::{Outcome, Program, World};

/// What scenarios begin with. Each is made when the first of them asks for it, so that one case need not wait for all.
#[derive(Default)]
pub struct Worlds {
    log: OnceCell<World>,
    other: OnceCell<World>,
    more: OnceCell<World>,
    many: OnceCell<World>,
    anew: OnceCell<Outcome>,
}

impl Worlds {
    /// A topic that nothing has read.
    pub fn log(&self) -> &World {
        self.log.get_or_init(|| {
            let log = World::new();
            produce(&log, 450, 4);
            log
        })
    }

    /// All of it read, in other batches than those of the pipeline's own options.
    pub fn other(&self) -> &World {
        self.other.get_or_init(|| {
            let other = World::copy_of(self.log());
            other.ok(&run("pipeline.sql", &["--set", "sales_events.maxOffsetsPerTrigger=90"]));
            other
        })
    }

    /// The same, and more events since.
    pub fn more(&self) -> &World {
        self.more.get_or_init(|| {
            let more = World::copy_of(self.other());
            produce(&more, 200, 5);
            more
        })
    }

    /// Tables to be compacted: large files, then small ones.
    pub fn many(&self) -> &World {
        self.many.get_or_init(|| {
            let many = World::copy_of(self.log());
            many.ok(&run("compact.sql", &[]));
            produce(&many, 160, 7);
            many.ok(&run("compact.sql", &["--set", "sales_events.maxOffsetsPerTrigger=40"]));
            many
        })
    }

    /// The tables of a pipeline that had the changed SQL from the start.
    pub fn anew(&self) -> &Outcome {
        self.anew.get_or_init(|| {
            let anew = World::copy_of(self.log());
            anew.ok(&run("changed.sql", &[]));
            without_reports(anew.tables().unwrap())
        })
    }
}

/// A run of `sql` over what is there, with `more` arguments.
pub fn run(sql: &str, more: &[&str]) -> Program {
    Program::sluicebox(&[&["run", sql, "--trigger", "available-now", "--progress", "none"], more].concat())
}

/// Appends events of every kind to the topic.
pub fn produce(world: &World, events: u32, seed: u32) {
    let (events, seed) = (events.to_string(), seed.to_string());
    let rates = ["--late", "0.04", "--duplicate", "0.05", "--invalid", "0.05", "--malformed", "0.02"];
    world.ok(&Program::sluicebox(
        &[&["produce", "sales", "--events", &events, "--seed", &seed], rates.as_slice()].concat(),
    ));
    register_newer(world.path());
    let log = EmbeddedLog::open(world.path().join("data/.log"), Arc::new(SystemClock::new())).unwrap();
    let tombstone = Record { timestamp_ms: Some(1_800_000_000_000), ..Record::default() };
    log.append("sales.events.v1", 1, &[tombstone.clone(), tombstone]).unwrap();
}

/// Fills the topic of `json.sql` with events of every kind.
pub fn produce_notes(world: &World) {
    let log = EmbeddedLog::open(world.path().join("data/.log"), Arc::new(SystemClock::new())).unwrap();
    log.create_topic("notes", 2, TopicOptions::default()).unwrap();
    for partition in 0..2 {
        let records: Vec<Record> = (0..100).map(|n| note(2 * n + i64::from(partition))).collect();
        log.append("notes", partition, &records).unwrap();
    }
}

/// The event number `n`: a row, one with a field that is not listed, a tombstone, half of a JSON text, or one with an id that is a text;
/// and now and then with a key that is none.
fn note(n: i64) -> Record {
    let ts = 1_700_000_000_000 + 30_000 * n;
    let value = match n % 11 {
        1 => Some(format!(r#"{{"id": {n}, "ts": {ts}, "more": {{"of": [{n}]}}}}"#)),
        4 => None,
        6 => Some(format!(r#"{{"id": {n}, "ts": "#)),
        9 => Some(format!(r#"{{"id": "{n}", "ts": {ts}}}"#)),
        _ => Some(format!(
            r#"{{"id": {n}, "ts": {ts}, "tags": ["a", null], "shop": {{"city": "Trier", "height": {n}.5}}}}"#
        )),
    };
    let key = if n % 13 == 0 { vec![0xff] } else { format!("k{n}").into_bytes() };
    Record { key: Some(key.into()), value: value.map(Into::into), timestamp_ms: Some(ts), ..Record::default() }
}

pub fn without_reports(mut outcome: Outcome) -> Outcome {
    outcome.retain(|name, _| !name.starts_with("reports of ") && !name.starts_with("dq/"));
    outcome
}
