//! A batch of raw events as its columns, and the columns that a source row and a dead letter take from it.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, UInt64Array,
    new_null_array,
};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use sluicebox_core::provenance;
use sluicebox_core::raw::{RawEvents, column, header_item};

use crate::class::ErrorClass;
use crate::error::AvroError;
use crate::framing::VALUE_SCHEMA_ID_HEADER;

/// The columns that follow the value's in every source row, without the hidden ones.
pub(crate) fn metadata_fields() -> Vec<FieldRef> {
    let field = |name: &str, data_type, nullable| Arc::new(Field::new(name, data_type, nullable));
    vec![
        field("_topic", DataType::Utf8, false),
        field("_partition", DataType::Int32, false),
        field("_offset", DataType::Int64, false),
        field("_timestamp", timestamp(), true),
        field("_key", DataType::Binary, true),
        field("_headers", headers(), true),
        field("_schema_id", DataType::Int32, true),
    ]
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn headers() -> DataType {
    DataType::List(Arc::new(header_item()))
}

/// The schema of dead letters:
///
/// | column | |
/// |---|---|
/// | `topic`, `partition`, `offset` | where the event is |
/// | `timestamp`, `key`, `value`, `headers` | the event as it came; `timestamp` in microseconds, NULL if it has none |
/// | `schema_id` | the id it names; NULL if its framing cannot be read, or names a GUID |
/// | `error_class` | the text of an [`ErrorClass`] |
/// | `message` | what is wrong with it, for people |
#[must_use]
pub fn dead_letter_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("topic", DataType::Utf8, false),
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("timestamp", timestamp(), true),
        Field::new("key", DataType::Binary, true),
        Field::new("value", DataType::Binary, true),
        Field::new("headers", headers(), true),
        Field::new("schema_id", DataType::Int32, true),
        Field::new("error_class", DataType::Utf8, false),
        Field::new("message", DataType::Utf8, false),
    ]))
}

/// One partition's raw events.
pub(crate) struct Events<'a> {
    raw: &'a RawEvents,
    offsets: &'a Int64Array,
    values: &'a BinaryArray,
    headers: Option<Headers<'a>>,
}

/// The headers, if there is one that names a schema.
struct Headers<'a> {
    rows: &'a ListArray,
    keys: &'a StringArray,
    values: &'a BinaryArray,
}

impl<'a> Events<'a> {
    pub(crate) fn new(raw: &'a RawEvents) -> Result<Self, AvroError> {
        let problem = |problem: String| AvroError::RawSchema { partition: raw.partition.to_string(), problem };
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
        let names_schema = keys.iter().any(|key| key == Some(VALUE_SCHEMA_ID_HEADER));
        let headers = names_schema.then(|| Headers { rows: lists, keys, values: entries.column(1).as_binary::<i32>() });
        Ok(Self {
            raw,
            offsets: raw.events.column(column::OFFSET).as_primitive::<Int64Type>(),
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

    /// The last header of the event that names its schema.
    #[inline]
    pub(crate) fn schema_header(&self, row: usize) -> Option<&'a [u8]> {
        let headers = self.headers.as_ref()?;
        if headers.rows.is_null(row) {
            return None;
        }
        let bounds = headers.rows.value_offsets();
        let index = |i: i32| usize::try_from(i).unwrap_or_default();
        (index(bounds[row])..index(bounds[row + 1]))
            .rev()
            .find(|entry| headers.keys.value(*entry) == VALUE_SCHEMA_ID_HEADER)
            .map(|entry| if headers.values.is_valid(entry) { headers.values.value(entry) } else { &[] })
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

    /// The batch of dead letters.
    pub(crate) fn dead_letters(&self, letters: &[DeadLetter]) -> Result<RecordBatch, ArrowError> {
        let rows: Vec<usize> = letters.iter().map(|letter| letter.row).collect();
        let pick = Pick::of(&rows);
        let events = &self.raw.events;
        let constants = self.constants(0, rows.len(), true);
        let columns: Vec<ArrayRef> = vec![
            constants.topic,
            constants.partition,
            pick.from(events.column(column::OFFSET))?,
            cast(&pick.from(events.column(column::TIMESTAMP))?, &timestamp())?,
            pick.from(events.column(column::KEY))?,
            pick.from(events.column(column::VALUE))?,
            pick.from(events.column(column::HEADERS))?,
            Arc::new(letters.iter().map(|letter| letter.schema_id).collect::<Int32Array>()),
            Arc::new(StringArray::from_iter_values(letters.iter().map(|letter| letter.class.as_str()))),
            Arc::new(StringArray::from_iter_values(letters.iter().map(|letter| &letter.message))),
        ];
        RecordBatch::try_new(dead_letter_schema(), columns)
    }

    /// The columns that are the same in every row, for up to `rows` rows.
    /// Without `include_headers` the headers are NULL in all of them.
    pub(crate) fn constants(&self, part: i32, rows: usize, include_headers: bool) -> Constants {
        let partition = &self.raw.partition;
        Constants {
            topic: Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&partition.topic, rows))),
            partition: Arc::new(Int32Array::from_value(partition.partition, rows)),
            part: Arc::new(Int32Array::from_value(part, rows)),
            no_headers: (!include_headers).then(|| new_null_array(&headers(), rows)),
        }
    }

