//! Properties over random schemas, values and bytes.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::types::Value;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat;
use arrow::datatypes::{Int32Type, Int64Type};
use proptest::prelude::*;
use rand::Rng;
use serde_json::{Value as Json, json};
use sluicebox_core::raw::RawEvents;
use sluicebox_registry::SchemaText;
use sluicebox_registry::schema::AvroSchema;

use super::random::{Random, expected};
use crate::framing::frame;
use crate::portions::BATCH_ROWS;
use crate::testing::{Fixture, letters, raw, rows, value_json};
use crate::{Decoded, Prepared};

fn encode(schema: &Schema, value: Value) -> Vec<u8> {
    apache_avro::writer::datum::GenericDatumWriter::builder(schema).build().unwrap().write_value_to_vec(value).unwrap()
}

fn as_rows(schema: &AvroSchema, values: &[Value]) -> Vec<Json> {
    values.iter().map(|v| expected(schema, schema.root(), v)).collect()
}

/// Damages `body`: cut, bytes changed, added or moved.
fn damaged(random: &mut Random, mut body: Vec<u8>) -> Vec<u8> {
    match random.rng.random_range(0..4) {
        0 => body.truncate(random.rng.random_range(0..=body.len())),
        1 => body.extend(std::iter::repeat_n(random.rng.random::<u8>(), random.rng.random_range(1..5))),
        2 => body = (0..random.rng.random_range(0..40)).map(|_| random.rng.random()).collect(),
        _ => {
            for _ in 0..random.rng.random_range(1..4) {
                if !body.is_empty() {
                    let at = random.rng.random_range(0..body.len());
                    body[at] = random.rng.random();
                }
            }
        }
    }
    body
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Decoding gives what `apache-avro` wrote.
    #[test]
    fn rows_are_what_was_written(seed: u64) {
        let mut random = Random::new(seed);
        let json = random.record(0);
        let text = json.to_string();
        let schema = Schema::parse(&json).unwrap();
        let values: Vec<Value> = (0..20).map(|_| random.value(&schema)).collect();
        let fixture = Fixture::new(&text, &[(1, &text)]);
        let bodies: Vec<_> = values.iter().map(|v| Some(frame(1, &encode(&schema, v.clone())))).collect();
        let decoded = fixture.decode(&bodies);
        prop_assert_eq!(letters(&decoded), vec![]);
        let own = AvroSchema::parse(&SchemaText::new(text)).unwrap();
        prop_assert_eq!(rows(&decoded), as_rows(&own, &values));
    }

    /// Resolution gives what `apache-avro` reads.
    #[test]
    fn rows_are_what_another_reader_reads(seed: u64) {
        let mut random = Random::new(seed);
        let writer_json = random.record(0);
        let reader_json = random.evolved(&writer_json);
        let (writer, reader) = (Schema::parse(&writer_json).unwrap(), Schema::parse(&reader_json).unwrap());
        let fixture = Fixture::new(&reader_json.to_string(), &[(1, &writer_json.to_string())]);
        let mut bodies = Vec::new();
        let mut read = Vec::new();
        for _ in 0..10 {
            let value = random.value(&writer);
            let body = encode(&writer, value);
            // What apache-avro does not resolve (strings as bytes that are a promotion, say) is not compared.
            let found = apache_avro::reader::datum::GenericDatumReader::builder(&writer)
                .reader_schema(&reader).build().unwrap().read_value(&mut &body[..]);
            if let Ok(found) = found {
                bodies.push(Some(frame(1, &body)));
                read.push(found);
            }
        }
        let decoded = fixture.decode(&bodies);
        prop_assert_eq!(letters(&decoded), vec![], "writer {} reader {}", writer_json, reader_json);
        let own = AvroSchema::parse(&SchemaText::new(reader_json.to_string())).unwrap();
        prop_assert_eq!(rows(&decoded), as_rows(&own, &read), "writer {} reader {}", writer_json, reader_json);
    }

    /// A batch gives what its events give one at a time: no event harms its neighbours, whatever its bytes.
    #[test]
    fn a_batch_is_its_events(seed: u64) {
        let mut random = Random::new(seed);
        let first = random.record(0);
        let second = random.evolved(&first);
        let texts = [first.to_string(), second.to_string()];
        let schemas = [Schema::parse(&first).unwrap(), Schema::parse(&second).unwrap()];
        let fixture = Fixture::new(&texts[1], &[(1, &texts[0]), (2, &texts[1])]);
        let values: Vec<Option<Vec<u8>>> = (0..40)
            .map(|_| {
                let which = random.rng.random_range(0..2_usize);
                let value = random.value(&schemas[which]);
                let mut body = encode(&schemas[which], value);
                if random.rng.random_bool(0.4) {
                    body = damaged(&mut random, body);
                }
                match random.rng.random_range(0..20) {
                    0 => None,
                    1 => Some(body),
                    2 => Some(frame(99, &body)),
                    _ => Some(frame(i32::try_from(which).unwrap() + 1, &body)),
                }
            })
            .collect();
        let together = fixture.decode(&values);
        let mut alone_rows = Vec::new();
        let mut alone_letters = Vec::new();
        let mut tombstones = 0;
        for (i, value) in values.iter().enumerate() {
            let alone = fixture.decode(std::slice::from_ref(value));
            alone_rows.extend(rows(&alone));
            let offset = 100 + 2 * i64::try_from(i).unwrap();
            alone_letters.extend(letters(&alone).into_iter().map(|(_, class)| (offset, class)));
            tombstones += alone.tombstones;
        }
        prop_assert_eq!(letters(&together), alone_letters);
        prop_assert_eq!(rows(&together), alone_rows);
        prop_assert_eq!(together.tombstones, tombstones);
        let counted: u64 = together.by_class.values().sum::<u64>() + together.tombstones;
        let row_count: usize = together.rows.iter().map(arrow::array::RecordBatch::num_rows).sum();
        prop_assert_eq!(counted + u64::try_from(row_count).unwrap(), 40, "every event has one fate");
    }

    /// What the reader lacks is checked as what it reads, but for decimals' digits and the range of dates and times.
    #[test]
    fn skipping_refuses_what_reading_refuses(seed: u64) {
        let mut random = Random::new(seed);
        let json = random.record(0);
        let schema = Schema::parse(&json).unwrap();
        let mut nothing = json.clone();
        nothing["fields"] = json!([]);
        let (text, nothing) = (json.to_string(), nothing.to_string());
        let (all, none) = (Fixture::new(&text, &[(1, &text)]), Fixture::new(&nothing, &[(1, &text)]));
        for _ in 0..20 {
            let value = random.value(&schema);
            let body = damaged(&mut random, encode(&schema, value));
            let class = |fixture: &Fixture| fixture.one(1, &body).map(drop).map_err(|(class, _)| class);
            let read = class(&all);
            if !["INVALID_DECIMAL", "OUT_OF_RANGE"].map(|class| Err(class.to_owned())).contains(&read) {
                prop_assert_eq!(class(&none), read, "schema {} body {:02x?}", text, body);
            }
        }
    }

    /// Whatever is registered as a schema, parsing and resolving it ends well.
    #[test]
    fn no_schema_text_panics(seed: u64, cut: u16) {
        let mut random = Random::new(seed);
        let mut text = random.record(0).to_string().into_bytes();
        let at = usize::from(cut) % text.len();
        text[at] = b"\"{}[]:,0nrt"[usize::from(cut) % 11];
        let text = String::from_utf8_lossy(&text).into_owned();
        let reader = r#"{"type":"record","name":"R1","fields":[]}"#;
        let fixture = Fixture::new(reader, &[(1, &text)]);
        let decoded = fixture.decode(&[Some(frame(1, &[0, 1, 2]))]);
        prop_assert_eq!(decoded.rows.len() + decoded.dead_letters.num_rows(), 1);
        // As a reader schema it may be refused, but not more.
        drop(Fixture::try_new(&text, &[]));
    }

    /// Events that come in other chunks give the same, also those that are no rows.
    #[test]
    fn cuts_do_not_matter(seed: u64, cuts in prop::collection::vec(0_usize..=30, 0..4)) {
        let mut random = Random::new(seed);
        let json = random.record(0);
        let text = json.to_string();
        let schema = Schema::parse(&json).unwrap();
        let fixture = Fixture::new(&text, &[(1, &text)]);
        let values: Vec<_> = (0..30).map(|_| {
            let body = encode(&schema, random.value(&schema));
            match random.rng.random_range(0..8) {
                0 => None,
                1 => Some(frame(1, &damaged(&mut random, body))),
                _ => Some(frame(1, &body)),
            }
        }).collect();
        let whole = raw(0, &values);
        let writers = fixture.prepare(std::slice::from_ref(&whole)).unwrap();
        let all = fixture.decoder.decode(&writers, std::slice::from_ref(&whole), &[4]).unwrap();
        let cut = decode_chunks(&fixture, &writers, &chunks(&whole, &cuts));
        prop_assert_eq!(&cut.rows, &all.rows);
        prop_assert_eq!(&cut.dead_letters, &all.dead_letters);
        prop_assert_eq!((cut.tombstones, cut.by_class, cut.schemas), (all.tombstones, all.by_class, all.schemas));
        let fates = all.rows.iter().flat_map(value_json).count() + all.dead_letters.num_rows();
        prop_assert_eq!(fates as u64 + all.tombstones, 30);
    }
}

