//! Parses one statement; and SET, views and flows.

mod columns;
mod source;
mod table;

use datafusion::sql::sqlparser::tokenizer::Token;
use sluicebox_core::secret::may_be_secret;

use super::Context;
use super::cursor::{Cursor, Parsed, quoted};
use super::lex::Tok;
use super::query::query;
use crate::ast::{FlowDef, Span, Spanned, ViewDef};
use crate::diagnostic::{Diagnostic, nearest};
use crate::settings;

/// How each statement starts.
const STATEMENTS: &str =
    "SET, CREATE TABLE, CREATE TEMPORARY VIEW, CREATE STREAMING TABLE and CREATE FLOW are the statements of a pipeline";

/// Reads one statement into the context; its mistake ends it.
pub(crate) fn statement(cx: &mut Context<'_>, toks: &[Tok]) {
    let mut cursor = Cursor::new(cx.text, toks);
    let outcome = if cursor.eat("SET") {
        set(cx, &mut cursor)
    } else if cursor.eat("CREATE") {
        create(cx, &mut cursor)
    } else {
        Err(Box::new(unknown(&cursor)))
    };
    if let Err(diagnostic) = outcome {
        cx.found.push(*diagnostic);
        cx.broken.extend(defined_name(toks));
    }
}

/// The name that a statement with a mistake would have defined, as well as can be said.
fn defined_name(toks: &[Tok]) -> Option<String> {
    let skip =
        ["CREATE", "OR", "REFRESH", "REPLACE", "TEMPORARY", "TEMP", "STREAMING", "MATERIALIZED", "IF", "NOT", "EXISTS"];
    let at = toks.iter().position(|t| ["TABLE", "VIEW", "FLOW"].iter().any(|w| t.is(w)))?;
    let tok = toks[at + 1..].iter().find(|t| !skip.iter().any(|w| t.is(w)))?;
    match &tok.token.token {
        Token::Word(w) if w.quote_style.is_some() => Some(w.value.clone()),
        Token::Word(w) => Some(w.value.to_lowercase()),
        _ => None,
    }
}

fn unknown(cursor: &Cursor<'_>) -> Diagnostic {
    let span = cursor.here();
    let word = cursor.peek().and_then(Tok::word).unwrap_or_default();
    let diagnostic = Diagnostic::new(
        "unknown-statement",
        span,
        format!("no statement of a pipeline starts with {}", quoted(cursor.text(span))),
        "not a statement",
    );
    let help = match word.as_str() {
        "SELECT" | "WITH" => Some("a query needs a table: CREATE STREAMING TABLE name AS SELECT ...".to_owned()),
        "INSERT" => Some("give it a name: CREATE FLOW name AS INSERT INTO ...".to_owned()),
        _ => nearest(&word, ["SET", "CREATE"]).map(|w| format!("did you mean {w}?")),
    };
    diagnostic.with_note(STATEMENTS).with_help_opt(help)
}

/// `SET 'key' = 'value'`, or Spark's form without quotes.
fn set(cx: &mut Context<'_>, cursor: &mut Cursor<'_>) -> Parsed<()> {
    let toks = cursor.rest();
    let Some(eq) = toks.iter().position(|t| t.is_token(&Token::Eq)) else {
        let place = toks.last().map_or(cursor.before(), |t| t.span);
        return Err(Box::new(
            Diagnostic::new("set-without-value", place, "SET without a value", "= and a value should follow")
                .with_help("write SET 'key' = 'value';"),
        ));
    };
    let equals = toks[eq].span;
    let key = raw(cursor, &toks[..eq], equals, "the key is missing")?;
    let mut value = raw(cursor, &toks[eq + 1..], equals, "the value is missing")?;
    let key = Spanned { value: key.value.to_lowercase(), span: key.span };
    if let Some(first) = cx.settings.get(&key.value) {
        return Err(Box::new(
            Diagnostic::new(
                "duplicate-setting",
                key.span,
                format!("{} is set twice", quoted(&key.value)),
                "the second time",
            )
            .with_help("keep one of them")
            .with_related(first.span, "the first value"),
        ));
    }
    let written = value.value.clone();
    cx.resolve("setting", &key.value, &mut value)?;
    match settings::check(&key.value, &value.value, &written) {
        Ok(()) => {}
        Err(problem) if problem.about_value => return Err(Box::new(problem.at("setting", value.span))),
        Err(problem) => return Err(Box::new(problem.at("unknown-setting", key.span))),
    }
    cx.settings.insert(key.value, value);
    Ok(())
}

