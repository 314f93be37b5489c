//! A checkpoint and its tables, proved against each other; and what a checkpoint holds, in short.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;
use sluicebox_core::durable::checksum;

use crate::EngineError;
use crate::checkpoint::records::{Commit, Metadata, StateFile};
use crate::checkpoint::recovery::decide;
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::report::iso;

/// What a checkpoint holds.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Who it belongs to.
    pub metadata: Metadata,
    /// The newest committed batch.
    pub last_commit: Option<Commit>,
    /// The planned batch that was not committed.
    pub replays: Option<u64>,
}

/// Reads the newest records of a checkpoint.
///
/// # Errors
/// When one is missing or damaged.
pub fn summary(checkpoint: &Checkpoint) -> Result<Summary, EngineError> {
    let observed = checkpoint.observe()?;
    decide(observed)?;
    let metadata = checkpoint.metadata()?.ok_or_else(|| CheckpointError::Missing { name: "metadata".to_owned() })?;
    let last_commit = observed.commit.map(|id| checkpoint.commit(id)).transpose()?;
    let replays = observed.offsets.filter(|id| observed.commit.is_none_or(|commit| *id > commit));
    Ok(Summary { metadata, last_commit, replays })
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = &self.metadata;
        writeln!(f, "pipeline    {} (query {}, generation {})", m.pipeline, m.id, m.generation)?;
        writeln!(f, "created     {}", iso(m.created_micros))?;
        for (source, log) in &m.logs {
            writeln!(f, "reads       {source} from the log {}", log.log)?;
        }
        match &self.last_commit {
            None => writeln!(f, "committed   nothing yet")?,
            Some(commit) => show_commit(f, commit)?,
        }
        if let Some(id) = self.replays {
            writeln!(f, "planned     batch {id}, not committed: the next run replays it")?;
        }
        Ok(())
    }
}

fn show_commit(f: &mut fmt::Formatter<'_>, commit: &Commit) -> fmt::Result {
    writeln!(f, "committed   batch {} (epoch {})", commit.batch_id, commit.epoch)?;
    for position in &commit.positions {
        writeln!(f, "  position  {} at offset {}", position.partition, position.offset)?;
    }
    for (clause, state) in &commit.watermarks {
        let w = state.watermark.map_or_else(|| "none yet".to_owned(), iso);
        writeln!(f, "  watermark {clause} {w}")?;
    }
    for (operator, state) in &commit.state {
        let bytes: u64 = state.snapshot.iter().chain(&state.deltas).map(|file| file.bytes).sum();
        let snapshot = if state.snapshot.is_some() { "snapshot and " } else { "" };
        writeln!(f, "  state     {operator}: {snapshot}{} deltas, {bytes} bytes", state.deltas.len())?;
    }
    Ok(())
}

/// What [`verify`] looked at and found.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Commits whose manifests were compared.
    pub commits: u64,
    /// Table files compared by length and checksum.
    pub files: u64,
    /// Rows that the manifests count in them.
    pub rows: u64,
    /// State files compared.
    pub state_files: u64,
    /// What is wrong; empty when all holds.
    pub problems: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} commits, {} files with {} rows, {} state files compared",
            self.commits, self.files, self.rows, self.state_files
        )?;
        for problem in &self.problems {
            writeln!(f, "problem: {problem}")?;
        }
        if self.problems.is_empty() { writeln!(f, "the checkpoint and its tables agree") } else { Ok(()) }
    }
}

/// Compares every commit that is still there with the files that it names, and each with the plan of its batch.
/// The newest batch may be committed and not yet published; its files may then still be staged.
///
/// # Errors
/// When the checkpoint itself cannot be read; what is wrong with files is in the verdict.
pub fn verify(checkpoint: &Checkpoint) -> Result<Verdict, EngineError> {
    summary(checkpoint)?;
    let mut verdict = Verdict::default();
    let ids = checkpoint.commit_ids()?;
    let newest = ids.last().copied();
    let mut before: Option<Commit> = None;
    for id in ids {
        let commit = checkpoint.commit(id)?;
        verdict.commits += 1;
        check_plan(checkpoint, &commit, before.as_ref(), &mut verdict)?;
        check_files(&commit, Some(id) == newest, &mut verdict);
        before = Some(commit);
    }
    if let Some(commit) = before {
        for state in commit.state.values() {
            for file in state.snapshot.iter().chain(&state.deltas) {
                check_state(checkpoint, file, &mut verdict);
            }
        }
    }
    Ok(verdict)
}

/// The plan's ranges begin where the batch before ended, and the commit's positions are their ends.
fn check_plan(
    checkpoint: &Checkpoint,
    commit: &Commit,
    before: Option<&Commit>,
    verdict: &mut Verdict,
) -> Result<(), EngineError> {
    let plan = checkpoint.offsets(commit.batch_id)?;
    let ends: BTreeMap<_, _> = commit.positions.iter().map(|p| (&p.partition, p.offset)).collect();
    let starts: BTreeMap<_, _> = before
        .filter(|b| b.batch_id + 1 == commit.batch_id)
        .map(|b| b.positions.iter().map(|p| (&p.partition, p.offset)).collect())
        .unwrap_or_default();
    for range in &plan.ranges {
        if ends.get(&range.partition) != Some(&range.range.to) {
            verdict.problems.push(format!(
                "batch {}: {} was planned to offset {} and committed to {:?}",
                commit.batch_id,
                range.partition,
                range.range.to,
                ends.get(&range.partition)
            ));
        }
        if let Some(start) = starts.get(&range.partition)
            && *start != range.range.from
        {
            verdict.problems.push(format!(
                "batch {}: {} starts at offset {}, the batch before ended at {start}",
                commit.batch_id, range.partition, range.range.from
            ));
        }
    }
    Ok(())
}

fn check_files(commit: &Commit, newest: bool, verdict: &mut Verdict) {
    for output in &commit.files {
        for file in &output.files {
            let location = Path::new(&output.location);
            let target = location.join(&file.target);
            let path = if newest && !target.exists() { location.join(&file.staged) } else { target };
            verdict.files += 1;
            verdict.rows += file.rows;
            if let Some(problem) = differs(&path, file.bytes, &file.checksum) {
                verdict.problems.push(format!("batch {}, {}: {problem}", commit.batch_id, output.output));
            }
        }
    }
}

fn check_state(checkpoint: &Checkpoint, file: &StateFile, verdict: &mut Verdict) {
    verdict.state_files += 1;
    if let Some(problem) = differs(&checkpoint.root().join(&file.path), file.bytes, &file.checksum) {
        verdict.problems.push(problem);
    }
}

fn differs(path: &Path, bytes: u64, expected: &str) -> Option<String> {
    match std::fs::read(path) {
        Err(e) => Some(format!("{}: {e}", path.display())),
        Ok(content) if content.len() as u64 != bytes => {
            Some(format!("{} has {} bytes, {bytes} were committed", path.display(), content.len()))
        }
        Ok(content) if checksum(&content) != expected => {
            Some(format!("{} has another content than was committed", path.display()))
        }
        Ok(_) => None,
    }
}
