//! `sequence`: numbers, dates and times between two bounds.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::{
    DataType, Date32Type, DurationMicrosecondType, Int64Type, IntervalMonthDayNanoType, IntervalUnit,
    IntervalYearMonthType, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

use super::lists::{MAX_ASKED, bounded, field_of, list};
use super::types::{as_type, list_of, name, plain, widest};
use crate::arrays::Arrays;
use crate::calendar::{Civil, DAY};
use crate::casts::show;
use crate::error::{plan_error, row_error};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![Arrays::of("sequence", bounds, |t, _| Ok(list_of(&t[0])), sequence)]
}

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
    amount: i128,
}

fn sequence(args: &[ArrayRef], rows: usize, returned: &DataType) -> Result<ArrayRef> {
    let field = field_of(returned)?;
    let calendar = !field.data_type().is_integer();
    let unit = Unit::of(field.data_type());
    let points = |array: &ArrayRef| -> Result<Vec<Option<i128>>> {
        Ok(match array.data_type() {
            DataType::Date32 => {
                array.as_primitive::<Date32Type>().iter().map(|d| d.map(|d| i128::from(d) * unit.length())).collect()
            }
            DataType::Timestamp(..) => {
                array.as_primitive::<TimestampMicrosecondType>().iter().map(|t| t.map(i128::from)).collect()
            }
            _ => as_type(array, &DataType::Int64)?
                .as_primitive::<Int64Type>()
                .iter()
                .map(|n| n.map(i128::from))
                .collect(),
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
        let one = if calendar { i128::from(DAY) } else { 1 };
        let default = Step { months: 0, amount: if start <= stop { one } else { -one } };
        let before = values.len();
        fill(&mut values, start, stop, given.flatten().unwrap_or(default), unit)?;
        bounded(values.len())?;
        lengths.push(values.len() - before);
        valid.push(true);
    }
    list(&field, &typed(values, field.data_type())?, lengths, valid)
}

/// What the elements count. They are found in 128 bits, as numbers or microseconds, so that no step leaves the range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Number,
    Day,
    Microsecond,
}

impl Unit {
    fn of(element: &DataType) -> Self {
        match element {
            DataType::Date32 => Self::Day,
            DataType::Timestamp(..) => Self::Microsecond,
            _ => Self::Number,
        }
    }

    /// How much of what is counted with an element's unit is.
    fn length(self) -> i128 {
        match self {
            Self::Day => i128::from(DAY),
            Self::Number | Self::Microsecond => 1,
        }
    }

    /// An element as its array holds it.
    fn element(self, value: i128) -> Result<i64> {
        let element = i64::try_from(value.div_euclid(self.length())).ok();
        // Days are held in 32 bits.
        let element = element.filter(|v| self != Self::Day || i32::try_from(*v).is_ok());
        // A step of months and days of opposite signs may lead anywhere.
        element.map_or_else(|| row_error("sequence leaves the range of its type"), Ok)
    }

    /// An element in a message.
    fn shown(self, value: i128) -> Result<String> {
        let element = self.element(value)?;
        let mut out = String::new();
        match self {
            Self::Number => out = element.to_string(),
            Self::Day => show::civil(element, &mut out),
            Self::Microsecond => show::timestamp(element, &mut out),
        }
        Ok(out)
    }
}

fn typed(values: Vec<i64>, data_type: &DataType) -> Result<ArrayRef> {
    let values: ArrayRef = match data_type {
        DataType::Date32 => {
            let day = |v: i64| i32::try_from(v).unwrap_or_default();
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
    let of = |amount: i64| Step { months: 0, amount: i128::from(amount) };
    Ok(match array.data_type() {
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let one = |i: arrow::datatypes::IntervalMonthDayNano| Step {
                months: i64::from(i.months),
                amount: i128::from(i.days) * i128::from(DAY) + i128::from(i.nanoseconds / 1000),
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

fn fill(values: &mut Vec<i64>, start: i128, stop: i128, step: Step, unit: Unit) -> Result<()> {
    let up = step.months > 0 || (step.months == 0 && step.amount > 0);
    let still = step.months == 0 && step.amount == 0;
    let wrong_way = if still { start != stop } else { (up && start > stop) || (!up && start < stop) };
    if wrong_way {
        let (start, stop) = (unit.shown(start)?, unit.shown(stop)?);
        return row_error(format!("sequence never comes from {start} to {stop} by its step"));
    }
    if still {
        values.push(unit.element(start)?);
        return Ok(());
    }
    if step.months == 0 {
        let count = (stop - start) / step.amount;
        if count >= i128::from(MAX_ASKED) {
            return row_error(format!("sequence has more than {MAX_ASKED} elements"));
        }
        for n in 0..=count {
            values.push(unit.element(start + n * step.amount)?);
        }
        return Ok(());
    }
    for n in 0..MAX_ASKED {
        let next = months_later(start, n * step.months) + i128::from(n) * step.amount;
        if (up && next > stop) || (!up && next < stop) {
            return Ok(());
        }
        values.push(unit.element(next)?);
    }
    row_error(format!("sequence has more than {MAX_ASKED} elements"))
}

/// The time `months` later, in microseconds, on the last day of a month that is too short.
fn months_later(micros: i128, months: i64) -> i128 {
    let day = i128::from(DAY);
    let date = Civil::of_day(i64::try_from(micros.div_euclid(day)).unwrap_or_default());
    i128::from(date.plus_months(months).days()) * day + micros.rem_euclid(day)
}
