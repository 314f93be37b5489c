//! The proleptic Gregorian calendar over the range of 64 bits, and time zones.

use chrono::{LocalResult, NaiveDateTime, Offset, TimeZone};

/// Microseconds of a day.
pub(crate) const DAY: i64 = 86_400_000_000;
/// Microseconds of a second.
pub(crate) const SECOND: i64 = 1_000_000;

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    /// From 1.
    pub(crate) month: i64,
    /// From 1.
    pub(crate) day: i64,
}

impl Civil {
    /// The day that is `day` days after 1970-01-01.
    pub(crate) fn of_day(day: i64) -> Self {
        let z = day + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        Self { year: yoe + era * 400 + i64::from(month <= 2), month, day: doy - (153 * mp + 2) / 5 + 1 }
    }

    /// Days since 1970-01-01.
    pub(crate) fn days(self) -> i64 {
        let year = if self.month <= 2 { self.year - 1 } else { self.year };
        let era = year.div_euclid(400);
        let yoe = year.rem_euclid(400);
        let mp = (self.month + 9) % 12;
        let doy = (153 * mp + 2) / 5 + self.day - 1;
        era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
    }

    /// The day, if the calendar has it.
    pub(crate) fn checked(year: i64, month: i64, day: i64) -> Option<Self> {
        ((1..=12).contains(&month) && (1..=days_of_month(year, month)).contains(&day)).then_some(Self {
            year,
            month,
            day,
        })
    }

    /// The same day of another month; the last one where it has fewer days.
    pub(crate) fn plus_months(self, months: i64) -> Self {
        let all = self.year * 12 + self.month - 1 + months;
        let (year, month) = (all.div_euclid(12), all.rem_euclid(12) + 1);
        Self { year, month, day: self.day.min(days_of_month(year, month)) }
    }

    /// The day of the year, from 1.
    pub(crate) fn day_of_year(self) -> i64 {
        self.days() - Self { month: 1, day: 1, ..self }.days() + 1
    }
}

/// Whether a year has 366 days.
pub(crate) const fn is_leap(year: i64) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

/// How many days a month has.
pub(crate) const fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The day of the week: Monday is 0.
pub(crate) const fn weekday(day: i64) -> i64 {
    (day + 3).rem_euclid(7)
}

/// The year and the week of ISO 8601.
pub(crate) fn iso_week(day: i64) -> (i64, i64) {
    let thursday = day - weekday(day) + 3;
    let civil = Civil::of_day(thursday);
    (civil.year, (civil.day_of_year() - 1) / 7 + 1)
}

/// A time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// Seconds east of UTC.
    Fixed(i64),
    /// One of the time zone database.
    Named(chrono_tz::Tz),
}

