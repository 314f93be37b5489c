//! A source of a program's own: `USING lines` reads the lines of a text file that grows, each an event.
//!
//! ```text
//! cargo run --example source
//! ```
//!
//! First it runs under the suite that every source must pass, then a pipeline reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, new_null_array};
use arrow::util::pretty::pretty_format_batches;
use async_trait::async_trait;
use sluicebox::connectors::{OpenSource, SourceAsked, SourceConnector, SourceLink};
use sluicebox::{Connectors, Job, Progress, Status, query};
use sluicebox_core::raw::{RawEvents, column, raw_schema};
use sluicebox_core::{OffsetRange, PartitionId};
use sluicebox_pipeline::kinds::SourceWords;
use sluicebox_pipeline::options::{ValueType, option};
use sluicebox_sources::testing::{Subject, conforms};
use sluicebox_sources::{Bounds, Buffered, CHUNK_EVENTS, Chunk, LogIdentity, Result, Source, SourceError, Taken};

const SQL: &str = "
CREATE TABLE visits USING lines OPTIONS ('lines.path' = 'visits.log', 'value.format' = 'text');
CREATE STREAMING TABLE bronze_visits AS SELECT _offset AS line, value FROM STREAM visits WHERE value <> '';
";

const ROWS: &str = "\
+------+---------+
| line | value   |
+------+---------+
| 0    | /apples |
| 2    | /figs   |
| 3    | /plums  |
+------+---------+";

/// How often a file is looked at that has nothing new.
const PAUSE: Duration = Duration::from_millis(20);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut subject = Growing(folder.path().join("suite.log"));
    conforms(&mut subject).await;
    println!("the source keeps every promise that the suite knows");

    let connectors = Connectors::standard().with_source(LinesConnector)?;
    let job = Job::of("visits.sql", SQL).within(folder.path()).with(connectors);
    let file = folder.path().join("visits.log");
    let mut told = |batch: &Progress, _: &Status| println!("batch {}: {} events", batch.batch_id, batch.num_input_rows);
    // The end of the last line has not been written yet: that is no event.
    append(&file, b"/apples\n\n/figs\n/plu")?;
    println!("{}", job.plan().await?);
    assert_eq!(job.run_available(&mut told).await?.events, 3);
    append(&file, b"ms\n")?;
    assert_eq!(job.run_available(&mut told).await?.events, 1);

    let sql = "SELECT line, value FROM bronze.visits ORDER BY line";
    let rows = pretty_format_batches(&query::rows(folder.path().join("data"), sql).await?)?.to_string();
    println!("{rows}");
    assert_eq!(rows, ROWS);

    // A mistake in an option is told at its place, with what may be meant.
    let wrong = job.clone().set("visits.lines.paht", "visits.log");
    let refused = wrong.plan().await.err().map(|error| error.to_string()).unwrap_or_default();
    println!("{refused}");
    assert!(refused.contains("did you mean 'lines.path'?"), "{refused}");
    Ok(())
}

/// `USING lines`.
#[derive(Debug)]
struct LinesConnector;

static LINES: SourceWords = SourceWords {
    name: "lines",
    options: &[option("lines.path", ValueType::Path, "", "The file whose lines are read; it may only grow.")],
};

impl SourceConnector for LinesConnector {
    fn words(&self) -> &'static SourceWords {
        &LINES
    }

    fn connect(&self, asked: &SourceAsked<'_>) -> Result<Box<dyn SourceLink>> {
        let Some(path) = asked.option("lines.path") else {
            return Err(SourceError::other(asked.name, "it names no file: set 'lines.path'"));
        };
        Ok(Box::new(LinesLink(asked.home.join(path))))
    }
}

/// One file, of which nothing has been read yet.
struct LinesLink(PathBuf);

impl SourceLink for LinesLink {
    fn description(&self) -> String {
        format!("the lines of {}", self.0.display())
    }

    fn open(&self, opening: OpenSource<'_>) -> Result<Box<dyn Source>> {
        Ok(Box::new(Lines::new(opening.name, self.0.clone(), opening.prefetch_bytes)))
    }
}

/// Reads the lines of a file: line n is the event with the offset n of the only partition. It remembers where it stands and how many lines
/// it has told of, and nothing else, so that the file alone says what a range holds.
struct Lines {
    name: String,
    partition: PartitionId,
    path: PathBuf,
    prefetch_bytes: u64,
    position: Option<i64>,
    told: i64,
}

impl Lines {
    fn new(name: &str, path: PathBuf, prefetch_bytes: u64) -> Self {
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let partition = PartitionId::new(name, &file, 0);
        Self { name: name.to_owned(), partition, path, prefetch_bytes, position: None, told: 0 }
    }

