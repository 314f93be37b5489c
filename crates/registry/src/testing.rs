//! Test helpers of this crate and of those that decode events (feature `testing`): a limit on time, schemas of any size, and a registry
//! that misbehaves.

mod wild;

use std::time::{Duration, Instant};

pub use wild::{Act, GOOD, Wild, answer, good};

/// Runs `work`, which may not take long: at the sizes of these tests what compares everything with everything takes half a minute and
/// more, and what does not a second or two.
///
/// # Panics
/// When it takes longer.
#[expect(clippy::disallowed_methods, reason = "it is the machine that takes the time")]
pub fn quickly<T>(work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = work();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(12), "it took {took:?}");
    done
}

/// Texts of schemas, in which numbers tell names apart.
pub mod texts {
    /// With commas between, what `each` gives for the numbers below `count`.
    #[must_use]
    pub fn many(count: usize, each: impl Fn(usize) -> String) -> String {
        (0..count).map(each).collect::<Vec<_>>().join(",")
    }

    /// The enum `name` of `count` symbols, `s0` first.
    #[must_use]
    pub fn symbols(name: &str, count: usize) -> String {
        let symbols = many(count, |n| format!("\"s{n}\""));
        format!(r#"{{"type":"enum","name":"{name}","symbols":[{symbols}]}}"#)
    }

    /// The same symbols, the last one first.
    #[must_use]
    pub fn reversed(name: &str, count: usize) -> String {
        let symbols = many(count, |n| format!("\"s{}\"", count - 1 - n));
        format!(r#"{{"type":"enum","name":"{name}","symbols":[{symbols}]}}"#)
    }

    /// The record `name` of `fields`.
    #[must_use]
    pub fn record(name: &str, fields: &str) -> String {
        format!(r#"{{"type":"record","name":"{name}","fields":[{fields}]}}"#)
    }
}
