//! The traits of operators with state.

use std::future::Future;
use std::pin::Pin;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::Stream;
use sluicebox_core::{Masked, masked};

use crate::error::{Error, Result};
use crate::segment::{Segment, Work};

/// A step that is under way. Dropping it leaves the operator's state undefined: restore it.
pub type Step<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Rows that are made as they are asked for, in batches of bounded size. The operator has already let go of what they are
/// made of, and may be used meanwhile.
pub type RowStream = Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send>>;

/// What closing gave.
pub enum Closed {
    /// All rows.
    Rows(Vec<RecordBatch>),
    /// More than are worth holding.
    Stream(RowStream),
}

/// What became of the rows of one batch in one operator: `rows` are those that go on, and every row that came in is
/// counted once, in `rows`, `absorbed`, `duplicate`, `filtered_null_event_time` or `filtered_without_window`.
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
    /// Rows left out because a window that holds their event time begins before what 64 bits of microseconds can say.
    pub filtered_without_window: u64,
}

/// The part of an operator that outlives a batch, as tables.
///
/// A state is restored from segments or one `snapshot`, or none of both, followed by every `delta` after it, in order.
///
/// **Segments** ([`crate::segment`]) are for states larger than memory; an operator that [has them](Self::has_segments) is
/// not asked for a snapshot. After `delta` the engine may ask it to `fold` what it holds in memory into a new segment, or
/// to `merge` some into one. Both are written beside the batches that follow, one of them at a time; when the file is
/// durable the engine lets the operator `adopt` it, and the next commit names it in place of the deltas up to the batch of
/// the fold, or of what it replaces. Until then the operator answers from what it had. A segment that was never adopted has no
/// effect.
///
/// ```
/// use std::sync::Arc;
///
/// use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt64Array};
/// use arrow::datatypes::{SchemaRef, UInt64Type};
/// use sluicebox_operators::{Error, Result, State};
///
/// /// Remembers how many rows there were.
/// #[derive(Default)]
/// struct Count {
///     rows: u64,
///     gained: u64,
/// }
///
/// fn state(rows: u64) -> RecordBatch {
///     let column: ArrayRef = Arc::new(UInt64Array::from(vec![rows]));
///     RecordBatch::try_from_iter([("rows", column)]).unwrap()
/// }
///
/// impl State for Count {
///     fn delta(&mut self) -> Result<Option<RecordBatch>> {
///         let gained = std::mem::take(&mut self.gained);
///         Ok((gained > 0).then(|| state(gained)))
///     }
///
///     fn snapshot(&self) -> Result<Vec<RecordBatch>> {
///         Ok(vec![state(self.rows)])
///     }
///
///     fn restore(&mut self, batches: Vec<RecordBatch>, _: Option<i64>) -> Result<()> {
///         let counts = batches.iter().flat_map(|batch| batch.column(0).as_primitive::<UInt64Type>().values().iter());
///         *self = Self { rows: counts.sum(), gained: 0 };
///         Ok(())
///     }
/// #    fn id(&self) -> &str {
/// #        "orders.count.0"
/// #    }
/// #    fn state_schema(&self) -> SchemaRef {
/// #        state(0).schema()
/// #    }
/// #    fn fingerprint(&self) -> String {
/// #        "count".to_owned()
/// #    }
/// #    fn memory_bytes(&self) -> usize {
/// #        size_of::<Self>()
/// #    }
/// #    fn rows(&self) -> u64 {
/// #        1
/// #    }
/// }
///
/// // Two rows, a snapshot, three more rows, their delta.
/// let snapshot = Count { rows: 2, gained: 0 }.snapshot()?;
/// let delta = Count { rows: 5, gained: 3 }.delta()?;
/// let mut restored = Count::default();
/// restored.restore(snapshot.into_iter().chain(delta).collect(), None)?;
/// assert_eq!(restored.rows, 5);
/// # Ok::<(), Error>(())
/// ```
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

    /// The whole state but what is in segments, what the next `delta` will say included. Equal states give equal snapshots.
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

    /// Whether the state lives in segments from here on: it is folded after a number of deltas, where others are asked for a
    /// snapshot. Whatever it says, an operator with [`foldable_bytes`](Self::foldable_bytes) is folded when its share of
    /// the budget is used up. Asked in each batch.
    fn has_segments(&self) -> bool {
        false
    }

    /// Takes the segments that a commit names, oldest first, behind what `restore` has just put back: they are older than
    /// its batches.
    ///
    /// # Errors
    /// [`Error::Segment`] when a tail is not what the operator writes, [`Error::StateShape`] when the operator has no
    /// segments.
    fn attach(&mut self, segments: Vec<Segment>) -> Result<()> {
        if segments.is_empty() {
            return Ok(());
        }
        let detail = "it is in segments, which this operator does not have".to_owned();
        Err(Error::StateShape { operator: self.id().to_owned(), detail })
    }

    /// Bytes of memory that `fold` would free in the end; 0 of an operator that never folds.
    fn foldable_bytes(&self) -> usize {
        0
    }

    /// A segment of everything in memory that is in no segment; `None` when there is nothing of it that must be remembered:
    /// the deltas so far are then forgotten at once.
    ///
    /// # Errors
    /// When the rows cannot be put together.
    fn fold(&mut self) -> Result<Option<Work>> {
        Ok(None)
    }

    /// A segment in place of several, if there are too many, or too much in them is over.
    ///
    /// # Errors
    /// When the rows cannot be put together.
    fn merge(&mut self) -> Result<Option<Work>> {
        Ok(None)
    }

    /// Goes on with the segment that the last `fold` or `merge` asked for, in place of those of the names `replaces`; with
    /// `None` when nothing had to go into it.
    ///
    /// # Errors
    /// As for `attach`.
    fn adopt(&mut self, segment: Option<Segment>, replaces: &[String]) -> Result<()> {
        let _ = replaces;
        self.attach(segment.into_iter().collect())
    }

    /// Gives up the segments of which nothing need be remembered any more, and gives their names. Called before and after
    /// work is adopted.
    fn release(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Frees memory that only saves a look into segments.
    fn evict(&mut self) {}

    /// What the format and meaning of the state depend on, as text. A state is only restored into an operator of an
    /// equal fingerprint.
    fn fingerprint(&self) -> String;

    /// Bytes of memory that the state takes.
    fn memory_bytes(&self) -> usize;

    /// Rows that a snapshot would have, and those in segments.
    fn rows(&self) -> u64;
}

