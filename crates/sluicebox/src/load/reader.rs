//! The reader schema of a source: what the checkpoint has pinned, or the registry has.

use std::sync::Arc;

use sluicebox_checkpoint::{Checkpoint, CheckpointError, envelope};
use sluicebox_core::Clock;
use sluicebox_core::nearest::nearest_few;
use sluicebox_core::shown::cut_to;
use sluicebox_durable::fault::{self, Effect, Phase, What};
use sluicebox_engine::EngineError;
use sluicebox_formats::{FormatError, SourcePin};
use sluicebox_registry::{LONGEST_NAME, PinnedSchema, Registry, RegistryError, SchemaText};
use sluicebox_samples::sales::SALES_SCHEMA;
use sluicebox_sources::SourceError;

use super::connect::Connection;
use crate::connectors::Registries;
use crate::error::{Error, Result, Usage};

/// Subjects that are named when the one that is looked for is not there.
const SUBJECTS_NAMED: usize = 5;

/// What of an event has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Its value.
    Value,
    /// Its key.
    Key,
}

impl Part {
    /// The option that names its subject, and the one that names a version of it.
    fn options(self) -> (&'static str, &'static str) {
        match self {
            Self::Value => ("value.subject", "value.schema.version"),
            Self::Key => ("key.subject", "key.schema.version"),
        }
    }

    /// What its subject has behind the topic, unless an option says otherwise.
    fn ending(self) -> &'static str {
        match self {
            Self::Value => "-value",
            Self::Key => "-key",
        }
    }
}

impl Connection {
    /// The reader schema of `part` as far as it can be known without touching anything: the checkpoint's, else the registry's;
    /// for a sample that has not been filled yet, the sample's own.
    pub async fn reader(&self, part: Part, checkpoint: &Checkpoint, clock: &Arc<dyn Clock>) -> Result<PinnedSchema> {
        if let Some(pinned) = self.pinned_schema(part, checkpoint)? {
            return Ok(pinned);
        }
        if let Some(missing) = self.missing()? {
            return self.unfilled(part, missing);
        }
        let folder = self.home.registry();
        if !self.asks_registry() && !folder.is_dir() {
            return Err(Usage(format!(
                "source `{}`: the embedded log has the topic, and {} no schema of it",
                self.name,
                folder.display()
            ))
            .into());
        }
        self.registered(part, &self.registry(clock)?).await
    }

    /// Looks whether a source whose columns are declared can be read: its format is the one that the checkpoint has pinned, and the
    /// embedded log has its topic.
    pub(super) fn declared_topic(&self, checkpoint: &Checkpoint) -> Result<()> {
        if self.pinned(checkpoint)?.is_some() {
            return Ok(());
        }
        match self.missing()? {
            Some(missing) => Err(self.places.of_source(missing)),
            None => Ok(()),
        }
    }

    /// What is not there that it reads.
    fn missing(&self) -> Result<Option<SourceError>> {
        self.link.missing().map_err(|error| self.places.of_source(error))
    }

    /// The reader schema of `part` that the checkpoint has pinned, if it has.
    ///
    /// # Errors
    /// When it has begun with keys that had none.
    pub fn pinned_schema(&self, part: Part, checkpoint: &Checkpoint) -> Result<Option<PinnedSchema>> {
        let Some(pin) = self.pinned(checkpoint)? else { return Ok(None) };
        match (part, pin.key()) {
            (Part::Value, _) => Ok(pin.schema().cloned()),
            (Part::Key, Some(key)) => Ok(Some(key.clone())),
            (Part::Key, None) => {
                let name = &self.name;
                Err(Usage(format!(
                    "source `{name}`: its checkpoint has no schema of keys, and 'key.format' is 'avro': take the option out, or read them from \
                     the next batch on with `--repin {name}`"
                ))
                .into())
            }
        }
    }

    /// That the checkpoint reads values in another format.
    fn other_format(&self, pin: &SourcePin) -> Error {
        let (name, format) = (&self.name, pin.format());
        Usage(format!(
            "source `{name}`: its checkpoint reads values of the format '{format}', and 'value.format' says another: put it back, or go on \
             in the other one from the next batch with `--repin {name}`"
        ))
        .into()
    }

