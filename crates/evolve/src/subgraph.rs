//! The part of a graph that fills some of its tables from the topics, while the rest stands still. Pure.
//!
//! Everything above those tables is computed again and not written. It must not meet what the checkpoint holds of the running pipeline: its
//! sources, operators and clauses are in a [`Scope`] of their own, that of the adopted pipeline. The tables' own operators and clauses keep
//! their names, and their state stays in use when the backfill ends.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::Schema;
use sluicebox_core::Scope;
use sluicebox_core::fate::Ledger;
use sluicebox_core::provenance::{provenance_fields, watermark_fields};
use sluicebox_pipeline::graph::{Clause, Flow, Graph, Node, StreamNode, Table};

use crate::files::readable;

/// `graph` without `tables`.
#[must_use]
pub fn without(graph: &Graph, tables: &BTreeSet<String>) -> Graph {
    let mut graph = graph.clone();
    graph.tables.retain(|t| !tables.contains(&t.name));
    graph
}

/// What of `graph` gives the rows of `tables`, for the backfill of pipeline `number`.
#[must_use]
pub fn part(graph: &Graph, tables: &BTreeSet<String>, number: u64) -> Graph {
    let scope = Scope::Backfill(number);
    let mut needed: BTreeSet<String> = tables.clone();
    for table in graph.tables.iter().rev() {
        if needed.contains(&table.name) {
            needed.extend(table.flows.iter().flat_map(|f| f.node.streams()).map(|s| s.upstream.clone()));
        }
    }
    let mut graph = graph.clone();
    graph.pipeline.sources.retain(|s| needed.contains(&s.name.value));
    graph.tables.retain(|t| needed.contains(&t.name));
    let mut renamed: BTreeSet<String> = graph.pipeline.sources.iter().map(|s| s.name.value.clone()).collect();
    for table in graph.tables.iter().filter(|t| !tables.contains(&t.name)) {
        for flow in &table.flows {
            renamed.extend(flow.node.bottom_up().into_iter().filter_map(|node| node.id().map(str::to_owned)));
        }
    }
    let mut rename = |name: &mut String| {
        if renamed.contains(name) {
            *name = scope.id(name);
        }
    };
    for source in &mut graph.pipeline.sources {
        rename(&mut source.name.value);
    }
    rename_in(&mut graph.tables, &mut rename);
    graph
}

/// Gives the clauses and operators of `tables`, and what refers to them, the names that `rename` says.
fn rename_in(tables: &mut [Table], rename: &mut impl FnMut(&mut String)) {
    for table in tables {
        table.clauses.iter_mut().for_each(&mut *rename);
        for flow in &mut table.flows {
            flow.node.change_bottom_up(&mut |node: &mut Node| node.names_mut().into_iter().for_each(&mut *rename));
        }
    }
}

/// As [`part`], with the rows of the tables above `tables` read back from their files: those tables are in
/// [`Graph::read_back`]. What is above them is not needed. A watermark that their rows carried is made anew of the rows that
/// are there, under the name that it has in a backfill.
#[must_use]
pub fn part_from_files(graph: &Graph, tables: &BTreeSet<String>, number: u64) -> Graph {
    let scope = Scope::Backfill(number);
    let sources = readable(graph);
    let filled = graph.tables.iter().filter(|t| tables.contains(&t.name));
    let above: BTreeSet<&String> =
        filled.flat_map(|t| &t.flows).flat_map(|f| f.node.streams()).map(|s| &s.upstream).collect();
    let mut part = Graph { tables: Vec::new(), ..graph.clone() };
    let mut renamed: BTreeSet<String> = BTreeSet::new();
    for table in &graph.tables {
        if tables.contains(&table.name) {
            part.tables.push(table.clone());
        } else if above.contains(&table.name)
            && let Some(Ok(source)) = sources.get(&table.name)
        {
            part.read_back.insert(table.name.clone(), scope.id(source));
            part.tables.extend(judged_again(graph, table));
            renamed.extend(table.clauses.iter().cloned());
        }
    }
    part.pipeline.sources.iter_mut().for_each(|s| s.name.value = scope.id(&s.name.value));
    part.pipeline.sources.retain(|s| part.read_back.values().any(|source| *source == s.name.value));
    let mut rename = |name: &mut String| {
        if renamed.contains(name) {
            *name = scope.id(name);
        }
    };
    rename_in(&mut part.tables, &mut rename);
    part
}

/// A table that takes the rows of `table`, which are there, and lets the clause that they carry judge them again; none
/// if they carry none.
fn judged_again(graph: &Graph, table: &Table) -> Option<Table> {
    let [id] = table.clauses.as_slice() else { return None };
    let streams = graph.tables.iter().flat_map(|t| &t.flows).flat_map(|f| f.node.streams());
    let delay_micros = streams.filter_map(|s| s.clause.as_ref()).find(|c| c.id == *id)?.delay_micros;
    let clause = Clause { id: id.clone(), column: table.event_time.first()?.clone(), delay_micros };
    let hidden = provenance_fields().into_iter().chain(watermark_fields());
    let schema = Arc::new(Schema::new(table.schema.fields().iter().cloned().chain(hidden).collect::<Vec<_>>()));
    let stream = StreamNode { upstream: table.name.clone(), clause: Some(clause), schema, hidden: table.hidden };
    let node = Node::Late(Box::new(Node::Stream(stream)));
    let flows = vec![Flow { name: table.name.clone(), node }];
    Some(Table { expectations: Vec::new(), flows, ledger: Ledger::Rows, ..table.clone() })
}
