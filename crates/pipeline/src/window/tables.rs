//! The table functions TUMBLE, HOP, CUMULATE and SESSION.
//!
//! They give the rows of a table three columns more: `window_start`, `window_end` and `window_time`. A SELECT that groups by the first two
//! groups by a window, so that it becomes one that does so by `window(...)` or one of its like:
//!
//! ```sql
//! SELECT window_start, k, sum(x) FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '5' MINUTE))
//! GROUP BY window_start, window_end, k
//! -- is
//! SELECT window(ts, INTERVAL '5 minutes', INTERVAL '1 minute').start AS window_start, k, sum(x) FROM t
//! GROUP BY window(ts, INTERVAL '5 minutes', INTERVAL '1 minute'), k
//! ```
//!
//! In any other SELECT the function becomes a query in FROM that has the columns; a row in several windows becomes several.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast as sql;
use datafusion::sql::sqlparser::ast::{Spanned as _, Value, VisitorMut};
use datafusion::sql::sqlparser::tokenizer::{Location, Span as SqlSpan};

use super::names::{field, function_name, ident, quoted, strip};
use super::rewrite::{check_lengths, interval};
use super::{CUMULATE, END, SESSION_WINDOW, START, WINDOW, WINDOW_TIME, WINDOWS};
use crate::ast::Span;
use crate::diagnostic::{Diagnostic, byte_span};
use crate::parse::Written;
use crate::sql::{call as call_of, derived};
use crate::visit;

/// The columns that a table function adds, in their order.
pub const COLUMNS: [&str; 3] = ["window_start", "window_end", "window_time"];

/// Which function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tumble,
    Hop,
    Cumulate,
    Session,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Tumble, Self::Hop, Self::Cumulate, Self::Session];

    /// The function that `word`, in upper case, is.
    pub(crate) fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == word)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tumble => "TUMBLE",
            Self::Hop => "HOP",
            Self::Cumulate => "CUMULATE",
            Self::Session => "SESSION",
        }
    }

    /// The names of its intervals, in the order in which they stand.
    pub(crate) fn lengths(self) -> &'static [&'static str] {
        match self {
            Self::Tumble => &["SIZE", "OFFSET"],
            Self::Hop => &["SLIDE", "SIZE", "OFFSET"],
            Self::Cumulate => &["STEP", "SIZE", "OFFSET"],
            Self::Session => &["GAP"],
        }
    }

    /// How many of them must be there.
    pub(crate) fn needed(self) -> usize {
        match self {
            Self::Tumble | Self::Session => 1,
            Self::Hop | Self::Cumulate => 2,
        }
    }

    /// How it is written.
    pub(crate) fn form(self) -> &'static str {
        match self {
            Self::Tumble => "write TABLE(TUMBLE(TABLE t, DESCRIPTOR(event_time), INTERVAL '5' MINUTE)): the size",
            Self::Hop => {
                "write TABLE(HOP(TABLE t, DESCRIPTOR(event_time), INTERVAL '1' MINUTE, INTERVAL '5' MINUTE)): the slide, then the size"
            }
            Self::Cumulate => {
                "write TABLE(CUMULATE(TABLE t, DESCRIPTOR(event_time), INTERVAL '1' HOUR, INTERVAL '1' DAY)): the step, then the \
                 longest"
            }
            Self::Session => {
                "write TABLE(SESSION(TABLE t PARTITION BY (key), DESCRIPTOR(event_time), INTERVAL '5' MINUTE)): the gap"
            }
        }
    }
}

/// An interval as it was written, and where sqlparser has it.
#[derive(Debug, Clone)]
pub(crate) struct Length {
    pub(crate) written: Written,
    pub(crate) place: SqlSpan,
}

