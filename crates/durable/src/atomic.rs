//! Operations that happen completely or not at all, and are durable when they return.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::steps::tidy;
use super::{DurableFile, FileError, Own, link, make_dir, parent_of, rename, sync_dir};
use crate::fault::What;

/// What became of a create-if-absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The file is there now, with the given content, durable.
    New,
    /// A file of that name was there before; it is untouched, and its folder has been synced.
    Exists,
}

/// What the names of temporary files start with: hidden from every glob.
pub const TEMPORARY_PREFIX: &str = ".tmp-";

/// What a temporary name has before the number of its writer. Others have hexadecimal digits there.
const WRITER: &str = "writer";

/// Creates `dir` and every missing folder above it, each made durable in its parent.
///
/// # Errors
/// When a folder cannot be made or synced.
pub fn create_dir_durable(what: What, dir: &Path) -> Result<(), FileError> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|p| !p.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_dir_durable(what, parent)?;
    }
    make_dir(what, dir)?;
    sync_dir(what, parent.unwrap_or(Path::new(".")))
}

/// Makes `content` the content of `path` if no file of that name is there: writes and syncs a temporary file, links it
/// to the name, syncs the folder. The name never shows unfinished content, and of two callers one gets
/// [`Created::New`]. The folder must exist.
///
/// # Errors
/// When a step fails; the name is then absent, or another's, or there and maybe not durable.
pub fn create_if_absent(what: What, path: &Path, content: &[u8]) -> Result<Created, FileError> {
    create_named(what, path, &temporary_name(path), content, || Ok(()))
}

/// [`create_if_absent`] for a writer that a later one may have passed. `check` is called between the temporary file and
/// the link; the temporary file's name carries the writer's number, and a later one removes it by
/// [`sweep_temporaries_before`]. When that has returned, no earlier writer whose `check` would fail makes a file any more.
///
/// # Errors
/// When a step or `check` fails; the name is then absent, or another's, or there and maybe not durable.
pub fn create_if_absent_unless<E: From<FileError>>(
    what: What,
    path: &Path,
    content: &[u8],
    writer: u64,
    check: impl FnOnce() -> Result<(), E>,
) -> Result<Created, E> {
    create_named(what, path, &temporary_of(path, writer), content, check)
}

fn create_named<E: From<FileError>>(
    what: What,
    path: &Path,
    temporary: &Path,
    content: &[u8],
    check: impl FnOnce() -> Result<(), E>,
) -> Result<Created, E> {
    if let Err(error) = write_synced(what, temporary, content).map_err(E::from).and_then(|()| check()) {
        let _ = tidy(what, temporary);
        return Err(error);
    }
    Ok(name_if_absent(what, temporary, path)?)
}

/// The last steps of [`create_if_absent`], for a `temporary` file beside `path` that was written piece by piece and
/// synced: gives it the name if that is free, and removes its own.
///
/// # Errors
/// When a step fails; the name is then absent, or another's, or there and maybe not durable.
pub fn name_if_absent(what: What, temporary: &Path, path: &Path) -> Result<Created, FileError> {
    let linked = link(what, temporary, path);
    // The link is what counts; a temporary file that stays behind is swept at the next start.
    let _ = tidy(what, temporary);
    let created = match linked {
        Ok(()) => Created::New,
        Err(e) if e.source.kind() == io::ErrorKind::AlreadyExists && e.path == path => Created::Exists,
        Err(e) => return Err(e),
    };
    sync_dir(what, parent_of(path))?;
    Ok(created)
}

/// Makes `content` the content of `path`, replacing what was there at once: a reader sees the old content or the new.
///
/// # Errors
/// When a step fails; the old content is then still there, or the new one, maybe not durable.
pub fn replace(what: What, path: &Path, content: &[u8]) -> Result<(), FileError> {
    replace_named(what, path, &temporary_name(path), content, || Ok(()))
}

