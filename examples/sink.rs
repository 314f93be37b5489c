//! A sink of a program's own: a table `USING json_file` keeps its rows in one file of JSON, with the newest batch beside them.
//!
//! ```text
//! cargo run --example sink
//! ```
//!
//! First it runs under the suite that every sink must pass, then a pipeline writes to it, and is run again.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::json::ArrayWriter;
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sluicebox::connectors::{TableAsked, TableConnector};
use sluicebox::{Connectors, Home, Job, Progress, Status};
use sluicebox_core::{Blame, Certainty, Clock, SystemClock};
use sluicebox_pipeline::kinds::TableWords;
use sluicebox_pipeline::options::{ValueType, option};
use sluicebox_sinks::testing::{Subject, conforms, schema};
use sluicebox_sinks::{BatchKey, Check, LakeError, Outbox, Owner, RemoteError, Result, Rows, Sink, Staged};
use sluicebox_sources::{Record, TopicOptions};

const SQL: &str = "
CREATE TABLE words USING kafka OPTIONS ('subscribe' = 'words.v1', 'value.format' = 'text');
CREATE STREAMING TABLE long_words USING json_file TBLPROPERTIES ('json_file.path' = 'long_words.json')
  AS SELECT value AS word, length(value) AS letters FROM STREAM words WHERE length(value) > 4;
";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let stores = folder.path().join("suite");
    let made = Cell::new(0);
    conforms(|| {
        made.set(made.get() + 1);
        Store(stores.join(format!("store-{}", made.get())))
    })
    .await;
    println!("the sink keeps every promise that the suite knows");

    let home = Home::at(folder.path()).with_variables(BTreeMap::new());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let log = home.open_log(&clock)?;
    log.create_topic("words.v1", 1, TopicOptions::default())?;
    let append = |words: &[&str]| {
        let record = |word: &&str| Record { value: Some(Bytes::from((*word).to_owned())), ..Record::default() };
        log.append("words.v1", 0, &words.iter().map(record).collect::<Vec<_>>())
    };

    let connectors = Connectors::standard().with_table(JsonFiles)?;
    let job = Job::of("words.sql", SQL).at_home(home).with(connectors);
    let mut told = |batch: &Progress, _: &Status| println!("batch {}: {} events", batch.batch_id, batch.num_input_rows);
    append(&["fig", "banana", "cherry"])?;
    println!("{}", job.plan().await?);
    job.run_available(&mut told).await?;
    append(&["plum", "medlar"])?;
    job.run_available(&mut told).await?;

    let text = std::fs::read_to_string(folder.path().join("long_words.json"))?;
    println!("{text}");
    let file: Value = serde_json::from_str(&text)?;
    let words: Vec<&str> =
        file["rows"].as_array().context("rows")?.iter().filter_map(|row| row["word"].as_str()).collect();
    assert_eq!(words, ["banana", "cherry", "medlar"], "every word once, in the order of the topic");
    assert_eq!(file["rows"][0], json!({"word": "banana", "letters": 6}));
    Ok(())
}

/// `USING json_file`.
#[derive(Debug)]
struct JsonFiles;

static JSON_FILE: TableWords = TableWords {
    name: "json_file",
    properties: &[option("json_file.path", ValueType::Path, "", "The file that holds the rows. Required.")],
};

impl TableConnector for JsonFiles {
    fn words(&self) -> &'static TableWords {
        &JSON_FILE
    }

    fn sink(&self, asked: &TableAsked<'_>) -> Result<Arc<dyn Sink>> {
        let Some(path) = asked.property("json_file.path") else {
            return Err(RemoteError::Refused {
                doing: format!("write the table {}", asked.name),
                why: "it names no file: set 'json_file.path' in its TBLPROPERTIES".to_owned(),
                certainty: Certainty::NotDone,
                blame: Blame::User,
            }
            .into());
        };
        Ok(Arc::new(JsonFile::new(asked.home.join(path), Arc::clone(asked.columns), asked.outbox())))
    }
}

/// What the file holds. It is written whole, beside, and renamed: so the rows of a batch, its number and the epoch of the run that has
/// published it are there together or not at all.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    /// The newest run that has opened the file.
    epoch: u64,
    /// The newest batch of which it has rows.
    batch: Option<u64>,
    rows: Vec<Value>,
}

