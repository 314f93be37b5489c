//! `sluicebox query`, by each engine that it was built with: it only reads, one broken table is one broken table, and types and
//! NULLs are those that `plan` says.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod printed;
#[path = "../support/mod.rs"]
mod support;
mod told;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;

use support::{Workspace, files_below, text};

#[cfg(feature = "duckdb")]
const ENGINES: [&str; 2] = ["datafusion", "duckdb"];
#[cfg(not(feature = "duckdb"))]
const ENGINES: [&str; 1] = ["datafusion"];

const SOURCE: &str =
    "CREATE TABLE s USING kafka OPTIONS ('subscribe' = 'sales.events.v1', 'startingOffsets' = 'earliest');\n";

/// A project whose pipeline `p.sql` has run to its end over some events.
fn project(tables: &str) -> Workspace {
    let job = Workspace::new();
    produce(&job, 400);
    job.write("p.sql", &format!("{SOURCE}{tables}"));
    job.ok(&["run", "p.sql", "--trigger", "available-now"]);
    job
}

/// Events that all become rows.
fn produce(job: &Workspace, events: u32) {
    job.ok(&["produce", "sales", "--events", &events.to_string(), "--seed", "7", "--malformed", "0"]);
}

fn ask(job: &Workspace, engine: &str, sql: &str) -> Output {
    job.run(&["query", "--engine", engine, "--format", "csv", sql])
}

/// The rows as CSV, without the header.
fn rows(job: &Workspace, engine: &str, sql: &str) -> Vec<String> {
    let output = ask(job, engine, sql);
    assert!(output.status.success(), "{engine}: {sql}: {}", text(&output.stderr));
    text(&output.stdout).lines().skip(1).map(str::to_owned).collect()
}

fn one(job: &Workspace, engine: &str, sql: &str) -> String {
    let rows = rows(job, engine, sql);
    assert_eq!(rows.len(), 1, "{engine}: {sql}: {rows:?}");
    rows[0].clone()
}

/// What it says when it fails with exit code 2.
fn refused(job: &Workspace, engine: &str, sql: &str) -> String {
    let output = ask(job, engine, sql);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{engine}: {sql}: {said}");
    said
}

/// Every file with its length: what a query may not change.
fn all_files(folder: &Path) -> BTreeMap<PathBuf, u64> {
    files_below(folder).into_iter().map(|path| (path.clone(), path.metadata().unwrap().len())).collect()
}

#[test]
fn nothing_but_reading_is_done() {
    let job = project("CREATE STREAMING TABLE bronze_b AS SELECT event_id, region FROM STREAM s;");
    let before = all_files(job.path());
    for engine in ENGINES {
        for sql in [
            "INSERT INTO bronze.b SELECT * FROM bronze.b",
            "COPY (SELECT 'x' AS event_id, 'y' AS region) TO 'data/bronze/b/zz.parquet' STORED AS PARQUET",
            "COPY (SELECT 'x' AS event_id) TO 'data/bronze/b/zz.parquet' (FORMAT parquet)",
            "COPY bronze.b TO 'out.csv'",
            "CREATE TABLE x AS SELECT * FROM bronze.b",
            "CREATE VIEW x AS SELECT 1",
            "CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION 'data/bronze/b'",
            "DROP VIEW bronze.b",
            "DELETE FROM bronze.b",
            "UPDATE bronze.b SET region = 'x'",
            "TRUNCATE TABLE bronze.b",
            "SET x = 1",
            "SET datafusion.execution.batch_size = 1",
            "RESET x",
            "PRAGMA database_list",
            "ATTACH 'x.db'",
            "EXPORT DATABASE 'x'",
            "INSTALL httpfs",
            "LOAD 'x'",
            "CALL pragma_version()",
            "BEGIN",
            "EXPLAIN ANALYZE INSERT INTO bronze.b SELECT * FROM bronze.b",
            "WITH x AS (SELECT * FROM bronze.b) INSERT INTO bronze.b SELECT * FROM x",
            "SELECT 1; DROP VIEW bronze.b",
            "SELECT 1) AS q; COPY (SELECT 1) TO 'out.csv'; SELECT * FROM (SELECT 1",
        ] {
            refused(&job, engine, sql);
        }
        // Files that are no tables are none of its business.
        for sql in ["SELECT * FROM read_csv('p.sql')", "SELECT * FROM 'p.sql'", "SELECT * FROM \"p.sql\""] {
            assert!(!ask(&job, engine, sql).status.success(), "{engine}: {sql}");
        }
        assert_eq!(one(&job, engine, "SELECT count(*) AS n FROM bronze.b"), "400");
    }
    assert_eq!(before, all_files(job.path()));
}

