//! Rows that a query cannot compute cost themselves: wherever in the query it is, the others are what they would be without
//! them, and each of them is in quarantine with column, expression, value, reason and place.

use crate::support::{HOSTILE, assert_is_text, is_parquet, text, visible_files};
use crate::topic::{Event, Topic, event};

const BRONZE: &str = "CREATE STREAMING TABLE bronze_e AS SELECT * FROM STREAM e;\n";

/// Twelve events: `v` is a number but in the third of partition 0 and the second of partition 1.
fn topic() -> Topic {
    let good = |id: i64| Event { v: Some(["1", "2", "3"][usize::try_from(id % 3).unwrap()]), n: id, ..event(id) };
    let bad = |id: i64, v| Event { v: Some(v), k: "b", ..event(id) };
    Topic::new([
        &[good(1), good(2), bad(3, "x7"), good(4), good(5), good(6)],
        &[good(7), bad(8, ""), good(9), good(10), good(11), good(12)],
    ])
}

/// What `_error_*` and the place say of the rows in quarantine, as CSV.
fn quarantine(topic: &Topic, table: &str) -> Vec<String> {
    topic.job.rows(&format!(
        "SELECT _topic, _partition, _offset, _error_table, _error_column, _error_expression, _error_value, _error_message
         FROM quarantine.{table}"
    ))
}

fn table(query: &str) -> String {
    format!("{BRONZE}CREATE STREAMING TABLE silver_t AS {query};")
}

/// The same run in another directory, in batches of three events, gives the same rows and the same quarantine.
fn check_cuts(topic: &Topic, sql: &str) {
    let cut = topic.again();
    cut.run(sql, &["--set", "e.maxOffsetsPerTrigger=3"]);
    assert_eq!(quarantine(topic, "silver_t"), quarantine(&cut, "silver_t"), "{sql}");
    let all = "SELECT * FROM silver.t";
    if topic.job.rows_exist("silver.t") {
        assert_eq!(topic.job.rows(all), cut.job.rows(all), "{sql}");
    }
}

#[test]
fn a_bad_cast_costs_its_row() {
    let topic = topic();
    let sql = table("SELECT id, CAST(v AS INT) AS q, k FROM STREAM bronze_e");
    let said = topic.run(&sql, &[]);
    let oracle = "SELECT id, CAST(v AS INT) AS q, k FROM bronze.e WHERE id NOT IN (3, 8)";
    assert_eq!(topic.job.rows("SELECT id, q, k FROM silver.t"), topic.job.rows(oracle));
    let lines = quarantine(&topic, "silver_t");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("e,0,2,silver_t,q,CAST(v AS INT),"), "{lines:?}");
    assert!(lines[0].contains("x7") && lines[0].contains("'x7' is no INT"), "{lines:?}");
    assert!(lines[1].starts_with("e,1,1,silver_t,q,CAST(v AS INT),"), "{lines:?}");
    // What can be computed of it is there.
    let kept =
        topic.job.rows("SELECT id, k, q IS NULL FROM quarantine.silver_t WHERE array_to_string(_violations, ',') = ''");
    assert_eq!(kept, ["3,b,true", "8,b,true"]);
    // Told once, counted, sampled.
    assert!(said.contains("q: CAST(v AS INT)") && said.contains("e/0 at offset 2") && said.contains("x7"), "{said}");
    assert_eq!(topic.fate("silver_t", "quarantined"), 2);
    let errors = "SELECT name, CAST(sum(value) AS BIGINT) FROM dq.p_metrics WHERE kind = 'error' GROUP BY name";
    assert_eq!(topic.job.rows(errors), ["q: CAST(v AS INT),2"]);
    let samples = "SELECT dataset, expectation, condition, action, \"offset\" FROM dq.p_samples";
    assert_eq!(
        topic.job.rows(samples),
        ["silver_t,on.error,CAST(v AS INT),quarantine,1", "silver_t,on.error,CAST(v AS INT),quarantine,2"]
    );
    check_cuts(&topic, &sql);
}

