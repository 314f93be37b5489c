//! Makes `window`, `window.start` and `window.end` in a SELECT what they are in Spark, and checks every call of `window`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast as sql;
use datafusion::sql::sqlparser::ast::{Spanned as _, Value, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::tokenizer::{Location, Span as SqlSpan};

use super::{END, MAX_PANES, START, WINDOW, WINDOW_TIME, Wrong, problem};
use crate::ast::{Span, Spanned};
use crate::diagnostic::{Diagnostic, byte_span};
use crate::parse::of_expr;

/// Rewrites a query; `names` are the names given by `GROUP BY window(...) AS name`, each with the place of its `window`.
pub(crate) fn query(
    text: &str,
    ast: &mut sql::Query,
    names: &[(Location, Spanned<String>)],
    found: &mut Vec<Diagnostic>,
) {
    let mut calls = Calls { text, found };
    let _ = ast.visit(&mut calls);
    let mut levels = Levels { text, names, found };
    let _ = ast.visit(&mut levels);
}

/// Checks the calls of `window` in a condition.
pub(crate) fn expression(text: &str, expr: &mut sql::Expr, found: &mut Vec<Diagnostic>) {
    let _ = expr.visit(&mut Calls { text, found });
}

/// Checks each call of `window` and gives its intervals the form that DataFusion reads.
struct Calls<'a> {
    text: &'a str,
    found: &'a mut Vec<Diagnostic>,
}

impl VisitorMut for Calls<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut sql::Expr) -> ControlFlow<()> {
        if let sql::Expr::Function(function) = expr
            && function.over.is_none()
            && let Some(name) = simple_name(&function.name)
        {
            if name == WINDOW {
                if let Err(diagnostic) = self.call(function) {
                    self.found.push(*diagnostic);
                }
            } else if name == "session_window" {
                let span = byte_span(self.text, function.name.span()).unwrap_or_default();
                self.found.push(
                    Diagnostic::new("not-supported", span, "session windows are not supported yet", "not supported")
                        .with_help("group by window(event_time, INTERVAL '5 minutes')"),
                );
            }
        }
        ControlFlow::Continue(())
    }
}

impl Calls<'_> {
    fn call(&self, function: &mut sql::Function) -> Result<(), Box<Diagnostic>> {
        let name = byte_span(self.text, function.name.span()).unwrap_or_default();
        let shape = |message: &str| {
            Box::new(Diagnostic::new("window", name, message.to_owned(), "this call").with_help(
                "write window(event_time, INTERVAL '5 minutes'), then a slide and an offset if they are wanted",
            ))
        };
        let sql::FunctionArguments::List(list) = &mut function.args else {
            return Err(shape("window is called with the wrong arguments"));
        };
        if !(2..=4).contains(&list.args.len()) || list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
            return Err(shape("window is called with the wrong arguments"));
        }
        let mut lengths = Vec::new();
        for (what, arg) in ["size", "slide", "offset"].into_iter().zip(&mut list.args[1..]) {
            let sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Expr(expr)) = arg else {
                return Err(shape("window is called with the wrong arguments"));
            };
            let span = byte_span(self.text, expr.span()).unwrap_or(name);
            let Some(written) = of_expr(self.text, expr) else {
                return Err(Box::new(
                    Diagnostic::new(
                        "window",
                        span,
                        format!("the {what} of this window is no constant interval"),
                        "not a constant interval",
                    )
                    .with_help("write INTERVAL '5 minutes'"),
                ));
            };
            lengths.push((written.micros(&format!("{what} of the window"))?, span));
            *expr = interval(&written.text, expr.span());
        }
        self.lengths(&lengths)
    }

    fn lengths(&self, lengths: &[(i64, Span)]) -> Result<(), Box<Diagnostic>> {
        let none = (0, Span::default());
        let size = lengths.first().copied().unwrap_or(none);
        let slide = lengths.get(1).copied().unwrap_or(size);
        let offset = lengths.get(2).copied().unwrap_or(none);
        let Some(wrong) = problem(size.0, slide.0, offset.0) else { return Ok(()) };
        let (span, message, label, help) = match wrong {
            Wrong::Size => (
                size.1,
                "the size of this window is zero or negative".to_owned(),
                "not positive",
                "write INTERVAL '5 minutes'".to_owned(),
            ),
            Wrong::Slide => (
                slide.1,
                "the slide of this window is zero or negative".to_owned(),
                "not positive",
                "leave it out for windows that stand side by side".to_owned(),
            ),
            Wrong::Gaps => (
                slide.1,
                "the slide is longer than the window, so rows would fall between windows".to_owned(),
                "longer than the size",
                "make it at most the size".to_owned(),
            ),
            Wrong::Panes(n) => (
                slide.1,
                format!("the window is made of {n} panes, and at most {MAX_PANES} are allowed"),
                "too short for this size",
                "take a longer slide that divides the size".to_owned(),
            ),
            Wrong::Offset => (
                offset.1,
                "the offset is as long as the slide or longer".to_owned(),
                "too long",
                "take what is left of it after whole slides".to_owned(),
            ),
        };
        let mut diagnostic = Diagnostic::new("window", span, message, label).with_help(help);
        if span != size.1 {
            diagnostic = diagnostic.with_related(size.1, "the size");
        }
        Err(Box::new(diagnostic))
    }
}

