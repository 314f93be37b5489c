//! `CAST(timestamp AS DATE)` by a division.
//!
//! Arrow's kernel computes a calendar date for each value, since a time zone may have any rules. `TIMESTAMP` is UTC here, where every day
//! has the same length, and most tables are partitioned by such a date.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Date32Type, Field, FieldRef, TimeUnit, TimestampMicrosecondType};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Days from 1970 that the calendar of Arrow's kernel has in both directions; it goes on for some more, to the year 262,142.
const CALENDAR_DAYS: u32 = 95_000_000;

/// `plan` with the cast that is meant here done by division. Values, names, types and errors stay what they were; a column
/// may be named by another expression in the text of the plan. To be called last, on a plan that only runs.
///
/// # Errors
/// None for a plan of a [`crate::graph::PlanNode`].
pub fn with_dates_by_division(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up(|node| {
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        let divided = node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(divide(expr, &schema)?.update_data(|e| name.restore(e)))
        })?;
        divided.map_data(LogicalPlan::recompute_schema)
    })
    .map(|divided| divided.data)
}

fn divide(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    expr.transform_up(|e| match e {
        Expr::Cast(Cast { expr, field })
            if field.data_type() == &DataType::Date32
                && expr.get_type(schema).is_ok_and(|of| is_utc(&of))
                && !matches!(*expr, Expr::Literal(..)) =>
        {
            Ok(Transformed::yes(ScalarUDF::from(UtcDate::new()).call(vec![*expr])))
        }
        other => Ok(Transformed::no(other)),
    })
}

fn is_utc(of: &DataType) -> bool {
    matches!(of, DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if matches!(zone.as_ref(), "UTC" | "+00:00"))
}

/// The UTC date of a timestamp in microseconds. No pipeline can name it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct UtcDate {
    signature: Signature,
}

impl UtcDate {
    fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for UtcDate {
    fn name(&self) -> &'static str {
        "utc_date"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _of: &[DataType]) -> Result<DataType> {
        Ok(DataType::Date32)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), DataType::Date32, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let times = ColumnarValue::values_to_arrays(&args.args)?;
        times.first().map_or_else(
            || datafusion::common::internal_err!("a date of nothing"),
            |times| Ok(ColumnarValue::Array(dates(times)?)),
        )
    }
}

/// What the cast gives.
fn dates(times: &ArrayRef) -> Result<ArrayRef> {
    if let Some(micros) = times.as_primitive_opt::<TimestampMicrosecondType>() {
        let day = |micros: i64| micros.div_euclid(MICROS_PER_DAY) as i32;
        let dates: Date32Array = micros.unary::<_, Date32Type>(day);
        if dates.values().iter().all(|day| day.unsigned_abs() <= CALENDAR_DAYS) {
            return Ok(Arc::new(dates));
        }
    }
    // What has no date is to be told as ever.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    Ok(cast_with_options(times, &DataType::Date32, &options)?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use arrow::array::TimestampMicrosecondArray;
    use proptest::prelude::*;

    use super::*;

    fn times(values: Vec<Option<i64>>) -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
    }

    fn cast(times: &ArrayRef) -> Result<ArrayRef, String> {
        let options = CastOptions { safe: false, ..CastOptions::default() };
        cast_with_options(times, &DataType::Date32, &options).map_err(|e| e.to_string())
    }

    proptest! {
        #[test]
        fn they_are_those_of_arrow(
            values in prop::collection::vec(prop::option::of(prop_oneof![
                any::<i64>(),
                -9_000_000_000_000_000_i64..9_000_000_000_000_000,
                (-800_000_i64..800_000, -1_i64..=1).prop_map(|(day, off)| day * MICROS_PER_DAY + off),
                Just(i64::from(CALENDAR_DAYS) * MICROS_PER_DAY),
            ]), 0..20),
        ) {
            let times = times(values);
            match (dates(&times), cast(&times)) {
                (Ok(found), Ok(wanted)) => prop_assert_eq!(&found, &wanted),
                (found, wanted) => {
                    let found = found.map_err(|e| e.strip_backtrace());
                    prop_assert!(found.is_err() && wanted.is_err(), "{found:?}, Arrow says {wanted:?}");
                }
            }
        }
    }

    #[test]
    fn plans_keep_names_and_types() {
        let session = super::super::functions::session_state(1);
        let schema = Arc::new(arrow::datatypes::Schema::new(vec![
            Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
            Field::new("n", DataType::Int64, true),
        ]));
        let scan = crate::leaf::scan("s", schema).unwrap();
        let date = || datafusion::logical_expr::cast(datafusion::prelude::col("t"), DataType::Date32);
        let number = datafusion::logical_expr::cast(datafusion::prelude::col("n"), DataType::Int32);
        let built = datafusion::logical_expr::LogicalPlanBuilder::from(scan);
        let plan = built.project(vec![date(), date().alias("d"), number]).unwrap().build().unwrap();
        let optimised = session.optimize(&plan).unwrap();
        let divided = with_dates_by_division(optimised.clone()).unwrap();
        assert_eq!(divided.schema(), optimised.schema());
        let text = divided.display_indent().to_string();
        // Both columns are one expression, which the optimiser has found.
        assert_eq!(text.matches("utc_date(").count(), 1, "{text}");
    }
}
