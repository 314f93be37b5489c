//! A checked pipeline: tables in topological order, each a small tree of stateless plans and stateful operators that the engine runs a
//! batch through.
//!
//! A query's logical plan is cut where state begins. Between two cuts is an ordinary DataFusion plan over leaves ([`Node::Plan`]). At a cut
//! is a node with state or a side output ([`Node::Late`], [`Node::Dedup`], [`Node::Aggregate`]), which the engine runs between plans. So no
//! state hides in a stream's `poll_next`, every plan can be serialised, and an operator's step can be tested alone.
//!
//! The hidden columns of [`sluicebox_core::provenance`] are in every node's schema as far as [`Hidden`] says.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::{Column, DFSchemaRef};
use datafusion::logical_expr::{Expr, GroupingSet, LogicalPlan};
use sluicebox_core::fate::Ledger;
use sluicebox_functions::operators::sums;

use crate::ast::{Action, Pipeline, Span, Using};
use crate::diagnostic::Diagnostic;
pub use crate::late::LateColumns;
pub use crate::settings::OnError;
use crate::window::SESSION_END;
pub use crate::window::{Assigner, CalendarWindows, SessionEnd};

mod operator;
mod walk;

pub use operator::{Gone, OperatorKind, OperatorSpec};

/// A checked pipeline.
#[derive(Debug, Clone)]
pub struct Graph {
    /// What was written.
    pub pipeline: Pipeline,
    /// The tables; each stands after those it reads.
    pub tables: Vec<Table>,
    /// Tables whose rows of a batch are not computed but read back from files, each with the source whose partitions and
    /// offsets their rows carry. None in a pipeline as it was written; such a table may be left out of `tables`.
    pub read_back: BTreeMap<String, String>,
    /// What runs and should be known, in the order of the text; see [`crate::diagnostic::Severity`].
    pub warnings: Vec<Diagnostic>,
}

/// A streaming table.
#[derive(Debug, Clone)]
pub struct Table {
    /// The table's name.
    pub name: String,
    /// Where its rows go.
    pub using: Using,
    /// Where its files go, as written or by its layer; relative to the working directory. Of a table in Kafka its topic, in words.
    pub location: String,
    /// The partition columns, in order; each is a column of `schema`.
    pub partitioned_by: Vec<String>,
    /// `TBLPROPERTIES`.
    pub properties: BTreeMap<String, String>,
    /// The expectations, in the order of the text.
    pub expectations: Vec<Expectation>,
    /// The queries that feed the table, their rows written in this order.
    pub flows: Vec<Flow>,
    /// The columns of its rows, partition columns included, in the order of its queries.
    pub schema: SchemaRef,
    /// The same columns in the order in which they are written: those that came later stand at the end, see
    /// [`Graph::keep_order`].
    pub written: SchemaRef,
    /// The visible columns that are the event time of the watermark that flows with the rows: those which a table below
    /// may put into `window(...)`.
    pub event_time: Vec<String>,
    /// The ids of the watermark clauses that the rows have passed, in any upstream table; empty without a watermark.
    pub clauses: Vec<String>,
    /// What hidden columns its rows carry into the tables below.
    pub hidden: Hidden,
    /// The equation that its fates must satisfy.
    pub ledger: Ledger,
    /// What becomes of a row that one of its queries cannot compute.
    pub on_error: OnError,
}

/// One query of a table.
#[derive(Debug, Clone)]
pub struct Flow {
    /// The flow's name.
    pub name: String,
    /// What to run. The node's visible columns are the table's, in order.
    pub node: Node,
}

/// Which hidden columns the rows of a node carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hidden {
    /// `__sb_part` and `__sb_offset`, not null.
    pub provenance: bool,
    /// `__sb_event_time` and `__sb_late`.
    pub event_time: bool,
}

/// An expectation, its condition resolved against the table's visible columns.
#[derive(Debug, Clone)]
pub struct Expectation {
    /// The name, unique in the table.
    pub name: String,
    /// The condition, type-checked to Boolean; columns are unqualified.
    pub condition: Expr,
    /// The condition as it was written.
    pub text: String,
    /// What happens to a row that breaks it.
    pub action: Action,
    /// Where it stands.
    pub span: Span,
}

/// A step of a query; see the module's page.
#[derive(Debug, Clone)]
pub enum Node {
    /// The rows of a source or of an upstream table in this batch.
    Stream(StreamNode),
    /// A stateless plan over the rows of other nodes.
    Plan(PlanNode),
    /// Takes out the rows whose `__sb_late` is not 0; they go to `data/late/<pipeline>/<table>/`.
    Late(Box<Node>),
    /// Keeps the first row per key.
    Dedup(DedupNode),
    /// Aggregates over windows of event time.
    Aggregate(AggregateNode),
}

/// A leaf.
#[derive(Debug, Clone)]
pub struct StreamNode {
    /// The source or table that is read.
    pub upstream: String,
    /// The clause that starts here, if one does: the rows then get `__sb_event_time` and `__sb_late`.
    pub clause: Option<Clause>,
    /// Visible columns of the upstream, then the hidden ones.
    pub schema: SchemaRef,
    /// What hidden columns the rows carry when they leave this node.
    pub hidden: Hidden,
}

