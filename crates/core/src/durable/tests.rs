#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
use std::fs;
use std::io::Write;

use super::*;
use crate::fault::What;

#[test]
fn the_first_creator_wins_and_nothing_is_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("7");
    assert_eq!(create_if_absent(What::Commit, &path, b"one").unwrap(), Created::New);
    assert_eq!(create_if_absent(What::Commit, &path, b"two").unwrap(), Created::Exists);
    assert_eq!(fs::read(&path).unwrap(), b"one");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_sweep_removes_temporaries_only() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".tmp-1-0-x"), "torn").unwrap();
    fs::write(dir.path().join("x"), "whole").unwrap();
    sweep_temporaries(What::Commit, dir.path()).unwrap();
    assert!(dir.path().join("x").exists());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_file_is_written_piece_by_piece_and_at_a_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let mut file = DurableFile::create(What::Stage, &path).unwrap();
    file.write_all(b"abc").unwrap();
    file.write_all(b"def").unwrap();
    file.write_all_at(b"X", 1).unwrap();
    file.truncate(5).unwrap();
    file.sync().unwrap();
    assert_eq!(read(What::Stage, &path).unwrap().unwrap(), b"aXcde");
    assert!(DurableFile::create_new(What::Stage, &path).is_err());
}

#[test]
fn a_tree_is_removed_whole_and_links_in_it_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (inside, outside) = (dir.path().join("a/b"), dir.path().join("kept"));
    create_dir_durable(What::Sweep, &inside).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("x"), "").unwrap();
    fs::write(inside.join("y"), "").unwrap();
    std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
    assert!(remove_tree(What::Sweep, &dir.path().join("a")).unwrap());
    assert!(!remove_tree(What::Sweep, &dir.path().join("a")).unwrap());
    assert!(outside.join("x").exists());
}
