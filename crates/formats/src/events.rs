//! A batch of raw events as typed columns, and the columns that a source row takes from it.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StringBuilder,
    UInt64Array, new_null_array,
};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use sluicebox_core::provenance;
use sluicebox_core::raw::{Large, RawEvents, column, header_item};

use crate::error::FormatError;
use crate::framing::{APICURIO_HEADERS, KEY_SCHEMA_ID_HEADER, VALUE_SCHEMA_ID_HEADER};

/// The first of the columns that follow the value's, and the key's.
pub(crate) const FIRST: &str = provenance::METADATA[0];

/// The columns that follow the value's in every source row, without the hidden ones.
pub(crate) fn metadata_fields() -> Vec<FieldRef> {
    let [topic, partition, offset, at, key, all_headers, schema_id] = provenance::METADATA;
    let field = |name: &str, data_type, nullable| Arc::new(Field::new(name, data_type, nullable));
    vec![
        field(topic, DataType::Utf8, false),
        field(partition, DataType::Int32, false),
        field(offset, DataType::Int64, false),
        field(at, timestamp(), true),
        field(key, DataType::Binary, true),
        field(all_headers, headers(), true),
        field(schema_id, DataType::Int32, true),
    ]
}

pub(super) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

pub(super) fn headers() -> DataType {
    DataType::List(Arc::new(header_item()))
}

/// One partition's raw events.
pub(crate) struct Events<'a> {
    pub(super) raw: &'a RawEvents,
    /// The number of their partition in the batch.
    part: i32,
    offsets: &'a Int64Array,
    keys: &'a BinaryArray,
    values: &'a BinaryArray,
    headers: Option<Headers<'a>>,
}

/// An event with a value.
#[derive(Clone, Copy)]
pub struct Event<'e> {
    events: &'e Events<'e>,
    row: usize,
    /// Its value.
    pub value: &'e [u8],
}

impl<'e> Event<'e> {
    /// The last header of the event that names its schema.
    #[inline]
    pub(crate) fn schema_header(&self) -> Option<&'e [u8]> {
        self.events.schema_header(self.row)
    }

    /// Whether the event has headers of Apicurio's serialisers.
    pub(crate) fn is_of_apicurio(&self) -> bool {
        self.events.is_of_apicurio(self.row)
    }

    /// Its topic and partition.
    pub(crate) fn partition(&self) -> String {
        self.events.partition()
    }

    /// Its offset.
    pub(crate) fn offset(&self) -> i64 {
        self.events.offset(self.row)
    }
}

/// The headers, if there is one that names a schema.
struct Headers<'a> {
    rows: &'a ListArray,
    keys: &'a StringArray,
    values: &'a BinaryArray,
}

impl<'a> Events<'a> {
    /// Those of `raw`, whose partition is number `part` of the batch.
    pub(crate) fn new(raw: &'a RawEvents, part: i32) -> Result<Self, FormatError> {
        let problem = |problem: String| FormatError::RawSchema { partition: raw.partition.to_string(), problem };
        let found = raw.events.schema_ref();
        let expected = sluicebox_core::raw::raw_schema();
        let same = found.fields().len() == expected.fields().len()
            && found.fields().iter().zip(expected.fields()).all(|(f, e)| f.data_type() == e.data_type());
        if !same {
            return Err(problem(format!("the columns are {found}")));
        }
        let lists = raw.events.column(column::HEADERS).as_list::<i32>();
        let entries = lists.values().as_struct();
        let keys = entries.column(0).as_string::<i32>();
        let named = [Some(VALUE_SCHEMA_ID_HEADER), Some(KEY_SCHEMA_ID_HEADER)];
        let names_schema = keys.iter().any(|key| named.contains(&key));
        let headers = names_schema.then(|| Headers { rows: lists, keys, values: entries.column(1).as_binary::<i32>() });
        Ok(Self {
            raw,
            part,
            offsets: raw.events.column(column::OFFSET).as_primitive::<Int64Type>(),
            keys: raw.events.column(column::KEY).as_binary::<i32>(),
            values: raw.events.column(column::VALUE).as_binary::<i32>(),
            headers,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The event's value, or `None` for a tombstone.
    #[inline]
    pub(crate) fn value(&self, row: usize) -> Option<&'a [u8]> {
        self.values.is_valid(row).then(|| self.values.value(row))
    }

    /// The event's key, if it has one.
    #[inline]
    pub(crate) fn key(&self, row: usize) -> Option<&'a [u8]> {
        self.keys.is_valid(row).then(|| self.keys.value(row))
    }

    /// The event at `row`, or `None` for a tombstone.
    #[inline]
    pub(crate) fn event(&self, row: usize) -> Option<Event<'_>> {
        self.value(row).map(|value| Event { events: self, row, value })
    }

