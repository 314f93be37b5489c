//! Old files stay a while after their folder was exchanged.

use std::time::Duration;

use sluicebox_core::{Clock, SystemClock};

use crate::support::Workspace;
use crate::{KEEPING, SQL, files_there, job};

/// How long the old files of a folder stay at least, for readers that opened it just before it was exchanged.
const LINGER: Duration = Duration::from_secs(1);

/// Stops the command just after its first exchange, lets it go on, and fails unless the old folder is there for the time
/// that readers are given: a reader cannot be made to stand between opening a folder and its first look at the entries.
fn old_files_linger(job: &Workspace, args: &[&str]) {
    struct Run(std::process::Child);
    impl Drop for Run {
        fn drop(&mut self) {
            // What stands still would stay when the test fails.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    // The first one of all is a trial.
    let mut run = Run(job.command(args).env("SLUICEBOX_STOP_AT", "swap.exchange:after:2").spawn().unwrap());
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", run.0.id())).unwrap();
    while !state().rsplit(')').next().unwrap().trim_start().starts_with('T') {
        std::thread::sleep(Duration::from_millis(5));
    }
    let beside = |entry: std::io::Result<std::fs::DirEntry>| {
        Some(entry.unwrap().path())
            .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(".sluicebox-"))
    };
    let bronze = job.path().join("data/bronze");
    let beside = std::fs::read_dir(&bronze).unwrap().find_map(beside).unwrap();
    assert!(files_there(&beside) > 1, "the old files are there");
    let clock = SystemClock::new();
    assert!(std::process::Command::new("kill").args(["-CONT", &run.0.id().to_string()]).status().unwrap().success());
    while files_there(&beside) > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let stayed = clock.monotonic();
    assert!(run.0.wait().unwrap().success());
    assert!(stayed >= LINGER, "{args:?}: the old files were removed after {stayed:?}");
}

#[test]
fn old_files_stay_for_readers_that_have_opened_their_folder() {
    let compacted = job();
    old_files_linger(&compacted, &["compact", SQL, "--table", "bronze_sales"]);
    let job = Workspace::new();
    job.write("keeping.sql", KEEPING.split("CREATE STREAMING TABLE old_sales").next().unwrap());
    job.produce(1_000, 5);
    let limit = "sales_events.maxOffsetsPerTrigger=90";
    old_files_linger(&job, &["run", "keeping.sql", "--trigger", "available-now", "--progress", "none", "--set", limit]);
}
