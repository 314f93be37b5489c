//! Checks every call of `window`, and gives it the form that DataFusion parses. [`super::names`] resolves its names later, when the columns
//! of streams are known.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast as sql;
use datafusion::sql::sqlparser::ast::{Spanned as _, Value, VisitorMut};
use datafusion::sql::sqlparser::tokenizer::Span as SqlSpan;
use sluicebox_functions::Zone;

use super::arguments::{Named, named};
use super::grouping::grouped_call;
use super::names::{function_name, same_call, simple_name};
use super::{CalendarWindows, MAX_PANES, SESSION_WINDOW, WINDOW, Wrong, problem};
use crate::ast::Span;
use crate::diagnostic::{Diagnostic, byte_span};
use crate::parse::of_expr;
use crate::visit;

/// Checks the calls of `window` in a query.
pub(crate) fn query(text: &str, ast: &mut sql::Query, found: &mut Vec<Diagnostic>) {
    let _ = visit::change(ast, &mut Calls { text, found });
    let _ = visit::change(ast, &mut Levels { text, found });
}

/// Checks the calls of `window` in a condition.
pub(crate) fn expression(text: &str, expr: &mut sql::Expr, found: &mut Vec<Diagnostic>) {
    let _ = visit::change(expr, &mut Calls { text, found });
}

/// Checks each call of `window` and gives its intervals the form that DataFusion reads.
struct Calls<'a> {
    text: &'a str,
    found: &'a mut Vec<Diagnostic>,
}

impl VisitorMut for Calls<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut sql::Expr) -> ControlFlow<()> {
        if let Some(whole) = whole_number(expr) {
            *expr = whole;
            return ControlFlow::Continue(());
        }
        if let sql::Expr::Function(function) = expr
            && function.over.is_none()
            && let Some(name) = simple_name(&function.name)
        {
            if name == WINDOW {
                if let Err(diagnostic) = self.call(function) {
                    self.found.push(*diagnostic);
                }
            } else if name == SESSION_WINDOW
                && let Err(diagnostic) = self.session(function)
            {
                self.found.push(*diagnostic);
            }
        }
        ControlFlow::Continue(())
    }
}

/// A rank, which DataFusion counts without a sign, as an INT, which it is in Spark.
fn whole_number(expr: &sql::Expr) -> Option<sql::Expr> {
    let sql::Expr::Function(function) = expr else { return None };
    let name = simple_name(&function.name).filter(|_| function.over.is_some())?;
    if !["row_number", "rank", "dense_rank", "ntile"].contains(&name.as_str()) {
        return None;
    }
    let int = sql::Expr::Value(Value::SingleQuotedString("Int32".to_owned()).with_span(expr.span()));
    Some(crate::sql::call("arrow_cast", [expr.clone(), int], expr.span()))
}

