//! From a parsed pipeline to plans: resolves names and types, and cuts queries where state begins.
//!
//! A query passes these steps, each a file:
//!
//! 1. `check` refuses what no query over a stream may have, in the parsed SQL.
//! 2. [`crate::window::names`] resolves names that a window or the SELECT list gives, now that columns are known.
//! 3. `plan` lets DataFusion plan and analyse the query over the visible columns of its streams, so that `SELECT *` never sees a hidden
//!    one, and turns its errors into diagnostics. [`functions`] and `durations` give the functions and rules.
//! 4. `stored` casts the columns of a table to the types that all readers of its files read alike.
//! 5. `lower`, `streams` and `stateful` rebuild the plan bottom-up with the hidden columns behind the visible ones, and cut it into
//!    [`crate::graph::Node`]s where state begins.
//! 6. `table` checks the table as a whole: one schema for all its flows, expectations, partition columns.
//!
//! The engine needs [`crate::leaf`], [`clock`], [`dates`] and [`checked`] to run the plans.

mod added;
mod blame;
mod calls;
mod check;
pub mod checked;
pub mod clock;
mod constants;
pub mod dates;
mod describe;
mod doubts;
mod durations;
mod folder;
mod forms;
pub mod functions;
mod generators;
mod intervals;
mod keys;
mod lower;
mod order;
mod ours;
mod over;
mod part;
mod place;
mod plan;
mod rules;
mod said;
mod scope;
mod spark;
mod stateful;
mod stored;
mod streams;
mod table;
mod text;
mod unions;
mod windowed;
mod words;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use sluicebox_core::provenance::{PREFIX, is_hidden, provenance_fields, visible_schema};

use self::lower::{Facts, Lowering};
use self::place::Places;
use self::plan::Catalog;
use self::streams::{Relation, Upstream, View};
use crate::ast::{FlowDef, Pipeline, Query, SourceDef, Span, Spanned, TableDef, ViewDef};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::graph::{Flow, Graph, Hidden, OnError, Table};
use crate::window::names;

pub use self::added::{FunctionError, Functions};
pub use self::blame::{Blamer, in_words};
pub use self::clock::{bind_clock, bind_expectation, bind_expr_clock, expr_uses_clock, uses_clock};
pub use self::describe::{
    ClauseDescription, ColumnDescription, Description, ExpectationDescription, FlowDescription, SourceDescription,
    StateDescription, TableDescription, WarningDescription, WatermarkDescription,
};
pub use self::functions::{session_state, session_state_within};
pub use self::plan::{ASK_FOR_LESS, query_mistake};
pub use self::stateful::with_computed;
pub use self::table::age_column;
pub(crate) use self::table::unstorable;
pub use self::words::{duration, sql_type};

/// A type as `plan` prints it.
#[must_use]
pub fn type_name(data_type: &DataType) -> String {
    words::sql_type(data_type)
}

/// A name as it must be written: in double quotes where SQL would read another name without them.
#[must_use]
pub fn quoted_name(name: &str) -> String {
    plan::quoted(name)
}

/// Resolves every name and type of `pipeline` and cuts its queries into nodes.
///
/// `sources` gives for each source its visible columns and then those of provenance.
///
/// # Errors
/// All mistakes that can be told apart, in the order of the text. A query whose upstream is wrong is not looked at.
pub fn bind(pipeline: Pipeline, sources: &BTreeMap<String, SchemaRef>) -> Result<Graph, Diagnostics> {
    bind_with(pipeline, sources, &Functions::default())
}

/// The same of a pipeline that may call `functions` too.
///
/// # Errors
/// As [`bind()`].
pub fn bind_with(
    pipeline: Pipeline,
    sources: &BTreeMap<String, SchemaRef>,
    functions: &Functions,
) -> Result<Graph, Diagnostics> {
    let mut binder = Binder::new(&pipeline, sources, functions);
    binder.run();
    let Binder { tables, found, warnings, .. } = binder;
    let as_written = |said: Vec<Diagnostic>| -> Vec<Diagnostic> {
        said.into_iter().map(|one| one.map_said(|text| pipeline.as_written(text))).collect()
    };
    let found = as_written(found);
    if found.is_empty() {
        let mut warnings = as_written(warnings);
        warnings.sort_by_key(|w| (w.span.start, w.span.end));
        return Ok(Graph { pipeline, tables, read_back: BTreeMap::new(), warnings });
    }
    Err(Diagnostics::new(pipeline.file.clone(), Arc::clone(&pipeline.text), found))
}

