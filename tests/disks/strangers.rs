//! Folders of somebody else that are named as a checkpoint, what others put into one, and paths that are no text.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::json;

use crate::GOLD;
use crate::matrix::record_of;
use crate::scene::{Scene, said, seal};
use crate::support::{Workspace, contents, copy, ended, mark_of, text};

const RUN: [&str; 4] = ["run", GOLD, "--trigger", "available-now"];

/// Names that folders of a checkpoint have, and files that are nobody's but theirs who put them there.
const THEIRS: [&str; 7] = [
    "pipelines/shop.sql",
    "state/terraform.tfstate",
    "state/deep/f",
    "sources/main.c",
    "commits/msg",
    "offsets/notes",
    "compactions/x",
];

fn put(root: &Path) {
    for name in THEIRS {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, name).unwrap();
    }
}

#[test]
fn a_folder_of_somebody_else_is_taken_for_no_checkpoint() {
    let job = Workspace::new();
    job.produce(100, 1);
    let etl = job.path().join("etl");
    put(&etl);
    let refused = |name: &str| {
        let before = contents(&etl);
        let checkpoint = ["--checkpoint", "etl"];
        for command in [&["plan", GOLD][..], &RUN, &[&RUN[..], &["--full-refresh"]].concat()[..], &["compact", GOLD]] {
            let said = job.fails(2, &[command, &checkpoint].concat());
            assert!(said.contains("error[no-checkpoint]") && said.contains("--checkpoint"), "{command:?}: {said}");
            assert!(said.contains("etl/") && said.contains(name), "{command:?}: {said}");
            assert_eq!(contents(&etl), before, "{command:?}");
        }
        assert!(!job.path().join("data/bronze").exists(), "{name}: a table was made");
    };
    refused("commits/msg");
    // Each alone is enough, and so is a file that only has a record's name, or that of the metadata.
    for name in THEIRS.into_iter().chain(["notes.txt", "offsets/0", "commits/7", "metadata"]) {
        std::fs::remove_dir_all(&etl).unwrap();
        std::fs::create_dir_all(etl.join(name).parent().unwrap()).unwrap();
        std::fs::write(etl.join(name), "v1\n{}\n").unwrap();
        refused(name.split('/').next().unwrap());
    }
    // Without it the folder is empty, and as good as any.
    std::fs::remove_dir_all(&etl).unwrap();
    std::fs::create_dir_all(etl.join("commits")).unwrap();
    std::fs::write(etl.join(".gitkeep"), "").unwrap();
    job.ok(&[&RUN[..], &["--checkpoint", "etl"]].concat());
    job.ok(&["checkpoint", "verify", "etl"]);
}

#[test]
fn a_full_refresh_leaves_what_others_put_into_the_checkpoint_and_among_staged_files() {
    let scene = Scene::new(600, 300, 150, &["--set", "memory.limit=20 KiB"]);
    let root = scene.job.path().join("checkpoints/revenue_5m");
    put(&root);
    let operator = std::fs::read_dir(root.join("state")).unwrap().map(|entry| entry.unwrap().path());
    let operator = operator.filter(|path| path.is_dir() && !path.ends_with("deep")).max().unwrap();
    let staging = scene.job.path().join("data/bronze/sales/_staging");
    let more = [operator.join("notes.txt"), staging.join("mine.txt"), root.join("sources/sales_events/mine.txt")];
    for path in &more {
        std::fs::write(path, "mine").unwrap();
    }
    for how in [&[] as &[&str], &["--full-refresh"], &["--full-refresh"]] {
        let output = scene.run(how);
        let told = said(&output, "foreign files");
        assert!(output.status.success(), "{how:?}: {told}");
        for name in THEIRS {
            assert_eq!(std::fs::read_to_string(root.join(name)).unwrap(), name, "{how:?}");
        }
        for path in &more {
            assert_eq!(std::fs::read_to_string(path).unwrap(), "mine", "{how:?}: {}", path.display());
        }
        if !how.is_empty() {
            assert!(told.contains("terraform.tfstate") && told.contains("was not written by Sluicebox"), "{told}");
            let named = |name: &str| root.join(name).exists();
            assert!(!named("refresh") && named("commits/0"), "{told}");
        }
    }
    scene.assert_anew("after the refresh");
    scene.job.ok(&["checkpoint", "verify", "checkpoints/revenue_5m"]);
}

#[test]
fn a_path_that_is_no_text_is_refused_before_anything_is_written() {
    let job = Workspace::new();
    job.produce(100, 1);
    let odd = job.path().join(OsStr::from_bytes(b"odd\xff"));
    copy(&job.path().join("sql"), &odd.join("sql"));
    copy(&job.path().join("data"), &odd.join("data"));
    let before = contents(job.path());
    let plan = ["plan", GOLD];
    for args in [&plan[..], &["plan", GOLD, "--offline"], &RUN, &[&RUN[..], &["--full-refresh"]].concat()[..]] {
        // The project, and the checkpoint.
        let mut project = job.command(args);
        project.current_dir(&odd);
        let mut checkpoint = job.command(args);
        checkpoint.arg("--checkpoint").arg(OsStr::from_bytes(b"ck\xff"));
        for (command, what) in [(&mut project, "the working directory"), (&mut checkpoint, "the checkpoint")] {
            let output = ended(command, what);
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{args:?}, {what}: {said}");
            assert!(said.contains("error[path-encoding]") && said.contains("\\xFF"), "{args:?}, {what}: {said}");
            assert!(said.contains(what) && said.contains("is no UTF-8"), "{args:?}, {what}: {said}");
        }
        assert_eq!(contents(job.path()), before, "{args:?}");
    }
}

/// Such a path was taken once, and marks have another character for what is no text.
#[test]
fn the_rows_of_a_pipeline_whose_checkpoint_has_an_odd_path_are_not_taken() {
    let shared = tempfile::tempdir().unwrap();
    let location = shared.path().join("t");
    let project = || {
        let job = Workspace::new();
        job.produce(200, 1);
        let text = std::fs::read_to_string(job.path().join(GOLD)).unwrap();
        job.write(GOLD, &text.replace("'data/bronze/sales'", &format!("'{}'", location.display())));
        job
    };
    let (first, second) = (project(), project());
    first.run_to_end(&[]);
    let home = first.path().join("checkpoints/revenue_5m");
    let odd = home.with_file_name(OsStr::from_bytes(b"ck\xff"));
    std::fs::rename(&home, &odd).unwrap();
    let mut mark = record_of(&std::fs::read(mark_of(&location)).unwrap());
    mark["checkpoint"] = json!(odd.display().to_string());
    std::fs::write(mark_of(&location), seal(&mark)).unwrap();
    let before = contents(shared.path());
    let take = [&RUN[..], &["--full-refresh", "--take-tables"]].concat();
    for args in [&RUN[..], &take[..]] {
        let said = second.fails(2, args);
        assert!(said.contains("error[folder-owned]") && said.contains("is no UTF-8"), "{args:?}: {said}");
        assert_eq!(contents(shared.path()), before, "{args:?}");
    }
    // The way that the message says: the mark is set right by the pipeline's own run.
    std::fs::rename(&odd, &home).unwrap();
    first.run_to_end(&[]);
    let said = second.fails(2, &take);
    assert!(said.contains(home.to_str().unwrap()) && said.contains("another pipeline of the same name"), "{said}");
}
