//! A Kafka topic as a sink: the rows of a batch and its number, in one transaction.
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
//! one commits any more, so the marker that is read then is the last word. See decision 27.
//!
//! **A crash** in a transaction leaves one that Kafka aborts: at the next `open`, or after `transaction.timeout.ms`. Readers with
//! `isolation.level` = `read_committed` see none of its events, and until then nothing behind them.

mod config;
mod encode;
mod marker;
mod session;
mod trouble;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use sluicebox_core::secret::Pieces;
use sluicebox_core::{Blamed, Certainty, Retry};
use sluicebox_registry::{Registry, RegistryError};

use self::encode::Encoding;
use self::session::Session;
use crate::error::{RemoteError, Result};
use crate::outbox::Outbox;
use crate::output::Staged;
use crate::owner::Owner;
use crate::publish::Check;
use crate::sink::{Rows, Sink};
use crate::staged::BatchKey;

pub use self::encode::avro_schema;

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

/// What happens to a batch of which Kafka no longer tells whether it is in the topic.
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
    /// The brokers, `host:port,...`.
    pub brokers: String,
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
    /// What happens to a batch that Kafka has forgotten.
    pub unknown: Unknown,
}

/// Shows everything but the values of properties, which may be secret.
impl std::fmt::Debug for KafkaSinkOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSinkOptions")
            .field("table", &self.table)
            .field("brokers", &self.brokers)
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
    /// The producer that was opened last; none after an error.
    session: Arc<Mutex<Option<Session>>>,
}

impl KafkaSink {
    /// The sink of a table with these `columns`, whose rows wait in `outbox`. Nothing is asked or opened.
    ///
    /// # Errors
    /// When a column is missing, or its type has no form in the format; or the Kafka client does not take a property.
    pub fn try_new(options: KafkaSinkOptions, columns: SchemaRef, outbox: Outbox) -> Result<Self> {
        let encoding = Encoding::try_new(&options, &columns)?;
        config::check(&options)?;
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
        format!("the Kafka topic {}", self.options.topic)
    }

    async fn open(&self, owner: &Owner, epoch: u64) -> Result<()> {
        let doing = format!("open {}", self.identity());
        let schema_id = self.register(&doing).await?;
        let (options, held, owner) = (Arc::clone(&self.options), Arc::clone(&self.session), owner.clone());
        let (encoding, outbox) = (self.encoding.clone(), self.outbox.clone());
        blocking(&doing, move || {
            let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
            // The one before would be fenced, and its open transaction is to be over.
            *held = None;
            let is_first = outbox.is_empty()?;
            *held = Some(Session::open(&options, encoding.of_schema(schema_id)?, &owner, epoch, is_first)?);
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
