//! The decoder of Avro: it finds the schemas that a batch's events name, and fetches them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use arrow::datatypes::{FieldRef, Fields};
use async_trait::async_trait;
use futures::future::try_join_all;
use sluicebox_core::bounded::Bounded;
use sluicebox_core::raw::RawEvents;
use sluicebox_core::told::beginning;
use sluicebox_durable::fault::{self, Effect, Phase, What};
use sluicebox_registry::schema::{AvroSchema, SchemaError};
use sluicebox_registry::{PinnedSchema, Registry, RegistryError, SchemaCache, SchemaKey, SchemaText};

use crate::avro::Probe;
use crate::avro::asking::{FETCHES, MOST_UNKNOWN, Unasked, count_keys, in_order, of_value};
use crate::avro::program::Program;
use crate::avro::reader::{key_field, reader_parts};
use crate::avro::writers::{Told, Writers};
use crate::class::ErrorClass;
use crate::decoder::{Decoder, Prepared};
use crate::error::FormatError;
use crate::events::Events;
use crate::limits::Limits;
use crate::pin::SourcePin;
use crate::source::{DecoderOptions, SourceDecoder};

/// Schemas of writers that are kept ready, and bytes of their texts, of which what is kept takes several times as many. The cache has the
/// others.
const MOST_WRITERS: usize = 10_000;
const MOST_WRITERS_BYTES: usize = 64 << 20;

/// The decoder of a source of Avro, whose reader schema is `pinned`; see [`AvroDecoder::new`].
///
/// # Errors
/// As there.
pub fn decoder(
    options: &DecoderOptions,
    pinned: PinnedSchema,
    registry: Arc<dyn Registry>,
    cache: SchemaCache,
) -> Result<SourceDecoder, FormatError> {
    SourceDecoder::new(options, AvroDecoder::new(options, pinned, registry, cache)?)
}

/// Decodes values of Avro.
#[derive(Debug)]
pub struct AvroDecoder {
    source: Arc<Told>,
    limits: Limits,
    pinned: PinnedSchema,
    reader: AvroSchema,
    value: Fields,
    /// The reader's fields that have no column.
    left_out: HashSet<String>,
    registry: Arc<dyn Registry>,
    cache: SchemaCache,
    /// The pinned schema as a writer's, which most events name.
    own: Arc<Writer>,
    /// Schemas that events have named and the registry knows: they are immutable.
    writers: RwLock<Bounded<SchemaKey, Arc<Writer>>>,
    unasked: Unasked,
    probe: Arc<Probe>,
}

/// What events of one writer's schema become.
#[derive(Debug)]
pub(super) enum Writer {
    Decoded(Program),
    /// All are dead letters of this class.
    Refused {
        class: ErrorClass,
        message: String,
    },
}

impl AvroDecoder {
    /// The decoder of the source of `options`, whose reader schema is `pinned`. Schemas of writers come from `cache`, else from
    /// `registry`, and are then kept in `cache`.
    ///
    /// # Errors
    /// When the reader schema cannot be parsed, is recursive, or has a field with the name of a metadata column.
    pub fn new(
        options: &DecoderOptions,
        pinned: PinnedSchema,
        registry: Arc<dyn Registry>,
        cache: SchemaCache,
    ) -> Result<Self, FormatError> {
        let (reader, value, left_out) = reader_parts(&options.source, &pinned)?;
        let left_out: HashSet<String> = left_out.into_iter().map(|l| l.field).collect();
        let probe = Arc::new(Probe::new(&reader, &value, options.limits));
        let own = writer(&pinned.text, &reader, &pinned, &left_out);
        Ok(Self {
            source: Arc::new(Told::of(&options.source)),
            limits: options.limits,
            pinned,
            reader,
            value,
            left_out,
            registry,
            cache,
            own,
            writers: RwLock::new(Bounded::new(MOST_WRITERS, MOST_WRITERS_BYTES)),
            unasked: Unasked::new(),
            probe,
        })
    }