/// So many queries may stand side by side in a UNION: the parsed form of a UNION is as deep as it is long, and deeper
/// trees overflow the stack of an ordinary thread.
const MAX_UNION: usize = 64;

/// What is bound so far.
struct Binder<'p> {
    pipeline: &'p Pipeline,
    state: SessionState,
    places: Places<'p>,
    relations: BTreeMap<String, Relation<'p>>,
    /// Views and tables with a mistake, and those below them.
    wrong: BTreeSet<String>,
    delays: BTreeMap<String, i64>,
    tables: Vec<Table>,
    found: Vec<Diagnostic>,
    /// What runs, and should be known.
    warnings: Vec<Diagnostic>,
}

/// A flow and what is known of its rows.
struct BoundFlow {
    flow: Flow,
    span: Span,
    facts: Facts,
    /// The visible columns.
    schema: SchemaRef,
}

type Found<T> = Result<T, Vec<Diagnostic>>;

impl<'p> Binder<'p> {
    fn new(pipeline: &'p Pipeline, sources: &BTreeMap<String, SchemaRef>, functions: &Functions) -> Self {
        let mut relations = BTreeMap::new();
        let mut found = Vec::new();
        for source in &pipeline.sources {
            if let Some(schema) = sources.get(&source.name.value) {
                found.extend(source_mistakes(source, schema));
                let upstream = Upstream {
                    schema: visible_schema(schema),
                    hidden: Hidden { provenance: true, event_time: false },
                    event_time: Vec::new(),
                    windows: Vec::new(),
                    clauses: Vec::new(),
                };
                relations.insert(source.name.value.clone(), Relation::Rows(upstream));
            }
        }
        Self {
            pipeline,
            state: functions.session_state(1),
            places: Places::new(&pipeline.text),
            relations,
            wrong: BTreeSet::new(),
            delays: BTreeMap::new(),
            tables: Vec::new(),
            found,
            warnings: Vec::new(),
        }
    }

    fn run(&mut self) {
        for item in order::order(self.pipeline) {
            let (name, streams) = (item.name(), item.upstreams());
            let usable = streams.iter().all(|s| self.relations.contains_key(*s) && !self.wrong.contains(*s));
            if !usable {
                self.unusable(&item);
                self.wrong.insert(name.to_owned());
                continue;
            }
            let bound = match item {
                order::Item::View(view) => self.view(view).map(Relation::View),
                order::Item::Table(def) => self.table(def).map(|(table, upstream)| {
                    self.tables.push(table);
                    Relation::Rows(upstream)
                }),
            };
            match bound {
                Ok(relation) => {
                    self.doubts(&item);
                    self.relations.insert(name.to_owned(), relation);
                }
                Err(mistakes) => {
                    self.found.extend(mistakes);
                    self.wrong.insert(name.to_owned());
                }
            }
        }
    }

    /// Warns of what gives nothing for any row.
    fn doubts(&mut self, item: &order::Item<'p>) {
        let found: Vec<Diagnostic> = match item {
            order::Item::View(view) => doubts::warnings(&*view.query.ast, &self.places, view.query.span),
            order::Item::Table(table) => {
                let queries = table.flows.iter().map(|flow| (&flow.query.ast, flow.query.span));
                let queries = queries.flat_map(|(ast, span)| doubts::warnings(&**ast, &self.places, span));
                let conditions = table.constraints.iter();
                queries.chain(conditions.flat_map(|c| doubts::warnings(&c.condition, &self.places, c.span))).collect()
            }
        };
        self.warnings.extend(found);
    }

