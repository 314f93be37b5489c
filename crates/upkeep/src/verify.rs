//! Proves a checkpoint and its tables against each other, and summarises a checkpoint.
//!
//! [`verify`] checks everything of the batches whose records are there. Of older ones, whose records were purged, it checks what their
//! reports and files say. It also reports what it could not prove.
//!
//! | what | of batches with records | of older ones |
//! |---|---|---|
//! | plan and commit belong together; ranges begin where the batch before ended; W never goes back | yes | ranges, by the reports |
//! | every file named is there, with its length and checksum | yes | |
//! | the ledger balances, and counts what the files hold | yes | yes, by the files' footers |
//! | no file is there that nobody named | yes | by name and number of rows |
//! | state files are there, with length and checksum | yes | |
//! | state files follow from each other, and windows took rows in when their reports say so | yes | |
//! | compacted files are there, with length and checksum, and hold as many rows as those that they replaced | yes | yes |
//! | every folder's mark names this query and generation | yes | yes |

mod compactions;
mod files;
mod found;
mod ledger;
mod records;
mod state;

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use sluicebox_checkpoint::records::{Commit, Metadata};
use sluicebox_checkpoint::recovery::decide;
use sluicebox_checkpoint::{Checkpoint, CheckpointError};
use sluicebox_core::Clock;
use sluicebox_core::clock::iso;
use sluicebox_core::shown::shown;

use crate::UpkeepError;

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
pub fn summary(checkpoint: &Checkpoint) -> Result<Summary, UpkeepError> {
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
            // A broker says it.
            writeln!(f, "reads       {source} from the log {}", shown(&log.log))?;
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
    if let Some(totals) = &commit.totals {
        let since = totals.since;
        writeln!(f, "  since     batch {since}: {} events, {} dead letters", totals.events, totals.dead_letters)?;
        for (table, fates) in &totals.tables {
            writeln!(f, "            {table}: {} rows written", fates.written)?;
        }
    }
    for position in &commit.positions {
        let partition = position.partition.to_string();
        writeln!(f, "  position  {} at offset {}", shown(&partition), position.offset)?;
    }
    for (clause, state) in &commit.watermarks {
        let w = state.watermark.map_or_else(|| "none yet".to_owned(), iso);
        writeln!(f, "  watermark {clause} {w}")?;
    }
    for (operator, state) in &commit.state {
        let bytes: u64 = state.files().map(|file| file.bytes).sum();
        let segments = match state.segments.len() {
            0 => String::new(),
            n => format!("{n} segments and "),
        };
        let snapshot = if state.snapshot.is_some() { "snapshot and " } else { "" };
        writeln!(f, "  state     {operator}: {segments}{snapshot}{} deltas, {bytes} bytes", state.deltas.len())?;
    }
    Ok(())
}

/// What [`verify`] looked at and found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Verdict {
    /// Batches whose plan and commit were compared.
    pub batches: u64,
    /// Older batches, of which only reports and files are left.
    pub older_batches: u64,
    /// Table files compared by length and checksum.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rows that the manifests count in them.
    pub rows: u64,
    /// Files of older batches, compared by number of rows.
    pub older_files: u64,
    /// Compacted files compared by length and checksum.
    pub compacted: u64,
    /// Rows of partitions that were retained no longer.
    pub retired: u64,
    /// Reports whose ledger was computed again.
    pub reports: u64,
    /// State files compared.
    pub state_files: u64,
    /// What is as it may be, and worth knowing: staged files of killed runs, a run in progress.
    pub notes: Vec<String>,
    /// What could not be proved, and why.
    pub unproved: Vec<String>,
    /// What is wrong; empty when all holds.
    pub problems: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} batches with {} files, {} rows, {} bytes and {} state files compared by checksum; {} ledgers computed again",
            self.batches, self.files, self.rows, self.bytes, self.state_files, self.reports
        )?;
        if self.older_batches > 0 {
            writeln!(
                f,
                "{} older batches with {} files compared by their reports",
                self.older_batches, self.older_files
            )?;
        }
        if self.compacted > 0 {
            writeln!(f, "{} compacted files compared by checksum", self.compacted)?;
        }
        if self.retired > 0 {
            writeln!(f, "{} rows were retained no longer, and went with their partitions", self.retired)?;
        }
        writeln!(f, "took {:.1} s", self.took.as_secs_f64())?;
        for (what, lines) in [("note", &self.notes), ("not proved", &self.unproved), ("problem", &self.problems)] {
            for line in lines {
                // A file's name may hold a line end, and forge what stands behind it.
                writeln!(f, "{what}: {}", shown(line))?;
            }
        }
        if self.problems.is_empty() { writeln!(f, "the checkpoint and its tables agree") } else { Ok(()) }
    }
}

/// Proves a checkpoint and its tables against each other: see the table above. Nothing is changed. The newest batch may
/// be committed and not yet published; its files may then still be staged. Beside a run that goes on it may see a batch
/// half-way: then it says that there is one.
///
/// # Errors
/// When the newest records cannot be read, without which nothing can be said, or a folder cannot be listed; all else
/// that is wrong is in the verdict.
pub fn verify(checkpoint: &Checkpoint, clock: &dyn Clock) -> Result<Verdict, UpkeepError> {
    let started = clock.monotonic();
    let summary = summary(checkpoint)?;
    let mut verdict = Verdict::default();
    for epoch in checkpoint.living_epochs(0)? {
        verdict.notes.push(format!("the run of epoch {epoch} goes on: what it does meanwhile may look wrong"));
    }
    for path in checkpoint.strange_numbers()? {
        verdict.problems.push(format!(
            "{} has a number that no run gives a record: somebody else put it there, and runs pass it over",
            path.display()
        ));
    }
    if checkpoint.refresh()?.is_some() {
        verdict
            .problems
            .push("a full refresh was not finished: the next run finishes it, until then nothing agrees".to_owned());
    }
    let Some(newest) = &summary.last_commit else {
        verdict.unproved.push("no batch has been committed: there is nothing to compare".to_owned());
        verdict.took = clock.monotonic().saturating_sub(started);
        return Ok(verdict);
    };
    let records = records::Records::read(checkpoint, newest, &mut verdict)?;
    records::check_chain(checkpoint, &records, &mut verdict);
    let found = files::check(checkpoint, &summary.metadata, &records, &mut verdict)?;
    let absorbed = ledger::check(checkpoint, newest, &records, &found, &mut verdict);
    state::check(checkpoint, &records, &absorbed, &mut verdict);
    records::check_state(checkpoint, &records, &mut verdict)?;
    verdict.took = clock.monotonic().saturating_sub(started);
    Ok(verdict)
}
