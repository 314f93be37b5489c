//! Streams the rows of a large close through a table a few at a time: from the operator through the plans above it and the expectations to
//! the table's files. So they are never all in memory.

use arrow::array::RecordBatch;
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use sluicebox_core::masked;
use sluicebox_operators::{Closed, RowStream};

use super::compile::RunNode;
use super::flow::{FlowContext, count};
use super::sink::{Route, TableSink};
use crate::RuntimeError;

/// Rows that go through plans and expectations together, about: a plan is made for each.
const TOGETHER: usize = 1 << 16;

/// Rows of one flow over one batch.
pub(super) enum FlowRows {
    /// All of them.
    Rows(Vec<RecordBatch>),
    /// As they are asked for, of [`FlowContext::next`].
    Stream(RowStream),
}

impl FlowContext<'_> {
    /// As [`FlowContext::run`], but that the rows of a large close are not all made at once, if nothing is between it and the
    /// table but plans that look at each row alone.
    pub(super) fn open<'s>(&'s mut self, node: &'s mut RunNode) -> BoxFuture<'s, Result<FlowRows, RuntimeError>> {
        Box::pin(async move {
            match node {
                RunNode::Operator(input, operator) => {
                    let rows = self.run(input).await?;
                    let rows = self.take_errors(masked::whole(rows))?;
                    let (mut rows, closed) = self.step(operator, rows).await?;
                    match closed {
                        Closed::Rows(closed) => rows.extend(closed),
                        Closed::Stream(closed) if rows.is_empty() => return Ok(FlowRows::Stream(closed)),
                        Closed::Stream(closed) => rows.extend(closed.try_collect::<Vec<_>>().await?),
                    }
                    Ok(FlowRows::Rows(rows))
                }
                RunNode::Plan(plan) if plan.row_by_row && plan.inputs.len() == 1 => {
                    let Some((_, input)) = plan.inputs.first_mut() else { return Ok(FlowRows::Rows(Vec::new())) };
                    match self.open(input).await? {
                        FlowRows::Rows(rows) => Ok(FlowRows::Rows(self.apply(plan, vec![rows]).await?)),
                        FlowRows::Stream(rows) => Ok(FlowRows::Stream(rows)),
                    }
                }
                other => Ok(FlowRows::Rows(self.run(other).await?)),
            }
        })
    }

    /// The next rows of a stream that `open` gave of `node`, some at a time; `None` when there are no more.
    pub(super) async fn next(
        &mut self,
        node: &mut RunNode,
        stream: &mut RowStream,
    ) -> Result<Option<Vec<RecordBatch>>, RuntimeError> {
        let mut rows = Vec::new();
        let mut size = 0;
        while size < TOGETHER
            && let Some(batch) = stream.next().await
        {
            let batch = batch?;
            size += batch.num_rows();
            rows.push(batch);
        }
        if rows.is_empty() { Ok(None) } else { self.above(node, rows).await.map(Some) }
    }

    /// What the plans above the operator of `node` make of its rows.
    fn above<'s>(
        &'s mut self,
        node: &'s mut RunNode,
        rows: Vec<RecordBatch>,
    ) -> BoxFuture<'s, Result<Vec<RecordBatch>, RuntimeError>> {
        Box::pin(async move {
            match node {
                RunNode::Plan(plan) => {
                    let Some((_, input)) = plan.inputs.first_mut() else { return Ok(Vec::new()) };
                    let rows = self.above(input, rows).await?;
                    self.apply(plan, vec![rows]).await
                }
                _ => Ok(rows),
            }
        })
    }
}

/// The rows that a table keeps, on their way.
pub(super) struct TableRows {
    /// Those that are handed on as a whole.
    pub rows: Vec<RecordBatch>,
    /// How many there were, wherever they went.
    pub written: u64,
    /// The least and greatest event time of all.
    pub event_time: Option<(i64, i64)>,
    route: Route,
    asked: bool,
}

impl TableRows {
    pub fn new() -> Self {
        Self { rows: Vec::new(), written: 0, event_time: None, route: Route::Collect, asked: false }
    }

    /// From here on rows go as `sink` says; those that are here go first.
    pub async fn stream_to(&mut self, sink: &mut impl TableSink, table: &str) -> Result<(), RuntimeError> {
        if !std::mem::replace(&mut self.asked, true) {
            self.route = sink.route(table)?;
            let rows = std::mem::take(&mut self.rows);
            self.pass(rows).await;
        }
        Ok(())
    }

    /// Takes rows that go on.
    pub async fn extend(&mut self, rows: Vec<RecordBatch>) {
        self.written += count(&rows);
        self.event_time = span(self.event_time, sluicebox_quality::event_time_bounds(&rows));
        self.pass(rows).await;
    }

    async fn pass(&mut self, rows: Vec<RecordBatch>) {
        match &self.route {
            Route::Collect => self.rows.extend(rows),
            Route::Discard => {}
            Route::Send(to) => {
                for batch in rows {
                    // The receiver is gone: its task failed. The batch gets that error when it awaits staging.
                    if to.send(batch).await.is_err() {
                        self.route = Route::Discard;
                        break;
                    }
                }
            }
        }
    }
}

/// The least and greatest of both.
fn span(one: Option<(i64, i64)>, other: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (one, other) {
        (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
        (one, other) => one.or(other),
    }
}
