//! `sluicebox checkpoint`: look into a checkpoint, and prove it against its tables.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;
use sluicebox_checkpoint::Checkpoint;
use sluicebox_core::SystemClock;
use sluicebox_engine::EngineError;
use sluicebox_upkeep::verify;

use crate::failure::Usage;
use crate::load::LoadArgs;
use crate::out;

/// Look into a checkpoint
#[derive(Debug, Subcommand)]
pub enum CheckpointCommand {
    /// What it holds: query, log, newest batch, counts, offsets, watermarks, state
    #[command(after_help = "\
Examples:
  sluicebox checkpoint show sql/gold_revenue.sql
  sluicebox checkpoint show checkpoints/revenue_5m --json")]
    Show(Which),
    /// Prove the checkpoint and its tables against each other
    #[command(after_help = "\
Examples:
  sluicebox checkpoint verify sql/gold_revenue.sql
  sluicebox checkpoint verify checkpoints/revenue_5m")]
    Verify(Which),
}

/// Names a checkpoint.
#[derive(Debug, Args)]
pub struct Which {
    /// The pipeline, or the checkpoint's folder
    #[arg(value_name = "PIPELINE.sql|DIR")]
    what: PathBuf,
    /// Overrides a SET key of the pipeline; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn checkpoint(command: &CheckpointCommand) -> anyhow::Result<()> {
    match command {
        CheckpointCommand::Show(which) => {
            let summary = verify::summary(&which.checkpoint()?).map_err(EngineError::from)?;
            print(which.json, &summary)
        }
        CheckpointCommand::Verify(which) => {
            let verdict = proved(&which.checkpoint()?)?;
            print(which.json, &verdict)?;
            let problems = verdict.problems.len();
            let plural = if problems == 1 { "" } else { "s" };
            anyhow::ensure!(problems == 0, "{problems} problem{plural} found");
            Ok(())
        }
    }
}

/// Prints what was found, for programs if `json`.
fn print(json: bool, found: &(impl Serialize + Display)) -> anyhow::Result<()> {
    match json {
        true => out::pretty(found),
        false => Ok(out::print(&found.to_string())?),
    }
}

/// So many looks at a checkpoint that a run writes to.
const LOOKS: u32 = 4;

/// Proves a checkpoint. What a run changes while this looks may seem wrong: beside one, a problem is what look after look finds.
fn proved(checkpoint: &Checkpoint) -> anyhow::Result<verify::Verdict> {
    let clock = SystemClock::new();
    let mut verdict = verify::verify(checkpoint, &clock).map_err(EngineError::from)?;
    for _ in 1..LOOKS {
        // No run has epoch 0.
        if verdict.problems.is_empty() || checkpoint.living_epochs(0)?.is_empty() {
            break;
        }
        let seen = std::mem::take(&mut verdict.problems);
        verdict = verify::verify(checkpoint, &clock).map_err(EngineError::from)?;
        verdict.problems.retain(|problem| seen.contains(problem));
    }
    Ok(verdict)
}

impl Which {
    fn checkpoint(&self) -> anyhow::Result<Checkpoint> {
        if self.what.join("metadata").exists() {
            return Ok(Checkpoint::new(&self.what));
        }
        if self.what.exists() && !self.what.is_dir() {
            let args = LoadArgs { pipeline: self.what.clone(), checkpoint: None, set: self.set.clone(), wait: None };
            let dir = args.spec()?.checkpoint_dir()?;
            if !dir.join("metadata").exists() {
                let (file, dir) = (self.what.display(), dir.display());
                return Err(Usage(format!(
                    "{file} has no checkpoint yet: its first run makes it in {dir}; if it ran before, name the folder of its \
                     checkpoint"
                ))
                .into());
            }
            return Ok(Checkpoint::new(dir));
        }
        Err(Usage(not_one(&self.what)).into())
    }
}

fn not_one(what: &Path) -> String {
    let shown = what.display();
    if what.is_dir() {
        return format!("{shown} is not a checkpoint: it has no `metadata`");
    }
    format!("there is no {shown}: name a pipeline, as in sql/gold_revenue.sql, or the folder of its checkpoint")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use super::*;

    #[test]
    fn every_set_counts_for_where_the_checkpoint_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.sql");
        let sql = "CREATE TABLE e USING kafka OPTIONS ('subscribe' = 'e'); CREATE STREAMING TABLE t AS SELECT * FROM STREAM e;";
        std::fs::write(&file, sql).unwrap();
        let said = |set: &[&str]| {
            let set = set.iter().map(|text| (*text).to_owned()).collect();
            Which { what: file.clone(), set, json: false }.checkpoint().unwrap_err().to_string()
        };
        assert!(said(&[]).contains("its first run makes it in checkpoints/p; "), "{}", said(&[]));
        for set in [&["pipeline.name=other"] as &[&str], &["pipeline.name=other", "e.maxOffsetsPerTrigger=5"]] {
            assert!(said(set).contains("its first run makes it in checkpoints/other; "), "{}", said(set));
        }
    }
}
