//! The aggregate in DataFusion's terms: expressions that are compiled once, and the three small plans that run them.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::DataFusionError;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::functions_aggregate::min_max::max_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Aggregate, EmptyRelation, Expr, LogicalPlan, SortExpr, Volatility};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr, LoweredAggregateBuilder};
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortRequirement, create_physical_expr};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion::physical_plan::{ExecutionPlan, collect};
use futures::TryStreamExt;
use sluicebox_core::provenance;
use sluicebox_pipeline::bind::with_computed;
use sluicebox_pipeline::equal;
use sluicebox_pipeline::graph::{AggregateNode, Assigner};

use super::run::Run;
use super::{run, sort};
use crate::error::{Error, Result};

mod merge;

pub(super) use merge::{Level, Piece};

/// The column with the start of a row's pane, or of its session, behind the columns of the input.
const PANE: &str = "__sb_pane";

/// The column with the end of the session that a row is alone, behind that.
const END: &str = "__sb_end";

type Filters = Vec<Option<Arc<dyn PhysicalExpr>>>;

/// The plans of one aggregate.
#[derive(Debug)]
pub(super) struct Plans {
    operator: String,
    /// The input's columns and the pane; of sessions, their start and end.
    raw: SchemaRef,
    /// State rows by position, see the module above.
    state: SchemaRef,
    /// State rows as DataFusion names them.
    named: SchemaRef,
    group: Arc<PhysicalGroupBy>,
    aggregates: Vec<Arc<AggregateFunctionExpr>>,
    filters: Filters,
    /// The order in which aggregates must be given their rows; empty when any will do.
    required: Vec<PhysicalSortRequirement>,
    context: Arc<TaskContext>,
    /// The same for merging streams: it cuts what it gives into batches as small as those of stored state.
    streaming: Arc<TaskContext>,
    fingerprint: String,
    /// Rows of a batch of stored state.
    batch_rows: usize,
}

impl Plans {
    pub fn try_new(node: &AggregateNode, session: &SessionState) -> Result<Self> {
        let fail = Error::datafusion(&node.id, "plan the aggregate");
        let mut fields: Vec<FieldRef> = node.input_schema.as_arrow().fields().to_vec();
        fields.push(Arc::new(Field::new(PANE, DataType::Int64, true)));
        if of_sessions(node) {
            fields.push(Arc::new(Field::new(END, DataType::Int64, true)));
        }
        let raw = Arc::new(Schema::new(fields));
        refuse_clock(node)?;
        let over_columns = over_columns(node).map_err(&fail)?;
        let logical = Logical::resolve(&over_columns, session).map_err(&fail)?;
        let group = logical.group_by(node, &raw, session).map_err(&fail)?;
        let (mut aggregates, mut filters) = logical.aggregates(node, &raw, session).map_err(&fail)?;
        if of_sessions(node) {
            aggregates.push(last_end(&raw, aggregates.len()).map_err(&fail)?);
            filters.push(None);
        }

        // A Partial over nothing tells the state's columns and the order that is needed. Its aggregates, not the given
        // ones, are those to use: it may have reversed some, so that one order serves all.
        let template = partial_exec(&group, aggregates, &filters, memory(&[], &raw).map_err(&fail)?, &raw);
        let template = template.map_err(&fail)?;
        let aggregates = template.aggr_expr().to_vec();
        let hard = aggregates.iter().any(|a| a.order_sensitivity().hard_requires());
        let required = if hard { required_order(&template) } else { Vec::new() };

        let named = template.schema();
        let state = positional(&named, group.num_group_exprs(), &aggregates).map_err(&fail)?;
        let keys = state.fields().iter().take(group.num_group_exprs()).map(|field| field.data_type());
        if let Some(unordered) = sort::first_unordered(keys) {
            return Err(Error::KeyType { operator: node.id.clone(), data_type: unordered.clone() });
        }
        let fingerprint = fingerprint(node, &state, group.num_group_exprs());
        let context = task_context(session);
        let operator = node.id.clone();
        let batch_rows = run::batch_rows(&state);
        let config = context.session_config().clone();
        let rows = config.batch_size().min(batch_rows);
        let streaming = Arc::new(TaskContext::from(session).with_session_config(config.with_batch_size(rows)));
        Ok(Self {
            operator,
            raw,
            state,
            named,
            group,
            aggregates,
            filters,
            required,
            context,
            streaming,
            fingerprint,
            batch_rows,
        })
    }

