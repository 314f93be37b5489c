//! A run that is stopped, passed by another with `--take-over`, and wakes up.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::support::{Workspace, assert_same, register_newer, text, visible_files};
use crate::{CHECKPOINT, GOLD, effects, everything, run, seed};

/// Whether the process stands still, as SIGSTOP leaves it.
fn is_stopped(child: &Child) -> bool {
    // The state stands behind the name, which is in parentheses.
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
}

/// Starts the run and waits until it has stopped at `at`; gives its end if it never came there.
pub fn stopped_at(mut command: Command, at: &str) -> Result<Child, Output> {
    let mut child = command.env("SLUICEBOX_STOP_AT", at).spawn().unwrap();
    loop {
        if is_stopped(&child) {
            return Ok(child);
        }
        if child.try_wait().unwrap().is_some() {
            return Err(child.wait_with_output().unwrap());
        }
        std::thread::yield_now();
    }
}

pub fn wake(child: &Child) {
    assert!(Command::new("kill").args(["-CONT", &child.id().to_string()]).status().unwrap().success());
}

/// Every file that readers see, with its content.
fn published(job: &Workspace) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = visible_files(&job.path().join("data")).into_iter();
    files.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// Whether a run has begun here: before it has its epoch none can be passed.
fn has_an_epoch(job: &Workspace) -> bool {
    let epochs = std::fs::read_dir(job.path().join(CHECKPOINT).join("epochs"));
    epochs.into_iter().flatten().any(|entry| entry.unwrap().file_name().to_str().unwrap().parse::<u64>().is_ok())
}

