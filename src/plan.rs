//! `sluicebox plan`: check a pipeline without touching data, and compare it with its checkpoint.

use std::fmt;

use clap::Args;
use serde::Serialize;
use sluicebox::load::{Check, Checked};
use sluicebox_core::shown::shown;
use sluicebox_engine::EngineError;
use sluicebox_evolve::{Changes, Request};
use sluicebox_pipeline::bind::Description;

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

/// A pipeline, and what of it has changed since its checkpoint was written.
#[derive(Serialize)]
struct Plan {
    #[serde(flatten)]
    description: Description,
    /// None without a checkpoint.
    changes: Option<Changes>,
    /// What was found of brokers, topics and folders.
    checks: Vec<Check>,
}

/// Plans the pipeline and prints it.
pub async fn plan(args: PlanArgs) -> anyhow::Result<()> {
    let checked = Checked::new(&args.load.spec()?, |_| false, args.load.patience(false)?).await?;
    let changes = match checked.checkpoint.refresh().map_err(EngineError::from)? {
        // A full refresh that was begun is finished by the next run: what was before is gone.
        Some(_) => None,
        None => {
            let text = checked.graph.pipeline.resolved.clone();
            let readable = sluicebox_evolve::readable(&checked.graph);
            let request = Request { command: args.load.command(), readable, ..Request::default() };
            sluicebox_evolve::read_only(&checked.checkpoint, checked.shape()?, &text, request)
                .map_err(EngineError::from)?
        }
    };
    let mut checks = Vec::new();
    let looked = checked.look(args.offline, &mut checks).await;
    let plan = Plan { description: checked.graph.describe(), changes, checks };
    failure::warn(&checked.graph);
    // What stands in the way of a run is told after what the pipeline is.
    match args.json {
        true => out::pretty(&plan)?,
        false => out::print(&plan.to_string())?,
    }
    Ok(looked?)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.description)?;
        if let Some(changes) = &self.changes {
            write!(f, "\n{changes}")?;
        }
        if !self.checks.is_empty() {
            writeln!(f, "\nlooked at")?;
        }
        let width = self.checks.iter().map(|check| check.about.len()).max().unwrap_or(0);
        let mut told = false;
        for Check { about, status, text } in &self.checks {
            // One line, whatever names are in it.
            let text = shown(text);
            match *status {
                "ok" => writeln!(f, "  {about:<width$}  {text}")?,
                // Told whole at the end.
                "problem" if !std::mem::replace(&mut told, true) => {
                    writeln!(f, "  {about:<width$}  a run would be refused, see below")?
                }
                status => writeln!(f, "  {about:<width$}  {status}: {text}")?,
            }
        }
        Ok(())
    }
}