/// [`replace`] for a writer that a later one may have passed, as [`create_if_absent_unless`] is for what is created: when the
/// later one has removed the temporary files of earlier ones, none of these replaces a file any more.
///
/// # Errors
/// When a step or `check` fails, or a later writer has removed the temporary file; the old content is then still there, or the
/// new one, maybe not durable.
pub fn replace_unless<E: From<FileError>>(
    what: What,
    path: &Path,
    content: &[u8],
    writer: u64,
    check: impl FnOnce() -> Result<(), E>,
) -> Result<(), E> {
    replace_named(what, path, &temporary_of(path, writer), content, check)
}

fn replace_named<E: From<FileError>>(
    what: What,
    path: &Path,
    temporary: &Path,
    content: &[u8],
    check: impl FnOnce() -> Result<(), E>,
) -> Result<(), E> {
    let written = write_synced(what, temporary, content).map_err(E::from).and_then(|()| check());
    if let Err(error) = written.and_then(|()| rename(what, temporary, path).map_err(E::from)) {
        let _ = tidy(what, temporary);
        return Err(error);
    }
    Ok(sync_dir(what, parent_of(path))?)
}

/// Removes the temporary files that a crash left in `dir`. A folder that is not there has none.
///
/// # Errors
/// When the folder cannot be listed or a file not removed.
pub fn sweep_temporaries(what: What, dir: &Own) -> Result<(), FileError> {
    sweep(what, dir, |_| true)
}

/// Removes the temporary files in `dir` of writers before `writer`; see [`create_if_absent_unless`].
///
/// # Errors
/// When the folder cannot be listed or a file not removed.
pub fn sweep_temporaries_before(what: What, dir: &Own, writer: u64) -> Result<(), FileError> {
    sweep(what, dir, |of| (1..writer).contains(&of))
}

/// Removes the temporary files whose writer is `wanted`.
fn sweep(what: What, dir: &Own, wanted: impl Fn(u64) -> bool) -> Result<(), FileError> {
    for entry in dir.list(what)? {
        let name = entry.file_name();
        let swept = name.to_str().and_then(writer_of).is_some_and(&wanted);
        // A folder or a link is none of ours, whatever its name.
        if swept && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            dir.tidy(what, &name)?;
        }
    }
    Ok(())
}

/// The writer in the name of a temporary file, 0 when it has none: writers count from 1. `None` for a name that neither
/// [`temporary_name`] nor [`create_if_absent_unless`] makes.
fn writer_of(name: &str) -> Option<u64> {
    let name = name.strip_prefix(TEMPORARY_PREFIX)?;
    let (writer, name) = match name.strip_prefix(WRITER) {
        Some(rest) => rest.split_once('-')?,
        None => ("0", name),
    };
    let (run, rest) = name.split_once('-')?;
    let (number, _) = rest.split_once('-')?;
    let numbered = u64::from_str_radix(run, 16).is_ok() && number.parse::<u64>().is_ok();
    writer.parse().ok().filter(|_| numbered)
}

/// Whether a file of this name is a temporary one that some process has made by this crate.
#[must_use]
pub fn is_temporary(name: &str) -> bool {
    writer_of(name).is_some()
}

fn write_synced(what: What, path: &Path, content: &[u8]) -> Result<(), FileError> {
    let mut file = DurableFile::create_new(what, path)?;
    file.write_all(content).map_err(|e| FileError::new("write", path, e))?;
    file.sync()
}

/// A name beside `path` that nobody else has, with the number of its writer.
fn temporary_of(path: &Path, writer: u64) -> PathBuf {
    let name = temporary_name(path);
    let name = name.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_prefix(TEMPORARY_PREFIX).unwrap_or_default();
    parent_of(path).join(format!("{TEMPORARY_PREFIX}{WRITER}{writer}-{name}"))
}

/// A name beside `path` that nobody else has: process ids alone would not do, for in a container each run may have the
/// same one, and find what the last left.
#[must_use]
pub fn temporary_name(path: &Path) -> PathBuf {
    static RUN: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    parent_of(path).join(format!("{TEMPORARY_PREFIX}{:016x}-{n}-{name}", *RUN))
}
