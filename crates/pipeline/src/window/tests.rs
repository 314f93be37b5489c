#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    TimestampNanosecondArray, TimestampSecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimestampMicrosecondType};
use datafusion::logical_expr::{LogicalPlan, col, lit};
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast as sql;
use proptest::prelude::*;
use sluicebox_core::provenance::event_time_type;

use super::function::start_of;
use super::{Assigner, SessionEnd, WindowCall, as_window_call, functions, problem, window_type};
use crate::bind::session_state;

const MINUTE: i64 = 60_000_000;

/// A session with a table `t` of the times and numbers, and what it makes of a query after the rewriting.
async fn run(times: Vec<Option<i64>>, sql: &str) -> Vec<RecordBatch> {
    let n = i64::try_from(times.len()).unwrap();
    let column: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"));
    run_on(column, n, sql).await
}

async fn run_on(column: ArrayRef, n: i64, sql: &str) -> Vec<RecordBatch> {
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("ts", column, true),
        ("n", Arc::new(Int64Array::from_iter_values(0..n)) as ArrayRef, false),
    ])
    .unwrap();
    let ctx = SessionContext::new_with_state(session_state(1));
    ctx.register_batch("t", batch).unwrap();
    ctx.execute_logical_plan(plan(&ctx, sql).await).await.unwrap().collect().await.unwrap()
}

/// The plan of a query, rewritten as the parser does it.
async fn plan(ctx: &SessionContext, sql: &str) -> LogicalPlan {
    use datafusion::sql::parser::Statement;
    use datafusion::sql::sqlparser::ast::Statement as Sql;
    // The parser's way in is a pipeline; its view's query is what we want.
    let pipeline = crate::parse(
        "t.sql",
        &format!(
            "CREATE TABLE s USING kafka OPTIONS (subscribe 't'); CREATE STREAMING TABLE x AS SELECT * FROM STREAM s;
             CREATE TEMPORARY VIEW t AS SELECT 1 AS one; CREATE TEMPORARY VIEW v AS {sql};"
        ),
        &[],
    )
    .unwrap();
    let query = &pipeline.views[1].query;
    let mut ast = query.ast.clone();
    // What the parser calls a view in a query; here it is the registered table.
    let _: ControlFlow<()> = sql::visit_relations_mut(&mut ast, |name| {
        if name.to_string().starts_with("__sb_stream_") {
            *name = sql::ObjectName::from(vec![sql::Ident::new("t")]);
        }
        ControlFlow::Continue(())
    });
    super::names::query(&mut ast, &query.window_names, &Of(&[]));
    let statement = Statement::Statement(Box::new(Sql::Query(ast)));
    ctx.state().statement_to_plan(statement).await.unwrap()
}

/// A scope whose every FROM has these columns.
struct Of(&'static [&'static str]);

impl super::names::Scope for Of {
    fn input(&self, _: &sql::Select, _: &[sql::Cte]) -> Vec<(Option<String>, String)> {
        self.0.iter().map(|name| (Some("e".to_owned()), (*name).to_owned())).collect()
    }

    fn is_aggregate(&self, name: &str) -> bool {
        ["max", "min", "sum", "count"].contains(&name)
    }
}

/// A query over a stream `e` with these columns, its names resolved, as SQL.
fn resolved(columns: &'static [&'static str], sql: &str) -> String {
    let pipeline = crate::parse(
        "t.sql",
        &format!("CREATE TABLE e USING kafka OPTIONS (subscribe 't'); CREATE STREAMING TABLE x AS {sql};"),
        &[],
    )
    .unwrap();
    let query = &pipeline.tables[0].flows[0].query;
    let mut ast = query.ast.clone();
    super::names::query(&mut ast, &query.window_names, &Of(columns));
    ast.to_string()
}

#[test]
fn windows_resolve_as_in_spark() {
    let group = "FROM STREAM e WATERMARK ts DELAY OF INTERVAL '1 minute' GROUP BY";
    let select = |list: &str, by: &str| resolved(&["ts", "n"], &format!("SELECT {list} {group} {by}"));
    let rewritten = |sql: &str| resolved(&["ts", "n"], sql);
    insta::assert_snapshot!(
        [
            select("window.start, window.end, window, count(*)", "window(ts, '5 minutes'), region"),
            select("window.*, window_time(window), n", "WINDOW(ts, INTERVAL 5 MINUTES)"),
            select("w.start AS s, w", "window(ts, INTERVAL '1 hour', '15 minutes') AS w"),
            select("window(ts, '5 minutes') AS w, w.end", "w HAVING w.start > now() ORDER BY w.start"),
            select("window(ts, '5 minutes', '5 minutes', '1 minute'), count(*)", "1"),
            select("window['start'], (SELECT max(window.start) FROM (VALUES (1)) x)", "window(ts, '5 minutes')"),
            rewritten("SELECT window.start, sum(n) FROM STREAM e GROUP BY window(window, '1 hour')"),
            rewritten("SELECT window.start, q.window.end, w.start FROM STREAM e"),
            rewritten("SELECT window(ts, '1 day'), window(ts, '1 day') AS w, w.start FROM STREAM e"),
        ]
        .join("\n")
    );
}

