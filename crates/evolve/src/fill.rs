//! Fills a table from the files of the tables above it: their rows are a source that is read by offsets.
//!
//! A row of a table that keeps `_topic`, `_partition` and `_offset` of its source says where its event was. So the rows of all files
//! together have an order, that of their offsets, whichever file holds them. A batch plans a range of offsets for each partition, as usual,
//! and reads the rows in the ranges from the files that have some. So batches, commits and recovery are those of any other batch, and a
//! replay reads the same rows.
//!
//! [`FileRows::look`] reads the three columns of each file once, at the start of a run, and remembers the range of offsets of each file and
//! partition: some 50 bytes each. Nothing of it is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef};
use async_trait::async_trait;
use sluicebox_core::provenance::{OFFSET, PART, provenance_fields};
use sluicebox_core::{OffsetRange, PartitionId};
use sluicebox_operators::in_offset_order;
use sluicebox_pipeline::graph::{Graph, Table};
use sluicebox_sinks::parquet::read_back::{published, read_back, unpacked_bytes};
use sluicebox_sources::{Bounds, Buffered, Chunk, LogIdentity, Source, SourceError, Taken};

use crate::EvolveError;
use crate::files::PLACE;

/// How finely a partition's rows are offered to a batch: pieces of at least this many bytes.
const PIECE: u64 = 1024 * 1024;

/// A table whose rows are read back.
#[derive(Debug, Clone)]
struct ReadTable {
    name: String,
    location: PathBuf,
    /// Its visible columns.
    schema: SchemaRef,
}

/// The offsets of one partition that a file holds rows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    /// The first.
    from: i64,
    /// The one after the last.
    to: i64,
    /// About the bytes of these rows.
    bytes: u64,
}

/// What there is of each partition of each topic.
type ByPlace<T> = BTreeMap<String, BTreeMap<i32, T>>;

fn of_place<'m, T>(map: &'m ByPlace<T>, topic: &str, partition: i32) -> Option<&'m T> {
    map.get(topic)?.get(&partition)
}

/// A file, and what it holds of each topic and partition.
#[derive(Debug)]
struct Indexed {
    table: usize,
    path: PathBuf,
    spans: ByPlace<Span>,
}

/// What was seen of the files.
#[derive(Debug)]
struct Looked {
    files: Vec<Indexed>,
    /// Where the living pipeline stands, which is where reading ends.
    ends: BTreeMap<PartitionId, i64>,
}

/// The rows of some tables of one source, in the order of that source's offsets.
#[derive(Debug)]
pub struct FileRows {
    /// The name under which the rows are read: that of the source in the scope of the backfill.
    name: String,
    tables: Vec<ReadTable>,
    looked: OnceLock<Looked>,
}

impl FileRows {
    /// Of the tables that `graph` reads back as the source `name`; relative locations begin at `working_dir`. `all` has
    /// the tables as they are in the whole pipeline. Nothing is read.
    #[must_use]
    pub fn new(name: &str, graph: &Graph, all: &Graph, working_dir: &Path) -> Self {
        let read = |table: &&Table| graph.read_back.get(&table.name).is_some_and(|source| source == name);
        let tables = all.tables.iter().filter(read).map(|table| ReadTable {
            name: table.name.clone(),
            location: working_dir.join(&table.location),
            schema: Arc::clone(&table.schema),
        });
        Self { name: name.to_owned(), tables: tables.collect(), looked: OnceLock::new() }
    }

    /// The names of the tables.
    #[must_use]
    pub fn tables(&self) -> Vec<&str> {
        self.tables.iter().map(|t| t.name.as_str()).collect()
    }

    /// Looks at which offsets each file holds; blocking. The living pipeline stands at `ends`, and goes on only when all
    /// has been read.
    ///
    /// # Errors
    /// When a file cannot be read, or a row does not say where it comes from or comes from beyond `ends`.
    pub fn look(&self, ends: BTreeMap<PartitionId, i64>) -> Result<(), EvolveError> {
        let mut files = Vec::new();
        for (at, table) in self.tables.iter().enumerate() {
            for path in published(&table.location)? {
                let spans = spans(table, &path)?;
                self.refuse_beyond(&spans, &ends, &path)?;
                files.push(Indexed { table: at, spans, path });
            }
        }
        self.looked.get_or_init(|| Looked { files, ends });
        Ok(())
    }

