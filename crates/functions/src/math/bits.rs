//! Numbers by their bits and digits.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;

use crate::casts::kernel;
use crate::rows::{Call, Function, Gives, function, plan_error, row_error};
use crate::types;
use crate::values::Kind::{Any, Int, Long, Text};

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("bin", &[Long], Gives::Text, |call| {
            let number = call.long(0)?;
            call.texts(|row| Ok(Some(format!("{:b}", number.at(row)))))
        }),
        function("conv", &[Text, Int, Int], Gives::Text, |call| {
            let (text, from, to) = (call.text(0)?, call.int(1)?, call.int(2)?);
            call.texts(|row| conv(text.at(row), from.at(row), to.at(row)))
        }),
        function("factorial", &[Int], Gives::Long, |call| {
            let n = call.int(0)?;
            call.longs(|row| {
                let n = i64::from(n.at(row));
                Ok((0..=20).contains(&n).then(|| (1..=n).product()))
            })
        }),
        function("shiftleft", &[Any, Int], Gives::Same(0), |call| {
            shift(call, |v, by, bits| (v << (by & (bits - 1))) as i64)
        })
        .types(shifted),
        function("shiftright", &[Any, Int], Gives::Same(0), |call| {
            shift(call, |v, by, bits| {
                let signed = if bits == 32 { i64::from(v as i32) } else { v as i64 };
                signed >> (by & (bits - 1))
            })
        })
        .types(shifted),
        function("shiftrightunsigned", &[Any, Int], Gives::Same(0), |call| {
            shift(call, |v, by, bits| (if bits == 32 { u64::from(v as u32) } else { v } >> (by & (bits - 1))) as i64)
        })
        .types(shifted),
        function("bit_count", &[Any], Gives::Int, |call| {
            let bits = kernel::run(call.array(0)?, &DataType::Int64, false)?;
            let bits = bits.as_primitive::<Int64Type>();
            call.ints(|row| Ok(Some(bits.value(call.place(0, row)).count_ones() as i32)))
        })
        .types(|_, types| match types {
            [of] if of.is_integer() || matches!(of, DataType::Boolean | DataType::Null) => Ok(vec![of.clone()]),
            [of] => plan_error(format!("bit_count counts the bits of a whole number, not of {}", types::name(of))),
            _ => plan_error("bit_count takes one argument"),
        }),
        function("bit_get", &[Any, Int], Gives::Tiny, bit_get).alias("getbit").types(|_, types| match types {
            [of, at] if of.is_integer() && Int.data_type(at).is_some() => Ok(vec![of.clone(), DataType::Int32]),
            _ => plan_error("bit_get takes a whole number and the place of a bit"),
        }),
    ]
}

fn width(of: &DataType) -> i32 {
    match of {
        DataType::Int8 => 8,
        DataType::Int16 => 16,
        DataType::Int32 => 32,
        _ => 64,
    }
}

/// BIGINT stays, smaller numbers are INT.
fn shifted(_: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [of, by] if (of.is_integer() || of.is_null()) && Int.data_type(by).is_some() => {
            Ok(vec![if of == &DataType::Int64 { DataType::Int64 } else { DataType::Int32 }, DataType::Int32])
        }
        _ => plan_error("a shift takes a whole number and the number of bits"),
    }
}

fn shift(call: &Call, with: impl Fn(u64, i32, i32) -> i64) -> Result<ArrayRef> {
    let by = call.int(1)?;
    if call.gives == DataType::Int64 {
        let number = call.long(0)?;
        return call.longs(|row| Ok(Some(with(number.at(row) as u64, by.at(row), 64))));
    }
    let number = call.int(0)?;
    call.ints(|row| Ok(Some(with(u64::from(number.at(row) as u32), by.at(row), 32) as i32)))
}

fn bit_get(call: &Call) -> Result<ArrayRef> {
    let array = call.array(0)?;
    let width = width(array.data_type());
    let (bits, place) = (kernel::run(array, &DataType::Int64, false)?, call.int(1)?);
    let bits = bits.as_primitive::<Int64Type>();
    call.tinies(|row| {
        let place = place.at(row);
        if !(0..width).contains(&place) {
            return row_error(format!("there is no bit {place}; bits are counted from 0 to {}", width - 1));
        }
        Ok(Some((bits.value(call.place(0, row)) >> place & 1) as i8))
    })
}

/// The number that `text` is to the base `from`, to the base `to`, of 64 bits; signed if `to` is negative.
fn conv(text: &str, from: i32, to: i32) -> Result<Option<String>> {
    let text = text.trim_matches(' ');
    let base = to.unsigned_abs();
    if !(2..=36).contains(&from) || !(2..=36).contains(&base) || text.is_empty() {
        return Ok(None);
    }
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let mut value: u64 = 0;
    // What is no digit ends the number.
    for digit in digits.chars().map_while(|c| c.to_digit(from.unsigned_abs())) {
        let next = value.checked_mul(u64::from(from.unsigned_abs())).and_then(|v| v.checked_add(u64::from(digit)));
        let Some(next) = next else { return row_error(format!("'{text}' has more than 64 bits")) };
        value = next;
    }
    let signed = to < 0;
    if negative {
        value = if signed || (value as i64) >= 0 { value.wrapping_neg() } else { u64::MAX };
    }
    let minus = signed && (value as i64) < 0;
    let mut rest = if minus { value.wrapping_neg() } else { value };
    let mut out = Vec::new();
    loop {
        let digit = char::from_digit((rest % u64::from(base)) as u32, base).unwrap_or('0');
        out.push(digit.to_ascii_uppercase());
        rest /= u64::from(base);
        if rest == 0 {
            break;
        }
    }
    if minus {
        out.push('-');
    }
    Ok(Some(out.into_iter().rev().collect()))
}
