//! The folders that a pipeline writes to, and the staging of a batch's rows into them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use sluicebox_checkpoint::records::OutputFiles;
use sluicebox_core::OutputId;
use sluicebox_core::provenance;
use sluicebox_core::station::{self, Station};
use sluicebox_core::stored::stored_rows;
use sluicebox_functions::size;
use sluicebox_pipeline::graph::Graph;
use sluicebox_sinks::{
    BatchKey, Check, Owner, ParquetOptions, ParquetTable, Publisher, StagedFile, TableFormat, owner,
};
use tokio::sync::mpsc;

use crate::RuntimeError;

mod apart;
mod marks;

pub use apart::{ApartError, NamedFolder, refuse_in_table};
pub use marks::Held;

/// The partition column of everything beside the tables.
const BATCH_ID: &str = "batch_id";

/// Where everything of a pipeline goes.
#[derive(Debug)]
pub struct Outputs {
    tables: BTreeMap<String, Arc<ParquetTable>>,
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
    Table(Arc<ParquetTable>, Vec<RecordBatch>),
    /// Rows of a table that come a few at a time.
    Stream(Arc<ParquetTable>, mpsc::Receiver<RecordBatch>),
    /// Rows for a folder beside the tables, partitioned by batch.
    Side(Vec<RecordBatch>),
    /// A file: its name below the batch's folder, and its content.
    File(String, Vec<u8>),
}

/// Something to stage.
#[derive(Debug)]
pub struct Job {
    /// Where.
    pub folder: OutputFolder,
    /// What.
    pub content: Content,
}

