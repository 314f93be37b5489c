//! What is refused, and how it is said.

use super::*;

fn snapshot(name: &str, text: &str) {
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(name, text) });
}

/// A snapshot of each mistake, in one file.
fn all(cases: &[&str]) -> String {
    cases.iter().map(|case| mistakes(&format!("{SALES}{case}"))).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_a_stream_cannot_have() {
    snapshot(
        "what_a_stream_cannot_have",
        &all(&[
            "CREATE STREAMING TABLE t AS SELECT * FROM STREAM sales ORDER BY event_time;",
            "CREATE STREAMING TABLE t AS SELECT * FROM STREAM sales LIMIT 10;",
            "CREATE STREAMING TABLE t AS SELECT a.region FROM STREAM sales AS a JOIN STREAM sales AS b ON a.event_id = b.event_id;",
            "CREATE STREAMING TABLE t AS SELECT a.region FROM STREAM sales AS a, STREAM sales AS b;",
            "CREATE STREAMING TABLE t AS SELECT row_number() OVER (PARTITION BY region) AS n FROM STREAM sales;",
            "CREATE STREAMING TABLE t AS SELECT region FROM STREAM sales WHERE region IN (SELECT region FROM STREAM sales);",
            "CREATE STREAMING TABLE t AS SELECT region FROM STREAM sales EXCEPT SELECT region FROM STREAM sales;",
            "CREATE STREAMING TABLE t AS SELECT DISTINCT ON (event_id) * FROM STREAM sales ORDER BY event_id;",
            "CREATE STREAMING TABLE t AS SELECT DISTINCT ON (event_id) *, unnest([1, 2]) AS n FROM STREAM sales;",
            "CREATE STREAMING TABLE t AS SELECT *, random() AS r FROM STREAM sales;",
            "CREATE STREAMING TABLE t AS SELECT *, uuid() AS r FROM STREAM sales;",
            "CREATE STREAMING TABLE t AS WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM x) SELECT * FROM x;",
            "CREATE STREAMING TABLE t AS SELECT region, count(*) AS n FROM STREAM sales WATERMARK event_time DELAY OF \
         INTERVAL '1 minute' GROUP BY ROLLUP (region);",
            "CREATE STREAMING TABLE t AS SELECT nth_value(region, 2) AS n FROM STREAM sales WATERMARK event_time DELAY OF \
         INTERVAL '1 minute' GROUP BY window(event_time, INTERVAL '1 minute');",
        ]),
    );
}

#[test]
fn columns_that_are_not_there() {
    snapshot(
        "columns_that_are_not_there",
        &all(&[
            "CREATE STREAMING TABLE t AS SELECT regoin FROM STREAM sales;",
            "CREATE STREAMING TABLE t AS SELECT region FROM STREAM sales AS s WHERE s.amuont > 1;",
            "CREATE STREAMING TABLE t AS SELECT zzz FROM STREAM sales;",
            "CREATE STREAMING TABLE t (CONSTRAINT c EXPECT (regoin = 'NA')) AS SELECT region FROM STREAM sales;",
            "CREATE STREAMING TABLE t PARTITIONED BY (regoin) AS SELECT region, product FROM STREAM sales;",
            "CREATE STREAMING TABLE t AS SELECT region FROM STREAM sales WATERMARK event_tme DELAY OF INTERVAL '1 minute';",
            "CREATE STREAMING TABLE t AS SELECT uper(region) AS r FROM STREAM sales;",
            "CREATE STREAMING TABLE t AS SELECT s.region FROM STREAM sales;",
            "CREATE STREAMING TABLE t AS SELECT region FROM STREAM sales UNION ALL SELECT regoin FROM STREAM sales;",
        ]),
    );
}

#[test]
fn watermarks_and_windows() {
    snapshot("watermarks_and_windows", &all(&[
        "CREATE STREAMING TABLE t AS SELECT region, count(*) AS n FROM STREAM sales GROUP BY region;",
        "CREATE STREAMING TABLE t AS SELECT region, count(*) AS n FROM STREAM sales
         GROUP BY window(event_time, INTERVAL '1 minute'), region;",
        "CREATE STREAMING TABLE t AS SELECT count(*) AS n FROM STREAM sales WATERMARK event_time DELAY OF INTERVAL '1 minute';",
        "CREATE STREAMING TABLE t AS SELECT count(*) AS n FROM STREAM sales WATERMARK event_time DELAY OF INTERVAL '1 minute'
         GROUP BY window(ingest_time, INTERVAL '1 minute');",
        "CREATE STREAMING TABLE t AS SELECT count(*) AS n FROM STREAM sales WATERMARK event_time DELAY OF INTERVAL '1 minute'
         GROUP BY window(event_time, INTERVAL '1 minute'), window(event_time, INTERVAL '1 hour');",
        "CREATE STREAMING TABLE a AS SELECT * FROM STREAM sales WATERMARK event_time DELAY OF INTERVAL '1 minute';
         CREATE STREAMING TABLE b AS SELECT * FROM STREAM a WATERMARK event_time DELAY OF INTERVAL '1 minute';",
        "CREATE STREAMING TABLE t AS SELECT * FROM STREAM sales WATERMARK region DELAY OF INTERVAL '1 minute';",
        "CREATE STREAMING TABLE a AS SELECT window.start AS s, count(*) AS n FROM STREAM sales
         WATERMARK event_time DELAY OF INTERVAL '1 minute' GROUP BY window(event_time, INTERVAL '1 minute');
         CREATE STREAMING TABLE b AS SELECT count(*) AS n FROM STREAM a GROUP BY window(s, INTERVAL '1 hour');
         CREATE STREAMING TABLE c AS SELECT DISTINCT n FROM STREAM a;",
        "CREATE TEMPORARY VIEW v AS SELECT * FROM STREAM sales WHERE quantity > 1;
         CREATE STREAMING TABLE t AS SELECT * FROM STREAM v WATERMARK event_time DELAY OF INTERVAL '1 minute';",
        "CREATE STREAMING TABLE t AS SELECT count(*) FILTER (WHERE event_time < now()) AS n FROM STREAM sales WATERMARK event_time DELAY OF
         INTERVAL '1 minute' GROUP BY window(event_time, INTERVAL '1 minute');",
        "CREATE TEMPORARY VIEW v AS SELECT * FROM STREAM sales WATERMARK event_time DELAY OF INTERVAL '1 minute';
         CREATE STREAMING TABLE t AS SELECT * FROM STREAM v WATERMARK event_time DELAY OF INTERVAL '1 minute';",
        "CREATE STREAMING TABLE t AS SELECT region FROM STREAM sales WATERMARK event_time DELAY OF INTERVAL '1 minute'
         UNION ALL SELECT region FROM STREAM sales;",
    ]));
}

#[test]
fn types_and_names() {
    snapshot(
        "types_and_names",
        &all(&[
            "CREATE STREAMING TABLE t AS SELECT region, region FROM STREAM sales;",
            "CREATE STREAMING TABLE t AS SELECT ingest_time - event_time AS lag, NULL AS n, INTERVAL '1 day' AS i, region
         FROM STREAM sales;",
        "CREATE STREAMING TABLE t AS SELECT region, product AS region FROM STREAM sales;",
            "CREATE STREAMING TABLE t AS SELECT region AS __sb_part FROM STREAM sales;",
            "CREATE STREAMING TABLE t AS SELECT x.* FROM (SELECT region AS __sb_part FROM STREAM sales) AS x;",
            "CREATE STREAMING TABLE t AS SELECT region FROM STREAM sales UNION ALL SELECT abs(event_time) FROM STREAM sales;",
            "CREATE STREAMING TABLE t AS SELECT region, abs(event_time) AS a, date_trunc('day') AS b FROM STREAM sales;",
            "CREATE STREAMING TABLE t AS SELECT region FROM STREAM sales WHERE event_time + 1;",
            "CREATE STREAMING TABLE t AS SELECT region FROM STREAM sales WHERE ingest_time - event_time < INTERVAL '1 month';",
            "CREATE STREAMING TABLE t (CONSTRAINT c EXPECT (quantity + 1)) AS SELECT quantity FROM STREAM sales;",
            "CREATE STREAMING TABLE t (CONSTRAINT c EXPECT (count(*) > 1)) AS SELECT quantity FROM STREAM sales;",
            "CREATE STREAMING TABLE t (CONSTRAINT c EXPECT (random() > 1)) AS SELECT quantity FROM STREAM sales;",
            "CREATE STREAMING TABLE t (CONSTRAINT c EXPECT (quantity IN (SELECT 1))) AS SELECT quantity FROM STREAM sales;",
            "CREATE STREAMING TABLE t PARTITIONED BY (_key) AS SELECT quantity, _key FROM STREAM sales;",
            "CREATE STREAMING TABLE t PARTITIONED BY (key) AS SELECT quantity, _key AS key FROM STREAM sales;",
            "CREATE STREAMING TABLE t PARTITIONED BY (region) AS SELECT region FROM STREAM sales;",
            "CREATE STREAMING TABLE t AS SELECT region FROM STREAM sales;
         CREATE FLOW f AS INSERT INTO t SELECT quantity AS region FROM STREAM sales;
         CREATE FLOW g AS INSERT INTO t SELECT product FROM STREAM sales;",
        ]),
    );
}

#[test]
fn columns_of_a_source() {
    let mut schemas = schemas();
    let mut fields: Vec<Arc<Field>> = sales_schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("__sb_secret", DataType::Utf8, true)));
    fields.push(Arc::new(Field::new("_offset", DataType::Utf8, true)));
    fields.retain(|f| f.name() != sluicebox_core::provenance::OFFSET);
    schemas.insert("sales".to_owned(), Arc::new(Schema::new(fields)));
    schemas.remove("more");
    let more = SALES.replace("TABLE sales", "TABLE more");
    let text = format!("{SALES}{more}CREATE STREAMING TABLE t AS SELECT region FROM STREAM more;");
    let pipeline = crate::parse("pipeline.sql", &text, &[]).unwrap();
    snapshot("columns_of_a_source", &bind(pipeline, &schemas).unwrap_err().render(false));
}

