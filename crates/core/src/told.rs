//! Limits how much foreign text a message quotes: each event of a schema may carry the message, and a registry's answer has one for each
//! version.

use std::fmt::Display;

/// Characters of a message.
const LONGEST: usize = 1_000;
/// Names that stand in a list.
const NAMED: usize = 10;

/// `text`, or its beginning when it is long. Its characters stay as they are: programs get it, where
/// [`cut`](crate::shown::cut) is for people.
#[must_use]
pub fn beginning(text: impl Into<String>) -> String {
    let mut text = text.into();
    if let Some((at, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(at);
        text.push_str("...");
    }
    text
}

/// The first of `names` with commas between, and how many more there are.
pub fn listed(names: impl ExactSizeIterator<Item = impl Display>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let first: Vec<String> = names.take(NAMED).map(|name| name.to_string()).collect();
    let first = first.join(", ");
    if more > 0 { format!("{first} and {more} more") } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_told_by_its_beginning() {
        assert_eq!(beginning("short"), "short");
        assert_eq!(beginning("ä".repeat(1_000)), "ä".repeat(1_000));
        assert_eq!(beginning("ä".repeat(1_001)), format!("{}...", "ä".repeat(1_000)));
        assert_eq!(listed(["a", "b"].iter()), "a, b");
        assert_eq!(listed((0..10).map(|n| n + 1)), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10");
        assert_eq!(listed((0..12).map(|n| n + 1)), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more");
    }
}
