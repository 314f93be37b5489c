//! The decode loop: it turns chunk after chunk of events into row batches, whose borders follow neither chunks nor partitions.
//!
//! The chunks of a source are small, since its memory is counted in them, and each of many partitions has few events. The loop gathers rows
//! into larger batches, so that the next steps work on many rows at once, and the tables' writers find the rows of a file side by side.
//!
//! [`Run::each`] does what is the same for every format: it walks over the events, counts their cost, and makes the dead letters. A format
//! decodes one value: it is an [`EventDecoder`], compiled into that loop.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::{concat, concat_batches};
use arrow::datatypes::{DataType, Fields, Int32Type, SchemaRef};
use arrow::error::ArrowError;
use sluicebox_core::raw::{LONGEST_EVENT, Large, MOST_HEADERS};

use crate::avro::Writers;
use crate::class::ErrorClass;
use crate::column::{Column, Room, Values, finish_struct, width};
use crate::decoded::{Decoded, SchemaUse};
use crate::error::FormatError;
use crate::event_decoder::{EventDecoder, Letter, Refused, Row};
use crate::events::{Events, METADATA, Place, source_rows};
use crate::key::KeyDecoder;
use crate::letters::{DeadLetter, dead_letter_schema};
use crate::limits::WORTH;
use crate::portions::BATCH_ROWS;

/// A batch ends early when its rows take so many bytes, and no more are set aside for it.
const BATCH_BYTES: usize = 64 << 20;

/// What a row takes beside the value's columns and the name of its topic.
pub(crate) const ROW_BYTES: usize = 48;
/// What is guessed of a value that is charged for; and how many bytes are guessed at most before the columns are measured.
const VALUE_BYTES: usize = WORTH;
const MOST_GUESSED: usize = 1 << 20;

/// What rows are decoded into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    /// The columns of the value.
    pub value: &'a Fields,
    /// The column of the key, if there is one.
    pub key: Option<&'a KeyDecoder>,
    /// Those of a row.
    pub schema: &'a SchemaRef,
    pub include_headers: bool,
}

/// The events of a portion, on their way to rows.
pub struct Run<'a> {
    target: Target<'a>,
    chunks: &'a [Events<'a>],
    /// Bytes that its rows may take; the last one may pass it.
    budget: usize,
    /// How many events became something, from the first on.
    taken: usize,
    data_type: DataType,
    /// A struct of the value's columns, and how many rows are in it.
    root: Column,
    count: usize,
    /// Their keys, where they are a column, and the schemas of those, where they have some.
    keys: Option<Column>,
    key_writers: Option<Arc<Writers>>,
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
    schemas: Vec<SchemaUse>,
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

