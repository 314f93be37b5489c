//! The cuts: DISTINCT, DISTINCT ON, and GROUP BY over windows.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError};
use datafusion::logical_expr::expr::{AggregateFunction, Case};
use datafusion::logical_expr::{Aggregate, DistinctOn, Expr, GroupingSet, LogicalPlan, Operator, binary_expr};
use sluicebox_core::provenance::{EVENT_TIME, PREFIX, VALUE, watermark_fields};
use sluicebox_functions::operators::sums;

use super::lower::{Facts, Lowered, Lowering, Rows, Shape, unaliased};
use crate::ast::Span;
use crate::diagnostic::Diagnostic;
use crate::graph::{AggregateNode, Assigner, DedupNode, Hidden, Node, Window};
use crate::window::{SESSION_END, WindowCall, as_window_call};

impl Lowering<'_, '_> {
    /// `SELECT DISTINCT`, and UNION without ALL: the keys are all visible columns.
    pub(super) fn distinct(&mut self, input: &LogicalPlan) -> Lowered<Rows> {
        let rows = self.lower(input)?;
        let facts = rows.facts.clone();
        let (visible, keys): (Vec<Expr>, Vec<Expr>) =
            (rows.visible_columns().collect(), rows.visible_columns().collect());
        self.dedup(rows, visible, keys, input.schema(), facts)
    }

    /// `SELECT DISTINCT ON (keys)`.
    pub(super) fn distinct_on(&mut self, on: &DistinctOn) -> Lowered<Rows> {
        if on.sort_expr.is_some() {
            return Err(self.refuse(
                "not-supported",
                "ORDER BY beside DISTINCT ON is not supported: the row that comes first is kept, in the source's order",
                "",
                "leave ORDER BY out",
            ));
        }
        let rows = self.lower(&on.input)?;
        let facts = rows.projected(&on.select_expr);
        self.dedup(rows, on.select_expr.clone(), on.on_expr.clone(), &on.schema, facts)
    }

    fn dedup(
        &mut self,
        rows: Rows,
        select: Vec<Expr>,
        keys: Vec<Expr>,
        original: &datafusion::common::DFSchema,
        facts: Facts,
    ) -> Lowered<Rows> {
        if !facts.hidden.provenance {
            return Err(self.refuse(
                "no-provenance",
                "DISTINCT keeps the row that comes first in its source; aggregated rows have no place in a source",
                "",
                "take duplicates out before GROUP BY; the rows of a GROUP BY are distinct already",
            ));
        }
        let names: Vec<String> = (0..keys.len()).map(|i| format!("{PREFIX}key_{i}")).collect();
        let is_key = |expr: &Expr| keys.iter().any(|key| unaliased(key) == unaliased(expr));
        let in_form = select.iter().enumerate().filter(|(_, expr)| is_key(expr)).map(|(at, _)| at).collect();
        let keys = keys.into_iter().zip(&names).map(|(key, name)| unaliased(&key).clone().alias(name));
        let exprs: Vec<Expr> = select.into_iter().chain(rows.hidden_columns()).chain(keys).collect();
        let plan = self.project(&rows, exprs)?;
        let candidates = self.node(Rows { plan, bare: false, facts: facts.clone(), ..rows })?;
        let id = format!("{}.dedup.{}", self.flow, self.dedups);
        let leaf = format!("{PREFIX}dedup_{}", self.dedups);
        self.dedups += 1;
        let fields: Vec<FieldRef> =
            candidates.schema().fields().iter().filter(|f| !names.contains(f.name())).cloned().collect();
        let delay_micros = facts.clauses.iter().filter_map(|c| self.delays.get(c).copied()).max();
        let node = Node::Dedup(DedupNode {
            id,
            input: Box::new(candidates),
            keys: names,
            in_form,
            delay_micros,
            clauses: facts.clauses.iter().cloned().collect(),
            schema: Arc::new(Schema::new(fields)),
        });
        let shape = Shape { dedups: facts.shape.dedups + 1, ..facts.shape };
        self.above(node, &leaf, original, Facts { shape, ..facts })
    }

