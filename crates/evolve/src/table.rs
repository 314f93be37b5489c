//! What changed in one table. Pure.

use std::collections::{BTreeMap, BTreeSet};

use sluicebox_checkpoint::shape::{ColumnShape, FlowShape, OperatorShape, Shape, TableShape};
use sluicebox_pipeline::graph::{AggregateNode, Gone, KINDS, OperatorKind};

use crate::verdict::{ChangeFacts, Difference, Matter, Verdict, difference, from};

type Side<'a> = (&'a Shape, &'a TableShape);

/// The differences between two versions of a table.
pub(super) fn differences(old: Side<'_>, new: Side<'_>, facts: &ChangeFacts) -> Vec<Difference> {
    let mut found = Vec::new();
    found.extend(place(old.1, new.1));
    found.extend(partitions(old.1, new.1));
    found.extend(columns(&old.1.columns, &new.1.columns, facts));
    flows(old.1, new.1, facts, &mut found);
    operators(old, new, facts, &mut found);
    clauses(old.1, new.1, facts, &mut found);
    settings(old.1, new.1, facts, &mut found);
    if !facts.committed {
        // There is neither a row nor any state that something could not fit.
        for difference in &mut found {
            difference.verdict = Verdict::Safe;
            difference.effect = "no batch was committed yet".to_owned();
        }
    }
    found
}

/// The one difference of a table that is new.
pub(super) fn added(name: &str, new: &Shape, facts: &ChangeFacts) -> Difference {
    if facts.occupied.contains(name) {
        let location = new.tables.get(name).map(|t| t.location.as_str()).unwrap_or_default();
        return difference(
            Verdict::Refused,
            Matter::Files,
            "it is new, and its folder has files already",
            format!("the checkpoint does not know the files in {location}: rows would stand there twice"),
        );
    }
    difference(Verdict::Safe, Matter::Rows, "it is new", from(facts))
}

/// The one difference of a table that is gone.
pub(super) fn removed(old: &TableShape, facts: &ChangeFacts) -> Difference {
    let state = if old.operators.is_empty() { "" } else { "; what it remembers is forgotten" };
    let stays = match old.folder() {
        Some(_) => format!("its files stay in {} with its mark", old.location),
        None => format!("what is in {} stays there", old.location),
    };
    difference(
        Verdict::Safe,
        Matter::Rows,
        "it is gone",
        format!("nothing is written to it {}; {stays}{state}", from(facts)),
    )
}

fn place(old: &TableShape, new: &TableShape) -> Option<Difference> {
    (old.location != new.location).then(|| {
        difference(
            Verdict::Refused,
            Matter::Place,
            format!("its location was {}, is {}", old.location, new.location),
            "its rows would lie in two folders",
        )
    })
}

fn partitions(old: &TableShape, new: &TableShape) -> Option<Difference> {
    (old.partitioned_by != new.partitioned_by).then(|| {
        let list = |columns: &[String]| match columns {
            [] => "none".to_owned(),
            columns => columns.join(", "),
        };
        let (old, new) = (list(&old.partitioned_by), list(&new.partitioned_by));
        difference(
            Verdict::Choice,
            Matter::Files,
            format!("its partition columns were {old}, are {new}"),
            "no reader can glob folders of both kinds as one table",
        )
    })
}

