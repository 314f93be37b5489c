//! Arithmetic that gives NULL where an operator fails, and `pmod`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, Float32Array};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int64Type, i256};
use datafusion::common::{Result, ScalarValue};

use crate::casts::kernel;
use crate::rows::{Call, Function, Gives, function, plan_error, row_error};
use crate::types;
use crate::values::Kind::Any;

pub(super) fn functions() -> Vec<Function> {
    vec![
        arithmetic("try_add", Gives::By(|types, constants| given(Operation::Add, types, constants)), |call| {
            run(call, Operation::Add)
        }),
        arithmetic(
            "try_subtract",
            Gives::By(|types, constants| given(Operation::Subtract, types, constants)),
            |call| run(call, Operation::Subtract),
        ),
        arithmetic(
            "try_multiply",
            Gives::By(|types, constants| given(Operation::Multiply, types, constants)),
            |call| run(call, Operation::Multiply),
        ),
        arithmetic("try_divide", Gives::By(|types, constants| given(Operation::Divide, types, constants)), |call| {
            run(call, Operation::Divide)
        }),
        arithmetic("try_mod", Gives::By(|types, constants| given(Operation::Remainder, types, constants)), |call| {
            run(call, Operation::Remainder)
        }),
        arithmetic("pmod", Gives::By(|types, constants| given(Operation::Modulus, types, constants)), |call| {
            run(call, Operation::Modulus)
        }),
    ]
}

fn arithmetic(name: &'static str, gives: Gives, run: fn(&Call) -> Result<ArrayRef>) -> Function {
    function(name, &[Any, Any], gives, run).types(operands)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    /// The remainder, never of the other sign than the divisor.
    Modulus,
}

