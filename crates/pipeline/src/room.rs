//! How much the values may take that a query computes of a batch.
//!
//! A row may become much larger than it was: `lpad(s, k)` with `k` from the row, the rows of `explode(sequence(0, n))`. Each is bounded by
//! itself (`sluicebox_functions`), all rows of a batch together are not. So what a query computes is counted where it is made: [`watched`] puts
//! a node above each projection and each unnest of a plan, which fails when the values take more than there is room for, and one below each
//! unnest, which hands it few enough rows at a time that it makes no more than a [`PIECE`] of them.
//!
//! What is counted of a column is what it takes beyond [`FREE`] bytes for each row that comes in and [`TIMES`] what these rows take: so queries whose
//! columns are about as large as what they read have all the room that their batches need, and what is counted is growth.

use std::fmt::Formatter;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::unnest::{ListUnnest, UnnestExec};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, stream};
use sluicebox_functions::size;

#[cfg(test)]
mod tests;

/// Bytes that a value may take, for each row that comes in, without being counted.
pub const FREE: usize = 64;

/// Bytes that values may take without being counted, for each byte of what they are computed of.
pub const TIMES: usize = 4;

/// So many bytes do the rows about take that an unnest makes at once.
pub const PIECE: usize = 8 << 20;

/// So many bytes may the rows take that an unnest makes of one.
pub const LARGEST: usize = 64 << 20;

/// What there is room for. Several nodes of a plan share it.
#[derive(Debug)]
pub struct Room {
    whole: usize,
    left: AtomicUsize,
}

impl Room {
    /// For so many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self { whole: bytes, left: AtomicUsize::new(bytes) }
    }

    /// For as many as the memory pool of `session` holds; without a limit if that has none.
    #[must_use]
    pub fn of(session: &SessionState) -> Self {
        match session.runtime_env().memory_pool.memory_limit() {
            MemoryLimit::Finite(bytes) => Self::new(bytes),
            MemoryLimit::Infinite | MemoryLimit::Unknown => Self::new(usize::MAX),
        }
    }

    /// Takes `bytes` of it. False if there are not so many left; none are taken then.
    #[must_use]
    pub fn take(&self, bytes: usize) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    /// Why a row does not fit.
    #[must_use]
    pub fn why(&self) -> Full {
        Full { bytes: self.whole }
    }
}

/// There is no room left for what a query computes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no room for it: the query has made {bytes} bytes of this batch, all that 'query.memory' allows")]
pub struct Full {
    /// What there was room for.
    pub bytes: usize,
}

/// Whether `error` is about memory that a query may not have.
#[must_use]
pub fn is_full(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => true,
        DataFusionError::External(inner) => inner.is::<Full>(),
        _ => false,
    }
}

/// What `rows` may become in each column without being counted.
#[must_use]
pub fn free(rows: &[RecordBatch]) -> usize {
    let of = |batch: &RecordBatch| {
        FREE * batch.num_rows() + TIMES * batch.columns().iter().map(|column| size::of(column)).sum::<usize>()
    };
    rows.iter().map(of).sum()
}

/// `plan` with what it makes counted against `room`, but for `free` bytes in each column, and with its unnests fed by pieces.
///
/// # Errors
/// None for a plan that could be made once.
pub fn watched(plan: Arc<dyn ExecutionPlan>, room: &Arc<Room>, free: usize) -> Result<Arc<dyn ExecutionPlan>> {
    let count = |node: Arc<dyn ExecutionPlan>| -> Arc<dyn ExecutionPlan> {
        Arc::new(Gate { input: node, does: Does::Count { room: Arc::clone(room), free } })
    };
    let watched = plan.transform_up(|node| {
        let makes = node.downcast_ref::<ProjectionExec>().is_some_and(makes);
        Ok(match in_pieces(&node)? {
            Some(unnest) => Transformed::yes(count(unnest)),
            None if makes => Transformed::yes(count(node)),
            None => Transformed::no(node),
        })
    })?;
    Ok(watched.data)
}

/// `plan` with its unnests fed by pieces.
///
/// # Errors
/// None for a plan that could be made once.
pub fn pieced(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let pieced =
        plan.transform_up(|node| Ok(in_pieces(&node)?.map_or_else(|| Transformed::no(node), Transformed::yes)))?;
    Ok(pieced.data)
}

/// Whether a projection has a column that may be of any length and is none of those that it is given.
fn makes(projection: &ProjectionExec) -> bool {
    let schema = projection.schema();
    let of_any_length = |data_type: &DataType| data_type.primitive_width().is_none();
    projection
        .expr()
        .iter()
        .zip(schema.fields())
        .any(|(e, field)| !e.expr.is::<Column>() && of_any_length(field.data_type()))
}

/// An unnest of lists that is given pieces.
fn in_pieces(node: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(unnest) = node.downcast_ref::<UnnestExec>() else { return Ok(None) };
    let lists = unnest.list_column_indices().to_vec();
    if lists.is_empty() {
        return Ok(None);
    }
    let input = Arc::new(Gate { input: Arc::clone(unnest.input()), does: Does::Cut { lists: lists.clone() } });
    let structs = unnest.struct_column_indices().to_vec();
    let made = UnnestExec::new(input, lists, structs, unnest.schema(), unnest.options().clone())?;
    Ok(Some(Arc::new(made)))
}

