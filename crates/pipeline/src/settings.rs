//! `SET` keys and `TBLPROPERTIES`: their names, values and meaning.
//!
//! A test compares `docs/sql.md` with these lists.

use crate::ast::{Pipeline, TableDef, Using};
use crate::diagnostic::nearest;
use crate::options;
use crate::values::{self, Problem};
pub use crate::values::{Trigger, ValueType};

/// A setting of the pipeline, or a property of a table.
#[derive(Debug, Clone, Copy)]
pub struct KeyDef {
    /// The name, in lower case.
    pub name: &'static str,
    /// What its value may be.
    pub value: ValueType,
    /// What holds without it, as the reference says it.
    pub default: &'static str,
    /// What it means.
    pub doc: &'static str,
}

const fn key(name: &'static str, value: ValueType, default: &'static str, doc: &'static str) -> KeyDef {
    KeyDef { name, value, default, doc }
}

/// Every key of `SET`.
pub const SETTINGS: &[KeyDef] = &[
    key("pipeline.name", ValueType::Name, "the file's name without `.sql`", "Names the checkpoint and the reports."),
    key(
        "checkpoint",
        ValueType::Path,
        "`checkpoints/<pipeline.name>`",
        "The folder that a run resumes from; `--checkpoint` goes before it.",
    ),
    key(
        "trigger",
        ValueType::Trigger,
        "`1 second`",
        "How often batches start once the run has caught up: what is in the log when it fires is read, in as many batches as that takes. `--trigger` goes before it.",
    ),
    key(
        "batch.bytes",
        ValueType::Size(64 << 10),
        "`16 MiB`",
        "At most so many bytes of raw values in a batch, whatever the backlog; bounds memory.",
    ),
    key(
        "memory.limit",
        ValueType::Size(1 << 10),
        "`64 MiB`",
        "About so much memory for what the tables remember, shared equally by their operators with state; what is more is kept on disk.",
    ),
    key(
        "query.memory",
        ValueType::Size(1 << 20),
        "`128 MiB`",
        "So much memory may the query of a table take at once for what its aggregates hold, and so much what it makes of a batch beyond its rows.",
    ),
    key(
        "dq.samples",
        ValueType::Int(0, 10_000),
        "`10`",
        "At most so many sample rows for each expectation and batch in the report.",
    ),
];

/// Every key of `TBLPROPERTIES`.
pub const PROPERTIES: &[KeyDef] = &[
    key(
        "target.file.size",
        ValueType::Size(1 << 20),
        "`256 MiB`",
        "A file of a batch that would be larger is cut in several of about this size.",
    ),
    key(
        "compact.auto",
        ValueType::Bool,
        "`false`",
        "Whether a run puts together the small files of partitions that are closed, between its batches.",
    ),
    key(
        "compact.after",
        ValueType::Duration,
        "`1 hour`",
        "A partition is closed for `compact.auto` when nothing was written to it for so long.",
    ),
    key(
        "retain",
        ValueType::Duration,
        "for ever",
        "How long rows stay after the end of the day in the first partition column that is a date or timestamp; whole partitions go.",
    ),
    key(
        "output.mode",
        ValueType::OneOf(&["append"]),
        "`append`",
        "A row is written once, when it is final. Parquet files cannot take `update` or `complete`.",
    ),
    key(
        "on.error",
        ValueType::OneOf(&["quarantine", "null", "fail"]),
        "`quarantine`",
        "What becomes of a row that the query cannot compute: it goes to quarantine; what cannot be computed of it is NULL; or the run stops.",
    ),
    key("compression", ValueType::OneOf(&["zstd", "none"]), "`zstd`", "How Parquet files are compressed."),
    key("compression.level", ValueType::Int(1, 22), "`1`", "The level of zstd: higher is smaller and slower."),
];

