//! Fixtures of this crate's tests: a registry in memory, rows as JSON.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int32Type, Int64Type};
use async_trait::async_trait;
use serde_json::{Map, Value as Json, json};
use sluicebox_core::raw::RawEvents;
use sluicebox_registry::{Guid, PinnedSchema, Registry, RegistryError, SchemaCache, SchemaText};
use tempfile::TempDir;

use crate::testing::raw;
use crate::{Decoded, DecoderOptions, FormatError, Prepared, SourceDecoder, avro};

/// Schemas by id, in memory; counts what it is asked.
#[derive(Debug, Default)]
pub(crate) struct MapRegistry {
    pub(crate) schemas: Mutex<BTreeMap<i32, SchemaText>>,
    pub(crate) asked: Mutex<Vec<i32>>,
}

impl MapRegistry {
    pub(crate) fn of(schemas: &[(i32, &str)]) -> Arc<Self> {
        let schemas = schemas.iter().map(|(id, text)| (*id, SchemaText::new(*text))).collect();
        Arc::new(Self { schemas: Mutex::new(schemas), asked: Mutex::default() })
    }
}

#[async_trait]
impl Registry for MapRegistry {
    async fn by_id(&self, id: i32) -> Result<Arc<SchemaText>, RegistryError> {
        self.asked.lock().unwrap().push(id);
        let found = self.schemas.lock().unwrap().get(&id).cloned();
        found.map(Arc::new).ok_or_else(|| RegistryError::NotFound {
            what: format!("schema id {id}"),
            registry: "the test's registry".to_owned(),
        })
    }

    async fn by_guid(&self, guid: Guid) -> Result<Arc<SchemaText>, RegistryError> {
        self.by_id(i32::from(guid.0[15])).await
    }

    async fn latest(&self, subject: &str) -> Result<PinnedSchema, RegistryError> {
        panic!("nobody asks for {subject}")
    }

    async fn version(&self, subject: &str, _: i32) -> Result<PinnedSchema, RegistryError> {
        panic!("nobody asks for {subject}")
    }
}

pub(crate) fn pinned(text: &str) -> PinnedSchema {
    PinnedSchema { subject: "events-value".to_owned(), version: 3, id: 1_000_000, text: SchemaText::new(text) }
}

/// A decoder of `reader` with the folder of its cache.
pub(crate) struct Fixture {
    pub(crate) decoder: SourceDecoder,
    pub(crate) registry: Arc<MapRegistry>,
    pub(crate) dir: TempDir,
}

impl Fixture {
    pub(crate) fn new(reader: &str, writers: &[(i32, &str)]) -> Self {
        Self::try_new(reader, writers).unwrap()
    }

    pub(crate) fn try_new(reader: &str, writers: &[(i32, &str)]) -> Result<Self, FormatError> {
        let dir = tempfile::tempdir().unwrap();
        let registry = MapRegistry::of(writers);
        let cache = SchemaCache::open(dir.path()).unwrap();
        let options = DecoderOptions { include_headers: true, ..DecoderOptions::new("events") };
        let asked: Arc<dyn Registry> = Arc::<MapRegistry>::clone(&registry);
        Ok(Self { decoder: avro::decoder(&options, pinned(reader), asked, cache)?, registry, dir })
    }

    pub(crate) fn prepare(&self, events: &[RawEvents]) -> Result<Arc<dyn Prepared>, FormatError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.decoder.prepare(events))
    }

    /// What becomes of one partition with these values.
    pub(crate) fn decode(&self, values: &[Option<Vec<u8>>]) -> Decoded {
        let events = raw(0, values);
        let writers = self.prepare(std::slice::from_ref(&events)).unwrap();
        self.decoder.decode(&writers, std::slice::from_ref(&events), &[0]).unwrap()
    }

    /// What becomes of a body of `id`: the row's value columns, or the dead letter's class and message.
    pub(crate) fn one(&self, id: i32, body: &[u8]) -> Result<Json, (String, String)> {
        let decoded = self.decode(&[Some(crate::framing::frame(id, body))]);
        match decoded.rows.first() {
            Some(batch) => Ok(value_json(batch).remove(0)),
            None => {
                let text = |i: usize| decoded.dead_letters.column(i).as_string::<i32>().value(0).to_owned();
                Err((text(8), text(9)))
            }
        }
    }
}

