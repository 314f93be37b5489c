//! Checks a table as a whole: one schema for all its flows, expectations, partition columns, its location.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Decimal128Type, DecimalType, Field, Schema, SchemaRef};
use datafusion::common::{Column, DFSchema, DataFusionError};
use datafusion::logical_expr::{EmptyRelation, Expr, ExprSchemable, LogicalPlan, Projection};
use sluicebox_core::fate::Ledger;

use super::check::{Place, check};
use super::lower::{Shape, unaliased};
use super::plan::{Catalog, diagnose, unknown_column};
use super::said::type_name;
use super::streams::Upstream;
use super::{Binder, BoundFlow, Found};
use crate::ast::{ConstraintDef, Spanned, TableDef};
use crate::diagnostic::Diagnostic;
use crate::graph::{Expectation, Hidden, Table};
use crate::settings::Properties;
use crate::values;

impl<'p> Binder<'p> {
    pub(super) fn table(&mut self, def: &'p TableDef) -> Found<(Table, Upstream)> {
        let on_error = Properties::of(def).on_error;
        let mut flows = Vec::new();
        let mut mistakes = Vec::new();
        for flow in &def.flows {
            match self.flow(flow, &def.partitioned_by, on_error) {
                Ok(bound) => flows.push(bound),
                Err(found) => mistakes.extend(found),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let schema = one_schema(def, &flows)?;
        let mut expectations = Vec::new();
        for constraint in &def.constraints {
            match self.expectation(constraint, &schema) {
                Ok(expectation) => expectations.push(expectation),
                Err(found) => mistakes.extend(found),
            }
        }
        mistakes.extend(partition_mistakes(def, &schema));
        mistakes.extend(retain_mistake(def, &schema));
        mistakes.extend(compact_mistake(def));
        mistakes.extend(event_mistakes(def, &schema));
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let warnings = self.misread(def, &schema, &partition_names(def, &schema));
        self.warnings.extend(warnings);
        let upstream = upstream(&schema, &flows);
        let table = Table {
            name: def.name.value.clone(),
            using: def.using(),
            location: crate::settings::location(def),
            partitioned_by: partition_names(def, &schema),
            properties: def.properties.iter().map(|(k, v)| (k.value.clone(), v.value.clone())).collect(),
            expectations,
            on_error,
            ledger: ledger(flows.iter().map(|f| f.facts.shape)),
            flows: flows.into_iter().map(|f| f.flow).collect(),
            written: Arc::clone(&schema),
            schema,
            event_time: upstream.event_time.clone(),
            clauses: upstream.clauses.clone(),
            hidden: upstream.hidden,
        };
        Ok((table, upstream))
    }

    /// Resolves a condition against the table's visible columns.
    fn expectation(&self, def: &ConstraintDef, schema: &SchemaRef) -> Found<Expectation> {
        let mistakes = check(&def.condition, &self.state, &self.places, def.span, Place::Condition);
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let wrong = |e: DataFusionError| vec![diagnose(&e, &self.places, def.span)];
        let columns = DFSchema::from_unqualified_fields(schema.fields().clone(), Default::default()).map_err(wrong)?;
        let catalog = Catalog::new(&self.state, []);
        let condition = catalog.expression(&def.condition, &columns).map_err(wrong)?;
        let columns = Arc::new(columns);
        let rows = EmptyRelation { produce_one_row: false, schema: Arc::clone(&columns) };
        let plan = Projection::try_new(vec![condition], Arc::new(LogicalPlan::EmptyRelation(rows)))
            .map(LogicalPlan::Projection)
            .and_then(|plan| catalog.analyse(plan))
            .map_err(wrong)?;
        let LogicalPlan::Projection(Projection { expr, .. }) = plan else {
            return Err(wrong(DataFusionError::Plan("not a condition".to_owned())));
        };
        let condition = expr.first().map(unaliased).cloned().unwrap_or_default();
        let data_type = condition.get_type(columns.as_ref()).map_err(wrong)?;
        if data_type != DataType::Boolean {
            let message = format!("an expectation is a condition, true or false; this is {}", type_name(&data_type));
            return Err(vec![
                Diagnostic::new("expectation-type", def.span, message, "not a condition")
                    .with_help("compare it with something"),
            ]);
        }
        if let Some(bad) = super::constants::of_condition(&condition, columns.as_ref(), &self.state) {
            return Err(vec![bad.diagnostic(def.span)]);
        }
        Ok(Expectation {
            name: def.name.value.clone(),
            condition,
            text: def.text.clone(),
            action: def.action,
            span: def.span,
        })
    }
}

/// Columns of events that the table does not have.
fn event_mistakes(def: &TableDef, schema: &Schema) -> Vec<Diagnostic> {
    let lists =
        def.properties.iter().filter(|(key, _)| ["key.columns", "header.columns"].contains(&key.value.as_str()));
    let mut found = Vec::new();
    for (key, value) in lists {
        for name in values::names(&value.value) {
            if schema.index_of(name).is_err() {
                let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                let message = format!("`{}` has no column `{name}`, which '{}' names", def.name.value, key.value);
                let help = match crate::diagnostic::nearest(name, known.iter().copied()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("it has {}", known.join(", ")),
                };
                found.push(Diagnostic::new("unknown-column", value.span, message, "not a column").with_help(help));
            }
        }
    }
    found
}

/// The columns that all flows give.
fn one_schema(def: &TableDef, flows: &[BoundFlow]) -> Found<SchemaRef> {
    let Some((first, others)) = flows.split_first() else {
        let message = format!("nothing flows into `{}`", def.name.value);
        return Err(vec![
            Diagnostic::new("no-flow", def.name.span, message, "a table without a query")
                .with_help("add AS SELECT ..., or CREATE FLOW name AS INSERT INTO it SELECT ..."),
        ]);
    };
    let mut nullable: Vec<bool> = first.schema.fields().iter().map(|f| f.is_nullable()).collect();
    let mut mistakes = Vec::new();
    for other in others {
        match difference(&first.schema, &other.schema) {
            Some(what) => {
                let message = format!("flow `{}` does not fit `{}`: {what}", other.flow.name, def.name.value);
                mistakes.push(
                    Diagnostic::new("flow-schema", other.span, message, "other columns")
                        .with_related(first.span, "the table's columns come from here")
                        .with_help("give both the same columns in the same order, with CAST and AS"),
                );
            }
            None => nullable.iter_mut().zip(other.schema.fields()).for_each(|(n, f)| *n |= f.is_nullable()),
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let fields: Vec<Field> =
        first.schema.fields().iter().zip(nullable).map(|(f, n)| f.as_ref().clone().with_nullable(n)).collect();
    Ok(Arc::new(Schema::new(fields)))
}

fn difference(a: &Schema, b: &Schema) -> Option<String> {
    for (i, (x, y)) in a.fields().iter().zip(b.fields()).enumerate() {
        if x.name() != y.name() {
            return Some(format!("column {} is `{}`, the table's is `{}`", i + 1, y.name(), x.name()));
        }
        if x.data_type() != y.data_type() {
            return Some(format!(
                "`{}` is {}, the table's is {}",
                x.name(),
                type_name(y.data_type()),
                type_name(x.data_type())
            ));
        }
    }
    let (n, m) = (b.fields().len(), a.fields().len());
    (n != m).then(|| format!("it has {n} columns, the table {m}"))
}

/// What queries that read the table see.
fn upstream(schema: &SchemaRef, flows: &[BoundFlow]) -> Upstream {
    let all = |test: &dyn Fn(&BoundFlow) -> bool| !flows.is_empty() && flows.iter().all(test);
    let hidden =
        Hidden { provenance: all(&|f| f.facts.hidden.provenance), event_time: all(&|f| f.facts.hidden.event_time) };
    let named = |holds: &dyn Fn(&BoundFlow, usize) -> bool| {
        let fields = schema.fields().iter().enumerate();
        fields.filter(|(i, _)| all(&|f| holds(f, *i))).map(|(_, f)| f.name().clone()).collect::<Vec<_>>()
    };
    if !hidden.event_time {
        return Upstream {
            schema: Arc::clone(schema),
            hidden,
            event_time: Vec::new(),
            windows: Vec::new(),
            clauses: Vec::new(),
        };
    }
    let clauses: BTreeSet<&String> = flows.iter().flat_map(|f| &f.facts.clauses).collect();
    Upstream {
        schema: Arc::clone(schema),
        hidden,
        event_time: named(&|f, i| f.facts.event_time.contains(&i)),
        windows: named(&|f, i| f.facts.windows.contains(&i)),
        clauses: clauses.into_iter().cloned().collect(),
    }
}

/// The equation of the table's fates: the strictest that all its flows satisfy.
fn ledger(shapes: impl Iterator<Item = Shape>) -> Ledger {
    let of = |shape: Shape| match shape {
        Shape { many: true, .. } => Ledger::OutOnly,
        Shape { aggregates: 0, .. } => Ledger::Rows,
        Shape { aggregates: 1, dedups: 0, .. } => Ledger::Aggregate,
        _ => Ledger::OutOnly,
    };
    shapes.map(of).reduce(|a, b| if a == b { a } else { Ledger::OutOnly }).unwrap_or(Ledger::OutOnly)
}

fn find<'s>(schema: &'s Schema, name: &str) -> Option<&'s Field> {
    schema.field_with_name(name).or_else(|_| schema.field_with_name(&name.to_lowercase())).ok()
}

fn partition_names(def: &TableDef, schema: &Schema) -> Vec<String> {
    def.partitioned_by.iter().filter_map(|c| find(schema, &c.value)).map(|f| f.name().clone()).collect()
}

/// Whether a value of this type says on which day it is.
fn tells_the_day(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..))
}

