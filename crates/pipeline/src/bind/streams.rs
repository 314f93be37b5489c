//! The leaves of a query: sources, tables and views, and the WATERMARK clauses that stand at them.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::TableReference;
use datafusion::logical_expr::{Expr, LogicalPlan, SubqueryAlias, TableScan};

use super::lower::{Facts, Lowered, Lowering, Rows, Shape, hidden_fields, unaliased};
use super::plan::unknown_column;
use super::said::type_name;
use crate::ast::{Span, Spanned, StreamRef, WatermarkDef};
use crate::diagnostic::Diagnostic;
use crate::graph::{Clause, Hidden, Node, StreamNode};
use crate::leaf;

/// A source or a table, as queries below it see it.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    /// Its visible columns.
    pub(super) schema: SchemaRef,
    pub(super) hidden: Hidden,
    /// The columns that are the event time of the watermark that its rows carry.
    pub(super) event_time: Vec<String>,
    /// The columns that hold a window of that event time.
    pub(super) windows: Vec<String>,
    pub(super) clauses: Vec<String>,
}

/// What a name in `STREAM name` stands for.
pub(super) enum Relation<'p> {
    Rows(Upstream),
    View(View<'p>),
}

/// A view: its query is lowered again wherever it is read.
pub(super) struct View<'p> {
    pub(super) plan: LogicalPlan,
    pub(super) streams: &'p [StreamRef],
    pub(super) span: Span,
    pub(super) ast: &'p datafusion::sql::sqlparser::ast::Query,
}

impl<'p> Lowering<'_, 'p> {
    pub(super) fn scan(&mut self, scan: &TableScan) -> Lowered<Rows> {
        let name = scan.table_name.table();
        let found = self.streams.iter().rev().flat_map(|s| s.iter()).find(|s| s.leaf == name);
        let Some(stream) = found else {
            let message = format!("`{name}` is not a stream of this query");
            return Err(self.refuse("no-stream", &message, "", "write FROM STREAM name"));
        };
        let relations = self.relations;
        match relations.get(&stream.table.value) {
            Some(Relation::Rows(upstream)) => self.stream(stream, upstream),
            Some(Relation::View(view)) => self.view(stream, view),
            None => {
                let message = format!("`{}` could not be planned", stream.table.value);
                Err(self.refuse("no-stream", &message, "", "see the other messages"))
            }
        }
    }

    fn stream(&mut self, stream: &StreamRef, upstream: &Upstream) -> Lowered<Rows> {
        let n = self.clauses;
        self.clauses += 1;
        let clause = match self.watermark(stream) {
            None => None,
            Some(watermark) => {
                self.check_watermark(&watermark, &stream.table.value, upstream)?;
                let column = watermark_column(upstream, &watermark.column.value)
                    .map_or_else(|| watermark.column.value.clone(), |f| f.name().clone());
                let id = format!("{}.{n}", self.flow);
                self.delays.insert(id.clone(), watermark.delay_micros);
                Some(Clause { id, column, delay_micros: watermark.delay_micros })
            }
        };
        let hidden = Hidden { event_time: upstream.hidden.event_time || clause.is_some(), ..upstream.hidden };
        let position = |name: &String| upstream.schema.index_of(name).ok();
        let facts = Facts {
            hidden,
            event_time: match &clause {
                Some(clause) => position(&clause.column).into_iter().collect(),
                None => upstream.event_time.iter().filter_map(position).collect(),
            },
            windows: upstream.windows.iter().filter_map(position).collect(),
            ends: BTreeSet::new(),
            starts_tell: false,
            clauses: clause.iter().map(|c| c.id.clone()).chain(upstream.clauses.iter().cloned()).collect(),
            late: clause.is_some(),
            shape: Shape::default(),
        };
        let fields: Vec<FieldRef> = upstream.schema.fields().iter().cloned().chain(hidden_fields(hidden)).collect();
        let schema = Arc::new(Schema::new(fields));
        let name = self.leaf_name(&stream.leaf);
        let plan = leaf::scan(&name, Arc::clone(&schema)).map_err(|e| self.failed(&e))?;
        let plan = self.qualified(plan, &name, &stream.leaf)?;
        let node = StreamNode { upstream: stream.table.value.clone(), clause, schema, hidden };
        Ok(Rows { plan, inputs: vec![(name, Node::Stream(node))], bare: true, row_by_row: true, facts })
    }

    fn check_watermark(&self, watermark: &WatermarkDef, table: &str, upstream: &Upstream) -> Lowered<()> {
        if upstream.hidden.event_time {
            return Err(Box::new(second_watermark(watermark, table)));
        }
        if !upstream.hidden.provenance {
            return Err(Box::new(
                Diagnostic::new(
                    "no-provenance",
                    watermark.span,
                    format!("a watermark needs rows whose source partition and offset are known; `{table}` has none"),
                    "no provenance here",
                )
                .with_help("put WATERMARK where the rows are read from their source, before they are aggregated"),
            ));
        }
        let column = &watermark.column;
        if watermark_column(upstream, &column.value).is_none() {
            let known = upstream.schema.fields().iter().map(|f| f.name().as_str());
            return Err(Box::new(unknown_column(&column.value, column.span, known)));
        }
        no_timestamp(watermark, upstream).map_or(Ok(()), |diagnostic| Err(Box::new(diagnostic)))
    }

    /// A view: its query in the place of its name.
    fn view(&mut self, stream: &'p StreamRef, view: &View<'p>) -> Lowered<Rows> {
        let judged = match self.watermark(stream) {
            Some(watermark) => Some(self.push_down(&watermark, stream, view)?),
            None => None,
        };
        self.streams.push(view.streams);
        let outer = std::mem::replace(&mut self.span, view.span);
        let outer_ast = std::mem::replace(&mut self.ast, view.ast);
        let rows = self.lower(&view.plan);
        self.span = outer;
        self.ast = outer_ast;
        self.streams.pop();
        // The view may be read again, without a clause.
        judged.and_then(|leaf| self.watermarks.remove(&leaf));
        let rows = rows?;
        let alias = SubqueryAlias::try_new(Arc::new(rows.plan), TableReference::bare(stream.leaf.as_str()));
        let plan = LogicalPlan::SubqueryAlias(alias.map_err(|e| self.failed(&e))?);
        Ok(Rows { plan, ..rows })
    }

    /// The clause at a stream: its own, or that of a view above.
    fn watermark(&self, stream: &StreamRef) -> Option<WatermarkDef> {
        self.watermarks.get(&stream.leaf).or(stream.watermark.as_ref()).cloned()
    }

    /// A clause at a view that only chooses and renames columns stands at the stream that the view reads. Gives that
    /// stream's leaf.
    fn push_down(&mut self, watermark: &WatermarkDef, stream: &StreamRef, view: &View<'p>) -> Lowered<String> {
        let schema = view.plan.schema();
        let find = |name: &str| schema.fields().iter().position(|f| f.name() == name);
        let column = &watermark.column;
        let Some(at) = find(&column.value).or_else(|| find(&column.value.to_lowercase())) else {
            let known = schema.fields().iter().map(|f| f.name().as_str());
            return Err(Box::new(unknown_column(&column.value, column.span, known)));
        };
        let Some((leaf, value)) = origin(&view.plan, at) else {
            let table = &stream.table.value;
            return Err(Box::new(
                Diagnostic::new(
                    "watermark-on-view",
                    watermark.span,
                    format!("`{table}` is a view that does more than choose columns: it has no rows of its own to judge"),
                    "on a view",
                )
                .with_related(view.span, "the view's query")
                .with_help(
                    "put WATERMARK into the view, after the STREAM that it reads; an event time that is computed is computed \
                     in an upstream table",
                ),
            ));
        };
        if view.streams.iter().any(|s| s.leaf == leaf && s.watermark.is_some()) {
            return Err(Box::new(second_watermark(watermark, &stream.table.value)));
        }
        let column = Spanned { value, span: column.span };
        self.watermarks.insert(leaf.clone(), WatermarkDef { column, ..watermark.clone() });
        Ok(leaf)
    }

    /// A name for a leaf: a stream that is read twice, through a view or a WITH query, has two leaves.
    fn leaf_name(&mut self, base: &str) -> String {
        let seen = self.leaves.entry(base.to_owned()).or_default();
        *seen += 1;
        if *seen == 1 { base.to_owned() } else { format!("{base}_{seen}") }
    }

    fn qualified(&self, plan: LogicalPlan, name: &str, alias: &str) -> Lowered<LogicalPlan> {
        if name == alias {
            return Ok(plan);
        }
        SubqueryAlias::try_new(Arc::new(plan), TableReference::bare(alias))
            .map(LogicalPlan::SubqueryAlias)
            .map_err(|e| self.failed(&e))
    }
}

