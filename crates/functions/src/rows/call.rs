//! The arguments of a call, read row by row, and its result, written row by row.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayAccessor, ArrayRef, AsArray, BinaryArray, BinaryBuilder, BooleanArray, Date32Array, Float64Array,
    Int8Array, Int32Array, Int64Array, ListBuilder, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use datafusion::common::Result;

/// Where any of the arguments is NULL.
pub(super) fn nulls(arguments: &[Argument], rows: usize) -> Option<NullBuffer> {
    arguments.iter().fold(None, |nulls, argument| {
        let of = if argument.one {
            (argument.array.is_null(0) || argument.array.data_type().is_null()).then(|| NullBuffer::new_null(rows))
        } else {
            argument.array.logical_nulls()
        };
        NullBuffer::union(nulls.as_ref(), of.as_ref())
    })
}

/// An argument, cast.
pub(crate) struct Argument {
    pub(super) array: ArrayRef,
    /// Whether the array holds one value, that of all rows.
    pub(super) one: bool,
    /// Whether it is the same for all rows, however many there are.
    pub(super) constant: bool,
}

/// What a function is called with.
pub(crate) struct Call {
    pub(super) arguments: Vec<Argument>,
    pub(crate) rows: usize,
    pub(super) nulls: Option<NullBuffer>,
    /// The type that is to be given.
    pub(crate) gives: DataType,
}

/// The values of an argument, of a type that the kind of the argument makes sure of.
pub(crate) struct Values<'a, A> {
    array: &'a A,
    one: bool,
}

impl<A: Array> Values<'_, A> {
    fn index(&self, row: usize) -> usize {
        if self.one { 0 } else { row }
    }

    /// Whether the value of `row` is NULL.
    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.array.is_null(self.index(row))
    }
}

impl<'a, A> Values<'a, A>
where
    &'a A: ArrayAccessor,
    A: Array,
{
    /// The value of `row`, which is not NULL.
    pub(crate) fn at(&self, row: usize) -> <&'a A as ArrayAccessor>::Item {
        ArrayAccessor::value(&self.array, self.index(row))
    }

    /// The value of `row`, if there is one.
    pub(crate) fn get(&self, row: usize) -> Option<<&'a A as ArrayAccessor>::Item> {
        (!self.is_null(row)).then(|| self.at(row))
    }
}

/// So many bytes may all values have that one call makes. The engine computes fewer rows at a time where they would be more.
const MAX_BYTES: usize = 128 << 20;

/// So many bytes may one value have that a function makes. What becomes of a row depends on that row, so this is no share of anything.
pub(crate) const LONGEST: usize = 16 << 20;

/// Nothing, if to the `before` bytes that a call has made a value of `more` bytes may be added.
///
/// # Errors
/// If that value is too long, as [`short`] says, or all of them together are.
pub(crate) fn fits(before: usize, more: usize) -> Result<()> {
    short(more)?;
    together(before.saturating_add(more))
}

/// Nothing, if all values that a call makes may have `bytes`.
///
/// # Errors
/// If these are too many. The engine then computes fewer rows at a time.
pub(crate) fn together(bytes: usize) -> Result<()> {
    if bytes > MAX_BYTES {
        return super::row_error(format!("its values would have more than {MAX_BYTES} bytes in total"));
    }
    Ok(())
}

/// Nothing, if a value may be `bytes` long.
///
/// # Errors
/// If it is too long.
pub(crate) fn short(bytes: usize) -> Result<()> {
    if bytes > LONGEST {
        return super::row_error(format!("a text of more than {LONGEST} bytes would be made"));
    }
    Ok(())
}

fn wrong<T>() -> Result<T> {
    datafusion::common::internal_err!("an argument that was not cast")
}

impl Call {
    /// How many arguments there are.
    pub(crate) fn len(&self) -> usize {
        self.arguments.len()
    }

    /// An argument's array, which holds one value or as many as there are rows.
    pub(crate) fn array(&self, at: usize) -> Result<&ArrayRef> {
        self.arguments.get(at).map_or_else(wrong, |a| Ok(&a.array))
    }

    /// Whether an argument is written in the query, and comes from no row.
    pub(crate) fn is_constant(&self, at: usize) -> bool {
        self.arguments.get(at).is_some_and(|a| a.constant)
    }

    /// An argument's value for a row.
    pub(crate) fn place(&self, at: usize, row: usize) -> usize {
        if self.arguments.get(at).is_some_and(|a| a.one) { 0 } else { row }
    }

