//! The contents of the files of a checkpoint. The field names are the format, which `docs/formats.md` specifies.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sluicebox_core::{Fates, OffsetRange, OutputId, PartitionId};
use sluicebox_operators::WatermarkState;
use sluicebox_sinks::parquet::compact::FileSum;
use sluicebox_sources::LogIdentity;

mod outputs;

pub use outputs::{OutputFiles, StagedOutput};

/// `metadata`: who this checkpoint belongs to. Written once, at the first start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// The query's id, for ever the same; Spark's `metadata` has the same field.
    pub id: String,
    /// 1 at the first start; one more at each full refresh.
    pub generation: u64,
    /// The pipeline's name.
    pub pipeline: String,
    /// When the checkpoint was made, microseconds since 1970 UTC.
    pub created_micros: i64,
    /// The number of partitions of every plan; pinned, so that a replay gives the same files.
    pub plan_partitions: usize,
    /// The log that each source reads; another log is refused.
    pub logs: BTreeMap<String, LogIdentity>,
}

/// `offsets/<id>`: what batch `id` is, durable before any effect of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offsets {
    /// The batch.
    pub batch_id: u64,
    /// The epoch of the run that planned it.
    pub epoch: u64,
    /// The batch's clock, microseconds since 1970 UTC: `now()` in its queries.
    pub clock_micros: i64,
    /// Whether all partitions are idle in this batch because an available-now run ends with it.
    pub finishing: bool,
    /// The watermarks in force before the batch, by clause.
    pub watermarks: BTreeMap<String, Option<i64>>,
    /// The offsets that the batch reads, by partition; partitions from which nothing is read are there too, with an
    /// empty range, so that it is known whether they had reached their end.
    pub ranges: Vec<PlannedRange>,
    /// For available-now runs, the ends taken at the run's start, at which the run stops. A restart finishes to them.
    pub run_end: Option<Vec<Position>>,
    /// xxh3-64 of the pipeline's text.
    pub sql_hash: String,
}

/// The offsets of one partition in a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRange {
    /// The partition.
    #[serde(flatten)]
    pub partition: PartitionId,
    /// The range.
    #[serde(flatten)]
    pub range: OffsetRange,
    /// The end of the partition's log, as known when the batch was planned.
    pub log_end: i64,
    /// The clock since which that end was known without a gap; none if it was for as long as this run can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_since: Option<i64>,
}

/// An offset of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The partition.
    #[serde(flatten)]
    pub partition: PartitionId,
    /// The offset.
    pub offset: i64,
}

/// The version of a commit: 3 since an output may stage something else than files.
pub(crate) const COMMIT_VERSION: u32 = 3;

/// `commits/<id>`: the commit of batch `id`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    /// The batch.
    pub batch_id: u64,
    /// The epoch of the run that committed it.
    pub epoch: u64,
    /// What every output of the batch has staged, in the order in which it is published. Versions 1 and 2 call it `files`.
    #[serde(alias = "files")]
    pub outputs: Vec<StagedOutput>,
    /// The first offset not read, for every partition that any batch has read.
    pub positions: Vec<Position>,
    /// The watermarks after the batch, by clause.
    pub watermarks: BTreeMap<String, WatermarkState>,
    /// The writer schemas that events have named so far.
    pub schemas: SeenSchemas,
    /// The files that hold each operator's state after the batch.
    pub state: BTreeMap<String, OperatorState>,
    /// The pipeline under which the batch ran, as in `pipelines/<n>`; 0 in checkpoints that are older than these records.
    #[serde(default)]
    pub pipeline: u64,
    /// The tables of that pipeline that wait to be filled from their topics, or are being filled.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub pending: BTreeSet<String>,
    /// What all batches did so far; none in checkpoints that are older than these counts, until their next batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,
}

/// What the batches did so far, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// The batch with which the counts begin: 0, or the first one after those of a version that did not count.
    pub since: u64,
    /// Events read. Those that are read again to fill a table do not count.
    pub events: u64,
    /// Dead letters among them.
    pub dead_letters: u64,
    /// Fates by table, of tables that were computed again since then.
    pub tables: BTreeMap<String, Fates>,
}

/// Where an operator's state is: segments or a snapshot, then deltas in the order of their batches.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OperatorState {
    /// Of the operator's plan: a state of another fingerprint is refused.
    pub fingerprint: String,
    /// The whole state at some batch, of operators without segments; none before the first.
    pub snapshot: Option<StateFile>,
    /// What each batch since then has added.
    pub deltas: Vec<StateFile>,
    /// What was folded, oldest first; older than snapshot and deltas. A record with segments is of version 2: a reader that
    /// passed over them would have forgotten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<SegmentRecord>,
}

impl OperatorState {
    /// Every file of it.
    pub fn files(&self) -> impl Iterator<Item = &StateFile> {
        self.segments.iter().map(|s| &s.file).chain(&self.snapshot).chain(&self.deltas)
    }

    /// Names `folded` for the snapshot and the first `deltas`, which went into it; with none, nothing of them must be remembered.
    /// It is newer than all segments that are there.
    pub fn fold(&mut self, deltas: usize, folded: Option<SegmentRecord>) {
        self.deltas.drain(..deltas.min(self.deltas.len()));
        self.snapshot = None;
        self.segments.extend(folded);
    }

    /// Names `merged` for the segments of the paths `replaces`, neighbours in age, and in their place: what was folded while they
    /// were merged is newer. With none, nothing of them must be remembered.
    pub fn merge(&mut self, replaces: &[String], merged: Option<SegmentRecord>) {
        let is_old = |segment: &SegmentRecord| replaces.contains(&segment.file.path);
        let at = self.segments.iter().position(is_old).unwrap_or(self.segments.len());
        self.segments.retain(|segment| !is_old(segment));
        self.segments.splice(at..at, merged);
    }
}

