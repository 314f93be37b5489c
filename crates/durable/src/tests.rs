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
    let others = ["x", ".tmp-notes", ".tmp-writer-1-0-x", ".tmp-writer3-x", ".tmp-g-0-x"];
    let temporaries = [".tmp-1-0-x", ".tmp-writer2-1-0-x", ".tmp-writer3-0a1b2c3d4e5f6071-12-x"];
    for name in others.iter().chain(&temporaries) {
        fs::write(dir.path().join(name), "").unwrap();
    }
    std::os::unix::fs::symlink("x", dir.path().join(".tmp-2-0-x")).unwrap();
    let left = || fs::read_dir(dir.path()).unwrap().count();
    let own = Own::given(dir.path());
    sweep_temporaries_before(What::Commit, &own, 3).unwrap();
    assert_eq!(left(), others.len() + 3, "that of writer 2 alone is gone");
    assert!(!dir.path().join(".tmp-writer2-1-0-x").exists());
    sweep_temporaries(What::Commit, &own).unwrap();
    assert_eq!(left(), others.len() + 1, "a link is none of ours");
    assert!(others.iter().all(|name| dir.path().join(name).exists()));
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
    let own = Own::given(dir.path());
    let passed = replace(&|| Err(FileError::new("look", &path, io::Error::other("passed")))).unwrap_err();
    assert_eq!(passed.operation, "look");
    // It has looked, and then a later one takes what it was about to name.
    let swept = replace(&|| sweep_temporaries_before(What::Source, &own, 4)).unwrap_err();
    assert_eq!((swept.operation, swept.source.kind()), ("rename", io::ErrorKind::NotFound));
    assert_eq!(fs::read(&path).unwrap(), b"old");
    replace(&|| sweep_temporaries_before(What::Source, &own, 3)).unwrap();
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

/// A folder `own` and beside it a `victim`, each with a file in it.
fn own_and_victim() -> (tempfile::TempDir, Own) {
    let dir = tempfile::tempdir().unwrap();
    for file in ["own/a/b/y", "victim/sub/x"] {
        fs::create_dir_all(dir.path().join(file).parent().unwrap()).unwrap();
        fs::write(dir.path().join(file), "").unwrap();
    }
    let own = Own::given(dir.path().join("own"));
    (dir, own)
}

#[test]
fn a_tree_is_removed_whole_and_links_in_it_are_not_followed() {
    let (dir, own) = own_and_victim();
    std::os::unix::fs::symlink(dir.path().join("victim"), own.path().join("a/b/link")).unwrap();
    assert!(own.remove_tree(What::Sweep, "a").unwrap());
    assert!(!own.remove_tree(What::Sweep, "a").unwrap());
    assert!(dir.path().join("victim/sub/x").exists());
}

#[test]
fn a_link_at_the_root_or_on_the_way_stops_every_removal_and_a_link_itself_is_removed_as_such() {
    let (dir, own) = own_and_victim();
    let (victim, link) = (dir.path().join("victim"), own.path().join("a/link"));
    std::os::unix::fs::symlink(&victim, &link).unwrap();
    let refused = [
        own.remove_tree(What::Sweep, "a/link"),
        own.remove_tree(What::Sweep, "a/link/sub"),
        own.remove(What::Sweep, "a/link/sub/x"),
        own.tidy(What::Sweep, "a/link/sub/x"),
        own.remove_dir(What::Sweep, "a/link/sub"),
        own.folder("a/link").map(|_| true),
        own.folder("a/link/sub").map(|_| true),
    ];
    for refused in refused {
        let said = refused.unwrap_err().to_string();
        let words = ["cannot empty", "own/a/link: it is a link to", "victim", "remove the link"];
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
    assert!(victim.join("sub/x").exists());
    // The folder that was given may be a link.
    let given = Own::given(&link);
    assert!(given.remove(What::Sweep, "sub/x").unwrap());
    assert!(own.remove(What::Sweep, "a/link").unwrap());
    assert!(victim.is_dir() && !link.exists());
}

#[test]
fn what_is_removed_is_named_below_the_folder_and_what_is_not_there_is_gone() {
    let (dir, own) = own_and_victim();
    let victim = dir.path().join("victim/sub/x");
    for name in ["../victim/sub/x", "a/../../victim/sub/x", victim.to_str().unwrap(), "", ".", "..", "/"] {
        for refused in [own.remove(What::Sweep, name), own.remove_tree(What::Sweep, name)] {
            let said = refused.unwrap_err().to_string();
            assert!(said.contains("it is no name of anything in"), "{name}: {said}");
        }
        assert!(own.folder(name).is_err(), "{name}");
    }
    assert!(victim.exists());
    assert_eq!(own.folder("a/b").unwrap(), Some(Own::given(own.path().join("a/b"))));
    assert_eq!(own.folder("a/none/b").unwrap(), None);
    assert!(!own.remove(What::Sweep, "none/y").unwrap() && !own.remove_dir(What::Sweep, "none").unwrap());
    assert!(own.remove_tree(What::Sweep, "a/b/y").unwrap_err().to_string().contains("it is no folder"));
    assert!(own.remove(What::Sweep, "a/b/y").unwrap() && own.remove_dir(What::Sweep, "a/b").unwrap());
}
