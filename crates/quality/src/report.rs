//! What is told of a batch: what was read, what became of it, and whether it all adds up.
//!
//! Nothing in a report but the batch's clock is a time of day, so that a replayed batch has the same report, byte for
//! byte. Timings are in the progress.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::TimestampMicrosecondType;
use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sluicebox_core::fate::Ledger;
use sluicebox_core::{Fates, PartitionId, provenance};
use sluicebox_pipeline::ast::Action;

use crate::error::{QualityError, Result};
use crate::judge::ExpectationResult;

/// The version of the report's format.
pub const FORMAT: u32 = 1;

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
        let time = DateTime::parse_from_rfc3339(&text).map_err(serde::de::Error::custom)?;
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

/// One table in one batch, as the engine counted it.
#[derive(Debug, Clone)]
pub struct TableCounts {
    /// The table.
    pub table: String,
    /// The equation that its fates must satisfy.
    pub ledger: Ledger,
    /// What became of its rows.
    pub fates: Fates,
    /// Rows whose event time was too far ahead of the clock to move the watermark.
    pub future: u64,
    /// Its expectations.
    pub expectations: Vec<ExpectationResult>,
    /// Least and greatest event time of the rows written, in microseconds; see [`event_time_bounds`].
    pub event_time: Option<(i64, i64)>,
    /// The watermark in force at the batch's end, in microseconds.
    pub watermark: Option<i64>,
}

/// The report of one batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchReport {
    /// [`FORMAT`].
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

const SOURCE_EQUATION: &str = "read = tombstones + dead_letters + rows";

impl BatchReport {
    /// The report of a batch. `parts` is the batch's sorted list of partitions, to which the hidden column `__sb_part` of
    /// its rows points.
    #[must_use]
    pub fn new(
        header: ReportHeader,
        sources: Vec<SourceReport>,
        tables: &[TableCounts],
        parts: &[PartitionId],
    ) -> Self {
        let sources: Vec<SourceReport> = sources.into_iter().map(SourceReport::balanced).collect();
        let expectations: Vec<ExpectationReport> = tables
            .iter()
            .flat_map(|t| t.expectations.iter().map(|e| ExpectationReport::new(&t.table, e, parts)))
            .collect();
        let tables: Vec<TableReport> = tables.iter().map(TableReport::new).collect();
        let broken: Vec<String> = sources
            .iter()
            .filter(|s| s.ledger.as_ref().is_none_or(|l| !l.ok))
            .map(|s| s.source.clone())
            .chain(tables.iter().filter(|t| !t.ledger.ok).map(|t| t.table.clone()))
            .collect();
        let lost = sources.iter().any(|s| s.dead_letters > 0 || s.ranges().any(|(_, _, r)| r.lost_offsets > 0));
        let least = if lost { Status::Warn } else { Status::Pass };
        Self {
            format: FORMAT,
            query_id: header.query_id,
            pipeline: header.pipeline,
            sql_hash: header.sql_hash,
            batch_id: header.batch_id,
            batch_clock: Micros(header.batch_clock),
            status: expectations.iter().map(|e| e.status).fold(least, Status::max),
            balance: Balance { ok: broken.is_empty(), broken },
            sources,
            tables,
            expectations,
        }
    }

    /// Stops a batch whose ledgers do not balance. Not for a batch that FAIL UPDATE stops: its rows have no fate.
    ///
    /// # Errors
    /// The first ledger that does not, with its counts.
    pub fn check(&self) -> Result<()> {
        if let Some(source) = self.sources.iter().find(|s| s.ledger.as_ref().is_none_or(|l| !l.ok)) {
            return Err(QualityError::Ledger {
                dataset: format!("source {}", source.source),
                batch_id: self.batch_id,
                equation: SOURCE_EQUATION.to_owned(),
                numbers: format!(
                    "read {}, tombstones {}, dead_letters {}, rows {}, records in ranges {}, dead letters by class {}",
                    source.read,
                    source.tombstones,
                    source.dead_letters,
                    source.rows,
                    source.records(),
                    source.dead_letters_by_class.values().sum::<u64>()
                ),
            });
        }
        if let Some(table) = self.tables.iter().find(|t| !t.ledger.ok) {
            return Err(QualityError::Ledger {
                dataset: format!("table {}", table.table),
                batch_id: self.batch_id,
                equation: table.ledger.equation.clone(),
                numbers: fates(&table.fates).map(|(name, n)| format!("{name} {n}")).join(", "),
            });
        }
        Ok(())
    }