    fn values<'a, A: 'static>(&'a self, at: usize, array: Option<&'a A>) -> Result<Values<'a, A>> {
        let one = self.arguments.get(at).is_some_and(|a| a.one);
        array.map_or_else(wrong, |array| Ok(Values { array, one }))
    }

    pub(crate) fn text(&self, at: usize) -> Result<Values<'_, StringArray>> {
        self.values(at, self.array(at)?.as_string_opt::<i32>())
    }

    pub(crate) fn binary(&self, at: usize) -> Result<Values<'_, BinaryArray>> {
        self.values(at, self.array(at)?.as_binary_opt::<i32>())
    }

    pub(crate) fn int(&self, at: usize) -> Result<Values<'_, Int32Array>> {
        self.values(at, self.array(at)?.as_primitive_opt::<Int32Type>())
    }

    pub(crate) fn long(&self, at: usize) -> Result<Values<'_, Int64Array>> {
        self.values(at, self.array(at)?.as_primitive_opt::<Int64Type>())
    }

    pub(crate) fn double(&self, at: usize) -> Result<Values<'_, Float64Array>> {
        self.values(at, self.array(at)?.as_primitive_opt::<Float64Type>())
    }

    pub(crate) fn date(&self, at: usize) -> Result<Values<'_, Date32Array>> {
        self.values(at, self.array(at)?.as_primitive_opt::<Date32Type>())
    }

    pub(crate) fn time(&self, at: usize) -> Result<Values<'_, TimestampMicrosecondArray>> {
        self.values(at, self.array(at)?.as_primitive_opt::<TimestampMicrosecondType>())
    }

    pub(crate) fn bool(&self, at: usize) -> Result<Values<'_, BooleanArray>> {
        self.values(at, self.array(at)?.as_boolean_opt())
    }

    /// Whether an argument is binary, not text.
    pub(crate) fn is_binary(&self, at: usize) -> bool {
        self.arguments.get(at).is_some_and(|a| a.array.data_type() == &DataType::Binary)
    }

    fn skipped(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|n| n.is_null(row))
    }

    /// The value that `each` gives for every row; NULL for those where a strict function has a NULL argument.
    pub(crate) fn rows<T, C: FromIterator<Option<T>>>(
        &self,
        mut each: impl FnMut(usize) -> Result<Option<T>>,
    ) -> Result<C> {
        (0..self.rows).map(|row| if self.skipped(row) { Ok(None) } else { each(row) }).collect()
    }

    /// The text that `each` gives for every row, see [`Self::rows`].
    ///
    /// # Errors
    /// If one text, or all of them together, are longer than a column can hold.
    pub(crate) fn texts<T: AsRef<str>>(&self, mut each: impl FnMut(usize) -> Result<Option<T>>) -> Result<ArrayRef> {
        let mut out = StringBuilder::with_capacity(self.rows, self.rows * 8);
        for row in 0..self.rows {
            let text = if self.skipped(row) { None } else { each(row)? };
            fits(out.values_slice().len(), text.as_ref().map_or(0, |text| text.as_ref().len()))?;
            out.append_option(text);
        }
        Ok(Arc::new(out.finish()))
    }

    /// The bytes that `each` gives for every row, as [`Self::texts`].
    pub(crate) fn binaries<T: AsRef<[u8]>>(
        &self,
        mut each: impl FnMut(usize) -> Result<Option<T>>,
    ) -> Result<ArrayRef> {
        let mut out = BinaryBuilder::with_capacity(self.rows, self.rows * 8);
        for row in 0..self.rows {
            let bytes = if self.skipped(row) { None } else { each(row)? };
            fits(out.values_slice().len(), bytes.as_ref().map_or(0, |bytes| bytes.as_ref().len()))?;
            out.append_option(bytes);
        }
        Ok(Arc::new(out.finish()))
    }

    pub(crate) fn tinies(&self, each: impl FnMut(usize) -> Result<Option<i8>>) -> Result<ArrayRef> {
        Ok(Arc::new(self.rows::<_, Int8Array>(each)?))
    }

    pub(crate) fn ints(&self, each: impl FnMut(usize) -> Result<Option<i32>>) -> Result<ArrayRef> {
        Ok(Arc::new(self.rows::<_, Int32Array>(each)?))
    }

    pub(crate) fn longs(&self, each: impl FnMut(usize) -> Result<Option<i64>>) -> Result<ArrayRef> {
        Ok(Arc::new(self.rows::<_, Int64Array>(each)?))
    }

    pub(crate) fn doubles(&self, each: impl FnMut(usize) -> Result<Option<f64>>) -> Result<ArrayRef> {
        Ok(Arc::new(self.rows::<_, Float64Array>(each)?))
    }

    pub(crate) fn bools(&self, each: impl FnMut(usize) -> Result<Option<bool>>) -> Result<ArrayRef> {
        Ok(Arc::new(self.rows::<_, BooleanArray>(each)?))
    }

    pub(crate) fn dates(&self, each: impl FnMut(usize) -> Result<Option<i32>>) -> Result<ArrayRef> {
        Ok(Arc::new(self.rows::<_, Date32Array>(each)?))
    }

    /// Microseconds, with the zone of the type that is to be given.
    pub(crate) fn times(&self, each: impl FnMut(usize) -> Result<Option<i64>>) -> Result<ArrayRef> {
        let times = self.rows::<_, TimestampMicrosecondArray>(each)?;
        Ok(match &self.gives {
            DataType::Timestamp(_, Some(zone)) => Arc::new(times.with_timezone(Arc::clone(zone))),
            _ => Arc::new(times),
        })
    }

    /// Lists of text.
    pub(crate) fn lists<T: AsRef<str>>(&self, mut each: impl FnMut(usize) -> Result<Vec<T>>) -> Result<ArrayRef> {
        let mut out = ListBuilder::new(StringBuilder::new());
        for row in 0..self.rows {
            if self.skipped(row) {
                out.append_null();
                continue;
            }
            for text in each(row)? {
                fits(out.values().values_slice().len(), text.as_ref().len())?;
                out.values().append_value(text);
            }
            out.append(true);
        }
        Ok(Arc::new(out.finish()))
    }
}
