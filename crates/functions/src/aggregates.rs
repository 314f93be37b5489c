//! Aggregate functions.

use std::sync::Arc;

use datafusion::logical_expr::AggregateUDF;

/// The functions of this module.
#[must_use]
pub fn functions() -> Vec<Arc<AggregateUDF>> {
    Vec::new()
}