/// What such a function says of a table.
#[derive(Debug, Clone)]
pub(crate) struct WindowTable {
    /// Where the table's alias stands, which tells it from others.
    pub(crate) at: Location,
    /// Where the function's name stands.
    pub(crate) span: Span,
    pub(crate) kind: Kind,
    /// The column of the event time.
    pub(crate) time: sql::Ident,
    /// As [`Kind::lengths`] names them.
    pub(crate) lengths: Vec<Option<Length>>,
    /// The keys of SESSION.
    pub(crate) partition_by: Vec<sql::Ident>,
}

/// Puts what the functions mean into `ast`.
pub(crate) fn resolve(text: &str, ast: &mut sql::Query, tables: &[WindowTable], found: &mut Vec<Diagnostic>) {
    if !tables.is_empty() {
        let _ = visit::change(ast, &mut Tables { text, tables, found });
    }
}

struct Tables<'a> {
    text: &'a str,
    tables: &'a [WindowTable],
    found: &'a mut Vec<Diagnostic>,
}

impl VisitorMut for Tables<'_> {
    type Break = ();

    /// What is put in is not visited again.
    fn post_visit_select(&mut self, select: &mut sql::Select) -> ControlFlow<()> {
        let tables = self.tables;
        for at in 0..select.from.len() {
            let table = tables.iter().find(|table| is_of(&select.from[at].relation, table));
            if let Some(table) = table
                && let Err(diagnostic) = self.table(select, at, table)
            {
                self.found.push(*diagnostic);
            }
        }
        ControlFlow::Continue(())
    }
}

impl Tables<'_> {
    /// Puts the windows of the table at `at` of FROM into `select`.
    fn table(&self, select: &mut sql::Select, at: usize, table: &WindowTable) -> Result<(), Box<Diagnostic>> {
        let call = table.call()?;
        let alias = alias_of(&select.from[at].relation);
        let names = Names { alias: alias.as_ref().map(ident), call: &call, queries: 0, windows: 0 };
        let grouped = match &select.group_by {
            sql::GroupByExpr::Expressions(keys, _) => keys.iter().any(|key| names.bound(key).is_some()),
            sql::GroupByExpr::All(_) => false,
        };
        if grouped {
            if table.kind == Kind::Session {
                self.same_keys(select, table, &names)?;
            }
            group(select, names);
            return Ok(());
        }
        if table.kind == Kind::Session {
            return Err(Box::new(
                Diagnostic::new(
                    "window",
                    table.span,
                    "which session a row is in is known when the session ends",
                    "not grouped by",
                )
                .with_help("group by window_start and window_end, and collect_list(struct(...)) of the rows if they are wanted"),
            ));
        }
        let from = vec![sql::TableWithJoins { relation: select.from[at].relation.clone(), joins: Vec::new() }];
        let alias = alias.unwrap_or_else(|| quoted(WINDOW));
        let query = derived(table.items(&call), from, Some(not_null(&table.time)), alias);
        if let Some(query) = query.into_iter().next() {
            select.from[at].relation = query.relation;
        }
        Ok(())
    }

    /// SESSION says by which keys sessions are told apart; GROUP BY has the same.
    fn same_keys(&self, select: &sql::Select, table: &WindowTable, names: &Names<'_>) -> Result<(), Box<Diagnostic>> {
        let sql::GroupByExpr::Expressions(keys, _) = &select.group_by else { return Ok(()) };
        let name = |key: &sql::Expr| match strip(key) {
            sql::Expr::Identifier(name) => Some(ident(name)),
            sql::Expr::CompoundIdentifier(parts) => parts.last().map(ident),
            _ => None,
        };
        let mut grouped: Vec<Option<String>> =
            keys.iter().filter(|key| names.column(key).is_none()).map(name).collect();
        let mut parts: Vec<Option<String>> = table.partition_by.iter().map(|key| Some(ident(key))).collect();
        grouped.sort();
        grouped.dedup();
        parts.sort();
        parts.dedup();
        if grouped == parts {
            return Ok(());
        }
        let place = |key: &sql::Ident| byte_span(self.text, key.span);
        let span = table.partition_by.first().and_then(place).unwrap_or(table.span);
        let wanted: Vec<String> = grouped.iter().flatten().cloned().collect();
        let help = if wanted.is_empty() {
            "leave PARTITION BY out, or group by its columns, too".to_owned()
        } else {
            format!("write PARTITION BY ({}) behind the table's name", wanted.join(", "))
        };
        Err(Box::new(
            Diagnostic::new("window", span, "PARTITION BY of SESSION has not the keys of GROUP BY", "other keys")
                .with_help(help),
        ))
    }
}

