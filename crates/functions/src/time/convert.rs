//! Converts texts and numbers to times, and back.

use std::cell::RefCell;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type};
use datafusion::common::{Result, ScalarValue};

use super::pattern::Pattern;
use super::text::{ZoneInText, parse_date, parse_timestamp};
use crate::calendar::{DAY, SECOND};
use crate::casts::kernel;
use crate::casts::number::{micros_of_seconds, whole_of_double};
use crate::rows::{Call, Function, Gives, constant_text, function, plan_error, row_error, timestamp};
use crate::types;
use crate::values::Kind::{Any, Date, Int, Long, Number, Text, Time};

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("date_format", &[Time, Text], Gives::Text, |call| {
            let (time, patterns) = (call.time(0)?, Patterns::new(false));
            let pattern = call.text(1)?;
            call.texts(|row| patterns.with(pattern.at(row), |pattern| Ok(Some(written(pattern, time.at(row))))))
        })
        .check(|constants| check(constants, 1, false)),
        function("from_unixtime", &[Long, Text], Gives::Text, |call| {
            let (seconds, patterns) = (call.long(0)?, Patterns::new(false));
            let pattern = if call.len() > 1 { Some(call.text(1)?) } else { None };
            call.texts(|row| {
                let micros = seconds.at(row).wrapping_mul(SECOND);
                patterns
                    .with(pattern.as_ref().map_or(DEFAULT, |p| p.at(row)), |pattern| Ok(Some(written(pattern, micros))))
            })
        })
        .optional(1)
        .check(|constants| check(constants, 1, false)),
        function("to_date", &[Any, Text], Gives::Date, |call| to_date(call, false))
            .optional(1)
            .types(date_types)
            .check(check_reading),
        function("try_to_date", &[Any, Text], Gives::Date, |call| to_date(call, true))
            .optional(1)
            .types(date_types)
            .check(check_reading),
        function("to_timestamp", &[Any, Text], Gives::Time, |call| to_timestamp(call, false))
            .optional(1)
            .types(time_types)
            .check(check_reading),
        function("try_to_timestamp", &[Any, Text], Gives::Time, |call| to_timestamp(call, true))
            .optional(1)
            .types(time_types)
            .check(check_reading),
        function("to_timestamp_ltz", &[Any, Text], Gives::Time, |call| to_timestamp(call, false))
            .optional(1)
            .types(text_or_time)
            .check(check_reading),
        function("to_timestamp_ntz", &[Any, Text], Gives::TimeNtz, |call| to_timestamp(call, false))
            .optional(1)
            .types(text_or_time)
            .check(check_reading),
        function("unix_timestamp", &[Any, Text], Gives::Long, unix_timestamp)
            .optional(1)
            .types(unix_types)
            .check(check_reading),
        function("to_unix_timestamp", &[Any, Text], Gives::Long, unix_timestamp)
            .optional(1)
            .types(unix_types)
            .check(check_reading),
        function("timestamp_seconds", &[Number], Gives::Time, timestamp_seconds),
        function("timestamp_millis", &[Long], Gives::Time, |call| {
            let millis = call.long(0)?;
            call.times(|row| {
                let millis = millis.at(row);
                millis.checked_mul(1000).map_or_else(
                    || row_error(format!("{millis} milliseconds are out of the range of TIMESTAMP")),
                    |m| Ok(Some(m)),
                )
            })
        }),
        function("timestamp_micros", &[Long], Gives::Time, |call| {
            let micros = call.long(0)?;
            call.times(|row| Ok(Some(micros.at(row))))
        }),
        of_time("unix_seconds", |call| longs(call, |micros| micros.div_euclid(SECOND))),
        of_time("unix_millis", |call| longs(call, |micros| micros.div_euclid(1000))),
        of_time("unix_micros", |call| longs(call, |micros| micros)),
        function("unix_date", &[Date], Gives::Int, |call| {
            let date = call.date(0)?;
            call.ints(|row| Ok(Some(date.at(row))))
        }),
        function("date_from_unix_date", &[Int], Gives::Date, |call| {
            let day = call.int(0)?;
            call.dates(|row| Ok(Some(day.at(row))))
        }),
        function("current_timezone", &[], Gives::Text, |call| call.texts(|_| Ok(Some("UTC")))),
    ]
}

const DEFAULT: &str = "yyyy-MM-dd HH:mm:ss";

fn of_time(name: &'static str, run: fn(&Call) -> Result<ArrayRef>) -> Function {
    function(name, &[Time], Gives::Long, run)
}

