//! The only place that reads a clock.
//!
//! The engine reads a batch's clock once and writes it to `offsets/<id>`. Everything in the batch uses that value, so that a replay sees
//! the same time.
//!
//! With the feature `faults`, the environment variable `SLUICEBOX_CLOCK=SECONDS,...` shifts the machine's clock by that many seconds, for
//! tests.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[cfg(feature = "faults")]
mod skew;

/// Without the feature `faults` the clock is shown as it is.
#[cfg(not(feature = "faults"))]
mod skew {
    #[inline(always)]
    pub(super) fn micros() -> i64 {
        0
    }
}

/// Tells the time.
///
/// ```
/// use sluicebox_core::{Clock, ManualClock};
///
/// fn is_over(end_micros: i64, clock: &dyn Clock) -> bool {
///     end_micros <= clock.now_micros()
/// }
///
/// let clock = ManualClock::at(0);
/// assert!(!is_over(1_000, &clock));
/// clock.advance(1_000);
/// assert!(is_over(1_000, &clock));
/// ```
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Microseconds since 1970-01-01T00:00:00Z, UTC. May go backwards when the machine's clock is set.
    fn now_micros(&self) -> i64;

    /// Time since some fixed moment; never goes backwards. For durations only.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug, Clone)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose [`Clock::monotonic`] starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now_micros(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        now.saturating_add(skew::micros())
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that stands still until it is told to move, for tests.
#[derive(Debug, Default)]
pub struct ManualClock {
    micros: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `micros` microseconds since 1970.
    #[must_use]
    pub fn at(micros: i64) -> Self {
        Self { micros: AtomicI64::new(micros) }
    }

    /// Moves the clock by `micros` microseconds; negative moves it back.
    pub fn advance(&self, micros: i64) {
        self.micros.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_micros(&self) -> i64 {
        self.micros.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.now_micros()).unwrap_or(0))
    }
}

/// `micros` since 1970 as ISO 8601 UTC with milliseconds, as Spark prints times.
#[must_use]
pub fn iso(micros: i64) -> String {
    chrono::DateTime::from_timestamp_micros(micros)
        .map_or_else(|| format!("{micros} us"), |t| t.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}