impl Calls<'_> {
    fn call(&self, function: &mut sql::Function) -> Result<(), Box<Diagnostic>> {
        let name = byte_span(self.text, function.name.span()).unwrap_or_default();
        let shape = |message: &str| {
            Box::new(Diagnostic::new("window", name, message.to_owned(), "this call").with_help(
                "write window(event_time, INTERVAL '5 minutes'), then a slide and an offset if they are wanted",
            ))
        };
        let Named { start_time, zone } = named(self.text, function, name)?;
        let sql::FunctionArguments::List(list) = &mut function.args else {
            return Err(shape("window is called with the wrong arguments"));
        };
        if !(2..=4).contains(&list.args.len()) || list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
            return Err(shape("window is called with the wrong arguments"));
        }
        if list.args.len() == 4 && start_time.is_some() {
            return Err(shape("window is called with two offsets"));
        }
        self.quoted_time(&list.args, name)?;
        if start_time.is_some() || zone.is_some() {
            fill(list, start_time);
        }
        let mut lengths = Vec::new();
        for (what, arg) in ["size", "slide", "offset"].into_iter().zip(&mut list.args[1..]) {
            let sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Expr(expr)) = arg else {
                return Err(shape("window is called with the wrong arguments"));
            };
            lengths.push(self.length(what, expr, name)?);
        }
        check_lengths(&lengths)?;
        if let Some((zone, written)) = zone {
            if let Some(diagnostic) = wrong_for_zone(&lengths, zone, self.text, &written) {
                return Err(Box::new(diagnostic));
            }
            list.args.push(sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Expr(written)));
        }
        Ok(())
    }

    /// `session_window(time, gap)`. The gap may be any expression that gives an interval, or a text that is one.
    fn session(&self, function: &mut sql::Function) -> Result<(), Box<Diagnostic>> {
        let name = byte_span(self.text, function.name.span()).unwrap_or_default();
        let shape = || {
            Box::new(
                Diagnostic::new("window", name, "session_window is called with the wrong arguments", "this call")
                    .with_help("write session_window(event_time, INTERVAL '5 minutes'): the time, and the gap that ends a session"),
            )
        };
        let sql::FunctionArguments::List(list) = &mut function.args else { return Err(shape()) };
        if list.args.len() != 2 || list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
            return Err(shape());
        }
        self.quoted_time(&list.args, name)?;
        let sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Expr(gap)) = &mut list.args[1] else {
            return Err(shape());
        };
        let span = byte_span(self.text, gap.span()).unwrap_or(name);
        if let Some(diagnostic) = bare_number("gap", gap, span) {
            return Err(Box::new(diagnostic));
        }
        let Some(written) = of_expr(self.text, gap) else { return Ok(()) };
        // Months have no fixed length; they are added by the calendar.
        let months = ["month", "year"].iter().any(|unit| written.text.contains(unit));
        let micros = if months { None } else { Some(written.micros("gap of the session")?) };
        let wrong = match micros {
            Some(micros) if micros <= 0 => Some(("the gap of this session is zero or negative", "not positive")),
            Some(micros) if micros > super::LONGEST_MICROS => {
                Some(("the gap of this session is too long", "more than 73,000 years"))
            }
            _ => None,
        };
        if let Some((message, label)) = wrong {
            return Err(Box::new(
                Diagnostic::new("window", span, message, label).with_help("write INTERVAL '5 minutes'"),
            ));
        }
        *gap = interval(&written.text, gap.span());
        Ok(())
    }

    /// The time is a column, not its name as a text.
    fn quoted_time(&self, args: &[sql::FunctionArg], name: Span) -> Result<(), Box<Diagnostic>> {
        let Some(sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Expr(sql::Expr::Value(time)))) = args.first() else {
            return Ok(());
        };
        let Value::SingleQuotedString(text) = &time.value else { return Ok(()) };
        let span = byte_span(self.text, time.span).unwrap_or(name);
        Err(Box::new(
            Diagnostic::new("quoted-name", span, "the time of this window is given as a text", "a text")
                .with_help(format!("write {text} without quotes, or between backticks")),
        ))
    }

    /// The length in microseconds that `expr` is, and its place; it gets the form that DataFusion reads.
    fn length(&self, what: &str, expr: &mut sql::Expr, name: Span) -> Result<(i64, Span), Box<Diagnostic>> {
        let span = byte_span(self.text, expr.span()).unwrap_or(name);
        if let Some(diagnostic) = bare_number(what, expr, span) {
            return Err(Box::new(diagnostic));
        }
        let Some(written) = of_expr(self.text, expr) else {
            return Err(Box::new(
                Diagnostic::new(
                    "window",
                    span,
                    format!("the {what} of this window is no constant interval"),
                    "not a constant interval",
                )
                .with_help(
                    "write one constant of numbers and units, as in INTERVAL '5 minutes' or INTERVAL '1 hour 30 minutes'",
                ),
            ));
        };
        let micros = written.micros(&format!("{what} of the window"))?;
        *expr = interval(&written.text, expr.span());
        Ok((micros, span))
    }
}

