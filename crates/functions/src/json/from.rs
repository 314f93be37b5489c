//! `from_json`: JSON text to typed values.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryBuilder, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int64Array,
    NullArray, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::concat;
use arrow::datatypes::{DataType, Fields};
use base64::Engine;
use datafusion::common::{DataFusionError, Result};

use super::parse::{Json, Lenient, parse};
use super::times;
use super::write::plain;
use crate::casts::number;
use crate::nested::lists::{field_of, list};
use crate::nested::maps::made;
use crate::nested::types::as_type;

/// Names up to which each is compared: quicker than to hash so few.
const FEW: usize = 16;

/// A value of the schema's type.
#[derive(Debug, Clone)]
enum Cell {
    Null,
    Bool(bool),
    /// Whole numbers, days and microseconds.
    Whole(i64),
    Float(f64),
    Decimal(i128),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Cell>),
    Struct(Vec<Cell>),
    Map(Vec<(String, Cell)>),
}

/// The value is of another type.
struct Mismatch;

/// Whether a part of the row could not be read.
#[derive(Default)]
struct Notes {
    partial: bool,
}

/// After so many bytes of texts their values become an array: as cells they take many times as much.
const PIECE: usize = 1 << 20;

/// What stands where there is nothing.
static NULL: Cell = Cell::Null;

/// The values of `texts` as `data_type`. What does not fit it is NULL, or an error if `strict`.
pub(super) fn from_json(texts: &StringArray, data_type: &DataType, strict: bool) -> Result<ArrayRef> {
    let array = |cells: &[Cell]| column(&cells.iter().collect::<Vec<_>>(), data_type);
    let (mut pieces, mut cells, mut bytes) = (Vec::new(), Vec::new(), 0);
    for text in texts {
        cells.push(text.map_or(Ok(Cell::Null), |text| row(text, data_type, strict))?);
        bytes += text.map_or(0, str::len);
        if bytes >= PIECE {
            pieces.push(array(&std::mem::take(&mut cells))?);
            bytes = 0;
        }
    }
    if !cells.is_empty() || pieces.is_empty() {
        pieces.push(array(&cells)?);
    }
    if let [one] = pieces.as_slice() {
        return Ok(Arc::clone(one));
    }
    let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
    Ok(concat(&pieces)?)
}

fn row(text: &str, data_type: &DataType, strict: bool) -> Result<Cell> {
    let lenient = Lenient { control: false, not_finite: true };
    let mut notes = Notes::default();
    let read = match parse(text, lenient)? {
        Ok(None) => return Ok(Cell::Null),
        Ok(Some(value)) => root(&value, data_type, &mut notes).ok(),
        Err(_) => None,
    };
    if strict && (read.is_none() || notes.partial) {
        let shown: String = text.chars().take(60).collect();
        return Err(DataFusionError::Execution(format!("from_json cannot read `{shown}` by its schema")));
    }
    let whole = read.is_some() && !notes.partial;
    let mut read = read.unwrap_or_else(|| match data_type {
        DataType::Struct(fields) => Cell::Struct(vec![Cell::Null; fields.len()]),
        _ => Cell::Null,
    });
    if let (Cell::Struct(cells), DataType::Struct(fields)) = (&mut read, data_type)
        && let Some(at) = corrupt_record(fields)
    {
        cells[at] = if whole { Cell::Null } else { Cell::Text(text.to_owned()) };
    }
    Ok(read)
}

/// The place of the field that holds the text of a row that cannot be read.
pub(super) fn corrupt_record(fields: &Fields) -> Option<usize> {
    fields.iter().position(|field| field.name() == "_corrupt_record")
}

fn root(value: &Json<'_>, data_type: &DataType, notes: &mut Notes) -> std::result::Result<Cell, Mismatch> {
    match (value, data_type) {
        (Json::Object(_), DataType::List(item)) if matches!(item.data_type(), DataType::Struct(_)) => {
            Ok(Cell::List(vec![cell(value, item.data_type(), notes)?]))
        }
        (Json::Null, DataType::Struct(_)) => Err(Mismatch),
        _ => cell(value, data_type, notes),
    }
}

