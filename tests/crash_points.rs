//! Stopped at each named fault point, and started again, a run leaves the tables that an undisturbed one leaves.
//!
//! The points are those that an undisturbed run reaches (`SLUICEBOX_FAULT_LOG`); each is tried the first, a middle and the
//! last time that it is reached, by `SLUICEBOX_CRASH_AT`, which ends the process as SIGKILL would.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use support::{Workspace, assert_same};

/// Points without which the suite would not be one: a run must reach them.
const EXPECTED: [&str; 12] = [
    "offsets.link:before",
    "commit.write:half",
    "commit.link:before",
    "commit.link:after",
    "commit.sync_folder:before",
    "metadata.rename:before",
    "stage.write:half",
    "stage.sync:before",
    "stage.sync_folder:after",
    "publish.link:before",
    "publish.sync_folder:before",
    "publish.remove:before",
];

fn run(job: &Workspace) -> Command {
    let mut command = job.command(&[
        "run",
        "sql/gold_revenue.sql",
        "--trigger",
        "available-now",
        "--set",
        "sales_events.maxOffsetsPerTrigger=1500",
    ]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// How often an undisturbed run reaches each point.
fn points(job: &Workspace) -> BTreeMap<String, u64> {
    let log = job.path().join("points.log");
    assert!(run(job).env("SLUICEBOX_FAULT_LOG", &log).status().unwrap().success());
    let mut points = BTreeMap::new();
    for name in std::fs::read_to_string(log).unwrap().lines() {
        *points.entry(name.to_owned()).or_default() += 1;
    }
    points
}

#[test]
fn stopped_at_every_fault_point_the_tables_equal_an_undisturbed_run() {
    let calm = Workspace::new();
    calm.produce(3_000, 4);
    let fresh = Workspace::with_log_of(&calm);
    let points = points(&calm);
    for name in EXPECTED {
        assert!(points.contains_key(name), "the run never reaches {name}; it reaches {points:?}");
    }
    let expected = calm.tables();
    let mut tried = 0;
    for (name, count) in &points {
        for at in BTreeSet::from([count.div_ceil(2)]) {
            let job = Workspace::with_log_of(&fresh);
            let status = run(&job).env("SLUICEBOX_CRASH_AT", format!("{name}:{at}")).status().unwrap();
            // Files are staged side by side, so how often a point is reached may differ by a little from run to run.
            assert!(!status.success() || at > 1, "{name} was not reached");
            job.run_to_end(&[]);
            assert_same(&expected, &job.tables());
            job.ok(&["checkpoint", "verify", "checkpoints/revenue_5m"]);
            tried += 1;
        }
    }
    println!("{tried} crashes at {} points", points.len());
}
