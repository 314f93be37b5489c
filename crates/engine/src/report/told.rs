//! What is told once in a run, in the log: rows that cannot be computed, and expectations that cannot be evaluated.

use std::collections::BTreeSet;

use sluicebox_core::PartitionId;
use sluicebox_core::digits::rows;
use sluicebox_pipeline::graph::OnError;
use sluicebox_quality::{ErrorResult, ExpectationResult, Sample, place_of};

use crate::batch::BatchOutcome;

/// What has been told in this run.
#[derive(Debug, Default)]
pub struct Told(BTreeSet<(String, String)>);

impl Told {
    /// Warns of each expression and expectation that fails on rows of this batch, and has not been warned of.
    pub fn tell(&mut self, outcome: &BatchOutcome) {
        let parts: Vec<PartitionId> = outcome.offsets.ranges.iter().map(|r| r.partition.clone()).collect();
        for table in &outcome.tables {
            for error in &table.errors {
                if self.0.insert((table.table.clone(), error.what())) {
                    tracing::warn!("{}", uncomputed(&table.table, error, &parts));
                }
            }
            for result in &table.expectations {
                if let Some(first) = &result.first_error
                    && self.0.insert((table.table.clone(), format!("expectation {}", result.name)))
                {
                    tracing::warn!("{}", unevaluated(&table.table, result, first, &parts));
                }
            }
        }
    }
}

fn uncomputed(table: &str, error: &ErrorResult, parts: &[PartitionId]) -> String {
    let fate = match error.on_error {
        OnError::Quarantine if error.rows == 1 => "goes to quarantine",
        OnError::Quarantine => "go to quarantine",
        OnError::Null if error.rows == 1 => "has NULL there",
        OnError::Null => "have NULL there",
        OnError::Fail if error.rows == 1 => "stops the run",
        OnError::Fail => "stop the run",
    };
    let (rows, fail) = if error.rows == 1 { ("row", "fails") } else { ("rows", "fail") };
    format!(
        "table `{table}`: {} {rows} of this batch {fail} in {} and {fate}. The first{}",
        error.rows,
        error.what(),
        first(&error.first, parts)
    )
}

fn unevaluated(table: &str, result: &ExpectationResult, sample: &Sample, parts: &[PartitionId]) -> String {
    format!(
        "table `{table}`: expectation `{}` ({}) cannot be evaluated on {} of this batch, which counts as broken. The \
         first{}",
        result.name,
        result.text,
        rows(result.error_result),
        first(sample, parts)
    )
}

/// `, topic/0 at offset 17: message; it reads {"v": "x"}. More of it is not told in this run`.
fn first(sample: &Sample, parts: &[PartitionId]) -> String {
    let place = place_of(sample, parts).map_or_else(String::new, |(part, at)| format!(", {part} at offset {at}"));
    let message = sample.error.as_deref().unwrap_or_default();
    format!("{place}: {message}; it reads {}. This is told once in a run", sample.row)
}