/// Names that Java knows and the time zone database does not.
const SHORT: [(&str, &str); 28] = [
    ("ACT", "Australia/Darwin"),
    ("AET", "Australia/Sydney"),
    ("AGT", "America/Argentina/Buenos_Aires"),
    ("ART", "Africa/Cairo"),
    ("AST", "America/Anchorage"),
    ("BET", "America/Sao_Paulo"),
    ("BST", "Asia/Dhaka"),
    ("CAT", "Africa/Harare"),
    ("CNT", "America/St_Johns"),
    ("CST", "America/Chicago"),
    ("CTT", "Asia/Shanghai"),
    ("EAT", "Africa/Addis_Ababa"),
    ("ECT", "Europe/Paris"),
    ("IET", "America/Indiana/Indianapolis"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("MIT", "Pacific/Apia"),
    ("NET", "Asia/Yerevan"),
    ("NST", "Pacific/Auckland"),
    ("PLT", "Asia/Karachi"),
    ("PNT", "America/Phoenix"),
    ("PRT", "America/Puerto_Rico"),
    ("PST", "America/Los_Angeles"),
    ("SST", "Pacific/Guadalcanal"),
    ("VST", "Asia/Ho_Chi_Minh"),
    ("EST", "-05:00"),
    ("MST", "-07:00"),
    ("HST", "-10:00"),
];

impl Zone {
    /// The zone that Spark reads in `name`: `Europe/Berlin`, `+05:30`, `GMT+1`, `Z`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        if let Some((_, long)) = SHORT.iter().find(|(short, _)| *short == name) {
            return Self::parse(long);
        }
        if matches!(name, "Z" | "UTC" | "GMT" | "UT") {
            return Some(Self::Fixed(0));
        }
        let offset = ["UTC", "GMT", "UT"].iter().find_map(|p| name.strip_prefix(p)).unwrap_or(name);
        if offset.starts_with(['+', '-']) {
            return offset_seconds(offset).map(Self::Fixed);
        }
        name.parse().ok().map(Self::Named)
    }

    /// Microseconds by which local time is ahead at `micros`, a time in UTC.
    #[must_use]
    pub fn ahead_at(self, micros: i64) -> i64 {
        match self {
            Self::Fixed(seconds) => seconds * SECOND,
            Self::Named(zone) => naive(micros)
                .map_or(0, |at| i64::from(zone.offset_from_utc_datetime(&at).fix().local_minus_utc()) * SECOND),
        }
    }

    /// The time in UTC at which clocks there show `local`, both in microseconds. In a gap, clocks are put forward by its length; of two
    /// times, the earlier. `None` where 64 bits do not hold it.
    #[must_use]
    pub fn to_utc(self, local: i64) -> Option<i64> {
        let ahead = match self {
            Self::Fixed(seconds) => seconds * SECOND,
            Self::Named(zone) => match naive(local).map(|at| zone.offset_from_local_datetime(&at)) {
                None => 0,
                Some(LocalResult::Single(offset) | LocalResult::Ambiguous(offset, _)) => {
                    i64::from(offset.fix().local_minus_utc()) * SECOND
                }
                // The offset before the gap, which is a whole day where a zone changed sides of the date line.
                Some(LocalResult::None) => self.ahead_at(local.saturating_sub(DAY)),
            },
        };
        local.checked_sub(ahead)
    }
}

impl std::fmt::Display for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(seconds) => {
                let (sign, ahead) = (if *seconds < 0 { '-' } else { '+' }, seconds.abs());
                write!(f, "{sign}{:02}:{:02}", ahead / 3600, ahead / 60 % 60)?;
                if ahead % 60 == 0 { Ok(()) } else { write!(f, ":{:02}", ahead % 60) }
            }
            Self::Named(zone) => f.write_str(zone.name()),
        }
    }
}

/// Seconds of `+1`, `+01`, `+1:3`, `+01:30`, `+0130`, `+1:30:15`, `+013015`; at most 18 hours.
fn offset_seconds(text: &str) -> Option<i64> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let body = text.get(1..)?;
    let number = |s: &str, least: usize| {
        let good = (least..=2).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit());
        good.then(|| s.parse::<i64>().ok())?
    };
    let parts: Vec<&str> = match body.len() {
        4 if body.is_ascii() && !body.contains(':') => vec![&body[..2], &body[2..]],
        6 if body.is_ascii() && !body.contains(':') => vec![&body[..2], &body[2..4], &body[4..]],
        _ => body.split(':').collect(),
    };
    let (hours, minutes, seconds) = match parts.as_slice() {
        [hours] => (number(hours, 1)?, 0, 0),
        [hours, minutes] => (number(hours, 1)?, number(minutes, 1)?, 0),
        // Spark fills up minutes of one digit only where they are the last.
        [hours, minutes, seconds] => (number(hours, 1)?, number(minutes, 2)?, number(seconds, 2)?),
        _ => return None,
    };
    let all = hours * 3600 + minutes * 60 + seconds;
    (minutes < 60 && seconds < 60 && all <= 18 * 3600).then_some(sign * all)
}

/// `micros` as the time zone database takes it; past its tables, which end in 2100, a year that has the same days.
fn naive(micros: i64) -> Option<NaiveDateTime> {
    let mut day = micros.div_euclid(DAY);
    let civil = Civil::of_day(day);
    if civil.year > 2099 {
        let first = |year| weekday(Civil { year, month: 1, day: 1 }.days());
        let same =
            (2072..2100).find(|year| is_leap(*year) == is_leap(civil.year) && first(*year) == first(civil.year))?;
        day = Civil { year: same, ..civil }.days();
    }
    let micros = day * DAY + micros.rem_euclid(DAY);
    chrono::DateTime::from_timestamp_micros(micros).map(|at| at.naive_utc())
}
