//! One notion of equality: 0.0 and -0.0 are one value, and every NaN is one value and the largest. The same holds inside structs, lists and
//! maps. The entries of a map have no order.
//!
//! Arrow compares bits: -0.0 is less than 0.0, a NaN with its sign set is the least of all, and two NaN with different bits differ. So
//! comparisons use the *form* of each value, [`normal`]: 0.0 for both zeros, one NaN for all. Values that are only carried keep their bits.
//!
//! | where | how |
//! |---|---|
//! | comparisons, IN, BETWEEN, CASE, `nullif`, `array_has`, `array_position` | [`OneEquality`], a rule of the optimiser, puts [`same`] around what is compared |
//! | what an aggregate compares: DISTINCT, ORDER BY, `min`, `max` and others | [`one_equality`], when the aggregate is planned; the accumulators of `min` and `max` |
//! | GROUP BY | [`same`] around the keys, when the aggregate is planned |
//! | DISTINCT, DISTINCT ON | the key encoding of the operators, which has one encoding for both; what is written of a key is its form |
//!
//! The plans of a [`crate::graph::Graph`] stay as they were bound, so that what a checkpoint holds of a query does not change.

mod rule;

pub use rule::{OneEquality, one_equality, same};
pub use sluicebox_functions::equal::{has_twins, normal};
