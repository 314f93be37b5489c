//! Keys of events as a column of their rows.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use sluicebox_core::raw::RawEvents;
use sluicebox_registry::{PinnedSchema, Registry, SchemaCache};

pub use sluicebox_core::provenance::KEY_COLUMN as KEY;

use crate::avro::{AvroKey, Writers};
use crate::column::Column;
use crate::decoder::Prepared;
use crate::error::FormatError;
use crate::events::FIRST;
use crate::json::{JsonKey, JsonOptions};
use crate::run::Run;
use crate::source::DecoderOptions;

/// How the keys of a source become the column [`KEY`]. A key that cannot makes its event a dead letter.
#[derive(Debug)]
pub struct KeyDecoder {
    field: FieldRef,
    how: How,
}

#[derive(Debug)]
enum How {
    /// UTF-8.
    Text,
    Binary,
    Json(JsonKey),
    Avro(Box<AvroKey>),
}

impl KeyDecoder {
    /// Keys are text in UTF-8.
    #[must_use]
    pub fn text() -> Self {
        Self { field: Arc::new(Field::new(KEY, DataType::Utf8, true)), how: How::Text }
    }

    /// Keys are bytes.
    #[must_use]
    pub fn binary() -> Self {
        Self { field: Arc::new(Field::new(KEY, DataType::Binary, true)), how: How::Binary }
    }

    /// Keys of the source of `options` are JSON, of any type; `declared` is the column that is declared for them.
    ///
    /// # Errors
    /// When JSON cannot be read into the column's type.
    pub fn json(options: &DecoderOptions, declared: &Field, json: &JsonOptions) -> Result<Self, FormatError> {
        let how = How::Json(JsonKey::new(options, declared, json)?);
        Ok(Self { field: Arc::new(declared.clone().with_name(KEY)), how })
    }

    /// Keys of the source of `options` are Avro, and `pinned` is their reader schema: a record is a struct, anything else a column of its
    /// own type. Schemas of writers come from `cache`, else from `registry`, and are then kept in `cache`.
    ///
    /// # Errors
    /// As [`AvroDecoder::new`](crate::avro::AvroDecoder::new).
    pub fn avro(
        options: &DecoderOptions,
        pinned: PinnedSchema,
        registry: Arc<dyn Registry>,
        cache: SchemaCache,
    ) -> Result<Self, FormatError> {
        let key = AvroKey::new(options, pinned, registry, cache)?;
        Ok(Self { field: Arc::clone(key.field()), how: How::Avro(Box::new(key)) })
    }

    /// The column.
    #[must_use]
    pub fn field(&self) -> &FieldRef {
        &self.field
    }

    /// The schema of source rows `schema`, those of `source`, with the column behind those of the value.
    ///
    /// # Errors
    /// When a column of the value has its name.
    pub fn beside(&self, source: &str, schema: &SchemaRef) -> Result<SchemaRef, FormatError> {
        with_key_column(source, schema, &self.field)
    }

    /// The reader schema, where there is one.
    pub(crate) fn pinned(&self) -> Option<&PinnedSchema> {
        match &self.how {
            How::Avro(avro) => Some(avro.pinned()),
            How::Text | How::Binary | How::Json(_) => None,
        }
    }

    /// Finds what decoding the keys of `events` takes, where it takes something.
    ///
    /// # Errors
    /// When the registry cannot answer.
    pub(crate) async fn prepare(&self, events: &[RawEvents]) -> Result<Option<Arc<Writers>>, FormatError> {
        match &self.how {
            How::Avro(avro) => Ok(Some(avro.prepare(events).await?)),
            How::Text | How::Binary | How::Json(_) => Ok(None),
        }
    }

    /// The type with which the column is made that [`Self::decode`] appends to.
    pub(crate) fn held(&self) -> &DataType {
        match &self.how {
            How::Avro(avro) => avro.held(),
            How::Text | How::Binary | How::Json(_) => self.field.data_type(),
        }
    }

    /// The keys in `column` as an array of the column's type. `column` is empty then.
    ///
    /// # Errors
    /// When the parts do not fit together, which no input may bring about.
    pub(crate) fn finish(&self, column: &mut Column) -> Result<ArrayRef, ArrowError> {
        match &self.how {
            How::Avro(avro) => avro.finish(column),
            How::Text | How::Binary | How::Json(_) => column.finish(self.field.data_type()),
        }
    }

