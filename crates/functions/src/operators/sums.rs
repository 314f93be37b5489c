//! `sum` and `avg`, which never wrap. A sum of whole numbers, and a sum or average of DECIMALs, is exact and does not depend on the order
//! of addition. A sum or average that is computed in DOUBLE depends on it: a sum of FLOATs and DOUBLEs, and an average of them and of whole
//! numbers.
//!
//! Whole numbers are added as DECIMALs that hold any sum of them. A sum that does not fit in a BIGINT is an error of the group's row, above
//! the aggregate. DECIMALs whose sum may have more than 38 digits are added in 256 bits.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::functions_aggregate::{average::avg_udaf, count::count_udaf, sum::sum_udaf};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{AggregateUDF, Cast, Expr, ExprSchemable};

use super::arithmetic::{self, Op};
use crate::{casts, types};

/// Sums of so many digits more than their summands' hold any number of rows.
const MORE: u8 = 10;

/// What whole numbers are added as.
const EXACT: DataType = DataType::Decimal128(19, 0);

/// The type of a sum of whole numbers before it becomes a BIGINT.
const EXACT_SUM: DataType = DataType::Decimal128(19 + MORE, 0);

/// A sum of whole numbers in the form that it had when it was added in 64 bits, by which checkpoints know it; others as they are.
#[must_use]
pub fn as_before(expr: &Expr, schema: &DFSchema) -> Expr {
    let Some(argument) = exact_argument(expr) else { return expr.clone() };
    let wide = match argument.get_type(schema) {
        Ok(DataType::Int64) => argument.clone(),
        _ => Expr::Cast(Cast::new(Box::new(argument.clone()), DataType::Int64)),
    };
    match expr {
        Expr::AggregateFunction(function) => {
            let mut function = function.clone();
            function.params.args = vec![wide];
            Expr::AggregateFunction(function)
        }
        other => other.clone(),
    }
}

/// Whether `expr` is a sum of whole numbers whose state was one of 64 bits before.
#[must_use]
pub fn is_exact(expr: &Expr) -> bool {
    exact_argument(expr).is_some()
}

fn exact_argument(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::AggregateFunction(function) if function.func.name() == "sum" && !function.params.distinct => {
            match function.params.args.as_slice() {
                [Expr::Cast(cast)] if *cast.field.data_type() == EXACT => Some(&cast.expr),
                _ => None,
            }
        }
        _ => None,
    }
}

/// What `sum`, `avg`, `mean` and `try_sum` are planned as; `None` for what DataFusion does as Spark does.
///
/// # Errors
/// If the argument is no number.
pub fn plan(raw: &AggregateFunction, schema: &DFSchema) -> Result<Option<Expr>> {
    let name = raw.func.name();
    if QUANTILES.contains(&name) {
        return quantile(raw, schema);
    }
    let (average, lenient) = match name {
        "sum" => (false, false),
        "try_sum" => (false, true),
        "avg" | "mean" => (true, false),
        _ => return Ok(None),
    };
    let [argument] = raw.params.args.as_slice() else { return Ok(None) };
    // A type that cannot be told is a column that there is not, which is reported better elsewhere.
    let Ok(of) = argument.get_type(schema) else { return Ok(None) };
    let of = types::signed(&of);
    match &of {
        DataType::Decimal128(p, s) if average => Ok(Some(average_of_decimals(raw, (*p, *s)))),
        DataType::Decimal128(p, s) if *p + MORE > types::MAX_PRECISION => {
            let exact = sum(raw, &wide((*p, *s)));
            let (p, s) = ((p + MORE).min(types::MAX_PRECISION), *s);
            let from = DataType::Decimal256(p, s);
            casts::plan(exact, &from, &DataType::Decimal128(p, s), lenient).map(Some)
        }
        DataType::Decimal128(..) if lenient => Ok(Some(call(raw, &sum_udaf(), raw.params.args.clone()))),
        t if t.is_integer() && !average => {
            let exact = sum(raw, &EXACT);
            casts::plan(exact, &EXACT_SUM, &DataType::Int64, lenient).map(Some)
        }
        t if types::is_text(t) || t == &DataType::Null => {
            let argument = casts::plan(argument.clone(), t, &DataType::Float64, false)?;
            let function = if average { avg_udaf() } else { sum_udaf() };
            Ok(Some(call(raw, &function, vec![argument])))
        }
        t if lenient && (types::is_float(t) || t.is_integer()) => {
            let function = if average { avg_udaf() } else { sum_udaf() };
            Ok(Some(call(raw, &function, raw.params.args.clone())))
        }
        t if types::is_number(t) || types::is_interval(t) => Ok(None),
        other => plan_err!("`{name}` takes numbers, not {}", types::article(other)),
    }
}