fn cell(value: &Json<'_>, data_type: &DataType, notes: &mut Notes) -> std::result::Result<Cell, Mismatch> {
    Ok(match (value, data_type) {
        (Json::Null, _) => Cell::Null,
        (value, DataType::Utf8) => Cell::Text(plain(value)),
        (Json::Bool(value), DataType::Boolean) => Cell::Bool(*value),
        (Json::Number(text), DataType::Int8) => Cell::Whole(text.parse::<i8>().map_err(|_| Mismatch)?.into()),
        (Json::Number(text), DataType::Int16) => Cell::Whole(text.parse::<i16>().map_err(|_| Mismatch)?.into()),
        (Json::Number(text), DataType::Int32) => Cell::Whole(text.parse::<i32>().map_err(|_| Mismatch)?.into()),
        (Json::Number(text), DataType::Int64) => Cell::Whole(text.parse().map_err(|_| Mismatch)?),
        // It is the whole number 0 first, which has no sign.
        (Json::Number("-0"), DataType::Float32 | DataType::Float64) => Cell::Float(0.0),
        (Json::Number(text), DataType::Float32) => Cell::Float(text.parse::<f32>().map_err(|_| Mismatch)?.into()),
        (Json::Number(text), DataType::Float64) => Cell::Float(text.parse().map_err(|_| Mismatch)?),
        (Json::NotFinite(value), DataType::Float32 | DataType::Float64) => Cell::Float(*value),
        (Json::Text(text), DataType::Float32 | DataType::Float64) => Cell::Float(match text.as_ref() {
            "NaN" => f64::NAN,
            "+INF" | "INF" | "+Infinity" | "Infinity" => f64::INFINITY,
            "-INF" | "-Infinity" => f64::NEG_INFINITY,
            _ => return Err(Mismatch),
        }),
        (Json::Number(text), DataType::Decimal128(p, s)) => Cell::Decimal(decimal(text, *p, *s).ok_or(Mismatch)?),
        (Json::Text(text), DataType::Decimal128(p, s)) => Cell::Decimal(decimal(text, *p, *s).ok_or(Mismatch)?),
        (Json::Text(text), DataType::Date32) => Cell::Whole(times::date(text).ok_or(Mismatch)?.into()),
        (Json::Text(text), DataType::Timestamp(_, zone)) => {
            Cell::Whole(times::timestamp(text, zone.is_some()).ok_or(Mismatch)?)
        }
        (Json::Number(text), DataType::Timestamp(_, Some(_))) => {
            let seconds: i64 = text.parse().map_err(|_| Mismatch)?;
            Cell::Whole(seconds.checked_mul(1_000_000).ok_or(Mismatch)?)
        }
        (Json::Text(text), DataType::Binary) => {
            Cell::Bytes(base64::engine::general_purpose::STANDARD.decode(text.as_ref()).map_err(|_| Mismatch)?)
        }
        (Json::Array(items), DataType::List(item)) => {
            let cells = items.iter().map(|i| cell(i, item.data_type(), notes));
            Cell::List(cells.collect::<std::result::Result<_, _>>()?)
        }
        (Json::Object(entries), DataType::Map(field, _)) => {
            let DataType::Struct(pair) = field.data_type() else { return Err(Mismatch) };
            let mut cells: Vec<(String, Cell)> = Vec::with_capacity(entries.len());
            let mut places: HashMap<&str, usize> = HashMap::new();
            for (name, value) in entries {
                let value = cell(value, pair[1].data_type(), notes)?;
                let known = if entries.len() <= FEW {
                    cells.iter().position(|(known, _)| known == name)
                } else {
                    match places.entry(name) {
                        Entry::Occupied(at) => Some(*at.get()),
                        Entry::Vacant(new) => {
                            new.insert(cells.len());
                            None
                        }
                    }
                };
                match known {
                    Some(at) => cells[at].1 = value,
                    None => cells.push((name.clone().into_owned(), value)),
                }
            }
            Cell::Map(cells)
        }
        (Json::Object(entries), DataType::Struct(fields)) => {
            let mut cells = vec![Cell::Null; fields.len()];
            let many = entries.len() > FEW && fields.len() > FEW;
            let names = fields.iter().enumerate().rev().filter(|_| many).map(|(at, f)| (f.name().as_str(), at));
            let places: HashMap<&str, usize> = names.collect();
            for (name, value) in entries {
                let place =
                    if many { places.get(&**name).copied() } else { fields.iter().position(|f| f.name() == name) };
                let Some(at) = place else { continue };
                // A field that does not fit is NULL, and the others are read.
                cells[at] = cell(value, fields[at].data_type(), notes).unwrap_or_else(|Mismatch| {
                    notes.partial = true;
                    Cell::Null
                });
            }
            Cell::Struct(cells)
        }
        _ => return Err(Mismatch),
    })
}

/// A number as Spark reads it here: commas between its digits do not count, and white space makes it none.
fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    if number::trimmed(text).len() < text.len() {
        return None;
    }
    number::decimal(&text.replace(',', ""), precision, scale)
}

