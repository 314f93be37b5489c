//! The rules one by one: panes, ends, order, fates, errors.

use super::*;

/// Rows as [`rows`] takes them, and the watermark after them in seconds.
type Step<'a> = (&'a [(i64, u8, i64)], i64);

/// Processes each of `batches` in a batch of its own, closes at its watermark, and gives all rows as text.
fn run(operator: &mut WindowAggregate, batches: &[Step<'_>]) -> Vec<String> {
    let mut out = Vec::new();
    for (events, watermark) in batches {
        block_on(operator.process(&[rows(events)])).unwrap();
        operator.delta().unwrap();
        out.extend(text(&block_on(operator.close(watermark * SECOND)).unwrap()));
    }
    out
}

#[test]
fn a_window_is_given_once_when_the_watermark_reaches_its_end() {
    let mut operator = operator(&node(&["k"], "count(*), sum(i)", tumbling(10)));
    let out = run(
        &mut operator,
        &[(&[(3, 1, 1), (9, 1, 2), (10, 1, 7), (4, 2, 3)], 9), (&[(5, 1, 4)], 10), (&[], 10), (&[], 20)],
    );
    assert_eq!(out, ["0 10000000 k1 3 7", "0 10000000 k2 1 3", "10000000 20000000 k1 1 7"]);
    assert_eq!((operator.rows(), operator.next_close()), (0, None));
}

#[test]
fn times_before_1970_and_on_the_border_fall_into_the_right_window() {
    let mut operator = operator(&node(&[], "count(*)", hopping(10, 10, 3)));
    let out = run(&mut operator, &[(&[(-8, 0, 0), (-7, 0, 0), (2, 0, 0), (3, 0, 0)], 100)]);
    assert_eq!(out, ["-17000000 -7000000 1", "-7000000 3000000 2", "3000000 13000000 1"]);
}

#[test]
fn a_hopping_window_is_given_if_any_of_its_panes_has_rows() {
    let mut operator = operator(&node(&["k"], "count(*), array_agg(i)", hopping(10, 4, 0)));
    let out = run(&mut operator, &[(&[(1, 1, 1), (7, 1, 2)], 6), (&[(6, 1, 3), (12, 2, 4)], 14), (&[], 100)]);
    let expected = [
        "-8000000 2000000 k1 1 [1]",
        "-4000000 6000000 k1 1 [1]",
        "0 10000000 k1 3 [1, 2, 3]",
        "4000000 14000000 k1 2 [2, 3]",
        "4000000 14000000 k2 1 [4]",
        "8000000 18000000 k2 1 [4]",
        "12000000 22000000 k2 1 [4]",
    ];
    assert_eq!(out, expected);
}

#[test]
fn rows_come_in_the_order_of_window_and_keys_with_null_first() {
    let mut operator = operator(&node(&["k", "n"], "count(*)", tumbling(10)));
    let out = run(&mut operator, &[(&[(11, 5, 1), (11, 4, 1), (1, 2, 1), (1, 0, 1), (1, 1, 1), (1, 3, 1)], 100)]);
    let expected = [
        "0 10000000 NULL 0 1",
        "0 10000000 NULL 1 1",
        "0 10000000 k1 0 1",
        "0 10000000 k2 0 1",
        "10000000 20000000 k1 1 1",
        "10000000 20000000 k2 NULL 1",
    ];
    assert_eq!(out, expected);
}

#[test]
fn the_window_stands_where_the_query_has_it_and_hidden_columns_are_right() {
    let window = Window { position: 1, ..tumbling(10) };
    let mut operator = operator(&node(&["k", "n"], "count(*)", window));
    block_on(operator.process(&[rows(&[(12, 1, 1)])])).unwrap();
    let out = block_on(operator.close(20 * SECOND)).unwrap();
    let names: Vec<&str> = out[0].schema_ref().fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names, ["k", "window", "n", "count(Int64(1))", provenance::EVENT_TIME, provenance::LATE]);
    let event_time = out[0].column(4).as_primitive::<TimestampMicrosecondType>();
    assert_eq!(event_time.value(0), 20 * SECOND - 1);
}

