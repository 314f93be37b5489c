//! How a source is reached: its options with secrets resolved, its registry, its reader schema.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sluicebox_checkpoint::{Checkpoint, CheckpointError};
use sluicebox_core::Clock;
use sluicebox_durable::read_given_text;
use sluicebox_engine::{EngineError, RowsOf, SourceBinding, Starting};
use sluicebox_evolve::{FileRows, FileSource};
use sluicebox_formats::FormatError;
use sluicebox_pipeline::ast::{Pipeline, SourceDef, SourceKind};
use sluicebox_pipeline::options::{self, EventTimeOptions};
use sluicebox_pipeline::values::{self, Reference};
use sluicebox_registry::store::RegistryStore;
use sluicebox_registry::{HttpOptions, HttpRegistry, Registry, RegistryError, SchemaFileError};
use sluicebox_runtime::ClauseSettings;
use sluicebox_sources::{EmbeddedLog, KAFKA_PREFIX, KafkaOptions, KafkaSource, LogSource, Source};

use super::LOG_DIR;
use super::format::Formats;
use super::places::Places;
use crate::error::{Result, Usage};

/// How a source is reached. Nothing is asked or opened to make one.
pub struct Connection {
    /// The source's name.
    pub name: String,
    /// Its options.
    pub options: KafkaOptions,
    /// The generator that fills its topic when there is no broker.
    pub sample: Option<String>,
    /// Whether to take the registry's reader schema, whatever the checkpoint has pinned.
    pub repin: bool,
    /// Under which name it is read, if it is not its own: a backfill reads a source beside the living pipeline.
    pub alias: Option<String>,
    /// The files that hold its rows, if they are read in its place: then it is not asked.
    pub files: Option<Arc<FileRows>>,
    /// How its values and keys are read.
    pub(super) formats: Formats,
    pub(super) pairs: BTreeMap<String, String>,
    event_time: EventTimeOptions,
    max_letters: Option<f64>,
    /// How long a registry that does not answer is waited for; `None` for ever.
    wait: Option<Duration>,
    pub(super) places: Places,
}

impl Connection {
    /// Of `source` of `pipeline`, from its options and the environment. Brokers and a registry that do not answer are
    /// waited for as long as `wait` says.
    ///
    /// What cannot become better by waiting is told here: names of properties, files that are not there.
    pub fn of(pipeline: &Pipeline, source: &SourceDef, wait: Option<Duration>) -> Result<Self> {
        let name = source.name.value.clone();
        if source.kind.value != SourceKind::Kafka {
            let kind = options::name_of(source.kind.value);
            return Err(Usage(format!("source `{name}`: USING {kind} is not there yet; USING kafka is")).into());
        }
        let mut places = Places::of(pipeline, source);
        let mut pairs = Vec::with_capacity(source.options.len());
        for (key, value) in &source.options {
            let meant = resolved(&places, &key.value, &value.value)?;
            places.learn(&key.value, &meant);
            pairs.push((key.value.clone(), meant));
        }
        let mut options = KafkaOptions::from_options(&name, &pairs, &|key| std::env::var(key).ok())
            .map_err(|error| places.of_source(error))?;
        options.give_up_after = wait;
        for (_, meant) in places.meant(KAFKA_PREFIX).filter(|(name, _)| !is_told(name)) {
            options.hide(meant);
        }
        if options.brokers.is_some() {
            KafkaSource::check(&name, &options).map_err(|error| places.of_source(error))?;
        }
        Ok(Self {
            name,
            options,
            sample: options::get(source, "sample").map(str::to_lowercase),
            formats: Formats::of(source),
            repin: false,
            alias: None,
            files: None,
            pairs: pairs.into_iter().collect(),
            event_time: EventTimeOptions::of(source),
            max_letters: options::get(source, "dead.letters.max.ratio").and_then(values::ratio),
            wait,
            places,
        })
    }

