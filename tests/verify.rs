//! `checkpoint verify` names what is wrong, whatever is changed, removed or added; and says what it cannot prove.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sluicebox_checkpoint::records::{Commit, Offsets, OperatorState};
use sluicebox_checkpoint::{Checkpoint, envelope};
use sluicebox_core::SystemClock;
use sluicebox_upkeep::verify::{Verdict, verify};
use support::{Workspace, files_below};

fn verdict(job: &Workspace, checkpoint: &str) -> Result<Verdict, String> {
    let checkpoint = Checkpoint::new(job.path().join(checkpoint));
    verify(&checkpoint, &SystemClock::new()).map_err(|e| e.to_string())
}

/// Lets `damage` happen to a file, looks, and puts the file back.
fn with_damage(job: &Workspace, checkpoint: &str, path: &Path, damage: impl FnOnce(&Path), expected: &[&str]) {
    let before = std::fs::read(path).ok();
    damage(path);
    let said = match verdict(job, checkpoint) {
        Ok(verdict) => verdict.problems.join("\n"),
        Err(error) => error,
    };
    for text in expected {
        assert!(said.contains(text), "{}: `{text}` is not in\n{said}", path.display());
    }
    match before {
        Some(content) => std::fs::write(path, content).unwrap(),
        None => std::fs::remove_file(path).unwrap(),
    }
}

fn flip(path: &Path) {
    let mut content = std::fs::read(path).unwrap();
    let at = content.len() / 2;
    content[at] ^= 0x10;
    std::fs::write(path, content).unwrap();
}

fn truncate(path: &Path) {
    let content = std::fs::read(path).unwrap();
    std::fs::write(path, &content[..content.len() - 7]).unwrap();
}

fn remove(path: &Path) {
    std::fs::remove_file(path).unwrap();
}

fn record<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    envelope::unwrap(path, &std::fs::read(path).unwrap()).unwrap()
}

/// Changes a record of the checkpoint and seals it again, as only a bug or a liar would.
fn edit<T: serde::de::DeserializeOwned + serde::Serialize>(change: impl FnOnce(&mut T)) -> impl FnOnce(&Path) {
    move |path| {
        let mut record: T = record(path);
        change(&mut record);
        std::fs::write(path, envelope::wrap(&record).unwrap()).unwrap();
    }
}

/// The files below `dir` whose names end so.
fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    files_below(dir).into_iter().filter(|path| path.to_str().unwrap().ends_with(ending)).collect()
}

const REVENUE: &str = "checkpoints/revenue_5m";

/// A run of the README's pipeline with some batches.
fn revenue() -> Workspace {
    let job = Workspace::new();
    job.produce(6_000, 5);
    // So little memory that there are segments of state.
    job.run_to_end(&["--set", "sales_events.maxOffsetsPerTrigger=1000", "--set", "memory.limit=100 KiB"]);
    let whole = verdict(&job, REVENUE).unwrap();
    // A delta that was folded by the batch that wrote it is named by no commit.
    let folded = |note: &String| note.contains("state files that no commit names");
    assert!(whole.problems.is_empty() && whole.notes.iter().all(folded), "{whole}");
    assert!(whole.unproved.iter().all(|u| u.contains("what the rows in state files say")), "{whole}");
    assert!(
        whole.batches >= 6 && whole.reports == whole.batches && whole.files > 30 && whole.state_files > 6,
        "{whole}"
    );
    job
}

#[test]
fn the_name_of_a_file_forges_no_line() {
    let job = Workspace::new();
    job.produce(500, 5);
    job.run_to_end(&[]);
    let table = job.path().join("data/bronze/sales");
    for name in ["x\nthe checkpoint and its tables agree", "x\nerror[bug]: forged.parquet"] {
        let forged = table.join(name);
        std::fs::write(&forged, "x").unwrap();
        let verdict = verdict(&job, REVENUE).unwrap();
        assert!(verdict.problems.iter().any(|problem| problem.contains(name)), "programs get it as it is: {verdict}");
        let told = verdict.to_string();
        let escaped = name.replace('\n', "\\n");
        assert!(told.contains(&escaped), "{told}");
        assert!(!told.lines().any(|line| line.starts_with("the checkpoint") || line.starts_with("error")), "{told}");
        std::fs::remove_file(&forged).unwrap();
    }
}

