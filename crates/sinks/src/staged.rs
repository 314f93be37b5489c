//! Writes staged files: one pass writes the content and computes its checksum. A file is durable before any commit names it.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sluicebox_durable::fault::What;
use sluicebox_durable::{self as durable, Checksum, DurableFile, FileError};

use crate::error::{LakeError, Result};
use crate::layout;

/// The batch whose files are staged, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchKey<'a> {
    /// The batch's id.
    pub batch_id: u64,
    /// The id of the query that the checkpoint pins; its first eight letters or digits are part of file names.
    pub query_id: &'a str,
    /// The epoch of the writer. Part of staged names, never of final ones: a replay in another epoch gives the same files.
    pub epoch: u64,
}

/// A file that is staged and durable: one line of a commit's manifest. Paths are relative to the table's location, with
/// `/` between their parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StagedFile {
    /// Where it is staged.
    pub staged: String,
    /// The name it gets when it is published.
    pub target: String,
    /// Rows in it; 0 for files that have none.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Checksum over its content, as [`sluicebox_durable::checksum`] gives it.
    pub checksum: String,
}

/// Stages `content`, for example a report, to become `target` (relative to `location`, no part of it hidden).
///
/// # Errors
/// When the target is no path of a table or report file, or the file cannot be made durable.
pub fn stage_file(location: &Path, batch: &BatchKey<'_>, target: &str, content: &[u8]) -> Result<StagedFile> {
    let mut writer = StagedWriter::create(location, batch, target)?;
    writer.write_all(content).map_err(|e| FileError::new("write", &writer.path, e))?;
    let file = writer.finish(0)?;
    sync_staging(location, batch.epoch)?;
    Ok(file)
}

/// Makes the names of the files staged by `epoch` durable. The epoch's own folder is made durable by whoever makes it,
/// before its batch is committed: no other process has that epoch.
pub(crate) fn sync_staging(location: &Path, epoch: u64) -> Result<()> {
    Ok(durable::sync_dir(What::Stage, &location.join(layout::STAGING).join(epoch.to_string()))?)
}

/// Makes the folder of an epoch, and none above it: a table's folder that is gone was removed under the run, and made anew
/// it would be a table that has lost its history.
fn make_epoch(location: &Path, epoch: u64) -> Result<()> {
    let staging = location.join(layout::STAGING);
    match durable::make_dir(What::Stage, &staging.join(epoch.to_string())) {
        Err(e) if e.source.kind() == io::ErrorKind::NotFound => {
            Err(LakeError::FolderGone { location: location.to_path_buf() })
        }
        Err(e) => Err(e.into()),
        Ok(_) => Ok(durable::sync_dir(What::Stage, &staging)?),
    }
}

/// A staged file that is being written: a [`Write`] that counts and hashes what goes through it.
#[derive(Debug)]
pub(crate) struct StagedWriter {
    file: HashedFile,
    staged: String,
    target: String,
    /// The staged file's absolute path, for messages.
    pub(crate) path: PathBuf,
}

/// Large enough that small Parquet pages do not each become a system call.
const BUFFER_BYTES: usize = 128 * 1024;

impl StagedWriter {
    /// Opens the staged file of `target`, empty. A file that an earlier try of the same epoch left is overwritten: it
    /// cannot be committed, since one writer commits a batch once.
    pub(crate) fn create(location: &Path, batch: &BatchKey<'_>, target: &str) -> Result<Self> {
        if !layout::is_target(target) {
            return Err(LakeError::ManifestPath { location: location.to_path_buf(), path: target.to_owned() });
        }
        let staged = layout::staged_path(batch.epoch, batch.batch_id, target);
        let path = location.join(&staged);
        let file = match DurableFile::create(What::Stage, &path) {
            Err(e) if e.source.kind() == io::ErrorKind::NotFound => {
                make_epoch(location, batch.epoch)?;
                DurableFile::create(What::Stage, &path)?
            }
            other => other?,
        };
        Ok(Self { file: HashedFile::new(file, &path), staged, target: target.to_owned(), path })
    }

    /// Makes the content durable. The folder still has to be synced.
    pub(crate) fn finish(self, rows: u64) -> Result<StagedFile> {
        let Self { file, staged, target, .. } = self;
        let (bytes, checksum) = file.finish()?;
        Ok(StagedFile { staged, target, rows, bytes, checksum })
    }
}

impl Write for StagedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A file that is written through a buffer, counted and hashed.
#[derive(Debug)]
pub(crate) struct HashedFile {
    file: BufWriter<Hashing>,
    path: PathBuf,
}

impl HashedFile {
    pub(crate) fn new(file: DurableFile, path: &Path) -> Self {
        let hashing = Hashing { file, hash: Box::default(), bytes: 0 };
        Self { file: BufWriter::with_capacity(BUFFER_BYTES, hashing), path: path.to_owned() }
    }

    /// Makes the content durable; gives its size and checksum.
    pub(crate) fn finish(self) -> Result<(u64, String), FileError> {
        let hashing = self.file.into_inner().map_err(|e| FileError::new("write", &self.path, e.into_error()))?;
        hashing.file.sync()?;
        Ok((hashing.bytes, hashing.hash.text()))
    }
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

struct Hashing {
    file: DurableFile,
    hash: Box<Checksum>,
    bytes: u64,
}

impl std::fmt::Debug for Hashing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hashing").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or(bytes));
        self.bytes += u64::try_from(written).unwrap_or(0);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The folders from `location` down to that of `target`, `location` first. Relative to nothing: joined.
pub(crate) fn folders_of(location: &Path, target: &str) -> Vec<PathBuf> {
    let mut folders = vec![location.to_path_buf()];
    let mut folder = location.to_path_buf();
    let parts: Vec<&str> = target.split('/').collect();
    for part in parts.iter().take(parts.len().saturating_sub(1)) {
        folder.push(part);
        folders.push(folder.clone());
    }
    folders
}

/// Every folder that `files` will be in, and those above it up to `location`, each once, outer before inner.
pub(crate) fn folders_of_all(location: &Path, files: &[StagedFile]) -> BTreeSet<PathBuf> {
    files.iter().flat_map(|file| folders_of(location, &file.target)).collect()
}
