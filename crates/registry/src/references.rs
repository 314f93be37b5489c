//! Walks a schema's references: which one to fetch next, and their order.

use std::collections::HashSet;

use crate::registry::{Reference, ReferencedText};

/// References that one schema may have, directly or not.
const MOST: usize = 1_000;
/// Bytes of the texts that they name and of their own names.
const MOST_BYTES: usize = 16 << 20;

/// Decides which reference to fetch next, so that the result has each one after what it refers to itself. Fetching is
/// the caller's.
#[derive(Debug)]
pub(crate) struct ReferenceWalk {
    stack: Vec<Step>,
    seen: HashSet<Reference>,
    bytes: usize,
    done: Vec<ReferencedText>,
}

#[derive(Debug)]
enum Step {
    Enter(Reference),
    Leave(ReferencedText),
}

impl ReferenceWalk {
    pub(crate) fn new(references: Vec<Reference>) -> Self {
        let mut walk = Self { stack: Vec::new(), seen: HashSet::new(), bytes: 0, done: Vec::new() };
        walk.enter(references);
        walk
    }

    fn enter(&mut self, references: Vec<Reference>) {
        self.bytes += references.iter().map(Reference::bytes).sum::<usize>();
        self.stack.extend(references.into_iter().rev().map(Step::Enter));
    }

    /// The next reference to fetch and to [`ReferenceWalk::supply`]; `None` when all are there.
    ///
    /// # Errors
    /// What is wrong with the references, when there are too many, or their texts are too long.
    pub(crate) fn next(&mut self) -> Result<Option<Reference>, String> {
        if self.bytes > MOST_BYTES {
            return Err(format!("are longer than {} MiB", MOST_BYTES >> 20));
        }
        while let Some(step) = self.stack.pop() {
            match step {
                Step::Leave(text) => self.done.push(text),
                Step::Enter(reference) if self.seen.insert(reference.clone()) => {
                    if self.seen.len() > MOST {
                        return Err(format!("are more than {MOST}"));
                    }
                    return Ok(Some(reference));
                }
                Step::Enter(_) => {}
            }
        }
        Ok(None)
    }

    /// Hands over the text of `reference` and what it refers to.
    pub(crate) fn supply(&mut self, reference: Reference, schema: String, references: Vec<Reference>) {
        self.bytes += schema.len();
        self.stack.push(Step::Leave(ReferencedText { reference, schema }));
        self.enter(references);
    }

    pub(crate) fn finish(self) -> Vec<ReferencedText> {
        self.done
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    fn reference(subject: &str) -> Reference {
        Reference { name: subject.to_owned(), subject: subject.to_owned(), version: 1 }
    }

    #[test]
    fn each_reference_comes_once_and_after_its_own() {
        // a -> b, c; b -> c; c -> a (which no registry would take)
        let below = |subject: &str| match subject {
            "a" => vec![reference("b"), reference("c")],
            "b" => vec![reference("c")],
            _ => vec![reference("a")],
        };
        let mut walk = ReferenceWalk::new(vec![reference("a")]);
        while let Some(next) = walk.next().unwrap() {
            let references = below(&next.subject);
            walk.supply(next, String::new(), references);
        }
        let order: Vec<String> = walk.finish().into_iter().map(|r| r.reference.subject).collect();
        assert_eq!(order, ["c", "b", "a"]);
    }

    #[test]
    fn texts_that_are_too_long_together_are_refused() {
        let mut walk = ReferenceWalk::new((0..20).map(|n| reference(&n.to_string())).collect());
        for _ in 0..15 {
            let next = walk.next().unwrap().unwrap();
            walk.supply(next, "x".repeat(1 << 20), Vec::new());
        }
        let next = walk.next().unwrap().unwrap();
        walk.supply(next, "x".repeat(1 << 20), Vec::new());
        assert_eq!(walk.next().unwrap_err(), "are longer than 16 MiB");
        // One that names the same again and again.
        let mut walk = ReferenceWalk::new(vec![reference("a"); 400_000]);
        assert_eq!(walk.next().unwrap_err(), "are longer than 16 MiB");
    }
}
