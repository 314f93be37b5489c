//! Intervals of fixed length: what `WATERMARK ... DELAY OF` and `window(...)` take.

use arrow::compute::kernels::cast_utils::{IntervalParseConfig, IntervalUnit, parse_interval_month_day_nano_config};
use datafusion::sql::sqlparser::ast as sql;
use datafusion::sql::sqlparser::ast::Spanned as _;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::{Cursor, Parsed, quoted};
use crate::ast::Span;
use crate::diagnostic::{Diagnostic, byte_span, nearest};

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// An interval as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Written {
    /// Number and unit, as in `10 minutes`, whatever the form.
    pub(crate) text: String,
    /// Where it stands.
    pub(crate) span: Span,
}

impl Written {
    /// The length in microseconds. `what` is what the interval is, for messages.
    ///
    /// # Errors
    /// Months and years, whose length differs; a number without unit; what is no interval.
    pub(crate) fn micros(&self, what: &str) -> Parsed<i64> {
        let wrong = |message: String, label: &str| Diagnostic::new("interval", self.span, message, label);
        let lower = self.text.trim().to_lowercase();
        if !lower.chars().any(char::is_alphabetic) {
            let diagnostic = wrong(format!("the {what} has no unit"), "of what?");
            return Err(Box::new(
                diagnostic.with_help(format!("write INTERVAL '{} seconds', or minutes, hours, days", lower.trim())),
            ));
        }
        let config = IntervalParseConfig::new(IntervalUnit::Second);
        let value = parse_interval_month_day_nano_config(&lower, config).map_err(|_| {
            Box::new(
                wrong(format!("the {what} cannot be read as an interval"), "not an interval")
                    .with_help("write number and unit, as in INTERVAL '10 minutes', INTERVAL 10 MINUTES or INTERVAL '1 hour 30 minutes'"),
            )
        })?;
        if value.months != 0 {
            let diagnostic =
                wrong(format!("the {what} is given in months or years, whose length differs"), "not of fixed length");
            return Err(Box::new(diagnostic.with_help("write days: INTERVAL '30 days'")));
        }
        if value.nanoseconds % 1000 != 0 {
            return Err(Box::new(wrong(
                format!("the {what} is finer than a microsecond"),
                "event times have microseconds",
            )));
        }
        i64::from(value.days)
            .checked_mul(DAY)
            .and_then(|days| days.checked_add(value.nanoseconds / 1000))
            .ok_or_else(|| Box::new(wrong(format!("the {what} is too long"), "more than 292,000 years")))
    }
}

/// `INTERVAL '10 minutes'`, `INTERVAL 10 MINUTES`, `INTERVAL '10' MINUTE` or `INTERVAL 1 HOUR 30 MINUTES` at the cursor.
pub(crate) fn interval_literal(cursor: &mut Cursor<'_>, what: &str) -> Parsed<Written> {
    let start = cursor.here();
    let word = cursor.eat("INTERVAL");
    let mut text = String::new();
    while let Some(tok) = cursor.peek() {
        match &tok.token.token {
            Token::Minus | Token::Plus if text.is_empty() => text.push_str(cursor.text(tok.span)),
            Token::Number(n, _) => text.push_str(n),
            Token::SingleQuotedString(s) => text.push_str(s),
            Token::Word(_) if tok.word().is_some_and(|w| is_unit(&w)) && !text.is_empty() => {
                text.push(' ');
                text.push_str(cursor.text(tok.span));
                text.push(' ');
            }
            _ => break,
        }
        cursor.next();
    }
    let span = Span { start: start.start, end: cursor.before().end.max(start.end) };
    if text.is_empty() {
        return Err(Box::new(
            Diagnostic::new("interval", start, format!("{what} should stand here"), "expected INTERVAL '10 minutes'")
                .with_help("write INTERVAL '10 minutes'"),
        ));
    }
    if !word {
        return Err(Box::new(
            Diagnostic::new("interval", span, format!("{what} is not written as an interval"), "INTERVAL is missing")
                .with_help(format!("write INTERVAL {}", cursor.text(span))),
        ));
    }
    let number = !text.chars().any(char::is_alphabetic);
    if number
        && let Some(tok) = cursor.peek()
        && let Some(near) = tok.word().and_then(|w| nearest(&w, UNITS.iter().copied()))
    {
        let found = quoted(cursor.text(tok.span));
        return Err(Box::new(
            Diagnostic::new("interval", tok.span, format!("{found} is not a unit of time"), "not a unit")
                .with_help(format!("did you mean {near}S?")),
        ));
    }
    Ok(Written { text, span })
}

/// The units of time, in upper case.
const UNITS: &[&str] = &[
    "NANOSECOND",
    "MICROSECOND",
    "MILLISECOND",
    "SECOND",
    "MINUTE",
    "HOUR",
    "DAY",
    "WEEK",
    "MONTH",
    "QUARTER",
    "YEAR",
];

/// Whether the word, in upper case, is a unit of time.
fn is_unit(word: &str) -> bool {
    UNITS.contains(&word.strip_suffix('S').unwrap_or(word))
}

/// The interval that an argument of `window(...)` is: a literal, with or without the word INTERVAL.
pub(crate) fn of_expr(text: &str, expr: &sql::Expr) -> Option<Written> {
    let span = byte_span(text, expr.span()).unwrap_or_default();
    let words = match expr {
        sql::Expr::Nested(inner) => return of_expr(text, inner),
        sql::Expr::Value(value) => scalar(&value.value)?,
        sql::Expr::UnaryOp { op: sql::UnaryOperator::Minus, expr } => format!("-{}", of_expr(text, expr)?.text),
        sql::Expr::Interval(interval) => {
            if interval.last_field.is_some() || interval.leading_precision.is_some() {
                return None;
            }
            let value = match interval.value.as_ref() {
                sql::Expr::Value(value) => scalar(&value.value)?,
                sql::Expr::UnaryOp { op: sql::UnaryOperator::Minus, expr } => format!("-{}", of_expr(text, expr)?.text),
                _ => return None,
            };
            match &interval.leading_field {
                Some(unit) => format!("{value} {unit}"),
                None => value,
            }
        }
        _ => return None,
    };
    Some(Written { text: words, span })
}

fn scalar(value: &sql::Value) -> Option<String> {
    match value {
        sql::Value::SingleQuotedString(s) => Some(s.clone()),
        sql::Value::Number(n, _) => Some(n.clone()),
        _ => None,
    }
}
