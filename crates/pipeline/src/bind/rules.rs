//! Rewrites DataFusion's error texts: each known text gets words of ours and a remedy.
//!
//! The texts are DataFusion's own English and may change with its version. An unknown text is passed on unchanged, and the snapshot of
//! `crates/engine/tests/wrong_queries.rs` shows it.

mod calls;

use sluicebox_functions::schema::IN_WORDS;

use super::said::{self, Said};
use calls::{count, function_name, wrong_types};

/// What stands between `before` and `after`.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

/// What stands behind `before`.
fn behind<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    text.split_once(before).map(|(_, rest)| rest.trim())
}

type Rule = fn(&str) -> Option<Said>;

const RULES: [Rule; 10] =
    [calls::calls, calls::signatures, calls::coercions, fields, syntax, grouping, conditions, unions, casts, the_rest];

/// The words for a text of DataFusion, in which types are already SQL's.
pub(super) fn rule(text: &str) -> Option<Said> {
    RULES.iter().find_map(|rule| rule(text))
}

/// Fields of structs, elements of arrays.
fn fields(text: &str) -> Option<Said> {
    if let Some(of) = between(text, "Cannot access field at argument 1: type ", " is not Struct") {
        return Some(
            Said::new("type-mismatch", format!("{of} has no fields"))
                .help("only a STRUCT or MAP has fields: write x.name or x['name']; an ARRAY element is x[0]"),
        );
    }
    if let Some(name) = between(text, "Field ", " not found in struct") {
        return Some(Said::new("unknown-column", format!("the struct has no field `{name}`")).help(
            "`sluicebox plan` of a pipeline without it shows the fields; names are as they were written in the schema",
        ));
    }
    if let Some(name) = behind(text, "Invalid qualifier ") {
        return Some(
            Said::new("unknown-column", format!("there is no table `{name}` here, whose columns `{name}.*` could be"))
                .help(format!("of a struct, name the fields one by one: {name}.field")),
        );
    }
    if text.starts_with("Dot access not supported") {
        let name = between(text, "value: \"", "\"").unwrap_or("field");
        return Some(
            Said::new("not-supported", format!("the field `{name}` of an expression cannot be taken by a point"))
                .help(format!("write ['{name}'] in place of .{name}")),
        );
    }
    let (function, of) = text.split_once(" does not support type ")?;
    let message = match function {
        "array_element" => format!("{of} has no elements"),
        other => return Some(wrong_types(function_name(other), of, &[])),
    };
    Some(
        Said::new("type-mismatch", message)
            .help("[n] follows an ARRAY, ['key'] a MAP; substring takes a part of a text"),
    )
}

/// What the planner has no plan for. Its text is a dump of the parsed SQL.
fn syntax(text: &str) -> Option<Said> {
    if let Some(node) = behind(text, "Unsupported ast node in sqltorel: ") {
        let name = node.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let (what, help) = match name {
            "Collate" => ("COLLATE", "leave it out: texts are compared by their bytes"),
            "Identifier" | "CompoundIdentifier" => ("a column at this place", "write a constant here"),
            "JsonAccess" => ("a path into JSON", "write get_json_object(text, '$.a.b')"),
            "Convert" => ("CONVERT", "write CAST(x AS type)"),
            "AtTimeZone" => ("AT TIME ZONE with this zone", "write a constant name, as in 'Europe/Berlin'"),
            "AllOp" | "AnyOp" => ("ALL and ANY over a list", "write x IN (1, 2), or array_contains(list, x)"),
            "MatchAgainst" => ("MATCH AGAINST", "write regexp_like(text, 'pattern')"),
            "Lambda" => ("a lambda here", "give it to a function that takes one, such as transform"),
            "OuterJoin" => ("(+)", "joins of streams are not supported yet"),
            "Prior" => ("PRIOR", "leave it out"),
            _ => ("this form of an expression", "write it with a function or operator that docs/sql.md lists"),
        };
        return Some(Said::new("not-supported", format!("{what} is not supported")).help(help));
    }
    if text.starts_with("unsupported interval argument") || text.starts_with("Unsupported interval argument") {
        return Some(Said::new("not-supported", "the number of an INTERVAL is a constant").help(
            "write INTERVAL '10 minutes', or timestampadd(MINUTE, n, ts) for a time that is n minutes later, n being any expression",
        ));
    }
    if let Some(name) = behind(text, "Unsupported SQL type ") {
        return Some(Said::new("unknown-type", format!("there is no type `{name}`")).help(IN_WORDS));
    }
    if text.starts_with("DECIMAL(precision") || text.starts_with("Decimal(precision") {
        return Some(
            Said::new("unknown-type", "there is no such DECIMAL")
                .help("write DECIMAL(p, s) with p digits, 38 at most, of which s stand behind the point"),
        );
    }
    if text.starts_with("No `ON` expressions") {
        return Some(Said::new("syntax", "DISTINCT ON names no key").help("write DISTINCT ON (key), or DISTINCT"));
    }
    if let Some(given) = behind(text, "wrapped with single quotes, got ") {
        return Some(
            Said::new("bad-constant", format!("ESCAPE takes one character, not {given}")).help("write ESCAPE '!'"),
        );
    }
    if let Some(literal) = behind(text, "Invalid HexStringLiteral ") {
        return Some(Said::new("bad-constant", format!("{literal} are no hexadecimal digits")).help("write X'0A1B'"));
    }
    let keywords = !text.is_empty() && text.len() < 30 && text.chars().all(|c| c.is_ascii_uppercase() || c == ' ');
    keywords.then(|| {
        let what = text.trim_end_matches('S').trim_end_matches(" VIEW");
        let what = if text.starts_with("LATERAL") { "LATERAL VIEW" } else { what };
        Said::new("not-supported", format!("{what} is not supported over a stream")).help("leave it out")
    })
}

