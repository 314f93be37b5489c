//! Proves that a checked pipeline can run: it compiles everything that a run compiles at its start, and runs it over no rows.
//!
//! So a pipeline that `plan` accepts does not fail for its form at the first batch: a logical plan without a physical one, an aggregate
//! without partial states, a key that cannot be ordered. Errors that depend on the value of a row are not found here.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, MapArray, RecordBatch, new_empty_array, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::collect;
use sluicebox_core::provenance;
use sluicebox_operators::{aggregate, operator_of};
use sluicebox_pipeline::ast::Span;
use sluicebox_pipeline::bind::dates::with_dates_by_division;
use sluicebox_pipeline::bind::{Blamer, bind_clock, bind_expr_clock};
use sluicebox_pipeline::graph::{AggregateNode, Assigner, Graph, Node, PlanNode, SessionEnd, Window};
use sluicebox_pipeline::leaf::leaves;
use sluicebox_pipeline::{Diagnostic, Diagnostics};

/// Compiles all that a run of `graph` compiles, and runs it over no rows.
///
/// # Errors
/// What cannot run, in the order of the text.
pub async fn prove(graph: &Graph, session: &SessionState) -> Result<(), Diagnostics> {
    let blamer = Blamer::new(&graph.pipeline.text);
    let mut found = Vec::new();
    for table in &graph.tables {
        for flow in &table.flows {
            let span = span_of(graph, &table.name, &flow.name);
            for node in flow.node.bottom_up() {
                if let Err(mistake) = step(node, session, &blamer, span).await {
                    found.push(*mistake);
                    break;
                }
            }
        }
        let columns = DFSchema::try_from(table.schema.as_ref().clone());
        for expectation in &table.expectations {
            let compiled = columns.as_ref().map_err(|e| DataFusionError::Plan(e.to_string())).and_then(|columns| {
                session.create_physical_expr(bind_expr_clock(expectation.condition.clone(), 0)?, columns)
            });
            if let Err(error) = compiled {
                found.push(blamer.blame(&error, [&expectation.condition], expectation.span));
            }
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let found = found.into_iter().map(|one| one.map_said(|text| graph.pipeline.as_written(text))).collect();
    Err(Diagnostics::new(graph.pipeline.file.clone(), Arc::clone(&graph.pipeline.text), found))
}

/// Where the query of a flow stands.
fn span_of(graph: &Graph, table: &str, flow: &str) -> Span {
    let flows = graph.pipeline.tables.iter().filter(|t| t.name.value == table).flat_map(|t| &t.flows);
    flows.into_iter().find(|f| f.name.value == flow).map_or_else(Span::default, |f| f.query.span)
}

async fn step(node: &Node, session: &SessionState, blamer: &Blamer<'_>, span: Span) -> Result<(), Box<Diagnostic>> {
    match node {
        Node::Stream(_) | Node::Late(_) => Ok(()),
        Node::Plan(plan) => {
            let Err(error) = run_empty(plan, session).await else { return Ok(()) };
            let (error, expr) = match failing(plan, session) {
                Some((expr, error)) => (error, Some(expr)),
                None => (error, None),
            };
            Err(Box::new(blamer.blame(&error, &expr, span)))
        }
        Node::Aggregate(aggregate) => {
            let Err(error) = run_some_row(aggregate, session).await else { return Ok(()) };
            // One of several is to blame, as a rule.
            for one in &aggregate.aggregates {
                if let Err(alone) = run_some_row(&only(aggregate, one), session).await {
                    return Err(Box::new(blamer.blame_aggregate(&root(alone), one, span)));
                }
            }
            Err(Box::new(blamer.say("aggregate", &root(error).to_string(), &aggregate.group, span)))
        }
        stateful => operator_of(stateful, session)
            .map(drop)
            .map_err(|error| Box::new(blamer.say("key-type", &error.to_string(), [], span))),
    }
}

/// Plans `node` as a batch does, over no rows.
async fn run_empty(node: &PlanNode, session: &SessionState) -> Result<(), DataFusionError> {
    let plan = with_dates_by_division(session.optimize(&bind_clock(node.plan.clone(), 0)?)?)?;
    for (_, leaf) in leaves(&node.plan)? {
        leaf.set(Vec::new())?;
    }
    let physical = session.create_physical_plan(&plan).await?;
    collect(physical, session.task_ctx()).await.map(drop)
}

/// The expression of a plan that has no physical one, if that is what is wrong with it.
fn failing(node: &PlanNode, session: &SessionState) -> Option<(Expr, DataFusionError)> {
    let plan = bind_clock(node.plan.clone(), 0).ok()?;
    let mut found = None;
    // What cannot be walked has been refused before.
    let _ = plan.apply(|step| {
        let inputs = step.inputs();
        let schema = match inputs.as_slice() {
            [input] => input.schema(),
            _ => step.schema(),
        };
        step.apply_expressions(|expr| {
            found = session.create_physical_expr(expr.clone(), schema).err().map(|error| (expr.clone(), error));
            Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    });
    found
}

/// `node` with one of its aggregates.
fn only(node: &AggregateNode, aggregate: &Expr) -> AggregateNode {
    let keys = node.group.len() + 1 + usize::from(!node.sets.is_empty());
    let at = node.aggregates.iter().position(|a| a == aggregate).unwrap_or(0);
    let fields = node.schema.fields().iter().enumerate();
    let kept = fields.filter(|(i, _)| *i < keys || *i == keys + at || *i >= keys + node.aggregates.len());
    let schema = Arc::new(Schema::new(kept.map(|(_, field)| Arc::clone(field)).collect::<Vec<_>>()));
    AggregateNode { aggregates: vec![aggregate.clone()], schema, ..node.clone() }
}

/// What fails for a row of NULLs and for one of zeros and empty texts fails for its form.
async fn run_some_row(node: &AggregateNode, session: &SessionState) -> sluicebox_operators::Result<()> {
    match run_one_row(node, session, true).await {
        Err(error) if run_one_row(node, session, false).await.is_err() => Err(error),
        _ => Ok(()),
    }
}

/// Takes a row in and closes its window, so that each accumulator is made, fed, asked for its state and for its value.
async fn run_one_row(node: &AggregateNode, session: &SessionState, nulls: bool) -> sluicebox_operators::Result<()> {
    let input = DFSchema::new_with_metadata(
        node.input_schema
            .iter()
            .map(|(qualifier, field)| {
                let always = provenance::is_hidden(field.name()) && !field.name().starts_with(provenance::VALUE);
                let nullable = field.as_ref().clone().with_nullable(!always);
                (qualifier.cloned(), Arc::new(nullable))
            })
            .collect(),
        node.input_schema.metadata().clone(),
    );
    let Ok(input) = input else { return Ok(()) };
    // NULL is a value of each column of this row, so it may be one of each column that comes out.
    let visible = |field: &Arc<Field>| {
        let nullable = field.is_nullable() || !provenance::is_hidden(field.name());
        field.as_ref().clone().with_nullable(nullable)
    };
    let schema = Arc::new(Schema::new(node.schema.fields().iter().map(visible).collect::<Vec<_>>()));
    // The row's own end may be NULL: any other would do.
    let assigner = match node.window.assigner {
        Assigner::Session(_) => Assigner::Session(SessionEnd::After(1)),
        other => other,
    };
    let window = Window { assigner, ..node.window };
    let node = AggregateNode { input_schema: Arc::new(input), schema, window, ..node.clone() };
    let mut operator = aggregate::operator(&node, session)?;
    let Some(row) = row(node.input_schema.as_arrow(), nulls) else { return Ok(()) };
    operator.process(&[row]).await?;
    operator.delta()?;
    let Some(end) = operator.next_close() else { return Ok(()) };
    operator.close(end).await.map(drop)
}

/// A row whose visible columns are NULL, or have the value of their type that is the least, and whose hidden ones have one.
fn row(schema: &Schema, nulls: bool) -> Option<RecordBatch> {
    let column = |field: &Arc<Field>| -> Option<ArrayRef> {
        if field.is_nullable() && nulls {
            return Some(new_null_array(field.data_type(), 1));
        }
        least(field.data_type())
    };
    let columns = schema.fields().iter().map(column).collect::<Option<Vec<_>>>()?;
    RecordBatch::try_new(Arc::new(schema.clone()), columns).ok()
}

/// One value that every column of this type may have.
fn least(data_type: &DataType) -> Option<ArrayRef> {
    // DataFusion's own default of a map is none.
    if let DataType::Map(entries, sorted) = data_type {
        let none = new_empty_array(entries.data_type());
        let offsets = OffsetBuffer::from_lengths([0]);
        let map = MapArray::try_new(Arc::clone(entries), offsets, none.as_struct().clone(), None, *sorted);
        return Some(Arc::new(map.ok()?));
    }
    if sluicebox_core::stored::holds_map(data_type) {
        return None;
    }
    ScalarValue::new_default(data_type).ok()?.to_array_of_size(1).ok()
}

/// The innermost reason.
fn root(error: sluicebox_operators::Error) -> DataFusionError {
    match error {
        sluicebox_operators::Error::DataFusion { source, .. } => *source,
        other => DataFusionError::Plan(other.to_string()),
    }
}
