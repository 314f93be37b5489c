//! The records of one batch, one after the other, in bounded memory whatever they unpack to.
//!
//! Records are unpacked on demand, so a reader can stop after any record and go on later. Of a record that is too large for an event, the
//! reader keeps the beginning and marks it by [`CUT_HEADER`]: its offset exists in the log, and it becomes a dead letter.

#[cfg(test)]
pub(crate) mod made;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::Read;

use sluicebox_core::raw::{CUT_HEADER, CUT_KEY_HEADER, HEAD, LONGEST_EVENT, MOST_HEADERS};

use crate::batch::{self, BatchHeader, HEADER, HeadersView, MAX_BATCH, Reason, RecordView};
use crate::unpack;

/// Bytes that are unpacked at a time.
const PIECE: usize = 64 << 10;

/// What is taken of a batch, and of a record.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// What all records may unpack to, in bytes.
    unpacked: u64,
    /// How many there may be.
    records: i32,
    /// The longest record, in bytes, that is handed out whole, and how many headers it may have.
    record: usize,
    headers: usize,
    /// What is kept of the key and of the value of others, in bytes.
    head: usize,
}

const LIMITS: Limits = Limits {
    // As much as the largest batch that is not packed.
    unpacked: MAX_BATCH as u64,
    records: 1 << 20,
    record: LONGEST_EVENT,
    headers: MOST_HEADERS,
    head: HEAD,
};

/// The records of a batch that were not handed out yet.
pub(crate) struct Records {
    header: BatchHeader,
    window: Window,
    cut: Cut,
    limits: Limits,
    /// How many there are still, if the header is right.
    left: i32,
    /// No record has a lower offset.
    next: i64,
}

/// What is unpacked and not handed out yet, and where more of it comes from.
struct Window {
    bytes: Vec<u8>,
    at: usize,
    /// How many bytes were handed out or passed over.
    passed: u64,
    more: Option<Box<dyn Read + Send>>,
    /// How many bytes more may come.
    left: u64,
}

/// The record of which only the beginning is there.
#[derive(Default)]
struct Cut {
    key: Vec<u8>,
    value: Vec<u8>,
    headers: Vec<u8>,
}

impl Records {
    /// Those of `batch`, whose header says `header`.
    pub(crate) fn new(header: BatchHeader, batch: Vec<u8>) -> Result<Self, Reason> {
        Self::within(LIMITS, header, batch)
    }

    fn within(limits: Limits, header: BatchHeader, batch: Vec<u8>) -> Result<Self, Reason> {
        if header.count > limits.records {
            return Err(format!("{} records, and a batch may have {} at most", header.count, limits.records));
        }
        let (mut left, mut window) = (header.count, Window::of(batch, HEADER));
        if header.is_control() {
            left = 0;
        } else if let Some(how) = header.compression() {
            let more = Some(unpack::open(how, window.bytes, HEADER)?);
            window = Window { more, left: limits.unpacked, ..Window::of(Vec::new(), 0) };
        }
        Ok(Self { header, window, cut: Cut::default(), limits, left, next: header.base_offset })
    }

    /// What the batch's header says.
    pub(crate) fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The next record. After an error there are no more.
    pub(crate) fn next(&mut self) -> Result<Option<RecordView<'_>>, Reason> {
        let Self { header, window, cut, limits, left, next } = self;
        let header = *header;
        if *left == 0 {
            return Ok(None);
        }
        let index = header.count - *left;
        *left -= 1;
        let short = || format!("record {index} of the batch at offset {} is cut short", header.base_offset);
        let size = window.number()?.and_then(|size| usize::try_from(size).ok()).ok_or_else(short)?;
        let record = if size > limits.record {
            cut.read(&header, window, size, limits.head)?
        } else {
            match window.take(size)?.and_then(|bytes| batch::record(&header, bytes)) {
                Some(record) if record.headers.len() > limits.headers => Some(cut.of(record, limits.head)),
                record => record,
            }
        };
        let record = record.ok_or_else(short)?;
        if record.offset < *next || record.offset >= header.next_offset {
            let (base, end, offset) = (header.base_offset, header.next_offset, record.offset);
            return Err(format!("record {index} of the batch from offset {base} to before {end} has offset {offset}"));
        }
        *next = record.offset + 1;
        Ok(Some(record))
    }

    /// Keeps no more memory than what is to come needs: nothing is asked for soon.
    pub(crate) fn rest(&mut self) {
        self.cut = Cut::default();
        if self.header.compression().is_some() {
            self.window.forget();
            self.window.bytes.shrink_to_fit();
        }
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("header", &self.header).field("left", &self.left).finish_non_exhaustive()
    }
}

