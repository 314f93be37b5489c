//! Table functions, `explode` and its relatives, in SELECT and in `LATERAL VIEW`.
//!
//! They are rewritten in the parsed query, before DataFusion plans it. `SELECT id, explode(m) AS (k, v) FROM t` becomes
//!
//! ```sql
//! SELECT id, get_field(__sb_rows_0, 'key') AS k, get_field(__sb_rows_0, 'value') AS v
//! FROM (SELECT *, unnest(__sb_explode(m)) AS __sb_rows_0 FROM t) AS t
//! ```
//!
//! where `__sb_explode` turns a map into an array of structs. The number and the names of the columns depend on the argument's type, for
//! which the rewrite asks DataFusion.

use std::collections::BTreeSet;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::{DataFusionError, Result};
use datafusion::sql::sqlparser::ast as sql;
use sluicebox_functions::nested::generate::{self, Generator};

use super::plan::Catalog;

mod build;
mod lateral;

use self::build::{all_but, column, derived, field, one_column, plan_error, select_all, single_table, text};
pub(super) use self::build::{call, identifier, query as select_from};

/// How the column of rows that a generator gives begins.
const ROWS: &str = "__sb_rows_";

/// The field `field` of `column`, if that is a generator's rows, as people call it.
pub(super) fn plain_name(column: &str, field: &str) -> Option<String> {
    column.strip_prefix(ROWS)?;
    // The one column of an array's elements.
    Some(if field == "col" { "element".to_owned() } else { format!("element.{field}") })
}

