#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use super::*;

fn said(text: &str) -> String {
    match statements("q", text) {
        Err(mistakes) => mistakes.to_string(),
        Ok(asked) => match asked.iter().map(|a| a.parse("q", text)).find(Result::is_err) {
            Some(Err(mistakes)) => mistakes.to_string(),
            _ => "reads".to_owned(),
        },
    }
}

#[test]
fn what_would_change_something_is_refused_before_an_engine_sees_it() {
    for text in [
        "INSERT INTO bronze.b SELECT * FROM bronze.b",
        "insert into x values (1)",
        "COPY (SELECT 1) TO 'x.parquet' STORED AS PARQUET",
        "CREATE TABLE x AS SELECT 1",
        "CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION 'y'",
        "DROP TABLE bronze.b",
        "SET datafusion.execution.batch_size = 1",
        "RESET x",
        "PRAGMA version",
        "ATTACH 'x.db'",
        "INSTALL httpfs",
        "BEGIN",
        "EXPLAIN ANALYZE INSERT INTO x SELECT 1",
        "EXPLAIN COPY x TO 'y'",
        "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
        "SELECT 1 INTO t",
        "SELECT * FROM (SELECT 1 INTO t)",
        "SELECT 1; DELETE FROM x",
        "/* a comment */ UPDATE t SET a = 1",
    ] {
        let said = said(text);
        assert!(said.contains("refused") || said.contains("should stand here"), "{text}: {said}");
    }
}

/// Whatever engine is to have it: some go on for ever, others have no stack for it.
#[test]
fn what_is_too_long_is_refused_before_an_engine_sees_it() {
    for text in [
        format!("SELECT 1{}", " + 1".repeat(20_000)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(20_000)),
        format!("EXPLAIN SELECT 1 WHERE true{}", " OR false".repeat(20_000)),
        format!("WITH a AS (SELECT 1){} SELECT 1", ", a AS (SELECT x FROM a)".repeat(2_001)),
        format!("WITH a AS (SELECT 1){} SELECT 1", ", a AS (FROM a)".repeat(2_001)),
        format!("SELECT 1 FROM {}x{}", "(SELECT 1 FROM ".repeat(2_001), ")".repeat(2_001)),
    ] {
        let said = statements("q", &text).map(|_| "taken").unwrap_err().to_string();
        assert!(said.contains("more than 2000 operators"), "{said}");
    }
    assert!(statements("q", &format!("SELECT 1 IN (1{})", ", 1".repeat(20_000))).is_ok());
    assert!(statements("q", &format!("SELECT 1 FROM a{}", "; SELECT x FROM (SELECT 1)".repeat(3_000))).is_ok());
}

/// sqlparser tries another reading where it is too deep, and complains of that.
#[test]
fn what_is_too_deep_is_told_as_such() {
    for text in [
        format!("SELECT {}true", "NOT ".repeat(60)),
        format!("SELECT {}true", "NOT ".repeat(900)),
        format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(200), " END".repeat(200)),
        format!("SELECT {}1{}", "(".repeat(200), ")".repeat(200)),
    ] {
        assert!(said(&text).contains("this is nested too deeply"), "{text}: {}", said(&text));
    }
    let many = format!("SELECT {}1 {}", "CASE WHEN NOT (true) THEN -1 END, ".repeat(100), "FROM FROM");
    assert!(!said(&many).contains("too deeply"), "{}", said(&many));
    assert_eq!(said(&format!("SELECT {}true", "NOT ".repeat(30))), "reads");
}

