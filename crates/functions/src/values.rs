//! The casts that Spark makes of a function's arguments in silence, and values as text.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Date32Type, Float32Type, Float64Type, TimeUnit, TimestampMicrosecondType};
use datafusion::common::Result;

use crate::calendar::{Civil, DAY};
use crate::rows::{row_error, timestamp};
use crate::time::text::{parse_date, parse_timestamp};

/// What an argument is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// Text or binary; what is neither becomes text.
    Bytes,
    /// Binary; text is its UTF-8 bytes.
    Binary,
    Int,
    Long,
    Double,
    Bool,
    Date,
    Time,
    /// A local time.
    TimeNtz,
    /// `DECIMAL(16,6)`, for seconds.
    Seconds,
    /// Any number as it is; text becomes DOUBLE.
    Number,
    Any,
}

impl Kind {
    /// The kind in a sentence.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Bytes | Self::Binary => "text or binary",
            Self::Int | Self::Long => "a whole number",
            Self::Double | Self::Seconds | Self::Number => "a number",
            Self::Bool => "a condition",
            Self::Date => "a date",
            Self::Time | Self::TimeNtz => "a timestamp",
            Self::Any => "a value",
        }
    }

    /// The type that a value of type `of` is cast to, if it may be.
    pub(crate) fn data_type(self, of: &DataType) -> Option<DataType> {
        if let DataType::Dictionary(_, of) = of {
            return self.data_type(of);
        }
        let text = matches!(of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null);
        let binary = matches!(of, DataType::Binary | DataType::LargeBinary | DataType::BinaryView);
        let number = of.is_numeric();
        let time = matches!(of, DataType::Date32 | DataType::Timestamp(..) | DataType::Null);
        let atomic = text || binary || number || time || of == &DataType::Boolean;
        match self {
            Self::Text => atomic.then_some(DataType::Utf8),
            Self::Bytes if binary => Some(DataType::Binary),
            Self::Bytes => atomic.then_some(DataType::Utf8),
            Self::Binary => (text || binary).then_some(DataType::Binary),
            Self::Int => (number || text).then_some(DataType::Int32),
            Self::Long => (number || text).then_some(DataType::Int64),
            Self::Double => (number || text).then_some(DataType::Float64),
            Self::Bool => (text || of == &DataType::Boolean).then_some(DataType::Boolean),
            Self::Date => (text || time).then_some(DataType::Date32),
            Self::Time => (text || time).then(timestamp),
            Self::TimeNtz => (text || time).then_some(DataType::Timestamp(TimeUnit::Microsecond, None)),
            Self::Seconds => (number || text).then_some(DataType::Decimal128(16, 6)),
            Self::Number if of == &DataType::Null => Some(DataType::Float64),
            Self::Number if text => Some(DataType::Float64),
            Self::Number => number.then(|| of.clone()),
            Self::Any if text && of != &DataType::Null => Some(DataType::Utf8),
            Self::Any if binary => Some(DataType::Binary),
            Self::Any => Some(of.clone()),
        }
    }
}

const STRICT: CastOptions<'static> =
    CastOptions { safe: false, format_options: arrow::util::display::FormatOptions::new() };

/// `array` as an argument of type `to`.
pub(crate) fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let of = array.data_type();
    if of == to {
        return Ok(Arc::clone(array));
    }
    if of.is_null() {
        return Ok(arrow::array::new_null_array(to, array.len()));
    }
    if let DataType::Dictionary(_, value) = of {
        return cast(&cast_with_options(array, value, &STRICT)?, to);
    }
    let is_text = matches!(of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    match to {
        DataType::Utf8 if !is_text => texts(array),
        _ if is_text && !matches!(to, DataType::Utf8 | DataType::Binary) => {
            from_text(&plain(cast_with_options(array, &DataType::Utf8, &STRICT), &DataType::Utf8)?, to)
        }
        DataType::Int32 | DataType::Int64 => whole(array, to),
        DataType::Date32 => dates(array),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => times(array, zone.clone()),
        _ => plain(cast_with_options(array, to, &STRICT), to),
    }
}

fn plain(array: std::result::Result<ArrayRef, arrow::error::ArrowError>, to: &DataType) -> Result<ArrayRef> {
    array.or_else(|e| {
        let words = e.to_string();
        let words = words.split_once(": ").map_or(words.as_str(), |(_, words)| words);
        row_error(format!("{words} (as {})", type_name(to)))
    })
}

