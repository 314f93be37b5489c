//! Java's regular expressions on the engine of the crate `regex`.
//!
//! The engine finds the same leftmost match as Java's, in time linear in the text, but has another syntax for some constructs. A pattern is
//! rewritten to it. Constructs that the engine lacks (look-around, back references, possessive quantifiers) are refused. Finding all
//! matches may take quadratic time, which [`steps`] limits.

mod class;
mod escape;
mod kept;
mod steps;

use std::cell::OnceCell;
use std::collections::HashMap;

use regex::{Captures, Regex, RegexBuilder};
use regex_automata::hybrid::dfa::DFA;

use crate::nested::lists::Left;

pub(crate) use kept::Last;
pub use kept::keeping_patterns;
use steps::Steps;

/// A pattern that is ready.
pub(crate) struct Pattern {
    regex: Regex,
    /// For each group of Java's, beginning with the whole match, that of the engine.
    groups: Vec<usize>,
    /// The numbers of those that have a name.
    names: HashMap<String, usize>,
    /// Groups of the engine that hold the line end which `$` passes over.
    ends: Vec<usize>,
    /// Groups of the engine that are there where `^` of `(?m)` stands at the end of the text, which Java's does not.
    last_starts: Vec<usize>,
    /// Whether there is nothing in it.
    empty: bool,
    /// What tells how far searches look, once that is asked for; none if it cannot be made.
    steps: OnceCell<Option<DFA>>,
}

/// Why there is no pattern.
struct Fault {
    why: String,
    /// Whether it would take more than it may.
    too_large: bool,
}

impl From<String> for Fault {
    fn from(why: String) -> Self {
        Self { why, too_large: false }
    }
}

impl From<regex::Error> for Fault {
    fn from(error: regex::Error) -> Self {
        let words = error.to_string();
        let why = words.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Self { why, too_large: matches!(error, regex::Error::CompiledTooBig(_)) }
    }
}

/// A match: where each of Java's groups begins and ends.
pub(super) struct Found {
    pub(super) groups: Vec<Option<(usize, usize)>>,
}

impl Found {
    /// Where the match begins and ends.
    pub(super) fn whole(&self) -> (usize, usize) {
        self.groups.first().copied().flatten().unwrap_or_default()
    }
}

impl Pattern {
    /// Reads a pattern of Java's.
    ///
    /// # Errors
    /// Why there is none, in a sentence.
    pub(crate) fn parse(pattern: &str) -> Result<Self, String> {
        Self::of_size(pattern, None).map_err(|fault| Self::refused(pattern, &fault.why))
    }

    /// What is told of `pattern`, which is none because of `why`.
    fn refused(pattern: &str, why: &str) -> String {
        format!("'{pattern}' is not a valid or supported regular expression: {why}")
    }

    /// The pattern, which takes so many `bytes` at most, those that the engine allows if none are given.
    fn of_size(pattern: &str, bytes: Option<usize>) -> Result<Self, Fault> {
        #[cfg(test)]
        MADE.set(made() + 1);
        let mut rewriter = Rewriter { rest: pattern, groups: vec![0], ..Rewriter::default() };
        rewriter.all()?;
        let mut builder = RegexBuilder::new(&rewriter.out);
        if let Some(bytes) = bytes {
            builder.size_limit(bytes);
        }
        let regex = builder.build()?;
        let Rewriter { groups, ends, last_starts, .. } = rewriter;
        let names = names(&regex, &groups);
        let empty = pattern.is_empty();
        Ok(Self { regex, groups, names, ends, last_starts, empty, steps: OnceCell::new() })
    }

    /// How many groups there are beside the whole match.
    pub(super) fn group_count(&self) -> usize {
        self.groups.len() - 1
    }

    /// Whether it is found anywhere in `text`.
    pub(super) fn is_match(&self, text: &str) -> bool {
        if self.last_starts.is_empty() { self.regex.is_match(text) } else { self.find(text).is_some() }
    }

