#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod fuzz;
mod gold;
mod refusals;
mod rows;
mod session;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use sluicebox_core::provenance::{event_time_type, provenance_fields};

use super::bind;
use crate::graph::{Graph, Node};

const GOLD: &str = include_str!("../../../../sql/gold_revenue.sql");

/// A source of the sales topic and nothing else; queries follow.
const SALES: &str = "CREATE TABLE sales USING kafka OPTIONS ('subscribe' = 'sales', 'value.format' = 'avro');\n";

fn sales_schema() -> SchemaRef {
    let utf8 = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let headers = DataType::List(Arc::new(Field::new_list_field(
        DataType::Struct(vec![utf8("key", false), Field::new("value", DataType::Binary, true)].into()),
        false,
    )));
    let mut fields: Vec<Arc<Field>> = [
        utf8("event_id", true),
        utf8("account_id", false),
        Field::new("event_time", event_time_type(), false),
        Field::new("ingest_time", event_time_type(), false),
        utf8("region", false),
        utf8("plan_tier", false),
        utf8("product", false),
        Field::new("quantity", DataType::Int32, false),
        utf8("currency", false),
        Field::new("amount", DataType::Decimal128(12, 2), true),
        utf8("_topic", false),
        Field::new("_partition", DataType::Int32, false),
        Field::new("_offset", DataType::Int64, false),
        Field::new("_timestamp", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("_key", DataType::Binary, true),
        Field::new("_headers", headers, true),
        Field::new("_schema_id", DataType::Int32, true),
    ]
    .into_iter()
    .map(Arc::new)
    .collect();
    fields.extend(provenance_fields());
    Arc::new(Schema::new(fields))
}

fn schemas() -> BTreeMap<String, SchemaRef> {
    ["sales", "sales_events", "more"].into_iter().map(|n| (n.to_owned(), sales_schema())).collect()
}

/// What is wrong with a text, as a terminal shows it.
fn mistakes(text: &str) -> String {
    match crate::parse("pipeline.sql", text, &[]).and_then(|p| bind(p, &schemas())) {
        Ok(_) => "nothing".to_owned(),
        Err(diagnostics) => diagnostics.render(false),
    }
}

fn graph(text: &str) -> Graph {
    match crate::parse("pipeline.sql", text, &[]).and_then(|p| bind(p, &schemas())) {
        Ok(graph) => graph,
        Err(diagnostics) => {
            assert_eq!(diagnostics.render(false), "");
            unreachable_graph()
        }
    }
}

fn unreachable_graph() -> Graph {
    bind(crate::parse("pipeline.sql", GOLD, &[]).unwrap(), &schemas()).unwrap()
}

/// The nodes of a tree as `Plan(Aggregate(Plan(Stream)))`.
fn shape(node: &Node) -> String {
    let name = match node {
        Node::Stream(stream) => {
            return if stream.clause.is_some() { "Stream clause".to_owned() } else { "Stream".to_owned() };
        }
        Node::Plan(_) => "Plan",
        Node::Late(_) => "Late",
        Node::Dedup(_) => "Dedup",
        Node::Aggregate(_) => "Aggregate",
    };
    let inputs: Vec<String> = node.inputs().into_iter().map(shape).collect();
    format!("{name}({})", inputs.join(", "))
}

/// The shape of the only flow of the last table.
fn last_shape(text: &str) -> String {
    let graph = graph(text);
    shape(&graph.tables.last().unwrap().flows[0].node)
}
