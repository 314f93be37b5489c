//! From an analysed logical plan to nodes: hidden columns are carried up through what is stateless, and the plan is cut
//! where state begins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::{Column, DFSchema, DFSchemaRef, DataFusionError, TableReference};
use datafusion::logical_expr::{
    Distinct, Expr, Filter, LogicalPlan, Projection, SubqueryAlias, TableScan, Union, Unnest,
};
use sluicebox_core::provenance::{provenance_fields, watermark_fields};

use super::place::Places;
use super::plan::{diagnose, unknown_column};
use crate::ast::{Span, Spanned, StreamRef, WatermarkDef};
use crate::diagnostic::Diagnostic;
use crate::graph::{Clause, Hidden, Node, PlanNode, StreamNode};
use crate::leaf;
use crate::window::WINDOW_TIME;

/// A source or a table, as queries below it see it.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    /// Its visible columns.
    pub(super) schema: SchemaRef,
    pub(super) hidden: Hidden,
    /// The columns that are the event time of the watermark that its rows carry.
    pub(super) event_time: Vec<String>,
    /// The columns that hold a window of that event time.
    pub(super) windows: Vec<String>,
    pub(super) clauses: Vec<String>,
}

/// What a name in `STREAM name` stands for.
pub(super) enum Relation<'p> {
    Rows(Upstream),
    View(View<'p>),
}

/// A view: its query is lowered again wherever it is read.
pub(super) struct View<'p> {
    pub(super) plan: LogicalPlan,
    pub(super) streams: &'p [StreamRef],
    pub(super) span: Span,
}

/// The rows of a part of a query.
pub(super) struct Rows {
    /// The columns of the logical plan that was lowered, then the hidden ones.
    pub(super) plan: LogicalPlan,
    pub(super) inputs: Vec<(String, Node)>,
    /// Whether `plan` hands through the rows of its single input as they are, though perhaps under other qualifiers.
    pub(super) bare: bool,
    pub(super) row_by_row: bool,
    pub(super) facts: Facts,
}

/// What is known of rows.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub(super) hidden: Hidden,
    /// Positions of the visible columns that equal the event time.
    pub(super) event_time: BTreeSet<usize>,
    /// Positions of the visible columns that hold a window of the event time.
    pub(super) windows: BTreeSet<usize>,
    pub(super) clauses: BTreeSet<String>,
    /// Whether a clause starts below and its late rows have not been taken out.
    pub(super) late: bool,
    pub(super) shape: Shape,
}

/// What a query is made of, as far as the equation of its fates depends on it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shape {
    pub(super) aggregates: u32,
    pub(super) dedups: u32,
    /// Whether a row of the input may become several, or come from several inputs.
    pub(super) many: bool,
}

impl Facts {
    pub(super) fn hidden_fields(&self) -> Vec<FieldRef> {
        hidden_fields(self.hidden)
    }
}

/// The hidden columns that `hidden` says, in their order.
pub(super) fn hidden_fields(hidden: Hidden) -> Vec<FieldRef> {
    let mut fields = Vec::new();
    if hidden.provenance {
        fields.extend(provenance_fields());
    }
    if hidden.event_time {
        fields.extend(watermark_fields());
    }
    fields
}

impl Rows {
    pub(super) fn visible(&self) -> usize {
        self.plan.schema().fields().len() - self.facts.hidden_fields().len()
    }