#[test]
fn one_broken_folder_breaks_only_its_own_table() {
    let job = project(
        "CREATE STREAMING TABLE bronze_b AS SELECT event_id FROM STREAM s;
         CREATE STREAMING TABLE silver_c AS SELECT event_id FROM STREAM s;",
    );
    std::fs::write(job.path().join("data/bronze/b/broken.parquet"), "no Parquet").unwrap();
    for engine in ENGINES {
        assert_eq!(one(&job, engine, "SELECT count(*) FROM silver.c"), "400");
        let output = ask(&job, engine, "SELECT count(*) FROM bronze.b");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{engine}: {said}");
        assert!(said.contains("table bronze.b cannot be read") && said.contains("broken.parquet"), "{engine}: {said}");
        assert_eq!(rows(&job, engine, "SHOW TABLES").len(), 3, "with the reports");
    }
}

#[test]
fn types_and_nulls_of_partition_columns_are_those_of_plan() {
    let job = project(
        "CREATE STREAMING TABLE bronze_store PARTITIONED BY (store) AS
           SELECT event_id, CASE WHEN quantity % 10 <> 3 THEN '00' || CAST(quantity % 10 AS STRING) END AS store FROM STREAM s;
         CREATE STREAMING TABLE bronze_delta PARTITIONED BY (delta) AS SELECT event_id, quantity % 20 - 5 AS delta FROM STREAM s;
         CREATE STREAMING TABLE bronze_flag PARTITIONED BY (big) AS SELECT event_id, quantity > 10 AS big FROM STREAM s;
         CREATE STREAMING TABLE bronze_price PARTITIONED BY (price) AS
           SELECT event_id, CAST(quantity % 20 AS DECIMAL(9,2)) AS price FROM STREAM s;
         CREATE STREAMING TABLE bronze_hour PARTITIONED BY (hour, day) AS
           SELECT event_id, date_trunc('hour', event_time) AS hour, CAST(event_time AS DATE) AS day FROM STREAM s;
         CREATE STREAMING TABLE bronze_odd PARTITIONED BY (odd) AS
           SELECT event_id, CASE WHEN quantity % 2 = 0 THEN 'a b/c=d%e' ELSE 'NULL' END AS odd FROM STREAM s;
         CREATE STREAMING TABLE bronze_all AS SELECT event_id, quantity, event_time FROM STREAM s;",
    );
    for engine in ENGINES {
        let one = |sql: &str| one(&job, engine, sql);
        let same = |a: &str, b: &str| assert_eq!(one(a), one(b), "{engine}: {a}");
        let all = |condition: &str| format!("SELECT count(*) FROM bronze.all WHERE {condition}");
        same("SELECT count(*) FROM bronze.store WHERE store = '001'", &all("quantity % 10 = 1"));
        same("SELECT count(*) FROM bronze.store WHERE store IS NULL", &all("quantity % 10 = 3"));
        same("SELECT min(store) FROM bronze.store", "SELECT '000'");
        same("SELECT count(*) FROM bronze.delta WHERE delta < 0", &all("quantity % 20 - 5 < 0"));
        same(
            "SELECT min(delta), max(delta) FROM bronze.delta",
            "SELECT min(quantity % 20 - 5), max(quantity % 20 - 5) FROM bronze.all",
        );
        same("SELECT count(*) FROM bronze.flag WHERE big", &all("quantity > 10"));
        same(
            "SELECT max(price) + 0.25 FROM bronze.price",
            "SELECT CAST(max(quantity % 20) AS DECIMAL(9, 2)) + 0.25 FROM bronze.all",
        );
        same(
            "SELECT count(*) FROM bronze.hour WHERE hour >= now() - INTERVAL '30 days' AND day <= current_date",
            &all("true"),
        );
        same("SELECT count(*) FROM bronze.odd WHERE odd = 'a b/c=d%e'", &all("quantity % 2 = 0"));
        same("SELECT count(*) FROM bronze.odd WHERE odd = 'NULL'", &all("quantity % 2 <> 0"));
        let described = |table: &str| rows(&job, engine, &format!("DESCRIBE {table}"));
        assert_eq!(described("bronze.store"), ["event_id,string,false", "store,string,true"]);
        assert_eq!(described("bronze.delta"), ["event_id,string,false", "delta,int,true"]);
        assert_eq!(described("bronze.flag"), ["event_id,string,false", "big,boolean,true"]);
        assert_eq!(described("bronze.price"), ["event_id,string,false", "price,\"decimal(9,2)\",true"]);
        assert_eq!(described("bronze.hour"), ["event_id,string,false", "hour,timestamp,true", "day,date,true"]);
    }
}

