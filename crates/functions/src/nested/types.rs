//! The common types of arrays and values, by Spark's rules in ANSI mode.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::Result;

use crate::error::plan_error;
use crate::types::common;
pub(crate) use crate::types::name;

/// The field of a list's elements.
pub(crate) fn item(element: &DataType) -> FieldRef {
    Arc::new(Field::new_list_field(element.clone(), true))
}

/// A list of `element`.
pub(crate) fn list_of(element: &DataType) -> DataType {
    DataType::List(item(element))
}

/// A map in the one form that functions here give.
pub(crate) fn map_of(key: &DataType, value: &DataType) -> DataType {
    let entries = Fields::from(vec![Field::new("key", key.clone(), false), Field::new("value", value.clone(), true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

/// The type of a list's elements.
pub(crate) fn element_of(list: &DataType) -> Option<&DataType> {
    match list {
        DataType::List(f)
        | DataType::LargeList(f)
        | DataType::ListView(f)
        | DataType::LargeListView(f)
        | DataType::FixedSizeList(f, _) => Some(f.data_type()),
        _ => None,
    }
}

/// The types of a map's keys and values.
pub(crate) fn entry_of(map: &DataType) -> Option<(&DataType, &DataType)> {
    match map {
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => Some((pair[0].data_type(), pair[1].data_type())),
            _ => None,
        },
        _ => None,
    }
}

/// `data_type` with every list, map and text in it in the one form that functions here work on.
pub(crate) fn plain(data_type: &DataType) -> DataType {
    if let Some(element) = element_of(data_type) {
        return list_of(&plain(element));
    }
    if let Some((key, value)) = entry_of(data_type) {
        return map_of(&plain(key), &plain(value));
    }
    match data_type {
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|f| Field::new(f.name(), plain(f.data_type()), true)).collect())
        }
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => plain(value),
        other => other.clone(),
    }
}

/// The list type of an argument that must be one; NULL is a list of nothing.
pub(crate) fn as_list(data_type: &DataType) -> Result<DataType> {
    match data_type {
        DataType::Null => Ok(list_of(&DataType::Null)),
        other if element_of(other).is_some() => Ok(plain(other)),
        other => plan_error(format!("an array is wanted, this is {}", name(other))),
    }
}

/// The map type of an argument that must be one.
pub(crate) fn as_map(data_type: &DataType) -> Result<DataType> {
    match data_type {
        DataType::Null => Ok(map_of(&DataType::Null, &DataType::Null)),
        other if entry_of(other).is_some() => Ok(plain(other)),
        other => plan_error(format!("a map is wanted, this is {}", name(other))),
    }
}

/// The type that values of all of `types` have in common; NULL for none.
pub(crate) fn widest<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Result<DataType> {
    let mut widest = DataType::Null;
    for data_type in types {
        let data_type = plain(data_type);
        widest = match wider(&widest, &data_type) {
            Some(common) => common,
            None => return plan_error(format!("{} and {} have no type in common", name(&widest), name(&data_type))),
        };
    }
    Ok(widest)
}

/// The type that values of both have in common, in the one form that functions here work on.
pub(crate) fn wider(a: &DataType, b: &DataType) -> Option<DataType> {
    common(a, b).map(|common| plain(&common))
}

/// `array` as `data_type`, which differs from its own at most in names and nullability of fields.
pub(crate) fn as_type(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    if array.data_type() == data_type {
        return Ok(Arc::clone(array));
    }
    Ok(cast(array, data_type)?)
}

/// The type of whole numbers that index arrays, if `data_type` can be one.
pub(crate) fn as_index(data_type: &DataType) -> Result<DataType> {
    match data_type {
        DataType::Null | DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Ok(DataType::Int64),
        // A whole number in the text of a query may come as this.
        DataType::UInt64 => Ok(DataType::Int64),
        other => plan_error(format!("a whole number is wanted, this is {}", name(other))),
    }
}

/// Exactly `N` arguments.
pub(crate) fn exactly<const N: usize>(types: &[DataType]) -> Result<&[DataType; N]> {
    match types.try_into() {
        Ok(types) => Ok(types),
        Err(_) => plan_error(format!("takes {N} argument{}, not {}", if N == 1 { "" } else { "s" }, types.len())),
    }
}

/// The one argument, which must be a list.
pub(crate) fn one_list(types: &[DataType]) -> Result<Vec<DataType>> {
    let [list] = exactly(types)?;
    Ok(vec![as_list(list)?])
}

/// A list and a value that its elements are compared with, in their common type.
pub(crate) fn list_and_element(list: &DataType, value: &DataType) -> Result<Vec<DataType>> {
    let list = as_list(list)?;
    let element = element_of(&list).unwrap_or(&DataType::Null);
    let common = match beside(element, &plain(value)) {
        Some(common) if !text_and_other(element, value) => common,
        _ => return plan_error(format!("an array of {} holds no {}", name(element), name(value))),
    };
    Ok(vec![list_of(&common), common])
}

/// The type in which elements of an array are compared with, or joined by, a value or elements of another: as [`wider`], but a FLOAT takes a whole number in, as in
/// Spark, whose functions of an array and a value do not follow ANSI.
pub(crate) fn beside(element: &DataType, value: &DataType) -> Option<DataType> {
    match (element, value) {
        (DataType::Float32, whole) | (whole, DataType::Float32) if whole.is_integer() => Some(DataType::Float32),
        _ => wider(element, value),
    }
}

fn text_and_other(a: &DataType, b: &DataType) -> bool {
    let text = |t: &DataType| plain(t) == DataType::Utf8;
    (text(a) && !text(b) && *b != DataType::Null) || (text(b) && !text(a) && *a != DataType::Null)
}
