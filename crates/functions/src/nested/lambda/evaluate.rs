//! A lambda over many elements at once.

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::{concat, take_arrays};
use datafusion::common::Result;
use datafusion::logical_expr::LambdaArgument;

use crate::rows::together;
use crate::size;

/// What `lambda` gives where its parameters have the values of `parameters`; `owners` are the rows whose other columns it sees.
///
/// Of `a AND b` DataFusion computes `b` for elements too that `a` has decided, unless that has decided all; so do OR and CASE for
/// conditions. Where that fails, fewer elements are asked at once, down to one, for which only what counts is computed. So are they
/// where the other columns, once for each element, would take too much.
pub(super) fn evaluate(lambda: &LambdaArgument, parameters: &[ArrayRef], owners: &[usize]) -> Result<ArrayRef> {
    let failed = match at_once(lambda, parameters, owners) {
        Ok(found) => return Ok(found),
        Err(failed) => failed,
    };
    if owners.len() < 2 {
        return Err(failed);
    }
    let middle = owners.len() / 2;
    let part = |start: usize, end: usize| {
        let parameters: Vec<ArrayRef> = parameters.iter().map(|p| p.slice(start, end - start)).collect();
        evaluate(lambda, &parameters, &owners[start..end])
    };
    let (first, second) = (part(0, middle)?, part(middle, owners.len())?);
    together(size::of(&first).saturating_add(size::of(&second)))?;
    Ok(concat(&[first.as_ref(), second.as_ref()])?)
}

fn at_once(lambda: &LambdaArgument, parameters: &[ArrayRef], owners: &[usize]) -> Result<ArrayRef> {
    let given: Vec<_> = parameters.iter().map(|p| move || Ok(ArrayRef::clone(p))).collect();
    let given: Vec<&dyn Fn() -> Result<ArrayRef>> = given.iter().map(|g| g as &dyn Fn() -> Result<ArrayRef>).collect();
    let spread = |columns: &[ArrayRef]| {
        fits(columns, owners)?;
        let rows: UInt32Array = owners.iter().map(|o| u32::try_from(*o).ok()).collect();
        Ok(take_arrays(columns, &rows, None)?)
    };
    let found = lambda.evaluate(&given, spread)?.into_array(owners.len())?;
    together(size::of(&found))?;
    Ok(found)
}

/// Nothing, if `columns` may be there once for each of `owners`, their rows.
fn fits(columns: &[ArrayRef], owners: &[usize]) -> Result<()> {
    let mut bytes = 0_usize;
    for same in owners.chunk_by(|a, b| a == b) {
        let row = same.first().map_or(0, |owner| columns.iter().map(|column| size::row(column, *owner)).sum());
        bytes = bytes.saturating_add(row.saturating_mul(same.len()));
    }
    together(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};

    use super::fits;

    #[test]
    fn what_a_lambda_sees_of_its_row_is_counted_once_for_each_element() {
        let column: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(1 << 20), "y".to_owned()]));
        let columns = [column];
        assert!(fits(&columns, &[0; 120]).is_ok());
        assert!(fits(&columns, &[0; 130]).is_err());
        let owners = [vec![0; 70], vec![1; 1_000_000], vec![0; 70]].concat();
        assert!(fits(&columns, &owners).is_err(), "wherever they stand");
        assert!(fits(&columns, &owners[70..1_000_070]).is_ok());
    }
}