#[test]
fn the_window_has_the_type_that_the_schema_says() {
    let mut node = node(&["k"], "count(*)", tumbling(10));
    let time = DataType::Timestamp(TimeUnit::Millisecond, None);
    let bounds = Fields::from(vec![Field::new("start", time.clone(), true), Field::new("end", time, true)]);
    let mut fields = node.schema.fields().to_vec();
    fields[0] = Arc::new(Field::new("window", DataType::Struct(bounds), true));
    node.schema = Arc::new(Schema::new(fields));
    let mut operator = operator(&node);
    block_on(operator.process(&[rows(&[(12, 1, 1)])])).unwrap();
    let out = block_on(operator.close(20 * SECOND)).unwrap();
    let window: &StructArray = out[0].column(0).as_struct();
    assert_eq!(cast(window.column(0), &DataType::Int64).unwrap().as_primitive::<Int64Type>().value(0), 10_000);
}

#[test]
fn a_query_without_aggregates_gives_each_group_once() {
    let mut operator = operator(&node(&["k"], "", tumbling(10)));
    let out = run(&mut operator, &[(&[(1, 1, 1), (2, 1, 1)], 0), (&[(3, 1, 1), (3, 2, 5)], 10)]);
    assert_eq!(out, ["0 10000000 k1", "0 10000000 k2"]);
}

#[test]
fn neither_keys_nor_aggregates_gives_the_windows() {
    let mut node = node(&[], "count(*)", tumbling(10));
    node.aggregates.clear();
    let mut fields = node.schema.fields().to_vec();
    fields.remove(1);
    node.schema = Arc::new(Schema::new(fields));
    let out = run(&mut operator(&node), &[(&[(1, 1, 1), (2, 1, 1), (11, 1, 1)], 20)]);
    assert_eq!(out, ["0 10000000", "10000000 20000000"]);
}

#[test]
fn a_null_event_time_is_filtered_and_counted_and_one_beyond_all_windows_is_no_null() {
    let mut operator = operator(&node(&["k"], "count(*)", tumbling(10)));
    let at = |offset, time| Seen { part: 0, offset, event: Event { time, key: 1, value: 1 } };
    let batch = testing::batch(&[at(0, None), at(1, Some(1)), at(2, Some(i64::MAX)), at(3, Some(i64::MIN))]);
    let processed = block_on(operator.process(&[batch])).unwrap();
    let filtered = (processed.filtered_null_event_time, processed.filtered_without_window);
    assert_eq!((processed.absorbed, filtered), (2, (1, 1)));
    assert!(processed.rows.is_empty());
    assert_eq!(text(&block_on(operator.close(i64::MAX)).unwrap()), ["0 10000000 k1 1"]);
    assert_eq!(operator.rows(), 1, "a window that ends after all that can be said is never over");
}

#[test]
fn a_row_of_a_closed_window_is_an_error_not_a_second_row() {
    let mut operator = operator(&node(&["k"], "count(*)", tumbling(10)));
    block_on(operator.close(10 * SECOND)).unwrap();
    let error = block_on(operator.process(&[rows(&[(9, 1, 1)])])).unwrap_err();
    assert_eq!(error.blame(), Blame::Us);
    assert!(matches!(error, Error::ClosedWindow { pane: 0, watermark: 10_000_000, .. }));
    // A hopping window may still be open for a row whose first windows have closed: it is late all the same.
    let mut operator = self::operator(&node(&["k"], "count(*)", hopping(10, 5, 0)));
    block_on(operator.close(5 * SECOND)).unwrap();
    assert!(block_on(operator.process(&[rows(&[(4, 1, 1)])])).is_err());
}

#[test]
fn a_second_call_in_a_batch_is_refused() {
    let mut operator = operator(&node(&["k"], "count(*)", tumbling(10)));
    block_on(operator.process(&[rows(&[(9, 1, 1)])])).unwrap();
    assert!(matches!(block_on(operator.process(&[rows(&[(9, 1, 1)])])), Err(Error::Input { .. })));
}

