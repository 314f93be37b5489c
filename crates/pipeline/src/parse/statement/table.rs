//! `CREATE STREAMING TABLE`.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::super::Context;
use super::super::cursor::{Cursor, Parsed, quoted};
use super::super::lex::{Tok, span_of};
use super::super::query::{expression, query};
use super::super::references;
use super::{pairs, parentheses, split_commas};
use crate::ast::{Action, ConstraintDef, FlowDef, Span, Spanned, TableDef, Using};
use crate::diagnostic::Diagnostic;
use crate::settings;

/// The clauses, as they are named when something else stands in their place.
const CLAUSES: &[&str] = &["USING", "PARTITIONED BY", "LOCATION", "TBLPROPERTIES", "COMMENT", "AS SELECT"];

/// The statement from the name on.
pub(super) fn streaming_table(cx: &mut Context<'_>, cursor: &mut Cursor<'_>) -> Parsed<()> {
    cursor.eat_all(&["IF", "NOT", "EXISTS"]);
    let name = cursor.name("the name of the table")?;
    let mut table = TableDef {
        name: name.clone(),
        constraints: Vec::new(),
        format: None,
        kind: Using::default(),
        partitioned_by: Vec::new(),
        location: None,
        properties: Vec::new(),
        flows: Vec::new(),
    };
    if cursor.peek().is_some_and(|t| t.is_token(&Token::LParen)) {
        constraints(cx, cursor, &mut table)?;
    }
    let mut seen: Vec<(&'static str, Span)> = Vec::new();
    while let Some(tok) = cursor.peek() {
        let here = tok.span;
        if cursor.eat("AS") {
            match query(cx, cursor.rest(), here) {
                Ok(query) => table.flows.push(FlowDef { name: name.clone(), query }),
                Err(diagnostic) => {
                    cx.found.push(*diagnostic);
                    cx.broken.push(name.value.clone());
                }
            }
            break;
        }
        let clause = clause(cx, cursor, &mut table)?;
        if let Some((_, first)) = seen.iter().find(|(c, _)| *c == clause) {
            return Err(Box::new(
                Diagnostic::new("duplicate-clause", here, format!("{clause} is given twice"), "the second time")
                    .with_help("keep one of them")
                    .with_related(*first, "the first time"),
            ));
        }
        seen.push((clause, here));
    }
    cx.tables.push(table);
    Ok(())
}

/// Reads the clause at the cursor; gives its name.
fn clause(cx: &mut Context<'_>, cursor: &mut Cursor<'_>, table: &mut TableDef) -> Parsed<&'static str> {
    if cursor.eat("USING") {
        let format = cursor.name("the format")?;
        table.kind = match format.value.as_str() {
            "kafka" => Using::Kafka,
            other => cx.vocabulary.table(other).map_or(Using::Parquet, Using::Added),
        };
        table.format = Some(format);
        return Ok("USING");
    }
    if cursor.eat_all(&["PARTITIONED", "BY"]) {
        table.partitioned_by = partition_columns(cursor)?;
        return Ok("PARTITIONED BY");
    }
    if cursor.eat("LOCATION") {
        let mut location = cursor.string("the location")?;
        cx.resolve("location", "LOCATION", &mut location)?;
        table.location = Some(location);
        return Ok("LOCATION");
    }
    if cursor.eat("TBLPROPERTIES") {
        let mut properties = pairs(cursor, "TBLPROPERTIES", "property")?;
        for (key, value) in &mut properties {
            let written = value.value.clone();
            if !settings::keeps_references(cx.vocabulary, &key.value)
                && let Err(unset) = cx.resolve("property", &key.value, value)
            {
                cx.found.push(*unset);
                continue;
            }
            match settings::check_property(cx.vocabulary, &key.value, &value.value, &written) {
                Ok(canonical) => key.value = canonical,
                Err(problem) if problem.about_value => cx.found.push(problem.at("property", value.span)),
                Err(problem) => cx.found.push(problem.at("unknown-property", key.span)),
            }
        }
        table.properties = properties;
        return Ok("TBLPROPERTIES");
    }
    if cursor.eat("COMMENT") {
        cursor.string("the comment")?;
        return Ok("COMMENT");
    }
    Err(misplaced(cursor))
}

