//! A topic as a sink, of Kafka or of the embedded log: the rows of a batch and its number, in one transaction.
//!
//! ```text
//!  open      transactions of earlier runs are ended, and these runs fenced; then the marker is read
//!  stage     an Arrow file in the outbox                                              (before the commit)
//!  publish   begin ─> an event a row ─> the marker ─> commit                          (after it)
//! ```
//!
//! The **marker** is the offset of a consumer group that nobody else uses, `sluicebox-<query>-<generation>-<table>`, at partition 0
//! of the topic: the number of the newest batch, plus one. Kafka writes it in the transaction of the rows, so that both are there or
//! neither. The order of `open` is what makes this enough: after a producer of the same transactional id has initialised, no earlier
//! one commits any more, so the marker that is read then is the last word. See decision 27. In the embedded log the marker is the note of the
//! mark that ends a transaction: decision 31.
//!
//! **A crash** in a transaction leaves one that Kafka aborts: at the next `open`, or after `transaction.timeout.ms`. Readers with
//! `isolation.level` = `read_committed` see none of its events, and until then nothing behind them. In the embedded log the next append cuts
//! it off.

mod config;
mod encode;
mod log;
mod marker;
mod session;
mod trouble;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use sluicebox_core::provenance::BATCH_HEADER;
use sluicebox_core::secret::Pieces;
use sluicebox_core::{Blamed, Certainty, Clock, Retry};
use sluicebox_registry::{Registry, RegistryError};
use sluicebox_sources::EmbeddedLog;

use self::encode::Encoding;
use self::log::LogSession;
use self::session::Session;
use crate::error::{RemoteError, Result};
use crate::outbox::Outbox;
use crate::output::{Staged, StagedRows};
use crate::owner::Owner;
use crate::publish::Check;
use crate::sink::{Rows, Sink};
use crate::staged::BatchKey;

pub use self::encode::avro_schema;

/// Where a topic is.
#[derive(Debug, Clone)]
pub enum Place {
    /// In Kafka, by its brokers, `host:port,...`.
    Brokers(String),
    /// In the embedded log, where there is no broker.
    Log {
        /// The log's folder.
        root: PathBuf,
        /// What tells the time of events.
        clock: Arc<dyn Clock>,
    },
}

/// How rows become values of events.
#[derive(Debug, Clone)]
pub enum EventFormat {
    /// An object of JSON with a field for each column.
    Json,
    /// Avro in Confluent's framing.
    Avro {
        /// The subject under which the table's schema is registered.
        subject: String,
        /// Where.
        registry: Arc<dyn Registry>,
    },
}

/// What happens to a batch of which a topic no longer tells whether it is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unknown {
    /// The run stops.
    #[default]
    Stop,
    /// It is published: maybe once more.
    Publish,
    /// It is taken for published.
    Skip,
}

/// What a [`KafkaSink`] is made of.
#[derive(Clone)]
pub struct KafkaSinkOptions {
    /// The table.
    pub table: String,
    /// Where the topic is.
    pub place: Place,
    /// The topic.
    pub topic: String,
    /// Properties of the Kafka client, without a prefix; not printed.
    pub properties: BTreeMap<String, String>,
    /// What of them is to be hidden in what the client says.
    pub secrets: Pieces,
    /// How rows are encoded.
    pub format: EventFormat,
    /// The columns that make the key of an event; none for events without key.
    pub key_columns: Vec<String>,
    /// The columns that are headers too.
    pub header_columns: Vec<String>,
    /// What happens to a batch that the topic has forgotten.
    pub unknown: Unknown,
}

impl KafkaSinkOptions {
    /// The topic, for commits and people.
    fn described(&self) -> String {
        match &self.place {
            Place::Brokers(_) => format!("the Kafka topic {}", self.topic),
            Place::Log { .. } => format!("the topic {} of the embedded log", self.topic),
        }
    }
}

/// An opened topic. After any error it is dropped, and another one opened.
trait Opened: Send + Debug {
    /// The newest batch in the topic.
    fn newest(&self) -> Option<u64>;

    /// Publishes a batch, unless it is there; blocking.
    ///
    /// # Errors
    /// When it cannot be, or nobody knows whether it was.
    fn publish(&mut self, doing: &str, batch: u64, staged: &StagedRows, outbox: &Outbox) -> Result<()>;
}

/// The name under which a table makes its transactions: that of the group and of the transactional id.
fn name_of(owner: &Owner) -> String {
    format!("sluicebox-{}-{}-{}", owner.query_id, owner.generation, owner.table)
}

/// The error of a batch, `id` in the header of its events, of which nobody knows whether it is in the topic.
fn forgotten(options: &KafkaSinkOptions, batch: u64, id: &str, gone: &str) -> RemoteError {
    RemoteError::Forgotten {
        sink: options.described(),
        batch,
        why: format!(
            "{gone}. Look whether events of the topic have the header {BATCH_HEADER} = {id}; then set 'unknown.batch' of the table to \
             'skip' if they have, to 'publish' if not, and run again"
        ),
    }
}

