//! Snapshots and deltas: when the whole state of an operator is written, and when only what a batch added.

use arrow::array::RecordBatch;

use crate::EngineError;
use crate::checkpoint::records::OperatorState;
use crate::checkpoint::{Checkpoint, StateKind};
use crate::graph::OperatorChange;

/// After so many deltas the whole state is written.
const DELTAS: usize = 100;

/// Whether the next file should be a snapshot: after [`DELTAS`] deltas, so that a restart reads a bounded number of
/// files, however old the run is.
pub fn wants_snapshot(state: &OperatorState) -> bool {
    state.deltas.len() >= DELTAS
}

/// Writes the files of one operator after the batch `(batch id, epoch)`, and names them in `state`.
///
/// # Errors
/// When a file cannot be written.
pub fn write(
    checkpoint: &Checkpoint,
    (batch_id, epoch): (u64, u64),
    change: &mut OperatorChange,
    snapshot: Option<Vec<RecordBatch>>,
    state: &mut OperatorState,
) -> Result<(), EngineError> {
    let delta = change.delta.take();
    change.updated = delta.as_ref().map_or(0, |d| d.num_rows() as u64);
    if let Some(batches) = snapshot {
        state.deltas.clear();
        state.snapshot = None;
        if !batches.is_empty() {
            state.snapshot =
                Some(checkpoint.write_state(&change.id, batch_id, epoch, StateKind::Snapshot, &batches)?);
        }
    } else if let Some(delta) = delta {
        state.deltas.push(checkpoint.write_state(&change.id, batch_id, epoch, StateKind::Delta, &[delta])?);
    }
    Ok(())
}
