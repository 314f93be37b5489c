//! Gathers the rows of one partition from the batches that hold them, in chunks of a fixed size.
//!
//! The bytes of a file depend on how many rows each call to its writer has. So that number may not depend on how the batches were cut.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, interleave_record_batch, take_record_batch};
use arrow::error::ArrowError;

/// Rows that reach a writer in one call. Part of what makes a replayed file byte-identical: changing it changes files.
pub(crate) const CHUNK_ROWS: usize = 8192;

/// Above this mean length of runs, slices are put together; below, rows are picked one by one.
const LONG_RUN: usize = 32;

/// Neighbouring rows of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// Index of the batch.
    pub batch: usize,
    /// The first row.
    pub start: usize,
    /// How many rows; at least one.
    pub len: usize,
}

/// Appends `run` to `runs`, as part of the last one if it goes on there.
pub(crate) fn push_run(runs: &mut Vec<Run>, run: Run) {
    if let Some(last) = runs.last_mut()
        && last.batch == run.batch
        && last.start + last.len == run.start
    {
        last.len += run.len;
    } else if run.len > 0 {
        runs.push(run);
    }
}

/// The rows of `runs` in order, as chunks of [`CHUNK_ROWS`] rows, the last one smaller.
pub(crate) fn chunks<'a>(
    batches: &'a [RecordBatch],
    runs: &'a [Run],
) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> + 'a {
    let mut rest = runs.iter().copied();
    let mut open: Option<Run> = None;
    std::iter::from_fn(move || {
        let mut chunk = Vec::new();
        let mut rows = 0;
        while rows < CHUNK_ROWS {
            let Some(mut run) = open.take().or_else(|| rest.next()) else { break };
            let len = run.len.min(CHUNK_ROWS - rows);
            chunk.push(Run { len, ..run });
            rows += len;
            if len < run.len {
                run.start += len;
                run.len -= len;
                open = Some(run);
            }
        }
        (!chunk.is_empty()).then(|| collect(batches, &chunk, rows))
    })
}

fn collect(batches: &[RecordBatch], chunk: &[Run], rows: usize) -> Result<RecordBatch, ArrowError> {
    let Some(first) = chunk.first() else {
        return Err(ArrowError::ComputeError("a chunk without rows".to_owned()));
    };
    let batch = |run: &Run| {
        batches.get(run.batch).ok_or_else(|| ArrowError::ComputeError(format!("no batch {} to take from", run.batch)))
    };
    if chunk.len() == 1 {
        return Ok(batch(first)?.slice(first.start, first.len));
    }
    if rows / chunk.len() >= LONG_RUN {
        let slices = chunk
            .iter()
            .map(|run| Ok(batch(run)?.slice(run.start, run.len)))
            .collect::<Result<Vec<_>, ArrowError>>()?;
        return concat_batches(batch(first)?.schema_ref(), &slices);
    }
    if chunk.iter().all(|run| run.batch == first.batch) {
        let indices = chunk.iter().flat_map(|run| run.start..run.start + run.len).map(index);
        return take_record_batch(batch(first)?, &UInt32Array::from(indices.collect::<Result<Vec<_>, _>>()?));
    }
    let low = first.batch;
    let high = chunk.last().unwrap_or(first).batch;
    let taken: Vec<&RecordBatch> = batches.get(low..=high).unwrap_or_default().iter().collect();
    let indices: Vec<(usize, usize)> =
        chunk.iter().flat_map(|run| (run.start..run.start + run.len).map(|row| (run.batch - low, row))).collect();
    interleave_record_batch(&taken, &indices)
}

fn index(row: usize) -> Result<u32, ArrowError> {
    u32::try_from(row).map_err(|_| ArrowError::ComputeError(format!("a batch with more than {} rows", u32::MAX)))
}
