//! Counts what the lambdas of a row cost, and limits it.
//!
//! The columns that a lambda reads are copied once for each element, and `aggregate` rebuilds its accumulator for each element. Both take
//! time by the product of two lengths, and nested lambdas by the product of three. So all these bytes are counted, over all lambdas within
//! a call.

use std::cell::Cell;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use datafusion::common::Result;

use crate::arrays::Parts;
use crate::error::row_error;
use crate::size;

/// So much may a call with a lambda cost a row, with all calls in its lambdas, in bytes. That is a text of 200 bytes for each of a million elements, and takes
/// about a tenth of a second.
pub(super) const MOST: usize = 256 << 20;

/// For so many bytes counts one of an array or a map: functions look at each of its elements again.
const OF_A_LIST: usize = 8;

/// For so many bytes counts an element, beside what is seen of its row.
const ELEMENT: usize = 4;

thread_local! {
    /// What the lambdas of the rows that are being computed have cost; none where no lambda is.
    static SPENT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Where costs are counted; they are no longer where this is dropped.
struct Counting;

impl Counting {
    fn begin() -> Self {
        SPENT.set(Some(0));
        Self
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        SPENT.set(None);
    }
}

/// What `part` gives for `rows`. Fewer are computed at once where they cost more together than one may, so it is one row alone that costs
/// too much. Rows within another lambda are elements of a row of that one, for which all is counted.
pub(super) fn by_rows(rows: Range<usize>, part: &dyn Fn(Range<usize>) -> Result<ArrayRef>) -> Result<ArrayRef> {
    if SPENT.get().is_some() {
        return part(rows);
    }
    let mut parts = Parts::default();
    let mut rest = vec![rows];
    while let Some(rows) = rest.pop() {
        let (found, too_much) = {
            let _counting = Counting::begin();
            (part(rows.clone()), is_too_much())
        };
        match found {
            Ok(found) => parts.push(found)?,
            Err(_) if too_much && rows.len() > 1 => {
                let middle = rows.start + rows.len() / 2;
                rest.push(middle..rows.end);
                rest.push(rows.start..middle);
            }
            Err(failed) => return Err(failed),
        }
    }
    parts.one()
}

/// Counts `bytes`.
///
/// # Errors
/// If the rows have then cost too much.
pub(super) fn spend(bytes: usize) -> Result<()> {
    let Some(spent) = SPENT.get() else { return Ok(()) };
    SPENT.set(Some(spent.saturating_add(bytes)));
    if is_too_much() {
        return row_error(format!(
            "a lambda takes too long: what it sees of its row is copied for each element, and {MOST} bytes are the most, for \
             {OF_A_LIST} of which counts one of an array or a map"
        ));
    }
    Ok(())
}

/// Whether the rows have cost too much, so that fewer elements at once are no help.
pub(super) fn is_too_much() -> bool {
    SPENT.get().is_some_and(|spent| spent > MOST)
}

/// What it costs that a lambda sees the values of `columns` once for each of `owners`, their rows.
pub(super) fn of_seen(columns: &[ArrayRef], owners: &[usize]) -> usize {
    each(owners, |owner| columns.iter().map(|column| of(column, &|column| size::row(column, owner))).sum())
}

/// What it costs to ask a lambda for so many elements.
pub(super) fn of_elements(count: usize) -> usize {
    ELEMENT.saturating_mul(count)
}

/// What it costs to make all values of `array`.
pub(super) fn of_made(array: &ArrayRef) -> usize {
    of(array, &size::of)
}

/// The bytes of `columns` once for each of `owners`, their rows.
pub(super) fn bytes(columns: &[ArrayRef], owners: &[usize]) -> usize {
    each(owners, |owner| columns.iter().map(|column| size::row(column, owner)).sum())
}

/// The sum of what `row` says of each of `owners`; it is asked once for those that stand together.
fn each(owners: &[usize], row: impl Fn(usize) -> usize) -> usize {
    let same = owners.chunk_by(|a, b| a == b);
    let sums = same.map(|same| same.first().map_or(0, |owner| row(*owner).saturating_mul(same.len())));
    sums.fold(0, usize::saturating_add)
}

fn of(array: &dyn Array, bytes: &dyn Fn(&dyn Array) -> usize) -> usize {
    match array.data_type() {
        DataType::Struct(_) => array.as_struct().columns().iter().map(|column| of(column, bytes)).sum(),
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) | DataType::Map(..) => {
            OF_A_LIST.saturating_mul(bytes(array))
        }
        _ => bytes(array),
    }
}
