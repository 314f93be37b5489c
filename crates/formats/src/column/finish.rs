//! Finishes columns to arrays.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, FixedSizeBinaryArray, ListArray, MapArray, NullArray, StructArray};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType,
};
use arrow::error::ArrowError;
use sluicebox_core::stored::unique_keys;

use super::{Column, Map, Struct, take_offsets, unknown};

impl Column {
    /// The rows as an array of `data_type`, with which the column was made. The column is empty then.
    ///
    /// # Errors
    /// When the parts do not fit together, which no input may bring about.
    pub(crate) fn finish(&mut self, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Null(len) => Arc::new(NullArray::new(std::mem::take(len))),
            Self::Boolean { values, nulls } => Arc::new(BooleanArray::new(values.finish(), nulls.finish())),
            Self::Int8(c) => c.finish::<Int8Type>(data_type)?,
            Self::Int16(c) => c.finish::<Int16Type>(data_type)?,
            Self::Int32(c) => match data_type {
                DataType::Date32 => c.finish::<Date32Type>(data_type)?,
                DataType::Time32(_) => c.finish::<Time32MillisecondType>(data_type)?,
                _ => c.finish::<Int32Type>(data_type)?,
            },
            Self::Int64(c) => match data_type {
                DataType::Time64(_) => c.finish::<Time64MicrosecondType>(data_type)?,
                DataType::Timestamp(TimeUnit::Nanosecond, _) => c.finish::<TimestampNanosecondType>(data_type)?,
                DataType::Timestamp(TimeUnit::Microsecond, _) => c.finish::<TimestampMicrosecondType>(data_type)?,
                DataType::Timestamp(..) => c.finish::<TimestampMillisecondType>(data_type)?,
                _ => c.finish::<Int64Type>(data_type)?,
            },
            Self::Float32(c) => c.finish::<Float32Type>(data_type)?,
            Self::Float64(c) => c.finish::<Float64Type>(data_type)?,
            Self::Decimal128(c) => c.finish::<Decimal128Type>(data_type)?,
            Self::Decimal256(c) => c.finish::<Decimal256Type>(data_type)?,
            Self::Bytes(c) => c.finish(data_type)?,
            Self::Fixed { size, values, nulls } => Arc::new(FixedSizeBinaryArray::try_new(
                i32::try_from(*size).unwrap_or_default(),
                Buffer::from_vec(std::mem::take(values)),
                nulls.finish(),
            )?),
            Self::List(c) => {
                let DataType::List(item) = data_type else { return Err(unknown(data_type)) };
                let items = c.items.finish(item.data_type())?;
                let offsets = take_offsets(&mut c.offsets);
                Arc::new(ListArray::try_new(Arc::clone(item), offsets, items, c.nulls.finish())?)
            }
            Self::Map(c) => finish_map(c, data_type)?,
            Self::Struct(c) => Arc::new(finish_struct(c, data_type)?),
        })
    }
}

/// The rows of `column` as an array, as [`Column::finish`].
pub(crate) fn finish_struct(column: &mut Struct, data_type: &DataType) -> Result<StructArray, ArrowError> {
    let DataType::Struct(fields) = data_type else { return Err(unknown(data_type)) };
    let len = column.nulls.len();
    let nulls: Option<NullBuffer> = column.nulls.finish();
    let arrays: Vec<ArrayRef> =
        column.children.iter_mut().zip(fields).map(|(c, f)| c.finish(f.data_type())).collect::<Result<_, _>>()?;
    StructArray::try_new_with_length(fields.clone(), arrays, nulls, len)
}

fn finish_map(column: &mut Map, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    let DataType::Map(entries, ordered) = data_type else { return Err(unknown(data_type)) };
    let DataType::Struct(fields) = entries.data_type() else { return Err(unknown(data_type)) };
    let [key, value] = &fields[..] else { return Err(unknown(data_type)) };
    let keys = column.keys.finish(key.data_type())?;
    let values = column.values.finish(value.data_type())?;
    let rows = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
    let offsets = take_offsets(&mut column.offsets);
    let map = MapArray::try_new(Arc::clone(entries), offsets, rows, column.nulls.finish(), *ordered)?;
    // Avro's encoding lets an event name a key twice, in one block or in two; readers of Avro keep the last.
    Ok(Arc::new(unique_keys(&map)?))
}
