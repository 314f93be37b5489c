//! Adds to dates and times, truncates and compares them.

use arrow::array::ArrayRef;
use datafusion::common::Result;

use crate::calendar::{Civil, DAY, SECOND, days_of_month, weekday};
use crate::rows::{Call, Function, Gives, function, row_error};
use crate::values::Kind::{Bool, Date, Int, Text, Time};

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("date_add", &[Date, Int], Gives::Date, |call| add_days(call, 1)).alias("dateadd"),
        function("date_sub", &[Date, Int], Gives::Date, |call| add_days(call, -1)),
        function("datediff", &[Date, Date], Gives::Int, |call| {
            let (end, start) = (call.date(0)?, call.date(1)?);
            call.ints(|row| day(i64::from(end.at(row)) - i64::from(start.at(row))).map(Some))
        })
        .alias("date_diff"),
        function("add_months", &[Date, Int], Gives::Date, |call| {
            let (date, months) = (call.date(0)?, call.int(1)?);
            call.dates(|row| {
                day(Civil::of_day(i64::from(date.at(row))).plus_months(i64::from(months.at(row))).days()).map(Some)
            })
        }),
        function("last_day", &[Date], Gives::Date, |call| {
            let date = call.date(0)?;
            call.dates(|row| {
                let civil = Civil::of_day(i64::from(date.at(row)));
                day(Civil { day: days_of_month(civil.year, civil.month), ..civil }.days()).map(Some)
            })
        }),
        function("next_day", &[Date, Text], Gives::Date, next_day),
        function("months_between", &[Time, Time, Bool], Gives::Double, months_between).optional(1),
        function("trunc", &[Date, Text], Gives::Date, |call| {
            let (date, level) = (call.date(0)?, call.text(1)?);
            call.dates(|row| match Level::of_day(level.at(row)) {
                Some(level) => day(level.cut_day(i64::from(date.at(row)))).map(Some),
                _ => Ok(None),
            })
        }),
        function("date_trunc", &[Text, Time], Gives::Same(1), date_trunc).types(trunc_types),
    ]
}

/// A day, if the calendar goes so far.
pub(super) fn day(day: i64) -> Result<i32> {
    i32::try_from(day).or_else(|_| row_error(format!("{day} days are out of the range of DATE")))
}

fn add_days(call: &Call, sign: i64) -> Result<ArrayRef> {
    let (date, days) = (call.date(0)?, call.int(1)?);
    call.dates(|row| day(i64::from(date.at(row)) + sign * i64::from(days.at(row))).map(Some))
}

fn next_day(call: &Call) -> Result<ArrayRef> {
    let (date, name) = (call.date(0)?, call.text(1)?);
    call.dates(|row| {
        let name = name.at(row);
        let wanted = match name.to_ascii_uppercase().as_str() {
            "MO" | "MON" | "MONDAY" => 0,
            "TU" | "TUE" | "TUESDAY" => 1,
            "WE" | "WED" | "WEDNESDAY" => 2,
            "TH" | "THU" | "THURSDAY" => 3,
            "FR" | "FRI" | "FRIDAY" => 4,
            "SA" | "SAT" | "SATURDAY" => 5,
            "SU" | "SUN" | "SUNDAY" => 6,
            _ => return row_error(format!("'{name}' is not a day of the week")),
        };
        let from = i64::from(date.at(row));
        let ahead = (wanted - weekday(from)).rem_euclid(7);
        day(from + if ahead == 0 { 7 } else { ahead }).map(Some)
    })
}

fn months_between(call: &Call) -> Result<ArrayRef> {
    let (a, b) = (call.time(0)?, call.time(1)?);
    let rounding = if call.len() > 2 { Some(call.bool(2)?) } else { None };
    call.doubles(|row| {
        let parts = |micros: i64| {
            let civil = Civil::of_day(micros.div_euclid(DAY));
            let last = civil.day == days_of_month(civil.year, civil.month);
            (civil.year * 12 + civil.month, civil.day, last, micros.rem_euclid(DAY) / SECOND)
        };
        let ((months_a, day_a, last_a, time_a), (months_b, day_b, last_b, time_b)) =
            (parts(a.at(row)), parts(b.at(row)));
        let months = (months_a - months_b) as f64;
        if day_a == day_b || (last_a && last_b) {
            return Ok(Some(months));
        }
        let seconds = (day_a - day_b) * 86_400 + time_a - time_b;
        let all = months + seconds as f64 / (31.0 * 86_400.0);
        let rounded = rounding.as_ref().is_none_or(|r| r.at(row));
        Ok(Some(if rounded { (all * 1e8 + 0.5).floor() / 1e8 } else { all }))
    })
}

