//! Parts of text.

use arrow::array::ArrayRef;
use datafusion::common::Result;

use crate::rows::{Call, Function, Gives, function, row_error};
use crate::values::Kind::{Bytes, Int, Text};

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("substring", &[Bytes, Int, Int], Gives::Same(0), substring).optional(1).alias("substr"),
        function("left", &[Bytes, Int], Gives::Same(0), |call| {
            let n = call.int(1)?;
            sliced(call, |row, _| (0, i64::from(n.at(row)).max(0)))
        }),
        function("right", &[Bytes, Int], Gives::Same(0), |call| {
            let n = call.int(1)?;
            sliced(call, |row, length| (length - i64::from(n.at(row)).clamp(0, length), length))
        }),
        function("substring_index", &[Text, Text, Int], Gives::Text, |call| {
            let (text, delimiter, count) = (call.text(0)?, call.text(1)?, call.int(2)?);
            call.texts(|row| Ok(Some(substring_index(text.at(row), delimiter.at(row), count.at(row)))))
        }),
        function("split_part", &[Text, Text, Int], Gives::Text, |call| {
            let (text, delimiter, part) = (call.text(0)?, call.text(1)?, call.int(2)?);
            call.texts(|row| split_part(text.at(row), delimiter.at(row), part.at(row)).map(Some))
        }),
    ]
}

/// Of each text the characters, or of binary the bytes, from the first number that `range` gives to the second; both may lie
/// outside. `range` is given the row and the length.
fn sliced(call: &Call, range: impl Fn(usize, i64) -> (i64, i64)) -> Result<ArrayRef> {
    let clamped = |row, length: usize| {
        let (start, end) = range(row, length as i64);
        let start = start.clamp(0, length as i64) as usize;
        (start, (end.clamp(0, length as i64) as usize).max(start))
    };
    if call.is_binary(0) {
        let bytes = call.binary(0)?;
        return call.binaries(|row| {
            let bytes = bytes.at(row);
            let (start, end) = clamped(row, bytes.len());
            Ok(Some(&bytes[start..end]))
        });
    }
    let text = call.text(0)?;
    call.texts(|row| {
        let text = text.at(row);
        if text.is_ascii() {
            let (start, end) = clamped(row, text.len());
            return Ok(Some(&text[start..end]));
        }
        let (start, end) = clamped(row, text.chars().count());
        Ok(Some(characters(text, start, end)))
    })
}

/// The characters of `text` from `start` to before `end`.
pub(super) fn characters(text: &str, start: usize, end: usize) -> &str {
    let mut at = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    let from = at.nth(start).unwrap_or(text.len());
    let to = if end == start { from } else { at.nth(end - start - 1).unwrap_or(text.len()) };
    &text[from..to]
}

fn substring(call: &Call) -> Result<ArrayRef> {
    let position = call.int(1)?;
    let wanted = if call.len() > 2 { Some(call.int(2)?) } else { None };
    sliced(call, |row, length| {
        let position = i64::from(position.at(row));
        let start = match position {
            1.. => position - 1,
            0 => 0,
            _ => length + position,
        };
        // Without a length it is the longest of INT, which shows at the ends of the range.
        let end = start + wanted.as_ref().map_or(i64::from(i32::MAX), |wanted| i64::from(wanted.at(row)));
        (start, end)
    })
}

fn substring_index<'a>(text: &'a str, delimiter: &str, count: i32) -> &'a str {
    if delimiter.is_empty() || count == 0 {
        return "";
    }
    let n = count.unsigned_abs() as usize;
    if count > 0 {
        text.match_indices(delimiter).nth(n - 1).map_or(text, |(at, _)| &text[..at])
    } else {
        // From the end, matches may overlap those from the beginning.
        let mut end = text.len();
        for _ in 0..n {
            match text[..end].rfind(delimiter) {
                Some(at) => end = at,
                None => return text,
            }
        }
        &text[end + delimiter.len()..]
    }
}

fn split_part<'a>(text: &'a str, delimiter: &str, part: i32) -> Result<&'a str> {
    if part == 0 {
        return row_error("split_part counts parts from 1, or from -1 at the end; 0 is none");
    }
    let n = part.unsigned_abs() as usize;
    let found = match (delimiter.is_empty(), part > 0) {
        (true, _) => (n == 1).then_some(text),
        (false, true) => text.split(delimiter).nth(n - 1),
        (false, false) => {
            let parts: Vec<&str> = text.split(delimiter).collect();
            parts.len().checked_sub(n).map(|at| parts[at])
        }
    };
    Ok(found.unwrap_or_default())
}
