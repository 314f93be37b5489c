//! Two runs, two pipelines, two checkpoints on what one alone may have.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Child;

use crate::support::{Workspace, assert_same, text};
use crate::{CHECKPOINT, GOLD, run};

/// A run that goes on until it is killed, when it has committed a batch.
fn running(job: &Workspace, more: &[&str]) -> Child {
    let mut args = vec!["run", GOLD];
    args.extend(more);
    let commits = || std::fs::read_dir(job.path().join(CHECKPOINT).join("commits")).map_or(0, Iterator::count);
    let before = commits();
    let mut child = job.start(&args);
    while commits() <= before {
        assert!(child.try_wait().unwrap().is_none(), "the run ended");
        std::thread::yield_now();
    }
    child
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_copied_checkpoint_and_its_original_never_write_to_the_same_tables() {
    let job = Workspace::new();
    job.produce(600, 1);
    job.run_to_end(&[]);
    let copy = job.path().join("checkpoints/copy");
    copy_all(&job.path().join(CHECKPOINT), &copy);

    // At the same time: the tables' marks are locked.
    job.produce(300, 2);
    let first = running(&job, &[]);
    let said = job.fails(1, &["run", GOLD, "--trigger", "available-now", "--checkpoint", "checkpoints/copy"]);
    assert!(said.contains("_sluicebox_owner") && said.contains("a copy"), "{said}");
    let said = job.fails(1, &["run", GOLD, "--checkpoint", "checkpoints/copy", "--full-refresh"]);
    assert!(said.contains("_sluicebox_owner"), "{said}");
    end(first);
    job.run_to_end(&[]);
    let expected = job.tables();

    // One after the other: the copy is older than the tables.
    let said = job.fails(1, &["run", GOLD, "--trigger", "available-now", "--checkpoint", "checkpoints/copy"]);
    assert!(said.contains("older than its tables") && said.contains("checkpoints/copy"), "{said}");
    assert_same(&expected, &job.tables());
    job.run_to_end(&[]);
    assert_same(&expected, &job.tables());
}

#[test]
fn a_full_refresh_of_another_pipelines_checkpoint_is_refused() {
    let job = Workspace::new();
    job.produce(300, 1);
    job.run_to_end(&[]);
    let before = job.tables();
    let text = std::fs::read_to_string(job.path().join(GOLD)).unwrap();
    let other = text.replace("'revenue_5m'", "'other'").replace("data/", "elsewhere/").replace("_sales", "_others");
    job.write("other.sql", &other.replace("gold_revenue_5m", "gold_other"));
    let said = job.fails(2, &["run", "other.sql", "--checkpoint", CHECKPOINT, "--full-refresh"]);
    assert!(said.contains("belongs to the pipeline `revenue_5m`"), "{said}");
    assert_same(&before, &job.tables());
    job.run_to_end(&[]);
    job.ok(&["checkpoint", "verify", CHECKPOINT]);
}

/// A pipeline that copies the topic to `location`.
fn copier(job: &Workspace, name: &str, table: &str, location: &str) -> String {
    let text = std::fs::read_to_string(job.path().join(GOLD)).unwrap();
    let start = text.find("CREATE TABLE").unwrap();
    let source =
        &text[start..text.find("CREATE STREAMING TABLE").unwrap()].replace("sales_events", &format!("{name}_events"));
    let file = format!("{name}.sql");
    let sql = format!(
        "SET 'pipeline.name' = '{name}';\n{source}\nCREATE STREAMING TABLE {table} LOCATION '{location}' AS SELECT event_id, \
         amount FROM STREAM {name}_events;"
    );
    job.write(&file, &sql);
    file
}

#[test]
fn two_pipelines_on_one_location_nested_or_by_links_are_refused() {
    let job = Workspace::new();
    job.produce(300, 1);
    let first = copier(&job, "first", "bronze_first", "shared/table");
    job.ok(&["run", &first, "--trigger", "available-now"]);
    let shared = job.path().join("shared");
    symlink(shared.join("table"), job.path().join("link")).unwrap();
    symlink(&shared, job.path().join("outer")).unwrap();
    let rows = |job: &Workspace| std::fs::read_dir(job.path().join("shared/table")).unwrap().count();
    let before = rows(&job);
    for (location, words) in [
        ("shared/table", "belongs to pipeline first"),
        ("link", "belongs to pipeline first"),
        ("outer/table", "belongs to pipeline first"),
        ("shared/table/inner", "lies inside"),
        ("link/inner", "lies inside"),
        ("shared", "lies inside"),
        ("outer", "lies inside"),
    ] {
        let second = copier(&job, "second", "bronze_second", location);
        for more in [&[] as &[&str], &["--full-refresh"]] {
            let mut args = vec!["run", second.as_str(), "--trigger", "available-now"];
            args.extend(more);
            let said = job.fails(2, &args);
            assert!(said.contains(words) && said.contains("another LOCATION"), "{location}: {said}");
        }
        assert_eq!(rows(&job), before, "{location}");
    }
    job.ok(&["run", &first, "--trigger", "available-now"]);
    job.ok(&["checkpoint", "verify", "checkpoints/first"]);
}

#[test]
fn two_tables_in_one_folder_are_refused_before_anything_is_written() {
    let job = Workspace::new();
    job.produce(100, 1);
    std::fs::create_dir(job.path().join("real")).unwrap();
    symlink("real", job.path().join("link")).unwrap();
    for (one, two) in [("data/t", "data/t"), ("data/t", "./data/../data/t"), ("real", "link"), ("real", "link/inner")] {
        let file = copier(&job, "pair", "bronze_one", one);
        let text = std::fs::read_to_string(job.path().join(&file)).unwrap();
        let more =
            format!("\nCREATE STREAMING TABLE bronze_two LOCATION '{two}' AS SELECT event_id FROM STREAM pair_events;");
        job.write(&file, &(text + &more));
        let said = job.fails(2, &["run", &file, "--trigger", "available-now"]);
        assert!(said.contains("LOCATION") || said.contains("location"), "{one}, {two}: {said}");
        assert!(!job.path().join("checkpoints/pair/metadata").exists(), "{one}, {two}");
    }
}

#[test]
fn a_second_run_is_told_who_holds_the_checkpoint() {
    let job = Workspace::new();
    job.produce(300, 1);
    let first = running(&job, &[]);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let second = run(&job, 100, &[]).output().unwrap();
    let said = text(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    for words in [&format!("process {} on {}", first.id(), host.trim()), "--take-over", CHECKPOINT] {
        assert!(said.contains(words), "no {words} in {said}");
    }
    end(first);
    assert!(run(&job, 100, &[]).output().unwrap().status.success());
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_all(&path, &target);
        } else {
            std::fs::copy(path, target).unwrap();
        }
    }
}
