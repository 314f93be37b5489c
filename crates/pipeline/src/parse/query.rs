//! Queries and conditions: sqlparser parses them, and its errors get their place and fix.

use datafusion::sql::sqlparser::ast as sql;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::cursor::{Parsed, quoted};
use super::lex::{Sql, Tok, span_of};
use super::size::{far_too_deep, operands, too_deep, too_long, too_often};
use super::{Context, foreign, references, spark, stream};
use crate::ast::{Query, Span};
use crate::diagnostic::{Diagnostic, byte_span, nearest, offset_at};
use crate::sql::query_of;
use crate::window::{rewrite, tables};

/// Words that start or join the clauses of a query: what a misspelt word is compared with.
const CLAUSES: &[&str] = &[
    "SELECT",
    "DISTINCT",
    "FROM",
    "STREAM",
    "WATERMARK",
    "DELAY",
    "INTERVAL",
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "UNION",
    "JOIN",
    "LEFT",
    "INNER",
    "USING",
    "BETWEEN",
    "CAST",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "LIMIT",
    "WITH",
];

/// The query that `toks` are.
pub(crate) fn query(cx: &mut Context<'_>, toks: &[Tok], owner: Span) -> Parsed<Query> {
    let Some(first) = toks.first() else {
        return Err(Box::new(
            Diagnostic::new("missing-query", owner, "the query is missing", "AS is followed by nothing")
                .with_help("write AS SELECT ... FROM STREAM ..."),
        ));
    };
    if !["SELECT", "WITH", "VALUES", "FROM"].iter().any(|w| first.is(w)) && !first.is_token(&Token::LParen) {
        let found = quoted(cx.slice(first.span));
        let like = first.word().and_then(|w| nearest(&w, ["SELECT", "WITH"]));
        return Err(Box::new(
            Diagnostic::new(
                "missing-query",
                first.span,
                format!("a query should stand here, not {found}"),
                "expected SELECT",
            )
            .with_help_opt(like.map(|w| format!("did you mean {w}?"))),
        ));
    }
    let toks = &*references::resolved(cx, toks);
    let before = cx.found.len();
    let extracted = stream::extract(cx.text, toks, &mut cx.leaves, &mut cx.found);
    if extracted.broken {
        return Ok(empty(toks));
    }
    let parsed = parse_all(cx.text, extracted.tokens, toks, |parser| parser.parse_query());
    let mut ast = match parsed {
        Ok(ast) => ast,
        // What was taken out wrongly has been reported; what sqlparser says of the hole would only confuse.
        Err(_) if cx.found.len() > before => return Ok(empty(toks)),
        Err(diagnostic) => return Err(diagnostic),
    };
    if !matches!(
        *ast.body,
        sql::SetExpr::Select(_) | sql::SetExpr::Query(_) | sql::SetExpr::SetOperation { .. } | sql::SetExpr::Values(_)
    ) {
        return Err(Box::new(Diagnostic::new(
            "not-a-query",
            first.span,
            "only a SELECT can feed a table or a view",
            "not a SELECT",
        )));
    }
    tables::resolve(cx.text, &mut ast, &extracted.window_tables, &mut cx.found);
    rewrite::query(cx.text, &mut ast, &mut cx.found);
    let (streams, window_names) = (extracted.streams, extracted.window_names);
    Ok(Query { ast, window_names, streams, span: span_of(toks) })
}

/// A query in place of one that could not be read, so that the statement's other parts are still checked. A mistake has
/// been reported, so nobody will run it.
fn empty(toks: &[Tok]) -> Query {
    let values = sql::Values { explicit_row: false, value_keyword: false, rows: Vec::new() };
    let ast = query_of(sql::SetExpr::Values(values), Vec::new());
    Query { ast: Box::new(ast), window_names: Vec::new(), streams: Vec::new(), span: span_of(toks) }
}

/// The expression that `toks` are; `owner` is pointed at when there are none.
pub(crate) fn expression(cx: &mut Context<'_>, toks: &[Tok], owner: Span) -> Parsed<sql::Expr> {
    if toks.is_empty() {
        return Err(Box::new(
            Diagnostic::new("missing-condition", owner, "the condition is missing", "nothing between the parentheses")
                .with_help("write EXPECT (event_id IS NOT NULL)"),
        ));
    }
    let toks = &*references::resolved(cx, toks);
    let tokens = toks.iter().map(|t| t.token.clone()).collect();
    let mut expr = parse_all(cx.text, tokens, toks, |parser| parser.parse_expr())?;
    rewrite::expression(cx.text, &mut expr, &mut cx.found);
    Ok(expr)
}

