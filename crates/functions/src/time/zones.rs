//! Times of other time zones.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Result, ScalarValue};

use crate::calendar::Zone;
use crate::rows::{Call, Function, Gives, constant_text, function, plan_error, row_error};
use crate::types;
use crate::values::Kind::{Text, Time, TimeNtz};

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("from_utc_timestamp", &[Time, Text], Gives::Time, |call| {
            let (time, zone) = (call.time(0)?, call.text(1)?);
            call.times(|row| {
                let time = time.at(row);
                within(time, time.checked_add(self::zone(zone.at(row))?.ahead_at(time))).map(Some)
            })
        })
        .check(|constants| check(constants, 1)),
        function("to_utc_timestamp", &[Time, Text], Gives::Time, |call| {
            let (time, zone) = (call.time(0)?, call.text(1)?);
            call.times(|row| {
                let time = time.at(row);
                within(time, self::zone(zone.at(row))?.to_utc(time)).map(Some)
            })
        })
        .check(|constants| check(constants, 1)),
        function("convert_timezone", &[Text, Text, TimeNtz], Gives::TimeNtz, convert)
            .optional(1)
            .types(convert_types)
            .check(|constants| (0..constants.len().saturating_sub(1)).try_for_each(|at| check(constants, at))),
    ]
}

fn zone(name: &str) -> Result<Zone> {
    Zone::parse(name).map_or_else(|| row_error(format!("there is no time zone '{name}'")), Ok)
}

fn check(constants: &[Option<&ScalarValue>], at: usize) -> Result<()> {
    match constant_text(constants, at) {
        Some(name) if Zone::parse(name).is_none() => {
            plan_error(format!("there is no time zone '{name}'; write one such as 'Europe/Berlin' or '+01:00'"))
        }
        _ => Ok(()),
    }
}

/// What `time` became in another zone, if there is such a time.
fn within(time: i64, moved: Option<i64>) -> Result<i64> {
    moved.map_or_else(|| row_error(format!("{time} microseconds are at the end of the range of TIMESTAMP")), Ok)
}

fn convert_types(_: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    let (time, zones) = match types {
        [_, time] => (time, 1),
        [_, _, time] => (time, 2),
        _ => {
            return plan_error(format!(
                "convert_timezone takes the zone of the time, the zone to have it in, and the time; here it has {} arguments",
                types.len()
            ));
        }
    };
    if TimeNtz.data_type(time).is_none() {
        return plan_error(format!("convert_timezone converts a timestamp, not {}", types::name(time)));
    }
    Ok(std::iter::repeat_n(DataType::Utf8, zones).chain([DataType::Timestamp(TimeUnit::Microsecond, None)]).collect())
}

fn convert(call: &Call) -> Result<ArrayRef> {
    let last = call.len() - 1;
    let (from, to, time) = (call.text(0)?, call.text(last - 1)?, call.time(last)?);
    call.times(|row| {
        let time = time.at(row);
        let utc = if last == 2 { within(time, zone(from.at(row))?.to_utc(time))? } else { time };
        within(utc, utc.checked_add(zone(to.at(row))?.ahead_at(utc))).map(Some)
    })
}
