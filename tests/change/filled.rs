//! New tables: filled from the topic, or from the files of the tables above them.

use crate::support::{Workspace, assert_same};
use crate::{Logs, NEW_SILVER, SQL, base, everything, run, verdict};

const NEW_GOLD: &str = "
CREATE STREAMING TABLE gold_regions AS
SELECT window.start AS at, region, count(*) AS n, sum(amount) AS amount
FROM STREAM silver_sales GROUP BY window(event_time, INTERVAL '1 minute'), region;
";

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
fn files_that_are_older_than_a_column_that_cannot_be_null_fill_nothing() {
    let logs = Logs::new(47);
    let some = |columns: &str| {
        let place = "_topic, _partition, _offset FROM STREAM bronze_sales;";
        format!("{}\nCREATE STREAMING TABLE silver_some AS SELECT event_id, {columns}{place}", base(&logs.first))
    };
    let job = logs.started(&some(""));
    let text = some("1 AS one, ");
    job.write(SQL, &text);
    logs.go_on(&job);
    run(&job, &[]);
    let count = |of: &str| job.value(&format!("SELECT count({of}) FROM silver.some"));
    let (all, whole) = (count("*"), count("one"));
    assert!(0 < whole && whole < all, "{whole} of {all}");

    job.write(
        SQL,
        &format!("{text}\nCREATE STREAMING TABLE gold_new AS SELECT event_id, one FROM STREAM silver_some;"),
    );
    let before = everything(&job);
    let ways = verdict(&job, "gold_new")["ways"].to_string();
    assert!(ways.contains("gold_new=none") && !ways.contains("=files"), "{ways}");
    let said = job.fails(2, &["run", SQL, "--trigger", "available-now", "--backfill=gold_new=files"]);
    let why = "silver_some has rows that are older than its column one, which cannot be NULL. Write gold_new=topic";
    assert!(said.contains(why), "{said}");
    assert_eq!(before, everything(&job));
    run(&job, &["--backfill=gold_new=topic"]);
    assert_eq!(job.value("SELECT count(one) FROM gold.new"), all);
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
