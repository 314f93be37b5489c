#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Date64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt8Array,
};
use arrow::datatypes::{Schema, TimestampMicrosecondType};
use proptest::prelude::*;
use sluicebox_core::PartitionId;
use sluicebox_core::provenance::provenance_fields;

use super::*;
use crate::error::Error;

const DELAY: i64 = 10;
const IDLE: i64 = 10;
const FUTURE: i64 = 1_000;

fn config() -> ClauseConfig {
    ClauseConfig { id: "silver.0".into(), delay_micros: DELAY, idle_timeout_micros: IDLE, max_future_micros: FUTURE }
}

fn parts(n: usize) -> Vec<PartitionId> {
    (0..n).map(|p| PartitionId::new("events", "topic", p as i32)).collect()
}

/// Rows of (partition, offset).
fn rows(provenance: &[(usize, i64)]) -> RecordBatch {
    let part = Int32Array::from_iter_values(provenance.iter().map(|(p, _)| *p as i32));
    let offset = Int64Array::from_iter_values(provenance.iter().map(|(_, o)| *o));
    let schema = Arc::new(Schema::new(provenance_fields().to_vec()));
    RecordBatch::try_new(schema, vec![Arc::new(part), Arc::new(offset)]).unwrap()
}

fn times(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values.to_vec()))
}

/// Judges the rows of partition 0 from offset 0 at clock 0.
fn judge(watermark: &mut Watermark, values: &[Option<i64>]) -> Judgement {
    let at: Vec<(usize, i64)> = (0..values.len() as i64).map(|o| (0, o)).collect();
    watermark.judge(&rows(&at), &times(values), &parts(1), 0).unwrap()
}

#[test]
fn a_row_at_its_partitions_mark_is_late_and_one_after_it_is_not() {
    let mut watermark = Watermark::new(config());
    let judged =
        judge(&mut watermark, &[Some(100), Some(90), Some(91), None, Some(95), Some(200), Some(190), Some(191)]);
    assert_eq!(judged.late.values().to_vec(), [0, 1, 0, 0, 0, 0, 1, 0]);
    assert_eq!(judged.counts, Counts { late_partition: 2, late_clause: 0, null: 1, future: 0 });
}

#[test]
fn the_first_row_is_never_late_and_null_moves_nothing() {
    let mut watermark = Watermark::new(config());
    let judged = judge(&mut watermark, &[None, Some(-5_000), None, Some(-5_010)]);
    assert_eq!(judged.late.values().to_vec(), [0, 0, 0, 1]);
    assert!(judged.event_time.is_null(0) && judged.event_time.is_valid(1));
}

#[test]
fn a_time_far_ahead_of_the_clock_moves_nothing_and_is_counted() {
    let mut watermark = Watermark::new(config());
    let judged = judge(&mut watermark, &[Some(FUTURE), Some(FUTURE + 1), Some(i64::MAX), Some(FUTURE - DELAY + 1)]);
    assert_eq!(judged.late.values().to_vec(), [0, 0, 0, 0]);
    assert_eq!(judged.counts.future, 2);
    assert_eq!(watermark.state().partitions[0].max_event_time, Some(FUTURE));
}

#[test]
fn times_at_the_ends_of_the_type_do_not_overflow() {
    let mut watermark =
        Watermark::new(ClauseConfig { delay_micros: i64::MAX, max_future_micros: i64::MAX, ..config() });
    let judged = judge(&mut watermark, &[Some(i64::MIN), Some(i64::MAX), Some(i64::MIN), Some(0)]);
    assert_eq!(judged.late.len(), 4);
    watermark.end_batch(i64::MIN, &at_end(1), true);
    watermark.end_batch(i64::MAX, &at_end(1), false);
}

