//! Rewrites the rows of a folder beside the table.

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::{Deserialize, Serialize};
use sluicebox_durable::fault::What;
use sluicebox_durable::{self as durable, DurableFile, open_regular};

use super::look::Part;
use super::plan::Piece;
use crate::ParquetTable;
use crate::error::{LakeError, Result};
use crate::parquet::gather::CHUNK_ROWS;
use crate::parquet::table::ParquetWriter;
use crate::staged::HashedFile;
use crate::upkeep::Upkeep;

/// What a file is, in one line of text: `<name> <rows> <bytes> <checksum>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct FileSum {
    /// Its name, without a folder.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// The checksum over its content.
    pub checksum: String,
}

impl FileSum {
    /// In place of the checksum of a file that was not read to its end.
    pub const UNREAD: &'static str = "-";
}

impl From<FileSum> for String {
    fn from(file: FileSum) -> Self {
        format!("{} {} {} {}", file.name, file.rows, file.bytes, file.checksum)
    }
}

impl TryFrom<String> for FileSum {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not `<name> <rows> <bytes> <checksum>`");
        let mut parts = text.split(' ');
        let mut next = || parts.next().ok_or_else(wrong);
        let (name, rows, bytes, checksum) = (next()?, next()?, next()?, next()?);
        let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
        if name.is_empty() || name.contains('/') || parts.next().is_some() {
            return Err(wrong());
        }
        Ok(Self { name: name.to_owned(), rows: number(rows)?, bytes: number(bytes)?, checksum: checksum.to_owned() })
    }
}

/// A file whose rows are to be written anew.
#[derive(Debug, Clone)]
pub struct Input {
    /// The file as it is.
    pub file: FileSum,
    /// Its columns.
    pub schema: SchemaRef,
}

impl Input {
    /// Reads all of the file, which lies in `folder`, for its checksum.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn sum(&mut self, folder: &Path) -> Result<()> {
        let path = folder.join(&self.file.name);
        let damaged = |e| LakeError::DamagedInput { path: path.clone(), why: format!("it cannot be read: {e}") };
        (_, self.file.checksum) =
            durable::reading(What::Swap, &path, || durable::checksum_of(&path)).map_err(damaged)?;
        Ok(())
    }

    /// Reads the footer of the file of `part` in `folder`: the checksum is [`FileSum::UNREAD`] until [`Self::sum`].
    ///
    /// # Errors
    /// When it cannot be read, or is no Parquet file.
    pub fn footer(folder: &Path, part: &Part) -> Result<Self> {
        let reader = open(&folder.join(&part.name))?;
        let rows = u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(0);
        let checksum = FileSum::UNREAD.to_owned();
        let file = FileSum { name: part.name.clone(), rows, bytes: part.bytes, checksum };
        Ok(Self { file, schema: SchemaRef::clone(reader.schema()) })
    }
}

fn open(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let damaged = |why: String| LakeError::DamagedInput { path: path.to_owned(), why };
    let file = open_regular(path).map_err(|e| damaged(format!("it cannot be opened: {e}")))?;
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| damaged(format!("it is no whole Parquet file ({e})")))
}

/// Files are as the table writes them, cut at its target size.
impl Upkeep for ParquetTable {
    fn location(&self) -> &Path {
        self.location()
    }

    fn partition_columns(&self) -> usize {
        self.partitioning.names().len()
    }

    fn rewrite(
        &self,
        folder: &Path,
        inputs: &[Input],
        pieces: &[Piece],
        staged: &Path,
        name: &dyn Fn(u64) -> String,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<FileSum>>> {
        let mut rewrite = Rewrite { table: self, folder, inputs, staged, name, go_on, files: Vec::new() };
        for piece in pieces {
            let whole = match piece {
                Piece::Keep(at) => rewrite.keep(*at)?,
                Piece::Merge(range) => rewrite.merge(range)?,
            };
            if !whole {
                return Ok(None);
            }
        }
        let files = rewrite.files;
        let rows = |files: &mut dyn Iterator<Item = u64>| files.sum::<u64>();
        let (read, written) =
            (rows(&mut inputs.iter().map(|i| i.file.rows)), rows(&mut files.iter().map(|file| file.rows)));
        if read != written {
            let why = format!("its folder has {read} rows by the files' footers, and {written} were read");
            return Err(LakeError::DamagedInput { path: folder.to_owned(), why });
        }
        durable::sync_dir(What::Swap, staged)?;
        Ok(Some(files))
    }
}

struct Rewrite<'a> {
    table: &'a ParquetTable,
    folder: &'a Path,
    inputs: &'a [Input],
    staged: &'a Path,
    name: &'a dyn Fn(u64) -> String,
    go_on: &'a dyn Fn() -> bool,
    files: Vec<FileSum>,
}

impl Rewrite<'_> {
    fn next_name(&self) -> String {
        (self.name)(self.files.len() as u64)
    }

    fn keep(&mut self, at: usize) -> Result<bool> {
        let Some(input) = self.inputs.get(at) else { return Ok((self.go_on)()) };
        let name = self.next_name();
        durable::link(What::Swap, &self.folder.join(&input.file.name), &self.staged.join(&name))?;
        self.files.push(FileSum { name, ..input.file.clone() });
        Ok((self.go_on)())
    }

    fn merge(&mut self, range: &Range<usize>) -> Result<bool> {
        let mut open: Option<ParquetWriter<HashedFile>> = None;
        for input in self.inputs.iter().take(range.end).skip(range.start) {
            let path = self.folder.join(&input.file.name);
            let damaged = |why: String| LakeError::DamagedInput { path: path.clone(), why };
            let reader = self::open(&path)?.with_batch_size(CHUNK_ROWS).build().map_err(|e| damaged(e.to_string()))?;
            for rows in reader {
                if !(self.go_on)() {
                    return Ok(false);
                }
                let rows = rows.map_err(|e| damaged(format!("its rows cannot be read ({e})")))?;
                let mut writer = match open.take() {
                    Some(writer) => writer,
                    None => self.create(&input.schema)?,
                };
                writer.write(&rows)?;
                if writer.bytes() >= self.table.target_file_bytes {
                    self.close(writer)?;
                } else {
                    open = Some(writer);
                }
            }
        }
        open.map_or(Ok(()), |writer| self.close(writer))?;
        Ok(true)
    }

    fn create(&self, schema: &SchemaRef) -> Result<ParquetWriter<HashedFile>> {
        let path = self.staged.join(self.next_name());
        let file = HashedFile::new(DurableFile::create_new(What::Swap, &path)?, &path);
        ParquetWriter::open(self.table, file, path, schema)
    }

    fn close(&mut self, open: ParquetWriter<HashedFile>) -> Result<()> {
        let name = self.next_name();
        let (file, rows) = open.close()?;
        let (bytes, checksum) = file.finish()?;
        self.files.push(FileSum { name, rows, bytes, checksum });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_one_line_and_comes_back() {
        let file = FileSum { name: "a.parquet".into(), rows: 7, bytes: 99, checksum: "00ff".into() };
        let text = String::from(file.clone());
        assert_eq!(text, "a.parquet 7 99 00ff");
        assert_eq!(FileSum::try_from(text), Ok(file));
        for wrong in ["", "a", "a 1 2", "a 1 x c", "a 1 2 c d", "../a 1 2 c", " 1 2 c"] {
            assert!(FileSum::try_from(wrong.to_owned()).is_err(), "{wrong:?}");
        }
    }
}
