//! Operators: arithmetic that never wraps, comparisons, items of arrays and maps, and the planner that chooses their types.

pub mod arithmetic;
pub mod compare;
pub mod conditional;
pub(crate) mod decimal;
pub mod like;
pub mod literal;
pub mod nested;
pub mod planner;
pub mod sums;
pub mod temporal;
pub mod text;
pub mod written;