/// The value's columns of each row.
pub(crate) fn value_json(batch: &RecordBatch) -> Vec<Json> {
    let schema = batch.schema();
    let columns = schema.fields().len() - 9;
    let row = |row| {
        let cells = schema.fields().iter().take(columns).enumerate();
        Json::Object(cells.map(|(i, f)| (f.name().clone(), cell(batch.column(i), row))).collect::<Map<_, _>>())
    };
    (0..batch.num_rows()).map(row).collect()
}

/// One value: numbers of time and decimal as they are stored, bytes in hexadecimal, floats with all their digits.
pub(crate) fn cell(array: &ArrayRef, row: usize) -> Json {
    if array.is_null(row) || *array.data_type() == DataType::Null {
        return Json::Null;
    }
    let list = |items: ArrayRef| (0..items.len()).map(|i| cell(&items, i)).collect::<Vec<_>>();
    match array.data_type() {
        DataType::Boolean => json!(array.as_boolean().value(row)),
        DataType::Float32 => json!(format!("{:?}", array.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => json!(format!("{:?}", array.as_primitive::<Float64Type>().value(row))),
        DataType::Decimal128(..) => json!(array.as_primitive::<Decimal128Type>().value(row).to_string()),
        DataType::Decimal256(..) => json!(array.as_primitive::<Decimal256Type>().value(row).to_string()),
        DataType::Utf8 => json!(array.as_string::<i32>().value(row)),
        DataType::Binary => json!(hex(array.as_binary::<i32>().value(row))),
        DataType::FixedSizeBinary(_) => json!(hex(array.as_fixed_size_binary().value(row))),
        DataType::List(_) => Json::Array(list(array.as_list::<i32>().value(row))),
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0).as_string::<i32>(), list(Arc::clone(entries.column(1))));
            let sorted: BTreeMap<&str, Json> = keys.iter().flatten().zip(values).collect();
            json!(sorted)
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(array.as_struct().columns());
            Json::Object(columns.map(|(f, c)| (f.name().clone(), cell(c, row))).collect())
        }
        DataType::Int32 | DataType::Date32 | DataType::Time32(_) => {
            let plain = arrow::compute::cast(array, &DataType::Int32).unwrap();
            json!(plain.as_primitive::<Int32Type>().value(row))
        }
        _ => {
            let plain = arrow::compute::cast(array, &DataType::Int64).unwrap();
            json!(plain.as_primitive::<Int64Type>().value(row))
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// All rows of a result.
pub(crate) fn rows(decoded: &Decoded) -> Vec<Json> {
    decoded.rows.iter().flat_map(value_json).collect()
}

/// The offset and class of each dead letter.
pub(crate) fn letters(decoded: &Decoded) -> Vec<(i64, String)> {
    let batch = &decoded.dead_letters;
    let offsets = batch.column(2).as_primitive::<Int64Type>();
    let classes = batch.column(8).as_string::<i32>();
    (0..batch.num_rows()).map(|i| (offsets.value(i), classes.value(i).to_owned())).collect()
}

/// Avro's binary form, piece by piece.
#[derive(Debug, Default, Clone)]
pub(crate) struct Body(pub(crate) Vec<u8>);

impl Body {
    pub(crate) fn long(mut self, value: i64) -> Self {
        sluicebox_registry::schema::encode_long(value, &mut self.0);
        self
    }

    pub(crate) fn text(self, value: &str) -> Self {
        self.bytes(value.as_bytes())
    }

    pub(crate) fn bytes(self, value: &[u8]) -> Self {
        self.long(i64::try_from(value.len()).unwrap()).raw(value)
    }

    pub(crate) fn double(self, value: f64) -> Self {
        self.raw(&value.to_le_bytes())
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
}