fn columns(old: &[ColumnShape], new: &[ColumnShape], facts: &ChangeFacts) -> Vec<Difference> {
    let of = |columns: &[ColumnShape]| columns.iter().map(|c| (c.name.clone(), c.clone())).collect::<BTreeMap<_, _>>();
    let (before, after) = (of(old), of(new));
    let mut found = Vec::new();
    for column in old {
        let name = &column.name;
        match after.get(name) {
            None => found.push(difference(
                Verdict::Choice,
                Matter::Files,
                format!("column {name} ({}) is gone", column.r#type),
                format!(
                    "readers of its files expect it in each of them; write NULL AS {name} to keep it: \
                     CAST(NULL AS {}) AS {name}",
                    column.r#type
                ),
            )),
            Some(now) if now.r#type != column.r#type && now.r#type == written_now(&column.r#type) => {
                let what = format!("column {name} was {}, is written as {}", column.r#type, now.r#type);
                let effect = format!("{}, which every reader takes; the files before stay as they are", from(facts));
                found.push(difference(Verdict::Safe, Matter::Files, what, effect));
            }
            Some(now) if now.r#type != column.r#type => found.push(difference(
                Verdict::Choice,
                Matter::Files,
                format!("column {name} was {}, is {}", column.r#type, now.r#type),
                "files of both types cannot be read as one table",
            )),
            Some(now) if now.nullable && !column.nullable => {
                found.push(difference(Verdict::Safe, Matter::Rows, format!("column {name} may be NULL"), from(facts)))
            }
            Some(_) => {}
        }
    }
    for column in new.iter().filter(|c| !before.contains_key(&c.name)) {
        found.push(difference(
            Verdict::Safe,
            Matter::Rows,
            format!("column {} ({}) is new", column.name, column.r#type),
            format!("{}; the files before have none of it: readers that take columns by name see NULL", from(facts)),
        ));
    }
    found
}

/// How a column is written now whose type an older version wrote as it was computed: see [`sluicebox_core::stored`].
fn written_now(r#type: &str) -> String {
    let units = ["(0)", "(3)", "(9)"].iter().fold(r#type.to_owned(), |text, unit| {
        text.replace(&format!("timestamp{unit}"), "timestamp").replace(&format!("timestamp_ntz{unit}"), "timestamp_ntz")
    });
    [
        ("unsigned tinyint", "smallint"),
        ("unsigned smallint", "int"),
        ("unsigned int", "bigint"),
        ("unsigned bigint", "decimal(20,0)"),
    ]
    .iter()
    .fold(units, |text, (was, is)| text.replace(was, is))
}

fn flows(old: &TableShape, new: &TableShape, facts: &ChangeFacts, found: &mut Vec<Difference>) {
    for (name, before) in &old.flows {
        match new.flows.get(name) {
            None => found.push(difference(
                Verdict::Safe,
                Matter::Rows,
                format!("flow {name} is gone"),
                format!("it brings no rows {}; those that it brought stay", from(facts)),
            )),
            Some(after) if after.reads != before.reads => found.push(difference(
                Verdict::Refused,
                Matter::Place,
                format!("{} read {}, reads {}", flow_name(name, new), list(&before.reads), list(&after.reads)),
                "where one upstream was left and another is begun, rows would be missing or doubled",
            )),
            Some(after) if after.plans != before.plans => {
                let Some(what) = query_change(&flow_name(name, new), before, after) else { continue };
                let open = if new.operators.is_empty() {
                    ""
                } else {
                    "; the state keeps rows of the old and of the new query"
                };
                found.push(difference(
                    Verdict::Safe,
                    Matter::Rows,
                    what,
                    format!("{}; the files before stay as they are{open}", from(facts)),
                ));
            }
            Some(_) => {}
        }
    }
    for (name, flow) in new.flows.iter().filter(|(name, _)| !old.flows.contains_key(*name)) {
        found.push(difference(
            Verdict::Safe,
            Matter::Rows,
            format!("flow {name} is new, and reads {}", list(&flow.reads)),
            format!("it brings rows {}", from(facts)),
        ));
    }
}

fn flow_name(name: &str, table: &TableShape) -> String {
    if table.flows.len() == 1 { "its query".to_owned() } else { format!("flow {name}") }
}

