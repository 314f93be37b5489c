//! Recognises forms of Spark's SQL that Sluicebox lacks, where sqlparser stops at them.

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
        let keyword = ORDER.into_iter().chain(["IN", "AS", "BY", "AND", "OR", "NOT"]).any(|word| name.is(word));
        let name = text.get(name.span.start..name.span.end).filter(|_| !keyword)?;
        return not_supported(tok.span, "`*` as an argument is", &format!("name the columns: {name}(a, b)"));
    }
    clause_out_of_order(tok, before).or_else(|| name_in_group_by(text, tok, before))
}

/// The order of clauses, as messages have it.
const ORDER: [&str; 5] = ["SELECT", "FROM", "WHERE", "GROUP", "HAVING"];

/// A clause that stands after one that it should stand before.
fn clause_out_of_order(tok: &Tok, before: &[Tok]) -> Option<Diagnostic> {
    let place = |t: &Tok| ORDER.iter().position(|word| t.is(word));
    let clause = place(tok)?;
    let (last, after) = open_level(before).rev().find_map(|t| Some((place(t)?, t)))?;
    if last <= clause {
        return None;
    }
    let whole = |at: usize| if ORDER[at] == "GROUP" { "GROUP BY" } else { ORDER[at] };
    let message = format!("{} stands after {}", whole(clause), whole(last));
    Some(
        Diagnostic::new("unexpected-word", tok.span, message, "too late")
            .with_related(after.span, "it belongs before this")
            .with_help("the clauses come in this order: SELECT, FROM, WHERE, GROUP BY, HAVING"),
    )
}

/// A name that GROUP BY gives: only a window has one there.
fn name_in_group_by(text: &str, tok: &Tok, before: &[Tok]) -> Option<Diagnostic> {
    let clause = open_level(before).rev().find(|t| ORDER.iter().any(|word| t.is(word)))?;
    if !clause.is("GROUP") || !tok.is_word() {
        return None;
    }
    let start = open_level(before).rev().find(|t| t.is_token(&Token::Comma) || t.is("BY"))?;
    let of = text.get(start.span.end..tok.span.start)?.trim();
    if tok.is("AS") {
        return Some(
            Diagnostic::new("unexpected-word", tok.span, "GROUP BY gives a name to a window alone", "no name here")
                .with_help(format!("give it in the SELECT list, and group by that: SELECT {of} AS x ... GROUP BY x")),
        );
    }
    let name = text.get(tok.span.start..tok.span.end)?;
    let window = of.get(..7).is_some_and(|word| word.eq_ignore_ascii_case("window("));
    window.then(|| {
        Diagnostic::new("unexpected-word", tok.span, "AS is missing before the name of this window", "a name")
            .with_help(format!("write {of} AS {name}"))
    })
}

/// The tokens of `before` that stand in no parentheses which are closed again.
fn open_level(before: &[Tok]) -> impl DoubleEndedIterator<Item = &Tok> {
    let mut depth = 0_usize;
    let mut level: Vec<&Tok> = Vec::new();
    for tok in before.iter().rev() {
        if tok.is_token(&Token::RParen) {
            depth += 1;
        } else if tok.is_token(&Token::LParen) {
            if depth == 0 {
                break;
            }
            depth -= 1;
        } else if depth == 0 {
            level.push(tok);
        }
    }
    level.reverse();
    level.into_iter()
}

/// A function of Spark's API in FROM that gives a stream a watermark: reported, and how many tokens to go past.
pub(super) fn relation(text: &str, toks: &[Tok], found: &mut Vec<Diagnostic>) -> Option<usize> {
    let open = |at: usize| toks.get(at).is_some_and(|t: &Tok| t.is_token(&Token::LParen));
    let call = usize::from(toks.first()?.is("TABLE") && open(1)) * 2;
    let name = toks.get(call).filter(|_| open(call + 1))?;
    let help = match name.word()?.as_str() {
        "WITHWATERMARK" | "WITH_WATERMARK" => {
            "write FROM STREAM name WATERMARK event_time DELAY OF INTERVAL '10 minutes'"
        }
        _ => return None,
    };
    let written = text.get(name.span.start..name.span.end)?;
    let message = format!("`{written}` is no source: windows and watermarks are clauses here");
    found.push(Diagnostic::new("not-supported", name.span, message, "not here").with_help(help));
    let mut depth = 0_usize;
    let close = toks.iter().position(|t| {
        if t.is_token(&Token::LParen) {
            depth += 1;
        } else if t.is_token(&Token::RParen) {
            depth = depth.saturating_sub(1);
            return depth == 0;
        }
        false
    });
    Some(close.map_or(toks.len(), |at| at + 1))
}
