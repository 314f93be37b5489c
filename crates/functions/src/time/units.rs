//! `timestampadd` and `timestampdiff`. `dateadd` and `datediff` with a unit are the same functions.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Result, ScalarValue};

use crate::calendar::{Civil, DAY, SECOND};
use crate::rows::{Call, Function, Gives, constant_text, function, plan_error, row_error, timestamp};
use crate::values::Kind::{Long, Text, Time};

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("timestampadd", &[Text, Long, Time], Gives::Same(2), add).types(add_types).check(check),
        function("timestampdiff", &[Text, Time, Time], Gives::Long, difference).check(check),
    ]
}

#[derive(Debug, Clone, Copy)]
enum Unit {
    Months(i64),
    Micros(i64),
}

impl Unit {
    fn parse(name: &str) -> std::result::Result<Self, String> {
        Ok(match name.to_ascii_uppercase().as_str() {
            "YEAR" => Self::Months(12),
            "QUARTER" => Self::Months(3),
            "MONTH" => Self::Months(1),
            "WEEK" => Self::Micros(7 * DAY),
            "DAY" | "DAYOFYEAR" => Self::Micros(DAY),
            "HOUR" => Self::Micros(3_600_000_000),
            "MINUTE" => Self::Micros(60_000_000),
            "SECOND" => Self::Micros(SECOND),
            "MILLISECOND" => Self::Micros(1000),
            "MICROSECOND" => Self::Micros(1),
            _ => {
                return Err(format!(
                    "there is no unit {name}; there are YEAR, QUARTER, MONTH, WEEK, DAY, HOUR, MINUTE, SECOND, MILLISECOND and MICROSECOND"
                ));
            }
        })
    }
}

fn check(constants: &[Option<&ScalarValue>]) -> Result<()> {
    constant_text(constants, 0).map_or(Ok(()), |name| Unit::parse(name).map(|_| ()).or_else(plan_error))
}

fn add_types(_: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    let [_, quantity, time] = types else {
        return plan_error(format!(
            "timestampadd takes a unit, a number and a time, here it has {} arguments",
            types.len()
        ));
    };
    if Long.data_type(quantity).is_none() || Time.data_type(time).is_none() {
        return plan_error("timestampadd takes a unit, a number and a time");
    }
    let time = match time {
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        _ => timestamp(),
    };
    Ok(vec![DataType::Utf8, DataType::Int64, time])
}

fn add(call: &Call) -> Result<ArrayRef> {
    let (unit, quantity, time) = (call.text(0)?, call.long(1)?, call.time(2)?);
    call.times(|row| {
        let (quantity, time) = (quantity.at(row), time.at(row));
        let moved = match Unit::parse(unit.at(row)).or_else(row_error)? {
            Unit::Micros(length) => length.checked_mul(quantity).and_then(|by| time.checked_add(by)),
            Unit::Months(months) => months
                .checked_mul(quantity)
                .filter(|months| months.unsigned_abs() < 12_000_000)
                .and_then(|months| Civil::of_day(time.div_euclid(DAY)).plus_months(months).days().checked_mul(DAY))
                .and_then(|days| days.checked_add(time.rem_euclid(DAY))),
        };
        moved.map_or_else(
            || row_error(format!("{quantity} {} more are out of the range of TIMESTAMP", unit.at(row))),
            |t| Ok(Some(t)),
        )
    })
}

fn difference(call: &Call) -> Result<ArrayRef> {
    let (unit, start, end) = (call.text(0)?, call.time(1)?, call.time(2)?);
    call.longs(|row| {
        let (start, end) = (start.at(row), end.at(row));
        Ok(Some(match Unit::parse(unit.at(row)).or_else(row_error)? {
            Unit::Micros(length) => ((i128::from(end) - i128::from(start)) / i128::from(length)) as i64,
            Unit::Months(months) => whole_months(start, end) / months,
        }))
    })
}

/// Months that are over between two times.
fn whole_months(start: i64, end: i64) -> i64 {
    let (first, mut last) = (start.div_euclid(DAY), end.div_euclid(DAY));
    let (from, to) = (start.rem_euclid(DAY), end.rem_euclid(DAY));
    if last > first && to < from {
        last -= 1;
    } else if last < first && to > from {
        last += 1;
    }
    let packed = |day: i64| {
        let civil = Civil::of_day(day);
        (civil.year * 12 + civil.month - 1) * 32 + civil.day
    };
    (packed(last) - packed(first)) / 32
}
