//! Late rows are kept as the stream had them, with their place, so that they can be added later.

use crate::topic::{Event, Topic, event};

const BRONZE: &str = "CREATE STREAMING TABLE bronze_e AS SELECT * FROM STREAM e;\n";

/// In each partition an event at minute 10, then one that is late by it, one that is not, and one more that is late.
fn topic() -> Topic {
    let at = |id, minute, v, tags: &[&'static str]| Event {
        minute: Some(minute),
        v: Some(v),
        tags: tags.to_vec(),
        ..event(id)
    };
    Topic::new([
        &[at(1, 10, "1", &["x"]), at(2, 0, "2", &["y", "z"]), at(3, 10, "3", &[]), at(4, 1, "nine", &["y", "y"])],
        &[at(5, 20, "1", &["x"]), at(6, 9, "2", &["z"]), at(7, 20, "3", &["x"]), at(8, 2, "4", &["x"])],
    ])
}

const LATE: &str = "(2, 4, 6, 8)";

/// Runs a table `silver_t`; its late rows must be those of bronze where `condition` holds.
fn check(sql: &str, condition: &str) -> Topic {
    let topic = topic();
    topic.run(&format!("{BRONZE}{sql}"), &[]);
    let columns = "id, ts, k, v, n, m, tags, _topic, _partition, _offset, _key, _schema_id";
    let bronze = topic.job.rows(&format!("SELECT {columns} FROM bronze.e WHERE {condition}"));
    assert_eq!(topic.job.rows(&format!("SELECT {columns} FROM late.silver_t")), bronze, "{sql}");
    assert_eq!(topic.fate("silver_t", "late"), i64::try_from(bronze.len()).unwrap(), "{sql}");
    topic
}

#[test]
fn they_have_all_columns_of_the_stream_whatever_the_query_is() {
    let stream = "STREAM bronze_e WATERMARK ts DELAY OF INTERVAL '5 minutes'";
    let all = format!("id IN {LATE}");
    for query in [
        format!("SELECT k AS what FROM {stream}"),
        format!("SELECT DISTINCT ON (id) CAST(v AS INT) AS q FROM {stream}"),
        format!("SELECT window.start AS s, sum(n) AS total FROM {stream} GROUP BY window(ts, INTERVAL '1 minute')"),
        // A row that becomes several was one row.
        format!("SELECT unnest(tags) AS tag FROM {stream}"),
    ] {
        check(&format!("CREATE STREAMING TABLE silver_t AS {query};"), &all);
    }
    // What WHERE leaves out is filtered.
    let topic = check(
        &format!("CREATE STREAMING TABLE silver_t AS SELECT v FROM {stream} WHERE id <> 4;"),
        &format!("{all} AND id <> 4"),
    );
    assert_eq!(topic.fate("silver_t", "filtered"), 1);
}

/// Of one event there may be several rows above the clause, of which WHERE leaves out some.
#[test]
fn of_several_rows_of_one_event_those_that_came_through_are_kept() {
    let topic = topic();
    let sql = format!(
        "{BRONZE}CREATE STREAMING TABLE bronze_tags AS SELECT id, ts, unnest(tags) AS tag FROM STREAM bronze_e;
         CREATE STREAMING TABLE silver_t AS SELECT id FROM STREAM bronze_tags WATERMARK ts DELAY OF INTERVAL '5 minutes'
           WHERE tag <> 'y';"
    );
    topic.run(&sql, &[]);
    let late = topic.job.rows("SELECT id, tag, _topic, _partition, _offset, _late FROM late.silver_t");
    assert_eq!(late, ["2,z,e,0,1,partition", "6,z,e,1,1,partition", "8,x,e,1,3,partition"]);
    assert_eq!((topic.fate("silver_t", "late"), topic.fate("silver_t", "filtered")), (3, 3));
}

#[test]
fn of_several_clauses_the_columns_of_all_streams_are_there() {
    let topic = topic();
    let sql = format!(
        "{BRONZE}CREATE STREAMING TABLE bronze_b AS SELECT id, ts, CAST(n AS STRING) AS n, 'b' AS only_b FROM STREAM e;
         CREATE STREAMING TABLE silver_t AS
           SELECT id FROM STREAM bronze_e WATERMARK ts DELAY OF INTERVAL '5 minutes'
           UNION ALL SELECT id FROM STREAM bronze_b WATERMARK ts DELAY OF INTERVAL '5 minutes' WHERE id > 2;"
    );
    topic.run(&sql, &[]);
    let late = topic.job.rows("SELECT id, n, bronze_b_n, only_b, _offset FROM late.silver_t");
    assert_eq!(late, ["2,1,,,1", "4,,1,b,3", "4,1,,,3", "6,,1,b,1", "6,1,,,1", "8,,1,b,3", "8,1,,,3"]);
}
