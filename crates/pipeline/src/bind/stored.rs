//! Casts the columns of a table to the types that DuckDB, Spark, pyarrow, pandas and polars read alike.
//!
//! [`sluicebox_core::stored`] chooses them. A column is cast where it becomes a column of a table. So `plan` shows the type that is
//! written, and tables below read it too.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::compute::can_cast_types;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Distinct, DistinctOn, Expr, LogicalPlan, Projection, SubqueryAlias, Union, cast};
use sluicebox_core::stored::stored;

use super::folder::guarded;
use super::words::sql_type;
use crate::ast::Spanned;

/// What a column becomes.
struct Wanted {
    /// The type that it is cast to.
    cast: Option<DataType>,
    /// Whether its values name folders, and its type then.
    guard: Option<(String, DataType)>,
}

/// `plan` with its columns in the types in which they are written, and those of `partitioned_by` with values that folders can be
/// named by. A column that cannot be cast is left as it is.
pub(super) fn as_stored(plan: LogicalPlan, partitioned_by: &[Spanned<String>]) -> Result<LogicalPlan> {
    let wanted = plan.schema().fields().iter().map(|field| {
        let data_type = stored(field.data_type());
        let cast = data_type != *field.data_type() && can_cast_types(field.data_type(), &data_type);
        let name = field.name();
        let partition = partitioned_by.iter().any(|p| p.value == *name || p.value.to_lowercase() == *name);
        Wanted { cast: cast.then(|| data_type.clone()), guard: partition.then(|| (name.clone(), data_type)) }
    });
    let wanted: Vec<Wanted> = wanted.collect();
    if wanted.iter().all(|w| w.cast.is_none() && w.guard.is_none()) {
        return Ok(plan);
    }
    with_types(plan, &wanted)
}

/// The casts are put into the last SELECT, so that the plan keeps its form: what stands above `DISTINCT ON` is told apart from
/// what stands below it.
fn with_types(plan: LogicalPlan, wanted: &[Wanted]) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let exprs = casts(&projection.schema, projection.expr, wanted);
            Projection::try_new(exprs, projection.input).map(LogicalPlan::Projection)
        }
        LogicalPlan::Distinct(Distinct::On(on)) => {
            let exprs = casts(&on.schema, on.select_expr, wanted);
            let on = DistinctOn::try_new(on.on_expr, exprs, on.sort_expr, on.input)?;
            Ok(LogicalPlan::Distinct(Distinct::On(on)))
        }
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let input = with_types(Arc::unwrap_or_clone(input), wanted)?;
            Ok(LogicalPlan::Distinct(Distinct::All(Arc::new(input))))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let input = with_types(Arc::unwrap_or_clone(alias.input), wanted)?;
            SubqueryAlias::try_new(Arc::new(input), alias.alias).map(LogicalPlan::SubqueryAlias)
        }
        LogicalPlan::Union(union) => {
            let sides = union.inputs.into_iter().map(|side| {
                let side = with_types(Arc::unwrap_or_clone(side), wanted)?;
                Ok(Arc::new(side))
            });
            Ok(LogicalPlan::Union(Union::try_new_with_loose_types(sides.collect::<Result<_>>()?)?))
        }
        other => {
            let columns = other.schema().columns().into_iter().map(Expr::Column).collect();
            let exprs = casts(other.schema(), columns, wanted);
            Projection::try_new(exprs, Arc::new(other)).map(LogicalPlan::Projection)
        }
    }
}

/// `exprs`, which give the columns of `schema`, cast and guarded where that is wanted, under the names that they have.
fn casts(schema: &DFSchema, exprs: Vec<Expr>, wanted: &[Wanted]) -> Vec<Expr> {
    let one = |(i, expr): (usize, Expr)| match wanted.get(i) {
        Some(wanted) if wanted.cast.is_some() || wanted.guard.is_some() => {
            let (qualifier, field) = schema.qualified_field(i);
            let mut inner = match expr {
                Expr::Alias(alias) => *alias.expr,
                other => other,
            };
            if let Some(data_type) = &wanted.cast {
                inner = cast(inner, data_type.clone());
            }
            if let Some((column, data_type)) = &wanted.guard {
                inner = guarded(inner, column, data_type);
            }
            inner.alias_qualified(qualifier.cloned(), field.name())
        }
        _ => expr,
    };
    exprs.into_iter().enumerate().map(one).collect()
}

/// What some readers make of a column otherwise than `plan` says, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misread {
    /// The column that has to change.
    pub(super) column: String,
    /// A short name of the kind of warning.
    pub(super) code: &'static str,
    /// What is so, and what comes of it.
    pub(super) message: String,
    /// What to write instead.
    pub(super) help: String,
}

/// The columns of `schema` that not all readers take, `partitioned_by` among them.
pub(super) fn misread(schema: &Schema, partitioned_by: &[String]) -> Vec<Misread> {
    let mut found = same_but_for_case(schema.fields(), None);
    for field in schema.fields() {
        if partitioned_by.contains(field.name()) {
            found.extend(of_partition(field));
        } else {
            found.extend(of_column(field));
        }
    }
    found
}

/// Types that some readers do not know in folders' names, whatever they are told.
fn of_partition(field: &Field) -> Option<Misread> {
    let name = field.name();
    matches!(field.data_type(), DataType::Decimal128(..)).then(|| Misread {
        column: name.clone(),
        code: "readers-partition",
        message: format!("`{name}` is a decimal in folders' names: pyarrow and pandas read it as text, Spark without a schema as double"),
        help: format!("partition by CAST({name} AS STRING) or CAST({name} AS BIGINT), and keep {name} as a column too"),
    })
}

