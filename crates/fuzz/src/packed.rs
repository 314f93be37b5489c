//! A record batch of any records, in any compression, between two sound ones: it fails alone, and a sound batch unpacks to its records.
//!
//! Input: a byte with Kafka's compression (its four lowest bits; its highest bit says that the target packs the records), a byte with the
//! number of records that the batch's header counts, then the records.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use sluicebox_core::raw::{LONGEST_EVENT, column, raw_schema};
use sluicebox_core::{ManualClock, OffsetRange, PartitionId};
use sluicebox_sources::testing::pack;
use sluicebox_sources::{EmbeddedLog, Fsync, KafkaOptions, LogSource, LossReason, Source, TopicOptions, seal_batch};

use crate::input::{array, folder, wait};

/// Two records, as the log writes them; the byte before them is the target's that they are a seed of.
const GOOD: &[u8] = include_bytes!("../corpus/log/one");
/// Bytes of a batch before its records.
const HEADER: usize = 61;
/// Nobody waits longer for what is in a file.
const PATIENCE: Duration = Duration::from_secs(10);

/// The batch from offset `base` on, whose header counts `count` records, which are `records`, packed by `how`.
fn batch(base: i64, how: u8, count: u8, records: &[u8]) -> Vec<u8> {
    let mut bytes = [&GOOD[1..=HEADER], records].concat();
    bytes[..8].copy_from_slice(&base.to_be_bytes());
    bytes[22] = how;
    // The last offset, counted from the first one; then how many there are.
    bytes[26] = count - 1;
    bytes[60] = count;
    seal_batch(&mut bytes);
    bytes
}

/// What is read of a topic of one segment that ends before offset `end`: events, and which offsets are lost.
fn read(segment: &[u8], end: i64) -> (RecordBatch, BTreeSet<i64>) {
    let dir = folder();
    let log = EmbeddedLog::open_with(dir.path(), Arc::new(ManualClock::at(0)), Fsync::OnFlush).unwrap();
    log.create_topic("t", 1, TopicOptions::default()).unwrap();
    fs::write(dir.path().join("t/0/00000000000000000000.log"), segment).unwrap();
    let options = [("subscribe".to_owned(), "t".to_owned())];
    let options = KafkaOptions::from_options("s", &options, &|_| None).unwrap();
    let mut source = LogSource::new("s", log, options, 1 << 20).unwrap();
    let partition = PartitionId::new("s", "t", 0);
    let ranges = BTreeMap::from([(partition.clone(), OffsetRange::new(0, end))]);
    let taken = wait(async {
        source.start(&BTreeMap::from([(partition, 0)])).await.unwrap();
        tokio::time::timeout(PATIENCE, source.take(&ranges)).await
    });
    let taken = taken.expect("it is read in time").expect("what somebody wrote stops nobody");
    let events = concat_batches(&raw_schema(), taken.events.iter().map(|piece| &piece.events)).unwrap();
    let mut lost = BTreeSet::new();
    for range in &taken.lost {
        assert_eq!(range.reason, LossReason::Unreadable);
        lost.extend(range.range.from..range.range.to);
    }
    let gaps: u64 = taken.gap_offsets.values().sum();
    let known = events.num_rows() as u64 + lost.len() as u64 + gaps;
    assert_eq!(i64::try_from(known), Ok(end), "each offset is an event, a gap, or lost");
    (events, lost)
}

pub(crate) fn run(mut input: &[u8]) {
    let [what, count] = array(&mut input);
    let (how, count) = (what & 0x0f, count.max(1));
    let end = 4 + i64::from(count);
    let is_ours = what & 0x80 != 0 && (1..=4).contains(&(how & 7));
    let packed = if is_ours { pack(u16::from(how & 7), input) } else { input.to_vec() };
    let between = |how: u8, records: &[u8]| {
        let mut last = GOOD[1..].to_vec();
        last[..8].copy_from_slice(&(end - 2).to_be_bytes());
        [&GOOD[1..], &batch(2, how, count, records)[..], &last[..]].concat()
    };
    let (events, lost) = read(&between(how, &packed), end);
    let offsets = events.column(column::OFFSET).as_primitive::<Int64Type>().values();
    assert!(offsets.is_sorted_by(|one, next| one < next), "{offsets:?}");
    for good in [0, 1, end - 2, end - 1] {
        assert!(offsets.contains(&good), "event {good} is not there: it costs others");
    }
    assert!(offsets.iter().all(|offset| !lost.contains(offset)), "lost and there");
    let bytes = |at: usize| events.column(at).as_binary::<i32>().iter().flatten().map(<[u8]>::len).max();
    assert!([column::KEY, column::VALUE].into_iter().filter_map(bytes).all(|bytes| bytes <= LONGEST_EVENT));
    if is_ours {
        let (as_it_was, as_lost) = read(&between(how & !7, input), end);
        assert_eq!((events, lost), (as_it_was, as_lost), "packed and as it was");
    }
}