/// pyspark 4.1 takes the column of the input in each of these; where it refuses the window, we take it.
#[test]
fn a_column_of_the_input_comes_first() {
    let group = "FROM STREAM e GROUP BY window(ts, '1 day')";
    let select = |list: &str, rest: &str| {
        resolved(&["ts", "w", "window", "start", "v"], &format!("SELECT {list} {group}{rest}"))
    };
    insta::assert_snapshot!(
        [
            select("window(ts, '1 day') AS w, max(w)", ""),
            select("w.end, max(w), max(w.x)", " AS w"),
            select("min(window.start), window.start", ""),
            select("window, count(*)", ", window HAVING window > 'a'"),
            select("window.start, max(start) AS m", " HAVING max(start) > 'sb'"),
            select("window.start, start AS st", ", start HAVING start > 'sa'"),
            select("-max(v) AS v", " HAVING max(v) > 2 AND v < -2"),
            select("upper(w) AS w", ", w HAVING w > 'a'"),
            resolved(&["ts", "w"], "SELECT window(ts, '1 day') AS w, count(*) FROM STREAM e GROUP BY w"),
            resolved(&["ts", "w"], "SELECT window(ts, '1 day') AS w, w.start FROM STREAM e"),
            resolved(&["ts", "q"], "SELECT window(ts, '1 day') AS w, w.start FROM STREAM e"),
        ]
        .join("\n")
    );
}

/// A table function of windows is the window that it names.
#[test]
fn table_functions_are_windows() {
    let same = |table: &str, list: &str, by: &str, window: &str, listed: &str| {
        let function = resolved(&["ts", "n"], &format!("SELECT {list} FROM {table} GROUP BY {by}"));
        let called = resolved(&["ts", "n"], &format!("SELECT {listed} FROM STREAM e GROUP BY {window}"));
        assert_eq!(function, called, "{table}");
    };
    let bounds = "window_start, window_end";
    same(
        "TABLE(TUMBLE(TABLE e, DESCRIPTOR(ts), INTERVAL '5' MINUTE))",
        "window_start, e.window_end AS until, count(*)",
        bounds,
        "window(ts, '5 minute', '5 minute', '0 seconds')",
        "window.start AS \"window_start\", window.end AS until, count(*)",
    );
    same(
        "TABLE(HOP(DATA => TABLE STREAM e, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '10' MINUTES, SLIDE => INTERVAL '5' MINUTES))",
        "n, window_start AS s, window_time AS t",
        "n, window_start, window_end, window_time",
        "n, window(ts, '10 minutes', '5 minutes', '0 seconds')",
        "n, window.start AS s, window_time(window) AS t",
    );
    same(
        "SESSION(STREAM e WATERMARK ts DELAY OF INTERVAL '1 minute' PARTITION BY (n), DESCRIPTOR(ts), INTERVAL '5 minutes') AS e",
        "n, max(window_start) AS s",
        "window_start, n, window_end",
        "session_window(ts, '5 minutes'), n",
        "n, max(get_field(session_window(ts, '5 minutes'), 'start')) AS s",
    );
    // Its own column `window_time`, as of windows over windows, is the table's in the function and the new window's elsewhere.
    same(
        "TABLE(TUMBLE(TABLE e, DESCRIPTOR(window_time), INTERVAL '1 hour'))",
        "window_time AS t",
        bounds,
        "window(window_time, '1 hour', '1 hour', '0 seconds')",
        "window_time(window) AS t",
    );
}

