//! The options of sources: their names, values and meaning.
//!
//! The names are Spark's where Spark has the option. A test compares `docs/sql.md` with this list.

use sluicebox_core::options as of;
use sluicebox_core::secret::is_secret;

use crate::ast::{SourceDef, SourceKind};
use crate::diagnostic::nearest;
use crate::formats::{ExtraFields, JsonTimestamps, ValueFormat};
pub use crate::values::ValueType;
use crate::values::{self, Problem};

/// An option of a source.
#[derive(Debug, Clone, Copy)]
pub struct OptionDef {
    /// The name, as it is written; looked up without regard to case, as in Spark.
    pub name: &'static str,
    /// What its value may be.
    pub value: ValueType,
    /// What holds without it, as the reference says it.
    pub default: &'static str,
    /// What it means.
    pub doc: &'static str,
}

const fn option(name: &'static str, value: ValueType, default: &'static str, doc: &'static str) -> OptionDef {
    OptionDef { name, value, default, doc }
}

/// Every option of `USING kafka`, but for `kafka.*`, which is handed to librdkafka as it is.
pub const OPTIONS: &[OptionDef] = &[
    option(
        of::SUBSCRIBE,
        ValueType::Names,
        "",
        "Topics to read. One of `subscribe`, `assign` and `subscribePattern` is required.",
    ),
    option(of::ASSIGN, ValueType::Partitions, "", "Partitions to read, and no others."),
    option(
        of::SUBSCRIBE_PATTERN,
        ValueType::Pattern,
        "",
        "Topics to read: those whose whole name matches, also ones that come later.",
    ),
    option(
        of::STARTING_OFFSETS,
        ValueType::Offsets,
        "`earliest`",
        "Where the first run starts; -2 is earliest, -1 is latest. Resolved once, then the checkpoint alone says where to go on. New partitions start at their earliest offset.",
    ),
    option(
        of::MAX_OFFSETS_PER_TRIGGER,
        ValueType::Int(1, u64::MAX),
        "no limit besides `batch.bytes`",
        "At most so many offsets in a batch, shared over partitions by backlog: at least one each, or by turns.",
    ),
    option(
        of::FAIL_ON_DATA_LOSS,
        ValueType::Bool,
        "`true`",
        "Whether offsets that the topic has lost stop the run, or are reported and passed over.",
    ),
    option(
        of::GROUP_ID_PREFIX,
        ValueType::Text,
        "`sluicebox`",
        "What the name of the consumer group starts with, under which offsets are committed for lag tools.",
    ),
    option(of::INCLUDE_HEADERS, ValueType::Bool, "`false`", "Whether rows carry the events' headers in `_headers`."),
    option(
        "value.format",
        ValueType::OneOf(ValueFormat::NAMES),
        "`avro`",
        "How values are encoded: Avro in Confluent's framing; JSON, an object an event, whose columns the source lists; text in UTF-8 or bytes, in the one column `value`.",
    ),
    option(
        "key.format",
        ValueType::OneOf(ValueFormat::NAMES),
        "none",
        "How keys are encoded. With it a row has the column `key` behind those of the value, which is listed for `json`; without it only `_key`, as it came.",
    ),
    option(
        "json.extraFields",
        ValueType::OneOf(ExtraFields::NAMES),
        "`ignore`",
        "What becomes of fields that are not listed: they are left out, kept as JSON text in the column `_rescued`, or make the event a dead letter.",
    ),
    option(
        "json.timestamps",
        ValueType::OneOf(JsonTimestamps::NAMES),
        "`iso8601`",
        "How a TIMESTAMP is written: as text such as `2026-01-31T10:15:00Z`, or as a number of seconds, milliseconds or microseconds since 1970 UTC. Never guessed.",
    ),
    option(
        "json.maxDepth",
        ValueType::Int(1, 1_000),
        "`100`",
        "At most so many objects and arrays stand within each other; a deeper event is a dead letter.",
    ),
    option(
        "value.subject",
        ValueType::Text,
        "`<topic>-value` of the first topic",
        "The registry's subject whose schema rows are read with. Required of Avro beside `subscribePattern`.",
    ),
    option(
        "value.schema.version",
        ValueType::Int(1, u64::MAX),
        "the latest at the first start",
        "The subject's version that rows are read with; pinned by the checkpoint.",
    ),
    option(
        "key.subject",
        ValueType::Text,
        "`<topic>-key` of the first topic",
        "The registry's subject whose schema keys of `avro` are read with. Required of them beside `subscribePattern`.",
    ),
    option(
        "key.schema.version",
        ValueType::Int(1, u64::MAX),
        "the latest at the first start",
        "That subject's version that keys are read with; pinned by the checkpoint.",
    ),
    option(
        "schema.registry.url",
        ValueType::Url,
        "`SCHEMA_REGISTRY_URL`",
        "Where the Schema Registry is; several with commas between. Without broker and registry, the embedded one.",
    ),
    option(
        "schema.registry.basic.auth.user.info",
        ValueType::Secret,
        "`SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO`",
        "User and password for the registry, as `user:password`.",
    ),
    option("schema.registry.basic.auth.user.info.file", ValueType::Path, "", "File with the same."),
    option(
        "schema.registry.bearer.auth.token",
        ValueType::Secret,
        "`SCHEMA_REGISTRY_BEARER_AUTH_TOKEN`",
        "Token for the registry, in place of user and password.",
    ),
    option("schema.registry.bearer.auth.token.file", ValueType::Path, "", "File with the same."),
    option(
        "schema.registry.ssl.ca.location",
        ValueType::Path,
        "the system's",
        "PEM file with the certificates to trust the registry by.",
    ),
    option(
        "schema.registry.ssl.identity.location",
        ValueType::Path,
        "",
        "PEM file with our certificate and key for the registry.",
    ),
    option(
        "sample",
        ValueType::OneOf(&["sales"]),
        "",
        "Fills the topic of the embedded log with made-up events when no broker is configured. With a broker nothing is made up.",
    ),
    option(
        "dead.letters.max.ratio",
        ValueType::Ratio,
        "`1`: no limit",
        "The share of the source's events that may become dead letters, of those since the run began, once there were 100. Above it the run stops with exit code 3, and nothing of the batch is written.",
    ),
    option(
        "idleTimeout",
        ValueType::Duration,
        "`10 seconds`",
        "After how long without an event time a partition that has been read to its end holds the watermark no more.",
    ),
    option(
        "maxFuture",
        ValueType::Duration,
        "`1 hour`",
        "An event time further ahead of the clock than this moves no watermark; such rows are counted.",
    ),
];

