//! Small cases with answers from elsewhere: pyspark 4.1 gave those on equality and names, the page on semantics the others.
//! Each is read at once and event by event, which must give the same.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use std::sync::Arc;

use sluicebox_core::SystemClock;
use sluicebox_formats::framing::frame;
use sluicebox_registry::store::{NewSchema, RegistryStore};
use sluicebox_samples::avro::{bytes, long};
use sluicebox_sources::{EmbeddedLog, Record, TopicOptions};
use support::Workspace;

const SCHEMA: &str = r#"{"type": "record", "name": "D", "fields": [
    {"name": "ts", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]},
    {"name": "k", "type": "string"},
    {"name": "v", "type": ["null", "double"]},
    {"name": "n", "type": "long"},
    {"name": "w", "type": "string"},
    {"name": "start", "type": "string"},
    {"name": "addr", "type": {"type": "record", "name": "A", "fields": [
        {"name": "city", "type": "string"}, {"name": "height", "type": "double"}]}},
    {"name": "vs", "type": {"type": "array", "items": "double"}},
    {"name": "m", "type": {"type": "map", "values": "double"}}]}"#;

const SOURCE: &str = "CREATE TABLE d USING kafka OPTIONS ('subscribe' = 'd', 'startingOffsets' = 'earliest');";

/// 2026-01-01T00:00Z.
const MIDNIGHT: i64 = 1_767_225_600_000_000;
const MINUTE: i64 = 60_000_000;

#[derive(Clone)]
struct Row {
    minute: Option<i64>,
    k: &'static str,
    v: Option<f64>,
    n: i64,
    /// Text of several columns; the map's entries stand in the order of its bytes.
    w: &'static str,
}

fn row(minute: i64, k: &'static str, v: f64) -> Row {
    Row { minute: Some(minute), k, v: Some(v), n: 0, w: "" }
}

fn record(row: &Row) -> Record {
    let option = |is: bool, body: &mut Vec<u8>| long(i64::from(is), body);
    let mut body = Vec::new();
    option(row.minute.is_some(), &mut body);
    if let Some(minute) = row.minute {
        long(MIDNIGHT + minute * MINUTE, &mut body);
    }
    bytes(row.k.as_bytes(), &mut body);
    option(row.v.is_some(), &mut body);
    if let Some(v) = row.v {
        body.extend(v.to_le_bytes());
    }
    long(row.n, &mut body);
    for text in [row.w.to_owned(), format!("s{}", row.w), format!("c{}", row.w)] {
        bytes(text.as_bytes(), &mut body);
    }
    let v = row.v.unwrap_or(1.0);
    body.extend(v.to_le_bytes());
    // A list of one, then a map of two, whose order depends on the sign.
    long(1, &mut body);
    body.extend(v.to_le_bytes());
    long(0, &mut body);
    long(2, &mut body);
    let mut entries = [("a", v), ("b", 1.0)];
    if v.is_sign_negative() {
        entries.reverse();
    }
    for (key, value) in entries {
        bytes(key.as_bytes(), &mut body);
        body.extend(value.to_le_bytes());
    }
    long(0, &mut body);
    Record { value: Some(frame(1, &body).into()), ..Record::default() }
}

/// A project with an empty topic of two partitions.
fn project(sql: &str) -> Workspace {
    let project = Workspace::new();
    let registry = RegistryStore::open(project.path().join("data/.log/registry")).unwrap();
    assert_eq!(registry.register("d-value", &NewSchema::new(SCHEMA)).unwrap().id, 1);
    log(&project).create_topic("d", 2, TopicOptions::default()).unwrap();
    project.write("p.sql", &format!("{SOURCE}\n{sql}"));
    project
}

fn log(project: &Workspace) -> EmbeddedLog {
    EmbeddedLog::open(project.path().join("data/.log"), Arc::new(SystemClock::new())).unwrap()
}

fn append(project: &Workspace, partition: i32, rows: &[Row]) {
    log(project).append("d", partition, &rows.iter().map(record).collect::<Vec<_>>()).unwrap();
}

fn run(project: &Workspace, more: &[&str]) {
    let mut args = vec!["run", "p.sql", "--trigger", "available-now"];
    args.extend(more);
    project.ok(&args);
}

