//! Changing the SQL of a pipeline that has run: what is safe is adopted, what needs a choice or is refused stops before
//! anything is touched and names the ways on, a new or refreshed table gets the rows that it has missed.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

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

const NEW_GOLD: &str = "
CREATE STREAMING TABLE gold_regions AS
SELECT window.start AS at, region, count(*) AS n, sum(amount) AS amount
FROM STREAM silver_sales GROUP BY window(event_time, INTERVAL '1 minute'), region;
";

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
fn a_new_table_is_filled_from_the_topic_and_goes_on() {
    let logs = Logs::new(19);
    let text = base(&logs.first);
    let job = logs.started(&text);
    let new = format!("{text}{NEW_GOLD}{NEW_SILVER}");
    job.write(SQL, &new);
    let users = verdict(&job, "silver_users");
    assert_eq!((&users["verdict"], &users["kind"]), (&"safe".into(), &"added".into()), "{users}");
    let said = run(&job, &[]);
    assert!(said.contains("fills gold_regions, silver_users from the topics first"), "{said}");

    let calm = logs.started(&new);
    let tables = ["gold.regions", "silver.users", "silver.sales", "bronze.sales", "gold.revenue_5m"];
    let rows = |job: &Workspace| tables.map(|t| (t, job.rows(&format!("SELECT * FROM {t}"))));
    assert_same(&rows(&calm), &rows(&job));
    for job in [&job, &calm] {
        logs.go_on(job);
        run(job, &[]);
    }
    assert_same(&rows(&calm), &rows(&job));
    assert!(calm.value("SELECT count(*) FROM late.silver_users") > 0);
    let late = "SELECT _partition, _offset, _late FROM late.silver_users";
    assert_eq!(calm.rows(late), job.rows(late));
    assert!(!job.path().join("checkpoints/revenue_5m/sources/backfill-2.sales_events").exists());
    job.ok(&["checkpoint", "verify", "checkpoints/revenue_5m"]);

    let none = logs.started(&text);
    none.write(SQL, &new);
    run(&none, &["--backfill", "gold_regions=none", "--backfill=silver_users=none"]);
    assert!(!none.rows_exist("silver.users"));
    logs.go_on(&none);
    run(&none, &[]);
    let all = job.value("SELECT count(*) FROM silver.users");
    let some = none.value("SELECT count(*) FROM silver.users");
    assert!(some > 0 && some < all, "{some} of {all}");
}

#[test]
fn a_new_table_is_filled_from_files_without_its_topic_and_equals_one_that_was_there_from_the_start() {
    let logs = Logs::new(41);
    let text = base(&logs.first);
    let job = logs.started(&text);
    let new = format!("{text}{NEW_GOLD}{NEW_SILVER}");
    job.write(SQL, &new);
    let ways = verdict(&job, "silver_users")["ways"].to_string();
    assert!(ways.contains("--backfill=silver_users=files") && ways.contains("the files of bronze_sales"), "{ways}");

    // The log is away: what fills from files does not ask it, and what comes after needs it.
    let (log, away) = (job.path().join("data/.log"), job.path().join("away"));
    std::fs::rename(&log, &away).unwrap();
    let small = ["--trigger", "available-now", "--set", "sales_events.maxOffsetsPerTrigger=700"];
    let files = ["--backfill=gold_regions=files", "--backfill=silver_users=files"];
    let said = job.fails(2, &[&["run", SQL], &small[..], &files[..]].concat());
    assert!(said.contains("fills gold_regions, silver_users from files first"), "{said}");
    assert!(said.contains("the files of bronze_sales, silver_sales"), "{said}");
    let _ = std::fs::remove_dir_all(&log);
    std::fs::rename(&away, &log).unwrap();
    let filled = job.value("SELECT count(*) FROM silver.users");
    assert!(job.value("SELECT count(*) FROM gold.regions") > 0 && filled > 0);
    job.ok(&["checkpoint", "verify", "checkpoints/revenue_5m"]);
    let said = run(&job, &[]);
    assert!(!said.contains("fills"), "{said}");
    assert_eq!(filled, job.value("SELECT count(*) FROM silver.users"));

    let calm = logs.started(&new);
    let tables = ["gold.regions", "silver.users", "silver.sales", "bronze.sales", "gold.revenue_5m"];
    let rows = |job: &Workspace| tables.map(|t| (t, job.rows(&format!("SELECT * FROM {t}"))));
    for _ in 0..2 {
        assert_same(&rows(&calm), &rows(&job));
        for job in [&job, &calm] {
            logs.go_on(job);
            run(job, &[]);
        }
    }
    let late = "SELECT _partition, _offset, _late FROM late.silver_users";
    assert_eq!(calm.rows(late), job.rows(late));
    assert!(!job.path().join("checkpoints/revenue_5m/sources/backfill-2.sales_events").exists());
    job.ok(&["checkpoint", "verify", "checkpoints/revenue_5m"]);
}

