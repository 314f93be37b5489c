//! Queries by DuckDB, linked.
//!
//! Its Arrow is another major version than ours, so rows cross the border as text: DuckDB casts every column itself, and
//! writes JSON itself.

use std::sync::Arc;

use anyhow::Context;
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use duckdb::Connection;
use sluicebox_lake::TableFolder;

use super::Format;
use crate::failure::Usage;

/// The rows of `sql` over `tables`, every column as text; for [`Format::Json`] one column with an object a row.
pub fn run(tables: &[TableFolder], sql: &str, format: Format) -> anyhow::Result<Vec<RecordBatch>> {
    let connection = Connection::open_in_memory().context("cannot start DuckDB")?;
    for table in tables {
        create_view(&connection, table).with_context(|| format!("table {}.{}", table.layer, table.table))?;
    }
    let sql = sql.trim().trim_end_matches(';');
    let sql = if sql.eq_ignore_ascii_case("show tables") {
        "SELECT schema_name || '.' || view_name AS \"table\" FROM duckdb_views() WHERE NOT internal ORDER BY view_oid"
    } else {
        sql
    };
    let wrapped = match format {
        Format::Json => format!("SELECT to_json(q)::VARCHAR AS json FROM ({sql}\n) AS q"),
        Format::Table | Format::Csv => format!("SELECT COLUMNS(*)::VARCHAR FROM ({sql}\n)"),
    };
    let mut statement = connection.prepare(&wrapped).map_err(|e| Usage(e.to_string()))?;
    let mut rows = statement.query([]).map_err(|e| Usage(e.to_string()))?;
    let names = rows.as_ref().map(|s| s.column_names()).unwrap_or_default();
    let mut columns: Vec<Vec<Option<String>>> = vec![Vec::new(); names.len()];
    while let Some(row) = rows.next()? {
        for (i, column) in columns.iter_mut().enumerate() {
            column.push(row.get(i)?);
        }
    }
    let fields: Vec<Field> = names.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
    let columns = columns.into_iter().map(|c| Arc::new(StringArray::from(c)) as ArrayRef).collect();
    Ok(vec![RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?])
}

fn create_view(connection: &Connection, table: &TableFolder) -> anyhow::Result<()> {
    let name = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let glob = table.path.join("**/*.parquet").display().to_string().replace('\'', "''");
    connection.execute_batch(&format!(
        "CREATE SCHEMA IF NOT EXISTS {schema};
         CREATE VIEW {schema}.{table} AS
           SELECT * FROM read_parquet('{glob}', hive_partitioning = true, union_by_name = true)",
        schema = name(&table.layer),
        table = name(&table.table),
    ))?;
    Ok(())
}