    /// The last header of the event that names the schema of its value.
    #[inline]
    pub(crate) fn schema_header(&self, row: usize) -> Option<&'a [u8]> {
        self.header(row, VALUE_SCHEMA_ID_HEADER)
    }

    /// The last header of the event that names the schema of its key.
    #[inline]
    pub(crate) fn key_schema_header(&self, row: usize) -> Option<&'a [u8]> {
        self.header(row, KEY_SCHEMA_ID_HEADER)
    }

    /// The last header of the event that is called `name`, one of those that name a schema.
    #[inline]
    fn header(&self, row: usize, name: &str) -> Option<&'a [u8]> {
        let headers = self.headers.as_ref()?;
        if headers.rows.is_null(row) {
            return None;
        }
        let bounds = headers.rows.value_offsets();
        let index = |i: i32| usize::try_from(i).unwrap_or_default();
        (index(bounds[row])..index(bounds[row + 1]))
            .rev()
            .find(|entry| headers.keys.value(*entry) == name)
            .map(|entry| if headers.values.is_valid(entry) { headers.values.value(entry) } else { &[] })
    }

    /// Whether the event has headers of Apicurio's serialisers.
    pub(crate) fn is_of_apicurio(&self, row: usize) -> bool {
        let rows = self.raw.events.column(column::HEADERS).as_list::<i32>();
        if rows.is_null(row) {
            return false;
        }
        let entries = rows.value(row);
        let keys = entries.as_struct().column(0).as_string::<i32>();
        keys.iter().flatten().any(|key| key.starts_with(APICURIO_HEADERS))
    }

    pub(crate) fn partition(&self) -> String {
        self.raw.partition.to_string()
    }

    /// Offset, timestamp, key and headers of the events at `rows`, which are not none; the headers NULL unless wanted.
    pub(crate) fn metadata(&self, rows: &[usize], include_headers: bool) -> Result<[ArrayRef; METADATA], ArrowError> {
        let pick = Pick::of(rows);
        let events = &self.raw.events;
        Ok([
            pick.from(events.column(column::OFFSET))?,
            cast(&pick.from(events.column(column::TIMESTAMP))?, &timestamp())?,
            pick.from(events.column(column::KEY))?,
            if include_headers { pick.from(events.column(column::HEADERS))? } else { new_null_array(&headers(), 0) },
        ])
    }

    /// Where the events are.
    pub(crate) fn place(&self) -> Place<'a> {
        let partition = &self.raw.partition;
        Place { topic: &partition.topic, partition: partition.partition, part: self.part }
    }

    /// The event's offset.
    pub(crate) fn offset(&self, row: usize) -> i64 {
        self.offsets.value(row)
    }

    /// What the event was, if it was too large to be taken whole.
    #[inline]
    pub(crate) fn large(&self, row: usize) -> Option<&'a Large> {
        let large = &self.raw.large;
        if large.is_empty() {
            return None;
        }
        large.binary_search_by_key(&self.offset(row), |large| large.offset).ok().map(|at| &large[at])
    }
}

/// A partition, which is number `part` of its batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    topic: &'a str,
    pub(super) partition: i32,
    part: i32,
}

/// The columns that [`Events::metadata`] gives.
pub(crate) const METADATA: usize = 4;

/// The batch of source rows: `value` beside the places of so many in turn, the metadata of their events, and their
/// provenance. `ids` are the schema ids that they name.
pub(crate) fn source_rows(
    schema: &SchemaRef,
    mut value: Vec<ArrayRef>,
    places: &[(Place<'_>, usize)],
    [offsets, timestamps, keys, with_headers]: [ArrayRef; METADATA],
    ids: ArrayRef,
    include_headers: bool,
) -> Result<RecordBatch, ArrowError> {
    value.push(Arc::new(topics(places)));
    value.push(numbers(places, |place| place.partition));
    value.push(Arc::clone(&offsets));
    value.push(timestamps);
    value.push(keys);
    value.push(if include_headers { with_headers } else { new_null_array(&headers(), offsets.len()) });
    value.push(ids);
    value.push(numbers(places, |place| place.part));
    value.push(offsets);
    RecordBatch::try_new(Arc::clone(schema), value)
}

pub(super) fn topics(places: &[(Place<'_>, usize)]) -> StringArray {
    let rows = places.iter().map(|(_, count)| count).sum();
    let bytes = places.iter().map(|(place, count)| place.topic.len() * count).sum();
    let mut topics = StringBuilder::with_capacity(rows, bytes);
    for (place, count) in places {
        (0..*count).for_each(|_| topics.append_value(place.topic));
    }
    topics.finish()
}

pub(super) fn numbers(places: &[(Place<'_>, usize)], number: impl Fn(&Place<'_>) -> i32) -> ArrayRef {
    let numbers = places.iter().flat_map(|(place, count)| std::iter::repeat_n(number(place), *count));
    Arc::new(Int32Array::from_iter_values(numbers))
}

/// Some rows of a batch, in order.
pub(super) enum Pick {
    /// All rows from one to another: no copy.
    Run {
        from: usize,
        len: usize,
    },
    Rows(UInt64Array),
}

impl Pick {
    pub(super) fn of(rows: &[usize]) -> Self {
        match (rows.first(), rows.last()) {
            (Some(first), Some(last)) if last - first + 1 == rows.len() => Self::Run { from: *first, len: rows.len() },
            (None, _) => Self::Run { from: 0, len: 0 },
            _ => Self::Rows(rows.iter().map(|row| u64::try_from(*row).unwrap_or(u64::MAX)).collect()),
        }
    }

    pub(super) fn from(&self, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Run { from, len } => Ok(array.slice(*from, *len)),
            Self::Rows(rows) => take(array, rows, None),
        }
    }
}

/// Whether every source row has a column of this name already.
pub(crate) fn is_taken(name: &str) -> bool {
    provenance::is_hidden(name) || provenance::METADATA.contains(&name)
}

/// The schema of source rows: `value`, the metadata, and provenance.
pub(crate) fn source_schema(value: &[FieldRef]) -> SchemaRef {
    let fields: Vec<FieldRef> =
        value.iter().cloned().chain(metadata_fields()).chain(provenance::provenance_fields()).collect();
    Arc::new(Schema::new(fields))
}
