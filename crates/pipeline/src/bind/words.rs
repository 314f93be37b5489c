//! Writes expressions, types and lengths of time as SQL.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::sql::unparser::Unparser;
use datafusion::sql::unparser::dialect::CustomDialectBuilder;
use sluicebox_core::provenance::is_hidden;
use sluicebox_functions::operators::arithmetic::readable;
use sluicebox_functions::operators::written::{Form, form};
use sluicebox_functions::types::name as sql_name;
pub use sluicebox_functions::types::sql_name as sql_type;

use super::generators;
use super::said::types;
use crate::graph::{AggregateNode, Assigner};
use crate::window::{SESSION_WINDOW, WINDOW};

/// What the columns above an aggregate mean: DataFusion names them after their expressions, at length.
#[derive(Debug, Default)]
pub(super) struct Words {
    names: BTreeMap<String, String>,
}

impl Words {
    /// From here on the columns of `node` may be met.
    pub(super) fn learn(&mut self, node: &AggregateNode) {
        let mut meanings: Vec<String> = node.group.iter().map(|e| self.say(e)).collect();
        let window = if matches!(node.window.assigner, Assigner::Session(_)) { SESSION_WINDOW } else { WINDOW };
        meanings.insert(node.window.position.min(meanings.len()), window.to_owned());
        meanings.extend((!node.sets.is_empty()).then(|| "the set of keys".to_owned()));
        meanings.extend(node.aggregates.iter().map(|e| self.say(e)).collect::<Vec<_>>());
        self.names.extend(node.schema.fields().iter().map(|f| f.name().clone()).zip(meanings));
    }

    /// The expression in SQL, columns without qualifiers.
    pub(super) fn say(&self, expr: &Expr) -> String {
        let expr = &readable(expr);
        let plain = expr.clone().transform_up(|e| Ok(self.plain(e))).map_or_else(|_| expr.clone(), |t| t.data);
        unparsed(&plain)
    }

    fn plain(&self, expr: Expr) -> Transformed<Expr> {
        match &expr {
            Expr::Column(column) => {
                let name = self.names.get(&column.name).unwrap_or(&column.name);
                Transformed::yes(Expr::Column(Column::new_unqualified(name)))
            }
            Expr::Cast(cast) => cast_words("CAST", &cast.expr, cast.field.data_type()),
            Expr::TryCast(cast) => cast_words("TRY_CAST", &cast.expr, cast.field.data_type()),
            Expr::ScalarFunction(f) if matches!(form(&f.func), Form::Cast(_) | Form::TryCast(_)) => {
                match (form(&f.func), f.args.as_slice()) {
                    (Form::Cast(to), [of]) => cast_words("CAST", of, to),
                    (Form::TryCast(to), [of]) => cast_words("TRY_CAST", of, to),
                    _ => Transformed::no(expr),
                }
            }
            Expr::ScalarFunction(_) if super::folder::unguarded(&expr).is_some() => super::folder::unguarded(&expr)
                .map_or_else(|| Transformed::no(expr.clone()), |e| Transformed::yes(e.clone())),
            Expr::ScalarFunction(f) if f.func.name() == "get_field" => match f.args.as_slice() {
                [Expr::Column(of), Expr::Literal(ScalarValue::Utf8(Some(field)), _)] => {
                    let name = generators::plain_name(&of.name, field);
                    let name = name.unwrap_or_else(|| format!("{}.{field}", of.name));
                    Transformed::yes(Expr::Column(Column::new_unqualified(name)))
                }
                _ => Transformed::no(expr),
            },
            // count(*) counts ones.
            Expr::AggregateFunction(f) if f.func.name() == "count" => match f.params.args.as_slice() {
                [Expr::Literal(value, _)] if !value.is_null() && !f.params.distinct && f.params.filter.is_none() => {
                    Transformed::yes(Expr::Column(Column::new_unqualified("count(*)")))
                }
                _ => Transformed::no(expr),
            },
            Expr::Literal(value, _) => match length(value) {
                Some(micros) => {
                    let text = format!("INTERVAL '{}'", duration(micros));
                    Transformed::yes(Expr::Column(Column::new_unqualified(text)))
                }
                None => Transformed::no(expr),
            },
            Expr::Alias(alias) => Transformed::yes(alias.expr.as_ref().clone()),
            _ => Transformed::no(expr),
        }
    }

