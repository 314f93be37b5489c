//! Looks at brokers, topics and folders for `plan`. It changes nothing.

use std::collections::BTreeMap;

use serde::Serialize;
use sluicebox_checkpoint::Checkpoint;
use sluicebox_core::PartitionId;
use sluicebox_engine::{Begin, EngineError, Room, check_folders};
use sluicebox_formats::ignored_fields;
use sluicebox_registry::{SchemaCache, SchemaText};

use super::connect::Connection;
use super::reader::Part;
use super::{Checked, sinks_of};
use crate::error::{Error, Result};

/// Less room than this is worth a word.
const LITTLE: u64 = 1 << 30;

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What: a source's name, or a folder.
    pub about: String,
    /// `ok`, `warning`, or `problem`: what a run would be refused with.
    pub status: &'static str,
    /// What was found.
    pub text: String,
}

impl Check {
    fn ok(about: &str, text: String) -> Self {
        Self { about: about.to_owned(), status: "ok", text }
    }

    fn problem(about: &str, error: &Error) -> Self {
        Self { about: about.to_owned(), status: "problem", text: crate::told(error) }
    }

    fn warning(about: &str, text: String) -> Self {
        Self { about: about.to_owned(), status: "warning", text }
    }
}

impl Checked {
    /// Looks at what the pipeline reads and writes, into `found`. With `offline` no broker is asked, and no registry.
    ///
    /// # Errors
    /// What a run would be refused with, or would wait for; what was looked at before is in `found`.
    pub async fn look(&self, offline: bool, found: &mut Vec<Check>) -> Result<()> {
        for connection in &self.connections {
            self.drift(connection, offline, found).await?;
        }
        if offline {
            return Ok(());
        }
        let mut first = None;
        for connection in &self.connections {
            match self.begin(connection).await {
                Ok(check) => found.extend(check),
                Err(error) => {
                    found.push(Check::problem(&connection.name, &error));
                    first = Some(error);
                    // Others may wait for the same brokers.
                    break;
                }
            }
        }
        match self.folders() {
            Ok(rooms) => found.extend(rooms.iter().map(room)),
            Err(error) => {
                found.push(Check::problem("folders", &error));
                first.get_or_insert(error);
            }
        }
        first.map_or(Ok(()), Err)
    }

    fn folders(&self) -> Result<Vec<Room>> {
        let working_dir = self.home.absolute()?;
        let data_dir = working_dir.join("data");
        let folders = (working_dir.as_path(), data_dir.as_path());
        let sinks = sinks_of(self)?;
        let checked = check_folders(&self.graph, folders, &sinks, &self.checkpoint, (false, false));
        checked.map_err(|error| self.at_location(error))
    }

    /// Where a source would begin or go on.
    async fn begin(&self, connection: &Connection) -> Result<Option<Check>> {
        let (name, pipeline) = (&connection.name, &self.graph.pipeline.name);
        let Some(mut source) = connection.source(name, pipeline, self.settings.batch_bytes)? else {
            return Ok(None);
        };
        let log = source.identity().await.map_err(|error| connection.places.of_source(error))?;
        let starting = connection.starting();
        let begin = match positions(&self.checkpoint, name)? {
            Some(positions) => Begin::next(source.as_mut(), &starting, positions).await,
            None => Begin::first(source.as_mut(), &starting).await,
        };
        let begin = begin.map_err(|error| connection.places.of_engine(error))?;
        let text = match log.topics.len() {
            0 => begin.to_string(),
            n => {
                let partitions = begin.positions.len();
                let topics = if n == 1 { "one topic".to_owned() } else { format!("{n} topics") };
                let partitions =
                    if partitions == 1 { "one partition".to_owned() } else { format!("{partitions} partitions") };
                format!("{}: {topics}, {partitions}; {begin}", connection.link.description())
            }
        };
        let worth_a_word = begin.finds_no_topic() || begin.older > 0;
        Ok(Some(if worth_a_word { Check::warning(name, text) } else { Check::ok(name, text) }))
    }

