//! Stages rows that come a few at a time, since they are too many to hold.
//!
//! Files get the rows and the names that [`stage_files`](ParquetTable::stage_files) gives them, in the same chunks. Folders that rows come
//! back to are the exception: the number of open files is limited, and a file that was closed for it is followed by another part. When that
//! happens depends on the rows and their order alone, so a replay gives the same files.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};

use super::{ParquetTable, ParquetWriter};
use crate::error::{LakeError, Result};
use crate::parquet::gather::{CHUNK_ROWS, Run};
use crate::staged::{BatchKey, StagedFile, sync_staging};

/// Files that are open at once.
const OPEN: usize = 16;

/// Bytes that these may have set aside before they have a row: of wide tables fewer files are open.
const OPEN_ASIDE: usize = 256 << 20;

/// Bytes of open row groups over all files: above it, the largest is written out before it is full.
const OPEN_BYTES: usize = 64 << 20;

/// What a folder has got so far.
#[derive(Default)]
struct Folder {
    /// Rows that make no whole chunk yet, in arrays of their own.
    pending: Vec<RecordBatch>,
    pending_rows: usize,
    /// Files begun.
    parts: usize,
    writer: Option<ParquetWriter>,
    /// When it was last written to, in chunks of the table.
    used: u64,
    files: Vec<StagedFile>,
}

/// The folders of a table while rows come.
struct Staging<'a> {
    table: &'a ParquetTable,
    batch: &'a BatchKey<'a>,
    folders: BTreeMap<String, Folder>,
    /// Those whose file is open.
    open: BTreeSet<String>,
    chunks: u64,
}

impl ParquetTable {
    /// As [`stage_files`](ParquetTable::stage_files), of rows that are taken as they come. It holds one chunk of each folder's rows
    /// and the open row groups, however many rows there are.
    ///
    /// # Errors
    /// As there.
    pub fn stage_stream(
        &self,
        batch: &BatchKey<'_>,
        rows: impl Iterator<Item = RecordBatch>,
    ) -> Result<Vec<StagedFile>> {
        let mut staging = Staging { table: self, batch, folders: BTreeMap::new(), open: BTreeSet::new(), chunks: 0 };
        // Which file is closed for another depends on what comes together: so that is always the same number of rows.
        let mut together = Vec::new();
        let mut size = 0;
        for mut rows in rows {
            while size + rows.num_rows() >= CHUNK_ROWS {
                let taken = CHUNK_ROWS - size;
                together.push(rows.slice(0, taken));
                rows = rows.slice(taken, rows.num_rows() - taken);
                staging.take(&std::mem::take(&mut together))?;
                size = 0;
            }
            size += rows.num_rows();
            together.push(rows);
        }
        staging.take(&together)?;
        let files = staging.finish()?;
        if !files.is_empty() {
            sync_staging(self.location(), batch.epoch)?;
        }
        Ok(files)
    }
}

impl Staging<'_> {
    fn take(&mut self, rows: &[RecordBatch]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let rows = [concat_batches(&self.table.schema, &self.table.table_rows(rows)?)?];
        let split = self.table.partitioning.split(&self.table.location, &rows)?;
        let rows = self.table.file_rows(&rows)?;
        for (folder, runs) in split {
            if !self.folders.contains_key(&folder) {
                self.folders.insert(folder.clone(), Folder::default());
            }
            for rows in &rows {
                self.add(&folder, rows, &runs)?;
            }
        }
        Ok(())
    }

    /// Adds the rows of `runs` to `folder`, and writes what makes whole chunks.
    fn add(&mut self, folder: &str, rows: &RecordBatch, runs: &[Run]) -> Result<()> {
        let indices = runs.iter().flat_map(|run| run.start..run.start + run.len);
        // A copy, so that a few rows that wait do not hold all that they came with.
        let indices: UInt32Array = indices.map(|row| u32::try_from(row).unwrap_or(u32::MAX)).collect();
        let mut rows = take_record_batch(rows, &indices)?;
        while rows.num_rows() > 0 {
            let Some(state) = self.folders.get_mut(folder) else { return Ok(()) };
            let taken = rows.num_rows().min(CHUNK_ROWS - state.pending_rows);
            state.pending.push(rows.slice(0, taken));
            state.pending_rows += taken;
            rows = rows.slice(taken, rows.num_rows() - taken);
            if state.pending_rows == CHUNK_ROWS {
                self.write_pending(folder)?;
            }
        }
        Ok(())
    }

    fn write_pending(&mut self, folder: &str) -> Result<()> {
        self.make_room(folder)?;
        self.chunks += 1;
        let Some(state) = self.folders.get_mut(folder) else { return Ok(()) };
        let chunk = concat_batches(&self.table.file_schema, &state.pending)?;
        state.pending.clear();
        state.pending_rows = 0;
        state.used = self.chunks;
        let mut writer = match state.writer.take() {
            Some(writer) => writer,
            None => {
                let part = state.parts;
                state.parts += 1;
                self.table.create_part(self.batch, folder, part)?
            }
        };
        writer.write(&chunk)?;
        if writer.bytes() >= self.table.target_file_bytes {
            state.files.push(writer.finish()?);
            self.open.remove(folder);
        } else {
            state.writer = Some(writer);
            self.open.insert(folder.to_owned());
        }
        self.shrink()
    }

    /// Closes the file that has waited longest, when one more is to be opened for `folder` and there are many.
    fn make_room(&mut self, folder: &str) -> Result<()> {
        let most = OPEN.min(OPEN_ASIDE / self.table.set_aside.max(1));
        if self.open.contains(folder) || self.open.len() < most {
            return Ok(());
        }
        let used = |name: &&String| self.folders.get(*name).map(|state| state.used);
        let oldest = self.open.iter().min_by_key(used).cloned();
        oldest.map_or(Ok(()), |oldest| self.close(&oldest))
    }

    /// Finishes the file of `folder`, if one is open.
    fn close(&mut self, folder: &str) -> Result<()> {
        self.open.remove(folder);
        if let Some(state) = self.folders.get_mut(folder)
            && let Some(writer) = state.writer.take()
        {
            state.files.push(writer.finish()?);
        }
        Ok(())
    }

    /// Writes out the largest open row group, when together they are too large.
    fn shrink(&mut self) -> Result<()> {
        let waiting = |name: &String| {
            let writer = self.folders.get(name).and_then(|state| state.writer.as_ref());
            writer.map_or(0, |open| open.writer.in_progress_size())
        };
        if self.open.len() < 2 || self.open.iter().map(waiting).sum::<usize>() <= OPEN_BYTES {
            return Ok(());
        }
        // Of equals the last one in the order of folders, so that it is always the same.
        let largest = self.open.iter().max_by_key(|name| waiting(name)).cloned();
        if let Some(open) = largest.and_then(|name| self.folders.get_mut(&name)?.writer.as_mut()) {
            let flushed = open.writer.flush();
            flushed.map_err(|source| LakeError::Parquet { path: open.path.clone(), source })?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<StagedFile>> {
        // Those that are open first: so none is closed to make room, and begun again.
        let (open, waiting): (Vec<String>, Vec<String>) =
            self.folders.keys().cloned().partition(|name| self.open.contains(name));
        for folder in open.into_iter().chain(waiting) {
            if self.folders.get(&folder).is_some_and(|state| state.pending_rows > 0) {
                self.write_pending(&folder)?;
            }
            self.close(&folder)?;
        }
        Ok(self.folders.into_values().flat_map(|state| state.files).collect())
    }
}
