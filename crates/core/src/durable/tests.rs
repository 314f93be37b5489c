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
fn a_file_is_named_when_it_is_whole_and_read_at_any_place_after_its_name_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("7"), dir.path().join("8"));
    let temporary = temporary_name(&path);
    let mut file = DurableFile::create_new(What::Segment, &temporary).unwrap();
    let mut sum = Checksum::default();
    for piece in [b"abc".as_slice(), b"defg"] {
        file.write_all(piece).unwrap();
        sum.update(piece);
    }
    file.sync().unwrap();
    assert!(FoundFile::open(What::Segment, &path).unwrap().is_none());
    assert_eq!(name_if_absent(What::Segment, &temporary, &path).unwrap(), Created::New);
    let found = FoundFile::open(What::Segment, &path).unwrap().unwrap();
    assert_eq!((found.length(), sum.text()), (7, checksum(b"abcdefg")));
    fs::write(&other, "other").unwrap();
    assert_eq!(name_if_absent(What::Segment, &other, &path).unwrap(), Created::Exists);
    fs::remove_file(&path).unwrap();
    let mut bytes = [0; 3];
    found.read_exact_at(&mut bytes, 4).unwrap();
    assert_eq!(&bytes, b"efg");
    assert!(found.read_exact_at(&mut bytes, 5).is_err(), "it ends before");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
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
