//! Escapes foreign text: what a producer, a registry, a broker or a file says must not act on a reader's terminal.
//!
//! A control character moves the cursor, clears the screen or sets the window's title. A bidirectional or invisible character makes one
//! text look like another. A line end begins a line that looks like Sluicebox's own. Each of them is printed as its Rust escape: `\u{1b}`,
//! `\n`. Every place that prints text uses this module. Foreign text inside a message is also cut to a length that can be read. Stored text
//! keeps its bytes.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::digits::thousands;

/// Characters that are left of a text of others in a message.
const MOST: usize = 500;

/// Characters that are left of a whole message: more than any that is meant to be read.
pub const LONGEST: usize = 4_000;

/// Whether `c` does something to a terminal, or to the text around it, in place of being seen.
///
/// The joiners U+200C and U+200D are letters of Persian and Hindi, and parts of emoji; they stay, as combining marks do.
#[must_use]
pub fn acts(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// `text` in one line, with every character that [acts] as it is written in Rust.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    escaped(text, acts)
}

/// As [`shown`], with line ends left: for texts of ours that have several lines.
#[must_use]
pub fn shown_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && acts(c))
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_escaped(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// As [`shown`], of the first 500 characters: `abc… (5,074 characters)`.
#[must_use]
pub fn cut(text: &str) -> String {
    cut_to(text, MOST)
}

/// As [`shown`], of the first `most` characters; how many there are is told where some are left out.
#[must_use]
pub fn cut_to(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => shown(text).into_owned(),
        Some((end, _)) => {
            let all = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
            format!("{}… ({} characters)", shown(&text[..end]), thousands(all))
        }
    }
}

/// `json` with every character that [acts], and that JSON lets stand in a text as it is, as `\u` and four digits: to programs it is the
/// same value.
#[must_use]
pub fn in_json(json: &str) -> Cow<'_, str> {
    // Those of ASCII stand in no text of JSON, but for DEL: between texts they are white space.
    let is_raw = |c: char| c == '\u{7f}' || !c.is_ascii() && acts(c);
    if !json.contains(is_raw) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if !is_raw(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_acts_is_written_out_and_what_is_seen_stays() {
        let hostile = "a\u{1b}[2J\u{1b}]0;pwned\u{7}\r\nerror[FAKE]: fine\u{202e}\u{9b}31m\u{feff}\u{7f}\t";
        let told = "a\\u{1b}[2J\\u{1b}]0;pwned\\u{7}\\r\\nerror[FAKE]: fine\\u{202e}\\u{9b}31m\\u{feff}\\u{7f}\\t";
        assert_eq!(shown(hostile), told);
        assert_eq!(shown_lines("a\nb\u{1b}c\n"), "a\nb\\u{1b}c\n");
        for seen in ["", "plain 'text' \\n", "ünï 日本語 e\u{301}", "می\u{200c}روم", "👩\u{200d}🚀"] {
            assert!(matches!(shown(seen), Cow::Borrowed(text) if text == seen), "{seen}");
        }
    }

    #[test]
    fn what_is_long_is_cut_and_says_how_long_it_was() {
        assert_eq!(cut_to("abc", 3), "abc");
        assert_eq!(cut_to("äbcd\u{1b}", 3), "äbc… (5 characters)");
        assert_eq!(cut_to("\u{1b}bcd", 1), "\\u{1b}… (4 characters)");
        assert_eq!(cut(&"A".repeat(5_074)), format!("{}… (5,074 characters)", "A".repeat(500)));
    }

    #[test]
    fn json_is_the_same_value_for_programs() {
        let json = "{\n  \"a\u{7f}\u{9b}\": \"\\u001b \u{202e} \u{e0041} ü\"\n}\n";
        let told = in_json(json);
        assert_eq!(told, "{\n  \"a\\u007f\\u009b\": \"\\u001b \\u202e \\udb40\\udc41 ü\"\n}\n");
        let value = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(value(json), value(&told));
    }

    /// Texts in which what acts is as frequent as what does not.
    fn texts() -> impl Strategy<Value = String> {
        let one = prop_oneof![
            any::<char>(),
            (0..0x300_u32).prop_filter_map("a character", char::from_u32),
            (0x2000..0x2070_u32).prop_filter_map("a character", char::from_u32),
            (0xe0000..0xe0100_u32).prop_filter_map("a character", char::from_u32),
        ];
        prop::collection::vec(one, 0..60).prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #[test]
        fn nothing_that_acts_is_left(text in texts(), most in 0..80_usize) {
            prop_assert!(!shown(&text).contains(acts));
            prop_assert!(!cut_to(&text, most).contains(acts));
            prop_assert!(!shown_lines(&text).replace('\n', "").contains(acts));
            prop_assert_eq!(shown_lines(&text).matches('\n').count(), text.matches('\n').count());
            if !text.contains(acts) {
                prop_assert_eq!(shown(&text), text.as_str());
            }
        }

        #[test]
        fn any_json_stays_the_same_value(text in texts()) {
            let value = serde_json::Value::from(text);
            let json = value.to_string();
            let told = in_json(&json);
            prop_assert!(!told.contains(acts));
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&told).unwrap(), value);
        }
    }
}
