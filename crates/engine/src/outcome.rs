//! The outcome of a batch.

use std::collections::BTreeMap;
use std::time::Duration;

use sluicebox_checkpoint::records::Offsets;
use sluicebox_core::station::AllSpent;
use sluicebox_runtime::graph::{OperatorChange, TableOutput};

use crate::report::SourceTally;

/// What a batch did; for progress.
#[derive(Debug)]
pub struct BatchOutcome {
    /// Its plan.
    pub offsets: Offsets,
    /// What was read, by source.
    pub sources: Vec<SourceTally>,
    /// What the tables gave; rows are dropped, counts stay.
    pub tables: Vec<TableOutput>,
    /// The operators after it.
    pub operators: Vec<OperatorChange>,
    /// The watermarks after it, by clause.
    pub watermarks_after: BTreeMap<String, Option<i64>>,
    /// Time by step.
    pub durations: BTreeMap<&'static str, Duration>,
    /// What each station took since the batch before was over; also for the one after it, as far as it is read ahead.
    pub spent: AllSpent,
}