/// Whether windows may be so long: size, slide and offset, each with its place.
pub(super) fn check_lengths(lengths: &[(i64, Span)]) -> Result<(), Box<Diagnostic>> {
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
        Wrong::Long => (
            size.1,
            "the size of this window is too long".to_owned(),
            "more than 73,000 years",
            "write a shorter one, such as INTERVAL '365 days'".to_owned(),
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

/// Adds what `window` takes behind the size: the slide, which is the size if it is not given, and the offset.
fn fill(list: &mut sql::FunctionArgumentList, start_time: Option<sql::Expr>) {
    if let [_, size] = list.args.as_slice() {
        let slide = size.clone();
        list.args.push(slide);
    }
    if list.args.len() == 3 {
        let none = || interval("0 seconds", SqlSpan::empty());
        list.args.push(sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Expr(start_time.unwrap_or_else(none))));
    }
}

/// What is wrong with windows of a zone of these lengths: size, slide and offset.
fn wrong_for_zone(lengths: &[(i64, Span)], zone: Zone, text: &str, written: &sql::Expr) -> Option<Diagnostic> {
    let [size, slide, ..] = lengths else { return None };
    let at = byte_span(text, written.span()).unwrap_or(size.1);
    if size.0 != slide.0 {
        return Some(
            Diagnostic::new("window", slide.1, "windows of a time zone stand side by side", "they would overlap")
                .with_related(at, "the zone")
                .with_help("leave the slide out, or the zone"),
        );
    }
    if CalendarWindows::try_new(zone, size.0, 0).is_some() {
        return None;
    }
    let message = "a window of a time zone is a number of days, or a part of one that divides it";
    Some(Diagnostic::new("window", size.1, message, "neither").with_related(at, "the zone").with_help(
        "write INTERVAL '1 day', INTERVAL '6 hours' or the like; other lengths have no beginning by the clock",
    ))
}

/// A number alone where an interval should stand: in Spark it counts microseconds.
fn bare_number(what: &str, expr: &sql::Expr, span: Span) -> Option<Diagnostic> {
    let sql::Expr::Value(value) = expr else { return None };
    let Value::Number(number, _) = &value.value else { return None };
    let micros = number.parse::<i64>().ok().filter(|micros| *micros >= 1_000_000);
    let help = match micros {
        Some(micros) => {
            format!("write INTERVAL '{}', which are {number} microseconds, as Spark takes it", whole(micros))
        }
        None => {
            "write number and unit, as in INTERVAL '5 minutes'; Spark takes a number alone for microseconds".to_owned()
        }
    };
    Some(Diagnostic::new("interval", span, format!("the {what} of the window has no unit"), "of what?").with_help(help))
}

/// `micros` in the largest unit of which they are a whole number.
fn whole(micros: i64) -> String {
    let units = [(86_400_000_000, "days"), (3_600_000_000, "hours"), (60_000_000, "minutes"), (1_000_000, "seconds")];
    let unit = units.into_iter().find(|(length, _)| micros % length == 0);
    let (length, unit) = unit.unwrap_or((1, "microseconds"));
    format!("{} {unit}", micros / length)
}

/// `INTERVAL 'text'` at the place `span`.
pub(super) fn interval(text: &str, span: SqlSpan) -> sql::Expr {
    sql::Expr::Interval(sql::Interval {
        value: Box::new(sql::Expr::Value(Value::SingleQuotedString(text.to_owned()).with_span(span))),
        leading_field: None,
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    })
}

/// Looks in each SELECT for hopping windows that it does not group by.
struct Levels<'a> {
    text: &'a str,
    found: &'a mut Vec<Diagnostic>,
}

impl VisitorMut for Levels<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut sql::Query) -> ControlFlow<()> {
        self.body(&mut query.body);
        ControlFlow::Continue(())
    }
}

impl Levels<'_> {
    fn body(&mut self, body: &mut sql::SetExpr) {
        match body {
            sql::SetExpr::Select(select) => self.hopping(select),
            sql::SetExpr::SetOperation { left, right, .. } => {
                self.body(left);
                self.body(right);
            }
            // A query between parentheses is visited by itself.
            _ => {}
        }
    }

    /// Refuses hopping windows and sessions that no GROUP BY gives a meaning.
    fn hopping(&mut self, select: &mut sql::Select) {
        let grouped = grouped_call(select, &|_| false);
        let mut finder = Hopping { text: self.text, grouped, queries: 0, found: Vec::new() };
        let _ = visit::change(&mut select.projection, &mut finder);
        let _ = visit::change(&mut select.selection, &mut finder);
        for (span, session) in finder.found {
            if session {
                self.found.push(
                    Diagnostic::new(
                        "window",
                        span,
                        "this session is not in GROUP BY",
                        "what it is depends on other rows",
                    )
                    .with_help("add the same session_window(...) to GROUP BY"),
                );
                continue;
            }
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
    /// Where one is, and whether it is a session.
    found: Vec<(Span, bool)>,
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
            && let Some(name) = function_name(expr)
            && !self.grouped.as_ref().is_some_and(|call| same_call(expr, call))
            && let sql::Expr::Function(function) = expr
            && let sql::FunctionArguments::List(list) = &function.args
        {
            let session = name == SESSION_WINDOW;
            let several = match list.args.as_slice() {
                [_, size, slide, ..] => size != slide,
                _ => session,
            };
            if several {
                self.found.extend(byte_span(self.text, expr.span()).map(|span| (span, session)));
            }
        }
        ControlFlow::Continue(())
    }
}
