//! The names of an object. A name that occurs twice is refused.

use std::borrow::Cow;
use std::collections::HashSet;

/// Names up to which each is compared with those before it: quicker than to hash so few.
const FEW: usize = 16;

/// The names of one object so far.
#[derive(Debug, Default)]
pub(super) struct Names<'a> {
    few: Vec<Cow<'a, [u8]>>,
    many: HashSet<Cow<'a, [u8]>>,
}

impl<'a> Names<'a> {
    /// Adds `name`; gives it back if it is there already.
    pub(super) fn add(&mut self, name: Cow<'a, [u8]>) -> Option<Cow<'a, [u8]>> {
        if self.few.contains(&name) || self.many.contains(&name) {
            return Some(name);
        }
        if self.few.len() < FEW {
            self.few.push(name);
        } else {
            self.many.insert(name);
        }
        None
    }
}

/// Which of a record's fields an object has had so far.
#[derive(Debug)]
pub(super) struct Seen {
    /// The first 64.
    few: u64,
    many: Vec<u64>,
    count: usize,
}

impl Seen {
    /// None of `fields`.
    pub(super) fn none(fields: usize) -> Self {
        Self { few: 0, many: vec![0; fields.saturating_sub(1) / 64], count: 0 }
    }

    /// Adds the field of number `at`; `false` if it is there already.
    #[inline]
    pub(super) fn add(&mut self, at: usize) -> bool {
        let bit = 1 << (at % 64);
        let Some(word) = (if at < 64 { Some(&mut self.few) } else { self.many.get_mut(at / 64 - 1) }) else {
            return false;
        };
        let is_new = *word & bit == 0;
        *word |= bit;
        self.count += usize::from(is_new);
        is_new
    }

    /// Whether the field of number `at` is there.
    pub(super) fn has(&self, at: usize) -> bool {
        let word = if at < 64 { Some(&self.few) } else { self.many.get(at / 64 - 1) };
        word.is_some_and(|word| word & (1 << (at % 64)) != 0)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_new_once_whether_there_are_few_or_many() {
        let mut names = Names::default();
        let name = |n: usize| -> Cow<'static, [u8]> { Cow::Owned(format!("name{n}").into_bytes()) };
        for n in 0..100 {
            assert_eq!(names.add(name(n)), None, "{n}");
        }
        for n in 0..100 {
            assert_eq!(names.add(name(n)), Some(name(n)), "{n}");
        }
    }

    #[test]
    fn a_field_is_new_once_wherever_it_stands() {
        for fields in [1, 64, 65, 128, 129, 1000] {
            let mut seen = Seen::none(fields);
            assert!((0..fields).all(|at| !seen.has(at) && seen.add(at) && seen.has(at) && !seen.add(at)), "{fields}");
            assert_eq!(seen.count(), fields);
        }
    }
}
