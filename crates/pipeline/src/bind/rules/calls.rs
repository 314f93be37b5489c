//! Rewrites DataFusion's error texts about calls: the number and the types of a function's arguments.

use super::{behind, between};
use crate::bind::said::{self, Said};

pub(super) fn count(function: &str, takes: &[usize], given: usize) -> Said {
    let mut takes = takes.to_vec();
    takes.sort_unstable();
    takes.dedup();
    let words: Vec<String> = takes.iter().map(usize::to_string).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let plural = if takes.as_slice() == [1] { "" } else { "s" };
    let given = if given == 0 { "none".to_owned() } else { given.to_string() };
    Said::new(
        "argument-count",
        format!("`{function}` takes {} argument{plural}, and is given {given}", crate::values::one_of(&words)),
    )
    .help("remove or add arguments")
}

pub(super) fn wrong_types(function: &str, given: &str, takes: &[&str]) -> Said {
    let mut takes: Vec<&str> = takes.iter().map(|t| t.trim()).filter(|t| !t.is_empty()).collect();
    let mut seen = std::collections::BTreeSet::new();
    takes.retain(|t| seen.insert(*t));
    let said = Said::new("argument-types", format!("`{function}` does not take {}", given.trim_end_matches('.')));
    let said = if takes.is_empty() { said } else { said.note(format!("it takes {}", crate::values::one_of(&takes))) };
    said.help("CAST the argument to a type that it takes, or take another function")
}

/// A name of a function as it is written in SQL.
pub(super) fn function_name(name: &str) -> &str {
    match name {
        "make_array" => "array",
        "array_has" => "array_contains",
        "map_extract" => "element_at",
        other => other,
    }
}

/// How a function is called.
pub(super) fn calls(text: &str) -> Option<Said> {
    if let Some(function) = between(text, "'", "' does not support zero arguments") {
        return Some(without_arguments(function));
    }
    if text.starts_with("Substring without for/from") {
        return Some(count("substring", &[2, 3], 1));
    }
    let function = function_name(between(text, "Function '", "'")?);
    if let Some(rest) = behind(text, "user-defined coercion failed with:") {
        return Some(user_defined(function, rest));
    }
    if text.contains("failed to match any signature") {
        return None;
    }
    if let Some(takes) = between(text, "' expects ", " arguments but received ") {
        let given = behind(text, " arguments but received ")?.trim_end_matches('.').parse().ok()?;
        return Some(count(function, &[takes.parse().ok()?], given));
    }
    if let Some(takes) = between(text, "' requires ", ", but received ") {
        let given = between(text, "(DataType: ", ").").or_else(|| between(text, "(DataType: ", ")"))?;
        return Some(wrong_types(function, given, &[&kind(takes)]));
    }
    let takes = between(text, "' expects ", " but received ")?;
    let given = behind(text, " but received ")?.trim_end_matches('.');
    Some(wrong_types(function, &kind(given), &[&kind(takes)]))
}

/// DataFusion's word for a kind of types, as SQL has it.
fn kind(word: &str) -> String {
    match word.trim() {
        "String" => "STRING".to_owned(),
        "Numeric" => "a number".to_owned(),
        "Integer" => "a whole number".to_owned(),
        "Float" => "DOUBLE".to_owned(),
        "Timestamp" => "TIMESTAMP".to_owned(),
        "Date" => "DATE".to_owned(),
        "Binary" => "BINARY".to_owned(),
        "Decimal" | "Duration" | "Interval" => word.trim().to_uppercase(),
        other => match other.strip_prefix("List(").and_then(|rest| rest.strip_suffix(')')) {
            Some(element) => format!("ARRAY<{}>", kind(element)),
            None => other.to_owned(),
        },
    }
}

fn without_arguments(function: &str) -> Said {
    Said::new("argument-count", format!("`{}` is called without arguments", function_name(function)))
        .help("write between the parentheses what it is to work on")
}

