//! Cuts a batch's events into portions, each decoded by one thread.

use arrow::array::AsArray;
use sluicebox_core::raw::{RawEvents, column};

/// Rows of a batch at most.
pub(crate) const BATCH_ROWS: usize = 32 * 1024;
/// Events that are worth a thread of their own.
const FEWEST: usize = 8 * 1024;
/// What an event without a value weighs, in bytes.
const EVENT: usize = 24;

/// `events`, a batch's in their order, as portions for [`SourceDecoder::decode`](crate::SourceDecoder::decode): neighbouring chunks, as
/// many as make a good batch of rows, and few enough that `threads` threads have work.
#[must_use]
pub fn portions(events: Vec<RawEvents>, threads: usize) -> Vec<Vec<RawEvents>> {
    let total: usize = events.iter().map(|raw| raw.events.num_rows()).sum();
    let most = (total / threads.max(1)).clamp(FEWEST, BATCH_ROWS);
    let mut portions: Vec<Vec<RawEvents>> = Vec::new();
    let mut count = 0;
    for raw in events {
        let size = raw.events.num_rows();
        match portions.last_mut() {
            Some(portion) if count + size <= most => {
                count += size;
                portion.push(raw);
            }
            _ => {
                count = size;
                portions.push(vec![raw]);
            }
        }
    }
    portions
}

/// About the bytes of the values of `events`, with something for each: what it costs to decode some of them beside others.
#[must_use]
pub fn weight(events: &[RawEvents]) -> usize {
    let of = |raw: &RawEvents| {
        let ends = raw.events.column(column::VALUE).as_binary_opt::<i32>().map(|values| values.value_offsets());
        let bytes = ends.and_then(|ends| Some(ends.last()? - ends.first()?)).unwrap_or_default();
        EVENT * raw.events.num_rows() + usize::try_from(bytes).unwrap_or_default()
    };
    events.iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::raw;

    /// The last partition of each portion, and its events.
    fn sizes(chunks: &[(i32, usize)], threads: usize) -> Vec<(i32, usize)> {
        let events = chunks.iter().map(|(partition, count)| raw(*partition, &vec![None; *count])).collect();
        let size = |portion: &Vec<RawEvents>| {
            let last = portion.last().map_or(-1, |raw| raw.partition.partition);
            (last, portion.iter().map(|raw| raw.events.num_rows()).sum())
        };
        portions(events, threads).iter().map(size).collect()
    }

    #[test]
    fn neighbours_go_together() {
        assert_eq!(sizes(&[(0, 5000), (0, 3000), (1, 100), (1, 100), (2, 5)], 2), [(1, 8100), (2, 105)]);
        assert_eq!(sizes(&[], 2), []);
    }

    #[test]
    fn there_is_work_for_all_threads() {
        let chunks = [(0, 4096); 16];
        assert_eq!(sizes(&chunks, 2), [(0, 32_768); 2]);
        assert_eq!(sizes(&chunks, 4), [(0, 16_384); 4]);
        // But not for so many that each has next to none.
        assert_eq!(sizes(&chunks, 64), [(0, 8192); 8]);
    }

    #[test]
    fn what_events_weigh_is_the_bytes_of_their_values_also_of_a_part_of_a_chunk() {
        let events = raw(0, &[Some(vec![1; 100]), None, Some(vec![1; 7])]);
        assert_eq!(weight(&[events.clone(), events.clone()]), 2 * (107 + 3 * EVENT));
        let (head, tail) = events.split_at(1);
        assert_eq!((weight(&[head]), weight(&[tail]), weight(&[])), (100 + EVENT, 7 + 2 * EVENT, 0));
    }

    #[test]
    fn one_chunk_may_be_more_than_a_portion() {
        assert_eq!(sizes(&[(0, 40_000), (0, 40_000)], 1), [(0, 40_000), (0, 40_000)]);
    }
}