/// What `query` gives after `rows`, all of one partition, have been read: at once, and one by one.
fn answers(sql: &str, rows: &[Row], query: &str) -> Vec<String> {
    let read = |more: &[&str]| {
        let project = project(sql);
        append(&project, 0, rows);
        run(&project, more);
        project.rows(&query.replace("FROM t", "FROM tables.t"))
    };
    let at_once = read(&[]);
    assert_eq!(read(&["--set", "d.maxOffsetsPerTrigger=1"]), at_once, "{sql}: it depends on batches");
    at_once
}

const OTHER_NAN: f64 = f64::from_bits(0xfff8_0000_0000_0000);

/// Both zeros and several NaN in each order, all in one window, and a row that closes it.
fn twins() -> Vec<Row> {
    let values = [-0.0, 0.0, f64::NAN, OTHER_NAN, 5.0, -0.0];
    let mut rows: Vec<Row> = values.into_iter().map(|v| row(1, "x", v)).collect();
    rows.extend([Row { v: None, ..row(1, "x", 0.0) }, Row { v: None, ..row(1, "x", 0.0) }]);
    rows.push(row(60, "last", 7.0));
    rows
}

const CLAUSE: &str = "FROM STREAM d WATERMARK ts DELAY OF INTERVAL '5 minutes'";

#[test]
fn twins_are_one_key_of_distinct_and_the_form_is_written() {
    let on = "CREATE STREAMING TABLE t LOCATION 'data/tables/t' AS SELECT DISTINCT ON (v) v, k FROM STREAM d;";
    let text = "SELECT lower(CAST(v AS VARCHAR)), k FROM t";
    assert_eq!(answers(on, &twins(), text), [",x", "0.0,x", "5.0,x", "7.0,last", "nan,x"]);
    for column in ["v", "addr", "vs", "m", "named_struct('x', vs)"] {
        let all = format!(
            "CREATE STREAMING TABLE t LOCATION 'data/tables/t' AS SELECT DISTINCT {column} AS x FROM STREAM d;"
        );
        // A NULL is 1.0 in the struct, the list and the map.
        assert_eq!(answers(&all, &twins(), "SELECT count(*) FROM t"), ["5"], "{column}");
    }
}

#[test]
fn twins_are_one_group() {
    for column in ["v", "addr.height", "vs[0]", "m['a']"] {
        let sql = format!(
            "CREATE STREAMING TABLE t LOCATION 'data/tables/t' AS SELECT {column} AS g, count(*) AS c {CLAUSE}
             GROUP BY window(ts, INTERVAL '10 minutes'), {column};"
        );
        // NULL is in `v` alone.
        let mut expected = ["0.0,3", "5.0,1", "nan,2", if column == "v" { ",2" } else { "1.0,2" }];
        expected.sort_unstable();
        assert_eq!(answers(&sql, &twins(), "SELECT lower(CAST(g AS VARCHAR)), c FROM t"), expected, "{column}");
    }
    for column in ["addr", "vs", "m", "k, vs"] {
        let sql = format!(
            "CREATE STREAMING TABLE t LOCATION 'data/tables/t' AS SELECT {column}, count(*) AS c {CLAUSE}
             GROUP BY window(ts, INTERVAL '10 minutes'), {column};"
        );
        assert_eq!(answers(&sql, &twins(), "SELECT c FROM t"), ["1", "2", "2", "3"], "{column}");
    }
}

#[test]
fn aggregates_and_conditions_take_twins_for_one_value() {
    let sql = format!(
        "CREATE STREAMING TABLE t LOCATION 'data/tables/t' AS
         SELECT count(DISTINCT v) AS d, min(v) AS least, max(v) AS most, min(addr.height) AS low, count(*) AS c,
                count(*) FILTER (WHERE v = 0) AS zeros, count(*) FILTER (WHERE v IN (0.0, CAST('NaN' AS DOUBLE))) AS listed,
                count(*) FILTER (WHERE v > 5) AS above, sum(DISTINCT CASE WHEN v = 0 THEN v END) AS s,
                count(DISTINCT vs) AS lists, count(DISTINCT addr) AS structs
         {CLAUSE} WHERE v IS NOT NULL AND v >= -0.0 AND addr = addr GROUP BY window(ts, INTERVAL '10 minutes')
         HAVING max(v) = CAST('NaN' AS DOUBLE) AND min(v) = -0.0;"
    );
    let text = "SELECT d, CAST(least AS VARCHAR), lower(CAST(most AS VARCHAR)), low, c, zeros, listed, above, CAST(s AS VARCHAR), lists,
                structs FROM t";
    assert_eq!(answers(&sql, &twins(), text), ["3,0.0,nan,0.0,6,3,5,2,0.0,3,3"]);
}

