//! State in segments: the output does not depend on where runs are, when they were folded, or what was restored from what.

use std::io;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Decimal128Type, Field, Schema};

use super::oracle::{AGGREGATES, MIXED, long, window};
use super::*;
use crate::aggregate::stored::{SegmentWriter, Stored};
use crate::conformance::through_a_file;
use crate::segment::SegmentFile;

/// A file in memory.
#[derive(Debug)]
struct Bytes(String, Vec<u8>);

impl SegmentFile for Bytes {
    fn name(&self) -> &str {
        &self.0
    }

    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let at = usize::try_from(at).map_err(io::Error::other)?;
        let bytes = self.1.get(at..at + buffer.len());
        buffer.copy_from_slice(bytes.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }
}

/// What the engine does when an operator is to fold; `None` if it had nothing in memory.
fn fold(operator: &mut WindowAggregate, name: &str) -> Option<Segment> {
    let work = operator.fold().unwrap()?;
    assert!(work.wait && work.replaces.is_empty());
    let mut data = Vec::new();
    let written = work.content.write(&mut data).unwrap();
    assert!(written.rows > 0, "what is in memory has rows");
    let segment = segment(name, data, written.tail, written.rows);
    operator.adopt(Some(segment.clone()), &[]).unwrap();
    Some(segment)
}

fn segment(name: &str, data: Vec<u8>, tail: Vec<u8>, rows: u64) -> Segment {
    let data_bytes = data.len() as u64;
    Segment { file: Arc::new(Bytes(name.to_owned(), data)), data_bytes, tail: Buffer::from_vec(tail), rows }
}

/// An operator that merges as streams, in batches of few rows.
fn tiny(node: &AggregateNode) -> WindowAggregate {
    let mut operator = operator(node);
    operator.rows_at_once = 2;
    Arc::get_mut(&mut operator.plans).unwrap().set_batch_rows(3, &SESSION.state());
    operator
}

/// What a batch gave, and left.
#[derive(Debug, PartialEq)]
struct Did {
    closed: Vec<RecordBatch>,
    delta: Option<RecordBatch>,
    rows: u64,
    next_close: Option<i64>,
    memory: usize,
    segments: Vec<String>,
}

/// Runs `batches` through an operator that folds after those that `folds` says, and is replaced by one that was restored from
/// segments and deltas after batch `restored`.
fn story(node: &AggregateNode, batches: &[Batch], folds: &[bool], restored: Option<usize>) -> Vec<Did> {
    let mut operator = tiny(node);
    let (mut segments, mut deltas) = (Vec::<Segment>::new(), Vec::new());
    let mut story = Vec::new();
    for (n, batch) in batches.iter().enumerate() {
        block_on(operator.process(&batch.rows)).unwrap();
        let closed = batch.watermark.map(|watermark| block_on(operator.close(watermark)).unwrap());
        let delta = operator.delta().unwrap();
        deltas.extend(delta.clone());
        if folds[n % folds.len()] {
            segments.extend(fold(&mut operator, &format!("{n}.segment")));
            assert_eq!(operator.memory_bytes(), 0, "a fold frees the memory");
            deltas.clear();
        }
        let gone = operator.release();
        segments.retain(|segment| !gone.contains(&segment.file.name().to_owned()));
        assert!(operator.release().is_empty(), "a segment is let go once");
        assert!(operator.rows() > 0 || segments.is_empty(), "what is over is let go");
        if restored == Some(n) {
            operator = tiny(node);
            operator.restore(deltas.iter().map(through_a_file).collect(), batch.watermark).unwrap();
            operator.attach(segments.clone()).unwrap();
        }
        let (rows, next_close, memory) = (operator.rows(), operator.next_close(), operator.memory_bytes());
        let segments = segments.iter().map(|segment| segment.file.name().to_owned()).collect();
        story.push(Did { closed: closed.unwrap_or_default(), delta, rows, next_close, memory, segments });
    }
    story
}

/// What the batches gave of one that holds all in memory and merges it there.
fn plain(node: &AggregateNode, batches: &[Batch]) -> Vec<Vec<String>> {
    let mut operator = operator(node);
    let one = |batch: &Batch| {
        block_on(operator.process(&batch.rows)).unwrap();
        operator.delta().unwrap();
        batch.watermark.map(|watermark| text(&block_on(operator.close(watermark)).unwrap())).unwrap_or_default()
    };
    batches.iter().map(one).collect()
}

fn texts(story: &[Did]) -> Vec<Vec<String>> {
    story.iter().map(|did| text(&did.closed)).collect()
}

/// Whether `two`, which was restored after batch `at`, went as `one` did: to the last bit, but for what is not settled
/// before the next batch.
fn same_after(one: &[Did], two: &[Did], at: usize) {
    for (n, (one, two)) in one.iter().zip(two).enumerate().filter(|(n, _)| *n != at) {
        assert_eq!(one, two, "batch {n}, restored after {at}");
    }
    assert_eq!((one[at].next_close, &one[at].segments), (two[at].next_close, &two[at].segments));
}

