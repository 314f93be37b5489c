//! Runs of many panes in one segment, read a batch at a time.
//!
//! A segment of an aggregate is an Arrow IPC file, compressed with zstd. Its batches hold the same number of rows, the last one fewer,
//! wherever runs begin. Its tail is the end of Arrow's stream, Arrow's footer, which locates the batches, and Arrow's mark. Under a key of
//! ours the footer also says which rows are the run of which pane, and holds the checksum of each batch. So opening a segment reads its
//! tail only.

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow_ipc::reader::{FileDecoder, read_footer_length};
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use arrow_ipc::{Block, CompressionType, root_as_footer};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use crate::error::{Error, Result};
use crate::segment::{Segment, Written};

/// The key of [`Index`] in the footer of a segment.
const INDEX_KEY: &str = "sluicebox.runs";

/// The version of [`Index`].
const VERSION: u32 = 1;

/// The bytes behind the footer: its length, and Arrow's mark.
const TRAILER: usize = 10;

/// Fast: state is written more often than it is read.
const ZSTD_LEVEL: i32 = 1;

/// What a segment holds.
#[derive(Debug, Serialize, Deserialize)]
struct Index {
    version: u32,
    /// Name and type of each column in the file.
    columns: Vec<String>,
    /// Rows of each batch but the last.
    batch_rows: u64,
    /// By pane, ascending.
    runs: Vec<Entry>,
    /// xxh3-64 of the bytes of each batch.
    checksums: Vec<u64>,
}

/// The run of one pane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The pane's start.
    pub pane: i64,
    /// How many of the pane's runs in older segments stay. This run stands in place of all that came after them.
    pub keep: usize,
    /// The run's first row in the segment.
    pub first: u64,
    /// Its rows.
    pub rows: u64,
}

/// Why rows of this schema cannot be in a segment, if they cannot.
pub(super) fn unfit(schema: &Schema) -> Option<String> {
    let nested = |data_type: &DataType| match data_type {
        DataType::Dictionary(_, values) => values.is_nested(),
        other => has_dictionary(other),
    };
    let field = schema.fields().iter().find(|field| nested(field.data_type()))?;
    Some(format!("its column {} is {}", field.name(), field.data_type()))
}

fn has_dictionary(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(..) => true,
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) | DataType::Map(f, _) => {
            has_dictionary(f.data_type())
        }
        DataType::Struct(fields) => fields.iter().any(|field| has_dictionary(field.data_type())),
        DataType::Union(fields, _) => fields.iter().any(|(_, field)| has_dictionary(field.data_type())),
        _ => false,
    }
}

/// The columns in the file: a dictionary would have to be one for all batches, so its values are written out.
fn file_schema(schema: &Schema) -> Schema {
    let plain = |field: &Arc<Field>| match field.data_type() {
        DataType::Dictionary(_, values) => Arc::new(field.as_ref().clone().with_data_type(values.as_ref().clone())),
        _ => Arc::clone(field),
    };
    Schema::new(schema.fields().iter().map(plain).collect::<Vec<_>>())
}

/// `schema` with the types of a file of an earlier version, where they differ in a way that is read: a sum of whole numbers
/// was 64 bits wide.
fn earlier(schema: &Schema, columns: &[String]) -> Schema {
    let as_written = |(field, written): (&Arc<Field>, &String)| {
        let bigint =
            matches!(field.data_type(), DataType::Decimal128(29, 0)) && *written == format!("{} Int64", field.name());
        if bigint { Arc::new(field.as_ref().clone().with_data_type(DataType::Int64)) } else { Arc::clone(field) }
    };
    if schema.fields().len() != columns.len() {
        return schema.clone();
    }
    Schema::new(schema.fields().iter().zip(columns).map(as_written).collect::<Vec<_>>())
}

fn names(schema: &Schema) -> Vec<String> {
    schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect()
}

/// A segment that can be read.
#[derive(Debug)]
pub(super) struct Stored {
    operator: String,
    segment: Segment,
    schema: SchemaRef,
    decoder: FileDecoder,
    blocks: Vec<Block>,
    index: Index,
}