#[test]
fn windows_that_cannot_be_are_refused_with_the_way_out() {
    let refused = |window| {
        let node = AggregateNode { window, ..node(&["k"], "count(*)", tumbling(10)) };
        WindowAggregate::try_new(&node, &SESSION.state()).unwrap_err().to_string()
    };
    assert!(refused(hopping(10, 20, 0)).contains("make the slide at most the size"));
    assert!(refused(even(10 * SECOND, 9_999, 0)).contains("more than 1000"));
    assert!(refused(hopping(0, 0, 0)).contains("positive"));
}

#[test]
fn a_division_by_zero_is_the_querys_fault_and_no_panic() {
    let mut operator = operator(&node(&["k"], "sum(1 / (i - 2))", tumbling(10)));
    let error = block_on(operator.process(&[rows(&[(1, 1, 2)])])).unwrap_err();
    assert_eq!(error.blame(), Blame::User);
    assert!(error.to_string().starts_with("gold.aggregate.0: cannot aggregate the rows of a batch"), "{error}");
}

#[test]
fn the_clock_inside_an_aggregate_is_refused_and_not_frozen() {
    for aggregates in ["max(now())", "count(*) FILTER (WHERE __sb_event_time > now())", "sum(random())"] {
        let error = WindowAggregate::try_new(&node(&["k"], aggregates, tumbling(10)), &SESSION.state()).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    }
}

#[test]
fn next_close_is_when_the_first_row_will_come() {
    let mut operator = operator(&node(&["k"], "count(*)", hopping(10, 4, 0)));
    block_on(operator.process(&[rows(&[(1, 1, 1)])])).unwrap();
    assert_eq!(operator.next_close(), Some(2 * SECOND));
    assert!(block_on(operator.close(2 * SECOND - 1)).unwrap().is_empty());
    assert_eq!(operator.next_close(), Some(2 * SECOND));
    assert_eq!(block_on(operator.close(2 * SECOND)).unwrap().len(), 1);
    assert_eq!(operator.next_close(), Some(6 * SECOND));
}

#[test]
fn a_pane_with_many_runs_is_compacted_and_memory_follows() {
    let mut operator = operator(&node(&["k"], "count(*), sum(i), approx_distinct(s)", tumbling(1_000)));
    let mut most = 0;
    for batch in 0..100 {
        block_on(operator.process(&[rows(&[(batch, 1, batch), (batch, 2, 1)])])).unwrap();
        operator.delta().unwrap();
        most = most.max(operator.rows());
    }
    assert!(most <= 2 * 12, "{most} rows for two groups");
    assert!(operator.memory_bytes() > 0);
    assert_eq!(text(&block_on(operator.close(i64::MAX)).unwrap()).len(), 2);
    assert_eq!(operator.memory_bytes(), 0);
}

#[test]
fn a_pane_that_will_get_no_more_is_one_run_for_all_its_windows() {
    let mut operator = operator(&node(&["k"], "count(*)", hopping(100, 10, 0)));
    for _ in 0..5 {
        block_on(operator.process(&[rows(&[(1, 1, 1), (11, 1, 1)])])).unwrap();
        operator.delta().unwrap();
    }
    assert_eq!(operator.rows(), 10);
    block_on(operator.close(10 * SECOND)).unwrap();
    assert_eq!(operator.rows(), 6);
}

#[test]
fn state_owns_no_more_than_it_shows() {
    let mut operator = operator(&node(&["s"], "count(*)", tumbling(10)));
    let events: Vec<(i64, u8, i64)> = (0..5_000).map(|at| (at, 1, at)).collect();
    block_on(operator.process(&[rows(&events)])).unwrap();
    operator.delta().unwrap();
    block_on(operator.close(4_990 * SECOND)).unwrap();
    assert_eq!(operator.rows(), 5);
    assert!(operator.memory_bytes() < 4_096, "{} bytes for five rows", operator.memory_bytes());
}

#[test]
fn a_fingerprint_tells_queries_windows_and_versions_apart() {
    let print = |keys: &[&str], aggregates, window| operator(&node(keys, aggregates, window)).fingerprint();
    let one = print(&["k"], "count(*), avg(v)", tumbling(10));
    assert!(one.contains("datafusion 55") && one.contains("a1_s0: UInt64") && one.contains("g0: Int64"), "{one}");
    let others = [
        print(&["n"], "count(*), avg(v)", tumbling(10)),
        print(&["k"], "count(*), avg(i)", tumbling(10)),
        print(&["k"], "count(*), avg(v)", hopping(10, 5, 0)),
    ];
    assert!(others.iter().all(|other| *other != one));
}