/// A text between quotes, or the words as they stand.
fn raw(cursor: &Cursor<'_>, toks: &[Tok], place: Span, missing: &str) -> Parsed<Spanned<String>> {
    match toks {
        [] => Err(Box::new(
            Diagnostic::new("set-without-value", place, missing, "here").with_help("write SET 'key' = 'value';"),
        )),
        [one] => match &one.token.token {
            Token::SingleQuotedString(s) => Ok(Spanned { value: s.clone(), span: one.span }),
            Token::Word(w) if w.quote_style.is_some() => Ok(Spanned { value: w.value.clone(), span: one.span }),
            _ => Ok(Spanned { value: cursor.text(one.span).to_owned(), span: one.span }),
        },
        [first, .., last] => {
            let span = Span { start: first.span.start, end: last.span.end };
            if let Some(text) = toks.iter().find(|t| matches!(t.token.token, Token::SingleQuotedString(_))) {
                let message = "a quoted text stands beside other words";
                return Err(Box::new(
                    Diagnostic::new("set-quotes", text.span, message, "quoted")
                        .with_help("put the whole value between single quotes"),
                ));
            }
            Ok(Spanned { value: cursor.text(span).trim().to_owned(), span })
        }
    }
}

fn create(cx: &mut Context<'_>, cursor: &mut Cursor<'_>) -> Parsed<()> {
    let replaced = cursor.eat_all(&["OR", "REPLACE"]);
    let refreshed = !replaced && cursor.eat_all(&["OR", "REFRESH"]);
    if cursor.eat_all(&["STREAMING", "TABLE"]) {
        return table::streaming_table(cx, cursor);
    }
    let what = cursor.here();
    if cursor.eat("TABLE") {
        if refreshed {
            return Err(cursor_error(
                what,
                "OR REFRESH belongs to a streaming table",
                "write CREATE OR REFRESH STREAMING TABLE",
            ));
        }
        return source::source(cx, cursor);
    }
    if cursor.eat("TEMPORARY") || cursor.eat("TEMP") {
        cursor.expect("VIEW", "CREATE TEMPORARY VIEW")?;
        return view(cx, cursor);
    }
    if cursor.eat("FLOW") {
        return flow(cx, cursor);
    }
    if cursor.eat("VIEW") {
        return Err(cursor_error(
            what,
            "a view lives in its pipeline only, so it is temporary",
            "write CREATE TEMPORARY VIEW",
        ));
    }
    if cursor.eat_all(&["MATERIALIZED", "VIEW"]) {
        return Err(cursor_error(
            what,
            "there are no materialized views: every table is kept up to date batch by batch",
            "write CREATE STREAMING TABLE, and read its input by FROM STREAM",
        ));
    }
    if cursor.eat_all(&["EXTERNAL", "TABLE"]) {
        return Err(cursor_error(what, "a source says its kind", "write CREATE TABLE name USING kafka OPTIONS (...)"));
    }
    if cursor.eat("STREAMING") {
        return Err(cursor.expected(&["TABLE"], "CREATE STREAMING TABLE"));
    }
    Err(cursor.expected(&["STREAMING TABLE", "TABLE", "TEMPORARY VIEW", "FLOW"], "CREATE"))
}

fn cursor_error(span: Span, message: &str, help: &str) -> Box<Diagnostic> {
    Box::new(Diagnostic::new("unsupported-statement", span, message, "not this").with_help(help))
}

/// `CREATE TEMPORARY VIEW name AS SELECT ...`, from the name on.
fn view(cx: &mut Context<'_>, cursor: &mut Cursor<'_>) -> Parsed<()> {
    cursor.eat_all(&["IF", "NOT", "EXISTS"]);
    let name = cursor.name("the name of the view")?;
    comment(cursor)?;
    let owner = cursor.here();
    cursor.expect("AS", "CREATE TEMPORARY VIEW")?;
    let query = query(cx, cursor.rest(), owner)?;
    cx.views.push(ViewDef { name, query });
    Ok(())
}

/// `CREATE FLOW name AS INSERT INTO table SELECT ...`, from the name on.
fn flow(cx: &mut Context<'_>, cursor: &mut Cursor<'_>) -> Parsed<()> {
    let name = cursor.name("the name of the flow")?;
    comment(cursor)?;
    cursor.expect("AS", "CREATE FLOW")?;
    if cursor.peek().is_some_and(|t| t.is("SELECT") || t.is("WITH")) {
        return Err(cursor_error(
            cursor.here(),
            "this flow does not say which table it feeds",
            "write AS INSERT INTO table SELECT ...",
        ));
    }
    cursor.expect("INSERT", "CREATE FLOW name AS INSERT INTO")?;
    cursor.expect("INTO", "CREATE FLOW name AS INSERT INTO")?;
    let once = cursor.here();
    if cursor.eat("ONCE") {
        return Err(cursor_error(once, "INSERT INTO ONCE is not known: a flow runs in every batch", "take ONCE out"));
    }
    let table = cursor.name("the table to insert into")?;
    // A flow's columns must have the table's names in the table's order, so that by name and by position is the same.
    cursor.eat_all(&["BY", "NAME"]);
    let owner = cursor.before();
    let query = query(cx, cursor.rest(), owner)?;
    cx.flows.push((table, FlowDef { name, query }));
    Ok(())
}

