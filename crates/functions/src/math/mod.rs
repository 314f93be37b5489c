//! Functions of numbers, bits and choices.

mod bits;
mod choices;
mod common;
mod exact;
mod plain;
mod round;
mod tries;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

pub use self::exact::WholeAsDecimal;

/// The functions of this module.
#[must_use]
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    [bits::functions(), choices::functions(), plain::functions(), round::functions(), tries::functions()]
        .into_iter()
        .flatten()
        .map(crate::rows::Function::udf)
        .chain(common::functions())
        .collect()
}
