//! The shape of a report, as it is stored.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sluicebox_core::Fates;

/// A time in microseconds since 1970-01-01T00:00:00Z; in JSON as `2026-01-31T10:15:00.000000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Micros(pub i64);

impl Serialize for Micros {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match DateTime::from_timestamp_micros(self.0) {
            Some(time) => serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true)),
            // Beyond the years that have a name: the number itself, as text.
            None => serializer.serialize_str(&self.0.to_string()),
        }
    }
}

impl<'de> Deserialize<'de> for Micros {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if let Ok(micros) = text.parse::<i64>() {
            return Ok(Self(micros));
        }
        // RFC 3339 ends with the year 9999; chrono's own reading takes the years that it writes beyond.
        let time = text.parse::<DateTime<Utc>>().map_err(serde::de::Error::custom)?;
        Ok(Self(time.timestamp_micros()))
    }
}

/// How a batch, or an expectation in it, went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing to see.
    Pass,
    /// Something was broken or lost, and the batch goes on.
    Warn,
    /// An expectation with FAIL UPDATE was broken.
    Fail,
}

/// Which batch a report is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportHeader {
    /// The query's id.
    pub query_id: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// Checksum over the pipeline's text.
    pub sql_hash: String,
    /// The batch.
    pub batch_id: u64,
    /// The batch's clock, in microseconds since 1970.
    pub batch_clock: i64,
}

/// The report of one batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchReport {
    /// [`crate::FORMAT`].
    pub format: u32,
    /// The query's id.
    pub query_id: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// Checksum over the pipeline's text.
    pub sql_hash: String,
    /// The batch.
    pub batch_id: u64,
    /// The batch's clock.
    pub batch_clock: Micros,
    /// The worst of all expectations; at least a warning if there were dead letters or lost offsets.
    pub status: Status,
    /// Whether every ledger balances.
    pub balance: Balance,
    /// The sources, in the order given.
    pub sources: Vec<SourceReport>,
    /// The tables, in the order given.
    pub tables: Vec<TableReport>,
    /// The expectations of all tables, in the order of tables and text.
    pub expectations: Vec<ExpectationReport>,
}

/// Whether every event read has exactly one fate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// Whether every ledger balances.
    pub ok: bool,
    /// The sources and tables whose ledger does not.
    pub broken: Vec<String>,
}

/// One equation of invariant 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerReport {
    /// The equation.
    pub equation: String,
    /// Whether it holds.
    pub ok: bool,
}

/// One source in one batch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceReport {
    /// The source.
    pub source: String,
    /// Topic to partition to what was read of it.
    pub input: BTreeMap<String, BTreeMap<i32, InputRange>>,
    /// Events read.
    pub read: u64,
    /// Of them: without a value.
    pub tombstones: u64,
    /// Of them: could not become a row.
    pub dead_letters: u64,
    /// Of them: rows.
    pub rows: u64,
    /// `read = tombstones + dead_letters + rows`; filled in by [`BatchReport::new`].
    #[serde(default)]
    pub ledger: Option<LedgerReport>,
    /// The schemas that events were written with, in the order given.
    pub schemas: Vec<SchemaReport>,
    /// Writer schema to its fields that the reader schema lacks, as paths: their values are in no table.
    #[serde(default)]
    pub schema_drift: BTreeMap<String, Vec<String>>,
    /// Error class to dead letters.
    pub dead_letters_by_class: BTreeMap<String, u64>,
    /// Offsets that were gone before they were read, in the order of partitions and offsets.
    #[serde(default)]
    pub lost: Vec<LostReport>,
}

/// Offsets of one partition that were gone before they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostReport {
    /// The topic.
    pub topic: String,
    /// The partition of the topic.
    pub partition: i32,
    /// The first offset that is lost.
    pub from: i64,
    /// The offset after the last one that is lost.
    pub to: i64,
    /// What took them: `deleted` (by retention or by hand), `topic_gone`, `unreadable` (a batch that cannot be unpacked).
    pub reason: String,
}

/// What was read of one partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRange {
    /// The first offset.
    pub start: i64,
    /// The offset after the last one.
    pub end: i64,
    /// Events in the range.
    pub records: u64,
    /// Offsets without an event, which is no loss: transaction markers, compaction.
    pub gap_offsets: u64,
    /// Offsets that were gone before they were read.
    pub lost_offsets: u64,
}

/// A schema that events of a batch were written with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaReport {
    /// Its id in the registry.
    pub id: i32,
    /// Its subject, where known.
    pub subject: Option<String>,
    /// Its version in the subject, where known.
    pub version: Option<i32>,
    /// Events of this batch.
    pub records: u64,
    /// Whether no earlier batch had it.
    pub first_seen: bool,
}

/// One table in one batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableReport {
    /// The table.
    pub table: String,
    /// What became of its rows.
    pub fates: Fates,
    /// Its equation.
    pub ledger: LedgerReport,
    /// Rows whose event time was too far ahead of the clock to move the watermark.
    pub future_event_time: u64,
    /// How fresh its rows are; absent without event time.
    pub freshness: Option<Freshness>,
    /// The expressions that some rows could not be computed for, in the order of columns.
    #[serde(default)]
    pub errors: Vec<ErrorReport>,
}

/// The rows of one table in one batch that could not be computed for one expression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReport {
    /// The column that it was to be; null for a condition, or a key or value of an aggregate.
    pub column: Option<String>,
    /// The expression, in SQL.
    pub expr: String,
    /// `quarantine`, `null` or `fail`.
    pub on_error: String,
    /// How many rows.
    pub rows: u64,
    /// What went wrong in the first of them.
    pub message: String,
    /// Where the first ones came from; the values are in the samples.
    pub samples: Vec<SampleRef>,
}

/// The event times of a table's rows in one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freshness {
    /// The least of the rows written.
    pub event_time_min: Option<Micros>,
    /// The greatest of the rows written.
    pub event_time_max: Option<Micros>,
    /// The watermark at the batch's end.
    pub watermark: Option<Micros>,
}

/// One expectation in one batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExpectationReport {
    /// The expectation.
    pub name: String,
    /// Its table.
    pub dataset: String,
    /// Its condition as it was written.
    pub expr: String,
    /// `warn`, `drop`, `quarantine` or `fail`.
    pub action: String,
    /// Candidates.
    pub evaluated: u64,
    /// Candidates for which the condition is true.
    pub passed: u64,
    /// Candidates for which it is not.
    pub failed: u64,
    /// Of the failed ones: the condition is NULL.
    pub null_result: u64,
    /// Of the failed ones: the condition cannot be evaluated.
    pub error_result: u64,
    /// `failed / evaluated`; 0 without candidates.
    pub failed_ratio: f64,
    /// How it went.
    pub status: Status,
    /// Where the first rows that broke it came from; the rows themselves are in the samples.
    pub samples: Vec<SampleRef>,
}

/// Where a sample came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleRef {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}
