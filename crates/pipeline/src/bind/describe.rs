//! The output of `plan` for programs: the graph, schemas, state and guarantees. `text` prints the same for people.

use std::collections::BTreeMap;

use datafusion::logical_expr::{Expr, LogicalPlan};
use serde::Serialize;
use sluicebox_core::fate::Ledger;
use sluicebox_core::provenance::EVENT_TIME;

use super::lower::unaliased;
use super::words::{Words, duration, sql_type};
use crate::ast::{Action, Using};
use crate::diagnostic::{Diagnostic, line_col};
use crate::graph::{AggregateNode, Assigner, Clause, DedupNode, Flow, Graph, Node, PlanNode, SessionEnd, Table};

/// A pipeline, described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Description {
    /// The pipeline's name.
    pub pipeline: String,
    /// The sources, in the order of the text.
    pub sources: Vec<SourceDescription>,
    /// The tables, each after those it reads.
    pub tables: Vec<TableDescription>,
    /// What runs and should be known, in the order of the text.
    pub warnings: Vec<WarningDescription>,
}

/// Something that runs and should be known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WarningDescription {
    /// A short name of its kind, the same in every release.
    pub code: String,
    /// What it is.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
}

/// A source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceDescription {
    /// Its name.
    pub name: String,
    /// `kafka`, `files` or `rate`.
    pub kind: &'static str,
}

/// A streaming table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableDescription {
    /// Its name.
    pub name: String,
    /// The sources and tables that it reads, each once, in the order of the text.
    pub upstreams: Vec<String>,
    /// The folder of its files, relative to the working directory; or its topic.
    pub location: String,
    /// `parquet` or `kafka`.
    pub format: &'static str,
    /// The partition columns, in order.
    pub partitioned_by: Vec<String>,
    /// `append`: a row is written once, when it is final.
    pub output_mode: &'static str,
    /// What readers may rely on.
    pub guarantee: &'static str,
    /// The columns in order.
    pub columns: Vec<ColumnDescription>,
    /// The watermark that its rows carry; none if no clause stands above.
    pub watermark: Option<WatermarkDescription>,
    /// What its queries do to the rows, a flow each.
    pub flows: Vec<FlowDescription>,
    /// What its operators remember between batches; empty for a stateless table.
    pub state: Vec<StateDescription>,
    /// Its expectations, in the order of the text.
    pub expectations: Vec<ExpectationDescription>,
    /// The kind of equation that its fates satisfy in each batch.
    pub ledger: Ledger,
    /// The equation.
    pub ledger_equation: &'static str,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnDescription {
    /// Its name.
    pub name: String,
    /// Its type, as Spark spells it.
    pub r#type: String,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// Whether its values are in the path of the files instead of in them.
    pub partition: bool,
    /// Whether it is the event time of the rows' watermark.
    pub event_time: bool,
}

/// The watermark of a table's rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WatermarkDescription {
    /// The columns that a table below may put into `window(...)`.
    pub event_time: Vec<String>,
    /// The clauses that the rows have passed.
    pub clauses: Vec<ClauseDescription>,
}

/// A WATERMARK clause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClauseDescription {
    /// Its id, which names its state.
    pub id: String,
    /// The source or table that it stands at.
    pub upstream: String,
    /// The column with the event time.
    pub column: String,
    /// The delay, in microseconds.
    pub delay_micros: i64,
    /// The delay, in words.
    pub delay: String,
    /// Whether it stands in a query of this very table, so that late rows are kept below `data/late/<pipeline>/<table>/`.
    pub here: bool,
}

/// A flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlowDescription {
    /// Its name.
    pub name: String,
    /// What happens to the rows, in the order in which it happens.
    pub steps: Vec<String>,
}

/// What an operator remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateDescription {
    /// Its id, which names the state in the checkpoint.
    pub id: String,
    /// `dedup` or `window`.
    pub operator: &'static str,
    /// The expressions by which rows are told apart.
    pub keys: Vec<String>,
    /// What is held.
    pub holds: String,
    /// Until when it is held.
    pub until: String,
    /// Whether what is held has a bound, given a bounded rate of events.
    pub bounded: bool,
    /// What it is for, in few words.
    #[serde(skip)]
    pub brief: String,
}

/// An expectation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExpectationDescription {
    /// Its name.
    pub name: String,
    /// The condition as it was written.
    pub condition: String,
    /// `warn`, `drop`, `quarantine` or `fail`.
    pub action: &'static str,
}

impl Graph {
    /// What `plan` says of the pipeline.
    #[must_use]
    pub fn describe(&self) -> Description {
        let clauses = self.clauses();
        let sources = self.pipeline.sources.iter();
        let mut tables: Vec<TableDescription> = self.tables.iter().map(|t| table(t, &clauses)).collect();
        for (described, table) in tables.iter_mut().zip(&self.tables) {
            let steps = described.flows.iter_mut().flat_map(|f| &mut f.steps);
            let keys = described.state.iter_mut().flat_map(|s| s.keys.iter_mut().chain([&mut s.brief]));
            steps.chain(keys).for_each(|sql| *sql = self.pipeline.as_written(sql));
            for (described, expectation) in described.expectations.iter_mut().zip(&table.expectations) {
                described.condition = one_line(&self.pipeline.as_written(&expectation.text));
            }
        }
        Description {
            pipeline: self.pipeline.name.clone(),
            sources: sources
                .map(|s| SourceDescription { name: s.name.value.clone(), kind: s.kind.value.name() })
                .collect(),
            tables,
            warnings: self.warnings.iter().map(|w| warning(w, &self.pipeline.text)).collect(),
        }
    }

