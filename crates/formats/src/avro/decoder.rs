//! The decoder of one source.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use arrow::datatypes::{DataType, Fields, SchemaRef};
use futures::future::try_join_all;
use sluicebox_core::bounded::Bounded;
use sluicebox_core::raw::RawEvents;
use sluicebox_core::told::beginning;
use sluicebox_durable::fault::{self, Effect, Phase, What};
use sluicebox_registry::schema::{AvroSchema, SchemaError};
use sluicebox_registry::{PinnedSchema, Registry, RegistryError, SchemaCache, SchemaKey, SchemaText};

use crate::avro::Probe;
use crate::avro::asking::{FETCHES, MOST_UNKNOWN, Unasked, count_keys, in_order};
use crate::avro::foreign::{self, Foreign};
use crate::avro::program::Program;
use crate::avro::reader::reader_parts;
use crate::avro::run::{ROW_BYTES, Run, Seen, Target};
use crate::class::ErrorClass;
use crate::column::width;
use crate::decoded::Decoded;
use crate::error::AvroError;
use crate::events::{Events, source_schema};
use crate::framing::unframe;
use crate::limits::Limits;

/// Schemas of writers that are kept ready, and bytes of their texts, of which what is kept takes several times as many. The cache has the
/// others.
const MOST_WRITERS: usize = 10_000;
const MOST_WRITERS_BYTES: usize = 64 << 20;

/// What a decoder needs to know of its source.
#[derive(Debug, Clone)]
pub struct DecoderOptions {
    /// The source's name in the pipeline, for messages.
    pub source: String,
    /// What one event may cost.
    pub limits: Limits,
    /// Whether `_headers` of source rows carries the headers; NULL else. Dead letters always carry them.
    pub include_headers: bool,
}

impl DecoderOptions {
    /// The options of `source`, with the limits that are the default.
    pub fn new(source: impl Into<String>) -> Self {
        Self { source: source.into(), limits: Limits::default(), include_headers: false }
    }
}

/// Decodes the events of one source. Shared by threads: each decodes other events.
#[derive(Debug)]
pub struct Decoder {
    options: DecoderOptions,
    pinned: PinnedSchema,
    reader: AvroSchema,
    schema: SchemaRef,
    value: Fields,
    /// Bytes that a row takes at least.
    row: usize,
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
    /// What foreign values looked like of which the user has been told.
    told: Mutex<BTreeSet<Foreign>>,
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

/// The writer schemas that a batch needs, as [`Decoder::prepare`] found them.
#[derive(Debug, Clone)]
pub struct Writers {
    by_key: HashMap<SchemaKey, Arc<Writer>>,
    probe: Arc<Probe>,
}

impl Writers {
    /// Decodes `events` into `run`, as far as its rows take less than `budget` bytes; how many of them. `last` is the schema that
    /// the event before named, with its place in the counts.
    fn decode_chunk<'w, 'e>(
        &'w self,
        events: &Events<'e>,
        run: &mut Run<'e>,
        last: &mut Option<(SchemaKey, &'w Writer, usize)>,
        budget: usize,
    ) -> Result<usize, AvroError> {
        let columns = |source| AvroError::Columns { partition: events.partition(), source };
        let mut taken = events.len();
        for row in 0..events.len() {
            if run.has(budget) {
                taken = row;
                break;
            }
            let Some(value) = events.value(row) else {
                run.tombstone();
                continue;
            };
            if let Some(large) = events.large(row) {
                run.large(row, unframe(value, events.schema_header(row)).ok().map(|framed| framed.key), large);
                continue;
            }
            let framed = match unframe(value, events.schema_header(row)) {
                Ok(framed) => framed,
                Err(error) => {
                    let foreign = foreign::look(value, events.is_of_apicurio(row), &self.probe);
                    run.foreign_letter(events, row, None, (error.class(), &error.to_string()), foreign);
                    continue;
                }
            };
            let (key, writer, slot) = match *last {
                Some(found) if found.0 == framed.key => found,
                _ => {
                    let writer = self.by_key.get(&framed.key).ok_or_else(|| AvroError::NotPrepared {
                        partition: format!("{} offset {}", events.partition(), events.offset(row)),
                        key: framed.key,
                    })?;
                    *last.insert((framed.key, &**writer, run.slot(framed.key, writer)))
                }
            };
            if let Writer::Refused { class: ErrorClass::UnknownSchemaId, message } = writer {
                let foreign = foreign::look(value, events.is_of_apicurio(row), &self.probe);
                run.unknown_schema(events, row, key, slot, message, foreign);
                continue;
            }
            run.event(events, row, key, writer, slot, framed.body).map_err(columns)?;
        }
        run.end_chunk(events).map_err(columns)?;
        Ok(taken)
    }
}

impl Decoder {
    /// The decoder of a source whose reader schema is `pinned`. Schemas of writers come from `cache`, else from
    /// `registry`, and are then kept in `cache`.
    ///
    /// # Errors
    /// When the reader schema cannot be parsed, is recursive, or has a field with the name of a metadata column.
    pub fn new(
        options: DecoderOptions,
        pinned: PinnedSchema,
        registry: Arc<dyn Registry>,
        cache: SchemaCache,
    ) -> Result<Self, AvroError> {
        let (reader, value, left_out) = reader_parts(&options.source, &pinned)?;
        let left_out: HashSet<String> = left_out.into_iter().map(|l| l.field).collect();
        let schema = source_schema(&value);
        let probe = Arc::new(Probe::new(&reader, &value, options.limits));
        let own = writer(&pinned.text, &reader, &pinned, &left_out);
        Ok(Self {
            options,
            pinned,
            reader,
            schema,
            row: width(&DataType::Struct(value.clone())) + ROW_BYTES,
            value,
            left_out,
            registry,
            cache,
            own,
            writers: RwLock::new(Bounded::new(MOST_WRITERS, MOST_WRITERS_BYTES)),
            unasked: Unasked::new(),
            probe,
            told: Mutex::default(),
        })
    }

