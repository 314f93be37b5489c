//! Compiles the checked graph to a [`Runner`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use sluicebox_core::fate::Ledger;
use sluicebox_core::{Clock, PartitionId};
use sluicebox_operators::{AtEnd, ClauseConfig, Operator, OperatorKind, Watermark, operator_of};
use sluicebox_pipeline::bind::clock::uses_clock;
use sluicebox_pipeline::bind::dates::with_dates_by_division;
use sluicebox_pipeline::graph::{Expectation, Graph, LateColumns, Node, OnError};
use sluicebox_pipeline::leaf::{LeafTable, leaves};

use crate::RuntimeError;

/// What the settings of the sources say about watermark clauses.
#[derive(Debug, Clone, Copy)]
pub struct ClauseSettings {
    /// `idleTimeout`, microseconds.
    pub idle_timeout_micros: i64,
    /// `maxFuture`, microseconds.
    pub max_future_micros: i64,
}

/// A graph with its operators' state.
#[derive(Debug)]
pub struct Runner {
    pub(super) session: SessionState,
    /// For durations.
    pub(super) clock: Arc<dyn Clock>,
    /// Sample rows that each expectation keeps of a batch at most.
    pub(super) samples: usize,
    pub(super) tables: Vec<RunTable>,
    pub(super) clauses: BTreeMap<String, RunClause>,
}

/// A clause: its watermark, and the sources whose partitions it watches.
#[derive(Debug)]
pub(super) struct RunClause {
    pub watermark: Watermark,
    pub sources: BTreeSet<String>,
}

impl RunClause {
    /// Of `at_end`, the partitions that the clause watches.
    pub(super) fn watched(&self, at_end: &BTreeMap<PartitionId, AtEnd>) -> BTreeMap<PartitionId, AtEnd> {
        at_end.iter().filter(|(p, _)| self.sources.contains(&p.source)).map(|(p, end)| (p.clone(), *end)).collect()
    }
}

/// The watermark of an operator below `clauses`: the minimum, for rows of all of them may still come; `None` without
/// clauses, or while one of them knows none.
pub(super) fn lowest(all: &BTreeMap<String, RunClause>, clauses: &[String]) -> Option<i64> {
    clauses.iter().map(|id| all.get(id).and_then(|clause| clause.watermark.watermark())).min().flatten()
}

/// A table ready to run.
#[derive(Debug)]
pub(super) struct RunTable {
    pub name: String,
    pub flows: Vec<RunFlow>,
    pub expectations: Vec<Expectation>,
    pub clauses: Vec<String>,
    pub schema: SchemaRef,
    pub ledger: Ledger,
    pub on_error: OnError,
    /// The columns of its late rows.
    pub late: LateColumns,
    /// Whether no table reads its rows.
    pub alone: bool,
}

/// A flow ready to run.
#[derive(Debug)]
pub(super) struct RunFlow {
    /// What gives the candidates that the expectations judge.
    pub candidates: RunNode,
    /// What then picks one of each key, when that is the flow's last step.
    pub dedup: Option<RunOperator>,
}

/// An operator with state, and the clauses whose watermark closes what it holds.
pub(super) struct RunOperator {
    pub operator: Box<dyn Operator>,
    /// The table whose query it is in.
    pub table: String,
    pub clauses: Vec<String>,
    pub kind: &'static OperatorKind,
    /// How long the last batch took to take in rows.
    pub updates: Duration,
    /// How long the last batch took to close what was final.
    pub removals: Duration,
    /// Rows of the state that the last batch let go.
    pub removed: u64,
}

impl std::fmt::Debug for RunOperator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunOperator").field("id", &self.operator.id()).finish_non_exhaustive()
    }
}

/// A node ready to run.
#[derive(Debug)]
pub(super) enum RunNode {
    Stream { upstream: String, clause: Option<(String, String)>, schema: SchemaRef },
    Plan(RunPlan),
    Late(Box<RunNode>),
    Operator(Box<RunNode>, RunOperator),
}

/// A stateless plan, optimised once.
#[derive(Debug)]
pub(super) struct RunPlan {
    pub plan: LogicalPlan,
    /// Whether the plan reads the batch's clock, and so must be bound and optimised in each batch.
    pub uses_clock: bool,
    pub inputs: Vec<(Arc<LeafTable>, RunNode)>,
    pub schema: SchemaRef,
    /// Whether each row that comes out depends on one that goes in, and on nothing else.
    pub row_by_row: bool,
    /// Whether rows that conditions leave out are `filtered`: not above an aggregate, whose rows are others.
    pub counts_filtered: bool,
}

