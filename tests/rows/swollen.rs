//! Rows that a query makes much of, by a number that stands in them: a run that has two gigabytes of addresses goes on, and what there is no
//! room for costs its row.

use crate::topic::{Event, Topic, event};

const BRONZE: &str = "CREATE STREAMING TABLE bronze_e AS SELECT * FROM STREAM e;\n";

/// What a run has, in kibibytes: `ulimit -v`.
const ADDRESSES: u64 = 2_000_000;

const V: &str =
    "a text of a hundred characters, so that rows that are there for each element of a list take some room ";

/// What is said of a row for which there is no room.
const FULL: &str = "all that 'query.memory' allows";

/// Forty events of which little is made, `n` = 3, and so many of each of the others; `v` is a text of some length.
fn topic(others: &[(usize, i64)]) -> Topic {
    let small = std::iter::repeat_n(3, 40);
    let numbers = small.chain(others.iter().flat_map(|(count, n)| std::iter::repeat_n(*n, *count)));
    let events: Vec<Event> = (1..).zip(numbers).map(|(id, n)| Event { n, v: Some(V), ..event(id) }).collect();
    Topic::new([&events, &[]])
}

fn table(query: &str) -> String {
    format!("{BRONZE}CREATE STREAMING TABLE silver_t AS {query};")
}

/// How many rows are in quarantine of which `reason` is said.
fn quarantined(topic: &Topic, reason: &str) -> i64 {
    let reason = reason.replace('\'', "''");
    topic.job.value(&format!("SELECT count(*) FROM quarantine.silver_t WHERE strpos(_error_message, '{reason}') > 0"))
}

/// Each value is one that a row may make; all of them are two gigabytes.
#[test]
fn values_that_are_large_together() {
    // 128 MiB are room for thirteen of ten million bytes.
    let topic = topic(&[(200, 10_000_000), (1, 1_000_000_000)]);
    let sql = table("SELECT id, repeat(k, CAST(n AS INT)) AS p FROM STREAM bronze_e");
    let said = topic.run_in(ADDRESSES, &sql, &[]);
    assert!(said.contains("p: repeat(k, CAST(n AS INT))") && said.contains("e/0 at offset"), "{said}");
    let fine = "SELECT count(*), CAST(max(id) AS BIGINT), CAST(sum(length(p)) AS BIGINT) FROM silver.t";
    assert_eq!(topic.job.rows(fine), ["53,53,130000120"]);
    assert_eq!(quarantined(&topic, "a text of more than 16777216 bytes would be made"), 1);
    assert_eq!(quarantined(&topic, FULL), 187);
    assert_eq!(topic.fate("silver_t", "quarantined"), 188);
    let columns = "_topic, _partition, _offset, _error_table, _error_column";
    let place = format!("SELECT {columns} FROM quarantine.silver_t WHERE id = 241");
    assert_eq!(topic.job.rows(&place), ["e,0,240,silver_t,p"]);
    // The same batch gives the same rows.
    let other = topic.again();
    other.run(&sql, &[]);
    assert_eq!(other.job.rows(fine), topic.job.rows(fine));
    assert_eq!(quarantined(&other, FULL), 187);
    // Of which nothing is kept, and which stand in a part that is used twice, they cost no row.
    let other = topic.again();
    let length = "length(repeat(k, CAST(n AS INT)))";
    other.run_in(ADDRESSES, &table(&format!("SELECT id, {length} AS p FROM STREAM bronze_e WHERE {length} > 3")), &[]);
    assert_eq!(other.job.value("SELECT count(*) FROM silver.t"), 200);
}

