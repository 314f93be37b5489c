//! The bytes of values: of a slice without the rest of its array, and of a list with its own elements alone.

use std::ops::Range;

use arrow::array::{Array, AsArray, OffsetSizeTrait};
use arrow::datatypes::DataType;

/// About how many bytes all values of `array` take.
#[must_use]
pub fn of(array: &dyn Array) -> usize {
    within(array, 0..array.len())
}

/// About how many bytes the value at `row` of `array` takes; a NULL takes what its place does.
#[must_use]
pub fn row(array: &dyn Array, row: usize) -> usize {
    within(array, row..row + 1)
}

fn within(array: &dyn Array, rows: Range<usize>) -> usize {
    let count = rows.len();
    match array.data_type() {
        DataType::Null => 0,
        DataType::Boolean => count,
        DataType::Utf8 => 4 * count + span(array.as_string::<i32>().value_offsets(), &rows).len(),
        DataType::LargeUtf8 => 8 * count + span(array.as_string::<i64>().value_offsets(), &rows).len(),
        DataType::Binary => 4 * count + span(array.as_binary::<i32>().value_offsets(), &rows).len(),
        DataType::LargeBinary => 8 * count + span(array.as_binary::<i64>().value_offsets(), &rows).len(),
        DataType::Utf8View => {
            let views = array.as_string_view();
            16 * count + rows.map(|row| views.value(row).len()).sum::<usize>()
        }
        DataType::BinaryView => {
            let views = array.as_binary_view();
            16 * count + rows.map(|row| views.value(row).len()).sum::<usize>()
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            4 * count + within(list.values(), span(list.value_offsets(), &rows))
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            8 * count + within(list.values(), span(list.value_offsets(), &rows))
        }
        DataType::FixedSizeList(_, size) => {
            let (list, size) = (array.as_fixed_size_list(), usize::try_from(*size).unwrap_or_default());
            within(list.values(), rows.start * size..rows.end * size)
        }
        DataType::Map(..) => {
            let map = array.as_map();
            4 * count + within(map.entries(), span(map.value_offsets(), &rows))
        }
        DataType::Struct(_) => {
            array.as_struct().columns().iter().map(|column| within(column, rows.clone())).sum::<usize>()
        }
        // Its values are there once, whatever is cut.
        DataType::Dictionary(..) => 8 * count,
        other => match other.primitive_width() {
            Some(width) => width * count,
            None => array.slice(rows.start, count).to_data().get_slice_memory_size().unwrap_or_default(),
        },
    }
}

/// Where what `rows` hold stands among the values that `offsets` lead to.
fn span<O: OffsetSizeTrait>(offsets: &[O], rows: &Range<usize>) -> Range<usize> {
    let at = |row: usize| offsets.get(row).map_or(0, |offset| offset.as_usize());
    at(rows.start)..at(rows.end)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, ListArray, StringArray, StructArray};
    use arrow::datatypes::Int64Type;

    use super::{of, row};

    #[test]
    fn a_slice_takes_what_is_in_it() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("0123456789")]));
        assert_eq!((of(&texts), row(&texts, 1), row(&texts, 2)), (23, 4, 14));
        assert_eq!(of(&texts.slice(2, 1)), 14);
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([
            Some(vec![Some(1), Some(2), None]),
            None,
            Some(vec![Some(3)]),
        ]));
        assert_eq!((of(&lists), row(&lists, 0), row(&lists.slice(1, 2), 1)), (44, 28, 12));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let structs = StructArray::try_from(vec![("a", Arc::clone(&texts)), ("n", numbers)])
            .unwrap_or_else(|e| unreachable!("{e}"));
        assert_eq!(of(&structs.slice(2, 1)), 22);
    }
}
