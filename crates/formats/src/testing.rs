//! Helpers for tests of formats, in this crate and in others (feature `testing`): raw events, and the suite that every format must pass
//! ([`conforms`]).

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod conformance;
#[cfg(test)]
mod fixture;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, Int64Array, ListBuilder, RecordBatch, StringBuilder, StructBuilder,
    TimestampMillisecondArray,
};
use sluicebox_core::PartitionId;
use sluicebox_core::raw::{RawEvents, header_fields, header_item, raw_schema};

pub use conformance::conforms;
#[cfg(test)]
pub(crate) use fixture::{Body, Fixture, MapRegistry, hex, letters, pinned, rows, value_json};

/// Events of partition `partition`, at even offsets from 100.
///
/// # Panics
/// Never with as many values as a batch may have.
#[must_use]
pub fn raw(partition: i32, values: &[Option<Vec<u8>>]) -> RawEvents {
    raw_with_headers(partition, values, &[])
}

/// A header's key and value.
pub type Header<'a> = (&'a str, Option<&'a [u8]>);

/// The same, with the header `(key, value)` lists of the first events.
///
/// # Panics
/// As [`raw`].
#[must_use]
pub fn raw_with_headers(partition: i32, values: &[Option<Vec<u8>>], headers: &[Vec<Header<'_>>]) -> RawEvents {
    let offsets: Vec<i64> = (0..values.len()).map(|i| 100 + 2 * i64::try_from(i).unwrap()).collect();
    let times: TimestampMillisecondArray = offsets.iter().map(|o| (*o != 102).then_some(o * 1_000)).collect();
    let keys: BinaryArray = offsets.iter().map(|o| (o % 4 == 0).then(|| o.to_be_bytes())).collect();
    let entry =
        StructBuilder::new(header_fields(), vec![Box::new(StringBuilder::new()), Box::new(BinaryBuilder::new())]);
    let mut lists = ListBuilder::new(entry).with_field(header_item());
    for row in 0..values.len() {
        for (key, value) in headers.get(row).into_iter().flatten() {
            lists.values().field_builder::<StringBuilder>(0).unwrap().append_value(key);
            lists.values().field_builder::<BinaryBuilder>(1).unwrap().append_option(*value);
            lists.values().append(true);
        }
        lists.append(headers.get(row).is_some());
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(offsets)),
        Arc::new(times.with_timezone("UTC")),
        Arc::new(keys),
        Arc::new(values.iter().map(Option::as_deref).collect::<BinaryArray>()),
        Arc::new(lists.finish()),
    ];
    RawEvents {
        partition: PartitionId::new("events", "topic", partition),
        events: RecordBatch::try_new(raw_schema(), columns).unwrap(),
        large: Vec::new(),
    }
}