    /// `GROUP BY window(...), ...`.
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate) -> Lowered<Rows> {
        let rows = self.lower(&aggregate.input)?;
        let keys = distinct_keys(aggregate);
        let (position, call) = self.window_of(aggregate, &keys, &rows)?;
        let sets = self.sets(aggregate, &keys, position, &call)?;
        let group = keys.into_iter().map(|e| unaliased(e).clone());
        let group: Vec<Expr> = group.enumerate().filter(|(i, _)| *i != position).map(|(_, e)| e).collect();
        let aggregates: Vec<Expr> = aggregate.aggr_expr.iter().map(|e| unaliased(e).clone()).collect();
        if !call.assigner.is_of_row() {
            self.no_hopping_within(group.iter().chain(&aggregates), aggregate)?;
        }
        let facts = Facts {
            hidden: Hidden { provenance: false, event_time: true },
            event_time: BTreeSet::new(),
            windows: BTreeSet::from([position]),
            ends: BTreeSet::from([position]),
            starts_tell: matches!(call.assigner, Assigner::Hopping { .. } | Assigner::Calendar(_)),
            shape: Shape { aggregates: rows.facts.shape.aggregates + 1, ..rows.facts.shape },
            ..rows.facts.clone()
        };
        // Told by the types of all columns: those that are read below alone are gone afterwards.
        let known_as = aggregates.iter().map(|expr| sums::as_before(expr, rows.plan.schema())).collect();
        let aggregates: Vec<Expr> = aggregates.into_iter().map(only_where_filtered).collect();
        let end = call.gap.map(|gap| session_end(&rows, gap));
        let (rows, computed) = self.computed(rows, &group, &aggregates, end)?;
        let input_schema = self.may_be_null(rows.plan.schema()).map_err(|e| self.failed(&e))?;
        let input = self.node(rows)?;
        let id = format!("{}.aggregate.{}", self.flow, self.aggregates);
        let leaf = format!("{PREFIX}aggregate_{}", self.aggregates);
        self.aggregates += 1;
        let node = Node::Aggregate(AggregateNode {
            id,
            input: Box::new(input),
            input_schema,
            group,
            sets,
            window: Window { position, assigner: call.assigner },
            aggregates,
            known_as,
            computed,
            clauses: facts.clauses.iter().cloned().collect(),
            schema: self.nullable_schema(output_schema(aggregate)),
        });
        self.above(node, &leaf, &aggregate.schema, facts)
    }

    /// Only what the aggregate needs: columns, the hidden ones, and, computed below it, what `group` and `aggregates` make of
    /// columns, each under its name, and where the session ends that a row is alone, if that is computed.
    fn computed(
        &self,
        rows: Rows,
        group: &[Expr],
        aggregates: &[Expr],
        session_end: Option<Expr>,
    ) -> Lowered<(Rows, Vec<(String, Expr)>)> {
        let mut values: Vec<Expr> = Vec::new();
        let mut add = |expr: &Expr| {
            let bare = matches!(unaliased(expr), Expr::Column(_)) || expr.column_refs().is_empty();
            if !bare && !values.contains(expr) {
                values.push(expr.clone());
            }
        };
        group.iter().for_each(&mut add);
        for aggregate in aggregates {
            if let Expr::AggregateFunction(AggregateFunction { params, .. }) = aggregate {
                params.args.iter().for_each(&mut add);
                params.filter.iter().for_each(|filter| add(filter));
                params.order_by.iter().for_each(|sort| add(&sort.expr));
            }
        }
        let values = values.into_iter().enumerate().map(|(i, e)| (format!("{VALUE}{i}"), e));
        let session_end = session_end.map(|end| (SESSION_END.to_owned(), end));
        let computed: Vec<(String, Expr)> = values.chain(session_end).collect();
        let needed: BTreeSet<usize> = group
            .iter()
            .chain(aggregates)
            .map(|e| with_computed(e.clone(), &computed).map_err(|e| self.failed(&e)))
            .collect::<Lowered<Vec<Expr>>>()?
            .iter()
            .flat_map(Expr::column_refs)
            .filter_map(|column| rows.plan.schema().maybe_index_of_column(column))
            .collect();
        if computed.is_empty() && needed.len() == rows.visible() {
            return Ok((rows, computed));
        }
        let kept = needed.iter().flat_map(|i| rows.columns(*i..*i + 1));
        let values = computed.iter().map(|(name, e)| unaliased(e).clone().alias(name));
        let plan = self.project(&rows, kept.chain(rows.hidden_columns()).chain(values).collect())?;
        Ok((Rows { plan, bare: false, ..rows }, computed))
    }

    /// Of GROUPING SETS, ROLLUP and CUBE, which DataFusion has made one list of sets, what each leaves out of `keys` but the window.
    fn sets(
        &self,
        aggregate: &Aggregate,
        keys: &[&Expr],
        position: usize,
        call: &WindowCall,
    ) -> Lowered<Vec<Vec<bool>>> {
        let [Expr::GroupingSet(grouping)] = aggregate.group_expr.as_slice() else { return Ok(Vec::new()) };
        let refused = |message: &str, help: &str| {
            Err(Box::new(Diagnostic::new("not-supported", self.group_span(aggregate), message, "").with_help(help)))
        };
        let sets = match grouping {
            GroupingSet::GroupingSets(sets) if sets.iter().all(|set| set.contains(keys[position])) => sets,
            _ => {
                return refused(
                    "GROUPING SETS, ROLLUP and CUBE over a stream stand beside a window",
                    "write GROUP BY window(event_time, INTERVAL '5 minutes'), ROLLUP (a, b)",
                );
            }
        };
        if matches!(call.assigner, Assigner::Session(_)) {
            return refused(
                "GROUPING SETS, ROLLUP and CUBE beside a session would make other sessions of each set of keys",
                "make a streaming table for each grouping",
            );
        }
        let others = keys.iter().enumerate().filter(|(at, _)| *at != position).map(|(_, key)| *key);
        let others: Vec<&Expr> = others.collect();
        Ok(sets.iter().map(|set| others.iter().map(|key| !set.contains(key)).collect()).collect())
    }

    /// The one window among the group expressions, over the event time of the rows.
    fn window_of(&self, aggregate: &Aggregate, keys: &[&Expr], rows: &Rows) -> Lowered<(usize, WindowCall)> {
        let at = self.group_span(aggregate);
        for e in &aggregate.aggr_expr {
            if matches!(unaliased(e), Expr::AggregateFunction(f) if f.func.name() == "nth_value") {
                let message = "nth_value is not supported: its state cannot be merged across batches";
                let help = "use array_agg(x ORDER BY y) and take the element";
                return Err(Box::new(Diagnostic::new("not-supported", at, message, "").with_help(help)));
            }
        }
        if let Some(call) = keys.iter().find_map(|key| as_window_call(unaliased(key)))
            && super::expr_uses_clock(&call.time)
        {
            return Err(Box::new(self.window_of_clock(at, rows)));
        }
        if aggregate.group_expr.iter().chain(&aggregate.aggr_expr).any(super::expr_uses_clock) {
            let message =
                "the clock of a batch inside an aggregation would make its rows depend on how batches were cut";
            let help = "compute it in a subquery below: FROM (SELECT *, now() AS at FROM STREAM ...) AS x";
            return Err(Box::new(Diagnostic::new("not-supported", at, message, "").with_help(help)));
        }
        let mut windows =
            keys.iter().enumerate().filter_map(|(i, e)| as_window_call(unaliased(e)).map(|call| (i, call)));
        let first = windows.next();
        if windows.next().is_some() {
            let message = "a query can group by one window";
            let help = "aggregate by the smaller window in a table of its own, and by the larger one over \
                        window_time(window) of that";
            return Err(Box::new(Diagnostic::new("two-windows", at, message, "two of them").with_help(help)));
        }
        if !rows.facts.hidden.event_time {
            return Err(Box::new(self.no_watermark(at, first.is_some(), rows)));
        }
        match first {
            Some((i, call)) if rows.is_event_time(&call.time) || rows.is_window(&call.time) => Ok((i, call)),
            Some((_, call)) => Err(Box::new(self.other_window(&call, at, rows))),
            None => Err(Box::new(self.no_window(at, rows))),
        }
    }

    /// Refuses a hopping window or a session within another key or an aggregate, where it would be computed for each row: that is in
    /// several of them, or does not know it.
    fn no_hopping_within<'e>(&self, exprs: impl Iterator<Item = &'e Expr>, aggregate: &Aggregate) -> Lowered<()> {
        for expr in exprs {
            let found = expr.exists(|part| Ok(as_window_call(part).is_some_and(|c| !c.assigner.is_of_row())));
            if found.map_err(|e| self.failed(&e))? {
                let session = expr.exists(|part| {
                    Ok(as_window_call(part).is_some_and(|c| matches!(c.assigner, Assigner::Session(_))))
                });
                let message = if session.unwrap_or_default() {
                    "what a session is depends on other rows, so it is not known within an aggregate or another key"
                } else {
                    "a row is in several hopping windows, so none of them is known within an aggregate or another key"
                };
                return Err(Box::new(
                    Diagnostic::new(
                        "hopping-window",
                        self.places.columns([expr]).unwrap_or_else(|| self.group_span(aggregate)),
                        message,
                        "computed for each row",
                    )
                    .with_help(
                        "take window.start or window.end beside the aggregates, or compute with them in a table below",
                    ),
                ));
            }
        }
        Ok(())
    }

    fn group_span(&self, aggregate: &Aggregate) -> Span {
        self.places
            .columns(&aggregate.group_expr)
            .or_else(|| self.places.columns(&aggregate.aggr_expr))
            .unwrap_or(self.span)
    }

    fn no_watermark(&self, at: Span, windowed: bool, rows: &Rows) -> Diagnostic {
        let column = first_timestamp(rows).unwrap_or_else(|| "event_time".to_owned());
        let clause = format!("WATERMARK {column} DELAY OF INTERVAL '10 minutes'");
        let help = if windowed {
            format!("add a watermark where the events are read: FROM STREAM ... {clause}")
        } else {
            format!(
                "write FROM STREAM ... {clause}, here or in an upstream table, and GROUP BY window({column}, INTERVAL '5 minutes')"
            )
        };
        Diagnostic::new(
            "aggregate-without-watermark",
            at,
            "an aggregation without a watermark never has a final row",
            "no watermark flows here",
        )
        .with_note(
            "a table is appended to, so a row is written once, when it is final; only a watermark says that no more \
             events will change it",
        )
        .with_help(help)
    }

    fn no_window(&self, at: Span, rows: &Rows) -> Diagnostic {
        let column = self.event_time_name(rows).unwrap_or_else(|| "event_time".to_owned());
        Diagnostic::new(
            "aggregate-without-window",
            at,
            "an aggregation over a stream is grouped by a window of event time",
            "no window here",
        )
        .with_note("without a window a group may always get another event, so its row is never final")
        .with_help(format!("add window({column}, INTERVAL '5 minutes') to GROUP BY"))
    }

    fn window_of_clock(&self, at: Span, rows: &Rows) -> Diagnostic {
        let span = super::windowed::place_of_time(self.ast, self.places, None, None).unwrap_or(at);
        let column = self.event_time_name(rows).unwrap_or_else(|| "event_time".to_owned());
        Diagnostic::new(
            "window-over-other-column",
            span,
            "windows over a stream are windows of event time, not of the clock when rows are read",
            "not the event time",
        )
        .with_help(format!("write window({column}, INTERVAL '5 minutes')"))
    }

    fn other_window(&self, call: &WindowCall, at: Span, rows: &Rows) -> Diagnostic {
        let name = match unaliased(&call.time) {
            Expr::Column(column) => Some(column.name.as_str()),
            _ => None,
        };
        let known = self.places.columns([&call.time]);
        let span = super::windowed::place_of_time(self.ast, self.places, known, name).or(known).unwrap_or(at);
        let column = self.event_time_name(rows);
        let written = self.places.text(span);
        let unclear = span == self.span || written.is_empty() || written.contains('\n');
        let what = name.unwrap_or(if unclear { "this expression" } else { written });
        if name.is_none() {
            return self.window_over_expression(&call.time, span, what, rows);
        }
        Diagnostic::new(
            "window-over-other-column",
            span,
            format!("the watermark of these rows is not about {what}, so windows over it never close"),
            "not the event time",
        )
        .with_help(match column {
            Some(column) => format!("write window({column}, INTERVAL '5 minutes')"),
            None if rows.facts.hidden.provenance => format!(
                "compute {what} in an upstream table, and put WATERMARK on that; or select the column of the watermark too, and \
                 group by a window of it"
            ),
            None => "carry the event time along: in the upstream table, select window_time(window) AS event_time, and group by \
                     a window of that"
                .to_owned(),
        })
    }

    fn window_over_expression(&self, time: &Expr, span: Span, what: &str, rows: &Rows) -> Diagnostic {
        let of_event_time = time.exists(|part| Ok(rows.is_event_time(part))).unwrap_or_default();
        let message = if of_event_time {
            "a window is over the event time as it is, and this is an expression of it".to_owned()
        } else {
            format!("the watermark of these rows is not about {what}, so windows over it never close")
        };
        Diagnostic::new("window-over-other-column", span, message, "not the event time").with_help(format!(
            "compute it in an upstream table, as in SELECT *, {what} AS event_time, put WATERMARK event_time on that, and \
             group by window(event_time, INTERVAL '5 minutes')"
        ))
    }

    /// How the event time of `rows` is written.
    fn event_time_name(&self, rows: &Rows) -> Option<String> {
        let name = |i: &usize| super::plan::quoted(rows.plan.schema().field(*i).name());
        let window = || rows.facts.windows.first().map(|i| format!("window_time({})", name(i)));
        rows.facts.event_time.first().map(name).or_else(window)
    }
}

