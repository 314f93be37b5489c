//! The options of sources: their names, values and meaning.
//!
//! The names are Spark's where Spark has the option. A test compares `docs/sql.md` with this list.

pub(crate) mod check;

use sluicebox_core::options as of;

use crate::ast::SourceDef;
use crate::kinds::{SourceKind, SourceWords};
use crate::values;
pub use crate::values::{OptionDef, ValueType, option};

/// The options that `USING kafka` alone has, but for `kafka.*`, which is handed to librdkafka as it is.
const OF_KAFKA: &[OptionDef] = &[
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
    option(
        "sample",
        ValueType::OneOf(&["sales"]),
        "",
        "Fills the topic of the embedded log with made-up events when no broker is configured. With a broker nothing is made up.",
    ),
];

/// Options of every source: how many events are read, and how they are encoded.
pub(crate) const OF_EVENTS: &[OptionDef] = &[
    option(
        of::MAX_OFFSETS_PER_TRIGGER,
        ValueType::Int(1, u64::MAX),
        "no limit besides `batch.bytes`",
        "At most so many offsets in a batch, shared over partitions by backlog: at least one each, or by turns.",
    ),
    option(of::INCLUDE_HEADERS, ValueType::Bool, "`false`", "Whether rows carry the events' headers in `_headers`."),
    option(
        "value.format",
        ValueType::Format,
        "`avro`",
        "How values are encoded: Avro in Confluent's framing; JSON, an object an event, whose columns the source lists; text in UTF-8 or bytes, in the one column `value`.",
    ),
    option(
        "key.format",
        ValueType::KeyFormat,
        "none",
        "How keys are encoded. With it a row has the column `key` behind those of the value, which is listed for `json`; without it only `_key`, as it came.",
    ),
];

/// Further options of every source: where schemas are, and what holds for rows.
pub(crate) const OF_ROWS: &[OptionDef] = &[
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

static KAFKA: SourceWords = SourceWords { name: "kafka", options: OF_KAFKA };

impl SourceKind {
    /// Topics of Kafka, or of the embedded log where no broker is configured.
    pub const KAFKA: Self = Self::new(&KAFKA);
}

/// Whether every source has the option `name`, whatever its kind.
pub(crate) fn is_of_all(name: &str) -> bool {
    OF_EVENTS.iter().chain(OF_ROWS).any(|o| o.name.eq_ignore_ascii_case(name))
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
