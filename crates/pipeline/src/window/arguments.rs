//! The arguments of `window` that are given by name.

use datafusion::sql::sqlparser::ast as sql;
use datafusion::sql::sqlparser::ast::{Spanned as _, Value};
use sluicebox_functions::Zone;

use super::names::ident;
use crate::ast::Span;
use crate::diagnostic::{Diagnostic, byte_span};

/// What was given by name.
pub(super) struct Named {
    /// `startTime => INTERVAL '6 hours'`: the offset.
    pub(super) start_time: Option<sql::Expr>,
    /// `tz => 'Europe/Berlin'`, and the zone that it names.
    pub(super) zone: Option<(Zone, sql::Expr)>,
}

/// Takes the arguments out of a call of `window`, at `at`, that are given by name.
pub(super) fn named(text: &str, function: &mut sql::Function, at: Span) -> Result<Named, Box<Diagnostic>> {
    let mut found = Named { start_time: None, zone: None };
    let sql::FunctionArguments::List(list) = &mut function.args else { return Ok(found) };
    let mut kept = Vec::with_capacity(list.args.len());
    for arg in std::mem::take(&mut list.args) {
        let (name, value) = match arg {
            sql::FunctionArg::Named { name, arg: sql::FunctionArgExpr::Expr(value), .. } => (name, value),
            other => {
                kept.push(other);
                continue;
            }
        };
        let span = byte_span(text, name.span).unwrap_or(at);
        let twice = match ident(&name).to_lowercase().as_str() {
            "starttime" | "start_time" => found.start_time.replace(value).is_some(),
            "tz" => {
                let zone = zone(&value, byte_span(text, value.span()).unwrap_or(span))?;
                found.zone.replace((zone, value)).is_some()
            }
            _ => {
                let message = format!("window has no argument that is called {}", name.value);
                return Err(Box::new(
                    Diagnostic::new("window", span, message, "not known")
                        .with_help("by name it takes startTime => INTERVAL '6 hours' and tz => 'Europe/Berlin'"),
                ));
            }
        };
        if twice {
            return Err(Box::new(Diagnostic::new("window", span, "this argument is given twice", "the second one")));
        }
    }
    list.args = kept;
    Ok(found)
}

/// The zone that `value` names, at `span`.
fn zone(value: &sql::Expr, span: Span) -> Result<Zone, Box<Diagnostic>> {
    let name = match value {
        sql::Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(name) => Some(name),
            _ => None,
        },
        _ => None,
    };
    let wrong = |message: String| {
        Box::new(
            Diagnostic::new("window", span, message, "not a zone")
                .with_help("write one of the time zone database, such as tz => 'Europe/Berlin', or a distance from UTC, such as '+05:30'"),
        )
    };
    let Some(name) = name else { return Err(wrong("the time zone of a window is a text".to_owned())) };
    Zone::parse(name).ok_or_else(|| wrong(format!("there is no time zone '{name}'")))
}
