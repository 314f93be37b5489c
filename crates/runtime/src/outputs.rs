//! The outputs of a pipeline: the sinks of its tables, the folders beside them, and the staging of a batch's rows.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use sluicebox_checkpoint::records::{Commit, StagedOutput};
use sluicebox_core::OutputId;
use sluicebox_core::provenance;
use sluicebox_core::station::{self, Station};
use sluicebox_functions::size;
use sluicebox_pipeline::graph::Graph;
use sluicebox_sinks::{
    BATCH_ID, BatchKey, Check, Owner, Publisher, Rows, Sink, Sinks, StagedFile, owner, stage_beside, stage_file,
};
use tokio::sync::mpsc;

use crate::RuntimeError;

mod apart;
mod marks;

pub use apart::{ApartError, CHECKPOINT, NamedFolder, PROJECT, refuse_in_table, refuse_no_text};
pub use marks::Held;

/// Where everything of a pipeline goes.
#[derive(Debug)]
pub struct Outputs {
    /// The sinks of the tables that are written.
    tables: Sinks,
    working_dir: PathBuf,
    data_dir: PathBuf,
    pipeline: String,
    sources: Vec<String>,
}

/// A folder with the name under which commits and messages know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFolder {
    /// What is written there.
    pub output: OutputId,
    /// The folder, absolute.
    pub location: PathBuf,
}

/// Rows, or a file, that wait to be staged.
#[derive(Debug)]
pub enum Content {
    /// Rows of a table.
    Table(Arc<dyn Sink>, Vec<RecordBatch>),
    /// Rows of a table that come a few at a time.
    Stream(Arc<dyn Sink>, mpsc::Receiver<RecordBatch>),
    /// Rows for this folder beside the tables, partitioned by batch.
    Side(PathBuf, Vec<RecordBatch>),
    /// A file in this folder beside the tables: its name below the batch's folder, and its content.
    File(PathBuf, String, Vec<u8>),
}

/// Something to stage.
#[derive(Debug)]
pub struct Job {
    /// Of which output.
    pub output: OutputId,
    /// What.
    pub content: Content,
}

impl Outputs {
    /// Those of `graph`, whose tables are written by `sinks`.
    ///
    /// # Errors
    /// When a table has no sink.
    pub fn try_new(graph: &Graph, working_dir: &Path, data_dir: &Path, sinks: &Sinks) -> Result<Self, RuntimeError> {
        let sink = |name: &str| sinks.get(name).cloned().ok_or_else(|| no_sink(name));
        let tables = graph.tables.iter().map(|table| sink(&table.name).map(|sink| (table.name.clone(), sink)));
        Ok(Self {
            tables: tables.collect::<Result<_, RuntimeError>>()?,
            working_dir: working_dir.to_owned(),
            data_dir: data_dir.to_owned(),
            pipeline: graph.pipeline.name.clone(),
            sources: graph.pipeline.sources.iter().map(|s| s.name.value.clone()).collect(),
        })
    }

    /// Leaves only `tables`, and the reports: the rest is computed and not written.
    #[must_use]
    pub fn only(mut self, tables: &BTreeSet<String>) -> Self {
        self.tables.retain(|name, _| tables.contains(name));
        self.sources.clear();
        self
    }

    /// Whether rows of this table, or dead letters of this source, are written.
    #[must_use]
    pub fn writes(&self, name: &str) -> bool {
        self.tables.contains_key(name) || self.sources.iter().any(|s| s == name)
    }

    /// The sinks of the tables, by name.
    #[must_use]
    pub fn tables(&self) -> &Sinks {
        &self.tables
    }

    /// The sinks that keep their own records, by table.
    #[must_use]
    pub fn transactional(&self) -> Vec<(String, Arc<dyn Sink>)> {
        let mine = self.tables.iter().filter(|(_, sink)| sink.folder().is_none());
        mine.map(|(table, sink)| (table.clone(), Arc::clone(sink))).collect()
    }