/// How a constant is spelt in the name of an expression that was given none. Tables have columns of such names, so they stay.
const SPELT: [&str; 6] = ["Int64(", "Float64(", "Utf8(", "Boolean(", "Decimal128(", "IntervalMonthDayNano("];

fn of_column(field: &Field) -> Vec<Misread> {
    let name = field.name();
    let column = || name.clone();
    let mut found = Vec::new();
    if name.is_empty() {
        let message = "a column has no name: DuckDB gives it one of its own".to_owned();
        let help = "give it a name with AS".to_owned();
        found.push(Misread { column: column(), code: "readers-name", message, help });
    }
    if SPELT.iter().any(|spelt| name.contains(spelt)) {
        let message = format!("a column is called `{name}`, since the expression has no name of its own");
        let help = "give it a name with AS; Spark would call it as it is written".to_owned();
        found.push(Misread { column: column(), code: "unnamed-column", message, help });
    }
    if let Some(wide) = find(field.data_type(), &|t| matches!(t, DataType::Decimal256(..))) {
        let message = format!(
            "`{name}` holds {}: Spark and polars do not read a table with more than 38 digits, DuckDB reads wrong numbers",
            sql_type(&wide)
        );
        let scale = if let DataType::Decimal256(_, scale) = wide { scale } else { 0 };
        let help = if matches!(field.data_type(), DataType::Decimal256(..)) {
            format!("write CAST({name} AS DECIMAL(38, {scale})) AS {name}, or CAST({name} AS STRING) AS {name}")
        } else {
            "select its members one by one and cast this one to DECIMAL(38, scale) or STRING, or leave it out"
                .to_owned()
        };
        found.push(Misread { column: column(), code: "readers-decimal", message, help });
    }
    if find(field.data_type(), &|t| matches!(t, DataType::Time64(_) | DataType::Time32(_))).is_some() {
        let message = format!("`{name}` holds a time of day, for which Spark has no type: it does not read the table");
        let help = format!("write CAST({name} AS STRING) AS {name} if Spark is to read it");
        found.push(Misread { column: column(), code: "readers-time", message, help });
    }
    found
        .extend(nested_fields(field.data_type()).into_iter().flat_map(|fields| same_but_for_case(&fields, Some(name))));
    found
}

/// Names of `fields`, of a table or of the column `within`, that differ in case only.
fn same_but_for_case(fields: &Fields, within: Option<&str>) -> Vec<Misread> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    let mut found = Vec::new();
    for field in fields {
        let name = field.name();
        let Some(first) = seen.insert(name.to_lowercase(), name) else { continue };
        let of = within.map(|w| format!(" of `{w}`")).unwrap_or_default();
        found.push(Misread {
            column: within.unwrap_or(name).to_owned(),
            code: "readers-case",
            message: if first == name {
                format!("two fields{of} are called `{name}`: Spark does not read such a table, and DuckDB renames one of them")
            } else {
                format!(
                    "`{first}` and `{name}`{of} differ in case only: Spark does not read such a table, and DuckDB calls one of \
                     them `{name}_1`"
                )
            },
            help: match within {
                None => "give one of them another name with AS".to_owned(),
                Some(w) => format!("select the members of `{w}` that are wanted, under other names"),
            },
        });
    }
    found
}

/// The first type within `data_type` that is one of those that `test` says.
fn find(data_type: &DataType, test: &dyn Fn(&DataType) -> bool) -> Option<DataType> {
    if test(data_type) {
        return Some(data_type.clone());
    }
    children(data_type).iter().find_map(|field| find(field.data_type(), test))
}

/// The fields of every struct within `data_type`.
fn nested_fields(data_type: &DataType) -> Vec<Fields> {
    let mut found: Vec<Fields> = children(data_type).iter().flat_map(|f| nested_fields(f.data_type())).collect();
    if let DataType::Struct(fields) = data_type {
        found.push(fields.clone());
    }
    found
}

fn children(data_type: &DataType) -> Vec<FieldRef> {
    match data_type {
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) | DataType::Map(f, _) => {
            vec![Arc::clone(f)]
        }
        DataType::Struct(fields) => fields.iter().cloned().collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;

    fn named(name: &str, data_type: DataType) -> Field {
        Field::new(name, data_type, true)
    }

    #[test]
    fn columns_that_a_reader_refuses_are_told_with_a_way_on() {
        let wide = DataType::Decimal256(50, 4);
        let schema = Schema::new(vec![
            named("id", DataType::Int32),
            named("ID", DataType::Utf8),
            named("d", wide.clone()),
            named("l", DataType::List(Arc::new(named("item", wide)))),
            named("t", DataType::Time64(TimeUnit::Microsecond)),
            named("s", DataType::Struct(vec![named("Ä", DataType::Utf8), named("ä", DataType::Utf8)].into())),
            named("ok", DataType::Decimal128(38, 4)),
            named("count(*)", DataType::Int64),
            named("v + Int64(1)", DataType::Int64),
        ]);
        let found: Vec<(String, &str)> = misread(&schema, &[]).into_iter().map(|m| (m.column, m.code)).collect();
        let found: Vec<(&str, &str)> = found.iter().map(|(c, k)| (c.as_str(), *k)).collect();
        assert_eq!(
            found,
            [
                ("ID", "readers-case"),
                ("d", "readers-decimal"),
                ("l", "readers-decimal"),
                ("t", "readers-time"),
                ("s", "readers-case"),
                ("v + Int64(1)", "unnamed-column"),
            ]
        );
    }
}
