//! The verdict on a difference between two versions of a pipeline.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::retired::Retired;

/// How much a difference matters; the worst of a table's is the table's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// There is none.
    Unchanged,
    /// The next run adopts it.
    Safe,
    /// There is more than one way on, and somebody has to say which.
    Choice,
    /// What is there cannot go on with it.
    Refused,
}

/// What a difference is about, which decides the ways on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Matter {
    /// Nothing that is kept: the rows to come.
    Rows,
    /// State that means nothing to the new query.
    State,
    /// Files that do not fit those to come.
    Files,
    /// Where the table's rows come from, or where they go.
    Place,
    /// What a source reads.
    Source,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// How much it matters.
    pub verdict: Verdict,
    /// What it is about.
    pub matter: Matter,
    /// What was, and what is.
    pub what: String,
    /// What comes of it.
    pub effect: String,
}

/// A source or a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A source.
    Source,
    /// A streaming table.
    Table,
}

/// What happened to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It is as it was.
    Same,
    /// It is another.
    Changed,
    /// It was not there.
    Added,
    /// It is gone.
    Removed,
}

/// What became of one source or table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Source or table.
    pub subject: Subject,
    /// Its name.
    pub name: String,
    /// What happened to it.
    pub kind: ChangeKind,
    /// The worst of its differences.
    pub verdict: Verdict,
    /// Its differences.
    pub differences: Vec<Difference>,
    /// The ways on, when there is something to decide; see [`crate::resolve`].
    pub ways: Vec<Way>,
}

/// A pipeline compared with that of its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// The checkpoint's folder.
    pub checkpoint: String,
    /// The worst of all verdicts.
    pub verdict: Verdict,
    /// The first batch under the new pipeline.
    pub from_batch: u64,
    /// Whether that batch was planned under the old one: it is replayed under the new one.
    pub replays: bool,
    /// The number of the pipeline that it was compared with, as in `pipelines/<n>`; 0 if there is no such record.
    pub compared_with: u64,
    /// The sources, then the tables, in the order of their names.
    pub changes: Vec<Change>,
}

/// What is known beside the two shapes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeFacts {
    /// Whether a batch was committed: without one there are neither rows nor state.
    pub committed: bool,
    /// The first batch under the new pipeline.
    pub from_batch: u64,
    /// The new tables whose folder has files already.
    pub occupied: BTreeSet<String>,
    /// The tables whose backfill has not ended.
    pub unfinished: BTreeSet<String>,
    /// The sources of which no partition was ever found: no batch has read anything of them.
    pub unread: BTreeSet<String>,
    /// What tables have retired; nobody looks where no table begins anew.
    pub retired: BTreeMap<String, Retired>,
    /// The columns of tables that may not be NULL, and that some of their rows, older than they, have none of; nobody looks where no
    /// table begins anew.
    pub lacking: BTreeMap<String, BTreeSet<String>>,
}

/// A way on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Way {
    /// The command, if it is one.
    pub command: Option<String>,
    /// What it does.
    pub what: String,
}

pub(crate) fn difference(
    verdict: Verdict,
    matter: Matter,
    what: impl Into<String>,
    effect: impl Into<String>,
) -> Difference {
    Difference { verdict, matter, what: what.into(), effect: effect.into() }
}

/// `from batch 7 on`.
pub(crate) fn from(facts: &ChangeFacts) -> String {
    format!("from batch {} on", facts.from_batch)
}