/// Hands each record of the whole batch `bytes` to `each`, in order.
pub(crate) fn for_each(header: &BatchHeader, bytes: &[u8], each: &mut dyn FnMut(RecordView<'_>)) -> Result<(), Reason> {
    let mut records = Records::new(*header, bytes[..header.size].to_vec())?;
    while let Some(record) = records.next()? {
        each(record);
    }
    Ok(())
}

impl Window {
    /// All of `bytes` from byte `at` on.
    fn of(bytes: Vec<u8>, at: usize) -> Self {
        Self { bytes, at, passed: 0, more: None, left: 0 }
    }

    /// Lets go of what was handed out.
    fn forget(&mut self) {
        self.bytes.drain(..self.at);
        self.at = 0;
    }

    /// The bytes that are there: `wanted` at least, or fewer if there are no more.
    fn see(&mut self, wanted: usize) -> Result<&[u8], Reason> {
        let there = self.bytes.len() - self.at;
        if there < wanted && self.more.is_some() {
            self.forget();
            let missing = wanted.max(PIECE) - there;
            self.bytes.reserve_exact(missing);
            self.unpack(missing as u64)?;
        }
        Ok(&self.bytes[self.at..])
    }

    /// Unpacks `missing` bytes more, or all that there are.
    fn unpack(&mut self, missing: u64) -> Result<(), Reason> {
        let Some(more) = &mut self.more else { return Ok(()) };
        // One byte over the limit tells that there is more than it lets in.
        let mut bounded = Read::take(more, missing.min(self.left.saturating_add(1)));
        let came = bounded.read_to_end(&mut self.bytes).map_err(|e| unpack::unreadable(&e))? as u64;
        let Some(left) = self.left.checked_sub(came) else {
            return Err("compressed records of more bytes than a batch may have".to_owned());
        };
        self.left = left;
        if came < missing {
            self.more = None;
        }
        Ok(())
    }

    fn pass(&mut self, size: usize) {
        self.at += size;
        self.passed += size as u64;
    }

    /// The next `size` bytes, if there are so many.
    fn take(&mut self, size: usize) -> Result<Option<&[u8]>, Reason> {
        if self.see(size)?.len() < size {
            return Ok(None);
        }
        self.pass(size);
        Ok(Some(&self.bytes[self.at - size..self.at]))
    }

    /// Passes over `size` bytes; false if there are not so many.
    fn skip(&mut self, mut size: u64) -> Result<bool, Reason> {
        while size > 0 {
            let wanted = usize::try_from(size).unwrap_or(PIECE).min(PIECE);
            let some = self.see(wanted)?.len().min(wanted);
            if some == 0 {
                return Ok(false);
            }
            self.pass(some);
            size -= some as u64;
        }
        Ok(true)
    }

    /// The next variable-length integer, if there is one.
    fn number(&mut self) -> Result<Option<i64>, Reason> {
        /// None is longer.
        const LONGEST: usize = 10;
        let mut rest = self.see(LONGEST)?;
        let before = rest.len();
        let number = batch::varint(&mut rest);
        let read = before - rest.len();
        self.pass(read);
        Ok(number)
    }
}

impl Cut {
    /// Reads the record of `size` bytes that comes next, and keeps `head` bytes of its key and of its value.
    fn read(
        &mut self,
        header: &BatchHeader,
        window: &mut Window,
        size: usize,
        head: usize,
    ) -> Result<Option<RecordView<'_>>, Reason> {
        let end = window.passed + size as u64;
        let _attributes = window.skip(1)?;
        let (timestamp, offset) = (window.number()?, window.number()?);
        let key = part(window, end, head, &mut self.key)?;
        let value = part(window, end, head, &mut self.value)?;
        // The headers go.
        let whole = window.passed <= end && window.skip(end - window.passed)?;
        let (Some(timestamp), Some(offset), Some(key), Some(value), true) = (timestamp, offset, key, value, whole)
        else {
            return Ok(None);
        };
        let Some((offset, timestamp_ms)) = header.place(timestamp, offset) else { return Ok(None) };
        let headers = mark(&mut self.headers, key, value);
        let (key, value) = ((key >= 0).then_some(&*self.key), (value >= 0).then_some(&*self.value));
        Ok(Some(RecordView { offset, timestamp_ms, key, value, headers }))
    }

    /// The beginning of `record`.
    fn of<'a>(&'a mut self, record: RecordView<'a>, head: usize) -> RecordView<'a> {
        let size = |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| bytes.len() as i64);
        let headers = mark(&mut self.headers, size(record.key), size(record.value));
        let short = |bytes: &'a [u8]| &bytes[..bytes.len().min(head)];
        RecordView { key: record.key.map(short), value: record.value.map(short), headers, ..record }
    }
}

/// Reads the key or the value of a record that ends at byte `end`, and keeps `head` bytes of it in `kept`. Returns its length, -1 if
/// it is null; none if it is not wholly there.
fn part(window: &mut Window, end: u64, head: usize, kept: &mut Vec<u8>) -> Result<Option<i64>, Reason> {
    kept.clear();
    let length = match window.number()? {
        Some(-1) => return Ok(Some(-1)),
        Some(length) => u64::try_from(length).ok().filter(|length| *length <= end.saturating_sub(window.passed)),
        None => None,
    };
    let Some(length) = length else { return Ok(None) };
    let first = usize::try_from(length).unwrap_or(head).min(head);
    let Some(bytes) = window.take(first)? else { return Ok(None) };
    kept.extend_from_slice(bytes);
    Ok(window.skip(length - first as u64)?.then_some(length as i64))
}

/// The headers that say how long the key and the value of a record are of which the beginning was kept.
fn mark(headers: &mut Vec<u8>, key: i64, value: i64) -> HeadersView<'_> {
    headers.clear();
    let marks = [(CUT_HEADER, value), (CUT_KEY_HEADER, key)];
    for (name, length) in marks {
        let length = length.to_be_bytes();
        // As variable-length integers, lengths below 64 take one byte, doubled.
        headers.push(2 * name.len() as u8);
        headers.extend_from_slice(name.as_bytes());
        headers.push(2 * length.len() as u8);
        headers.extend_from_slice(&length);
    }
    HeadersView::new(marks.len(), headers)
}
