//! How rows are printed: every format, whatever they hold.

use std::io::Write;
use std::process::Stdio;

use crate::support::{self, HOSTILE, assert_is_text, text};
use crate::{ENGINES, project};

#[test]
fn a_file_and_stdin_hold_several_statements_and_every_format_works() {
    let job = project("CREATE STREAMING TABLE bronze_b AS SELECT event_id, quantity FROM STREAM s;");
    let sql = "-- how many\nSELECT count(*) AS n FROM bronze.b;\nSELECT 'a;b' AS t; ";
    job.write("ask.sql", &format!("\u{feff}{sql}"));
    for engine in ENGINES {
        let by_file = job.ok(&["query", "--engine", engine, "-f", "ask.sql"]);
        assert_eq!(by_file, "n\n400\nt\na;b\n", "{engine}");
        let mut child = job
            .command(&["query", "--engine", engine, "--format", "json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(text(&output.stdout), "{\"n\":400}\n{\"t\":\"a;b\"}\n", "{engine}");
        let table = job.ok(&["query", "--engine", engine, "--format", "table", "SELECT 7 AS seven"]);
        assert!(table.contains("| seven |") && table.contains("| 7     |"), "{table}");
    }
    let pasted = job.ok(&["query", "-- how many\nSELECT count(*) AS n FROM bronze.b"]);
    assert_eq!(pasted, "n\n400\n");
    let said = job.fails(2, &["query", "-f", "none.sql"]);
    assert!(said.contains("none.sql"), "{said}");
}

#[test]
fn as_json_both_engines_write_null_for_what_json_has_no_word_for() {
    let job = project("CREATE STREAMING TABLE bronze_b AS SELECT event_id FROM STREAM s;");
    let sql = r#"SELECT CAST(NULL AS INT) AS a, CAST('NaN' AS DOUBLE) AS b, CAST('-inf' AS DOUBLE) AS c, 'NaN, "Infinity' AS d"#;
    for engine in ENGINES {
        let row: serde_json::Value =
            serde_json::from_str(&job.ok(&["query", "--engine", engine, "--format", "json", sql])).unwrap();
        let expected = serde_json::json!({ "a": null, "b": null, "c": null, "d": "NaN, \"Infinity" });
        assert_eq!(row, expected, "{engine}");
    }
}

/// Arrow has no calendar for years past 262,142, and said so in the place of the value.
#[test]
fn times_of_any_year_are_printed() {
    let job = project("CREATE STREAMING TABLE bronze_b AS SELECT event_id FROM STREAM s;");
    let sql = "SELECT arrow_cast(200758000, 'Date32') AS d, arrow_cast(9000000000000000000, 'Timestamp(Microsecond, Some(\"UTC\"))') AS t, \
               map('a', make_array(arrow_cast(-200758000, 'Date32'))) AS m";
    for format in ["csv", "json", "table"] {
        let printed = job.ok(&["query", "--engine", "datafusion", "--format", format, sql]);
        for value in ["+551626-09-26", "+287168-08-24T16:00:00Z", "-547687-04-08"] {
            assert!(printed.contains(value) && !printed.contains("ERROR"), "{format}: {printed}");
        }
    }
}

/// DuckDB would take the column for the row, if that were called the same.
#[test]
fn as_json_a_row_has_all_its_columns_however_they_are_called() {
    let job = project("CREATE STREAMING TABLE bronze_b AS SELECT event_id FROM STREAM s;");
    for engine in ENGINES {
        for name in ["q", "row", "json", "t"] {
            let sql = format!("SELECT 1 AS a, 2 AS {name}");
            let rows = job.ok(&["query", "--engine", engine, "--format", "json", &sql]);
            assert_eq!(rows, format!("{{\"a\":1,\"{name}\":2}}\n"), "{engine}");
        }
    }
}

/// DuckDB hands numbers over as text, and a formula is none of its own making.
#[test]
fn csv_for_a_spreadsheet_has_no_formulas() {
    let job = project("CREATE STREAMING TABLE bronze_b AS SELECT event_id FROM STREAM s;");
    let sql = "SELECT '=1+1' AS a, '-2+3' AS b, -5 AS c, '@x' AS d, '-7' AS e, 'x' AS f";
    for engine in ENGINES {
        let csv = |more: &[&str]| job.ok(&[&["query", "--engine", engine, sql][..], more].concat());
        assert_eq!(csv(&[]), "a,b,c,d,e,f\n=1+1,-2+3,-5,@x,-7,x\n", "{engine}: the bytes as they are");
        for more in [&["--safe-csv"][..], &["--safe-csv", "--format", "csv"]] {
            assert_eq!(csv(more), "a,b,c,d,e,f\n'=1+1,'-2+3,-5,'@x,-7,x\n", "{engine}");
        }
        let said = job.fails(2, &["query", "--engine", engine, sql, "--safe-csv", "--format", "json"]);
        assert!(said.contains("--safe-csv is of CSV alone"), "{said}");
    }
}

/// Names of folders, the text of a query, and what it computes.
#[test]
fn what_a_query_meets_does_nothing_to_a_terminal() {
    let job = project("CREATE STREAMING TABLE bronze_b AS SELECT event_id FROM STREAM s;");
    let data = job.path().join("data/bronze");
    support::copy(&data.join("b"), &data.join(format!("a{HOSTILE}")));
    for engine in ENGINES {
        let nowhere = format!("SELECT nosuch('{HOSTILE}')\nFROM bronze.b");
        for sql in [
            nowhere.as_str(),
            "SELECT * FROM zzz.qqq",
            "SELECT CAST(concat('x', chr(27), '[2J', chr(155), chr(10), 'error[FAKE]') AS INT)",
        ] {
            for form in ["text", "json"] {
                let args = ["query", "--engine", engine, "--log-format", form, sql];
                let output = job.run(&args);
                let said = text(&output.stdout) + &text(&output.stderr);
                assert!(!output.status.success(), "{engine}: {said}");
                assert_is_text(&said);
            }
        }
        let hostile = "SELECT concat('x', chr(27), '[2J', chr(155), chr(10), 'error[FAKE]') AS x";
        for sql in ["SHOW TABLES", hostile, "EXPLAIN SELECT 1 AS x"] {
            assert_is_text(&job.ok(&["query", "--engine", engine, "--format", "table", sql]));
        }
        let bytes = job.ok(&["query", "--engine", engine, "--format", "csv", hostile]);
        assert_eq!(bytes, "x\n\"x\u{1b}[2J\u{9b}\nerror[FAKE]\"\n", "{engine}: programs get what is there");
    }
}
