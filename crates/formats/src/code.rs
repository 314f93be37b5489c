//! The codes of errors: short names of kinds, the same in every release, which `sluicebox explain` explains.

use sluicebox_registry::{RegistryError, SchemaFileError};

use crate::error::FormatError;

impl FormatError {
    /// The short name of the kind of error, in kebab-case, if it has one of its own. Docs: `docs/errors.md`.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        Some(match self {
            Self::Registry(RegistryError::Unavailable { .. }) => "no-answer",
            Self::Registry(RegistryError::NotFound { .. } | RegistryError::NoSubject { .. }) => "unknown-subject",
            Self::Registry(RegistryError::NotAvro { .. }) => "not-avro",
            Self::Registry(RegistryError::Denied { .. }) => "registry-denied",
            Self::Registry(_) => "registry",
            Self::ReaderSchema { .. } | Self::NameTaken { .. } => "reader-schema",
            Self::ColumnTaken { .. } | Self::ColumnType { .. } => "source-schema",
            Self::Files(SchemaFileError::Damaged { .. }) => "damaged-schema",
            Self::Files(SchemaFileError::Newer { .. }) => "newer-version",
            Self::Files(SchemaFileError::File(_)) => "file",
            Self::NotPrepared { .. } | Self::Columns { .. } | Self::RawSchema { .. } => return None,
        })
    }
}
