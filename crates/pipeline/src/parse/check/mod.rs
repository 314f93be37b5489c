//! Checks of the whole pipeline that need no schema.

mod formats;
mod graph;
mod location;
mod using;

use std::collections::BTreeMap;

use sluicebox_core::provenance::PREFIX;

use super::Context;
use super::cursor::quoted;
use crate::ast::{SourceDef, SourceKind, Span, Spanned, TableDef};
use crate::diagnostic::{Diagnostic, nearest};
use crate::formats::{ColumnsFrom, ValueFormat};
use crate::options;

pub(crate) use location::default_location;

/// Gives each table the flows that insert into it.
pub(crate) fn flows(cx: &mut Context<'_>) {
    for (target, flow) in std::mem::take(&mut cx.flows) {
        if let Some(table) = cx.tables.iter_mut().find(|t| t.name.value == target.value) {
            table.flows.push(flow);
            continue;
        }
        if cx.broken.contains(&target.value) {
            continue;
        }
        let name = &target.value;
        let other =
            cx.sources.iter().map(|s| (&s.name, "a source")).chain(cx.views.iter().map(|v| (&v.name, "a view")));
        let diagnostic = match other.into_iter().find(|(n, _)| n.value == *name) {
            Some((defined, what)) => Diagnostic::new(
                "flow-target",
                target.span,
                format!("{} is {what}: a flow inserts into a streaming table", quoted(name)),
                "not a streaming table",
            )
            .with_related(defined.span, "defined here"),
            None => {
                let near = nearest(name, cx.tables.iter().map(|t| t.name.value.as_str()));
                let help = near.map_or_else(
                    || format!("define it with CREATE STREAMING TABLE {name}, with or without a query of its own"),
                    |near| format!("did you mean {near}?"),
                );
                Diagnostic::new(
                    "unknown-table",
                    target.span,
                    format!("there is no streaming table {}", quoted(name)),
                    "not defined",
                )
                .with_help(help)
            }
        };
        cx.found.push(diagnostic);
    }
}

/// Gives each source the formats that its options name.
pub(crate) fn encodings(cx: &mut Context<'_>) {
    let vocabulary = cx.vocabulary;
    for source in &mut cx.sources {
        // What is no format has been told.
        source.value_format =
            source.option("value.format").and_then(|name| vocabulary.format(name)).unwrap_or(ValueFormat::AVRO);
        source.key_format = source.option("key.format").and_then(|name| vocabulary.format(name));
    }
}

/// Every check there is.
pub(crate) fn all(cx: &mut Context<'_>) {
    let mut found = Vec::new();
    names(cx, &mut found);
    for source in &cx.sources {
        if !cx.broken.contains(&source.name.value) {
            source_options(source, &mut found);
            formats::check(source, cx.vocabulary, &mut found);
        }
    }
    for table in &cx.tables {
        constraints(table, &mut found);
        partitions(table, &mut found);
        using::check(table, cx.vocabulary, &mut found);
        if table.flows.is_empty() && !cx.broken.contains(&table.name.value) {
            let name = &table.name.value;
            found.push(
                Diagnostic::new(
                    "table-without-query",
                    table.name.span,
                    format!("nothing feeds the table {}", quoted(name)),
                    "no query",
                )
                .with_help(format!(
                    "write AS SELECT ... FROM STREAM ..., or CREATE FLOW name AS INSERT INTO {name} SELECT ..."
                )),
            );
        }
    }
    location::check(&cx.tables, &mut found);
    graph::check(cx, &mut found);
    if cx.tables.is_empty() && cx.broken.is_empty() && cx.found.is_empty() && found.is_empty() {
        found.push(
            Diagnostic::new(
                "no-table",
                Span::default(),
                "the pipeline has no streaming table, so there is nothing to run",
                "nothing is written",
            )
            .with_help("write CREATE STREAMING TABLE name AS SELECT ... FROM STREAM ..."),
        );
    }
    cx.found.append(&mut found);
}

