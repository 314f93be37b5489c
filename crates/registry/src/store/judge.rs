//! Judges a schema against the versions of its subject. That takes long, so it runs without the lock while other clients use the registry.
//!
//! A judgement holds for its [`Basis`]. Schemas never change, so a caller that finds the same basis again may act on the judgement.

use sluicebox_core::told::beginning;

use crate::registry::{Reference, SchemaText};
use crate::schema::AvroSchema;
use crate::store::compat::{MOST_FOUND, Work, too_complex};
use crate::store::error::StoreError;
use crate::store::level::Level;

/// With so many versions that a schema may not follow no more are looked at.
const MOST_VERSIONS: usize = 10;
/// So many bytes of an earlier schema count as much as a name that is compared: it is parsed for the judgement.
const BYTES: usize = 4;

/// A schema that a client sent.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Its JSON without needless white space.
    pub(crate) schema: String,
    pub(crate) references: Vec<Reference>,
    /// What makes it the same as another.
    pub(crate) identity: String,
    pub(crate) parsed: AvroSchema,
}

/// What a schema is judged by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Basis {
    pub(crate) level: Level,
    /// Numbers and ids of the versions that it must be compatible with, the newest first.
    pub(crate) versions: Vec<(i32, i32)>,
}

/// What keeps `new` from following the versions of `basis`, as Confluent words it; nothing if it may. `text` gives the schema of an id.
///
/// # Errors
/// When `text` fails, or a version's schema does not parse.
pub(crate) fn judge(
    new: &AvroSchema,
    basis: &Basis,
    text: impl Fn(i32) -> Result<Option<SchemaText>, StoreError>,
) -> Result<Vec<String>, StoreError> {
    let level = basis.level;
    let (mut details, mut told, mut work) = (Vec::new(), 0, Work::default());
    for (at, (number, id)) in basis.versions.iter().enumerate() {
        let Some(text) = text(*id)? else { continue };
        let mut problems = if work.spend(text.bytes() / BYTES) {
            // What was registered was valid then; a schema that no longer parses cannot be followed.
            level.problems_within(new, &AvroSchema::parse(&text)?, &mut work)
        } else {
            vec![too_complex(("new", "old"))]
        };
        if problems.is_empty() {
            continue;
        }
        let more = problems.len() >= MOST_FOUND;
        problems.truncate(MOST_FOUND);
        details.extend(problems.iter().map(ToString::to_string));
        if more {
            details.push(format!("{{more: 'only the first {MOST_FOUND} problems are told'}}"));
        }
        details.push(format!("{{oldSchemaVersion: {number}}}"));
        details.push(format!("{{oldSchema: '{}'}}", beginning(text.schema.as_str())));
        details.push(format!("{{compatibility: '{level}'}}"));
        told += 1;
        let left = basis.versions.len() - at - 1;
        if left > 0 && (told == MOST_VERSIONS || work.is_spent()) {
            details.push(format!("{{more: '{left} earlier versions were not compared'}}"));
            break;
        }
    }
    Ok(details)
}
