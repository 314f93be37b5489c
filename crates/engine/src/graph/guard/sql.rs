//! An expression as it would be written.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, InListExpr, LikeExpr, Literal, NegativeExpr, TryCastExpr,
};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::expressions::{IsNotNullExpr, IsNullExpr, NotExpr};
use sluicebox_core::provenance::is_hidden;
use sluicebox_functions::operators::written::{Form, form};
use sluicebox_functions::types;
use sluicebox_pipeline::bind::sql_type;

/// The expression in SQL, long ones cut.
pub(super) fn text(expr: &Arc<dyn PhysicalExpr>) -> String {
    const MAX_CHARS: usize = 400;
    let text = say(expr);
    match text.char_indices().nth(MAX_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// Without what brings numbers into one form where they are compared, which nobody wrote.
fn bare(expr: &Arc<dyn PhysicalExpr>) -> &Arc<dyn PhysicalExpr> {
    match expr.downcast_ref::<ScalarFunctionExpr>().map(|call| (call.fun().name(), call.args())) {
        Some(("__sb_form", [of])) => bare(of),
        _ => expr,
    }
}

fn say(expr: &Arc<dyn PhysicalExpr>) -> String {
    let expr = bare(expr);
    if let Some(column) = expr.downcast_ref::<Column>() {
        return name(column.name());
    }
    if let Some(literal) = expr.downcast_ref::<Literal>() {
        return value(literal.value());
    }
    if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        return format!("CAST({} AS {})", say(cast.expr()), sql_type(cast.cast_type()).to_uppercase());
    }
    if let Some(cast) = expr.downcast_ref::<TryCastExpr>() {
        return format!("TRY_CAST({} AS {})", say(cast.expr()), sql_type(cast.cast_type()).to_uppercase());
    }
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        return format!("{} {} {}", operand(binary.left()), binary.op(), operand(binary.right()));
    }
    if let Some(not) = expr.downcast_ref::<NotExpr>() {
        return format!("NOT {}", operand(not.arg()));
    }
    if let Some(null) = expr.downcast_ref::<IsNullExpr>() {
        return format!("{} IS NULL", operand(null.arg()));
    }
    if let Some(null) = expr.downcast_ref::<IsNotNullExpr>() {
        return format!("{} IS NOT NULL", operand(null.arg()));
    }
    if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>() {
        return called(call);
    }
    chosen(expr).unwrap_or_else(|| datafusion::physical_expr_common::physical_expr::fmt_sql(expr.as_ref()).to_string())
}

/// What compares with several values, or with a pattern, and what chooses by that.
fn chosen(expr: &Arc<dyn PhysicalExpr>) -> Option<String> {
    let not = |negated: bool| if negated { "NOT " } else { "" };
    if let Some(like) = expr.downcast_ref::<LikeExpr>() {
        let word = if like.case_insensitive() { "ILIKE" } else { "LIKE" };
        let (of, pattern) = (operand(like.expr()), operand(like.pattern()));
        return Some(format!("{of} {}{word} {pattern}", not(like.negated())));
    }
    if let Some(list) = expr.downcast_ref::<InListExpr>() {
        let values: Vec<String> = list.list().iter().map(say).collect();
        return Some(format!("{} {}IN ({})", operand(list.expr()), not(list.negated()), values.join(", ")));
    }
    if let Some(negative) = expr.downcast_ref::<NegativeExpr>() {
        return Some(format!("-{}", operand(negative.arg())));
    }
    let case = expr.downcast_ref::<CaseExpr>()?;
    let of = case.expr().map(|of| format!(" {}", say(of))).unwrap_or_default();
    let branch = |(when, then): &(Arc<dyn PhysicalExpr>, _)| format!(" WHEN {} THEN {}", say(when), say(then));
    let branches: String = case.when_then_expr().iter().map(branch).collect();
    let otherwise = case.else_expr().map(|value| format!(" ELSE {}", say(value))).unwrap_or_default();
    Some(format!("CASE{of}{branches}{otherwise} END"))
}

fn called(call: &ScalarFunctionExpr) -> String {
    match (form(call.fun()), call.args()) {
        (Form::Between("/"), [left, right]) => {
            return format!("{} / {}", operand(divided(left)), operand(divided(right)));
        }
        (Form::Between(op), [left, right]) => return format!("{} {op} {}", operand(left), operand(right)),
        (Form::Before(op), [of]) => return format!("{op}{}", operand(of)),
        (Form::Cast(to), [of]) => return format!("CAST({} AS {})", say(of), types::name(to)),
        (Form::TryCast(to), [of]) => return format!("TRY_CAST({} AS {})", say(of), types::name(to)),
        (Form::Item, [of, at]) => return format!("{}[{}]", operand(of), say(at)),
        (Form::Field(field), [of]) => return format!("{}.{}", operand(of), name(field)),
        _ => {}
    }
    let args: Vec<String> = call.args().iter().map(say).collect();
    match (call.fun().name(), call.args(), args.as_slice()) {
        // The cast that is done by a division.
        ("utc_date", _, [time]) => format!("CAST({time} AS DATE)"),
        ("get_field", [_, field], [of, _]) => match field.downcast_ref::<Literal>().map(Literal::value) {
            Some(ScalarValue::Utf8(Some(field))) => format!("{of}.{}", name(field)),
            _ => format!("{of}[{}]", say(field)),
        },
        (function, _, args) => format!("{function}({})", args.join(", ")),
    }
}

/// Of a division, a number without the cast to DOUBLE that `/` makes of it anyway.
fn divided(expr: &Arc<dyn PhysicalExpr>) -> &Arc<dyn PhysicalExpr> {
    let cast = expr.downcast_ref::<CastExpr>().filter(|cast| *cast.cast_type() == DataType::Float64);
    cast.map_or(expr, CastExpr::expr)
}

/// Part of another expression: in parentheses if it is one of two.
fn operand(expr: &Arc<dyn PhysicalExpr>) -> String {
    let expr = bare(expr);
    let between = |call: &ScalarFunctionExpr| matches!(form(call.fun()), Form::Between(_) | Form::Before(_));
    let two = expr.is::<BinaryExpr>() || expr.is::<LikeExpr>() || expr.is::<InListExpr>();
    let parts = two || expr.downcast_ref::<ScalarFunctionExpr>().is_some_and(between);
    if parts { format!("({})", say(expr)) } else { say(expr) }
}

fn name(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let call = name.contains('(');
    if call || is_hidden(name) || name.chars().all(plain) { name.to_owned() } else { format!("\"{name}\"") }
}

fn value(value: &ScalarValue) -> String {
    match value {
        null if null.is_null() => "NULL".to_owned(),
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            format!("'{}'", text.replace('\'', "''"))
        }
        other => other.to_string(),
    }
}
