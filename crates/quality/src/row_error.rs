//! Rows that a query could not compute: the description of each, and the counts by kind.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use serde::{Deserialize, Serialize};
use sluicebox_core::{PartitionId, provenance};
use sluicebox_pipeline::graph::OnError;

use crate::judge::Sample;

/// Why one row could not be computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowError {
    /// The column that it was to be; `None` for a condition, or a key or value of an operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The expression, in SQL.
    pub expression: String,
    /// The columns that the expression reads, with their values in the row, as one JSON object; long values are cut.
    pub value: String,
    /// What went wrong.
    pub message: String,
    /// Whether the expression is a condition, so that NULL in its place leaves the row out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub condition: bool,
}

/// The rows of one table in one batch that failed in one expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorResult {
    /// The column; see [`RowError::column`].
    pub column: Option<String>,
    /// The expression, in SQL.
    pub expression: String,
    /// What became of the rows.
    pub on_error: OnError,
    /// How many there were. A row in which several expressions fail is counted for the first.
    pub rows: u64,
    /// The first of them.
    pub first: Sample,
    /// The first of them, so many as expectations keep.
    pub samples: Vec<Sample>,
}

impl ErrorResult {
    /// `v: CAST(v AS INT)`, or the expression alone.
    #[must_use]
    pub fn what(&self) -> String {
        match &self.column {
            Some(column) => format!("{column}: {}", self.expression),
            None => self.expression.clone(),
        }
    }
}

/// Counts what could not be computed in one table and batch.
#[derive(Debug)]
pub struct Errors {
    on_error: OnError,
    samples: usize,
    results: BTreeMap<(Option<String>, String), ErrorResult>,
}

impl Errors {
    /// Counts rows of which `on_error` becomes, with at most `samples` samples of each expression.
    #[must_use]
    pub fn new(on_error: OnError, samples: usize) -> Self {
        Self { on_error, samples, results: BTreeMap::new() }
    }

    /// Counts row `row` of `batch`, which could not be computed for `error`.
    pub fn record(&mut self, batch: &RecordBatch, row: usize, error: &RowError) {
        let (part, offset) = place(batch, row);
        let sample = Sample { part, offset, row: error.value.clone(), error: Some(error.message.clone()) };
        let key = (error.column.clone(), error.expression.clone());
        let result = self.results.entry(key).or_insert_with_key(|(column, expression)| ErrorResult {
            column: column.clone(),
            expression: expression.clone(),
            on_error: self.on_error,
            rows: 0,
            first: sample.clone(),
            samples: Vec::new(),
        });
        result.rows += 1;
        if result.samples.len() < self.samples {
            result.samples.push(sample);
        }
    }

    /// What was counted, in the order of columns and expressions.
    #[must_use]
    pub fn finish(self) -> Vec<ErrorResult> {
        self.results.into_values().collect()
    }
}

/// Index of the source partition, and offset, of row `row`; nothing where rows have no provenance.
pub(crate) fn place(batch: &RecordBatch, row: usize) -> (Option<i32>, Option<i64>) {
    let part = batch.column_by_name(provenance::PART).and_then(|c| c.as_primitive_opt::<Int32Type>());
    let offset = batch.column_by_name(provenance::OFFSET).and_then(|c| c.as_primitive_opt::<Int64Type>());
    (part.map(|c| c.value(row)), offset.map(|c| c.value(row)))
}

/// The partition and offset of a sample, if it has them; `parts` is the batch's sorted list of partitions.
#[must_use]
pub fn place_of<'p>(sample: &Sample, parts: &'p [PartitionId]) -> Option<(&'p PartitionId, i64)> {
    let part = parts.get(usize::try_from(sample.part?).ok()?)?;
    Some((part, sample.offset?))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    #[test]
    fn errors_are_counted_beyond_the_samples_that_are_kept() {
        let offsets: ArrayRef = Arc::new(Int64Array::from_iter_values(0..12));
        let batch = RecordBatch::try_from_iter([(provenance::OFFSET, offsets)]).unwrap();
        let error = |expression: &str| RowError {
            column: None,
            expression: expression.to_owned(),
            value: "{}".to_owned(),
            message: "broken".to_owned(),
            condition: false,
        };
        let mut errors = Errors::new(OnError::Quarantine, 3);
        (0..11).for_each(|row| errors.record(&batch, row, &error("a")));
        errors.record(&batch, 11, &error("b"));
        let found = errors.finish();
        assert_eq!(
            found.iter().map(|e| (e.what(), e.rows)).collect::<Vec<_>>(),
            [("a".to_owned(), 11), ("b".to_owned(), 1)]
        );
        let offsets = |of: &ErrorResult| of.samples.iter().map(|s| s.offset).collect::<Vec<_>>();
        assert_eq!(offsets(&found[0]), [Some(0), Some(1), Some(2)], "the first ones");
        assert_eq!((found[0].first.offset, found[1].first.offset), (Some(0), Some(11)));

        // Where no samples are kept there is still a first one, for the log.
        let mut errors = Errors::new(OnError::Null, 0);
        (4..6).for_each(|row| errors.record(&batch, row, &error("a")));
        let found = errors.finish();
        assert_eq!((found[0].rows, found[0].first.offset, found[0].samples.len()), (2, Some(4), 0));
    }
}
