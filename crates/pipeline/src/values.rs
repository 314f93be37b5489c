//! The values of options, settings and properties: which are valid, and how they are parsed.

use std::collections::BTreeMap;

pub use sluicebox_core::words::{OptionDef, ValueType, option};

use crate::diagnostic::{Diagnostic, nearest};
use crate::span::Span;

/// What a value of the type `of` may be, as the reference says it.
#[must_use]
pub fn describe(of: ValueType) -> String {
    match of {
        ValueType::Text => "text".to_owned(),
        ValueType::Secret => "`${env:NAME}` or `${file:PATH}`".to_owned(),
        ValueType::Bool => "`true` or `false`".to_owned(),
        ValueType::Int(min, u64::MAX) => format!("whole number from {min}"),
        ValueType::Int(min, max) => format!("whole number from {min} to {max}"),
        ValueType::Ratio => "number from `0` to `1`".to_owned(),
        ValueType::Size(_) => "size, as `16 MiB`".to_owned(),
        ValueType::Duration => "duration, as `10 seconds`".to_owned(),
        ValueType::Trigger => "`available-now`, or a duration as `1 second`".to_owned(),
        ValueType::OneOf(words) => listed(words),
        ValueType::Format | ValueType::KeyFormat => "name of a format".to_owned(),
        ValueType::Names => "names with commas between".to_owned(),
        ValueType::Pattern => "regular expression".to_owned(),
        ValueType::Partitions => "JSON, as `{\"orders\": [0, 1]}`".to_owned(),
        ValueType::Offsets => "`earliest`, `latest`, or JSON, as `{\"orders\": {\"0\": 23, \"1\": -2}}`".to_owned(),
        ValueType::Name => "letters, digits, `_`, `-` and `.`".to_owned(),
        ValueType::Path => "path".to_owned(),
        ValueType::Url => "`http://` or `https://` URLs with commas between".to_owned(),
    }
}

/// Whether `value` is of the type `of`; the mistake says what is wrong with the value of `key`. Where a reference stands for it, as in `written`,
/// only the reference is shown: it may stand for anything.
pub(crate) fn check(of: ValueType, key: &str, value: &str, written: &str) -> Result<(), Problem> {
    let wrong = |why: &str, help: String| {
        Err(Problem {
            about_value: true,
            message: format!("`{key}` {why}"),
            label: "this value".into(),
            help: Some(help),
            code: None,
        })
    };
    match of {
        ValueType::Text => check_references(key, value),
        ValueType::Secret => check_secret(key, value),
        ValueType::Bool if boolean(value).is_none() => {
            wrong("is neither true nor false", "write 'true' or 'false'".into())
        }
        ValueType::Int(min, max) => match value.trim().parse::<u64>() {
            Ok(n) if (min..=max).contains(&n) => Ok(()),
            Ok(_) => wrong("is out of range", format!("write a {}", describe(of))),
            Err(_) => wrong("is not a whole number", format!("write a {}", describe(of))),
        },
        ValueType::Ratio if ratio(value).is_none() => {
            wrong("is not a number from 0 to 1", "write a share, as '0.01' for one of a hundred".into())
        }
        ValueType::Size(min) => match size(value) {
            Some(n) if n >= min => Ok(()),
            Some(_) => wrong("is too small", format!("write at least '{}'", in_units(min))),
            None => wrong("is not a size", "write a number and B, KiB, MiB or GiB, as in '16 MiB'".into()),
        },
        ValueType::Duration if duration(value).is_none() => {
            wrong("is not a duration", "write a number and a unit, as in '10 seconds' or '500 ms'".into())
        }
        ValueType::Trigger if trigger(value).is_none() => {
            wrong("is not a trigger", "write 'available-now', or a duration as '1 second'".into())
        }
        ValueType::OneOf(words) => check_word(key, words, value, written),
        ValueType::Names
            if names(value).is_empty()
                || names(value).iter().any(|n| n.is_empty() || n.contains(char::is_whitespace)) =>
        {
            wrong("is not a list of names", "write names with commas between, as in 'orders,payments'".into())
        }
        ValueType::Pattern => match regex::Regex::new(value) {
            Ok(_) => Ok(()),
            Err(_) => wrong(
                "is not a regular expression",
                "write one as in 'sales\\..*'; \\ and ( ) [ ] have a meaning in it".into(),
            ),
        },
        ValueType::Partitions if !is_partitions(value) => {
            wrong("is not JSON of topics and partitions", "write '{\"orders\": [0, 1]}'".into())
        }
        ValueType::Offsets if !is_offsets(value) => {
            let help = match nearest(value, ["earliest", "latest"]) {
                Some(near) => format!("did you mean '{near}'?"),
                None => "write 'earliest', 'latest', or '{\"orders\": {\"0\": 23, \"1\": -2}}', where -2 is earliest and -1 latest".into(),
            };
            wrong("does not say where to start", help)
        }
        ValueType::Name if !is_name(value) => wrong(
            "cannot be the name of a folder",
            "take letters, digits, _, - and . and start with a letter or digit".into(),
        ),
        ValueType::Path if value != written && check_path(key, value).is_err() => wrong(
            &format!("is '{written}', which stands for no path of this machine"),
            "write a path, as in '/etc/ca.pem'".into(),
        ),
        ValueType::Path => check_path(key, value),
        ValueType::Url if has_credentials(written) => Err(plain_secret(key)),
        ValueType::Url if !is_urls(value) => wrong("is not a list of URLs", "write 'http://host:8081'".into()),
        _ => Ok(()),
    }
}

