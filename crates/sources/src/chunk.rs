//! Builds the columns of one chunk, and slices finished chunks.
//!
//! An event is copied once, from the client's memory or the block of the file into these columns. Cutting a finished chunk at an offset is
//! a slice.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, Int64Array, ListBuilder, NullBufferBuilder, RecordBatch,
    StringBuilder, StructBuilder, TimestampMillisecondArray, new_null_array,
};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use sluicebox_core::raw::{
    CUT_HEADER, CUT_KEY_HEADER, HEAD, LONGEST_EVENT, Large, column, head, header_fields, header_item, raw_schema,
};

use crate::source::{CHUNK_BYTES, CHUNK_EVENTS};

/// Bytes that an event costs beside its own: its fixed-width columns. Keeps a flood of empty events under the budget too.
const FIXED_BYTES: u64 = 24;
/// The same of a header: where its key and its value end.
const FIXED_BYTES_OF_HEADER: u64 = 8;

type HeadersBuilder = ListBuilder<StructBuilder>;

/// A chunk that still grows.
pub(crate) struct OpenChunk {
    offsets: Vec<i64>,
    timestamps: Vec<i64>,
    timestamp_nulls: NullBufferBuilder,
    keys: BinaryBuilder,
    values: BinaryBuilder,
    /// Made at the first event with headers; most topics have none.
    headers: Option<HeadersBuilder>,
    large: Vec<Large>,
    bytes: u64,
    next: i64,
    value_hint: usize,
}

/// A finished chunk: events in offset order and the bytes they count for.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    pub(crate) events: RecordBatch,
    /// The offset after the last event's.
    pub(crate) next: i64,
    pub(crate) bytes: u64,
    /// The events that were not taken whole.
    pub(crate) large: Vec<Large>,
}

impl OpenChunk {
    pub(crate) fn new() -> Self {
        Self {
            offsets: Vec::new(),
            timestamps: Vec::new(),
            timestamp_nulls: NullBufferBuilder::new(0),
            keys: BinaryBuilder::with_capacity(0, 0),
            values: BinaryBuilder::with_capacity(0, 0),
            headers: None,
            large: Vec::new(),
            bytes: 0,
            next: 0,
            value_hint: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.offsets.len() >= CHUNK_EVENTS || self.bytes >= CHUNK_BYTES
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The offset after the last event's; only when there is one.
    pub(crate) fn next(&self) -> i64 {
        self.next
    }

    /// Adds an event, or what is taken of it if it is too large or says by its headers that it was; offsets must ascend. Returns the
    /// bytes that this counts for.
    pub(crate) fn push<'h, K: AsRef<str>>(
        &mut self,
        offset: i64,
        timestamp_ms: Option<i64>,
        mut key: Option<&[u8]>,
        mut value: Option<&[u8]>,
        headers: impl Iterator<Item = (K, Option<&'h [u8]>)> + Clone,
    ) -> u64 {
        let (of_headers, [cut_value, cut_key]) = look(headers.clone());
        let is_large = cut_value.is_some() || length(key) + length(value) + of_headers > LONGEST_EVENT;
        if is_large {
            let of = |cut: Option<u64>, here| cut.unwrap_or(length(here) as u64);
            self.large.push(Large { offset, key: of(cut_key, key), value: of(cut_value, value) });
            (key, value) = (key.map(head), value.map(head));
        }
        let most = if is_large && of_headers > HEAD { 0 } else { usize::MAX };
        let says = |name: &str| name == CUT_HEADER || name == CUT_KEY_HEADER;
        let headers = headers.filter(|(name, _)| !is_large || !says(name.as_ref())).take(most);
        if self.offsets.is_empty() && self.value_hint > 0 {
            self.values = BinaryBuilder::with_capacity(CHUNK_EVENTS.min(self.value_hint), self.value_hint);
        }
        let mut bytes = FIXED_BYTES;
        self.timestamps.push(timestamp_ms.unwrap_or(0));
        self.timestamp_nulls.append(timestamp_ms.is_some());
        bytes += append(&mut self.keys, key) + append(&mut self.values, value);
        bytes += self.push_headers(headers);
        self.offsets.push(offset);
        self.next = offset + 1;
        self.bytes += bytes;
        bytes
    }

    fn push_headers<'h, K: AsRef<str>>(&mut self, headers: impl Iterator<Item = (K, Option<&'h [u8]>)>) -> u64 {
        let mut headers = headers.peekable();
        if headers.peek().is_none() {
            if let Some(builder) = &mut self.headers {
                builder.append_null();
            }
            return 0;
        }
        let before = self.offsets.len();
        let builder = self.headers.get_or_insert_with(|| {
            let mut builder = headers_builder();
            for _ in 0..before {
                builder.append_null();
            }
            builder
        });
        let mut bytes = 0;
        let items = builder.values();
        for (key, value) in headers {
            let key = key.as_ref();
            bytes += FIXED_BYTES_OF_HEADER + key.len() as u64;
            if let Some(keys) = items.field_builder::<StringBuilder>(0) {
                keys.append_value(key);
            }
            if let Some(values) = items.field_builder::<BinaryBuilder>(1) {
                bytes += append(values, value);
            }
            items.append(true);
        }
        builder.append(true);
        bytes
    }

