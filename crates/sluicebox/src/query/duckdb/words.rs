//! What DuckDB says, in words of SQL, with the way on.

use sluicebox_pipeline::ast::Span;
use sluicebox_pipeline::bind::ASK_FOR_LESS;
use sluicebox_pipeline::diagnostic::{Diagnostic, nearest};

/// Whether DuckDB says so of a query that is nested deeper than it goes. It offers a setting, and `query` has none.
pub fn is_too_deep(said: &str) -> bool {
    ["Max expression depth limit", "memory exhausted at or near"].iter().any(|wording| said.contains(wording))
}

/// A query that is nested deeper than DuckDB, or who reads its tree, goes.
pub fn too_deep(at: Span) -> Diagnostic {
    Diagnostic::new("too-deep", at, "this is nested too deeply", "too many levels")
        .with_help("nest it less: ask in several queries, or write many comparisons with OR as one IN (...)")
}

/// What DuckDB says against `wrapped`, in which the statement at `span` of the text begins at `offset`.
pub fn mistake(said: &str, wrapped: &str, offset: usize, span: Span) -> Diagnostic {
    if is_too_deep(said) {
        return too_deep(span);
    }
    let mut at = span;
    // `LINE 1: SELECT nope FROM ...`, and below it a caret under the place.
    let mut lines = said.lines().skip_while(|line| !line.starts_with("LINE "));
    if let (Some(line), Some(caret)) = (lines.next(), lines.next())
        && let (Some((prefix, shown)), Some(column)) = (line.split_once(": "), caret.find('^'))
        && let Some(from) = column.checked_sub(prefix.len() + 2)
        && let Some(rest) = shown.get(from..)
        && let Some(place) = wrapped.find(rest.trim_end_matches("...")).and_then(|p| p.checked_sub(offset))
        && place < span.end - span.start
    {
        let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len()).max(1);
        at = Span { start: span.start + place, end: span.start + place + word };
    }
    let Told { code, message, help: way_on } = told(said);
    // The nearest comes first.
    let near = said.lines().find_map(|line| line.trim().strip_prefix("Candidate bindings: "));
    let near = near.and_then(|near| near.split('"').nth(1)).map(|name| name.rsplit('.').next().unwrap_or(name));
    let help = near.map(|near| format!("did you mean `{near}`?"));
    if let Some(name) = message.split_once("\" not found in FROM").and_then(|(head, _)| head.split('"').nth(1)) {
        let message = format!("there is no column `{name}`");
        let help = help.or_else(|| Some("DESCRIBE <layer>.<table> shows the columns".to_owned()));
        return Diagnostic::new("unknown-column", at, message, "no such column").with_help_opt(help);
    }
    Diagnostic::new(code, at, message, "").with_help(help.unwrap_or(way_on))
}

/// What DuckDB said, with the code of its kind and a way on.
struct Told {
    code: &'static str,
    message: String,
    help: String,
}

/// What wordings of DuckDB mean: a code, and the way on.
const WORDINGS: [(&str, &str, &str); 13] = [
    ("failed to allocate", "out-of-memory", ASK_FOR_LESS),
    ("could not allocate", "out-of-memory", ASK_FOR_LESS),
    ("must appear in the GROUP BY clause", "not-grouped", "add the column to GROUP BY, or aggregate it, as in max(x)"),
    ("clause cannot contain aggregates", "aggregate", "write the condition after HAVING"),
    ("cannot contain window functions", "aggregate", "compute it in a subquery, and ask for it outside"),
    (
        "More than one row returned by a subquery",
        "query",
        "aggregate it, as in (SELECT max(x) FROM ...), or ask with IN",
    ),
    ("Set operations can only apply", "type-mismatch", "give both the same columns in the same order"),
    (
        "Could not convert string",
        "bad-constant",
        "correct the value, or write TRY_CAST(x AS type), which is NULL for what cannot be cast",
    ),
    ("Could not choose a best candidate", "argument-types", "say which type is meant: CAST(x AS type)"),
    ("Unimplemented type for cast", "type-mismatch", "cast it to another type first, or take a function"),
    ("ORDER term out of range", "query", "name the column to order by"),
    (
        "Ambiguous reference to",
        "query",
        "write t.x with the name or alias of the table, and give each table of FROM another one",
    ),
    ("Referenced table", "query", "name a table of FROM, or the alias that it has there"),
];