    /// A source without a schema is the caller's mistake; every other reason has been reported.
    fn unusable(&mut self, item: &order::Item<'p>) {
        for stream in item.streams() {
            let name = &stream.table;
            let source = self.pipeline.sources.iter().any(|s| s.name.value == name.value);
            if source && !self.relations.contains_key(&name.value) {
                let message = format!("the columns of source `{}` are not known", name.value);
                self.found.push(Diagnostic::new("source-schema", name.span, message, "no schema"));
            }
        }
    }

    fn view(&self, view: &'p ViewDef) -> Found<View<'p>> {
        let plan = self.plan(&view.query)?;
        Ok(View { plan, streams: &view.query.streams, span: view.query.span, ast: &view.query.ast })
    }

    fn flow(&mut self, flow: &'p FlowDef, partitioned_by: &[Spanned<String>], on_error: OnError) -> Found<BoundFlow> {
        let span = flow.query.span;
        let plan = self.plan(&flow.query)?;
        let mistakes = self.check_types(&flow.query, plan.schema().as_arrow().fields());
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let plan = table::short_names(plan)
            .and_then(|plan| stored::as_stored(plan, partitioned_by))
            .map_err(|e| vec![plan::diagnose(&e, &self.places, span)])?;
        let mut lowering = Lowering {
            relations: &self.relations,
            places: &self.places,
            flow: &flow.name.value,
            span,
            ast: &flow.query.ast,
            streams: vec![&flow.query.streams],
            leaves: BTreeMap::new(),
            watermarks: BTreeMap::new(),
            clauses: 0,
            dedups: 0,
            aggregates: 0,
            nullable: on_error == OnError::Null,
            delays: &mut self.delays,
        };
        let bound = lowering.lower(&plan).and_then(|rows| {
            let facts = rows.facts.clone();
            lowering.node(rows).map(|node| (facts, node))
        });
        let (facts, node) = bound.map_err(|d| vec![*d])?;
        let schema = visible_schema(node.schema());
        Ok(BoundFlow { flow: Flow { name: flow.name.value.clone(), node }, span, facts, schema })
    }

    /// The analysed plan of a query over the visible columns of its streams.
    fn plan(&self, query: &Query) -> Found<LogicalPlan> {
        if check::set_operations(&query.ast) >= MAX_UNION {
            let message = format!("this query puts more than {MAX_UNION} queries together");
            return Err(vec![
                Diagnostic::new("too-deep", query.span, message, "")
                    .with_help("feed the table by several flows: CREATE FLOW name AS INSERT INTO table SELECT ..."),
            ]);
        }
        let mistakes = check::check(&*query.ast, &self.state, &self.places, query.span, check::Place::Query);
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let tables = query.streams.iter().filter_map(|s| {
            let schema = match self.relations.get(&s.table.value)? {
                Relation::Rows(upstream) => Arc::clone(&upstream.schema),
                Relation::View(view) => Arc::clone(view.plan.schema().inner()),
            };
            Some((s.leaf.clone(), schema))
        });
        let catalog = Catalog::new(&self.state, tables);
        let written = query;
        let mut query = query.clone();
        let aggregates = names::query(&mut query.ast, &query.window_names, &catalog);
        if !aggregates.is_empty() {
            let told = |at| keys::aggregate(self.places.parsed(at).unwrap_or(query.span));
            return Err(aggregates.into_iter().map(told).collect());
        }
        let plan = catalog.query(&query.ast).map_err(|error| vec![self.mistake(written, &query, &catalog, &error)])?;
        let mistakes = self.check_names(&query, plan.schema().as_arrow().fields());
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        match constants::of_plan(&plan, &self.state) {
            None => Ok(plan),
            Some(bad) => {
                let fails = |probe: &datafusion::sql::sqlparser::ast::Query| {
                    let probed = catalog.query(probe).ok();
                    probed.and_then(|plan| constants::of_plan(&plan, &self.state)).is_some_and(|found| found == bad)
                };
                Err(vec![bad.diagnostic(part::part(written, &query, &self.places, fails))])
            }
        }
    }

    /// What is wrong with a query that cannot be planned. A watermark that is none is told first: a window over its column, too,
    /// is told by that.
    fn mistake(&self, written: &Query, query: &Query, catalog: &Catalog<'_>, error: &DataFusionError) -> Diagnostic {
        let watermark = query.streams.iter().find_map(|stream| match self.relations.get(&stream.table.value)? {
            Relation::Rows(upstream) => streams::no_timestamp(stream.watermark.as_ref()?, upstream),
            Relation::View(_) => None,
        });
        watermark.unwrap_or_else(|| plan::diagnose_query(catalog, written, query, error, &self.places))
    }

    /// Columns that no file can hold.
    fn check_types(&self, query: &Query, fields: &Fields) -> Vec<Diagnostic> {
        // A column of a source that is NULL in every event is text in files; one that a query makes gets the type it is meant to have.
        let from_source = |field: &Field| {
            *field.data_type() == DataType::Null
                && query.streams.iter().any(|stream| match self.relations.get(&stream.table.value) {
                    Some(Relation::Rows(upstream)) => {
                        upstream.schema.field_with_name(field.name()).is_ok_and(|f| *f.data_type() == DataType::Null)
                    }
                    _ => false,
                })
        };
        let unstored = fields.iter().filter(|field| !from_source(field));
        let wrong = unstored.filter_map(|field| Some((field, table::unstorable(field.data_type())?)));
        wrong
            .map(|(field, help)| {
                let name = field.name();
                let at = plan::place_of_output(&query.ast, name, &self.places).unwrap_or(query.span);
                let what = said::type_name(field.data_type());
                let message = format!("`{name}` is of type {what}, which Parquet files cannot hold");
                Diagnostic::new("column-type", at, message, what).with_help(help)
            })
            .collect()
    }

    /// Columns of the table that some readers refuse, or read otherwise than `plan` says.
    fn misread(&self, def: &TableDef, schema: &Schema, partitioned_by: &[String]) -> Vec<Diagnostic> {
        let place = |column: &str| {
            let queries = def.flows.iter().map(|flow| &flow.query);
            queries.filter_map(|q| plan::place_of_output(&q.ast, column, &self.places)).next_back()
        };
        let found = stored::misread(schema, partitioned_by).into_iter().map(|m| {
            let at = place(&m.column).unwrap_or(def.name.span);
            Diagnostic::warning(m.code, at, format!("{}: {}", def.name.value, m.message), "").with_help(m.help)
        });
        found.collect()
    }

    /// Output columns whose name cannot be one.
    fn check_names(&self, query: &Query, fields: &Fields) -> Vec<Diagnostic> {
        let mut seen = BTreeSet::new();
        let at = |name: &str| plan::place_of_output(&query.ast, name, &self.places).unwrap_or(query.span);
        let mut mistakes = Vec::new();
        for name in fields.iter().map(|f| f.name()) {
            if !seen.insert(name) {
                mistakes.push(plan::duplicate_column(name, at(name)));
            } else if is_hidden(name) {
                let message = format!("`{name}` starts with `{PREFIX}`, as the columns of Sluicebox itself do");
                mistakes.push(
                    Diagnostic::new("reserved-name", at(name), message, "").with_help("give it another name with AS"),
                );
            }
        }
        mistakes
    }
}

/// What is wrong with the columns of a source.
fn source_mistakes(source: &SourceDef, schema: &Schema) -> Vec<Diagnostic> {
    let expected: Vec<String> = provenance_fields().iter().map(|f| f.name().clone()).collect();
    let mut seen = BTreeSet::new();
    let mut mistakes = Vec::new();
    let mut wrong = |message: String, help: &str| {
        mistakes.push(Diagnostic::new("source-schema", source.name.span, message, "this source").with_help(help));
    };
    for name in schema.fields().iter().map(|f| f.name()) {
        if !seen.insert(name) {
            wrong(
                format!("the events of `{}` have two columns called `{name}`", source.name.value),
                "a field of the events' schema may not be called as a column that every source has",
            );
        } else if is_hidden(name) && !expected.contains(name) {
            wrong(
                format!("the events of `{}` have a field `{name}`: {PREFIX} is reserved", source.name.value),
                "give the field another name in a reader schema, by an alias",
            );
        }
    }
    if !expected.iter().all(|name| seen.contains(name)) {
        wrong(
            format!("the rows of `{}` do not say where they come from", source.name.value),
            "this is a bug: report it",
        );
    }
    mistakes
}
