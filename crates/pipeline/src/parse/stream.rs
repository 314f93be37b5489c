//! Takes `STREAM t`, `STREAM(t)` and `WATERMARK ...` out of a query's tokens. sqlparser would parse them as a table `stream` with the alias
//! `t`.

use datafusion::sql::sqlparser::keywords::{Keyword, RESERVED_FOR_TABLE_ALIAS};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Word};

use super::cursor::{Cursor, Parsed, quoted};
use super::interval::interval_literal;
use super::lex::{Tok, span_of};
use super::tables;
use crate::ast::{Span, Spanned, StreamRef, WatermarkDef};
use crate::diagnostic::Diagnostic;
use crate::window::tables::WindowTable;

/// What the names of streams begin with in the rewritten query.
pub(crate) const LEAF: &str = "__sb_stream_";

/// A query's tokens without what sqlparser does not know, and what was taken out.
pub(crate) struct Extracted {
    /// For sqlparser.
    pub(crate) tokens: Vec<TokenWithSpan>,
    /// The streams, in the order of the text.
    pub(crate) streams: Vec<StreamRef>,
    /// Whether a stream could not be read, so that what is left of the query makes no sense.
    pub(crate) broken: bool,
    /// `GROUP BY window(...) AS name`: where the word `window` stands, and the name.
    pub(crate) window_names: Vec<(Location, Spanned<String>)>,
    /// What TUMBLE and its like say of the tables that they stood around.
    pub(crate) window_tables: Vec<WindowTable>,
}

/// The part of a SELECT that a token belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clause {
    Select,
    From,
    GroupBy,
    Other,
}

/// Takes the streams out of `toks`, the tokens of one query. `leaves` counts the streams of the pipeline.
pub(crate) fn extract(text: &str, toks: &[Tok], leaves: &mut usize, found: &mut Vec<Diagnostic>) -> Extracted {
    let mut out = Extracted {
        tokens: Vec::with_capacity(toks.len()),
        streams: Vec::new(),
        broken: false,
        window_names: Vec::new(),
        window_tables: Vec::new(),
    };
    let queries = names_of_with(toks);
    let mut clauses = vec![Clause::Other];
    let mut i = 0;
    while let Some(tok) = toks.get(i) {
        let clause = clauses.last().copied().unwrap_or(Clause::Other);
        let relation = clause == Clause::From && i > 0 && opens_relation(&toks[i - 1]);
        if relation && starts_stream(&toks[i..]) {
            let mut cursor = Cursor::new(text, &toks[i..]);
            match stream(&mut cursor, leaves, found) {
                Ok((stream, alias)) => {
                    push_leaf(&mut out.tokens, &stream, &alias);
                    out.streams.push(stream);
                }
                Err(diagnostic) => {
                    found.push(*diagnostic);
                    out.broken = true;
                }
            }
            i = toks.len() - cursor.rest().len();
            continue;
        }
        if relation && let Some(of) = tables::starts(&toks[i..]) {
            let mut cursor = Cursor::new(text, &toks[i..]);
            match tables::read(&mut cursor, of, &queries, leaves, found) {
                Ok(read) => {
                    match read.stream {
                        Some(stream) => {
                            push_leaf(&mut out.tokens, &stream, &read.alias);
                            out.streams.push(stream);
                        }
                        None => push_table(&mut out.tokens, &read.name, &read.alias),
                    }
                    out.window_tables.push(read.table);
                }
                Err(diagnostic) => {
                    found.push(*diagnostic);
                    out.broken = true;
                }
            }
            i = toks.len() - cursor.rest().len();
            continue;
        }
        if relation && let Some(end) = super::foreign::relation(text, &toks[i..], found) {
            out.broken = true;
            i += end;
            continue;
        }
        if relation && let Some(end) = watermark_without_stream(text, &toks[i..], found) {
            out.tokens.push(tok.token.clone());
            i += end;
            continue;
        }
        step(&mut clauses, clause, toks, i, relation);
        if clause == Clause::GroupBy
            && let Some((name, end)) = window_name(toks, i)
        {
            out.window_names.push((tok.token.span.start, name));
            out.tokens.extend(toks[i..end - 2].iter().map(plain));
            i = end;
            continue;
        }
        let keep = named_window(&toks[i..]);
        out.tokens.push(if keep {
            tok.token.clone()
        } else if calls(&toks[i..]) {
            name(tok)
        } else {
            plain(tok)
        });
        i += 1;
    }
    out
}

