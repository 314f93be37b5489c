//! When rows became visible: what the change times of files tell.
//!
//! A file is visible when it has been linked to its name. Its change time is set then, and once more when its staged
//! name is removed a little later: what is printed is never too short.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::place::files;

/// The Parquet files below `folder`, with the microsecond in which each became visible.
fn parquet_files(folder: &Path) -> anyhow::Result<Vec<(PathBuf, i64)>> {
    let paths = files(folder, &|p| p.extension().is_some_and(|e| e == "parquet"));
    let changed = |path: PathBuf| {
        let metadata = std::fs::metadata(&path)?;
        Ok((path, metadata.ctime() * 1_000_000 + metadata.ctime_nsec() / 1000))
    };
    paths.into_iter().map(changed).collect()
}

fn read(path: &Path) -> anyhow::Result<Vec<RecordBatch>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path)?)?.build()?;
    Ok(reader.collect::<Result<Vec<_>, _>>()?)
}

/// A column of numbers, or of times as microseconds since 1970.
fn numbers(batch: &RecordBatch, name: &str) -> anyhow::Result<Vec<i64>> {
    let column = batch.column_by_name(name).with_context(|| format!("column {name}"))?;
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let column = if column.data_type().is_temporal() { cast(column, &micros)? } else { column.clone() };
    let column = cast(&column, &DataType::Int64)?;
    Ok(column.as_primitive::<Int64Type>().iter().map(|value| value.unwrap_or(i64::MIN)).collect())
}

/// Of every row in `folder` whose event is not older than `first`: microseconds from its event to its file.
pub fn rows(folder: &Path, first: i64) -> anyhow::Result<Vec<i64>> {
    let mut latencies = Vec::new();
    for (path, visible) in parquet_files(folder)? {
        for batch in read(&path)? {
            let events = numbers(&batch, "_timestamp")?;
            latencies.extend(events.into_iter().filter(|t| *t >= first).map(|t| visible - t));
        }
    }
    if latencies.is_empty() {
        bail!("no row became visible in {}", folder.display());
    }
    Ok(latencies)
}

/// Of every window of `gold`, `length` microseconds long: microseconds from the event that moved the watermark, `delay`
/// behind the events in `bronze`, to the window's end or past it, to the file that shows it.
pub fn windows(bronze: &Path, gold: &Path, length: i64, delay: i64, first: i64) -> anyhow::Result<Vec<i64>> {
    let moves = watermark(bronze, delay)?;
    let mut shown = BTreeMap::<i64, i64>::new();
    for (path, visible) in parquet_files(gold)? {
        for batch in read(&path)? {
            for start in numbers(&batch, "window_start")? {
                let at = shown.entry(start + length).or_insert(visible);
                *at = visible.min(*at);
            }
        }
    }
    let mover = |end: i64| moves.get(moves.partition_point(|(watermark, _)| *watermark < end)).map(|(_, at)| *at);
    let latencies =
        shown.iter().filter_map(|(end, visible)| mover(*end).filter(|at| *at >= first).map(|at| visible - at));
    Ok(latencies.collect())
}

/// Where the watermark was and since when, both ascending, from the events themselves: the least of what the partitions
/// have seen.
fn watermark(bronze: &Path, delay: i64) -> anyhow::Result<Vec<(i64, i64)>> {
    let mut events = Vec::new();
    for (path, _) in parquet_files(bronze)? {
        for batch in read(&path)? {
            let (partitions, offsets) = (numbers(&batch, "_partition")?, numbers(&batch, "_offset")?);
            let (produced, times) = (numbers(&batch, "_timestamp")?, numbers(&batch, "event_time")?);
            let columns = produced.into_iter().zip(partitions).zip(offsets).zip(times);
            events.extend(columns.map(|(((at, partition), offset), time)| (at, partition, offset, time)));
        }
    }
    events.sort_unstable();
    let partitions = events.iter().map(|(_, partition, ..)| *partition).max().unwrap_or(0) + 1;
    let mut newest = BTreeMap::<i64, i64>::new();
    let mut moves: Vec<(i64, i64)> = Vec::new();
    for (at, partition, _, time) in events {
        let seen = newest.entry(partition).or_insert(time);
        *seen = time.max(*seen);
        let lowest = newest.values().copied().min().unwrap_or(i64::MIN) - delay;
        let all = i64::try_from(newest.len()).is_ok_and(|known| known == partitions);
        if all && moves.last().is_none_or(|(before, _)| *before < lowest) {
            moves.push((lowest, at));
        }
    }
    Ok(moves)
}
