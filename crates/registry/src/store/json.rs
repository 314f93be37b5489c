//! Writes a schema into the API's answers from borrowed parts: schema texts are large, and one copy is enough.

use serde::Serialize;

use crate::key::Guid;
use crate::registry::Reference;
use crate::store::state::Stored;
use crate::store::{Registered, SchemaOfKey};

/// A schema, with what of its version is asked for.
#[derive(Debug, Serialize)]
pub(super) struct SchemaJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<i32>,
    guid: Guid,
    schema: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    references: &'a [Reference],
}

impl<'a> SchemaJson<'a> {
    /// A version of a subject.
    pub(super) fn version(found: &'a Registered) -> Self {
        Self { subject: Some(&found.subject), ..Self::registered(found) }
    }

    /// What was registered, under the subject that the client named.
    pub(super) fn registered(found: &'a Registered) -> Self {
        Self {
            subject: None,
            version: Some(found.version),
            id: Some(found.id),
            guid: found.guid,
            schema: &found.schema,
            references: &found.references,
        }
    }

    /// A version of `subject` as the registry holds it.
    pub(super) fn listed(subject: &'a str, version: i32, id: i32, stored: &'a Stored) -> Self {
        Self {
            subject: Some(subject),
            version: Some(version),
            id: Some(id),
            guid: stored.guid,
            schema: &stored.schema,
            references: &stored.references,
        }
    }

    /// The schema of an id or GUID.
    pub(super) fn of_key(found: &'a SchemaOfKey) -> Self {
        Self {
            subject: None,
            version: None,
            id: None,
            guid: found.guid,
            schema: &found.schema,
            references: &found.references,
        }
    }
}
