//! The options of sources: which there are, what they take, and what they mean.
//!
//! The names are Spark's where Spark has the option. The list is what `docs/sql.md` is checked against.

use std::collections::BTreeMap;

use crate::ast::{SourceDef, SourceKind};
use crate::diagnostic::nearest;
use crate::values::{self, Problem};
pub use crate::values::{StartingOffsets, ValueType};

/// An option of a source.
#[derive(Debug, Clone, Copy)]
pub struct OptionDef {
    /// The name, as it is written; looked up without regard to case, as in Spark.
    pub name: &'static str,
    /// The kinds of source that have it.
    pub kinds: &'static [SourceKind],
    /// What its value may be.
    pub value: ValueType,
    /// What holds without it, as the reference says it.
    pub default: &'static str,
    /// What it means.
    pub doc: &'static str,
}

const KAFKA: &[SourceKind] = &[SourceKind::Kafka];
const FILES: &[SourceKind] = &[SourceKind::Files];
const RATE: &[SourceKind] = &[SourceKind::Rate];
const ALL: &[SourceKind] = &[SourceKind::Kafka, SourceKind::Files, SourceKind::Rate];

const fn option(
    name: &'static str,
    kinds: &'static [SourceKind],
    value: ValueType,
    default: &'static str,
    doc: &'static str,
) -> OptionDef {
    OptionDef { name, kinds, value, default, doc }
}

/// Every option there is, but for `kafka.*`, which is handed to librdkafka as it is.
pub const OPTIONS: &[OptionDef] = &[
    option(
        "subscribe",
        KAFKA,
        ValueType::Names,
        "",
        "Topics to read. One of `subscribe`, `assign` and `subscribePattern` is required.",
    ),
    option("assign", KAFKA, ValueType::Partitions, "", "Partitions to read, and no others."),
    option(
        "subscribePattern",
        KAFKA,
        ValueType::Pattern,
        "",
        "Topics to read: those whose whole name matches, also ones that come later.",
    ),
    option(
        "startingOffsets",
        KAFKA,
        ValueType::Offsets,
        "`latest`",
        "Where the first run starts; -2 is earliest, -1 is latest. Resolved once, then the checkpoint alone says where to go on. New partitions start at their earliest offset.",
    ),
    option(
        "maxOffsetsPerTrigger",
        KAFKA,
        ValueType::Int(1, u64::MAX),
        "no limit besides `batch.bytes`",
        "At most so many offsets in a batch, shared over partitions by backlog.",
    ),
    option(
        "failOnDataLoss",
        KAFKA,
        ValueType::Bool,
        "`true`",
        "Whether offsets that the topic has lost stop the run, or are reported and passed over.",
    ),
    option(
        "groupIdPrefix",
        KAFKA,
        ValueType::Text,
        "`sluicebox`",
        "What the name of the consumer group starts with, under which offsets are committed for lag tools.",
    ),
    option(
        "includeHeaders",
        KAFKA,
        ValueType::Bool,
        "`false`",
        "Whether rows carry the events' headers in `_headers`.",
    ),
    option(
        "value.format",
        KAFKA,
        ValueType::OneOf(&["avro"]),
        "`avro`",
        "How values are encoded: Avro in Confluent's framing.",
    ),
    option(
        "value.subject",
        KAFKA,
        ValueType::Text,
        "by the strategy",
        "The registry's subject whose schema rows are read with.",
    ),
    option(
        "value.subject.name.strategy",
        KAFKA,
        ValueType::OneOf(&["topic"]),
        "`topic`",
        "How the subject is named: `topic` is `<topic>-value`.",
    ),
    option(
        "value.schema.version",
        KAFKA,
        ValueType::Int(1, u64::MAX),
        "the latest at the first start",
        "The subject's version that rows are read with; pinned by the checkpoint.",
    ),
    option(
        "schema.registry.url",
        KAFKA,
        ValueType::Text,
        "`SCHEMA_REGISTRY_URL`",
        "Where the Schema Registry is; several with commas between.",
    ),
    option(
        "schema.registry.basic.auth.user.info",
        KAFKA,
        ValueType::Secret,
        "",
        "User and password for the registry, as `user:password`.",
    ),
    option("schema.registry.bearer.auth.token", KAFKA, ValueType::Secret, "", "Token for the registry."),
    option(
        "schema.registry.ssl.ca.location",
        KAFKA,
        ValueType::Path,
        "the system's",
        "File with the certificates to trust the registry by.",
    ),
    option(
        "schema.registry.timeout",
        KAFKA,
        ValueType::Duration,
        "`10 seconds`",
        "How long one request to the registry may take.",
    ),
    option(
        "sample",
        KAFKA,
        ValueType::OneOf(&["sales"]),
        "",
        "Fills the topic of the embedded log with made-up events when no broker is configured. With a broker nothing is made up.",
    ),
    option("path", FILES, ValueType::Path, "", "The folder to watch. Required."),
    option(
        "format",
        FILES,
        ValueType::OneOf(&["avro", "parquet", "json", "csv"]),
        "by the files' extension",
        "How the files are encoded.",
    ),
    option(
        "maxFilesPerTrigger",
        FILES,
        ValueType::Int(1, u64::MAX),
        "no limit besides `batch.bytes`",
        "At most so many files in a batch.",
    ),
    option("rowsPerSecond", RATE, ValueType::Int(1, 100_000_000), "`1`", "How many rows come to be in a second."),
    option("numPartitions", RATE, ValueType::Int(1, 1024), "`1`", "Over how many partitions the rows are spread."),
    option(
        "idleTimeout",
        ALL,
        ValueType::Duration,
        "`10 seconds`",
        "After how long without an event time a partition that has been read to its end holds the watermark no more.",
    ),
    option(
        "maxFuture",
        ALL,
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
    ("value.deserializer", "write 'value.format' = 'avro'"),
    ("key.deserializer", "keys stay bytes, in the column _key"),
    ("topic", "write 'subscribe' = 'topic'"),
    ("topics", "write 'subscribe' = 'topic,topic'"),
    ("bootstrap.servers", "write 'kafka.bootstrap.servers'"),
    ("rampUpTime", "rows come at the full rate at once"),
];

/// Properties of `kafka.*` that the source sets itself, and what to write instead.
const KAFKA_OURS: &[(&str, &str)] = &[
    ("kafka.auto.offset.reset", "startingOffsets says where to start"),
    ("kafka.enable.auto.commit", "offsets are committed after each batch, for lag tools only"),
    ("kafka.enable.auto.offset.store", "offsets are committed after each batch, for lag tools only"),
    ("kafka.enable.partition.eof", "the source needs to see the ends of partitions"),
    ("kafka.key.deserializer", "keys stay bytes, in the column _key"),
    ("kafka.value.deserializer", "write 'value.format' = 'avro'"),
    ("kafka.interceptor.classes", "there is no JVM to load classes"),
    ("kafka.sasl.jaas.config", "write 'kafka.sasl.username' and 'kafka.sasl.password' = '${env:NAME}'"),
    ("kafka.ssl.truststore.location", "write 'kafka.ssl.ca.location' with a PEM file"),
    ("kafka.ssl.truststore.password", "write 'kafka.ssl.ca.location' with a PEM file"),
];

/// The properties of librdkafka that are secrets.
const KAFKA_SECRETS: &[&str] = &[
    "kafka.sasl.password",
    "kafka.ssl.key.password",
    "kafka.ssl.key.pem",
    "kafka.ssl.keystore.password",
    "kafka.sasl.oauthbearer.client.secret",
];

/// The option's value type, if it is a secret or other option of the kind; `kafka.*` are texts.
#[must_use]
pub fn find(kind: SourceKind, key: &str) -> Option<&'static OptionDef> {
    OPTIONS.iter().find(|o| o.name.eq_ignore_ascii_case(key) && o.kinds.contains(&kind))
}

