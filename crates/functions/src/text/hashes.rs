//! `hash` (Murmur3) and `xxhash64`, bit for bit as Spark computes them.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::Result;

use crate::casts::kernel;
use crate::rows::{Call, Function, Gives, function, plan_error};
use crate::types;
use crate::values::Kind::Any;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("hash", &[Any], Gives::Int, |call| {
            let arrays = arrays(call)?;
            call.ints(|row| Ok(Some(over::<Murmur3>(call, &arrays, row)? as i32)))
        })
        .many()
        .types(hashable)
        .lenient(),
        function("xxhash64", &[Any], Gives::Long, |call| {
            let arrays = arrays(call)?;
            call.longs(|row| Ok(Some(over::<XxHash64>(call, &arrays, row)? as i64)))
        })
        .many()
        .types(hashable)
        .lenient(),
    ]
}

fn hashable(_: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    if types.is_empty() {
        return plan_error("hash takes at least one argument");
    }
    types.iter().map(hashed_as).collect()
}

/// The type that a value of type `of` is hashed as.
fn hashed_as(of: &DataType) -> Result<DataType> {
    Ok(match of {
        DataType::Dictionary(_, value) => hashed_as(value)?,
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView => DataType::Binary,
        DataType::Null
        | DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Date32
        | DataType::Decimal128(..)
        | DataType::Timestamp(TimeUnit::Microsecond, _) => of.clone(),
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::List(item) if hashed_as(item.data_type()).is_ok() => of.clone(),
        DataType::Struct(fields) if fields.iter().all(|f| hashed_as(f.data_type()).is_ok()) => of.clone(),
        DataType::Map(..) => {
            return plan_error(
                "a MAP has no hash: two equal maps may hold their keys in another order; hash map_entries() of it",
            );
        }
        other => return plan_error(format!("{} has no hash", types::name(other))),
    })
}

fn arrays(call: &Call) -> Result<Vec<&ArrayRef>> {
    (0..call.len()).map(|at| call.array(at)).collect()
}

fn over<H: Hasher>(call: &Call, arrays: &[&ArrayRef], row: usize) -> Result<u64> {
    let mut seed = 42;
    for (at, array) in arrays.iter().enumerate() {
        seed = value::<H>(array, call.place(at, row), seed)?;
    }
    Ok(seed)
}

trait Hasher {
    fn int(v: i32, seed: u64) -> u64;
    fn long(v: i64, seed: u64) -> u64;
    fn bytes(v: &[u8], seed: u64) -> u64;
}

/// The hash of one value; that of NULL is the seed.
fn value<H: Hasher>(array: &ArrayRef, at: usize, seed: u64) -> Result<u64> {
    if array.data_type().is_null() || array.is_null(at) {
        return Ok(seed);
    }
    Ok(match array.data_type() {
        DataType::Boolean => H::int(i32::from(array.as_boolean().value(at)), seed),
        DataType::Int8 => H::int(i32::from(array.as_primitive::<Int8Type>().value(at)), seed),
        DataType::Int16 => H::int(i32::from(array.as_primitive::<Int16Type>().value(at)), seed),
        DataType::Int32 => H::int(array.as_primitive::<Int32Type>().value(at), seed),
        DataType::Date32 => H::int(array.as_primitive::<Date32Type>().value(at), seed),
        DataType::Int64 => H::long(array.as_primitive::<Int64Type>().value(at), seed),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            H::long(array.as_primitive::<TimestampMicrosecondType>().value(at), seed)
        }
        DataType::Float32 => {
            let v = array.as_primitive::<Float32Type>().value(at);
            let bits = if v == 0.0 {
                0
            } else if v.is_nan() {
                0x7fc0_0000
            } else {
                v.to_bits()
            };
            H::int(bits as i32, seed)
        }
        DataType::Float64 => {
            let v = array.as_primitive::<Float64Type>().value(at);
            let bits = if v == 0.0 {
                0
            } else if v.is_nan() {
                0x7ff8_0000_0000_0000
            } else {
                v.to_bits()
            };
            H::long(bits as i64, seed)
        }
        DataType::Decimal128(precision, _) => {
            let v = array.as_primitive::<Decimal128Type>().value(at);
            if *precision <= 18 { H::long(v as i64, seed) } else { H::bytes(shortest(&v.to_be_bytes()), seed) }
        }
        DataType::Binary => H::bytes(array.as_binary::<i32>().value(at), seed),
        DataType::Utf8 => H::bytes(array.as_string::<i32>().value(at).as_bytes(), seed),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(at);
            (0..items.len()).try_fold(seed, |seed, at| value::<H>(&items, at, seed))?
        }
        DataType::Struct(_) => {
            array.as_struct().columns().iter().try_fold(seed, |seed, column| value::<H>(column, at, seed))?
        }
        of => {
            let array = kernel::run(&array.slice(at, 1), &hashed_as(of)?, false)?;
            value::<H>(&array, 0, seed)?
        }
    })
}

/// The least bytes that hold a big-endian number in two's complement, as Java's BigInteger has them.
fn shortest(bytes: &[u8]) -> &[u8] {
    let mut from = 0;
    while from + 1 < bytes.len() {
        let redundant = match bytes[from] {
            0 => bytes[from + 1] < 0x80,
            0xff => bytes[from + 1] >= 0x80,
            _ => false,
        };
        if !redundant {
            break;
        }
        from += 1;
    }
    &bytes[from..]
}

struct Murmur3;

impl Murmur3 {
    const fn mix(h: u32, k: u32) -> u32 {
        let k = k.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
        (h ^ k).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
    }

    const fn finish(h: u32, length: u32) -> u64 {
        let mut h = h ^ length;
        h ^= h >> 16;
        h = h.wrapping_mul(0x85eb_ca6b);
        h ^= h >> 13;
        h = h.wrapping_mul(0xc2b2_ae35);
        (h ^ (h >> 16)) as u64
    }
}

impl Hasher for Murmur3 {
    fn int(v: i32, seed: u64) -> u64 {
        Self::finish(Self::mix(seed as u32, v as u32), 4)
    }

    fn long(v: i64, seed: u64) -> u64 {
        Self::finish(Self::mix(Self::mix(seed as u32, v as u32), (v >> 32) as u32), 8)
    }

    fn bytes(v: &[u8], seed: u64) -> u64 {
        let words = v.chunks_exact(4);
        // Spark mixes what is left over byte by byte, each with its sign, unlike Murmur3 elsewhere.
        let rest = words.remainder().iter().map(|b| i32::from(*b as i8) as u32);
        let h = words.map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]])).chain(rest).fold(seed as u32, Self::mix);
        Self::finish(h, v.len() as u32)
    }
}

struct XxHash64;

impl Hasher for XxHash64 {
    fn int(v: i32, seed: u64) -> u64 {
        Self::bytes(&v.to_le_bytes(), seed)
    }

    fn long(v: i64, seed: u64) -> u64 {
        Self::bytes(&v.to_le_bytes(), seed)
    }

    fn bytes(v: &[u8], seed: u64) -> u64 {
        twox_hash::XxHash64::oneshot(seed, v)
    }
}