    /// The event's offset.
    pub(crate) fn offset(&self, row: usize) -> i64 {
        self.offsets.value(row)
    }
}

/// Columns that are the same in every row; a batch takes as many rows of them as it has.
pub(crate) struct Constants {
    topic: ArrayRef,
    partition: ArrayRef,
    part: ArrayRef,
    /// What `_headers` is when headers are not wanted.
    no_headers: Option<ArrayRef>,
}

/// The columns that [`Events::metadata`] gives.
pub(crate) const METADATA: usize = 4;

/// The batch of `count` source rows: `value` beside the metadata of their events, and their provenance. `ids` are the
/// schema ids that they name, `constants` the columns that are the same in every row.
pub(crate) fn source_rows(
    schema: &SchemaRef,
    mut value: Vec<ArrayRef>,
    [offsets, timestamps, keys, headers]: [ArrayRef; METADATA],
    ids: ArrayRef,
    constants: &Constants,
    count: usize,
) -> Result<RecordBatch, ArrowError> {
    value.push(constants.topic.slice(0, count));
    value.push(constants.partition.slice(0, count));
    value.push(Arc::clone(&offsets));
    value.push(timestamps);
    value.push(keys);
    value.push(constants.no_headers.as_ref().map_or(headers, |none| none.slice(0, count)));
    value.push(ids);
    value.push(constants.part.slice(0, count));
    value.push(offsets);
    RecordBatch::try_new(Arc::clone(schema), value)
}

/// An event that could not become a row.
#[derive(Debug)]
pub(crate) struct DeadLetter {
    pub(crate) row: usize,
    pub(crate) schema_id: Option<i32>,
    pub(crate) class: ErrorClass,
    pub(crate) message: String,
}

/// Some rows of a batch, in order.
enum Pick {
    /// All rows from one to another: no copy.
    Run {
        from: usize,
        len: usize,
    },
    Rows(UInt64Array),
}

impl Pick {
    fn of(rows: &[usize]) -> Self {
        match (rows.first(), rows.last()) {
            (Some(first), Some(last)) if last - first + 1 == rows.len() => Self::Run { from: *first, len: rows.len() },
            (None, _) => Self::Run { from: 0, len: 0 },
            _ => Self::Rows(rows.iter().map(|row| u64::try_from(*row).unwrap_or(u64::MAX)).collect()),
        }
    }

    fn from(&self, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Run { from, len } => Ok(array.slice(*from, *len)),
            Self::Rows(rows) => take(array, rows, None),
        }
    }
}

/// The schema of source rows: `value`, the metadata, and provenance.
pub(crate) fn source_schema(value: &[FieldRef]) -> SchemaRef {
    let fields: Vec<FieldRef> =
        value.iter().cloned().chain(metadata_fields()).chain(provenance::provenance_fields()).collect();
    Arc::new(Schema::new(fields))
}
