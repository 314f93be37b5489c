//! Checks what queries read: it exists, streams are read as streams, and no table feeds itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast as sql;
use datafusion::sql::sqlparser::ast::{Spanned as _, Visitor};

use super::super::Context;
use super::super::cursor::quoted;
use super::super::views::{Scopes, ident};
use crate::ast::{Query, Span};
use crate::diagnostic::{Diagnostic, byte_span, nearest};
use crate::visit;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Source,
    View,
    Table,
}

/// One reading of a name by a table or view.
struct Read {
    from: String,
    to: String,
    span: Span,
}

/// The tables and views that a query names without STREAM, and the names that WITH gives in it.
#[derive(Default)]
struct Relations {
    /// Name as it is looked up, name as it is written, alias.
    tables: Vec<(String, sql::ObjectName, Option<String>)>,
    ctes: BTreeSet<String>,
    scopes: Scopes,
}

impl Visitor for Relations {
    type Break = ();

    fn pre_visit_query(&mut self, query: &sql::Query) -> ControlFlow<()> {
        self.scopes.enter(query);
        for cte in query.with.iter().flat_map(|w| &w.cte_tables) {
            self.ctes.insert(ident(&cte.alias.name));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &sql::Query) -> ControlFlow<()> {
        self.scopes.leave();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &sql::TableFactor) -> ControlFlow<()> {
        if let sql::TableFactor::Table { name, args: None, alias, .. } = factor {
            let parts: Vec<String> = name.0.iter().filter_map(|p| p.as_ident().map(ident)).collect();
            let read = parts.join(".");
            if !self.scopes.holds(&read) {
                self.tables.push((read, name.clone(), alias.as_ref().map(|a| ident(&a.name))));
            }
        }
        ControlFlow::Continue(())
    }
}

pub(super) fn check(cx: &Context<'_>, found: &mut Vec<Diagnostic>) {
    let mut kinds: BTreeMap<&str, (Kind, Span)> = BTreeMap::new();
    // The name that is taken twice is reported elsewhere; here it stays what gives the fewest other complaints.
    kinds.extend(cx.views.iter().map(|v| (v.name.value.as_str(), (Kind::View, v.name.span))));
    kinds.extend(cx.sources.iter().map(|s| (s.name.value.as_str(), (Kind::Source, s.name.span))));
    kinds.extend(cx.tables.iter().map(|t| (t.name.value.as_str(), (Kind::Table, t.name.span))));
    let views = cx.views.iter().map(|v| (v.name.value.as_str(), &v.query));
    let flows = cx.tables.iter().flat_map(|t| t.flows.iter().map(|f| (t.name.value.as_str(), &f.query)));
    let queries: Vec<(&str, &Query)> = views.chain(flows).collect();
    let mut reads = Vec::new();
    for (owner, query) in &queries {
        query_reads(cx, &kinds, owner, query, &mut reads, found);
    }
    reads.sort_by_key(|r| r.span.start);
    streams_of_views(cx, &kinds, &queries, &reads, found);
    cycles(&reads, found);
    for table in &cx.tables {
        for flow in &table.flows {
            without_stream(cx, &kinds, flow.name.span, &flow.query, &reads, found);
        }
    }
}

/// Checks the names that one query reads, and puts them to `reads`.
fn query_reads(
    cx: &Context<'_>,
    kinds: &BTreeMap<&str, (Kind, Span)>,
    owner: &str,
    query: &Query,
    reads: &mut Vec<Read>,
    found: &mut Vec<Diagnostic>,
) {
    let mut relations = Relations::default();
    let _ = visit::read(&query.ast, &mut relations);
    for stream in &query.streams {
        let name = &stream.table.value;
        if kinds.contains_key(name.as_str()) {
            reads.push(Read { from: owner.to_owned(), to: name.clone(), span: stream.table.span });
        } else if relations.ctes.contains(name) {
            found.push(
                Diagnostic::new(
                    "stream-of-cte",
                    stream.table.span,
                    format!("{} is a part of this query, not a stream", quoted(name)),
                    "defined by WITH",
                )
                .with_help(format!("write FROM {name}, and STREAM inside of WITH")),
            );
        } else if !cx.broken.contains(name) {
            found.push(unknown(kinds, name, stream.table.span, "stream"));
        }
    }
    for (name, object, alias) in &relations.tables {
        if name.starts_with(sluicebox_core::provenance::PREFIX) || cx.broken.contains(name) {
            continue;
        }
        let span = byte_span(cx.text, object.span()).unwrap_or(query.span);
        match kinds.get(name.as_str()) {
            Some((Kind::View, _)) => reads.push(Read { from: owner.to_owned(), to: name.clone(), span }),
            Some((kind, defined)) => {
                let what = if *kind == Kind::Source { "source" } else { "streaming table" };
                let slice = cx.slice(span);
                found.push(
                    Diagnostic::new(
                        "missing-stream",
                        span,
                        format!("the {what} {} is read without STREAM", quoted(name)),
                        "read as a whole table",
                    )
                    .with_note("a query sees the new rows of its input, batch by batch, never all rows")
                    .with_help(format!("write STREAM {slice}"))
                    .with_related(*defined, format!("the {what}")),
                );
            }
            // `FROM STREM t` is a table `strem` under the name `t`.
            None if strsim::damerau_levenshtein(name, "stream") <= 2
                && alias.as_ref().is_some_and(|a| kinds.contains_key(a.as_str())) =>
            {
                let alias = alias.as_deref().unwrap_or_default();
                let message = format!("there is no table or view {}", quoted(name));
                found.push(
                    Diagnostic::new("unknown-table", span, message, "almost STREAM")
                        .with_help(format!("did you mean STREAM {alias}?")),
                );
            }
            None => found.push(unknown(kinds, name, span, "table or view")),
        }
    }
}

fn unknown(kinds: &BTreeMap<&str, (Kind, Span)>, name: &str, span: Span, what: &str) -> Diagnostic {
    let near = nearest(name, kinds.keys().copied());
    let help = match near {
        Some(near) => format!("did you mean {near}?"),
        None if kinds.is_empty() => "declare a source with CREATE TABLE name USING kafka OPTIONS (...)".to_owned(),
        None => format!("the pipeline defines {}", kinds.keys().copied().collect::<Vec<_>>().join(", ")),
    };
    Diagnostic::new("unknown-table", span, format!("there is no {what} {}", quoted(name)), "not defined")
        .with_help(help)
}

/// STREAM of a view that reads no stream.
fn streams_of_views(
    cx: &Context<'_>,
    kinds: &BTreeMap<&str, (Kind, Span)>,
    queries: &[(&str, &Query)],
    reads: &[Read],
    found: &mut Vec<Diagnostic>,
) {
    for stream in queries.iter().flat_map(|(_, q)| &q.streams) {
        let name = stream.table.value.as_str();
        if let Some((Kind::View, defined)) = kinds.get(name)
            && !reads_stream(cx, name, reads)
            && !cx.broken.contains(&stream.table.value)
        {
            found.push(
                Diagnostic::new(
                    "not-a-stream",
                    stream.table.span,
                    format!("the view {} is no stream: it reads none", quoted(name)),
                    "not a stream",
                )
                .with_help(format!("write FROM {name} without STREAM, or STREAM inside of the view"))
                .with_related(*defined, "the view"),
            );
        }
    }
}

/// Whether the view `name` reads a stream, itself or through other views.
fn reads_stream(cx: &Context<'_>, name: &str, reads: &[Read]) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![name];
    while let Some(name) = open.pop() {
        if !seen.insert(name) {
            continue;
        }
        let Some(view) = cx.views.iter().find(|v| v.name.value == name) else { return true };
        if !view.query.streams.is_empty() {
            return true;
        }
        open.extend(reads.iter().filter(|r| r.from == name).map(|r| r.to.as_str()));
    }
    false
}

/// A table whose query reads no stream at all would never get a row.
fn without_stream(
    cx: &Context<'_>,
    kinds: &BTreeMap<&str, (Kind, Span)>,
    name: Span,
    query: &Query,
    reads: &[Read],
    found: &mut Vec<Diagnostic>,
) {
    let mut relations = Relations::default();
    let _ = visit::read(&query.ast, &mut relations);
    let through_view = relations.tables.iter().any(|(t, ..)| match kinds.get(t.as_str()) {
        Some((Kind::View, _)) => reads_stream(cx, t, reads),
        Some(_) => true,
        None => true,
    });
    if query.streams.is_empty() && !through_view && !cx.found.iter().any(|d| within(d.span, query.span)) {
        found.push(
            Diagnostic::new(
                "no-stream",
                query.span,
                "the query reads no stream, so its table would never get a row",
                "no STREAM in it",
            )
            .with_help("read one: FROM STREAM name")
            .with_related(name, "of this table or flow"),
        );
    }
}

fn within(inner: Span, outer: Span) -> bool {
    inner.start >= outer.start && inner.end <= outer.end
}

/// Reports each cycle once, with every reading on it.
fn cycles(reads: &[Read], found: &mut Vec<Diagnostic>) {
    let mut reported: BTreeSet<Vec<&str>> = BTreeSet::new();
    for start in reads {
        let Some(path) = path_back(reads, start) else { continue };
        let mut members: Vec<&str> = path.iter().map(|r| r.from.as_str()).collect();
        members.sort_unstable();
        if !reported.insert(members) {
            continue;
        }
        let mut names: Vec<&str> = path.iter().map(|r| r.from.as_str()).collect();
        names.push(&start.from);
        let message = if path.len() == 1 {
            format!("{} reads itself", quoted(&start.from))
        } else {
            format!("{} feeds itself: {}", quoted(&start.from), names.join(" reads "))
        };
        let mut diagnostic =
            Diagnostic::new("cycle", start.span, message, format!("{} reads {}", start.from, start.to))
                .with_help("read from an upstream table instead: rows flow one way, from sources down");
        for read in &path[1..] {
            diagnostic = diagnostic.with_related(read.span, format!("{} reads {}", read.from, read.to));
        }
        found.push(diagnostic);
    }
}

/// The shortest path of readings from `start` back to where it started.
fn path_back<'a>(reads: &'a [Read], start: &'a Read) -> Option<Vec<&'a Read>> {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut paths = std::collections::VecDeque::from([vec![start]]);
    while let Some(path) = paths.pop_front() {
        let last = path.last()?;
        if last.to == start.from {
            return Some(path);
        }
        if !seen.insert(&last.to) {
            continue;
        }
        for next in reads.iter().filter(|r| r.from == last.to) {
            let mut longer = path.clone();
            longer.push(next);
            paths.push_back(longer);
        }
    }
    None
}