/// Text columns `w` and `start`, a number; two windows of ten minutes, and a row that closes them.
fn named() -> Vec<Row> {
    let row = |minute, w, n| Row { w, n, ..row(minute, "x", 1.5) };
    vec![row(1, "a", 1), row(2, "b", 2), row(31, "c", 3), row(90, "z", 9)]
}

/// Compares what a query gives, `query = rows`, of a table that selects `list` `from` the rows of [`named`].
fn compare(list: &str, from: &str, expected: &str) {
    let sql = format!("CREATE STREAMING TABLE t LOCATION 'data/tables/t' AS SELECT {list} {from};");
    let (query, rows) = expected.split_once(" = ").unwrap();
    assert_eq!(answers(&sql, &named(), query).join(" "), rows, "{list} {from}");
}

#[test]
fn a_column_of_the_input_comes_before_names_of_the_query() {
    let by = format!("{CLAUSE} GROUP BY window(ts, INTERVAL '10 minutes')");
    for (list, rest, expected) in [
        ("window(ts, INTERVAL '10 minutes') AS w, max(w) AS m", "", "SELECT m FROM t = b c"),
        (
            "window(ts, INTERVAL '10 minutes') AS q, max(w) AS m, q.start AS s",
            "",
            "SELECT m, minute(s) FROM t = b,0 c,30",
        ),
        ("w.end AS e, max(w) AS m", " AS w", "SELECT m, minute(e) FROM t = b,10 c,40"),
        ("window.start, max(start) AS m", "", "SELECT m, minute(start) FROM t = sb,0 sc,30"),
        ("window.start, max(start) AS m", " HAVING max(start) > 'sb'", "SELECT m FROM t = sc"),
        ("window.start, start AS st", ", start HAVING start > 'sa'", "SELECT st FROM t = sb sc"),
        ("window.start, count(*) AS c", " HAVING start > TIMESTAMP '2026-01-01 00:05:00'", "SELECT c FROM t = 1"),
        ("max(n) AS n", " HAVING max(n) > 2", "SELECT n FROM t = 3"),
        ("-max(n) AS n", " HAVING max(n) > 2", "SELECT n FROM t = -3"),
        ("-max(n) AS n", " HAVING n < -2", "SELECT n FROM t = -3"),
        ("upper(w) AS w, count(*) AS c", ", w HAVING w > 'a'", "SELECT w FROM t = B C"),
        ("sum(CAST(n AS DOUBLE)) AS a, sum(n) AS b", "", "SELECT a, b FROM t = 3.0,3 3.0,3"),
        (
            "max(CAST(n AS STRING)) AS a, max(n) AS b",
            "",
            "SELECT a, a < '10', b, b < '10' FROM t = 2,false,2,true 3,false,3,true",
        ),
        (
            "CAST(n AS DOUBLE) AS a, n AS b, count(*) AS c",
            ", CAST(n AS DOUBLE), n",
            "SELECT a, b FROM t = 1.0,1 2.0,2 3.0,3",
        ),
    ] {
        compare(list, &format!("{by}{rest}"), expected);
    }
}

#[test]
fn a_window_of_the_input_is_the_inputs_inside_of_an_aggregate() {
    let below = format!("SELECT window, count(*) AS c {CLAUSE} GROUP BY window(ts, INTERVAL '1 minute')");
    let sql = format!(
        "CREATE STREAMING TABLE t LOCATION 'data/tables/t' AS SELECT min(window.start) AS f, window.start AS s, w.end AS e
         FROM ({below}) GROUP BY window(window, INTERVAL '10 minutes') AS w;"
    );
    let found = answers(&sql, &named(), "SELECT minute(f), minute(s), minute(e) FROM t");
    assert_eq!(found, ["1,0,10", "31,30,40"]);
}

