#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
use arrow::array::{Array, AsArray, BinaryArray};
use proptest::prelude::*;
use sluicebox_core::raw::{CUT_HEADER, CUT_KEY_HEADER, HEAD, LONGEST_EVENT, Large, column};

use super::plan::{Budget, extend_to_proven, gap_offsets, is_complete, lost_in};
use super::*;
use crate::chunk::{OpenChunk, bytes_of};
use crate::source::Chunk;

fn id(partition: i32) -> PartitionId {
    PartitionId::new("s", "t", partition)
}

fn push(fill: &mut Fill<'_>, offset: i64, bytes: usize) {
    fill.push(offset, None, None, Some(&vec![0; bytes]), std::iter::empty::<(&str, _)>());
}

/// What a source does to a partition.
#[derive(Debug, Clone)]
enum Step {
    /// So many events of so many bytes each, the offsets so far apart.
    Fetch { partition: usize, events: usize, bytes: usize, apart: i64 },
    /// The end moved past offsets that hold no event.
    Prove { partition: usize, by: i64 },
    /// The log lost so many offsets.
    Lose { partition: usize, by: i64 },
    /// The engine takes this share of what is there.
    Take { partition: usize, part: u8 },
    /// The engine takes the last range again.
    Again { partition: usize },
}

fn some_step() -> impl Strategy<Value = Step> {
    let partition = 0..3_usize;
    prop_oneof![
        4 => (partition.clone(), 1..200_usize, 0..3000_usize, 1..4_i64)
            .prop_map(|(partition, events, bytes, apart)| Step::Fetch { partition, events, bytes, apart }),
        1 => (partition.clone(), 1..5_i64).prop_map(|(partition, by)| Step::Prove { partition, by }),
        1 => (partition.clone(), 1..5_i64).prop_map(|(partition, by)| Step::Lose { partition, by }),
        3 => (partition.clone(), any::<u8>()).prop_map(|(partition, part)| Step::Take { partition, part }),
        1 => partition.prop_map(|partition| Step::Again { partition }),
    ]
}

/// A partition's log as the model knows it: the offsets of events, those lost, and how far it reaches.
#[derive(Default)]
struct Model {
    events: Vec<i64>,
    lost: Vec<i64>,
    end: i64,
    position: i64,
    last: Option<OffsetRange>,
}

const LIMIT: u64 = 100_000;

/// Fetches what the model holds from where the feed stands, as a source does after a seek.
fn refetch(feed: &Feed, model: &Model) {
    let want = feed.want();
    feed.fill(want.generation, |fill| {
        let mut offset = fill.next();
        while offset < model.end {
            if model.events.contains(&offset) {
                push(fill, offset, 10);
            } else if model.lost.contains(&offset) {
                fill.lose(offset + 1, LossReason::Deleted);
            } else {
                fill.prove(offset + 1);
            }
            offset += 1;
        }
    });
}

fn check(model: &mut Model, range: OffsetRange, taken: &Taken) {
    let inside = |o: &&i64| (range.from..range.to).contains(*o);
    let offsets: Vec<i64> = taken
        .events
        .iter()
        .flat_map(|e| {
            let column = e.events.column(0).as_primitive::<arrow::datatypes::Int64Type>();
            column.values().to_vec()
        })
        .collect();
    assert_eq!(offsets, model.events.iter().filter(inside).copied().collect::<Vec<_>>());
    let lost: Vec<i64> = taken.lost.iter().flat_map(|l| l.range.from..l.range.to).collect();
    assert_eq!(lost, model.lost.iter().filter(inside).copied().collect::<Vec<_>>());
    let gaps: u64 = taken.gap_offsets.values().sum();
    assert_eq!(gaps + (offsets.len() + lost.len()) as u64, range.len());
    model.position = range.to;
    model.last = Some(range);
}

