//! Single steps. None is durable before the folder is synced.

use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;

use sluicebox_core::station::{self, Station};
use sluicebox_core::threads::side_by_side;

use super::regular::open_folder;
use super::{FileError, read_regular};
use crate::fault::{Effect, Point, What, around};

/// Makes the entries of folder `dir` durable.
///
/// # Errors
/// When the folder cannot be opened or synced.
pub fn sync_dir(what: What, dir: &Path) -> Result<(), FileError> {
    let point = Point { what, effect: Effect::SyncFolder };
    let sync = || station::spend(Station::Sync, || open_folder(dir)?.sync_all());
    around(point, dir, None, sync).map_err(|e| FileError::new("sync", dir, e))
}

/// Folders that are synced at a time.
const SYNCS: usize = 8;

/// Makes the entries of all these folders durable, in no order: a filesystem with a journal writes it once for those that
/// ask at the same time.
///
/// # Errors
/// When one of the folders cannot be opened or synced; the others may or may not have been.
pub fn sync_dirs(what: What, dirs: &[&Path]) -> Result<(), FileError> {
    let share = dirs.len().div_ceil(SYNCS).max(1);
    let one_by_one = |dirs: &[&Path]| dirs.iter().try_for_each(|dir| sync_dir(what, dir));
    side_by_side(dirs.chunks(share), one_by_one).into_iter().collect()
}

/// Makes the folder `dir`; false if it, or something else of that name, is there. Its parent must exist.
///
/// # Errors
/// When the folder cannot be made.
pub fn make_dir(what: What, dir: &Path) -> Result<bool, FileError> {
    match around(Point { what, effect: Effect::Folder }, dir, None, || fs::create_dir(dir)) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(FileError::new("create folder", dir, e)),
    }
}

/// Gives the file `from` the name `to` too, which must be free.
///
/// # Errors
/// When there is no such file, something has the name, or the filesystem has no hard links.
pub fn link(what: What, from: &Path, to: &Path) -> Result<(), FileError> {
    let point = Point { what, effect: Effect::Link };
    around(point, from, Some(to), || fs::hard_link(from, to)).map_err(|e| FileError::new("create", to, e))
}

/// Gives the file `from` the name `to` in place of its own; a file of that name is replaced.
///
/// # Errors
/// When the file cannot be renamed.
pub fn rename(what: What, from: &Path, to: &Path) -> Result<(), FileError> {
    let point = Point { what, effect: Effect::Rename };
    around(point, from, Some(to), || fs::rename(from, to)).map_err(|e| FileError::new("rename", to, e))
}

/// Gives the folders `one` and `other` each the other's name, at one instant: nobody sees one of the names without a folder.
/// Both must be there, and on one mount. Neither name is durable before both folders that hold them are synced.
///
/// # Errors
/// When one of them is not there, or the filesystem cannot do it: `EXDEV` on two mounts, `EINVAL`, `ENOSYS` or `EOPNOTSUPP`
/// where `renameat2` knows no exchange. Nothing has changed then.
pub fn exchange(what: What, one: &Path, other: &Path) -> Result<(), FileError> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let point = Point { what, effect: Effect::Exchange };
    let exchange = || renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).map_err(io::Error::from);
    around(point, one, Some(other), exchange).map_err(|e| FileError::new("exchange", other, e))
}

/// Does what [`exchange`] does, and tells whether somebody who opened the folder around `one` before it and reads its entries
/// after still finds `one` there. On btrfs an exchanged name comes after all that were there when the folder was opened, and is
/// not found.
///
/// # Errors
/// As [`exchange`]; when the folder around cannot be listed.
pub fn exchange_while_listed(what: What, one: &Path, other: &Path) -> Result<bool, FileError> {
    let around_it = one.parent().unwrap_or(one);
    let listed = |e| FileError::new("list", around_it, e);
    let opened = around(Point { what, effect: Effect::List }, around_it, None, || fs::read_dir(around_it));
    let opened = opened.map_err(listed)?;
    exchange(what, one, other)?;
    let names: Vec<_> = opened.collect::<io::Result<_>>().map_err(listed)?;
    Ok(names.iter().any(|entry| Some(entry.file_name().as_os_str()) == one.file_name()))
}

/// Gives the folder `from` the name `to`, which must be free, in place of its own; false if there is none.
///
/// # Errors
/// When it cannot be renamed.
pub fn rename_dir(what: What, from: &Path, to: &Path) -> Result<bool, FileError> {
    match around(Point { what, effect: Effect::RenameFolder }, from, Some(to), || fs::rename(from, to)) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(FileError::new("rename", to, e)),
    }
}

/// Removes the file `path`; false if there is none.
///
/// # Errors
/// When it cannot be removed.
pub(super) fn remove(what: What, path: &Path) -> Result<bool, FileError> {
    unlink(Point { what, effect: Effect::Remove }, path)
}

/// Removes the temporary file `path`, one that no record names; false if there is none.
///
/// # Errors
/// When it cannot be removed.
pub(super) fn tidy(what: What, path: &Path) -> Result<bool, FileError> {
    unlink(Point { what, effect: Effect::Tidy }, path)
}

fn unlink(point: Point, path: &Path) -> Result<bool, FileError> {
    match around(point, path, None, || fs::remove_file(path)) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(FileError::new("remove", path, e)),
    }
}

/// Removes the empty folder `dir`; false if there is none.
///
/// # Errors
/// When it is not empty or cannot be removed.
pub(super) fn remove_dir(what: What, dir: &Path) -> Result<bool, FileError> {
    match around(Point { what, effect: Effect::RemoveFolder }, dir, None, || fs::remove_dir(dir)) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(FileError::new("remove", dir, e)),
    }
}

/// Removes the folder `dir` with all that is in it, not following links in it; false if there is none. What somebody else
/// removes meanwhile is gone as well.
///
/// # Errors
/// When something cannot be listed or removed.
pub(super) fn remove_tree(what: What, dir: &Path) -> Result<bool, FileError> {
    for entry in list(what, dir)? {
        let path = entry.path();
        if entry.file_type().map_err(|e| FileError::new("look at", &path, e))?.is_dir() {
            remove_tree(what, &path)?;
        } else {
            remove(what, &path)?;
        }
    }
    remove_dir(what, dir)
}

/// The entries of folder `dir` by name; none if it is not there.
///
/// # Errors
/// When it cannot be listed.
pub fn list(what: What, dir: &Path) -> Result<Vec<DirEntry>, FileError> {
    let entries = around(Point { what, effect: Effect::List }, dir, None, || fs::read_dir(dir)?.collect());
    let mut entries: Vec<DirEntry> = match entries {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(FileError::new("list", dir, e)),
    };
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

/// Reads the file `path` in a way of the caller's own.
///
/// # Errors
/// Those of `read`.
pub fn reading<T>(what: What, path: &Path, read: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    around(Point { what, effect: Effect::Read }, path, None, read)
}

/// The content of the file `path`, or `None` if there is none.
///
/// # Errors
/// When it cannot be read, or is no file.
pub fn read(what: What, path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match around(Point { what, effect: Effect::Read }, path, None, || read_regular(path)) {
        Ok(content) => Ok(Some(content)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(FileError::new("read", path, e)),
    }
}
