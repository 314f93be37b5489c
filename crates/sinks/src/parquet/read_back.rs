//! Reads a table's rows back from its published files, for tables that are filled from an older one.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use sluicebox_core::columns::by_name;
use sluicebox_core::stored::stored;
use sluicebox_durable::{FileError, open_regular};

use crate::contents::each_file;
use crate::error::{LakeError, Result};
use crate::layout;

/// The published Parquet files below `location`, in the order of their paths. Staged files, reports, and files that no run
/// wrote are left out. A folder that is not there has none.
///
/// # Errors
/// When a folder cannot be listed, or one that holds such a file has a name that is no UTF-8.
pub fn published(location: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    each_file(location, &|_| false, &mut |path| {
        if path.extension().is_some_and(|e| e == "parquet") && layout::batch_of(&path).is_some() {
            found.push(path);
        }
    })?;
    found.sort();
    if let Some(path) = found.iter().find(|path| layout::batch_below(location, path).is_none()) {
        let why = format!(
            "a folder in {path:?} has a name that is no UTF-8, so no run has made it: rename it, or move it away"
        );
        return Err(FileError::new("read", path, io::Error::new(io::ErrorKind::InvalidData, why)).into());
    }
    Ok(found)
}

/// The columns of `schema` of all rows of `file`, in the file's order: from the file, or, for partition columns, from the
/// folders between `location` and the file. A column that may be NULL and that neither has is NULL: the file is older than
/// it. Of a partition column of text, NULL and the empty text share a folder: where the column may be NULL it is NULL.
///
/// # Errors
/// When the file cannot be read, or a column is missing, of another type, or NULL where it may not be.
pub fn read_back(location: &Path, file: &Path, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
    let unreadable = |source: ParquetError| LakeError::Unreadable { path: file.to_owned(), source };
    let opened = open_regular(file).map_err(|e| FileError::new("open", file, e))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(unreadable)?;
    let there = Arc::clone(builder.schema());
    let names: HashSet<&String> = schema.fields().iter().map(|field| field.name()).collect();
    let wanted: Vec<usize> = (0..there.fields().len()).filter(|i| names.contains(there.field(*i).name())).collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let folders = folder_values(location, file);
    let mut rows = Vec::new();
    for batch in builder.with_projection(mask).build().map_err(unreadable)? {
        let batch = batch.map_err(|e| unreadable(e.into()))?;
        let by_name = by_name(&batch);
        let count = batch.num_rows();
        let columns = schema.fields().iter().map(|field| {
            let found = by_name.get(field.name().as_str()).copied();
            column(found, count, field, &folders, file)
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let labelled = RecordBatch::try_new(Arc::clone(schema), columns);
        rows.push(labelled.map_err(|e| LakeError::Column {
            location: file.to_owned(),
            column: "(all)".to_owned(),
            reason: e.to_string(),
        })?);
    }
    Ok(rows)
}

/// The bytes of a file's pages before they were compressed, by its footer: about what its rows take in memory.
///
/// # Errors
/// When the footer cannot be read.
pub fn unpacked_bytes(file: &Path) -> Result<u64> {
    let unreadable = |source: ParquetError| LakeError::Unreadable { path: file.to_owned(), source };
    let opened = open_regular(file).map_err(|e| FileError::new("open", file, e))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(unreadable)?;
    let groups = builder.metadata().row_groups().iter();
    Ok(groups.map(|g| u64::try_from(g.total_byte_size()).unwrap_or(0)).sum())
}

/// The column `field` of `rows` rows: what was `found` of it in the file, else what the folders tell.
fn column(
    found: Option<&ArrayRef>,
    rows: usize,
    field: &Field,
    folders: &[(String, Option<String>)],
    file: &Path,
) -> Result<ArrayRef> {
    let refuse = |reason: String| LakeError::Column { location: file.to_owned(), column: field.name().clone(), reason };
    if let Some(found) = found {
        if found.data_type() != field.data_type() && stored(found.data_type()) == *field.data_type() {
            // Written by an older version, which wrote it as it was computed.
            return cast(found, field.data_type()).map_err(|e| refuse(e.to_string()));
        }
        if found.data_type() != field.data_type() {
            let (was, is) = (found.data_type(), field.data_type());
            return Err(refuse(format!("the file has it as {was}, the table as {is}")));
        }
        return Ok(Arc::clone(found));
    }
    match folders.iter().find(|(name, _)| name == field.name()) {
        Some((_, Some(value))) => from_text(value, field.data_type(), rows).map_err(|e| refuse(e.to_string())),
        Some((_, None)) if !field.is_nullable() => {
            from_text("", field.data_type(), rows).map_err(|e| refuse(e.to_string()))
        }
        _ if field.is_nullable() => Ok(new_null_array(field.data_type(), rows)),
        _ => Err(refuse(
            "the file was written before there was this column, which may not be NULL; compute from the topic what is \
             to be made of these rows"
                .to_owned(),
        )),
    }
}

/// `rows` times the value that a folder's name tells.
fn from_text(value: &str, wanted: &DataType, rows: usize) -> Result<ArrayRef, arrow::error::ArrowError> {
    let text: ArrayRef = Arc::new(StringArray::from(vec![value]));
    let one = cast(&text, wanted)?;
    if one.is_null(0) {
        let what = format!("the folder's value '{value}' is no {wanted}");
        return Err(arrow::error::ArrowError::CastError(what));
    }
    arrow::compute::take(&one, &arrow::array::UInt32Array::from(vec![0; rows]), None)
}

/// Column and value of each hive folder between `location` and `file`.
fn folder_values(location: &Path, file: &Path) -> Vec<(String, Option<String>)> {
    let between = file.strip_prefix(location).ok().and_then(Path::parent);
    let parts = between.into_iter().flat_map(Path::components);
    parts.filter_map(|part| layout::folder_value(&part.as_os_str().to_string_lossy())).collect()
}
