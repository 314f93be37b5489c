//! The key encoding: from the values of a row to bytes, and from the bytes to the 128-bit key that state remembers.
//!
//! Keys are in checkpoints, so this encoding is written down, has a version, and never changes under one: every library
//! of row formats and hashes is free to change its own. `tests/keys_v1.txt` holds vectors that a change would break.
//!
//! # Version 1
//!
//! A key is the xxh3-128 (seed 0) of the encodings of its columns, one after the other. A value is a tag byte and what
//! the table says; integers are little-endian, `length` is unsigned LEB128. Every encoding ends where its own bytes say, so that no two
//! different rows have the same one.
//!
//! | tag | values | bytes after the tag |
//! |---|---|---|
//! | 0x00 | NULL of any type | |
//! | 0x01 | booleans | 1: 0 or 1 |
//! | 0x02 | integers of any width that fit an i64 | 8 |
//! | 0x03 | integers above that | 8, unsigned |
//! | 0x04 | floating point of any width, as a double; -0.0 is 0.0, all NaN are 0x7ff8000000000000 | 8 |
//! | 0x05 | text of any layout, UTF-8 | length, bytes |
//! | 0x06 | binary of any layout | length, bytes |
//! | 0x07 | decimals of any width | scale (i8), length, unscaled value in two's complement, as short as it gets, little-endian |
//! | 0x08 | timestamps of any unit, with or without time zone | seconds since 1970 rounded down (i64), nanoseconds (u32) |
//! | 0x09 | dates, in milliseconds since 1970 | 8 |
//! | 0x0a | times of day, in nanoseconds | 8 |
//! | 0x0b | durations, like timestamps | 8 + 4 |
//! | 0x0c | intervals of months | 4 |
//! | 0x0d | intervals of days and milliseconds | 4 + 4 |
//! | 0x0e | intervals of months, days, nanoseconds | 4 + 4 + 8 |
//! | 0x0f | lists of any layout | length, the items |
//! | 0x10 | structs | length, the fields |
//! | 0x11 | maps | length, keys and values in turn, sorted by the bytes of key and value |
//! | 0x12 | unions | type id (i8), the value |
//!
//! Values are encoded by what they are, not how they are stored: dictionaries and runs by their values, numbers without
//! their width, so that a schema may widen a key's type. NULL equals NULL and nothing else; an empty text is not NULL.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use xxhash_rust::xxh3::xxh3_128;

use crate::error::{Error, Result};

mod encode;
#[cfg(test)]
mod tests;

use encode::{Encoder, put_bytes, tag};

/// The version of the encoding, for fingerprints of state.
pub const VERSION: u16 = 1;

/// The keys of `rows` rows whose key columns are `columns`. Without columns all rows have the same key.
///
/// # Errors
/// [`Error::KeyType`], with `operator` in it, for types that this encoding does not know.
pub fn keys(operator: &str, columns: &[ArrayRef], rows: usize) -> Result<Vec<u128>> {
    if let [column] = columns
        && column.null_count() == 0
    {
        match column.data_type() {
            DataType::Utf8 => return Ok(text_keys(column.as_string::<i32>())),
            DataType::Int64 => {
                let values = column.as_primitive::<Int64Type>().values();
                return Ok(values.iter().map(|&value| integer_key(value)).collect());
            }
            _ => {}
        }
    }
    let encoders = encoders(operator, columns)?;
    let mut bytes = Vec::new();
    let key = |row| {
        bytes.clear();
        encoders.iter().for_each(|encoder| encoder.put(row, &mut bytes));
        xxh3_128(&bytes)
    };
    Ok((0..rows).map(key).collect())
}

/// The encodings of `rows` rows, before they are hashed.
///
/// # Errors
/// As [`keys`].
pub fn encodings(operator: &str, columns: &[ArrayRef], rows: usize) -> Result<Vec<Vec<u8>>> {
    let encoders = encoders(operator, columns)?;
    let encoding = |row| {
        let mut bytes = Vec::new();
        encoders.iter().for_each(|encoder| encoder.put(row, &mut bytes));
        bytes
    };
    Ok((0..rows).map(encoding).collect())
}

/// What of a key's type its encoding depends on, for fingerprints of state: types of one class give equal keys for equal
/// values.
#[must_use]
pub fn class(data_type: &DataType) -> String {
    use DataType as T;
    match data_type {
        T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => "integer".into(),
        T::Float16 | T::Float32 | T::Float64 => "float".into(),
        T::Utf8 | T::LargeUtf8 | T::Utf8View => "text".into(),
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => "binary".into(),
        T::Decimal32(_, scale) | T::Decimal64(_, scale) | T::Decimal128(_, scale) | T::Decimal256(_, scale) => {
            format!("decimal of scale {scale}")
        }
        T::Timestamp(..) => "timestamp".into(),
        T::Date32 | T::Date64 => "date".into(),
        T::Time32(_) | T::Time64(_) => "time".into(),
        T::Duration(_) => "duration".into(),
        T::Dictionary(_, values) => class(values),
        T::RunEndEncoded(_, values) => class(values.data_type()),
        T::List(item) | T::LargeList(item) | T::FixedSizeList(item, _) | T::ListView(item) | T::LargeListView(item) => {
            format!("list of {}", class(item.data_type()))
        }
        T::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|field| class(field.data_type())).collect();
            format!("struct of ({})", fields.join(", "))
        }
        other => other.to_string(),
    }
}

fn encoders(operator: &str, columns: &[ArrayRef]) -> Result<Vec<Encoder>> {
    let encoder = |column: &ArrayRef| {
        Encoder::try_new(column)
            .map_err(|data_type| Error::KeyType { operator: operator.to_owned(), data_type: *data_type })
    };
    columns.iter().map(encoder).collect()
}

fn text_keys(column: &arrow::array::StringArray) -> Vec<u128> {
    let mut bytes = Vec::new();
    let key = |row| {
        bytes.clear();
        bytes.push(tag::TEXT);
        put_bytes(column.value(row).as_bytes(), &mut bytes);
        xxh3_128(&bytes)
    };
    (0..column.len()).map(key).collect()
}

fn integer_key(value: i64) -> u128 {
    let mut bytes = [tag::INTEGER; 9];
    bytes[1..].copy_from_slice(&value.to_le_bytes());
    xxh3_128(&bytes)
}
