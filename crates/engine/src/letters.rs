//! Reports dead letters, and fields that no table has: what a source's events say of its producers.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use sluicebox_core::shown::cut;

use crate::EngineError;
use crate::report::SourceTally;

/// Of fewer events a share says nothing.
pub const FEWEST: u64 = 100;

/// What the sources of a run have given since it began.
#[derive(Debug, Default)]
pub(crate) struct Letters {
    /// Events read and dead letters, by source.
    seen: BTreeMap<String, (u64, u64)>,
    /// Fields of writers that were told of, by source: the reader schema lacks them.
    told: BTreeSet<(String, String)>,
}

impl Letters {
    /// Counts what a batch read, which is over.
    pub(crate) fn count(&mut self, reports: &[SourceTally]) {
        for report in reports {
            let (read, letters) = self.seen.entry(report.source.clone()).or_default();
            *read += report.read;
            *letters += report.dead_letters();
        }
    }

    /// Judges a batch before anything of it is written; `limit_of` gives a source's `dead.letters.max.ratio`, if it has one.
    ///
    /// # Errors
    /// [`EngineError::TooManyLetters`] when, with it, more of a source's events became dead letters than its options allow.
    pub(crate) fn judge(
        &self,
        batch_id: u64,
        limit_of: impl Fn(&str) -> Option<f64>,
        reports: &[SourceTally],
        letters: &[(String, Vec<RecordBatch>)],
    ) -> Result<(), EngineError> {
        for report in reports {
            let Some(limit) = limit_of(&report.source) else { continue };
            let (read, dead) = self.seen.get(&report.source).copied().unwrap_or_default();
            let (read, dead) = (read + report.read, dead + report.dead_letters());
            if report.dead_letters() > 0 && is_above(dead, read, limit) {
                let own = letters.iter().filter(|(source, _)| *source == report.source).flat_map(|(_, rows)| rows);
                return Err(EngineError::TooManyLetters {
                    source_name: report.source.clone(),
                    letters: dead,
                    events: read,
                    limit,
                    batch_id,
                    example: own.filter_map(example).next().unwrap_or_default(),
                });
            }
        }
        Ok(())
    }

    /// The fields that a batch saw for the first time in this run and that the reader schema lacks: source, writer schema,
    /// field.
    pub(crate) fn new_fields(&mut self, reports: &[SourceTally]) -> Vec<(String, String, String)> {
        let mut found = Vec::new();
        for report in reports {
            for schema in report.schemas.values() {
                for field in &schema.ignored_fields {
                    if self.told.insert((report.source.clone(), field.clone())) {
                        found.push((report.source.clone(), schema.key.to_string(), field.clone()));
                    }
                }
            }
        }
        found
    }

    /// All fields that were told of, `field of source`, in order.
    pub(crate) fn fields(&self) -> Vec<String> {
        self.told.iter().map(|(source, field)| format!("{field} of {source}")).collect()
    }
}

/// Whether `letters` of `events` are more than `limit` of them.
#[expect(clippy::cast_precision_loss, reason = "a share")]
fn is_above(letters: u64, events: u64, limit: f64) -> bool {
    events >= FEWEST && letters as f64 > limit * events as f64
}

/// The first of some dead letters, in words.
fn example(rows: &RecordBatch) -> Option<String> {
    if rows.num_rows() == 0 {
        return None;
    }
    let text = |name: &str| rows.column_by_name(name)?.as_string_opt::<i32>().map(|c| c.value(0).to_owned());
    let partition = rows.column_by_name("partition")?.as_primitive_opt::<Int32Type>()?.value(0);
    let offset = rows.column_by_name("offset")?.as_primitive_opt::<Int64Type>()?.value(0);
    let (topic, class, message) = (text("topic")?, text("error_class")?, cut(&text("message")?));
    Some(format!("{topic}/{partition} offset {offset}, {class}: {message}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use sluicebox_formats::ErrorClass;
    use sluicebox_sources::Taken;

    use super::*;

    fn report(source: &str, read: u64, letters: u64) -> SourceTally {
        let by_class = BTreeMap::from([(ErrorClass::IncompleteHeader, letters)]);
        SourceTally { read, by_class, ..SourceTally::new(source, &[], &Taken::default()) }
    }

    #[test]
    fn a_share_is_that_of_all_events_since_the_run_began() {
        let mut letters = Letters::default();
        let limit_of = |source: &str| (source == "s").then_some(0.1);
        let judged =
            |letters: &Letters, report: &SourceTally| letters.judge(7, limit_of, std::slice::from_ref(report), &[]);
        // Neither batch has enough events to judge; both have.
        let (first, second) = (report("s", 60, 3), report("s", 50, 9));
        judged(&letters, &first).unwrap();
        letters.count(&[first]);
        let refused = judged(&letters, &second).unwrap_err();
        let told = matches!(refused, EngineError::TooManyLetters { letters: 12, events: 110, batch_id: 7, .. });
        assert!(told, "{refused:?}");
        // Those of another source count for nothing, and one without a limit may have any.
        letters.count(&[report("other", 10_000, 0)]);
        judged(&letters, &second).unwrap_err();
        judged(&letters, &report("other", 1_000, 1_000)).unwrap();
        // Enough good events before them make the same letters few.
        letters.count(&[report("s", 1_000, 0)]);
        judged(&letters, &report("s", 100, 90)).unwrap();
        // A batch without a letter is none to stop at, whatever was before it.
        letters.count(&[report("s", 200, 200)]);
        judged(&letters, &report("s", 1, 0)).unwrap();
        judged(&letters, &report("s", 1, 1)).unwrap_err();
    }

    #[test]
    fn a_share_is_judged_once_there_are_enough_events() {
        assert!(!is_above(99, 99, 0.0), "too few to judge");
        assert!(is_above(1, 100, 0.0));
        assert!(!is_above(0, 100, 0.0));
        assert!(!is_above(10, 100, 0.1), "as many as are allowed");
        assert!(is_above(11, 100, 0.1));
        assert!(!is_above(1_000, 1_000, 1.0));
    }
}
