//! The schemas that `from_json` takes and `schema_of_json` returns, in the words of [`crate::schema`].

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use arrow::datatypes::{DataType, Field};

use crate::nested::types::list_of;
use crate::schema::{self, Column, How, Kind, Mistake};

/// The type that `text` says; a list of columns is a struct.
///
/// # Errors
/// Where the text cannot be read, and why.
pub(super) fn parse(text: &str) -> Result<DataType, String> {
    match schema::data_type(schema::pieces(text), How::Text) {
        Ok(data_type) => return Ok(data_type),
        Err(mistake) if mistake.kind == Kind::Depth => return Err(mistake.message),
        Err(_) => {}
    }
    let columns = schema::columns(schema::pieces(text), How::Text).map_err(|mistake| said(mistake, text))?;
    Ok(DataType::Struct(columns.iter().map(Column::field).collect()))
}

/// A mistake in the words of a text that has no line to show.
fn said(mistake: Mistake, text: &str) -> String {
    match mistake.kind {
        Kind::Unexpected => {
            let rest = text.get(mistake.place.start..).unwrap_or_default();
            format!("`{}` was not expected", rest.chars().take(20).collect::<String>())
        }
        Kind::End => "the schema ends too early".to_owned(),
        _ => mistake.message,
    }
}

/// The schema of a JSON text, as `schema_of_json` writes it; None if it is no JSON.
pub(super) fn schema_of(text: &str) -> Option<String> {
    let lenient = super::parse::Lenient { control: false, not_finite: true };
    let value = super::parse::parse(text, lenient).ok()?.ok()??;
    Some(schema::written(&infer(&value), How::Text))
}

fn infer(value: &super::parse::Json<'_>) -> DataType {
    use super::parse::Json;
    match value {
        Json::Null => DataType::Null,
        Json::Bool(_) => DataType::Boolean,
        Json::NotFinite(_) => DataType::Float64,
        Json::Number(text) if text.bytes().any(|b| matches!(b, b'.' | b'e' | b'E')) => DataType::Float64,
        Json::Number(text) if text.parse::<i64>().is_ok() => DataType::Int64,
        Json::Number(text) => {
            let digits = text.trim_start_matches('-').len();
            if digits <= 38 { DataType::Decimal128(u8::try_from(digits).unwrap_or(38), 0) } else { DataType::Float64 }
        }
        Json::Text(_) => DataType::Utf8,
        Json::Array(items) => list_of(&items.iter().map(infer).fold(DataType::Null, |a, b| both(&a, &b))),
        Json::Object(fields) => {
            let mut all: Vec<Field> =
                fields.iter().map(|(name, value)| Field::new(name.as_ref(), infer(value), true)).collect();
            all.sort_by(|a, b| a.name().cmp(b.name()));
            DataType::Struct(all.into())
        }
    }
}

fn both(a: &DataType, b: &DataType) -> DataType {
    match (a, b) {
        _ if a == b => a.clone(),
        (DataType::Null, other) | (other, DataType::Null) => other.clone(),
        (DataType::Int64, DataType::Float64) | (DataType::Float64, DataType::Int64) => DataType::Float64,
        (DataType::List(a), DataType::List(b)) => list_of(&both(a.data_type(), b.data_type())),
        (DataType::Struct(a), DataType::Struct(b)) => {
            let mut all: Vec<Field> = a.iter().map(|f| f.as_ref().clone()).collect();
            let mut places: HashMap<&str, usize> =
                a.iter().enumerate().rev().map(|(at, f)| (f.name().as_str(), at)).collect();
            for field in b {
                match places.entry(field.name()) {
                    Entry::Occupied(at) => {
                        let known = &mut all[*at.get()];
                        *known = Field::new(known.name(), both(known.data_type(), field.data_type()), true);
                    }
                    Entry::Vacant(new) => {
                        new.insert(all.len());
                        all.push(field.as_ref().clone());
                    }
                }
            }
            all.sort_by(|a, b| a.name().cmp(b.name()));
            DataType::Struct(all.into())
        }
        _ => DataType::Utf8,
    }
}