/// What `parse` makes of all `tokens`; `toks` are the same as they were written.
pub(crate) fn parse_all<T>(
    text: &str,
    tokens: Vec<TokenWithSpan>,
    toks: &[Tok],
    parse: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
) -> Parsed<T> {
    if let Some(diagnostic) = too_long(toks).or_else(|| far_too_deep(toks)) {
        return Err(Box::new(diagnostic));
    }
    let mut tokens = tokens;
    spark::map_types(&mut tokens);
    let dialect = Sql::of_operands(operands(&tokens));
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
    let wrong = |error: ParserError| too_deep(toks).unwrap_or_else(|| parser_error(text, &error, toks));
    let parsed = parse(&mut parser);
    // What is read then may be another reading than the one that took too long.
    if dialect.is_spent() {
        return Err(Box::new(too_often(toks)));
    }
    let value = parsed.map_err(|error| Box::new(wrong(error)))?;
    let next = parser.peek_token();
    if next.token == Token::EOF {
        return Ok(value);
    }
    if let Some(diagnostic) = too_deep(toks) {
        return Err(Box::new(diagnostic));
    }
    let span = byte_span(text, next.span).unwrap_or_else(|| span_of(toks));
    if next.token == Token::RParen {
        return Err(Box::new(Diagnostic::new(
            "unopened-parenthesis",
            span,
            "this parenthesis closes nothing",
            "no ( before it belongs to this",
        )));
    }
    if let Some(diagnostic) = called(text, toks, span).or_else(|| foreign::told(text, toks, span)) {
        return Err(Box::new(diagnostic));
    }
    let found = quoted(text.get(span.start..span.end).unwrap_or_default());
    Err(Box::new(likely(text, toks, span).unwrap_or_else(|| {
        Diagnostic::new("unexpected-word", span, format!("{found} does not belong here"), "the query ends before this")
    })))
}

/// sqlparser's complaint with its place: it says it only in words.
fn parser_error(text: &str, error: &ParserError, toks: &[Tok]) -> Diagnostic {
    let whole = span_of(toks);
    let message = match error {
        ParserError::ParserError(m) | ParserError::TokenizerError(m) => m.as_str(),
        ParserError::RecursionLimitExceeded => {
            return Diagnostic::new("too-deep", whole, "this is nested too deeply", "more than 50 levels")
                .with_help("cut it in two, with a view or a table between");
        }
    };
    let (message, location) = split_location(message);
    let span = match location {
        Some(location) => {
            let start = offset_at(text, location);
            toks.iter().find(|t| t.span.start == start).map_or(Span { start, end: start + 1 }, |t| t.span)
        }
        None => toks.last().map_or(whole, |t| t.span),
    };
    if let Some(open) = last_open(toks) {
        return super::lex::unclosed(open);
    }
    if let Some(diagnostic) =
        likely(text, toks, span).or_else(|| called(text, toks, span)).or_else(|| foreign::told(text, toks, span))
    {
        return diagnostic;
    }
    let (expected, _) = message.split_once(", found: ").unwrap_or((message, ""));
    let expected = expected.trim_start_matches("Expected: ").trim_start_matches("Expected ").trim_end_matches('.');
    if message.ends_with("found: EOF") {
        return Diagnostic::new(
            "unexpected-end",
            span,
            "this ends too early",
            format!("expected {expected} after this"),
        );
    }
    if !message.contains(", found: ") {
        return Diagnostic::new("syntax", span, format!("this cannot be read: {}", message.to_lowercase()), "here");
    }
    let found = quoted(text.get(span.start..span.end).unwrap_or_default());
    Diagnostic::new("syntax", span, format!("{found} does not belong here"), format!("expected {expected}"))
}

/// A function that is refused, called where sqlparser knows it as a word without parentheses; they stand at `span`.
fn called(text: &str, toks: &[Tok], span: Span) -> Option<Diagnostic> {
    let at = toks.iter().position(|t| t.span == span && t.is_token(&Token::LParen))?;
    let tok = toks.get(at.checked_sub(1)?)?;
    let name = tok.word()?.to_lowercase();
    let refusal = sluicebox_functions::refused(&name)?;
    let found = quoted(text.get(tok.span.start..tok.span.end).unwrap_or_default());
    Some(
        Diagnostic::new("not-supported", tok.span, format!("{found} {}", refusal.why), "not here")
            .with_help(refusal.instead),
    )
}

/// What is most likely meant where sqlparser stopped, at `span`.
fn likely(text: &str, toks: &[Tok], span: Span) -> Option<Diagnostic> {
    let at = toks.iter().position(|t| t.span.start >= span.start).unwrap_or(toks.len());
    let near = at.saturating_sub(3)..=at;
    trailing_comma(toks, at).or_else(|| {
        near.rev().filter_map(|i| Some((i, toks.get(i)?))).find_map(|(i, tok)| {
            let named = i > 0 && NAMES_FOLLOW.iter().any(|word| toks[i - 1].is(word));
            misplaced_clause(tok, &toks[..i], toks.get(i + 1))
                .or_else(|| if named { None } else { misspelt(text, tok) })
        })
    })
}

