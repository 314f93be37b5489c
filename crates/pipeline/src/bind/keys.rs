//! Refuses expressions that cannot be keys of DISTINCT ON or GROUP BY.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Distinct, Expr, Select, Value};

use super::place::Places;
use crate::ast::Span;
use crate::diagnostic::Diagnostic;
use crate::visit;

/// GROUP BY with an aggregate at `span`.
pub(super) fn aggregate(span: Span) -> Diagnostic {
    Diagnostic::new("aggregate", span, "rows cannot be grouped by an aggregate of them", "an aggregate")
        .with_help("aggregate in an upstream table, and group its rows in this one")
}

/// Keys of DISTINCT ON that are the same for all rows: of the whole topic one row would be left.
pub(super) fn constants(select: &Select, places: &Places<'_>, whole: Span) -> Vec<Diagnostic> {
    let Some(Distinct::On(keys)) = &select.distinct else { return Vec::new() };
    let told = |key: &Expr| {
        let span = places.node(key, whole);
        match text(key) {
            Some(text) => Diagnostic::new("quoted-name", span, "a key of DISTINCT ON is given as a text", "a text")
                .with_help(format!("write {text} without quotes, or between backticks")),
            None => Diagnostic::new(
                "constant-key",
                span,
                "this key of DISTINCT ON is the same for all rows, so it tells none of them apart",
                "a constant",
            )
            .with_help("name the columns that tell rows apart: DISTINCT ON (order_id)"),
        }
    };
    keys.iter().filter(|key| is_constant(key)).map(told).collect()
}

fn text(key: &Expr) -> Option<&str> {
    match key {
        Expr::Nested(inner) => text(inner),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// Whether no column is in `key`.
fn is_constant(key: &Expr) -> bool {
    let column = visit::expressions(key, &mut |expr| match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Subquery(_) | Expr::Wildcard(_) => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    column.is_continue()
}
