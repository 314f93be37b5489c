//! Limits the size of a query: trees are walked by recursion, and the stack is finite.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

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

/// So many levels sqlparser never reads: each of them is one or more of its own. Some, as of types and of INTERVAL, it does not count,
/// and walks them until the stack ends.
const DEEPEST: usize = 60;

/// A query or condition that cannot be read, and that is nested deeply.
pub(crate) fn too_deep(toks: &[Tok]) -> Option<Diagnostic> {
    deeper_than(DEEP, toks)
}

/// A query or condition that nobody needs to try to read.
pub(crate) fn far_too_deep(toks: &[Tok]) -> Option<Diagnostic> {
    deeper_than(DEEPEST, toks)
}

fn deeper_than(most: usize, toks: &[Tok]) -> Option<Diagnostic> {
    let (depth, _) = deepest(toks);
    let told = || Diagnostic::new("too-deep", span_of(toks), "this is nested too deeply", format!("{depth} levels"));
    (depth > most).then(|| told().with_help("cut it in two, with a view or a table between"))
}

/// How many operands are read of `tokens` at most. Each is read once, and some twice or thrice, unless words within each other can be
/// read in two ways, as `NOT (` and `CAST (`, which are names of functions too: a mistake behind `n` of them is met 2^n times.
pub(crate) fn operands(tokens: &[TokenWithSpan]) -> usize {
    50_000 + 16 * tokens.len()
}

/// A query or condition of which more operands would be read.
pub(crate) fn too_often(toks: &[Tok]) -> Diagnostic {
    let (depth, at) = deepest(toks);
    let span = toks.get(at).map_or_else(|| span_of(toks), |tok| tok.span);
    let label = format!("the innermost of {depth} levels");
    Diagnostic::new("too-deep", span, "this is nested too deeply, in words that can be read in two ways", label).with_help(
        "look for a mistake here: all around one is read in each of the ways. If there is none, cut it in two, with a view or a table \
         between; NOT (NOT (x)) is x",
    )
}

/// Parentheses, CASE and types that are open at once, and NOT, INTERVAL and signs that stand one behind the other; and where most are.
fn deepest(toks: &[Tok]) -> (usize, usize) {
    let (mut open, mut around, mut row, mut types, mut most) = (Vec::new(), 0_usize, 0_usize, 0_usize, (0, 0));
    for (at, tok) in toks.iter().enumerate() {
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
        } else if keyword == Keyword::INTERVAL {
            row += OF_INTERVAL;
        } else {
            row = 0;
        }
        types = match &tok.token.token {
            Token::Lt if at > 0 && toks.get(at - 1).is_some_and(|t| TYPES.contains(&t.keyword())) => types + 1,
            Token::Gt => types.saturating_sub(1),
            Token::ShiftRight => types.saturating_sub(2),
            Token::Word(w) if !OPERATORS.contains(&w.keyword) => types,
            Token::Colon | Token::LParen | Token::RParen | Token::Comma | Token::Number(..) => types,
            // No type has it: what looked like one was a comparison.
            _ => 0,
        };
        let levels = around + row + types;
        if levels > most.0 {
            most = (levels, at);
        }
    }
    most
}

/// As how many levels an INTERVAL counts: sqlparser reads what follows it without asking for more stack, in five functions.
const OF_INTERVAL: usize = 4;

/// Types that are of others, which stand behind `<`.
const TYPES: &[Keyword] = &[Keyword::ARRAY, Keyword::MAP, Keyword::STRUCT];

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
