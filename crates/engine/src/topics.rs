//! The ids of the topics that a checkpoint reads. A topic that was deleted and made anew is another log.
//!
//! `metadata` holds the ids at the first start. A topic that came later, by a pattern, or whose broker gave no id then, is pinned in
//! `sources/<source>/topics/<topic>`, before any of its events is fetched.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sluicebox_checkpoint::records::Metadata;
use sluicebox_checkpoint::{Checkpoint, envelope};
use sluicebox_durable as durable;
use sluicebox_durable::fault::What;
use sluicebox_sources::LogIdentity;

use crate::EngineError;

/// `sources/<source>/topics/<topic>`: the id of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TopicPin {
    /// The id.
    pub(crate) id: String,
}

/// Makes sure that the topics in `found` are those that the checkpoint reads; those that are new to it are left as they are.
///
/// # Errors
/// [`EngineError::OtherLog`] when a topic has another id than its pin.
pub(crate) fn check(
    checkpoint: &Checkpoint,
    metadata: &Metadata,
    source: &str,
    found: &LogIdentity,
) -> Result<(), EngineError> {
    each(checkpoint, metadata, source, found, |path, _| {
        Ok(envelope::read::<TopicPin>(What::Source, path)?.map(|pinned| pinned.id))
    })
}

/// Makes sure that the topics in `found` are those that the checkpoint reads, and pins those that are new to it.
///
/// # Errors
/// [`EngineError::OtherLog`] when a topic has another id than its pin.
pub(crate) fn check_and_pin(
    checkpoint: &Checkpoint,
    metadata: &Metadata,
    source: &str,
    found: &LogIdentity,
) -> Result<(), EngineError> {
    each(checkpoint, metadata, source, found, |path, id| pin(path, id).map(Some))
}

/// Refuses a topic of `found` that has another id than the first start saw, or than `pin_of` gives for the path of its pin and its id.
fn each(
    checkpoint: &Checkpoint,
    metadata: &Metadata,
    source: &str,
    found: &LogIdentity,
    pin_of: impl Fn(&Path, &str) -> Result<Option<String>, EngineError>,
) -> Result<(), EngineError> {
    let first = metadata.logs.get(source).map(|log| &log.topics);
    for (topic, id) in &found.topics {
        let Some(id) = id else { continue };
        let pinned = match first.and_then(|topics| topics.get(topic)) {
            Some(Some(pinned)) => Some(pinned.clone()),
            _ => pin_of(&path(checkpoint, source, topic), id)?,
        };
        if let Some(pinned) = pinned.filter(|pinned| pinned != id) {
            return Err(EngineError::OtherLog {
                name: source.to_owned(),
                pinned: format!("topic {topic} ({pinned})"),
                found: format!("topic {topic} ({id}), deleted and made anew"),
            });
        }
    }
    Ok(())
}

/// The id in the pin at `path`, which is made if it is not there.
fn pin(path: &Path, id: &str) -> Result<String, EngineError> {
    if let Some(pinned) = envelope::read::<TopicPin>(What::Source, path)? {
        return Ok(pinned.id);
    }
    if let Some(dir) = path.parent() {
        durable::create_dir_durable(What::Source, dir)?;
    }
    envelope::create(What::Source, path, &TopicPin { id: id.to_owned() })?;
    Ok(id.to_owned())
}

fn path(checkpoint: &Checkpoint, source: &str, topic: &str) -> PathBuf {
    checkpoint.source_dir(source).join("topics").join(topic)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::collections::BTreeMap;

    use super::*;

    fn log(topics: &[(&str, Option<&str>)]) -> LogIdentity {
        let topics = topics.iter().map(|(t, id)| ((*t).to_owned(), id.map(str::to_owned))).collect();
        LogIdentity { log: "l".to_owned(), topics }
    }

    fn metadata(log: LogIdentity) -> Metadata {
        Metadata {
            id: "q".to_owned(),
            generation: 1,
            pipeline: "p".to_owned(),
            created_micros: 0,
            plan_partitions: 1,
            logs: BTreeMap::from([("s".to_owned(), log)]),
        }
    }

    #[test]
    fn a_topic_that_is_new_is_pinned_by_who_pins_alone() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(dir.path());
        let metadata = metadata(log(&[("a", Some("1"))]));
        for id in ["2", "3"] {
            check(&checkpoint, &metadata, "s", &log(&[("a", Some("1")), ("new", Some(id))])).unwrap();
            assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "something was written");
        }
        check_and_pin(&checkpoint, &metadata, "s", &log(&[("new", Some("3"))])).unwrap();
        let refused = check(&checkpoint, &metadata, "s", &log(&[("new", Some("4"))])).unwrap_err().to_string();
        assert!(refused.contains("topic new (4), deleted and made anew"), "{refused}");
    }

    #[test]
    fn a_topic_is_the_one_that_was_first_seen() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(dir.path());
        let metadata = metadata(log(&[("a", Some("1")), ("old", None)]));
        let check = |topics: &[(&str, Option<&str>)]| check_and_pin(&checkpoint, &metadata, "s", &log(topics));
        check(&[("a", Some("1")), ("old", Some("7")), ("new", Some("9"))]).unwrap();
        check(&[("a", Some("1")), ("old", Some("7")), ("new", Some("9"))]).unwrap();
        // A broker that tells no ids, or a topic that is not there now, says nothing.
        check(&[("a", None), ("old", None)]).unwrap();
        for changed in ["a", "old", "new"] {
            let error = check(&[(changed, Some("2"))]).unwrap_err().to_string();
            assert!(error.contains(&format!("topic {changed} (2), deleted and made anew")), "{error}");
            assert!(error.contains("--full-refresh"), "{error}");
        }
    }
}
