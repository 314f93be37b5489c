//! Forms of Spark's SQL that are not here, told where sqlparser stops at them.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::lex::Tok;
use crate::ast::Span;
use crate::diagnostic::Diagnostic;

/// What is told of such a form, if sqlparser stopped at one; it did at `span`.
pub(super) fn told(text: &str, toks: &[Tok], span: Span) -> Option<Diagnostic> {
    let at = toks.iter().position(|t| t.span.start == span.start)?;
    let (tok, before) = (&toks[at], &toks[..at]);
    let not_supported = |span: Span, what: &str, help: &str| {
        Some(Diagnostic::new("not-supported", span, format!("{what} not supported"), "not here").with_help(help))
    };
    if tok.is("FROM") && before.is_empty() {
        return not_supported(tok.span, "a query that begins with FROM is", "write SELECT ... FROM ...");
    }
    if text[tok.span.start..].starts_with("|>") {
        let span = Span { start: span.start, end: span.start + 2 };
        return not_supported(
            span,
            "the pipe operator |> is",
            "write a subquery: SELECT ... FROM (SELECT ...), or WITH name AS (SELECT ...)",
        );
    }
    let called = before.len() >= 2 && before[before.len() - 1].is_token(&Token::LParen);
    if tok.is_token(&Token::Mul) && called {
        let name = &before[before.len() - 2];
        let name = text.get(name.span.start..name.span.end)?;
        return not_supported(
            tok.span,
            "`*` as an argument is",
            &format!("name the columns: {name}(order_id, amount)"),
        );
    }
    None
}