#[test]
fn what_differs_in_a_cast_is_told_apart() {
    let group = "FROM STREAM e GROUP BY window(ts, '1 day')";
    let select = |list: &str, rest: &str| resolved(&["ts", "v"], &format!("SELECT {list} {group}{rest}"));
    insta::assert_snapshot!(
        [
            select("sum(CAST(v AS DOUBLE)) AS a, sum(v) AS b", ""),
            select("sum(e.v::INT + 1) AS a, SUM((v + 1)) AS b, max(CAST(v AS INT))", ""),
            select("CAST(v AS INT) AS a, v AS b, CAST(v AS INT) + 1", ", CAST(v AS INT), v"),
            select("CAST(v AS INT) AS a, v AS b", ", 1, b"),
            select("sum(v) AS b", " HAVING sum(CAST(v AS DOUBLE)) > 1"),
            select("sum(CAST(v AS DOUBLE)) AS a, sum(w) AS b, CAST(v AS INT)", ", v"),
        ]
        .join("\n")
    );
}

#[test]
fn a_field_is_called_as_in_its_struct() {
    let names = |list: &str| resolved(&["addr"], &format!("SELECT {list} FROM STREAM e"));
    assert_eq!(
        names("addr.city, e.addr.city AS c, e.addr.zip.code, e.addr, addr['x']"),
        "SELECT addr.city AS \"city\", e.addr.city AS c, e.addr.zip.code AS \"code\", e.addr, addr['x'] FROM __sb_stream_0 AS e"
    );
    // In quotes its letters are its own.
    assert_eq!(
        names("addr.\"City\", addr.CITY"),
        "SELECT addr.\"City\" AS \"City\", addr.CITY AS \"city\" FROM __sb_stream_0 AS e"
    );
}

fn instants(array: &ArrayRef) -> Vec<Option<i64>> {
    array.as_primitive::<TimestampMicrosecondType>().iter().collect()
}

#[tokio::test]
async fn a_grouped_query_runs_as_a_batch_query() {
    let times = vec![Some(0), Some(4 * MINUTE), Some(5 * MINUTE), None, Some(-1), Some(9 * MINUTE + 59_999_999)];
    let sql = "SELECT window.start, window.end AS e, window_time(window), sum(n) AS s FROM t
               WHERE ts IS NOT NULL GROUP BY window(ts, '5 minutes') ORDER BY window.start";
    let batches = run(times, sql).await;
    let batch = &batches[0];
    let names: Vec<_> = batch.schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["start", "e", "window_time(window)", "s"]);
    assert_eq!(batch.schema().field(0).data_type(), &event_time_type());
    assert_eq!(instants(batch.column(0)), [Some(-5 * MINUTE), Some(0), Some(5 * MINUTE)]);
    assert_eq!(instants(batch.column(1)), [Some(0), Some(5 * MINUTE), Some(10 * MINUTE)]);
    assert_eq!(instants(batch.column(2)), [Some(-1), Some(5 * MINUTE - 1), Some(10 * MINUTE - 1)]);
    assert_eq!(batch.column(3).as_primitive::<arrow::datatypes::Int64Type>().values(), &[4, 1, 7]);
}

#[tokio::test]
async fn windows_over_windows() {
    let times = (0..60).map(|i| Some(i * MINUTE)).collect();
    let sql = "SELECT window.start AS s, sum(c) AS c FROM
                 (SELECT window, count(*) AS c FROM t GROUP BY window(ts, INTERVAL 5 MINUTES)) q
               GROUP BY window(window, '30 minutes') HAVING window.end > TIMESTAMP '1970-01-01' ORDER BY s";
    let batches = run(times, sql).await;
    assert_eq!(instants(batches[0].column(0)), [Some(0), Some(30 * MINUTE)]);
    assert_eq!(batches[0].column(1).as_primitive::<arrow::datatypes::Int64Type>().values(), &[30, 30]);
}

#[tokio::test]
async fn null_and_extreme_times_give_null() {
    let sql = "SELECT window(ts, '1 hour') AS w, w.start, w['end'], window_time(w) FROM t";
    let batches = run(vec![None, Some(i64::MAX), Some(i64::MIN), Some(1)], sql).await;
    let batch = &batches[0];
    assert_eq!(batch.column(0).data_type(), &window_type());
    assert_eq!((0..4).map(|i| batch.column(0).is_null(i)).collect::<Vec<_>>(), [true, true, true, false]);
    for column in &batch.columns()[1..] {
        assert_eq!(instants(column).iter().map(Option::is_none).collect::<Vec<_>>(), [true, true, true, false]);
    }
}