/// The steps that are gone and those that are new, or that only columns were chosen otherwise. None if only operators
/// changed, which are told of by themselves.
fn query_change(name: &str, old: &FlowShape, new: &FlowShape) -> Option<String> {
    let stateful = |step: &str| KINDS.iter().flat_map(|kind| kind.steps).any(|begins| step.starts_with(begins));
    let gone: Vec<&String> = old.steps.iter().filter(|s| !new.steps.contains(s)).collect();
    let come: Vec<&String> = new.steps.iter().filter(|s| !old.steps.contains(s)).collect();
    let operators = gone.iter().chain(&come).any(|s| stateful(s));
    let quoted = |steps: &[&String]| {
        let steps: Vec<String> = steps.iter().filter(|s| !stateful(s)).map(|s| format!("`{s}`")).collect();
        (!steps.is_empty()).then(|| steps.join(", "))
    };
    match (quoted(&gone), quoted(&come)) {
        (None, None) if operators => None,
        (None, None) => Some(format!("{name} chooses or names columns otherwise")),
        (Some(gone), None) => Some(format!("{name} no longer has {gone}")),
        (None, Some(come)) => Some(format!("{name} has {come} as well")),
        (Some(gone), Some(come)) => Some(format!("{name} had {gone}, has {come}")),
    }
}

fn operators(old: Side<'_>, new: Side<'_>, facts: &ChangeFacts, found: &mut Vec<Difference>) {
    for (id, before) in &old.1.operators {
        match new.1.operators.get(id) {
            Some(after) => found.extend(operator(id, (old.0, before), new, after, facts)),
            None => {
                let what = format!("{id} is gone");
                found.push(match kind_of(before).gone {
                    Gone::Harmless(rows, state) => {
                        let effect = format!("{rows} {}, and {state}", from(facts));
                        difference(Verdict::Safe, Matter::Rows, what, effect)
                    }
                    Gone::Loses(effect) => difference(Verdict::Choice, Matter::State, what, effect),
                });
            }
        }
    }
    for (id, after) in new.1.operators.iter().filter(|(id, _)| !old.1.operators.contains_key(*id)) {
        // A flow that is new brings an operator of its own, which has nothing to remember.
        let flow = id.rsplitn(3, '.').nth(2).unwrap_or_default();
        if !old.1.flows.contains_key(flow) {
            continue;
        }
        found.push(difference(Verdict::Choice, Matter::State, format!("{id} is new"), kind_of(after).lacks));
    }
}

/// The kind of an operator. One that this version does not know is taken for what loses the most.
fn kind_of(operator: &OperatorShape) -> &'static OperatorKind {
    OperatorKind::named(&operator.kind).unwrap_or(&AggregateNode::KIND)
}

fn operator(
    id: &str,
    old: (&Shape, &OperatorShape),
    new: Side<'_>,
    after: &OperatorShape,
    facts: &ChangeFacts,
) -> Vec<Difference> {
    let before = old.1;
    let mut was = Vec::new();
    if before.keys != after.keys {
        was.push(format!("keys {} are {}", words(&before.keys), words(&after.keys)));
    }
    if before.computes != after.computes {
        was.push(format!("{} is {}", words(&before.computes), words(&after.computes)));
    }
    if (before.window, &before.windows) != (after.window, &after.windows) {
        let said = |shape: &OperatorShape| shape.windows.clone().unwrap_or_else(|| window(shape.window));
        was.push(format!("windows of {} are of {}", said(before), said(after)));
    }
    if before.remembers != after.remembers {
        was.push(format!("keys kept {} are kept {}", kept(before.remembers), kept(after.remembers)));
    }
    let mut found = Vec::new();
    for clause in before.clauses.union(&after.clauses) {
        match (old.0.clause(clause), new.0.clause(clause)) {
            (Some(a), Some(b)) if (&a.column, &a.upstream) != (&b.column, &b.upstream) => {
                let (a, b) = (format!("{} of {}", a.column, a.upstream), format!("{} of {}", b.column, b.upstream));
                was.push(format!("event time {a} is {b}"));
            }
            // A clause of the table's own is told of by itself.
            (Some(a), Some(b))
                if a.delay != b.delay && kind_of(after).bears_other_delay && !new.1.clauses.contains_key(clause) =>
            {
                found.push(difference(
                    Verdict::Safe,
                    Matter::Rows,
                    format!("its watermark's delay was {}, is {}", a.delay, b.delay),
                    format!("{}; the watermark stays where it is until the new delay passes it", from(facts)),
                ));
            }
            (Some(_), Some(_)) => {}
            _ => was.push(format!("the watermark {clause} is not the one it had")),
        }
    }
    if !was.is_empty() {
        found.push(difference(
            Verdict::Choice,
            Matter::State,
            format!("{id}: {}", was.join("; ")),
            "what it remembers means nothing to the new query",
        ));
    } else if before.state != after.state {
        found.push(difference(
            Verdict::Choice,
            Matter::State,
            format!("{id}: its state was made under other names, or by another version"),
            "what it remembers cannot be read",
        ));
    }
    found
}