/// Every name is defined once, and none is ours.
fn names(cx: &Context<'_>, found: &mut Vec<Diagnostic>) {
    let mut seen: BTreeMap<&str, (Span, &str)> = BTreeMap::new();
    let sources = cx.sources.iter().map(|s| (&s.name, "source"));
    let views = cx.views.iter().map(|v| (&v.name, "view"));
    let tables = cx.tables.iter().map(|t| (&t.name, "streaming table"));
    let mut all: Vec<(&Spanned<String>, &str)> = sources.chain(views).chain(tables).collect();
    all.sort_by_key(|(name, _)| name.span.start);
    for (name, what) in all {
        reserved(name, what, found);
        if !crate::values::is_name(&name.value) && !name.value.to_lowercase().starts_with(PREFIX) {
            found.push(
                Diagnostic::new(
                    "bad-name",
                    name.span,
                    format!("{} cannot name a {what}: it names folders too", quoted(&name.value)),
                    "this name",
                )
                .with_help("take letters, digits, _ and -, and start with a letter or digit"),
            );
        }
        if let Some((first, kind)) = seen.get(name.value.as_str()) {
            found.push(
                Diagnostic::new(
                    "duplicate-name",
                    name.span,
                    format!("the name {} is taken", quoted(&name.value)),
                    "the second one",
                )
                .with_help("give one of them another name")
                .with_related(*first, format!("the {kind} of this name")),
            );
        } else {
            seen.insert(&name.value, (name.span, what));
        }
    }
    let mut flows: BTreeMap<&str, Span> = BTreeMap::new();
    for flow in cx.tables.iter().flat_map(|t| t.flows.iter().filter(|f| f.name.span != t.name.span)) {
        reserved(&flow.name, "flow", found);
        let taken =
            flows.get(flow.name.value.as_str()).copied().or_else(|| seen.get(flow.name.value.as_str()).map(|s| s.0));
        if let Some(first) = taken {
            found.push(
                Diagnostic::new(
                    "duplicate-name",
                    flow.name.span,
                    format!("the name {} is taken", quoted(&flow.name.value)),
                    "the second one",
                )
                .with_help("give the flow another name: it names state in the checkpoint")
                .with_related(first, "the first one"),
            );
        }
        flows.insert(&flow.name.value, flow.name.span);
    }
}

fn reserved(name: &Spanned<String>, what: &str, found: &mut Vec<Diagnostic>) {
    if name.value.to_lowercase().starts_with(PREFIX) {
        found.push(
            Diagnostic::new(
                "reserved-name",
                name.span,
                format!("names that start with {PREFIX} are for hidden columns"),
                format!("the {what}'s name"),
            )
            .with_help("take another name"),
        );
    }
}

/// That a source whose topics the option `key` names by a pattern names the subjects of its schemas.
fn subjects(source: &SourceDef, key: &Spanned<String>, found: &mut Vec<Diagnostic>) {
    if key.value != "subscribePattern" {
        return;
    }
    let name = quoted(&source.name.value);
    for (format, option, what) in
        [(Some(ValueFormat::of(source)), "value.subject", "rows"), (ValueFormat::of_key(source), "key.subject", "keys")]
    {
        let needs_schema = format.is_some_and(|format| format.words().columns == ColumnsFrom::Registry);
        if needs_schema && options::get(source, option).is_none() {
            let message = format!("the source {name} does not say which schema its {what} have");
            found.push(
                Diagnostic::new("missing-option", key.span, message, "any topic may match")
                    .with_help(format!("add '{option}' = 'the registry's subject' to its OPTIONS")),
            );
        }
    }
}

