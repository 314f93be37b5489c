//! Evaluates paths such as `$.a[0].b`.

use super::parse::Json;
use super::write::{json, plain};

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// `.name` or `['name']`.
    Name(String),
    /// `[3]`.
    Index(usize),
    /// `[*]`.
    All,
    /// `.*`, which finds nothing.
    Names,
}

/// The steps of `path`; None for what is no path, which finds nothing.
pub(super) fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(".*").or_else(|| rest.strip_prefix("['*']")) {
            steps.push(Step::Names);
            rest = after;
        } else if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            steps.push(Step::Name((!name.is_empty()).then(|| name.to_owned())?));
            rest = after;
        } else if let Some(after) = rest.strip_prefix("['") {
            let end = after.find("']")?;
            let name = &after[..end];
            if name.is_empty() || name.contains(['\'', '?']) {
                return None;
            }
            steps.push(Step::Name(name.to_owned()));
            rest = &after[end + 2..];
        } else if let Some(after) = rest.strip_prefix('[') {
            let end = after.find(']')?;
            let inside = &after[..end];
            let digits = !inside.is_empty() && inside.bytes().all(|b| b.is_ascii_digit());
            steps.push(match inside {
                "*" => Step::All,
                _ if digits => Step::Index(inside.parse().ok()?),
                _ => return None,
            });
            rest = &after[end + 1..];
        } else {
            return None;
        }
    }
    Some(steps)
}

/// How what is found is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// A text without its quotes.
    Raw,
    Quoted,
    /// Quoted, and arrays without their brackets.
    Flat,
}

/// What is found, as text.
pub(super) fn find(value: &Json<'_>, steps: &[Step]) -> Option<String> {
    let mut found = Vec::new();
    walk(value, steps, Style::Raw, &mut found).then(|| found.concat())
}

/// [`walk`] of every one of `items`; whether anything was found in one of them.
fn each(items: &[Json<'_>], steps: &[Step], style: Style, found: &mut Vec<String>) -> bool {
    let mut any = false;
    for item in items {
        any |= walk(item, steps, style, found);
    }
    any
}

/// Puts what is found behind `found`, an entry for each value that a list would have; whether anything was found.
fn walk(value: &Json<'_>, steps: &[Step], style: Style, found: &mut Vec<String>) -> bool {
    match (value, steps) {
        (Json::Array(items), []) if style == Style::Flat => each(items, &[], style, found),
        (value, []) => {
            found.push(if style == Style::Raw {
                plain(value)
            } else {
                let mut text = String::new();
                json(&mut text, value);
                text
            });
            true
        }
        (Json::Object(fields), [Step::Name(name), rest @ ..]) => {
            let mut named = fields.iter().filter(|(n, v)| n == name && *v != Json::Null);
            named.any(|(_, v)| walk(v, rest, style, found))
        }
        (Json::Array(items), [Step::All, Step::All, rest @ ..]) => {
            let mut inside = Vec::new();
            let any = each(items, rest, Style::Flat, &mut inside);
            found.push(format!("[{}]", inside.join(",")));
            any
        }
        (Json::Array(items), [Step::All, rest @ ..]) => {
            let within = if style == Style::Raw { Style::Quoted } else { style };
            let mut inside = Vec::new();
            let hits = items.iter().filter(|item| walk(item, rest, within, &mut inside)).count();
            // A single hit stands without brackets, but within an array.
            match (style, hits) {
                (Style::Quoted, _) => found.push(format!("[{}]", inside.join(","))),
                (_, 0) => {}
                (_, 1) => found.push(inside.join(",")),
                _ => found.push(format!("[{}]", inside.join(","))),
            }
            hits > 0
        }
        (Json::Array(items), [Step::Index(at), rest @ ..]) => {
            let style = if matches!(rest, [Step::All, ..]) { Style::Quoted } else { style };
            items.get(*at).is_some_and(|item| walk(item, rest, style, found))
        }
        _ => false,
    }
}