/// GROUP BY, HAVING and aggregates where they cannot be.
fn grouping(text: &str) -> Option<Said> {
    let not_grouped = |name: &str| {
        let name = column(name);
        Said::new("not-grouped", format!("`{name}` is neither grouped by nor aggregated"))
            .note("a group has many values of it")
            .help(format!("add {name} to GROUP BY, or aggregate it, as in max({name})"))
    };
    if let Some(name) = between(text, "'", "' must appear in GROUP BY clause") {
        return Some(not_grouped(name));
    }
    if let Some(name) = between(text, "column \"", "\" must appear in the GROUP BY clause") {
        return Some(not_grouped(name));
    }
    if text.starts_with("HAVING clause references: ") {
        return Some(
            Said::new("not-grouped", "HAVING filters groups, but this query has no GROUP BY")
                .help("write the condition after WHERE"),
        );
    }
    if text.starts_with("window_time takes one argument") {
        return Some(
            Said::new("argument-count", "window_time takes one argument, the window").help("write window_time(window)"),
        );
    }
    if let Some((call, _)) = text.split_once(" beside GROUP BY: aggregate in a subquery") {
        return Some(
            Said::new("not-supported", format!("{call} makes rows of a group, which one query cannot do"))
                .help("aggregate in a subquery, and explode what comes of it: SELECT explode(xs) FROM (SELECT ... GROUP BY ...)"),
        );
    }
    if text.starts_with("Aggregate function calls cannot be nested") {
        return Some(
            Said::new("aggregate", "an aggregate inside of an aggregate has no meaning in one query")
                .help("aggregate in an upstream table, and its rows in this one"),
        );
    }
    if text.starts_with("Aggregate functions are not allowed in the WHERE clause") {
        return Some(
            Said::new("aggregate", "WHERE is asked before rows are grouped, so it cannot have an aggregate")
                .help("write the condition after HAVING"),
        );
    }
    if text.contains("does not support logical expression AggregateFunction") {
        return Some(
            Said::new("aggregate", "rows cannot be grouped by an aggregate of them")
                .help("aggregate in an upstream table, and group its rows in this one"),
        );
    }
    let position = between(text, "Cannot find column with position ", " in SELECT clause")?;
    Some(
        Said::new("unknown-column", format!("there is no column number {position} in the SELECT list"))
            .help("name what to group by"),
    )
}

/// A column without the name of its table.
fn column(name: &str) -> &str {
    let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    if name.chars().all(plain) { name.rsplit('.').next().unwrap_or(name) } else { name }
}

/// Conditions and the sides of operators.
fn conditions(text: &str) -> Option<Said> {
    if text.contains("non-boolean predicate") {
        let of = behind(text, " returning ").unwrap_or("another type");
        return Some(
            Said::new("type-mismatch", format!("a condition is true or false, and this is {of}"))
                .help("compare it with something"),
        );
    }
    if text.starts_with("expressions have incompatible types") {
        return Some(
            Said::new("type-mismatch", "the operands have incompatible types")
                .help("CAST one of them to the type of the other, or take a function"),
        );
    }
    if let Some(operation) = behind(text, "Cannot get result type for temporal operation ") {
        let operation = operation.split(": ").next().unwrap_or(operation);
        return Some(
            Said::new("type-mismatch", format!("`{operation}` has no meaning"))
                .help("a timestamp and an INTERVAL can be added; the difference of two timestamps can be taken"),
        );
    }
    if text.starts_with("LIKE does not support escape_char") {
        return Some(
            Said::new("not-supported", "LIKE takes no other ESCAPE than a backslash")
                .help("leave ESCAPE out and write \\ before % and _ that stand for themselves, or use regexp_like"),
        );
    }
    if let Some(types) = between(text, "There isn't a common type to coerce ", " in LIKE expression") {
        return Some(
            Said::new("type-mismatch", format!("LIKE compares texts, and these are {types}"))
                .help("CAST(x AS STRING) makes a text of another value"),
        );
    }
    if let Some(types) = between(text, "Failed to coerce then ", " to common types in CASE") {
        let types = types.replace(['(', ')'], "").replace("and else ", "and ");
        return Some(
            Said::new("type-mismatch", format!("the branches of this CASE are {types}, which do not go together"))
                .help("CAST them to one type"),
        );
    }
    if let Some(rest) = behind(text, "Cannot automatically convert ") {
        let types = rest.replace(" to ", " and ");
        return Some(
            Said::new("type-mismatch", format!("{types} do not go together"))
                .help("CAST one of them to the type of the other"),
        );
    }
    // `NOT cannot be used with STRING`, `- cannot be used with STRING`
    let (operator, of) = text.split_once(" cannot be used with ")?;
    Some(
        Said::new("type-mismatch", format!("{operator} cannot be used with {of}"))
            .help("compare it with something, or CAST it"),
    )
}