/// What follows these is a name, whatever it is like.
const NAMES_FOLLOW: [&str; 5] = ["STREAM", "FROM", "JOIN", "INTO", "AS"];

/// `... at Line: 3, Column: 8` without its end, and the place.
fn split_location(message: &str) -> (&str, Option<Location>) {
    let Some((head, tail)) = message.rsplit_once(" at Line: ") else { return (message, None) };
    let Some((line, column)) = tail.split_once(", Column: ") else { return (message, None) };
    match (line.trim().parse(), column.trim().parse()) {
        (Ok(line), Ok(column)) => (head, Some(Location { line, column })),
        _ => (message, None),
    }
}

fn last_open(toks: &[Tok]) -> Option<Span> {
    let mut open = Vec::new();
    for tok in toks {
        match tok.token.token {
            Token::LParen => open.push(tok.span),
            Token::RParen => {
                open.pop();
            }
            _ => {}
        }
    }
    open.last().copied()
}

/// A word that is almost a keyword: it was taken for a name.
fn misspelt(text: &str, tok: &Tok) -> Option<Diagnostic> {
    let word = tok.word()?;
    if word.len() < 3 || tok.keyword() != Keyword::NoKeyword && word != "FORM" || CLAUSES.contains(&word.as_str()) {
        return None;
    }
    let edits = |keyword: &str| strsim::damerau_levenshtein(&word, keyword);
    let close = CLAUSES.iter().filter(|k| edits(k) <= if k.len() > 5 { 2 } else { 1 });
    let near = close.min_by_key(|k| edits(k))?;
    let found = quoted(text.get(tok.span.start..tok.span.end)?);
    Some(
        Diagnostic::new("unexpected-word", tok.span, format!("{found} does not belong here"), format!("almost {near}"))
            .with_help(format!("did you mean {near}?")),
    )
}

/// Whether a subquery ends here, perhaps with its name.
fn of_subquery(before: &[Tok]) -> bool {
    let closes = |t: &Tok| t.is_token(&Token::RParen);
    match before {
        [.., last] if closes(last) => true,
        [.., close, name] if name.is_word() && closes(close) => true,
        [.., close, word, name] => name.is_word() && word.is("AS") && closes(close),
        _ => false,
    }
}

/// A clause of the table after its query, or a watermark away from its stream.
fn misplaced_clause(tok: &Tok, before: &[Tok], next: Option<&Tok>) -> Option<Diagnostic> {
    let followed = |word: &str| next.is_some_and(|t| t.is(word));
    let text_follows = next.is_some_and(|t| matches!(t.token.token, Token::SingleQuotedString(_)));
    let list_follows = next.is_some_and(|t| t.is_token(&Token::LParen));
    let clause = match tok.word()?.as_str() {
        "LOCATION" if text_follows => "LOCATION",
        "COMMENT" if text_follows => "COMMENT",
        "TBLPROPERTIES" if list_follows => "TBLPROPERTIES",
        "PARTITIONED" if followed("BY") => "PARTITIONED BY",
        "WATERMARK" if of_subquery(before) => {
            return Some(
                Diagnostic::new("unexpected-word", tok.span, "WATERMARK stands beside a stream, not a subquery", "not here")
                    .with_help(
                        "write it in the subquery, after the stream's name; a column that the subquery computes is computed in an \
                         upstream table instead, and WATERMARK put on that",
                    ),
            );
        }
        "WATERMARK" => {
            return Some(
                Diagnostic::new("unexpected-word", tok.span, "WATERMARK does not stand beside its stream", "not here")
                    .with_help("write it right after the stream's name: FROM STREAM t WATERMARK ..."),
            );
        }
        _ => return None,
    };
    Some(
        Diagnostic::new("unexpected-word", tok.span, format!("{clause} stands after the query"), "not here")
            .with_help(format!("write {clause} before AS SELECT")),
    )
}

/// A comma before a word that starts a clause, up to the token at `at`.
fn trailing_comma(toks: &[Tok], at: usize) -> Option<Diagnostic> {
    let ends = |t: &Tok| {
        ["FROM", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "UNION"].iter().any(|w| t.is(w))
            || t.is_token(&Token::RParen)
    };
    let pair = toks.windows(2).take(at + 1).find(|p| p[0].is_token(&Token::Comma) && ends(&p[1]))?;
    Some(
        Diagnostic::new("trailing-comma", pair[0].span, "the comma is followed by nothing", "nothing follows")
            .with_help("take the comma out, or write what is missing after it"),
    )
}
