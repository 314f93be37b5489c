//! Both suites, and the tests of logs whose topics are selected in Kafka's words, and whose partitions hold Kafka's record batches.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use bytes::Bytes;
use sluicebox_core::raw::{HEAD, Large};
use sluicebox_core::{OffsetRange, PartitionId};

use super::{Bench, PREFETCH, conforms, events_of, expected, id, numbered, ranges, soon, started};
use crate::records::made::{self, Written};
use crate::testing::{self, Subject};
use crate::{LossReason, LostRange, Record, Source};

/// A log that takes record batches.
pub(crate) trait Batches: Bench {
    /// Appends a record batch as it is, but for its offset.
    fn append_batch(&mut self, topic: &str, partition: i32, batch: Vec<u8>);
}

/// A partition of a bench, as the suite of every source meets a log.
struct One<'b>(&'b mut dyn Batches);

impl Subject for One<'_> {
    fn partition(&self) -> PartitionId {
        id("one", 0)
    }

    fn append(&mut self, values: &[Vec<u8>]) {
        let record = |value: &Vec<u8>| Record { value: Some(Bytes::from(value.clone())), ..Record::default() };
        self.0.append("one", 0, values.iter().map(record).collect());
    }

    fn source(&self) -> Box<dyn Source> {
        self.0.source(&[("subscribe", "one"), ("startingOffsets", "earliest")], PREFETCH)
    }
}

/// Runs all of it.
pub(crate) async fn all(bench: &mut dyn Batches) {
    bench.create("one", 1);
    testing::conforms(&mut One(bench)).await;
    conforms(bench).await;
    batches_that_cannot_be_read_cost_themselves(bench).await;
    many_partitions_and_selection(bench).await;
}

async fn batches_that_cannot_be_read_cost_themselves(bench: &mut dyn Batches) {
    const LARGE: usize = 20_000_000;
    let packed = |how, count, records: &[Written]| made::batch(0, how, count, &made::pack(how, &made::body(records)));
    bench.create("packed", 1);
    bench.append("packed", 0, numbered(0..3));
    // Offsets 3 to 8: nothing that was ever packed. 9 to 13: two records, and then no more.
    bench.append_batch("packed", 0, made::batch(0, 4, 5, b"no zstd"));
    bench.append("packed", 0, numbered(8..9));
    bench.append_batch("packed", 0, packed(1, 4, &[Written::of(1, 2, 0), Written::of(1, 3, 0)]));
    // A value that is too large, between two that are not, in some kilobytes.
    let large = Written::of(2, LARGE, 1);
    bench.append_batch("packed", 0, packed(4, 3, &[Written::of(1, 4, 0), large.clone(), Written::of(1, 5, 0)]));
    bench.append("packed", 0, numbered(16..17));

    // `failOnDataLoss` is on: what is there and cannot be read is no loss of the log's.
    let mut source = bench.source(&[("subscribe", "packed"), ("startingOffsets", "earliest")], PREFETCH);
    started(source.as_mut()).await;
    let unreadable = |from, to| LostRange {
        partition: id("packed", 0),
        range: OffsetRange::new(from, to),
        reason: LossReason::Unreadable,
    };
    // The whole, the same again, and in pieces that begin and end in the middle of batches.
    for (from, to, wanted, lost) in [
        (0, 17, &[0, 1, 2, 8, 9, 10, 13, 14, 15, 16][..], vec![unreadable(3, 8), unreadable(11, 13)]),
        (0, 17, &[0, 1, 2, 8, 9, 10, 13, 14, 15, 16], vec![unreadable(3, 8), unreadable(11, 13)]),
        (4, 12, &[8, 9, 10], vec![unreadable(4, 8), unreadable(11, 12)]),
        (12, 14, &[13], vec![unreadable(12, 13)]),
        (14, 15, &[14], vec![]),
        (14, 17, &[14, 15, 16], vec![]),
    ] {
        let taken = soon("what can be read", source.take(&ranges(&[("packed", 0, from, to)]))).await.unwrap();
        let events = events_of(&taken, &id("packed", 0));
        assert_eq!(events.iter().map(|event| event.offset).collect::<Vec<_>>(), wanted, "{from}..{to}");
        assert_eq!(taken.lost, lost, "{from}..{to}");
        assert!(taken.gap_offsets.is_empty(), "{from}..{to}");
        if let Some(event) = events.iter().find(|event| event.offset == 14) {
            let cut = large.cut(HEAD);
            assert_eq!(event.record.key.as_deref(), cut.key.as_deref());
            assert!(event.record.value.as_deref() == cut.value.as_deref(), "the head of the value");
            assert!(event.record.headers.is_empty(), "those that say that it was cut are no headers of the event");
            let told: Vec<Large> = taken.events.iter().flat_map(|piece| piece.large.iter().copied()).collect();
            assert_eq!(told, [Large { offset: 14, key: 2, value: LARGE as u64 }]);
        }
    }
}

async fn many_partitions_and_selection(bench: &mut dyn Bench) {
    bench.create("sel-one", 4);
    bench.create("sel-two", 1);
    for partition in 0..4 {
        bench.append("sel-one", partition, numbered(0..i64::from(partition) * 100));
    }
    for (options, wanted) in [
        ([("subscribe", "sel-two,sel-one")], 5),
        ([("assign", r#"{"sel-one":[1,3]}"#)], 2),
        ([("subscribePattern", "sel-t.*")], 1),
    ] {
        let mut source = bench.source(&options, PREFETCH);
        assert_eq!(soon("bounds", source.bounds()).await.unwrap().len(), wanted, "{options:?}");
    }
    let mut source = bench.source(&[("subscribePattern", "sel-.*"), ("startingOffsets", "earliest")], PREFETCH);
    let positions = started(source.as_mut()).await;
    let bounds = soon("bounds", source.bounds()).await.unwrap();
    let all = positions.iter().map(|(id, from)| (id.clone(), OffsetRange::new(*from, bounds[id].latest))).collect();
    let taken = soon("all partitions", source.take(&all)).await.unwrap();
    for partition in 0..4 {
        assert_eq!(events_of(&taken, &id("sel-one", partition)), expected(0..i64::from(partition) * 100));
    }
}
