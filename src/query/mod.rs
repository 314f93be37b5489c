//! `sluicebox query`: SQL over every table below `data/`, read as any other reader would: by globbing the folders. By
//! DuckDB when built with the feature `duckdb`, else by DataFusion.

#[cfg_attr(feature = "duckdb", expect(dead_code, reason = "DuckDB takes its place"))]
mod datafusion;
#[cfg(feature = "duckdb")]
mod duckdb;

use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use clap::{Args, ValueEnum};

use crate::failure::Usage;
use crate::out;

/// SQL over every table below data/, as views <layer>.<table>
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluicebox query 'SELECT * FROM gold.revenue_5m ORDER BY window_start DESC LIMIT 12'
  sluicebox query 'SHOW TABLES'
  sluicebox query -f report.sql --format csv > report.csv")]
pub struct QueryArgs {
    /// The query; without it and without -f, read from stdin
    #[arg(value_name = "SQL")]
    sql: Option<String>,
    /// A file with the query
    #[arg(short, long, value_name = "FILE", conflicts_with = "sql")]
    file: Option<PathBuf>,
    /// The folder of the tables
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// How to print rows; a table on a terminal, else csv
    #[arg(long, value_enum)]
    format: Option<Format>,
}

/// How to print rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people
    Table,
    /// Comma-separated, with a header
    Csv,
    /// One JSON object a line
    Json,
}

/// Runs the query.
pub async fn query(args: QueryArgs) -> anyhow::Result<()> {
    let sql = match (args.sql, args.file) {
        (Some(sql), _) => sql,
        (None, Some(file)) => {
            std::fs::read_to_string(&file).map_err(|e| Usage(format!("cannot read {}: {e}", file.display())))?
        }
        (None, None) => {
            let mut sql = String::new();
            std::io::stdin().read_to_string(&mut sql).context("cannot read the query from stdin")?;
            sql
        }
    };
    let tables = sluicebox_lake::list_tables(&args.data)?;
    if tables.is_empty() {
        return Err(Usage(format!(
            "there are no tables below {}: run a pipeline first, or name their folder with --data",
            args.data.display()
        ))
        .into());
    }
    let terminal = std::io::stdout().is_terminal();
    let format = args.format.unwrap_or(if terminal { Format::Table } else { Format::Csv });
    #[cfg(feature = "duckdb")]
    let batches = tokio::task::spawn_blocking(move || duckdb::run(&tables, &sql, format)).await??;
    #[cfg(not(feature = "duckdb"))]
    let batches = datafusion::run(&tables, &sql).await?;
    print(&batches, format)
}

fn print(batches: &[RecordBatch], format: Format) -> anyhow::Result<()> {
    let mut text = Vec::new();
    match format {
        Format::Table => writeln!(text, "{}", arrow::util::pretty::pretty_format_batches(batches)?)?,
        Format::Csv => {
            let mut writer = ::datafusion::arrow::csv::WriterBuilder::new().with_header(true).build(&mut text);
            for batch in batches {
                writer.write(&flat(batch)?)?;
            }
        }
        // DuckDB has written the objects itself: one column of text.
        Format::Json if cfg!(feature = "duckdb") => {
            for batch in batches {
                for line in batch.column(0).as_string::<i32>().iter().flatten() {
                    writeln!(text, "{line}")?;
                }
            }
        }
        Format::Json => {
            let mut writer = arrow::json::LineDelimitedWriter::new(&mut text);
            for batch in batches {
                writer.write(batch)?;
            }
            writer.finish()?;
        }
    }
    Ok(out::write_with(|out| out.write_all(&text))?)
}

/// Lists, structs and maps as the text that a table would show, and bytes as hexadecimal digits, for CSV has neither.
fn flat(batch: &RecordBatch) -> anyhow::Result<RecordBatch> {
    let options = FormatOptions::default();
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let binary = matches!(field.data_type(), DataType::Binary | DataType::LargeBinary | DataType::BinaryView);
        if !field.data_type().is_nested() && !binary {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
            continue;
        }
        let formatter = ArrayFormatter::try_new(column, &options)?;
        let text: StringArray =
            (0..column.len()).map(|row| column.is_valid(row).then(|| formatter.value(row).to_string())).collect();
        fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
        columns.push(Arc::new(text));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
