//! `sluicebox plan`: check a pipeline without touching data.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;
use sluicebox_avro::{PinnedSchema, SchemaText, source_columns};
use sluicebox_core::{Clock, SystemClock};
use sluicebox_pipeline::{bind, options};
use sluicebox_testkit::sales::SALES_SCHEMA;

use crate::load::{Connection, LOG_DIR, LoadArgs, Parsed, parsed};
use crate::out;

/// Check a pipeline without touching data: graph, schemas, state, guarantees
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluicebox plan sql/gold_revenue.sql
  sluicebox plan sql/gold_revenue.sql --json | jq '.tables[].name'")]
pub struct PlanArgs {
    #[command(flatten)]
    load: LoadArgs,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Plans the pipeline and prints it. Nothing is read or written but the registry's schemas and the checkpoint's.
pub async fn plan(args: PlanArgs) -> anyhow::Result<()> {
    let Parsed { pipeline, checkpoint, .. } = parsed(&args.load)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut schemas = BTreeMap::new();
    for source in &pipeline.sources {
        let connection = Connection::of(source)?;
        let embedded = connection.options.brokers.is_none() && !std::path::Path::new(LOG_DIR).is_dir();
        let reader = if embedded && options::get(source, "sample").is_some() {
            // Nothing has been made up yet: the sample's schema is known all the same.
            let text = SchemaText::new(SALES_SCHEMA);
            PinnedSchema { subject: connection.subject(source)?, version: 1, id: 1, text }
        } else {
            let registry = connection.registry(&source.name.value, &clock)?;
            connection.reader(source, &checkpoint, &registry).await?
        };
        schemas.insert(
            source.name.value.clone(),
            source_columns(&source.name.value, &reader).map_err(sluicebox_engine::EngineError::from)?,
        );
    }
    let description = bind::bind(pipeline, &schemas)?.describe();
    let text = if args.json { serde_json::to_string_pretty(&description)? + "\n" } else { description.to_string() };
    Ok(out::print(&text)?)
}
