//! The list of columns of a source: `(name type [NOT NULL] [COMMENT 'text'], ...)`.

use std::borrow::Cow;

use datafusion::sql::sqlparser::tokenizer::Token;
use sluicebox_core::provenance::{METADATA, PREFIX};
use sluicebox_functions::schema::{self, How, IN_WORDS, Kind, Mistake, NAMES, Piece, Place, What};

use super::super::Context;
use super::super::cursor::{Cursor, Parsed, quoted};
use super::super::lex::{Tok, span_of};
use super::{parentheses, split_commas};
use crate::ast::{DeclaredColumn, Span, Spanned};
use crate::diagnostic::{Diagnostic, nearest};
use crate::formats::RESCUED;

/// The list at the cursor. A mistake in one column is reported and the others are read.
pub(super) fn columns(cx: &mut Context<'_>, cursor: &mut Cursor<'_>) -> Parsed<Spanned<Vec<DeclaredColumn>>> {
    let open = cursor.here();
    let inner = cursor.group("the list of columns")?;
    let span = Span { start: open.start, end: cursor.before().end };
    if inner.is_empty() {
        return Err(Box::new(
            Diagnostic::new("source-columns", span, "the list of columns is empty", "nothing in it")
                .with_help("list the columns of the events, as in (id BIGINT NOT NULL, name STRING)"),
        ));
    }
    let mut columns: Vec<DeclaredColumn> = Vec::new();
    for toks in split_commas(inner, brackets) {
        match column(&cursor.over(toks), toks, open) {
            Ok(column) => {
                cx.found.extend(taken(&column, &columns));
                columns.push(column);
            }
            Err(diagnostic) => cx.found.push(*diagnostic),
        }
    }
    Ok(Spanned { value: columns, span })
}

/// What parentheses and the parameters of types open.
fn brackets(token: &Token) -> i32 {
    match token {
        Token::Lt => 1,
        Token::Gt => -1,
        Token::ShiftLeft => 2,
        Token::ShiftRight => -2,
        other => parentheses(other),
    }
}

/// The column that `toks` are, which `cursor` stands before; `list` is where the list begins.
fn column(cursor: &Cursor<'_>, toks: &[Tok], list: Span) -> Parsed<DeclaredColumn> {
    if toks.is_empty() {
        return Err(Box::new(
            Diagnostic::new(
                "trailing-comma",
                list,
                "a comma in the list of columns has nothing beside it",
                "in this list",
            )
            .with_help("take the comma out"),
        ));
    }
    if let Some(diagnostic) = no_column(cursor, toks) {
        return Err(Box::new(diagnostic));
    }
    let read = schema::column(pieces(toks).into_iter(), How::Declared);
    let column = read.map_err(|mistake| Box::new(told(mistake, cursor)))?;
    let span = |place: Place| Span { start: place.start, end: place.end };
    Ok(DeclaredColumn {
        name: Spanned { value: column.name, span: span(column.name_place) },
        data_type: Spanned { value: column.data_type, span: span(column.type_place) },
        nullable: column.nullable,
    })
}

/// The mistake of a clause that stands where a column should: a key, a check, a watermark.
fn no_column(cursor: &Cursor<'_>, toks: &[Tok]) -> Option<Diagnostic> {
    let is = |at: usize, word: &str| cursor.peek_nth(at).is_some_and(|t| t.is(word));
    let opens = |at: usize| cursor.peek_nth(at).is_some_and(|t| t.is_token(&Token::LParen));
    let clause = |at: usize| {
        (is(at, "PRIMARY") || is(at, "FOREIGN")) && is(at + 1, "KEY")
            || (is(at, "UNIQUE") || is(at, "CHECK") || is(at, "EXPECT")) && opens(at + 1)
            || is(at, "WATERMARK") && is(at + 1, "FOR")
    };
    // A constraint has a name, or none.
    let at = match is(0, "CONSTRAINT") && clause(2) {
        true => 2,
        false => 0,
    };
    let word = cursor.peek_nth(at).filter(|_| clause(at)).and_then(Tok::word)?;
    let (message, help) = schema::refused(&word)?;
    Some(Diagnostic::new("declared-column", span_of(toks), message, "no column").with_help(help))
}