    /// The columns of state rows.
    pub fn state_schema(&self) -> SchemaRef {
        Arc::clone(&self.state)
    }

    /// How many rows a batch of stored state has at most.
    pub fn batch_rows(&self) -> usize {
        self.batch_rows
    }

    /// Makes batches of state as small as this.
    #[cfg(test)]
    pub fn set_batch_rows(&mut self, rows: usize, session: &SessionState) {
        self.batch_rows = rows;
        let config = self.context.session_config().clone().with_batch_size(rows);
        self.streaming = Arc::new(TaskContext::from(session).with_session_config(config));
    }

    /// What state rows depend on but for the window.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The keys of rows for [`Plans::partial`]. Of sessions.
    pub fn keys(&self, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let keys = self.group.expr().iter().take(self.key_columns());
        let value = |(expr, _): &(Arc<dyn PhysicalExpr>, String)| {
            expr.evaluate(rows).and_then(|value| value.into_array(rows.num_rows()))
        };
        keys.map(value).collect::<Result<_, _>>().map_err(Error::datafusion(&self.operator, "compute keys"))
    }

    /// How many columns of state rows are keys, without the pane.
    pub fn key_columns(&self) -> usize {
        self.group.num_group_exprs() - 1
    }

    /// `columns`, those of the input and the pane, as rows for [`Plans::partial`].
    pub fn raw(&self, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
        // The pane is NULL in rows that are about to be left out.
        RecordBatch::try_new(Arc::clone(&self.raw), columns)
            .map_err(|e| Error::Input { operator: self.operator.clone(), detail: e.to_string() })
    }

    /// State rows that were written before, with this schema's names. Types may differ in what a file format does not keep;
    /// keys that an earlier version kept as they came are brought to the form of all that are equal to them.
    pub fn adopt(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let wrong = |detail: String| Error::StateShape { operator: self.operator.clone(), detail };
        if batch.num_columns() != self.state.fields().len() {
            let (has, needs) = (batch.num_columns(), self.state.fields().len());
            return Err(wrong(format!("it has {has} columns where the query needs {needs}")));
        }
        let fields = batch.columns().iter().zip(self.state.fields());
        let columns = fields.map(|(column, field)| match column.data_type() == field.data_type() {
            true => Ok(Arc::clone(column)),
            false => cast(column, field.data_type()).map_err(|e| wrong(format!("column {}: {e}", field.name()))),
        });
        let columns = columns.collect::<Result<_>>()?;
        let batch = RecordBatch::try_new(self.state_schema(), columns).map_err(|e| wrong(e.to_string()))?;
        self.in_form(batch)
    }

    /// State rows with the forms of their keys, in the order of these.
    fn in_form(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let doing = "bring keys to one form";
        let keys = self.group.num_group_exprs();
        let mut changed = false;
        let mut columns = batch.columns().to_vec();
        for column in columns.iter_mut().take(keys) {
            let form = equal::normal(column).map_err(Error::arrow(doing))?;
            changed |= !Arc::ptr_eq(&form, column) && form.to_data() != column.to_data();
            *column = form;
        }
        if !changed {
            return Ok(batch);
        }
        let batch = RecordBatch::try_new(self.state_schema(), columns).map_err(Error::arrow(doing))?;
        let order = sort::order(&batch.columns()[..keys], |_| sort::ORDER)?;
        sort::copy(&batch, &order.indices)
    }

    /// Raw rows to state rows: each (pane, group) once, in their order. None when there are none.
    pub async fn partial(&self, rows: &[RecordBatch]) -> Result<Option<RecordBatch>> {
        let fail = Error::datafusion(&self.operator, "aggregate the rows of a batch");
        let sorted;
        let rows = if self.required.is_empty() {
            rows
        } else {
            sorted = [self.in_required_order(rows)?];
            &sorted
        };
        let input = memory(rows, &self.raw).map_err(&fail)?;
        let plan =
            partial_exec(&self.group, self.aggregates.clone(), &self.filters, input, &self.raw).map_err(&fail)?;
        let state = collect(Arc::new(plan), Arc::clone(&self.context)).await.map_err(&fail)?;
        let (state, unique) = self.sorted(&state)?;
        // Under memory pressure Partial gives what it has and starts again.
        match state {
            Some(state) if !unique => self.reduce_sorted(&state).await.map(Some),
            state => Ok(state),
        }
    }

