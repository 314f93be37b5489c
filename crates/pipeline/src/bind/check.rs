//! Refuses constructs that no query over a stream may have, in the parsed SQL, where every part still has its place.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::Volatility;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr,
    Ident, LimitClause, Query, Select, SelectItem, SetExpr, SetOperator, Spanned, TableFactor, Value, Visit, Visitor,
};

use sluicebox_core::provenance::{PREFIX, is_hidden};

use super::place::Places;
use crate::ast::Span;
use crate::diagnostic::Diagnostic;
use crate::parse::LEAF;
use crate::visit;
use crate::window::grouping::grouped_call;

/// Every part of a query or condition that a stream cannot have.
pub(super) fn check(
    node: &impl Visit,
    state: &SessionState,
    places: &Places<'_>,
    whole: Span,
    place: Place,
) -> Vec<Diagnostic> {
    let alone = BTreeSet::new();
    let over = BTreeSet::new();
    let mut checker = Checker { state, places, whole, place, depth: 0, alone, over, found: Vec::new() };
    // All mistakes are reported at once; it breaks off only at what is too deep to go on.
    let _ = visit::read(node, &mut checker);
    checker.found
}

/// How many UNIONs and the like the query has, at all levels; found without recursion.
pub(super) fn set_operations(query: &Query) -> usize {
    let mut count = 0;
    let mut queries = vec![query];
    while let Some(query) = queries.pop() {
        queries.extend(query.with.iter().flat_map(|with| &with.cte_tables).map(|cte| cte.query.as_ref()));
        let mut bodies = vec![query.body.as_ref()];
        while let Some(body) = bodies.pop() {
            match body {
                SetExpr::SetOperation { left, right, .. } => {
                    count += 1;
                    bodies.extend([left.as_ref(), right.as_ref()]);
                }
                SetExpr::Query(inner) => queries.push(inner),
                SetExpr::Select(select) => queries.extend(select.from.iter().filter_map(|t| match &t.relation {
                    TableFactor::Derived { subquery, .. } => Some(subquery.as_ref()),
                    _ => None,
                })),
                _ => {}
            }
        }
    }
    count
}

/// Where the SQL stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A query over streams.
    Query,
    /// The condition of an expectation.
    Condition,
}

struct Checker<'a> {
    state: &'a SessionState,
    places: &'a Places<'a>,
    whole: Span,
    place: Place,
    /// How many expressions are open.
    depth: usize,
    /// Where the functions that give rows, lambdas and grouping sets stand as they may.
    alone: BTreeSet<usize>,
    /// Where functions of OVER stand that are not over a stream itself: whether they may is known when the query is planned.
    over: BTreeSet<usize>,
    found: Vec<Diagnostic>,
}

/// So deep may an expression be; `a OR b OR c` is as deep as it is long. Deeper trees overflow the stack of an ordinary
/// thread when they are copied.
const MAX_DEPTH: usize = 250;