/// Which of the partition columns of `table` tells how old its rows are: the first date or timestamp. From 0.
#[must_use]
pub fn age_column(partitioned_by: &[String], schema: &Schema) -> Option<usize> {
    partitioned_by.iter().position(|name| schema.field_with_name(name).is_ok_and(|f| tells_the_day(f.data_type())))
}

/// Rows are retained by the day that their folder names: whole folders go, no file is written anew.
fn retain_mistake(def: &TableDef, schema: &Schema) -> Option<Diagnostic> {
    let (key, _) = def.properties.iter().find(|(key, _)| key.value == "retain")?;
    if age_column(&partition_names(def, schema), schema).is_some() {
        return None;
    }
    let message = format!("how old the rows of `{}` are cannot be told by its folders", def.name.value);
    let help = "partition by a date or timestamp, as in PARTITIONED BY (event_date) AS SELECT ..., CAST(event_time AS DATE) AS \
                event_date; or leave 'retain' out";
    Some(Diagnostic::new("retain", key.span, message, "no partition column is a date or timestamp").with_help(help))
}

/// Folders of partitions are exchanged, never that of the table, which holds more than its rows.
fn compact_mistake(def: &TableDef) -> Option<Diagnostic> {
    let (key, value) = def.properties.iter().find(|(key, _)| key.value == "compact.auto")?;
    if !def.partitioned_by.is_empty() || values::boolean(&value.value) != Some(true) {
        return None;
    }
    let message = format!("`{}` has no partitions that could be compacted", def.name.value);
    let help = "give it some, as in PARTITIONED BY (event_date) AS SELECT ..., CAST(event_time AS DATE) AS event_date; or leave \
                'compact.auto' out";
    Some(Diagnostic::new("compact", key.span, message, "folders of partitions are exchanged whole").with_help(help))
}

