//! Merges runs as streams: in the memory of a few batches a run, whatever their size.
//!
//! ```text
//! level 0: the first run of each pane, panes ascending   ──┐
//! level 1: the second run of each pane that has one      ──┼─> merge in the order of (pane, keys) ──> PartialReduce or Final
//! ...                                                     ──┘
//! ```
//!
//! The rows of a group meet in the order of levels, oldest first, as they would if the runs were concatenated.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::aggregates::AggregateMode;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode};
use futures::{StreamExt, stream};

use super::Plans;
use crate::aggregate::run::Run;
use crate::aggregate::session::Chain;
use crate::aggregate::sort;
use crate::error::{Error, Result};

/// A run as part of a level.
#[derive(Debug, Clone)]
pub(in crate::aggregate) struct Piece {
    /// The run.
    pub run: Run,
    /// The end of the window whose part it is to be; none where it stays of its own pane.
    pub window: Option<i64>,
}

/// Runs one behind the other: their panes, or windows, ascend.
pub(in crate::aggregate) type Level = Vec<Piece>;

impl Plans {
    /// State rows of `levels`, the oldest first, to state rows, each (pane, group) once, in their order.
    pub fn reduce_stream(&self, levels: Vec<Level>) -> Result<SendableRecordBatchStream> {
        self.merge_stream(AggregateMode::PartialReduce, levels)
            .map_err(Error::datafusion(&self.operator, "reduce state"))
    }

    /// State rows of `levels`, the oldest first, to values: (window, keys, values), each group once, in their order.
    pub fn finish_stream(&self, levels: Vec<Level>) -> Result<SendableRecordBatchStream> {
        self.merge_stream(AggregateMode::Final, levels).map_err(Error::datafusion(&self.operator, "finish windows"))
    }

    /// State rows of sessions, the oldest runs first, to state rows, each session once, in the order of (keys, start): fragments of one
    /// key that overlap or touch are one.
    pub fn sessions(&self, runs: Vec<Run>) -> Result<SendableRecordBatchStream> {
        let join = || {
            let levels = runs.into_iter().map(|run| vec![Piece { run, window: None }]).collect();
            let (merged, order) = self.merged(levels)?;
            let types = self.named.fields().iter().take(self.key_columns()).map(|f| f.data_type().clone());
            let joined = Joined { schema: Arc::clone(&self.named), merged, keys: types.collect() };
            let leaf = self.leaf(vec![Arc::new(joined)], order)?;
            self.over_sorted(AggregateMode::PartialReduce, leaf)
        };
        join().map_err(Error::datafusion(&self.operator, "put sessions together"))
    }

    fn merge_stream(
        &self,
        mode: AggregateMode,
        levels: Vec<Level>,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        let (merged, _) = self.merged(levels)?;
        self.over_sorted(mode, merged)
    }

    /// The rows of `levels` in the order of their groups, and that order.
    fn merged(&self, levels: Vec<Level>) -> Result<(Arc<dyn ExecutionPlan>, LexOrdering), DataFusionError> {
        let by = |(at, name): (usize, &String)| PhysicalSortExpr {
            expr: Arc::new(Column::new(name, at)),
            options: sort::ORDER,
        };
        let keys: Vec<String> =
            self.named.fields().iter().take(self.group.num_group_exprs()).map(|f| f.name().clone()).collect();
        let order = LexOrdering::new(keys.iter().enumerate().map(by));
        let order = order.ok_or_else(|| DataFusionError::Internal("an aggregate without a pane".into()))?;
        let (schema, rows) = (&self.named, self.streaming.session_config().batch_size());
        let level =
            |pieces| -> Arc<dyn PartitionStream> { Arc::new(LevelStream { schema: Arc::clone(schema), pieces, rows }) };
        let levels: Vec<Arc<dyn PartitionStream>> = levels.into_iter().map(level).collect();
        let leaf = self.leaf(levels, order.clone())?;
        // Of equal rows, those of the first level come first: not so with its round robin.
        let merged = SortPreservingMergeExec::new(order.clone(), leaf).with_round_robin_repartition(false);
        Ok((Arc::new(merged), order))
    }

