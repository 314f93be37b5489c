//! From parsed SQL to an analysed logical plan, and from DataFusion's errors to diagnostics.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
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
use super::part::blame;
use super::place::Places;
use super::said;
use super::windowed;
use crate::ast::Span;
use crate::diagnostic::{Diagnostic, nearest};
use crate::leaf::LeafTable;
use crate::window::casts::{NAMED_CAST, named_cast};

/// What queries are planned against: the session's functions, and tables that are only known by their visible columns.
pub(super) struct Catalog<'a> {
    pub(super) state: &'a SessionState,
    tables: BTreeMap<String, Arc<dyn TableSource>>,
    /// The types that functions stand for, see `unions`.
    pub(super) types: RefCell<Vec<DataType>>,
}

impl<'a> Catalog<'a> {
    pub(super) fn new(state: &'a SessionState, tables: impl IntoIterator<Item = (String, SchemaRef)>) -> Self {
        let tables = tables
            .into_iter()
            .map(|(name, schema)| (name, provider_as_source(Arc::new(LeafTable::new(schema)))))
            .collect();
        Self { state, tables, types: RefCell::default() }
    }

    fn planner(&self) -> SqlToRel<'_, Self> {
        SqlToRel::new_with_options(self, ParserOptions::from(&self.state.config_options().sql_parser))
    }

    /// The analysed plan of a query.
    pub(super) fn query(&self, query: &sql::Query) -> Result<LogicalPlan> {
        self.analyse(self.unanalysed(Box::new(query.clone()))?)
    }

    /// The plan of a query, its types not coerced yet.
    pub(super) fn unanalysed(&self, mut query: Box<sql::Query>) -> Result<LogicalPlan> {
        super::calls::explicit(&mut query)?;
        super::generators::rewrite(&mut query, self)?;
        super::unions::rewrite(&mut query, self)?;
        super::forms::plain(&mut query)?;
        super::spark::rewrite(&mut query);
        self.planner().sql_statement_to_plan(sql::Statement::Query(query))
    }

    /// The columns of a query that has been rewritten up to here.
    pub(super) fn schema(&self, query: sql::Query) -> Result<Schema> {
        let mut query = Box::new(query);
        super::forms::plain(&mut query)?;
        super::spark::rewrite(&mut query);
        let plan = self.analyse(self.planner().sql_statement_to_plan(sql::Statement::Query(query))?)?;
        Ok(plan.schema().as_arrow().clone())
    }

    /// A condition over the columns of `schema`, its types not coerced yet.
    pub(super) fn expression(&self, expr: &sql::Expr, schema: &DFSchema) -> Result<Expr> {
        let mut expr = expr.clone();
        super::calls::explicit(&mut expr)?;
        super::forms::plain(&mut expr)?;
        super::spark::rewrite(&mut expr);
        self.planner().sql_to_expr(expr, schema, &mut PlannerContext::new())
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
        if name == NAMED_CAST {
            return Some(named_cast());
        }
        if let Some(named) = self.type_function(name) {
            return Some(named);
        }
        // A function that takes a lambda goes before one of its name that takes none.
        if self.state.higher_order_functions().contains_key(name) {
            return None;
        }
        let known = self.state.scalar_functions().get(name).cloned();
        known.or_else(|| sluicebox_functions::nested::generate::rows_function(name))
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
    let said = said::of(error);
    let mut diagnostic = Diagnostic::new(said.code, span.unwrap_or(otherwise), said.message, "");
    let mut notes: Vec<String> = said.note.into_iter().collect();
    for note in located.iter().flat_map(|d| &d.notes) {
        match note.span.and_then(|span| places.of(span)) {
            Some(at) if Some(at) != span => diagnostic = diagnostic.with_related(at, said::words(&note.message)),
            _ => notes.push(said::types(&note.message)),
        }
    }
    match notes.as_slice() {
        [] => {}
        [left, right] if left.starts_with("has type ") && right.starts_with("has type ") => {
            diagnostic = diagnostic.with_note(format!("the left side {left}, the right side {right}"));
        }
        all => diagnostic = diagnostic.with_note(all.join("; ")),
    }
    let help = located.and_then(|d| d.helps.first()).map(|h| said::words(&h.message));
    diagnostic.with_help_opt(said.help.or(help))
}

