//! One event, in librdkafka's memory.
#![expect(unsafe_code, reason = "librdkafka hands out pointers")]

use std::borrow::Cow;
use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use rdkafka::bindings as rd;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;

use crate::batches::is_batch;

/// An event, for as long as it is lent.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pointer: NonNull<rd::rd_kafka_message_t>,
    lent: PhantomData<&'a rd::rd_kafka_message_t>,
}

/// What a queue has next.
#[derive(Debug)]
pub enum Polled<'a> {
    /// An event.
    Message(Message<'a>),
    /// A record batch as it came, where batches are asked for: its header and its records, packed as they are. Only what is older than
    /// record batches (Kafka before 0.11) comes as messages there.
    Batch {
        /// The offset that it begins with, which may lie before the one that was asked for.
        offset: i64,
        /// All of it: the 61 bytes of the header at least.
        bytes: &'a [u8],
    },
    /// The partition's end: every event before `offset` that is not left out by the log was handed over.
    End {
        /// The offset that the next event will have, or one before it.
        offset: i64,
    },
    /// Something is wrong with the partition.
    Failed {
        /// What it is.
        error: KafkaError,
        /// Where it was met; of messages that were packed together, the offset of the last.
        offset: i64,
    },
}

/// A header: its key, with replacement characters where it is not UTF-8, and its value if it has one.
pub type Header<'a> = (Cow<'a, str>, Option<&'a [u8]>);

/// What `pointer` is.
///
/// # Safety
/// It points to a message that a consumer handed out, and that lives for `'a`.
pub(crate) unsafe fn polled<'a>(pointer: NonNull<rd::rd_kafka_message_t>) -> Polled<'a> {
    let message = Message { pointer, lent: PhantomData };
    let offset = message.offset();
    match RDKafkaErrorCode::from(message.raw().err) {
        RDKafkaErrorCode::NoError if is_batch(message.raw()) => {
            Polled::Batch { offset, bytes: message.value().unwrap_or_default() }
        }
        RDKafkaErrorCode::NoError => Polled::Message(message),
        RDKafkaErrorCode::PartitionEOF => Polled::End { offset },
        code => Polled::Failed { error: KafkaError::MessageConsumption(code), offset },
    }
}

impl<'a> Polled<'a> {
    /// What rdkafka lends.
    #[must_use]
    pub fn of(message: &'a BorrowedMessage<'_>) -> Option<Self> {
        // SAFETY: it is a consumer's, and is lent for 'a.
        NonNull::new(message.ptr()).map(|pointer| unsafe { polled(pointer) })
    }
}

impl<'a> Message<'a> {
    fn raw(&self) -> &'a rd::rd_kafka_message_t {
        // SAFETY: the message lives for 'a, and nobody writes to it: the fields are librdkafka's public ones.
        unsafe { self.pointer.as_ref() }
    }

    /// The offset in the partition.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.raw().offset
    }

    /// When the event was made, or came to the broker, in milliseconds since 1970; none below 0.
    #[must_use]
    pub fn timestamp_ms(&self) -> Option<i64> {
        // SAFETY: the message lives; of what kind the time is need not be told.
        let time = unsafe { rd::rd_kafka_message_timestamp(self.pointer.as_ptr(), ptr::null_mut()) };
        (time >= 0).then_some(time)
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> Option<&'a [u8]> {
        let raw = self.raw();
        // SAFETY: librdkafka says that so many bytes are there, as long as the message is.
        unsafe { bytes(raw.key, raw.key_len) }
    }

    /// The value; `None` for a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&'a [u8]> {
        let raw = self.raw();
        // SAFETY: as above.
        unsafe { bytes(raw.payload, raw.len) }
    }

    /// The headers in their order.
    #[must_use]
    pub fn headers(&self) -> Vec<Header<'a>> {
        let mut headers = ptr::null_mut();
        // SAFETY: the message lives. It keeps what it unpacks of its headers, and this is the only thread that has it.
        let found = unsafe { rd::rd_kafka_message_headers(self.pointer.as_ptr(), &raw mut headers) };
        if RDKafkaErrorCode::from(found) != RDKafkaErrorCode::NoError || headers.is_null() {
            return Vec::new();
        }
        (0..).map_while(|index| header(headers, index)).collect()
    }
}

/// Header number `index`, if there are so many.
fn header<'a>(headers: *const rd::rd_kafka_headers_t, index: usize) -> Option<Header<'a>> {
    let (mut key, mut value, mut size) = (ptr::null(), ptr::null(), 0);
    // SAFETY: the headers live as long as their message, which is 'a.
    let found = unsafe { rd::rd_kafka_header_get_all(headers, index, &raw mut key, &raw mut value, &raw mut size) };
    if RDKafkaErrorCode::from(found) != RDKafkaErrorCode::NoError || key.is_null() {
        return None;
    }
    // SAFETY: the key is not null, ends with NUL, and lives as long as the headers.
    let key: &'a CStr = unsafe { CStr::from_ptr(key) };
    // SAFETY: librdkafka says that so many bytes are there, as long as the headers are.
    Some((key.to_string_lossy(), unsafe { bytes(value, size) }))
}

/// The `size` bytes at `start`, unless that is null.
///
/// # Safety
/// They are there, and nobody writes to them, for `'a`.
unsafe fn bytes<'a>(start: *const c_void, size: usize) -> Option<&'a [u8]> {
    // SAFETY: by the caller.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast(), size) })
}
