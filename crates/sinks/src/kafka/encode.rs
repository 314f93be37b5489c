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
use arrow_avro::schema::{AvroSchema, FingerprintStrategy};
use arrow_avro::writer::format::AvroSoeFormat;
use arrow_avro::writer::{EncodedRows, Encoder as AvroEncoder, WriterBuilder as AvroBuilder};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sluicebox_core::{Blame, Certainty};

use super::{KafkaOptions, ValueFormat};
use crate::error::{RemoteError, Result};

/// The key in the metadata of an Arrow schema under which the name of its Avro record stands.
const RECORD_NAME: &str = "avro.name";

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
    pub fn try_new(options: &KafkaOptions, columns: &SchemaRef) -> Result<Self, RemoteError> {
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
            ValueFormat::Json => Values::Json,
            ValueFormat::Avro { .. } => Values::Avro(avro_schema(&options.table, columns).map_err(refused)?),
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
                let metadata = [(arrow_avro::schema::SCHEMA_METADATA_KEY.to_owned(), schema.clone())].into();
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
    let metadata = [(RECORD_NAME.to_owned(), table.to_owned())].into();
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

fn refused(options: &KafkaOptions, why: String) -> RemoteError {
    RemoteError::Refused {
        doing: format!("write table `{}` to the Kafka topic {}", options.table, options.topic),
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

    pub fn value(&self, row: usize) -> &[u8] {
        self.values.get(row).unwrap_or_default()
    }

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
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::collections::BTreeMap;

    use arrow::array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
        TimestampMicrosecondArray,
    };
    use arrow::datatypes::{Field, TimeUnit};
    use sluicebox_core::secret::Pieces;

    use super::super::Unknown;
    use super::*;

    fn options(format: ValueFormat, keys: &[&str], headers: &[&str]) -> KafkaOptions {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        KafkaOptions {
            table: "orders".to_owned(),
            brokers: "localhost:9092".to_owned(),
            topic: "orders_out".to_owned(),
            properties: BTreeMap::new(),
            secrets: Pieces::default(),
            format,
            key_columns: owned(keys),
            header_columns: owned(headers),
            unknown: Unknown::Stop,
        }
    }

    fn rows() -> RecordBatch {
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let fields = vec![
            Field::new("id", DataType::Int64, false),
            Field::new("name", DataType::Utf8, true),
            Field::new("price", DataType::Decimal128(20, 2), true),
            Field::new("at", utc, true),
            Field::new("day", DataType::Date32, true),
            Field::new("ok", DataType::Boolean, true),
            Field::new("ratio", DataType::Float64, true),
            Field::new("raw", DataType::Binary, true),
        ];
        let prices = Decimal128Array::from(vec![Some(123_456_789_012_345_678), None]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![9_007_199_254_740_993, -1])),
            Arc::new(StringArray::from(vec![Some("two\nlines \"and\" ünï"), None])),
            Arc::new(prices.with_precision_and_scale(20, 2).unwrap()),
            Arc::new(TimestampMicrosecondArray::from(vec![Some(1_767_262_500_123_456), None]).with_timezone("UTC")),
            Arc::new(Date32Array::from(vec![Some(20_454), None])),
            Arc::new(BooleanArray::from(vec![Some(true), None])),
            Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(0.1)])),
            Arc::new(BinaryArray::from(vec![Some(&[0_u8, 255][..]), None])),
        ];
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_row_is_an_object_with_every_column_and_no_digit_lost() {
        let rows = rows();
        let encoding = Encoding::try_new(&options(ValueFormat::Json, &[], &[]), &rows.schema()).unwrap();
        let events = encoding.of_schema(None).unwrap().events(&rows).unwrap();
        assert_eq!(events.count(), 2);
        assert_eq!(
            text(events.value(0)),
            r#"{"id":9007199254740993,"name":"two\nlines \"and\" ünï","price":1234567890123456.78,"at":"2026-01-01T10:15:00.123456Z","day":"2026-01-01","ok":true,"ratio":null,"raw":"AP8="}"#
        );
        assert_eq!(
            text(events.value(1)),
            r#"{"id":-1,"name":null,"price":null,"at":null,"day":null,"ok":null,"ratio":0.1,"raw":null}"#
        );
        assert_eq!(events.key(0), None);
    }

    #[test]
    fn a_key_is_text_or_a_list_and_a_null_alone_is_no_key() {
        let rows = rows();
        let key = |names: &[&str], row: usize| {
            let encoding = Encoding::try_new(&options(ValueFormat::Json, names, &[]), &rows.schema()).unwrap();
            let events = encoding.of_schema(None).unwrap().events(&rows).unwrap();
            events.key(row).map(|key| text(key).to_owned())
        };
        assert_eq!(key(&["id"], 0).as_deref(), Some("9007199254740993"));
        assert_eq!(key(&["name"], 0).as_deref(), Some("two\nlines \"and\" ünï"));
        assert_eq!(key(&["name"], 1), None);
        assert_eq!(key(&["ok", "id"], 0).as_deref(), Some("[true,9007199254740993]"));
        assert_eq!(key(&["name", "id"], 1).as_deref(), Some("[null,-1]"));
    }

    #[test]
    fn headers_are_texts() {
        let rows = rows();
        let encoding = Encoding::try_new(&options(ValueFormat::Json, &[], &["day", "name"]), &rows.schema()).unwrap();
        let events = encoding.of_schema(None).unwrap().events(&rows).unwrap();
        let first: Vec<_> = events.headers(0).collect();
        assert_eq!(first, [("day", Some("2026-01-01")), ("name", Some("two\nlines \"and\" ünï"))]);
        assert_eq!(events.headers(1).collect::<Vec<_>>(), [("day", None), ("name", None)]);
    }

    #[test]
    fn the_avro_schema_is_a_record_of_the_tables_name() {
        let schema = avro_schema("orders", &rows().schema()).unwrap();
        let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
        assert_eq!((&schema["type"], &schema["name"]), (&"record".into(), &"orders".into()));
        let logical = |at: usize| {
            let kind = &schema["fields"][at]["type"];
            kind.as_array().map_or(kind, |union| union.iter().find(|part| part.is_object()).unwrap())["logicalType"]
                .clone()
        };
        assert_eq!([logical(2), logical(3), logical(4)], ["decimal", "timestamp-micros", "date"]);
        for (table, column) in [("or-ders", "id"), ("orders", "a b"), ("orders", "1st")] {
            let columns = Schema::new(vec![Field::new(column, DataType::Int64, true)]);
            assert!(avro_schema(table, &columns).is_err(), "{table}.{column}");
        }
    }

    #[test]
    fn a_column_that_is_not_there_is_told() {
        let error = Encoding::try_new(&options(ValueFormat::Json, &["nr"], &[]), &rows().schema()).unwrap_err();
        assert!(error.to_string().contains("`nr`") && error.to_string().contains("orders_out"), "{error}");
    }
}