/// The names that WITH gives to queries, as queries are read by them.
fn names_of_with(toks: &[Tok]) -> Vec<String> {
    let mut names = Vec::new();
    for group in toks.windows(4) {
        let [before, name, word, open] = group else { continue };
        let starts = before.is("WITH") || before.is("RECURSIVE") || before.is_token(&Token::Comma);
        if starts
            && word.is("AS")
            && open.is_token(&Token::LParen)
            && let Token::Word(w) = &name.token.token
        {
            names.push(if w.quote_style.is_none() { w.value.to_lowercase() } else { w.value.clone() });
        }
    }
    names
}

/// What clause we are in after the token at `i`.
fn step(clauses: &mut Vec<Clause>, clause: Clause, toks: &[Tok], i: usize, relation: bool) {
    let tok = &toks[i];
    let become_ = |clauses: &mut Vec<Clause>, new: Clause| {
        if let Some(last) = clauses.last_mut() {
            *last = new;
        }
    };
    match &tok.token.token {
        Token::LParen => {
            let query = toks.get(i + 1).is_some_and(|t| t.is("SELECT") || t.is("WITH") || t.is("VALUES"));
            clauses.push(if relation && !query { Clause::From } else { Clause::Other });
        }
        Token::RParen if clauses.len() > 1 => {
            clauses.pop();
        }
        Token::Word(w) if w.quote_style.is_none() => match w.keyword {
            Keyword::SELECT => become_(clauses, Clause::Select),
            // Not the FROM of IS DISTINCT FROM.
            Keyword::FROM
                if clause == Clause::Select && !(i > 1 && toks[i - 1].is("DISTINCT") && !toks[i - 2].is("SELECT")) =>
            {
                become_(clauses, Clause::From);
            }
            Keyword::GROUP if clause == Clause::From || clause == Clause::Other => become_(clauses, Clause::GroupBy),
            Keyword::WHERE | Keyword::HAVING | Keyword::ORDER | Keyword::LIMIT | Keyword::QUALIFY
                if clause != Clause::Select =>
            {
                become_(clauses, Clause::Other);
            }
            _ => {}
        },
        _ => {}
    }
}

/// Whether a relation may start after this token of a FROM clause.
fn opens_relation(tok: &Tok) -> bool {
    tok.is("FROM") || tok.is("JOIN") || tok.is_token(&Token::Comma) || tok.is_token(&Token::LParen)
}

/// Whether `STREAM` here is our word, not the name of a table.
fn starts_stream(toks: &[Tok]) -> bool {
    toks.first().is_some_and(|t| t.is("STREAM"))
        && toks.get(1).is_some_and(|next| {
            next.is_token(&Token::LParen)
                || (next.is_word()
                    && (next.keyword() == Keyword::NoKeyword || !RESERVED_FOR_TABLE_ALIAS.contains(&next.keyword()))
                    && !next.is("AS"))
        })
}

/// Whether `WINDOW` here starts a clause `WINDOW name AS (...)`; anywhere else the word is a name.
fn named_window(toks: &[Tok]) -> bool {
    toks[0].is("WINDOW")
        && toks.get(1).is_some_and(Tok::is_word)
        && toks.get(2).is_some_and(|t| t.is("AS"))
        && toks.get(3).is_some_and(|t| t.is_token(&Token::LParen))
}

/// Whether `EXISTS` or `ARRAY` here is a function, not the word before a subquery.
fn calls(toks: &[Tok]) -> bool {
    (toks[0].is("EXISTS") || toks[0].is("ARRAY"))
        && toks.get(1).is_some_and(|t| t.is_token(&Token::LParen))
        && !toks.get(2).is_some_and(|t| t.is("SELECT") || t.is("WITH") || t.is("VALUES"))
}