/// What stands where a clause should.
fn misplaced(cursor: &Cursor<'_>) -> Box<Diagnostic> {
    let here = cursor.here();
    let fix = |message: &str, help: &str| {
        Box::new(Diagnostic::new("unexpected-word", here, message, "not here").with_help(help))
    };
    let next_is = |word: &str| cursor.peek_nth(1).is_some_and(|t| t.is(word));
    let is = |word: &str| cursor.peek().is_some_and(|t| t.is(word));
    if is("SELECT") || is("WITH") {
        return fix("AS is missing before the query", "write AS SELECT ...");
    }
    if (is("PARTITION") || is("PARTITIONED")) && !(is("PARTITIONED") && next_is("BY")) {
        return fix("this is not how partition columns are given", "write PARTITIONED BY (column)");
    }
    if is("CLUSTER") || is("CLUSTERED") {
        return fix("rows are not clustered within a partition", "write PARTITIONED BY (column)");
    }
    if is("OPTIONS") {
        return fix("OPTIONS belong to a source; a table has properties", "write TBLPROPERTIES ('key' = 'value')");
    }
    if is("SCHEDULE") || is("TRIGGER") {
        return fix(
            "a table has no schedule of its own",
            "SET 'trigger', or run with --trigger, sets it for the whole pipeline",
        );
    }
    cursor.expected(CLAUSES, "CREATE STREAMING TABLE")
}

/// `(column, ...)` at the cursor.
fn partition_columns(cursor: &mut Cursor<'_>) -> Parsed<Vec<Spanned<String>>> {
    let open = cursor.here();
    let inner = cursor.group("PARTITIONED BY")?;
    let mut columns = Vec::new();
    for toks in split_commas(inner, parentheses) {
        let mut cursor = cursor.over(toks);
        if toks.len() > 1 {
            return Err(Box::new(
                Diagnostic::new("partition-expression", span_of(toks), "PARTITIONED BY takes names of columns, not expressions", "not a column's name")
                    .with_help("name the expression in the SELECT, as in CAST(event_time AS DATE) AS event_date, and partition by that name"),
            ));
        }
        columns.push(cursor.name("a partition column")?);
    }
    if columns.is_empty() {
        return Err(Box::new(
            Diagnostic::new("missing-name", open, "PARTITIONED BY names no column", "empty")
                .with_help("name a column, or take PARTITIONED BY out"),
        ));
    }
    Ok(columns)
}

/// `(CONSTRAINT name EXPECT (condition) [ON VIOLATION ...], ...)` at the cursor. A mistake in one of them is reported
/// and the others are read.
fn constraints(cx: &mut Context<'_>, cursor: &mut Cursor<'_>, table: &mut TableDef) -> Parsed<()> {
    let open = cursor.here();
    let inner = cursor.group("the list of constraints")?;
    if inner.is_empty() {
        return Err(Box::new(
            Diagnostic::new("no-constraints", open, "the list of constraints is empty", "nothing in it")
                .with_help("take () out"),
        ));
    }
    for toks in split_commas(inner, parentheses) {
        let mut cursor = cursor.over(toks);
        match constraint(cx, &mut cursor, open) {
            Ok(constraint) => table.constraints.push(constraint),
            Err(diagnostic) => cx.found.push(*diagnostic),
        }
    }
    Ok(())
}