/// Shows everything but the values of properties, which may be secret.
impl std::fmt::Debug for KafkaSinkOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSinkOptions")
            .field("table", &self.table)
            .field("place", &self.place)
            .field("topic", &self.topic)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .field("format", &self.format)
            .field("key_columns", &self.key_columns)
            .field("header_columns", &self.header_columns)
            .field("unknown", &self.unknown)
            .finish_non_exhaustive()
    }
}

/// A sink that appends the rows of a table to a topic.
#[derive(Debug)]
pub struct KafkaSink {
    options: Arc<KafkaSinkOptions>,
    columns: SchemaRef,
    encoding: Encoding,
    outbox: Outbox,
    /// The topic as it was opened last; none after an error.
    session: Arc<Mutex<Option<Box<dyn Opened>>>>,
}

impl KafkaSink {
    /// The sink of a table with these `columns`, whose rows wait in `outbox`. Nothing is asked or opened.
    ///
    /// # Errors
    /// When a column is missing, or its type has no form in the format; or the Kafka client does not take a property.
    pub fn try_new(options: KafkaSinkOptions, columns: SchemaRef, outbox: Outbox) -> Result<Self> {
        let encoding = Encoding::try_new(&options, &columns)?;
        if let Place::Brokers(_) = options.place {
            config::check(&options)?;
        }
        Ok(Self { options: Arc::new(options), columns, encoding, outbox, session: Arc::default() })
    }

    /// The id under which the registry has the schema of the values, if they have one.
    async fn register(&self, doing: &str) -> Result<Option<i32>, RemoteError> {
        let EventFormat::Avro { subject, registry } = &self.options.format else { return Ok(None) };
        let schema = self.encoding.schema().unwrap_or_default();
        registry.register_schema(subject, schema).await.map(Some).map_err(|error| of_registry(doing, &error))
    }
}

/// A registry that does not answer is waited for as a broker is.
fn of_registry(doing: &str, error: &RegistryError) -> RemoteError {
    match error.retry() {
        Retry::WithBackoff => RemoteError::away(doing, error.to_string()),
        Retry::No => RemoteError::Refused {
            doing: doing.to_owned(),
            why: error.to_string(),
            certainty: Certainty::NotDone,
            blame: error.blame(),
        },
    }
}

/// Runs `work`, which waits for brokers, on a thread of its own.
async fn blocking<T: Send + 'static>(doing: &str, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(RemoteError::unknown(doing, error.to_string()).into()),
    }
}

#[async_trait]
impl Sink for KafkaSink {
    fn identity(&self) -> String {
        self.options.described()
    }

    async fn open(&self, owner: &Owner, epoch: u64) -> Result<()> {
        let doing = format!("open {}", self.identity());
        let schema_id = self.register(&doing).await?;
        let (options, held, owner) = (Arc::clone(&self.options), Arc::clone(&self.session), owner.clone());
        let (encoding, outbox, about) = (self.encoding.clone(), self.outbox.clone(), doing.clone());
        blocking(&doing, move || {
            let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
            // The one before would be fenced, and its open transaction is to be over.
            *held = None;
            let is_first = outbox.is_empty()?;
            let encoder = encoding.of_schema(schema_id)?;
            let session: Box<dyn Opened> = match &options.place {
                Place::Brokers(_) => Box::new(Session::open(&options, encoder, &owner, epoch, is_first)?),
                Place::Log { root, clock } => {
                    let opened = EmbeddedLog::open(root, Arc::clone(clock));
                    let embedded = opened.map_err(|error| log::trouble(&about, error))?;
                    Box::new(LogSession::open(&embedded, &options, encoder, &owner, epoch, is_first)?)
                }
            };
            *held = Some(session);
            Ok(())
        })
        .await
    }

    fn stage(&self, batch: &BatchKey<'_>, rows: Rows<'_>) -> Result<Option<Staged>> {
        let staged = self.outbox.stage(&self.identity(), batch, &self.columns, rows)?;
        Ok(staged.map(Staged::Rows))
    }

    async fn publish(&self, batch: &BatchKey<'_>, staged: &Staged, _check: Check) -> Result<()> {
        let staged = staged.rows_for(&self.identity())?.clone();
        let doing = format!("publish batch {} to {}", batch.batch_id, self.identity());
        let (batch_id, held, outbox) = (batch.batch_id, Arc::clone(&self.session), self.outbox.clone());
        let about = doing.clone();
        blocking(&doing, move || {
            let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
            // After an error it is opened anew, which settles what was left undecided.
            let mut session = held.take().ok_or_else(|| RemoteError::away(&about, "it is not open"))?;
            session.publish(&about, batch_id, &staged, &outbox)?;
            *held = Some(session);
            outbox.forget(&staged)
        })
        .await
    }

    async fn published(&self) -> Result<Option<u64>> {
        let held = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        match held.as_ref() {
            Some(session) => Ok(session.newest()),
            None => Err(RemoteError::away(format!("ask {}", self.identity()), "it is not open").into()),
        }
    }

    fn sweep(&self, epoch: u64) -> Result<()> {
        self.outbox.sweep(epoch)
    }
}
