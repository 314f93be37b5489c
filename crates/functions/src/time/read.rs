//! Parses times by a pattern, as strictly as Spark.

use super::pattern::{Item, MONTHS, Pattern, has_era};
use crate::calendar::{Civil, DAY, SECOND, Zone, days_of_month, is_leap};

/// What a text said so far.
#[derive(Debug, Clone, Copy, Default)]
struct Fields {
    era: Option<i64>,
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    half: Option<i64>,
    /// The hour of the day.
    hour: Option<i64>,
    /// The hour of half a day.
    half_hour: Option<i64>,
    minute: Option<i64>,
    second: Option<i64>,
    micros: Option<i64>,
    zone: Option<Zone>,
}

impl Pattern {
    /// Microseconds of a time written by this pattern; in UTC if `zoned`, else those of the clock on the wall. What the pattern does not have
    /// is that of 1970-01-01 00:00:00. None if the text is another one.
    pub(super) fn read(&self, text: &str, zoned: bool) -> Option<i64> {
        let mut fields = Fields::default();
        let rest = items(&self.items, text, &mut fields)?;
        if !rest.is_empty() {
            return None;
        }
        fields.resolve(has_era(&self.items), zoned)
    }
}

impl Fields {
    fn resolve(&self, era: bool, zoned: bool) -> Option<i64> {
        let year = match (self.year, era.then_some(self.era).flatten()) {
            (Some(year), Some(0)) => 1 - year,
            (Some(year), _) => year,
            (None, _) => 1970,
        };
        let days = match (self.day_of_year, self.month, self.day) {
            (Some(day), None, None) => {
                let length = if is_leap(year) { 366 } else { 365 };
                (1..=length).contains(&day).then(|| Civil { year, month: 1, day: 1 }.days() + day - 1)?
            }
            (_, month, day) => {
                let (month, day) = (month.unwrap_or(1), day.unwrap_or(1));
                let good = (1..=12).contains(&month) && (1..=days_of_month(year, month)).contains(&day);
                good.then(|| Civil { year, month, day }.days())?
            }
        };
        let within = |value: Option<i64>, most: i64| value.map_or(Some(0), |v| (0..=most).contains(&v).then_some(v));
        let half_hour = self.half_hour.map(|h| (0..12).contains(&h).then_some(h));
        let hour = match (self.hour, half_hour, self.half) {
            (Some(hour), ..) => within(Some(hour), 23)?,
            (None, Some(hour), half) => hour? + 12 * half.unwrap_or(0),
            (None, None, half) => 12 * half.unwrap_or(0),
        };
        let (minute, second) = (within(self.minute, 59)?, within(self.second, 59)?);
        let local = days
            .checked_mul(DAY)?
            .checked_add((hour * 3600 + minute * 60 + second) * SECOND + self.micros.unwrap_or(0))?;
        match self.zone {
            Some(zone) if zoned => zone.to_utc(local),
            _ => Some(local),
        }
    }
}

/// Reads `items`; what is left of `text`.
fn items<'t>(items: &[Item], text: &'t str, fields: &mut Fields) -> Option<&'t str> {
    let mut rest = text;
    for (at, item) in items.iter().enumerate() {
        match item {
            Item::Literal(literal) => {
                let head = rest.get(..literal.len())?;
                if head != literal && !head.eq_ignore_ascii_case(literal) {
                    return None;
                }
                rest = &rest[literal.len()..];
            }
            Item::Optional(inner) => {
                let mut tried = *fields;
                if let Some(left) = self::items(inner, rest, &mut tried) {
                    *fields = tried;
                    rest = left;
                }
            }
            Item::Field(c, n) => rest = field(*c, *n, rest, following_digits(&items[at + 1..]), fields)?,
        }
    }
    Some(rest)
}

/// How many digits the fields of a fixed width take that follow without anything between.
fn following_digits(items: &[Item]) -> usize {
    let width = |item: &Item| match item {
        Item::Field('D', 3) => Some(3),
        Item::Field('M' | 'd' | 'h' | 'H' | 'k' | 'K' | 'm' | 's', 2) | Item::Field('y', 2) => Some(2),
        _ => None,
    };
    items.iter().map_while(width).sum()
}

/// A number of `least` to `most` digits, of which the last `reserved` belong to what follows.
fn number(text: &str, least: usize, most: usize, reserved: usize) -> Option<(i64, &str)> {
    let digits = text.bytes().take(most.saturating_add(reserved)).take_while(u8::is_ascii_digit).count();
    let n = if reserved > 0 { digits.saturating_sub(reserved).max(least) } else { digits };
    if n < least || n > digits || n == 0 {
        return None;
    }
    Some((text[..n].parse().ok()?, &text[n..]))
}

fn word<'t>(text: &'t str, words: &[&str]) -> Option<(usize, &'t str)> {
    let is_head = |word: &&str| text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    // The longest, for one name may begin with another.
    let (at, word) = words.iter().enumerate().filter(|(_, word)| is_head(word)).max_by_key(|(_, word)| word.len())?;
    Some((at, &text[word.len()..]))
}

fn set(place: &mut Option<i64>, value: i64) -> Option<()> {
    if place.is_some_and(|before| before != value) {
        return None;
    }
    *place = Some(value);
    Some(())
}