fn constraint(cx: &mut Context<'_>, cursor: &mut Cursor<'_>, list: Span) -> Parsed<ConstraintDef> {
    if cursor.peek().is_none() {
        return Err(Box::new(
            Diagnostic::new(
                "trailing-comma",
                list,
                "a comma in the list of constraints has nothing beside it",
                "in this list",
            )
            .with_help("take the comma out"),
        ));
    }
    if !cursor.peek().is_some_and(|t| t.is("CONSTRAINT")) {
        return Err(column_definition(cursor));
    }
    cursor.next();
    let name = cursor.name("the name of the constraint")?;
    if cursor.peek().is_some_and(|t| t.is("CHECK")) {
        return Err(Box::new(
            Diagnostic::new(
                "unexpected-word",
                cursor.here(),
                "a constraint here is an expectation, not a CHECK",
                "expected EXPECT",
            )
            .with_help("write CONSTRAINT name EXPECT (condition), and ON VIOLATION FAIL UPDATE to stop the run"),
        ));
    }
    cursor.expect("EXPECT", "CONSTRAINT name EXPECT (condition)")?;
    if !cursor.peek().is_some_and(|t| t.is_token(&Token::LParen)) {
        return Err(Box::new(
            Diagnostic::new(
                "missing-parenthesis",
                cursor.here(),
                "the condition is not between parentheses",
                "expected (",
            )
            .with_help("write EXPECT (condition)"),
        ));
    }
    let open = cursor.here();
    let inner = cursor.group("EXPECT (condition)")?;
    let condition = expression(cx, inner, open)?;
    let action = action(cursor)?;
    let text = references::text_of_all(cx, inner).trim().to_owned();
    Ok(ConstraintDef { name, condition, text, span: span_of(inner), action })
}

fn column_definition(cursor: &Cursor<'_>) -> Box<Diagnostic> {
    if let Some(word) = cursor.peek().and_then(Tok::word)
        && strsim::damerau_levenshtein(&word, "CONSTRAINT") <= 3
    {
        return cursor.expected(&["CONSTRAINT"], "the list of constraints");
    }
    let span = cursor.statement();
    Box::new(
        Diagnostic::new(
            "table-columns",
            span,
            "a streaming table lists no columns: they come from its query",
            "only CONSTRAINT stands here",
        )
        .with_help("cast and name the columns in the SELECT"),
    )
}

/// `[ON VIOLATION DROP ROW|FAIL UPDATE|QUARANTINE]` at the cursor.
fn action(cursor: &mut Cursor<'_>) -> Parsed<Action> {
    if cursor.peek().is_none() {
        return Ok(Action::Warn);
    }
    cursor.expect("ON", "a constraint")?;
    cursor.expect("VIOLATION", "ON VIOLATION")?;
    let context = "ON VIOLATION";
    let action = if cursor.eat("DROP") {
        cursor.expect("ROW", "ON VIOLATION DROP ROW")?;
        Action::Drop
    } else if cursor.eat("FAIL") {
        cursor.expect("UPDATE", "ON VIOLATION FAIL UPDATE")?;
        Action::Fail
    } else if cursor.eat("QUARANTINE") {
        cursor.eat("ROW");
        Action::Quarantine
    } else {
        let mut diagnostic = cursor.expected(&["DROP ROW", "FAIL UPDATE", "QUARANTINE"], context);
        if cursor.peek().is_some_and(|t| t.is("WARN")) {
            diagnostic.help = Some("to count the row and write it all the same, take ON VIOLATION out".to_owned());
        }
        return Err(diagnostic);
    };
    match cursor.peek() {
        None => Ok(action),
        Some(tok) if tok.is("CONSTRAINT") => Err(Box::new(
            Diagnostic::new("missing-comma", tok.span, "a comma is missing before this constraint", "expected , or )")
                .with_help("write a comma between two constraints"),
        )),
        Some(tok) => Err(Box::new(Diagnostic::new(
            "unexpected-word",
            tok.span,
            format!("{} does not belong here in a constraint", quoted(cursor.text(tok.span))),
            "expected , or )",
        ))),
    }
}
