//! JSON beside Avro: the same sales in both formats, from the embedded log; and how fast JSON is decoded on one thread, beside arrow-json
//! alone over the same bytes in the same run. arrow-json checks less: decision 26.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit, TimestampMillisecondType};
use bytes::Bytes;
use serde_json::json;
use sluicebox_core::raw::{RawEvents, column};
use sluicebox_core::{Clock, SystemClock};
use sluicebox_formats::json::{JsonOptions, decoder};
use sluicebox_formats::{DecoderOptions, SourceDecoder, portions};
use sluicebox_sources::{Record, TopicOptions};

use crate::jobs::{Batches, Job, Meter, avro_decoder};
use crate::measure::{JobReport, Measured, run_job, run_pipeline};
use crate::place::{Place, Topic, embedded_log};
use crate::{Out, arrow_json, pipeline};

/// Bytes of values that are decoded on one thread, about, at most.
const MOST: usize = 128 << 20;
/// How often each decoder has them, in turn; the fastest counts.
const ROUNDS: usize = 5;

/// The columns of a sale: name, type in SQL, type of its values.
fn declared() -> [(&'static str, &'static str, DataType); 10] {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    [
        ("event_id", "STRING", DataType::Utf8),
        ("account_id", "STRING NOT NULL", DataType::Utf8),
        ("event_time", "TIMESTAMP NOT NULL", time()),
        ("ingest_time", "TIMESTAMP NOT NULL", time()),
        ("region", "STRING NOT NULL", DataType::Utf8),
        ("plan_tier", "STRING NOT NULL", DataType::Utf8),
        ("product", "STRING NOT NULL", DataType::Utf8),
        ("quantity", "INT NOT NULL", DataType::Int32),
        ("currency", "STRING NOT NULL", DataType::Utf8),
        ("amount", "DECIMAL(12, 2) NOT NULL", DataType::Decimal128(12, 2)),
    ]
}

fn columns() -> Fields {
    let column = |(name, sql, data_type): (&str, &str, DataType)| -> FieldRef {
        Arc::new(Field::new(name, data_type, !sql.ends_with("NOT NULL")))
    };
    declared().into_iter().map(column).collect()
}

/// The sales pipeline, whose events are JSON.
fn sql() -> anyhow::Result<String> {
    let list = declared().map(|(name, sql, _)| format!("{name} {sql}")).join(", ");
    let text = pipeline(usize::MAX)?.replace("'value.format' = 'avro'", "'value.format' = 'json'");
    Ok(text.replace("CREATE TABLE sales_events", &format!("CREATE TABLE sales_events ({list})")))
}

/// The decoder of sales that are JSON.
pub fn json_decoder() -> anyhow::Result<SourceDecoder> {
    Ok(decoder(&DecoderOptions::new("bench"), &columns(), &JsonOptions::default())?)
}

/// The topic beside `topic` that has its events as JSON.
fn beside(topic: &str) -> String {
    format!("{topic}.json")
}

/// Writes the events of `topic`, which are Avro, as JSON to a topic beside it: same partitions, order, keys and times.
pub async fn convert(place: Place, topic: &str) -> anyhow::Result<JobReport> {
    let (decoder, _cache) = avro_decoder(place, topic).await?;
    let (log, target, columns) = (embedded_log()?, beside(topic), arrow_json::plain(&columns()));
    let partitions = log.topic(topic)?.context("the topic in the embedded log")?.partitions;
    log.create_topic(&target, partitions, TopicOptions::default())?;
    let mut meter = Meter::start()?;
    let mut batches = Batches::open(place, topic).await?;
    let mut bytes = 0;
    while let Some(taken) = batches.next().await? {
        for raw in &taken.events {
            let records = records(&decoder, raw, &columns).await?;
            bytes += records.iter().filter_map(|record| record.value.as_ref()).map(Bytes::len).sum::<usize>();
            meter.events += records.len() as u64;
            log.append(&target, raw.partition.partition, &records)?;
        }
    }
    log.flush()?;
    meter.report(bytes as u64)
}

