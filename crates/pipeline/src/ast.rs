//! A parsed pipeline: names, options and queries with their places in the text, before any of them is resolved.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::sql::sqlparser::ast as sql;
use datafusion::sql::sqlparser::tokenizer::Location;

use crate::kinds::ValueFormat;
pub use crate::kinds::{SourceKind, TableKind};
pub use crate::span::{Span, Spanned};

/// One SQL file, parsed.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// The file's name, as given on the command line.
    pub file: String,
    /// The file's text: what places are places in, and what is drawn. A secret that stands in it in plain is hidden.
    pub text: Arc<str>,
    /// The same with each `${env:NAME}` in a query or condition replaced by its value: what a checkpoint pins.
    pub resolved: Arc<str>,
    /// The texts of queries and conditions in whose place `${env:NAME}` was written: each as SQL has it, and as it was written.
    pub references: Vec<(String, String)>,
    /// `pipeline.name`, or the file's name without folder and `.sql`.
    pub name: String,
    /// The `SET` keys, lower case as documented, after `--set`.
    pub settings: BTreeMap<String, Spanned<String>>,
    /// `CREATE TABLE ... USING kind`, in the order of the text.
    pub sources: Vec<SourceDef>,
    /// `CREATE TEMPORARY VIEW`, in the order of the text.
    pub views: Vec<ViewDef>,
    /// `CREATE STREAMING TABLE`, in the order of the text.
    pub tables: Vec<TableDef>,
}

impl Pipeline {
    /// `said`, which has SQL in it, with each `${env:NAME}` as it was written: what a variable holds is its owner's to tell. A text that is
    /// the same as such a value is taken for it.
    #[must_use]
    pub fn as_written(&self, said: &str) -> String {
        self.references.iter().fold(said.to_owned(), |said, (value, written)| said.replace(value, written))
    }
}

/// Where events come from.
#[derive(Debug, Clone)]
pub struct SourceDef {
    /// The source's name, under which queries read it.
    pub name: Spanned<String>,
    /// What stands after `USING`.
    pub kind: Spanned<SourceKind>,
    /// How its values are encoded, as `value.format` says; Avro without it.
    pub value_format: ValueFormat,
    /// How its keys are encoded, if `key.format` says it.
    pub key_format: Option<ValueFormat>,
    /// The columns that its events have, if they are listed; the place is that of the whole list.
    pub columns: Option<Spanned<Vec<DeclaredColumn>>>,
    /// The options, checked against the list of known ones; `kafka.*` properties are passed through.
    pub options: Vec<(Spanned<String>, Spanned<String>)>,
}

impl SourceDef {
    /// The value of an option, as it was written; `name` is written as in the reference.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(key, _)| key.value == name).map(|(_, value)| value.value.as_str())
    }
}

/// A column that a source lists: `name type [NOT NULL] [COMMENT 'text']`.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredColumn {
    /// The name of the column and of the events' field.
    pub name: Spanned<String>,
    /// The type. Its structs say which of their fields may be NULL.
    pub data_type: Spanned<DataType>,
    /// Whether it may be NULL.
    pub nullable: bool,
}

impl DeclaredColumn {
    /// The column of Arrow.
    #[must_use]
    pub fn field(&self) -> FieldRef {
        Arc::new(Field::new(&self.name.value, self.data_type.value.clone(), self.nullable))
    }
}

/// A query with the streams that it reads.
#[derive(Debug, Clone)]
pub struct Query {
    /// The query. Every `STREAM t [WATERMARK ...]` in it has become a table named [`StreamRef::leaf`] aliased `t` (or
    /// the alias that was written), so that columns may still be qualified by `t`. Calls of `window` in it have been
    /// checked, see [`crate::window`]; what its names mean is found when it is bound.
    pub ast: Box<sql::Query>,
    /// `GROUP BY window(...) AS name`, which has been taken out: where the word `window` stands, and the name.
    pub window_names: Vec<(Location, Spanned<String>)>,
    /// The streams, in the order of the text; a view that is read without STREAM is one of them.
    pub streams: Vec<StreamRef>,
    /// Where the query stands.
    pub span: Span,
}

/// One `STREAM t` or `STREAM(t)` in a query, or a view that is read without STREAM.
#[derive(Debug, Clone)]
pub struct StreamRef {
    /// The name in the rewritten query: `__sb_stream_<n>`, unique in the pipeline.
    pub leaf: String,
    /// The source, table or view that is read.
    pub table: Spanned<String>,
    /// The watermark clause, if there is one.
    pub watermark: Option<WatermarkDef>,
}

/// `WATERMARK column DELAY OF INTERVAL '...'`.
#[derive(Debug, Clone)]
pub struct WatermarkDef {
    /// The column with the event time.
    pub column: Spanned<String>,
    /// The delay in microseconds, not negative.
    pub delay_micros: i64,
    /// The whole clause.
    pub span: Span,
}

/// `CREATE TEMPORARY VIEW name AS SELECT ...`: inlined where it is read.
#[derive(Debug, Clone)]
pub struct ViewDef {
    /// The view's name.
    pub name: Spanned<String>,
    /// Its query.
    pub query: Query,
}

/// `CREATE STREAMING TABLE`.
#[derive(Debug, Clone)]
pub struct TableDef {
    /// The table's name.
    pub name: Spanned<String>,
    /// The expectations, in the order of the text.
    pub constraints: Vec<ConstraintDef>,
    /// `USING`, as it is written: `parquet`, which is the default, `kafka`, or a kind of table that was added.
    pub format: Option<Spanned<String>>,
    /// Where its rows go: what `format` stands for.
    pub kind: Using,
    /// `PARTITIONED BY`.
    pub partitioned_by: Vec<Spanned<String>>,
    /// `LOCATION`.
    pub location: Option<Spanned<String>>,
    /// `TBLPROPERTIES`.
    pub properties: Vec<(Spanned<String>, Spanned<String>)>,
    /// The table's own query, if it has one, then those of `CREATE FLOW name AS INSERT INTO table`.
    pub flows: Vec<FlowDef>,
}

/// Where the rows of a table go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Using {
    /// Files of Parquet below a folder.
    #[default]
    Parquet,
    /// A Kafka topic.
    Kafka,
    /// Where a kind of table that was added writes them.
    Added(TableKind),
}

impl Using {
    /// As it is written after USING.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Kafka => "kafka",
            Self::Added(kind) => kind.name(),
        }
    }
}

impl TableDef {
    /// Where its rows go.
    #[must_use]
    pub fn using(&self) -> Using {
        self.kind
    }

    /// The value of a property.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|(key, _)| key.value == name).map(|(_, value)| value.value.as_str())
    }
}

/// One query that feeds a table.
#[derive(Debug, Clone)]
pub struct FlowDef {
    /// The flow's name; the table's name for its own query.
    pub name: Spanned<String>,
    /// The query.
    pub query: Query,
}

/// `CONSTRAINT name EXPECT (condition) [ON VIOLATION ...]`.
#[derive(Debug, Clone)]
pub struct ConstraintDef {
    /// The expectation's name, unique in its table.
    pub name: Spanned<String>,
    /// The condition.
    pub condition: sql::Expr,
    /// The condition as it was written, with each `${env:NAME}` in it replaced by its value: what reports print.
    pub text: String,
    /// Where the condition stands.
    pub span: Span,
    /// What happens to a row that breaks it.
    pub action: Action,
}

/// What happens to a row that breaks an expectation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// It is counted and written.
    Warn,
    /// It is counted and left out.
    Drop,
    /// It is counted and kept in quarantine.
    Quarantine,
    /// The batch fails.
    Fail,
}
