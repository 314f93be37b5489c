//! Casts.

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

/// The functions of this module.
#[must_use]
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    Vec::new()
}
