//! `${env:NAME}` in the texts of queries and conditions: the value replaces the reference as if it had been written there.

use std::borrow::Cow;

use datafusion::sql::sqlparser::tokenizer::Token;

use super::Context;
use super::lex::{Tok, span_of};
use crate::ast::Span;
use crate::diagnostic::Diagnostic;
use crate::values::{Reference, Unresolved, resolve};

/// `toks` with the references in their texts replaced. What cannot be replaced is reported. Any other `${...}` is text, as regular
/// expressions have it.
pub(super) fn resolved<'t>(cx: &mut Context<'_>, toks: &'t [Tok]) -> Cow<'t, [Tok]> {
    let mut out = Cow::Borrowed(toks);
    for (i, tok) in toks.iter().enumerate() {
        let Some(text) = text_of(&tok.token.token).filter(|text| text.contains("${")) else { continue };
        let value = resolve(text, |reference| match reference {
            Reference::Env(name) => (cx.env)(name).ok_or_else(|| Unresolved::NotSet(name.to_owned())),
            Reference::File(_) => Err(Unresolved::NoReference),
        });
        match value {
            Ok(value) if value == *text => {}
            Ok(value) => {
                cx.replaced.push((tok.span, literal(&value)));
                if let Some(tok) = out.to_mut().get_mut(i) {
                    tok.token.token = Token::SingleQuotedString(value);
                }
            }
            Err(why) => cx.found.push(mistake(why, tok.span)),
        }
    }
    out
}

/// What a token for a text holds, after its escapes have been read.
fn text_of(token: &Token) -> Option<&String> {
    match token {
        Token::SingleQuotedString(text)
        | Token::SingleQuotedRawStringLiteral(text)
        | Token::TripleSingleQuotedRawStringLiteral(text) => Some(text),
        _ => None,
    }
}

/// `value` as a text of SQL.
fn literal(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

/// The texts that references stand for, and the references: as SQL writes them, with a backslash twice, and as DataFusion does.
pub(super) fn written(cx: &Context<'_>) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (span, value) in cx.replaced.iter().filter(|(_, value)| value != "''") {
        let written = cx.slice(*span).to_owned();
        let unescaped = value.replace("\\\\", "\\");
        if unescaped != *value {
            all.push((unescaped, written.clone()));
        }
        all.push((value.clone(), written));
    }
    // One value may be the end of another: the longer one first.
    all.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
    all
}

fn mistake(why: Unresolved, span: Span) -> Diagnostic {
    match why {
        Unresolved::NotSet(name) => {
            let message = format!("this text names the environment variable {name}, which is not set");
            Diagnostic::new("unset-reference", span, message, "this text")
                .with_help(format!("set it before the command, as in {name}=... sluicebox run ..."))
        }
        Unresolved::NoReference => {
            let message = "what a file holds is a secret, and the rows of a table are no place for one";
            Diagnostic::new("plain-secret", span, message, "this text")
                .with_help("write ${env:NAME} for a value that is none; for the text itself, concat('$', '{file:...}')")
        }
    }
}

/// The text at `span` with the references that were replaced in it: what is told of it, and pinned.
pub(super) fn text_at(cx: &Context<'_>, span: Span) -> String {
    let mut out = String::with_capacity(span.end.saturating_sub(span.start));
    let mut at = span.start;
    let mut replaced: Vec<_> = cx.replaced.iter().filter(|(s, _)| s.start >= span.start && s.end <= span.end).collect();
    replaced.sort_by_key(|(s, _)| s.start);
    for (place, value) in replaced {
        out.push_str(cx.slice(Span { start: at, end: place.start }));
        out.push_str(value);
        at = place.end;
    }
    out + cx.slice(Span { start: at, end: span.end })
}

/// As [`text_at`], of these tokens.
pub(super) fn text_of_all(cx: &Context<'_>, toks: &[Tok]) -> String {
    text_at(cx, span_of(toks))
}
