//! UNION: casts the columns of both sides to their common type in Spark.
//!
//! DataFusion chooses another type, and plans the nodes above a UNION with the type of the first side. So the sides are cast in the parsed
//! query, before DataFusion plans it: `SELECT i FROM a UNION ALL SELECT f FROM b` becomes `SELECT CAST(i AS DOUBLE) AS i FROM a UNION ALL
//! SELECT CAST(f AS DOUBLE) AS f FROM b`. A side whose rows depend on its own types, because of DISTINCT or GROUP BY, becomes a subquery.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::sql::sqlparser::ast as sql;
use sluicebox_core::provenance::PREFIX;
use sluicebox_functions::operators::planner::marks;
use sluicebox_functions::types;

use super::generators::{call, identifier, select_from};
use super::plan::Catalog;

/// Casts the sides of each UNION in `query` to the types that they have in common.
///
/// # Errors
/// If two columns have no type in common. What cannot be planned is left as it is: it is told when the whole is planned.
pub(super) fn rewrite(query: &mut sql::Query, catalog: &Catalog<'_>) -> Result<()> {
    Unions { catalog, ctes: Vec::new() }.query(query, Wanted::No).map(|_| ())
}

/// Whether the columns of a query are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    No,
    Yes,
    /// They are, and their names do not count: it is the right side of a UNION.
    Types,
}

/// A column of a side.
#[derive(Debug, Clone)]
struct Column {
    name: String,
    data_type: DataType,
}

struct Unions<'c, 'a> {
    catalog: &'c Catalog<'a>,
    /// The queries of WITH that are seen from here.
    ctes: Vec<sql::Cte>,
}

impl Unions<'_, '_> {
    /// The columns of `query`, if they are `wanted` and can be told.
    fn query(&mut self, query: &mut sql::Query, wanted: Wanted) -> Result<Option<Vec<Column>>> {
        let outer = self.ctes.len();
        if let Some(with) = &mut query.with {
            for cte in &mut with.cte_tables {
                self.query(&mut cte.query, Wanted::No)?;
                self.ctes.push(cte.clone());
            }
        }
        let done = self.body(&mut query.body, wanted);
        self.ctes.truncate(outer);
        done
    }