#[test]
fn every_aggregate_and_key_lives_in_segments() {
    let (batches, _) = long();
    let keys: &[&[&str]] =
        &[&["k"], &[], &["arrow_cast(s, 'Dictionary(Int32, Utf8)')", "n"], &["arrow_cast(s, 'Utf8View')"], &["v", "k"]];
    let queries = AGGREGATES.iter().map(|a| (&["k"][..], *a));
    let mut several = 0;
    for (keys, aggregates) in queries.chain(keys.iter().map(|keys| (*keys, "count(*), sum(i), min(s)"))) {
        for window in [tumbling(40), hopping(30, 20, 7)] {
            let node = node(keys, aggregates, window);
            let folded = story(&node, &batches, &[false, true, false, false, true], None);
            several += folded.iter().filter(|did| did.segments.len() > 1).count();
            assert_eq!(texts(&folded), plain(&node, &batches), "{keys:?} {aggregates}");
        }
    }
    assert!(several > 50, "runs meet from several segments: {several}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn folding_and_restoring_never_show(
        topic in testing::topic(30), cuts in testing::cuts(12), window in window(), folds in prop::collection::vec(any::<bool>(), 1..6),
    ) {
        let (batches, _) = testing::scenario(&topic, &cuts);
        let node = node(&["k", "n"], &MIXED.join(", "), window);
        let folded = story(&node, &batches, &folds, None);
        prop_assert_eq!(texts(&folded), plain(&node, &batches));
        for at in (0..batches.len()).step_by(2) {
            same_after(&folded, &story(&node, &batches, &folds, Some(at)), at);
        }
    }
}

#[test]
fn sums_of_floats_are_the_same_to_the_last_bit_after_a_restart() {
    let events = |n: i64| (0..40).map(|at| (n % 3 + at % 7, (at % 6) as u8, n * 37 + at * 11)).collect::<Vec<_>>();
    let watermark = |n: i64| (n == 23).then_some(500 * SECOND);
    let batches: Vec<Batch> =
        (0..24).map(|n| Batch { rows: vec![rows(&events(n))], watermark: watermark(n) }).collect();
    let node = node(&["k", "n"], "sum(0.1 * i), avg(0.3 * v), stddev(v)", hopping(10, 5, 0));
    let folds = [false, false, false, true, false];
    let live = story(&node, &batches, &folds, None);
    for at in 0..batches.len() {
        same_after(&live, &story(&node, &batches, &folds, Some(at)), at);
    }
    assert!(!live[23].closed.is_empty());
}

#[test]
fn a_pane_has_few_stored_runs_and_their_rows_are_not_written_each_time() {
    let mut operator = tiny(&node(&["i"], "count(*)", tumbling(1_000)));
    let (mut written, mut most) = (0, 0);
    for n in 0..64 {
        let events: Vec<_> = (0..10).map(|at| (1, 1, n * 10 + at)).collect();
        block_on(operator.process(&[rows(&events)])).unwrap();
        operator.delta().unwrap();
        written += fold(&mut operator, &format!("{n}.segment")).unwrap().rows;
        operator.release();
        most = most.max(operator.runs.range(0..1).count());
    }
    // Halves of halves: each of 640 rows (and one of NULL, in each) is written at most log2(64) + 1 times.
    assert!(most <= 7, "{most} runs");
    assert!(written <= 640 * 7 + 64 * 7, "{written} rows written");
    let out = block_on(operator.close(i64::MAX)).unwrap();
    assert!(out.iter().map(RecordBatch::num_rows).sum::<usize>() > 500);
    assert_eq!(operator.release().len(), 1 + operator.runs.range(0..1).count());
}

#[test]
fn many_rows_of_a_close_come_in_bounded_batches_after_the_operator_has_let_go() {
    let node = node(&["i"], "count(*), sum(v)", hopping(20, 10, 0));
    let (mut few, mut many) = (operator(&node), tiny(&node));
    let events: Vec<_> = (0..200).map(|at| (at % 30, 1, at)).collect();
    for operator in [&mut few, &mut many] {
        block_on(operator.process(&[rows(&events)])).unwrap();
        operator.delta().unwrap();
    }
    let segment = fold(&mut many, "a.segment");
    let Closed::Rows(all) = block_on(few.close_rows(40 * SECOND)).unwrap() else {
        unreachable!("few rows are given at once")
    };
    let Closed::Stream(rows) = block_on(many.close_rows(40 * SECOND)).unwrap() else {
        unreachable!("many rows are streamed")
    };
    assert_eq!((many.rows(), many.release().len()), (0, 1), "the operator has let go of what is still to be read");
    drop((many, segment));
    let batches: Vec<RecordBatch> = block_on(rows.try_collect()).unwrap();
    assert!(batches.len() > 10 && batches.iter().all(|batch| batch.num_rows() <= 3));
    assert_eq!(text(&batches), text(&all));
}