    /// State rows in their order, of which some may be of one (pane, group), to state rows, each once: as a stream, since what
    /// gave them had no memory for all groups at once.
    async fn reduce_sorted(&self, state: &RecordBatch) -> Result<RecordBatch> {
        let (rows, few) = (state.num_rows(), self.streaming.session_config().batch_size());
        let part = |at: usize| state.slice(at, few.min(rows - at));
        let run = Run::in_memory((0..rows).step_by(few).map(part).collect());
        let reduced = self.reduce_stream(vec![vec![Piece { run, window: None }]])?;
        let reduced: Vec<RecordBatch> =
            reduced.try_collect().await.map_err(Error::datafusion(&self.operator, "reduce state"))?;
        let reduced = reduced.iter().map(|batch| self.positional(batch)).collect::<Result<Vec<_>>>()?;
        concat_batches(&self.state, &reduced).map_err(Error::arrow("put state rows together"))
    }

    /// Runs, in the order in which they are to be merged, to one run: each (pane, group) once, in their order.
    pub async fn reduce(&self, runs: &[RecordBatch]) -> Result<Option<RecordBatch>> {
        match self.reduce_once(runs).await? {
            // DataFusion promises no more than to try: what is left twice is merged again.
            (Some(state), false) => Ok(self.reduce_once(&[state]).await?.0),
            (state, _) => Ok(state),
        }
    }

    async fn reduce_once(&self, runs: &[RecordBatch]) -> Result<(Option<RecordBatch>, bool)> {
        let fail = Error::datafusion(&self.operator, "reduce state");
        let runs = runs.iter().map(|run| self.named(run.columns().to_vec())).collect::<Result<Vec<_>>>()?;
        let plan = self.merging(AggregateMode::PartialReduce, &runs).map_err(&fail)?;
        let state = collect(plan, Arc::clone(&self.context)).await.map_err(&fail)?;
        self.sorted(&state)
    }

    /// State rows, in the order in which they are to be merged, to values: (first group key, other keys, values), each group
    /// once, in their order. `rows` are as [`Plans::named`] makes them.
    pub async fn finish(&self, rows: &[RecordBatch]) -> Result<Option<RecordBatch>> {
        let fail = Error::datafusion(&self.operator, "finish windows");
        let plan = self.merging(AggregateMode::Final, rows).map_err(&fail)?;
        let schema = plan.schema();
        let groups = collect(plan, Arc::clone(&self.context)).await.map_err(&fail)?;
        let groups = concat_batches(&schema, &groups).map_err(Error::arrow("put groups together"))?;
        if groups.num_rows() == 0 {
            return Ok(None);
        }
        let order = sort::order(&groups.columns()[..self.group.num_group_exprs()], |_| sort::ORDER)?;
        sort::copy(&groups, &order.indices).map(Some)
    }

    /// State columns as rows for the plans that merge.
    pub fn named(&self, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
        RecordBatch::try_new(Arc::clone(&self.named), columns).map_err(Error::arrow("name state columns"))
    }

