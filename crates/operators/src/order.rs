//! The order of rows in their sources: by partition, then offset.

use arrow::array::{AsArray, Int32Array, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use sluicebox_core::provenance::{OFFSET, PART};

use crate::error::{Error, Result};

/// The rows of one batch in (partition, offset) order; rows of one event stay in the order in which they are.
///
/// Rows that are in order, or have no provenance, come back as they are. Others come from several flows or a UNION ALL,
/// each of whose branches is in order: they must be merged before anything is decided by what came first, or it would
/// depend on where batches were cut.
///
/// # Errors
/// [`Error::Arrow`] when the batches differ in their columns.
pub fn in_offset_order(rows: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
    if is_ordered(&rows) {
        return Ok(rows);
    }
    let Some(first) = rows.first() else { return Ok(rows) };
    let together = concat_batches(&first.schema(), &rows).map_err(Error::arrow("put rows together"))?;
    let Some((part, offset)) = places(&together) else { return Ok(rows) };
    let mut indices: Vec<u32> = (0..together.num_rows() as u32).collect();
    indices.sort_by_key(|&row| (part.value(row as usize), offset.value(row as usize)));
    let ordered = take_record_batch(&together, &UInt32Array::from(indices));
    Ok(vec![ordered.map_err(Error::arrow("put rows in order"))?])
}

/// Whether the rows of all batches are in order, or have none.
pub(crate) fn is_ordered<'a>(rows: impl IntoIterator<Item = &'a RecordBatch>) -> bool {
    let mut last = (i32::MIN, i64::MIN);
    for batch in rows {
        let Some((part, offset)) = places(batch) else { return true };
        for place in part.values().iter().copied().zip(offset.values().iter().copied()) {
            if place < last {
                return false;
            }
            last = place;
        }
    }
    true
}

fn places(batch: &RecordBatch) -> Option<(&Int32Array, &Int64Array)> {
    Some((batch.column_by_name(PART)?.as_primitive_opt()?, batch.column_by_name(OFFSET)?.as_primitive_opt()?))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;
    use crate::testing::{self, Event, Seen};

    fn rows(places: &[(usize, usize, i64)]) -> RecordBatch {
        let seen = |&(part, offset, value)| Seen { part, offset, event: Event { time: None, key: 1, value } };
        testing::batch(&places.iter().map(seen).collect::<Vec<_>>())
    }

    #[test]
    fn branches_are_merged_and_rows_of_one_event_stay_as_they_are() {
        let branches = vec![rows(&[(0, 1, 3), (0, 1, 1), (1, 0, 4)]), rows(&[(0, 0, 9), (0, 1, 2), (1, 7, 7)])];
        let merged = in_offset_order(branches).unwrap();
        assert_eq!(merged, [rows(&[(0, 0, 9), (0, 1, 3), (0, 1, 1), (0, 1, 2), (1, 0, 4), (1, 7, 7)])]);
    }

    #[test]
    fn what_is_in_order_or_has_none_is_left_alone() {
        let ordered = vec![rows(&[(0, 1, 1), (0, 1, 2)]), rows(&[]), rows(&[(0, 2, 1), (1, 0, 1)])];
        assert_eq!(in_offset_order(ordered.clone()).unwrap(), ordered);
        let bare = vec![ordered[0].project(&[0]).unwrap(); 2];
        assert_eq!(in_offset_order(bare.clone()).unwrap(), bare);
        assert!(in_offset_order(Vec::new()).unwrap().is_empty());
    }
}