    /// The pipeline's name.
    #[must_use]
    pub fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// Every folder that the pipeline may write to, in the order of paths.
    #[must_use]
    pub fn folders(&self) -> Vec<OutputFolder> {
        let mut folders: Vec<OutputFolder> = self
            .tables
            .iter()
            .filter_map(|(name, sink)| {
                Some(OutputFolder { output: OutputId::Table(name.clone()), location: sink.folder()?.to_owned() })
            })
            .collect();
        for name in self.tables.keys() {
            folders.push(self.quarantine(name));
            folders.push(self.late(name));
        }
        folders.extend(self.sources.iter().map(|s| self.dead_letters(s)));
        folders.extend([self.reports(), self.samples()]);
        folders.sort_by(|a, b| a.location.cmp(&b.location));
        folders
    }

    fn side(&self, output: OutputId, path: &[&str]) -> OutputFolder {
        OutputFolder { output, location: path.iter().fold(self.data_dir.clone(), |dir, part| dir.join(part)) }
    }

    fn quarantine(&self, table: &str) -> OutputFolder {
        self.side(OutputId::Quarantine(table.to_owned()), &["quarantine", &self.pipeline, table])
    }

    fn late(&self, table: &str) -> OutputFolder {
        self.side(OutputId::Late(table.to_owned()), &["late", &self.pipeline, table])
    }

    fn dead_letters(&self, source: &str) -> OutputFolder {
        self.side(OutputId::DeadLetters(source.to_owned()), &["dead_letters", &self.pipeline, source])
    }

    /// The folders of a table's late and quarantined rows, those of the query in an older place too.
    #[must_use]
    pub fn beside(&self, table: &str, query_id: &str) -> Vec<OutputFolder> {
        let older = [
            self.side(OutputId::Late(table.to_owned()), &["late", table]),
            self.side(OutputId::Quarantine(table.to_owned()), &["quarantine", table]),
        ];
        let older = older.into_iter().filter(|folder| self.marked(folder).is_some_and(|o| o.query_id == query_id));
        [self.late(table), self.quarantine(table)].into_iter().chain(older).collect()
    }

    /// Where versions before the folders had the pipeline's name in their path put what stands beside the tables, as far as
    /// those folders are there and of `queries`, in the order of paths. Nothing new is written to them.
    #[must_use]
    pub fn older(&self, queries: &[&str]) -> Vec<OutputFolder> {
        let marked = self.older_marked().into_iter();
        marked.filter(|(_, owner)| queries.contains(&owner.query_id.as_str())).map(|(folder, _)| folder).collect()
    }

    /// The folders in such places whose marks name a pipeline of this name and that output, in the order of paths.
    #[must_use]
    pub fn older_marked(&self) -> Vec<(OutputFolder, Owner)> {
        let of_table = |name: &String| {
            [
                self.side(OutputId::Quarantine(name.clone()), &["quarantine", name]),
                self.side(OutputId::Late(name.clone()), &["late", name]),
            ]
        };
        let letters = |name: &String| self.side(OutputId::DeadLetters(name.clone()), &["dead_letters", name]);
        let folders = self.tables.keys().flat_map(of_table).chain(self.sources.iter().map(letters));
        let mut found: Vec<(OutputFolder, Owner)> =
            folders.filter_map(|folder| self.marked(&folder).map(|owner| (folder, owner))).collect();
        found.sort_by(|(a, _), (b, _)| a.location.cmp(&b.location));
        found
    }

    /// The owner of a folder in an older place, if its mark names a pipeline of this name and that output. A mark that cannot
    /// be read names nobody.
    fn marked(&self, folder: &OutputFolder) -> Option<Owner> {
        let owner = owner::read(&folder.location).ok().flatten()?;
        (owner.pipeline == self.pipeline && owner.table == folder.output.in_mark()).then_some(owner)
    }

    fn reports(&self) -> OutputFolder {
        self.side(OutputId::Reports, &["dq", &self.pipeline, "metrics"])
    }

    fn samples(&self) -> OutputFolder {
        self.side(OutputId::Samples, &["dq", &self.pipeline, "samples"])
    }

    /// Where the samples of a batch that FAIL UPDATE stopped go: outside the commit.
    #[must_use]
    pub fn failed(&self) -> PathBuf {
        self.data_dir.join("dq").join(&self.pipeline).join("failed")
    }

    /// The job of a table's rows.
    ///
    /// # Errors
    /// When there is no such table.
    pub fn table_job(&self, table: &str, rows: &[RecordBatch]) -> Result<Job, RuntimeError> {
        let rows = rows.iter().map(provenance::visible).collect::<Result<Vec<_>, _>>()?;
        Ok(Job { output: OutputId::Table(table.to_owned()), content: Content::Table(self.table(table)?, rows) })
    }

