//! The outbox: rows that wait in the checkpoint for a transactional sink.
//!
//! ```text
//!  checkpoints/<pipeline>/outbox/<table>/<batch>-<epoch>.arrow
//! ```
//!
//! The sink writes and syncs a file before the commit that names it, reads it after the commit, and removes it when its rows are in the
//! store. **A crash** leaves a file that no commit names, or one whose rows are published: [`Outbox::sweep`] removes both.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use sluicebox_durable::fault::What;
use sluicebox_durable::{self as durable, DurableFile, FileError, Own, open_regular};

use crate::error::{LakeError, RemoteError, Result};
use crate::fit;
use crate::output::StagedRows;
use crate::sink::Rows;
use crate::staged::{BatchKey, HashedFile};

/// The folder of all outboxes in a checkpoint.
pub const OUTBOX: &str = "outbox";

/// How the name of a file ends.
const ENDING: &str = ".arrow";

/// The outbox of one table.
#[derive(Debug, Clone)]
pub struct Outbox {
    checkpoint: PathBuf,
    table: String,
}

impl Outbox {
    /// That of `table` in the folder `checkpoint`. Nothing is read or written.
    pub fn new(checkpoint: impl Into<PathBuf>, table: impl Into<String>) -> Self {
        Self { checkpoint: checkpoint.into(), table: table.into() }
    }

    fn folder(&self) -> PathBuf {
        self.checkpoint.join(OUTBOX).join(&self.table)
    }

    /// Writes `rows`, which have the columns of `schema`, for the sink of this identity. `None` without rows.
    ///
    /// # Errors
    /// When the rows have other columns, or the file cannot be made durable.
    pub fn stage(
        &self,
        sink: &str,
        batch: &BatchKey<'_>,
        schema: &SchemaRef,
        rows: Rows<'_>,
    ) -> Result<Option<StagedRows>> {
        let mut writing = None;
        match rows {
            Rows::All(rows) => rows.iter().try_for_each(|rows| self.write(&mut writing, batch, schema, rows))?,
            Rows::Stream(rows) => {
                for rows in rows {
                    self.write(&mut writing, batch, schema, &rows)?;
                }
            }
        }
        let Some(Writing { writer, rows }) = writing else { return Ok(None) };
        let folder = self.folder();
        let (bytes, checksum) = writer.into_inner().map_err(|e| unwritten(&folder, e))?.finish()?;
        durable::sync_dir(What::Stage, &folder)?;
        let path = format!("{OUTBOX}/{}/{}", self.table, name_of(batch.batch_id, batch.epoch));
        Ok(Some(StagedRows { sink: sink.to_owned(), path, rows, bytes, checksum }))
    }

