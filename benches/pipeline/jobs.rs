//! One station and nothing else: the ceilings, and decoding alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use clap::ValueEnum;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sluicebox_core::{Clock, OffsetRange, SystemClock, provenance};
use sluicebox_formats::{DecoderOptions, SourceDecoder, avro, portions};
use sluicebox_librdkafka::{Polled, Queue};
use sluicebox_registry::SchemaCache;
use sluicebox_sinks::{BatchKey, ParquetOptions, ParquetTable};
use sluicebox_sources::{Source, Taken};

use crate::ceiling::ceiling;
use crate::json::{convert, json_decoder, one_thread};
use crate::measure::{JobReport, cpu_micros, thread_nanos};
use crate::place::Place;

/// What a process of the bench may be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Job {
    /// librdkafka alone: take and drop.
    Poll,
    /// The source: fetch, cut into batches, drop.
    Source,
    /// The source and the decoder, as many threads as the engine takes.
    Decode,
    /// The same, of values that are JSON.
    DecodeJson,
    /// JSON in memory, decoded by one thread, and by arrow-json.
    OneThread,
    /// The values of a topic of the embedded log as JSON, into a topic beside it.
    Convert,
    /// Bronze rows, made beforehand, staged as Parquet; only the staging counts.
    Write,
    /// The reader, and the Parquet writer on the tables of a run, at once.
    Ceiling,
}

impl Job {
    /// As the command line says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Source => "source",
            Self::Decode => "decode",
            Self::DecodeJson => "decode-json",
            Self::OneThread => "one-thread",
            Self::Convert => "convert",
            Self::Write => "write",
            Self::Ceiling => "ceiling",
        }
    }
}

/// Does `job` and prints its report.
pub fn run(job: Job, place: Place, topic: &str, data: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        match job {
            Job::Poll => poll(topic),
            Job::Ceiling => ceiling(place, topic, data).await,
            Job::Source => source(place, topic).await,
            Job::Decode => {
                let (decoder, _cache) = avro_decoder(place, topic).await?;
                decode(place, topic, &decoder).await
            }
            Job::DecodeJson => decode(place, topic, &Arc::new(json_decoder()?)).await,
            Job::OneThread => one_thread(place, topic).await,
            Job::Convert => convert(place, topic).await,
            Job::Write => write(place, topic).await,
        }
    })?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

fn poll(topic: &str) -> anyhow::Result<JobReport> {
    let (client, total) = poll_client(topic)?;
    let mut meter = Meter::start()?;
    meter.events = poll_all(&client, total)?;
    meter.report(0)
}

/// A consumer of the whole topic that has not asked for anything yet, and how many events there are.
pub fn poll_client(topic: &str) -> anyhow::Result<(Poller, u64)> {
    let wait = Duration::from_secs(30);
    let client: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", std::env::var("KAFKA_BOOTSTRAP_SERVERS")?)
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .create()?;
    let metadata = client.fetch_metadata(Some(topic), wait)?;
    let (mut list, mut total) = (TopicPartitionList::new(), 0);
    for partition in metadata.topics().iter().flat_map(|t| t.partitions()) {
        let (low, high) = client.fetch_watermarks(topic, partition.id(), wait)?;
        total += u64::try_from(high - low)?;
        list.add_partition_offset(topic, partition.id(), Offset::Offset(low))?;
    }
    Ok((Poller { client: Arc::new(client), list }, total))
}

/// A consumer, and what it is to read.
pub struct Poller {
    client: Arc<BaseConsumer>,
    list: TopicPartitionList,
}

