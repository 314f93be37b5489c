//! How the values and keys of a source are read: its columns, and what decodes its events.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Fields, SchemaRef};
use sluicebox_checkpoint::Checkpoint;
use sluicebox_core::Clock;
use sluicebox_engine::EngineError;
use sluicebox_formats::{
    Declared, DeclaredFormat, DecoderOptions, Format, FormatError, KeyDecoder, LeftOut, Reads, Schemas, SourceDecoder,
    with_key_column,
};
use sluicebox_pipeline::ast::SourceDef;
use sluicebox_pipeline::formats::{self, RESCUED, ValueFormat};
use sluicebox_registry::SchemaCache;

use super::connect::{Connection, of_files};
use super::reader::Part;
use crate::connectors::Connectors;
use crate::error::{Result, Usage};

/// How a source is read, by its options and its list of columns.
#[derive(Debug)]
pub struct Formats {
    pub(super) value: Arc<dyn Format>,
    key: Option<Arc<dyn Format>>,
    /// The columns of the value that the source declares.
    columns: Fields,
    /// That of the key.
    key_column: Option<Arc<Field>>,
    /// Its options, by their names in the reference.
    options: BTreeMap<String, String>,
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
    ///
    /// # Errors
    /// When nothing decodes a format that the text may name.
    pub fn of(source: &SourceDef, connectors: &Connectors) -> Result<Self> {
        let read = |format: ValueFormat| {
            connectors.format(format).cloned().ok_or_else(|| {
                let known: Vec<&str> = connectors.formats().collect();
                let (source, format) = (&source.name.value, format.name());
                Usage(format!(
                    "source `{source}`: nothing decodes the format '{format}'; there are {}",
                    known.join(", ")
                ))
            })
        };
        // The column of other fields is the format's, and not declared.
        let declared = formats::value_columns(source).unwrap_or_default().into_iter();
        Ok(Self {
            value: read(source.value_format)?,
            key: source.key_format.map(read).transpose()?,
            columns: declared.filter(|column| column.name() != RESCUED).collect(),
            key_column: formats::key_column(source),
            options: source.options.iter().map(|(key, value)| (key.value.clone(), value.value.clone())).collect(),
        })
    }

    /// Whether keys are read by a schema.
    pub(super) fn keys_have_schemas(&self) -> bool {
        self.key.as_ref().is_some_and(|key| matches!(key.reads(), Reads::BySchema(_)))
    }

    /// What decodes the values in `format`, which is that of the values.
    fn values(&self, format: &dyn DeclaredFormat, options: &DecoderOptions) -> Result<SourceDecoder> {
        self.told(|told| format.values(options, told))
    }

    /// What decodes the keys, if they have a format and no schema is needed.
    fn keys(&self, options: &DecoderOptions) -> Result<Option<KeyDecoder>> {
        let Some(Reads::Declared(format)) = self.key.as_ref().map(|key| key.reads()) else { return Ok(None) };
        match self.told(|told| format.keys(options, told))? {
            Some(keys) => Ok(Some(keys)),
            // That it is listed is checked with the text.
            None => {
                let source = &options.source;
                Err(Usage(format!("source `{source}`: no column `key` is listed, whose type such a key has")).into())
            }
        }
    }

    /// What `make` makes of what the text declares.
    fn told<T>(&self, make: impl FnOnce(&Declared<'_>) -> std::result::Result<T, FormatError>) -> Result<T> {
        let option = |name: &str| self.options.get(name).cloned();
        let told = Declared { columns: &self.columns, key: self.key_column.as_deref(), option: &option };
        Ok(make(&told).map_err(EngineError::from)?)
    }
}

impl Connection {
    /// The columns of its rows, as far as they can be known without touching anything; see [`Connection::reader`].
    pub async fn columns(&self, checkpoint: &Checkpoint, clock: &Arc<dyn Clock>) -> Result<Columns> {
        let options = DecoderOptions::new(&self.name);
        let keys = self.formats.keys(&options)?;
        let (schema, mut left_out) = match self.formats.value.reads() {
            Reads::Declared(format) => {
                // A column that cannot be read is told before a topic that is not there.
                let decoder = self.formats.values(format, &options)?;
                self.declared_topic(checkpoint)?;
                (decoder.schema(), Vec::new())
            }
            Reads::BySchema(format) => {
                let reader = self.reader(Part::Value, checkpoint, clock).await?;
                let (columns, left_out) = format.columns(&self.name, &reader).map_err(EngineError::from)?;
                (columns, left_out)
            }
        };
        let key = match (keys, self.formats.key.as_ref().map(|key| key.reads())) {
            (Some(keys), _) => Some(Arc::clone(keys.field())),
            (None, Some(Reads::BySchema(format))) => {
                let reader = self.reader(Part::Key, checkpoint, clock).await?;
                let (key, without) = format.key_column(&self.name, &reader).map_err(EngineError::from)?;
                left_out.extend(without);
                Some(key)
            }
            (None, _) => None,
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
        options.include_headers = self.include_headers;
        let decoder = match self.formats.value.reads() {
            Reads::Declared(format) => {
                let decoder = self.formats.values(format, &options)?;
                self.pinned(checkpoint)?;
                decoder
            }
            Reads::BySchema(format) => {
                let schemas = self.schemas(Part::Value, checkpoint, clock).await?;
                format.values(&options, schemas).map_err(EngineError::from)?
            }
        };
        let keys = match self.formats.key.as_ref().map(|key| key.reads()) {
            Some(Reads::BySchema(format)) => {
                let schemas = self.schemas(Part::Key, checkpoint, clock).await?;
                Some(format.keys(&options, schemas).map_err(EngineError::from)?)
            }
            _ => self.formats.keys(&options)?,
        };
        match keys {
            Some(keys) => Ok(decoder.with_key(keys).map_err(EngineError::from)?),
            None => Ok(decoder),
        }
    }

    /// The reader schema of `part`, and what has those of writers.
    async fn schemas(&self, part: Part, checkpoint: &Checkpoint, clock: &Arc<dyn Clock>) -> Result<Schemas> {
        let registry = self.registry(clock)?;
        let reader = match self.pinned_schema(part, checkpoint)? {
            Some(pinned) => pinned,
            None => self.registered(part, &registry).await?,
        };
        let folder = checkpoint.source_dir(&self.name).join("schemas");
        Ok(Schemas { reader, registry, cache: SchemaCache::open(folder).map_err(of_files)? })
    }
}
