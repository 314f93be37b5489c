//! The job on the README's first page, against plain batch queries over what it read.
#![expect(clippy::expect_used, reason = "a test may stop at the first surprise")]

mod support;

use sluicebox_checkpoint::Checkpoint;
use sluicebox_core::{Clock, SystemClock};
use support::{Workspace, assert_same};

/// Silver as a batch query: the first copy of each key among the valid rows that are in no side output for lateness.
/// The topic's key is the account, so copies of an event are in one partition and its offsets order them.
const SILVER: &str = "
    WITH candidates AS (
      SELECT b.* FROM bronze.sales b
      WHERE NOT EXISTS (SELECT 1 FROM late.silver_sales l WHERE l._partition = b._partition AND l._offset = b._offset)
        AND event_id IS NOT NULL AND region IN ('NA', 'EMEA', 'APAC', 'LATAM')
        AND plan_tier IN ('free', 'pro', 'enterprise') AND currency IN ('USD', 'EUR', 'GBP') AND amount >= 0),
    numbered AS (SELECT *, row_number() OVER (PARTITION BY event_id ORDER BY _partition, _offset) AS n FROM candidates)
    SELECT event_id, event_time, region, plan_tier, amount, _partition, _offset FROM numbered WHERE n = 1";

/// Lateness as a batch query: behind the running maximum of the partition's earlier event times, less ten minutes.
const LATE: &str = "
    WITH seen AS (
      SELECT _partition, _offset, event_time,
             max(event_time) OVER (PARTITION BY _partition ORDER BY _offset
                                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
      FROM bronze.sales)
    SELECT _partition, _offset FROM seen WHERE event_time <= before - INTERVAL '10 minutes'";

/// Gold as a batch query over silver, windows that the final watermark has closed.
const GOLD: &str = "
    SELECT w AS window_start, w + 300 AS window_end, region, plan_tier, sum(amount) AS revenue, count(*) AS event_count
    FROM (SELECT floor(extract(epoch FROM event_time) / 300) * 300 AS w, * FROM silver.sales) AS binned
    WHERE w + 300 <= (SELECT max(extract(epoch FROM event_time)) - 600 FROM bronze.sales)
    GROUP BY w, region, plan_tier";

#[test]
fn every_table_equals_a_batch_query_over_what_was_read() {
    let job = Workspace::new();
    job.produce(30_000, 7);
    job.run_to_end(&["--set", "sales_events.maxOffsetsPerTrigger=4000"]);

    let read =
        job.value("SELECT count(*) FROM bronze.sales") + job.value("SELECT count(*) FROM dead_letters.sales_events");
    assert_eq!(read, 30_000, "every event is a row or a dead letter");
    assert_eq!(job.rows(LATE), job.rows("SELECT _partition, _offset FROM late.silver_sales"), "late rows");
    let columns = "event_id, event_time, region, plan_tier, amount, _partition, _offset";
    assert_eq!(job.rows(SILVER), job.rows(&format!("SELECT {columns} FROM silver.sales")), "silver");
    let columns = "floor(extract(epoch FROM window_start)), floor(extract(epoch FROM window_end)), region, plan_tier, \
                   revenue, event_count";
    let gold = job.rows(&format!("SELECT {columns} FROM gold.revenue_5m"));
    assert!(gold.len() > 200, "{} gold rows", gold.len());
    assert_eq!(job.rows(GOLD), gold, "gold");
}

#[test]
fn the_tables_do_not_depend_on_how_the_topic_is_cut_into_batches() {
    let whole = Workspace::new();
    whole.produce(20_000, 11);
    whole.run_to_end(&[]);
    let expected = whole.tables();
    assert_eq!(expected.len(), support::TABLES.len());
    for limits in [["--set", "sales_events.maxOffsetsPerTrigger=777"], ["--set", "batch.bytes=64 KiB"]] {
        let cut = Workspace::with_log_of(&whole);
        cut.run_to_end(&limits);
        let batches = cut.value("SELECT count(DISTINCT batch_id) FROM dq.revenue_5m_metrics");
        assert!(batches > 10, "{limits:?} gave {batches} batches");
        assert_same(&expected, &cut.tables());
    }
}

#[test]
fn a_second_run_goes_on_where_the_first_ended() {
    let whole = Workspace::new();
    whole.produce(8_000, 3);
    let parts = Workspace::with_log_of(&whole);
    whole.run_to_end(&[]);
    // Nothing new: nothing is written, nothing is lost.
    let before = whole.tables();
    whole.run_to_end(&[]);
    assert_same(&before, &whole.tables());

    let mut run = parts.start(&["run", "sql/gold_revenue.sql", "--set", "sales_events.maxOffsetsPerTrigger=500"]);
    let commits = parts.path().join("checkpoints/revenue_5m/commits");
    while std::fs::read_dir(&commits).map_or(0, Iterator::count) < 3 {
        assert!(run.try_wait().expect("a state").is_none(), "the run ended by itself");
        std::thread::yield_now();
    }
    run.kill().expect("killed");
    run.wait().expect("ended");
    parts.run_to_end(&[]);
    assert_same(&before, &parts.tables());
    parts.ok(&["checkpoint", "verify", "checkpoints/revenue_5m"]);
}

/// The buffer holds no more than one batch may take, so a batch of a backlog takes all that is buffered and hits no limit: it
/// is what was in the log when the trigger fired that says whether the run has caught up. All of it is read then.
#[test]
fn a_backlog_is_caught_up_with_before_the_trigger_waits() {
    let job = Workspace::new();
    job.produce(20_000, 13);
    let mut run = job.start(&["run", "sql/gold_revenue.sql", "--trigger", "1 hour", "--set", "batch.bytes=64 KiB"]);
    let commits = job.path().join("checkpoints/revenue_5m/commits");
    let clock = SystemClock::new();
    // Each event is read, whatever becomes of it. A commit has another name while it is written.
    let number = |entry: std::io::Result<std::fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse::<u64>().ok();
    let newest = || std::fs::read_dir(&commits).ok()?.filter_map(number).max();
    let read = |commit: u64| {
        let text = std::fs::read_to_string(commits.join(commit.to_string())).ok()?;
        let commit: serde_json::Value = serde_json::from_str(text.split_once('\n')?.1).ok()?;
        commit["positions"].as_array()?.iter().map(|position| position["offset"].as_u64()).sum::<Option<u64>>()
    };
    let catches_up = || newest().and_then(read) == Some(20_000);
    while !catches_up() && clock.monotonic().as_secs() < 120 {
        assert!(run.try_wait().expect("a state").is_none(), "the run ended by itself");
        std::thread::yield_now();
    }
    run.kill().expect("killed");
    run.wait().expect("ended");
    assert!(catches_up(), "the run waited for its trigger with a backlog before it: {:?}", newest().and_then(read));
    assert!(newest() >= Some(20), "in some forty batches, not {:?}", newest());
    let whole = Workspace::with_log_of(&job);
    whole.run_to_end(&[]);
    job.run_to_end(&[]);
    assert_same(&whole.tables(), &job.tables());
}

/// Batches that may take fewer offsets than there are partitions take them from one after the other, by their numbers.
#[test]
fn every_partition_has_its_turn_where_a_batch_takes_one_offset() {
    let job = Workspace::new();
    job.produce(80, 17);
    job.run_to_end(&["--set", "sales_events.maxOffsetsPerTrigger=1"]);
    let checkpoint = Checkpoint::new(job.path().join("checkpoints/revenue_5m"));
    let mut turns: Vec<i32> = Vec::new();
    for batch in checkpoint.commit_ids().expect("commits") {
        let plan = checkpoint.offsets(batch).expect("a plan");
        turns.extend(plan.ranges.iter().filter(|r| !r.range.is_empty()).map(|r| r.partition.partition));
    }
    assert_eq!(turns.len(), 80, "each event is a batch of its own: {turns:?}");
    for partition in 0..3 {
        let (all, first) = (turns.iter(), turns.iter().take(12));
        assert!(all.filter(|turn| **turn == partition).count() > 12, "{partition} has a backlog: {turns:?}");
        assert!(first.filter(|turn| **turn == partition).count() > 1, "{partition} waits for the others: {turns:?}");
    }
}

#[test]
fn partition_values_that_are_null_are_null_to_a_query() {
    let job = Workspace::new();
    let text = std::fs::read_to_string(job.path().join("sql/gold_revenue.sql")).expect("the pipeline");
    let (sources, _) = text.split_once("CREATE STREAMING TABLE silver_sales").expect("silver");
    let sql = format!(
        "{sources} CREATE STREAMING TABLE silver_small PARTITIONED BY (day) AS
         SELECT event_id, CASE WHEN region = 'EMEA' THEN NULL ELSE CAST(event_time AS DATE) END AS day FROM STREAM bronze_sales;"
    );
    job.write("sql/gold_revenue.sql", &sql);
    job.produce(1_000, 5);
    job.run_to_end(&[]);
    let nulls = job.value("SELECT count(*) FROM silver.small WHERE day IS NULL");
    assert_eq!(nulls, job.value("SELECT count(*) FROM bronze.sales WHERE region = 'EMEA'"));
    assert!(nulls > 100, "{nulls}");
    let days = job.value("SELECT count(*) FROM silver.small WHERE day >= DATE '2020-01-01'");
    assert_eq!(days + nulls, job.value("SELECT count(*) FROM silver.small"));
}
