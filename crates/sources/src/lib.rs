//! Sources of events: Kafka, and the embedded log, which takes its place where there is no broker.
//!
//! **Owns** the [`Source`] trait, the options of a `kafka` source ([`KafkaOptions`]), the bounded buffer into which every source
//! prefetches, the Kafka client ([`KafkaSource`]) and the files of the embedded log ([`EmbeddedLog`], [`LogSource`]). Its suite,
//! `testing` (feature `testing`), runs over any source.
//!
//! **May not know** batches, checkpoints, Avro or SQL. Positions belong to the caller: a source keeps none, commits none that anything
//! depends on, and returns the same range as often as it is asked.
//!
//! **States.** A source is *idle* until [`Source::start`], then *fetching*. One of its partitions may be *failed*: the next `take` or
//! `buffered` reports the error, and the partition is then fetched again from its position. Each source has one thread that fetches. The
//! thread parks when the buffer is full or the log is at its end, and ends with the source.
//!
//! **Invariants** (numbers of the design): 5, a range holds the same events however it was fetched: `take` returns the events of the range
//! and no others, in offset order, and only after every offset below the range's end was seen; 6, the buffer holds at most its budget and
//! one run of events, unless a larger range was asked for; 7, no bytes of a broker or a file make it panic.
//!
//! **A crash** leaves nothing: fetching has no effects. The docs of [`EmbeddedLog`] say what a crash of a writer leaves in the embedded
//! log.

#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "tests make and damage files by hand"))]

mod batch;
mod buffer;
mod chunk;
#[cfg(test)]
mod conformance;
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
