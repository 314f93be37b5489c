//! A table's files, read one by one and shown as text; folders give the partition columns.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// A file of a table.
pub struct TableFile {
    pub path: PathBuf,
    pub batches: Vec<RecordBatch>,
}

impl TableFile {
    /// The batch that wrote it, by its name.
    pub fn batch_id(&self) -> u64 {
        let name = self.path.file_name().unwrap().to_str().unwrap();
        name.split('-').next().unwrap().parse().unwrap()
    }

    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// The value of a partition column.
    pub fn folder_value(&self, column: &str) -> Option<String> {
        let prefix = format!("{column}=");
        self.path.iter().find_map(|part| part.to_str()?.strip_prefix(&prefix).map(str::to_owned))
    }
}

/// The files below `dir`, as a reader that globs `**/*.parquet` finds them.
pub fn files(dir: &Path) -> Vec<TableFile> {
    let mut found = Vec::new();
    walk(dir, &mut found);
    found.sort();
    found.into_iter().map(|path| with_folders(read(path), dir)).collect()
}

/// The file with the values of its folders below `dir` as columns of text.
fn with_folders(mut file: TableFile, dir: &Path) -> TableFile {
    let between = file.path.strip_prefix(dir).unwrap().parent().unwrap();
    for (column, value) in between.iter().filter_map(|part| part.to_str()?.split_once('=')) {
        let value = (value != "__HIVE_DEFAULT_PARTITION__").then(|| value.replace("%3F", "?"));
        for batch in &mut file.batches {
            let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
            fields.push(Arc::new(Field::new(column, DataType::Utf8, true)));
            let mut columns = batch.columns().to_vec();
            columns.push(Arc::new(StringArray::from(vec![value.as_deref(); batch.num_rows()])));
            *batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        }
    }
    file
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with('_') || name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            walk(&path, found);
        } else if name.ends_with(".parquet") {
            found.push(path);
        }
    }
}

fn read(path: PathBuf) -> TableFile {
    let file = std::fs::File::open(&path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let batches = reader.collect::<Result<_, _>>().unwrap();
    TableFile { path, batches }
}

/// The rows of `batches`, the columns named as one text each, sorted.
pub fn rows(batches: &[RecordBatch], columns: &[&str]) -> Vec<String> {
    let mut out: Vec<String> = batches.iter().flat_map(|batch| unsorted(batch, columns)).collect();
    out.sort();
    out
}

/// The rows of a table.
pub fn table_rows(dir: &Path, columns: &[&str]) -> Vec<String> {
    let batches: Vec<RecordBatch> = files(dir).into_iter().flat_map(|file| file.batches).collect();
    rows(&batches, columns)
}

/// The rows of one batch, in its order.
pub fn unsorted(batch: &RecordBatch, columns: &[&str]) -> Vec<String> {
    let columns: Vec<ArrayRef> = columns
        .iter()
        .map(|name| {
            plain(batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name} in {:?}", batch.schema())))
        })
        .collect();
    let options = FormatOptions::default().with_null("NULL");
    let formatters: Vec<ArrayFormatter> =
        columns.iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap()).collect();
    let line = |row| formatters.iter().map(|f| f.value(row).to_string()).collect::<Vec<_>>().join(" | ");
    (0..batch.num_rows()).map(line).collect()
}

/// Times as microseconds, so that how a time is shown does not matter.
fn plain(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Timestamp(unit, _) => {
            assert_eq!(*unit, TimeUnit::Microsecond, "times are in microseconds");
            arrow::compute::cast(column, &DataType::Int64).unwrap()
        }
        _ => column.clone(),
    }
}

/// A column of integers.
pub fn numbers(batch: &RecordBatch, column: &str) -> Vec<i64> {
    let column = arrow::compute::cast(batch.column_by_name(column).unwrap(), &DataType::Int64).unwrap();
    assert_eq!(column.null_count(), 0);
    column.as_primitive::<Int64Type>().values().to_vec()
}