    /// References to the columns at `range` of the plan.
    pub(super) fn columns(&self, range: std::ops::Range<usize>) -> impl Iterator<Item = Expr> + '_ {
        range.map(|i| Expr::Column(Column::from(self.plan.schema().qualified_field(i))))
    }

    pub(super) fn visible_columns(&self) -> impl Iterator<Item = Expr> + '_ {
        self.columns(0..self.visible())
    }

    pub(super) fn hidden_columns(&self) -> impl Iterator<Item = Expr> + '_ {
        self.columns(self.visible()..self.plan.schema().fields().len())
    }

    /// The position of the visible column that `expr` is, seen through aliases and casts that lose nothing.
    pub(super) fn column(&self, expr: &Expr) -> Option<usize> {
        match expr {
            Expr::Column(column) => self.plan.schema().maybe_index_of_column(column).filter(|i| *i < self.visible()),
            Expr::Alias(alias) => self.column(&alias.expr),
            Expr::Cast(cast) if keeps_instants(cast.field.data_type()) => {
                let at = self.column(&cast.expr)?;
                matches!(self.plan.schema().field(at).data_type(), DataType::Timestamp(..)).then_some(at)
            }
            _ => None,
        }
    }

    /// Whether `expr` is the event time of the rows.
    pub(super) fn is_event_time(&self, expr: &Expr) -> bool {
        if self.column(expr).is_some_and(|i| self.facts.event_time.contains(&i)) {
            return true;
        }
        match unaliased(expr) {
            Expr::ScalarFunction(f) if f.func.name() == WINDOW_TIME => {
                f.args.first().is_some_and(|w| self.is_window(w))
            }
            _ => false,
        }
    }

    /// Whether `expr` is a column with a window of the event time.
    pub(super) fn is_window(&self, expr: &Expr) -> bool {
        matches!(unaliased(expr), Expr::Column(_)) && self.column(expr).is_some_and(|i| self.facts.windows.contains(&i))
    }

    /// What is known of the rows of a projection to `exprs`.
    pub(super) fn projected(&self, exprs: &[Expr]) -> Facts {
        let positions = |test: &dyn Fn(&Expr) -> bool| {
            exprs.iter().enumerate().filter(|(_, e)| test(e)).map(|(i, _)| i).collect::<BTreeSet<_>>()
        };
        Facts {
            event_time: positions(&|e| self.is_event_time(e)),
            windows: positions(&|e| self.is_window(e)),
            ..self.facts.clone()
        }
    }
}

/// Whether a timestamp may be cast to `to` without losing anything of a microsecond.
fn keeps_instants(to: &DataType) -> bool {
    use arrow::datatypes::TimeUnit::{Microsecond, Nanosecond};
    matches!(to, DataType::Timestamp(Microsecond | Nanosecond, _))
}

pub(super) fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other,
    }
}

/// The result of lowering, its error boxed because diagnostics are large.
pub(super) type Lowered<T> = Result<T, Box<Diagnostic>>;

/// Lowers one flow.
pub(super) struct Lowering<'b, 'p> {
    pub(super) relations: &'b BTreeMap<String, Relation<'p>>,
    pub(super) places: &'b Places<'b>,
    /// The flow's name.
    pub(super) flow: &'b str,
    /// Where the query stands that is lowered now: the flow's own or a view's.
    pub(super) span: Span,
    /// The streams of the queries that are lowered now, innermost last.
    pub(super) streams: Vec<&'p [StreamRef]>,
    pub(super) leaves: BTreeMap<String, u32>,
    /// Clauses that stand at a view, by the leaf below it that they judge.
    pub(super) watermarks: BTreeMap<String, WatermarkDef>,
    pub(super) clauses: u32,
    pub(super) dedups: u32,
    pub(super) aggregates: u32,
    /// The clauses and their delays: all of the pipeline's, those of this flow are added.
    pub(super) delays: &'b mut BTreeMap<String, i64>,
}

