//! An expression as it would be written.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Column, Literal, TryCastExpr};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::expressions::{IsNotNullExpr, IsNullExpr, NotExpr};
use sluicebox_core::provenance::is_hidden;
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

fn say(expr: &Arc<dyn PhysicalExpr>) -> String {
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
    datafusion::physical_expr_common::physical_expr::fmt_sql(expr.as_ref()).to_string()
}

fn called(call: &ScalarFunctionExpr) -> String {
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

/// Part of another expression: in parentheses if it is one of two.
fn operand(expr: &Arc<dyn PhysicalExpr>) -> String {
    if expr.is::<BinaryExpr>() { format!("({})", say(expr)) } else { say(expr) }
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
