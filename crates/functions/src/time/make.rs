//! Dates and times from their parts.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, IntervalYearMonthArray};
use arrow::datatypes::{DataType, Decimal128Type, IntervalUnit};
use datafusion::common::Result;

use super::arithmetic::day;
use crate::calendar::{Civil, DAY, SECOND, Zone};
use crate::rows::{Call, Function, Gives, function, row_error};
use crate::values::Kind::{Int, Seconds, Text};

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("make_date", &[Int, Int, Int], Gives::Date, |call| {
            let (year, month, of_month) = (call.int(0)?, call.int(1)?, call.int(2)?);
            call.dates(|row| {
                let (year, month, of_month) = (year.at(row), month.at(row), of_month.at(row));
                match Civil::checked(i64::from(year), i64::from(month), i64::from(of_month)) {
                    Some(civil) if (-999_999_999..=999_999_999).contains(&year) => day(civil.days()).map(Some),
                    _ => row_error(format!("there is no day {of_month} in month {month} of {year}")),
                }
            })
        }),
        function("make_timestamp", &[Int, Int, Int, Int, Int, Seconds, Text], Gives::Time, |call| make(call, false))
            .optional(1),
        function("make_timestamp_ltz", &[Int, Int, Int, Int, Int, Seconds, Text], Gives::Time, |call| {
            make(call, false)
        })
        .optional(1),
        function("make_timestamp_ntz", &[Int, Int, Int, Int, Int, Seconds], Gives::TimeNtz, |call| make(call, false)),
        function("try_make_timestamp", &[Int, Int, Int, Int, Int, Seconds, Text], Gives::Time, |call| make(call, true))
            .optional(1),
        function("try_make_timestamp_ltz", &[Int, Int, Int, Int, Int, Seconds, Text], Gives::Time, |call| {
            make(call, true)
        })
        .optional(1),
        function("try_make_timestamp_ntz", &[Int, Int, Int, Int, Int, Seconds], Gives::TimeNtz, |call| {
            make(call, true)
        }),
        function(
            "make_ym_interval",
            &[Int, Int],
            Gives::By(|_, _| Ok(DataType::Interval(IntervalUnit::YearMonth))),
            |call| {
                let years = call.int(0)?;
                let months = if call.len() > 1 { Some(call.int(1)?) } else { None };
                let intervals: IntervalYearMonthArray = call.rows(|row| {
                    let all = i64::from(years.at(row)) * 12 + months.as_ref().map_or(0, |m| i64::from(m.at(row)));
                    i32::try_from(all)
                        .map(Some)
                        .or_else(|_| row_error(format!("{all} months are out of the range of an interval")))
                })?;
                Ok(Arc::new(intervals))
            },
        )
        .optional(1),
    ]
}

fn make(call: &Call, safe: bool) -> Result<ArrayRef> {
    let parts = (0..5).map(|at| call.int(at)).collect::<Result<Vec<_>>>()?;
    let seconds = call.array(5)?.as_primitive::<Decimal128Type>();
    let zone = if call.len() > 6 { Some(call.text(6)?) } else { None };
    call.times(|row| {
        let at = |n: usize| i64::from(parts[n].at(row));
        let micros = seconds.value(call.place(5, row)) as i64;
        let made = micros_of([at(0), at(1), at(2), at(3), at(4)], micros).and_then(|local| match &zone {
            None => Ok(local),
            Some(zone) => match Zone::parse(zone.at(row)) {
                Some(zone) => zone
                    .to_utc(local)
                    .map_or_else(|| row_error(format!("the year {} is out of the range of TIMESTAMP", at(0))), Ok),
                None => row_error(format!("there is no time zone '{}'", zone.at(row))),
            },
        });
        if safe { Ok(made.ok()) } else { made.map(Some) }
    })
}

/// Year, month, day, hour and minute, and the microseconds of the minute.
fn micros_of([year, month, day, hour, minute]: [i64; 5], micros: i64) -> Result<i64> {
    let Some(civil) = Civil::checked(year, month, day) else {
        return row_error(format!("there is no day {day} in month {month} of {year}"));
    };
    if !(0..24).contains(&hour) || !(0..60).contains(&minute) {
        return row_error(format!("there is no time {hour}:{minute}"));
    }
    // PostgreSQL's 60 seconds are those of the next minute, if nothing is added.
    if micros != 60 * SECOND && !(0..60 * SECOND).contains(&micros) {
        return row_error(format!("there are no {} seconds in a minute", micros as f64 / SECOND as f64));
    }
    let of_day = (hour * 3600 + minute * 60) * SECOND + micros;
    let all = civil.days().checked_mul(DAY).and_then(|days| days.checked_add(of_day));
    all.map_or_else(|| row_error(format!("the year {year} is out of the range of TIMESTAMP")), Ok)
}