#[test]
fn every_type_of_time_is_read_and_rounded_towards_the_past() {
    let day = 86_400_000_000;
    let cases: Vec<(ArrayRef, Option<i64>)> = vec![
        (Arc::new(TimestampSecondArray::from(vec![-2])), Some(-2_000_000)),
        // What microseconds cannot hold is as far away as they can say, and no NULL.
        (Arc::new(TimestampSecondArray::from(vec![i64::MAX / 2])), Some(i64::MAX)),
        (Arc::new(TimestampSecondArray::from(vec![i64::MIN / 2])), Some(i64::MIN)),
        (Arc::new(TimestampSecondArray::from(vec![None])), None),
        (Arc::new(TimestampMillisecondArray::from(vec![-3])), Some(-3_000)),
        (Arc::new(TimestampMicrosecondArray::from(vec![7]).with_timezone("+05:00")), Some(7)),
        (Arc::new(TimestampNanosecondArray::from(vec![-1])), Some(-1)),
        (Arc::new(TimestampNanosecondArray::from(vec![1_999])), Some(1)),
        (Arc::new(Date32Array::from(vec![-1])), Some(-day)),
        (Arc::new(Date32Array::from(vec![i32::MAX])), Some(i64::MAX)),
        (Arc::new(Date64Array::from(vec![86_400_000])), Some(day)),
    ];
    for (column, expected) in cases {
        let converted = to_event_time(&column).unwrap();
        assert_eq!(converted.iter().next().unwrap(), expected, "{column:?}");
        assert_eq!(*converted.data_type(), provenance::event_time_type());
    }
    let text: ArrayRef = Arc::new(StringArray::from(vec!["2026-01-01"]));
    assert!(matches!(to_event_time(&text), Err(Error::EventTimeType { .. })));
}

#[test]
fn rows_out_of_order_or_without_provenance_are_refused() {
    let mut watermark = Watermark::new(config());
    let fall = watermark.judge(&rows(&[(0, 5), (0, 4)]), &times(&[None, None]), &parts(1), 0);
    assert!(matches!(fall, Err(Error::OutOfOrder { before: 5, after: 4, .. })));
    watermark.judge(&rows(&[(0, 7)]), &times(&[None]), &parts(1), 0).unwrap();
    let again = watermark.judge(&rows(&[(0, 6)]), &times(&[None]), &parts(1), 0);
    assert!(matches!(again, Err(Error::OutOfOrder { before: 7, after: 6, .. })), "also from call to call");
    let unknown = watermark.judge(&rows(&[(3, 0)]), &times(&[None]), &parts(1), 0);
    assert!(matches!(unknown, Err(Error::Input { .. })));
    let bare = RecordBatch::new_empty(Arc::new(Schema::empty()));
    assert!(watermark.judge(&bare, &times(&[]), &parts(1), 0).is_err());
    let few = watermark.judge(&rows(&[(0, 0)]), &times(&[]), &parts(1), 0);
    assert!(matches!(few, Err(Error::Input { .. })));
}

fn at_end(n: usize) -> BTreeMap<PartitionId, AtEnd> {
    parts(n).into_iter().map(|p| (p, AtEnd::Reached)).collect()
}

fn backlog(n: usize, offsets: u64) -> BTreeMap<PartitionId, AtEnd> {
    parts(n).into_iter().map(|p| (p, AtEnd::Backlog(offsets))).collect()
}

/// A batch's only row of partition `part`.
fn bring(watermark: &mut Watermark, part: usize, time: i64, clock: i64) {
    watermark.judge(&rows(&[(part, 0)]), &times(&[Some(time)]), &parts(part + 1), clock).unwrap();
}

#[test]
fn the_slowest_partition_holds_the_watermark() {
    let mut watermark = Watermark::new(config());
    bring(&mut watermark, 0, 300, 0);
    bring(&mut watermark, 1, 200, 0);
    assert_eq!(watermark.end_batch(0, &backlog(2, 7), false), Some(190));
    let held = watermark.explain().held_by.unwrap();
    assert_eq!((held.partition.partition, held.mark, held.backlog), (1, Some(190), 7));
}