impl Runner {
    /// Makes `graph` ready, with empty state. `clause_settings` gives the settings for the sources that a clause
    /// watches.
    ///
    /// # Errors
    /// When a plan cannot be optimised or an aggregate cannot be split into partial states.
    pub fn try_new(
        graph: &Graph,
        session: SessionState,
        samples: usize,
        clock: Arc<dyn Clock>,
        clause_settings: impl Fn(&BTreeSet<String>) -> ClauseSettings,
    ) -> Result<Self, RuntimeError> {
        let (upstream, clauses, table) = (BTreeMap::new(), BTreeMap::new(), String::new());
        let mut compiler = Compiler { session: &session, table, upstream, clauses };
        for source in &graph.pipeline.sources {
            let name = source.name.value.clone();
            compiler.upstream.insert(name.clone(), BTreeSet::from([name]));
        }
        let flows = graph.tables.iter().flat_map(|table| &table.flows);
        let read: BTreeSet<&str> = flows.flat_map(|flow| flow.node.streams()).map(|s| s.upstream.as_str()).collect();
        for (table, source) in &graph.read_back {
            compiler.upstream.insert(table.clone(), BTreeSet::from([source.clone()]));
        }
        let mut tables = Vec::new();
        for table in &graph.tables {
            compiler.table.clone_from(&table.name);
            let mut flows = Vec::new();
            let mut sources = BTreeSet::new();
            for flow in &table.flows {
                sources.extend(compiler.sources_of(&flow.node));
                flows.push(compiler.flow(&flow.node).map_err(|error| error.of_table(&table.name))?);
            }
            compiler.upstream.insert(table.name.clone(), sources);
            tables.push(RunTable {
                name: table.name.clone(),
                flows,
                expectations: table.expectations.clone(),
                clauses: table.clauses.clone(),
                schema: Arc::clone(&table.schema),
                ledger: table.ledger,
                on_error: table.on_error,
                late: LateColumns::new(table),
                alone: !read.contains(table.name.as_str()),
            });
        }
        let clauses = compiler.clauses;
        let clauses = clauses
            .into_iter()
            .map(|(id, (delay_micros, sources))| {
                let settings = clause_settings(&sources);
                let config = ClauseConfig {
                    id: id.clone(),
                    delay_micros,
                    idle_timeout_micros: settings.idle_timeout_micros,
                    max_future_micros: settings.max_future_micros,
                };
                (id, RunClause { watermark: Watermark::new(config), sources })
            })
            .collect();
        Ok(Self { session, clock, samples, tables, clauses })
    }
}

struct Compiler<'a> {
    session: &'a SessionState,
    /// The table whose queries are compiled now.
    table: String,
    /// The sources above each source and table.
    upstream: BTreeMap<String, BTreeSet<String>>,
    /// Delay and sources of each clause.
    clauses: BTreeMap<String, (i64, BTreeSet<String>)>,
}

impl Compiler<'_> {
    fn sources_of(&self, node: &Node) -> BTreeSet<String> {
        node.streams().into_iter().filter_map(|stream| self.upstream.get(&stream.upstream)).flatten().cloned().collect()
    }

    fn flow(&mut self, node: &Node) -> Result<RunFlow, RuntimeError> {
        if node.operator().is_some_and(|spec| spec.kind.keeps_rows) {
            let (input, operator) = self.operator(node)?;
            return Ok(RunFlow { candidates: input, dedup: Some(operator) });
        }
        Ok(RunFlow { candidates: self.node(node)?, dedup: None })
    }

    fn node(&mut self, node: &Node) -> Result<RunNode, RuntimeError> {
        Ok(match node {
            Node::Stream(stream) => {
                if let Some(clause) = &stream.clause {
                    let sources = self.sources_of(node);
                    self.clauses.insert(clause.id.clone(), (clause.delay_micros, sources));
                }
                RunNode::Stream {
                    upstream: stream.upstream.clone(),
                    clause: stream.clause.as_ref().map(|c| (c.id.clone(), c.column.clone())),
                    schema: Arc::clone(&stream.schema),
                }
            }
            Node::Plan(plan) => {
                let uses_clock = uses_clock(&plan.plan);
                let optimised = if uses_clock {
                    plan.plan.clone()
                } else {
                    with_dates_by_division(self.session.optimize(&plan.plan)?)?
                };
                let mut tables: BTreeMap<String, Arc<LeafTable>> = leaves(&plan.plan)?.into_iter().collect();
                let mut inputs = Vec::new();
                for (leaf, input) in &plan.inputs {
                    let table =
                        tables.remove(leaf).ok_or_else(|| RuntimeError::Bug(format!("plan has no leaf `{leaf}`")))?;
                    inputs.push((table, self.node(input)?));
                }
                RunNode::Plan(RunPlan {
                    plan: optimised,
                    uses_clock,
                    inputs,
                    schema: Arc::clone(&plan.schema),
                    row_by_row: plan.row_by_row,
                    counts_filtered: !plan.inputs.iter().any(|(_, input)| has_aggregate(input)),
                })
            }
            Node::Late(input) => RunNode::Late(Box::new(self.node(input)?)),
            stateful => {
                let (input, operator) = self.operator(stateful)?;
                RunNode::Operator(Box::new(input), operator)
            }
        })
    }

    /// What gives the rows of the operator at `node`, and the operator.
    fn operator(&mut self, node: &Node) -> Result<(RunNode, RunOperator), RuntimeError> {
        let bug = || RuntimeError::Bug("an operator is expected where none is".to_owned());
        let spec = node.operator().ok_or_else(bug)?;
        let operator = operator_of(node, self.session)?.ok_or_else(bug)?;
        let inputs = node.inputs();
        let input = self.node(inputs.first().ok_or_else(bug)?)?;
        let (updates, removals) = (Duration::ZERO, Duration::ZERO);
        let (table, clauses) = (self.table.clone(), spec.clauses.to_vec());
        Ok((input, RunOperator { operator, table, clauses, kind: spec.kind, updates, removals, removed: 0 }))
    }
}

/// Whether the rows of `node` are others than those of its streams.
fn has_aggregate(node: &Node) -> bool {
    node.bottom_up().into_iter().any(|node| node.operator().is_some_and(|spec| !spec.kind.keeps_rows))
}
