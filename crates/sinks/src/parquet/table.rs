//! Tables of Parquet files in hive folders.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{RecordBatch, new_null_array};
use arrow::datatypes::{Field, Schema, SchemaRef};
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};

use crate::error::{LakeError, Result};
use crate::fit;
use crate::layout;
use crate::parquet::gather::{self, Run};
use crate::parquet::partition::Partitioning;
use crate::parquet::view;
use crate::staged::{BatchKey, StagedFile, StagedWriter, sync_staging};

mod beside;
pub(crate) mod columns;
mod lean;
mod sink;
mod stream;

pub use beside::{BATCH_ID, stage_beside};

/// How Parquet files are written. The defaults are those that `benches/writer.rs` found to be fast; its page has the
/// figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParquetOptions {
    /// When a file reaches this size, in bytes, the rows after it go to the next part. Checked every few thousand rows.
    pub target_file_bytes: usize,
    /// The zstd level, 1 to 22; 0 leaves pages uncompressed.
    pub zstd_level: i32,
    /// Which generation of readers has to open the files.
    pub version: ParquetVersion,
    /// The most rows of a row group.
    pub row_group_rows: usize,
    /// The most bytes, encoded, that a row group takes in memory before it is written out.
    pub row_group_bytes: usize,
}

/// Which pages and encodings a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParquetVersion {
    /// Plain values where dictionaries grow too large: for readers older than those of [`ParquetVersion::V2`].
    V1,
    /// Differences instead of plain values, of as many columns as there is room for: faster to write, and smaller. DuckDB,
    /// DataFusion, Arrow, Trino and Spark from 3.3 read it.
    V2,
}

impl Default for ParquetOptions {
    fn default() -> Self {
        Self {
            target_file_bytes: 256 * 1024 * 1024,
            zstd_level: 1,
            version: ParquetVersion::V2,
            row_group_rows: 1024 * 1024,
            row_group_bytes: 64 * 1024 * 1024,
        }
    }
}

impl ParquetOptions {
    /// The settings as the Parquet writer takes them.
    ///
    /// # Errors
    /// When zstd has no such level.
    pub fn writer_properties(self) -> Result<WriterProperties, ParquetError> {
        let compression = match self.zstd_level {
            0 => Compression::UNCOMPRESSED,
            level => Compression::ZSTD(ZstdLevel::try_new(level)?),
        };
        Ok(WriterProperties::builder()
            .set_created_by(CREATED_BY.to_owned())
            .set_writer_version(match self.version {
                ParquetVersion::V1 => WriterVersion::PARQUET_1_0,
                ParquetVersion::V2 => WriterVersion::PARQUET_2_0,
            })
            .set_compression(compression)
            .set_dictionary_page_size_limit(DICTIONARY_BYTES)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_max_row_group_row_count(Some(self.row_group_rows.max(1)))
            .set_max_row_group_bytes(Some(self.row_group_bytes.max(1)))
            .build())
    }
}

/// A table of Parquet files below one location, partitioned by the values of some of its columns.
#[derive(Debug)]
pub struct ParquetTable {
    location: PathBuf,
    schema: SchemaRef,
    /// The columns in files: those of `schema` without the partition columns.
    file_schema: SchemaRef,
    file_columns: Vec<usize>,
    pub(crate) partitioning: Partitioning,
    pub(crate) properties: WriterProperties,
    /// Bytes that the writer of a file asks for before it has a row.
    set_aside: usize,
    pub(crate) target_file_bytes: usize,
}

/// How large a column's dictionary may grow before its values are written as they are. Codes and names fit; ids, which
/// gain nothing from a dictionary, are found out early.
const DICTIONARY_BYTES: usize = 64 * 1024;

/// Who wrote a file. Of the format that readers parse (`<application> version <version>`), without a time or a machine.
const CREATED_BY: &str = concat!("sluicebox version ", env!("CARGO_PKG_VERSION"));

