//! Events under way: chunk after chunk of them becomes rows, in batches that follow neither the chunks nor their partitions.
//!
//! The chunks of a source are small, for they are what its memory is counted in, and many partitions have few events each.
//! Rows are put into larger batches, so that what comes after works on many at once, and the tables' writers find the rows
//! of a file side by side.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::{concat, concat_batches};
use arrow::datatypes::{DataType, Fields, Int32Type, SchemaRef};
use arrow::error::ArrowError;
use sluicebox_core::raw::{LONGEST_EVENT, Large, MOST_HEADERS};
use sluicebox_registry::SchemaKey;

use crate::avro::decoder::Writer;
use crate::avro::foreign::Foreign;
use crate::avro::walk;
use crate::class::ErrorClass;
use crate::column::{Column, Room, Values, finish_struct, width};
use crate::decoded::{Decoded, SchemaUse};
use crate::events::{Events, METADATA, Place, source_rows};
use crate::letters::{DeadLetter, dead_letter_schema};
use crate::limits::{Limits, WORTH};
use crate::portions::BATCH_ROWS;

/// A batch ends early when its rows take so many bytes, and no more are set aside for it.
const BATCH_BYTES: usize = 64 << 20;

/// What a row takes beside the value's columns and the name of its topic.
pub(super) const ROW_BYTES: usize = 48;
/// What is guessed of a value that is charged for; and how many bytes are guessed at most before the columns are measured.
const VALUE_BYTES: usize = WORTH;
const MOST_GUESSED: usize = 1 << 20;

/// What rows are decoded into.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    /// The columns of the value.
    pub value: &'a Fields,
    /// Those of a row.
    pub schema: &'a SchemaRef,
    pub limits: &'a Limits,
    pub include_headers: bool,
}

/// Events under way.
pub(super) struct Run<'a> {
    target: Target<'a>,
    data_type: DataType,
    /// A struct of the value's columns, and how many rows are in it.
    root: Column,
    count: usize,
    /// The ids that these rows name.
    ids: Values<i32>,
    /// Their metadata and places, of so many in turn: of chunks that ended. And the rows of the one that is read.
    metadata: Vec<[ArrayRef; METADATA]>,
    places: Vec<(Place<'a>, usize)>,
    rows: Vec<usize>,
    bytes: Bytes,
    batches: Vec<RecordBatch>,
    /// Dead letters of the chunk that is read, and of those before.
    letters: Vec<DeadLetter>,
    dead_letters: Vec<RecordBatch>,
    by_class: BTreeMap<ErrorClass, u64>,
    tombstones: u64,
    uses: Vec<SchemaUse>,
    /// Where each schema is in `uses`.
    slots: HashMap<SchemaKey, usize>,
    foreign: BTreeMap<Foreign, Seen>,
}

/// What rows take in memory.
struct Bytes {
    /// A row, at least.
    row: usize,
    /// The batches that were made.
    made: usize,
    /// The rows since, as they were last measured, and of these what stands beside the value's columns.
    held: usize,
    beside: usize,
    /// What the rows since then are guessed to have added.
    guessed: usize,
}

/// Dead letters that look alike.
#[derive(Debug)]
pub(super) struct Seen {
    /// How many.
    pub(super) count: u64,
    /// The partition and offset of the first.
    pub(super) first: String,
}