#[tokio::test]
async fn any_timestamp_is_taken() {
    let sql = "SELECT window(ts, '1 minute', '1 minute', '30 seconds') AS w, w.start FROM t";
    let nanos: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![-30_000_000_001, -30_000_000_000]));
    assert_eq!(instants(run_on(nanos, 2, sql).await[0].column(1)), [Some(-90_000_000), Some(-30_000_000)]);
    let seconds: ArrayRef = Arc::new(TimestampSecondArray::from(vec![29, 30]).with_timezone("+02:00"));
    assert_eq!(instants(run_on(seconds, 2, sql).await[0].column(1)), [Some(-30_000_000), Some(30_000_000)]);
}

#[tokio::test]
async fn wrong_types_are_refused() {
    let ctx = SessionContext::new_with_state(session_state(1));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    ctx.register_batch("t", RecordBatch::try_from_iter([("ts", text)]).unwrap()).unwrap();
    for (sql, why) in [
        ("SELECT window(ts, INTERVAL '1 minute') FROM t", "CAST the column to TIMESTAMP"),
        ("SELECT window(TIMESTAMP '2026-01-01') FROM t", "takes a time and a size"),
        ("SELECT window(TIMESTAMP '2026-01-01', 5) FROM t", "takes intervals"),
        ("SELECT window_time(ts) FROM t", "takes a window"),
        ("SELECT window(TIMESTAMP '2026-01-01', INTERVAL '1 month') FROM t", "of fixed length"),
        ("SELECT window(TIMESTAMP '2026-01-01', INTERVAL '2 minutes', INTERVAL '1 minute') FROM t", "hopping window"),
        ("SELECT session_window(TIMESTAMP '2026-01-01', INTERVAL '2 minutes') FROM t", "depends on other rows"),
        ("SELECT session_window(ts, INTERVAL '2 minutes') FROM t", "CAST the column to TIMESTAMP"),
    ] {
        let error = match ctx.sql(sql).await {
            Ok(frame) => frame.collect().await.unwrap_err(),
            Err(error) => error,
        };
        assert!(error.to_string().contains(why), "{sql}: {error}");
    }
}

#[tokio::test]
async fn calls_are_recognised_in_analysed_plans() {
    let schema = Schema::new(vec![Field::new("ts", event_time_type(), true)]);
    let ctx = SessionContext::new_with_state(session_state(1));
    ctx.register_batch("t", RecordBatch::new_empty(Arc::new(schema))).unwrap();
    let sql =
        "SELECT window.start, count(*) AS n FROM t GROUP BY window(ts, '1 hour', INTERVAL 15 MINUTES, '-1 minute')";
    let plan = plan(&ctx, sql).await;
    let state = ctx.state();
    let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| ()).unwrap();
    let LogicalPlan::Projection(projection) = &plan else { unreachable!("{plan}") };
    let LogicalPlan::Aggregate(aggregate) = projection.input.as_ref() else { unreachable!("{plan}") };
    let call = as_window_call(&aggregate.group_expr[0].clone().alias("w")).unwrap();
    let time = datafusion::logical_expr::Expr::Column("t.ts".into());
    let (size_micros, slide_micros, offset_micros) = (60 * MINUTE, 15 * MINUTE, -MINUTE);
    let assigner = Assigner::Hopping { size_micros, slide_micros, offset_micros };
    assert_eq!(call, WindowCall { time, assigner, gap: None });
}

#[tokio::test]
async fn sessions_and_windows_of_a_zone_are_recognised() {
    let schema = Schema::new(vec![Field::new("ts", event_time_type(), true), Field::new("n", DataType::Int64, false)]);
    let ctx = SessionContext::new_with_state(session_state(1));
    ctx.register_batch("t", RecordBatch::new_empty(Arc::new(schema))).unwrap();
    let called = async |window: &str| {
        let sql = format!("SELECT count(*) AS n FROM t GROUP BY {window}");
        let plan = plan(&ctx, &sql).await;
        let state = ctx.state();
        let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| ()).unwrap();
        let LogicalPlan::Projection(projection) = &plan else { unreachable!("{plan}") };
        let LogicalPlan::Aggregate(aggregate) = projection.input.as_ref() else { unreachable!("{plan}") };
        as_window_call(&aggregate.group_expr[0]).unwrap()
    };
    let session = called("session_window(ts, '5 minutes')").await;
    assert_eq!(session.assigner, Assigner::Session(SessionEnd::After(5 * MINUTE)));
    assert_eq!(session.gap, None);
    for gap in ["CASE WHEN n > 1 THEN '5 seconds' ELSE '1 hour' END", "INTERVAL '1 month'"] {
        let session = called(&format!("session_window(ts, {gap})")).await;
        assert_eq!(session.assigner, Assigner::Session(SessionEnd::InColumn), "{gap}");
        assert!(session.gap.is_some(), "{gap}");
    }
    let Assigner::Calendar(days) = called("window(ts, '1 day', tz => 'Europe/Berlin')").await.assigner else {
        unreachable!("no windows of a zone")
    };
    assert_eq!((days.zone().to_string(), days.size(), days.offset()), ("Europe/Berlin".to_owned(), 1440 * MINUTE, 0));
    let Assigner::Calendar(days) = called("window(ts, '1 day', startTime => '6 hours', tz => '+05:30')").await.assigner
    else {
        unreachable!("no windows of a zone")
    };
    assert_eq!((days.zone().to_string(), days.offset()), ("+05:30".to_owned(), 360 * MINUTE));
}

