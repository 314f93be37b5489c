//! Dates and times in JSON text.

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat};

/// Days since 1970 of `2024`, `2024-2` or `2024-02-29`, with or without a time behind.
pub(super) fn date(text: &str) -> Option<i32> {
    let (date, _) = date_and_rest(text.trim())?;
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

/// Microseconds since 1970 of `2024-02-29T12:34:56.789+02:00` and its shorter forms; without a zone it is UTC.
pub(super) fn timestamp(text: &str) -> Option<i64> {
    let (date, rest) = date_and_rest(text.trim())?;
    let (time, zone) = match rest.strip_prefix(['T', ' ']) {
        None | Some("") => (NaiveTime::MIN, ""),
        Some(rest) => {
            let end = rest.find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.')).unwrap_or(rest.len());
            (time(&rest[..end])?, rest[end..].trim_start())
        }
    };
    let micros = date.and_time(time).and_utc().timestamp_micros();
    micros.checked_sub(offset(zone)?.checked_mul(1_000_000)?)
}

fn date_and_rest(text: &str) -> Option<(NaiveDate, &str)> {
    let end = text.find(['T', ' ']).unwrap_or(text.len());
    let (date, rest) = text.split_at(end);
    let mut parts = date.splitn(3, '-').map(|part| {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        digits.then_some(part)
    });
    let year = parts.next()?.filter(|y| (4..=6).contains(&y.len()))?.parse().ok()?;
    let mut two = || -> Option<u32> {
        match parts.next() {
            None => Some(1),
            Some(part) => part?.parse().ok(),
        }
    };
    let (month, day) = (two()?, two()?);
    Some((NaiveDate::from_ymd_opt(year, month, day)?, rest))
}

fn time(text: &str) -> Option<NaiveTime> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let parts = clock.split(':').map(|p| p.parse::<u32>().ok()).collect::<Option<Vec<_>>>()?;
    let digits: String = fraction.chars().take(6).collect();
    let micros = format!("{digits:0<6}").parse().ok()?;
    match parts.as_slice() {
        [h] if fraction.is_empty() => NaiveTime::from_hms_opt(*h, 0, 0),
        [h, m] if fraction.is_empty() => NaiveTime::from_hms_opt(*h, *m, 0),
        [h, m, s] => NaiveTime::from_hms_micro_opt(*h, *m, *s, micros),
        _ => None,
    }
}

/// Seconds east of UTC.
fn offset(zone: &str) -> Option<i64> {
    let zone = ["UTC", "GMT", "UT"].iter().find_map(|name| zone.strip_prefix(name)).unwrap_or(zone);
    if zone.is_empty() || zone == "Z" {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits = zone.strip_prefix(['+', '-'])?;
    let parts: Vec<i64> = if digits.contains(':') {
        digits.split(':').map(|p| p.parse().ok()).collect::<Option<_>>()?
    } else {
        let pairs = digits.as_bytes().chunks(2).map(|c| std::str::from_utf8(c).ok()?.parse().ok());
        pairs.collect::<Option<_>>()?
    };
    let seconds = parts.iter().chain(&[0, 0]).take(3).fold(0, |sum, part| sum * 60 + part);
    (parts.len() <= 3 && seconds <= 18 * 3600).then_some(sign * seconds)
}

/// `2024-02-29`.
pub(super) fn date_text(days: i32) -> String {
    let epoch = NaiveDate::default();
    let date = epoch.checked_add_signed(chrono::TimeDelta::days(i64::from(days)));
    date.map_or_else(|| days.to_string(), |d| d.format("%Y-%m-%d").to_string())
}

/// `2024-02-29T12:34:56.789Z`, or without the Z where there is no zone.
pub(super) fn timestamp_text(micros: i64, zoned: bool) -> String {
    let Some(time) = DateTime::from_timestamp_micros(micros) else { return micros.to_string() };
    let text = time.to_rfc3339_opts(SecondsFormat::Millis, true);
    if zoned { text } else { text.trim_end_matches('Z').to_owned() }
}