#[test]
fn saved_state_that_does_not_fit_is_refused() {
    let mut one = operator(&node(&["k"], "count(*)", tumbling(10)));
    block_on(one.process(&[rows(&[(1, 1, 1)])])).unwrap();
    let delta = one.delta().unwrap().unwrap();
    let mut other = operator(&node(&["k"], "count(*), avg(v)", tumbling(10)));
    let error = other.restore(vec![delta.clone()], None).unwrap_err();
    assert_eq!(error.blame(), Blame::User);
    assert!(error.to_string().contains("--full-refresh"), "{error}");
    let backwards = arrow::compute::concat_batches(&delta.schema(), [&at(&delta, 20), &at(&delta, 0)]).unwrap();
    assert!(one.restore(vec![backwards], None).is_err());
}

/// `state`, moved to the pane at `pane` seconds.
fn at(state: &RecordBatch, pane: i64) -> RecordBatch {
    let mut columns = state.columns().to_vec();
    columns[0] = Arc::new(Int64Array::from_value(pane * SECOND, state.num_rows()));
    RecordBatch::try_new(state.schema(), columns).unwrap()
}

#[test]
fn what_closed_before_the_restore_stays_closed() {
    let node = node(&["k"], "count(*)", hopping(10, 4, 0));
    let mut one = operator(&node);
    block_on(one.process(&[rows(&[(1, 1, 1)])])).unwrap();
    let delta = one.delta().unwrap();
    let mut other = operator(&node);
    other.restore(delta.into_iter().collect(), Some(6 * SECOND)).unwrap();
    assert_eq!(text(&block_on(other.close(100 * SECOND)).unwrap()), ["0 10000000 k1 1"]);
}

proptest! {
    /// Panes and windows by search instead of arithmetic.
    #[test]
    fn windows_of_a_time_are_those_that_hold_it(
        time in -200i64..200, size in 1i64..40, slide in 1i64..40, offset in -50i64..50, closed in prop::option::of(-200i64..200), watermark in -200i64..200,
    ) {
        prop_assume!(slide <= size);
        let panes = Panes::try_new(even(size, slide, offset).assigner).unwrap();
        let pane = panes.of(&TimestampMicrosecondArray::from(vec![time])).value(0);
        let holds = |end: &i64| (end - size - offset).rem_euclid(slide) == 0 && end - size <= time && time < *end;
        let due = |end: &i64| *end <= watermark && closed.is_none_or(|closed| *end > closed);
        let expected: Vec<i64> = (-400..400).filter(holds).filter(due).collect();
        prop_assert_eq!(panes.ends(pane, closed, watermark).collect::<Vec<_>>(), expected);
        prop_assert_eq!(Some(panes.last_end(pane)), (-400..400).rev().find(holds).map(i128::from));
        prop_assert_eq!(Some(panes.next_end(time)), (-400..400).find(|end| end - time > 0 && (end - size - offset).rem_euclid(slide) == 0));
    }
}

