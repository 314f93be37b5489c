//! `sluicebox checkpoint`: look into a checkpoint, and prove it against its tables.

use std::path::PathBuf;

use clap::Subcommand;
use sluicebox_core::SystemClock;
use sluicebox_engine::checkpoint::Checkpoint;
use sluicebox_engine::verify;

use crate::failure::Usage;
use crate::out;

/// Look into a checkpoint
#[derive(Debug, Subcommand)]
pub enum CheckpointCommand {
    /// What it holds: query, log, newest batch, offsets, watermarks, state
    Show {
        /// The checkpoint's folder
        dir: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Prove the checkpoint and its tables against each other
    #[command(after_help = "Example:\n  sluicebox checkpoint verify checkpoints/revenue_5m")]
    Verify {
        /// The checkpoint's folder
        dir: PathBuf,
    },
}

/// Runs the command.
pub fn checkpoint(command: &CheckpointCommand) -> anyhow::Result<()> {
    match command {
        CheckpointCommand::Show { dir, json } => {
            let summary = verify::summary(&existing(dir)?)?;
            let text = if *json { serde_json::to_string_pretty(&summary)? + "\n" } else { summary.to_string() };
            Ok(out::print(&text)?)
        }
        CheckpointCommand::Verify { dir } => {
            let verdict = verify::verify(&existing(dir)?, &SystemClock::new())?;
            out::print(&verdict.to_string())?;
            anyhow::ensure!(verdict.problems.is_empty(), "{} problems found", verdict.problems.len());
            Ok(())
        }
    }
}

fn existing(dir: &PathBuf) -> anyhow::Result<Checkpoint> {
    if !dir.join("metadata").is_file() {
        return Err(Usage(format!("{} is not a checkpoint: it has no `metadata`", dir.display())).into());
    }
    Ok(Checkpoint::new(dir))
}
