//! Compares, at the end of a round, the killed run, an undisturbed run, and the tables as Python computes them.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::job::{Job, left_behind};
use crate::scripts;
use crate::servers::Servers;

/// Runs a script of `tests/real`; a code other than 0 is a difference.
fn python(python: &Path, servers: &Servers, script: &str, args: &[&str]) -> Result<()> {
    let mut command = Command::new(python);
    command.arg(scripts::file("tests/real").join(script)).args(args).stdin(Stdio::null());
    let status = servers.name_in(&mut command).status().with_context(|| script.to_owned())?;
    if !status.success() {
        bail!("{} says that something differs", scripts::shown(&command));
    }
    Ok(())
}

/// Compares the killed run `wild` with the oracle over the topic, and with the undisturbed `calm` row by row.
pub fn compare(python_program: &Path, wild: &Job<'_>, calm: &Job<'_>, ledger: &Path, schema_id: u32) -> Result<()> {
    let (wild_folder, calm_folder) = (text(&wild.folder)?, text(&calm.folder)?);
    let ledger_text = text(ledger)?;
    let run = |script: &str, args: &[&str]| python(python_program, wild.servers, script, args);
    run("topic_ledger.py", &[&wild.topic, &schema_id.to_string(), ledger_text])?;
    println!("-- the killed run and the oracle");
    run("oracle.py", &[ledger_text, wild_folder])?;
    for (name, job) in [("killed", wild), ("undisturbed", calm)] {
        println!("-- checkpoint verify, {name}");
        verify(job)?;
    }
    println!("-- killed and undisturbed");
    run("same_tables.py", &[calm_folder, wild_folder])?;
    let left = left_behind(&wild.folder);
    if let Some(first) = left.first() {
        bail!("killed runs have left {} staged files or folders behind: {}", left.len(), first.display());
    }
    Ok(())
}

/// `checkpoint verify`, which must find nothing.
fn verify(job: &Job<'_>) -> Result<()> {
    let mut command = Command::new(&job.binary);
    command.args(["checkpoint", "verify"]).arg(job.checkpoint()).stdin(Stdio::null());
    let status = command.status()?;
    if !status.success() {
        bail!("{} ended with {status}", scripts::shown(&command));
    }
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is no UTF-8", path.display()))
}