    /// All matches, as Java's `Matcher.find` gives them: an empty one may stand right behind another. In the place of the first one
    /// that the text would have to be looked through too often for, and at the end, there is an error.
    pub(super) fn find_all<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Result<Found, String>> + 't {
        let mut at = Some(0);
        let mut steps = Steps::new(self);
        let mut locations = self.regex.capture_locations();
        std::iter::from_fn(move || {
            let from = at.filter(|from| *from <= text.len())?;
            if let Err(error) = steps.count(text, from) {
                at = None;
                return Some(Err(error));
            }
            self.regex.captures_read_at(&mut locations, text, from)?;
            if self.last_starts.iter().any(|group| locations.get(*group).is_some()) {
                return None;
            }
            let found = self.found(|group| locations.get(group));
            let (begin, end) = found.whole();
            at = if begin == end { text[end..].chars().next().map(|c| end + c.len_utf8()) } else { Some(end) };
            Some(Ok(found))
        })
    }

    fn found(&self, get: impl Fn(usize) -> Option<(usize, usize)>) -> Found {
        let cut = self.ends.iter().filter_map(|end| get(*end)).map(|(begin, _)| begin).min();
        let cut = |(begin, end): (usize, usize)| cut.map_or((begin, end), |cut| (begin.min(cut), end.min(cut)));
        Found { groups: self.groups.iter().map(|group| get(*group).map(cut)).collect() }
    }

    /// The first match.
    pub(super) fn find(&self, text: &str) -> Option<Found> {
        let captures: Captures<'_> = self.regex.captures(text)?;
        if self.last_starts.iter().any(|group| captures.get(*group).is_some()) {
            return None;
        }
        Some(self.found(|group| captures.get(group).map(|m| (m.start(), m.end()))))
    }

    /// The parts of `text` between matches, empty ones too, at most `limit`; by an empty pattern, every character.
    ///
    /// # Errors
    /// That it takes too long, or that they are more than `left`, in a sentence.
    pub(crate) fn split<'t>(
        &self,
        text: &'t str,
        limit: Option<usize>,
        left: &mut Left,
    ) -> Result<Vec<&'t str>, String> {
        let every = self.empty && !text.is_empty();
        let mut out = Vec::new();
        let mut last = 0;
        for found in self.find_all(text) {
            let (begin, end) = found?.whole();
            if limit.is_some_and(|limit| out.len() + 1 >= limit) || (every && begin == text.len()) {
                break;
            }
            if begin == end && begin == 0 {
                continue;
            }
            left.push(&text[last..begin], &mut out)?;
            last = end;
        }
        left.push(&text[last..], &mut out)?;
        Ok(out)
    }

    /// The number of the group called `name`.
    pub(super) fn named(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }
}

/// The numbers of `groups` that have a name.
fn names(regex: &Regex, groups: &[usize]) -> HashMap<String, usize> {
    let numbers: HashMap<usize, usize> = groups.iter().enumerate().map(|(at, group)| (*group, at)).collect();
    let named = regex.capture_names().enumerate().filter_map(|(group, name)| Some((group, name?)));
    named.filter_map(|(group, name)| Some((name.to_owned(), *numbers.get(&group)?))).collect()
}

const SPACE: &str = r" \t\n\x0B\f\r";
const LINE_ENDS: &str = r"\n\r\x{85}\x{2028}\x{2029}";

/// What holds from a place in a pattern to the end of its group.
#[derive(Clone, Copy, Default)]
struct Flags {
    /// Letters from A to Z are matched in both cases.
    any_case: bool,
    multi_line: bool,
    dot_all: bool,
}

#[derive(Default)]
struct Rewriter<'a> {
    rest: &'a str,
    out: String,
    groups: Vec<usize>,
    ends: Vec<usize>,
    last_starts: Vec<usize>,
    /// Groups of the engine so far.
    captures: usize,
}

