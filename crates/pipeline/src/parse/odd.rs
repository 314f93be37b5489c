//! Characters that only look like those of SQL: spaces that are none of ASCII, quotes and dashes of print.
//!
//! A space is taken for one, wherever it came from: a browser, a word processor, the byte order mark of an editor. What could
//! mean two things is told with its name.

use crate::ast::Span;
use crate::diagnostic::Diagnostic;

/// `text` with plain spaces in place of all others, outside of quotes and comments; a character stays one character, so that lines
/// and columns are those of `text`.
pub(super) fn plain_spaces(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut within = Within::Code;
    let mut before = '\0';
    for (i, c) in text.char_indices() {
        let was = within;
        within = within.after(before, c, text[i + c.len_utf8()..].chars().next());
        let plain = was == Within::Code && is_odd_space(c);
        out.push(if plain { ' ' } else { c });
        before = if was == within { c } else { '\0' };
    }
    out
}

/// What a character stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    Code,
    /// A text or name that ends with this quote.
    Quotes(char),
    LineComment,
    /// So many of them, one in the other.
    Comment(u32),
}

impl Within {
    fn after(self, before: char, c: char, next: Option<char>) -> Self {
        match (self, c) {
            (Self::Code, '\'' | '"' | '`') => Self::Quotes(c),
            (Self::Code, '-') if before == '-' => Self::LineComment,
            (Self::Code, '/') if next == Some('*') => Self::Comment(1),
            (Self::Quotes(quote), c) if c == quote => Self::Code,
            (Self::LineComment, '\n') => Self::Code,
            (Self::Comment(n), '/') if next == Some('*') => Self::Comment(n + 1),
            (Self::Comment(n), '/') if before == '*' => {
                if n > 1 {
                    Self::Comment(n - 1)
                } else {
                    Self::Code
                }
            }
            (same, _) => same,
        }
    }
}

/// White space that the SQL parser does not take for any, and what has no width at all.
fn is_odd_space(c: char) -> bool {
    matches!(c, '\u{b}' | '\u{c}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
        || (c.is_whitespace() && !matches!(c, ' ' | '\t' | '\n' | '\r'))
}

/// The mistake of a character that no token of SQL begins with.
pub(super) fn mistake(c: char, span: Span) -> Diagnostic {
    let (name, help) = known(c);
    let code = u32::from(c);
    let name = if name.is_empty() { String::new() } else { format!(", {name}") };
    Diagnostic::new(
        "unreadable-text",
        span,
        format!("`{c}` (U+{code:04X}{name}) means nothing in SQL"),
        "this character",
    )
    .with_help(help)
}

/// The name of a character, and what to write instead.
fn known(c: char) -> (&'static str, &'static str) {
    match c {
        '‘' | '’' | '‚' | '‛' | '′' | '´' => ("a quote of print", "write ' instead"),
        '“' | '”' | '„' | '‟' | '″' | '«' | '»' => {
            ("a quote of print", "write ' around a text, \" or ` around a name")
        }
        '–' | '—' | '‐' | '‑' | '‒' | '―' | '−' => {
            ("a dash of print", "write - instead, or -- before a comment")
        }
        '…' => ("three points in one", "write it out"),
        '×' | '⋅' | '·' => ("a sign of multiplication", "write * instead"),
        '÷' => ("a sign of division", "write / instead"),
        '≤' => ("", "write <= instead"),
        '≥' => ("", "write >= instead"),
        '≠' => ("", "write <> instead"),
        '（' => ("a wide parenthesis", "write ( instead"),
        '）' => ("a wide parenthesis", "write ) instead"),
        '，' | '、' => ("a wide comma", "write , instead"),
        '；' => ("a wide semicolon", "write ; instead"),
        _ => ("", "take it out, or put it between quotes if it belongs to a text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_of_all_kinds_are_spaces_but_not_in_a_text() {
        let text =
            "\u{feff}SELECT\u{a0}'a\u{a0}b',\u{3000}x -- it\u{a0}is\n,\u{2003}y /* \u{a0} /* */ \u{a0}*/\u{200b}z";
        let plain = plain_spaces(text);
        assert_eq!(plain, " SELECT 'a\u{a0}b', x -- it\u{a0}is\n, y /* \u{a0} /* */ \u{a0}*/ z");
        assert_eq!(plain.chars().count(), text.chars().count(), "columns stay");
    }

    #[test]
    fn a_quote_in_a_comment_opens_nothing() {
        assert_eq!(plain_spaces("-- it's\n\u{a0}x"), "-- it's\n x");
        assert_eq!(plain_spaces("'it''s'\u{a0}x"), "'it''s' x");
        assert_eq!(plain_spaces("a - - b\u{a0}"), "a - - b ");
    }
}