#[test]
fn a_damaged_segment_is_named_and_never_read_wrong() {
    let node = node(&["s"], "count(*), sum(v)", tumbling(10));
    let events: Vec<_> = (0..20).map(|at| (at % 30, 1, at)).collect();
    let full = || {
        let mut operator = tiny(&node);
        block_on(operator.process(&[rows(&events)])).unwrap();
        operator
    };
    let work = full().fold().unwrap().unwrap();
    let mut data = Vec::new();
    let written = work.content.write(&mut data).unwrap();
    let right = text(&block_on(full().close(i64::MAX)).unwrap());
    let read = |data: Vec<u8>, tail: Vec<u8>| {
        let mut operator = tiny(&node);
        operator.attach(vec![segment("state/x/9.segment", data, tail, written.rows)])?;
        block_on(operator.close(i64::MAX))
    };
    assert_eq!(text(&read(data.clone(), written.tail.clone()).unwrap()), right);
    let mut named = 0;
    for at in (0..data.len()).step_by(11) {
        let mut data = data.clone();
        data[at] ^= 0x10;
        match read(data, written.tail.clone()) {
            // Before the first batch is what Arrow's readers of streams need.
            Ok(rows) => assert_eq!(text(&rows), right, "byte {at}"),
            Err(error) => {
                assert_eq!(error.blame(), Blame::Outside);
                assert!(error.to_string().contains("state/x/9.segment"), "{error}");
                named += 1;
            }
        }
    }
    assert!(named * 22 > data.len(), "{named} of every 11th of {} bytes", data.len());
    assert!(read(data[..data.len() / 2].to_vec(), written.tail.clone()).is_err());
    // The tail has a checksum in the commit; without it there may be wrong rows, but no panic.
    for at in (0..written.tail.len()).step_by(7) {
        let mut tail = written.tail.clone();
        tail[at] ^= 0x10;
        let _ = read(data.clone(), tail);
    }
    for length in (0..written.tail.len()).step_by(13) {
        assert!(read(data.clone(), written.tail[..length].to_vec()).is_err(), "{length} bytes of tail");
    }
}

#[test]
fn a_segment_of_another_query_is_refused() {
    let mut one = tiny(&node(&["s"], "count(*)", tumbling(10)));
    block_on(one.process(&[rows(&[(1, 1, 1)])])).unwrap();
    let segment = fold(&mut one, "a.segment").unwrap();
    let mut other = tiny(&node(&["s"], "count(*), sum(i)", tumbling(10)));
    let error = other.attach(vec![segment]).unwrap_err();
    assert_eq!(error.blame(), Blame::User);
    assert!(error.to_string().contains("a.segment"), "{error}");
}

#[test]
fn small_states_are_written_whole_until_something_is_stored() {
    let mut operator = tiny(&node(&["s"], "count(*)", tumbling(10)));
    block_on(operator.process(&[rows(&[(1, 1, 1)])])).unwrap();
    assert!(!operator.has_segments() && operator.foldable_bytes() > 0);
    fold(&mut operator, "a.segment");
    assert!(operator.has_segments() && operator.foldable_bytes() == 0);
    assert!(operator.fold().unwrap().is_none(), "nothing is in memory");
    block_on(operator.close(i64::MAX)).unwrap();
    assert_eq!(operator.release(), ["a.segment"]);
    assert!(!operator.has_segments());
}

/// Sums of whole numbers had 64 bits in state before they were exact.
#[test]
fn sums_of_an_earlier_version_are_read() {
    let of = |data_type: DataType| {
        Arc::new(Schema::new(vec![Field::new("g0", DataType::Int64, true), Field::new("a0_s0", data_type, true)]))
    };
    let (before, now) = (of(DataType::Int64), of(DataType::Decimal128(29, 0)));
    let column = |values: Vec<Option<i64>>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let columns = vec![column(vec![Some(0), Some(0)]), column(vec![Some(i64::MAX), None])];
    let rows = RecordBatch::try_new(Arc::clone(&before), columns).unwrap();
    let mut data = Vec::new();
    let mut writer = SegmentWriter::try_new(&mut data, &before, 10).unwrap();
    writer.begin(0, 0);
    writer.write(rows).unwrap();
    let written = writer.finish().unwrap();
    let stored = Stored::open("op", segment("s", data, written.tail, written.rows), &now).unwrap();
    let read: Vec<RecordBatch> = stored.rows(0, 2).collect::<Result<_, _>>().unwrap();
    assert_eq!(read[0].schema(), now);
    let sums = read[0].column(1).as_primitive::<Decimal128Type>();
    assert_eq!(sums.iter().collect::<Vec<_>>(), [Some(i128::from(i64::MAX)), None]);
}