#[test]
fn a_partition_with_backlog_and_no_event_time_holds_whatever_the_rest_does() {
    let mut watermark = Watermark::new(config());
    bring(&mut watermark, 0, 300, 0);
    let mut progress = at_end(2);
    progress.insert(parts(2)[1].clone(), AtEnd::Backlog(3));
    assert_eq!(watermark.end_batch(0, &progress, true), None);
    assert_eq!(watermark.explain().held_by.unwrap().mark, None);
}

#[test]
fn a_silent_partition_is_idle_after_the_timeout_and_at_once_when_finishing() {
    let mut watermark = Watermark::new(config());
    bring(&mut watermark, 0, 100, 50);
    bring(&mut watermark, 1, 300, 55);
    assert_eq!(watermark.end_batch(55, &at_end(2), false), Some(90));
    assert_eq!(
        watermark.end_batch(50 + IDLE, &at_end(2), false),
        Some(290),
        "only the first has been silent long enough"
    );
    let mut finishing = Watermark::new(config());
    bring(&mut finishing, 0, 100, 50);
    bring(&mut finishing, 1, 300, 50);
    assert_eq!(finishing.end_batch(50, &at_end(2), true), Some(290), "all idle: the highest");
    assert_eq!(finishing.explain().held_by, None);
}

/// Both partitions at their ends, which are known without a gap since `clock`.
fn heard_since(clock: i64) -> BTreeMap<PartitionId, AtEnd> {
    parts(2).into_iter().map(|p| (p, AtEnd::HeardSince(clock))).collect()
}

/// A broker that was away, or a process that was stopped: what nobody could hear is no silence.
#[test]
fn time_in_which_a_partition_could_not_be_heard_is_no_silence() {
    let mut watermark = Watermark::new(config());
    bring(&mut watermark, 0, 100, 50);
    bring(&mut watermark, 1, 300, 50);
    assert_eq!(watermark.end_batch(50, &heard_since(0), false), Some(90));
    // The log is back, and the second partition is the first to be heard.
    let back = 50 + 10 * IDLE;
    bring(&mut watermark, 1, 900, back);
    assert_eq!(watermark.end_batch(back, &heard_since(back), false), Some(90), "the first may bring as much");
    let before = watermark.end_batch(back + IDLE - 1, &heard_since(back), false);
    assert_eq!(before, Some(90));
    bring(&mut watermark, 1, 1_000, back + IDLE);
    let after = watermark.end_batch(back + IDLE, &heard_since(back), false);
    assert_eq!(after, Some(990), "silent for the timeout since it can be heard");
}

#[test]
fn what_is_heard_for_long_is_idle_as_soon_as_without_that_and_a_run_that_finishes_waits_for_nobody() {
    for (heard, expected) in
        [(i64::MIN, Some(290)), (0, Some(290)), (50, Some(290)), (51, Some(90)), (i64::MAX, Some(90))]
    {
        let mut watermark = Watermark::new(config());
        bring(&mut watermark, 0, 100, 50);
        bring(&mut watermark, 1, 300, 55);
        assert_eq!(watermark.end_batch(50 + IDLE, &heard_since(heard), false), expected, "since {heard}");
        assert_eq!(watermark.end_batch(50 + IDLE, &heard_since(heard), true), Some(290), "since {heard}");
    }
}

#[test]
fn a_clock_that_is_set_back_holds_the_watermark_no_longer_than_the_timeout() {
    let mut watermark = Watermark::new(config());
    bring(&mut watermark, 0, 100, 1_000_000);
    bring(&mut watermark, 1, 300, 1_000_000);
    assert_eq!(watermark.end_batch(1_000_000, &at_end(2), false), Some(90));
    assert!(!watermark.clock_went_back(1_000_000 - IDLE), "by no more than heals by itself");
    assert!(watermark.clock_went_back(50));
    assert_eq!(watermark.end_batch(50, &at_end(2), false), Some(90), "nobody has been silent since the clock was set");
    assert!(!watermark.clock_went_back(50), "one batch mends it");
    let mut restored = Watermark::restore(config(), watermark.state());
    for watermark in [&mut watermark, &mut restored] {
        assert_eq!(watermark.end_batch(50 + IDLE, &at_end(2), false), Some(290), "idle by the new clock");
    }
}

