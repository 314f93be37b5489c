//! The limits of one event: what it may cost, and what it may hold.

use sluicebox_core::raw::LONGEST_EVENT;

/// What one event may cost, so that no few bytes can become much memory or time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a value.
    pub bytes: usize,
    /// Values that the arrays, maps and defaults of one event may become, counted over all columns below them.
    pub values: usize,
    /// Items that take no byte (of an array of nulls, say).
    pub empty_items: usize,
    /// Depth of nesting. Of Avro only fields that the reader lacks can reach it: a reader schema's depth is its own.
    pub depth: usize,
}

impl Default for Limits {
    /// The bytes that an event may have, 1,048,576 values, 65,536 empty items, 256 levels.
    fn default() -> Self {
        Self { bytes: LONGEST_EVENT, values: 1 << 20, empty_items: 1 << 16, depth: 256 }
    }
}

/// So many bytes that are not in the body count as a value.
pub(crate) const WORTH: usize = 32;

/// Microseconds from 1970 to the furthest dates and timestamps that a column holds, on either side: calendars can still show them.
pub(crate) const FURTHEST_MICROS: i64 = 8_000_000_000_000_000_000;