/// Numbers cut to whole ones, which must be in range.
fn whole(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let floating = array.data_type().is_floating();
    if !floating {
        return plain(cast_with_options(array, to, &STRICT), to);
    }
    let values = cast_with_options(array, &DataType::Float64, &STRICT)?;
    let values: &Float64Array = values.as_primitive::<Float64Type>();
    let (low, high) = if to == &DataType::Int32 {
        (-2_147_483_649.0, 2_147_483_648.0)
    } else {
        (-9.3e18, 9_223_372_036_854_775_808.0)
    };
    let one = |v: f64| {
        if v > low && v < high && v.trunc() >= i64::MIN as f64 {
            Ok(v.trunc() as i64)
        } else {
            row_error(format!("{} is out of the range of {}", double(v), type_name(to)))
        }
    };
    let wholes: Int64Array = values.iter().map(|v| v.map(one).transpose()).collect::<Result<_>>()?;
    Ok(cast_with_options(&wholes, to, &STRICT)?)
}

fn unreadable<T>(text: &str, to: &DataType) -> Result<T> {
    row_error(format!("'{text}' is not {}", type_name(to)))
}

fn from_text(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let texts: &StringArray = array.as_string::<i32>();
    Ok(match to {
        DataType::Int32 | DataType::Int64 => {
            let one = |text: &str| text.trim().parse::<i64>().or_else(|_| unreadable(text, to));
            let wholes: Int64Array = texts.iter().map(|t| t.map(one).transpose()).collect::<Result<_>>()?;
            plain(cast_with_options(&wholes, to, &STRICT), to)?
        }
        DataType::Float64 => {
            let one = |text: &str| text.trim().parse::<f64>().or_else(|_| unreadable(text, to));
            Arc::new(texts.iter().map(|t| t.map(one).transpose()).collect::<Result<Float64Array>>()?)
        }
        DataType::Date32 => {
            let one = |text: &str| parse_date(text).map_or_else(|| unreadable(text, to), Ok);
            Arc::new(texts.iter().map(|t| t.map(one).transpose()).collect::<Result<Date32Array>>()?)
        }
        DataType::Timestamp(_, zone) => {
            let one = |text: &str| parse_timestamp(text, zone.is_some()).map_or_else(|| unreadable(text, to), Ok);
            let times = texts.iter().map(|t| t.map(one).transpose()).collect::<Result<TimestampMicrosecondArray>>()?;
            Arc::new(times.with_timezone_opt(zone.clone()))
        }
        DataType::Boolean => {
            let one = |text: &str| match text.trim().to_ascii_lowercase().as_str() {
                "t" | "true" | "y" | "yes" | "1" => Ok(true),
                "f" | "false" | "n" | "no" | "0" => Ok(false),
                _ => unreadable(text, to),
            };
            Arc::new(texts.iter().map(|t| t.map(one).transpose()).collect::<Result<arrow::array::BooleanArray>>()?)
        }
        _ => plain(cast_with_options(array, to, &STRICT), to)?,
    })
}

/// Timestamps to the day they are in.
fn dates(array: &ArrayRef) -> Result<ArrayRef> {
    let to = DataType::Timestamp(TimeUnit::Microsecond, None);
    let micros = match array.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => Arc::clone(array),
        _ => plain(cast_with_options(array, &to, &STRICT), &to)?,
    };
    let micros = micros.as_primitive::<TimestampMicrosecondType>();
    Ok(Arc::new(micros.unary::<_, Date32Type>(|micros| micros.div_euclid(DAY) as i32)))
}

/// Dates to their midnight, timestamps to microseconds; local times are those of UTC.
fn times(array: &ArrayRef, zone: Option<Arc<str>>) -> Result<ArrayRef> {
    let none = DataType::Timestamp(TimeUnit::Microsecond, None);
    let micros: TimestampMicrosecondArray = match array.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => array.as_primitive::<TimestampMicrosecondType>().clone(),
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>();
            let at = |day: Option<i32>| {
                day.map(|day| {
                    i64::from(day)
                        .checked_mul(DAY)
                        .map_or_else(|| row_error(format!("{} has no timestamp", date(day))), Ok)
                })
                .transpose()
            };
            days.iter().map(at).collect::<Result<_>>()?
        }
        DataType::Timestamp(unit, Some(_)) => {
            let bare =
                plain(cast_with_options(array, &DataType::Timestamp(*unit, Some("UTC".into())), &STRICT), &none)?;
            let bare = plain(cast_with_options(&bare, &timestamp(), &STRICT), &none)?;
            bare.as_primitive::<TimestampMicrosecondType>().clone()
        }
        _ => plain(cast_with_options(array, &none, &STRICT), &none)?.as_primitive::<TimestampMicrosecondType>().clone(),
    };
    Ok(Arc::new(micros.with_timezone_opt(zone)))
}

