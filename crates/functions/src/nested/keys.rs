//! Values as bytes. Two values have equal bytes if they are equal in Spark, and the bytes sort as Spark sorts the values.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::Result;

use crate::equal::normal;

/// A key for each value of each of `arrays`, which have one type; NULL is smaller than all else.
pub(crate) fn keys(arrays: &[&ArrayRef]) -> Result<Vec<Rows>> {
    let Some(first) = arrays.first() else { return Ok(Vec::new()) };
    let converter = RowConverter::new(vec![SortField::new(first.data_type().clone())])?;
    arrays.iter().map(|array| Ok(converter.convert_columns(&[normal(array)?])?)).collect()
}

/// As [`keys`], but 0.0 and -0.0 differ, as they do in the sets that Spark makes of arrays.
pub(crate) fn set_keys(array: &ArrayRef) -> Result<Rows> {
    let converter = RowConverter::new(vec![SortField::new(array.data_type().clone())])?;
    let one_nan: ArrayRef = match array.data_type() {
        DataType::Float32 => {
            let one = |v: f32| if v.is_nan() { f32::NAN } else { v };
            Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(one))
        }
        DataType::Float64 => {
            let one = |v: f64| if v.is_nan() { f64::NAN } else { v };
            Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(one))
        }
        _ => normal(array)?,
    };
    Ok(converter.convert_columns(&[one_nan])?)
}
