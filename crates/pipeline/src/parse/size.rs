//! How large a query may be: trees are walked by recursion, and the stack has an end.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::lex::Tok;
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