/// `INTERVAL 'text'` at the place `span`.
fn interval(text: &str, span: SqlSpan) -> sql::Expr {
    sql::Expr::Interval(sql::Interval {
        value: Box::new(sql::Expr::Value(Value::SingleQuotedString(text.trim().to_lowercase()).with_span(span))),
        leading_field: None,
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    })
}

/// Rewrites each SELECT by the window that it groups by.
struct Levels<'a> {
    text: &'a str,
    names: &'a [(Location, Spanned<String>)],
    found: &'a mut Vec<Diagnostic>,
}

impl VisitorMut for Levels<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut sql::Query) -> ControlFlow<()> {
        if let sql::SetExpr::Select(select) = query.body.as_mut() {
            self.select(select, query.order_by.as_mut());
        } else {
            self.set_operands(&mut query.body);
        }
        ControlFlow::Continue(())
    }
}

impl Levels<'_> {
    fn set_operands(&mut self, body: &mut sql::SetExpr) {
        match body {
            sql::SetExpr::Select(select) => self.select(select, None),
            sql::SetExpr::SetOperation { left, right, .. } => {
                self.set_operands(left);
                self.set_operands(right);
            }
            // A query between parentheses is visited by itself.
            _ => {}
        }
    }

    fn select(&mut self, select: &mut sql::Select, order_by: Option<&mut sql::OrderBy>) {
        resolve_group_names(select);
        let call = grouped_call(select);
        let grouped = call.is_some();
        let call = call.or_else(|| projected_call(&select.projection));
        let mut names: Vec<String> = Vec::new();
        if let Some(call) = &call {
            if grouped {
                names.push(WINDOW.to_owned());
                let place = call.span().start;
                names.extend(self.names.iter().filter(|(l, _)| *l == place).map(|(_, n)| n.value.clone()));
            }
            names.extend(select.projection.iter().filter_map(|item| match item {
                sql::SelectItem::ExprWithAlias { expr, alias } if same_call(expr, call) => Some(ident(alias)),
                _ => None,
            }));
        }
        self.hopping(select, grouped.then_some(call.as_ref()).flatten());
        let projection = std::mem::take(&mut select.projection);
        select.projection = projection.into_iter().flat_map(|item| expand(item, &names, call.as_ref())).collect();
        for item in &mut select.projection {
            name_item(item, &names);
        }
        let Some(call) = call else { return };
        let mut replace = Replace { names: &names, call: &call, queries: 0, in_window: 0 };
        let _ = select.projection.visit(&mut replace);
        let _ = select.having.visit(&mut replace);
        let _ = select.qualify.visit(&mut replace);
        let _ = select.sort_by.visit(&mut replace);
        if let Some(sql::Distinct::On(keys)) = &mut select.distinct {
            let _ = keys.visit(&mut replace);
        }
        if let Some(order_by) = order_by {
            let _ = order_by.visit(&mut replace);
        }
    }

    /// Refuses hopping windows that no GROUP BY gives a meaning.
    fn hopping(&mut self, select: &mut sql::Select, grouped: Option<&sql::Expr>) {
        let mut finder = Hopping { text: self.text, grouped: grouped.cloned(), queries: 0, found: Vec::new() };
        let _ = select.projection.visit(&mut finder);
        let _ = select.selection.visit(&mut finder);
        for span in finder.found {
            self.found.push(
                Diagnostic::new(
                    "hopping-window",
                    span,
                    "this hopping window is not in GROUP BY",
                    "a row is in several of these",
                )
                .with_help("add the same window(...) to GROUP BY, or leave the slide out"),
            );
        }
    }
}

struct Hopping<'a> {
    text: &'a str,
    grouped: Option<sql::Expr>,
    queries: usize,
    found: Vec<Span>,
}

impl VisitorMut for Hopping<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut sql::Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut sql::Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut sql::Expr) -> ControlFlow<()> {
        if self.queries == 0
            && is_window_call(expr)
            && !self.grouped.as_ref().is_some_and(|call| same_call(expr, call))
            && let sql::Expr::Function(function) = expr
            && let sql::FunctionArguments::List(list) = &function.args
            && let [_, size, slide, ..] = list.args.as_slice()
            && size != slide
        {
            self.found.extend(byte_span(self.text, expr.span()));
        }
        ControlFlow::Continue(())
    }
}