fn longs(call: &Call, of: impl Fn(i64) -> i64) -> Result<ArrayRef> {
    let time = call.time(0)?;
    call.longs(|row| Ok(Some(of(time.at(row)))))
}

fn written(pattern: &Pattern, micros: i64) -> String {
    let mut out = String::with_capacity(24);
    pattern.write(micros, &mut out);
    out
}

/// The pattern used last, which most often is that of the next row.
struct Patterns {
    last: RefCell<Option<(String, Pattern)>>,
    reading: bool,
}

impl Patterns {
    const fn new(reading: bool) -> Self {
        Self { last: RefCell::new(None), reading }
    }

    fn with<T>(&self, text: &str, with: impl FnOnce(&Pattern) -> Result<T>) -> Result<T> {
        let mut last = self.last.borrow_mut();
        if let Some((known, pattern)) = last.as_ref()
            && known == text
        {
            return with(pattern);
        }
        let pattern = Pattern::parse(text, self.reading).or_else(row_error)?;
        with(&last.insert((text.to_owned(), pattern)).1)
    }
}

fn check(constants: &[Option<&ScalarValue>], at: usize, reading: bool) -> Result<()> {
    constant_text(constants, at).map_or(Ok(()), |text| Pattern::parse(text, reading).map(|_| ()).or_else(plan_error))
}

fn check_reading(constants: &[Option<&ScalarValue>]) -> Result<()> {
    check(constants, 1, true)
}