fn run(steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let buffer = PrefetchBuffer::new(LIMIT);
    let feeds: Vec<Feed> = (0..3).map(|p| buffer.add(&id(p), 0, 0).unwrap()).collect();
    let mut models: [Model; 3] = Default::default();
    for step in steps {
        match step {
            Step::Fetch { partition, events, bytes, apart } => {
                let (feed, model) = (&feeds[partition], &mut models[partition]);
                let want = feed.want();
                if !want.room {
                    continue;
                }
                feed.fill(want.generation, |fill| {
                    for _ in 0..events {
                        if !fill.has_room() {
                            break;
                        }
                        let offset = model.end + apart - 1;
                        push(fill, offset, bytes);
                        model.events.push(offset);
                        model.end = offset + 1;
                    }
                });
            }
            Step::Prove { partition, by } => {
                let model = &mut models[partition];
                model.end += by;
                feeds[partition].fill(feeds[partition].want().generation, |fill| fill.prove(model.end));
            }
            Step::Lose { partition, by } => {
                let model = &mut models[partition];
                model.lost.extend(model.end..model.end + by);
                model.end += by;
                feeds[partition]
                    .fill(feeds[partition].want().generation, |fill| fill.lose(model.end, LossReason::Deleted));
            }
            Step::Take { partition, part } => {
                let model = &mut models[partition];
                let buffered = buffer.buffered().unwrap().remove(partition);
                assert_eq!((buffered.position, buffered.end()), (model.position, model.end));
                assert!(buffered.chunks.is_sorted_by(|a, b| a.to < b.to) && buffered.log_end >= buffered.end());
                let to = model.position + (model.end - model.position) * i64::from(part) / 255;
                let range = OffsetRange::new(model.position, to);
                let taken = runtime.block_on(buffer.take(&BTreeMap::from([(id(partition as i32), range)]))).unwrap();
                if !range.is_empty() {
                    check(model, range, &taken);
                }
            }
            Step::Again { partition } => {
                let model = &mut models[partition];
                let Some(range) = model.last else { continue };
                let ranges = BTreeMap::from([(id(partition as i32), range)]);
                let taken = runtime.block_on(async {
                    let take = buffer.take(&ranges);
                    tokio::pin!(take);
                    // The first poll asks for the range; then the source fetches it anew.
                    let early = std::future::poll_fn(|cx| std::task::Poll::Ready(take.as_mut().poll(cx))).await;
                    assert!(early.is_pending());
                    refetch(&feeds[partition], model);
                    take.await.unwrap()
                });
                check(model, range, &taken);
            }
        }
        let held: u64 = buffer.buffered().unwrap().iter().flat_map(|b| &b.chunks).map(|c| c.bytes).sum();
        assert_eq!(held, buffer.shared.total.load(Ordering::Relaxed), "bytes are counted alike everywhere");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_happens_ranges_hold_what_the_log_holds(steps in prop::collection::vec(some_step(), 1..60)) {
        run(steps);
    }

    #[test]
    fn the_budget_is_never_passed(sizes in prop::collection::vec((0..8_usize, 1..5_000_u64), 1..300), limit in 1..100_000_u64) {
        let mut held = [0_u64; 8];
        for (partition, size) in sizes {
            let total: u64 = held.iter().sum();
            let budget = Budget { limit, total, partitions: 8 };
            // A run of single bytes, as fine as can be; a run ends with the first event that has no room left.
            held[partition] += size.min(budget.room(held[partition]));
        }
        // One event for each partition that holds nothing else is always let in.
        prop_assert!(held.iter().sum::<u64>() <= limit + 8);
    }
}

#[test]
fn a_lone_partition_uses_half_and_leaves_the_rest_to_others() {
    let budget = |total| Budget { limit: 1_000, total, partitions: 5 };
    assert_eq!(budget(0).room(0), 500);
    assert_eq!(budget(500).room(500), 0);
    assert_eq!(budget(500).room(0), 100, "another's own share");
    assert!(Budget { limit: 0, total: 0, partitions: 1 }.has_room(0), "an event larger than everything still comes in");
}

#[test]
fn ranges_gaps_and_chunks() {
    let range = OffsetRange::new(10, 20);
    assert!(is_complete(range, 20) && !is_complete(range, 19));
    let deleted = |from, to| (OffsetRange::new(from, to), LossReason::Deleted);
    let lost = [deleted(0, 12), deleted(15, 16), deleted(20, 25)];
    let inside = lost_in(range, &lost);
    assert_eq!(inside, [deleted(10, 12), deleted(15, 16)]);
    assert_eq!(gap_offsets(range, 4, &inside), 3);

    let mut none = Vec::new();
    extend_to_proven(5, 5, &mut none);
    assert_eq!(none, []);
    extend_to_proven(5, 7, &mut none);
    assert_eq!(none, [Chunk { to: 7, bytes: 0 }], "a marker alone can be taken");
    let mut some = vec![Chunk { to: 7, bytes: 9 }];
    extend_to_proven(5, 8, &mut some);
    assert_eq!(some, [Chunk { to: 8, bytes: 9 }], "a marker behind events goes with them");
}

#[tokio::test]
async fn an_error_is_told_once_and_the_partition_goes_on() {
    let buffer = PrefetchBuffer::new(LIMIT);
    let feed = buffer.add(&id(0), 7, 0).unwrap();
    assert!(buffer.add(&id(0), 9, 0).is_none(), "added once");
    let before = feed.want();
    let error = SourceError::PastEnd { partition: id(0), offset: 7, latest: 0 };
    feed.fail(before.generation, error);
    assert!(!feed.want().room, "a failed partition rests");
    assert!(buffer.buffered().is_err());
    let after = feed.want();
    assert!(after.generation > before.generation && after.room && after.next == 7);
    assert!(feed.fill(before.generation, |fill| push(fill, 99, 1)).is_none(), "what was on its way is refused");
    assert_eq!(buffer.buffered().unwrap()[0].chunks, []);
}

#[test]
fn bytes_of_a_slice_are_those_it_was_counted_with() {
    let mut open = OpenChunk::new();
    let mut counted = Vec::new();
    for i in 0..100_i64 {
        let text = "x".repeat(i as usize);
        let headers = [("a", Some(text.as_bytes())), ("bb", None)];
        let with = if i % 3 == 0 { 2 } else { 0 };
        counted.push(open.push(
            i * 2,
            Some(i),
            (i % 2 == 0).then_some(b"k"),
            Some(text.as_bytes()),
            headers.into_iter().take(with),
        ));
    }
    let sealed = open.seal().unwrap();
    assert_eq!(sealed.bytes, counted.iter().sum::<u64>());
    for cut in [0, 1, 2, 99, 100, 198, 199, 500] {
        let (head, tail) = sealed.clone().cut(cut);
        let at = ((cut + 1) / 2).min(100) as usize;
        assert_eq!(head.map_or(0, |h| h.bytes), counted[..at].iter().sum::<u64>());
        if let Some(tail) = tail {
            assert_eq!(tail.bytes, counted[at..].iter().sum::<u64>());
            assert_eq!(bytes_of(&tail.events), tail.bytes);
        }
    }
}

type Header<'a> = (&'a str, Option<&'a [u8]>);

#[test]
fn of_an_event_that_is_too_large_the_heads_are_taken_and_their_lengths() {
    let mut open = OpenChunk::new();
    let mut push = |offset, key: &[u8], value: &[u8], headers: &[Header<'_>]| {
        open.push(offset, None, Some(key), Some(value), headers.iter().copied())
    };
    let value = vec![7; LONGEST_EVENT - 2];
    let long_key = vec![8; HEAD + 1];
    // As many bytes as an event may have, and one more.
    push(1, b"k", &value, &[("h", None)]);
    assert_eq!(push(2, b"kk", &value, &[("h", None)]), 24 + 2 + HEAD as u64 + 8 + 1);
    // Of which somebody else kept the heads, and headers that nobody needs to keep.
    let (told, none) = (5_000_i64.to_be_bytes(), (-1_i64).to_be_bytes());
    let marks = [(CUT_HEADER, Some(&told[..])), (CUT_KEY_HEADER, Some(&none[..])), ("h", Some(&b"v"[..]))];
    push(4, &long_key, &[1; 10], &marks);
    push(6, b"k", &value, &[("h", Some(&long_key[..]))]);
    // It says nothing.
    push(8, b"k", b"v", &[(CUT_HEADER, Some(&b"?"[..]))]);
    let sealed = open.seal().unwrap();
    let large = |offset, key: usize, value: usize| Large { offset, key: key as u64, value: value as u64 };
    let expected = [large(2, 2, value.len()), large(4, 0, 5_000), large(6, 1, value.len())];
    assert_eq!(sealed.large, expected);
    assert_eq!(sealed.bytes, bytes_of(&sealed.events), "what is not taken counts for nothing");
    let lengths = |column: usize| {
        let array: &BinaryArray = sealed.events.column(column).as_binary();
        array.iter().map(|bytes| bytes.map_or(0, <[u8]>::len)).collect::<Vec<_>>()
    };
    assert_eq!(lengths(column::KEY), [1, 2, HEAD, 1, 1]);
    assert_eq!(lengths(column::VALUE), [value.len(), HEAD, 10, HEAD, 1]);
    let headers = sealed.events.column(column::HEADERS).as_list::<i32>();
    let names = |row| {
        let entries = headers.value(row);
        entries.as_struct().column(0).as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!([names(0), names(1), names(2), names(4)], [["h"], ["h"], ["h"], [CUT_HEADER]]);
    assert!(headers.is_null(3), "headers of more than a head's bytes");
    let (before, after) = sealed.cut(4);
    assert_eq!((before.unwrap().large, after.unwrap().large), (expected[..1].to_vec(), expected[1..].to_vec()));
}