impl Stored {
    /// What `segment` holds, whose rows are to have the columns of `schema`.
    pub fn open(operator: &str, segment: Segment, schema: &SchemaRef) -> Result<Arc<Self>> {
        let broken = |why: String| segment.broken(operator, why);
        let tail = segment.tail.as_slice();
        let end = tail.len().checked_sub(TRAILER).ok_or_else(|| broken("its end is too short".to_owned()))?;
        let trailer = tail[end..].try_into().map_err(|_| broken("its end is too short".to_owned()))?;
        let length = read_footer_length(trailer).map_err(|e| broken(e.to_string()))?;
        let start = end.checked_sub(length).ok_or_else(|| broken("its footer is longer than its end".to_owned()))?;
        // Of its own, since its reader wants it aligned.
        let footer = tail[start..end].to_vec();
        let footer = root_as_footer(&footer).map_err(|e| broken(e.to_string()))?;
        let mut metadata = footer.custom_metadata().into_iter().flatten();
        let index = metadata.find(|pair| pair.key() == Some(INDEX_KEY)).and_then(|pair| pair.value());
        let index = index.ok_or_else(|| broken("its footer says of no runs".to_owned()))?;
        let index: Index = serde_json::from_str(index).map_err(|e| broken(e.to_string()))?;
        if index.version != VERSION {
            return Err(broken(format!("it is of version {}, this binary reads {VERSION}", index.version)));
        }
        let columns = Arc::new(earlier(&file_schema(schema), &index.columns));
        if index.columns != names(&columns) {
            let detail = format!("{} has the columns {}", segment.file.name(), index.columns.join(", "));
            return Err(Error::StateShape { operator: operator.to_owned(), detail });
        }
        let decoder = FileDecoder::new(columns, footer.version());
        let blocks: Vec<Block> = footer.recordBatches().into_iter().flatten().copied().collect();
        let rows = (blocks.len() as u64).saturating_mul(index.batch_rows);
        let outside = |run: &Entry| run.first.checked_add(run.rows).is_none_or(|end| end > rows);
        if blocks.len() != index.checksums.len() || index.batch_rows == 0 || index.runs.iter().any(outside) {
            return Err(broken("its footer names rows that it does not have".to_owned()));
        }
        let (operator, schema) = (operator.to_owned(), Arc::clone(schema));
        Ok(Arc::new(Self { operator, segment, schema, decoder, blocks, index }))
    }

    /// The file.
    pub fn name(&self) -> &str {
        self.segment.file.name()
    }

    /// The runs, panes ascending.
    pub fn runs(&self) -> &[Entry] {
        &self.index.runs
    }

    /// The rows from the `first`-th on, `rows` of them, read as they are asked for.
    pub fn rows(self: Arc<Self>, first: u64, rows: u64) -> impl Iterator<Item = Result<RecordBatch>> + Send {
        let (mut at, end) = (first, first + rows);
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let batch_rows = self.index.batch_rows;
            let from = at % batch_rows;
            let rows = (batch_rows - from).min(end - at);
            let batch = self.read((at / batch_rows) as usize);
            at = if batch.is_ok() { at + rows } else { end };
            Some(batch.and_then(|batch| self.part(&batch, from as usize, rows as usize)))
        })
    }

    fn part(&self, batch: &RecordBatch, from: usize, rows: usize) -> Result<RecordBatch> {
        if from + rows > batch.num_rows() {
            return Err(self.broken(&format!("a batch of it has {} rows", batch.num_rows())));
        }
        Ok(batch.slice(from, rows))
    }

    fn read(&self, at: usize) -> Result<RecordBatch> {
        let doing = Error::arrow("make a batch of stored state");
        let (Some(block), Some(checksum)) = (self.blocks.get(at), self.index.checksums.get(at)) else {
            return Err(self.broken(&format!("it has no batch {at}")));
        };
        let place = u64::try_from(block.offset()).ok();
        let length = i64::from(block.metaDataLength()).checked_add(block.bodyLength());
        let length = length.and_then(|length| u64::try_from(length).ok()).filter(|length| *length >= 8);
        let inside = |place: u64, length: u64| place.checked_add(length).is_some_and(|e| e <= self.segment.data_bytes);
        let (Some(place), Some(length)) = (place, length) else {
            return Err(self.broken(&format!("the place of batch {at} is none")));
        };
        if !inside(place, length) {
            return Err(self.broken(&format!("the place of batch {at} is outside of it")));
        }
        let mut bytes = vec![0; length as usize];
        self.segment.file.read_exact_at(&mut bytes, place).map_err(|e| self.broken(&e))?;
        if xxh3_64(&bytes) != *checksum {
            let why = format!("its bytes from {place} on, {length} of them, are not those that were written");
            return Err(self.broken(&why));
        }
        let batch = self.decoder.read_record_batch(block, &Buffer::from_vec(bytes)).map_err(|e| self.broken(&e))?;
        let batch = batch.ok_or_else(|| self.broken(&format!("batch {at} is none")))?;
        with_types(&batch, &self.schema).map_err(doing)
    }

    fn broken(&self, why: &dyn std::fmt::Display) -> Error {
        self.segment.broken(&self.operator, why)
    }
}

