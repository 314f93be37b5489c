//! Rewrites one folder, then exchanges it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use sluicebox_checkpoint::records::{BatchRows, Commit, Compaction, Why};
use sluicebox_checkpoint::{Checkpoint, CheckpointError};
use sluicebox_core::OutputId;
use sluicebox_sinks::parquet::compact::{self, FileFacts, FileSum, Folder, Input, Part, Piece, Staging};
use sluicebox_sinks::{LakeError, Upkeep, layout};

use super::settle::remove_if_empty;
use crate::UpkeepError;

/// A table whose folders are looked at, and who does it.
#[derive(Debug)]
pub(super) struct Table<'a> {
    pub checkpoint: &'a Checkpoint,
    pub table: &'a dyn Upkeep,
    pub name: &'a str,
    pub query_id: &'a str,
    pub epoch: u64,
    pub target_bytes: u64,
}

/// What the commits that are kept say of files, by path below the table's folder.
pub(super) type Committed = HashMap<String, FileSum>;

/// A folder that has been rewritten and waits to be exchanged.
#[derive(Debug)]
pub(super) struct Ready {
    record: Compaction,
    staged: PathBuf,
}

impl Table<'_> {
    fn output(&self) -> OutputId {
        OutputId::Table(self.name.to_owned())
    }

    pub fn staging(&self) -> Result<Staging, UpkeepError> {
        Ok(Staging::of(self.table.location(), self.query_id, self.epoch)?)
    }

    /// What kept commits say of this table's files.
    pub fn committed(&self) -> Result<Committed, UpkeepError> {
        let (location, mut files) = (self.table.location().display().to_string(), Committed::new());
        for id in self.checkpoint.commit_ids()? {
            let commit = match self.checkpoint.commit(id) {
                Err(CheckpointError::Damaged { .. } | CheckpointError::Missing { .. }) => continue,
                commit => commit?,
            };
            for file in commit.files().filter(|o| o.location == location).flat_map(|o| o.files).cloned() {
                let name = file.target.rsplit('/').next().unwrap_or_default().to_owned();
                let sum = FileSum { name, rows: file.rows, bytes: file.bytes, checksum: file.checksum };
                files.insert(file.target, sum);
            }
        }
        Ok(files)
    }

    /// Writes the folder anew beside the table as compaction `number`, or only finds out what is in it when its rows go.
    /// `None` when it stays as it is, or `go_on` said no.
    pub fn prepare(
        &self,
        folder: &Folder,
        number: u64,
        why: Why,
        committed: &Committed,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Ready>, UpkeepError> {
        let dir = self.table.location().join(&folder.path);
        let mut inputs = folder.parts.iter().map(|part| Input::footer(&dir, part)).collect::<Result<Vec<_>, _>>()?;
        let pieces = compact::plan(&facts(&inputs), self.target_bytes);
        if why == Why::Compact && !pieces.iter().any(|piece| matches!(piece, Piece::Merge(_))) {
            return Ok(None);
        }
        for input in &mut inputs {
            if !go_on() {
                return Ok(None);
            }
            if why == Why::Compact {
                input.sum(&dir)?;
            }
            refuse_changed(&dir, &input.file, committed.get(&format!("{}/{}", folder.path, input.file.name)))?;
        }
        let (batches, replaces) = self.origin(&dir, &folder.parts, &inputs)?;
        let staging = self.staging()?;
        let staged = staging.make(number)?;
        let newest = folder.parts.iter().map(|part| part.batch).max().unwrap_or(0);
        let name = |part: u64| layout::compacted_name(newest, number, part, self.query_id);
        let outputs = match why {
            Why::Retain => Some(Vec::new()),
            Why::Compact => self.table.rewrite(&dir, &inputs, &pieces, &staged, &name, go_on)?,
        };
        let Some(outputs) = outputs else {
            compact::remove(&staged)?;
            return Ok(None);
        };
        let record = Compaction {
            number,
            epoch: self.epoch,
            after: 0,
            pipeline: 0,
            at_micros: 0,
            why,
            output: self.output(),
            location: self.table.location().display().to_string(),
            folder: folder.path.clone(),
            staging: staging.root().display().to_string(),
            inputs: inputs.into_iter().map(|input| input.file).collect(),
            outputs,
            batches,
            replaces,
        };
        Ok(Some(Ready { record, staged }))
    }

    /// How many rows of each batch the files hold, and the records of the compactions that wrote some of them.
    fn origin(&self, dir: &Path, parts: &[Part], inputs: &[Input]) -> Result<(BatchRows, Vec<u64>), UpkeepError> {
        let mut batches: BTreeMap<u64, u64> = BTreeMap::new();
        let mut replaces = BTreeSet::new();
        for (part, input) in parts.iter().zip(inputs) {
            match part.compaction {
                None => *batches.entry(part.batch).or_default() += input.file.rows,
                Some(number) => drop(replaces.insert(number)),
            }
        }
        for number in &replaces {
            let record = self.checkpoint.compaction(*number)?;
            for output in &record.outputs {
                let found = inputs.iter().find(|input| input.file.name == output.name);
                let Some(found) = found else {
                    let why = format!("{} of the same compaction is gone", output.name);
                    return Err(LakeError::DamagedInput { path: dir.to_owned(), why }.into());
                };
                refuse_changed(dir, &found.file, Some(output))?;
            }
            // None of these is counted yet. A folder is exchanged whole, so that its files are of one compaction at most. And a
            // batch that one has met has all its files in it: `exchange` comes after the newest commit was published, and a start
            // that publishes that one again leaves the folder out (`Checkpoint::replaced_of_newest`).
            for (batch, rows) in record.batches.0 {
                *batches.entry(batch).or_default() += rows;
            }
        }
        Ok((BatchRows(batches), replaces.into_iter().collect()))
    }

    /// Exchanges the folder, if nothing has come into it since it was looked at; gives what was done, and the old folder,
    /// which is to be removed. No batch may be published meanwhile, and all files of `newest` must have been.
    pub fn exchange(&self, ready: Ready, newest: &Commit, now: i64) -> Result<Option<Exchanged>, UpkeepError> {
        let Ready { mut record, staged } = ready;
        let partition = self.table.location().join(&record.folder);
        let names: BTreeSet<String> = record.inputs.iter().map(|file| file.name.clone()).collect();
        if compact::names_in(&partition)? != names {
            compact::remove(&staged)?;
            return Ok(None);
        }
        record.after = newest.batch_id;
        record.pipeline = newest.pipeline;
        record.at_micros = now;
        self.checkpoint.write_compaction(&record)?;
        compact::swap(&staged, &partition)?;
        self.checkpoint.forget_compactions(&record.replaces)?;
        if record.outputs.is_empty() {
            remove_if_empty(self.table.location(), &record.folder);
        }
        Ok(Some(Exchanged { record, old: staged }))
    }
}

