//! Changing the SQL of a pipeline that has run: what is safe is adopted, what needs a choice or is refused stops before
//! anything is touched and names the ways on, a new or refreshed table gets the rows that it has missed.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod filled;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::Path;

use support::{Workspace, assert_same, copy};

/// The pipeline of the README, as one whose text is changed.
const SQL: &str = "job.sql";

fn base(job: &Workspace) -> String {
    std::fs::read_to_string(job.path().join("sql/gold_revenue.sql")).unwrap()
}

fn changed(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "the pipeline has no `{from}`");
    text.replace(from, to)
}

fn run(job: &Workspace, more: &[&str]) -> String {
    let mut args = vec!["run", SQL, "--trigger", "available-now", "--set", "sales_events.maxOffsetsPerTrigger=1500"];
    args.extend(more);
    let output = job.run(&args);
    assert!(output.status.success(), "{args:?}: {}\n{}", output.status, support::told(&output));
    support::text(&output.stderr)
}

/// Two logs: what there is at first, and later. `later` holds all of `first`.
struct Logs {
    first: Workspace,
    later: Workspace,
}

impl Logs {
    fn new(seed: u64) -> Self {
        Self::with(seed, Workspace::produce)
    }

    fn with(seed: u64, add: fn(&Workspace, u64, u64)) -> Self {
        let later = Workspace::new();
        later.produce(4_000, seed);
        let first = Workspace::with_log_of(&later);
        add(&later, 4_000, seed + 1);
        Self { first, later }
    }

    /// A workspace with the first log and `sql`, run.
    fn started(&self, sql: &str) -> Workspace {
        let job = Workspace::with_log_of(&self.first);
        job.write(SQL, sql);
        run(&job, &[]);
        job
    }

    /// Brings what came later.
    fn go_on(&self, job: &Workspace) {
        std::fs::remove_dir_all(job.path().join("data/.log")).unwrap();
        copy(&self.later.path().join("data/.log"), &job.path().join("data/.log"));
    }
}