#[test]
fn changed_missing_and_foreign_files_of_tables_are_named() {
    let job = revenue();
    let at = |path: &str| job.path().join(path);
    for table in
        ["data/bronze/sales", "data/silver/sales", "data/gold/revenue_5m", "data/dead_letters/revenue_5m/sales_events"]
    {
        let all = files(&at(table), ".parquet");
        let (first, last) = (&all[0], &all[all.len() - 1]);
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        with_damage(&job, REVENUE, first, flip, &[&name(first), "another content"]);
        with_damage(&job, REVENUE, last, truncate, &[&name(last), "were committed"]);
        with_damage(&job, REVENUE, first, remove, &[&name(first)]);
        let add = |path: &Path| assert!(std::fs::copy(first, path).is_ok());
        with_damage(&job, REVENUE, &at(table).join("mine.parquet"), add, &["mine.parquet", "somebody else"]);
        let misplaced = at(table).join(name(first));
        with_damage(&job, REVENUE, &misplaced, add, &["whose commit does not name it"]);
        let later = at(table).join(format!("000000999{}", &name(first)[9..]));
        with_damage(&job, REVENUE, &later, add, &["000000999", "the newest committed is"]);
        let theirs = at(table).join("000000001-000-abcd1234.parquet");
        with_damage(&job, REVENUE, &theirs, add, &["another query"]);
        let mark = support::mark_of(&at(table));
        with_damage(&job, REVENUE, &mark, remove, &["has no owner's mark", table]);
        let other = |path: &Path| {
            let text = std::fs::read_to_string(path).unwrap();
            std::fs::write(path, text.replace("\"generation\": 1", "\"generation\": 2")).unwrap();
        };
        with_damage(&job, REVENUE, &mark, other, &[&name(&mark)]);
    }
    let report = files(&at("data/dq/revenue_5m/metrics"), ".json").remove(1);
    let lie = |path: &Path| {
        let mut report: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let written = &mut report["tables"][1]["fates"]["written"];
        *written = (written.as_u64().unwrap() + 1).into();
        std::fs::write(path, report.to_string()).unwrap();
    };
    with_damage(&job, REVENUE, &report, lie, &["report.json", "does not balance", "its report counts"]);
    // Counts that no run has written: their sums are longer than the counts.
    for (count, said) in [
        ("/tables/1/fates/written", "does not balance"),
        ("/tables/1/fates/late", "does not balance"),
        ("/sources/0/rows", "the ledger of source sales_events does not balance"),
        ("/sources/0/tombstones", "the ledger of source sales_events does not balance"),
        ("/sources/0/dead_letters_by_class/edited", "the ledger of source sales_events does not balance"),
    ] {
        let most = |path: &Path| {
            let mut report: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            let (within, field) = count.rsplit_once('/').unwrap();
            report.pointer_mut(within).unwrap()[field] = u64::MAX.into();
            std::fs::write(path, report.to_string()).unwrap();
        };
        with_damage(&job, REVENUE, &report, most, &[said]);
    }
    let far = |path: &Path| {
        let mut report: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let ranges = report["sources"][0]["input"]["sales.events.v1"].as_object_mut().unwrap();
        let range = ranges.values_mut().next().unwrap();
        for (field, to) in [("start", i64::MIN), ("end", i64::MAX)] {
            range[field] = to.into();
        }
        for field in ["records", "gap_offsets", "lost_offsets"] {
            range[field] = u64::MAX.into();
        }
        std::fs::write(path, report.to_string()).unwrap();
    };
    with_damage(&job, REVENUE, &report, far, &["which do not add up"]);
    assert!(verdict(&job, REVENUE).unwrap().problems.is_empty(), "all is as it was");
}