/// What an event holds is shown as text where a run tells of it, and the quarantine keeps it.
#[test]
fn what_an_event_holds_does_nothing_to_a_terminal() {
    let topic = Topic::new([&[event(1), Event { v: Some(HOSTILE), k: HOSTILE, ..event(2) }], &[]]);
    let sql = |properties: &str| {
        format!(
            "{BRONZE}CREATE STREAMING TABLE silver_t {properties} AS SELECT id, CAST(v AS INT) AS q, k FROM STREAM bronze_e;"
        )
    };
    let said = topic.fails(3, &sql("TBLPROPERTIES ('on.error' = 'fail')"));
    assert_is_text(&said);
    assert!(said.contains("pwned"), "{said}");
    let other = topic.again();
    let said = topic.run(&sql(""), &[]);
    assert_is_text(&said);
    assert!(said.contains("pwned") && said.contains("q: CAST(v AS INT)"), "{said}");
    let kept = topic.job.ok(&["query", "SELECT k FROM quarantine.silver_t", "--format", "json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&kept).unwrap()["k"], HOSTILE);
    other.job.write("p.sql", &std::fs::read_to_string(topic.path("p.sql")).unwrap());
    let args = ["run", "p.sql", "--trigger", "available-now", "--log-format", "json", "--json"];
    let output = other.job.run(&args);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_is_text(&said);
    assert!(said.contains("pwned") && said.lines().all(|line| line.starts_with('{')), "{said}");
}

/// Each query fails on some rows; the rows of the others are what the oracle gives over bronze, and so many are in quarantine.
#[test]
fn wherever_the_expression_stands_and_whatever_it_is() {
    let watermark = "STREAM bronze_e WATERMARK ts DELAY OF INTERVAL '5 minutes'";
    let good = "SELECT id FROM bronze.e WHERE id NOT IN (3, 8)";
    let cases = [
        // In WHERE, alone and behind a condition that shields it.
        ("SELECT id FROM STREAM bronze_e WHERE CAST(v AS INT) < 9".to_owned(), good, 2),
        ("SELECT id FROM STREAM bronze_e WHERE k = 'a' AND CAST(v AS INT) < 9".to_owned(), good, 0),
        // In a subquery, in a part that is used twice, in a branch of CASE that its rows do not take.
        ("SELECT id FROM (SELECT id, CAST(v AS INT) AS q FROM STREAM bronze_e) AS s WHERE q < 9".to_owned(), good, 2),
        ("SELECT id, CAST(v AS INT) + 1 AS a, CAST(v AS INT) * 2 AS b FROM STREAM bronze_e".to_owned(), good, 2),
        (
            "SELECT id, CASE WHEN k = 'a' THEN CAST(v AS INT) END AS a, CASE WHEN k = 'a' THEN CAST(v AS INT) + 1 END AS b
             FROM STREAM bronze_e"
                .to_owned(),
            "SELECT id FROM bronze.e",
            0,
        ),
        // Division, arithmetic that does not fit, a pattern from the data, bytes that are no text.
        ("SELECT id, 10 / (id - 3) AS d FROM STREAM bronze_e".to_owned(), "SELECT id FROM bronze.e WHERE id <> 3", 1),
        (
            "SELECT id, id + 9223372036854775800 AS d FROM STREAM bronze_e".to_owned(),
            "SELECT id FROM bronze.e WHERE id <= 7",
            5,
        ),
        ("SELECT id, -(id - 9223372036854775807 - 4) AS d FROM STREAM bronze_e".to_owned(), "SELECT id FROM bronze.e WHERE id >= 4", 3),
        ("SELECT id, m * CAST(2147483647 AS INT) * CAST(id AS INT) AS d FROM STREAM bronze_e".to_owned(), "SELECT id FROM bronze.e WHERE id = 1", 11),
        // The key of DISTINCT ON.
        (format!("SELECT DISTINCT ON (CAST(v AS INT) + id) id FROM {watermark}"), good, 2),
        // Both sides of a UNION, and lists of which some cannot be made.
        (
            "SELECT id FROM STREAM bronze_e WHERE CAST(v AS INT) < 9 UNION ALL SELECT CAST(v AS BIGINT) AS id FROM STREAM bronze_e"
                .to_owned(),
            "SELECT id FROM bronze.e WHERE id NOT IN (3, 8) UNION ALL SELECT CAST(v AS BIGINT) FROM bronze.e WHERE id NOT IN (3, 8)",
            4,
        ),
        (
            "SELECT unnest(make_array(id, CAST(v AS BIGINT))) AS id FROM STREAM bronze_e".to_owned(),
            "SELECT unnest([id, CAST(v AS BIGINT)]) FROM bronze.e WHERE id NOT IN (3, 8)",
            2,
        ),
    ];
    for (query, oracle, quarantined) in cases {
        let topic = topic();
        let sql = table(&query);
        topic.run(&sql, &[]);
        assert_eq!(topic.job.rows("SELECT id FROM silver.t"), topic.job.rows(oracle), "{query}");
        assert_eq!(topic.fate("silver_t", "quarantined"), quarantined, "{query}");
        if quarantined > 0 {
            check_cuts(&topic, &sql);
        }
    }
}

#[test]
fn in_a_view_and_in_one_flow_of_two() {
    let topic = topic();
    let sql = format!(
        "{BRONZE}CREATE TEMPORARY VIEW numbers AS SELECT id, CAST(v AS INT) AS q FROM STREAM bronze_e;
         CREATE STREAMING TABLE silver_t AS SELECT id, q FROM STREAM numbers;
         CREATE FLOW more AS INSERT INTO silver_t SELECT id, m AS q FROM STREAM bronze_e;"
    );
    topic.run(&sql, &[]);
    let oracle = "SELECT id, CAST(v AS INT) FROM bronze.e WHERE id NOT IN (3, 8) UNION ALL SELECT id, m FROM bronze.e";
    assert_eq!(topic.job.rows("SELECT id, q FROM silver.t"), topic.job.rows(oracle));
    assert_eq!(topic.fate("silver_t", "quarantined"), 2);
    check_cuts(&topic, &sql);
}

#[test]
fn on_the_way_into_an_aggregate_and_above_it() {
    let group = "GROUP BY window(ts, INTERVAL '1 minute')";
    let stream = "STREAM bronze_e WATERMARK ts DELAY OF INTERVAL '5 minutes'";
    let cases = [
        // Arguments, FILTER and keys: the row does not go into the aggregate.
        (format!("SELECT sum(CAST(v AS INT)) AS s, count(*) AS n FROM {stream} {group}"), "20,10", 2, 2),
        (
            format!("SELECT count(*) FILTER (WHERE CAST(v AS INT) = 1) AS s, count(*) AS n FROM {stream} {group}"),
            "3,10",
            2,
            2,
        ),
        (
            format!(
                "SELECT max(CAST(v AS INT)) AS s, count(*) AS n FROM {stream} {group}, CAST(v AS INT) - CAST(v AS INT)"
            ),
            "3,10",
            2,
            2,
        ),
        // HAVING, and a column above the aggregate: the group's row.
        (format!("SELECT count(*) AS s, 0 AS n FROM {stream} {group} HAVING CAST(max(v) AS INT) > 0"), "", 1, 0),
        (format!("SELECT CAST(max(v) AS INT) AS s, count(*) AS n FROM {stream} {group}"), "", 1, 0),
    ];
    for (query, row, quarantined, on_the_way) in cases {
        let topic = topic();
        // The window is closed by an event that comes after it.
        topic.append(0, &[Event { minute: Some(30), v: Some("5"), ..event(13) }]);
        topic.append(1, &[Event { minute: Some(30), v: Some("5"), ..event(14) }]);
        let sql = format!("{BRONZE}CREATE STREAMING TABLE gold_t AS {query};");
        topic.run(&sql, &[]);
        let rows = if topic.job.rows_exist("gold.t") { topic.job.rows("SELECT s, n FROM gold.t") } else { Vec::new() };
        let found: Vec<&str> = rows.iter().map(String::as_str).filter(|r| !r.ends_with(",2") && *r != "2,0").collect();
        assert_eq!(found, if row.is_empty() { Vec::new() } else { vec![row] }, "{query}");
        assert_eq!(topic.fate("gold_t", "quarantined"), quarantined, "{query}");
        assert_eq!(topic.fate("gold_t", "quarantined_in"), on_the_way, "{query}");
    }
}

#[test]
fn a_late_row_that_cannot_be_computed_is_late() {
    let late = |id| Event { minute: Some(0), v: Some("x"), ..event(id) };
    let topic = Topic::new([&[Event { minute: Some(10), ..event(1) }, late(2)], &[]]);
    let query = "SELECT id, CAST(v AS INT) AS q FROM STREAM bronze_e WATERMARK ts DELAY OF INTERVAL '1 minute'";
    topic.run(&table(query), &[]);
    assert_eq!((topic.fate("silver_t", "late"), topic.fate("silver_t", "quarantined")), (1, 0));
}

#[test]
fn an_expectation_that_cannot_be_evaluated_is_told() {
    let topic = topic();
    let sql = format!(
        "{BRONZE}CREATE STREAMING TABLE silver_t (CONSTRAINT small EXPECT (CAST(v AS INT) < 9) ON VIOLATION QUARANTINE,
           CONSTRAINT fits EXPECT (id + 9223372036854775800 > 0))
         AS SELECT id, v FROM STREAM bronze_e;"
    );
    let said = topic.run(&sql, &[]);
    for part in ["expectation `small`", "expectation `fits`", "'x7' is no INT", "e/0 at offset 2", "verflow"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(topic.fate("silver_t", "quarantined"), 2);
    let place = "SELECT _topic, _partition, _offset, _error_message IS NULL FROM quarantine.silver_t";
    assert_eq!(topic.job.rows(place), ["e,0,2,true", "e,1,1,true"]);
}

#[test]
fn null_may_stand_for_what_cannot_be_computed() {
    let topic = topic();
    let sql = format!(
        "{BRONZE}CREATE STREAMING TABLE silver_t TBLPROPERTIES ('on.error' = 'null')
         AS SELECT id, CAST(v AS INT) AS q, id + 9223372036854775800 AS big FROM STREAM bronze_e WHERE 1 / (id - 1) < 5;"
    );
    let said = topic.run(&sql, &[]);
    let oracle =
        "SELECT id, TRY_CAST(v AS INT), CASE WHEN id <= 7 THEN id + 9223372036854775800 END FROM bronze.e WHERE id > 1";
    assert_eq!(topic.job.rows("SELECT id, q, big FROM silver.t"), topic.job.rows(oracle));
    assert_eq!((topic.fate("silver_t", "filtered"), topic.fate("silver_t", "quarantined")), (1, 0));
    let errors = "SELECT CAST(sum(value) AS BIGINT) FROM dq.p_metrics WHERE kind = 'error'";
    // One without a row for it, and of the others the first that fails is counted: 3 and 8 by the cast, 9 to 12 by the sum.
    assert_eq!(topic.job.value(errors), 7);
    assert!(said.contains("have NULL there"), "{said}");
}

/// A list that cannot be computed is NULL then, of which no rows come; and a condition above judges the NULL.
#[test]
fn null_may_stand_for_a_list_that_cannot_be_made_rows() {
    let topic = topic();
    let on_null = |query: &str| {
        format!("{BRONZE}CREATE STREAMING TABLE silver_t TBLPROPERTIES ('on.error' = 'null') AS {query};")
    };
    let errors = "SELECT CAST(coalesce(sum(value), 0) AS BIGINT) FROM dq.p_metrics WHERE kind = 'error'";
    for (query, rows) in [
        ("SELECT id, explode(sequence(1, 10 DIV (id - 3))) AS x FROM STREAM bronze_e WHERE id BETWEEN 3 AND 4", 10),
        (
            "SELECT id, explode_outer(sequence(1, 10 DIV (id - 3))) AS x FROM STREAM bronze_e WHERE id BETWEEN 3 AND 4",
            11,
        ),
        (
            "SELECT id, x FROM (SELECT id, explode_outer(sequence(1, 10 DIV (id - 3))) AS x FROM STREAM bronze_e
          WHERE id BETWEEN 3 AND 4) AS s WHERE x IS NOT NULL",
            10,
        ),
    ] {
        let topic = topic.again();
        topic.run(&on_null(query), &[]);
        assert_eq!(topic.job.value("SELECT count(*) FROM silver.t"), rows, "{query}");
        assert_eq!(topic.job.value(errors), 1, "{query}");
        let left_out = if query.contains("IS NOT NULL") { 1 } else { 0 };
        assert_eq!(topic.fate("silver_t", "filtered"), 10 + left_out, "{query}");
    }
}

/// A late row is late, computed or not: it is not told of as one that goes on with NULL.
#[test]
fn a_late_row_is_none_that_goes_on_with_null() {
    let at = |id, minute, v| Event { minute: Some(minute), v: Some(v), ..event(id) };
    let topic = Topic::new([&[at(1, 30, "x7"), at(2, 0, "x8"), at(3, 31, "1")], &[]]);
    topic.run(
        &format!(
            "{BRONZE}CREATE STREAMING TABLE silver_t TBLPROPERTIES ('on.error' = 'null') AS SELECT DISTINCT ON (id) id,
             CAST(v AS INT) AS q FROM STREAM bronze_e WATERMARK ts DELAY OF INTERVAL '1 minute';"
        ),
        &[],
    );
    assert_eq!(topic.job.rows("SELECT id, q IS NULL FROM silver.t"), ["1,true", "3,false"]);
    assert_eq!(topic.fate("silver_t", "late"), 1);
    assert_eq!(topic.job.value("SELECT CAST(sum(value) AS BIGINT) FROM dq.p_metrics WHERE kind = 'error'"), 1);
}

#[test]
fn the_run_may_stop_at_what_cannot_be_computed() {
    let topic = topic();
    let query = |properties: &str| {
        format!(
            "{BRONZE}CREATE STREAMING TABLE silver_t {properties} AS SELECT id, CAST(v AS INT) AS q FROM STREAM bronze_e;"
        )
    };
    for _ in 0..2 {
        let said = topic.fails(3, &query("TBLPROPERTIES ('on.error' = 'fail')"));
        for part in ["silver_t", "q: CAST(v AS INT)", "e/0 at offset 2", "x7", "on.error"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!visible_files(&topic.path("data/silver")).iter().any(|p| is_parquet(p)), "nothing is written");
    }
    topic.run(&query(""), &[]);
    assert_eq!(topic.job.value("SELECT count(*) FROM silver.t"), 10);
}

/// What fails on every row, whatever it holds, is told by `plan`.
#[test]
fn a_constant_that_cannot_be_computed_is_refused() {
    let topic = topic();
    let said = topic.fails(2, &table("SELECT id, CAST('x7' AS INT) AS q FROM STREAM bronze_e"));
    assert!(said.contains("error[bad-constant]: 'x7' is no INT") && said.contains("CAST('x7' AS INT)"), "{said}");
}

/// A batch that is run again makes the same files of the quarantine, byte for byte. Events that were appended together are one
/// batch.
#[test]
fn two_runs_give_the_same_files() {
    let bad = |id| Event { v: Some("x7"), ..event(id) };
    let one = Topic::new([&[event(1), bad(2), event(3), bad(4)], &[]]);
    let other = one.again();
    let sql = table("SELECT id, CAST(v AS INT) AS q FROM STREAM bronze_e");
    one.run(&sql, &[]);
    other.run(&sql, &[]);
    let content = |topic: &Topic| -> Vec<Vec<u8>> {
        let files = visible_files(&topic.path("data/quarantine")).into_iter().filter(|p| is_parquet(p));
        files.map(|p| std::fs::read(p).unwrap()).collect()
    };
    assert_eq!(content(&one).len(), 1);
    assert_eq!(content(&one), content(&other));
}
