//! Files open for writing.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sluicebox_core::station::{self, Station};

use super::regular::open_as;
use super::{FileError, open_regular};
use crate::fault::{Effect, Point, What, around, around_write};

/// A file that is open for writing. What is written is durable after [`sync`](Self::sync), its name after its folder was
/// synced.
#[derive(Debug)]
pub struct DurableFile {
    what: What,
    path: PathBuf,
    file: File,
    /// Where [`Write`] goes on.
    at: u64,
}

impl DurableFile {
    /// A new file; something of that name is an error.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create_new(what: What, path: &Path) -> Result<Self, FileError> {
        Self::with(what, Effect::Create, path, "create", OpenOptions::new().write(true).create_new(true))
    }

    /// A file without content; that of a file of that name is lost.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(what: What, path: &Path) -> Result<Self, FileError> {
        Self::with(what, Effect::Create, path, "create", OpenOptions::new().write(true).create(true).truncate(true))
    }

    /// The file of that name as it is, made if it is not there, for reading too.
    ///
    /// # Errors
    /// When it cannot be opened or made.
    pub fn open(what: What, path: &Path) -> Result<Self, FileError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        Self::with(what, Effect::Open, path, "open", &options)
    }

    /// The file of that name as it is, for reading too; `None` if there is none.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open_found(what: What, path: &Path) -> Result<Option<Self>, FileError> {
        match Self::with(what, Effect::Open, path, "open", OpenOptions::new().read(true).write(true)) {
            Err(e) if e.source.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }

    fn with(
        what: What,
        effect: Effect,
        path: &Path,
        operation: &'static str,
        options: &OpenOptions,
    ) -> Result<Self, FileError> {
        let file = around(Point { what, effect }, path, None, || open_as(options, path));
        let file = file.map_err(|e| FileError::new(operation, path, e))?;
        Ok(Self { what, path: path.to_owned(), file, at: 0 })
    }

    /// Writes all of `bytes` at byte `at`.
    ///
    /// # Errors
    /// When not all could be written; some may have been.
    pub fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let point = Point { what: self.what, effect: Effect::Write };
        around_write(point, &self.path, at, bytes, |bytes| self.file.write_all_at(bytes, at))
    }

    /// Cuts the file off at `length` bytes.
    ///
    /// # Errors
    /// When it cannot be cut off.
    pub fn truncate(&self, length: u64) -> Result<(), FileError> {
        let point = Point { what: self.what, effect: Effect::Truncate };
        around(point, &self.path, None, || self.file.set_len(length))
            .map_err(|e| FileError::new("truncate", &self.path, e))
    }

    /// Makes the content durable.
    ///
    /// # Errors
    /// When the disk does not take it: how much of it is durable is then unknown, also after a second try that succeeds.
    pub fn sync(&self) -> Result<(), FileError> {
        sync_file(self.what, &self.file, &self.path)
    }

    /// The file itself, for locks.
    #[must_use]
    pub fn into_file(self) -> File {
        self.file
    }
}

impl Write for DurableFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that is open for reading at any place, and never written again. It stays readable when its name is removed.
#[derive(Debug)]
pub struct FoundFile {
    what: What,
    path: PathBuf,
    file: File,
    length: u64,
}

impl FoundFile {
    /// The file `path`, or `None` if there is none.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(what: What, path: &Path) -> Result<Option<Self>, FileError> {
        let opened = around(Point { what, effect: Effect::Read }, path, None, || {
            let file = open_regular(path)?;
            let length = file.metadata()?.len();
            Ok((file, length))
        });
        match opened {
            Ok((file, length)) => Ok(Some(Self { what, path: path.to_owned(), file, length })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(FileError::new("open", path, e)),
        }
    }

    /// Its length in bytes when it was opened.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Fills `buffer` with the bytes from byte `at` on.
    ///
    /// # Errors
    /// When the disk does not give them, or the file ends before.
    pub fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let point = Point { what: self.what, effect: Effect::Read };
        around(point, &self.path, None, || self.file.read_exact_at(buffer, at))
    }
}

/// Makes the content of `file`, which is that of `path`, durable, whoever wrote it.
///
/// # Errors
/// When the disk does not take it.
pub fn sync_file(what: What, file: &File, path: &Path) -> Result<(), FileError> {
    let point = Point { what, effect: Effect::Sync };
    let sync = || station::spend(Station::Sync, || file.sync_all());
    around(point, path, None, sync).map_err(|e| FileError::new("sync", path, e))
}