impl ParquetTable {
    /// The table at `location`, which must be absolute, with the columns of `schema`, those named by `partitioned_by` in
    /// the path only. Nothing is read or written.
    ///
    /// # Errors
    /// When the location is relative, a partition column is missing, unfit or the only one, or a column's type has no
    /// Parquet form.
    pub fn try_new(
        location: impl Into<PathBuf>,
        schema: SchemaRef,
        partitioned_by: Vec<String>,
        options: ParquetOptions,
    ) -> Result<Self> {
        let location = location.into();
        if !location.is_absolute() {
            return Err(LakeError::NotAbsolute { location });
        }
        // Metadata of a schema says where rows come from, not what they are: it stays out of files.
        let schema = Arc::new(Schema::new(Arc::unwrap_or_clone(schema).fields));
        let partitioning = Partitioning::try_new(&location, &schema, partitioned_by)?;
        let file_columns = partitioning.file_columns(&schema);
        let refuse = |column: &str, reason: String| LakeError::Column {
            location: location.clone(),
            column: column.to_owned(),
            reason,
        };
        let file_schema = Arc::new(schema.project(&file_columns)?);
        let properties = options.writer_properties().map_err(|e| refuse("(all)", e.to_string()))?;
        let in_path: Vec<&Field> = partitioning.names().filter_map(|name| schema.field_with_name(name).ok()).collect();
        let told = view::told(&in_path).map(|pair| vec![pair]);
        for field in file_schema.fields() {
            can_write(field, &properties).map_err(|e| {
                refuse(field.name(), format!("type {} has no Parquet form ({e}); cast it", field.data_type()))
            })?;
        }
        let columns = ArrowSchemaConverter::new().convert(&file_schema).map_err(|e| refuse("(all)", e.to_string()))?;
        let (properties, set_aside) = lean::lean(properties.into_builder().set_key_value_metadata(told), &columns);
        let properties = properties.build();
        let target_file_bytes = options.target_file_bytes;
        Ok(Self { location, schema, file_schema, file_columns, partitioning, properties, set_aside, target_file_bytes })
    }

    /// The table's columns, partition columns included.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The partition columns, in the order of the folders.
    pub fn partition_columns(&self) -> impl ExactSizeIterator<Item = &str> {
        self.partitioning.names()
    }

    /// `rows` in the order of the table's columns, checked against its schema.
    fn table_rows(&self, rows: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
        rows.iter().map(|batch| fit::to_table(&self.location, &self.schema, batch)).collect()
    }

    /// Table rows without the partition columns.
    fn file_rows(&self, rows: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
        Ok(rows.iter().map(|batch| batch.project(&self.file_columns)).collect::<Result<_, _>>()?)
    }

    fn create_part(&self, batch: &BatchKey<'_>, folder: &str, part: usize) -> Result<ParquetWriter> {
        let name = layout::file_name(batch.batch_id, part, batch.query_id, "parquet");
        let target = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        ParquetWriter::create(self, batch, &target)
    }

    /// The table's folder, absolute.
    #[must_use]
    pub fn location(&self) -> &Path {
        &self.location
    }

    /// Writes `rows`, in their order, to staged files and makes them durable. Nothing of it is visible to readers. No rows
    /// give no files. Staging the same batch again in the same epoch replaces what was staged.
    ///
    /// # Errors
    /// When the rows are not the table's, a partition value is too long for a folder's name, or a file cannot be written; what was
    /// staged until then is never published, and swept later.
    pub fn stage_files(&self, batch: &BatchKey<'_>, rows: &[RecordBatch]) -> Result<Vec<StagedFile>> {
        let rows = self.table_rows(rows)?;
        let split = self.partitioning.split(&self.location, &rows)?;
        let rows = self.file_rows(&rows)?;
        let in_memory = columns::bytes_in_memory(&rows);
        let mut files = Vec::with_capacity(split.len());
        for (folder, runs) in &split {
            self.stage_folder(batch, folder, &rows, in_memory, runs, &mut files)?;
        }
        if !files.is_empty() {
            sync_staging(&self.location, batch.epoch)?;
        }
        Ok(files)
    }