impl Rewriter<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn skip(&mut self, text: &str) -> bool {
        let found = self.rest.strip_prefix(text);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn all(&mut self) -> Result<(), String> {
        let mut flags = vec![Flags::default()];
        while let Some(c) = self.next() {
            let now = flags.last().copied().unwrap_or_default();
            match c {
                '\\' => self.escape(now, false)?,
                '[' => self.class(now, 0)?,
                '(' => {
                    let inside = self.open(now)?;
                    match inside {
                        Opened::Group(inside) => flags.push(inside),
                        Opened::Flags(new) => {
                            if let Some(last) = flags.last_mut() {
                                *last = new;
                            }
                        }
                    }
                }
                ')' => {
                    if flags.len() > 1 {
                        flags.pop();
                    }
                    self.out.push(')');
                }
                '.' if now.dot_all => self.out.push_str("(?s:.)"),
                '.' => self.out.push_str(&format!("[^{LINE_ENDS}]")),
                '^' if now.multi_line => self.line_start(),
                // `R`: \r\n is one line end, and \r is one too.
                '$' if now.multi_line => self.out.push_str("(?Rm:$)"),
                '$' => self.end(),
                '*' | '+' | '?' => {
                    self.out.push(c);
                    self.quantified()?;
                }
                '{' => {
                    self.out.push('{');
                    while let Some(c) = self.next() {
                        self.out.push(c);
                        if c == '}' {
                            break;
                        }
                    }
                    self.quantified()?;
                }
                '|' | '^' => self.out.push(c),
                _ => self.literal(c, now),
            }
        }
        Ok(())
    }

    /// Java's `$` stands before a line end that ends the text, too.
    fn end(&mut self) {
        self.captures += 1;
        self.ends.push(self.captures);
        self.out.push_str(r"(?:\z|((?:\r\n|[\n\r\x{85}\x{2028}\x{2029}])\z))");
    }

    /// Java's `^` of `(?m)` does not stand at the end of the text, not even behind a line end: a match for which it does is none.
    fn line_start(&mut self) {
        self.captures += 1;
        self.last_starts.push(self.captures);
        self.out.push_str(r"(?:(?Rm:^)(?:(\z)|))");
    }

    /// What follows a quantifier.
    fn quantified(&mut self) -> Result<(), String> {
        if self.rest.starts_with('+') {
            return Err("possessive quantifiers such as `a*+` are not known".to_owned());
        }
        if self.skip("?") {
            self.out.push('?');
        }
        Ok(())
    }

    fn literal(&mut self, c: char, flags: Flags) {
        if flags.any_case && c.is_ascii_alphabetic() {
            self.out.push_str(&format!("[{}{}]", c.to_ascii_lowercase(), c.to_ascii_uppercase()));
        } else {
            self.out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
        }
    }

    fn open(&mut self, now: Flags) -> Result<Opened, String> {
        if !self.skip("?") {
            self.capture();
            self.out.push('(');
            return Ok(Opened::Group(now));
        }
        for (mark, what) in [
            ("=", "looking ahead `(?=`"),
            ("!", "looking ahead `(?!`"),
            ("<=", "looking behind `(?<=`"),
            ("<!", "looking behind `(?<!`"),
            (">", "atomic groups `(?>`"),
        ] {
            if self.rest.starts_with(mark) {
                return Err(format!("{what} is not known; match more, and take a group of it"));
            }
        }
        if self.skip("<") {
            let end = self.rest.find('>').ok_or("a group's name has no end")?;
            let name = &self.rest[..end];
            self.out.push_str(&format!("(?<{name}>"));
            self.rest = &self.rest[end + 1..];
            self.capture();
            return Ok(Opened::Group(now));
        }
        let (mut flags, mut on) = (now, true);
        loop {
            match self.next().ok_or("a group has no end")? {
                '-' => on = false,
                'i' => flags.any_case = on,
                'm' => flags.multi_line = on,
                's' => flags.dot_all = on,
                ':' => {
                    self.out.push_str("(?:");
                    return Ok(Opened::Group(flags));
                }
                ')' => {
                    self.out.push_str("(?:)");
                    return Ok(Opened::Flags(flags));
                }
                other => return Err(format!("the flag `{other}` is not known; there are i, m and s")),
            }
        }
    }

    fn capture(&mut self) {
        self.captures += 1;
        self.groups.push(self.captures);
    }
}

enum Opened {
    Group(Flags),
    Flags(Flags),
}

#[cfg(test)]
thread_local! {
    static MADE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// How many patterns this thread has made, or tried to.
#[cfg(test)]
fn made() -> usize {
    MADE.get()
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn a_deep_pattern_is_refused_before_the_stack_is_full() {
        let deep = |n: usize| Pattern::parse(&("[a".repeat(n) + &"]".repeat(n)));
        assert!(deep(50).is_ok());
        assert!(deep(1_000_000).is_err());
        assert!(Pattern::parse(&("(".repeat(1_000_000) + &")".repeat(1_000_000))).is_err());
    }
}
