//! Rows as events: value, key and headers.
//!
//! | what | form |
//! |---|---|
//! | value, JSON | an object with every column, NULL as `null`; a decimal is a number with all its digits, a timestamp ISO 8601 with all its fraction, binary is base64, NaN and infinities are `null` |
//! | value, Avro | Confluent's frame, then the record: logical types for decimals, dates and timestamps, a union with null where a column may be NULL |
//! | key of one column | its value as text; no key where it is NULL |
//! | key of several | a list of JSON |
//! | header | the value as text; without a value where it is NULL |

use std::sync::Arc;

use arrow::array::{Array, AsArray, BinaryArray, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, FieldRef, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::StructMode;
use arrow::json::writer::{Encoder as JsonEncoder, EncoderFactory, EncoderOptions, LineDelimited, NullableEncoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow_avro::schema::{AVRO_NAME_METADATA_KEY, AvroSchema, FingerprintStrategy, SCHEMA_METADATA_KEY};
use arrow_avro::writer::format::AvroSoeFormat;
use arrow_avro::writer::{EncodedRows, Encoder as AvroEncoder, WriterBuilder as AvroBuilder};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sluicebox_core::{Blame, Certainty};

use super::{EventFormat, KafkaSinkOptions};
use crate::error::{RemoteError, Result};

/// How the rows of a table become events.
#[derive(Debug, Clone)]
pub(super) struct Encoding {
    columns: SchemaRef,
    values: Values,
    /// Positions of the key's columns.
    keys: Vec<usize>,
    /// Headers with the positions of their columns.
    headers: Vec<(String, usize)>,
}

#[derive(Debug, Clone)]
enum Values {
    Json,
    /// The schema as it is registered.
    Avro(String),
}

impl Encoding {
    /// Of a table with these `columns`.
    ///
    /// # Errors
    /// When a column is missing, or has no form in the format.
    pub fn try_new(options: &KafkaSinkOptions, columns: &SchemaRef) -> Result<Self, RemoteError> {
        let refused = |why: String| refused(options, why);
        let position = |name: &String| {
            columns
                .index_of(name)
                .map_err(|_| refused(format!("there is no column `{name}`, which an event is to have")))
        };
        let keys = options.key_columns.iter().map(position).collect::<Result<_, _>>()?;
        let headers = options.header_columns.iter().map(|name| Ok((name.clone(), position(name)?)));
        let headers = headers.collect::<Result<_, RemoteError>>()?;
        let values = match &options.format {
            EventFormat::Json => Values::Json,
            EventFormat::Avro { .. } => Values::Avro(avro_schema(&options.table, columns).map_err(refused)?),
        };
        let encoding = Self { columns: Arc::clone(columns), values, keys, headers };
        // Tried with one row, since the writers say no earlier what they cannot write.
        let nullable: Fields =
            columns.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true))).collect();
        let nulls = nullable.iter().map(|field| new_null_array(field.data_type(), 1)).collect();
        let row = RecordBatch::try_new(Arc::new(Schema::new(nullable)), nulls).map_err(|e| refused(e.to_string()))?;
        encoding.json(&row, StructMode::ObjectOnly).map_err(|e| refused(e.to_string()))?;
        encoding.of_schema(Some(0)).map_err(|e| refused(e.to_string()))?;
        Ok(encoding)
    }

    /// The Avro schema that is to be registered, of a format that has one.
    pub fn schema(&self) -> Option<&str> {
        match &self.values {
            Values::Json => None,
            Values::Avro(schema) => Some(schema),
        }
    }

    /// What encodes rows; their schema, if the format has one, is registered under `id`.
    pub fn of_schema(&self, id: Option<i32>) -> Result<Encoder> {
        let avro = match (&self.values, id) {
            (Values::Json, _) => None,
            (Values::Avro(schema), id) => {
                let id = id.and_then(|id| u32::try_from(id).ok()).unwrap_or_default();
                let metadata = [(SCHEMA_METADATA_KEY.to_owned(), schema.clone())].into();
                let columns = Schema::new_with_metadata(self.columns.fields().clone(), metadata);
                let builder = AvroBuilder::new(columns).with_fingerprint_strategy(FingerprintStrategy::Id(id));
                Some(builder.build_encoder::<AvroSoeFormat>().map_err(ArrowError::from)?)
            }
        };
        Ok(Encoder { encoding: self.clone(), avro })
    }

    /// One line of JSON a row: its bytes, and where each ends.
    fn json(&self, rows: &RecordBatch, mode: StructMode) -> Result<(Vec<u8>, Vec<usize>), ArrowError> {
        let builder = arrow::json::writer::WriterBuilder::new();
        let builder = builder.with_explicit_nulls(true).with_struct_mode(mode).with_encoder_factory(Arc::new(Base64));
        let mut writer = builder.build::<_, LineDelimited>(Vec::new());
        writer.write(rows)?;
        writer.finish()?;
        let bytes = writer.into_inner();
        // In texts a line feed is escaped.
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
        Ok((bytes, ends))
    }
}

/// The Avro schema of a table with these `columns`: a record of the table's name.
///
/// # Errors
/// When the table or a column has a name that Avro does not take, or a type that it does not have.
pub fn avro_schema(table: &str, columns: &Schema) -> Result<String, String> {
    if !is_avro_name(table) {
        return Err(format!(
            "Avro takes letters, digits and _ in a name, so no record is called `{table}`: name the table otherwise"
        ));
    }
    if let Some(name) = columns.fields().iter().flat_map(odd_names).next() {
        return Err(format!(
            "Avro takes letters, digits and _ in a name, not `{name}`: select the column under another name"
        ));
    }
    let metadata = [(AVRO_NAME_METADATA_KEY.to_owned(), table.to_owned())].into();
    let named = Schema::new_with_metadata(columns.fields().clone(), metadata);
    AvroSchema::try_from(&named).map(|schema| schema.json_string).map_err(|e| e.to_string())
}

