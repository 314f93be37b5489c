//! Messages that a run logs once: rows that cannot be computed, and expectations that cannot be evaluated.

use std::collections::BTreeSet;

use sluicebox_core::PartitionId;
use sluicebox_core::digits::rows;
use sluicebox_core::shown::cut_to;
use sluicebox_pipeline::graph::OnError;
use sluicebox_quality::{ErrorResult, ExpectationResult, Sample, place_of};

use crate::outcome::BatchOutcome;

/// Characters that are told of a row, and of what is wrong with it. The report and the quarantine have all that is kept.
pub const MOST: usize = 1_000;

/// What has been told in this run.
#[derive(Debug, Default)]
pub struct Told(BTreeSet<(String, String)>);

impl Told {
    /// Warns of each expression and expectation that fails on rows of this batch, and has not been warned of.
    pub fn tell(&mut self, outcome: &BatchOutcome) {
        let parts: Vec<PartitionId> = outcome.offsets.ranges.iter().map(|r| r.partition.clone()).collect();
        for table in &outcome.tables {
            for warning in self.new_of(&table.table, &table.errors, &table.expectations, &parts) {
                tracing::warn!("{warning}");
            }
        }
    }

    /// What has not been told of one table.
    fn new_of(
        &mut self,
        table: &str,
        errors: &[ErrorResult],
        expectations: &[ExpectationResult],
        parts: &[PartitionId],
    ) -> Vec<String> {
        let mut new = Vec::new();
        for error in errors {
            if self.0.insert((table.to_owned(), error.what())) {
                new.push(uncomputed(table, error, parts));
            }
        }
        for result in expectations {
            if let Some(first) = &result.first_error
                && self.0.insert((table.to_owned(), format!("expectation {}", result.name)))
            {
                new.push(unevaluated(table, result, first, parts));
            }
        }
        new
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
    let message = cut_to(sample.error.as_deref().unwrap_or_default(), MOST);
    format!("{place}: {message}; it reads {}. This is told once in a run", cut_to(&sample.row, MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(column: &str, rows: u64) -> ErrorResult {
        let sample = Sample {
            part: Some(0),
            offset: Some(17),
            row: r#"{"v": "x"}"#.to_owned(),
            error: Some("cannot cast".to_owned()),
        };
        ErrorResult {
            column: Some(column.to_owned()),
            expression: "CAST(v AS INT)".to_owned(),
            on_error: OnError::Quarantine,
            rows,
            first: sample,
            samples: Vec::new(),
        }
    }

    #[test]
    fn what_a_row_holds_is_cut_and_is_text() {
        let mut hostile = error("n", 1);
        hostile.first.error = Some(format!("cannot cast '\u{1b}[2J\n{}'", "A".repeat(5_000)));
        hostile.first.row = format!("{{\"v\": \"\u{202e}{}\"}}", "B".repeat(5_000));
        let said = Told::default().new_of("silver", &[hostile], &[], &[PartitionId::new("s", "t", 0)]).remove(0);
        assert!(!said.contains(sluicebox_core::shown::acts) && said.len() < 2_500, "{said}");
        assert!(
            said.contains(r"cannot cast '\u{1b}[2J\nAAA") && said.ends_with("This is told once in a run"),
            "{said}"
        );
    }

    #[test]
    fn what_several_tables_cannot_compute_is_told_once_of_each() {
        let parts = [PartitionId::new("s", "t", 0)];
        let mut told = Told::default();
        let mut new_of = |table: &str, errors: &[ErrorResult]| told.new_of(table, errors, &[], &parts);
        let said = new_of("silver", &[error("n", 2)]);
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("table `silver`: 2 rows of this batch fail in n: CAST(v AS INT) and"), "{said:?}");
        assert!(said[0].contains("at offset 17: cannot cast; it reads {\"v\": \"x\"}."), "{said:?}");
        // The same expression in the same column, of another table.
        let said = new_of("late", &[error("n", 1)]);
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("table `late`: 1 row of this batch fails in n"), "{said:?}");
        // Once in a run, and a second column is another thing.
        assert!(new_of("silver", &[error("n", 5)]).is_empty());
        assert!(new_of("late", &[error("n", 5)]).is_empty());
        assert_eq!(new_of("silver", &[error("n", 5), error("m", 5)]).len(), 1);
    }
}
