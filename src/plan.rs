//! `sluicebox plan`: check a pipeline without touching data, and compare it with its checkpoint.

use clap::Args;
use sluicebox::Plan;
use sluicebox::load::Checked;

use crate::load::LoadArgs;
use crate::{failure, out};

/// Check a pipeline without touching data: graph, schemas, state, guarantees, and what has changed since its checkpoint
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluicebox plan sql/gold_revenue.sql
  sluicebox plan sql/gold_revenue.sql --json | jq '.tables[].name'
  sluicebox plan sql/gold_revenue.sql --checkpoint checkpoints/revenue_5m
  sluicebox plan sql/gold_revenue.sql --json | jq '.changes.changes[] | select(.verdict != \"unchanged\")'

Brokers, topics, folders and free space are looked at too; --offline skips that.

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
    /// Ask no broker and look at no folder. A registry is asked only for a schema that the checkpoint does not have
    #[arg(long)]
    offline: bool,
}

/// Plans the pipeline and prints it.
pub async fn plan(args: PlanArgs) -> anyhow::Result<()> {
    let checked = Checked::new(&args.load.spec()?, |_| false, args.load.patience(false)?).await?;
    let mut plan = Plan::of(&checked, &args.load.command(), args.offline).await?;
    failure::warn(&checked.graph);
    // What stands in the way of a run is told after what the pipeline is.
    match args.json {
        true => out::pretty(&plan)?,
        false => out::print(&plan.to_string())?,
    }
    plan.refused.take().map_or(Ok(()), |refused| Err(refused.into()))
}
