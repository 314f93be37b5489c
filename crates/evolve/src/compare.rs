//! Compares two versions of a pipeline: a verdict for each source and table, with its reasons. Pure.

use std::collections::BTreeSet;

use sluicebox_checkpoint::shape::{Shape, SourceShape};

use crate::table;
use crate::verdict::{Change, ChangeFacts, ChangeKind, Difference, Matter, Subject, Verdict, difference, from};

/// Compares. The ways on are left out.
#[must_use]
pub fn compare(old: &Shape, new: &Shape, facts: &ChangeFacts) -> Vec<Change> {
    let mut changes = Vec::new();
    for name in old.sources.keys().chain(new.sources.keys()).collect::<BTreeSet<_>>() {
        let (kind, differences) = match (old.sources.get(name), new.sources.get(name)) {
            (Some(old), Some(new)) => (ChangeKind::Changed, source(name, old, new, facts)),
            (None, _) => (ChangeKind::Added, vec![added_source(facts)]),
            (_, None) => (ChangeKind::Removed, vec![removed_source()]),
        };
        changes.push(change(Subject::Source, name, kind, differences));
    }
    for name in old.tables.keys().chain(new.tables.keys()).collect::<BTreeSet<_>>() {
        let (kind, differences) = match (old.tables.get(name), new.tables.get(name)) {
            (Some(before), Some(after)) => {
                (ChangeKind::Changed, table::differences((old, before), (new, after), facts))
            }
            (None, Some(_)) => (ChangeKind::Added, vec![table::added(name, new, facts)]),
            (Some(before), None) => (ChangeKind::Removed, vec![table::removed(before, facts)]),
            (None, None) => continue,
        };
        changes.push(change(Subject::Table, name, kind, differences));
    }
    changes
}

fn change(subject: Subject, name: &str, kind: ChangeKind, differences: Vec<Difference>) -> Change {
    let verdict = differences.iter().map(|d| d.verdict).max().unwrap_or(Verdict::Unchanged);
    let kind = if differences.is_empty() { ChangeKind::Same } else { kind };
    Change { subject, name: name.to_owned(), kind, verdict, differences, ways: Vec::new() }
}

fn added_source(facts: &ChangeFacts) -> Difference {
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

fn source(name: &str, old: &SourceShape, new: &SourceShape, facts: &ChangeFacts) -> Vec<Difference> {
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
            "value.subject" | "value.schema.version" | "key.subject" | "key.schema.version" => {
                "no effect yet: the reader schema is pinned; `run --repin SOURCE` adopts the one that is named"
                    .to_owned()
            }
            _ => from(facts),
        };
        found.push(difference(Verdict::Safe, Matter::Rows, what, effect));
    }
    found
}

fn topics(name: &str, old: &SourceShape, new: &SourceShape, facts: &ChangeFacts) -> Option<Difference> {
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
