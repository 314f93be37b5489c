//! JSON: events that are objects, into declared columns.
//!
//! One walk over an event checks every byte and appends the values to the columns, as for Avro. So a bad event costs itself alone, whatever
//! is wrong with it and wherever it stands, and its dead letter names the field. Decision 26 says why this is not arrow-json's decoder. The
//! benchmarks compare the two.
//!
//! | SQL | JSON |
//! |---|---|
//! | `BOOLEAN` | `true`, `false` |
//! | `TINYINT`, `SMALLINT`, `INT`, `BIGINT` | a number without point and exponent that fits |
//! | `FLOAT`, `DOUBLE` | a number, rounded to the nearest; or one of the texts `NaN`, `Infinity`, `-Infinity`, `INF`, `-INF` |
//! | `DECIMAL` | a number, or a text that is one, if it fits exactly |
//! | `STRING` | a text; anything else as the text of its JSON |
//! | `BINARY` | a text of base64 |
//! | `DATE` | a text `2026-11-30` |
//! | `TIMESTAMP`, `TIMESTAMP_NTZ` | as [`Timestamps`] says |
//! | `ARRAY`, `MAP`, `STRUCT` | a list; an object; an object |
//!
//! `null` and a missing field are NULL. An event with a value that does not fit is a dead letter. Spark's `from_json` makes NULL of such a
//! value and keeps the event in `_corrupt_record`; both agree on which values fit.

mod format;
mod names;
mod number;
mod plan;
mod reader;
mod rescue;
mod scalar;
#[cfg(test)]
mod tests;
mod text;
mod time;
mod walk;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use async_trait::async_trait;
use sluicebox_core::raw::{LONGEST_EVENT, RawEvents};

pub use sluicebox_core::provenance::RESCUED_COLUMN as RESCUED;

pub use self::format::Json;
pub use self::time::Timestamps;

use self::plan::{Op, Record, within};
use crate::class::ErrorClass;
use crate::column::Column;
use crate::decoder::{Decoder, Prepared};
use crate::error::FormatError;
use crate::event_decoder::{EventDecoder, Refused, Row};
use crate::events::Event;
use crate::fault::Step;
use crate::limits::Limits;
use crate::pin::SourcePin;
use crate::run::Run;
use crate::source::{DecoderOptions, SourceDecoder};

/// The name of the format.
pub const NAME: &str = "json";

/// How deep objects and lists may be nested, unless an option says otherwise.
const DEPTH: usize = 100;

/// What becomes of fields that are not declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Extra {
    /// They are passed over.
    #[default]
    Ignore,
    /// They are kept in the column [`RESCUED`], as the text of a JSON object.
    Rescue,
    /// Their event is a dead letter.
    Letter,
}

/// How JSON is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonOptions {
    /// What becomes of fields that are not declared.
    pub extra: Extra,
    /// How timestamps are written.
    pub timestamps: Timestamps,
    /// How deep objects and lists may be nested; the event itself is the first level.
    pub max_depth: usize,
    /// Bytes that an event may have.
    pub max_bytes: usize,
}

impl Default for JsonOptions {
    /// Fields that are not declared are passed over, timestamps are ISO 8601, 100 levels, and as many bytes as any event may have.
    fn default() -> Self {
        Self { extra: Extra::default(), timestamps: Timestamps::default(), max_depth: DEPTH, max_bytes: LONGEST_EVENT }
    }
}

/// The decoder of a source of JSON with the declared columns `columns`; see [`JsonDecoder::new`].
///
/// # Errors
/// As there.
pub fn decoder(options: &DecoderOptions, columns: &Fields, json: &JsonOptions) -> Result<SourceDecoder, FormatError> {
    SourceDecoder::new(options, JsonDecoder::new(options, columns, json)?)
}

/// Decodes JSON.
#[derive(Debug)]
pub struct JsonDecoder {
    columns: Fields,
    declared: Arc<Declared>,
}

