//! The table functions TUMBLE, HOP, CUMULATE and SESSION in FROM, which sqlparser does not read: the table that they stand around is left in
//! their place, and what they say goes to [`crate::window::tables`].

use datafusion::sql::sqlparser::ast as sql;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::{Cursor, Parsed};
use super::interval::interval_literal;
use super::lex::Tok;
use super::stream::{LEAF, alias, stream};
use crate::ast::{Span, StreamRef};
use crate::diagnostic::Diagnostic;
use crate::window::tables::{Kind, Length, WindowTable};

/// What a table function reads.
pub(super) struct Read {
    /// What it says.
    pub(super) table: WindowTable,
    /// The stream, if it is one and no query of WITH.
    pub(super) stream: Option<StreamRef>,
    /// The name in FROM, and what its columns are qualified by.
    pub(super) name: Tok,
    pub(super) alias: Tok,
}

/// Whether a table function of windows starts here; then which one, and how many tokens stand before its `(`.
pub(super) fn starts(toks: &[Tok]) -> Option<(Kind, usize)> {
    let open = |at: usize| toks.get(at).is_some_and(|t| t.is_token(&Token::LParen));
    let before = usize::from(toks.first()?.is("TABLE") && open(1)) * 2;
    let kind = Kind::named(&toks.get(before)?.word()?)?;
    open(before + 1).then_some((kind, before + 1))
}

/// `TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) AS w` at the cursor, with or without the outer word. `queries` are the names
/// that WITH gives in this query.
pub(super) fn read(
    cursor: &mut Cursor<'_>,
    (kind, before): (Kind, usize),
    queries: &[String],
    leaves: &mut usize,
    found: &mut Vec<Diagnostic>,
) -> Parsed<Read> {
    let start = cursor.here();
    for _ in 0..before {
        cursor.next();
    }
    let span = Span { start: start.start, end: cursor.before().end };
    cursor.next();
    eat_name(cursor, &["DATA"]);
    let (stream, name, of) = source(cursor, queries, leaves, found)?;
    let partition_by = if kind == Kind::Session { partition_by(cursor)? } else { Vec::new() };
    let (mut time, mut lengths) = (None, vec![None; kind.lengths().len()]);
    let mut place = 0;
    while cursor.eat_token(&Token::Comma) {
        let mut names = kind.lengths().to_vec();
        names.push("TIMECOL");
        let named = eat_name(cursor, &names);
        if cursor.peek().is_some_and(|t| t.is("DESCRIPTOR")) {
            time = Some(descriptor(cursor)?);
            continue;
        }
        let at = named.and_then(|name| kind.lengths().iter().position(|of| *of == name)).unwrap_or(place);
        let Some(what) = kind.lengths().get(at) else {
            return Err(cursor.expected(&[")"], kind.name()));
        };
        let first = cursor.peek().map(|t| t.token.span);
        let written = interval_literal(cursor, &format!("the {} of the windows", what.to_lowercase()))?;
        lengths[at] = first.map(|place| Length { written, place });
        place = at + 1;
    }
    for _ in 0..=usize::from(before == 3) {
        if !cursor.eat_token(&Token::RParen) {
            return Err(cursor.expected(&[")", ","], kind.name()));
        }
    }
    let alias = alias(cursor).unwrap_or(&of).clone();
    let at = alias.token.span.start;
    let missing = |what: &str| {
        Box::new(
            Diagnostic::new("window", span, format!("{} lacks {what}", kind.name()), "not complete")
                .with_help(kind.form()),
        )
    };
    let time = time.ok_or_else(|| missing("DESCRIPTOR with the column of the event time"))?;
    let needed = kind.needed();
    if let Some(lack) = (0..needed).find(|at| lengths[*at].is_none()) {
        return Err(missing(&format!("the {}", kind.lengths()[lack].to_lowercase())));
    }
    let table = WindowTable { at, span, kind, time, lengths, partition_by };
    Ok(Read { table, stream, name, alias })
}