/// Puts the window in place of `GROUP BY w` and `GROUP BY 1`, where that names a window of the SELECT list.
fn resolve_group_names(select: &mut sql::Select) {
    let sql::GroupByExpr::Expressions(exprs, _) = &mut select.group_by else { return };
    for expr in exprs {
        let named = match expr {
            sql::Expr::Identifier(name) => select.projection.iter().find_map(|item| match item {
                sql::SelectItem::ExprWithAlias { expr, alias } if ident(alias) == ident(name) => Some(expr),
                _ => None,
            }),
            sql::Expr::Value(value) => {
                ordinal(&value.value).and_then(|n| match select.projection.get(n.checked_sub(1)?)? {
                    sql::SelectItem::ExprWithAlias { expr, .. } | sql::SelectItem::UnnamedExpr(expr) => Some(expr),
                    _ => None,
                })
            }
            _ => None,
        };
        if let Some(call) = named.filter(|e| is_window_call(e)) {
            *expr = call.clone();
        }
    }
}

fn ordinal(value: &Value) -> Option<usize> {
    match value {
        Value::Number(n, _) => n.parse().ok(),
        _ => None,
    }
}

/// The first call of `window` in GROUP BY.
fn grouped_call(select: &sql::Select) -> Option<sql::Expr> {
    let sql::GroupByExpr::Expressions(exprs, _) = &select.group_by else { return None };
    exprs.iter().map(strip).find(|e| is_window_call(e)).cloned()
}

/// The first call of `window` in the SELECT list that has a name, for `SELECT window(...) AS w, w.start`.
fn projected_call(projection: &[sql::SelectItem]) -> Option<sql::Expr> {
    projection.iter().find_map(|item| match item {
        sql::SelectItem::ExprWithAlias { expr, .. } if is_window_call(expr) => Some(strip(expr).clone()),
        _ => None,
    })
}

fn strip(expr: &sql::Expr) -> &sql::Expr {
    match expr {
        sql::Expr::Nested(inner) => strip(inner),
        other => other,
    }
}

fn is_window_call(expr: &sql::Expr) -> bool {
    matches!(strip(expr), sql::Expr::Function(f) if f.over.is_none() && simple_name(&f.name).is_some_and(|n| n == WINDOW))
}

fn same_call(expr: &sql::Expr, call: &sql::Expr) -> bool {
    strip(expr) == call
}

fn simple_name(name: &sql::ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [part] => part.as_ident().map(ident),
        _ => None,
    }
}

fn ident(ident: &sql::Ident) -> String {
    if ident.quote_style.is_none() { ident.value.to_lowercase() } else { ident.value.clone() }
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

/// Gives an item without a name the one that it has in Spark.
fn name_item(item: &mut sql::SelectItem, names: &[String]) {
    let sql::SelectItem::UnnamedExpr(expr) = item else { return };
    let name = match &*expr {
        e if is_window_call(e) => WINDOW.to_owned(),
        sql::Expr::Identifier(i) if names.contains(&ident(i)) => ident(i),
        sql::Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [.., window, field]
                if is_field(field)
                    && (ident(window) == WINDOW || (parts.len() == 2 && names.contains(&ident(window)))) =>
            {
                ident(field)
            }
            _ => return,
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

fn is_field(name: &sql::Ident) -> bool {
    [START, END].contains(&ident(name).as_str())
}

fn quoted(name: &str) -> sql::Ident {
    sql::Ident::with_quote('"', name)
}

/// `get_field(call, 'field')`.
fn field(call: &sql::Expr, field: &str) -> sql::Expr {
    let arg = |expr| sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Expr(expr));
    let name = sql::Expr::Value(Value::SingleQuotedString(field.to_owned()).with_span(call.span()));
    sql::Expr::Function(sql::Function {
        name: sql::ObjectName::from(vec![sql::Ident::with_span(call.span(), "get_field")]),
        uses_odbc_syntax: false,
        parameters: sql::FunctionArguments::None,
        args: sql::FunctionArguments::List(sql::FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![arg(call.clone()), arg(name)],
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// Puts the call in place of its names, but neither in queries below nor in the arguments of `window` itself, where the
/// word is a column of the input.
struct Replace<'a> {
    names: &'a [String],
    call: &'a sql::Expr,
    queries: usize,
    in_window: usize,
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
        self.in_window += usize::from(matches!(expr, sql::Expr::Function(_)) && is_window_call(expr));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut sql::Expr) -> ControlFlow<()> {
        if matches!(expr, sql::Expr::Function(_)) && is_window_call(expr) {
            self.in_window -= 1;
            return ControlFlow::Continue(());
        }
        if self.queries > 0 || self.in_window > 0 {
            return ControlFlow::Continue(());
        }
        let named = |i: &sql::Ident| self.names.contains(&ident(i));
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
