//! Resolves names in a SELECT that groups by a window, or gives one a name.
//!
//! `window` and the names given by `AS` stand for the call, and `window.start` for `get_field(window(...), 'start')`, which DataFusion
//! plans. As everywhere in SQL, a column of the input takes precedence where it may stand:
//!
//! | where | a name that both the window and a column of the input have is |
//! |---|---|
//! | inside an aggregate function | the column |
//! | GROUP BY | the column |
//! | elsewhere in SELECT and HAVING, when GROUP BY names the column | the column |
//! | elsewhere in a SELECT without GROUP BY | the column |
//! | elsewhere in SELECT and HAVING | the window: the column could not stand there |
//!
//! The same holds for other names of the SELECT list in HAVING: `-max(v) AS v ... HAVING max(v) > 2 AND v < -2`. A field that is taken out
//! of a struct has the field's name.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast as sql;
use datafusion::sql::sqlparser::ast::{Spanned as _, Value, VisitorMut};
use datafusion::sql::sqlparser::tokenizer::{Location, Span as SqlSpan};

use super::grouping::{self, grouped_call};
use super::having::{Columns, name_subquery};
use super::{CUMULATE, END, START, WINDOW, WINDOW_TIME, casts, is_window_function};
use crate::ast::Spanned;
use crate::visit;

/// What is known where a query stands.
pub(crate) trait Scope {
    /// The columns of the FROM of `select`, each with what it may be qualified by; `with` are the named queries that it may
    /// read. None where it cannot be planned, which is told elsewhere.
    fn input(&self, select: &sql::Select, with: &[sql::Cte]) -> Vec<(Option<String>, String)>;

    /// Whether an aggregate function is called so.
    fn is_aggregate(&self, name: &str) -> bool;
}

/// Resolves the names of a query; `given` are those of `GROUP BY window(...) AS name`, each with the place of its `window`.
/// Gives the places in GROUP BY where an aggregate is named: rows cannot be grouped by that.
pub(crate) fn query(ast: &mut sql::Query, given: &[(Location, Spanned<String>)], scope: &dyn Scope) -> Vec<SqlSpan> {
    let mut names = Names { given, scope, aggregates: Vec::new() };
    names.query(ast, &[]);
    names.aggregates
}

struct Names<'a> {
    given: &'a [(Location, Spanned<String>)],
    scope: &'a dyn Scope,
    /// Where GROUP BY names an aggregate.
    aggregates: Vec<SqlSpan>,
}

