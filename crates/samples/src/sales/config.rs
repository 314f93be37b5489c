//! The configuration of a stream of sales.

use serde::{Deserialize, Serialize};

use super::SALES_SCHEMAS;
use crate::error::{ProduceError, Result};

/// What part of the events is out of the ordinary, each from 0 to 1, together at most 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// Sold 10.5 to 30 minutes before they are produced: behind a watermark of 10 minutes.
    pub late: f64,
    /// A copy, byte for byte, of a sound event of the last two minutes; same key, so same partition.
    pub duplicate: f64,
    /// A row that breaks one expectation: an unknown region, tier or currency, a negative amount, no event id.
    pub invalid: f64,
    /// No row: cut off, foreign bytes, an unknown schema id, bytes too many, text that is no UTF-8.
    pub malformed: f64,
}

impl Default for Shares {
    fn default() -> Self {
        Self { late: 0.01, duplicate: 0.01, invalid: 0.01, malformed: 0.005 }
    }
}

impl Shares {
    /// No event out of the ordinary.
    #[must_use]
    pub fn none() -> Self {
        Self { late: 0.0, duplicate: 0.0, invalid: 0.0, malformed: 0.0 }
    }
}

/// Everything that decides what event `i` is.
///
/// The backlog's `backlog` events are spread evenly over the `backlog_span_micros` before `birth_micros`; event
/// `backlog + k` comes `k / rate` seconds after it. So the time of every event is a function of its index, and there is
/// an index for every time: whoever was away for an hour goes on at the index of now, and the events of that hour are
/// never made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SalesConfig {
    /// Two streams of one seed and one birth are equal.
    pub seed: u64,
    /// When the stream was born, microseconds since 1970: the backlog ends here.
    pub birth_micros: i64,
    /// Number of events in the backlog.
    pub backlog: u64,
    /// How far back the backlog goes, in microseconds.
    pub backlog_span_micros: i64,
    /// Events a second after the birth.
    pub rate: f64,
    /// How far the event times of neighbours may be out of order, in microseconds.
    pub disorder_micros: i64,
    /// The parts out of the ordinary.
    pub shares: Shares,
    /// Number of customers.
    pub accounts: u64,
    /// Number of partitions of the topic.
    pub partitions: i32,
    /// The id under which the registry knows [`crate::sales::SALES_SCHEMA`].
    pub schema_id: u32,
    /// The ids of further ones of [`crate::sales::SALES_SCHEMAS`], in their order: their writers take turns with the first, an
    /// event each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_schema_ids: Vec<u32>,
}

impl SalesConfig {
    /// Two hours of backlog with 150,000 events before `birth_micros`, then 50 events a second, the default shares, three
    /// partitions, schema id 1.
    #[must_use]
    pub fn new(seed: u64, birth_micros: i64) -> Self {
        Self {
            seed,
            birth_micros,
            backlog: 150_000,
            backlog_span_micros: 2 * 3_600_000_000,
            rate: 50.0,
            disorder_micros: 3_000_000,
            shares: Shares::default(),
            accounts: 10_000,
            partitions: 3,
            schema_id: 1,
            further_schema_ids: Vec::new(),
        }
    }

    /// Which of the schemas the writer of event `index` has, and its id.
    pub(super) fn writer(&self, index: u64) -> (usize, u32) {
        let writers = 1 + self.further_schema_ids.len() as u64;
        let version = usize::try_from(index % writers).unwrap_or(0);
        match version.checked_sub(1).and_then(|further| self.further_schema_ids.get(further)) {
            Some(id) => (version, *id),
            None => (0, self.schema_id),
        }
    }

    /// Checks that the numbers make sense.
    ///
    /// # Errors
    /// With the option that does not, and what it may be.
    pub fn check(&self) -> Result<()> {
        let shares = [
            ("late", self.shares.late),
            ("duplicate", self.shares.duplicate),
            ("invalid", self.shares.invalid),
            ("malformed", self.shares.malformed),
        ];
        for (name, share) in shares {
            if !(0.0..=1.0).contains(&share) {
                return Err(ProduceError::Config(format!("the share {name} is {share}; give a number from 0 to 1")));
            }
        }
        let sum: f64 = shares.iter().map(|(_, share)| share).sum();
        if sum > 1.0 + 1e-9 {
            return Err(ProduceError::Config(format!(
                "the shares late, duplicate, invalid and malformed add up to {sum}; they may add up to 1 at most"
            )));
        }
        if !(self.rate.is_finite() && self.rate > 0.0 && self.rate <= 1e7) {
            return Err(ProduceError::Config(format!(
                "the rate is {}; give events a second, more than 0 and at most 10,000,000",
                self.rate
            )));
        }
        if self.further_schema_ids.len() >= SALES_SCHEMAS.len() {
            return Err(ProduceError::Config(format!(
                "there are {} schemas of sales, and ids for {} of them",
                SALES_SCHEMAS.len(),
                1 + self.further_schema_ids.len()
            )));
        }
        if self.partitions < 1 || self.accounts < 1 || self.backlog_span_micros < 1 || self.disorder_micros < 0 {
            return Err(ProduceError::Config(
                "partitions, accounts and the backlog's span must be at least 1, the disorder at least 0".to_owned(),
            ));
        }
        Ok(())
    }
}