/// Whether the option's value is a secret, which is never shown.
#[must_use]
pub fn is_secret(key: &str) -> bool {
    KAFKA_SECRETS.iter().any(|s| s.eq_ignore_ascii_case(key))
        || OPTIONS.iter().any(|o| o.value == ValueType::Secret && o.name.eq_ignore_ascii_case(key))
}

/// The option's name as it is written in the reference, if key and value are right.
pub(crate) fn check(kind: SourceKind, key: &str, value: &str) -> Result<String, Problem> {
    if kind == SourceKind::Kafka && key.get(..6).is_some_and(|p| p.eq_ignore_ascii_case("kafka.")) {
        let lower = key.to_lowercase();
        if let Some((_, instead)) = KAFKA_OURS.iter().find(|(name, _)| *name == lower) {
            return Err(Problem::unknown(format!("`{key}` is not for the pipeline to set"), (*instead).to_owned()));
        }
        let value_type = if is_secret(&lower) { ValueType::Secret } else { ValueType::Text };
        value_type.check(key, value)?;
        return Ok(lower);
    }
    let Some(option) = find(kind, key) else { return Err(unknown(kind, key)) };
    option.value.check(option.name, value)?;
    Ok(option.name.to_owned())
}

fn unknown(kind: SourceKind, key: &str) -> Problem {
    let kind_name = name_of(kind);
    if let Some((name, instead)) = NOT_HERE.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)) {
        return Problem::unknown(format!("`{name}` is not an option here"), (*instead).to_owned());
    }
    if let Some(other) = OPTIONS.iter().find(|o| o.name.eq_ignore_ascii_case(key)) {
        let owners: Vec<&str> = other.kinds.iter().map(|k| name_of(*k)).collect();
        return Problem::unknown(
            format!("a source of kind {kind_name} has no option `{}`", other.name),
            format!("it belongs to USING {}", owners.join(", ")),
        );
    }
    let known = OPTIONS.iter().filter(|o| o.kinds.contains(&kind)).map(|o| o.name);
    let help = match nearest(key, known) {
        Some(near) => format!("did you mean '{near}'?"),
        None if kind == SourceKind::Kafka => {
            format!(
                "properties of the Kafka client start with kafka.: 'kafka.{key}'; all other options are in docs/sql.md"
            )
        }
        None => "all options are in docs/sql.md".to_owned(),
    };
    Problem::unknown(format!("a source of kind {kind_name} has no option `{key}`"), help)
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
    source.options.iter().find(|(key, _)| key.value == name).map(|(_, value)| value.value.as_str())
}

