//! What is wrong with a query, or too much for it, is told.

use crate::support::{ended, text, within};
use crate::{ENGINES, one, project, refused};

#[test]
fn mistakes_are_drawn_with_the_nearest_name_and_without_foreign_settings() {
    let job = project("CREATE STREAMING TABLE gold_revenue AS SELECT event_id, quantity FROM STREAM s;");
    for engine in ENGINES {
        let said = refused(&job, engine, "SELECT *\nFROM gold.revenu WHERE true");
        assert!(said.contains("unknown-table") && said.contains("did you mean gold.revenue?"), "{engine}: {said}");
        assert!(said.contains("query:2:6"), "{engine}: {said}");
        let said = refused(&job, engine, "SELECT * FROM revenue");
        assert!(said.contains("did you mean gold.revenue?"), "{engine}: {said}");
        let said = refused(&job, engine, "SELECT quantty FROM gold.revenue");
        assert!(said.contains("did you mean `quantity`?") && said.contains("query:1:8"), "{engine}: {said}");
        for sql in [
            "SELECT FROM gold.revenue",
            "SELEC 1",
            "SELECT * FROM gold.revenue WHERE",
            "SELECT nosuch(quantity) FROM gold.revenue",
            "SELECT CAST('x' AS INT)",
            "SELECT quantity + event_id FROM gold.revenue GROUP BY 1",
            "SELECT * FROM information_schema.tables",
            "SHOW ALL",
            "",
        ] {
            let said = refused(&job, engine, sql);
            assert!(!said.contains("datafusion.") && !said.contains("Arrow error"), "{engine}: {sql}: {said}");
            assert!(said.contains("query:1:") || sql.is_empty(), "{engine}: {sql}: {said}");
        }
    }
}

#[test]
fn every_mistake_has_a_way_on() {
    let job = project("CREATE STREAMING TABLE gold_revenue AS SELECT event_id, quantity FROM STREAM s;");
    for sql in [
        "SELECT nosuch(quantity) FROM gold.revenue",
        "SELECT row_number() FROM gold.revenue",
        "SELECT upper(quantity, 1) FROM gold.revenue",
        "SELECT substring() FROM gold.revenue",
        "SELECT sum(event_id) FROM gold.revenue WHERE sum(quantity) > 1",
        "SELECT CAST('x' AS INT)",
        "SELECT CAST(event_id AS INT) FROM gold.revenue",
        "SELECT CAST(1 AS FOO)",
        "SELECT DATE 'x'",
        "SELECT 1 + ARRAY[1]",
        "SELECT quantity, count(*) FROM gold.revenue",
        "SELECT 1 UNION SELECT 1, 2",
        "SELECT (SELECT quantity FROM gold.revenue)",
        "SELECT * FROM gold.revenue ORDER BY 99",
        "SELECT * FROM gold.revenue LIMIT 'a'",
        "SELECT * FROM generate_series(1, 2, 3, 4, 5)",
        "SELECT nope.quantity FROM gold.revenue",
        "SELECT INTERVAL '1 foo'",
    ] {
        for engine in ENGINES {
            let said = refused(&job, engine, sql);
            assert!(said.contains("Help: ") && said.contains("query:1:"), "{engine}: {sql}: {said}");
        }
    }
    // Where the function stands, not where the query does.
    for engine in ENGINES {
        let said = refused(&job, engine, "SELECT quantity, nosuch(quantity) FROM gold.revenue");
        assert!(said.contains("error[unknown-function]: there is no function `nosuch`"), "{engine}: {said}");
        assert!(said.contains("query:1:18"), "{engine}: {said}");
    }
}

/// Whatever it asks for, a query ends, and says in what it is too much.
#[test]
fn what_is_too_long_or_holds_too_much_is_told() {
    let job = project("CREATE STREAMING TABLE bronze_b AS SELECT event_id FROM STREAM s;");
    let ask = |engine: &str, sql: &str| {
        job.write("ask.sql", sql);
        let query = job.command(&["query", "--engine", engine, "--format", "csv", "-f", "ask.sql"]);
        // Of addresses, in bytes; by util-linux.
        let output = ended(&mut within(&["prlimit", "--as=2048000000"], &query), sql.get(..60).unwrap_or(sql));
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{engine}: {said}");
        assert!(said.contains("Help: "), "{engine}: {said}");
        said
    };
    let all = "SELECT length(string_agg(repeat(a.event_id, 200), ',')) FROM bronze.b AS a, bronze.b AS b";
    for engine in ENGINES {
        for more in [" + 1", " UNION ALL SELECT 1", " OR true"] {
            let said = ask(engine, &format!("SELECT 1{}", more.repeat(20_000)));
            assert!(said.contains("error[too-long]"), "{engine}: {said}");
        }
        let said = ask(engine, all);
        assert!(said.contains("error[out-of-memory]"), "{engine}: {said}");
    }
    // Of one row, as in a pipeline.
    let one = "SELECT event_id, repeat(event_id, 100) AS s FROM bronze.b LIMIT 1";
    let many = format!("SELECT unnest(range(0, 900000 + length(event_id))) AS x, s FROM ({one}) AS b");
    let said = ask("datafusion", &format!("SELECT min(s), sum(x) FROM ({many}) AS t"));
    assert!(said.contains("those of one row may take"), "{said}");
}

/// Each name stands for the one before: a tree as deep as there are names.
#[test]
fn many_names_of_with_do_not_overflow_the_stack() {
    let job = project("CREATE STREAMING TABLE bronze_b AS SELECT event_id FROM STREAM s;");
    let names: Vec<String> = (1..400).map(|n| format!(", a{n} AS (SELECT * FROM a{})", n - 1)).collect();
    let sql = format!("WITH a0 AS (SELECT * FROM bronze.b){} SELECT count(*) FROM a399", names.concat());
    for engine in ENGINES {
        assert_eq!(one(&job, engine, &sql), "400", "{engine}");
    }
}

#[test]
fn what_is_nested_too_deeply_is_told() {
    let job = project("CREATE STREAMING TABLE bronze_b AS SELECT event_id FROM STREAM s;");
    let case = format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(900), " END".repeat(900));
    for engine in ENGINES {
        let said = refused(&job, engine, &case);
        assert!(said.contains("error[too-deep]") && said.contains("Help: "), "{engine}: {said}");
    }
}
