//! Decodes a batch's events, as far as there is room for their rows.
//!
//! A few bytes of an event can become a row of any size, by defaults of the reader schema, or by NULL in many columns. So a batch is cut
//! once more, by the size of its rows. Its events are decoded in their order until a budget is used up, and the next batches take the rest.

#[cfg(test)]
pub(crate) mod tests;

use std::num::NonZero;
use std::sync::Arc;

use arrow::array::RecordBatch;
use sluicebox_core::PartitionId;
use sluicebox_core::raw::RawEvents;
use sluicebox_core::station::{self, Station};
use sluicebox_formats::{Decoded, Prepared, SourceDecoder, portions, weight};

use crate::EngineError;
use crate::report::SourceTally;

/// What turns the events of a source into rows, on several threads.
pub(crate) type SharedDecoder = Arc<SourceDecoder>;

/// Bytes of rows for each byte of raw events that a batch may take. Most events become twice what they were.
const ROWS_OF_A_BYTE: u64 = 3;
/// And what rows may take in the smallest batches.
const LEAST: usize = 16 << 20;

/// What the rows of a batch may take in memory when its events may take `batch_bytes`. The last row may pass it.
pub(crate) fn budget(batch_bytes: u64) -> usize {
    usize::try_from(batch_bytes.saturating_mul(ROWS_OF_A_BYTE)).unwrap_or(usize::MAX).max(LEAST)
}

/// What became of the events of a source.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Source rows in the order of the events.
    pub rows: Vec<RecordBatch>,
    /// Dead letters in their order.
    pub dead_letters: Vec<RecordBatch>,
    /// The events that had no room: of each partition the last ones.
    pub rest: Vec<RawEvents>,
}

impl Done {
    fn add(&mut self, report: &mut SourceTally, decoded: Decoded) {
        report.add(&decoded);
        self.rows.extend(decoded.rows);
        if decoded.dead_letters.num_rows() > 0 {
            self.dead_letters.push(decoded.dead_letters);
        }
    }
}

/// Decodes `events` until their rows take `left` bytes, from which it takes what they do. If it is not 0, that is one event at
/// least.
pub(crate) async fn decode(
    report: &mut SourceTally,
    decoder: &SharedDecoder,
    events: Vec<RawEvents>,
    partitions: &[PartitionId],
    left: &mut usize,
) -> Result<Done, EngineError> {
    let mut done = Done::default();
    if *left == 0 {
        done.rest = events;
        return Ok(done);
    }
    let prepared = decoder.prepare(&events).await?;
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut rest = events;
    while *left > 0 && !rest.is_empty() {
        // If these all become rows, there is no room for more: of more nobody needs to try.
        let (some, later) = split(rest, (*left / decoder.least_row().max(1)).max(1));
        let mut waiting = portions(some, threads);
        let mut at_once = waiting.len();
        while *left > 0 && !waiting.is_empty() {
            let behind = waiting.split_off(at_once.min(waiting.len()));
            let tried = decode_all(decoder, &prepared, std::mem::take(&mut waiting), partitions, *left).await?;
            for (decoded, portion) in tried {
                // One before it has no room for its last events, which come first.
                if !waiting.is_empty() {
                    waiting.push(portion);
                    continue;
                }
                let (_, over) = split(portion, decoded.taken);
                *left = left.saturating_sub(decoded.bytes);
                done.add(report, decoded);
                if !over.is_empty() {
                    waiting.push(over);
                }
            }
            if !waiting.is_empty() {
                // Alone, each has all the room that is left.
                at_once = 1;
            }
            waiting.extend(behind);
        }
        rest = waiting.into_iter().flatten().chain(later).collect();
    }
    done.rest = rest;
    Ok(done)
}

/// Decodes each of `portions` on a thread of its own, as far as it has its share of `left` bytes; gives them back, in their order.
async fn decode_all(
    decoder: &SharedDecoder,
    prepared: &Arc<dyn Prepared>,
    portions: Vec<Vec<RawEvents>>,
    partitions: &[PartitionId],
    left: usize,
) -> Result<Vec<(Decoded, Vec<RawEvents>)>, EngineError> {
    let number = |RawEvents { partition, .. }: &RawEvents| {
        let at = partitions.binary_search(partition);
        let part = at.map_err(|_| EngineError::Bug(format!("events of {partition}, which the batch does not read")))?;
        i32::try_from(part).map_err(|_| EngineError::Bug("too many partitions".to_owned()))
    };
    let shares = shares(&portions.iter().map(|portion| weight(portion)).collect::<Vec<_>>(), left);
    let mut tasks = Vec::with_capacity(portions.len());
    for (portion, share) in portions.into_iter().zip(shares) {
        let parts = portion.iter().map(number).collect::<Result<Vec<_>, _>>()?;
        let (decoder, prepared) = (Arc::clone(decoder), Arc::clone(prepared));
        tasks.push(tokio::task::spawn_blocking(move || {
            let decode = || decoder.decode_within(&prepared, &portion, &parts, share);
            station::spend(Station::Decode, decode).map(|decoded| (decoded, portion))
        }));
    }
    let mut tried = Vec::with_capacity(tasks.len());
    for task in tasks {
        tried.push(task.await??);
    }
    Ok(tried)
}

/// What each of some portions of these weights may take of `left` bytes.
fn shares(weights: &[usize], left: usize) -> Vec<usize> {
    let all = weights.iter().map(|weight| *weight as u128).sum::<u128>().max(1);
    let share = |weight: &usize| usize::try_from(left as u128 * *weight as u128 / all).unwrap_or(left);
    weights.iter().map(share).collect()
}

/// The first `count` of `events`, and those behind them.
fn split(events: Vec<RawEvents>, mut count: usize) -> (Vec<RawEvents>, Vec<RawEvents>) {
    let (mut first, mut behind) = (Vec::with_capacity(events.len()), Vec::new());
    for raw in events {
        let rows = raw.events.num_rows();
        if count >= rows {
            first.push(raw);
        } else if count == 0 {
            behind.push(raw);
        } else {
            let (head, tail) = raw.split_at(count);
            first.push(head);
            behind.push(tail);
        }
        count = count.saturating_sub(rows);
    }
    (first, behind)
}
