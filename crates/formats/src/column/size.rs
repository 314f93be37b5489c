//! The memory that the rows of columns take.

use arrow::array::NullBufferBuilder;
use arrow::datatypes::{ArrowNativeType, DataType};

use super::{Column, Values, VarBytes};

/// Bytes that are set aside for a text before it is known how long texts are.
const TEXT: usize = 16;

/// Bytes of an end in a column of texts, bytes, lists or maps.
const END: usize = 4;

/// Bytes that whoever writes a file holds of each value in a list or map, whatever the value is: its two levels of 16 bits, and where it is in
/// its array. An item that is NULL takes nothing of an array, and as much as any other of these.
const LEVELS: usize = 12;

/// Bytes that a row of `data_type` takes at least, whatever is in it: NULL, an empty text, a list without items.
pub(crate) fn width(data_type: &DataType) -> usize {
    row(data_type, 0, false)
}

/// What a column sets aside before it has a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(super) rows: usize,
    /// Bytes of a text.
    pub(super) text: usize,
}

impl Room {
    /// Room for `rows` rows of `data_type`, or for as many as have `most` bytes. It is for their texts too if there is so much.
    pub(crate) fn of(data_type: &DataType, rows: usize, most: usize) -> Self {
        if rows.saturating_mul(row(data_type, TEXT, true)) <= most {
            return Self { rows, text: TEXT };
        }
        Self { rows: rows.min(most / row(data_type, 0, true).max(1)), text: 0 }
    }
}

/// Bytes of a row of which each text has `text`, and each list and map an item or none.
fn row(data_type: &DataType, text: usize, with_item: bool) -> usize {
    let item = |of: &DataType| END + if with_item { row(of, text, with_item) } else { 0 };
    match data_type {
        DataType::Null => 0,
        DataType::Boolean => 1,
        DataType::Utf8 | DataType::Binary => END + text,
        DataType::FixedSizeBinary(size) => usize::try_from(*size).unwrap_or_default(),
        DataType::List(of) => item(of.data_type()),
        DataType::Map(entries, _) => item(entries.data_type()),
        DataType::Struct(fields) => fields.iter().map(|field| row(field.data_type(), text, with_item)).sum(),
        other => other.primitive_width().unwrap_or_default(),
    }
}

impl Column {
    /// Bytes that its rows take, until they are written. It costs as much as there are columns in it, however many rows they have.
    pub(crate) fn bytes(&self) -> usize {
        self.in_arrays() + self.levels(false)
    }

    /// Bytes that the arrays take.
    fn in_arrays(&self) -> usize {
        match self {
            Self::Null(_) => 0,
            Self::Boolean { nulls, .. } => 2 * bits(nulls),
            Self::Int8(c) => c.bytes(),
            Self::Int16(c) => c.bytes(),
            Self::Int32(c) => c.bytes(),
            Self::Int64(c) => c.bytes(),
            Self::Float32(c) => c.bytes(),
            Self::Float64(c) => c.bytes(),
            Self::Decimal128(c) => c.bytes(),
            Self::Decimal256(c) => c.bytes(),
            Self::Bytes(c) => c.bytes(),
            Self::Fixed { values, nulls, .. } => values.len() + bits(nulls),
            Self::List(c) => c.items.in_arrays() + END * c.offsets.len() + bits(&c.nulls),
            Self::Map(c) => c.keys.bytes() + c.values.in_arrays() + END * c.offsets.len() + bits(&c.nulls),
            Self::Struct(c) => c.children.iter().map(Self::in_arrays).sum::<usize>() + bits(&c.nulls),
        }
    }

    /// Bytes of the levels of all values that are in lists and maps; `in_list` says whether this column is.
    fn levels(&self, in_list: bool) -> usize {
        let own = if in_list { LEVELS * self.len() } else { 0 };
        match self {
            Self::List(c) => own + c.items.levels(true),
            Self::Map(c) => own + LEVELS * c.keys.nulls.len() + c.values.levels(true),
            // Its children have levels, and it has some if it has none.
            Self::Struct(c) if !c.children.is_empty() => c.children.iter().map(|child| child.levels(in_list)).sum(),
            _ => own,
        }
    }
}

impl<T: ArrowNativeType> Values<T> {
    fn bytes(&self) -> usize {
        size_of_val(self.values.as_slice()) + bits(&self.nulls)
    }
}

impl VarBytes {
    fn bytes(&self) -> usize {
        self.values.len() + END * self.offsets.len() + bits(&self.nulls)
    }
}

/// Bytes of a bit a row.
fn bits(nulls: &NullBufferBuilder) -> usize {
    nulls.len().div_ceil(8)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

    use std::sync::Arc;

    use arrow::datatypes::{Field, Fields};

    use super::*;

    fn record(count: usize, of: &DataType) -> DataType {
        let field = |n| Field::new(format!("c{n}"), of.clone(), true);
        DataType::Struct((0..count).map(field).collect::<Fields>())
    }

    #[test]
    fn an_item_of_a_list_takes_what_a_writer_holds_of_it() {
        let list = |of: DataType| DataType::List(Arc::new(Field::new_list_field(of, true)));
        let of = |data_type: &DataType| {
            let mut column = Column::new(data_type, Room { rows: 1, text: 0 }).unwrap();
            let Column::List(list) = &mut column else { panic!("{data_type} is no list") };
            (0..1_000).for_each(|_| list.items.push_null());
            assert!(list.end());
            column.bytes()
        };
        // Beside them are two ends of the list, and its bit.
        assert_eq!(of(&list(DataType::Null)), 1_000 * LEVELS + 9);
        assert_eq!(of(&list(DataType::Int64)), 1_000 * (LEVELS + 8) + 125 + 9);
        // Each column of an item is written alone.
        assert_eq!(of(&list(record(3, &DataType::Null))), 1_000 * 3 * LEVELS + 125 + 9);
        assert_eq!(of(&list(record(0, &DataType::Null))), 1_000 * LEVELS + 125 + 9);
        // A list in a list has levels when it is empty, too.
        assert_eq!(of(&list(list(DataType::Null))), 1_000 * LEVELS + 1_001 * END + 125 + 9);
        // What is in no list takes its array alone.
        let mut column = Column::new(&DataType::Int64, Room { rows: 1, text: 0 }).unwrap();
        column.push_null();
        assert_eq!(column.bytes(), 8 + 1);
    }

    #[test]
    fn wide_rows_get_as_much_room_as_narrow_ones_and_not_more_by_each_column() {
        const MOST: usize = 64 << 20;
        assert_eq!(Room::of(&record(10, &DataType::Utf8), 32_768, MOST), Room { rows: 32_768, text: TEXT });
        let wide = record(3_000, &DataType::Utf8);
        let room = Room::of(&wide, 32_768, MOST);
        assert_eq!(room, Room { rows: MOST / 12_000, text: 0 });
        assert_eq!(width(&wide), 12_000);
        // What is in lists has room too, and may take none.
        let lists = DataType::List(Arc::new(Field::new_list_field(record(1_000, &DataType::Int64), true)));
        assert_eq!((width(&lists), Room::of(&lists, 32_768, MOST).rows), (4, MOST / 8_004));
        // Of a row that alone takes more there is no room.
        assert_eq!(Room::of(&DataType::FixedSizeBinary(1 << 24), 5, 1 << 20).rows, 0);
    }
}