/// The words and signs of `toks`.
fn pieces(toks: &[Tok]) -> Vec<Piece<'_>> {
    let mut pieces = Vec::with_capacity(toks.len());
    for (at, tok) in toks.iter().enumerate() {
        let place = Place { start: tok.span.start, end: tok.span.end };
        let comment = at.checked_sub(1).and_then(|before| toks.get(before)).is_some_and(|t| t.is("COMMENT"));
        let what = match &tok.token.token {
            Token::Word(word) if word.quote_style.is_none() => What::Word(&word.value),
            // Spark takes double quotes for texts too, and no name can stand here.
            Token::Word(word) if word.quote_style == Some('"') && comment => What::Text,
            Token::Word(word) => What::Name(Cow::Borrowed(&word.value)),
            Token::Number(digits, _) => What::Word(digits),
            Token::SingleQuotedString(_) | Token::SingleQuotedRawStringLiteral(_) => What::Text,
            other => {
                pieces.extend(signs(&other.to_string(), place));
                continue;
            }
        };
        pieces.push(Piece { what, place });
    }
    pieces
}

/// The characters of a token at `place`: `>>` closes two types.
fn signs(text: &str, place: Place) -> Vec<Piece<'static>> {
    let one = |(at, sign): (usize, char)| {
        let start = (place.start + at).min(place.end);
        Piece { what: What::Sign(sign), place: Place { start, end: (start + sign.len_utf8()).min(place.end) } }
    };
    text.char_indices().map(one).collect()
}

/// The mistake as the user reads it.
fn told(mistake: Mistake, cursor: &Cursor<'_>) -> Diagnostic {
    let span = Span { start: mistake.place.start, end: mistake.place.end };
    let code = match mistake.kind {
        Kind::Unexpected => "unexpected-word",
        Kind::End => "unexpected-end",
        Kind::Type => "unknown-type",
        Kind::Column => "declared-column",
        Kind::Duplicate => "duplicate-column",
        Kind::Depth => "too-deep",
    };
    let like = || match nearest(cursor.text(span), NAMES.iter().copied()) {
        Some(near) => format!("did you mean {}?", near.to_uppercase()),
        None => IN_WORDS.to_owned(),
    };
    let help = mistake.help.or_else(|| (mistake.kind == Kind::Type).then(like));
    Diagnostic::new(code, span, mistake.message, mistake.label).with_help_opt(help)
}

/// The mistake of a column whose name is taken: by a column before it, or by one that every source has.
fn taken(column: &DeclaredColumn, before: &[DeclaredColumn]) -> Option<Diagnostic> {
    let name = &column.name.value;
    if let Some(first) = before.iter().find(|other| other.name.value == *name) {
        let message = format!("the column {} is listed twice", quoted(name));
        return Some(
            Diagnostic::new("duplicate-column", column.name.span, message, "the second time")
                .with_help("keep one of them")
                .with_related(first.name.span, "the first time"),
        );
    }
    let (message, help) = if name.to_lowercase().starts_with(PREFIX) {
        let message = format!("names that start with {PREFIX} are for hidden columns");
        (message, "leave the field out; with 'json.extraFields' = 'rescue' it is in the column _rescued")
    } else if METADATA.contains(&name.as_str()) {
        let message = format!("every row of a source has a column {} already", quoted(name));
        (message, "leave it out; an event's own field of this name is in _rescued with 'json.extraFields' = 'rescue'")
    } else if name == RESCUED {
        let message = format!("{} is the column of fields that are not listed", quoted(name));
        (message, "leave it out, and write 'json.extraFields' = 'rescue'")
    } else {
        return None;
    };
    Some(Diagnostic::new("reserved-name", column.name.span, message, "this name is taken").with_help(help))
}