/// The reason in words of SQL, and what to do about it.
fn told(said: &str) -> Told {
    let reason = first_line(said);
    if let Some(name) =
        reason.split_once("Function with name ").and_then(|(_, rest)| rest.split_once(" does not exist"))
    {
        return no_function(name.0.trim_matches('"'), said);
    }
    if let Some((_, rest)) = reason.split_once("No function matches the given name and argument types '")
        && let Some((call, _)) = rest.split_once("'.")
    {
        return no_such_call(call, said);
    }
    if let Some(name) = reason.split_once("Type with name ").and_then(|(_, rest)| rest.split_once(" does not exist")) {
        let help = "types are BOOLEAN, TINYINT, SMALLINT, INT, BIGINT, FLOAT, DOUBLE, DECIMAL(p, s), VARCHAR, BLOB, DATE, TIMESTAMP and \
                    TIMESTAMPTZ, with [] behind them for lists";
        return Told { code: "unknown-type", message: format!("there is no type `{}`", name.0), help: help.to_owned() };
    }
    let known = WORDINGS.iter().find(|(wording, ..)| reason.to_lowercase().contains(&wording.to_lowercase()));
    let otherwise =
        "DESCRIBE <layer>.<table> shows columns and their types; --engine datafusion takes the SQL of a pipeline";
    let (code, help) = known.map_or(("query", otherwise), |(_, code, help)| (*code, *help));
    Told { code, message: lower_first(reason.trim_end_matches('!')), help: help.to_owned() }
}

/// A function that DuckDB does not have; that a pipeline has it is worth a word.
fn no_function(name: &str, said: &str) -> Told {
    let state = sluicebox_pipeline::bind::functions::session_state(1);
    let lower = name.to_lowercase();
    let ours = state.scalar_functions().contains_key(&lower) || state.aggregate_functions().contains_key(&lower);
    let windows = state.window_functions().contains_key(&lower);
    let near =
        said.lines().find_map(|line| line.strip_prefix("Did you mean \"")).and_then(|rest| rest.split('"').next());
    let help = match near.and_then(|near| nearest(name, [near])) {
        _ if windows => format!("it looks at other rows: write {name}(...) OVER (ORDER BY ...)"),
        _ if ours => "it is one of a pipeline's: --engine datafusion has those".to_owned(),
        Some(near) => format!("did you mean `{near}`?"),
        None => "DuckDB's documentation lists its functions; --engine datafusion has those of a pipeline".to_owned(),
    };
    Told { code: "unknown-function", message: format!("there is no function `{name}`"), help }
}

/// Forms of a function that are shown.
const FORMS: usize = 4;

/// A function or operator that does not take what it is given: `call` is `upper(INTEGER, INTEGER_LITERAL)`.
fn no_such_call(call: &str, said: &str) -> Told {
    let (name, types) = call.split_once('(').unwrap_or((call, ")"));
    let types = types.trim_end_matches(')').replace("_LITERAL", "").replace("STRING", "VARCHAR");
    if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
        let message = format!("`{name}` does not take {}", types.replace(", ", " and "));
        return Told { code: "type-mismatch", message, help: "CAST one to the type of the other".to_owned() };
    }
    let message = match types.as_str() {
        "" => format!("{name} takes arguments, and is given none"),
        types => format!("{name} does not take ({types})"),
    };
    // `upper(VARCHAR) -> VARCHAR`
    let form = |line: &str| line.trim().split_once(" -> ").map(|(form, _)| form.to_owned());
    let is_form = |form: &String| form.starts_with(name) && form.as_bytes().get(name.len()) == Some(&b'(');
    let mut forms: Vec<String> = said.lines().filter_map(form).filter(is_form).collect();
    forms.dedup();
    let more = if forms.len() > FORMS { ", ..." } else { "" };
    let help = match forms.as_slice() {
        [] => "CAST the arguments to types that it takes, or remove or add some".to_owned(),
        some => format!("it takes {}{more}", some.iter().take(FORMS).cloned().collect::<Vec<_>>().join(", ")),
    };
    Told { code: "argument-types", message, help }
}

