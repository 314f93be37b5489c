//! The errors of a source: whose fault each is, and its remedy.

use std::path::PathBuf;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use sluicebox_core::nearest::nearest_few;
use sluicebox_core::shown::cut_to;
use sluicebox_core::{Blame, Blamed, OffsetRange, PartitionId, Retry, threads};
use sluicebox_durable::FileError;
use sluicebox_durable::sealed::Broken;
use thiserror::Error;

/// The result of a source's call.
pub type Result<T> = std::result::Result<T, SourceError>;

/// An error of a source. No message holds a secret.
#[derive(Debug, Error)]
pub enum SourceError {
    /// An option's value is not one of those accepted.
    #[error("source {source_name}: option '{option}' is {given}; {remedy}")]
    Option {
        /// The source's name in the pipeline.
        source_name: String,
        /// The option, as the user writes it.
        option: String,
        /// What was given; a secret is shown as `(hidden)`.
        given: String,
        /// What to do: `write true or false`, `leave it out: ...`.
        remedy: String,
    },
    /// A topic that the source names is not there.
    #[error("source {source_name}: topic '{topic}' does not exist in {log}{}", other_topics(topic, known))]
    UnknownTopic {
        /// The source's name in the pipeline.
        source_name: String,
        /// The topic asked for.
        topic: String,
        /// The cluster or the folder that was asked.
        log: String,
        /// Topics that are there.
        known: Vec<String>,
    },
    /// Offsets that the pipeline has yet to read are no longer in the log.
    #[error("offsets {}..{} of {partition} are gone: the log now holds {earliest}..{latest} (retention, or the topic was \
             deleted and made anew). To go on without them set 'failOnDataLoss' = 'false'; to read what is there from its \
             start, use --full-refresh", lost.from, lost.to)]
    DataLoss {
        /// The partition.
        partition: PartitionId,
        /// The offsets that cannot be read any more.
        lost: OffsetRange,
        /// The first offset in the log.
        earliest: i64,
        /// The offset after the last one in the log.
        latest: i64,
    },
    /// A position lies behind the end of the log: this is not the log that the position was taken in.
    #[error(
        "offset {offset} of {partition} is past the log's end {latest}: the topic was truncated, or deleted and made \
             anew, since this checkpoint was written. Restore the topic, or start over with --full-refresh"
    )]
    PastEnd {
        /// The partition.
        partition: PartitionId,
        /// The offset asked for.
        offset: i64,
        /// The offset after the last one in the log.
        latest: i64,
    },
    /// A partition that the pipeline has yet to read is no longer there.
    #[error(
        "{partition} is gone, and with it whatever it held from offset {position} on: its topic was deleted. Restore the \
         topic; or go on without it with 'failOnDataLoss' = 'false'; or start over with --full-refresh"
    )]
    Gone {
        /// The partition.
        partition: PartitionId,
        /// The first offset not read.
        position: i64,
    },
    /// A topic is not the one that this run began to read.
    #[error(
        "topic '{topic}' of source {source_name} was deleted and made anew while it was read (its id was {before} and is \
         {now}): its offsets mean other events now. Nothing of the new topic was taken. Read it with another checkpoint and \
         other tables, or start over with --full-refresh, which deletes this pipeline's tables first"
    )]
    MadeAnew {
        /// The source's name in the pipeline.
        source_name: String,
        /// The topic.
        topic: String,
        /// Its id when the run began to read it.
        before: String,
        /// Its id now.
        now: String,
    },
    /// A partition was asked for that the source has not been started with.
    #[error("partition {partition} of source {} was not started before it was taken from", partition.source)]
    NotStarted {
        /// The partition.
        partition: PartitionId,
    },
    /// The broker, or the way to it.
    #[error("cannot {doing}: {source}")]
    Kafka {
        /// What was tried.
        doing: String,
        /// What librdkafka said.
        source: KafkaError,
    },
    /// No broker answered for as long as it was to be waited for.
    #[error(
        "source {source_name}: cannot {doing}: no broker of {brokers} answered for {} ({reason}). Check the address, that the \
             brokers advertise one that can be reached from here, and 'kafka.security.protocol'; `--wait` says how long they are \
             waited for",
        sluicebox_core::waiting::in_words(*waited)
    )]
    Unreachable {
        /// The source's name in the pipeline.
        source_name: String,
        /// The brokers.
        brokers: String,
        /// What was to be done.
        doing: String,
        /// For how long they were asked.
        waited: Duration,
        /// What went wrong last.
        reason: String,
    },
    /// A file or folder of the embedded log.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of the embedded log holds something else than was written.
    #[error("{} is damaged at byte {byte}: {what}. Restore the file, or delete the topic's folder and its checkpoints",
            path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        byte: u64,
        /// What is wrong.
        what: String,
    },
    /// A newer Sluicebox wrote a file of the embedded log.
    #[error("{} cannot be read: {what}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version and the way out.
        what: Broken,
    },
    /// A topic that is made or written to is not as the log needs it.
    #[error("topic '{topic}' of the embedded log: {what}")]
    Topic {
        /// The topic.
        topic: String,
        /// What is wrong and what would be right.
        what: String,
    },
    /// The system gives no thread.
    #[error("source {source_name}: no thread can be started to fetch: {why}; {}", threads::WAY_OUT)]
    Threads {
        /// The source's name in the pipeline.
        source_name: String,
        /// What the system said.
        why: String,
    },
    /// A source of a program's own.
    #[error("source {source_name}: {why}")]
    Other {
        /// The source's name in the pipeline.
        source_name: String,
        /// What went wrong.
        #[source]
        why: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The thread that fetches has ended, or a column could not be built.
    #[error("source {source_name}: {what}; this is a fault of sluicebox, please report it")]
    Internal {
        /// The source's name in the pipeline.
        source_name: String,
        /// What happened.
        what: String,
    },
}