/// What pyspark 4.1 gives, less the window that is open.
#[test]
fn a_key_of_a_group_may_be_named_twice() {
    let by = format!("{CLAUSE} GROUP BY window(ts, INTERVAL '10 minutes')");
    for (list, rest, expected) in [
        ("w, count(*) AS c", ", w, w", "SELECT w, c FROM t = a,1 b,1 c,1"),
        ("w, count(*) AS c", ", w, 1", "SELECT w, c FROM t = a,1 b,1 c,1"),
        ("count(*) AS c", ", upper(k), upper(k)", "SELECT c FROM t = 1 2"),
        ("count(*) AS c", ", 'a', 'a'", "SELECT c FROM t = 1 2"),
        ("count(*) AS c", ", k, d.k", "SELECT c FROM t = 1 2"),
        ("w AS a, w AS b, count(*) AS c", ", a, b", "SELECT a, b, c FROM t = a,a,1 b,b,1 c,c,1"),
        ("upper(w) AS a, upper(w) AS b, count(*) AS c", ", a, b", "SELECT a, b, c FROM t = A,A,1 B,B,1 C,C,1"),
        ("w, n, count(*) AS c", ", w, n, w", "SELECT w, n, c FROM t = a,1,1 b,2,1 c,3,1"),
        ("window.start AS s, count(*) AS c", ", window.start", "SELECT minute(s), c FROM t = 0,2 30,1"),
        (
            "window.start AS s, count(*) AS c",
            ", window(ts, INTERVAL '10 minutes')",
            "SELECT minute(s), c FROM t = 0,2 30,1",
        ),
        (
            "window.start AS s, count(*) AS c",
            ", window(ts, INTERVAL '600 seconds')",
            "SELECT minute(s), c FROM t = 0,2 30,1",
        ),
        ("window.start AS s, count(*) AS c", ", window", "SELECT minute(s), c FROM t = 0,2 30,1"),
        ("window.start AS s, count(*) AS c", " AS q, q.end, q", "SELECT minute(s), c FROM t = 0,2 30,1"),
        ("window.start AS s, count(*) AS c", ", s", "SELECT minute(s), c FROM t = 0,2 30,1"),
        (
            "CAST(window.start AS DATE) AS s, count(*) AS c",
            ", CAST(window.start AS DATE)",
            "SELECT day(s), c FROM t = 1,1 1,2",
        ),
        (
            "concat(w, minute(window.end)) AS x, count(*) AS c",
            ", concat(w, minute(window.end))",
            "SELECT x, c FROM t = a10,1 b10,1 c40,1",
        ),
    ] {
        compare(list, &format!("{by}{rest}"), expected);
    }
    let first = format!(
        "CREATE STREAMING TABLE t LOCATION 'data/tables/t' AS
         SELECT 'x' AS a, 'x' AS b, window(ts, INTERVAL '10 minutes') AS q, count(*) AS c {CLAUSE} GROUP BY a, b, q;"
    );
    assert_eq!(answers(&first, &named(), "SELECT a, b, minute(q.start), c FROM t"), ["x,x,0,2", "x,x,30,1"]);
    for key in ["window.start", "s"] {
        let hopping = format!(
            "CREATE STREAMING TABLE t LOCATION 'data/tables/t' AS SELECT window.start AS s, count(*) AS c {CLAUSE}
             GROUP BY window(ts, INTERVAL '10 minutes', INTERVAL '5 minutes'), {key};"
        );
        let found = answers(&hopping, &named(), "SELECT minute(s), c FROM t");
        assert_eq!(found, ["0,2", "25,1", "30,1", "55,2"], "{key}");
    }
}

/// As pyspark 4.1 has it: a field of a struct is no column, so it hides no window.
#[test]
fn a_field_called_window_does_not_hide_the_window() {
    let from =
        format!("FROM (SELECT ts, named_struct('window', w) AS n {CLAUSE}) GROUP BY window(ts, INTERVAL '10 minutes')");
    for (list, rest, expected) in [
        ("window.start AS s, count(*) AS c", ", n.window", "SELECT minute(s), c FROM t = 0,1 0,1 30,1"),
        (
            "window.end AS s, n.window AS x, count(*) AS c",
            ", n.window",
            "SELECT minute(s), x, c FROM t = 10,a,1 10,b,1 40,c,1",
        ),
    ] {
        compare(list, &format!("{from}{rest}"), expected);
    }
}

/// pyspark 4.1 reads the same ten minutes in all of these.
#[test]
fn an_interval_is_written_as_in_spark() {
    for written in
        ["'10  minutes'", "'+10 minutes'", "'interval 10 minutes'", "'INTERVAL  10 minutes'", "'9 minutes +60 seconds'"]
    {
        let sql = format!(
            "CREATE STREAMING TABLE t LOCATION 'data/tables/t' AS SELECT window.end AS e, count(*) AS c
             FROM STREAM d WATERMARK ts DELAY OF INTERVAL {written} GROUP BY window(ts, {written});"
        );
        assert_eq!(answers(&sql, &named(), "SELECT minute(e), c FROM t"), ["10,2", "40,1"], "{written}");
    }
}

