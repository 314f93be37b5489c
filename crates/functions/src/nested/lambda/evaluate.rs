//! A lambda over many elements at once.

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take_arrays;
use datafusion::common::Result;
use datafusion::logical_expr::LambdaArgument;

/// What `lambda` gives where its parameters have the values of `parameters`; `owners` are the rows whose other columns it sees.
pub(super) fn evaluate(lambda: &LambdaArgument, parameters: &[ArrayRef], owners: &[usize]) -> Result<ArrayRef> {
    let given: Vec<_> = parameters.iter().map(|p| move || Ok(ArrayRef::clone(p))).collect();
    let given: Vec<&dyn Fn() -> Result<ArrayRef>> = given.iter().map(|g| g as &dyn Fn() -> Result<ArrayRef>).collect();
    let spread = |columns: &[ArrayRef]| {
        let rows: UInt32Array = owners.iter().map(|o| u32::try_from(*o).ok()).collect();
        Ok(take_arrays(columns, &rows, None)?)
    };
    lambda.evaluate(&given, spread)?.into_array(owners.len())
}