    /// Finishes the chunk and begins the next.
    pub(crate) fn seal(&mut self) -> Result<Sealed, ArrowError> {
        let rows = self.offsets.len();
        // A topic that trickles must not hold a full chunk's memory for every event, nor one large event's for every chunk.
        let most = usize::try_from(2 * CHUNK_BYTES).unwrap_or(usize::MAX);
        self.value_hint = if self.is_full() { self.values.values_slice().len().min(most) } else { 0 };
        // The budget counts bytes that are there, not those that there is room for.
        let (mut keys, mut values) = (self.keys.finish(), self.values.finish());
        keys.shrink_to_fit();
        values.shrink_to_fit();
        self.offsets.shrink_to_fit();
        self.timestamps.shrink_to_fit();
        let timestamps = TimestampMillisecondArray::new(
            ScalarBuffer::from(std::mem::take(&mut self.timestamps)),
            self.timestamp_nulls.finish(),
        )
        .with_timezone("UTC");
        let headers: ArrayRef = match self.headers.take() {
            Some(mut builder) => Arc::new(builder.finish()),
            None => new_null_array(raw_schema().field(column::HEADERS).data_type(), rows),
        };
        let events = RecordBatch::try_new(
            raw_schema(),
            vec![
                Arc::new(Int64Array::from(std::mem::take(&mut self.offsets))),
                Arc::new(timestamps),
                Arc::new(keys),
                Arc::new(values),
                headers,
            ],
        )?;
        let (bytes, large) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.large));
        Ok(Sealed { events, next: self.next, bytes, large })
    }
}

/// Bytes of some headers, and the lengths of value and key of which they say that only the heads are there. A producer that sets such
/// headers makes its own event a dead letter.
fn look<'h, K: AsRef<str>>(headers: impl Iterator<Item = (K, Option<&'h [u8]>)>) -> (usize, [Option<u64>; 2]) {
    let (mut bytes, mut cut) = (0, [None; 2]);
    for (name, value) in headers {
        bytes += name.as_ref().len() + length(value);
        for (of, cut) in [CUT_HEADER, CUT_KEY_HEADER].iter().zip(&mut cut) {
            if name.as_ref() == *of {
                let told = value.and_then(|value| value.try_into().ok()).map(i64::from_be_bytes);
                *cut = told.map(|told| u64::try_from(told).unwrap_or(0));
            }
        }
    }
    (bytes, cut)
}

fn length(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(0, <[u8]>::len)
}

fn append(builder: &mut BinaryBuilder, bytes: Option<&[u8]>) -> u64 {
    builder.append_option(bytes);
    bytes.map_or(0, |b| b.len() as u64)
}

fn headers_builder() -> HeadersBuilder {
    let fields = header_fields();
    let builders: Vec<Box<dyn arrow::array::ArrayBuilder>> =
        vec![Box::new(StringBuilder::new()), Box::new(BinaryBuilder::new())];
    debug_assert!(matches!(fields[0].data_type(), DataType::Utf8) && matches!(fields[1].data_type(), DataType::Binary));
    ListBuilder::new(StructBuilder::new(fields, builders)).with_field(header_item())
}

impl Sealed {
    /// Cuts at `offset`: the events before it, and the rest. Either may be absent.
    pub(crate) fn cut(self, offset: i64) -> (Option<Self>, Option<Self>) {
        if self.next <= offset {
            return (Some(self), None);
        }
        let offsets = self.events.column(column::OFFSET).as_primitive::<Int64Type>().values();
        let at = offsets.partition_point(|o| *o < offset);
        if at == 0 {
            return (None, Some(self));
        }
        let next = offsets[at - 1] + 1;
        let (head, tail) = (self.events.slice(0, at), self.events.slice(at, self.events.num_rows() - at));
        let head_bytes = bytes_of(&head);
        let (before, after): (Vec<Large>, Vec<Large>) =
            self.large.iter().copied().partition(|large| large.offset < offset);
        let tail = Self { events: tail, next: self.next, bytes: self.bytes.saturating_sub(head_bytes), large: after };
        (Some(Self { events: head, next, bytes: head_bytes, large: before }), Some(tail))
    }
}

/// The bytes that the events of `batch` count for: as [`OpenChunk::push`] counted them.
pub(crate) fn bytes_of(batch: &RecordBatch) -> u64 {
    let headers = batch.column(column::HEADERS).as_list::<i32>();
    let (first, last) = (headers.value_offsets()[0], headers.value_offsets()[headers.len()]);
    let items = headers.values().as_struct().slice(first as usize, (last - first) as usize);
    let header_keys = items.column(0).as_string::<i32>();
    let span = |offsets: &[i32]| u64::try_from(offsets[offsets.len() - 1] - offsets[0]).unwrap_or(0);
    let binary = |array: &BinaryArray| span(array.value_offsets());
    FIXED_BYTES * batch.num_rows() as u64
        + FIXED_BYTES_OF_HEADER * items.len() as u64
        + binary(batch.column(column::KEY).as_binary())
        + binary(batch.column(column::VALUE).as_binary())
        + span(header_keys.value_offsets())
        + binary(items.column(1).as_binary())
}