fn partition_mistakes(def: &TableDef, schema: &Schema) -> Vec<Diagnostic> {
    let mut mistakes = Vec::new();
    let mut seen = BTreeSet::new();
    for Spanned { value: name, span } in &def.partitioned_by {
        let Some(field) = find(schema, name) else {
            let mut d = unknown_column(name, *span, schema.fields().iter().map(|f| f.name().as_str()));
            d.code = "partition-column";
            d.message = format!("`{}` cannot be partitioned by `{name}`: its query has no such column", def.name.value);
            mistakes.push(d);
            continue;
        };
        if !partitionable(field.data_type()) {
            let message =
                format!("`{name}` is {}, whose values do not make folder names", type_name(field.data_type()));
            mistakes.push(
                Diagnostic::new("partition-type", *span, message, "not a partition column")
                    .with_help("partition by a date, text, whole number or Boolean; CAST makes one"),
            );
        }
        seen.insert(field.name());
    }
    if let (Some(first), true) = (def.partitioned_by.first(), seen.len() == schema.fields().len()) {
        let message = format!("every column of `{}` is a partition column: its files would be empty", def.name.value);
        mistakes
            .push(Diagnostic::new("partition-column", first.span, message, "").with_help("partition by fewer columns"));
    }
    mistakes
}