/// `NAME =>` at the cursor, of one of these names.
fn eat_name(cursor: &mut Cursor<'_>, names: &[&'static str]) -> Option<&'static str> {
    let tok = cursor.peek()?;
    let name = *names.iter().find(|name| tok.is(name))?;
    if !cursor.peek_nth(1).is_some_and(|t| t.is_token(&Token::RArrow)) {
        return None;
    }
    cursor.next();
    cursor.next();
    Some(name)
}

/// `[TABLE] [STREAM] t [WATERMARK ...]` at the cursor: the stream, unless it is a query of WITH; its name, and its alias.
fn source(
    cursor: &mut Cursor<'_>,
    queries: &[String],
    leaves: &mut usize,
    found: &mut Vec<Diagnostic>,
) -> Parsed<(Option<StreamRef>, Tok, Tok)> {
    cursor.eat("TABLE");
    if cursor.peek().is_some_and(|t| t.is_token(&Token::LParen)) {
        return Err(Box::new(
            Diagnostic::new(
                "window",
                cursor.here(),
                "a table function of windows reads a table by its name",
                "a query",
            )
            .with_help("name the query: WITH q AS (SELECT ...) SELECT ... FROM TABLE(TUMBLE(TABLE q, ...))"),
        ));
    }
    let word = cursor.peek().is_some_and(|t| t.is("STREAM"))
        && cursor.peek_nth(1).is_some_and(|t| t.is_word() || t.is_token(&Token::LParen));
    if word {
        let (stream, alias) = stream(cursor, leaves, found)?;
        return Ok((Some(stream), alias.clone(), alias));
    }
    let Some(tok) = cursor.peek() else { return Err(cursor.expected(&["a name"], "TABLE")) };
    let table = cursor.name("the name of a stream")?;
    if queries.contains(&table.value) {
        return Ok((None, tok.clone(), tok.clone()));
    }
    let leaf = format!("{LEAF}{leaves}");
    *leaves += 1;
    Ok((Some(StreamRef { leaf, table, watermark: None }), tok.clone(), tok.clone()))
}

/// `PARTITION BY (a, b)` or `PARTITION BY a` at the cursor.
fn partition_by(cursor: &mut Cursor<'_>) -> Parsed<Vec<sql::Ident>> {
    if !cursor.eat("PARTITION") {
        return Ok(Vec::new());
    }
    cursor.expect("BY", "PARTITION BY")?;
    let bracketed = cursor.eat_token(&Token::LParen);
    let mut keys = vec![ident(cursor)?];
    while bracketed && cursor.eat_token(&Token::Comma) {
        keys.push(ident(cursor)?);
    }
    if bracketed && !cursor.eat_token(&Token::RParen) {
        return Err(cursor.expected(&[")", ","], "PARTITION BY"));
    }
    Ok(keys)
}

/// `DESCRIPTOR(column)` at the cursor.
fn descriptor(cursor: &mut Cursor<'_>) -> Parsed<sql::Ident> {
    cursor.next();
    if !cursor.eat_token(&Token::LParen) {
        return Err(cursor.expected(&["("], "DESCRIPTOR"));
    }
    let column = ident(cursor)?;
    if !cursor.eat_token(&Token::RParen) {
        return Err(cursor.expected(&[")"], "DESCRIPTOR"));
    }
    Ok(column)
}

/// The name of a column at the cursor.
fn ident(cursor: &mut Cursor<'_>) -> Parsed<sql::Ident> {
    let wrong = cursor.expected(&["the name of a column"], "a table function of windows");
    let Some(tok) = cursor.next() else { return Err(wrong) };
    match &tok.token.token {
        Token::Word(word) => {
            Ok(sql::Ident { value: word.value.clone(), quote_style: word.quote_style, span: tok.token.span })
        }
        _ => Err(wrong),
    }
}