    /// A visible column of a projection that is more than one of the input's: what it is, and its name.
    pub(super) fn computed(&self, expr: &Expr) -> Option<String> {
        let name = expr.qualified_name().1;
        if is_hidden(&name) || name.contains("__unnest_placeholder") {
            return None;
        }
        let inner = super::lower::unaliased(expr);
        let inner = super::folder::unguarded(inner).unwrap_or(inner);
        if matches!(inner, Expr::Column(_)) {
            return None;
        }
        let text = self.say(inner);
        Some(if text == name { text } else { format!("{text} AS {name}") })
    }
}

/// An expression without the functions that stand for a syntax, in SQL.
fn unparsed(plain: &Expr) -> String {
    let dialect = CustomDialectBuilder::new().build();
    let unparser = Unparser::new(&dialect).with_pretty(true);
    unparser.expr_to_sql(plain).map_or_else(|_| types(&plain.human_display().to_string()), |sql| sql.to_string())
}

/// A cast of `of`, which is in words already, as it is written: `CAST(x AS BIGINT)`. As a column, whose name no unparser changes.
fn cast_words(cast: &str, of: &Expr, to: &DataType) -> Transformed<Expr> {
    let end = format!(" AS {})", sql_name(to));
    // What is of the type already, since it was cast to it, is brought into it once more by the planner.
    let is_cast =
        |name: &str| ["CAST(", "TRY_CAST("].iter().any(|start| name.starts_with(start)) && name.ends_with(&end);
    match of {
        Expr::Column(column) if is_cast(&column.name) => Transformed::yes(of.clone()),
        _ => Transformed::yes(Expr::Column(Column::new_unqualified(format!("{cast}({}{end}", unparsed(of))))),
    }
}

/// The length of an interval or duration that has a fixed one, and is not negative.
fn length(value: &ScalarValue) -> Option<i64> {
    let micros = match value {
        ScalarValue::DurationSecond(Some(v)) => v.checked_mul(1_000_000)?,
        ScalarValue::DurationMillisecond(Some(v)) => v.checked_mul(1_000)?,
        ScalarValue::DurationMicrosecond(Some(v)) => *v,
        ScalarValue::IntervalMonthDayNano(Some(v)) if v.months == 0 && v.nanoseconds % 1_000 == 0 => {
            i64::from(v.days).checked_mul(86_400_000_000)?.checked_add(v.nanoseconds / 1_000)?
        }
        _ => return None,
    };
    (micros >= 0).then_some(micros)
}

/// A length of time in words: `10 minutes`, `1 hour 30 minutes`, `250 ms`.
#[must_use]
pub fn duration(micros: i64) -> String {
    const UNITS: [(i64, &str); 6] = [
        (86_400_000_000, " day"),
        (3_600_000_000, " hour"),
        (60_000_000, " minute"),
        (1_000_000, " second"),
        (1_000, " ms"),
        (1, " us"),
    ];
    let mut rest = micros.unsigned_abs();
    let mut words = Vec::new();
    for (unit, name) in UNITS {
        let count = rest / unit.unsigned_abs();
        rest %= unit.unsigned_abs();
        if count > 0 {
            let plural = if count > 1 && unit >= 1_000_000 { "s" } else { "" };
            words.push(format!("{count}{name}{plural}"));
        }
    }
    if words.is_empty() { "0 seconds".to_owned() } else { words.join(" ") }
}
