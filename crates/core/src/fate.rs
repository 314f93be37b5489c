//! Fates: what became of each event. Each is counted where it happens, none is computed as the rest (invariant 1).

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
    /// Rows behind the watermark of their partition, or behind the clause's (`late_clause` of them).
    pub late: u64,
    /// Of `late`: rows ahead of their own partition's watermark but at or behind the clause's, which happens only to
    /// partitions that were idle or are new.
    pub late_clause: u64,
    /// Rows kept in quarantine.
    pub quarantined: u64,
    /// Rows dropped by an expectation.
    pub dropped: u64,
    /// Rows left out by WHERE, for a NULL event time (`filtered_null_event_time` of them), or because no window can hold their
    /// event time, 290,308 years before our era.
    pub filtered: u64,
    /// Of `filtered`: rows whose event time is NULL where state needs one.
    pub filtered_null_event_time: u64,
    /// Rows that went into an aggregate's state.
    pub absorbed: u64,
    /// Rows that came out of an aggregate, before its expectations.
    pub rows_out: u64,
}

/// Which of the equations of invariant 1 a table's fates must satisfy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ledger {
    /// rows in = written + duplicate + late + quarantined + dropped + filtered
    Rows,
    /// rows in = absorbed + late + filtered, rows out = written + quarantined + dropped
    Aggregate,
    /// rows out = written + quarantined + dropped (joins, UNION, unnest)
    OutOnly,
}

impl Ledger {
    /// The equation, as reports print it.
    #[must_use]
    pub fn equation(self) -> &'static str {
        match self {
            Self::Rows => "rows_in = written + duplicate + late + quarantined + dropped + filtered",
            Self::Aggregate => "rows_in = absorbed + late + filtered; rows_out = written + quarantined + dropped",
            Self::OutOnly => "rows_out = written + quarantined + dropped",
        }
    }

    /// Whether `fates` satisfies the equation.
    #[must_use]
    pub fn balances(self, fates: &Fates) -> bool {
        let out = fates.written + fates.quarantined + fates.dropped;
        match self {
            Self::Rows => fates.rows_in == out + fates.duplicate + fates.late + fates.filtered,
            Self::Aggregate => fates.rows_in == fates.absorbed + fates.late + fates.filtered && fates.rows_out == out,
            Self::OutOnly => fates.rows_out == out,
        }
    }
}
