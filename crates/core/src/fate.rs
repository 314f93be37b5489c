//! Fates: what became of each event. Each fate is counted where it happens. None is computed as the remainder of the others (invariant 1).

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// What became of one event or row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// An event without a value: a deletion marker, no row and no error.
    Tombstone,
    /// An event that could not become a row.
    DeadLetter,
    /// A row in a table file.
    Written,
    /// A row whose key was already there.
    Duplicate,
    /// A row behind the watermark.
    Late,
    /// A row that broke an expectation whose action is quarantine.
    Quarantined,
    /// A row that broke an expectation whose action is drop.
    Dropped,
    /// A row that the query's WHERE left out, or whose event time is NULL where state needs one.
    Filtered,
    /// A row that went into an aggregate's state.
    Absorbed,
}

/// How many rows of one table met each fate in one batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fates {
    /// Rows that entered the table's query.
    pub rows_in: u64,
    /// Rows in table files.
    pub written: u64,
    /// Rows whose key was already there.
    pub duplicate: u64,
    /// Of `duplicate`: rows that a DISTINCT took out which is not the query's last step, before `rows_out` was counted.
    pub duplicate_in: u64,
    /// Rows behind the watermark of their partition, or behind the clause's (`late_clause` of them).
    pub late: u64,
    /// Of `late`: rows ahead of their own partition's watermark but at or behind the clause's, which happens only to
    /// partitions that were idle or are new.
    pub late_clause: u64,
    /// Rows kept in quarantine.
    pub quarantined: u64,
    /// Of `quarantined`: rows that could not be computed on their way into an operator with state, before `rows_out` was
    /// counted.
    pub quarantined_in: u64,
    /// Rows dropped by an expectation.
    pub dropped: u64,
    /// Rows left out by WHERE, for a NULL event time (`filtered_null_event_time` of them), or because no window can hold their
    /// event time, 290,308 years before our era.
    pub filtered: u64,
    /// Of `filtered`: rows that were left out before `rows_out` was counted: all but those that the query's last DISTINCT
    /// leaves out for a NULL event time.
    pub filtered_in: u64,
    /// Of `filtered`: rows whose event time is NULL where state needs one.
    pub filtered_null_event_time: u64,
    /// Rows that went into an aggregate's state.
    pub absorbed: u64,
    /// Rows that came out of the query, before the table's expectations and the query's last DISTINCT.
    pub rows_out: u64,
}

impl Fates {
    /// Names and counts of all fates, in the order of the struct.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 14] {
        [
            ("rows_in", self.rows_in),
            ("written", self.written),
            ("duplicate", self.duplicate),
            ("duplicate_in", self.duplicate_in),
            ("late", self.late),
            ("late_clause", self.late_clause),
            ("quarantined", self.quarantined),
            ("quarantined_in", self.quarantined_in),
            ("dropped", self.dropped),
            ("filtered", self.filtered),
            ("filtered_in", self.filtered_in),
            ("filtered_null_event_time", self.filtered_null_event_time),
            ("absorbed", self.absorbed),
            ("rows_out", self.rows_out),
        ]
    }
}

impl AddAssign for Fates {
    fn add_assign(&mut self, more: Self) {
        // Each field by name, so that a new one is not left out.
        let Self {
            rows_in,
            written,
            duplicate,
            duplicate_in,
            late,
            late_clause,
            quarantined,
            quarantined_in,
            dropped,
            filtered,
            filtered_in,
            filtered_null_event_time,
            absorbed,
            rows_out,
        } = more;
        self.rows_in += rows_in;
        self.written += written;
        self.duplicate += duplicate;
        self.duplicate_in += duplicate_in;
        self.late += late;
        self.late_clause += late_clause;
        self.quarantined += quarantined;
        self.quarantined_in += quarantined_in;
        self.dropped += dropped;
        self.filtered += filtered;
        self.filtered_in += filtered_in;
        self.filtered_null_event_time += filtered_null_event_time;
        self.absorbed += absorbed;
        self.rows_out += rows_out;
    }
}

/// Which of the equations of invariant 1 a table's fates must satisfy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ledger {
    /// Each row that goes in is one row with one fate.
    Rows,
    /// Rows go into an aggregate, and others come out.
    Aggregate,
    /// Only what comes out can be counted: a row becomes several (unnest), or is of several (UNION), or went through two
    /// aggregates.
    OutOnly,
}