async fn records(decoder: &SourceDecoder, raw: &RawEvents, columns: &Fields) -> anyhow::Result<Vec<Record>> {
    let events = std::slice::from_ref(raw);
    let prepared = decoder.prepare(events).await?;
    let mut values: Vec<Bytes> = Vec::with_capacity(raw.events.num_rows());
    for rows in decoder.decode(&prepared, events, &[raw.partition.partition])?.rows {
        let lines = arrow_json::lines(&rows, columns)?;
        values.extend(arrow_json::values(&lines).map(Bytes::copy_from_slice));
    }
    if values.len() != raw.events.num_rows() {
        bail!("{} of {} events became JSON", values.len(), raw.events.num_rows());
    }
    let keys = raw.events.column(column::KEY).as_binary::<i32>();
    let times = raw.events.column(column::TIMESTAMP).as_primitive::<TimestampMillisecondType>();
    let record = |((value, key), timestamp_ms): ((Bytes, Option<&[u8]>), Option<i64>)| Record {
        timestamp_ms,
        key: key.map(Bytes::copy_from_slice),
        value: Some(value),
        headers: Vec::new(),
    };
    Ok(values.into_iter().zip(keys).zip(times).map(record).collect())
}

/// The values of `topic`, or the first of them, decoded by this thread alone, and by arrow-json: the parts of the report.
pub async fn one_thread(place: Place, topic: &str) -> anyhow::Result<JobReport> {
    let mut batches = Batches::open(place, topic).await?;
    let (mut events, mut lines): (Vec<RawEvents>, Vec<u8>) = Default::default();
    while lines.len() < MOST
        && let Some(taken) = batches.next().await?
    {
        for raw in taken.events {
            for value in raw.events.column(column::VALUE).as_binary::<i32>().iter().flatten() {
                lines.extend_from_slice(value);
                lines.push(b'\n');
            }
            events.push(raw);
        }
    }
    let count: usize = events.iter().map(|raw| raw.events.num_rows()).sum();
    let (decoder, columns) = (json_decoder()?, arrow_json::plain(&columns()));
    let prepared = decoder.prepare(&events).await?;
    let portions = portions(events, 1);
    let ours = || -> anyhow::Result<usize> {
        let mut rows = 0;
        for portion in &portions {
            let parts: Vec<i32> = portion.iter().map(|raw| raw.partition.partition).collect();
            let decoded = black_box(decoder.decode(&prepared, portion, &parts)?);
            rows += decoded.rows.iter().map(RecordBatch::num_rows).sum::<usize>();
        }
        Ok(rows)
    };
    let theirs = || -> anyhow::Result<usize> { Ok(arrow_json::decode(&lines, &columns)?) };
    let (mut own, mut other) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        own = own.min(time(count, &ours)?);
        other = other.min(time(count, &theirs)?);
    }
    let parts = vec![("own".to_owned(), own.as_secs_f64()), ("arrow-json".to_owned(), other.as_secs_f64())];
    let bytes = (lines.len() - count) as u64;
    Ok(JobReport { events: count as u64, seconds: own.as_secs_f64(), cpu_micros: None, bytes, parts })
}

/// How long `run` takes, which makes `count` rows.
fn time(count: usize, run: &dyn Fn() -> anyhow::Result<usize>) -> anyhow::Result<Duration> {
    let clock = SystemClock::new();
    let began = clock.monotonic();
    let rows = run()?;
    let took = clock.monotonic().saturating_sub(began);
    if rows != count {
        bail!("{rows} rows of {count} events");
    }
    Ok(took)
}

/// The sales in one of the formats.
struct Format<'a> {
    name: &'static str,
    topic: &'a Topic,
    decode: Job,
    sql: String,
}

/// Avro, then JSON.
type Both = [Measured; 2];

fn ratio([avro, json]: &Both) -> f64 {
    json.steady / avro.steady
}

