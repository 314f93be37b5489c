//! Publishing: repeated from any point it ends the same, and it never replaces.

use std::fs;
use std::path::Path;

use sluicebox_core::Blamed;

use super::{glob, key, rows, table, walk};
use crate::publish::{Name, observe};
use crate::{
    Check, LakeError, PublishFacts, PublishStep, Publisher, Refusal, Seen, StagedFile, decide, prepare, publish, sweep,
};

fn staged(location: &Path, batch: u64, epoch: u64) -> Vec<StagedFile> {
    let values: Vec<(Option<&str>, Option<i32>)> = (0..20).map(|i| (Some("r"), Some(i % 4))).collect();
    table(location, &["day"]).stage_files(&key(batch, epoch), &[rows(0, &values)]).unwrap()
}

#[test]
fn every_fact_has_one_decision() {
    let file = StagedFile {
        staged: "_staging/1/x.staged".to_owned(),
        target: "x.parquet".to_owned(),
        rows: 1,
        bytes: 10,
        checksum: "aa".to_owned(),
    };
    let seen = |bytes, checksum: Option<&str>| Seen::File { bytes, checksum: checksum.map(str::to_owned) };
    let right = || seen(10, Some("aa"));
    for (staged, target, decision) in [
        (Seen::Absent, Seen::Absent, Err(Refusal::Lost)),
        (right(), Seen::Absent, Ok(PublishStep::Link)),
        (seen(10, None), Seen::Absent, Ok(PublishStep::Link)),
        (seen(9, None), Seen::Absent, Err(Refusal::Damaged)),
        (seen(10, Some("bb")), Seen::Absent, Err(Refusal::Damaged)),
        (Seen::Absent, right(), Ok(PublishStep::Done)),
        (right(), right(), Ok(PublishStep::Done)),
        (seen(9, None), right(), Ok(PublishStep::Done)),
        (Seen::Absent, seen(10, Some("bb")), Err(Refusal::Foreign)),
        (right(), seen(9, None), Err(Refusal::Foreign)),
        (right(), seen(9, Some("aa")), Err(Refusal::Foreign)),
        // A final file counts only when its content was looked at.
        (right(), seen(10, None), Err(Refusal::Foreign)),
    ] {
        let facts = PublishFacts { staged, target };
        assert_eq!(decide(&file, &facts), decision, "{facts:?}");
    }
}

#[test]
fn publishing_gives_final_names_and_leaves_no_staged_file() {
    let dir = tempfile::tempdir().unwrap();
    let files = staged(dir.path(), 1, 1);
    publish(dir.path(), &files, Check::Size).unwrap();
    let visible = glob(dir.path());
    assert_eq!(visible.len(), 4);
    for file in &files {
        assert_eq!(sluicebox_durable::checksum(&visible[&file.target]), file.checksum);
    }
    assert_eq!(walk(dir.path()).len(), 4);
    publish(dir.path(), &files, Check::Content).unwrap();
    assert_eq!(glob(dir.path()), visible);
}

/// Every state that a publisher killed at any step leaves: `linked` files have their final name, of which the first
/// `unstaged` no longer have a staged one.
#[test]
fn a_publisher_killed_at_any_step_is_finished_by_the_next() {
    for linked in 0..=4 {
        for unstaged in 0..=linked {
            let dir = tempfile::tempdir().unwrap();
            let files = staged(dir.path(), 1, 1);
            for (i, file) in files.iter().enumerate().take(linked) {
                let target = dir.path().join(&file.target);
                fs::create_dir_all(target.parent().unwrap()).unwrap();
                fs::hard_link(dir.path().join(&file.staged), &target).unwrap();
                if i < unstaged {
                    fs::remove_file(dir.path().join(&file.staged)).unwrap();
                }
            }
            publish(dir.path(), &files, Check::Content).unwrap();
            assert_eq!(glob(dir.path()).len(), 4, "{linked} linked, {unstaged} unstaged");
            assert_eq!(walk(dir.path()).len(), 4, "{linked} linked, {unstaged} unstaged");
        }
    }
}