/// Whether `relation` is the table that `table` is about.
fn is_of(relation: &sql::TableFactor, table: &WindowTable) -> bool {
    matches!(relation, sql::TableFactor::Table { name, alias: Some(alias), .. }
        if alias.name.span.start == table.at
            && name.0.first().and_then(|part| part.as_ident()).is_some_and(|name| name.span.start == table.at))
}

fn alias_of(relation: &sql::TableFactor) -> Option<sql::Ident> {
    match relation {
        sql::TableFactor::Table { alias: Some(alias), .. } => Some(alias.name.clone()),
        _ => None,
    }
}

impl WindowTable {
    fn length(&self, at: usize) -> Option<&Length> {
        self.lengths.get(at)?.as_ref()
    }

    fn micros(&self, at: usize) -> Result<(i64, Span), Box<Diagnostic>> {
        let Some(length) = self.length(at) else { return Ok((0, self.span)) };
        let what = self.kind.lengths().get(at).copied().unwrap_or_default().to_lowercase();
        Ok((length.written.micros(&format!("{what} of the windows"))?, length.written.span))
    }

    /// The interval at `at`; none at all, if it was not written.
    fn written(&self, at: usize) -> sql::Expr {
        match self.length(at) {
            Some(length) => interval(&length.written.text, length.place),
            None => interval("0 seconds", SqlSpan::empty()),
        }
    }

    /// The window that rows are grouped by.
    fn call(&self) -> Result<sql::Expr, Box<Diagnostic>> {
        let time = sql::Expr::Identifier(self.time.clone());
        let span = self.time.span;
        let args = match self.kind {
            Kind::Tumble => {
                check_lengths(&[self.micros(0)?, self.micros(0)?, self.micros(1)?])?;
                vec![time, self.written(0), self.written(0), self.written(1)]
            }
            Kind::Hop => {
                check_lengths(&[self.micros(1)?, self.micros(0)?, self.micros(2)?])?;
                vec![time, self.written(1), self.written(0), self.written(2)]
            }
            Kind::Cumulate => {
                self.check_steps()?;
                return Ok(call_of(CUMULATE, [time, self.written(0), self.written(1), self.written(2)], span));
            }
            Kind::Session => return Ok(call_of(SESSION_WINDOW, [time, self.written(0)], span)),
        };
        Ok(call_of(WINDOW, args, span))
    }

    /// The step and the longest of CUMULATE.
    fn check_steps(&self) -> Result<(), Box<Diagnostic>> {
        let (step, size, offset) = (self.micros(0)?, self.micros(1)?, self.micros(2)?);
        check_lengths(&[size, step])?;
        let wrong = |span: Span, message: &str, label: &str, help: &str| {
            Err(Box::new(Diagnostic::new("window", span, message, label).with_help(help)))
        };
        if size.0 % step.0 != 0 {
            let help = "take one that divides it";
            return wrong(step.1, "the step does not divide the longest window", "something is left", help);
        }
        if offset.0.unsigned_abs() >= size.0.unsigned_abs() {
            let help = "take what is left of it after whole windows";
            return wrong(offset.1, "the offset is as long as the longest window or longer", "too long", help);
        }
        Ok(())
    }

