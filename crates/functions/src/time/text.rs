//! Text as `CAST(... AS DATE)` and `CAST(... AS TIMESTAMP)` read it.

use crate::calendar::{Civil, DAY, SECOND, Zone};

/// White space and control characters at both ends are nothing.
fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_ascii_control() || c == ' ')
}

/// Days since 1970 of `2024`, `2024-2`, `2024-02-29`, and of what begins so and goes on after a space or a `T`.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let bytes = trimmed(text).as_bytes();
    let (sign, bytes) = signed(bytes)?;
    let end = bytes.iter().position(|b| matches!(b, b' ' | b'T')).unwrap_or(bytes.len());
    let parts: Vec<&[u8]> = bytes[..end].split(|b| *b == b'-').collect();
    if parts.len() > 3 || (parts.len() < 3 && end < bytes.len()) {
        return None;
    }
    let year = digits(parts[0], 4, 7)?;
    let month = parts.get(1).map_or(Some(1), |p| digits(p, 1, 2))?;
    let day = parts.get(2).map_or(Some(1), |p| digits(p, 1, 2))?;
    i32::try_from(Civil::checked(sign * year, month, day)?.days()).ok()
}

fn signed(bytes: &[u8]) -> Option<(i64, &[u8])> {
    match bytes {
        [] => None,
        [b'-', rest @ ..] => Some((-1, rest)),
        [b'+', rest @ ..] => Some((1, rest)),
        _ => Some((1, bytes)),
    }
}

fn digits(bytes: &[u8], least: usize, most: usize) -> Option<i64> {
    let good = (least..=most).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_digit);
    good.then(|| bytes.iter().fold(0, |n, b| n * 10 + i64::from(b - b'0')))
}

/// Microseconds since 1970 of `2024-02-29 12:34:56.789 Europe/Berlin` and all shorter forms; the zone counts if `zoned`, and is passed over
/// if not. A time without a date, which Spark takes to be of today, is none.
pub(crate) fn parse_timestamp(text: &str, zoned: bool) -> Option<i64> {
    let text = trimmed(text);
    let (sign, bytes) = signed(text.as_bytes())?;
    let text = &text[text.len() - bytes.len()..];
    let end = text.find([' ', 'T']).unwrap_or(text.len());
    let parts: Vec<&[u8]> = text.as_bytes()[..end].split(|b| *b == b'-').collect();
    if parts.len() > 3 || (parts.len() < 3 && end < text.len()) {
        return None;
    }
    let year = digits(parts[0], 4, 6)?;
    let month = parts.get(1).map_or(Some(1), |p| digits(p, 1, 2))?;
    let day = parts.get(2).map_or(Some(1), |p| digits(p, 1, 2))?;
    let days = Civil::checked(sign * year, month, day)?.days();
    let (of_day, zone) = if end < text.len() { time_of_day(&text[end + 1..])? } else { (0, None) };
    let local = days.checked_mul(DAY)?.checked_add(of_day)?;
    match zone {
        None => Some(local),
        Some(name) => {
            let zone = Zone::parse(name.trim())?;
            Some(if zoned { zone.to_utc(local) } else { local })
        }
    }
}

/// Microseconds of `12`, `12:34`, `12:34:56.789`, and the zone behind the seconds.
fn time_of_day(text: &str) -> Option<(i64, Option<&str>)> {
    let mut rest = text;
    let mut take = |least: usize, most: usize| {
        let n = rest.bytes().take_while(u8::is_ascii_digit).count();
        let value = digits(&rest.as_bytes()[..n], least, most)?;
        rest = &rest[n..];
        let separator = rest.as_bytes().first().copied();
        if separator == Some(b':') {
            rest = &rest[1..];
        }
        Some((value, separator))
    };
    let (hour, mut separator) = take(1, 2)?;
    let (mut minute, mut second) = (0, 0);
    if separator == Some(b':') {
        (minute, separator) = take(1, 2)?;
        if separator == Some(b':') {
            let n = rest.bytes().take_while(u8::is_ascii_digit).count();
            second = digits(&rest.as_bytes()[..n], 1, 2)?;
            rest = &rest[n..];
            separator = None;
        } else if separator.is_some() {
            return None;
        }
    } else if separator.is_some() {
        return None;
    }
    if separator == Some(b':') || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut micros = 0;
    if let Some(after) = rest.strip_prefix('.') {
        let n = after.bytes().take_while(u8::is_ascii_digit).count();
        let kept = &after.as_bytes()[..n.min(6)];
        micros = (0..6).fold(0, |v, i| v * 10 + kept.get(i).map_or(0, |b| i64::from(b - b'0')));
        rest = &after[n..];
    }
    let zone = (!rest.is_empty()).then_some(rest);
    Some(((hour * 3600 + minute * 60 + second) * SECOND + micros, zone))
}
