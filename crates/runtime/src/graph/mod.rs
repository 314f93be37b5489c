//! A compiled pipeline: it takes one batch's rows and returns the rows of every table.
//!
//! ```text
//! source rows ──> flow of table 1 ──> expectations ──> DISTINCT ON ──> rows of table 1 ──> flow of table 2 ──> ...
//!                   │ late,             │ quarantined    │ duplicate        │
//!                   │ not computed
//! ```
//!
//! Tables run in topological order. The rows of each are computed once, for its sink, the report and every table below. Between the
//! stateless plans are the operators, plain values that this module calls. So all state of a pipeline is in those values, and none hides in
//! a running stream.
//!
//! If a batch fails half-way, the operators have taken in rows that were never committed. The runner must then be dropped, and a new one
//! restored from the checkpoint.

mod compile;
mod flow;
mod guard;
mod late;
mod sink;
mod state;
mod stream;
mod table;
mod waits;

pub use compile::{ClauseSettings, Runner};
pub use sink::{Route, TableOutput, TableSink};
pub use state::OperatorChange;
pub use waits::Wait;

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use sluicebox_core::PartitionId;
/// Part of [`BatchInput`].
pub use sluicebox_operators::AtEnd;

/// What the graph is given for one batch.
#[derive(Debug)]
pub struct BatchInput {
    /// The batch's clock, microseconds since 1970 UTC.
    pub clock_micros: i64,
    /// The partitions that `__sb_part` counts, sorted.
    pub partitions: Vec<PartitionId>,
    /// How each partition stands at the end of the batch.
    pub at_end: BTreeMap<PartitionId, AtEnd>,
    /// Whether all partitions are idle, because an available-now run ends here.
    pub finishing: bool,
    /// The rows of each source, in the order of partition and offset.
    pub rows: BTreeMap<String, Vec<RecordBatch>>,
}
