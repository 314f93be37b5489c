//! `format_number` and `format_string`.

mod string;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result;

use self::string::{check_string, format_string, string_types};
use crate::casts::kernel;
use crate::casts::show;
use crate::rows::{Call, Function, Gives, constant_text, function, plan_error};
use crate::types;
use crate::values::Kind::{Any, Number, Text};

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("format_number", &[Number, Any], Gives::Text, format_number).types(number_types).check(|constants| {
            constant_text(constants, 1).map_or(Ok(()), |pattern| NumberPattern::parse(pattern).map(|_| ()))
        }),
        function("format_string", &[Text, Any], Gives::Text, format_string)
            .alias("printf")
            .many()
            .types(string_types)
            .lenient()
            .check(check_string),
    ]
}

fn number_types(_: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    let [number, digits] = types else {
        return plan_error(format!("format_number takes 2 arguments, here it has {}", types.len()));
    };
    let Some(number) = Number.data_type(number) else {
        return plan_error(format!("argument 1 of format_number is to be a number, not {}", types::name(number)));
    };
    let digits = if matches!(digits, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
        DataType::Utf8
    } else {
        DataType::Int64
    };
    Ok(vec![number, digits])
}

/// How `DecimalFormat` is to write a number.
struct NumberPattern {
    grouped: bool,
    least_whole: usize,
    least_fraction: usize,
    most_fraction: usize,
}

impl NumberPattern {
    fn parse(pattern: &str) -> Result<Self> {
        let (whole, fraction) = pattern.split_once('.').unwrap_or((pattern, ""));
        let is_plain =
            whole.chars().all(|c| matches!(c, '#' | '0' | ',')) && fraction.chars().all(|c| matches!(c, '#' | '0'));
        let in_threes = whole.rsplit_once(',').is_none_or(|(_, last)| last.len() == 3);
        if !is_plain || !in_threes {
            return plan_error(format!(
                "format_number knows patterns of `#`, `0`, `,` before three digits, and `.`, not '{pattern}'; write one such as '#,##0.00', or a number of digits"
            ));
        }
        Ok(Self {
            grouped: whole.contains(','),
            least_whole: whole.matches('0').count(),
            least_fraction: fraction.matches('0').count(),
            most_fraction: fraction.len(),
        })
    }

    fn write(&self, number: &str) -> String {
        let (sign, number) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let whole = whole.trim_start_matches('0');
        let mut fraction = fraction.to_owned();
        while fraction.len() > self.least_fraction && fraction.ends_with('0') {
            fraction.pop();
        }
        let mut whole = format!("{whole:0>width$}", width = self.least_whole);
        if whole.is_empty() && fraction.is_empty() {
            whole.push('0');
        }
        let whole = if self.grouped { grouped(&whole) } else { whole };
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{sign}{whole}{point}{fraction}")
    }
}

/// `1234567` as `1,234,567`.
fn grouped(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, c) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

fn format_number(call: &Call) -> Result<ArrayRef> {
    let numbers = call.array(0)?;
    let places = if call.array(1)?.data_type() == &DataType::Utf8 { None } else { Some(call.long(1)?) };
    let mut known: Option<(String, NumberPattern)> = None;
    call.texts(|row| {
        let at = call.place(0, row);
        if let Some(places) = &places {
            let places = places.at(row);
            if !(0..=400).contains(&places) {
                return Ok(None);
            }
            let n = places as usize;
            let pattern = NumberPattern { grouped: true, least_whole: 1, least_fraction: n, most_fraction: n };
            return written(numbers, at, &pattern).map(Some);
        }
        let text = call.text(1)?;
        let text = text.at(row);
        if known.as_ref().is_none_or(|(of, _)| of != text) {
            known = Some((text.to_owned(), NumberPattern::parse(text)?));
        }
        known.as_ref().map(|(_, pattern)| written(numbers, at, pattern)).transpose()
    })
}

fn written(numbers: &ArrayRef, at: usize, pattern: &NumberPattern) -> Result<String> {
    let places = pattern.most_fraction;
    if numbers.data_type().is_floating() {
        let value =
            kernel::run(&numbers.slice(at, 1), &DataType::Float64, false)?.as_primitive::<Float64Type>().value(0);
        if value.is_nan() {
            return Ok("NaN".to_owned());
        }
        if value.is_infinite() {
            return Ok(if value > 0.0 { "∞" } else { "-∞" }.to_owned());
        }
        return Ok(pattern.write(&half_even(value, places)));
    }
    let text = show::text(&numbers.slice(at, 1))?;
    Ok(pattern.write(&rounded(text.as_string::<i32>().value(0), places, false)))
}

/// `value` with at most `places` digits after the point: its shortest digits, or those rounded from its exact value.
fn half_even(value: f64, places: usize) -> String {
    let shortest = format!("{value}");
    let fraction = shortest.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    if fraction <= places { padded(&shortest, places) } else { format!("{value:.places$}") }
}

fn padded(number: &str, places: usize) -> String {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if places == 0 { whole.to_owned() } else { format!("{whole}.{fraction:0<places$}") }
}

/// A decimal number rounded to `places`; halves go up if `up`, else to the even digit.
fn rounded(number: &str, places: usize, up: bool) -> String {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() <= places {
        return padded(number, places);
    }
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |rest| ("-", rest));
    let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes().take(places)).collect();
    let rest = &fraction.as_bytes()[places..];
    let half = rest.first() == Some(&b'5') && rest[1..].iter().all(|d| *d == b'0');
    let odd = digits.last().is_some_and(|d| d % 2 == 1);
    let more = if half { up || odd } else { rest.first().is_some_and(|d| *d >= b'5') };
    if more {
        let mut at = digits.len();
        loop {
            if at == 0 {
                digits.insert(0, b'1');
                break;
            }
            at -= 1;
            if digits[at] == b'9' {
                digits[at] = b'0';
            } else {
                digits[at] += 1;
                break;
            }
        }
    }
    let digits = String::from_utf8_lossy(&digits).into_owned();
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let point = if places > 0 { "." } else { "" };
    format!("{sign}{whole}{point}{fraction}")
}
