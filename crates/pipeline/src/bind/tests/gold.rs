//! The first pipeline, and the shapes of others.

use sluicebox_core::fate::Ledger;

use super::*;
use crate::graph::{Assigner, Hidden, Window};

#[test]
fn the_first_pipeline_has_the_shape_of_the_design() {
    let graph = graph(GOLD);
    let shapes: Vec<(String, String)> =
        graph.tables.iter().map(|t| (t.name.clone(), shape(&t.flows[0].node))).collect();
    assert_eq!(
        shapes,
        [
            ("bronze_sales", "Plan(Stream)"),
            ("silver_sales", "Dedup(Late(Plan(Stream clause)))"),
            ("gold_revenue_5m", "Plan(Aggregate(Plan(Stream)))"),
        ]
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
}

#[test]
fn the_first_pipeline_is_described() {
    let graph = graph(GOLD);
    insta::assert_snapshot!("gold_text", graph.describe().to_string());
    insta::assert_snapshot!("gold_json", serde_json::to_string_pretty(&graph.describe()).unwrap());
}

#[test]
fn every_table_says_what_flows_on() {
    let graph = graph(GOLD);
    let [bronze, silver, gold] = graph.tables.as_slice() else { return assert_eq!(graph.tables.len(), 3) };
    assert_eq!(bronze.hidden, Hidden { provenance: true, event_time: false });
    assert_eq!(silver.hidden, Hidden { provenance: true, event_time: true });
    assert_eq!(gold.hidden, Hidden { provenance: false, event_time: true });
    assert_eq!((bronze.ledger, silver.ledger, gold.ledger), (Ledger::Rows, Ledger::Rows, Ledger::Aggregate));
    assert_eq!(silver.event_time, ["event_time"]);
    assert!(bronze.clauses.is_empty());
    assert_eq!(silver.clauses, ["silver_sales.0"]);
    assert_eq!(gold.clauses, ["silver_sales.0"]);
    let Node::Dedup(dedup) = &silver.flows[0].node else { return assert_eq!("", "no dedup") };
    assert_eq!(dedup.delay_micros, Some(600_000_000));
    assert_eq!(dedup.keys, ["__sb_key_0"]);
    let last: Vec<&String> = dedup.schema.fields().iter().rev().take(5).map(|f| f.name()).collect();
    assert_eq!(last, ["__sb_late", "__sb_event_time", "__sb_offset", "__sb_part", "event_date"]);
    let Node::Plan(top) = &gold.flows[0].node else { return assert_eq!("", "no plan") };
    let (name, Node::Aggregate(aggregate)) = &top.inputs[0] else { return assert_eq!("", "no aggregate") };
    assert_eq!(top.leaf(name).unwrap().columns(), &aggregate.schema);
    assert_eq!(aggregate.window, Window { position: 0, assigner: Assigner::tumbling(300_000_000) });
    assert_eq!((aggregate.group.len(), aggregate.aggregates.len()), (2, 2));
    let below: Vec<&String> = aggregate.input.schema().fields().iter().map(|f| f.name()).collect();
    assert_eq!(below, ["region", "plan_tier", "amount", "__sb_part", "__sb_offset", "__sb_event_time", "__sb_late"]);
}

/// A sum that an earlier version kept in 64 bits is known as one, with FILTER too, which only keeps its argument from some rows.
#[test]
fn a_filter_does_not_hide_what_a_sum_was() {
    let graph = graph(&format!(
        "{SALES}CREATE STREAMING TABLE t AS SELECT window.start AS s, sum(quantity) FILTER (WHERE quantity > 1) AS a, \
         sum(quantity + 1) FILTER (WHERE quantity > 1) AS b, sum(amount) FILTER (WHERE quantity > 1) AS c \
         FROM STREAM sales WATERMARK event_time DELAY OF INTERVAL '1 minute' GROUP BY window(event_time, INTERVAL '1 hour');"
    ));
    let Node::Plan(top) = &graph.tables[0].flows[0].node else { return assert_eq!("", "no plan") };
    let (_, Node::Aggregate(aggregate)) = &top.inputs[0] else { return assert_eq!("", "no aggregate") };
    let was_bigint: Vec<bool> = (0..aggregate.aggregates.len()).map(|at| aggregate.was_bigint(at)).collect();
    assert_eq!(was_bigint, [true, true, false]);
    assert_eq!(aggregate.known_as.iter().filter(|expr| expr.to_string().contains("CASE")).count(), 0);
    let guarded: Vec<bool> = aggregate.aggregates.iter().map(|expr| expr.to_string().contains("CASE")).collect();
    assert_eq!(guarded, [false, true, false]);
}

#[test]
fn no_plan_stands_where_none_is_needed() {
    let table = |query: &str| last_shape(&format!("{SALES}CREATE STREAMING TABLE t AS {query};"));
    assert_eq!(table("SELECT * FROM STREAM sales"), "Stream");
    assert_eq!(
        table("SELECT * FROM STREAM sales WATERMARK event_time DELAY OF INTERVAL '1 minute'"),
        "Late(Stream clause)"
    );
    assert_eq!(table("SELECT region FROM STREAM sales WHERE quantity > 1"), "Plan(Stream)");
    assert_eq!(table("SELECT DISTINCT region FROM STREAM sales"), "Dedup(Plan(Stream))");
    assert_eq!(
        table("SELECT upper(x.r) AS r FROM (SELECT DISTINCT region AS r FROM STREAM sales) AS x"),
        "Plan(Dedup(Plan(Stream)))"
    );
    assert_eq!(
        table("SELECT region FROM STREAM sales UNION ALL SELECT product FROM STREAM sales"),
        "Plan(Stream, Stream)"
    );
    assert_eq!(
        table(
            "SELECT window.start AS s, count(*) AS n FROM STREAM sales WATERMARK event_time DELAY OF INTERVAL '1 minute' \
             WHERE region = 'NA' GROUP BY window(event_time, INTERVAL '10 minutes', INTERVAL '5 minutes')"
        ),
        "Plan(Aggregate(Late(Plan(Stream clause))))"
    );
}

#[test]
fn casts_are_told_as_they_are_written() {
    let graph = graph(&format!(
        "{SALES}CREATE STREAMING TABLE t AS SELECT CAST(region AS BIGINT) AS a, TRY_CAST(region AS INT) + 1 AS b, \
         CAST(quantity AS STRING) AS c, CAST(upper(CAST(amount AS STRING)) AS DOUBLE) AS d FROM STREAM sales \
         WHERE CAST(region AS DATE) > DATE '2026-01-01';"
    ));
    let steps = graph.describe().tables[0].flows[0].steps.join("\n");
    for written in [
        "CAST(region AS BIGINT) AS a",
        "TRY_CAST(region AS INT)",
        "CAST(quantity AS STRING) AS c",
        "CAST(upper(CAST(amount AS STRING)) AS DOUBLE) AS d",
        "CAST(region AS DATE) > ",
    ] {
        assert!(steps.contains(written), "{written}: {steps}");
    }
    assert!(!steps.contains("cast_to_"), "{steps}");
}

#[test]
fn windows_stand_on_windows() {
    let text = format!(
        "{SALES}CREATE STREAMING TABLE a AS SELECT window, region, count(*) AS n
         FROM STREAM sales WATERMARK event_time DELAY OF INTERVAL '1 minute'
         GROUP BY window(event_time, INTERVAL '1 minute'), region;
         CREATE STREAMING TABLE b AS SELECT window.end AS until, sum(n) AS n, max(cast(n AS double)) AS most
         FROM STREAM a GROUP BY window(window_time(window), INTERVAL '1 hour');
         CREATE STREAMING TABLE c AS SELECT window_time(window) AS time, n FROM STREAM a;
         CREATE STREAMING TABLE d AS SELECT count(*) AS n FROM STREAM c GROUP BY window(time, INTERVAL '1 hour');"
    );
    let graph = graph(&text);
    assert_eq!(shape(&graph.tables[1].flows[0].node), "Plan(Aggregate(Plan(Stream)))");
    assert_eq!(graph.tables[2].event_time, ["time"]);
    assert_eq!(graph.tables[3].clauses, ["a.0"]);
    insta::assert_snapshot!("windows_on_windows", graph.describe().to_string());
}

#[test]
fn a_watermark_at_a_view_stands_at_its_stream() {
    let text = format!(
        "{SALES}CREATE TEMPORARY VIEW v AS SELECT region, event_time AS time FROM STREAM sales;
         CREATE TEMPORARY VIEW w AS SELECT x.time AS at FROM STREAM v AS x;
         CREATE STREAMING TABLE t AS SELECT count(*) AS n FROM STREAM w WATERMARK at DELAY OF INTERVAL '1 minute'
         GROUP BY window(at, INTERVAL '1 minute');"
    );
    let graph = graph(&text);
    assert_eq!(shape(&graph.tables[0].flows[0].node), "Plan(Aggregate(Late(Plan(Stream clause))))");
    let mixed = format!(
        "{SALES}CREATE TEMPORARY VIEW v AS SELECT event_time FROM STREAM sales;
         CREATE STREAMING TABLE t AS SELECT * FROM STREAM v WATERMARK event_time DELAY OF INTERVAL '1 minute'
         UNION ALL SELECT * FROM STREAM v;"
    );
    assert!(mistakes(&mixed).contains("mixed-union"));
    let (upstream, clause) = graph.clauses().remove("t.0").unwrap();
    assert_eq!((upstream.as_str(), clause.column.as_str()), ("sales", "event_time"));
}

#[test]
fn steps_read_like_sql() {
    let text = format!(
        "{SALES}CREATE STREAMING TABLE t AS SELECT window.start, upper(region) AS r, sum(amount), count(*) AS n,
         count(DISTINCT product) FILTER (WHERE quantity > 1) AS p
         FROM STREAM sales WATERMARK event_time DELAY OF INTERVAL '90 seconds'
         WHERE ingest_time - event_time < INTERVAL '1 day' AND region LIKE 'N%'
         GROUP BY window(event_time, INTERVAL '10 minutes', INTERVAL '2 minutes 30 seconds'), region HAVING count(*) > 2;
         CREATE STREAMING TABLE u AS SELECT DISTINCT ON (lower(event_id)) x.*
         FROM (SELECT *, unnest([1, 2]) AS e FROM STREAM sales) AS x;
         CREATE FLOW f AS INSERT INTO u SELECT *, CAST(1 AS int) AS e FROM STREAM sales WHERE _timestamp > now();
         CREATE STREAMING TABLE v AS SELECT event_id, explode(split(product, '-')) AS part,
         explode(map('a', 1)) AS (k, v) FROM STREAM sales;"
    );
    insta::assert_snapshot!(graph(&text).describe().to_string());
}

#[test]
fn queries_of_many_shapes_bind() {
    let mut out = String::new();
    for query in [
        "SELECT date_trunc('day', event_time) AS d, count(*) AS n FROM STREAM sales WATERMARK event_time DELAY OF INTERVAL \
         '1 minute' GROUP BY d, window(event_time, INTERVAL '1 minute')",
        "SELECT region, window.start AS s, first_value(product ORDER BY ingest_time DESC) AS p FROM STREAM sales AS s \
         WATERMARK event_time DELAY OF INTERVAL '1 minute' GROUP BY 1, window(s.event_time, INTERVAL '1 minute')",
        "SELECT count(*) AS n FROM (SELECT DISTINCT ON (event_id) event_time AS t, upper(region) AS r FROM STREAM sales \
         WATERMARK event_time DELAY OF INTERVAL '1 minute') AS x GROUP BY window(t, INTERVAL '1 minute'), r",
        "WITH c AS (SELECT window, region, count(*) AS n FROM STREAM sales WATERMARK event_time DELAY OF INTERVAL '1 minute' \
         GROUP BY window(event_time, INTERVAL '1 minute'), region) SELECT max(n) AS m FROM c GROUP BY window(c.window, \
         INTERVAL '1 hour')",
        "SELECT avg(amount) AS a, approx_percentile_cont(quantity, 0.5) AS b, array_agg(DISTINCT product) AS c, \
         stddev(quantity) AS d, bool_and(quantity > 1) AS e FROM STREAM sales WATERMARK event_time DELAY OF INTERVAL \
         '1 minute' GROUP BY window(event_time, INTERVAL '1 minute'), region || plan_tier",
        "SELECT region FROM STREAM sales WATERMARK event_time DELAY OF INTERVAL '1 minute' UNION SELECT product FROM STREAM \
         sales WATERMARK ingest_time DELAY OF INTERVAL '2 minutes'",
        "SELECT hex(quantity) AS h, initcap(region) AS i, sha2(region, 256) AS s, date_add(CAST(event_time AS DATE), 1) AS d, \
         CASE WHEN quantity > 1 THEN 'a' ELSE 'b' END AS c, _headers[1]['key'] AS k, regexp_like(region, 'N.*') AS r, \
         extract(hour FROM event_time) AS e, coalesce(event_id, 'x') AS o, CAST(quantity AS long) AS l FROM STREAM sales",
        "SELECT count(*) AS n FROM (SELECT event_time FROM STREAM sales WATERMARK event_time DELAY OF INTERVAL '1 minute' \
         UNION ALL SELECT event_time FROM STREAM more WATERMARK event_time DELAY OF INTERVAL '2 minutes') AS u \
         GROUP BY window(event_time, INTERVAL '1 minute')",
        "SELECT DISTINCT ON (region) * EXCEPT (_key, _headers) FROM STREAM sales WHERE quantity BETWEEN 1 AND 3",
        "SELECT DISTINCT ON (a.region) a.region, b FROM (SELECT DISTINCT ON (product) region, product AS b FROM STREAM sales) AS a",
        "SELECT window, count(*) AS n FROM STREAM sales WATERMARK event_time DELAY OF INTERVAL '1 minute' \
         GROUP BY window(event_time, '1 minute') HAVING sum(quantity) > 10 AND window.start > TIMESTAMP '2026-01-01'",
    ] {
        let more = SALES.replace("TABLE sales", "TABLE more");
        let graph = graph(&format!("{SALES}{more}CREATE STREAMING TABLE t AS {query};"));
        let table = &graph.tables[0];
        let columns: Vec<String> = table
            .schema
            .fields()
            .iter()
            .map(|f| format!("{} {}", f.name(), crate::bind::words::sql_type(f.data_type())))
            .collect();
        out.push_str(&format!(
            "{query}\n  {}\n  {}\n  {:?} {:?} event time {:?}\n\n",
            shape(&table.flows[0].node),
            columns.join(", "),
            table.ledger,
            table.clauses,
            table.event_time
        ));
    }
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!("queries_of_many_shapes", out) });
}