fn field<'t>(c: char, n: usize, text: &'t str, reserved: usize, fields: &mut Fields) -> Option<&'t str> {
    let plain = |text: &'t str| match n {
        1 => number(text, 1, 19, reserved),
        _ => number(text, n, n, 0),
    };
    match c {
        'y' => year(n, text, reserved, fields),
        'M' | 'L' if n > 2 => {
            let short: Vec<&str> = MONTHS.iter().map(|m| &m[..3]).collect();
            let (at, rest) = word(text, if n == 4 { &MONTHS } else { &short })?;
            set(&mut fields.month, at as i64 + 1)?;
            Some(rest)
        }
        'G' => {
            let (era, rest) = word(text, if n == 4 { &["Before Christ", "Anno Domini"] } else { &["BC", "AD"] })?;
            fields.era = Some(era as i64);
            Some(rest)
        }
        'a' => {
            let (half, rest) = word(text, &["AM", "PM"])?;
            fields.half = Some(half as i64);
            Some(rest)
        }
        'S' => {
            let digits = text.bytes().take(n).take_while(u8::is_ascii_digit).count();
            if digits == 0 {
                return None;
            }
            let kept = &text.as_bytes()[..digits];
            fields.micros = Some((0..6).fold(0, |v, i| v * 10 + kept.get(i).map_or(0, |b| i64::from(b - b'0'))));
            Some(&text[digits..])
        }
        'V' | 'z' | 'O' | 'X' | 'x' | 'Z' => zone(c, n, text, fields),
        _ => {
            let (value, rest) = if c == 'D' && n > 1 { number(text, n, 3, 0)? } else { plain(text)? };
            match c {
                'M' | 'L' => set(&mut fields.month, value)?,
                'd' => set(&mut fields.day, value)?,
                'D' => set(&mut fields.day_of_year, value)?,
                'H' => set(&mut fields.hour, value)?,
                'k' => set(&mut fields.hour, if (1..=24).contains(&value) { value % 24 } else { -1 })?,
                'K' => set(&mut fields.half_hour, value)?,
                'h' => set(&mut fields.half_hour, if (1..=12).contains(&value) { value % 12 } else { -1 })?,
                'm' => set(&mut fields.minute, value)?,
                's' => set(&mut fields.second, value)?,
                _ => return None,
            }
            Some(rest)
        }
    }
}

fn year<'t>(n: usize, text: &'t str, reserved: usize, fields: &mut Fields) -> Option<&'t str> {
    if n == 2 {
        let (value, rest) = number(text, 2, 2, 0)?;
        set(&mut fields.year, 2000 + value)?;
        return Some(rest);
    }
    let (sign, body) = match text.strip_prefix('-') {
        Some(body) => (-1, body),
        None => (1, text.strip_prefix('+').filter(|_| n >= 4).unwrap_or(text)),
    };
    let plus = text.starts_with('+');
    let (value, rest) = number(body, n, 19, reserved)?;
    let digits = body.len() - rest.len();
    // More digits than letters need a sign, and a plus needs more digits.
    if n >= 4 && sign > 0 && (digits > n) != plus {
        return None;
    }
    // The calendar ends somewhere.
    (value < 1_000_000).then_some(())?;
    set(&mut fields.year, sign * value)?;
    Some(rest)
}

fn zone<'t>(c: char, n: usize, text: &'t str, fields: &mut Fields) -> Option<&'t str> {
    let end = match c {
        'V' | 'z' => text
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '+' | '-' | ':')))
            .unwrap_or(text.len()),
        'O' => text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | ':'))).unwrap_or(text.len()),
        'Z' if n == 4 => {
            text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | ':'))).unwrap_or(text.len())
        }
        _ if text.starts_with('Z') && (c == 'X' || (c == 'Z' && n == 5)) => 1,
        _ => {
            let colons = matches!((c, n), ('X' | 'x', 3 | 5) | ('Z', 5));
            let parts: &[usize] = match (c, n) {
                ('X' | 'x', 1) => &[2, 2],
                ('X' | 'x', 4 | 5) | ('Z', 5) => &[2, 2, 2],
                _ => &[2, 2],
            };
            let needed = if matches!((c, n), ('X' | 'x', 1)) { 1 } else { 2 };
            offset_end(text, parts, needed, colons)?
        }
    };
    fields.zone = Some(Zone::parse(text.get(..end)?)?);
    Some(&text[end..])
}

/// Where an offset such as `+01:30` ends, of which the first `needed` parts must be there.
fn offset_end(text: &str, parts: &[usize], needed: usize, colons: bool) -> Option<usize> {
    let bytes = text.as_bytes();
    if !matches!(bytes.first()?, b'+' | b'-') {
        return None;
    }
    let mut end = 1;
    for (at, width) in parts.iter().enumerate() {
        let start = if at > 0 && colons && bytes.get(end) == Some(&b':') { end + 1 } else { end };
        let is_there = bytes.get(start..start + width).is_some_and(|b| b.iter().all(u8::is_ascii_digit))
            && (at == 0 || !colons || start > end);
        if !is_there {
            return (at >= needed).then_some(end);
        }
        end = start + width;
    }
    Some(end)
}
