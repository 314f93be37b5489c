//! How fast events are decoded, on one core: `cargo bench -p sluicebox-formats --bench decode [-- rows=N]`.
//!
//! Prints rows and megabytes per second of the decoder of Avro, which checks every byte, and of `arrow-avro`, which does not,
//! over the same events in the same run, and the ratio of the two. Then of the same rows as JSON, beside arrow-json.

#![expect(clippy::disallowed_methods, reason = "a bench tidies up after itself")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark stops at the first surprise and prints")]

mod arrow_json;

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch, TimestampMillisecondArray, new_null_array,
};
use arrow_avro::reader::ReaderBuilder;
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SchemaStore};
use sluicebox_core::raw::{RawEvents, column, raw_schema};
use sluicebox_core::{Clock, PartitionId, SystemClock, provenance};
use sluicebox_formats::json::{self, JsonOptions};
use sluicebox_formats::{DecoderOptions, SourceDecoder, avro, framing};
use sluicebox_registry::store::NewSchema;
use sluicebox_registry::{PinnedSchema, Registry, RegistryStore, SchemaCache, SchemaText};

const SALES: &str = r#"{"type":"record","name":"SalesEvent","namespace":"com.acme.sales","fields":[
    {"name":"event_id","type":{"type":"string","logicalType":"uuid"}},
    {"name":"event_time","type":{"type":"long","logicalType":"timestamp-micros"}},
    {"name":"ingest_time","type":{"type":"long","logicalType":"timestamp-micros"}},
    {"name":"customer_id","type":"string"},
    {"name":"region","type":"string"},
    {"name":"plan_tier","type":"string"},
    {"name":"currency","type":"string"},
    {"name":"amount","type":"double"}]}"#;

const ORDER: &str = r#"{"type":"record","name":"Order","fields":[
    {"name":"event_id","type":"string"},{"name":"user_id","type":"long"},{"name":"sku","type":"string"},
    {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}},
    {"name":"quantity","type":"int"},{"name":"country","type":["null","string"],"default":null},
    {"name":"ts","type":{"type":"long","logicalType":"timestamp-millis"}}]}"#;

fn long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn text(value: &str, out: &mut Vec<u8>) {
    long(value.len() as i64, out);
    out.extend_from_slice(value.as_bytes());
}

fn sales(i: i64) -> Vec<u8> {
    let mut body = Vec::new();
    let number = (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    text(&format!("{:08x}-{:04x}-4000-8000-{number:012x}", number >> 32, number & 0xffff)[..36], &mut body);
    long(1_700_000_000_000_000 + i * 1_000, &mut body);
    long(1_700_000_000_500_000 + i * 1_000, &mut body);
    text(&format!("cust-{:06}", i % 50_000), &mut body);
    text(["NA", "EMEA", "APAC", "LATAM"][(i % 4) as usize], &mut body);
    text(["free", "pro", "enterprise"][(i % 3) as usize], &mut body);
    text("USD", &mut body);
    body.extend_from_slice(&(i as f64 * 0.01).to_le_bytes());
    body
}

fn order(i: i64) -> Vec<u8> {
    let mut body = Vec::new();
    text(&format!("{:032x}", (i as u128).wrapping_mul(0x9E37_79B9_7F4A_7C15)), &mut body);
    long(i % 10_007, &mut body);
    text("sku-123456", &mut body);
    long(3, &mut body);
    body.extend_from_slice(&[1, 2, (i & 127) as u8]);
    long(i % 10, &mut body);
    long(1, &mut body);
    text("DE", &mut body);
    long(1_700_000_000_000 + i, &mut body);
    body
}

const ROWS: i64 = 400_000;
/// How often each is measured; the fastest counts.
const ROUNDS: usize = 5;

fn measure(name: &str, schema: &str, ids: &[i32], rows: i64, body: impl Fn(i64) -> Vec<u8>) {
    let messages: Vec<Vec<u8>> = (0..rows).map(|i| framing::frame(ids[i as usize % ids.len()], &body(i))).collect();
    let dir = std::env::temp_dir().join(format!("sluicebox-bench-{}-{name}-{}", std::process::id(), ids.len()));
    let store = Arc::new(RegistryStore::open(dir.join("registry")).unwrap());
    let pinned = PinnedSchema { subject: "x".into(), version: 1, id: 1, text: SchemaText::new(schema) };
    for i in 0..ids.len() {
        let variant = schema.replacen("{\"type\"", &format!("{{\"doc\":\"{i}\",\"type\""), 1);
        store.register("x", &NewSchema::new(variant)).unwrap();
    }
    let registry: Arc<dyn Registry> = store;
    let cache = SchemaCache::open(dir.join("cache")).unwrap();
    let decoder = avro::decoder(&DecoderOptions::new("bench"), pinned, registry, cache).unwrap();
    let events = raw(messages.iter().map(Vec::as_slice));
    let theirs: &dyn Fn() -> usize = &|| arrow_avro(schema, &messages);
    let theirs = (ids.len() == 1).then_some(("arrow-avro", theirs));
    compare(&format!("{name}, Avro, {} writer schema(s)", ids.len()), &decoder, &events, theirs);
    if ids.len() == 1 {
        measure_json(name, &decoder, &events);
    }
    std::fs::remove_dir_all(dir).unwrap();
}

/// The rows of `events`, as JSON.
fn measure_json(name: &str, avro: &SourceDecoder, events: &RawEvents) {
    let source = avro.schema();
    let count = source.index_of(provenance::METADATA[0]).unwrap();
    let columns = arrow_json::plain(&source.fields().iter().take(count).cloned().collect());
    let decode = decoding(avro, events);
    let lines: Vec<u8> = decode().iter().flat_map(|rows| arrow_json::lines(rows, &columns).unwrap()).collect();
    let decoder = json::decoder(&DecoderOptions::new("bench"), &columns, &JsonOptions::default()).unwrap();
    let theirs: &dyn Fn() -> usize = &|| arrow_json::decode(&lines, &columns).unwrap();
    compare(&format!("{name}, JSON"), &decoder, &raw(arrow_json::values(&lines)), Some(("arrow-json", theirs)));
}

/// Events with `values`, as a source has them.
fn raw<'a>(values: impl Iterator<Item = &'a [u8]>) -> RawEvents {
    let values = BinaryArray::from_iter_values(values);
    let count = values.len();
    let offsets: Vec<i64> = (0..count as i64).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(offsets.clone())),
        Arc::new(TimestampMillisecondArray::from(offsets).with_timezone("UTC")),
        new_null_array(raw_schema().field(column::KEY).data_type(), count),
        Arc::new(values),
        new_null_array(raw_schema().field(column::HEADERS).data_type(), count),
    ];
    RawEvents {
        partition: PartitionId::new("bench", "bench", 0),
        events: RecordBatch::try_new(raw_schema(), columns).unwrap(),
        large: Vec::new(),
    }
}