/// Another process links the file before look `linked` and removes the staged name before look `unstaged`.
#[test]
fn a_file_that_another_publishes_meanwhile_is_never_taken_for_lost() {
    let file = StagedFile {
        staged: "_staging/1/x.staged".to_owned(),
        target: "x.parquet".to_owned(),
        rows: 1,
        bytes: 10,
        checksum: "aa".to_owned(),
    };
    for check in [Check::Size, Check::Content] {
        for linked in 0..6 {
            for unstaged in linked..6 {
                let looks = std::cell::Cell::new(0);
                let look = |name, check| {
                    let now = looks.replace(looks.get() + 1);
                    let there = match name {
                        Name::Staged => now < unstaged,
                        Name::Target => now >= linked,
                    };
                    let checksum = (check == Check::Content).then(|| file.checksum.clone());
                    Ok(if there { Seen::File { bytes: file.bytes, checksum } } else { Seen::Absent })
                };
                let facts = observe(check, look).unwrap();
                assert!(decide(&file, &facts).is_ok(), "linked before {linked}, unstaged before {unstaged}: {facts:?}");
            }
        }
    }
}

#[test]
fn two_that_publish_the_same_files_both_finish() {
    let dir = tempfile::tempdir().unwrap();
    let files = staged(dir.path(), 1, 1);
    let contents: Vec<Vec<u8>> = files.iter().map(|f| fs::read(dir.path().join(&f.staged)).unwrap()).collect();
    for round in 0..50 {
        let start = std::sync::Barrier::new(3);
        let check = if round % 2 == 0 { Check::Size } else { Check::Content };
        std::thread::scope(|scope| {
            let race = || {
                start.wait();
                publish(dir.path(), &files, check)
            };
            let racers = [scope.spawn(race), scope.spawn(race), scope.spawn(race)];
            for racer in racers {
                racer.join().unwrap().unwrap();
            }
        });
        assert_eq!(walk(dir.path()).len(), files.len());
        for (file, content) in files.iter().zip(&contents) {
            fs::remove_file(dir.path().join(&file.target)).unwrap();
            fs::write(dir.path().join(&file.staged), content).unwrap();
        }
    }
}

#[test]
fn a_replay_in_another_epoch_is_done_where_the_first_was() {
    let dir = tempfile::tempdir().unwrap();
    publish(dir.path(), &staged(dir.path(), 1, 1), Check::Size).unwrap();
    let before = glob(dir.path());
    let again = staged(dir.path(), 1, 2);
    publish(dir.path(), &again, Check::Content).unwrap();
    assert_eq!(glob(dir.path()), before);
    assert_eq!(walk(dir.path()).len(), 4, "the second epoch's staged files are gone too");
}

#[test]
fn a_file_in_the_way_is_never_replaced() {
    for foreign in [b"someone's".to_vec(), Vec::new()] {
        let dir = tempfile::tempdir().unwrap();
        let files = staged(dir.path(), 1, 1);
        let target = dir.path().join(&files[2].target);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(&target, &foreign).unwrap();
        let error = publish(dir.path(), &files, Check::Size).unwrap_err();
        assert!(matches!(&error, LakeError::ForeignFile { path, .. } if *path == target), "{error}");
        assert!(error.to_string().contains("--full-refresh"), "{error}");
        assert_eq!(fs::read(&target).unwrap(), foreign);
        assert!(dir.path().join(&files[2].staged).exists(), "the committed file is kept");
        fs::remove_file(&target).unwrap();
        publish(dir.path(), &files, Check::Content).unwrap();
        assert_eq!(glob(dir.path()).len(), 4);
    }
}

#[test]
fn a_file_of_the_right_size_and_wrong_content_is_foreign() {
    let dir = tempfile::tempdir().unwrap();
    let files = staged(dir.path(), 1, 1);
    publish(dir.path(), &files, Check::Size).unwrap();
    let target = dir.path().join(&files[0].target);
    let mut content = fs::read(&target).unwrap();
    content[20] ^= 1;
    fs::write(&target, &content).unwrap();
    assert!(matches!(publish(dir.path(), &files, Check::Size), Err(LakeError::ForeignFile { .. })));
}

#[test]
fn a_lost_file_and_a_damaged_one_stop_the_run_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let files = staged(dir.path(), 1, 1);
    let first = dir.path().join(&files[0].staged);
    let content = fs::read(&first).unwrap();
    fs::remove_file(&first).unwrap();
    let error = publish(dir.path(), &files, Check::Size).unwrap_err();
    assert!(matches!(&error, LakeError::LostFile { staged, .. } if *staged == first), "{error}");
    assert_eq!(error.blame(), sluicebox_core::Blame::Outside);

    fs::write(&first, &content[1..]).unwrap();
    assert!(matches!(publish(dir.path(), &files, Check::Size), Err(LakeError::DamagedStagedFile { .. })));
    let mut flipped = content.clone();
    flipped[20] ^= 1;
    fs::write(&first, &flipped).unwrap();
    let error = publish(dir.path(), &files, Check::Content).unwrap_err();
    assert!(matches!(&error, LakeError::DamagedStagedFile { path, .. } if *path == first), "{error}");
    assert!(glob(dir.path()).is_empty());

    fs::write(&first, &content).unwrap();
    publish(dir.path(), &files, Check::Content).unwrap();
}