impl Checker<'_> {
    fn refuse(&mut self, at: &impl Spanned, message: &str, label: &str, help: &str) {
        let span = self.places.node(at, self.whole);
        self.found.push(Diagnostic::new("not-supported", span, message, label).with_help(help));
    }

    fn set_expr(&mut self, body: &SetExpr) {
        match body {
            SetExpr::Select(_) | SetExpr::Query(_) => {}
            SetExpr::SetOperation { op: SetOperator::Union, left, right, .. } => {
                self.set_expr(left);
                self.set_expr(right);
            }
            SetExpr::SetOperation { op, left, right, .. } => {
                self.set_expr(left);
                self.refuse(
                    right.as_ref(),
                    &format!("{op} of streams is not supported"),
                    "this side may still grow",
                    "UNION ALL is; what must be left out can be said with WHERE",
                );
            }
            other => {
                self.refuse(other, "a query over a stream starts with SELECT", "", "write SELECT ... FROM STREAM ...")
            }
        }
    }

    /// Functions that give rows stand alone in SELECT or in LATERAL VIEW, lambdas in a call.
    fn stands(&mut self, expr: &Expr) {
        let here = std::ptr::from_ref(expr).addr();
        if let Some((_, function)) = super::generators::generator(expr)
            && !self.alone.contains(&here)
            && function.over.is_none()
        {
            self.refuse(
                expr,
                &format!("{} gives rows, so it stands alone: in the SELECT list or in LATERAL VIEW", function.name),
                "within something else",
                "write SELECT explode(x) AS y in a subquery, and use y around it",
            );
        }
        if matches!(expr, Expr::Lambda(_)) && !self.alone.contains(&here) {
            self.refuse(
                expr,
                "`->` stands in calls of functions that take a lambda, as in transform(array, x -> x + 1)",
                "not in such a call",
                "to take a value out of JSON text, write get_json_object(text, '$.a.b') or text:a.b",
            );
        }
        if let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = expr {
            for arg in &list.args {
                if let FunctionArg::Unnamed(FunctionArgExpr::Expr(lambda @ Expr::Lambda(_))) = arg {
                    self.alone.insert(std::ptr::from_ref(lambda).addr());
                }
            }
        }
    }

    fn function(&mut self, function: &Function) {
        let name = function.name.to_string().to_lowercase();
        if function.over.is_some() && !self.over.contains(&std::ptr::from_ref(function).addr()) {
            self.refuse(
                function,
                "window functions (OVER) need all rows of a stream, which never ends",
                "OVER over a stream",
                "aggregate with GROUP BY window(event_time, INTERVAL '5 minutes'), or take the first row per key with \
                 DISTINCT ON",
            );
        }
        if function.over.is_none()
            && let Some(refusal) = sluicebox_functions::refused(&name)
        {
            return self.refuse(function, &format!("{name}() {}", refusal.why), "refused", refusal.instead);
        }
        self.all_columns(function, &name);
        let volatile = |v: Volatility| v == Volatility::Volatile;
        if self.state.scalar_functions().get(&name).is_some_and(|f| volatile(f.signature().volatility)) {
            self.refuse(
                function,
                &format!("{name}() gives another value each time it runs, so a replayed batch would write other rows"),
                "not repeatable",
                "derive the value from the row: its key, or _topic, _partition and _offset; sha256() of them is as good \
                 as an id",
            );
        }
        if self.place == Place::Condition && self.state.aggregate_functions().contains_key(&name) {
            let message = format!("an expectation judges one row at a time, so it cannot ask for {name}() over rows");
            self.refuse(
                function,
                &message,
                "an aggregate",
                "make a streaming table that aggregates, and put the expectation there",
            );
        }
    }

    /// `*` counts rows where it stands alone in count(), and is no value anywhere else.
    fn all_columns(&mut self, function: &Function, name: &str) {
        let FunctionArguments::List(list) = &function.args else { return };
        let star = |arg: &FunctionArg| {
            matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Wildcard | FunctionArgExpr::QualifiedWildcard(_)))
        };
        let counts = name == "count" && list.duplicate_treatment != Some(DuplicateTreatment::Distinct);
        let alone = matches!(list.args.as_slice(), [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]);
        if name == "count" && list.args.is_empty() {
            self.refuse(
                function,
                "count() names nothing to count",
                "",
                "write count(*) for the rows, count(x) for the values",
            );
        }
        if list.args.iter().any(star) && !(counts && alone) {
            let message = format!("`*` as an argument of {name}() is not supported");
            self.refuse(function, &message, "not here", &format!("name the columns: {name}(a, b)"));
        }
    }

    fn table_factor(&mut self, factor: &TableFactor) {
        if let TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } = factor
        {
            alias.columns.iter().for_each(|column| self.alias(&column.name));
        }
        match factor {
            TableFactor::Table { args: None, sample: None, .. } | TableFactor::Derived { lateral: false, .. } => {}
            TableFactor::Table { sample: Some(_), .. } => {
                self.refuse(factor, "TABLESAMPLE of a stream would pick other rows on a replay", "", "use WHERE");
            }
            TableFactor::NestedJoin { .. } => {}
            TableFactor::UNNEST { .. } => self.refuse(
                factor,
                "UNNEST beside a stream is a join, which is not supported yet",
                "",
                "write unnest(column) in the SELECT list",
            ),
            TableFactor::Pivot { .. } => self.refuse(
                factor,
                "PIVOT is not supported over a stream",
                "",
                "aggregate with a condition for each column: sum(x) FILTER (WHERE kind = 'a') AS a",
            ),
            TableFactor::Unpivot { .. } => self.refuse(
                factor,
                "UNPIVOT is not supported over a stream",
                "",
                "write SELECT inline(array(struct('a' AS name, a AS value), struct('b', b)))",
            ),
            _ => self.refuse(
                factor,
                "a query over a stream reads STREAM, a subquery or a WITH query, nothing else",
                "not a stream",
                "write FROM STREAM name",
            ),
        }
    }

    /// Names that are Sluicebox's own.
    fn alias(&mut self, alias: &Ident) {
        if is_hidden(&alias.value.to_lowercase()) {
            let span = self.places.parsed(alias.span).unwrap_or(self.whole);
            let message = format!("`{}` starts with {PREFIX}, as the names of Sluicebox itself do", alias.value);
            self.found
                .push(Diagnostic::new("reserved-name", span, message, "reserved").with_help("choose another name"));
        }
    }

    fn select(&mut self, select: &Select) {
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { alias, .. } = item {
                self.alias(alias);
            }
            if let SelectItem::ExprWithAliases { aliases, .. } = item {
                aliases.iter().for_each(|alias| self.alias(alias));
            }
            if let SelectItem::UnnamedExpr(expr)
            | SelectItem::ExprWithAlias { expr, .. }
            | SelectItem::ExprWithAliases { expr, .. } = item
            {
                self.alone.insert(std::ptr::from_ref(expr).addr());
            }
        }
        for view in &select.lateral_views {
            view.lateral_col_alias.iter().for_each(|alias| self.alias(alias));
            self.alone.insert(std::ptr::from_ref(&view.lateral_view).addr());
        }
        if select.distinct.is_some() {
            self.distinct_unnest(select);
            self.found.extend(super::keys::constants(select, self.places, self.whole));
        }
        self.above_a_query(select);
        if let [_, second, ..] = select.from.as_slice() {
            self.joined(second, &second.relation);
        }
        for table in &select.from {
            if let Some(join) = table.joins.first() {
                self.joined(join, &join.relation);
            }
        }
        if let Some(qualify) = &select.qualify {
            self.refuse(
                qualify,
                "QUALIFY needs a window function, which streams cannot have",
                "",
                "use WHERE or HAVING",
            );
        }
        if let GroupByExpr::Expressions(keys, _) = &select.group_by
            && grouped_call(select, &|_| false).is_some()
        {
            self.alone.extend(keys.iter().map(|key| std::ptr::from_ref(key).addr()));
        }
        let modifiers = match &select.group_by {
            GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers) => modifiers,
        };
        if !modifiers.is_empty() {
            self.grouping_sets(&select.group_by);
        }
        if let Some(into) = &select.into {
            self.refuse(into, "SELECT INTO makes a table, as CREATE STREAMING TABLE does", "", "leave INTO out");
        }
        if let Some(item) = select.sort_by.first() {
            self.order_by(item);
        }
    }

    /// Functions of OVER in a SELECT from a query.
    fn above_a_query(&mut self, select: &Select) {
        let stream = |factor: &TableFactor| matches!(factor, TableFactor::Table { name, .. } if name.to_string().starts_with(LEAF));
        if select.from.is_empty() || select.from.iter().any(|table| stream(&table.relation)) {
            return;
        }
        let _: ControlFlow<()> = visit::expressions(&select.projection, &mut |expr| {
            if let Expr::Function(function) = expr
                && function.over.is_some()
            {
                self.over.insert(std::ptr::from_ref(function).addr());
            }
            ControlFlow::Continue(())
        });
    }

    /// DataFusion plans DISTINCT before unnest.
    fn distinct_unnest(&mut self, select: &Select) {
        let mut found = None;
        let _ = visit::expressions(&select.projection, &mut |e| match e {
            Expr::Function(f) if f.name.to_string().eq_ignore_ascii_case("unnest") => {
                found = Some(f.clone());
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        });
        if let Some(function) = found {
            self.refuse(
                &function,
                "unnest beside DISTINCT is not supported: it is not said which of them comes first",
                "",
                "put it into a subquery: SELECT DISTINCT ... FROM (SELECT unnest(...) ... FROM STREAM name) AS x",
            );
        }
    }

    /// A join; what stands on its right side may say what is meant.
    fn joined(&mut self, at: &impl Spanned, relation: &TableFactor) {
        let rows = |name: &str| sluicebox_functions::nested::generate::Generator::of(&name.to_lowercase()).is_some();
        let lateral = match relation {
            TableFactor::Derived { lateral, .. } | TableFactor::Function { lateral, .. } => *lateral,
            TableFactor::Table { name, args: Some(_), .. } => rows(&name.to_string()),
            _ => false,
        };
        if !lateral {
            return self.join(at);
        }
        self.refuse(
            at,
            "LATERAL in FROM is not supported",
            "a join",
            "write LATERAL VIEW explode(x) t AS a behind FROM, or explode(x) AS a in the SELECT list",
        );
    }

    fn join(&mut self, at: &impl Spanned) {
        self.refuse(
            at,
            "joins of streams are not supported yet",
            "joined here",
            "UNION ALL is; a lookup in a few constant values can be written as CASE",
        );
    }

    fn order_by(&mut self, at: &impl Spanned) {
        self.refuse(
            at,
            "ORDER BY needs all rows of a stream, which never ends",
            "ORDER BY over a stream",
            "leave it out: rows are written in the order of their source; DISTINCT ON keeps the first row in that order",
        );
    }

    fn grouping_sets(&mut self, at: &impl Spanned) {
        self.refuse(
            at,
            "GROUPING SETS, ROLLUP and CUBE over a stream stand beside a window",
            "",
            "write GROUP BY window(event_time, INTERVAL '5 minutes'), ROLLUP (a, b)",
        );
    }

    fn subquery(&mut self, at: &Expr) {
        let message = match self.place {
            Place::Condition => "an expectation judges one row by its own columns; it cannot have a subquery",
            Place::Query => "a subquery inside an expression is a join, which streams cannot have yet",
        };
        self.refuse(
            at,
            message,
            "a subquery",
            "a subquery in FROM is fine; a short list can be written out: x IN (1, 2)",
        );
    }
}

