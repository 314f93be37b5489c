//! The errors that keep a pipeline from being planned or run, or end its run.

use std::error::Error as StdError;

use sluicebox_core::{Blame, Blamed, Certainty, Retry, threads};
use sluicebox_engine::EngineError;
use sluicebox_pipeline::bind::FunctionError;
use sluicebox_pipeline::diagnostic::Diagnostics;
use sluicebox_pipeline::vocabulary::WordError;
use thiserror::Error;

/// What keeps a pipeline from being planned or run, or ends its run.
#[derive(Debug, Error)]
pub enum Error {
    /// What was asked for, or what it names, without a place in a text.
    #[error(transparent)]
    Usage(#[from] Usage),
    /// Mistakes in the text, each at its place.
    #[error(transparent)]
    Wrong(#[from] Diagnostics),
    /// What went wrong outside, at the place in the text that leads there.
    #[error("{0}")]
    Placed(Diagnostics),
    /// What a run ends with, or is refused with.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A name that a program brings is not taken.
    #[error(transparent)]
    Word(#[from] WordError),
    /// A function that a program brings is not taken.
    #[error(transparent)]
    Function(#[from] FunctionError),
    /// The working directory cannot be told.
    #[error(transparent)]
    WorkingDirectory(#[from] std::io::Error),
    /// A query cannot be computed.
    #[error("{}", told(.0.as_ref()))]
    Query(Box<dyn StdError + Send + Sync>),
    /// Made-up events cannot be written.
    #[error(transparent)]
    Samples(Box<dyn StdError + Send + Sync>),
}

/// What the functions of this crate give.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A short name of the kind of error in kebab-case, the same in every release, if it is one of a run. Those of mistakes in a text stand
    /// with each of them.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Engine(error) => Some(error.code()),
            Self::Placed(found) => found.list().first().map(|one| one.code),
            _ => None,
        }
    }
}

impl Blamed for Error {
    fn blame(&self) -> Blame {
        match self {
            Self::Usage(_) | Self::Wrong(_) | Self::Word(_) | Self::Function(_) => Blame::User,
            Self::Engine(error) => error.blame(),
            Self::Placed(_) | Self::WorkingDirectory(_) | Self::Query(_) | Self::Samples(_) => Blame::Outside,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Engine(error) => error.retry(),
            _ => Retry::No,
        }
    }

    fn certainty(&self) -> Certainty {
        match self {
            Self::Engine(error) => error.certainty(),
            _ => Certainty::NotDone,
        }
    }
}

/// A mistake in what was asked for or in what it names, without a place in a pipeline.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// The system gives no thread for what is named.
#[derive(Debug, Error)]
#[error("no thread can be started for {0}: {1}; {way}", way = threads::WAY_OUT)]
pub struct NoThread(pub &'static str, pub std::io::Error);

/// An error with its causes, without those that it has told itself.
#[must_use]
pub fn told(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}