/// Aggregates whose first argument is a number, or text that is one.
const QUANTILES: [&str; 4] = ["median", "percentile", "percentile_approx", "approx_percentile"];

/// A quantile of text as CAST reads it; `None` for one of another type.
fn quantile(raw: &AggregateFunction, schema: &DFSchema) -> Result<Option<Expr>> {
    let Some((first, rest)) = raw.params.args.split_first() else { return Ok(None) };
    let Ok(of) = first.get_type(schema) else { return Ok(None) };
    if !types::is_text(&of) {
        return Ok(None);
    }
    let number = casts::plan(first.clone(), &of, &DataType::Float64, false)?;
    Ok(Some(call(raw, &raw.func, std::iter::once(number).chain(rest.iter().cloned()).collect())))
}

fn call(raw: &AggregateFunction, function: &std::sync::Arc<AggregateUDF>, args: Vec<Expr>) -> Expr {
    Expr::AggregateFunction(AggregateFunction::new_udf(
        std::sync::Arc::clone(function),
        args,
        raw.params.distinct,
        raw.params.filter.clone(),
        raw.params.order_by.clone(),
        raw.params.null_treatment,
    ))
}

/// The exact sum of the argument as `of`.
fn sum(raw: &AggregateFunction, of: &DataType) -> Expr {
    let args = raw.params.args.iter().map(|arg| Expr::Cast(Cast::new(Box::new(arg.clone()), of.clone()))).collect();
    call(raw, &sum_udaf(), args)
}

fn wide((p, s): (u8, i8)) -> DataType {
    DataType::Decimal256(p, s)
}

fn average_of_decimals(raw: &AggregateFunction, (p, s): (u8, i8)) -> Expr {
    let out = types::decimal(i32::from(p) + 4, i32::from(s) + 4);
    // The very sum that `sum` of the same argument is: two that differ would have one name in the aggregate.
    let sum = if p + MORE > types::MAX_PRECISION {
        sum(raw, &wide((p, s)))
    } else {
        let sum = call(raw, &sum_udaf(), raw.params.args.clone());
        Expr::Cast(Cast::new(Box::new(sum), wide((p + MORE, s))))
    };
    let count = call(raw, &count_udaf(), raw.params.args.clone());
    arithmetic::call(Op::Divide, vec![sum, count], out)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::logical_expr::{Expr, cast, col};

    use super::{DFSchema, EXACT, as_before, is_exact, sum_udaf};

    #[test]
    fn a_checkpoint_knows_a_sum_of_whole_numbers_by_its_earlier_form() {
        let fields = vec![Field::new("i", DataType::Int32, true), Field::new("l", DataType::Int64, true)];
        let schema = DFSchema::try_from(Schema::new(fields)).unwrap();
        let sum = |of: Expr| sum_udaf().call(vec![of]);
        let before = |of: &str| as_before(&sum(cast(col(of), EXACT)), &schema).to_string();
        assert_eq!(before("i"), "sum(CAST(i AS Int64))");
        assert_eq!(before("l"), "sum(l)");
        let decimal = sum(cast(col("l"), DataType::Decimal128(20, 0)));
        assert_eq!(as_before(&decimal, &schema), decimal);
        assert!(!is_exact(&decimal));
    }
}
