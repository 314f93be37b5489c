//! What a run waits for outside of itself: a broker, a schema registry.
//!
//! The code that waits reports the beginning and the end of each wait. The status line may ask at any time, even while the engine is
//! blocked by that wait.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, SystemClock};

/// What is waited for, with the reason and the moment at which it began.
type Open = BTreeMap<String, (String, Duration)>;

static CLOCK: LazyLock<SystemClock> = LazyLock::new(SystemClock::new);
static OPEN: Mutex<Open> = Mutex::new(BTreeMap::new());

/// Something that a run waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// What should answer: `broker localhost:9092`.
    pub what: String,
    /// Why it does not, in one line.
    pub why: String,
    /// For how long.
    pub since: Duration,
}

fn with<T>(work: impl FnOnce(&mut Open) -> T) -> T {
    work(&mut OPEN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The run waits for `what`, and has for `so_far`; once it does, the first moment counts.
pub fn begin(what: &str, why: &str, so_far: Duration) {
    let began = CLOCK.monotonic().saturating_sub(so_far);
    with(|open| open.entry(what.to_owned()).or_insert((String::new(), began)).0 = why.to_owned());
}

/// How long was waited, for messages: `2 s`, `500 ms`.
#[must_use]
pub fn in_words(waited: Duration) -> String {
    match u64::try_from(waited.as_millis()).unwrap_or(u64::MAX) {
        millis @ 0..1_000 => format!("{millis} ms"),
        millis => format!("{} s", millis.saturating_add(500) / 1_000),
    }
}

/// `what` has answered, or nobody asks it any more.
pub fn end(what: &str) {
    with(|open| open.remove(what));
}

/// What is waited for now, by name.
#[must_use]
pub fn now() -> Vec<Waiting> {
    let now = CLOCK.monotonic();
    let one = |(what, (why, began)): (&String, &(String, Duration))| Waiting {
        what: what.clone(),
        why: why.clone(),
        since: now.saturating_sub(*began),
    };
    with(|open| open.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_told_until_it_answers() {
        let ours = || now().into_iter().filter(|w| w.what.starts_with("test ")).collect::<Vec<_>>();
        begin("test b", "refused", Duration::ZERO);
        begin("test a", "no name", Duration::ZERO);
        begin("test b", "timed out", Duration::ZERO);
        let told: Vec<_> = ours().into_iter().map(|w| (w.what, w.why)).collect();
        assert_eq!(told, [("test a", "no name"), ("test b", "timed out")].map(|(a, b)| (a.to_owned(), b.to_owned())));
        end("test a");
        end("test b");
        end("test b");
        assert!(ours().is_empty());
        assert_eq!([in_words(Duration::from_millis(1_999)), in_words(Duration::from_millis(400))], ["2 s", "400 ms"]);
    }
}
