//! The columns of a batch by their names, and those that Arrow cannot make: why, in words, and whose fault it is.

use std::collections::HashMap;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::error::ArrowError;

use crate::blame::Blame;

/// The columns of `rows` by their names. A schema is searched from its beginning for each name, which takes long for thousands of them.
#[must_use]
pub fn by_name(rows: &RecordBatch) -> HashMap<&str, &ArrayRef> {
    rows.schema_ref().fields().iter().map(|field| field.name().as_str()).zip(rows.columns()).collect()
}

/// Whose fault `error` is. Columns that do not fit each other are a mistake of Sluicebox, one that is too long is not.
#[must_use]
pub fn blame_of(error: &ArrowError) -> Blame {
    match error {
        ArrowError::OffsetOverflowError(_) => Blame::Outside,
        _ => Blame::Us,
    }
}

/// What `error` says, with a way on where it is the rows' doing.
#[must_use]
pub fn in_words(error: &ArrowError) -> String {
    match error {
        ArrowError::OffsetOverflowError(_) => {
            "one column would have more than 2 GiB of texts, bytes or items, which is more than a column of a batch can hold; let the \
             query make less of each row, and run again"
                .to_owned()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_is_too_long_is_no_mistake_of_ours_and_has_a_way_on() {
        let long = ArrowError::OffsetOverflowError(2_148_000_000);
        assert_eq!(blame_of(&long), Blame::Outside);
        assert!(in_words(&long).contains("2 GiB") && !in_words(&long).contains("verflow"), "{}", in_words(&long));
        let other = ArrowError::ComputeError("two of them".to_owned());
        assert_eq!(blame_of(&other), Blame::Us);
        assert!(in_words(&other).contains("two of them"));
    }
}
