//! Kinds of sources: from the options of one to what reads it.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use sluicebox_core::Clock;
use sluicebox_engine::Starting;
use sluicebox_pipeline::kinds::SourceWords;
use sluicebox_sources::{Source, SourceError};

use super::Home;

/// A kind of source, by the name that stands after `USING`.
///
/// `examples/source.rs` has one from beginning to end.
pub trait SourceConnector: Send + Sync + Debug {
    /// Its name, and the options that it alone has.
    fn words(&self) -> &'static SourceWords;

    /// The source that is `asked` for. Nothing is asked or opened to make it: what cannot become better by waiting is told here.
    ///
    /// # Errors
    /// When the options do not go together.
    fn connect(&self, asked: &SourceAsked<'_>) -> Result<Box<dyn SourceLink>, SourceError>;
}

/// What a pipeline says of one source.
pub struct SourceAsked<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its options by their names in the reference, those of every source among them; references are replaced.
    pub options: &'a [(String, String)],
    /// What the references among them stand for, each with the name of its option: no message should hold it.
    pub meant: &'a [(String, String)],
    /// Where the pipeline runs.
    pub home: &'a Home,
    /// The time.
    pub clock: &'a Arc<dyn Clock>,
    /// How long what does not answer is waited for; `None` for ever.
    pub wait: Option<Duration>,
}

impl SourceAsked<'_> {
    /// The value of an option.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// How a source is opened.
#[derive(Debug, Clone, Copy)]
pub struct OpenSource<'a> {
    /// Under which name it is read: its own, or another one beside the living pipeline.
    pub name: &'a str,
    /// The pipeline.
    pub pipeline: &'a str,
    /// Bytes that it may fetch ahead.
    pub prefetch_bytes: u64,
}

/// Where the schemas of a source's events are, if they have some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registries {
    /// In the registry of its options or of the environment: there must be one.
    Named,
    /// In the embedded registry.
    Embedded,
    /// In the registry that is named; in the embedded one, if none is.
    Either,
}

/// How one source of a pipeline is reached.
pub trait SourceLink: Send + Sync {
    /// What it reads, and where, for people: `Kafka[orders] at broker:9092`.
    fn description(&self) -> String;

    /// What reads it, which is called as `opening` says.
    ///
    /// # Errors
    /// When it cannot be made ready.
    fn open(&self, opening: OpenSource<'_>) -> Result<Box<dyn Source>, SourceError>;

    /// Where its options say that the first start begins, for people.
    fn starting(&self) -> Starting {
        Starting::default()
    }

    /// Its topic, or the first of them: subjects of a registry are called after it.
    fn topic(&self) -> Option<String> {
        None
    }

    /// Where its schemas are.
    fn registries(&self) -> Registries {
        Registries::Either
    }

    /// What is not there that it reads, as far as it can be told without asking anybody: then `plan` does not look at it.
    ///
    /// # Errors
    /// When it cannot be told.
    fn missing(&self) -> Result<Option<SourceError>, SourceError> {
        Ok(None)
    }

    /// The hosts to which a password goes as it is.
    fn exposed(&self) -> Vec<String> {
        Vec::new()
    }

    /// The topic of the embedded log that made-up sales are to fill.
    fn made_up(&self) -> Option<String> {
        None
    }
}
