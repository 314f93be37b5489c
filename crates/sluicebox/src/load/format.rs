//! How the values and keys of a source are read: its columns, and what decodes its events.

use std::sync::Arc;

use arrow::datatypes::{Field, Fields, SchemaRef};
use sluicebox_checkpoint::Checkpoint;
use sluicebox_core::Clock;
use sluicebox_core::raw::LONGEST_EVENT;
use sluicebox_engine::EngineError;
use sluicebox_formats::json::{Extra, JsonOptions, Timestamps};
use sluicebox_formats::{
    DecoderOptions, KeyDecoder, LeftOut, SourceDecoder, avro, json, key_column, left_out, source_columns, text,
    with_key_column,
};
use sluicebox_pipeline::ast::SourceDef;
use sluicebox_pipeline::formats::{self, ExtraFields, JsonTimestamps, RESCUED, ValueFormat};
use sluicebox_registry::{PinnedSchema, Registry, SchemaCache};

use super::connect::{Connection, of_files};
use super::reader::Part;
use crate::error::{Result, Usage};

/// How a source is read, by its options and its list of columns.
#[derive(Debug)]
pub struct Formats {
    pub(super) value: ValueFormat,
    key: Option<ValueFormat>,
    /// The columns of the value that the source declares.
    columns: Fields,
    /// That of the key.
    key_column: Option<Arc<Field>>,
    json: JsonOptions,
}

/// The columns of a source.
pub struct Columns {
    /// Those of its rows.
    pub schema: SchemaRef,
    /// The fields of its schema that have none.
    pub left_out: Vec<LeftOut>,
}

impl Formats {
    /// Those of `source`.
    pub fn of(source: &SourceDef) -> Self {
        // The column of other fields is the format's, and not declared.
        let declared = formats::value_columns(source).unwrap_or_default().into_iter();
        Self {
            value: ValueFormat::of(source),
            key: ValueFormat::of_key(source),
            columns: declared.filter(|column| column.name() != RESCUED).collect(),
            key_column: formats::key_column(source),
            json: json_options(source),
        }
    }

    /// Whether keys are read by a schema.
    pub(super) fn keys_have_schemas(&self) -> bool {
        self.key == Some(ValueFormat::Avro)
    }

    /// What decodes the values, where no schema is needed; `None` for Avro.
    fn declared(&self, options: &DecoderOptions) -> Result<Option<SourceDecoder>> {
        let decoder = match self.value {
            ValueFormat::Avro => return Ok(None),
            ValueFormat::Json => json::decoder(options, &self.columns, &self.json),
            ValueFormat::Text => text::text(options),
            ValueFormat::Binary => text::binary(options),
        };
        Ok(Some(decoder.map_err(EngineError::from)?))
    }

    /// What decodes the keys, if they have a format and no schema is needed.
    fn keys(&self, options: &DecoderOptions) -> Result<Option<KeyDecoder>> {
        match (self.key, &self.key_column) {
            (None | Some(ValueFormat::Avro), _) => Ok(None),
            (Some(ValueFormat::Text), _) => Ok(Some(KeyDecoder::text())),
            (Some(ValueFormat::Binary), _) => Ok(Some(KeyDecoder::binary())),
            (Some(ValueFormat::Json), Some(column)) => {
                Ok(Some(KeyDecoder::json(options, column, &self.json).map_err(EngineError::from)?))
            }
            // That it is listed is checked with the text.
            (Some(ValueFormat::Json), None) => {
                let source = &options.source;
                Err(Usage(format!("source `{source}`: no column `key` is listed, whose type a key of JSON has")).into())
            }
        }
    }
}

fn json_options(source: &SourceDef) -> JsonOptions {
    let formats::JsonOptions { extra, timestamps, max_depth } = formats::JsonOptions::of(source);
    JsonOptions {
        extra: match extra {
            ExtraFields::Ignore => Extra::Ignore,
            ExtraFields::Rescue => Extra::Rescue,
            ExtraFields::Letter => Extra::Letter,
        },
        timestamps: match timestamps {
            JsonTimestamps::Iso8601 => Timestamps::Iso8601,
            JsonTimestamps::EpochSeconds => Timestamps::EpochSeconds,
            JsonTimestamps::EpochMillis => Timestamps::EpochMillis,
            JsonTimestamps::EpochMicros => Timestamps::EpochMicros,
        },
        max_depth,
        max_bytes: LONGEST_EVENT,
    }
}

impl Connection {
    /// The columns of its rows, as far as they can be known without touching anything; see [`Connection::reader`].
    pub async fn columns(&self, checkpoint: &Checkpoint, clock: &Arc<dyn Clock>) -> Result<Columns> {
        let options = DecoderOptions::new(&self.name);
        let keys = self.formats.keys(&options)?;
        let (schema, mut left_out) = match self.formats.declared(&options)? {
            Some(decoder) => {
                self.declared_topic(checkpoint, clock)?;
                (decoder.schema(), Vec::new())
            }
            None => {
                let reader = self.reader(Part::Value, checkpoint, clock).await?;
                let columns = source_columns(&self.name, &reader).map_err(EngineError::from)?;
                (columns, left_out(&self.name, &reader).map_err(EngineError::from)?)
            }
        };
        let key = match keys {
            Some(keys) => Some(Arc::clone(keys.field())),
            None if self.formats.keys_have_schemas() => {
                let reader = self.reader(Part::Key, checkpoint, clock).await?;
                let (key, without) = key_column(&self.name, &reader).map_err(EngineError::from)?;
                left_out.extend(without);
                Some(key)
            }
            None => None,
        };
        let schema = match key {
            Some(key) => with_key_column(&self.name, &schema, &key).map_err(EngineError::from)?,
            None => schema,
        };
        Ok(Columns { schema, left_out })
    }

    /// What decodes its events, which is called `name`.
    pub(super) async fn decoder(
        &self,
        name: &str,
        checkpoint: &Checkpoint,
        clock: &Arc<dyn Clock>,
    ) -> Result<SourceDecoder> {
        let mut options = DecoderOptions::new(name);
        options.include_headers = self.options.include_headers;
        let decoder = match self.formats.declared(&options)? {
            Some(decoder) => {
                self.pinned(checkpoint)?;
                decoder
            }
            None => {
                let (reader, registry, cache) = self.schemas(Part::Value, checkpoint, clock).await?;
                avro::decoder(&options, reader, registry, cache).map_err(EngineError::from)?
            }
        };
        let keys = match self.formats.key {
            Some(ValueFormat::Avro) => {
                let (reader, registry, cache) = self.schemas(Part::Key, checkpoint, clock).await?;
                Some(KeyDecoder::avro(&options, reader, registry, cache).map_err(EngineError::from)?)
            }
            _ => self.formats.keys(&options)?,
        };
        match keys {
            Some(keys) => Ok(decoder.with_key(keys).map_err(EngineError::from)?),
            None => Ok(decoder),
        }
    }

    /// The reader schema of `part`, and what has those of writers.
    async fn schemas(
        &self,
        part: Part,
        checkpoint: &Checkpoint,
        clock: &Arc<dyn Clock>,
    ) -> Result<(PinnedSchema, Arc<dyn Registry>, SchemaCache)> {
        let registry = self.registry(clock)?;
        let reader = match self.pinned_schema(part, checkpoint)? {
            Some(pinned) => pinned,
            None => self.registered(part, &registry).await?,
        };
        let folder = checkpoint.source_dir(&self.name).join("schemas");
        Ok((reader, registry, SchemaCache::open(folder).map_err(of_files)?))
    }
}
