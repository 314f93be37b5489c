//! What no text of a pipeline brings about. A query that fails as a whole, and not for one of its rows: the message says of which
//! table and in which batch. Plans that are made otherwise than those of the checkpoint.

use std::sync::Arc;

use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{ColumnarValue, LogicalPlanBuilder, Volatility, create_udf};
use datafusion::prelude::col;
use sluicebox_engine::EngineError;
use sluicebox_pipeline::bind::session_state;
use sluicebox_pipeline::graph::{Graph, Node};
use sluicebox_runtime::RuntimeError;

use crate::PARTITIONS;
use crate::events::{Content, Row, Step};
use crate::harness::{Cut, World};
use crate::tables::table_rows;

const SQL: &str =
    "CREATE TABLE e USING kafka OPTIONS ('subscribe' = 'e', 'value.format' = 'avro', 'startingOffsets' = 'earliest');
     CREATE STREAMING TABLE bronze_e AS SELECT seq FROM STREAM e;
     CREATE STREAMING TABLE silver_e AS SELECT seq + 1 AS seq FROM STREAM bronze_e;";

/// Puts a condition above the query of `table` that the machine has no room for.
fn break_query(graph: &mut Graph, table: &str) {
    let fails = |_: &[ColumnarValue]| -> datafusion::error::Result<ColumnarValue> {
        let error = ArrowError::MemoryError("no page is left".to_owned());
        Err(DataFusionError::ArrowError(Box::new(error), None))
    };
    let fails = create_udf("fails", vec![DataType::Int64], DataType::Boolean, Volatility::Volatile, Arc::new(fails));
    let table = graph.tables.iter_mut().find(|t| t.name == table).unwrap();
    let Node::Plan(node) = &mut table.flows[0].node else { panic!("the query is a plan") };
    let plan = LogicalPlanBuilder::from(node.plan.clone()).filter(fails.call(vec![col("seq")])).unwrap();
    node.plan = plan.build().unwrap();
}

fn cut() -> Cut {
    let (memory_limit, batch_bytes) = (256 << 20, 16 << 20);
    Cut { max_offsets: None, batch_bytes, memory_limit, state_deltas: 5, threads: 1, cancels: Vec::new() }
}

/// A topic with one event.
fn world() -> World {
    let world = World::new();
    let mut step: Step = vec![Vec::new(); PARTITIONS];
    step[0] = vec![Content::Row(Row { seq: 7, ..Row::default() })];
    world.append(&step);
    world
}

#[test]
fn plans_of_another_number_of_partitions_do_not_go_on() {
    let world = world();
    let job = world.job(0);
    job.run(SQL, &cut());
    let error = job.try_changed(SQL, &cut(), |config| config.session = session_state(2)).unwrap_err();
    assert!(matches!(error, EngineError::OtherPartitions { pinned: 1, found: 2, .. }), "{error:?}");
    assert_eq!(error.code(), "newer-version");
    job.run(SQL, &cut());
}

#[test]
fn a_query_that_fails_is_named_with_its_table_and_its_batch() {
    let world = world();
    let job = world.job(0);
    let cut = cut();
    let error = job.try_changed(SQL, &cut, |config| break_query(&mut config.graph, "silver_e")).unwrap_err();
    let EngineError::Runtime(RuntimeError::Query { table, batch_id, .. }) = &error else { panic!("{error:?}") };
    assert_eq!((table.as_str(), *batch_id), ("silver_e", Some(0)));
    let said = error.to_string();
    assert!(said.starts_with("table `silver_e`: its query failed in batch 0: "), "{said}");
    assert!(said.contains("no page is left"), "{said}");

    // Nothing of the batch was committed: it is tried again.
    assert!(job.newest().is_none());
    job.run(SQL, &cut);
    assert_eq!(table_rows(&job.path("data/silver/e"), &["seq"]), ["8"]);
}
