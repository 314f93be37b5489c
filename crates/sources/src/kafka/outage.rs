//! Whether the brokers answer, and why not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::error::KafkaError;
use sluicebox_core::{Clock, SystemClock, waiting};

/// Whether the brokers answer; tells the user once when they stop and once when they are back.
pub(crate) struct Outage {
    pub(super) source: String,
    brokers: String,
    down: AtomicBool,
    /// Since when, by the clock that never goes back; of the last time, if they answer.
    since: Mutex<Option<Duration>>,
    /// Since when a question waits for its answer, if one does.
    asked: Mutex<Option<Duration>>,
    clock: SystemClock,
    /// Whether a broker ever answered: a wrong password is final before that, and a passing trouble after.
    answered: AtomicBool,
    /// What went wrong last with a connection, in librdkafka's words.
    trouble: Mutex<Option<String>>,
    pub(super) refused: Mutex<Option<KafkaError>>,
    /// What librdkafka said when the system gave it no thread: for a broker that it heard of later.
    pub(super) lacking: Mutex<Option<String>>,
    pub(super) commit_failed: AtomicBool,
}

impl Drop for Outage {
    fn drop(&mut self) {
        if self.down.load(Ordering::Relaxed) {
            waiting::end(&self.what());
        }
    }
}

impl Outage {
    pub(crate) fn new(source: &str, brokers: &str) -> Self {
        Self {
            source: source.to_owned(),
            brokers: brokers.to_owned(),
            down: AtomicBool::new(false),
            since: Mutex::default(),
            asked: Mutex::default(),
            clock: SystemClock::new(),
            answered: AtomicBool::new(false),
            trouble: Mutex::default(),
            refused: Mutex::default(),
            lacking: Mutex::default(),
            commit_failed: AtomicBool::new(false),
        }
    }

    /// The brokers do not answer: tells so, once, with the newest trouble or else `reason`.
    pub(crate) fn begins(&self, reason: &str) {
        if !self.down.swap(true, Ordering::Relaxed) {
            let now = self.clock.monotonic();
            let since = self.asked.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(now);
            *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(since);
            let (source, brokers) = (&self.source, &self.brokers);
            let reason = self.trouble().unwrap_or_else(|| reason.to_owned());
            tracing::warn!(
                "source {source}: waiting for broker {brokers} ({reason}); it goes on when the broker answers"
            );
            waiting::begin(&self.what(), &reason, now.saturating_sub(since));
        }
    }

    /// A question is put to the brokers: if they do not answer it, they have not since now.
    pub(crate) fn is_asked(&self) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| self.clock.monotonic());
    }

    fn what(&self) -> String {
        format!("broker {}", self.brokers)
    }

    /// Whether there was a time when the brokers did not answer, up to now.
    pub(crate) fn was(&self) -> bool {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// How long the brokers have not answered; `None` when they do.
    pub(crate) fn lasts(&self) -> Option<Duration> {
        let since = (*self.since.lock().unwrap_or_else(PoisonError::into_inner))?;
        self.down.load(Ordering::Relaxed).then(|| self.clock.monotonic().saturating_sub(since))
    }

    /// Keeps what went wrong with a connection, as it may be told.
    pub(super) fn note(&self, trouble: &str) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble.to_owned());
    }

    /// What went wrong last with a connection.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A broker answered.
    pub(crate) fn is_over(&self) {
        if !self.answered.load(Ordering::Relaxed) {
            self.answered.store(true, Ordering::Relaxed);
        }
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if self.down.load(Ordering::Relaxed) && self.down.swap(false, Ordering::Relaxed) {
            tracing::info!("source {}: broker {} answers", self.source, self.brokers);
            waiting::end(&self.what());
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// Why there is a broker to which nobody speaks: the system gave no thread for it. No waiting cures that.
    pub(crate) fn lacks_thread(&self) -> Option<String> {
        self.lacking.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The refusal of a broker that never let this client in.
    pub(crate) fn refusal(&self) -> Option<KafkaError> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).take();
        refused.filter(|_| !self.answered.load(Ordering::Relaxed))
    }
}
