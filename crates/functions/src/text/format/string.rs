//! `format_string`, as Java's `Formatter` writes values.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue};

use super::{grouped, padded, rounded};
use crate::casts::kernel;
use crate::casts::show;
use crate::rows::{Call, constant_text, plan_error, row_error};
use crate::types;
use crate::values::Kind::Text;

/// A part of a format of Java's `Formatter`.
enum Part {
    Literal(String),
    Value { argument: usize, flags: String, width: usize, places: Option<usize>, conversion: char },
}

fn parse(format: &str) -> std::result::Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut next = 0;
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        literal.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let take = |rest: &mut &str, accept: fn(char) -> bool| {
            let end = rest.find(|c| !accept(c)).unwrap_or(rest.len());
            let (taken, left) = rest.split_at(end);
            *rest = left;
            taken.to_owned()
        };
        let mut argument = None;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if digits > 0 && rest[digits..].starts_with('$') {
            argument = Some(rest[..digits].parse::<usize>().unwrap_or(usize::MAX));
            rest = &rest[digits + 1..];
        }
        let flags = take(&mut rest, |c| matches!(c, '-' | '#' | '+' | ' ' | '0' | ',' | '('));
        // So many digits that they are no number are too many characters, too.
        let count = |digits: &str| digits.parse().unwrap_or(usize::MAX);
        let digits = take(&mut rest, |c| c.is_ascii_digit());
        let width = if digits.is_empty() { 0 } else { count(&digits) };
        let mut places = None;
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
            let digits = take(&mut rest, |c| c.is_ascii_digit());
            if digits.is_empty() {
                return Err(format!("'{format}' has no digits behind a point"));
            }
            places = Some(count(&digits));
        }
        let conversion =
            rest.chars().next().ok_or_else(|| format!("'{format}' ends in the middle of a conversion such as %d"))?;
        rest = &rest[conversion.len_utf8()..];
        if width > 10_000 || places.is_some_and(|p| p > 1000) {
            return Err(format!("'{format}' asks for too many characters"));
        }
        match conversion {
            '%' => literal.push('%'),
            'n' => literal.push('\n'),
            'd' | 'x' | 'X' | 'o' | 's' | 'S' | 'f' | 'e' | 'E' | 'b' | 'B' | 'c' | 'C' => {
                if flags.contains(['#', '(']) {
                    return Err(format!(
                        "format_string does not know the flags # and ( of '{format}'; leave them out, and write what they add"
                    ));
                }
                parts.push(Part::Literal(std::mem::take(&mut literal)));
                let argument = match argument {
                    Some(n) => n.checked_sub(1).ok_or_else(|| "arguments are counted from 1: %1$s".to_owned())?,
                    None => {
                        next += 1;
                        next - 1
                    }
                };
                parts.push(Part::Value { argument, flags, width, places, conversion });
            }
            other => {
                return Err(format!("format_string does not know %{other}; it knows %d %x %o %s %f %e %b %c %n %%"));
            }
        }
    }
    literal.push_str(rest);
    parts.push(Part::Literal(literal));
    Ok(parts)
}

pub(super) fn string_types(_: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    let Some(first) = types.first() else { return plan_error("format_string takes a format, and the values for it") };
    let mut out = vec![if Text.data_type(first).is_some() { DataType::Utf8 } else { first.clone() }];
    for (at, of) in types.iter().enumerate().skip(1) {
        out.push(match of {
            DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Boolean
            | DataType::Float32
            | DataType::Float64
            | DataType::Null => of.clone(),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Decimal128(..) => DataType::Utf8,
            _ => {
                let name = types::name(of);
                return plan_error(format!(
                    "argument {} of format_string is {name}; CAST it AS STRING, and write %s",
                    at + 1
                ));
            }
        });
    }
    Ok(out)
}