/// The word as a name that means nothing else.
fn name(tok: &Tok) -> TokenWithSpan {
    let mut token = tok.token.clone();
    if let Token::Word(w) = &mut token.token {
        w.keyword = Keyword::NoKeyword;
    }
    token
}

/// The token as it is, but for the word `window`, which must not end a FROM clause.
fn plain(tok: &Tok) -> TokenWithSpan {
    let mut token = tok.token.clone();
    if let Token::Word(w) = &mut token.token
        && w.keyword == Keyword::WINDOW
    {
        w.keyword = Keyword::NoKeyword;
    }
    token
}

/// `window(...) AS name` at `i`, or a session's: the name, and where the tokens after it start.
fn window_name(toks: &[Tok], i: usize) -> Option<(Spanned<String>, usize)> {
    let window = toks[i].is("WINDOW") || toks[i].is("SESSION_WINDOW");
    if !(window && toks.get(i + 1)?.is_token(&Token::LParen)) {
        return None;
    }
    let mut depth = 0_usize;
    let close = toks[i + 1..].iter().position(|t| {
        match t.token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        depth == 0
    })? + i
        + 1;
    let name = toks.get(close + 2)?;
    let Token::Word(w) = &name.token.token else { return None };
    let value = if w.quote_style.is_none() { w.value.to_lowercase() } else { w.value.clone() };
    toks.get(close + 1)?.is("AS").then_some((Spanned { value, span: name.span }, close + 3))
}

/// `STREAM t`, its alias and its watermark, at the cursor.
pub(super) fn stream(
    cursor: &mut Cursor<'_>,
    leaves: &mut usize,
    found: &mut Vec<Diagnostic>,
) -> Parsed<(StreamRef, Tok)> {
    cursor.next();
    let bracketed = cursor.eat_token(&Token::LParen);
    if cursor.peek().is_some_and(|t| t.is("SELECT") || t.is("WITH") || t.is_token(&Token::LParen)) {
        return Err(stream_of_query(cursor));
    }
    let Some(name_tok) = cursor.peek() else { return Err(cursor.expected(&["a name"], "STREAM")) };
    let table = cursor.name("the name of a stream")?;
    if cursor.peek().is_some_and(|t| t.is_token(&Token::LParen)) {
        return Err(stream_of_function(cursor, &table));
    }
    if bracketed && !cursor.eat_token(&Token::RParen) {
        return Err(cursor.expected(&[")"], "STREAM(...)"));
    }
    let mut alias = alias(cursor);
    let watermark = match cursor.peek() {
        Some(t) if t.is("WATERMARK") => {
            let alias = alias.map(|tok| cursor.text(tok.span));
            watermark(cursor, &table.value, alias, found)?
        }
        _ => None,
    };
    if alias.is_none() {
        alias = self::alias(cursor);
    }
    if let Some(second) = cursor.peek().filter(|t| t.is("WATERMARK")) {
        return Err(Box::new(
            Diagnostic::new("second-watermark", second.span, "a stream has one WATERMARK", "the second one")
                .with_help("leave one of them out"),
        ));
    }
    let leaf = format!("{LEAF}{leaves}");
    *leaves += 1;
    Ok((StreamRef { leaf, table, watermark }, alias.unwrap_or(name_tok).clone()))
}

fn stream_of_query(cursor: &mut Cursor<'_>) -> Box<Diagnostic> {
    let span = cursor.here();
    skip_group(cursor);
    Box::new(
        Diagnostic::new(
            "stream-of-query",
            span,
            "STREAM reads a source, a streaming table or a view, not a query",
            "a query",
        )
        .with_help("write STREAM inside the query: FROM (SELECT ... FROM STREAM t)"),
    )
}

fn stream_of_function(cursor: &mut Cursor<'_>, name: &Spanned<String>) -> Box<Diagnostic> {
    cursor.next();
    skip_group(cursor);
    Box::new(
        Diagnostic::new(
            "stream-of-function",
            name.span,
            format!("{} is no source: sources are declared, not called", quoted(&name.value)),
            "a function",
        )
        .with_help("declare it once with CREATE TABLE name USING kafka OPTIONS (...), then read FROM STREAM name"),
    )
}