/// `COMMENT 'text'`, which is read and left.
fn comment(cursor: &mut Cursor<'_>) -> Parsed<()> {
    if cursor.eat("COMMENT") {
        cursor.string("the comment")?;
    }
    Ok(())
}

/// `('key' = 'value', ...)` at the cursor. Spark's other spellings are taken too: keys without quotes, values without
/// `=` before them, numbers and booleans without quotes. `what` is `option` or `property`.
fn pairs(cursor: &mut Cursor<'_>, context: &str, what: &str) -> Parsed<Vec<(Spanned<String>, Spanned<String>)>> {
    let inner = cursor.group(context)?;
    let mut list: Vec<(Spanned<String>, Spanned<String>)> = Vec::new();
    let mut cursor = cursor.over(inner);
    while cursor.peek().is_some() {
        let key = pair_key(&mut cursor, what)?;
        let equals = cursor.eat_token(&Token::Eq);
        let value = pair_value(&mut cursor, &key, equals)?;
        if let Some((first, _)) = list.iter().find(|(k, _)| k.value.eq_ignore_ascii_case(&key.value)) {
            let message = format!("the {what} {} is given twice", quoted(&key.value));
            return Err(Box::new(
                Diagnostic::new("duplicate-option", key.span, message, "the second time")
                    .with_help("keep one of them")
                    .with_related(first.span, "the first time"),
            ));
        }
        list.push((key, value));
        let place = cursor.here();
        if cursor.eat_token(&Token::Comma) {
            if cursor.peek().is_none() {
                let message = format!("the comma is followed by no {what}");
                return Err(Box::new(
                    Diagnostic::new("trailing-comma", place, message, "nothing follows")
                        .with_help("take the comma out"),
                ));
            }
        } else if cursor.peek().is_some() {
            let message = format!("a comma is missing before this {what}");
            return Err(Box::new(
                Diagnostic::new("missing-comma", place, message, "expected , or )")
                    .with_help("write a comma between two of them"),
            ));
        }
    }
    Ok(list)
}

/// A key between quotes, or words with points between them.
fn pair_key(cursor: &mut Cursor<'_>, what: &str) -> Parsed<Spanned<String>> {
    let start = cursor.here();
    if cursor.peek().is_none_or(|t| t.word().is_none()) {
        return cursor.string(&format!("the name of the {what}"));
    }
    cursor.next();
    while cursor.peek().is_some_and(|t| t.is_token(&Token::Period)) && cursor.peek_nth(1).is_some_and(Tok::is_word) {
        cursor.next();
        cursor.next();
    }
    let span = Span { start: start.start, end: cursor.before().end };
    Ok(Spanned { value: cursor.text(span).to_owned(), span })
}

fn pair_value(cursor: &mut Cursor<'_>, key: &Spanned<String>, equals: bool) -> Parsed<Spanned<String>> {
    let start = cursor.here();
    let plain =
        cursor.peek().is_some_and(|t| matches!(t.token.token, Token::Number(..)) || t.is("TRUE") || t.is("FALSE"));
    if plain {
        cursor.next();
        return Ok(Spanned { value: cursor.text(start).to_lowercase(), span: start });
    }
    let ends = cursor.peek().is_none_or(|t| t.is_token(&Token::Comma));
    if ends {
        let message = format!("{} has no value", quoted(&key.value));
        let label = if equals { "a value should follow the =" } else { "= and a value should follow" };
        return Err(Box::new(
            Diagnostic::new("missing-value", key.span, message, label)
                .with_help(format!("write '{}' = 'value'", key.value)),
        ));
    }
    cursor.string(&format!("the value of {}", quoted(&key.value))).map_err(|mut mistake| {
        // The help has the value in it.
        if may_be_secret(&key.value) {
            mistake.help = Some("write it between single quotes".to_owned());
        }
        mistake
    })
}

/// The parts of `toks` between commas outside of what `opens` says is opened (1) and closed (-1); none for no tokens.
fn split_commas(toks: &[Tok], opens: impl Fn(&Token) -> i32) -> Vec<&[Tok]> {
    let mut depth = 0;
    let mut parts = Vec::new();
    let mut start = 0;
    for (i, tok) in toks.iter().enumerate() {
        if depth == 0 && tok.is_token(&Token::Comma) {
            parts.push(&toks[start..i]);
            start = i + 1;
        }
        depth = (depth + opens(&tok.token.token)).max(0);
    }
    if !toks.is_empty() {
        parts.push(&toks[start..]);
    }
    parts
}

/// What parentheses open.
fn parentheses(token: &Token) -> i32 {
    match token {
        Token::LParen => 1,
        Token::RParen => -1,
        _ => 0,
    }
}
