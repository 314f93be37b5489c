//! The normal form of values: values that are equal in Spark have one form. 0.0 and -0.0 are one value, and all NaN are one value.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, AsArray, FixedSizeListArray, GenericListArray, GenericListViewArray, MapArray,
    OffsetSizeTrait, PrimitiveArray, StructArray, UInt32Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::take;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float16Type, Float32Type, Float64Type};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

type Half = <Float16Type as ArrowPrimitiveType>::Native;

/// Whether values of this type can be equal and not look the same: floating point, maps, and what holds them.
#[must_use]
pub fn has_twins(data_type: &DataType) -> bool {
    use DataType as T;
    match data_type {
        T::Float16 | T::Float32 | T::Float64 | T::Map(..) => true,
        T::List(item) | T::LargeList(item) | T::FixedSizeList(item, _) | T::ListView(item) | T::LargeListView(item) => {
            has_twins(item.data_type())
        }
        T::Struct(fields) => fields.iter().any(|field| has_twins(field.data_type())),
        T::Dictionary(_, values) => has_twins(values),
        _ => false,
    }
}

/// Each value in the one form of all that are equal to it: 0.0 for -0.0, one NaN for all, the entries of a map in the order
/// of its keys; of nested values all that is in them. Types, NULL and their order stay.
///
/// # Errors
/// None for arrays that are well formed.
pub fn normal(values: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    use DataType as T;
    if !has_twins(values.data_type()) {
        return Ok(Arc::clone(values));
    }
    Ok(match values.data_type() {
        T::Float64 => floats::<Float64Type>(values, f64_form),
        T::Float32 => floats::<Float32Type>(values, f32_form),
        T::Float16 => floats::<Float16Type>(values, f16_form),
        T::List(_) => list(values.as_list::<i32>())?,
        T::LargeList(_) => list(values.as_list::<i64>())?,
        T::ListView(_) => list_view(values.as_list_view::<i32>())?,
        T::LargeListView(_) => list_view(values.as_list_view::<i64>())?,
        T::FixedSizeList(item, size) => {
            let list = values.as_fixed_size_list();
            let items = normal(list.values())?;
            let nulls = list.nulls().cloned();
            Arc::new(FixedSizeListArray::try_new_with_length(Arc::clone(item), *size, items, nulls, list.len())?)
        }
        T::Struct(_) => Arc::new(structure(values.as_struct())?),
        T::Map(..) => Arc::new(map(values.as_map())?),
        T::Dictionary(..) => {
            let dictionary = values.as_any_dictionary();
            dictionary.with_values(normal(dictionary.values())?)
        }
        _ => Arc::clone(values),
    })
}

/// The bits of the one NaN, the same as in the key encoding of the operators.
const NAN_64: u64 = 0x7ff8_0000_0000_0000;
const NAN_32: u32 = 0x7fc0_0000;

/// The form of a double.
#[inline]
pub(crate) fn f64_form(value: f64) -> f64 {
    // The sum of -0.0 and 0.0 is 0.0; any other number stays what it is.
    if value.is_nan() { f64::from_bits(NAN_64) } else { value + 0.0 }
}

/// The form of a float.
#[inline]
pub(crate) fn f32_form(value: f32) -> f32 {
    if value.is_nan() { f32::from_bits(NAN_32) } else { value + 0.0 }
}

fn f16_form(value: Half) -> Half {
    if value.is_nan() {
        Half::NAN
    } else if value.to_bits() << 1 == 0 {
        Half::from_bits(0)
    } else {
        value
    }
}

fn floats<T: ArrowPrimitiveType>(values: &ArrayRef, form: impl Fn(T::Native) -> T::Native) -> ArrayRef {
    let floats: &PrimitiveArray<T> = values.as_primitive();
    // Hardly any column has something to change. The total order tells all bits apart.
    let changes = |&value: &T::Native| form(value).is_ne(value);
    if floats.values().iter().any(changes) { Arc::new(floats.unary::<_, T>(form)) } else { Arc::clone(values) }
}

fn list<O: OffsetSizeTrait>(list: &GenericListArray<O>) -> Result<ArrayRef, ArrowError> {
    let (DataType::List(item) | DataType::LargeList(item)) = list.data_type() else {
        return Ok(Arc::new(list.clone()));
    };
    let items = normal(list.values())?;
    let list = GenericListArray::<O>::try_new(Arc::clone(item), list.offsets().clone(), items, list.nulls().cloned())?;
    Ok(Arc::new(list))
}

fn list_view<O: OffsetSizeTrait>(list: &GenericListViewArray<O>) -> Result<ArrayRef, ArrowError> {
    let (DataType::ListView(item) | DataType::LargeListView(item)) = list.data_type() else {
        return Ok(Arc::new(list.clone()));
    };
    let (offsets, sizes) = (list.offsets().clone(), list.sizes().clone());
    let items = normal(list.values())?;
    Ok(Arc::new(GenericListViewArray::<O>::try_new(Arc::clone(item), offsets, sizes, items, list.nulls().cloned())?))
}

fn structure(values: &StructArray) -> Result<StructArray, ArrowError> {
    let columns = values.columns().iter().map(normal).collect::<Result<_, _>>()?;
    StructArray::try_new_with_length(values.fields().clone(), columns, values.nulls().cloned(), values.len())
}

fn map(map: &MapArray) -> Result<MapArray, ArrowError> {
    let DataType::Map(field, ordered) = map.data_type() else { return Ok(map.clone()) };
    let entries = structure(map.entries())?;
    let keys = entries.column(0);
    let converter = RowConverter::new(vec![SortField::new(keys.data_type().clone())])?;
    let rows = converter.convert_columns(std::slice::from_ref(keys))?;
    let mut order: Vec<u32> = Vec::with_capacity(entries.len());
    let mut sorted = true;
    for ends in map.value_offsets().windows(2) {
        let (from, to) = (ends[0] as u32, ends[1] as u32);
        let start = order.len();
        order.extend(from..to);
        let stretch = &mut order[start..];
        if !stretch.is_sorted_by_key(|&at| rows.row(at as usize)) {
            sorted = false;
            stretch.sort_by(|&a, &b| rows.row(a as usize).cmp(&rows.row(b as usize)));
        }
    }
    if sorted {
        return MapArray::try_new(Arc::clone(field), map.offsets().clone(), entries, map.nulls().cloned(), *ordered);
    }
    let entries = take(&entries, &UInt32Array::from(order), None)?.as_struct().clone();
    let offsets = OffsetBuffer::from_lengths(map.value_offsets().windows(2).map(|ends| (ends[1] - ends[0]) as usize));
    MapArray::try_new(Arc::clone(field), offsets, entries, map.nulls().cloned(), *ordered)
}