/// Every key of `TBLPROPERTIES` of a table `USING kafka`, but for `kafka.*` and `schema.registry.*`, which are those of a source.
pub const KAFKA_PROPERTIES: &[KeyDef] = &[
    key(
        "topic",
        ValueType::Name,
        "",
        "The topic that rows are appended to. Required. In Kafka it must be there; in the embedded log it is made, with one partition.",
    ),
    key(
        "value.format",
        ValueType::OneOf(&["json", "avro"]),
        "`json`",
        "How a row becomes the value of an event: an object of JSON with every column, or Avro in Confluent's framing.",
    ),
    key(
        "value.subject",
        ValueType::Name,
        "`<topic>-value`",
        "The registry's subject under which the table's Avro schema is registered when a run starts.",
    ),
    key(
        "key.columns",
        ValueType::Names,
        "no key",
        "The columns that make the key: the value of one as text, of several a list of JSON. Equal keys come to one partition, as from Java's producer.",
    ),
    key(
        "header.columns",
        ValueType::Names,
        "none",
        "Columns that are headers too, as text. Each event has the header `sluicebox.batch` beside them.",
    ),
    key(
        "unknown.batch",
        ValueType::OneOf(&["stop", "publish", "skip"]),
        "`stop`",
        "What happens to a committed batch of which the topic no longer tells whether it is in it: the run stops and says how to find out; the batch is published, maybe once more; or it is taken for published.",
    ),
];

/// Those of [`PROPERTIES`] that are not about files.
const OF_ALL: [&str; 2] = [OUTPUT_MODE, "on.error"];

/// Whether the property `name`, as the reference has it, is one of tables in Kafka alone, or of tables of files alone.
pub(crate) fn is_for(name: &str, using: Using) -> bool {
    let of_kafka = is_of_clients(name) || KAFKA_PROPERTIES.iter().any(|property| property.name == name);
    OF_ALL.contains(&name) || of_kafka == (using == Using::Kafka)
}

/// The names of the properties that a table may have whose rows go there, but for those of clients.
pub(crate) fn properties_of(using: Using) -> impl Iterator<Item = &'static str> {
    PROPERTIES.iter().chain(KAFKA_PROPERTIES).map(|property| property.name).filter(move |name| is_for(name, using))
}

/// Whether the property is handed to the clients of Kafka or of its registry.
fn is_of_clients(name: &str) -> bool {
    ["kafka.", "schema.registry."]
        .iter()
        .any(|prefix| name.get(..prefix.len()).is_some_and(|p| p.eq_ignore_ascii_case(prefix)))
}

/// Whether the value of the property keeps its references until its sink is made: it may be a secret, or hold one.
pub(crate) fn keeps_references(name: &str) -> bool {
    is_of_clients(name) && options::keeps_references(name)
}

/// Delta's properties that have a meaning here under another name.
const DELTA: &[(&str, &str)] = &[
    ("delta.targetFileSize", "target.file.size"),
    ("delta.autoOptimize.autoCompact", "compact.auto"),
    ("delta.autoOptimize.optimizeWrite", "target.file.size"),
];

const OUTPUT_MODE: &str = "output.mode";

fn is_other_mode(value: &str) -> bool {
    ["update", "complete"].contains(&value.trim().to_lowercase().as_str())
}

/// Whether there is such a setting and it may have such a value, in whose place the file has `written`. `name` is in lower case.
pub(crate) fn check(name: &str, value: &str, written: &str) -> Result<(), Problem> {
    match SETTINGS.iter().find(|s| s.name == name) {
        Some(setting) => setting.value.check(setting.name, value, written),
        None => Err(unknown("setting", name, SETTINGS)),
    }
}

/// The property's name as the reference has it, if key and value are right.
pub(crate) fn check_property(name: &str, value: &str, written: &str) -> Result<String, Problem> {
    if is_of_clients(name) {
        return options::check(name, value, written);
    }
    match PROPERTIES.iter().chain(KAFKA_PROPERTIES).find(|p| p.name.eq_ignore_ascii_case(name)) {
        Some(property) if property.name == OUTPUT_MODE && is_other_mode(value) => Err(Problem {
            about_value: true,
            message: format!("a table of Parquet files cannot take the output mode `{}`", value.trim()),
            label: "rows in files cannot change".into(),
            help: Some(
                "leave it out: in append mode a row is written once, when it is final, which for an aggregate is when its \
                 window closes"
                    .into(),
            ),
            code: Some("output-mode"),
        }),
        Some(property) => property.value.check(property.name, value, written).map(|()| property.name.to_owned()),
        None => Err(unknown("property", name, PROPERTIES)),
    }
}

fn unknown(what: &str, name: &str, known: &[KeyDef]) -> Problem {
    let names: Vec<&str> = known.iter().map(|k| k.name).collect();
    let help = if name.starts_with("spark.") {
        format!("Spark's own keys have no meaning here; there are {}", names.join(", "))
    } else if let Some((_, ours)) = DELTA.iter().find(|(theirs, _)| theirs.eq_ignore_ascii_case(name)) {
        format!("that is Delta's name; here it is '{ours}'")
    } else {
        match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("there are {}", names.join(", ")),
        }
    };
    Problem::unknown(format!("there is no {what} `{name}`"), help)
}