impl Outputs {
    /// The folders of `graph`.
    ///
    /// # Errors
    /// When a table's columns cannot be written.
    pub fn try_new(
        graph: &Graph,
        working_dir: &Path,
        data_dir: &Path,
        options: &BTreeMap<String, ParquetOptions>,
    ) -> Result<Self, RuntimeError> {
        let mut tables = BTreeMap::new();
        for table in &graph.tables {
            let location = absolute(working_dir, &table.location);
            let options = options.get(&table.name).cloned().unwrap_or_default();
            let format =
                ParquetTable::try_new(location, Arc::clone(&table.written), table.partitioned_by.clone(), options)?;
            tables.insert(table.name.clone(), Arc::new(format));
        }
        Ok(Self {
            tables,
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

    /// The tables, by name.
    #[must_use]
    pub fn tables(&self) -> &BTreeMap<String, Arc<ParquetTable>> {
        &self.tables
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
            .map(|(name, table)| OutputFolder {
                output: OutputId::Table(name.clone()),
                location: table.location().to_owned(),
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
        let (folder, format) = self.table(table)?;
        Ok(Job { folder, content: Content::Table(format, rows) })
    }

    /// The job of a table's rows that are still to come, with their hidden columns. It ends when there will be no more.
    ///
    /// # Errors
    /// When there is no such table.
    pub fn stream_job(&self, table: &str, rows: mpsc::Receiver<RecordBatch>) -> Result<Job, RuntimeError> {
        let (folder, format) = self.table(table)?;
        Ok(Job { folder, content: Content::Stream(format, rows) })
    }

    fn table(&self, table: &str) -> Result<(OutputFolder, Arc<ParquetTable>), RuntimeError> {
        let format = self.tables.get(table).ok_or_else(|| RuntimeError::Bug(format!("no table `{table}`")))?;
        let folder = OutputFolder { output: OutputId::Table(table.to_owned()), location: format.location().to_owned() };
        Ok((folder, Arc::clone(format)))
    }

    /// The job of a table's quarantined rows.
    #[must_use]
    pub fn quarantine_job(&self, table: &str, rows: Vec<RecordBatch>) -> Job {
        Job { folder: self.quarantine(table), content: Content::Side(rows) }
    }

    /// The job of a table's late rows.
    #[must_use]
    pub fn late_job(&self, table: &str, rows: Vec<RecordBatch>) -> Job {
        Job { folder: self.late(table), content: Content::Side(rows) }
    }

    /// The job of a source's dead letters.
    #[must_use]
    pub fn dead_letter_job(&self, source: &str, rows: Vec<RecordBatch>) -> Job {
        Job { folder: self.dead_letters(source), content: Content::Side(rows) }
    }

    /// The jobs of a batch's report: the JSON file and its Parquet rows, and the samples.
    #[must_use]
    pub fn report_jobs(&self, json: Vec<u8>, rows: RecordBatch, samples: Option<RecordBatch>) -> Vec<Job> {
        let mut jobs = vec![
            Job { folder: self.reports(), content: Content::File("report.json".to_owned(), json) },
            Job { folder: self.reports(), content: Content::Side(vec![rows]) },
        ];
        if let Some(samples) = samples {
            jobs.push(Job { folder: self.samples(), content: Content::Side(vec![samples]) });
        }
        jobs
    }
}

impl Job {
    /// About how many bytes it holds, without the rows that are still to come.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.content {
            Content::Table(_, rows) | Content::Side(rows) => {
                rows.iter().flat_map(RecordBatch::columns).map(|column| size::of(column)).sum()
            }
            Content::Stream(..) => 0,
            Content::File(_, content) => content.len(),
        }
    }

    /// Stages it; blocking. `None` when there is nothing to write.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn stage(self, key: &BatchKey<'_>) -> Result<Option<OutputFiles>, RuntimeError> {
        let _at_work = station::begin(Station::Encode);
        let location = self.folder.location;
        let files = match self.content {
            Content::Table(format, rows) => format.stage(key, &rows)?,
            Content::Stream(format, mut rows) => {
                let mut failed = None;
                let visible = std::iter::from_fn(|| {
                    let visible = provenance::visible(&rows.blocking_recv()?);
                    visible.map_err(|error| failed = Some(error)).ok()
                });
                let staged = format.stage_stream(key, visible)?;
                failed.map_or(Ok(staged), Err)?
            }
            Content::Side(rows) => stage_side(&location, key, &rows)?,
            Content::File(name, content) => {
                let target = format!("{BATCH_ID}={}/{name}", key.batch_id);
                vec![sluicebox_sinks::stage_file(&location, key, &target, &content)?]
            }
        };
        Ok((!files.is_empty()).then(|| OutputFiles {
            output: self.folder.output,
            location: location.display().to_string(),
            files,
        }))
    }
}

/// Publishes the files of a commit, in its order.
///
/// # Errors
/// When a file is lost or another is in its way.
pub fn publish(publisher: &mut Publisher, outputs: &[OutputFiles], check: Check) -> Result<(), RuntimeError> {
    let manifest: Vec<_> = outputs.iter().map(|o| (Path::new(&o.location), o.files.as_slice())).collect();
    Ok(publisher.publish(&manifest, check)?)
}

fn stage_side(location: &Path, key: &BatchKey<'_>, rows: &[RecordBatch]) -> Result<Vec<StagedFile>, RuntimeError> {
    // Rows that were taken out below their table's SELECT have the types of what it reads.
    let rows = rows.iter().filter(|r| r.num_rows() > 0).map(stored_rows).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let schema = with_batch_id(&first.schema());
    let id = i64::try_from(key.batch_id).unwrap_or(i64::MAX);
    let rows = rows
        .iter()
        .map(|batch| {
            let mut columns = batch.columns().to_vec();
            columns.push(Arc::new(Int64Array::from_value(id, batch.num_rows())) as ArrayRef);
            RecordBatch::try_new(Arc::clone(&schema), columns)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let table =
        ParquetTable::try_new(location.to_owned(), schema, vec![BATCH_ID.to_owned()], ParquetOptions::default())?;
    Ok(table.stage(key, &rows)?)
}

fn with_batch_id(schema: &Schema) -> SchemaRef {
    let mut fields: Vec<FieldRef> = schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(BATCH_ID, DataType::Int64, false)));
    Arc::new(Schema::new(fields))
}

fn absolute(base: &Path, path: &str) -> PathBuf {
    let path = Path::new(path);
    if path.is_absolute() { path.to_owned() } else { base.join(path) }
}