#[test]
fn rows_are_retained_by_a_date_in_the_path() {
    let wrong = mistakes(&format!(
        "{SALES}CREATE STREAMING TABLE t PARTITIONED BY (region) TBLPROPERTIES ('retain' = '30 days')
AS SELECT * FROM STREAM sales;"
    ));
    assert!(wrong.contains("cannot be told by its folders") && wrong.contains(":2:65"), "{wrong}");
    let unpartitioned = "CREATE STREAMING TABLE t TBLPROPERTIES (retain = '30 days') AS SELECT * FROM STREAM sales;";
    assert!(mistakes(&format!("{SALES}{unpartitioned}")).contains("cannot be told by its folders"));
}

#[test]
fn what_has_no_partitions_is_not_compacted_by_a_run() {
    let table = |partitioned: &str, auto: &str| {
        format!(
            "{SALES}CREATE STREAMING TABLE t {partitioned} TBLPROPERTIES ('compact.auto' = '{auto}')
AS SELECT *, 'all' AS part FROM STREAM sales;"
        )
    };
    let wrong = mistakes(&table("", "true"));
    assert!(wrong.contains("`t` has no partitions") && wrong.contains("PARTITIONED BY (event_date)"), "{wrong}");
    for right in [table("", "false"), table("PARTITIONED BY (part)", "true")] {
        let pipeline = crate::parse("pipeline.sql", &right, &[]).unwrap();
        bind(pipeline, &schemas()).unwrap();
    }
}

#[test]
fn a_constant_of_an_expectation_that_cannot_be_computed_is_refused() {
    for (condition, why) in [
        ("quantity > 1 / 0", "`1 / 0` cannot be computed"),
        ("quantity > 0 AND abs(-2147483648) > 1", "`abs(-2147483648)` cannot be computed"),
        ("region ~ '[a'", "cannot be computed"),
        ("quantity = 'abc'", ""),
    ] {
        let said = mistakes(&format!(
            "{SALES}CREATE STREAMING TABLE t (CONSTRAINT c EXPECT ({condition})) AS SELECT quantity, region FROM STREAM sales;"
        ));
        assert!(said.contains("error[bad-constant]") && said.contains(why), "{condition}: {said}");
        assert!(said.contains(":2:"), "{condition}: {said}");
    }
}

#[test]
fn a_column_with_capitals_is_told_with_how_to_write_it() {
    let said = mistakes(&format!(
        "{SALES}CREATE STREAMING TABLE a AS SELECT region AS `orderId` FROM STREAM sales;
         CREATE STREAMING TABLE t AS SELECT orderId FROM STREAM a;"
    ));
    assert!(said.contains("names without quotes are read in lower case: write `orderId` between backticks"), "{said}");
}
