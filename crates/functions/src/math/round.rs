//! Rounding, and functions whose result keeps a number's type.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float32Array, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue};

use crate::casts::kernel;
use crate::rows::{Call, Function, Gives, function, plan_error, row_error};
use crate::types;
use crate::values::Kind::{Int, Number};

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("abs", &[Number], Gives::Same(0), abs),
        function(
            "round",
            &[Number, Int],
            Gives::By(|types, constants| rounded_type("round", types, constants)),
            |call| round(call, Mode::HalfUp),
        )
        .optional(1),
        function(
            "bround",
            &[Number, Int],
            Gives::By(|types, constants| rounded_type("bround", types, constants)),
            |call| round(call, Mode::HalfEven),
        )
        .optional(1),
        function("ceil", &[Number, Int], Gives::By(|types, constants| cut_type("ceil", types, constants)), |call| {
            cut(call, Mode::Up)
        })
        .optional(1)
        .alias("ceiling"),
        function("floor", &[Number, Int], Gives::By(|types, constants| cut_type("floor", types, constants)), |call| {
            cut(call, Mode::Down)
        })
        .optional(1),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    HalfUp,
    HalfEven,
    Up,
    Down,
}

impl Mode {
    /// `value / unit`, rounded.
    fn divide(self, value: i128, unit: i128) -> i128 {
        let (down, rest) = (value.div_euclid(unit), value.rem_euclid(unit));
        let up = match self {
            Self::Up => rest > 0,
            Self::Down => false,
            // Away from zero. Twice the rest may be too large for the type.
            Self::HalfUp => rest > unit - rest || (rest == unit - rest && value >= 0),
            Self::HalfEven => rest > unit - rest || (rest == unit - rest && down % 2 != 0),
        };
        down + i128::from(up)
    }
}

fn abs(call: &Call) -> Result<ArrayRef> {
    let array = call.array(0)?;
    Ok(match array.data_type() {
        DataType::Float64 => Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(f64::abs)),
        DataType::Float32 => Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(f32::abs)),
        DataType::Decimal128(precision, scale) => {
            let values = array.as_primitive::<Decimal128Type>().unary::<_, Decimal128Type>(i128::abs);
            Arc::new(values.with_precision_and_scale(*precision, *scale)?)
        }
        of => {
            let longs = kernel::run(array, &DataType::Int64, false)?;
            let longs: Int64Array =
                longs.as_primitive::<Int64Type>().try_unary(|v| v.checked_abs().map_or_else(|| overflow(v, of), Ok))?;
            whole(longs, of)?
        }
    })
}

fn overflow<T>(v: impl std::fmt::Display, of: &DataType) -> Result<T> {
    row_error(format!("the result for {v} is out of the range of {}", types::name(of)))
}

/// Whole numbers as `of`, whose range they must be in.
fn whole(longs: Int64Array, of: &DataType) -> Result<ArrayRef> {
    let least = match of {
        DataType::Int8 => i64::from(i8::MIN),
        DataType::Int16 => i64::from(i16::MIN),
        DataType::Int32 => i64::from(i32::MIN),
        _ => i64::MIN,
    };
    let range = least..=-(least + 1);
    if let Some(out) = longs.iter().flatten().find(|v| !range.contains(v)) {
        let wider = if of == &DataType::Int64 { "DECIMAL(20,0)" } else { "BIGINT" };
        return row_error(format!(
            "the result {out} is out of the range of {}; CAST the argument AS {wider}",
            types::name(of)
        ));
    }
    kernel::run(&(Arc::new(longs) as ArrayRef), of, false)
}

/// No number has as many digits before or behind the point.
const FARTHEST: i32 = 400;

/// The number of digits to round to, where more would change nothing.
fn bounded(places: i32) -> i32 {
    places.clamp(-FARTHEST, FARTHEST)
}

