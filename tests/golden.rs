//! Formats that last: projects that earlier versions left behind are read, proved and gone on with.
//!
//! `tests/golden/<version>/` holds the log of one topic, a project over it whose run ended, and what its tables must hold.
//! Taken back by a few files it becomes a project that was stopped after a commit and before it was published, or after a
//! plan and before its commit. docs/testing.md says how a set is made.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use support::{Workspace, copy};

const PIPELINE: &str = "golden.sql";
const CHECKPOINT: &str = "checkpoints/golden";
const VARIANTS: [&str; 3] = ["ended", "committed", "planned"];

/// What is compared of each table: as numbers and text that every reader writes alike.
const TABLES: [(&str, &str); 8] = [
    ("bronze.sales", "SELECT _partition, _offset, event_id, account_id, CAST(amount AS VARCHAR) FROM bronze.sales"),
    ("silver.sales", "SELECT _partition, _offset, event_id, region, quantity FROM silver.sales"),
    ("silver.accounts", "SELECT account_id, region, plan_tier FROM silver.accounts"),
    (
        "gold.revenue",
        "SELECT CAST(extract(epoch FROM window_start) AS BIGINT), CAST(extract(epoch FROM window_end) AS BIGINT), region, \
         plan_tier, CAST(revenue AS VARCHAR), event_count FROM gold.revenue",
    ),
    (
        "gold.hops",
        "SELECT CAST(extract(epoch FROM window_start) AS BIGINT), product, CAST(least AS VARCHAR), CAST(most AS VARCHAR), \
         CAST(round(quantity * 3600) AS BIGINT) FROM gold.hops",
    ),
    ("late.silver_sales", "SELECT _partition, _offset, event_id, _late FROM late.silver_sales"),
    (
        "quarantine.silver_sales",
        "SELECT _partition, _offset, event_id, array_to_string(_violations, ',') FROM quarantine.silver_sales",
    ),
    ("dead_letters.sales_events", "SELECT \"partition\", \"offset\", error_class FROM dead_letters.sales_events"),
];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The versions of which there is a set, oldest first.
fn versions() -> Vec<PathBuf> {
    let mut versions: Vec<PathBuf> = fs::read_dir(golden()).unwrap().map(|e| e.unwrap().path()).collect();
    versions.sort();
    assert!(!versions.is_empty());
    versions
}

/// A folder with the pipeline and the log of a set, and nothing else.
fn project(set: &Path) -> Workspace {
    let job = Workspace::new();
    copy(&set.join("log"), &job.path().join("data/.log"));
    fs::copy(set.join(PIPELINE), job.path().join(PIPELINE)).unwrap();
    job
}

fn run(job: &Workspace) {
    job.ok(&["run", PIPELINE, "--trigger", "available-now"]);
}

fn verify(job: &Workspace, when: &str) {
    let said = job.ok(&["checkpoint", "verify", CHECKPOINT]);
    assert!(said.contains("agree"), "{when}: {said}");
}

fn tables(job: &Workspace) -> Vec<(&'static str, Vec<String>)> {
    TABLES.iter().map(|(table, sql)| (*table, job.rows(sql))).collect()
}

fn expected(set: &Path) -> Vec<(&'static str, Vec<String>)> {
    let read = |table: &str| fs::read_to_string(set.join("expected").join(format!("{table}.csv"))).unwrap();
    TABLES.iter().map(|(table, _)| (*table, read(table).lines().map(str::to_owned).collect())).collect()
}

#[test]
fn what_an_earlier_version_left_behind_is_gone_on_with() {
    for set in versions() {
        let expected = expected(&set);
        assert!(expected.iter().all(|(table, rows)| !rows.is_empty() || panic!("{table} is empty in the golden set")));
        for variant in VARIANTS {
            let job = project(&set);
            copy(&set.join("ended"), job.path());
            stop_at(&job, variant);
            let at = format!("{} {variant}", set.display());

            let shown = job.ok(&["checkpoint", "show", CHECKPOINT]);
            assert!(shown.contains("golden") && shown.contains("committed   batch"), "{at}: {shown}");
            assert_eq!(shown.contains("not committed"), variant == "planned", "{at}: {shown}");
            verify(&job, &at);
            assert!(job.rows_exist("silver.sales"), "{at}");

            run(&job);
            verify(&job, &at);
            support::assert_same(&expected, &tables(&job));
            if variant == "ended" {
                goes_on_as_if_it_had_always_been_this_version(&set, &job);
            }
        }
    }
}

/// More events into a golden project, and into one of this version that has read the same log to the same place.
fn goes_on_as_if_it_had_always_been_this_version(set: &Path, job: &Workspace) {
    let own = project(set);
    run(&own);
    support::assert_same(&expected(set), &tables(&own));
    job.produce(300, 5);
    copy(&job.path().join("data/.log"), &own.path().join("data/.log"));
    for one in [job, &own] {
        run(one);
        verify(one, "after more events");
    }
    let (old, new) = (tables(job), tables(&own));
    assert!(old[0].1.len() > expected(set)[0].1.len());
    support::assert_same(&new, &old);
}

