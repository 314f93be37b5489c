//! The shape of a checked graph.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use datafusion::execution::SessionState;
use datafusion::logical_expr::Expr;
use sluicebox_checkpoint::shape::{
    ClauseShape, ColumnShape, ExpectationShape, FORMAT, FlowShape, OperatorShape, Shape, SourceShape, TableShape,
};
use sluicebox_core::Clock;
use sluicebox_durable::checksum;
use sluicebox_pipeline::ast::{SourceDef, SourceKind, Using};
use sluicebox_pipeline::bind::{FlowDescription, TableDescription};
use sluicebox_pipeline::graph::{Assigner, Flow, Graph, Node, SessionEnd, Table};
use sluicebox_pipeline::options::ValueType;
use sluicebox_pipeline::{formats, options};
use sluicebox_runtime::graph::{ClauseSettings, Runner};

use crate::{EvolveError, canonical};

/// The options of a source by which what it gives is another thing. Where the broker is, how fast it is read and who one
/// is to it are not among them.
const OPTIONS: [&str; 14] = [
    "startingOffsets",
    "failOnDataLoss",
    "includeHeaders",
    "value.format",
    "value.subject",
    "value.schema.version",
    "key.format",
    "key.subject",
    "key.schema.version",
    "json.extraFields",
    "json.timestamps",
    "json.maxDepth",
    "idleTimeout",
    "maxFuture",
];

/// The shape of `graph`; relative locations begin at `working_dir`.
///
/// # Errors
/// When the graph cannot be made ready to run.
pub fn shape_of(
    graph: &Graph,
    working_dir: &Path,
    session: &SessionState,
    clock: &Arc<dyn Clock>,
) -> Result<Shape, EvolveError> {
    let settings = ClauseSettings { idle_timeout_micros: 0, max_future_micros: 0 };
    let mut runner = Runner::try_new(graph, session.clone(), 0, Arc::clone(clock), |_| settings)?;
    let fingerprints = runner.fingerprints();
    let described = graph.describe();
    let mut tables = BTreeMap::new();
    for (table, words) in graph.tables.iter().zip(&described.tables) {
        tables.insert(table.name.clone(), table_shape(table, words, working_dir, &fingerprints));
    }
    let sources = graph.pipeline.sources.iter().map(|s| (s.name.value.clone(), source_shape(s))).collect();
    Ok(Shape { format: FORMAT, sources, tables })
}

fn source_shape(source: &SourceDef) -> SourceShape {
    let (selection, value) = ["subscribe", "assign", "subscribePattern"]
        .into_iter()
        .find_map(|name| options::get(source, name).map(|value| (name, value)))
        .unwrap_or_default();
    let topics = match selection {
        "subscribe" => value.split(',').map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).collect(),
        "assign" => assigned(value),
        _ => BTreeSet::from([value.to_owned()]),
    };
    let kind = source.kind.value;
    // What a kind of source that was added, or a format, calls its own is all taken to matter; no secret is one.
    let own = kind.words().options.iter().filter(|_| kind != SourceKind::KAFKA);
    let own = own.chain(source.value_format.words().options).filter(|option| option.value != ValueType::Secret);
    let names = OPTIONS.into_iter().chain(own.map(|option| option.name));
    let set = names.filter_map(|name| Some((name.to_owned(), options::get(source, name)?.to_owned())));
    let columns = formats::listed(source).map(|columns| ("columns".to_owned(), columns));
    SourceShape {
        kind: kind.name().to_owned(),
        selection: selection.to_owned(),
        topics,
        options: set.chain(columns).collect(),
    }
}

/// `{"a":[0,1]}` as `a/0`, `a/1`; as it is if it is no such thing, which the parser has refused.
fn assigned(value: &str) -> BTreeSet<String> {
    let Ok(topics) = serde_json::from_str::<BTreeMap<String, Vec<i32>>>(value) else {
        return BTreeSet::from([value.to_owned()]);
    };
    topics.into_iter().flat_map(|(topic, parts)| parts.into_iter().map(move |p| format!("{topic}/{p}"))).collect()
}

