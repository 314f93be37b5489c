//! Values as text, as Spark prints them.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, DurationMicrosecondType, Float32Type, Float64Type, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::{Result, exec_err};

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// `values` as text.
///
/// # Errors
/// If a binary value is not UTF-8.
pub fn text(values: &ArrayRef) -> Result<ArrayRef> {
    let shown: ArrayRef = match values.data_type() {
        DataType::Float64 => floats::<Float64Type>(values, double),
        DataType::Float32 => floats::<Float32Type>(values, float),
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

/// As Java's `Double.toString`.
pub fn double(value: f64, out: &mut String) {
    java(value.is_nan(), value.is_infinite(), value.is_sign_negative(), &format!("{:e}", value.abs()), out);
}

/// As Java's `Float.toString`.
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

/// `2024-02-29 12:34:56.789`, without zeros at the end.
fn timestamp(micros: i64, out: &mut String) {
    let (day, of_day) = (micros.div_euclid(MICROS_PER_DAY), micros.rem_euclid(MICROS_PER_DAY));
    date(day, out);
    let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    let _ = write!(out, " {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    fractional(fraction, out);
}

fn fractional(micros: i64, out: &mut String) {
    if micros != 0 {
        let digits = format!("{micros:06}");
        out.push('.');
        out.push_str(digits.trim_end_matches('0'));
    }
}

/// The date of a day since 1970, of any year.
fn date(day: i64, out: &mut String) {
    // Years that begin in March, so that the leap day is a year's last.
    let shifted = day + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let sign = match year {
        10_000.. => "+",
        ..0 => "-",
        _ => "",
    };
    let _ = write!(out, "{sign}{:04}-{month:02}-{day:02}", year.abs());
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
