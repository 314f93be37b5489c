//! Chooses the schemas of a batch for which the registry is asked.
//!
//! Anybody who may write to a topic can put an unknown schema id into each event, and each unknown id is a request to a registry that
//! others need too. So a batch stops asking after a number of answers were "no such schema". It asks in an order in which made-up ids come
//! last.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sluicebox_registry::SchemaKey;

use crate::avro::decoder::Writer;
use crate::class::ErrorClass;
use crate::events::Events;
use crate::framing::{unframe, unframe_key};

/// Schemas asked for at the same time.
pub(super) const FETCHES: usize = 8;

/// After so many schemas that the registry does not know, a batch asks it for no more.
pub(super) const MOST_UNKNOWN: usize = 128;

/// The schemas that are not asked for.
#[derive(Debug)]
pub(super) struct Unasked {
    writer: Arc<Writer>,
    /// Whether the user has been told that there are some.
    told: AtomicBool,
}

impl Unasked {
    pub(super) fn new() -> Self {
        let message = format!(
            "its schema was not asked for: the registry does not know {MOST_UNKNOWN} others that this batch names, and as many events \
             or more name each of those; later batches ask again"
        );
        let writer = Arc::new(Writer::Refused { class: ErrorClass::UnknownSchemaId, message });
        Self { writer, told: AtomicBool::new(false) }
    }

    /// The writer of one of `source`, whose user is told of the first.
    pub(super) fn one_of(&self, source: &str) -> Arc<Writer> {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "source {source}: a batch names more than {MOST_UNKNOWN} schemas that the registry does not know: it is not asked for \
                 the others, whose events are dead letters. Is it the producers' registry? If it is, somebody writes what is none of theirs"
            );
        }
        Arc::clone(&self.writer)
    }
}

/// Adds to `keys` how many of `count` events name each schema; `named` says which one an event names, if it names one.
pub(super) fn count_keys(count: usize, named: impl Fn(usize) -> Option<SchemaKey>, keys: &mut HashMap<SchemaKey, u64>) {
    let mut add = |same: Option<(SchemaKey, u64)>| {
        if let Some((key, count)) = same {
            *keys.entry(key).or_default() += count;
        }
    };
    // Events that follow each other mostly name the same.
    let mut same: Option<(SchemaKey, u64)> = None;
    for row in 0..count {
        let Some(found) = named(row) else { continue };
        match same {
            Some((key, count)) if key == found => same = Some((key, count + 1)),
            other => {
                add(other);
                same = Some((found, 1));
            }
        }
    }
    add(same);
}

/// The schema that the value of the event at `row` names, if it was taken whole.
pub(super) fn of_value(events: &Events<'_>, row: usize) -> Option<SchemaKey> {
    let value = events.value(row).filter(|_| events.large(row).is_none())?;
    unframe(value, events.schema_header(row)).ok().map(|framed| framed.key)
}

/// The schema that the key of the event at `row` names, if the event is no tombstone and was taken whole.
pub(super) fn of_key(events: &Events<'_>, row: usize) -> Option<SchemaKey> {
    let key = events.key(row).filter(|_| events.value(row).is_some() && events.large(row).is_none())?;
    unframe_key(key, events.key_schema_header(row)).ok().map(|framed| framed.key)
}

/// The order in which they are asked for: what more events name comes first, as a schema does that a producer has begun to write. Of
/// those that as many name, low ids come first: registries count them up, and most of what is made up lies far above.
pub(super) fn in_order(mut keys: Vec<(SchemaKey, u64)>) -> Vec<SchemaKey> {
    let place = |key: SchemaKey| match key {
        SchemaKey::Id(id) => (false, id.cast_unsigned(), key),
        SchemaKey::Guid(_) => (true, 0, key),
    };
    keys.sort_unstable_by_key(|(key, count)| (Reverse(*count), place(*key)));
    keys.into_iter().map(|(key, _)| key).collect()
}
