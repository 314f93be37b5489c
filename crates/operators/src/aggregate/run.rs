//! A run: state rows of one pane in the order of their keys, in memory or in a segment.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{ByteViewType, DataType, Schema};

use super::stored::Stored;
use crate::error::Result;

/// Rows of a batch of state, at most, where none is large.
const ROWS: usize = 8192;

/// The same where some column may hold a sketch, a list or the like in each row.
const ROWS_OF_LARGE: usize = 256;

/// How many rows a batch of state has at most: what one reads of a run at once. It depends on the columns alone.
pub(super) fn batch_rows(state: &Schema) -> usize {
    if state.fields().iter().any(|field| is_large(field.data_type())) { ROWS_OF_LARGE } else { ROWS }
}

fn is_large(data_type: &DataType) -> bool {
    use DataType::{Binary, BinaryView, LargeBinary, LargeUtf8, Utf8, Utf8View};
    match data_type {
        Binary | LargeBinary | BinaryView => true,
        Utf8 | LargeUtf8 | Utf8View => false,
        DataType::Dictionary(_, values) => is_large(values),
        DataType::Struct(fields) => fields.iter().any(|field| is_large(field.data_type())),
        other => other.is_nested(),
    }
}

/// What an array takes beside its content, about.
const ARRAY_BYTES: usize = 128;

/// A run. Cloning it copies no rows.
#[derive(Debug, Clone)]
pub(super) struct Run {
    rows: usize,
    bytes: usize,
    body: Body,
}

#[derive(Debug, Clone)]
enum Body {
    /// In batches that share no memory with others.
    Memory(Arc<[RecordBatch]>),
    /// The rows of a segment from the given one on.
    Stored(Arc<Stored>, u64),
}

impl Run {
    /// The run of `batches`, which share no memory with others.
    pub fn in_memory(batches: Vec<RecordBatch>) -> Self {
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let bytes = batches.iter().map(|batch| content_bytes(batch) + batch.num_columns() * ARRAY_BYTES).sum();
        Self { rows, bytes, body: Body::Memory(batches.into()) }
    }

    /// The run of `rows` rows of `stored` from the `first`-th on.
    pub fn stored(stored: &Arc<Stored>, first: u64, rows: usize) -> Self {
        Self { rows, bytes: 0, body: Body::Stored(Arc::clone(stored), first) }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of memory that it takes: by what its rows say and in how many batches, not by what the allocator gave for
    /// them, so that it is the same after a restore. Nothing of a run in a segment.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The segment that it is in.
    pub fn segment(&self) -> Option<&Arc<Stored>> {
        match &self.body {
            Body::Memory(_) => None,
            Body::Stored(stored, _) => Some(stored),
        }
    }

    /// Its rows in order, read as they are asked for.
    pub fn batches(&self) -> Box<dyn Iterator<Item = Result<RecordBatch>> + Send> {
        match &self.body {
            Body::Memory(batches) => {
                let batches = Arc::clone(batches);
                Box::new((0..batches.len()).map(move |at| Ok(batches[at].clone())))
            }
            Body::Stored(stored, first) => Box::new(Arc::clone(stored).rows(*first, self.rows as u64)),
        }
    }
}

/// Bytes that `batch` says, however its arrays are laid out: the same before and after a file.
fn content_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(content_of).sum()
}

fn content_of(column: &ArrayRef) -> usize {
    fn views<V: ByteViewType>(column: &ArrayRef) -> usize {
        let lengths = column.as_byte_view::<V>().lengths().filter(|length| *length > 12);
        16 * column.len() + lengths.map(|length| length as usize).sum::<usize>()
    }
    match column.data_type() {
        DataType::Utf8View => views::<arrow::datatypes::StringViewType>(column),
        DataType::BinaryView => views::<arrow::datatypes::BinaryViewType>(column),
        DataType::Dictionary(..) => 8 * column.len(),
        _ => {
            let nulls = column.nulls().map_or(0, |_| column.len().div_ceil(8));
            // Whether an array without NULL has a bitmap depends on where it came from.
            column.to_data().get_slice_memory_size().map_or(0, |bytes| bytes.saturating_sub(nulls))
        }
    }
}
