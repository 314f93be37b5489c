//! Clusters that misbehave: slow, without leaders, failing in between, down half-way; topics that are gone.
//!
//! Whatever happens, a range holds its events once and in order, or the source reports what is lost.

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;
use crate::conformance::{deleted, events_of, expected, id, numbered, ranges, soon, until};
use crate::{KnownEnd, LossReason, SourceError};

const EARLIEST: [(&str, &str); 2] = [("subscribe", "t"), ("startingOffsets", "earliest")];
const LAX: [(&str, &str); 2] = [("subscribe", "t"), ("failOnDataLoss", "false")];

fn bench(partitions: i32, events: i64) -> KafkaBench {
    let mut bench = KafkaBench::new();
    bench.create("t", partitions);
    for partition in 0..partitions {
        bench.append("t", partition, numbered(0..events));
    }
    bench
}

/// A source that fetches little ahead.
fn small_source(bench: &KafkaBench, pairs: &[(&str, &str)]) -> KafkaSource {
    KafkaSource::new("s", options(&bench.brokers, pairs), "p", 1 << 17).unwrap()
}

/// A source that fetches from the start of every partition.
async fn started(bench: &KafkaBench, pairs: &[(&str, &str)]) -> KafkaSource {
    let mut source = source(bench, pairs);
    let bounds = soon("bounds", source.bounds()).await.unwrap();
    soon("the start", source.start(&bounds.into_keys().map(|id| (id, 0)).collect())).await.unwrap();
    source
}

async fn take(source: &mut KafkaSource, from: i64, to: i64) -> Result<Taken> {
    soon("a take", source.take(&ranges(&[("t", 0, from, to)]))).await
}

#[tokio::test]
async fn a_slow_cluster_is_only_slow() {
    let bench = bench(1, 500);
    bench.cluster.broker_round_trip_time(-1, Duration::from_millis(100)).unwrap();
    let mut source = source(&bench, &EARLIEST);
    let identity = soon("identity", source.identity()).await.unwrap();
    assert!(identity.topics["t"].is_some(), "the topic's id is known");
    let positions = soon("starting offsets", source.starting_offsets()).await.unwrap();
    soon("the start", source.start(&positions)).await.unwrap();
    let taken = take(&mut source, 0, 500).await.unwrap();
    assert_eq!(events_of(&taken, &id("t", 0)), expected(0..500));
}

#[tokio::test]
async fn leaders_that_move_are_followed() {
    let mut bench = bench(1, 10);
    let mut source = started(&bench, &EARLIEST).await;
    for round in 0..4_i64 {
        let (from, to) = (round * 10, round * 10 + 10);
        let taken = take(&mut source, from, to).await.unwrap();
        assert_eq!(events_of(&taken, &id("t", 0)), expected(from..to));
        bench.cluster.partition_leader("t", 0, Some(1 + (round % 2) as i32)).unwrap();
        bench.append("t", 0, numbered(to..to + 10));
    }
}

#[tokio::test]
async fn a_partition_whose_leader_is_away_does_not_hold_up_the_others() {
    let mut bench = KafkaBench::new();
    bench.create("t", 2);
    bench.cluster.partition_leader("t", 0, Some(1)).unwrap();
    bench.cluster.partition_leader("t", 1, Some(2)).unwrap();
    bench.append("t", 0, numbered(0..5));
    bench.append("t", 1, numbered(0..5));
    let mut source = started(&bench, &EARLIEST).await;
    soon("what was there", source.take(&ranges(&[("t", 0, 0, 5), ("t", 1, 0, 5)]))).await.unwrap();
    bench.append("t", 0, numbered(5..9));
    bench.cluster.broker_down(1).unwrap();
    bench.append("t", 1, numbered(5..9));
    until(&mut source, &id("t", 1), |b| b.end() == 9).await;
    let taken = soon("the other partition", source.take(&ranges(&[("t", 1, 5, 9)]))).await.unwrap();
    assert_eq!(events_of(&taken, &id("t", 1)), expected(5..9));
    // New partitions are looked for meanwhile.
    let found = soon("the partitions", source.partitions()).await.unwrap();
    assert_eq!(found.len(), 2);
    bench.cluster.broker_up(1).unwrap();
    let taken = take(&mut source, 5, 9).await.unwrap();
    assert_eq!(events_of(&taken, &id("t", 0)), expected(5..9));
}

