//! The trait of a format: its words, and the decoders of a source in it.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Fields, SchemaRef};
use sluicebox_core::words::FormatWords;
use sluicebox_registry::{PinnedSchema, Registry, SchemaCache};

use crate::avro::LeftOut;
use crate::error::FormatError;
use crate::key::KeyDecoder;
use crate::source::{DecoderOptions, SourceDecoder};

/// A format of events, by the name that `value.format` takes.
pub trait Format: Send + Sync + Debug {
    /// What the text of a pipeline may say of it.
    fn words(&self) -> Words;

    /// How it reads events.
    fn reads(&self) -> Reads<'_>;
}

/// Where the words of a format are.
#[derive(Debug, Clone, Copy)]
pub enum Words {
    /// In the language: every pipeline has the format of this name.
    Standard(&'static str),
    /// Here.
    Own(&'static FormatWords),
}

impl Words {
    /// The format's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard(name) => name,
            Self::Own(words) => words.name,
        }
    }
}

/// How a format reads events: by what the text declares, or by a schema of the registry.
#[derive(Debug, Clone, Copy)]
pub enum Reads<'f> {
    /// By the source's list of columns, or by the format alone.
    Declared(&'f dyn DeclaredFormat),
    /// By a schema.
    BySchema(&'f dyn SchemaFormat),
}

/// What the text declares of a source.
pub struct Declared<'d> {
    /// The columns of its values that it lists; none where the format has its own.
    pub columns: &'d Fields,
    /// The column that it lists for its keys.
    pub key: Option<&'d Field>,
    /// The value of an option, by its name in the reference.
    pub option: &'d (dyn Fn(&str) -> Option<String> + Sync),
}

/// A format whose columns the text declares, or that has columns of its own.
pub trait DeclaredFormat: Send + Sync + Debug {
    /// The decoder of values of the source of `options`. Its pin has the name of the format, by which a checkpoint knows it again.
    ///
    /// # Errors
    /// When values cannot be read into a column that is declared.
    fn values(&self, options: &DecoderOptions, declared: &Declared<'_>) -> Result<SourceDecoder, FormatError>;

    /// The decoder of keys, of a format that keys can have; `None` without the column that it needs.
    ///
    /// # Errors
    /// As [`Self::values`].
    fn keys(&self, options: &DecoderOptions, declared: &Declared<'_>) -> Result<Option<KeyDecoder>, FormatError> {
        let _ = (options, declared);
        Ok(None)
    }
}

/// A reader schema, and where those of writers come from.
#[derive(Debug)]
pub struct Schemas {
    /// The schema that events are read with.
    pub reader: PinnedSchema,
    /// Who knows those of writers.
    pub registry: Arc<dyn Registry>,
    /// Where they are kept.
    pub cache: SchemaCache,
}

/// A format whose columns are those of a schema of the registry.
pub trait SchemaFormat: Send + Sync + Debug {
    /// The columns of a row of the source `name` whose reader schema is `reader`, and the fields that have none. Nobody is asked.
    ///
    /// # Errors
    /// When the schema cannot be used.
    fn columns(&self, name: &str, reader: &PinnedSchema) -> Result<(SchemaRef, Vec<LeftOut>), FormatError>;

    /// The column of keys with the reader schema `reader`, and the fields of it that it lacks.
    ///
    /// # Errors
    /// As [`Self::columns`].
    fn key_column(&self, name: &str, reader: &PinnedSchema) -> Result<(FieldRef, Vec<LeftOut>), FormatError>;

    /// The decoder of values of the source of `options`.
    ///
    /// # Errors
    /// As [`Self::columns`].
    fn values(&self, options: &DecoderOptions, schemas: Schemas) -> Result<SourceDecoder, FormatError>;

    /// The decoder of its keys.
    ///
    /// # Errors
    /// As [`Self::columns`].
    fn keys(&self, options: &DecoderOptions, schemas: Schemas) -> Result<KeyDecoder, FormatError>;
}
