//! Two versions of a pipeline compared: a verdict for each source and table, with its reasons. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sluicebox_checkpoint::shape::{Shape, SourceShape};

use super::retired::Retired;
use super::table;
use super::ways::Way;

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
pub enum Kind {
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
    pub kind: Kind,
    /// The worst of its differences.
    pub verdict: Verdict,
    /// Its differences.
    pub differences: Vec<Difference>,
    /// The ways on, when there is something to decide; see [`super::resolve`].
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
pub struct Facts {
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

/// Compares. The ways on are left out.
#[must_use]
pub fn compare(old: &Shape, new: &Shape, facts: &Facts) -> Vec<Change> {
    let mut changes = Vec::new();
    for name in old.sources.keys().chain(new.sources.keys()).collect::<BTreeSet<_>>() {
        let (kind, differences) = match (old.sources.get(name), new.sources.get(name)) {
            (Some(old), Some(new)) => (Kind::Changed, source(name, old, new, facts)),
            (None, _) => (Kind::Added, vec![added_source(facts)]),
            (_, None) => (Kind::Removed, vec![removed_source()]),
        };
        changes.push(change(Subject::Source, name, kind, differences));
    }
    for name in old.tables.keys().chain(new.tables.keys()).collect::<BTreeSet<_>>() {
        let (kind, differences) = match (old.tables.get(name), new.tables.get(name)) {
            (Some(before), Some(after)) => (Kind::Changed, table::differences((old, before), (new, after), facts)),
            (None, Some(_)) => (Kind::Added, vec![table::added(name, new, facts)]),
            (Some(before), None) => (Kind::Removed, vec![table::removed(before, facts)]),
            (None, None) => continue,
        };
        changes.push(change(Subject::Table, name, kind, differences));
    }
    changes
}

fn change(subject: Subject, name: &str, kind: Kind, differences: Vec<Difference>) -> Change {
    let verdict = differences.iter().map(|d| d.verdict).max().unwrap_or(Verdict::Unchanged);
    let kind = if differences.is_empty() { Kind::Same } else { kind };
    Change { subject, name: name.to_owned(), kind, verdict, differences, ways: Vec::new() }
}

pub(super) fn difference(
    verdict: Verdict,
    matter: Matter,
    what: impl Into<String>,
    effect: impl Into<String>,
) -> Difference {
    Difference { verdict, matter, what: what.into(), effect: effect.into() }
}

/// `from batch 7 on`.
pub(super) fn from(facts: &Facts) -> String {
    format!("from batch {} on", facts.from_batch)
}

fn added_source(facts: &Facts) -> Difference {
    let effect = format!("{}, read from its startingOffsets", from(facts));
    difference(Verdict::Safe, Matter::Rows, "it is new", effect)
}

fn removed_source() -> Difference {
    difference(
        Verdict::Safe,
        Matter::Rows,
        "it is gone",
        "the checkpoint keeps where it stood: put back, it goes on from there",
    )
}

fn source(name: &str, old: &SourceShape, new: &SourceShape, facts: &Facts) -> Vec<Difference> {
    let mut found = Vec::new();
    if old.kind != new.kind {
        found.push(difference(
            Verdict::Refused,
            Matter::Source,
            format!("it was USING {}, it is USING {}", old.kind, new.kind),
            "the checkpoint's offsets are those of the old one",
        ));
    }
    found.extend(topics(name, old, new, facts));
    let keys = old.options.keys().chain(new.options.keys()).collect::<BTreeSet<_>>();
    for key in keys {
        let (before, after) = (old.options.get(key), new.options.get(key));
        if before == after {
            continue;
        }
        let what = format!("'{key}' was {}, is {}", shown(before), shown(after));
        let effect = match key.as_str() {
            "startingOffsets" => {
                "no effect: it counts for the very first start; the checkpoint says where to go on".to_owned()
            }
            "value.subject" | "value.schema.version" => {
                "no effect yet: the reader schema is pinned; `run --repin SOURCE` adopts the one that is named"
                    .to_owned()
            }
            _ => from(facts),
        };
        found.push(difference(Verdict::Safe, Matter::Rows, what, effect));
    }
    found
}

fn topics(name: &str, old: &SourceShape, new: &SourceShape, facts: &Facts) -> Option<Difference> {
    let list = |s: &SourceShape| {
        let topics: Vec<&str> = s.topics.iter().map(String::as_str).collect();
        format!("'{}' = '{}'", s.selection, topics.join(","))
    };
    if old.selection == new.selection && old.topics == new.topics {
        return None;
    }
    let what = format!("it read {}, it reads {}", list(old), list(new));
    if old.selection == new.selection && new.topics.is_superset(&old.topics) {
        let more: Vec<&str> = new.topics.difference(&old.topics).map(String::as_str).collect();
        let effect = format!("{} is read from its first offset", more.join(", "));
        return Some(difference(Verdict::Safe, Matter::Rows, what, effect));
    }
    if facts.unread.contains(name) {
        let effect = "nothing was read of it so far: it is read from the beginning";
        return Some(difference(Verdict::Safe, Matter::Rows, what, effect));
    }
    let effect = match facts.committed {
        true => "the tables hold rows of what it read, and the checkpoint's offsets are of that",
        false => "the checkpoint's offsets are of what it read",
    };
    Some(difference(Verdict::Refused, Matter::Source, what, effect))
}

fn shown(value: Option<&String>) -> String {
    value.map_or_else(|| "not set".to_owned(), |v| format!("'{v}'"))
}
