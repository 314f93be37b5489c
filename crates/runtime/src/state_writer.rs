//! The files of operators' state: written after each batch, and read at the start.
//!
//! After a batch the writer writes each operator's delta: what the batch added. From time to time the memory is folded into segments
//! ([`crate::segments`]), or written whole as a snapshot by operators without segments. So a restart reads a bounded number of deltas,
//! however old the run is.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use sluicebox_checkpoint::records::OperatorState;
use sluicebox_checkpoint::{Checkpoint, StateKind};
use sluicebox_core::Clock;

use crate::RuntimeError;
use crate::graph::{OperatorChange, Runner};
use crate::segments::Segments;

/// Writes what the batch `(batch id, epoch)` changed in each operator, and names in `states` what a restart needs: the files
/// of the commit before when it is called, those of the commit to come when it returns.
///
/// # Errors
/// When a file cannot be written.
pub async fn write(
    checkpoint: &Checkpoint,
    batch: (u64, u64),
    runner: &mut Runner,
    changes: &mut [OperatorChange],
    segments: &mut Segments,
    states: &mut BTreeMap<String, OperatorState>,
    clock: &dyn Clock,
) -> Result<(), RuntimeError> {
    for change in changes {
        let state = states.entry(change.id.clone()).or_default();
        state.fingerprint.clone_from(&change.fingerprint);
        let whole = state.deltas.len() >= segments.deltas() && !runner.operator_mut(&change.id)?.has_segments();
        let snapshot = if whole { Some(runner.snapshot(&change.id)?) } else { None };
        let started = clock.monotonic();
        write_one(checkpoint, batch, change, snapshot, state)?;
        change.commit = clock.monotonic().saturating_sub(started);
    }
    segments.settle(runner, checkpoint, batch, states).await
}

fn write_one(
    checkpoint: &Checkpoint,
    (batch_id, epoch): (u64, u64),
    change: &mut OperatorChange,
    snapshot: Option<Vec<RecordBatch>>,
    state: &mut OperatorState,
) -> Result<(), RuntimeError> {
    let delta = change.delta.take();
    change.updated = delta.as_ref().map_or(0, |d| d.num_rows() as u64);
    if let Some(batches) = snapshot {
        // The old snapshot goes even if the state is empty now: a start would leave its closed windows out, but what a commit names
        // is never purged, and must follow from what the one before named.
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

/// Puts the operators of `runner` back as `states` says. Those in `filled` stand at the watermark there, the others at that
/// of the runner's clauses, which must have been put back before.
///
/// # Errors
/// When a file is missing or damaged, or a state is not its operator's.
pub fn read(
    checkpoint: &Checkpoint,
    runner: &mut Runner,
    states: &BTreeMap<String, OperatorState>,
    filled: &BTreeMap<String, Option<i64>>,
) -> Result<(), RuntimeError> {
    for (id, fingerprint) in runner.fingerprints() {
        // An operator that the commit does not know belongs to a table that was added since: it starts empty.
        let Some(state) = states.get(&id) else { continue };
        if state.fingerprint != fingerprint {
            return Err(RuntimeError::OtherState { operator: id });
        }
        let mut batches = Vec::new();
        for file in state.snapshot.iter().chain(&state.deltas) {
            batches.extend(checkpoint.read_state(&id, file)?);
        }
        match filled.get(&id) {
            Some(watermark) => runner.restore_at(&id, batches, *watermark)?,
            None => runner.restore(&id, batches)?,
        }
        let segments = state.segments.iter().map(|s| checkpoint.open_segment(s)).collect::<Result<_, _>>()?;
        runner.operator_mut(&id)?.attach(segments)?;
    }
    Ok(())
}