#[test]
fn records_that_do_not_follow_from_each_other_are_named() {
    let job = revenue();
    let at = |path: &str| job.path().join(REVENUE).join(path);
    with_damage(&job, REVENUE, &at("commits/2"), flip, &["commits/2", "damaged"]);
    with_damage(&job, REVENUE, &at("offsets/3"), flip, &["offsets/3", "damaged"]);
    with_damage(&job, REVENUE, &at("commits/2"), remove, &["commits/2 is missing"]);
    with_damage(&job, REVENUE, &at("offsets/3"), remove, &["offsets/3"]);
    with_damage(&job, REVENUE, &at("metadata"), remove, &["metadata"]);
    with_damage(&job, REVENUE, &at("sources/sales_events/start"), remove, &["sources/sales_events/start is missing"]);
    let gap = edit(|plan: &mut Offsets| plan.ranges[0].range.from += 1);
    with_damage(&job, REVENUE, &at("offsets/3"), gap, &["batch 3", "the batch before ended at"]);
    let short = edit(|commit: &mut Commit| commit.positions[0].offset -= 1);
    with_damage(&job, REVENUE, &at("commits/2"), short, &["batch 2", "was planned to offset"]);
    let watermark = edit(|commit: &mut Commit| {
        commit.watermarks.values_mut().for_each(|state| state.watermark = Some(1));
    });
    with_damage(&job, REVENUE, &at("commits/3"), watermark, &["the watermark of silver_sales.0 went back", "batch 4"]);
    let dropped = edit(|plan: &mut Offsets| plan.watermarks.clear());
    with_damage(&job, REVENUE, &at("offsets/3"), dropped, &["batch 3", "silver_sales.0 is planned as None"]);
    let forgotten =
        edit(|commit: &mut Commit| commit.outputs.retain(|output| output.id.table() != Some("bronze_sales")));
    with_damage(&job, REVENUE, &at("commits/3"), forgotten, &["whose commit does not name it", "holds 0 rows"]);

    // The newest records, under a number so high that nobody can count up to it.
    let (newest, far) = ((0..).take_while(|n| at(&format!("commits/{n}")).exists()).last().unwrap(), 1 << 47);
    let mut plan: Offsets = record(&at(&format!("offsets/{newest}")));
    plan.batch_id = far;
    std::fs::write(at(&format!("offsets/{far}")), envelope::wrap(&plan).unwrap()).unwrap();
    let mut commit: Commit = record(&at(&format!("commits/{newest}")));
    commit.batch_id = far;
    std::fs::write(at(&format!("commits/{far}")), envelope::wrap(&commit).unwrap()).unwrap();
    let said = verdict(&job, REVENUE).unwrap();
    assert!(said.problems.iter().any(|p| p.contains(&format!("commits/{} is missing", far - 1))), "{said}");
    let gone = format!("to {}: their reports are gone", far - 100);
    assert!(said.unproved.iter().any(|u| u.contains(&gone)), "{said}");
    remove(&at(&format!("offsets/{far}")));
    remove(&at(&format!("commits/{far}")));
    for folder in ["epochs", "pipelines", "offsets", "commits", "compactions"] {
        let path = at(folder).join(u64::MAX.to_string());
        let said = ["18446744073709551615", "a number that no run gives a record"];
        with_damage(&job, REVENUE, &path, |path| std::fs::write(path, "").unwrap(), &said);
    }

    // What commits name: a delta that was folded by the batch that wrote it is there, and is part of no state.
    let named: BTreeSet<PathBuf> = (0..=newest)
        .flat_map(|n| record::<Commit>(&at(&format!("commits/{n}"))).state.into_values())
        .flat_map(|state| state.files().map(|file| at(&file.path)).collect::<Vec<_>>())
        .collect();
    let (segments, state): (Vec<_>, Vec<_>) =
        named.iter().partition(|path| path.extension().is_some_and(|e| e == "segment"));
    for file in [state[0], state[state.len() - 1], segments[0]] {
        let name = file.file_name().unwrap().to_str().unwrap();
        with_damage(&job, REVENUE, file, flip, &[name]);
        with_damage(&job, REVENUE, file, remove, &[name]);
    }
    assert!(verdict(&job, REVENUE).unwrap().problems.is_empty(), "all is as it was");
    let said = job.ok(&["checkpoint", "verify", REVENUE]);
    assert!(said.contains("took") && said.contains("agree"), "{said}");
    remove(state[0]);
    assert!(job.fails(1, &["checkpoint", "verify", REVENUE]).contains("problem"));
}