/// A watermark clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// `<table or flow>.<n>`: stable as long as the query's order of streams is; names the clause's state in commits.
    pub id: String,
    /// The column of the upstream with the event time: a timestamp of any unit and zone, UTC if it has none, which the
    /// engine casts to [`sluicebox_core::provenance::event_time_type`].
    pub column: String,
    /// The delay, in microseconds.
    pub delay_micros: i64,
}

/// A stateless plan.
#[derive(Debug, Clone)]
pub struct PlanNode {
    /// Analysed, not optimised. Its leaves are scans (without projection, filters and fetch) of
    /// [`crate::leaf::LeafTable`]s named by `inputs`, where the engine puts the rows of the input: by
    /// [`PlanNode::leaf`] one by one, or [`crate::leaf::with_rows`]. Clones of a plan share their leaves. Filters in it
    /// count as `filtered`. The clock is bound by [`crate::bind::bind_clock`] if [`crate::bind::uses_clock`].
    pub plan: LogicalPlan,
    /// Leaf name, and what gives its rows.
    pub inputs: Vec<(String, Node)>,
    /// The columns of the result: visible, then hidden.
    pub schema: SchemaRef,
    /// What hidden columns the rows carry.
    pub hidden: Hidden,
    /// Whether each row of the single input gives at most one row here, so that rows in minus rows out are `filtered`.
    pub row_by_row: bool,
}

/// `DISTINCT ON (keys)`, or `DISTINCT`.
#[derive(Debug, Clone)]
pub struct DedupNode {
    /// `<table or flow>.dedup.<n>`: names the operator's state.
    pub id: String,
    /// What gives the candidates. It carries provenance.
    pub input: Box<Node>,
    /// The columns of the input that hold the keys: hidden `__sb_key_<i>`, which end here.
    pub keys: Vec<String>,
    /// Positions of the result's columns that are keys themselves: of equal values one form is written
    /// ([`crate::equal`]), whichever came first.
    pub in_form: Vec<usize>,
    /// With a watermark, its delay in microseconds: for how long after a row's event time its key is remembered.
    /// Without, keys are remembered for ever.
    pub delay_micros: Option<i64>,
    /// The clauses whose watermark forgets keys.
    pub clauses: Vec<String>,
    /// The columns of the result: those of the input without the keys.
    pub schema: SchemaRef,
}

/// `GROUP BY window(...), keys`.
#[derive(Debug, Clone)]
pub struct AggregateNode {
    /// `<table or flow>.aggregate.<n>`: names the operator's state.
    pub id: String,
    /// What gives the rows. It carries the event time.
    pub input: Box<Node>,
    /// The schema against which `group` and `aggregates` are resolved: that of the input, with qualifiers.
    pub input_schema: DFSchemaRef,
    /// The group expressions in the order of the query, without the window.
    pub group: Vec<Expr>,
    /// Of GROUPING SETS, ROLLUP and CUBE the sets: of each, which of `group` it leaves out, so that they are NULL in its rows. None of a
    /// query that groups once.
    pub sets: Vec<Vec<bool>>,
    /// The window.
    pub window: Window,
    /// The aggregate functions, without aliases, in the order of the logical plan.
    pub aggregates: Vec<Expr>,
    /// `aggregates` as checkpoints know them: a sum of whole numbers as it was before it was exact. The columns in there may be
    /// ones that the input no longer has.
    pub known_as: Vec<Expr>,
    /// What of `group` and `aggregates` the input has computed already, each under the name of its column, so that a row that
    /// cannot be computed never reaches the operator. Of the other columns of the input they need those alone that stand
    /// outside of these.
    pub computed: Vec<(String, Expr)>,
    /// The clauses whose watermark closes windows.
    pub clauses: Vec<String>,
    /// The columns of the result: as the logical `Aggregate` node gives them (group expressions in order, the window at
    /// `window.position` among them as a struct of `start` and `end`; with `sets` DataFusion's grouping id; then the aggregates), then `__sb_event_time`
    /// (the window's end less one microsecond) and `__sb_late` (0).
    pub schema: SchemaRef,
}

/// The kinds of operators, in a fixed order.
pub const KINDS: [&OperatorKind; 2] = [&DedupNode::KIND, &AggregateNode::KIND];

impl DedupNode {
    /// What is said of it by kind.
    pub const KIND: OperatorKind = OperatorKind {
        name: "dedup",
        word: "dedup",
        in_progress: "dedup",
        steps: &["keep the first row per "],
        keeps_rows: true,
        gives_up_at_once: true,
        bears_other_delay: false,
        gone: Gone::Harmless("duplicates are written", "the keys are forgotten"),
        lacks: "it knows none of the keys that are in the files",
    };
}

impl AggregateNode {
    /// What is said of it by kind.
    pub const KIND: OperatorKind = OperatorKind {
        name: "window",
        word: "aggregate",
        in_progress: "windowAggregate",
        steps: &["aggregate ", "group by "],
        keeps_rows: false,
        gives_up_at_once: false,
        // W never goes back, and a row behind it is late.
        bears_other_delay: true,
        gone: Gone::Loses("the windows that are open would never be written"),
        lacks: "it knows none of the rows that came before",
    };

