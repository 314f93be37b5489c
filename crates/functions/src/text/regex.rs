//! Functions of regular expressions.

use arrow::array::ArrayRef;
use datafusion::common::{Result, ScalarValue};

use super::pattern::{Found, Last, Pattern};
use crate::nested::lists::Left;
use crate::rows::{Call, Function, Gives, constant_text, function, plan_error, row_error, short, together};
use crate::values::Kind::{Int, Text};

/// Pieces of a replacement that `regexp_replace` puts into one text, which take a tenth of a second; a piece may be empty.
const MOST_PIECES: usize = 10_000_000;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("rlike", &[Text, Text], Gives::Bool, |call| {
            let text = call.text(0)?;
            let found = each(call, |row, pattern| Ok(pattern.is_match(text.at(row))))?;
            call.bools(|row| Ok(found[row]))
        })
        .alias("regexp")
        .alias("regexp_like")
        .check(check),
        function("regexp_extract", &[Text, Text, Int], Gives::Text, extract).optional(1).check(check),
        function("regexp_extract_all", &[Text, Text, Int], Gives::Texts, extract_all).optional(1).check(check),
        function("regexp_replace", &[Text, Text, Text, Int], Gives::Text, replace).optional(1).check(|constants| {
            check(constants)?;
            match constants.get(3).copied().flatten() {
                Some(ScalarValue::Int32(Some(n))) if *n < 1 => plan_error("regexp_replace counts from 1"),
                Some(ScalarValue::Int64(Some(n))) if *n < 1 => plan_error("regexp_replace counts from 1"),
                Some(ScalarValue::Utf8(Some(_))) => plan_error(
                    "argument 4 of regexp_replace is the place to begin at; all matches are replaced, without the \
                         flag 'g', and flags stand in the pattern: '(?i)a'",
                ),
                _ => Ok(()),
            }
        }),
        function("regexp_count", &[Text, Text], Gives::Int, |call| {
            let text = call.text(0)?;
            let counts = each(call, |row, pattern| {
                pattern.find_all(text.at(row)).try_fold(0, |n, found| found.map(|_| n + 1)).or_else(row_error)
            })?;
            call.ints(|row| Ok(counts[row]))
        })
        .check(check),
        function("regexp_instr", &[Text, Text, Int], Gives::Int, |call| {
            let text = call.text(0)?;
            let places = each(call, |row, pattern| {
                let text = text.at(row);
                Ok(pattern.find(text).map_or(0, |found| text[..found.whole().0].chars().count() as i32 + 1))
            })?;
            call.ints(|row| Ok(places[row]))
        })
        .optional(1)
        .check(check),
        function("regexp_substr", &[Text, Text], Gives::Text, |call| {
            let text = call.text(0)?;
            let found = each(call, |row, pattern| {
                let text = text.at(row);
                // An empty match is none: Spark has it as nullif(regexp_extract(text, pattern, 0), '').
                let found = pattern.find(text).map(|found| &text[found.whole().0..found.whole().1]);
                Ok(found.filter(|found| !found.is_empty()))
            })?;
            call.texts(|row| Ok(found[row].flatten()))
        })
        .check(check),
        function("split", &[Text, Text, Int], Gives::Texts, split).optional(1).check(check),
    ]
}

/// A constant pattern is read before any row.
fn check(constants: &[Option<&ScalarValue>]) -> Result<()> {
    constant_text(constants, 1).map_or(Ok(()), |pattern| Pattern::parse(pattern).map(|_| ()).or_else(plan_error))
}

/// What `with` gives for each row whose arguments are not NULL and its pattern, which is read once for all rows that have it.
fn each<T>(call: &Call, mut with: impl FnMut(usize, &Pattern) -> Result<T>) -> Result<Vec<Option<T>>> {
    let patterns = call.text(1)?;
    let mut last = Last::new(call.is_constant(1));
    call.rows(|row| {
        let pattern = last.pattern(patterns.at(row)).or_else(row_error)?;
        with(row, pattern).map(Some)
    })
}

fn group(call: &Call, row: usize, otherwise: usize) -> Result<i64> {
    if call.len() > 2 { Ok(i64::from(call.int(2)?.at(row))) } else { Ok(otherwise as i64) }
}

fn checked_group(n: i64, pattern: &Pattern) -> Result<usize> {
    match usize::try_from(n) {
        Ok(n) if n <= pattern.group_count() => Ok(n),
        _ => row_error(format!("there is no group {n}; the pattern has {}", pattern.group_count())),
    }
}

fn part<'t>(text: &'t str, found: &Found, group: usize) -> &'t str {
    found.groups.get(group).copied().flatten().map_or("", |(begin, end)| &text[begin..end])
}

