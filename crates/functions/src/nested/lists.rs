//! Reads lists row by row, and builds lists from the indices of the elements that each row takes.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayBuilder, ArrayRef, AsArray, ListArray, UInt32Array, UInt32Builder};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::{DataFusionError, Result};

use super::types::{as_type, element_of, list_of};
use crate::error::{plan_error, row_error};

/// So many elements may the lists have that one call makes. The engine computes fewer rows at a time where they would be more. Of an element whoever
/// writes it holds up to 28 bytes beside its value, so these take no more than the bytes of the texts that one call makes.
const MAX_ELEMENTS: usize = 4_000_000;
/// So many elements may one list have that a number in a row asks for.
pub(crate) const MAX_ASKED: i64 = 1_000_000;

/// An argument that is a list.
pub(crate) struct Lists {
    list: ListArray,
}

impl Lists {
    pub(crate) fn of(array: &ArrayRef) -> Result<Self> {
        let element = element_of(array.data_type()).cloned().unwrap_or(DataType::Null);
        let array = as_type(array, &list_of(&element))?;
        match array.as_list_opt::<i32>() {
            Some(list) => Ok(Self { list: alone(list)? }),
            None => plan_error("an array is wanted"),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// The elements of all rows; [`Self::row`] says which are whose.
    pub(crate) fn values(&self) -> &ArrayRef {
        self.list.values()
    }

    /// Where the elements of row `at` stand, None for NULL.
    pub(crate) fn row(&self, at: usize) -> Option<Range<usize>> {
        if self.list.is_null(at) {
            return None;
        }
        let offsets = self.list.value_offsets();
        Some(offset(offsets[at])..offset(offsets[at + 1]))
    }

    pub(crate) fn is_null(&self, at: usize) -> bool {
        self.list.is_null(at)
    }
}

/// `list` with its own elements alone: of rows that were cut from many, the others' would be looked at each time.
fn alone(list: &ListArray) -> Result<ListArray> {
    let (first, last) = (list.value_offsets()[0], list.value_offsets()[list.len()]);
    if offset(last - first) == list.values().len() {
        return Ok(list.clone());
    }
    let values = list.values().slice(offset(first), offset(last - first));
    let offsets = list.offsets().clone().subtract(first);
    Ok(ListArray::try_new(field_of(list.data_type())?, offsets, values, list.nulls().cloned())?)
}

fn offset(of: i32) -> usize {
    usize::try_from(of).unwrap_or_default()
}

/// Lists under construction: which elements of an array, or NULL, each row takes.
pub(crate) struct Taken {
    indices: UInt32Builder,
    lengths: Vec<usize>,
    valid: Vec<bool>,
    open: usize,
}

impl Taken {
    pub(crate) fn new(rows: usize) -> Self {
        Self {
            indices: UInt32Builder::new(),
            lengths: Vec::with_capacity(rows),
            valid: Vec::with_capacity(rows),
            open: 0,
        }
    }

    /// Element `at`, or NULL, for the row that is open.
    pub(crate) fn push(&mut self, at: Option<usize>) {
        self.indices.append_option(at.and_then(|at| u32::try_from(at).ok()));
        self.open += 1;
    }

    pub(crate) fn extend(&mut self, all: impl IntoIterator<Item = usize>) {
        all.into_iter().for_each(|at| self.push(Some(at)));
    }

    /// Ends the row.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.lengths.push(self.open);
        self.valid.push(true);
        self.open = 0;
        bounded(self.indices.len())
    }

    /// Ends the row as NULL.
    pub(crate) fn null(&mut self) {
        self.lengths.push(0);
        self.valid.push(false);
        self.open = 0;
    }

    /// The lists, of elements of `values`.
    pub(crate) fn finish(mut self, values: &ArrayRef, field: &FieldRef) -> Result<ArrayRef> {
        let values = take(values, &self.indices.finish(), None)?;
        list(field, &values, self.lengths, self.valid)
    }
}

/// Nothing, if the arrays that one call makes may have `elements` in total.
///
/// # Errors
/// If these are too many. The engine then computes fewer rows at a time.
pub(crate) fn bounded(elements: usize) -> Result<()> {
    if elements > MAX_ELEMENTS {
        return row_error(too_many());
    }
    Ok(())
}

fn too_many() -> String {
    format!("its arrays would have more than {MAX_ELEMENTS} elements in total")
}

/// How many elements are still left for the lists of a call that gathers them before it makes the lists.
pub(crate) struct Left(usize);

impl Left {
    /// All that a call may make.
    pub(crate) fn new() -> Self {
        Self::of(MAX_ELEMENTS)
    }

    /// So many.
    pub(crate) fn of(elements: usize) -> Self {
        Self(elements)
    }

    /// Puts `element` behind those of `list`.
    ///
    /// # Errors
    /// As [`bounded`]: when none is left. In a sentence, for those whose errors are sentences.
    pub(crate) fn push<T>(&mut self, element: T, list: &mut Vec<T>) -> std::result::Result<(), String> {
        self.0 = self.0.checked_sub(1).ok_or_else(too_many)?;
        list.push(element);
        Ok(())
    }
}

/// Lists of the elements `values`, so many to each row.
pub(crate) fn list(
    field: &FieldRef,
    values: &ArrayRef,
    lengths: impl IntoIterator<Item = usize>,
    valid: Vec<bool>,
) -> Result<ArrayRef> {
    let values = as_type(values, field.data_type())?;
    let offsets = OffsetBuffer::<i32>::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, values, Some(NullBuffer::from(valid)))?))
}

/// The field of the elements of a list type.
pub(crate) fn field_of(list: &DataType) -> Result<FieldRef> {
    match list {
        DataType::List(field) => Ok(Arc::clone(field)),
        other => Err(DataFusionError::Internal(format!("{other} is no list"))),
    }
}

/// Values of `values` at `indices`, NULL for none.
pub(crate) fn pick(values: &ArrayRef, indices: Vec<Option<usize>>) -> Result<ArrayRef> {
    let indices: UInt32Array = indices.into_iter().map(|at| at.and_then(|at| u32::try_from(at).ok())).collect();
    Ok(take(values, &indices, None)?)
}

/// The whole numbers of an argument.
pub(crate) fn whole(array: &ArrayRef) -> Result<Vec<Option<i64>>> {
    let array = as_type(array, &DataType::Int64)?;
    Ok(array.as_primitive::<Int64Type>().iter().collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, ArrayRef, AsArray, ListArray};
    use arrow::datatypes::Int64Type;

    use super::Lists;

    #[test]
    fn of_lists_that_were_cut_from_many_the_others_are_not_looked_at() {
        let row = |of: std::ops::Range<i64>| Some(of.map(Some).collect::<Vec<_>>());
        let all: ArrayRef =
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([row(0..3), None, row(3..5), row(5..9)]));
        let Ok(lists) = Lists::of(&all.slice(1, 2)) else { unreachable!("they are lists") };
        assert_eq!(lists.values().as_primitive::<Int64Type>().values(), &[3, 4]);
        assert_eq!((lists.row(0), lists.row(1)), (None, Some(0..2)));
        let Ok(lists) = Lists::of(&all.slice(4, 0)) else { unreachable!("they are lists") };
        assert_eq!((lists.len(), lists.values().len()), (0, 0));
    }
}
