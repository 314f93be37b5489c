//! A pipeline of any text. It is parsed, bound to a source's columns and described, or it is refused with diagnostics that can be printed.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::SchemaRef;
use sluicebox_formats::source_columns;
use sluicebox_pipeline::{bind, parse};
use sluicebox_registry::{PinnedSchema, SchemaText};

const SALES: &str = r#"{"type":"record","name":"SalesEvent","fields":[
    {"name":"event_id","type":["null","string"],"default":null},
    {"name":"account_id","type":"string"},
    {"name":"event_time","type":{"type":"long","logicalType":"timestamp-micros"}},
    {"name":"ingest_time","type":{"type":"long","logicalType":"timestamp-micros"}},
    {"name":"region","type":"string"},{"name":"plan_tier","type":"string"},{"name":"product","type":"string"},
    {"name":"quantity","type":"int"},{"name":"currency","type":"string"},
    {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}}]}"#;

/// The columns of every source.
pub(crate) fn columns() -> SchemaRef {
    static COLUMNS: OnceLock<SchemaRef> = OnceLock::new();
    let columns = COLUMNS.get_or_init(|| {
        let pinned = PinnedSchema { subject: "s-value".into(), version: 1, id: 7, text: SchemaText::new(SALES) };
        source_columns("s", &pinned).unwrap()
    });
    Arc::clone(columns)
}

pub(crate) fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let pipeline = match parse("fuzz.sql", &text, &[]) {
        Ok(pipeline) => pipeline,
        Err(mistakes) => return assert!(!mistakes.render(false).is_empty()),
    };
    let sources: BTreeMap<String, SchemaRef> =
        pipeline.sources.iter().map(|source| (source.name.value.clone(), columns())).collect();
    match bind::bind(pipeline, &sources) {
        Ok(graph) => assert!(!graph.describe().to_string().is_empty()),
        Err(mistakes) => assert!(!mistakes.render(false).is_empty()),
    }
}
