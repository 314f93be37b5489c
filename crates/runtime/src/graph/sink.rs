//! The output of one table in one batch, and the trait of its receiver.

use arrow::array::RecordBatch;
use sluicebox_core::Fates;
use sluicebox_core::fate::Ledger;
use sluicebox_pipeline::graph::OnError;
use sluicebox_quality::{ErrorResult, ExpectationResult, FailUpdate};
use tokio::sync::mpsc;

use crate::RuntimeError;

/// What one table gives in one batch.
#[derive(Debug)]
pub struct TableOutput {
    /// The table.
    pub table: String,
    /// The rows to write, with their hidden columns, in order; without those that went another [`Route`].
    pub rows: Vec<RecordBatch>,
    /// Late rows, with the columns of [`sluicebox_pipeline::graph::LateColumns`].
    pub late: Vec<RecordBatch>,
    /// Rows for the quarantine: visible columns and what `sluicebox_quality` adds.
    pub quarantined: Vec<RecordBatch>,
    /// Which of the ledger's equations hold for the table.
    pub ledger: Ledger,
    /// The counts.
    pub fates: Fates,
    /// The least and greatest event time of the rows to write, microseconds since 1970.
    pub event_time: Option<(i64, i64)>,
    /// The watermark of the table's rows after the batch.
    pub watermark: Option<i64>,
    /// Rows whose event time was ahead of the clock by more than `maxFuture`.
    pub future: u64,
    /// What became of each expectation.
    pub expectations: Vec<ExpectationResult>,
    /// The expectation that fails the batch, if one does.
    pub failed: Option<FailUpdate>,
    /// What could not be computed.
    pub errors: Vec<ErrorResult>,
}

impl TableOutput {
    /// What could not be computed, if that fails the batch.
    #[must_use]
    pub fn failed_row(&self) -> Option<&ErrorResult> {
        self.errors.iter().find(|error| error.on_error == OnError::Fail)
    }

    /// Lets go of the rows; the counts stay.
    pub fn forget_rows(&mut self) {
        self.rows.clear();
        self.late.clear();
        self.quarantined.clear();
    }
}

/// What becomes of the rows of a table that come a few at a time.
#[derive(Debug)]
pub enum Route {
    /// They are put together and handed on as a whole.
    Collect,
    /// They are counted.
    Discard,
    /// They are sent on.
    Send(mpsc::Sender<RecordBatch>),
}

/// Takes what tables give.
///
/// ```
/// use sluicebox_core::Fates;
/// use sluicebox_runtime::RuntimeError;
/// use sluicebox_runtime::graph::{Route, TableOutput, TableSink};
///
/// /// Adds up fates. It needs no rows.
/// #[derive(Default)]
/// struct Sums(Fates);
///
/// impl TableSink for Sums {
///     fn table(&mut self, output: &TableOutput) -> Result<(), RuntimeError> {
///         self.0 += output.fates;
///         Ok(())
///     }
///
///     fn route(&mut self, _table: &str) -> Result<Route, RuntimeError> {
///         Ok(Route::Discard)
///     }
/// }
///
/// let mut sums = Sums::default();
/// assert!(matches!(sums.route("orders")?, Route::Discard));
/// # Ok::<(), RuntimeError>(())
/// ```
pub trait TableSink: Send {
    /// All that a table gave in a batch, as soon as it is there; without the rows that have been sent on.
    ///
    /// # Errors
    /// When it cannot be taken: the batch has failed.
    fn table(&mut self, output: &TableOutput) -> Result<(), RuntimeError>;

    /// Is asked once for a table whose rows come a few at a time.
    ///
    /// # Errors
    /// As for `table`.
    fn route(&mut self, table: &str) -> Result<Route, RuntimeError> {
        let _ = table;
        Ok(Route::Collect)
    }

    /// Whether it has all that it needs of rows once it was given them. Then they are let go of, unless a table below reads them.
    fn lets_go(&self) -> bool {
        false
    }

    /// Is awaited before a table is computed: until what was given before takes little memory.
    fn ready(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

impl<F: FnMut(&TableOutput) -> Result<(), RuntimeError> + Send> TableSink for F {
    fn table(&mut self, output: &TableOutput) -> Result<(), RuntimeError> {
        self(output)
    }
}
