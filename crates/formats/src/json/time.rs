//! Dates and times in JSON: ISO 8601 as texts, or numbers since 1970, as the source's options say. Nothing is guessed.

use super::number;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// How timestamps are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Timestamps {
    /// `2026-11-30T18:33:00.123456Z` as a text. Without a zone it is UTC.
    #[default]
    Iso8601,
    /// Seconds since 1970 as a number, perhaps with a fraction.
    EpochSeconds,
    /// Milliseconds since 1970 as a number.
    EpochMillis,
    /// Microseconds since 1970 as a number.
    EpochMicros,
}

impl Timestamps {
    /// The microseconds since 1970 that `text` is, a number; what is finer is cut off. `None` if 64 bits do not hold them.
    pub(super) fn of_number(self, text: &[u8], is_whole: bool) -> Option<i64> {
        let (unit, digits) = match self {
            Self::Iso8601 => return None,
            Self::EpochSeconds => (SECOND, 6),
            Self::EpochMillis => (1_000, 3),
            Self::EpochMicros => (1, 0),
        };
        if is_whole {
            return number::integer(text)?.checked_mul(unit);
        }
        i64::try_from(number::exact(text, digits)?.digits).ok()
    }
}

/// A time as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    /// Microseconds since 1970 on a clock there.
    local: i64,
    /// What that clock is ahead of UTC, if the text says so.
    offset: Option<i64>,
}

impl Written {
    /// In UTC, where it is if it has no zone.
    pub(super) fn in_utc(self) -> i64 {
        self.local - self.offset.unwrap_or_default()
    }

    /// On a clock without a zone, if it has none.
    pub(super) fn without_zone(self) -> Option<i64> {
        self.offset.is_none().then_some(self.local)
    }
}

/// Days since 1970 of `yyyy-mm-dd`.
pub(super) fn date(text: &[u8]) -> Option<i32> {
    match day(text)? {
        (days, []) => i32::try_from(days).ok(),
        _ => None,
    }
}

/// The time `yyyy-mm-dd`, `yyyy-mm-ddThh:mm` or `yyyy-mm-ddThh:mm:ss[.f...]`, with a space or a small `t` in place of the `T`, and with a zone
/// behind it: `Z`, `+hh`, `+hhmm` or `+hh:mm`. Digits behind the sixth of a fraction are cut off.
pub(super) fn timestamp(text: &[u8]) -> Option<Written> {
    let (days, rest) = day(text)?;
    let midnight = days * DAY;
    let rest = match rest {
        [] => return Some(Written { local: midnight, offset: None }),
        [b'T' | b't' | b' ', rest @ ..] => rest,
        _ => return None,
    };
    let (hour, rest) = two(rest, 23)?;
    let (minute, rest) = two(rest.strip_prefix(b":")?, 59)?;
    let (second, rest) = match rest {
        [b':', rest @ ..] => two(rest, 59)?,
        rest => (0, rest),
    };
    let (micros, rest) = match rest {
        [b'.', rest @ ..] => fraction(rest)?,
        rest => (0, rest),
    };
    let local = midnight + hour * HOUR + minute * MINUTE + second * SECOND + micros;
    Some(Written { local, offset: zone(rest)? })
}

/// Days since 1970 of the date that `text` begins with, and what follows it.
fn day(text: &[u8]) -> Option<(i64, &[u8])> {
    let (date, rest) = text.split_first_chunk::<10>()?;
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = *date else { return None };
    let year = digits(&[y0, y1, y2, y3])?;
    let (month, day) = (digits(&[m0, m1])?, digits(&[d0, d1])?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=longest).contains(&day) {
        return None;
    }
    // Years begin in March, so that a leap day is the last one.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days =
        year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (month * 153 + 2) / 5 + day - 1;
    Some((days - 719_468, rest))
}

/// Two digits of a number up to `most`, and what follows them.
fn two(text: &[u8], most: i64) -> Option<(i64, &[u8])> {
    let (pair, rest) = text.split_first_chunk::<2>()?;
    let value = digits(pair)?;
    (value <= most).then_some((value, rest))
}

/// Microseconds of the digits that `text` begins with, and what follows them.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (all, rest) = text.split_at(count);
    let value = digits(&all[..count.min(6)]).filter(|_| count > 0)?;
    let missing = u32::try_from(6_usize.saturating_sub(count)).ok()?;
    Some((value * 10_i64.pow(missing), rest))
}