    /// The job of a table's rows that are still to come, with their hidden columns. It ends when there will be no more.
    ///
    /// # Errors
    /// When there is no such table.
    pub fn stream_job(&self, table: &str, rows: mpsc::Receiver<RecordBatch>) -> Result<Job, RuntimeError> {
        Ok(Job { output: OutputId::Table(table.to_owned()), content: Content::Stream(self.table(table)?, rows) })
    }

    fn table(&self, table: &str) -> Result<Arc<dyn Sink>, RuntimeError> {
        self.tables.get(table).cloned().ok_or_else(|| no_sink(table))
    }

    /// The job of a table's quarantined rows.
    #[must_use]
    pub fn quarantine_job(&self, table: &str, rows: Vec<RecordBatch>) -> Job {
        side_job(self.quarantine(table), rows)
    }

    /// The job of a table's late rows.
    #[must_use]
    pub fn late_job(&self, table: &str, rows: Vec<RecordBatch>) -> Job {
        side_job(self.late(table), rows)
    }

    /// The job of a source's dead letters.
    #[must_use]
    pub fn dead_letter_job(&self, source: &str, rows: Vec<RecordBatch>) -> Job {
        side_job(self.dead_letters(source), rows)
    }

    /// The jobs of a batch's report: the JSON file and its Parquet rows, and the samples.
    #[must_use]
    pub fn report_jobs(&self, json: Vec<u8>, rows: RecordBatch, samples: Option<RecordBatch>) -> Vec<Job> {
        let OutputFolder { output, location } = self.reports();
        let file = Content::File(location, "report.json".to_owned(), json);
        let mut jobs = vec![Job { output, content: file }, side_job(self.reports(), vec![rows])];
        if let Some(samples) = samples {
            jobs.push(side_job(self.samples(), vec![samples]));
        }
        jobs
    }
}

impl Job {
    /// About how many bytes it holds, without the rows that are still to come.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.content {
            Content::Table(_, rows) | Content::Side(_, rows) => {
                rows.iter().flat_map(RecordBatch::columns).map(|column| size::of(column)).sum()
            }
            Content::Stream(..) => 0,
            Content::File(_, _, content) => content.len(),
        }
    }

    /// Stages it; blocking. `None` when there is nothing to write.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn stage(self, key: &BatchKey<'_>) -> Result<Option<StagedOutput>, RuntimeError> {
        let _at_work = station::begin(Station::Encode);
        let id = self.output;
        let (location, files) = match self.content {
            Content::Table(sink, rows) => {
                return Ok(sink.stage(key, Rows::All(&rows))?.map(|staged| StagedOutput { id, staged }));
            }
            Content::Stream(sink, mut rows) => {
                let mut failed = None;
                let mut visible = std::iter::from_fn(|| {
                    let visible = provenance::visible(&rows.blocking_recv()?);
                    visible.map_err(|error| failed = Some(error)).ok()
                });
                let staged = sink.stage(key, Rows::Stream(&mut visible))?;
                failed.map_or(Ok(()), Err)?;
                return Ok(staged.map(|staged| StagedOutput { id, staged }));
            }
            Content::Side(location, rows) => {
                let files = stage_beside(&location, key, &rows)?;
                (location, files)
            }
            Content::File(location, name, content) => {
                let target = format!("{BATCH_ID}={}/{name}", key.batch_id);
                let file = stage_file(&location, key, &target, &content)?;
                (location, vec![file])
            }
        };
        Ok((!files.is_empty()).then(|| StagedOutput::files(id, location.display().to_string(), files)))
    }
}

fn side_job(folder: OutputFolder, rows: Vec<RecordBatch>) -> Job {
    Job { output: folder.output, content: Content::Side(folder.location, rows) }
}

fn no_sink(table: &str) -> RuntimeError {
    RuntimeError::Bug(format!("table `{table}` has no sink"))
}

/// Publishes the files of a commit, in its order.
///
/// # Errors
/// When a file is lost or another is in its way.
pub fn publish(publisher: &mut Publisher, commit: &Commit, check: Check) -> Result<(), RuntimeError> {
    let manifest: Vec<(&Path, &[StagedFile])> =
        commit.files().map(|output| (Path::new(output.location), output.files)).collect();
    Ok(publisher.publish(&manifest, check)?)
}
