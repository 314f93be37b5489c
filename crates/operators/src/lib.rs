//! Operators with state: what a stream remembers between batches, and when it may forget.
//!
//! **Owns** event time and watermarks ([`watermark`]), the key encoding of state ([`keys`]), and the operators: [`dedup`] (`DISTINCT ON`)
//! and [`aggregate`] (`GROUP BY window(...)` and `session_window(...)`). Each is a plain struct that the engine calls once a batch: `process`
//! takes the batch's rows, then `close` takes the watermark at the batch's end. Between two batches an operator is nothing but its state.
//! The suite, `conformance` (feature `testing`), runs over any operator.
//!
//! **May not know** files, checkpoints, sources, sinks, or what else is in the pipeline. No operator does I/O, spawns a task, makes a
//! session, or reads a clock. The batch's clock is an argument.
//!
//! **States.** An operator's state is tables ([`State`]). `delta` returns the rows that a batch added, and `snapshot` all rows. Both have
//! one format, so that a state is restored from any snapshot and the deltas after it. No delta holds what was forgotten: that follows from
//! the watermark, which `restore` is given.
//!
//! **Invariants** (numbers of the design's section on exactly-once):
//!
//! - 1: `process` counts every row that it takes: absorbed, kept, duplicate, or filtered for a NULL event time.
//! - 3, 4: the same rows and watermarks in the same order give the same output, bit for bit, also if the state was restored between any two
//!   batches. Nothing depends on a hash table's iteration order.
//! - 5: lateness and dedup are decided row by row, so that they do not depend on where a topic was cut into batches. A row that is not late
//!   never meets a closed window. One that does is an error, and not a second output row.
//! - 7: no input panics: event times that no window can hold count as NULL.
//!
//! **A crash** loses what is in memory and nothing else: the engine restores the state of the last commit and replays the batch.

pub mod aggregate;
pub mod dedup;
pub mod error;
pub mod keys;
pub mod operator;
pub mod order;
pub mod segment;
pub mod watermark;

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
#[cfg(test)]
mod testing;

use datafusion::execution::SessionState;
use sluicebox_pipeline::graph::Node;
/// What is said of operators by kind.
pub use sluicebox_pipeline::graph::OperatorKind;

pub use aggregate::{SessionAggregate, WindowAggregate};
pub use dedup::Dedup;
pub use error::{Error, Result};
pub use operator::{Closed, Operator, Processed, RowStream, State, Step};
pub use order::in_offset_order;
pub use segment::{Segment, SegmentContent, SegmentFile, Work, Written};
pub use watermark::{AtEnd, ClauseConfig, Judgement, Watermark, WatermarkPolicy, WatermarkState};

/// The operator of `node`, with nothing in it; `None` of a node without state.
///
/// # Errors
/// As [`Dedup::try_new`] and [`aggregate::operator`].
pub fn operator_of(node: &Node, session: &SessionState) -> Result<Option<Box<dyn Operator>>> {
    let operator: Box<dyn Operator> = match node {
        Node::Stream(_) | Node::Plan(_) | Node::Late(_) => return Ok(None),
        Node::Dedup(node) => Box::new(Dedup::try_new(node)?),
        Node::Aggregate(node) => aggregate::operator(node, session)?,
    };
    Ok(Some(operator))
}
