//! Decodes events by the writer schemas that they name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use sluicebox_registry::SchemaKey;

use crate::avro::Probe;
use crate::avro::decoder::Writer;
use crate::avro::foreign::{self, Foreign};
use crate::avro::walk;
use crate::class::ErrorClass;
use crate::column::Column;
use crate::decoded::SchemaUse;
use crate::decoder::Prepared;
use crate::error::FormatError;
use crate::event_decoder::{EventDecoder, Refused, Row};
use crate::events::Event;
use crate::framing::unframe;
use crate::limits::Limits;
use crate::run::Run;

/// The writer schemas that a batch needs.
#[derive(Debug)]
pub(crate) struct Writers {
    pub(super) by_key: HashMap<SchemaKey, Arc<Writer>>,
    pub(super) limits: Limits,
    pub(super) probe: Arc<Probe>,
    pub(super) source: Arc<Told>,
}

impl Prepared for Writers {
    fn decode(&self, run: &mut Run<'_>) -> Result<(), FormatError> {
        let mut reading =
            Reading { writers: self, last: None, uses: Vec::new(), slots: HashMap::new(), foreign: BTreeMap::new() };
        run.each(&mut reading)?;
        self.source.tell(&reading.foreign);
        run.named(reading.uses);
        Ok(())
    }
}

/// What is known of the events of a run so far.
struct Reading<'w> {
    writers: &'w Writers,
    /// The schema that the event before named, with its place in the counts.
    last: Option<(SchemaKey, &'w Writer, usize)>,
    uses: Vec<SchemaUse>,
    /// Where each schema is in `uses`.
    slots: HashMap<SchemaKey, usize>,
    foreign: BTreeMap<Foreign, Seen>,
}

impl EventDecoder for Reading<'_> {
    #[inline]
    fn decode(&mut self, event: Event<'_>, columns: &mut Column) -> Result<Row, Refused> {
        let framed = match unframe(event.value, event.schema_header()) {
            Ok(framed) => framed,
            Err(error) => return Err(self.foreign(event, None, error.class(), &error.to_string())),
        };
        let (key, writer, slot) = match self.last {
            Some(found) if found.0 == framed.key => found,
            _ => self.find(event, framed.key)?,
        };
        let schema_id = id_of(key);
        let program = match writer {
            Writer::Decoded(program) => program,
            Writer::Refused { class, message } => {
                self.uses[slot].dead_letters += 1;
                return Err(match class {
                    ErrorClass::UnknownSchemaId => self.foreign(event, schema_id, *class, message),
                    class => Refused::event(schema_id, *class, message.clone()),
                });
            }
        };
        match walk::decode(program, framed.body, columns, &self.writers.limits) {
            Ok(values) => {
                self.uses[slot].rows += 1;
                Ok(Row { schema_id, bytes: framed.body.len(), values })
            }
            Err(fault) => {
                self.uses[slot].dead_letters += 1;
                Err(Refused::fault(schema_id, &fault))
            }
        }
    }

    fn schema_id(&self, event: Event<'_>) -> Option<i32> {
        unframe(event.value, event.schema_header()).ok().and_then(|framed| id_of(framed.key))
    }
}

impl<'w> Reading<'w> {
    /// The writer of `key`, which `event` names, and its place in the counts.
    fn find(&mut self, event: Event<'_>, key: SchemaKey) -> Result<(SchemaKey, &'w Writer, usize), Refused> {
        let writers: &'w Writers = self.writers;
        let Some(writer) = writers.by_key.get(&key) else {
            let partition = format!("{} offset {}", event.partition(), event.offset());
            return Err(Refused::Run(Box::new(FormatError::NotPrepared { partition, key })));
        };
        let uses = &mut self.uses;
        let slot = *self.slots.entry(key).or_insert_with(|| {
            let ignored_fields = match &**writer {
                Writer::Decoded(program) => program.ignored.clone(),
                Writer::Refused { .. } => Vec::new(),
            };
            uses.push(SchemaUse { key, rows: 0, dead_letters: 0, ignored_fields });
            uses.len() - 1
        });
        Ok(*self.last.insert((key, &**writer, slot)))
    }

    /// That `event`, which may look like something else, is a dead letter of `class`: that is wrong with it which `problem` says.
    #[cold]
    fn foreign(&mut self, event: Event<'_>, schema_id: Option<i32>, class: ErrorClass, problem: &str) -> Refused {
        let Some(foreign) = foreign::look(event.value, event.is_of_apicurio(), &self.writers.probe) else {
            return Refused::event(schema_id, class, problem.to_owned());
        };
        let first = || format!("{} at offset {}", event.partition(), event.offset());
        self.foreign.entry(foreign).or_insert_with(|| Seen { count: 0, first: first() }).count += 1;
        Refused::event(schema_id, class, format!("{problem}; {}", foreign.hint()))
    }
}

/// Dead letters that look alike.
#[derive(Debug)]
struct Seen {
    /// How many.
    count: u64,
    /// The partition and offset of the first.
    first: String,
}

/// What the user of a source has been told.
#[derive(Debug)]
pub(super) struct Told {
    source: String,
    /// What foreign values looked like.
    foreign: Mutex<BTreeSet<Foreign>>,
}

impl Told {
    /// Nothing yet, of `source`.
    pub(super) fn of(source: &str) -> Self {
        Self { source: source.to_owned(), foreign: Mutex::default() }
    }

    /// The source's name in the pipeline.
    pub(super) fn name(&self) -> &str {
        &self.source
    }

    /// Tells the user, once for each, what events look like that something else wrote.
    fn tell(&self, seen: &BTreeMap<Foreign, Seen>) {
        if seen.is_empty() {
            return;
        }
        let mut told = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
        for (foreign, Seen { count, first }) in seen {
            if told.insert(*foreign) {
                let source = &self.source;
                let letters = match count {
                    1 => format!("a dead letter, {first}"),
                    n => format!("{n} dead letters that look alike, the first {first}"),
                };
                tracing::warn!("source {source}: {letters}: {}", foreign.hint());
            }
        }
    }
}

fn id_of(key: SchemaKey) -> Option<i32> {
    match key {
        SchemaKey::Id(id) => Some(id),
        SchemaKey::Guid(_) => None,
    }
}