/// Options of Spark that are not here, and why.
const NOT_HERE: &[(&str, &str)] = &[
    ("startingOffsetsByTimestamp", "write the offsets with startingOffsets"),
    ("startingTimestamp", "write the offsets with startingOffsets"),
    ("endingOffsets", "a stream has no end; --trigger available-now stops at what is there"),
    ("endingTimestamp", "a stream has no end; --trigger available-now stops at what is there"),
    ("endingOffsetsByTimestamp", "a stream has no end; --trigger available-now stops at what is there"),
    ("minPartitions", "partitions of the topic are read in parallel as they are"),
    ("minOffsetsPerTrigger", "SET 'trigger' says how often batches start"),
    ("maxTriggerDelay", "SET 'trigger' says how often batches start"),
    ("kafkaConsumer.pollTimeoutMs", "the consumer needs no poll timeout"),
    ("fetchOffset.numRetries", "a broker that is down is waited for"),
    ("fetchOffset.retryIntervalMs", "a broker that is down is waited for"),
    ("format", "write 'value.format', and 'key.format' for keys"),
    ("value.deserializer", "write 'value.format'"),
    ("key.deserializer", "write 'key.format'; without it keys are bytes, in the column _key"),
    ("mode", "an event that cannot be read is a dead letter, and its neighbours are rows"),
    ("columnNameOfCorruptRecord", "an event that cannot be read is a dead letter, which keeps its bytes"),
    ("rescuedDataColumn", "write 'json.extraFields' = 'rescue'"),
    ("timestampFormat", "write 'json.timestamps'; or declare a STRING, and to_timestamp(column, 'pattern') in a table"),
    ("timestampNTZFormat", "declare a STRING, and to_timestamp_ntz(column, 'pattern') in a table"),
    ("dateFormat", "declare a STRING, and to_date(column, 'pattern') in a table"),
    ("maxNestingDepth", "write 'json.maxDepth'"),
    ("multiLine", "an event is one JSON object, on any number of lines"),
    ("primitivesAsString", "declare the columns as STRING"),
    ("prefersDecimal", "declare the columns as DECIMAL(p, s)"),
    ("inferSchema", "list the columns: CREATE TABLE name (column TYPE, ...)"),
    ("topic", "write 'subscribe' = 'topic'"),
    ("topics", "write 'subscribe' = 'topic,topic'"),
    ("bootstrap.servers", "write 'kafka.bootstrap.servers'"),
];