#[test]
fn a_partition_that_never_brought_an_event_time_is_idle_after_the_timeout_too() {
    let mut watermark = Watermark::new(config());
    bring(&mut watermark, 0, 100, 0);
    assert_eq!(watermark.end_batch(0, &at_end(2), false), None);
    bring(&mut watermark, 0, 120, IDLE);
    assert_eq!(watermark.end_batch(IDLE, &at_end(2), false), Some(110));
}

#[test]
fn what_a_woken_partition_brings_behind_the_watermark_is_late_by_the_clause() {
    let mut watermark = Watermark::new(config());
    bring(&mut watermark, 1, 100, 0);
    bring(&mut watermark, 0, 300, IDLE);
    assert_eq!(watermark.end_batch(IDLE, &at_end(2), false), Some(290));
    let judged = watermark
        .judge(&rows(&[(1, 1), (1, 2), (1, 3)]), &times(&[Some(290), Some(291), Some(281)]), &parts(2), IDLE)
        .unwrap();
    assert_eq!(judged.late.values().to_vec(), [2, 0, 1]);
    assert_eq!(judged.counts, Counts { late_partition: 1, late_clause: 1, null: 0, future: 0 });
    assert_eq!(watermark.end_batch(IDLE, &backlog(2, 1), false), Some(290), "never backwards");
}

#[test]
fn a_partition_that_is_gone_is_not_waited_for() {
    let mut watermark = Watermark::new(config());
    bring(&mut watermark, 0, 300, 0);
    bring(&mut watermark, 1, 100, 0);
    let mut left = BTreeMap::new();
    left.insert(parts(1)[0].clone(), AtEnd::Backlog(1));
    assert_eq!(watermark.end_batch(0, &left, false), Some(290));
}

#[test]
fn policies_combine_clauses() {
    assert_eq!(WatermarkPolicy::Min.combine(&[Some(3), Some(5)]), Some(3));
    assert_eq!(WatermarkPolicy::Min.combine(&[None, Some(5)]), None);
    assert_eq!(WatermarkPolicy::Max.combine(&[Some(3), Some(5), None]), Some(5));
    assert_eq!(WatermarkPolicy::Max.combine(&[None]), None);
    assert_eq!(WatermarkPolicy::Min.combine(&[]), None);
}

#[test]
fn an_operator_under_the_highest_watermark_makes_rows_late_itself() {
    let times = TimestampMicrosecondArray::from(vec![Some(5), Some(6), None, Some(1)]);
    let late = UInt8Array::from(vec![0, 0, 0, 1]);
    assert_eq!(late_at(&times, &late, None).1, 0);
    let (verdicts, more) = late_at(&times, &late, Some(5));
    assert_eq!((verdicts.values().to_vec(), more), (vec![2, 0, 0, 1], 1));
}

#[test]
fn a_judgement_is_attached_behind_the_columns() {
    let mut watermark = Watermark::new(config());
    let rows = rows(&[(0, 0), (0, 1)]);
    let judged = watermark.judge(&rows, &times(&[Some(100), Some(1)]), &parts(1), 0).unwrap();
    let attached = judged.attach(&rows).unwrap();
    let names: Vec<&str> = attached.schema_ref().fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names, [provenance::PART, provenance::OFFSET, provenance::EVENT_TIME, provenance::LATE]);
    assert_eq!(attached.column(2).as_primitive::<TimestampMicrosecondType>().value(1), 1);
}

/// The rules again, a row at a time, written from their description and not from the code above.
#[derive(Default)]
struct Model {
    highest: BTreeMap<usize, i64>,
    brought: BTreeMap<usize, i64>,
    watermark: Option<i64>,
}

