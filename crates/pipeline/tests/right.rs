//! Pipelines that are right: what the parser makes of them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use sluicebox_pipeline::ast::{Action, Pipeline, SourceKind};
use sluicebox_pipeline::options::{KafkaOptions, StartingOffsets, Topics};
use sluicebox_pipeline::parse;
use sluicebox_pipeline::settings;

fn read(text: &str) -> Pipeline {
    read_with(text, &[])
}

fn read_with(text: &str, overrides: &[(&str, &str)]) -> Pipeline {
    let overrides: Vec<_> = overrides.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    parse("test.sql", text, &overrides).unwrap_or_else(|d| panic!("{}", d.render(false)))
}

fn gold() -> Pipeline {
    read(include_str!("../../../sql/gold_revenue.sql"))
}

/// The query of a table, as SQL.
fn query(pipeline: &Pipeline, table: &str) -> String {
    let table = pipeline.tables.iter().find(|t| t.name.value == table).unwrap();
    table.flows[0].query.ast.to_string()
}

#[test]
fn the_first_pipeline() {
    let pipeline = gold();
    assert_eq!(pipeline.name, "revenue_5m");
    let source = &pipeline.sources[0];
    assert_eq!((source.name.value.as_str(), source.kind.value), ("sales_events", SourceKind::Kafka));
    let kafka = KafkaOptions::of(source).unwrap();
    assert_eq!(kafka.topics, Topics::Subscribe(vec!["sales.events.v1".into()]));
    assert_eq!(kafka.starting_offsets, StartingOffsets::Earliest);
    assert_eq!(kafka.sample.as_deref(), Some("sales"));
    assert!(kafka.fail_on_data_loss && !kafka.include_headers);
    let silver = &pipeline.tables[1];
    let actions: Vec<Action> = silver.constraints.iter().map(|c| c.action).collect();
    assert_eq!(actions[..5], [Action::Quarantine; 5]);
    assert_eq!(actions[5], Action::Warn);
    let within = &silver.constraints[5];
    assert_eq!(
        &pipeline.text[within.span.start..within.span.end],
        "ingest_time - event_time <= INTERVAL '5 minutes'"
    );
    assert_eq!(silver.partitioned_by[0].value, "event_date");
    let stream = &silver.flows[0].query.streams[0];
    assert_eq!(stream.table.value, "bronze_sales");
    let watermark = stream.watermark.as_ref().unwrap();
    assert_eq!((watermark.column.value.as_str(), watermark.delay_micros), ("event_time", 600_000_000));
    assert_eq!(
        &pipeline.text[watermark.span.start..watermark.span.end],
        "WATERMARK event_time DELAY OF INTERVAL '10 minutes'"
    );
    let locations: Vec<String> = pipeline.tables.iter().map(settings::location).collect();
    assert_eq!(locations, ["data/bronze/sales", "data/silver/sales", "data/gold/revenue_5m"]);
    insta::assert_snapshot!(query(&pipeline, "silver_sales"));
    insta::assert_snapshot!(query(&pipeline, "gold_revenue_5m"));
}