/// Goes past the `)` that closes the group in which the cursor stands.
fn skip_group(cursor: &mut Cursor<'_>) {
    let mut depth = 1_usize;
    while depth > 0 {
        match cursor.next().map(|t| &t.token.token) {
            Some(Token::LParen) => depth += 1,
            Some(Token::RParen) => depth -= 1,
            Some(_) => {}
            None => break,
        }
    }
}

/// `[AS] alias` at the cursor.
pub(super) fn alias<'a>(cursor: &mut Cursor<'a>) -> Option<&'a Tok> {
    if cursor.peek().is_some_and(|t| t.is("AS")) && cursor.peek_nth(1).is_some_and(Tok::is_word) {
        cursor.next();
        return cursor.next();
    }
    let tok = cursor.peek()?;
    let free =
        tok.is_word() && !tok.is("WATERMARK") && !tok.is("AS") && !RESERVED_FOR_TABLE_ALIAS.contains(&tok.keyword());
    if free { cursor.next() } else { None }
}

/// `WATERMARK column DELAY OF INTERVAL ...` at the cursor. A mistake in the interval is reported and the clause left
/// out, so that the rest of the query is still checked.
fn watermark(
    cursor: &mut Cursor<'_>,
    table: &str,
    alias: Option<&str>,
    found: &mut Vec<Diagnostic>,
) -> Parsed<Option<WatermarkDef>> {
    let start = cursor.here();
    cursor.next();
    if cursor.peek().is_some_and(|t| t.is("FOR")) && cursor.peek_nth(1).is_some_and(Tok::is_word) {
        let column = cursor.peek_nth(1).map(|t| cursor.text(t.span)).unwrap_or_default();
        let help = format!("write WATERMARK {column} DELAY OF INTERVAL '5 minutes'");
        return Err(Box::new(
            Diagnostic::new("syntax", cursor.here(), "WATERMARK FOR ... AS is another engine's form", "not here")
                .with_help(help),
        ));
    }
    let column_at = cursor.here();
    let mut length = 0;
    let mut depth = 0_usize;
    while let Some(tok) = cursor.peek_nth(length) {
        let ends = tok.is("DELAY") || tok.is("DELAYED") || RESERVED_FOR_TABLE_ALIAS.contains(&tok.keyword());
        match tok.token.token {
            Token::RParen | Token::Comma if depth == 0 => break,
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ if depth == 0 && ends => break,
            _ => {}
        }
        length += 1;
    }
    if length > 1 && cursor.peek_nth(length).is_some_and(|t| t.is("DELAY") || t.is("DELAYED")) {
        let words: Vec<Tok> = (0..length).filter_map(|_| cursor.next().cloned()).collect();
        return Err(Box::new(watermark_expression(cursor, table, alias, &words)));
    }
    if cursor.peek().is_some_and(|t| t.is("DELAY")) && length == 0 {
        return Err(Box::new(
            Diagnostic::new(
                "watermark-column",
                column_at,
                "WATERMARK names no column",
                "the column with the event time should stand before this",
            )
            .with_help("write WATERMARK event_time DELAY OF INTERVAL '10 minutes'"),
        ));
    }
    let column = cursor.name("the column with the event time")?;
    cursor.expect("DELAY", "WATERMARK column DELAY OF INTERVAL")?;
    cursor.expect("OF", "WATERMARK column DELAY OF INTERVAL")?;
    let delay = interval_literal(cursor, "the delay")?;
    let span = Span { start: start.start, end: cursor.before().end };
    match delay.micros("delay") {
        Ok(micros) if micros >= 0 => Ok(Some(WatermarkDef { column, delay_micros: micros, span })),
        Ok(_) => {
            found.push(
                Diagnostic::new("negative-delay", delay.span, "the delay of this watermark is negative", "negative")
                    .with_help(
                        "write how much later than its event time a row may come, such as INTERVAL '10 minutes'",
                    ),
            );
            Ok(None)
        }
        Err(diagnostic) => {
            found.push(*diagnostic);
            Ok(None)
        }
    }
}