impl<'a> Run<'a> {
    /// The beginning of a run over `chunks`.
    pub(super) fn new(target: Target<'a>, chunks: &[Events<'a>]) -> Result<Self, ArrowError> {
        let data_type = DataType::Struct(target.value.clone());
        let rows = chunks.iter().map(Events::len).sum::<usize>().min(BATCH_ROWS);
        Ok(Self {
            target,
            root: Column::new(&data_type, Room::of(&data_type, rows, BATCH_BYTES))?,
            bytes: Bytes { row: width(&data_type) + ROW_BYTES, made: 0, held: 0, beside: 0, guessed: 0 },
            data_type,
            count: 0,
            ids: Values::new(rows),
            metadata: Vec::with_capacity(chunks.len()),
            places: Vec::with_capacity(chunks.len()),
            rows: Vec::with_capacity(chunks.first().map_or(0, Events::len)),
            batches: Vec::new(),
            letters: Vec::new(),
            dead_letters: Vec::new(),
            by_class: BTreeMap::new(),
            tombstones: 0,
            uses: Vec::new(),
            slots: HashMap::new(),
            foreign: BTreeMap::new(),
        })
    }

    /// The place of `key` in the counts.
    pub(super) fn slot(&mut self, key: SchemaKey, writer: &Writer) -> usize {
        let uses = &mut self.uses;
        *self.slots.entry(key).or_insert_with(|| {
            let ignored_fields = match writer {
                Writer::Decoded(program) => program.ignored.clone(),
                Writer::Refused { .. } => Vec::new(),
            };
            uses.push(SchemaUse { key, rows: 0, dead_letters: 0, ignored_fields });
            uses.len() - 1
        })
    }

    /// Counts an event without a value.
    pub(super) fn tombstone(&mut self) {
        self.tombstones += 1;
    }

    /// Notes that the event at `row` of the chunk that is read cannot become a row.
    pub(super) fn dead_letter(&mut self, row: usize, schema_id: Option<i32>, class: ErrorClass, message: String) {
        *self.by_class.entry(class).or_default() += 1;
        self.letters.push(DeadLetter { row, schema_id, class, message });
    }

    /// [`Run::dead_letter`] of an event that looks like `foreign`; `why` is its class, and what is wrong with it.
    pub(super) fn foreign_letter(
        &mut self,
        events: &Events<'a>,
        row: usize,
        schema_id: Option<i32>,
        (class, problem): (ErrorClass, &str),
        foreign: Option<Foreign>,
    ) {
        let message = match foreign {
            Some(foreign) => {
                let first = || format!("{} at offset {}", events.partition(), events.offset(row));
                self.foreign.entry(foreign).or_insert_with(|| Seen { count: 0, first: first() }).count += 1;
                format!("{problem}; {}", foreign.hint())
            }
            None => problem.to_owned(),
        };
        self.dead_letter(row, schema_id, class, message);
    }

    /// Notes that nobody knows the schema `key` of the event at `row`, which may look like `foreign`.
    pub(super) fn unknown_schema(
        &mut self,
        events: &Events<'a>,
        row: usize,
        key: SchemaKey,
        slot: usize,
        problem: &str,
        foreign: Option<Foreign>,
    ) {
        self.uses[slot].dead_letters += 1;
        self.foreign_letter(events, row, id_of(key), (ErrorClass::UnknownSchemaId, problem), foreign);
    }

    /// Notes that the event at `row`, which names the schema `key` if that can be read, was too large to be taken whole.
    pub(super) fn large(&mut self, row: usize, key: Option<SchemaKey>, large: &Large) {
        let Large { key: of_key, value, .. } = large;
        let message = format!(
            "its value has {value} bytes and its key {of_key}: with the headers these are more than the {LONGEST_EVENT} of an event \
             that is taken, or the headers are more than {MOST_HEADERS}; of each the head is here"
        );
        self.dead_letter(row, key.and_then(id_of), ErrorClass::TooLarge, message);
    }

    /// What dead letters looked like so far.
    pub(super) fn foreign(&self) -> &BTreeMap<Foreign, Seen> {
        &self.foreign
    }

    /// Decodes `body`, of the event at `row` of `events`, which names `key` and so `writer`.
    pub(super) fn event(
        &mut self,
        events: &Events<'a>,
        row: usize,
        key: SchemaKey,
        writer: &Writer,
        slot: usize,
        body: &[u8],
    ) -> Result<(), ArrowError> {
        let id = id_of(key);
        let program = match writer {
            Writer::Decoded(program) => program,
            Writer::Refused { class, message } => {
                self.uses[slot].dead_letters += 1;
                self.dead_letter(row, id, *class, message.clone());
                return Ok(());
            }
        };
        match walk::decode(program, body, &mut self.root, self.target.limits) {
            Ok(values) => {
                self.uses[slot].rows += 1;
                self.count += 1;
                self.rows.push(row);
                match id {
                    Some(id) => self.ids.push(id),
                    None => self.ids.push_null(),
                }
                let topic = events.raw.partition.topic.len();
                self.bytes.beside += ROW_BYTES + topic;
                self.bytes.guessed += self.bytes.row + topic + body.len() + VALUE_BYTES * values;
                if self.bytes.guessed >= MOST_GUESSED {
                    self.measure();
                }
                if self.count >= BATCH_ROWS || self.bytes.held >= BATCH_BYTES {
                    self.end_rows(events)?;
                    self.flush()?;
                }
            }
            Err(fault) => {
                self.root.truncate(self.count);
                self.uses[slot].dead_letters += 1;
                self.dead_letter(row, id, fault.class, fault.to_string());
            }
        }
        Ok(())
    }

    /// Whether the rows take `budget` bytes.
    #[inline]
    pub(super) fn has(&mut self, budget: usize) -> bool {
        let Bytes { made, held, guessed, .. } = self.bytes;
        if made + held + guessed < budget {
            return false;
        }
        self.measure();
        self.bytes.made + self.bytes.held >= budget
    }

    fn measure(&mut self) {
        self.bytes.held = self.root.bytes() + self.bytes.beside;
        self.bytes.guessed = 0;
    }

    /// Ends `events`, the chunk that is read.
    pub(super) fn end_chunk(&mut self, events: &Events<'a>) -> Result<(), ArrowError> {
        self.end_rows(events)?;
        if !self.letters.is_empty() {
            self.dead_letters.push(events.dead_letters(&self.letters)?);
            self.letters.clear();
        }
        Ok(())
    }

    /// Takes the metadata of the rows of `events` since the last time.
    fn end_rows(&mut self, events: &Events<'a>) -> Result<(), ArrowError> {
        if !self.rows.is_empty() {
            self.metadata.push(events.metadata(&self.rows, self.target.include_headers)?);
            self.places.push((events.place(), self.rows.len()));
            self.rows.clear();
        }
        Ok(())
    }

    /// Makes a batch of the rows.
    fn flush(&mut self) -> Result<(), ArrowError> {
        self.measure();
        self.bytes.made += std::mem::take(&mut self.bytes.held);
        self.bytes.beside = 0;
        let Column::Struct(root) = &mut self.root else { return Ok(()) };
        let (_, value, _) = finish_struct(root, &self.data_type)?.into_parts();
        let ids = self.ids.finish::<Int32Type>(&DataType::Int32)?;
        let metadata = together(&std::mem::take(&mut self.metadata))?;
        let Target { schema, include_headers, .. } = self.target;
        self.batches.push(source_rows(schema, value, &self.places, metadata, ids, include_headers)?);
        self.places.clear();
        self.count = 0;
        Ok(())
    }

    /// What became of the first `taken` events.
    pub(super) fn finish(mut self, taken: usize) -> Result<Decoded, ArrowError> {
        if self.count > 0 {
            self.flush()?;
        }
        self.uses.sort_by_key(|u| u.key);
        Ok(Decoded {
            taken,
            bytes: self.bytes.made,
            rows: self.batches,
            dead_letters: concat_batches(&dead_letter_schema(), &self.dead_letters)?,
            tombstones: self.tombstones,
            by_class: self.by_class,
            schemas: self.uses,
        })
    }
}

fn id_of(key: SchemaKey) -> Option<i32> {
    match key {
        SchemaKey::Id(id) => Some(id),
        SchemaKey::Guid(_) => None,
    }
}

/// The columns of all of `pieces`, one below the other: without a copy, if there is one piece.
fn together(pieces: &[[ArrayRef; METADATA]]) -> Result<[ArrayRef; METADATA], ArrowError> {
    if let [one] = pieces {
        return Ok(one.clone());
    }
    let mut columns = Vec::with_capacity(METADATA);
    for index in 0..METADATA {
        let parts: Vec<&dyn Array> = pieces.iter().map(|piece| &*piece[index]).collect();
        columns.push(concat(&parts)?);
    }
    columns.try_into().map_err(|_| ArrowError::ComputeError("a column of metadata too many".to_owned()))
}
