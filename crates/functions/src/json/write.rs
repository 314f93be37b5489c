//! JSON text as Jackson writes it for Spark, and DECIMALs as Java writes them.

use std::fmt::Write;

use super::parse::Json;
use crate::casts::show;

/// Writes `value` without white space.
pub(super) fn json(out: &mut String, value: &Json<'_>) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Json::Number(text) => number(out, text),
        Json::NotFinite(value) => {
            out.push('"');
            show::double(*value, out);
            out.push('"');
        }
        Json::Text(text) => quoted(out, text),
        Json::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                json(out, item);
            }
            out.push(']');
        }
        Json::Object(fields) => {
            out.push('{');
            for (at, (name, value)) in fields.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                quoted(out, name);
                out.push(':');
                json(out, value);
            }
            out.push('}');
        }
    }
}

/// A value as text: a text is itself, everything else is JSON.
pub(super) fn plain(value: &Json<'_>) -> String {
    match value {
        Json::Text(text) => text.clone().into_owned(),
        other => {
            let mut out = String::new();
            json(&mut out, other);
            out
        }
    }
}

/// A whole number as it is, another as a DOUBLE.
fn number(out: &mut String, text: &str) {
    if text.bytes().any(|b| matches!(b, b'.' | b'e' | b'E')) {
        show::double(text.parse().unwrap_or(f64::NAN), out);
    } else if text == "-0" {
        out.push('0');
    } else {
        out.push_str(text);
    }
}

pub(super) fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                // Writing to a text does not fail.
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// `digits` over ten to the `scale` as Java's `BigDecimal.toString` writes it.
pub(super) fn decimal(value: i128, scale: i8) -> String {
    let digits = value.unsigned_abs().to_string();
    let sign = if value < 0 { "-" } else { "" };
    let scale = i32::from(scale);
    let length = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let exponent = length - 1 - scale;
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    if scale > 0 && exponent >= -6 {
        let padded = format!("{digits:0>width$}", width = usize::try_from(scale + 1).unwrap_or_default());
        let (whole, rest) = padded.split_at(padded.len() - usize::try_from(scale).unwrap_or_default());
        return format!("{sign}{whole}.{rest}");
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{first}{point}{rest}E{exponent:+}")
}
