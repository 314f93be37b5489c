//! How large a query may be: trees are walked by recursion, and the stack has an end.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::lex::{Tok, span_of};
use crate::diagnostic::Diagnostic;

/// At most so many operators and subqueries stand in one query: each may make its tree one deeper, and trees are walked by recursion.
const MAX_OPERATORS: usize = 2_000;

/// A query or condition with too many operators and subqueries for the stack. What WITH names and tables that are queries count as
/// subqueries.
pub(crate) fn too_long(toks: &[Tok]) -> Option<Diagnostic> {
    let plain = |t: &Token| {
        matches!(
            t,
            Token::Comma
                | Token::Period
                | Token::Number(..)
                | Token::SingleQuotedString(_)
                | Token::LParen
                | Token::RParen
                | Token::RBracket
        )
    };
    let opens = |at: usize| at.checked_sub(1).and_then(|at| toks.get(at)).is_some_and(|t| t.is_token(&Token::LParen));
    let mut operators = toks.iter().enumerate().filter(|(at, t)| match &t.token.token {
        Token::Word(w) => OPERATORS.contains(&w.keyword) || QUERIES.contains(&w.keyword) && opens(*at),
        token => !plain(token),
    });
    let (_, last) = operators.nth(MAX_OPERATORS)?;
    let message = format!("this has more than {MAX_OPERATORS} operators and subqueries");
    Some(
        Diagnostic::new("too-long", last.span, message, "one too many")
            .with_help("cut it in several, with views or tables between; many comparisons with OR can be one IN (...)"),
    )
}

/// So many levels deep, a query that cannot be read is most likely too deep: sqlparser goes 50 deep, a subquery is several of its levels,
/// and where the last one fails it tries another reading, whose complaint tells nothing.
const DEEP: usize = 40;

/// A query or condition that cannot be read, and that is nested deeply.
pub(crate) fn too_deep(toks: &[Tok]) -> Option<Diagnostic> {
    let depth = depth(toks);
    let told = || Diagnostic::new("too-deep", span_of(toks), "this is nested too deeply", format!("{depth} levels"));
    (depth > DEEP).then(|| told().with_help("cut it in two, with a view or a table between"))
}

/// Parentheses and CASE that are open at once, and NOT and signs that stand one behind the other.
fn depth(toks: &[Tok]) -> usize {
    let (mut open, mut around, mut row, mut deepest) = (Vec::new(), 0, 0, 0);
    for tok in toks {
        let keyword = tok.keyword();
        if tok.is_token(&Token::LParen) || keyword == Keyword::CASE {
            open.push(row + 1);
            around += row + 1;
            row = 0;
        } else if tok.is_token(&Token::RParen) || keyword == Keyword::END {
            around -= open.pop().unwrap_or(0);
            row = 0;
        } else if keyword == Keyword::NOT || tok.is_token(&Token::Minus) || tok.is_token(&Token::Plus) {
            row += 1;
        } else {
            row = 0;
        }
        deepest = deepest.max(around + row);
    }
    deepest
}

/// Words that a query begins with.
const QUERIES: &[Keyword] = &[Keyword::SELECT, Keyword::WITH, Keyword::VALUES, Keyword::FROM, Keyword::TABLE];

/// Words that may make a tree deeper.
const OPERATORS: &[Keyword] = &[
    Keyword::AND,
    Keyword::OR,
    Keyword::NOT,
    Keyword::IS,
    Keyword::IN,
    Keyword::BETWEEN,
    Keyword::LIKE,
    Keyword::ILIKE,
    Keyword::SIMILAR,
    Keyword::RLIKE,
    Keyword::REGEXP,
    Keyword::COLLATE,
    Keyword::AT,
    Keyword::UNION,
    Keyword::EXCEPT,
    Keyword::INTERSECT,
    Keyword::JOIN,
    Keyword::OVERLAPS,
    Keyword::NOTNULL,
];