fn decode_chunks(fixture: &Fixture, writers: &Arc<dyn Prepared>, chunks: &[RawEvents]) -> Decoded {
    fixture.decoder.decode(writers, chunks, &vec![4; chunks.len()]).unwrap()
}

/// `whole` in chunks that end at `cuts`.
fn chunks(whole: &RawEvents, cuts: &[usize]) -> Vec<RawEvents> {
    let mut ends = [cuts, &[whole.events.num_rows()]].concat();
    ends.sort_unstable();
    let starts = std::iter::once(0).chain(ends.clone());
    let chunk = |(from, to): (usize, usize)| RawEvents { events: whole.events.slice(from, to - from), ..whole.clone() };
    starts.zip(ends).map(chunk).collect()
}

/// A batch is as large as may be, whatever the chunks, and goes on where the last one ended.
#[test]
fn batches_do_not_follow_chunks() {
    let text = r#"{"type": "record", "name": "r", "fields": [{"name": "a", "type": "int"}]}"#;
    let fixture = Fixture::new(text, &[(1, text)]);
    let bad = |n: usize| n.is_multiple_of(1000);
    let value = |n: usize| Some(if bad(n) { b"bad".to_vec() } else { frame(1, &[2 * u8::from(n.is_multiple_of(2))]) });
    let count = 2 * BATCH_ROWS + 5000;
    let whole = raw(0, &(0..count).map(value).collect::<Vec<_>>());
    let cuts: Vec<usize> = (0..count).step_by(1900).collect();
    let writers = fixture.prepare(std::slice::from_ref(&whole)).unwrap();
    let decoded = decode_chunks(&fixture, &writers, &chunks(&whole, &cuts));
    let letters = count.div_ceil(1000);
    let sizes: Vec<usize> = decoded.rows.iter().map(RecordBatch::num_rows).collect();
    assert_eq!(sizes, [BATCH_ROWS, BATCH_ROWS, 5000 - letters]);
    let column = |name: &str| {
        let parts: Vec<_> = decoded.rows.iter().map(|rows| rows.column_by_name(name).unwrap().as_ref()).collect();
        concat(&parts).unwrap()
    };
    let numbers = |array: &dyn Array| array.as_primitive::<Int64Type>().values().to_vec();
    let offsets = numbers(whole.events.column(0));
    let (good, dead): (Vec<usize>, Vec<usize>) = (0..count).partition(|n| !bad(*n));
    let at = |rows: &[usize]| rows.iter().map(|n| offsets[*n]).collect::<Vec<_>>();
    assert_eq!(numbers(&column("_offset")), at(&good));
    assert_eq!(numbers(decoded.dead_letters.column_by_name("offset").unwrap()), at(&dead));
    let expected: Vec<i32> = good.iter().map(|n| i32::from(n.is_multiple_of(2))).collect();
    assert_eq!(column("a").as_primitive::<Int32Type>().values().to_vec(), expected);
}