impl<'p> Lowering<'_, 'p> {
    pub(super) fn lower(&mut self, plan: &LogicalPlan) -> Lowered<Rows> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::SubqueryAlias(alias) => self.alias(alias),
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Filter(filter) => self.filter(filter),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            LogicalPlan::Distinct(Distinct::All(input)) => self.distinct(input),
            LogicalPlan::Distinct(Distinct::On(on)) => self.distinct_on(on),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::EmptyRelation(_) => Err(self.refuse(
                "no-stream",
                "a query of a streaming table reads a stream",
                "no FROM STREAM here",
                "write FROM STREAM name",
            )),
            other => Err(self.refuse(
                "not-supported",
                &format!("{} is not supported over a stream", kind(other)),
                "",
                "SELECT, WHERE, DISTINCT ON, GROUP BY window(...), HAVING, UNION ALL, WITH and subqueries in FROM are",
            )),
        }
    }

    pub(super) fn refuse(&self, code: &'static str, message: &str, label: &str, help: &str) -> Box<Diagnostic> {
        Box::new(Diagnostic::new(code, self.span, message, label).with_help(help))
    }

    pub(super) fn failed(&self, error: &DataFusionError) -> Box<Diagnostic> {
        Box::new(diagnose(error, self.places, self.span))
    }

    fn scan(&mut self, scan: &TableScan) -> Lowered<Rows> {
        let name = scan.table_name.table();
        let found = self.streams.iter().rev().flat_map(|s| s.iter()).find(|s| s.leaf == name);
        let Some(stream) = found else {
            let message = format!("`{name}` is not a stream of this query");
            return Err(self.refuse("no-stream", &message, "", "write FROM STREAM name"));
        };
        let relations = self.relations;
        match relations.get(&stream.table.value) {
            Some(Relation::Rows(upstream)) => self.stream(stream, upstream),
            Some(Relation::View(view)) => self.view(stream, view),
            None => {
                let message = format!("`{}` could not be planned", stream.table.value);
                Err(self.refuse("no-stream", &message, "", "see the other messages"))
            }
        }
    }

    fn stream(&mut self, stream: &StreamRef, upstream: &Upstream) -> Lowered<Rows> {
        let n = self.clauses;
        self.clauses += 1;
        let clause = match self.watermark(stream) {
            None => None,
            Some(watermark) => {
                self.check_watermark(&watermark, &stream.table.value, upstream)?;
                let column = watermark_column(upstream, &watermark.column.value)
                    .map_or_else(|| watermark.column.value.clone(), |f| f.name().clone());
                let id = format!("{}.{n}", self.flow);
                self.delays.insert(id.clone(), watermark.delay_micros);
                Some(Clause { id, column, delay_micros: watermark.delay_micros })
            }
        };
        let hidden = Hidden { event_time: upstream.hidden.event_time || clause.is_some(), ..upstream.hidden };
        let position = |name: &String| upstream.schema.index_of(name).ok();
        let facts = Facts {
            hidden,
            event_time: match &clause {
                Some(clause) => position(&clause.column).into_iter().collect(),
                None => upstream.event_time.iter().filter_map(position).collect(),
            },
            windows: upstream.windows.iter().filter_map(position).collect(),
            clauses: clause.iter().map(|c| c.id.clone()).chain(upstream.clauses.iter().cloned()).collect(),
            late: clause.is_some(),
            shape: Shape::default(),
        };
        let fields: Vec<FieldRef> = upstream.schema.fields().iter().cloned().chain(hidden_fields(hidden)).collect();
        let schema = Arc::new(Schema::new(fields));
        let name = self.leaf_name(&stream.leaf);
        let plan = leaf::scan(&name, Arc::clone(&schema)).map_err(|e| self.failed(&e))?;
        let plan = self.qualified(plan, &name, &stream.leaf)?;
        let node = StreamNode { upstream: stream.table.value.clone(), clause, schema, hidden };
        Ok(Rows { plan, inputs: vec![(name, Node::Stream(node))], bare: true, row_by_row: true, facts })
    }

    fn check_watermark(&self, watermark: &WatermarkDef, table: &str, upstream: &Upstream) -> Lowered<()> {
        if upstream.hidden.event_time {
            return Err(Box::new(
                Diagnostic::new(
                    "second-watermark",
                    watermark.span,
                    format!("the rows of `{table}` already carry a watermark, from a table above"),
                    "a second one",
                )
                .with_help("leave this clause out; the delay is set where the first one stands"),
            ));
        }
        if !upstream.hidden.provenance {
            return Err(Box::new(
                Diagnostic::new(
                    "no-provenance",
                    watermark.span,
                    format!("a watermark needs rows whose source partition and offset are known; `{table}` has none"),
                    "no provenance here",
                )
                .with_help("put WATERMARK where the rows are read from their source, before they are aggregated"),
            ));
        }
        let column = &watermark.column;
        let Some(field) = watermark_column(upstream, &column.value) else {
            let known = upstream.schema.fields().iter().map(|f| f.name().as_str());
            return Err(Box::new(unknown_column(&column.value, column.span, known)));
        };
        if !matches!(field.data_type(), DataType::Timestamp(..)) {
            let message = format!("an event time is a timestamp; `{}` is {}", field.name(), field.data_type());
            return Err(Box::new(
                Diagnostic::new("watermark-type", column.span, message, "not a timestamp")
                    .with_help(format!("make it one in a table above: CAST({} AS TIMESTAMP)", field.name())),
            ));
        }
        Ok(())
    }

    /// A view: its query in the place of its name.
    fn view(&mut self, stream: &'p StreamRef, view: &View<'p>) -> Lowered<Rows> {
        if let Some(watermark) = self.watermark(stream) {
            self.push_down(&watermark, stream, view)?;
        }
        self.streams.push(view.streams);
        let outer = std::mem::replace(&mut self.span, view.span);
        let rows = self.lower(&view.plan);
        self.span = outer;
        self.streams.pop();
        let rows = rows?;
        let alias = SubqueryAlias::try_new(Arc::new(rows.plan), TableReference::bare(stream.leaf.as_str()));
        let plan = LogicalPlan::SubqueryAlias(alias.map_err(|e| self.failed(&e))?);
        Ok(Rows { plan, ..rows })
    }

    /// The clause at a stream: its own, or that of a view above.
    fn watermark(&self, stream: &StreamRef) -> Option<WatermarkDef> {
        self.watermarks.get(&stream.leaf).or(stream.watermark.as_ref()).cloned()
    }

    /// A clause at a view that only chooses and renames columns stands at the stream that the view reads.
    fn push_down(&mut self, watermark: &WatermarkDef, stream: &StreamRef, view: &View<'p>) -> Lowered<()> {
        let schema = view.plan.schema();
        let find = |name: &str| schema.fields().iter().position(|f| f.name() == name);
        let column = &watermark.column;
        let Some(at) = find(&column.value).or_else(|| find(&column.value.to_lowercase())) else {
            let known = schema.fields().iter().map(|f| f.name().as_str());
            return Err(Box::new(unknown_column(&column.value, column.span, known)));
        };
        let Some((leaf, value)) = origin(&view.plan, at) else {
            let table = &stream.table.value;
            return Err(Box::new(
                Diagnostic::new(
                    "watermark-on-view",
                    watermark.span,
                    format!("`{table}` is a view that does more than choose columns: it has no rows of its own to judge"),
                    "on a view",
                )
                .with_related(view.span, "the view's query")
                .with_help(
                    "put WATERMARK into the view, after the STREAM that it reads; an event time that is computed is computed \
                     in a table above",
                ),
            ));
        };
        let column = Spanned { value, span: column.span };
        self.watermarks.insert(leaf, WatermarkDef { column, ..watermark.clone() });
        Ok(())
    }

    /// A name for a leaf: a stream that is read twice, through a view or a WITH query, has two leaves.
    fn leaf_name(&mut self, base: &str) -> String {
        let seen = self.leaves.entry(base.to_owned()).or_default();
        *seen += 1;
        if *seen == 1 { base.to_owned() } else { format!("{base}_{seen}") }
    }

    fn qualified(&self, plan: LogicalPlan, name: &str, alias: &str) -> Lowered<LogicalPlan> {
        if name == alias {
            return Ok(plan);
        }
        SubqueryAlias::try_new(Arc::new(plan), TableReference::bare(alias))
            .map(LogicalPlan::SubqueryAlias)
            .map_err(|e| self.failed(&e))
    }

    fn alias(&mut self, alias: &SubqueryAlias) -> Lowered<Rows> {
        let rows = self.lower(&alias.input)?;
        let plan = SubqueryAlias::try_new(Arc::new(rows.plan), alias.alias.clone()).map_err(|e| self.failed(&e))?;
        Ok(Rows { plan: LogicalPlan::SubqueryAlias(plan), ..rows })
    }

    fn projection(&mut self, projection: &Projection) -> Lowered<Rows> {
        let rows = self.lower(&projection.input)?;
        let same = projection.expr.len() == rows.visible()
            && projection.expr.iter().zip(rows.visible_columns()).all(|(a, b)| *a == b);
        if same {
            return Ok(rows);
        }
        let facts = rows.projected(&projection.expr);
        let exprs = projection.expr.iter().cloned().chain(rows.hidden_columns()).collect();
        let plan = self.project(&rows, exprs)?;
        Ok(Rows { plan, bare: false, facts, ..rows })
    }

    pub(super) fn project(&self, rows: &Rows, exprs: Vec<Expr>) -> Lowered<LogicalPlan> {
        Projection::try_new(exprs, Arc::new(rows.plan.clone()))
            .map(LogicalPlan::Projection)
            .map_err(|e| self.failed(&e))
    }

    fn filter(&mut self, filter: &Filter) -> Lowered<Rows> {
        let rows = self.lower(&filter.input)?;
        let plan = Filter::try_new(filter.predicate.clone(), Arc::new(rows.plan)).map_err(|e| self.failed(&e))?;
        Ok(Rows { plan: LogicalPlan::Filter(plan), bare: false, ..rows })
    }

    fn unnest(&mut self, unnest: &Unnest) -> Lowered<Rows> {
        let rows = self.lower(&unnest.input)?;
        let visible = rows.visible();
        let facts = rows.facts.clone();
        let plan = Unnest::try_new(Arc::new(rows.plan), unnest.exec_columns.clone(), unnest.options.clone())
            .map_err(|e| self.failed(&e))?;
        let kept = |positions: &BTreeSet<usize>| {
            let of = plan.dependency_indices.iter().enumerate();
            of.filter(|(_, from)| **from < visible && positions.contains(from)).map(|(i, _)| i).collect()
        };
        let facts = Facts {
            event_time: kept(&facts.event_time),
            windows: BTreeSet::new(),
            shape: Shape { many: true, ..facts.shape },
            ..facts
        };
        Ok(Rows { plan: LogicalPlan::Unnest(plan), inputs: rows.inputs, bare: false, row_by_row: false, facts })
    }

    fn union(&mut self, union: &Union) -> Lowered<Rows> {
        let mut sides = Vec::with_capacity(union.inputs.len());
        for input in &union.inputs {
            sides.push(self.lower(input)?);
        }
        let mut sides = sides.into_iter();
        let Some(first) = sides.next() else {
            return Err(self.refuse("no-stream", "a UNION of nothing", "", "write SELECT ... FROM STREAM name"));
        };
        let mut facts = first.facts;
        facts.shape.many = true;
        let mut inputs = first.inputs;
        let mut plans = vec![Arc::new(first.plan)];
        for side in sides {
            if side.facts.hidden != facts.hidden {
                return Err(self.mixed_union(facts.hidden, side.facts.hidden));
            }
            facts.event_time.retain(|i| side.facts.event_time.contains(i));
            facts.windows.retain(|i| side.facts.windows.contains(i));
            facts.clauses.extend(side.facts.clauses);
            facts.late |= side.facts.late;
            facts.shape.aggregates += side.facts.shape.aggregates;
            facts.shape.dedups += side.facts.shape.dedups;
            inputs.extend(side.inputs);
            plans.push(Arc::new(side.plan));
        }
        let schema = with_hidden(&union.schema, facts.hidden).map_err(|e| self.failed(&e))?;
        let plan = LogicalPlan::Union(Union { inputs: plans, schema });
        Ok(Rows { plan, inputs, bare: false, row_by_row: false, facts })
    }

    fn mixed_union(&self, a: Hidden, b: Hidden) -> Box<Diagnostic> {
        if a.provenance == b.provenance {
            return self.refuse(
                "mixed-union",
                "one side of this UNION carries a watermark, another does not",
                "",
                "give each stream a WATERMARK, or none",
            );
        }
        self.refuse(
            "mixed-union",
            "one side of this UNION is aggregated, another is not: their rows have no common order",
            "",
            "feed a table with two flows instead: CREATE FLOW name AS INSERT INTO table SELECT ...",
        )
    }

    /// The node that gives `rows`, and takes out late ones if a clause started below.
    pub(super) fn node(&self, rows: Rows) -> Lowered<Node> {
        let Rows { plan, mut inputs, bare, row_by_row, facts } = rows;
        let node = match inputs.pop() {
            Some((_, input)) if bare && inputs.is_empty() => input,
            last => {
                inputs.extend(last);
                let schema = Arc::clone(plan.schema().inner());
                self.check_unique(&schema)?;
                Node::Plan(PlanNode { plan, inputs, schema, hidden: facts.hidden, row_by_row })
            }
        };
        Ok(if facts.late { Node::Late(Box::new(node)) } else { node })
    }

    fn check_unique(&self, schema: &Schema) -> Lowered<()> {
        let mut seen = BTreeSet::new();
        match schema.fields().iter().find(|f| !seen.insert(f.name())) {
            None => Ok(()),
            Some(twice) => Err(self.refuse(
                "duplicate-column",
                &format!("two columns of this query are called `{}`", twice.name()),
                "",
                "give one of them another name with AS",
            )),
        }
    }

    /// Goes on above a cut: `node`'s rows under the names of `original`, the schema of the logical plan that was cut.
    pub(super) fn above(&mut self, node: Node, name: &str, original: &DFSchema, facts: Facts) -> Lowered<Rows> {
        let schema = Arc::clone(node.schema());
        let scan = leaf::scan(name, Arc::clone(&schema)).map_err(|e| self.failed(&e))?;
        let names = original.iter().zip(schema.fields()).map(|((qualifier, field), below)| {
            let column = Expr::Column(Column::new(Some(name), below.name()));
            column.alias_qualified(qualifier.cloned(), field.name())
        });
        let hidden = schema.fields().iter().skip(original.fields().len());
        let exprs = names.chain(hidden.map(|f| Expr::Column(Column::new(Some(name), f.name())))).collect();
        let plan = Projection::try_new(exprs, Arc::new(scan)).map_err(|e| self.failed(&e))?;
        let inputs = vec![(name.to_owned(), node)];
        let facts = Facts { late: false, ..facts };
        Ok(Rows { plan: LogicalPlan::Projection(plan), inputs, bare: true, row_by_row: true, facts })
    }
}