/// Prints the section. No event is broken, since arrow-json stops at the first.
pub fn section(events: u64, rounds: u32, options: &[String], out: &mut Out) -> anyhow::Result<()> {
    let nowhere = Path::new(".");
    let avro = Topic::filled(Place::Embedded, events, &["--malformed", "0"])?;
    let written = run_job(Job::Convert, &avro, nowhere)?;
    let json = avro.beside(beside(&avro.name));
    let formats = [
        Format { name: "Avro", topic: &avro, decode: Job::Decode, sql: pipeline(usize::MAX)? },
        Format { name: "JSON", topic: &json, decode: Job::DecodeJson, sql: sql()? },
    ];
    println!("\nthe same events as Avro and as JSON, from the embedded log");
    println!("{:<38} {:>10} {:>10} {:>9} {:>9}", "", "events/s", "with start", "CPU us/ev", "peak MiB");
    let decode = |format: &Format<'_>| run_job(format.decode, format.topic, nowhere);
    let decode = line("decode alone", &formats, events, rounds, &decode)?;
    let layers = |format: &Format<'_>| -> anyhow::Result<Measured> {
        let (measured, _) = run_pipeline(format.topic, &format.sql, options)?;
        Ok(measured)
    };
    let layers = line("all layers with DQ", &formats, events, rounds, &layers)?;
    let alone = run_job(Job::OneThread, &json, nowhere)?;
    let seconds = |part: &str| alone.parts.iter().find(|(name, _)| name == part).map(|(_, seconds)| *seconds);
    let (own, other) = seconds("own").zip(seconds("arrow-json")).context("two decoders were measured")?;
    let (count, bytes) = (alone.events as f64, alone.bytes_written as f64);
    let rate = |seconds: f64| format!("{:.0} events/s, {:.0} MB/s", count / seconds, bytes / seconds / 1e6);
    println!(
        "JSON, {:.0} bytes an event: {:.2} of Avro's events/s decoded, {:.2} through all layers",
        written.bytes_written as f64 / written.events as f64,
        ratio(&decode),
        ratio(&layers)
    );
    println!("JSON decoded on one thread: {}; arrow-json {}; ratio {:.2}", rate(own), rate(other), other / own);
    let [_, threads] = &decode;
    let by_threads = threads.steady * other / count;
    println!(
        "JSON decoded alone, read from the log, on {} cores: ratio {by_threads:.2} to arrow-json on one thread",
        crate::cores()
    );
    out.add(&json!({
        "section": "json", "events": alone.events, "bytes": alone.bytes_written, "eventsPerSecond": count / own,
        "arrowJsonEventsPerSecond": count / other, "ratio": other / own, "ratioByThreads": by_threads,
        "ratioToAvroDecoded": ratio(&decode), "ratioToAvro": ratio(&layers),
        "cpuMicrosPerEvent": layers.map(|m| m.cpu_micros / m.events as f64),
    }))
}

/// Measures and prints a line of each format, one right after the other: of the round with the middle ratio.
fn line(
    name: &str,
    formats: &[Format<'_>; 2],
    events: u64,
    rounds: u32,
    run: &dyn Fn(&Format<'_>) -> anyhow::Result<Measured>,
) -> anyhow::Result<Both> {
    let [avro, json] = formats;
    let mut all: Vec<Both> = (0..rounds.max(1)).map(|_| Ok([run(avro)?, run(json)?])).collect::<anyhow::Result<_>>()?;
    if let Some(measured) = all.iter().flatten().find(|measured| measured.events != events) {
        bail!("{name} saw {} of {events} events", measured.events);
    }
    all.sort_by(|a, b| ratio(a).total_cmp(&ratio(b)));
    let middle = all.len().saturating_sub(1) / 2;
    let both = all.into_iter().nth(middle).context("at least one round")?;
    for (format, m) in formats.iter().zip(&both) {
        println!(
            "{:<38} {:>10.0} {:>10.0} {:>9.2} {:>9.0}",
            format!("{name}, {}", format.name),
            m.steady,
            m.whole,
            m.cpu_micros / m.events as f64,
            m.peak_bytes as f64 / 1_048_576.0
        );
    }
    Ok(both)
}
