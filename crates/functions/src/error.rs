//! The two errors of a function, prefixed with its name.

use datafusion::common::{DataFusionError, Result};

/// A call is wrong, whatever the rows; `message` says what to write.
pub(crate) fn plan_error<T>(message: impl Into<String>) -> Result<T> {
    Err(DataFusionError::Plan(message.into()))
}

/// A row cannot be computed; `message` names the value and the reason.
pub(crate) fn row_error<T>(message: impl Into<String>) -> Result<T> {
    Err(DataFusionError::Execution(message.into()))
}

/// An error's own words.
pub(crate) fn words(error: &DataFusionError) -> String {
    match error {
        DataFusionError::Plan(text) | DataFusionError::Execution(text) => text.clone(),
        other => other.strip_backtrace(),
    }
}

/// `error` of a call of `name`, under that name.
pub(crate) fn named(name: &str, error: &DataFusionError) -> DataFusionError {
    DataFusionError::Plan(format!("{name}: {}", words(error)))
}

/// Equality of a type of functions that one field tells apart, such as the name: `impl_by_name!(Type, field)`.
macro_rules! impl_by_name {
    ($type:ty, $($name:ident).+) => {
        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.$($name).+ == other.$($name).+
            }
        }

        impl Eq for $type {}

        impl std::hash::Hash for $type {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                std::hash::Hash::hash(&self.$($name).+, state);
            }
        }
    };
}

pub(crate) use impl_by_name;
