//! Changes text character by character.

use std::collections::HashMap;

use arrow::array::ArrayRef;
use datafusion::common::{Result, ScalarValue};

use super::parts::characters;
use crate::rows::{Call, Function, Gives, constant_text, function, plan_error, row_error, short};
use crate::values::Kind::{Bytes, Int, Text};

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("upper", &[Text], Gives::Text, |call| each(call, str::to_uppercase)).alias("ucase"),
        function("lower", &[Text], Gives::Text, |call| each(call, str::to_lowercase)).alias("lcase"),
        function("initcap", &[Text], Gives::Text, |call| each(call, initcap)),
        function("soundex", &[Text], Gives::Text, |call| each(call, soundex)),
        function("quote", &[Text], Gives::Text, |call| each(call, |text| format!("'{}'", text.replace('\'', "\\'")))),
        function("replace", &[Text, Text, Text], Gives::Text, |call| {
            let (text, from) = (call.text(0)?, call.text(1)?);
            let to = if call.len() > 2 { Some(call.text(2)?) } else { None };
            call.texts(|row| {
                let (text, from) = (text.at(row), from.at(row));
                let to = to.as_ref().map_or("", |to| to.at(row));
                if from.is_empty() {
                    return Ok(Some(text.to_owned()));
                }
                if to.len() > from.len() {
                    short(text.matches(from).count().saturating_mul(to.len()).saturating_add(text.len()))?;
                }
                Ok(Some(text.replace(from, to)))
            })
        })
        .optional(1),
        function("translate", &[Text, Text, Text], Gives::Text, translate),
        function("overlay", &[Bytes, Bytes, Int, Int], Gives::Same(0), overlay).optional(1),
        function("mask", &[Text, Text, Text, Text, Text], Gives::Text, mask).optional(4).lenient().check(check_mask),
        function("is_valid_utf8", &[Bytes], Gives::Bool, |call| {
            if !call.is_binary(0) {
                return call.bools(|_| Ok(Some(true)));
            }
            let bytes = call.binary(0)?;
            call.bools(|row| Ok(Some(std::str::from_utf8(bytes.at(row)).is_ok())))
        }),
        function("make_valid_utf8", &[Bytes], Gives::Text, |call| {
            utf8(call, |bytes| Ok(Some(String::from_utf8_lossy(bytes).into_owned())))
        }),
        function("validate_utf8", &[Bytes], Gives::Text, |call| {
            utf8(call, |bytes| {
                String::from_utf8(bytes.to_vec()).map(Some).or_else(|_| row_error("the bytes are not UTF-8"))
            })
        }),
        function("try_validate_utf8", &[Bytes], Gives::Text, |call| {
            utf8(call, |bytes| Ok(String::from_utf8(bytes.to_vec()).ok()))
        }),
    ]
}

fn each(call: &Call, change: impl Fn(&str) -> String) -> Result<ArrayRef> {
    let text = call.text(0)?;
    call.texts(|row| Ok(Some(change(text.at(row)))))
}

fn utf8(call: &Call, change: impl Fn(&[u8]) -> Result<Option<String>>) -> Result<ArrayRef> {
    if call.is_binary(0) {
        let bytes = call.binary(0)?;
        return call.texts(|row| change(bytes.at(row)));
    }
    let text = call.text(0)?;
    call.texts(|row| Ok(Some(text.at(row))))
}

