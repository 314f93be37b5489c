//! The questions to a Schema Registry, whoever answers: a server over HTTP ([`crate::client`]) or the embedded registry ([`crate::store`]).

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sluicebox_core::{Blame, Blamed, Retry};
use thiserror::Error;

use crate::error::SchemaFileError;
use crate::key::{Guid, SchemaKey};

/// A schema's reference to another, as the registry keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reference {
    /// The full name by which the schema uses the referenced one.
    pub name: String,
    /// The subject of the referenced schema.
    pub subject: String,
    /// Its version there.
    pub version: i32,
}

impl Reference {
    /// The bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.subject.len()
    }
}

/// A referenced schema with its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferencedText {
    /// Where it is registered and how it is named.
    #[serde(flatten)]
    pub reference: Reference,
    /// Its JSON.
    pub schema: String,
}

/// A schema's text with everything it refers to, so that it can be parsed without a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaText {
    /// The schema's JSON.
    pub schema: String,
    /// Everything it refers to, directly or not, each after what it refers to itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<ReferencedText>,
}

impl SchemaText {
    /// A schema that refers to no other.
    pub fn new(schema: impl Into<String>) -> Self {
        Self { schema: schema.into(), references: Vec::new() }
    }

    /// How long it is with everything it refers to.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.schema.len() + self.references.iter().map(|r| r.schema.len()).sum::<usize>()
    }
}

/// The reader schema of a source. The checkpoint pins it, so that a row's columns do not change between two starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedSchema {
    /// The subject it is registered under.
    pub subject: String,
    /// Its version there.
    pub version: i32,
    /// Its id in the registry.
    pub id: i32,
    /// Its text and what it refers to.
    #[serde(flatten)]
    pub text: SchemaText,
}

/// Answers questions about schemas. Every answer about an id, a GUID or a version is immutable; [`Registry::latest`]
/// alone may change.
///
/// ```
/// use std::sync::Arc;
///
/// use futures::executor::block_on;
/// use sluicebox_registry::{Registry, RegistryStore};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// let registry: Arc<dyn Registry> = Arc::new(RegistryStore::open(folder.path().join("registry"))?);
/// let id = block_on(registry.register_schema("orders-value", r#""long""#))?;
/// let latest = block_on(registry.latest("orders-value"))?;
/// assert_eq!((latest.id, latest.version), (id, 1));
/// assert_eq!(*block_on(registry.by_id(id))?, latest.text);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Registry: Send + Sync + Debug {
    /// The schema of a global id.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] if there is no such id; others when the registry cannot answer.
    async fn by_id(&self, id: i32) -> Result<Arc<SchemaText>, RegistryError>;

    /// The schema of a GUID.
    ///
    /// # Errors
    /// As [`Registry::by_id`].
    async fn by_guid(&self, guid: Guid) -> Result<Arc<SchemaText>, RegistryError>;

    /// The latest version of `subject`.
    ///
    /// # Errors
    /// As [`Registry::by_id`].
    async fn latest(&self, subject: &str) -> Result<PinnedSchema, RegistryError>;

    /// Version `version` of `subject`.
    ///
    /// # Errors
    /// As [`Registry::by_id`].
    async fn version(&self, subject: &str, version: i32) -> Result<PinnedSchema, RegistryError>;

    /// The names of all subjects, as far as the registry tells them: for hints.
    ///
    /// # Errors
    /// When the registry cannot answer.
    async fn subjects(&self) -> Result<Vec<String>, RegistryError> {
        Ok(Vec::new())
    }

    /// Registers the Avro schema `schema` as the latest version of `subject`, unless it has it; gives its id. May be repeated.
    ///
    /// # Errors
    /// When the registry cannot answer, takes no schemas, or finds that this one does not fit those before it.
    async fn register_schema(&self, subject: &str, schema: &str) -> Result<i32, RegistryError> {
        let _ = schema;
        Err(RegistryError::NotFound {
            what: format!("a way to register {subject}"),
            registry: "this registry".to_owned(),
        })
    }

    /// Whether it has an answer for `key` without a question to anybody: its schemas are here, or it was told a moment ago that there
    /// is no such one.
    fn has_answer(&self, key: SchemaKey) -> bool {
        let _ = key;
        true
    }

    /// The schema that an event names.
    ///
    /// # Errors
    /// As [`Registry::by_id`].
    async fn by_key(&self, key: SchemaKey) -> Result<Arc<SchemaText>, RegistryError> {
        match key {
            SchemaKey::Id(id) => self.by_id(id).await,
            SchemaKey::Guid(guid) => self.by_guid(guid).await,
        }
    }
}