/// Every file below `data/` without the log and below `checkpoints/`, with its content.
fn everything(job: &Workspace) -> BTreeMap<String, Vec<u8>> {
    fn collect(dir: &Path, root: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        let Ok(entries) = std::fs::read_dir(dir) else { return };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.insert(path.strip_prefix(root).unwrap().display().to_string(), Vec::new());
                collect(&path, root, found);
            } else {
                found.insert(path.strip_prefix(root).unwrap().display().to_string(), std::fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    collect(&job.path().join("data"), job.path(), &mut found);
    collect(&job.path().join("checkpoints"), job.path(), &mut found);
    found
}

/// What `plan` says of one table.
fn verdict(job: &Workspace, name: &str) -> serde_json::Value {
    let plan: serde_json::Value = serde_json::from_str(&job.ok(&["plan", SQL, "--json"])).unwrap();
    let changes = plan["changes"]["changes"].as_array().unwrap();
    changes.iter().find(|c| c["name"] == name).unwrap().clone()
}

const NEW_SILVER: &str = "
CREATE STREAMING TABLE silver_users AS
SELECT DISTINCT ON (account_id) account_id, event_time, region, _partition, _offset
FROM STREAM bronze_sales WATERMARK event_time DELAY OF INTERVAL '30 minutes';
";

#[test]
fn a_safe_change_counts_from_the_next_batch_on_and_state_is_kept() {
    let logs = Logs::new(11);
    let job = logs.started(&base(&logs.first));
    assert!(job.ok(&["plan", SQL]).contains("nothing has changed"), "{}", job.ok(&["plan", SQL]));
    let first = job.tables();

    // The condition holds for each row, so the tables must be those of a run without it.
    let text =
        changed(&base(&job), "DELAY OF INTERVAL '10 minutes'", "DELAY OF INTERVAL '10 minutes' WHERE _offset >= 0");
    job.write(SQL, &text);
    let before = everything(&job);
    let silver = verdict(&job, "silver_sales");
    assert_eq!(silver["verdict"], "safe", "{silver}");
    assert!(silver["differences"][0]["what"].as_str().unwrap().contains("keep rows where"), "{silver}");
    assert_eq!(verdict(&job, "gold_revenue_5m")["verdict"], "unchanged");
    assert_eq!(before, everything(&job), "`plan` touches nothing");

    logs.go_on(&job);
    run(&job, &[]);
    let calm = logs.started(&base(&logs.first));
    assert_same(&first, &calm.tables());
    logs.go_on(&calm);
    run(&calm, &[]);
    assert_same(&calm.tables(), &job.tables());
    assert!(job.path().join("checkpoints/revenue_5m/pipelines/2").is_file());
    job.ok(&["checkpoint", "verify", "checkpoints/revenue_5m"]);
}

#[test]
fn rows_before_a_changed_filter_are_by_the_old_query_and_those_after_it_by_the_new_one() {
    let logs = Logs::new(13);
    let sql = "CREATE TABLE sales_events USING kafka OPTIONS ('subscribe' = 'sales.events.v1', 'startingOffsets' = 'earliest');
        CREATE STREAMING TABLE bronze_all AS SELECT * FROM STREAM sales_events;
        CREATE STREAMING TABLE silver_some AS SELECT event_id, _partition, _offset FROM STREAM bronze_all WHERE quantity > 1;";
    let job = logs.started(sql);
    let ends: BTreeMap<String, String> = job
        .rows("SELECT _partition, max(_offset) FROM bronze.all GROUP BY 1")
        .iter()
        .map(|row| row.split_once(',').map(|(p, o)| (p.to_owned(), o.to_owned())).unwrap())
        .collect();
    job.write(SQL, &changed(&changed(sql, "quantity > 1", "quantity <= 1"), "event_id,", "event_id, quantity AS q,"));
    let silver = verdict(&job, "silver_some");
    assert_eq!(silver["verdict"], "safe", "{silver}");
    logs.go_on(&job);
    run(&job, &[]);
    let old =
        ends.iter().map(|(p, o)| format!("(_partition = {p} AND _offset <= {o})")).collect::<Vec<_>>().join(" OR ");
    let expected = format!(
        "SELECT event_id, _partition, _offset, CASE WHEN {old} THEN NULL ELSE quantity END AS q FROM bronze.all
         WHERE CASE WHEN {old} THEN quantity > 1 ELSE quantity <= 1 END"
    );
    let found = job.rows("SELECT event_id, _partition, _offset, q FROM silver.some");
    assert!(found.len() > 100);
    assert_eq!(job.rows(&expected), found);
}

#[test]
fn what_needs_a_choice_or_is_refused_stops_with_the_ways_on_and_nothing_is_touched() {
    let logs = Logs::new(17);
    let text = base(&logs.first);
    let job = logs.started(&text);
    let before = everything(&job);
    let gold = "--full-refresh=gold_revenue_5m";
    let silver = "--full-refresh=silver_sales,gold_revenue_5m";
    let cases = [
        (
            "INTERVAL '5 minutes'), region, plan_tier",
            "INTERVAL '5 minutes'), region, plan_tier, currency",
            "choice",
            gold,
        ),
        ("sum(amount)", "max(amount)", "choice", gold),
        ("event_time, INTERVAL '5 minutes'), region", "event_time, INTERVAL '15 minutes'), region", "choice", gold),
        ("PARTITIONED BY (window_date)", "", "choice", gold),
        ("count(*) AS event_count", "CAST(count(*) AS INT) AS event_count", "choice", gold),
        ("count(*) AS event_count", "count(*) AS events", "choice", gold),
        ("DISTINCT ON (event_id)", "DISTINCT ON (account_id)", "choice", silver),
        ("INTERVAL '10 minutes'", "INTERVAL '20 minutes'", "choice", silver),
        ("WATERMARK event_time", "WATERMARK ingest_time", "choice", silver),
        ("data/silver/sales", "data/silver/elsewhere", "refused", silver),
        ("FROM STREAM bronze_sales", "FROM STREAM (sales_events)", "refused", silver),
        ("sales.events.v1", "sales.events.v2", "refused", "--full-refresh"),
    ];
    for (from, to, expected, way) in cases {
        let mut new = changed(&text, from, to);
        if to.contains("currency") {
            new = new.replace("region, plan_tier, sum", "region, plan_tier, currency, sum");
        }
        if from == "sales.events.v1" {
            new = new.replace("'subscribe'", "'value.subject' = 'sales.events.v1-value', 'subscribe'");
        }
        new = new.replace("window(ingest_time", "window(event_time");
        job.write(SQL, &new);
        let plan = job.run(&["plan", SQL, "--json"]);
        let said = job.fails(2, &["run", SQL, "--trigger", "available-now"]);
        if to == "WATERMARK ingest_time" {
            // Windows are over the event time: this is refused before anything is compared.
            assert!(said.contains("window-over-other-column"), "{said}");
            continue;
        }
        let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
        assert_eq!(plan["changes"]["verdict"], expected, "{to}: {plan:#}");
        assert!(said.contains(&format!("sluicebox run {SQL}")) && said.contains(way), "{to}: {said}");
        assert_eq!(before, everything(&job), "{to}");
    }
    job.write(SQL, &text);
    run(&job, &[]);
}

#[test]
fn a_refreshed_table_is_that_of_a_pipeline_that_had_the_new_sql_from_the_start() {
    let logs = Logs::new(23);
    let text = base(&logs.first);
    let job = logs.started(&text);
    let new = changed(&text, "region, plan_tier;", "region;");
    let new = changed(&new, "region, plan_tier,\n          sum(amount)", "region, sum(amount)");
    job.write(SQL, &new);
    run(&job, &["--full-refresh=gold_revenue_5m"]);
    let calm = logs.started(&new);
    assert_same(&calm.tables(), &job.tables());
    let shown = job.ok(&["checkpoint", "show", "checkpoints/revenue_5m"]);
    assert!(shown.contains("generation 1"), "{shown}");

    // Keys: silver cannot be computed again without gold.
    let new = changed(&new, "DISTINCT ON (event_id)", "DISTINCT ON (account_id, event_id)");
    job.write(SQL, &new);
    let before = everything(&job);
    let said = job.fails(2, &["run", SQL, "--trigger", "available-now", "--full-refresh=silver_sales"]);
    assert!(said.contains("--full-refresh=silver_sales,gold_revenue_5m"), "{said}");
    assert_eq!(before, everything(&job));
    run(&job, &["--full-refresh=silver_sales,gold_revenue_5m"]);
    let calm = logs.started(&new);
    assert_same(&calm.tables(), &job.tables());
    for job in [&job, &calm] {
        logs.go_on(job);
        run(job, &[]);
    }
    assert_same(&calm.tables(), &job.tables());
    job.ok(&["checkpoint", "verify", "checkpoints/revenue_5m"]);
}

#[test]
fn state_that_is_reset_leaves_the_rows_and_begins_anew() {
    let logs = Logs::new(29);
    let text = base(&logs.first);
    let job = logs.started(&text);
    let gold = job.rows("SELECT * FROM gold.revenue_5m");
    job.write(SQL, &changed(&text, "count(*) AS", "count(account_id) AS"));
    job.fails(2, &["run", SQL, "--trigger", "available-now", "--reset-state=silver_sales"]);
    run(&job, &["--reset-state=gold_revenue_5m"]);
    assert_eq!(gold, job.rows("SELECT * FROM gold.revenue_5m"));
    logs.go_on(&job);
    run(&job, &[]);
    let now = job.rows("SELECT * FROM gold.revenue_5m");
    assert!(gold.iter().all(|row| now.contains(row)), "rows that were written stay");
}

#[test]
fn a_table_that_is_gone_keeps_its_files_and_does_not_come_back_by_itself() {
    // One run is compared with two.
    let logs = Logs::with(31, Workspace::produce_now);
    let text = base(&logs.first);
    let job = logs.started(&text);
    let gold = job.rows("SELECT * FROM gold.revenue_5m");
    let (without, _) = text.split_once("CREATE STREAMING TABLE gold_revenue_5m").unwrap();
    job.write(SQL, without);
    assert_eq!(verdict(&job, "gold_revenue_5m")["kind"], "removed");
    run(&job, &[]);
    assert_eq!(gold, job.rows("SELECT * FROM gold.revenue_5m"));
    assert!(job.path().join("data/gold/.revenue_5m_sluicebox_owner").is_file());
    logs.go_on(&job);
    run(&job, &[]);

    job.write(SQL, &text);
    let said = job.fails(2, &["run", SQL, "--trigger", "available-now"]);
    assert!(said.contains("has files already") && said.contains("--full-refresh=gold_revenue_5m"), "{said}");
    run(&job, &["--full-refresh=gold_revenue_5m"]);
    // What is filled is what one run over the whole topic gives.
    let calm = Workspace::with_log_of(&logs.later);
    calm.write(SQL, &text);
    run(&calm, &[]);
    assert_eq!(calm.rows("SELECT * FROM gold.revenue_5m"), job.rows("SELECT * FROM gold.revenue_5m"));
}

#[test]
fn a_batch_that_the_old_sql_could_not_do_is_run_by_the_new_one_and_new_tables_wait_for_it() {
    let logs = Logs::new(37);
    let text = base(&logs.first);
    let job = logs.started(&text);
    logs.go_on(&job);
    job.write(SQL, &text.replacen("ON VIOLATION QUARANTINE", "ON VIOLATION FAIL UPDATE", 1));
    job.fails(3, &["run", SQL, "--trigger", "available-now"]);
    let new = format!("{text}{NEW_SILVER}");
    job.write(SQL, &new);
    assert!(job.ok(&["plan", SQL]).contains("was planned and not committed"));
    let said = run(&job, &[]);
    assert!(
        said.contains("first the batch that was planned is finished") && said.contains("fills silver_users"),
        "{said}"
    );
    let calm = logs.started(&new);
    logs.go_on(&calm);
    run(&calm, &[]);
    assert_same(&calm.tables(), &job.tables());
    let at_once = Workspace::with_log_of(&logs.later);
    at_once.write(SQL, &new);
    run(&at_once, &[]);
    assert_eq!(at_once.rows("SELECT * FROM silver.users"), job.rows("SELECT * FROM silver.users"));
    job.ok(&["checkpoint", "verify", "checkpoints/revenue_5m"]);
}
