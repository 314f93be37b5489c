//! A state file of any bytes, in place of the one that the commit names. It is refused before Arrow decodes any byte: Arrow trusts the
//! lengths in a file, and would allocate as much as they say.
//!
//! Input: the operator (even: dedup, odd: window aggregate), then the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use sluicebox_checkpoint::Checkpoint;
use sluicebox_checkpoint::records::StateFile;
use sluicebox_core::ManualClock;
use sluicebox_durable::checksum;
use sluicebox_pipeline::{bind, parse};
use sluicebox_runtime::ClauseSettings;
use sluicebox_runtime::graph::Runner;

use crate::input::{array, folder};
use crate::sql::columns;

/// As a run writes them, the byte of the operator before each.
const DEDUP: &[u8] = include_bytes!("../corpus/state/dedup");
const WINDOW: &[u8] = include_bytes!("../corpus/state/window");
const GOLD: &str = include_str!("../../../sql/gold_revenue.sql");

fn runner() -> Runner {
    let pipeline = parse("gold.sql", GOLD, &[]).unwrap();
    let graph = bind::bind(pipeline, &BTreeMap::from([("sales_events".to_owned(), columns())])).unwrap();
    let settings = |_: &BTreeSet<String>| ClauseSettings { idle_timeout_micros: 0, max_future_micros: i64::MAX };
    Runner::try_new(&graph, bind::functions::session_state(1), 0, Arc::new(ManualClock::at(0)), settings).unwrap()
}

pub(crate) fn run(mut input: &[u8]) {
    let [what] = array(&mut input);
    let (operator, right) = match what % 2 {
        0 => ("silver_sales.dedup.0", &DEDUP[1..]),
        _ => ("gold_revenue_5m.aggregate.0", &WINDOW[1..]),
    };
    let dir = folder();
    fs::write(dir.path().join("f"), input).unwrap();
    let file = StateFile { path: "f".to_owned(), bytes: right.len() as u64, checksum: checksum(right) };
    let read = Checkpoint::new(dir.path()).read_state(operator, &file);
    assert_eq!(read.is_ok(), input == right, "what is read is what was committed");
    if let Ok(batches) = read {
        let mut runner = runner();
        runner.restore(operator, batches).unwrap();
        assert!(!runner.snapshot(operator).unwrap().is_empty());
    }
}