/// The equations of reports that were written before rows could leave a query on their way.
const OLD: [(&str, Ledger); 2] = [
    ("rows_in = absorbed + late + filtered; rows_out = written + quarantined + dropped", Ledger::Aggregate),
    ("rows_out = written + quarantined + dropped", Ledger::OutOnly),
];

impl Ledger {
    const ALL: [Self; 3] = [Self::Rows, Self::Aggregate, Self::OutOnly];

    /// The equation, as reports print it.
    #[must_use]
    pub fn equation(self) -> &'static str {
        match self {
            Self::Rows => "rows_in = written + duplicate + late + quarantined + dropped + filtered",
            Self::Aggregate => {
                "rows_in = absorbed + late + filtered + quarantined_in; \
                 rows_out + quarantined_in = written + quarantined + dropped"
            }
            Self::OutOnly => {
                "rows_out + quarantined_in + duplicate_in + filtered_in = \
                 written + quarantined + dropped + duplicate + filtered"
            }
        }
    }

    /// Whether `fates` satisfies the equation.
    #[must_use]
    pub fn balances(self, fates: &Fates) -> bool {
        let f = fates;
        let kept = sum([f.written, f.quarantined, f.dropped]);
        match self {
            Self::Rows => sum([f.rows_in]) == kept + sum([f.duplicate, f.late, f.filtered]),
            Self::Aggregate => {
                sum([f.rows_in]) == sum([f.absorbed, f.late, f.filtered, f.quarantined_in])
                    && sum([f.rows_out, f.quarantined_in]) == kept
            }
            Self::OutOnly => {
                sum([f.rows_out, f.quarantined_in, f.duplicate_in, f.filtered_in])
                    == kept + sum([f.duplicate, f.filtered])
            }
        }
    }

    /// Whether `fates` satisfies `equation`, which a report printed, this version's or an older one's; `None` when it is
    /// neither.
    #[must_use]
    pub fn holds(equation: &str, fates: &Fates) -> Option<bool> {
        if let Some(ledger) = Self::ALL.into_iter().find(|ledger| ledger.equation() == equation) {
            return Some(ledger.balances(fates));
        }
        let (_, old) = OLD.into_iter().find(|(text, _)| *text == equation)?;
        // It had no word for what a last DISTINCT takes out, and counted what one on the way took out.
        let out = sum([fates.rows_out]) == sum([fates.written, fates.quarantined, fates.dropped]);
        Some(if old == Self::OutOnly { out } else { old.balances(fates) })
    }
}

/// The sum of `counts`, whatever they are: those of a report that somebody edited are checked too.
pub fn sum(counts: impl IntoIterator<Item = u64>) -> u128 {
    counts.into_iter().map(u128::from).sum()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::{Fates, Ledger, OLD};

    #[test]
    fn a_sum_has_every_fate() {
        let numbered = || {
            let names = Fates::default().named().map(|(name, _)| name);
            let numbers = names.into_iter().zip(1_u64..).map(|(name, n)| (name.to_owned(), n.into()));
            let fates: Fates = serde_json::from_value(serde_json::Value::Object(numbers.collect())).unwrap();
            fates
        };
        let mut sum = numbered();
        sum += numbered();
        assert_eq!(sum.named().map(|(_, n)| n), std::array::from_fn(|at| 2 * (at as u64 + 1)));
    }

    /// The lowest 64 bits of both sides are the same: neither a sum that wraps nor one that stops the process will do.
    #[test]
    fn counts_that_no_run_has_written_do_not_balance() {
        let most = u64::MAX;
        let rows = Fates { rows_in: 0, written: most, late: 1, ..Fates::default() };
        let aggregate = Fates { rows_in: 0, absorbed: most, late: 1, ..Fates::default() };
        let out = Fates { rows_out: 0, written: most, dropped: 1, ..Fates::default() };
        for (ledger, fates) in [(Ledger::Rows, rows), (Ledger::Aggregate, aggregate), (Ledger::OutOnly, out)] {
            assert!(!ledger.balances(&fates), "{}", ledger.equation());
        }
        for (equation, _) in OLD {
            assert_eq!(Ledger::holds(equation, &Fates { rows_in: 0, absorbed: most, late: 1, ..out }), Some(false));
        }
        let both = Fates { rows_in: most, written: most, ..Fates::default() };
        assert!(Ledger::Rows.balances(&both));
    }
}