/// A segment: data, of which parts are read when they are needed, and behind it the tail, which is read at the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRecord {
    /// The whole file.
    #[serde(flatten)]
    pub file: StateFile,
    /// Rows of state in it.
    pub rows: u64,
    /// Length of the tail.
    pub tail_bytes: u64,
    /// xxh3-64 of the tail.
    pub tail_checksum: String,
}

/// A file below `state/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateFile {
    /// Path below the checkpoint.
    pub path: String,
    /// Length in bytes.
    pub bytes: u64,
    /// xxh3-64 of the content.
    pub checksum: String,
}

/// The keys of the writer schemas that the events of each source have named.
pub type SeenSchemas = BTreeMap<String, BTreeSet<String>>;

/// `epochs/<n>`: one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// The number, from 1.
    pub epoch: u64,
    /// The run's id; Spark's `runId`.
    pub run_id: String,
    /// The process.
    pub pid: u32,
    /// The machine's name.
    pub host: String,
    /// When the run started, microseconds since 1970 UTC.
    pub started_micros: i64,
}

/// `sources/<name>/start`: the starting offsets of a source, resolved once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStart {
    /// The offset at which each partition starts.
    pub positions: Vec<Position>,
}

/// `refresh`: a full refresh in progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refresh {
    /// The query's id, which stays.
    pub id: String,
    /// The generation that the refresh begins.
    pub generation: u64,
    /// The folders whose files it deletes: absolute here, see `place` for how the file names them.
    pub locations: Vec<String>,
    /// The ids of queries of this pipeline whose checkpoints are lost: what is theirs of `locations` is deleted too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<String>,
}

impl Refresh {
    /// The ids of all queries whose folders it clears.
    #[must_use]
    pub fn queries(&self) -> Vec<&str> {
        [&self.id].into_iter().chain(&self.taken).map(String::as_str).collect()
    }
}

/// `compactions/<n>`: the folder of a partition that was exchanged for one with other files, or for none. Durable before the
/// exchange; that there is a record of a higher number proves that it was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compaction {
    /// The number, from 1.
    pub number: u64,
    /// The epoch of the run or command that did it.
    pub epoch: u64,
    /// The newest commit then, all of whose files were published.
    pub after: u64,
    /// The pipeline of that commit, as in `pipelines/<n>`.
    pub pipeline: u64,
    /// When, microseconds since 1970 UTC.
    pub at_micros: i64,
    /// Why.
    pub why: Why,
    /// What the files are of: a table.
    pub output: OutputId,
    /// The output's folder: absolute here, see `place` for how the file names it.
    pub location: String,
    /// The partition's folder below it.
    pub folder: String,
    /// The folder beside the table, with a folder for each epoch: named as `location` is.
    pub staging: String,
    /// The files that were in the folder, in the order of their rows.
    pub inputs: Vec<FileSum>,
    /// Those that took their place, with the same rows in the same order; none where they were retired.
    pub outputs: Vec<FileSum>,
    /// How many rows of each batch were in the folder.
    pub batches: BatchRows,
    /// Records that this one stands for as well, and that are removed after the exchange: those of compactions of `inputs`.
    pub replaces: Vec<u64>,
}

/// Why a folder was exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// For fewer files with the same rows.
    Compact,
    /// Its rows are older than the table retains them.
    Retain,
}

/// Rows by batch; as text `41:120 42:7`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct BatchRows(pub BTreeMap<u64, u64>);

impl BatchRows {
    /// All rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.0.values().sum()
    }
}

impl From<BatchRows> for String {
    fn from(rows: BatchRows) -> Self {
        let pairs: Vec<String> = rows.0.iter().map(|(batch, rows)| format!("{batch}:{rows}")).collect();
        pairs.join(" ")
    }
}

impl TryFrom<String> for BatchRows {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let pair = |pair: &str| pair.split_once(':').and_then(|(b, r)| Some((b.parse().ok()?, r.parse().ok()?)));
        let pairs = text.split(' ').filter(|p| !p.is_empty());
        let rows = pairs.map(|p| pair(p).ok_or_else(|| format!("`{p}` is not `<batch>:<rows>`")));
        Ok(Self(rows.collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> StateFile {
        StateFile { path: name.to_owned(), bytes: 1, checksum: String::new() }
    }

    fn segment(name: &str) -> SegmentRecord {
        SegmentRecord { file: file(name), rows: 1, tail_bytes: 1, tail_checksum: String::new() }
    }

    fn names(state: &OperatorState) -> String {
        state.files().map(|file| file.path.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_merged_stays_older_than_what_was_folded_meanwhile() {
        let mut state = OperatorState {
            segments: ["s0", "s1", "s2"].map(segment).into(),
            snapshot: Some(file("whole")),
            deltas: ["d3", "d4", "d5"].map(file).into(),
            ..OperatorState::default()
        };
        let merged = ["s1", "s2"].map(str::to_owned);
        // A delta that came while it was folded stays.
        state.fold(2, Some(segment("s4")));
        assert_eq!(names(&state), "s0 s1 s2 s4 d5");
        state.merge(&merged, Some(segment("m")));
        assert_eq!(names(&state), "s0 m s4 d5");
        state.merge(&["m".to_owned()], None);
        assert_eq!(names(&state), "s0 s4 d5");
        state.fold(9, None);
        assert_eq!(names(&state), "s0 s4");
    }
}
