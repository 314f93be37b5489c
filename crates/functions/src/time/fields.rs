//! Parts of a date or time.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};

use super::pattern::{DAYS, MONTHS};
use crate::calendar::{Civil, DAY, iso_week, weekday};
use crate::rows::{Call, Function, Gives, constant_text, function, plan_error};
use crate::values::Kind::{Date, Text, Time};

pub(super) fn functions() -> Vec<Function> {
    vec![
        of_date("year", |call| days(call, |day| Civil::of_day(day).year)),
        of_date("quarter", |call| days(call, |day| (Civil::of_day(day).month - 1) / 3 + 1)),
        of_date("month", |call| days(call, |day| Civil::of_day(day).month)),
        of_date("day", |call| days(call, |day| Civil::of_day(day).day)).alias("dayofmonth"),
        of_date("dayofyear", |call| days(call, |day| Civil::of_day(day).day_of_year())),
        of_date("dayofweek", |call| days(call, |day| (weekday(day) + 1) % 7 + 1)),
        of_date("weekday", |call| days(call, weekday)),
        of_date("weekofyear", |call| days(call, |day| iso_week(day).1)),
        of_time("hour", |call| times(call, |of_day| of_day / 3_600_000_000)),
        of_time("minute", |call| times(call, |of_day| of_day / 60_000_000 % 60)),
        of_time("second", |call| times(call, |of_day| of_day / 1_000_000 % 60)),
        function("dayname", &[Date], Gives::Text, |call| names(call, |day| &DAYS[weekday(day) as usize][..3])),
        function("monthname", &[Date], Gives::Text, |call| {
            names(call, |day| &MONTHS[(Civil::of_day(day).month - 1) as usize][..3])
        }),
        // `extract(YEAR FROM time)` is read as `date_part('YEAR', time)`.
        function("date_part", &[Text, Time], Gives::By(part_type), date_part).alias("datepart"),
    ]
}

fn of_date(name: &'static str, run: fn(&Call) -> Result<ArrayRef>) -> Function {
    function(name, &[Date], Gives::Int, run)
}

fn of_time(name: &'static str, run: fn(&Call) -> Result<ArrayRef>) -> Function {
    function(name, &[Time], Gives::Int, run)
}

fn days(call: &Call, part: impl Fn(i64) -> i64) -> Result<ArrayRef> {
    let date = call.date(0)?;
    call.ints(|row| Ok(Some(part(i64::from(date.at(row))) as i32)))
}

fn times(call: &Call, part: impl Fn(i64) -> i64) -> Result<ArrayRef> {
    let time = call.time(0)?;
    call.ints(|row| Ok(Some(part(time.at(row).rem_euclid(DAY)) as i32)))
}

fn names(call: &Call, name: impl Fn(i64) -> &'static str) -> Result<ArrayRef> {
    let date = call.date(0)?;
    call.texts(|row| Ok(Some(name(i64::from(date.at(row))))))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Year,
    YearOfWeek,
    Quarter,
    Month,
    Week,
    Day,
    DayOfWeek,
    DayOfWeekIso,
    DayOfYear,
    Hour,
    Minute,
    /// With its fraction.
    Second,
}

impl Part {
    fn parse(name: &str) -> Result<Self> {
        Ok(match name.to_ascii_uppercase().as_str() {
            "YEAR" | "Y" | "YEARS" | "YR" | "YRS" => Self::Year,
            "YEAROFWEEK" => Self::YearOfWeek,
            "QUARTER" | "QTR" => Self::Quarter,
            "MONTH" | "MON" | "MONS" | "MONTHS" => Self::Month,
            "WEEK" | "W" | "WEEKS" => Self::Week,
            "DAY" | "D" | "DAYS" => Self::Day,
            "DAYOFWEEK" | "DOW" => Self::DayOfWeek,
            "DAYOFWEEK_ISO" | "DOW_ISO" => Self::DayOfWeekIso,
            "DOY" => Self::DayOfYear,
            "HOUR" | "H" | "HOURS" | "HR" | "HRS" => Self::Hour,
            "MINUTE" | "M" | "MIN" | "MINS" | "MINUTES" => Self::Minute,
            "SECOND" | "S" | "SEC" | "SECONDS" | "SECS" => Self::Second,
            "EPOCH" => {
                return plan_error(
                    "there is no field EPOCH; write unix_seconds(time), or unix_micros(time) / 1000000 with the fraction",
                );
            }
            "MILLISECOND" | "MILLISECONDS" | "MICROSECOND" | "MICROSECONDS" | "NANOSECOND" | "NANOSECONDS" => {
                return plan_error(format!(
                    "there is no field {name}; SECOND has the fraction, and unix_micros(time) % 1000000 is the fraction alone"
                ));
            }
            _ => {
                return plan_error(format!(
                    "there is no field {name}; there are YEAR, QUARTER, MONTH, WEEK, DAY, HOUR, MINUTE, SECOND, DAYOFWEEK, DAYOFWEEK_ISO, DOY and YEAROFWEEK"
                ));
            }
        })
    }

    fn of(self, micros: i64) -> i64 {
        let day = micros.div_euclid(DAY);
        let of_day = micros.rem_euclid(DAY);
        match self {
            Self::Year => Civil::of_day(day).year,
            Self::YearOfWeek => iso_week(day).0,
            Self::Quarter => (Civil::of_day(day).month - 1) / 3 + 1,
            Self::Month => Civil::of_day(day).month,
            Self::Week => iso_week(day).1,
            Self::Day => Civil::of_day(day).day,
            Self::DayOfWeek => (weekday(day) + 1) % 7 + 1,
            Self::DayOfWeekIso => weekday(day) + 1,
            Self::DayOfYear => Civil::of_day(day).day_of_year(),
            Self::Hour => of_day / 3_600_000_000,
            Self::Minute => of_day / 60_000_000 % 60,
            Self::Second => of_day % 60_000_000,
        }
    }
}

fn part_type(_: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    match (constants.first().copied().flatten(), constant_text(constants, 0)) {
        (_, Some(name)) => {
            Ok(if Part::parse(name)? == Part::Second { DataType::Decimal128(8, 6) } else { DataType::Int32 })
        }
        (Some(value), None) if value.is_null() => Ok(DataType::Float64),
        _ => plan_error("the field of date_part is a constant, such as 'YEAR'"),
    }
}

fn date_part(call: &Call) -> Result<ArrayRef> {
    let (name, time) = (call.text(0)?, call.time(1)?);
    if call.rows == 0 {
        return Ok(arrow::array::new_empty_array(&call.gives));
    }
    let part = Part::parse(name.at(0))?;
    if part == Part::Second {
        let micros: Decimal128Array = call.rows(|row| Ok(Some(i128::from(part.of(time.at(row))))))?;
        return Ok(Arc::new(micros.with_precision_and_scale(8, 6)?));
    }
    call.ints(|row| Ok(Some(part.of(time.at(row)) as i32)))
}