/// As [`diagnose`], for the error of a whole query: what DataFusion does not place is looked for in the query. `written` is the
/// query before names were resolved in it, which knows where its parts stand.
pub(super) fn diagnose_query(
    catalog: &Catalog<'_>,
    written: &crate::ast::Query,
    query: &crate::ast::Query,
    error: &DataFusionError,
    places: &Places<'_>,
) -> Diagnostic {
    if let Some(name) = repeated_column(error) {
        return duplicate_column(&name, place_of_output(&query.ast, &name, places).unwrap_or(query.span));
    }
    let mut diagnostic = diagnose(error, places, query.span);
    if diagnostic.span == query.span {
        diagnostic.span = blame(catalog, written, query, error, places);
    }
    if diagnostic.code == "unknown-column" {
        return windowed::unknown_column(diagnostic, written, places);
    }
    if let Some(name) = error.diagnostic().and_then(|d| d.message.strip_prefix("Invalid function '")) {
        let name = name.trim_end_matches('\'');
        if name.eq_ignore_ascii_case("cast") {
            return Diagnostic::new(
                "syntax",
                diagnostic.span,
                "CAST is not written with a comma",
                "not a type after AS",
            )
            .with_help("write CAST(x AS type)");
        }
        let known = catalog.udf_names().into_iter().chain(catalog.udaf_names()).collect::<Vec<_>>();
        let near = near_function(name, known.iter().map(String::as_str));
        let help = windowed::function(name).map(str::to_owned).or(near);
        return unknown_function(name, diagnostic.span, help);
    }
    diagnostic
}

/// The way on where a query over tables needs more memory than it may have.
pub const ASK_FOR_LESS: &str =
    "ask for less at once: with WHERE, by more groups, or without what keeps every value, such as array_agg";

/// A diagnostic for an error of DataFusion in a query over tables, which stands at `span` of `text`; `functions` are those that
/// there are.
#[must_use]
pub fn query_mistake(text: &str, span: Span, error: &DataFusionError, functions: &[String]) -> Diagnostic {
    let places = Places::new(text);
    let mut diagnostic = diagnose(error, &places, span);
    let said = error.diagnostic().map_or_else(|| said::plain(error), |d| d.message.clone());
    if let Some(name) = said.strip_prefix("Invalid function '").and_then(|rest| rest.split('\'').next()) {
        let over = ONLY_OVER.contains(&name.to_lowercase().as_str());
        let over = over.then(|| format!("it looks at other rows: write {name}(...) OVER (ORDER BY ...)"));
        let help = over.or_else(|| near_function(name, functions.iter().map(String::as_str)));
        return unknown_function(name, diagnostic.span, help);
    }
    if diagnostic.code == "out-of-memory" {
        diagnostic.message = "this takes more memory at once than a query may have".to_owned();
        return diagnostic.with_help(ASK_FOR_LESS);
    }
    diagnostic.message = without_settings(&diagnostic.message);
    diagnostic.help = diagnostic.help.filter(|help| !help.contains(SETTING));
    diagnostic.note = diagnostic.note.filter(|note| !note.contains(SETTING));
    let way_on = match diagnostic.code {
        "query" => Some("DESCRIBE <layer>.<table> shows columns and their types, docs/sql.md what each function takes"),
        "bad-constant" => {
            Some("correct the value, or write TRY_CAST(x AS type), which is NULL for what cannot be cast")
        }
        _ => None,
    };
    diagnostic.help = diagnostic.help.or_else(|| way_on.map(str::to_owned));
    diagnostic
}

/// Functions that DataFusion does not know without OVER.
const ONLY_OVER: [&str; 8] = ["row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead"];

/// A function that there is not.
fn unknown_function(name: &str, span: Span, help: Option<String>) -> Diagnostic {
    let help =
        help.unwrap_or_else(|| "docs/sql.md lists the functions, and what to write in place of others".to_owned());
    Diagnostic::new("unknown-function", span, format!("there is no function `{name}`"), "no such function")
        .with_help(help)
}

/// The function of `known` that may be meant. A name that is like it at a stretch is another function.
fn near_function<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<String> {
    let edits = if name.len() > 5 { 2 } else { 1 };
    let near = nearest(name, known).filter(|near| strsim::damerau_levenshtein(&name.to_lowercase(), near) <= edits);
    near.map(|near| format!("did you mean `{near}`?"))
}

/// How the names of DataFusion's settings begin: nobody can set them here.
const SETTING: &str = "datafusion.";

/// `message` without what comes before the reason, and without sentences that name a setting of DataFusion.
fn without_settings(message: &str) -> String {
    let mut text = message;
    for prefix in ["arrow error: ", "external error: ", "parquet error: ", "cast error: ", "compute error: "] {
        if text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)) {
            text = &text[prefix.len()..];
        }
    }
    if !text.contains(SETTING) {
        return said::lower_first(text);
    }
    let kept: Vec<&str> = text.split(". ").filter(|sentence| !sentence.contains(SETTING)).collect();
    if kept.is_empty() { "this query cannot be planned".to_owned() } else { said::lower_first(&kept.join(". ")) }
}