/// A node that lets batches through.
#[derive(Debug, Clone)]
struct Gate {
    input: Arc<dyn ExecutionPlan>,
    does: Does,
}

/// What a [`Gate`] does with batches.
#[derive(Debug, Clone)]
enum Does {
    /// Fails when they are more than there is room for.
    Count { room: Arc<Room>, free: usize },
    /// Cuts them so that not too much becomes of each.
    Cut { lists: Vec<ListUnnest> },
}

impl DisplayAs for Gate {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut Formatter<'_>) -> std::fmt::Result {
        match &self.does {
            Does::Count { .. } => write!(f, "Gate: count"),
            Does::Cut { .. } => write!(f, "Gate: cut"),
        }
    }
}

impl ExecutionPlan for Gate {
    fn name(&self) -> &str {
        "Gate"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self { input, does: self.does.clone() })),
            _ => Err(DataFusionError::Internal("a gate has one input".to_owned())),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let schema: SchemaRef = input.schema();
        let through = match &self.does {
            Does::Count { room, free } => {
                let (room, free) = (Arc::clone(room), *free);
                let mut counts = vec![0; schema.fields().len()];
                let counted = input.map(move |batch| -> Result<RecordBatch> {
                    let batch = batch?;
                    count(&batch, &mut counts, &room, free)?;
                    Ok(batch)
                });
                counted.boxed()
            }
            Does::Cut { lists } => {
                let lists = lists.clone();
                let cut = input.flat_map(move |batch| {
                    let pieces = batch.and_then(|batch| pieces(&batch, &lists));
                    stream::iter(pieces.map_or_else(|e| vec![Err(e)], |all| all.into_iter().map(Ok).collect()))
                });
                cut.boxed()
            }
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, through)))
    }
}

/// Adds what the columns of `batch` take to `counts`, and takes what is more than `free` from `room`.
fn count(batch: &RecordBatch, counts: &mut [usize], room: &Room, free: usize) -> Result<()> {
    for (column, count) in batch.columns().iter().zip(counts) {
        let before = count.saturating_sub(free);
        *count = count.saturating_add(size::of(column));
        if !room.take(count.saturating_sub(free) - before) {
            return Err(DataFusionError::External(Box::new(room.why())));
        }
    }
    Ok(())
}

/// `batch` in pieces, of which an unnest of `lists` makes about a [`PIECE`] each.
///
/// # Errors
/// When more than [`LARGEST`] becomes of one row. The engine then looks at each row alone.
pub fn pieces(batch: &RecordBatch, lists: &[ListUnnest]) -> Result<Vec<RecordBatch>> {
    let mut pieces = Vec::new();
    let (mut start, mut bytes) = (0, 0_usize);
    for (row, made) in unnested(batch, lists).into_iter().enumerate() {
        if made > LARGEST {
            return Err(DataFusionError::Execution(too_large(made)));
        }
        if row > start && bytes.saturating_add(made) > PIECE {
            pieces.push(batch.slice(start, row - start));
            (start, bytes) = (row, 0);
        }
        bytes = bytes.saturating_add(made);
    }
    if start < batch.num_rows() {
        pieces.push(batch.slice(start, batch.num_rows() - start));
    }
    Ok(pieces)
}

/// What is wrong with a row that becomes rows of `bytes` in all.
#[must_use]
pub fn too_large(bytes: usize) -> String {
    format!("its rows would take {bytes} bytes, and those of one row may take {LARGEST}")
}

/// About how many bytes the rows take that an unnest of `lists` makes of each row of `batch`: the other columns are in each of them.
#[must_use]
pub fn unnested(batch: &RecordBatch, lists: &[ListUnnest]) -> Vec<usize> {
    let is_list = |at: usize| lists.iter().any(|list| list.index_in_input_schema == at);
    let deep = lists.iter().any(|list| list.depth > 1);
    let of_row = |row: usize| {
        let counts = lists.iter().map(|list| elements(batch.column(list.index_in_input_schema), row, list.depth));
        // How lists in lists meet others is not known from here: each may with each.
        let rows = if deep {
            counts.fold(1, |all: usize, n| all.saturating_mul(n.max(1)))
        } else {
            counts.max().unwrap_or(0).max(1)
        };
        let mut bytes = 0_usize;
        for (at, column) in batch.columns().iter().enumerate() {
            let times = if is_list(at) { 1 } else { rows };
            bytes = bytes.saturating_add(size::row(column, row).saturating_mul(times));
        }
        bytes
    };
    (0..batch.num_rows()).map(of_row).collect()
}

/// How many elements the list at `row` has, `depth` lists deep.
fn elements(lists: &ArrayRef, row: usize, depth: usize) -> usize {
    if lists.is_null(row) {
        return 0;
    }
    let list = match lists.data_type() {
        DataType::List(_) => lists.as_list::<i32>().value(row),
        DataType::LargeList(_) => lists.as_list::<i64>().value(row),
        DataType::FixedSizeList(..) => lists.as_fixed_size_list().value(row),
        DataType::ListView(_) => lists.as_list_view::<i32>().value(row),
        DataType::LargeListView(_) => lists.as_list_view::<i64>().value(row),
        _ => return 0,
    };
    if depth <= 1 { list.len() } else { (0..list.len()).map(|at| elements(&list, at, depth - 1).max(1)).sum() }
}