    /// By what groups are told apart: the keys, or the sets of them.
    fn keys(&self) -> Vec<Expr> {
        if self.sets.is_empty() {
            return self.group.clone();
        }
        let kept = |set: &Vec<bool>| {
            let keys = self.group.iter().zip(set).filter(|(_, left_out)| !**left_out);
            keys.map(|(key, _)| key.clone()).collect()
        };
        vec![Expr::GroupingSet(GroupingSet::GroupingSets(self.sets.iter().map(kept).collect()))]
    }

    /// Where the session ends that a row is alone, as the query says it, if that differs from row to row in more than its time.
    #[must_use]
    pub fn session_end(&self) -> Option<&Expr> {
        self.computed.iter().find(|(name, _)| name == SESSION_END).map(|(_, end)| end)
    }

    /// Whether the state of the aggregate function at `position` was a BIGINT in an earlier version.
    #[must_use]
    pub fn was_bigint(&self, position: usize) -> bool {
        self.aggregates.get(position).is_some_and(sums::is_exact)
    }
}

/// The windows of event time among the keys of an aggregation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Where the window stands among the group expressions.
    pub position: usize,
    /// How windows lie.
    pub assigner: Assigner,
}

impl Graph {
    /// Writes the columns that `columns` names for a table first, in that order, and those that are new behind them. So a
    /// column that comes later stands at the end of the table, wherever the query has it: readers that go by position, or take
    /// the columns of the first file for those of all, find each where it was.
    pub fn keep_order(&mut self, columns: &BTreeMap<String, Vec<String>>) {
        for table in &mut self.tables {
            let Some(known) = columns.get(&table.name) else { continue };
            let place = |name: &String| known.iter().position(|k| k == name).unwrap_or(known.len());
            let mut fields: Vec<FieldRef> = table.schema.fields().iter().cloned().collect();
            fields.sort_by_key(|field| place(field.name()));
            table.written = Arc::new(Schema::new(fields));
        }
    }
}

impl Node {
    /// The columns of the node's rows: visible, then hidden.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        match self {
            Self::Stream(node) => &node.schema,
            Self::Plan(node) => &node.schema,
            Self::Late(input) => input.schema(),
            Self::Dedup(node) => &node.schema,
            Self::Aggregate(node) => &node.schema,
        }
    }

    /// The nodes whose rows this one takes.
    #[must_use]
    pub fn inputs(&self) -> Vec<&Self> {
        match self {
            Self::Stream(_) => Vec::new(),
            Self::Plan(plan) => plan.inputs.iter().map(|(_, node)| node).collect(),
            Self::Late(input) => vec![input],
            Self::Dedup(dedup) => vec![&dedup.input],
            Self::Aggregate(aggregate) => vec![&aggregate.input],
        }
    }

    /// The same, to be changed.
    #[must_use]
    pub fn inputs_mut(&mut self) -> Vec<&mut Self> {
        match self {
            Self::Stream(_) => Vec::new(),
            Self::Plan(plan) => plan.inputs.iter_mut().map(|(_, node)| node).collect(),
            Self::Late(input) => vec![input.as_mut()],
            Self::Dedup(dedup) => vec![dedup.input.as_mut()],
            Self::Aggregate(aggregate) => vec![aggregate.input.as_mut()],
        }
    }

    /// What is asked of the operator that stands here; `None` where no state is.
    #[must_use]
    pub fn operator(&self) -> Option<OperatorSpec<'_>> {
        match self {
            Self::Stream(_) | Self::Plan(_) | Self::Late(_) => None,
            Self::Dedup(node) => Some(OperatorSpec {
                id: &node.id,
                kind: &DedupNode::KIND,
                clauses: &node.clauses,
                keys: node.keys.iter().map(|key| Expr::Column(Column::new_unqualified(key))).collect(),
                computes: &[],
                window: None,
                session_end: None,
                remembers_micros: node.delay_micros,
            }),
            Self::Aggregate(node) => Some(OperatorSpec {
                id: &node.id,
                kind: &AggregateNode::KIND,
                clauses: &node.clauses,
                keys: node.keys(),
                computes: &node.known_as,
                window: Some(node.window),
                session_end: node.session_end(),
                remembers_micros: None,
            }),
        }
    }

    /// The names that stand in this node alone: of its operator, of the clause that starts here, and of the streams and
    /// clauses that it refers to.
    #[must_use]
    pub fn names_mut(&mut self) -> Vec<&mut String> {
        match self {
            Self::Stream(node) => {
                let clause = node.clause.iter_mut().map(|clause| &mut clause.id);
                clause.chain([&mut node.upstream]).collect()
            }
            Self::Plan(_) | Self::Late(_) => Vec::new(),
            Self::Dedup(node) => node.clauses.iter_mut().chain([&mut node.id]).collect(),
            Self::Aggregate(node) => node.clauses.iter_mut().chain([&mut node.id]).collect(),
        }
    }
}