fn is_text(of: &DataType) -> bool {
    matches!(of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Numbers as they are, text as DOUBLE.
fn operands(types: &[DataType]) -> Result<Vec<DataType>> {
    let [left, right] = types else {
        return plan_error(format!("this function takes 2 arguments, here it has {}", types.len()));
    };
    if matches!(left, DataType::Date32) && (right.is_integer() || right.is_null()) {
        return Ok(vec![DataType::Date32, DataType::Int32]);
    }
    let other = |of: &DataType| if of.is_null() { DataType::Int32 } else { of.clone() };
    let number = |of: &DataType| match of {
        _ if of.is_numeric() => Ok(of.clone()),
        _ if of.is_null() => Ok(if std::ptr::eq(of, left) { other(right) } else { other(left) }),
        _ if is_text(of) => Ok(DataType::Float64),
        _ => plan_error(format!(
            "this function takes numbers, or a date and days, not {}; of times, write ts + INTERVAL '1 day'",
            types::name(of)
        )),
    };
    let types = vec![number(left)?, number(right)?];
    if types.iter().all(DataType::is_numeric) {
        Ok(types)
    } else {
        plan_error("this function takes numbers, or a date and days")
    }
}

/// Precision and scale of a number beside a decimal; a constant has the digits that it needs.
fn decimal_of(of: &DataType, constant: Option<&ScalarValue>) -> Option<(u8, i8)> {
    let literal = match constant {
        Some(ScalarValue::Int8(Some(v))) => Some(i64::from(*v)),
        Some(ScalarValue::Int16(Some(v))) => Some(i64::from(*v)),
        Some(ScalarValue::Int32(Some(v))) => Some(i64::from(*v)),
        Some(ScalarValue::Int64(Some(v))) => Some(*v),
        _ => None,
    };
    if let Some(v) = literal {
        return Some((v.unsigned_abs().to_string().len() as u8, 0));
    }
    match of {
        DataType::Decimal128(precision, scale) => Some((*precision, *scale)),
        DataType::Int8 => Some((3, 0)),
        DataType::Int16 => Some((5, 0)),
        DataType::Int32 => Some((10, 0)),
        DataType::Int64 => Some((20, 0)),
        _ => None,
    }
}

fn given(operation: Operation, types: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    let (left, right) = (&types[0], &types[1]);
    if left == &DataType::Date32 {
        return match operation {
            Operation::Add | Operation::Subtract => Ok(DataType::Date32),
            _ => plan_error("days are added to a date, or subtracted"),
        };
    }
    let rank = |of: &DataType| match of {
        DataType::Int8 => 0,
        DataType::Int16 => 1,
        DataType::Int32 => 2,
        DataType::Int64 => 3,
        DataType::Decimal128(..) => 4,
        DataType::Float32 => 5,
        _ => 6,
    };
    let constant = |at: usize| constants.get(at).copied().flatten();
    let wide = if rank(left) >= rank(right) { left } else { right };
    Ok(match rank(wide) {
        4 => match (decimal_of(left, constant(0)), decimal_of(right, constant(1))) {
            (Some(left), Some(right)) => decimal(operation, left, right),
            _ => DataType::Float64,
        },
        _ if operation == Operation::Divide => DataType::Float64,
        5 if rank(left) != rank(right) => DataType::Float64,
        5 => DataType::Float32,
        6 => DataType::Float64,
        _ => wide.clone(),
    })
}

fn decimal(operation: Operation, (p1, s1): (u8, i8), (p2, s2): (u8, i8)) -> DataType {
    let (p1, s1, p2, s2) = (i32::from(p1), i32::from(s1), i32::from(p2), i32::from(s2));
    let (precision, scale) = match operation {
        Operation::Add | Operation::Subtract => ((p1 - s1).max(p2 - s2) + s1.max(s2) + 1, s1.max(s2)),
        Operation::Multiply => (p1 + p2 + 1, s1 + s2),
        Operation::Divide => {
            let scale = (s1 + p2 + 1).max(6);
            (p1 - s1 + s2 + scale, scale)
        }
        Operation::Remainder | Operation::Modulus => ((p1 - s1).min(p2 - s2) + s1.max(s2), s1.max(s2)),
    };
    if precision <= 38 {
        return DataType::Decimal128(precision as u8, scale as i8);
    }
    let scale = (38 - (precision - scale)).max(scale.min(6));
    DataType::Decimal128(38, scale as i8)
}

/// What a failure is: NULL, but for `pmod`.
fn failed<T>(operation: Operation, by_zero: bool) -> Result<Option<T>> {
    match (operation, by_zero) {
        (Operation::Modulus, true) => row_error("a remainder of a division by zero"),
        (Operation::Modulus, false) => row_error("the remainder is out of range"),
        _ => Ok(None),
    }
}

fn run(call: &Call, operation: Operation) -> Result<ArrayRef> {
    match call.gives.clone() {
        DataType::Date32 => {
            let (date, days) = (call.date(0)?, call.int(1)?);
            call.dates(|row| {
                let (date, days) = (date.at(row), days.at(row));
                Ok(if operation == Operation::Add { date.checked_add(days) } else { date.checked_sub(days) })
            })
        }
        DataType::Float64 => {
            let (a, b) = (
                kernel::run(call.array(0)?, &DataType::Float64, false)?,
                kernel::run(call.array(1)?, &DataType::Float64, false)?,
            );
            let (a, b) = (a.as_primitive::<Float64Type>(), b.as_primitive::<Float64Type>());
            call.doubles(|row| double(operation, a.value(call.place(0, row)), b.value(call.place(1, row))))
        }
        DataType::Float32 => {
            let (a, b) = (
                kernel::run(call.array(0)?, &DataType::Float32, false)?,
                kernel::run(call.array(1)?, &DataType::Float32, false)?,
            );
            let (a, b) = (a.as_primitive::<Float32Type>(), b.as_primitive::<Float32Type>());
            let out: Float32Array = call.rows(|row| {
                let v =
                    double(operation, f64::from(a.value(call.place(0, row))), f64::from(b.value(call.place(1, row))))?;
                Ok(v.map(|v| v as f32))
            })?;
            Ok(Arc::new(out))
        }
        DataType::Decimal128(precision, scale) => decimals(call, operation, precision, scale),
        of => {
            let (a, b) = (
                kernel::run(call.array(0)?, &DataType::Int64, false)?,
                kernel::run(call.array(1)?, &DataType::Int64, false)?,
            );
            let (a, b) = (a.as_primitive::<Int64Type>(), b.as_primitive::<Int64Type>());
            let range = match of {
                DataType::Int8 => i64::from(i8::MIN)..=i64::from(i8::MAX),
                DataType::Int16 => i64::from(i16::MIN)..=i64::from(i16::MAX),
                DataType::Int32 => i64::from(i32::MIN)..=i64::from(i32::MAX),
                _ => i64::MIN..=i64::MAX,
            };
            let longs = call.longs(|row| {
                let (a, b) = (a.value(call.place(0, row)), b.value(call.place(1, row)));
                let out = match operation {
                    Operation::Add => a.checked_add(b),
                    Operation::Subtract => a.checked_sub(b),
                    Operation::Multiply => a.checked_mul(b),
                    _ if b == 0 => return failed(operation, true),
                    Operation::Modulus if a % b < 0 || (b == -1) => Some(if b == -1 { 0 } else { (a % b + b) % b }),
                    _ => Some(a.wrapping_rem(b)),
                };
                match out {
                    Some(v) if range.contains(&v) => Ok(Some(v)),
                    _ => failed(operation, false),
                }
            })?;
            kernel::run(&longs, &of, false)
        }
    }
}

fn double(operation: Operation, a: f64, b: f64) -> Result<Option<f64>> {
    Ok(Some(match operation {
        Operation::Add => a + b,
        Operation::Subtract => a - b,
        Operation::Multiply => a * b,
        _ if b == 0.0 => return failed(operation, true),
        Operation::Divide => a / b,
        Operation::Remainder => a % b,
        Operation::Modulus if a % b < 0.0 => (a % b + b) % b,
        Operation::Modulus => a % b,
    }))
}

fn decimals(call: &Call, operation: Operation, precision: u8, scale: i8) -> Result<ArrayRef> {
    let operand = |at: usize| {
        let array = call.array(at)?;
        let (p, s) = decimal_of(array.data_type(), None).unwrap_or((38, 0));
        Ok::<_, datafusion::common::DataFusionError>((kernel::run(array, &DataType::Decimal128(p, s), false)?, s))
    };
    let ((a, s1), (b, s2)) = (operand(0)?, operand(1)?);
    let (a, b) = (a.as_primitive::<Decimal128Type>(), b.as_primitive::<Decimal128Type>());
    let ten = |n: i32| i256::from_i128(10).wrapping_pow(n.max(0).unsigned_abs());
    let common = s1.max(s2);
    let most = ten(i32::from(precision)).wrapping_sub(i256::ONE);
    let out: Decimal128Array = call.rows(|row| {
        let (a, b) = (i256::from_i128(a.value(call.place(0, row))), i256::from_i128(b.value(call.place(1, row))));
        let (x, y) = (a.wrapping_mul(ten(i32::from(common - s1))), b.wrapping_mul(ten(i32::from(common - s2))));
        // The value, and its scale.
        let (value, of) = match operation {
            Operation::Add => (x.wrapping_add(y), common),
            Operation::Subtract => (x.wrapping_sub(y), common),
            Operation::Multiply => (a.wrapping_mul(b), s1 + s2),
            _ if b == i256::ZERO => return failed(operation, true),
            Operation::Divide => {
                let up = i32::from(scale) + i32::from(s2) - i32::from(s1);
                (divided(a.wrapping_mul(ten(up)), b.wrapping_mul(ten(-up))), scale)
            }
            Operation::Remainder => (x.wrapping_rem(y), common),
            Operation::Modulus => {
                let rest = x.wrapping_rem(y);
                (if rest < i256::ZERO { rest.wrapping_add(y).wrapping_rem(y) } else { rest }, common)
            }
        };
        let value = if of > scale {
            divided(value, ten(i32::from(of - scale)))
        } else {
            value.wrapping_mul(ten(i32::from(scale - of)))
        };
        match value.to_i128() {
            Some(v) if value <= most && value >= most.wrapping_neg() => Ok(Some(v)),
            _ => failed(operation, false),
        }
    })?;
    Ok(Arc::new(out.with_precision_and_scale(precision, scale)?))
}

/// A quotient, halves away from zero.
fn divided(a: i256, b: i256) -> i256 {
    let (quotient, rest) = (a.wrapping_div(b), a.wrapping_rem(b));
    let magnitude = |v: i256| if v < i256::ZERO { v.wrapping_neg() } else { v };
    // Twice the rest would overflow where the divisor is large.
    if magnitude(rest) < magnitude(b).wrapping_sub(magnitude(rest)) {
        return quotient;
    }
    let sign = if (a < i256::ZERO) == (b < i256::ZERO) { i256::ONE } else { i256::MINUS_ONE };
    quotient.wrapping_add(sign)
}
