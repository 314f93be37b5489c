//! What of a pipeline matters to the files and the state that its batches leave: the parts by which two versions of its
//! SQL are compared. Part of `pipelines/<n>`, so the names of the fields are a format; `docs/formats.md` specifies it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use datafusion::execution::SessionState;
use serde::{Deserialize, Serialize};
use sluicebox_core::Clock;
use sluicebox_durable::checksum;
use sluicebox_pipeline::bind::{FlowDescription, TableDescription};
use sluicebox_pipeline::graph::{Flow, Graph, Node, Table};
use sluicebox_pipeline::{ast::SourceDef, options};

use super::canonical;
use crate::EngineError;
use crate::graph::{ClauseSettings, Runner};

/// The version of [`Shape`]: a change of how its texts are made, not only of its fields, is a new one.
pub const FORMAT: u32 = 1;

/// The options of a source by which what it gives is another thing. Where the broker is, how fast it is read and who one
/// is to it are not among them.
const OPTIONS: [&str; 8] = [
    "startingOffsets",
    "failOnDataLoss",
    "includeHeaders",
    "value.format",
    "value.subject",
    "value.schema.version",
    "idleTimeout",
    "maxFuture",
];

/// A pipeline, as far as files and state depend on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// [`FORMAT`].
    pub format: u32,
    /// The sources by name.
    pub sources: BTreeMap<String, SourceShape>,
    /// The tables by name.
    pub tables: BTreeMap<String, TableShape>,
}

/// A source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceShape {
    /// `kafka`.
    pub kind: String,
    /// `subscribe`, `assign` or `subscribePattern`.
    pub selection: String,
    /// The topics, the `topic/partition`s or the pattern that it names.
    pub topics: BTreeSet<String>,
    /// The options that are set and matter, as they are written.
    pub options: BTreeMap<String, String>,
}

/// A streaming table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableShape {
    /// Where its files are, absolute.
    pub location: String,
    /// The partition columns, in order.
    pub partitioned_by: Vec<String>,
    /// The columns of its files and folders, in order.
    pub columns: Vec<ColumnShape>,
    /// `TBLPROPERTIES`.
    pub properties: BTreeMap<String, String>,
    /// The expectations by name.
    pub expectations: BTreeMap<String, ExpectationShape>,
    /// The queries that feed it, by flow.
    pub flows: BTreeMap<String, FlowShape>,
    /// The WATERMARK clauses that stand in its queries, by id.
    pub clauses: BTreeMap<String, ClauseShape>,
    /// What remembers something between batches, by id.
    pub operators: BTreeMap<String, OperatorShape>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnShape {
    /// Its name.
    pub name: String,
    /// Its type, as Spark spells it.
    pub r#type: String,
    /// Whether it may be NULL.
    pub nullable: bool,
}

/// An expectation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectationShape {
    /// The condition, white space made one, with references as they were written.
    pub condition: String,
    /// Checksum of the condition with the values of its references; empty where it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub values: String,
    /// `warn`, `drop`, `quarantine` or `fail`.
    pub action: String,
}

/// A query of a table, without what its operators remember.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowShape {
    /// The sources and tables that it reads.
    pub reads: BTreeSet<String>,
    /// Checksum of its stateless plans.
    pub plans: String,
    /// What it does, in words, for messages.
    pub steps: Vec<String>,
}

/// A WATERMARK clause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClauseShape {
    /// The source or table at which it stands.
    pub upstream: String,
    /// The column with the event time.
    pub column: String,
    /// `DELAY OF`, in words.
    pub delay: String,
}

/// An operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorShape {
    /// `dedup` or `window`.
    pub kind: String,
    /// By what it tells rows apart, each expression put in terms of the columns that the flow reads.
    pub keys: Vec<String>,
    /// The aggregates, as the keys; none for `dedup`.
    pub computes: Vec<String>,
    /// Size, slide and offset of its windows, microseconds; none for `dedup`.
    pub window: Option<[i64; 3]>,
    /// For how long after its event time a key is remembered, microseconds; none for ever, and for windows.
    pub remembers: Option<i64>,
    /// The clauses whose watermark lets it forget.
    pub clauses: BTreeSet<String>,
    /// The fingerprint of its state files.
    pub state: String,
}