/// The rows of a stream are judged as they are: what Spark computes in this clause is a column of a table here.
fn watermark_expression(cursor: &Cursor<'_>, table: &str, alias: Option<&str>, words: &[Tok]) -> Diagnostic {
    let span = span_of(words);
    // What the stream is called, here or after the clause.
    let is_stream = |name: &str| {
        let after = (0..8).filter_map(|n| cursor.peek_nth(n));
        let later = after.filter(|t| t.is_word()).any(|t| cursor.text(t.span).eq_ignore_ascii_case(name));
        name.eq_ignore_ascii_case(table) || alias.is_some_and(|alias| alias.eq_ignore_ascii_case(name)) || later
    };
    let column = match words {
        [open, column, close] if open.is_token(&Token::LParen) && close.is_token(&Token::RParen) => Some(column),
        [stream, dot, column] if dot.is_token(&Token::Period) && is_stream(cursor.text(stream.span)) => Some(column),
        _ => None,
    };
    let help = if let Some(column) = column {
        format!("write WATERMARK {}", cursor.text(column.span))
    } else {
        let (expression, name) = match words {
            [expression @ .., word, name] if word.is("AS") && name.is_word() && !expression.is_empty() => {
                (cursor.text(span_of(expression)), cursor.text(name.span))
            }
            _ => (cursor.text(span), "event_time"),
        };
        format!(
            "compute it in an upstream table: CREATE STREAMING TABLE {table}_timed AS SELECT *, {expression} AS {name} FROM \
             STREAM {table}; and read FROM STREAM {table}_timed WATERMARK {name} DELAY OF ..."
        )
    };
    Diagnostic::new(
        "watermark-column",
        span,
        "WATERMARK takes the name of a column of the stream, not an expression",
        "not a column's name",
    )
    .with_help(help)
}

/// `t [AS a] WATERMARK ...` where STREAM is missing: reported; how many tokens to go past, and only the first is kept.
fn watermark_without_stream(text: &str, toks: &[Tok], found: &mut Vec<Diagnostic>) -> Option<usize> {
    let at = toks.iter().take(4).position(|t| t.is("WATERMARK"))?;
    if at == 0 || !toks[..at].iter().all(Tok::is_word) || !toks.get(at + 2).is_some_and(|t| t.is("DELAY")) {
        return None;
    }
    let mut cursor = Cursor::new(text, &toks[at..]);
    let name = text.get(toks[0].span.start..toks[0].span.end).unwrap_or_default();
    let outcome = watermark(&mut cursor, name, None, found);
    match outcome {
        Ok(_) => found.push(
            Diagnostic::new(
                "watermark-without-stream",
                toks[at].span,
                "WATERMARK without STREAM",
                "belongs to a stream",
            )
            .with_help(format!("write FROM STREAM {name} WATERMARK ..."))
            .with_related(toks[0].span, "read as a whole table"),
        ),
        Err(diagnostic) => found.push(*diagnostic),
    }
    Some(toks.len() - cursor.rest().len())
}

/// The table factor that stands for the stream: its leaf, under the name that columns are qualified by.
fn push_leaf(tokens: &mut Vec<TokenWithSpan>, stream: &StreamRef, alias: &Tok) {
    push_relation(tokens, (&stream.leaf, None), alias);
}

/// The table factor that is the query `name` of WITH.
fn push_table(tokens: &mut Vec<TokenWithSpan>, name: &Tok, alias: &Tok) {
    if let Token::Word(w) = &name.token.token {
        push_relation(tokens, (&w.value, w.quote_style), alias);
    }
}

fn push_relation(tokens: &mut Vec<TokenWithSpan>, (name, quote): (&str, Option<char>), alias: &Tok) {
    let place = alias.token.span;
    let word = |value: &str, quote_style, keyword| Token::Word(Word { value: value.to_owned(), quote_style, keyword });
    tokens.push(TokenWithSpan::new(word(name, quote, Keyword::NoKeyword), place));
    tokens.push(TokenWithSpan::new(word("AS", None, Keyword::AS), place));
    if let Token::Word(w) = &alias.token.token {
        tokens.push(TokenWithSpan::new(word(&w.value, w.quote_style, Keyword::NoKeyword), place));
    }
}
