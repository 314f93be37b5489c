//! Tests of the promises of this crate against a real filesystem.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

mod clearing;
mod columns;
mod compacting;
mod conformance;
mod embedded_log;
mod owning;
mod publishing;
mod reading_back;
mod staging;
mod viewing;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::{ParquetOptions, ParquetTable, prepare};

pub(crate) use crate::testing::{QUERY, key, rows, schema};

pub(crate) fn table(location: &Path, by: &[&str]) -> ParquetTable {
    table_with(location, by, ParquetOptions::default())
}

pub(crate) fn table_with(location: &Path, by: &[&str], options: ParquetOptions) -> ParquetTable {
    let by: Vec<String> = by.iter().map(|c| (*c).to_owned()).collect();
    let table = ParquetTable::try_new(location, schema(), by, options).unwrap();
    prepare(location).unwrap();
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