fn is_avro_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c == '_' || c.is_ascii_alphabetic())
        && chars.all(|c| c == '_' || c.is_ascii_alphanumeric())
}

/// The names in `field`, itself and what is nested in it, that Avro does not take.
fn odd_names(field: &FieldRef) -> Vec<String> {
    let mut odd: Vec<String> = (!is_avro_name(field.name())).then(|| field.name().clone()).into_iter().collect();
    match field.data_type() {
        DataType::Struct(fields) => odd.extend(fields.iter().flat_map(odd_names)),
        // The names of items, entries, keys and values are nowhere in Avro.
        DataType::List(item) | DataType::LargeList(item) => odd.extend(nested(item)),
        DataType::Map(entries, _) => {
            if let DataType::Struct(fields) = entries.data_type() {
                odd.extend(fields.iter().flat_map(nested));
            }
        }
        _ => {}
    }
    odd
}

/// Of a field whose own name does not count.
fn nested(field: &FieldRef) -> Vec<String> {
    odd_names(&Arc::new(field.as_ref().clone().with_name("item")))
}

fn refused(options: &KafkaSinkOptions, why: String) -> RemoteError {
    RemoteError::Refused {
        doing: format!("write table `{}` to {}", options.table, options.described()),
        why,
        certainty: Certainty::NotDone,
        blame: Blame::User,
    }
}

/// Encodes the rows of a table.
pub(super) struct Encoder {
    encoding: Encoding,
    avro: Option<AvroEncoder>,
}

/// The events of some rows.
pub(super) struct Events {
    values: Payloads,
    keys: Option<Payloads>,
    headers: Vec<(String, Vec<Option<String>>)>,
    rows: usize,
}

enum Payloads {
    /// Lines, and where each ends.
    Lines(Vec<u8>, Vec<usize>),
    Avro(EncodedRows),
    Texts(Vec<Option<String>>),
}

impl Encoder {
    /// The events of `rows`, one for each, in their order.
    ///
    /// # Errors
    /// When a value cannot be encoded.
    pub fn events(&mut self, rows: &RecordBatch) -> Result<Events> {
        let values = match &mut self.avro {
            Some(avro) => {
                avro.encode(rows).map_err(ArrowError::from)?;
                Payloads::Avro(avro.flush())
            }
            None => {
                let (bytes, ends) = self.encoding.json(rows, StructMode::ObjectOnly)?;
                Payloads::Lines(bytes, ends)
            }
        };
        let keys = match self.encoding.keys.as_slice() {
            [] => None,
            [one] => Some(Payloads::Texts(texts(rows, *one)?)),
            several => {
                let (bytes, ends) = self.encoding.json(&rows.project(several)?, StructMode::ListOnly)?;
                Some(Payloads::Lines(bytes, ends))
            }
        };
        let headers = self.encoding.headers.iter().map(|(name, at)| Ok((name.clone(), texts(rows, *at)?)));
        Ok(Events { values, keys, headers: headers.collect::<Result<_>>()?, rows: rows.num_rows() })
    }
}

impl Events {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.rows
    }

    /// The value of a row's event.
    pub fn value(&self, row: usize) -> &[u8] {
        self.values.get(row).unwrap_or_default()
    }

    /// Its key, if it has one.
    pub fn key(&self, row: usize) -> Option<&[u8]> {
        self.keys.as_ref()?.get(row)
    }

    /// The headers of a row.
    pub fn headers(&self, row: usize) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.headers.iter().map(move |(name, texts)| (name.as_str(), texts.get(row).and_then(Option::as_deref)))
    }
}

impl Payloads {
    fn get(&self, row: usize) -> Option<&[u8]> {
        match self {
            Self::Lines(bytes, ends) => {
                let begin = row.checked_sub(1).map_or(Some(0), |before| ends.get(before).map(|end| end + 1))?;
                bytes.get(begin..*ends.get(row)?)
            }
            Self::Avro(rows) => rows.bytes().get(*rows.offsets().get(row)?..*rows.offsets().get(row + 1)?),
            Self::Texts(texts) => texts.get(row)?.as_ref().map(String::as_bytes),
        }
    }
}

/// The values of a column as text.
fn texts(rows: &RecordBatch, column: usize) -> Result<Vec<Option<String>>> {
    let column = rows.column(column);
    let options = FormatOptions::default().with_display_error(true);
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
    let text = |row| column.is_valid(row).then(|| formatter.value(row).to_string());
    Ok((0..column.len()).map(text).collect())
}

/// Writes binary as base64, as Kafka Connect, Protobuf and Spark do.
#[derive(Debug)]
struct Base64;

impl EncoderFactory for Base64 {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let Some(binary) = array.as_binary_opt::<i32>() else { return Ok(None) };
        Ok(Some(NullableEncoder::new(Box::new(Binary(binary)), binary.nulls().cloned())))
    }
}

struct Binary<'a>(&'a BinaryArray);

impl JsonEncoder for Binary<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        out.push(b'"');
        out.extend_from_slice(STANDARD.encode(self.0.value(row)).as_bytes());
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests;
