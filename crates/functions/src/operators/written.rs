//! The SQL form of functions that stand for a syntax.

use arrow::datatypes::DataType;
use datafusion::logical_expr::ScalarUDF;

use super::arithmetic::Op;
use super::{arithmetic, nested};
use crate::casts;

/// The syntax that a function stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form<'a> {
    /// `a + b`: the operator between both arguments.
    Between(&'a str),
    /// `-a`: the operator before the argument.
    Before(&'a str),
    /// `CAST(a AS type)`.
    Cast(&'a DataType),
    /// `TRY_CAST(a AS type)`.
    TryCast(&'a DataType),
    /// `a[b]`
    Item,
    /// `a.name`
    Field(&'a str),
    /// `name(a, b)`: the function is written as such.
    Call,
}

/// The syntax that `function` stands for.
#[must_use]
pub fn form(function: &ScalarUDF) -> Form<'_> {
    if let Some(op) = arithmetic::operator(function) {
        return if op == Op::Negate { Form::Before(op.symbol()) } else { Form::Between(op.symbol()) };
    }
    if let Some((to, lenient)) = casts::cast_of(function) {
        return if lenient { Form::TryCast(to) } else { Form::Cast(to) };
    }
    if let Some(field) = nested::access_of(function) {
        return field.map_or(Form::Item, Form::Field);
    }
    match function.name() {
        "date_plus_days" => Form::Between("+"),
        "date_minus_days" => Form::Between("-"),
        "interval_times" => Form::Between("*"),
        "interval_divided" => Form::Between("/"),
        "join_binary" => Form::Between("||"),
        _ => Form::Call,
    }
}
