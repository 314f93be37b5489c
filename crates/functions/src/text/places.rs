//! Finds a text in another, and measures the distance of two texts.

use arrow::array::ArrayRef;
use datafusion::common::Result;
use memchr::memmem;

use crate::rows::{Call, Function, Gives, function, row_error};
use crate::values::Kind::{Bytes, Int, Text};

/// Pairs of characters that `levenshtein` compares, which take a twentieth of a second: one of each text with each of the other.
const MOST_PAIRS: usize = 10_000_000;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("instr", &[Text, Text], Gives::Int, |call| {
            let (text, part) = (call.text(0)?, call.text(1)?);
            call.ints(|row| Ok(Some(place(text.at(row), part.at(row), 1))))
        }),
        function("locate", &[Text, Text, Int], Gives::Int, locate).optional(1).alias("position").lenient(),
        function("find_in_set", &[Text, Text], Gives::Int, |call| {
            let (word, set) = (call.text(0)?, call.text(1)?);
            call.ints(|row| {
                let word = word.at(row);
                if word.contains(',') {
                    return Ok(Some(0));
                }
                Ok(Some(set.at(row).split(',').position(|w| w == word).map_or(0, |at| at as i32 + 1)))
            })
        }),
        function("contains", &[Bytes, Bytes], Gives::Bool, |call| {
            judge(call, |whole, part| memmem::find(whole, part).is_some(), |whole, part| whole.contains(part))
        }),
        function("startswith", &[Bytes, Bytes], Gives::Bool, |call| {
            judge(call, |whole, part| whole.starts_with(part), |whole, part| whole.starts_with(part))
        }),
        function("endswith", &[Bytes, Bytes], Gives::Bool, |call| {
            judge(call, |whole, part| whole.ends_with(part), |whole, part| whole.ends_with(part))
        }),
        function("levenshtein", &[Text, Text, Int], Gives::Int, |call| {
            let (a, b) = (call.text(0)?, call.text(1)?);
            let most = if call.len() > 2 { Some(call.int(2)?) } else { None };
            call.ints(|row| {
                let distance = levenshtein(a.at(row), b.at(row))?;
                Ok(Some(match &most {
                    Some(most) if distance > most.at(row) => -1,
                    _ => distance,
                }))
            })
        })
        .optional(1),
    ]
}

/// The place of `part` in `text`, in characters from 1, at or after character `from`; 0 if it is not there.
fn place(text: &str, part: &str, from: i32) -> i32 {
    if part.is_empty() {
        return 1;
    }
    let skip = (from - 1) as usize;
    let Some(start) = text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(skip) else { return 0 };
    text[start..].find(part).map_or(0, |at| (text[..start + at].chars().count() + 1) as i32)
}

fn locate(call: &Call) -> Result<ArrayRef> {
    let (part, text) = (call.text(0)?, call.text(1)?);
    let from = if call.len() > 2 { Some(call.int(2)?) } else { None };
    call.ints(|row| {
        let start = from.as_ref().map_or(Some(1), |from| from.get(row));
        let Some(start) = start else { return Ok(Some(0)) };
        let (Some(part), Some(text)) = (part.get(row), text.get(row)) else { return Ok(None) };
        Ok(Some(if start < 1 { 0 } else { place(text, part, start) }))
    })
}

fn judge(call: &Call, bytes: fn(&[u8], &[u8]) -> bool, texts: fn(&str, &str) -> bool) -> Result<ArrayRef> {
    match (call.is_binary(0), call.is_binary(1)) {
        (true, true) => {
            let (whole, part) = (call.binary(0)?, call.binary(1)?);
            call.bools(|row| Ok(Some(bytes(whole.at(row), part.at(row)))))
        }
        (false, false) => {
            let (whole, part) = (call.text(0)?, call.text(1)?);
            call.bools(|row| Ok(Some(texts(whole.at(row), part.at(row)))))
        }
        (true, false) => {
            let (whole, part) = (call.binary(0)?, call.text(1)?);
            call.bools(|row| Ok(Some(bytes(whole.at(row), part.at(row).as_bytes()))))
        }
        (false, true) => {
            let (whole, part) = (call.text(0)?, call.binary(1)?);
            call.bools(|row| Ok(Some(bytes(whole.at(row).as_bytes(), part.at(row)))))
        }
    }
}

fn levenshtein(a: &str, b: &str) -> Result<i32> {
    let [of_a, of_b] = [a, b].map(|text| text.chars().count());
    if of_a.saturating_mul(of_b) > MOST_PAIRS {
        return row_error(format!(
            "levenshtein of texts of {of_a} and {of_b} characters takes too long: it compares each with each, and {MOST_PAIRS} pairs are \
             the most"
        ));
    }
    Ok(strsim::levenshtein(a, b) as i32)
}