/// What is declared of a source.
#[derive(Debug)]
struct Declared {
    record: Record,
    extra: Extra,
    timestamps: Timestamps,
    limits: Limits,
}

impl JsonDecoder {
    /// The decoder of the source of `options`, whose declared columns are `columns`.
    ///
    /// # Errors
    /// When a column is of a type that JSON cannot be read into, or is called [`RESCUED`] where that is the column of other fields.
    pub fn new(options: &DecoderOptions, columns: &Fields, json: &JsonOptions) -> Result<Self, FormatError> {
        let name = || options.source.clone();
        let record = Record::of(columns).map_err(|(column, data_type)| FormatError::ColumnType {
            name: name(),
            column,
            data_type,
            format: NAME,
        })?;
        let mut columns: Vec<FieldRef> = columns.iter().cloned().collect();
        if json.extra == Extra::Rescue {
            if columns.iter().any(|column| column.name() == RESCUED) {
                return Err(FormatError::ColumnTaken { name: name(), column: RESCUED.to_owned() });
            }
            columns.push(Arc::new(Field::new(RESCUED, DataType::Utf8, true)));
        }
        let limits = Limits { bytes: json.max_bytes, depth: json.max_depth, ..options.limits };
        let declared = Declared { record, extra: json.extra, timestamps: json.timestamps, limits };
        Ok(Self { columns: columns.into(), declared: Arc::new(declared) })
    }
}

/// Decodes keys that are JSON, of any type.
#[derive(Debug)]
pub(crate) struct JsonKey {
    declared: Declared,
    op: Op,
    required: bool,
}

impl JsonKey {
    /// The decoder of keys of the source of `options`, for which the column `field` is declared.
    ///
    /// # Errors
    /// When JSON cannot be read into the column's type.
    pub(crate) fn new(options: &DecoderOptions, field: &Field, json: &JsonOptions) -> Result<Self, FormatError> {
        let op = Op::of(field.data_type()).map_err(|(path, data_type)| FormatError::ColumnType {
            name: options.source.clone(),
            column: within(field.name(), &path),
            data_type,
            format: NAME,
        })?;
        // What is not declared of a key has no column to be kept in.
        let extra = if json.extra == Extra::Letter { Extra::Letter } else { Extra::Ignore };
        let limits = Limits { bytes: json.max_bytes, depth: json.max_depth, ..options.limits };
        let declared = Declared { record: Record::default(), extra, timestamps: json.timestamps, limits };
        Ok(Self { declared, op, required: !field.is_nullable() })
    }

    /// Appends `key` to `column`. If it fails, the caller truncates the column.
    pub(crate) fn decode(&self, key: &[u8], column: &mut Column) -> Step {
        walk::decode_one(&self.declared, &self.op, self.required, key, column)
    }
}

#[async_trait]
impl Decoder for JsonDecoder {
    fn columns(&self) -> &Fields {
        &self.columns
    }

    fn pin(&self) -> SourcePin {
        SourcePin::of_format(NAME)
    }

    async fn prepare(&self, _: &[RawEvents]) -> Result<Arc<dyn Prepared>, FormatError> {
        let declared: Arc<Declared> = Arc::clone(&self.declared);
        Ok(declared)
    }
}

impl Prepared for Declared {
    fn decode(&self, run: &mut Run<'_>) -> Result<(), FormatError> {
        run.each(&mut Reading(self))
    }
}

/// A run of events.
struct Reading<'a>(&'a Declared);

impl EventDecoder for Reading<'_> {
    #[inline]
    fn decode(&mut self, event: Event<'_>, columns: &mut Column) -> Result<Row, Refused> {
        let Column::Struct(root) = columns else {
            let problem = "the columns are none of a value; please report this".to_owned();
            return Err(Refused::event(None, ErrorClass::DecodeFailed, problem));
        };
        match walk::decode(self.0, event.value, root) {
            Ok(values) => Ok(Row { schema_id: None, bytes: event.value.len(), values }),
            Err(fault) => Err(Refused::fault(None, &fault)),
        }
    }
}
