//! The state of all operators of a graph: the changes of a batch, the snapshot, and the restore.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::RecordBatch;
use sluicebox_core::PartitionId;
use sluicebox_operators::{AtEnd, Operator, OperatorKind, Watermark, WatermarkState};

use super::compile::{RunNode, RunOperator, Runner, lowest};
use crate::RuntimeError;

/// What one batch changed in one operator.
#[derive(Debug)]
pub struct OperatorChange {
    /// The operator's id.
    pub id: String,
    /// The table whose query it is in.
    pub table: String,
    /// What it does.
    pub kind: &'static OperatorKind,
    /// Of its plan.
    pub fingerprint: String,
    /// What the batch added; `None` when nothing.
    pub delta: Option<RecordBatch>,
    /// Rows of the delta.
    pub updated: u64,
    /// Keys or groups that it now holds.
    pub rows: u64,
    /// Bytes that it holds in memory.
    pub memory_bytes: usize,
    /// Keys or groups that the batch let go.
    pub removed: u64,
    /// How long taking in the batch's rows took.
    pub updates: Duration,
    /// How long closing what was final took.
    pub removals: Duration,
    /// How long writing its state took.
    pub commit: Duration,
}

impl Runner {
    /// Every operator, in a fixed order.
    fn operators(&mut self) -> Vec<&mut RunOperator> {
        let mut all = Vec::new();
        for table in &mut self.tables {
            for flow in &mut table.flows {
                all.extend(&mut flow.dedup);
                collect(&mut flow.candidates, &mut all);
            }
        }
        all
    }

    fn operator(&mut self, id: &str) -> Result<&mut RunOperator, RuntimeError> {
        self.operators()
            .into_iter()
            .find(|run| run.operator.id() == id)
            .ok_or_else(|| RuntimeError::Bug(format!("no operator `{id}`")))
    }

    /// The ids of all operators, in a fixed order.
    pub(crate) fn operator_ids(&mut self) -> Vec<String> {
        self.operators().into_iter().map(|run| run.operator.id().to_owned()).collect()
    }

    /// Bytes of memory that all state takes.
    pub(crate) fn memory_bytes(&mut self) -> usize {
        self.operators().into_iter().map(|run| run.operator.memory_bytes()).sum()
    }

    /// The operator `id`.
    ///
    /// # Errors
    /// When there is no such operator.
    pub(crate) fn operator_mut(&mut self, id: &str) -> Result<&mut dyn Operator, RuntimeError> {
        Ok(self.operator(id)?.operator.as_mut())
    }

    /// The changes since this was last called.
    ///
    /// # Errors
    /// When a delta cannot be made.
    pub fn changes(&mut self) -> Result<Vec<OperatorChange>, RuntimeError> {
        let mut changes = Vec::new();
        for run in self.operators() {
            let delta = run.operator.delta()?;
            changes.push(OperatorChange {
                id: run.operator.id().to_owned(),
                table: run.table.clone(),
                kind: run.kind,
                fingerprint: run.operator.fingerprint(),
                updated: 0,
                delta,
                rows: run.operator.rows(),
                memory_bytes: run.operator.memory_bytes(),
                removed: run.removed,
                updates: run.updates,
                removals: run.removals,
                commit: Duration::ZERO,
            });
        }
        Ok(changes)
    }

    /// The whole state of operator `id`.
    ///
    /// # Errors
    /// When there is no such operator, or its state cannot be put together.
    pub fn snapshot(&mut self, id: &str) -> Result<Vec<RecordBatch>, RuntimeError> {
        Ok(self.operator(id)?.operator.snapshot()?)
    }

    /// The ids and fingerprints of all operators.
    pub fn fingerprints(&mut self) -> BTreeMap<String, String> {
        self.operators().into_iter().map(|run| (run.operator.id().to_owned(), run.operator.fingerprint())).collect()
    }

    /// Puts the state of operator `id` back: a snapshot's batches, then those of the deltas, in order. The watermarks
    /// must have been put back before.
    ///
    /// # Errors
    /// When there is no such operator, or the state is not its own.
    pub fn restore(&mut self, id: &str, batches: Vec<RecordBatch>) -> Result<(), RuntimeError> {
        let clauses = self.operator(id)?.clauses.clone();
        let watermark = lowest(&self.clauses, &clauses);
        self.restore_at(id, batches, watermark)
    }

    /// As [`Runner::restore`], of a state that stands at another watermark than those put back: up to that one it is
    /// closed, and no further.
    ///
    /// # Errors
    /// As [`Runner::restore`].
    pub fn restore_at(
        &mut self,
        id: &str,
        batches: Vec<RecordBatch>,
        watermark: Option<i64>,
    ) -> Result<(), RuntimeError> {
        self.operator(id)?.operator.restore(batches, watermark)?;
        Ok(())
    }

    /// Whether a batch without data would give rows or free state now: some watermark would move, by idleness, to or
    /// past what an operator waits for. At the end of a run that finishes, whether one would move at all: which rows of a
    /// later run are late must not depend on what else the pipeline holds.
    pub fn wants_empty_batch(
        &mut self,
        clock_micros: i64,
        at_end: &BTreeMap<PartitionId, AtEnd>,
        finishing: bool,
    ) -> bool {
        let moved: BTreeMap<String, Option<i64>> = self
            .clauses
            .iter()
            .map(|(id, clause)| {
                let mut watermark = clause.watermark.clone();
                (id.clone(), watermark.end_batch(clock_micros, &clause.watched(at_end), finishing))
            })
            .collect();
        if finishing && self.clauses.iter().any(|(id, clause)| moved.get(id) != Some(&clause.watermark.watermark())) {
            return true;
        }
        let set_back = !finishing && self.clauses.values().any(|c| c.watermark.clock_went_back(clock_micros));
        self.operators().into_iter().any(|run| {
            if set_back && run.operator.next_close().is_some() {
                return true;
            }
            let after = run.clauses.iter().map(|id| moved.get(id).copied().flatten()).min().flatten();
            matches!((run.operator.next_close(), after), (Some(next), Some(after)) if next <= after)
        })
    }

    /// The watermarks' state, for the commit.
    #[must_use]
    pub fn watermark_states(&self) -> BTreeMap<String, WatermarkState> {
        self.clauses.iter().map(|(id, clause)| (id.clone(), clause.watermark.state())).collect()
    }

    /// Puts the watermarks' state back. Clauses that the commit does not know start anew.
    pub fn restore_watermarks(&mut self, states: &BTreeMap<String, WatermarkState>) {
        for (id, clause) in &mut self.clauses {
            if let Some(state) = states.get(id) {
                clause.watermark = Watermark::restore(clause.watermark.config().clone(), state.clone());
            }
        }
    }

    /// The watermarks in force, by clause.
    #[must_use]
    pub fn watermarks(&self) -> BTreeMap<String, Option<i64>> {
        self.clauses.iter().map(|(id, clause)| (id.clone(), clause.watermark.watermark())).collect()
    }
}

fn collect<'a>(node: &'a mut RunNode, all: &mut Vec<&'a mut RunOperator>) {
    match node {
        RunNode::Stream { .. } => {}
        RunNode::Plan(plan) => plan.inputs.iter_mut().for_each(|(_, input)| collect(input, all)),
        RunNode::Late(input) => collect(input, all),
        RunNode::Operator(input, operator) => {
            all.push(operator);
            collect(input, all);
        }
    }
}