/// What is wrong with `unit` as the unit of `function`, `date_trunc` or `trunc`, which gives NULL for each row then: the units that
/// there are. `None` if it is one, and for other functions.
#[must_use]
pub fn unknown_unit(function: &str, unit: &str) -> Option<&'static str> {
    match function {
        "date_trunc" if Level::parse(unit).is_none() => {
            Some("YEAR, QUARTER, MONTH, WEEK, DAY, HOUR, MINUTE, SECOND, MILLISECOND and MICROSECOND")
        }
        "trunc" if Level::of_day(unit).is_none() => Some("YEAR, QUARTER, MONTH and WEEK"),
        _ => None,
    }
}

/// What a time is cut to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Year,
    Quarter,
    Month,
    Week,
    /// A time of this many microseconds that divides a day.
    Length(i64),
}

impl Level {
    fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "YEAR" | "YYYY" | "YY" => Self::Year,
            "QUARTER" => Self::Quarter,
            "MONTH" | "MM" | "MON" => Self::Month,
            "WEEK" => Self::Week,
            "DAY" | "DD" => Self::Length(DAY),
            "HOUR" => Self::Length(3_600_000_000),
            "MINUTE" => Self::Length(60_000_000),
            "SECOND" => Self::Length(SECOND),
            "MILLISECOND" => Self::Length(1000),
            "MICROSECOND" => Self::Length(1),
            _ => return None,
        })
    }

    /// One that a day can be cut to.
    fn of_day(name: &str) -> Option<Self> {
        Self::parse(name).filter(|level| *level <= Self::Week)
    }

    fn cut_day(self, day: i64) -> i64 {
        let civil = Civil::of_day(day);
        match self {
            Self::Year => Civil { month: 1, day: 1, ..civil }.days(),
            Self::Quarter => Civil { month: (civil.month - 1) / 3 * 3 + 1, day: 1, ..civil }.days(),
            Self::Month => Civil { day: 1, ..civil }.days(),
            Self::Week => day - weekday(day),
            Self::Length(_) => day,
        }
    }

    fn cut(self, micros: i64) -> Option<i64> {
        match self {
            Self::Length(length) => micros.div_euclid(length).checked_mul(length),
            _ => self.cut_day(micros.div_euclid(DAY)).checked_mul(DAY),
        }
    }
}

fn trunc_types(_: &str, types: &[arrow::datatypes::DataType]) -> Result<Vec<arrow::datatypes::DataType>> {
    use arrow::datatypes::DataType;
    let [level, time] = types else {
        return crate::rows::plan_error(format!(
            "date_trunc takes a unit such as 'DAY' and a time, here it has {} arguments",
            types.len()
        ));
    };
    if Text.data_type(level).is_none() || Time.data_type(time).is_none() {
        return crate::rows::plan_error("date_trunc takes a unit such as 'DAY', then a time");
    }
    // Spark has it of TIMESTAMP alone: a TIMESTAMP_NTZ becomes one.
    Ok(vec![DataType::Utf8, crate::rows::timestamp()])
}

fn date_trunc(call: &Call) -> Result<ArrayRef> {
    let (level, time) = (call.text(0)?, call.time(1)?);
    let mut known: Option<(&str, Option<Level>)> = None;
    call.times(|row| {
        let name = level.at(row);
        let level = match known {
            Some((last, level)) if last == name => level,
            _ => known.insert((name, Level::parse(name))).1,
        };
        let Some(level) = level else { return Ok(None) };
        let time = time.at(row);
        level.cut(time).map_or_else(
            || row_error(format!("{time} microseconds are out of the range of TIMESTAMP")),
            |t| Ok(Some(t)),
        )
    })
}
