//! Two runs, two pipelines, two checkpoints on what one alone may have.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Child;

use crate::support::{Workspace, assert_same, contents, files_below, mark_of, text};
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

const TWIN: [&str; 4] = ["run", "twin.sql", "--trigger", "available-now"];

/// A project with the pipeline `twin`, whose table is in `location`.
fn twin(location: &Path) -> Workspace {
    let job = Workspace::new();
    job.produce(300, 1);
    copier(&job, "twin", "bronze_twin", location.to_str().unwrap());
    job
}

#[test]
fn two_projects_with_a_pipeline_of_one_name_never_delete_each_others_rows() {
    let shared = tempfile::tempdir().unwrap();
    let location = shared.path().join("t");
    let (first, second) = (twin(&location), twin(&location));
    first.ok(&TWIN);
    let before = contents(shared.path());
    let home = first.path().join("checkpoints/twin");
    let refused = |more: &[&str]| {
        let said = second.fails(2, &[&TWIN[..], more].concat());
        let words =
            ["error[folder-owned]", "another pipeline of the same name", "choose another LOCATION", "--checkpoint"];
        assert!(words.iter().all(|word| said.contains(word)), "{more:?}: {said}");
        assert!(said.contains(home.to_str().unwrap()) && said.contains("does not delete its rows"), "{more:?}: {said}");
        assert_eq!(contents(shared.path()), before, "{more:?}");
    };
    for more in [&[] as &[&str], &["--full-refresh"], &["--full-refresh", "--take-tables"]] {
        refused(more);
        assert!(!second.path().join("checkpoints").exists(), "{more:?}: it was its first start");
    }
    // One that has a checkpoint of its own, too.
    copier(&second, "twin", "bronze_twin", "data/own");
    second.ok(&TWIN);
    copier(&second, "twin", "bronze_twin", location.to_str().unwrap());
    for more in [&["--full-refresh"] as &[&str], &["--full-refresh", "--take-tables"]] {
        refused(more);
        assert!(!second.path().join("checkpoints/twin/refresh").exists(), "{more:?}: a refresh was begun");
    }
    first.produce(100, 2);
    first.ok(&TWIN);
    first.ok(&["checkpoint", "verify", "checkpoints/twin"]);
}

#[test]
fn a_checkpoint_that_is_damaged_or_not_there_is_told_and_only_a_lost_one_is_taken() {
    let shared = tempfile::tempdir().unwrap();
    let location = shared.path().join("t");
    let (first, second) = (twin(&location), twin(&location));
    first.ok(&TWIN);
    let before = contents(shared.path());
    let (home, aside) = (first.path().join("checkpoints/twin"), first.path().join("aside"));
    let metadata = std::fs::read(home.join("metadata")).unwrap();
    std::fs::write(home.join("metadata"), "torn").unwrap();
    let take = [&TWIN[..], &["--full-refresh", "--take-tables"]].concat();
    let said = second.fails(2, &take);
    assert!(said.contains("something is damaged or cannot be read"), "{said}");
    std::fs::write(home.join("metadata"), metadata).unwrap();
    // It was moved, or it is lost: nobody here can tell.
    std::fs::rename(&home, &aside).unwrap();
    for more in [&[] as &[&str], &["--full-refresh"]] {
        let said = second.fails(2, &[&TWIN[..], more].concat());
        let words = ["which is not there", "Point --checkpoint at where it is now", "--full-refresh --take-tables"];
        assert!(words.iter().all(|word| said.contains(word)), "{more:?}: {said}");
        assert_eq!(contents(shared.path()), before, "{more:?}");
    }
    // The first way on.
    std::fs::rename(&aside, &home).unwrap();
    first.ok(&TWIN);
    // The second; the mark then names who took it.
    std::fs::remove_dir_all(&home).unwrap();
    second.ok(&take);
    second.ok(&["checkpoint", "verify", "checkpoints/twin"]);
    let said = first.fails(2, &[&TWIN[..], &["--full-refresh", "--take-tables"]].concat());
    assert!(said.contains(second.path().join("checkpoints/twin").to_str().unwrap()), "{said}");
    // The word is for all tables.
    let said = second.fails(2, &[&TWIN[..], &["--take-tables"]].concat());
    assert!(said.contains("--full-refresh"), "{said}");
    let said = second.fails(2, &[&TWIN[..], &["--full-refresh=bronze_twin", "--take-tables"]].concat());
    assert!(said.contains("--take-tables goes with --full-refresh without tables"), "{said}");
}

/// As of two containers that both say `/app/checkpoints/p`.
#[test]
fn a_checkpoint_of_the_same_path_is_not_the_same_checkpoint() {
    let shared = tempfile::tempdir().unwrap();
    let location = shared.path().join("t");
    let job = twin(&location);
    job.ok(&TWIN);
    let before = contents(shared.path());
    let (home, aside) = (job.path().join("checkpoints/twin"), job.path().join("aside"));
    std::fs::rename(&home, &aside).unwrap();
    copier(&job, "twin", "bronze_twin", "elsewhere/t");
    job.ok(&[&TWIN[..], &["--full-refresh", "--take-tables"]].concat());
    copier(&job, "twin", "bronze_twin", location.to_str().unwrap());
    let said = job.fails(2, &[&TWIN[..], &["--full-refresh"]].concat());
    assert!(said.contains("which is not there") && said.contains("--take-tables"), "{said}");
    assert_eq!(contents(shared.path()), before);
    job.ok(&[&TWIN[..], &["--full-refresh", "--take-tables"]].concat());
    job.ok(&["checkpoint", "verify", "checkpoints/twin"]);
}

#[test]
fn a_project_that_was_moved_is_found_by_its_marks_where_it_is_now() {
    let (old, new) = (twin(Path::new("data/t")), Workspace::new());
    old.ok(&TWIN);
    for name in ["data", "checkpoints", "twin.sql"] {
        std::fs::rename(old.path().join(name), new.path().join(name)).unwrap();
    }
    let mark = mark_of(&new.path().join("data/t"));
    let says = |job: &Workspace| {
        let place = format!("\"{}\"", job.path().join("checkpoints/twin").display());
        std::fs::read_to_string(&mark).unwrap().contains(&place)
    };
    assert!(says(&old));
    new.ok(&TWIN);
    assert!(says(&new) && !says(&old));
    // What lay beside it while it was replaced is gone after the next batch.
    new.produce(50, 2);
    new.ok(&TWIN);
    let left: Vec<PathBuf> =
        files_below(&new.path().join("data")).into_iter().filter(|path| is_temporary(path)).collect();
    assert!(left.is_empty(), "{left:?}");
    // A pipeline of its name elsewhere is told where it is.
    let other = twin(&new.path().join("data/t"));
    let said = other.fails(2, &TWIN);
    assert!(said.contains(new.path().join("checkpoints/twin").to_str().unwrap()), "{said}");
    new.ok(&["checkpoint", "verify", "checkpoints/twin"]);
}

fn is_temporary(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".tmp-"))
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
