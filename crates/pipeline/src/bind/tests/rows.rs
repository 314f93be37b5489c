//! Plans over rows: hidden columns come through, and durations are compared as durations.

use std::collections::HashMap;

use arrow::array::{
    ArrayRef, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt8Array,
    new_null_array,
};
use arrow::util::pretty::pretty_format_batches;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::LogicalPlan;
use sluicebox_core::provenance::{EVENT_TIME, LATE, OFFSET, PART};

use super::*;
use crate::bind::{bind_clock, session_state, uses_clock};
use crate::graph::PlanNode;
use crate::leaf::{collect_in_order, with_rows};

const HOUR: i64 = 3_600_000_000;

/// Three rows in any schema that has the sales columns: times 0h, 30h, 24h apart.
fn sales(schema: &SchemaRef) -> RecordBatch {
    let n = 3;
    let known: HashMap<&str, ArrayRef> = HashMap::from([
        ("event_id", Arc::new(StringArray::from(vec![Some("a"), Some("b"), None])) as ArrayRef),
        ("account_id", Arc::new(StringArray::from(vec!["x", "y", "z"]))),
        ("region", Arc::new(StringArray::from(vec!["NA", "EMEA", "NA"]))),
        ("plan_tier", Arc::new(StringArray::from(vec!["free", "pro", "free"]))),
        ("product", Arc::new(StringArray::from(vec!["p", "q", "r"]))),
        ("currency", Arc::new(StringArray::from(vec!["USD", "EUR", "USD"]))),
        ("_topic", Arc::new(StringArray::from(vec!["sales", "sales", "sales"]))),
        ("quantity", Arc::new(Int32Array::from(vec![1, 2, 3]))),
        ("_partition", Arc::new(Int32Array::from(vec![0, 0, 1]))),
        ("_offset", Arc::new(Int64Array::from(vec![10, 11, 7]))),
        (PART, Arc::new(Int32Array::from(vec![0, 0, 1]))),
        (OFFSET, Arc::new(Int64Array::from(vec![10, 11, 7]))),
        (LATE, Arc::new(UInt8Array::from(vec![0, 1, 0]))),
        ("event_time", Arc::new(TimestampMicrosecondArray::from(vec![0, 0, 0]).with_timezone("UTC"))),
        (EVENT_TIME, Arc::new(TimestampMicrosecondArray::from(vec![0, 0, 0]).with_timezone("UTC"))),
        ("ingest_time", Arc::new(TimestampMicrosecondArray::from(vec![0, 30 * HOUR, 24 * HOUR]).with_timezone("UTC"))),
    ]);
    let columns = schema.fields().iter().map(|f| match known.get(f.name().as_str()) {
        Some(array) => Arc::clone(array),
        None if f.name() == "amount" => {
            Arc::new(Decimal128Array::from(vec![100, 250, 333]).with_precision_and_scale(12, 2).unwrap()) as ArrayRef
        }
        None => new_null_array(f.data_type(), n),
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect()).unwrap()
}

async fn run(plan: &LogicalPlan) -> Vec<RecordBatch> {
    let state = session_state(1);
    let optimised = state.optimize(plan).unwrap();
    let physical = state.create_physical_plan(&optimised).await.unwrap();
    collect_in_order(physical, &state.task_ctx()).await.unwrap()
}

/// The lowest plan of the last table, over the sales rows in each leaf.
async fn lowest(text: &str) -> String {
    let graph = graph(text);
    let nodes = graph.tables.last().unwrap().flows[0].node.bottom_up();
    let plan: &PlanNode = nodes
        .into_iter()
        .find_map(|n| match n {
            Node::Plan(plan) => Some(plan),
            _ => None,
        })
        .unwrap();
    let schema_of = |name: &str| plan.inputs.iter().find(|(n, _)| n == name).unwrap().1.schema().clone();
    with_rows(&plan.plan, |name| vec![sales(&schema_of(name))]).unwrap();
    let rows = run(&plan.plan).await;
    for batch in &rows {
        assert_eq!(batch.schema().fields(), plan.schema.fields());
    }
    pretty_format_batches(&rows).unwrap().to_string()
}

#[tokio::test]
async fn hidden_columns_come_through() {
    let mut out = String::new();
    for query in [
        "SELECT upper(region) AS r, quantity * 2 AS q FROM STREAM sales",
        "SELECT region FROM STREAM sales WHERE quantity >= 2",
        "SELECT x.r FROM (SELECT region AS r, quantity AS q FROM STREAM sales AS s WHERE s.quantity < 3) AS x WHERE x.q > 1",
        "SELECT region AS v FROM STREAM sales UNION ALL SELECT product FROM STREAM sales WHERE quantity = 3",
        "WITH c AS (SELECT region, quantity FROM STREAM sales) SELECT a.region FROM c AS a UNION ALL SELECT region FROM c",
        "SELECT region, quantity FROM STREAM sales WATERMARK event_time DELAY OF INTERVAL '1 minute' WHERE quantity > 1",
        "SELECT DISTINCT ON (upper(region), quantity % 2) product AS p FROM STREAM sales",
        "SELECT DISTINCT region FROM STREAM sales",
        "SELECT region, unnest([quantity, quantity * 10]) AS q FROM STREAM sales",
        "SELECT window, sum(amount) AS s FROM STREAM sales WATERMARK event_time DELAY OF INTERVAL '1 minute' WHERE \
         quantity > 1 GROUP BY window(event_time, INTERVAL '1 minute')",
        "SELECT 'constant' AS c FROM STREAM v UNION ALL SELECT r FROM STREAM v",
    ] {
        let view = "CREATE TEMPORARY VIEW v AS SELECT lower(region) AS r FROM STREAM sales WHERE quantity <> 2;\n";
        let rows = lowest(&format!("{SALES}{view}CREATE STREAMING TABLE t AS {query};")).await;
        out.push_str(&format!("{query}\n{rows}\n\n"));
    }
    insta::assert_snapshot!(out);
}

#[tokio::test]
async fn a_difference_is_compared_as_a_duration() {
    for (condition, kept) in [
        ("ingest_time - event_time <= INTERVAL '1 day'", vec![0, 2]),
        ("ingest_time - event_time > INTERVAL '1 day'", vec![1]),
        ("INTERVAL '1 day' = ingest_time - event_time", vec![2]),
        ("ingest_time - event_time BETWEEN INTERVAL '25 hours' AND INTERVAL '31 hours'", vec![1]),
        ("ingest_time - event_time IN (INTERVAL '24 hours', INTERVAL '30 hours')", vec![1, 2]),
        ("(ingest_time - event_time) - INTERVAL '6 hours' >= INTERVAL '1 day'", vec![1]),
        ("CAST(ingest_time AS DATE) - CAST(event_time AS DATE) >= INTERVAL '1 day'", vec![1, 2]),
        ("ingest_time > event_time + INTERVAL '1 day'", vec![1]),
        ("date_trunc('hour', ingest_time) - event_time < INTERVAL '1500 microseconds'", vec![0]),
    ] {
        let text = format!(
            "{SALES}CREATE STREAMING TABLE t (CONSTRAINT c EXPECT ({condition})) AS
             SELECT ingest_time, event_time, _offset FROM STREAM sales WHERE {condition};"
        );
        let rows = lowest(&text).await;
        for (i, offset) in ["10", "11", "7"].iter().enumerate() {
            assert_eq!(rows.contains(&format!("| {offset} ")), kept.contains(&i), "{condition}\n{rows}");
        }
        let graph = graph(&text);
        let condition = graph.tables[0].expectations[0].condition.to_string();
        assert!(!condition.contains("Interval") || condition.contains("event_time +"), "{condition}");
    }
}

#[tokio::test]
async fn the_clock_is_that_of_the_batch() {
    let text = format!(
        "{SALES}CREATE STREAMING TABLE t AS SELECT now() AS a, current_date AS b, current_time AS c, localtimestamp AS d,
         current_timestamp AS e, current_timestamp() + INTERVAL '1 day' AS f FROM STREAM sales WHERE quantity = 1;"
    );
    let graph = graph(&text);
    let Node::Plan(node) = &graph.tables[0].flows[0].node else { return assert_eq!("", "no plan") };
    assert!(uses_clock(&node.plan));
    let bound = bind_clock(node.plan.clone(), 25 * HOUR).unwrap();
    assert!(!uses_clock(&bound));
    assert_eq!(bound.schema().inner(), node.plan.schema().inner());
    let input = node.inputs[0].1.schema();
    with_rows(&bound, |_| vec![sales(input)]).unwrap();
    insta::assert_snapshot!(pretty_format_batches(&run(&bound).await).unwrap().to_string());
    let plain = format!("{SALES}CREATE STREAMING TABLE t AS SELECT quantity + 1 AS q FROM STREAM sales;");
    let Node::Plan(plain) = &super::graph(&plain).tables[0].flows[0].node.clone() else { return };
    assert!(!uses_clock(&plain.plan));
}

#[test]
fn timestamps_are_microseconds_in_utc() {
    let text = format!(
        "{SALES}CREATE STREAMING TABLE t AS SELECT CAST(_topic AS TIMESTAMP) AS a, TIMESTAMP '2026-01-01 00:00:00' AS b,
         CAST(quantity AS STRING) AS c, CAST(_topic AS TIMESTAMP(3)) AS d FROM STREAM sales;"
    );
    let types: Vec<String> =
        graph(&text).tables[0].schema.fields().iter().map(|f| crate::bind::words::sql_type(f.data_type())).collect();
    assert_eq!(types, ["timestamp", "timestamp", "string", "timestamp"]);
    let _ = ScalarValue::Null;
}

/// The sales rows as DataFusion itself would query them.
async fn batch_query(query: &str) -> Vec<RecordBatch> {
    let state = session_state(1);
    let rows = sluicebox_core::provenance::visible(&sales(&sales_schema())).unwrap();
    let table = datafusion::datasource::MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap();
    let context = datafusion::prelude::SessionContext::new_with_state(state);
    context.register_table("sales", Arc::new(table)).unwrap();
    let plan = context.sql(query).await.unwrap().create_physical_plan().await.unwrap();
    collect_in_order(plan, &context.task_ctx()).await.unwrap()
}

fn text_of(rows: &[RecordBatch]) -> String {
    let visible: Vec<RecordBatch> = rows.iter().map(|b| sluicebox_core::provenance::visible(b).unwrap()).collect();
    pretty_format_batches(&visible).unwrap().to_string()
}

mod any_query {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("region"),
            Just("product"),
            Just("event_id"),
            Just("upper(region)"),
            Just("coalesce(event_id, 'none')"),
            Just("'x'"),
        ];
        (leaf.clone(), leaf).prop_map(|(a, b)| format!("concat({a}, {b})"))
    }

    fn condition() -> impl Strategy<Value = String> {
        let simple = prop_oneof![
            (0..4).prop_map(|n| format!("quantity > {n}")),
            Just("event_id IS NOT NULL".to_owned()),
            Just("ingest_time - event_time < INTERVAL '1 day'".to_owned()),
            Just("region LIKE 'N%'".to_owned()),
        ];
        proptest::collection::vec(simple, 1..3).prop_map(|all| all.join(" OR "))
    }

    /// A SELECT of the columns `a` and `b`, with `FROM sales`.
    fn query() -> impl Strategy<Value = String> {
        let select = (value(), value(), proptest::option::of(condition())).prop_map(|(a, b, condition)| {
            let filter = condition.map(|c| format!(" WHERE {c}")).unwrap_or_default();
            format!("SELECT {a} AS a, {b} AS b FROM sales{filter}")
        });
        select.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} UNION ALL {b}")),
                inner
                    .clone()
                    .prop_map(|q| format!("SELECT x.b AS a, lower(x.a) AS b FROM ({q}) AS x WHERE x.a <> 'NAx'")),
                inner.prop_map(|q| format!("SELECT c.a, c.b FROM (WITH c AS ({q}) SELECT * FROM c) AS c")),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// A stateless query over a stream gives the rows, in the order, of the same query over a table.
        #[test]
        fn gives_what_the_batch_query_gives(query in query()) {
            let stream = query.replace("FROM sales", "FROM STREAM sales");
            let text = format!("{SALES}CREATE STREAMING TABLE t AS {stream};");
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (ours, theirs) = runtime.block_on(async {
                let graph = graph(&text);
                let Node::Plan(plan) = &graph.tables[0].flows[0].node else { return (String::new(), query.clone()) };
                let input = plan.inputs[0].1.schema();
                with_rows(&plan.plan, |_| vec![sales(input)]).unwrap();
                (text_of(&run(&plan.plan).await), text_of(&batch_query(&query).await))
            });
            prop_assert_eq!(ours, theirs);
        }
    }
}

