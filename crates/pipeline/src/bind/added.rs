//! Functions that a program adds to those that every pipeline has.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, Volatility};
use sluicebox_core::provenance::PREFIX;
use thiserror::Error;

use super::functions::{builder, builder_within};

/// Functions of a program's own, which a pipeline calls as those of Spark: scalar ones, which give a value a row, and aggregate ones.
///
/// Each is pure: the same rows give the same values when a batch is replayed, in another process too, and a value depends on its row alone,
/// or on the rows of its group in their order. One that cannot compute a row gives an error for the array that it was handed, and is handed
/// halves of it then, down to the rows at fault; what becomes of those says the table's `on.error`. One that is to mean something else from
/// now on gets another name: a checkpoint knows functions by their names.
///
/// ```
/// use std::sync::Arc;
///
/// use datafusion::arrow::datatypes::DataType;
/// use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
/// use sluicebox_pipeline::bind::Functions;
///
/// fn same(args: &[ColumnarValue]) -> datafusion::common::Result<ColumnarValue> {
///     Ok(args[0].clone())
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let function = |name: &str, volatility| {
///     create_udf(name, vec![DataType::Utf8], DataType::Utf8, volatility, Arc::new(same))
/// };
/// let mut functions = Functions::default();
/// functions.add_scalar(function("shop_of", Volatility::Immutable))?;
/// // What Spark calls so means what it means in Spark.
/// assert!(functions.add_scalar(function("upper", Volatility::Immutable)).is_err());
/// // A replayed batch would write other rows.
/// assert!(functions.add_scalar(function("dice", Volatility::Volatile)).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Functions {
    pub(super) scalar: Vec<Arc<ScalarUDF>>,
    pub(super) aggregate: Vec<Arc<AggregateUDF>>,
}

/// Why a function is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FunctionError {
    /// Its name means something already.
    #[error("a function cannot be called `{name}`: {why}; give it another name")]
    Taken {
        /// The name, or one of the further ones.
        name: String,
        /// Who has it.
        why: &'static str,
    },
    /// No query could call it.
    #[error("a function cannot be called `{name}`: write lower-case letters, digits and _, and begin with a letter")]
    NoName {
        /// The name, or one of the further ones.
        name: String,
    },
    /// It says that it may give another value each time it runs.
    #[error(
        "the function `{name}` is not immutable: a replayed batch would write other rows; declare it so, if it gives the same value for \
         the same arguments"
    )]
    NotRepeatable {
        /// The name.
        name: String,
    },
}

impl Functions {
    /// Adds a function that gives a value a row.
    ///
    /// # Errors
    /// When its name is one of Spark's or of another function, or is none; and when it does not say that it is immutable.
    pub fn add_scalar(&mut self, function: ScalarUDF) -> Result<(), FunctionError> {
        self.check(function.name(), function.aliases(), function.signature().volatility)?;
        self.scalar.push(Arc::new(function));
        Ok(())
    }

    /// Adds a function that gives a value a group. What it remembers of a group is what its accumulators' `state` gives: that is kept in the
    /// checkpoint, so its types may never change under one name.
    ///
    /// # Errors
    /// As [`Self::add_scalar`].
    pub fn add_aggregate(&mut self, function: AggregateUDF) -> Result<(), FunctionError> {
        self.check(function.name(), function.aliases(), function.signature().volatility)?;
        self.aggregate.push(Arc::new(function));
        Ok(())
    }

    /// The session of a pipeline that has these functions too: see [`session_state`](super::session_state).
    #[must_use]
    pub fn session_state(&self, target_partitions: usize) -> SessionState {
        builder(target_partitions, self).build()
    }

    /// The same within limits: see [`session_state_within`](super::session_state_within).
    ///
    /// # Errors
    /// As there.
    pub fn session_state_within(&self, target_partitions: usize, memory: u64, spills: bool) -> Result<SessionState> {
        Ok(builder_within(target_partitions, memory, spills, self)?.build())
    }

    fn check(&self, name: &str, further: &[String], volatility: Volatility) -> Result<(), FunctionError> {
        if volatility != Volatility::Immutable {
            return Err(FunctionError::NotRepeatable { name: name.to_owned() });
        }
        for name in std::iter::once(name).chain(further.iter().map(String::as_str)) {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if !name.starts_with(|c: char| c.is_ascii_lowercase())
                || !name.chars().all(plain)
                || name.starts_with(PREFIX)
            {
                return Err(FunctionError::NoName { name: name.to_owned() });
            }
            if let Some(why) = self.taken(name) {
                return Err(FunctionError::Taken { name: name.to_owned(), why });
            }
        }
        Ok(())
    }

