//! Wrong queries, each thrown at all that `plan` checks: what a person reads is in the snapshot.
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use sluicebox_core::provenance::{event_time_type, provenance_fields};
use sluicebox_engine::prove;
use sluicebox_pipeline::{bind, parse};

const SOURCE: &str = "CREATE TABLE orders USING kafka OPTIONS ('subscribe' = 'orders');\n";
const WINDOW: &str =
    "FROM STREAM orders WATERMARK ts DELAY OF INTERVAL '1 minute' GROUP BY window(ts, INTERVAL '1 hour')";

fn orders() -> SchemaRef {
    let text = || DataType::Utf8;
    let entries = vec![Field::new("key", text(), false), Field::new("value", text(), true)];
    let map = DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries.into()), false)), false);
    let mut fields: Vec<Arc<Field>> = [
        ("order_id", text()),
        ("customer", text()),
        ("amount", DataType::Decimal128(12, 2)),
        ("quantity", DataType::Int32),
        ("ts", event_time_type()),
        ("paid_at", event_time_type()),
        ("tags", DataType::List(Arc::new(Field::new_list_field(text(), true)))),
        ("address", DataType::Struct(Fields::from(vec![Field::new("city", text(), true)]))),
        ("attributes", map),
        ("_key", DataType::Binary),
    ]
    .into_iter()
    .map(|(name, data_type)| Arc::new(Field::new(name, data_type, true)))
    .collect();
    fields.extend(provenance_fields());
    Arc::new(Schema::new(fields))
}

/// As [`orders`], without NULLs.
fn orders_without_nulls() -> SchemaRef {
    let fields = orders().fields().iter().map(|f| f.as_ref().clone().with_nullable(false)).collect::<Vec<_>>();
    Arc::new(Schema::new(fields))
}

/// What is right is not refused, whether columns have NULLs or not.
#[tokio::test]
async fn what_can_run_is_proved() {
    let right = [
        "agg sum(quantity)",
        "agg count(DISTINCT customer)",
        "agg max(amount) + min(quantity)",
        "agg array_agg(customer ORDER BY ts)",
        "agg approx_percentile_cont(quantity, 0.5)",
        "agg first_value(customer ORDER BY ts)",
        "CAST(customer AS INT)",
        "1 / quantity",
        "CASE WHEN quantity > 0 THEN 1 / quantity ELSE 1 / 0 END",
        "customer = '1'",
        "quantity = '1'",
        "regexp_like(customer, '^a.*')",
        "to_timestamp(customer, 'yyyy-MM-dd')",
        "date_trunc('hour', ts)",
        "coalesce(customer, 'none')",
        "now() - ts > INTERVAL '1 day'",
        "SELECT window.start AS ws, customer, count(*) AS n FROM STREAM orders WATERMARK ts DELAY OF INTERVAL '1 minute' \
         GROUP BY window(ts, INTERVAL '1 hour'), customer HAVING count(*) > 1",
        "SELECT session_window.start AS ws, customer, sum(quantity) AS n FROM STREAM orders WATERMARK ts DELAY OF INTERVAL '1 minute' \
         GROUP BY session_window(ts, INTERVAL '1 hour'), customer",
        "SELECT s.end AS we, max(amount) AS n FROM STREAM orders WATERMARK ts DELAY OF INTERVAL '1 minute' \
         GROUP BY session_window(ts, CASE WHEN quantity > 1 THEN '5 minutes' ELSE '1 month' END) AS s",
        "SELECT window.start AS day, count(*) AS n FROM STREAM orders WATERMARK ts DELAY OF INTERVAL '1 minute' \
         GROUP BY window(ts, INTERVAL '1 day', tz => 'Europe/Berlin')",
        "SELECT window_end AS we, customer, count(*) AS n FROM TABLE(CUMULATE(STREAM orders WATERMARK ts DELAY OF INTERVAL '1 minute', \
         DESCRIPTOR(ts), INTERVAL '1' HOUR, INTERVAL '1' DAY)) GROUP BY window_start, window_end, customer",
        "SELECT window.start AS ws, customer, quantity, grouping(customer) AS g, sum(amount) AS n FROM STREAM orders WATERMARK ts \
         DELAY OF INTERVAL '1 minute' GROUP BY window(ts, INTERVAL '1 hour'), CUBE (customer, quantity)",
        "SELECT ended, customer, n, place, before FROM (SELECT *, rank() OVER (PARTITION BY ended ORDER BY n DESC) AS place, \
         lag(n) OVER (PARTITION BY ended ORDER BY n DESC) AS before FROM (SELECT window.end AS ended, customer, count(*) AS n \
         FROM STREAM orders WATERMARK ts DELAY OF INTERVAL '1 minute' GROUP BY window(ts, INTERVAL '1 hour'), customer) AS a) AS b \
         WHERE place <= 3",
        "SELECT ended, customer, before, among FROM (SELECT *, lag(n) OVER (PARTITION BY ended ORDER BY n DESC) AS before, \
         count(*) OVER (PARTITION BY ended) AS among FROM (SELECT window.end AS ended, customer, count(*) AS n \
         FROM STREAM orders WATERMARK ts DELAY OF INTERVAL '1 minute' GROUP BY window(ts, INTERVAL '1 hour'), customer) AS a) AS b",
        "SELECT ended, customer, place, before, again, among FROM (SELECT *, rank() OVER (PARTITION BY ended ORDER BY n DESC) AS place, \
         lag(n) OVER (PARTITION BY ended ORDER BY n DESC) AS before, row_number() OVER (PARTITION BY ended ORDER BY customer) AS again, \
         count(*) OVER (PARTITION BY ended, customer) AS among FROM (SELECT window.end AS ended, customer, count(*) AS n \
         FROM STREAM orders WATERMARK ts DELAY OF INTERVAL '1 minute' GROUP BY window(ts, INTERVAL '1 hour'), customer) AS a) AS b",
        "SELECT * FROM HOP(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' MINUTE, INTERVAL '1' HOUR)",
        "SELECT w.start AS ws, max(n) AS most FROM (SELECT session_window, customer, count(*) AS n FROM STREAM orders WATERMARK ts \
         DELAY OF INTERVAL '1 minute' GROUP BY session_window(ts, INTERVAL '1 hour'), customer) AS x \
         GROUP BY window(session_window, INTERVAL '1 day') AS w",
        "SELECT DISTINCT ON (order_id) * FROM STREAM orders WATERMARK ts DELAY OF INTERVAL '1 minute'",
    ];
    for line in right {
        for schema in [orders(), orders_without_nulls()] {
            assert_eq!(said_of(&pipeline(line), schema).await, None, "{line}");
        }
    }
}

