//! The errors of a transactional sink.

use std::path::PathBuf;

use sluicebox_core::blame::{Blame, Blamed, Certainty, Retry};
use sluicebox_core::threads;
use thiserror::Error;

/// A store that does not take rows, or rows that cannot be handed to it. No message holds a secret.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The store does not answer, or cannot do it now. Waiting helps.
    #[error("cannot {doing}: {why}")]
    Away {
        /// What was tried: `publish batch 7 to the Kafka topic orders`.
        doing: String,
        /// What went wrong.
        why: String,
        /// Whether it may have been done.
        certainty: Certainty,
    },
    /// The store refuses, and will refuse again.
    #[error("cannot {doing}: {why}")]
    Refused {
        /// What was tried.
        doing: String,
        /// What the store said, and what to do.
        why: String,
        /// Whether it may have been done.
        certainty: Certainty,
        /// Whose fault it is.
        blame: Blame,
    },
    /// The system gives no thread to speak to the store.
    #[error("cannot {doing}: no thread can be started: {why}; {}", threads::WAY_OUT)]
    Threads {
        /// What was tried.
        doing: String,
        /// What the system said.
        why: String,
    },
    /// A later run writes to the store.
    #[error(
        "{sink} is written by a later run of this pipeline (epoch {theirs}, and this run has {ours}): this run stops"
    )]
    Passed {
        /// The store.
        sink: String,
        /// This run's epoch.
        ours: u64,
        /// The epoch that the store has recorded.
        theirs: u64,
    },
    /// Another process has opened the store with the same name.
    #[error("cannot {doing}: another run of this pipeline has opened it meanwhile{or}")]
    Fenced {
        /// What was tried.
        doing: String,
        /// What else looks so, `, or ...`; empty where nothing does.
        or: &'static str,
    },
    /// The store no longer knows which batches it holds.
    #[error("{sink} no longer says which batches it holds, so it is not known whether batch {batch} is in it: {why}")]
    Forgotten {
        /// The store.
        sink: String,
        /// The batch that was committed.
        batch: u64,
        /// How that came about, and the ways on.
        why: String,
    },
    /// Rows that were committed are not in the checkpoint.
    #[error(
        "committed rows are lost: {} is not there. Restore the checkpoint from a copy, or start from the beginning with \
         `--full-refresh`",
        path.display()
    )]
    Lost {
        /// The file.
        path: PathBuf,
    },
    /// Rows that were committed were changed in the checkpoint.
    #[error(
        "committed rows are damaged: {} has {found}, and {committed} were committed. Restore the file from a copy, or start \
         from the beginning with `--full-refresh`",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Its size and checksum.
        found: String,
        /// Size and checksum in the commit.
        committed: String,
    },
    /// Something else than this sink stages was to be published.
    #[error("{sink} was given what another sink has staged: {given}")]
    Mixed {
        /// The store.
        sink: String,
        /// Whose it is.
        given: String,
    },
}

impl RemoteError {
    /// The store does not answer; nothing was done.
    pub fn away(doing: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Away { doing: doing.into(), why: why.into(), certainty: Certainty::NotDone }
    }

    /// The answer of the store was lost.
    pub fn unknown(doing: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Away { doing: doing.into(), why: why.into(), certainty: Certainty::Unknown }
    }
}

impl Blamed for RemoteError {
    fn blame(&self) -> Blame {
        match self {
            Self::Refused { blame, .. } => *blame,
            Self::Mixed { .. } => Blame::Us,
            Self::Away { .. }
            | Self::Threads { .. }
            | Self::Passed { .. }
            | Self::Fenced { .. }
            | Self::Forgotten { .. }
            | Self::Lost { .. }
            | Self::Damaged { .. } => Blame::Outside,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            // Whether another run has taken over is for the checkpoint to say; if none has, the store is opened again.
            Self::Away { .. } | Self::Fenced { .. } => Retry::WithBackoff,
            _ => Retry::No,
        }
    }

    fn certainty(&self) -> Certainty {
        match self {
            Self::Away { certainty, .. } | Self::Refused { certainty, .. } => *certainty,
            Self::Threads { .. } | Self::Lost { .. } | Self::Damaged { .. } | Self::Mixed { .. } => Certainty::NotDone,
            Self::Passed { .. } | Self::Fenced { .. } | Self::Forgotten { .. } => Certainty::Unknown,
        }
    }
}