/// What a function of DataFusion says itself about its arguments.
fn user_defined(function: &str, rest: &str) -> Said {
    if rest.contains("zero arguments") || rest.contains("at least one argument") {
        return without_arguments(function);
    }
    if let Some(given) = between(rest, "was called with ", " arguments") {
        return count(function, &[1], given.parse().unwrap_or(0));
    }
    if let Some(given) = behind(rest, "Expected a Map type, got ") {
        return wrong_types(function, given, &["MAP", "ARRAY"]);
    }
    if let Some(given) = between(rest, "argument types of make_array: [", "]") {
        return Said::new("type-mismatch", "the elements of an array are of one type".to_owned())
            .note(format!("these are {given}"))
            .help("CAST them to one type");
    }
    if rest.contains("common type") || rest.contains("coerced type") {
        return Said::new("type-mismatch", format!("the arguments of `{function}` do not go together"))
            .note("they must be of one type, which the result has")
            .help("CAST them to one type");
    }
    Said::new(
        "argument-types",
        said::words(rest.trim_start_matches("Execution error: ").trim_start_matches("Error during planning: ")),
    )
}

/// Functions with several signatures of which none fits.
pub(super) fn signatures(text: &str) -> Option<Said> {
    let (head, errors) = text.split_once(" failed to match any signature, errors: ")?;
    let function = function_name(between(head, "'", "'")?);
    let mut counts = Vec::new();
    let (mut given, mut received, mut takes) = (0, "", Vec::new());
    for error in errors.split("Function '") {
        if let Some(n) = between(error, "' expects ", " arguments but received ") {
            counts.push(n.parse().ok()?);
            let rest = behind(error, " arguments but received ")?;
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            given = rest[..digits].parse().ok()?;
        } else if let Some(t) = between(error, "' requires ", ", but received ") {
            takes.push(kind(t));
            let (_, rest) = error.split_once("(DataType: ")?;
            received = rest.split(").").next().unwrap_or(rest).trim_end_matches(['.', ',', ' ']);
        }
    }
    if takes.is_empty() {
        return Some(count(function, &counts, given));
    }
    let takes: Vec<&str> = takes.iter().map(String::as_str).collect();
    let received = if received.contains('(') { received } else { received.trim_end_matches(')') };
    Some(wrong_types(function, received, &takes))
}

/// `Failed to coerce arguments to satisfy a call to 'f' function: coercion from A, B to the signature S failed`.
pub(super) fn coercions(text: &str) -> Option<Said> {
    let function = function_name(between(text, "satisfy a call to '", "'")?);
    let given = between(text, "coercion from ", " to the signature ")?;
    let signature = between(text, " to the signature ", " failed")?;
    let arguments = top_level(given).len();
    let mut counts = Vec::new();
    let mut takes = Vec::new();
    let inner = signature.strip_prefix("OneOf(").and_then(|s| s.strip_suffix(')')).unwrap_or(signature);
    for one in top_level(inner) {
        if let Some(exact) = one.strip_prefix("Exact(").and_then(|s| s.strip_suffix(')')) {
            counts.push(top_level(exact).len());
            takes.push(exact);
        } else if let Some(uniform) = one.strip_prefix("Uniform(") {
            let (n, types) = uniform.split_once(',')?;
            counts.push(n.trim().parse().ok()?);
            takes.extend(top_level(types.trim().trim_matches(['[', ']', ')', ' '])));
        } else if let Some(array) = one.strip_prefix("ArraySignature(").and_then(|s| s.strip_suffix(')')) {
            let words = top_level(array);
            counts.push(words.len());
            match words.first() {
                Some(&"map_array") => takes.push("MAP"),
                _ if words.len() == arguments && words.contains(&"element") => {
                    takes.push("an array and an element of its type")
                }
                _ => takes.push("ARRAY"),
            }
        }
    }
    if !counts.is_empty() && !counts.contains(&arguments) {
        return Some(count(function, &counts, arguments));
    }
    takes.retain(|t| !t.contains("Null"));
    Some(wrong_types(function, given, &takes))
}

/// `text` cut at the commas outside of brackets.
fn top_level(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0_i32, 0, Vec::new());
    for (i, c) in text.char_indices() {
        match c {
            '(' | '<' | '[' => depth += 1,
            ')' | '>' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}