    fn merging(&self, mode: AggregateMode, rows: &[RecordBatch]) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        Ok(Arc::new(self.merging_exec(mode, memory(rows, &self.named)?)?))
    }

    fn merging_exec(
        &self,
        mode: AggregateMode,
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<AggregateExec, DataFusionError> {
        let no_filters = vec![None; self.aggregates.len()];
        let group = self.group.as_final();
        AggregateExec::try_new(mode, group, self.aggregates.clone(), no_filters, input, Arc::clone(&self.raw))
    }

    /// What an aggregate gave as one batch of state rows in the order of (pane, keys), and whether each is there once.
    fn sorted(&self, state: &[RecordBatch]) -> Result<(Option<RecordBatch>, bool)> {
        let state = concat_batches(&self.named, state).map_err(Error::arrow("put state rows together"))?;
        if state.num_rows() == 0 {
            return Ok((None, true));
        }
        let order = sort::order(&state.columns()[..self.group.num_group_exprs()], |_| sort::ORDER)?;
        let state = RecordBatch::try_new(self.state_schema(), state.columns().to_vec());
        let state = state.map_err(Error::arrow("name state columns by position"))?;
        Ok((Some(sort::copy(&state, &order.indices)?), order.unique))
    }

    /// `rows` in the order that some aggregate needs; rows that it holds equal stay as they are.
    fn in_required_order(&self, rows: &[RecordBatch]) -> Result<RecordBatch> {
        let fail = Error::datafusion(&self.operator, "sort rows for an ordered aggregate");
        let rows = concat_batches(&self.raw, rows).map_err(Error::arrow("put rows together"))?;
        let value = |r: &PhysicalSortRequirement| r.expr.evaluate(&rows).and_then(|v| v.into_array(rows.num_rows()));
        let columns = self.required.iter().map(value).collect::<Result<Vec<_>, _>>().map_err(fail)?;
        let order = sort::order(&columns, |at| self.required[at].options.unwrap_or_default())?;
        sort::copy(&rows, &order.indices)
    }
}

/// The group and aggregate expressions, coerced and simplified. Functions such as `coalesce` are only ever run simplified.
struct Logical {
    group: Vec<Expr>,
    aggregates: Vec<Expr>,
}

impl Logical {
    fn resolve(node: &AggregateNode, session: &SessionState) -> Result<Self, DataFusionError> {
        let (group, aggregates) = analysed(node, session)?;
        let context = SimplifyContext::builder()
            .with_schema(Arc::clone(&node.input_schema))
            .with_config_options(Arc::clone(session.config_options()))
            .with_query_execution_start_time(session.execution_props().query_execution_start_time)
            .build();
        let simplifier = ExprSimplifier::new(context);
        let schema = &node.input_schema;
        // Of a group of equal keys one form is kept, whichever came first.
        let key = |expr| equal::same(simplifier.simplify(equal::one_equality(expr, schema)?)?, schema);
        let aggregate =
            |expr: Expr| simplify_inside(equal::one_equality(expr.unalias_nested().data, schema)?, &simplifier);
        Ok(Self {
            group: group.into_iter().map(key).collect::<Result<_, _>>()?,
            aggregates: aggregates.into_iter().map(aggregate).collect::<Result<_, _>>()?,
        })
    }

    /// The pane, then the group expressions; of sessions, the keys, then the start. Of grouping sets DataFusion's grouping id comes last.
    fn group_by(
        &self,
        node: &AggregateNode,
        raw: &Schema,
        session: &SessionState,
    ) -> Result<Arc<PhysicalGroupBy>, DataFusionError> {
        let pane = node.input_schema.fields().len();
        let pane: Arc<dyn PhysicalExpr> = Arc::new(Column::new(PANE, pane));
        let keys = self.group.iter().map(|expr| physical(expr, &node.input_schema, session));
        let mut group = keys.collect::<Result<Vec<_>, _>>()?;
        group.insert(if of_sessions(node) { group.len() } else { 0 }, pane);
        let named = group.into_iter().enumerate().map(|(at, expr)| (expr, format!("g{at}")));
        let named: Vec<(Arc<dyn PhysicalExpr>, String)> = named.collect();
        if node.sets.is_empty() {
            return Ok(Arc::new(PhysicalGroupBy::new_single(named)));
        }
        let null = |(expr, name): &(Arc<dyn PhysicalExpr>, String)| {
            let null: Arc<dyn PhysicalExpr> = Arc::new(Literal::new(ScalarValue::try_from(&expr.data_type(raw)?)?));
            Ok((null, name.clone()))
        };
        let nulls = named.iter().map(null).collect::<Result<Vec<_>, DataFusionError>>()?;
        // The pane is in each set.
        let sets = node.sets.iter().map(|set| std::iter::once(false).chain(set.iter().copied()).collect());
        Ok(Arc::new(PhysicalGroupBy::new(named, nulls, sets.collect(), true)))
    }

    fn aggregates(
        &self,
        node: &AggregateNode,
        raw: &Schema,
        session: &SessionState,
    ) -> Result<(Vec<Arc<AggregateFunctionExpr>>, Filters), DataFusionError> {
        let context = PhysicalPlanningContext::default();
        let lowered = self.aggregates.iter().enumerate().map(|(at, expr)| {
            let props = session.execution_props();
            let lowered = LoweredAggregateBuilder::new(expr, &node.input_schema, raw, props, &context)
                .with_name(format!("a{at}"))
                .build()?;
            Ok((lowered.aggregate, lowered.filter))
        });
        lowered.collect()
    }
}