    /// The schema of source rows: the value's columns, then `_topic`, `_partition`, `_offset`, `_timestamp`, `_key`,
    /// `_headers`, `_schema_id` (NULL for an event that names a GUID), then the hidden columns of provenance.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The reader schema.
    #[must_use]
    pub fn pinned(&self) -> &PinnedSchema {
        &self.pinned
    }

    /// Finds the writer schemas that `events` name: those seen before, those of the cache, and the rest from the
    /// registry, which is waited for. An id that the registry does not know is asked for again in the next batch. After
    /// [`MOST_UNKNOWN`] of those it is asked for no more in this one.
    ///
    /// # Errors
    /// When the registry refuses for another reason than that it does not know the schema, or the cache fails.
    pub async fn prepare(&self, events: &[RawEvents]) -> Result<Writers, AvroError> {
        let mut keys = HashMap::new();
        for raw in events {
            count_keys(&Events::new(raw, 0)?, &mut keys);
        }
        let mut found = Writers { by_key: HashMap::new(), probe: Arc::clone(&self.probe) };
        let mut missing = Vec::new();
        {
            let known = self.writers.read().unwrap_or_else(PoisonError::into_inner);
            for (key, count) in keys {
                let own = (key == SchemaKey::Id(self.pinned.id)).then_some(&self.own);
                match own.or_else(|| known.get(&key)) {
                    Some(writer) => drop(found.by_key.insert(key, Arc::clone(writer))),
                    None => missing.push((key, count)),
                }
            }
        }
        let mut new = Vec::new();
        for key in in_order(missing) {
            match self.cache.get(key)? {
                Some(text) => drop(found.by_key.insert(key, self.remember(key, self.writer(&text), text.bytes()))),
                None => new.push(key),
            }
        }
        let mut unknown = 0;
        // Whether one is asked for depends on the answers for those before it, and not on which of them came first.
        for turn in new.chunks(FETCHES) {
            let may_ask = unknown < MOST_UNKNOWN;
            let answers = try_join_all(turn.iter().map(|key| self.ask(*key, may_ask))).await?;
            for (key, (writer, is_unknown)) in turn.iter().zip(answers) {
                unknown += usize::from(is_unknown);
                found.by_key.insert(*key, writer);
            }
        }
        Ok(found)
    }

    /// Bytes that a row takes at least, whatever its event is.
    #[must_use]
    pub fn least_row(&self) -> usize {
        self.row
    }

    /// Decodes events of a batch, in their order; `parts[i]` is the number of the partition of `raw[i]` in the batch. CPU work
    /// only; threads may share the decoder.
    ///
    /// # Errors
    /// When `writers` was not prepared from these events, or on a mistake in the decoder itself: no event fails a batch.
    pub fn decode(&self, writers: &Writers, raw: &[RawEvents], parts: &[i32]) -> Result<Decoded, AvroError> {
        self.decode_within(writers, raw, parts, usize::MAX)
    }

    /// As [`Decoder::decode`], until rows take `budget` bytes: [`Decoded::taken`] says how many events that are. It is one at least,
    /// and the last one may pass the budget.
    ///
    /// # Errors
    /// As there.
    pub fn decode_within(
        &self,
        writers: &Writers,
        raw: &[RawEvents],
        parts: &[i32],
        budget: usize,
    ) -> Result<Decoded, AvroError> {
        let events = |(raw, part): (_, &i32)| Events::new(raw, *part);
        let chunks = raw.iter().zip(parts).map(events).collect::<Result<Vec<_>, _>>()?;
        // A batch that cannot be made is told by the first partition that may be in it.
        let columns = |source| {
            let partition = chunks.first().map(Events::partition).unwrap_or_default();
            AvroError::Columns { partition, source }
        };
        let target = Target {
            value: &self.value,
            schema: &self.schema,
            limits: &self.options.limits,
            include_headers: self.options.include_headers,
        };
        let mut run = Run::new(target, &chunks).map_err(columns)?;
        let (mut last, mut taken) = (None, 0);
        for events in &chunks {
            let here = writers.decode_chunk(events, &mut run, &mut last, budget.max(1))?;
            taken += here;
            if here < events.len() {
                break;
            }
        }
        self.tell(run.foreign());
        run.finish(taken).map_err(columns)
    }

    /// Tells the user, once for each, what events look like that something else wrote.
    fn tell(&self, seen: &BTreeMap<Foreign, Seen>) {
        if seen.is_empty() {
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for (foreign, Seen { count, first }) in seen {
            if told.insert(*foreign) {
                let source = &self.options.source;
                let letters = match count {
                    1 => format!("a dead letter, {first}"),
                    n => format!("{n} dead letters that look alike, the first {first}"),
                };
                tracing::warn!("source {source}: {letters}: {}", foreign.hint());
            }
        }
    }

    /// The writer of `key`, of the registry, if that has an answer or `may_ask`; and whether it was asked and does not know it.
    async fn ask(&self, key: SchemaKey, may_ask: bool) -> Result<(Arc<Writer>, bool), AvroError> {
        let has_answer = self.registry.has_answer(key);
        if !has_answer && !may_ask {
            return Ok((self.unasked.one_of(&self.options.source), false));
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
                    self.options.source
                );
                Ok((self.remember(key, refused(ErrorClass::UnsupportedSchema, &error), 0), false))
            }
            Err(error) => Err(error.into()),
        }
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
