//! The errors of producing events.

use std::path::PathBuf;

use sluicebox_core::{Blame, Blamed, Retry};
use sluicebox_durable::FileError;
use sluicebox_sources::SourceError;
use thiserror::Error;

/// An error of producing events.
#[derive(Debug, Error)]
pub enum ProduceError {
    /// A share, a rate or a count makes no sense.
    #[error("{0}")]
    Config(String),
    /// The client refused its properties.
    #[error("cannot make a Kafka producer for {brokers}: {source}")]
    Client {
        /// The brokers as given.
        brokers: String,
        /// What librdkafka said.
        source: Box<rdkafka::error::KafkaError>,
    },
    /// The topic could not be looked up.
    #[error(
        "cannot ask {brokers} for topic {topic}: {source}; is the broker up, and is the address right? `--wait` says how long it is waited for"
    )]
    Metadata {
        /// The brokers as given.
        brokers: String,
        /// The topic.
        topic: String,
        /// What librdkafka said.
        source: Box<rdkafka::error::KafkaError>,
    },
    /// The topic could not be created.
    #[error("cannot create topic {topic}: {reason}; create it yourself, or ask for the right to")]
    CreateTopic {
        /// The topic.
        topic: String,
        /// What the broker said.
        reason: String,
    },
    /// An event could not be handed to the broker.
    #[error("cannot send to {topic}/{partition}: {source}")]
    Send {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// What librdkafka said.
        source: Box<rdkafka::error::KafkaError>,
    },
    /// Events were handed over, and the broker did not take them.
    #[error("{failed} events were not delivered to {topic}; the first: {reason}")]
    Delivery {
        /// The topic.
        topic: String,
        /// How many.
        failed: u64,
        /// Why the first of them was not.
        reason: String,
    },
    /// The registry could not be reached.
    #[error(
        "cannot register the schema of {subject} at {url}: {source}; is the registry up, and is the address right? `--wait` says \
         how long it is waited for"
    )]
    RegistryUnreachable {
        /// The registry's address.
        url: String,
        /// The subject.
        subject: String,
        /// What the HTTP client said.
        source: reqwest::Error,
    },
    /// The registry said no.
    #[error("the registry at {url} refused the schema of {subject} with status {status}: {answer}")]
    RegistryRefused {
        /// The registry's address.
        url: String,
        /// The subject.
        subject: String,
        /// The HTTP status.
        status: u16,
        /// The answer's body.
        answer: String,
    },
    /// The embedded log could not be read or written.
    #[error(transparent)]
    Log(#[from] Box<SourceError>),
    /// A file of the feeder could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// What the topic says of its sample cannot be used.
    #[error("topic {topic} of the embedded log in {} was filled by another version's sample: {reason}. Remove that folder \
             and its checkpoints to start anew, or take the option 'sample' out to read what is there", log.display())]
    Sample {
        /// The log's folder.
        log: PathBuf,
        /// The topic.
        topic: String,
        /// What is wrong.
        reason: String,
    },
    /// The program itself is at fault.
    #[error("{0}; please report this")]
    Internal(String),
}

impl Blamed for ProduceError {
    fn blame(&self) -> Blame {
        match self {
            Self::Config(_) => Blame::User,
            Self::Internal(_) => Blame::Us,
            Self::Log(source) => source.blame(),
            _ => Blame::Outside,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Metadata { .. } | Self::RegistryUnreachable { .. } => Retry::WithBackoff,
            Self::RegistryRefused { status, .. } if *status >= 500 || *status == 429 => Retry::WithBackoff,
            Self::Log(source) => source.retry(),
            _ => Retry::No,
        }
    }
}

impl From<SourceError> for ProduceError {
    fn from(source: SourceError) -> Self {
        Self::Log(Box::new(source))
    }
}

/// The result of producing events.
pub type Result<T> = std::result::Result<T, ProduceError>;
