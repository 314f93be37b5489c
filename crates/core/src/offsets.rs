//! Partitions of sources, and ranges of their offsets.

use serde::{Deserialize, Serialize};

/// One partition of one topic of one source. Ordered by source, topic, partition: the order in which rows of different
/// partitions are read, written and compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PartitionId {
    /// The source's name in the pipeline.
    pub source: String,
    /// The topic; for a source without topics, the source's own name.
    pub topic: String,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl PartitionId {
    /// The partition `partition` of `topic` as read by `source`.
    pub fn new(source: impl Into<String>, topic: impl Into<String>, partition: i32) -> Self {
        Self { source: source.into(), topic: topic.into(), partition }
    }
}

impl std::fmt::Display for PartitionId {
    /// `topic/partition`, as in messages.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// Offsets `from..to` of a partition: `from` is the first one read, `to` the first one not read. Not every offset in it
/// need hold an event: transaction markers and compaction leave gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OffsetRange {
    /// The first offset of the range.
    pub from: i64,
    /// The offset after the last one of the range; never less than `from`.
    pub to: i64,
}

impl OffsetRange {
    /// The range `from..to`.
    #[must_use]
    pub fn new(from: i64, to: i64) -> Self {
        debug_assert!(from <= to, "an offset range runs forward: {from}..{to}");
        Self { from, to }
    }

    /// Whether the range holds no offset.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.to <= self.from
    }

    /// The number of offsets, which is at least the number of events.
    #[must_use]
    pub fn len(&self) -> u64 {
        u64::try_from(self.to - self.from).unwrap_or(0)
    }
}
