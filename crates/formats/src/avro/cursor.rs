//! Reads Avro's binary form from a body, with every bound checked.

use crate::class::ErrorClass;
use crate::fault::{Fault, Step};
use crate::limits::Limits;

/// A position in a body, with what is left of the event's limits.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    len: usize,
    values_left: usize,
    empty_left: usize,
    depth_left: usize,
}

/// One block of an array or map.
pub(crate) struct Block {
    pub(crate) items: usize,
    /// Bytes that must be left after its items, if the writer gave its size.
    left_after: Option<usize>,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(body: &'a [u8], limits: &Limits) -> Self {
        Self {
            rest: body,
            len: body.len(),
            values_left: limits.values,
            empty_left: limits.empty_items,
            depth_left: limits.depth,
        }
    }

    #[cold]
    pub(crate) fn fault(&self, class: ErrorClass, problem: impl Into<String>) -> Box<Fault> {
        Fault::new(class, self.len - self.rest.len(), problem)
    }

    #[cold]
    fn truncated(&self, what: &str, needed: usize) -> Box<Fault> {
        self.fault(ErrorClass::Truncated, format!("{what} needs {needed} more bytes, {} are left", self.rest.len()))
    }

    /// Checks that nothing is left.
    #[inline]
    pub(crate) fn end(&self) -> Step {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(self.fault(ErrorClass::TrailingBytes, format!("{} bytes follow the value", self.rest.len())))
    }

    #[inline]
    pub(crate) fn long(&mut self) -> Step<i64> {
        if let [byte @ 0..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(unzigzag(u64::from(*byte)));
        }
        self.long_of_many()
    }

    fn long_of_many(&mut self) -> Step<i64> {
        // The longest form of a number, or what is left; the first is compiled to code without bounds.
        match self.rest.first_chunk::<10>() {
            Some(bytes) => self.long_in(bytes),
            None => self.long_in(self.rest),
        }
    }

