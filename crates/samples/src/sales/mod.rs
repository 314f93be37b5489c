//! Sales: the generator behind `sample = 'sales'`, `produce sales` and the benches.
//!
//! Event `i` is a pure function of the configuration and `i`. The generator remembers nothing between events, so any part of the stream can
//! be generated at any time, by several threads, or again after a crash.

mod config;
mod encode;
mod schema;
#[cfg(test)]
mod tests;

use std::io::Write;

pub use config::{SalesConfig, Shares};
pub use schema::{SALES_SCHEMA, SALES_SCHEMAS};

use crate::error::Result;
use crate::mix::{Stream, mix};
use crate::partitioner::partition_for;
use encode::{HEADER_LEN, Sale, encode};

/// The regions that a sound event may name.
pub const REGIONS: [&str; 4] = ["NA", "EMEA", "APAC", "LATAM"];
/// The tiers that a sound event may name.
pub const TIERS: [&str; 3] = ["free", "pro", "enterprise"];
/// The currencies that a sound event may name.
pub const CURRENCIES: [&str; 3] = ["USD", "EUR", "GBP"];

/// Name and price in hundredths.
const PRODUCTS: [(&str, u64); 8] = [
    ("seat", 1_900),
    ("seat-annual", 19_000),
    ("storage-100", 500),
    ("storage-1000", 4_000),
    ("support", 9_900),
    ("training", 45_000),
    ("api-calls", 250),
    ("dashboard", 1_200),
];

/// Which expectation an invalid event breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Invalid {
    /// The region is not one of [`REGIONS`].
    Region,
    /// The tier is not one of [`TIERS`].
    Tier,
    /// The currency is not one of [`CURRENCIES`].
    Currency,
    /// The amount is below zero.
    NegativeAmount,
    /// The event id is null.
    NullId,
}

/// Why a malformed event is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// The body ends early.
    Truncated,
    /// The first byte is not the framing's.
    BadMagic,
    /// No registry knows the schema id.
    UnknownSchemaId,
    /// Bytes follow the body.
    TrailingBytes,
    /// A text is not UTF-8.
    InvalidUtf8,
}

/// What an event was meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A sound row in time.
    Good,
    /// A sound row, 10.5 to 30 minutes behind.
    Late,
    /// The bytes of the good event with this index again.
    Duplicate(u64),
    /// A row that breaks an expectation.
    Invalid(Invalid),
    /// No row.
    Malformed(Malformed),
}

/// One event, ready to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedEvent {
    /// Its index in the stream.
    pub index: u64,
    /// Its partition, by the hash of its key.
    pub partition: i32,
    /// The account's id.
    pub key: Vec<u8>,
    /// The framed value.
    pub value: Vec<u8>,
    /// When it is produced, milliseconds since 1970.
    pub timestamp_ms: i64,
    /// What it was meant to be.
    pub kind: EventKind,
}

/// Makes sales.
#[derive(Debug, Clone)]
pub struct SalesGenerator {
    config: SalesConfig,
    backlog_step: f64,
    live_step: f64,
    id_seed: u64,
}

impl SalesGenerator {
    /// The generator of `config`.
    ///
    /// # Errors
    /// When [`SalesConfig::check`] finds fault.
    #[expect(clippy::cast_precision_loss, reason = "a rounding of microseconds over hours does not show")]
    pub fn new(config: SalesConfig) -> Result<Self> {
        config.check()?;
        let backlog_step = config.backlog_span_micros as f64 / config.backlog.max(1) as f64;
        let live_step = 1e6 / config.rate;
        let id_seed = mix(config.seed ^ mix(config.birth_micros.cast_unsigned()));
        Ok(Self { config, backlog_step, live_step, id_seed })
    }

    /// What it was made from.
    #[must_use]
    pub fn config(&self) -> &SalesConfig {
        &self.config
    }

