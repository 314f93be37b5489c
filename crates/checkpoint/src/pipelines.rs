//! `pipelines/<n>`: one version of the pipeline's SQL, and the decisions with which it was adopted.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sluicebox_core::OutputId;
use sluicebox_durable::Created;
use sluicebox_durable::fault::What;
use sluicebox_sources::LogIdentity;

use crate::folder::taken;
use crate::shape::{Shape, TableShape};
use crate::{Checkpoint, CheckpointError};

/// `pipelines/<n>`. Created if absent before the first batch under it is planned, never changed. Commits name it by number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PipelineRecord {
    /// The number, from 1.
    pub number: u64,
    /// The epoch of the run that adopted it.
    pub epoch: u64,
    /// When, microseconds since 1970 UTC.
    pub adopted_micros: i64,
    /// The file's name, as it was given.
    pub file: String,
    /// The SQL.
    pub text: String,
    /// What of it matters.
    pub shape: Shape,
    /// The logs of its sources.
    pub logs: BTreeMap<String, LogIdentity>,
    /// The operators and clauses whose state ends here, though a commit before names it.
    pub forgets: BTreeSet<String>,
    /// The tables that are filled before the others go on.
    pub backfills: BTreeSet<String>,
    /// Whether they are filled from the files of the tables above them, and not from their topics.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_files: bool,
    /// The tables whose rows are deleted, each with its folders, absolute.
    pub clears: BTreeMap<String, Vec<String>>,
}

impl PipelineRecord {
    /// Puts `f` of each folder in its place.
    fn locations(&mut self, f: impl Fn(&str) -> String) {
        let own = self.shape.tables.values_mut().filter(|t| t.sink.is_none()).map(|t| &mut t.location);
        for location in own.chain(self.clears.values_mut().flatten()) {
            *location = f(location);
        }
    }

    /// Whether `output` of a commit was deleted when this pipeline was adopted.
    #[must_use]
    pub fn cleared(&self, output: &OutputId) -> bool {
        output.of_table().is_some_and(|table| self.clears.contains_key(table))
    }
}

/// The columns of each table in the order in which they are written under the newest pipeline of `checkpoint`: see
/// `Graph::keep_order` of the pipeline. None where the record is damaged: whoever needs it says why, and a full
/// refresh needs none.
///
/// # Errors
/// When the disk fails. It may work when the record is read again, and another order would have been taken for the right one.
pub fn column_order(checkpoint: &Checkpoint) -> Result<BTreeMap<String, Vec<String>>, CheckpointError> {
    let record = match checkpoint.newest_pipeline() {
        Ok(Some(record)) => record,
        Err(error @ CheckpointError::File(_)) => return Err(error),
        Ok(None) | Err(_) => return Ok(BTreeMap::new()),
    };
    let names = |t: &TableShape| t.columns.iter().map(|c| c.name.clone()).collect();
    Ok(record.shape.tables.iter().map(|(table, shape)| (table.clone(), names(shape))).collect())
}

impl Checkpoint {
    /// The numbers of the pipelines that were adopted, ascending. None in a checkpoint that is older than these records.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn pipeline_numbers(&self) -> Result<Vec<u64>, CheckpointError> {
        let mut numbers = self.ids(What::Pipeline, "pipelines")?;
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// `pipelines/<n>`.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn pipeline(&self, number: u64) -> Result<PipelineRecord, CheckpointError> {
        let mut found: PipelineRecord = self.required(What::Pipeline, &format!("pipelines/{number}"))?;
        self.of_its_name("pipelines", number, found.number)?;
        found.locations(|location| self.location_of(location));
        Ok(found)
    }

    /// The newest pipeline, if there is one.
    ///
    /// # Errors
    /// When the folder cannot be listed, or the record is damaged.
    pub fn newest_pipeline(&self) -> Result<Option<PipelineRecord>, CheckpointError> {
        self.pipeline_numbers()?.last().map(|n| self.pipeline(*n)).transpose()
    }

    /// Makes the adoption of a pipeline durable.
    ///
    /// # Errors
    /// When another run adopted one under this number: this one has been taken over.
    pub fn write_pipeline(&self, record: &PipelineRecord) -> Result<(), CheckpointError> {
        let path = self.root().join("pipelines").join(record.number.to_string());
        let mut stored = record.clone();
        stored.locations(|location| self.name_of(location));
        match self.create_fenced(What::Pipeline, &path, &stored, record.epoch)? {
            Created::New => Ok(()),
            Created::Exists => Err(taken(path, record.epoch, self.pipeline(record.number)?.epoch)),
        }
    }
}
