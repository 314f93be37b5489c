//! What a full refresh deletes, and what it does not.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::owning::{me, write_one};
use super::{glob, key, rows, table, walk};
use crate::contents::contents;
use crate::owner::{self, mark};
use crate::{LakeError, prepare, sweep};

#[test]
fn a_full_refresh_deletes_all_but_hidden_names_and_may_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path()).unwrap();
    owner::claim(dir.path(), &me(1)).unwrap();
    fs::write(dir.path().join(".gitkeep"), "").unwrap();
    write_one(dir.path());
    table(dir.path(), &["day"]).stage_files(&key(2, 1), &[rows(0, &[(None, None)])]).unwrap();
    fs::write(dir.path().join("day=1970-01-02/_note"), "").unwrap();
    owner::clear(dir.path(), &[super::QUERY]).unwrap();
    owner::clear(dir.path(), &[super::QUERY]).unwrap();
    let left: Vec<_> = walk(dir.path()).iter().map(|p| p.strip_prefix(dir.path()).unwrap().to_path_buf()).collect();
    assert_eq!(left, [Path::new(".gitkeep"), Path::new("day=1970-01-02/_note")]);
    owner::replace(dir.path(), &me(2)).unwrap();
    prepare(dir.path()).unwrap();
    owner::claim(dir.path(), &me(2)).unwrap();
    assert!(matches!(owner::claim(dir.path(), &me(1)), Err(LakeError::OtherGeneration { .. })));
    owner::clear(&dir.path().join("not there"), &[super::QUERY]).unwrap();
}

#[test]
fn what_somebody_put_among_staged_files_stays() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path()).unwrap();
    owner::claim(dir.path(), &me(1)).unwrap();
    let staging = dir.path().join("_staging");
    let theirs = ["1/mine.txt", "1/old/f", "mine.txt", "notes/f"].map(|name| staging.join(name));
    let stage = |batch| drop(table(dir.path(), &[]).stage_files(&key(batch, 1), &[rows(0, &[(None, None)])]).unwrap());
    stage(2);
    for path in &theirs {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "mine").unwrap();
    }
    fs::write(staging.join(".tmp-1-2-trial"), "").unwrap();
    owner::clear(dir.path(), &[super::QUERY]).unwrap();
    assert_eq!(walk(&staging), theirs, "all of the run goes");
    stage(3);
    assert!(walk(&staging).len() > theirs.len());
    sweep(dir.path(), 9).unwrap();
    assert_eq!(walk(&staging), theirs);
}

/// No run gives a folder such a name.
#[test]
fn what_lies_in_a_folder_whose_name_is_no_text_stays() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path()).unwrap();
    owner::claim(dir.path(), &me(1)).unwrap();
    write_one(dir.path());
    let file = glob(dir.path()).into_keys().find(|name| name.starts_with("day=")).unwrap();
    let odd = dir.path().join(OsStr::from_bytes(b"day=\xff"));
    fs::create_dir(&odd).unwrap();
    let theirs = odd.join(Path::new(&file).file_name().unwrap());
    fs::write(&theirs, "theirs").unwrap();
    owner::clear(dir.path(), &[super::QUERY]).unwrap();
    let left: Vec<_> = walk(dir.path()).into_iter().filter(|p| p.extension().is_some()).collect();
    assert_eq!(left, std::slice::from_ref(&theirs));
    let seen = contents(dir.path()).unwrap();
    assert_eq!((seen.newest, seen.foreign), (None, vec![theirs]), "nor does the next start take it for a run's");
}

#[test]
fn nothing_is_deleted_of_another_query_of_nobody_or_behind_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, victim) = (dir.path().join("ours"), dir.path().join("victim"));
    prepare(&ours).unwrap();
    owner::claim(&ours, &me(1)).unwrap();
    write_one(&ours);
    let before = walk(&ours);
    let refused = owner::clear(&ours, &["another"]).unwrap_err();
    assert!(matches!(refused, LakeError::NotToClear { .. }), "{refused}");
    assert!(refused.to_string().contains("choose another LOCATION"), "{refused}");
    let whole = fs::read(mark(&ours)).unwrap();
    fs::remove_file(mark(&ours)).unwrap();
    assert!(matches!(owner::clear(&ours, &[super::QUERY]), Err(LakeError::FilesButNoOwner { .. })));
    fs::write(mark(&ours), whole).unwrap();
    assert_eq!(walk(&ours), before);

    fs::create_dir_all(victim.join("7")).unwrap();
    fs::write(victim.join("7/f"), "").unwrap();
    fs::remove_dir_all(ours.join("_staging")).unwrap();
    symlink(&victim, ours.join("_staging")).unwrap();
    let refused = [
        owner::check_clear(&ours, &[super::QUERY]),
        owner::clear(&ours, &[super::QUERY]),
        sweep(&ours, 9),
        prepare(&ours),
    ];
    for refused in refused {
        let said = refused.unwrap_err().to_string();
        assert!(said.contains("_staging: it is a link to") && said.contains("remove the link"), "{said}");
    }
    assert!(victim.join("7/f").exists());
    assert_eq!(glob(&ours).len(), 2, "the rows are there");
    fs::remove_file(ours.join("_staging")).unwrap();
    // Links in the folder are removed as such.
    prepare(&ours).unwrap();
    symlink(&victim, ours.join("_staging/7")).unwrap();
    sweep(&ours, 9).unwrap();
    owner::clear(&ours, &["another", super::QUERY]).unwrap();
    assert!(victim.join("7/f").exists() && glob(&ours).is_empty());
}