/// Characters of the longest name of a topic that Kafka takes. A broker may say a longer one.
pub const LONGEST_TOPIC: usize = 249;

/// What else there is: those that are like the one asked for, or else some.
fn other_topics(topic: &str, known: &[String]) -> String {
    const SHOWN: usize = 10;
    const LIKE: usize = 3;
    if known.is_empty() {
        return ", which has no topics: create it, or check that these are the right brokers".to_owned();
    }
    let like = nearest_few(topic, known.iter().map(String::as_str), LIKE);
    if !like.is_empty() {
        let like: Vec<String> = like.iter().map(|name| format!("'{}'", cut_to(name, LONGEST_TOPIC))).collect();
        return format!("; did you mean {}? Correct the option, or create the topic", like.join(" or "));
    }
    let more = known.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let shown = known.iter().take(SHOWN).map(|name| cut_to(name, LONGEST_TOPIC)).collect::<Vec<_>>().join(", ");
    format!(" (there are: {shown}{more}); create it, or correct the option")
}

impl SourceError {
    /// What went wrong with the source `source_name` of a program's own.
    pub fn other(source_name: impl Into<String>, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other { source_name: source_name.into(), why: why.into() }
    }

    pub(crate) fn option(
        source_name: &str,
        option: impl Into<String>,
        given: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Option {
            source_name: source_name.to_owned(),
            option: option.into(),
            given: given.into(),
            remedy: remedy.into(),
        }
    }

    pub(crate) fn kafka(doing: impl Into<String>, source: KafkaError) -> Self {
        Self::Kafka { doing: doing.into(), source }
    }
}

impl Blamed for SourceError {
    fn blame(&self) -> Blame {
        match self {
            Self::Option { .. }
            | Self::UnknownTopic { .. }
            | Self::Topic { .. }
            | Self::Newer { .. }
            // Another log than the checkpoint's: no second try finds the old one.
            | Self::PastEnd { .. }
            | Self::MadeAnew { .. } => Blame::User,
            Self::Kafka { source, .. } if is_misconfigured(source) => Blame::User,
            Self::DataLoss { .. }
            | Self::Gone { .. }
            | Self::Unreachable { .. }
            | Self::Kafka { .. }
            | Self::File(_)
            | Self::Damaged { .. }
            | Self::Other { .. }
            | Self::Threads { .. } => Blame::Outside,
            Self::NotStarted { .. } | Self::Internal { .. } => Blame::Us,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Kafka { source, .. } if is_passing(source) => Retry::WithBackoff,
            _ => Retry::No,
        }
    }
}

/// Whether a Kafka error is one that waiting cures: a broker that is down, slow, or electing.
pub(crate) fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as C;
    matches!(
        error.rdkafka_error_code(),
        Some(
            C::BrokerTransportFailure
                | C::AllBrokersDown
                | C::Resolve
                | C::OperationTimedOut
                | C::RequestTimedOut
                | C::MessageTimedOut
                | C::TimedOutQueue
                | C::WaitingForCoordinator
                | C::LeaderNotAvailable
                | C::NotLeaderForPartition
                | C::BrokerNotAvailable
                | C::ReplicaNotAvailable
                | C::NetworkException
                | C::CoordinatorLoadInProgress
                | C::CoordinatorNotAvailable
                | C::NotCoordinator
                | C::NotEnoughReplicas
                | C::OffsetNotAvailable
                | C::FencedLeaderEpoch
                | C::UnknownLeaderEpoch
                | C::KafkaStorageError
                | C::NodeUpdate
                | C::Retry
        )
    )
}

/// Whether a broker does not know a partition that was named to it.
pub(crate) fn is_unlisted(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as C;
    matches!(
        error.rdkafka_error_code(),
        Some(C::UnknownPartition | C::UnknownTopic | C::UnknownTopicOrPartition | C::UnknownTopicId)
    )
}

fn is_misconfigured(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as C;
    matches!(error, KafkaError::ClientConfig(..) | KafkaError::ClientCreation(..))
        || matches!(
            error.rdkafka_error_code(),
            Some(
                C::Authentication
                    | C::SaslAuthenticationFailed
                    | C::UnsupportedSASLMechanism
                    | C::TopicAuthorizationFailed
                    | C::GroupAuthorizationFailed
                    | C::ClusterAuthorizationFailed
                    | C::SSL
            )
        )
}
