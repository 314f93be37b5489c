//! Values as text, as Spark prints them.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, DurationMicrosecondType, Float32Type, Float64Type, TimeUnit,
    TimestampMicrosecondType,
};
use datafusion::common::{Result, exec_err};

use crate::calendar::{Civil, DAY, SECOND};

/// `values` as text.
///
/// # Errors
/// If a binary value is not UTF-8.
pub fn text(values: &ArrayRef) -> Result<ArrayRef> {
    let shown: ArrayRef = match values.data_type() {
        DataType::Float64 => floats::<Float64Type>(values, double),
        DataType::Float32 => floats::<Float32Type>(values, float),
        DataType::Date32 => written(values, |i, out| date(values.as_primitive::<Date32Type>().value(i), out)),
        DataType::Timestamp(..) => {
            let zone = match values.data_type() {
                DataType::Timestamp(_, zone) => zone.clone(),
                _ => None,
            };
            let micros = cast(values, &DataType::Timestamp(TimeUnit::Microsecond, zone))?;
            written(&micros, |i, out| timestamp(micros.as_primitive::<TimestampMicrosecondType>().value(i), out))
        }
        DataType::Duration(_) => {
            let micros = cast(values, &DataType::Duration(TimeUnit::Microsecond))?;
            written(&micros, |i, out| duration(micros.as_primitive::<DurationMicrosecondType>().value(i), out))
        }
        t if crate::types::is_binary(t) => utf8(values)?,
        DataType::List(_) | DataType::LargeList(_) | DataType::Struct(_) | DataType::Map(..) => nested(values)?,
        _ => cast(values, &DataType::Utf8)?,
    };
    Ok(shown)
}

/// A text for each value that is not NULL.
fn written(values: &ArrayRef, write: impl Fn(usize, &mut String)) -> ArrayRef {
    let mut out = StringBuilder::with_capacity(values.len(), values.len() * 24);
    let mut buffer = String::new();
    for i in 0..values.len() {
        if values.is_null(i) {
            out.append_null();
        } else {
            buffer.clear();
            write(i, &mut buffer);
            out.append_value(&buffer);
        }
    }
    std::sync::Arc::new(out.finish())
}

fn floats<T: ArrowPrimitiveType>(values: &ArrayRef, show: impl Fn(T::Native, &mut String)) -> ArrayRef {
    let numbers = values.as_primitive::<T>();
    written(values, |i, out| show(numbers.value(i), out))
}

/// Appends a DOUBLE to `out` as Java's `Double.toString` writes it: `1.0E10`, `0.001`, `NaN`.
pub fn double(value: f64, out: &mut String) {
    java(value.is_nan(), value.is_infinite(), value.is_sign_negative(), &format!("{:e}", value.abs()), out);
}

/// Appends a FLOAT to `out` as Java's `Float.toString` writes it.
pub fn float(value: f32, out: &mut String) {
    java(value.is_nan(), value.is_infinite(), value.is_sign_negative(), &format!("{:e}", value.abs()), out);
}

