//! Intervals of fixed length: what `WATERMARK ... DELAY OF` and `window(...)` take.

use std::collections::BTreeSet;

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
    /// Numbers and units with a blank between, in lower case, as in `10 minutes`, whatever the form.
    pub(crate) text: String,
    /// Where it stands.
    pub(crate) span: Span,
}

impl Written {
    /// What `text` says between blanks; as in Spark, the word `interval` may stand before it, and signs and blanks as they like.
    fn new(text: &str, span: Span) -> Self {
        let lower = text.to_lowercase();
        let words: Vec<&str> = lower.split_whitespace().collect();
        let mut out = String::new();
        for word in words.strip_prefix(&["interval"]).filter(|rest| !rest.is_empty()).unwrap_or(&words) {
            let word = word.strip_prefix('+').unwrap_or(word);
            if !(out.is_empty() || out.ends_with('-') || word.is_empty()) {
                out.push(' ');
            }
            out.push_str(word);
        }
        Self { text: out, span }
    }

    /// The length in microseconds. `what` is what the interval is, for messages.
    ///
    /// # Errors
    /// Months and years, whose length differs; a number without unit; what is no interval.
    pub(crate) fn micros(&self, what: &str) -> Parsed<i64> {
        let wrong = |message: String, label: &str| Diagnostic::new("interval", self.span, message, label);
        let too_long = || {
            wrong(format!("the {what} is too long"), "more than 292,000 years")
                .with_help("write a shorter one, such as INTERVAL '365 days'")
        };
        if let Some(diagnostic) = self.mistake(what) {
            return Err(Box::new(diagnostic));
        }
        let config = IntervalParseConfig::new(IntervalUnit::Second);
        // Numbers and units are what they must be: what is left is a number that no interval holds.
        let value = parse_interval_month_day_nano_config(&self.text, config).map_err(|_| Box::new(too_long()))?;
        if value.months != 0 {
            return Err(Box::new(self.months(what, i64::from(value.months))));
        }
        if value.nanoseconds % 1000 != 0 {
            return Err(Box::new(
                wrong(format!("the {what} is finer than a microsecond"), "event times have microseconds")
                    .with_help("write whole microseconds: INTERVAL '1 microsecond' is the shortest"),
            ));
        }
        i64::from(value.days)
            .checked_mul(DAY)
            .and_then(|days| days.checked_add(value.nanoseconds / 1000))
            .ok_or_else(|| Box::new(too_long()))
    }

    /// What is wrong with the numbers and units.
    fn mistake(&self, what: &str) -> Option<Diagnostic> {
        let wrong = |message: String, label: &str| Diagnostic::new("interval", self.span, message, label);
        if self.text.is_empty() {
            return Some(wrong(format!("the {what} is empty"), "nothing in it").with_help(FORMS));
        }
        let mut units = BTreeSet::new();
        for (number, unit) in parts(&self.text) {
            let readable = number.parse::<f64>().is_ok() && unit.is_none_or(|u| u.starts_with(char::is_alphabetic));
            let Some(unit) = unit.filter(|_| readable) else {
                if !readable {
                    let message = format!("the {what} cannot be read as an interval");
                    return Some(wrong(message, "not an interval").with_help(FORMS));
                }
                return Some(wrong(format!("the {what} has no unit"), "of what?").with_help(with_unit(number)));
            };
            if let "quarter" | "quarters" = unit {
                return Some(self.months(what, number.parse::<i64>().map_or(3, |quarters| quarters.saturating_mul(3))));
            }
            let Ok(kind) = unit.parse::<IntervalUnit>() else {
                let known = UNITS.iter().map(|unit| unit.to_lowercase() + "s").collect::<Vec<_>>();
                let help = match nearest(unit, known.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean {near}?"),
                    None => {
                        "the units are microseconds, milliseconds, seconds, minutes, hours, days and weeks".to_owned()
                    }
                };
                return Some(wrong(format!("`{unit}` is not a unit of time"), "not a unit").with_help(help));
            };
            if !units.insert(kind as u16) {
                return Some(
                    wrong(format!("the {what} has {unit} twice"), "which of them?").with_help("write each unit once"),
                );
            }
        }
        None
    }

