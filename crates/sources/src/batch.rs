//! Reads Kafka's record batch, version 2, straight from bytes, without an allocation for each record. [`Records`](crate::records::Records)
//! walks over its records.
//!
//! `kafka-protocol` writes the batches. Tests compare this reader with its reader, which loses headers with equal keys: it keeps them in a
//! map. This reader also hands keys and values to the columns without a copy in between.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Buf;
use crc32c::crc32c;

/// Bytes from a batch's start to its first record.
pub(crate) const HEADER: usize = 61;
/// Bytes before the part that the field `length` counts.
pub(crate) const PREFIX: usize = 12;
/// Where that field is.
pub(crate) const LENGTH_AT: usize = 8;
/// Where the checksum is, and what it is over.
pub(crate) const CRC_AT: usize = 17;
pub(crate) const CRC_FROM: usize = 21;
/// No batch is larger, so that a damaged length cannot ask for gigabytes.
pub(crate) const MAX_BATCH: usize = 1 << 30;

const COMPRESSION: u16 = 0b111;
const LOG_APPEND_TIME: u16 = 1 << 3;
const TRANSACTIONAL: u16 = 1 << 4;
const CONTROL: u16 = 1 << 5;

/// What the first [`HEADER`] bytes of a batch say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) base_offset: i64,
    /// The offset after the batch's last one.
    pub(crate) next_offset: i64,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) attributes: u16,
    pub(crate) count: i32,
    /// The whole batch's bytes, header included.
    pub(crate) size: usize,
}

/// One record, borrowed from its batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordView<'a> {
    pub(crate) offset: i64,
    /// Milliseconds since 1970; `None` when the record carries none.
    pub(crate) timestamp_ms: Option<i64>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: HeadersView<'a>,
}

/// The headers of a record, checked when the record was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadersView<'a> {
    left: usize,
    bytes: &'a [u8],
}

/// Why bytes are not a batch.
pub(crate) type Reason = String;

impl BatchHeader {
    /// Reads the header at the start of `bytes`; `None` when there are fewer than [`HEADER`].
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>, Reason> {
        if bytes.len() < HEADER {
            return Ok(None);
        }
        let mut b = bytes;
        let base_offset = b.get_i64();
        let length = b.get_i32();
        let _leader_epoch = b.get_i32();
        let magic = b.get_i8();
        let _crc = b.get_u32();
        let attributes = b.get_u16();
        let last_offset_delta = b.get_i32();
        let base_timestamp = b.get_i64();
        let max_timestamp = b.get_i64();
        let _producer = (b.get_i64(), b.get_i16(), b.get_i32());
        let count = b.get_i32();
        if magic != 2 {
            return Err(format!("record batch of version {magic}, not 2"));
        }
        let size = usize::try_from(length).ok().map(|l| l + PREFIX).filter(|s| (HEADER..=MAX_BATCH).contains(s));
        let Some(size) = size else { return Err(format!("a record batch of {length} bytes")) };
        let next_offset = base_offset.checked_add(i64::from(last_offset_delta)).and_then(|o| o.checked_add(1));
        match next_offset {
            Some(next_offset) if base_offset >= 0 && last_offset_delta >= 0 && count >= 0 => {
                Ok(Some(Self { base_offset, next_offset, base_timestamp, max_timestamp, attributes, count, size }))
            }
            _ => Err(format!("a record batch at offset {base_offset} with {count} records, last {last_offset_delta}")),
        }
    }

    /// Whether the batch holds markers of the log itself, which no reader sees.
    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Whether the batch is one of a transaction of the embedded log, and counts only when the mark behind it is there.
    pub(crate) fn needs_mark(&self) -> bool {
        self.is_transactional() && !self.is_control()
    }

    /// Whether the batch is a mark: the end of a transaction.
    pub(crate) fn is_mark(&self) -> bool {
        self.is_transactional() && self.is_control()
    }

    /// Whether the batch belongs to a transaction.
    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// How the records are packed, if they are.
    pub(crate) fn compression(&self) -> Option<u16> {
        Some(self.attributes & COMPRESSION).filter(|how| *how != 0)
    }

    /// Offset and time of a record, by how far they are from the batch's.
    pub(crate) fn place(&self, timestamp: i64, offset: i64) -> Option<(i64, Option<i64>)> {
        let timestamp = self.base_timestamp.checked_add(timestamp)?;
        let timestamp = if self.attributes & LOG_APPEND_TIME == 0 { timestamp } else { self.max_timestamp };
        Some((self.base_offset.checked_add(offset)?, (timestamp >= 0).then_some(timestamp)))
    }
}

/// Whether the checksum of the whole batch `bytes` is right.
pub(crate) fn is_intact(bytes: &[u8]) -> bool {
    let mut stored = &bytes[CRC_AT..CRC_FROM];
    stored.get_u32() == crc32c(&bytes[CRC_FROM..])
}

/// The headers of the first record of the whole control batch `bytes`.
pub(crate) fn control_headers<'a>(header: &BatchHeader, bytes: &'a [u8]) -> Option<HeadersView<'a>> {
    let mut rest = bytes.get(HEADER..header.size)?;
    let size = usize::try_from(varint(&mut rest)?).ok()?;
    Some(record(header, take(&mut rest, size)?)?.headers)
}

/// What `bytes`, which are one record without its length, say.
pub(crate) fn record<'a>(header: &BatchHeader, mut b: &'a [u8]) -> Option<RecordView<'a>> {
    let _attributes = take(&mut b, 1)?;
    let (timestamp, offset) = (varint(&mut b)?, varint(&mut b)?);
    let (offset, timestamp_ms) = header.place(timestamp, offset)?;
    let key = field(&mut b)?;
    let value = field(&mut b)?;
    let count = usize::try_from(varint(&mut b)?).ok()?;
    let headers = HeadersView { left: count, bytes: b };
    // Read once to check, so that reading them again cannot fail.
    let whole = headers.count() == count;
    whole.then_some(RecordView { offset, timestamp_ms, key, value, headers })
}

impl<'a> HeadersView<'a> {
    /// `count` headers, which are in `bytes` as in a record.
    pub(crate) fn new(count: usize, bytes: &'a [u8]) -> Self {
        Self { left: count, bytes }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.left
    }
}

impl<'a> Iterator for HeadersView<'a> {
    /// The key, with replacement characters where it is not UTF-8, and the value.
    type Item = (Cow<'a, str>, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let key = String::from_utf8_lossy(field(&mut self.bytes)??);
        Some((key, field(&mut self.bytes)?))
    }
}

/// A length, -1 for null, and that many bytes.
fn field<'a>(b: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match varint(b)? {
        -1 => Some(None),
        n => take(b, usize::try_from(n).ok()?).map(Some),
    }
}

fn take<'a>(b: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (head, tail) = b.split_at_checked(n)?;
    *b = tail;
    Some(head)
}

/// A zigzag variable-length integer.
pub(crate) fn varint(b: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for (i, byte) in b.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            *b = &b[i + 1..];
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}
