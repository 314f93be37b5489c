//! Looks up columns of a batch by name. Says why Arrow could not build a column, and whose fault that is.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use thiserror::Error;

use crate::blame::Blame;

/// The columns of `rows` by their names. A schema is searched from its beginning for each name, which takes long for thousands of them.
#[must_use]
pub fn by_name(rows: &RecordBatch) -> HashMap<&str, &ArrayRef> {
    rows.schema_ref().fields().iter().map(|field| field.name().as_str()).zip(rows.columns()).collect()
}

/// Why rows do not have the columns of a schema.
#[derive(Debug, Error)]
pub enum Unfit {
    /// They have none of this name.
    #[error("there is no column {0}")]
    Missing(String),
    /// One has another type, or is NULL where it may not be.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

/// The columns of `rows` that `schema` names, in its order.
///
/// # Errors
/// [`Unfit::Missing`] when there is none of a name.
pub fn of_schema(rows: &RecordBatch, schema: &Schema) -> Result<Vec<ArrayRef>, Unfit> {
    let by_name = by_name(rows);
    let column = |name: &String| by_name.get(name.as_str()).copied().cloned();
    schema.fields().iter().map(|f| column(f.name()).ok_or_else(|| Unfit::Missing(f.name().clone()))).collect()
}

/// `rows` under `schema`: its columns by name, in its order, and no others.
///
/// # Errors
/// When a column is not there, or does not fit.
pub fn fitted(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Unfit> {
    if rows.schema_ref() == schema {
        return Ok(rows.clone());
    }
    // A schema without columns does not say how many rows there are.
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), of_schema(rows, schema)?, &options)?)
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
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field};

    use super::*;

    fn schema(names: &[&str]) -> SchemaRef {
        Arc::new(Schema::new(names.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect::<Vec<_>>()))
    }

    #[test]
    fn rows_are_fitted_by_the_names_of_their_columns() {
        let column = |value: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![value, value])) };
        let rows = RecordBatch::try_new(schema(&["a", "b", "c"]), vec![column(1), column(2), column(3)]).unwrap();
        let fit = |names: &[&str]| fitted(&rows, &schema(names));
        let turned = fit(&["c", "a"]).unwrap();
        assert_eq!(turned, RecordBatch::try_new(schema(&["c", "a"]), vec![column(3), column(1)]).unwrap());
        assert_eq!(fit(&["a", "b", "c"]).unwrap(), rows);
        assert_eq!(fit(&[]).unwrap().num_rows(), 2, "without columns there are as many rows");
        assert!(matches!(fit(&["a", "d"]), Err(Unfit::Missing(name)) if name == "d"));
        let text: SchemaRef = Arc::new(Schema::new(vec![Field::new("a", DataType::Utf8, true)]));
        assert!(matches!(fitted(&rows, &text), Err(Unfit::Arrow(_))));
    }

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