/// What makes rows of `events`, with all that it takes beforehand.
fn decoding(decoder: &SourceDecoder, events: &RawEvents) -> impl Fn() -> Vec<RecordBatch> {
    let events = std::slice::from_ref(events);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let prepared = runtime.block_on(decoder.prepare(events)).unwrap();
    move || decoder.decode(&prepared, events, &[0]).unwrap().rows
}

/// Prints what `decoder` makes of `events` in a second, and what another does that has the same bytes.
fn compare(what: &str, decoder: &SourceDecoder, events: &RawEvents, theirs: Option<(&str, &dyn Fn() -> usize)>) {
    let count = events.events.num_rows();
    let bytes = events.events.column(column::VALUE).as_binary::<i32>().value_data().len();
    let clock = SystemClock::new();
    let best = |run: &dyn Fn() -> usize| {
        (0..ROUNDS)
            .map(|_| {
                let start = clock.monotonic();
                assert_eq!(black_box(run()), count);
                (clock.monotonic() - start).as_secs_f64()
            })
            .fold(f64::MAX, f64::min)
    };
    let rate = |seconds: f64| {
        format!("{:.2} M rows/s, {:.0} MB/s", count as f64 / seconds / 1e6, bytes as f64 / seconds / 1e6)
    };
    let decode = decoding(decoder, events);
    let ours = best(&|| decode().iter().map(RecordBatch::num_rows).sum());
    print!("{what}: {}", rate(ours));
    match theirs {
        Some((name, run)) => {
            let theirs = best(run);
            println!("; {name} {}; ratio {:.2}", rate(theirs), theirs / ours);
        }
        None => println!(),
    }
}

fn arrow_avro(schema: &str, messages: &[Vec<u8>]) -> usize {
    let mut schemas = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
    schemas.set(Fingerprint::Id(1), AvroSchema::new(schema.to_owned())).unwrap();
    let mut decoder = ReaderBuilder::new()
        .with_writer_schema_store(schemas)
        .with_batch_size(8_192)
        .with_active_fingerprint(Fingerprint::Id(1))
        .build_decoder()
        .unwrap();
    let mut rows = 0;
    for message in messages {
        decoder.decode(message).unwrap();
        if decoder.batch_is_full() {
            rows += decoder.flush().unwrap().unwrap().num_rows();
        }
    }
    rows + decoder.flush().unwrap().map_or(0, |batch| batch.num_rows())
}

fn main() {
    let rows = std::env::args().find_map(|a| a.strip_prefix("rows=").and_then(|n| n.parse().ok())).unwrap_or(ROWS);
    measure("sales", SALES, &[1], rows, sales);
    measure("sales", SALES, &[1, 2, 3], rows, sales);
    measure("order", ORDER, &[1], rows, order);
}