#[test]
fn a_manifest_cannot_name_files_outside_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let good = staged(dir.path(), 1, 1).remove(0);
    for (staged, target) in [
        (good.staged.clone(), "../x.parquet".to_owned()),
        (good.staged.clone(), "/tmp/x.parquet".to_owned()),
        (good.staged.clone(), "_hidden/x.parquet".to_owned()),
        ("_staging/../../x.staged".to_owned(), good.target.clone()),
        ("x.parquet".to_owned(), good.target.clone()),
    ] {
        let file = StagedFile { staged, target, ..good.clone() };
        assert!(matches!(publish(dir.path(), &[file], Check::Size), Err(LakeError::ManifestPath { .. })));
    }
}

#[test]
fn nothing_is_published_behind_a_link_in_the_place_of_a_partition() {
    let dir = tempfile::tempdir().unwrap();
    let (location, victim) = (dir.path().join("t"), dir.path().join("victim"));
    let files = staged(&location, 1, 1);
    let partition = location.join(Path::new(&files[2].target).parent().unwrap());
    fs::create_dir(&victim).unwrap();
    let mut publisher = Publisher::default();
    for target in [&victim, &dir.path().join("nowhere")] {
        std::os::unix::fs::symlink(target, &partition).unwrap();
        let error = publisher.publish(&[(location.as_path(), files.as_slice())], Check::Size).unwrap_err();
        assert!(matches!(&error, LakeError::LinkedPartition { path, .. } if *path == partition), "{error}");
        let way_on = format!("rm {0}; mv {1} {0}", partition.display(), target.display());
        assert!(error.to_string().contains(&way_on), "{error}");
        assert!(walk(&victim).is_empty() && glob(&location).is_empty());
        fs::remove_file(&partition).unwrap();
    }
    publisher.publish(&[(location.as_path(), files.as_slice())], Check::Size).unwrap();
    assert_eq!(glob(&location).len(), 4);
    // One that comes between two batches.
    let more = staged(&location, 2, 1);
    fs::rename(&partition, victim.join("moved")).unwrap();
    std::os::unix::fs::symlink(victim.join("moved"), &partition).unwrap();
    let before = walk(&victim);
    assert!(matches!(
        publisher.publish(&[(location.as_path(), more.as_slice())], Check::Size),
        Err(LakeError::LinkedPartition { .. })
    ));
    assert_eq!(walk(&victim), before);
    fs::remove_file(&partition).unwrap();
    fs::rename(victim.join("moved"), &partition).unwrap();
    publisher.publish(&[(location.as_path(), more.as_slice())], Check::Content).unwrap();
    assert_eq!(glob(&location).len(), 8);
}

#[test]
fn a_sweep_takes_older_epochs_only() {
    let dir = tempfile::tempdir().unwrap();
    staged(dir.path(), 1, 1);
    staged(dir.path(), 1, 2);
    let kept = staged(dir.path(), 1, 3);
    staged(dir.path(), 1, 10);
    fs::write(dir.path().join("_staging/.tmp-1-2-x"), "torn").unwrap();
    fs::write(dir.path().join(".tmp-1-2-x"), "torn").unwrap();
    sweep(dir.path(), 3).unwrap();
    let mut left: Vec<String> = fs::read_dir(dir.path().join("_staging"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["10", "3"]);
    assert!(!dir.path().join(".tmp-1-2-x").exists());
    publish(dir.path(), &kept, Check::Content).unwrap();
    sweep(&dir.path().join("not there"), 3).unwrap();
}

#[test]
fn prepare_says_what_is_wrong_with_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let location = dir.path().join("a/b/c");
    prepare(&location).unwrap();
    prepare(&location).unwrap();
    assert!(walk(&location).is_empty(), "the trial leaves nothing");
    assert!(matches!(prepare(Path::new("relative")), Err(LakeError::NotAbsolute { .. })));
    fs::write(dir.path().join("file"), "").unwrap();
    let error = prepare(&dir.path().join("file/t")).unwrap_err();
    assert!(error.to_string().contains("file"), "{error}");
}
