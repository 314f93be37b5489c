//! Encodes the columns of one file in parallel.
//!
//! With one encoder thread, a table with one file a batch would keep one core busy while the commit waits. The columns of a row group are
//! independent, so any free thread encodes the next one. The file has the same bytes as with one thread: each column gets the same calls,
//! and the columns are written in their order.

use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

use arrow::array::{Array, RecordBatch};
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, compute_leaves};
use parquet::errors::ParquetError;
use sluicebox_core::station::{self, Station};

use super::{DICTIONARY_BYTES, ParquetTable, ParquetWriter};
use crate::error::{LakeError, Result};
use crate::parquet::gather::{self, Run};
use crate::staged::{BatchKey, StagedFile};

/// Rows below which a second thread costs more than it brings.
const MANY_ROWS: usize = 16 * 1024;

/// Threads for one file, at most: beyond, the widest column decides.
const THREADS: usize = 4;

/// What a value may take, encoded, beside its size in memory: levels, lengths, dictionary indices.
const VALUE_BYTES: usize = 8;

/// A column of the table, and the writers of its leaves.
struct Column {
    index: usize,
    leaves: Vec<ArrowColumnWriter>,
}

/// A column that is encoded: its place in the table, and its leaves.
type Encoded = (usize, Vec<ArrowColumnChunk>);

impl ParquetTable {
    /// How many threads to encode the rows of `runs` by, which are some of `in_memory` bytes ([`bytes_in_memory`]). One, unless
    /// they are many, and are sure to be one row group of one file: where the next begins is decided from what all columns
    /// have taken so far.
    pub(crate) fn encoders(&self, in_memory: usize, runs: &[Run]) -> usize {
        let count: usize = runs.iter().map(|run| run.len).sum();
        if count < MANY_ROWS || self.properties.max_row_group_row_count().is_none_or(|most| count >= most) {
            return 1;
        }
        let leaves = self.file_schema.flattened_fields().len();
        let most = in_memory + leaves * (count * VALUE_BYTES + 2 * DICTIONARY_BYTES);
        // Half of a limit, since the writer also cuts where the next rows, if they are like those before, would reach it.
        let limit = self.properties.max_row_group_bytes().unwrap_or(usize::MAX).min(self.target_file_bytes) / 2;
        if most >= limit {
            return 1;
        }
        std::thread::available_parallelism().map_or(1, NonZero::get).min(THREADS).min(self.file_schema.fields().len())
    }

    /// Writes the rows of `runs` as one file of one row group, by `threads` threads.
    pub(crate) fn stage_by(
        &self,
        threads: usize,
        batch: &BatchKey<'_>,
        folder: &str,
        rows: &[RecordBatch],
        runs: &[Run],
    ) -> Result<StagedFile> {
        let ParquetWriter { writer, path, .. } = self.create_part(batch, folder, 0)?;
        let failed = |source| LakeError::Parquet { path: path.clone(), source };
        let (mut file, factory) = writer.into_serialized_writer().map_err(failed)?;
        let mut columns: Vec<Column> = Vec::with_capacity(self.file_schema.fields().len());
        for (leaf, writer) in factory.create_column_writers(0).map_err(failed)?.into_iter().enumerate() {
            let index = file.schema_descr().get_column_root_idx(leaf);
            match columns.last_mut() {
                Some(column) if column.index == index => column.leaves.push(writer),
                _ => columns.push(Column { index, leaves: vec![writer] }),
            }
        }
        let queue = Mutex::new(columns.into_iter());
        let work = || -> Result<Vec<Encoded>> {
            let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let encode = |column| self.encode(column, rows, runs, &failed);
            std::iter::from_fn(next).map(encode).collect()
        };
        let mut encoded = std::thread::scope(|scope| {
            let help = || {
                let _at_work = station::begin(Station::Encode);
                work()
            };
            // Where the system has no thread for a helper, the others do its work.
            let helpers: Vec<_> = (1..threads).filter_map(|_| Builder::new().spawn_scoped(scope, help).ok()).collect();
            let mut all = work()?;
            for helper in helpers {
                all.extend(helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            }
            Ok::<_, LakeError>(all)
        })?;
        encoded.sort_unstable_by_key(|(index, _)| *index);
        let mut group = file.next_row_group().map_err(failed)?;
        for chunk in encoded.into_iter().flat_map(|(_, leaves)| leaves) {
            chunk.append_to_row_group(&mut group).map_err(failed)?;
        }
        group.close().map_err(failed)?;
        let count: usize = runs.iter().map(|run| run.len).sum();
        file.into_inner().map_err(failed)?.finish(u64::try_from(count).unwrap_or(0))
    }

    fn encode(
        &self,
        column: Column,
        rows: &[RecordBatch],
        runs: &[Run],
        failed: &impl Fn(ParquetError) -> LakeError,
    ) -> Result<Encoded> {
        let Column { index, mut leaves } = column;
        let field = self.file_schema.field(index);
        let own = rows.iter().map(|batch| batch.project(&[index])).collect::<Result<Vec<_>, _>>()?;
        for chunk in gather::chunks(&own, runs) {
            for (writer, leaf) in leaves.iter_mut().zip(compute_leaves(field, chunk?.column(0)).map_err(failed)?) {
                writer.write(&leaf).map_err(failed)?;
            }
        }
        let chunks = leaves.into_iter().map(ArrowColumnWriter::close).collect::<Result<_, _>>().map_err(failed)?;
        Ok((index, chunks))
    }
}

/// What the columns of `rows` take in memory.
pub(crate) fn bytes_in_memory(rows: &[RecordBatch]) -> usize {
    rows.iter().flat_map(RecordBatch::columns).map(bytes_of).sum()
}

/// The bytes that an array's own rows take; of what they share with others, more than that.
fn bytes_of(column: &arrow::array::ArrayRef) -> usize {
    column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
}