/// What was done.
#[derive(Debug)]
pub(super) struct Exchanged {
    pub record: Compaction,
    /// The folder with the old files.
    pub old: PathBuf,
}

pub(super) fn facts(inputs: &[Input]) -> Vec<FileFacts> {
    let like = |at: usize| at.checked_sub(1).and_then(|before| inputs.get(before)).map(|before| &before.schema);
    let fact = |(at, input): (usize, &Input)| FileFacts {
        bytes: input.file.bytes,
        like_before: like(at).is_some_and(|schema| *schema == input.schema),
    };
    inputs.iter().enumerate().map(fact).collect()
}

/// A file that is not what was committed must not become part of another one, which would hide it.
fn refuse_changed(dir: &Path, found: &FileSum, committed: Option<&FileSum>) -> Result<(), UpkeepError> {
    let Some(committed) = committed else { return Ok(()) };
    let same = found.bytes == committed.bytes
        && found.rows == committed.rows
        && (found.checksum == committed.checksum || found.checksum == FileSum::UNREAD);
    if same {
        return Ok(());
    }
    let why = format!(
        "it has {} rows, {} bytes, checksum {}, and {} rows, {} bytes, checksum {} were committed",
        found.rows, found.bytes, found.checksum, committed.rows, committed.bytes, committed.checksum
    );
    Err(LakeError::DamagedInput { path: dir.join(&found.name), why }.into())
}
