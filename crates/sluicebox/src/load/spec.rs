//! Names a pipeline, and the settings that override those of its text.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sluicebox_core::{Clock, SystemClock};
use sluicebox_engine::Trigger;
use sluicebox_pipeline::ast::Pipeline;
use sluicebox_pipeline::parse::parse_in;
use sluicebox_pipeline::settings::Settings;
use sluicebox_pipeline::values;

use super::engine_trigger;
use super::text::read_text;
use crate::connectors::{Connectors, Home};
use crate::error::Result;

/// A pipeline as it was written, and what is set beside its text.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The name of its file, as messages call it. A pipeline that is not named by `SET 'pipeline.name'` is called after it.
    pub file: String,
    /// The SQL.
    pub text: String,
    /// The folder to resume from; without it that of the text, or else checkpoints/<pipeline>.
    pub checkpoint: Option<PathBuf>,
    /// Overrides of the text, in order: the key of a setting, an option of a source as `<source>.<option>`, or a property of a table as
    /// `<table>.<property>`; and the value.
    pub set: Vec<(String, String)>,
    /// Where it runs.
    pub home: Home,
    /// What its words stand for.
    pub connectors: Arc<Connectors>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Spec {
    /// The pipeline of the file at `path`.
    ///
    /// # Errors
    /// As [`read_text`].
    pub fn read(path: &Path) -> Result<Self> {
        let file = path.display().to_string();
        let text = read_text(path, &file)?;
        Ok(Self::of(file, text))
    }

    /// The pipeline `text`, which messages call `file`.
    pub fn of(file: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            text: text.into(),
            checkpoint: None,
            set: Vec::new(),
            home: Home::here(),
            connectors: Arc::new(Connectors::standard()),
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// The pipeline, parsed. Variables are those of its home.
    ///
    /// # Errors
    /// All mistakes that can be found without a schema.
    pub fn parsed(&self) -> Result<Pipeline> {
        let env = |name: &str| self.home.variable(name);
        Ok(parse_in(&self.file, &self.text, &self.set, &env, self.connectors.vocabulary())?)
    }

    /// The folder that it resumes from.
    ///
    /// # Errors
    /// As [`Self::parsed`].
    pub fn checkpoint_dir(&self) -> Result<PathBuf> {
        let pipeline = self.parsed()?;
        let settings = Settings::of(&pipeline);
        Ok(self.dir_of(&pipeline, &settings))
    }

    pub(super) fn dir_of(&self, pipeline: &Pipeline, settings: &Settings) -> PathBuf {
        self.checkpoint
            .clone()
            .or_else(|| settings.checkpoint.as_ref().map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from("checkpoints").join(&pipeline.name))
    }
}

/// The trigger of `SET 'trigger'`, if it is there.
#[must_use]
pub fn trigger_of(pipeline: &Pipeline) -> Option<Trigger> {
    pipeline.settings.get("trigger").and_then(|t| values::trigger(&t.value)).map(engine_trigger)
}