/// The reason, without DuckDB's name for its kind.
pub fn first_line(said: &str) -> &str {
    let line = said.lines().next().unwrap_or_default();
    match line.split_once(" Error: ") {
        Some((kind, reason)) if kind.chars().all(|c| c.is_alphabetic() || c == ' ') => reason,
        _ => line,
    }
}

/// `text` in lower case at its beginning; a word of SQL keeps its capitals.
pub fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => first.to_lowercase().chain(chars).collect(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_query_refuses_is_not_offered() {
        let said = "Binder Error: Max expression depth limit of 1000 exceeded. Use \"SET max_expression_depth TO x\" to increase the \
                    maximum expression depth.";
        let mistake = mistake(said, "SELECT 1", 0, Span { start: 0, end: 8 });
        assert_eq!(mistake.code, "too-deep");
        assert!(!format!("{mistake:?}").contains("SET "), "{mistake:?}");
    }

    #[test]
    fn what_duckdb_says_gets_its_code_and_a_way_on() {
        for (said, code, message, help) in [
            (
                "Catalog Error: Scalar Function with name nosuch does not exist!\nDid you mean \"cosh\"?\n\nLINE 1: SELECT",
                "unknown-function",
                "there is no function `nosuch`",
                "DuckDB's documentation lists",
            ),
            (
                "Catalog Error: Scalar Function with name uper does not exist!\nDid you mean \"upper\"?",
                "unknown-function",
                "there is no function `uper`",
                "did you mean `upper`?",
            ),
            (
                "Catalog Error: Scalar Function with name date_format does not exist!",
                "unknown-function",
                "there is no function `date_format`",
                "--engine datafusion",
            ),
            (
                "Catalog Error: Scalar Function with name row_number does not exist!",
                "unknown-function",
                "there is no function `row_number`",
                "row_number(...) OVER (ORDER BY ...)",
            ),
            (
                "Binder Error: No function matches the given name and argument types 'upper(INTEGER, INTEGER_LITERAL)'. You might \
                 need to add explicit type casts.\n\tCandidate functions:\n\tupper(VARCHAR) -> VARCHAR\n\n\nLINE 1: SELECT",
                "argument-types",
                "upper does not take (INTEGER, INTEGER)",
                "it takes upper(VARCHAR)",
            ),
            (
                "Binder Error: No function matches the given name and argument types '+(INTEGER, VARCHAR)'. You might need to",
                "type-mismatch",
                "`+` does not take INTEGER and VARCHAR",
                "CAST one",
            ),
            (
                "Binder Error: WHERE clause cannot contain aggregates!",
                "aggregate",
                "WHERE clause cannot contain aggregates",
                "HAVING",
            ),
            ("Catalog Error: Type with name FOO does not exist!", "unknown-type", "there is no type `FOO`", "BIGINT"),
            (
                "Out of Memory Error: failed to allocate data of size 1.0 GiB (1.5 GiB/512.0 MiB used)",
                "out-of-memory",
                "failed to allocate data of size 1.0 GiB (1.5 GiB/512.0 MiB used)",
                "ask for less at once",
            ),
            ("Binder Error: Something else", "query", "something else", "DESCRIBE"),
        ] {
            let told = told(said);
            assert_eq!((told.code, told.message.as_str()), (code, message), "{said}");
            assert!(told.help.contains(help), "{said}: {}", told.help);
        }
    }
}
