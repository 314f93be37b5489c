//! Tests of the promises of this crate against a real filesystem.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

mod clearing;
mod columns;
mod compacting;
mod conformance;
mod owning;
mod publishing;
mod reading_back;
mod staging;
mod viewing;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::{BatchKey, ParquetOptions, ParquetTable, TableFormat};

pub(crate) const QUERY: &str = "0f3a9c1e-5b7d-4e21-9a77-aa00bb11cc22";

pub(crate) fn key(batch_id: u64, epoch: u64) -> BatchKey<'static> {
    BatchKey { batch_id, query_id: QUERY, epoch }
}

pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("region", DataType::Utf8, true),
        Field::new("note", DataType::Utf8, true),
        Field::new("day", DataType::Date32, true),
    ]))
}

/// Rows with ids from `first`, one for each (region, day).
pub(crate) fn rows(first: i64, values: &[(Option<&str>, Option<i32>)]) -> RecordBatch {
    let n = i64::try_from(values.len()).unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(first..first + n)),
        Arc::new(values.iter().map(|(region, _)| *region).collect::<StringArray>()),
        Arc::new((first..first + n).map(|i| (i % 5 != 0).then(|| format!("note {}", i % 77))).collect::<StringArray>()),
        Arc::new(values.iter().map(|(_, day)| *day).collect::<Date32Array>()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

pub(crate) fn table(location: &Path, by: &[&str]) -> ParquetTable {
    table_with(location, by, ParquetOptions::default())
}

pub(crate) fn table_with(location: &Path, by: &[&str], options: ParquetOptions) -> ParquetTable {
    let by: Vec<String> = by.iter().map(|c| (*c).to_owned()).collect();
    let table = ParquetTable::try_new(location, schema(), by, options).unwrap();
    table.prepare().unwrap();
    table
}

/// The rows of a Parquet file, in order.
pub(crate) fn read(path: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
    let schema = Arc::clone(reader.schema());
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

/// All files below `folder` that a glob `**/*.parquet` or `**/*.json` finds, relative, with their content.
pub(crate) fn glob(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for path in walk(folder) {
        if path.extension().is_some_and(|e| e == "parquet" || e == "json") {
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            found.insert(name, fs::read(&path).unwrap());
        }
    }
    found
}

/// All files below `folder`, hidden ones too.
pub(crate) fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}