    /// Where its first start begins.
    pub fn starting(&self) -> Starting {
        let pattern = self.pairs.get("subscribePattern").cloned();
        Starting { at: Some(self.options.starting_offsets.clone()), pattern }
    }

    /// The first topic that the options name.
    pub fn topic(&self) -> Option<String> {
        self.options.selection.named_topics().and_then(|topics| topics.first().map(|t| (*t).to_owned()))
    }

    /// How its registry is reached over HTTP, if one is named. What a reference in its URL stands for is in no message.
    pub(super) fn http(&self) -> Result<Option<HttpOptions>, RegistryError> {
        let mut http = HttpOptions::from_options(&self.pairs, |key| std::env::var(key).ok())?;
        if let Some(http) = http.as_mut().filter(|_| self.places.meant("schema.registry.url").next().is_some()) {
            http.call_by_hosts();
        }
        Ok(http)
    }

    /// The registry of the source: over HTTP when one is named, else the embedded one.
    pub fn registry(&self, clock: &Arc<dyn Clock>) -> Result<Arc<dyn Registry>> {
        let http = self.http().map_err(|e| self.places.of_registry(e))?;
        match (http, &self.options.brokers) {
            (Some(mut http), Some(_)) => {
                http.give_up_after = self.wait;
                http.timeout =
                    self.wait.map_or(http.timeout, |wait| http.timeout.min(wait.max(Duration::from_secs(1))));
                let registry = HttpRegistry::new(http, Arc::clone(clock));
                Ok(Arc::new(registry.map_err(|e| self.places.of_registry(e))?))
            }
            (_, None) => Ok(Arc::new(RegistryStore::open(registry_dir()).map_err(of_files)?)),
            (None, Some(_)) => Err(Usage(format!(
                "source `{}` reads Kafka and has no schema registry: set 'schema.registry.url', or SCHEMA_REGISTRY_URL",
                self.name
            ))
            .into()),
        }
    }

    /// Whether the embedded log is there and has the source's topic; one that reads by pattern needs the log only.
    pub(super) fn has_log_topic(&self, clock: &Arc<dyn Clock>) -> Result<bool> {
        if !Path::new(LOG_DIR).is_dir() {
            return Ok(false);
        }
        match self.topic() {
            Some(topic) => Ok(open_log(clock)?.topic(&topic).map_err(EngineError::from)?.is_some()),
            None => Ok(true),
        }
    }

    /// The source with `files` in the place of its log and its registry, neither of which is asked.
    pub fn bind_files(self, files: Arc<FileRows>, checkpoint: &Checkpoint) -> Result<SourceBinding> {
        let missing = |name: String| EngineError::from(CheckpointError::Missing { name });
        let pin = self.pinned(checkpoint)?.ok_or_else(|| missing(format!("sources/{}/reader", self.name)))?;
        let metadata = checkpoint.metadata().map_err(EngineError::from)?;
        let adopted = checkpoint.newest_pipeline().map_err(EngineError::from)?;
        let logs = [metadata.map(|m| m.logs), adopted.map(|record| record.logs)];
        let log = logs.into_iter().flatten().find_map(|mut logs| logs.remove(&self.name));
        Ok(SourceBinding {
            name: self.alias.unwrap_or_else(|| self.name.clone()),
            description: format!("the files of {}", files.tables().join(", ")),
            source: Box::new(FileSource::new(Arc::clone(&files), log.ok_or_else(|| missing("metadata".to_owned()))?)),
            rows: RowsOf::Files(files),
            pin,
            max_offsets: self.options.max_offsets_per_trigger,
            clauses: clauses(self.event_time),
            starting: Starting::default(),
            max_letters: None,
        })
    }