    /// The lines that have an end; none of a file that is not there yet.
    fn lines(&self) -> Result<Vec<Vec<u8>>> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(SourceError::other(&self.name, error)),
        };
        let mut lines: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        // What stands behind the last line end.
        lines.pop();
        Ok(lines)
    }

    fn end(&self) -> Result<i64> {
        Ok(i64::try_from(self.lines()?.len()).unwrap_or(i64::MAX))
    }

    /// That `offset` is no further than the end.
    fn check_end(&self, offset: i64) -> Result<()> {
        let latest = self.end()?;
        match offset > latest {
            true => Err(SourceError::PastEnd { partition: self.partition.clone(), offset, latest }),
            false => Ok(()),
        }
    }

    /// Events `from`, `from` + 1 and so on, whose values are `lines`.
    fn events(&self, from: i64, lines: &[Vec<u8>]) -> Result<RawEvents> {
        let offsets: Int64Array = (from..).take(lines.len()).map(Some).collect();
        let values: BinaryArray = lines.iter().map(|line| Some(line.as_slice())).collect();
        let schema = raw_schema();
        let columns = schema.fields().iter().enumerate().map(|(at, field)| -> ArrayRef {
            match at {
                column::OFFSET => Arc::new(offsets.clone()),
                column::VALUE => Arc::new(values.clone()),
                // They have no key, no headers and no timestamp.
                _ => new_null_array(field.data_type(), lines.len()),
            }
        });
        let events = RecordBatch::try_new(Arc::clone(&schema), columns.collect())
            .map_err(|error| SourceError::other(&self.name, error))?;
        Ok(RawEvents { partition: self.partition.clone(), events, large: Vec::new() })
    }
}

#[async_trait]
impl Source for Lines {
    fn name(&self) -> &str {
        &self.name
    }

    async fn identity(&mut self) -> Result<LogIdentity> {
        // Another file is another log: positions in this one mean nothing there.
        let log = std::path::absolute(&self.path).map_err(|error| SourceError::other(&self.name, error))?;
        let topics = BTreeMap::from([(self.partition.topic.clone(), None)]);
        Ok(LogIdentity { log: log.display().to_string(), topics })
    }

    async fn partitions(&mut self) -> Result<BTreeSet<PartitionId>> {
        Ok(BTreeSet::from([self.partition.clone()]))
    }

    async fn bounds(&mut self) -> Result<BTreeMap<PartitionId, Bounds>> {
        Ok(BTreeMap::from([(self.partition.clone(), Bounds { earliest: 0, latest: self.end()? })]))
    }

    async fn starting_offsets(&mut self) -> Result<BTreeMap<PartitionId, i64>> {
        Ok(BTreeMap::from([(self.partition.clone(), 0)]))
    }

    async fn start(&mut self, positions: &BTreeMap<PartitionId, i64>) -> Result<()> {
        if let (None, Some(position)) = (self.position, positions.get(&self.partition)) {
            self.check_end(*position)?;
            self.position = Some(*position);
        }
        Ok(())
    }

    async fn buffered(&mut self) -> Result<Vec<Buffered>> {
        let Some(position) = self.position else { return Ok(Vec::new()) };
        let lines = self.lines()?;
        let log_end = i64::try_from(lines.len()).unwrap_or(i64::MAX);
        self.told = log_end;
        // Bounded by bytes, whatever the backlog: that is what bounds a batch, too.
        let mut chunks: Vec<Chunk> = Vec::new();
        let (mut to, mut left) = (position, self.prefetch_bytes);
        let rest = lines.get(usize::try_from(position).unwrap_or(usize::MAX)..).unwrap_or_default();
        for chunk in rest.chunks(CHUNK_EVENTS) {
            let bytes: u64 = chunk.iter().map(|line| line.len() as u64).sum();
            to += chunk.len() as i64;
            chunks.push(Chunk { to, bytes });
            left = left.saturating_sub(bytes);
            if left == 0 {
                break;
            }
        }
        Ok(vec![Buffered { partition: self.partition.clone(), position, chunks, log_end }])
    }

    async fn changed(&mut self) {
        // What cannot be read is told by whoever asks for it.
        while self.end().is_ok_and(|end| end <= self.told) {
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn take(&mut self, ranges: &BTreeMap<PartitionId, OffsetRange>) -> Result<Taken> {
        let mut taken = Taken::default();
        for (partition, range) in ranges {
            if self.position.is_none() || *partition != self.partition {
                return Err(SourceError::NotStarted { partition: partition.clone() });
            }
            self.check_end(range.to)?;
            let lines = self.lines()?;
            let at = |offset: i64| usize::try_from(offset).unwrap_or_default();
            let mut from = range.from;
            for piece in lines.get(at(range.from)..at(range.to)).unwrap_or_default().chunks(CHUNK_EVENTS) {
                taken.events.push(self.events(from, piece)?);
                from += piece.len() as i64;
            }
            self.position = Some(range.to);
        }
        Ok(taken)
    }

    async fn committed(&mut self, _: &BTreeMap<PartitionId, i64>) -> Result<()> {
        // No tool asks how far the lines of a file are read.
        Ok(())
    }
}

fn append(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(bytes)
}

/// The suite's file.
struct Growing(PathBuf);

impl Subject for Growing {
    fn partition(&self) -> PartitionId {
        PartitionId::new("s", "suite.log", 0)
    }

    fn append(&mut self, values: &[Vec<u8>]) {
        let lines: Vec<u8> = values.iter().flat_map(|value| value.iter().chain(b"\n")).copied().collect();
        assert!(append(&self.0, &lines).is_ok(), "the file of the suite cannot be written");
    }

    fn source(&self) -> Box<dyn Source> {
        Box::new(Lines::new("s", self.0.clone(), 1 << 20))
    }
}
