//! How fast JSON is decoded, on one core, beside arrow-json over the same bytes in the same run. arrow-json checks less: decision 26.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Context, bail};
use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, TimestampMillisecondArray, new_null_array};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use arrow::json::ReaderBuilder;
use futures::executor::block_on;
use serde_json::json;
use sluicebox_core::raw::{RawEvents, column, raw_schema};
use sluicebox_core::{Clock, PartitionId, SystemClock};
use sluicebox_formats::json::{JsonOptions, decoder};
use sluicebox_formats::{DecoderOptions, SourceDecoder};

use crate::Out;

/// Rows that arrow-json makes at a time.
const BATCH: usize = 8192;
/// How often each is measured; the fastest counts.
const ROUNDS: usize = 5;

fn columns() -> Fields {
    let of = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let address = Fields::from(vec![of("city", DataType::Utf8), of("zip", DataType::Utf8)]);
    vec![
        Field::new("event_id", DataType::Utf8, false),
        // Without a zone: arrow-json reads those with one in some builds only.
        of("event_time", DataType::Timestamp(TimeUnit::Microsecond, None)),
        of("customer_id", DataType::Utf8),
        of("region", DataType::Utf8),
        of("plan_tier", DataType::Utf8),
        of("amount", DataType::Float64),
        of("quantity", DataType::Int32),
        of("address", DataType::Struct(address)),
        of("tags", DataType::List(Arc::new(of("element", DataType::Utf8)))),
    ]
    .into()
}

fn event(i: u64) -> Vec<u8> {
    let number = i.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let (high, low) = (number >> 32, number & 0xffff_ffff);
    let region = ["NA", "EMEA", "APAC", "LATAM"][usize::try_from(i % 4).unwrap_or_default()];
    let tier = ["free", "pro", "enterprise"][usize::try_from(i % 3).unwrap_or_default()];
    let (minute, second, micros) = (i / 60_000 % 60, i / 1000 % 60, i % 1000 * 1000);
    format!(
        r#"{{"event_id":"{high:08x}-0000-4000-8000-0000{low:08x}","event_time":"2026-11-30T18:{minute:02}:{second:02}.{micros:06}","customer_id":"cust-{:06}","region":"{region}","plan_tier":"{tier}","amount":{}.{:02},"quantity":{},"address":{{"city":"Trier","zip":"54290"}},"tags":["a","b"],"note":"not declared"}}"#,
        i % 50_000,
        i % 1000,
        i % 100,
        i % 9,
    )
    .into_bytes()
}

fn raw(events: &[Vec<u8>]) -> anyhow::Result<RawEvents> {
    let offsets: Int64Array = (0_i64..).take(events.len()).collect();
    let times: TimestampMillisecondArray = offsets.iter().collect();
    let schema = raw_schema();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(offsets),
        Arc::new(times.with_timezone("UTC")),
        new_null_array(schema.field(column::KEY).data_type(), events.len()),
        Arc::new(BinaryArray::from_iter_values(events)),
        new_null_array(schema.field(column::HEADERS).data_type(), events.len()),
    ];
    let events = RecordBatch::try_new(schema, columns)?;
    Ok(RawEvents { partition: PartitionId::new("bench", "bench", 0), events, large: Vec::new() })
}

fn ours(decoder: &SourceDecoder, events: &RawEvents) -> anyhow::Result<usize> {
    let events = std::slice::from_ref(events);
    let prepared = block_on(decoder.prepare(events))?;
    let decoded = decoder.decode(&prepared, events, &[0])?;
    Ok(decoded.rows.iter().map(RecordBatch::num_rows).sum())
}

fn theirs(schema: &SchemaRef, events: &[Vec<u8>]) -> anyhow::Result<usize> {
    let mut decoder = ReaderBuilder::new(Arc::clone(schema)).with_batch_size(BATCH).build_decoder()?;
    let mut rows = 0;
    for event in events {
        decoder.decode(event)?;
        if decoder.len() >= BATCH {
            rows += decoder.flush()?.map_or(0, |batch| batch.num_rows());
        }
    }
    Ok(rows + decoder.flush()?.map_or(0, |batch| batch.num_rows()))
}

/// Prints the line.
pub fn section(events: u64, out: &mut Out) -> anyhow::Result<()> {
    let count = usize::try_from(events)?.min(400_000);
    let events: Vec<Vec<u8>> = (0..events).take(count).map(event).collect();
    let bytes: usize = events.iter().map(Vec::len).sum();
    let (raw, columns) = (raw(&events)?, columns());
    let decoder = decoder(&DecoderOptions::new("bench"), &columns, &JsonOptions::default())?;
    let schema: SchemaRef = Arc::new(Schema::new(columns));
    let clock = SystemClock::new();
    let best = |run: &dyn Fn() -> anyhow::Result<usize>| -> anyhow::Result<f64> {
        let mut best: Option<f64> = None;
        for _ in 0..ROUNDS {
            let began = clock.monotonic();
            let rows = black_box(run()?);
            if rows != count {
                bail!("{rows} rows of {count} events");
            }
            let took = clock.monotonic().saturating_sub(began).as_secs_f64();
            best = Some(best.map_or(took, |best| best.min(took)));
        }
        best.context("at least one round")
    };
    let (own, other) = (best(&|| ours(&decoder, &raw))?, best(&|| theirs(&schema, &events))?);
    let rate = |seconds: f64| {
        let (per_second, megabytes) = (count as f64 / seconds, bytes as f64 / seconds / 1e6);
        format!("{per_second:.0} events/s, {megabytes:.0} MB/s")
    };
    println!("\nJSON decoded on one core: {}; arrow-json {}; ratio {:.2}", rate(own), rate(other), other / own);
    out.add(&json!({
        "section": "json", "events": count, "bytes": bytes, "eventsPerSecond": count as f64 / own,
        "arrowJsonEventsPerSecond": count as f64 / other, "ratio": other / own,
    }))
}