proptest! {
    /// Windows that are cumulated, by search.
    #[test]
    fn cumulated_windows_of_a_time_are_those_that_hold_it(
        time in -200i64..200, step in 1i64..20, steps in 1i64..6, offset in -50i64..50, closed in prop::option::of(-200i64..200), watermark in -200i64..200,
    ) {
        let size = step * steps;
        let assigner = Assigner::Cumulating { size_micros: size, step_micros: step, offset_micros: offset % size };
        let panes = Panes::try_new(assigner).unwrap();
        let pane = panes.of(&TimestampMicrosecondArray::from(vec![time])).value(0);
        let start = (-400..=time).rev().find(|start| (start - offset).rem_euclid(size) == 0).unwrap();
        let holds = |end: &i64| *end > time && (end - start) % step == 0 && end - start <= size;
        let due = |end: &i64| *end <= watermark && closed.is_none_or(|closed| *end > closed);
        let expected: Vec<i64> = (start + 1..=start + size).filter(holds).collect();
        prop_assert!(expected.iter().all(|end| panes.start(*end) == start));
        prop_assert_eq!(panes.last_end(pane), i128::from(start + size));
        prop_assert_eq!(Some(panes.next_end(time)), expected.first().copied());
        let expected: Vec<i64> = expected.into_iter().filter(due).collect();
        prop_assert_eq!(panes.ends(pane, closed, watermark).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn cumulated_windows_grow_by_a_step_and_begin_again() {
    let assigner = Assigner::Cumulating { size_micros: 30 * SECOND, step_micros: 10 * SECOND, offset_micros: 0 };
    let mut operator = operator(&node(&["k"], "count(*), sum(i)", Window { position: 0, assigner }));
    let batches: &[Step<'_>] =
        &[(&[(3, 1, 1), (12, 1, 2)], 10), (&[(15, 1, 4), (31, 1, 8)], 20), (&[(21, 2, 3)], 30), (&[], 100)];
    let out = run(&mut operator, batches);
    let expected = [
        "0 10000000 k1 1 1",
        "0 20000000 k1 3 7",
        "0 30000000 k1 3 7",
        "0 30000000 k2 1 3",
        "30000000 40000000 k1 1 8",
        "30000000 50000000 k1 1 8",
        "30000000 60000000 k1 1 8",
    ];
    assert_eq!(out, expected);
    assert_eq!((operator.rows(), operator.next_close()), (0, None));
}

/// The node of `GROUP BY window, ROLLUP (k, n)`, the window at `position` among the keys.
fn rolled_up(position: usize) -> AggregateNode {
    let node = node(&["k", "n"], "count(*), sum(i)", Window { position, ..tumbling(10) });
    let mut fields = node.schema.fields().to_vec();
    fields.insert(3, Arc::new(Field::new("__grouping_id", DataType::UInt8, false)));
    let sets = vec![vec![false, false], vec![false, true], vec![true, true]];
    AggregateNode { sets, schema: Arc::new(Schema::new(fields)), ..node }
}

#[test]
fn each_set_of_keys_has_groups_of_its_own() {
    let events: &[(i64, u8, i64)] = &[(1, 1, 1), (2, 1, 2), (3, 4, 4), (4, 5, 8)];
    let out = run(&mut operator(&rolled_up(0)), &[(events, 5), (&[(6, 1, 16)], 10)]);
    let expected = [
        "0 10000000 NULL NULL 3 5 31",
        "0 10000000 k1 NULL 1 4 23",
        "0 10000000 k1 0 0 3 19",
        "0 10000000 k1 1 0 1 4",
        "0 10000000 k2 NULL 0 1 8",
        "0 10000000 k2 NULL 1 1 8",
    ];
    assert_eq!(out, expected);
    // The bits of the id stand as the keys do in the query.
    let out = run(&mut operator(&rolled_up(1)), &[(events, 10)]);
    assert_eq!(out[0], "NULL 0 10000000 NULL 5 4 15");
    assert_eq!(out[1], "k1 0 10000000 NULL 1 3 7");
}

#[test]
fn sets_of_keys_live_through_a_restore() {
    let (batches, _) = super::oracle::long();
    let node = rolled_up(0);
    block_on(conforms(|| operator(&node), &batches[..5]));
    let plain = node_without_sets();
    assert_ne!(operator(&node).fingerprint(), operator(&plain).fingerprint());
}

fn node_without_sets() -> AggregateNode {
    node(&["k", "n"], "count(*), sum(i)", tumbling(10))
}

#[test]
fn days_of_a_zone_close_when_its_clocks_say_so() {
    let hour = 3_600;
    // 2024-10-27 in Berlin: 25 hours, from 22:00 UTC of the day before.
    let day = 20_023 * 24 * hour;
    let zone = sluicebox_functions::Zone::parse("Europe/Berlin").unwrap();
    let days = sluicebox_pipeline::graph::CalendarWindows::try_new(zone, 24 * hour * SECOND, 0).unwrap();
    let mut operator = operator(&node(&[], "count(*)", Window { position: 0, assigner: Assigner::Calendar(days) }));
    let events = [(day - 2 * hour, 0, 0), (day + 23 * hour - 1, 0, 0), (day + 23 * hour, 0, 0)];
    let batches: &[Step<'_>] = &[(&events, day + 23 * hour - 1), (&[], day + 23 * hour), (&[], day + 48 * hour)];
    let out = run(&mut operator, batches);
    let micros = |hours: i64| (day + hours * hour) * SECOND;
    let line = |from: i64, to: i64, n: i64| format!("{} {} {n}", micros(from), micros(to));
    assert_eq!(out, [line(-2, 23, 2), line(23, 47, 1)]);
}

/// The first rows at which 64 bits of microseconds begin and end.
const EDGES: [i64; 2] = [i64::MIN, i64::MAX];

fn at_times(times: &[Option<i64>]) -> RecordBatch {
    let seen =
        |(offset, &time): (usize, &Option<i64>)| Seen { part: 0, offset, event: Event { time, key: 1, value: 1 } };
    testing::batch(&times.iter().enumerate().map(seen).collect::<Vec<_>>())
}

#[test]
fn times_at_the_edges_are_no_null_and_wait_for_their_window() {
    let far = i64::MAX / 3;
    for window in [tumbling(10), hopping(10, 4, 3)] {
        let mut operator = operator(&node(&[], "count(*)", window));
        let times = [Some(-far), Some(0), Some(far), None, Some(i64::MAX), Some(i64::MAX - 1), Some(i64::MIN)];
        let processed = block_on(operator.process(&[at_times(&times)])).unwrap();
        assert_eq!(
            (processed.absorbed, processed.filtered_null_event_time, processed.filtered_without_window),
            (5, 1, 1)
        );
        operator.delta().unwrap();
        let closed = block_on(operator.close(100 * SECOND)).unwrap();
        let counts = |rows: &[RecordBatch]| -> usize { rows.iter().map(RecordBatch::num_rows).sum() };
        let windows = if window == tumbling(10) { 2 } else { 5 };
        assert!((2..=6).contains(&counts(&closed)) && counts(&closed) >= windows - 1, "{}", counts(&closed));
        assert!(operator.rows() >= 2, "the last ones wait");
        let closed = block_on(operator.close(i64::MAX - 1)).unwrap();
        assert!(counts(&closed) >= 1 && operator.rows() >= 1, "what ends after all that can be said never ends");
        assert!(operator.next_close().is_some_and(|next| next == i64::MAX));
    }
}

proptest! {
    /// The pane of a time holds it, and the windows of the pane are those that arithmetic in 128 bits gives for the time.
    #[test]
    fn every_time_is_in_its_windows(
        time in prop_oneof![any::<i64>(), (0usize..2, 0i64..400).prop_map(|(edge, by)| EDGES[edge].saturating_add(if edge == 0 { by } else { -by }))],
        (slide, more) in (1i64..40, 0i64..5), offset in -40i64..40,
    ) {
        let (size, offset) = (slide * (more + 1), offset % slide);
        let panes = Panes::try_new(even(size, slide, offset).assigner).unwrap();
        let found = panes.of(&TimestampMicrosecondArray::from(vec![Some(0), Some(time), None]));
        let wide = |value: i64| i128::from(value);
        let last = wide(time) - (wide(time) - wide(offset)).rem_euclid(wide(slide));
        let starts: Vec<i128> = (0..=more).map(|n| last - wide(n * slide)).collect();
        let said = starts.iter().all(|start| *start >= wide(i64::MIN));
        prop_assert_eq!(found.is_valid(1), said);
        prop_assert!(found.is_null(2));
        if said {
            let pane = found.value(1);
            prop_assert!(pane <= time && wide(time) < wide(pane) + wide(slide));
            let ends: Vec<i64> = panes.ends(pane, None, i64::MAX).collect();
            let expected: Vec<i64> =
                starts.iter().rev().filter_map(|start| i64::try_from(start + wide(size)).ok()).collect();
            prop_assert_eq!(ends, expected);
        }
    }
}
