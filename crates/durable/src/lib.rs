//! The POSIX file protocol under exactly-once: a name shows the whole content of a file or nothing, a call returns when its effect is
//! durable, and every step has a name.
//!
//! **Owns** every effect on files. A run creates, changes, lists and removes files and folders through this crate alone. Each call says
//! [`What`](fault::What) it is for. Each of its steps is a named effect ([`fault`]), so that tests can inject a crash, a failure or a power
//! loss before, during and after it. [`sealed`] wraps the small files that Sluicebox reads back.
//!
//! Exactly-once rests on [`create_if_absent`], [`replace`] and [`create_dir_durable`]: their effects are durable when they return, and a
//! reader never sees partial content. Each other function does one step, and its docs say which. Removals go through [`Own`].
//! [`open_regular`] opens regular files only: it refuses a FIFO, a socket, a device or a folder of that name without opening it.
//!
//! **May not know** what a file means: checkpoints, tables, the log.
//!
//! **States.** A new file has a temporary name, `.tmp-...`, until its content is durable. Then it gets its own name, and only [`replace`]
//! changes it.
//!
//! **Invariants** of the design kept here: 2 and 3 (a name shows whole content or nothing, at any instruction and after any power loss), 8
//! (a sealed file that is damaged, or newer than this code, is reported; its content is never guessed).
//!
//! **A crash** leaves nothing, or the whole file under its name. A temporary file `.tmp-...` may also be left; the next run removes it.

mod atomic;
pub mod fault;
mod file;
mod own;
mod regular;
pub mod sealed;
mod steps;
#[cfg(test)]
mod tests;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sluicebox_core::{Blame, Blamed};
use thiserror::Error;

pub use atomic::{
    Created, TEMPORARY_PREFIX, create_dir_durable, create_if_absent, create_if_absent_unless, is_temporary,
    name_if_absent, replace, replace_unless, sweep_temporaries, sweep_temporaries_before, temporary_name,
};
pub use file::{DurableFile, FoundFile, sync_file};
pub use own::Own;
pub use regular::{is_no_file, open_regular, read_given, read_given_text, read_regular};
pub use steps::{
    exchange, exchange_while_listed, link, list, make_dir, read, reading, rename, rename_dir, sync_dir, sync_dirs,
};

/// The bytes that this user may still write to the filesystem of `folder`.
///
/// # Errors
/// When the filesystem does not tell.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    let room = rustix::fs::statvfs(folder)?;
    Ok(room.f_bavail.saturating_mul(room.f_frsize))
}

/// A file operation that failed, with the path.
#[derive(Debug, Error)]
#[error("cannot {operation} {}: {source}{}", path.display(), way_out(source))]
pub struct FileError {
    /// What was tried: `create`, `sync`, `rename`, ...
    pub operation: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// What the operating system said.
    pub source: io::Error,
}

impl FileError {
    /// An error of `operation` on `path`.
    pub fn new(operation: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self { operation, path: path.into(), source }
    }
}

impl Blamed for FileError {
    fn blame(&self) -> Blame {
        Blame::Outside
    }
}

/// What to do about an error of the operating system, to follow its message; empty when nothing can be said for sure.
#[must_use]
pub fn way_out(error: &io::Error) -> &'static str {
    use io::ErrorKind::{FileTooLarge, NotADirectory, NotFound, PermissionDenied};
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    if is_no_file(error) {
        return "; put the file back that belongs there, or remove it if none does, and run again";
    }
    match error.kind() {
        StorageFull | QuotaExceeded => "; make room on its filesystem and run again: nothing is lost",
        FileTooLarge => "; raise the limit of a file's size (`ulimit -f`), and run again: nothing is lost",
        PermissionDenied => "; let this user read and write there, and run again",
        ReadOnlyFilesystem => "; mount its filesystem writable, and run again",
        NotADirectory => "; something else has the name of a folder: move it away, and run again",
        NotFound => "; if its folder was removed or is not mounted, bring it back, and run again",
        // EIO and EMFILE have no kind of their own.
        _ => match error.raw_os_error() {
            Some(5) => {
                "; the disk failed, look at the kernel's log. What was written last may be lost, so the run stops; once the \
                 disk works, run again and let `sluicebox checkpoint verify` compare"
            }
            Some(24) => "; raise the limit of open files (`ulimit -n`), and run again",
            _ => "",
        },
    }
}

/// The folder that holds `path`.
fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The checksum that manifests carry: xxh3-64 over the content, as 16 hexadecimal digits.
#[must_use]
pub fn checksum(content: &[u8]) -> String {
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(content))
}

/// [`checksum`] of content that comes in pieces.
#[derive(Default)]
pub struct Checksum(xxhash_rust::xxh3::Xxh3Default);

impl Checksum {
    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The checksum of all pieces so far.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{:016x}", self.0.digest())
    }
}

/// The length of the file `path`, and the [`checksum`] of its content, without holding it in memory.
///
/// # Errors
/// When it cannot be read, or is no file.
pub fn checksum_of(path: &Path) -> io::Result<(u64, String)> {
    let mut file = open_regular(path)?;
    let (mut bytes, mut checksum, mut piece) = (0, Checksum::default(), vec![0; 1 << 18]);
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok((bytes, checksum.text())),
            Ok(read) => {
                bytes += read as u64;
                checksum.update(piece.get(..read).unwrap_or_default());
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

impl std::fmt::Debug for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Checksum({})", self.text())
    }
}