/// The leaf and the column of it that column `at` of `plan` is, if nothing but columns is chosen between.
fn origin(plan: &LogicalPlan, at: usize) -> Option<(String, String)> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            Some((scan.table_name.table().to_owned(), scan.projected_schema.field(at).name().clone()))
        }
        LogicalPlan::SubqueryAlias(alias) => origin(&alias.input, at),
        LogicalPlan::Projection(projection) => match unaliased(projection.expr.get(at)?) {
            Expr::Column(column) => origin(&projection.input, projection.input.schema().maybe_index_of_column(column)?),
            _ => None,
        },
        _ => None,
    }
}

/// What is wrong with a watermark whose column is no timestamp.
pub(super) fn no_timestamp(watermark: &WatermarkDef, upstream: &Upstream) -> Option<Diagnostic> {
    let field = watermark_column(upstream, &watermark.column.value)?;
    if matches!(field.data_type(), DataType::Timestamp(..)) {
        return None;
    }
    let message = format!("an event time is a timestamp; `{}` is {}", field.name(), type_name(field.data_type()));
    Some(
        Diagnostic::new("watermark-type", watermark.column.span, message, "not a timestamp")
            .with_help(format!("make it one in an upstream table: CAST({} AS TIMESTAMP)", field.name())),
    )
}

/// The column of a WATERMARK clause, as SQL finds it: names without quotes are lower case.
fn watermark_column<'u>(upstream: &'u Upstream, name: &str) -> Option<&'u Field> {
    let find = |name: &str| upstream.schema.field_with_name(name).ok();
    find(name).or_else(|| find(&name.to_lowercase()))
}

/// A clause at rows that have passed one.
fn second_watermark(watermark: &WatermarkDef, table: &str) -> Diagnostic {
    Diagnostic::new(
        "second-watermark",
        watermark.span,
        format!("the rows of `{table}` already carry a watermark, from above"),
        "a second one",
    )
    .with_help("leave this clause out; the delay is set where the first one stands")
}