    /// Every WATERMARK clause by its id, with the source or table at which it stands.
    #[must_use]
    pub fn clauses(&self) -> BTreeMap<String, (String, Clause)> {
        let flows = self.tables.iter().flat_map(|t| &t.flows);
        let streams = flows.flat_map(|f| f.node.streams());
        streams.filter_map(|s| s.clause.clone().map(|c| (c.id.clone(), (s.upstream.clone(), c)))).collect()
    }
}

type Clauses = BTreeMap<String, (String, Clause)>;

fn warning(warning: &Diagnostic, text: &str) -> WarningDescription {
    let (line, column) = line_col(text, warning.span.start);
    WarningDescription {
        code: warning.code.to_owned(),
        message: warning.message.clone(),
        help: warning.help.clone(),
        line,
        column,
    }
}

fn table(table: &Table, clauses: &Clauses) -> TableDescription {
    let mut upstreams: Vec<String> = Vec::new();
    for stream in table.flows.iter().flat_map(|f| f.node.streams()) {
        if !upstreams.contains(&stream.upstream) {
            upstreams.push(stream.upstream.clone());
        }
    }
    let columns = table.written.fields().iter().map(|f| ColumnDescription {
        name: f.name().clone(),
        r#type: sql_type(f.data_type()),
        nullable: f.is_nullable(),
        partition: table.partitioned_by.contains(f.name()),
        event_time: table.event_time.contains(f.name()),
    });
    let expectations = table.expectations.iter().map(|e| ExpectationDescription {
        name: e.name.clone(),
        condition: one_line(&e.text),
        action: match e.action {
            Action::Warn => "warn",
            Action::Drop => "drop",
            Action::Quarantine => "quarantine",
            Action::Fail => "fail",
        },
    });
    TableDescription {
        name: table.name.clone(),
        upstreams,
        location: table.location.clone(),
        format: table.using.as_str(),
        partitioned_by: table.partitioned_by.clone(),
        output_mode: "append",
        guarantee: match table.using {
            Using::Parquet => {
                "exactly once: every row in one file, of one committed batch, whatever is killed and replayed"
            }
            Using::Kafka => {
                "exactly once for readers of committed events: a batch is one transaction, whatever is killed and replayed"
            }
            Using::Added(_) => {
                "exactly once, as its sink promises: a batch that is there is not added again, whatever is killed and replayed"
            }
        },
        columns: columns.collect(),
        watermark: watermark(table, clauses),
        flows: table.flows.iter().map(flow).collect(),
        state: table.flows.iter().flat_map(|f| f.node.bottom_up()).filter_map(|n| state(n, clauses)).collect(),
        expectations: expectations.collect(),
        ledger: table.ledger,
        ledger_equation: table.ledger.equation(),
    }
}

