//! Masks secrets that stand in a pipeline's text, before a message shows it.
//!
//! A secret is hidden by the name of its option, before the parser knows whether that option exists. Every message shows the masked text,
//! whichever line it quotes.

use std::ops::Range;

use datafusion::sql::sqlparser::tokenizer::Token;
use sluicebox_core::secret::may_be_secret;

use super::lex::Tok;
use crate::values::has_credentials;

/// `text`, whose tokens are `toks`, with its secrets hidden. Every place in it stays what it is.
pub(super) fn masked(text: &str, toks: &[Tok]) -> String {
    let mut hidden = Vec::new();
    let mut in_query = false;
    for (at, tok) in toks.iter().enumerate() {
        match &tok.token.token {
            Token::SemiColon => in_query = false,
            // What a query or a condition compares is no option.
            _ if tok.is("SELECT") || tok.is("EXPECT") => in_query = true,
            _ => {}
        }
        if content(tok).is_some_and(has_credentials) && !in_query {
            hidden.push(tok.span.start..tok.span.end);
        }
        let Some((name, quoted)) = name_at(text, toks, at) else { continue };
        let is_option = !in_query || quoted && is_of_a_source(name);
        if is_option && may_be_secret(name) {
            hidden.extend(value_after(toks, at, quoted || name.contains('.')));
        }
    }
    starred(text, hidden)
}

/// The same of a text that is no row of tokens: what follows the name of a secret in its line is hidden, whatever it is.
pub(super) fn roughly(text: &str) -> String {
    let mut hidden = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let in_word = |c: char| c.is_alphanumeric() || "._-".contains(c);
        let mut words = line.split(|c: char| !in_word(c)).filter(|word| word.contains('.') && may_be_secret(word));
        if let Some(word) = words.next() {
            // A part of the line is as far from its start as its bytes are from it.
            let end = word.as_ptr().addr() - line.as_ptr().addr() + word.len();
            hidden.push(start + end..start + line.len());
        } else if let (Some(from), Some(to)) = (line.find("://"), line.rfind('@'))
            && from < to
        {
            hidden.push(start + from + 3..start + to);
        }
        start += line.len();
    }
    starred(text, hidden)
}

/// What a token for a text holds: between single quotes, or between double ones, which Spark takes for texts too.
fn content(tok: &Tok) -> Option<&str> {
    match &tok.token.token {
        Token::SingleQuotedString(text) => Some(text),
        Token::Word(word) if word.quote_style == Some('"') => Some(&word.value),
        _ => None,
    }
}

/// The name of an option that ends with token `at`, if one may, and whether it stands between quotes.
fn name_at<'t>(text: &'t str, toks: &'t [Tok], at: usize) -> Option<(&'t str, bool)> {
    let last = toks.get(at)?;
    if let Some(name) = content(last) {
        return Some((name, true));
    }
    let goes_on = toks.get(at + 1).is_some_and(|next| next.is_token(&Token::Period));
    if !last.is_word() || goes_on {
        return None;
    }
    let mut start = last.span.start;
    let mut before = toks.get(..at)?;
    while let [rest @ .., word, point] = before
        && point.is_token(&Token::Period)
        && word.is_word()
    {
        start = word.span.start;
        before = rest;
    }
    Some((text.get(start..last.span.end)?, false))
}

fn is_of_a_source(name: &str) -> bool {
    let name = name.to_lowercase();
    ["kafka.", "schema.registry."].iter().any(|start| name.starts_with(start))
}

/// The places of the value that follows the name at `at`. Without `=`, which may be left out, only a text is one, behind what is surely a
/// name; with it whatever stands there until the next option, since a value without quotes is a mistake that is drawn. A reference is
/// shown.
fn value_after(toks: &[Tok], at: usize, is_name: bool) -> Vec<Range<usize>> {
    let equals = toks.get(at + 1).is_some_and(|tok| tok.is_token(&Token::Eq));
    let rest = toks.get(at + 1 + usize::from(equals)..).unwrap_or_default();
    let text = rest.first().and_then(content);
    if let Some(text) = text {
        let is_value = (equals || is_name) && !text.is_empty() && !text.contains("${");
        return rest.first().filter(|_| is_value).map(|tok| tok.span.start..tok.span.end).into_iter().collect();
    }
    let ends = |tok: &Tok| [Token::Comma, Token::LParen, Token::RParen, Token::SemiColon].contains(&tok.token.token);
    let plain = rest.iter().take_while(|tok| equals && !ends(tok));
    plain.map(|tok| tok.span.start..tok.span.end).collect()
}

