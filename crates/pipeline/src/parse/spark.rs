//! Parses Spark's syntax that sqlparser does not: suffixes of numbers, `DIV`, `>>>`, the precedence of operators, and backslashes in texts.

use datafusion::sql::sqlparser::ast::{BinaryOperator, CastKind, DataType, Expr, TimezoneInfo, UnaryOperator, Value};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use sluicebox_functions::operators::planner::marks;

use crate::sql;

type Parsed = Option<Result<Expr, ParserError>>;

/// Signs bind more tightly than anything but `::` and items.
const SIGN: u8 = 40;
const TIMES: u8 = 40;
const PLUS: u8 = 30;
/// Shifts bind more tightly than `&`, less than `+`.
const SHIFT: u8 = 26;

/// A number with its sign and suffix, or `~`.
pub(crate) fn prefix(parser: &mut Parser<'_>) -> Parsed {
    let first = parser.peek_token();
    if first.token == Token::Tilde {
        parser.next_token();
        let operand = parser.parse_subexpr(SIGN);
        return Some(operand.map(|expr| Expr::UnaryOp { op: UnaryOperator::BitwiseNot, expr: Box::new(expr) }));
    }
    if let (Token::Word(word), Token::SingleQuotedString(text)) = (&first.token, &parser.peek_nth_token(1).token)
        && word.quote_style.is_none()
        && word.value.eq_ignore_ascii_case("TIMESTAMP_LTZ")
    {
        parser.next_token();
        let span = parser.next_token().span;
        return Some(Ok(Expr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(Expr::Value(Value::SingleQuotedString(text.clone()).with_span(span))),
            data_type: DataType::Timestamp(None, TimezoneInfo::None),
            format: None,
            array: false,
        }));
    }
    let negative = first.token == Token::Minus;
    let at = usize::from(negative);
    let number = parser.peek_nth_token(at);
    let Token::Number(digits, long) = &number.token else { return None };
    let suffix = suffix(&number, &parser.peek_nth_token(at + 1));
    if !negative && !long && suffix.is_none() {
        return None;
    }
    for _ in 0..=at + usize::from(suffix.is_some()) {
        parser.next_token();
    }
    let digits = if negative { format!("-{digits}") } else { digits.clone() };
    let value = |value: Value| Expr::Value(value.with_span(number.span));
    let marked = match suffix.as_deref() {
        Some("BD") => Some(marks::DECIMAL),
        Some("D") => Some(marks::DOUBLE),
        Some("F") => Some(marks::FLOAT),
        _ => None,
    };
    if let Some(mark) = marked {
        return Some(Ok(Expr::BinaryOp {
            left: Box::new(value(Value::SingleQuotedString(digits))),
            op: BinaryOperator::Custom(mark.to_owned()),
            right: Box::new(value(Value::Null)),
        }));
    }
    let of = match suffix.as_deref() {
        Some("Y") => DataType::TinyInt(None),
        Some("S") => DataType::SmallInt(None),
        _ if *long => DataType::BigInt(None),
        _ => return Some(Ok(value(Value::Number(digits, false)))),
    };
    let expr = Box::new(value(Value::Number(digits, false)));
    Some(Ok(Expr::Cast { kind: CastKind::Cast, expr, data_type: of, format: None, array: false }))
}

/// The suffix that stands right after a number.
fn suffix(number: &TokenWithSpan, next: &TokenWithSpan) -> Option<String> {
    let Token::Word(word) = &next.token else { return None };
    let upper = word.value.to_uppercase();
    let known = matches!(upper.as_str(), "Y" | "S" | "F" | "D" | "BD");
    (known && word.quote_style.is_none() && number.span.end == next.span.start).then_some(upper)
}

/// Whether `[NOT] RLIKE` or `[NOT] REGEXP` comes next: whether with NOT, and how many words it is. What sqlparser makes of a NULL behind
/// it is nothing.
fn regexp(parser: &Parser<'_>) -> Option<(bool, usize)> {
    let is = |at: usize, word: &str| {
        let token = parser.peek_nth_token(at);
        matches!(&token.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
    };
    let negated = is(0, "NOT");
    let at = usize::from(negated);
    (is(at, "RLIKE") || is(at, "REGEXP")).then_some((negated, at + 1))
}

/// `RLIKE`, which is the function of that name, `DIV` and `>>>`.
pub(crate) fn infix(parser: &mut Parser<'_>, left: &Expr, precedence: u8) -> Parsed {
    if let Some((negated, words)) = regexp(parser) {
        let operator = parser.peek_token().span;
        for _ in 0..words {
            parser.next_token();
        }
        let pattern = parser.parse_subexpr(precedence);
        return Some(pattern.map(|pattern| {
            let found = sql::call("rlike", [left.clone(), pattern], operator);
            if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(found) } } else { found }
        }));
    }
    let mark = if is_div(&parser.peek_token()) {
        marks::DIV
    } else if is_unsigned_shift(parser) {
        parser.next_token();
        marks::SHIFT_UNSIGNED
    } else {
        return None;
    };
    parser.next_token();
    let right = parser.parse_subexpr(precedence);
    Some(right.map(|right| Expr::BinaryOp {
        left: Box::new(left.clone()),
        op: BinaryOperator::Custom(mark.to_owned()),
        right: Box::new(right),
    }))
}