    /// When event `index` is produced, microseconds since 1970. Never less than for the event before.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "exact up to 2^53, centuries of events"
    )]
    pub fn time_micros(&self, index: u64) -> i64 {
        let config = &self.config;
        if index < config.backlog {
            config.birth_micros - config.backlog_span_micros + (index as f64 * self.backlog_step) as i64
        } else {
            config.birth_micros + ((index - config.backlog) as f64 * self.live_step) as i64
        }
    }

    /// The first event that is produced at or after `micros`.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a first guess, corrected below; negative becomes 0"
    )]
    pub fn index_at(&self, micros: i64) -> u64 {
        let config = &self.config;
        let mut index = if micros <= config.birth_micros {
            let since = micros - (config.birth_micros - config.backlog_span_micros);
            ((since as f64 / self.backlog_step) as u64).min(config.backlog)
        } else {
            config.backlog + ((micros - config.birth_micros) as f64 / self.live_step) as u64
        };
        while index > 0 && self.time_micros(index - 1) >= micros {
            index -= 1;
        }
        while self.time_micros(index) < micros {
            index += 1;
        }
        index
    }

    /// The index of the event with this record timestamp, key and value, if it is one of this stream.
    #[must_use]
    pub fn find(&self, timestamp_ms: i64, key: &[u8], value: &[u8]) -> Option<u64> {
        let first = self.index_at(timestamp_ms.checked_mul(1000)?);
        (first..).take_while(|index| self.time_micros(*index).div_euclid(1000) == timestamp_ms).find(|index| {
            let event = self.event(*index);
            event.key == key && event.value == value
        })
    }

    /// What event `index` is meant to be.
    #[must_use]
    pub fn kind(&self, index: u64) -> EventKind {
        let mut numbers = Stream::new(self.config.seed, index);
        self.kind_from(index, &mut numbers)
    }

    /// Event `index`.
    #[must_use]
    pub fn event(&self, index: u64) -> GeneratedEvent {
        let mut event = GeneratedEvent {
            index,
            partition: 0,
            key: Vec::with_capacity(12),
            value: Vec::with_capacity(128),
            timestamp_ms: 0,
            kind: EventKind::Good,
        };
        self.event_into(index, &mut event);
        event
    }

    /// Makes `event` event `index`, keeping the room that it holds.
    pub fn event_into(&self, index: u64, event: &mut GeneratedEvent) {
        let mut numbers = Stream::new(self.config.seed, index);
        let kind = self.kind_from(index, &mut numbers);
        event.key.clear();
        event.value.clear();
        match kind {
            EventKind::Duplicate(origin) => {
                let mut numbers = Stream::new(self.config.seed, origin);
                let origin_kind = self.kind_from(origin, &mut numbers);
                self.write(origin, origin_kind, &mut numbers, event);
            }
            _ => self.write(index, kind, &mut numbers, event),
        }
        event.index = index;
        event.kind = kind;
        event.timestamp_ms = self.time_micros(index).div_euclid(1000);
        event.partition = partition_for(&event.key, self.config.partitions);
    }

    /// Takes as many numbers for every kind, so that the rest of an event does not depend on the shares.
    fn kind_from(&self, index: u64, numbers: &mut Stream) -> EventKind {
        let shares = &self.config.shares;
        let draw = numbers.unit();
        let detail = numbers.next_u64();
        let mut bound = shares.malformed;
        if draw < bound {
            return EventKind::Malformed(match detail % 5 {
                0 => Malformed::Truncated,
                1 => Malformed::BadMagic,
                2 => Malformed::UnknownSchemaId,
                3 => Malformed::TrailingBytes,
                _ => Malformed::InvalidUtf8,
            });
        }
        bound += shares.invalid;
        if draw < bound {
            return EventKind::Invalid(match detail % 5 {
                0 => Invalid::Region,
                1 => Invalid::Tier,
                2 => Invalid::Currency,
                3 => Invalid::NegativeAmount,
                _ => Invalid::NullId,
            });
        }
        bound += shares.late;
        if draw < bound {
            return EventKind::Late;
        }
        bound += shares.duplicate;
        if draw < bound {
            return self.origin(index, detail).map_or(EventKind::Good, EventKind::Duplicate);
        }
        EventKind::Good
    }

    /// The event of which `index` is a copy: a good one of the two minutes before it. `None` when there is none.
    ///
    /// It is never one of the same millisecond: of all the events with one record timestamp no two are equal, so that an
    /// event found in a log tells its index.
    fn origin(&self, index: u64, detail: u64) -> Option<u64> {
        const REACH_MICROS: u64 = 120_000_000;
        const TRIES: u64 = 64;
        let back = i64::try_from(detail % REACH_MICROS).unwrap_or(0);
        let time = self.time_micros(index);
        let millisecond = time - time.rem_euclid(1000);
        let newest = self.index_at((time - back).min(millisecond)).checked_sub(1)?;
        let oldest = newest.saturating_sub(TRIES);
        let shares = &self.config.shares;
        let odd = shares.malformed + shares.invalid + shares.late + shares.duplicate;
        (oldest..=newest).rev().find(|i| Stream::new(self.config.seed, *i).unit() >= odd)
    }

    /// Writes key and value of the event `index` of a kind that is not a copy.
    #[expect(clippy::cast_possible_truncation, reason = "indexes below the lengths of short arrays")]
    fn write(&self, index: u64, kind: EventKind, numbers: &mut Stream, event: &mut GeneratedEvent) {
        let produced = self.time_micros(index);
        // Squaring makes some accounts busier than others.
        let unit = numbers.unit();
        #[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "far below 2^53, not negative")]
        let account = (unit * unit * self.config.accounts as f64) as u64;
        write_account(account, &mut event.key);
        let traits = mix(self.config.seed ^ mix(account));
        let (product, price) = PRODUCTS[numbers.below(PRODUCTS.len() as u64) as usize];
        let quantity = 1 + numbers.below(12);
        let mut id = [0_u8; 36];
        write_uuid(mix(self.id_seed ^ numbers.next_u64()), mix(self.id_seed.wrapping_add(index)), &mut id);
        let region = [0, 0, 0, 0, 1, 1, 1, 2, 2, 3][(traits % 10) as usize];
        let tier = [0, 0, 0, 0, 0, 0, 1, 1, 1, 2][((traits >> 8) % 10) as usize];
        let currency = [0, 1, 0, 2, 0, 1, 0, 0][((traits >> 16) % 8) as usize];
        let discount = 100 - numbers.below(21);
        let amount = i64::try_from(price * quantity * discount / 100).unwrap_or(0);
        let behind = match kind {
            EventKind::Late => 630_000_000 + numbers.below(1_170_000_001),
            _ => numbers.below(self.config.disorder_micros.cast_unsigned() + 1),
        };
        let mut sale = Sale {
            event_id: Some(&id),
            account_id: &event.key,
            event_time: produced - i64::try_from(behind).unwrap_or(0),
            ingest_time: produced,
            region: REGIONS[region],
            plan_tier: TIERS[tier],
            product,
            quantity: quantity as i32,
            currency: CURRENCIES[currency],
            amount,
        };
        if let EventKind::Invalid(what) = kind {
            spoil(what, &mut sale);
        }
        let product_at = encode(&sale, self.config.writer(index), &mut event.value);
        if let EventKind::Malformed(what) = kind {
            deform(what, numbers, product_at, &mut event.value);
        }
    }
}