impl Model {
    fn row(&mut self, part: usize, time: Option<i64>, clock: i64) -> u8 {
        let Some(time) = time else { return 0 };
        let own = self.highest.get(&part).is_some_and(|highest| time <= highest - DELAY);
        let clause = self.watermark.is_some_and(|w| time <= w);
        if time <= clock + FUTURE {
            let highest = self.highest.entry(part).or_insert(time);
            *highest = (*highest).max(time);
            self.brought.insert(part, clock);
        }
        if own {
            1
        } else if clause {
            2
        } else {
            0
        }
    }

    fn end(&mut self, clock: i64, backlog: &[bool], finishing: bool) {
        let mut waiting = Vec::new();
        for (part, &backlog) in backlog.iter().enumerate() {
            let since = *self.brought.entry(part).or_insert(clock);
            if backlog || !(finishing || clock - since >= IDLE) {
                waiting.push(part);
            }
        }
        let mark = |part: &usize| self.highest.get(part).map(|highest| highest - DELAY);
        let reached = if waiting.is_empty() {
            self.highest.values().max().map(|highest| highest - DELAY)
        } else if waiting.iter().any(|part| mark(part).is_none()) {
            None
        } else {
            waiting.iter().filter_map(mark).min()
        };
        if let Some(reached) = reached {
            self.watermark = Some(self.watermark.map_or(reached, |w| w.max(reached)));
        }
    }
}

/// A topic: event times by partition and offset.
fn topic() -> impl Strategy<Value = Vec<Vec<Option<i64>>>> {
    let time = prop_oneof![8 => (-30i64..60).prop_map(Some), 1 => Just(None), 1 => (900i64..3_000).prop_map(Some)];
    // Event time goes forward along the log, with jitter.
    let partition = prop::collection::vec(time, 0..14).prop_map(|jitters| {
        let step = |(at, jitter): (usize, Option<i64>)| jitter.map(|j| at as i64 * 8 + j);
        jitters.into_iter().enumerate().map(step).collect()
    });
    prop::collection::vec(partition, 1..4)
}

/// How one batch is taken: offsets of each partition, how far the clock moves, whether partitions have backlog after it,
/// whether it is finishing, whether the run is killed and restored before it, rows per call.
#[derive(Debug, Clone)]
struct Cut {
    take: Vec<usize>,
    clock: i64,
    backlog: Vec<bool>,
    finishing: bool,
    killed: bool,
    chunk: usize,
}

fn cuts() -> impl Strategy<Value = Vec<Cut>> {
    let cut = (
        prop::collection::vec(0usize..6, 3),
        prop_oneof![Just(0i64), Just(1), Just(4), Just(12)],
        prop::collection::vec(any::<bool>(), 3),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.3),
        1usize..5,
    );
    let cut = cut.prop_map(|(take, clock, backlog, finishing, killed, chunk)| Cut {
        take,
        clock,
        backlog,
        finishing,
        killed,
        chunk,
    });
    prop::collection::vec(cut, 1..12)
}

/// What a run over a topic judged: (partition, offset) and verdict; and the watermark after each batch.
type Story = (Vec<((usize, i64), u8)>, Vec<Option<i64>>);