    /// The log that it reads, under the name `name`; `None` when no broker is configured and the embedded log has no such
    /// topic. Nothing is asked yet.
    pub fn source(
        &self,
        name: &str,
        pipeline: &str,
        batch_bytes: u64,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<Box<dyn Source>>> {
        if self.options.brokers.is_none() && !self.has_log_topic(clock)? {
            return Ok(None);
        }
        self.open(name, pipeline, batch_bytes, clock).map(Some)
    }

    fn open(&self, name: &str, pipeline: &str, batch_bytes: u64, clock: &Arc<dyn Clock>) -> Result<Box<dyn Source>> {
        if self.options.brokers.is_some() {
            let source = KafkaSource::new(name, self.options.clone(), pipeline, batch_bytes);
            return Ok(Box::new(source.map_err(|error| self.places.of_source(error))?));
        }
        let source = LogSource::new(name, open_log(clock)?, self.options.clone(), batch_bytes);
        Ok(Box::new(source.map_err(EngineError::from)?))
    }

    /// Connects: the source, and the decoder with its reader schema.
    pub async fn bind(
        self,
        pipeline: &str,
        batch_bytes: u64,
        checkpoint: &Checkpoint,
        clock: &Arc<dyn Clock>,
    ) -> Result<SourceBinding> {
        let name = self.alias.clone().unwrap_or_else(|| self.name.clone());
        let decoder = self.decoder(&name, checkpoint, clock).await?;
        let source = self.open(&name, pipeline, batch_bytes, clock)?;
        Ok(SourceBinding {
            description: self.description(),
            source,
            pin: decoder.pin(),
            rows: RowsOf::Events(Arc::new(decoder)),
            max_offsets: self.options.max_offsets_per_trigger,
            clauses: clauses(self.event_time),
            starting: self.starting(),
            max_letters: self.max_letters,
            name,
        })
    }

    /// What it reads, and where: `Kafka[orders] at broker:9092`.
    pub fn description(&self) -> String {
        let topics = match self.options.selection.named_topics() {
            Some(topics) => topics.join(", "),
            None => self.pairs.get("subscribePattern").cloned().unwrap_or_default(),
        };
        match &self.options.brokers {
            Some(brokers) => format!("Kafka[{topics}] at {brokers}"),
            None => format!("Log[{topics}] in {LOG_DIR}"),
        }
    }
}

fn clauses(event_time: EventTimeOptions) -> ClauseSettings {
    ClauseSettings {
        idle_timeout_micros: event_time.idle_timeout_micros,
        max_future_micros: event_time.max_future_micros,
    }
}

/// Whether the value of the option `name` is told anyway: brokers are called by their addresses, and protocols and mechanisms are words of
/// Kafka's.
pub(super) fn is_told(name: &str) -> bool {
    const TOLD: [&str; 4] =
        ["kafka.bootstrap.servers", "kafka.security.protocol", "kafka.sasl.mechanism", "kafka.sasl.mechanisms"];
    TOLD.iter().any(|told| told.eq_ignore_ascii_case(name))
}

/// The value of an option with `${env:NAME}` and `${file:PATH}` in it replaced.
pub(super) fn resolved(places: &Places, key: &str, value: &str) -> Result<String> {
    values::resolve(value, |reference| match reference {
        Reference::Env(name) => std::env::var(name).map_err(|_| places.unset(key, reference, "")),
        Reference::File(path) => match read_given_text(Path::new(path)) {
            Ok(content) => Ok(content.trim_end_matches(['\r', '\n']).to_owned()),
            Err(e) => Err(places.unset(key, reference, &e.to_string())),
        },
    })
}

/// The folder of the embedded registry.
pub fn registry_dir() -> std::path::PathBuf {
    Path::new(LOG_DIR).join("registry")
}

/// The embedded log of this working directory.
pub fn open_log(clock: &Arc<dyn Clock>) -> Result<EmbeddedLog> {
    Ok(EmbeddedLog::open(LOG_DIR, Arc::clone(clock)).map_err(EngineError::from)?)
}

/// An error of schemas in files, as what ends a run.
pub(super) fn of_files(error: SchemaFileError) -> EngineError {
    FormatError::from(error).into()
}
