//! From a pipeline's file to what can be run or planned: parsed, its sources connected, its schemas pinned, checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use datafusion::execution::SessionState;
use sluicebox_avro::store::{NewSchema, RegistryStore};
use sluicebox_avro::{Decoder, DecoderOptions, HttpOptions, HttpRegistry, PinnedSchema, Registry, SchemaCache};
use sluicebox_core::{Clock, SystemClock};
use sluicebox_engine::checkpoint::{Checkpoint, envelope};
use sluicebox_engine::{ClauseSettings, SourceBinding, Trigger};
use sluicebox_ingest::{EmbeddedLog, KafkaOptions, KafkaSource, LogSource, Source};
use sluicebox_lake::ParquetOptions;
use sluicebox_pipeline::ast::{Pipeline, SourceDef, SourceKind};
use sluicebox_pipeline::graph::Graph;
use sluicebox_pipeline::options::{self, EventTimeOptions};
use sluicebox_pipeline::settings::{Compression, Properties, Settings};
use sluicebox_pipeline::{bind, parse, values};
use sluicebox_testkit::feeder::{Backlog, SampleFeeder};
use sluicebox_testkit::sales::{SALES_SCHEMA, SalesConfig};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::failure::Usage;

/// The folder of the embedded log and its registry, below the working directory.
pub const LOG_DIR: &str = "data/.log";

/// What names a pipeline and changes its settings.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// The pipeline
    #[arg(value_name = "PIPELINE.sql")]
    pub pipeline: PathBuf,
    /// The folder to resume from; without it, checkpoints/<pipeline>
    #[arg(long, value_name = "DIR")]
    pub checkpoint: Option<PathBuf>,
    /// Overrides a SET key, or an option of a source as <source>.<option>; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// A pipeline with everything that running it takes.
pub struct Loaded {
    /// The checked pipeline.
    pub graph: Graph,
    /// The session that planned it.
    pub session: SessionState,
    /// Its sources, in the order of the text.
    pub sources: Vec<SourceBinding>,
    /// Its settings.
    pub settings: Settings,
    /// `SET 'trigger'`, if it is there.
    pub trigger: Option<Trigger>,
    /// Where it resumes from.
    pub checkpoint: Checkpoint,
    /// Where relative locations begin.
    pub working_dir: PathBuf,
    /// The folder of everything beside the tables.
    pub data_dir: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
    samples: Vec<Sample>,
}

/// A topic that is filled with made-up events.
struct Sample {
    topic: String,
    feeder: SampleFeeder,
    made_up: bool,
}

/// The pipeline and its options, before any source is touched.
pub struct Parsed {
    pub pipeline: Pipeline,
    pub settings: Settings,
    pub checkpoint: Checkpoint,
}

/// Reads and parses the pipeline's file.
pub fn parsed(args: &LoadArgs) -> anyhow::Result<Parsed> {
    let file = args.pipeline.display().to_string();
    let text = std::fs::read_to_string(&args.pipeline).map_err(|e| Usage(format!("cannot read {file}: {e}")))?;
    let mut overrides = Vec::with_capacity(args.set.len());
    for set in &args.set {
        let (key, value) =
            set.split_once('=').ok_or_else(|| Usage(format!("--set '{set}' has no `=`: write --set KEY=VALUE")))?;
        overrides.push((key.trim().to_owned(), value.to_owned()));
    }
    let pipeline = parse(&file, &text, &overrides)?;
    let settings = Settings::of(&pipeline);
    let dir = args
        .checkpoint
        .clone()
        .or_else(|| settings.checkpoint.as_ref().map(PathBuf::from))
        .unwrap_or_else(|| crate::run::default_checkpoint(&pipeline.name));
    let checkpoint = Checkpoint::new(std::path::absolute(dir)?);
    Ok(Parsed { pipeline, settings, checkpoint })
}

impl Loaded {
    /// Everything for a run: samples filled, sources connected.
    pub async fn for_run(args: &LoadArgs) -> anyhow::Result<Self> {
        let Parsed { pipeline, settings, checkpoint } = parsed(args)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let mut samples = Vec::new();
        let mut sources = Vec::new();
        for source in &pipeline.sources {
            let connection = Connection::of(source)?;
            if connection.options.brokers.is_none() {
                samples.extend(fill_sample(source, &connection, &clock).await?);
            }
            sources.push(connection.bind(source, &pipeline, &settings, &checkpoint, &clock).await?);
        }
        let schemas = sources.iter().map(|s| (s.name.clone(), s.decoder.schema())).collect();
        let session = bind::functions::session_state(1);
        let trigger = pipeline.settings.get("trigger").and_then(|t| values::trigger(&t.value)).map(engine_trigger);
        let graph = bind::bind(pipeline, &schemas)?;
        let working_dir = std::env::current_dir()?;
        Ok(Self {
            graph,
            session,
            sources,
            settings,
            trigger,
            checkpoint,
            data_dir: working_dir.join("data"),
            working_dir,
            clock,
            samples,
        })
    }

