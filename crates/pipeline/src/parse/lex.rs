//! Splits text into tokens with byte spans, and tokens into statements.

use std::cell::Cell;

use datafusion::sql::sqlparser::ast as sql;
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, TokenizerError};

use super::spark;
use crate::ast::Span;
use crate::diagnostic::Diagnostic;

/// The SQL that queries and conditions are written in: DataFusion's generic dialect without the clauses of other
/// databases that DataFusion would refuse later, without place or fix.
///
/// It counts the operands that are read: where a word can be read in two ways, and what stands behind it in none, the parser tries both,
/// at each level anew.
#[derive(Debug, Default)]
pub(crate) struct Sql {
    read: Cell<usize>,
    most: usize,
}

impl Sql {
    /// The same for a text of which at most so many operands are read, those among them that are read again.
    pub(crate) fn of_operands(most: usize) -> Self {
        Self { read: Cell::new(0), most }
    }

    /// Whether more would have been read.
    pub(crate) fn is_spent(&self) -> bool {
        self.read.get() > self.most
    }
}

impl Dialect for Sql {
    // The parser and DataFusion ask for the type of dialect in places; to them this one is the generic one.
    fn dialect(&self) -> std::any::TypeId {
        std::any::TypeId::of::<GenericDialect>()
    }
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '"' || ch == '`'
    }
    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }
    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$'
    }
    fn supports_group_by_expr(&self) -> bool {
        true
    }
    fn supports_left_associative_joins_without_parens(&self) -> bool {
        true
    }
    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }
    fn supports_dictionary_syntax(&self) -> bool {
        true
    }
    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }
    fn supports_select_wildcard_except(&self) -> bool {
        true
    }
    fn supports_select_wildcard_exclude(&self) -> bool {
        true
    }
    fn supports_select_wildcard_replace(&self) -> bool {
        true
    }
    fn supports_select_wildcard_ilike(&self) -> bool {
        true
    }
    fn support_map_literal_syntax(&self) -> bool {
        true
    }
    fn allow_extract_custom(&self) -> bool {
        true
    }
    fn allow_extract_single_quotes(&self) -> bool {
        true
    }
    fn supports_extract_comma_syntax(&self) -> bool {
        true
    }
    fn supports_parens_around_table_factor(&self) -> bool {
        true
    }
    fn supports_values_as_table_factor(&self) -> bool {
        true
    }
    fn supports_struct_literal(&self) -> bool {
        true
    }
    fn supports_nested_comments(&self) -> bool {
        true
    }
    fn supports_string_escape_constant(&self) -> bool {
        true
    }
    fn supports_unicode_string_literal(&self) -> bool {
        true
    }
    fn supports_array_typedef_with_brackets(&self) -> bool {
        true
    }
    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }
    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }
    fn supports_comma_separated_trim(&self) -> bool {
        true
    }
    fn supports_lambda_functions(&self) -> bool {
        true
    }
    fn supports_select_item_multi_column_alias(&self) -> bool {
        true
    }
    fn supports_bang_not_operator(&self) -> bool {
        true
    }
    fn supports_string_literal_backslash_escape(&self) -> bool {
        true
    }
    fn supports_string_literal_concatenation(&self) -> bool {
        true
    }
    fn parse_prefix(&self, parser: &mut Parser<'_>) -> Option<Result<sql::Expr, ParserError>> {
        self.read.set(self.read.get().saturating_add(1));
        if self.is_spent() {
            return Some(Err(ParserError::RecursionLimitExceeded));
        }
        spark::prefix(parser)
    }
    fn parse_infix(
        &self,
        parser: &mut Parser<'_>,
        expr: &sql::Expr,
        precedence: u8,
    ) -> Option<Result<sql::Expr, ParserError>> {
        spark::infix(parser, expr, precedence)
    }
    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        spark::precedence(parser)
    }
}

/// A token that means something: neither white space nor comment.
#[derive(Debug, Clone)]
pub(crate) struct Tok {
    /// The token with line and column, as the parser of queries wants it.
    pub(crate) token: TokenWithSpan,
    /// The same place in bytes.
    pub(crate) span: Span,
}

