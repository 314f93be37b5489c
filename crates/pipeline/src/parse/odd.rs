//! Characters that look like those of SQL: zero-width spaces, typographic quotes and dashes.
//!
//! Every kind of space counts as a space, whether a browser, a word processor or the byte order mark of an editor put it there. For any
//! other such character the message gives its name and the character to write instead.

use crate::ast::Span;
use crate::diagnostic::Diagnostic;

/// Whether `c` is a space without width. The tokenizer takes all other white space of Unicode for white space, and these for characters that
/// mean nothing.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
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
        '‘' | '’' | '‚' | '‛' | '′' | '´' => ("a typographic quote", "write ' instead"),
        '“' | '”' | '„' | '‟' | '″' | '«' | '»' => {
            ("a typographic quote", "write ' around a text, \" or ` around a name")
        }
        '–' | '—' | '‐' | '‑' | '‒' | '―' | '−' => {
            ("a typographic dash", "write - instead, or -- before a comment")
        }
        '…' => ("three points in one", "write it out"),
        '×' | '⋅' | '·' => ("a sign of multiplication", "write * instead"),
        '÷' => ("a sign of division", "write / instead"),
        '≤' => ("", "write <= instead"),
        '≥' => ("", "write >= instead"),
        '≠' => ("", "write <> instead"),
        '（' => ("a full-width parenthesis", "write ( instead"),
        '）' => ("a full-width parenthesis", "write ) instead"),
        '，' | '、' => ("a full-width comma", "write , instead"),
        '；' => ("a full-width semicolon", "write ; instead"),
        _ => ("", "take it out, or put it between quotes if it belongs to a text"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::lex::tokenize;
    use super::known;

    /// The tokens of `text`, each as it stands there.
    fn tokens(text: &str) -> Vec<&str> {
        let (tokens, mistake) = tokenize(text);
        assert!(mistake.is_none(), "{mistake:?}");
        tokens.iter().map(|t| &text[t.span.start..t.span.end]).collect()
    }

    #[test]
    fn spaces_of_all_kinds_are_spaces_but_not_in_a_text() {
        let text = "\u{feff}SELECT\u{a0}'a\u{a0}b',\u{3000}x -- it\u{a0}is\n,\u{2003}y\u{b} /* \u{a0} /* */ \u{a0}*/\u{200b}z\u{2060}a";
        assert_eq!(tokens(text), ["SELECT", "'a\u{a0}b'", ",", "x", ",", "y", "z", "a"]);
    }

    #[test]
    fn a_quote_that_ends_no_text_changes_nothing_behind_it() {
        assert_eq!(tokens("-- it's\n\u{200b}x"), ["x"]);
        assert_eq!(tokens("'it''s'\u{200b}x"), ["'it''s'", "x"]);
        assert_eq!(tokens("'it\\'s\u{200b}x'\u{200b}y '\u{200b}'"), ["'it\\'s\u{200b}x'", "y", "'\u{200b}'"]);
        assert_eq!(tokens("'\\\\'\u{200b}x"), ["'\\\\'", "x"]);
        assert_eq!(tokens("r'\\'\u{200b}x"), ["r'\\'", "x"]);
        assert_eq!(tokens("r'''it's'''\u{200b}x"), ["r'''it's'''", "x"]);
    }

    #[test]
    fn what_to_write_instead_of_a_sign_is_the_sign_that_it_looks_like() {
        for (signs, instead) in [
            ("‘’‚‛′´", "write ' instead"),
            ("“”„‟″«»", "write ' around a text"),
            ("–—‐‑‒―−", "write - instead"),
            ("×⋅·", "write * instead"),
            ("÷", "write / instead"),
            ("≤", "write <= instead"),
            ("≥", "write >= instead"),
            ("≠", "write <> instead"),
            ("（", "write ( instead"),
            ("）", "write ) instead"),
            ("，、", "write , instead"),
            ("；", "write ; instead"),
            ("…☃", "it"),
        ] {
            for sign in signs.chars() {
                assert!(known(sign).1.contains(instead), "{sign}: {}", known(sign).1);
            }
        }
    }
}
