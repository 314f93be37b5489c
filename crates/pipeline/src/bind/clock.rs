//! Replaces `now()` and its relatives by the batch's clock.

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::functions::ClockValue;
use crate::graph::Expectation;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Whether the plan asks for the clock, so that it must be bound and optimised for each batch anew.
#[must_use]
pub fn uses_clock(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let walked = plan.apply(|node| {
        node.apply_expressions(|expr| {
            found |= expr_uses_clock(expr);
            Ok(TreeNodeRecursion::Continue)
        })
    });
    found || walked.is_err()
}

/// Whether the expression asks for the clock.
#[must_use]
pub fn expr_uses_clock(expr: &Expr) -> bool {
    expr.exists(|e| Ok(matches!(e, Expr::ScalarFunction(f) if ClockValue::of(&f.func).is_some()))).unwrap_or(true)
}

/// Puts the clock, in microseconds since 1970-01-01T00:00Z, in place of `now()`, `current_timestamp`, `current_date`,
/// `current_time` and `localtimestamp`. Columns keep their names and types. To be called before optimisation.
///
/// # Errors
/// None for a plan of a [`crate::graph::PlanNode`], or of a query over tables.
pub fn bind_clock(plan: LogicalPlan, clock_micros: i64) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        let bound = node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(bind(expr, clock_micros)?.update_data(|e| name.restore(e)))
        })?;
        bound.map_data(LogicalPlan::recompute_schema)
    })
    .map(|bound| bound.data)
}

/// As [`bind_clock`], for an expression, whose name may change.
///
/// # Errors
/// None.
pub fn bind_expr_clock(expr: Expr, clock_micros: i64) -> Result<Expr> {
    bind(expr, clock_micros).map(|bound| bound.data)
}

/// As [`bind_clock`], for an expectation's condition.
///
/// # Errors
/// None.
pub fn bind_expectation(expectation: &Expectation, clock_micros: i64) -> Result<Expectation> {
    let condition = bind_expr_clock(expectation.condition.clone(), clock_micros)?;
    Ok(Expectation { condition, ..expectation.clone() })
}

fn bind(expr: Expr, micros: i64) -> Result<Transformed<Expr>> {
    expr.transform_up(|e| {
        Ok(match e {
            Expr::ScalarFunction(ScalarFunction { ref func, .. }) => match ClockValue::of(func) {
                Some(clock) => Transformed::yes(Expr::Literal(value(clock, micros), None)),
                None => Transformed::no(e),
            },
            other => Transformed::no(other),
        })
    })
}

fn value(clock: ClockValue, micros: i64) -> ScalarValue {
    match clock {
        ClockValue::Now => ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())),
        ClockValue::LocalTimestamp => ScalarValue::TimestampMicrosecond(Some(micros), None),
        ClockValue::Date => ScalarValue::Date32(i32::try_from(micros.div_euclid(MICROS_PER_DAY)).ok()),
        ClockValue::Time => ScalarValue::Time64Microsecond(Some(micros.rem_euclid(MICROS_PER_DAY))),
    }
}