    /// The rows of the table with the columns of their windows.
    fn items(&self, call: &sql::Expr) -> Vec<sql::SelectItem> {
        let all = sql::SelectItem::Wildcard(sql::WildcardAdditionalOptions::default());
        let named = |expr, name| sql::SelectItem::ExprWithAlias { expr, alias: quoted(name) };
        if self.kind == Kind::Tumble {
            let [start, end, time] = COLUMNS;
            return vec![
                all,
                named(field(call, START), start),
                named(field(call, END), end),
                named(call_of(WINDOW_TIME, [call.clone()], self.time.span), time),
            ];
        }
        let kind = sql::Expr::Value(Value::SingleQuotedString(self.kind.name().to_owned()).with_span(self.time.span));
        let time = sql::Expr::Identifier(self.time.clone());
        let args = [time, kind, self.written(0), self.written(1), self.written(2)];
        let windows = call_of(WINDOWS, args, self.time.span);
        vec![all, sql::SelectItem::UnnamedExpr(call_of("inline", [windows], self.time.span))]
    }
}

/// `column IS NOT NULL`: without an event time a row is in no window.
fn not_null(column: &sql::Ident) -> sql::Expr {
    sql::Expr::IsNotNull(Box::new(sql::Expr::Identifier(column.clone())))
}

/// Makes a SELECT that groups by the columns of a window group by the window.
fn group(select: &mut sql::Select, mut names: Names<'_>) {
    if let sql::GroupByExpr::Expressions(keys, _) = &mut select.group_by {
        let mut there = false;
        keys.retain_mut(|key| {
            if names.column(key).is_none() {
                return true;
            }
            *key = names.call.clone();
            !std::mem::replace(&mut there, true)
        });
    }
    for item in &mut select.projection {
        if let sql::SelectItem::UnnamedExpr(expr) = item
            && let Some(column) = names.column(expr)
        {
            *item = sql::SelectItem::ExprWithAlias { expr: expr.clone(), alias: quoted(column) };
        }
    }
    let _ = visit::change(&mut select.projection, &mut names);
    let _ = visit::change(&mut select.selection, &mut names);
    let _ = visit::change(&mut select.group_by, &mut names);
    let _ = visit::change(&mut select.having, &mut names);
}

/// Puts the window in place of its columns, but not in queries below.
struct Names<'a> {
    /// What the columns may be qualified by.
    alias: Option<String>,
    call: &'a sql::Expr,
    queries: usize,
    /// How many windows are open: in them the word is a column of the table.
    windows: usize,
}

impl Names<'_> {
    /// The column of the window that `expr` is.
    fn column(&self, expr: &sql::Expr) -> Option<&'static str> {
        let name = match strip(expr) {
            sql::Expr::Identifier(name) => ident(name),
            sql::Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, name] if Some(ident(table)) == self.alias => ident(name),
                _ => return None,
            },
            _ => return None,
        };
        COLUMNS.into_iter().find(|column| *column == name)
    }

    /// As [`Names::column`], of a start or an end: what a window is told by.
    fn bound(&self, expr: &sql::Expr) -> Option<&'static str> {
        self.column(expr).filter(|column| *column != COLUMNS[2])
    }
}

impl VisitorMut for Names<'_> {
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
        self.windows += usize::from(is_call(expr));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut sql::Expr) -> ControlFlow<()> {
        self.windows -= usize::from(is_call(expr));
        if self.queries == 0
            && self.windows == 0
            && let Some(column) = self.column(expr)
        {
            let [start, end, _] = COLUMNS;
            *expr = match column {
                column if column == start => field(self.call, START),
                column if column == end => field(self.call, END),
                _ => call_of(WINDOW_TIME, [self.call.clone()], self.call.span()),
            };
        }
        ControlFlow::Continue(())
    }
}

/// Whether `expr` is a call of a window, and not one between parentheses.
fn is_call(expr: &sql::Expr) -> bool {
    matches!(expr, sql::Expr::Function(_)) && function_name(expr).is_some()
}
