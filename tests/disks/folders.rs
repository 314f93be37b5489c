//! What others do to the folders of a pipeline: foreign files, folders and files that go, lost and old checkpoints.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::GOLD;
use crate::scene::{Scene, files_of, said, table_files};
use crate::support::text;

const CHECKPOINT: &str = "checkpoints/revenue_5m";

fn scene() -> Scene {
    Scene::new(900, 600, 150, &[])
}

/// Fails with `code`, the message has all of `words`.
fn stops(scene: &Scene, code: i32, more: &[&str], words: &[&str]) -> String {
    let output = scene.run(more);
    let said = said(&output, &words.join(", "));
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "no {word:?} in: {said}");
    }
    said
}

fn goes_on(scene: &Scene, what: &str) -> String {
    let output = scene.run(&[]);
    let said = said(&output, what);
    assert!(output.status.success(), "{what}: {said}");
    said
}

/// Restores the files below `folder` as they were kept.
fn put_back(scene: &Scene, folder: &str) {
    let at = scene.job.path().join(folder);
    let _ = std::fs::remove_dir_all(&at);
    for (path, content) in scene.files().iter().filter(|(p, _)| p.starts_with(folder)) {
        let path = scene.job.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// A published file of the newest batch, or of the oldest.
fn published(scene: &Scene, newest: bool) -> PathBuf {
    let mut files: Vec<&PathBuf> =
        scene.files().keys().filter(|p| p.starts_with("data/bronze") && p.extension().is_some()).collect();
    files.sort();
    if newest { files[files.len() - 1].clone() } else { files[0].clone() }
}

#[test]
fn foreign_files_in_a_table_folder_are_told_and_left_alone() {
    let scene = scene();
    let folder = scene.job.path().join("data/silver/sales");
    let foreign = ["exported.parquet", "notes.txt", "somebody's/part-0.parquet", ".hidden", "_SUCCESS"];
    std::fs::create_dir(folder.join("somebody's")).unwrap();
    for name in foreign {
        std::fs::write(folder.join(name), "not ours").unwrap();
    }
    symlink("/nowhere", folder.join("link.parquet")).unwrap();
    for more in [&[] as &[&str], &["--full-refresh"]] {
        let output = scene.run(more);
        let said = said(&output, "foreign files");
        assert!(output.status.success(), "{said}");
        for name in ["exported.parquet", "link.parquet", "notes.txt"] {
            assert!(said.contains(name), "no {name} in: {said}");
        }
        assert!(!said.contains(".hidden") && !said.contains("_SUCCESS"), "{said}");
        for name in foreign {
            assert_eq!(std::fs::read_to_string(folder.join(name)).unwrap(), "not ours", "{more:?}");
        }
        assert!(folder.join("link.parquet").symlink_metadata().is_ok());
    }
    for name in foreign {
        std::fs::remove_file(folder.join(name)).unwrap();
    }
    std::fs::remove_file(folder.join("link.parquet")).unwrap();
    scene.assert_anew("after the refresh");
}

#[test]
fn a_foreign_file_at_a_final_name_is_never_replaced() {
    let scene = scene();
    scene.run(&[]);
    let names = table_files(&scene.job);
    // The first silver file that the run publishes beyond those that were there.
    let name = names.keys().find(|p| p.starts_with("data/silver") && !scene.files().contains_key(*p)).unwrap();
    let at = scene.job.path().join(name);
    type Put = fn(&Path);
    let kinds: [(&str, Put); 3] = [
        ("file", |at| std::fs::write(at, "not ours").unwrap()),
        ("folder", |at| std::fs::create_dir(at).unwrap()),
        ("link", |at| symlink("/nowhere", at).unwrap()),
    ];
    for (kind, put) in kinds {
        scene.reset();
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        put(&at);
        stops(&scene, 1, &[], &[name.to_str().unwrap(), "--full-refresh"]);
        assert!(at.symlink_metadata().is_ok(), "{kind}: it is gone");
        if at.is_dir() {
            std::fs::remove_dir(&at).unwrap()
        } else {
            std::fs::remove_file(&at).unwrap()
        }
        goes_on(&scene, kind);
        scene.assert_right(kind);
    }
}

#[test]
fn a_table_folder_that_is_gone_stops_the_run_and_one_beside_the_tables_does_not() {
    let scene = scene();
    for folder in ["data/bronze/sales", "data/gold/revenue_5m"] {
        std::fs::remove_dir_all(scene.job.path().join(folder)).unwrap();
        let why = stops(&scene, 1, &[], &[folder, "`--full-refresh`", "`--full-refresh=", "backup"]);
        assert!(why.contains("gone or empty"), "{why}");
        assert!(!scene.job.path().join(folder).exists(), "the run made the folder anew");
        put_back(&scene, folder);
        goes_on(&scene, folder);
        scene.assert_right(folder);
        scene.reset();
    }
    for folder in
        ["data/late/revenue_5m/silver_sales", "data/dead_letters/revenue_5m/sales_events", "data/dq/revenue_5m/samples"]
    {
        std::fs::remove_dir_all(scene.job.path().join(folder)).unwrap();
    }
    let output = scene.run(&[]);
    let told = said(&output, "folders beside the tables");
    // The newest batch may have files there: then they are missed by name.
    assert!(output.status.success() || told.contains("is lost"), "{told}");
}

#[test]
fn published_files_that_are_gone_or_changed_are_found() {
    let scene = scene();
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 3] = [
        ("removed", |at| std::fs::remove_file(at).unwrap()),
        ("cut", |at| std::fs::write(at, &std::fs::read(at).unwrap()[..100]).unwrap()),
        ("changed", |at| {
            let mut content = std::fs::read(at).unwrap();
            content[50] ^= 1;
            std::fs::write(at, content).unwrap();
        }),
    ];
    for (what, harm) in harms {
        let old = published(&scene, false);
        harm(&scene.job.path().join(&old));
        let output = scene.job.run(&["checkpoint", "verify", CHECKPOINT]);
        let found = text(&output.stdout);
        assert!(!output.status.success() && found.contains(old.to_str().unwrap()), "{what}: {found}");
        goes_on(&scene, what);
        let output = scene.job.run(&["checkpoint", "verify", CHECKPOINT]);
        assert!(text(&output.stdout).contains(old.to_str().unwrap()), "{what}: a run has not made it good");
        std::fs::write(scene.job.path().join(&old), &scene.files()[&old]).unwrap();
        scene.assert_right(what);
        scene.reset();

        // A file of the newest batch: the restart looks at all of them.
        let newest = published(&scene, true);
        harm(&scene.job.path().join(&newest));
        if newest_commit_names(&scene, &newest) {
            stops(&scene, 1, &[], &[newest.to_str().unwrap(), "--full-refresh"]);
            std::fs::write(scene.job.path().join(&newest), &scene.files()[&newest]).unwrap();
            goes_on(&scene, what);
            scene.assert_right(what);
        }
        scene.reset();
    }
}

fn newest_commit_names(scene: &Scene, file: &Path) -> bool {
    let commits = scene.files().iter().filter(|(p, _)| p.starts_with(Path::new(CHECKPOINT).join("commits")));
    let newest = commits.max_by_key(|(p, _)| p.file_name().unwrap().to_str().unwrap().parse::<u64>().unwrap()).unwrap();
    String::from_utf8_lossy(newest.1).contains(file.file_name().unwrap().to_str().unwrap())
}

#[test]
fn a_checkpoint_that_is_older_than_its_tables_never_starts() {
    let scene = scene();
    goes_on(&scene, "the first run");
    let after = files_of(&scene.job);
    put_back(&scene, CHECKPOINT);
    let why = stops(&scene, 1, &[], &["older than", "--full-refresh", "batch"]);
    assert!(why.contains(".parquet") || why.contains("report.json"), "{why}");

    // The first way out: the newest copy.
    for (path, content) in after.iter().filter(|(p, _)| p.starts_with(CHECKPOINT)) {
        std::fs::write(scene.job.path().join(path), content).unwrap();
    }
    goes_on(&scene, "with its newest copy");
    scene.assert_right("with its newest copy");

    // The second: the files of the batches that it does not know are moved away.
    put_back(&scene, CHECKPOINT);
    let known: u64 = why.split("as committed is ").nth(1).unwrap().split(':').next().unwrap().parse().unwrap();
    for path in after.keys().filter(|p| p.starts_with("data") && !p.starts_with("data/.log")) {
        let text = path.to_str().unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let batch = match text.split("batch_id=").nth(1) {
            Some(rest) => rest.split('/').next().unwrap().parse::<u64>().ok(),
            None => name.split('-').next().unwrap().parse::<u64>().ok(),
        };
        if batch.is_some_and(|b| b > known) {
            std::fs::remove_file(scene.job.path().join(path)).unwrap();
        }
    }
    goes_on(&scene, "without the files that it does not know");
    scene.assert_right("without the files that it does not know");
}

#[test]
fn records_that_are_lost_never_make_a_run_start_from_zero() {
    let scene = scene();
    let root = scene.job.path().join(CHECKPOINT);
    let newest = |folder: &str| {
        let ids = std::fs::read_dir(root.join(folder)).unwrap();
        ids.filter_map(|e| e.unwrap().file_name().to_str()?.parse::<u64>().ok()).max().unwrap()
    };
    type Loss = Box<dyn Fn(&Path)>;
    let (plan, commit) = (newest("offsets"), newest("commits"));
    let losses: [(&str, Loss); 5] = [
        ("the newest commit", Box::new(move |r| std::fs::remove_file(r.join(format!("commits/{commit}"))).unwrap())),
        (
            "the newest pair",
            Box::new(move |r| {
                std::fs::remove_file(r.join(format!("commits/{commit}"))).unwrap();
                std::fs::remove_file(r.join(format!("offsets/{plan}"))).unwrap();
            }),
        ),
        (
            "all records",
            Box::new(|r| {
                std::fs::remove_dir_all(r.join("commits")).unwrap();
                std::fs::remove_dir_all(r.join("offsets")).unwrap();
            }),
        ),
        ("all commits", Box::new(|r| std::fs::remove_dir_all(r.join("commits")).unwrap())),
        ("all plans", Box::new(|r| std::fs::remove_dir_all(r.join("offsets")).unwrap())),
    ];
    for (what, lose) in losses {
        lose(&root);
        let why = stops(&scene, 1, &[], &["--full-refresh"]);
        assert!(why.contains("commits/") || why.contains("offsets/") || why.contains("older than"), "{what}: {why}");
        scene.assert_nothing_else(what);
        put_back(&scene, CHECKPOINT);
        goes_on(&scene, what);
        scene.assert_right(what);
        scene.reset();
    }
    for folder in ["epochs", "sources", "state"] {
        std::fs::remove_dir_all(root.join(folder)).unwrap();
        if folder == "epochs" {
            goes_on(&scene, folder);
            scene.assert_right(folder);
        } else {
            stops(&scene, 1, &[], &[&format!("{folder}/"), "--full-refresh"]);
        }
        scene.reset();
    }
}

#[test]
fn a_mark_that_was_removed_can_be_copied_from_a_neighbour() {
    let scene = scene();
    let (silver, gold) = ("data/silver/.sales_sluicebox_owner", "data/gold/.revenue_5m_sluicebox_owner");
    std::fs::remove_file(scene.job.path().join(silver)).unwrap();
    for more in [&[] as &[&str], &["--full-refresh"]] {
        let output = scene.run(more);
        let said = said(&output, "no mark");
        assert!(!output.status.success() && said.contains(silver) && said.contains("copy of the mark"), "{said}");
        scene.assert_nothing_else("no mark");
    }
    std::fs::copy(scene.job.path().join(gold), scene.job.path().join(silver)).unwrap();
    goes_on(&scene, "a mark that was copied");
    scene.assert_right("a mark that was copied");
}

#[test]
fn a_checkpoint_that_is_deleted_under_its_tables_is_told_and_a_refresh_that_takes_them_is_the_way_out() {
    let scene = scene();
    std::fs::remove_dir_all(scene.job.path().join("checkpoints")).unwrap();
    for more in [&[] as &[&str], &["--full-refresh"]] {
        stops(&scene, 2, more, &["data/", "which is not there", "--full-refresh --take-tables", CHECKPOINT]);
        scene.assert_nothing_else("no checkpoint");
        assert!(!scene.job.path().join(CHECKPOINT).exists(), "{more:?}");
    }
    let output = scene.run(&["--full-refresh", "--take-tables"]);
    assert!(output.status.success(), "{}", said(&output, "refresh"));
    scene.assert_anew("after the refresh");
    scene.job.ok(&["checkpoint", "verify", CHECKPOINT]);
}

#[test]
fn a_pipeline_that_was_renamed_is_refused_until_its_name_is_put_back() {
    let scene = scene();
    let sql = std::fs::read_to_string(scene.job.path().join(GOLD)).unwrap();
    assert!(sql.contains("'revenue_5m'"));
    scene.job.write(GOLD, &sql.replace("'revenue_5m'", "'revenue_new'"));
    for more in [&[] as &[&str], &["--full-refresh"]] {
        stops(&scene, 2, more, &["revenue_5m", "revenue_new", "set 'pipeline.name' back"]);
        // It was its first start, which leaves no folder for what never begins.
        let checkpoints = std::fs::read_dir(scene.job.path().join("checkpoints")).unwrap();
        let checkpoints: Vec<_> = checkpoints.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(checkpoints, ["revenue_5m"], "{more:?}");
    }
    let with_old = ["--checkpoint", CHECKPOINT];
    stops(&scene, 2, &with_old, &["belongs to the pipeline `revenue_5m`", "set 'pipeline.name' back"]);
    let with_old = ["--checkpoint", CHECKPOINT, "--full-refresh"];
    stops(&scene, 2, &with_old, &["belongs to the pipeline `revenue_5m`", "set 'pipeline.name' back"]);
    scene.assert_nothing_else("another name");
    scene.job.write(GOLD, &sql);
    goes_on(&scene, "the old name");
    scene.assert_right("the old name");
}

#[test]
fn a_table_folder_that_goes_while_a_run_writes_to_it_stops_the_run() {
    let scene = scene();
    let (folder, away) = (scene.job.path().join("data/silver/sales"), scene.job.path().join("away"));
    let commits = || std::fs::read_dir(scene.job.path().join(CHECKPOINT).join("commits")).unwrap().count();
    let before = commits();
    let args = ["run", GOLD, "--trigger", "available-now", "--set", "sales_events.maxOffsetsPerTrigger=20"];
    let mut run = scene.job.command(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while commits() < before + 2 {
        assert!(run.try_wait().unwrap().is_none(), "the run ended");
        std::thread::yield_now();
    }
    std::fs::rename(&folder, &away).unwrap();
    let output = run.wait_with_output().unwrap();
    let told = said(&output, "a folder that went");
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("data/silver/sales") && told.contains("removed"), "{told}");
    assert!(!folder.exists(), "the run made the folder anew");
    std::fs::rename(&away, &folder).unwrap();
    goes_on(&scene, "with the folder back");
    scene.assert_right("with the folder back");
    scene.job.ok(&["checkpoint", "verify", CHECKPOINT]);
}
