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
        ("filter(ia, x -> x + 1)", "its lambda is a condition"),
        ("aggregate(ia, 'a', (sum, x) -> x)", "cast one of them"),
        ("from_json(js, s)", "the schema is written out"),
        ("from_json(js, 'a NOTHING')", "NOTHING"),
        ("from_json(js, 'a INT', map('timestampFormat', 'dd'))", "timestampFormat"),
        ("schema_of_json(js)", "written out"),
        ("i:a", "JSON text"),
        ("element_at(m, 1)", "string holds no int"),
        ("agg: percentile(y, 1.5)", "between 0 and 1"),
        ("agg: max(m)", "maps have no order"),
    ] {
        match answer(query).await {
            Answer::Refused(message) => assert!(message.contains(advice), "{query}: {message}"),
            other => panic!("{query}: {other:?}"),
        }
    }
}
