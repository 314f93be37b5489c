//! Lowers an analysed logical plan to nodes: carries the hidden columns up through stateless plans, and cuts the plan where state begins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::common::{Column, DFSchema, DFSchemaRef, DataFusionError};
use datafusion::logical_expr::{Distinct, Expr, Filter, LogicalPlan, Projection, SubqueryAlias, Union, Unnest};
use sluicebox_core::provenance::{provenance_fields, watermark_fields};

use super::folder;
use super::place::Places;
use super::plan::diagnose;
use super::streams::Relation;
use crate::ast::{Span, StreamRef, WatermarkDef};
use crate::diagnostic::Diagnostic;
use crate::graph::{Hidden, Node, PlanNode};
use crate::leaf;
use crate::window::WINDOW_TIME;

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
    /// Positions of the visible columns that are equal only in rows of windows which end together, where such rows come in one batch.
    pub(super) ends: BTreeSet<usize>,
    /// Whether a window's start tells its end.
    pub(super) starts_tell: bool,
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
            Expr::ScalarFunction(_) => self.column(folder::unguarded(expr)?),
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
        if let Some(value) = folder::unguarded(unaliased(expr)) {
            return self.is_event_time(value);
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
            ends: positions(&|e| super::over::tells_end(self, e)),
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
    /// That query.
    pub(super) ast: &'p datafusion::sql::sqlparser::ast::Query,
    /// The streams of the queries that are lowered now, innermost last.
    pub(super) streams: Vec<&'p [StreamRef]>,
    pub(super) leaves: BTreeMap<String, u32>,
    /// Clauses that stand at a view, by the leaf below it that they judge.
    pub(super) watermarks: BTreeMap<String, WatermarkDef>,
    pub(super) clauses: u32,
    pub(super) dedups: u32,
    pub(super) aggregates: u32,
    /// Whether any column may be NULL whatever its expression says, because NULL stands for what cannot be computed.
    pub(super) nullable: bool,
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
            LogicalPlan::Window(window) => self.over(window),
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
            ends: BTreeSet::new(),
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
        // Windows of two streams that end together may be closed by two watermarks.
        facts.ends.clear();
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
                let schema = self.nullable_schema(Arc::clone(plan.schema().inner()));
                self.check_unique(&schema)?;
                Node::Plan(PlanNode { plan, inputs, schema, hidden: facts.hidden, row_by_row })
            }
        };
        Ok(if facts.late { Node::Late(Box::new(node)) } else { node })
    }

    /// `schema`, whose visible columns may be NULL if anything that is computed may.
    pub(super) fn nullable_schema(&self, schema: SchemaRef) -> SchemaRef {
        if !self.nullable {
            return schema;
        }
        let fields = schema.fields().iter().map(nullable);
        Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
    }

    /// The same, with qualifiers.
    pub(super) fn may_be_null(&self, schema: &DFSchemaRef) -> Result<DFSchemaRef, DataFusionError> {
        if !self.nullable {
            return Ok(Arc::clone(schema));
        }
        let fields = schema.iter().map(|(q, f)| (q.cloned(), nullable(f))).collect();
        Ok(Arc::new(DFSchema::new_with_metadata(fields, schema.metadata().clone())?))
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

/// `field`, nullable unless it is one of the hidden columns that every row has.
fn nullable(field: &FieldRef) -> FieldRef {
    let always = provenance_fields().into_iter().chain(watermark_fields());
    if always.into_iter().any(|own| own.name() == field.name()) {
        return Arc::clone(field);
    }
    Arc::new(field.as_ref().clone().with_nullable(true))
}

/// `schema` with the hidden columns behind.
fn with_hidden(schema: &DFSchema, hidden: Hidden) -> Result<DFSchemaRef, DataFusionError> {
    let visible = schema.iter().map(|(q, f)| (q.cloned(), Arc::clone(f)));
    let fields = visible.chain(hidden_fields(hidden).into_iter().map(|f| (None, f))).collect();
    Ok(Arc::new(DFSchema::new_with_metadata(fields, schema.metadata().clone())?))
}

fn kind(plan: &LogicalPlan) -> &'static str {
    match plan {
        LogicalPlan::Sort(_) => "ORDER BY",
        LogicalPlan::Join(_) => "a join",
        LogicalPlan::Limit(_) => "LIMIT",
        LogicalPlan::Values(_) => "VALUES",
        LogicalPlan::Subquery(_) => "a subquery in an expression",
        LogicalPlan::RecursiveQuery(_) => "WITH RECURSIVE",
        _ => "this statement",
    }
}