    /// A place where the pipeline has not been is no place of a row: the columns hold something else.
    fn refuse_beyond(
        &self,
        spans: &ByPlace<Span>,
        ends: &BTreeMap<PartitionId, i64>,
        path: &Path,
    ) -> Result<(), EvolveError> {
        for (topic, partitions) in spans {
            for (partition, span) in partitions {
                let end = ends.get(&PartitionId::new(&self.name, topic, *partition)).copied().unwrap_or(0);
                if span.from < 0 || span.to > end {
                    let what = format!("{topic}/{partition} at offset {}, and {end} is the end", span.to - 1);
                    return Err(EvolveError::BeyondEnd { file: path.to_owned(), what });
                }
            }
        }
        Ok(())
    }

    fn looked(&self) -> Result<&Looked, SourceError> {
        self.looked.get().ok_or_else(|| SourceError::Internal {
            source_name: self.name.clone(),
            what: "files are read that were not looked at".to_owned(),
        })
    }

    /// What there is of `partition` from `position` on.
    fn offered(&self, partition: &PartitionId, position: i64) -> Result<Buffered, SourceError> {
        let looked = self.looked()?;
        let log_end = looked.ends.get(partition).copied().unwrap_or(position).max(position);
        let spans = looked.files.iter().filter_map(|f| of_place(&f.spans, &partition.topic, partition.partition));
        let mut spans: Vec<Span> = spans.copied().filter(|span| span.to > position).collect();
        spans.sort_by_key(|span| span.to);
        let mut chunks: Vec<Chunk> = Vec::new();
        let (mut to, mut bytes) = (position, 0);
        for (at, span) in spans.iter().enumerate() {
            // Of a file that an earlier batch has read in part, the rest.
            bytes += share(span.bytes, span.to - span.from.max(position), span.to - span.from);
            to = span.to;
            // Rows of several files up to one offset are one piece.
            let last = spans.get(at + 1).is_none_or(|next| next.to > to);
            if last && (bytes >= PIECE || at + 1 == spans.len()) {
                chunks.push(Chunk { to, bytes });
                bytes = 0;
            }
        }
        if log_end > to {
            // What was no row of these tables has nothing to read.
            chunks.push(Chunk { to: log_end, bytes: 0 });
        }
        Ok(Buffered { partition: partition.clone(), position, chunks, log_end })
    }

    /// The rows whose offsets lie in `ranges`, by table, in the order of (partition, offset), with their provenance;
    /// `partitions` are those of the batch, sorted. Blocking.
    ///
    /// # Errors
    /// When a file cannot be read, is not what was looked at, or has two rows of one event.
    pub fn read(
        &self,
        ranges: &BTreeMap<PartitionId, OffsetRange>,
        partitions: &[PartitionId],
    ) -> Result<BTreeMap<String, Vec<RecordBatch>>, EvolveError> {
        let mut wanted: ByPlace<(i32, OffsetRange)> = BTreeMap::new();
        for (partition, range) in ranges {
            let part = partitions.binary_search(partition).ok().and_then(|at| i32::try_from(at).ok());
            let part = part.ok_or_else(|| EvolveError::Bug(format!("{partition} is not read by the batch")))?;
            wanted.entry(partition.topic.clone()).or_default().insert(partition.partition, (part, *range));
        }
        let mut found: BTreeMap<String, Vec<RecordBatch>> =
            self.tables.iter().map(|t| (t.name.clone(), Vec::new())).collect();
        for file in &self.looked()?.files {
            let Some(table) = self.tables.get(file.table).filter(|_| file.overlaps(&wanted)) else { continue };
            let rows = found.entry(table.name.clone()).or_default();
            for batch in read_back(&table.location, &file.path, &table.schema)? {
                rows.extend(placed(&batch, &wanted, &file.path)?);
            }
        }
        for (table, rows) in &mut found {
            *rows = in_offset_order(std::mem::take(rows))?;
            refuse_twice(table, rows)?;
        }
        Ok(found)
    }
}