fn clauses(old: &TableShape, new: &TableShape, facts: &ChangeFacts, found: &mut Vec<Difference>) {
    for id in old.clauses.keys().chain(new.clauses.keys()).collect::<BTreeSet<_>>() {
        let what = match (old.clauses.get(id), new.clauses.get(id)) {
            (Some(a), Some(b)) if a == b => continue,
            (Some(a), Some(b)) if (&a.column, &a.upstream) == (&b.column, &b.upstream) => {
                format!("the delay of {} was {}, is {}", a.column, a.delay, b.delay)
            }
            (Some(a), Some(b)) => {
                format!("the event time was {} of {}, is {} of {}", a.column, a.upstream, b.column, b.upstream)
            }
            (None, Some(b)) => format!("it has a watermark, {} with a delay of {}", b.column, b.delay),
            (Some(a), None) => format!("it has no watermark any more; it was {} with a delay of {}", a.column, a.delay),
            (None, None) => continue,
        };
        found.push(difference(
            Verdict::Safe,
            Matter::Rows,
            what,
            format!("rows are judged late or not by it {}", from(facts)),
        ));
    }
}

fn settings(old: &TableShape, new: &TableShape, facts: &ChangeFacts, found: &mut Vec<Difference>) {
    for name in old.expectations.keys().chain(new.expectations.keys()).collect::<BTreeSet<_>>() {
        let what = match (old.expectations.get(name), new.expectations.get(name)) {
            (Some(a), Some(b)) if a == b => continue,
            (Some(a), Some(b)) if a.condition == b.condition && a.values == b.values => {
                format!("expectation {name}: {} is {}", a.action, b.action)
            }
            (Some(a), Some(b)) if a.condition == b.condition => {
                format!("expectation {name}: a variable in `{}` has another value", b.condition)
            }
            (Some(a), Some(b)) => format!("expectation {name}: `{}` is `{}`", a.condition, b.condition),
            (None, _) => format!("expectation {name} is new"),
            (_, None) => format!("expectation {name} is gone"),
        };
        found.push(difference(Verdict::Safe, Matter::Rows, what, format!("rows are judged by it {}", from(facts))));
    }
    for key in old.properties.keys().chain(new.properties.keys()).collect::<BTreeSet<_>>() {
        let shown = |value: Option<&String>| value.map_or_else(|| "not set".to_owned(), |v| format!("'{v}'"));
        let (a, b) = (old.properties.get(key), new.properties.get(key));
        if a != b {
            let what = format!("'{key}' was {}, is {}", shown(a), shown(b));
            found.push(difference(Verdict::Safe, Matter::Rows, what, format!("files are written so {}", from(facts))));
        }
    }
}

fn list(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn words(items: &[String]) -> String {
    match items {
        [] => "nothing".to_owned(),
        items => format!("`{}`", items.join(", ")),
    }
}

fn window(window: Option<[i64; 3]>) -> String {
    let Some([size, slide, offset]) = window else { return "none".to_owned() };
    let mut words = seconds(size);
    if slide != size {
        words.push_str(&format!(" every {}", seconds(slide)));
    }
    if offset != 0 {
        words.push_str(&format!(" shifted by {}", seconds(offset)));
    }
    words
}

fn kept(micros: Option<i64>) -> String {
    micros.map_or_else(|| "for ever".to_owned(), |m| format!("for {}", seconds(m)))
}

fn seconds(micros: i64) -> String {
    sluicebox_pipeline::bind::duration(micros)
}