/// Writes `MAP<K, V>` as `MAP(K, V)`, which is how sqlparser reads that type.
pub(crate) fn map_types(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at + 1 < tokens.len() {
        let map = matches!(&tokens[at].token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case("MAP"));
        if map
            && tokens[at + 1].token == Token::Lt
            && let Some((end, split)) = closing(&tokens[at + 2..])
        {
            let end = at + 2 + end;
            if split {
                // Of `>>` the first closes what stands within.
                let second = tokens[end].clone();
                tokens[end].token = Token::Gt;
                tokens.insert(end + 1, TokenWithSpan { token: Token::RParen, ..second });
            } else {
                tokens[end].token = Token::RParen;
            }
            tokens[at + 1].token = Token::LParen;
        }
        at += 1;
    }
}

/// Where the `>` is that closes a type whose arguments begin at the first of `tokens`, and whether it is the second half of `>>`.
fn closing(tokens: &[TokenWithSpan]) -> Option<(usize, bool)> {
    let mut depth = 1;
    for (at, token) in tokens.iter().enumerate() {
        let closes = match &token.token {
            Token::Lt => {
                depth += 1;
                0
            }
            Token::Gt => 1,
            Token::ShiftRight => 2,
            Token::Word(_) | Token::Comma | Token::Colon | Token::LParen | Token::RParen | Token::Number(..) => 0,
            _ => return None,
        };
        if closes >= depth {
            return Some((at, closes == 2 && depth == 2));
        }
        depth -= closes;
    }
    None
}

fn is_div(token: &TokenWithSpan) -> bool {
    matches!(&token.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case("DIV"))
}

fn is_unsigned_shift(parser: &Parser<'_>) -> bool {
    let (first, second) = (parser.peek_token(), parser.peek_nth_token(1));
    first.token == Token::ShiftRight && second.token == Token::Gt && first.span.end == second.span.start
}

/// How tightly the next operator binds, where sqlparser thinks otherwise than Spark.
pub(crate) fn precedence(parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
    let next = parser.peek_token();
    match &next.token {
        Token::ShiftLeft | Token::ShiftRight => Some(Ok(SHIFT)),
        Token::StringConcat => Some(Ok(PLUS)),
        _ if is_div(&next) => Some(Ok(TIMES)),
        _ => None,
    }
}

/// What stands between the quotes of a text, as Spark reads it: a quote twice is one, and a backslash begins `\n`, `\t`, `\u00e9`, `\101`
/// and their like, stays before `%` and `_`, and is left out before anything else.
pub(crate) fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        match c {
            '\'' => {
                rest = rest.strip_prefix('\'').unwrap_or(rest);
                out.push('\'');
            }
            '\\' => {
                let (escaped, length) = escape(rest);
                out.push_str(&escaped);
                rest = rest.get(length..).unwrap_or_default();
            }
            c => out.push(c),
        }
    }
    out
}

/// What a backslash before `rest` stands for, and how much of `rest` belongs to it.
fn escape(rest: &str) -> (String, usize) {
    let coded = |from: usize, to: usize, radix: u32| {
        let code = rest.get(from..to)?;
        let valid = code.chars().all(|c| c.is_digit(radix));
        valid.then(|| u32::from_str_radix(code, radix).ok().and_then(char::from_u32))?.map(|c| (c.to_string(), to))
    };
    let Some(first) = rest.chars().next() else { return ("\\".to_owned(), 0) };
    let found = match first {
        'u' => coded(1, 5, 16).or_else(|| surrogates(rest)),
        'U' => coded(1, 9, 16),
        '0' | '1' => coded(0, 3, 8),
        _ => None,
    };
    found.unwrap_or_else(|| {
        let meant = match first {
            '0' => "\0",
            'b' => "\u{8}",
            'n' => "\n",
            'r' => "\r",
            't' => "\t",
            'Z' => "\u{1a}",
            '%' => "\\%",
            '_' => "\\_",
            _ => return (first.to_string(), first.len_utf8()),
        };
        (meant.to_owned(), 1)
    })
}

/// The character of `uD83D\\uDE00`, a pair of UTF-16; a half alone is `?`, as in Spark, since no UTF-8 has it.
fn surrogates(rest: &str) -> Option<(String, usize)> {
    let unit = |from: usize| {
        let code = rest.get(from..from + 4)?;
        code.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u16::from_str_radix(code, 16).ok())?
    };
    let first = unit(1)?;
    let second = rest.get(5..7).filter(|mark| *mark == "\\u").and_then(|_| unit(7));
    if let Some(second) = second
        && let Ok(pair) = String::from_utf16(&[first, second])
        && pair.chars().count() == 1
    {
        return Some((pair, 11));
    }
    (0xD800..0xE000).contains(&first).then(|| ("?".to_owned(), 5))
}

#[cfg(test)]
mod tests {
    use super::unescaped;

    #[test]
    fn backslashes_are_read_as_in_spark() {
        for (written, meant) in [
            (r"a\nb", "a\nb"),
            (r"it''s \'so\'", "it's 'so'"),
            (r"\\d+", r"\d+"),
            (r"\d+", "d+"),
            (r"50\%\_", r"50\%\_"),
            (r"\u00e9\101\0", "éA\0"),
            (r"\U0001F600", "😀"),
            (r"a\uD83D\ude00b", "a😀b"),
            (r"\ud83dx\ude00\ud83d\u0041\ud83d", "?x??A?"),
            (r"\uZZZZ", "uZZZZ"),
            ("\\", "\\"),
        ] {
            assert_eq!(unescaped(written), meant, "{written}");
        }
    }
}