#[tokio::test]
async fn a_leaf_gives_its_rows_once_and_in_order() {
    let schema = sales_schema();
    let plan = crate::leaf::scan("x", Arc::clone(&schema)).unwrap();
    let (name, leaf) = crate::leaf::leaves(&plan).unwrap().remove(0);
    assert_eq!(name, "x");
    let one = sales(&schema);
    leaf.set(vec![one.slice(2, 1), one.slice(0, 2)]).unwrap();
    let rows = run(&plan).await;
    let rows = arrow::compute::concat_batches(&schema, &rows).unwrap();
    assert_eq!(
        rows.column(12).to_data(),
        arrow::compute::concat_batches(&schema, [&one.slice(2, 1), &one.slice(0, 2)]).unwrap().column(12).to_data()
    );
    assert_eq!(run(&plan).await.iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
    let wrong = one.project(&[0]).unwrap();
    assert!(leaf.set(vec![wrong]).is_err());
}

#[test]
fn a_condition_has_a_limit() {
    let table = |terms: usize| {
        let all: Vec<String> = (0..terms).map(|n| format!("quantity = {n}")).collect();
        let all = all.join(" OR ");
        format!(
            "{SALES}CREATE STREAMING TABLE t (CONSTRAINT c EXPECT ({all})) AS SELECT * FROM STREAM sales WHERE {all};"
        )
    };
    assert_eq!(shape(&graph(&table(200)).tables[0].flows[0].node), "Plan(Stream)");
    let refused = mistakes(&table(500));
    assert!(refused.contains("[too-deep]"), "{}", refused.chars().take(300).collect::<String>());
}

#[test]
fn a_union_has_a_limit() {
    let table = |sides| {
        let query = vec!["SELECT region FROM STREAM sales"; sides].join(" UNION ALL ");
        format!("{SALES}CREATE STREAMING TABLE t AS {query};")
    };
    let graph = graph(&table(64));
    let Node::Plan(plan) = &graph.tables[0].flows[0].node else { return assert_eq!("", "no plan") };
    assert_eq!(plan.inputs.len(), 64);
    assert!(mistakes(&table(1000)).contains("puts more than 64 queries together"));
}