pub(crate) fn listed(words: &[&str]) -> String {
    words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
}

/// Whether `value`, in any case, is one of `words`; the mistake says which there are, and shows what is `written`.
pub(crate) fn check_word(key: &str, words: &[&str], value: &str, written: &str) -> Result<(), Problem> {
    if words.contains(&value.to_lowercase().as_str()) {
        return Ok(());
    }
    let help = match nearest(value, words.iter().copied()) {
        Some(near) => format!("did you mean '{near}'?"),
        None => {
            let quoted: Vec<String> = words.iter().map(|w| format!("'{w}'")).collect();
            format!("it is {}", one_of(&quoted.iter().map(String::as_str).collect::<Vec<_>>()))
        }
    };
    Err(Problem {
        about_value: true,
        message: format!("`{key}` cannot be '{written}'"),
        label: "this value".into(),
        help: Some(help),
        code: None,
    })
}

/// `bytes` in the largest unit that they are a whole number of, as [`size`] reads it.
fn in_units(bytes: u64) -> String {
    let units: [(u32, &str); 3] = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.into_iter().find(|(shift, _)| bytes.trailing_zeros() >= *shift);
    unit.map_or_else(|| format!("{bytes} B"), |(shift, name)| format!("{} {name}", bytes >> shift))
}

/// What is wrong with a key or its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Whether the value is wrong, not the key.
    pub(crate) about_value: bool,
    pub(crate) message: String,
    pub(crate) label: String,
    pub(crate) help: Option<String>,
    /// The kind of mistake, when it is a special one.
    pub(crate) code: Option<&'static str>,
}

impl Problem {
    /// The mistake at its place.
    pub(crate) fn at(self, code: &'static str, span: Span) -> Diagnostic {
        Diagnostic::new(self.code.unwrap_or(code), span, self.message, self.label).with_help_opt(self.help)
    }

    /// The mistake of a key that is not known.
    pub(crate) fn unknown(message: String, help: String) -> Self {
        Self { about_value: false, message, label: "not known".into(), help: Some(help), code: None }
    }
}

/// Whether every `${...}` in the text is a reference that can be resolved later.
fn check_references(key: &str, value: &str) -> Result<(), Problem> {
    let mut rest = value;
    while let Some(start) = rest.find("${") {
        let inner = &rest[start + 2..];
        let body = inner.find('}').map(|end| &inner[..end]);
        if body.and_then(reference).is_none() {
            return Err(Problem {
                about_value: true,
                message: format!("`{key}` has a reference that names no place"),
                label: "this value".into(),
                help: Some("write ${env:NAME} for an environment variable, ${file:PATH} for a file".into()),
                code: None,
            });
        }
        rest = inner;
    }
    Ok(())
}

fn check_secret(key: &str, value: &str) -> Result<(), Problem> {
    check_references(key, value)?;
    if value.contains("${") {
        return Ok(());
    }
    Err(plain_secret(key))
}

fn plain_secret(key: &str) -> Problem {
    Problem {
        about_value: true,
        message: format!("`{key}` holds a secret, and a pipeline's file is no place for one"),
        label: "a secret in plain text".into(),
        help: Some(
            "put it in an environment variable and write '${env:NAME}', or in a file and write '${file:PATH}'".into(),
        ),
        code: Some("plain-secret"),
    }
}

