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
use sluicebox_pipeline::ast::{Pipeline, SourceDef};
use sluicebox_pipeline::options::{self, EventTimeOptions};
use sluicebox_pipeline::values::{self, Reference};
use sluicebox_registry::store::RegistryStore;
use sluicebox_registry::{HttpOptions, HttpRegistry, Registry, RegistryError, SchemaFileError};
use sluicebox_runtime::ClauseSettings;
use sluicebox_sources::Source;

use super::format::Formats;
use super::places::Places;
use crate::connectors::{Connectors, Home, OpenSource, Registries, SourceAsked, SourceLink};
use crate::error::{Result, Usage};

/// With what sources are connected.
pub struct Connecting<'a> {
    /// What the pipeline's words stand for.
    pub connectors: &'a Connectors,
    /// Where it runs.
    pub home: &'a Home,
    /// The time.
    pub clock: &'a Arc<dyn Clock>,
    /// How long brokers and a registry that do not answer are waited for; `None` for ever.
    pub wait: Option<Duration>,
}

/// How a source is reached. Nothing is asked or opened to make one.
pub struct Connection {
    /// The source's name.
    pub name: String,
    /// Who opens it.
    pub link: Box<dyn SourceLink>,
    /// Whether to take the registry's reader schema, whatever the checkpoint has pinned.
    pub repin: bool,
    /// Under which name it is read, if it is not its own: a backfill reads a source beside the living pipeline.
    pub alias: Option<String>,
    /// The files that hold its rows, if they are read in its place: then it is not asked.
    pub files: Option<Arc<FileRows>>,
    /// How its values and keys are read.
    pub(super) formats: Formats,
    pub(super) pairs: BTreeMap<String, String>,
    pub(super) home: Home,
    /// Whether its rows carry the headers.
    pub(super) include_headers: bool,
    event_time: EventTimeOptions,
    max_offsets: Option<u64>,
    max_letters: Option<f64>,
    /// How long a registry that does not answer is waited for; `None` for ever.
    wait: Option<Duration>,
    pub(super) places: Places,
}

impl Connection {
    /// Of `source` of `pipeline`, from its options and the environment.
    ///
    /// What cannot become better by waiting is told here: names of properties, files that are not there.
    pub fn of(pipeline: &Pipeline, source: &SourceDef, with: &Connecting<'_>) -> Result<Self> {
        let name = source.name.value.clone();
        let kind = source.kind.value;
        let Some(connector) = with.connectors.source(kind) else {
            return Err(Usage(format!("source `{name}`: nothing connects USING {}", kind.name())).into());
        };
        let mut places = Places::of(pipeline, source);
        let mut pairs = Vec::with_capacity(source.options.len());
        for (key, value) in &source.options {
            let meant = resolved(&places, with.home, &key.value, &value.value)?;
            places.learn(&key.value, &meant);
            pairs.push((key.value.clone(), meant));
        }
        let meant = places.all_meant();
        let asked = SourceAsked {
            name: &name,
            options: &pairs,
            meant: &meant,
            home: with.home,
            clock: with.clock,
            wait: with.wait,
        };
        let link = connector.connect(&asked).map_err(|error| places.of_source(error))?;
        let get = |name: &str| options::get(source, name);
        Ok(Self {
            link,
            formats: Formats::of(source, with.connectors)?,
            repin: false,
            alias: None,
            files: None,
            home: with.home.clone(),
            include_headers: get("includeHeaders").and_then(values::boolean).unwrap_or(false),
            event_time: EventTimeOptions::of(source),
            max_offsets: get("maxOffsetsPerTrigger").and_then(|n| n.trim().parse().ok()),
            max_letters: get("dead.letters.max.ratio").and_then(values::ratio),
            pairs: pairs.into_iter().collect(),
            wait: with.wait,
            places,
            name,
        })
    }

    /// Where its first start begins.
    pub fn starting(&self) -> Starting {
        self.link.starting()
    }