/// The generator that `expr` calls, and the call.
pub(super) fn generator(expr: &sql::Expr) -> Option<(Generator, &sql::Function)> {
    let sql::Expr::Function(function) = expr else { return None };
    let [sql::ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else { return None };
    Some((Generator::of(&name.value.to_lowercase())?, function))
}

/// Rewrites the generators of `query` and of the queries in it, `point.*` over structs, and names that the SELECT list gives.
///
/// # Errors
/// A generator over what it cannot take apart, or with other names than it has columns.
pub(super) fn rewrite(query: &mut sql::Query, catalog: &Catalog<'_>) -> Result<()> {
    Rewriter { catalog, ctes: Vec::new() }.query(query)
}

struct Rewriter<'c, 'a> {
    catalog: &'c Catalog<'a>,
    /// The queries of WITH that are seen from here.
    ctes: Vec<sql::Cte>,
}

impl Rewriter<'_, '_> {
    fn query(&mut self, query: &mut sql::Query) -> Result<()> {
        let outer = self.ctes.len();
        if let Some(with) = &mut query.with {
            for cte in &mut with.cte_tables {
                self.query(&mut cte.query)?;
                self.ctes.push(cte.clone());
            }
        }
        let done = self.body(&mut query.body);
        self.ctes.truncate(outer);
        done
    }

    fn body(&mut self, body: &mut sql::SetExpr) -> Result<()> {
        match body {
            sql::SetExpr::Select(select) => self.select(select),
            sql::SetExpr::Query(query) => self.query(query),
            sql::SetExpr::SetOperation { left, right, .. } => {
                self.body(left)?;
                self.body(right)
            }
            _ => Ok(()),
        }
    }

    fn select(&mut self, select: &mut sql::Select) -> Result<()> {
        for table in &mut select.from {
            if let sql::TableFactor::Derived { subquery, .. } = &mut table.relation {
                self.query(subquery)?;
            }
        }
        let views = std::mem::take(&mut select.lateral_views);
        let mut rows = 0;
        let mut seen: Vec<View> = Vec::new();
        for view in views {
            let mut expr = view.lateral_view.clone();
            build::requalify(&mut expr, &seen);
            let known = self.columns(&select.from)?;
            let (table, from) = self.over(select, None, &expr, view.outer, rows)?;
            let names = names(&table.columns, &view.lateral_col_alias)?;
            let (name, of) = (view.lateral_view_name.to_string().to_lowercase(), table.alias.clone());
            if let Some(twice) = names.iter().find(|n| known.contains(&n.value.to_lowercase())) {
                let message = format!(
                    "`{0}` is a column already: name it otherwise, as in LATERAL VIEW ... t AS {0}_2",
                    twice.value
                );
                return plan_error(message);
            }
            let mut items = vec![all_but(&table.rows)];
            let pairs = table.columns.iter().zip(&names);
            items.extend(pairs.map(|(column, name)| field(&table.rows, column, name.clone())));
            select.from = derived(items, from, None, of.clone());
            seen.push(View { name, of, columns: names });
            rows += 1;
        }
        build::requalify_select(select, &seen);
        self.projection(select, rows)?;
        let from = select.from.clone();
        lateral::resolve(select, || self.columns(&from))
    }

    /// The generators of the SELECT list.
    fn projection(&mut self, select: &mut sql::Select, mut rows: usize) -> Result<()> {
        let mut items = Vec::with_capacity(select.projection.len());
        let mut hidden = Vec::new();
        for item in std::mem::take(&mut select.projection) {
            let whole = item.clone();
            let (expr, given) = match &whole {
                sql::SelectItem::UnnamedExpr(expr) => (expr, Vec::new()),
                sql::SelectItem::ExprWithAlias { expr, alias } => (expr, vec![alias.clone()]),
                sql::SelectItem::ExprWithAliases { expr, aliases } => (expr, aliases.clone()),
                sql::SelectItem::QualifiedWildcard(..) => {
                    items.extend(self.struct_fields(select, item)?);
                    continue;
                }
                _ => {
                    items.push(item);
                    continue;
                }
            };
            if generator(expr).is_none() {
                if given.len() > 1 {
                    return plan_error(format!("{expr} gives one column, and has {} names", given.len()));
                }
                items.push(match (super::calls::dotted(expr), item) {
                    // `sta[0].b` is called `b`.
                    (Some(name), sql::SelectItem::UnnamedExpr(_)) => {
                        sql::SelectItem::ExprWithAlias { alias: identifier(name), expr: expr.clone() }
                    }
                    (_, item) => item,
                });
                continue;
            }
            let grouped = match &select.group_by {
                sql::GroupByExpr::All(_) => true,
                sql::GroupByExpr::Expressions(exprs, _) => !exprs.is_empty(),
            };
            if grouped || select.having.is_some() {
                return plan_error(format!(
                    "{expr} beside GROUP BY: aggregate in a subquery, and explode what comes of it"
                ));
            }
            let (table, from) = self.over(select, select.selection.clone(), expr, false, rows)?;
            let names = names(&table.columns, &given)?;
            let pairs = table.columns.iter().zip(names);
            items.extend(pairs.map(|(column, name)| field(&table.rows, column, name)));
            select.from = from;
            select.selection = None;
            hidden.push(table.rows);
            rows += 1;
        }
        select.projection = items;
        build::hide(&mut select.projection, &hidden);
        Ok(())
    }

    /// FROM with the rows of a generator, as structs in a column of their own, and what is known of them. `selection` is a WHERE that is
    /// judged before.
    fn over(
        &self,
        select: &sql::Select,
        selection: Option<sql::Expr>,
        expr: &sql::Expr,
        outer: bool,
        at: usize,
    ) -> Result<(Table, Vec<sql::TableWithJoins>)> {
        let Some((generator, function)) = generator(expr) else {
            return plan_error(format!("{expr} gives no rows: LATERAL VIEW takes explode(...) and its relatives"));
        };
        let alias = single_table(&select.from)?;
        let mut args = build::arguments(function)?;
        let types = self.types(&select.from, &args)?;
        let height = args.first().and_then(build::whole_number);
        let columns = match (generator, height) {
            (Generator::Stack, Some(height)) => generate::stack_of(height, &types[1..]),
            (Generator::Stack, None) => Err("the number of rows is written out, as in stack(2, ...)".to_owned()),
            _ => generator.columns(&types),
        };
        let columns = columns.map_err(|e| DataFusionError::Plan(format!("{}: {e}", function.name)))?;
        if let (Generator::Stack, Some(height)) = (generator, height) {
            args[0] = text(&format!("{height}x{}", columns.len()));
        }
        let made = call(generator.rows_function(), args);
        let made = match (generator.is_one_row(), outer || generator.is_outer()) {
            (true, _) => made,
            (false, true) => call("unnest_outer", vec![made]),
            (false, false) => call("unnest", vec![made]),
        };
        let rows = format!("{ROWS}{at}");
        let mut items = select_all();
        items.push(sql::SelectItem::ExprWithAlias { expr: made, alias: identifier(&rows) });
        let from = derived(items, select.from.clone(), selection, alias.clone());
        Ok((Table { rows, columns, alias }, from))
    }

    /// `point.*`: the fields of a struct, if `point` is none of the tables.
    fn struct_fields(&self, select: &sql::Select, item: sql::SelectItem) -> Result<Vec<sql::SelectItem>> {
        let sql::SelectItem::QualifiedWildcard(sql::SelectItemQualifiedWildcardKind::ObjectName(name), _) = &item
        else {
            return Ok(vec![item]);
        };
        let table = single_table(&select.from).map(|t| t.value.to_lowercase()).unwrap_or_default();
        let parts: Vec<sql::Ident> = name.0.iter().filter_map(|p| p.as_ident().cloned()).collect();
        if parts.len() == 1 && parts[0].value.to_lowercase() == table {
            return Ok(vec![item]);
        }
        let of = column(parts);
        match self.types(&select.from, std::slice::from_ref(&of)).as_deref() {
            Ok([DataType::Struct(fields)]) => {
                let one = |f: &arrow::datatypes::FieldRef| sql::SelectItem::ExprWithAlias {
                    expr: call("get_field", vec![of.clone(), text(f.name())]),
                    alias: identifier(f.name()),
                };
                Ok(fields.iter().map(one).collect())
            }
            _ => Ok(vec![item]),
        }
    }

    /// The types of `exprs` over `from`.
    fn types(&self, from: &[sql::TableWithJoins], exprs: &[sql::Expr]) -> Result<Vec<DataType>> {
        if exprs.is_empty() {
            return Ok(Vec::new());
        }
        let items = exprs.iter().enumerate().map(|(at, expr)| one_column(expr.clone(), at)).collect();
        let schema = self.probe(items, from)?;
        Ok(schema.fields().iter().map(|f| f.data_type().clone()).collect())
    }

    /// The columns of `from`, in lower case.
    fn columns(&self, from: &[sql::TableWithJoins]) -> Result<BTreeSet<String>> {
        let schema = self.probe(select_all(), from)?;
        Ok(schema.fields().iter().map(|f| f.name().to_lowercase()).collect())
    }

    fn probe(&self, items: Vec<sql::SelectItem>, from: &[sql::TableWithJoins]) -> Result<Schema> {
        let query = build::query(items, from.to_vec(), None, &self.ctes);
        self.catalog.schema(query)
    }
}

/// The rows of a generator.
struct Table {
    /// The column with the structs.
    rows: String,
    /// The fields of the structs.
    columns: Vec<String>,
    /// The table's name, which stays.
    alias: sql::Ident,
}

/// A LATERAL VIEW by its name, the table that its columns are in now, and the columns.
struct View {
    name: String,
    of: sql::Ident,
    columns: Vec<sql::Ident>,
}

/// The names of a generator's columns.
fn names(columns: &[String], given: &[sql::Ident]) -> Result<Vec<sql::Ident>> {
    if given.is_empty() {
        return Ok(columns.iter().map(|c| identifier(c)).collect());
    }
    if given.len() == columns.len() {
        return Ok(given.to_vec());
    }
    plan_error(format!(
        "there are {} columns ({}), and {} for them; write AS ({})",
        columns.len(),
        columns.join(", "),
        if given.len() == 1 { "one name".to_owned() } else { format!("{} names", given.len()) },
        columns.join(", ")
    ))
}
