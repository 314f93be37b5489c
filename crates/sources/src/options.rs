//! The options of a `kafka` source, under Spark's names.
//!
//! The same options describe a source over the embedded log, which a pipeline reads when no broker is configured.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use regex::Regex;
use sluicebox_core::PartitionId;
use sluicebox_core::options as names;
use sluicebox_core::secret::{Pieces, may_be_secret};

use crate::error::{Result, SourceError};
use crate::positions::{self, TopicOffsets};
use crate::source::Bounds;

#[cfg(test)]
mod tests;

/// The environment variable that holds the brokers when the option `kafka.bootstrap.servers` is absent.
pub const BROKERS_ENV: &str = "KAFKA_BOOTSTRAP_SERVERS";

mod properties;

pub(crate) use properties::check_files;
pub use properties::{check_brokers, check_of_table, is_property};
/// Names of options.
pub use sluicebox_core::options::{KAFKA_PREFIX, OF_LOGS};

/// Which topics and partitions a source reads.
#[derive(Debug, Clone)]
pub enum Selection {
    /// All partitions of these topics.
    Subscribe(Vec<String>),
    /// These partitions.
    Assign(BTreeMap<String, BTreeSet<i32>>),
    /// All partitions of the topics whose whole name matches, Kafka's own (`__...`) excepted.
    Pattern(Regex),
}

impl Selection {
    /// The topics named, or `None` when they are found by a pattern.
    #[must_use]
    pub fn named_topics(&self) -> Option<Vec<&str>> {
        match self {
            Self::Subscribe(topics) => Some(topics.iter().map(String::as_str).collect()),
            Self::Assign(topics) => Some(topics.keys().map(String::as_str).collect()),
            Self::Pattern(_) => None,
        }
    }

    /// The partitions to read, of the topics that there are with their partition counts. `log` names the log in errors.
    ///
    /// # Errors
    /// When a named topic or partition is not there. A pattern that matches nothing yet is no error.
    pub fn select(
        &self,
        source_name: &str,
        log: &str,
        topics: &BTreeMap<String, i32>,
    ) -> Result<BTreeSet<PartitionId>> {
        let count = |topic: &String| {
            topics.get(topic).copied().ok_or_else(|| SourceError::UnknownTopic {
                source_name: source_name.to_owned(),
                topic: topic.clone(),
                log: log.to_owned(),
                known: topics.keys().filter(|t| !is_internal(t)).cloned().collect(),
            })
        };
        let all = |topic: &String, n: i32| -> Vec<PartitionId> {
            (0..n).map(|p| PartitionId::new(source_name, topic, p)).collect()
        };
        let mut out = BTreeSet::new();
        match self {
            Self::Subscribe(names) => {
                for topic in names {
                    out.extend(all(topic, count(topic)?));
                }
            }
            Self::Assign(names) => {
                for (topic, partitions) in names {
                    let n = count(topic)?;
                    if let Some(beyond) = partitions.iter().find(|p| **p >= n) {
                        let remedy = format!("name partitions 0 to {} of '{topic}'", n - 1);
                        return Err(SourceError::option(source_name, "assign", format!("{topic}/{beyond}"), remedy));
                    }
                    out.extend(partitions.iter().map(|p| PartitionId::new(source_name, topic, *p)));
                }
            }
            Self::Pattern(pattern) => {
                for (topic, n) in topics.iter().filter(|(t, _)| !is_internal(t) && pattern.is_match(t)) {
                    out.extend(all(topic, *n));
                }
            }
        }
        Ok(out)
    }
}

fn is_internal(topic: &str) -> bool {
    topic.starts_with("__")
}

/// Where the very first start begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartingOffsets {
    /// At the first offset there is.
    Earliest,
    /// At the end: only what comes after the start.
    Latest,
    /// At an offset per partition; -2 is the first one, -1 the end.
    PerPartition(TopicOffsets),
}

impl StartingOffsets {
    /// The starting offset of each partition of `bounds`.
    ///
    /// # Errors
    /// When the option names partitions that are not read, leaves out some that are, or names an offset that the log
    /// does not hold.
    pub fn resolve(
        &self,
        source_name: &str,
        bounds: &BTreeMap<PartitionId, Bounds>,
    ) -> Result<BTreeMap<PartitionId, i64>> {
        let given = match self {
            Self::Earliest => return Ok(bounds.iter().map(|(id, b)| (id.clone(), b.earliest)).collect()),
            Self::Latest => return Ok(bounds.iter().map(|(id, b)| (id.clone(), b.latest)).collect()),
            Self::PerPartition(given) => given,
        };
        let refuse =
            |given: String, remedy: String| Err(SourceError::option(source_name, "startingOffsets", given, remedy));
        for (topic, partitions) in given {
            if let Some(partition) =
                partitions.keys().find(|p| !bounds.contains_key(&PartitionId::new(source_name, topic, **p)))
            {
                let there = bounds.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                return refuse(
                    format!("an offset for {topic}/{partition}"),
                    format!("name partitions that are read: {there}"),
                );
            }
        }
        let mut out = BTreeMap::new();
        for (id, held) in bounds {
            let offset = match given.get(&id.topic).and_then(|p| p.get(&id.partition)) {
                Some(-2) => held.earliest,
                Some(-1) => held.latest,
                Some(n) if (held.earliest..=held.latest).contains(n) => *n,
                Some(n) => {
                    let (first, end) = (held.earliest, held.latest);
                    let remedy = format!(
                        "write an offset that the log holds, {first} to {end}, or -2 (earliest) or -1 (latest)"
                    );
                    return refuse(format!("{n} for {id}"), remedy);
                }
                None => {
                    return refuse(
                        format!("JSON without {id}"),
                        "give an offset for every partition that is read: a number, -2 (earliest) or -1 (latest)"
                            .to_owned(),
                    );
                }
            };
            out.insert(id.clone(), offset);
        }
        Ok(out)
    }
}