/// Whether `path` is one on this machine, and not a URL.
pub(crate) fn check_path(key: &str, value: &str) -> Result<(), Problem> {
    let wrong = |message: String, help: &str| {
        Err(Problem { about_value: true, message, label: "this value".into(), help: Some(help.into()), code: None })
    };
    if value.trim().is_empty() {
        return wrong(format!("`{key}` is empty"), "write a path, as in 'data/silver/sales'");
    }
    if let Some(start) = shell_start(value.trim()) {
        return wrong(
            format!("`{key}` begins with `{start}`, which a shell would replace, and nobody does here"),
            "write the whole path, as in '/home/me/data'",
        );
    }
    if value.contains('\0') {
        return wrong(format!("`{key}` holds a zero byte"), "write a path, as in 'data/silver/sales'");
    }
    let elsewhere = |scheme: &str| {
        let message = format!("`{key}` is on {scheme}: tables are written on this machine's filesystem only, for now");
        wrong(message, "write a path, as in 'data/silver/sales', and copy finished files from there")
    };
    match value.split_once("://") {
        Some(("file", path)) if path.starts_with('/') => Ok(()),
        Some((scheme, _)) => elsewhere(scheme),
        None => scheme(local_path(value)).map_or(Ok(()), elsewhere),
    }
}

/// What stands before `:/` of a path, or before `:` as the name of a drive.
fn scheme(path: &str) -> Option<&str> {
    let (name, rest) = path.split_once(':')?;
    let word = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c));
    let drive = name.len() == 1 && name.chars().all(|c| c.is_ascii_alphabetic());
    (word && rest.starts_with('/') || drive || name == "file").then_some(name)
}

/// A path without `file://`, or `file:` before an absolute path.
pub(crate) fn local_path(path: &str) -> &str {
    let path = path.trim();
    let after = |start: &str| path.strip_prefix(start).filter(|rest| start == "file://" || rest.starts_with('/'));
    after("file://").or_else(|| after("file:")).unwrap_or(path)
}

/// What a path begins with that a shell would replace: `~`, `~somebody`, `$HOME`.
fn shell_start(path: &str) -> Option<&str> {
    let path = local_path(path);
    let first = path.split('/').next().unwrap_or(path);
    let is_home =
        first.strip_prefix('~').is_some_and(|name| name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c)));
    let is_variable =
        first.strip_prefix('$').is_some_and(|name| name.starts_with(|c: char| c.is_alphabetic() || c == '_'));
    (is_home || is_variable).then_some(first)
}

/// Whether the text can be the name of a folder that every reader shows.
pub(crate) fn is_name(value: &str) -> bool {
    value.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
        && value.chars().next().is_some_and(char::is_alphanumeric)
        && value.len() <= 200
}