/// `scientific` is the shortest number that reads as the value: `1.25e-3`.
fn java(nan: bool, infinite: bool, negative: bool, scientific: &str, out: &mut String) {
    if nan {
        out.push_str("NaN");
        return;
    }
    if negative {
        out.push('-');
    }
    if infinite {
        out.push_str("Infinity");
        return;
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    if digits == "0" {
        out.push_str("0.0");
    } else if (0..7).contains(&exponent) {
        let whole = usize::try_from(exponent).unwrap_or_default() + 1;
        let padded = format!("{digits:0<whole$}");
        let (whole, fraction) = padded.split_at(whole);
        out.push_str(whole);
        out.push('.');
        out.push_str(if fraction.is_empty() { "0" } else { fraction });
    } else if (-3..0).contains(&exponent) {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', usize::try_from(-exponent - 1).unwrap_or_default()));
        out.push_str(&digits);
    } else {
        let (first, rest) = digits.split_at(1);
        let rest = if rest.is_empty() { "0" } else { rest };
        // Writing to a text does not fail.
        let _ = write!(out, "{first}.{rest}E{exponent}");
    }
}

/// Appends a time, microseconds since 1970-01-01 00:00:00, to `out`: `2024-02-29 12:34:56.789`, without zeros at the end.
pub fn timestamp(micros: i64, out: &mut String) {
    let (day, of_day) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    civil(day, out);
    out.push(' ');
    clock(of_day, out);
    fractional(of_day % SECOND, out);
}

/// Appends a day, days since 1970-01-01, to `out`: `2024-02-29`. A year past 9999 has a sign, as one before the year 0 has.
pub fn date(day: i32, out: &mut String) {
    civil(i64::from(day), out);
}

/// Appends `day`, days since 1970-01-01, to `out`.
pub(crate) fn civil(day: i64, out: &mut String) {
    let Civil { year, month, day } = Civil::of_day(day);
    let sign = match year {
        10_000.. => "+",
        ..0 => "-",
        _ => "",
    };
    // Writing to a text does not fail.
    let _ = write!(out, "{sign}{:04}-{month:02}-{day:02}", year.unsigned_abs());
}

/// Appends the hour, minute and second of the microseconds `of_day` to `out`.
pub(crate) fn clock(of_day: i64, out: &mut String) {
    let seconds = of_day / SECOND;
    let _ = write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

fn fractional(micros: i64, out: &mut String) {
    if micros != 0 {
        let digits = format!("{micros:06}");
        out.push('.');
        out.push_str(digits.trim_end_matches('0'));
    }
}

/// `INTERVAL '1 02:03:04.5' DAY TO SECOND`.
fn duration(micros: i64, out: &mut String) {
    let all = micros.unsigned_abs();
    let sign = if micros < 0 { "-" } else { "" };
    let seconds = all / 1_000_000;
    let _ = write!(
        out,
        "INTERVAL '{sign}{} {:02}:{:02}:{:02}",
        seconds / 86_400,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60
    );
    fractional(i64::try_from(all % 1_000_000).unwrap_or_default(), out);
    out.push_str("' DAY TO SECOND");
}

fn utf8(values: &ArrayRef) -> Result<ArrayRef> {
    let bytes = cast(values, &DataType::Binary)?;
    let bytes = bytes.as_binary::<i32>();
    let mut out = StringBuilder::with_capacity(bytes.len(), bytes.values().len());
    for value in bytes {
        match value.map(std::str::from_utf8) {
            None => out.append_null(),
            Some(Ok(text)) => out.append_value(text),
            Some(Err(_)) => return exec_err!("a BINARY value is not UTF-8, so it is no STRING"),
        }
    }
    Ok(std::sync::Arc::new(out.finish()))
}

/// Arrays, maps and structs: the texts of what is in them, joined.
fn nested(values: &ArrayRef) -> Result<ArrayRef> {
    match values.data_type() {
        DataType::LargeList(field) => nested(&cast(values, &DataType::List(std::sync::Arc::clone(field)))?),
        DataType::Struct(_) => {
            let columns = values.as_struct().columns().iter().map(text).collect::<Result<Vec<_>>>()?;
            let columns: Vec<&StringArray> = columns.iter().map(|c| c.as_string::<i32>()).collect();
            Ok(written(values, |i, out| {
                out.push('{');
                for (at, column) in columns.iter().enumerate() {
                    out.push_str(if at > 0 { ", " } else { "" });
                    out.push_str(shown(column, i));
                }
                out.push('}');
            }))
        }
        DataType::Map(..) => {
            let map = values.as_map();
            let (keys, held) = (text(map.keys())?, text(map.values())?);
            let (keys, held) = (keys.as_string::<i32>(), held.as_string::<i32>());
            Ok(written(values, |i, out| {
                let items = range(map.value_offsets(), i);
                joined(items, ('{', '}'), out, |at, out| {
                    out.push_str(shown(keys, at));
                    out.push_str(" -> ");
                    out.push_str(shown(held, at));
                });
            }))
        }
        _ => {
            let list = values.as_list::<i32>();
            let items = text(list.values())?;
            let items = items.as_string::<i32>();
            Ok(written(values, |i, out| {
                joined(range(list.value_offsets(), i), ('[', ']'), out, |at, out| out.push_str(shown(items, at)));
            }))
        }
    }
}

fn range(offsets: &[i32], i: usize) -> std::ops::Range<usize> {
    usize::try_from(offsets[i]).unwrap_or_default()..usize::try_from(offsets[i + 1]).unwrap_or_default()
}

fn joined(
    items: std::ops::Range<usize>,
    (open, close): (char, char),
    out: &mut String,
    one: impl Fn(usize, &mut String),
) {
    out.push(open);
    let start = items.start;
    for at in items {
        out.push_str(if at > start { ", " } else { "" });
        one(at, out);
    }
    out.push(close);
}

fn shown(texts: &StringArray, at: usize) -> &str {
    if texts.is_null(at) { "null" } else { texts.value(at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_java_writes_them() {
        let doubles = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.001, "0.001"),
            (0.000_1, "1.0E-4"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (123.456, "123.456"),
            (1.797_693_134_862_315_7e308, "1.7976931348623157E308"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, text) in doubles {
            let mut out = String::new();
            double(value, &mut out);
            assert_eq!(out, text);
        }
        let mut out = String::new();
        float(0.1, &mut out);
        assert_eq!(out, "0.1");
    }
}