    /// The writer of `key`, of the registry, if that has an answer or `may_ask`; and whether it was asked and does not know it.
    async fn ask(&self, key: SchemaKey, may_ask: bool) -> Result<(Arc<Writer>, bool), FormatError> {
        let has_answer = self.registry.has_answer(key);
        if !has_answer && !may_ask {
            return Ok((self.unasked.one_of(self.source.name()), false));
        }
        fault::reach(What::Registry, Effect::Call, Phase::Before);
        let found = self.registry.by_key(key).await;
        fault::reach(What::Registry, Effect::Call, Phase::After);
        match found {
            Ok(text) => {
                // What does not parse is not kept for ever: the registry may have been wrong, and may say better tomorrow.
                if AvroSchema::parse(&text).is_ok() {
                    self.cache.put(key, &text)?;
                }
                Ok((self.remember(key, self.writer(&text), text.bytes()), false))
            }
            Err(error @ RegistryError::NotFound { .. }) => {
                Ok((refused(ErrorClass::UnknownSchemaId, &error), !has_answer))
            }
            Err(error @ (RegistryError::NotAvro { .. } | RegistryError::References { .. })) => {
                tracing::warn!(
                    "source {}: the events of schema {key} become dead letters: {error}",
                    self.source.name()
                );
                Ok((self.remember(key, refused(ErrorClass::UnsupportedSchema, &error), 0), false))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Finds the writer schemas `keys`, each of which so many events name: those seen before, those of the cache, and the rest from the
    /// registry, which is waited for. An id that the registry does not know is asked for again in the next batch. After
    /// [`MOST_UNKNOWN`] of those it is asked for no more in this one.
    pub(super) async fn find(&self, keys: HashMap<SchemaKey, u64>) -> Result<Writers, FormatError> {
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        {
            let known = self.writers.read().unwrap_or_else(PoisonError::into_inner);
            for (key, count) in keys {
                let own = (key == SchemaKey::Id(self.pinned.id)).then_some(&self.own);
                match own.or_else(|| known.get(&key)) {
                    Some(writer) => drop(found.insert(key, Arc::clone(writer))),
                    None => missing.push((key, count)),
                }
            }
        }
        let mut new = Vec::new();
        for key in in_order(missing) {
            match self.cache.get(key)? {
                Some(text) => drop(found.insert(key, self.remember(key, self.writer(&text), text.bytes()))),
                None => new.push(key),
            }
        }
        let mut unknown = 0;
        // Whether one is asked for depends on the answers for those before it, and not on which of them came first.
        for turn in new.chunks(FETCHES) {
            let may_ask = unknown < MOST_UNKNOWN;
            let answers = try_join_all(turn.iter().copied().map(|key| self.ask(key, may_ask))).await?;
            for (key, (writer, is_unknown)) in turn.iter().zip(answers) {
                unknown += usize::from(is_unknown);
                found.insert(*key, writer);
            }
        }
        let (probe, source) = (Arc::clone(&self.probe), Arc::clone(&self.source));
        Ok(Writers { by_key: found, limits: self.limits, probe, source })
    }

    /// The reader schema that it was made with.
    pub(super) fn pinned(&self) -> &PinnedSchema {
        &self.pinned
    }

    /// The column that keys become which it decodes.
    pub(super) fn key_field(&self) -> FieldRef {
        key_field(&self.reader, &self.value)
    }

    fn writer(&self, text: &SchemaText) -> Arc<Writer> {
        writer(text, &self.reader, &self.pinned, &self.left_out)
    }

    /// Keeps `writer`, of a schema of `bytes`; what was first kept of `key` stays.
    fn remember(&self, key: SchemaKey, writer: Arc<Writer>, bytes: usize) -> Arc<Writer> {
        let mut writers = self.writers.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(writers.get_or_insert(key, writer, bytes))
    }
}

#[async_trait]
impl Decoder for AvroDecoder {
    fn columns(&self) -> &Fields {
        &self.value
    }

    fn pin(&self) -> SourcePin {
        SourcePin::avro(self.pinned.clone())
    }

    async fn prepare(&self, events: &[RawEvents]) -> Result<Arc<dyn Prepared>, FormatError> {
        let mut keys = HashMap::new();
        for raw in events {
            let events = Events::new(raw, 0)?;
            count_keys(events.len(), |row| of_value(&events, row), &mut keys);
        }
        Ok(Arc::new(self.find(keys).await?))
    }
}

/// What events of the schema `text` become, read as `reader`, which is `pinned` without the fields `left_out`.
fn writer(text: &SchemaText, reader: &AvroSchema, pinned: &PinnedSchema, left_out: &HashSet<String>) -> Arc<Writer> {
    let program = AvroSchema::parse(text)
        .map_err(|e: SchemaError| refused(ErrorClass::UnsupportedSchema, &format!("the writer's schema: {e}")))
        .and_then(|writer| {
            Program::compile(Arc::new(writer), reader).map_err(|e| {
                let (subject, version) = (&pinned.subject, pinned.version);
                let message = format!("the writer's schema does not resolve to {subject} version {version}: {e}");
                refused(ErrorClass::Unresolvable, &message)
            })
        });
    let decoded = |mut program: Program| {
        // Of these the reader knows; that they have no column was told when it was planned.
        program.ignored.retain(|path| !left_out.contains(path));
        Arc::new(Writer::Decoded(program))
    };
    program.map_or_else(|refused| refused, decoded)
}

fn refused(class: ErrorClass, message: &impl ToString) -> Arc<Writer> {
    Arc::new(Writer::Refused { class, message: beginning(message.to_string()) })
}
