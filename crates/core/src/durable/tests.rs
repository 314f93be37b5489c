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
fn a_limit_of_the_system_is_told_with_what_raises_it() {
    for (errno, way) in [(24, "`ulimit -n`"), (27, "`ulimit -f`"), (28, "make room")] {
        let told = FileError::new("write", "/x", io::Error::from_raw_os_error(errno)).to_string();
        assert!(told.contains(way) && told.contains("run again"), "{told}");
    }
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

/// Asked before, it may be passed while it makes the file, which the later one then does not find.
#[test]
fn whether_a_writer_was_passed_is_asked_when_its_temporary_file_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("7");
    let mut asked = 0;
    let mut look = || -> Result<(), FileError> {
        let names = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
        assert_eq!(names.filter(|name| name.starts_with(".tmp-writer3-")).count(), 1);
        asked += 1;
        Ok(())
    };
    assert_eq!(create_if_absent_unless(What::Commit, &path, b"one", 3, &mut look).unwrap(), Created::New);
    replace_unless(What::Source, &path, b"two", 3, &mut look).unwrap();
    assert_eq!((asked, fs::read(&path).unwrap()), (2, b"two".to_vec()));
}

#[test]
fn a_writer_that_was_passed_replaces_nothing_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("reader");
    fs::write(&path, "old").unwrap();
    let replace = |check: &dyn Fn() -> Result<(), FileError>| replace_unless(What::Source, &path, b"new", 3, check);
    let passed = replace(&|| Err(FileError::new("look", &path, io::Error::other("passed")))).unwrap_err();
    assert_eq!(passed.operation, "look");
    // It has looked, and then a later one takes what it was about to name.
    let swept = replace(&|| sweep_temporaries_before(What::Source, dir.path(), 4)).unwrap_err();
    assert_eq!((swept.operation, swept.source.kind()), ("rename", io::ErrorKind::NotFound));
    assert_eq!(fs::read(&path).unwrap(), b"old");
    replace(&|| sweep_temporaries_before(What::Source, dir.path(), 3)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new", "its own number is not an earlier one");
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
