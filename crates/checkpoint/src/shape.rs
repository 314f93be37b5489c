//! The shape of a pipeline: the parts of it that determine the files and the state of its batches. Two versions of a SQL are compared by
//! their shapes. The shape is part of `pipelines/<n>`, so its field names are a format, which `docs/formats.md` specifies.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The version of [`Shape`]: a change of how its texts are made, not only of its fields, is a new one.
pub const FORMAT: u32 = 1;

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
    /// The options that are set and matter, as they are written, and its list of columns as `columns`, if it has one.
    pub options: BTreeMap<String, String>,
}

/// A streaming table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableShape {
    /// Where its files are, absolute; or, of a table that has none, where its rows go in words.
    pub location: String,
    /// What it is written to; absent for Parquet files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<String>,
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
    /// Size, slide and offset of its windows, microseconds, where they lie evenly; none for `dedup`.
    pub window: Option<[i64; 3]>,
    /// Its windows in words, where they lie otherwise; none for `dedup`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<String>,
    /// For how long after its event time a key is remembered, microseconds; none for ever, and for windows.
    pub remembers: Option<i64>,
    /// The clauses whose watermark lets it forget.
    pub clauses: BTreeSet<String>,
    /// The fingerprint of its state files.
    pub state: String,
}

impl Shape {
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

    /// The folder of its files, if it has some.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.sink.is_none().then(|| Path::new(&self.location))
    }

    /// The ids under which a checkpoint keeps something of this table: its operators and its clauses.
    pub fn ids(&self) -> impl Iterator<Item = &String> {
        self.operators.keys().chain(self.clauses.keys())
    }
}
