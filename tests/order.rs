//! The steps of a batch come in the order on which exactly-once rests: plan, stage, commit, publish, tell the log. And what a
//! batch publishes comes in the order in which tables are computed from each other, so that no reader finds rows whose
//! inputs it does not see.
//!
//! What a crash between two steps leaves is the matter of `tests/crash`; here the order itself is read off a run that
//! nothing disturbs, so that a step that moved shows even where no crash would betray it (offsets that a consumer group
//! shows too early, for example, are seen by lag tools alone).
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

#[expect(dead_code, reason = "it is read for what is linked alone")]
#[path = "crash/journal.rs"]
mod journal;
mod support;

use journal::Op;
use support::Workspace;

/// Where a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// No batch: the last one is published, and its log was told.
    Over,
    /// `offsets/<id>` is durable.
    Planned,
    /// `commits/<id>` is being made: all that it names must be durable.
    Committing,
    /// `commits/<id>` is durable.
    Committed,
    /// The log is being told.
    Told,
}

/// Where the batch stands after `point`, or why it may not be reached now.
fn follow(at: Step, point: &str) -> Result<Step, &'static str> {
    let (name, phase) = point.rsplit_once(':').unwrap();
    let (what, effect) = name.split_once('.').unwrap();
    match (what, effect, phase) {
        ("offsets", "create", "before") if !matches!(at, Step::Over | Step::Told) => {
            Err("the batch before is not over")
        }
        ("offsets", "sync_folder", "after") => Ok(Step::Planned),
        ("stage" | "state", "create" | "open" | "write" | "sync" | "sync_folder", _) if at != Step::Planned => {
            Err("staged without a durable plan, or after the commit")
        }
        ("commit", "create", "before") if at == Step::Planned => Ok(Step::Committing),
        ("commit", "create", "before") => Err("committed without a durable plan"),
        ("commit", "sync_folder", "after") if at == Step::Committing => Ok(Step::Committed),
        ("publish", _, _) if at != Step::Committed => {
            Err("published before the commit is durable, or after the log was told")
        }
        ("group", "call", "before") if at < Step::Committed => Err("the log was told before the commit"),
        ("group", "call", "before") => Ok(Step::Told),
        _ => Ok(at),
    }
}

#[test]
fn the_steps_of_every_batch_come_in_order() {
    let job = Workspace::new();
    job.produce(6_000, 3);
    let log = job.path().join("points.log");
    let limit = ["--set", "sales_events.maxOffsetsPerTrigger=1000"];
    let mut run = job.command(&["run", "sql/gold_revenue.sql", "--trigger", "available-now"]);
    assert!(run.args(limit).env("SLUICEBOX_FAULT_LOG", &log).output().unwrap().status.success());

    let points = std::fs::read_to_string(&log).unwrap();
    let (mut at, mut batches, mut published) = (Step::Over, 0, false);
    for (number, point) in points.lines().enumerate() {
        let before = at;
        at = follow(at, point).unwrap_or_else(|why| panic!("line {}: {point} while {before:?}: {why}", number + 1));
        published |= point == "publish.sync_folder:after";
        if (before, at) == (Step::Committed, Step::Told) {
            assert!(std::mem::take(&mut published), "line {}: the log was told before all was published", number + 1);
            batches += 1;
        }
    }
    assert!(batches >= 6, "{batches} batches");
}

/// Of each batch what it published, as places in `upstream`, which has a part of the path of each; first what was published
/// before any batch was planned. Fails where something comes before what it is computed from.
fn published(job: &Workspace, journal: &str, upstream: &[&str]) -> Vec<Vec<usize>> {
    let mut batches = vec![Vec::new()];
    for op in journal::read(&job.path().join(journal)) {
        let Op::Link { from, to, .. } = op else { continue };
        if to.parent().is_some_and(|folder| folder.ends_with("offsets")) {
            batches.push(Vec::new());
        }
        if from.extension().is_none_or(|ending| ending != "staged") {
            continue;
        }
        let name = to.strip_prefix(job.path().join("data")).unwrap().to_string_lossy().into_owned();
        let place = upstream.iter().position(|part| name.contains(part)).unwrap_or_else(|| panic!("what is {name}?"));
        let batch = batches.last_mut().unwrap();
        let before = batch.last().copied().unwrap_or(0);
        assert!(before <= place, "{name} is published after what comes of it, {}: {batch:?}", upstream[before]);
        batch.push(place);
    }
    batches
}

/// Batches that published something of each place.
fn whole(batches: &[Vec<usize>], upstream: &[&str]) -> usize {
    batches.iter().filter(|batch| (0..upstream.len()).all(|place| batch.contains(&place))).count()
}

/// Runs `sql` to its end, its journal in `journal`; or to where it is to be killed.
fn run(job: &Workspace, sql: &str, journal: &str, kill: Option<&str>) {
    let mut run =
        job.command(&["run", sql, "--trigger", "available-now", "--set", "sales_events.maxOffsetsPerTrigger=1000"]);
    run.env("SLUICEBOX_FAULT_JOURNAL", job.path().join(journal));
    if let Some(point) = kill {
        run.env("SLUICEBOX_CRASH_AT", point);
    }
    let output = run.output().unwrap();
    assert_eq!(output.status.success(), kill.is_none(), "{}", support::told(&output));
}

fn produce_every_kind(job: &Workspace) {
    let kinds = ["--late", "0.04", "--invalid", "0.05", "--malformed", "0.02"];
    job.ok(&[&["produce", "sales", "--events", "6000", "--seed", "3"], kinds.as_slice()].concat());
}

#[test]
fn tables_are_published_upstream_first_also_by_the_start_after_a_crash() {
    // Side outputs have the name of their table in their paths.
    let upstream = ["dead_letters/", "bronze", "silver", "gold", "dq/"];
    let calm = Workspace::new();
    produce_every_kind(&calm);
    let killed = Workspace::with_log_of(&calm);
    run(&calm, "sql/gold_revenue.sql", "journal", None);
    let batches = published(&calm, "journal", &upstream);
    assert!(whole(&batches, &upstream) > 1, "{batches:?}");
    run(&killed, "sql/gold_revenue.sql", "first", Some("publish.link:before:1"));
    run(&killed, "sql/gold_revenue.sql", "second", None);
    let batches = published(&killed, "second", &upstream);
    assert!(batches[0].len() > 2, "what was committed is published before anything else: {batches:?}");
}

/// By their names, by the text and by their folders these would come in another order.
const AGAINST: &str = "
SET 'pipeline.name' = 'against';
CREATE TABLE sales_events USING kafka OPTIONS (
  'subscribe' = 'sales.events.v1', 'value.format' = 'avro', 'startingOffsets' = 'earliest');
CREATE STREAMING TABLE silver_a LOCATION 'data/tables/1' AS SELECT event_id, amount FROM STREAM silver_b;
CREATE STREAMING TABLE silver_b LOCATION 'data/tables/2' AS SELECT event_id, amount FROM STREAM silver_c;
CREATE STREAMING TABLE silver_c LOCATION 'data/tables/3' AS SELECT event_id, amount FROM STREAM sales_events;
";

#[test]
fn the_order_of_publishing_is_that_of_the_tables_inputs_whatever_their_names() {
    let upstream = ["dead_letters/", "tables/3", "tables/2", "tables/1", "dq/"];
    let job = Workspace::new();
    job.write("against.sql", AGAINST);
    produce_every_kind(&job);
    run(&job, "against.sql", "journal", None);
    let batches = published(&job, "journal", &upstream);
    assert!(whole(&batches, &upstream) > 1, "{batches:?}");
}