/// The name that two columns of a SELECT would have, if that is the mistake.
fn repeated_column(error: &DataFusionError) -> Option<String> {
    let name = match error.find_root() {
        DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
            // With one input to a SELECT, no column is ambiguous but one that is also computed.
            SchemaError::AmbiguousReference { field } => field.name.clone(),
            SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
                name.clone()
            }
            SchemaError::FieldNotFound { .. } => return None,
        },
        DataFusionError::Plan(text) => {
            let (_, rest) = text.split_once("unique expression names but the expression \"")?;
            let (name, _) = rest.split_once("\" at position")?;
            called(name)
        }
        _ => return None,
    };
    Some(name)
}

/// The name of the column that DataFusion writes as `expr`: what stands behind AS; for a cast, what is cast; for a column, the column.
fn called(expr: &str) -> String {
    let whole = |part: &&str| !part.contains(['(', ')']);
    if let Some((_, alias)) = expr.rsplit_once(" AS ").filter(|(_, alias)| whole(alias)) {
        return alias.to_owned();
    }
    if let Some((inner, _)) = expr.strip_prefix("CAST(").and_then(|rest| rest.rsplit_once(" AS ")) {
        return called(inner);
    }
    expr.rsplit('.').next().filter(whole).map_or_else(|| said::types(expr), str::to_owned)
}

/// Two columns of one name.
pub(super) fn duplicate_column(name: &str, span: Span) -> Diagnostic {
    Diagnostic::new("duplicate-column", span, format!("two columns of this query are called `{name}`"), "")
        .with_help("give one of them another name with AS")
}

/// The last item of a SELECT list that gives a column called `name`.
pub(super) fn place_of_output(query: &sql::Query, name: &str, places: &Places<'_>) -> Option<Span> {
    let sql::SetExpr::Select(select) = query.body.as_ref() else { return None };
    let last = select.projection.iter().rev().find(|item| {
        let ident = match item {
            sql::SelectItem::ExprWithAlias { alias, .. } => Some(alias),
            sql::SelectItem::UnnamedExpr(sql::Expr::Identifier(ident)) => Some(ident),
            sql::SelectItem::UnnamedExpr(sql::Expr::CompoundIdentifier(idents)) => idents.last(),
            _ => None,
        };
        ident.is_some_and(|ident| ident.value.eq_ignore_ascii_case(name))
    });
    last.map(|item| places.node(item, Span::default())).filter(|span| span.end > 0)
}

fn schema_error(error: &SchemaError, places: &Places<'_>, span: Option<Span>, otherwise: Span) -> Diagnostic {
    let of = |field: &datafusion::common::Column| {
        span.or_else(|| field.spans().first().and_then(|s| places.of(s))).unwrap_or(otherwise)
    };
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let elsewhere = valid_fields.iter().find(|c| c.name == field.name);
            if let (Some(wrong), Some(right)) = (&field.relation, elsewhere) {
                let message = format!("there is no column `{}` in `{wrong}` here", field.name);
                return Diagnostic::new("unknown-column", of(field), message, "no such column")
                    .with_help(format!("did you mean `{}`?", right.flat_name()));
            }
            let known = valid_fields.iter().map(|c| c.name.as_str());
            let unknown = unknown_column(&field.name, of(field), known);
            // Where another SQL has a text between double quotes, here a name stands.
            if !places.text(unknown.span).starts_with('"') {
                return unknown;
            }
            let text = format!("a text stands between single quotes: '{}'", field.name.replace('\'', "''"));
            let columns =
                unknown.help.clone().map(|help| format!("; if a column is meant, {help}")).unwrap_or_default();
            unknown.with_help(text + &columns)
        }
        SchemaError::AmbiguousReference { field } => duplicate_column(&field.name, of(field)),
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            duplicate_column(name, span.unwrap_or(otherwise))
        }
    }
}

/// A column that is not there, with the one that may be meant.
pub(super) fn unknown_column<'n>(name: &str, span: Span, known: impl Iterator<Item = &'n str>) -> Diagnostic {
    let known: Vec<&str> = known.filter(|n| !sluicebox_core::provenance::is_hidden(n)).collect();
    let same = known.iter().find(|column| **column != name && column.to_lowercase() == name);
    let help = match (same, nearest(name, known.iter().copied())) {
        (Some(column), _) => format!("names without quotes are read in lower case: write `{column}` between backticks"),
        (None, Some(near)) => format!("did you mean `{}`?", quoted(near)),
        (None, None) => {
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
