//! Functions of DOUBLE.

use arrow::array::ArrayRef;
use datafusion::common::Result;

use crate::rows::{Call, Function, Gives, function};
use crate::values::Kind::{Double, Long};

pub(super) fn functions() -> Vec<Function> {
    vec![
        one("sqrt", |call| each(call, f64::sqrt)),
        one("cbrt", |call| each(call, f64::cbrt)),
        one("exp", |call| each(call, f64::exp)),
        one("expm1", |call| each(call, f64::exp_m1)),
        one("rint", |call| each(call, f64::round_ties_even)),
        one("sign", |call| each(call, |v| if v == 0.0 || v.is_nan() { v } else { v.signum() })).alias("signum"),
        one("sin", |call| each(call, f64::sin)),
        one("cos", |call| each(call, f64::cos)),
        one("tan", |call| each(call, f64::tan)),
        one("cot", |call| each(call, |v| 1.0 / v.tan())),
        one("sec", |call| each(call, |v| 1.0 / v.cos())),
        one("csc", |call| each(call, |v| 1.0 / v.sin())),
        one("asin", |call| each(call, f64::asin)),
        one("acos", |call| each(call, f64::acos)),
        one("atan", |call| each(call, f64::atan)),
        one("sinh", |call| each(call, f64::sinh)),
        one("cosh", |call| each(call, f64::cosh)),
        one("tanh", |call| each(call, f64::tanh)),
        // As Spark computes them, which is less exact near zero than could be.
        one("asinh", |call| each(call, |v| if v == f64::NEG_INFINITY { v } else { (v + (v * v + 1.0).sqrt()).ln() })),
        one("acosh", |call| each(call, |v| (v + (v * v - 1.0).sqrt()).ln())),
        one("atanh", |call| each(call, |v| 0.5 * (v.ln_1p() - (-v).ln_1p()))),
        one("degrees", |call| each(call, f64::to_degrees)),
        one("radians", |call| each(call, f64::to_radians)),
        one("ln", |call| some(call, 0.0, f64::ln)),
        one("log10", |call| some(call, 0.0, f64::log10)),
        one("log2", |call| some(call, 0.0, f64::log2)),
        one("log1p", |call| some(call, -1.0, f64::ln_1p)),
        function("log", &[Double, Double], Gives::Double, |call| {
            if call.len() == 1 {
                return some(call, 0.0, f64::ln);
            }
            let (base, value) = (call.double(0)?, call.double(1)?);
            call.doubles(|row| {
                let (base, value) = (base.at(row), value.at(row));
                Ok(if base <= 0.0 || value <= 0.0 { None } else { Some(value.ln() / base.ln()) })
            })
        })
        .optional(1),
        two("atan2", |call| both(call, |y, x| (y + 0.0).atan2(x + 0.0))),
        two("hypot", |call| both(call, f64::hypot)),
        two("pow", |call| both(call, pow)).alias("power"),
        function("width_bucket", &[Double, Double, Double, Long], Gives::Long, |call| {
            let (value, low, high, n) = (call.double(0)?, call.double(1)?, call.double(2)?, call.long(3)?);
            call.longs(|row| Ok(bucket(value.at(row), low.at(row), high.at(row), n.at(row))))
        }),
        function("pi", &[], Gives::Double, |call| call.doubles(|_| Ok(Some(std::f64::consts::PI)))),
        function("e", &[], Gives::Double, |call| call.doubles(|_| Ok(Some(std::f64::consts::E)))),
    ]
}

fn one(name: &'static str, run: fn(&Call) -> Result<ArrayRef>) -> Function {
    function(name, &[Double], Gives::Double, run)
}

fn two(name: &'static str, run: fn(&Call) -> Result<ArrayRef>) -> Function {
    function(name, &[Double, Double], Gives::Double, run)
}

fn each(call: &Call, of: impl Fn(f64) -> f64) -> Result<ArrayRef> {
    let value = call.double(0)?;
    call.doubles(|row| Ok(Some(of(value.at(row)))))
}

/// NULL at and below `end`.
fn some(call: &Call, end: f64, of: impl Fn(f64) -> f64) -> Result<ArrayRef> {
    let value = call.double(0)?;
    call.doubles(|row| {
        let value = value.at(row);
        Ok(if value <= end { None } else { Some(of(value)) })
    })
}

fn both(call: &Call, of: impl Fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let (a, b) = (call.double(0)?, call.double(1)?);
    call.doubles(|row| Ok(Some(of(a.at(row), b.at(row)))))
}

/// Java's power, which is not a number where C's is 1.
fn pow(base: f64, exponent: f64) -> f64 {
    if exponent.is_nan() || (base.abs() == 1.0 && exponent.is_infinite()) { f64::NAN } else { base.powf(exponent) }
}

/// The bucket of `value` among `n` from `low` to `high`, from 1; outside, 0 and `n` + 1.
fn bucket(value: f64, low: f64, high: f64, n: i64) -> Option<i64> {
    if n <= 0 || n == i64::MAX || value.is_nan() || low == high || !low.is_finite() || !high.is_finite() {
        return None;
    }
    let (before, after) = if low < high { (value < low, value >= high) } else { (value > low, value <= high) };
    Some(match (before, after) {
        (true, _) => 0,
        (false, true) => n + 1,
        (false, false) => ((n as f64 * (value - low) / (high - low)) as i64).saturating_add(1),
    })
}