    /// The report as one line of JSON.
    ///
    /// # Errors
    /// None for a report that was made by [`BatchReport::new`].
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let mut text = serde_json::to_vec(self)?;
        text.push(b'\n');
        Ok(text)
    }

    /// The report that `text` is.
    ///
    /// # Errors
    /// When it is none, or of another format.
    pub fn from_json(text: &[u8]) -> Result<Self> {
        Ok(serde_json::from_slice(text)?)
    }
}

impl SourceReport {
    /// Adds what was read of a partition.
    pub fn add_range(&mut self, partition: &PartitionId, range: InputRange) {
        self.input.entry(partition.topic.clone()).or_default().insert(partition.partition, range);
    }

    /// Topic, partition and what was read, in order.
    pub fn ranges(&self) -> impl Iterator<Item = (&str, i32, &InputRange)> {
        self.input
            .iter()
            .flat_map(|(topic, of)| of.iter().map(|(partition, range)| (topic.as_str(), *partition, range)))
    }

    /// Events in all ranges.
    fn records(&self) -> u64 {
        self.ranges().map(|(_, _, range)| range.records).sum()
    }

    /// With its ledger: the counts add up to what was read, and so do the ranges and the classes.
    fn balanced(mut self) -> Self {
        let ok = self.read == self.tombstones + self.dead_letters + self.rows
            && self.read == self.records()
            && self.dead_letters == self.dead_letters_by_class.values().sum::<u64>();
        self.ledger = Some(LedgerReport { equation: SOURCE_EQUATION.to_owned(), ok });
        self
    }
}

impl TableReport {
    fn new(counts: &TableCounts) -> Self {
        let freshness = (counts.event_time.is_some() || counts.watermark.is_some()).then(|| Freshness {
            event_time_min: counts.event_time.map(|(least, _)| Micros(least)),
            event_time_max: counts.event_time.map(|(_, greatest)| Micros(greatest)),
            watermark: counts.watermark.map(Micros),
        });
        let ok = counts.ledger.balances(&counts.fates);
        Self {
            table: counts.table.clone(),
            fates: counts.fates,
            ledger: LedgerReport { equation: counts.ledger.equation().to_owned(), ok },
            future_event_time: counts.future,
            freshness,
        }
    }
}

impl ExpectationReport {
    fn new(table: &str, result: &ExpectationResult, parts: &[PartitionId]) -> Self {
        let status = match (result.failed, result.action) {
            (0, _) => Status::Pass,
            (_, Action::Fail) => Status::Fail,
            _ => Status::Warn,
        };
        let samples = result
            .samples
            .iter()
            .filter_map(|sample| {
                let part = parts.get(usize::try_from(sample.part?).ok()?)?;
                Some(SampleRef { topic: part.topic.clone(), partition: part.partition, offset: sample.offset? })
            })
            .collect();
        Self {
            name: result.name.clone(),
            dataset: table.to_owned(),
            expr: result.text.clone(),
            action: action_name(result.action).to_owned(),
            evaluated: result.evaluated,
            passed: result.passed,
            failed: result.failed,
            null_result: result.null_result,
            error_result: result.error_result,
            failed_ratio: ratio(result.failed, result.evaluated),
            status,
            samples,
        }
    }
}

/// The action's name in reports.
pub(crate) fn action_name(action: Action) -> &'static str {
    match action {
        Action::Warn => "warn",
        Action::Drop => "drop",
        Action::Quarantine => "quarantine",
        Action::Fail => "fail",
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of one batch are far below 2^53")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Names and counts of all fates, in the order of the struct.
pub(crate) fn fates(fates: &Fates) -> [(&'static str, u64); 11] {
    [
        ("rows_in", fates.rows_in),
        ("written", fates.written),
        ("duplicate", fates.duplicate),
        ("late", fates.late),
        ("late_clause", fates.late_clause),
        ("quarantined", fates.quarantined),
        ("dropped", fates.dropped),
        ("filtered", fates.filtered),
        ("filtered_null_event_time", fates.filtered_null_event_time),
        ("absorbed", fates.absorbed),
        ("rows_out", fates.rows_out),
    ]
}

/// Least and greatest event time of `rows`, in microseconds, from their hidden column; `None` without one.
#[must_use]
pub fn event_time_bounds(rows: &[RecordBatch]) -> Option<(i64, i64)> {
    let times = rows.iter().filter_map(|batch| {
        let column = batch.column_by_name(provenance::EVENT_TIME)?;
        let column = column.as_primitive_opt::<TimestampMicrosecondType>()?;
        Some((min(column)?, max(column)?))
    });
    times.reduce(|(least, greatest), (a, b)| (least.min(a), greatest.max(b)))
}

#[cfg(test)]
mod tests;
