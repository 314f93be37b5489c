//! The reader schema of a source, and what it tells without any event.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, SchemaRef};
use sluicebox_core::provenance::KEY_COLUMN;
use sluicebox_registry::schema::{AvroSchema, Kind};
use sluicebox_registry::{PinnedSchema, SchemaText};

use crate::avro::program::Program;
use crate::avro::shape::{LeftOut, value_fields};
use crate::error::FormatError;
use crate::events::{is_taken, source_schema};

/// The reader schema and the columns of values, if it can be one, and the fields that are none.
pub(super) fn reader_parts(
    name: &str,
    pinned: &PinnedSchema,
) -> Result<(AvroSchema, Fields, Vec<LeftOut>), FormatError> {
    let refused = |source| FormatError::ReaderSchema {
        name: name.to_owned(),
        subject: pinned.subject.clone(),
        version: pinned.version,
        source,
    };
    let mut reader = AvroSchema::parse(&pinned.text).map_err(refused)?;
    let (value, left_out) = value_fields(&reader).map_err(refused)?;
    {
        let without: HashSet<&str> = left_out.iter().map(|l| l.field.as_str()).collect();
        reader.without_fields(|name| without.contains(name));
    }
    if let Some(field) = value.iter().find(|f| is_taken(f.name())) {
        return Err(FormatError::NameTaken {
            name: name.to_owned(),
            subject: pinned.subject.clone(),
            version: pinned.version,
            field: field.name().clone(),
        });
    }
    Ok((reader, value, left_out))
}

/// The fields of `pinned`, the reader schema of source `name`, that have no column, each with its reason.
///
/// # Errors
/// As [`AvroDecoder::new`](crate::avro::AvroDecoder::new).
pub fn left_out(name: &str, pinned: &PinnedSchema) -> Result<Vec<LeftOut>, FormatError> {
    Ok(reader_parts(name, pinned)?.2)
}

/// The column that keys of source `name` with the reader schema `pinned` become, and the fields of theirs that it lacks; for planning
/// without a registry.
///
/// # Errors
/// As [`AvroDecoder::new`](crate::avro::AvroDecoder::new).
pub fn key_column(name: &str, pinned: &PinnedSchema) -> Result<(FieldRef, Vec<LeftOut>), FormatError> {
    let (reader, columns, left_out) = reader_parts(name, pinned)?;
    Ok((key_field(&reader, &columns), left_out))
}

/// The column of keys with the schema `reader`, which would be `columns` as a value: a record is a struct, anything else its own type.
pub(super) fn key_field(reader: &AvroSchema, columns: &Fields) -> FieldRef {
    let data_type = match (&reader.node(reader.root()).kind, &columns[..]) {
        (Kind::Record { .. }, _) | (_, []) => DataType::Struct(columns.clone()),
        (_, [column, ..]) => column.data_type().clone(),
    };
    // An event may have no key.
    Arc::new(Field::new(KEY_COLUMN, data_type, true))
}

/// The fields of a writer's schema that the reader schema `pinned` lacks, as paths; none when the one cannot be read as the
/// other.
///
/// # Errors
/// When the reader schema cannot be used.
pub fn ignored_fields(name: &str, pinned: &PinnedSchema, writer: &SchemaText) -> Result<Vec<String>, FormatError> {
    let (reader, ..) = reader_parts(name, pinned)?;
    let program = AvroSchema::parse(writer).ok().map(|writer| Program::compile(Arc::new(writer), &reader));
    Ok(program.and_then(Result::ok).map(|program| program.ignored).unwrap_or_default())
}

/// What [`SourceDecoder::schema`](crate::SourceDecoder::schema) of source `name` would be with the reader schema `pinned`; for
/// planning without a registry.
///
/// # Errors
/// As [`AvroDecoder::new`](crate::avro::AvroDecoder::new).
pub fn source_columns(name: &str, pinned: &PinnedSchema) -> Result<SchemaRef, FormatError> {
    Ok(source_schema(&reader_parts(name, pinned)?.1))
}
