//! Text as dates and timestamps, in the forms that Spark reads.

use std::str::FromStr;

use arrow::array::timezone::Tz;
use chrono::{NaiveDate, NaiveDateTime, Offset, TimeZone};

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// The days since 1970 of `[+-]yyyy[yyy][-[m]m[-[d]d[( |T)...]]]`.
pub fn date(text: &str) -> Option<i32> {
    let text = trimmed(text);
    let (negative, body) = sign(text);
    let mut rest = body;
    let year = digits(&mut rest, 4, 7)?;
    let mut parts = [year, 1, 1];
    for part in parts.iter_mut().skip(1) {
        let Some(after) = rest.strip_prefix('-') else { break };
        rest = after;
        *part = digits(&mut rest, 1, 2)?;
        if rest.is_empty() {
            break;
        }
    }
    let whole = body.bytes().filter(|b| *b == b'-').count() >= 2;
    if !(rest.is_empty() || whole && rest.starts_with([' ', 'T'])) {
        return None;
    }
    days(if negative { -parts[0] } else { parts[0] }, parts[1], parts[2])
}

/// A time of day and its place in the text.
struct Clock {
    seconds: i64,
    micros: i64,
}

/// The microseconds since 1970 UTC of `[+-]yyyy...[-[m]m[-[d]d[( |T)[h]h[:[m]m[:[s]s[.f{1,9}]]][zone]]]]`. `None` where the text is no
/// timestamp, or says no date: what `T12:34` means depends on the day when it is read. A zone that follows is
/// applied, and with `ignore_zone` left out.
pub fn timestamp(text: &str, ignore_zone: bool) -> Option<i64> {
    let text = trimmed(text);
    let (negative, mut rest) = sign(text);
    let year = digits(&mut rest, 4, 6)?;
    let year = if negative { -year } else { year };
    let mut parts = [1, 1];
    let mut complete = true;
    for part in &mut parts {
        match rest.strip_prefix('-') {
            Some(after) => {
                rest = after;
                *part = digits(&mut rest, 1, 2)?;
            }
            None => {
                complete = false;
                break;
            }
        }
    }
    let day = i64::from(days(year, parts[0], parts[1])?);
    if rest.is_empty() {
        return micros(day, &Clock { seconds: 0, micros: 0 });
    }
    if !complete {
        return None;
    }
    rest = rest.strip_prefix([' ', 'T'])?;
    let clock = clock(&mut rest)?;
    let local = micros(day, &clock)?;
    let zone = rest.trim_matches(' ');
    if zone.is_empty() {
        return Some(local);
    }
    let offset = offset(zone, local)?;
    if ignore_zone { Some(local) } else { local.checked_sub(offset.checked_mul(MICROS_PER_SECOND)?) }
}

fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ' || c == '\u{7f}')
}

fn sign(text: &str) -> (bool, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

/// A number of `least` to `most` digits at the start of `rest`, which is cut off.
fn digits(rest: &mut &str, least: usize, most: usize) -> Option<i32> {
    let n = rest.bytes().take_while(u8::is_ascii_digit).count();
    if n < least || n > most {
        return None;
    }
    let (number, after) = rest.split_at(n);
    *rest = after;
    number.parse().ok()
}

fn days(year: i32, month: i32, day: i32) -> Option<i32> {
    let (month, day) = (u32::try_from(month).ok()?, u32::try_from(day).ok()?);
    let date = NaiveDate::from_ymd_opt(year, month, day)?;
    let epoch = NaiveDate::default();
    i32::try_from(date.signed_duration_since(epoch).num_days()).ok()
}

fn clock(rest: &mut &str) -> Option<Clock> {
    let mut parts = [0_i64; 3];
    for (i, part) in parts.iter_mut().enumerate() {
        if i > 0 {
            match rest.strip_prefix(':') {
                Some(after) => *rest = after,
                None => break,
            }
        }
        *part = i64::from(digits(rest, 1, 2)?);
    }
    let mut micros = 0;
    if let Some(after) = rest.strip_prefix('.') {
        let n = after.bytes().take_while(u8::is_ascii_digit).count();
        let (fraction, after) = after.split_at(n);
        *rest = after;
        // What is finer than a microsecond is cut off.
        let mut scale = MICROS_PER_SECOND / 10;
        for digit in fraction.bytes() {
            micros += i64::from(digit - b'0') * scale;
            scale /= 10;
        }
    }
    let [hour, minute, second] = parts;
    (hour < 24 && minute < 60 && second < 60).then_some(Clock { seconds: hour * 3600 + minute * 60 + second, micros })
}

fn micros(day: i64, clock: &Clock) -> Option<i64> {
    day.checked_mul(SECONDS_PER_DAY)?
        .checked_add(clock.seconds)?
        .checked_mul(MICROS_PER_SECOND)?
        .checked_add(clock.micros)
}

/// The seconds that `zone` is ahead of UTC at the local time `local`.
fn offset(zone: &str, local: i64) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let fixed = ["UTC", "GMT", "UT"].iter().find_map(|name| zone.strip_prefix(name));
    if let Some(rest) = fixed
        && (rest.is_empty() || rest.starts_with(['+', '-']))
    {
        return if rest.is_empty() { Some(0) } else { fixed_offset(rest) };
    }
    if zone.starts_with(['+', '-']) {
        return fixed_offset(zone);
    }
    region(short_zone(zone), local)
}

