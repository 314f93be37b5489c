//! Why one event could not be decoded, and where in it.

use std::fmt;

use crate::class::ErrorClass;

/// A result on the hot path: the failure is boxed, so that success stays in a register.
pub(crate) type Step<T = ()> = Result<T, Box<Fault>>;

/// Why one event could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) class: ErrorClass,
    problem: String,
    /// Bytes of the body read before.
    at: usize,
    /// Field names, innermost first.
    path: Vec<String>,
}

impl Fault {
    #[cold]
    pub(crate) fn new(class: ErrorClass, at: usize, problem: impl Into<String>) -> Box<Self> {
        Box::new(Self { class, problem: problem.into(), at, path: Vec::new() })
    }

    /// The same, seen from the record that has the field `name`.
    #[cold]
    pub(crate) fn within(mut self: Box<Self>, name: &str) -> Box<Self> {
        self.path.push(name.to_owned());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            let path: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
            write!(f, "field {}: ", path.join("."))?;
        }
        write!(f, "{} (at byte {} of the body)", self.problem, self.at)
    }
}