/// Waits until `enough` holds of what is known of the end of a partition.
async fn known(source: &KafkaSource, partition: i32, enough: impl Fn(KnownEnd) -> bool) {
    let wait = async {
        while !source.ends().get(&id("t", partition)).is_some_and(|end| enough(*end)) {
            tokio::task::yield_now().await;
        }
    };
    soon("what is waited for of the end", wait).await;
}

/// Events may be there of which nobody is told.
#[tokio::test]
async fn the_end_of_a_partition_whose_leader_is_away_is_not_known_and_there_was_a_gap_when_it_is_back() {
    let mut bench = KafkaBench::new();
    bench.create("t", 2);
    bench.cluster.partition_leader("t", 0, Some(1)).unwrap();
    bench.cluster.partition_leader("t", 1, Some(2)).unwrap();
    let mut source = started(&bench, &EARLIEST).await;
    for partition in 0..2 {
        bench.append("t", partition, numbered(0..5));
        known(&source, partition, |end| end.heard && end.log_end == 5).await;
    }
    soon("what was there", source.take(&ranges(&[("t", 0, 0, 5), ("t", 1, 0, 5)]))).await.unwrap();
    let gaps = source.ends()[&id("t", 0)].gaps;
    bench.cluster.broker_down(1).unwrap();
    known(&source, 0, |end| !end.heard).await;
    assert_eq!(source.ends()[&id("t", 0)].log_end, 5);
    // Its neighbour has a leader.
    known(&source, 1, |end| end.heard).await;
    bench.cluster.broker_up(1).unwrap();
    known(&source, 0, |end| end.heard && end.gaps > gaps).await;
}

/// As long as the brokers are away nobody was silent, also before this source has heard them for the first time.
#[tokio::test]
async fn an_outage_before_the_start_is_a_gap() {
    let bench = bench(1, 5);
    let whole = started(&bench, &EARLIEST).await;
    known(&whole, 0, |end| end.heard).await;
    let late = source(&bench, &EARLIEST);
    late.context.outage.begins("away");
    late.context.outage.is_over();
    let mut late = late;
    late.start(&BTreeMap::from([(id("t", 0), 0)])).await.unwrap();
    assert!(late.ends()[&id("t", 0)].gaps > 0);
}

/// Errors that a broker gives in bad times, and that pass.
const PASSING: [RDKafkaRespErr; 9] = [
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
    RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT,
];

#[tokio::test]
async fn errors_that_pass_cost_time_and_nothing_else() {
    let bench = bench(1, 1_000);
    bench.cluster.request_errors(RDKafkaApiKey::Fetch, &PASSING);
    bench.cluster.request_errors(RDKafkaApiKey::ListOffsets, &PASSING[..3]);
    let mut source = started(&bench, &EARLIEST).await;
    let taken = take(&mut source, 0, 1_000).await.unwrap();
    assert_eq!(events_of(&taken, &id("t", 0)), expected(0..1_000));
    // A broker that says that an offset is out of range, where it is not: it is asked what it holds, and then again.
    bench.cluster.request_errors(RDKafkaApiKey::Fetch, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE; 3]);
    let again = take(&mut source, 0, 1_000).await.unwrap();
    assert_eq!(events_of(&again, &id("t", 0)), expected(0..1_000));
    assert!(again.lost.is_empty() && again.gap_offsets.is_empty());
}

#[tokio::test]
async fn a_cluster_that_goes_down_in_the_middle_of_a_range_is_waited_for() {
    let mut bench = KafkaBench::new();
    bench.create("t", 1);
    let large = |r: Record| Record { value: Some(vec![7; 5_000].into()), ..r };
    bench.append("t", 0, numbered(0..800).into_iter().map(large).collect());
    // Far less than the range fits into what is fetched ahead.
    let mut source = small_source(&bench, &EARLIEST);
    source.start(&BTreeMap::from([(id("t", 0), 0)])).await.unwrap();
    until(&mut source, &id("t", 0), |b| b.end() > 0).await;
    let buffered = source.buffered().await.unwrap()[0].end();
    assert!(buffered < 800, "{buffered}");
    bench.cluster.broker_down(-1).unwrap();
    let whole = ranges(&[("t", 0, 0, 800)]);
    {
        let waiting = source.take(&whole);
        tokio::pin!(waiting);
        // It is asked for, and the cluster is not there.
        for _ in 0..100 {
            tokio::select! {
                biased;
                taken = &mut waiting => unreachable!("{:?}", taken.map(|t| t.events.len())),
                () = tokio::task::yield_now() => {}
            }
        }
        bench.cluster.broker_up(-1).unwrap();
        let taken = soon("the range", waiting).await.unwrap();
        let offsets: Vec<i64> = events_of(&taken, &id("t", 0)).iter().map(|e| e.offset).collect();
        assert!(offsets.into_iter().eq(0..800));
    }
}

