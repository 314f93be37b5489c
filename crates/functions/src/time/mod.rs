//! Functions of dates and times.
//!
//! `TIMESTAMP` counts microseconds in UTC, which is the session's time zone. `TIMESTAMP_NTZ` counts those of a wall clock.

mod arithmetic;
mod convert;
mod fields;
mod make;
mod pattern;
mod read;
pub(crate) mod text;
mod units;
mod zones;

pub use self::arithmetic::unknown_unit;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

/// The functions of this module.
#[must_use]
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    [
        arithmetic::functions(),
        convert::functions(),
        fields::functions(),
        make::functions(),
        units::functions(),
        zones::functions(),
    ]
    .into_iter()
    .flatten()
    .map(crate::rows::Function::udf)
    .collect()
}