fn spoil(what: Invalid, sale: &mut Sale<'_>) {
    match what {
        Invalid::Region => sale.region = "MOON",
        Invalid::Tier => sale.plan_tier = "platinum",
        Invalid::Currency => sale.currency = "XXX",
        Invalid::NegativeAmount => sale.amount = -1 - sale.amount,
        Invalid::NullId => sale.event_id = None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "below the length of the value")]
fn deform(what: Malformed, numbers: &mut Stream, product_at: usize, value: &mut Vec<u8>) {
    match what {
        Malformed::Truncated => {
            let body = value.len() - HEADER_LEN;
            value.truncate(HEADER_LEN + numbers.below(body as u64) as usize);
        }
        Malformed::BadMagic => value[0] = b'{',
        Malformed::UnknownSchemaId => value[1..HEADER_LEN].copy_from_slice(&2_000_000_000_u32.to_be_bytes()),
        Malformed::TrailingBytes => {
            let more = 1 + numbers.below(8) as usize;
            value.extend(std::iter::repeat_n(0, more));
        }
        Malformed::InvalidUtf8 => value[product_at] = 0xff,
    }
}

/// `acct-000042`.
fn write_account(account: u64, out: &mut Vec<u8>) {
    // Writing to a vector does not fail.
    let _ = write!(out, "acct-{account:06}");
}

/// The text of a version 4 UUID with these bits.
fn write_uuid(high: u64, low: u64, out: &mut [u8; 36]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let high = (high & 0xffff_ffff_ffff_0fff) | 0x4000;
    let low = (low & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
    let bits = (u128::from(high) << 64) | u128::from(low);
    let mut nibble = 0;
    for (at, byte) in out.iter_mut().enumerate() {
        if matches!(at, 8 | 13 | 18 | 23) {
            *byte = b'-';
        } else {
            *byte = HEX[((bits >> (124 - 4 * nibble)) & 0xf) as usize];
            nibble += 1;
        }
    }
}
