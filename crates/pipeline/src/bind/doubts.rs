//! Warns of valid expressions that are NULL or an error for every row: an unknown unit of time, which is NULL as in Spark, and a divisor of
//! 0. Nobody means them. `plan` and a run both warn.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator, Value, Visit,
};
use sluicebox_functions::operators::planner::marks;
use sluicebox_functions::time::unknown_unit;

use super::place::Places;
use crate::ast::Span;
use crate::diagnostic::{Diagnostic, nearest};
use crate::visit;

/// A warning for each unit in `node` that is none, and each divisor that is 0; `whole` is the place of what has none.
pub(super) fn warnings(node: &impl Visit, places: &Places<'_>, whole: Span) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let _ = visit::expressions(node, &mut |expr| {
        if let Expr::Function(function) = expr {
            found.extend(unit(function, places, whole));
        }
        if divisor(expr).is_some_and(is_zero) {
            let message = "a division by 0 fails for each row that it is computed for";
            found.push(
                Diagnostic::warning("division-by-zero", places.node(expr, whole), message, "divides by 0")
                    .with_help("divide by something else; try_divide and try_mod give NULL instead of an error"),
            );
        }
        ControlFlow::<()>::Continue(())
    });
    found
}

/// What `expr` divides by, if it divides.
fn divisor(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::BinaryOp { op: BinaryOperator::Divide | BinaryOperator::Modulo, right, .. } => Some(right),
        Expr::BinaryOp { op: BinaryOperator::Custom(mark), right, .. } if mark == marks::DIV => Some(right),
        Expr::Function(function) => {
            let name = function.name.to_string().to_lowercase();
            if ["mod", "pmod", "div"].contains(&name.as_str()) { argument(function, 1) } else { None }
        }
        _ => None,
    }
}

/// Whether `expr` is the number 0 as it is written.
fn is_zero(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => is_zero(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => is_zero(expr),
        Expr::BinaryOp { left, op: BinaryOperator::Custom(mark), .. } => {
            [marks::NUMBER, marks::DECIMAL, marks::DOUBLE, marks::FLOAT].contains(&mark.as_str()) && is_zero(left)
        }
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) | Value::SingleQuotedString(digits) => digits.parse::<f64>() == Ok(0.0),
            _ => false,
        },
        _ => false,
    }
}

/// The argument of `function` at this place, unless it has a name.
fn argument(function: &Function, at: usize) -> Option<&Expr> {
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.get(at)? {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

fn unit(function: &Function, places: &Places<'_>, whole: Span) -> Option<Diagnostic> {
    let name = function.name.to_string().to_lowercase();
    let at = match name.as_str() {
        "date_trunc" => 0,
        "trunc" => 1,
        _ => return None,
    };
    let expr = argument(function, at)?;
    let Expr::Value(value) = expr else { return None };
    let Value::SingleQuotedString(unit) = &value.value else { return None };
    let units = unknown_unit(&name, unit)?;
    let near = nearest(&unit.to_uppercase(), units.split([',', ' ']).filter(|word| word.len() > 3));
    let help = near.map_or_else(|| format!("the units are {units}"), |near| format!("did you mean '{near}'?"));
    let message = format!("{name} has no unit '{unit}', so that it is NULL for each row");
    Some(Diagnostic::warning("unknown-unit", places.node(expr, whole), message, "not a unit").with_help(help))
}
