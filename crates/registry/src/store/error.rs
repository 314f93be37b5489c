//! The refusals of the embedded registry, with Confluent's error codes.

use thiserror::Error;

use crate::error::SchemaFileError;
use crate::key::SchemaKey;
use crate::registry::RegistryError;
use crate::schema::SchemaError;

/// A request that the registry refused, or could not serve.
#[derive(Debug, Error)]
pub enum StoreError {
    /// There is no such subject.
    #[error("Subject '{0}' not found.")]
    SubjectNotFound(String),
    /// The subject has no such version.
    #[error("Version {version} of subject '{subject}' not found.")]
    VersionNotFound {
        /// The subject.
        subject: String,
        /// A number or `latest`.
        version: String,
    },
    /// The subject does not have this schema.
    #[error("Schema not found in subject '{0}'.")]
    SchemaNotFound(String),
    /// There is no schema of this id or GUID.
    #[error("Schema {0} not found.")]
    KeyNotFound(SchemaKey),
    /// The subject was deleted before.
    #[error("Subject '{0}' was soft deleted. Set permanent=true to delete permanently.")]
    SubjectSoftDeleted(String),
    /// The subject must be deleted softly first.
    #[error("Subject '{0}' was not deleted first before being permanently deleted.")]
    SubjectNotSoftDeleted(String),
    /// The version was deleted before.
    #[error("Version {version} of subject '{subject}' was soft deleted. Set permanent=true to delete permanently.")]
    VersionSoftDeleted {
        /// The subject.
        subject: String,
        /// The version.
        version: i32,
    },
    /// The version must be deleted softly first.
    #[error("Version {version} of subject '{subject}' was not deleted first before being permanently deleted.")]
    VersionNotSoftDeleted {
        /// The subject.
        subject: String,
        /// The version.
        version: i32,
    },
    /// The subject has no level of its own.
    #[error("Subject '{0}' does not have subject-level compatibility configured")]
    NoSubjectLevel(String),
    /// The new schema breaks the subject's compatibility level.
    #[error(
        "Schema being registered is incompatible with an earlier schema for subject \"{subject}\", details: [{}]",
        details.join(", ")
    )]
    Incompatible {
        /// The subject.
        subject: String,
        /// What does not fit, as Confluent words it.
        details: Vec<String>,
    },
    /// The schema is not valid Avro.
    #[error("Invalid schema: {0}")]
    InvalidSchema(#[from] SchemaError),
    /// The schema is of another type.
    #[error("Invalid schema type {0}: this registry holds AVRO only")]
    InvalidType(String),
    /// A reference names what is not there.
    #[error("Invalid schema: its reference '{name}' to version {version} of subject '{subject}' is not registered")]
    UnknownReference {
        /// The reference's name.
        name: String,
        /// Its subject.
        subject: String,
        /// Its version.
        version: i32,
    },
    /// The version is no number from 1 on and not `latest`.
    #[error(
        "The specified version '{0}' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\""
    )]
    InvalidVersion(String),
    /// The level is none.
    #[error(
        "Invalid compatibility level '{0}'. Valid values are none, backward, forward, full, backward_transitive, forward_transitive, and full_transitive"
    )]
    InvalidLevel(String),
    /// Another schema refers to what would be deleted.
    #[error("One or more references exist to the schema {{subject='{subject}', version={version}}}.")]
    ReferenceExists {
        /// The subject.
        subject: String,
        /// The version.
        version: i32,
    },
    /// The files of the registry failed.
    #[error(transparent)]
    Files(#[from] SchemaFileError),
}

impl StoreError {
    /// Confluent's error code; its first three digits are the HTTP status.
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            Self::SubjectNotFound(_) => 40401,
            Self::VersionNotFound { .. } => 40402,
            Self::SchemaNotFound(_) | Self::KeyNotFound(_) => 40403,
            Self::SubjectSoftDeleted(_) => 40404,
            Self::SubjectNotSoftDeleted(_) => 40405,
            Self::VersionSoftDeleted { .. } => 40406,
            Self::VersionNotSoftDeleted { .. } => 40407,
            Self::NoSubjectLevel(_) => 40408,
            Self::Incompatible { .. } => 409,
            Self::InvalidSchema(_) | Self::InvalidType(_) | Self::UnknownReference { .. } => 42201,
            Self::InvalidVersion(_) => 42202,
            Self::InvalidLevel(_) => 42203,
            Self::ReferenceExists { .. } => 42206,
            Self::Files(_) => 50001,
        }
    }
}

impl From<StoreError> for RegistryError {
    fn from(error: StoreError) -> Self {
        let registry = "the embedded registry".to_owned();
        match error {
            StoreError::Files(source) => Self::Embedded { source: Box::new(source) },
            StoreError::SubjectNotFound(subject) => Self::NotFound { what: format!("subject {subject}"), registry },
            StoreError::VersionNotFound { subject, version } => {
                Self::NotFound { what: format!("version {version} of subject {subject}"), registry }
            }
            StoreError::KeyNotFound(key) => Self::NotFound { what: format!("schema {key}"), registry },
            other => Self::Refused {
                what: "a request".to_owned(),
                registry,
                status: u16::try_from(other.code() / 100).unwrap_or(422),
                code: i64::from(other.code()),
                message: other.to_string(),
            },
        }
    }
}
