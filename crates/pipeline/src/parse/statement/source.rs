//! `CREATE TABLE name [(columns)] USING kind OPTIONS (...)`: a source.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::super::Context;
use super::super::cursor::{Cursor, Parsed, quoted};
use super::{columns, comment, pairs};
use crate::ast::{SourceDef, SourceKind, Spanned};
use crate::diagnostic::{Diagnostic, nearest};
use crate::formats::ValueFormat;
use crate::options::check as options;

/// The statement from the name on.
pub(super) fn source(cx: &mut Context<'_>, cursor: &mut Cursor<'_>) -> Parsed<()> {
    cursor.eat_all(&["IF", "NOT", "EXISTS"]);
    let name = cursor.name("the name of the source")?;
    if cursor.peek().is_some_and(|t| t.is("AS")) {
        let help = format!("write CREATE STREAMING TABLE {} AS SELECT ...", name.value);
        return Err(Box::new(
            Diagnostic::new(
                "unsupported-statement",
                cursor.here(),
                "CREATE TABLE declares a source, which has no query",
                "a query",
            )
            .with_help(help),
        ));
    }
    let before = cx.found.len();
    let columns = match cursor.peek() {
        Some(tok) if tok.is_token(&Token::LParen) => Some(columns::columns(cx, cursor)?),
        _ => None,
    };
    let mut kind: Option<Spanned<SourceKind>> = None;
    let mut options: Option<Vec<(Spanned<String>, Spanned<String>)>> = None;
    while cursor.peek().is_some() {
        let here = cursor.here();
        let twice = |what: &str| {
            Box::new(
                Diagnostic::new("duplicate-clause", here, format!("{what} is given twice"), "the second time")
                    .with_help("keep one of them"),
            )
        };
        if cursor.eat("USING") {
            if kind.is_some() {
                return Err(twice("USING"));
            }
            kind = Some(source_kind(cx, cursor)?);
        } else if cursor.eat("OPTIONS") {
            if options.is_some() {
                return Err(twice("OPTIONS"));
            }
            options = Some(pairs(cursor, "OPTIONS", "option")?);
        } else if cursor.peek().is_some_and(|t| t.is("COMMENT")) {
            comment(cursor)?;
        } else if cursor.peek().is_some_and(|t| t.is("WITH") || t.is("TBLPROPERTIES")) {
            return Err(Box::new(
                Diagnostic::new("unexpected-word", here, "a source has OPTIONS, and nothing else", "not here")
                    .with_help("write OPTIONS (...)"),
            ));
        } else if cursor.peek().is_some_and(|t| t.is("LOCATION") || t.is("PARTITIONED") || t.is("AS")) {
            return Err(Box::new(
                Diagnostic::new(
                    "unexpected-word",
                    here,
                    "this belongs to a streaming table, not to a source",
                    "not here",
                )
                .with_help("write CREATE STREAMING TABLE for a table that is written"),
            ));
        } else if kind.is_none() {
            return Err(cursor.expected(&["USING", "OPTIONS"], "CREATE TABLE"));
        } else {
            return Err(cursor.expected(&["OPTIONS", ";"], "CREATE TABLE"));
        }
    }
    let Some(kind) = kind else {
        return Err(Box::new(
            Diagnostic::new(
                "missing-using",
                name.span,
                format!("the source {} does not say what it is", quoted(&name.value)),
                "USING is missing",
            )
            .with_help(format!("write CREATE TABLE {} USING kafka OPTIONS (...)", name.value)),
        ));
    };
    let mut options = options.unwrap_or_default();
    for (key, value) in &mut options {
        let written = value.value.clone();
        if !options::keeps_references(kind.value, cx.vocabulary, &key.value)
            && let Err(unset) = cx.resolve("option", &key.value, value)
        {
            cx.found.push(*unset);
            continue;
        }
        match options::check(kind.value, cx.vocabulary, &key.value, &value.value, &written) {
            Ok(canonical) => key.value = canonical,
            Err(problem) if problem.about_value => cx.found.push(problem.at("option", value.span)),
            Err(problem) => cx.found.push(problem.at("unknown-option", key.span)),
        }
    }
    if cx.found.len() > before {
        cx.broken.push(name.value.clone());
    }
    // The formats are known once the command line has had its say: see `check::encodings`.
    let (value_format, key_format) = (ValueFormat::AVRO, None);
    cx.sources.push(SourceDef { name, kind, value_format, key_format, columns, options });
    Ok(())
}

fn source_kind(cx: &Context<'_>, cursor: &mut Cursor<'_>) -> Parsed<Spanned<SourceKind>> {
    let name = cursor.name("the kind of source")?;
    if let Some(kind) = cx.vocabulary.source(&name.value) {
        return Ok(Spanned { value: kind, span: name.span });
    }
    let wrong = |message: String, help: String| {
        Err(Box::new(Diagnostic::new("source-kind", name.span, message, "not a kind of source here").with_help(help)))
    };
    match name.value.as_str() {
        kind @ ("files" | "rate") => {
            wrong(format!("USING {kind} is not supported yet"), "read the events from Kafka: USING kafka".to_owned())
        }
        other => {
            let help = match nearest(other, cx.vocabulary.source_names()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("write USING {}", cx.vocabulary.source_names().collect::<Vec<_>>().join(" or USING ")),
            };
            wrong(format!("there is no source of kind {}", quoted(other)), help)
        }
    }
}
