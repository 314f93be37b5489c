//! A cursor over the tokens of one statement.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::lex::{Tok, span_of, unclosed};
use crate::ast::{Span, Spanned};
use crate::diagnostic::{Diagnostic, nearest};
use crate::values::one_of;

/// Words that are never meant as names: where one stands, a name was forgotten.
const NO_NAMES: &[&str] =
    &["AS", "SELECT", "FROM", "USING", "OPTIONS", "INSERT", "WITH", "TBLPROPERTIES", "PARTITIONED", "EXPECT", "DELAY"];

/// What a step of parsing gives: a mistake ends the statement, not the file.
pub(crate) type Parsed<T> = Result<T, Box<Diagnostic>>;

/// The tokens of one statement and how far they have been read.
pub(crate) struct Cursor<'a> {
    text: &'a str,
    toks: &'a [Tok],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The first place of `toks`, which are of `text`.
    pub(crate) fn new(text: &'a str, toks: &'a [Tok]) -> Self {
        Self { text, toks, at: 0 }
    }

    /// The token here, if the statement goes on.
    pub(crate) fn peek(&self) -> Option<&'a Tok> {
        self.toks.get(self.at)
    }

    /// The token `n` further on.
    pub(crate) fn peek_nth(&self, n: usize) -> Option<&'a Tok> {
        self.toks.get(self.at + n)
    }

    /// The token here, and goes past it.
    pub(crate) fn next(&mut self) -> Option<&'a Tok> {
        let tok = self.toks.get(self.at);
        self.at += usize::from(tok.is_some());
        tok
    }

    /// The tokens not read yet; the cursor is then at the end.
    pub(crate) fn rest(&mut self) -> &'a [Tok] {
        let rest = &self.toks[self.at..];
        self.at = self.toks.len();
        rest
    }

    /// The place of the token here; at the end, that of the last token.
    pub(crate) fn here(&self) -> Span {
        self.peek().or_else(|| self.toks.last()).map_or(Span::default(), |t| t.span)
    }

    /// The place of the token before.
    pub(crate) fn before(&self) -> Span {
        self.at.checked_sub(1).and_then(|i| self.toks.get(i)).map_or(Span::default(), |t| t.span)
    }

    /// The place of the whole statement.
    pub(crate) fn statement(&self) -> Span {
        span_of(self.toks)
    }

    /// What is written at `span`.
    pub(crate) fn text(&self, span: Span) -> &'a str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// Whether the word `word` is here; goes past it if so.
    pub(crate) fn eat(&mut self, word: &str) -> bool {
        let there = self.peek().is_some_and(|t| t.is(word));
        self.at += usize::from(there);
        there
    }

    /// Whether `words` are here; goes past them if so.
    pub(crate) fn eat_all(&mut self, words: &[&str]) -> bool {
        let there = words.iter().enumerate().all(|(i, w)| self.peek_nth(i).is_some_and(|t| t.is(w)));
        if there {
            self.at += words.len();
        }
        there
    }

    /// Whether the token `token` is here; goes past it if so.
    pub(crate) fn eat_token(&mut self, token: &Token) -> bool {
        let there = self.peek().is_some_and(|t| t.is_token(token));
        self.at += usize::from(there);
        there
    }

    /// Goes past the word `word`, or says that it is missing; `after` is what it belongs to.
    pub(crate) fn expect(&mut self, word: &str, context: &str) -> Parsed<Span> {
        let span = self.here();
        if self.eat(word) { Ok(span) } else { Err(self.expected(&[word], context)) }
    }

    /// The mistake that one of `words` should stand here; names the nearest when a misspelt one does.
    pub(crate) fn expected(&self, words: &[&str], context: &str) -> Box<Diagnostic> {
        let list = one_of(words);
        let Some(tok) = self.peek() else {
            let end = self.before();
            return Box::new(Diagnostic::new(
                "unexpected-end",
                end,
                format!("{context} ends too early"),
                format!("{list} should follow"),
            ));
        };
        let found = self.text(tok.span);
        let like = tok.word().and_then(|w| {
            let first_words = words.iter().filter_map(|w| w.split(' ').next());
            nearest(&w, first_words).map(|near| words.iter().find(|w| w.starts_with(near)).copied().unwrap_or(near))
        });
        let diagnostic = Diagnostic::new(
            "unexpected-word",
            tok.span,
            format!("{} does not belong here in {context}", quoted(found)),
            format!("expected {list}"),
        );
        Box::new(diagnostic.with_help_opt(like.map(|w| format!("did you mean {w}?"))))
    }

    /// A name: a word, quoted or not. Without quotes it is in lower case, as in queries. `what` says whose name it is.
    pub(crate) fn name(&mut self, what: &str) -> Parsed<Spanned<String>> {
        let tok = self.peek();
        match tok.map(|t| &t.token.token) {
            Some(Token::Word(w)) if w.quote_style.is_none() && NO_NAMES.contains(&w.value.to_uppercase().as_str()) => {
                Err(Box::new(
                    Diagnostic::new(
                        "missing-name",
                        self.here(),
                        format!("{what} is missing"),
                        "it should stand before this",
                    )
                    .with_help(format!("if {} is the name, write it between backticks", quoted(&w.value))),
                ))
            }
            Some(Token::Word(w)) => {
                let value = if w.quote_style.is_none() { w.value.to_lowercase() } else { w.value.clone() };
                let span = self.here();
                self.at += 1;
                if self.peek().is_some_and(|t| t.is_token(&Token::Period) && t.span.start == span.end) {
                    return Err(self.qualified(span, what));
                }
                Ok(Spanned { value, span })
            }
            Some(Token::SingleQuotedString(s)) => {
                let (span, help) = (self.here(), format!("write {} without quotes, or between backticks", s));
                Err(Box::new(
                    Diagnostic::new("quoted-name", span, format!("{what} is given as a text"), "a text")
                        .with_help(help),
                ))
            }
            Some(_) => Err(Box::new(Diagnostic::new(
                "missing-name",
                self.here(),
                format!("{what} should stand here"),
                format!("found {}", quoted(self.text(self.here()))),
            ))),
            None => Err(Box::new(Diagnostic::new(
                "missing-name",
                self.before(),
                format!("{what} is missing"),
                "after this",
            ))),
        }
    }

    fn qualified(&self, first: Span, what: &str) -> Box<Diagnostic> {
        let last = self.peek_nth(1).map_or(self.here(), |t| t.span);
        let span = Span { start: first.start, end: last.end };
        let plain = self.text(span).replace(['.', '`', '"'], "_").trim_matches('_').to_owned();
        Box::new(
            Diagnostic::new(
                "qualified-name",
                span,
                format!("{what} has two parts: there are no catalogs or schemas"),
                "two parts",
            )
            .with_help(format!("write one name, such as {plain}")),
        )
    }

    /// A text between single quotes. Spark takes double quotes for texts too, so they are taken here, where no name can
    /// stand. `what` says what the text is.
    pub(crate) fn string(&mut self, what: &str) -> Parsed<Spanned<String>> {
        let span = self.here();
        match self.peek().map(|t| &t.token.token) {
            Some(Token::SingleQuotedString(s)) => {
                self.at += 1;
                Ok(Spanned { value: s.clone(), span })
            }
            Some(Token::Word(w)) if w.quote_style == Some('"') => {
                self.at += 1;
                Ok(Spanned { value: w.value.clone(), span })
            }
            Some(_) => {
                let found = self.text(span);
                let typographic =
                    matches!(self.peek().map(|t| &t.token.token), Some(Token::Char('‘' | '’' | '“' | '”' | '´')));
                if typographic {
                    return Err(Box::new(
                        Diagnostic::new(
                            "missing-quotes",
                            span,
                            format!("{what} is between typographic quotes"),
                            "not a quote of SQL",
                        )
                        .with_help("write ' instead"),
                    ));
                }
                let (span, found) = self.unquoted(span, found);
                Err(Box::new(
                    Diagnostic::new(
                        "missing-quotes",
                        span,
                        format!("{what} is not between single quotes"),
                        "not a text",
                    )
                    .with_help_opt(
                        self.peek().filter(|t| t.is_word()).map(|_| format!("write '{}'", found.trim_matches('`'))),
                    ),
                ))
            }
            None => Err(Box::new(Diagnostic::new(
                "missing-text",
                self.before(),
                format!("{what} is missing"),
                "after this",
            ))),
        }
    }

    /// What was meant as one text but has no quotes: the tokens at `first` and after it without white space between.
    fn unquoted(&self, first: Span, text: &'a str) -> (Span, &'a str) {
        let ends = |t: &Tok| [Token::Comma, Token::RParen, Token::LParen, Token::Eq].contains(&t.token.token);
        let mut span = first;
        for tok in self.toks[self.at..].iter().skip(1).take_while(|t| !ends(t)) {
            if tok.span.start != span.end {
                break;
            }
            span.end = tok.span.end;
        }
        (span, if span == first { text } else { self.text(span) })
    }

    /// The tokens between the `(` here and its `)`; goes past both.
    pub(crate) fn group(&mut self, context: &str) -> Parsed<&'a [Tok]> {
        let open = self.at;
        if !self.eat_token(&Token::LParen) {
            return Err(self.expected(&["("], context));
        }
        let mut depth = 1_usize;
        while let Some(tok) = self.next() {
            match tok.token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(&self.toks[open + 1..self.at - 1]);
            }
        }
        Err(Box::new(unclosed(self.toks[open].span)))
    }

    /// The cursor over some of these tokens.
    pub(crate) fn over(&self, toks: &'a [Tok]) -> Cursor<'a> {
        Cursor { text: self.text, toks, at: 0 }
    }
}

/// `text` between quotes, cut when long.
pub(crate) fn quoted(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() > 40 {
        format!("`{}...`", line.chars().take(37).collect::<String>())
    } else {
        format!("`{line}`")
    }
}
