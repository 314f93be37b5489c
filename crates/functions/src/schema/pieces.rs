//! Splits a text into tokens.

use std::borrow::Cow;

use super::{Piece, Place, What};

/// The pieces of `text`, as Spark reads a schema: names between backticks, in which a backtick is written twice, and comments between
/// either quote. A quote that is not closed is a sign.
pub fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    Pieces { text, at: 0 }
}

struct Pieces<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let rest = self.text.get(self.at..)?.trim_start();
        let start = self.text.len() - rest.len();
        let first = rest.chars().next()?;
        let (what, length) = match first {
            '`' => name(rest).unwrap_or((What::Sign('`'), 1)),
            '\'' | '"' => match rest.get(1..).and_then(|inner| inner.find(first)) {
                Some(end) => (What::Text, end + 2),
                None => (What::Sign(first), 1),
            },
            c if is_of_a_word(c) => {
                let end = rest.find(|c: char| !is_of_a_word(c)).unwrap_or(rest.len());
                (What::Word(rest.get(..end)?), end)
            }
            c => (What::Sign(c), c.len_utf8()),
        };
        self.at = start + length;
        Some(Piece { what, place: Place { start, end: self.at } })
    }
}

fn is_of_a_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The name between the backticks at the start of `text`, and how long it is with them.
fn name(text: &str) -> Option<(What<'_>, usize)> {
    let inner = text.get(1..)?;
    let mut from = 0;
    loop {
        let end = from + inner.get(from..)?.find('`')?;
        if inner.get(end + 1..)?.starts_with('`') {
            from = end + 2;
            continue;
        }
        let name = inner.get(..end)?;
        let name = if name.contains('`') { Cow::Owned(name.replace("``", "`")) } else { Cow::Borrowed(name) };
        return Some((What::Name(name), end + 2));
    }
}