#[test]
fn what_a_table_has_retired_is_named_before_another_is_filled_from_its_files() {
    let logs = Logs::new(59);
    // Every other row is of a day that is over for longer than it is retained.
    let kept = "
CREATE STREAMING TABLE bronze_kept PARTITIONED BY (day) TBLPROPERTIES ('retain' = '30 days')
AS SELECT *, CAST(CASE WHEN _offset % 2 = 0 THEN ingest_time - INTERVAL '40 days' ELSE ingest_time END AS DATE) AS day
FROM STREAM bronze_sales;";
    let text = format!("{}{kept}", base(&logs.first));
    let job = logs.started(&text);
    let old = job.value("SELECT count(*) FROM bronze.sales WHERE _offset % 2 = 0");
    assert!(old > 100 && !job.rows_exist("(SELECT * FROM bronze.kept WHERE _offset % 2 = 0)"));

    job.write(
        SQL,
        &format!("{text}\nCREATE STREAMING TABLE gold_new AS SELECT event_id, _offset FROM STREAM bronze_kept;"),
    );
    let told = verdict(&job, "gold_new")["ways"].to_string();
    let gone = format!(", {old} rows");
    assert!(told.contains("without what bronze_kept has retired: ") && told.contains(&gone), "{told}");
    let said = run(&job, &["--backfill=gold_new=files"]);
    assert!(said.contains("from the files of bronze_kept") && said.contains("without what bronze_kept has"), "{said}");
    let warning = "lacks what bronze_kept has retired: ";
    assert!(said.contains(warning) && said.matches(&gone).count() == 2, "{said}");
    assert_eq!(job.rows("SELECT _offset FROM gold.new WHERE _offset % 2 = 0"), [""; 0]);
    let rows = |table: &str| job.rows(&format!("SELECT event_id, _offset FROM {table}"));
    assert_eq!(rows("gold.new"), rows("bronze.kept"));

    // The topic has them still. Where nothing was retired, nothing is said.
    let said = run(&job, &["--full-refresh=gold_new", "--backfill=gold_new=topic"]);
    assert!(!said.contains("retired"), "{said}");
    assert_eq!(rows("gold.new"), rows("bronze.sales"));
    job.ok(&["checkpoint", "verify", "checkpoints/revenue_5m"]);
}

#[test]
fn files_that_do_not_tell_the_order_of_rows_fill_nothing() {
    let logs = Logs::new(43);
    let bare = "
CREATE STREAMING TABLE silver_bare AS SELECT event_id, event_time, region, amount FROM STREAM bronze_sales;
CREATE STREAMING TABLE silver_moved AS SELECT event_id, _topic, _partition, _offset + 0 AS _offset FROM STREAM bronze_sales;";
    let text = format!("{}{bare}", base(&logs.first));
    let job = logs.started(&text);
    let before = everything(&job);
    let table = |from: &str| format!("CREATE STREAMING TABLE gold_new AS SELECT * FROM STREAM {from};");
    let mixed = format!("{}{NEW_SILVER}", table("bronze_sales"));
    let cases: [(&str, &[&str], &str); 6] = [
        (&table("sales_events"), &["gold_new=files"], "it reads the source sales_events itself"),
        (&table("gold_revenue_5m"), &["gold_new=files"], "the rows of gold_revenue_5m are aggregates"),
        (&table("silver_bare"), &["gold_new=files"], "silver_bare does not keep _topic"),
        (&table("silver_moved"), &["gold_new=files"], "_offset of silver_moved is not that of its source"),
        (&mixed, &["gold_new=files"], "table silver_users is filled in the same batches"),
        (
            &mixed.replace("bronze_sales;", "silver_users;"),
            &["gold_new=files", "silver_users=none"],
            "begins without rows",
        ),
    ];
    for (more, backfill, why) in cases {
        job.write(SQL, &format!("{text}\n{more}"));
        let mut args = vec!["run", SQL, "--trigger", "available-now"];
        args.extend(backfill.iter().flat_map(|b| ["--backfill", b]));
        let said = job.fails(2, &args);
        assert!(said.contains(why) && said.contains("=none"), "{more}: {said}");
        assert_eq!(before, everything(&job), "{more}");
    }
    // Both from files, one through the other.
    job.write(SQL, &format!("{text}\n{}", mixed.replace("bronze_sales;", "silver_users;")));
    run(&job, &["--backfill=gold_new=files", "--backfill=silver_users=files"]);
    let users = "SELECT account_id, _partition, _offset FROM silver.users";
    assert_eq!(job.rows(users), job.rows(&users.replace("silver.users", "gold.new")));
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
