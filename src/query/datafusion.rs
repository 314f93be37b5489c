//! Queries by DataFusion: what a build without the feature `duckdb` has.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use datafusion::catalog::{MemorySchemaProvider, TableProvider};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::functions::expr_fn::nullif;
use datafusion::prelude::{Expr, SessionContext, cast, ident, lit};
use sluicebox_lake::TableFolder;

use crate::failure::Usage;

/// The rows of `sql` over `tables`; at least one batch, which may be empty.
pub async fn run(tables: &[TableFolder], sql: &str) -> anyhow::Result<Vec<RecordBatch>> {
    let context = SessionContext::new_with_state(sluicebox_pipeline::bind::functions::session_state(2));
    for table in tables {
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
    let columns = partition_columns(&table.path)?;
    // DataFusion takes the folder of NULLs for a text: such a column is read as text, and a view above makes it NULL.
    let as_read = columns.iter().map(|c| {
        let kind = if c.nulls { DataType::Utf8 } else { c.kind.clone() };
        (c.name.clone(), kind)
    });
    let url = ListingTableUrl::parse(format!("{}/", table.path.display()))?;
    let options = ListingOptions::new(Arc::new(ParquetFormat::default()))
        .with_file_extension(".parquet")
        .with_table_partition_cols(as_read.collect());
    let files = options.infer_schema(&state, &url).await?;
    let config = ListingTableConfig::new(url).with_listing_options(options).with_schema(files);
    let listing: Arc<dyn TableProvider> = Arc::new(ListingTable::try_new(config)?);
    let provider = if columns.iter().any(|c| c.nulls) { with_nulls(context, listing, &columns)? } else { listing };
    schema.register_table(table.table.clone(), provider)?;
    Ok(())
}

/// `listing` with the folders of NULLs read as NULL.
fn with_nulls(
    context: &SessionContext,
    listing: Arc<dyn TableProvider>,
    columns: &[PartitionColumn],
) -> anyhow::Result<Arc<dyn TableProvider>> {
    let fields = listing.schema();
    let expressions: Vec<Expr> = fields
        .fields()
        .iter()
        .map(|field| match columns.iter().find(|c| c.nulls && c.name == *field.name()) {
            Some(column) => {
                let value = nullif(ident(field.name()), lit(NULL_FOLDER));
                cast(value, column.kind.clone()).alias(field.name())
            }
            None => ident(field.name()),
        })
        .collect();
    Ok(context.read_table(listing)?.select(expressions)?.into_view())
}

/// A column in the folders' names.
struct PartitionColumn {
    name: String,
    /// The type that all its values have.
    kind: DataType,
    /// Whether one of its folders is that of NULL.
    nulls: bool,
}

/// How a folder's name says NULL.
const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";

/// The columns in the folders' names, `<column>=<value>`, outermost first.
fn partition_columns(folder: &Path) -> anyhow::Result<Vec<PartitionColumn>> {
    let mut columns = Vec::new();
    let mut dirs = vec![folder.to_owned()];
    loop {
        let mut name = None;
        let mut kind = None;
        let mut nulls = false;
        let mut next = Vec::new();
        for dir in &dirs {
            for entry in std::fs::read_dir(dir)? {
                let path = entry?.path();
                let Some((column, value)) = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.split_once('='))
                else {
                    continue;
                };
                name = Some(column.to_owned());
                if value == NULL_FOLDER {
                    nulls = true;
                } else {
                    let own = value_type(value);
                    kind = Some(kind.map_or_else(|| own.clone(), |k| if k == own { k } else { DataType::Utf8 }));
                }
                next.push(path);
            }
        }
        match name {
            Some(name) => columns.push(PartitionColumn { name, kind: kind.unwrap_or(DataType::Utf8), nulls }),
            None => return Ok(columns),
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
