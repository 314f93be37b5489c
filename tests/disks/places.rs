//! Tables in checkpoints, and checkpoints in tables: refused before anything is made, and left alone by runs that find them.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::GOLD;
use crate::support::{Workspace, contents, is_parquet, mark_of, text};

/// A pipeline that copies the topic to `location`.
fn copier(job: &Workspace, name: &str, set: &str, location: &str) -> String {
    let text = std::fs::read_to_string(job.path().join(GOLD)).unwrap();
    let source = &text[text.find("CREATE TABLE").unwrap()..text.find("CREATE STREAMING TABLE").unwrap()];
    let file = format!("{name}.sql");
    let sql = format!(
        "SET 'pipeline.name' = '{name}';\n{set}\n{source}\nCREATE STREAMING TABLE t LOCATION '{location}' AS SELECT event_id, \
         amount FROM STREAM sales_events;"
    );
    job.write(&file, &sql);
    file
}

/// Everything below `dir`, folders and links too.
fn entries(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(entries(&entry.path()));
        }
        found.insert(entry.path());
    }
    found
}

/// Fails unless `plan`, a run and a full refresh of `file` are refused with all of `words`, and nothing was made below `dir`.
fn refuses(job: &Workspace, file: &str, more: &[&str], words: &[&str], dir: &Path) {
    let before = entries(dir);
    let run = ["run", file, "--trigger", "available-now"];
    for command in [vec!["plan", file], run.to_vec(), [&run[..], &["--full-refresh"]].concat()] {
        let args = [&command[..], more].concat();
        let said = job.fails(2, &args);
        assert!(said.contains("error[shared-folder]"), "{args:?}: {said}");
        assert!(words.iter().all(|word| said.contains(word)), "{args:?}: no {words:?} in: {said}");
        assert_eq!(entries(dir), before, "{args:?} made something");
    }
}

#[test]
fn a_table_and_what_runs_keep_for_themselves_never_lie_in_each_other() {
    let (job, elsewhere) = (Workspace::new(), tempfile::tempdir().unwrap());
    job.produce(100, 1);
    // What a plan makes in the embedded log is there already.
    let file = copier(&job, "p", "", "data/silver/t");
    job.ok(&["plan", &file]);
    symlink(job.path(), elsewhere.path().join("link")).unwrap();
    symlink(job.path().join("data"), job.path().join("inner")).unwrap();
    let at = |path: &str| job.path().join(path).to_str().unwrap().to_owned();
    let by_link = |path: &str| elsewhere.path().join("link").join(path).to_str().unwrap().to_owned();
    let own = |location: &str| location.to_owned();
    let (set, ck) = ("SET 'checkpoint' = 'ck';", ["--checkpoint", "ck"]);
    let (in_checkpoint, in_log) = ("and the checkpoint is", "and the embedded log is");
    let linked = by_link("data/silver/t/ck");
    let cases: [(&str, String, &[&str], &str); 19] = [
        (set, own("ck/state/t"), &[], in_checkpoint),
        (set, own("ck"), &[], in_checkpoint),
        ("", own("ck/state/t"), &ck, in_checkpoint),
        ("", at("checkpoints/p/state/t"), &[], in_checkpoint),
        ("", at("checkpoints/p/state"), &[], in_checkpoint),
        ("", at("checkpoints/p/commits"), &[], in_checkpoint),
        ("", at("checkpoints/p"), &[], in_checkpoint),
        ("", at("checkpoints"), &[], in_checkpoint),
        ("", at("checkpoints/other/state/t"), &[], "and the folder of checkpoints is"),
        ("", at("none/../checkpoints/p/state/t"), &[], in_checkpoint),
        ("", by_link("checkpoints/p/state/t"), &[], in_checkpoint),
        ("", at("data/.log/t"), &[], in_log),
        ("", own("inner/.log/t"), &[], in_log),
        ("", own("data/silver/state"), &["--checkpoint", "data/silver"], in_checkpoint),
        ("", own("data/silver/t"), &["--checkpoint", "data/silver/t/ck"], in_checkpoint),
        ("", own("data/silver/t"), &["--checkpoint", &linked], in_checkpoint),
        ("", own("data/silver/t"), &["--checkpoint", "data/silver/t"], in_checkpoint),
        ("", own("data/silver/t"), &["--checkpoint", "data/dq"], in_checkpoint),
        ("", own("data/silver/t"), &["--checkpoint", "data/.log/ck"], in_log),
    ];
    for (set, location, more, words) in cases {
        let file = copier(&job, "p", set, &location);
        refuses(&job, &file, more, &["would be written to", words], job.path());
    }
    let file = copier(&job, "p", "", "data/silver/t");
    job.ok(&["run", &file, "--trigger", "available-now"]);

    // A pipeline that has begun, too: its next start is refused, and leaves what it has committed.
    let committed = contents(&job.path().join("data/silver/t"));
    let file = copier(&job, "p", "", &at("checkpoints/p/state/t"));
    let said = job.fails(2, &["run", &file, "--trigger", "available-now", "--full-refresh"]);
    assert!(said.contains("error[shared-folder]"), "{said}");
    assert_eq!(contents(&job.path().join("data/silver/t")), committed);

    let other = copier(&job, "q", "", "data/silver/u");
    let words = ["which is the folder of a table", "--checkpoint"];
    refuses(&job, &other, &["--checkpoint", "data/silver/t/ck"], &words, job.path());
}