/// When the session ends that a row of `rows` is alone: `gap` after its event time.
fn session_end(rows: &Rows, gap: Expr) -> Expr {
    let event_time = rows.hidden_columns().find(|column| matches!(column, Expr::Column(c) if c.name == EVENT_TIME));
    let event_time = event_time.unwrap_or_else(|| Expr::Column(Column::new_unqualified(EVENT_TIME)));
    binary_expr(event_time, Operator::Plus, gap)
}

/// What `aggregate` groups by, each key once, as its schema has them.
fn distinct_keys(aggregate: &Aggregate) -> Vec<&Expr> {
    if let [Expr::GroupingSet(sets)] = aggregate.group_expr.as_slice() {
        return sets.distinct_expr();
    }
    let mut keys: Vec<&Expr> = Vec::with_capacity(aggregate.group_expr.len());
    for key in &aggregate.group_expr {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// `expr` with the columns of `computed` in place of what they hold.
///
/// # Errors
/// None.
pub fn with_computed(expr: Expr, computed: &[(String, Expr)]) -> Result<Expr, DataFusionError> {
    let column = |e: Expr| match computed.iter().find(|(_, value)| *value == e) {
        Some((name, _)) => Transformed::new(Expr::Column(Column::new_unqualified(name)), true, TreeNodeRecursion::Jump),
        None => Transformed::no(e),
    };
    expr.transform_down(|e| Ok(column(e))).map(|replaced| replaced.data)
}

fn first_timestamp(rows: &Rows) -> Option<String> {
    let timestamps: Vec<&String> = rows
        .plan
        .schema()
        .fields()
        .iter()
        .take(rows.visible())
        .filter(|f| matches!(f.data_type(), arrow::datatypes::DataType::Timestamp(..)))
        .map(|f| f.name())
        .collect();
    let own = timestamps.iter().find(|n| !n.starts_with('_'));
    own.or(timestamps.first()).map(|n| super::plan::quoted(n))
}

/// The columns of an aggregate: as DataFusion names them, then the event time of its windows.
fn output_schema(aggregate: &Aggregate) -> SchemaRef {
    let mut fields: Vec<FieldRef> = Vec::new();
    for field in aggregate.schema.fields() {
        let taken = fields.iter().any(|f| f.name() == field.name());
        let name = if taken { format!("{}#{}", field.name(), fields.len()) } else { field.name().clone() };
        fields.push(Arc::new(field.as_ref().clone().with_name(name)));
    }
    fields.extend(watermark_fields());
    Arc::new(Schema::new(fields))
}

/// Below a cast: a sum of whole numbers is known by the one that it begins with.
fn guard(expr: &mut Expr, filter: &Expr) {
    match expr {
        Expr::Cast(cast) => guard(&mut cast.expr, filter),
        Expr::Column(_) => {}
        other if other.column_refs().is_empty() => {}
        other => {
            let value = Box::new(std::mem::take(other));
            *other = Expr::Case(Case::new(None, vec![(Box::new(filter.clone()), value)], None));
        }
    }
}

/// An aggregate with FILTER whose arguments are computed for the rows that it takes, and for no others: those may not be computable.
fn only_where_filtered(aggregate: Expr) -> Expr {
    let Expr::AggregateFunction(mut function) = aggregate else { return aggregate };
    let Some(filter) = function.params.filter.clone() else { return Expr::AggregateFunction(function) };
    function.params.args.iter_mut().for_each(|arg| guard(arg, &filter));
    function.params.order_by.iter_mut().for_each(|sort| guard(&mut sort.expr, &filter));
    Expr::AggregateFunction(function)
}
