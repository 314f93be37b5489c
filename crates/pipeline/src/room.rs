//! Limits the memory of the values that a query computes from a batch.
//!
//! A row may grow: `lpad(s, k)` with `k` from the row, the rows of `explode(sequence(0, n))`. `sluicebox_functions` limits each value;
//! nothing there limits all rows of a batch together. So values are counted where they are made. [`watched`] puts a node above each
//! projection and each unnest of a plan, which fails when the values take more memory than there is room for. It also puts one below each
//! unnest, which passes on so few rows at a time that the unnest makes at most a [`PIECE`] of them.
//!
//! A column counts with what it takes beyond [`FREE`] bytes for each incoming row and [`TIMES`] the size of its inputs. So a query whose
//! columns are about as large as its inputs has all the room that its batches need: growth alone is counted. A node below each counting
//! node measures the inputs. A column that is not an input of a value, however large, gives it no room to grow.

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
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::unnest::{ListUnnest, UnnestExec};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use futures::{StreamExt, TryStreamExt, stream};
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

/// What a column is computed of.
#[derive(Debug, Clone)]
enum Of {
    /// It is one of those that come in, and takes nothing.
    Itself,
    /// These columns.
    These(Vec<usize>),
    /// All of them.
    All,
}

/// What came into a node so far.
#[derive(Debug)]
struct Seen {
    rows: AtomicUsize,
    /// Bytes of each column.
    bytes: Vec<AtomicUsize>,
}

impl Seen {
    fn new(columns: usize) -> Self {
        Self { rows: AtomicUsize::new(0), bytes: (0..columns).map(|_| AtomicUsize::new(0)).collect() }
    }

    fn add(&self, batch: &RecordBatch) {
        self.rows.fetch_add(batch.num_rows(), Ordering::Relaxed);
        for (column, bytes) in batch.columns().iter().zip(&self.bytes) {
            bytes.fetch_add(size::of(column), Ordering::Relaxed);
        }
    }

    /// What a column that is computed `of` these may take without being counted; `whole` are the bytes of all columns.
    fn free(&self, of: &Of, whole: usize) -> usize {
        let bytes = match of {
            Of::Itself => return usize::MAX,
            Of::These(columns) => columns.iter().filter_map(|at| self.bytes.get(*at)).map(read).sum::<usize>(),
            Of::All => whole,
        };
        (FREE * read(&self.rows)).saturating_add(TIMES.saturating_mul(bytes))
    }
}

fn read(number: &AtomicUsize) -> usize {
    number.load(Ordering::Relaxed)
}

/// `plan` with what it makes counted against `room`, and with its unnests fed by pieces.
///
/// # Errors
/// None for a plan that could be made once.
pub fn watched(plan: Arc<dyn ExecutionPlan>, room: &Arc<Room>) -> Result<Arc<dyn ExecutionPlan>> {
    let watched = plan.transform_up(|node| {
        let input = node.children().into_iter().next().cloned();
        let (Some(made_of), Some(input)) = (made_of(&node), input) else { return Ok(Transformed::no(node)) };
        let seen = Arc::new(Seen::new(input.schema().fields().len()));
        let looked_at: Arc<dyn ExecutionPlan> = Arc::new(Gate { input, does: Does::Look { seen: Arc::clone(&seen) } });
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        let node = node.replace_children(vec![looked_at], options)?;
        let node = in_pieces(&node)?.unwrap_or(node);
        let does = Does::Count { room: Arc::clone(room), seen, made_of: made_of.into() };
        Ok(Transformed::yes(Arc::new(Gate { input: node, does }) as Arc<dyn ExecutionPlan>))
    })?;
    Ok(watched.data)
}

/// What each column of `node` is computed of, if it may become more than that.
fn made_of(node: &Arc<dyn ExecutionPlan>) -> Option<Vec<Of>> {
    if let Some(unnest) = node.downcast_ref::<UnnestExec>() {
        let lists = !unnest.list_column_indices().is_empty();
        return lists.then(|| vec![Of::All; unnest.schema().fields().len()]);
    }
    let projection = node.downcast_ref::<ProjectionExec>().filter(|projection| makes(projection))?;
    let of = |expr: &Arc<dyn PhysicalExpr>| {
        if expr.is::<Column>() {
            return Of::Itself;
        }
        Of::These(collect_columns(expr).iter().map(Column::index).collect())
    };
    Some(projection.expr().iter().map(|e| of(&e.expr)).collect())
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
    /// Looks how large they are.
    Look { seen: Arc<Seen> },
    /// Fails when they are more than there is room for. What they are made of was seen below.
    Count { room: Arc<Room>, seen: Arc<Seen>, made_of: Arc<[Of]> },
    /// Cuts them so that not too much becomes of each.
    Cut { lists: Vec<ListUnnest> },
}

impl DisplayAs for Gate {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut Formatter<'_>) -> std::fmt::Result {
        match &self.does {
            Does::Look { .. } => write!(f, "Gate: look"),
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
            Does::Look { seen } => {
                let seen = Arc::clone(seen);
                input.inspect_ok(move |batch| seen.add(batch)).boxed()
            }
            Does::Count { room, seen, made_of } => {
                let (room, seen, made_of) = (Arc::clone(room), Arc::clone(seen), Arc::clone(made_of));
                let mut counts = vec![Counted::default(); schema.fields().len()];
                let counted = input.map(move |batch| -> Result<RecordBatch> {
                    let batch = batch?;
                    count(&batch, &mut counts, &room, &seen, &made_of)?;
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

/// What a column takes so far.
#[derive(Debug, Clone, Default)]
struct Counted {
    bytes: usize,
    /// Of these, those that were taken from the room.
    taken: usize,
}

/// Adds what the columns of `batch` take to `counts`, and takes what is more than is free, by what was `seen`, from `room`.
fn count(batch: &RecordBatch, counts: &mut [Counted], room: &Room, seen: &Seen, made_of: &[Of]) -> Result<()> {
    let whole: usize = seen.bytes.iter().map(read).sum();
    for ((column, counted), of) in batch.columns().iter().zip(counts).zip(made_of) {
        counted.bytes = counted.bytes.saturating_add(size::of(column));
        let more = counted.bytes.saturating_sub(seen.free(of, whole)).saturating_sub(counted.taken);
        if !room.take(more) {
            return Err(DataFusionError::External(Box::new(room.why())));
        }
        counted.taken += more;
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
