//! The result of decoding.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use sluicebox_registry::SchemaKey;

use crate::class::ErrorClass;

/// What became of events.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// How many of the events these are, from the first on.
    pub taken: usize,
    /// Bytes that the rows take in memory, about; keys and headers, which are parts of the raw events, and dead letters apart.
    pub bytes: usize,
    /// Source rows in the order of the events, in batches of [`SourceDecoder::schema`](crate::SourceDecoder::schema), none empty.
    pub rows: Vec<RecordBatch>,
    /// One row per event that could not become one, in the order of the events; see [`dead_letter_schema`](crate::dead_letter_schema).
    pub dead_letters: RecordBatch,
    /// Events without a value.
    pub tombstones: u64,
    /// Dead letters by class; classes without any are not there.
    pub by_class: BTreeMap<ErrorClass, u64>,
    /// The schemas that the events name.
    pub schemas: Vec<SchemaUse>,
}

/// How many events named one schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaUse {
    /// The schema.
    pub key: SchemaKey,
    /// Events that became rows.
    pub rows: u64,
    /// Events that became dead letters.
    pub dead_letters: u64,
    /// The writer's fields that the reader lacks, as paths such as `customer.address[].zip`.
    pub ignored_fields: Vec<String>,
}