/// Values as `CAST(... AS STRING)` of Spark writes them.
pub(crate) fn texts(array: &ArrayRef) -> Result<ArrayRef> {
    let out: StringArray = match array.data_type() {
        DataType::Float64 => array.as_primitive::<Float64Type>().iter().map(|v| v.map(double)).collect(),
        DataType::Float32 => array.as_primitive::<Float32Type>().iter().map(|v| v.map(float)).collect(),
        DataType::Date32 => array.as_primitive::<Date32Type>().iter().map(|v| v.map(date)).collect(),
        DataType::Timestamp(_, zone) => {
            let times = times(array, zone.clone())?;
            times.as_primitive::<TimestampMicrosecondType>().iter().map(|v| v.map(time)).collect()
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            let bytes = cast_with_options(array, &DataType::Binary, &STRICT)?;
            let one =
                |bytes: &[u8]| String::from_utf8(bytes.to_vec()).or_else(|_| row_error("the bytes are not UTF-8"));
            bytes.as_binary::<i32>().iter().map(|v| v.map(one).transpose()).collect::<Result<_>>()?
        }
        _ => return plain(cast_with_options(array, &DataType::Utf8, &STRICT), &DataType::Utf8),
    };
    Ok(Arc::new(out))
}

/// A DOUBLE as Java writes it: `1.0E10`, `0.001`, `NaN`.
pub(crate) fn double(v: f64) -> String {
    java(v.is_nan(), v.is_infinite(), v.is_sign_negative(), &format!("{:e}", v.abs()))
}

/// A FLOAT as Java writes it.
pub(crate) fn float(v: f32) -> String {
    java(v.is_nan(), v.is_infinite(), v.is_sign_negative(), &format!("{:e}", v.abs()))
}

fn java(nan: bool, infinite: bool, negative: bool, shortest: &str) -> String {
    let sign = if negative { "-" } else { "" };
    if nan {
        return "NaN".to_owned();
    }
    if infinite {
        return format!("{sign}Infinity");
    }
    let (digits, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    if digits == "0" {
        return format!("{sign}0.0");
    }
    let point = exponent + 1;
    if !(-3..7).contains(&exponent) {
        let rest = if digits.len() > 1 { &digits[1..] } else { "0" };
        return format!("{sign}{}.{rest}E{exponent}", &digits[..1]);
    }
    if point <= 0 {
        return format!("{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize));
    }
    let point = point as usize;
    if digits.len() <= point {
        return format!("{sign}{digits}{}.0", "0".repeat(point - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..point], &digits[point..])
}

/// A day as `2024-02-29`.
pub(crate) fn date(day: i32) -> String {
    let civil = Civil::of_day(i64::from(day));
    format!("{}-{:02}-{:02}", year(civil.year), civil.month, civil.day)
}

fn year(year: i64) -> String {
    match year {
        10_000.. => format!("+{year}"),
        0.. => format!("{year:04}"),
        _ => format!("-{:04}", year.unsigned_abs()),
    }
}

/// A time in microseconds as `2024-02-29 12:34:56.789`.
pub(crate) fn time(micros: i64) -> String {
    let of_day = micros.rem_euclid(DAY);
    let seconds = of_day / 1_000_000;
    let civil = Civil::of_day(micros.div_euclid(DAY));
    let mut out = format!(
        "{}-{:02}-{:02} {:02}:{:02}:{:02}",
        year(civil.year),
        civil.month,
        civil.day,
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    let fraction = of_day % 1_000_000;
    if fraction != 0 {
        let fraction = format!("{fraction:06}");
        out.push('.');
        out.push_str(fraction.trim_end_matches('0'));
    }
    out
}

/// Spark's name of a type, in small letters, as `typeof` gives it.
pub(crate) fn type_name(of: &DataType) -> String {
    match of {
        DataType::Null => "void".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "binary".to_owned()
        }
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamp".to_owned(),
        DataType::Timestamp(_, None) => "timestamp_ntz".to_owned(),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            format!("decimal({precision},{scale})")
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("array<{}>", type_name(item.data_type()))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                format!("map<{},{}>", type_name(pair[0].data_type()), type_name(pair[1].data_type()))
            }
            other => format!("map<{other}>"),
        },
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|f| format!("{}:{}", f.name(), type_name(f.data_type()))).collect();
            format!("struct<{}>", fields.join(","))
        }
        DataType::Dictionary(_, value) => type_name(value),
        DataType::Interval(_) | DataType::Duration(_) => "interval".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}