fn table_shape(
    table: &Table,
    words: &TableDescription,
    working_dir: &Path,
    fingerprints: &BTreeMap<String, String>,
) -> TableShape {
    let columns = words.columns.iter().map(|c| ColumnShape {
        name: c.name.clone(),
        r#type: c.r#type.clone(),
        nullable: c.nullable,
    });
    let expectations = words.expectations.iter().zip(&table.expectations).map(|(e, meant)| {
        let meant: Vec<&str> = meant.text.split_whitespace().collect();
        let meant = meant.join(" ");
        let values = if meant == e.condition { String::new() } else { checksum(meant.as_bytes()) };
        (e.name.clone(), ExpectationShape { condition: e.condition.clone(), values, action: e.action.to_owned() })
    });
    let clauses = words.watermark.iter().flat_map(|w| &w.clauses).filter(|c| c.here).map(|c| {
        let shape = ClauseShape { upstream: c.upstream.clone(), column: c.column.clone(), delay: c.delay.clone() };
        (c.id.clone(), shape)
    });
    let operators = table.flows.iter().flat_map(|f| f.node.bottom_up()).filter_map(|n| operator_shape(n, fingerprints));
    TableShape {
        location: match table.using {
            Using::Parquet => working_dir.join(&table.location).display().to_string(),
            Using::Kafka | Using::Added(_) => table.location.clone(),
        },
        sink: (table.using != Using::Parquet).then(|| table.using.as_str().to_owned()),
        partitioned_by: table.partitioned_by.clone(),
        columns: columns.collect(),
        properties: table.properties.clone(),
        expectations: expectations.collect(),
        flows: table.flows.iter().zip(&words.flows).map(|(f, w)| (f.name.clone(), flow_shape(f, w))).collect(),
        clauses: clauses.collect(),
        operators: operators.collect(),
    }
}

fn flow_shape(flow: &Flow, words: &FlowDescription) -> FlowShape {
    FlowShape {
        reads: flow.node.streams().into_iter().map(|s| s.upstream.clone()).collect(),
        plans: checksum(canonical::plans(&flow.node).join("\n").as_bytes()),
        steps: words.steps.clone(),
    }
}

fn operator_shape(node: &Node, fingerprints: &BTreeMap<String, String>) -> Option<(String, OperatorShape)> {
    let spec = node.operator()?;
    let inputs = node.inputs();
    let input = inputs.first()?;
    let meaning = |expr: &Expr| canonical::meaning(input, expr);
    let shape = OperatorShape {
        kind: spec.kind.name.to_owned(),
        keys: spec.keys.iter().map(meaning).collect(),
        computes: spec.computes.iter().map(meaning).collect(),
        window: spec.window.and_then(|window| match window.assigner {
            Assigner::Hopping { size_micros, slide_micros, offset_micros } => {
                Some([size_micros, slide_micros, offset_micros])
            }
            Assigner::Cumulating { .. } | Assigner::Calendar(_) | Assigner::Session(_) => None,
        }),
        windows: spec.window.and_then(|window| windows(window.assigner, spec.session_end.map(meaning))),
        remembers: spec.remembers_micros,
        clauses: spec.clauses.iter().cloned().collect(),
        state: fingerprints.get(spec.id).cloned().unwrap_or_default(),
    };
    Some((spec.id.to_owned(), shape))
}

/// Windows that do not lie evenly, in words; `end` is where the session ends that a row is alone, if the query says it row by row.
fn windows(assigner: Assigner, end: Option<String>) -> Option<String> {
    Some(match assigner {
        Assigner::Hopping { .. } => return None,
        Assigner::Cumulating { size_micros, step_micros, offset_micros } => {
            format!("{size_micros} us cumulated by {step_micros} us from {offset_micros} us")
        }
        Assigner::Calendar(windows) => {
            format!("{} us from {} us in {}", windows.size(), windows.offset(), windows.zone())
        }
        Assigner::Session(SessionEnd::After(gap)) => format!("sessions with a gap of {gap} us"),
        Assigner::Session(SessionEnd::InColumn) => {
            format!("sessions in which a row lasts until {}", end.unwrap_or_default())
        }
    })
}
