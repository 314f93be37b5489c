//! Where the rows of tables go.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sluicebox_core::secret::{Pieces, may_be_secret};
use sluicebox_engine::EngineError;
use sluicebox_pipeline::ast::{TableDef, Using};
use sluicebox_pipeline::graph::Table;
use sluicebox_pipeline::settings::{Compression, Properties};
use sluicebox_pipeline::values;
use sluicebox_registry::{HttpOptions, HttpRegistry};
use sluicebox_sinks::kafka::{KafkaOptions, KafkaSink, Unknown, ValueFormat};
use sluicebox_sinks::{Outbox, ParquetOptions, ParquetTable, Sink, Sinks};
use sluicebox_sources::{BROKERS_ENV, KAFKA_PREFIX, check_brokers};

use super::Checked;
use super::connect::{is_told, resolved};
use super::places::Places;
use crate::failure::Usage;

/// How long a registry is asked for one answer. A sink that cannot register its schema is opened again, as one whose brokers are away.
const PATIENCE: Duration = Duration::from_secs(30);

/// The sinks of the tables of a pipeline; relative locations begin at the working directory. Nothing is opened or written.
pub fn sinks_of(checked: &Checked) -> anyhow::Result<Sinks> {
    let working_dir = std::env::current_dir()?;
    let mut sinks = Sinks::new();
    for table in &checked.graph.tables {
        let def = checked.graph.pipeline.tables.iter().find(|def| def.name.value == table.name);
        let sink = match (table.using, def) {
            (Using::Kafka, Some(def)) => kafka(checked, table, def)?,
            (_, def) => folder(table, &working_dir, def.map(parquet_options).unwrap_or_default())?,
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

/// The sink of a table in Kafka, with what its references stand for.
fn kafka(checked: &Checked, table: &Table, def: &TableDef) -> anyhow::Result<Arc<dyn Sink>> {
    let mut places = Places::of_table(&checked.graph.pipeline, def);
    let mut pairs = BTreeMap::new();
    for (key, value) in &def.properties {
        let meant = resolved(&places, &key.value, &value.value)?;
        places.learn(&key.value, &meant);
        pairs.insert(key.value.clone(), meant);
    }
    let properties =
        pairs.iter().filter_map(|(key, value)| Some((key.strip_prefix(KAFKA_PREFIX)?.to_owned(), value.clone())));
    let mut properties: BTreeMap<String, String> = properties.collect();
    let brokers = properties.remove("bootstrap.servers").or_else(|| std::env::var(BROKERS_ENV).ok());
    let brokers = brokers.filter(|brokers| !brokers.trim().is_empty()).ok_or_else(|| {
        Usage(format!(
            "table `{}` is written to Kafka, and no broker is named: set 'kafka.bootstrap.servers' in its TBLPROPERTIES, or \
             {BROKERS_ENV}",
            table.name
        ))
    })?;
    check_brokers(&brokers)
        .map_err(|why| Usage(format!("table `{}`: the brokers are not addresses: {why}", table.name)))?;
    let hidden = properties.iter().filter(|(name, _)| may_be_secret(name)).map(|(_, value)| value.as_str());
    let referred = places.meant(KAFKA_PREFIX).filter(|(name, _)| !is_told(name)).map(|(_, meant)| meant);
    let secrets = Pieces::of(hidden.chain(referred));
    let get = |name: &str| pairs.get(name).map(|value| value.trim().to_owned());
    let topic = get("topic").unwrap_or_default();
    let format = match get("value.format").map(|format| format.to_lowercase()).as_deref() {
        Some("avro") => {
            let subject = get("value.subject").unwrap_or_else(|| format!("{topic}-value"));
            let registry = registry(checked, &table.name, &pairs).map_err(|error| error.at(&places))?;
            ValueFormat::Avro { subject, registry: Arc::new(registry) }
        }
        _ => ValueFormat::Json,
    };
    let columns = |name: &str| -> Vec<String> {
        pairs.get(name).map(|names| values::names(names).into_iter().map(str::to_owned).collect()).unwrap_or_default()
    };
    let options = KafkaOptions {
        table: table.name.clone(),
        brokers,
        key_columns: columns("key.columns"),
        header_columns: columns("header.columns"),
        unknown: match get("unknown.batch").map(|what| what.to_lowercase()).as_deref() {
            Some("publish") => Unknown::Publish,
            Some("skip") => Unknown::Skip,
            _ => Unknown::Stop,
        },
        topic,
        properties,
        secrets,
        format,
    };
    let outbox = Outbox::new(checked.checkpoint.root(), &table.name);
    let sink = KafkaSink::try_new(options, Arc::clone(&table.written), outbox).map_err(EngineError::from)?;
    Ok(Arc::new(sink))
}

/// The registry in which the schema of a table is registered.
fn registry(checked: &Checked, table: &str, pairs: &BTreeMap<String, String>) -> Result<HttpRegistry, NoRegistry> {
    let options = HttpOptions::from_options(pairs, |key| std::env::var(key).ok()).map_err(NoRegistry::Wrong)?;
    let mut options = options.ok_or_else(|| NoRegistry::None(table.to_owned()))?;
    options.give_up_after = Some(PATIENCE);
    HttpRegistry::new(options, Arc::clone(&checked.clock)).map_err(NoRegistry::Wrong)
}

/// Why a table has no registry.
enum NoRegistry {
    /// None is named.
    None(String),
    /// An option is wrong.
    Wrong(sluicebox_registry::RegistryError),
}

impl NoRegistry {
    fn at(self, places: &Places) -> anyhow::Error {
        match self {
            Self::None(table) => Usage(format!(
                "table `{table}` is written as Avro and has no schema registry: set 'schema.registry.url' in its TBLPROPERTIES, or \
                 SCHEMA_REGISTRY_URL"
            ))
            .into(),
            Self::Wrong(error) => places.of_registry(error),
        }
    }
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
