//! Reading a batch: its events are taken from the sources and decoded.
//!
//! That has no effect on anything durable, so it need not wait for the batch before: while that one's files are staged,
//! committed and published, what the next one will read is decoded already ([`Engine::look_ahead`]). Only a batch that is
//! cut by a limit ([`Admission::full`](crate::admit::Admission::full)) is read ahead: another would miss what comes in meanwhile.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZero;
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::FutureExt;
use futures::future::BoxFuture;
use sluicebox_avro::{Decoded, Writers, portions};
use sluicebox_core::fault::{self, Effect, Phase, What};
use sluicebox_core::raw::RawEvents;
use sluicebox_core::station::{self, Station};
use sluicebox_core::{OffsetRange, PartitionId};
use sluicebox_ingest::{Proof, Taken};

use crate::EngineError;
use crate::checkpoint::records::PlannedRange;
use crate::config::RowsOf;
use crate::engine::{Engine, SharedDecoder};
use crate::report::SourceReport;

/// What the sources gave to a batch.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// One a source.
    pub reports: Vec<SourceReport>,
    /// Rows by source, or by the table whose rows were read back, in the order of (partition, offset).
    pub rows: BTreeMap<String, Vec<RecordBatch>>,
    /// Dead letters by source; only sources that have some.
    pub dead_letters: Vec<(String, Vec<RecordBatch>)>,
    /// Of the events: must hold before the batch is committed.
    pub proofs: Vec<Proof>,
}

/// A batch that is being decoded.
type Reading = BoxFuture<'static, Result<Read, EngineError>>;

/// The next batch, read ahead.
pub(crate) struct Ahead {
    /// What it reads, before that is durable.
    pub ranges: Vec<PlannedRange>,
    reading: Reading,
}

impl fmt::Debug for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ahead").field("ranges", &self.ranges).finish_non_exhaustive()
    }
}

impl Engine {
    /// What the batch of `ranges` reads: what was read ahead, if that is it.
    pub(crate) async fn read(&mut self, ranges: &[PlannedRange]) -> Result<Reading, EngineError> {
        match self.ahead.take() {
            Some(ahead) if ahead.ranges == ranges => Ok(ahead.reading),
            _ => self.begin_reading(ranges).await,
        }
    }

    /// Begins to read the batch after the one that is computed now, if there is enough for a full one.
    pub(crate) async fn look_ahead(&mut self) -> Result<(), EngineError> {
        if !self.looks_ahead || self.ahead.is_some() {
            return Ok(());
        }
        let admission = self.admission(self.next_batch + 1).await?;
        if admission.full && !admission.is_empty() {
            let mut reading = self.begin_reading(&admission.ranges).await?;
            // Once it has been polled, other threads are at work on it.
            if let Some(read) = (&mut reading).now_or_never() {
                reading = std::future::ready(read).boxed();
            }
            self.ahead = Some(Ahead { ranges: admission.ranges, reading });
        }
        Ok(())
    }

    async fn begin_reading(&mut self, ranges: &[PlannedRange]) -> Result<Reading, EngineError> {
        let partitions: Arc<[PartitionId]> = ranges.iter().map(|r| r.partition.clone()).collect();
        let mut parts = Vec::with_capacity(self.config.sources.len());
        let mut proofs = Vec::new();
        for binding in &mut self.config.sources {
            let own: BTreeMap<PartitionId, OffsetRange> = ranges
                .iter()
                .filter(|r| r.partition.source == binding.name && !r.range.is_empty())
                .map(|r| (r.partition.clone(), r.range))
                .collect();
            let taken = if own.is_empty() {
                Taken::default()
            } else {
                fault::reach(What::Events, Effect::Fetch, Phase::Before);
                let taken = binding.source.take(&own).await?;
                fault::reach(What::Events, Effect::Fetch, Phase::After);
                taken
            };
            let report = SourceReport::new(&binding.name, ranges, &taken);
            proofs.push(taken.proof);
            parts.push(Part { report, rows: binding.rows.clone(), events: taken.events, ranges: own });
        }
        parts.sort_by(|a, b| a.report.source.cmp(&b.report.source));
        Ok(rows_of(parts, partitions, proofs).boxed())
    }
}

/// What a batch takes of one source.
struct Part {
    report: SourceReport,
    rows: RowsOf,
    events: Vec<RawEvents>,
    ranges: BTreeMap<PartitionId, OffsetRange>,
}

async fn rows_of(parts: Vec<Part>, partitions: Arc<[PartitionId]>, proofs: Vec<Proof>) -> Result<Read, EngineError> {
    let mut read = Read { proofs, ..Read::default() };
    for Part { mut report, rows, events, ranges } in parts {
        match rows {
            RowsOf::Events(decoder) => {
                let (rows, dead_letters) = decode(&mut report, &decoder, events, &partitions).await?;
                read.rows.entry(report.source.clone()).or_default().extend(rows);
                if !dead_letters.is_empty() {
                    read.dead_letters.push((report.source.clone(), dead_letters));
                }
            }
            RowsOf::Files(files) => {
                let (all, wanted) = (Arc::clone(&partitions), ranges.clone());
                let tables = tokio::task::spawn_blocking(move || files.read(&wanted, &all)).await??;
                report.add_read_back(&partitions, &ranges, tables.values().flatten())?;
                read.rows.extend(tables);
            }
        }
        read.reports.push(report);
    }
    Ok(read)
}

/// Rows and dead letters of `events`.
async fn decode(
    report: &mut SourceReport,
    decoder: &SharedDecoder,
    events: Vec<RawEvents>,
    partitions: &[PartitionId],
) -> Result<(Vec<RecordBatch>, Vec<RecordBatch>), EngineError> {
    let writers = Arc::new(decoder.prepare(&events).await?);
    let (mut rows, mut dead_letters) = (Vec::new(), Vec::new());
    for part in decode_all(decoder, &writers, events, partitions).await? {
        report.add(&part);
        rows.extend(part.rows);
        if part.dead_letters.num_rows() > 0 {
            dead_letters.push(part.dead_letters);
        }
    }
    Ok((rows, dead_letters))
}

/// Decodes `events` on as many threads as there are cores; the results stand in the events' order.
async fn decode_all(
    decoder: &SharedDecoder,
    writers: &Arc<Writers>,
    events: Vec<RawEvents>,
    partitions: &[PartitionId],
) -> Result<Vec<Decoded>, EngineError> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let portions = portions(events, threads);
    let mut tasks = Vec::with_capacity(portions.len());
    for portion in portions {
        let number = |RawEvents { partition, .. }: &RawEvents| {
            let at = partitions.binary_search(partition);
            let part =
                at.map_err(|_| EngineError::Bug(format!("events of {partition}, which the batch does not read")))?;
            i32::try_from(part).map_err(|_| EngineError::Bug("too many partitions".to_owned()))
        };
        let parts = portion.iter().map(number).collect::<Result<Vec<_>, _>>()?;
        let (decoder, writers) = (Arc::clone(decoder), Arc::clone(writers));
        tasks.push(tokio::task::spawn_blocking(move || {
            station::spend(Station::Decode, || decoder.decode(&writers, &portion, &parts))
        }));
    }
    let mut decoded = Vec::with_capacity(tasks.len());
    for task in tasks {
        decoded.push(task.await??);
    }
    Ok(decoded)
}