fn is_text(of: &DataType) -> bool {
    matches!(of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// The types of a call whose first argument is of a type in `first`.
fn typed(name: &str, types: &[DataType], first: impl Fn(&DataType) -> Option<DataType>) -> Result<Vec<DataType>> {
    let (of, pattern) = match types {
        [of] => (of, None),
        [of, pattern] => (of, Some(pattern)),
        _ => {
            return plan_error(format!(
                "{name} takes a value and, if you like, one pattern such as 'yyyy-MM-dd', here it has {} arguments",
                types.len()
            ));
        }
    };
    let of = if let DataType::Dictionary(_, value) = of { value.as_ref() } else { of };
    let Some(cast) = first(of) else { return plan_error(format!("{name} does not take {}; CAST it", types::name(of))) };
    if let Some(pattern) = pattern
        && Text.data_type(pattern).is_none()
    {
        return plan_error(format!("the pattern of {name} is text such as 'yyyy-MM-dd', not {}", types::name(pattern)));
    }
    Ok(std::iter::once(cast).chain(pattern.map(|_| DataType::Utf8)).collect())
}

fn date_types(name: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    typed(name, types, |of| match of {
        _ if is_text(of) || of.is_null() => Some(DataType::Utf8),
        DataType::Date32 => Some(DataType::Date32),
        DataType::Timestamp(..) => Some(timestamp()),
        _ => None,
    })
}

fn text_or_time(name: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    typed(name, types, |of| match of {
        _ if is_text(of) || of.is_null() => Some(DataType::Utf8),
        DataType::Date32 | DataType::Timestamp(..) => Some(timestamp()),
        _ => None,
    })
}

fn time_types(name: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    typed(name, types, |of| match of {
        _ if is_text(of) || of.is_null() => Some(DataType::Utf8),
        DataType::Date32 | DataType::Timestamp(..) => Some(timestamp()),
        _ if of.is_integer() => Some(DataType::Int64),
        DataType::Float32 | DataType::Float64 => Some(DataType::Float64),
        DataType::Decimal128(..) => Some(of.clone()),
        _ => None,
    })
}

fn unix_types(name: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    if types.is_empty() {
        return plan_error(format!("{name} takes a time or text here; for the clock write {name}(now())"));
    }
    typed(name, types, |of| match of {
        _ if is_text(of) || of.is_null() => Some(DataType::Utf8),
        DataType::Date32 | DataType::Timestamp(..) => Some(timestamp()),
        _ => None,
    })
}

fn bad<T>(safe: bool, text: &str, what: &str) -> Result<Option<T>> {
    if safe { Ok(None) } else { row_error(format!("'{text}' is not {what}")) }
}

/// Microseconds of the text of each row by its pattern, or as a cast reads it.
fn read(call: &Call, row: usize, patterns: &Patterns, zoned: bool, safe: bool) -> Result<Option<i64>> {
    let text = call.text(0)?.at(row);
    if call.len() < 2 {
        let zone = ZoneInText::of_cast(zoned);
        return parse_timestamp(text, zone).map_or_else(|| bad(safe, text, "a timestamp"), |t| Ok(Some(t)));
    }
    let pattern = call.text(1)?.at(row);
    patterns.with(pattern, |ready| {
        ready.read(text, zoned).map_or_else(|| bad(safe, text, &format!("of the form '{pattern}'")), |t| Ok(Some(t)))
    })
}

fn to_date(call: &Call, safe: bool) -> Result<ArrayRef> {
    let array = call.array(0)?;
    match array.data_type() {
        DataType::Date32 => {
            let date = call.date(0)?;
            call.dates(|row| Ok(Some(date.at(row))))
        }
        DataType::Timestamp(..) => {
            let time = call.time(0)?;
            call.dates(|row| Ok(Some(time.at(row).div_euclid(DAY) as i32)))
        }
        _ => {
            let patterns = Patterns::new(true);
            let text = call.text(0)?;
            call.dates(|row| {
                if call.len() < 2 {
                    let text = text.at(row);
                    return parse_date(text).map_or_else(|| bad(safe, text, "a date"), |day| Ok(Some(day)));
                }
                Ok(read(call, row, &patterns, true, safe)?.map(|micros| micros.div_euclid(DAY) as i32))
            })
        }
    }
}

fn to_timestamp(call: &Call, safe: bool) -> Result<ArrayRef> {
    match call.array(0)?.data_type() {
        DataType::Timestamp(..) => {
            let time = call.time(0)?;
            call.times(|row| Ok(Some(time.at(row))))
        }
        DataType::Utf8 => {
            let patterns = Patterns::new(true);
            let zoned = matches!(&call.gives, DataType::Timestamp(_, Some(_)));
            call.times(|row| read(call, row, &patterns, zoned, safe))
        }
        DataType::Int64 => {
            // As Spark's cast: what is out of range is the end of the range.
            let seconds = call.long(0)?;
            call.times(|row| Ok(Some(seconds.at(row).saturating_mul(SECOND))))
        }
        // As Spark's cast, which does not take the end of the range here.
        _ => seconds(call, |v| {
            whole_of_double(v * SECOND as f64, i64::MIN, i64::MAX)
                .map_or_else(|| row_error(format!("{v} is not a timestamp")), |micros| Ok(Some(micros)))
        }),
    }
}

fn unix_timestamp(call: &Call) -> Result<ArrayRef> {
    if call.array(0)?.data_type() != &DataType::Utf8 {
        // Spark cuts towards zero here, and downwards in unix_seconds.
        return longs(call, |micros| micros / SECOND);
    }
    let patterns = Patterns::new(true);
    let text = call.text(0)?;
    let pattern = if call.len() > 1 { Some(call.text(1)?) } else { None };
    call.longs(|row| {
        let (text, pattern) = (text.at(row), pattern.as_ref().map_or(DEFAULT, |p| p.at(row)));
        patterns.with(pattern, |ready| {
            ready.read(text, true).map_or_else(
                || bad(false, text, &format!("of the form '{pattern}'")),
                |micros| Ok(Some(micros.div_euclid(SECOND))),
            )
        })
    })
}

fn timestamp_seconds(call: &Call) -> Result<ArrayRef> {
    let array = call.array(0)?;
    if array.data_type().is_integer() {
        let seconds = kernel::run(array, &DataType::Int64, false)?;
        let seconds = seconds.as_primitive::<arrow::datatypes::Int64Type>();
        return call.times(|row| {
            let seconds = seconds.value(call.place(0, row));
            seconds.checked_mul(SECOND).map_or_else(
                || row_error(format!("{seconds} seconds are out of the range of TIMESTAMP")),
                |m| Ok(Some(m)),
            )
        });
    }
    seconds(call, |v| Ok(v.is_finite().then_some((v * SECOND as f64) as i64)))
}

/// Seconds with a fraction; `micros` says what a DOUBLE of them is.
fn seconds(call: &Call, micros: impl Fn(f64) -> Result<Option<i64>>) -> Result<ArrayRef> {
    let array = call.array(0)?;
    if let DataType::Decimal128(_, scale) = array.data_type() {
        let values = array.as_primitive::<Decimal128Type>();
        return call.times(|row| {
            micros_of_seconds(values.value(call.place(0, row)), *scale)
                .map_or_else(|| row_error("the seconds are out of the range of TIMESTAMP"), |m| Ok(Some(m)))
        });
    }
    let values = kernel::run(array, &DataType::Float64, false)?;
    let values = values.as_primitive::<Float64Type>();
    call.times(|row| micros(values.value(call.place(0, row))))
}
