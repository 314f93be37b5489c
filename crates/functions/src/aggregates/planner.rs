//! Rewrites calls of aggregate functions in Spark's form to DataFusion's.

use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::functions_aggregate as known;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::expr::{AggregateFunction, NullTreatment};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawAggregateExpr};
use datafusion::logical_expr::{AggregateUDF, ColumnarValue, Expr, cast, is_null, lit, or, when};
use datafusion::physical_expr::create_physical_expr;

use super::function::number;
use crate::error::plan_error;

/// Plans aggregate functions.
#[derive(Debug)]
pub struct AggregatePlanner;

fn function(name: &str) -> Option<Arc<AggregateUDF>> {
    super::functions().into_iter().find(|f| f.name() == name)
}

impl ExprPlanner for AggregatePlanner {
    fn plan_aggregate(&self, mut raw: RawAggregateExpr) -> Result<PlannerResult<RawAggregateExpr>> {
        check_constants(&raw)?;
        match raw.func.name() {
            "regr_count" => {
                let count = AggregateFunction::new_udf(raw.func, raw.args, raw.distinct, raw.filter, Vec::new(), None);
                return Ok(PlannerResult::Planned(cast(Expr::AggregateFunction(count), DataType::Int64)));
            }
            "first_value" | "last_value" if raw.args.len() == 2 => ignore_nulls(&mut raw)?,
            "any_value" => {
                raw.func = known::first_last::first_value_udaf();
                if raw.args.len() == 2 {
                    ignore_nulls(&mut raw)?;
                }
            }
            // Spark leaves NULLs out, and knows no order but that of the rows.
            "array_agg" if raw.order_by.is_empty() && raw.null_treatment.is_none() => {
                raw.func = function("collect_list").unwrap_or(raw.func);
            }
            "string_agg" if raw.order_by.is_empty() => raw.func = function("listagg").unwrap_or(raw.func),
            "count" if raw.distinct && raw.args.len() > 1 => raw.args = vec![all_or_null(&raw.args)?],
            _ => return Ok(PlannerResult::Original(raw)),
        }
        Ok(PlannerResult::Planned(Expr::AggregateFunction(AggregateFunction::new_udf(
            raw.func,
            raw.args,
            raw.distinct,
            raw.filter,
            raw.order_by,
            raw.null_treatment,
        ))))
    }
}

/// The value of an expression that is the same for all rows.
fn constant(expr: &Expr) -> Option<ScalarValue> {
    let nothing = DFSchema::empty();
    let planned =
        create_physical_expr(expr, &nothing, &ExecutionProps::new(), &PhysicalPlanningContext::default()).ok()?;
    match planned.evaluate(&RecordBatch::new_empty(Arc::new(Schema::empty()))).ok()? {
        ColumnarValue::Scalar(value) => Some(value),
        ColumnarValue::Array(_) => None,
    }
}

/// What is wrong with shares, accuracies and errors is told before there are rows.
fn check_constants(raw: &RawAggregateExpr) -> Result<()> {
    let name = raw.func.name();
    let given = |at: usize| raw.args.get(at).and_then(constant);
    let numbers = |value: ScalarValue| -> Vec<Option<f64>> {
        match &value {
            ScalarValue::List(list) if !list.is_empty() => {
                let each = |at| ScalarValue::try_from_array(&list.value(0), at).ok();
                (0..list.value(0).len()).map(|at| each(at).as_ref().and_then(number)).collect()
            }
            other => vec![number(other)],
        }
    };
    // The elements of an array have no type in common yet: each is looked at alone.
    let shares = || -> Option<Vec<Option<f64>>> {
        match raw.args.get(1)? {
            Expr::ScalarFunction(f) if ["array", "make_array"].contains(&f.func.name()) => {
                f.args.iter().map(|arg| Some(number(&constant(arg)?))).collect()
            }
            other => constant(other).map(numbers),
        }
    };
    if matches!(name, "percentile" | "percentile_approx" | "percentile_cont" | "percentile_disc")
        && let Some(shares) = shares()
        && !shares.iter().all(|s| s.is_some_and(|s| (0.0..=1.0).contains(&s)))
    {
        let shown: Vec<String> = shares.iter().map(|s| s.map_or("NULL".to_owned(), |s| s.to_string())).collect();
        return plan_error(format!("{name}: a share is a number between 0 and 1, this is {}", shown.join(", ")));
    }
    if name == "percentile_approx"
        && let Some(accuracy) = given(2)
        && !number(&accuracy).is_some_and(|a| (1.0..=f64::from(i32::MAX)).contains(&a))
    {
        return plan_error(format!("{name}: an accuracy is a whole number above 0, this is {accuracy}"));
    }
    if name == "approx_count_distinct"
        && let Some(error) = given(1)
        && !number(&error).is_some_and(|e| (0.0022..=0.39).contains(&e))
    {
        return plan_error(format!("{name}: a relative error is a number from 0.0022 to 0.39, this is {error}"));
    }
    Ok(())
}

/// `first(x, true)` is `first(x) IGNORE NULLS`.
fn ignore_nulls(raw: &mut RawAggregateExpr) -> Result<()> {
    let Some(Expr::Literal(ScalarValue::Boolean(Some(ignore)), _)) = raw.args.pop() else {
        return plan_error(format!("{}: whether NULLs are passed over is written out, true or false", raw.func.name()));
    };
    if ignore {
        raw.null_treatment = Some(NullTreatment::IgnoreNulls);
    }
    Ok(())
}

/// The values as one, NULL if one of them is.
fn all_or_null(args: &[Expr]) -> Result<Expr> {
    let any_null = args.iter().cloned().map(is_null).reduce(or).unwrap_or_else(|| lit(false));
    let named = args.iter().enumerate().flat_map(|(at, arg)| [lit(format!("c{at}")), arg.clone()]);
    let together = datafusion::functions::core::named_struct().call(named.collect());
    when(datafusion::logical_expr::not(any_null), together).end()
}