    fn write(
        &self,
        writing: &mut Option<Writing>,
        batch: &BatchKey<'_>,
        schema: &SchemaRef,
        rows: &RecordBatch,
    ) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let folder = self.folder();
        let rows = fit::to_table(&folder, schema, rows)?;
        let mut open = match writing.take() {
            Some(open) => open,
            None => {
                durable::create_dir_durable(What::Stage, &folder)?;
                let path = folder.join(name_of(batch.batch_id, batch.epoch));
                let file = HashedFile::new(DurableFile::create(What::Stage, &path)?, &path);
                let writer = StreamWriter::try_new(file, schema).map_err(|e| unwritten(&folder, e))?;
                Writing { writer, rows: 0 }
            }
        };
        open.writer.write(&rows).map_err(|e| unwritten(&folder, e))?;
        open.rows += rows.num_rows() as u64;
        *writing = Some(open);
        Ok(())
    }

    /// The rows of a committed batch, after the whole file was compared with what the commit says of it.
    ///
    /// # Errors
    /// When the file is missing, or is not what was committed.
    pub fn read(&self, staged: &StagedRows) -> Result<OutboxRows> {
        let path = self.checkpoint.join(&staged.path);
        let sums = durable::reading(What::Publish, &path, || durable::checksum_of(&path));
        let (bytes, checksum) = match sums {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(RemoteError::Lost { path }.into()),
            sums => sums.map_err(|e| FileError::new("read", &path, e))?,
        };
        if bytes != staged.bytes || checksum != staged.checksum {
            return Err(RemoteError::Damaged {
                path,
                found: format!("{bytes} bytes, checksum {checksum}"),
                committed: format!("{} bytes, checksum {}", staged.bytes, staged.checksum),
            }
            .into());
        }
        let file = open_regular(&path).map_err(|e| FileError::new("open", &path, e))?;
        Ok(OutboxRows(StreamReader::try_new(BufReader::new(file), None)?))
    }

    /// The epoch of the run that has staged these rows.
    #[must_use]
    pub fn epoch_of(staged: &StagedRows) -> Option<u64> {
        staged.path.rsplit('/').next().and_then(epoch_of)
    }

    /// Whether no rows wait: none that are committed, and none that a killed run has left.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn is_empty(&self) -> Result<bool> {
        let Some(own) = self.own()? else { return Ok(true) };
        Ok(!own.list(What::Sweep)?.iter().any(|entry| entry.file_name().to_str().and_then(epoch_of).is_some()))
    }

    /// Removes the file of rows that are in the store, if it is still there.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn forget(&self, staged: &StagedRows) -> Result<()> {
        if let Some(own) = self.own()?
            && let Some(name) = staged.path.rsplit('/').next()
        {
            own.remove(What::Publish, name)?;
        }
        Ok(())
    }

    /// Removes what epochs before `epoch` have staged: all that they have committed is published when the run of `epoch` has
    /// made its first commit.
    ///
    /// # Errors
    /// When the folder cannot be listed, or a file not be removed.
    pub fn sweep(&self, epoch: u64) -> Result<()> {
        let Some(own) = self.own()? else { return Ok(()) };
        for entry in own.list(What::Sweep)? {
            let name = entry.file_name();
            if name.to_str().and_then(epoch_of).is_some_and(|of| of < epoch) {
                own.remove(What::Sweep, &name)?;
            }
        }
        Ok(())
    }

    /// The folder, if it is there.
    fn own(&self) -> Result<Option<Own>, FileError> {
        match Own::given(&self.checkpoint).folder(OUTBOX)? {
            Some(outbox) => outbox.folder(&self.table),
            None => Ok(None),
        }
    }
}

/// The error of a file in `folder`: of the disk, if that is what it is.
fn unwritten(folder: &Path, error: ArrowError) -> LakeError {
    match error {
        ArrowError::IoError(_, source) => FileError::new("write", folder, source).into(),
        other => other.into(),
    }
}

struct Writing {
    writer: StreamWriter<HashedFile>,
    rows: u64,
}

/// The rows of one file of an outbox, in their order.
#[derive(Debug)]
pub struct OutboxRows(StreamReader<BufReader<File>>);

