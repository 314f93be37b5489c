//! How fast events are decoded, on one core: `cargo bench -p sluicebox-formats --bench decode`.
//!
//! Prints rows and megabytes per second of the decoder, which checks every byte, and of `arrow-avro`, which does not,
//! over the same events in the same run, and the ratio of the two.

#![expect(clippy::disallowed_methods, reason = "a bench tidies up after itself")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark stops at the first surprise and prints")]

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, TimestampMillisecondArray, new_null_array};
use arrow_avro::reader::ReaderBuilder;
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SchemaStore};
use sluicebox_core::raw::{RawEvents, raw_schema};
use sluicebox_core::{Clock, PartitionId, SystemClock};
use sluicebox_formats::{DecoderOptions, avro, framing};
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

fn measure(name: &str, schema: &str, ids: &[i32], body: impl Fn(i64) -> Vec<u8>) {
    let clock = SystemClock::new();
    let messages: Vec<Vec<u8>> = (0..ROWS).map(|i| framing::frame(ids[i as usize % ids.len()], &body(i))).collect();
    let bytes: usize = messages.iter().map(Vec::len).sum();
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
    let offsets: Vec<i64> = (0..ROWS).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(offsets.clone())),
        Arc::new(TimestampMillisecondArray::from(offsets).with_timezone("UTC")),
        new_null_array(raw_schema().field(2).data_type(), ROWS as usize),
        Arc::new(BinaryArray::from_iter_values(&messages)),
        new_null_array(raw_schema().field(4).data_type(), ROWS as usize),
    ];
    let events = RawEvents {
        partition: PartitionId::new("bench", "bench", 0),
        events: RecordBatch::try_new(raw_schema(), columns).unwrap(),
        large: Vec::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let writers = runtime.block_on(decoder.prepare(std::slice::from_ref(&events))).unwrap();
    let best = |run: &dyn Fn() -> usize| {
        (0..5)
            .map(|_| {
                let start = clock.monotonic();
                assert_eq!(black_box(run()), ROWS as usize);
                (clock.monotonic() - start).as_secs_f64()
            })
            .fold(f64::MAX, f64::min)
    };
    let ours = best(&|| {
        let decoded = decoder.decode(&writers, std::slice::from_ref(&events), &[0]).unwrap();
        decoded.rows.iter().map(RecordBatch::num_rows).sum()
    });
    let theirs = (ids.len() == 1).then(|| best(&|| arrow_avro(schema, &messages)));
    let rate =
        |seconds: f64| format!("{:.2} M rows/s, {:.0} MB/s", ROWS as f64 / seconds / 1e6, bytes as f64 / seconds / 1e6);
    print!("{name}, {} writer schema(s): {}", ids.len(), rate(ours));
    match theirs {
        Some(theirs) => println!("; arrow-avro {}; ratio {:.2}", rate(theirs), theirs / ours),
        None => println!(),
    }
    std::fs::remove_dir_all(dir).unwrap();
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
    measure("sales", SALES, &[1], sales);
    measure("sales", SALES, &[1, 2, 3], sales);
    measure("order", ORDER, &[1], order);
}