/// The way out, if a file cannot hold a column of this type.
pub(crate) fn unstorable(data_type: &DataType) -> Option<&'static str> {
    match data_type {
        DataType::Null => Some("give NULL a type: CAST(NULL AS STRING)"),
        DataType::Interval(_) => Some("write what it counts: extract(day FROM it), or two timestamps"),
        DataType::Duration(_) => Some(
            "write datediff(a, b) for the days between two dates, unix_timestamp(a) - unix_timestamp(b) for the seconds between two \
             timestamps",
        ),
        DataType::Union(..) | DataType::RunEndEncoded(..) => Some("select its members one by one"),
        DataType::Struct(fields) if fields.is_empty() => Some("leave it out"),
        DataType::Struct(fields) => fields.iter().find_map(|f| unstorable(f.data_type())),
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) | DataType::Map(f, _) => {
            unstorable(f.data_type())
        }
        _ => None,
    }
}

fn partitionable(data_type: &DataType) -> bool {
    data_type.is_integer()
        || matches!(
            data_type,
            DataType::Boolean
                | DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
                | DataType::Date32
                | DataType::Date64
                | DataType::Timestamp(..)
                | DataType::Decimal128(..)
        )
}

/// Names that DataFusion makes of an expression carry the qualifiers of its columns, `sum(silver_sales.amount)`; as
/// columns of a table they are better without, `sum(amount)`, as Spark has them.
pub(super) fn short_names(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let mut qualifiers = BTreeSet::new();
    collect_qualifiers(&plan, &mut qualifiers);
    let short = |name: &str| {
        let name = qualifiers.iter().fold(name.to_owned(), |name, q| name.replace(q.as_str(), ""));
        spelt_numbers(&name)
    };
    let names: Vec<String> = plan.schema().fields().iter().map(|f| short(f.name())).collect();
    let unique: BTreeSet<&String> = names.iter().collect();
    let same = names.iter().zip(plan.schema().fields()).all(|(n, f)| n == f.name());
    if same || unique.len() < names.len() {
        return Ok(plan);
    }
    let columns = plan.schema().iter().zip(names);
    let exprs = columns
        .map(|((q, f), name)| {
            let column = Expr::Column(Column::from((q, f)));
            if name == *f.name() { column } else { column.alias(name) }
        })
        .collect();
    Projection::try_new(exprs, Arc::new(plan)).map(LogicalPlan::Projection)
}

/// A number in the name of a column as tables have had it before numbers got Spark's types: `Int64(1)`, `Float64(1.5)`.
fn spelt_numbers(name: &str) -> String {
    let name = name.replace("Int32(", "Int64(");
    let mut out = String::with_capacity(name.len());
    let mut rest = name.as_str();
    while let Some((before, after)) = rest.split_once("Decimal128(Some(") {
        out.push_str(before);
        let parts = after.split_once(')').and_then(|(digits, tail)| {
            let (types, tail) = tail.strip_prefix(',')?.split_once(')')?;
            let (_, scale) = types.split_once(',')?;
            let value: i128 = digits.parse().ok()?;
            Some((Decimal128Type::format_decimal(value, 38, scale.parse().ok()?), tail))
        });
        match parts {
            Some((value, tail)) => {
                out.push_str(&format!("Float64({value})"));
                rest = tail;
            }
            None => {
                out.push_str("Decimal128(Some(");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

fn collect_qualifiers(plan: &LogicalPlan, found: &mut BTreeSet<String>) {
    if let LogicalPlan::SubqueryAlias(alias) = plan {
        found.insert(format!("{}.", alias.alias));
    }
    for input in plan.inputs() {
        collect_qualifiers(input, found);
    }
}
