//! Sources of events: Kafka, and the embedded log that stands in for it where there is no broker.
//!
//! **Owns** the [`Source`] trait, the options of a `kafka` source ([`KafkaOptions`]), the bounded buffer into which every
//! source fetches ahead, the Kafka client ([`KafkaSource`]) and the embedded log's files ([`EmbeddedLog`], [`LogSource`]).
//!
//! **May not know** batches, checkpoints, Avro or SQL. Positions are the caller's: a source keeps none, commits none that
//! matter, and can be asked for the same range again and again.
//!
//! **States.** A source is *idle* until [`Source::start`], then *fetching*; a partition of it may be *failed*, which the next
//! `take` or `buffered` reports, after which it is fetched anew from its position. Each source has one thread that fetches,
//! which parks when the buffer is full or the log is at its end, and ends with the source.
//!
//! **Invariants** (numbers of the design): 5, a range holds the same events however it was fetched: `take` returns what
//! lies in the range and nothing else, in offset order, and only when every offset below the range's end was seen;
//! 6, the buffer holds at most its budget, plus one run of events, unless a range is waited for that is larger; 7, no
//! bytes of a broker or a file make it panic.
//!
//! **A crash** leaves nothing behind that matters: fetched bytes are no effect. What a crash of a writer leaves in the
//! embedded log is said in the docs of its folder, [`EmbeddedLog`].

#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "tests make and damage files by hand"))]

mod batch;
mod buffer;
mod chunk;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod error;
mod kafka;
mod log;
mod options;
pub mod positions;
mod records;
mod source;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod unpack;

pub use error::{LONGEST_TOPIC, Result, SourceError};
pub use kafka::KafkaSource;
pub use log::{
    EmbeddedLog, Fsync, LogSource, Mark, Record, SegmentSummary, TopicMeta, TopicOptions, Transaction, Transactions,
    check_segment, seal_batch,
};
pub use options::{
    BROKERS_ENV, KAFKA_PREFIX, KafkaOptions, OF_LOGS, Selection, StartingOffsets, check_brokers, check_of_table,
    exposed_brokers, is_property,
};
pub use source::{
    Bounds, Buffered, CHUNK_BYTES, CHUNK_EVENTS, Chunk, KnownEnd, LogIdentity, LossReason, LostRange, Proof, Source,
    Taken,
};

/// The version of librdkafka that is linked.
#[must_use]
pub fn librdkafka_version() -> String {
    rdkafka::util::get_rdkafka_version().1
}
