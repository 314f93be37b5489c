//! How fast operators are, each beside what it cannot be faster than, measured in the same run:
//!
//! - watermark: the highest of as many event times;
//! - dedup: hashing as many keys;
//! - window aggregate: DataFusion's own aggregation of the same rows in one go.
//!
//! A batch has 150,000 rows of three partitions, 36-byte keys, two minutes of event time and twelve groups.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints, and may stop at the first surprise")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt8Array,
};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimestampMicrosecondType};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use sluicebox_core::provenance::{EVENT_TIME, event_time_type, provenance_fields, watermark_fields};
use sluicebox_core::{Clock, PartitionId, SystemClock};
use sluicebox_operators::{AtEnd, ClauseConfig, Dedup, State, Watermark, WindowAggregate};
use sluicebox_pipeline::graph::{AggregateNode, Assigner, DedupNode, Hidden, Node, StreamNode, Window};

const ROWS: usize = 150_000;
const BATCHES: usize = 20;
const SECOND: i64 = 1_000_000;

fn schema() -> SchemaRef {
    let mut fields: Vec<FieldRef> = vec![
        Arc::new(Field::new("region", DataType::Utf8, true)),
        Arc::new(Field::new("tier", DataType::Utf8, true)),
        Arc::new(Field::new("amount", DataType::Float64, true)),
        Arc::new(Field::new("__sb_key_0", DataType::Utf8, false)),
    ];
    fields.extend(provenance_fields());
    fields.extend(watermark_fields());
    Arc::new(Schema::new(fields))
}