pub(super) fn check_string(constants: &[Option<&ScalarValue>]) -> Result<()> {
    let Some(format) = constant_text(constants, 0) else { return Ok(()) };
    let parts = parse(format).or_else(plan_error)?;
    for part in &parts {
        if let Part::Value { argument, .. } = part
            && argument + 1 >= constants.len()
        {
            return plan_error(format!(
                "'{format}' asks for {} values, there are {}",
                argument + 1,
                constants.len() - 1
            ));
        }
    }
    Ok(())
}

pub(super) fn format_string(call: &Call) -> Result<ArrayRef> {
    let formats = call.text(0)?;
    let mut known: Option<(String, Vec<Part>)> = None;
    call.texts(|row| {
        let Some(format) = formats.get(row) else { return Ok(None) };
        if known.as_ref().is_none_or(|(of, _)| of != format) {
            known = Some((format.to_owned(), parse(format).or_else(row_error)?));
        }
        let mut out = String::new();
        for part in known.iter().flat_map(|(_, parts)| parts) {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Value { argument, flags, width, places, conversion } => {
                    if argument + 1 >= call.len() {
                        return row_error(format!(
                            "'{format}' asks for {} values, there are {}",
                            argument + 1,
                            call.len() - 1
                        ));
                    }
                    let value = Value::of(call.array(argument + 1)?, call.place(argument + 1, row));
                    out.push_str(&value.write(flags, *width, *places, *conversion).or_else(row_error)?);
                }
            }
        }
        Ok(Some(out))
    })
}

enum Value {
    Null,
    Bool(bool),
    /// A whole number and its bits.
    Whole(i64, u32),
    /// A FLOAT: as text it has the digits of one, as a number it is a DOUBLE.
    Float(f32),
    Double(f64),
    Text(String),
}

impl Value {
    fn of(array: &ArrayRef, at: usize) -> Self {
        let whole = |bits| {
            kernel::run(&array.slice(at, 1), &DataType::Int64, false)
                .map_or(Self::Null, |v| Self::Whole(v.as_primitive::<Int64Type>().value(0), bits))
        };
        match array.data_type() {
            DataType::Null => Self::Null,
            _ if array.is_null(at) => Self::Null,
            DataType::Boolean => Self::Bool(array.as_boolean().value(at)),
            DataType::Int8 => whole(8),
            DataType::Int16 => whole(16),
            DataType::Int32 => whole(32),
            DataType::Int64 => whole(64),
            DataType::Float32 => Self::Float(array.as_primitive::<Float32Type>().value(at)),
            DataType::Float64 => Self::Double(array.as_primitive::<Float64Type>().value(at)),
            _ => array.as_string_opt::<i32>().map_or(Self::Null, |text| Self::Text(text.value(at).to_owned())),
        }
    }

