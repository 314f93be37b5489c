//! Raw events: what a source hands to the decoder.

use std::sync::{Arc, LazyLock};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Fields, Int64Type, Schema, SchemaRef, TimeUnit};

use crate::offsets::PartitionId;

/// Bytes of key, value and headers that an event may have. Of one that has more, only a part is taken: see [`Large`].
pub const LONGEST_EVENT: usize = 16 << 20;

/// Headers that an event may have. Of one that has more, only a part is taken too.
pub const MOST_HEADERS: usize = 1 << 16;

/// Bytes of a key or value that are kept of an event which cannot become a row.
pub const HEAD: usize = 64 << 10;

/// The first [`HEAD`] bytes of `bytes`, or all.
#[must_use]
pub fn head(bytes: &[u8]) -> &[u8] {
    bytes.get(..HEAD).unwrap_or(bytes)
}

/// Events of one partition, in offset order, as they came.
#[derive(Debug, Clone)]
pub struct RawEvents {
    /// Where they came from.
    pub partition: PartitionId,
    /// Columns of [`raw_schema`].
    pub events: RecordBatch,
    /// Those that were not taken whole, in offset order.
    pub large: Vec<Large>,
}

impl RawEvents {
    /// The offset of the first event, if there is one.
    #[must_use]
    pub fn first_offset(&self) -> Option<i64> {
        let offsets = self.events.columns().get(column::OFFSET)?.as_primitive_opt::<Int64Type>()?;
        offsets.values().first().copied()
    }

    /// The first `count` events, and those behind them. No event is copied.
    #[must_use]
    pub fn split_at(self, count: usize) -> (Self, Self) {
        let rows = self.events.num_rows();
        let count = count.min(rows);
        let head = Self { events: self.events.slice(0, count), large: Vec::new(), partition: self.partition.clone() };
        let tail =
            Self { events: self.events.slice(count, rows - count), large: Vec::new(), partition: self.partition };
        let first = tail.first_offset().unwrap_or(i64::MAX);
        let (before, behind) = self.large.into_iter().partition(|large| large.offset < first);
        (Self { large: before, ..head }, Self { large: behind, ..tail })
    }
}

/// An event that was too large to be taken. Its [`head`]s are in the columns of key and value, its headers where they have no more than
/// [`HEAD`] bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Large {
    /// Its offset.
    pub offset: i64,
    /// Bytes of its key; 0 if it has none.
    pub key: u64,
    /// Bytes of its value; 0 if it has none.
    pub value: u64,
}

/// Position of the columns of [`raw_schema`].
pub mod column {
    /// Int64, not null, ascending, with gaps.
    pub const OFFSET: usize = 0;
    /// Timestamp(ms, UTC), nullable: the record's timestamp; NULL when the topic carries none.
    pub const TIMESTAMP: usize = 1;
    /// Binary, nullable.
    pub const KEY: usize = 2;
    /// Binary, nullable: NULL is a tombstone.
    pub const VALUE: usize = 3;
    /// List of struct (key Utf8, value Binary nullable), nullable: NULL when the record has no headers.
    pub const HEADERS: usize = 4;
}

/// The header that says that an event was too large to be taken whole: the first 64 KiB of its key and of its value are there, and no
/// header but this one and [`CUT_KEY_HEADER`]. Its value is the length of the event's value: eight bytes, the highest first; -1 for
/// a tombstone.
pub const CUT_HEADER: &str = "__sluicebox_cut";
/// The same of the event's key, beside [`CUT_HEADER`]; -1 for an event without one.
pub const CUT_KEY_HEADER: &str = "__sluicebox_cut_key";

/// The fields of one header.
#[must_use]
pub fn header_fields() -> Fields {
    Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)])
}

/// The field of the list's items in the headers' column.
#[must_use]
pub fn header_item() -> Field {
    Field::new("item", DataType::Struct(header_fields()), false)
}

static RAW: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("offset", DataType::Int64, false),
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), true),
        Field::new("key", DataType::Binary, true),
        Field::new("value", DataType::Binary, true),
        Field::new("headers", DataType::List(Arc::new(header_item())), true),
    ]))
});

/// The schema of [`RawEvents::events`]; the positions are in [`mod@column`].
#[must_use]
pub fn raw_schema() -> SchemaRef {
    Arc::clone(&RAW)
}