    /// The topics whose events are made up.
    pub fn sample_topics(&self) -> impl Iterator<Item = &str> {
        self.samples.iter().filter(|s| s.made_up).map(|s| s.topic.as_str())
    }

    /// Goes on filling the sample topics, live, until `stop` turns true.
    pub fn start_sample(&mut self, stop: &watch::Receiver<bool>) -> Option<JoinHandle<()>> {
        let feeders: Vec<SampleFeeder> = std::mem::take(&mut self.samples).into_iter().map(|s| s.feeder).collect();
        if feeders.is_empty() {
            return None;
        }
        let stop = stop.clone();
        Some(tokio::spawn(async move {
            let feeds = feeders.into_iter().map(|mut feeder| {
                let mut stop = stop.clone();
                async move {
                    let stopped = async {
                        // An error means that the sender is gone: the process ends.
                        let _ = stop.wait_for(|stop| *stop).await;
                    };
                    if let Err(error) = feeder.live(stopped).await {
                        tracing::warn!("no more made-up events: {error}");
                    }
                }
            });
            futures::future::join_all(feeds).await;
        }))
    }

    /// How each table's files are written.
    pub fn parquet_options(&self) -> BTreeMap<String, ParquetOptions> {
        let options = |table: &sluicebox_pipeline::ast::TableDef| {
            let properties = Properties::of(table);
            let mut options = ParquetOptions::default();
            if table.properties.iter().any(|(key, _)| key.value == "target.file.size") {
                options.target_file_bytes = usize::try_from(properties.target_file_size).unwrap_or(usize::MAX);
            }
            match properties.compression {
                Compression::Zstd(level) if explicit(table) => options.zstd_level = i32::try_from(level).unwrap_or(1),
                Compression::None => options.zstd_level = 0,
                _ => {}
            }
            (table.name.value.clone(), options)
        };
        self.graph.pipeline.tables.iter().map(options).collect()
    }
}

fn explicit(table: &sluicebox_pipeline::ast::TableDef) -> bool {
    table.properties.iter().any(|(key, _)| key.value.starts_with("compression"))
}

fn engine_trigger(trigger: values::Trigger) -> Trigger {
    match trigger {
        values::Trigger::AvailableNow => Trigger::AvailableNow,
        values::Trigger::Every(micros) => Trigger::Interval(Duration::from_micros(u64::try_from(micros).unwrap_or(0))),
    }
}

/// How a source is reached.
pub struct Connection {
    /// Its options.
    pub options: KafkaOptions,
    pairs: BTreeMap<String, String>,
}

impl Connection {
    /// Of `source`, from its options and the environment.
    pub fn of(source: &SourceDef) -> anyhow::Result<Self> {
        let name = &source.name.value;
        if source.kind.value != SourceKind::Kafka {
            return Err(Usage(format!(
                "source `{name}`: USING {} is not supported yet; USING kafka is",
                options::name_of(source.kind.value)
            ))
            .into());
        }
        let pairs: Vec<(String, String)> =
            source.options.iter().map(|(k, v)| (k.value.clone(), v.value.clone())).collect();
        let options = KafkaOptions::from_options(name, &pairs, &|key| std::env::var(key).ok())
            .map_err(sluicebox_engine::EngineError::from)?;
        Ok(Self { options, pairs: pairs.into_iter().collect() })
    }