/// Takes and drops `total` events, as many at a time as there are: the fastest way that librdkafka has.
pub fn poll_all(poller: &Poller, total: u64) -> anyhow::Result<u64> {
    let mut queues = Vec::new();
    for partition in poller.list.elements() {
        let reader = std::thread::current();
        let queue = Queue::split(&poller.client, partition.topic(), partition.partition(), move || reader.unpark());
        queues.push(queue.context("a queue of the partition")?);
    }
    poller.client.incremental_assign(&poller.list)?;
    let (mut events, mut failed) = (0, None);
    while events < total && failed.is_none() {
        if let Some(message) = poller.client.poll(Duration::ZERO) {
            message?;
        }
        let mut found = 0;
        for queue in &queues {
            found += queue.poll(1024, |polled| match polled {
                Polled::Message(_) => events += 1,
                // Batches are not asked for.
                Polled::Batch { .. } | Polled::End { .. } => {}
                Polled::Failed { error, .. } => failed = Some(error),
            });
        }
        if found == 0 {
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
    failed.map_or(Ok(events), |error| Err(error.into()))
}

/// Counts, and measures from its start on.
pub struct Meter {
    clock: SystemClock,
    started: Duration,
    cpu: f64,
    /// Events seen.
    pub events: u64,
}

impl Meter {
    /// Time runs from here on.
    pub fn start() -> anyhow::Result<Self> {
        let clock = SystemClock::new();
        Ok(Self { started: clock.monotonic(), clock, cpu: cpu_micros(false)?, events: 0 })
    }

    /// What it took until now.
    pub fn report(&self, bytes: u64) -> anyhow::Result<JobReport> {
        let seconds = self.clock.monotonic().saturating_sub(self.started).as_secs_f64();
        let cpu = cpu_micros(false)? - self.cpu;
        Ok(JobReport { events: self.events, seconds, cpu_micros: Some(cpu), bytes, parts: Vec::new() })
    }
}

/// Takes batches, as large as the engine's, until the topic's end.
pub struct Batches {
    source: Box<dyn Source>,
    ends: BTreeMap<sluicebox_core::PartitionId, sluicebox_sources::Bounds>,
}

impl Batches {
    /// From the topic's beginning.
    pub async fn open(place: Place, topic: &str) -> anyhow::Result<Self> {
        let mut source = place.source(topic)?;
        let ends = source.bounds().await?;
        let positions = source.starting_offsets().await?;
        source.start(&positions).await?;
        Ok(Self { source, ends })
    }

    /// The next batch; `None` at the end.
    pub async fn next(&mut self) -> anyhow::Result<Option<Taken>> {
        loop {
            let buffered = self.source.buffered().await?;
            if buffered.iter().all(|b| self.ends.get(&b.partition).is_none_or(|e| b.position >= e.latest)) {
                return Ok(None);
            }
            let ranges: BTreeMap<_, _> = buffered
                .iter()
                .filter(|b| b.end() > b.position)
                .map(|b| (b.partition.clone(), OffsetRange::new(b.position, b.end())))
                .collect();
            if !ranges.is_empty() {
                return Ok(Some(self.source.take(&ranges).await?));
            }
            self.source.changed().await;
        }
    }
}

/// How many events were taken.
pub fn events(taken: &Taken) -> u64 {
    taken.events.iter().map(|e| e.events.num_rows() as u64).sum()
}

async fn source(place: Place, topic: &str) -> anyhow::Result<JobReport> {
    let mut meter = Meter::start()?;
    let mut batches = Batches::open(place, topic).await?;
    while let Some(taken) = batches.next().await? {
        meter.events += events(&taken);
        // An engine computes meanwhile; this leaves the core to the thread that fetches.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    meter.report(0)
}

/// The decoder of a topic of Avro, and the folder of its cache.
pub async fn avro_decoder(place: Place, topic: &str) -> anyhow::Result<(Arc<SourceDecoder>, tempfile::TempDir)> {
    let registry = place.registry()?;
    let reader = registry.latest(&format!("{topic}-value")).await?;
    let cache = tempfile::tempdir()?;
    let decoder =
        avro::decoder(&DecoderOptions::new("bench"), reader, registry, SchemaCache::open(cache.path().to_owned())?)?;
    Ok((Arc::new(decoder), cache))
}

/// The rows of one batch; the chunks of its events are decoded on as many threads as there are.
async fn decoded(decoder: &Arc<SourceDecoder>, taken: Taken) -> anyhow::Result<Vec<RecordBatch>> {
    let writers = decoder.prepare(&taken.events).await?;
    let mut tasks = Vec::new();
    for portion in portions(taken.events, crate::cores()) {
        let (decoder, writers) = (Arc::clone(decoder), Arc::clone(&writers));
        let parts: Vec<i32> = portion.iter().map(|raw| raw.partition.partition).collect();
        tasks.push(tokio::task::spawn_blocking(move || decoder.decode(&writers, &portion, &parts)));
    }
    let mut rows = Vec::new();
    for task in tasks {
        rows.extend(task.await??.rows);
    }
    Ok(rows)
}

async fn decode(place: Place, topic: &str, decoder: &Arc<SourceDecoder>) -> anyhow::Result<JobReport> {
    let mut meter = Meter::start()?;
    let mut batches = Batches::open(place, topic).await?;
    while let Some(taken) = batches.next().await? {
        meter.events += events(&taken);
        std::hint::black_box(decoded(decoder, taken).await?);
    }
    meter.report(0)
}

/// Batches are staged one after the other by one thread, while nothing else of this process works but the thread that
/// fetches ahead.
async fn write(place: Place, topic: &str) -> anyhow::Result<JobReport> {
    let (decoder, _cache) = avro_decoder(place, topic).await?;
    let location = tempfile::tempdir_in(".")?.keep().canonicalize()?;
    let clock = SystemClock::new();
    let mut batches = Batches::open(place, topic).await?;
    let mut report = JobReport { events: 0, seconds: 0.0, cpu_micros: None, bytes: 0, parts: Vec::new() };
    let mut nanos = 0;
    let mut table: Option<ParquetTable> = None;
    let mut batch_id = 0;
    while let Some(taken) = batches.next().await? {
        report.events += events(&taken);
        let rows = decoded(&decoder, taken).await?.iter().map(bronze).collect::<anyhow::Result<Vec<_>>>()?;
        let Some(first) = rows.first() else { continue };
        if table.is_none() {
            let made = ParquetTable::try_new(
                location.clone(),
                first.schema(),
                vec!["ingest_date".to_owned()],
                ParquetOptions::default(),
            )?;
            sluicebox_sinks::prepare(&location)?;
            table = Some(made);
        }
        let table = table.as_ref().context("a table")?;
        let (started, cpu) = (clock.monotonic(), thread_nanos());
        let staged = table.stage_files(&BatchKey { batch_id, query_id: "bench", epoch: 1 }, &rows)?;
        nanos += thread_nanos().saturating_sub(cpu);
        report.seconds += clock.monotonic().saturating_sub(started).as_secs_f64();
        report.bytes += staged.iter().map(|f| f.bytes).sum::<u64>();
        batch_id += 1;
    }
    report.cpu_micros = Some(nanos as f64 / 1e3);
    Ok(report)
}

/// A row of `bronze_sales`: the source's columns and the date.
fn bronze(batch: &RecordBatch) -> anyhow::Result<RecordBatch> {
    let visible = provenance::visible(batch)?;
    let date = cast(visible.column_by_name("ingest_time").context("column ingest_time")?, &DataType::Date32)?;
    let mut fields: Vec<_> = visible.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("ingest_date", DataType::Date32, true)));
    let mut columns = visible.columns().to_vec();
    columns.push(date);
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
