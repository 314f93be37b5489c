//! Resolves the names in GROUP BY: columns, the window, or an aggregate, which is refused.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast as sql;
use datafusion::sql::sqlparser::ast::{Spanned as _, Value, VisitorMut};
use datafusion::sql::sqlparser::tokenizer::Span as SqlSpan;

use super::names::{Scope, ident, is_aggregate, is_field, is_window_call, relation_names, same_call, strip};
use crate::visit;

/// The columns of the input that GROUP BY names as they are, or a field of which it names; `has` says whether the input has
/// a column.
pub(super) fn columns(select: &sql::Select, has: &dyn Fn(&str) -> bool) -> BTreeSet<String> {
    let sql::GroupByExpr::Expressions(exprs, _) = &select.group_by else { return BTreeSet::new() };
    let tables = relation_names(select);
    let column = |expr: &sql::Expr| match expr {
        sql::Expr::Identifier(name) => Some(ident(name)),
        // `t.n` is the column `n`; of `n.window`, a field, the column is `n`.
        sql::Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [table, column, ..] if tables.contains(&ident(table)) => Some(ident(column)),
            [column, ..] => Some(ident(column)),
            [] => None,
        },
        _ => None,
    };
    exprs.iter().map(strip).filter_map(column).filter(|name| has(name)).collect()
}

/// Puts the window in place of `GROUP BY w` and `GROUP BY 1`, where that names a window of the SELECT list.
pub(super) fn resolve_names(select: &mut sql::Select, has: &dyn Fn(&str) -> bool) {
    let projection = &select.projection;
    let sql::GroupByExpr::Expressions(exprs, _) = &mut select.group_by else { return };
    for expr in exprs {
        if let Some(call) = named_call(projection, expr, has) {
            *expr = call.clone();
        }
    }
}

/// The window of the SELECT list that an item of GROUP BY names.
fn named_call<'s>(
    projection: &'s [sql::SelectItem],
    expr: &sql::Expr,
    has: &dyn Fn(&str) -> bool,
) -> Option<&'s sql::Expr> {
    named_item(projection, expr, has).filter(|e| is_window_call(e))
}

/// The item of the SELECT list that an item of GROUP BY names, by number or by a name that is no column of the input.
fn named_item<'s>(
    projection: &'s [sql::SelectItem],
    expr: &sql::Expr,
    has: &dyn Fn(&str) -> bool,
) -> Option<&'s sql::Expr> {
    match expr {
        sql::Expr::Identifier(name) if has(&ident(name)) => None,
        sql::Expr::Identifier(name) => projection.iter().find_map(|item| match item {
            sql::SelectItem::ExprWithAlias { expr, alias } if ident(alias) == ident(name) => Some(expr),
            _ => None,
        }),
        sql::Expr::Value(value) => ordinal(&value.value).and_then(|n| match projection.get(n.checked_sub(1)?)? {
            sql::SelectItem::ExprWithAlias { expr, .. } | sql::SelectItem::UnnamedExpr(expr) => Some(expr),
            _ => None,
        }),
        _ => None,
    }
}

pub(super) fn ordinal(value: &Value) -> Option<usize> {
    match value {
        Value::Number(n, _) => n.parse().ok(),
        _ => None,
    }
}

/// The first call of `window` in GROUP BY, or named there; `has` says whether the input has a column.
pub(crate) fn grouped_call(select: &sql::Select, has: &dyn Fn(&str) -> bool) -> Option<sql::Expr> {
    let sql::GroupByExpr::Expressions(exprs, _) = &select.group_by else { return None };
    let call = |expr| if is_window_call(expr) { Some(strip(expr)) } else { named_call(&select.projection, expr, has) };
    exprs.iter().find_map(call).map(strip).cloned()
}

/// Whether GROUP BY may name an aggregate of the SELECT list, which depends on the columns of the input.
pub(super) fn may_name(select: &sql::Select, scope: &dyn Scope) -> bool {
    aggregates(select, scope, &|_| false).next().is_some()
}

/// Where GROUP BY has an aggregate, or names one of the SELECT list.
pub(super) fn aggregates(
    select: &sql::Select,
    scope: &dyn Scope,
    has: &dyn Fn(&str) -> bool,
) -> impl Iterator<Item = SqlSpan> {
    let keys = match &select.group_by {
        sql::GroupByExpr::Expressions(exprs, _) => exprs.as_slice(),
        sql::GroupByExpr::All(_) => &[],
    };
    let aggregated = |key: &&sql::Expr| {
        let meant = named_item(&select.projection, key, has).unwrap_or(key);
        let found = visit::expressions(meant, &mut |expr| match is_aggregate(expr, scope) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        });
        found.is_break()
    };
    keys.iter().filter(aggregated).map(|key| key.span()).collect::<Vec<_>>().into_iter()
}

/// Leaves out of GROUP BY what the window `call` says already: the window named again, `window.start`, and what is made of
/// nothing else. `own` are its names in GROUP BY, `names` those in the SELECT list.
pub(super) fn leave_window_once(
    select: &mut sql::Select,
    call: &sql::Expr,
    own: &[String],
    names: &[String],
    has: &dyn Fn(&str) -> bool,
) {
    let projection = &select.projection;
    let sql::GroupByExpr::Expressions(exprs, _) = &mut select.group_by else { return };
    let mut first = true;
    exprs.retain(|key| {
        if first && same_call(key, call) {
            first = false;
            return true;
        }
        let item = named_item(projection, key, has);
        let names = if item.is_some() { names } else { own };
        let mut parts = OfWindow { call, names, window: false, other: false };
        let _ = visit::change(&mut item.unwrap_or(key).clone(), &mut parts);
        parts.other || !parts.window
    });
}

/// What an expression is made of; what is of the window is taken out while it is visited.
struct OfWindow<'a> {
    call: &'a sql::Expr,
    names: &'a [String],
    /// Whether the window is among it.
    window: bool,
    /// Whether a column is.
    other: bool,
}

impl VisitorMut for OfWindow<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut sql::Query) -> ControlFlow<()> {
        self.other = true;
        ControlFlow::Break(())
    }

    fn pre_visit_expr(&mut self, expr: &mut sql::Expr) -> ControlFlow<()> {
        let named = |name: &sql::Ident| self.names.contains(&ident(name));
        let window = match &*expr {
            sql::Expr::Identifier(name) => named(name),
            sql::Expr::CompoundIdentifier(parts) => {
                matches!(parts.as_slice(), [window, field] if named(window) && is_field(field))
            }
            other => same_call(other, self.call),
        };
        if window {
            self.window = true;
            *expr = sql::Expr::value(Value::Null);
        } else if matches!(expr, sql::Expr::Identifier(_) | sql::Expr::CompoundIdentifier(_)) {
            self.other = true;
        }
        ControlFlow::Continue(())
    }
}