const IN_STATE: [&str; 2] = ["b", "gold_revenue_5m.aggregate.0"];

#[test]
fn no_table_comes_into_another_projects_checkpoint() {
    let (first, second) = (Workspace::new(), Workspace::new());
    first.produce(100, 1);
    first.run_to_end(&[]);
    second.produce(100, 2);
    let checkpoint = first.path().join("checkpoints/revenue_5m");
    symlink(&checkpoint, second.path().join("link")).unwrap();
    for name in IN_STATE {
        for within in [checkpoint.to_str().unwrap(), "link"] {
            let file = copier(&second, "other", "", &format!("{within}/state/{name}"));
            refuses(&second, &file, &[], &["which lies in the checkpoint", "another LOCATION"], &checkpoint);
            assert!(!second.path().join("checkpoints").exists(), "{name}: its first start left something");
        }
    }
}

/// It was there before the checkpoint was, or an older version has put it there.
#[test]
fn a_table_that_lies_in_another_projects_checkpoint_keeps_its_files() {
    for name in IN_STATE {
        let (first, second) = (Workspace::new(), Workspace::new());
        let location = first.path().join("checkpoints/revenue_5m/state").join(name);
        second.produce(200, 2);
        let file = copier(&second, "other", "", location.to_str().unwrap());
        let args =
            ["run", file.as_str(), "--trigger", "available-now", "--set", "sales_events.maxOffsetsPerTrigger=50"];
        second.ok(&args);
        // Beside them the other's operator of that name may write.
        let mut before = contents(&location);
        before.insert(mark_of(&location), std::fs::read(mark_of(&location)).unwrap());
        assert!(before.keys().any(|path| is_parquet(path)));
        let keeps = |what: &str| {
            let lost = before.iter().find(|(path, content)| std::fs::read(path).ok().as_ref() != Some(*content));
            assert_eq!(lost.map(|(path, _)| path), None, "{name}: {what} deleted or changed it");
        };

        first.produce(300, 1);
        let set = ["--set", "sales_events.maxOffsetsPerTrigger=30"];
        let output = first.run(&[&["run", GOLD, "--trigger", "available-now"][..], &set].concat());
        let told = text(&output.stderr);
        assert!(output.status.success(), "{told}");
        let is_told = told.contains("is the folder of a table too: the state files in it stay");
        assert_eq!(
            is_told,
            name == IN_STATE[1],
            "{name}: where an operator's files lie it is told that they stay: {told}"
        );
        keeps("a run");
        let refresh = ["run", GOLD, "--trigger", "available-now", "--full-refresh"];
        let said = first.fails(2, &refresh);
        assert!(said.contains("is the folder of a table") && said.contains(location.to_str().unwrap()), "{said}");
        keeps("a full refresh");
        assert!(!first.path().join("checkpoints/revenue_5m/refresh").exists(), "{name}: a refresh was begun");
        first.ok(&["checkpoint", "verify", "checkpoints/revenue_5m"]);

        // What the messages say is a way on.
        let said = second.fails(2, &args);
        assert!(said.contains("which lies in the checkpoint") && said.contains("another LOCATION"), "{said}");
        copier(&second, "other", "", "data/silver/t");
        second.ok(&[&args[..], &["--full-refresh"]].concat());
        std::fs::remove_dir_all(&location).unwrap();
        first.ok(&refresh);
    }
}