impl Visitor for Checker<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let Some(order_by) = &query.order_by {
            self.order_by(order_by);
        }
        let limit = "LIMIT over a stream would keep the rows of the first batch and drop all later ones";
        let fix = "leave it out; DISTINCT ON (keys) keeps one row per key";
        if let Some(clause) = &query.limit_clause {
            if matches!(clause, LimitClause::LimitOffset { limit: None, offset: Some(_), .. }) {
                let offset = "OFFSET over a stream would leave out the first rows of each batch";
                self.refuse(clause, offset, "an offset", "leave it out; WHERE says which rows are wanted");
            } else {
                self.refuse(clause, limit, "a limit", fix);
            }
        } else if let Some(fetch) = &query.fetch {
            self.refuse(fetch, limit, "a limit", fix);
        }
        if !query.locks.is_empty() {
            self.refuse(query, "FOR UPDATE and FOR SHARE lock rows, which a stream has none of", "", "leave it out");
        }
        if let Some(with) = query.with.as_ref().filter(|with| with.recursive) {
            self.refuse(with, "WITH RECURSIVE over a stream never ends", "", "WITH without RECURSIVE is fine");
        }
        self.set_expr(&query.body);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        self.select(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        self.table_factor(factor);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _expr: &Expr) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("an expression is nested more than {MAX_DEPTH} deep");
            self.found.clear();
            self.found.push(
                Diagnostic::new("too-deep", self.whole, message, "in here")
                    .with_help("write x IN (1, 2, 3) for a long row of ORs, or cut it in two with a view between"),
            );
            return ControlFlow::Break(());
        }
        self.stands(expr);
        match expr {
            Expr::Function(function) => self.function(function),
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => self.subquery(expr),
            Expr::BinaryOp {
                op: op @ (BinaryOperator::Arrow | BinaryOperator::LongArrow | BinaryOperator::HashArrow
                | BinaryOperator::HashLongArrow | BinaryOperator::AtArrow | BinaryOperator::ArrowAt), ..
            } => self.refuse(
                expr,
                &format!("{op} is an operator of PostgreSQL, which is not here"),
                "not an operator here",
                "write get_json_object(text, '$.a.b') for a part of a JSON text, array_contains(list, x) for an element of a list",
            ),
            Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => self.refuse(
                expr,
                "a pipeline has no parameters",
                "a parameter",
                "write the value itself; ${env:NAME} stands for a value in SET, OPTIONS and LOCATION",
            ),
            Expr::AtTimeZone { .. } => self.refuse(
                expr,
                "AT TIME ZONE is not Spark's, and a TIMESTAMP has no zone that it could change",
                "a zone",
                "write from_utc_timestamp(ts, 'Europe/Berlin') for the time that clocks show there, or convert_timezone('Europe/Berlin', ts) \
                 for a TIMESTAMP_NTZ; windows of days in another zone are window(from_utc_timestamp(...), ...) of an upstream table",
            ),
            Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_)
                if !self.alone.contains(&std::ptr::from_ref(expr).addr()) =>
            {
                self.grouping_sets(expr);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