/// The number of digits to round to, which must be a constant.
fn places(name: &str, types: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<Option<i32>> {
    if types.len() < 2 {
        return Ok(Some(0));
    }
    match constants.get(1).copied().flatten() {
        Some(value) if value.is_null() => Ok(None),
        Some(value) => match value.cast_to(&DataType::Int32)? {
            ScalarValue::Int32(Some(places)) => Ok(Some(bounded(places))),
            _ => plan_error(format!("{name} rounds to a constant number of digits")),
        },
        None => plan_error(format!("{name} rounds to a constant number of digits, not to one of each row")),
    }
}

/// The type of a decimal rounded to `places`.
fn decimal(precision: u8, scale: i8, places: i32) -> DataType {
    let whole = i32::from(precision) - i32::from(scale) + 1;
    if places < 0 {
        return DataType::Decimal128(whole.max(1 - places).min(38) as u8, 0);
    }
    let scale = places.min(i32::from(scale));
    DataType::Decimal128((whole + scale).min(38) as u8, scale as i8)
}

fn rounded_type(name: &str, types: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    let places = places(name, types, constants)?;
    Ok(match (&types[0], places) {
        (DataType::Decimal128(precision, scale), places) => decimal(*precision, *scale, places.unwrap_or(0)),
        (of, _) => of.clone(),
    })
}

fn cut_type(name: &str, types: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    if types.len() < 2 {
        return Ok(match &types[0] {
            whole @ DataType::Decimal128(_, 0) => whole.clone(),
            DataType::Decimal128(precision, scale) => decimal(*precision, *scale, 0),
            _ => DataType::Int64,
        });
    }
    let places = places(name, types, constants)?.unwrap_or(0);
    let (precision, scale) = as_decimal(&types[0]);
    Ok(decimal(precision, scale, places))
}

/// The decimal that holds any number of a type.
fn as_decimal(of: &DataType) -> (u8, i8) {
    match of {
        DataType::Decimal128(precision, scale) => (*precision, *scale),
        DataType::Int8 => (3, 0),
        DataType::Int16 => (5, 0),
        DataType::Int32 => (10, 0),
        DataType::Float32 => (14, 7),
        DataType::Float64 => (30, 15),
        _ => (20, 0),
    }
}

fn wanted(call: &Call) -> Result<i32> {
    if call.len() > 1 && call.rows > 0 { Ok(bounded(call.int(1)?.get(0).unwrap_or(0))) } else { Ok(0) }
}

fn power(n: i32) -> Option<i128> {
    10_i128.checked_pow(n.unsigned_abs())
}

/// Decimals of `scale` rounded to `places`, as the type that is to be given.
fn decimals(call: &Call, array: &ArrayRef, scale: i8, places: i32, mode: Mode) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, to) = call.gives else {
        return datafusion::common::internal_err!("not a decimal");
    };
    let drop = i32::from(scale) - places;
    // Of negative places the zeros are written out.
    let back = power((-places).max(0));
    let values = array.as_primitive::<Decimal128Type>();
    let most = 10_i128.pow(u32::from(precision)) - 1;
    let rounded: Decimal128Array = call.rows(|row| {
        let place = call.place(0, row);
        // NaN and infinity are no DECIMAL.
        if values.is_null(place) {
            return Ok(None);
        }
        let value = values.value(place);
        let rounded = if drop <= 0 {
            Some(value)
        } else {
            match (power(drop), mode) {
                (Some(unit), _) => back.and_then(|back| mode.divide(value, unit).checked_mul(back)),
                // A power of ten that no DECIMAL holds.
                (None, Mode::Up) if value > 0 => None,
                (None, Mode::Down) if value < 0 => None,
                (None, _) => Some(0),
            }
        };
        match rounded {
            Some(v) if v.abs() <= most => Ok(Some(v)),
            _ => overflow(values.value_as_string(place), &call.gives),
        }
    })?;
    Ok(Arc::new(rounded.with_precision_and_scale(precision, to)?))
}

fn round(call: &Call, mode: Mode) -> Result<ArrayRef> {
    let (array, places) = (call.array(0)?, wanted(call)?);
    match array.data_type() {
        DataType::Decimal128(_, scale) => decimals(call, array, *scale, places, mode),
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            let rounded: Float64Array =
                call.rows(|row| Ok(Some(double(values.value(call.place(0, row)), places, mode))))?;
            Ok(Arc::new(rounded))
        }
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            let rounded: Float32Array = call.rows(|row| {
                let v = values.value(call.place(0, row));
                // By the digits of the DOUBLE that it is: 0.45F is 0.44999998807907104.
                let text = format!("{:e}", f64::from(v));
                Ok(Some(if v.is_finite() { digits(&text, places, mode).parse().unwrap_or(v) } else { v }))
            })?;
            Ok(Arc::new(rounded))
        }
        of => {
            if places >= 0 {
                return Ok(Arc::clone(array));
            }
            let longs = kernel::run(array, &DataType::Int64, false)?;
            let longs = longs.as_primitive::<Int64Type>();
            let rounded: Int64Array = call.rows(|row| {
                let v = longs.value(call.place(0, row));
                let rounded = power(places).map_or(0, |unit| mode.divide(i128::from(v), unit) * unit);
                i64::try_from(rounded).map(Some).or_else(|_| overflow(v, of))
            })?;
            whole(rounded, of)
        }
    }
}

/// A DOUBLE rounded by the digits that it is written with.
fn double(v: f64, places: i32, mode: Mode) -> f64 {
    if !v.is_finite() || v.abs() >= 1e300 && places >= 0 {
        return v;
    }
    if places == 0 {
        if v.abs() >= 4_503_599_627_370_496.0 {
            return v;
        }
        let rounded = if mode == Mode::HalfUp { v.round() } else { v.round_ties_even() };
        // Spark rounds through a decimal, which has no negative zero.
        return rounded + 0.0;
    }
    digits(&format!("{v:e}"), places, mode).parse().unwrap_or(v)
}

/// The number `text`, which is like `-1.25e3`, rounded to `places`; again with an exponent.
fn digits(text: &str, places: i32, mode: Mode) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len()) as i32;
    let exponent = exponent.parse::<i32>().unwrap_or(0) - fraction;
    let whole: i128 = mantissa.chars().filter(|c| *c != '.').collect::<String>().parse().unwrap_or(0);
    let drop = -exponent - places;
    if drop <= 0 {
        return format!("{whole}e{exponent}");
    }
    // 17 digits at most: more that are dropped leave nothing.
    let rounded = if drop > 30 { 0 } else { power(drop).map_or(0, |unit| mode.divide(whole, unit)) };
    format!("{rounded}e{}", -places)
}

fn cut(call: &Call, mode: Mode) -> Result<ArrayRef> {
    let array = call.array(0)?;
    if call.len() > 1 {
        let (precision, scale) = as_decimal(array.data_type());
        let decimal = kernel::run(array, &DataType::Decimal128(precision, scale), false)?;
        return decimals(call, &decimal, scale, wanted(call)?, mode);
    }
    match array.data_type() {
        DataType::Decimal128(_, scale) => decimals(call, array, *scale, 0, mode),
        DataType::Float32 | DataType::Float64 => {
            let values = kernel::run(array, &DataType::Float64, false)?;
            let values = values.as_primitive::<Float64Type>();
            // As in Java, what is too large is the end of the range, and NaN is 0.
            let cut = |v: f64| if mode == Mode::Up { v.ceil() as i64 } else { v.floor() as i64 };
            Ok(Arc::new(values.unary::<_, Int64Type>(cut)))
        }
        _ => kernel::run(array, &DataType::Int64, false),
    }
}