/// More than the 5 MB of a partition that the mock cluster keeps: its first offset moves up.
fn overflow(bench: &mut KafkaBench, range: std::ops::Range<i64>) {
    let large = |r: Record| Record { value: Some(vec![b'x'; 50_000].into()), ..r };
    bench.append("t", 0, numbered(range).into_iter().map(large).collect());
}

#[tokio::test]
async fn retention_that_overtakes_a_replay_is_a_loss() {
    let mut bench = bench(1, 100);
    let mut first = started(&bench, &EARLIEST).await;
    let before = take(&mut first, 0, 50).await.unwrap();
    assert_eq!(events_of(&before, &id("t", 0)), expected(0..50));
    overflow(&mut bench, 100..300);
    let earliest = soon("bounds", first.bounds()).await.unwrap()[&id("t", 0)].earliest;
    assert!(earliest > 50, "{earliest}");
    // The batch was planned and not committed; after a restart its events are gone.
    let mut strict = started(&bench, &EARLIEST).await;
    let error = take(&mut strict, 0, 50).await.unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, SourceError::DataLoss { lost, .. } if (lost.from, lost.to) == (0, earliest)), "{message}");
    assert!(message.contains("t/0") && message.contains("failOnDataLoss"), "{message}");
    // With leave to lose them, every try says the same.
    for _ in 0..2 {
        let mut lax = started(&bench, &LAX).await;
        for _ in 0..2 {
            let taken = take(&mut lax, 0, 50).await.unwrap();
            assert_eq!(taken.lost, [deleted(0, 50)]);
            assert!(taken.events.is_empty() && taken.gap_offsets.is_empty());
        }
    }
}

#[tokio::test]
async fn retention_that_overtakes_the_reader_in_the_middle_is_one_loss_between_events() {
    let mut bench = KafkaBench::new();
    bench.create("t", 1);
    overflow(&mut bench, 0..80);
    let mut lax = small_source(&bench, &LAX);
    lax.start(&BTreeMap::from([(id("t", 0), 0)])).await.unwrap();
    until(&mut lax, &id("t", 0), |b| b.end() > 0).await;
    overflow(&mut bench, 80..300);
    let taken = take(&mut lax, 0, 300).await.unwrap();
    let offsets: Vec<i64> = events_of(&taken, &id("t", 0)).iter().map(|e| e.offset).collect();
    let lost = &taken.lost;
    assert!(!lost.is_empty() && lost.iter().all(|l| l.reason == LossReason::Deleted), "{lost:?}");
    // Each offset is either an event or lost, and none is both.
    let mut all: Vec<i64> = lost.iter().flat_map(|l| l.range.from..l.range.to).chain(offsets).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..300), "{lost:?}");
    assert!(taken.gap_offsets.is_empty());
}