/// Which topics a Kafka source reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topics {
    /// All partitions of these topics, also those that come later.
    Subscribe(Vec<String>),
    /// These partitions and no others.
    Assign(BTreeMap<String, Vec<i32>>),
    /// All partitions of the topics whose whole name matches.
    Pattern(String),
}

/// The options of a Kafka source with their defaults. References such as `${env:NAME}` are still in the texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaOptions {
    /// What is read.
    pub topics: Topics,
    /// Where the first run starts.
    pub starting_offsets: StartingOffsets,
    /// At most so many offsets in a batch.
    pub max_offsets_per_trigger: Option<u64>,
    /// Whether lost offsets stop the run.
    pub fail_on_data_loss: bool,
    /// What the consumer group's name starts with.
    pub group_id_prefix: String,
    /// Whether rows carry headers.
    pub include_headers: bool,
    /// The registry's subject, if it is named.
    pub value_subject: Option<String>,
    /// The subject's version, if it is named.
    pub value_schema_version: Option<u64>,
    /// The generator that fills the embedded log.
    pub sample: Option<String>,
    /// `kafka.*`, without `kafka.`.
    pub client: BTreeMap<String, String>,
    /// `schema.registry.*`, without `schema.registry.`.
    pub registry: BTreeMap<String, String>,
}

impl KafkaOptions {
    /// The options of `source`; `None` if it is of another kind or was not checked by the parser.
    #[must_use]
    pub fn of(source: &SourceDef) -> Option<Self> {
        if source.kind.value != SourceKind::Kafka {
            return None;
        }
        let get = |name: &str| get(source, name);
        let topics = if let Some(topics) = get("subscribe") {
            Topics::Subscribe(values::names(topics).into_iter().map(str::to_owned).collect())
        } else if let Some(assign) = get("assign") {
            Topics::Assign(values::partitions(assign)?)
        } else {
            Topics::Pattern(get("subscribePattern")?.to_owned())
        };
        let flag = |name: &str, default: bool| get(name).and_then(values::boolean).unwrap_or(default);
        let with_prefix = |prefix: &str| {
            source
                .options
                .iter()
                .filter_map(|(k, v)| Some((k.value.strip_prefix(prefix)?.to_owned(), v.value.clone())))
                .collect::<BTreeMap<_, _>>()
        };
        Some(Self {
            topics,
            starting_offsets: get("startingOffsets").and_then(values::offsets).unwrap_or(StartingOffsets::Latest),
            max_offsets_per_trigger: get("maxOffsetsPerTrigger").and_then(|v| v.trim().parse().ok()),
            fail_on_data_loss: flag("failOnDataLoss", true),
            group_id_prefix: get("groupIdPrefix").unwrap_or("sluicebox").to_owned(),
            include_headers: flag("includeHeaders", false),
            value_subject: get("value.subject").map(str::to_owned),
            value_schema_version: get("value.schema.version").and_then(|v| v.trim().parse().ok()),
            sample: get("sample").map(str::to_lowercase),
            client: with_prefix("kafka."),
            registry: with_prefix("schema.registry."),
        })
    }
}

/// What holds for the event times of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTimeOptions {
    /// `idleTimeout`, in microseconds.
    pub idle_timeout_micros: i64,
    /// `maxFuture`, in microseconds.
    pub max_future_micros: i64,
}

impl EventTimeOptions {
    /// The options of `source`, with their defaults: 10 seconds and 1 hour.
    #[must_use]
    pub fn of(source: &SourceDef) -> Self {
        let micros = |name: &str, default: i64| get(source, name).and_then(values::duration).unwrap_or(default);
        Self {
            idle_timeout_micros: micros("idleTimeout", 10_000_000),
            max_future_micros: micros("maxFuture", 3_600_000_000),
        }
    }
}
