//! Functions of text and binary values.
//!
//! Positions and lengths count characters (code points) of text and bytes of binary values.

mod change;
mod codes;
mod format;
mod hashes;
mod join;
mod pad;
mod parts;
pub(crate) mod pattern;
mod places;
mod regex;
#[cfg(test)]
mod tests;
mod url;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

pub use self::pattern::keeping_patterns;

/// The functions of this module.
#[must_use]
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    [
        join::functions(),
        parts::functions(),
        places::functions(),
        pad::functions(),
        change::functions(),
        format::functions(),
        codes::functions(),
        hashes::functions(),
        regex::functions(),
        url::functions(),
    ]
    .into_iter()
    .flatten()
    .map(crate::rows::Function::udf)
    .collect()
}
