//! The report of a batch: what was read, what became of it, and whether the counts balance.
//!
//! The batch's clock is the only time of day in a report, so that a replayed batch has the same report, byte for byte. Timings are in the
//! progress.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::TimestampMicrosecondType;
use sluicebox_core::fate::Ledger;
use sluicebox_core::{Fates, PartitionId, provenance};
use sluicebox_pipeline::ast::Action;

use crate::error::{QualityError, Result};
use crate::judge::{ExpectationResult, Sample};
use crate::row_error::{ErrorResult, place_of};

mod shape;

pub use shape::{
    Balance, BatchReport, ErrorReport, ExpectationReport, Freshness, InputRange, LedgerReport, LostReport, Micros,
    ReportHeader, SampleRef, SchemaReport, SourceReport, Status, TableReport,
};

/// The version of the report's format.
pub const FORMAT: u32 = 1;

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
    /// What could not be computed.
    pub errors: Vec<ErrorResult>,
    /// Least and greatest event time of the rows written, in microseconds; see [`event_time_bounds`].
    pub event_time: Option<(i64, i64)>,
    /// The watermark in force at the batch's end, in microseconds.
    pub watermark: Option<i64>,
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
        let failing = tables.iter().any(|t| !t.errors.is_empty());
        let tables: Vec<TableReport> = tables.iter().map(|t| TableReport::new(t, parts)).collect();
        let broken: Vec<String> = sources
            .iter()
            .filter(|s| s.ledger.as_ref().is_none_or(|l| !l.ok))
            .map(|s| s.source.clone())
            .chain(tables.iter().filter(|t| !t.ledger.ok).map(|t| t.table.clone()))
            .collect();
        let lost = sources.iter().any(|s| s.dead_letters > 0 || s.ranges().any(|(_, _, r)| r.lost_offsets > 0));
        let least = if lost || failing { Status::Warn } else { Status::Pass };
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
                numbers: table.fates.named().map(|(name, n)| format!("{name} {n}")).join(", "),
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
    fn new(counts: &TableCounts, parts: &[PartitionId]) -> Self {
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
            errors: counts.errors.iter().map(|error| ErrorReport::new(error, parts)).collect(),
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
        let samples = refs(&result.samples, parts);
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

impl ErrorReport {
    fn new(result: &ErrorResult, parts: &[PartitionId]) -> Self {
        Self {
            column: result.column.clone(),
            expr: result.expression.clone(),
            on_error: result.on_error.as_str().to_owned(),
            rows: result.rows,
            message: result.first.error.clone().unwrap_or_default(),
            samples: refs(&result.samples, parts),
        }
    }
}

/// Where samples came from, of those that know it.
fn refs(samples: &[Sample], parts: &[PartitionId]) -> Vec<SampleRef> {
    let places = samples.iter().filter_map(|sample| place_of(sample, parts));
    places.map(|(part, offset)| SampleRef { topic: part.topic.clone(), partition: part.partition, offset }).collect()
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
