//! Compares with an oracle: the same SELECT as a batch query over the rows that were not late, each repeated for the windows that hold it,
//! without the windows that end after the final watermark. The oracle's rows are in the order that the operator promises to aggregates
//! without ORDER BY: panes in time order, rows of a pane in their own order.

use super::*;

/// The start of every window that holds `time`, by search.
fn starts(time: i64, window: &Window) -> Vec<i64> {
    let (size, slide, offset) = lengths(window);
    let holds = |start: &i64| *start <= time && time < start + size;
    let first = offset - 400 * SECOND / slide * slide;
    (0..).map(|n| first + n * slide).take_while(|start| *start <= time).filter(holds).collect()
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// What the batch query gives, a row a line, sorted. Each aggregate is asked for alone: beside one with ORDER BY, a batch
/// query sorts the rows for those without, too.
fn oracle(rows: &[Seen], keys: &[&str], aggregates: &[&str], window: &Window, watermark: Option<i64>) -> Vec<String> {
    let (size, slide, _) = lengths(window);
    let due = |start: &i64| watermark.is_some_and(|watermark| start + size <= watermark);
    let windows = |row: &Seen| row.event.time.map(|time| starts(time, window)).unwrap_or_default();
    let each = |row: &Seen| windows(row).into_iter().filter(due).map(|start| (start, row.clone())).collect::<Vec<_>>();
    let mut rows: Vec<(i64, Seen)> = rows.iter().flat_map(each).collect();
    let width = gcd(size, slide);
    rows.sort_by_key(|(start, row)| (*start, row.event.time.map(|time| (time - start).div_euclid(width))));

    let session = session();
    session.register_batch("t", with_starts(&rows)).unwrap();
    let mut groups: BTreeMap<String, String> = BTreeMap::new();
    for aggregate in aggregates {
        let border = 1 + keys.len();
        let keys = [&["w"], keys].concat().join(", ");
        let sql = format!("SELECT {keys}, {aggregate} FROM t GROUP BY {keys}");
        let batches = block_on(async { session.sql(&sql).await.unwrap().collect().await.unwrap() });
        for batch in batches {
            let part =
                |columns: std::ops::Range<usize>| rows_as_text(&batch.project(&columns.collect::<Vec<_>>()).unwrap());
            for (keys, values) in part(0..border).into_iter().zip(part(border..batch.num_columns())) {
                groups.entry(keys).or_default().push_str(&format!(" {values}"));
            }
        }
    }
    let line = |(keys, values): (String, String)| {
        let (start, keys) = keys.split_once(' ').map_or((keys.as_str(), String::new()), |(s, k)| (s, format!(" {k}")));
        format!("{start} {}{keys}{values}", start.parse::<i64>().unwrap() + size)
    };
    let mut lines: Vec<String> = groups.into_iter().map(line).collect();
    lines.sort();
    lines
}

/// The rows with the start of their window as column `w`.
pub(super) fn with_starts(rows: &[(i64, Seen)]) -> RecordBatch {
    let (starts, rows): (Vec<i64>, Vec<Seen>) = rows.iter().cloned().unzip();
    let batch = testing::batch(&rows);
    let mut fields: Vec<FieldRef> = batch.schema_ref().fields().to_vec();
    fields.push(Arc::new(Field::new("w", DataType::Int64, false)));
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(Int64Array::from(starts)));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn sorted(batches: &[RecordBatch]) -> Vec<String> {
    let mut lines = text(batches);
    lines.sort();
    lines
}

/// What an operator that lives through `batches` gives.
fn run(operator: &mut WindowAggregate, batches: &[Batch]) -> Vec<RecordBatch> {
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

/// A long enough scenario for windows to open, be compacted and close: twelve batches, all kinds of values.
pub(super) fn long() -> (Vec<Batch>, Vec<Seen>) {
    let event = |part: usize, at: usize| {
        let mixed = (at * 7 + part * 3) as i64;
        let time = (mixed % 17 != 0).then(|| (at as i64 * 2 - 50 + mixed % 9 - 4) * SECOND);
        Event { time, key: (mixed % 6) as u8, value: mixed * 5 % 19 - 8 }
    };
    let topic: testing::Topic = (0..3).map(|part| (0..80).map(|at| event(part, at)).collect()).collect();
    let cut = |n: usize| Cut { take: vec![5 + n % 3, 6, 4 + n % 4], chunk: 7, finishing: false };
    testing::scenario(&topic, &(0..12).map(cut).collect::<Vec<_>>())
}

pub(super) const AGGREGATES: &[&str] = &[
    "count(*)",
    "count(v)",
    "sum(i)",
    "sum(v)",
    "avg(v)",
    "min(s)",
    "max(v)",
    "count(DISTINCT i)",
    "sum(DISTINCT i)",
    "approx_distinct(i)",
    "approx_percentile_cont(v, 0.5)",
    "approx_median(v)",
    "median(i)",
    "percentile_cont(v, 0.9)",
    "percentile_cont(v, 0)",
    "array_agg(i)",
    "array_agg(DISTINCT i ORDER BY i)",
    "array_agg(i ORDER BY v, i)",
    "array_agg(i ORDER BY v DESC NULLS LAST, i)",
    "first_value(i ORDER BY v, i)",
    "last_value(i ORDER BY v, i)",
    "first_value(s)",
    "last_value(s)",
    "first_value(i) IGNORE NULLS",
    "nth_value(i, 2 ORDER BY v, i)",
    "nth_value(i, -2 ORDER BY v DESC, i)",
    "string_agg(s, ',')",
    "string_agg(s, ',' ORDER BY s DESC)",
    "bool_and(b)",
    "bool_or(b)",
    "bit_xor(i)",
    "stddev(v)",
    "var_pop(v)",
    "corr(v, i)",
    "regr_slope(v, i)",
    "sum(i) FILTER (WHERE b)",
    "count(*) FILTER (WHERE i > 0 AND s <> 's1')",
    "sum(coalesce(v, 1.5))",
    "max(nullif(s, 's4'))",
    "min(date_trunc('minute', __sb_event_time))",
    "sum(arrow_cast(i, 'Decimal128(20, 2)'))",
    "count(DISTINCT k)",
    "array_agg(named_struct('a', i, 'b', s) ORDER BY i, s)",
    "max_by(s, v)",
    "min_by(i, s)",
    "max_by(named_struct('a', i, 'b', s), v)",
    "count_if(b)",
    "collect_list(s)",
    "collect_list(DISTINCT s)",
    "collect_set(v)",
    "listagg(s, ',')",
    "listagg(DISTINCT s, ';')",
    "first(s)",
    "last(i)",
    "every(b)",
    "mode(i)",
    "mode(s)",
    "percentile(v, 0.3)",
    "percentile(v, 0.7, abs(i))",
    "percentile_disc(0.4) WITHIN GROUP (ORDER BY v DESC)",
    "percentile_approx(v, 0.5)",
    "percentile_approx(i, 0.9)",
    "approx_count_distinct(i)",
    "skewness(i)",
    "kurtosis(i)",
    "max(named_struct('a', v, 'b', s))",
    "min(make_array(v, i))",
    "sum(i), nth_value(i, 2 ORDER BY v, i), array_agg(s ORDER BY s), nth_value(s, 1 ORDER BY v DESC, i DESC)",
];

#[test]
fn every_aggregate_gives_what_a_batch_query_gives() {
    let (batches, rows) = long();
    let watermark = batches.last().unwrap().watermark;
    for aggregates in AGGREGATES {
        for window in [tumbling(40), hopping(30, 20, 7)] {
            let mut operator = operator(&node(&["k"], aggregates, window));
            let out = sorted(&run(&mut operator, &batches));
            assert!(out.len() > 10, "{aggregates} has something to compare");
            assert_eq!(out, oracle(&rows, &["k"], &[aggregates], &window, watermark), "{aggregates}");
        }
    }
}

#[test]
fn every_aggregate_lives_through_a_restore() {
    let (batches, _) = long();
    for aggregates in AGGREGATES {
        let node = node(&["k"], aggregates, hopping(30, 20, 7));
        let ends = |batch: &Batch| batch.clone();
        // Few batches, many runs a pane are tried by the property below.
        let batches: Vec<Batch> = batches[..5].iter().map(ends).collect();
        block_on(conforms(|| operator(&node), &batches));
    }
}

#[test]
fn many_runs_of_a_pane_are_reduced_alike_however_they_came_back() {
    // Numbers of groups that rise and fall, so that runs of all sizes follow each other.
    let later = |n: i64| if n > 17 { 600 } else { 0 };
    let events =
        |n: i64| (0..1 + n * 5 % 7).map(|at| (n + at + later(n), (at % 6) as u8, n * 3 - at)).collect::<Vec<_>>();
    let watermark = |n: i64| match n {
        17 | 18 => Some(500 * SECOND),
        19 => Some(2_000 * SECOND),
        _ => None,
    };
    let batch = |n: i64| Batch { rows: vec![rows(&events(n))], watermark: watermark(n) };
    let node = node(&["k", "n"], "sum(0.1 * i), avg(0.3 * v), array_agg(i)", hopping(1_000, 500, 0));
    let out = block_on(conforms(|| operator(&node), &(0..20).map(batch).collect::<Vec<_>>()));
    assert_eq!(out.len(), 2);
}

#[test]
fn keys_of_every_kind_are_grouped_like_a_batch_query() {
    let (batches, rows) = long();
    let watermark = batches.last().unwrap().watermark;
    let kinds: &[&[&str]] = &[
        &[],
        &["k", "n"],
        &["v"],
        &["b", "s"],
        &["i % 3"],
        &["coalesce(k, 'none')"],
        &["arrow_cast(s, 'Dictionary(Int32, Utf8)')", "k"],
        &["arrow_cast(s, 'Utf8View')", "n"],
        &["date_trunc('minute', __sb_event_time)"],
        &["arrow_cast(v, 'Decimal128(10, 2)')"],
        &["named_struct('k', k, 'n', n)"],
    ];
    for keys in kinds {
        let aggregates = "count(*), sum(i), min(arrow_cast(s, 'Utf8View'))";
        let node = node(keys, aggregates, tumbling(40));
        let out = sorted(&run(&mut operator(&node), &batches));
        assert_eq!(out, oracle(&rows, keys, &[aggregates], &tumbling(40), watermark), "{keys:?}");
        block_on(conforms(|| operator(&node), &batches[..4]));
    }
}

pub(super) fn window() -> impl Strategy<Value = Window> {
    (1i64..12, 0i64..12, -5i64..6).prop_map(|(slide, more, offset)| hopping(slide + more, slide, offset))
}

pub(super) const MIXED: [&str; 11] = [
    "count(*)",
    "sum(i)",
    "avg(v)",
    "min(s)",
    "count(DISTINCT i)",
    "approx_percentile_cont(v, 0.5)",
    "array_agg(i)",
    "array_agg(s ORDER BY s, i)",
    "first_value(i ORDER BY v, i)",
    "last_value(s)",
    "sum(v) FILTER (WHERE b)",
];

/// Windows over windows: each batch, what closes above goes into the operator below, which then closes too.
fn chained(batches: &[Batch], node: &AggregateNode, wider: Window) -> (Vec<RecordBatch>, Vec<RecordBatch>) {
    let table = MemTable::try_new(Arc::clone(&node.schema), vec![vec![]]).unwrap();
    SESSION.deregister_table("gold").unwrap();
    SESSION.register_table("gold", Arc::new(table)).unwrap();
    let below = node_over("gold", Arc::clone(&node.schema), &["k"], "sum(\"count(Int64(1))\"), count(*)", wider);
    let (mut above, mut below) = (operator(node), operator(&below));
    let (mut gold, mut wide) = (Vec::new(), Vec::new());
    for batch in batches {
        block_on(above.process(&batch.rows)).unwrap();
        let watermark = batch.watermark.unwrap_or(i64::MIN);
        let closed = block_on(above.close(watermark)).unwrap();
        block_on(below.process(&closed)).unwrap();
        wide.extend(block_on(below.close(watermark)).unwrap());
        gold.extend(closed);
        above.delta().unwrap();
        below.delta().unwrap();
    }
    (gold, wide)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_run_gives_what_a_batch_query_gives(topic in testing::topic(30), cuts in testing::cuts(14), window in window()) {
        let (batches, rows) = testing::scenario(&topic, &cuts);
        let mut operator = operator(&node(&["k", "n"], &MIXED.join(", "), window));
        let out = run(&mut operator, &batches);
        let watermark = batches.last().and_then(|batch| batch.watermark);
        prop_assert_eq!(sorted(&out), oracle(&rows, &["k", "n"], &MIXED, &window, watermark));
        for batch in &out {
            prop_assert!(in_order(batch), "rows come in order:\n{}", rows_as_text(batch).join("\n"));
        }
    }

    #[test]
    fn the_cuts_never_show(topic in testing::topic(20), one in testing::cuts(10), two in testing::cuts(10), window in window()) {
        let busy = |cuts: Vec<Cut>| cuts.into_iter().map(|cut| Cut { finishing: false, ..cut }).collect::<Vec<_>>();
        let aggregates = "count(*), sum(i), avg(v), array_agg(i ORDER BY i, s, __sb_event_time)";
        let [one, two] = [one, two].map(|cuts| {
            let (batches, _) = testing::scenario(&topic, &busy(cuts));
            sorted(&run(&mut operator(&node(&["k"], aggregates, window)), &batches))
        });
        prop_assert_eq!(one, two);
    }

    #[test]
    fn restoring_never_shows(topic in testing::topic(30), cuts in testing::cuts(12), window in window()) {
        let (batches, _) = testing::scenario(&topic, &cuts);
        let node = node(&["k"], "count(*), sum(v), sum(0.1 * i), array_agg(i), last_value(s)", window);
        block_on(conforms(|| operator(&node), &batches));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn windows_over_windows_add_up(topic in testing::topic(24), cuts in testing::cuts(10), size in 2i64..9, times in 1i64..4, odd in 0i64..2) {
        let (batches, _) = testing::scenario(&topic, &cuts);
        let wider = (size * times + odd) * SECOND;
        let window = even(wider, wider, 0);
        let (gold, wide) = chained(&batches, &node(&["k"], "count(*)", tumbling(size)), window);
        let watermark = batches.last().and_then(|batch| batch.watermark).unwrap_or(i64::MIN);
        let mut expected: BTreeMap<(i64, String), (i64, i64)> = BTreeMap::new();
        for line in text(&gold) {
            let cells: Vec<&str> = line.split(' ').collect();
            let start = (cells[1].parse::<i64>().unwrap() - 1).div_euclid(wider) * wider;
            if start + wider <= watermark {
                let sums = expected.entry((start, cells[2].to_owned())).or_default();
                *sums = (sums.0 + cells[3].parse::<i64>().unwrap(), sums.1 + 1);
            }
        }
        let line = |((start, k), (sum, count))| format!("{start} {} {k} {sum} {count}", start + wider);
        let mut expected: Vec<String> = expected.into_iter().map(line).collect();
        expected.sort();
        prop_assert_eq!(sorted(&wide), expected);
    }
}

/// Whether rows ascend by (window start, k, n), NULL first.
fn in_order(batch: &RecordBatch) -> bool {
    let window: &StructArray = batch.column(0).as_struct();
    let columns = [Arc::clone(window.column(0)), Arc::clone(batch.column(1)), Arc::clone(batch.column(2))];
    let order = sort::order(&columns, |_| sort::ORDER).unwrap();
    order.unique && order.indices.is_sorted()
}