impl Names<'_> {
    /// The queries below come first: what they give is the input of those above.
    fn query(&mut self, query: &mut sql::Query, outer: &[sql::Cte]) {
        let mut with = outer.to_vec();
        for cte in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            self.query(&mut cte.query, &with);
            with.push(cte.clone());
        }
        self.body(&mut query.body, &with, query.order_by.as_mut());
    }

    fn body(&mut self, body: &mut sql::SetExpr, with: &[sql::Cte], order_by: Option<&mut sql::OrderBy>) {
        match body {
            sql::SetExpr::Select(select) => {
                for table in &mut select.from {
                    self.relation(&mut table.relation, with);
                    table.joins.iter_mut().for_each(|join| self.relation(&mut join.relation, with));
                }
                self.select(select, with, order_by);
            }
            sql::SetExpr::SetOperation { left, right, .. } => {
                self.body(left, with, None);
                self.body(right, with, None);
            }
            sql::SetExpr::Query(inner) => self.query(inner, with),
            _ => {}
        }
    }

    fn relation(&mut self, relation: &mut sql::TableFactor, with: &[sql::Cte]) {
        match relation {
            sql::TableFactor::Derived { subquery, .. } => self.query(subquery, with),
            sql::TableFactor::NestedJoin { table_with_joins, .. } => {
                self.relation(&mut table_with_joins.relation, with);
                table_with_joins.joins.iter_mut().for_each(|join| self.relation(&mut join.relation, with));
            }
            _ => {}
        }
    }

    fn select(&mut self, select: &mut sql::Select, with: &[sql::Cte], order_by: Option<&mut sql::OrderBy>) {
        casts::tell_apart(select, self.scope);
        let wanted = select.having.is_some() || projected_call(&select.projection).is_some();
        let wanted = wanted || grouped_call(select, &|_| false).is_some() || grouping::may_name(select, self.scope);
        let input = if wanted { self.scope.input(select, with) } else { Vec::new() };
        let has = |name: &str| input.iter().any(|(_, column)| column == name);
        self.aggregates.extend(grouping::aggregates(select, self.scope, &has));
        grouping::resolve_names(select, &has);
        let grouped = grouped_call(select, &has);
        let names = self.names(select, grouped.as_ref(), &has);
        if let Some(call) = &grouped {
            let own: Vec<String> = names.list.iter().filter(|name| !has(name)).cloned().collect();
            grouping::leave_window_once(select, call, &own, &names.list, &has);
            let _ = visit::change(&mut select.group_by, &mut Replace::new(&own, &[], call, self.scope));
        }
        let call = grouped.or_else(|| projected_call(&select.projection));
        let projection = std::mem::take(&mut select.projection);
        select.projection = projection.into_iter().flat_map(|item| expand(item, &names.list, call.as_ref())).collect();
        let tables = relation_names(select);
        for item in &mut select.projection {
            name_item(item, &names.list, &tables);
        }
        if let Some(call) = &call {
            let inside: Vec<String> = names.having.iter().filter(|name| !has(name)).cloned().collect();
            let replace = |outside| Replace::new(outside, &inside, call, self.scope);
            let _ = visit::change(&mut select.projection, &mut replace(&names.list));
            let _ = visit::change(&mut select.having, &mut replace(&names.having));
            let _ = visit::change(&mut select.qualify, &mut replace(&names.having));
            let _ = visit::change(&mut select.sort_by, &mut replace(&names.having));
            if let Some(sql::Distinct::On(keys)) = &mut select.distinct {
                let _ = visit::change(keys, &mut replace(&names.list));
            }
            if let Some(order_by) = order_by {
                let _ = visit::change(order_by, &mut replace(&names.having));
            }
        }
        self.having(select, &input);
    }

    /// The names of the window, in the SELECT list and in HAVING, outside of aggregates.
    fn names(&self, select: &sql::Select, grouped: Option<&sql::Expr>, has: &dyn Fn(&str) -> bool) -> WindowNames {
        let keys = grouping::columns(select, has);
        let free = |name: &String| !keys.contains(name);
        let mut given = Vec::new();
        if let Some(call) = grouped {
            given.extend(function_name(call).map(|name| column_name(&name).to_owned()));
            let place = call.span().start;
            given.extend(self.given.iter().filter(|(l, _)| *l == place).map(|(_, n)| n.value.clone()));
        }
        let projected = projected_call(&select.projection);
        let Some(call) = grouped.or(projected.as_ref()) else { return WindowNames::default() };
        let aliases: Vec<String> = select
            .projection
            .iter()
            .filter_map(|item| match item {
                sql::SelectItem::ExprWithAlias { expr, alias } if same_call(expr, call) => Some(ident(alias)),
                _ => None,
            })
            .collect();
        given.retain(free);
        let mut list = given.clone();
        list.extend(aliases.iter().filter(|name| free(name) && !has(name)).cloned());
        given.extend(aliases.into_iter().filter(free));
        WindowNames { list, having: given }
    }

    /// Says of the names in HAVING that are columns of the input, too, which of both they are.
    fn having(&self, select: &mut sql::Select, input: &[(Option<String>, String)]) {
        let aliases: BTreeMap<String, sql::Expr> = select.projection.iter().filter_map(renames).collect();
        let hidden = input.iter().any(|(_, column)| aliases.contains_key(column));
        let Some(mut having) = select.having.take_if(|_| hidden) else { return };
        let has = |name: &str| input.iter().any(|(_, column)| column == name);
        let keys = grouping::columns(select, &has);
        let mut columns = Columns::new(&aliases, &keys, input, self.scope);
        let _ = visit::change(&mut having, &mut columns);
        if columns.is_unnamed() {
            name_subquery(select);
        }
        select.having = Some(having);
    }
}