impl Shape {
    /// The shape of `graph`; relative locations begin at `working_dir`.
    ///
    /// # Errors
    /// When the graph cannot be made ready to run.
    pub fn of(
        graph: &Graph,
        working_dir: &Path,
        session: &SessionState,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, EngineError> {
        let settings = ClauseSettings { idle_timeout_micros: 0, max_future_micros: 0 };
        let mut runner = Runner::try_new(graph, session.clone(), 0, Arc::clone(clock), |_| settings)?;
        let fingerprints = runner.fingerprints();
        let described = graph.describe();
        let mut tables = BTreeMap::new();
        for (table, words) in graph.tables.iter().zip(&described.tables) {
            tables.insert(table.name.clone(), table_shape(table, words, working_dir, &fingerprints));
        }
        let sources = graph.pipeline.sources.iter().map(|s| (s.name.value.clone(), source_shape(s))).collect();
        Ok(Self { format: FORMAT, sources, tables })
    }

    /// The tables that read `upstream`, directly or through others, `upstream` left out.
    #[must_use]
    pub fn below(&self, upstream: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut todo = vec![upstream.to_owned()];
        while let Some(name) = todo.pop() {
            for (table, shape) in &self.tables {
                if shape.reads().contains(name.as_str()) && found.insert(table.clone()) {
                    todo.push(table.clone());
                }
            }
        }
        found
    }

    /// The sources from which the rows of `table` come.
    #[must_use]
    pub fn sources_of(&self, table: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut todo = vec![table];
        while let Some(name) = todo.pop() {
            match self.tables.get(name) {
                Some(shape) if seen.insert(name) => todo.extend(shape.reads()),
                Some(_) => {}
                None => {
                    found.insert(name.to_owned());
                }
            }
        }
        found
    }

    /// The clause of this id.
    #[must_use]
    pub fn clause(&self, id: &str) -> Option<&ClauseShape> {
        self.tables.values().find_map(|t| t.clauses.get(id))
    }
}

impl TableShape {
    /// The sources and tables that its flows read.
    #[must_use]
    pub fn reads(&self) -> BTreeSet<&str> {
        self.flows.values().flat_map(|f| f.reads.iter().map(String::as_str)).collect()
    }

    /// The ids under which a checkpoint keeps something of this table: its operators and its clauses.
    pub fn ids(&self) -> impl Iterator<Item = &String> {
        self.operators.keys().chain(self.clauses.keys())
    }
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
    let set = OPTIONS.into_iter().filter_map(|name| Some((name.to_owned(), options::get(source, name)?.to_owned())));
    SourceShape {
        kind: options::name_of(source.kind.value).to_owned(),
        selection: selection.to_owned(),
        topics,
        options: set.collect(),
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
        location: working_dir.join(&table.location).display().to_string(),
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
    let (id, shape) = match node {
        Node::Dedup(dedup) => {
            let keys = dedup.keys.iter().map(|key| canonical::column_meaning(&dedup.input, key));
            let shape = OperatorShape {
                kind: "dedup".to_owned(),
                keys: keys.collect(),
                computes: Vec::new(),
                window: None,
                remembers: dedup.delay_micros,
                clauses: dedup.clauses.iter().cloned().collect(),
                state: String::new(),
            };
            (&dedup.id, shape)
        }
        Node::Aggregate(aggregate) => {
            let meaning = |expr| canonical::meaning(&aggregate.input, expr);
            let window = &aggregate.window;
            let shape = OperatorShape {
                kind: "window".to_owned(),
                keys: aggregate.group.iter().map(meaning).collect(),
                computes: aggregate.known_as.iter().map(meaning).collect(),
                window: Some([window.size_micros, window.slide_micros, window.offset_micros]),
                remembers: None,
                clauses: aggregate.clauses.iter().cloned().collect(),
                state: String::new(),
            };
            (&aggregate.id, shape)
        }
        _ => return None,
    };
    let state = fingerprints.get(id).cloned().unwrap_or_default();
    Some((id.clone(), OperatorShape { state, ..shape }))
}
