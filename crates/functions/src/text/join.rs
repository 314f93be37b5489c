//! Joins texts with a separator, and measures their length.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use datafusion::common::Result;

use crate::casts::kernel;
use crate::rows::{Call, Function, Gives, function, plan_error, row_error, short};
use crate::types;
use crate::values;
use crate::values::Kind::{Any, Bytes, Int};

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("concat_ws", &[crate::values::Kind::Text, Any], Gives::Text, concat_ws)
            .many()
            .types(concat_ws_types)
            .lenient(),
        function("length", &[Bytes], Gives::Int, length).alias("len").alias("char_length").alias("character_length"),
        function("octet_length", &[Bytes], Gives::Int, |call| bytes(call, 1)),
        function("bit_length", &[Bytes], Gives::Int, |call| bytes(call, 8)),
        function("ascii", &[crate::values::Kind::Text], Gives::Int, |call| {
            let text = call.text(0)?;
            call.ints(|row| Ok(Some(text.at(row).chars().next().map_or(0, |c| c as i32))))
        }),
        function("chr", &[crate::values::Kind::Long], Gives::Text, |call| {
            let code = call.long(0)?;
            call.texts(|row| {
                let code = code.at(row);
                Ok(Some(if code < 0 { String::new() } else { char::from((code & 0xff) as u8).to_string() }))
            })
        })
        .alias("char"),
        function("elt", &[Int, Bytes], Gives::By(|types, _| Ok(types.get(1).cloned().unwrap_or(DataType::Utf8))), elt)
            .many()
            .types(elt_types)
            .lenient(),
    ]
}

/// Binary if all are, else text.
fn common(types: &[DataType]) -> Result<Vec<DataType>> {
    let binary = |of: &DataType| matches!(of, DataType::Binary | DataType::LargeBinary | DataType::BinaryView);
    if !types.is_empty() && types.iter().all(|of| binary(of) || of.is_null()) && types.iter().any(binary) {
        return Ok(vec![DataType::Binary; types.len()]);
    }
    if let Some(of) = types.iter().find(|of| crate::values::Kind::Text.data_type(of).is_none()) {
        return plan_error(format!("{} cannot be put together with text; CAST its parts AS STRING", types::name(of)));
    }
    Ok(vec![DataType::Utf8; types.len()])
}

fn concat_ws_types(_: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    types
        .iter()
        .enumerate()
        .map(|(at, of)| match of {
            DataType::List(item) if at > 0 && values::Kind::Text.data_type(item.data_type()).is_some() => {
                Ok(DataType::new_list(DataType::Utf8, true))
            }
            _ if values::Kind::Text.data_type(of).is_some() => Ok(DataType::Utf8),
            _ => plan_error(format!("concat_ws takes text and arrays of text, not {}", types::name(of))),
        })
        .collect()
}

fn concat_ws(call: &Call) -> Result<ArrayRef> {
    let separator = call.text(0)?;
    call.texts(|row| {
        let Some(separator) = separator.get(row) else { return Ok(None) };
        let mut out = String::new();
        let mut first = true;
        let mut push = |part: &str| {
            if !std::mem::take(&mut first) {
                out.push_str(separator);
            }
            out.push_str(part);
            short(out.len())
        };
        for at in 1..call.len() {
            let array = call.array(at)?;
            let place = call.place(at, row);
            if array.is_null(place) {
                continue;
            }
            if let Some(lists) = array.as_list_opt::<i32>() {
                let items = kernel::run(&lists.value(place), &DataType::Utf8, false)?;
                items.as_string::<i32>().iter().flatten().try_for_each(&mut push)?;
            } else {
                push(array.as_string::<i32>().value(place))?;
            }
        }
        Ok(Some(out))
    })
}

fn length(call: &Call) -> Result<ArrayRef> {
    if call.is_binary(0) {
        return bytes(call, 1);
    }
    let text = call.text(0)?;
    call.ints(|row| {
        let text = text.at(row);
        let n = if text.is_ascii() { text.len() } else { text.chars().count() };
        Ok(Some(n as i32))
    })
}

fn bytes(call: &Call, times: i32) -> Result<ArrayRef> {
    if call.is_binary(0) {
        let bytes = call.binary(0)?;
        return call.ints(|row| Ok(Some((bytes.at(row).len() as i32).wrapping_mul(times))));
    }
    let text = call.text(0)?;
    call.ints(|row| Ok(Some((text.at(row).len() as i32).wrapping_mul(times))))
}

fn elt_types(_: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    let [index, rest @ ..] = types else { return plan_error("elt takes at least 2 arguments") };
    if rest.is_empty() || Int.data_type(index).is_none() {
        return plan_error("elt takes a whole number and one text or more");
    }
    Ok([vec![DataType::Int32], common(rest)?].concat())
}

fn elt(call: &Call) -> Result<ArrayRef> {
    let index = call.int(0)?;
    let chosen = |row: usize| match index.get(row) {
        None => Ok(None),
        Some(i) if i >= 1 && (i as usize) < call.len() => Ok(Some(i as usize)),
        Some(i) => row_error(format!("elt: there is no argument {i} of {}", call.len() - 1)),
    };
    if call.gives == DataType::Binary {
        return call.binaries(|row| Ok(chosen(row)?.map(|at| call.binary(at)).transpose()?.and_then(|v| v.get(row))));
    }
    call.texts(|row| Ok(chosen(row)?.map(|at| call.text(at)).transpose()?.and_then(|v| v.get(row))))
}
