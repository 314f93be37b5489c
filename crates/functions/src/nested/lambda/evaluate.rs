//! A lambda over many elements at once.

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::{concat, take_arrays};
use datafusion::common::Result;
use datafusion::logical_expr::LambdaArgument;

/// What `lambda` gives where its parameters have the values of `parameters`; `owners` are the rows whose other columns it sees.
///
/// Of `a AND b` DataFusion computes `b` for elements too that `a` has decided, unless that has decided all; so do OR and CASE for
/// conditions. Where that fails, fewer elements are asked at once, down to one, for which only what counts is computed.
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
    Ok(concat(&[first.as_ref(), second.as_ref()])?)
}

fn at_once(lambda: &LambdaArgument, parameters: &[ArrayRef], owners: &[usize]) -> Result<ArrayRef> {
    let given: Vec<_> = parameters.iter().map(|p| move || Ok(ArrayRef::clone(p))).collect();
    let given: Vec<&dyn Fn() -> Result<ArrayRef>> = given.iter().map(|g| g as &dyn Fn() -> Result<ArrayRef>).collect();
    let spread = |columns: &[ArrayRef]| {
        let rows: UInt32Array = owners.iter().map(|o| u32::try_from(*o).ok()).collect();
        Ok(take_arrays(columns, &rows, None)?)
    };
    lambda.evaluate(&given, spread)?.into_array(owners.len())
}
