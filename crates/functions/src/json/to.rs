//! `to_json`: values to JSON text.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int64Type, TimestampMicrosecondType,
};
use arrow::util::display::array_value_to_string;
use base64::Engine;
use datafusion::common::Result;

use super::times::write_timestamp;
use super::write::{decimal, quoted};
use crate::casts::show;
use crate::nested::types::{as_type, plain};

/// Values that are written one by one, with what is the same for all of them found once.
pub(super) enum Writer {
    Null,
    Bool(ArrayRef),
    Whole(ArrayRef),
    Float(ArrayRef),
    Double(ArrayRef),
    Decimal(ArrayRef, i8),
    Text(ArrayRef),
    Binary(ArrayRef),
    Date(ArrayRef),
    Timestamp(ArrayRef, bool),
    List(ArrayRef, Box<Writer>),
    Map(ArrayRef, Box<Writer>, Box<Writer>),
    Struct(ArrayRef, Vec<(String, Writer)>),
    Other(ArrayRef),
}

impl Writer {
    pub(super) fn of(array: &ArrayRef) -> Result<Self> {
        let array = as_type(array, &plain(array.data_type()))?;
        Ok(match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Bool(array),
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                Self::Whole(as_type(&array, &DataType::Int64)?)
            }
            DataType::Float32 => Self::Float(array),
            DataType::Float64 => Self::Double(array),
            DataType::Decimal128(_, scale) => Self::Decimal(ArrayRef::clone(&array), *scale),
            DataType::Utf8 => Self::Text(array),
            DataType::Binary => Self::Binary(array),
            DataType::Date32 => Self::Date(array),
            DataType::Timestamp(_, zone) => {
                let (zoned, micros) = (zone.is_some(), arrow::datatypes::TimeUnit::Microsecond);
                let micros = as_type(&array, &DataType::Timestamp(micros, zone.clone()))?;
                Self::Timestamp(micros, zoned)
            }
            DataType::List(_) => {
                let values = Self::of(array.as_list::<i32>().values())?;
                Self::List(array, Box::new(values))
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let (keys, values) = (Self::of(map.keys())?, Self::of(map.values())?);
                Self::Map(array, Box::new(keys), Box::new(values))
            }
            DataType::Struct(fields) => {
                let columns = fields.iter().zip(array.as_struct().columns());
                let columns = columns.map(|(f, c)| Ok((f.name().clone(), Self::of(c)?))).collect::<Result<_>>()?;
                Self::Struct(ArrayRef::clone(&array), columns)
            }
            _ => Self::Other(array),
        })
    }

    pub(super) fn is_null(&self, at: usize) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(a)
            | Self::Whole(a)
            | Self::Float(a)
            | Self::Double(a)
            | Self::Decimal(a, _)
            | Self::Text(a)
            | Self::Binary(a)
            | Self::Date(a)
            | Self::Timestamp(a, _)
            | Self::List(a, _)
            | Self::Map(a, _, _)
            | Self::Struct(a, _)
            | Self::Other(a) => a.is_null(at),
        }
    }

    /// Writes value `at`; fields of structs that are NULL are left out unless `nulls`.
    pub(super) fn write(&self, out: &mut String, at: usize, nulls: bool) -> Result<()> {
        if self.is_null(at) {
            out.push_str("null");
            return Ok(());
        }
        match self {
            Self::Null => {}
            Self::Bool(_) | Self::Whole(_) | Self::Decimal(..) => out.push_str(&self.key(at)?),
            Self::Float(a) => {
                let value = a.as_primitive::<Float32Type>().value(at);
                within(out, value.is_finite(), |out| show::float(value, out));
            }
            Self::Double(a) => {
                let value = a.as_primitive::<Float64Type>().value(at);
                within(out, value.is_finite(), |out| show::double(value, out));
            }
            Self::Text(a) => quoted(out, a.as_string::<i32>().value(at)),
            Self::Binary(a) => {
                let bytes = a.as_binary::<i32>().value(at);
                quoted(out, &base64::engine::general_purpose::STANDARD.encode(bytes));
            }
            Self::Date(a) => within(out, false, |out| show::date(a.as_primitive::<Date32Type>().value(at), out)),
            Self::Timestamp(a, zoned) => {
                let micros = a.as_primitive::<TimestampMicrosecondType>().value(at);
                within(out, false, |out| write_timestamp(micros, *zoned, out));
            }
            Self::Other(a) => quoted(out, &array_value_to_string(a, at)?),
            Self::List(a, values) => {
                out.push('[');
                for (n, e) in range(a.as_list::<i32>().value_offsets(), at).enumerate() {
                    comma(out, n);
                    values.write(out, e, nulls)?;
                }
                out.push(']');
            }
            Self::Map(a, keys, values) => {
                out.push('{');
                for (n, e) in range(a.as_map().value_offsets(), at).enumerate() {
                    comma(out, n);
                    quoted(out, &keys.key(e)?);
                    out.push(':');
                    values.write(out, e, nulls)?;
                }
                out.push('}');
            }
            Self::Struct(_, columns) => {
                out.push('{');
                let shown = columns.iter().filter(|(_, values)| nulls || !values.is_null(at));
                for (n, (name, values)) in shown.enumerate() {
                    comma(out, n);
                    quoted(out, name);
                    out.push(':');
                    values.write(out, at, nulls)?;
                }
                out.push('}');
            }
        }
        Ok(())
    }

    /// The value within a key.
    fn part(&self, at: usize) -> Result<String> {
        if self.is_null(at) { Ok("null".to_owned()) } else { self.key(at) }
    }

    /// The value as the key of an object.
    fn key(&self, at: usize) -> Result<String> {
        Ok(match self {
            Self::Bool(a) => a.as_boolean().value(at).to_string(),
            Self::Whole(a) => a.as_primitive::<Int64Type>().value(at).to_string(),
            Self::Float(a) => written(|out| show::float(a.as_primitive::<Float32Type>().value(at), out)),
            Self::Double(a) => written(|out| show::double(a.as_primitive::<Float64Type>().value(at), out)),
            Self::Decimal(a, scale) => decimal(a.as_primitive::<Decimal128Type>().value(at), *scale),
            Self::Text(a) => a.as_string::<i32>().value(at).to_owned(),
            // As Spark, which shows what it holds inside.
            Self::Date(a) => a.as_primitive::<Date32Type>().value(at).to_string(),
            Self::Timestamp(a, _) => a.as_primitive::<TimestampMicrosecondType>().value(at).to_string(),
            Self::Struct(_, columns) => bracketed(columns.iter().map(|(_, values)| values.part(at)))?,
            Self::List(a, values) => {
                bracketed(range(a.as_list::<i32>().value_offsets(), at).map(|at| values.part(at)))?
            }
            other => {
                let mut out = String::new();
                other.write(&mut out, at, false)?;
                out
            }
        })
    }
}

/// Writes a text that needs no escapes, between quotes unless it is `bare`.
fn within(out: &mut String, bare: bool, write: impl FnOnce(&mut String)) {
    let quote = if bare { "" } else { "\"" };
    out.push_str(quote);
    write(out);
    out.push_str(quote);
}

/// `[1,one]`, as Spark shows what it holds inside.
fn bracketed(parts: impl Iterator<Item = Result<String>>) -> Result<String> {
    Ok(format!("[{}]", parts.collect::<Result<Vec<_>>>()?.join(",")))
}

fn written(write: impl FnOnce(&mut String)) -> String {
    let mut out = String::new();
    write(&mut out);
    out
}

fn comma(out: &mut String, at: usize) {
    if at > 0 {
        out.push(',');
    }
}

fn range(offsets: &[i32], at: usize) -> std::ops::Range<usize> {
    let place = |of: i32| usize::try_from(of).unwrap_or_default();
    place(offsets[at])..place(offsets[at + 1])
}
