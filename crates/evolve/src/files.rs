//! Whether a table's rows can be read back from its files in their order and with all columns. Pure.

use std::collections::{BTreeMap, BTreeSet};

use sluicebox_checkpoint::PipelineRecord;
use sluicebox_checkpoint::shape::Shape;
use sluicebox_pipeline::ast::Using;
use sluicebox_pipeline::graph::{Graph, Node, Table};

use crate::canonical;

/// The columns of a source row that say where the event stood.
pub(crate) const PLACE: [&str; 3] = ["_topic", "_partition", "_offset"];

/// For each table of `graph` the source from whose offsets the order of its rows is known, or why it is not.
#[must_use]
pub fn readable(graph: &Graph) -> BTreeMap<String, Result<String, String>> {
    let sources: BTreeSet<&str> = graph.pipeline.sources.iter().map(|s| s.name.value.as_str()).collect();
    let mut found: BTreeMap<String, Result<String, String>> = BTreeMap::new();
    for table in &graph.tables {
        let source = source_of(table, &sources, &found);
        found.insert(table.name.clone(), source);
    }
    found
}

/// For each table of `new` the columns that may not be NULL, and that some of its rows have none of or may have NULL in: those that
/// came under one of `records`, oldest first, where the column was not there or not so. Tables without such columns are not there.
#[must_use]
pub(super) fn lacking(records: &[PipelineRecord], new: &Shape) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for record in records {
        for (table, now) in &new.tables {
            // The rows before were deleted when it was adopted.
            if record.clears.contains_key(table) {
                found.remove(table);
            }
            let Some(was) = record.shape.tables.get(table) else { continue };
            let there: BTreeSet<&str> = was.columns.iter().filter(|c| !c.nullable).map(|c| c.name.as_str()).collect();
            for column in now.columns.iter().filter(|c| !c.nullable && !there.contains(c.name.as_str())) {
                found.entry(table.clone()).or_default().insert(column.name.clone());
            }
        }
    }
    found
}

fn source_of(
    table: &Table,
    sources: &BTreeSet<&str>,
    above: &BTreeMap<String, Result<String, String>>,
) -> Result<String, String> {
    let name = &table.name;
    match table.using {
        Using::Parquet => {}
        Using::Kafka => return Err(format!("the rows of {name} are in a topic, and in no file")),
        Using::Added(kind) => {
            return Err(format!("the rows of {name} are where {} writes them, and in no file", kind.name()));
        }
    }
    let [flow] = table.flows.as_slice() else {
        return Err(format!("several flows feed {name}: the order between their rows is not in its files"));
    };
    if !table.hidden.provenance {
        return Err(format!("the rows of {name} are aggregates, which come from no offset"));
    }
    if let Some(missing) = PLACE.iter().find(|column| table.schema.index_of(column).is_err()) {
        return Err(format!(
            "{name} does not keep {missing}: {}, {} and {} tell the order",
            PLACE[0], PLACE[1], PLACE[2]
        ));
    }
    if table.clauses.len() > 1 || (table.hidden.event_time && table.event_time.is_empty()) {
        return Err(format!("{name} does not keep the event time of its watermark as a column"));
    }
    let upstream = upstream(name, &flow.node)?;
    if sources.contains(upstream) {
        Ok(upstream.to_owned())
    } else {
        above.get(upstream).cloned().unwrap_or_else(|| Err(format!("{name} reads no source")))
    }
}

/// What the one stream of a flow reads, if each of its rows gives at most one, which keeps its place.
fn upstream<'n>(table: &str, node: &'n Node) -> Result<&'n str, String> {
    match node {
        Node::Stream(stream) => Ok(&stream.upstream),
        Node::Plan(plan) => {
            let [(_, input)] = plan.inputs.as_slice() else {
                return Err(format!(
                    "{table} unites several streams: the order between their rows is not in its files"
                ));
            };
            if !plan.row_by_row {
                return Err(format!(
                    "an event may give {table} several rows: the order between them is not in its files"
                ));
            }
            let other = PLACE.iter().find(|column| canonical::column_meaning(node, column) != **column);
            match other {
                Some(column) => Err(format!("{column} of {table} is not that of its source")),
                None => upstream(table, input),
            }
        }
        other if other.operator().is_some_and(|spec| !spec.kind.keeps_rows) => {
            Err(format!("the rows of {table} are aggregates, which come from no offset"))
        }
        other => match other.inputs().as_slice() {
            [input] => upstream(table, input),
            _ => Err(format!("{table} unites several streams: the order between their rows is not in its files")),
        },
    }
}