    /// State rows that `partitions` give, in `order`.
    fn leaf(
        &self,
        partitions: Vec<Arc<dyn PartitionStream>>,
        order: LexOrdering,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let schema = Arc::clone(&self.named);
        Ok(Arc::new(StreamingTableExec::try_new(schema, partitions, None, [order], false, None)?))
    }

    /// Aggregates state rows that come in the order of their groups.
    fn over_sorted(
        &self,
        mode: AggregateMode,
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        let exec = self.merging_exec(mode, input)?;
        if *exec.input_order_mode() != InputOrderMode::Sorted {
            return Err(DataFusionError::Internal("runs that are not in the order of their groups".into()));
        }
        exec.execute(0, Arc::clone(&self.streaming))
    }

    /// What [`Plans::reduce_stream`] gave as state rows by position.
    pub fn positional(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        RecordBatch::try_new(self.state_schema(), batch.columns().to_vec())
            .map_err(Error::arrow("name state columns by position"))
    }
}

/// A level that a plan reads.
#[derive(Debug)]
struct LevelStream {
    schema: SchemaRef,
    pieces: Level,
    /// Smaller batches are put together up to so many rows.
    rows: usize,
}

impl PartitionStream for LevelStream {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        let named = move |piece: Piece| {
            let schema = Arc::clone(&schema);
            piece.run.batches().map(move |batch| under(&batch?, piece.window, &schema))
        };
        let batches = self.pieces.clone().into_iter().flat_map(named);
        let batches = Together { batches, schema: Arc::clone(&self.schema), rows: self.rows, next: None };
        let batches = batches.map(|batch| batch.map_err(|e| DataFusionError::External(Box::new(e))));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream::iter(batches)))
    }
}

/// State rows as DataFusion names them, of the window that ends at `window` if there is one.
fn under(batch: &RecordBatch, window: Option<i64>, schema: &SchemaRef) -> Result<RecordBatch> {
    let mut columns = batch.columns().to_vec();
    if let Some(end) = window {
        columns[0] = Arc::new(Int64Array::from_value(end, batch.num_rows())) as ArrayRef;
    }
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(Error::arrow("name state columns"))
}

/// Runs of sessions in the order of (keys, start), fragments of one session under one start.
#[derive(Debug)]
struct Joined {
    schema: SchemaRef,
    merged: Arc<dyn ExecutionPlan>,
    /// The types of the keys.
    keys: Vec<DataType>,
}

impl PartitionStream for Joined {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let outside = |error: Error| DataFusionError::External(Box::new(error));
        let started = Chain::try_new(&self.keys).map_err(outside);
        let started = started.and_then(|chain| Ok((chain, self.merged.execute(0, context)?)));
        let schema = Arc::clone(&self.schema);
        match started {
            Ok((mut chain, merged)) => {
                let rows = merged.map(move |batch| chain.joined(&batch?).map_err(outside));
                Box::pin(RecordBatchStreamAdapter::new(schema, rows))
            }
            Err(error) => Box::pin(RecordBatchStreamAdapter::new(schema, stream::once(async { Err(error) }))),
        }
    }
}

/// Puts small batches together, since each that a merge takes in costs.
struct Together<I> {
    batches: I,
    schema: SchemaRef,
    rows: usize,
    next: Option<RecordBatch>,
}

impl<I: Iterator<Item = Result<RecordBatch>>> Iterator for Together<I> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut small = Vec::new();
        let mut rows = 0;
        loop {
            match self.next.take().map(Ok).or_else(|| self.batches.next()) {
                None => break,
                Some(Err(error)) => return Some(Err(error)),
                Some(Ok(batch)) if small.is_empty() || rows + batch.num_rows() <= self.rows => {
                    rows += batch.num_rows();
                    small.push(batch);
                }
                Some(Ok(batch)) => {
                    self.next = Some(batch);
                    break;
                }
            }
        }
        if small.len() < 2 {
            return small.pop().map(Ok);
        }
        Some(concat_batches(&self.schema, &small).map_err(Error::arrow("put state rows together")))
    }
}
