//! The hidden columns that travel with every row of a stream.
//!
//! Their names start with [`PREFIX`]; the pipeline refuses user columns that do. They are never written to a table.
//! Projections, filters, UNION ALL and DISTINCT ON carry them on; aggregates and joins end provenance.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;

/// What the name of every hidden column starts with.
pub const PREFIX: &str = "__sb_";
/// Int32, not null: index of the row's source partition in the batch's sorted list of partitions.
pub const PART: &str = "__sb_part";
/// Int64, not null: the event's offset in its partition.
pub const OFFSET: &str = "__sb_offset";
/// Timestamp(us, UTC), nullable: the event time named by the WATERMARK clause above which the row has passed.
pub const EVENT_TIME: &str = "__sb_event_time";
/// UInt8, not null: the verdict of the watermark, see [`Lateness`]. The engine numbers late rows of one event in the bits above the
/// lowest two.
pub const LATE: &str = "__sb_late";

/// Utf8: why a row could not be computed. Only rows have it that could not, between the plan that computed them and the
/// place where they are taken out.
pub const ERROR: &str = "__sb_error";

/// What the names of columns begin with that a plan computes for the aggregate above it; they may be NULL.
pub const VALUE: &str = "__sb_value_";

/// The names of the columns that stand behind those of the value in every row of a source.
pub const METADATA: [&str; 7] = ["_topic", "_partition", "_offset", "_timestamp", "_key", "_headers", "_schema_id"];
/// The name of the one column of values that are text or bytes.
pub const VALUE_COLUMN: &str = "value";
/// The name of the column of decoded keys, which stands behind those of the value. The key as it came is in `_key`.
pub const KEY_COLUMN: &str = "key";
/// The name of the column that keeps the fields of an event for which no column is declared.
pub const RESCUED_COLUMN: &str = "_rescued";
/// The header of each event of a table that names its batch.
pub const BATCH_HEADER: &str = "sluicebox.batch";

/// What [`LATE`] says of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Lateness {
    /// In time, or without event time.
    InTime = 0,
    /// At or before the watermark of its own partition.
    Partition = 1,
    /// Ahead of its partition's watermark, at or before the clause's.
    Clause = 2,
}

/// The type of event times everywhere inside the engine.
#[must_use]
pub fn event_time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The fields of provenance: [`PART`] and [`OFFSET`].
#[must_use]
pub fn provenance_fields() -> [FieldRef; 2] {
    [Arc::new(Field::new(PART, DataType::Int32, false)), Arc::new(Field::new(OFFSET, DataType::Int64, false))]
}

/// The fields that a WATERMARK clause adds: [`EVENT_TIME`] and [`LATE`].
#[must_use]
pub fn watermark_fields() -> [FieldRef; 2] {
    [Arc::new(Field::new(EVENT_TIME, event_time_type(), true)), Arc::new(Field::new(LATE, DataType::UInt8, false))]
}

/// The fields that tell where a row came from beside the tables, in quarantine and among late rows: topic, partition and offset,
/// under the names that they have in a source.
#[must_use]
pub fn place_fields() -> [FieldRef; 3] {
    [("_topic", DataType::Utf8), ("_partition", DataType::Int32), ("_offset", DataType::Int64)]
        .map(|(name, of)| Arc::new(Field::new(name, of, true)))
}

/// Whether `name` is that of a hidden column.
#[must_use]
pub fn is_hidden(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// `schema` without its hidden columns.
#[must_use]
pub fn visible_schema(schema: &Schema) -> SchemaRef {
    let fields: Vec<FieldRef> = schema.fields().iter().filter(|f| !is_hidden(f.name())).cloned().collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// `batch` without its hidden columns.
///
/// # Errors
/// None for a batch that is well formed.
pub fn visible(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let keep: Vec<usize> =
        batch.schema_ref().fields().iter().enumerate().filter(|(_, f)| !is_hidden(f.name())).map(|(i, _)| i).collect();
    batch.project(&keep)
}