/// `batch` under `schema`, whose types differ from its own in dictionaries, and in the width of sums, at most.
fn with_types(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, arrow::error::ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| match column.data_type() == field.data_type() {
        true => Ok(Arc::clone(column)),
        false => cast(column, field.data_type()),
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)
}

/// Where a writer of Arrow's puts its bytes: into the data, until they are those of the tail.
struct Split<'a> {
    data: &'a mut dyn Write,
    /// Of the batch that is being written.
    checksum: Xxh3Default,
    tail: Option<Vec<u8>>,
}

impl Write for Split<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(tail) = &mut self.tail {
            tail.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        let written = self.data.write(bytes)?;
        self.checksum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.data.flush()
    }
}

/// A segment that is being written.
pub(super) struct SegmentWriter<'a> {
    writer: FileWriter<Split<'a>>,
    /// The columns of state, and those in the file.
    schema: SchemaRef,
    file_schema: SchemaRef,
    /// Rows that make no whole batch yet.
    pending: Vec<RecordBatch>,
    pending_rows: usize,
    index: Index,
    /// Rows that have been given.
    rows: u64,
}

impl<'a> SegmentWriter<'a> {
    /// A writer of state rows with the columns of `schema`, `batch_rows` in a batch, to `data`.
    pub fn try_new(data: &'a mut dyn Write, schema: &SchemaRef, batch_rows: usize) -> Result<Self> {
        let doing = Error::arrow("write a segment of state");
        let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD)).map_err(&doing)?;
        let options = options.try_with_compression_level(Some(ZSTD_LEVEL)).map_err(&doing)?;
        let file_schema = Arc::new(file_schema(schema));
        let columns = names(&file_schema);
        let split = Split { data, checksum: Xxh3Default::new(), tail: None };
        let writer = FileWriter::try_new_with_options(split, &file_schema, options).map_err(&doing)?;
        Ok(Self {
            writer,
            schema: Arc::clone(schema),
            file_schema,
            pending: Vec::new(),
            pending_rows: 0,
            index: Index {
                version: VERSION,
                columns,
                batch_rows: batch_rows as u64,
                runs: Vec::new(),
                checksums: Vec::new(),
            },
            rows: 0,
        })
    }

    /// Begins the run of `pane`, which stands in place of those from the `keep`-th on. Panes are to ascend.
    pub fn begin(&mut self, pane: i64, keep: usize) {
        self.index.runs.push(Entry { pane, keep, first: self.rows, rows: 0 });
    }

    /// Says of which pane the run is that was begun last, where that is known only behind its rows.
    pub fn name_run(&mut self, pane: i64) {
        if let Some(entry) = self.index.runs.last_mut() {
            entry.pane = pane;
        }
    }

    /// Appends rows to the run that was begun last.
    pub fn write(&mut self, mut rows: RecordBatch) -> Result<()> {
        self.rows += rows.num_rows() as u64;
        if let Some(entry) = self.index.runs.last_mut() {
            entry.rows += rows.num_rows() as u64;
        }
        let batch_rows = self.index.batch_rows as usize;
        while self.pending_rows + rows.num_rows() >= batch_rows {
            let take = batch_rows - self.pending_rows;
            self.pending.push(rows.slice(0, take));
            rows = rows.slice(take, rows.num_rows() - take);
            self.write_pending()?;
        }
        if rows.num_rows() > 0 {
            self.pending_rows += rows.num_rows();
            self.pending.push(rows);
        }
        Ok(())
    }

    fn write_pending(&mut self) -> Result<()> {
        let doing = Error::arrow("write a segment of state");
        let rows = concat_batches(&self.schema, &self.pending).map_err(&doing)?;
        self.pending.clear();
        self.pending_rows = 0;
        let rows = with_types(&rows, &self.file_schema).map_err(&doing)?;
        self.writer.get_mut().checksum.reset();
        self.writer.write(&rows).map_err(doing)?;
        self.index.checksums.push(self.writer.get_ref().checksum.digest());
        Ok(())
    }

    /// Ends the data, and gives the tail.
    pub fn finish(mut self) -> Result<Written> {
        let doing = Error::arrow("write a segment of state");
        if self.pending_rows > 0 {
            self.write_pending()?;
        }
        let index = serde_json::to_string(&self.index).map_err(|e| doing(ArrowError::ExternalError(Box::new(e))))?;
        self.writer.write_metadata(INDEX_KEY, index);
        self.writer.get_mut().tail = Some(Vec::new());
        self.writer.finish().map_err(&doing)?;
        let tail = self.writer.into_inner().map_err(&doing)?.tail.unwrap_or_default();
        Ok(Written { rows: self.rows, tail })
    }
}
