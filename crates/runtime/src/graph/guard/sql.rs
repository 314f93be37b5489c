//! Writes an expression as SQL.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, InListExpr, LambdaExpr, LambdaVariable, LikeExpr, Literal, NegativeExpr,
    TryCastExpr,
};
use datafusion::physical_expr::{HigherOrderFunctionExpr, PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::expressions::{IsNotNullExpr, IsNullExpr, NotExpr};
use sluicebox_core::provenance::{PREFIX, is_hidden};
use sluicebox_functions::operators::written::{Form, form};
use sluicebox_functions::types;

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
        return format!("CAST({} AS {})", say(cast.expr()), types::name(cast.cast_type()));
    }
    if let Some(cast) = expr.downcast_ref::<TryCastExpr>() {
        return format!("TRY_CAST({} AS {})", say(cast.expr()), types::name(cast.cast_type()));
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
    if let Some(call) = expr.downcast_ref::<HigherOrderFunctionExpr>() {
        let args: Vec<String> = call.args().iter().map(say).collect();
        return format!("{}({})", call.name(), args.join(", "));
    }
    if let Some(lambda) = expr.downcast_ref::<LambdaExpr>() {
        return match lambda.params() {
            [one] => format!("{one} -> {}", say(lambda.body())),
            several => format!("({}) -> {}", several.join(", "), say(lambda.body())),
        };
    }
    if let Some(variable) = expr.downcast_ref::<LambdaVariable>() {
        return variable.name().to_owned();
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
        // The one column of the elements that a generator gives.
        (Form::Field(field), [of]) if field == "col" && operand(of) == ELEMENT => return ELEMENT.to_owned(),
        (Form::Field(field), [of]) => return format!("{}.{}", operand(of), name(field)),
        _ => {}
    }
    let args: Vec<String> = call.args().iter().map(say).collect();
    match (call.fun().name(), call.args(), args.as_slice()) {
        // The cast that is done by a division.
        ("utc_date", _, [time]) => format!("CAST({time} AS DATE)"),
        ("get_field", [_, field], [of, _]) => match field.downcast_ref::<Literal>().map(Literal::value) {
            Some(ScalarValue::Utf8(Some(field))) if field == "col" && of == ELEMENT => of.clone(),
            Some(ScalarValue::Utf8(Some(field))) => format!("{of}.{}", name(field)),
            _ => format!("{of}[{}]", say(field)),
        },
        // Generators stand in the plan under names of their own.
        (function, _, args) => {
            format!("{}({})", function.strip_prefix(PREFIX).unwrap_or(function), args.join(", "))
        }
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

/// What is said of the elements of a list that is made rows, whose column has no name of its own.
const ELEMENT: &str = "element";

fn name(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let known = written(name);
    let call = known.contains('(');
    if call || is_hidden(&known) || known.chars().all(plain) { known } else { format!("\"{known}\"") }
}

/// The name of a column as people know it: DataFusion calls one that has no name after its expression, with the types of
/// literals.
pub(super) fn written(name: &str) -> String {
    const TYPES: [&str; 10] =
        ["Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float64", "Boolean"];
    if name.starts_with("__unnest_placeholder(") || name.starts_with("__sb_rows_") {
        let field = name.rsplit_once(").").map(|(_, field)| field).filter(|field| *field != "col");
        return field.map_or_else(|| ELEMENT.to_owned(), |field| format!("{ELEMENT}.{field}"));
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('(') {
        let (head, tail) = rest.split_at(at);
        let word = head.rfind(|c: char| !c.is_ascii_alphanumeric()).map_or(0, |before| before + 1);
        let (before, of) = head.split_at(word);
        let (inside, after) = match of {
            "Utf8" => tail.strip_prefix("(\"").and_then(|t| t.split_once("\")")).unzip(),
            of if TYPES.contains(&of) => tail.strip_prefix('(').and_then(|t| t.split_once(')')).unzip(),
            _ => (None, None),
        };
        let (Some(inside), Some(after)) = (inside, after) else {
            out.push_str(&rest[..=at]);
            rest = &rest[at + 1..];
            continue;
        };
        out.push_str(before);
        let quote = if of == "Utf8" { "'" } else { "" };
        out.extend([quote, inside, quote]);
        rest = after;
    }
    out.push_str(rest);
    out
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

#[cfg(test)]
mod tests {
    use super::written;

    #[test]
    fn names_that_datafusion_made_are_told_as_they_were_written() {
        for (name, told) in [
            ("sum(Int64(9223372036854775807))", "sum(9223372036854775807)"),
            ("concat(a,Utf8(\"x(y\"),Float64(1.5))", "concat(a,'x(y',1.5)"),
            ("__unnest_placeholder(__sb_explode(l),depth=1)", "element"),
            ("__unnest_placeholder(__sb_explode(l),depth=1).col", "element"),
            ("__unnest_placeholder(__sb_explode(m),depth=1).key", "element.key"),
            ("__sb_rows_0", "element"),
            ("count(*)", "count(*)"),
            ("plain", "plain"),
            ("half(", "half("),
        ] {
            assert_eq!(written(name), told, "{name}");
        }
    }
}