/// UNION and unnest.
fn unions(text: &str) -> Option<Said> {
    if text.contains("UNION queries have different number of columns") {
        return Some(
            Said::new("type-mismatch", "the sides of this UNION do not have as many columns")
                .help("give both the same columns in the same order"),
        );
    }
    if let Some(rest) = behind(text, "Previous inputs were of type ") {
        let types = rest.replace(", but got incompatible type ", " and ").replace(" on column ", ", column ");
        return Some(
            Said::new("type-mismatch", "the sides of this UNION do not go together")
                .note(format!("they are {types}"))
                .help("give both the same columns in the same order, with CAST"),
        );
    }
    if text.starts_with("unnest() can only be applied") {
        return Some(wrong_types("unnest", "this", &["ARRAY", "STRUCT"]));
    }
    text.starts_with("unnest() requires exactly one").then(|| count("unnest", &[1], 2))
}

/// Casts, and constants that are none.
fn casts(text: &str) -> Option<Said> {
    if let Some(types) = behind(text, "Unsupported CAST from ") {
        let types = types.replace(" to ", " cannot be cast to ");
        return Some(Said::new("type-mismatch", types).help("take its parts, or a function that makes a text of it"));
    }
    for start in ["Cannot cast string ", "Cannot cast value "] {
        if let Some(rest) = behind(text, start) {
            let (value, to) = rest.split_once(" to value of ")?;
            let to = to.trim_end_matches(" type");
            return Some(Said::new("bad-constant", format!("{value} is no {to}")));
        }
    }
    if let Some(rest) = behind(text, "Can't cast value ") {
        let (value, to) = rest.split_once(" to type ")?;
        return Some(Said::new("bad-constant", format!("{value} does not fit {to}")));
    }
    if let Some(rest) = behind(text, "rror parsing timestamp from ") {
        let (value, why) = rest.split_once(": ").unwrap_or((rest, ""));
        let said = Said::new("bad-constant", format!("{value} is no TIMESTAMP"));
        return Some(if why.is_empty() { said } else { said.note(why) });
    }
    if let Some(value) = behind(text, "nvalid input syntax for type interval: ") {
        return Some(
            Said::new("interval", format!("{} is no interval", value.replace('"', "'")))
                .help("write a number and a unit, as in INTERVAL '10 minutes'"),
        );
    }
    if text.contains("regex parse error") || text.contains("egular expression did not compile") {
        let why = text.split("error: ").last().unwrap_or_default();
        let why = why.split(';').next().unwrap_or_default().trim();
        return Some(
            Said::new("bad-constant", format!("the pattern is no regular expression: {why}"))
                .help("write \\ before each of ( ) [ ] . * + ? | that stands for itself"),
        );
    }
    text.to_lowercase().starts_with("divide by zero").then(|| {
        Said::new("bad-constant", "it divides by zero").help("write NULLIF(x, 0) where the divisor may be zero")
    })
}

/// What an aggregate says when it cannot be split.
fn the_rest(text: &str) -> Option<Said> {
    if text.contains("COUNT DISTINCT with multiple arguments") {
        return Some(
            Said::new("aggregate", "count(DISTINCT) takes one column over a stream")
                .help("make one of them: count(DISTINCT concat_ws('|', a, b))"),
        );
    }
    if text.contains("logical expression Wildcard") {
        return Some(
            Said::new("aggregate", "* means all columns; this argument takes one").help("name the column, or count(*)"),
        );
    }
    if text.contains("declared as non-nullable") || text.contains("Support for '") {
        return Some(Said::new("aggregate", "its partial results cannot be kept between batches in this form"));
    }
    if text.to_lowercase().starts_with("scalar subquery returned more than one row") {
        return Some(
            Said::new("query", "a subquery that stands for one value gave several rows")
                .help("aggregate it, as in (SELECT max(x) FROM ...), or ask with IN"),
        );
    }
    if text.to_lowercase().starts_with("order by column out of bounds") {
        return Some(
            Said::new("query", "ORDER BY counts a column that SELECT does not have")
                .help("name the column to order by"),
        );
    }
    if let Some(of) = behind(text, "LIMIT to be an integer or null, but got ") {
        return Some(
            Said::new("query", format!("LIMIT takes a whole number, not {of}")).help("write a number of rows"),
        );
    }
    let rest = behind(text, "can't be used as an argument")
        .or_else(|| behind(text, "Min/Max accumulator not implemented for "))?;
    Some(Said::new("aggregate", format!("values of {} have no order", said::words(rest.trim_start_matches("type ")))))
}