/// Whether the windows are sessions.
fn of_sessions(node: &AggregateNode) -> bool {
    matches!(node.window.assigner, Assigner::Session(_))
}

/// Where a session ends: the aggregate behind the `others`.
fn last_end(raw: &SchemaRef, others: usize) -> Result<Arc<AggregateFunctionExpr>, DataFusionError> {
    let end: Arc<dyn PhysicalExpr> = Arc::new(Column::new(END, raw.index_of(END)?));
    let last = AggregateExprBuilder::new(max_udaf(), vec![end]).schema(Arc::clone(raw)).alias(format!("a{others}"));
    Ok(Arc::new(last.build()?))
}

/// The node with the columns that its input has computed in place of their expressions.
fn over_columns(node: &AggregateNode) -> Result<AggregateNode, DataFusionError> {
    let replaced = |exprs: &[Expr]| {
        exprs.iter().map(|e| with_computed(e.clone(), &node.computed)).collect::<Result<Vec<_>, DataFusionError>>()
    };
    Ok(AggregateNode { group: replaced(&node.group)?, aggregates: replaced(&node.aggregates)?, ..node.clone() })
}

/// Expressions as they were bound, types of the state, and the version that the state's layout belongs to.
///
/// A sum of whole numbers, whose state was 64 bits once, is told in that form, and what was stored then is read.
fn fingerprint(node: &AggregateNode, state: &Schema, keys: usize) -> String {
    let text = |exprs: &[Expr]| exprs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let before: BTreeSet<String> =
        (0..node.aggregates.len()).filter(|at| node.was_bigint(*at)).map(|at| format!("a{at}_s0")).collect();
    let columns = state.fields().iter().enumerate().map(|(at, f)| {
        let exact = at >= keys && before.contains(f.name());
        let data_type = if exact { &DataType::Int64 } else { f.data_type() };
        format!("{}: {data_type}", f.name())
    });
    let columns = columns.collect::<Vec<_>>();
    let sets = node.sets.iter().map(|set| set.iter().map(|left_out| if *left_out { '-' } else { 'x' }).collect());
    let sets: Vec<String> = sets.collect();
    let sets = if sets.is_empty() { String::new() } else { format!("; sets [{}]", sets.join(", ")) };
    let version = datafusion::DATAFUSION_VERSION.split('.').next().unwrap_or_default();
    format!(
        "group [{}]{sets}; aggregates [{}]; columns [{}]; datafusion {version}",
        text(&node.group),
        text(&node.known_as),
        columns.join(", "),
    )
}

/// Expressions are planned once, so that what a batch's clock or chance decides has no place in them.
fn refuse_clock(node: &AggregateNode) -> Result<()> {
    let mut found = None;
    let unsteady = |expr: &Expr| match expr {
        Expr::ScalarFunction(call) => match call.func.signature().volatility {
            Volatility::Immutable => false,
            // Of the stable functions those without arguments tell the time; others depend on settings alone.
            Volatility::Stable => call.args.is_empty(),
            Volatility::Volatile => true,
        },
        _ => false,
    };
    for expr in node.group.iter().chain(&node.aggregates) {
        let inside = expr.apply(|inner| {
            found = found.take().or_else(|| unsteady(inner).then(|| inner.to_string()));
            Ok(TreeNodeRecursion::Continue)
        });
        inside.map_err(Error::datafusion(&node.id, "look through the aggregate"))?;
    }
    match found {
        None => Ok(()),
        Some(call) => Err(Error::Unsupported {
            operator: node.id.clone(),
            what: format!("{call} inside an aggregate or its keys; make it a column of a view or table below"),
        }),
    }
}