/// `text` with stars at `hidden`, which are bytes of it. Quotes stay, and so do line ends; in the place of each character stands one of as
/// many bytes, so that places stay where they are, counted in bytes or in characters.
#[must_use]
pub fn starred(text: &str, mut hidden: Vec<Range<usize>>) -> String {
    hidden.sort_by_key(|range| range.start);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for range in hidden.into_iter().filter(|range| range.start < range.end) {
        let (Some(before), Some(secret)) = (text.get(at..range.start), text.get(range.clone())) else { continue };
        out.push_str(before);
        out.extend(secret.chars().map(star));
        at = range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

fn star(c: char) -> char {
    match c {
        '\n' | '\r' | '\'' | '"' => c,
        _ => match c.len_utf8() {
            1 => '*',
            2 => '\u{d7}',
            3 => '\u{2217}',
            _ => '\u{1d12a}',
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::lex::tokenize;
    use super::*;

    fn shown(text: &str) -> String {
        let (toks, mistake) = tokenize(text);
        if mistake.is_some() { roughly(text) } else { masked(text, &toks) }
    }

    #[test]
    fn a_secret_is_hidden_however_it_is_written() {
        for (text, wanted) in [
            ("OPTIONS ('kafka.sasl.password' = 'hunter2', 'a' = 'b')", "'*******', 'a' = 'b'"),
            ("OPTIONS (kafka.sasl.password = 'hunter2')", "password = '*******'"),
            ("OPTIONS ('kafka.sasl.password' 'hunter2')", "password' '*******'"),
            ("OPTIONS (kafka.sasl.password 'hunter2')", "password '*******'"),
            ("OPTIONS ('kafka.sasl.password' = \"hunter2\")", "= \"*******\""),
            ("OPTIONS (\"kafka.sasl.password\" = 'hunter2')", "= '*******'"),
            ("OPTIONS ('kafka.sasl.password' = hunter2, 'a' = 'b')", "= *******, 'a' = 'b'"),
            ("OPTIONS ('kafka.sasl.password' = 8765432)", "= *******)"),
            ("OPTIONS ('kafka.sasl.passwrod' = 'hunter2')", "= '*******'"),
            ("OPTIONS ('kafka.SASL.JAAS.config' = 'a \"b\"')", "= '**\"*\"'"),
            ("SET 'kafka.sasl.password' = 'hunter2';", "= '*******'"),
            ("OPTIONS ('schema.registry.url' = 'http://token@h')", "'schema.registry.url' = '**************'"),
            ("OPTIONS ('kafka.ssl.key.pem' = 'ab\ncü€🦀', 'x' = 'y')", "'**\n*×∗𝄪', 'x' = 'y'"),
            ("AS SELECT 1 OPTIONS ('kafka.sasl.password' = 'hunter2')", "= '*******'"),
            // A quote that is not closed: what is a text and what is not cannot be told.
            ("OPTIONS ('a' = 'b, 'kafka.sasl.password' = 'hunter2')", "password'***'*******'*"),
            ("OPTIONS ('schema.registry.url' = 'http://u:p@h, 'a' = 'b')", "http://***@h"),
        ] {
            let found = shown(text);
            assert!(found.contains(wanted), "{text}: {found}");
            assert_eq!((found.len(), found.chars().count()), (text.len(), text.chars().count()), "{text}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "OPTIONS ('kafka.sasl.password' = '${env:P}', 'kafka.sasl.username' = 'bob', 'a' = '')",
            "OPTIONS ('schema.registry.url' = 'http://bob:${env:P}@h')",
            "OPTIONS ('schema.registry.bearer.auth.token.file' = '/run/token', 'kafka.security.protocol' = 'SSL')",
            "CREATE STREAMING TABLE t (CONSTRAINT c EXPECT (token = 'abc')) AS SELECT 'x' AS password, token, secret = 'y' FROM t \
             WHERE 'password' = 'x' AND url = 'http://u:p@h'",
            "it's about password = 7",
            "",
        ] {
            assert_eq!(shown(text), text);
        }
    }
}