impl Tok {
    /// The word in upper case, if this is a word without quotes.
    pub(crate) fn word(&self) -> Option<String> {
        match &self.token.token {
            Token::Word(w) if w.quote_style.is_none() => Some(w.value.to_uppercase()),
            _ => None,
        }
    }

    /// Whether this is the unquoted word `word`, which is given in upper case.
    pub(crate) fn is(&self, word: &str) -> bool {
        matches!(&self.token.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
    }

    /// Whether this is the token `token`.
    pub(crate) fn is_token(&self, token: &Token) -> bool {
        self.token.token == *token
    }

    /// Whether this is a word, quoted or not.
    pub(crate) fn is_word(&self) -> bool {
        matches!(&self.token.token, Token::Word(_))
    }

    /// The keyword that sqlparser takes this for; quoted words are none.
    pub(crate) fn keyword(&self) -> Keyword {
        match &self.token.token {
            Token::Word(w) => w.keyword,
            _ => Keyword::NoKeyword,
        }
    }
}

/// The place from the start of the first to the end of the last token.
pub(crate) fn span_of(toks: &[Tok]) -> Span {
    match (toks.first(), toks.last()) {
        (Some(first), Some(last)) => Span { start: first.span.start, end: last.span.end },
        _ => Span::default(),
    }
}

/// The tokens of `text`, up to the mistake if there is one: a quote or comment that is not closed, or a character that no
/// token starts with.
pub(crate) fn tokenize(text: &str) -> (Vec<Tok>, Option<Diagnostic>) {
    let mut raw = Vec::new();
    let outcome = Tokenizer::new(&Sql::default(), text).with_unescape(false).tokenize_with_location_into_buf(&mut raw);
    let mut walker = Walker { rest: text.char_indices(), line: 1, column: 1, offset: 0, len: text.len() };
    let mut toks = Vec::with_capacity(raw.len());
    for mut token in raw {
        unquoted(&mut token.token);
        let start = walker.to(token.span.start);
        let end = walker.to(token.span.end);
        let space = match token.token {
            Token::Whitespace(_) => true,
            Token::Char(c) => super::odd::is_space(c),
            _ => false,
        };
        if !space {
            toks.push(Tok { token, span: Span { start, end } });
        }
    }
    let odd = toks.iter().find_map(|tok| match tok.token.token {
        Token::Char(c) if !c.is_ascii() => Some(super::odd::mistake(c, tok.span)),
        _ => None,
    });
    let mistake = odd.or_else(|| outcome.err().map(|error| tokenizer_error(text, &error, &toks)));
    (toks, mistake)
}

/// Takes out what keeps quotes apart within a quoted text or name.
fn unquoted(token: &mut Token) {
    match token {
        Token::SingleQuotedString(text) => *text = spark::unescaped(text),
        // Two quotes end the raw text and begin one that is not; Spark joins texts that stand side by side.
        Token::SingleQuotedRawStringLiteral(text) => {
            if let Some((raw, rest)) = text.split_once("''") {
                *text = raw.to_owned() + &spark::unescaped(&rest.replace("''", ""));
            }
        }
        Token::Word(word) => {
            if let Some(quote) = word.quote_style {
                let (twice, once) = (format!("{quote}{quote}"), quote.to_string());
                word.value = word.value.replace(&twice, &once);
            }
        }
        _ => {}
    }
}

fn tokenizer_error(text: &str, error: &TokenizerError, toks: &[Tok]) -> Diagnostic {
    let lower = error.message.to_lowercase();
    let start = if lower.contains("comment") {
        text.rfind("/*").unwrap_or(text.len())
    } else {
        crate::diagnostic::offset_at(text, error.location)
    };
    let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
    let span = Span { start, end: line_end };
    if lower.contains("comment") {
        return Diagnostic::new("unclosed-comment", span, "this comment is never closed", "opened here")
            .with_help("close it with */");
    }
    if lower.contains("unterminated") || lower.contains("close") || lower.contains("end of file") {
        let what = "quote";
        let help = "close it; a quote inside a quoted text is written twice, as in 'it''s'";
        let diagnostic = Diagnostic::new("unclosed-quote", span, format!("this {what} is never closed"), "opened here")
            .with_help(help);
        // The quote that is really missing is often an earlier one, whose text then runs over several lines.
        return match toks.iter().find(|t| text[t.span.start..t.span.end].contains('\n')) {
            Some(early) => diagnostic.with_related(
                Span {
                    start: early.span.start,
                    end: text[early.span.start..].find('\n').map_or(early.span.end, |i| early.span.start + i),
                },
                "or here: this text runs on into other lines",
            ),
            None => diagnostic,
        };
    }
    let message = error.message.trim_end_matches('.').to_owned();
    Diagnostic::new("unreadable-text", span, format!("this cannot be read: {message}"), "from here on")
}

/// Turns lines and columns into byte offsets, in one pass over the text.
struct Walker<'a> {
    rest: std::str::CharIndices<'a>,
    line: u64,
    column: u64,
    offset: usize,
    len: usize,
}

