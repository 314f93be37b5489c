//! The steps of a batch come in the order on which exactly-once rests: plan, stage, commit, publish, tell the log.
//!
//! What a crash between two steps leaves is the matter of `tests/crash`; here the order itself is read off a run that
//! nothing disturbs, so that a step that moved shows even where no crash would betray it (offsets that a consumer group
//! shows too early, for example, are seen by lag tools alone).
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

mod support;

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