    /// Appends `key`, whose event has the header `header` that names a schema, to `column`; `writers` is what [`Self::prepare`] has found.
    ///
    /// # Errors
    /// What is wrong with it; what it has left in `column` is to be taken out again.
    pub(crate) fn decode(
        &self,
        writers: Option<&Writers>,
        key: Option<&[u8]>,
        header: Option<&[u8]>,
        column: &mut Column,
    ) -> Result<(), String> {
        let Some(key) = key else {
            if !self.field.is_nullable() {
                return Err("the event has no key, and the column of keys is NOT NULL".to_owned());
            }
            column.push_null();
            return Ok(());
        };
        match &self.how {
            How::Json(json) => return json.decode(key, column).map_err(|fault| format!("the key: {fault}")),
            How::Avro(_) => {
                let not_prepared = || "the key: its schema was not prepared; please report this".to_owned();
                return AvroKey::decode(writers.ok_or_else(not_prepared)?, key, header, column);
            }
            How::Text => {
                std::str::from_utf8(key)
                    .map_err(|error| format!("the key is not UTF-8 (at byte {})", error.valid_up_to()))?;
            }
            How::Binary => {}
        }
        let appended = match column {
            Column::Bytes(column) => column.push(key),
            _ => false,
        };
        if appended { Ok(()) } else { Err("the column of keys does not fit 2 GiB".to_owned()) }
    }
}

/// The schema of source rows `schema`, those of `source`, with the column `key` behind those of the value.
///
/// # Errors
/// When a column of the value has its name.
pub fn with_key_column(source: &str, schema: &SchemaRef, key: &FieldRef) -> Result<SchemaRef, FormatError> {
    if schema.fields().iter().any(|field| field.name() == KEY) {
        return Err(FormatError::ColumnTaken { name: source.to_owned(), column: KEY.to_owned() });
    }
    let mut fields: Vec<FieldRef> = schema.fields().iter().cloned().collect();
    let behind = schema.index_of(FIRST).unwrap_or(fields.len());
    fields.insert(behind, Arc::clone(key));
    Ok(Arc::new(Schema::new(fields)))
}

/// What was prepared of the values, and of the keys.
#[derive(Debug)]
pub(crate) struct WithKeys {
    pub(crate) value: Arc<dyn Prepared>,
    pub(crate) keys: Arc<Writers>,
}

