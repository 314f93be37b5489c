//! Events of any bytes, of any writer schema, read with any reader schema.
//!
//! Input of `avro`: a line with the reader schema, a line with the writer schema, then values, each preceded by a byte with its length.
//! Input of `schema`: two schemas in two lines, each read with the other.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use sluicebox_formats::framing::frame;
use sluicebox_formats::{DecoderOptions, Limits, avro};
use sluicebox_registry::{Guid, PinnedSchema, Registry, RegistryError, SchemaCache, SchemaText};

use crate::input::{array, events, folder, line, wait};

/// Knows the writer schema as id 1, and nothing else.
#[derive(Debug)]
struct One(String);

#[async_trait]
impl Registry for One {
    async fn by_id(&self, id: i32) -> Result<Arc<SchemaText>, RegistryError> {
        match id {
            1 => Ok(Arc::new(SchemaText::new(&self.0))),
            _ => Err(not_found(format!("schema id {id}"))),
        }
    }

    async fn by_guid(&self, guid: Guid) -> Result<Arc<SchemaText>, RegistryError> {
        Err(not_found(format!("schema GUID {guid}")))
    }

    async fn latest(&self, subject: &str) -> Result<PinnedSchema, RegistryError> {
        Err(not_found(format!("subject {subject}")))
    }

    async fn version(&self, subject: &str, _: i32) -> Result<PinnedSchema, RegistryError> {
        Err(not_found(format!("subject {subject}")))
    }
}

fn not_found(what: String) -> RegistryError {
    RegistryError::NotFound { what, registry: "none".to_owned() }
}

fn decode(reader: &str, writer: &str, values: &[Option<Vec<u8>>]) -> Option<(usize, usize)> {
    let pinned = PinnedSchema { subject: "s-value".into(), version: 1, id: 7, text: SchemaText::new(reader) };
    let dir = folder();
    // Small, so that what one event may cost is met within the length of an input.
    let limits = Limits { bytes: 1 << 16, values: 1 << 12, empty_items: 1 << 8, depth: 64 };
    let options = DecoderOptions { limits, include_headers: true, ..DecoderOptions::new("s") };
    let cache = SchemaCache::open(dir.path()).unwrap();
    let decoder = avro::decoder(&options, pinned, Arc::new(One(writer.to_owned())), cache).ok()?;
    let raw = events(values);
    let writers = wait(decoder.prepare(std::slice::from_ref(&raw))).unwrap();
    let decoded = decoder.decode(&writers, std::slice::from_ref(&raw), &[0]).unwrap();
    let rows: usize = decoded.rows.iter().map(RecordBatch::num_rows).sum();
    let dead = decoded.dead_letters.num_rows();
    let tombstones = usize::try_from(decoded.tombstones).unwrap();
    assert_eq!(rows + dead + tombstones, values.len(), "every event has one fate");
    Some((rows, dead))
}

/// See the top.
pub(crate) fn run(mut input: &[u8]) {
    let (reader, writer) = (line(&mut input), line(&mut input));
    let mut values = vec![Some(input.to_vec()), None];
    while !input.is_empty() {
        let [length] = array::<1>(&mut input);
        let (body, rest) = input.split_at(usize::from(length).min(input.len()));
        values.push(Some(frame(1, body)));
        input = rest;
    }
    let Some((rows, dead)) = decode(&reader, &writer, &values) else { return };
    // No event changes what becomes of another.
    let mut alone = (0, 0);
    for value in &values {
        let (rows, dead) = decode(&reader, &writer, std::slice::from_ref(value)).unwrap();
        alone = (alone.0 + rows, alone.1 + dead);
    }
    assert_eq!((rows, dead), alone, "together and alone");
}

/// See the top.
pub(crate) fn schema(mut input: &[u8]) {
    let (one, other) = (line(&mut input), line(&mut input));
    for (reader, writer) in [(&one, &other), (&other, &one), (&one, &one)] {
        decode(reader, writer, &[Some(frame(1, &[])), Some(frame(1, &[0; 40])), Some(frame(1, &[2; 40]))]);
    }
}
