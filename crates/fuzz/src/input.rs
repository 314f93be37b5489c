//! Splits an input, and makes folders to work in.

use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, TimestampMillisecondArray, new_null_array};
use sluicebox_core::PartitionId;
use sluicebox_core::raw::{RawEvents, column, raw_schema};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The next `N` bytes, zeros where there are none.
pub(crate) fn array<const N: usize>(input: &mut &[u8]) -> [u8; N] {
    let mut out = [0; N];
    let (head, rest) = input.split_at(N.min(input.len()));
    out[..head.len()].copy_from_slice(head);
    *input = rest;
    out
}

/// The bytes up to a line feed, or to the end, as text.
pub(crate) fn line(input: &mut &[u8]) -> String {
    let end = input.iter().position(|b| *b == b'\n').unwrap_or(input.len());
    let (head, rest) = input.split_at(end);
    *input = rest.get(1..).unwrap_or_default();
    String::from_utf8_lossy(head).into_owned()
}

/// Events of one partition with these values.
pub(crate) fn events(values: &[Option<Vec<u8>>]) -> RawEvents {
    let offsets: Int64Array = (0_i64..).take(values.len()).collect();
    let times: TimestampMillisecondArray = offsets.iter().collect();
    let schema = raw_schema();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(offsets),
        Arc::new(times.with_timezone("UTC")),
        new_null_array(schema.field(column::KEY).data_type(), values.len()),
        Arc::new(values.iter().map(Option::as_deref).collect::<BinaryArray>()),
        new_null_array(schema.field(column::HEADERS).data_type(), values.len()),
    ];
    let events = RecordBatch::try_new(schema, columns).unwrap();
    RawEvents { partition: PartitionId::new("s", "t", 0), events, large: Vec::new() }
}

/// A folder of its own, in memory where the system has such a place.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder to work in")
}

/// Runs `work` to its end.
pub(crate) fn wait<T>(work: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME
        .get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap())
        .block_on(work)
}