/// What a clock in the zone `text` is ahead of UTC; the inner `None` is no zone.
fn zone(text: &[u8]) -> Option<Option<i64>> {
    let (sign, rest) = match text {
        [] => return Some(None),
        [b'Z' | b'z'] => return Some(Some(0)),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, rest) = two(rest, 18)?;
    let minutes = match rest {
        [] => 0,
        [b':', rest @ ..] | rest => match two(rest, 59)? {
            (minutes, []) => minutes,
            _ => return None,
        },
    };
    Some(Some(sign * (hours * HOUR + minutes * MINUTE)))
}

fn digits(text: &[u8]) -> Option<i64> {
    let add = |value: i64, byte: &u8| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0'));
    text.iter().try_fold(0, add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Option<i64> {
        timestamp(text.as_bytes()).map(Written::in_utc)
    }

    #[test]
    fn forms_of_iso_8601_are_the_same_time() {
        let noon = 1_709_208_000 * SECOND;
        for text in [
            "2024-02-29T12:00:00Z",
            "2024-02-29 12:00:00",
            "2024-02-29t12:00z",
            "2024-02-29T13:30:00.000+01:30",
            "2024-02-29T11:00:00-01",
            "2024-02-29T11:00-0100",
        ] {
            assert_eq!(utc(text), Some(noon), "{text}");
        }
        assert_eq!(utc("2024-02-29"), Some(noon - 12 * HOUR));
        assert_eq!(utc("2024-02-29T12:00:00.1"), Some(noon + 100_000));
        assert_eq!(utc("2024-02-29T12:00:00.1234567Z"), Some(noon + 123_456));
        assert_eq!(utc("1969-12-31T23:59:59.999999Z"), Some(-1));
        assert_eq!(utc("0000-01-01T00:00:00Z"), Some(-719_528 * DAY));
    }

    #[test]
    fn what_no_calendar_and_no_clock_shows_is_none() {
        for text in [
            "",
            "2024",
            "2024-02-30",
            "2023-02-29",
            "1900-02-29",
            "2024-13-01",
            "2024-00-01",
            "2024-01-00",
            "24-01-01",
            "20240229",
            "2024-02-29T24:00:00Z",
            "2024-02-29T12:60Z",
            "2024-02-29T12:00:60Z",
            "2024-02-29T12",
            "2024-02-29T12:00:00.Z",
            "2024-02-29T12:00:00+1",
            "2024-02-29T12:00:00+19:00",
            "2024-02-29T12:00:00 UTC",
            "2024-02-29T12:00:00Zx",
            "2024-02-29T",
            " 2024-02-29",
            "2024-02-29 ",
            "1709208000",
            "2024-2-29",
            "+2024-02-29",
        ] {
            assert_eq!(utc(text), None, "{text}");
        }
        assert_eq!((date(b"2024-02-29"), date(b"2024-02-29T00:00")), (Some(19_782), None));
    }

    #[test]
    fn days_are_counted_as_the_calendar_has_them() {
        for (text, days) in [
            ("0001-01-01", -719162),
            ("1600-02-29", -135081),
            ("1899-12-31", -25568),
            ("1970-01-01", 0),
            ("2000-03-01", 11017),
            ("2100-02-28", 47540),
            ("9999-12-31", 2932896),
        ] {
            assert_eq!(date(text.as_bytes()), Some(days), "{text}");
        }
    }

    #[test]
    fn a_time_with_a_zone_is_none_without_one() {
        let at = |text: &str| timestamp(text.as_bytes()).and_then(Written::without_zone);
        assert_eq!(at("1970-01-02T00:00:00"), Some(DAY));
        assert_eq!(at("1970-01-02T00:00:00Z"), None);
    }

    #[test]
    fn numbers_are_what_the_option_says() {
        let of = |unit: Timestamps, text: &str| unit.of_number(text.as_bytes(), !text.contains(['.', 'e']));
        assert_eq!(of(Timestamps::EpochSeconds, "1709208000"), Some(1_709_208_000_000_000));
        assert_eq!(of(Timestamps::EpochSeconds, "1709208000.1234567"), Some(1_709_208_000_123_456));
        assert_eq!(of(Timestamps::EpochSeconds, "1.7092080005e9"), Some(1_709_208_000_500_000));
        assert_eq!(of(Timestamps::EpochMillis, "-1"), Some(-1_000));
        assert_eq!(of(Timestamps::EpochMicros, "12"), Some(12));
        assert_eq!(of(Timestamps::EpochSeconds, "9223372036855"), None);
        assert_eq!(of(Timestamps::EpochMicros, "9223372036854775808"), None);
    }
}
