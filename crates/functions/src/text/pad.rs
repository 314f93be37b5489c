//! Padding, trimming and repeating.

use std::collections::HashSet;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::Result;

use super::parts::characters;
use crate::rows::{Call, Function, Gives, function, plan_error, short};
use crate::types;
use crate::values::Kind::{Bytes, Int, Text};

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("lpad", &[Bytes, Int, Bytes], Gives::Same(0), |call| pad(call, true)).optional(1).types(pad_types),
        function("rpad", &[Bytes, Int, Bytes], Gives::Same(0), |call| pad(call, false)).optional(1).types(pad_types),
        // `trim(BOTH chars FROM text)` is read as `trim(chars, text)`.
        function("trim", &[Text, Text], Gives::Text, |call| trim(call, true, true)).optional(1),
        function("ltrim", &[Text, Text], Gives::Text, |call| trim(call, true, false)).optional(1),
        function("rtrim", &[Text, Text], Gives::Text, |call| trim(call, false, true)).optional(1),
        function("btrim", &[Text, Text], Gives::Text, |call| {
            let text = call.text(0)?;
            let chars = if call.len() > 1 { Some(call.text(1)?) } else { None };
            call.texts(|row| Ok(Some(trimmed(text.at(row), chars.as_ref().map_or(" ", |c| c.at(row)), true, true))))
        })
        .optional(1),
        function("space", &[Int], Gives::Text, |call| {
            let n = call.int(0)?;
            call.texts(|row| repeated(" ", n.at(row)).map(Some))
        }),
        function("repeat", &[Text, Int], Gives::Text, |call| {
            let (text, n) = (call.text(0)?, call.int(1)?);
            call.texts(|row| repeated(text.at(row), n.at(row)).map(Some))
        }),
    ]
}

fn repeated(text: &str, n: i32) -> Result<String> {
    let n = n.max(0) as usize;
    short(text.len().saturating_mul(n))?;
    Ok(text.repeat(n))
}

fn trim(call: &Call, left: bool, right: bool) -> Result<ArrayRef> {
    let chars = if call.len() > 1 { Some(call.text(0)?) } else { None };
    let text = call.text(call.len() - 1)?;
    call.texts(|row| Ok(Some(trimmed(text.at(row), chars.as_ref().map_or(" ", |c| c.at(row)), left, right))))
}

/// Bytes of characters to trim up to which each is compared: quicker than to hash so few.
const FEW: usize = 16;

fn trimmed<'a>(text: &'a str, chars: &str, left: bool, right: bool) -> &'a str {
    let many: Option<HashSet<char>> = (chars.len() > FEW).then(|| chars.chars().collect());
    let is_one = |c: char| many.as_ref().map_or_else(|| chars.contains(c), |many| many.contains(&c));
    let text = if left { text.trim_start_matches(is_one) } else { text };
    if right { text.trim_end_matches(is_one) } else { text }
}

/// Text, unless all that is padded and padded with is binary.
fn pad_types(name: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    let (2 | 3) = types.len() else {
        return plan_error(format!("{name} takes 2 or 3 arguments, here it has {}", types.len()));
    };
    let binary = types.iter().enumerate().all(|(at, of)| at == 1 || Bytes.data_type(of) == Some(DataType::Binary));
    let wanted = if binary { [Bytes, Int, Bytes] } else { [Text, Int, Text] };
    let cast = |(at, (of, kind)): (usize, (&DataType, crate::values::Kind))| {
        let name_of = types::name(of);
        let refused = || plan_error(format!("argument {} of {name} must be {}, not {name_of}", at + 1, kind.words()));
        kind.data_type(of).map_or_else(refused, Ok)
    };
    types.iter().zip(wanted).enumerate().map(cast).collect()
}

fn pad(call: &Call, left: bool) -> Result<ArrayRef> {
    let length = call.int(1)?;
    if call.is_binary(0) {
        let bytes = call.binary(0)?;
        let fill = if call.len() > 2 { Some(call.binary(2)?) } else { None };
        return call.binaries(|row| {
            let bytes = bytes.at(row);
            let fill = fill.as_ref().map_or(&[0][..], |fill| fill.at(row));
            let length = length.at(row).max(0) as usize;
            short(length)?;
            let missing = length.saturating_sub(bytes.len());
            let padding = fill.iter().cycle().take(if fill.is_empty() { 0 } else { missing });
            let kept = &bytes[..bytes.len().min(length)];
            let out: Vec<u8> = if left {
                padding.chain(kept).copied().collect()
            } else {
                kept.iter().chain(padding).copied().collect()
            };
            Ok(Some(out))
        });
    }
    let text = call.text(0)?;
    let fill = if call.len() > 2 { Some(call.text(2)?) } else { None };
    call.texts(|row| {
        let text = text.at(row);
        let fill = fill.as_ref().map_or(" ", |fill| fill.at(row));
        let length = length.at(row).max(0) as usize;
        let n = text.chars().count();
        if n >= length || fill.is_empty() {
            return Ok(Some(characters(text, 0, length.min(n)).to_owned()));
        }
        // A character may have several bytes; the last time `fill` may be cut.
        let times = (length - n).div_ceil(fill.chars().count());
        short(times.saturating_mul(fill.len()).saturating_add(text.len()))?;
        let padding: String = fill.chars().cycle().take(length - n).collect();
        Ok(Some(if left { padding + text } else { text.to_owned() + &padding }))
    })
}
