//! The leaves of a plan: tables with a slot for the rows of one batch.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, TableReference};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::{TableType, provider_as_source, source_as_provider};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::TryStreamExt;
use futures::future::{self, BoxFuture};
use sluicebox_core::columns::{Unfit, fitted};

use crate::graph::PlanNode;

/// A leaf of a [`crate::graph::PlanNode`]: the rows of one input in this batch.
///
/// An optimised logical plan goes on holding the leaf, so a plan is optimised once and planned physically once per
/// batch: [`LeafTable::set`], then `create_physical_plan`, which takes the rows. The rows come out in one partition, in
/// the order in which they were put in.
#[derive(Debug)]
pub struct LeafTable {
    schema: SchemaRef,
    rows: Mutex<Vec<RecordBatch>>,
}

impl LeafTable {
    /// A leaf without rows.
    #[must_use]
    pub fn new(schema: SchemaRef) -> Self {
        Self { schema, rows: Mutex::new(Vec::new()) }
    }

    /// The columns: visible, then hidden.
    #[must_use]
    pub fn columns(&self) -> &SchemaRef {
        &self.schema
    }

    /// Puts the rows of a batch into the slot, in place of what is there. Columns are taken by name, so `rows` may have
    /// more of them, in another order.
    ///
    /// # Errors
    /// A column that is missing, has another type, or has nulls where the leaf's schema has none.
    pub fn set(&self, rows: Vec<RecordBatch>) -> Result<()> {
        let fitted = rows.into_iter().map(|batch| self.fit(batch)).collect::<Result<Vec<_>>>()?;
        *self.rows.lock().unwrap_or_else(PoisonError::into_inner) = fitted;
        Ok(())
    }

    fn fit(&self, batch: RecordBatch) -> Result<RecordBatch> {
        if Arc::ptr_eq(batch.schema_ref(), &self.schema) {
            return Ok(batch);
        }
        fitted(&batch, &self.schema).map_err(|unfit| match unfit {
            Unfit::Missing(name) => DataFusionError::Internal(format!("the rows of a leaf lack the column `{name}`")),
            Unfit::Arrow(error) => error.into(),
        })
    }

    fn rows_of_batch(&self, projection: Option<&Vec<usize>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(MemorySourceConfig::try_new_exec(&[self.take()], Arc::clone(&self.schema), projection.cloned())?)
    }

    fn take(&self) -> Vec<RecordBatch> {
        std::mem::take(&mut *self.rows.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl TableProvider for LeafTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// As `async_trait` would write it, but with a future that holds nothing of the call: that one can be sent to another thread would
    /// be proved over all types of expressions and plans, which takes seconds of each build.
    fn scan<'life0, 'life1, 'life2, 'life3, 'async_trait>(
        &'life0 self,
        _state: &'life1 dyn Session,
        projection: Option<&'life2 Vec<usize>>,
        _filters: &'life3 [Expr],
        _limit: Option<usize>,
    ) -> BoxFuture<'async_trait, Result<Arc<dyn ExecutionPlan>>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
        'life3: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(future::ready(self.rows_of_batch(projection)))
    }
}

/// A scan of a new leaf named `name`.
///
/// # Errors
/// An empty name.
pub fn scan(name: &str, schema: SchemaRef) -> Result<LogicalPlan> {
    let source = provider_as_source(Arc::new(LeafTable::new(schema)));
    LogicalPlanBuilder::scan(TableReference::bare(name), source, None)?.build()
}

/// The leaves of a plan with their names, each once, in the order of the plan; works before and after optimisation.
///
/// # Errors
/// None for a plan of a [`crate::graph::PlanNode`].
pub fn leaves(plan: &LogicalPlan) -> Result<Vec<(String, Arc<LeafTable>)>> {
    let mut found: Vec<(String, Arc<LeafTable>)> = Vec::new();
    plan.apply(|node| {
        if let LogicalPlan::TableScan(table) = node {
            let provider: Arc<dyn std::any::Any + Send + Sync> = source_as_provider(&table.source)?;
            if let Ok(leaf) = provider.downcast::<LeafTable>() {
                found.push((table.table_name.table().to_owned(), leaf));
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

impl PlanNode {
    /// The leaf named `name`: where the rows of that input go.
    #[must_use]
    pub fn leaf(&self, name: &str) -> Option<Arc<LeafTable>> {
        leaves(&self.plan).ok()?.into_iter().find(|(n, _)| n == name).map(|(_, leaf)| leaf)
    }
}

/// Puts rows into the leaves of a plan, by the leaf's name; a leaf that is not named gets none.
///
/// # Errors
/// As [`LeafTable::set`].
pub fn with_rows(plan: &LogicalPlan, rows: impl Fn(&str) -> Vec<RecordBatch>) -> Result<()> {
    leaves(plan)?.iter().try_for_each(|(name, leaf)| leaf.set(rows(name)))
}

/// Runs a plan to its end, its partitions one after the other, so that rows keep their order: those of a UNION come
/// side by side in the order of the text.
///
/// # Errors
/// What the plan's expressions or the memory pool report.
pub async fn collect_in_order(plan: Arc<dyn ExecutionPlan>, context: &Arc<TaskContext>) -> Result<Vec<RecordBatch>> {
    let mut rows = Vec::new();
    for partition in 0..plan.output_partitioning().partition_count() {
        let stream = plan.execute(partition, Arc::clone(context))?;
        rows.extend(stream.try_collect::<Vec<_>>().await?);
    }
    Ok(rows)
}