/// The pipeline of a line.
fn pipeline(line: &str) -> String {
    let query = match line.strip_prefix("agg ") {
        Some(aggregate) => format!("SELECT window.start AS ws, {aggregate} AS x {WINDOW}"),
        None if ["SELECT", "INSERT", "UPDATE", "DELETE", "VALUES", "FROM ", "TABLE "]
            .iter()
            .any(|word| line.starts_with(word)) =>
        {
            line.to_owned()
        }
        None => format!("SELECT order_id, {line} AS x FROM STREAM orders"),
    };
    format!("{SOURCE}CREATE STREAMING TABLE t AS {query};\n")
}

async fn said(text: &str) -> Option<String> {
    said_of(text, orders()).await
}

async fn said_of(text: &str, schema: SchemaRef) -> Option<String> {
    let schemas = BTreeMap::from([("orders".to_owned(), schema)]);
    let bound = parse("p.sql", text, &[]).and_then(|pipeline| bind::bind(pipeline, &schemas));
    match bound {
        Err(found) => Some(found.render(false)),
        Ok(graph) => prove(&graph, &bind::session_state(1)).await.err().map(|found| found.render(false)),
    }
}

/// What no message may have: names of types and errors that only a programmer of the engine knows.
const DUMPS: &[&str] = &[
    "Column {",
    "relation:",
    "Utf8",
    "Int64",
    "Int32",
    "Float64",
    "Decimal128",
    "DataFusionError",
    "ArrowError",
    "Arrow error",
    "This feature is not implemented",
    "not implemented",
    "Unsupported ast node",
    "Error during planning",
    "Execution error",
    "Internal error",
    "Schema error",
    "Cast error",
    "Parser error",
    "SQL error",
    "Optimizer rule",
    "Physical plan",
    "Some(",
    "None",
    "Timestamp(",
    "List(",
    "Struct(",
    "TypeSignature",
    "Candidate functions",
    "Any(",
    "Coercible",
    "Exactly(",
    "Uniform(",
    "UserDefined",
    "Variadic",
    "likely caused by a bug",
    "backtrace",
    "BinaryExpr",
    "{ ",
    "type_coercion",
    "get_field",
    "make_array",
    "ColumnarValue",
    "LogicalPlan",
    "sqlparser",
    "DataFusion",
];

/// Whether a line of a message shows one of the pipeline: it begins with its number.
fn is_text(line: &str) -> bool {
    line.trim_start().split(' ').next().is_some_and(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()))
}

#[tokio::test]
async fn every_wrong_query_is_answered_with_place_reason_and_way_on() {
    let lines: Vec<&str> =
        include_str!("wrong_queries.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert!(lines.len() >= 150, "{}", lines.len());
    let (mut all, mut dumps) = (String::new(), Vec::new());
    for line in lines {
        let told = said(&pipeline(line)).await.unwrap_or_else(|| "nothing is wrong with it\n".to_owned());
        // The query itself stands in the message; what is said about it must be in words.
        let words: String = told.lines().filter(|l| !is_text(l)).collect();
        for dump in DUMPS.iter().filter(|dump| words.contains(**dump) && !line.contains(**dump)) {
            dumps.push(format!("{line}: `{dump}` in\n{told}"));
        }
        all.push_str(&format!("── {line}\n{told}\n"));
    }
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!("wrong_queries", all) });
    assert!(dumps.is_empty(), "{}", dumps.join("\n"));
}