impl<'a> Run<'a> {
    /// The beginning of a run over `chunks`, whose rows may take `budget` bytes.
    pub(crate) fn new(target: Target<'a>, chunks: &'a [Events<'a>], budget: usize) -> Result<Self, ArrowError> {
        let data_type = DataType::Struct(target.value.clone());
        let rows = chunks.iter().map(Events::len).sum::<usize>().min(BATCH_ROWS);
        let key_type = target.key.map(KeyDecoder::held);
        let keys = key_type.map(|key| Column::new(key, Room::of(key, rows, BATCH_BYTES))).transpose()?;
        let row = width(&data_type) + key_type.map_or(0, width) + ROW_BYTES;
        Ok(Self {
            target,
            chunks,
            budget,
            taken: 0,
            root: Column::new(&data_type, Room::of(&data_type, rows, BATCH_BYTES))?,
            bytes: Bytes { row, made: 0, held: 0, beside: 0, guessed: 0 },
            data_type,
            count: 0,
            keys,
            key_writers: None,
            ids: Values::new(rows),
            metadata: Vec::with_capacity(chunks.len()),
            places: Vec::with_capacity(chunks.len()),
            rows: Vec::with_capacity(chunks.first().map_or(0, Events::len)),
            batches: Vec::new(),
            letters: Vec::new(),
            dead_letters: Vec::new(),
            by_class: BTreeMap::new(),
            tombstones: 0,
            schemas: Vec::new(),
        })
    }

    /// Decodes the events in their order by `decoder`, until rows take the budget: one event at least, and the last one may pass it.
    ///
    /// # Errors
    /// On a mistake in the caller or in the decoder: no event fails a run.
    pub fn each(&mut self, decoder: &mut impl EventDecoder) -> Result<(), FormatError> {
        for events in self.chunks {
            let columns = |source| FormatError::Columns { partition: events.partition(), source };
            let mut here = events.len();
            for row in 0..events.len() {
                if self.has(self.budget) {
                    here = row;
                    break;
                }
                let Some(event) = events.event(row) else {
                    self.tombstones += 1;
                    continue;
                };
                if let Some(large) = events.large(row) {
                    self.large(row, decoder.schema_id(event), large);
                    continue;
                }
                if let Err(message) = self.key(events, row) {
                    let schema_id = decoder.schema_id(event);
                    let class = ErrorClass::InvalidKey;
                    self.refused(row, Letter { schema_id, class, message, in_columns: false });
                    continue;
                }
                match decoder.decode(event, &mut self.root) {
                    Ok(done) => self.row(events, row, done).map_err(columns)?,
                    Err(Refused::Event(letter)) => self.refused(row, *letter),
                    Err(Refused::Run(error)) => return Err(*error),
                }
            }
            self.end_chunk(events).map_err(columns)?;
            self.taken += here;
            if here < events.len() {
                break;
            }
        }
        Ok(())
    }

    /// Has keys decoded by the schemas `writers`.
    pub(crate) fn keys_by(&mut self, writers: Arc<Writers>) {
        self.key_writers = Some(writers);
    }

    /// Notes the schemas that the events name.
    pub(crate) fn named(&mut self, mut schemas: Vec<SchemaUse>) {
        schemas.sort_by_key(|schema| schema.key);
        self.schemas = schemas;
    }

    /// Appends the key of the event at `row` of `events`, where keys are a column.
    #[inline]
    fn key(&mut self, events: &Events<'a>, row: usize) -> Result<(), String> {
        match (&mut self.keys, self.target.key) {
            (Some(column), Some(decoder)) => {
                let key = events.key(row);
                self.bytes.guessed += key.map_or(0, <[u8]>::len);
                decoder.decode(self.key_writers.as_deref(), key, events.key_schema_header(row), column)
            }
            _ => Ok(()),
        }
    }

    /// Notes that the event at `row` of the chunk that is read became a row.
    #[inline]
    fn row(&mut self, events: &Events<'a>, row: usize, done: Row) -> Result<(), ArrowError> {
        self.count += 1;
        self.rows.push(row);
        match done.schema_id {
            Some(id) => self.ids.push(id),
            None => self.ids.push_null(),
        }
        let topic = events.raw.partition.topic.len();
        self.bytes.beside += ROW_BYTES + topic;
        self.bytes.guessed += self.bytes.row + topic + done.bytes + VALUE_BYTES * done.values;
        if self.bytes.guessed >= MOST_GUESSED {
            self.measure();
        }
        if self.count >= BATCH_ROWS || self.bytes.held >= BATCH_BYTES {
            self.end_rows(events)?;
            self.flush()?;
        }
        Ok(())
    }

    /// Notes that the event at `row` of the chunk that is read cannot become a row.
    fn refused(&mut self, row: usize, letter: Letter) {
        let Letter { schema_id, class, message, in_columns } = letter;
        if in_columns {
            self.root.truncate(self.count);
        }
        if let Some(keys) = &mut self.keys {
            keys.truncate(self.count);
        }
        *self.by_class.entry(class).or_default() += 1;
        self.letters.push(DeadLetter { row, schema_id, class, message });
    }

    /// Notes that the event at `row`, which names the schema `schema_id` if that can be read, was too large to be taken whole.
    fn large(&mut self, row: usize, schema_id: Option<i32>, large: &Large) {
        let Large { key, value, .. } = large;
        let message = format!(
            "its value has {value} bytes and its key {key}: with the headers these are more than the {LONGEST_EVENT} of an event \
             that is taken, or the headers are more than {MOST_HEADERS}; of each the head is here"
        );
        self.refused(row, Letter { schema_id, class: ErrorClass::TooLarge, message, in_columns: false });
    }

    /// Whether the rows take `budget` bytes.
    #[inline]
    fn has(&mut self, budget: usize) -> bool {
        let Bytes { made, held, guessed, .. } = self.bytes;
        if made + held + guessed < budget {
            return false;
        }
        self.measure();
        self.bytes.made + self.bytes.held >= budget
    }

    fn measure(&mut self) {
        self.bytes.held = self.root.bytes() + self.keys.as_ref().map_or(0, Column::bytes) + self.bytes.beside;
        self.bytes.guessed = 0;
    }

    /// Ends `events`, the chunk that is read.
    fn end_chunk(&mut self, events: &Events<'a>) -> Result<(), ArrowError> {
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
        let (_, mut value, _) = finish_struct(root, &self.data_type)?.into_parts();
        if let (Some(keys), Some(key)) = (&mut self.keys, self.target.key) {
            value.push(key.finish(keys)?);
        }
        let ids = self.ids.finish::<Int32Type>(&DataType::Int32)?;
        let metadata = together(&std::mem::take(&mut self.metadata))?;
        let Target { schema, include_headers, .. } = self.target;
        self.batches.push(source_rows(schema, value, &self.places, metadata, ids, include_headers)?);
        self.places.clear();
        self.count = 0;
        Ok(())
    }

    /// What became of the events.
    pub(crate) fn finish(mut self) -> Result<Decoded, ArrowError> {
        if self.count > 0 {
            self.flush()?;
        }
        Ok(Decoded {
            taken: self.taken,
            bytes: self.bytes.made,
            rows: self.batches,
            dead_letters: concat_batches(&dead_letter_schema(), &self.dead_letters)?,
            tombstones: self.tombstones,
            by_class: self.by_class,
            schemas: self.schemas,
        })
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