/// Stops a run at `at`, lets another take over and run to the end, wakes the first; then a third run reads what came last.
fn try_one(fresh: &Workspace, at: &str, expected: &[(&'static str, Vec<String>)]) -> &'static str {
    let job = Workspace::with_log_of(fresh);
    let first = match stopped_at(run(&job, 250, &[]), at) {
        Ok(child) => child,
        Err(output) => {
            // Effects of several threads are not reached equally often every time.
            assert!(output.status.success(), "{at}: {}", text(&output.stderr));
            assert_same(expected, &job.tables());
            return "not reached";
        }
    };
    let begun = has_an_epoch(&job);
    let second = run(&job, 250, &["--take-over"]).output().unwrap();
    let said = text(&second.stderr);
    assert!(second.status.success(), "{at}: the one that took over: {said}");
    let after = published(&job);
    assert_same(expected, &job.tables());
    wake(&first);
    let first = first.wait_with_output().unwrap();
    let said = text(&first.stderr);
    assert!(!said.contains("panicked") && !said.contains("a bug in Sluicebox"), "{at}: {said}");
    let outcome = if first.status.success() {
        // All that was left to do was done by the other, or it had nothing left that a record of its own would need.
        "ended"
    } else {
        assert_eq!(first.status.code(), Some(1), "{at}: {said}");
        // Before it had an epoch it is the later run, and what it had seen is not true any more.
        let passed = said.contains("has taken this checkpoint over from this one (epoch 1)");
        let later = said.contains("another run has changed the checkpoint while this one started");
        assert!(if begun { passed } else { passed || later }, "{at}: {said}");
        "was told"
    };
    assert!(published(&job) == after, "{at}: the one that woke up changed published files");
    job.ok(&["checkpoint", "verify", CHECKPOINT]);
    // What the first left does not stand in the way of a plain run.
    let third = run(&job, 250, &[]).output().unwrap();
    assert!(third.status.success(), "{at}: the third run: {}", text(&third.stderr));
    assert!(published(&job) == after, "{at}: the third run changed published files");
    outcome
}

#[test]
fn a_run_that_wakes_up_after_it_was_passed_changes_nothing_and_is_told() {
    let calm = Workspace::new();
    calm.produce(1_000, 4);
    let fresh = Workspace::with_log_of(&calm);
    let effects = effects(run(&calm, 250, &[]), &calm);
    let expected = calm.tables();
    let mut random = SmallRng::seed_from_u64(seed());
    // Where a run stands between looking and doing: always tried. Of the rest a sample.
    let mut cases = [
        "offsets.link:before:1",
        "offsets.link:before:2",
        "commit.link:before:1",
        "commit.link:before:2",
        // What is made then is younger than the other's look for what earlier runs have left.
        "metadata.create:before:1",
        "pipeline.create:before:1",
        "source.create:before:1",
        "offsets.create:before:1",
        "offsets.create:before:2",
        "commit.create:before:1",
        "commit.create:before:2",
        "commit.link:after:2",
        "metadata.link:before:1",
        "publish.link:before:3",
        "epoch.link:after:1",
        "epoch.write:before:1",
        // Between two looks at what the other pins, before it has an epoch.
        "schema.list:before:1",
        "source.read:before:2",
    ]
    .map(str::to_owned)
    .to_vec();
    let all: Vec<String> = effects
        .iter()
        // Before its epoch is there a run has not begun; the log's own locks are held no longer than an append.
        .filter(|(name, _)| !["lock.", "log.", "topic.", "subject."].iter().any(|p| name.starts_with(p)))
        .map(|(name, count)| format!("{name}:{}", random.random_range(1..=*count)))
        .collect();
    let amount = if everything() { all.len() } else { 12 };
    cases.extend(all.choose_multiple(&mut random, amount).cloned());
    let mut told = 0;
    for case in &cases {
        let outcome = try_one(&fresh, case, &expected);
        told += u32::from(outcome == "was told");
        println!("{case}: {outcome}");
    }
    assert!(told * 2 > u32::try_from(cases.len()).unwrap(), "{told} of {} were told", cases.len());
}

#[test]
fn a_refresh_that_was_passed_before_it_began_deletes_nothing() {
    let calm = Workspace::new();
    calm.produce(600, 4);
    run(&calm, 250, &[]).output().unwrap();
    let expected = calm.tables();
    // It has its epoch, and has not looked who else is there.
    for at in ["epoch.sync_folder:after:1", "checkpoint.list:before:1", "refresh.link:before:1"] {
        let first = stopped_at(run(&calm, 250, &["--full-refresh"]), at).unwrap();
        let second = run(&calm, 250, &["--take-over"]).output().unwrap();
        assert!(second.status.success(), "{at}: {}", text(&second.stderr));
        wake(&first);
        let first = first.wait_with_output().unwrap();
        let said = text(&first.stderr);
        assert!(!first.status.success() && said.contains("taken this checkpoint over"), "{at}: {said}");
        assert!(!calm.path().join(CHECKPOINT).join("refresh").exists(), "{at}: its record is left");
        assert_same(&expected, &calm.tables());
    }
    // It has begun: it is not to be passed.
    for at in ["refresh.link:after:1", "clear.remove:after:3", "metadata.rename:before:1"] {
        let first = stopped_at(run(&calm, 250, &["--full-refresh"]), at).unwrap();
        for more in [&["--take-over"] as &[&str], &["--take-over", "--full-refresh"]] {
            let second = run(&calm, 250, more).output().unwrap();
            let said = text(&second.stderr);
            assert!(!second.status.success() && said.contains("full refresh cannot start while"), "{at}: {said}");
        }
        wake(&first);
        let first = first.wait_with_output().unwrap();
        // It finds that others have asked for its place meanwhile, and stops; its record stays for the next run.
        let said = text(&first.stderr);
        assert!(first.status.success() || said.contains("taken this checkpoint over"), "{at}: {said}");
        let last = run(&calm, 250, &[]).output().unwrap();
        assert!(last.status.success(), "{at}: {}", text(&last.stderr));
        assert_same(&expected, &calm.tables());
    }
}

#[test]
fn a_repin_that_was_passed_pins_nothing() {
    let repins = ["--repin", "sales_events"];
    for at in ["source.create:before:1", "source.rename:before:1"] {
        let job = Workspace::new();
        job.produce(300, 4);
        assert!(run(&job, 250, &[]).output().unwrap().status.success());
        register_newer(job.path());
        let source = job.path().join(CHECKPOINT).join("sources/sales_events");
        let pinned = std::fs::read(source.join("reader")).unwrap();
        let first = stopped_at(run(&job, 250, &repins), at);
        let first = first.map_err(|output| format!("{at}: not reached: {}", text(&output.stderr))).unwrap();
        let second = run(&job, 250, &["--take-over"]).output().unwrap();
        assert!(second.status.success(), "{at}: the one that took over: {}", text(&second.stderr));
        let expected = job.tables();
        wake(&first);
        let first = first.wait_with_output().unwrap();
        let said = text(&first.stderr);
        assert!(first.status.code() == Some(1) && said.contains("taken this checkpoint over"), "{at}: {said}");
        assert!(std::fs::read(source.join("reader")).unwrap() == pinned, "{at}: the pinned schema is another");
        let left = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let left: Vec<String> = std::fs::read_dir(&source).unwrap().map(left).collect();
        assert!(!left.iter().any(|name| name.starts_with(".tmp-")), "{at}: {left:?}");
        assert!(run(&job, 250, &[]).output().unwrap().status.success(), "{at}: the third run");
        assert_same(&expected, &job.tables());
        job.ok(&["checkpoint", "verify", CHECKPOINT]);
        // One that nobody passes pins it.
        assert!(run(&job, 250, &repins).output().unwrap().status.success(), "{at}: the fourth run");
        assert!(std::fs::read(source.join("reader")).unwrap() != pinned, "{at}: the pinned schema is the old one");
    }
}

/// A pipeline that compacts by itself.
const KEEPING: &str = "
CREATE TABLE sales_events USING kafka OPTIONS (
  'subscribe' = 'sales.events.v1', 'value.format' = 'avro', 'startingOffsets' = 'earliest');
CREATE STREAMING TABLE bronze_sales PARTITIONED BY (part)
  TBLPROPERTIES ('compact.auto' = 'true', 'compact.after' = '0 seconds')
AS SELECT *, _partition AS part FROM STREAM sales_events;
";

/// Runs `args`, a compaction of what `job` has, stopped at `at`; another run takes over, reads what has come since, and the
/// first wakes up.
fn passed_while_it_compacts(job: &Workspace, args: &[&str], at: &str, sql: &str, checkpoint: &str) {
    let rows = |job: &Workspace| job.rows("SELECT * FROM bronze.sales");
    let read = |job: &Workspace, more: &[&str]| job.run(&[&["run", sql, "--trigger", "available-now"], more].concat());
    let mut first = job.command(args);
    first.stdout(Stdio::null()).stderr(Stdio::piped());
    let first = stopped_at(first, at).map_err(|output| format!("{at}: not reached: {}", text(&output.stderr))).unwrap();
    job.produce(400, 6);
    let undisturbed = Workspace::with_log_of(job);
    undisturbed.write("keeping.sql", KEEPING);
    assert!(read(&undisturbed, &[]).status.success());
    let expected = rows(&undisturbed);
    let second = read(job, &["--take-over"]);
    assert!(second.status.success(), "{at}: the one that took over: {}", text(&second.stderr));
    assert!(rows(job) == expected, "{at}: the one that took over");
    let after = published(job);
    wake(&first);
    let first = first.wait_with_output().unwrap();
    let said = text(&first.stderr);
    assert!(!said.contains("panicked") && !said.contains("a bug in Sluicebox"), "{at}: {said}");
    let passed = said.contains("taken this checkpoint over from this one");
    assert!(first.status.code() == Some(1) && passed, "{at}: {said}");
    assert!(published(job) == after, "{at}: the one that woke up changed published files");
    job.ok(&["checkpoint", "verify", checkpoint]);
    let third = read(job, &[]);
    assert!(third.status.success(), "{at}: the third run: {}", text(&third.stderr));
    assert!(rows(job) == expected, "{at}: the third run changed rows");
    job.ok(&["compact", sql]);
    assert!(rows(job) == expected, "{at}: the next compaction changed rows");
    job.ok(&["checkpoint", "verify", checkpoint]);
    let beside = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().to_string_lossy().into_owned();
    let mut left: Vec<String> = std::fs::read_dir(job.path().join("data/bronze")).unwrap().map(beside).collect();
    left.sort();
    assert_eq!(left, [".sales_sluicebox_owner", "sales"], "{at}: something is left beside the table");
}

/// Around the exchange; the first one of all is a trial. It is about to be done, or done: always tried. Of what comes before
/// and after it a sample.
fn around_the_exchange() -> Vec<&'static str> {
    let others = ["compaction.link:before:1", "compaction.link:after:1", "swap.sync_folder:after:8"];
    let amount = if everything() { others.len() } else { 1 };
    let mut random = SmallRng::seed_from_u64(seed());
    let chosen = others.choose_multiple(&mut random, amount).copied();
    ["swap.exchange:before:2", "swap.exchange:after:2", "compaction.create:before:1"]
        .into_iter()
        .chain(chosen)
        .collect()
}

#[test]
fn a_compaction_that_wakes_up_after_it_was_passed_exchanges_nothing() {
    // What it had written before it was passed is taken from it. What it writes anew after that is all there, and only the epoch
    // keeps it from being exchanged.
    for at in around_the_exchange().into_iter().chain(["swap.read:before:1"]) {
        let job = Workspace::new();
        job.produce(1_000, 4);
        assert!(run(&job, 250, &[]).output().unwrap().status.success());
        passed_while_it_compacts(&job, &["compact", GOLD], at, GOLD, CHECKPOINT);
    }
}

#[test]
fn a_run_that_compacts_and_wakes_up_after_it_was_passed_exchanges_nothing() {
    let limit = "sales_events.maxOffsetsPerTrigger=90";
    for at in around_the_exchange() {
        let job = Workspace::new();
        job.write("keeping.sql", KEEPING);
        job.produce(1_000, 4);
        let args = ["run", "keeping.sql", "--trigger", "available-now", "--set", limit];
        passed_while_it_compacts(&job, &args, at, "keeping.sql", "checkpoints/keeping");
    }
}

#[test]
fn beside_a_run_that_took_over_no_other_starts() {
    let job = Workspace::new();
    job.produce(600, 4);
    let first = stopped_at(run(&job, 250, &[]), "commit.link:after:1").unwrap();
    let second = stopped_at(run(&job, 250, &["--take-over"]), "commit.link:after:1").unwrap();
    // The one that was passed is gone, and with it the lock: the one that lives is found by its epoch.
    let mut first = first;
    first.kill().unwrap();
    first.wait().unwrap();
    let third = run(&job, 250, &[]).output().unwrap();
    let said = text(&third.stderr);
    assert!(!third.status.success() && said.contains(&format!("process {}", second.id())), "{said}");
    std::fs::remove_file(job.path().join(CHECKPOINT).join("lock")).unwrap();
    let third = run(&job, 250, &[]).output().unwrap();
    assert!(text(&third.stderr).contains("--take-over"), "without the lock file: {}", text(&third.stderr));
    wake(&second);
    assert!(second.wait_with_output().unwrap().status.success());
    job.ok(&["checkpoint", "verify", CHECKPOINT]);
}

#[test]
fn a_run_that_wakes_up_before_the_later_one_has_made_its_record_comes_too_late_all_the_same() {
    let calm = Workspace::new();
    calm.produce(600, 4);
    let fresh = Workspace::with_log_of(&calm);
    assert!(run(&calm, 250, &[]).output().unwrap().status.success());
    let expected = calm.tables();
    // The first has looked whether there is a later run and is about to link its record, or has not come to make it; the later
    // one stands before it makes its own.
    for (at, later_at) in [
        ("offsets.link:before:1", "commit.link:before:1"),
        ("commit.link:before:1", "commit.link:before:1"),
        ("commit.link:before:2", "commit.link:before:1"),
        ("offsets.create:before:1", "offsets.create:before:1"),
        ("commit.create:before:1", "commit.create:before:1"),
    ] {
        let job = Workspace::with_log_of(&fresh);
        let first = stopped_at(run(&job, 250, &[]), at).unwrap();
        let second = stopped_at(run(&job, 250, &["--take-over"]), later_at).unwrap();
        wake(&first);
        let first = first.wait_with_output().unwrap();
        let said = text(&first.stderr);
        assert!(!first.status.success() && said.contains("taken this checkpoint over"), "{at}: {said}");
        wake(&second);
        let second = second.wait_with_output().unwrap();
        assert!(second.status.success(), "{at}: the later run: {}", text(&second.stderr));
        assert_same(&expected, &job.tables());
        job.ok(&["checkpoint", "verify", CHECKPOINT]);
    }
}
