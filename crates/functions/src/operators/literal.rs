//! Number literals.

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::Expr;

use crate::casts::number;
use crate::types;

/// The text of a literal.
fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => Some(text),
        _ => None,
    }
}

/// A number without a suffix: INT, BIGINT where it is too large, then DECIMAL; DECIMAL with a point; DOUBLE with an exponent.
///
/// # Errors
/// If it has more than 38 digits.
pub fn number(digits: &Expr) -> Result<Expr> {
    let Some(text) = text(digits) else { return plan_err!("a number is missing") };
    let literal = |value| Ok(Expr::Literal(value, None));
    if text.contains(['e', 'E']) {
        return match text.parse::<f64>() {
            Ok(value) if value.is_finite() => literal(ScalarValue::Float64(Some(value))),
            _ => plan_err!("{text} is out of the range of DOUBLE"),
        };
    }
    if let Ok(value) = text.parse::<i32>() {
        return literal(ScalarValue::Int32(Some(value)));
    }
    if let Ok(value) = text.parse::<i64>() {
        return literal(ScalarValue::Int64(Some(value)));
    }
    decimal(text).map(|value| Expr::Literal(value, None))
}

/// A number of exactly as many digits as it is written with.
fn decimal(text: &str) -> Result<ScalarValue> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let whole = whole.trim_start_matches(['-', '+']).trim_start_matches('0');
    // Beyond some digits it is one number too many, however far.
    let exponent = exponent.parse().unwrap_or(i32::MAX).clamp(-10_000, 10_000);
    let count = |digits: &str| i32::try_from(digits.len()).unwrap_or(i32::MAX / 4);
    let scale = count(fraction) - exponent;
    let significant =
        if whole.is_empty() { count(fraction.trim_start_matches('0')) } else { count(whole) + count(fraction) };
    let (precision, scale) = if scale < 0 { (significant - scale, 0) } else { (significant.max(scale), scale) };
    if precision > i32::from(types::MAX_PRECISION) {
        return plan_err!("{text} has more than 38 digits");
    }
    match types::decimal(precision, scale) {
        DataType::Decimal128(p, s) => Ok(ScalarValue::Decimal128(number::decimal(text, p, s), p, s)),
        _ => plan_err!("{text} is no number"),
    }
}

/// A number with the suffix BD: a DECIMAL of as many digits as it is written with.
///
/// # Errors
/// If it has more than 38 digits.
pub fn exact(digits: &Expr) -> Result<Expr> {
    let Some(text) = text(digits) else { return plan_err!("a number is missing") };
    decimal(text).map(|value| Expr::Literal(value, None))
}

/// A number with the suffix D or F.
///
/// # Errors
/// If it is out of the type's range.
pub fn floating(digits: &Expr, single: bool) -> Result<Expr> {
    let Some(text) = text(digits) else { return plan_err!("a number is missing") };
    let value = if single {
        text.parse().ok().filter(|v: &f32| v.is_finite()).map(|v| ScalarValue::Float32(Some(v)))
    } else {
        text.parse().ok().filter(|v: &f64| v.is_finite()).map(|v| ScalarValue::Float64(Some(v)))
    };
    match value {
        Some(value) => Ok(Expr::Literal(value, None)),
        None => plan_err!("{text} is out of the range of {}", if single { "FLOAT" } else { "DOUBLE" }),
    }
}

/// `CAST(number AS T)` of a number as it is written, which is how suffixes come; `None` if `expr` is none.
pub fn typed(expr: &Expr, to: &DataType) -> Option<Result<Expr>> {
    let value = match (expr, to) {
        (
            Expr::Literal(
                ScalarValue::Int32(_) | ScalarValue::Int64(_) | ScalarValue::Decimal128(..) | ScalarValue::Float64(_),
                _,
            ),
            to,
        ) if types::is_number(to) && !types::is_decimal(to) => {
            let Expr::Literal(value, _) = expr else { return None };
            crate::casts::constant(value, to)
        }
        _ => return None,
    };
    Some(match value {
        Ok(value) => Ok(Expr::Literal(value, None)),
        Err(error) => {
            let text = error.strip_backtrace();
            plan_err!("{}", text.trim_start_matches("Execution error: ").trim_start_matches("Error during planning: "))
        }
    })
}

/// Precision and scale of an operand beside one of type `other`: see [`digits_of`].
pub fn digits(expr: &Expr, of: &DataType, other: &DataType) -> Option<(u8, i8)> {
    let constant = match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    };
    digits_of(constant, of, other)
}

/// Precision and scale of an operand of type `of` beside one of type `other`: a whole number that is a constant has, beside a
/// DECIMAL, as many digits as it is written with.
pub(crate) fn digits_of(constant: Option<&ScalarValue>, of: &DataType, other: &DataType) -> Option<(u8, i8)> {
    let value = match constant {
        Some(ScalarValue::Int16(Some(v))) => Some(i64::from(*v)),
        Some(ScalarValue::Int32(Some(v))) => Some(i64::from(*v)),
        Some(ScalarValue::Int64(Some(v))) => Some(*v),
        _ => None,
    };
    match value {
        Some(value) if types::is_decimal(other) => {
            let digits = value.unsigned_abs().checked_ilog10().unwrap_or_default() + 1;
            Some((u8::try_from(digits).ok()?, 0))
        }
        _ => types::decimal_of(of),
    }
}