/// The rows of a table function without GROUP BY, less those without a time.
#[tokio::test]
async fn a_table_function_adds_the_columns_of_windows() {
    let sql = "WITH q AS (SELECT * FROM t) SELECT n, window_start, window_end, window_time
               FROM TABLE(TUMBLE(TABLE q, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) ORDER BY n";
    let batches = run(vec![Some(7 * MINUTE), None, Some(-1)], sql).await;
    let batch = &batches[0];
    assert_eq!(batch.column(0).as_primitive::<arrow::datatypes::Int64Type>().values(), &[0, 2]);
    assert_eq!(instants(batch.column(1)), [Some(5 * MINUTE), Some(-5 * MINUTE)]);
    assert_eq!(instants(batch.column(2)), [Some(10 * MINUTE), Some(0)]);
    assert_eq!(instants(batch.column(3)), [Some(10 * MINUTE - 1), Some(-1)]);
}

#[test]
fn a_time_is_in_the_windows_that_hold_it() {
    let hopping = Assigner::Hopping { size_micros: 10, slide_micros: 5, offset_micros: 0 };
    assert_eq!(hopping.windows_of(7), Some(vec![(0, 10), (5, 15)]));
    assert_eq!(hopping.windows_of(-1), Some(vec![(-10, 0), (-5, 5)]));
    let cumulating = Assigner::Cumulating { size_micros: 15, step_micros: 5, offset_micros: 0 };
    assert_eq!(cumulating.windows_of(7), Some(vec![(0, 10), (0, 15)]));
    assert_eq!(cumulating.windows_of(-1), Some(vec![(-15, 0)]));
    assert_eq!(hopping.windows_of(i64::MAX), None, "one that ends after all that can be said");
}

#[tokio::test]
async fn a_day_of_a_zone_is_a_function_too() {
    // 2024-10-27 12:00 UTC, a day of 25 hours in Berlin.
    let noon = (20_023 * 24 + 12) * 60 * MINUTE;
    let sql = "SELECT window(ts, '1 day', tz => 'Europe/Berlin') AS w, w.start, w.end FROM t";
    let batches = run(vec![Some(noon)], sql).await;
    assert_eq!(instants(batches[0].column(1)), [Some(noon - 14 * 60 * MINUTE)]);
    assert_eq!(instants(batches[0].column(2)), [Some(noon + 11 * 60 * MINUTE)]);
}

#[test]
fn other_expressions_are_no_window() {
    assert_eq!(as_window_call(&col("window")), None);
    let window = &functions()[0];
    assert_eq!(as_window_call(&window.call(vec![col("ts"), col("size")])), None);
    assert_eq!(as_window_call(&window.call(vec![col("ts"), lit(5)])), None);
    assert_eq!(window.return_type(&[DataType::Null]).unwrap(), window_type());
}

proptest! {
    #[test]
    fn a_window_holds_its_time(time in any::<i64>(), size in 1..i64::MAX, offset in any::<i64>()) {
        let offset = offset % size;
        if let Some(start) = start_of(time, size, offset) {
            let (time, size) = (i128::from(time), i128::from(size));
            prop_assert!(i128::from(start) <= time && time < i128::from(start) + size);
            prop_assert_eq!((i128::from(start) - i128::from(offset)).rem_euclid(size), 0);
        } else {
            prop_assert!(time.checked_add(size).is_none() || time.checked_sub(size).is_none());
        }
    }

    #[test]
    fn any_intervals_are_judged(size in any::<i64>(), slide in any::<i64>(), offset in any::<i64>()) {
        if problem(size, slide, offset).is_none() {
            prop_assert!(size > 0 && slide > 0 && slide <= size && offset.unsigned_abs() < slide.unsigned_abs());
        }
    }
}