#[test]
fn a_golden_file_of_a_newer_version_is_refused_with_its_name_and_nothing_is_changed() {
    let set = versions().pop().unwrap();
    let sealed = ["metadata", "sources/sales_events/start", "sources/sales_events/reader", "commits/*", "offsets/*"];
    // The first set has its marks in the folders, later ones beside them.
    let marks = ["data/silver/.sales_sluicebox_owner", "data/silver/sales/_sluicebox_owner"];
    let mark = marks.into_iter().find(|mark| set.join("ended").join(mark).exists()).unwrap();
    let own = [mark, "data/.log/@log.json", "data/.log/sales.events.v1/@topic.json"];
    let names = sealed.iter().map(|name| format!("{CHECKPOINT}/{name}")).chain(own.map(str::to_owned));
    for name in names.chain(["data/.log/registry/0000000001.json".to_owned()]) {
        let job = project(&set);
        copy(&set.join("ended"), job.path());
        let path = newest(&job.path().join(&name));
        let content = fs::read_to_string(&path).unwrap();
        let (version, rest) = content.split_once(' ').unwrap();
        assert!(["v1", "v2", "v3"].contains(&version), "{}", path.display());
        fs::write(&path, format!("v9 {rest}")).unwrap();
        let before = files(job.path());
        let output = job.run(&["run", PIPELINE, "--trigger", "available-now"]);
        let said = support::text(&output.stderr);
        assert!(!output.status.success(), "{name}: {said}");
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(said.contains(&file) && said.contains("newer Sluicebox"), "{name}: {said}");
        let mut after = files(job.path());
        // The run that was refused leaves the record of itself. The set was made elsewhere: the marks still name that place.
        after.retain(|path, _| {
            before.contains_key(path) || !path.starts_with(job.path().join(CHECKPOINT).join("epochs"))
        });
        assert!(before == after, "{name}: the refused run changed something");
    }
}

/// Every file below `folder` with its content.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    found
}

/// `path`, or where its name is `*` the file of the highest number beside it.
fn newest(path: &Path) -> PathBuf {
    if !path.ends_with("*") {
        return path.to_owned();
    }
    let folder = path.parent().unwrap();
    ids(folder).last().map(|id| folder.join(id.to_string())).unwrap()
}

fn ids(folder: &Path) -> Vec<u64> {
    let mut ids: Vec<u64> =
        fs::read_dir(folder).unwrap().filter_map(|e| e.unwrap().file_name().to_str().unwrap().parse().ok()).collect();
    ids.sort_unstable();
    ids
}

/// Makes the set of a version, in place of what is there:
/// `SLUICEBOX_GOLDEN=v1 cargo test --test golden -- --ignored make_a_golden_set`. Only for a new version of a format: the
/// sets of earlier ones are never made again, for then they would prove nothing.
#[test]
#[ignore = "writes tests/golden/"]
fn make_a_golden_set() {
    let set = golden().join(std::env::var("SLUICEBOX_GOLDEN").unwrap());
    for part in ["log", "expected", "ended"] {
        drop(fs::remove_dir_all(set.join(part)));
    }
    if !set.join(PIPELINE).exists() {
        let last = versions().into_iter().rfind(|v| v.join(PIPELINE).exists()).unwrap();
        fs::create_dir_all(&set).unwrap();
        fs::copy(last.join(PIPELINE), set.join(PIPELINE)).unwrap();
    }
    let job = Workspace::new();
    fs::copy(set.join(PIPELINE), job.path().join(PIPELINE)).unwrap();
    let share = ["--late", "0.08", "--duplicate", "0.08", "--invalid", "0.06", "--malformed", "0.03"];
    job.ok(&[&["produce", "sales", "--events", "400", "--seed", "7"], &share[..]].concat());
    copy(&job.path().join("data/.log"), &set.join("log"));
    run(&job);
    verify(&job, "the new set");
    fs::remove_dir_all(job.path().join("data/.log")).unwrap();
    for part in ["data", "checkpoints"] {
        copy(&job.path().join(part), &set.join("ended").join(part));
    }
    fs::create_dir_all(set.join("expected")).unwrap();
    let log = set.join("log");
    copy(&log, &job.path().join("data/.log"));
    for (table, rows) in tables(&job) {
        fs::write(set.join("expected").join(format!("{table}.csv")), rows.join("\n") + "\n").unwrap();
    }
}

/// Takes a project whose run ended back to where a batch in the middle was staged, and committed if `variant` says so, but
/// not published: every record and file is as the run wrote it, only those of later moments are gone.
fn stop_at(job: &Workspace, variant: &str) {
    if variant == "ended" {
        return;
    }
    let checkpoint = job.path().join(CHECKPOINT);
    let (batches, committed) = (ids(&checkpoint.join("commits")), variant == "committed");
    let id = batches[batches.len() / 2];
    for later in batches.into_iter().filter(|b| *b >= id) {
        let path = checkpoint.join("commits").join(later.to_string());
        let commit = fs::read_to_string(&path).unwrap();
        let commit: serde_json::Value = serde_json::from_str(commit.split_once('\n').unwrap().1).unwrap();
        // Up to version 2 an output was a folder of files.
        let outputs = commit.get("files").or(commit.get("outputs")).unwrap();
        for output in outputs.as_array().unwrap() {
            let output = output.get("staged").unwrap_or(output);
            let location = checkpoint.join(output["location"].as_str().unwrap());
            for file in output["files"].as_array().unwrap() {
                let target = location.join(file["target"].as_str().unwrap());
                let staged = location.join(file["staged"].as_str().unwrap());
                if later == id {
                    fs::create_dir_all(staged.parent().unwrap()).unwrap();
                    fs::rename(&target, staged).unwrap();
                } else {
                    fs::remove_file(&target).unwrap();
                }
                // Partition folders of their own go with their file.
                drop(fs::remove_dir(target.parent().unwrap()));
            }
        }
        if later > id || !committed {
            fs::remove_file(path).unwrap();
        }
        if later > id {
            fs::remove_file(checkpoint.join("offsets").join(later.to_string())).unwrap();
        }
    }
    for operator in fs::read_dir(checkpoint.join("state")).unwrap() {
        for file in fs::read_dir(operator.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let batch: u64 = path.file_name().unwrap().to_str().unwrap()[..9].parse().unwrap();
            if batch > id {
                fs::remove_file(path).unwrap();
            }
        }
    }
}