    /// How values are read, as the checkpoint has pinned it, if it has.
    ///
    /// # Errors
    /// When the checkpoint cannot be read, or has pinned another format.
    pub(super) fn pinned(&self, checkpoint: &Checkpoint) -> Result<Option<SourcePin>> {
        if self.repin {
            return Ok(None);
        }
        // A refresh that was killed is finished by this run, whatever it was asked for: it begins anew.
        if checkpoint.refresh().map_err(EngineError::from)?.is_some() {
            return Ok(None);
        }
        // It is pinned before the starting offsets are: lost, it is not to be replaced by what is the latest now. Looked for
        // in the other order, since another run may be pinning both at this moment.
        let started = checkpoint.source_start(&self.name).map_err(EngineError::from)?.is_some();
        let path = checkpoint.source_dir(&self.name).join("reader");
        let pinned: Option<SourcePin> = envelope::read(What::Source, &path).map_err(EngineError::from)?;
        if pinned.is_none() && started {
            let name = format!("sources/{}/reader", self.name);
            return Err(EngineError::from(CheckpointError::Missing { name }).into());
        }
        match pinned {
            Some(pin) if pin.format() != self.formats.value.words().name() => Err(self.other_format(&pin)),
            pinned => Ok(pinned),
        }
    }

    /// The reader schema of `part` that the registry has.
    pub(super) async fn registered(&self, part: Part, registry: &Arc<dyn Registry>) -> Result<PinnedSchema> {
        let (subject, (option, version)) = (self.subject(part)?, part.options());
        let version = self.pairs.get(version).and_then(|v| v.trim().parse().ok());
        fault::reach(What::Registry, Effect::Call, Phase::Before);
        let found = match version {
            Some(version) => registry.version(&subject, version).await,
            None => registry.latest(&subject).await,
        };
        fault::reach(What::Registry, Effect::Call, Phase::After);
        let error = match found {
            Ok(found) => return Ok(found),
            Err(RegistryError::NotFound { registry: name, .. }) if version.is_none() => {
                // Only to help: what else is wrong with the registry is told by what it was asked for.
                let known = registry.subjects().await.unwrap_or_default();
                let topic = subject.strip_suffix(part.ending()).unwrap_or(&subject);
                let like = nearest_few(topic, known.iter().map(String::as_str), SUBJECTS_NAMED);
                let like = like.into_iter().map(|name| cut_to(name, LONGEST_NAME)).collect();
                RegistryError::NoSubject { subject, registry: name, like, total: known.len(), option }
            }
            Err(error) => error,
        };
        Err(EngineError::from(FormatError::from(error)).into())
    }

    /// The latest schema of the subject of `part`, if its version is not set.
    pub async fn latest(&self, part: Part, clock: &Arc<dyn Clock>) -> Result<Option<PinnedSchema>> {
        match self.pairs.contains_key(part.options().1) {
            true => Ok(None),
            false => Ok(Some(self.registered(part, &self.registry(clock)?).await?)),
        }
    }

    /// The schema of a topic that is not there, as `missing` says, and that made-up events will fill.
    fn unfilled(&self, part: Part, missing: SourceError) -> Result<PinnedSchema> {
        if self.link.made_up().is_none() {
            return Err(self.places.of_source(missing));
        }
        match part {
            Part::Value => Ok(PinnedSchema {
                subject: self.subject(part)?,
                version: 1,
                id: 1,
                text: SchemaText::new(SALES_SCHEMA),
            }),
            Part::Key => {
                let name = &self.name;
                Err(Usage(format!("source `{name}`: the keys of the sample are text: write 'key.format' = 'text'"))
                    .into())
            }
        }
    }

    /// The subject of `part`: the one that its option names, else that of the first topic.
    fn subject(&self, part: Part) -> Result<String> {
        let (option, _) = part.options();
        if let Some(subject) = self.pairs.get(option) {
            return Ok(subject.clone());
        }
        match self.link.topic() {
            Some(topic) => Ok(format!("{topic}{}", part.ending())),
            None => {
                let name = &self.name;
                let why = match self.link.registries() {
                    Registries::Either => format!("name the registry's subject with '{option}'"),
                    Registries::Named | Registries::Embedded => {
                        format!("it subscribes by pattern: name the registry's subject with '{option}'")
                    }
                };
                Err(Usage(format!("source `{name}`: {why}")).into())
            }
        }
    }
}