    fn months(&self, what: &str, months: i64) -> Diagnostic {
        let months = months.saturating_abs();
        let days = if months % 12 == 0 { months / 12 * 365 } else { months.saturating_mul(30) };
        let message = format!("the {what} is given in months or years, whose length differs");
        Diagnostic::new("interval", self.span, message, "not of fixed length")
            .with_help(format!("write days: INTERVAL '{days} days'"))
    }
}

/// How intervals are written.
const FORMS: &str =
    "write number and unit, as in INTERVAL '10 minutes', INTERVAL 10 MINUTES or INTERVAL '1 hour 30 minutes'";

/// The way on for a number alone.
fn with_unit(number: &str) -> String {
    format!("write INTERVAL '{number} seconds', or minutes, hours, days")
}

/// The numbers of an interval and their units, which may stand close to them, as in `10m`.
fn parts(text: &str) -> Vec<(&str, Option<&str>)> {
    let mut words = text.split(' ');
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        let number = word.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-'));
        found.push(match number {
            Some(end) => (&word[..end], Some(&word[end..])),
            None => (word, words.next()),
        });
    }
    found
}

/// `INTERVAL '10 minutes'`, `INTERVAL 10 MINUTES`, `INTERVAL '10' MINUTE` or `INTERVAL 1 HOUR 30 MINUTES` at the cursor.
pub(crate) fn interval_literal(cursor: &mut Cursor<'_>, what: &str) -> Parsed<Written> {
    let start = cursor.here();
    let mut text = String::new();
    if cursor.peek().is_some_and(|t| t.is_token(&Token::Minus)) && cursor.peek_nth(1).is_some_and(|t| t.is("INTERVAL"))
    {
        cursor.next();
        text.push('-');
    }
    let word = cursor.eat("INTERVAL");
    let mut quoted_text = false;
    while let Some(tok) = cursor.peek() {
        match &tok.token.token {
            Token::Minus | Token::Plus if text.is_empty() => text.push_str(cursor.text(tok.span)),
            Token::Number(n, _) => text.push_str(n),
            Token::SingleQuotedString(s) => {
                quoted_text = true;
                text.push_str(s);
            }
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
    if text.trim_matches('-').is_empty() && !quoted_text {
        return Err(Box::new(
            Diagnostic::new("interval", start, format!("{what} should stand here"), "expected INTERVAL '10 minutes'")
                .with_help("write INTERVAL '10 minutes'"),
        ));
    }
    if !word {
        return Err(Box::new(
            Diagnostic::new("interval", span, format!("{what} is not written as an interval"), "INTERVAL is missing")
                .with_help(match text.parse::<f64>() {
                    Ok(_) => with_unit(&text),
                    Err(_) => format!("write INTERVAL {}", cursor.text(span)),
                }),
        ));
    }
    if let Some(tok) = cursor.peek().filter(|tok| tok.is("TO")) {
        return Err(Box::new(
            Diagnostic::new("interval", tok.span, format!("{what} is given from one unit to another"), "not here")
                .with_help("write each number with its unit: INTERVAL '1 hour 30 minutes'"),
        ));
    }
    let number = !text.chars().any(char::is_alphabetic);
    if number && let Some(tok) = cursor.peek().filter(|tok| tok.word().is_some_and(|w| w.starts_with('_'))) {
        let span = Span { start: span.start, end: tok.span.end };
        return Err(Box::new(
            Diagnostic::new("interval", span, format!("{what} has a number with `_` in it"), "not a number")
                .with_help("write the digits alone: INTERVAL 10 MINUTES"),
        ));
    }
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
    Ok(Written::new(&text, span))
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
    "DECADE",
    "CENTURY",
    "CENTURIE",
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
    Some(Written::new(&words, span))
}

fn scalar(value: &sql::Value) -> Option<String> {
    match value {
        sql::Value::SingleQuotedString(s) => Some(s.clone()),
        sql::Value::Number(n, _) => Some(n.clone()),
        _ => None,
    }
}