    fn body(&mut self, body: &mut sql::SetExpr, wanted: Wanted) -> Result<Option<Vec<Column>>> {
        match body {
            sql::SetExpr::Select(select) => {
                for table in &mut select.from {
                    if let sql::TableFactor::Derived { subquery, .. } = &mut table.relation {
                        self.query(subquery, Wanted::No)?;
                    }
                }
                Ok(if wanted == Wanted::No { None } else { self.columns(select, wanted) })
            }
            sql::SetExpr::Query(query) => self.query(query, wanted),
            sql::SetExpr::SetOperation { op: sql::SetOperator::Union, set_quantifier, left, right }
                if !by_name(*set_quantifier) =>
            {
                let (l, r) = (self.body(left, Wanted::Yes)?, self.body(right, Wanted::Types)?);
                match (l, r) {
                    (Some(l), Some(r)) if l.len() == r.len() => {
                        let common = common(&l, &r)?;
                        self.cast(left, &l, &common);
                        self.cast(right, &r, &common);
                        Ok(Some(common))
                    }
                    _ => Ok(None),
                }
            }
            sql::SetExpr::SetOperation { left, right, .. } => {
                self.body(left, Wanted::No)?;
                self.body(right, Wanted::No)?;
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn columns(&self, select: &mut sql::Select, wanted: Wanted) -> Option<Vec<Column>> {
        if let Ok(columns) = self.planned(select.clone()) {
            return Some(columns);
        }
        // On the right side of a UNION two columns may have one name.
        if wanted != Wanted::Types {
            return None;
        }
        let named = select.projection.iter().enumerate().map(|(at, item)| match item {
            sql::SelectItem::UnnamedExpr(expr) | sql::SelectItem::ExprWithAlias { expr, .. } => {
                let alias = identifier(&format!("{PREFIX}side_{at}"));
                Some(sql::SelectItem::ExprWithAlias { expr: expr.clone(), alias })
            }
            _ => None,
        });
        let projection = named.collect::<Option<Vec<_>>>()?;
        let renamed = sql::Select { projection, ..select.clone() };
        let columns = self.planned(renamed.clone()).ok()?;
        *select = renamed;
        Some(columns)
    }

    fn planned(&self, select: sql::Select) -> Result<Vec<Column>> {
        let mut query = select_from(Vec::new(), Vec::new(), None, &self.ctes);
        *query.body = sql::SetExpr::Select(Box::new(select));
        let schema = self.catalog.schema(query)?;
        let column =
            |f: &arrow::datatypes::FieldRef| Column { name: f.name().clone(), data_type: f.data_type().clone() };
        Ok(schema.fields().iter().map(column).collect())
    }

    /// `body`, whose columns are `from`, with those of `to`.
    fn cast(&self, body: &mut sql::SetExpr, from: &[Column], to: &[Column]) {
        if from.iter().zip(to).all(|(from, to)| from.data_type == to.data_type) {
            return;
        }
        match body {
            sql::SetExpr::SetOperation {
                op: sql::SetOperator::Union,
                set_quantifier: sql::SetQuantifier::All,
                left,
                right,
            } => {
                self.cast(left, from, to);
                self.cast(right, from, to);
            }
            sql::SetExpr::Select(select) if is_plain(select, from.len()) => {
                let pairs = std::mem::take(&mut select.projection).into_iter().zip(from.iter().zip(to));
                select.projection = pairs
                    .map(|(item, (from, to))| match item {
                        sql::SelectItem::UnnamedExpr(expr) => self.item(expr, identifier(&from.name), from, to),
                        sql::SelectItem::ExprWithAlias { expr, alias } => self.item(expr, alias, from, to),
                        other => other,
                    })
                    .collect();
            }
            _ => self.wrap(body, from, to),
        }
    }

    fn item(&self, expr: sql::Expr, alias: sql::Ident, from: &Column, to: &Column) -> sql::SelectItem {
        if from.data_type == to.data_type {
            return sql::SelectItem::ExprWithAlias { expr, alias };
        }
        let cast = sql::Expr::BinaryOp {
            left: Box::new(sql::Expr::Nested(Box::new(expr))),
            op: sql::BinaryOperator::Custom(marks::CAST.to_owned()),
            right: Box::new(call(&self.catalog.named_type(&to.data_type), Vec::new())),
        };
        sql::SelectItem::ExprWithAlias { expr: cast, alias }
    }

    /// The casts around `body` as a subquery.
    fn wrap(&self, body: &mut sql::SetExpr, from: &[Column], to: &[Column]) {
        let side = identifier(&format!("{PREFIX}side"));
        let names: Vec<sql::Ident> = (0..from.len()).map(|at| identifier(&format!("{PREFIX}column_{at}"))).collect();
        let items = names
            .iter()
            .zip(from.iter().zip(to))
            .map(|(name, (from, to))| self.item(sql::Expr::Identifier(name.clone()), identifier(&from.name), from, to));
        let items = items.collect();
        let inner = std::mem::replace(
            body,
            sql::SetExpr::Values(sql::Values { explicit_row: false, value_keyword: false, rows: Vec::new() }),
        );
        let mut subquery = select_from(Vec::new(), Vec::new(), None, &[]);
        *subquery.body = inner;
        let columns = names.into_iter().map(|name| sql::TableAliasColumnDef::from_name(name.value));
        let alias = sql::TableAlias { explicit: true, name: side, columns: columns.collect(), at: None };
        let relation = sql::TableFactor::Derived {
            lateral: false,
            subquery: Box::new(subquery),
            alias: Some(alias),
            sample: None,
        };
        let from = vec![sql::TableWithJoins { relation, joins: Vec::new() }];
        *body = *select_from(items, from, None, &[]).body;
    }
}

fn by_name(quantifier: sql::SetQuantifier) -> bool {
    use sql::SetQuantifier::{AllByName, ByName, DistinctByName};
    matches!(quantifier, ByName | AllByName | DistinctByName)
}

/// Whether the rows of `select`, which has so many columns, are the same whatever their types are.
fn is_plain(select: &sql::Select, columns: usize) -> bool {
    let grouped = match &select.group_by {
        sql::GroupByExpr::All(_) => true,
        sql::GroupByExpr::Expressions(exprs, _) => !exprs.is_empty(),
    };
    let one = |item: &sql::SelectItem| {
        matches!(item, sql::SelectItem::UnnamedExpr(_) | sql::SelectItem::ExprWithAlias { .. })
    };
    !grouped
        && select.distinct.is_none()
        && select.having.is_none()
        && select.qualify.is_none()
        && select.projection.len() == columns
        && select.projection.iter().all(one)
}

/// The columns of a UNION of both, under the names of the left side.
fn common(left: &[Column], right: &[Column]) -> Result<Vec<Column>> {
    let one = |(left, right): (&Column, &Column)| match types::common(&left.data_type, &right.data_type) {
        Some(data_type) => Ok(Column { name: left.name.clone(), data_type }),
        None => Err(DataFusionError::Plan(format!(
            "Incompatible inputs for Union: Previous inputs were of type {}, but got incompatible type {} on column '{}'",
            types::name(&left.data_type),
            types::name(&right.data_type),
            if right.name.starts_with(PREFIX) { &left.name } else { &right.name },
        ))),
    };
    left.iter().zip(right).map(one).collect()
}

/// How the functions are called that stand for types.
const NAMED: &str = "__sb_type_";

impl Catalog<'_> {
    /// The name of a function of nothing whose type is `data_type`: what a cast is given that SQL has no words for.
    fn named_type(&self, data_type: &DataType) -> String {
        let mut types = self.types.borrow_mut();
        let at = types.iter().position(|known| known == data_type).unwrap_or_else(|| {
            types.push(data_type.clone());
            types.len() - 1
        });
        format!("{NAMED}{at}")
    }

    /// The function that [`Self::named_type`] has named `name`.
    pub(super) fn type_function(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let at: usize = name.strip_prefix(NAMED)?.parse().ok()?;
        let data_type = self.types.borrow().get(at)?.clone();
        let signature = Signature::nullary(Volatility::Immutable);
        Some(Arc::new(ScalarUDF::from(OfType { name: name.to_owned(), data_type, signature })))
    }
}

/// What has a type and no value: it stands behind AS in a cast, and is gone when that is planned.
#[derive(Debug, PartialEq, Eq, Hash)]
struct OfType {
    name: String,
    data_type: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for OfType {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("{} stands for a type and has no value", self.name)
    }
}
