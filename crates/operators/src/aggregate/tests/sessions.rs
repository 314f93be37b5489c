//! Sessions: the rules one by one, and against the oracle, which sorts all rows by key and time and splits them where the gap is.

use super::oracle::{AGGREGATES, long, with_starts};
use super::*;
use crate::conformance::{stored, through_a_file};

fn session(gap: i64) -> Window {
    Window { position: 0, assigner: Assigner::Session(SessionEnd::After(gap * SECOND)) }
}

fn sessions(node: &AggregateNode) -> SessionAggregate {
    SessionAggregate::try_new(node, &SESSION.state()).unwrap()
}

/// Rows as [`rows`] takes them, and the watermark after them in microseconds.
type Step<'a> = (&'a [(i64, u8, i64)], i64);

/// Processes each of `batches` in a batch of its own, closes at its watermark, and gives all rows as text.
fn run(operator: &mut SessionAggregate, batches: &[Step<'_>]) -> Vec<String> {
    let mut out = Vec::new();
    for (events, watermark) in batches {
        block_on(operator.process(&[rows(events)])).unwrap();
        operator.delta().unwrap();
        out.extend(text(&block_on(operator.close(*watermark)).unwrap()));
    }
    out
}

#[test]
fn a_session_is_given_once_when_the_watermark_reaches_its_end() {
    let mut operator = sessions(&node(&["k"], "count(*), sum(i)", session(10)));
    let batches: &[Step<'_>] = &[
        (&[(3, 1, 1), (9, 1, 2), (4, 2, 3)], 14 * SECOND - 1),
        (&[], 14 * SECOND),
        (&[(18, 1, 4)], 28 * SECOND - 1),
        (&[], 28 * SECOND),
        (&[], 100 * SECOND),
    ];
    assert_eq!(run(&mut operator, batches), ["4000000 14000000 k2 1 3", "3000000 28000000 k1 3 7"]);
    assert_eq!((operator.rows(), operator.next_close()), (0, None));
}

/// As Spark has it: a row at the end of a session belongs to it, one a microsecond later does not.
#[test]
fn a_row_at_the_end_of_a_session_belongs_to_it() {
    let at = |times: &[i64]| {
        let seen = |(offset, &time): (usize, &i64)| Seen {
            part: 0,
            offset,
            event: Event { time: Some(time), key: 1, value: 1 },
        };
        let batch = testing::batch(&times.iter().enumerate().map(seen).collect::<Vec<_>>());
        let mut operator = sessions(&node(&["k"], "count(*)", session(10)));
        block_on(operator.process(&[batch])).unwrap();
        text(&block_on(operator.close(100 * SECOND)).unwrap())
    };
    assert_eq!(at(&[0, 10 * SECOND]), ["0 20000000 k1 2"]);
    assert_eq!(at(&[0, 10 * SECOND + 1]), ["0 10000000 k1 1", "10000001 20000001 k1 1"]);
    assert_eq!(at(&[-30 * SECOND, -25 * SECOND]), ["-30000000 -15000000 k1 2"], "before 1970");
}

#[test]
fn a_row_between_two_sessions_makes_them_one() {
    let mut operator = sessions(&node(&["k"], "count(*), sum(i), min(i), max(i)", session(10)));
    let batches: &[Step<'_>] =
        &[(&[(1, 1, 1)], 0), (&[(20, 1, 4)], 0), (&[(10, 1, 2)], 5 * SECOND), (&[], 100 * SECOND)];
    assert_eq!(run(&mut operator, batches), ["1000000 30000000 k1 3 7 1 4"]);
}

#[test]
fn a_session_that_was_given_is_not_gone_on_with() {
    let mut operator = sessions(&node(&["k"], "count(*)", session(10)));
    let batches: &[Step<'_>] = &[(&[(1, 1, 1)], 11 * SECOND), (&[(12, 1, 1)], 50 * SECOND)];
    assert_eq!(run(&mut operator, batches), ["1000000 11000000 k1 1", "12000000 22000000 k1 1"]);
    // A row that would have been part of it is late, and never comes here.
    assert!(matches!(
        block_on(operator.process(&[rows(&[(12, 1, 1)])])),
        Err(Error::ClosedWindow { pane: 12_000_000, watermark: 50_000_000, .. })
    ));
}

#[test]
fn sessions_need_no_key() {
    let mut operator = sessions(&node(&[], "count(*), sum(i)", session(10)));
    let batches: &[Step<'_>] =
        &[(&[(1, 1, 1), (30, 2, 4)], 0), (&[(8, 2, 2)], 20 * SECOND), (&[(33, 3, 1)], 50 * SECOND)];
    assert_eq!(run(&mut operator, batches), ["1000000 18000000 2 3", "30000000 43000000 2 5"]);
    let mut node = node(&[], "count(*)", session(10));
    node.aggregates.clear();
    let mut fields = node.schema.fields().to_vec();
    fields.remove(1);
    node.schema = Arc::new(Schema::new(fields));
    assert_eq!(run(&mut sessions(&node), &[(&[(1, 1, 1), (5, 1, 1)], 20 * SECOND)]), ["1000000 15000000"]);
}

#[test]
fn a_null_event_time_and_one_without_an_end_are_in_no_session() {
    let mut operator = sessions(&node(&["k"], "count(*)", session(10)));
    let at = |offset, time| Seen { part: 0, offset, event: Event { time, key: 1, value: 1 } };
    let batch = testing::batch(&[at(0, None), at(1, Some(1)), at(2, Some(i64::MAX))]);
    let processed = block_on(operator.process(&[batch])).unwrap();
    let filtered = (processed.filtered_null_event_time, processed.filtered_without_window);
    assert_eq!((processed.absorbed, filtered), (1, (1, 1)));
}

#[test]
fn sessions_that_end_soon_are_looked_for_once() {
    let mut operator = sessions(&node(&["s"], "count(*)", session(1_000)));
    let events: Vec<(i64, u8, i64)> = (0..5).map(|at| (at * 10, 1, at)).collect();
    block_on(operator.process(&[rows(&events)])).unwrap();
    operator.delta().unwrap();
    assert!(block_on(operator.close(900 * SECOND)).unwrap().is_empty());
    // These are taken from what was found; a row that comes meanwhile takes its session out.
    assert_eq!(text(&block_on(operator.close(1_000 * SECOND)).unwrap()), ["0 1000000000 s0 1"]);
    block_on(operator.process(&[rows(&[(1_005, 1, 1)])])).unwrap();
    operator.delta().unwrap();
    let out = text(&block_on(operator.close(1_045 * SECOND)).unwrap());
    assert_eq!(out, ["20000000 1020000000 s2 1", "30000000 1030000000 s3 1", "40000000 1040000000 s4 1"]);
    assert_eq!(text(&block_on(operator.close(3_000 * SECOND)).unwrap()), ["10000000 2005000000 s1 2"]);
}

/// What a row of the per-row test lasts, in seconds; none of some.
fn gap_of(value: i64) -> Option<i64> {
    (value % 4 != 0).then_some(value)
}

/// The rows with the end of each.
fn with_ends(batch: &RecordBatch) -> RecordBatch {
    let values = batch.column_by_name("i").unwrap().as_primitive::<Int64Type>();
    let times = batch.column_by_name(provenance::EVENT_TIME).unwrap().as_primitive::<TimestampMicrosecondType>();
    let end = |(time, value): (Option<i64>, Option<i64>)| Some(time? + gap_of(value?)? * SECOND);
    let ends: TimestampMicrosecondArray = times.iter().zip(values).map(end).collect();
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(ends.with_timezone("UTC")));
    RecordBatch::try_new(schema_with_ends(), columns).unwrap()
}

fn schema_with_ends() -> SchemaRef {
    let mut fields = testing::schema().fields().to_vec();
    fields.push(Arc::new(Field::new(SESSION_END, provenance::event_time_type(), true)));
    Arc::new(Schema::new(fields))
}

/// The node of sessions in which a row lasts as long as [`gap_of`] says.
fn node_per_row(keys: &[&str], aggregates: &str) -> AggregateNode {
    static TABLE: LazyLock<()> = LazyLock::new(|| {
        let table = MemTable::try_new(schema_with_ends(), vec![vec![]]).unwrap();
        SESSION.register_table("with_ends", Arc::new(table)).unwrap();
    });
    LazyLock::force(&TABLE);
    let window = Window { position: 0, assigner: Assigner::Session(SessionEnd::InColumn) };
    let node = node_over("with_ends", schema_with_ends(), keys, aggregates, window);
    let end = datafusion::logical_expr::lit("the event time and a gap");
    AggregateNode { computed: vec![(SESSION_END.to_owned(), end)], ..node }
}

#[test]
fn a_row_may_last_longer_than_another_or_be_in_none() {
    let mut operator = sessions(&node_per_row(&["k"], "count(*), sum(i)"));
    let batch = with_ends(&rows(&[(0, 1, 9), (3, 1, 1), (8, 1, 4), (9, 1, -3), (20, 1, 3)]));
    let processed = block_on(operator.process(&[batch])).unwrap();
    assert_eq!((processed.absorbed, processed.filtered_without_window), (3, 2), "a gap that is NULL or negative");
    let out = text(&block_on(operator.close(100 * SECOND)).unwrap());
    assert_eq!(out, ["0 9000000 k1 2 10", "20000000 23000000 k1 1 3"], "the end is the last of all ends");
}

/// The key of a row as its columns say it, and as text.
fn key_of(row: &Seen) -> String {
    let key = row.event.key;
    let k = if !key.is_multiple_of(3) { format!("k{}", key % 3) } else { "NULL".to_owned() };
    let n = if key != 5 { (key / 3).to_string() } else { "NULL".to_owned() };
    format!("{k} {n}")
}

/// What the batch query gives of sessions by `k` and `n` that end at or before `watermark`, a row a line, sorted. `gap` is how long a row
/// lasts, in microseconds.
fn oracle(
    rows: &[Seen],
    aggregates: &[&str],
    gap: &dyn Fn(&Event) -> Option<i64>,
    watermark: Option<i64>,
) -> Vec<String> {
    let mut by_key: BTreeMap<String, Vec<(i64, i64, Seen)>> = BTreeMap::new();
    for row in rows {
        if let (Some(time), Some(gap)) = (row.event.time, gap(&row.event).filter(|gap| *gap > 0)) {
            by_key.entry(key_of(row)).or_default().push((time, time + gap, row.clone()));
        }
    }
    let (mut ends, mut due) = (BTreeMap::new(), Vec::new());
    for (key, mut rows) in by_key {
        rows.sort_by_key(|(time, ..)| *time);
        let mut found: Vec<(i64, i64, Vec<Seen>)> = Vec::new();
        for (start, end, row) in rows {
            match found.last_mut().filter(|(_, last, _)| start <= *last) {
                Some((_, last, rows)) => {
                    *last = end.max(*last);
                    rows.push(row);
                }
                None => found.push((start, end, vec![row])),
            }
        }
        for (start, end, rows) in found {
            if watermark.is_some_and(|watermark| end <= watermark) {
                ends.insert((start, key.clone()), end);
                due.extend(rows.into_iter().map(|row| (start, row)));
            }
        }
    }
    let context = super::session();
    context.register_batch("t", with_starts(&due)).unwrap();
    let mut lines: BTreeMap<String, String> = BTreeMap::new();
    for aggregate in aggregates {
        let sql = format!("SELECT w, k, n, {aggregate} FROM t GROUP BY w, k, n");
        for batch in block_on(async { context.sql(&sql).await.unwrap().collect().await.unwrap() }) {
            let keys = rows_as_text(&batch.project(&[0, 1, 2]).unwrap());
            let values = rows_as_text(&batch.project(&(3..batch.num_columns()).collect::<Vec<_>>()).unwrap());
            for (key, value) in keys.into_iter().zip(values) {
                lines.entry(key).or_default().push_str(&format!(" {value}"));
            }
        }
    }
    let line = |(key, values): (String, String)| {
        let (start, key) = key.split_once(' ').unwrap();
        let end = ends[&(start.parse::<i64>().unwrap(), key.to_owned())];
        format!("{start} {end} {key}{values}")
    };
    let mut lines: Vec<String> = lines.into_iter().map(line).collect();
    lines.sort();
    lines
}

fn sorted(batches: &[RecordBatch]) -> Vec<String> {
    let mut lines = text(batches);
    lines.sort();
    lines
}

/// What an operator gives that lives through `batches`.
fn through(operator: &mut SessionAggregate, batches: &[Batch]) -> Vec<RecordBatch> {
    let mut out = Vec::new();
    for batch in batches {
        block_on(operator.process(&batch.rows)).unwrap();
        operator.delta().unwrap();
        if let Some(watermark) = batch.watermark {
            out.extend(block_on(operator.close(watermark)).unwrap());
        }
    }
    out
}

/// What one gives of each batch whose state is stored after those that `folds` says, and that is replaced after batch `restored` by one
/// that was restored from segments and deltas.
fn on_disk(node: &AggregateNode, batches: &[Batch], folds: &[bool], restored: Option<usize>) -> Vec<Vec<RecordBatch>> {
    let make = || sessions(node).in_small_steps(&SESSION.state());
    let mut operator = make();
    let (mut segments, mut deltas) = (Vec::<Segment>::new(), Vec::new());
    let mut out = Vec::new();
    for (n, batch) in batches.iter().enumerate() {
        block_on(operator.process(&batch.rows)).unwrap();
        let closed = batch.watermark.map(|watermark| block_on(operator.close(watermark)).unwrap());
        deltas.extend(operator.delta().unwrap());
        if folds[n % folds.len()]
            && let Some(work) = operator.fold().unwrap()
        {
            let segment = stored(&format!("{n}.segment"), work.content);
            segments.extend(segment.clone());
            operator.adopt(segment, &work.replaces).unwrap();
            deltas.clear();
        }
        let gone = operator.release();
        segments.retain(|segment| !gone.contains(&segment.file.name().to_owned()));
        assert!(operator.rows() > 0 || segments.is_empty(), "what is over is let go");
        if restored == Some(n) {
            operator = make();
            operator.restore(deltas.iter().map(through_a_file).collect(), batch.watermark).unwrap();
            operator.attach(segments.clone()).unwrap();
        }
        out.push(closed.unwrap_or_default());
    }
    out
}

/// What depends on no order of rows.
const MIXED: [&str; 7] = [
    "count(*)",
    "sum(i)",
    "avg(v)",
    "min(s)",
    "count(DISTINCT i)",
    "array_agg(s ORDER BY s, i)",
    "sum(v) FILTER (WHERE b)",
];

#[test]
fn every_aggregate_lives_through_a_restore() {
    let (batches, _) = long();
    for aggregates in AGGREGATES {
        let node = node(&["k"], aggregates, session(9));
        block_on(conforms(|| sessions(&node), &batches[..5]));
    }
}

#[test]
fn many_runs_are_merged_alike_however_they_came_back() {
    // Sessions that grow, meet and end, over so many batches that runs are merged several times.
    let events = |n: i64| (0..1 + n * 5 % 4).map(|at| (n * 3 + at * 7, (at % 3) as u8, n * 3 - at)).collect::<Vec<_>>();
    let batch = |n: i64| Batch { rows: vec![rows(&events(n))], watermark: Some((n * 3 - 4) * SECOND) };
    let node = node(&["k", "n"], "sum(0.1 * i), avg(0.3 * v), array_agg(i)", session(5));
    let out = block_on(conforms(|| sessions(&node), &(0..24).map(batch).collect::<Vec<_>>()));
    assert!(out.iter().map(RecordBatch::num_rows).sum::<usize>() > 5);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_run_gives_what_a_batch_query_gives(topic in testing::topic(30), cuts in testing::cuts(14), gap in 1i64..20) {
        let (batches, rows) = testing::scenario(&topic, &cuts);
        let watermark = batches.last().and_then(|batch| batch.watermark);
        let expected = oracle(&rows, &MIXED, &|_| Some(gap * SECOND), watermark);
        let node = node(&["k", "n"], &MIXED.join(", "), session(gap));
        prop_assert_eq!(sorted(&through(&mut sessions(&node), &batches)), expected.clone());
        let mut small = sessions(&node).in_small_steps(&SESSION.state());
        prop_assert_eq!(sorted(&through(&mut small, &batches)), expected);
    }

    #[test]
    fn gaps_of_rows_give_what_a_batch_query_gives(topic in testing::topic(30), cuts in testing::cuts(14)) {
        let (batches, rows) = testing::scenario(&topic, &cuts);
        let batches: Vec<Batch> = batches
            .iter()
            .map(|batch| Batch { rows: batch.rows.iter().map(with_ends).collect(), watermark: batch.watermark })
            .collect();
        let watermark = batches.last().and_then(|batch| batch.watermark);
        let gap = |event: &Event| (event.value % 5 != 0).then(|| gap_of(event.value)).flatten().map(|gap| gap * SECOND);
        let node = node_per_row(&["k", "n"], &MIXED.join(", "));
        let out = through(&mut sessions(&node), &batches);
        prop_assert_eq!(sorted(&out), oracle(&rows, &MIXED, &gap, watermark));
        block_on(conforms(|| sessions(&node), &batches));
    }

    #[test]
    fn the_cuts_never_show(topic in testing::topic(20), one in testing::cuts(10), two in testing::cuts(10), gap in 1i64..20) {
        let busy = |cuts: Vec<Cut>| cuts.into_iter().map(|cut| Cut { finishing: false, ..cut }).collect::<Vec<_>>();
        let [one, two] = [one, two].map(|cuts| {
            let (batches, _) = testing::scenario(&topic, &busy(cuts));
            let node = node(&["k"], "count(*), sum(i), avg(v), array_agg(i ORDER BY i, s, __sb_event_time)", session(gap));
            sorted(&through(&mut sessions(&node), &batches))
        });
        prop_assert_eq!(one, two);
    }

    #[test]
    fn restoring_never_shows(topic in testing::topic(30), cuts in testing::cuts(12), gap in 1i64..20) {
        let (batches, _) = testing::scenario(&topic, &cuts);
        let node = node(&["k"], "count(*), sum(v), sum(0.1 * i), array_agg(i), last_value(s)", session(gap));
        block_on(conforms(|| sessions(&node), &batches));
    }

    #[test]
    fn segments_never_show(
        topic in testing::topic(30), cuts in testing::cuts(12), gap in 1i64..20,
        folds in prop::collection::vec(prop::bool::weighted(0.4), 1..8), at in 0usize..12,
    ) {
        let (batches, _) = testing::scenario(&topic, &cuts);
        let node = node(&["k", "n"], &MIXED.join(", "), session(gap));
        let mut operator = sessions(&node);
        let expected: Vec<Vec<String>> =
            batches.iter().map(|batch| sorted(&through(&mut operator, std::slice::from_ref(batch)))).collect();
        let live = on_disk(&node, &batches, &folds, None);
        prop_assert_eq!(live.iter().map(|rows| sorted(rows)).collect::<Vec<_>>(), expected);
        let restored = on_disk(&node, &batches, &folds, Some(at.min(batches.len() - 1)));
        let texts = |out: &[Vec<RecordBatch>]| out.iter().map(|rows| text(rows)).collect::<Vec<_>>();
        prop_assert_eq!(texts(&live), texts(&restored));
    }
}
