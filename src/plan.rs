//! `sluicebox plan`: check a pipeline without touching data.

use clap::Args;

use crate::load::{Checked, LoadArgs};
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

/// Plans the pipeline and prints it.
pub async fn plan(args: PlanArgs) -> anyhow::Result<()> {
    let description = Checked::new(&args.load, |_| false).await?.graph.describe();
    let text = if args.json { serde_json::to_string_pretty(&description)? + "\n" } else { description.to_string() };
    Ok(out::print(&text)?)
}