    /// How its registry is reached over HTTP, if one is named. What a reference in its URL stands for is in no message.
    pub(super) fn http(&self) -> Result<Option<HttpOptions>, RegistryError> {
        let mut http = HttpOptions::from_options(&self.pairs, |key| self.home.variable(key))?;
        if let Some(http) = http.as_mut().filter(|_| self.places.meant("schema.registry.url").next().is_some()) {
            http.call_by_hosts();
        }
        Ok(http)
    }

    /// The registry of the source: over HTTP when one is named, else the embedded one.
    pub fn registry(&self, clock: &Arc<dyn Clock>) -> Result<Arc<dyn Registry>> {
        let http = self.http().map_err(|e| self.places.of_registry(e))?;
        match (http, self.link.registries()) {
            (Some(mut http), Registries::Named | Registries::Either) => {
                http.give_up_after = self.wait;
                http.timeout =
                    self.wait.map_or(http.timeout, |wait| http.timeout.min(wait.max(Duration::from_secs(1))));
                let registry = HttpRegistry::new(http, Arc::clone(clock));
                Ok(Arc::new(registry.map_err(|e| self.places.of_registry(e))?))
            }
            (_, Registries::Embedded) | (None, Registries::Either) => {
                Ok(Arc::new(RegistryStore::open(self.home.registry()).map_err(of_files)?))
            }
            (None, Registries::Named) => Err(Usage(format!(
                "source `{}` has no schema registry: set 'schema.registry.url', or SCHEMA_REGISTRY_URL",
                self.name
            ))
            .into()),
        }
    }

    /// Whether its schemas are in a registry that is asked over HTTP.
    pub(super) fn asks_registry(&self) -> bool {
        match self.link.registries() {
            Registries::Named => true,
            Registries::Embedded => false,
            // What is wrong with the options is told where they are used.
            Registries::Either => self.http().is_ok_and(|http| http.is_some()),
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
            max_offsets: self.max_offsets,
            clauses: clauses(self.event_time),
            starting: Starting::default(),
            max_letters: None,
        })
    }

    /// What reads it, under the name `name`; `None` when it is known not to be there. Nothing is asked yet.
    pub fn source(&self, name: &str, pipeline: &str, batch_bytes: u64) -> Result<Option<Box<dyn Source>>> {
        if self.link.missing().map_err(|error| self.places.of_source(error))?.is_some() {
            return Ok(None);
        }
        self.open(name, pipeline, batch_bytes).map(Some)
    }

    fn open(&self, name: &str, pipeline: &str, batch_bytes: u64) -> Result<Box<dyn Source>> {
        let opening = OpenSource { name, pipeline, prefetch_bytes: batch_bytes };
        self.link.open(opening).map_err(|error| self.places.of_source(error))
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
        let source = self.open(&name, pipeline, batch_bytes)?;
        Ok(SourceBinding {
            description: self.link.description(),
            source,
            pin: decoder.pin(),
            rows: RowsOf::Events(Arc::new(decoder)),
            max_offsets: self.max_offsets,
            clauses: clauses(self.event_time),
            starting: self.starting(),
            max_letters: self.max_letters,
            name,
        })
    }
}

fn clauses(event_time: EventTimeOptions) -> ClauseSettings {
    ClauseSettings {
        idle_timeout_micros: event_time.idle_timeout_micros,
        max_future_micros: event_time.max_future_micros,
    }
}

/// The value of an option with `${env:NAME}` and `${file:PATH}` in it replaced.
pub(super) fn resolved(places: &Places, home: &Home, key: &str, value: &str) -> Result<String> {
    values::resolve(value, |reference| match reference {
        Reference::Env(name) => home.variable(name).ok_or_else(|| places.unset(key, reference, "")),
        Reference::File(path) => match read_given_text(&home.join(Path::new(path))) {
            Ok(content) => Ok(content.trim_end_matches(['\r', '\n']).to_owned()),
            Err(e) => Err(places.unset(key, reference, &e.to_string())),
        },
    })
}

/// An error of schemas in files, as what ends a run.
pub(super) fn of_files(error: SchemaFileError) -> EngineError {
    FormatError::from(error).into()
}