fn whole<'a>(cells: &'a [&'a Cell]) -> impl Iterator<Item = Option<i64>> + 'a {
    cells.iter().map(|c| match c {
        Cell::Whole(value) => Some(*value),
        _ => None,
    })
}

fn float<'a>(cells: &'a [&'a Cell]) -> impl Iterator<Item = Option<f64>> + 'a {
    cells.iter().map(|c| match c {
        Cell::Float(value) => Some(*value),
        _ => None,
    })
}

/// The array of `cells`.
fn column(cells: &[&Cell], data_type: &DataType) -> Result<ArrayRef> {
    Ok(match data_type {
        DataType::Null => Arc::new(NullArray::new(cells.len())),
        DataType::Boolean => {
            let value = |c: &&Cell| if let Cell::Bool(value) = c { Some(*value) } else { None };
            Arc::new(cells.iter().map(value).collect::<BooleanArray>())
        }
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            let all: ArrayRef = Arc::new(whole(cells).collect::<Int64Array>());
            as_type(&all, data_type)?
        }
        #[expect(clippy::cast_possible_truncation, reason = "it came from a float")]
        DataType::Float32 => Arc::new(float(cells).map(|v| v.map(|v| v as f32)).collect::<Float32Array>()),
        DataType::Float64 => Arc::new(float(cells).collect::<Float64Array>()),
        DataType::Decimal128(p, s) => {
            let value = |c: &&Cell| if let Cell::Decimal(value) = c { Some(*value) } else { None };
            let all = cells.iter().map(value).collect::<Decimal128Array>();
            Arc::new(all.with_precision_and_scale(*p, *s)?)
        }
        DataType::Date32 => {
            Arc::new(whole(cells).map(|d| d.and_then(|d| i32::try_from(d).ok())).collect::<Date32Array>())
        }
        DataType::Timestamp(_, zone) => {
            Arc::new(whole(cells).collect::<TimestampMicrosecondArray>().with_timezone_opt(zone.clone()))
        }
        DataType::Utf8 => {
            let texts = cells.iter().map(|c| if let Cell::Text(value) = c { Some(value.as_str()) } else { None });
            Arc::new(texts.collect::<StringArray>())
        }
        DataType::Binary => {
            let mut out = BinaryBuilder::new();
            cells.iter().for_each(|c| out.append_option(if let Cell::Bytes(value) = c { Some(value) } else { None }));
            Arc::new(out.finish())
        }
        DataType::List(_) => lists(cells, data_type)?,
        DataType::Map(..) => maps(cells, data_type)?,
        DataType::Struct(fields) => {
            let field = |at: usize| -> Vec<&Cell> {
                cells.iter().map(|&c| if let Cell::Struct(values) = c { &values[at] } else { &NULL }).collect()
            };
            let columns = fields.iter().enumerate().map(|(at, f)| column(&field(at), f.data_type()));
            let columns = columns.collect::<Result<Vec<_>>>()?;
            let valid = NullBuffer::from_iter(cells.iter().map(|c| matches!(c, Cell::Struct(_))));
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns, Some(valid), cells.len())?)
        }
        other => return Err(DataFusionError::Internal(format!("from_json of {other}"))),
    })
}

fn lists(cells: &[&Cell], data_type: &DataType) -> Result<ArrayRef> {
    let field = field_of(data_type)?;
    let all: Vec<&[Cell]> =
        cells.iter().map(|&c| if let Cell::List(items) = c { items.as_slice() } else { &[][..] }).collect();
    let values: Vec<&Cell> = all.iter().copied().flatten().collect();
    let values = column(&values, field.data_type())?;
    let valid = cells.iter().map(|c| matches!(c, Cell::List(_))).collect();
    list(&field, &values, all.iter().map(|items| items.len()), valid)
}

fn maps(cells: &[&Cell], data_type: &DataType) -> Result<ArrayRef> {
    let all: Vec<&[(String, Cell)]> =
        cells.iter().map(|&c| if let Cell::Map(pairs) = c { pairs.as_slice() } else { &[][..] }).collect();
    let lengths: Vec<usize> = all.iter().map(|entries| entries.len()).collect();
    let entries = || all.iter().copied().flatten();
    let (_, value_type) = crate::nested::types::entry_of(data_type).unwrap_or((&DataType::Null, &DataType::Null));
    let values = column(&entries().map(|(_, value)| value).collect::<Vec<_>>(), value_type)?;
    let valid = cells.iter().map(|c| matches!(c, Cell::Map(_))).collect();
    let keys: ArrayRef = Arc::new(entries().map(|(key, _)| Some(key)).collect::<StringArray>());
    made(data_type, &keys, &values, &lengths, valid)
}
