//! What the command line promises: exit codes, messages that name the place and the way out, and nothing lost.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use support::Workspace;

const GOLD: &str = "sql/gold_revenue.sql";

#[test]
fn a_wrong_pipeline_is_refused_before_anything_is_written() {
    let job = Workspace::new();
    let text = std::fs::read_to_string(job.path().join(GOLD)).unwrap();
    job.write("wrong.sql", &text.replace("sum(amount)", "sum(amuont)"));
    job.produce(10, 1);
    let said = job.fails(2, &["run", "wrong.sql"]);
    assert!(said.contains("amuont") && said.contains("amount") && said.contains("wrong.sql:"), "{said}");
    assert!(!job.path().join("checkpoints").exists());
    assert!(!job.path().join("data/bronze").exists());

    let said = job.fails(2, &["run", "no_such.sql"]);
    assert!(said.contains("no_such.sql"), "{said}");
    let said = job.fails(2, &["run", GOLD, "--trigger", "now and then"]);
    assert!(said.contains("available-now"), "{said}");
}

#[test]
fn without_broker_and_events_the_way_out_is_named() {
    let said = Workspace::new().fails(2, &["run", GOLD]);
    assert!(said.contains("KAFKA_BOOTSTRAP_SERVERS") && said.contains("sluicebox produce"), "{said}");
}

#[test]
fn a_second_run_on_a_living_checkpoint_is_refused() {
    let job = Workspace::new();
    job.produce(2_000, 1);
    let mut first = job.start(&["run", GOLD]);
    while !job.path().join("checkpoints/revenue_5m/commits/0").exists() {
        assert!(first.try_wait().unwrap().is_none());
        std::thread::yield_now();
    }
    let said = job.fails(1, &["run", GOLD, "--trigger", "available-now"]);
    assert!(said.contains(&first.id().to_string()) && said.contains("--take-over"), "{said}");
    first.kill().unwrap();
    first.wait().unwrap();
    job.run_to_end(&[]);
}

#[test]
fn fail_update_stops_the_run_with_its_own_code_and_writes_nothing_of_the_batch() {
    let job = Workspace::new();
    let text = std::fs::read_to_string(job.path().join(GOLD)).unwrap();
    job.write("strict.sql", &text.replacen("ON VIOLATION QUARANTINE", "ON VIOLATION FAIL UPDATE", 1));
    job.produce(5_000, 1);
    let said = job.fails(3, &["run", "strict.sql", "--trigger", "available-now"]);
    assert!(said.contains("has_event_id") && said.contains("silver_sales"), "{said}");
    assert!(!job.rows_exist("bronze.sales"), "bronze belongs to the same batch");
    let samples = job.path().join("data/dq/revenue_5m/failed/silver_sales.has_event_id.json");
    assert!(std::fs::read_to_string(samples).unwrap().contains("event_id"));
}

#[test]
fn a_damaged_or_missing_checkpoint_file_stops_the_run_with_its_name() {
    let job = Workspace::new();
    job.produce(3_000, 1);
    job.run_to_end(&["--set", "sales_events.maxOffsetsPerTrigger=1000"]);
    let before = job.tables();
    let checkpoint = job.path().join("checkpoints/revenue_5m");
    let newest = std::fs::read_dir(checkpoint.join("commits"))
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().parse::<u64>().unwrap())
        .max()
        .unwrap();
    for name in ["metadata".to_owned(), format!("commits/{newest}"), format!("offsets/{newest}")] {
        let path = checkpoint.join(&name);
        let content = std::fs::read(&path).unwrap();

        // Without its newest commit a checkpoint is one whose last batch did not happen: that is no damage.
        if !name.starts_with("commits/") {
            std::fs::remove_file(&path).unwrap();
            let said = job.fails(1, &["run", GOLD, "--trigger", "available-now"]);
            assert!(said.contains(&name) && said.contains("--full-refresh"), "{name} removed: {said}");
        }

        let mut flipped = content.clone();
        let at = flipped.len() / 2;
        flipped[at] ^= 0x20;
        std::fs::write(&path, &flipped).unwrap();
        let said = job.fails(1, &["run", GOLD, "--trigger", "available-now"]);
        assert!(said.contains(&name) && said.contains("damaged"), "{name} flipped: {said}");

        std::fs::write(&path, &content).unwrap();
    }
    job.run_to_end(&[]);
    support::assert_same(&before, &job.tables());
}

#[test]
fn tables_without_their_checkpoint_are_never_written_again_from_zero() {
    let job = Workspace::new();
    job.produce(1_000, 1);
    job.run_to_end(&[]);
    let before = job.tables();
    std::fs::remove_dir_all(job.path().join("checkpoints")).unwrap();
    let said = job.fails(2, &["run", GOLD, "--trigger", "available-now"]);
    assert!(said.contains("data/") && said.contains("--full-refresh --take-tables"), "{said}");
    support::assert_same(&before, &job.tables());
}

#[test]
fn a_full_refresh_gives_the_same_tables_again() {
    let job = Workspace::new();
    job.produce(3_000, 1);
    job.run_to_end(&[]);
    let before = job.tables();
    job.run_to_end(&["--full-refresh"]);
    support::assert_same(&before, &job.tables());
    let shown = job.ok(&["checkpoint", "show", "checkpoints/revenue_5m"]);
    assert!(shown.contains("generation 2"), "{shown}");
    job.ok(&["checkpoint", "verify", "checkpoints/revenue_5m"]);
}

#[test]
fn progress_has_the_keys_of_spark() {
    let job = Workspace::new();
    job.produce(1_000, 1);
    let lines = job.run_to_end(&["--progress", "json"]);
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    for key in [
        "id",
        "runId",
        "name",
        "timestamp",
        "batchId",
        "batchDuration",
        "numInputRows",
        "processedRowsPerSecond",
        "durationMs",
        "eventTime",
        "stateOperators",
        "sources",
        "sink",
        "observedMetrics",
    ] {
        assert!(first.get(key).is_some(), "no {key} in {first}");
    }
    let read: u64 = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["numInputRows"].as_u64().unwrap())
        .sum();
    assert_eq!(read, 1000);
    assert!(first["observedMetrics"]["silver_sales"]["failed_known_region"].is_u64(), "{first}");
}