impl Indexed {
    fn overlaps(&self, wanted: &ByPlace<(i32, OffsetRange)>) -> bool {
        let spans = self.spans.iter().flat_map(|(t, of)| of.iter().map(move |(p, span)| (t, *p, span)));
        spans.into_iter().any(|(topic, partition, span)| {
            of_place(wanted, topic, partition).is_some_and(|(_, r)| span.from < r.to && r.from < span.to)
        })
    }
}

fn share(bytes: u64, part: i64, whole: i64) -> u64 {
    let (part, whole) = (u64::try_from(part).unwrap_or(0), u64::try_from(whole).unwrap_or(0).max(1));
    u64::try_from(u128::from(bytes) * u128::from(part) / u128::from(whole)).unwrap_or(bytes)
}

/// What a file holds of each topic and partition.
fn spans(table: &ReadTable, path: &Path) -> Result<ByPlace<Span>, EvolveError> {
    let columns = PLACE.iter().map(|name| table.schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
    // A row without a place is told by name, not as a column that may not be NULL.
    let fields = columns.iter().map(|i| table.schema.field(*i).clone().with_nullable(true)).collect::<Vec<Field>>();
    let schema = Arc::new(Schema::new(fields));
    // First and last offset, and rows.
    let mut found: ByPlace<(i64, i64, u64)> = BTreeMap::new();
    let mut rows = 0;
    for batch in read_back(&table.location, path, &schema)? {
        let places = Places::of(&batch, path)?;
        rows += batch.num_rows() as u64;
        for row in 0..batch.num_rows() {
            let (topic, partition, offset) = places.at(row);
            match found.get_mut(topic).and_then(|of| of.get_mut(&partition)) {
                Some(span) => *span = (span.0.min(offset), span.1.max(offset), span.2 + 1),
                None => drop(found.entry(topic.to_owned()).or_default().insert(partition, (offset, offset, 1))),
            }
        }
    }
    let bytes = unpacked_bytes(path)?;
    let span = |(first, last, held): (i64, i64, u64)| {
        let bytes = u128::from(bytes) * u128::from(held) / u128::from(rows.max(1));
        Span { from: first, to: last.saturating_add(1), bytes: u64::try_from(bytes).unwrap_or(u64::MAX) }
    };
    let of = |of: BTreeMap<i32, _>| of.into_iter().map(|(p, seen)| (p, span(seen))).collect();
    Ok(found.into_iter().map(|(topic, partitions)| (topic, of(partitions))).collect())
}

/// The columns that say where a row comes from.
struct Places {
    topic: StringArray,
    partition: Int32Array,
    offset: Int64Array,
}

impl Places {
    /// Of `batch`, which is of the file at `path`.
    fn of(batch: &RecordBatch, path: &Path) -> Result<Self, EvolveError> {
        let column = |name: &str, wanted: &DataType| -> Result<ArrayRef, EvolveError> {
            let column = batch.column_by_name(name).map(|c| cast(c, wanted)).transpose()?;
            let column = column.filter(|c| c.null_count() == 0);
            column.ok_or_else(|| EvolveError::NoPlace { file: path.to_owned(), column: name.to_owned() })
        };
        let [topic, partition, offset] = PLACE;
        Ok(Self {
            topic: column(topic, &DataType::Utf8)?.as_string::<i32>().clone(),
            partition: column(partition, &DataType::Int32)?.as_primitive::<Int32Type>().clone(),
            offset: column(offset, &DataType::Int64)?.as_primitive::<Int64Type>().clone(),
        })
    }

    fn at(&self, row: usize) -> (&str, i32, i64) {
        (self.topic.value(row), self.partition.value(row), self.offset.value(row))
    }
}

/// The rows of `batch` that are wanted, with their provenance; none if there are none.
fn placed(
    batch: &RecordBatch,
    wanted: &ByPlace<(i32, OffsetRange)>,
    path: &Path,
) -> Result<Option<RecordBatch>, EvolveError> {
    let places = Places::of(batch, path)?;
    let mut parts = Vec::with_capacity(batch.num_rows());
    let mut keep = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let (topic, partition, offset) = places.at(row);
        let found = of_place(wanted, topic, partition).filter(|(_, r)| (r.from..r.to).contains(&offset));
        parts.push(found.map_or(0, |(part, _)| *part));
        keep.push(found.is_some());
    }
    let keep = BooleanArray::from(keep);
    if keep.true_count() == 0 {
        return Ok(None);
    }
    let fields = batch.schema_ref().fields().iter().cloned().chain(provenance_fields());
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(Int32Array::from(parts)));
    columns.push(Arc::new(places.offset));
    Ok(Some(filter_record_batch(&RecordBatch::try_new(schema, columns)?, &keep)?))
}

