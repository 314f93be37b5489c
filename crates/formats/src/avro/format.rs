//! Avro among the formats.

use arrow::datatypes::{FieldRef, SchemaRef};
use sluicebox_registry::PinnedSchema;

use super::reader::{key_column, left_out, source_columns};
use super::{LeftOut, decoder};
use crate::error::FormatError;
use crate::format::{Format, Reads, SchemaFormat, Schemas, Words};
use crate::key::KeyDecoder;
use crate::source::{DecoderOptions, SourceDecoder};

/// Avro in Confluent's framing.
#[derive(Debug, Clone, Copy)]
pub struct Avro;

impl Format for Avro {
    fn words(&self) -> Words {
        Words::Standard("avro")
    }

    fn reads(&self) -> Reads<'_> {
        Reads::BySchema(self)
    }
}

impl SchemaFormat for Avro {
    fn columns(&self, name: &str, reader: &PinnedSchema) -> Result<(SchemaRef, Vec<LeftOut>), FormatError> {
        Ok((source_columns(name, reader)?, left_out(name, reader)?))
    }

    fn key_column(&self, name: &str, reader: &PinnedSchema) -> Result<(FieldRef, Vec<LeftOut>), FormatError> {
        key_column(name, reader)
    }

    fn values(&self, options: &DecoderOptions, schemas: Schemas) -> Result<SourceDecoder, FormatError> {
        decoder(options, schemas.reader, schemas.registry, schemas.cache)
    }

    fn keys(&self, options: &DecoderOptions, schemas: Schemas) -> Result<KeyDecoder, FormatError> {
        KeyDecoder::avro(options, schemas.reader, schemas.registry, schemas.cache)
    }
}