    /// Writes one folder's rows, of all `rows` which take `in_memory` bytes, as as many parts as their size asks for.
    fn stage_folder(
        &self,
        batch: &BatchKey<'_>,
        folder: &str,
        rows: &[RecordBatch],
        in_memory: usize,
        runs: &[Run],
        files: &mut Vec<StagedFile>,
    ) -> Result<()> {
        match self.encoders(in_memory, runs) {
            1 => self.stage_parts(batch, folder, rows, runs, files)?,
            threads => files.push(self.stage_by(threads, batch, folder, rows, runs)?),
        }
        Ok(())
    }

    /// The same, by this thread alone.
    pub(crate) fn stage_parts(
        &self,
        batch: &BatchKey<'_>,
        folder: &str,
        rows: &[RecordBatch],
        runs: &[Run],
        files: &mut Vec<StagedFile>,
    ) -> Result<()> {
        let mut open: Option<ParquetWriter> = None;
        let mut part = 0;
        for chunk in gather::chunks(rows, runs) {
            let chunk = chunk?;
            let mut writer = match open.take() {
                Some(writer) => writer,
                None => {
                    part += 1;
                    self.create_part(batch, folder, part - 1)?
                }
            };
            writer.write(&chunk)?;
            if writer.bytes() >= self.target_file_bytes {
                files.push(writer.finish()?);
            } else {
                open = Some(writer);
            }
        }
        if let Some(writer) = open {
            files.push(writer.finish()?);
        }
        Ok(())
    }
}

/// One open file.
pub(crate) struct ParquetWriter<W: Write + Send = StagedWriter> {
    writer: ArrowWriter<W>,
    path: PathBuf,
    rows: u64,
}

impl ParquetWriter {
    fn create(table: &ParquetTable, batch: &BatchKey<'_>, target: &str) -> Result<Self> {
        let file = StagedWriter::create(&table.location, batch, target)?;
        let path = file.path.clone();
        Self::open(table, file, path, &table.file_schema)
    }

    fn finish(self) -> Result<StagedFile> {
        let (file, rows) = self.close()?;
        file.finish(rows)
    }
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Begins `file`, which is at `path`, for rows of `schema`, with the settings of `table`.
    pub(crate) fn open(table: &ParquetTable, file: W, path: PathBuf, schema: &SchemaRef) -> Result<Self> {
        let writer = ArrowWriter::try_new(file, SchemaRef::clone(schema), Some(table.properties.clone()))
            .map_err(|source| LakeError::Parquet { path: path.clone(), source })?;
        Ok(Self { writer, path, rows: 0 })
    }

    pub(crate) fn write(&mut self, chunk: &RecordBatch) -> Result<()> {
        self.rows += u64::try_from(chunk.num_rows()).unwrap_or(0);
        self.writer.write(chunk).map_err(|source| LakeError::Parquet { path: self.path.clone(), source })
    }

    /// Bytes written, and those that wait in the row group.
    pub(crate) fn bytes(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size()
    }

    /// Writes the footer; gives the file, and how many rows are in it.
    pub(crate) fn close(self) -> Result<(W, u64)> {
        let file = self.writer.into_inner().map_err(|source| LakeError::Parquet { path: self.path, source })?;
        Ok((file, self.rows))
    }
}

/// Whether a column of this type can be written: tried with one row, since the writer says so no earlier.
fn can_write(field: &Arc<Field>, properties: &WriterProperties) -> Result<(), ParquetError> {
    let nullable = Arc::new(Schema::new(vec![field.as_ref().clone().with_nullable(true)]));
    let row = RecordBatch::try_new(Arc::clone(&nullable), vec![new_null_array(field.data_type(), 1)])?;
    // As they are, values need nothing that is set aside, however many columns the type has.
    let plain = properties.clone().into_builder().set_encoding(Encoding::PLAIN).set_dictionary_enabled(false).build();
    let mut writer = ArrowWriter::try_new(std::io::sink(), nullable, Some(plain))?;
    writer.write(&row)?;
    writer.close()?;
    Ok(())
}