/// What stands for the window outside of aggregates.
#[derive(Default)]
struct WindowNames {
    list: Vec<String>,
    having: Vec<String>,
}

/// The name that an item gives to something else than the column of that name, and to what.
fn renames(item: &sql::SelectItem) -> Option<(String, sql::Expr)> {
    match item {
        sql::SelectItem::ExprWithAlias { expr: sql::Expr::Identifier(column), alias }
            if ident(column) == ident(alias) =>
        {
            None
        }
        sql::SelectItem::ExprWithAlias { alias, expr } => Some((ident(alias), expr.clone())),
        _ => None,
    }
}

/// The first call of `window` in the SELECT list that has a name, for `SELECT window(...) AS w, w.start`.
fn projected_call(projection: &[sql::SelectItem]) -> Option<sql::Expr> {
    projection.iter().find_map(|item| match item {
        sql::SelectItem::ExprWithAlias { expr, .. } if is_window_call(expr) => Some(strip(expr).clone()),
        _ => None,
    })
}

pub(super) fn strip(expr: &sql::Expr) -> &sql::Expr {
    match expr {
        sql::Expr::Nested(inner) => strip(inner),
        other => other,
    }
}

pub(super) fn is_window_call(expr: &sql::Expr) -> bool {
    function_name(expr).is_some()
}

/// The function that gives windows and that `expr` is a call of.
pub(super) fn function_name(expr: &sql::Expr) -> Option<String> {
    match strip(expr) {
        sql::Expr::Function(f) if f.over.is_none() => simple_name(&f.name).filter(|name| is_window_function(name)),
        _ => None,
    }
}

/// What the column is called that such a function gives.
fn column_name(function: &str) -> &str {
    if function == CUMULATE { WINDOW } else { function }
}

/// The time of a call of `window`.
pub(crate) fn time_of(expr: &sql::Expr) -> Option<&sql::Expr> {
    let (true, sql::Expr::Function(call)) = (is_window_call(expr), strip(expr)) else { return None };
    let sql::FunctionArguments::List(list) = &call.args else { return None };
    match list.args.first()? {
        sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Expr(time)) => Some(time),
        _ => None,
    }
}

/// The calls of `window` in a query, in the order of the text.
pub(crate) fn window_calls(query: &sql::Query) -> Vec<sql::Expr> {
    let mut calls = Vec::new();
    let _: ControlFlow<()> = visit::expressions(query, &mut |expr| {
        if is_window_call(expr) && !matches!(expr, sql::Expr::Nested(_)) {
            calls.push(expr.clone());
        }
        ControlFlow::Continue(())
    });
    calls
}

pub(super) fn same_call(expr: &sql::Expr, call: &sql::Expr) -> bool {
    strip(expr) == call
}

pub(super) fn simple_name(name: &sql::ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [part] => part.as_ident().map(ident),
        _ => None,
    }
}

pub(crate) fn ident(ident: &sql::Ident) -> String {
    if ident.quote_style.is_none() { ident.value.to_lowercase() } else { ident.value.clone() }
}

/// Whether `expr` is a call of an aggregate function.
pub(super) fn is_aggregate(expr: &sql::Expr, scope: &dyn Scope) -> bool {
    matches!(expr, sql::Expr::Function(f) if f.over.is_none() && simple_name(&f.name).is_some_and(|n| scope.is_aggregate(&n)))
}

/// `window.*` as its two fields.
fn expand(item: sql::SelectItem, names: &[String], call: Option<&sql::Expr>) -> Vec<sql::SelectItem> {
    if let sql::SelectItem::QualifiedWildcard(sql::SelectItemQualifiedWildcardKind::ObjectName(name), _) = &item
        && let (Some(call), Some(name)) = (call, simple_name(name))
        && names.contains(&name)
    {
        return [START, END].map(|f| sql::SelectItem::ExprWithAlias { expr: field(call, f), alias: quoted(f) }).into();
    }
    vec![item]
}

