//! Evaluates a lambda over many elements at once.

use std::cell::Cell;
use std::ops::Range;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take_arrays;
use datafusion::common::Result;

use super::{Body, cost};
use crate::arrays::Parts;
use crate::error::row_error;
use crate::rows::together;
use crate::size;

/// So many bytes of what a lambda sees of its rows are there at once, once for each element; of one element as many as there are.
const AT_ONCE: usize = 8 << 20;

/// What has been counted before it is done: what all elements cost when each is asked once.
struct Paid(Cell<usize>);

impl Paid {
    /// Counts `bytes` that will be asked for.
    fn ahead(&self, bytes: usize) -> Result<()> {
        self.0.set(self.0.get().saturating_add(bytes));
        cost::spend(bytes)
    }

    /// Counts `bytes` that are asked for, as far as they are more than what has been counted ahead.
    fn asked(&self, bytes: usize) -> Result<()> {
        let paid = self.0.get();
        self.0.set(paid.saturating_sub(bytes));
        cost::spend(bytes.saturating_sub(paid))
    }
}

/// What `body` gives where its parameters have the values of `parameters`; `owners` are the rows whose other columns it sees.
///
/// Of `a AND b` DataFusion computes `b` for elements too that `a` has decided, unless that has decided all; so do OR and CASE for
/// conditions. Where that fails, fewer elements are asked at once, down to one, for which only what counts is computed. So are they
/// where the other columns, once for each element, would take too much memory. Where they take too long, that is the end.
pub(super) fn evaluate(body: &Body, parameters: &[ArrayRef], owners: &[usize]) -> Result<ArrayRef> {
    let paid = Paid(Cell::new(0));
    paid.ahead(cost::of_elements(owners.len()))?;
    let mut parts = Parts::default();
    let all = 0..owners.len();
    let mut rest = vec![all];
    while let Some(range) = rest.pop() {
        match at_once(body, parameters, owners, &range, &paid) {
            Ok(found) => parts.push(found)?,
            Err(failed) if range.len() < 2 || cost::is_too_much() => return Err(failed),
            Err(_) => {
                let middle = range.start + range.len() / 2;
                rest.push(middle..range.end);
                rest.push(range.start..middle);
            }
        }
    }
    parts.one()
}

/// The same for a range of the elements, the first of which is that of all. Elements that are asked again, since the range around them
/// failed, cost again what they see.
fn at_once(
    body: &Body,
    parameters: &[ArrayRef],
    owners: &[usize],
    range: &Range<usize>,
    paid: &Paid,
) -> Result<ArrayRef> {
    let all = range.len() == owners.len();
    let owners = &owners[range.clone()];
    let given: Vec<ArrayRef> = parameters.iter().map(|p| p.slice(range.start, range.len())).collect();
    let given: Vec<_> = given.iter().map(|p| move || Ok(ArrayRef::clone(p))).collect();
    let given: Vec<&dyn Fn() -> Result<ArrayRef>> = given.iter().map(|g| g as &dyn Fn() -> Result<ArrayRef>).collect();
    let is_asked = Cell::new(true);
    let spread = |columns: &[ArrayRef]| {
        let owners: Vec<usize> = owners.iter().map(|owner| body.first + owner).collect();
        let seen = cost::of_seen(columns, &owners);
        if all {
            paid.ahead(seen)?;
        }
        if !fits(columns, &owners) {
            is_asked.set(false);
            return row_error(format!("what a lambda sees would take more than {AT_ONCE} bytes"));
        }
        paid.asked(seen)?;
        let rows: UInt32Array = owners.iter().map(|o| u32::try_from(*o).ok()).collect();
        Ok(take_arrays(columns, &rows, None)?)
    };
    let found = body.lambda.evaluate(&given, spread);
    if is_asked.get() {
        paid.asked(cost::of_elements(owners.len()))?;
    }
    let found = found?.into_array(owners.len())?;
    together(size::of(&found))?;
    Ok(found)
}

/// Whether `columns` may be there once for each of `owners`, their rows, at once.
fn fits(columns: &[ArrayRef], owners: &[usize]) -> bool {
    owners.len() < 2 || cost::bytes(columns, owners) <= AT_ONCE
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};

    use super::fits;

    #[test]
    fn what_a_lambda_sees_of_its_row_is_there_at_once_for_few_elements() {
        let column: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(1 << 20), "y".to_owned()]));
        let columns = [column];
        assert!(fits(&columns, &[0; 7]));
        assert!(!fits(&columns, &[0; 8]));
        let owners = [vec![0; 4], vec![1; 1_000_000], vec![0; 4]].concat();
        assert!(!fits(&columns, &owners), "wherever they stand");
        assert!(fits(&columns, &owners[4..1_000_004]));
        let long: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(20 << 20)]));
        assert!(fits(&[long], &[0]), "of one element as much as there is");
    }
}