/// Reads `topic` as `cuts` say, the rest in one last batch, and compares with the model row by row.
fn read(topic: &[Vec<Option<i64>>], cuts: &[Cut]) -> Story {
    let (mut watermark, mut model) = (Watermark::new(config()), Model::default());
    let (mut at, mut clock) = (vec![0usize; topic.len()], 0);
    let (mut verdicts, mut marks) = (Vec::new(), Vec::new());
    let last =
        Cut { take: vec![usize::MAX; 3], clock: 0, backlog: vec![false; 3], finishing: true, killed: false, chunk: 3 };
    for cut in cuts.iter().chain([&last]) {
        clock += cut.clock;
        if cut.killed {
            let saved = serde_json::to_string(&watermark.state()).unwrap();
            watermark = Watermark::restore(config(), serde_json::from_str(&saved).unwrap());
        }
        let before = watermark.watermark();
        let mut batch = Vec::new();
        for (part, rows) in topic.iter().enumerate() {
            let to = rows.len().min(at[part].saturating_add(cut.take[part]));
            batch.extend((at[part]..to).map(|offset| ((part, offset as i64), rows[offset])));
            at[part] = to;
        }
        for chunk in batch.chunks(cut.chunk) {
            let (places, values): (Vec<_>, Vec<_>) = chunk.iter().copied().unzip();
            let judged = watermark.judge(&rows(&places), &times(&values), &parts(topic.len()), clock).unwrap();
            for ((place, time), verdict) in chunk.iter().zip(judged.late.values()) {
                assert_eq!(*verdict, model.row(place.0, *time, clock), "{place:?}");
                let in_time = *verdict == 0;
                assert!(!(in_time && time.is_some() && *time <= before), "{place:?} would meet what {before:?} closed");
                verdicts.push((*place, *verdict));
            }
        }
        // What has not been read may be in the log already, or be written after this batch.
        let backlog = &cut.backlog[..topic.len()];
        let progress = parts(topic.len()).into_iter().zip(backlog).map(|(p, more)| match more {
            true => (p, AtEnd::Backlog(1)),
            false => (p, AtEnd::Reached),
        });
        watermark.end_batch(clock, &progress.collect(), cut.finishing);
        model.end(clock, backlog, cut.finishing);
        assert_eq!(watermark.watermark(), model.watermark);
        assert!(watermark.watermark() >= before, "a watermark never goes back");
        marks.push(watermark.watermark());
    }
    verdicts.sort_unstable();
    (verdicts, marks)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_run_is_as_the_model_says(topic in topic(), cuts in cuts()) {
        read(&topic, &cuts);
    }

    #[test]
    fn who_is_late_in_its_partition_does_not_depend_on_the_cuts(topic in topic(), one in cuts(), two in cuts()) {
        // The clock decides what is in the future, so that it must be the same; nobody is idle when it stands still.
        let still = |cuts: Vec<Cut>| cuts.into_iter().map(|c| Cut { clock: 0, finishing: false, ..c }).collect::<Vec<_>>();
        let (one, two) = (read(&topic, &still(one)), read(&topic, &still(two)));
        prop_assert_eq!(&one.0, &two.0);
        prop_assert!(one.0.iter().all(|(_, verdict)| *verdict != 2), "only who was idle is late by the clause");
        prop_assert_eq!(one.1.last(), two.1.last());
        let late: BTreeSet<_> = one.0.iter().filter(|(_, v)| *v == 1).map(|(place, _)| *place).collect();
        prop_assert_eq!(late, late_by_hand(&topic));
    }
}

/// Who is late, straight from the topic.
fn late_by_hand(topic: &[Vec<Option<i64>>]) -> BTreeSet<(usize, i64)> {
    let mut late = BTreeSet::new();
    for (part, rows) in topic.iter().enumerate() {
        for (offset, time) in rows.iter().enumerate() {
            let before = rows[..offset].iter().flatten().filter(|t| **t <= FUTURE).max();
            if let (Some(time), Some(before)) = (time, before)
                && *time <= before - DELAY
            {
                late.insert((part, offset as i64));
            }
        }
    }
    late
}

#[test]
fn the_first_instant_there_is_counts_as_an_event_time() {
    let mut watermark = Watermark::new(ClauseConfig { delay_micros: 0, ..config() });
    let judged = judge(&mut watermark, &[Some(i64::MIN), None, Some(i64::MAX), Some(i64::MIN + 5)]);
    assert_eq!((judged.counts.null, judged.counts.future), (1, 1));
    assert_eq!(judged.late.values(), &[0, 0, 0, 0]);
    assert_eq!(watermark.state().partitions[0].max_event_time, Some(i64::MIN + 5), "the far future moves nothing");
}