/// Options of a `kafka` source, checked.
#[derive(Clone)]
pub struct KafkaOptions {
    /// The brokers, `host:port,...`; `None` when no broker is configured: the source is then the embedded log.
    pub brokers: Option<String>,
    /// What to read.
    pub selection: Selection,
    /// Where the very first start begins.
    pub starting_offsets: StartingOffsets,
    /// Offsets that a batch takes at most, over all partitions. The engine keeps to it; the source does not know it.
    pub max_offsets_per_trigger: Option<u64>,
    /// Whether offsets that are gone stop the run.
    pub fail_on_data_loss: bool,
    /// What the name of the consumer group starts with.
    pub group_id_prefix: String,
    /// Whether the source's rows have the headers as a column. Headers are always read.
    pub include_headers: bool,
    /// Properties for librdkafka, without the prefix `kafka.`; not printed.
    pub properties: BTreeMap<String, String>,
    /// How long brokers that do not answer are waited for; `None` for ever. Not among the options of a pipeline.
    pub give_up_after: Option<Duration>,
    /// What [`KafkaOptions::hide`] was given.
    hidden: Pieces,
}

/// Shows everything but the values of properties, which may be secret.
impl fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaOptions")
            .field("brokers", &self.brokers)
            .field("selection", &self.selection)
            .field("starting_offsets", &self.starting_offsets)
            .field("max_offsets_per_trigger", &self.max_offsets_per_trigger)
            .field("fail_on_data_loss", &self.fail_on_data_loss)
            .field("group_id_prefix", &self.group_id_prefix)
            .field("include_headers", &self.include_headers)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl KafkaOptions {
    /// Reads the options of source `source_name`. Options that are not in [`OF_LOGS`] and do not start with
    /// `kafka.` are another station's and are left alone; of an option given twice the last one holds. Values are taken as they
    /// are: references have been replaced before. `env` looks up [`BROKERS_ENV`].
    ///
    /// # Errors
    /// [`SourceError::Option`] with the option, what was given and what to write.
    pub fn from_options(
        source_name: &str,
        options: &[(String, String)],
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let mut properties = BTreeMap::new();
        let mut known = BTreeMap::new();
        for (key, value) in options {
            if let Some(property) = names::property(key) {
                properties::check(source_name, key, property)?;
                if property.eq_ignore_ascii_case("bootstrap.servers") {
                    known.insert("kafka.bootstrap.servers", value.trim());
                }
                properties.insert(property.to_owned(), value.clone());
            } else if let Some(name) = OF_LOGS.iter().find(|n| n.eq_ignore_ascii_case(key)) {
                known.insert(*name, value.trim());
            }
        }
        let get = |name: &str| known.get(name).copied();
        let brokers =
            properties.remove("bootstrap.servers").or_else(|| env(BROKERS_ENV)).filter(|b| !b.trim().is_empty());
        if let Some(brokers) = &brokers {
            let given = known.contains_key("kafka.bootstrap.servers");
            let option = if given { "kafka.bootstrap.servers" } else { BROKERS_ENV };
            let given = |why: String| {
                SourceError::option(source_name, option, format!("{} ({why})", quoted(brokers)), properties::BROKERS)
            };
            check_brokers(brokers).map_err(given)?;
        }
        let mut out = Self {
            brokers,
            selection: selection(source_name, &get)?,
            starting_offsets: starting_offsets(source_name, get("startingOffsets"))?,
            max_offsets_per_trigger: None,
            fail_on_data_loss: boolean(source_name, "failOnDataLoss", get("failOnDataLoss"), true)?,
            group_id_prefix: get("groupIdPrefix").unwrap_or("sluicebox").to_owned(),
            include_headers: boolean(source_name, "includeHeaders", get("includeHeaders"), false)?,
            properties,
            give_up_after: None,
            hidden: Pieces::default(),
        };
        if let Some(text) = get("maxOffsetsPerTrigger") {
            let number = text.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
                SourceError::option(source_name, "maxOffsetsPerTrigger", quoted(text), "write a whole number above 0")
            })?;
            out.max_offsets_per_trigger = Some(number);
        }
        Ok(out)
    }

    /// [`exposed_brokers`] of the source.
    #[must_use]
    pub fn exposed(&self) -> Vec<String> {
        self.brokers.as_ref().map(|brokers| exposed_brokers(brokers, &self.properties)).unwrap_or_default()
    }

    /// Keeps `value`, which one of `kafka.*` has by reference, out of what librdkafka says: whoever does not write a value down may not
    /// want it told either. The values of properties whose names are those of secrets are kept out anyway.
    pub fn hide(&mut self, value: &str) {
        self.hidden.add(value);
    }

    /// The pieces of all that librdkafka is not to tell.
    pub(crate) fn secrets(&self) -> Pieces {
        let mut pieces = self.hidden.clone();
        for (_, value) in self.properties.iter().filter(|(name, _)| may_be_secret(name)) {
            pieces.add(value);
        }
        pieces
    }

    /// The consumer group that lag tools see: `kafka.group.id`, or `<groupIdPrefix>-<pipeline>`.
    #[must_use]
    pub fn group_id(&self, pipeline: &str) -> String {
        self.properties.get("group.id").cloned().unwrap_or_else(|| format!("{}-{pipeline}", self.group_id_prefix))
    }
}