#[test]
fn state_that_no_batch_has_left_so_is_named() {
    type Change = fn(&mut OperatorState);
    const WINDOW: &str = "gold_revenue_5m.aggregate.0";
    let job = Workspace::new();
    job.produce(3_000, 6);
    job.run_to_end(&["--set", "sales_events.maxOffsetsPerTrigger=500"]);
    let at = |path: &str| job.path().join(REVENUE).join(path);
    // Of each batch so far there is a delta.
    let cases: [(Change, &[&str]); 7] = [
        (|state| drop(state.deltas.remove(1)), &["batch 4", WINDOW, "does not name", "000000001-1.delta.arrow"]),
        (|state| drop(state.deltas.remove(0)), &["batch 4", WINDOW, "no more, and no segment that it was folded into"]),
        (|state| drop(state.deltas.pop()), &["batch 4", "names no delta of the batch, which by its report put"]),
        (|state| state.deltas.swap(0, 1), &["deltas are in the order of their batches"]),
        (
            |state| {
                // A snapshot, and the delta of its own batch beside it.
                let mut whole = state.deltas[4].clone();
                whole.path = whole.path.replace(".delta.", ".snapshot.");
                state.snapshot = Some(whole);
                state.deltas.drain(..4);
            },
            &[
                "000000004-1.snapshot.arrow and",
                "000000004-1.delta.arrow: rows that are in both would be counted twice",
            ],
        ),
        (
            |state| state.deltas[2].path = state.deltas[2].path.replace(WINDOW, "silver_sales.dedup.0"),
            &[WINDOW, "silver_sales.dedup.0/000000002-1.delta.arrow\" as a delta, which it cannot be"],
        ),
        (|state| *state = OperatorState::default(), &["batch 5", "000000000-1.delta.arrow, which is of another batch"]),
    ];
    for (change, said) in cases {
        let change = edit(move |commit: &mut Commit| change(commit.state.get_mut(WINDOW).unwrap()));
        with_damage(&job, REVENUE, &at("commits/4"), change, said);
    }
    let gone = edit(|commit: &mut Commit| drop(commit.state.remove(WINDOW)));
    with_damage(&job, REVENUE, &at("commits/4"), gone, &["batch 4", WINDOW, "is named no more"]);

    // Keys that are never forgotten, so few in memory that each batch makes a segment of its own.
    job.write(
        "ids.sql",
        "CREATE TABLE s USING kafka OPTIONS ('subscribe' = 'sales.events.v1', 'startingOffsets' = 'earliest');
         CREATE STREAMING TABLE silver_ids AS SELECT DISTINCT ON (event_id) event_id FROM STREAM s;",
    );
    let small = ["--set", "s.maxOffsetsPerTrigger=500", "--set", "memory.limit=10 KiB"];
    job.ok(&[&["run", "ids.sql", "--trigger", "available-now"], small.as_slice()].concat());
    let turned = edit(|commit: &mut Commit| commit.state.values_mut().for_each(|state| state.segments.swap(0, 1)));
    let commit = job.path().join("checkpoints/ids/commits/2");
    with_damage(&job, "checkpoints/ids", &commit, turned, &["batch 2", "-0.segment behind segments that are newer"]);
    for checkpoint in [REVENUE, "checkpoints/ids"] {
        assert!(verdict(&job, checkpoint).unwrap().problems.is_empty(), "all is as it was");
    }
}

#[test]
fn of_batches_whose_records_were_removed_ranges_ledgers_and_rows_are_proved() {
    let job = Workspace::new();
    let text = std::fs::read_to_string(job.path().join("sql/gold_revenue.sql")).unwrap();
    let bronze = text.split("CREATE STREAMING TABLE silver_sales").next().unwrap();
    job.write("sql/gold_revenue.sql", bronze);
    job.produce(260, 9);
    job.run_to_end(&["--set", "sales_events.maxOffsetsPerTrigger=2"]);
    let whole = verdict(&job, REVENUE).unwrap();
    assert!(whole.problems.is_empty() && whole.older_batches > 10 && whole.older_files > 10, "{whole}");
    assert_eq!(whole.reports, whole.batches + whole.older_batches, "{whole}");
    assert!(whole.unproved.iter().any(|u| u.contains("checksums of files of batches before")), "{whole}");

    let old = files(&job.path().join("data/bronze/sales"), ".parquet").remove(0);
    let more = PathBuf::from(old.to_str().unwrap().replace("-000-", "-001-"));
    with_damage(&job, REVENUE, &old, remove, &["holds 0 rows", "table bronze_sales"]);
    with_damage(&job, REVENUE, &old, truncate, &["footer"]);
    let add = |path: &Path| assert!(std::fs::copy(&old, path).is_ok());
    with_damage(&job, REVENUE, &more, add, &["table bronze_sales holds", "its report counts"]);
    let report = job.path().join("data/dq/revenue_5m/metrics/batch_id=3/report.json");
    let shifted = |path: &Path| {
        let mut report: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let topic = &mut report["sources"][0]["input"]["sales.events.v1"];
        let partition = topic.as_object_mut().unwrap().values_mut().find(|range| range["records"] != 0).unwrap();
        partition["end"] = (partition["end"].as_i64().unwrap() + 1).into();
        std::fs::write(path, report.to_string()).unwrap();
    };
    with_damage(&job, REVENUE, &report, shifted, &["do not add up", "the one before ended at"]);
    let content = std::fs::read(&report).unwrap();
    remove(&report);
    let without = verdict(&job, REVENUE).unwrap();
    assert!(without.unproved.iter().any(|u| u.contains("their reports are gone")), "{without}");
    std::fs::write(report, content).unwrap();
    assert!(verdict(&job, REVENUE).unwrap().problems.is_empty(), "all is as it was");
}
