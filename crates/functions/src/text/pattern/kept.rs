//! Caches compiled patterns: the one of the previous row and, while a batch is computed row by row, those that took long to compile.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::{Fault, Pattern};

/// So many bytes may a pattern take that comes from a row: a text is looked through in time by its length times that of its pattern.
const LARGEST_OF_ROWS: usize = 1 << 20;
/// What takes no more than this is ready soon, and is not kept.
const EASY: usize = 1 << 16;
/// So many large patterns are kept: with what searches need, one may take some mebibytes.
const MOST_LARGE: usize = 24;
/// So many are known to be none.
const MOST_REFUSED: usize = 1_000;
/// A longer reason than any but those that repeat a part of the pattern.
const LONGEST_REASON: usize = 200;

thread_local! {
    static KEPT: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

/// Patterns by the digest of their texts, which may be long.
#[derive(Default)]
struct Kept {
    large: HashMap<[u8; 32], Rc<Pattern>>,
    refused: HashMap<[u8; 32], String>,
}

/// Does `work`, which asks for values of the same rows again and again, on this thread: large patterns that come from rows, and
/// those that are none, are made once, as far as there is room for them. They are forgotten at the end.
pub fn keeping_patterns<T>(work: impl FnOnce() -> T) -> T {
    /// Forgets, also when `work` panics.
    struct Scope;
    impl Drop for Scope {
        fn drop(&mut self) {
            KEPT.set(None);
        }
    }
    if KEPT.with_borrow(Option::is_some) {
        return work();
    }
    KEPT.set(Some(Kept::default()));
    let _scope = Scope;
    work()
}

/// The pattern that was used last, which most rows share.
pub(crate) struct Last {
    known: Option<(String, Rc<Pattern>)>,
    constant: bool,
}

impl Last {
    /// For patterns that are written in the query, if `constant`, else that come from rows.
    pub(crate) fn new(constant: bool) -> Self {
        Self { known: None, constant }
    }

    /// The pattern `text`, read anew where it is not the last one.
    ///
    /// # Errors
    /// As of [`Pattern::parse`]; of one from a row also if it takes more than a mebibyte.
    pub(crate) fn pattern(&mut self, text: &str) -> Result<&Pattern, String> {
        let known = match self.known.take() {
            Some(known) if known.0 == text => known,
            _ if self.constant => (text.to_owned(), Rc::new(Pattern::parse(text)?)),
            _ => (text.to_owned(), of_row(text).map_err(|why| Pattern::refused(text, &why))?),
        };
        Ok(&self.known.insert(known).1)
    }
}

/// The pattern `text` of a row; why it is none, if so.
fn of_row(text: &str) -> Result<Rc<Pattern>, String> {
    let key: Option<[u8; 32]> = KEPT.with_borrow(Option::is_some).then(|| Sha256::digest(text).into());
    let known = KEPT.with_borrow(|kept| {
        let (kept, key) = (kept.as_ref()?, key.as_ref()?);
        let refused = || kept.refused.get(key).cloned().map(Err);
        kept.large.get(key).map(Rc::clone).map(Ok).or_else(refused)
    });
    if let Some(known) = known {
        return known;
    }
    let (made, large) = match Pattern::of_size(text, Some(EASY)) {
        Err(Fault { too_large: true, .. }) => (Pattern::of_size(text, Some(LARGEST_OF_ROWS)), true),
        made => (made, false),
    };
    let made = made.map(Rc::new).map_err(|fault| fault.why);
    KEPT.with_borrow_mut(|kept| {
        let (Some(kept), Some(key)) = (kept.as_mut(), key) else { return };
        match &made {
            Ok(pattern) if large && kept.large.len() < MOST_LARGE => drop(kept.large.insert(key, Rc::clone(pattern))),
            Err(why) if why.len() <= LONGEST_REASON && kept.refused.len() < MOST_REFUSED => {
                kept.refused.insert(key, why.clone());
            }
            _ => {}
        }
    });
    made
}

#[cfg(test)]
mod tests {
    use super::super::made;
    use super::{Last, keeping_patterns};
    use crate::nested::lists::Left;

    /// A text is looked through in time by its length times the size of the pattern: who sends both shall not have hours.
    #[test]
    fn a_large_pattern_may_stand_in_the_query_and_not_in_a_row() {
        let large = r"\p{L}{60}";
        assert!(Last::new(true).pattern(large).is_ok());
        let refused = Last::new(false).pattern(large).err().unwrap_or_default();
        assert!(refused.contains("not a valid or supported regular expression"), "{refused}");
        assert!(Last::new(false).pattern("[a-z]{500}").is_ok());
    }

    #[test]
    fn the_last_pattern_is_kept_until_another_comes() {
        let mut last = Last::new(true);
        for (pattern, text, parts) in
            [(",", "a,b,", vec!["a", "b", ""]), (",", "", vec![""]), ("", "aé", vec!["a", "é"]), ("[", "a", vec![])]
        {
            let mut left = Left::new();
            let split = last.pattern(pattern).map(|pattern| pattern.split(text, None, &mut left));
            let split = split.unwrap_or(Ok(Vec::new()));
            assert_eq!(split, Ok(parts), "{pattern}");
        }
    }

    /// 16 MiB may become as many parts of a character, and whoever gathers parts takes 16 bytes for each.
    #[test]
    fn no_more_parts_are_gathered_than_are_left() {
        let mut last = Last::new(true);
        let mut of = |left| last.pattern(",").and_then(|p| p.split("a,b,c", None, &mut Left::of(left)));
        assert_eq!(of(3), Ok(vec!["a", "b", "c"]));
        let refused = of(2).err().unwrap_or_default();
        assert!(refused.contains("elements in total"), "{refused}");
    }

    /// How many patterns are made when each of `patterns` is asked for `times` times, in turn.
    fn made_for(patterns: &[String], times: usize) -> usize {
        let before = made();
        for _ in 0..times {
            for pattern in patterns {
                let _ = Last::new(false).pattern(pattern);
            }
        }
        made() - before
    }

    #[test]
    fn what_takes_long_is_made_once_while_a_batch_is_computed_row_by_row() {
        // Too large, large, and none. Of the first two it takes a second try to know.
        let of = |what: &str| -> Vec<String> { (0..20).map(|n| what.replace('N', &(40 + n).to_string())).collect() };
        for (patterns, tries) in [(of(r"\p{L}{2N}"), 2), (of(r"[a-z]{3N}\p{L}{5}"), 2), (of("a(N"), 1)] {
            assert_eq!(keeping_patterns(|| made_for(&patterns, 3)), tries * 20, "{patterns:?}");
            assert_eq!(made_for(&patterns, 3), 3 * tries * 20, "nothing is kept for longer: {patterns:?}");
        }
    }

    #[test]
    fn scopes_within_each_other_are_one() {
        let patterns = ["(".to_owned()];
        let all = keeping_patterns(|| {
            let inner = keeping_patterns(|| made_for(&patterns, 2));
            inner + made_for(&patterns, 2)
        });
        assert_eq!(all, 1);
    }
}