#[tokio::test]
async fn a_topic_that_is_gone_stops_the_run_or_is_a_loss() {
    // How long librdkafka waits for a topic to come back; half a minute otherwise.
    let soon_gone = ("kafka.topic.metadata.propagation.max.ms", "10");
    let often = ("kafka.topic.metadata.refresh.interval.ms", "50");
    let strict = [("subscribePattern", "t.*"), soon_gone, often];
    let lax = [("subscribePattern", "t.*"), ("failOnDataLoss", "false"), soon_gone, often];
    for (pairs, is_lax) in [(&strict[..], false), (&lax[..], true)] {
        let mut bench = bench(1, 10);
        bench.create("t2", 1);
        bench.append("t2", 0, numbered(0..10));
        let mut first = started(&bench, pairs).await;
        until(&mut first, &id("t", 0), |b| b.end() == 10).await;
        let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        bench.cluster.topic_error("t", error).unwrap();
        bench.cluster.request_errors(RDKafkaApiKey::Fetch, &[error]);
        if is_lax {
            // What was fetched is there; of the other topic nothing is touched.
            let taken = take(&mut first, 0, 10).await.unwrap();
            assert_eq!(events_of(&taken, &id("t", 0)), expected(0..10));
            // A restart, with a batch that was planned when the topic was there.
            let mut again = source(&bench, pairs);
            let positions = BTreeMap::from([(id("t", 0), 4), (id("t2", 0), 0)]);
            soon("the start", again.start(&positions)).await.unwrap();
            let taken = soon("a take", again.take(&ranges(&[("t", 0, 4, 10), ("t2", 0, 0, 10)]))).await.unwrap();
            let lost: Vec<_> = taken.lost.iter().map(|l| (l.range.from, l.range.to, l.reason)).collect();
            assert_eq!(lost, [(4, 10, LossReason::TopicGone)]);
            assert_eq!(events_of(&taken, &id("t2", 0)), expected(0..10));
        } else {
            let gone = async {
                loop {
                    if let Err(error) = first.buffered().await {
                        return error;
                    }
                    first.changed().await;
                }
            };
            let error = soon("the end of the topic", gone).await;
            assert!(matches!(error, SourceError::Gone { position: 10, .. }), "{error}");
            let mut again = source(&bench, pairs);
            let error = soon("the start", again.start(&BTreeMap::from([(id("t", 0), 4)]))).await.unwrap_err();
            assert!(matches!(error, SourceError::Gone { position: 4, .. }), "{error}");
            assert!(error.to_string().contains("t/0") && error.to_string().contains("failOnDataLoss"), "{error}");
        }
    }
}

/// librdkafka puts that error behind the events that wait, and tells it to its log alone when all are taken at once.
#[tokio::test]
async fn a_topic_that_is_gone_behind_events_that_wait_stops_the_run() {
    let bench = bench(1, 10_000);
    let pairs = [
        ("subscribe", "t"),
        ("kafka.topic.metadata.propagation.max.ms", "10"),
        ("kafka.topic.metadata.refresh.interval.ms", "50"),
    ];
    let mut source = small_source(&bench, &pairs);
    soon("the start", source.start(&BTreeMap::from([(id("t", 0), 0)]))).await.unwrap();
    // The buffer is full, and what librdkafka has besides waits.
    until(&mut source, &id("t", 0), |b| b.end() > 1000).await;
    let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    bench.cluster.topic_error("t", error).unwrap();
    bench.cluster.request_errors(RDKafkaApiKey::Fetch, &[error; 3]);
    let gone = async {
        let mut at = 0;
        loop {
            match source.buffered().await {
                Err(error) => return (error, at),
                Ok(buffered) => {
                    let end = buffered.first().map_or(at, crate::Buffered::end);
                    match source.take(&ranges(&[("t", 0, at, end)])).await {
                        Err(error) => return (error, at),
                        Ok(taken) => assert_eq!(events_of(&taken, &id("t", 0)), expected(at..end)),
                    }
                    at = end;
                }
            }
            source.changed().await;
        }
    };
    let (error, at) = soon("the end of the topic", gone).await;
    assert!(matches!(error, SourceError::Gone { position, .. } if position >= at), "{error} at {at}");
}

/// Long before librdkafka gives it up.
#[tokio::test]
async fn a_topic_of_a_pattern_that_is_listed_no_more_is_noticed_when_partitions_are_looked_for() {
    let bench = bench(1, 10);
    let mut source = started(&bench, &[("subscribePattern", "t.*")]).await;
    assert_eq!(soon("the partitions", source.partitions()).await.unwrap().len(), 1);
    assert!(source.unlisted.is_empty());
    bench.cluster.topic_error("t", RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).unwrap();
    assert!(soon("the partitions", source.partitions()).await.unwrap().is_empty());
    assert!(source.unlisted.iter().eq(["t"]));
    bench.cluster.topic_error("t", RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap();
    assert_eq!(soon("the partitions", source.partitions()).await.unwrap().len(), 1);
    assert!(source.unlisted.is_empty(), "it is there again");
}