/// The leaf and the column of it that column `at` of `plan` is, if nothing but columns is chosen between.
fn origin(plan: &LogicalPlan, at: usize) -> Option<(String, String)> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            Some((scan.table_name.table().to_owned(), scan.projected_schema.field(at).name().clone()))
        }
        LogicalPlan::SubqueryAlias(alias) => origin(&alias.input, at),
        LogicalPlan::Projection(projection) => match unaliased(projection.expr.get(at)?) {
            Expr::Column(column) => origin(&projection.input, projection.input.schema().maybe_index_of_column(column)?),
            _ => None,
        },
        _ => None,
    }
}

/// The column of a WATERMARK clause, as SQL finds it: names without quotes are lower case.
fn watermark_column<'u>(upstream: &'u Upstream, name: &str) -> Option<&'u Field> {
    let find = |name: &str| upstream.schema.field_with_name(name).ok();
    find(name).or_else(|| find(&name.to_lowercase()))
}

/// `schema` with the hidden columns behind.
fn with_hidden(schema: &DFSchema, hidden: Hidden) -> Result<DFSchemaRef, DataFusionError> {
    let visible = schema.iter().map(|(q, f)| (q.cloned(), Arc::clone(f)));
    let fields = visible.chain(hidden_fields(hidden).into_iter().map(|f| (None, f))).collect();
    Ok(Arc::new(DFSchema::new_with_metadata(fields, schema.metadata().clone())?))
}

fn kind(plan: &LogicalPlan) -> &'static str {
    match plan {
        LogicalPlan::Window(_) => "a window function (OVER)",
        LogicalPlan::Sort(_) => "ORDER BY",
        LogicalPlan::Join(_) => "a join",
        LogicalPlan::Limit(_) => "LIMIT",
        LogicalPlan::Values(_) => "VALUES",
        LogicalPlan::Subquery(_) => "a subquery in an expression",
        LogicalPlan::RecursiveQuery(_) => "WITH RECURSIVE",
        _ => "this statement",
    }
}
