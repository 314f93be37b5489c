//! Arithmetic that returns NULL where an operator fails, and `pmod`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, Float32Array};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue};

use crate::casts::kernel;
use crate::operators::arithmetic::Op;
use crate::operators::decimal::compute;
use crate::operators::literal::digits_of;
use crate::operators::planner::decimal_result;
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
    /// The remainder; a negative one has the divisor added, which leaves it negative only where the divisor is.
    Modulus,
}

impl Operation {
    /// The operator whose type a result has.
    fn operator(self) -> Op {
        match self {
            Self::Add => Op::Add,
            Self::Subtract => Op::Subtract,
            Self::Multiply => Op::Multiply,
            Self::Divide => Op::Divide,
            Self::Remainder | Self::Modulus => Op::Remainder,
        }
    }
}

/// Numbers as they are, text as DOUBLE.
fn operands(name: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    let [left, right] = types else {
        return plan_error(format!("{name} takes 2 arguments, here it has {}", types.len()));
    };
    if matches!(left, DataType::Date32) && (right.is_integer() || right.is_null()) {
        return Ok(vec![DataType::Date32, DataType::Int32]);
    }
    let other = |of: &DataType| if of.is_null() { DataType::Int32 } else { of.clone() };
    let number = |of: &DataType| match of {
        _ if of.is_numeric() => Ok(of.clone()),
        _ if of.is_null() => Ok(if std::ptr::eq(of, left) { other(right) } else { other(left) }),
        _ if types::is_text(of) => Ok(DataType::Float64),
        _ => plan_error(format!(
            "{name} takes numbers, or a date and days, not {}; of times, write ts + INTERVAL '1 day'",
            types::name(of)
        )),
    };
    let types = vec![number(left)?, number(right)?];
    if types.iter().all(DataType::is_numeric) {
        Ok(types)
    } else {
        plan_error(format!("{name} takes numbers, or a date and days"))
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
    let constant = |at: usize| constants.get(at).copied().flatten();
    let float = types::is_float(left) || types::is_float(right);
    if !float && (types::is_decimal(left) || types::is_decimal(right)) {
        return match (digits_of(constant(0), left, right), digits_of(constant(1), right, left)) {
            (Some(left), Some(right)) => Ok(decimal_result(operation.operator(), left, right)),
            _ => Ok(DataType::Float64),
        };
    }
    if operation == Operation::Divide {
        return Ok(DataType::Float64);
    }
    Ok(types::common(left, right).unwrap_or(DataType::Float64))
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
            // Java adds in 32 bits at least.
            let wrapped = |v: i64| if of == DataType::Int32 { i64::from(v as i32) } else { v };
            let longs = call.longs(|row| {
                let (a, b) = (a.value(call.place(0, row)), b.value(call.place(1, row)));
                let out = match operation {
                    Operation::Add => a.checked_add(b),
                    Operation::Subtract => a.checked_sub(b),
                    Operation::Multiply => a.checked_mul(b),
                    _ if b == 0 => return failed(operation, true),
                    _ => match a.wrapping_rem(b) {
                        rest @ ..0 if operation == Operation::Modulus => {
                            Some(wrapped(rest.wrapping_add(b)).wrapping_rem(b))
                        }
                        rest => Some(rest),
                    },
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
        let (p, s) = types::decimal_of(array.data_type()).unwrap_or((types::MAX_PRECISION, 0));
        Ok::<_, datafusion::common::DataFusionError>((kernel::run(array, &DataType::Decimal128(p, s), false)?, s))
    };
    let ((a, s1), (b, s2)) = (operand(0)?, operand(1)?);
    let (a, b) = (a.as_primitive::<Decimal128Type>(), b.as_primitive::<Decimal128Type>());
    let to = (precision, scale);
    let divides = matches!(operation, Operation::Divide | Operation::Remainder | Operation::Modulus);
    let out: Decimal128Array = call.rows(|row| {
        let (a, b) = (a.value(call.place(0, row)), b.value(call.place(1, row)));
        if divides && b == 0 {
            return failed(operation, true);
        }
        let value = match compute(operation.operator(), a, b, (s1, s2), to) {
            // The sum with a negative divisor would be divided by it again, which gives the same remainder.
            Some(rest) if operation == Operation::Modulus && rest < 0 && b > 0 => {
                compute(Op::Add, rest, b, (scale, s2), to)
            }
            value => value,
        };
        value.map_or_else(|| failed(operation, false), |value| Ok(Some(value)))
    })?;
    Ok(Arc::new(out.with_precision_and_scale(precision, scale)?))
}
