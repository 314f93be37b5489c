//! Spark's patterns of dates and times, `yyyy-MM-dd'T'HH:mm:ss`: parses them, and formats times by them.
//!
//! They are those of Java's `DateTimeFormatter` in the locale US, without those that Spark refuses.

use std::fmt::Write;

use crate::calendar::{Civil, DAY, weekday};

/// A pattern that is ready.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    pub(super) items: Vec<Item>,
}

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Literal(String),
    /// A letter and how often it stands there.
    Field(char, usize),
    /// What is read if it is there.
    Optional(Vec<Item>),
}

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

const LETTERS: &str = "the letters are y M d H m s S, and G D L Q q E F a h k K V z O X x Z";

impl Pattern {
    /// Reads a pattern, which is to read text if `reading`.
    ///
    /// # Errors
    /// Why Spark has no such pattern, in a sentence.
    pub(super) fn parse(pattern: &str, reading: bool) -> Result<Self, String> {
        let mut open: Vec<Vec<Item>> = vec![Vec::new()];
        let mut rest = pattern;
        while let Some(c) = rest.chars().next() {
            let run = rest.chars().take_while(|d| *d == c).count();
            let after = &rest[c.len_utf8()..];
            let mut push = |item: Item| {
                if let Some(last) = open.last_mut() {
                    last.push(item);
                }
            };
            match c {
                '\'' if after.starts_with('\'') => {
                    push(Item::Literal("'".to_owned()));
                    rest = &after[1..];
                }
                '\'' => {
                    let end = after
                        .find('\'')
                        .ok_or_else(|| format!("the pattern '{pattern}' has a quote without an end"))?;
                    push(Item::Literal(after[..end].to_owned()));
                    rest = &after[end + 1..];
                }
                '[' => {
                    open.push(Vec::new());
                    rest = after;
                }
                ']' => {
                    let inner = open
                        .pop()
                        .filter(|_| !open.is_empty())
                        .ok_or_else(|| format!("the pattern '{pattern}' has a ] without a ["))?;
                    if let Some(last) = open.last_mut() {
                        last.push(Item::Optional(inner));
                    }
                    rest = after;
                }
                _ if c.is_ascii_alphabetic() => {
                    check(c, run, reading).map_err(|why| format!("the pattern '{pattern}' {why}"))?;
                    push(Item::Field(c, run));
                    rest = &rest[run..];
                }
                '#' | '{' | '}' => {
                    return Err(format!(
                        "the pattern '{pattern}' has a `{c}`, which is reserved; write it in single quotes"
                    ));
                }
                _ => {
                    push(Item::Literal(c.to_string()));
                    rest = after;
                }
            }
        }
        while open.len() > 1 {
            let inner = open.pop().unwrap_or_default();
            if let Some(last) = open.last_mut() {
                last.push(Item::Optional(inner));
            }
        }
        Ok(Self { items: open.pop().unwrap_or_default() })
    }

    /// A time in microseconds, in UTC, as text.
    pub(super) fn write(&self, micros: i64, out: &mut String) {
        let era = has_era(&self.items);
        let day = micros.div_euclid(DAY);
        let moment = Moment { civil: Civil::of_day(day), day, of_day: micros.rem_euclid(DAY), era };
        self.items.iter().for_each(|item| moment.item(item, out));
    }
}

pub(super) fn has_era(items: &[Item]) -> bool {
    items.iter().any(|item| match item {
        Item::Field(c, _) => *c == 'G',
        Item::Optional(inner) => has_era(inner),
        Item::Literal(_) => false,
    })
}

