//! A record batch with a selection mask. Consecutive filters narrow the mask, so that the rows are copied once and not by each filter.

use arrow::array::{BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;

/// Rows of a record batch, in its order.
#[derive(Debug, Clone)]
pub struct Masked {
    rows: RecordBatch,
    /// As long as `rows`; `None` when all of them are meant.
    mask: Option<BooleanBuffer>,
}

impl From<RecordBatch> for Masked {
    fn from(rows: RecordBatch) -> Self {
        Self { rows, mask: None }
    }
}

impl Masked {
    /// The rows of `rows` where `mask`, which is as long, is true.
    #[must_use]
    pub fn new(rows: RecordBatch, mask: BooleanBuffer) -> Self {
        debug_assert_eq!(rows.num_rows(), mask.len());
        let all = mask.count_set_bits() == mask.len();
        Self { rows, mask: (!all).then_some(mask) }
    }

    /// The rows, also those that are not meant.
    #[must_use]
    pub fn all(&self) -> &RecordBatch {
        &self.rows
    }

    /// Where the rows are that are meant; `None` when all of them are.
    #[must_use]
    pub fn mask(&self) -> Option<&BooleanBuffer> {
        self.mask.as_ref()
    }

    /// How many rows are meant.
    #[must_use]
    pub fn count(&self) -> usize {
        self.mask.as_ref().map_or(self.rows.num_rows(), BooleanBuffer::count_set_bits)
    }

    /// Those of the rows where `mask`, which is as long as all, is true as well.
    #[must_use]
    pub fn and(self, mask: &BooleanBuffer) -> Self {
        let both = self.mask.map_or_else(|| mask.clone(), |own| &own & mask);
        Self::new(self.rows, both)
    }

    /// The rows that are meant, and no other: copied, unless they are all.
    ///
    /// # Errors
    /// When a column is of a type that cannot be filtered.
    pub fn into_rows(self) -> Result<RecordBatch, ArrowError> {
        match self.mask {
            None => Ok(self.rows),
            Some(mask) => filter_record_batch(&self.rows, &BooleanArray::new(mask, None)),
        }
    }
}

/// All rows of `rows`.
#[must_use]
pub fn whole(rows: Vec<RecordBatch>) -> Vec<Masked> {
    rows.into_iter().map(Masked::from).collect()
}

/// The rows that are meant of all of `masked`, as [`Masked::into_rows`], without batches that have none.
///
/// # Errors
/// As there.
pub fn into_rows(masked: Vec<Masked>) -> Result<Vec<RecordBatch>, ArrowError> {
    masked.into_iter().filter(|masked| masked.count() > 0).map(Masked::into_rows).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    use super::*;

    fn numbers(to: i64) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..to));
        RecordBatch::try_from_iter([("n", column)]).unwrap()
    }

    fn mask(count: usize, holds: impl FnMut(usize) -> bool) -> BooleanBuffer {
        BooleanBuffer::collect_bool(count, holds)
    }

    #[test]
    fn rows_are_left_out_once_for_all_masks() {
        let masked = Masked::new(numbers(12), mask(12, |n| n % 2 == 0)).and(&mask(12, |n| n % 3 == 0));
        assert_eq!(masked.count(), 2);
        let rows = masked.into_rows().unwrap();
        assert_eq!(rows.column(0).as_primitive::<Int64Type>().values(), &[0, 6]);
    }

    #[test]
    fn all_rows_are_not_copied_and_none_are_not_there() {
        let rows = numbers(3);
        let masked = Masked::new(rows.clone(), mask(3, |_| true));
        assert!(masked.mask().is_none());
        assert_eq!(masked.count(), 3);
        let none = Masked::from(rows.clone()).and(&mask(3, |_| false));
        let left = into_rows(vec![none, masked]).unwrap();
        assert_eq!(left.len(), 1);
        assert!(Arc::ptr_eq(left[0].column(0), rows.column(0)));
    }
}
