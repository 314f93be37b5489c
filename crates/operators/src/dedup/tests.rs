#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};
use datafusion::logical_expr::{col, table_scan};
use proptest::prelude::*;
use sluicebox_core::{Blame, Blamed};
use sluicebox_pipeline::graph::{Hidden, PlanNode, StreamNode};

use super::*;
use crate::conformance::{Batch, conforms, conforms_on_disk, stored};
use crate::testing::{self, Cut, DELAY, SECOND, Seen, Topic};

/// A node over the topic's rows with two key columns, `k` and `n`, before the others.
fn node(delay_micros: Option<i64>) -> DedupNode {
    let visible = testing::schema();
    let mut fields = vec![Arc::new(Field::new("__sb_key_0", DataType::Utf8, true))];
    fields.extend(visible.fields().iter().cloned());
    fields.push(Arc::new(Field::new("__sb_key_1", DataType::Int64, true)));
    let input = StreamNode {
        upstream: "bronze".into(),
        clause: None,
        schema: Arc::new(Schema::new(fields)),
        hidden: Hidden { provenance: true, event_time: true },
    };
    DedupNode {
        id: "silver.dedup.0".into(),
        input: Box::new(Node::Stream(input)),
        in_form: Vec::new(),
        keys: vec!["__sb_key_0".into(), "__sb_key_1".into()],
        delay_micros,
        clauses: vec!["silver.0".into()],
        schema: visible,
    }
}

fn with_keys(batch: &RecordBatch) -> RecordBatch {
    let mut columns: Vec<ArrayRef> = vec![Arc::clone(batch.column(0))];
    columns.extend(batch.columns().iter().cloned());
    columns.push(Arc::clone(batch.column(1)));
    RecordBatch::try_new(Arc::clone(node(None).input.schema()), columns).unwrap()
}

fn dedup(delay: Option<i64>) -> Dedup {
    Dedup::try_new(&node(delay)).unwrap()
}

fn seen(part: usize, offset: usize, key: u8, time: Option<i64>) -> Seen {
    Seen { part, offset, event: testing::Event { time, key, value: 1 } }
}

/// The offsets of the rows that `operator` keeps of `rows`, all of one batch.
fn kept(operator: &mut Dedup, rows: &[Seen]) -> Vec<i64> {
    let processed = operator.process(&[with_keys(&testing::batch(rows))]).unwrap();
    places(&processed.rows).into_iter().map(|(_, offset)| offset).collect()
}

fn places(rows: &[RecordBatch]) -> Vec<(i32, i64)> {
    let place = |batch: &RecordBatch| {
        let part = batch.column_by_name(provenance::PART).unwrap().as_primitive::<Int32Type>().values().to_vec();
        let offset = batch.column_by_name(provenance::OFFSET).unwrap().as_primitive::<Int64Type>().values().to_vec();
        part.into_iter().zip(offset).collect::<Vec<_>>()
    };
    rows.iter().flat_map(place).collect()
}

#[test]
fn the_first_row_per_key_stays_and_null_keys_are_equal() {
    let mut operator = dedup(None);
    let rows =
        [seen(0, 0, 1, None), seen(0, 1, 1, None), seen(0, 2, 3, None), seen(0, 3, 3, None), seen(0, 4, 0, None)];
    assert_eq!(kept(&mut operator, &rows), [0, 2, 4]);
    assert_eq!(kept(&mut operator, &rows), [0; 0]);
    assert_eq!(operator.rows(), 3);
}

#[test]
fn which_copy_is_first_does_not_depend_on_the_order_of_branches() {
    let branch = |rows: &[Seen]| with_keys(&testing::batch(rows));
    let one = branch(&[seen(0, 5, 1, None), seen(1, 0, 2, None)]);
    let two = branch(&[seen(0, 4, 1, None), seen(1, 1, 2, None)]);
    for branches in [[one.clone(), two.clone()], [two, one]] {
        assert_eq!(places(&dedup(None).process(&branches).unwrap().rows), [(0, 4), (1, 0)]);
    }
}

#[test]
fn keys_are_dropped_and_the_rest_is_as_it_was() {
    let batch = testing::batch(&[seen(0, 0, 1, Some(1)), seen(0, 1, 1, Some(1)), seen(0, 2, 2, Some(1))]);
    let processed = dedup(Some(DELAY)).process(&[with_keys(&batch)]).unwrap();
    assert_eq!(processed.rows.len(), 1);
    assert_eq!(processed.rows[0].schema(), testing::schema());
    assert_eq!(processed.rows[0].slice(0, 1), batch.slice(0, 1));
    assert_eq!(processed.rows[0].slice(1, 1), batch.slice(2, 1));
    assert_eq!(processed.duplicate, 1);
}

