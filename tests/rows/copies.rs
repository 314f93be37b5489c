//! DISTINCT and UNION above UNION ALL and unnest, and in one flow of two: copies are taken out, counted, and stop nothing.

use crate::topic::{Event, START, Topic, event};

const BRONZE: &str = "CREATE STREAMING TABLE bronze_e AS SELECT * FROM STREAM e;\n";

fn topic() -> Topic {
    let one = |id, k, tags: &[&'static str], minute| Event { k, tags: tags.to_vec(), minute, ..event(id) };
    Topic::new([
        &[one(1, "a", &["x", "y", "x"], Some(0)), one(2, "b", &["y"], None), one(3, "a", &[], Some(1))],
        &[one(4, "c", &["z", "z"], Some(2)), one(5, "b", &["x"], Some(3))],
    ])
}

/// Runs a table `silver_t` of `query`; its rows must be what `oracle` gives over bronze. Gives its topic.
fn check(flows: &str, oracle: &str) -> Topic {
    let topic = topic();
    topic.run(&format!("{BRONZE}{flows}"), &[]);
    assert_eq!(topic.job.rows("SELECT k FROM silver.t"), topic.job.rows(oracle), "{flows}");
    topic
}

fn table(query: &str) -> String {
    format!("CREATE STREAMING TABLE silver_t AS {query};")
}

#[test]
fn distinct_above_union_all_counts_its_copies() {
    let both = "SELECT k FROM STREAM bronze_e UNION ALL SELECT k FROM STREAM bronze_e";
    let topic = check(&table(&format!("SELECT DISTINCT k FROM ({both}) AS u")), "SELECT DISTINCT k FROM bronze.e");
    assert_eq!((topic.fate("silver_t", "rows_out"), topic.fate("silver_t", "duplicate")), (10, 7));
    // On its way to the table there may be more.
    let query = format!("SELECT k FROM (SELECT DISTINCT k FROM ({both}) AS u) AS d WHERE k <> 'a'");
    let topic = check(&table(&query), "SELECT DISTINCT k FROM bronze.e WHERE k <> 'a'");
    assert_eq!((topic.fate("silver_t", "rows_out"), topic.fate("silver_t", "duplicate_in")), (2, 7));
}

#[test]
fn union_counts_its_copies() {
    let query = "SELECT k FROM STREAM bronze_e UNION SELECT v AS k FROM STREAM bronze_e";
    let topic = check(&table(query), "SELECT k FROM bronze.e UNION SELECT v FROM bronze.e");
    assert_eq!(topic.fate("silver_t", "duplicate"), 6);
}

#[test]
fn what_where_leaves_out_is_counted_where_a_row_becomes_several_or_is_of_several() {
    // Events 1, 2, 3 and 5 have other than 'c', with 3, 1, 0 and 1 tags; 'x' is the tag of three elements.
    let query = "SELECT k FROM (SELECT k, unnest(tags) AS t FROM STREAM bronze_e WHERE k <> 'c') AS u WHERE t <> 'x'";
    let oracle = "SELECT k FROM (SELECT k, unnest(tags) AS t FROM bronze.e WHERE k <> 'c') AS u WHERE t <> 'x'";
    let topic = check(&table(query), oracle);
    assert_eq!((topic.fate("silver_t", "filtered"), topic.fate("silver_t", "filtered_in")), (1 + 3, 1 + 3));
    let query = "SELECT k FROM STREAM bronze_e WHERE k = 'a' UNION ALL SELECT k FROM STREAM bronze_e WHERE id > 4";
    let topic =
        check(&table(query), "SELECT k FROM bronze.e WHERE k = 'a' UNION ALL SELECT k FROM bronze.e WHERE id > 4");
    assert_eq!((topic.fate("silver_t", "filtered"), topic.fate("silver_t", "written")), (3 + 4, 2 + 1));
}

#[test]
fn distinct_above_unnest_counts_its_copies() {
    let query = "SELECT DISTINCT k FROM (SELECT unnest(tags) AS k FROM STREAM bronze_e) AS u";
    let oracle = "SELECT DISTINCT k FROM (SELECT unnest(tags) AS k FROM bronze.e) AS u";
    let topic = check(&table(query), oracle);
    assert_eq!(
        topic.fate("silver_t", "written") + topic.fate("silver_t", "duplicate"),
        topic.fate("silver_t", "rows_out")
    );
}

#[test]
fn a_row_without_event_time_is_filtered_by_a_last_distinct_above_union_all() {
    let stream = "SELECT k, ts FROM STREAM bronze_e WATERMARK ts DELAY OF INTERVAL '10 minutes'";
    let query = format!("SELECT DISTINCT ON (k) k FROM ({stream} UNION ALL {stream}) AS u");
    let topic = check(&table(&query), "SELECT DISTINCT k FROM bronze.e WHERE ts IS NOT NULL");
    assert_eq!((topic.fate("silver_t", "filtered"), topic.fate("silver_t", "filtered_in")), (2, 0));
}

#[test]
fn one_flow_of_two_may_deduplicate() {
    let flows = "CREATE STREAMING TABLE silver_t AS SELECT DISTINCT ON (k) k FROM STREAM bronze_e;
                 CREATE FLOW more AS INSERT INTO silver_t SELECT k FROM STREAM bronze_e UNION ALL SELECT v AS k FROM STREAM bronze_e;";
    let oracle = "SELECT DISTINCT k FROM bronze.e UNION ALL SELECT k FROM bronze.e UNION ALL SELECT v FROM bronze.e";
    let topic = check(flows, oracle);
    assert_eq!(topic.fate("silver_t", "duplicate"), 2);
}

#[test]
fn what_a_second_flow_takes_out_on_its_way_is_counted_there() {
    let stream = "SELECT k, ts FROM STREAM bronze_e WATERMARK ts DELAY OF INTERVAL '10 minutes'";
    let flows = format!(
        "CREATE STREAMING TABLE silver_t AS SELECT k FROM STREAM bronze_e;
         CREATE FLOW more AS INSERT INTO silver_t
           SELECT k FROM (SELECT DISTINCT ON (k) k FROM ({stream} UNION ALL {stream}) AS u) AS d WHERE k <> 'c';"
    );
    let oracle = "SELECT k FROM bronze.e UNION ALL SELECT DISTINCT k FROM bronze.e WHERE ts IS NOT NULL AND k <> 'c'";
    let topic = check(&flows, oracle);
    let [out, duplicate, duplicate_in, filtered, filtered_in] =
        ["rows_out", "duplicate", "duplicate_in", "filtered", "filtered_in"].map(|fate| topic.fate("silver_t", fate));
    // Of ten rows two have no event time; of the other eight three are no copies, one of which WHERE leaves out.
    assert_eq!((out, duplicate, duplicate_in, filtered, filtered_in), (5 + 2, 5, 5, 2 + 1, 2 + 1));
}

#[test]
fn a_row_before_all_windows_is_filtered_on_its_way_to_windows_over_windows() {
    let at = |id, n| Event { n, ..event(id) };
    let later = START + 3 * 3_600_000_000;
    let topic = Topic::new([&[at(1, i64::MIN), at(2, START), at(3, later)], &[at(4, later)]]);
    topic.run(
        "CREATE STREAMING TABLE bronze_t AS SELECT k, timestamp_micros(n) AS happened FROM STREAM e;
         CREATE STREAMING TABLE silver_t AS SELECT w.start AS s, sum(c) AS c FROM (
           SELECT window, count(*) AS c FROM STREAM bronze_t WATERMARK happened DELAY OF INTERVAL '10 minutes'
           GROUP BY window(happened, INTERVAL '5 minutes'))
         GROUP BY window(window, INTERVAL '30 minutes') AS w;",
        &[],
    );
    // The window of the last events is open.
    assert_eq!(topic.job.rows("SELECT c FROM silver.t"), ["1"]);
    let fates = ["filtered", "filtered_in", "filtered_null_event_time"].map(|fate| topic.fate("silver_t", fate));
    assert_eq!(fates, [1, 1, 0]);
}
