//! The body of a request about a schema.

use axum::body::Bytes;
use axum::http::StatusCode;
use serde::Deserialize;

use crate::registry::Reference;
use crate::store::rest::Failure;
use crate::store::{NewSchema, StoreError};

/// What is asked of a schema: the schema, as a text, and what it refers to.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SchemaRequest {
    schema: String,
    schema_type: Option<String>,
    references: Option<Vec<Reference>>,
}

impl SchemaRequest {
    /// The request that `body` is. The schema in it is not read: it is a text, whatever it says.
    pub(super) fn read(body: &Bytes) -> Result<Self, Failure> {
        serde_json::from_slice(body)
            .map_err(|e| Failure::new(StatusCode::UNPROCESSABLE_ENTITY, 42201, format!("Invalid schema request: {e}")))
    }

    /// The schema, if it may be one of Avro.
    pub(super) fn schema(self) -> Result<NewSchema, Failure> {
        match self.schema_type {
            Some(other) if !other.eq_ignore_ascii_case("AVRO") => Err(StoreError::InvalidType(other).into()),
            _ => Ok(NewSchema { schema: self.schema, references: self.references.unwrap_or_default() }),
        }
    }
}
