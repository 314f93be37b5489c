//! A checked pipeline made ready to run: one batch's rows go in, the rows of every table come out.
//!
//! ```text
//! source rows ──> flow of table 1 ──> expectations ──> DISTINCT ON ──> rows of table 1 ──> flow of table 2 ──> ...
//!                   │ late,             │ quarantined    │ duplicate        │
//!                   │ not computed
//! ```
//!
//! Tables run in topological order and each one's rows are computed once: they feed its sink, the report and every
//! table below. Between the stateless plans stand the operators, each a value that this module calls: so the state of a
//! batch is what those values hold, and nothing hides in a running stream.
//!
//! If a batch fails half-way the operators have taken in rows that were never committed: the runner must then be thrown
//! away and restored from the checkpoint.

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