/// A capital at the start of every word, with all else in small letters; words end at spaces alone.
fn initcap(text: &str) -> String {
    let word = |word: &str| {
        let Some(first) = word.chars().next() else { return String::new() };
        // As a whole, since a sigma at the end is another letter.
        let lower = word.to_lowercase();
        let small: String = first.to_lowercase().collect();
        let mut upper = first.to_uppercase();
        let head: String = match small.chars().next().and_then(title) {
            Some(title) => title.to_string(),
            // An apostrophe and n are one letter in this one.
            None if first == 'ŉ' => "ʼN".to_owned(),
            // Of a letter that becomes two.
            None => upper.next().into_iter().chain(upper.flat_map(char::to_lowercase)).collect(),
        };
        head + lower.strip_prefix(small.as_str()).unwrap_or_default()
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// The capital of a letter of two parts in a title, whose first part alone is a capital, as `ǅ` for `ǆ`.
fn title(c: char) -> Option<char> {
    Some(match c {
        'ǆ' => 'ǅ',
        'ǉ' => 'ǈ',
        'ǌ' => 'ǋ',
        'ǳ' => 'ǲ',
        'ᾳ' => 'ᾼ',
        'ῃ' => 'ῌ',
        'ῳ' => 'ῼ',
        '\u{1f80}'..='\u{1faf}' => return char::from_u32(c as u32 | 8),
        _ => return None,
    })
}

/// The digits of the letters from A to Z; 7 is passed over.
const SOUNDS: &[u8; 26] = b"01230127022455012623017202";

fn soundex(text: &str) -> String {
    let code = |b: u8| b.is_ascii_alphabetic().then(|| SOUNDS[usize::from(b.to_ascii_uppercase() - b'A')]);
    let Some((first, mut last)) = text.bytes().next().and_then(|b| Some((b.to_ascii_uppercase(), code(b)?))) else {
        return text.to_owned();
    };
    let mut out = String::from(char::from(first));
    for b in text.bytes().skip(1) {
        match code(b) {
            None => last = b'0',
            Some(b'7') => {}
            Some(digit) => {
                if digit != b'0' && digit != last {
                    out.push(char::from(digit));
                    if out.len() == 4 {
                        break;
                    }
                }
                last = digit;
            }
        }
    }
    format!("{out:0<4}")
}

fn translate(call: &Call) -> Result<ArrayRef> {
    let (text, from, to) = (call.text(0)?, call.text(1)?, call.text(2)?);
    let mut known: Option<(String, String, HashMap<char, Option<char>>)> = None;
    call.texts(|row| {
        let (from, to) = (from.at(row), to.at(row));
        if known.as_ref().is_none_or(|(f, t, _)| f != from || t != to) {
            let mut map = HashMap::new();
            let mut with = to.chars();
            for c in from.chars() {
                let with = with.next();
                map.entry(c).or_insert(with);
            }
            known = Some((from.to_owned(), to.to_owned(), map));
        }
        let out = known.as_ref().map(|(.., map)| {
            text.at(row).chars().filter_map(|c| map.get(&c).copied().unwrap_or(Some(c))).collect::<String>()
        });
        Ok(out)
    })
}

/// `text` with the `length` characters from `position` on replaced.
fn overlay(call: &Call) -> Result<ArrayRef> {
    let position = call.int(2)?;
    let length = if call.len() > 3 { Some(call.int(3)?) } else { None };
    let cut = |row: usize, whole: usize, with: usize| {
        let position = i64::from(position.at(row));
        let whole = whole as i64;
        let length = length.as_ref().map(|l| l.at(row)).filter(|l| *l >= 0).map_or(with as i64, i64::from);
        // substring(text, 1, position - 1) and substring(text, position + length)
        let head = (position - 1).clamp(0, whole);
        let rest = match position + length {
            after @ 1.. => (after - 1).min(whole),
            0 => 0,
            before => (whole + before).max(0),
        };
        (head as usize, rest as usize)
    };
    if call.is_binary(0) && call.is_binary(1) {
        let (bytes, with) = (call.binary(0)?, call.binary(1)?);
        return call.binaries(|row| {
            let (bytes, with) = (bytes.at(row), with.at(row));
            let (head, rest) = cut(row, bytes.len(), with.len());
            Ok(Some([&bytes[..head], with, &bytes[rest..]].concat()))
        });
    }
    if call.is_binary(0) || call.is_binary(1) {
        return plan_error("overlay takes two texts or two binary values; CAST one of them");
    }
    let (text, with) = (call.text(0)?, call.text(1)?);
    call.texts(|row| {
        let (text, with) = (text.at(row), with.at(row));
        let whole = text.chars().count();
        let (head, rest) = cut(row, whole, with.chars().count());
        Ok(Some([characters(text, 0, head), with, characters(text, rest, whole)].concat()))
    })
}

fn check_mask(constants: &[Option<&ScalarValue>]) -> Result<()> {
    for at in 1..constants.len() {
        if let Some(text) = constant_text(constants, at)
            && text.chars().count() != 1
        {
            return plan_error(format!("mask replaces by one character, not by '{text}'"));
        }
    }
    Ok(())
}

fn mask(call: &Call) -> Result<ArrayRef> {
    let text = call.text(0)?;
    let defaults = [Some('X'), Some('x'), Some('n'), None];
    call.texts(|row| {
        let Some(text) = text.get(row) else { return Ok(None) };
        let mut with = defaults;
        for (at, with) in with.iter_mut().enumerate().take(call.len() - 1) {
            *with = match call.text(at + 1)?.get(row) {
                None => None,
                Some(one) if one.chars().count() == 1 => one.chars().next(),
                Some(other) => return row_error(format!("mask replaces by one character, not by '{other}'")),
            };
        }
        let [upper, lower, digit, other] = with;
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            let with = match c {
                _ if c.is_uppercase() => upper,
                _ if c.is_lowercase() => lower,
                _ if c.is_numeric() => digit,
                _ => {
                    // Java counts in UTF-16.
                    (0..c.len_utf16()).for_each(|_| out.extend(other));
                    if other.is_none() {
                        out.push(c);
                    }
                    continue;
                }
            };
            out.push(with.unwrap_or(c));
        }
        Ok(Some(out))
    })
}