/// An event gives at most one row to a table that is read back: a second one is of a file that was copied.
fn refuse_twice(table: &str, rows: &[RecordBatch]) -> Result<(), EvolveError> {
    let mut before = None;
    for batch in rows {
        let parts = batch.column_by_name(PART).and_then(|c| c.as_primitive_opt::<Int32Type>());
        let offsets = batch.column_by_name(OFFSET).and_then(|c| c.as_primitive_opt::<Int64Type>());
        let (Some(parts), Some(offsets)) = (parts, offsets) else {
            return Err(EvolveError::Bug(format!("rows of `{table}` were read back without provenance")));
        };
        for place in parts.values().iter().zip(offsets.values()).map(|(p, o)| (*p, *o)) {
            if before == Some(place) {
                return Err(EvolveError::TwoRows { table: table.to_owned(), offset: place.1 });
            }
            before = Some(place);
        }
    }
    Ok(())
}

/// The files of tables as a [`Source`]: positions, and what can be taken. Their rows are no events any more and do not
/// pass through it: [`FileRows::read`].
#[derive(Debug)]
pub struct FileSource {
    rows: Arc<FileRows>,
    /// The log from which the rows came, as the checkpoint has pinned it: it is not asked.
    log: LogIdentity,
    positions: BTreeMap<PartitionId, i64>,
}

impl FileSource {
    /// Of `rows`, which came from `log`.
    #[must_use]
    pub fn new(rows: Arc<FileRows>, log: LogIdentity) -> Self {
        Self { rows, log, positions: BTreeMap::new() }
    }
}

#[async_trait]
impl Source for FileSource {
    fn name(&self) -> &str {
        &self.rows.name
    }

    async fn identity(&mut self) -> Result<LogIdentity, SourceError> {
        Ok(self.log.clone())
    }

    async fn partitions(&mut self) -> Result<BTreeSet<PartitionId>, SourceError> {
        Ok(self.rows.looked()?.ends.keys().cloned().collect())
    }

    async fn bounds(&mut self) -> Result<BTreeMap<PartitionId, Bounds>, SourceError> {
        let ends = self.rows.looked()?.ends.iter();
        Ok(ends.map(|(p, end)| (p.clone(), Bounds { earliest: 0, latest: *end })).collect())
    }

    async fn starting_offsets(&mut self) -> Result<BTreeMap<PartitionId, i64>, SourceError> {
        Ok(self.bounds().await?.into_iter().map(|(p, bounds)| (p, bounds.earliest)).collect())
    }

    async fn start(&mut self, positions: &BTreeMap<PartitionId, i64>) -> Result<(), SourceError> {
        for (partition, position) in positions {
            self.positions.entry(partition.clone()).or_insert(*position);
        }
        Ok(())
    }

    async fn buffered(&mut self) -> Result<Vec<Buffered>, SourceError> {
        self.positions.iter().map(|(partition, position)| self.rows.offered(partition, *position)).collect()
    }

    /// Never resolves: the set of files is fixed when the run starts.
    async fn changed(&mut self) {
        std::future::pending().await
    }

    async fn take(&mut self, ranges: &BTreeMap<PartitionId, OffsetRange>) -> Result<Taken, SourceError> {
        self.positions.extend(ranges.iter().map(|(partition, range)| (partition.clone(), range.to)));
        Ok(Taken::default())
    }

    async fn committed(&mut self, _: &BTreeMap<PartitionId, i64>) -> Result<(), SourceError> {
        Ok(())
    }
}