/// `+h`, `+hh`, `+hmm`, `+hhmm`, `+h:m`, `+hh:mm`, `+hh:mm:ss`, at most 18 hours.
fn fixed_offset(text: &str) -> Option<i64> {
    let (negative, body) = sign(text);
    let parts: Vec<&str> = body.split(':').collect();
    let number = |part: &str| {
        (matches!(part.len(), 1 | 2) && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse::<i64>().ok())?
    };
    let (hours, minutes, seconds) = match parts.as_slice() {
        [all] if all.len() == 4 => (number(all.get(..2)?)?, number(all.get(2..)?)?, 0),
        [all] if all.len() == 6 => (number(all.get(..2)?)?, number(all.get(2..4)?)?, number(all.get(4..)?)?),
        [hours] => (number(hours)?, 0, 0),
        [hours, minutes] => (number(hours)?, number(minutes)?, 0),
        [hours, minutes, seconds] => (number(hours)?, number(minutes)?, number(seconds)?),
        _ => return None,
    };
    let total = hours * 3600 + minutes * 60 + seconds;
    let valid = minutes < 60 && seconds < 60 && total <= 18 * 3600;
    valid.then_some(if negative { -total } else { total })
}

/// Java's short names of zones.
fn short_zone(zone: &str) -> &str {
    match zone {
        "ACT" => "Australia/Darwin",
        "AET" => "Australia/Sydney",
        "AGT" => "America/Argentina/Buenos_Aires",
        "ART" => "Africa/Cairo",
        "AST" => "America/Anchorage",
        "BET" => "America/Sao_Paulo",
        "BST" => "Asia/Dhaka",
        "CAT" => "Africa/Harare",
        "CNT" => "America/St_Johns",
        "CST" => "America/Chicago",
        "CTT" => "Asia/Shanghai",
        "EAT" => "Africa/Addis_Ababa",
        "ECT" => "Europe/Paris",
        "IET" => "America/Indiana/Indianapolis",
        "IST" => "Asia/Kolkata",
        "JST" => "Asia/Tokyo",
        "MIT" => "Pacific/Apia",
        "NET" => "Asia/Yerevan",
        "NST" => "Pacific/Auckland",
        "PLT" => "Asia/Karachi",
        "PNT" => "America/Phoenix",
        "PRT" => "America/Puerto_Rico",
        "PST" => "America/Los_Angeles",
        "SST" => "Pacific/Guadalcanal",
        "VST" => "Asia/Ho_Chi_Minh",
        "EST" => "America/Panama",
        "MST" => "America/Phoenix",
        "HST" => "Pacific/Honolulu",
        other => other,
    }
}

/// The offset of a region such as `Europe/Berlin`: of a time that came twice the earlier, of one that was left out that before the gap.
fn region(zone: &str, local: i64) -> Option<i64> {
    if !zone.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let zone = Tz::from_str(zone).ok()?;
    let at = |micros: i64| -> Option<NaiveDateTime> {
        chrono::DateTime::from_timestamp_micros(micros).map(|t| t.naive_utc())
    };
    let found = zone.offset_from_local_datetime(&at(local)?).earliest();
    let offset = match found {
        Some(offset) => offset,
        None => zone.offset_from_local_datetime(&at(local - 10_800 * MICROS_PER_SECOND)?).earliest()?,
    };
    Some(i64::from(offset.fix().local_minus_utc()))
}