/// `true` or `false`, in any case.
#[must_use]
pub fn boolean(value: &str) -> Option<bool> {
    match value.trim().to_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// A share, from 0 to 1.
#[must_use]
pub fn ratio(value: &str) -> Option<f64> {
    value.trim().parse().ok().filter(|share| (0.0..=1.0).contains(share))
}

/// A size in bytes. As in Spark, every unit is a power of 1024, `MB` as well as `MiB`; without unit, bytes.
#[must_use]
pub fn size(value: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(value)?;
    let shift = match unit.as_str() {
        "" | "b" | "byte" | "bytes" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    number.checked_mul(1_u64 << shift)
}

/// A duration in microseconds; the unit must be there.
#[must_use]
pub fn duration(value: &str) -> Option<i64> {
    let (number, unit) = number_and_unit(value)?;
    let unit_micros: i64 = match unit.as_str() {
        "us" | "microsecond" | "microseconds" => 1,
        "ms" | "millisecond" | "milliseconds" => 1_000,
        "s" | "sec" | "second" | "seconds" => 1_000_000,
        "m" | "min" | "minute" | "minutes" => 60_000_000,
        "h" | "hour" | "hours" => 3_600_000_000,
        "d" | "day" | "days" => 86_400_000_000,
        _ => return None,
    };
    i64::try_from(number).ok()?.checked_mul(unit_micros)
}

fn number_and_unit(value: &str) -> Option<(u64, String)> {
    let lower = value.trim().to_lowercase();
    let split = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let number = lower[..split].parse().ok()?;
    Some((number, lower[split..].trim().to_owned()))
}

/// When batches start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// What is there at the start is read, in limited batches, then the run ends.
    AvailableNow,
    /// At most one batch in this many microseconds once the run has caught up; 0 never waits.
    Every(i64),
}

/// A trigger, as `--trigger` and `SET 'trigger'` take it.
#[must_use]
pub fn trigger(value: &str) -> Option<Trigger> {
    let word = value.trim().to_lowercase();
    if ["available-now", "availablenow", "available_now"].contains(&word.as_str()) {
        return Some(Trigger::AvailableNow);
    }
    duration(value).map(Trigger::Every)
}

/// Names with commas between, without the white space around them.
#[must_use]
pub fn names(value: &str) -> Vec<&str> {
    if value.trim().is_empty() { Vec::new() } else { value.split(',').map(str::trim).collect() }
}

/// Whether the text is topics and their partitions, as `{"topic": [0, 1]}`.
fn is_partitions(value: &str) -> bool {
    serde_json::from_str::<BTreeMap<String, Vec<i32>>>(value)
        .is_ok_and(|map| !map.is_empty() && map.values().all(|list| !list.is_empty() && list.iter().all(|p| *p >= 0)))
}

/// Whether the text says where to start: `earliest`, `latest`, or `{"topic": {"0": 23, "1": -2}}`.
fn is_offsets(value: &str) -> bool {
    if ["earliest", "latest"].contains(&value.trim().to_lowercase().as_str()) {
        return true;
    }
    let sound =
        |parts: &BTreeMap<i32, i64>| !parts.is_empty() && parts.iter().all(|(p, offset)| *p >= 0 && *offset >= -2);
    serde_json::from_str::<BTreeMap<String, BTreeMap<i32, i64>>>(value)
        .is_ok_and(|map| !map.is_empty() && map.values().all(sound))
}

/// Whether the text is URLs of HTTP servers with commas between.
fn is_urls(value: &str) -> bool {
    value.split(',').map(str::trim).all(|url| {
        let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        host.is_some_and(|h| !h.is_empty() && !h.starts_with('/') && !h.contains(char::is_whitespace))
    })
}

/// Whether the text holds a URL with a user, a password or a token in it, in plain.
pub(crate) fn has_credentials(value: &str) -> bool {
    value.split(',').filter_map(|url| url.split_once("://")).any(|(_, rest)| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority.rsplit_once('@').is_some_and(|(user, _)| !user.is_empty() && !user.contains("${"))
    })
}

/// Why a value cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// The environment has no such variable.
    NotSet(String),
    /// `${...}` names none.
    NoReference,
}

/// The text with each `${env:NAME}` in it replaced by what `env` has for it.
pub(crate) fn resolve_env(value: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, Unresolved> {
    let mut rest = value;
    while let Some((_, tail)) = rest.split_once("${") {
        let body = tail.split_once('}').map(|(body, _)| body);
        if !body.and_then(reference).is_some_and(|r| matches!(r, Reference::Env(_))) {
            return Err(Unresolved::NoReference);
        }
        rest = tail;
    }
    resolve(value, |reference| match reference {
        Reference::Env(name) => env(name).ok_or_else(|| Unresolved::NotSet(name.to_owned())),
        Reference::File(_) => Err(Unresolved::NoReference),
    })
}

/// What a reference in a value stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference<'a> {
    /// `${env:NAME}`: the value of an environment variable.
    Env(&'a str),
    /// `${file:PATH}`: what a file holds.
    File(&'a str),
}

/// The text with each `${env:NAME}` and `${file:PATH}` in it replaced by what `lookup` gives for it. This crate does no
/// I/O, so the caller reads; a value that the parser checked has no other `${`.
///
/// # Errors
/// The first one of `lookup`.
pub fn resolve<E>(value: &str, mut lookup: impl FnMut(Reference<'_>) -> Result<String, E>) -> Result<String, E> {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, tail)) = rest.split_once("${") {
        out.push_str(before);
        let reference = tail.split_once('}').and_then(|(body, after)| Some((reference(body)?, after)));
        match reference {
            Some((reference, after)) => {
                out.push_str(&lookup(reference)?);
                rest = after;
            }
            None => {
                out.push_str("${");
                rest = tail;
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn reference(body: &str) -> Option<Reference<'_>> {
    let (kind, name) =
        body.split_once(':').map(|(kind, name)| (kind, name.trim())).filter(|(_, name)| !name.is_empty())?;
    match kind {
        "env" => Some(Reference::Env(name)),
        "file" => Some(Reference::File(name)),
        _ => None,
    }
}

/// `A`, `A or B`, `A, B or C`.
pub(crate) fn one_of(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}