#[test]
fn a_field_of_a_struct_is_called_like_the_field() {
    let sql =
        "CREATE STREAMING TABLE t LOCATION 'data/tables/t' AS SELECT addr.city, d.addr.height, d.k FROM STREAM d;";
    let found = answers(sql, &named()[..1], "SELECT city, height, k FROM t");
    assert_eq!(found, ["ca,1.5,x"]);
    let grouped = format!(
        "CREATE STREAMING TABLE t LOCATION 'data/tables/t' AS SELECT addr.city, count(*) AS c {CLAUSE}
         GROUP BY window(ts, INTERVAL '10 minutes'), addr.city HAVING city > 'ca';"
    );
    assert_eq!(answers(&grouped, &named(), "SELECT city FROM t"), ["cb", "cc"]);
    let twice =
        project("CREATE STREAMING TABLE t AS SELECT addr.city, x.city FROM (SELECT addr, addr AS x FROM STREAM d);");
    let said = twice.fails(2, &["plan", "p.sql"]);
    assert!(said.contains("two columns of this query are called `city`") && said.contains("AS"), "{said}");
}

/// Which rows of a later run are late does not depend on what else a pipeline holds.
#[test]
fn the_watermark_moves_at_the_end_of_a_run_whatever_the_tables_are() {
    let distinct = "CREATE STREAMING TABLE t LOCATION 'data/tables/t' AS
                    SELECT DISTINCT ON (k) k, ts FROM STREAM d WATERMARK ts DELAY OF INTERVAL '0 seconds';";
    let plain = "CREATE STREAMING TABLE t LOCATION 'data/tables/t' AS SELECT k, ts FROM STREAM d WATERMARK ts DELAY OF INTERVAL '0 seconds';";
    let windows =
        "CREATE STREAMING TABLE u LOCATION 'data/tables/u' AS SELECT window.start, count(*) AS c FROM STREAM t
                   GROUP BY window(ts, INTERVAL '10 minutes');";
    // A clause that stands still, and comes first.
    let other = "CREATE STREAMING TABLE a LOCATION 'data/tables/a' AS SELECT k, ts FROM STREAM d WHERE k = 'nobody';
                 CREATE STREAMING TABLE b LOCATION 'data/tables/b' AS SELECT k FROM STREAM a WATERMARK ts DELAY OF INTERVAL '0 seconds';";
    let pipelines =
        [distinct.to_owned(), plain.to_owned(), format!("{distinct}\n{windows}"), format!("{other}\n{plain}")];
    let results = pipelines.map(|sql| {
        let project = project(&sql);
        append(&project, 1, &[row(5, "a", 1.0), row(12, "b", 1.0)]);
        run(&project, &[]);
        append(&project, 0, &[row(1, "c", 1.0)]);
        run(&project, &[]);
        let late = project.rows("SELECT k, _late FROM late.t");
        let commits = std::fs::read_dir(project.path().join("checkpoints/p/commits")).unwrap().count();
        run(&project, &[]);
        let after = std::fs::read_dir(project.path().join("checkpoints/p/commits")).unwrap().count();
        assert_eq!(commits, after, "a run that has nothing to do writes nothing");
        (project.rows("SELECT k FROM tables.t"), late)
    });
    for result in results {
        assert_eq!(result, (vec!["a".to_owned(), "b".to_owned()], vec!["c,clause".to_owned()]));
    }
}

/// 100,000 years from now and as long ago: no NULL, and nobody else's problem.
#[test]
fn event_times_far_out_are_no_null() {
    let far = 100_000 * 366 * 24 * 60;
    let rows = [
        row(-far, "past", 1.0),
        row(5, "now", 2.0),
        row(far, "future", 3.0),
        row(6, "also", 4.0),
        row(90, "last", 5.0),
    ];
    let sql = format!(
        "CREATE STREAMING TABLE t LOCATION 'data/tables/t' AS SELECT window.start AS s, count(*) AS c, min(k) AS k {CLAUSE}
         GROUP BY window(ts, INTERVAL '10 minutes');"
    );
    let found = answers(&sql, &rows, "SELECT k, c FROM t");
    assert_eq!(found, ["also,2", "past,1"], "the window of the far future waits for it");
    let distinct =
        format!("CREATE STREAMING TABLE t LOCATION 'data/tables/t' AS SELECT DISTINCT ON (k) k, ts {CLAUSE};");
    assert_eq!(answers(&distinct, &rows, "SELECT k FROM t"), ["also", "future", "last", "now", "past"]);
}