#[test]
fn the_time_is_that_of_the_question() {
    let job = project("CREATE STREAMING TABLE bronze_b AS SELECT event_id, event_time FROM STREAM s;");
    for engine in ENGINES {
        let n = one(&job, engine, "SELECT count(*) FROM bronze.b WHERE event_time > now() - INTERVAL '3650 days'");
        assert_eq!(n, "400", "{engine}");
        let sql = "SELECT count(*) FROM bronze.b WHERE event_time <= (SELECT max(current_timestamp) FROM bronze.b)";
        assert_eq!(one(&job, engine, sql), "400", "{engine}: in a subquery too");
        let today = one(&job, engine, "SELECT current_date");
        assert!(today.len() == 10 && today.as_str() > "2024-01-01", "{engine}: {today}");
    }
}

#[test]
fn a_path_is_no_pattern_and_the_home_folder_is_found() {
    let job =
        project("CREATE STREAMING TABLE bronze_b PARTITIONED BY (region) AS SELECT event_id, region FROM STREAM s;");
    let odd = job.path().join("proj [2026] a*b? {x} 100% ünï 'q'");
    support::copy(&job.path().join("data"), &odd.join("data"));
    for engine in ENGINES {
        let ask = |data: &str| {
            let sql = "SELECT count(*) FROM bronze.b WHERE region IS NOT NULL";
            let args = ["query", "--engine", engine, "--format", "csv", "--data", data, sql];
            let output = job.command(&args).env("HOME", &odd).output().unwrap();
            assert!(output.status.success(), "{engine}: {data}: {}", text(&output.stderr));
            text(&output.stdout).lines().nth(1).unwrap().to_owned()
        };
        assert_eq!(ask(odd.join("data").to_str().unwrap()), "400");
        assert_eq!(ask(odd.strip_prefix(job.path()).unwrap().join("data").to_str().unwrap()), "400");
        assert_eq!(ask("~/data"), "400");
    }
}

#[test]
fn nested_columns_are_ordered_limited_and_taken_apart() {
    let job = project(
        "CREATE STREAMING TABLE bronze_n AS SELECT _partition * 1000 + _offset AS k, make_array(quantity, 1) AS l,
           named_struct('q', quantity, 'l', make_array(region)) AS st, map(make_array('k'), make_array(quantity)) AS m FROM STREAM s;",
    );
    for engine in ENGINES {
        for sql in [
            "SELECT * FROM bronze.n ORDER BY k LIMIT 3",
            "SELECT st FROM bronze.n ORDER BY st LIMIT 3",
            "SELECT l FROM bronze.n ORDER BY l DESC, k LIMIT 3",
            "SELECT m, l, st FROM bronze.n LIMIT 3",
            "SELECT k, st, l, m FROM bronze.n ORDER BY st, l LIMIT 3",
        ] {
            assert_eq!(rows(&job, engine, sql).len(), 3, "{engine}: {sql}");
        }
        assert_eq!(
            rows(&job, engine, "SELECT DISTINCT l FROM bronze.n").len(),
            rows(&job, engine, "SELECT DISTINCT st['q'] FROM bronze.n").len()
        );
    }
}

