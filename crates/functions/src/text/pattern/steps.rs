//! Limits how far the searches for all matches of a pattern scan a text.
//!
//! A search scans behind a match as long as a longer or a preferred match is possible. In a text of `a` only, each match of `.*[^a]|a`
//! scans to the end of the text. Finding all of them then takes time quadratic in the text's length.

use regex_automata::Input;
use regex_automata::hybrid::dfa::{Cache, DFA};

use super::Pattern;

/// So many bytes may be looked through in one text for all matches, which takes a tenth of a second of a small pattern. Tests are
/// not optimised, and look through a tenth.
const MOST: usize = if cfg!(test) { 5_000_000 } else { 50_000_000 };

/// Counts the searches in one text.
pub(super) struct Steps<'p> {
    pattern: &'p Pattern,
    /// Bytes if each search went to the end.
    possible: usize,
    /// Where searches began that are not counted yet. Each begins behind the one before, so they are few: the rests of the text that
    /// they have are no more than [`MOST`] bytes together.
    waiting: Vec<usize>,
    /// Bytes that searches have looked at.
    steps: usize,
    cache: Option<Cache>,
}

impl<'p> Steps<'p> {
    pub fn new(pattern: &'p Pattern) -> Self {
        Self { pattern, possible: 0, waiting: Vec::new(), steps: 0, cache: None }
    }

    /// Counts the search in `text` that begins at `from`. How far it looks is asked for only where it matters, since it costs as much
    /// as the search: not before all of them may be too much together, and then of those before it too.
    ///
    /// # Errors
    /// That it is one too many, in a sentence.
    pub fn count(&mut self, text: &str, from: usize) -> Result<(), String> {
        self.possible = self.possible.saturating_add(text.len() - from);
        self.waiting.push(from);
        if self.possible <= MOST {
            return Ok(());
        }
        std::mem::take(&mut self.waiting).into_iter().try_for_each(|from| self.look(text, from))
    }

    fn look(&mut self, text: &str, from: usize) -> Result<(), String> {
        let all = text.len() - from;
        let looked = match self.pattern.steps.get_or_init(|| dfa(self.pattern.regex.as_str())) {
            Some(dfa) => looked(dfa, self.cache.get_or_insert_with(|| dfa.create_cache()), text, from),
            None => None,
        };
        self.steps = self.steps.saturating_add(looked.unwrap_or(all));
        if self.steps > MOST {
            return Err(format!(
                "looking for all matches of a regular expression in a text of {} bytes takes too long: behind each the rest of the \
                 text is looked through again, and {MOST} bytes are the most",
                text.len()
            ));
        }
        Ok(())
    }
}

/// What goes through a text as the search does, and can be watched.
fn dfa(regex: &str) -> Option<DFA> {
    // It gives up, as the search does, where it makes more states than it saves steps.
    let config = DFA::config()
        .unicode_word_boundary(true)
        .skip_cache_capacity_check(true)
        .minimum_cache_clear_count(Some(3))
        .minimum_bytes_per_state(Some(10));
    DFA::builder().configure(config).build(regex).ok()
}

/// How many bytes of `text` a search from `from` on looks at; none if that cannot be told, as of a `\b` in a text
/// beyond ASCII, and of a pattern with too many states.
fn looked(dfa: &DFA, cache: &mut Cache, text: &str, from: usize) -> Option<usize> {
    let mut state = dfa.start_state_forward(cache, &Input::new(text).range(from..)).ok()?;
    for (steps, byte) in text.as_bytes()[from..].iter().enumerate() {
        if state.is_dead() {
            return Some(steps);
        }
        if state.is_quit() {
            return None;
        }
        state = dfa.next_state(cache, state, *byte).ok()?;
    }
    Some(text.len() - from)
}

#[cfg(test)]
mod tests {
    use super::{MOST, Pattern, Steps};

    fn counted(pattern: &str, text: &str) -> Result<usize, String> {
        Pattern::parse(pattern)?.find_all(text).try_fold(0, |count, found| found.map(|_| count + 1))
    }

    #[test]
    fn a_text_is_looked_through_for_all_matches_up_to_a_limit() {
        let letters = "a".repeat(6_000);
        assert!(counted("a(.*b)?", &letters).is_err_and(|why| why.contains("6000 bytes takes too long")));
        assert!(counted("a(.*b)?", &letters[..4_000]).is_err(), "what is looked through first counts too");
        assert_eq!(counted("a(.*b)?", &letters[..3_000]), Ok(3_000));
    }

    #[test]
    fn a_long_text_of_many_matches_is_looked_through_once() {
        let words = "word, ".repeat(20_000);
        assert!(words.len().pow(2) > 1_000 * MOST);
        for (pattern, count) in [(r"\w+", 20_000), (r"\s*,\s*", 20_000), ("o|r", 40_000), (r"\b", 40_000)] {
            assert_eq!(counted(pattern, &words), Ok(count), "{pattern}");
        }
    }

    #[test]
    fn how_far_a_search_looks_is_counted_from_where_it_begins() {
        let text = "xxaaab".to_owned() + &"y".repeat(1_000);
        let counted = Pattern::parse("a+b").and_then(|pattern| {
            let mut steps = Steps { possible: MOST, ..Steps::new(&pattern) };
            steps.count(&text, 0)?;
            steps.count(&text, 3)?;
            Ok(steps.steps)
        });
        // To the match's end, and a byte or two behind it.
        assert!(counted.as_ref().is_ok_and(|steps| (6 + 3..=8 + 5).contains(steps)), "{counted:?}");
    }
}
