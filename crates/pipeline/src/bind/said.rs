//! Turns DataFusion's errors into the words of SQL: reason, remedy and code, without DataFusion's internal names.

use arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
pub(super) use sluicebox_functions::types::name as type_name;

use super::ours;
use super::rules::rule;

/// An error in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    /// The kind of mistake.
    pub(super) code: &'static str,
    /// What is wrong, in one line that starts in lower case.
    pub(super) message: String,
    /// Why.
    pub(super) note: Option<String>,
    /// The way on.
    pub(super) help: Option<String>,
}

/// The words of an error.
pub(super) fn of(error: &DataFusionError) -> Said {
    if matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)) {
        return Said::new("out-of-memory", "it takes more memory at once than 'query.memory' allows");
    }
    text(&error.diagnostic().map_or_else(|| plain(error), |d| d.message.clone()))
}

/// The words for a text of DataFusion.
pub(super) fn text(raw: &str) -> Said {
    // What takes any arguments says itself what is wrong with them.
    let raw = if raw.contains("(UserDefined)") { raw.split(" No function matches").next().unwrap_or(raw) } else { raw };
    let known = ours::operators(raw).or_else(|| rule(&types(raw))).or_else(|| ours::functions(raw));
    known.unwrap_or_else(|| Said::new("query", words(raw)))
}

impl Said {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), note: None, help: None }
    }

    pub(super) fn note(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }

    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Message and note in one line.
    pub(super) fn line(&self) -> String {
        match &self.note {
            Some(note) => format!("{}: {note}", self.message),
            None => self.message.clone(),
        }
    }
}

/// An error's message without DataFusion's names for kinds of errors and rules.
pub(super) fn plain(error: &DataFusionError) -> String {
    let text = error.find_root().strip_backtrace();
    let text = text.split("\n\nbacktrace").next().unwrap_or_default();
    let text = text.split("\nThis issue was likely caused by a bug").next().unwrap_or(text);
    let text = text.split("This issue was likely caused by a bug").next().unwrap_or(text);
    let mut text = text.trim();
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        text = rest.trim_start();
    }
    // A function of ours says itself what is wrong with its call.
    if let Some((_, said)) = text.split_once("user-defined coercion failed with: Error during planning: ") {
        return said.trim_end_matches('.').to_owned();
    }
    let text = text.split(" No function matches the given name").next().unwrap_or(text);
    text.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ")
}

const PREFIXES: [&str; 15] = [
    "Error during planning: ",
    "This feature is not implemented: ",
    "Execution error: ",
    "Internal error: ",
    "Schema error: ",
    "Invalid or Unsupported Configuration: ",
    "SQL error: ",
    "Arrow error: ",
    "Cast error: ",
    "Parser error: ",
    "Compute error: ",
    "Invalid argument error: ",
    "Optimizer rule",
    "External error: ",
    "type_coercion; caused by",
];

/// Text of DataFusion with the names of types as SQL has them, in one line that starts in lower case.
pub(super) fn words(text: &str) -> String {
    let text = lower_first(types(text).trim().trim_end_matches('.'));
    text.replace("This feature is not implemented: ", "").replace("Error during planning: ", "").replace(
        "failed to unify argument types of make_array: ",
        "the elements of an array are of one type, and these are of ",
    )
}

/// `text` with SQL's names in place of Arrow's.
pub(super) fn types(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_uppercase()) {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let inside = out.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        if let Some((value, len)) = (!inside).then(|| leading_literal(from)).flatten() {
            out.push_str(&value);
            rest = &from[len..];
            continue;
        }
        match (!inside).then(|| leading_type(from)).flatten() {
            Some((data_type, len)) => {
                out.push_str(&type_name(&data_type));
                rest = &from[len..];
            }
            None => {
                let end = from.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(from.len());
                out.push_str(&from[..end.max(1)]);
                rest = &from[end.max(1)..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The literal at the start of `text` as Arrow writes it, `Int64(1)` or `Utf8("a")`, as SQL has it, and how long it is.
fn leading_literal(text: &str) -> Option<(String, usize)> {
    let (word, rest) = text.split_once('(')?;
    let value = rest.split_once(')')?.0;
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric()) && word.parse::<DataType>().is_ok();
    let written = value.starts_with('"') || value.parse::<f64>().is_ok();
    if !plain || !written || matches!(word, "FixedSizeBinary" | "Binary") {
        return None;
    }
    Some((value.replace('"', "'"), word.len() + value.len() + 2))
}

/// The type at the start of `text` as Arrow writes it, and how long its name is.
fn leading_type(text: &str) -> Option<(DataType, usize)> {
    let word = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    let mut len = word;
    if text[word..].starts_with('(') {
        let mut depth = 0_usize;
        for (i, c) in text[word..].char_indices() {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                len = word + i + 1;
                break;
            }
        }
    }
    let name = &text[..len];
    // A word of English may be a name of Arrow's.
    if ["Map", "List", "Struct", "Time", "Interval", "Duration", "Date", "Null"].contains(&name) && len == word {
        return None;
    }
    Some((name.parse().ok()?, len))
}

pub(super) fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        // An abbreviation keeps its capitals.
        (Some(a), Some(b)) if a.is_uppercase() && !b.is_uppercase() => {
            a.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}
