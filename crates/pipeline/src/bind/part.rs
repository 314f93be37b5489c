//! Finds the part of a query that a mistake is in, where DataFusion does not say it.

use datafusion::common::DataFusionError;
use datafusion::sql::sqlparser::ast as sql;

use super::place::Places;
use super::plan::Catalog;
use super::said::plain;
use crate::ast::Span;
use crate::window::names::time_of;

/// Where in the query the mistake stands that `error` is about, if it does not say so itself: the one part of a SELECT
/// that fails with the same words when it is planned without the others.
pub(super) fn blame(
    catalog: &Catalog<'_>,
    written: &crate::ast::Query,
    query: &crate::ast::Query,
    error: &DataFusionError,
    places: &Places<'_>,
) -> Span {
    let words = plain(error);
    part(written, query, places, |probe| catalog.query(probe).err().is_some_and(|e| plain(&e) == words))
}

/// The place of the part of a query that `fails` when it stands alone; that of the whole if none does. `written` is the query
/// before names were resolved in it.
pub(super) fn part(
    written: &crate::ast::Query,
    query: &crate::ast::Query,
    places: &Places<'_>,
    fails: impl Fn(&sql::Query) -> bool,
) -> Span {
    let fails = |body: sql::SetExpr| fails(&sql::Query { body: Box::new(body), ..(*query.ast).clone() });
    let mut body = query.ast.body.as_ref();
    let mut origin = written.ast.body.as_ref();
    let mut span = query.span;
    while let sql::SetExpr::SetOperation { left, right, .. } = body {
        let Some(at) = [left, right].into_iter().position(|side| fails(side.as_ref().clone())) else { return span };
        body = [left, right][at];
        if let sql::SetExpr::SetOperation { left, right, .. } = origin {
            origin = [left, right][at];
        }
        span = places.node(origin, span);
    }
    let sql::SetExpr::Select(select) = body else { return span };
    let one = sql::SelectItem::UnnamedExpr(sql::Expr::value(sql::Value::Boolean(true)));
    let base = sql::Select {
        projection: vec![one],
        group_by: sql::GroupByExpr::Expressions(Vec::new(), Vec::new()),
        having: None,
        selection: None,
        distinct: None,
        ..(**select).clone()
    };
    let alone = |select: sql::Select| fails(sql::SetExpr::Select(Box::new(select)));
    for (i, view) in select.lateral_views.iter().enumerate() {
        if alone(sql::Select { lateral_views: select.lateral_views[..=i].to_vec(), ..base.clone() }) {
            return places.node(&view.lateral_view, span);
        }
    }
    if let Some(condition) = &select.selection
        && alone(sql::Select { selection: Some(condition.clone()), ..base.clone() })
    {
        return places.node(condition, span);
    }
    let origin = match origin {
        sql::SetExpr::Select(origin) => origin,
        _ => select,
    };
    // The items as they were written, where there are as many.
    let items =
        if origin.projection.len() == select.projection.len() { &origin.projection } else { &select.projection };
    let windows = match &select.group_by {
        sql::GroupByExpr::Expressions(keys, _) => keys.iter().filter_map(|key| Some((key, time_of(key)?))).collect(),
        sql::GroupByExpr::All(_) => Vec::new(),
    };
    for (key, time) in windows {
        // The window stands in place of its names, too.
        if alone(sql::Select { projection: vec![sql::SelectItem::UnnamedExpr(key.clone())], ..base.clone() }) {
            return places.node(time, span);
        }
    }
    for (item, written) in select.projection.iter().zip(items) {
        if alone(sql::Select { projection: vec![item.clone()], ..base.clone() }) {
            return places.node(written, span);
        }
    }
    if let sql::GroupByExpr::Expressions(keys, _) = &select.group_by {
        for key in keys {
            if alone(sql::Select { projection: vec![sql::SelectItem::UnnamedExpr(key.clone())], ..base.clone() }) {
                return places.node(key, span);
            }
        }
    }
    for (item, written) in select.projection.iter().zip(items) {
        // Aggregates are planned beside what the query groups by.
        let grouped = sql::Select { projection: vec![item.clone()], group_by: select.group_by.clone(), ..base.clone() };
        if alone(grouped) {
            return places.node(written, span);
        }
    }
    match &origin.having {
        Some(having) => places.node(having, span),
        None => span,
    }
}