    #[inline(always)]
    fn long_in(&mut self, bytes: &[u8]) -> Step<i64> {
        let mut value = 0_u64;
        for (i, byte) in bytes.iter().enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                if i == 9 && *byte > 1 {
                    break;
                }
                self.rest = &self.rest[i + 1..];
                return Ok(unzigzag(value));
            }
        }
        if self.rest.len() < 10 {
            return Err(self.fault(ErrorClass::Truncated, "a number does not end"));
        }
        Err(self.fault(ErrorClass::OverlongVarint, "a number has more than 64 bits"))
    }

    #[inline]
    pub(crate) fn int(&mut self) -> Step<i32> {
        let before = self.rest.len();
        let value = self.long()?;
        match i32::try_from(value) {
            Ok(value) if before - self.rest.len() <= 5 => Ok(value),
            _ => Err(self.fault(ErrorClass::OverlongVarint, "an int has more than 32 bits")),
        }
    }

    #[inline]
    pub(crate) fn boolean(&mut self) -> Step<bool> {
        let [byte] = self.array("a boolean")?;
        match byte {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.fault(ErrorClass::InvalidBoolean, format!("a boolean is {other}, not 0 or 1"))),
        }
    }

    /// The next `N` bytes.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self, what: &str) -> Step<[u8; N]> {
        match self.rest.split_first_chunk::<N>() {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(*bytes)
            }
            None => Err(self.truncated(what, N)),
        }
    }

    /// The next `len` bytes.
    #[inline]
    pub(crate) fn fixed(&mut self, len: usize) -> Step<&'a [u8]> {
        match self.rest.split_at_checked(len) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(self.truncated("a fixed", len)),
        }
    }

    /// Bytes with their length before them.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Step<&'a [u8]> {
        let len = self.long()?;
        let Ok(needed) = usize::try_from(len) else {
            return Err(self.negative(len));
        };
        match self.rest.split_at_checked(needed) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(self.truncated("a string or bytes", needed)),
        }
    }

    /// Bytes with their length before them, which are UTF-8.
    #[inline]
    pub(crate) fn string(&mut self) -> Step<&'a [u8]> {
        let bytes = self.bytes()?;
        if is_ascii(bytes) || std::str::from_utf8(bytes).is_ok() {
            return Ok(bytes);
        }
        Err(self.not_utf8(bytes.len()))
    }

    #[cold]
    fn not_utf8(&self, len: usize) -> Box<Fault> {
        self.fault(ErrorClass::InvalidUtf8, format!("a string of {len} bytes is not UTF-8"))
    }

    #[cold]
    fn negative(&self, len: i64) -> Box<Fault> {
        self.fault(ErrorClass::NegativeLength, format!("a length is {len}"))
    }

    /// A number from 0 to below `count`, which `what` names.
    #[inline]
    pub(crate) fn index(&mut self, count: usize, class: ErrorClass, what: &str) -> Step<usize> {
        let value = self.long()?;
        match usize::try_from(value) {
            Ok(index) if index < count => Ok(index),
            _ => Err(self.no_such(value, count, class, what)),
        }
    }

    #[cold]
    fn no_such(&self, value: i64, count: usize, class: ErrorClass, what: &str) -> Box<Fault> {
        self.fault(class, format!("{what} number {value} is not one of the {count} there are"))
    }

    /// The next block of an array or map, or `None` at its end. Each item becomes `width` values and, if `empty`, takes
    /// no byte.
    pub(crate) fn block(&mut self, width: usize, empty: bool) -> Step<Option<Block>> {
        let count = self.long()?;
        if count == 0 {
            return Ok(None);
        }
        let left_after = if count < 0 { Some(self.block_size()?) } else { None };
        let items = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        if empty {
            self.charge_empty(items)?;
        } else if items > self.rest.len() {
            return Err(self.truncated("a block of items", items));
        }
        self.charge(items.saturating_mul(width))?;
        Ok(Some(Block { items, left_after }))
    }

    fn block_size(&mut self) -> Step<usize> {
        let size = self.long()?;
        usize::try_from(size).ok().and_then(|size| self.rest.len().checked_sub(size)).ok_or_else(|| {
            self.fault(ErrorClass::InvalidBlock, format!("a block has {size} bytes, {} are left", self.rest.len()))
        })
    }

    /// Checks that the items of `block` had the size that its writer gave.
    pub(crate) fn end_block(&self, block: &Block) -> Step {
        match block.left_after {
            Some(left) if left != self.rest.len() => {
                Err(self.fault(ErrorClass::InvalidBlock, "the items of a block end before or after its size"))
            }
            _ => Ok(()),
        }
    }

    /// Counts `values` against the limit of values.
    #[inline]
    pub(crate) fn charge(&mut self, values: usize) -> Step {
        match self.values_left.checked_sub(values) {
            Some(left) => {
                self.values_left = left;
                Ok(())
            }
            None => {
                Err(self.fault(ErrorClass::TooManyItems, "arrays, maps and defaults have more values than the limit"))
            }
        }
    }

    /// Counts `items` against the limit of items that take no byte.
    pub(crate) fn charge_empty(&mut self, items: usize) -> Step {
        match self.empty_left.checked_sub(items) {
            Some(left) => {
                self.empty_left = left;
                Ok(())
            }
            None => Err(self.fault(ErrorClass::TooManyItems, "there are more items without bytes than the limit")),
        }
    }

    /// The values charged so far, given the limits at the start.
    pub(crate) fn values_used(&self, limits: &Limits) -> usize {
        limits.values - self.values_left
    }

    pub(crate) fn deeper(&mut self) -> Step {
        match self.depth_left.checked_sub(1) {
            Some(left) => {
                self.depth_left = left;
                Ok(())
            }
            None => Err(self.fault(ErrorClass::TooDeep, "values are nested deeper than the limit")),
        }
    }

    pub(crate) fn shallower(&mut self) {
        self.depth_left += 1;
    }
}

/// Most texts are short and ASCII: eight bytes at a time, without a call.
#[inline]
fn is_ascii(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    let high = words.iter().fold(0, |high, word| high | u64::from_ne_bytes(*word));
    let tail = rest.iter().fold(0, |tail, byte| tail | byte);
    high & 0x8080_8080_8080_8080 == 0 && tail < 0x80
}

#[inline]
fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}