/// The node's expressions after the analyser has coerced their types.
fn analysed(node: &AggregateNode, session: &SessionState) -> Result<(Vec<Expr>, Vec<Expr>), DataFusionError> {
    if node.group.is_empty() && node.aggregates.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    if let Some(set) = node.group.iter().find(|expr| matches!(expr, Expr::GroupingSet(_))) {
        return Err(DataFusionError::NotImplemented(format!(
            "{set} beside a window: a stream groups by one set of keys; write one table for each"
        )));
    }
    let leaf = EmptyRelation { produce_one_row: false, schema: Arc::clone(&node.input_schema) };
    let leaf = Arc::new(LogicalPlan::EmptyRelation(leaf));
    let plan = LogicalPlan::Aggregate(Aggregate::try_new(leaf, node.group.clone(), node.aggregates.clone())?);
    let plan = session.analyzer().execute_and_check(plan, session.config_options(), |_, _| {})?;
    let mut found = None;
    plan.apply(|plan| {
        if let LogicalPlan::Aggregate(aggregate) = plan {
            found = Some((aggregate.group_expr.clone(), aggregate.aggr_expr.clone()));
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    found.ok_or_else(|| DataFusionError::Internal("the analyser left no aggregate".into()))
}

/// Simplifies what an aggregate is given, not the aggregate: that must stay the function whose state is kept.
fn simplify_inside(expr: Expr, simplifier: &ExprSimplifier) -> Result<Expr, DataFusionError> {
    let Expr::AggregateFunction(AggregateFunction { func, mut params }) = expr.unalias_nested().data else {
        return Err(DataFusionError::Internal("an aggregate expression that is no aggregate function".into()));
    };
    params.args = params.args.into_iter().map(|arg| simplifier.simplify(arg)).collect::<Result<_, _>>()?;
    params.filter = params.filter.map(|filter| simplifier.simplify(*filter).map(Box::new)).transpose()?;
    let sort = |sort: SortExpr| Ok(SortExpr { expr: simplifier.simplify(sort.expr)?, ..sort });
    params.order_by = params.order_by.into_iter().map(sort).collect::<Result<_, DataFusionError>>()?;
    Ok(Expr::AggregateFunction(AggregateFunction { func, params }))
}

fn physical(expr: &Expr, schema: &DFSchema, session: &SessionState) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    create_physical_expr(expr, schema, session.execution_props(), &PhysicalPlanningContext::default())
}

fn memory(rows: &[RecordBatch], schema: &SchemaRef) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    Ok(MemorySourceConfig::try_new_exec(&[rows.to_vec()], Arc::clone(schema), None)?)
}

fn partial_exec(
    group: &Arc<PhysicalGroupBy>,
    aggregates: Vec<Arc<AggregateFunctionExpr>>,
    filters: &Filters,
    input: Arc<dyn ExecutionPlan>,
    raw: &SchemaRef,
) -> Result<AggregateExec, DataFusionError> {
    AggregateExec::try_new(
        AggregateMode::Partial,
        Arc::clone(group),
        aggregates,
        filters.clone(),
        input,
        Arc::clone(raw),
    )
}

fn required_order(exec: &AggregateExec) -> Vec<PhysicalSortRequirement> {
    let required = exec.required_input_ordering().into_iter().next().flatten();
    required.map(|order| order.into_single().into_iter().collect()).unwrap_or_default()
}

/// The columns of `named` under our names, all nullable: a file format may not keep that they are not.
fn positional(
    named: &Schema,
    keys: usize,
    aggregates: &[Arc<AggregateFunctionExpr>],
) -> Result<SchemaRef, DataFusionError> {
    let mut names: Vec<String> = (0..keys).map(|at| format!("g{at}")).collect();
    for (at, aggregate) in aggregates.iter().enumerate() {
        names.extend((0..aggregate.state_fields()?.len()).map(|column| format!("a{at}_s{column}")));
    }
    let fields = named.fields().iter().zip(names);
    let fields: Vec<Field> = fields.map(|(f, name)| Field::new(name, f.data_type().clone(), true)).collect();
    debug_assert!(fields.iter().all(|f| !provenance::is_hidden(f.name())), "state columns have names of their own");
    Ok(Arc::new(Schema::new(fields)))
}

/// The session's context, with one change: Partial must not pass rows through when it finds few groups to merge, since
/// what it gives is kept.
fn task_context(session: &SessionState) -> Arc<TaskContext> {
    let mut config = session.config().clone();
    config.options_mut().execution.skip_partial_aggregation_probe_ratio_threshold = 1.1;
    Arc::new(TaskContext::from(session).with_session_config(config))
}
