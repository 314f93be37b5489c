//! What stands beside the tables lies under the pipeline's name: two pipelines in one folder do not meet there.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use support::Workspace;

fn pipeline(name: &str) -> String {
    format!(
        "SET 'pipeline.name' = '{name}';
         CREATE TABLE sales_events USING kafka OPTIONS ('subscribe' = 'sales.events.v1', 'startingOffsets' = 'earliest');
         CREATE STREAMING TABLE kept (CONSTRAINT few EXPECT (quantity < 3) ON VIOLATION QUARANTINE)
           LOCATION 'data/{name}/kept' AS SELECT DISTINCT ON (event_id) * FROM STREAM sales_events
           WATERMARK event_time DELAY OF INTERVAL '0 seconds';"
    )
}

#[test]
fn two_pipelines_in_one_folder_may_have_sources_and_tables_of_one_name() {
    let job = Workspace::new();
    job.ok(&["produce", "sales", "--events", "600", "--malformed", "0.1", "--late", "0.2"]);
    for name in ["one", "two"] {
        job.write(&format!("{name}.sql"), &pipeline(name));
        job.ok(&["run", &format!("{name}.sql"), "--trigger", "available-now"]);
        let said = job.ok(&["checkpoint", "verify", &format!("checkpoints/{name}")]);
        assert!(said.contains("agree"), "{said}");
    }
    for (layer, table) in [("dead_letters", "sales_events"), ("late", "kept"), ("quarantine", "kept")] {
        let count = |pipeline: &str| job.value(&format!("SELECT count(*) FROM {layer}.{pipeline}_{table}"));
        assert!(count("one") > 0, "{layer}");
        assert_eq!(count("one"), count("two"), "{layer}");
        assert!(job.path().join(format!("data/{layer}/two/{table}")).is_dir());
    }
    // A full refresh of one leaves the other's alone.
    std::fs::remove_dir_all(job.path().join("data/.log")).unwrap();
    job.produce(5, 1);
    job.ok(&["run", "one.sql", "--trigger", "available-now", "--full-refresh"]);
    assert!(job.value("SELECT count(*) FROM dead_letters.sales_events") > 0, "those of pipeline two alone are left");
    assert!(job.ok(&["checkpoint", "verify", "checkpoints/two"]).contains("agree"));
}
