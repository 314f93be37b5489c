//! Units of time that are written as a text: one that is none gives NULL for each row, as in Spark, which nobody means.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value, Visit, visit_expressions,
};
use sluicebox_functions::time::unknown_unit;

use super::place::Places;
use crate::ast::Span;
use crate::diagnostic::{Diagnostic, nearest};

/// A warning for each unit in `node` that is none; `whole` is its place where it has none.
pub(super) fn warnings(node: &impl Visit, places: &Places<'_>, whole: Span) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let _ = visit_expressions(node, |expr| {
        if let Expr::Function(function) = expr {
            found.extend(warning(function, places, whole));
        }
        ControlFlow::<()>::Continue(())
    });
    found
}

fn warning(function: &Function, places: &Places<'_>, whole: Span) -> Option<Diagnostic> {
    let name = function.name.to_string().to_lowercase();
    let FunctionArguments::List(list) = &function.args else { return None };
    let at = match name.as_str() {
        "date_trunc" => 0,
        "trunc" => 1,
        _ => return None,
    };
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = list.args.get(at)? else { return None };
    let Expr::Value(value) = expr else { return None };
    let Value::SingleQuotedString(unit) = &value.value else { return None };
    let units = unknown_unit(&name, unit)?;
    let near = nearest(&unit.to_uppercase(), units.split([',', ' ']).filter(|word| word.len() > 3));
    let help = near.map_or_else(|| format!("the units are {units}"), |near| format!("did you mean '{near}'?"));
    let message = format!("{name} has no unit '{unit}', so that it is NULL for each row");
    Some(Diagnostic::warning("unknown-unit", places.node(expr, whole), message, "not a unit").with_help(help))
}