/// Whether a letter may stand there so often.
fn check(c: char, run: usize, reading: bool) -> Result<(), String> {
    let most = match c {
        'Y' | 'w' | 'W' | 'u' | 'e' | 'c' => {
            return Err(format!(
                "has `{c}`, which counts by weeks; Spark has not had it since version 3. Use extract(YEAROFWEEK ...), weekofyear or dayofweek"
            ));
        }
        'E' | 'F' | 'q' | 'Q' if reading => return Err(format!("has `{c}`, which can be written but not read")),
        'y' => 6,
        'G' | 'M' | 'L' | 'E' | 'Q' | 'q' | 'z' => 4,
        'D' => 3,
        'd' | 'h' | 'H' | 'k' | 'K' | 'm' | 's' => 2,
        'a' | 'F' => 1,
        'S' => 9,
        'X' | 'x' | 'Z' => 5,
        'V' if run == 2 => 2,
        'V' => return Err("has `V`, which is written twice: VV".to_owned()),
        'O' if matches!(run, 1 | 4) => 4,
        'O' => return Err("has `O`, which is written once or four times".to_owned()),
        _ => {
            return Err(format!(
                "has `{c}`, which means nothing to Spark; {LETTERS}, and other text stands in single quotes"
            ));
        }
    };
    if run > most { Err(format!("has `{c}` {run} times, and it means something up to {most} times")) } else { Ok(()) }
}

/// A time taken apart.
struct Moment {
    civil: Civil,
    day: i64,
    of_day: i64,
    era: bool,
}

impl Moment {
    fn item(&self, item: &Item, out: &mut String) {
        match item {
            Item::Literal(text) => out.push_str(text),
            Item::Optional(inner) => inner.iter().for_each(|item| self.item(item, out)),
            Item::Field(c, n) => self.field(*c, *n, out),
        }
    }

    fn field(&self, c: char, n: usize, out: &mut String) {
        let hour = self.of_day / 3_600_000_000;
        let number = |v: i64, out: &mut String| {
            // Writing to a String cannot fail.
            let _ = write!(out, "{v:0n$}");
        };
        match c {
            'y' => self.year(n, out),
            'M' | 'L' => match n {
                1 | 2 => number(self.civil.month, out),
                _ => name(MONTHS[(self.civil.month - 1) as usize], n, out),
            },
            'd' => number(self.civil.day, out),
            'D' => number(self.civil.day_of_year(), out),
            'E' => name(DAYS[weekday(self.day) as usize], n, out),
            'F' => number((self.civil.day - 1) % 7 + 1, out),
            'G' => out.push_str(match (self.civil.year > 0, n) {
                (true, 4) => "Anno Domini",
                (true, _) => "AD",
                (false, 4) => "Before Christ",
                (false, _) => "BC",
            }),
            'Q' | 'q' => {
                let quarter = (self.civil.month - 1) / 3 + 1;
                match n {
                    1 | 2 => number(quarter, out),
                    3 => out.push_str(&format!("Q{quarter}")),
                    _ => out
                        .push_str(["1st quarter", "2nd quarter", "3rd quarter", "4th quarter"][(quarter - 1) as usize]),
                }
            }
            'a' => out.push_str(if hour < 12 { "AM" } else { "PM" }),
            'H' => number(hour, out),
            'k' => number(if hour == 0 { 24 } else { hour }, out),
            'K' => number(hour % 12, out),
            'h' => number(if hour % 12 == 0 { 12 } else { hour % 12 }, out),
            'm' => number(self.of_day / 60_000_000 % 60, out),
            's' => number(self.of_day / 1_000_000 % 60, out),
            'S' => out.push_str(&format!("{:06}000", self.of_day % 1_000_000)[..n.min(9)]),
            'V' => out.push_str("UTC"),
            'z' => out.push_str(if n == 4 { "Coordinated Universal Time" } else { "UTC" }),
            'O' => out.push_str("GMT"),
            'X' => out.push('Z'),
            'x' => out.push_str(["+00", "+0000", "+00:00", "+0000", "+00:00"][(n - 1).min(4)]),
            'Z' => out.push_str(match n {
                4 => "GMT",
                5 => "Z",
                _ => "+0000",
            }),
            _ => {}
        }
    }

    fn year(&self, n: usize, out: &mut String) {
        let year = if self.era && self.civil.year < 1 { 1 - self.civil.year } else { self.civil.year };
        // Writing to a String cannot fail.
        let _ = match n {
            2 => write!(out, "{:02}", year.abs() % 100),
            _ => {
                let sign = match year {
                    ..0 => "-",
                    _ if n >= 4 && year.to_string().len() > n => "+",
                    _ => "",
                };
                write!(out, "{sign}{:0n$}", year.abs())
            }
        };
    }
}

fn name(full: &str, n: usize, out: &mut String) {
    out.push_str(if n == 4 { full } else { &full[..3] });
}