fn one_line(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn watermark(table: &Table, clauses: &Clauses) -> Option<WatermarkDescription> {
    let here: Vec<&str> = table
        .flows
        .iter()
        .flat_map(|f| f.node.streams())
        .filter_map(|s| s.clause.as_ref().map(|c| c.id.as_str()))
        .collect();
    let own = table.clauses.iter().map(String::as_str).chain(here.iter().copied());
    let ids: std::collections::BTreeSet<&str> = own.collect();
    let described = ids.into_iter().filter_map(|id| {
        let (upstream, clause) = clauses.get(id)?;
        Some(ClauseDescription {
            id: id.to_owned(),
            upstream: upstream.clone(),
            column: clause.column.clone(),
            delay_micros: clause.delay_micros,
            delay: duration(clause.delay_micros),
            here: here.contains(&id),
        })
    });
    let described: Vec<_> = described.collect();
    (!described.is_empty()).then(|| WatermarkDescription { event_time: table.event_time.clone(), clauses: described })
}

fn flow(flow: &Flow) -> FlowDescription {
    let mut steps = Vec::new();
    let mut words = Words::default();
    for node in flow.node.bottom_up() {
        match node {
            Node::Stream(stream) => {
                steps.push(format!("read {}", stream.upstream));
                if let Some(clause) = &stream.clause {
                    steps.push(format!("judge lateness by {}, delay {}", clause.column, duration(clause.delay_micros)));
                }
            }
            Node::Plan(plan) => steps.extend(plan_steps(&plan.plan, &words)),
            Node::Late(_) => steps.push("take out late rows".to_owned()),
            Node::Dedup(_) => steps.push(format!("keep the first row per {}", dedup_keys(node).join(", "))),
            Node::Aggregate(aggregate) => {
                let mut keys = vec![window_words(aggregate)];
                keys.extend(aggregate.group.iter().map(|e| words.say(e)));
                if !aggregate.sets.is_empty() {
                    keys.push(format!("in {} sets of these", aggregate.sets.len()));
                }
                let values: Vec<String> = aggregate.aggregates.iter().map(|e| words.say(e)).collect();
                let values =
                    if values.is_empty() { "group".to_owned() } else { format!("aggregate {}", values.join(", ")) };
                steps.push(format!("{values} by {}", keys.join(", ")));
                words.learn(aggregate);
            }
        }
    }
    FlowDescription { name: flow.name.clone(), steps }
}

fn plan_steps(plan: &LogicalPlan, words: &Words) -> Vec<String> {
    let mut steps: Vec<String> = plan.inputs().into_iter().flat_map(|p| plan_steps(p, words)).collect();
    match plan {
        LogicalPlan::Filter(filter) => steps.push(format!("keep rows where {}", words.say(&filter.predicate))),
        LogicalPlan::Union(_) => steps.push("put the streams together".to_owned()),
        LogicalPlan::Window(window) => {
            let said: Vec<String> = window.window_expr.iter().map(|e| words.say(unaliased(e))).collect();
            steps.push(format!("compute {} over the rows of a window", said.join(", ")));
        }
        LogicalPlan::Unnest(_) => steps.push("make a row of each element of a list".to_owned()),
        LogicalPlan::Projection(projection) => {
            let computed: Vec<String> = projection.expr.iter().filter_map(|e| words.computed(e)).collect();
            if !computed.is_empty() {
                steps.push(format!("compute {}", computed.join(", ")));
            }
        }
        _ => {}
    }
    steps
}

fn state(node: &Node, clauses: &Clauses) -> Option<StateDescription> {
    let words = Words::default();
    match node {
        Node::Dedup(dedup) => {
            let until = match dedup.delay_micros {
                Some(delay) => {
                    format!("the watermark is {} past the event time of the row that was kept", duration(delay))
                }
                None => {
                    "for ever: memory grows with the number of keys; a WATERMARK on the stream bounds it".to_owned()
                }
            };
            let keys = dedup_keys(node);
            Some(StateDescription {
                id: dedup.id.clone(),
                operator: DedupNode::KIND.name,
                brief: format!("first row per {}", keys.join(", ")),
                keys,
                holds: "one entry per key".to_owned(),
                until,
                bounded: dedup.delay_micros.is_some(),
            })
        }
        Node::Aggregate(aggregate) => {
            let delay = aggregate.clauses.iter().filter_map(|id| clauses.get(id)).map(|(_, c)| c.delay_micros).max();
            let delay = delay.map(duration).unwrap_or_default();
            Some(StateDescription {
                id: aggregate.id.clone(),
                operator: AggregateNode::KIND.name,
                brief: window_words(aggregate),
                keys: aggregate.group.iter().map(|e| words.say(e)).collect(),
                holds: format!("one partial row per {} and group", window_words(aggregate)),
                until: format!(
                    "the watermark ({delay} behind the event time seen) reaches the end of the {}, when its rows are written",
                    if matches!(aggregate.window.assigner, Assigner::Session(_)) { "session" } else { "window" }
                ),
                bounded: true,
            })
        }
        _ => None,
    }
}

fn dedup_keys(node: &Node) -> Vec<String> {
    let Node::Dedup(dedup) = node else { return Vec::new() };
    let plan = match dedup.input.as_ref() {
        Node::Late(inner) => inner.as_ref(),
        other => other,
    };
    let Node::Plan(PlanNode { plan: LogicalPlan::Projection(projection), .. }) = plan else { return Vec::new() };
    let key = |name: &String| {
        projection.expr.iter().find_map(|e| match e {
            Expr::Alias(alias) if alias.name == *name => Some(Words::default().say(&alias.expr)),
            _ => None,
        })
    };
    dedup.keys.iter().filter_map(key).collect()
}

fn window_words(node: &AggregateNode) -> String {
    let shifted = |mut words: String, offset: i64| {
        if offset != 0 {
            words.push_str(&format!(" shifted by {}", duration(offset)));
        }
        words
    };
    match node.window.assigner {
        Assigner::Hopping { size_micros, slide_micros, offset_micros } => {
            let mut words = format!("window of {}", duration(size_micros));
            if slide_micros != size_micros {
                words.push_str(&format!(" every {}", duration(slide_micros)));
            }
            shifted(words, offset_micros)
        }
        Assigner::Cumulating { size_micros, step_micros, offset_micros } => {
            let words = format!("window of {} cumulated by {}", duration(size_micros), duration(step_micros));
            shifted(words, offset_micros)
        }
        Assigner::Calendar(windows) => {
            shifted(format!("window of {} in {}", duration(windows.size()), windows.zone()), windows.offset())
        }
        Assigner::Session(SessionEnd::After(gap)) => format!("session with a gap of {}", duration(gap)),
        Assigner::Session(SessionEnd::InColumn) => {
            let end = node.session_end().map(|end| Words::default().say(end)).unwrap_or_default();
            format!("session in which each row lasts until {}", end.replace(EVENT_TIME, "its event time"))
        }
    }
}
