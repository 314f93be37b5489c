//! Queries by DataFusion: what a build without the feature `duckdb` has.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, SchemaProvider, Session, TableProvider};
use datafusion::common::config::ConfigNonZeroUsize;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use futures::StreamExt;
use futures::future::{self, BoxFuture};
use object_store::ObjectMeta;
use object_store::path::Path as StorePath;
use sluicebox_core::{Clock, SystemClock};
use sluicebox_pipeline::ask::{self, Asked};
use sluicebox_pipeline::bind::{bind_clock, session_state_within};
use sluicebox_pipeline::room::pieced;
use sluicebox_sinks::parquet::view::View;

use super::Rows;
use super::tables::{self, Tables};
use super::text::{Gone, Text};

/// Gives the rows of the statement `asked` of `text` to `rows`; at least one batch, which may be empty.
pub async fn run(tables: &Tables, text: &Text, asked: &Asked, rows: &mut dyn Rows) -> anyhow::Result<()> {
    let statement = asked.parse(&text.file, &text.sql)?;
    let unknown: Vec<_> = ask::tables(&text.sql, &statement)
        .iter()
        .filter_map(|name| tables.find(name).err().map(|mistake| *mistake))
        .collect();
    if !unknown.is_empty() {
        return Err(text.wrong(unknown).into());
    }
    let context = session(tables)?;
    let state = context.state();
    let said = |error: DataFusionError| -> anyhow::Error {
        match unreadable(error) {
            Ok(error) => error,
            Err(error) if is_gone(&error) => Gone(error.strip_backtrace()).into(),
            Err(error) => {
                let functions: Vec<String> =
                    state.scalar_functions().keys().chain(state.aggregate_functions().keys()).cloned().collect();
                ask::mistake(&text.file, &text.sql, asked, &error, &functions).into()
            }
        }
    };
    let plan = state.statement_to_plan(Statement::Statement(Box::new(statement))).await.map_err(said)?;
    anyhow::ensure!(ask::reads_only(&plan), "`query` only reads");
    let plan = bind_clock(plan, SystemClock::new().now_micros()).map_err(said)?;
    let frame = context.execute_logical_plan(plan).await.map_err(said)?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let plan = frame.create_physical_plan().await.and_then(pieced).map_err(said)?;
    let mut stream = execute_stream(plan, Arc::new(frame.task_ctx())).map_err(said)?;
    let mut any = false;
    while let Some(batch) = stream.next().await {
        any = true;
        if rows.add(&batch.map_err(said)?)?.is_break() {
            return Ok(());
        }
    }
    if !any {
        let _ = rows.add(&RecordBatch::new_empty(schema))?;
    }
    Ok(())
}

/// A session whose tables are looked at when they are named. Its clock is put in by [`bind_clock`]. What sorts and groups do not hold in
/// [`MEMORY`](super::MEMORY) is in temporary files.
fn session(tables: &Tables) -> anyhow::Result<SessionContext> {
    let mut state = session_state_within(2, super::MEMORY, true)?;
    // A call of a function makes so much and no more, of however many rows it is for; nobody asks again for fewer here.
    state.config_mut().options_mut().execution.batch_size = ConfigNonZeroUsize::try_new(1024)?;
    let context = SessionContext::new_with_state(state);
    let catalog = Arc::new(MemoryCatalogProvider::new());
    for layer in tables.layers() {
        let schema = Layer { name: layer.to_owned(), tables: tables.clone() };
        catalog.register_schema(layer, Arc::new(schema))?;
    }
    context.register_catalog("datafusion", catalog);
    Ok(context)
}

/// The error of a table that cannot be read, out of what DataFusion has put around it; else the error as it is.
fn unreadable(error: DataFusionError) -> std::result::Result<anyhow::Error, DataFusionError> {
    // What is around another error knows its place.
    if !is_unreadable(&error) {
        return Err(error);
    }
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Unreadable>() {
            Ok(found) => Ok(found.0),
            Err(inner) => Err(DataFusionError::External(inner)),
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => unreadable(*inner),
        other => Err(other),
    }
}

/// Whether the error is that of a table that cannot be read.
fn is_unreadable(error: &DataFusionError) -> bool {
    match error {
        DataFusionError::External(inner) => inner.is::<Unreadable>(),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => is_unreadable(inner),
        _ => false,
    }
}

