//! Functions of arrays, maps and structs.
//!
//! Every function computes the indices of the elements that a row takes, and one `take` kernel builds the arrays. Elements are compared in
//! Arrow's row format, which is the same for every type.

pub(crate) mod access;
mod build;
pub mod generate;
pub(crate) mod keys;
mod lambda;
pub(crate) mod lists;
pub(crate) mod maps;
mod planner;
mod sequence;
mod sets;
pub(crate) mod types;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

pub use self::lambda::functions as higher_order;
pub use self::planner::NestedPlanner;

/// The functions of this module.
#[must_use]
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    [access::functions(), build::functions(), sets::functions(), maps::functions(), sequence::functions()].concat()
}
