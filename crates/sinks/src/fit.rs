//! Fits rows to a table: its columns by name, in the table's order.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use sluicebox_core::columns::of_schema;
use sluicebox_core::stored::last_of_each_key;

use crate::error::{LakeError, Result};

/// `rows` in the order of the columns of `schema`, checked against it, and labelled with it. A map has each key once.
/// `location` names the table in the error.
pub(crate) fn to_table(location: &Path, schema: &SchemaRef, rows: &RecordBatch) -> Result<RecordBatch> {
    let mismatch = |reason: String| LakeError::Rows { location: location.to_path_buf(), reason };
    let (have, want) = (rows.num_columns(), schema.fields().len());
    if have != want {
        return Err(mismatch(format!("{have} columns where {want} are expected")));
    }
    let columns = of_schema(rows, schema).map_err(|unfit| mismatch(unfit.to_string()))?;
    let columns = columns.iter().map(last_of_each_key).collect::<Result<Vec<_>, _>>()?;
    // Checks types of the columns, and that one that may not be NULL is not.
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|e| mismatch(e.to_string()))
}
