//! Tests of sinks (feature `testing`): the suite that every sink must pass ([`conforms`]), and a transactional store in memory that fails
//! on demand ([`RemoteStore`]).
//!
//! A sink of another crate runs the suite too: implement [`Subject`] for its store.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

mod remote;
mod suite;

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::owner::Owner;
use crate::sink::Sink;
use crate::staged::BatchKey;

pub use remote::{Fault, RemoteSink, RemoteStore};
pub use suite::conforms;

/// A store, as the suite meets it.
///
/// ```
/// use std::sync::Arc;
///
/// use sluicebox_sinks::Sink;
/// use sluicebox_sinks::testing::{RemoteStore, Subject, conforms, schema};
/// use tempfile::TempDir;
///
/// /// A store, and the folder in which rows wait for it.
/// struct Store(RemoteStore, TempDir);
///
/// impl Subject for Store {
///     fn sink(&self) -> Arc<dyn Sink> {
///         self.0.connect()
///     }
///
///     fn seen(&self) -> Vec<i64> {
///         self.0.seen()
///     }
/// }
///
/// // A test awaits this.
/// let suite = conforms(|| {
///     let folder = TempDir::new().unwrap();
///     Store(RemoteStore::new("store", folder.path(), schema()), folder)
/// });
/// # drop(suite);
/// ```
pub trait Subject {
    /// The sink of another run over the same store, as a new process would make it. Its table has the columns of [`schema`].
    fn sink(&self) -> Arc<dyn Sink>;

    /// The ids of the rows that a reader of the store sees now, in any order: an id twice for a row that is there twice.
    fn seen(&self) -> Vec<i64>;
}

/// The id of the query of all tests.
pub const QUERY: &str = "0f3a9c1e-5b7d-4e21-9a77-aa00bb11cc22";

/// The key of a batch that the run of `epoch` writes.
#[must_use]
pub fn key(batch_id: u64, epoch: u64) -> BatchKey<'static> {
    BatchKey { batch_id, query_id: QUERY, epoch }
}

/// The owner of the table of all tests.
#[must_use]
pub fn owner() -> Owner {
    Owner {
        query_id: QUERY.to_owned(),
        generation: 1,
        pipeline: "suite".to_owned(),
        table: "t".to_owned(),
        checkpoint: "/checkpoints/suite".to_owned(),
        host: String::new(),
    }
}

/// The columns of the table of all tests.
#[must_use]
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("region", DataType::Utf8, true),
        Field::new("note", DataType::Utf8, true),
        Field::new("day", DataType::Date32, true),
    ]))
}

/// Rows with ids from `first`, one for each (region, day).
#[must_use]
pub fn rows(first: i64, values: &[(Option<&str>, Option<i32>)]) -> RecordBatch {
    let n = i64::try_from(values.len()).unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(first..first + n)),
        Arc::new(values.iter().map(|(region, _)| *region).collect::<StringArray>()),
        Arc::new((first..first + n).map(|i| (i % 5 != 0).then(|| format!("note {}", i % 77))).collect::<StringArray>()),
        Arc::new(values.iter().map(|(_, day)| *day).collect::<Date32Array>()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}