/// The hosts of `brokers`, of other machines, to which a password or token goes as it is by the Kafka client's `properties`, so that it can
/// be read on the way: over SASL without TLS, by a mechanism that sends it.
#[must_use]
pub fn exposed_brokers(brokers: &str, properties: &BTreeMap<String, String>) -> Vec<String> {
    let is = |names: &[&str], values: &[&str]| {
        let given = names.iter().find_map(|name| properties.get(*name));
        given.is_some_and(|given| values.iter().any(|value| given.trim().eq_ignore_ascii_case(value)))
    };
    let plain = is(&["security.protocol"], &["sasl_plaintext"]);
    let sends = is(&["sasl.mechanism", "sasl.mechanisms"], &["PLAIN", "OAUTHBEARER"]);
    if plain && sends { properties::hosts_away(brokers) } else { Vec::new() }
}

fn quoted(text: &str) -> String {
    format!("'{text}'")
}

fn boolean(source_name: &str, option: &str, text: Option<&str>, default: bool) -> Result<bool> {
    match text.map(str::to_ascii_lowercase).as_deref() {
        None => Ok(default),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(SourceError::option(source_name, option, quoted(other), "write true or false")),
    }
}

fn selection<'a>(source_name: &str, get: &dyn Fn(&str) -> Option<&'a str>) -> Result<Selection> {
    const NAMES: [&str; 3] = ["subscribe", "assign", "subscribePattern"];
    let given: Vec<(&str, &str)> = NAMES.iter().filter_map(|n| get(n).map(|v| (*n, v))).collect();
    let [(option, text)] = given[..] else {
        let what = match given.len() {
            0 => "absent".to_owned(),
            _ => format!("given beside {}", quoted(given[1].0)),
        };
        let option = given.first().map_or("subscribe", |(n, _)| n);
        return Err(SourceError::option(
            source_name,
            option,
            what,
            "give exactly one of subscribe, assign, subscribePattern",
        ));
    };
    match option {
        "subscribe" => {
            let mut topics: Vec<String> =
                text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect();
            topics.sort();
            topics.dedup();
            if topics.is_empty() {
                return Err(SourceError::option(source_name, option, quoted(text), "write topics with commas between"));
            }
            Ok(Selection::Subscribe(topics))
        }
        "assign" => {
            let remedy = r#"write JSON of topics and partitions, as {"topic":[0,1]}"#;
            let topics: BTreeMap<String, BTreeSet<i32>> = serde_json::from_str(text)
                .map_err(|e| SourceError::option(source_name, option, format!("{} ({e})", quoted(text)), remedy))?;
            let wrong = topics.is_empty() || topics.values().any(|p| p.is_empty() || p.iter().any(|n| *n < 0));
            if wrong {
                return Err(SourceError::option(source_name, option, quoted(text), remedy));
            }
            Ok(Selection::Assign(topics))
        }
        _ => Regex::new(&format!("^(?:{text})$")).map(Selection::Pattern).map_err(|e| {
            SourceError::option(source_name, option, format!("{} ({e})", quoted(text)), "write a regular expression")
        }),
    }
}

fn starting_offsets(source_name: &str, text: Option<&str>) -> Result<StartingOffsets> {
    let Some(text) = text else { return Ok(StartingOffsets::Earliest) };
    match text.to_ascii_lowercase().as_str() {
        "earliest" => return Ok(StartingOffsets::Earliest),
        "latest" => return Ok(StartingOffsets::Latest),
        _ => {}
    }
    let refuse = |why: &str| {
        let remedy = r#"write earliest, latest, or JSON as {"topic":{"0":123,"1":-2}} (-2 earliest, -1 latest)"#;
        SourceError::option(source_name, "startingOffsets", format!("{}{why}", quoted(text)), remedy)
    };
    let offsets = positions::parse(text).map_err(|why| refuse(&format!(" ({why})")))?;
    if offsets.values().flat_map(BTreeMap::values).any(|offset| *offset < -2) {
        return Err(refuse(""));
    }
    Ok(StartingOffsets::PerPartition(offsets))
}