impl Prepared for WithKeys {
    fn decode(&self, run: &mut Run<'_>) -> Result<(), FormatError> {
        run.keys_by(Arc::clone(&self.keys));
        self.value.decode(run)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use arrow::array::{BinaryArray, RecordBatch};
    use serde_json::{Value as Json, json};
    use sluicebox_core::raw::{column, raw_schema};

    use super::*;
    use crate::avro::key_column;
    use crate::framing::frame;
    use crate::json::Timestamps;
    use crate::source::SourceDecoder;
    use crate::testing::{Body, MapRegistry, letters, pinned, raw, rows};
    use crate::{Decoded, text};

    /// What becomes of events with the values `v0`, `v1`, ... and these keys.
    fn decode(decoder: &SourceDecoder, keys: &[Option<&[u8]>]) -> Decoded {
        let values: Vec<_> = (0..keys.len()).map(|n| Some(format!("v{n}").into_bytes())).collect();
        let events = raw(0, &values);
        let mut columns = events.events.columns().to_vec();
        columns[column::KEY] = Arc::new(keys.iter().copied().collect::<BinaryArray>());
        let events = [RawEvents { events: RecordBatch::try_new(raw_schema(), columns).unwrap(), ..events }];
        let prepared = futures::executor::block_on(decoder.prepare(&events)).unwrap();
        decoder.decode(&prepared, &events, &[0]).unwrap()
    }

    fn with(key: KeyDecoder) -> SourceDecoder {
        text::text(&DecoderOptions::new("events")).unwrap().with_key(key).unwrap()
    }

    fn keys(decoded: &Decoded) -> Vec<Json> {
        rows(decoded).into_iter().map(|mut row| row[KEY].take()).collect()
    }

    #[test]
    fn a_key_is_a_column_behind_the_value_and_a_bad_one_costs_its_event() {
        let decoder = with(KeyDecoder::text());
        let names: Vec<String> = decoder.schema().fields().iter().take(3).map(|field| field.name().clone()).collect();
        assert_eq!(names, ["value", "key", "_topic"]);
        let decoded = decode(&decoder, &[Some(b"a"), Some(b"\xff"), None, Some("ä".as_bytes())]);
        assert_eq!(keys(&decoded), [json!("a"), Json::Null, json!("ä")]);
        assert_eq!(letters(&decoded), [(102, "INVALID_KEY".to_owned())]);
        let values: Vec<Json> = rows(&decoded).into_iter().map(|mut row| row["value"].take()).collect();
        assert_eq!(values, [json!("v0"), json!("v2"), json!("v3")], "the values stay beside their keys");
        assert_eq!(keys(&decode(&with(KeyDecoder::binary()), &[Some(b"\xff"), None])), [json!("ff"), Json::Null]);
    }

    #[test]
    fn a_key_of_json_is_of_the_declared_type() {
        let declared = Field::new(KEY, DataType::Int32, false);
        let json = JsonOptions { timestamps: Timestamps::EpochMillis, ..JsonOptions::default() };
        let decoder = with(KeyDecoder::json(&DecoderOptions::new("events"), &declared, &json).unwrap());
        let given: [Option<&[u8]>; 7] =
            [Some(b"1"), Some(b"x"), None, Some(b"null"), Some(b"1 2"), Some(b" 7 "), Some(b"")];
        let decoded = decode(&decoder, &given);
        assert_eq!(keys(&decoded), [json!(1), json!(7)]);
        assert!(letters(&decoded).iter().all(|(_, class)| class == "INVALID_KEY"));
        assert_eq!(letters(&decoded).len(), 5);
        let time = Field::new(KEY, DataType::Time64(arrow::datatypes::TimeUnit::Microsecond), true);
        assert!(KeyDecoder::json(&DecoderOptions::new("events"), &time, &json).is_err());
    }

    #[test]
    fn a_key_of_avro_is_a_struct_or_of_its_own_type_and_a_bad_one_costs_its_event() {
        let record = r#"{"type": "record", "name": "K", "fields": [
            {"name": "id", "type": "string"}, {"name": "n", "type": "int", "default": 7}]}"#;
        let older = r#"{"type": "record", "name": "K", "fields": [{"name": "id", "type": "string"}]}"#;
        let text = Body::default().text("a").0;
        let (good, cut, unknown) = (frame(1, &text), frame(1, &text[..1]), frame(2, &text));
        let given: [Option<&[u8]>; 5] = [Some(&good), Some(b"a"), None, Some(&cut), Some(&unknown)];
        for (reader, writer, key) in
            [(record, older, json!({"id": "a", "n": 7})), ("\"string\"", "\"string\"", json!("a"))]
        {
            let dir = tempfile::tempdir().unwrap();
            let cache = SchemaCache::open(dir.path()).unwrap();
            let (options, registry) = (DecoderOptions::new("events"), MapRegistry::of(&[(1, writer)]));
            let decoder = with(KeyDecoder::avro(&options, pinned(reader), registry, cache).unwrap());
            let decoded = decode(&decoder, &given);
            assert_eq!(keys(&decoded), [key, Json::Null]);
            let bad = [102, 106, 108].map(|offset| (offset, "INVALID_KEY".to_owned()));
            assert_eq!(letters(&decoded), bad);
            assert_eq!(decoder.pin().key(), Some(&pinned(reader)));
            let (planned, left_out) = key_column("events", &pinned(reader)).unwrap();
            assert_eq!(decoder.schema().field_with_name(KEY).unwrap(), &*planned);
            assert!(left_out.is_empty());
        }
    }

    #[test]
    fn a_value_with_a_column_of_that_name_is_refused() {
        let columns = vec![Field::new(KEY, DataType::Utf8, true)].into();
        let values = crate::json::decoder(&DecoderOptions::new("events"), &columns, &JsonOptions::default()).unwrap();
        assert!(values.with_key(KeyDecoder::text()).unwrap_err().to_string().contains("'key'"));
    }
}
