//! Where the rows of tables go.

use std::path::Path;
use std::sync::Arc;

use sluicebox_engine::EngineError;
use sluicebox_pipeline::ast::TableDef;
use sluicebox_pipeline::graph::{Graph, Table};
use sluicebox_pipeline::settings::{Compression, Properties};
use sluicebox_sinks::{ParquetOptions, ParquetTable, Sink, Sinks};

/// The sinks of the tables of `graph`; relative locations begin at `working_dir`. Nothing is opened or written.
pub fn sinks_of(graph: &Graph, working_dir: &Path) -> Result<Sinks, EngineError> {
    let mut sinks = Sinks::new();
    for table in &graph.tables {
        let def = graph.pipeline.tables.iter().find(|def| def.name.value == table.name);
        let options = def.map(parquet_options).unwrap_or_default();
        sinks.insert(table.name.clone(), folder(table, working_dir, options)?);
    }
    Ok(sinks)
}

fn folder(table: &Table, working_dir: &Path, options: ParquetOptions) -> Result<Arc<dyn Sink>, EngineError> {
    // An absolute location stays as it is.
    let location = working_dir.join(&table.location);
    let columns = Arc::clone(&table.written);
    Ok(Arc::new(ParquetTable::try_new(location, columns, table.partitioned_by.clone(), options)?))
}

/// The properties that are set; the rest stays as measurement chose it.
fn parquet_options(table: &TableDef) -> ParquetOptions {
    let properties = Properties::of(table);
    let is_set = |name: &str| table.properties.iter().any(|(key, _)| key.value == name);
    let mut options = ParquetOptions::default();
    if is_set("target.file.size") {
        options.target_file_bytes = usize::try_from(properties.target_file_size).unwrap_or(usize::MAX);
    }
    match properties.compression {
        Compression::Zstd(level) if is_set("compression.level") => {
            options.zstd_level = i32::try_from(level).unwrap_or(options.zstd_level);
        }
        Compression::None => options.zstd_level = 0,
        _ => {}
    }
    options
}
