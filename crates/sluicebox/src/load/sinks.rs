//! Where the rows of tables go.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sluicebox_engine::EngineError;
use sluicebox_pipeline::ast::{TableDef, TableKind, Using};
use sluicebox_pipeline::graph::Table;
use sluicebox_pipeline::settings::{Compression, Properties};
use sluicebox_registry::store::RegistryStore;
use sluicebox_registry::{HttpRegistry, Registry};
use sluicebox_sinks::kafka::{EventFormat, KafkaSink, KafkaSinkOptions, Place, Unknown};
use sluicebox_sinks::{Outbox, ParquetOptions, ParquetTable, Sink, Sinks};

use super::Checked;
use super::connect::of_files;
use super::target::{Target, properties_of};
use crate::connectors::TableAsked;
use crate::error::{Result, Usage};

/// How long a registry is asked for one answer. A sink that cannot register its schema is opened again, as one whose brokers are away.
const PATIENCE: Duration = Duration::from_secs(30);

/// The sinks of the tables of a pipeline; relative locations begin at the working directory. Nothing is opened or written.
pub fn sinks_of(checked: &Checked) -> Result<Sinks> {
    let working_dir = checked.home.absolute()?;
    let mut sinks = Sinks::new();
    for table in &checked.graph.tables {
        let def = checked.graph.pipeline.tables.iter().find(|def| def.name.value == table.name);
        let sink = match (table.using, def) {
            (Using::Kafka, Some(def)) => kafka(checked, table, def)?,
            (Using::Added(kind), def) => added(checked, table, def, kind)?,
            (Using::Kafka | Using::Parquet, def) => {
                folder(table, &working_dir, def.map(parquet_options).unwrap_or_default())?
            }
        };
        sinks.insert(table.name.clone(), sink);
    }
    Ok(sinks)
}

fn folder(table: &Table, working_dir: &Path, options: ParquetOptions) -> Result<Arc<dyn Sink>, EngineError> {
    // An absolute location stays as it is.
    let location = working_dir.join(&table.location);
    let columns = Arc::clone(&table.written);
    Ok(Arc::new(ParquetTable::try_new(location, columns, table.partitioned_by.clone(), options)?))
}

/// The sink of a table of a kind that was added.
fn added(checked: &Checked, table: &Table, def: Option<&TableDef>, kind: TableKind) -> Result<Arc<dyn Sink>> {
    let Some(connector) = checked.connectors.table(kind) else {
        return Err(Usage(format!("table `{}`: nothing writes USING {}", table.name, kind.name())).into());
    };
    let (meant, properties) = match def {
        Some(def) => {
            let (places, properties) = properties_of(&checked.graph.pipeline, def, &checked.home)?;
            (places.all_meant(), properties)
        }
        None => (Vec::new(), table.properties.clone()),
    };
    let asked = TableAsked {
        name: &table.name,
        columns: &table.written,
        properties: &properties,
        meant: &meant,
        checkpoint: checked.checkpoint.root(),
        home: &checked.home,
    };
    Ok(connector.sink(&asked).map_err(EngineError::from)?)
}

/// The sink of a table that is a topic: of Kafka, or of the embedded log when no broker is configured.
fn kafka(checked: &Checked, table: &Table, def: &TableDef) -> Result<Arc<dyn Sink>> {
    let target = Target::of(&checked.graph.pipeline, def, &checked.home)?;
    let topic = target.get("topic").unwrap_or_default().to_owned();
    let format = if target.is_avro() {
        let subject = target.get("value.subject").map_or_else(|| format!("{topic}-value"), str::to_owned);
        EventFormat::Avro { subject, registry: registry(checked, &table.name, &target)? }
    } else {
        EventFormat::Json
    };
    let options = KafkaSinkOptions {
        table: table.name.clone(),
        key_columns: target.columns("key.columns"),
        header_columns: target.columns("header.columns"),
        unknown: match target.word("unknown.batch").as_deref() {
            Some("publish") => Unknown::Publish,
            Some("skip") => Unknown::Skip,
            _ => Unknown::Stop,
        },
        topic,
        secrets: target.secrets(),
        place: match target.brokers {
            Some(brokers) => Place::Brokers(brokers),
            None => Place::Log { root: checked.home.log(), clock: Arc::clone(&checked.clock) },
        },
        properties: target.properties,
        format,
    };
    let outbox = Outbox::new(checked.checkpoint.root(), &table.name);
    let sink = KafkaSink::try_new(options, Arc::clone(&table.written), outbox).map_err(EngineError::from)?;
    Ok(Arc::new(sink))
}

/// The registry in which the schema of a table is registered.
fn registry(checked: &Checked, table: &str, target: &Target) -> Result<Arc<dyn Registry>> {
    if target.brokers.is_none() {
        return Ok(Arc::new(RegistryStore::at(checked.home.registry()).map_err(of_files)?));
    }
    let options = target.http().map_err(|error| target.places.of_registry(error))?;
    let mut options = options.ok_or_else(|| {
        Usage(format!(
            "table `{table}` is written as Avro and has no schema registry: set 'schema.registry.url' in its TBLPROPERTIES, or \
             SCHEMA_REGISTRY_URL"
        ))
    })?;
    options.give_up_after = Some(PATIENCE);
    let registry = HttpRegistry::new(options, Arc::clone(&checked.clock));
    Ok(Arc::new(registry.map_err(|error| target.places.of_registry(error))?))
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
