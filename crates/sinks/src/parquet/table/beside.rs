//! Files beside the tables: a folder for each batch.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use sluicebox_core::stored::stored_rows;

use super::{ParquetOptions, ParquetTable};
use crate::error::Result;
use crate::staged::{BatchKey, StagedFile};

/// The partition column of everything beside the tables.
pub const BATCH_ID: &str = "batch_id";

/// Stages `rows` in the folder `location`, below the folder of their batch. Rows that were taken out below their table's
/// SELECT have the types of what it reads.
///
/// # Errors
/// When a column cannot be written, or a file cannot be.
pub fn stage_beside(location: &Path, batch: &BatchKey<'_>, rows: &[RecordBatch]) -> Result<Vec<StagedFile>> {
    let rows = rows.iter().filter(|r| r.num_rows() > 0).map(stored_rows).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let schema = with_batch_id(&first.schema());
    let id = i64::try_from(batch.batch_id).unwrap_or(i64::MAX);
    let rows = rows
        .iter()
        .map(|rows| {
            let mut columns = rows.columns().to_vec();
            columns.push(Arc::new(Int64Array::from_value(id, rows.num_rows())) as ArrayRef);
            RecordBatch::try_new(Arc::clone(&schema), columns)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let by = vec![BATCH_ID.to_owned()];
    ParquetTable::try_new(location, schema, by, ParquetOptions::default())?.stage_files(batch, &rows)
}

fn with_batch_id(schema: &Schema) -> SchemaRef {
    let mut fields: Vec<FieldRef> = schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(BATCH_ID, DataType::Int64, false)));
    Arc::new(Schema::new(fields))
}
