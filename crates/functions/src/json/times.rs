//! Dates and times in JSON text: read as a cast reads them, written in ISO 8601.

use std::fmt::Write;

use crate::calendar::{DAY, SECOND};
use crate::casts::show;
use crate::time::text::{ZoneInText, parse_date, parse_timestamp};

/// Days since 1970-01-01 of a date as a cast reads it, or of a number of days.
pub(super) fn date(text: &str) -> Option<i32> {
    parse_date(text).or_else(|| text.parse().ok())
}

/// Microseconds since 1970-01-01 00:00:00 of a timestamp as a cast reads it. One that is `zoned` is UTC where its text has no zone; of
/// another, the text has none.
pub(super) fn timestamp(text: &str, zoned: bool) -> Option<i64> {
    parse_timestamp(text, if zoned { ZoneInText::Applied } else { ZoneInText::Refused })
}

/// Appends `2024-02-29T12:34:56.789Z` to `out`, without the Z where the time is not `zoned`. What is finer than a millisecond is cut off.
pub(super) fn write_timestamp(micros: i64, zoned: bool, out: &mut String) {
    let of_day = micros.rem_euclid(DAY);
    show::civil(micros.div_euclid(DAY), out);
    out.push('T');
    show::clock(of_day, out);
    // Writing to a text does not fail.
    let _ = write!(out, ".{:03}", of_day % SECOND / 1000);
    out.push_str(if zoned { "Z" } else { "" });
}
