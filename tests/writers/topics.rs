//! A run whose table is a topic, stopped, passed by another, and woken up: of the topic each row is read once.

use std::process::{Command, Stdio};

use crate::stalled::{stopped_at, wake};
use crate::support::{Workspace, text};

const COLUMNS: &str = "_partition AS p, _offset AS o, event_id";

/// Rows in a topic, and the same in files.
fn sent() -> String {
    format!(
        "CREATE TABLE sales_events USING kafka OPTIONS ('subscribe' = 'sales.events.v1', 'startingOffsets' = 'earliest',
           'maxOffsetsPerTrigger' = '150');
         CREATE STREAMING TABLE bronze_kept AS SELECT {COLUMNS} FROM STREAM sales_events;
         CREATE STREAMING TABLE sent USING kafka TBLPROPERTIES ('topic' = 'sent', 'key.columns' = 'event_id')
         AS SELECT {COLUMNS} FROM STREAM sales_events;"
    )
}

/// What reads the topic.
const READ: &str = "
CREATE TABLE sent (p INT, o BIGINT, event_id STRING) USING kafka OPTIONS ('subscribe' = 'sent', 'value.format' = 'json');
CREATE STREAMING TABLE bronze_read AS SELECT p, o, event_id FROM STREAM sent;
";

fn run(job: &Workspace, more: &[&str]) -> Command {
    let args = [&["run", "sent.sql", "--trigger", "available-now"], more].concat();
    let mut command = job.command(&args);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn job_over(log: &Workspace) -> Workspace {
    let job = Workspace::with_log_of(log);
    job.write("sent.sql", &sent());
    job.write("read.sql", READ);
    job
}

fn each_row_is_read_once(job: &Workspace, at: &str) {
    job.ok(&["run", "read.sql", "--trigger", "available-now"]);
    let rows = |table: &str| job.rows(&format!("SELECT p, o, event_id FROM {table}"));
    let (kept, read) = (rows("bronze.kept"), rows("bronze.read"));
    assert!(kept.len() > 500, "{at}: {}", kept.len());
    assert_eq!(read, kept, "{at}");
    job.ok(&["checkpoint", "verify", "checkpoints/sent"]);
}

#[test]
fn a_run_that_wakes_up_after_it_was_passed_appends_nothing_twice() {
    let log = Workspace::new();
    log.produce(600, 4);
    for at in [
        // Before it commits; between the commit and the transaction; when the transaction is over.
        "commit.link:before:2",
        "commit.link:after:1",
        "commit.link:after:2",
        "publish.read:before:1",
        "publish.read:before:2",
        "publish.remove:before:1",
        "offsets.link:before:2",
    ] {
        let job = job_over(&log);
        let first = stopped_at(run(&job, &[]), at);
        let first = first.map_err(|output| format!("{at}: not reached: {}", text(&output.stderr))).unwrap();
        let second = run(&job, &["--take-over"]).output().unwrap();
        assert!(second.status.success(), "{at}: the one that took over: {}", text(&second.stderr));
        wake(&first);
        let first = first.wait_with_output().unwrap();
        let said = text(&first.stderr);
        assert!(first.status.code() == Some(1) && said.contains("taken this checkpoint over"), "{at}: {said}");
        let third = run(&job, &[]).output().unwrap();
        assert!(third.status.success(), "{at}: the third run: {}", text(&third.stderr));
        each_row_is_read_once(&job, at);
    }
}

/// It holds the partition's lock then: nobody can pass it before it goes on or is gone.
#[test]
fn a_run_that_stands_in_the_middle_of_an_append_is_waited_for() {
    let log = Workspace::new();
    log.produce(600, 4);
    for (at, is_killed) in [
        ("transaction.write:half:1", false),
        ("transaction.sync:before:2", false),
        ("transaction.sync:before:2", true),
        ("log.write:half:2", true),
    ] {
        let job = job_over(&log);
        let first = stopped_at(run(&job, &[]), at);
        let mut first = first.map_err(|output| format!("{at}: not reached: {}", text(&output.stderr))).unwrap();
        let second = run(&job, &["--take-over"]).spawn().unwrap();
        while !job.path().join("checkpoints/sent/epochs/2").exists() {
            std::thread::yield_now();
        }
        if is_killed {
            first.kill().unwrap();
        } else {
            wake(&first);
        }
        let said = text(&first.wait_with_output().unwrap().stderr);
        assert!(!said.contains("panicked") && !said.contains("a bug in Sluicebox"), "{at}: {said}");
        let second = second.wait_with_output().unwrap();
        assert!(second.status.success(), "{at}: the one that took over: {}", text(&second.stderr));
        each_row_is_read_once(&job, at);
    }
}