#[test]
fn a_copy_at_the_delay_is_a_duplicate_and_one_after_it_a_new_row() {
    let mut operator = dedup(Some(DELAY));
    let at = |offset, time| seen(0, offset, 1, Some(time));
    let rows = [at(0, 0), at(1, DELAY), at(2, DELAY + 1), at(3, 2 * DELAY + 1), at(4, -5), at(5, 2 * DELAY + 2)];
    assert_eq!(kept(&mut operator, &rows), [0, 2, 5], "each new row is what the next is measured by");
}

#[test]
fn a_null_event_time_is_filtered_where_the_state_needs_one() {
    let batch = with_keys(&testing::batch(&[seen(0, 0, 1, None), seen(0, 1, 1, Some(5))]));
    let processed = dedup(Some(DELAY)).process(std::slice::from_ref(&batch)).unwrap();
    assert_eq!((processed.filtered_null_event_time, places(&processed.rows)), (1, vec![(0, 1)]));
    let processed = dedup(None).process(&[batch]).unwrap();
    assert_eq!((processed.filtered_null_event_time, processed.duplicate), (0, 1));
}

#[test]
fn forgetting_frees_what_it_can_and_no_more() {
    let mut operator = dedup(Some(DELAY));
    kept(&mut operator, &[seen(0, 0, 1, Some(0)), seen(0, 1, 2, Some(5 * SECOND))]);
    operator.close(DELAY - 1);
    assert_eq!(operator.rows(), 2);
    operator.close(DELAY + SECOND - 1);
    assert_eq!(operator.rows(), 1, "the first second is over for its keys");
    operator.close(DELAY + 6 * SECOND);
    assert_eq!(operator.rows(), 0);
    assert!(operator.memory.bytes() < 4096);
}

#[test]
fn memory_follows_the_keys() {
    let mut operator = dedup(Some(DELAY));
    let before = operator.memory_bytes();
    for key in 0..100_000u128 {
        operator.memory.insert_first(Key::new(key << 64 | key), 7, None);
    }
    let held = operator.memory_bytes() - before;
    assert!((2_500_000..5_000_000).contains(&held), "{held}");
    assert!(operator.foldable_bytes() >= 2_500_000);
    operator.close(i64::MAX);
    assert!(operator.memory_bytes() < 100_000, "{}", operator.memory_bytes());
}

#[test]
fn times_at_the_ends_of_the_type_do_not_overflow() {
    let mut operator = dedup(Some(i64::MAX));
    assert_eq!(kept(&mut operator, &[seen(0, 0, 1, Some(i64::MAX)), seen(0, 1, 2, Some(i64::MIN))]), [0, 1]);
    operator.close(i64::MIN);
    operator.close(i64::MAX);
}

#[test]
fn saved_state_of_another_shape_is_refused() {
    let mut operator = dedup(Some(DELAY));
    let other = RecordBatch::try_from_iter([("key", Arc::new(StringArray::from(vec!["a"])) as ArrayRef)]).unwrap();
    let error = operator.restore(vec![other], None).unwrap_err();
    assert_eq!(error.blame(), Blame::User);
    assert!(error.to_string().contains("silver.dedup.0"), "{error}");
}

#[test]
fn a_fingerprint_names_what_keys_depend_on() {
    let fingerprint = dedup(Some(DELAY)).fingerprint();
    assert_eq!(
        fingerprint,
        "dedup v1; key encoding v1; keys [__sb_key_0: text, __sb_key_1: integer]; delay 10000000 us"
    );
    assert_ne!(fingerprint, dedup(None).fingerprint());
}

#[test]
fn a_fingerprint_has_the_expressions_of_the_keys() {
    let by = |key: &str| {
        let mut node = node(None);
        let keys = ["__sb_key_0", "__sb_key_1"].map(|name| col(key).alias(name));
        let schema = Arc::clone(node.input.schema());
        let rows = table_scan(Some("t"), &testing::schema(), None).unwrap();
        let plan = rows.project(keys).unwrap().build().unwrap();
        let hidden = Hidden { provenance: true, event_time: true };
        let plan = PlanNode { plan, inputs: Vec::new(), schema, hidden, row_by_row: true };
        *node.input = Node::Late(Box::new(Node::Plan(plan)));
        Dedup::try_new(&node).unwrap().fingerprint()
    };
    assert!(by("k").contains("[t.k: text, t.k: integer]"), "{}", by("k"));
    assert_ne!(by("k"), by("s"));
}