    /// The registry of the source: over HTTP beside a broker, else the embedded one.
    pub fn registry(&self, source: &str, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Registry>> {
        let http = HttpOptions::from_options(&self.pairs, |key| std::env::var(key).ok())
            .map_err(|e| sluicebox_engine::EngineError::from(sluicebox_avro::AvroError::from(e)))?;
        match (http, &self.options.brokers) {
            (Some(http), _) => Ok(Arc::new(HttpRegistry::new(http, Arc::clone(clock))?)),
            (None, None) => Ok(Arc::new(RegistryStore::open(Path::new(LOG_DIR).join("registry"))?)),
            (None, Some(_)) => Err(Usage(format!(
                "source `{source}` reads Kafka and has no schema registry: set 'schema.registry.url', or SCHEMA_REGISTRY_URL"
            ))
            .into()),
        }
    }

    /// The subject of the values: `value.subject`, else `<topic>-value` of the first topic.
    pub fn subject(&self, source: &SourceDef) -> anyhow::Result<String> {
        if let Some(subject) = options::get(source, "value.subject") {
            return Ok(subject.to_owned());
        }
        let topics = self.options.selection.named_topics();
        match topics.as_deref().and_then(<[&str]>::first) {
            Some(topic) => Ok(format!("{topic}-value")),
            None => Err(Usage(format!(
                "source `{}` subscribes by pattern: name the registry's subject with 'value.subject'",
                source.name.value
            ))
            .into()),
        }
    }

    /// The reader schema: the checkpoint's, else the registry's latest or the version that is named.
    pub async fn reader(
        &self,
        source: &SourceDef,
        checkpoint: &Checkpoint,
        registry: &Arc<dyn Registry>,
    ) -> anyhow::Result<PinnedSchema> {
        let path = checkpoint.source_dir(&source.name.value).join("reader");
        if let Some(pinned) = envelope::read(&path).map_err(sluicebox_engine::EngineError::from)? {
            return Ok(pinned);
        }
        let subject = self.subject(source)?;
        let version = options::get(source, "value.schema.version").and_then(|v| v.trim().parse().ok());
        let found = match version {
            Some(version) => registry.version(&subject, version).await,
            None => registry.latest(&subject).await,
        };
        found.with_context(|| format!("source `{}`: no reader schema", source.name.value))
    }

    async fn bind(
        self,
        source: &SourceDef,
        pipeline: &Pipeline,
        settings: &Settings,
        checkpoint: &Checkpoint,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<SourceBinding> {
        let name = source.name.value.clone();
        let registry = self.registry(&name, clock)?;
        let reader = self.reader(source, checkpoint, &registry).await?;
        let cache = SchemaCache::open(checkpoint.source_dir(&name).join("schemas"))
            .map_err(sluicebox_engine::EngineError::from)?;
        let decoder = Decoder::new(DecoderOptions::new(&name), reader.clone(), registry, cache)
            .map_err(sluicebox_engine::EngineError::from)?;
        let event_time = EventTimeOptions::of(source);
        let max_offsets = self.options.max_offsets_per_trigger;
        let topics = self.options.selection.named_topics().map_or_else(
            || options::get(source, "subscribePattern").unwrap_or_default().to_owned(),
            |topics| topics.join(", "),
        );
        let description = match &self.options.brokers {
            Some(brokers) => format!("Kafka[{topics}] at {brokers}"),
            None => format!("Log[{topics}] in {LOG_DIR}"),
        };
        // Two batches: the one that is computed has been taken out of the buffer, the next one fills it.
        let prefetch = settings.batch_bytes;
        let source: Box<dyn Source> = match &self.options.brokers {
            Some(_) => Box::new(
                KafkaSource::new(&name, self.options, &pipeline.name, prefetch)
                    .map_err(sluicebox_engine::EngineError::from)?,
            ),
            None => Box::new(
                LogSource::new(&name, open_log(clock)?, self.options, prefetch)
                    .map_err(sluicebox_engine::EngineError::from)?,
            ),
        };
        Ok(SourceBinding {
            name,
            description,
            source,
            decoder: Arc::new(decoder),
            reader,
            max_offsets,
            clauses: ClauseSettings {
                idle_timeout_micros: event_time.idle_timeout_micros,
                max_future_micros: event_time.max_future_micros,
            },
        })
    }
}

/// The embedded log of this working directory.
pub fn open_log(clock: &Arc<dyn Clock>) -> anyhow::Result<EmbeddedLog> {
    Ok(EmbeddedLog::open(LOG_DIR, Arc::clone(clock)).map_err(sluicebox_engine::EngineError::from)?)
}

/// Fills the topic of a source that has a sample; without one the topic must be there.
async fn fill_sample(
    source: &SourceDef,
    connection: &Connection,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Option<Sample>> {
    let name = &source.name.value;
    let topic = connection.options.selection.named_topics().and_then(|t| t.first().map(|t| (*t).to_owned()));
    match (options::get(source, "sample"), topic) {
        (Some(sample), _) if !sample.eq_ignore_ascii_case("sales") => {
            Err(Usage(format!("source `{name}`: there is no sample '{sample}'; there is 'sales'")).into())
        }
        (Some(_), None) => {
            Err(Usage(format!("source `{name}`: a sample fills one topic: name it with 'subscribe'")).into())
        }
        (Some(_), Some(topic)) => {
            let log = open_log(clock)?;
            let schema_id = register_sales(&topic).await?;
            let mut config = SalesConfig::new(SEED, clock.now_micros());
            config.schema_id = schema_id;
            let mut feeder = SampleFeeder::open(&log, &topic, config, Arc::clone(clock)).await?;
            let backlog = feeder.ensure_backlog().await?;
            Ok(Some(Sample { topic, feeder, made_up: !matches!(backlog, Backlog::Foreign) }))
        }
        (None, topic) => {
            let there = match &topic {
                Some(topic) => open_log(clock)?.topic(topic)?.is_some(),
                None => Path::new(LOG_DIR).is_dir(),
            };
            if there {
                return Ok(None);
            }
            Err(Usage(format!(
                "source `{name}` has no broker, and the embedded log no such topic: set KAFKA_BOOTSTRAP_SERVERS and \
                 SCHEMA_REGISTRY_URL to read your Kafka, or fill the log with `sluicebox produce sales`"
            ))
            .into())
        }
    }
}

/// The seed of the sample: the same for everyone.
const SEED: u64 = 1;

/// Registers the sample's schema with the embedded registry, and gives its id.
pub async fn register_sales(topic: &str) -> anyhow::Result<u32> {
    let subject = format!("{topic}-value");
    let registered = tokio::task::spawn_blocking(move || {
        let store = RegistryStore::open(Path::new(LOG_DIR).join("registry"))?;
        Ok::<_, anyhow::Error>(store.register(&subject, &NewSchema::new(SALES_SCHEMA))?)
    });
    Ok(u32::try_from(registered.await??.id)?)
}
