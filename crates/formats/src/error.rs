//! The errors of this crate: those that stop a run. An [`crate::ErrorClass`] costs its event alone.

use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use sluicebox_core::{Blame, Blamed, Retry, columns};
use sluicebox_registry::schema::SchemaError;
use sluicebox_registry::{RegistryError, SchemaFileError, SchemaKey};
use thiserror::Error;

/// What stops a run that decodes events.
#[derive(Debug, Error)]
pub enum FormatError {
    /// The registry could not be asked, or refused.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The reader schema cannot be read.
    #[error("source '{name}': the reader schema, {subject} version {version}, cannot be used: {source}")]
    ReaderSchema {
        /// The source's name in the pipeline.
        name: String,
        /// The pinned subject.
        subject: String,
        /// The pinned version.
        version: i32,
        /// Why.
        source: SchemaError,
    },
    /// A column of the value has a name that Sluicebox adds itself.
    #[error(
        "source '{name}': the reader schema, {subject} version {version}, has a field '{field}', a name that every source \
         row has already; give the field another name in a reader schema, with '{field}' as an alias, register it and \
         pin its version with 'value.schema.version'"
    )]
    NameTaken {
        /// The source's name in the pipeline.
        name: String,
        /// The pinned subject.
        subject: String,
        /// The pinned version.
        version: i32,
        /// The field.
        field: String,
    },
    /// A declared column has a name that Sluicebox adds itself.
    #[error(
        "source '{name}': a column is called '{column}', a name that every source row has already; give it another name"
    )]
    ColumnTaken {
        /// The source's name in the pipeline.
        name: String,
        /// The column.
        column: String,
    },
    /// A declared column is of a type into which values of the format cannot be read.
    #[error("source '{name}': the column '{column}' is of the type {data_type}, into which {format} cannot be read")]
    ColumnType {
        /// The source's name in the pipeline.
        name: String,
        /// The column, with the path to what is in it.
        column: String,
        /// Its type.
        data_type: DataType,
        /// The format.
        format: &'static str,
    },
    /// A file of the schema cache or of the embedded registry cannot be used.
    #[error(transparent)]
    Files(#[from] SchemaFileError),
    /// An event names a schema that was not prepared: a mistake in the caller.
    #[error("{partition}: the schema of {key} was not prepared before decoding; please report this")]
    NotPrepared {
        /// Topic and partition.
        partition: String,
        /// The schema.
        key: SchemaKey,
    },
    /// Columns cannot be made of what was decoded.
    #[error("{partition}: decoded columns cannot be put together: {}", columns::in_words(source))]
    Columns {
        /// Topic and partition.
        partition: String,
        /// What arrow says.
        source: ArrowError,
    },
    /// A batch of raw events is not in the raw schema: a mistake in the caller.
    #[error("{partition}: raw events are not in the raw schema: {problem}; please report this")]
    RawSchema {
        /// Topic and partition.
        partition: String,
        /// What is wrong.
        problem: String,
    },
}

impl Blamed for FormatError {
    fn blame(&self) -> Blame {
        match self {
            Self::Registry(e) => e.blame(),
            Self::ReaderSchema { .. } | Self::NameTaken { .. } | Self::ColumnTaken { .. } | Self::ColumnType { .. } => {
                Blame::User
            }
            Self::Files(e) => e.blame(),
            Self::Columns { source, .. } => columns::blame_of(source),
            Self::NotPrepared { .. } | Self::RawSchema { .. } => Blame::Us,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Registry(e) => e.retry(),
            Self::Files(e) => e.retry(),
            _ => Retry::No,
        }
    }
}
