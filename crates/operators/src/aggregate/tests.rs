#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use arrow::array::{AsArray, Int64Array, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type, Schema, TimeUnit, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;
use sluicebox_core::{Blame, Blamed};
use sluicebox_functions::operators::sums;
use sluicebox_pipeline::graph::{Assigner, Hidden, Node, SessionEnd, StreamNode, Window};
use sluicebox_pipeline::window::SESSION_END;

use super::*;
use crate::conformance::{Batch, conforms};
use crate::testing::{self, Cut, Event, SECOND, Seen};

mod oracle;
mod pressure;
mod rules;
mod sessions;
mod stored;

/// The session of the operators and of the oracle: one partition, so that rows keep their order.
static SESSION: LazyLock<SessionContext> = LazyLock::new(|| {
    let session = session();
    session.register_table("t", Arc::new(MemTable::try_new(testing::schema(), vec![vec![]]).unwrap())).unwrap();
    session
});

/// One partition, and the aggregate functions of pipelines.
fn session() -> SessionContext {
    let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    for function in sluicebox_functions::aggregate() {
        session.register_udaf(function.as_ref().clone());
    }
    session
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn tumbling(seconds: i64) -> Window {
    hopping(seconds, seconds, 0)
}

fn hopping(size: i64, slide: i64, offset: i64) -> Window {
    even(size * SECOND, slide * SECOND, offset * SECOND)
}

/// A window of these microseconds.
fn even(size_micros: i64, slide_micros: i64, offset_micros: i64) -> Window {
    Window { position: 0, assigner: Assigner::Hopping { size_micros, slide_micros, offset_micros } }
}

/// Size, slide and offset of a window that [`even`] has made.
fn lengths(window: &Window) -> (i64, i64, i64) {
    match window.assigner {
        Assigner::Hopping { size_micros, slide_micros, offset_micros } => (size_micros, slide_micros, offset_micros),
        other => unreachable!("{other:?}"),
    }
}

fn window_field() -> FieldRef {
    let time = provenance::event_time_type();
    let bounds = Fields::from(vec![Field::new("start", time.clone(), false), Field::new("end", time, false)]);
    Arc::new(Field::new("window", DataType::Struct(bounds), false))
}

/// The node of `SELECT <aggregates> FROM t GROUP BY window, <keys>`, as the planner makes it.
fn node(keys: &[&str], aggregates: &str, window: Window) -> AggregateNode {
    node_over("t", testing::schema(), keys, aggregates, window)
}

/// The same, over the rows of `table`, which has `schema`.
fn node_over(table: &str, schema: SchemaRef, keys: &[&str], aggregates: &str, window: Window) -> AggregateNode {
    let columns: Vec<&str> = keys.iter().copied().chain((!aggregates.is_empty()).then_some(aggregates)).collect();
    let group = if keys.is_empty() { String::new() } else { format!("GROUP BY {}", keys.join(", ")) };
    let sql = format!("SELECT {} FROM {table} {group}", columns.join(", "));
    let plan = block_on(SESSION.state().create_logical_plan(&sql)).unwrap();
    let mut found = None;
    plan.apply(|plan| {
        if let LogicalPlan::Aggregate(aggregate) = plan {
            found = Some(aggregate.clone());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
    let aggregate = found.unwrap();
    let mut fields: Vec<FieldRef> = aggregate.schema.fields().to_vec();
    fields.insert(window.position, window_field());
    fields.extend(provenance::watermark_fields());
    let input = StreamNode {
        upstream: "silver".into(),
        clause: None,
        schema,
        hidden: Hidden { provenance: true, event_time: true },
    };
    AggregateNode {
        id: "gold.aggregate.0".into(),
        input: Box::new(Node::Stream(input)),
        input_schema: Arc::clone(aggregate.input.schema()),
        group: aggregate.group_expr.clone(),
        sets: Vec::new(),
        window,
        aggregates: aggregate.aggr_expr.clone(),
        known_as: aggregate.aggr_expr.iter().map(|e| sums::as_before(e, aggregate.input.schema())).collect(),
        computed: Vec::new(),
        clauses: vec!["silver.0".into()],
        schema: Arc::new(Schema::new(fields)),
    }
}

fn operator(node: &AggregateNode) -> WindowAggregate {
    WindowAggregate::try_new(node, &SESSION.state()).unwrap()
}

/// One row an (event time in seconds, key, value), in partition 0.
fn rows(events: &[(i64, u8, i64)]) -> RecordBatch {
    let seen = |(offset, &(time, key, value)): (usize, &(i64, u8, i64))| Seen {
        part: 0,
        offset,
        event: Event { time: Some(time * SECOND), key, value },
    };
    testing::batch(&events.iter().enumerate().map(seen).collect::<Vec<_>>())
}

/// The rows as text: window start and end in seconds or microseconds, keys, values.
fn text(batches: &[RecordBatch]) -> Vec<String> {
    batches.iter().flat_map(rows_as_text).collect()
}

fn rows_as_text(batch: &RecordBatch) -> Vec<String> {
    let visible = provenance::visible(batch).unwrap();
    let columns: Vec<ArrayRef> = visible.columns().iter().flat_map(flat).collect();
    let options = FormatOptions::new().with_null("NULL");
    let formats: Vec<_> = columns.iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap()).collect();
    let cell = |row: usize, format: &ArrayFormatter<'_>| format.value(row).to_string();
    (0..batch.num_rows()).map(|row| formats.iter().map(|f| cell(row, f)).collect::<Vec<_>>().join(" ")).collect()
}

/// Windows as their bounds in microseconds; doubles in nine digits, since sums may be added in another order.
fn flat(column: &ArrayRef) -> Vec<ArrayRef> {
    match column.data_type() {
        DataType::Struct(_) => column.as_struct().columns().iter().flat_map(flat).collect(),
        DataType::Timestamp(..) => vec![cast(column, &DataType::Int64).unwrap()],
        DataType::Float64 => {
            let digits = |v: f64| if v == 0.0 { "0".to_owned() } else { format!("{v:.8e}") };
            let values = column.as_primitive::<arrow::datatypes::Float64Type>();
            vec![Arc::new(values.iter().map(|v| v.map(digits)).collect::<arrow::array::StringArray>())]
        }
        _ => vec![Arc::clone(column)],
    }
}
