//! Topics of more partitions than there are seats.

use super::super::fetch::TURN;
use super::super::seats::SEATS;
use super::*;
use crate::conformance::{events_of, expected, id, numbered, ranges, soon, until};

const PARTITIONS: i32 = 2 * SEATS as i32;
const EVENTS: i64 = 4 * TURN as i64;

/// A topic whose partitions are led by the first `leaders` brokers in turn.
fn bench(leaders: i32) -> KafkaBench {
    let mut bench = KafkaBench::new();
    // The mock answers with one record batch of a partition at a time: those of each are of one size.
    let mut batches = ClientConfig::new();
    batches.set("bootstrap.servers", &bench.brokers).set("linger.ms", "1000").set("batch.num.messages", "1024");
    bench.producer = batches.create().unwrap();
    bench.create("t", PARTITIONS);
    for partition in 0..PARTITIONS {
        bench.cluster.partition_leader("t", partition, Some(1 + partition % leaders)).unwrap();
        bench.append("t", partition, numbered(0..EVENTS));
    }
    bench
}

async fn started(bench: &KafkaBench) -> KafkaSource {
    let mut source = source(bench, &[("subscribe", "t"), ("startingOffsets", "earliest")]);
    let positions = soon("starting offsets", source.starting_offsets()).await.unwrap();
    soon("the start", source.start(&positions)).await.unwrap();
    source
}

/// Takes all that is buffered, until every partition in `wanted` is at its end; `look` sees the positions in between.
async fn read(source: &mut KafkaSource, wanted: &[i32], mut look: impl FnMut(&KafkaSource, &BTreeMap<i32, i64>)) {
    let mut at: BTreeMap<i32, i64> = wanted.iter().map(|p| (*p, 0)).collect();
    while at.values().any(|position| *position < EVENTS) {
        let buffered = soon("what is buffered", source.buffered()).await.unwrap();
        let range = |b: &Buffered| (b.partition.clone(), OffsetRange::new(b.position, b.end()));
        let there: BTreeMap<_, _> = buffered.iter().map(range).filter(|(_, r)| !r.is_empty()).collect();
        if there.is_empty() {
            soon("something new", source.changed()).await;
            continue;
        }
        let taken = soon("what is there", source.take(&there)).await.unwrap();
        for (id, range) in &there {
            assert!(events_of(&taken, id) == expected(range.from..range.to), "{id} {range:?}");
            at.insert(id.partition, range.to);
        }
        look(source, &at);
    }
}

#[tokio::test]
async fn far_behind_few_are_assigned_at_once_and_all_come_on_evenly() {
    let bench = bench(1);
    let mut source = started(&bench).await;
    let all: Vec<i32> = (0..PARTITIONS).collect();
    let mut looks = 0;
    read(&mut source, &all, |source, at| {
        let (first, last) = (at.values().min().copied().unwrap_or(0), at.values().max().copied().unwrap_or(0));
        assert!(last - first <= 3 * TURN as i64, "nobody is more than three turns ahead of another: {at:?}");
        if last < EVENTS - TURN as i64 {
            let assigned = source.fetching.as_ref().unwrap().client.upgrade().unwrap().assignment().unwrap().count();
            assert!(assigned <= SEATS, "{assigned} partitions are assigned: {at:?}");
            looks += 1;
        }
    })
    .await;
    assert!(looks > 0);
    // Whoever is at its end stays, and hears of what is new at once.
    assert_eq!(source.fetching.as_ref().unwrap().client.upgrade().unwrap().assignment().unwrap().count(), all.len());
}

#[tokio::test]
async fn ranges_of_all_partitions_come_again_at_once() {
    let bench = bench(2);
    let mut source = started(&bench).await;
    until(&mut source, &id("t", 0), |b| b.end() > 0).await;
    // As a batch that was planned before a crash: more than the buffer holds, and from those who have no seat too.
    let planned: Vec<_> = (0..PARTITIONS).map(|p| ("t", p, 5, EVENTS - 5)).collect();
    for _ in 0..2 {
        let taken = soon("the planned ranges", source.take(&ranges(&planned))).await.unwrap();
        for partition in 0..PARTITIONS {
            assert!(events_of(&taken, &id("t", partition)) == expected(5..EVENTS - 5), "{partition}");
        }
    }
}

#[tokio::test]
async fn partitions_whose_leader_is_away_keep_no_seat() {
    let bench = bench(2);
    let mut source = started(&bench).await;
    bench.cluster.broker_down(1).unwrap();
    let led_by_the_other: Vec<i32> = (0..PARTITIONS).filter(|p| p % 2 == 1).collect();
    read(&mut source, &led_by_the_other, |_, _| ()).await;
    bench.cluster.broker_up(1).unwrap();
    let rest: Vec<_> = (0..PARTITIONS).filter(|p| p % 2 == 0).map(|p| ("t", p, 0, EVENTS)).collect();
    let taken = soon("the rest", source.take(&ranges(&rest))).await.unwrap();
    for (_, partition, ..) in rest {
        assert!(events_of(&taken, &id("t", partition)) == expected(0..EVENTS), "{partition}");
    }
}
