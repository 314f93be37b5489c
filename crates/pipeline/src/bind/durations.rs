//! Compares a time difference with an interval as durations.
//!
//! DataFusion casts the difference to an interval of months, days and nanoseconds and compares these one after the other. By that, 30 hours
//! (0 days, 30 hours) are less than a day (1 day, 0 hours). So before types are coerced, this rule turns the interval into a duration. A
//! day is 24 hours. A month has no fixed length, so it is refused.

use arrow::datatypes::{DataType, IntervalMonthDayNano, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, DataFusionError, Diagnostic, Result, ScalarValue};
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

const NANOS_PER_DAY: i128 = 86_400_000_000_000;

/// The rewrite, for the analyser.
#[derive(Debug)]
pub(super) struct IntervalAsDuration;

impl FunctionRewrite for IntervalAsDuration {
    fn name(&self) -> &str {
        "interval_as_duration"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _config: &ConfigOptions) -> Result<Transformed<Expr>> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if applies(op) => {
                let mut sides = [*left, *right];
                let changed = align(&mut sides.iter_mut().collect::<Vec<_>>(), schema)?;
                let [left, right] = sides;
                let binary = Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)));
                Ok(Transformed::new_transformed(binary, changed))
            }
            Expr::Between(mut between) => {
                let changed = align(&mut [&mut between.expr, &mut between.low, &mut between.high], schema)?;
                Ok(Transformed::new_transformed(Expr::Between(between), changed))
            }
            Expr::InList(mut list) => {
                let mut all: Vec<&mut Expr> = std::iter::once(&mut *list.expr).chain(list.list.iter_mut()).collect();
                let changed = align(&mut all, schema)?;
                Ok(Transformed::new_transformed(Expr::InList(list), changed))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

fn applies(op: Operator) -> bool {
    use Operator as O;
    matches!(
        op,
        O::Eq
            | O::NotEq
            | O::Lt
            | O::LtEq
            | O::Gt
            | O::GtEq
            | O::IsDistinctFrom
            | O::IsNotDistinctFrom
            | O::Plus
            | O::Minus
    )
}

/// Where durations and intervals meet, makes durations of the intervals. Says whether it did.
fn align(sides: &mut [&mut Expr], schema: &DFSchema) -> Result<bool> {
    // A type that cannot be told here is an error that type coercion reports better.
    let types: Vec<Option<DataType>> = sides.iter().map(|e| e.get_type(schema).ok()).collect();
    let Some(unit) = types.iter().find_map(|t| match t {
        Some(DataType::Duration(unit)) => Some(*unit),
        _ => None,
    }) else {
        return Ok(false);
    };
    let mut changed = false;
    for (side, data_type) in sides.iter_mut().zip(types) {
        if matches!(data_type, Some(DataType::Interval(_))) {
            **side = Expr::Literal(duration(side, unit)?, None);
            changed = true;
        }
    }
    Ok(changed)
}

/// The constant interval `expr` as a duration in `unit`, or in a finer one where it needs one.
fn duration(expr: &Expr, unit: TimeUnit) -> Result<ScalarValue> {
    let folded = ExprSimplifier::new(SimplifyContext::default()).simplify(expr.clone())?;
    let nanos = match folded {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(v)), _) => {
            let IntervalMonthDayNano { months, days, nanoseconds } = v;
            (months == 0).then(|| i128::from(days) * NANOS_PER_DAY + i128::from(nanoseconds))
        }
        Expr::Literal(ScalarValue::IntervalDayTime(Some(v)), _) => {
            Some(i128::from(v.days) * NANOS_PER_DAY + i128::from(v.milliseconds) * 1_000_000)
        }
        Expr::Literal(ScalarValue::IntervalYearMonth(Some(_)), _) => None,
        Expr::Literal(value, _) if value.is_null() => return null_duration(unit),
        _ => {
            return refuse(
                expr,
                "a time difference can be compared with an interval that is a constant, such as INTERVAL '5 minutes'",
            );
        }
    };
    match nanos {
        Some(nanos) => scaled(nanos, unit)
            .map_or_else(|| refuse(expr, "an interval compared with a time difference is too long"), Ok),
        None => refuse(
            expr,
            "a time difference cannot be compared with months or years, which have no fixed length; write days",
        ),
    }
}

fn scaled(nanos: i128, unit: TimeUnit) -> Option<ScalarValue> {
    let exact = |per: i128| (nanos % per == 0).then_some(nanos / per);
    let seconds = matches!(unit, TimeUnit::Second).then(|| exact(1_000_000_000)).flatten();
    let millis = matches!(unit, TimeUnit::Second | TimeUnit::Millisecond).then(|| exact(1_000_000)).flatten();
    let micros = (!matches!(unit, TimeUnit::Nanosecond)).then(|| exact(1_000)).flatten();
    let fit = |v: i128| i64::try_from(v).ok().map(Some);
    Some(if let Some(v) = seconds {
        ScalarValue::DurationSecond(fit(v)?)
    } else if let Some(v) = millis {
        ScalarValue::DurationMillisecond(fit(v)?)
    } else if let Some(v) = micros {
        ScalarValue::DurationMicrosecond(fit(v)?)
    } else {
        ScalarValue::DurationNanosecond(fit(nanos)?)
    })
}

fn null_duration(unit: TimeUnit) -> Result<ScalarValue> {
    ScalarValue::try_from(&DataType::Duration(unit))
}

fn refuse<T>(expr: &Expr, message: &str) -> Result<T> {
    let span = super::place::first_span(expr);
    Err(DataFusionError::Plan(message.to_owned()).with_diagnostic(Diagnostic::new_error(message, span)))
}
