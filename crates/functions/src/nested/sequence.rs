//! `sequence`: numbers, dates and times between two bounds.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::{
    DataType, Date32Type, DurationMicrosecondType, Int64Type, IntervalMonthDayNanoType, IntervalUnit,
    IntervalYearMonthType, TimeUnit, TimestampMicrosecondType,
};
use chrono::{DateTime, Months, NaiveDate, TimeDelta};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

use super::lists::{MAX_ASKED, bounded, field_of, list};
use super::types::{as_type, list_of, name, plain, widest};
use crate::arrays::Arrays;
use crate::error::{plan_error, row_error};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![Arrays::of("sequence", bounds, |t, _| Ok(list_of(&t[0])), sequence)]
}

const DAY: i64 = 86_400_000_000;

fn bounds(types: &[DataType]) -> Result<Vec<DataType>> {
    if !(2..=3).contains(&types.len()) {
        return plan_error(format!("takes a first value, a last value and a step, not {} arguments", types.len()));
    }
    let numbers = |t: &DataType| {
        matches!(t, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Null)
    };
    if types.iter().all(numbers) {
        let common = widest(types)?;
        return Ok(vec![if common == DataType::Null { DataType::Int32 } else { common }; types.len()]);
    }
    let common = match widest(&types[..2])? {
        DataType::Date32 => DataType::Date32,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone),
        other => return plan_error(format!("there is no sequence of {}", name(&other))),
    };
    let mut all = vec![common.clone(), common];
    match types.get(2) {
        None => {}
        Some(DataType::Interval(_)) => all.push(DataType::Interval(IntervalUnit::MonthDayNano)),
        Some(DataType::Duration(_)) => all.push(DataType::Duration(TimeUnit::Microsecond)),
        Some(other) => {
            return plan_error(format!("the step from date to date is an INTERVAL, not {}", name(&plain(other))));
        }
    }
    Ok(all)
}

/// What is added from one value to the next; microseconds for times.
#[derive(Clone, Copy)]
struct Step {
    months: i64,
    amount: i64,
}

fn sequence(args: &[ArrayRef], rows: usize, returned: &DataType) -> Result<ArrayRef> {
    let field = field_of(returned)?;
    let calendar = !field.data_type().is_integer();
    let points = |array: &ArrayRef| -> Result<Vec<Option<i64>>> {
        Ok(match array.data_type() {
            DataType::Date32 => {
                array.as_primitive::<Date32Type>().iter().map(|d| d.map(|d| i64::from(d) * DAY)).collect()
            }
            DataType::Timestamp(..) => array.as_primitive::<TimestampMicrosecondType>().iter().collect(),
            _ => as_type(array, &DataType::Int64)?.as_primitive::<Int64Type>().iter().collect(),
        })
    };
    let (starts, stops) = (points(&args[0])?, points(&args[1])?);
    let steps = args.get(2).map(steps).transpose()?;
    let mut values: Vec<i64> = Vec::new();
    let mut lengths = Vec::with_capacity(rows);
    let mut valid = Vec::with_capacity(rows);
    for at in 0..rows {
        let given = steps.as_ref().map(|steps| steps[at]);
        let (Some(start), Some(stop), false) = (starts[at], stops[at], given.is_some_and(|g| g.is_none())) else {
            lengths.push(0);
            valid.push(false);
            continue;
        };
        let unit = if calendar { DAY } else { 1 };
        let default = Step { months: 0, amount: if start <= stop { unit } else { -unit } };
        let before = values.len();
        fill(&mut values, start, stop, given.flatten().unwrap_or(default))?;
        bounded(values.len())?;
        lengths.push(values.len() - before);
        valid.push(true);
    }
    list(&field, &typed(values, field.data_type())?, lengths, valid)
}

fn typed(values: Vec<i64>, data_type: &DataType) -> Result<ArrayRef> {
    let values: ArrayRef = match data_type {
        DataType::Date32 => {
            let day = |v: i64| i32::try_from(v.div_euclid(DAY)).unwrap_or_default();
            Arc::new(Date32Array::from_iter_values(values.into_iter().map(day)))
        }
        DataType::Timestamp(_, zone) => {
            Arc::new(TimestampMicrosecondArray::from(values).with_timezone_opt(zone.clone()))
        }
        _ => Arc::new(Int64Array::from(values)),
    };
    as_type(&values, data_type)
}

fn steps(array: &ArrayRef) -> Result<Vec<Option<Step>>> {
    let of = |amount: i64| Step { months: 0, amount };
    Ok(match array.data_type() {
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let one = |i: arrow::datatypes::IntervalMonthDayNano| Step {
                months: i64::from(i.months),
                amount: i64::from(i.days) * DAY + i.nanoseconds / 1000,
            };
            array.as_primitive::<IntervalMonthDayNanoType>().iter().map(|i| i.map(one)).collect()
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            let one = |i: i32| Step { months: i64::from(i), amount: 0 };
            array.as_primitive::<IntervalYearMonthType>().iter().map(|i| i.map(one)).collect()
        }
        DataType::Duration(_) => array.as_primitive::<DurationMicrosecondType>().iter().map(|d| d.map(of)).collect(),
        _ => as_type(array, &DataType::Int64)?.as_primitive::<Int64Type>().iter().map(|n| n.map(of)).collect(),
    })
}

fn fill(values: &mut Vec<i64>, start: i64, stop: i64, step: Step) -> Result<()> {
    let up = step.months > 0 || (step.months == 0 && step.amount > 0);
    let still = step.months == 0 && step.amount == 0;
    let wrong_way = if still { start != stop } else { (up && start > stop) || (!up && start < stop) };
    if wrong_way {
        return row_error(format!("sequence never comes from {start} to {stop} by its step"));
    }
    if still {
        values.push(start);
        return Ok(());
    }
    if step.months == 0 {
        let count = (i128::from(stop) - i128::from(start)) / i128::from(step.amount);
        if count >= i128::from(MAX_ASKED) {
            return row_error(format!("sequence has more than {MAX_ASKED} elements"));
        }
        let count = i64::try_from(count).unwrap_or_default();
        values.extend((0..=count).map(|n| start + n * step.amount));
        return Ok(());
    }
    for n in 0..MAX_ASKED {
        let Some(next) = months_later(start, n * step.months).map(|t| t + n * step.amount) else {
            return row_error("sequence leaves the years that there are");
        };
        if (up && next > stop) || (!up && next < stop) {
            return Ok(());
        }
        values.push(next);
    }
    row_error(format!("sequence has more than {MAX_ASKED} elements"))
}

/// The time `months` later, on the last day of a month that is too short.
fn months_later(micros: i64, months: i64) -> Option<i64> {
    let time = DateTime::from_timestamp_micros(micros)?.naive_utc();
    let by = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    let date: NaiveDate =
        if months >= 0 { time.date().checked_add_months(by)? } else { time.date().checked_sub_months(by)? };
    let days = date.signed_duration_since(NaiveDate::default()).num_days();
    let day = TimeDelta::try_days(days)?.num_microseconds()?;
    day.checked_add(micros.rem_euclid(DAY))
}
