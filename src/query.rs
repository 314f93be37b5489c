//! `sluicebox query`: SQL over every table below `data/`, read as any other reader would: by globbing the folders.

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use clap::{Args, ValueEnum};
use datafusion::catalog::MemorySchemaProvider;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::prelude::SessionContext;
use sluicebox_lake::TableFolder;

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
    let batches = run(&args.data, &sql).await?;
    let terminal = std::io::stdout().is_terminal();
    let format = args.format.unwrap_or(if terminal { Format::Table } else { Format::Csv });
    print(&batches, format)
}

async fn run(data: &Path, sql: &str) -> anyhow::Result<Vec<RecordBatch>> {
    let context = SessionContext::new_with_state(sluicebox_pipeline::bind::functions::session_state(2));
    let tables = sluicebox_lake::list_tables(data)?;
    if tables.is_empty() {
        return Err(Usage(format!(
            "there are no tables below {}: run a pipeline first, or name their folder with --data",
            data.display()
        ))
        .into());
    }
    for table in &tables {
        register(&context, table).await.with_context(|| format!("table {}.{}", table.layer, table.table))?;
    }
    if sql.trim().trim_end_matches(';').eq_ignore_ascii_case("show tables") {
        let names: Vec<String> = tables.iter().map(|t| format!("{}.{}", t.layer, t.table)).collect();
        let column: ArrayRef = Arc::new(StringArray::from(names));
        return Ok(vec![RecordBatch::try_from_iter([("table", column)])?]);
    }
    let frame = context.sql(sql).await.map_err(|e| Usage(e.strip_backtrace()))?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let mut batches = frame.collect().await?;
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    Ok(batches)
}

/// Makes the table `<layer>.<name>` over the files that its folder has now.
async fn register(context: &SessionContext, table: &TableFolder) -> anyhow::Result<()> {
    let state = context.state();
    let catalog = context.catalog("datafusion").context("no catalog")?;
    let schema = match catalog.schema(&table.layer) {
        Some(schema) => schema,
        None => {
            catalog.register_schema(&table.layer, Arc::new(MemorySchemaProvider::new()))?;
            catalog.schema(&table.layer).context("no schema")?
        }
    };
    let url = ListingTableUrl::parse(format!("{}/", table.path.display()))?;
    let options = ListingOptions::new(Arc::new(ParquetFormat::default()))
        .with_file_extension(".parquet")
        .with_table_partition_cols(partition_columns(&table.path)?);
    let files = options.infer_schema(&state, &url).await?;
    let config = ListingTableConfig::new(url).with_listing_options(options).with_schema(files);
    schema.register_table(table.table.clone(), Arc::new(ListingTable::try_new(config)?))?;
    Ok(())
}

/// The columns in the folders' names, `<column>=<value>`, and the type that all values of each have.
fn partition_columns(folder: &Path) -> anyhow::Result<Vec<(String, DataType)>> {
    let mut columns = Vec::new();
    let mut dirs = vec![folder.to_owned()];
    loop {
        let mut name = None;
        let mut kind = None;
        let mut next = Vec::new();
        for dir in &dirs {
            for entry in std::fs::read_dir(dir)? {
                let path = entry?.path();
                let Some((column, value)) = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.split_once('='))
                else {
                    continue;
                };
                let own = value_type(value);
                kind = Some(kind.map_or_else(|| own.clone(), |k| if k == own { k } else { DataType::Utf8 }));
                name = Some(column.to_owned());
                next.push(path);
            }
        }
        match (name, kind) {
            (Some(name), Some(kind)) => columns.push((name, kind)),
            _ => return Ok(columns),
        }
        dirs = next;
    }
}

fn value_type(value: &str) -> DataType {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = value.split('-').collect();
    match parts.as_slice() {
        [y, m, d] if y.len() == 4 && m.len() == 2 && d.len() == 2 && [y, m, d].iter().all(|p| digits(p)) => {
            DataType::Date32
        }
        [number] if digits(number) && number.len() < 18 => DataType::Int64,
        _ => DataType::Utf8,
    }
}

fn print(batches: &[RecordBatch], format: Format) -> anyhow::Result<()> {
    let mut text = Vec::new();
    match format {
        Format::Table => writeln!(text, "{}", arrow::util::pretty::pretty_format_batches(batches)?)?,
        Format::Csv => {
            let mut writer = datafusion::arrow::csv::WriterBuilder::new().with_header(true).build(&mut text);
            for batch in batches {
                writer.write(&flat(batch)?)?;
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