    /// Who has `name`.
    fn taken(&self, name: &str) -> Option<&'static str> {
        if sluicebox_functions::of_spark().any(|known| known == name) {
            return Some("Spark has a function of this name");
        }
        let standard = super::session_state(1);
        let known = standard.scalar_functions().contains_key(name)
            || standard.aggregate_functions().contains_key(name)
            || standard.window_functions().contains_key(name)
            || standard.higher_order_functions().contains_key(name);
        if known {
            return Some("every pipeline has a function of this name");
        }
        let is_it = |own: &str, further: &[String]| own == name || further.iter().any(|further| further == name);
        let added = self.scalar.iter().any(|own| is_it(own.name(), own.aliases()))
            || self.aggregate.iter().any(|own| is_it(own.name(), own.aliases()));
        added.then_some("it was added before")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use arrow::datatypes::DataType;
    use datafusion::common::DataFusionError;
    use datafusion::logical_expr::function::AccumulatorArgs;
    use datafusion::logical_expr::{Accumulator, ColumnarValue, create_udaf, create_udf};

    use super::*;

    fn same(args: &[ColumnarValue]) -> Result<ColumnarValue> {
        Ok(args[0].clone())
    }

    fn none(_: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Err(DataFusionError::NotImplemented("no test makes one".to_owned()))
    }

    fn scalar(name: &str, volatility: Volatility) -> ScalarUDF {
        create_udf(name, vec![DataType::Int64], DataType::Int64, volatility, Arc::new(same))
    }

    fn aggregate(name: &str) -> AggregateUDF {
        let (gives, remembers) = (Arc::new(DataType::Int64), Arc::new(vec![DataType::Int64]));
        create_udaf(name, vec![DataType::Int64], gives, Volatility::Immutable, Arc::new(none), remembers)
    }

    #[test]
    fn a_name_that_spark_has_is_refused_whether_it_is_here_or_not() {
        let mut functions = Functions::default();
        let spark =
            sluicebox_functions::of_spark().filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        let mut tried = 0;
        for name in spark {
            let refused = functions.add_scalar(scalar(name, Volatility::Immutable)).unwrap_err();
            assert!(matches!(refused, FunctionError::Taken { .. }), "{name}: {refused}");
            tried += 1;
        }
        assert!(tried > 300, "{tried}");
        // The last two are not Spark's.
        for name in ["count", "now", "window", "today", "date_bin"] {
            assert!(functions.add_aggregate(aggregate(name)).is_err(), "{name}");
        }
        let further = scalar("shop_of", Volatility::Immutable).with_aliases(["upper"]);
        let said = functions.add_scalar(further).unwrap_err().to_string();
        assert_eq!(
            said,
            "a function cannot be called `upper`: Spark has a function of this name; give it another name"
        );
    }

    #[test]
    fn a_function_is_called_by_one_name_and_gives_the_same_when_it_is_run_again() {
        let mut functions = Functions::default();
        functions.add_scalar(scalar("shop_of", Volatility::Immutable)).unwrap();
        functions.add_aggregate(aggregate("shops")).unwrap();
        for taken in ["shop_of", "shops"] {
            assert!(functions.add_aggregate(aggregate(taken)).unwrap_err().to_string().contains("added before"));
        }
        for volatility in [Volatility::Stable, Volatility::Volatile] {
            let refused = functions.add_scalar(scalar("dice", volatility)).unwrap_err();
            assert_eq!(refused, FunctionError::NotRepeatable { name: "dice".to_owned() });
        }
        for name in ["Shop", "shop of", "_shop", "1shop", "", "__sb_shop"] {
            let refused = functions.add_scalar(scalar(name, Volatility::Immutable)).unwrap_err();
            assert!(matches!(refused, FunctionError::NoName { .. }), "{refused}");
        }
        let state = functions.session_state(1);
        assert!(state.scalar_functions().contains_key("shop_of") && state.aggregate_functions().contains_key("shops"));
        assert!(!crate::bind::session_state(1).scalar_functions().contains_key("shop_of"));
    }
}
