//! What Spark's answers do not show of functions that give rows, of lambdas and of JSON: event time, place in the source, messages.

use serde_json::json;

use crate::folder;
use crate::harness::{Answer, Harness, Question};

async fn answer(text: &str) -> Answer {
    Harness::new(&folder()).answer(&Question::of_line(text).unwrap()).await
}

/// Rows that come of one row have its event time and its place.
#[tokio::test]
async fn exploded_rows_keep_event_time_and_place() {
    let counted = json!([[1, 4], [2, 2], [2147483647, 1], [3, 1], [4, 1], [5, 2], [6, 1], [null, 3]]);
    let stream = "FROM inputs WATERMARK at DELAY OF INTERVAL '1 hour'";
    let window = "GROUP BY window(at, INTERVAL '1 day'), x";
    for query in [
        format!("sel: SELECT x, count(*) AS n FROM (SELECT at, explode(ia) AS x {stream}) q {window}"),
        format!("sel: SELECT x, count(*) AS n {stream} LATERAL VIEW explode(ia) t AS x {window}"),
        format!("sel: SELECT x, count(*) AS n FROM (SELECT *, explode(ia) AS x {stream}) q {window}"),
    ] {
        match answer(&query).await {
            Answer::Rows { rows, .. } => assert_eq!(json!(rows), counted, "{query}"),
            other => panic!("{query}: {other:?}"),
        }
    }
    let start = format!(
        "sel: SELECT window(at, INTERVAL '1 day').start AS s, count(*) AS n {stream} GROUP BY window(at, INTERVAL '1 day')"
    );
    match answer(&start).await {
        Answer::Rows { rows, .. } => assert_eq!(json!(rows), json!([["2024-01-01T00:00:00.000000", 8]])),
        other => panic!("{other:?}"),
    }
    let first = "sel: SELECT DISTINCT ON (x) x, id FROM inputs LATERAL VIEW explode(ia) t AS x";
    match answer(first).await {
        Answer::Rows { rows, .. } => {
            let firsts = json!([[1, 0], [2, 0], [2147483647, 4], [3, 0], [4, 7], [5, 5], [6, 7], [null, 1]]);
            assert_eq!(json!(rows), firsts);
        }
        other => panic!("{other:?}"),
    }
}

/// `text:a.b[0]` is `get_json_object(text, '$.a.b[0]')`, which Spark has an answer for; `:` it has for its VARIANT alone.
#[tokio::test]
async fn a_path_behind_a_colon_is_that_of_get_json_object() {
    for (colon, path) in [("js:a", "$.a"), ("js:arr[1]", "$.arr[1]"), ("js:b.c", "$.b.c"), ("js:b['c']", "$.b.c")] {
        let Answer::Rows { rows, .. } = answer(colon).await else { panic!("{colon} is refused") };
        let Answer::Rows { rows: wanted, .. } = answer(&format!("get_json_object(js, '{path}')")).await else {
            panic!("{path} is refused")
        };
        assert_eq!(rows, wanted, "{colon}");
        assert!(rows.iter().any(|row| !row.is_null()), "{colon} is always NULL");
    }
    let nested = r#"get_json_object(js, '$.arr'):[0]"#;
    let text = r#"concat('{"n":{"k":[{"z":"', s, '"},{"z":7}]},"js":', js, '}')"#;
    for (path, wanted) in [("n.k[1].z", "7"), ("n.k[1].z::string", "7"), ("js.arr[2]::int", "3")] {
        let Answer::Rows { rows, .. } = answer(&format!("({text}):{path}")).await else { panic!("{path} is refused") };
        assert_eq!(rows[0].to_string().trim_matches('"'), wanted, "{path}");
    }
    assert!(matches!(answer(nested).await, Answer::Rows { .. }), "{nested}");
}

/// The place of a column of a LATERAL VIEW in `*`, and structs taken apart.
#[tokio::test]
async fn all_columns_are_those_of_the_table_and_then_of_the_views() {
    let query = "sel: SELECT * FROM (SELECT id, ia FROM inputs) q LATERAL VIEW posexplode(ia) t AS p, x WHERE id = 0";
    match answer(query).await {
        Answer::Rows { names, rows, .. } => {
            assert_eq!(names, ["id", "ia", "p", "x"]);
            assert_eq!(rows.len(), 3);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_refused_says_what_to_write() {
    for (query, advice) in [
        ("js->'a'", "such as transform"),
        ("explode(ia) + 1", "stands alone"),
        ("sel: SELECT id, x FROM inputs, LATERAL explode(ia) AS t(x)", "LATERAL VIEW explode"),
        ("sel: SELECT id, b FROM inputs LATERAL VIEW inline(sta) t", "is a column already"),
        ("sel: SELECT explode(collect_list(i)) AS x FROM inputs GROUP BY id", "subquery"),
        ("sel: SELECT id, explode(i) AS x FROM inputs", "an array or a map is wanted"),
        ("sel: SELECT id, explode(m) AS x FROM inputs", "key, value"),
        ("transform(ia)", "write transform(array, x -> ...)"),
        ("array_first(ia, x -> x > 1)", "array_first"),
        ("filter(ia, x -> x + 1)", "its lambda is a condition"),
        ("aggregate(ia, 'a', (sum, x) -> x)", "cast one of them"),
        ("from_json(js, s)", "the schema is written out"),
        ("from_json(js, 'a NOTHING')", "NOTHING"),
        ("from_json(js, 'a INT', map('timestampFormat', 'dd'))", "timestampFormat"),
        ("schema_of_json(js)", "written out"),
        ("i:a", "JSON text"),
        ("element_at(m, 1)", "keys are STRING, this is INT"),
        ("agg: percentile(y, 1.5)", "between 0 and 1"),
        ("agg: max(m)", "maps have no order"),
    ] {
        match answer(query).await {
            Answer::Refused(message) => assert!(message.contains(advice), "{query}: {message}"),
            other => panic!("{query}: {other:?}"),
        }
    }
}
