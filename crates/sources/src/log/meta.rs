//! The small files that describe the log and its topics, in the envelope of [`sluicebox_durable::sealed`].

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sluicebox_durable::fault::What;
use sluicebox_durable::sealed::{self, Broken};
use sluicebox_durable::{self as durable, Created, FileError};

use crate::error::{Result, SourceError};

/// `@` is in no topic's name, so these names never meet a topic's folder.
pub(crate) const LOG_FILE: &str = "@log.json";
pub(crate) const TOPIC_FILE: &str = "@topic.json";
pub(crate) const LOCK_FILE: &str = "@lock";

/// Describes the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogMeta {
    pub(crate) log_id: String,
}

/// A topic of the embedded log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicMeta {
    /// The topic's name.
    pub topic: String,
    /// Changes when the topic is deleted and made anew.
    pub topic_id: String,
    /// Partitions, numbered from 0.
    pub partitions: i32,
    /// When the topic was made: microseconds since 1970.
    pub created_micros: i64,
    /// Age in milliseconds past which whole segments are deleted; `None` keeps them for ever.
    pub retention_ms: Option<i64>,
    /// Bytes of a partition past which whole segments are deleted, oldest first; `None` keeps all.
    pub retention_bytes: Option<u64>,
    /// Bytes at which a segment is closed and the next begun.
    pub segment_bytes: u64,
    /// Whatever the maker of the topic wants to keep with it, such as the seed of a generator.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
}

/// How a topic is made.
#[derive(Debug, Clone)]
pub struct TopicOptions {
    /// See [`TopicMeta::retention_ms`].
    pub retention_ms: Option<i64>,
    /// See [`TopicMeta::retention_bytes`].
    pub retention_bytes: Option<u64>,
    /// See [`TopicMeta::segment_bytes`].
    pub segment_bytes: u64,
    /// See [`TopicMeta::properties`].
    pub properties: BTreeMap<String, String>,
}

/// Everything is kept, in segments of 64 MiB.
impl Default for TopicOptions {
    fn default() -> Self {
        Self { retention_ms: None, retention_bytes: None, segment_bytes: 64 << 20, properties: BTreeMap::new() }
    }
}

impl LogMeta {
    pub(crate) fn new(log_id: String) -> Self {
        Self { log_id }
    }
}

impl TopicMeta {
    pub(crate) fn new(
        topic: &str,
        topic_id: String,
        partitions: i32,
        created_micros: i64,
        options: TopicOptions,
    ) -> Self {
        Self {
            topic: topic.to_owned(),
            topic_id,
            partitions,
            created_micros,
            retention_ms: options.retention_ms,
            retention_bytes: options.retention_bytes,
            segment_bytes: options.segment_bytes,
            properties: options.properties,
        }
    }
}

/// Writes `meta` to `path` unless a file is there, durably.
pub(crate) fn create<T: Serialize>(path: &Path, meta: &T) -> Result<Created> {
    Ok(durable::create_if_absent(What::Topic, path, &content(path, meta)?)?)
}

/// Writes `meta` to `path` over what is there, durably and at once.
pub(crate) fn replace<T: Serialize>(path: &Path, meta: &T) -> Result<()> {
    Ok(durable::replace(What::Topic, path, &content(path, meta)?)?)
}

fn content<T: Serialize>(path: &Path, meta: &T) -> Result<Vec<u8>> {
    Ok(sealed::seal(meta).map_err(|e| FileError::new("describe", path, e.into()))?)
}

/// Reads `path`; `None` when it is not there.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let content = match durable::read(What::Topic, path) {
        Ok(Some(content)) => content,
        Ok(None) => return Ok(None),
        Err(e) if e.source.kind() == io::ErrorKind::NotADirectory => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    sealed::unseal(&content).map(Some).map_err(|broken| match broken {
        Broken::Damaged(what) => SourceError::Damaged { path: PathBuf::from(path), byte: 0, what },
        Broken::Newer { .. } => SourceError::Newer { path: PathBuf::from(path), what: broken },
    })
}