/// The names that columns of the FROM clause may be qualified by.
pub(super) fn relation_names(select: &sql::Select) -> BTreeSet<String> {
    let name = |relation: &sql::TableFactor| match relation {
        sql::TableFactor::Table { alias: Some(alias), .. } | sql::TableFactor::Derived { alias: Some(alias), .. } => {
            Some(ident(&alias.name))
        }
        sql::TableFactor::Table { name, .. } => simple_name(name),
        _ => None,
    };
    let joined = |table: &sql::TableWithJoins| {
        let joins = table.joins.iter().map(|join| &join.relation);
        std::iter::once(&table.relation).chain(joins).filter_map(name).collect::<Vec<_>>()
    };
    select.from.iter().flat_map(joined).collect()
}

/// Gives an item without a name the one that it has in Spark.
fn name_item(item: &mut sql::SelectItem, names: &[String], tables: &BTreeSet<String>) {
    let sql::SelectItem::UnnamedExpr(expr) = item else { return };
    let name = match &*expr {
        e if is_window_call(e) => function_name(e).map(|name| column_name(&name).to_owned()).unwrap_or_default(),
        sql::Expr::Identifier(i) if names.contains(&ident(i)) => ident(i),
        // A field of a struct; not a column of a table.
        sql::Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [table, _] if tables.contains(&ident(table)) => return,
            [.., field] => ident(field),
            [] => return,
        },
        sql::Expr::Function(f) if simple_name(&f.name).is_some_and(|n| n == WINDOW_TIME) => match &f.args {
            sql::FunctionArguments::List(list) => match list.args.as_slice() {
                [sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Expr(sql::Expr::Identifier(arg)))] => {
                    format!("{WINDOW_TIME}({})", ident(arg))
                }
                _ => return,
            },
            _ => return,
        },
        _ => return,
    };
    *item = sql::SelectItem::ExprWithAlias { expr: expr.clone(), alias: quoted(&name) };
}

pub(super) fn is_field(name: &sql::Ident) -> bool {
    [START, END].contains(&ident(name).as_str())
}

pub(super) fn quoted(name: &str) -> sql::Ident {
    sql::Ident::with_quote('"', name)
}

/// `get_field(call, 'field')`.
pub(super) fn field(call: &sql::Expr, field: &str) -> sql::Expr {
    let name = sql::Expr::Value(Value::SingleQuotedString(field.to_owned()).with_span(call.span()));
    crate::sql::call("get_field", [call.clone(), name], call.span())
}

/// Puts the call in place of its names, but neither in queries below nor in the arguments of `window` itself, where the
/// word is a column of the input.
struct Replace<'a> {
    /// The names outside of aggregates, and inside.
    outside: &'a [String],
    inside: &'a [String],
    call: &'a sql::Expr,
    scope: &'a dyn Scope,
    queries: usize,
    windows: usize,
    aggregates: usize,
}

impl<'a> Replace<'a> {
    fn new(outside: &'a [String], inside: &'a [String], call: &'a sql::Expr, scope: &'a dyn Scope) -> Self {
        Self { outside, inside, call, scope, queries: 0, windows: 0, aggregates: 0 }
    }
}

impl VisitorMut for Replace<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut sql::Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut sql::Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut sql::Expr) -> ControlFlow<()> {
        self.windows += usize::from(matches!(expr, sql::Expr::Function(_)) && is_window_call(expr));
        self.aggregates += usize::from(is_aggregate(expr, self.scope));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut sql::Expr) -> ControlFlow<()> {
        if matches!(expr, sql::Expr::Function(_)) {
            self.windows -= usize::from(is_window_call(expr));
            self.aggregates -= usize::from(is_aggregate(expr, self.scope));
            return ControlFlow::Continue(());
        }
        if self.queries > 0 || self.windows > 0 {
            return ControlFlow::Continue(());
        }
        let names = if self.aggregates > 0 { self.inside } else { self.outside };
        let named = |i: &sql::Ident| names.contains(&ident(i));
        let new = match &*expr {
            sql::Expr::Identifier(i) if named(i) => self.call.clone(),
            sql::Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [window, name] if named(window) && is_field(name) => field(self.call, &ident(name)),
                _ => return ControlFlow::Continue(()),
            },
            _ => return ControlFlow::Continue(()),
        };
        *expr = new;
        ControlFlow::Continue(())
    }
}
