//! Builds parts of parsed SQL.

use std::ops::ControlFlow;

use datafusion::common::{DataFusionError, Result};
use datafusion::sql::sqlparser::ast as sql;
use datafusion::sql::sqlparser::ast::{VisitMut, VisitorMut};
use datafusion::sql::sqlparser::tokenizer::Span;
use sluicebox_core::provenance::PREFIX;

use super::View;
pub(super) use crate::sql::derived;
pub(in crate::bind) use crate::sql::select_from as query;
use crate::visit;

pub(super) fn plan_error<T>(message: String) -> Result<T> {
    Err(DataFusionError::Plan(message))
}

/// A name as it is, whatever its letters.
pub(in crate::bind) fn identifier(name: &str) -> sql::Ident {
    sql::Ident::with_quote('"', name)
}

pub(super) fn text(text: &str) -> sql::Expr {
    sql::Expr::value(sql::Value::SingleQuotedString(text.to_owned()))
}

pub(super) fn column(mut parts: Vec<sql::Ident>) -> sql::Expr {
    if parts.len() == 1 { sql::Expr::Identifier(parts.swap_remove(0)) } else { sql::Expr::CompoundIdentifier(parts) }
}

pub(in crate::bind) fn call(name: &str, args: Vec<sql::Expr>) -> sql::Expr {
    crate::sql::call(name, args, Span::empty())
}

/// A number that is written out.
pub(super) fn whole_number(expr: &sql::Expr) -> Option<usize> {
    match expr {
        sql::Expr::Value(value) => match &value.value {
            sql::Value::Number(digits, _) => digits.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

/// The arguments of a call.
pub(super) fn arguments(function: &sql::Function) -> Result<Vec<sql::Expr>> {
    let sql::FunctionArguments::List(list) = &function.args else { return Ok(Vec::new()) };
    let one = |arg: &sql::FunctionArg| match arg {
        sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Expr(expr)) => Ok(expr.clone()),
        other => plan_error(format!("`{other}` is no argument of {}", function.name)),
    };
    list.args.iter().map(one).collect()
}

pub(super) fn one_column(expr: sql::Expr, at: usize) -> sql::SelectItem {
    sql::SelectItem::ExprWithAlias { expr, alias: identifier(&format!("{PREFIX}probe_{at}")) }
}

pub(super) fn select_all() -> Vec<sql::SelectItem> {
    vec![sql::SelectItem::Wildcard(sql::WildcardAdditionalOptions::default())]
}

/// `* EXCEPT (hidden)`.
pub(super) fn all_but(hidden: &str) -> sql::SelectItem {
    let mut item = sql::SelectItem::Wildcard(sql::WildcardAdditionalOptions::default());
    hide(std::slice::from_mut(&mut item), &[hidden.to_owned()]);
    item
}

/// Leaves `hidden` out of the wildcards of `items`.
pub(super) fn hide(items: &mut [sql::SelectItem], hidden: &[String]) {
    for item in items {
        let (sql::SelectItem::Wildcard(options) | sql::SelectItem::QualifiedWildcard(_, options)) = item else {
            continue;
        };
        for name in hidden {
            match &mut options.opt_except {
                Some(except) => except.additional_elements.push(identifier(name)),
                None => {
                    options.opt_except = Some(sql::ExceptSelectItem {
                        first_element: identifier(name),
                        additional_elements: Vec::new(),
                    });
                }
            }
        }
    }
}

/// A field of the structs in `rows` as a column.
pub(super) fn field(rows: &str, field: &str, name: sql::Ident) -> sql::SelectItem {
    let of = sql::Expr::Identifier(identifier(rows));
    sql::SelectItem::ExprWithAlias { expr: call("get_field", vec![of, text(field)]), alias: name }
}

/// The name of the only table.
pub(super) fn single_table(from: &[sql::TableWithJoins]) -> Result<sql::Ident> {
    let [sql::TableWithJoins { relation, joins }] = from else {
        return plan_error("explode and its relatives are asked for over one table".to_owned());
    };
    if !joins.is_empty() {
        return plan_error("explode and its relatives beside a join: put one of them into a subquery".to_owned());
    }
    let name = match relation {
        sql::TableFactor::Table { alias: Some(alias), .. } | sql::TableFactor::Derived { alias: Some(alias), .. } => {
            Some(alias.name.clone())
        }
        sql::TableFactor::Table { name, .. } => name.0.last().and_then(|p| p.as_ident().cloned()),
        _ => None,
    };
    Ok(name.unwrap_or_else(|| identifier(&format!("{PREFIX}rows"))))
}

/// Makes `table.column` of `view.column` in `node`.
pub(super) fn requalify(node: &mut impl VisitMut, views: &[View]) {
    // Nothing breaks off.
    let _ = visit::change(node, &mut Requalify { views });
}

/// The same in all of a SELECT but FROM; `view.*` becomes the view's columns.
pub(super) fn requalify_select(select: &mut sql::Select, views: &[View]) {
    if views.is_empty() {
        return;
    }
    let mut items = Vec::with_capacity(select.projection.len());
    for mut item in std::mem::take(&mut select.projection) {
        if let sql::SelectItem::QualifiedWildcard(sql::SelectItemQualifiedWildcardKind::ObjectName(name), _) = &item
            && let Some(view) = views.iter().find(|v| v.name == name.to_string().to_lowercase())
        {
            let one = |c: &sql::Ident| sql::SelectItem::UnnamedExpr(sql::Expr::Identifier(c.clone()));
            items.extend(view.columns.iter().map(one));
            continue;
        }
        requalify(&mut item, views);
        items.push(item);
    }
    select.projection = items;
    requalify(&mut select.selection, views);
    requalify(&mut select.group_by, views);
    requalify(&mut select.having, views);
    requalify(&mut select.distinct, views);
}

struct Requalify<'a> {
    views: &'a [View],
}

impl VisitorMut for Requalify<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut sql::Expr) -> ControlFlow<()> {
        if let sql::Expr::CompoundIdentifier(parts) = expr
            && let [view, column, ..] = parts.as_mut_slice()
            && let Some(known) = self.views.iter().find(|v| v.name == view.value.to_lowercase())
            && known.columns.iter().any(|c| c.value.eq_ignore_ascii_case(&column.value))
        {
            *view = sql::Ident { span: view.span, ..known.of.clone() };
        }
        ControlFlow::Continue(())
    }
}