#[test]
fn rows_that_become_many_rows() {
    let topic = topic(&[(60, 50_000), (1, 2_000_000), (1, 900_000)]);
    for query in [
        "SELECT id, v, explode(sequence(1, n)) AS x FROM STREAM bronze_e",
        "SELECT id, v, unnest(sequence(1, n)) AS x FROM STREAM bronze_e",
    ] {
        let topic = topic.again();
        topic.run_in(ADDRESSES, &table(query), &["--set", "query.memory=64 MiB"]);
        let small = "SELECT count(*), count(DISTINCT id) FROM silver.t WHERE id <= 40";
        assert_eq!(topic.job.rows(small), ["120,40"], "{query}");
        let counts = "SELECT id, count(*) AS n FROM silver.t WHERE id > 40 GROUP BY id";
        let cut = topic.job.value(&format!("SELECT count(*) FROM ({counts}) AS s WHERE n <> 50000"));
        assert_eq!(cut, 0, "all rows of an event, or none: {query}");
        let (long, large) = ("more than 1000000 elements", "those of one row may take");
        assert_eq!((quarantined(&topic, long), quarantined(&topic, large)), (1, 1), "{query}");
        let fit = topic.job.value("SELECT count(DISTINCT id) FROM silver.t WHERE id > 40");
        assert!(fit > 0 && fit + quarantined(&topic, FULL) == 60, "{query}: {fit} of 60");
    }
}

#[test]
fn null_may_stand_for_what_there_is_no_room_for_and_the_run_may_stop_at_it() {
    let topic = topic(&[(20, 4_000_000)]);
    let sql = |on_error: &str| {
        format!(
            "SET 'query.memory' = '16 MiB';
             {BRONZE}CREATE STREAMING TABLE silver_t TBLPROPERTIES ('on.error' = '{on_error}')
             AS SELECT id, repeat(k, CAST(n AS INT)) AS p FROM STREAM bronze_e;"
        )
    };
    let other = topic.again();
    other.run(&sql("null"), &[]);
    assert_eq!(other.job.rows("SELECT count(*), count(p) FROM silver.t"), ["60,44"]);
    let said = topic.fails(3, &sql("fail"));
    for part in ["silver_t", "p: repeat(k, CAST(n AS INT))", "e/0 at offset 44", FULL] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

/// What is seen for each element is as much as there are pairs of them.
#[test]
fn a_long_list_that_is_seen_for_each_element_of_one() {
    let mut events: Vec<Event> = (1..=40).map(event).collect();
    events[20].tags = vec!["x"; 20_000];
    let topic = Topic::new([&events, &[]]);
    let sql = "SELECT id, size(filter(tags, x -> array_contains(tags, x))) AS p FROM STREAM bronze_e";
    topic.run_in(ADDRESSES, &table(sql), &[]);
    assert_eq!(topic.job.rows("SELECT count(*), CAST(sum(p) AS BIGINT) FROM silver.t"), ["39,39"]);
    assert_eq!(quarantined(&topic, "a lambda takes too long"), 1);
    assert_eq!(topic.job.rows("SELECT id, _error_column FROM quarantine.silver_t"), ["21,p"]);
}

/// What an aggregate keeps of one group is no row: the run says which table it is of, and what to do, and does that.
#[test]
fn a_group_that_is_larger_than_the_memory_of_its_query() {
    let long: &str = "x".repeat(100_000).leak();
    let mut events: Vec<Event> = (1..=30).map(|id| Event { v: Some(long), ..event(id) }).collect();
    let end = |id| Event { minute: Some(30), ..event(id) };
    events.push(end(31));
    let topic = Topic::new([&events, &[event(32), end(33)]]);
    let sql = |memory: &str| {
        format!(
            "SET 'query.memory' = '{memory}';
             {BRONZE}CREATE STREAMING TABLE gold_t AS SELECT collect_list(v) AS l FROM STREAM bronze_e
             WATERMARK ts DELAY OF INTERVAL '5 minutes' GROUP BY window(ts, INTERVAL '1 minute');"
        )
    };
    for _ in 0..2 {
        let said = topic.fails(1, &sql("1 MiB"));
        for part in ["error[out-of-memory]", "gold_t", "'query.memory'", "for one group", "collect_list"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    topic.run(&sql("64 MiB"), &[]);
    assert_eq!(topic.job.value("SELECT CAST(max(array_length(l)) AS BIGINT) FROM gold.t"), 31);
}