fn extract(call: &Call) -> Result<ArrayRef> {
    let text = call.text(0)?;
    let found = each(call, |row, pattern| {
        let text = text.at(row);
        let Some(found) = pattern.find(text) else { return Ok("") };
        let group = checked_group(group(call, row, 1)?, pattern)?;
        Ok(part(text, &found, group))
    })?;
    call.texts(|row| Ok(found[row]))
}

fn extract_all(call: &Call) -> Result<ArrayRef> {
    let text = call.text(0)?;
    // All are there at once before the column is.
    let mut left = Left::new();
    let found = each(call, |row, pattern| {
        let text = text.at(row);
        let mut out = Vec::new();
        for found in pattern.find_all(text) {
            let found = found.or_else(row_error)?;
            let group = checked_group(group(call, row, 1)?, pattern)?;
            left.push(part(text, &found, group), &mut out).or_else(row_error)?;
        }
        Ok(out)
    })?;
    let mut found = found;
    call.lists(|row| Ok(found[row].take().unwrap_or_default()))
}

/// A piece of what a match is replaced by.
enum Piece {
    Literal(String),
    Group(usize),
}

/// What `$1`, `${name}` and `\` in a replacement mean.
fn pieces(text: &str, pattern: &Pattern) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some(c) => literal.push(c),
                None => return row_error(format!("the replacement '{text}' ends with a backslash")),
            },
            '$' => {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                if rest.next_if_eq(&'{').is_some() {
                    let name: String = rest.by_ref().take_while(|c| *c != '}').collect();
                    let Some(group) = pattern.named(&name) else {
                        return row_error(format!("there is no group '{name}'"));
                    };
                    pieces.push(Piece::Group(group));
                    continue;
                }
                let Some(digit) = rest.next_if(char::is_ascii_digit).and_then(|c| c.to_digit(10)) else {
                    return row_error(format!(
                        "`$` in the replacement '{text}' must be followed by a group number; for a dollar sign write \\$"
                    ));
                };
                let mut group = digit as usize;
                if group > pattern.group_count() {
                    return row_error(format!("there is no group {group}; the pattern has {}", pattern.group_count()));
                }
                // More digits belong to it as long as there is such a group.
                while let Some(digit) = rest.peek().and_then(|c| c.to_digit(10)) {
                    let longer = group * 10 + digit as usize;
                    if longer > pattern.group_count() {
                        break;
                    }
                    group = longer;
                    rest.next();
                }
                pieces.push(Piece::Group(group));
            }
            _ => literal.push(c),
        }
    }
    pieces.push(Piece::Literal(literal));
    Ok(pieces)
}

fn replace(call: &Call) -> Result<ArrayRef> {
    let (text, with) = (call.text(0)?, call.text(2)?);
    let from = if call.len() > 3 { Some(call.int(3)?) } else { None };
    // All are there at once before the column is.
    let mut all = 0;
    let replaced = each(call, |row, pattern| {
        let (text, with) = (text.at(row), with.at(row));
        let from = from.as_ref().map_or(1, |from| from.at(row));
        if from < 1 {
            return row_error(format!("regexp_replace counts from 1, not from {from}"));
        }
        let Some(start) = text.char_indices().map(|(at, _)| at).chain([text.len()]).nth((from - 1) as usize) else {
            return Ok(text.to_owned());
        };
        let mut read = None;
        let head = &text[..start];
        // What stands before the place is no context, as in Spark.
        let text = &text[start..];
        let (mut out, mut last, mut put) = (head.to_owned(), 0, 0);
        for found in pattern.find_all(text) {
            let found = found.or_else(row_error)?;
            let read: &Vec<Piece> = match &mut read {
                Some(read) => read,
                none => none.insert(pieces(with, pattern)?),
            };
            let (begin, end) = found.whole();
            out.push_str(&text[last..begin]);
            put += read.len();
            if put > MOST_PIECES {
                let pieces = read.len();
                return row_error(format!(
                    "regexp_replace of so many matches by a replacement of {pieces} pieces takes too long: {MOST_PIECES} pieces are the most"
                ));
            }
            for piece in read {
                match piece {
                    Piece::Literal(literal) => out.push_str(literal),
                    Piece::Group(group) => out.push_str(part(text, &found, *group)),
                }
            }
            short(out.len())?;
            last = end;
        }
        out.push_str(&text[last..]);
        all += out.len();
        together(all)?;
        Ok(out)
    })?;
    call.texts(|row| Ok(replaced[row].as_deref()))
}

fn split(call: &Call) -> Result<ArrayRef> {
    let text = call.text(0)?;
    // As there.
    let mut left = Left::new();
    let parts = each(call, |row, pattern| {
        let text = text.at(row);
        let limit = usize::try_from(group(call, row, 0)?).ok().filter(|n| *n > 0);
        pattern.split(text, limit, &mut left).or_else(row_error)
    })?;
    let mut parts = parts;
    call.lists(|row| Ok(parts[row].take().unwrap_or_default()))
}