    fn write(
        &self,
        flags: &str,
        width: usize,
        places: Option<usize>,
        conversion: char,
    ) -> std::result::Result<String, String> {
        let left = flags.contains('-');
        let mut zeros = flags.contains('0');
        let body = match (self, conversion.to_ascii_lowercase()) {
            (Self::Null, 'b') => cut("false", places),
            (Self::Null, 'd' | 'x' | 'o' | 'c') => {
                zeros = false;
                "null".to_owned()
            }
            (Self::Null, _) => {
                zeros = false;
                cut("null", places)
            }
            (Self::Bool(v), 'b' | 's') => cut(&v.to_string(), places),
            (_, 'b') => cut("true", places),
            (Self::Whole(v, _), 's') => cut(&v.to_string(), places),
            (Self::Float(v), 's') => {
                let mut text = String::new();
                show::float(*v, &mut text);
                cut(&text, places)
            }
            (Self::Float(v), 'f' | 'e') => {
                return Self::Double(f64::from(*v)).write(flags, width, places, conversion);
            }
            (Self::Double(v), 's') => cut(&double(*v), places),
            (Self::Text(v), 's') => cut(v, places),
            (Self::Whole(v, _), 'd') => return Ok(signed(&v.to_string(), flags, width)),
            (Self::Whole(v, bits), 'x') => format!("{:x}", masked(*v, *bits)),
            (Self::Whole(v, bits), 'o') => format!("{:o}", masked(*v, *bits)),
            (Self::Whole(v, _), 'c') => u32::try_from(*v)
                .ok()
                .and_then(char::from_u32)
                .map(String::from)
                .ok_or_else(|| format!("{v} is not the code of a character"))?,
            (Self::Double(v), 'f' | 'e') if !v.is_finite() => {
                zeros = false;
                double(*v)
            }
            (Self::Double(v), 'f') => {
                return Ok(signed(&rounded(&format!("{v}"), places.unwrap_or(6), true), flags, width));
            }
            (Self::Double(v), 'e') => {
                let text = scientific(*v, places.unwrap_or(6));
                let text = signed(&text, flags, width);
                return Ok(if conversion == 'E' { text.to_uppercase() } else { text });
            }
            (value, _) => return Err(format!("%{conversion} does not write {}", value.words())),
        };
        let body = if conversion.is_ascii_uppercase() { body.to_uppercase() } else { body };
        let missing = width.saturating_sub(body.chars().map(char::len_utf16).sum());
        Ok(match (left, zeros) {
            (true, _) => body + &" ".repeat(missing),
            (false, true) => "0".repeat(missing) + &body,
            (false, false) => " ".repeat(missing) + &body,
        })
    }

    const fn words(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Bool(_) => "a condition",
            Self::Whole(..) => "a whole number",
            Self::Float(_) => "a FLOAT",
            Self::Double(_) => "a DOUBLE",
            Self::Text(_) => "text; a DECIMAL is text here, CAST it AS DOUBLE",
        }
    }
}

fn double(v: f64) -> String {
    let mut out = String::new();
    show::double(v, &mut out);
    out
}

/// The first `places` units of UTF-16, which are what Java counts: half a character is written as `?`.
fn cut(text: &str, places: Option<usize>) -> String {
    let Some(mut left) = places else { return text.to_owned() };
    let mut out = String::new();
    for c in text.chars() {
        match left.checked_sub(c.len_utf16()) {
            Some(rest) => {
                left = rest;
                out.push(c);
            }
            None => {
                out.extend((left > 0).then_some('?'));
                break;
            }
        }
    }
    out
}

const fn masked(v: i64, bits: u32) -> u64 {
    if bits >= 64 { v as u64 } else { v as u64 & ((1 << bits) - 1) }
}

/// `1.5` as `1.500000e+00`, halves up.
fn scientific(v: f64, places: usize) -> String {
    let text = format!("{v:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let mut exponent: i32 = exponent.parse().unwrap_or(0);
    let mut digits = rounded(digits, places, true);
    let bare = digits.trim_start_matches('-');
    if bare.starts_with("10") {
        exponent += 1;
        let sign = if digits.starts_with('-') { "-" } else { "" };
        digits = format!("{sign}{}", padded("1", places));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

/// A number with the sign, groups and zeros that `flags` ask for.
fn signed(number: &str, flags: &str, width: usize) -> String {
    let (negative, digits) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
    let digits = if flags.contains(',') {
        let end = digits.find(['.', 'e']).unwrap_or(digits.len());
        grouped(&digits[..end]) + &digits[end..]
    } else {
        digits.to_owned()
    };
    let sign = match (negative, flags.contains('+'), flags.contains(' ')) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        _ => "",
    };
    let missing = width.saturating_sub(sign.len() + digits.len());
    match (flags.contains('-'), flags.contains('0')) {
        (true, _) => format!("{sign}{digits}{}", " ".repeat(missing)),
        (false, true) => format!("{sign}{}{digits}", "0".repeat(missing)),
        (false, false) => format!("{}{sign}{digits}", " ".repeat(missing)),
    }
}
