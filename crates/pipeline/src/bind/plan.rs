//! From parsed SQL to an analysed logical plan, and from DataFusion's errors to diagnostics.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DFSchema, DataFusionError, Result, SchemaError, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::Expr;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF};
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast as sql;

use super::functions::SqlTypes;
use super::place::Places;
use crate::ast::Span;
use crate::diagnostic::{Diagnostic, nearest};
use crate::leaf::LeafTable;

/// What queries are planned against: the session's functions, and tables that are only known by their visible columns.
pub(super) struct Catalog<'a> {
    state: &'a SessionState,
    tables: BTreeMap<String, Arc<dyn TableSource>>,
}

impl<'a> Catalog<'a> {
    pub(super) fn new(state: &'a SessionState, tables: impl IntoIterator<Item = (String, SchemaRef)>) -> Self {
        let tables = tables
            .into_iter()
            .map(|(name, schema)| (name, provider_as_source(Arc::new(LeafTable::new(schema)))))
            .collect();
        Self { state, tables }
    }

    fn planner(&self) -> SqlToRel<'_, Self> {
        SqlToRel::new_with_options(self, ParserOptions::from(&self.state.config_options().sql_parser))
    }

    /// The analysed plan of a query.
    pub(super) fn query(&self, query: &sql::Query) -> Result<LogicalPlan> {
        let statement = sql::Statement::Query(Box::new(query.clone()));
        self.analyse(self.planner().sql_statement_to_plan(statement)?)
    }

    /// A condition over the columns of `schema`, its types not coerced yet.
    pub(super) fn expression(&self, expr: &sql::Expr, schema: &DFSchema) -> Result<Expr> {
        self.planner().sql_to_expr(expr.clone(), schema, &mut PlannerContext::new())
    }

    /// Coerces types.
    pub(super) fn analyse(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        self.state.analyzer().execute_and_check(plan, self.state.config_options(), |_, _| {})
    }
}

impl ContextProvider for Catalog<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        if let Some(source) = self.tables.get(name.table()) {
            return Ok(Arc::clone(source));
        }
        Err(DataFusionError::Plan(format!("there is no table `{name}`")))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(SqlTypes))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.state.scalar_functions().get(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}

/// A diagnostic for an error of DataFusion; `otherwise` is its place if the error knows none.
pub(super) fn diagnose(error: &DataFusionError, places: &Places<'_>, otherwise: Span) -> Diagnostic {
    let located = error.diagnostic();
    let span = located.and_then(|d| d.span).and_then(|span| places.of(span));
    if let DataFusionError::SchemaError(schema, _) = error.find_root() {
        return schema_error(schema, places, span, otherwise);
    }
    let message = match located {
        Some(d) => d.message.clone(),
        None => plain(error),
    };
    let hints = located.map(|d| d.helps.iter().map(|h| &h.message).chain(d.notes.iter().map(|n| &n.message)));
    let help = hints.and_then(|mut hints| hints.next().cloned());
    Diagnostic::new("query", span.unwrap_or(otherwise), lower_first(&message), "").with_help_opt(help)
}

fn schema_error(error: &SchemaError, places: &Places<'_>, span: Option<Span>, otherwise: Span) -> Diagnostic {
    let of = |field: &datafusion::common::Column| {
        span.or_else(|| field.spans().first().and_then(|s| places.of(s))).unwrap_or(otherwise)
    };
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            unknown_column(&field.name, of(field), valid_fields.iter().map(|c| c.name.as_str()))
        }
        SchemaError::AmbiguousReference { field } => Diagnostic::new(
            "ambiguous-column",
            of(field),
            format!("`{}` is a column of more than one input", field.name),
            "which one?",
        )
        .with_help("write the input's name before the column's"),
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            Diagnostic::new(
                "duplicate-column",
                span.unwrap_or(otherwise),
                format!("two columns of this query are called `{name}`"),
                "",
            )
            .with_help("give one of them another name with AS")
        }
    }
}

/// A column that is not there, with the one that may be meant.
pub(super) fn unknown_column<'n>(name: &str, span: Span, known: impl Iterator<Item = &'n str>) -> Diagnostic {
    let known: Vec<&str> = known.filter(|n| !sluicebox_core::provenance::is_hidden(n)).collect();
    let help = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{}`?", quoted(near)),
        None => {
            let mut all: Vec<String> = known.iter().take(12).map(|n| quoted(n)).collect();
            if known.len() > all.len() {
                all.push("...".to_owned());
            }
            format!("the columns are {}", all.join(", "))
        }
    };
    Diagnostic::new("unknown-column", span, format!("there is no column `{name}`"), "no such column").with_help(help)
}

/// A name as it must be written: in double quotes where SQL would read another name without them.
pub(super) fn quoted(name: &str) -> String {
    let plain = name.chars().all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit())
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// An error's message without DataFusion's names for kinds of errors and rules.
fn plain(error: &DataFusionError) -> String {
    let text = error.find_root().strip_backtrace();
    let text = text.split("\n\nbacktrace").next().unwrap_or_default();
    let mut text = text.trim();
    for prefix in [
        "Error during planning: ",
        "This feature is not implemented: ",
        "Execution error: ",
        "Internal error: ",
        "Schema error: ",
        "Invalid or Unsupported Configuration: ",
    ] {
        text = text.strip_prefix(prefix).unwrap_or(text);
    }
    let text = text.split("\nThis issue was likely caused by a bug").next().unwrap_or(text);
    let text = text.split(" No function matches the given name").next().unwrap_or(text);
    text.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ")
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        // An abbreviation keeps its capitals.
        (Some(a), Some(b)) if a.is_uppercase() && !b.is_uppercase() => {
            a.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}

/// Where in the query the mistake stands that `error` is about, if it does not say so itself: the one part of a SELECT
/// that fails with the same words when it is planned without the others.
pub(super) fn blame(
    catalog: &Catalog<'_>,
    query: &crate::ast::Query,
    error: &DataFusionError,
    places: &Places<'_>,
) -> Span {
    let sql::SetExpr::Select(select) = query.ast.body.as_ref() else { return query.span };
    let fails = |select: sql::Select| {
        let body = Box::new(sql::SetExpr::Select(Box::new(select)));
        let probe = sql::Query { body, ..(*query.ast).clone() };
        catalog.query(&probe).err().is_some_and(|e| plain(&e) == plain(error))
    };
    let one = sql::SelectItem::UnnamedExpr(sql::Expr::value(sql::Value::Boolean(true)));
    let base = sql::Select {
        projection: vec![one],
        group_by: sql::GroupByExpr::Expressions(Vec::new(), Vec::new()),
        having: None,
        selection: None,
        distinct: None,
        ..(**select).clone()
    };
    if let Some(condition) = &select.selection
        && fails(sql::Select { selection: Some(condition.clone()), ..base.clone() })
    {
        return places.node(condition, query.span);
    }
    for item in &select.projection {
        if fails(sql::Select { projection: vec![item.clone()], ..base.clone() }) {
            return places.node(item, query.span);
        }
    }
    query.span
}
