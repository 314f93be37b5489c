//! Aggregate functions.
//!
//! The rows of a window come in several batches, so each function has states that merge, in Arrow columns. A function whose result depends
//! on the order of rows (`first`, `collect_list`, `listagg`, `max_by` among equal values) takes them in the order of their source.

mod approx;
mod by;
mod collect;
mod distinct;
mod exact;
mod extremes;
mod function;
mod moments;
mod planner;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::functions_aggregate as known;
use datafusion::logical_expr::AggregateUDF;

use self::extremes::{max, min};
pub use self::planner::AggregatePlanner;

/// The functions of this module.
#[must_use]
pub fn functions() -> Vec<Arc<AggregateUDF>> {
    let named = |function: Arc<AggregateUDF>, aliases: &[&'static str]| {
        Arc::new(function.as_ref().clone().with_aliases(aliases.iter().copied()))
    };
    let mut all = vec![
        named(known::first_last::first_value_udaf(), &["first"]),
        named(known::first_last::last_value_udaf(), &["last"]),
        named(known::bool_and_or::bool_and_udaf(), &["every"]),
        named(known::bool_and_or::bool_or_udaf(), &["some", "any"]),
        named(known::stddev::stddev_udaf(), &["std"]),
        named(known::variance::var_samp_udaf(), &["variance"]),
    ];
    all.extend(by::functions());
    all.extend(collect::functions());
    all.extend(exact::functions());
    all.extend(approx::functions());
    all.extend(distinct::functions());
    all.extend(moments::functions());
    all.extend([max(), min()]);
    all
}