/// Whether a file that was there is no more.
fn is_gone(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::ObjectStore(inner) => matches!(**inner, object_store::Error::NotFound { .. }),
        other => tables::is_gone(other),
    }
}

/// A table that cannot be read, on its way through DataFusion.
#[derive(Debug)]
struct Unreadable(anyhow::Error);

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::told(&*self.0))
    }
}

impl std::error::Error for Unreadable {}

/// The tables of a layer.
#[derive(Debug)]
struct Layer {
    name: String,
    tables: Tables,
}

#[async_trait]
impl SchemaProvider for Layer {
    fn table_names(&self) -> Vec<String> {
        let prefix = format!("{}.", self.name);
        self.tables.names().iter().filter_map(|n| n.strip_prefix(&prefix).map(str::to_owned)).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(folder) = self.tables.get(&self.name, name).cloned() else { return Ok(None) };
        let looked = tokio::task::spawn_blocking(move || tables::look(&folder)).await;
        let view = looked.map_err(|e| DataFusionError::External(Box::new(e)))?;
        let view = view.map_err(|e| DataFusionError::External(Box::new(Unreadable(e))))?;
        Ok(Some(Arc::new(FolderTable::try_new(view)?)))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.tables.get(&self.name, name).is_some()
    }
}

/// The files of a folder as a table: columns from its files, then those of the folders' names.
#[derive(Debug)]
struct FolderTable {
    schema: SchemaRef,
    of_files: TableSchema,
    files: Vec<PartitionedFile>,
}

impl FolderTable {
    fn try_new(view: View) -> Result<Self> {
        let nullable = |f: &FieldRef| -> FieldRef { Arc::new(f.as_ref().clone().with_nullable(true)) };
        let partitions: Vec<FieldRef> = view.partitions.iter().map(nullable).collect();
        let of_files =
            TableSchema::builder(Arc::new(Schema::new(view.columns))).with_table_partition_cols(partitions).build();
        let mut files = Vec::with_capacity(view.files.len());
        for file in view.files {
            let values = file.values.iter().map(|value| ScalarValue::try_from_array(value, 0));
            let values = values.collect::<Result<Vec<_>>>()?;
            // By its parts as they are: a name may hold what stands for something else in a pattern or a URL.
            let absolute = std::path::absolute(&file.path)?;
            let location = StorePath::parse(absolute.to_string_lossy())
                .map_err(|e| DataFusionError::Plan(format!("{} cannot be opened: {e}", absolute.display())))?;
            let meta = ObjectMeta {
                location,
                last_modified: Default::default(),
                size: file.bytes,
                e_tag: None,
                version: None,
            };
            files.push(PartitionedFile::new_from_meta(meta).with_partition_values(values));
        }
        Ok(Self { schema: Arc::clone(of_files.table_schema()), of_files, files })
    }

    fn planned(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if self.files.is_empty() {
            let schema = match projection {
                Some(columns) => Arc::new(self.schema.project(columns)?),
                None => self.schema(),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let mut source = ParquetSource::new(self.of_files.clone());
        if let Some(filter) = conjunction(filters.iter().cloned()) {
            let schema = datafusion::common::DFSchema::try_from(Arc::clone(&self.schema))?;
            source = source.with_predicate(state.create_physical_expr(filter, &schema)?);
        }
        let share = self.files.len().div_ceil(state.config().target_partitions()).max(1);
        let groups = self.files.chunks(share).map(|files| FileGroup::new(files.to_vec())).collect();
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit.filter(|_| filters.is_empty()))
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

impl TableProvider for FolderTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // A filter lets files and row groups be passed over, and is applied above all the same.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    /// As `async_trait` would write it, but with a future that holds nothing of the call, as `LeafTable::scan` has it.
    fn scan<'life0, 'life1, 'life2, 'life3, 'async_trait>(
        &'life0 self,
        state: &'life1 dyn Session,
        projection: Option<&'life2 Vec<usize>>,
        filters: &'life3 [Expr],
        limit: Option<usize>,
    ) -> BoxFuture<'async_trait, Result<Arc<dyn ExecutionPlan>>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
        'life3: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(future::ready(self.planned(state, projection, filters, limit)))
    }
}