#[test]
fn tables_whose_columns_grew_are_one_table() {
    let job =
        project("CREATE STREAMING TABLE bronze_b AS SELECT event_id, named_struct('a', quantity) AS st FROM STREAM s;");
    produce(&job, 100);
    // Columns that cannot be NULL, before the others, and nested ones behind them.
    job.write(
        "p.sql",
        &format!(
            "{SOURCE}CREATE STREAMING TABLE bronze_b AS
               SELECT region, 1 AS one, event_id, named_struct('a', quantity) AS st, named_struct('b', quantity) AS pair,
                      make_array(quantity) AS list FROM STREAM s;"
        ),
    );
    job.ok(&["run", "p.sql", "--trigger", "available-now"]);
    let plan: serde_json::Value = serde_json::from_str(&job.ok(&["plan", "p.sql", "--json"])).unwrap();
    let columns: Vec<&str> =
        plan["tables"][0]["columns"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(columns, ["event_id", "st", "region", "one", "pair", "list"], "what comes later stands at the end");
    let can_be_null = |name: &str| {
        let columns = plan["tables"][0]["columns"].as_array().unwrap();
        columns.iter().find(|column| column["name"] == name).unwrap()["nullable"] == true
    };
    assert!(!can_be_null("region") && !can_be_null("one"), "{plan:#}");
    for engine in ENGINES {
        let counts = "SELECT count(*), count(region), count(one), count(st['a']) FROM bronze.b";
        assert_eq!(one(&job, engine, counts), "500,100,100,500", "{engine}");
        for column in ["one", "region", "pair", "pair['b']", "list"] {
            let older = format!("SELECT count(*) FROM bronze.b WHERE {column} IS NULL");
            assert_eq!(one(&job, engine, &older), "400", "{engine}: {column}");
        }
        for format in ["csv", "json", "table"] {
            let all =
                ["query", "--engine", engine, "--format", format, "SELECT * FROM bronze.b ORDER BY one, event_id"];
            assert!(job.ok(&all).lines().count() >= 500, "{engine}: {format}");
        }
        let described = rows(&job, engine, "DESCRIBE bronze.b");
        let names: Vec<&str> = described.iter().map(|l| l.split(',').next().unwrap()).collect();
        assert_eq!(names, columns, "{engine}");
        assert_eq!(rows(&job, engine, "SELECT * FROM bronze.b ORDER BY st LIMIT 2").len(), 2, "{engine}");
    }
}

#[test]
fn what_is_no_folder_keeps_nobody_from_the_tables() {
    let job = project("CREATE STREAMING TABLE bronze_b AS SELECT event_id FROM STREAM s;");
    std::fs::remove_dir_all(job.path().join("data/dq")).unwrap();
    support::make_fifo(&job.path().join("data/dq"));
    for engine in ENGINES {
        let output = ask(&job, engine, "SELECT count(*) AS n FROM bronze.b");
        assert_eq!(text(&output.stdout), "n\n400\n", "{engine}");
        assert!(text(&output.stderr).contains("dq is left out"), "{engine}: {}", text(&output.stderr));
    }
}

#[test]
fn a_table_without_rows_is_told_from_one_that_is_not_there() {
    let job = project("CREATE STREAMING TABLE bronze_b AS SELECT event_id FROM STREAM s WHERE quantity < 0;");
    for engine in ENGINES {
        let said = refused(&job, engine, "SELECT * FROM bronze.b");
        assert!(said.contains("table `bronze.b` has no rows yet"), "{engine}: {said}");
    }
}

#[test]
fn a_value_that_no_folder_can_be_named_by_costs_its_row_alone() {
    let job = project(
        "CREATE STREAMING TABLE silver_b PARTITIONED BY (day) AS SELECT event_id, _offset,
           CASE WHEN _partition = 0 AND _offset = 5 THEN arrow_cast(20758000, 'Date32') ELSE CAST(event_time AS DATE) END AS day
           FROM STREAM s;
         CREATE STREAMING TABLE silver_c PARTITIONED BY (name) AS SELECT event_id,
           CASE WHEN _partition = 0 AND _offset = 5 THEN repeat('x', 300) ELSE region END AS name FROM STREAM s;",
    );
    let folders: Vec<String> = std::fs::read_dir(job.path().join("data/silver/b"))
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains('='))
        .collect();
    assert!(!folders.is_empty() && folders.iter().all(|f| f.len() == "day=2026-11-29".len()), "{folders:?}");
    for engine in ENGINES {
        for table in ["b", "c"] {
            assert_eq!(one(&job, engine, &format!("SELECT count(*) FROM silver.{table}")), "399", "{engine}: {table}");
            let quarantined = format!("SELECT count(*) FROM quarantine.silver_{table}");
            assert_eq!(one(&job, engine, &quarantined), "1", "{engine}: {table}");
        }
        assert_eq!(rows(&job, engine, "DESCRIBE silver.b")[2], "day,date,true");
    }
}