    /// The fields of writers that no table can have, for the pinned reader schemas of values and keys lack them: of the schemas that
    /// were seen before, and of the latest ones.
    async fn drift(&self, connection: &Connection, offline: bool, found: &mut Vec<Check>) -> Result<()> {
        self.drift_of(Part::Value, connection, offline, found).await?;
        if connection.formats.keys_have_schemas() {
            self.drift_of(Part::Key, connection, offline, found).await?;
        }
        Ok(())
    }

    async fn drift_of(&self, part: Part, connection: &Connection, offline: bool, found: &mut Vec<Check>) -> Result<()> {
        let Some(pinned) = connection.pinned_schema(part, &self.checkpoint)? else { return Ok(()) };
        let name = &connection.name;
        let mut writers = self.seen(part, connection)?;
        if !offline && connection.asks_registry() {
            let latest = connection.latest(part, &self.clock).await?;
            writers
                .extend(latest.map(|latest| (format!("{} version {}", latest.subject, latest.version), latest.text)));
        }
        let mut fields: BTreeMap<String, String> = BTreeMap::new();
        for (writer, text) in writers {
            for field in ignored_fields(name, &pinned, &text).map_err(EngineError::from)? {
                fields.entry(field).or_insert_with(|| writer.clone());
            }
        }
        let (whose, of_whose) = match part {
            Part::Value => ("events", ""),
            Part::Key => ("keys", " of keys"),
        };
        let reader = format!("the reader schema{of_whose}, {} version {},", pinned.subject, pinned.version);
        found.extend(fields.into_iter().map(|(field, writer)| {
            let text = format!(
                "{whose} of {writer} have the field `{field}`; {reader} does not: run with `--repin {name}` to add it"
            );
            Check::warning(name, text)
        }));
        Ok(())
    }

    /// The schemas of writers that the checkpoint keeps of `part`. It keeps those of values and of keys in one folder: those of values
    /// are the ones that the newest commit names.
    fn seen(&self, part: Part, connection: &Connection) -> Result<Vec<(String, SchemaText)>> {
        let name = &connection.name;
        let cache = SchemaCache::at(self.checkpoint.source_dir(name).join("schemas"));
        let mut schemas: Vec<_> =
            cache.all().into_iter().map(|(key, text)| (key.replacen('-', " ", 1), text)).collect();
        if connection.formats.keys_have_schemas() {
            let newest = self.checkpoint.observe().map_err(told)?.commit;
            let newest = newest.map(|id| self.checkpoint.commit(id)).transpose().map_err(told)?;
            let of_values = newest.and_then(|mut commit| commit.schemas.remove(name)).unwrap_or_default();
            let is_of_values = |key: &str| of_values.iter().any(|named| named.eq_ignore_ascii_case(key));
            schemas.retain(|(key, _)| is_of_values(key) == (part == Part::Value));
        }
        Ok(schemas.into_iter().map(|(key, text)| (format!("schema {key}"), text)).collect())
    }
}

/// Where the checkpoint says that the source goes on.
fn positions(checkpoint: &Checkpoint, source: &str) -> Result<Option<BTreeMap<PartitionId, i64>>> {
    if checkpoint.refresh().map_err(told)?.is_some() {
        return Ok(None);
    }
    let Some(start) = checkpoint.source_start(source).map_err(told)? else { return Ok(None) };
    let mut positions: BTreeMap<PartitionId, i64> =
        start.positions.into_iter().map(|p| (p.partition, p.offset)).collect();
    if let Some(id) = checkpoint.observe().map_err(told)?.commit {
        let commit = checkpoint.commit(id).map_err(told)?;
        let own = commit.positions.into_iter().filter(|p| p.partition.source == source);
        positions.extend(own.map(|p| (p.partition, p.offset)));
    }
    Ok(Some(positions))
}

fn room(room: &Room) -> Check {
    let about = room.folder.display().to_string();
    let free = size(room.free_bytes);
    if room.free_bytes < LITTLE {
        return Check::warning(&about, format!("only {free} are free on its filesystem"));
    }
    Check::ok(&about, format!("files can be published there; {free} are free"))
}

#[expect(clippy::cast_precision_loss, reason = "a size for people")]
fn size(bytes: u64) -> String {
    match bytes {
        u64::MAX => "an unknown number of bytes".to_owned(),
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KiB", bytes >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes >> 20),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

fn told(error: impl Into<EngineError>) -> EngineError {
    error.into()
}