impl Iterator for OutboxRows {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

/// `<batch, 9 digits>-<epoch>.arrow`: no two runs write one name.
fn name_of(batch: u64, epoch: u64) -> String {
    format!("{batch:09}-{epoch}{ENDING}")
}

fn epoch_of(name: &str) -> Option<u64> {
    name.strip_suffix(ENDING)?.split_once('-')?.1.parse().ok()
}

/// Whether a file in the outbox of a table has this name: none but those that [`Outbox::stage`] gives.
#[must_use]
pub fn is_outbox_name(name: &str) -> bool {
    let parts = name.strip_suffix(ENDING).and_then(|name| name.split_once('-'));
    let parsed = parts.and_then(|(batch, epoch)| Some((batch.parse::<u64>().ok()?, epoch.parse::<u64>().ok()?)));
    parsed.is_some_and(|(batch, epoch)| name == name_of(batch, epoch))
}

/// Whether `path` is that of a file in an outbox, as a commit may name it: `outbox/<table>/<name>.arrow`.
#[must_use]
pub fn is_outbox_path(path: &str) -> bool {
    let mut parts = path.split('/');
    let plain = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && !part.starts_with('.') && !part.contains('\0'))
    };
    parts.next() == Some(OUTBOX)
        && plain(parts.next())
        && parts.next().is_some_and(|name| epoch_of(name).is_some() && !name.contains('\0'))
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;
    use crate::testing::{key, rows, schema};

    fn staged(outbox: &Outbox, batch: u64, epoch: u64) -> StagedRows {
        let rows = [rows(0, &[(Some("NA"), Some(1)), (None, None)]), rows(2, &[(Some("EMEA"), None)])];
        outbox.stage("the store", &key(batch, epoch), &schema(), Rows::All(&rows)).unwrap().unwrap()
    }

    #[test]
    fn rows_come_back_as_they_were_whether_they_came_at_once_or_in_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::new(dir.path(), "t");
        let whole = staged(&outbox, 7, 3);
        assert_eq!((whole.path.as_str(), whole.rows), ("outbox/t/000000007-3.arrow", 3));
        assert!(is_outbox_path(&whole.path));
        assert_eq!((Outbox::epoch_of(&whole), outbox.is_empty().unwrap()), (Some(3), false));
        let back: Vec<RecordBatch> = outbox.read(&whole).unwrap().map(Result::unwrap).collect();
        assert_eq!(back.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(back[1], rows(2, &[(Some("EMEA"), None)]));
        let mut pieces = back.into_iter();
        let again = outbox.stage("the store", &key(7, 4), &schema(), Rows::Stream(&mut pieces)).unwrap().unwrap();
        assert_eq!((again.rows, again.bytes, again.checksum), (whole.rows, whole.bytes, whole.checksum));
        let mut none = std::iter::empty();
        assert_eq!(outbox.stage("the store", &key(8, 4), &schema(), Rows::Stream(&mut none)).unwrap(), None);
    }

    #[test]
    fn a_changed_or_missing_file_is_told_and_never_sent() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::new(dir.path(), "t");
        let staged = staged(&outbox, 7, 3);
        let path = dir.path().join(&staged.path);
        let mut content = std::fs::read(&path).unwrap();
        content[100] ^= 1;
        std::fs::write(&path, content).unwrap();
        assert!(matches!(outbox.read(&staged), Err(LakeError::Remote(RemoteError::Damaged { .. }))));
        outbox.forget(&staged).unwrap();
        assert!(matches!(outbox.read(&staged), Err(LakeError::Remote(RemoteError::Lost { .. }))));
        outbox.forget(&staged).unwrap();
    }

    #[test]
    fn a_sweep_takes_older_epochs_alone() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::new(dir.path(), "t");
        outbox.sweep(9).unwrap();
        assert!(outbox.is_empty().unwrap());
        let (old, own) = (staged(&outbox, 7, 3), staged(&outbox, 7, 4));
        std::fs::write(dir.path().join("outbox/t/notes.txt"), "").unwrap();
        outbox.sweep(4).unwrap();
        assert!(!dir.path().join(&old.path).exists() && dir.path().join("outbox/t/notes.txt").exists());
        assert_eq!(outbox.read(&own).unwrap().count(), 2);
    }

    #[test]
    fn a_path_that_leads_out_of_the_outbox_is_none() {
        for path in ["outbox/t/7-3.arrow", "outbox/a-b/000000007-12.arrow"] {
            assert!(is_outbox_path(path), "{path}");
        }
        for path in [
            "",
            "outbox",
            "outbox/t",
            "outbox/../7-3.arrow",
            "outbox/t/../../7-3.arrow",
            "/outbox/t/7-3.arrow",
            "state/t/7-3.arrow",
            "outbox/t/x.arrow",
            "outbox//7-3.arrow",
            "outbox/t/7-3.parquet",
        ] {
            assert!(!is_outbox_path(path), "{path}");
        }
    }
}
