//! What is said better than DataFusion says it: for each of its texts our own, with the way on.
//!
//! The texts are DataFusion's own English, which may change with its version: what is not known any more is passed on in its
//! words, and the snapshot of `crates/engine/tests/wrong_queries.rs` shows it.

use super::said::{self, Said};

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

const RULES: [Rule; 11] =
    [ours, calls, signatures, coercions, fields, syntax, grouping, conditions, unions, casts, the_rest];

/// The words for a text of DataFusion, in which types are already SQL's.
pub(super) fn rule(text: &str) -> Option<Said> {
    RULES.iter().find_map(|rule| rule(text))
}

/// What our own functions say of their arguments, which has its words already.
fn ours(text: &str) -> Option<Said> {
    let said = said::words(text);
    if said.contains(" takes ") && said.contains(", here it has ") {
        return Some(Said::new("argument-count", said).help("leave out what is too much, or add what is missing"));
    }
    if said.starts_with("argument ") && said.contains(" must be ") {
        let help = "CAST the argument to a type that it takes, or take another function";
        return Some(Said::new("argument-types", said).help(help));
    }
    None
}

fn count(function: &str, takes: &[usize], given: usize) -> Said {
    let mut takes = takes.to_vec();
    takes.sort_unstable();
    takes.dedup();
    let words: Vec<String> = takes.iter().map(usize::to_string).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let plural = if takes.as_slice() == [1] { "" } else { "s" };
    let given = if given == 0 { "none".to_owned() } else { given.to_string() };
    Said::new(
        "argument-count",
        format!("`{function}` takes {} argument{plural}, and is given {given}", crate::parse::one_of(&words)),
    )
    .help("leave out what is too much, or add what is missing")
}

fn wrong_types(function: &str, given: &str, takes: &[&str]) -> Said {
    let mut takes: Vec<&str> = takes.iter().map(|t| t.trim()).filter(|t| !t.is_empty()).collect();
    let mut seen = std::collections::BTreeSet::new();
    takes.retain(|t| seen.insert(*t));
    let said = Said::new("argument-types", format!("`{function}` does not take {}", given.trim_end_matches('.')));
    let said = if takes.is_empty() { said } else { said.note(format!("it takes {}", crate::parse::one_of(&takes))) };
    said.help("CAST the argument to a type that it takes, or take another function")
}

/// A name of a function as it is written in SQL.
fn function_name(name: &str) -> &str {
    match name {
        "btrim" => "trim",
        "make_array" => "array",
        "array_has" => "array_contains",
        "map_extract" => "element_at",
        other => other,
    }
}

/// How a function is called.
fn calls(text: &str) -> Option<Said> {
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
fn signatures(text: &str) -> Option<Said> {
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
fn coercions(text: &str) -> Option<Said> {
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

/// Fields of structs, elements of arrays.
fn fields(text: &str) -> Option<Said> {
    if let Some(of) = between(text, "Cannot access field at argument 1: type ", " is not Struct") {
        return Some(Said::new("type-mismatch", format!("{of} has no fields")).help(
            "a point and a name, or ['name'], follow a STRUCT or a MAP; an element of an ARRAY is taken by its number",
        ));
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
            "RLike" => ("RLIKE", "write regexp_like(text, 'pattern')"),
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
    if let Some(name) = behind(text, "Unsupported SQL type ") {
        return Some(
            Said::new("unknown-type", format!("there is no type `{name}`")).help(
                "types are BOOLEAN, TINYINT, SMALLINT, INT, BIGINT, FLOAT, DOUBLE, DECIMAL(p, s), STRING, BINARY, DATE, TIMESTAMP, \
                 ARRAY<...>, MAP<...> and STRUCT<...>",
            ),
        );
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
    if let Some(name) = between(text, "HAVING clause references: ", " must appear") {
        return Some(Said::new("not-grouped", "HAVING judges groups, and this query has none").help(format!(
            "write the condition after WHERE: {}",
            name.split(' ').map(column).collect::<Vec<_>>().join(" ")
        )));
    }
    if text.starts_with("Aggregate function calls cannot be nested") {
        return Some(
            Said::new("aggregate", "an aggregate inside of an aggregate has no meaning in one query")
                .help("aggregate in a table above, and its rows in this one"),
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
                .help("aggregate in a table above, and group its rows in this one"),
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
            Said::new("type-mismatch", "the two sides of this operator do not go together")
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
            Said::new("aggregate", "* stands for all columns, and here for one").help("name the column, or count(*)"),
        );
    }
    if text.contains("declared as non-nullable") || text.contains("Support for '") {
        return Some(Said::new("aggregate", "its partial results cannot be kept between batches in this form"));
    }
    let rest = behind(text, "can't be used as an argument")
        .or_else(|| behind(text, "Min/Max accumulator not implemented for "))?;
    Some(Said::new("aggregate", format!("values of {} have no order", said::words(rest.trim_start_matches("type ")))))
}