/// An operator with state. In batch N the engine calls `process` with the rows that are not late, then `close` with
/// W(N), then `delta`. The suite of the module `conformance` (feature `testing`) tries the promises below, and those of [`State`].
///
/// ```
/// use std::sync::Arc;
///
/// use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
/// # use arrow::datatypes::SchemaRef;
/// use futures::executor::block_on;
/// use sluicebox_operators::{Error, Operator, Processed, Result, State, Step};
///
/// /// Counts its rows, and gives their number when the watermark has reached `end`.
/// struct Count {
///     end: i64,
///     rows: u64,
/// }
///
/// fn total(rows: u64) -> RecordBatch {
///     let column: ArrayRef = Arc::new(UInt64Array::from(vec![rows]));
///     RecordBatch::try_from_iter([("rows", column)]).unwrap()
/// }
/// # impl State for Count {
/// #    fn id(&self) -> &str {
/// #        "orders.count.0"
/// #    }
/// #    fn state_schema(&self) -> SchemaRef {
/// #        total(0).schema()
/// #    }
/// #    fn delta(&mut self) -> Result<Option<RecordBatch>> {
/// #        Ok(None)
/// #    }
/// #    fn snapshot(&self) -> Result<Vec<RecordBatch>> {
/// #        Ok(vec![total(self.rows)])
/// #    }
/// #    fn restore(&mut self, _: Vec<RecordBatch>, _: Option<i64>) -> Result<()> {
/// #        Ok(())
/// #    }
/// #    fn fingerprint(&self) -> String {
/// #        "count".to_owned()
/// #    }
/// #    fn memory_bytes(&self) -> usize {
/// #        size_of::<Self>()
/// #    }
/// #    fn rows(&self) -> u64 {
/// #        1
/// #    }
/// # }
///
/// impl Operator for Count {
///     fn process<'a>(&'a mut self, rows: &'a [RecordBatch]) -> Step<'a, Processed> {
///         let absorbed = rows.iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
///         self.rows += absorbed;
///         Box::pin(async move { Ok(Processed { absorbed, ..Processed::default() }) })
///     }
///
///     fn close(&mut self, watermark: i64) -> Step<'_, Vec<RecordBatch>> {
///         let closed = self.next_close().is_some_and(|end| end <= watermark);
///         let rows = if closed { vec![total(std::mem::take(&mut self.rows))] } else { Vec::new() };
///         Box::pin(async move { Ok(rows) })
///     }
///
///     fn next_close(&self) -> Option<i64> {
///         (self.rows > 0).then_some(self.end)
///     }
/// }
///
/// let mut operator = Count { end: 60, rows: 0 };
/// let processed = block_on(operator.process(&[total(1), total(1)]))?;
/// assert_eq!((processed.absorbed, operator.next_close()), (2, Some(60)));
/// assert!(block_on(operator.close(59))?.is_empty());
/// assert_eq!(block_on(operator.close(60))?, [total(2)]);
/// assert!(block_on(operator.close(60))?.is_empty());
/// # Ok::<(), Error>(())
/// ```
pub trait Operator: State + Send {
    /// Takes the rows of one batch that are not late: all of them in one call.
    fn process<'a>(&'a mut self, rows: &'a [RecordBatch]) -> Step<'a, Processed>;

    /// As [`process`](Self::process), for rows among others, which it need not copy before it leaves out some more.
    fn process_masked(&mut self, rows: Vec<Masked>) -> Step<'_, Processed> {
        Box::pin(async move {
            let rows = masked::into_rows(rows).map_err(Error::arrow("take rows out"))?;
            self.process(&rows).await
        })
    }

    /// Closes what ends at or before `watermark` (microseconds since 1970) and gives the rows that are now final, in the
    /// operator's order. A watermark at or before an earlier one does nothing.
    fn close(&mut self, watermark: i64) -> Step<'_, Vec<RecordBatch>>;

    /// As [`close`](Self::close), for whoever can take many rows a few at a time. Which of both it is depends on the state
    /// alone; the rows and their order are the same.
    fn close_rows(&mut self, watermark: i64) -> Step<'_, Closed> {
        Box::pin(async move { self.close(watermark).await.map(Closed::Rows) })
    }

    /// The lowest watermark at which `close` would give rows; `None` while there is nothing to give. Says whether a
    /// batch without data is worth running, and for a table with nothing out yet, when its first row will come.
    fn next_close(&self) -> Option<i64>;
}
