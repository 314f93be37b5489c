//! A pipeline reads what another has made, by a topic of the embedded log: no broker, no registry.

mod support;

use support::Workspace;

const COLUMNS: &str = "event_id, region, amount, event_time";

/// Writes the rows that it keeps to two topics, too.
fn first() -> String {
    format!(
        "CREATE TABLE sales USING kafka OPTIONS ('subscribe' = 'sales.events.v1', 'startingOffsets' = 'earliest',
           'maxOffsetsPerTrigger' = '300');
         CREATE STREAMING TABLE bronze_kept AS SELECT {COLUMNS} FROM STREAM sales;
         CREATE STREAMING TABLE as_json USING kafka TBLPROPERTIES ('topic' = 'clean.json', 'key.columns' = 'region')
         AS SELECT {COLUMNS} FROM STREAM sales;
         CREATE STREAMING TABLE as_avro USING kafka TBLPROPERTIES ('topic' = 'clean.avro', 'value.format' = 'avro')
         AS SELECT {COLUMNS} FROM STREAM bronze_kept;"
    )
}

/// Reads both.
fn second() -> String {
    format!(
        "CREATE TABLE j (event_id STRING, region STRING, amount DECIMAL(12, 2), event_time TIMESTAMP)
         USING kafka OPTIONS ('subscribe' = 'clean.json', 'value.format' = 'json', 'key.format' = 'text');
         CREATE TABLE a USING kafka OPTIONS ('subscribe' = 'clean.avro', 'value.format' = 'avro');
         CREATE STREAMING TABLE bronze_json AS SELECT {COLUMNS}, key FROM STREAM j;
         CREATE STREAMING TABLE bronze_avro AS SELECT {COLUMNS} FROM STREAM a;"
    )
}

fn run(job: &Workspace, pipeline: &str) {
    job.ok(&["run", pipeline, "--trigger", "available-now"]);
}

fn same(job: &Workspace, step: &str) {
    let rows = |table: &str| job.rows(&format!("SELECT {COLUMNS} FROM {table}"));
    let kept = rows("bronze.kept");
    assert!(kept.len() > 900, "{step}: {}", kept.len());
    for table in ["bronze.json", "bronze.avro"] {
        assert_eq!(rows(table), kept, "{step}: {table}");
    }
}

#[test]
fn what_one_pipeline_appends_another_reads_once() {
    let job = Workspace::new();
    job.produce(1_000, 3);
    job.write("first.sql", &first());
    job.write("second.sql", &second());
    let early = job.fails(2, &["plan", "second.sql"]);
    assert!(early.contains("clean.json"), "{early}");
    job.ok(&["plan", "first.sql"]);
    assert!(!job.path().join("data/.log/clean.json").exists(), "a plan makes no topic");
    run(&job, "first.sql");
    run(&job, "second.sql");
    same(&job, "at first");
    assert_eq!(job.value("SELECT count(*) FROM bronze.json WHERE key IS DISTINCT FROM region"), 0);
    // Nothing new: neither appends anything.
    run(&job, "first.sql");
    run(&job, "second.sql");
    same(&job, "once more");
    job.produce_now(500, 4);
    run(&job, "first.sql");
    run(&job, "second.sql");
    same(&job, "with more events");
    for checkpoint in ["checkpoints/first", "checkpoints/second"] {
        job.ok(&["checkpoint", "verify", checkpoint]);
    }
}
