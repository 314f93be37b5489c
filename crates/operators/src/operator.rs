//! What every operator with state can do.

use std::future::Future;
use std::pin::Pin;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::Result;

/// A step that is under way. Dropping it leaves the operator's state undefined: restore it.
pub type Step<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// What became of the rows of one batch in one operator: `rows` are those that go on, and every row that came in is
/// counted once, in `rows`, `absorbed`, `duplicate` or `filtered_null_event_time`.
#[derive(Debug, Default)]
pub struct Processed {
    /// The rows that go on at once, in the order in which they came. None of an aggregate: its rows come from `close`.
    pub rows: Vec<RecordBatch>,
    /// Rows that went into the state of an aggregate.
    pub absorbed: u64,
    /// Rows whose key was already there.
    pub duplicate: u64,
    /// Rows left out because their event time is NULL and the state needs one.
    pub filtered_null_event_time: u64,
}

/// The part of an operator that outlives a batch, as tables.
///
/// A state is restored from the batches of one `snapshot`, or none, followed by every `delta` after it, in order.
pub trait State {
    /// The operator's id in the pipeline: names its state.
    fn id(&self) -> &str;

    /// The columns of `delta` and `snapshot`.
    fn state_schema(&self) -> SchemaRef;

    /// What the state has gained since the last call, and forgets about it; `None` for nothing. Call it once a batch,
    /// after `process` and `close`. What was forgotten is not in it.
    ///
    /// # Errors
    /// When the rows cannot be put together, which does not happen for rows that fit in memory.
    fn delta(&mut self) -> Result<Option<RecordBatch>>;

    /// The whole state, what the next `delta` will say included. Equal states give equal snapshots.
    ///
    /// # Errors
    /// As for `delta`.
    fn snapshot(&self) -> Result<Vec<RecordBatch>>;

    /// Replaces the state by what `batches` say (a snapshot, then deltas, in order) as of `watermark`: the watermark at
    /// the end of the batch of the last delta, that `close` was last called with.
    ///
    /// # Errors
    /// [`StateShape`](crate::Error::StateShape) when the columns do not fit the operator.
    fn restore(&mut self, batches: Vec<RecordBatch>, watermark: Option<i64>) -> Result<()>;

    /// What the format and meaning of the state depend on, as text. A state is only restored into an operator of an
    /// equal fingerprint.
    fn fingerprint(&self) -> String;

    /// Bytes of memory that the state takes.
    fn memory_bytes(&self) -> usize;

    /// Rows that a snapshot would have.
    fn rows(&self) -> u64;
}

/// An operator with state. In batch N the engine calls `process` with the rows that are not late, then `close` with
/// W(N), then `delta`.
pub trait Operator: State + Send {
    /// Takes the rows of one batch that are not late: all of them in one call.
    fn process<'a>(&'a mut self, rows: &'a [RecordBatch]) -> Step<'a, Processed>;

    /// Closes what ends at or before `watermark` (microseconds since 1970) and gives the rows that are now final, in the
    /// operator's order. A watermark at or before an earlier one does nothing.
    fn close(&mut self, watermark: i64) -> Step<'_, Vec<RecordBatch>>;

    /// The lowest watermark at which `close` would give rows; `None` while there is nothing to give. Says whether a
    /// batch without data is worth running, and for a table with nothing out yet, when its first row will come.
    fn next_close(&self) -> Option<i64>;
}