impl Walker<'_> {
    /// The offset of `location`, which is not before the one asked last.
    fn to(&mut self, location: Location) -> usize {
        while (self.line, self.column) < (location.line, location.column) {
            let Some((_, c)) = self.rest.next() else { break };
            self.offset = self.rest.offset().min(self.len);
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.offset
    }
}

/// Cuts the tokens at `;` into statements. Where a statement starts inside another one, a `;` is missing: that is
/// reported, and the cut is made there too, so that what follows is still checked.
pub(crate) fn statements<'a>(toks: &'a [Tok], found: &mut Vec<Diagnostic>) -> Vec<&'a [Tok]> {
    let mut list = Vec::new();
    let mut start = 0;
    for (i, tok) in toks.iter().enumerate() {
        if tok.is_token(&Token::SemiColon) {
            if i > start {
                list.push(&toks[start..i]);
            }
            start = i + 1;
        } else if i > start && (starts_statement(&toks[i..]) || (toks[start].is("SET") && tok.is("SET"))) {
            let before = toks[i - 1].span;
            if !unclosed_paren(&toks[start..i], found) {
                found.push(
                    Diagnostic::new(
                        "missing-semicolon",
                        before,
                        "the statement before this place does not end",
                        "write ; after this",
                    )
                    .with_related(tok.span, "the next statement starts here"),
                );
            }
            list.push(&toks[start..i]);
            start = i;
        }
    }
    if start < toks.len() {
        list.push(&toks[start..]);
    }
    list
}

/// Whether a statement of ours surely starts at the first of `toks`: no query holds these words in this order.
fn starts_statement(toks: &[Tok]) -> bool {
    let next = |i: usize, words: &[&str]| toks.get(i).is_some_and(|t| words.iter().any(|w| t.is(w)));
    let word_after = |i: usize| toks.get(i).is_some_and(Tok::is_word);
    match toks.first() {
        Some(t) if t.is("CREATE") => {
            next(1, &["STREAMING", "TABLE", "TEMPORARY", "TEMP", "FLOW", "OR", "MATERIALIZED", "VIEW"]) && word_after(2)
        }
        Some(t) if t.is("SET") => {
            matches!(toks.get(1).map(|t| &t.token.token), Some(Token::SingleQuotedString(_)))
                && toks.get(2).is_some_and(|t| t.is_token(&Token::Eq))
        }
        _ => false,
    }
}

/// Reports the innermost `(` in `toks` that is not closed; whether there is one.
fn unclosed_paren(toks: &[Tok], found: &mut Vec<Diagnostic>) -> bool {
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
    let Some(span) = open.last() else { return false };
    found.push(unclosed(*span));
    true
}

/// The mistake of a `(` without its `)`.
pub(crate) fn unclosed(span: Span) -> Diagnostic {
    Diagnostic::new("unclosed-parenthesis", span, "this parenthesis is never closed", "opened here")
        .with_help("write the ) that belongs to it, before the end of the statement")
}