/// The options that only together are right.
fn source_options(source: &SourceDef, found: &mut Vec<Diagnostic>) {
    if source.kind.value == SourceKind::KAFKA {
        topics(source, found);
    }
    let name = quoted(&source.name.value);
    let auth: Vec<_> = source.options.iter().filter(|(k, _)| k.value.starts_with("schema.registry.b")).collect();
    if let [first, second, ..] = auth.as_slice() {
        found.push(
            Diagnostic::new(
                "conflicting-options",
                second.0.span,
                format!("the source {name} has two secrets for its registry"),
                "the second one",
            )
            .with_help("keep one of them")
            .with_related(first.0.span, "the first one"),
        );
    }
}

/// The options that say which topics are read.
fn topics(source: &SourceDef, found: &mut Vec<Diagnostic>) {
    let name = quoted(&source.name.value);
    let which = ["subscribe", "assign", "subscribePattern"];
    let given: Vec<_> = source.options.iter().filter(|(k, _)| which.contains(&k.value.as_str())).collect();
    match given.as_slice() {
        [(key, _)] => subjects(source, key, found),
        [] => found.push(
            Diagnostic::new(
                "missing-option",
                source.name.span,
                format!("the source {name} names no topic"),
                "no topic",
            )
            .with_help("add 'subscribe' = 'topic' to its OPTIONS"),
        ),
        [first, second, ..] => found.push(
            Diagnostic::new(
                "conflicting-options",
                second.0.span,
                format!("the source {name} names its topics twice"),
                "the second time",
            )
            .with_help("keep one of subscribe, assign and subscribePattern")
            .with_related(first.0.span, "the first time"),
        ),
    }
    let sample = source.options.iter().find(|(k, _)| k.value == "sample");
    let one_topic = options::get(source, "subscribe").is_some_and(|t| crate::values::names(t).len() == 1);
    if let (Some((key, _)), false, [_]) = (sample, one_topic, given.as_slice()) {
        found.push(
            Diagnostic::new("conflicting-options", key.span, "sample fills one topic", "but not one topic is named")
                .with_help("write 'subscribe' = 'topic' with one topic"),
        );
    }
}

fn constraints(table: &TableDef, found: &mut Vec<Diagnostic>) {
    for (i, constraint) in table.constraints.iter().enumerate() {
        reserved(&constraint.name, "constraint", found);
        if let Some(first) = table.constraints[..i].iter().find(|c| c.name.value == constraint.name.value) {
            found.push(
                Diagnostic::new(
                    "duplicate-constraint",
                    constraint.name.span,
                    format!("the constraint {} is given twice", quoted(&constraint.name.value)),
                    "the second one",
                )
                .with_help("give one of them another name: reports count by it")
                .with_related(first.name.span, "the first one"),
            );
        }
    }
}

fn partitions(table: &TableDef, found: &mut Vec<Diagnostic>) {
    for (i, column) in table.partitioned_by.iter().enumerate() {
        if column.value.starts_with(['_', '.']) {
            found.push(
                Diagnostic::new(
                    "hidden-partition",
                    column.span,
                    format!("{} cannot be a partition column", quoted(&column.value)),
                    "starts with _ or .",
                )
                .with_note("the column's name becomes a folder's, and readers pass over folders that start with _ or .")
                .with_help(format!(
                    "select it under another name, as in {} AS {}",
                    column.value,
                    column.value.trim_start_matches(['_', '.'])
                )),
            );
        }
        if let Some(first) = table.partitioned_by[..i].iter().find(|c| c.value == column.value) {
            found.push(
                Diagnostic::new(
                    "duplicate-partition",
                    column.span,
                    format!("{} is a partition column twice", quoted(&column.value)),
                    "the second time",
                )
                .with_help("keep one of them")
                .with_related(first.span, "the first time"),
            );
        }
    }
}

/// Takes out the mistakes that another one of the same place already tells.
pub(crate) fn without_echoes(found: &mut Vec<Diagnostic>) {
    let told: Vec<Span> = found.iter().filter(|d| d.code == "missing-stream").map(|d| d.span).collect();
    found.retain(|d| d.code != "watermark-without-stream" || !d.related.iter().any(|(span, _)| told.contains(span)));
}