/// The settings of a pipeline with their defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `checkpoint`, if it is set.
    pub checkpoint: Option<String>,
    /// `trigger`.
    pub trigger: Trigger,
    /// `batch.bytes`.
    pub batch_bytes: u64,
    /// `memory.limit`.
    pub memory_limit: u64,
    /// `query.memory`, in bytes.
    pub query_memory: u64,
    /// `dq.samples`.
    pub dq_samples: u32,
}

impl Settings {
    /// The settings of `pipeline`.
    #[must_use]
    pub fn of(pipeline: &Pipeline) -> Self {
        let get = |name: &str| pipeline.settings.get(name).map(|s| s.value.as_str());
        let number = |name: &str, default: u32| get(name).and_then(|v| v.trim().parse().ok()).unwrap_or(default);
        Self {
            checkpoint: get("checkpoint").map(str::to_owned),
            trigger: get("trigger").and_then(values::trigger).unwrap_or(Trigger::Every(1_000_000)),
            batch_bytes: get("batch.bytes").and_then(values::size).unwrap_or(16 << 20),
            memory_limit: get("memory.limit").and_then(values::size).unwrap_or(64 << 20),
            query_memory: get("query.memory").and_then(values::size).unwrap_or(128 << 20),
            dq_samples: number("dq.samples", 10),
        }
    }
}

/// How a table's Parquet files are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Zstandard, at this level.
    Zstd(u32),
    /// Not at all.
    None,
}

/// What becomes of a row that a table's query cannot compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// It goes to quarantine.
    #[default]
    Quarantine,
    /// What cannot be computed of it is NULL, and it goes on.
    Null,
    /// The batch is not committed, and the run ends.
    Fail,
}

impl OnError {
    /// As `on.error` has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quarantine => "quarantine",
            Self::Null => "null",
            Self::Fail => "fail",
        }
    }
}

/// The properties of a table with their defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Properties {
    /// `target.file.size`, in bytes.
    pub target_file_size: u64,
    /// `compression` and `compression.level`.
    pub compression: Compression,
    /// `compact.auto`.
    pub compact_auto: bool,
    /// `compact.after`, in microseconds.
    pub compact_after: i64,
    /// `retain`, in microseconds.
    pub retain: Option<i64>,
    /// `on.error`.
    pub on_error: OnError,
}

impl Properties {
    /// The properties of `table`.
    #[must_use]
    pub fn of(table: &TableDef) -> Self {
        Self::from_pairs(|name| table.properties.iter().find(|(k, _)| k.value == name).map(|(_, v)| v.value.as_str()))
    }

    /// The properties that `get` gives by their names in lower case.
    #[must_use]
    pub fn from_pairs<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Self {
        let level = get("compression.level").and_then(|v| v.trim().parse().ok()).unwrap_or(1);
        let compression = match get("compression").map(str::to_lowercase).as_deref() {
            Some("none") => Compression::None,
            _ => Compression::Zstd(level),
        };
        Self {
            target_file_size: get("target.file.size").and_then(values::size).unwrap_or(256 << 20),
            compression,
            compact_auto: get("compact.auto").and_then(values::boolean).unwrap_or(false),
            compact_after: get("compact.after").and_then(values::duration).unwrap_or(3_600_000_000),
            retain: get("retain").and_then(values::duration),
            on_error: match get("on.error").map(str::to_lowercase).as_deref() {
                Some("null") => OnError::Null,
                Some("fail") => OnError::Fail,
                _ => OnError::Quarantine,
            },
        }
    }
}

/// Of a table in Kafka its topic in words. Else where its files go: its LOCATION, else by its name: `bronze_`, `silver_` and `gold_` are layers,
/// `data/<layer>/<rest>`, all else is in `data/tables/<name>`. Relative to the working directory.
#[must_use]
pub fn location(table: &TableDef) -> String {
    if table.using() == Using::Kafka {
        return format!("the Kafka topic {}", table.property("topic").unwrap_or_default());
    }
    match &table.location {
        Some(location) => crate::values::local_path(&location.value).to_owned(),
        None => crate::parse::default_location(&table.name.value),
    }
}