#[test]
fn a_key_of_a_type_without_encoding_or_a_missing_one_is_refused_at_once() {
    let mut missing = node(None);
    missing.keys.push("__sb_key_2".into());
    assert!(matches!(Dedup::try_new(&missing), Err(Error::Input { .. })));
}

/// A memory that never forgets, a row at a time: the meaning, without the optimisation.
fn never_forgetting(rows: &[Seen], delay: Option<i64>) -> Vec<(i32, i64)> {
    let mut kept: HashMap<(Option<u8>, Option<u8>), i64> = HashMap::new();
    let mut places = Vec::new();
    for row in rows {
        let key = row.event.key;
        let key = ((key % 3 != 0).then_some(key % 3), (key != 5).then_some(key / 3));
        let time = match (delay, row.event.time) {
            (Some(_), None) => continue,
            (Some(_), Some(time)) => time,
            (None, _) => 0,
        };
        let known = kept.get(&key);
        if known.is_none_or(|known| delay.is_some_and(|delay| time - known > delay)) {
            kept.insert(key, time);
            places.push((row.part as i32, row.offset as i64));
        }
    }
    places
}

fn scenario(topic: &Topic, cuts: &[Cut]) -> (Vec<Batch>, Vec<Seen>) {
    let (mut batches, rows) = testing::scenario(topic, cuts);
    for batch in &mut batches {
        batch.rows = batch.rows.iter().map(with_keys).collect();
    }
    (batches, rows)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// What an operator that lives through `batches` keeps.
fn run(operator: &mut Dedup, batches: &[Batch]) -> Vec<(i32, i64)> {
    let mut kept = Vec::new();
    for batch in batches {
        kept.extend(places(&operator.process(&batch.rows).unwrap().rows));
        if let Some(watermark) = batch.watermark {
            operator.close(watermark);
        }
    }
    kept
}

/// Keys in partitions of their own: what Kafka does with keyed events.
fn pinned(topic: &Topic) -> Topic {
    let pin = |(part, events): (usize, &Vec<testing::Event>)| {
        let pin = |event: &testing::Event| testing::Event { key: (event.key % 2) + 2 * part as u8, ..event.clone() };
        events.iter().map(pin).collect()
    };
    topic.iter().enumerate().map(pin).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn forgetting_never_shows(topic in testing::topic(24), cuts in testing::cuts(8), forever in prop::bool::weighted(0.2)) {
        let delay = (!forever).then_some(DELAY);
        let (batches, rows) = scenario(&topic, &cuts);
        let mut operator = dedup(delay);
        prop_assert_eq!(run(&mut operator, &batches), never_forgetting(&rows, delay));
    }

    #[test]
    fn the_cuts_never_show(topic in testing::topic(24), one in testing::cuts(8), two in testing::cuts(8)) {
        let topic = pinned(&topic);
        let busy = |cuts: Vec<Cut>| cuts.into_iter().map(|cut| Cut { finishing: false, ..cut }).collect::<Vec<_>>();
        let (one, _) = scenario(&topic, &busy(one));
        let (two, _) = scenario(&topic, &busy(two));
        let one: BTreeSet<_> = run(&mut dedup(Some(DELAY)), &one).into_iter().collect();
        let two: BTreeSet<_> = run(&mut dedup(Some(DELAY)), &two).into_iter().collect();
        prop_assert_eq!(one, two);
    }

    #[test]
    fn restoring_never_shows(topic in testing::topic(24), cuts in testing::cuts(5), forever in prop::bool::weighted(0.2)) {
        let (batches, _) = scenario(&topic, &cuts);
        block_on(conforms(|| dedup((!forever).then_some(DELAY)), &batches));
    }

    #[test]
    fn where_keys_are_never_shows(
        topic in testing::topic(24),
        cuts in testing::cuts(8),
        chores in prop::collection::vec(any::<u8>(), 1..9),
        forever in prop::bool::weighted(0.2),
    ) {
        let (batches, _) = scenario(&topic, &cuts);
        block_on(conforms_on_disk(|| dedup((!forever).then_some(DELAY)), &batches, &chores));
    }
}

/// Few keys that are kept again and again, beside a partition that brings one early event and no more: W stands there, so that no
/// segment is given up, and a key is in several.
fn kept_again() -> impl Strategy<Value = Topic> {
    prop::collection::vec((0i64..3, 0u8..3), 24..60).prop_map(|events| {
        let event = |seconds: i64, key| testing::Event { time: Some(seconds * SECOND), key, value: 1 };
        let places = (0i64..).zip(events);
        vec![vec![event(0, 5)], places.map(|(at, (jitter, key))| event(at * 4 + jitter, key)).collect()]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn the_newest_time_of_a_key_counts_whatever_was_merged_meanwhile(
        topic in kept_again(),
        takes in prop::collection::vec(1usize..5, 8..16),
        // Each batch is folded, and a merge goes on for some of them.
        chores in prop::collection::vec(prop_oneof![2 => Just(0b10_0110u8), 1 => Just(0b10_0010), 1 => any::<u8>()], 1..9),
    ) {
        let cuts: Vec<Cut> =
            takes.into_iter().map(|take| Cut { take: vec![1, take, 0], chunk: 4, finishing: false }).collect();
        let (batches, _) = scenario(&topic, &cuts);
        block_on(conforms_on_disk(|| dedup(Some(DELAY)), &batches, &chores));
    }
}

#[test]
fn memory_goes_when_keys_are_on_disk_and_copies_are_still_found() {
    let mut operator = dedup(None);
    for key in 0..100_000u128 {
        operator.memory.insert_first(Key::new(key << 64 | key), 0, None);
    }
    kept(&mut operator, &[seen(0, 0, 1, None)]);
    let all = operator.memory_bytes();
    let work = operator.fold().unwrap().unwrap();
    assert!(operator.memory_bytes() > all, "what is being written is still there");
    assert_eq!(kept(&mut operator, &[seen(0, 1, 1, None), seen(0, 2, 2, None)]), [2]);
    let segment = stored("s0", work.content).unwrap();
    operator.adopt(Some(segment), &[]).unwrap();
    operator.evict();
    let held = operator.memory_bytes();
    assert!((150_000..200_000).contains(&held), "filter and index of 100,001 keys, and two that came since: {held}");
    assert_eq!(operator.rows(), 100_002);
    assert_eq!(kept(&mut operator, &[seen(0, 3, 1, None), seen(0, 4, 2, None), seen(0, 5, 3, None)]), [5]);
}

#[test]
fn deltas_have_the_keys_in_the_order_of_their_rows() {
    let mut operator = dedup(Some(DELAY));
    kept(&mut operator, &[seen(0, 0, 1, Some(9)), seen(0, 1, 2, Some(3)), seen(0, 2, 1, Some(4))]);
    let delta = operator.delta().unwrap().unwrap();
    let times: &Int64Array = delta.column(1).as_primitive();
    assert_eq!(times.values().to_vec(), [9, 3]);
    assert!(operator.delta().unwrap().is_none());
}

proptest! {
    /// Rows that are not meant are as if they were not there, in whatever order the batches come.
    #[test]
    fn rows_among_others_are_taken_as_if_they_were_alone(
        topic in testing::topic(40), left_out: u64, cut in 1usize..9, turned: bool, delay in prop::option::of(Just(DELAY)),
    ) {
        let all: Vec<Seen> = topic
            .iter()
            .enumerate()
            .flat_map(|(part, events)| {
                events.iter().enumerate().map(move |(offset, event)| Seen { part, offset, event: event.clone() })
            })
            .collect();
        let mut at = 0;
        let mut rows: Vec<Masked> = all
            .chunks(cut)
            .map(|rows| {
                at += rows.len();
                let first = at - rows.len();
                let mask = BooleanBuffer::collect_bool(rows.len(), |row| left_out >> ((first + row) % 64) & 1 == 0);
                Masked::new(with_keys(&testing::batch(rows)), mask)
            })
            .collect();
        if turned {
            rows.reverse();
        }
        let (mut among, mut alone) = (dedup(delay), dedup(delay));
        let found = among.process_masked(rows.clone()).unwrap();
        let wanted = alone.process(&masked::into_rows(rows).unwrap()).unwrap();
        prop_assert_eq!(places(&found.rows), places(&wanted.rows));
        prop_assert_eq!(found.duplicate, wanted.duplicate);
        prop_assert_eq!(found.filtered_null_event_time, wanted.filtered_null_event_time);
        prop_assert_eq!(among.delta().unwrap(), alone.delta().unwrap());
    }
}
