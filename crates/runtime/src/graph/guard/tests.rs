#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
use arrow::array::{AsArray, Int64Array, ListArray, StringArray};
use arrow::datatypes::Int64Type;
use arrow::util::pretty::pretty_format_batches;
use datafusion::config::Dialect;
use datafusion::prelude::SessionContext;
use proptest::prelude::*;
use sluicebox_pipeline::bind::checked::checked_plan;
use sluicebox_pipeline::bind::session_state;

use super::*;

/// The values of a row: `a`, `b` and a list `l`.
type Row<'a> = (Option<i64>, Option<&'a str>, Vec<Option<i64>>);

/// Rows `a`, `b` and a list `l`, numbered by `i`.
fn rows(values: &[Row<'_>]) -> RecordBatch {
    let columns: [(&str, ArrayRef); 4] = [
        ("i", Arc::new(Int64Array::from_iter_values(0..i64::try_from(values.len()).unwrap()))),
        ("a", Arc::new(values.iter().map(|(a, ..)| *a).collect::<Int64Array>())),
        ("b", Arc::new(values.iter().map(|(_, b, _)| *b).collect::<StringArray>())),
        (
            "l",
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(values.iter().map(|(.., l)| Some(l.clone())))),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

async fn plan(sql: &str, rows: RecordBatch) -> (Arc<dyn ExecutionPlan>, Arc<TaskContext>) {
    let mut state = session_state(1);
    // DataFusion's own dialect knows no lambdas.
    if sql.contains("->") {
        state.config_mut().options_mut().sql_parser.dialect = Dialect::Databricks;
    }
    let session = SessionContext::new_with_state(state);
    session.register_batch("t", rows).unwrap();
    let plan = session.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    (checked_plan(plan).unwrap(), session.task_ctx())
}

async fn computed(sql: &str, rows: RecordBatch) -> Vec<Rows> {
    let (plan, context) = plan(sql, rows).await;
    compute(&plan, &context, false, Room::new(usize::MAX)).await.unwrap().rows
}

/// The rows that are computed, as text, and the numbers (the first column) of those that are not.
fn told_apart(parts: &[Rows]) -> (String, Vec<Option<i64>>) {
    let mut fine = Vec::new();
    let mut failed = Vec::new();
    for part in parts {
        let errors = part.errors.clone().unwrap_or_else(|| StringArray::new_null(part.batch.num_rows()));
        let numbers = part.batch.column(0).as_primitive::<Int64Type>();
        failed
            .extend(read(&errors).unwrap().iter().map(|(row, _)| numbers.is_valid(*row).then(|| numbers.value(*row))));
        let kept = arrow::compute::is_null(&errors).unwrap();
        fine.push(arrow::compute::filter_record_batch(&part.batch, &kept).unwrap());
    }
    (text(&fine), failed)
}

fn text(batches: &[RecordBatch]) -> String {
    let rows: Vec<RecordBatch> = batches.iter().filter(|b| b.num_rows() > 0).cloned().collect();
    pretty_format_batches(&rows).unwrap().to_string()
}

/// Queries whose first column is the row's number, and that fail on some rows in many ways.
const QUERIES: [&str; 14] = [
    "SELECT i, CAST(b AS BIGINT) AS c FROM t",
    "SELECT i, a + 9223372036854775800 AS c, 10 / a AS d FROM t",
    "SELECT i, -a AS c, a * a * a AS d, a - 9223372036854775807 AS e FROM t",
    "SELECT i FROM t WHERE CAST(b AS BIGINT) > 1",
    // No condition is NULL behind the first: see `a_condition_that_is_null_leaves_a_row_out_before_the_others_are_asked`.
    "SELECT i FROM t WHERE a IS NOT NULL AND 10 / a > 1 AND CAST(coalesce(b, '0') AS BIGINT) > 0",
    "SELECT i, CASE WHEN a > 0 THEN 10 / a ELSE CAST(b AS BIGINT) END AS c FROM t",
    "SELECT i, CAST(b AS BIGINT) + 1 AS c, CAST(b AS BIGINT) * 2 AS d FROM t WHERE CAST(b AS BIGINT) < 5",
    "SELECT i, c + 1 AS d FROM (SELECT i, a, CAST(b AS BIGINT) AS c FROM t) AS s WHERE a > 1 OR c > 2",
    "SELECT i, coalesce(a, CAST(b AS BIGINT)) AS c FROM t",
    "SELECT i, unnest(l) AS e, 10 / a AS c FROM t",
    "SELECT i, 10 / e AS c FROM (SELECT i, unnest(l) AS e FROM t) AS s WHERE e < 4",
    "SELECT i, unnest(make_array(a, CAST(b AS BIGINT))) AS e FROM t",
    "SELECT i, 10 / a AS c FROM t WHERE a < 3 UNION ALL SELECT i, CAST(b AS BIGINT) FROM t",
    "SELECT i, 10 / 0 AS c FROM t WHERE a > 1",
];

/// What becomes of each row alone: its rows, as DataFusion computes them, or nothing when it fails.
async fn alone(sql: &str, all: &RecordBatch) -> (Vec<RecordBatch>, Vec<i64>) {
    let (mut fine, mut failed) = (Vec::new(), Vec::new());
    for row in 0..all.num_rows() {
        let (plan, context) = plan(sql, all.slice(row, 1)).await;
        match collect_in_order(plan, &context).await {
            Ok(rows) => fine.extend(rows),
            Err(_) => failed.push(i64::try_from(row).unwrap()),
        }
    }
    (fine, failed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A row that is computed alone is computed among others, to the same values; one that is not, is not.
    #[test]
    fn a_row_among_others_is_what_it_is_alone(
        values in prop::collection::vec(
            (
                prop::option::weighted(0.8, prop_oneof![-2_i64..5, Just(i64::MAX), Just(i64::MIN)]),
                prop::option::weighted(0.9, prop::sample::select(vec!["1", "3", "7", "x", ""])),
                prop::collection::vec(prop::option::weighted(0.9, -1_i64..3), 0..3),
            ),
            1..24,
        ),
        query in 0..QUERIES.len(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (sql, all) = (QUERIES[query], rows(&values));
            let (found, failed) = told_apart(&computed(sql, all.clone()).await);
            let (fine, wanted) = alone(sql, &all).await;
            let mut numbers: Vec<i64> = failed.into_iter().flatten().collect();
            numbers.sort_unstable();
            if sql.contains("UNION") || sql.contains("10 / e") {
                // Of a row that becomes several, some may be computed though it is not.
                numbers.dedup();
                assert_eq!(numbers, wanted, "{sql}");
            } else {
                assert_eq!(numbers, wanted, "{sql}");
                assert_eq!(found, text(&fine), "{sql}");
            }
        });
    }
}

/// DataFusion puts the condition that costs less first, and evaluates the other one beside NULL, which fails; a row that a condition
/// leaves out is not asked further here, as in Spark.
#[tokio::test]
async fn a_condition_that_is_null_leaves_a_row_out_before_the_others_are_asked() {
    let all = rows(&[(Some(0), None, vec![]), (Some(0), Some("1"), vec![])]);
    let sql = "SELECT i FROM t WHERE 10 / a > 1 AND CAST(b AS BIGINT) > 0";
    let (_, failed) = told_apart(&computed(sql, all.clone()).await);
    assert_eq!(failed, [Some(1)]);
    assert_eq!(alone(sql, &all).await.1, [0, 1]);
}

/// The functions of the second order come sorted from those of the first.
#[tokio::test]
async fn a_row_that_fails_is_not_among_those_that_window_functions_of_several_orders_see() {
    let all = rows(&[
        (Some(2), Some("3"), vec![]),
        (Some(1), Some("1"), vec![]),
        (Some(1), Some("x"), vec![]),
        (Some(1), Some("2"), vec![]),
    ]);
    let sql = "SELECT i, c, row_number() OVER (PARTITION BY a ORDER BY i) AS place, count(*) OVER (PARTITION BY a) AS among, \
               row_number() OVER (PARTITION BY a ORDER BY c DESC) AS back FROM (SELECT i, a, CAST(b AS BIGINT) AS c FROM t) AS s";
    let (found, failed) = told_apart(&computed(sql, all).await);
    assert_eq!(failed, [Some(2)]);
    let mut lines: Vec<&str> = found.lines().filter(|line| line.contains(char::is_numeric)).collect();
    lines.sort_unstable();
    let wanted =
        ["| 0 | 3 | 1     | 1     | 1    |", "| 1 | 1 | 1     | 2     | 2    |", "| 3 | 2 | 2     | 2     | 1    |"];
    assert_eq!(lines, wanted, "{found}");
}

#[tokio::test]
async fn what_is_told_of_a_row_names_the_expression_as_it_would_be_written() {
    let all = rows(&[(Some(1), Some("x"), vec![]), (Some(0), Some("1"), vec![])]);
    let told = async |sql: &str| {
        let parts = computed(sql, all.clone()).await;
        let errors = parts.iter().flat_map(|part| read(part.errors.as_ref().unwrap()).unwrap());
        errors.map(|(_, e)| (e.column, e.expression, e.value)).collect::<Vec<_>>()
    };
    let one = |column: Option<&str>, expression: &str, value: &str| {
        vec![(column.map(str::to_owned), expression.to_owned(), value.to_owned())]
    };
    let cast = "SELECT i, q + 1 AS r FROM (SELECT i, CAST(b AS INT) AS q FROM t) AS s";
    assert_eq!(told(cast).await, one(Some("r"), "CAST(CAST(b AS INT) AS BIGINT) + 1", r#"{"b":"x"}"#));
    let condition = "SELECT i FROM t WHERE a > 1 OR (a + 1) / a > 5";
    assert_eq!(told(condition).await, one(None, "(a > 1) OR (((a + 1) / a) > 5)", r#"{"a":0}"#));
}

#[tokio::test]
async fn a_constant_that_cannot_be_computed_costs_the_rows_that_ask_for_it() {
    let all = rows(&[(Some(1), None, vec![]), (Some(2), None, vec![]), (Some(1), None, vec![])]);
    let (_, failed) = told_apart(&computed("SELECT i, 10 / 0 AS c FROM t WHERE a = 1", all).await);
    assert_eq!(failed, [Some(0), Some(2)]);
}

/// What lambdas see or make for each element of a list takes time by the square of its length, and within each other by the cube.
#[tokio::test]
async fn a_row_whose_lambdas_take_too_long_costs_itself_alone() {
    let list = |length: i64| -> Row<'static> { (Some(1), None, (1..=length).map(Some).collect()) };
    for (length, lambda) in [
        (20_000, "array_filter(l, x -> array_contains(l, x))"),
        (20_000, "filter(l, x -> any_match(l, y -> x = y))"),
        (20_000, "list_transform(l, x -> array_position(l, x))"),
        (20_000, "zip_with(l, l, (x, y) -> array_position(l, x) + y)"),
        (20_000, "map_filter(map_from_arrays(l, l), (k, v) -> array_contains(l, k))"),
        (20_000, "transform_values(map_from_arrays(l, l), (k, v) -> array_position(l, k))"),
        (20_000, "transform(l, x -> try_element_at(map_from_arrays(l, l), x))"),
        (20_000, "array_repeat(reduce(l, CAST(0 AS BIGINT), (s, x) -> s + array_position(l, x)), 1)"),
        (20_000, "aggregate(l, l, (s, x) -> array_append(s, x))"),
        (500, "transform(l, x -> transform(l, y -> size(filter(l, z -> z = x + y))))"),
    ] {
        let sql = format!("SELECT i, size({lambda}) AS c FROM t");
        let parts = computed(&sql, rows(&[list(3), list(length), list(3)])).await;
        let (found, failed) = told_apart(&parts);
        assert_eq!(failed, [Some(1)], "{sql}");
        assert!(found.contains("| 0 |") && found.contains("| 2 |"), "{sql}: {found}");
        let errors = parts.iter().filter_map(|part| part.errors.as_ref());
        let why: Vec<String> = errors.flat_map(|errors| read(errors).unwrap()).map(|(_, e)| e.message).collect();
        assert!(why.iter().all(|why| why.contains("a lambda takes too long")), "{sql}: {why:?}");
    }
}

/// Half of the conditions fail where they are computed for elements that are decided already: each element is asked a dozen times.
#[tokio::test]
async fn what_a_lambda_sees_again_costs_again() {
    let numbers: Vec<Option<i64>> = (0..8_192).map(Some).collect();
    let (short, long) = ("x".repeat(500), "x".repeat(6_000));
    let all = rows(&[
        (Some(1), Some(short.as_str()), numbers.clone()),
        (Some(1), Some(long.as_str()), numbers.clone()),
        (Some(1), Some("x"), vec![Some(1)]),
    ]);
    let again = "SELECT i, exists(l, x -> x % 2 <> 0 AND 10 / (x % 2) > length(b)) AS c FROM t";
    let parts = computed(again, all.clone()).await;
    let (found, failed) = told_apart(&parts);
    assert_eq!(failed, [Some(1)], "{found}");
    let errors = parts.iter().filter_map(|part| part.errors.as_ref());
    let why: Vec<String> = errors.flat_map(|errors| read(errors).unwrap()).map(|(_, e)| e.message).collect();
    assert!(why.iter().all(|why| why.contains("a lambda takes too long")), "{why:?}");
    let once = "SELECT i, exists(l, x -> x % 2 <> 0 AND x > length(b) + 10000) AS c FROM t";
    let (_, failed) = told_apart(&computed(once, all).await);
    assert!(failed.is_empty(), "asked once, they see no more than they may: {failed:?}");
}

/// Every row of a batch fails: each is found, and none is evaluated with all the others again and again.
#[tokio::test]
async fn many_rows_that_all_fail() {
    let values = vec![(Some(0), Some("x"), vec![]); 1 << 13];
    for sql in
        ["SELECT i, CAST(b AS BIGINT) AS c FROM t", "SELECT i, 10 / a AS c FROM t", "SELECT i FROM t WHERE 10 / a > 1"]
    {
        let (plan, context) = plan(sql, rows(&values)).await;
        let clock = sluicebox_core::SystemClock::new();
        let started = sluicebox_core::Clock::monotonic(&clock);
        let parts = compute(&plan, &context, false, Room::new(usize::MAX)).await.unwrap().rows;
        let took = sluicebox_core::Clock::monotonic(&clock) - started;
        println!("{sql}: {took:?}");
        assert_eq!(
            parts.iter().map(|part| part.errors.as_ref().map_or(0, |e| e.len() - e.null_count())).sum::<usize>(),
            1 << 13
        );
    }
}

/// How long it takes to use the texts as patterns, and how many of them are none.
async fn matched(values: &[Row<'_>]) -> (std::time::Duration, usize) {
    let (plan, context) = plan("SELECT i, regexp_count('x', b) AS c FROM t", rows(values)).await;
    let clock = sluicebox_core::SystemClock::new();
    let started = sluicebox_core::Clock::monotonic(&clock);
    let parts = compute(&plan, &context, false, Room::new(usize::MAX)).await.unwrap().rows;
    let took = sluicebox_core::Clock::monotonic(&clock) - started;
    (took, parts.iter().map(|part| part.errors.as_ref().map_or(0, |e| e.len() - e.null_count())).sum())
}

/// A row that fails is met in ever smaller parts of its batch.
#[tokio::test]
async fn a_pattern_that_is_too_large_is_tried_once_however_often_its_batch_is_halved() {
    let patterns: Vec<String> = (60..68).map(|n| format!(r"\p{{L}}{{{n}}}")).collect();
    let mut alone = std::time::Duration::ZERO;
    for pattern in &patterns {
        let (took, failed) = matched(&[(Some(1), Some(pattern.as_str()), vec![])]).await;
        assert_eq!(failed, 1);
        alone += took;
    }
    let mut values = vec![(Some(1), Some("x"), vec![]); 1 << 12];
    for (n, pattern) in patterns.iter().enumerate() {
        values[n * 512 + 100].1 = Some(pattern.as_str());
    }
    let (took, failed) = matched(&values).await;
    assert_eq!(failed, patterns.len());
    assert!(took < 4 * alone, "{took:?} among others, {alone:?} alone");
}

/// What is told of the rows of `sql` that cannot be computed, with their numbers.
async fn told(sql: &str, all: RecordBatch, room: usize) -> Vec<(i64, RowError)> {
    let (plan, context) = plan(sql, all).await;
    let parts = compute(&plan, &context, false, Room::new(room)).await.unwrap().rows;
    let of = |part: &Rows| -> Vec<(i64, RowError)> {
        let numbers = part.batch.column(0).as_primitive::<Int64Type>();
        let errors = part.errors.as_ref().map(|errors| read(errors).unwrap()).unwrap_or_default();
        errors.into_iter().map(|(row, error)| (numbers.value(row), error)).collect()
    };
    parts.iter().flat_map(of).collect()
}

/// The first ones fit, and what is about as large as what it is computed of always does.
#[tokio::test]
async fn a_row_that_grows_further_than_there_is_room_for_cannot_be_computed() {
    let all = rows(&vec![(Some(1), Some("x"), vec![]); 1_000]);
    let sql = "SELECT i, lpad(b, 100000) AS c, upper(b) AS d, a + 1 AS e FROM t";
    let failed = told(sql, all.clone(), 1 << 20).await;
    assert_eq!(failed.iter().map(|(row, _)| *row).collect::<Vec<_>>(), (10..1_000).collect::<Vec<_>>());
    for (_, error) in &failed {
        assert_eq!((error.column.as_deref(), error.expression.as_str()), (Some("c"), "lpad(b, 100000)"));
        assert!(error.message.contains("there is no room for it"), "{}", error.message);
    }
    assert!(told(sql, all, 1 << 30).await.is_empty());
}

#[tokio::test]
async fn a_row_that_becomes_more_rows_than_there_is_room_for_cannot_be_computed() {
    let long = "x".repeat(10_000);
    let of = |elements: usize| (Some(1), Some(long.as_str()), vec![Some(1); elements]);
    let mut values = vec![of(1_000); 20];
    values[3] = of(10_000);
    let failed = told("SELECT i, b, unnest(l) AS e FROM t", rows(&values), 64 << 20).await;
    assert_eq!(failed.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [vec![3], (7..20).collect()].concat());
    assert!(failed[0].1.message.contains("those of one row may take"), "{}", failed[0].1.message);
    assert!(failed[1].1.message.contains("there is no room for it"), "{}", failed[1].1.message);
    assert!(failed[0].1.expression.starts_with("unnest("), "{}", failed[0].1.expression);
    assert!(failed[0].1.value.len() < 1_000 && failed[0].1.value.contains("xxx"), "{}", failed[0].1.value);
    // Where NULL stands for what cannot be computed, their lists are NULL, and they are told of.
    let (plan, context) = plan("SELECT i, b, unnest(l) AS e FROM t", rows(&values)).await;
    let found = compute(&plan, &context, true, Room::new(64 << 20)).await.unwrap();
    assert!(found.rows.iter().all(|part| part.errors.is_none()));
    let elements = found.rows.iter().map(|part| part.batch.num_rows() - part.batch.column(2).null_count());
    assert_eq!(elements.sum::<usize>(), 6_000);
    assert_eq!(found.told.iter().map(|part| part.batch.num_rows()).sum::<usize>(), 14);
}

/// An array of what cannot be NULL has no place for one: its first element stands for it.
#[tokio::test]
async fn a_row_that_cannot_be_computed_comes_out_once_whatever_its_lists_may_hold() {
    let all = rows(&[(Some(0), None, vec![Some(1), Some(2), Some(3)]), (Some(1), None, vec![Some(4), Some(5)])]);
    let list: &ListArray = all.column(3).as_list();
    let item = Arc::new(Field::new("item", DataType::Int64, false));
    let strict = ListArray::try_new(item, list.offsets().clone(), Arc::clone(list.values()), None).unwrap();
    let mut columns = all.columns().to_vec();
    columns[3] = Arc::new(strict);
    let names = ["i", "a", "b", "l"].map(str::to_owned);
    let all = RecordBatch::try_from_iter(names.iter().zip(columns)).unwrap();
    let parts = computed("SELECT i, 10 / a AS c, unnest(l) AS e FROM t", all).await;
    let count: usize = parts.iter().map(|part| part.batch.num_rows()).sum();
    assert_eq!((told_apart(&parts).1, count), (vec![Some(0)], 3));
}