/// A table in one file of JSON: a sink with transactions, whose rows wait in the checkpoint until their batch is committed.
///
/// One process at a time opens and publishes; a store that several machines write to would compare and exchange in a transaction of its own.
#[derive(Debug)]
struct JsonFile {
    path: PathBuf,
    columns: SchemaRef,
    outbox: Outbox,
    /// The epoch of the run that has opened it.
    opened: Mutex<Option<u64>>,
}

impl JsonFile {
    fn new(path: PathBuf, columns: SchemaRef, outbox: Outbox) -> Self {
        Self { path, columns, outbox, opened: Mutex::default() }
    }

    fn opened(&self) -> MutexGuard<'_, Option<u64>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the file holds, if no later run than that of `epoch` has opened it.
    fn content(&self, epoch: u64) -> Result<Content> {
        let content = match std::fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| self.away("read", &error))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Content::default(),
            Err(error) => return Err(self.away("read", &error)),
        };
        match content.epoch > epoch {
            true => Err(RemoteError::Passed { sink: self.identity(), ours: epoch, theirs: content.epoch }.into()),
            false => Ok(content),
        }
    }

    fn replace(&self, content: &Content) -> Result<()> {
        let write = || -> std::io::Result<()> {
            if let Some(folder) = self.path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let beside = self.path.with_extension("new");
            let file = std::fs::File::create(&beside)?;
            serde_json::to_writer(&file, content)?;
            file.sync_all()?;
            std::fs::rename(&beside, &self.path)
        };
        write().map_err(|error| self.away("write", &error))
    }

    /// The file cannot be read or written now: nothing was done, and the engine tries again.
    fn away(&self, doing: &str, error: &dyn std::error::Error) -> LakeError {
        RemoteError::away(format!("{doing} {}", self.identity()), error.to_string()).into()
    }
}

#[async_trait]
impl Sink for JsonFile {
    fn identity(&self) -> String {
        format!("the file {}", self.path.display())
    }

    async fn open(&self, _: &Owner, epoch: u64) -> Result<()> {
        let content = self.content(epoch)?;
        self.replace(&Content { epoch, ..content })?;
        *self.opened() = Some(epoch);
        Ok(())
    }

    fn stage(&self, batch: &BatchKey<'_>, rows: Rows<'_>) -> Result<Option<Staged>> {
        let staged = self.outbox.stage(&self.identity(), batch, &self.columns, rows)?;
        Ok(staged.map(Staged::Rows))
    }

    async fn publish(&self, batch: &BatchKey<'_>, staged: &Staged, _: Check) -> Result<()> {
        let staged = staged.rows_for(&self.identity())?;
        let mut content = self.content(self.opened().unwrap_or_default())?;
        // A batch that is there is not added again.
        if content.batch.is_none_or(|newest| newest < batch.batch_id) {
            for rows in self.outbox.read(staged)? {
                content.rows.extend(values(&rows?)?);
            }
            content.batch = Some(batch.batch_id);
            self.replace(&content)?;
        }
        self.outbox.forget(staged)
    }

    async fn published(&self) -> Result<Option<u64>> {
        Ok(self.content(u64::MAX)?.batch)
    }

    fn sweep(&self, epoch: u64) -> Result<()> {
        self.outbox.sweep(epoch)
    }
}

/// The rows as objects.
fn values(rows: &RecordBatch) -> std::result::Result<Vec<Value>, ArrowError> {
    let mut writer = ArrayWriter::new(Vec::new());
    writer.write(rows)?;
    writer.finish()?;
    serde_json::from_slice(&writer.into_inner()).map_err(|error| ArrowError::JsonError(error.to_string()))
}

/// A store of the suite: a folder for its file and its outbox.
struct Store(PathBuf);

impl Subject for Store {
    fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(JsonFile::new(self.0.join("rows.json"), schema(), Outbox::new(self.0.join("checkpoint"), "t")))
    }

    fn seen(&self) -> Vec<i64> {
        let text = std::fs::read_to_string(self.0.join("rows.json")).unwrap_or_default();
        let content: Content = serde_json::from_str(&text).unwrap_or_default();
        content.rows.iter().filter_map(|row| row["id"].as_i64()).collect()
    }
}
