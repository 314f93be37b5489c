//! `sluicebox plan`: check a pipeline without touching data, and compare it with its checkpoint.

use clap::Args;
use serde::Serialize;
use sluicebox_engine::EngineError;
use sluicebox_engine::change::{self, Changes, Request};
use sluicebox_pipeline::bind::Description;

use crate::load::{Checked, LoadArgs};
use crate::{failure, out};

/// Check a pipeline without touching data: graph, schemas, state, guarantees, and what has changed since its checkpoint
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluicebox plan sql/gold_revenue.sql
  sluicebox plan sql/gold_revenue.sql --json | jq '.tables[].name'
  sluicebox plan sql/gold_revenue.sql --checkpoint checkpoints/revenue_5m
  sluicebox plan sql/gold_revenue.sql --json | jq '.changes.changes[] | select(.verdict != \"unchanged\")'

With a checkpoint, each source and table that has changed since is told with what comes of it:
  safe            the next run adopts it
  needs a choice  the state or the files do not fit; the ways on stand there, with their commands
  refused         what is there cannot go on with it; put it back, or compute it again")]
pub struct PlanArgs {
    #[command(flatten)]
    load: LoadArgs,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
}

/// A pipeline, and what of it has changed since its checkpoint was written.
#[derive(Serialize)]
struct Plan {
    #[serde(flatten)]
    description: Description,
    /// None without a checkpoint.
    changes: Option<Changes>,
}

/// Plans the pipeline and prints it.
pub async fn plan(args: PlanArgs) -> anyhow::Result<()> {
    let checked = Checked::new(&args.load, |_| false).await?;
    let changes = match checked.checkpoint.refresh().map_err(EngineError::from)? {
        // A full refresh that was begun is finished by the next run: what was before is gone.
        Some(_) => None,
        None => {
            let text = checked.graph.pipeline.text.clone();
            let readable = change::readable(&checked.graph);
            let request = Request { command: args.load.command(), readable, ..Request::default() };
            change::read_only(&checked.checkpoint, checked.shape()?, &text, request)?
        }
    };
    let plan = Plan { description: checked.graph.describe(), changes };
    let text = match (&plan.changes, args.json) {
        (_, true) => serde_json::to_string_pretty(&plan)? + "\n",
        (Some(changes), _) => format!("{}\n{changes}", plan.description),
        (None, _) => plan.description.to_string(),
    };
    failure::warn(&checked.graph);
    Ok(out::print(&text)?)
}
