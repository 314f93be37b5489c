//! Parses text as `CAST(... AS DATE)` and `CAST(... AS TIMESTAMP)` do.

use crate::calendar::{Civil, DAY, SECOND, Zone};
use crate::casts::number::trimmed;

/// What becomes of a time zone at the end of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ZoneInText {
    /// The time is moved to UTC.
    Applied,
    /// The time stays what clocks there show.
    Ignored,
    /// The text is no timestamp.
    Refused,
}

impl ZoneInText {
    /// What a cast does with the zone: a `TIMESTAMP` is `zoned`, a `TIMESTAMP_NTZ` is not.
    pub(crate) const fn of_cast(zoned: bool) -> Self {
        if zoned { Self::Applied } else { Self::Ignored }
    }
}

/// The days since 1970-01-01 of `[+-]yyyy[yyy][-[m]m[-[d]d]]`; after the day, a space or a `T` may follow, with anything behind it.
/// `None` where the text has another form, names no day of the calendar, or names one that is out of the range of DATE.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let (days, _) = day_and_rest(trimmed(text), 7)?;
    i32::try_from(days).ok()
}

/// The microseconds since 1970-01-01 00:00:00 of `[+-]yyyy[yy][-[m]m[-[d]d[( |T)[h]h[:[m]m[:[s]s[.f...][zone]]]]]]`. Digits behind the sixth
/// of a fraction are cut off. `zone` says what becomes of the zone. `None` where the text has another form, names no time or no zone that
/// there is, has a time without a date (which Spark takes to be of today), or is out of the range of TIMESTAMP.
pub(crate) fn parse_timestamp(text: &str, zone: ZoneInText) -> Option<i64> {
    let (days, rest) = day_and_rest(trimmed(text), 6)?;
    let (of_day, name) = rest.map_or(Some((0, None)), time_of_day)?;
    let local = days.checked_mul(DAY)?.checked_add(of_day)?;
    match (name, zone) {
        (None, _) => Some(local),
        (Some(_), ZoneInText::Refused) => None,
        (Some(name), ZoneInText::Ignored) => Zone::parse(trimmed(name)).map(|_| local),
        (Some(name), ZoneInText::Applied) => Zone::parse(trimmed(name))?.to_utc(local),
    }
}

/// The days since 1970-01-01, and what is behind the space or the `T` that ends the date. A year has 4 to `most` digits.
fn day_and_rest(text: &str, most: usize) -> Option<(i64, Option<&str>)> {
    let (sign, text) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let (date, rest) = match text.find([' ', 'T']) {
        Some(end) => (&text[..end], Some(&text[end + 1..])),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year = digits(parts.next()?, 4, most)?;
    let (month, day) = (parts.next(), parts.next());
    if parts.next().is_some() || (day.is_none() && rest.is_some()) {
        return None;
    }
    let part = |part: Option<&str>| part.map_or(Some(1), |part| digits(part, 1, 2));
    Some((Civil::checked(sign * year, part(month)?, part(day)?)?.days(), rest))
}

fn digits(text: &str, least: usize, most: usize) -> Option<i64> {
    let good = (least..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    good.then(|| text.bytes().fold(0, |n, b| n * 10 + i64::from(b - b'0')))
}

/// Microseconds of `12`, `12:34`, `12:34:56.789`, and the zone, which only seconds may have behind them.
fn time_of_day(text: &str) -> Option<(i64, Option<&str>)> {
    let mut parts = text.splitn(3, ':');
    let hour = digits(parts.next()?, 1, 2)?;
    let minute = parts.next().map_or(Some(0), |part| digits(part, 1, 2))?;
    let (second, micros, zone) = parts.next().map_or(Some((0, 0, None)), seconds)?;
    let good = hour < 24 && minute < 60 && second < 60;
    good.then_some(((hour * 3600 + minute * 60 + second) * SECOND + micros, zone))
}

/// The seconds, the microseconds and the zone of `56.789 Europe/Berlin`.
fn seconds(text: &str) -> Option<(i64, i64, Option<&str>)> {
    let (second, mut rest) = split_digits(text);
    let second = digits(second, 1, 2)?;
    let mut micros = 0;
    if let Some(after) = rest.strip_prefix('.') {
        let (fraction, after) = split_digits(after);
        micros = (0..6).fold(0, |v, i| v * 10 + fraction.as_bytes().get(i).map_or(0, |b| i64::from(b - b'0')));
        rest = after;
    }
    Some((second, micros, (!rest.is_empty()).then_some(rest)))
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}