/// A question that the registry did not answer. URLs in it carry no credentials; what the registry says in it is cut, and is text
/// ([`sluicebox_core::shown`]).
#[derive(Debug, Error)]
pub enum RegistryError {
    /// There is no such schema, subject or version.
    #[error("{registry} does not know {what}; register it, or check that this is the registry its producer used")]
    NotFound {
        /// `schema id 7`, `subject orders-value`, ...
        what: String,
        /// The registry.
        registry: String,
    },
    /// There is no such subject, and there are others.
    #[error("{registry} does not know subject {subject}{}", other_subjects(like, *total, option))]
    NoSubject {
        /// The subject.
        subject: String,
        /// The registry.
        registry: String,
        /// Those that are like it.
        like: Vec<String>,
        /// How many there are in all.
        total: usize,
        /// The option that names another.
        option: &'static str,
    },
    /// The schema is not an Avro schema.
    #[error(
        "{what} is a {schema_type} schema, which a producer with the serialiser of that format registered; only AVRO can be decoded"
    )]
    NotAvro {
        /// What was asked for.
        what: String,
        /// `JSON`, `PROTOBUF`, ...
        schema_type: String,
    },
    /// The registry wants other credentials.
    #[error(
        "{registry} refused access to {what} (HTTP {status}); check 'schema.registry.basic.auth.user.info' or \
         'schema.registry.bearer.auth.token'"
    )]
    Denied {
        /// What was asked for.
        what: String,
        /// The registry.
        registry: String,
        /// 401 or 403.
        status: u16,
    },
    /// The registry refused for another reason, which a retry will not change.
    #[error("{registry} refused {what} (HTTP {status}, code {code}): {message}")]
    Refused {
        /// What was asked for.
        what: String,
        /// The registry.
        registry: String,
        /// The HTTP status.
        status: u16,
        /// Confluent's error code, or the status again.
        code: i64,
        /// What the registry said.
        message: String,
    },
    /// No registry answered within the time that retries are given.
    #[error(
        "no schema registry answered for {what} for {} ({attempts} attempts; the last one: {last}); check the address in \
         'schema.registry.url' or SCHEMA_REGISTRY_URL; `--wait` sets how long Sluicebox waits",
        sluicebox_core::waiting::in_words(*waited)
    )]
    Unavailable {
        /// What was asked for.
        what: String,
        /// Requests that were sent.
        attempts: u32,
        /// For how long it was asked.
        waited: Duration,
        /// What became of the last one.
        last: String,
    },
    /// The answer is not what the protocol says.
    #[error(
        "{registry} gave an answer for {what} that is no schema: {problem}; is this a Confluent-compatible registry?"
    )]
    Malformed {
        /// What was asked for.
        what: String,
        /// The registry.
        registry: String,
        /// What is wrong.
        problem: String,
    },
    /// A registry over TLS sends on to where there is none.
    #[error(
        "{registry} sends on to {to}, over plain http, where what is sent and what comes back can be read and changed on the way: it was \
         not followed. Write the URL that is meant in 'schema.registry.url'"
    )]
    SentDown {
        /// The registry.
        registry: String,
        /// Where it sends on to.
        to: String,
    },
    /// References run in a circle, or are too many.
    #[error("the references of {what} {problem}")]
    References {
        /// What was asked for.
        what: String,
        /// `run in a circle`, ...
        problem: String,
    },
    /// An option is wrong.
    #[error("option '{option}': {problem}{}", right.as_ref().map(|right| format!("; {right}")).unwrap_or_default())]
    Option {
        /// The option.
        option: String,
        /// What is wrong.
        problem: String,
        /// What to write instead, if what is wrong does not say it.
        right: Option<String>,
    },
    /// The files of the embedded registry cannot be read.
    #[error("the embedded registry failed: {source}")]
    Embedded {
        /// Why.
        source: Box<SchemaFileError>,
    },
}

/// Which subject may be meant.
fn other_subjects(like: &[String], total: usize, option: &str) -> String {
    if like.is_empty() {
        let of = match total {
            0 => "it has none".to_owned(),
            1 => "it has one other".to_owned(),
            n => format!("none of its {n} is like it"),
        };
        return format!(
            " ({of}): register the schema, name another subject with '{option}', or check that this is the registry its producer used"
        );
    }
    let like: Vec<String> = like.iter().map(|name| format!("'{name}'")).collect();
    format!(
        "; it knows {}: correct 'subscribe' if the topic is misspelt, else name the one to read with '{option}' = {}",
        like.join(", "),
        like[0]
    )
}

impl Blamed for RegistryError {
    fn blame(&self) -> Blame {
        match self {
            Self::Option { .. } | Self::NotAvro { .. } => Blame::User,
            Self::Embedded { source } => source.blame(),
            _ => Blame::Outside,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Unavailable { .. } => Retry::WithBackoff,
            _ => Retry::No,
        }
    }
}
