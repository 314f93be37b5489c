//! The overlapped ceiling of a run: what reads its topic and what writes its tables, at once, and nothing else.
//!
//! One thread polls the same range and drops it. Beside it as many threads as there are cores write the very rows that
//! the run wrote, file by file, with the run's settings of the Parquet writer, and sync nothing. The rows are in memory
//! before the time starts. No pipeline that writes these tables with this reader and this writer can be faster.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sluicebox_core::{Clock, SystemClock};
use sluicebox_sinks::ParquetOptions;

use crate::jobs::{Batches, Meter, events, poll_all, poll_client};
use crate::measure::JobReport;
use crate::place::{Place, files};

/// Rows that reach the writer in one call, as in the sink.
const CHUNK_ROWS: usize = 8192;
/// Decoded rows that are kept in memory at most; of a larger run the first files are written again and again.
const MEMORY: usize = 3 << 30;

/// Files of a run: how many there are, and the rows of the first ones.
struct Written {
    files: usize,
    loaded: Vec<Vec<RecordBatch>>,
}

/// Reads `topic` and writes the tables below `data` anew.
pub async fn ceiling(place: Place, topic: &str, data: &Path) -> anyhow::Result<JobReport> {
    let written = load(data)?;
    let out = tempfile::tempdir_in(".")?.keep();
    let bytes = AtomicU64::new(0);
    let next = AtomicUsize::new(0);
    let write = || -> anyhow::Result<()> {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= written.files {
                return Ok(());
            }
            let rows = written.loaded.get(at % written.loaded.len()).context("a loaded file")?;
            let path = out.join(at.to_string());
            bytes.fetch_add(write_file(&path, rows)?, Ordering::Relaxed);
        }
    };
    let client = if place == Place::Kafka { Some(poll_client(topic)?) } else { None };
    let mut meter = Meter::start()?;
    let clock = SystemClock::new();
    let writers = if written.loaded.is_empty() { 0 } else { crate::cores() };
    let (read, reading, writing) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers).map(|_| scope.spawn(|| write().map(|()| clock.monotonic()))).collect();
        let read = match client {
            Some((client, total)) => poll_all(&client, total),
            None => futures::executor::block_on(source_all(place, topic)),
        };
        let reading = clock.monotonic();
        let mut writing = Duration::ZERO;
        for thread in threads {
            match thread.join() {
                Ok(ended) => writing = writing.max(ended?),
                Err(_) => bail!("a thread that writes ended"),
            }
        }
        Ok((read?, reading, writing))
    })?;
    meter.events = read;
    let mut report = meter.report(bytes.load(Ordering::Relaxed))?;
    report.parts = vec![("reader".to_owned(), reading.as_secs_f64()), ("writers".to_owned(), writing.as_secs_f64())];
    Ok(report)
}

async fn source_all(place: Place, topic: &str) -> anyhow::Result<u64> {
    let mut batches = Batches::open(place, topic).await?;
    let mut read = 0;
    while let Some(taken) = batches.next().await? {
        read += events(&taken);
    }
    Ok(read)
}

/// The Parquet files below `data`, in the order of their names, as far as they fit.
fn load(data: &Path) -> anyhow::Result<Written> {
    let mut paths: Vec<PathBuf> = files(data, &|path| path.extension().is_some_and(|e| e == "parquet"));
    // Names begin with the batch: files of all tables come in the order in which the run wrote them.
    paths.sort_by(|a, b| a.file_name().cmp(&b.file_name()).then_with(|| a.cmp(b)));
    let mut written = Written { files: paths.len(), loaded: Vec::new() };
    let mut memory = 0;
    for path in &paths {
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?.with_batch_size(CHUNK_ROWS).build()?;
        let rows = reader.collect::<Result<Vec<_>, _>>()?;
        memory += rows.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
        written.loaded.push(rows);
        if memory > MEMORY {
            break;
        }
    }
    Ok(written)
}

fn write_file(path: &Path, rows: &[RecordBatch]) -> anyhow::Result<u64> {
    let Some(first) = rows.first() else { return Ok(0) };
    let properties = ParquetOptions::default().writer_properties()?;
    let file = BufWriter::with_capacity(128 * 1024, File::create(path)?);
    let mut writer = ArrowWriter::try_new(file, first.schema(), Some(properties))?;
    for chunk in rows {
        writer.write(chunk)?;
    }
    writer.into_inner()?.into_inner()?;
    Ok(std::fs::metadata(path)?.len())
}
