//! Spark's functions and operators in Spark's meaning, where DataFusion lacks the name or gives it another meaning.
//!
//! **Owns** scalar and aggregate functions, casts and operators as Spark 4 computes them in ANSI mode and UTC. Tests compare their results
//! with answers of Spark itself (`crates/runtime/tests/spark`).
//!
//! **May not know** streams, batches, files, or the text of a pipeline. A function is pure: the same rows give the same values when a batch
//! is replayed, and a row's value depends on that row alone.
//!
//! **Errors**: a function that cannot compute a row returns an error for the whole array. Its message names the value and the reason. The
//! engine then calls the function with halves of the array, down to the failing rows.
//!
//! Each module lists its functions in `functions`. A name that is listed here takes precedence over DataFusion's and datafusion-spark's.

pub mod aggregates;
mod arrays;
mod calendar;
pub mod casts;
pub mod equal;
mod error;
pub mod json;
pub mod math;
pub mod nested;
pub mod operators;
mod refused;
mod rows;
pub mod schema;
pub mod size;
mod spark;
pub mod text;
mod theirs;
pub mod time;
pub mod types;
mod values;

use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{AggregateUDF, ColumnarValue, HigherOrderUDF, ScalarFunctionArgs, ScalarUDF};

pub use self::calendar::Zone;
pub use self::refused::{Refusal, refused, refused_names};
pub use self::spark::of_spark;
pub use self::text::keeping_patterns;
pub use self::theirs::functions as theirs;

/// All scalar functions of this crate.
#[must_use]
pub fn scalar() -> Vec<Arc<ScalarUDF>> {
    [text::functions(), time::functions(), math::functions(), json::functions(), nested::functions()].concat()
}

/// All aggregate functions of this crate.
#[must_use]
pub fn aggregate() -> Vec<Arc<AggregateUDF>> {
    aggregates::functions()
}

/// All functions of this crate that take lambdas.
#[must_use]
pub fn higher_order() -> Vec<Arc<HigherOrderUDF>> {
    nested::higher_order()
}

/// What plans syntax of its own; these go before DataFusion's.
#[must_use]
pub fn planners() -> Vec<Arc<dyn ExprPlanner>> {
    vec![Arc::new(nested::NestedPlanner), Arc::new(aggregates::AggregatePlanner)]
}

/// What `run` makes of the one argument; of a constant it is a constant.
fn unary(args: &ScalarFunctionArgs, run: impl FnOnce(&ArrayRef) -> Result<ArrayRef>) -> Result<ColumnarValue> {
    match args.args.as_slice() {
        [ColumnarValue::Array(values)] => Ok(ColumnarValue::Array(run(values)?)),
        [ColumnarValue::Scalar(value)] => {
            Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&run(&value.to_array()?)?, 0)?))
        }
        other => internal_err!("one argument, not {}", other.len()),
    }
}

/// What `run` makes of the two arguments, a constant as an array of one value; of two constants it is a constant.
fn binary(
    args: &ScalarFunctionArgs,
    run: impl FnOnce(&ArrayRef, &ArrayRef) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    let [left, right] = args.args.as_slice() else { return internal_err!("two arguments, not {}", args.args.len()) };
    let array = |side: &ColumnarValue| match side {
        ColumnarValue::Array(values) => Ok(Arc::clone(values)),
        ColumnarValue::Scalar(value) => value.to_array(),
    };
    let out = run(&array(left)?, &array(right)?)?;
    match (left, right) {
        (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)) => {
            Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?))
        }
        _ => Ok(ColumnarValue::Array(out)),
    }
}