/// Batch number `n`; event time goes on from batch to batch, with two seconds of jitter.
fn batch(n: usize) -> RecordBatch {
    let row = |at: usize| n * ROWS + at;
    let time = |at: usize| {
        let jitter = (row(at) * 7_919 % 2_000) as i64 * 1_000;
        (row(at) % (ROWS / 3)) as i64 * 120 * SECOND * 3 / ROWS as i64 + n as i64 * 120 * SECOND - jitter
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values((0..ROWS).map(|at| ["NA", "EMEA", "APAC", "LATAM"][row(at) % 4]))),
        Arc::new(StringArray::from_iter_values((0..ROWS).map(|at| ["free", "pro", "enterprise"][row(at) % 3]))),
        Arc::new(Float64Array::from_iter_values((0..ROWS).map(|at| (row(at) % 1_000) as f64))),
        // One row in a hundred is a copy of an earlier one.
        Arc::new(StringArray::from_iter_values((0..ROWS).map(|at| {
            let id = if at % 100 == 99 { row(at) - 50 } else { row(at) };
            format!("{id:08x}-4e0c-4f0b-9d6e-3f3c2b1a0f9e")
        }))),
        Arc::new(Int32Array::from_iter_values((0..ROWS).map(|at| (at / (ROWS / 3)) as i32))),
        Arc::new(Int64Array::from_iter_values((0..ROWS).map(|at| row(at) as i64))),
        Arc::new(TimestampMicrosecondArray::from_iter_values((0..ROWS).map(time)).with_timezone("UTC")),
        Arc::new(UInt8Array::from_value(0, ROWS)),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn input() -> Box<Node> {
    let hidden = Hidden { provenance: true, event_time: true };
    Box::new(Node::Stream(StreamNode { upstream: "t".into(), clause: None, schema: schema(), hidden }))
}

/// Prints the rate of `work` over all batches, and its share of the rate of `ceiling`.
fn report(clock: &SystemClock, name: &str, ceiling: impl FnOnce(), work: impl FnOnce()) {
    let timed = |run: &mut dyn FnMut()| {
        let from = clock.monotonic();
        run();
        clock.monotonic() - from
    };
    let (mut ceiling, mut work) = (Some(ceiling), Some(work));
    let best = timed(&mut || ceiling.take().into_iter().for_each(|f| f()));
    let took = timed(&mut || work.take().into_iter().for_each(|f| f()));
    let rate = |took: Duration| (ROWS * BATCHES) as f64 / took.as_secs_f64() / 1e6;
    println!(
        "{name:<18} {:>8.1} M rows/s {:>8.2} ms a batch, {:.2} of the ceiling ({:.1} M rows/s)",
        rate(took),
        took.as_secs_f64() * 1e3 / BATCHES as f64,
        best.as_secs_f64() / took.as_secs_f64(),
        rate(best),
    );
}

fn watermark(clock: &SystemClock, batches: &[RecordBatch]) {
    let parts: Vec<PartitionId> = (0..3).map(|p| PartitionId::new("s", "t", p)).collect();
    let mut watermark = Watermark::new(ClauseConfig {
        id: "c".into(),
        delay_micros: 600 * SECOND,
        idle_timeout_micros: 10 * SECOND,
        max_future_micros: i64::MAX,
    });
    let times = |batch: &RecordBatch| batch.column_by_name(EVENT_TIME).unwrap().clone();
    let highest = || {
        for batch in batches {
            let times = times(batch);
            black_box(times.as_primitive::<TimestampMicrosecondType>().values().iter().max());
        }
    };
    report(clock, "watermark", highest, || {
        for batch in batches {
            black_box(watermark.judge(batch, &times(batch), &parts, 0).unwrap());
            watermark.end_batch(0, &parts.iter().map(|p| (p.clone(), AtEnd::Reached)).collect(), false);
        }
    });
}

fn dedup(clock: &SystemClock, batches: &[RecordBatch]) {
    let fields = schema().fields().iter().filter(|f| f.name() != "__sb_key_0").cloned().collect::<Vec<_>>();
    let node = DedupNode {
        id: "d".into(),
        input: input(),
        in_form: Vec::new(),
        keys: vec!["__sb_key_0".into()],
        delay_micros: Some(600 * SECOND),
        clauses: vec!["c".into()],
        schema: Arc::new(Schema::new(fields)),
    };
    let mut dedup = Dedup::try_new(&node).unwrap();
    let hashes = || {
        for batch in batches {
            let keys = batch.column_by_name("__sb_key_0").unwrap().clone();
            black_box(sluicebox_operators::keys::keys("d", &[keys], batch.num_rows()).unwrap());
        }
    };
    let mut most = 0;
    report(clock, "dedup", hashes, || {
        for (n, batch) in batches.iter().enumerate() {
            black_box(dedup.process(std::slice::from_ref(batch)).unwrap());
            dedup.close((n as i64 * 120 - 600) * SECOND);
            most = most.max(dedup.memory_bytes() / usize::try_from(dedup.rows()).unwrap().max(1));
            black_box(dedup.delta().unwrap());
        }
    });
    println!("{:<18} {most} bytes a key at most", "");
}

const SQL: &str = "SELECT region, tier, sum(amount), count(*) FROM t GROUP BY region, tier";

async fn aggregate_node(session: &SessionContext) -> AggregateNode {
    let plan = session.state().create_logical_plan(SQL).await.unwrap();
    let mut found = None;
    plan.apply(|plan| {
        if let LogicalPlan::Aggregate(aggregate) = plan {
            found = Some(aggregate.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
    let aggregate = found.unwrap();
    let time = event_time_type();
    let bounds = Fields::from(vec![Field::new("start", time.clone(), false), Field::new("end", time, false)]);
    let mut fields: Vec<FieldRef> = aggregate.schema.fields().to_vec();
    fields.insert(0, Arc::new(Field::new("window", DataType::Struct(bounds), false)));
    fields.extend(watermark_fields());
    let size = 300 * SECOND;
    AggregateNode {
        id: "a".into(),
        input: input(),
        input_schema: Arc::clone(aggregate.input.schema()),
        group: aggregate.group_expr.clone(),
        sets: Vec::new(),
        window: Window { position: 0, assigner: Assigner::tumbling(size) },
        aggregates: aggregate.aggr_expr.clone(),
        known_as: aggregate.aggr_expr.clone(),
        computed: Vec::new(),
        clauses: vec!["c".into()],
        schema: Arc::new(Schema::new(fields)),
    }
}

fn aggregate(clock: &SystemClock, batches: &[RecordBatch]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    session.register_table("t", Arc::new(MemTable::try_new(schema(), vec![batches.to_vec()]).unwrap())).unwrap();
    let node = runtime.block_on(aggregate_node(&session));
    let mut operator = WindowAggregate::try_new(&node, &session.state()).unwrap();
    let at_once = || {
        let rows = runtime.block_on(async { session.sql(SQL).await.unwrap().collect().await.unwrap() });
        black_box(rows);
    };
    let mut windows = 0;
    report(clock, "window aggregate", at_once, || {
        for (n, batch) in batches.iter().enumerate() {
            runtime.block_on(operator.process(std::slice::from_ref(batch))).unwrap();
            let rows = runtime.block_on(operator.close((n as i64 * 120 - 600) * SECOND)).unwrap();
            windows += rows.iter().map(RecordBatch::num_rows).sum::<usize>();
            black_box(operator.delta().unwrap());
        }
    });
    println!("{:<18} {windows} rows out, {} bytes held", "", operator.memory_bytes());
}

fn main() {
    let clock = SystemClock::new();
    let batches: Vec<RecordBatch> = (0..BATCHES).map(batch).collect();
    watermark(&clock, &batches);
    dedup(&clock, &batches);
    aggregate(&clock, &batches);
}