/// The parser tries each word both as itself and as the name of a function or column, wherever the first way fails: for ever, if nobody counts.
#[test]
fn a_mistake_within_many_words_of_two_readings_is_told_at_once() {
    let nested = |open: &str, levels: usize, inner: &str, close: &str| {
        format!("SELECT {}{inner}{}", open.repeat(levels), close.repeat(levels))
    };
    for text in [
        nested("NOT (", 22, "1 1", ")"),
        nested("NOT (", 40, "true", ")"),
        nested("CAST(", 38, "1 1", " AS INT)"),
        nested("floor(", 38, "1 1", ")"),
        nested("ARRAY[", 38, "1 1", "]"),
        nested("NOT - ", 22, ")", ""),
        nested("(x) -> ", 38, ")", ""),
        nested("INTERVAL ", 38, ")", ""),
        nested("INTERVAL ", 100_000, "'1' DAY", ""),
        nested("nullable(", 100_000, "x", ")"),
        nested("position(", 20, "'a'", ", 'b')"),
        format!("SELECT CAST(x AS {}INT{})", "ARRAY<".repeat(900), ">".repeat(900)),
    ] {
        let said = said(&text);
        let start: String = text.chars().take(40).collect();
        assert!(said.contains("this is nested too deeply"), "{start}: {}", said.chars().take(300).collect::<String>());
    }
    for text in [
        nested("NOT (", 18, "true", ")"),
        nested("CAST(", 20, "1", " AS INT)"),
        nested("position(", 4, "'a'", ", 'b')"),
        format!("SELECT {}1", "array < 1, ".repeat(5)),
    ] {
        assert_eq!(said(&text), "reads", "{text}");
    }
    let said = said(&nested("NOT (", 4, "1 1", ")"));
    assert!(said != "reads" && !said.contains("too deeply"), "of few levels the mistake itself is told: {said}");
}

#[test]
fn what_is_shown_and_described_is_told() {
    for text in ["DESCRIBE SELECT 1", "DESCRIBE EXTENDED bronze.b", "DESCRIBE bronze.1", "DESCRIBE"] {
        assert!(said(text).contains("write DESCRIBE <layer>.<table>"), "{text}: {}", said(text));
    }
    for text in ["SHOW COLUMNS FROM bronze.b", "SHOW DATABASES", "SHOW"] {
        assert!(said(text).contains("write SHOW TABLES, or DESCRIBE"), "{text}: {}", said(text));
    }
}

#[test]
fn what_reads_is_told_apart() {
    let kinds = |text: &str| statements("q", text).unwrap().into_iter().map(|a| a.kind).collect::<Vec<_>>();
    assert_eq!(kinds("SELECT ';' AS a -- ;\n; ; show tables;"), [StatementKind::Rows, StatementKind::ShowTables]);
    assert_eq!(kinds("(SELECT 1) UNION ALL VALUES (2)"), [StatementKind::Rows]);
    assert_eq!(kinds("explain verbose select 1"), [StatementKind::Explain]);
    let described = kinds("DESCRIBE Gold.\"Mixed\"");
    assert!(matches!(&described[..], [StatementKind::Describe(t)] if t.parts == ["gold", "Mixed"]), "{described:?}");
    for text in ["WITH a AS (SELECT 1) SELECT * FROM a, b.c", "SELECT now() WHERE EXISTS (SELECT 1 FROM d.e)"] {
        assert_eq!(said(text), "reads");
    }
}

#[test]
fn tables_are_found_wherever_they_are_read() {
    let text = "WITH a AS (SELECT * FROM one.x) SELECT * FROM a JOIN Two.\"Y\" USING (k) \
                WHERE k IN (SELECT k FROM three.z) UNION ALL SELECT * FROM four";
    let asked = statements("q", text).unwrap().remove(0);
    let names: Vec<String> =
        tables(text, &asked.parse("q", text).unwrap()).into_iter().map(|t| t.parts.join(".")).collect();
    assert_eq!(names, ["one.x", "two.Y", "three.z", "four"]);
}

#[test]
fn a_prompt_knows_when_a_statement_is_whole() {
    for text in ["SELECT 1;", "SELECT ';';  -- done", "", "  "] {
        assert!(is_whole(text), "{text:?}");
    }
    for text in ["SELECT 1", "SELECT ';", "SELECT 1 /* ;", "SELECT 1 -- ;"] {
        assert!(!is_whole(text), "{text:?}");
    }
}