/// The option of this name, looked up without regard to case; `kafka.*` are not in the list.
#[must_use]
pub fn find(key: &str) -> Option<&'static OptionDef> {
    OPTIONS.iter().find(|o| o.name.eq_ignore_ascii_case(key))
}

/// Whether the value of `key` keeps its references until a source is connected: it may be a secret, or hold one.
pub(crate) fn keeps_references(key: &str) -> bool {
    of::property(key).is_some()
        || find(key).is_none_or(|option| matches!(option.value, ValueType::Text | ValueType::Secret))
}

/// The option's name as it is written in the reference, if key and value are right. `written` is what stands in the file in the place of the
/// value, and is what is shown of it.
pub(crate) fn check(key: &str, value: &str, written: &str) -> Result<String, Problem> {
    if let Some(property) = of::property(key) {
        let lower = key.to_lowercase();
        if let Some(instead) = of::instead_of(property) {
            let problem = Problem::unknown(format!("`{key}` is not for the pipeline to set"), instead.to_owned());
            return Err(Problem { label: "not this one".into(), ..problem });
        }
        let value_type = if is_secret(&lower) { ValueType::Secret } else { ValueType::Text };
        value_type.check(key, value, written)?;
        return Ok(lower);
    }
    let Some(option) = find(key) else { return Err(unknown(key)) };
    option.value.check(option.name, value, written)?;
    Ok(option.name.to_owned())
}

fn unknown(key: &str) -> Problem {
    if let Some((name, instead)) = NOT_HERE.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)) {
        return Problem::unknown(format!("`{name}` is not an option here"), (*instead).to_owned());
    }
    let help = match nearest(key, OPTIONS.iter().map(|o| o.name)) {
        Some(near) => format!("did you mean '{near}'?"),
        None => format!(
            "properties of the Kafka client start with kafka.: 'kafka.{key}'; all other options are in docs/sql.md"
        ),
    };
    Problem::unknown(format!("a source of kind kafka has no option `{key}`"), help)
}

/// The kind as it is written after USING.
#[must_use]
pub fn name_of(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Kafka => "kafka",
        SourceKind::Files => "files",
        SourceKind::Rate => "rate",
    }
}

/// The value of an option of a source, as it was written.
#[must_use]
pub fn get<'a>(source: &'a SourceDef, name: &str) -> Option<&'a str> {
    source.option(name)
}

/// What holds for the event times of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTimeOptions {
    /// `idleTimeout`, in microseconds.
    pub idle_timeout_micros: i64,
    /// `maxFuture`, in microseconds.
    pub max_future_micros: i64,
}

/// 10 seconds and 1 hour.
impl Default for EventTimeOptions {
    fn default() -> Self {
        Self { idle_timeout_micros: 10_000_000, max_future_micros: 3_600_000_000 }
    }
}

impl EventTimeOptions {
    /// The options of `source`, with their defaults.
    #[must_use]
    pub fn of(source: &SourceDef) -> Self {
        let micros = |name: &str, default: i64| get(source, name).and_then(values::duration).unwrap_or(default);
        let default = Self::default();
        Self {
            idle_timeout_micros: micros("idleTimeout", default.idle_timeout_micros),
            max_future_micros: micros("maxFuture", default.max_future_micros),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_says_the_defaults_that_hold() {
        let said = |name: &str| find(name).and_then(|option| values::duration(option.default.trim_matches('`')));
        let EventTimeOptions { idle_timeout_micros, max_future_micros } = EventTimeOptions::default();
        assert_eq!(said("idleTimeout"), Some(idle_timeout_micros));
        assert_eq!(said("maxFuture"), Some(max_future_micros));
    }

    #[test]
    fn every_option_of_a_log_can_be_written() {
        assert!(of::OF_LOGS.into_iter().all(|name| find(name).is_some()));
    }
}
